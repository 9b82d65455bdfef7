"""Careless and unlucky uses: nothing lost, no false success, no traceback, results that belong together."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import mnist_efficient_model as challenge
from helpers import easy_split

HEAD = "import os, sys, torch, torch.nn as nn\n"
NET = f"{HEAD}class Net(nn.Sequential):\n    def __init__(self):\n"
NET += "        super().__init__(nn.Flatten(), nn.Linear(784, {}))\n"
BODY = "\n    def forward(self, x):\n        {}\n        return super().forward(x)\n"


def results(folder: Path) -> dict[str, object]:
    """What a results folder says: the seeds and accuracies of the JSON, and those of the checkpoint beside it."""
    found = json.loads((folder / "efficient-fashion.json").read_text())
    runs = {run["seed"]: run["test_accuracy"] for run in found.get("runs", [found])}
    _, saved = challenge.load_checkpoint(folder / "efficient-fashion.pth")
    return {"runs": runs, "saved": (saved["result"]["seed"], saved["result"]["test_accuracy"])}


class TestAModelsFile:
    @pytest.fixture
    def with_file(self, on_fashion, tmp_path):
        def with_file(text: str, *arguments: object) -> tuple[int, str, str]:
            (tmp_path / "q.py").write_text(text)
            return on_fashion("--model", tmp_path / "q.py", *arguments)

        return with_file

    @pytest.mark.parametrize(
        "text, words",
        [
            ("def broken(:\n", "SyntaxError"),
            ("import no_such_package\n", "no_such_package"),
            ("x = 1\n", "it has no nn.Module class"),
            ("raise SystemExit(0)\n", "SystemExit"),
            ("raise BaseException('gone')\n", "gone"),
            (HEAD + "def build_model():\n    return None\n", "NoneType, which is no nn.Module"),
            (HEAD + "def build_model():\n    sys.exit(0)\n", "SystemExit"),
            (HEAD + "def build_model():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 9))\n", "(2, 9)"),
            (HEAD + "def build_model():\n    return nn.Flatten()\n", "(2, 784), where the shape must be (2, 10)"),
            (HEAD + "def build_model():\n    return nn.Sequential(nn.Flatten(), nn.AvgPool1d(78))\n", "no parameter"),
            (NET.format(10) + BODY.format("sys.exit(0)"), "SystemExit"),
            (NET.format(10) + BODY.format("1 / 0"), "ZeroDivisionError"),
            (NET.format(12), "(2, 12), where the shape must be (2, 10)"),
            (NET.format(10) + "    def forward(self, x):\n        return super().forward(x), 1\n", "tuple"),
            (NET.format(10) + "    def get_extra_state(self):\n        return {}\n", "'_extra_state'"),
            (NET.format(10) + "RECIPE = ['lr', 1]\n", "RECIPE must be a dictionary"),
            ("raise Exception('y' * 3_000_000)\n", "yyy"),
            ("raise Exception('\x1b[2J\x1b]0;owned\x07')\n", r"\x1b[2J"),
        ],
    )
    def test_that_misbehaves_is_one_line_and_status_3(self, with_file, tmp_path, text, words):
        status, out, err = with_file(text)
        assert (status, len(err.splitlines())) == (3, 1), err
        assert words in err and len(err) < 1000 and all(character.isprintable() for character in err.rstrip("\n"))
        assert "RESULTS" not in out and not list(tmp_path.glob("results/*"))

    @pytest.mark.parametrize("path", ["my.pyproj/net.py", "net.pytorch.py", "random.py", "two\nlines.py"])
    def test_may_be_called_anything(self, on_fashion, tmp_path, path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(NET.format(10))
        status, out, _ = on_fashion("--model", path, "--quiet", "--lr", 0.01)
        assert status == 0 and "PASS" in out
        assert len(list((tmp_path / "results").glob("*.pth"))) == 1

    def test_that_prints_to_stdout_leaves_json_whole(self, with_file):
        status, out, err = with_file("print('hello')\n" + NET.format(10), "--json")
        assert status in (0, 1) and json.loads(out)["model"].endswith("q.py") and "hello" in err


class TestResults:
    def test_stand_beside_those_of_mnist_and_go_to_the_target_of_a_link(self, on_fashion, tmp_path):
        folder, linked = tmp_path / "results", tmp_path / "elsewhere.json"
        folder.mkdir()
        (folder / "efficient-fashion.json").symlink_to(linked)
        for name in ("efficient.pth", "efficient.json"):
            (folder / name).write_text("precious")
        assert on_fashion("--quiet")[0] == 0
        assert (folder / "efficient-fashion.json").is_symlink() and json.loads(linked.read_text())["passed"]
        kept = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert kept.keys() == {f"efficient{data}.{kind}" for data in ("", "-fashion") for kind in ("pth", "json")}
        assert kept["efficient.pth"] == kept["efficient.json"] == b"precious"

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
    @pytest.mark.parametrize("ending, lines, pause", [(signal.SIGINT, 1, 0), (signal.SIGTERM, 3, 0.1)])
    def test_of_a_command_that_is_ended_belong_together(self, start, tmp_path, ending, lines, pause):
        """One signal, wherever it comes between two runs, ends the command."""
        process = start("--batch-size", 100, "--lr", 0.08, "--quiet", "--seeds", 200, "--jobs", 1)
        assert all("efficient, seed" in process.stdout.readline() for _ in range(lines))
        time.sleep(pause)
        process.send_signal(ending)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + ending and "interrupted" in err and "Traceback" not in err
        found = results(tmp_path / "results")
        assert set(range(lines)) <= found["runs"].keys() and found["saved"] == (0, found["runs"][0])

    def test_are_complete_when_the_reader_of_stdout_goes_away(self, start, tmp_path):
        process = start("--batch-size", 16, "--seeds", 3, "--quiet")
        assert "efficient, seed" in process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        assert process.wait(60) in (0, 4)
        found = results(tmp_path / "results")
        assert found["saved"] == (0, found["runs"][0])


class TestStreams:
    def test_of_ascii_show_names_that_they_cannot_write(self, on_fashion, tmp_path, monkeypatch):
        (tmp_path / "modèle.py").write_text(NET.format(10))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
        status, _, err = on_fashion("--model", tmp_path / "modèle.py")
        assert status in (0, 1) and err == "" and b"mod\\xe8le.py" in sys.stdout.buffer.getvalue()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
    def test_to_a_full_device_make_one_line(self, start):
        with open("/dev/full", "w") as full:
            process = start("--batch-size", 100, "--quiet", stdout=full)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 4 and "Traceback" not in err and len(err.splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("killed", ["the command", "one run"])
def test_no_run_outlives_its_command_and_one_that_is_killed_is_one_line(start, killed):
    process = start("--model", "cnn_large", "--batch-size", 8, "--seeds", 3, "--jobs", 2, "--quiet")
    runs = two_children(process)
    process.send_signal(signal.SIGTERM) if killed == "the command" else os.kill(runs[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    status, words = (143, "interrupted") if killed == "the command" else (3, "ended with exit code -9")
    assert process.returncode == status and words in err and len(err.splitlines()) == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in runs)


def two_children(process: subprocess.Popen) -> list[int]:
    """The two runs of a command, once they are there: an import starts helpers one at a time."""
    path, end = Path(f"/proc/{process.pid}/task/{process.pid}/children"), time.monotonic() + 60
    while len(found := path.read_text().split()) != 2:
        assert time.monotonic() < end, "it trains in processes of its own"
        time.sleep(0.02)
    return [int(child) for child in found]


@pytest.mark.parametrize(
    "name, value",
    [
        *(("lr", "0.01"), ("lr", 0), ("lr", float("nan")), ("batch_size", 16.5), ("batch_size", "16")),
        *(("warmup", 2), ("fade", 5), ("translation", 50), ("label_smoothing", -1), ("rotation", 181)),
        ("optimizer", "lion"),
    ],
)
def test_settings_out_of_range_or_of_another_type_are_refused_by_name(name, value):
    with pytest.raises(challenge.ChallengeError, match=name) as caught:
        challenge.Config(**{name: value})
    assert caught.value.status == 2 and "\n" not in str(caught.value)


def test_runs_in_two_threads_do_not_disturb_each_other():
    data, found = challenge.Dataset("toy", easy_split(2000), easy_split(500, 1), "test"), []
    before = sys.stdout, sys.stderr, torch.is_grad_enabled()
    work = [threading.Thread(target=lambda: found.append(challenge.run("mlp_small", data)[0])) for _ in range(2)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert [result.test_accuracy > 0.95 for result in found] == [True, True]
    assert (sys.stdout, sys.stderr, torch.is_grad_enabled()) == before
