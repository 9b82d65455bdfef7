"""The gradebook on disk: a JSON file and a page per student; CSV, leaderboard and page of all, after every grade."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from grading.grades import Grade, Run, Settings, file_name
from grading.page import Similar, to_page
from grading.rubric import Criterion, Scored, ranked, score
from grading.student_page import to_student_page
from mnist_efficient_model import Limits, write_file

SIMILAR = "similar.json"
RANKED = ("student", "accuracy_median", "parameters", "train_seconds")  # what the leaderboard shows of a row


# --- A file per student -----------------------------------------------------------------------------------------------


def json_path(out: Path, student: str) -> Path:
    return out / "students" / f"{file_name(student)}.json"


def page_path(out: Path, student: str) -> Path:
    return out / "students" / f"{file_name(student)}.html"


def write_grade(out: Path, scored: Scored, limits: Limits) -> None:
    """A student's JSON file and page."""
    grade = scored.grade
    write_file(json_path(out, grade.student), json.dumps(dataclasses.asdict(grade), indent=2) + "\n")
    write_file(page_path(out, grade.student), to_student_page(scored, limits))


def write_missing_pages(out: Path, grades: Iterable[Grade], rubric: list[Criterion], limits: Limits) -> None:
    """Each student's page that is not there or tells something else, as after a change of the rubric."""
    for grade in grades:
        path, content = page_path(out, grade.student), to_student_page(score(grade, rubric), limits)
        try:
            current = path.read_bytes() == content.encode()
        except OSError:
            current = False
        if not current:
            write_file(path, content)


def read_grade(path: Path) -> Grade | None:
    """The grade in a JSON file, or None where it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        grade = Grade(**{**content, "runs": [Run(**run) for run in content["runs"]]})
        return grade if json_path(path.parent.parent, grade.student) == path else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_grades(out: Path) -> dict[str, Grade]:
    """All grades that a folder holds, by student."""
    grades = [read_grade(path) for path in sorted((out / "students").glob("*.json"))]
    return {grade.student: grade for grade in grades if grade}


def still_valid(grade: Grade | None, key: str) -> bool:
    """Whether a grade was given to the same code under the same settings."""
    return grade is not None and grade.key == key and grade.status != "machine_error"


# --- All of them ------------------------------------------------------------------------------------------------------


def write_gradebook(
    out: Path, grades: Iterable[Grade], rubric: list[Criterion], settings: Settings, similar: Similar
) -> None:
    """All that a teacher opens, by student's name. ``similar`` is for the teacher only: nothing handed back has it."""
    gradebook = [score(grade, rubric) for grade in sorted(grades, key=lambda grade: grade.student)]
    best = leaderboard(gradebook)
    rows = [{**scored.row(), "similar_to": similar_to(similar, scored.grade.student)} for scored in gradebook]
    write_file(out / "grades.csv", to_csv(rows))
    write_file(out / SIMILAR, json.dumps(similar, indent=2) + "\n")
    write_file(out / "report.html", to_page(gradebook, settings, rubric, similar))
    write_file(out / "leaderboard.csv", to_csv(best) if best else ",".join(("rank", *RANKED)) + "\n")


def similar_to(similar: Similar, student: str) -> str | None:
    """``alice 0.97; bob 0.91``, rounded down; None where there is nobody."""
    rivals = similar.get(student, ())
    return "; ".join(f"{name} {math.floor(100 * value) / 100:.2f}" for name, value in rivals) or None


def read_similar(out: Path, graded: str) -> dict[str, list[tuple[str, float]]]:
    """What an earlier run for the whole class found, without the student who is ``graded`` anew; empty if nothing."""
    try:
        found = json.loads((out / SIMILAR).read_text(encoding="utf-8"))
        pairs = {name: [(str(r), float(v)) for r, v in rivals if r != graded] for name, rivals in found.items()}
        return {name: rivals for name, rivals in pairs.items() if rivals and name != graded}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


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
