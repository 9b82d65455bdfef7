"""Loading: what is on disk is checked before anything is trained on it, and what is missing is fetched whole or not."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from conftest import easy_digits, write_idx, write_small_fashion

import mnist_efficient_model as challenge
from mnist_efficient_model import ChallengeError, load_dataset, read_idx

datasets = pytest.importorskip("torchvision.datasets")


def failure(action, *arguments, **named) -> ChallengeError:
    with pytest.raises(ChallengeError) as caught:
        action(*arguments, **named)
    assert "\n" not in str(caught.value)
    return caught.value


def test_reads_what_an_independent_writer_wrote(tmp_path):
    images, _ = easy_digits(30, 0)
    write_idx(tmp_path / "images", images)
    assert torch.equal(read_idx(tmp_path / "images"), torch.from_numpy(images))


def test_agrees_with_torchvisions_own_reader(fashion_dir):
    data = load_dataset("fashion", fashion_dir)
    theirs = datasets.FashionMNIST(fashion_dir, train=True)
    assert torch.equal(data.train.images, theirs.data) and torch.equal(data.train.labels, theirs.targets)


def test_reads_packed_files_too(fashion_dir):
    for path in (fashion_dir / "FashionMNIST" / "raw").iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert load_dataset("fashion", fashion_dir).train.images.shape == (2000, 28, 28)


def test_reads_a_folder_it_cannot_write_to(fashion_dir):
    for folder in (fashion_dir, *fashion_dir.rglob("*/")):
        folder.chmod(0o555)
    assert len(load_dataset("fashion", fashion_dir).test.labels) == 500
    for folder in (fashion_dir, *fashion_dir.rglob("*/")):
        folder.chmod(0o755)


class TestBadFiles:
    IMAGES = Path("FashionMNIST", "raw", "train-images-idx3-ubyte")
    LABELS = Path("FashionMNIST", "raw", "train-labels-idx1-ubyte")

    def assert_refused(self, folder: Path, file: Path, *words: str) -> None:
        error = failure(load_dataset, "fashion", folder)
        assert error.status == 4
        for word in (file.name if "idx" in file.name else str(file), *words):
            assert word in str(error)

    @pytest.mark.parametrize("length", [0, 3, 10, 1000, 2000 * 784])
    def test_a_truncated_file_is_named_with_the_cure(self, fashion_dir, length):
        path = fashion_dir / self.IMAGES
        path.write_bytes(path.read_bytes()[:length])
        self.assert_refused(fashion_dir, self.IMAGES, "delete it and run again")

    def test_a_file_with_bytes_to_spare_is_refused(self, fashion_dir):
        path = fashion_dir / self.IMAGES
        path.write_bytes(path.read_bytes() + b"\0")
        self.assert_refused(fashion_dir, self.IMAGES, "wrong length")

    def test_a_web_page_saved_under_the_name_is_refused(self, fashion_dir):
        (fashion_dir / self.IMAGES).write_bytes(b"<!DOCTYPE html><title>403 Forbidden</title>")
        self.assert_refused(fashion_dir, self.IMAGES, "not an IDX file")

    def test_a_damaged_gz_is_refused(self, fashion_dir):
        path = fashion_dir / self.IMAGES
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes())[:-100])
        path.unlink()
        self.assert_refused(fashion_dir, self.IMAGES, "cannot read")

    def test_labels_outside_0_to_9_are_refused(self, fashion_dir):
        labels = np.arange(2000) % 11
        write_idx(fashion_dir / self.LABELS, labels)
        self.assert_refused(fashion_dir, self.LABELS, "label 10 is outside 0-9")

    def test_images_of_another_shape_are_refused(self, fashion_dir):
        write_idx(fashion_dir / self.IMAGES, np.zeros((2000, 32, 32)))
        self.assert_refused(fashion_dir, self.IMAGES.parent, "(2000, 32, 32)")

    def test_images_without_their_labels_are_refused(self, fashion_dir):
        write_idx(fashion_dir / self.LABELS, np.zeros(1999))
        self.assert_refused(fashion_dir, self.IMAGES.parent, "(1999,)")

    def test_mnist_itself_must_have_its_published_sums(self, fashion_dir):
        (fashion_dir / "FashionMNIST").rename(fashion_dir / "MNIST")  # well-formed, but not MNIST
        error = failure(load_dataset, "mnist", fashion_dir)
        assert error.status == 4 and "corrupted" in str(error) and "train-images-idx3-ubyte" in str(error)


class TestDownload:
    """torchvision's own code fetches; only the wire is replaced."""

    def serve(self, monkeypatch, fetch) -> None:
        monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)

    def test_moves_whole_files_into_place_and_leaves_nothing_else(self, tmp_path, monkeypatch):
        sums = {}

        def fetch(url, download_root, filename, md5):
            sums[url] = md5
            n = 100 if "train" in filename else 50
            images, labels = easy_digits(n, 0)
            write_idx(Path(download_root, filename.removesuffix(".gz")), images if "images" in filename else labels)

        self.serve(monkeypatch, fetch)
        data = load_dataset("kmnist", tmp_path / "new")
        assert (len(data.train.labels), len(data.test.labels)) == (100, 50)
        assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["KMNIST"]
        assert len(sums) == 4 and all(sums.values()), "torchvision's checksums are asked for"

    @pytest.mark.parametrize("wire_error", [URLError("no route to host"), TimeoutError("timed out"), EOFError("cut")])
    def test_that_fails_says_which_files_to_put_where_and_leaves_nothing(self, tmp_path, monkeypatch, wire_error):
        def fetch(url, download_root, filename, md5):
            Path(download_root, filename).write_bytes(b"half a file")
            raise wire_error

        self.serve(monkeypatch, fetch)
        error = failure(load_dataset, "mnist", tmp_path / "new")
        assert error.status == 4
        for word in (
            "could not be downloaded",
            *(f for files in challenge.IDX_FILES.values() for f in files),
            str(tmp_path / "new" / "MNIST" / "raw"),
        ):
            assert word in str(error)
        assert not list((tmp_path / "new").iterdir())

    def test_into_a_file_or_a_forbidden_place_says_so(self, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        error = failure(load_dataset, "mnist", tmp_path / "file")
        assert error.status == 4 and str(tmp_path / "file") in str(error)

    def test_with_a_torchvision_that_does_not_fit_names_the_cure(self, tmp_path, monkeypatch):
        def fetch(*_, **__):
            raise RuntimeError("operator torchvision::nms does not exist")

        self.serve(monkeypatch, fetch)
        error = failure(load_dataset, "mnist", tmp_path)
        assert error.status == 4 and "pip install --upgrade torch torchvision" in str(error)


class TestWithoutMnist:
    """What ``auto`` does in a classroom without a network."""

    @pytest.fixture
    def few_strokes(self, monkeypatch):
        strokes = challenge.import_file(challenge.STROKES)
        monkeypatch.setattr(strokes, "SIZES", {"train": 1000, "test": 200})

    @pytest.fixture
    def offline(self, monkeypatch):
        def no_route(*_, **__):
            raise OSError("Network is unreachable")

        monkeypatch.setattr("socket.create_connection", no_route)

    def test_auto_takes_strokes_and_the_run_says_so_everywhere(self, command, few_strokes, offline, tmp_path):
        status, out, _ = command("--data-dir", tmp_path / "data", "--results-dir", tmp_path / "results")
        log = json.loads((tmp_path / "results" / "efficient.json").read_text())
        assert status in (0, 1) and "strokes, 1,000 training" in out and "NOT for MNIST" in out
        assert log["dataset"] == "strokes" and "--dataset mnist" in log["note"]

    def test_mnist_never_falls_back(self, command, offline, monkeypatch, tmp_path):
        def fetch(*_, **__):
            raise URLError("no network")

        monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)
        status, out, err = command("--dataset", "mnist", "--data-dir", tmp_path)
        assert status == 4 and out == "" and "could not be downloaded" in err and len(err.splitlines()) == 1

    def test_a_stalling_network_is_given_up_in_seconds(self, few_strokes, monkeypatch, tmp_path):
        def stall(*_, **__):
            time.sleep(60)
            raise TimeoutError

        monkeypatch.setattr("socket.create_connection", stall)
        start = time.perf_counter()
        assert load_dataset("auto", tmp_path).name == "strokes"
        assert time.perf_counter() - start < 8

    def test_without_the_file_that_draws_strokes_there_is_one_line(self, command, offline, monkeypatch, tmp_path):
        monkeypatch.setattr(challenge, "STROKES", tmp_path / "data" / "strokes.py")
        status, out, err = command("--data-dir", tmp_path / "data")
        assert (status, out, len(err.splitlines())) == (4, "", 1)
        assert "neither MNIST nor" in err and "connect once" in err and "--data-dir" in err

    def test_a_proxy_that_answers_is_a_network(self, monkeypatch):
        """Where only a proxy leads outside, a socket of our own would find nothing."""
        asked = []

        class Proxy(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        try:
            assert challenge.reachable("http://mnist.invalid/")
        finally:
            server.shutdown()
        assert asked == ["http://mnist.invalid/"]

    def test_a_network_that_answers_is_used(self, monkeypatch, tmp_path):
        asked = []
        monkeypatch.setattr(challenge, "reachable", lambda url: asked.append(url) or True)
        monkeypatch.setattr(challenge, "download", lambda *_: asked.append("download"))
        assert challenge.choose_dataset(tmp_path) == "mnist" and asked[1:] == ["download"]

    def test_damaged_files_are_an_error_not_a_reason_to_fall_back(self, fashion_dir):
        (fashion_dir / "FashionMNIST").rename(fashion_dir / "MNIST")
        assert failure(load_dataset, "auto", fashion_dir).status == 4

    def test_trained_on_strokes_it_can_be_scored_on_another_test_set(self, command, few_strokes, fashion_dir, tmp_path):
        common = ("--dataset", "strokes", "--data-dir", fashion_dir, "--results-dir", tmp_path / "results", "--json")
        _, out, _ = command(*common, "--test-on", "fashion")
        document = json.loads(out)
        assert (document["dataset"], document["scored_on"]) == ("strokes", "fashion test")
        assert (document["train_images"], document["test_images"]) == (1000, 500)

    def test_of_the_one_only_training_files_are_needed_and_of_the_other_only_test_files(self, tmp_path, monkeypatch):
        monkeypatch.setattr(challenge, "download", lambda name, _: pytest.fail(f"asked for more of {name}"))
        write_small_fashion(tmp_path)
        shutil.copytree(tmp_path / "FashionMNIST", tmp_path / "KMNIST")
        for unneeded in (*tmp_path.glob("KMNIST/raw/t10k*"), *tmp_path.glob("FashionMNIST/raw/train*")):
            unneeded.unlink()
        data = load_dataset("kmnist", tmp_path, test_on="fashion")
        assert (data.name, data.scored_on) == ("kmnist", "fashion test")
        assert (len(data.train.labels), len(data.test.labels)) == (2000, 500)


class TestHoldout:
    def test_is_the_end_of_the_training_set_and_the_test_set_is_not_read(self, fashion_dir):
        whole = load_dataset("fashion", fashion_dir)
        for path in (fashion_dir / "FashionMNIST" / "raw").glob("t10k*"):
            path.write_bytes(b"never read")
        data = load_dataset("fashion", fashion_dir, holdout=300)
        assert data.scored_on == "holdout"
        assert torch.equal(data.train.images, whole.train.images[:1700])
        assert torch.equal(data.test.labels, whole.train.labels[1700:])

    @pytest.mark.parametrize("holdout", [2000, 5000])
    def test_must_leave_something_to_train_on(self, fashion_dir, holdout):
        assert failure(load_dataset, "fashion", fashion_dir, holdout=holdout).status == 2
