"""The figure of a sweep: a curve or a heat map. Its caller saves or shows it."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from report.results import Experiment, Group, scored_on
from report.style import FAILED, INK, ON_DARK, ON_LIGHT, PASSED, accuracy_axis, drawing, error, figure


def unmeasured(group: Group) -> str:
    return "diverged" if any(run["diverged_at"] is not None for run in group.runs) else "not measured"


def title(results: Experiment) -> str:
    """What was swept, and what the accuracies are of."""
    seeds = max(len(group.runs) for group in results.points.values())
    mean = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    first = results.runs[0]
    return f"{first['model']}, trained on {first['dataset']}: {mean}, on the {scored_on(first)}"


def sweep(results: Experiment) -> Figure:
    """Mean accuracy over a grid: a curve for one numeric setting, else a heat map."""
    numeric = all(isinstance(value, (int, float)) for values in results.points for value in values)
    return sweep_curve(results) if len(results.keys) == 1 and numeric else sweep_heat_map(results)


def sweep_curve(results: Experiment) -> Figure:
    """Accuracy over one setting, with the range over seeds; where nothing was measured, the reason stands instead."""
    points = sorted((values[0], group) for values, group in results.points.items())
    scored = [(x, group) for x, group in points if group.accuracies]
    with drawing():
        fig, axes = figure(7, 4.2)
        middle = [error(group.mean) for _, group in scored]
        below = [max(0, y - error(max(group.accuracies))) for y, (_, group) in zip(middle, scored, strict=True)]
        above = [max(0, error(min(group.accuracies)) - y) for y, (_, group) in zip(middle, scored, strict=True)]
        axes.errorbar([x for x, _ in scored], middle, [below, above], fmt="o-", color=PASSED, capsize=3, linewidth=1.2)
        axes.update_datalim([(x, 0.5) for x, _ in points])  # those without an accuracy too
        accuracy_axis(axes, [accuracy for _, group in scored for accuracy in group.accuracies])
        if min(x for x, _ in points) > 0 and max(x for x, _ in points) >= 10 * min(x for x, _ in points):
            axes.set_xscale("log")
        axes.set_xticks([x for x, _ in points], [f"{x:g}" for x, _ in points], minor=False)
        axes.minorticks_off()
        for x, group in points:
            if group.accuracies:
                text, place = f"{100 * group.mean:.2f}", {"xytext": (6, -12), "textcoords": "offset points"}
                axes.annotate(text, (x, error(group.mean)), fontsize=8, **place)
            else:
                place = {"transform": axes.get_xaxis_transform(), "ha": "center"}
                axes.text(x, 0.02, unmeasured(group), fontsize=8, color=FAILED, **place)
        axes.margins(x=0.1)
        axes.set_xlabel(results.keys[0])
        axes.set_ylabel("accuracy")
        axes.set_title(title(results), fontsize=9, loc="left")
        return fig


def sweep_heat_map(results: Experiment) -> Figure:
    """The first setting down, the others across."""
    rows = list(dict.fromkeys(values[0] for values in results.points))
    columns = list(dict.fromkeys(values[1:] for values in results.points))
    grid = np.full((len(rows), len(columns)), np.nan)
    for values, group in results.points.items():
        if group.accuracies:
            grid[rows.index(values[0]), columns.index(values[1:])] = 100 * group.mean
    down, across = 1 + len(rows) // 150, 1 + len(columns) // 40  # of so many rows and columns, one has a label
    middle = np.nan if np.isnan(grid).all() else (np.nanmin(grid) + np.nanmax(grid)) / 2
    with drawing():
        fig, axes = figure(min(3.4 + 1.1 * len(columns), 40), min(max(2.6, 1.8 + 0.45 * len(rows)), 60))
        image = axes.imshow(grid, cmap="cividis", aspect="auto")
        for values, group in results.points.items() if down == across == 1 else ():
            row, column = rows.index(values[0]), columns.index(values[1:])
            value = grid[row, column]
            text, colour = (unmeasured(group), INK) if np.isnan(value) else (f"{value:.2f}", ON_DARK)
            axes.text(
                column, row, text, ha="center", va="center", fontsize=8, color=ON_LIGHT if value > middle else colour
            )
        axes.set_yticks(range(0, len(rows), down), [str(row) for row in rows[::down]])
        axes.set_ylabel(results.keys[0])
        axes.set_xticks(range(0, len(columns), across), [", ".join(map(str, column)) for column in columns[::across]])
        axes.set_xlabel(", ".join(results.keys[1:]))
        axes.tick_params(bottom=len(results.keys) > 1)
        axes.set_title(title(results), fontsize=9, loc="left")
        if not np.isnan(middle):
            fig.colorbar(image, label="accuracy, %")
        return fig
