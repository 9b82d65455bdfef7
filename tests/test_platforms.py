"""Where a course lives: what Canvas, Moodle, Gradescope, Classroom 50 and GitHub Actions are given is what they take.

The checks are written from the platforms' own code and pages: canvas-lms' lib/gradebook_importer.rb, Moodle's
mod/assign/feedback/offline/importgradeslib.php, Classroom 50's runner.py (validate_result).
"""

from __future__ import annotations

import ast
import csv
import html
import io
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grading import __main__ as grading_command
from grading import command, platforms, points, rosters
from grading.grades import Grade
from grading.sandbox import isolation
from helpers import LINEAR
from mnist_efficient_model import ChallengeError, Limits

ROOT = Path(__file__).resolve().parent.parent
NAME = "MNIST challenge"
VARIABLES = {
    "CLASSROOM": "cs-principles",
    "ASSIGNMENT": "mnist",
    "SUBMISSION_TAG": "submit/2026-06-01T14-32-05Z-a1b2c3d",
    "COMMIT_URL": "https://github.com/o/r/commit/a1b2c3d",
    "RELEASE_URL": "https://github.com/o/r/releases/tag/submit%2F2026",
    "REVIEW_URL": "https://github.com/o/r/compare/0...a1b2c3d",
}
AWKWARD = 'Müller-Lüdenscheidt, Åse "Ace"'  # commas, quotes and accents
needs_fork = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")


def scored(student: str = "eve", **changes: Any) -> points.Scored:
    facts = {"status": "passed", "reason": "fine", "parameters": 20_000, "buffers": 0, "accuracy": 0.96}
    facts |= {"accuracy_min": 0.95, "accuracy_max": 0.97, "train_seconds": 3.0, "verified": True}
    return points.score(Grade(student, **{**facts, **changes}), points.default_rubric(Limits()))


def half(student: str) -> points.Scored:
    """Fifty points of a hundred."""
    parts = [points.Criterion("Works", "runs", 60), points.Criterion("Small", "parameters", 40, 10_000, 30_000)]
    grade = scored(student, status="failed", reason="too <b>large</b>").grade
    return points.Scored(grade, list(zip(parts, (30.0, 20.0), strict=True)))


def again(student: str) -> points.Scored:
    return scored(student, status="machine_error", accuracy=None)


# --- Canvas and Moodle ------------------------------------------------------------------------------------------------


CANVAS = [
    "Student",
    "ID",
    "SIS User ID",
    "SIS Login ID",
    "Integration ID",
    "Section",
    "Essay (8)",
    f"{NAME} (9)",
    "Name",
]
REST = ["Submitted for grading", "", "10.00", "Yes", "Monday, 1 June 2026, 2:32 PM", "-", ""]
MOODLE = ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed"]
MOODLE += ["Last modified (submission)", "Last modified (grade)", "Feedback comments"]


@pytest.fixture
def fill_in(tmp_path: Path) -> Callable[..., tuple[list[list[str]], list[str]]]:
    """Write a roster with these lines and fill it in; returns the table to import, and the notes."""

    def fill(lines: list[list[str]], *gradebook: points.Scored, encoding: str = "utf-8", delimiter: str = ","):
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter).writerows(lines)
        (tmp_path / "roster.csv").write_text(text.getvalue(), encoding=encoding)
        comments = {each.grade.student: f"{each.grade.status}:\n{each.grade.reason}" for each in gradebook}
        notes = rosters.Roster(tmp_path / "roster.csv", NAME).fill_in(tmp_path / "grades", gradebook, comments)
        (written,) = (tmp_path / "grades").iterdir()
        return list(csv.reader(io.StringIO(written.read_text(encoding="utf-8"), newline=""))), notes

    return fill


def canvas_people(*people: list[str]) -> list[list[str]]:
    """Canvas' export with students of name, number, SIS number and login."""
    posting = [*[""] * 6, "", "Manual Posting", ""]
    possible = ["    Points Possible", *[""] * 5, "10.00", "20.00", "(read only)"]
    return [[*CANVAS], posting, possible, *([*person, "", "Lab 1", "3", "", "30"] for person in people)]


