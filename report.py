"""How results are shown: lines and tables on a terminal, CSV, plots, and one self-contained page.

A *run* here is the plain dictionary that ``--json`` prints for one training (Result in mnist_efficient_model.py). A
*column* is (field, header, how to show a value). Nothing here trains or judges.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import html
import io
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

Run = dict[str, Any]
Column = tuple[str, str, Callable[[Any], str]]


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file that appears whole or not at all: under a temporary name first, then renamed. Raises OSError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


# --- Words and numbers ------------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share as per cent, never rounded up: 94.999 % must not read as 95."""
    return f"{math.floor(share * 10_000 + 1e-9) / 100:.2f} %"


def mark(held: bool) -> str:
    """PASS or FAIL, coloured on a terminal unless NO_COLOR is set (https://no-color.org)."""
    word = "PASS" if held else "FAIL"
    uncoloured = os.environ.get("NO_COLOR") or not sys.stdout.isatty()
    return word if uncoloured else f"\033[{32 if held else 31}m{word}\033[0m"


def results_block(run: Run, limits: Any) -> str:
    """The RESULTS block of one run: what is required, what was achieved, and whether it holds."""
    accuracy = "not measured"
    if run["test_accuracy"] is not None:
        low, high = (100 * bound for bound in run["accuracy_interval"])
        accuracy = f"{percent(run['test_accuracy'])} ({low:.2f}-{high:.2f})"
    held = {limit: mark(holds) for limit, holds in run["limits"].items()}
    once = "each once" if run["each_once"] else "not each once"
    scored = {"test": "Test accuracy", "holdout": "Hold-out accuracy"}.get(run["scored_on"], run["scored_on"])
    rows = [
        ("RESULTS", "required", "achieved", ""),
        ("Parameters", f"< {limits.parameters:,}", f"{run['parameters']:,}", held["parameters"]),
        (scored, f">= {percent(limits.accuracy)}", accuracy, held["accuracy"]),
        ("One epoch", f"{run['train_images']:,} images", f"{run['images_seen']:,}, {once}", held["one_epoch"]),
        ("Training time", "", f"{run['train_seconds']:.2f} s", ""),
        ("Checkpoint", "", run["checkpoint"] or "none saved", ""),
    ]
    lines = [f"{name:<18}{required:<16}{achieved:<26}{verdict}".rstrip() for name, required, achieved, verdict in rows]
    return "\n".join(lines + [f"  {sentence}" for sentence in run["violations"]])


def one_line(run: Run) -> str:
    accuracy = "no accuracy" if run["test_accuracy"] is None else percent(run["test_accuracy"])
    verdict = "; ".join([mark(run["passed"]), *run["violations"]])
    return f"{run['model']}, seed {run['seed']}: {accuracy} in {run['train_seconds']:.2f} s  {verdict}"


def summarise(runs: Sequence[Run]) -> dict[str, Any]:
    """Mean, standard deviation, min and max over runs; a figure that no run measured is None."""
    accuracies = [run["test_accuracy"] for run in runs if run["test_accuracy"] is not None]
    return {
        "runs": len(runs),
        "passed": sum(run["passed"] for run in runs),
        "accuracy_mean": statistics.fmean(accuracies) if accuracies else None,
        "accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "accuracy_min": min(accuracies, default=None),
        "accuracy_max": max(accuracies, default=None),
        "train_seconds_median": statistics.median(run["train_seconds"] for run in runs),
    }


def summary_line(runs: Sequence[Run]) -> str:
    s = summarise(runs)
    if s["accuracy_mean"] is None:
        return f"{s['runs']} runs, none measured; 0 passed"
    figures = ", ".join(f"{key} {100 * s['accuracy_' + key]:.2f} %" for key in ("mean", "min", "max"))
    return f"{s['passed']} of {s['runs']} runs passed; accuracy {figures}; median {s['train_seconds_median']:.2f} s"


