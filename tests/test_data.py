"""Loading: what is on disk is checked before anything is trained on it, and what is missing is fetched whole or not."""

import gzip
import json
import math
import socket
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

import mnist_efficient_model as challenge
from helpers import easy_digits, write_idx
from mnist_efficient_model import ChallengeError, load_dataset

datasets = pytest.importorskip("torchvision.datasets")
FILES = [file for files in challenge.IDX_FILES.values() for file in files]
RAW = Path("FashionMNIST", "raw")
IMAGES, LABELS = RAW / "train-images-idx3-ubyte", RAW / "train-labels-idx1-ubyte"


def failure(action, *arguments, **named) -> ChallengeError:
    with pytest.raises(ChallengeError) as caught:
        action(*arguments, **named)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def serve(monkeypatch):
    """Have torchvision's own code fetch small files, or half of one and an error; returns what it then asks for."""

    def serve(error: Exception | None = None) -> dict[str, str]:
        asked = {}

        def fetch(url, download_root, filename, md5):
            asked[url] = md5
            if error:
                Path(download_root, filename).write_bytes(b"half a file")
                raise error
            array = easy_digits(100 if "train" in filename else 50, 0)["labels" in filename]
            write_idx(Path(download_root, filename.removesuffix(".gz")), array)

        monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)
        return asked

    return serve


def test_reads_what_an_independent_writer_wrote_as_torchvision_does(fashion_dir):
    data, theirs = load_dataset("fashion", fashion_dir), datasets.FashionMNIST(fashion_dir, train=True)
    assert torch.equal(data.train.images, torch.from_numpy(easy_digits(2000, 0)[0]))
    assert torch.equal(data.train.images, theirs.data) and torch.equal(data.train.labels, theirs.targets)


def test_reads_packed_files_too_and_a_folder_it_cannot_write_to(fashion_dir):
    for path in (fashion_dir / RAW).iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    for folder in (fashion_dir, *fashion_dir.rglob("*/")):
        folder.chmod(0o555)
    assert load_dataset("fashion", fashion_dir).train.images.shape == (2000, 28, 28)
    for folder in (fashion_dir, *fashion_dir.rglob("*/")):
        folder.chmod(0o755)


def sizes(*values: int) -> bytes:
    return struct.pack(">BBBB3i", 0, 0, 8, 3, *values) + bytes(abs(math.prod(values)))


class TestBadFiles:
    @pytest.mark.parametrize(
        "change",
        [
            *(lambda whole, n=n: whole[:n] for n in (0, 3, 10, 1000, 2000 * 784)),
            lambda whole: whole + b"\0",
            lambda _: b"<!DOCTYPE html><title>403 Forbidden</title>",
            lambda _: sizes(-2000, -28, 28),
            lambda _: sizes(0, 28, 28),
        ],
    )
    def test_of_another_length_or_no_idx_at_all_are_named_with_the_cure(self, fashion_dir, change):
        path = fashion_dir / IMAGES
        path.write_bytes(change(path.read_bytes()))
        error = failure(load_dataset, "fashion", fashion_dir)
        assert error.status == 4 and f"{path} is " in str(error) and "truncated" in str(error)
        assert "delete it and run again" in str(error)

    @pytest.mark.parametrize("broken", ["empty", "cut short", "a web page", "a packed web page"])
    def test_packed_are_named_as_they_are_called_with_a_cure_that_helps(self, fashion_dir, serve, broken):
        path, page = fashion_dir / IMAGES, b"<html>403 Forbidden</html>"
        contents = {"cut short": gzip.compress(path.read_bytes(), 1)[:-100], "a web page": page}
        contents |= {"a packed web page": gzip.compress(page), "empty": b""}
        gz = path.rename(f"{path}.gz")
        gz.write_bytes(contents[broken])
        error = failure(load_dataset, "fashion", fashion_dir)
        assert error.status == 4
        assert f"{gz} is " in str(error) and "delete it and run again to download it" in str(error)
        gz.unlink()
        serve()
        assert len(load_dataset("fashion", fashion_dir).train.labels) == 100

    @pytest.mark.parametrize(
        "file, array, words",
        [
            (LABELS, np.arange(2000) % 11, "labels up to 10"),
            (LABELS, np.zeros(1999), "(1999,)"),
            (IMAGES, np.zeros((2000, 32, 32)), "(2000, 32, 32)"),
        ],
    )
    def test_that_do_not_fit_one_another_are_refused(self, fashion_dir, file, array, words):
        write_idx(fashion_dir / file, array)
        error = failure(load_dataset, "fashion", fashion_dir)
        assert error.status == 4 and words in str(error) and str(RAW) in str(error)

    @pytest.mark.parametrize("dataset", ["mnist", "auto"])
    def test_of_mnist_itself_must_have_their_published_sums(self, fashion_dir, dataset):
        (fashion_dir / "FashionMNIST").rename(fashion_dir / "MNIST")  # well-formed, but not MNIST
        error = failure(load_dataset, dataset, fashion_dir)
        assert error.status == 4 and "corrupted" in str(error) and IMAGES.name in str(error)


