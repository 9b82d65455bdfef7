"""Where a course lives: what Canvas, Moodle, Gradescope and Classroom 50 are given is what they take.

The checks are written from the platforms' own code and pages: canvas-lms' lib/gradebook_importer.rb, Moodle's
mod/assign/feedback/offline/importgradeslib.php, Classroom 50's runner.py (validate_result).
"""

from __future__ import annotations

import argparse
import csv
import html
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import write_small_fashion

from grading import __main__ as room
from grading import autograder, classroom50, grades, platforms, rosters, rubric, sheets
from grading.sandbox import isolation
from mnist_efficient_model import ChallengeError, Limits

ROOT = Path(__file__).parent.parent
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
LINEAR = """import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.view(-1, 784))
"""
needs_fork = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")


def a_grade(student: str = "eve", **changes: Any) -> grades.Grade:
    facts = dict(status="passed", reason="fine", parameters=20_000, buffers=0, accuracy=0.96, accuracy_min=0.95,
                 accuracy_max=0.97, train_seconds=3.0, verified=True)  # fmt: skip
    return grades.Grade(student, **{**facts, **changes})


def scored(student: str = "eve", criteria: list | None = None, **changes: Any) -> rubric.Scored:
    return rubric.score(a_grade(student, **changes), criteria or rubric.default_rubric(Limits()))


def half(student: str) -> rubric.Scored:
    """Fifty points of a hundred."""
    parts = [rubric.Criterion("Works", "runs", 60), rubric.Criterion("Small", "parameters", 40, 10_000, 30_000)]
    grade = a_grade(student, status="failed", reason="too <b>large</b>\nsorry")
    return rubric.Scored(grade, list(zip(parts, (30.0, 20.0), strict=True)))


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.fixture
def roster(tmp_path: Path) -> Callable[..., rosters.Roster]:
    """Write a roster with these lines, and read it."""

    def write(*lines: list[str], encoding: str = "utf-8") -> rosters.Roster:
        text = io.StringIO()
        csv.writer(text).writerows(lines)
        (tmp_path / "roster.csv").write_text(text.getvalue(), encoding=encoding)
        return rosters.read_roster(tmp_path / "roster.csv")

    return write


def fill_in(roster: rosters.Roster, *gradebook: rubric.Scored, assignment: str = NAME) -> sheets.Sheets:
    return sheets.fill_in(roster, gradebook, assignment, lambda s: f"{s.grade.status}: {s.grade.reason}")


def canvas_reads(text: str) -> tuple[str, float, dict[str, str]]:
    """What gradebook_importer.rb takes from a file: the assignment's title, its points, and grades by Canvas' ID."""
    header, *lines = table(text)
    assert "Student" in header[0] and "ID" in header[1], "row_has_student_headers?"
    assert re.search(r"SIS\s+User\s+ID", header[2]) and re.search(r"SIS\s+Login\s+ID", header[3])
    assert "Section" in header[4], "last_student_info_column"
    assert len(header) == 6 and all(len(line) == 6 for line in lines)
    assert "Points Possible" in lines[0][0], "process_pp"
    for line in lines[1:]:
        assert re.fullmatch(r"(\d+(\.\d{1,2})?)?", line[5]), "a number, or blank"
    return header[5], float(lines[0][5]), {line[1]: line[5] for line in lines[1:]}


