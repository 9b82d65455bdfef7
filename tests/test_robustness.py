"""Careless, unlucky and hostile uses: nothing lost, no false success, no traceback, results that belong together."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import mnist_efficient_model as challenge

SCRIPT = Path(challenge.__file__)
HEAD = "import os, sys, torch, torch.nn as nn\n"
NET = (
    HEAD
    + "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(nn.Flatten(), nn.Linear(784, {}))\n"
)
BODY = "\n    def forward(self, x):\n        {}\n        return super().forward(x)\n"


@pytest.fixture
def arguments(fashion_dir: Path, tmp_path: Path) -> list[str]:
    places = {"--dataset": "fashion", "--data-dir": fashion_dir, "--results-dir": tmp_path / "results"}
    return [str(word) for pair in places.items() for word in pair]


@pytest.fixture
def run(arguments: list[str]):
    """The script as a process of its own, with the small FashionMNIST."""

    def run(*more: object, shell: str = "", **named) -> subprocess.CompletedProcess:
        command = [sys.executable, str(SCRIPT), *arguments, *map(str, more)]
        if shell:
            command = ["bash", "-c", f'set -o pipefail; "$@" {shell}', "bash", *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **named)

    return run


@pytest.fixture
def start(arguments: list[str]):
    """The same, started and not waited for; ended with the test."""
    started = []

    def start(*more: object) -> subprocess.Popen:
        command = [sys.executable, "-u", str(SCRIPT), *arguments, *map(str, more)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def one_line(done: subprocess.CompletedProcess, status: int) -> str:
    """The only line that a process wrote, on stderr, having ended with ``status``."""
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1), done.stderr
    return done.stderr


def results(folder: Path) -> dict[str, object]:
    """What a results folder says: the seeds and accuracies of the JSON, and those of the checkpoint beside it."""
    found = json.loads((folder / "efficient.json").read_text())
    runs = {run["seed"]: run["test_accuracy"] for run in found.get("runs", [found])}
    _, saved = challenge.load_checkpoint(folder / "efficient.pth")
    return {"runs": runs, "saved": (saved["result"]["seed"], saved["result"]["test_accuracy"])}


class TestAModelsFile:
    @pytest.mark.parametrize(
        "text, words",
        [
            ("raise SystemExit(0)\n", "it ended the program"),
            ("import sys; sys.exit()\n", "it ended the program"),
            ("import os; os._exit(0)\n", "it ended the program"),
            ("raise BaseException('gone')\n", "gone"),
            (HEAD + "def build_model():\n    return None\n", "NoneType, which is no nn.Module"),
            (HEAD + "def build_model():\n    sys.exit(0)\n", "it ended the program"),
            (NET.format(10) + BODY.format("sys.exit(0)"), "it ended the program"),
            (NET.format(10) + BODY.format("os._exit(0)"), "it ended the program"),
            (NET.format(12), r"(2, 12), where the shape must be (2, 10)"),
            (NET.format(9), r"(2, 9), where the shape must be (2, 10)"),
            (NET.format(10) + "    def forward(self, x):\n        return super().forward(x), 1\n", "tuple"),
            (NET.format(10) + "RECIPE = ['lr', 1]\n", "RECIPE must be a dictionary"),
        ],
    )
    def test_that_ends_or_misbehaves_is_one_line_and_status_3(self, command, arguments, tmp_path, text, words):
        (tmp_path / "q.py").write_text(text)
        status, out, err = command(*arguments, "--model", f"{tmp_path / 'q.py'}")
        assert (status, out, len(err.splitlines())) == (3, "", 1), (status, out, err)
        assert words in err
        assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())

    @pytest.mark.parametrize(
        "text",
        ["import atexit, os; atexit.register(lambda: os._exit(0))\n" + NET.format(12),
         "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()\n" + NET.format(12)],
        ids=["an exit function", "a thread"],
    )  # fmt: skip
    def test_that_leaves_something_for_the_end_changes_no_exit_status(self, run, tmp_path, text):
        (tmp_path / "q.py").write_text(text)
        assert "(2, 12)" in one_line(run("--model", tmp_path / "q.py", "--quiet"), 3)

    @pytest.mark.parametrize(
        "text, words",
        [
            ("class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E\n", ": E"),
            ("raise Exception('y' * 3_000_000)\n", "yyy"),
            ("raise Exception('\x1b[2J\x1b]0;owned\x07')\n", r"\x1b[2J"),
            (HEAD + "def build_model():\n    return nn.Flatten()\n", "no parameter to train"),
            (NET.format(10) + "    def get_extra_state(self):\n        return {}\n", "'_extra_state'"),
        ],
    )
    def test_says_what_is_wrong_in_one_line_whatever_it_raises(self, command, arguments, tmp_path, text, words):
        (tmp_path / "q.py").write_text(text)
        status, _, err = command(*arguments, "--model", f"{tmp_path / 'q.py'}")
        assert status == 3 and words in err and len(err.splitlines()) == 1 and len(err) < 1000
        assert all(character.isprintable() for character in err.rstrip("\n"))

    @pytest.mark.parametrize("path", ["my.pyproj/net.py", "net.pytorch.py", "random.py", "two\nlines.py"])
    def test_may_be_called_anything_and_change_anything(self, command, arguments, tmp_path, path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / path).parent.mkdir(exist_ok=True)
        changes = "os.chdir('/'); sys.path.clear(); sys.argv.clear(); torch.set_default_dtype(torch.float64)\n"
        (tmp_path / path).write_text(NET.format(10) + changes + "torch.set_grad_enabled(False)\n")
        status, out, _ = command(*arguments, "--model", path, "--results-dir", "here", "--quiet", "--lr", 0.01)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        assert status == 0 and "PASS" in out
        assert Path.cwd() == tmp_path and len(list((tmp_path / "here").glob("*.pth"))) == 1

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_that_forks_is_trained_once(self, run, tmp_path):
        (tmp_path / "q.py").write_text("import os\nos.fork()\n" + NET.format(10))
        done = run("--model", tmp_path / "q.py", "--quiet", "--lr", 0.01)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 1

    def test_named_by_build_model_is_held_to_ten_outputs_too(self, command, arguments, tmp_path):
        (tmp_path / "q.py").write_text(
            HEAD + "def build_model():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 9))\n"
        )
        status, _, err = command(*arguments, "--model", f"{tmp_path / 'q.py'}")
        assert status == 3 and "(2, 9)" in err

    @pytest.mark.parametrize("text", ["", "raise ValueError", "raise SystemExit(0)", "sys.stderr.close()"])
    def test_that_closes_the_standard_streams_is_one_line_and_status_3(self, run, tmp_path, text):
        (tmp_path / "q.py").write_text(f"import sys; sys.stdout.close(); {text}\n" + NET.format(10))
        done = run("--model", tmp_path / "q.py", "--quiet")
        assert "could not be built or run" in one_line(done, 3)

    def test_that_prints_to_stdout_leaves_json_whole(self, run, tmp_path):
        (tmp_path / "q.py").write_text("print('hello')\n" + NET.format(10))
        done = run("--model", tmp_path / "q.py", "--json")
        assert json.loads(done.stdout)["model"] == str(tmp_path / "q.py") and "hello" in done.stderr

    def test_that_is_a_pipe_is_refused_and_does_not_hang(self, command, arguments, tmp_path):
        os.mkfifo(tmp_path / "pipe.py")
        assert command(*arguments, "--model", f"{tmp_path / 'pipe.py'}")[0] == 2


class TestResults:
    def test_of_a_failing_seed_never_stand_beside_an_earlier_checkpoint(self, command, arguments, tmp_path):
        common = (*arguments, "--batch-size", 16, "--quiet")
        assert command(*common)[0] == 0
        assert command(*common, "--lr", 1e-9, "--seeds", 2)[0] == 1
        assert {path.name for path in (tmp_path / "results").iterdir()} == {"efficient.json", "efficient.earlier.pth"}

    def test_of_an_interrupted_command_over_seeds_belong_together(self, start, command, arguments, tmp_path):
        assert command(*arguments, "--batch-size", 16, "--quiet", "--seed", 70)[0] == 0
        process = start("--batch-size", 16, "--quiet", "--seeds", 200, "--jobs", 1)
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=3)
        except subprocess.TimeoutExpired:  # rarely the first one is lost between two runs, as a user would press again
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 130 and "interrupted" in err and all("efficient, seed" in line for line in lines)
        found = results(tmp_path / "results")
        assert {0, 1} <= set(found["runs"]) and 70 not in found["runs"]
        assert found["saved"] == (0, found["runs"][0])

    def test_are_whole_when_the_reader_of_stdout_goes_away(self, run, tmp_path):
        done = run("--batch-size", 16, "--seeds", 3, "--quiet", shell="| head -1")
        assert "efficient, seed" in done.stdout and "Traceback" not in done.stderr
        found = results(tmp_path / "results")
        assert found["saved"] == (0, found["runs"][0])

    def test_go_to_the_target_of_a_link(self, command, arguments, tmp_path):
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "efficient.json").symlink_to(tmp_path / "elsewhere.json")
        assert command(*arguments, "--batch-size", 16, "--quiet")[0] == 0
        assert (tmp_path / "results" / "efficient.json").is_symlink()
        assert json.loads((tmp_path / "elsewhere.json").read_text())["passed"]

    @pytest.mark.parametrize("kind", ["pipe", "device"])
    def test_never_replace_what_is_no_regular_file(self, command, arguments, tmp_path, kind):
        (tmp_path / "results").mkdir()
        target = tmp_path / "results" / "efficient.json"
        os.mkfifo(target) if kind == "pipe" else target.symlink_to(os.devnull)
        status, _, err = command(*arguments, "--batch-size", 16, "--quiet")
        assert status == 4 and "not a regular file" in err and len(err.splitlines()) == 1
        assert Path(os.devnull).is_char_device() and (target.is_fifo() or target.is_symlink())
        assert not (tmp_path / "results" / "efficient.pth").exists(), "all files of a run, or none"


class TestTheMachine:
    def test_without_torch_it_says_what_to_install_and_ends_with_4(self):
        done = subprocess.run([sys.executable, "-S", SCRIPT], capture_output=True, text=True)
        assert "pip install torch" in one_line(done, 4)

    @pytest.mark.parametrize("sizes", [(-2000, -28, 28), (0, 28, 28)])
    def test_data_of_impossible_sizes_are_one_line(self, fashion_dir, sizes):
        path = fashion_dir / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
        path.write_bytes(struct.pack(">BBBB3i", 0, 0, 8, 3, *sizes) + bytes(abs(math.prod(sizes))))
        with pytest.raises(challenge.ChallengeError) as caught:
            challenge.load_dataset("fashion", fashion_dir)
        assert caught.value.status == 4

    @pytest.mark.parametrize(
        "arguments, status",
        [({"holdout": -5}, 2), ({"holdout": 0.5}, 2), ({"test_on": "auto"}, 2), ({"name": "cifar"}, 2)],
    )
    def test_wrong_arguments_from_python_are_challenge_errors(self, fashion_dir, arguments, status):
        with pytest.raises(challenge.ChallengeError) as caught:
            challenge.load_dataset(**{"name": "fashion", "data_dir": fashion_dir, **arguments})
        assert caught.value.status == status

    def test_an_unknown_device_from_python_is_a_challenge_error(self, fashion_dir):
        with pytest.raises(challenge.ChallengeError, match="toaster") as caught:
            challenge.run("mlp_small", challenge.load_dataset("fashion", fashion_dir), device="toaster")
        assert caught.value.status == 4

    def test_settings_from_python_become_numbers_of_their_type(self):
        config = challenge.Config(lr="0.01", batch_size=16.0)
        assert (config.lr, config.batch_size) == (0.01, 16) and isinstance(config.batch_size, int)

    def test_runs_in_two_threads_leave_the_streams_as_they_were(self, fashion_dir):
        before = sys.stdout, sys.stderr, os._exit
        data = challenge.load_dataset("fashion", fashion_dir)
        threads = [threading.Thread(target=challenge.run, args=("mlp_small", data)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (sys.stdout, sys.stderr, os._exit) == before


class TestStreams:
    def test_closed_stdout_is_no_traceback(self, run):
        done = run("--batch-size", 16, shell=">&-")
        assert done.returncode in (0, 4) and "Traceback" not in done.stderr

    def test_closed_stderr_is_no_traceback(self, run):
        done = run("--batch-size", 16, "--json", shell="2>&-")
        assert done.returncode == 0 and json.loads(done.stdout)["passed"]

    def test_an_ascii_terminal_shows_names_that_it_cannot_write(self, run, tmp_path):
        (tmp_path / "modèle.py").write_text(NET.format(10))
        done = run("--model", tmp_path / "modèle.py", env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert done.returncode in (0, 1) and "mod\\xe8le.py" in done.stdout and "Traceback" not in done.stderr

    def test_a_full_device_for_stdout_is_one_line(self, run):
        done = run("--batch-size", 16, "--quiet", shell="> /dev/full")
        assert done.returncode == 4 and "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


class TestProcesses:
    def children(self, pid: int) -> list[int]:
        path = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(child) for child in path.read_text().split()] if path.exists() else []

    def wait_for_children(self, process: subprocess.Popen) -> list[int]:
        """The runs of a command: children that are there for a while, unlike the helpers that an import starts."""
        end, found = time.monotonic() + 60, []
        while not found and time.monotonic() < end:
            before = self.children(process.pid)
            time.sleep(0.5)
            found = [child for child in self.children(process.pid) if child in before]
        assert found, "it trains in processes of its own"
        return found

    def gone(self, pids: list[int]) -> bool:
        end = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
            time.sleep(0.05)
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    @pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
    @pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    def test_none_outlives_a_command_that_is_ended(self, start, ending):
        process = start("--model", "cnn_large", "--batch-size", 1, "--seeds", 3)
        found = self.wait_for_children(process)
        process.send_signal(ending)
        process.communicate(timeout=30)
        assert process.returncode == (-9 if ending == signal.SIGKILL else 128 + ending)
        assert self.gone(found)

    @pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
    def test_one_that_is_killed_is_one_line_and_status_3(self, start):
        process = start("--model", "cnn_large", "--batch-size", 1, "--seeds", 2, "--quiet")
        os.kill(self.wait_for_children(process)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3 and "killed by signal 9" in err and len(err.splitlines()) == 1


def test_plots_and_spiking_nets_do_not_mind_a_notebooks_mplbackend(run, tmp_path):
    inline = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = run("--sweep", "lr=0.01,0.04", "--batch-size", 50, "--holdout", 200, env=inline)
    assert done.returncode == 0 and "Traceback" not in done.stderr + done.stdout
    assert (tmp_path / "results" / "sweep.png").stat().st_size > 1000
    assert run("--model", "csnn", "--quiet", env=inline).returncode in (0, 1)


@pytest.mark.parametrize("content", [b"", b"\x80\x02.", b"PK\x03\x04" + b"\0" * 100])
def test_a_checkpoint_of_arbitrary_bytes_is_status_3(tmp_path, content):
    (tmp_path / "it.pth").write_bytes(content)
    with pytest.raises(challenge.ChallengeError) as caught:
        challenge.load_checkpoint(tmp_path / "it.pth")
    assert caught.value.status == 3


def test_a_checkpoint_that_is_a_pipe_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "it.pth")
    with pytest.raises(challenge.ChallengeError, match="not a regular file") as caught:
        challenge.load_checkpoint(tmp_path / "it.pth")
    assert caught.value.status == 4


def test_data_that_is_a_pipe_is_refused_and_does_not_hang(fashion_dir):
    path = next((fashion_dir / "FashionMNIST" / "raw").glob("train-images*"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(challenge.ChallengeError, match="not a regular file"):
        challenge.load_dataset("fashion", fashion_dir)


def test_a_state_that_holds_no_tensors_is_one_line(tmp_path):
    content = {"limits": {}, "result": {}, "versions": {}, "state_dict": {"3.weight": "text"}}
    torch.save({"format": 1, "model": "efficient", **content}, tmp_path / "it.pth")
    with pytest.raises(challenge.ChallengeError, match="does not fit") as caught:
        challenge.load_checkpoint(tmp_path / "it.pth")
    assert caught.value.status == 3 and "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [2, True, 1.0, "1", None])
def test_a_checkpoint_of_another_format_is_refused(tmp_path, form):
    torch.save({"format": form}, tmp_path / "it.pth")
    with pytest.raises(challenge.ChallengeError, match="not a checkpoint of this script"):
        challenge.load_checkpoint(tmp_path / "it.pth")
