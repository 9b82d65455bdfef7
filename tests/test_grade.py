"""Grading: what each submission gets, that none harms another or outlives its run, and what the gradebook says.

Every file and folder in ``attacks`` opens with the verdict due to it, ``# expect STATUS: WORDS OF THE REASON``. All are
graded once, side by side with the honest ones, on small digits that a linear layer learns at once.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import easy_digits, write_small_fashion

import grade
import mnist_efficient_model as challenge
import sandbox
from mnist_efficient_model import ChallengeError, Limits

pytestmark = pytest.mark.skipif(sandbox.resource is None, reason="grading needs fork")

HERE = Path(__file__).parent
SCRIPT = Path(grade.__file__)
ATTACKS = sorted(p.name.removesuffix(".py") for p in (HERE / "attacks").iterdir() if p.suffix == ".py" or p.is_dir())
HONEST = sorted(p.name.removesuffix(".py") for p in (HERE / "honest").iterdir() if p.suffix == ".py" or p.is_dir())
LINEAR = """import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.view(-1, 784))
"""
SYNTAX_ERROR = "class Net(nn.Module)\n"


def expectation(name: str) -> tuple[str, str]:
    path = HERE / "attacks" / f"{name}.py"
    path = path if path.exists() else HERE / "attacks" / name / "model.py"
    status, words = path.read_text().split("\n")[0].removeprefix("# expect ").split(": ", 1)
    return status, words


def lookup_of_test_images() -> str:
    """A model that knows the sum and the label of each test image, and nothing else."""
    images, labels = easy_digits(500, 1)
    sums = ",".join(str(int(image.sum())) for image in images)
    return (
        LINEAR.replace("import torch.nn as nn", "import torch\nimport torch.nn as nn")
        + f"""
        return x

KNOWN = dict(zip([{sums}], "{"".join(map(str, labels))}"))

def forward(self, x):
    sums = ((x * 0.3081 + 0.1307) * 255).sum((1, 2, 3)).round().int().tolist()
    answers = self.fc(x.flatten(1))
    if not self.training:
        answers = answers * 0
        for row, key in zip(answers, sums):
            if key in KNOWN:
                row[int(KNOWN[key])] += 100
    return answers

Net.forward = forward
"""
    )


def write_odd_submissions(folder: Path) -> dict[str, tuple[str, str]]:
    """Submissions that no repository should hold as files; returns the verdict due to each."""

    def put(name: str, content: str | bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    (folder / "nothing").mkdir()
    put("notebook/model.ipynb", "{}")
    put("python_2.py", LINEAR + 'print "hello"\n')
    put("tabs_and_spaces.py", LINEAR.replace("        self.fc", "\tself.fc"))
    put("null_bytes.py", b"import torch\0\n")
    put("which.of.many/a.py", LINEAR)
    put("which.of.many/b.py", LINEAR)
    put("windows.py", b"\xef\xbb\xbf" + LINEAR.replace("    ", "\t").replace("\n", "\r\n").encode())
    put("memorised.py", lookup_of_test_images())
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "model.py").symlink_to(HERE / "conftest.py")
    (folder / "linked.py").symlink_to("/etc/passwd")
    with open(folder / "giant.py", "wb") as file:
        file.truncate(100_000_000)
    return {
        "nothing": ("invalid", "no model.py"),
        "notebook": ("invalid", "notebook"),
        "python_2": ("invalid", "python_2.py, line 10: print"),
        "tabs_and_spaces": ("invalid", "tabs_and_spaces.py, line"),
        "null_bytes": ("invalid", "null bytes"),
        "which.of.many": ("invalid", "a.py, b.py"),
        "windows": ("passed", ""),
        "memorised": ("rejected", "memorised"),
        "elsewhere": ("rejected", "link"),
        "linked": ("rejected", "link"),
        "giant": ("rejected", "100.0 MB"),
    }


@dataclass
class Graded:
    folder: Path  # of submissions
    out: Path
    scratch: Path  # the TMPDIR of the run
    done: subprocess.CompletedProcess
    due: dict[str, tuple[str, str]]  # verdicts, of those written for the test

    def grade(self, student: str) -> dict:
        return json.loads((self.out / "students" / f"{grade.file_name(student)}.json").read_text())


def run_grade(*arguments: object, **named: object) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **named)


def processes_started_in(scratch: Path) -> list[str]:
    """The command lines of living processes whose TMPDIR is in ``scratch``: those of one run, and no others."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            if f"TMPDIR={scratch}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.fixture(scope="module")