class TestACanvasGradebook:
    def test_has_the_columns_of_an_export_and_the_points_on_its_second_line(self, roster):
        people = roster(
            ["Email", "section", "LOGIN", "name", "ID", "student"],
            ["a@x.org", "Lab 1", "ase", AWKWARD, "4711", "ase"],
            ["b@x.org", "", "@bob", "Bob", "4712", "bob"],
        )
        text = fill_in(people, scored("ase"), half("bob")).files["canvas.csv"]
        assert table(text) == [
            ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", NAME],
            ["    Points Possible", "", "", "", "", "100"],
            [AWKWARD, "4711", "", "ase", "Lab 1", "100"],
            ["Bob", "4712", "", "@bob", "", "50"],
        ]
        assert canvas_reads(text) == (NAME, 100, {"4711": "100", "4712": "50"})

    def test_takes_canvas_own_export_as_a_roster_and_its_downloads_by_number(self, roster):
        people = roster(
            ["Student", "ID", "SIS User ID", "SIS Login ID", "Integration ID", "Section", "Essay (8)", f"{NAME} (9)",
             "Name", "Final Score"],
            ["", "", "", "", "", "", "Manual Posting", "", "", ""],
            ["    Points Possible", "", "", "", "", "", "10.00", "20.00", "", "(read only)"],
            [AWKWARD, "4711", "S1", "ase", "", "Lab 1 and Lab 2", "3", "", "", "30"],
            ["Bob, Bo", "4712", "S2", "bo@x.org", "", "Lab 1", "", "", "", ""],
            ["Cy, Cy", "4713", "S3", "cy", "", "Lab 1", "", "", "", ""],
            ["Student, Test", "4714", "", "f00", "", "Lab 1", "", "", "", ""],
            encoding="utf-8-sig",
        )  # fmt: skip
        found = fill_in(
            people, scored("müllerlüdenscheidtåse_4711_99_model"), half("bobbo_LATE_4712_98_model-1"), half("CY")
        )
        assert canvas_reads(found.files["canvas.csv"]) == (
            f"{NAME} (9)",
            20,
            {"4711": "20", "4712": "10", "4713": "10", "4714": ""},
        )
        assert table(found.files["canvas.csv"])[2] == [AWKWARD, "4711", "S1", "ase", "Lab 1 and Lab 2", "20"]
        assert table(found.files["moodle.csv"])[1] == ["S1", "100"]

    def test_has_no_grade_for_whom_the_machine_failed_or_who_handed_nothing_in(self, roster):
        people = roster(["student", "id"], ["ase", "1"], ["bob", "2"], ["cy", "3"])
        found = fill_in(people, scored("ase", status="machine_error", accuracy=None), scored("bob"), half("zoe"))
        assert canvas_reads(found.files["canvas.csv"])[2] == {"1": "", "2": "100", "3": ""}
        assert found.notes == [
            "roster: 1 of 3 students have a grade; 1 handed nothing in, 1 to be graded again",
            "not in the roster: zoe",
        ]

    def test_gives_no_grade_where_two_submissions_are_of_one_student(self, roster):
        people = roster(["id", "name"], ["4711", "Ada"])
        found = fill_in(people, scored("ada_4711_1_model"), half("ada_4711_2_train"))
        assert canvas_reads(found.files["canvas.csv"])[2] == {"4711": ""}
        assert "ada_4711_1_model, ada_4711_2_train" in found.notes[1]

    def test_holds_no_formula(self, roster):
        people = roster(["student", "name", "login"], ["eve", '=HYPERLINK("http://x","y")', "-2+3"])
        row = table(fill_in(people, scored("eve"), assignment="@SUM(A1)").files["canvas.csv"])
        assert row[0][5] == "'@SUM(A1)" and row[2][0].startswith("'=") and row[2][3] == "-2+3"


class TestAMoodleGradebook:
    def test_maps_by_email_and_has_one_column_of_grades(self, roster):
        people = roster(
            ["student", "name", "Email address"], ["ase", AWKWARD, "a@x.org"], ["bob", "B", ""], ["cy", "C", "c@x.org"]
        )
        found = fill_in(people, half("ase"), half("bob"))
        assert table(found.files["moodle.csv"]) == [["Email address", NAME], ["a@x.org", "50"], ["c@x.org", ""]]

    def test_maps_by_the_id_number_where_there_is_no_email(self, roster):
        people = roster(["student", "id number", "id"], ["ase", "00123", "7"])
        assert table(fill_in(people, half("ase")).files["moodle.csv"]) == [["ID number", NAME], ["00123", "50"]]

    def test_is_not_written_where_nothing_tells_who_is_who(self, roster):
        assert fill_in(roster(["student"], ["ase"]), half("ase")).files["moodle.csv"] is None


class TestMoodlesGradingWorksheet:
    HEADER = ("Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
              "Last modified (submission)", "Last modified (grade)", "Feedback comments")  # fmt: skip

    def test_is_filled_in_and_keeps_all_that_moodle_asks_for(self, roster):
        rest = ["Submitted for grading", "", "10.00", "Yes", "Monday, 1 June 2026, 2:32 PM", "-", ""]
        people = roster(
            [*self.HEADER],
            ["Participant 123456", AWKWARD, "a@x.org", *rest],
            ["Participant 123457", "Bob", "b@x.org", *rest],
            ["Participant 123458", "Cy", "c@x.org", *rest],
        )
        found = fill_in(
            people,
            half("Müller-Lüdenscheidt Åse_123456_assignsubmission_file_"),
            scored("Bob_123457_assignsubmission_file_", status="machine_error", accuracy=None),
        )
        assert found.files["canvas.csv"] is None, "Canvas would know nobody"
        header, ase, bob, cy = table(found.files["moodle.csv"])
        assert header == [*self.HEADER], "importgradeslib.php needs Identifier, Grade and Last modified (grade)"
        assert ase == ["Participant 123456", AWKWARD, "a@x.org", rest[0], "5", *rest[2:6],
                       "failed: too &lt;b&gt;large&lt;/b&gt;<br>sorry"]  # fmt: skip
        assert bob[4] == cy[4] == bob[9] == cy[9] == ""