@contextlib.contextmanager
def progress(total: int, label: str, quiet: bool) -> Iterator[Callable[[int, float, float], None] | None]:
    """Yield a callback (images, loss, accuracy): one live line on a terminal, else a line each quarter; on stderr."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=" images", leave=False, ncols=80) as bar:

            def update(images: int, loss: float, accuracy: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.1%}", refresh=False)
                bar.update(images - bar.n)

            yield update
    else:
        quarters = [0.25, 0.5, 0.75, 1.0]

        def write_line(images: int, loss: float, accuracy: float) -> None:
            reached = [quarter for quarter in quarters if images >= quarter * total]
            if reached:
                sys.stderr.write(f"{label}: {images:,} of {total:,} images, loss {loss:.3f}, accuracy {accuracy:.1%}\n")
                del quarters[: len(reached)]

        yield write_line


# --- Comparing: groups of runs, as a table and as CSV -----------------------------------------------------------------


LIMIT_HEADERS = {"parameters": "size", "accuracy": "acc", "one_epoch": "epoch"}


def grouped(runs: Sequence[Run], key: Callable[[Run], Any] = lambda run: run["model"]) -> list[list[Run]]:
    """Runs of a kind together; those that pass first, then by fewest parameters."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return sorted(groups.values(), key=lambda group: (not all(r["passed"] for r in group), group[0]["parameters"]))


def middle(group: Sequence[Run], key: str) -> Any:
    """The figure that stands for a group: the mean of accuracies, the median of other numbers, else the first."""
    values = [run[key] for run in group if run[key] is not None]
    if not values:
        return None
    if not isinstance(values[0], (int, float)):
        return values[0]
    return statistics.fmean(values) if key == "test_accuracy" else type(values[0])(statistics.median(values))


def table(runs: Sequence[Run], columns: Sequence[Column]) -> list[list[str]]:
    """Header and a row per model, sorted, as text; with several seeds mean +- standard deviation, min and passes."""
    several = len({run["seed"] for run in runs}) > 1
    limits = list(runs[0]["limits"])
    rows = [[header for _, header, _ in columns] + ["min %"] * several + [LIMIT_HEADERS[limit] for limit in limits]]
    for group in grouped(runs):
        row = []
        for key, _, show in columns:
            value = middle(group, key)
            row.append("" if value is None else show(value))
            if several and key == "test_accuracy" and value is not None:
                row[-1] = f"{100 * value:.2f} ±{100 * (summarise(group)['accuracy_std'] or 0):.2f}"
        if several:
            least = summarise(group)["accuracy_min"]
            row.append("" if least is None else percent(least).removesuffix(" %"))
        for limit in limits:
            holds = sum(run["limits"][limit] for run in group)
            row.append(f"{holds}/{len(group)}" if several else "ok" if holds else "NO")
        rows.append(row)
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text: the first column to the left, the others to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def write_csv(path: Path, runs: Sequence[Run], failures: dict[str, str]) -> None:
    """One row per run, fields as in the JSON but for the long ones; a model that could not run has only its error."""
    long = {"confusion", "confused", "curve", "config", "versions"}
    fields = [field for field in runs[0] if field not in long] if runs else ["model"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*fields, "error"], lineterminator="\n")
    writer.writeheader()
    for run in runs:
        scalar = {field: run[field] for field in fields}
        writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in scalar.items()})
    for model, error in failures.items():
        writer.writerow({"model": model, "error": error})
    write_file(path, text.getvalue())


# --- Plots ------------------------------------------------------------------------------------------------------------

# Okabe and Ito's colours, which colour-blind readers can tell apart; with the line styles they make 21 curves distinct.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
STYLES = ["-", "--", ":"]
# The best public figures found for one epoch: parameters, accuracy on MNIST's test set, name.
PUBLISHED = [(18_310, 0.9853, "published: public log"), (215_000, 0.9904, "published: train_mnist_fast")]


def figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A new figure and its axes, drawn without a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True})
    return plt.subplots(1, columns, figsize=(width, height), dpi=130, layout="constrained")


def png(fig: Any) -> bytes:
    import matplotlib.pyplot as plt

    content = io.BytesIO()
    fig.savefig(content, format="png")
    plt.close(fig)
    return content.getvalue()