def canvas_reads(lines: list[list[str]]) -> tuple[str, float, dict[str, str]]:
    """What gradebook_importer.rb takes from a file: the assignment's title, its points, and grades by Canvas' ID."""
    header = lines[0]
    assert header[:2] == ["Student", "ID"] and header[4:6] == ["Integration ID", "Section"], "row_has_student_headers?"
    assert re.search(r"SIS\s+User\s+ID", header[2]) and re.search(r"SIS\s+Login\s+ID", header[3])
    assert all(len(line) == 7 for line in lines), "nothing of other assignments, whose grades may have changed"
    (possible,) = [line for line in lines if "Points Possible" in line[0]]
    grades = {line[1]: line[6] for line in lines[1:] if line[1]}
    assert all(re.fullmatch(r"(\d+(\.\d{1,2})?)?", grade) for grade in grades.values()), "a number, or blank"
    return header[6], float(possible[6]), grades


class TestCanvas:
    ASE, BOB = [AWKWARD, "4711", "S1", "ase"], ["Bob, Bo", "4712", "S2", "bo@x.org"]

    def test_gets_its_own_export_back_with_points_scaled_to_the_assignments(self, fill_in):
        people = canvas_people(self.ASE, self.BOB, ["Cy, Cy", "4713", "S3", "cy"], ["Student, Test", "4714", "", "f00"])
        downloads = scored("müllerlüdenscheidtåse_4711_99_model"), half("bobbo_LATE_4712_98_model-1"), half("CY")
        lines, notes = fill_in(people, *downloads, encoding="utf-8-sig")
        assert canvas_reads(lines) == (f"{NAME} (9)", 20, {"4711": "20", "4712": "10", "4713": "10", "4714": ""})
        assert [AWKWARD, "4711", "S1", "ase", "", "Lab 1", "20"] in lines
        assert notes == ["roster: 3 of 4 students have a grade"]

    def test_gets_no_grade_for_whom_there_is_none_or_more_than_one(self, fill_in):
        people = canvas_people(self.ASE, self.BOB, ["Eve, E", "4713", "", "eve"])
        submissions = again("ase"), scored("x_4712_1_model"), half("x_4712_2_train"), half("zoe")
        lines, notes = fill_in(people, *submissions)
        assert canvas_reads(lines)[2] == {"4711": "", "4712": "", "4713": ""}
        assert notes == [
            "roster: 0 of 3 students have a grade",
            "not in the roster: zoe",
            "several submissions of one student, who gets no grade: x_4712_1_model, x_4712_2_train",
        ]

    def test_is_matched_by_the_teachers_own_column_alone_where_there_is_one(self, fill_in):
        people = canvas_people(self.ASE, self.BOB)
        for line, name in zip(people, ["submission", "", "", "octocat", "ase"], strict=True):
            line.append(name)
        assert canvas_reads(fill_in(people, half("octocat"))[0])[2] == {"4711": "10", "4712": ""}
        assert canvas_reads(fill_in(people, half("ase"))[0])[2] == {"4711": "", "4712": "10"}

    def test_gets_no_formula(self, fill_in):
        lines, _ = fill_in(canvas_people(['=HYPERLINK("http://x","y")', "1", "", "-2+3"]), scored("-2+3"))
        assert lines[-1][0].startswith("'=") and lines[-1][3] == "-2+3" and lines[-1][6] == "20"