class TestARoster:
    @pytest.mark.parametrize(
        "lines, words",
        [
            ([["points"], ["3"]], "first line needs student"),
            ([["student", "Student"], ["a", "b"]], "two columns"),
            ([["student"], ["ase"], ["Ase"]], "more than one row for the student ase"),
            ([["student"]], "names no student"),
            ([["student", "late_days"], ["ase", "two"]], "late_days of ase"),
            ([["student", "late_days"], ["ase", "-1"]], "late_days of ase"),
        ],
    )
    def test_that_cannot_be_used_says_why(self, roster, lines, words):
        with pytest.raises(ChallengeError, match=words) as error:
            roster(*lines)
        assert error.value.status == 2

    def test_in_another_encoding_says_how_to_save_it(self, roster):
        with pytest.raises(ChallengeError, match="CSV UTF-8"):
            roster(["student", "name"], ["ase", AWKWARD], encoding="latin-1")

    def test_may_have_semicolons(self, tmp_path):
        (tmp_path / "r.csv").write_text('student;name;late_days\nase;"Åse; A.";1,5\n', encoding="utf-8")
        people = rosters.read_roster(tmp_path / "r.csv")
        assert people.rows[0]["name"] == "Åse; A." and people.days_late("ase") == 2

    def test_finds_a_student_by_the_column_student_alone_where_it_has_one(self, roster):
        people = roster(["student", "login"], ["ase", "bob"], ["bob", "ase"])
        assert (people.row_of("ase"), people.row_of("BOB"), people.row_of("eve")) == (0, 1, None)

    def test_finds_a_student_by_login_id_email_or_name_where_it_has_none(self, roster):
        people = roster(
            ["login", "id", "email", "name"],
            ["ase", "7", "a@x.org", "Åse"],
            ["bob", "8", "b@x.org", "Eve"],
            ["eve", "9", "e@x.org", "Eve"],
        )
        assert [people.row_of(name) for name in ("ase", "8", "B@x.org", "A\u030ase", "eve", "Zoe")] == [
            0,
            1,
            1,
            0,
            2,
            None,
        ]

    def test_finds_moodles_downloads_without_its_worksheet(self, roster):
        download = "Åse A_123_assignsubmission_file_"
        assert roster(["name"], ["Bob"], ["åse a"]).row_of(download) == 1
        assert roster(["student"], [download]).row_of(download) == 0

    def test_takes_no_name_that_two_students_have(self, roster):
        assert roster(["name"], ["Eve"], ["Eve"]).row_of("eve") is None


