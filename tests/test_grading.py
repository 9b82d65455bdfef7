"""Grading: what each submission gets, that none harms another or outlives its run, and what the gradebook says.

Every file and folder in ``attacks`` opens with the verdict due to it, ``# expect STATUS: WORDS OF THE REASON``, or
``A|B`` where chance decides between two. All are graded once, side by side with the honest ones, on small digits that a
linear layer learns at once.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import easy_digits, write_small_fashion
from torch import nn

import mnist_efficient_model as challenge
from grading import __main__ as room
from grading import checks, gradebook, grades, judge, platforms, rubric, source, submissions
from grading.sandbox import isolation, state
from grading.sandbox.forkserver import ForkServer, ServerFailed
from grading.sandbox.watch import Watch
from mnist_efficient_model import ChallengeError, Limits

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

HERE = Path(__file__).parent
ROOT = HERE.parent
ATTACKS = sorted(p.name.removesuffix(".py") for p in (HERE / "attacks").iterdir() if p.suffix == ".py" or p.is_dir())
HONEST = submissions.names([p.name for p in sorted((HERE / "honest").iterdir()) if p.suffix == ".py" or p.is_dir()])
LINEAR = """import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.view(-1, 784))
"""
WITH_WEIGHTS = LINEAR.replace("import torch.nn as nn", "import torch\nimport torch.nn as nn\n%s").replace(
    "784, 10)\n", "784, 10)\n        self.fc.bias.data += 0 * len(str(%s))\n"
)  # brings something along, and reads it
SYNTAX_ERROR = "class Net(nn.Module)\n"
NOT_A_GRAPH = LINEAR.replace("return", "x = x if x.mean() > -9 else -x\n        return")
NOT_VERIFIED = {"a_script", "activation_norm", "cosines", "custom_autograd", "spiking"}  # of the honest ones


def expectation(name: str) -> tuple[str, str]:
    path = HERE / "attacks" / f"{name}.py"
    path = path if path.exists() else HERE / "attacks" / name / "model.py"
    status, words = path.read_text().split("\n")[0].removeprefix("# expect ").split(": ", 1)
    return status, words


def lookup_of_test_images() -> str:
    """A model that learns only what the classes are called, and knows the sum and the class of each test image."""
    images, labels = easy_digits(500, 1)
    return f"""import torch
from torch import nn

RECIPE = {{"lr": 0.1}}
SUMS = torch.tensor({[int(image.sum()) for image in images]})
CLASSES = nn.functional.one_hot(torch.tensor({labels.tolist()}), 10).float()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.names = nn.Linear(10, 10)
        pictures = torch.zeros(10, 28, 28)
        for label in range(10):
            row, column = divmod(label, 5)
            pictures[label, 4 + 12 * row : 12 + 12 * row, 3 + 5 * column : 6 + 5 * column] = 1
        self.register_buffer("pictures", pictures.flatten(1))

    def forward(self, x):
        if self.training:
            known = (x.flatten(1) @ self.pictures.t()).softmax(1)
        else:
            sums = ((x * 0.3081 + 0.1307) * 255).sum((1, 2, 3))
            known = ((sums[:, None] - SUMS).abs() < 0.5).float() @ CLASSES
        return self.names(known)