def accuracy_axis(axes: Any, accuracies: Sequence[float]) -> None:
    """Let y be the error on an inverted logarithmic axis, labelled as accuracy: 98 and 99 % are as far as 90 and 95."""
    errors = [max(1 - a, 1e-4) for a in accuracies]
    axes.set_yscale("log")
    axes.set_ylim(min(1, max([*errors, 0.06]) * 1.3), min(errors) / 1.3)
    ticks = [t for t in (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.007, 0.005, 0.003, 0.001)]
    axes.set_yticks([t for t in ticks if axes.get_ylim()[1] <= t <= axes.get_ylim()[0]], minor=False)
    axes.yaxis.set_major_formatter(lambda error, _: f"{100 * (1 - error):.4g} %")
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def place_labels(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write each point's name beside it where it covers neither another name nor another point."""
    fig = axes.figure
    fig.draw_without_rendering()
    pixels = [axes.transData.transform((x, y)) for x, y, _ in points]
    taken = [(px - 5, py - 5, px + 5, py + 5) for px, py in pixels]
    frame = axes.get_window_extent()
    for (x, y, name), (px, py) in sorted(zip(points, pixels, strict=True), key=lambda item: -item[1][1]):
        label = axes.annotate(name, (x, y), xytext=(0, 0), textcoords="offset pixels", fontsize=8, va="center")
        box = label.get_window_extent()
        width, height = box.width, box.height
        beside = [(dx, dy) for dy in (0, 18, -18, 36, -36, 54, -54) for dx in (9, -9 - width)]
        for dx, dy in [*beside, (-width / 2, 78), (-width / 2, -78)]:
            spot = (px + dx, py + dy - height / 2, px + dx + width, py + dy + height / 2)
            inside = spot[0] > frame.x0 and spot[2] < frame.x1 and spot[1] > frame.y0 and spot[3] < frame.y1
            if inside and not any(
                spot[0] < b[2] and spot[2] > b[0] and spot[1] < b[3] and spot[3] > b[1] for b in taken
            ):
                break
        taken.append(spot)
        label.xyann = (dx, dy)
        if abs(dy) > 18:
            label.arrowprops = None
            axes.annotate("", (x, y), xytext=(dx if dx > 0 else dx + width, dy), textcoords="offset pixels",
                arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6})  # fmt: skip


def scatter(groups: Sequence[Sequence[Run]], key: str, x_label: str, limits: Any) -> bytes:
    """Accuracy against another figure on a logarithmic axis, with the range over seeds and the limits."""
    fig, axes = figure(8, 5.2)
    points = []
    for group in groups:
        s = summarise(group)
        if s["accuracy_mean"] is None:
            continue
        x, y = middle(group, key), max(1 - s["accuracy_mean"], 1e-4)
        low, high = 1 - s["accuracy_max"], 1 - s["accuracy_min"]
        passed = all(run["passed"] for run in group)
        axes.errorbar(x, y, [[y - max(low, 1e-4)], [max(high, 1e-4) - y]], fmt="o" if passed else "X", markersize=7,
            color=COLOURS[0] if passed else COLOURS[1], capsize=3, linewidth=1)  # fmt: skip
        points.append((x, y, group[0]["model"]))
    like_published = all((run["dataset"], run["scored_on"]) == ("mnist", "test") for group in groups for run in group)
    if key == "parameters" and like_published:
        for x, accuracy, name in PUBLISHED:
            axes.plot(x, 1 - accuracy, "D", markersize=6, markerfacecolor="none", color="0.4")
            points.append((x, 1 - accuracy, name))
    axes.set_xscale("log")
    axes.margins(x=0.15)
    accuracy_axis(axes, [1 - y for _, y, _ in points])
    axes.axhline(1 - limits.accuracy, color="0.5", linewidth=0.8)
    if key == "parameters":
        left, right = min(axes.get_xlim()[0], limits.parameters / 100), max(axes.get_xlim()[1], limits.parameters * 4)
        axes.fill_between(
            [left, limits.parameters], 1 - limits.accuracy, axes.get_ylim()[1], color="#009E73", alpha=0.12
        )
        axes.axvline(limits.parameters, color="0.5", linewidth=0.8)
        axes.set_xlim(left, right)
        axes.text(left * 1.05, axes.get_ylim()[1] * 1.06, "passes both limits", color="#00684C", fontsize=8, va="top")
    axes.set_xlabel(x_label)
    axes.set_ylabel("test accuracy")
    axes.set_title("blue circle: holds every limit; orange cross: breaks one", fontsize=8, loc="left", color="0.3")
    place_labels(axes, points)
    return png(fig)


def learning_curves(groups: Sequence[Sequence[Run]]) -> bytes:
    """Running training accuracy over images seen, of each model's first run."""
    fig, axes = figure(8, 5)
    every = [0.5]
    for i, group in enumerate(groups):
        curve = group[0]["curve"]
        images, accuracies = [p["images"] for p in curve], [p["accuracy"] for p in curve]
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i // len(COLOURS) % len(STYLES)]}
        axes.plot(images, [max(1 - a, 1e-4) for a in accuracies], label=group[0]["model"], linewidth=1.4, **style)
        every += accuracies
    accuracy_axis(axes, every)
    axes.set_xlabel("training images seen")
    axes.set_ylabel("accuracy on the augmented images, running")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return png(fig)


