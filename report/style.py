"""How figures look: colours, axes, names that cover nothing; and how they leave, as PNG and as SVG for a page.

No figure touches pyplot, whose global state and windows belong to whoever runs this.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's colours, which colour-blind readers can tell apart. In a page each follows its CSS variable, so that
# one drawing serves light and dark screens and paper.
PAPER, INK, MUTED, PASSED, FAILED, AREA = "#ffffff", "#1a1a1a", "#6b6b6b", "#0072b2", "#c24e00", "#009e73"
VARIABLES = {PAPER: "paper", INK: "ink", MUTED: "muted", PASSED: "good", FAILED: "bad", AREA: "area"}
ON_DARK, ON_LIGHT = "#fefefe", "#262626"  # text on the cells of a heat map, the same in any page


class Picture(Figure):
    """A figure that shows itself in notebooks."""

    def _repr_png_(self) -> bytes:
        return png(self)


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's own defaults and these looks, whatever a user's matplotlibrc says; afterwards all is as it was."""
    colours = {f"{part}.color": INK for part in ("text", "xtick", "ytick")}
    colours |= {"axes.labelcolor": INK, "axes.edgecolor": MUTED, "grid.color": MUTED}
    looks = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    plain = {"text.parse_math": False}  # a name may hold dollar signs
    with matplotlib.style.context(["default", {**colours, **looks, **plain, "image.interpolation": "none"}]):
        yield


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A new figure, in inches, and its axes."""
    fig = Picture(figsize=(width, height), dpi=150, layout="constrained")
    return fig, fig.subplots(rows, columns, **options)


def png(fig: Figure) -> bytes:
    """The figure as a PNG file."""
    content = io.BytesIO()
    fig.savefig(content, format="png", dpi=fig.dpi, metadata={"Software": None})
    fig.set_layout_engine("none")  # it is laid out now, which takes longer than drawing
    return content.getvalue()


def svg(fig: Figure, name: str, label: str) -> str:
    """The figure as an <svg> element of a page, coloured by the page's variables; ``name`` keeps its ids its own.

    ``label`` is its text for screen readers, escaped already. Text stays text, in the page's font.
    """
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(content, format="svg", facecolor="none", metadata={"Date": None})

    def tidy(tag: re.Match[str]) -> str:
        text = re.sub(r'^<g id="[^"]*"', "<g", tag[0])
        text = re.sub(r"font: [^;\"]*?([\d.]+px)[^;\"]*", r"font-size: \1", text)
        text = re.sub(r"(\.\d\d)\d+", r"\1", text)
        return re.sub(r"(?<=: )#\w{6}", lambda colour: coloured(colour[0]), text)

    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", content.getvalue().decode(), flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", tidy, text[text.index("<svg") :])
    box = re.search(r'viewBox="[^"]+"', text)[0]
    return re.sub(r"^<svg[^>]*>", lambda _: f'<svg {box} role="img" aria-label="{label}">', text).strip()


def coloured(colour: str) -> str:
    return f"var(--{VARIABLES[colour]})" if colour in VARIABLES else colour


def grid_of(n: int) -> tuple[int, int]:
    """Rows and columns for n small panels, wider than high."""
    columns = n if n < 4 else min(6, max(3, round((1.8 * n) ** 0.5)))
    return -(-n // columns), columns


def error(accuracy: float) -> float:
    """1 - accuracy, at least what an axis can show."""
    return max(1 - accuracy, 1e-4)


def accuracy_axis(axes: Any, accuracies: Sequence[float], fewer: bool = False) -> None:
    """Let y be the error on an inverted logarithmic axis, labelled as accuracy: 98 and 99 % are as far as 90 and 95."""
    errors = [error(accuracy) for accuracy in accuracies] or [0.05]
    bottom, top = min(1, max(errors) * 1.3), min(errors) / 1.3
    axes.set_ylim(bottom, top)
    axes.set_yscale("log")
    rough = [0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001]
    coarse = [0.9, 0.7, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.015, 0.01]
    coarse += [0.007, 0.005, 0.003, 0.002, 0.001, 0.0005, 0.0001]
    fine = [half * 10.0**power / 2 for power in range(-4, 0) for half in range(2, 20)]
    choices = (rough, coarse, fine) if fewer else (coarse, fine)
    ticks = next((t for t in choices if sum(top <= tick <= bottom for tick in t) >= 3), fine)
    axes.set_yticks([tick for tick in ticks if top <= tick <= bottom], minor=False)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * (1 - value):.4g} %" if value > 1e-4 else "≥ 99.99 %")
    axes.minorticks_off()
    axes.grid(alpha=0.25)


def plain_log_axis(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers: about five or more, however few decades it spans."""
    low, high = axis.get_view_interval()
    ticks = [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):  # as few as do; within one octave equal steps
        inside = [d * 10.0**power for power in range(-9, 16) for d in digits if low <= d * 10.0**power <= high]
        ticks = inside if len(inside) >= 5 else ticks
    axis.set_ticks(ticks, minor=False)
    axis.set_ticks([], minor=True)
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.3g}")


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """The area that two boxes (left, bottom, right, top) share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def place_labels(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write each point's name near it, where it covers least of other names and points; a line leads to what is not
    right beside it."""
    axes.figure.draw_without_rendering()
    axes.figure.set_layout_engine("none")  # nothing moves from here on
    centres = [axes.transData.transform((x, y)) for x, y, _ in points]
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in centres]
    frame, point = axes.get_window_extent(), 72 / axes.figure.dpi
    for (x, y, name), (px, py) in sorted(zip(points, centres, strict=True), key=lambda item: -item[1][1]):
        label = axes.annotate(name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=8, va="center")
        label.set_bbox({"facecolor": PAPER, "alpha": 0.7, "edgecolor": "none", "pad": 0.3})
        size = label.get_window_extent()
        sides = (12, -12 - size.width, -size.width / 2)
        offsets = [(dx, 20 * step) for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6) for dx in sides]

        def cost(offset: tuple[float, float]) -> float:
            dx, dy = offset
            spot = (px + dx, py + dy - size.height / 2, px + dx + size.width, py + dy + size.height / 2)  # noqa: B023
            outside = size.width * size.height - overlap(spot, (frame.x0, frame.y0, frame.x1, frame.y1))  # noqa: B023
            return round(10 * outside + sum(overlap(spot, box) for box in taken))  # of square pixels

        dx, dy = min(offsets, key=cost)  # the first, nearest one of those that cover nothing
        taken.append((px + dx, py + dy - size.height / 2, px + dx + size.width, py + dy + size.height / 2))
        label.xyann = (dx * point, dy * point)
        if dy:
            start = (min(max(0, dx), dx + size.width) * point, (dy - 8 * (dy > 0) + 8 * (dy < 0)) * point)
            line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
            axes.annotate("", (x, y), xytext=start, textcoords="offset points", arrowprops=line)