class TestMoodle:
    def test_gets_its_worksheet_back_with_grades_and_feedback(self, fill_in):
        people = [[*MOODLE]]
        for number, name in (("123456", AWKWARD), ("123457", "Bob"), ("123458", "Cy")):
            people.append([f"Participant {number}", name, f"{number}@x.org", *REST])
        ase = half("Müller-Lüdenscheidt Åse_123456_assignsubmission_file_")
        lines, _ = fill_in(people, ase, again("Bob_123457_assignsubmission_file_"), half("123458@X.ORG"))
        header, ase, bob, cy = lines
        assert header == MOODLE, "importgradeslib.php needs Identifier, Grade and Last modified (grade)"
        assert ase[:9] == [*people[1][:4], "5", *people[1][5:9]]
        assert ase[9] == "failed:<br>too &lt;b&gt;large&lt;/b&gt;"
        assert bob[4] == bob[9] == "" and cy[4] == "5"

    def test_is_matched_by_a_name_that_only_one_has_however_its_accents_are_written(self, fill_in):
        people = [MOODLE, *(["Participant 1", name, "", *REST] for name in ("Åse", "Eve", "Eve"))]
        lines, notes = fill_in(people, half("A\u030ase"), half("eve"), delimiter=";")
        assert [line[4] for line in lines[1:]] == ["5", "", ""] and notes[-1] == "not in the roster: eve"


class TestARoster:
    @pytest.mark.parametrize("key", ["Login", "Email", "Student", "name"])
    @pytest.mark.parametrize("column", [NAME, "Score", "Grade"])
    def test_of_any_other_kind_has_the_points_beside_a_login_an_email_or_a_name(self, key, column, fill_in):
        lines, _ = fill_in([["Room", key, column], ["12", "Eve@x.org", "7"], ["9", "bob", "3"]], half("eve@x.org"))
        assert lines == [["Room", key, column], ["12", "Eve@x.org", "50"], ["9", "bob", "3"]], "and the rest as it was"

    def test_gives_nothing_to_whom_a_name_belongs_to_beside_another(self, fill_in):
        lines, notes = fill_in([["ID", "Login", "Score"], ["eve", "a", ""], ["b", "eve", ""]], half("eve"), half("a"))
        assert [line[2] for line in lines[1:]] == ["50", ""] and notes[1:] == ["not in the roster: eve"]

    @pytest.mark.parametrize(
        "text, words",
        [
            (b"Login,points\neve,3\n", "one of 'MNIST challenge', 'Grade' or 'Score' .*: it is none"),
            (b"Room,Score\n3,4\n", "must have a column of logins"),
            (b"", "must have"),
            (",".join([*CANVAS[:6], "Essay (8)"]).encode(), "it is none"),
            (",".join([*CANVAS, f"{NAME} (10)"]).encode(), r"it is MNIST challenge \(9\), MNIST challenge \(10\)"),
            ("Identifier,Grade\nÅse,1\n".encode("latin-1"), "CSV UTF-8"),
        ],
    )
    def test_that_cannot_be_used_says_why(self, text, words, tmp_path):
        (tmp_path / "roster.csv").write_bytes(text)
        with pytest.raises(ChallengeError, match=words) as error:
            rosters.Roster(tmp_path / "roster.csv", NAME)
        assert error.value.status == 2

    @needs_fork
    def test_beside_the_submissions_is_filled_in_and_is_none_of_them(self, grade_here, on_digits, tmp_path, capsys):
        folder, out = tmp_path / "class", tmp_path / "grades"
        folder.mkdir()
        for name, code in (("ase", LINEAR), ("zoe", "class Net(nn.Module)\n")):
            (folder / f"{name}.py").write_text(code)
        with open(folder / "roster.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(canvas_people(TestCanvas.ASE, TestCanvas.BOB))
        options = (folder, "--out", out, *on_digits, "--roster", folder / "roster.csv")
        assert grade_here(*options, "--assignment", "MNIST") == 2, "which is told before anything is graded"
        assert "loading" in capsys.readouterr().err and not (out / "students").exists()
        assert grade_here(*options) == 0
        assert "1 of 2 students have a grade" in (error := capsys.readouterr().err)
        assert error.count("not in the roster: zoe") == 1 and "2 graded" not in error
        lines = list(csv.reader(io.StringIO((out / "canvas.csv").read_text(encoding="utf-8"))))
        assert canvas_reads(lines)[2] == {"4711": "20", "4712": ""}


# --- Gradescope -------------------------------------------------------------------------------------------------------


STAND_INS = {  # what setup.sh calls beside the grader; each notes its arguments
    "apt-get": "",
    "pip3": "",
    "uv": 'if [ "$1" = venv ]; then mkdir -p "${@: -1}/bin" && cp "$PYTHON" "${@: -1}/bin/python"; fi',
}


@pytest.fixture(scope="module")
def gradescope(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradescope's folder /autograder somewhere else, after setup.sh, of a class graded on small digits."""
    folder = tmp_path_factory.mktemp("gradescope") / "autograder"
    rubric = folder.parent / "it's a rubric.toml"
    rubric.write_text('[[criterion]]\nname = "Runs"\nmeasure = "runs"\npoints = 7\n')
    zipped = folder.parent / "autograder.zip"
    settings = ("--dataset", "fashion", "--seeds", 1, "--rubric", rubric, "--max-parameters", 9000)
    settings += ("--model-name", "Net")  # which the sample has not
    assert grading_command.main(["--gradescope", str(zipped), *map(str, settings)]) == 0
    for name in ("source", "submission", "results"):
        (folder / name).mkdir(parents=True)
    with zipfile.ZipFile(zipped) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder / "source"))
            path.chmod(entry.external_attr >> 16)
    for name in ("setup.sh", "run_autograder"):
        script = folder / "source" / name
        assert script.stat().st_mode & stat.S_IXUSR, "Gradescope runs it"
        script.write_text(script.read_text().replace("/autograder", str(folder)))
    (folder / "stand-ins").mkdir()
    for name, body in STAND_INS.items():
        path = folder / "stand-ins" / name
        path.write_text(f'#!/usr/bin/env bash\necho {name} "$@" >> {folder}/called\n{body}\n')
        path.chmod(0o755)
    python = folder / "stand-ins" / "python"  # that of the tests, which has the packages
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


