"""One model in several formats, measured side by side: a table, and the same as bars in a PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

import mnist_efficient_model as challenge
from export.onnx_file import first_line, quiet
from mnist_efficient_model import MODEL_ERROR, ChallengeError, Dataset

BLUE = "#0072B2"  # Okabe and Ito's, which colour-blind readers can tell from other colours


@dataclass
class Format:
    """A model in one format and what it costs there; None: not measured."""

    name: str
    bytes: int | None = None  # of the file
    accuracy: float | None = None
    latency_ms: float | None = None  # batch of one, one thread, median
    latency_p95_ms: float | None = None
    throughput: float | None = None  # images per second at batch 1,000, all threads
    note: str = ""


COLUMNS: list[tuple[str, str, str, Callable[[Any], str]]] = [  # field, header, title of its panel, how to show it
    ("bytes", "bytes", "bytes of the file", "{:,}".format),
    ("accuracy", "acc. %", "test accuracy, %", lambda fraction: challenge.percent(fraction).removesuffix(" %")),
    ("latency_ms", "ms", "ms for one image, one thread, median", "{:.3f}".format),
    ("latency_p95_ms", "ms p95", "ms for one image, one thread, p95", "{:.3f}".format),
    ("throughput", "images/s", "images per second, batch 1,000", "{:,.0f}".format),
]


def measure(name: str, model: nn.Module, size: int, data: Dataset) -> Format:
    """Score a model on every test image and time it; what cannot run here is blank, with a note that says why."""
    try:
        with quiet():
            accuracy = challenge.evaluate(model, data.test).accuracy
            images = challenge.to_input(data.test.images[:1000])
            single = 1000 * np.array(challenge.forward_seconds(model, images[:1], 100))
            batch = float(np.median(challenge.forward_seconds(model, images, 5, torch.get_num_threads())))
            return Format(name, size, accuracy, *np.percentile(single, (50, 95)).tolist(), len(images) / batch)
    except (Exception, SystemExit) as error:  # torch.compile without a compiler, or on a system it does not know
        return Format(name, note=f"{name} does not run here: {first_line(error)}")


def format_table(formats: Sequence[Format]) -> str:
    lines = [" " * 13 + "".join(f"{header:>11}" for _, header, _, _ in COLUMNS)]
    for each in formats:
        values = [(getattr(each, key), show) for key, _, _, show in COLUMNS]
        cells = ["" if value is None else show(value) for value, show in values]
        lines.append(f"{each.name:<13}{''.join(cell.rjust(11) for cell in cells)}".rstrip())
    return "\n".join([*lines, *(f"Note: {each.note}" for each in formats if each.note)])


def format_bars(formats: Sequence[Format], title: str) -> bytes:
    """The table as a PNG, a panel for each column. Drawn without pyplot, whose backend and state are the caller's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    with rc_context(style):
        figure = Figure(figsize=(13, 1.1 + 0.3 * len(formats)), dpi=130, layout="constrained")
        panels = figure.subplots(1, len(COLUMNS))
        for axes, column in zip(panels, COLUMNS, strict=True):
            draw_panel(axes, formats, *column)
            if axes is not panels[0]:
                axes.set_yticklabels([])
        figure.suptitle(title, fontsize=9)
        content = io.BytesIO()
        figure.savefig(content, format="png")
    return content.getvalue()


def draw_panel(
    axes: Any, formats: Sequence[Format], key: str, header: str, title: str, show: Callable[[Any], str]
) -> None:
    """Bars of one column; accuracy as points, since its axis does not start at zero."""
    names = [each.name for each in formats]
    values = [getattr(each, key) for each in formats]
    lengths = [math.nan if value is None else value * (100 if key == "accuracy" else 1) for value in values]
    if key == "accuracy":
        axes.plot(lengths, names, "o", color=BLUE)
        axes.margins(x=0.6, y=0.15)
        axes.grid(axis="x", alpha=0.3)
        axes.ticklabel_format(axis="x", useOffset=False)
    else:
        axes.barh(names, lengths, color=BLUE)
        axes.set_xlim(0, 1.45 * np.nanmax(lengths))
    for row, (value, length) in enumerate(zip(values, lengths, strict=True)):
        text, place = ("not measured", 0.0) if value is None else (show(value), length)
        if value is not None or key != "accuracy":
            axes.text(place, row, f"  {text}", va="center", fontsize=7.5, color="0.5" if value is None else "black")
    axes.invert_yaxis()
    axes.set_title(title, fontsize=7.5)
    axes.tick_params(labelsize=7.5)
    axes.locator_params(axis="x", nbins=4)


def int8_summary(before: Format, after: Format) -> str:
    """What quantisation changed, in a sentence. Raises ChallengeError (status 3) where one of the two did not run."""
    if note := before.note or after.note:
        raise ChallengeError(f"int8 cannot be compared with float32: {note}; nothing was written", MODEL_ERROR)
    ratio = after.latency_ms / before.latency_ms
    speed = f"{1 / ratio:.1f} times as fast" if ratio < 1 else f"{ratio:.1f} times as slow"
    points = 100 * (after.accuracy - before.accuracy)
    return (
        f"int8 has {after.bytes / before.bytes:.0%} of the bytes of float32, changes accuracy by {points:+.2f} points "
        f"and is {speed} for one image"
    )
