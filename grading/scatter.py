"""The class at a glance: accuracy over parameters as an <svg> element, each point a link to the student's page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grading.markup import brief, text
from grading.points import Scored
from mnist_efficient_model import Limits, percent

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 380, 84, 628, 12, 328  # the page's style sheet scales it
SHAPES = {
    "passed": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "failed": "M0 -5L5 4H-5Z",
    "other": "M0 -5L5 0L0 5L-5 0Z",  # tested, and then rejected or stopped
}
LEAST_ERROR = 1e-4  # the best accuracy that the axis shows: 99.99 %
NICE_ERRORS = (0.05, 0.01, 0.1, 0.5, 0.02, 0.2, 0.005, 0.002, 0.9, 0.001, 0.03, 0.07, 0.3, 0.7, 0.015, 0.0005, 0.0001)


@dataclass
class Axis:
    """A logarithmic axis from ``low``, at ``start`` in the drawing, to ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        part = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, candidates: Sequence[float], gap: float) -> list[float]:
        """Those of the candidates, the most important first, that lie on the axis and not within a gap of another."""
        kept: list[float] = []
        for value in candidates:
            far = all(abs(self.place(value) - self.place(other)) >= gap for other in kept)
            if far and self.low <= value <= self.high:
                kept.append(value)
        return kept


def shape(status: str) -> str:
    """The key of SHAPES, and the CSS class, of a status."""
    return status if status in SHAPES else "other"


def size(scored: Scored) -> int:
    """What the limit of parameters counts; at least 1, as logarithms need."""
    return max(1, scored.grade.parameters + (scored.grade.buffers or 0))


def error(accuracy: float) -> float:
    return min(1.0, max(1 - accuracy, LEAST_ERROR))


def measured(gradebook: Sequence[Scored]) -> list[Scored]:
    """Those that have a place in the drawing."""
    return [s for s in gradebook if s.grade.accuracy is not None and s.grade.parameters is not None]


def axes(points: Sequence[Scored], limits: Limits) -> tuple[Axis, Axis]:
    """Parameters from left to right; errors from the top, which is labelled as accuracy: 98 and 99 % are apart."""
    sizes = [size(scored) for scored in points] + [limits.parameters]
    errors = [error(scored.grade.accuracy) for scored in points] + [error(limits.accuracy)]
    return (
        Axis(min(sizes) / 1.3, max(sizes) * 1.3, LEFT, RIGHT),
        Axis(min(errors) / 1.4, min(1.0, max(errors) * 1.3) * 1.0001, TOP, BOTTOM),
    )


def scatter(gradebook: Sequence[Scored], limits: Limits, address: Callable[[str], str], kinds: Callable) -> str:
    """The drawing, or ""; ``address`` gives the link to a student, ``kinds`` the CSS classes of a point."""
    points = measured(gradebook)
    if not points:
        return ""
    x, y = axes(points, limits)
    right, bottom = x.place(limits.parameters), y.place(error(limits.accuracy))
    area = f'<path class="area" d="M{LEFT} {TOP}H{right:.1f}V{bottom:.1f}H{LEFT}Z"/>'
    edges = f'<path class="edge" d="M{right:.1f} {TOP}V{BOTTOM}M{LEFT} {bottom:.1f}H{RIGHT}"/>'
    drawn = sorted(points, key=lambda scored: (scored.grade.status == "passed", scored.grade.student))
    marks = "\n".join(mark(scored, x, y, address(scored.grade.student), kinds(scored)) for scored in drawn)
    label = (
        f"Accuracy over parameters of {len(points):,} submissions. The shaded corner is within the limits: "
        f"fewer than {limits.parameters:,} parameters, at least {percent(limits.accuracy)}."
    )
    return (
        f'<svg class="scatter" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(label)}">\n'
        f"{area}{grid(x, y, limits)}{edges}\n{marks}\n</svg>\n"
    )


def grid(x: Axis, y: Axis, limits: Limits) -> str:
    """Lines and labels of both axes; the limits are labelled first and stand out."""
    powers = range(int(math.log10(x.low)) - 1, int(math.log10(x.high)) + 2)
    round_sizes = [digit * 10.0**power for digit in (1, 3, 2, 5) for power in powers]
    parts = []
    for value in x.ticks([limits.parameters, *round_sizes], 80):
        kind = ' class="limit"' if value == limits.parameters else ""
        where, anchor = f"{x.place(value):.1f}", "end" if x.place(value) > RIGHT - 40 else "middle"
        parts.append(f'<path class="grid" d="M{where} {TOP}V{BOTTOM}"/>')
        parts.append(f'<text{kind} x="{where}" y="{BOTTOM + 20}" text-anchor="{anchor}">{value:,.0f}</text>')
    for value in y.ticks([error(limits.accuracy), *NICE_ERRORS], 28):
        kind = ' class="limit"' if value == error(limits.accuracy) else ""
        where = y.place(value)
        parts.append(f'<path class="grid" d="M{LEFT} {where:.1f}H{RIGHT}"/>')
        parts.append(
            f'<text{kind} x="{LEFT - 8}" y="{where + 5:.1f}" text-anchor="end">{100 * (1 - value):.4g} %</text>'
        )
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">parameters</text>')
    return "".join(parts)


def mark(scored: Scored, x: Axis, y: Axis, link: str, kinds: str) -> str:
    """One submission: a shape of its status, hollow where it is not verified, that names itself under the mouse."""
    grade = scored.grade
    hollow = "" if grade.verified else " hollow"
    verified = "" if grade.verified else ", not verified"
    title = f"{brief(grade.student, 60)}: {grade.status.replace('_', ' ')}, {percent(grade.accuracy)}, "
    title += f"{size(scored):,} parameters{verified}"
    place = f"{x.place(size(scored)):.1f} {y.place(error(grade.accuracy)):.1f}"
    kind = shape(grade.status)
    return (
        f'<a class="{kinds}" href="{link}" tabindex="-1"><title>{text(title)}</title>'
        f'<g transform="translate({place})"><path class="mark {kind}{hollow}" d="{SHAPES[kind]}"/></g></a>'
    )


def legend(gradebook: Sequence[Scored]) -> str:
    """What the shapes mean that occur, as HTML."""
    points = measured(gradebook)
    words = {"passed": "passed", "failed": "failed", "other": "tested, and then rejected or stopped"}
    kinds = {shape(scored.grade.status) for scored in points}
    shown = [(kind, "", words[kind]) for kind in words if kind in kinds]
    if any(not scored.grade.verified for scored in points):
        shown.append(("other", " hollow", "hollow: not verified"))
    return " ".join(
        f'<span class="key"><svg viewBox="-7 -7 14 14" aria-hidden="true">'
        f'<path class="mark {kind}{hollow}" d="{SHAPES[kind]}"/></svg> {meaning}</span>'
        for kind, hollow, meaning in shown
    )
