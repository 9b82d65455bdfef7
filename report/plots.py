"""The figures of a comparison: a function takes results and gives a matplotlib Figure, to be saved or shown.

``DRAWN`` lists them by the names of their files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from report.results import CLASSES, SIDE, Comparison, Group, Run, pixels
from report.style import (
    LIGHT,
    STYLES,
    Theme,
    accuracy_axis,
    drawing,
    error,
    figure,
    place_labels,
    plain_log_axis,
)

# The best public figures found for one epoch: parameters, accuracy on MNIST's test set, name.
PUBLISHED = [(18_310, 0.9853, "published: public log"), (215_000, 0.9904, "published: train_mnist_fast")]


def measured(comparison: Comparison, name: str) -> list[tuple[float, Group]]:
    """Models with an accuracy and the figure ``name``, with its median, unless it is zero: the axis is logarithmic."""
    return [(x, group) for group in comparison.groups if group.accuracies and (x := group.median(name))]


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those (cost, accuracy) that no other reaches at less or equal cost, by rising cost (Pareto)."""
    best: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best


def accuracy_over(comparison: Comparison, name: str, theme: Theme = LIGHT) -> Figure | None:
    """Accuracy over parameters or train_seconds, with the range over seeds, the limits and the frontier.

    None where fewer than two models have both.
    """
    points = measured(comparison, name)
    if len(points) < 2:
        return None
    with drawing(theme):
        fig, axes = figure(8, 5.2)
        for x, group in points:
            mean, best, worst = error(group.mean), error(max(group.accuracies)), error(min(group.accuracies))
            colour, mark = (theme.passed, "o") if group.passed else (theme.failed, "X")
            axes.errorbar(x, mean, [[max(0, mean - best)], [max(0, worst - mean)]], fmt=mark, color=colour,
                markersize=7, capsize=3, linewidth=1)  # fmt: skip
        shown = [(x, group.mean, group.label) for x, group in points]
        steps = frontier([(x, accuracy) for x, accuracy, _ in shown])
        axes.plot([x for x, _ in steps], [error(a) for _, a in steps], drawstyle="steps-post", color=theme.muted,
            linewidth=1, linestyle=":")  # fmt: skip
        if name == "parameters" and all((r["dataset"], r["scored_on"]) == ("mnist", "test") for r in comparison.runs):
            shown += PUBLISHED
            axes.plot([x for x, *_ in PUBLISHED], [error(a) for _, a, _ in PUBLISHED], "D", markersize=6,
                markerfacecolor="none", color=theme.muted)  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.15)
        accuracy_axis(
            axes, [0.94, 0.96] + [a for _, a, _ in shown] + [a for _, group in points for a in group.accuracies]
        )
        if comparison.limits:
            draw_limits(axes, comparison.limits, name == "parameters", theme)
        plain_log_axis(axes.xaxis)
        axes.set_xlabel({"parameters": "parameters", "train_seconds": "training seconds"}[name])
        axes.set_ylabel("test accuracy")
        axes.set_title("circle: every run holds every limit; cross: one is broken; dotted: the frontier, more accurate "
            "than all that costs less", fontsize=8, loc="left", color=theme.muted)  # fmt: skip
        place_labels(axes, [(x, error(accuracy), label) for x, accuracy, label in shown], theme)
        return fig


def draw_limits(axes: Any, limits: dict[str, float], with_parameters: bool, theme: Theme) -> None:
    """The limits as lines, and the area where both hold."""
    axes.axhline(error(limits["accuracy"]), color=theme.muted, linewidth=0.8)
    if not with_parameters:
        return
    most = limits["parameters"]
    left, right = min(axes.get_xlim()[0], most / 100), max(axes.get_xlim()[1], most * 4)
    axes.fill_between([left, most], error(limits["accuracy"]), axes.get_ylim()[1], color=theme.area, alpha=0.12)
    axes.axvline(most, color=theme.muted, linewidth=0.8)
    axes.set_xlim(left, right)
    axes.text(left * 1.05, axes.get_ylim()[1] * 1.06, "both limits hold", color=theme.area, fontsize=8, va="top")


