"""A class's points in the files that Canvas and Moodle import: their own files, with the points filled in.

The roster is the gradebook that Canvas exports, or the grading worksheet of a Moodle assignment. A column "submission"
that the teacher adds says whose submission is whose; else a download's number, or login, email or name does.
"""

from __future__ import annotations

import csv
import html
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from grading.gradebook import cell
from grading.points import Scored
from mnist_efficient_model import USAGE, ChallengeError, write_file

OURS = "submission"
CANVAS = ("ID", "SIS User ID", "SIS Login ID", "Student")  # where a submission's name is looked for, in this order
MOODLE = ("Identifier", "ID number", "Username", "Email address", "Full name")
CANVAS_DOWNLOAD = re.compile(r"\w+?_(\d+)_\d+_")  # name_user_file_model.py, or name_LATE_... (lib/content_zipper.rb)
MOODLE_DOWNLOAD = re.compile(r"(.*)_(\d+)_assignsubmission_")  # Full Name_participant_assignsubmission_file_


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
        self.canvas = {"Student", "ID", "SIS Login ID", "Section"} <= set(self.header)
        if not self.canvas and not {"Identifier", "Grade"} <= set(self.header):
            kinds = "the gradebook that Canvas exports nor Moodle's grading worksheet"
            raise ChallengeError(f"{path} is neither {kinds}", USAGE)
        pattern = re.compile(rf"{re.escape(assignment)}( \(\d+\))?" if self.canvas else "Grade")
        columns = [i for i, name in enumerate(self.header) if pattern.fullmatch(name)]
        if len(columns) != 1:
            which = ", ".join(self.header[i] for i in columns) or "none"
            raise ChallengeError(f"--assignment {assignment!r} must be one column of {path}, and is {which}", USAGE)
        self.column = columns[0]
        keys = (OURS,) if OURS in self.header else CANVAS if self.canvas else MOODLE
        self.index: dict[str, int | None] = {}  # a name or number -> line; None: of several people
        for column in filter(self.header.__contains__, keys):
            found: dict[str, int | None] = {}
            for number, line in enumerate(self.lines):
                value = folded(line[self.header.index(column)])
                value = value.rpartition(" ")[2] if column == "Identifier" else value
                found[value] = None if value in found else number
            self.index = {**found, **self.index}
        self.people = [i for i, line in enumerate(self.lines) if not self.canvas or line[self.header.index("ID")]]

    def line_of(self, student: str) -> int | None:
        """The line of the student whose submission has this name; None where there is none, or more than one."""
        canvas, moodle = CANVAS_DOWNLOAD.match(student), MOODLE_DOWNLOAD.match(student)
        number = moodle[2] if moodle else canvas[1] if canvas else student
        names = (student, number, moodle[1] if moodle else student)
        return next((line for name in names if (line := self.index.get(folded(name))) is not None), None)

    def fill_in(self, out: Path, gradebook: Sequence[Scored], comments: Mapping[str, str]) -> list[str]:
        """Write canvas.csv or moodle.csv into a folder; returns lines on who is in only one of roster and gradebook.

        ``comments`` are by student. Raises OSError.
        """
        found: dict[int | None, list[Scored]] = {}
        for scored in gradebook:
            found.setdefault(self.line_of(scored.grade.student), []).append(scored)
        strangers = found.pop(None, [])
        several = [group for group in found.values() if len(group) > 1]
        grades = {line: group[0] for line, group in found.items() if len(group) == 1}
        given = {line: scored for line, scored in grades.items() if scored.score is not None}
        if self.canvas:
            write_file(out / "canvas.csv", self.to_canvas(given))
        else:
            write_file(out / "moodle.csv", self.to_moodle(given, comments))
        return [
            f"roster: {len(given):,} of {len(self.people):,} students have a grade; "
            f"{len(self.people) - len(found):,} handed nothing in, {len(grades) - len(given):,} to be graded again",
            *(f"{len(group)} submissions of one student, who gets no grade: {listed(group)}" for group in several),
            *([f"not in the roster: {listed(strangers)}"] if strangers else []),
        ]

    def to_canvas(self, given: dict[int, Scored]) -> str:
        """What Canvas imports: who, up to Section, and the assignment (canvas-lms, gradebook_importer.rb).

        Points are scaled to those on the line "Points Possible".
        """
        possible = next((to_number(line[self.column]) for line in self.lines if "Points Possible" in line[0]), 0)
        kept = [self.header.index(name) for name in self.header if name in (*CANVAS, "Section")] + [self.column]
        for i in self.people:
            self.lines[i][self.column] = points(given[i], possible) if i in given else ""
        return to_text([[line[i] for i in kept] for line in (self.header, *self.lines)])

    def to_moodle(self, given: dict[int, Scored], comments: Mapping[str, str]) -> str:
        """The worksheet with grades and feedback (which is HTML), the rest as it was, which Moodle asks for.

        Points are scaled to "Maximum Grade", since Moodle refuses more. Whoever has no grade keeps what stands there.
        See moodle, mod/assign/feedback/offline/importgradeslib.php.
        """
        at = {name: place for place, name in enumerate(self.header)}
        for i, scored in given.items():
            line = self.lines[i]
            line[self.column] = points(scored, to_number(line[at["Maximum Grade"]]) if "Maximum Grade" in at else 0)
            if "Feedback comments" in at:
                text = html.escape(comments[scored.grade.student].strip(), quote=False)
                line[at["Feedback comments"]] = "<br>".join(text.splitlines())
        kept = [i for i, name in enumerate(self.header) if name != OURS]
        return to_text([[line[i] for i in kept] for line in (self.header, *self.lines)])


def folded(text: str) -> str:
    """Text as it is compared: without regard to case, and to how an accent is encoded (macOS has its own way)."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def listed(gradebook: Iterable[Scored]) -> str:
    """Names for one line of a terminal."""
    names = ["".join(c if c.isprintable() else "?" for c in scored.grade.student) for scored in gradebook]
    return ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")


def to_number(text: str) -> float:
    """A positive number in a platform's file, 0 where there is none."""
    try:
        return max(0.0, float(text.replace(",", ".")))
    except ValueError:
        return 0.0


def points(scored: Scored, possible: float) -> str:
    """Points out of ``possible``; 0: of the rubric's."""
    value = scored.score * (possible / scored.max_score if possible and scored.max_score else 1)
    return f"{value:.2f}".rstrip("0").rstrip(".")


def to_text(table: Iterable[Sequence[str]]) -> str:
    """A table as CSV; text like a formula is made harmless, but for what only identifies: a login may begin with @."""
    text = io.StringIO()
    kept = re.compile(r"    Points Possible|[\w.@+-]*")
    csv.writer(text, lineterminator="\n").writerows(
        [value if kept.fullmatch(value) else cell(value) for value in line] for line in table
    )
    return text.getvalue()