def run_script(folder: Path, name: str, digits: Path) -> subprocess.CompletedProcess:
    path = f"{folder / 'stand-ins'}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": os.environ["HOME"], "PYTHON": str(folder / "stand-ins" / "python")}
    environment["MNIST_DATA_DIR"] = str(digits)
    return subprocess.run([folder / "source" / name], env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def built(gradescope: Path, digits: Path) -> subprocess.CompletedProcess:
    return run_script(gradescope, "setup.sh", digits)


@needs_fork
class TestGradescope:
    def test_builds_its_image_by_setup_sh_in_which_a_sample_is_graded(self, gradescope, built):
        assert built.returncode == 0, built.stderr
        assert "sample_model: passed, verified, 7 of 7 points" in built.stdout
        called = (gradescope / "called").read_text().splitlines()
        assert [line.split()[0] for line in called] == ["apt-get", "apt-get", "pip3", "uv", "uv"]
        assert "-r requirements.txt" in called[-1]
        needed = (gradescope / "source" / "requirements.txt").read_text()
        assert "torch>" in needed and not re.search("pytest|nbclient|ruff", needed)

    @pytest.mark.parametrize(
        "code, data, score", [(LINEAR, "", 7), ("class Net(nn.Module)\n", "", 0), (LINEAR, "nothing/there", None)]
    )
    def test_gets_results_of_run_autograder_unless_the_machine_failed(
        self, code, data, score, gradescope, built, digits
    ):
        (gradescope / "submission" / "net.py").write_text(code)
        results = gradescope / "results" / "results.json"
        results.unlink(missing_ok=True)
        done = run_script(gradescope, "run_autograder", digits / data)
        if score is None:
            assert done.returncode != 0 and "FashionMNIST" in done.stderr and not results.exists()
            return
        assert done.returncode == 0, done.stderr
        found = json.loads(results.read_text())
        assert found["score"] == score and found["tests"][0]["max_score"] == 7
        assert f"{score} of 7 points" in found["output"] and found["execution_time"] > 0


@pytest.mark.parametrize("name", ["setup.sh", "run_autograder", "autograder.py"])
def test_every_platform_gets_the_settings_of_the_teachers_command(name, tmp_path):
    (tmp_path / "rubric.toml").write_text('[[criterion]]\nname = "Runs"\nmeasure = "runs"\npoints = 7\n')
    words = ["--seeds=1", "--min-accuracy=0.0", "--verified-only", """--model-name=it's "$HOME" \\"""]
    arguments = command.Parser().parse_args([*words, "--rubric", str(tmp_path / "rubric.toml")])
    text = platforms.bundle(arguments, name)[name].decode()
    (line,) = re.findall(r"^options ?= ?(.*?)(?:  #.*)?$", text, flags=re.M)
    found = ast.literal_eval(line) if name == "autograder.py" else shlex.split(line.strip("()"))
    assert found == [*words, "--rubric", "rubric.toml"]


def test_gradescope_gets_the_fields_it_knows():
    document = platforms.to_gradescope(scored(buffers=99), Limits(), 12.345)
    assert document["score"] == 100 and document["execution_time"] in (12.34, 12.35)
    for test in document["tests"]:
        assert set(test) == {"name", "score", "max_score", "status", "output", "visibility"}
        assert test["status"] in ("passed", "failed") and test["visibility"] == "visible"
    assert [entry["order"] for entry in document["leaderboard"]] == ["desc", "asc", "asc"]
    assert document["leaderboard"][1]["value"] == 20_099, "with what counts beside parameters"
    for changes in ({"status": "rejected"}, {"verified": False}):
        assert platforms.to_gradescope(scored(**changes), Limits(), 1.0)["leaderboard"] == []


# --- Classroom 50 -----------------------------------------------------------------------------------------------------


def is_taken(result: Any) -> bool:
    """Whether Classroom 50's runner takes a result.json."""
    fixed = {"schema": "classroom50/result/v1", "classroom": "cs-principles", "assignment": "mnist"}
    patterns = {"submission": "submit/.*", "datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"}
    patterns |= dict.fromkeys(("commit", "release", "review"), ".+")
    texts = all(re.fullmatch(pattern, str(result[name] or "")) for name, pattern in patterns.items())
    if any(result[name] != value for name, value in fixed.items()) or not texts or type(result["tests"]) is not list:
        return False
    points = [(entry["score"], entry["max-score"]) for entry in (result, *result["tests"])]
    whole = all(type(n) is int for pair in points for n in pair) and all(0 <= given <= most for given, most in points)
    return whole and all(test["test-name"] and type(test["passed"]) is bool for test in result["tests"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a class that is graded on small digits."""
    folder = tmp_path_factory.mktemp("classroom50") / "bundle"
    assert grading_command.main(["--classroom50", str(folder), "--dataset", "fashion", "--seeds", "1"]) == 0
    return folder


@pytest.fixture
def run_bundle(bundle: Path, digits: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run it as Classroom 50's runner does: the checkout is the current folder, ``tmp_path``."""

    def run(**changes: str) -> subprocess.CompletedProcess:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        environment |= {**VARIABLES, "MNIST_DATA_DIR": str(digits), **changes}
        command = [sys.executable, str(bundle / "autograder.py")]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run


class TestClassroom50:
    def test_gets_whole_points_rounded_down(self):
        result = platforms.to_classroom50(scored(status="failed", accuracy=0.9499), VARIABLES)
        assert is_taken(result)
        assert result["score"] == sum(test["score"] for test in result["tests"]) == 99
        assert [test["passed"] for test in result["tests"]] == [True, True, False]
        assert not [name for name in result if is_taken({**result, name: None})], "would take one without"

    @needs_fork
    def test_gets_no_points_and_the_reason_for_an_empty_checkout(self, run_bundle, tmp_path):
        (tmp_path / "result.json").write_text('{"score": 100}')  # a student's own
        done = run_bundle()
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / "result.json").read_text())
        assert is_taken(result) and result["score"] == 0 < result["max-score"]
        names = [result[name] for name in ("submission", "commit", "release", "review")]
        assert names == list(VARIABLES.values())[2:]
        body = html.unescape((tmp_path / "release-body.md").read_text())
        assert "there is no" in body and "Next" in body

    @needs_fork
    def test_gets_the_verdict_on_a_checkout_with_a_model(self, run_bundle, tmp_path):
        (tmp_path / "grading").mkdir()
        for name in ("json.py", "torch.py", "grading/__main__.py", "grading/check.py", "mnist_efficient_model.py"):
            (tmp_path / name).write_text("raise SystemExit('executed')")
        (tmp_path / "model.py").write_text(LINEAR)
        before = {path.name for path in tmp_path.iterdir()}
        done = run_bundle()
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / "result.json").read_text())
        assert is_taken(result) and result["score"] == result["max-score"] == 100
        assert "7,850 parameters" in (tmp_path / "release-body.md").read_text()
        assert {path.name for path in tmp_path.iterdir()} - before == {"result.json", "release-body.md"}

    @needs_fork
    def test_gets_no_result_where_the_machine_failed(self, run_bundle, tmp_path):
        (tmp_path / "model.py").write_text(LINEAR)
        (tmp_path / "result.json").write_text('{"score": 100}')
        done = run_bundle(MNIST_DATA_DIR=str(tmp_path / "model.py"))
        assert done.returncode == 4 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.splitlines()[-1].startswith("python -m grading.check: error: FashionMNIST"), done.stderr
        assert not (tmp_path / "result.json").exists()

    def test_is_told_which_variable_is_missing(self, run_bundle, tmp_path):
        done = run_bundle(COMMIT_URL="")
        assert done.returncode == 2 and "COMMIT_URL" in done.stderr and len(done.stderr.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []

    def test_has_packages_that_are_not_there_installed(self, bundle, tmp_path):
        (tmp_path / "python").write_text('#!/bin/sh\necho "$@" >> called\n')
        (tmp_path / "python").chmod(0o755)
        code = "import importlib.util, runpy, sys; importlib.util.find_spec = lambda _: None; "
        code += "sys.executable = './python'; runpy.run_path(sys.argv[1], run_name='__main__')"
        environment = {**os.environ, **VARIABLES}
        subprocess.run(
            [sys.executable, "-c", code, bundle / "autograder.py"], cwd=tmp_path, env=environment, check=False
        )
        pip = (tmp_path / "called").read_text().splitlines()[0]
        assert pip.startswith("-m pip install") and pip.endswith("requirements.txt")

    def test_is_not_written_over_the_project(self, tmp_path, capsys):
        assert grading_command.main(["--classroom50", str(ROOT)]) == 2
        assert "a folder of its own" in capsys.readouterr().err


# --- GitHub Actions ---------------------------------------------------------------------------------------------------


@needs_fork
def test_a_job_fails_where_a_limit_is_broken_and_its_summary_has_the_verdict(
    check_here, on_digits, tmp_path, monkeypatch
):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "model.py").write_text(LINEAR)
    assert check_here(tmp_path / "model.py", *on_digits, "--max-parameters", 7000) == 1
    assert (tmp_path / "summary.md").read_text().startswith("### model: failed")