class TestLateWork:
    def late(self, days: int, per_day: float = 10, **changes: Any) -> rubric.Scored:
        return scored("eve", rubric.Rubric(rubric.default_rubric(Limits()), per_day, lambda _: days), **changes)

    def test_loses_points_on_a_line_of_its_own(self):
        criterion, lost = self.late(2).parts[-1]
        assert (criterion.name, criterion.points, lost) == ("Late by 2 days", 0, -20)
        assert self.late(2).score == 80 and self.late(2).max_score == 100
        assert self.late(1, 2.5).score == 97.5 and self.late(1).parts[-1][0].name == "Late by 1 day"

    def test_never_has_fewer_points_than_none(self):
        assert self.late(30).score == 0
        assert self.late(30, status="invalid").score == 0 and len(self.late(30, status="invalid").parts) == 3
        assert self.late(30, status="machine_error").score is None

    def test_is_no_matter_unless_the_teacher_says_so(self):
        assert self.late(5, per_day=0).score == 100
        assert scored().parts == self.late(0).parts

    def test_is_shown_by_every_platform(self, roster):
        limits, late = Limits(), self.late(2)
        gradescope = platforms.to_gradescope(late, limits, 1.0)
        assert gradescope["score"] == 80 and gradescope["tests"][-1]["score"] == -20
        assert "| Late by 2 days | -20.0 | 0 | |" in platforms.to_summary([late])
        result = classroom50.to_result(late, VARIABLES)
        assert refusal(result) is None
        assert result["score"] == 80 and result["tests"][-1]["test-name"] == "Late by 2 days (-20)"
        assert canvas_reads(fill_in(roster(["student", "id"], ["eve", "1"]), late).files["canvas.csv"])[2] == {
            "1": "80"
        }

    @pytest.mark.parametrize(
        "created, due, users, days",
        [
            ("2018-08-01T00:00:00.000000-07:00", "2018-07-31T23:00:00.000000-07:00", [{}], 1),
            ("2018-08-02T01:00:00.000000-07:00", "2018-07-31T23:00:00.000000-07:00", [{}], 2),
            ("2018-08-02T06:00:00Z", "2018-07-31T23:00:00.000000-07:00", [{}], 1),
            ("2018-07-31T22:59:59.999999-07:00", "2018-07-31T23:00:00.000000-07:00", [{}], 0),
            ("2018-08-09T00:00:00-07:00", None, [{}], 0),
            ("2018-08-09T00:00:00-07:00", "2018-07-31T23:00:00-07:00",
             [{"assignment": {"due_date": "2018-08-08T23:00:00-07:00"}}, {}], 1),
        ],
    )  # fmt: skip
    def test_is_counted_from_gradescopes_dates_and_a_students_own(
        self, created, due, users, days, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(platforms, "AUTOGRADER", tmp_path)
        metadata = {"created_at": created, "assignment": {"due_date": due, "late_due_date": None}, "users": users}
        (tmp_path / "submission_metadata.json").write_text(json.dumps(metadata))
        assert platforms.days_late() == days

    def test_is_not_taken_for_punctual_where_the_dates_cannot_be_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(platforms, "AUTOGRADER", tmp_path)
        with pytest.raises(ChallengeError, match=r"submission_metadata\.json"):
            platforms.days_late()
        (tmp_path / "submission_metadata.json").write_text(
            '{"created_at": "yesterday", "assignment": {}, "users": [{}]}'
        )
        with pytest.raises(ChallengeError, match="no dates"):
            platforms.days_late()

    def test_needs_somebody_who_knows_the_days(self, tmp_path, capsys):
        (tmp_path / "eve.py").write_text(LINEAR)
        assert room.main([str(tmp_path / "eve.py"), "--late-per-day", "10"]) == 2
        assert "a column late_days" in capsys.readouterr().err


class TestGradescope:
    def test_gets_the_fields_it_knows(self):
        limits = Limits()
        document = platforms.to_gradescope(scored(), limits, 12.345)
        assert document["score"] == 100 and document["execution_time"] in (12.34, 12.35)
        for test in document["tests"]:
            assert set(test) == {"name", "score", "max_score", "status", "output", "visibility"}
            assert test["status"] in ("passed", "failed") and test["visibility"] == "visible"
        assert [entry["order"] for entry in document["leaderboard"]] == ["desc", "asc", "asc"]
        assert platforms.to_gradescope(scored(status="rejected"), limits, 1.0)["leaderboard"] == []
        assert platforms.to_gradescope(scored(verified=False), limits, 1.0)["leaderboard"] == []

    def test_gets_what_late_work_costs(self, tmp_path):
        assert room.main(["--gradescope", str(tmp_path / "a.zip"), "--late-per-day", "5"]) == 0
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            run = archive.read("run_autograder").decode()
            assert not re.search("pytest|nbclient", archive.read("requirements.txt").decode())
        options = run.split("/tmp/grades ")[1].split()
        assert room.parse_arguments(options).late_per_day == 5


def test_a_job_summary_escapes_what_a_student_wrote():
    text = platforms.to_summary([scored("<b>|`x`", reason="a | <script>", log="x\n\n# passed\n</pre>")])
    assert "<script>" not in text and "<b>" not in text and text.count("</pre>") == 1
    assert [line for line in text.splitlines() if line.startswith("#")] == [text.splitlines()[0]]


def refusal(result: Any) -> str | None:
    """Why Classroom 50's runner would refuse a result.json; None where it takes it."""
    for name, value in (("schema", "classroom50/result/v1"), ("classroom", VARIABLES["CLASSROOM"]),
                        ("assignment", VARIABLES["ASSIGNMENT"])):  # fmt: skip
        if result.get(name) != value:
            return f"{name} is {result.get(name)!r}"
    if not str(result.get("submission")).startswith("submit/"):
        return "submission"
    for name in ("commit", "release", "review", "datetime"):
        if not isinstance(result.get(name), str) or not result[name]:
            return f"{name} is empty"
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["datetime"]):
        return "datetime"
    if not isinstance(result.get("tests"), list):
        return "tests"
    for entry in (result, *result["tests"]):
        points = (entry.get("score"), entry.get("max-score"))
        if any(type(value) is not int or value < 0 for value in points) or points[0] > points[1]:
            return f"points of {entry}"
    for test in result["tests"]:
        if not isinstance(test.get("test-name"), str) or not test["test-name"] or type(test.get("passed")) is not bool:
            return f"test {test}"
    return None


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a class that is graded on small digits, with a rubric of its own."""
    folder = tmp_path_factory.mktemp("classroom50")
    (folder / "rubric.toml").write_text('[[criterion]]\nname = "Runs"\nmeasure = "runs"\npoints = 7\n')
    own = ("--rubric", folder / "rubric.toml") if sys.version_info >= (3, 11) else ()
    wanted = ("--classroom50", folder / "bundle", "--dataset", "fashion", "--seeds", 1, *own)
    assert room.main([str(part) for part in wanted]) == 0
    write_small_fashion(folder / "data")
    return folder / "bundle"


def run_bundle(bundle: Path, checkout: Path, **changes: str) -> subprocess.CompletedProcess:
    """Run it as Classroom 50's runner does: the checkout is the current folder, and nothing else is told."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {**VARIABLES, "CLASSROOM50_BUNDLE_DIR": str(bundle), "MNIST_DATA_DIR": str(bundle.parent / "data")}
    command = [sys.executable, str(bundle / "autograder.py")]
    return subprocess.run(command, cwd=checkout, env={**environment, **changes}, capture_output=True, text=True,
                          timeout=300)  # fmt: skip


