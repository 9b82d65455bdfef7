"""The gradebook: a JSON file per student, and CSV, leaderboard and page of all of them, written after every grade."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grading.grades import Grade, Run, Settings, sha256
from grading.rubric import Criterion, Scored, score
from mnist_efficient_model import percent, write_file, write_files

ON_PAGE = (
    "student",
    "score",
    "status",
    "verified",
    "parameters",
    "accuracy_median",
    "train_seconds",
    "description_bytes",
    "reason",
)  # columns that fit a laptop's screen; the details have the others
Similar = Mapping[str, Sequence[tuple[str, float]]]  # per student others with nearly the same code, from 0 to 1
SIMILAR = "similar.json"
RANKED = ("student", "accuracy_median", "parameters", "train_seconds")  # what the leaderboard shows of a row


# --- A file per student -----------------------------------------------------------------------------------------------


def file_name(student: str) -> str:
    """A name for a student's file: safe on every system, different for different students, also where case is lost."""
    safe = re.sub(r"[^a-z0-9_.-]+", "_", student.lower()).strip("._")[:60]
    looks_made = re.search(r"-[0-9a-f]{8}$", student)
    return safe if safe == student and not looks_made else f"{safe}-{sha256(student.encode())[:8]}"


def json_path(out: Path, student: str) -> Path:
    return out / "students" / f"{file_name(student)}.json"


def write_grade(out: Path, grade: Grade) -> None:
    write_file(json_path(out, grade.student), json.dumps(dataclasses.asdict(grade), indent=2) + "\n")


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
    write_files({
        out / "grades.csv": to_csv(rows),
        out / SIMILAR: json.dumps(similar, indent=2) + "\n",
        out / "report.html": to_page(gradebook, settings),
        out / "leaderboard.csv": to_csv(best) if best else ",".join(("rank", *RANKED)) + "\n",
    })  # fmt: skip


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
    """Rows of the passed and verified ones: by accuracy, then fewest parameters, then shortest training."""
    passed = [scored for scored in gradebook if scored.grade.status == "passed" and scored.grade.verified]
    passed.sort(key=lambda s: (-s.grade.accuracy, s.grade.parameters, s.grade.train_seconds, s.grade.student))
    rows = [scored.row() for scored in passed]
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


# --- The page ---------------------------------------------------------------------------------------------------------

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem;
       color-scheme: light dark }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #8886; padding: .3rem .5rem; text-align: left; vertical-align: top }
td.reason { min-width: 16rem; overflow-wrap: anywhere } .number { text-align: right; white-space: nowrap }
.passed { color: #1a7f37 } .rejected { color: #cf222e }
pre { overflow: auto; background: #8882; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere }
"""


def shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if "accuracy" in name and isinstance(value, float):
        return percent(value)
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def to_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as an HTML table, everything escaped."""
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in rows[0])
    body = ""
    for row in rows:
        cells = ""
        for name, value in row.items():
            kind = "number" if isinstance(value, (int, float)) else value if name == "status" else name
            cells += f'<td class="{html.escape(str(kind))}">{html.escape(shown(name, value))}</td>'
        body += f"<tr>{cells}</tr>\n"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def to_details(scored: Scored) -> str:
    """One submission's points, runs and prints, folded."""
    grade = scored.grade
    credit = [{"criterion": c.name, "points": p, "of": c.points} for c, p in scored.parts]
    parts = [f"<p>{html.escape(grade.reason)}</p>", to_table(credit)]
    if grade.runs:
        parts.append(to_table([dataclasses.asdict(run) for run in grade.runs]))
    if grade.log:
        parts.append(f"<p>It printed:</p><pre>{html.escape(grade.log)}</pre>")
    title = html.escape(f"{grade.student}: {grade.status}")
    return f"<details><summary>{title}</summary>{''.join(parts)}</details>"


def to_page(gradebook: Sequence[Scored], settings: Settings) -> str:
    limits = settings.limits
    granted = sorted({name for scored in gradebook for name in scored.grade.isolation})
    held = (
        f"Fewer than {limits.parameters:,} parameters, at least {percent(limits.accuracy)} of the test images of "
        f"{settings.dataset}, one augmented epoch; the median of {len(settings.seeds)} seeds. "
        f"Isolation: processes{''.join(f', {name}' for name in granted)}. "
    )
    if doubted := sum(scored.grade.verified is False for scored in gradebook):
        held += (
            f"Not verified: {doubted}. Those could not become a graph of operators, or may have been trained before; "
            "their figures rest on the submission's own code, and the reason says why. They are not on the leaderboard."
        )
    best = leaderboard(gradebook)
    rows = [{name: value for name, value in scored.row().items() if name in ON_PAGE} for scored in gradebook]
    board = to_table(best) if best else "<p>Nobody has passed yet.</p>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Grades</title><style>{STYLE}</style>"
        f"<h1>Grades</h1><p>{html.escape(held)}</p><h2>Gradebook</h2>{to_table(rows)}"
        f"<h2>Leaderboard</h2>{board}<h2>Submissions</h2>{''.join(map(to_details, gradebook))}</html>\n"
    )
