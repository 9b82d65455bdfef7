"""Who is in the class, and which submission is whose.

A roster is a CSV file of our own (student, id, login, name, section, email, late_days: whichever are there), the
gradebook that Canvas exports, or the grading worksheet of a Moodle assignment.
"""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from mnist_efficient_model import USAGE, ChallengeError

COLUMNS = {  # a header, in lower case -> what it holds
    "student": "student", "id": "id", "sis user id": "sis", "id number": "sis", "login": "login", "username": "login",
    "sis login id": "login", "name": "name", "full name": "name", "lastname": "last", "last name": "last",
    "firstname": "first", "first name": "first", "section": "section", "email": "email", "email address": "email",
    "identifier": "identifier", "late_days": "late_days", "late days": "late_days",
}  # fmt: skip
KEYS = ("login", "id", "sis", "email", "name")  # where a submission's name is looked for without a column "student"
CANVAS_DOWNLOAD = re.compile(r"\w+?_(\d+)_\d+_")  # name_user_file_model.py, or name_LATE_... (lib/content_zipper.rb)
MOODLE_DOWNLOAD = re.compile(r"(.*)_(\d+)_assignsubmission_")  # Full Name_participant_assignsubmission_file_


def folded(text: str) -> str:
    """Text as it is compared: without regard to case, and to how an accent is encoded (macOS has its own way)."""
    return unicodedata.normalize("NFC", text).strip().casefold()


@dataclass
class Roster:
    """The rows of a roster, in its order: as they stand in the file, and by what COLUMNS calls them."""

    header: list[str]
    lines: list[list[str]]
    rows: list[dict[str, str]]
    points_possible: list[str]  # Canvas' line of that name; else empty

    @property
    def worksheet(self) -> bool:
        """Whether it is Moodle's grading worksheet."""
        return "identifier" in self.rows[0] and "Grade" in self.header

    def __post_init__(self) -> None:
        self.index: dict[str, dict[str, int | None]] = {}  # column -> value -> row; None: more than one
        for number, row in enumerate(self.rows):
            for column, value in row.items():
                value = "".join(re.findall(r"\d+$", value)) if column == "identifier" else folded(value)
                if value:
                    known = self.index.setdefault(column, {})
                    known[value] = None if value in known else number
        twice = [value for value, number in self.index.get("student", {}).items() if number is None]
        if twice:
            raise ChallengeError(f"the roster has more than one row for the student {twice[0]}", USAGE)

    def has(self, column: str) -> bool:
        return any(column in row for row in self.rows)

    def row_of(self, student: str) -> int | None:
        """The row of the student whose submission has this name.

        The number in a name that Canvas or Moodle gave to a download; else the column "student", or where there is
        none the first of KEYS in which the name stands once.
        """
        moodle, canvas = MOODLE_DOWNLOAD.match(student), CANVAS_DOWNLOAD.match(student)
        if moodle and "identifier" in self.index:
            return self.index["identifier"].get(moodle[2])
        if canvas and (found := self.index.get("id", {}).get(canvas[1])) is not None:
            return found
        names = [folded(name) for name in ((student, moodle[1]) if moodle else (student,))]
        columns = ("student",) if "student" in self.index else KEYS
        hits = (self.index.get(column, {}).get(name) for name in names for column in columns)
        return next((hit for hit in hits if hit is not None), None)

    def days_late(self, student: str) -> int:
        """The days late that stand in the roster, each day counted that has begun."""
        number = self.row_of(student)
        return 0 if number is None else days(self.rows[number].get("late_days", ""))


def days(text: str) -> int:
    """A cell of late_days; raises ValueError."""
    value = float(text.replace(",", ".") or 0)
    if not 0 <= value <= 10_000:
        raise ValueError(text)
    return math.ceil(value)


def read_roster(path: Path) -> Roster:
    """Read a roster; raises ChallengeError (status 2) saying what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        separators = ",;\t"  # the second is what Excel writes where numbers have a decimal comma
        separator = max(separators, key=lambda c: text.split("\n", 1)[0].count(c))
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(line)]
    except OSError as error:
        raise ChallengeError(f"cannot read {path}: {error.strerror}", USAGE) from error
    except UnicodeDecodeError as error:
        raise ChallengeError(f"{path} is not UTF-8: save it as 'CSV UTF-8'", USAGE) from error
    except csv.Error as error:
        raise ChallengeError(f"{path} is not a CSV file: {error}", USAGE) from error
    header = [name.strip() for name in lines[0]] if lines else []
    meanings = [COLUMNS.get(name.lower(), "") for name in header]
    if "SIS Login ID" in header:  # Canvas' gradebook: Student is the name, and the columns after Section are points
        meanings = ["name" if meaning == "student" else meaning for meaning in meanings]
        end = header.index("Section") + 1 if "Section" in header else len(header)
        meanings[end:] = [""] * (len(header) - end)
    if not {"student", "last", "identifier", *KEYS} & set(meanings):
        raise ChallengeError(f"{path} is no roster: its first line needs student, login, id, email or name", USAGE)
    if len(set(filter(None, meanings))) < len(list(filter(None, meanings))):
        raise ChallengeError(f"{path} has two columns for the same thing: {', '.join(header)}", USAGE)
    return with_rows(path, header, meanings, lines[1:])


def with_rows(path: Path, header: list[str], meanings: list[str], lines: list[list[str]]) -> Roster:
    """The roster of these lines; raises ChallengeError."""
    kept, rows, points_possible = [], [], []
    for line in lines:
        line += [""] * (len(header) - len(line))
        row = {meaning: value.strip() for meaning, value in zip(meanings, line, strict=False) if meaning}
        if last := row.pop("last", ""):
            row.setdefault("name", f"{last}, {row.get('first', '')}".rstrip(", "))
        row.pop("first", None)
        try:
            days(row.get("late_days", ""))
        except ValueError as error:
            who = row.get("student") or row.get("name") or row.get("login") or "?"
            raise ChallengeError(f"{path}: late_days of {who} is no number of days: {error}", USAGE) from error
        if "points possible" in row.get("name", "").lower():
            points_possible = line
        elif any(row.get(key) for key in ("student", "identifier", *KEYS)):  # not Canvas' line on manual posting
            kept.append(line)
            rows.append(row)
    if not rows:
        raise ChallengeError(f"{path} names no student", USAGE)
    return Roster(header, kept, rows, points_possible)
