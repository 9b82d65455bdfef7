"""Charts as SVG: points with names and tooltips, lines, areas, bars and axes, drawn by the template chart.svg.

    chart = Chart(Axis([258, 400_000], "log", "parameters"), Axis([0.9, 0.99], "accuracy", "test accuracy"), "A label")
    chart.point(258, 0.96, "passed", "tiny: 96.21 %", name="tiny")
    chart.svg()

Colours are those of the page around it, light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from pages import COLOURS, HERE, percent, render

SCALES = {
    "linear": float,
    "count": float,  # linear, with ticks at whole numbers only
    "log": math.log10,
    "accuracy": lambda accuracy: -math.log10(min(1, max(1 - accuracy, 1e-4))),  # from 98 to 99 % as from 90 to 95 %
}
MARKS = {
    "passed": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "failed": "M0 -6L6 5H-6Z",
    "other": "M0 -6L6 0L0 6L-6 0Z",
    "dot": "M-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0Z",
    "published": "M0 -6L6 0L0 6L-6 0Z",
}
Edge = float | None
Legend = Sequence[tuple[str, str]]  # (kind, what it means)
Points = Sequence[tuple[float, float]]
LETTER = 6.6  # the width of one, in the units of the drawing, whose text is 12 units high


def short(value: float) -> str:
    """A number for an axis: 258, 25k, 1.5M."""
    size, unit = next(((s, u) for s, u in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(value) >= s), (1, ""))
    return f"{value / size:.4g}{unit}"


class Axis:
    """From the least to the greatest of some values, and a margin of the fraction ``margin`` beyond both."""

    def __init__(self, values: Iterable[float], scale: str = "linear", label: str = "", margin: float = 0.06) -> None:
        self.scale, self.label, values = scale, label, list(values)
        low, high = (SCALES[scale](value) for value in (min(values), max(values)))
        if low == high:
            low, high = low - 0.1, high + 0.1
        self.low, self.high = low - margin * (high - low), high + margin * (high - low)
        if scale == "accuracy":
            self.low, self.high = max(0, self.low), min(4, self.high)

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the start of the axis, 1 at its end."""
        return (min(max(SCALES[self.scale](value), self.low), self.high) - self.low) / (self.high - self.low)

    def ticks(self, gap: float) -> list[tuple[float, str]]:
        """(place, text) of round values, no two nearer than ``gap``, a fraction of the axis."""
        ends = [
            {"log": lambda e: 10**e, "accuracy": lambda e: 1 - 10**-e}.get(self.scale, float)(e)
            for e in (self.low, self.high)
        ]
        found: list[float] = []
        for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10)) if self.scale in ("log", "accuracy") else ():
            values = [digit * 10.0**power for power in range(-5, 16) for digit in digits]
            values = sorted(1 - value for value in values) if self.scale == "accuracy" else values
            found = [value for value in values if ends[0] <= value <= ends[1]]
            if len(found) >= 4:
                break
        if len(found) < 4:  # a small part of a decade: equal steps
            step = 10 ** math.floor(math.log10(ends[1] - ends[0]))
            step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if (ends[1] - ends[0]) / (step * part) <= 8)
            step = max(1.0, step) if self.scale == "count" else step
            first, last = math.ceil(ends[0] / step), math.floor(ends[1] / step)
            found = [step * i for i in range(first, last + 1)]
        kept: list[tuple[float, str]] = []
        for value in found:
            if not kept or self.place(value) - kept[-1][0] >= gap:
                kept.append((self.place(value), f"{100 * value:.4g} %" if self.scale == "accuracy" else short(value)))
        return kept


