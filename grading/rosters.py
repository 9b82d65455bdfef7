"""A class's points in a CSV file that a platform exports and imports: the same file, with a column filled in.

That is the gradebook of Canvas, the grading worksheet of a Moodle assignment, or any table of people with a login, an
ID, an email or a name. A column "submission" that the teacher adds says whose submission is whose.
"""

from __future__ import annotations

import csv
import html
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from grading.gradebook import to_csv
from grading.points import Scored
from grading.sandbox.watch import safe_text
from mnist_efficient_model import USAGE, ChallengeError, write_file

OURS = "submission"
WHO = "id, identifier, sis user id, id number, sis login id, login, username, email address, email, student, full name"
WHO = (*WHO.split(", "), "name")  # columns in which a submission's name is looked for, in this order
DOWNLOAD = re.compile(  # of Moodle: Full Name_participant_assignsubmission_file_; Canvas: name_LATE_user_file_model.py
    r"(.*)_(\d+)_assignsubmission_|\w+?_(\d+)_\d+_"
)
IDENTIFIER = r"[\w.@+-]*"  # as it stands in the file, even where it begins like a formula


class Roster:
    """The lines of a roster, as they are. Raises ChallengeError (status 2) for a file that cannot be used."""

    def __init__(self, path: Path, assignment: str) -> None:
        try:
            text = path.read_text(encoding="utf-8-sig")
            separator = max(",;\t", key=text.partition("\n")[0].count)  # Excel writes ; where decimals have a comma
            lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(line)]
        except OSError as error:
            raise ChallengeError(f"cannot read {path}: {error.strerror}", USAGE) from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise ChallengeError(f"{path} is no CSV file in UTF-8: save it as 'CSV UTF-8'", USAGE) from error
        self.header = [name.strip() for name in lines[0]] if lines else []
        self.lines = [line + [""] * (len(self.header) - len(line)) for line in lines[1:]]
        self.at = {name.casefold(): place for place, name in enumerate(self.header)}
        keys = [name for name in ([OURS] if OURS in self.at else WHO) if name in self.at]
        names = rf"{re.escape(assignment)}( \(\d+\))?|Grade|Score"  # Canvas adds its number
        columns = [place for place, name in enumerate(self.header) if re.fullmatch(names, name)]
        if not keys or len(columns) != 1:
            which = ", ".join(self.header[place] for place in columns) or "none"
            needed = f"a column of logins, IDs, emails or names, and one of {assignment!r}, 'Grade' or 'Score'"
            raise ChallengeError(f"{path} must have {needed} (--assignment): it is {which}", USAGE)
        self.column = columns[0]
        self.index: dict[str, set[int]] = defaultdict(set)  # a name or number -> lines
        for number, line in enumerate(self.lines):
            for key in keys:
                self.index[folded(line[self.at[key]]).removeprefix("participant ")].add(number)
        self.index.pop("", None)
        self.people = sum(bool(line[self.at[keys[0]]]) for line in self.lines)  # not Canvas' line of points

    def line_of(self, student: str) -> int | None:
        """The line of the student whose submission has this name; None where there is none, or more than one."""
        found = DOWNLOAD.match(student)
        names = [student, *filter(None, found.groups()[::-1] if found else ())]
        lines = [self.index[folded(name)] for name in names if folded(name) in self.index]
        return next((min(each) for each in lines if len(each) == 1), None)

    def fill_in(self, out: Path, gradebook: Sequence[Scored], comments: Mapping[str, str]) -> list[str]:
        """Write canvas.csv, moodle.csv or roster.csv; returns lines on who is in only one of roster and gradebook.

        Whoever has no grade keeps what stands there. ``comments`` are by student. Raises OSError.
        """
        found: dict[int | None, list[Scored]] = defaultdict(list)
        for scored in gradebook:
            found[self.line_of(scored.grade.student)].append(scored)
        notes = [f"not in the roster: {listed(found.pop(None))}"] if None in found else []
        several = [group for group in found.values() if len(group) > 1]
        notes += [f"several submissions of one student, who gets no grade: {listed(group)}" for group in several]
        given = {n: group[0] for n, group in found.items() if len(group) == 1 and group[0].score is not None}
        for number, scored in given.items():
            line = self.lines[number]
            line[self.column] = self.points(scored, line)
            if "feedback comments" in self.at:  # Moodle's, in HTML
                text = html.escape(comments[scored.grade.student].strip(), quote=False)
                line[self.at["feedback comments"]] = "<br>".join(text.splitlines())
        kind = "moodle" if "identifier" in self.at else "roster"
        kept = [place for place, name in enumerate(self.header) if name.casefold() != OURS]
        if (
            "sis login id" in self.at and "section" in self.at
        ):  # without other assignments, which may have changed since
            kind, kept = "canvas", [*range(self.at["section"] + 1), self.column]
        table = [[line[place] for place in kept] for line in (self.header, *self.lines)]
        write_file(out / f"{kind}.csv", to_csv(table, kept=IDENTIFIER))
        return [f"roster: {len(given):,} of {self.people:,} students have a grade", *notes]

    def points(self, scored: Scored, line: list[str]) -> str:
        """Points, scaled to Moodle's "Maximum Grade" or those on Canvas' line "Points Possible" if there are any."""
        possible = next((each[self.column] for each in self.lines if "Points Possible" in each[0]), "")
        if "maximum grade" in self.at:
            possible = line[self.at["maximum grade"]]
        try:
            scale = (float(possible.replace(",", ".")) or scored.max_score) / scored.max_score
        except (ValueError, ZeroDivisionError):
            scale = 1.0
        return f"{scored.score * scale:.2f}".rstrip("0").rstrip(".")


def folded(text: str) -> str:
    """Text as it is compared: without regard to case, and to how an accent is encoded (macOS has its own way)."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def listed(gradebook: Sequence[Scored]) -> str:
    return safe_text(", ".join(scored.grade.student for scored in gradebook))
