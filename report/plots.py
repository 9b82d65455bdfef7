"""The figures of a comparison: a function takes results and gives a matplotlib Figure, to be saved or shown.

``DRAWN`` lists them by the names of their files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from report.results import CLASSES, SIDE, Comparison, Group, Run, pixels
from report.style import (
    AREA,
    FAILED,
    MUTED,
    ON_DARK,
    ON_LIGHT,
    PASSED,
    accuracy_axis,
    drawing,
    error,
    figure,
    grid_of,
    place_labels,
    plain_log_axis,
)

# Published for one epoch of MNIST: parameters, accuracy, where. The first has more than the challenge allows; the
# others are of public repositories of this challenge, one run each, as their authors report it.
PUBLISHED = [
    (215_194, 0.9904, "published: github.com/tuomaso/train_mnist_fast"),
    (18_694, 0.9890, "published: one run, self-reported"),
    (18_310, 0.9853, "published: one run, self-reported"),
]


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


def accuracy_over(comparison: Comparison, name: str) -> Figure | None:
    """Accuracy over parameters or train_seconds, with the range over seeds, the limits and the frontier.

    None where fewer than two models have both.
    """
    points = measured(comparison, name)
    if len(points) < 2:
        return None
    with drawing():
        fig, axes = figure(9, 5.4)
        for x, group in points:
            mean, best, worst = error(group.mean), error(max(group.accuracies)), error(min(group.accuracies))
            colour, mark = (PASSED, "o") if group.passed else (FAILED, "X")
            bars, looks = (
                [[max(0, mean - best)], [max(0, worst - mean)]],
                {"markersize": 7, "capsize": 3, "linewidth": 1},
            )
            axes.errorbar(x, mean, bars, fmt=mark, color=colour, **looks)
        shown = [(x, group.mean, group.label) for x, group in points]
        steps = frontier([(x, accuracy) for x, accuracy, _ in shown])
        looks = {"drawstyle": "steps-post", "linewidth": 1, "linestyle": ":"}
        axes.plot([x for x, _ in steps], [error(a) for _, a in steps], color=MUTED, **looks)
        if name == "parameters" and all((r["dataset"], r["scored_on"]) == ("mnist", "test") for r in comparison.runs):
            shown += PUBLISHED
            looks = {"markersize": 6, "markerfacecolor": "none", "color": MUTED}
            axes.plot([x for x, *_ in PUBLISHED], [error(a) for _, a, _ in PUBLISHED], "D", **looks)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        accuracy_axis(
            axes, [0.94, 0.96] + [a for _, a, _ in shown] + [a for _, group in points for a in group.accuracies]
        )
        if comparison.limits:
            draw_limits(axes, comparison.limits, name == "parameters")
        plain_log_axis(axes.xaxis)
        axes.set_xlabel({"parameters": "parameters", "train_seconds": "training seconds"}[name])
        axes.set_ylabel("test accuracy")
        legend = (
            "circle: every run keeps every limit; cross: one is broken; dotted: more accurate than all that costs less"
        )
        axes.set_title(legend, fontsize=8, loc="left", color=MUTED)
        place_labels(axes, [(x, error(accuracy), label) for x, accuracy, label in shown])
        return fig


def draw_limits(axes: Any, limits: dict[str, float], with_parameters: bool) -> None:
    """The limits as lines, and the area where both hold."""
    axes.axhline(error(limits["accuracy"]), color=MUTED, linewidth=0.8)
    if not with_parameters:
        return
    most = limits["parameters"]
    left, right = min(axes.get_xlim()[0], most / 100), max(axes.get_xlim()[1], most * 4)
    axes.fill_between([left, most], error(limits["accuracy"]), axes.get_ylim()[1], color=AREA, alpha=0.12)
    axes.axvline(most, color=MUTED, linewidth=0.8)
    axes.set_xlim(left, right)
    axes.text(left * 1.05, axes.get_ylim()[1] * 1.06, "both limits hold", color=AREA, fontsize=8, va="top")


def panels(groups: Sequence[Group], height: float, **options: Any) -> tuple[Figure, list[Any]]:
    """A figure with a small panel for each model, ``height`` inches high, named, in the colour of whether it passes."""
    rows, columns = grid_of(len(groups))
    fig, grid = figure(max(4, 1.6 * columns), 0.5 + height * rows, rows, columns, squeeze=False, **options)
    for axes in grid.flat[len(groups) :]:
        axes.axis("off")
    for axes, group in zip(grid.flat, groups, strict=False):
        size = 8 if len(group.label) < 22 else 6
        axes.set_title(group.label, fontsize=size, loc="left", color=PASSED if group.passed else FAILED)
    return fig, list(grid.flat[: len(groups)])


def learning_curves(comparison: Comparison) -> Figure | None:
    """Running training accuracy over images seen, of each model's first run: a panel for each, the best one in grey."""
    groups = [group for group in comparison.groups if group.first["curve"]]
    if not groups:
        return None
    best = max(groups, key=lambda group: group.mean or 0)
    every = [0.5, 0.96, *(point["accuracy"] for group in groups for point in group.first["curve"])]
    with drawing():
        fig, all_axes = panels(groups, 1.6 if len(groups) > 3 else 3, sharex=True, sharey=True)
        accuracy_axis(all_axes[0], every, fewer=len(groups) > 3)
        for axes, group in zip(all_axes, groups, strict=True):
            for each, colour in ((best, MUTED), (group, PASSED if group.passed else FAILED)):
                curve = each.first["curve"]
                errors = [error(point["accuracy"]) for point in curve]
                axes.plot(
                    [point["images"] for point in curve], errors, color=colour, linewidth=1 if each is best else 1.6
                )
            axes.grid(alpha=0.25)
        all_axes[0].set_xlim(0)
        all_axes[0].xaxis.set_major_locator(MaxNLocator(3))
        all_axes[0].xaxis.set_major_formatter(lambda images, _: f"{images:,.0f}")
        all_axes[0].tick_params(labelsize=8)
        fig.supxlabel("training images seen", fontsize=9)
        fig.supylabel("accuracy on them, augmented", fontsize=9)
        fig.suptitle(f"Learning curves, first seed; grey: {best.label}, the most accurate", fontsize=9)
        return fig