def test_a_job_summary_escapes_what_a_student_wrote():
    text = platforms.to_summary(scored("<b>|`x`", reason="a | <script>", log="x\n\n# passed\n</pre>"), Limits())
    assert "<script>" not in text and "<b>" not in text and text.count("</pre>") == 1
    assert [line for line in text.splitlines() if line.startswith("#")] == [text.splitlines()[0]]


# --- Similar code -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("compare50"), reason="compare50 is not installed")
def test_the_line_for_similar_code_in_the_docs_finds_it(tmp_path):
    (line,) = re.findall(r"^compare50 .*", (ROOT / "docs" / "grading.md").read_text(encoding="utf-8"), flags=re.M)
    code = (ROOT / "tests" / "class" / "kofi" / "custom_resnet.py").read_text(encoding="utf-8")
    files = {"CLASS_FOLDER/alice/model.py": code, "CLASS_FOLDER/bob/net.py": code.replace("self.", "self.my_")}
    for name, content in {**files, "CLASS_FOLDER/carol/model.py": LINEAR, "handout/given.py": LINEAR}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    subprocess.run(
        line, shell=True, cwd=tmp_path, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120
    )
    page = (tmp_path / "similar" / "index.html").read_text(encoding="utf-8")
    assert "CLASS_FOLDER/alice" in page and "CLASS_FOLDER/bob" in page and "CLASS_FOLDER/carol" not in page
