"""report.html: what its template shows of a results folder."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pages import Cell, heads, percent, render
from report import charts
from report.results import ACCURACY, CLASSES, PARAMETERS, Experiment, Folder, Group, Run, grouped

COLUMNS = {  # header -> what it is, the field of a run, digits, unit
    "parameters": ("frozen ones too, a shared one once", "parameters", 0, 1),
    "mean %": ("of all test images classified correctly, rounded down, over the seeds", "", 0, 1),
    "min %": ("the worst seed", "", 0, 1),
    "max %": ("the best seed", "", 0, 1),
    "train s": ("training with augmentation, without loading and scoring, median", "train_seconds", 2, 1),
    "kMAC": ("thousands of multiply-accumulates of one inference", "macs", 0, 1000),
    "ms": ("one image on one thread, median", "latency_ms", 2, 1),
    "MB": ("most memory of the training process at once, PyTorch and data included", "peak_memory_mb", 0, 1),
    "passed": ("runs that kept every limit", "", 0, 1),
}


def cells(group: Group) -> dict[str, Cell]:
    """A model's figures by header; blank where nothing was measured."""
    found = {}
    for header, (_, name, digits, unit) in COLUMNS.items():
        value = group.median(name) if name else None
        found[header] = Cell("") if value is None else Cell(f"{value / unit:,.{digits}f}", value)
    accuracies = {"mean %": group.mean, "min %": min(group.accuracies, default=None)}
    accuracies["max %"] = max(group.accuracies, default=None)
    found |= {header: Cell(percent(value), value) for header, value in accuracies.items()}
    passed, n = sum(run.passed for run in group.runs), len(group.runs)
    return {**found, "passed": Cell(f"{passed}/{n}", passed / n, charts.kind(group))}


def results_table(groups: Sequence[Group]) -> list[list[Cell]]:
    """A row for each model, with the best of each column marked among those that pass, or among all if none does."""
    rows = [(group, cells(group)) for group in groups]
    among = [row for group, row in rows if group.passed] or [row for _, row in rows]
    for header in COLUMNS:
        values = [row[header].value for row in among if row[header].value is not None]
        best = max(values, default=None) if "%" in header else min(values, default=None)
        for row in among if len(set(values)) > 1 and header != "passed" else ():
            if row[header].value == best:
                row[header] = row[header]._replace(kind="best")
    return [[Cell(group.label, href=f"#model-{i}"), *row.values()] for i, (group, row) in enumerate(rows, 1)]


def shaded(accuracies: Sequence[float | None]) -> list[Cell]:
    """Accuracies as cells, darker by the order of the error: 50 % is blank, 99.8 % the darkest."""
    found = []
    for value in accuracies:
        shade = 0 if value is None else round(9 * math.log(0.5 / max(1 - value, 0.002)) / math.log(0.5 / 0.002))
        found.append(Cell(percent(value), value, f"shade-{min(9, max(0, shade))}"))
    return found


def grid(experiment: Experiment) -> tuple[list[str], list[list[Cell]]] | None:
    """A sweep of two settings as header and shaded rows; None for other experiments."""
    if len(experiment.keys) != 2:
        return None
    means = {values: group.mean for values, group in experiment.points}
    downs, acrosses = (list(dict.fromkeys(values[i] for values in means)) for i in (0, 1))
    rows = [[Cell(down), *shaded([means.get((down, across)) for across in acrosses])] for down in downs]
    return [f"{experiment.keys[0]} \\ {experiment.keys[1]}", *map(str, acrosses)], rows


def figures(table: Sequence[Sequence[str]]) -> list[list[Any]]:
    """Rows of text, header first, as cells: what reads as a number sorts as one."""
    rows = []
    for name, *texts in table[1:]:
        values = [text.replace(",", "") for text in texts]
        numbers = [float(value) if re.fullmatch(r"-?\d+(\.\d+)?", value) else None for value in values]
        rows.append([name, *map(Cell, texts, numbers)])
    first, *others = table[0]
    numeric = [any(row[i].value is not None for row in rows) for i in range(1, len(table[0]))]
    return [
        [first, *(Cell(head, kind="number" * is_number) for head, is_number in zip(others, numeric, strict=True))],
        *rows,
    ]


def best_run(groups: Sequence[Group]) -> Run | None:
    """The first run of the model whose mistakes are shown: efficient, else the most accurate of those that pass."""
    runs = [group.first for group in groups if group.first.confusion and group.first.accuracy is not None]
    return max(runs, key=lambda run: (run.model == "efficient", run.passed, run.accuracy), default=None)


def made(runs: Sequence[Run]) -> dict[str, list[str]]:
    """How runs were made: each value that occurs."""
    facts = {
        "Data": [f"{r.dataset}: {r.train_images:,} training, {r.test_images:,} {r.scored_on} images" for r in runs],
        "Device": [f"{run.device}, threads: {run.threads}" for run in runs],
        "Versions": [run.versions for run in runs],
    }
    return {name: list(dict.fromkeys(values)) for name, values in facts.items() if values}


def drawings(folder: Folder) -> dict[str, Any]:
    """The charts by the names of their files."""
    found = {
        f"accuracy_vs_{n}": charts.accuracy_over(folder.groups, c)
        for n, c in (("parameters", "parameters"), ("time", "train_seconds"))
    }
    for experiment in folder.experiments:
        draw = {
            "sweep": charts.sweep,
            "frontier": lambda e: charts.accuracy_over(grouped(e.runs), "parameters"),
        }
        found[experiment.name] = draw[experiment.kind](experiment) if experiment.kind in draw else None
    return {name: chart for name, chart in found.items() if chart}


def page(folder: Folder, drawn: dict[str, Any]) -> str:
    """The whole page."""
    groups, runs = folder.groups, [run for group in folder.groups for run in group.runs]
    best = max((g for g in groups if g.mean is not None and g.first.curve), key=lambda g: g.mean, default=None)
    accuracies = [0.5, 0.99, *(accuracy for group in groups for _, accuracy in group.first.curve)]
    span = (max(0.1, min(accuracies)), min(0.9999, max(accuracies)))
    return render(
        Path(__file__).parent / "report.html",
        title="The efficient-MNIST challenge",
        date=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        limits=f"fewer than {PARAMETERS:,} parameters, at least {100 * ACCURACY:g} % accuracy, exactly one epoch",
        folder=folder,
        notes=list(dict.fromkeys(run.note for run in runs if run.note)),
        passed=sum(group.passed for group in groups),
        columns=COLUMNS,
        heads=heads(["model", *COLUMNS], COLUMNS),
        class_heads=heads(["model", *range(CLASSES)], range(CLASSES)),
        rows=results_table(groups),
        drawn=drawn,
        models=[(g, charts.learning_curve(g, best, span), cells(g)) for g in groups],
        best_curve=best,
        per_class=[[Cell(g.label), *shaded(g.per_class)] for g in groups if g.per_class],
        best=best_run(groups),
        experiments=[(each, grid(each), figures(each.table), made(each.runs)) for each in folder.experiments],
        made=made(runs),
    )