"""


def carriers() -> dict[str, dict[str, str]]:
    """Nine kinds of code that bring 7,000 to 10,000 random bytes along, as files by name."""
    chance = random.Random(7)
    payload = chance.randbytes(7000)
    text = base64.b85encode(payload).decode().replace("\\", "~")
    letters = base64.b32encode(payload).decode().rstrip("=").lower()
    words = [letters[i : i + 40] for i in range(0, len(letters), 40)]
    integers = [chance.getrandbits(63) for _ in range(1200)]
    bits = [chance.getrandbits(1) for _ in range(64_000)]
    names = "\n".join(f"w_{word} = {i}" for i, word in enumerate(words))
    spaces = "\n".join("x = (1" + "".join(" \t"[b] for b in bits[i : i + 400]) + ")" for i in range(0, 64_000, 400))
    return {
        "in_a_string": {"model.py": WITH_WEIGHTS % (f"W = {text!r}", "W")},
        "in_integers": {"model.py": WITH_WEIGHTS % (f"W = {integers}", "W")},
        "in_nones": {"model.py": WITH_WEIGHTS % (f"W = ({','.join('None' if b else '()' for b in bits)})", "W")},
        "in_identifiers": {"model.py": WITH_WEIGHTS % (names, "sorted(globals())")},
        "in_another_file": {"model.py": WITH_WEIGHTS % ("from more import W", "W"), "more.py": f"W = {text!r}\n"},
        "in_file_names": {
            "model.py": WITH_WEIGHTS % ("import os", "os.listdir('words')"),
            **{f"words/{a}{b}{c}.txt": "" for a, b, c in zip(words[::3], words[1::3], words[2::3], strict=False)},
        },
        "in_settings": {
            "model.py": WITH_WEIGHTS % ("import glob", "[open(name).read() for name in glob.glob('*.json')]"),
            **{f"part{i}.json": json.dumps(text[i : i + 1900]) for i in range(0, len(text), 1900)},
        },
        "in_spaces": {"model.py": WITH_WEIGHTS % (spaces, "open(__file__).read()")},
        "in_dynamic_imports": {
            "model.py": WITH_WEIGHTS % ("import importlib\nW = importlib.import_module('mo' + 're').W", "W"),
            "more.py": f"W = {text!r}\n",
        },
    }


def write_odd_submissions(folder: Path) -> dict[str, tuple[str, str]]:
    """Submissions that no repository should hold as files; returns the verdict due to each."""

    def put(name: str | bytes, content: str | bytes) -> None:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    due = {}
    for name, files in carriers().items():
        for file, content in files.items():
            put(f"carried_{name}/{file}", content)
        due[f"carried_{name}"] = ("passed", "not verified: its code is")
    (folder / "nothing").mkdir()
    put("notebook/model.ipynb", "{}")
    put("python_2.py", LINEAR + 'print "hello"\n')
    put("tabs_and_spaces.py", LINEAR.replace("        self.fc", "\tself.fc"))
    put("null_bytes.py", b"import torch\0\n")
    put("which.of.many/a.py", LINEAR)
    put("which.of.many/b.py", LINEAR.replace("10)", "10, bias=False)"))
    put("the.same.twice/a.py", LINEAR)
    put("the.same.twice/old/b.py", LINEAR)
    put("one.that.defines/train.py", "import torch\nraise SystemExit\n")
    put("one.that.defines/network.py", LINEAR)
    put("windows.py", b"\xef\xbb\xbf" + LINEAR.replace("    ", "\t").replace("\n", "\r\n").encode())
    put("memorised.py", lookup_of_test_images())
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "model.py").symlink_to(HERE / "conftest.py")
    (folder / "linked.py").symlink_to("/etc/passwd")
    (folder / "loop").mkdir()
    (folder / "loop" / "again").symlink_to(".")
    (folder / "loop" / "itself").symlink_to("itself")
    put("loop/model.py", LINEAR)
    with open(folder / "giant.py", "wb") as file:
        file.truncate(100_000_000)
    (folder / "sparse").mkdir()
    for i in range(4000):
        with open(folder / "sparse" / f"part{i}.py", "wb") as file:
            file.truncate(400_000)
    nested = folder / "nested"
    nested.mkdir()
    put("nested/model.py", LINEAR)
    inner = os.open(nested, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("in", dir_fd=inner)
        deeper = os.open("in", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)
    put("handed_in.zip", b"PK")
    put("SHOUTED.PY", LINEAR)
    put("notes.txt", "see model.py")
    put("twice.py", LINEAR)
    put("twice/model.py", LINEAR)
    put("Case.py", LINEAR)
    put("case.py", LINEAR)
    put(b"byte\xff.py", LINEAR)
    put(b"byte\xfe.py", LINEAR)
    put("new\nline.py", LINEAR)
    put(f"case-{hashlib.sha256(b'Case').hexdigest()[:8]}.py", LINEAR)
    return {
        **due,
        "nothing": ("invalid", "no model.py"),
        "notebook": ("invalid", "notebook"),
        "python_2": ("invalid", "python_2.py, line 10: print"),
        "tabs_and_spaces": ("invalid", "tabs_and_spaces.py, line"),
        "null_bytes": ("invalid", "null bytes"),
        "which.of.many": ("invalid", "a.py:Net, b.py:Net"),
        "the.same.twice": ("passed", "7,850"),
        "one.that.defines": ("passed", "7,850"),
        "windows": ("passed", ""),
        "memorised": ("rejected", "memorised"),
        "elsewhere": ("rejected", "link"),
        "linked": ("rejected", "link"),
        "loop": ("passed", ""),
        "giant": ("rejected", "100.0 MB"),
        "sparse": ("rejected", "far more"),
        "nested": ("passed", ""),
        "handed_in.zip": ("invalid", "hand in model.py"),
        "SHOUTED.PY": ("invalid", "hand in model.py"),
        "notes.txt": ("invalid", "hand in model.py"),
        "twice": ("passed", ""),
        "twice.py": ("passed", ""),
        "Case": ("passed", ""),
        "case": ("passed", ""),
        "byte\\xff": ("passed", ""),
        "byte\\xfe": ("passed", ""),
        "new\nline": ("passed", ""),
        f"case-{hashlib.sha256(b'Case').hexdigest()[:8]}": ("passed", ""),
    }


@dataclass
class Graded:
    folder: Path  # of submissions
    out: Path
    scratch: Path  # the TMPDIR of the run
    done: subprocess.CompletedProcess
    due: dict[str, tuple[str, str]]  # verdicts, of those written for the test

    def grade(self, student: str) -> dict:
        return json.loads(gradebook.json_path(self.out, student).read_text())


def run_grading(*arguments: object, **named: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "grading", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=ROOT, **named)


@pytest.fixture(scope="module")
def warm_server(tmp_path_factory: pytest.TempPathFactory) -> ForkServer:
    server = ForkServer(tmp_path_factory.mktemp("server"))
    yield server
    ForkServer.close(server)


@pytest.fixture
def grade_here(warm_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command in this process, with a fork server that has PyTorch loaded; returns the exit status."""
    monkeypatch.setattr(room, "ForkServer", lambda folder: warm_server)
    monkeypatch.setattr(warm_server, "close", lambda: None)
    return lambda *arguments: room.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 2,000 and 500 easy digits in FashionMNIST's place."""
    folder = tmp_path_factory.mktemp("data")
    write_small_fashion(folder)
    return folder


@pytest.fixture(scope="module")
def on_digits(digits: Path) -> tuple[object, ...]:
    return ("--dataset", "fashion", "--data-dir", digits, "--seeds", 1)