class TestDownload:
    """torchvision's own code fetches; only the wire is replaced."""

    def test_moves_whole_files_into_place_and_leaves_nothing_else(self, tmp_path, serve, capsys):
        raw = tmp_path / "KMNIST" / "raw"
        write_idx(raw / FILES[3], np.zeros(7))  # one of the four is there, but not the others
        asked = serve()
        data = load_dataset("kmnist", tmp_path)
        assert (len(data.train.labels), len(data.test.labels)) == (100, 50)
        assert sorted(raw.iterdir()) == sorted(raw / file for file in FILES)
        assert list(tmp_path.iterdir()) == [tmp_path / "KMNIST"]
        assert len(asked) == 4 and all(asked.values()), "torchvision's checksums are asked for"
        assert capsys.readouterr() == ("", f"KMNIST is not in {tmp_path}: downloading it\n")

    @pytest.mark.parametrize(
        "error, words",
        [
            (
                URLError("no route to host"),
                ["could not be downloaded", "route", str(Path("new", "MNIST", "raw")), *FILES],
            ),
            (EOFError("cut"), ["could not be downloaded", "cut", *FILES]),
            (RuntimeError("operator torchvision::nms does not exist"), ["pip install --upgrade torch torchvision"]),
        ],
    )
    def test_that_fails_says_what_to_do_and_leaves_nothing(self, tmp_path, serve, error, words):
        serve(error)
        found = failure(load_dataset, "mnist", tmp_path / "new")
        assert found.status == 4 and not list((tmp_path / "new").iterdir())
        assert all(word in str(found) for word in words)

    def test_into_a_file_says_so(self, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        error = failure(load_dataset, "mnist", tmp_path / "file")
        assert error.status == 4 and str(tmp_path / "file") in str(error)


class TestWithoutMnist:
    """What ``auto`` does in a classroom without a network."""

    @pytest.fixture(autouse=True)
    def few_strokes(self, monkeypatch):
        """Strokes that are few, and as easy as the tests' other digits."""
        strokes = challenge.import_file(challenge.STROKES)
        monkeypatch.setattr(strokes, "SIZES", {"train": 1000, "test": 200})
        monkeypatch.setattr(strokes, "generate", lambda n, seed, _: easy_digits(n, seed))

    @pytest.fixture
    def waits(self, monkeypatch) -> list[float | None]:
        """No network; the seconds for which a connection was waited for."""
        waits = []

        def no_route(*_, **__):
            waits.append(socket.getdefaulttimeout())
            raise OSError("Network is unreachable")

        monkeypatch.setattr("socket.create_connection", no_route)
        return waits

    @pytest.mark.parametrize("more", [[], ["--seeds", 2], ["--quiet"], ["--json"]], ids=str)
    def test_auto_takes_strokes_and_says_so_first_and_last(self, command, waits, tmp_path, more):
        folder = tmp_path / "results"
        status, out, err = command("--data-dir", tmp_path, "--results-dir", folder, "--batch-size", 8, *more)
        first, second, *later = err.splitlines()
        assert status == 0 and first == f"MNIST is not in {tmp_path}: downloading it"
        assert "Network is unreachable" in second and "NOT MNIST: taking strokes" in second
        shown = later if "--json" in more else out.splitlines()
        assert "--quiet" in more or shown[1].startswith("Data     strokes (NOT MNIST), 1,000 training")
        assert shown[-1].startswith("Note: ") and "NOT for MNIST" in shown[-1] and "--dataset mnist" in shown[-1]
        assert {path.name for path in folder.iterdir()} == {"efficient-strokes.pth", "efficient-strokes.json"}
        log = json.loads((folder / "efficient-strokes.json").read_text())
        for run in log.get("runs", [log]):
            assert run["dataset"] == "strokes" and "NOT for MNIST" in run["note"]
        assert set(waits) == {5} and socket.getdefaulttimeout() is None, "seconds"

    @pytest.mark.parametrize("dataset", ["mnist", "auto"])
    def test_mnist_never_falls_back_nor_what_lacks_the_file_that_draws(
        self, command, waits, monkeypatch, tmp_path, dataset
    ):
        monkeypatch.setattr(challenge, "STROKES", tmp_path / "data" / "strokes.py")
        status, out, err = command("--dataset", dataset, "--data-dir", tmp_path)
        first, *_, last = err.splitlines()
        assert (status, out) == (4, "") and first == f"MNIST is not in {tmp_path}: downloading it"
        assert "could not be downloaded" in last and "(or their .gz) into" in last and "NOT MNIST" not in err

    def test_a_network_that_answers_is_used_once(self, serve, monkeypatch, tmp_path):
        unpinned = {part: dict.fromkeys(files, "") for part, files in challenge.IDX_FILES.items()}
        monkeypatch.setattr(challenge, "IDX_FILES", unpinned)  # for these digits are not MNIST's
        asked = serve()
        assert load_dataset("auto", tmp_path).name == "mnist" and len(asked) == 4
        asked.clear()
        assert load_dataset("auto", tmp_path).name == "mnist" and not asked

    def test_trained_on_strokes_it_can_be_scored_on_another_test_set(self, command, fashion_dir, tmp_path):
        common = ("--dataset", "strokes", "--data-dir", fashion_dir, "--results-dir", tmp_path / "results", "--json")
        document = json.loads(command(*common, "--test-on", "fashion")[1])
        assert (document["dataset"], document["scored_on"]) == ("strokes", "fashion test")
        assert (document["train_images"], document["test_images"]) == (1000, 500)
        assert (tmp_path / "results" / "efficient-strokes-fashion.json").exists()


def test_a_holdout_is_the_end_of_the_training_set_and_the_test_set_is_not_read(fashion_dir):
    whole = load_dataset("fashion", fashion_dir)
    for path in (fashion_dir / RAW).glob("t10k*"):
        path.write_bytes(b"never read")
    data = load_dataset("fashion", fashion_dir, holdout=300)
    assert data.scored_on == "holdout"
    assert torch.equal(data.train.images, whole.train.images[:1700])
    assert torch.equal(data.test.labels, whole.train.labels[1700:])


@pytest.mark.parametrize(
    "wrong",
    [*({"holdout": n} for n in (2000, 5000, -5, 0.5)), {"name": "cifar"}, {"test_on": "auto"}, {"test_on": "cifar"}],
    ids=str,
)
def test_unknown_names_and_holdouts_that_leave_nothing_are_refused(digits, wrong):
    assert failure(load_dataset, **{"name": "fashion", "data_dir": digits, **wrong}).status == 2
