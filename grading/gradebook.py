"""The gradebook on disk: a JSON file and a page per student at once; CSV, leaderboard and page of all now and then."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grading.grades import Grade, Run, Settings, file_name
from grading.page import class_page
from grading.points import Criterion, Scored, ranked, score
from grading.student_page import median_curve, student_page
from mnist_efficient_model import USAGE, ChallengeError, write_file

MARKER = ".made-by-grading"  # a file that shows that a folder is a gradebook
RANKED = ("student", "accuracy_median", "parameters", "counted", "train_seconds")  # what the leaderboard has of a row
WRITE_SECONDS = 10  # between two writings of what is about everybody, which takes longer the larger the class is
FORMULA = "=+-@|%"  # what a formula in a spreadsheet may begin with
FORMULA += "".join(chr(ord(c) + 0xFEE0) for c in FORMULA)  # and their fullwidth forms, which some read alike


class Gradebook:
    """The grades in a folder. Raises ChallengeError (status 2) for one that cannot be a gradebook, OSError."""

    def __init__(self, out: Path, submissions: Path, criteria: list[Criterion], settings: Settings) -> None:
        self.out, self.criteria, self.settings = out, criteria, settings
        if submissions.resolve() in (out.resolve(), *out.resolve().parents):  # what students put there is no grade
            raise ChallengeError(f"{out} lies among the submissions: name another folder for the grades", USAGE)
        if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
            raise ChallengeError(f"{out} is not empty, and the grader did not make it: name another one", USAGE)
        write_file(out / MARKER, "")  # fails now, not after the grading
        found = [read_grade(path) for path in sorted((out / "students").glob("*.json"))]
        self.grades = {grade.student: grade for grade in found if grade}
        self.median = median_curve(self.grades.values())
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
        path = json_path(self.out, grade.student).with_suffix(".html")
        content = student_page(score(grade, self.criteria), self.settings.limits, self.median)
        if not path.is_file() or path.read_bytes() != content.encode():
            write_file(path, content)

    def write(self) -> None:
        """All that a teacher opens, by student's name."""
        everybody = self.scored()
        rows, best = [scored.row() for scored in everybody], [scored.row() for scored in ranked(everybody)]
        board = [[rank, *(row[name] for name in RANKED)] for rank, row in enumerate(best, 1)]
        write_file(self.out / "grades.csv", to_csv([list(rows[0]), *(row.values() for row in rows)] if rows else []))
        write_file(self.out / "leaderboard.csv", to_csv([["rank", *RANKED], *board]))
        write_file(self.out / "report.html", class_page(everybody, self.settings, self.criteria))
        self.written = time.monotonic()

    def close(self) -> None:
        """Write everything that is not up to date."""
        self.median = median_curve(self.grades.values())
        for grade in self.grades.values():
            self.write_page(grade)
        self.write()

    def scored(self) -> list[Scored]:
        return [score(grade, self.criteria) for _, grade in sorted(self.grades.items())]


def json_path(out: Path, student: str) -> Path:
    return out / "students" / f"{file_name(student)}.json"


def read_grade(path: Path) -> Grade | None:
    """The grade in a JSON file, or None where it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        grade = Grade(**{**content, "runs": [Run(**run) for run in content["runs"]]})
        return grade if json_path(path.parent.parent, grade.student) == path else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def cell(value: Any) -> Any:
    """A value for a spreadsheet: text like a formula gets a quote before it (OWASP, CSV injection)."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else " " for c in value)  # no tab, no line break
    return f"'{text}" if text.strip().startswith(tuple(FORMULA)) else text


def to_csv(table: Iterable[Iterable[Any]], kept: str = "") -> str:
    """A table as CSV, formulas made harmless; cells that match the pattern ``kept`` stay as they are."""
    text = io.StringIO()
    lines = ([value if re.fullmatch(kept, str(value)) else cell(value) for value in line] for line in table)
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