def learning_curves(comparison: Comparison, theme: Theme = LIGHT) -> Figure | None:
    """Running training accuracy over images seen, of each model's first run."""
    groups = [group for group in comparison.groups if group.first["curve"]]
    if not groups:
        return None
    with drawing(theme):
        fig, axes = figure(8, 5)
        every = [0.5, 0.96]
        for i, group in enumerate(groups):
            curve = group.first["curve"]
            accuracies = [point["accuracy"] for point in curve]
            colour, line = theme.cycle[i % len(theme.cycle)], STYLES[i // len(theme.cycle) % len(STYLES)]
            axes.plot([point["images"] for point in curve], [error(a) for a in accuracies], label=group.label,
                linewidth=1.4, color=colour, linestyle=line)  # fmt: skip
            every += accuracies
        accuracy_axis(axes, every)
        axes.xaxis.set_major_formatter(lambda images, _: f"{images:,.0f}")
        axes.set_xlabel("training images seen")
        axes.set_ylabel("accuracy on the augmented images, running")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
        return fig


def per_class_accuracy(comparison: Comparison, theme: Theme = LIGHT) -> Figure | None:
    """Accuracy per class of each model, the mean over its runs; classes that were not measured are blank."""
    rows, labels = [], []
    for group in comparison.groups:
        per_run = [run["per_class_accuracy"] for run in group.runs if run["per_class_accuracy"]]
        columns = [[value for value in column if value is not None] for column in zip(*per_run, strict=True)]
        if any(columns):
            rows.append([100 * sum(column) / len(column) if column else np.nan for column in columns])
            labels.append(group.label)
    if not rows:
        return None
    percent = np.array(rows)
    low = min(max(np.nanpercentile(percent, 10), 50), 99)
    with drawing(theme):
        fig, axes = figure(8, min(1 + 0.3 * len(rows), 60))
        image = axes.imshow(percent, cmap="cividis", vmin=low, vmax=100, aspect="auto")
        for (row, column), value in np.ndenumerate(percent):
            if not np.isnan(value):
                colour = "black" if value > (low + 100) / 2 else "white"
                axes.text(
                    column, row, f"{value:.1f}", ha="center", va="center", fontsize=7.5, color=colour, in_layout=False
                )
        axes.set_xticks(range(CLASSES), [f"class {c}" for c in range(CLASSES)])
        axes.set_yticks(range(len(labels)), labels)
        fig.colorbar(image, label="test accuracy, %", extend="min")
        return fig


def confusion(comparison: Comparison, theme: Theme = LIGHT) -> Figure | None:
    """The confusion matrix of the best run (Comparison.best), and its most confident mistakes as pictures."""
    run = comparison.best
    if run is None:
        return None
    counts = np.array(run["confusion"])
    wrong = counts - np.diag(counts.diagonal())
    with drawing(theme):
        fig, (left, right) = figure(10, 4.8, columns=2)
        # the root, so that single mistakes stay visible
        left.imshow(np.sqrt(wrong), cmap="Oranges", vmin=0, vmax=max(1, wrong.max()) ** 0.5)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if wrong[row, column] > 0.5 * wrong.max() else "#262626"
                left.text(column, row, count, ha="center", va="center", fontsize=7.5, color=colour, in_layout=False)
        left.set_xticks(range(CLASSES))
        left.set_yticks(range(CLASSES))
        left.set_xlabel("predicted")
        left.set_ylabel("true")
        left.set_title(f"{run['model']}, seed {run['seed']}: {wrong.sum():,} mistakes in {counts.sum():,}", fontsize=9)
        draw_mistakes(right, run)
        return fig


def draw_mistakes(axes: Any, run: Run, columns: int = 5, rows: int = 4, gap: tuple[int, int] = (10, 6)) -> None:
    """The most confident mistakes of a run as one mosaic, with true class, prediction and confidence."""
    shown = (run["confused"] or [])[: columns * rows]
    axes.axis("off")
    if not shown:
        axes.set_title("no mistake to show", fontsize=9)
        return
    height, width = SIDE + gap[0], SIDE + gap[1]
    mosaic = np.ma.array(np.zeros((rows * height, columns * width)), mask=True)
    for i, mistake in enumerate(shown):
        top, side = i // columns * height + gap[0], i % columns * width + gap[1] // 2
        mosaic[top : top + SIDE, side : side + SIDE] = np.frombuffer(pixels(mistake), np.uint8).reshape(SIDE, SIDE)
        title = f"{mistake['label']} → {mistake['predicted']} ({mistake['confidence']:.0%})"
        axes.text(side + SIDE / 2, top - 1.5, title, ha="center", va="bottom", fontsize=7, in_layout=False)
    axes.imshow(mosaic, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title("its most confident mistakes: true → predicted (confidence)", fontsize=9)


PANELS = [
    ("accuracy_per_parameter", "accuracy points per 1,000 parameters", 1e5),
    ("accuracy_per_second", "accuracy points per training second", 100),
    ("throughput", "images per second, batch 1,000", 1),
    ("inference_nj", "arithmetic of one inference, nJ (estimate)", 1),
]


def efficiency(comparison: Comparison, theme: Theme = LIGHT) -> Figure | None:
    """What accuracy costs, as bars; a figure that was not measured has none."""
    groups = comparison.groups
    figures = {name: [group.median(name) for group in groups] for name, *_ in PANELS}
    if len(groups) < 2 or not all(any(values) for values in figures.values()):
        return None
    with drawing(theme):
        fig, all_axes = figure(13, min(1 + 0.27 * len(groups), 60), columns=len(PANELS), sharey=True)
        for axes, (name, title, factor) in zip(all_axes, PANELS, strict=True):
            bars = [(row, value * factor) for row, value in enumerate(figures[name]) if value]
            colours = [theme.passed if groups[row].passed else theme.failed for row, _ in bars]
            axes.barh([row for row, _ in bars], [value for _, value in bars], color=colours)
            for row, value in bars:
                text = f" {value:,.3g}" if value < 1000 else f" {value:,.0f}"
                axes.text(value, row, text, va="center", fontsize=7, in_layout=False)
            axes.set_xscale("log")
            axes.set_xlim(min(value for _, value in bars) / 3, max(value for _, value in bars) * 6)
            plain_log_axis(axes.xaxis)
            axes.set_title(title, fontsize=8)
        all_axes[0].set_yticks(range(len(groups)), [group.label for group in groups])
        all_axes[0].invert_yaxis()
        return fig


DRAWN: dict[str, Callable[[Comparison, Theme], Figure | None]] = {
    "accuracy_vs_parameters": lambda comparison, theme: accuracy_over(comparison, "parameters", theme),
    "accuracy_vs_time": lambda comparison, theme: accuracy_over(comparison, "train_seconds", theme),
    "learning_curves": learning_curves,
    "per_class_accuracy": per_class_accuracy,
    "confusion": confusion,
    "efficiency": efficiency,
}
