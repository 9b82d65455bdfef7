"""The gradebook on disk: a JSON file and a page per student at once; CSV, leaderboard and page of all now and then."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from grading.grades import Grade, Run, Settings, file_name
from grading.page import to_page
from grading.points import Criterion, Scored, ranked, score
from grading.student_page import to_student_page
from mnist_efficient_model import USAGE, ChallengeError, write_file

MARKER = ".made-by-grading"  # holds the folder's inode: no student can know that of a folder that is handed in
RANKED = ("student", "accuracy_median", "parameters", "train_seconds")  # what the leaderboard shows of a row
WRITE_SECONDS = 10  # between two writings of what is about everybody, which takes longer the larger the class is


class Gradebook:
    """The grades in a folder that the grader made. Raises ChallengeError (status 2) for any other folder, OSError."""

    def __init__(self, out: Path, submissions: Path, criteria: list[Criterion], settings: Settings) -> None:
        self.out, self.criteria, self.settings = out, criteria, settings
        claim(out, submissions)
        found = [read_grade(path) for path in sorted((out / "students").glob("*.json"))]
        self.grades = {grade.student: grade for grade in found if grade}
        self.written = time.monotonic()

    def has_valid(self, student: str, key: str) -> bool:
        """Whether there is a grade that was given to the same code under the same settings."""
        grade = self.grades.get(student)
        return grade is not None and grade.key == key and grade.status != "machine_error"

    def add(self, grade: Grade) -> None:
        """Enter a grade, write what is the student's own, and every few seconds what is about all."""
        self.grades[grade.student] = grade
        content = json.dumps(dataclasses.asdict(grade), indent=2) + "\n"
        write_file(json_path(self.out, grade.student), content)
        self.write_page(grade)
        if time.monotonic() - self.written > WRITE_SECONDS:
            self.write()

    def write_page(self, grade: Grade) -> None:
        """The student's page, where it is not there or differs, as after a change of the rubric."""
        path = page_path(self.out, grade.student)
        content = to_student_page(score(grade, self.criteria), self.settings.limits)
        if not path.is_file() or path.read_bytes() != content.encode():
            write_file(path, content)

    def write(self) -> None:
        """All that a teacher opens, by student's name."""
        gradebook = self.scored()
        best = leaderboard(gradebook)
        write_file(self.out / "grades.csv", to_csv([scored.row() for scored in gradebook]) if gradebook else "")
        write_file(self.out / "report.html", to_page(gradebook, self.settings, self.criteria))
        write_file(self.out / "leaderboard.csv", to_csv(best) if best else ",".join(("rank", *RANKED)) + "\n")
        self.written = time.monotonic()

    def close(self) -> None:
        """Write everything that is not up to date."""
        for grade in self.grades.values():
            self.write_page(grade)
        self.write()

    def scored(self) -> list[Scored]:
        return [score(grade, self.criteria) for _, grade in sorted(self.grades.items())]


def claim(out: Path, submissions: Path) -> None:
    """Make the folder, or see that the grader made it: what students put there must not be read as grades.

    Among the submissions, where a student's own folder may have the name, the marker must be of this very folder.
    """
    place, marker = out.parent.resolve() / out.name, out / MARKER
    among = submissions.resolve() in {*place.parents, *out.resolve().parents}
    if out.is_dir() and any(out.iterdir()):
        ours = marker.is_file() and not (among and (out.is_symlink() or marker.read_text("latin-1") != inode(out)))
        if not ours:
            raise ChallengeError(f"{out} is not empty, and the grader did not make it: name another --out", USAGE)
    out.mkdir(parents=True, exist_ok=True)
    write_file(marker, inode(out))  # it also shows that the folder can be written to, before any grading


def inode(folder: Path) -> str:
    return f"{folder.stat().st_ino}\n"


def json_path(out: Path, student: str) -> Path:
    return out / "students" / f"{file_name(student)}.json"


def page_path(out: Path, student: str) -> Path:
    return out / "students" / f"{file_name(student)}.html"


def read_grade(path: Path) -> Grade | None:
    """The grade in a JSON file, or None where it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        grade = Grade(**{**content, "runs": [Run(**run) for run in content["runs"]]})
        return grade if json_path(path.parent.parent, grade.student) == path else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


# --- CSV --------------------------------------------------------------------------------------------------------------


def leaderboard(gradebook: Iterable[Scored]) -> list[dict[str, Any]]:
    """Rows of the leaderboard, best first."""
    rows = [scored.row() for scored in ranked(gradebook)]
    return [{"rank": rank, **{name: row[name] for name in RANKED}} for rank, row in enumerate(rows, 1)]


def cell(value: Any) -> Any:
    """A value for a spreadsheet: text like a formula gets a quote before it (OWASP, CSV injection)."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@", "|", "%") else text


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return text.getvalue()
