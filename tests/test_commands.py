"""The two commands: what they say first, which folder they take for what, what is kept, and how they end."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from grading import __main__ as grading_command
from grading import check, command, gradebook, grades, judge, pool, submissions
from grading.sandbox import isolation
from grading.sandbox.server import ForkServer, ServerFailed, WorkerLost
from helpers import LINEAR
from mnist_efficient_model import Limits

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

ROOT = Path(__file__).resolve().parent.parent
SYNTAX_ERROR = "class Net(nn.Module)\n"
SLOW = LINEAR + "\n\nfrom time import sleep\n\ndef build_model():\n    sleep(300)\n"


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    text = (out / "grades.csv").read_text(encoding="utf-8")
    return {row["student"]: row for row in csv.DictReader(io.StringIO(text))}


def statuses(out: Path) -> dict[str, str]:
    return {student: row["status"] for student, row in rows_of(out).items()}


def a_class(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for student, code in files.items():
        (folder / f"{student}.py").write_text(code)
    return folder


def start(*arguments: object, module: str = "grading", **named: object) -> subprocess.Popen:
    line = [sys.executable, "-m", module, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    return subprocess.Popen(line, **{**pipes, **named})


class TestTheFirstLine:
    @pytest.mark.parametrize("module", ["grading", "grading.check"])
    def test_says_within_a_second_what_the_folder_is_taken_for(self, module, on_digits, tmp_path):
        folder = a_class(tmp_path / "class", alice=SLOW, bob=SLOW)
        started = time.monotonic()
        process = start(folder, *on_digits, module=module, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
        line = process.stderr.readline()
        seconds = time.monotonic() - started
        process.send_signal(signal.SIGINT)
        process.communicate()
        what = "2 submissions, 1 seed each" if module == "grading" else "one submission, 1 seed"
        assert line == f"{folder}: {what}; loading PyTorch\n" and seconds < 1
        assert process.returncode == 130

    def test_comes_before_torch_is_imported(self):
        code = "import sys, grading.__main__, grading.check; print({'torch', 'numpy'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert done.stdout == "set()\n", done.stderr

    @pytest.mark.parametrize("file", ["model.py", ".git"])
    def test_of_a_class_that_looks_like_one_student_names_the_other_command(
        self, file, grade_here, on_digits, tmp_path, capsys
    ):
        folder = a_class(tmp_path / "class", alice=SYNTAX_ERROR)
        (folder / file).write_text(SYNTAX_ERROR)
        assert grade_here(folder, "--out", tmp_path / "grades", *on_digits) == 0
        assert f"python -m grading.check {folder}" in capsys.readouterr().err
        assert set(statuses(tmp_path / "grades")) == {"alice", "model"} - ({"model"} if file == ".git" else set())

    def test_of_one_submission_that_looks_like_a_class_names_the_other_command(
        self, check_here, on_digits, tmp_path, capsys
    ):
        for student in ("alice", "bob", "carol"):
            a_class(tmp_path / student, model=SYNTAX_ERROR)
        check_here(tmp_path, *on_digits)
        assert f"for a class say python -m grading {tmp_path}" in capsys.readouterr().err

    def test_is_the_only_one_where_the_command_line_is_wrong(self, grade_here, check_here, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        (tmp_path / "alice.py").write_text(LINEAR)
        wrong = [
            (grade_here, [], "which class?"),
            (grade_here, ["no/such/folder"], "is no folder"),
            (grade_here, [tmp_path / "alice.py"], f"python -m grading.check {tmp_path}"),
            (grade_here, [tmp_path / "empty"], "holds no submissions"),
            (grade_here, [tmp_path, "--jobs", "two"], "int"),
            (check_here, ["no/such/file.py"], "does not exist"),
            (check_here, [tmp_path / "alice.py", "--update", tmp_path / "grades"], "no such folder of grades"),
            (check_here, [tmp_path / "alice.py", "--min-accuracy", "95"], "from 0 to 1"),
            (check_here, [tmp_path / "alice.py", "--seeds", "0"], "from 1"),
            (check_here, [tmp_path / "alice.py", "--timeout", "nan"], "from 0.001"),
        ]
        for run, arguments, words in wrong:
            assert run(*arguments) == 2
            error = capsys.readouterr().err
            assert words in error and len(error.splitlines()) == 1, error


class TestTheEnd:
    @pytest.mark.parametrize(
        "code, options, status",
        [
            (LINEAR, (), 0),
            (LINEAR, ("--max-parameters", 7000), 1),
            (SYNTAX_ERROR, (), 3),
            ("", (), 3),
        ],
    )
    def test_of_a_check_tells_the_verdict(self, code, options, status, check_here, on_digits, tmp_path, capsys):
        (tmp_path / "alice.py").write_text(code)
        assert check_here(tmp_path / "alice.py", *on_digits, *options) == status
        printed = capsys.readouterr()
        word = {0: "passed", 1: "failed", 3: "invalid"}[status]
        assert printed.out.startswith(f"alice: {word}, ") and "\nNext\n" in printed.out
        assert "reading the code" in printed.err, "what is being done is said"
        assert {path.name for path in tmp_path.iterdir()} == {"alice.py"}, "nothing is written"

    def test_of_a_check_is_4_where_the_machine_failed(self, check_here, on_digits, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(judge.Grader, "grade", lambda *_: 1 / 0)
        (tmp_path / "alice.py").write_text(LINEAR)
        assert check_here(tmp_path / "alice.py", *on_digits) == 4
        assert "division by zero" in capsys.readouterr().out

    def test_of_a_class_is_0_whatever_the_grades(self, grade_here, on_digits, tmp_path, capsys):
        folder = a_class(tmp_path / "class", alice=LINEAR, bob=SYNTAX_ERROR)
        assert grade_here(folder, "--out", tmp_path / "grades", *on_digits) == 0
        printed = capsys.readouterr()
        assert printed.out == f"2 graded: 1 invalid, 1 passed; see {tmp_path / 'grades'}\n"
        assert re.search(r"\[0/2\] alice: \w+", printed.err), "what is being done is said"
        assert re.search(r"\[1/2\] alice: passed: 7,850 parameters, .* \(about \d+ s left\)\n", printed.err)

    @pytest.mark.parametrize(
        "break_it, words",
        [
            (lambda patch: patch.setattr(pool.tempfile, "mkdtemp", full), "No space left on device"),
            (lambda patch: patch.setattr(ForkServer, "run", cannot_start), "no memory for PyTorch"),
            (lambda patch: patch.setattr(gradebook, "write_file", full), "No space left on device"),
        ],
    )
    def test_is_one_line_and_status_4_where_the_machine_cannot(
        self, break_it, words, grade_here, on_digits, tmp_path, monkeypatch, capsys
    ):
        break_it(monkeypatch)
        folder = a_class(tmp_path / "class", alice=LINEAR)
        assert grade_here(folder, "--out", tmp_path / "grades", *on_digits) == 4
        first, *progress, error = capsys.readouterr().err.splitlines()
        assert "loading PyTorch" in first and words in error
        assert all(line.startswith("[0/1] alice: ") for line in progress)

    def test_shows_on_a_terminal_what_is_being_done_in_a_line_that_is_replaced(self, on_digits, tmp_path):
        folder = a_class(tmp_path / "class", alice=LINEAR, bob=LINEAR)
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 60))
        process = start(folder, "--out", tmp_path / "grades", *on_digits, stderr=theirs)
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                seen += os.read(ours, 1 << 16)
            except OSError:  # the end
                break
        os.close(ours)
        assert process.wait(60) == 0
        lines = seen.decode().split("\r\x1b[K")
        for words in ("[0/2] alice: training", "[1/2] alice: passed: 7,850 parameters", "[1/2] bob: testing (about "):
            assert any(line.startswith(words) for line in lines), seen.decode()
        assert all(len(line) < 60 for line in lines if not line.endswith("\n"))

    def test_works_where_the_locale_knows_only_ascii(self, on_digits, tmp_path):
        (tmp_path / "Zoë.py").write_text(SYNTAX_ERROR, encoding="utf-8")
        environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        process = start(tmp_path / "Zoë.py", *on_digits, module="grading.check", env=environment)
        _, error = process.communicate()
        assert process.returncode == 3 and "Traceback" not in error, error


def full(*_: object, **__: object) -> str:
    raise OSError(28, "No space left on device", "/tmp/grading-x")


def cannot_start(_: ForkServer, task: dict) -> None:
    raise ServerFailed("no memory for PyTorch")


class TestGradingAgain:
    def test_grades_only_what_changed(self, grade_here, on_digits, tmp_path, capsys):
        folder, out = a_class(tmp_path / "class", alice=LINEAR, bob=SYNTAX_ERROR), tmp_path / "grades"
        grade_here(folder, "--out", out, *on_digits)
        before = {path.name: path.stat().st_mtime_ns for path in (out / "students").iterdir()}
        (folder / "bob.py").write_text(SYNTAX_ERROR + "\n")
        capsys.readouterr()
        grade_here(folder, "--out", out, *on_digits)
        after = {path.name: path.stat().st_mtime_ns for path in (out / "students").iterdir()}
        assert "1 of 2 were graded before" in capsys.readouterr().err
        assert before["alice.json"] == after["alice.json"] and before["bob.json"] != after["bob.json"]

    def test_of_one_student_updates_that_row_of_the_class(self, grade_here, check_here, on_digits, tmp_path, capsys):
        folder, out = a_class(tmp_path / "class", alice=SYNTAX_ERROR, bob=SYNTAX_ERROR), tmp_path / "grades"
        (folder / "bob").mkdir()  # which makes the file's student bob.py
        grade_here(folder, "--out", out, *on_digits)
        (folder / "bob.py").write_text(LINEAR)
        assert check_here(folder / "bob.py", "--update", out, *on_digits) == 0
        assert statuses(out) == {"alice": "invalid", "bob": "invalid", "bob.py": "passed"}
        capsys.readouterr()
        grade_here(folder, "--out", out, *on_digits)
        assert "3 of 3 were graded before" in capsys.readouterr().err, "the check's verdict is the class's"

    def test_writes_what_is_about_all_at_the_end_and_every_few_seconds(
        self, grade_here, on_digits, tmp_path, monkeypatch
    ):
        written, write = [], gradebook.Gradebook.write
        monkeypatch.setattr(gradebook.Gradebook, "write", lambda book: (written.append(len(book.grades)), write(book)))
        folder = a_class(tmp_path / "class", alice=SYNTAX_ERROR, bob=SYNTAX_ERROR, carol=SYNTAX_ERROR)
        grade_here(folder, "--out", tmp_path / "grades", *on_digits)
        assert written == [3]
        monkeypatch.setattr(gradebook, "WRITE_SECONDS", 0)
        grade_here(folder, "--out", tmp_path / "others", *on_digits)
        assert written == [3, 1, 2, 3, 3]

    def test_ignores_a_damaged_file_of_an_earlier_run(self, grade_here, on_digits, tmp_path):
        folder, out = a_class(tmp_path / "class", alice=SYNTAX_ERROR), tmp_path / "grades"
        grade_here(folder, "--out", out, *on_digits)
        for name, content in (("alice", "{"), ("bob", "[1]"), ("carol", '{"student": "alice"}')):
            (out / "students" / f"{name}.json").write_text(content)
        assert grade_here(folder, "--out", out, *on_digits) == 0
        assert statuses(out) == {"alice": "invalid"}

    def test_happens_under_other_rules(self, tmp_path):
        submission = submissions.read_submission(a_class(tmp_path / "class", model=LINEAR))
        settings = grades.Settings(Limits(), "mnist", (0, 1, 2), None, 300.0, 1 << 31)
        others = [{"limits": Limits(7000)}, {"seeds": (0,)}, {"dataset": "kmnist"}, {"verified_only": True}]
        keys = {dataclasses.replace(settings, **other).key(submission, "data") for other in others}
        assert settings.key(submission, "data") != settings.key(submission, "other data")
        assert len(keys | {settings.key(submission, "data")}) == 5

    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_goes_on_where_a_run_was_ended(self, ending, on_digits, tmp_path):
        folder, scratch, out = a_class(tmp_path / "class", a=LINEAR, b=SLOW), tmp_path / "scratch", tmp_path / "grades"
        scratch.mkdir()
        environment = {**os.environ, "TMPDIR": str(scratch)}
        process = start(folder, "--out", out, *on_digits, env=environment)
        while not process.stderr.readline().startswith("[1/2]"):
            pass
        time.sleep(0.3)
        process.send_signal(ending)
        process.communicate(timeout=30)
        if ending != signal.SIGKILL:
            assert process.returncode == 130 and statuses(out) == {"a": "passed"}
            assert list(scratch.iterdir()) == [], "nothing is left running or lying about"
        (folder / "b.py").unlink()
        process = start(folder, "--out", out, *on_digits, env=environment)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0 and "1 of 1 were graded before" in error
        assert statuses(out) == {"a": "passed"}


class TestAFolderOfGrades:
    FORGED = json.dumps({"student": "alice", "status": "passed", "reason": "", "key": "", "runs": []})

    def forge(self, folder: Path) -> None:
        (folder / "students").mkdir(parents=True)
        (folder / "students" / "alice.json").write_text(self.FORGED)
        (folder / "model.py").write_text(LINEAR)

    def test_that_a_student_hands_in_is_a_submission_like_any(self, grade_here, on_digits, tmp_path):
        folder = a_class(tmp_path / "class", alice=SYNTAX_ERROR)
        self.forge(folder / "grades")
        assert grade_here(folder, "--out", tmp_path / "out", *on_digits) == 0
        assert statuses(tmp_path / "out") == {"alice": "invalid", "grades": "passed"}

    @pytest.mark.parametrize("out", [".", "grades", "new", "alice/new", "../link", "../link/new"])
    def test_is_never_among_the_submissions(self, out, grade_here, on_digits, tmp_path, monkeypatch, capsys):
        folder = a_class(tmp_path / "class", bob=SYNTAX_ERROR)
        for student in ("grades", "alice"):
            self.forge(folder / student)
            (folder / student / gradebook.MARKER).touch()
        (tmp_path / "link").symlink_to(folder)
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.chdir(folder)
        assert grade_here(".", "--out", out, *on_digits) == 2
        assert "among the submissions" in capsys.readouterr().err and sorted(tmp_path.rglob("*")) == before

    def test_is_one_that_the_grader_made(self, grade_here, check_here, on_digits, tmp_path, capsys):
        folder, out = a_class(tmp_path / "class", alice=SYNTAX_ERROR), tmp_path / "documents"
        a_class(out, letter="")
        assert grade_here(folder, "--out", out, *on_digits) == 2
        assert check_here(folder / "alice.py", "--update", out, *on_digits) == 2
        assert capsys.readouterr().err.count("the grader did not make it") == 2
        assert [path.name for path in out.iterdir()] == ["letter.py"]

    def test_may_be_copied_together_from_several(self, grade_here, on_digits, tmp_path, capsys):
        folder, out = a_class(tmp_path / "class", alice=SYNTAX_ERROR), tmp_path / "grades"
        grade_here(folder, "--out", tmp_path / "part", *on_digits)
        shutil.copytree(tmp_path / "part", out)
        capsys.readouterr()
        assert grade_here(folder, "--out", out, *on_digits) == 0
        assert "1 of 1 were graded before" in capsys.readouterr().err

    def test_does_not_hold_the_data(self, grade_here, on_digits, digits, tmp_path):
        folder = a_class(tmp_path / "class", alice=SYNTAX_ERROR)
        shutil.copytree(digits, folder / "digits")
        assert grade_here(folder, "--out", tmp_path / "grades", *on_digits, "--data-dir", folder / "digits") == 0
        assert statuses(tmp_path / "grades") == {"alice": "invalid"}


class TestOneSubmissionsTrouble:
    @pytest.mark.parametrize("error", [RuntimeError("boom\n\x1b[2J"), RecursionError(), UnicodeError("\udcff")])
    def test_is_its_own(self, grade_here, on_digits, tmp_path, monkeypatch, capsys, error):
        genuine = judge.Grader.grade

        def grade(self, submission, worker):
            if submission.student == "alice":
                raise error
            return genuine(self, submission, worker)

        monkeypatch.setattr(judge.Grader, "grade", grade)
        folder = a_class(tmp_path / "class", alice=SYNTAX_ERROR, bob=SYNTAX_ERROR)
        assert grade_here(folder, "--out", tmp_path / "grades", *on_digits) == 0
        assert statuses(tmp_path / "grades") == {"alice": "machine_error", "bob": "invalid"}
        assert len(capsys.readouterr().err.splitlines()) == 4, "what it takes the folder for, a step, two verdicts"

    def test_that_ends_the_fork_server_does_not_end_the_class(self, grade_here, on_digits, tmp_path, warm_server):
        warm_server.process.kill()
        warm_server.process.wait()
        folder = a_class(tmp_path / "class", alice=LINEAR)
        assert grade_here(folder, "--out", tmp_path / "grades", *on_digits) == 0
        assert statuses(tmp_path / "grades") == {"alice": "passed"}

    def test_with_a_worker_that_dies_is_retried_with_another(self, grade_here, on_digits, tmp_path, monkeypatch):
        genuine, lost = ForkServer.run, []

        def run(self, task):
            if not lost:
                lost.append(task)
                raise WorkerLost("a worker ended")
            return genuine(self, task)

        monkeypatch.setattr(ForkServer, "run", run)
        folder = a_class(tmp_path / "class", alice=LINEAR)
        assert grade_here(folder, "--out", tmp_path / "grades", *on_digits) == 0
        assert statuses(tmp_path / "grades") == {"alice": "passed"}


class TestNames:
    NAMES = ("=cmd|' /C calc'!A0", 'Zoë, the "great" <b>', "a b", "+1", "＝1", " ＠1", "名前", "..x")

    def test_are_harmless_in_every_file(self, grade_here, on_digits, tmp_path):
        folder, out = tmp_path / "class", tmp_path / "grades"
        for name in self.NAMES:
            (folder / name.replace("/", "∕")).mkdir(parents=True)
        assert grade_here(folder, "--out", out, *on_digits) == 0
        students = list(rows_of(out))
        assert len(students) == len(self.NAMES) - 1, "a name that begins with a dot is hidden"
        assert not any(name.strip()[0] in "=+-@＝＋－＠" for name in students)
        page = (out / "report.html").read_text(encoding="utf-8")
        assert "<b>" not in page and "&lt;b&gt;" in page
        files = [path.name for path in (out / "students").iterdir()]
        assert len(set(files)) == 2 * len(students) and all(name.isascii() and " " not in name for name in files)

    def test_that_differ_only_in_odd_characters_or_case_get_files_of_their_own(self):
        names = ["a b", "a_b", "a/b", "ä b", "a  b", "A_b", "A_B"]
        names += [grades.file_name(name) for name in names]  # chosen to meet another's file
        assert len({grades.file_name(name).lower() for name in names}) == len(set(names))

    @pytest.mark.parametrize("module", ["grading", "grading.check"])
    def test_of_files_in_the_current_folder_are_not_those_of_modules(self, module, tmp_path):
        for name in ("json", "signal", "torch", "csv", "mnist_efficient_model", "grading"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        (tmp_path / "grading.py").unlink()  # Python itself finds "grading" there before anything of ours runs
        process = start("--help", module=module, cwd=tmp_path, env=environment)
        printed, error = process.communicate()
        assert printed.startswith(f"usage: python -m {module} ") and process.returncode == 0, error


class TestOptions:
    @pytest.mark.parametrize("name", ["cifar", "auto"])
    def test_know_the_datasets_of_the_script(self, name, check_here, tmp_path, capsys):
        (tmp_path / "alice.py").write_text(LINEAR)
        assert check_here(tmp_path / "alice.py", "--dataset", name) == 2
        assert f"--dataset {name}: choose from mnist, strokes" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "words",
        [
            [],
            ["--seeds=2", "--seed=7", "--max-parameters=9000", "--min-accuracy=0.0", "--verified-only"],
            ["--model-name=-x 'y'", "--dataset=kmnist", "--timeout=2.5", "--memory=99"],
        ],
    )
    def test_are_passed_on_to_another_command(self, words):
        parser = command.Parser()
        found = command.options(parser.parse_args(words))
        assert sorted(found) == sorted(words)
        assert vars(parser.parse_args(found)) == vars(parser.parse_args(words))

    def test_choose_the_model_of_a_file_with_several(self, check_here, on_digits, tmp_path):
        (tmp_path / "two.py").write_text(LINEAR + LINEAR.replace("Net", "Other").replace("10)", "10, bias=False)"))
        assert check_here(tmp_path / "two.py", *on_digits) == 3
        assert check_here(tmp_path / "two.py", "--model-name", "Net", *on_digits) == 0

    def test_count_only_verified_grades_where_asked(self, check_here, on_digits, tmp_path, capsys):
        code = LINEAR.replace("return", "x = x if x.mean() > -9 else -x\n        return")
        (tmp_path / "bob.py").write_text(code)
        assert check_here(tmp_path / "bob.py", "--verified-only", *on_digits) == 3
        assert "bob.py, line" in capsys.readouterr().out

    def test_of_a_check_are_those_of_the_class_and_those_of_one_submission(self):
        shared = ["--seeds=2", "--max-parameters=7", "--verified-only", "--rubric=r.toml", "--model-name=Net"]
        one = vars(check.parse_arguments([str(ROOT), *shared]))
        many = vars(grading_command.parse_arguments([str(ROOT / "tests"), *shared]))
        names = vars(command.Parser().parse_args([]))
        assert {name: one[name] for name in names} == {name: many[name] for name in names}