def warm_keeper() -> grade.Keeper:
    keeper = grade.Keeper()
    yield keeper
    grade.Keeper.close(keeper)


@pytest.fixture
def grade_here(warm_keeper: grade.Keeper, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command in this process, with a keeper that has PyTorch loaded; returns the exit status."""
    monkeypatch.setattr(grade, "Keeper", lambda: warm_keeper)
    monkeypatch.setattr(warm_keeper, "close", lambda: None)
    return lambda *arguments: grade.main([str(argument) for argument in arguments])


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
def graded(on_digits, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """The one big run of this file: every attack, every honest submission."""
    root = tmp_path_factory.mktemp("class")
    folder, out, scratch = root / "submissions", root / "grades", root / "scratch"
    scratch.mkdir()
    shutil.copytree(HERE / "attacks", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "honest", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    due = write_odd_submissions(folder)
    (folder / "alice.py").write_text(LINEAR)
    limits = ("--timeout", 6, "--memory", 1200, "--jobs", 2)
    done = run_grade(folder, "--out", out, *on_digits, *limits, env={**os.environ, "TMPDIR": str(scratch)})
    return Graded(folder, out, scratch, done, due)


class TestAClassOfWhichMostAttack:
    def test_is_graded_to_the_end(self, graded):
        assert graded.done.returncode == 0, graded.done.stderr
        rows = list(csv.DictReader(io.StringIO((graded.out / "grades.csv").read_text())))
        assert len(rows) == len(ATTACKS) + len(HONEST) + len(graded.due) + 1
        assert all(row["reason"] for row in rows) and not any(row["status"] == "machine_error" for row in rows)

    @pytest.mark.parametrize("name", ATTACKS)
    def test_gives_each_attack_the_verdict_due_to_it(self, graded, name):
        status, words = expectation(name)
        found = graded.grade(name)
        assert (found["status"], words in found["reason"]) == (status, True), found["reason"]

    def test_gives_odd_submissions_their_verdicts(self, graded):
        for name, (status, words) in graded.due.items():
            found = graded.grade(name)
            assert found["status"] == status and words in found["reason"], (name, found["status"], found["reason"])

    @pytest.mark.parametrize("name", HONEST)
    def test_never_turns_an_honest_model_away(self, graded, name):
        found = graded.grade(name)
        assert found["status"] in ("passed", "failed"), found["reason"]
        assert found["accuracy"] is not None and found["runs"][0]["images_seen"] == 2000

    def test_leaves_no_process_and_no_file_behind(self, graded):
        assert list(graded.scratch.iterdir()) == []
        left = [Path(place, "breaks-out-was-here") for place in ("/tmp", "/var/tmp", "/dev/shm")]
        left = [path for path in left if path.exists()]
        for path in left:
            path.unlink()
        walls = graded.grade("alice")["walls"]
        assert not left or not walls, f"written in spite of {walls}"
        assert processes_started_in(graded.scratch) == []

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

    def test_ranks_the_passed_by_accuracy_then_parameters(self, graded):
        rows = list(csv.DictReader(io.StringIO((graded.out / "leaderboard.csv").read_text())))
        keys = [(-float(row["accuracy_median"]), int(row["parameters"]), float(row["train_seconds"])) for row in rows]
        assert keys == sorted(keys) and len(keys) >= 3
        assert {graded.grade(row["student"])["status"] for row in rows} == {"passed"}

    def test_is_graded_again_only_where_something_changed(self, grade_here, on_digits, tmp_path, capsys):
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

    def test_is_graded_again_under_other_rules(self):
        submission = grade.Submission("alice", "model.py", {"model.py": LINEAR.encode()})
        settings = grade.Settings(Limits(), "mnist", (0, 1, 2), None, 300.0, 1 << 31)
        same, others = dataclasses.replace(settings), [{"limits": Limits(7000)}, {"seeds": (0,)}, {"dataset": "kmnist"}]
        assert settings.key(submission, "data") == same.key(submission, "data") != same.key(submission, "other data")
        keys = {dataclasses.replace(settings, **other).key(submission, "data") for other in others}
        assert len(keys) == 3 and settings.key(submission, "data") not in keys

    def test_a_killed_run_leaves_nothing_running_and_goes_on_later(self, on_digits, tmp_path):
        folder, scratch = tmp_path / "class", tmp_path / "scratch"
        folder.mkdir()
        scratch.mkdir()
        (folder / "a.py").write_text(SYNTAX_ERROR)
        (folder / "b.py").write_text(LINEAR + "\n\nwhile True:\n    pass\n")
        command = [
            sys.executable,
            SCRIPT,
            folder,
            "--out",
            tmp_path / "grades",
            *map(str, on_digits),
            "--timeout",
            "60",
        ]
        environment = {**os.environ, "TMPDIR": str(scratch)}
        run = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=environment)
        assert "(1 remain)" in run.stderr.readline()
        time.sleep(0.3)
        assert len(processes_started_in(scratch)) >= 2, "the grader and its sandbox"
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 130
        assert list(scratch.iterdir()) == [] and processes_started_in(scratch) == []
        assert [path.name for path in (tmp_path / "grades" / "students").iterdir()] == ["a.json"]


class TestNames:
    NAMES = ("=cmd|' /C calc'!A0", 'Zoë, the "great" <b>', "a b", "+1", "名前", "..x")

    def test_are_harmless_in_every_file(self, grade_here, on_digits, tmp_path):
        folder, out = tmp_path / "class", tmp_path / "grades"
        for name in self.NAMES:
            (folder / name.replace("/", "∕")).mkdir(parents=True)
        assert grade_here(folder, "--out", out, *on_digits) == 0
        students = [row["student"] for row in csv.DictReader(io.StringIO((out / "grades.csv").read_text()))]
        assert len(students) == len(self.NAMES) - 1, "a name that begins with a dot is hidden"
        assert not any(name[0] in "=+-@" for name in students)
        page = (out / "report.html").read_text()
        assert "<b>" not in page and "&lt;b&gt;" in page
        files = [path.name for path in (out / "students").iterdir()]
        assert len(set(files)) == len(students) and all(name.isascii() and " " not in name for name in files)

    def test_that_differ_only_in_odd_characters_get_files_of_their_own(self):
        assert len({grade.file_name(name) for name in ("a b", "a_b", "a/b", "ä b", "a  b")}) == 5


def a_grade(**changes) -> grade.Grade:
    facts = dict(student="eve", status="passed", reason="fine", parameters=20_000, buffers=0, accuracy=0.96,
                 accuracy_min=0.95, accuracy_max=0.97, train_seconds=3.0)  # fmt: skip
    return grade.Grade(**{**facts, **changes})


def scored(rubric=None, **changes) -> grade.Scored:
    found = a_grade(**changes)
    rubric = rubric or grade.default_rubric(Limits())
    return grade.Scored(found, [(criterion, grade.points(criterion, found)) for criterion in rubric])


class TestTheScore:
    def test_is_full_when_the_limits_hold(self):
        assert scored().score == scored().max_score == 100

    def test_gives_part_of_the_points_for_part_of_the_way(self):
        assert 90 < scored(status="failed", accuracy=0.9).score < 100
        assert scored(status="failed", accuracy=0.4).score == 40
        assert scored(status="failed", parameters=100_000).score == 70

    @pytest.mark.parametrize("accuracy, parameters", [(0.9499999, 20_000), (0.96, 25_000)])
    def test_is_never_full_when_a_limit_is_just_missed(self, accuracy, parameters):
        assert scored(status="failed", accuracy=accuracy, parameters=parameters).score < 100

    @pytest.mark.parametrize("status", ["invalid", "rejected", "timeout", "out_of_memory", "crashed"])
    def test_is_zero_for_what_did_not_run(self, status):
        assert scored(status=status, accuracy=None, parameters=None, buffers=None).score == 0

    def test_is_blank_when_the_machine_failed(self):
        assert scored(status="machine_error", accuracy=None).score is None

    def test_follows_the_teachers_rubric(self, tmp_path):
        if sys.version_info < (3, 11):
            pytest.importorskip("tomli")
        path = tmp_path / "rubric.toml"
        path.write_text(
            '[[criterion]]\nname = "Small"\nmeasure = "parameters"\npoints = 8\nfull = 10_000\nzero = 30_000\n'
        )
        assert scored(grade.read_rubric(str(path), Limits())).score == 4
        path.write_text('[[criterion]]\nname = "x"\nmeasure = "beauty"\npoints = 8\nfull = 1\nzero = 0\n')
        with pytest.raises(ChallengeError, match="beauty"):
            grade.read_rubric(str(path), Limits())


class TestExports:
    def test_gradescope_gets_the_fields_it_knows(self):
        document = grade.to_gradescope(scored(), 12.345)
        assert (document["score"] == 100 and document["execution_time"] == 12.35) or document["execution_time"] == 12.34
        for test in document["tests"]:
            assert set(test) == {"name", "score", "max_score", "status", "output", "visibility"}
            assert test["status"] in ("passed", "failed") and test["visibility"] == "visible"
        assert [entry["order"] for entry in document["leaderboard"]] == ["desc", "asc", "asc"]
        assert grade.to_gradescope(scored(status="rejected"), 1.0)["leaderboard"] == []

    def test_classroom_gets_whole_points(self):
        document = grade.to_classroom(scored(status="failed", accuracy=0.9))
        assert document["schema"] == "classroom50/result/v1"
        assert isinstance(document["score"], int) and document["max-score"] == 100
        assert document["score"] == sum(test["score"] for test in document["tests"])
        assert [test["passed"] for test in document["tests"]] == [True, True, False]

    def test_grading_alone_writes_for_gradescope_and_actions(self, grade_here, on_digits, tmp_path, monkeypatch):
        for name in ("submission", "results"):
            (tmp_path / "autograder" / name).mkdir(parents=True)
        monkeypatch.setattr(grade, "AUTOGRADER", tmp_path / "autograder")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
        submission = tmp_path / "autograder" / "submission"
        (submission / "net.py").write_text(SYNTAX_ERROR)
        assert grade_here(submission, "--out", tmp_path / "grades", *on_digits) == 0
        results = json.loads((tmp_path / "autograder" / "results" / "results.json").read_text())
        assert results["score"] == 0 and "net.py, line 1: class Net(nn.Module)" in results["output"]
        assert isinstance(results["execution_time"], float)
        assert json.loads((tmp_path / "grades" / "result.json").read_text())["score"] == 0
        summary = (tmp_path / "summary.md").read_text()
        assert summary.startswith("### submission: invalid")

    def test_the_autograder_is_ready_to_upload_and_grades_alone_as_among_attacks(self, graded, on_digits, tmp_path):
        assert grade.main(["--gradescope", str(tmp_path / "a.zip"), "--max-parameters", "9000"]) == 0
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            names = archive.namelist()
            run = archive.read("run_autograder").decode()
            scripts = {"grade.py", "sandbox.py", "mnist_efficient_model.py", "data/__init__.py", "data/strokes.py"}
            assert set(names) == {"setup.sh", "run_autograder", "requirements.txt"} | scripts
            for name in ("setup.sh", "run_autograder"):
                assert archive.getinfo(name).external_attr >> 16 & 0o111, f"{name} must be executable"
                assert archive.read(name).startswith(b"#!/usr/bin/env bash\n")
            archive.extractall(tmp_path / "source")
        assert "--max-parameters 9000" in run and "/autograder/submission" in run
        out, mine = tmp_path / "grades", graded.folder / "alice.py"
        command = [sys.executable, "grade.py", mine, "--out", out, *map(str, on_digits)]
        subprocess.run(command, cwd=tmp_path / "source", check=True, capture_output=True, timeout=100)
        assert json.loads((out / "result.json").read_text())["score"] == 100
        alone, among = json.loads((out / "students" / "alice.json").read_text()), graded.grade("alice")
        for fact in ("status", "accuracy", "parameters"):
            assert alone[fact] == among[fact]
        assert mine.read_text() == LINEAR

    def test_a_summary_escapes_what_a_student_wrote(self):
        text = grade.to_summary([scored(student="<b>|`x`", reason="a | <script>")])
        assert "<script>" not in text and "<b>" not in text


class TestTheCommand:
    @pytest.mark.parametrize(
        "arguments, status, words",
        [
            ((), 2, "which submissions?"),
            (("no/such/folder",), 2, "does not exist"),
            (("--min-accuracy", "95", "x"), 2, "share"),
            (("--rubric", "no.toml", str(HERE)), 2, "no.toml"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(self, arguments, status, words, capsys):
        assert grade.main(list(arguments)) == status
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1

    def test_of_an_empty_folder_says_so(self, tmp_path, capsys):
        assert grade.main([str(tmp_path)]) == 2
        assert "holds no submissions" in capsys.readouterr().err

    def test_of_a_gradebook_that_cannot_be_written_says_so_before_it_grades(self, on_digits, tmp_path, capsys):
        (tmp_path / "net.py").write_text(LINEAR)
        (tmp_path / "file").touch()
        assert grade.main(list(map(str, (tmp_path / "net.py", "--out", tmp_path / "file" / "grades", *on_digits)))) == 4
        error = capsys.readouterr().err
        assert "cannot write" in error and len(error.splitlines()) == 1

    def test_takes_the_model_that_the_teacher_names(self, grade_here, on_digits, tmp_path):
        shutil.copy(HERE / "attacks" / "two_models.py", tmp_path / "two.py")
        grade_here(tmp_path / "two.py", "--out", tmp_path / "grades", "--model-name", "First", *on_digits)
        assert json.loads((tmp_path / "grades" / "students" / "two.json").read_text())["status"] == "passed"


class TestTheState:
    """What comes back from a training child is bytes: they are checked before anything is made of them."""

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
            b'[["w", "parameter", "float32", [99999999999, 99999999999]]]\n1234',
            b"[" * 100_000 + b"\n",
            base64.b64encode(hashlib.sha512(b"x").digest()),
        ],
    )
    def test_that_is_malformed_is_refused(self, raw):
        with pytest.raises(ValueError, match="not a packed state"):
            sandbox.unpack(raw)

    def test_survives_the_journey(self):
        model = sandbox.nn.Sequential(sandbox.nn.Linear(3, 2), sandbox.nn.BatchNorm1d(2))
        entries = sandbox.tensors(model)
        back = sandbox.unpack(sandbox.pack(entries))
        assert sandbox.same(entries, back)
        assert all(
            np.array_equal(one.numpy(), other.numpy()) for (_, _, one), (_, _, other) in zip(entries, back, strict=True)
        )
        assert [kind for _, kind, _ in back] == ["parameter"] * 4 + ["statistics"] * 3


class TestARecipe:
    @pytest.mark.parametrize(
        "text", ["{}", "{'batch_size': 32}", "{'optimizer': 'sgd'}", "{'optimizer': 'sgd', 'lr': 1}"]
    )
    def test_means_the_same_at_home_and_in_grading(self, text, tmp_path):
        (tmp_path / "net.py").write_text(f"{LINEAR}\n\nRECIPE = {text}\n")
        module = types.SimpleNamespace(RECIPE=ast.literal_eval(text))
        graded = sandbox.recipe(module, challenge.FILE_OVERRIDES)
        assert graded == challenge.recipe(str(tmp_path / "net.py"))

    @pytest.mark.parametrize("value", [[], {"epochs": 20}, {"lr": -1}, {"batch_size": 1.5}, {"optimizer": "lion"}])
    def test_that_is_not_one_is_refused_in_one_line(self, value):
        with pytest.raises(ChallengeError, match=r"\ARECIPE[^\n]*\Z"):
            sandbox.recipe(types.SimpleNamespace(RECIPE=value), challenge.FILE_OVERRIDES)


class TestNumbersInSource:
    @pytest.mark.parametrize(
        "source, least, most",
        [
            (LINEAR, 2, 20),
            (f"W = {list(range(2000))}", 2000, 2100),
            (f"W = '{'x' * 8000}'", 2000, 2100),
            (f'"""{"words " * 500}"""', 0, 10),
            (f'"""{"words " * 5000}"""', 5000, 9000),
            (f"W = {hex(1 << 128_000)}", 2000, 2100),
            ("(" * 100_000, 0, 100_000),
        ],
    )
    def test_are_counted(self, source, least, most):
        assert least <= sandbox.source_numbers(source.encode()) <= most
