"""What a notebook shows beside the plots: digits, tables, a curve that grows, seeds side by side, a page in a frame.

It takes arrays and results. What is no matplotlib Figure is an object that shows itself in Jupyter, VS Code, Colab and
Kaggle.
"""

from __future__ import annotations

import html
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from report.results import SIDE, Run
from report.style import Picture

PAPER, INK, MUTED, LINE = "#ffffff", "#1a1a1a", "#6b6b6b", "#0072b2"


def digits(images: Any, columns: int = 10) -> Figure:
    """Images (N, 28, 28), 0 to 255, as one sheet with ``columns`` in a row, dark ink on light paper."""
    images = np.asarray(images, dtype=float)
    rows = math.ceil(len(images) / columns)
    padded = np.zeros((rows * columns, SIDE, SIDE))
    padded[: len(images)] = images
    sheet = padded.reshape(rows, columns, SIDE, SIDE).swapaxes(1, 2).reshape(rows * SIDE, columns * SIDE)
    fig = Picture(figsize=(8, 8 * rows / columns), dpi=150, layout="constrained")
    axes = fig.subplots()
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")
    return fig


def seeds(runs: Sequence[Run]) -> Figure:
    """The accuracy of each run with its own 95 % interval, and the mean of all. Raises ValueError without any."""
    scored = [run for run in runs if run["test_accuracy"] is not None]
    if not scored:
        raise ValueError("no run has an accuracy")
    percent = [100 * run["test_accuracy"] for run in scored]
    low, high = zip(*(run["accuracy_interval"] for run in scored), strict=True)
    below = [value - 100 * bound for value, bound in zip(percent, low, strict=True)]
    above = [100 * bound - value for value, bound in zip(percent, high, strict=True)]
    mean = sum(percent) / len(percent)
    fig = Picture(figsize=(8, 3), dpi=150, layout="constrained")
    axes = fig.subplots()
    axes.errorbar(range(len(scored)), percent, [below, above], fmt="o", color=LINE, capsize=3, linewidth=1)
    axes.axhline(mean, color=MUTED, linewidth=0.8, linestyle="--", label=f"mean {mean:.2f} %")
    axes.set_xticks(range(len(scored)), [str(run["seed"]) for run in scored])
    axes.set_xlabel("seed")
    axes.set_ylabel("test accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return fig


class Table:
    """A header and rows of any values, numbers to the right."""

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.header, self.rows = [str(name) for name in header], [list(row) for row in rows]

    def _repr_html_(self) -> str:
        def cell(value: Any) -> str:
            side = "right" if isinstance(value, (int, float)) else "left"
            text = f"{value:,}" if isinstance(value, (int, float)) else str(value)
            return f'<td style="text-align: {side}">{html.escape(text)}</td>'

        head = "".join(f'<th style="text-align: left">{html.escape(name)}</th>' for name in self.header)
        body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        return "\n".join(" | ".join(map(str, row)) for row in [self.header, *self.rows])


class LiveCurve:
    """A curve that grows in the output of its cell: a callback (images seen, loss, accuracy) for a run.

    It is drawn as a small SVG, since drawing falls into the time of the epoch.
    """

    WIDTH, HEIGHT, LEFT, BOTTOM = 640, 260, 60, 36  # pixels; the margins hold the labels
    TICKS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)

    def __init__(self, images: int) -> None:
        from IPython.display import DisplayHandle  # only notebooks have it

        self.images = images
        self.points: list[tuple[int, float, float]] = []
        self.handle = DisplayHandle()
        self.handle.display(self)

    def __call__(self, images: int, loss: float, accuracy: float) -> None:
        self.points.append((images, loss, accuracy))
        self.handle.update(self)

    def place(self, images: float, accuracy: float) -> tuple[float, float]:
        """Where a point lies, in pixels: the error on a logarithmic scale, from 100 % at the bottom to 0.7 %."""
        x = self.LEFT + (self.WIDTH - self.LEFT - 90) * images / self.images
        y = 12 + (self.HEIGHT - self.BOTTOM - 12) * (1 + math.log(max(1 - accuracy, 0.007)) / -math.log(0.007))
        return round(x, 1), round(y, 1)

    def _repr_svg_(self) -> str:
        right = self.place(self.images, 0)[0]
        grid = "".join(
            f'<path d="M{self.LEFT} {y}H{right}" stroke="{MUTED}" stroke-opacity="0.3"/>'
            f'<text x="{self.LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:.0%}</text>'
            for tick in self.TICKS
            for _, y in [self.place(0, tick)]
        )
        line, last = "", ""
        if self.points:
            places = [self.place(images, accuracy) for images, _, accuracy in self.points]
            line = " ".join(f"{x},{y}" for x, y in places)
            images, _, accuracy = self.points[-1]
            last = f'<text x="{places[-1][0] + 6}" y="{places[-1][1] + 4}">{accuracy:.1%}</text>'
        else:
            images = 0
        label = f"accuracy on the augmented images, {images:,} of {self.images:,} seen"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.WIDTH} {self.HEIGHT}" width="{self.WIDTH}" '
            f'height="{self.HEIGHT}" font-family="sans-serif" font-size="12" fill="{INK}">'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>{grid}'
            f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>{last}'
            f'<text x="{self.LEFT}" y="{self.HEIGHT - 12}">{label}</text></svg>'
        )

    def __repr__(self) -> str:
        return f"accuracy after {len(self.points)} points: {self.points[-1][2]:.1%}" if self.points else "no point yet"


class Page:
    """A whole HTML page in a frame of its own, inside the notebook's file: it needs no server and no other file."""

    def __init__(self, content: str, height: int = 700) -> None:
        self.content, self.height = content, height

    def _repr_html_(self) -> str:
        frame = f'width="100%" height="{self.height}" style="border: 1px solid {MUTED}"'
        return f'<iframe srcdoc="{html.escape(self.content)}" {frame}></iframe>'

    def __repr__(self) -> str:
        return f"a page of {len(self.content):,} characters"


def command(script: Path, *options: Any) -> dict[str, Any]:
    """Run the script's command line as in a terminal, show what it says, and return what --json prints.

    Exit status 1, a broken limit, is a result like any other. Raises RuntimeError with the last line for errors.
    """
    words = [str(option) for option in options]
    print("$", shlex.join(["python", script.name, *words]))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    process = subprocess.Popen([sys.executable, str(script), *words, "--json"], errors="replace", **streams)
    line, document = "", None
    with process:
        for line in process.stdout:
            if line.startswith("{"):
                document = json.loads(line)
            else:
                print(line, end="")
    if document is None:
        raise RuntimeError(line.strip() or f"{script.name} ended with status {process.returncode}")
    return document