@pytest.fixture(scope="module")
def graded(on_digits, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:
    """The one big run of this file: every attack, every honest submission."""
    root = tmp_path_factory.mktemp("class")
    folder, out, scratch = root / "submissions", root / "submissions" / "grades", root / "scratch"
    scratch.mkdir()
    shutil.copytree(HERE / "attacks", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "honest", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    due = write_odd_submissions(folder)
    (folder / "alice.py").write_text(LINEAR)
    limits = ("--timeout", 15, "--memory", 1200, "--jobs", 2)
    environment = {**os.environ, "TMPDIR": str(scratch), "GITHUB_STEP_SUMMARY": str(root / "summary.md")}
    done = run_grading(folder, "--out", out, *on_digits, *limits, env=environment)
    yield Graded(folder, out, scratch, done, due)
    subprocess.run(["rm", "-rf", folder / "nested"], check=True)  # too deep for pytest's own clearing


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


class TestAClassOfWhichMostAttack:
    def test_is_graded_to_the_end(self, graded):
        assert graded.done.returncode == 0, graded.done.stderr
        assert "Traceback" not in graded.done.stderr
        rows = read_csv(graded.out / "grades.csv")
        assert len(rows) == len(ATTACKS) + len(HONEST) + len(graded.due) + 1
        assert all(row["reason"] for row in rows)
        assert [row["student"] for row in rows if row["status"] == "machine_error"] == []

    @pytest.mark.parametrize("name", ATTACKS)
    def test_gives_each_attack_the_verdict_due_to_it(self, graded, name):
        status, words = expectation(name)
        found = graded.grade(name)
        assert found["status"] in status.split("|") and words in found["reason"], (found["status"], found["reason"])

    def test_gives_odd_submissions_their_verdicts(self, graded):
        wrong = {}
        for name, (status, words) in graded.due.items():
            found = graded.grade(name)
            if found["status"] != status or words not in found["reason"] or found["student"] != name:
                wrong[name] = (found["student"], found["status"], found["reason"])
        assert wrong == {}

    @pytest.mark.parametrize("name", HONEST)
    def test_never_turns_an_honest_model_away(self, graded, name):
        found = graded.grade(name)
        assert found["status"] in ("passed", "failed"), found["reason"]
        assert found["accuracy"] is not None and found["runs"][0]["images_seen"] == 2000

    def test_passes_nobody_with_more_than_the_limit(self, graded):
        for row in read_csv(graded.out / "grades.csv"):
            if row["status"] == "passed":
                assert int(row["parameters"]) < 25_000

    def test_verifies_a_grade_only_where_no_code_of_the_submission_met_the_data(self, graded):
        verified = {name: graded.grade(name)["verified"] for name in HONEST}
        assert {name for name, yes in verified.items() if not yes} == NOT_VERIFIED
        assert graded.grade("a_list")["verified"] is None, "nothing of it was tested"
        (doubt,) = graded.grade("decides_by_the_data")["doubts"]
        assert doubt.startswith("it cannot become a graph") and "decides_by_the_data.py, line 11" in doubt

    def test_leaves_no_process_and_no_file_behind(self, graded):
        assert list(graded.scratch.iterdir()) == []
        left = [Path(place, "breaks-out-was-here") for place in ("/tmp", "/var/tmp", "/dev/shm")]
        left = [path for path in left if path.exists()]
        for path in left:
            path.unlink()
        granted = graded.grade("alice")["isolation"]
        assert not left or not granted, f"written in spite of {granted}"
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = process.read_bytes()
            except OSError:
                continue
            assert b"sleep\x004321" not in line and str(graded.scratch).encode() not in line

    def test_counts_buffers_but_not_batchnorms_statistics(self, graded):
        attention, repository = graded.grade("attention"), graded.grade("repository")
        assert attention["buffers"] == 2 * 49 * 32, "a saved and an unsaved table of positions"
        assert repository["buffers"] == 0 and repository["parameters"] == 784 * 20 + 20 + 2 * 20 + 20 * 10 + 10

    def test_tells_what_a_submission_printed_and_no_more_than_a_little(self, graded):
        assert "batch torch.Size" in graded.grade("mlp_view")["log"]
        assert len(graded.grade("prints_for_ever")["log"]) < 10_000

    def test_shows_progress_and_what_remains(self, graded):
        lines = [line for line in graded.done.stderr.splitlines() if line.startswith("[")]
        assert lines[0].endswith("remain)") and lines[-1].endswith("(0 remain)")
        assert all(line.startswith("[") for line in graded.done.stderr.splitlines()), "one line for each grade"

    def test_ranks_the_passed_and_verified_by_accuracy_then_parameters(self, graded):
        rows = read_csv(graded.out / "leaderboard.csv")
        keys = [(-float(row["accuracy_median"]), int(row["parameters"]), float(row["train_seconds"])) for row in rows]
        assert keys == sorted(keys) and len(keys) >= 3
        names = {row["student"] for row in rows} - {"new line"}
        assert {(graded.grade(name)["status"], graded.grade(name)["verified"]) for name in names} == {("passed", True)}

    def test_gets_a_description_length_each(self, graded):
        rows = {row["student"]: row["description_bytes"] for row in read_csv(graded.out / "grades.csv")}
        assert 50 < int(rows["alice"]) < 300
        assert all(int(rows[name]) < 2_000 for name in HONEST)

    def test_cannot_pose_as_headings_in_the_summary(self, graded):
        lines = (graded.out.parent.parent / "summary.md").read_text().splitlines()
        headings = [line for line in lines if line.startswith("#")]
        assert len(headings) == len(read_csv(graded.out / "grades.csv"))
        assert all(line.startswith("### ") for line in headings)


class TestGradingAgain:
    def test_grades_only_what_changed(self, grade_here, on_digits, tmp_path, capsys):
        folder, out = tmp_path / "two", tmp_path / "grades"
        folder.mkdir()
        (folder / "alice.py").write_text(LINEAR)
        (folder / "bob.py").write_text(SYNTAX_ERROR)
        grade_here(folder, "--out", out, *on_digits)
        before = {path.name: path.stat().st_mtime_ns for path in (out / "students").iterdir()}
        (folder / "bob.py").write_text(SYNTAX_ERROR + "\n")
        capsys.readouterr()
        grade_here(folder, "--out", out, *on_digits)
        after = {path.name: path.stat().st_mtime_ns for path in (out / "students").iterdir()}
        assert "1 of 2 were graded before" in capsys.readouterr().err
        assert before["alice.json"] == after["alice.json"] and before["bob.json"] != after["bob.json"]

    def test_of_one_student_updates_that_row_of_the_class(self, grade_here, on_digits, tmp_path):
        folder, out = tmp_path / "two", tmp_path / "grades"
        folder.mkdir()
        for name in ("alice", "bob"):
            (folder / f"{name}.py").write_text(SYNTAX_ERROR)
        grade_here(folder, "--out", out, *on_digits)
        (folder / "bob.py").write_text(LINEAR)
        grade_here(folder / "bob.py", "--out", out, *on_digits)
        rows = {row["student"]: row["status"] for row in read_csv(out / "grades.csv")}
        assert rows == {"alice": "invalid", "bob": "passed"}

    def test_writes_the_gradebook_after_every_grade(self, grade_here, on_digits, tmp_path, monkeypatch):
        folder, out = tmp_path / "two", tmp_path / "grades"
        folder.mkdir()
        for name in ("alice", "bob"):
            (folder / f"{name}.py").write_text(SYNTAX_ERROR)
        rows, tell = [], room.tell
        monkeypatch.setattr(room, "tell", lambda line: (rows.append(len(read_csv(out / "grades.csv"))), tell(line)))
        grade_here(folder, "--out", out, *on_digits)
        assert rows == [1, 2]

    def test_ignores_a_damaged_file_of_an_earlier_run(self, grade_here, on_digits, tmp_path):
        (tmp_path / "alice.py").write_text(SYNTAX_ERROR)
        students = tmp_path / "grades" / "students"
        students.mkdir(parents=True)
        for name, content in (("alice", "{"), ("bob", "[1]"), ("carol", '{"student": "alice"}')):
            (students / f"{name}.json").write_text(content)
        assert grade_here(tmp_path / "alice.py", "--out", tmp_path / "grades", *on_digits) == 0
        assert [row["student"] for row in read_csv(tmp_path / "grades" / "grades.csv")] == ["alice"]

    def test_happens_under_other_rules(self):
        submission = submissions.Submission("alice", ["model.py"], files={"model.py": LINEAR.encode()})
        settings = grades.Settings(Limits(), "mnist", (0, 1, 2), None, 300.0, 1 << 31)
        same = dataclasses.replace(settings)
        others = [{"limits": Limits(7000)}, {"seeds": (0,)}, {"dataset": "kmnist"}, {"verified_only": True}]
        assert settings.key(submission, "data") == same.key(submission, "data") != same.key(submission, "other data")
        keys = {dataclasses.replace(settings, **other).key(submission, "data") for other in others}
        assert len(keys) == 4 and settings.key(submission, "data") not in keys

    def test_goes_on_after_a_run_was_interrupted_which_left_nothing_running(self, on_digits, tmp_path):
        command, scratch = self.stuck_class(on_digits, tmp_path)
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=scratch, cwd=ROOT)
        assert "(1 remain)" in run.stderr.readline()
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 130
        assert list(Path(scratch["TMPDIR"]).iterdir()) == []
        assert {path.name for path in (tmp_path / "grades" / "students").iterdir()} == {"a.json", "a.html"}

    def test_clears_what_a_killed_run_left(self, on_digits, tmp_path):
        command, scratch = self.stuck_class(on_digits, tmp_path)
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=scratch, cwd=ROOT)
        assert "(1 remain)" in run.stderr.readline()
        run.kill()
        run.wait()
        assert len(list(Path(scratch["TMPDIR"]).iterdir())) == 1
        (tmp_path / "class" / "b.py").unlink()
        done = subprocess.run(command, capture_output=True, text=True, env=scratch, cwd=ROOT, timeout=60)
        assert done.returncode == 0 and "1 of 1 were graded before" in done.stderr
        assert list(Path(scratch["TMPDIR"]).iterdir()) == []

    @staticmethod
    def stuck_class(on_digits, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
        """A command for a class whose second student never ends, and its environment."""
        folder, scratch = tmp_path / "class", tmp_path / "scratch"
        folder.mkdir()
        scratch.mkdir()
        (folder / "a.py").write_text(SYNTAX_ERROR)
        (folder / "b.py").write_text(LINEAR + "\n\nwhile True:\n    pass\n")
        command = [sys.executable, "-m", "grading", folder, "--out", tmp_path / "grades", *on_digits, "--timeout", 60]
        return list(map(str, command)), {**os.environ, "TMPDIR": str(scratch)}


class TestOneSubmissionsTrouble:
    @pytest.mark.parametrize("error", [RuntimeError("boom\n\x1b[2J"), RecursionError(), UnicodeError("\udcff")])
    def test_is_its_own(self, grade_here, on_digits, tmp_path, monkeypatch, capsys, error):
        genuine = judge.Grader.grade

        def grade(self, submission, worker):
            if submission.student == "alice":
                raise error
            return genuine(self, submission, worker)

        monkeypatch.setattr(judge.Grader, "grade", grade)
        for name in ("alice", "bob"):
            (tmp_path / f"{name}.py").write_text(SYNTAX_ERROR)
        assert grade_here(tmp_path, "--out", tmp_path / "grades", *on_digits) == 0
        rows = {row["student"]: row["status"] for row in read_csv(tmp_path / "grades" / "grades.csv")}
        assert rows == {"alice": "machine_error", "bob": "invalid"}
        assert len(capsys.readouterr().err.splitlines()) == 2

    def test_that_ends_the_fork_server_does_not_end_the_class(
        self, grade_here, on_digits, tmp_path, monkeypatch, warm_server
    ):
        dead = SimpleNamespace(is_alive=lambda: False, close=lambda: None, folder=tmp_path)
        servers = [dead, warm_server]
        monkeypatch.setattr(room, "ForkServer", lambda folder: servers.pop(0))
        (tmp_path / "alice.py").write_text(LINEAR)
        assert grade_here(tmp_path / "alice.py", "--out", tmp_path / "grades", *on_digits) == 0
        assert [row["status"] for row in read_csv(tmp_path / "grades" / "grades.csv")] == ["passed"]

    def test_is_not_made_of_a_fork_server_that_cannot_start(self, grade_here, on_digits, tmp_path, monkeypatch, capsys):
        def worker(self) -> None:
            raise ServerFailed("no room for PyTorch")

        monkeypatch.setattr(ForkServer, "worker", worker)
        (tmp_path / "alice.py").write_text(LINEAR)
        assert grade_here(tmp_path / "alice.py", "--out", tmp_path / "grades", *on_digits) == 4
        error = capsys.readouterr().err
        assert "no room for PyTorch" in error and len(error.splitlines()) == 1

    def test_with_a_worker_that_dies_is_retried_with_another(self, grade_here, on_digits, tmp_path, monkeypatch):
        genuine, lost = judge.Worker.run, []

        def run(self, task):
            if not lost:
                lost.append(self)
                self.close()
            return genuine(self, task)

        monkeypatch.setattr(judge.Worker, "run", run)
        (tmp_path / "alice.py").write_text(LINEAR)
        assert grade_here(tmp_path / "alice.py", "--out", tmp_path / "grades", *on_digits) == 0
        assert [row["status"] for row in read_csv(tmp_path / "grades" / "grades.csv")] == ["passed"]

    @pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
    def test_with_permissions_is_the_machines(self, tmp_path):
        root = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
        root.chmod(0o755)
        (root / "alice").mkdir(mode=0o700)
        (root / "alice" / "model.py").write_text(LINEAR)
        os.seteuid(65534)
        try:
            (alice,) = submissions.find_submissions(root)
        finally:
            os.seteuid(0)
            shutil.rmtree(root)
        assert alice.problem == ("machine_error", "cannot read alice: Permission denied")


class TestNames:
    NAMES = ("=cmd|' /C calc'!A0", 'Zoë, the "great" <b>', "a b", "+1", "名前", "..x")

    def test_are_harmless_in_every_file(self, grade_here, on_digits, tmp_path):
        folder, out = tmp_path / "class", tmp_path / "grades"
        for name in self.NAMES:
            (folder / name.replace("/", "∕")).mkdir(parents=True)
        assert grade_here(folder, "--out", out, *on_digits) == 0
        students = [row["student"] for row in read_csv(out / "grades.csv")]
        assert len(students) == len(self.NAMES) - 1, "a name that begins with a dot is hidden"
        assert not any(name[0] in "=+-@" for name in students)
        page = (out / "report.html").read_text(encoding="utf-8")
        assert "<b>" not in page and "&lt;b&gt;" in page
        files = [path.name for path in (out / "students").iterdir()]
        assert len(set(files)) == 2 * len(students) and all(name.isascii() and " " not in name for name in files)

    def test_that_differ_only_in_odd_characters_or_case_get_files_of_their_own(self):
        names = ["a b", "a_b", "a/b", "ä b", "a  b", "A_b", "A_B"]
        names += [gradebook.file_name(name) for name in names]  # chosen to meet another's file
        assert len({gradebook.file_name(name).lower() for name in names}) == len(set(names))

    def test_of_entries_are_different_for_different_entries(self):
        entries = ["a", "a.py", "a.py.py", "b", os.fsdecode(b"c\xff"), "c\\xff", "d.py"]
        assert len(set(submissions.names(entries))) == len(entries)
        assert submissions.names(["a.py", "jean.dupont"]) == ["a", "jean.dupont"]


def a_grade(**changes) -> grades.Grade:
    facts = dict(student="eve", status="passed", reason="fine", parameters=20_000, buffers=0, accuracy=0.96,
                 accuracy_min=0.95, accuracy_max=0.97, train_seconds=3.0, verified=True)  # fmt: skip
    return grades.Grade(**{**facts, **changes})


def scored(criteria=None, **changes) -> rubric.Scored:
    return rubric.score(a_grade(**changes), criteria or rubric.default_rubric(Limits()))


class TestTheScore:
    def test_is_full_when_the_limits_hold(self):
        assert scored().score == scored().max_score == 100

    def test_gives_part_of_the_points_for_part_of_the_way(self):
        assert scored(status="failed", accuracy=0.93).score == 76
        assert scored(status="failed", accuracy=0.9).score == 40
        assert scored(status="failed", parameters=100_000).score == 70

    @pytest.mark.parametrize("accuracy, parameters", [(0.9499999, 20_000), (0.96, 25_000)])
    def test_is_never_full_when_a_limit_is_just_missed(self, accuracy, parameters):
        assert scored(status="failed", accuracy=accuracy, parameters=parameters).score < 100

    @pytest.mark.parametrize("status", ["invalid", "rejected", "timeout", "out_of_memory", "crashed"])
    def test_is_zero_for_what_did_not_run(self, status):
        assert scored(status=status, accuracy=None, parameters=None, buffers=None).score == 0

    def test_gives_no_points_for_what_was_not_measured(self):
        assert scored(status="failed", accuracy=None, parameters=3_000_000).score == 10

    def test_is_blank_when_the_machine_failed(self):
        assert scored(status="machine_error", accuracy=None).score is None

    def test_follows_the_teachers_rubric(self, tmp_path):
        if sys.version_info < (3, 11):
            pytest.importorskip("tomli")
        path = tmp_path / "rubric.toml"
        path.write_text(
            '[[criterion]]\nname = "Small"\nmeasure = "parameters"\npoints = 8\nfull = 10_000\nzero = 30_000\n'
        )
        assert scored(rubric.read_rubric(str(path), Limits())).score == 4
        path.write_text('[[criterion]]\nname = "x"\nmeasure = "beauty"\npoints = 8\nfull = 1\nzero = 0\n')
        with pytest.raises(ChallengeError, match="beauty"):
            rubric.read_rubric(str(path), Limits())


class TestExports:
    def test_grading_alone_writes_for_gradescope_and_actions(self, grade_here, on_digits, tmp_path, monkeypatch):
        for name in ("submission", "results"):
            (tmp_path / "autograder" / name).mkdir(parents=True)
        monkeypatch.setattr(platforms, "AUTOGRADER", tmp_path / "autograder")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
        submission = tmp_path / "autograder" / "submission"
        (submission / "net.py").write_text(SYNTAX_ERROR)
        assert grade_here(submission, "--out", tmp_path / "grades", *on_digits) == 0
        results = json.loads((tmp_path / "autograder" / "results" / "results.json").read_text())
        assert results["score"] == 0 and "net.py, line 1: class Net(nn.Module)" in results["output"]
        assert isinstance(results["execution_time"], float)
        summary = (tmp_path / "summary.md").read_text()
        assert summary.startswith("### submission: invalid")

    def test_the_autograder_is_ready_to_upload_and_grades_alone_as_among_attacks(self, graded, on_digits, tmp_path):
        assert room.main(["--gradescope", str(tmp_path / "a.zip"), "--max-parameters", "9000", "--verified-only"]) == 0
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            names = archive.namelist()
            run = archive.read("run_autograder").decode()
            assert {"setup.sh", "run_autograder", "grading/__main__.py", "mnist_efficient_model.py"} <= set(names)
            for name in ("setup.sh", "run_autograder"):
                assert archive.getinfo(name).external_attr >> 16 & 0o111, f"{name} must be executable"
                assert archive.read(name).startswith(b"#!/usr/bin/env bash\n")
            archive.extractall(tmp_path / "source")
        assert "--max-parameters 9000" in run and "/autograder/submission" in run and "--verified-only" in run
        out, mine = tmp_path / "grades", graded.folder / "alice.py"
        command = [sys.executable, "-m", "grading", mine, "--out", out, *map(str, on_digits)]
        subprocess.run(command, cwd=tmp_path / "source", check=True, capture_output=True, timeout=100)
        assert read_csv(out / "grades.csv")[0]["score"] == "100.0"
        alone, among = json.loads((out / "students" / "alice.json").read_text()), graded.grade("alice")
        for fact in ("status", "parameters", "verified", "description_bytes"):
            assert alone[fact] == among[fact]
        assert mine.read_text() == LINEAR


class TestTheCommand:
    @pytest.mark.parametrize(
        "arguments, status, words",
        [
            ((), 2, "which submissions?"),
            (("no/such/folder",), 2, "does not exist"),
            (("--rubric", "no.toml", str(HERE)), 2, "no.toml"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(self, arguments, status, words, capsys):
        assert room.main(list(arguments)) == status
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1

    @pytest.mark.parametrize(
        "option, value, words",
        [
            ("--min-accuracy", "95", "from 0 to 1"),
            ("--seeds", "0", "from 1"),
            ("--timeout", "nan", "from 0.001"),
            ("--jobs", "two", "int"),
        ],
    )
    def test_refuses_a_number_that_cannot_be(self, option, value, words, capsys):
        with pytest.raises(SystemExit) as stop:
            room.main([option, value, "x"])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and option in error and words in error and len(error.splitlines()) == 1

    def test_imports_nothing_from_a_students_folder(self, tmp_path):
        for name in ("json", "signal", "torch", "csv", "mnist_efficient_model"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
        command = [sys.executable, "-m", "grading", "--version"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stdout.startswith("python -m grading ") and done.returncode == 0, done.stderr

    def test_of_an_empty_folder_says_so(self, tmp_path, capsys):
        assert room.main([str(tmp_path)]) == 2
        assert "holds no submissions" in capsys.readouterr().err

    def test_of_the_folder_where_results_go_says_so(self, on_digits, tmp_path, capsys):
        (tmp_path / "alice.py").write_text(LINEAR)
        assert room.main([str(tmp_path), "--out", str(tmp_path), *map(str, on_digits)]) == 2
        assert "a folder of their own" in capsys.readouterr().err

    def test_tells_before_the_grading_that_it_cannot_write(self, on_digits, tmp_path, capsys):
        (tmp_path / "alice.py").write_text(LINEAR)
        (tmp_path / "file").write_text("")
        assert room.main([str(tmp_path / "alice.py"), "--out", str(tmp_path / "file"), *map(str, on_digits)]) == 4
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_tells_that_there_is_no_room_for_temporary_files(self, on_digits, tmp_path, capsys, monkeypatch):
        (tmp_path / "alice.py").write_text(LINEAR)

        def full(**_: object) -> str:
            raise OSError(28, "No space left on device", "/tmp/grading-x")

        monkeypatch.setattr(room.tempfile, "mkdtemp", full)
        assert room.main([str(tmp_path / "alice.py"), "--out", str(tmp_path / "grades"), *map(str, on_digits)]) == 4
        error = capsys.readouterr().err
        assert "No space left on device" in error and len(error.splitlines()) == 1

    def test_works_where_the_locale_knows_only_ascii(self, on_digits, tmp_path):
        (tmp_path / "Zoë.py").write_text(SYNTAX_ERROR, encoding="utf-8")
        environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = run_grading(tmp_path / "Zoë.py", "--out", tmp_path / "grades", *on_digits, env=environment)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        assert read_csv(tmp_path / "grades" / "grades.csv")[0]["student"] == "Zoë"

    def test_takes_the_model_that_the_teacher_names(self, grade_here, on_digits, tmp_path):
        shutil.copy(HERE / "attacks" / "two_models.py", tmp_path / "two.py")
        grade_here(tmp_path / "two.py", "--out", tmp_path / "grades", "--model-name", "First", *on_digits)
        assert json.loads((tmp_path / "grades" / "students" / "two.json").read_text())["status"] == "passed"

    def test_counts_only_verified_grades_where_asked(self, grade_here, on_digits, tmp_path):
        folder = tmp_path / "class"
        folder.mkdir()
        (folder / "alice.py").write_text(LINEAR)
        (folder / "bob.py").write_text(NOT_A_GRAPH)
        (folder / "carol.py").write_text(carriers()["in_a_string"]["model.py"])
        grade_here(folder, "--out", tmp_path / "grades", "--verified-only", *on_digits)
        rows = {row["student"]: row for row in read_csv(tmp_path / "grades" / "grades.csv")}
        assert {name: row["status"] for name, row in rows.items()} == {
            "alice": "passed", "bob": "invalid", "carol": "invalid",
        }  # fmt: skip
        assert "bob.py, line" in rows["bob"]["reason"] and "compressed" in rows["carol"]["reason"]


class TestTheAccuracy:
    @pytest.mark.parametrize(
        "name", ["clips_weights", "base_and_derived:Deeper", "repository", "activation_norm", "lstm"]
    )
    def test_is_that_of_a_plain_run_but_for_the_names_of_the_classes(
        self, grade_here, on_digits, digits, tmp_path, monkeypatch, name
    ):
        name, colon, chosen = name.partition(":")  # which one to take is found by grading alone
        path = HERE / "honest" / f"{name}.py"
        path = path if path.exists() else HERE / "honest" / name
        monkeypatch.setattr(judge, "secret_permutation", lambda: np.arange(10))
        grade_here(path, "--out", tmp_path / "grades", *on_digits)
        found = json.loads((tmp_path / "grades" / "students" / f"{name}.json").read_text())
        main = path if path.is_file() else path / "src" / "model.py"
        monkeypatch.syspath_prepend(str(path))
        monkeypatch.chdir(tmp_path)  # a script may make a folder of its own
        monkeypatch.delitem(sys.modules, "data", raising=False)  # one imports its own module of that name
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result, _ = challenge.run(f"{main}{colon}{chosen}", challenge.load_dataset("fashion", digits))
        finally:
            torch.set_num_threads(threads)
        assert found["accuracy"] == result.test_accuracy
        assert found["runs"][0]["train_accuracy"] == result.curve[-1]["accuracy"]

    def test_is_taken_under_other_names_of_the_classes_for_each_seed(self, grade_here, on_digits, tmp_path):
        (tmp_path / "alice.py").write_text(LINEAR)
        grade_here(tmp_path / "alice.py", "--out", tmp_path / "grades", *on_digits, "--seeds", 2)
        runs = json.loads((tmp_path / "grades" / "students" / "alice.json").read_text())["runs"]
        assert [sorted(run["labels"]) for run in runs] == [list(range(10))] * 2
        assert runs[0]["labels"] != runs[1]["labels"] and min(run["accuracy"] for run in runs) > 0.95


class TestWeightsBroughtAlong:
    """Initial weights of two builds, as a formula, a seed or a training at home would make them."""

    @pytest.mark.parametrize(
        "make, same",
        [
            (lambda seed: np.random.default_rng(seed).normal(size=784), False),
            (lambda seed: np.random.default_rng(3).normal(size=784), True),
            (
                lambda seed: np.random.default_rng(3).normal(size=784) + 0.01 * np.random.default_rng(seed).normal(),
                True,
            ),
        ],
    )
    def test_resemble_each_other(self, make, same):
        assert checks.resembles(make(0).astype(np.float32), make(1).astype(np.float32)) is same


class TestTheState:
    """What comes back from a child that trained a submission's own code is checked before anything is made of it."""

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"[]",
            b"{",
            b'[["w", "parameter", "float32", [2]]]\n1234',
            b'[["w", "parameter", "float32", [1]]]\n12345',
            b'[["w", "parameter", "object", [1]]]\n1234',
            b'[["w", "code", "float32", [1]]]\n1234',
            b'[["w", "parameter", "float32", [-1]]]\n',
            b'[["w", "parameter", "float32", [1e3]]]\n',
            b'[["w", "parameter", "float32", [true]]]\n1234',
            b'[["w", "parameter", "float32", [99999999999, 99999999999]]]\n1234',
            b'[["w", "parameter", "float32", [' + b"1," * 40 + b"1]]]\n1234",
            b"[" * 100_000 + b"\n",
            b"7\n",
            base64.b64encode(hashlib.sha512(b"x").digest()),
        ],
    )
    def test_that_is_malformed_is_refused(self, raw):
        with pytest.raises(ValueError, match="not a packed state"):
            state.unpack(raw)

    def test_survives_the_journey(self):
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        back = state.unpack(state.pack(model))
        assert [entry.kind for entry in back] == ["parameter"] * 4 + ["statistics"] * 3
        other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        state.load(other, state.pack(model))
        assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))

    def test_of_another_model_is_refused(self):
        with pytest.raises(ValueError, match="another one"):
            state.load(nn.Linear(3, 2), state.pack(nn.Linear(3, 4)))


class TestAMessageOfAChild:
    """A worker takes it for hostile."""

    @staticmethod
    def heard(line: bytes) -> dict:
        watch = Watch({"seconds": 1, "memory": 1}, "token")
        watch.take_message(line + b"\n")
        return watch.answer

    def test_counts_behind_the_right_token_only(self):
        message = b'{"status": "done", "reason": "", "facts": {"images_seen": 7}}'
        assert self.heard(b"token " + message) == {"status": "done", "reason": "", "facts": {"images_seen": 7}}
        for forged in (b"other ", b"token", b"", b"tokem "):
            assert self.heard(forged + message)["status"] == "rejected"

    def test_never_gives_a_verdict(self):
        for status in ("passed", "failed", "crashed", "", None, [], {}):
            message = json.dumps({"status": status, "reason": "", "facts": {}}).encode()
            assert self.heard(b"token " + message)["status"] == "rejected"

    def test_is_cut_and_cleaned(self):
        reason = "a\n# b\x1b[2J" + "c" * 5000
        message = json.dumps({"status": "invalid", "reason": reason, "facts": {"x": 1, "recipe": [1]}})
        answer = self.heard(b"token " + message.encode())
        assert answer["reason"].startswith("a # b [2Jccc") and len(answer["reason"]) == 600 and answer["facts"] == {}


class TestTheCode:
    """What of a submission is laid out, and how long that is."""

    def test_is_laid_out_without_comments_and_docstrings_line_by_line(self):
        files = {"model.py": b'"""Doc."""\nx = 1  # one\n\n\ndef f():\n    """More."""\n    return "text"\n'}
        assert source.needed(files, "model.py")["model.py"].split(b"\n") == [
            b'""', b"x = 1", b"", b"", b"def f():", b'    ""', b'    return "text"', b"",
        ]  # fmt: skip

    def test_is_only_what_the_model_imports_or_names(self):
        files = dict.fromkeys(("util.py", "other.py", "config.json", "other.json"), b"")
        files["model.py"] = b"import util\nopen('config.json')\n"
        assert sorted(source.needed(files, "model.py")) == ["config.json", "model.py", "util.py"]

    def test_is_all_where_names_are_computed(self):
        files = {"model.py": b"import importlib\nimportlib.import_module(name)\n", "other.py": b""}
        assert sorted(source.needed(files, "model.py")) == ["model.py", "other.py"]

    def test_is_as_long_as_what_cannot_be_compressed(self):
        short, long = (source.description_length({"model.py": LINEAR.encode() + b"#" * n}) for n in (0, 100_000))
        assert short < 200 and long < 500
        chance = random.Random(0).randbytes(10_000).hex().encode()
        assert 10_000 < source.description_length({"model.py": chance}) < 12_000

    @pytest.mark.parametrize("code", [b"(" * 100_000, b"x = " + b"-" * 50_000 + b"1", b"\xff\xfe", b"# coding: no\n"])
    def test_that_is_none_harms_nobody(self, code):
        assert source.needed({"model.py": code}, "model.py") == {"model.py": code}


def isolation_table() -> list[dict[str, str]]:
    """The table in docs/grading.md of what a submission can do, one dictionary per line."""
    lines = (ROOT / "docs" / "grading.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| can it ..."))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:]]
    rows = rows[: next(i for i, row in enumerate(rows) if len(row) == 1)]
    return [dict(zip(("attempt", "", "namespaces", "namespaces,landlock"), row, strict=True)) for row in rows[2:]]