class TestClassroom50:
    def test_gets_whole_points_rounded_down(self):
        result = classroom50.to_result(scored(status="failed", accuracy=0.9499), VARIABLES)
        assert refusal(result) is None
        assert result["score"] == sum(test["score"] for test in result["tests"]) == 99
        assert [test["passed"] for test in result["tests"]] == [True, True, False]

    def test_would_refuse_what_lacks_a_field(self):
        for name in classroom50.to_result(scored(), VARIABLES):
            assert refusal({**classroom50.to_result(scored(), VARIABLES), name: None}), name

    def test_gets_a_bundle_within_its_limit_and_without_the_tests(self, bundle):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            archive.add(bundle, "mnist")
        assert len(content.getvalue()) < 1 << 20
        for name in ("autograder.py", "mnist_efficient_model.py", "grading/__main__.py", "data/strokes.py"):
            assert (bundle / name).read_bytes()
        assert "torch" in (bundle / "requirements.txt").read_text()

    @needs_fork
    def test_gets_no_points_and_the_reason_for_an_empty_checkout(self, bundle, tmp_path):
        (tmp_path / "result.json").write_text('{"score": 100}')  # a student's own
        done = run_bundle(bundle, tmp_path)
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / "result.json").read_text())
        assert refusal(result) is None and result["score"] == 0 < result["max-score"]
        assert {name: result[name] for name in ("commit", "release", "review", "submission")} == {
            "commit": VARIABLES["COMMIT_URL"], "release": VARIABLES["RELEASE_URL"],
            "review": VARIABLES["REVIEW_URL"], "submission": VARIABLES["SUBMISSION_TAG"],
        }  # fmt: skip
        body = (tmp_path / "release-body.md").read_text()
        assert "there is no model.py" in html.unescape(body) and "Next" in body

    @needs_fork
    def test_gets_the_verdict_on_a_checkout_with_a_model(self, bundle, tmp_path):
        (tmp_path / "grading").mkdir()
        for name in ("json.py", "torch.py", "grading/__main__.py", "mnist_efficient_model.py"):  # never imported
            (tmp_path / name).write_text("raise SystemExit('executed')")
        (tmp_path / "model.py").write_text(LINEAR)
        before = {path.name for path in tmp_path.iterdir()}
        done = run_bundle(bundle, tmp_path)
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / "result.json").read_text())
        assert refusal(result) is None and result["score"] == result["max-score"] > 0
        assert len(result["tests"]) == (1 if (bundle / "rubric.toml").exists() else 3)
        assert "7,850 parameters" in (tmp_path / "release-body.md").read_text()
        assert {path.name for path in tmp_path.iterdir()} - before == {"result.json", "release-body.md"}

    @needs_fork
    def test_gets_no_result_where_the_machine_failed(self, bundle, tmp_path):
        (tmp_path / "model.py").write_text(LINEAR)
        (tmp_path / "result.json").write_text('{"score": 100}')
        done = run_bundle(bundle, tmp_path, MNIST_DATA_DIR=str(tmp_path / "model.py"))
        assert done.returncode == 4 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.splitlines()[-1].startswith("python -m grading: error: FashionMNIST"), done.stderr
        assert not (tmp_path / "result.json").exists()

    def test_gets_no_points_for_a_grade_that_is_to_be_given_again(self, tmp_path):
        with pytest.raises(ChallengeError, match="it is full") as error:
            classroom50.write_result(tmp_path, scored(status="machine_error", reason="it is full"), Limits())
        assert error.value.status == 4 and list(tmp_path.iterdir()) == []

    def test_is_told_which_variable_is_missing(self, bundle, tmp_path):
        done = run_bundle(bundle, tmp_path, COMMIT_URL="")
        assert done.returncode == 2 and "COMMIT_URL" in done.stderr and len(done.stderr.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []

    def test_has_packages_that_are_not_there_installed_once(self, monkeypatch, tmp_path):
        called = []
        done = argparse.Namespace(returncode=0)
        monkeypatch.setattr(autograder.subprocess, "run", lambda line, **_: called.append(line) or done)
        monkeypatch.setattr(autograder.os, "execv", lambda _, line: called.append(line))
        monkeypatch.setattr(sys, "argv", ["autograder.py"])
        autograder.install()
        assert called[0][1:4] == ["-m", "pip", "install"] and called[0][-1].endswith("requirements.txt")
        monkeypatch.setattr(sys, "argv", called[1][1:])
        with pytest.raises(SystemExit) as stop:
            autograder.install()
        assert stop.value.code == 4 and len(called) == 2

    @pytest.mark.parametrize("options", [("--classroom50", str(ROOT)), ("--classroom50", "b", "--late-per-day", "5")])
    def test_is_not_written_over_the_project_nor_with_what_it_cannot_know(self, options, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert room.main(list(options)) == 2
        assert list(tmp_path.iterdir()) == []


@needs_fork
class TestAClassWithARoster:
    def test_is_graded_into_both_sheets_and_late_work_loses_points(self, tmp_path, capsys):
        write_small_fashion(tmp_path / "data")
        submissions, out = tmp_path / "class", tmp_path / "grades"
        submissions.mkdir()
        (submissions / "ase.py").write_text(LINEAR)
        (submissions / "bob.py").write_text("class Net(nn.Module)\n")
        (submissions / "zoe.py").write_text("class Net(nn.Module)\n")
        people = submissions / "roster.csv"  # beside them, and none of them
        with open(people, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([
                ["student", "id", "email", "name", "late_days"],
                ["ase", "1", "a@x.org", AWKWARD, "2"], ["bob", "2", "b@x.org", "Bob", ""], ["cy", "3", "", "Cy", ""],
            ])  # fmt: skip
        run = [submissions, "--out", out, "--dataset", "fashion", "--data-dir", tmp_path / "data", "--seeds", 1,
               "--roster", people, "--late-per-day", 10, "--assignment", "Project 1"]  # fmt: skip
        assert room.main([str(part) for part in run]) == 0
        error = capsys.readouterr().err
        assert "roster: 2 of 3 students have a grade; 1 handed nothing in" in error
        assert error.count("not in the roster: zoe") == 1
        text = (out / "canvas.csv").read_text(encoding="utf-8")
        assert canvas_reads(text) == ("Project 1", 100, {"1": "80", "2": "0", "3": ""})
        assert table((out / "moodle.csv").read_text(encoding="utf-8"))[1] == ["a@x.org", "80"]
        assert "ase,80.0,100," in (out / "grades.csv").read_text()
        assert not (out / "result.json").exists()

        run[0] = submissions / "ase.py"  # one of them again: the sheets still hold the class
        assert room.main([str(part) for part in run]) == 0
        assert canvas_reads((out / "canvas.csv").read_text(encoding="utf-8"))[2] == {"1": "80", "2": "0", "3": ""}