def per_class_accuracy(comparison: Comparison) -> Figure | None:
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
    with drawing():
        fig, axes = figure(9, min(1 + 0.3 * len(rows), 60))
        image = axes.imshow(percent, cmap="cividis", vmin=low, vmax=100, aspect="auto")
        for (row, column), value in np.ndenumerate(percent):
            if not np.isnan(value):
                colour = ON_LIGHT if value > (low + 100) / 2 else ON_DARK
                axes.text(
                    column, row, f"{value:.1f}", ha="center", va="center", fontsize=7.5, color=colour, in_layout=False
                )
        axes.set_xticks(range(CLASSES), [f"class {c}" for c in range(CLASSES)])
        axes.set_yticks(range(len(labels)), labels)
        fig.colorbar(image, label="test accuracy, %", extend="min")
        return fig


def confusion(comparison: Comparison) -> Figure | None:
    """The confusion matrix of the best run (Comparison.best), and its most confident mistakes as pictures."""
    run = comparison.best
    if run is None:
        return None
    counts = np.array(run["confusion"])
    wrong = counts - np.diag(counts.diagonal())
    with drawing():
        fig, (left, right) = figure(9.5, 4.8, columns=2)
        # the root, so that single mistakes stay visible
        left.imshow(np.sqrt(wrong), cmap="Oranges", vmin=0, vmax=max(1, wrong.max()) ** 0.5)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = ON_DARK if wrong[row, column] > 0.5 * wrong.max() else ON_LIGHT
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
    axes.imshow(mosaic, cmap="gray_r", vmin=0, vmax=255)
    axes.set_title("its most confident mistakes: true → predicted (confidence)", fontsize=9)


def confusions(comparison: Comparison) -> Figure | None:
    """What each model confuses, over all its runs: a small matrix of the mistakes, and the most frequent one."""
    groups = [group for group in comparison.groups if group.confusion]
    if len(groups) < 2:
        return None
    with drawing():
        fig, all_axes = panels(groups, 1.9)
        fig.get_layout_engine().set(h_pad=0.08)
        for axes, group in zip(all_axes, groups, strict=True):
            counts = np.array(group.confusion)
            wrong = counts - np.diag(counts.diagonal())
            axes.imshow(np.sqrt(wrong), cmap="Oranges", vmin=0, vmax=max(1, wrong.max()) ** 0.5)
            axes.set_xticks(range(CLASSES), range(CLASSES), fontsize=6)
            axes.set_yticks(range(CLASSES), range(CLASSES), fontsize=6)
            axes.tick_params(length=0, pad=1)
            true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
            most = f"{true} → {predicted}: {wrong.max():,} of {wrong.sum():,}" if wrong.any() else "no mistake"
            axes.set_xlabel(most, fontsize=7)
        fig.supxlabel("predicted; below each matrix the most frequent mistake", fontsize=9)
        fig.supylabel("true class", fontsize=9)
        return fig


DRAWN: dict[str, Callable[[Comparison], Figure | None]] = {
    "accuracy_vs_parameters": lambda comparison: accuracy_over(comparison, "parameters"),
    "accuracy_vs_time": lambda comparison: accuracy_over(comparison, "train_seconds"),
    "learning_curves": learning_curves,
    "per_class_accuracy": per_class_accuracy,
    "confusion": confusion,
    "confusions": confusions,
}
