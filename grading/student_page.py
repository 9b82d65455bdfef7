"""A page to hand back to one student: verdict, advice, points, figures, mistakes. It names nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grading.feedback import next_steps
from grading.grades import SCORED, Grade, Run, limits_of, margins
from grading.page import SHOWN, TITLE, asked, ends, kind, points, words
from grading.points import MEASURES, Scored
from mnist_efficient_model import Limits, percent
from pages import Cell, heads, mistake, number, render
from pages.chart import Chart, curve_chart

Curve = Sequence[tuple[int, float]]
LEAST = 5  # curves: the median of fewer would tell too much of a single one


def median_curve(grades: Iterable[Grade]) -> Curve:
    """The median of the learning curves of a class; empty where it has too few."""
    curves = [grade.median.curve for grade in grades if grade.median and grade.median.curve]
    n = max((curve[-1][0] for curve in curves), default=0)
    complete = [curve for curve in curves if curve[-1][0] == n]
    if len(complete) < LEAST:
        return []
    images = np.linspace(0, n, 26).round()[1:]
    accuracies = np.median([np.interp(images, *zip(*curve, strict=True)) for curve in complete], axis=0)
    return list(zip(images.astype(int).tolist(), accuracies.tolist(), strict=True))


def learning_curve(grade: Grade, median: Curve) -> Chart | None:
    """Of the median run, beside the class's median."""
    curve = grade.median.curve if grade.median else []
    if not curve:
        return None
    about = f"{percent(curve[-1][1])} at the end of the epoch"
    legend = [(kind(grade.status), "this model")] + [("mean", "median of the class")] * bool(median)
    accuracies = [0.99, *(accuracy for _, accuracy in [*curve, *median])]
    span = (min(accuracies), max(accuracies))
    return curve_chart(curve, kind(grade.status), about, median, "median of the class", span, (440, 300), legend)


def worst(confusion: Sequence[Sequence[int]]) -> str:
    """The most frequent mistake, in words."""
    n, actual, predicted = max((n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j)
    return f"Most often, {actual} was taken for {predicted}: {n:,} of {sum(confusion[actual]):,}." if n else ""


def point_rows(scored: Scored) -> list[list[Any]]:
    """A row for each criterion, with what was measured for it."""
    rows = []
    for criterion, given in scored.parts:
        measured = ""
        if scored.grade.status in SCORED and criterion.measure in SHOWN:
            measured = number(MEASURES[criterion.measure](scored.grade), SHOWN[criterion.measure]).text
        rows.append([criterion.name, measured, *ends(criterion), number(given, points), number(criterion.points)])
    return rows


def held(holds: bool, close: bool = False) -> Cell:
    return Cell(("yes" if holds else "no") + ", but close" * close, kind="passed" if holds else "failed")


def limit_rows(grade: Grade, limits: Limits) -> list[list[Any]]:
    """What is asked, what was measured, and whether it holds; blank where nothing was measured."""
    texts = {"parameters": f"fewer than {limits.parameters:,}", "accuracy": f"at least {percent(limits.accuracy)}"}
    found = {margin.what: margin for margin in margins(grade, limits)}
    rows: list[list[Any]] = []
    for what, limit in texts.items():
        margin = found.get(what)
        measured = [Cell(margin.sentence, kind="prose"), held(margin.holds, margin.close)] if margin else ["", ""]
        rows.append([what.capitalize(), limit, *measured])
    seen = sorted({run.images_seen for run in grade.runs if run.images_seen is not None})
    images = ", ".join(f"{n:,}" for n in seen) + " images seen" * bool(seen)
    diverged = any(run.diverged_at for run in grade.runs)
    judged = diverged or (grade.status in SCORED and grade.accuracy is not None)
    return [*rows, ["One epoch", "each training image once", images, held(not diverged) if judged else ""]]


def note(run: Run) -> str:
    """What was odd in a run."""
    found = [f"the loss stopped being a number at step {run.diverged_at:,}"] if run.diverged_at else []
    if run.one_by_one:
        found.append("each image answered alone: its answers change with the other images of a batch, or by chance")
    return "; ".join(found)


COLUMNS = {  # header -> the field of a run, how it is written
    "Accuracy": ("accuracy", percent),
    "In training": ("train_accuracy", percent),
    "Before training": ("untrained_accuracy", percent),
    "Parameters": ("parameters", "{:,}".format),
    "Other numbers": ("buffers", "{:,}".format),
    "Seconds": ("train_seconds", "{:,.2f}".format),
    "Memory, MB": ("memory_mb", "{:,}".format),
    "Images seen": ("images_seen", "{:,}".format),
}


def run_table(runs: Sequence[Run]) -> tuple[list[Any], list[list[Any]]]:
    """Header, and a row for each seed; columns without anything are left out."""
    kept = {head: about for head, about in COLUMNS.items() if any(getattr(run, about[0]) for run in runs)}
    notes = [[Cell(note(run), kind="prose")] if any(map(note, runs)) else [] for run in runs]
    rows = [
        [f"seed {run.seed}", *(number(getattr(run, name), write) for name, write in kept.values()), *last]
        for run, last in zip(runs, notes, strict=True)
    ]
    return heads(["Run", *kept, *["Note"] * any(notes)], kept), rows


def made(grade: Grade, settings: dict[str, Any]) -> dict[str, list[Any]]:
    """Settings and versions behind a grade."""
    found = {
        "Graded": grade.date[:16].replace("T", " "),
        "Seeds": ", ".join(map(str, settings.get("seeds") or [])),
        "Model": grade.model,
        "Allowed": f"{settings['seconds']:,g} s, {settings['memory'] >> 20:,} MB" if "memory" in settings else "",
        "Isolation": ", ".join(["processes", *grade.isolation]) if grade.runs else "",
        "Versions": ", ".join(f"{package} {version}" for package, version in grade.versions.items()),
    }
    return {name: [value] for name, value in found.items() if value}


def student_page(scored: Scored, default: Limits, median: Curve) -> str:
    """The whole page; ``default`` are the limits of a grade whose file does not tell under which it was given."""
    grade = scored.grade
    limits, settings = limits_of(grade, default), grade.settings if isinstance(grade.settings, dict) else {}
    confusion = grade.median.confusion if grade.median else None
    return render(
        Path(__file__).parent / "student.html",
        title=f"{grade.student}: {TITLE[0].lower()}{TITLE[1:]}",
        assignment=TITLE,
        asked=asked(limits, settings.get("dataset", ""), settings.get("seeds") or []),
        grade=grade,
        kind=kind(grade.status),
        status=words(grade),
        score=None if scored.score is None else f"{points(scored.score)} of {points(scored.max_score)} points",
        steps=next_steps(grade, limits),
        limits=limit_rows(grade, limits),
        curve=learning_curve(grade, median),
        confusion=confusion,
        worst=worst(confusion) if confusion else "",
        mistakes=[mistake(each) for each in (grade.median.confused or [])] if grade.median else [],
        point_heads=heads(("Criterion", "Measured", "All points at", "None at", "Points", "Of"), ("Points", "Of")),
        points=point_rows(scored),
        runs=run_table(grade.runs),
        printed=grade.log.replace("\r\n", "\n").replace("\r", "\n"),
        made=made(grade, settings),
    )
