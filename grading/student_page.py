"""A page to hand back to one student: verdict, advice, points, figures, prints. It tells nothing of anybody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from grading.feedback import next_steps
from grading.grades import SCORED, Grade, Run, limits_of, margins
from grading.markup import cell, document, name, row, table, text
from grading.points import MEASURES, Scored
from grading.scatter import shape
from grading.shown import SHOWN, ends, points, words
from mnist_efficient_model import Limits, percent


def verdict(scored: Scored, limits: Limits) -> str:
    """Status, score and reason, and what to do next."""
    grade = scored.grade
    score = "not graded yet" if scored.score is None else f"{points(scored.score)} of {points(scored.max_score)} points"
    steps = "".join(f"<li>{text(step)}</li>\n" for step in next_steps(grade, limits))
    unverified = (
        "<p><strong>Not verified:</strong> what is measured here rests on the submission's own code.</p>\n"
        if grade.verified is False
        else ""
    )
    return (
        f'<p class="verdict {shape(grade.status)}"><strong class="{shape(grade.status)}">{text(words(grade.status))}'
        f"</strong> <span>{score}</span></p>\n<p>{text(grade.reason)}</p>\n{unverified}"
        + f"<h2>What to do next</h2>\n<ul>\n{steps}</ul>\n"
        * bool(steps)
    )


# --- Points and limits ------------------------------------------------------------------------------------------------


def points_table(scored: Scored) -> str:
    """A row for each criterion, with what was measured for it."""
    rows = []
    for criterion, given in scored.parts:
        value = None
        if scored.grade.status in SCORED and criterion.measure in SHOWN:
            value = MEASURES[criterion.measure](scored.grade)
        cells = [
            cell(text(criterion.name), tag="th"),
            cell("" if value is None else text(SHOWN[criterion.measure](value))),
            cell(text(ends(criterion))),
            cell("" if given is None else points(given), given),
            cell(points(criterion.points), criterion.points),
        ]
        rows.append(row(cells))
    total = "" if scored.score is None else points(scored.score)
    blank = cell("")
    last = [cell("All", tag="th"), blank, blank, cell(total, scored.score)]
    rows.append(row([*last, cell(points(scored.max_score), scored.max_score)], "total"))
    return table(
        ("Criterion", "Measured", "All points to none", "Points", "Of"), rows, "Points", "plain", ("Points", "Of")
    )


def yes(holds: bool) -> str:
    return f'<span class="{"passed" if holds else "failed"}">{"yes" if holds else "no"}</span>'


def limits_table(grade: Grade, limits: Limits) -> str:
    """What is asked, what was measured, and whether it holds; blank where nothing was measured."""
    asked = {
        "parameters": f"fewer than {limits.parameters:,}",
        "accuracy": f"at least {percent(limits.accuracy)}",
    }
    found = {margin.what: margin for margin in margins(grade, limits)}
    rows = []
    for what, limit in asked.items():
        measured, holds = "", ""
        if margin := found.get(what):
            measured, holds = text(margin.sentence), yes(margin.holds) + ", but close" * margin.close
        rows.append(row([cell(what.capitalize(), tag="th"), *map(cell, (limit, measured, holds))]))
    seen = sorted({run.images_seen for run in grade.runs if run.images_seen is not None})
    images = ", ".join(f"{n:,}" for n in seen) + " images seen" * bool(seen)
    diverged = any(run.diverged_at for run in grade.runs)
    holds = yes(not diverged) if diverged or (grade.status in SCORED and grade.accuracy is not None) else ""
    rows.append(row([cell("One epoch", tag="th"), *map(cell, ("each training image once", images, holds))]))
    return table(("Limit", "Asked", "Measured", "Holds"), rows, "Limits", "plain")


# --- Runs -------------------------------------------------------------------------------------------------------------


def note(run: Run) -> str:
    """What was odd in a run."""
    found = [f"the loss stopped being a number at step {run.diverged_at:,}"] if run.diverged_at else []
    if run.one_by_one:
        found.append("each image answered alone: its answers change with the other images of a batch, or by chance")
    return "; ".join(found)


COLUMNS: dict[str, Callable[[Run], Any]] = {
    "Seed": lambda run: run.seed,
    "Accuracy": lambda run: run.accuracy,
    "In training": lambda run: run.train_accuracy,
    "Before training": lambda run: run.untrained_accuracy,
    "Parameters": lambda run: run.parameters,
    "Other numbers": lambda run: run.buffers or None,
    "Seconds": lambda run: run.train_seconds,
    "Memory, MB": lambda run: run.memory_mb,
    "Images seen": lambda run: run.images_seen,
    "Note": note,
    "Classes called": lambda run: " ".join(map(str, run.labels)),
}
WORDS = ("Note", "Classes called")
FRACTIONS = ("Accuracy", "In training", "Before training")


def run_cell(column: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return cell(text(value or ""), kind="note" if column == "Note" else "")
    if column in FRACTIONS:
        return cell(percent(value), value)
    return cell(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}", value)


def runs_table(runs: Sequence[Run]) -> str:
    """A row for each seed; columns without anything are left out."""
    if not runs:
        return "<p>It did not come to a run.</p>\n"
    rows = [{column: value(run) for column, value in COLUMNS.items()} for run in runs]
    kept = [column for column in COLUMNS if any(cells[column] not in (None, "") for cells in rows)]
    shown = [row(run_cell(column, cells[column]) for column in kept) for cells in rows]
    return table(kept, shown, "Runs", "runs", [column for column in kept if column not in WORDS]) + (
        '<p class="small">"In training" is the accuracy at the end of the epoch, on augmented images. In each run the '
        "classes 0 to 9 are called by other numbers, so that no model can bring its answers along.</p>\n"
    )


# --- The page ---------------------------------------------------------------------------------------------------------


def made(grade: Grade) -> str:
    """Settings and versions behind a grade."""
    settings = grade.settings if isinstance(grade.settings, dict) else {}
    rows = {
        "Data": settings.get("dataset"),
        "Seeds": ", ".join(map(str, settings.get("seeds") or [])),
        "Model chosen": settings.get("model_name"),
        "Seconds allowed": settings.get("seconds") and f"{settings['seconds']:,g}",
        "Memory allowed": settings.get("memory") and f"{settings['memory'] >> 20:,} MB",
        "Isolation": ", ".join(["processes", *grade.isolation]) if grade.runs else None,
        "Versions": ", ".join(f"{package} {version}" for package, version in grade.versions.items()),
    }
    return '<dl class="made">' + "".join(f"<dt>{k}</dt><dd>{text(v)}</dd>\n" for k, v in rows.items() if v) + "</dl>\n"


def to_student_page(scored: Scored, default: Limits) -> str:
    """The whole page; ``default`` are the limits of a grade whose file does not tell under which it was given."""
    grade = scored.grade
    limits = limits_of(grade, default)
    printed = grade.log.replace("\r\n", "\n").replace("\r", "\n")
    body = (
        f"<h1>{name(grade.student, 3000)}</h1>\n{verdict(scored, limits)}"
        f"<h2>Points</h2>\n{points_table(scored)}"
        f"<h2>Limits</h2>\n{limits_table(grade, limits)}"
        f"<h2>Runs</h2>\n{runs_table(grade.runs)}"
        + f"<h2>What it printed</h2>\n<pre>{text(printed)}</pre>\n" * bool(printed.strip())
        + f"<footer>\n{made(grade)}</footer>\n"
    )
    return document(f"{grade.student}: the efficient-MNIST challenge", body, "student")
