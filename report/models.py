"""The part of report.html that tells of each model: its idea, figures, learning curve and confusions."""

from __future__ import annotations

import html
import math
from collections.abc import Callable

from report.results import CLASSES, Comparison, Group


def text(value: object) -> str:
    """A value as HTML text, which may stand in an attribute too."""
    return html.escape(str(value))


def anchor(comparison: Comparison, name: str) -> str | None:
    """The id of a model's article on the page; None for a name that has none."""
    labels = [group.label for group in comparison.groups]
    return f"model-{labels.index(name) + 1}" if name in labels else None


def curve(group: Group, most: int, worst: float) -> str:
    """A small drawing of the first run's learning curve; ``most`` images and the error ``worst`` end its axes.

    As in the plots the error is on a logarithmic axis, labelled as accuracy.
    """
    left, right, top, bottom = 34, 296, 8, 150
    low, high = math.log(0.005), math.log(worst)

    def y(error: float) -> float:
        return top + (bottom - top) * (math.log(max(error, 0.005)) - low) / (high - low)

    points = " ".join(
        f"{left + (right - left) * point['images'] / most:.1f},{y(1 - point['accuracy']):.1f}"
        for point in group.first["curve"]
    )
    lines = [
        f'<path d="M{left} {y(error):.1f}H{right}" stroke="var(--line)"/>'
        f'<text x="{left - 4}" y="{y(error) + 4:.1f}" text-anchor="end">{100 * (1 - error):.3g}</text>'
        for error in (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
        if error < worst
    ]
    colour = "good" if group.passed else "bad"
    end = f"{100 * group.first['curve'][-1]['accuracy']:.2f}"
    return (
        f'<svg class="curve" viewBox="0 0 300 170" role="img" aria-label="Learning curve: {end} % at the end">'
        f'{"".join(lines)}<polyline points="{points}" fill="none" stroke="var(--{colour})" stroke-width="2"/>'
        f'<text x="{left}" y="166">training accuracy, %; at the end {end}</text></svg>'
    )


def matrix(group: Group) -> str:
    """The confusion over all runs, as a table: true classes down, predictions across, mistakes shaded."""
    counts = group.confusion
    worst = max(counts[t][p] for t in range(CLASSES) for p in range(CLASSES) if t != p) or 1

    def cell(true: int, predicted: int) -> str:
        n = counts[true][predicted]
        if true == predicted:
            return f'<td class="right">{n}</td>'
        return f'<td style="--part:{math.sqrt(n / worst):.2f}">{n}</td>' if n else "<td></td>"

    head = "".join(f'<th scope="col">{c}</th>' for c in range(CLASSES))
    rows = "".join(
        f'<tr><th scope="row">{t}</th>{"".join(cell(t, p) for p in range(CLASSES))}</tr>' for t in range(CLASSES)
    )
    return (
        f'<table class="matrix"><caption class="small">true class down, prediction across</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def hundredths(fraction: float | None) -> str:
    """Per cent, never rounded up; blank where it was not measured."""
    return "" if fraction is None else f"{math.floor(10_000 * fraction + 1e-9) / 100:.2f}"


def shown(value: float | None, digits: int, unit: float = 1) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


COLUMNS: dict[str, Callable[[Group], str]] = {  # of the table of models, beside their names
    "params": lambda group: f"{group.first['parameters']:,}",
    "acc. %": lambda group: hundredths(group.mean),
    "min %": lambda group: hundredths(min(group.accuracies, default=None)),
    "train s": lambda group: shown(group.median("train_seconds"), 1),
    "kMAC": lambda group: shown(group.median("macs"), 0, 1000),
    "ms": lambda group: shown(group.median("latency_ms"), 2),
    "MB": lambda group: shown(group.median("peak_memory_mb"), 0),
    "passed": lambda group: f"{sum(run['passed'] for run in group.runs)}/{len(group.runs)}",
}


def figures(group: Group) -> dict[str, str]:
    """A model's row of the table under its headers."""
    return {header: show(group) for header, show in COLUMNS.items()}


def articles(comparison: Comparison) -> str:
    """Every model's article, in the order of the table."""
    curves = [point for group in comparison.groups for point in group.first["curve"]]
    most = max((point["images"] for point in curves), default=1) or 1
    worst = min(1.0, max((1 - point["accuracy"] for point in curves), default=1) * 1.1) or 1.0
    parts = []
    for number, group in enumerate(comparison.groups, 1):
        about = comparison.models.get(group.first["model"], {"idea": ""})
        listed = "".join(f"<div><dt>{k}</dt><dd>{text(v)}</dd></div>" for k, v in figures(group).items() if v)
        drawings = curve(group, most, max(worst, 0.02)) if group.first["curve"] else ""
        drawings += matrix(group) if group.confusion else ""
        parts.append(
            f'<article id="model-{number}">\n<h3>{text(group.label)}</h3>\n<p>{text(about["idea"])}</p>\n'
            f"<dl>{listed}</dl>\n"
            f'<div class="pair">{drawings}</div>\n</article>'
        )
    return '<h2>The models</h2>\n<div class="models">\n' + "\n".join(parts) + "\n</div>"
