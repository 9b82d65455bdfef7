"""What a notebook shows beside the charts: digits, tables, verdicts, seeds side by side, a page in a frame."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import HTML
from matplotlib import pyplot as plt

from pages import Cell, percent, render
from pages.chart import Axis, Chart
from report.page import drawings, page
from report.results import Folder, Group, Run, grouped


def digits(images: Any, columns: int = 10) -> None:
    """Show images (N, 28, 28), 0 to 255, as one sheet with ``columns`` in a row, dark ink on light paper."""
    images = np.asarray(images)
    rows = -(-len(images) // columns)
    sheet = np.zeros((rows * columns, 28, 28))
    sheet[: len(images)] = images
    plt.figure(figsize=(8, 8 * rows / columns), layout="constrained")
    plt.imshow(sheet.reshape(rows, columns, 28, 28).swapaxes(1, 2).reshape(rows * 28, -1), "gray_r", vmin=0, vmax=255)
    plt.axis("off")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> HTML:
    """A table of any values, numbers with commas."""
    cells = [[Cell(f"{v:,}", v) if isinstance(v, (int, float)) else v for v in row] for row in rows]
    return HTML(render(Path(__file__).parent / "table.html", header=header, rows=cells))


def verdict(result: Any) -> HTML:
    """The script's RESULTS block, PASS and FAIL in colour."""
    text = html.escape(repr(result))
    for word, colour in (("PASS", "#00805c"), ("FAIL", "#c24e00")):
        text = text.replace(word, f'<b style="color: {colour}">{word}</b>')
    return HTML(f"<pre>{text}</pre>")


def groups(results: Iterable[Any]) -> list[Group]:
    """Results of the script's ``run`` as the charts take them."""
    return grouped(Run.read(result.plain()) for result in results)


def seeds(runs: Sequence[dict[str, Any]]) -> Chart:
    """The accuracy of each run of ``--json`` with its 95 % interval. Raises ValueError where none has an accuracy."""
    scored = [(run["seed"], run["test_accuracy"], run["accuracy_interval"]) for run in runs if run["test_accuracy"]]
    ends = [bound for *_, interval in scored for bound in interval]
    chart = Chart(
        Axis([seed for seed, *_ in scored], label="seed"), Axis(ends, "accuracy", "accuracy"), "Accuracy by seed"
    )
    for seed, accuracy, interval in scored:
        chart.point(seed, accuracy, "passed", f"seed {seed}: {percent(accuracy)} %", bounds=interval)
    return chart


def frame(content: str, height: int = 700) -> HTML:
    """A whole HTML page in a frame, inside the notebook's file: it needs no server and no other file."""
    return HTML(f'<div><iframe srcdoc="{html.escape(content)}" width="100%" height="{height}"></iframe></div>')


def report(folder: Folder) -> HTML:
    """The page of ``python -m report``."""
    return frame(page(folder, drawings(folder)))