class Chart:
    """Two axes and what is drawn between them; ``label`` is its text for screen readers."""

    def __init__(self, x: Axis, y: Axis, label: str, size: tuple[int, int] = (880, 500), legend: Legend = ()) -> None:
        self.x, self.y, self.label, (self.width, self.height), self.legend = x, y, label, size, legend
        self.left, self.right, self.top, self.bottom = 56, size[0] - 12, 20 + 22 * bool(legend), size[1] - 46
        self.areas: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.points: list[dict[str, Any]] = []
        self.texts: list[dict[str, Any]] = []

    def at(self, x: Edge, y: Edge) -> tuple[float, float]:
        """Where a point lies in the drawing."""
        across, up = (0 if v is None else axis.place(v) for axis, v in ((self.x, x), (self.y, y)))
        return (
            round(self.left + across * (self.right - self.left), 1),
            round(self.bottom - up * (self.bottom - self.top), 1),
        )

    def area(self, left: Edge, right: Edge, bottom: Edge, top: Edge, kind: str, title: str = "") -> None:
        """A rectangle: a region, or a bar of a histogram. None: as far as the axis goes."""
        (x0, y1), (x1, y0) = self.at(left, bottom), self.at(right, top)
        x0, x1 = self.left if left is None else x0, self.right if right is None else x1
        y0, y1 = self.top if top is None else y0, self.bottom if bottom is None else y1
        self.areas.append(
            {"x": x0, "y": y0, "width": round(x1 - x0, 1), "height": round(y1 - y0, 1), "kind": kind, "title": title}
        )

    def line(self, points: Iterable[tuple[float, float]], kind: str, title: str = "", steps: bool = False) -> None:
        """A line through points; with ``steps``, level as far as the next one."""
        placed = [self.at(x, y) for x, y in points]
        path = "".join(f"H{x}V{y}" if steps and i else f"{'L' if i else 'M'}{x} {y}" for i, (x, y) in enumerate(placed))
        self.lines.append({"path": path, "kind": kind, "title": title})

    def point(
        self,
        x: float,
        y: float,
        kind: str,
        title: str,
        name: str = "",
        href: str = "",
        bounds: Sequence[float] = (),
        classes: str = "",
    ) -> None:
        """A mark of its kind (of MARKS) with a tooltip, a name beside it, and a bar that joins the ``bounds`` of y."""
        px, py = self.at(x, y)
        ends = [self.at(x, bound)[1] for bound in bounds]
        mark = {"x": px, "y": py, "kind": kind, "title": title, "href": href, "classes": classes, "name": name}
        self.points.append({**mark, "ends": ends, "path": MARKS.get(kind, MARKS["other"])})

    def svg(self, alone: bool = False) -> Markup:
        """The <svg> element; ``alone`` with the colours that a page would give it."""
        self.texts = self.place_names()
        keys, x = [], self.left + 8
        for kind, text in self.legend:
            keys.append({"x": round(x, 1), "kind": kind, "text": text, "path": MARKS.get(kind)})
            x += 34 + LETTER * len(text)
        ticks = [(round(self.left + at * (self.right - self.left), 1), text) for at, text in self.x.ticks(0.07)]
        rows = [(round(self.bottom - at * (self.bottom - self.top), 1), text) for at, text in self.y.ticks(0.05)]
        colours = Markup(COLOURS) if alone else ""
        drawing = render(HERE / "chart.svg", chart=self, columns=ticks, rows=rows, colours=colours, keys=keys)
        return Markup(drawing)

    def _repr_svg_(self) -> str:
        """What notebooks show."""
        return self.svg(alone=True)

    def place_names(self) -> list[dict[str, Any]]:
        """Where each point's name goes: the nearest place that covers least of other names and points."""
        taken = [(p["x"] - 7, p["y"] - 7, p["x"] + 7, p["y"] + 7) for p in self.points]
        placed = []
        for point in sorted((p for p in self.points if p["name"]), key=lambda p: p["y"]):
            width = LETTER * len(point["name"])
            boxes = []
            for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7, -7, 8, -8):
                for left in (point["x"] + 9, point["x"] - 9 - width, point["x"] - width / 2):
                    middle = point["y"] + 15 * step
                    boxes.append((left, middle - 7, left + width, middle + 7))
            inside = (self.left, self.top, self.right, self.bottom)
            outside = [14 * width - shared(box, inside) for box in boxes]
            covered = [sum(shared(box, other) for other in taken) for box in boxes]
            costs = [round(2 * out + cover) for out, cover in zip(outside, covered, strict=True)]
            best = boxes[costs.index(min(costs))]
            taken.append(best)
            text = {"x": round(best[0], 1), "y": round(best[1] + 11, 1), "text": point["name"], "lead": ""}
            if abs(best[1] + 7 - point["y"]) > 10:  # a line leads to a name that is not beside its point
                end = min(max(point["x"], best[0]), best[2]), best[1] + (14 if best[1] < point["y"] else 0)
                text["lead"] = f"M{point['x']} {point['y']}L{end[0]:.1f} {end[1]:.1f}"
            placed.append(text)
        return placed


def curve_chart(
    curve: Points, kind: str, about: str, other: Points = (), about_other: str = "",
    span: Sequence[float] = (0.5, 0.99), size: tuple[int, int] = (300, 210), legend: Legend = (),
) -> Chart:  # fmt: skip
    """A learning curve, of (training images seen, accuracy on the latest); in grey another one for comparison."""
    x = Axis([0, *(images for images, _ in [*curve, *other])], label="training images", margin=0)
    chart = Chart(x, Axis(span, "accuracy"), f"Learning curve of {about}", size, legend)
    if other:
        chart.line(other, "mean", about_other)
    chart.line(curve, kind, about)
    for images, accuracy in curve:
        title = f"{images:,} images: {percent(accuracy)} %"
        chart.point(images, accuracy, "dot", title, classes=kind)
    return chart


def shared(a: Sequence[float], b: Sequence[float]) -> float:
    """The area that two boxes (left, top, right, bottom) share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
