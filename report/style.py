"""How figures look: colours for light and for dark pages, an axis for accuracies, names that cover nothing.

No figure touches pyplot, whose global state and windows belong to whoever runs this.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter


class Theme(NamedTuple):
    """Colours of a figure. Those of the data are Okabe and Ito's, which colour-blind readers can tell apart."""

    paper: str
    ink: str
    muted: str  # limits, leader lines, what was published
    passed: str
    failed: str
    area: str  # where both limits hold
    cycle: tuple[str, ...]


LIGHT = Theme("#ffffff", "#1a1a1a", "#6b6b6b", "#0072B2", "#C24E00", "#009E73",
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"))  # fmt: skip
DARK = Theme("#16181c", "#e8e8e8", "#a0a0a0", "#56B4E9", "#FF8A3D", "#2CC79A",
    ("#56B4E9", "#FF8A3D", "#2CC79A", "#E08FC0", "#E69F00", "#9F8CFF", "#FFFFFF"))  # fmt: skip
STYLES = ("-", "--", ":", "-.")  # with the colours they make 28 curves distinct


class Picture(Figure):
    """A figure that shows itself in notebooks."""

    def _repr_png_(self) -> bytes:
        return png(self)


@contextlib.contextmanager
def drawing(theme: Theme) -> Iterator[None]:
    """Matplotlib's own defaults and a theme, whatever a user's matplotlibrc says; afterwards all is as it was."""
    colours = {"text.color": theme.ink, "axes.labelcolor": theme.ink, "axes.edgecolor": theme.muted,
        "xtick.color": theme.ink, "ytick.color": theme.ink, "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper, "savefig.facecolor": theme.paper, "grid.color": theme.muted}  # fmt: skip
    looks = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    plain = {"text.parse_math": False}  # a name may hold dollar signs
    with matplotlib.style.context(["default", {**colours, **looks, **plain}]):
        yield


def figure(width: float, height: float, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A new figure, in inches, and its axes."""
    fig = Picture(figsize=(width, height), dpi=150, layout="constrained")
    return fig, fig.subplots(1, columns, **options)


def png(fig: Figure) -> bytes:
    """The figure as a PNG file."""
    content = io.BytesIO()
    fig.savefig(content, format="png", dpi=fig.dpi, facecolor=fig.get_facecolor(), metadata={"Software": None})
    return content.getvalue()


def error(accuracy: float) -> float:
    """1 - accuracy, at least what an axis can show."""
    return max(1 - accuracy, 1e-4)


def accuracy_axis(axes: Any, accuracies: Sequence[float]) -> None:
    """Let y be the error on an inverted logarithmic axis, labelled as accuracy: 98 and 99 % are as far as 90 and 95."""
    errors = [error(accuracy) for accuracy in accuracies] or [0.05]
    bottom, top = min(1, max(errors) * 1.3), min(errors) / 1.3
    axes.set_ylim(bottom, top)
    axes.set_yscale("log")
    coarse = [0.9, 0.7, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003, 0.002,
        0.001, 0.0005, 0.0001]  # fmt: skip
    fine = [half * 10.0**power / 2 for power in range(-4, 0) for half in range(2, 20)]
    ticks = next((t for t in (coarse, fine) if sum(top <= tick <= bottom for tick in t) >= 3), fine)
    axes.set_yticks([tick for tick in ticks if top <= tick <= bottom], minor=False)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * (1 - value):.4g} %" if value > 1e-4 else "≥ 99.99 %")
    axes.minorticks_off()
    axes.grid(alpha=0.25)


def plain_log_axis(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers, and more densely where it spans few decades."""
    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:.2g}")


def overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes (left, bottom, right, top) share some area."""
    return a[0] < b[2] and a[2] > b[0] and a[1] < b[3] and a[3] > b[1]


def place_labels(axes: Any, points: Sequence[tuple[float, float, str]], theme: Theme) -> None:
    """Write each point's name beside it where it covers neither another name nor another point; far ones get a line."""
    axes.figure.draw_without_rendering()
    axes.figure.set_layout_engine("none")  # nothing moves from here on
    centres = [axes.transData.transform((x, y)) for x, y, _ in points]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    frame = axes.get_window_extent()
    for (x, y, name), (px, py) in sorted(zip(points, centres, strict=True), key=lambda item: -item[1][1]):
        label = axes.annotate(name, (x, y), xytext=(0, 0), textcoords="offset pixels", fontsize=8, va="center")
        label.set_path_effects([withStroke(linewidth=2.5, foreground=theme.paper, alpha=0.8)])
        size = label.get_window_extent()
        offsets = [(dx, 20 * step) for step in (0, 1, -1, 2, -2, 3, -3) for dx in (11, -11 - size.width)]
        for dx, dy in [*offsets, *((-size.width / 2, 20 * step) for step in (4, -4, 5, -5))]:
            spot = (px + dx, py + dy - size.height / 2, px + dx + size.width, py + dy + size.height / 2)
            inside = spot[0] > frame.x0 and spot[2] < frame.x1 and spot[1] > frame.y0 and spot[3] < frame.y1
            if inside and not any(overlap(spot, box) for box in taken):
                break
        taken.append(spot)
        label.xyann = (dx, dy)
        if abs(dy) > 20:
            start = (min(max(0, dx), dx + size.width), dy)
            line = {"arrowstyle": "-", "color": theme.muted, "linewidth": 0.6}
            axes.annotate("", (x, y), xytext=start, textcoords="offset pixels", arrowprops=line)