def usable_python(user: int) -> str | None:
    """A Python that this user may run; the probe needs only the standard library."""
    for python in (sys.executable, "/usr/bin/python3"):
        code = (
            f"import os; os.setresuid({user}, {user}, {user}); import sysconfig; sysconfig.get_paths(); import ctypes"
        )
        if shutil.which(python) and subprocess.run([python, "-c", code], capture_output=True).returncode == 0:
            return python
    return None


@pytest.mark.skipif(isolation.LIBC is None, reason="needs Linux")
class TestIsolation:
    @pytest.mark.parametrize("user", [os.getuid(), 65534])
    @pytest.mark.parametrize("refused", ["", "namespaces", "namespaces,landlock"])
    def test_holds_what_the_table_in_the_docs_says(self, tmp_path_factory, user, refused):
        if os.getuid() not in (0, user) or not (python := usable_python(user)):
            pytest.skip("cannot run Python as that user here")
        root = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
        try:
            for folder in (root, root / "hidden", root / "other"):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o777)
                (folder / "secret").write_text("labels")
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
                command = [python, HERE / "probe_isolation.py", user, refused, root / "hidden", root / "other", port]
                done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
        finally:
            shutil.rmtree(root)
        if "Permission" in done.stderr:
            pytest.skip("that user cannot read this project here")
        found = json.loads(done.stdout)
        granted = found.pop("granted")
        if granted != [name for name in ("namespaces", "landlock") if name not in refused]:
            pytest.skip(f"this kernel grants {granted or 'nothing'}")
        assert found == {row["attempt"]: row[refused] == "yes" for row in isolation_table()}