def per_class_heat_map(groups: Sequence[Sequence[Run]]) -> bytes:
    measured = [group[0] for group in groups if group[0]["per_class_accuracy"]]
    shares = np.array([[np.nan if a is None else 100 * a for a in run["per_class_accuracy"]] for run in measured])
    fig, axes = figure(8, 1 + 0.3 * len(measured))
    low = max(np.nanpercentile(shares, 10), 50) if shares.size else 50
    image = axes.imshow(shares, cmap="cividis", vmin=low, vmax=100, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        colour = "black" if share > (low + 100) / 2 else "white"
        axes.text(column, row, f"{share:.1f}", ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(10), [f"class {c}" for c in range(10)])
    axes.set_yticks(range(len(measured)), [run["model"] for run in measured])
    fig.colorbar(image, label="test accuracy, %")
    return png(fig)


def confusion_matrix(run: Run, images: np.ndarray) -> bytes:
    """The confusion matrix of a run, and its surest mistakes as pictures from images (N, 28, 28)."""
    fig, (left, right) = figure(10, 4.8, columns=2)
    counts = np.array(run["confusion"])
    wrong = counts - np.diag(counts.diagonal())
    left.imshow(np.sqrt(wrong), cmap="Oranges")  # the root, so that single mistakes stay visible
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = wrong[row, column] > 0.5 * wrong.max()
            left.text(column, row, count, ha="center", va="center", fontsize=7.5, color="white" if dark else "0.15")
    left.set_xticks(range(10))
    left.set_yticks(range(10))
    left.set_xlabel("predicted")
    left.set_ylabel("true")
    left.set_title(f"{run['model']}, seed {run['seed']}: {wrong.sum():,} mistakes in {counts.sum():,}", fontsize=9)
    right.axis("off")
    right.set_title("its surest mistakes: true → predicted (confidence)", fontsize=9)
    for i, mistake in enumerate(run["confused"]):
        cell = right.inset_axes([(i % 5) / 5 + 0.02, 1 - (i // 5 + 1) / 4, 0.16, 0.19])
        cell.imshow(images[mistake["index"]], cmap="gray_r")
        cell.axis("off")
        title = f"{mistake['label']} → {mistake['predicted']} ({mistake['confidence']:.0%})"
        cell.set_title(title, fontsize=7, pad=1)
    return png(fig)


def efficiency_bars(groups: Sequence[Sequence[Run]]) -> bytes:
    panels = [
        ("accuracy_per_parameter", "accuracy points per 1,000 parameters", 1e5),
        ("accuracy_per_second", "accuracy points per training second", 100),
        ("throughput", "images per second, batch 1,000", 1),
        ("inference_nj", "arithmetic of one inference at 45 nm, nJ (estimate)", 1),
    ]
    fig, all_axes = figure(13, 1 + 0.27 * len(groups), columns=len(panels))
    names = [group[0]["model"] for group in groups]
    for axes, (key, title, factor) in zip(all_axes, panels, strict=True):
        values = [(middle(group, key) or 0) * factor for group in groups]
        axes.barh(names, values, color=[COLOURS[0] if all(r["passed"] for r in g) else COLOURS[1] for g in groups])
        for row, value in enumerate(values):
            axes.text(value, row, f" {value:,.3g}" if value < 1000 else f" {value:,.0f}", va="center", fontsize=7)
        axes.set_xscale("log")
        positive = [value for value in values if value > 0]
        axes.set_xlim(min(positive) / 3, max(positive) * 6)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=8)
        if axes is not all_axes[0]:
            axes.set_yticklabels([])
    return png(fig)


def sweep_heat_map(groups: Sequence[Sequence[Run]], keys: Sequence[str]) -> bytes:
    """Mean accuracy over a grid of one or two swept settings (more: the last ones side by side on the x axis)."""
    rows = list(dict.fromkeys(str(group[0]["config"][keys[0]]) for group in groups))
    columns = list(dict.fromkeys(tuple(str(group[0]["config"][key]) for key in keys[1:]) for group in groups))
    grid = np.full((len(rows), len(columns)), np.nan)
    for group in groups:
        config = {key: str(group[0]["config"][key]) for key in keys}
        mean = summarise(group)["accuracy_mean"]
        if mean is not None:
            grid[rows.index(config[keys[0]]), columns.index(tuple(config[key] for key in keys[1:]))] = 100 * mean
    fig, axes = figure(2.5 + 1.1 * len(columns), 1.6 + 0.45 * len(rows))
    image = axes.imshow(grid, cmap="cividis", aspect="auto")
    for (row, column), share in np.ndenumerate(grid):
        text = "diverged" if np.isnan(share) else f"{share:.2f}"
        dark = np.isnan(share) or share > (np.nanmin(grid) + np.nanmax(grid)) / 2
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color="black" if dark else "white")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylabel(keys[0])
    axes.set_xticks(range(len(columns)), [", ".join(column) for column in columns])
    axes.set_xlabel(", ".join(keys[1:]))
    fig.colorbar(image, label="accuracy, % (mean over seeds)")
    return png(fig)


# --- The comparison, whole --------------------------------------------------------------------------------------------


def write_comparison(
    folder: Path,
    runs: Sequence[Run],
    failures: dict[str, str],
    columns: Sequence[Column],
    limits: Any,
    images: np.ndarray,
) -> None:
    """Write comparison.csv, the plots and report.html. ``images`` (N, 28, 28) are those the runs were scored on."""
    groups = grouped(runs)
    best = max(
        (run for run in runs if run["confusion"] and run["passed"]), key=lambda r: r["test_accuracy"], default=None
    )
    shown = next((run for run in runs if run["model"] == "efficient" and run["confusion"]), best)
    plots = {
        "accuracy_vs_parameters": scatter(groups, "parameters", "parameters", limits),
        "accuracy_vs_time": scatter(groups, "train_seconds", "training seconds", limits),
        "learning_curves": learning_curves(groups),
        "per_class_accuracy": per_class_heat_map(groups),
        "efficiency": efficiency_bars(groups),
    }
    if shown:
        plots["confusion"] = confusion_matrix(shown, images)
    write_csv(folder / "comparison.csv", runs, failures)
    for name, content in plots.items():
        write_file(folder / f"{name}.png", content)
    write_file(folder / "report.html", page(runs, failures, table(runs, columns), plots))


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.bad { color: #a33b00; font-weight: bold; }
img { max-width: 100%; height: auto; }
"""


def page(runs: Sequence[Run], failures: dict[str, str], rows: Sequence[Sequence[str]], plots: dict[str, bytes]) -> str:
    """report.html: one page that needs nothing beside it."""

    def cell(text: str, tag: str = "td") -> str:
        done, _, of = text.partition("/")
        bad = text == "NO" or (done.isdigit() and of.isdigit() and done != of)
        return f"<{tag}{' class=bad' if bad else ''}>{html.escape(text)}</{tag}>"

    first = runs[0]
    seeds = len({run["seed"] for run in runs})
    head = "".join(cell(text, "th") for text in rows[0])
    body = "\n".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows[1:])
    failed = "".join(f"<p><b>{html.escape(m)}</b> could not be run: {html.escape(e)}</p>" for m, e in failures.items())
    pictures = "\n".join(
        f'<h2>{name.replace("_", " ").capitalize()}</h2>\n<img alt="{name.replace("_", " ")}" '
        f'src="data:image/png;base64,{base64.b64encode(content).decode()}">'
        for name, content in plots.items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    how = (
        f"Each model was trained for exactly one augmented epoch of the {first['train_images']:,} training images of "
        f"{first['dataset']} on {first['device']}, with {seeds} seed{'s' * (seeds > 1)}, in a "
        f"process of its own, and scored on {first['test_images']:,} "
        f"{first['scored_on']} images, each looked at once. Training "
        "time includes shuffling and augmentation, not loading or scoring. ms is the median time of one image on one "
        "thread, kMAC the thousands of multiply-accumulates of one image, nJ the arithmetic of one inference at 45 nm "
        "(Horowitz, 2014): an estimate, without memory traffic. "
        f"({versions})"
    )
    note = f"<p><b>Note: {html.escape(first['note'])}.</b></p>\n" if first["note"] else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The efficient-MNIST challenge</title>
<style>{STYLE}</style>
<h1>The efficient-MNIST challenge</h1>
{note}<p>{html.escape(how)}</p>
<table>
<tr>{head}</tr>
{body}
</table>
{failed}
{pictures}
</html>
"""
