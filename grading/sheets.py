"""The grades of a class as Canvas and Moodle take them: canvas.csv and moodle.csv."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from grading.gradebook import cell
from grading.rosters import Roster
from grading.rubric import Scored
from mnist_efficient_model import USAGE, ChallengeError


@dataclass
class Sheets:
    """The files to write, by name (None: of no use with this roster), and what to say about them."""

    files: dict[str, str | None]
    notes: list[str]


def fill_in(roster: Roster, gradebook: Sequence[Scored], assignment: str, comment: Callable[[Scored], str]) -> Sheets:
    """canvas.csv and moodle.csv with the points of everybody who is in both the roster and the gradebook.

    Raises ChallengeError where Canvas' gradebook has several assignments of that name.
    """
    found: dict[int, list[Scored]] = {}
    strangers = []
    for scored in gradebook:
        number = roster.row_of(scored.grade.student)
        if number is None:
            strangers.append(scored.grade.student)
        else:
            found.setdefault(number, []).append(scored)
    notes = [
        f"{len(many)} submissions of one student, who gets no grade: {listed(s.grade.student for s in many)}"
        for many in found.values() if len(many) > 1
    ]  # fmt: skip
    grades = {number: many[0] for number, many in found.items() if len(many) == 1}
    blank = sum(scored.score is None for scored in grades.values())
    notes.insert(0, f"roster: {len(grades) - blank:,} of {len(roster.rows):,} students have a grade; "
                    f"{len(roster.rows) - len(found):,} handed nothing in, {blank:,} to be graded again")  # fmt: skip
    if strangers:
        notes.append(f"not in the roster: {listed(strangers)}")
    best = gradebook[0].max_score if gradebook else 0
    if roster.worksheet:
        return Sheets({"moodle.csv": to_worksheet(roster, grades, best, comment), "canvas.csv": None}, notes)
    canvas = to_canvas(roster, grades, best, assignment)
    return Sheets({"moodle.csv": to_moodle(roster, grades, assignment), "canvas.csv": canvas}, notes)


def listed(students: Iterable[str]) -> str:
    """Names for one line of a terminal."""
    names = ["".join(c if c.isprintable() else "?" for c in student) for student in students]
    return ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")


def to_canvas(roster: Roster, grades: dict[int, Scored], best: int, assignment: str) -> str:
    """What "Import grades" in Canvas' gradebook reads (canvas-lms, lib/gradebook_importer.rb).

    The first five columns in this order, then the assignment; the second line has its points. With Canvas' own export
    as roster, the assignment's column keeps its name there, "NAME (number)", and the points are scaled to its points.
    """
    columns = [name for name in roster.header if re.fullmatch(re.escape(assignment) + r"( \(\d+\))?", name)]
    if len(columns) > 1:
        raise ChallengeError(f"the roster has several such assignments: {', '.join(columns)}: choose by --assignment",
                             USAGE)  # fmt: skip
    title = columns[0] if columns else assignment
    possible = number(roster.points_possible[roster.header.index(title)]) if columns and roster.points_possible else 0
    table = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]]
    table.append(["    Points Possible", "", "", "", "", shown(possible or best)])
    for i, row in enumerate(roster.rows):
        who = [row.get("name") or row.get("student", ""), *(row.get(c, "") for c in ("id", "sis", "login", "section"))]
        table.append([*who, points(grades.get(i), possible or best)])
    return to_text(table)


def to_moodle(roster: Roster, grades: dict[int, Scored], assignment: str) -> str | None:
    """What "Import > CSV file" of Moodle's gradebook reads: an identity to map by, and one column of grades.

    None where the roster has no column to map by. See https://docs.moodle.org/en/Grade_import
    """
    identities = (("email", "Email address"), ("sis", "ID number"), ("id", "ID number"))
    column, title = next(((c, t) for c, t in identities if c in roster.index), (None, ""))
    if column is None:
        return None
    rows = [[row[column], points(grades.get(i))] for i, row in enumerate(roster.rows) if row[column]]
    return to_text([[title, assignment], *rows])  # a row without an identity would end Moodle's import


def to_worksheet(roster: Roster, grades: dict[int, Scored], best: int, comment: Callable[[Scored], str]) -> str:
    """Moodle's grading worksheet with grades and feedback filled in, the rest as it was, which Moodle asks for.

    Points are scaled to its "Maximum Grade", since Moodle refuses more. Whoever has no grade keeps what stands there.
    See moodle, mod/assign/feedback/offline/importgradeslib.php; the comments are HTML there.
    """
    at = {name.lower(): place for place, name in enumerate(roster.header)}
    table = [roster.header]
    for i, line in enumerate(roster.lines):
        line = list(line)
        if i in grades and grades[i].score is not None:
            maximum = number(line[at["maximum grade"]]) if "maximum grade" in at else 0
            line[at["grade"]] = points(grades[i], maximum or best)
            if "feedback comments" in at:
                text = html.escape(comment(grades[i]).strip(), quote=False)
                line[at["feedback comments"]] = "<br>".join(text.splitlines())
        table.append(line)
    return to_text(table)


def number(text: str) -> float:
    """A positive number in a platform's file, 0 where there is none."""
    try:
        return max(0.0, float(text.replace(",", ".")))
    except ValueError:
        return 0.0


def points(scored: Scored | None, possible: float | None = None) -> str:
    """Points out of ``possible`` (default: the rubric's); blank where there is no grade."""
    if scored is None or scored.score is None:
        return ""
    return shown(scored.score * (possible / scored.max_score if possible and scored.max_score else 1))


def shown(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def to_text(table: Sequence[Sequence[str]]) -> str:
    """A table as CSV; text like a formula is made harmless, but for what only identifies: a login may begin with @."""
    text = io.StringIO()
    kept = re.compile(r"    Points Possible|[\w.@+-]*")
    csv.writer(text, lineterminator="\n").writerows(
        [value if kept.fullmatch(value) else cell(value) for value in line] for line in table
    )
    return text.getvalue()
