"""report.html: one page that needs nothing beside it, for light and dark screens, desks and phones."""

from __future__ import annotations

import base64
import html
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from report.results import Comparison, Run, Sweep

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


class Plot(NamedTuple):
    """A figure as PNG files, for light and for dark pages."""

    light: bytes
    dark: bytes


# What a column of the table holds, by the field of a run that it shows.
MEANINGS = {
    "parameters": "parameters, frozen ones too, a shared one once",
    "test_accuracy": "fraction of all test images classified rightly, rounded down; with several seeds mean ± standard "
    "deviation",
    "train_seconds": "training time with shuffling and augmentation, without loading and scoring; with several "
    "seeds the median",
    "macs": "thousands of multiply-accumulates of one inference",
    "latency_ms": "median time of one image on one thread, in milliseconds",
    "inference_nj": "arithmetic of one inference at 45 nm (Horowitz, 2014), in nanojoules: an estimate, without memory "
    "traffic",
}
CAPTIONS = {
    "accuracy_vs_parameters": (
        "Accuracy over parameters",
        "Up and to the left is better. Bars reach from the worst to the best seed. The frontier joins the models than "
        "which none is both smaller and more accurate.",
    ),
    "accuracy_vs_time": ("Accuracy over training time", "Up and to the left is better. Bars reach over the seeds."),
    "learning_curves": (
        "Learning curves",
        "Accuracy on the training images as they are seen for the first time, augmented: mean since the point before. "
        "The first seed of each model.",
    ),
    "per_class_accuracy": ("Accuracy per class", "Mean over the seeds, in per cent of the test images of the class."),
    "confusion": (
        "Confusion matrix and mistakes",
        "Rows are true classes, columns predictions; colour shows mistakes only. Beside it the mistakes made with the "
        "most confidence.",
    ),
    "efficiency": (
        "Efficiency",
        "Medians over the seeds. The energy is an estimate from the number of operations, without memory traffic.",
    ),
}


BAD = ' class="bad"'  # a limit is broken


def text(value: object) -> str:
    """A value as HTML text, which may stand in an attribute too."""
    return html.escape(str(value))


def is_bad(cell: str) -> bool:
    """Whether a cell of the table says that a limit is broken: NO, or 3/5 runs."""
    done, _, of = cell.partition("/")
    return cell == "NO" or (done.isdigit() and of.isdigit() and done != of)


def html_table(rows: Sequence[Sequence[str]], caption: str) -> str:
    """Rows of text, header first. The first column names the row."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in rows[0])
    lines = []
    for name, *cells in rows[1:]:
        others = "".join(f"<td{BAD * is_bad(cell)}>{text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{text(name)}</th>{others}</tr>')
    body = "\n".join(lines)
    return (
        f'<p class="small">{text(caption)}</p>\n'
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def picture(title: str, caption: str, alt: str, plot: Plot) -> str:
    """A figure with its caption, light or dark as the page is."""
    light, dark = (f"data:image/png;base64,{base64.b64encode(content).decode()}" for content in plot)
    width, height = struct.unpack(">II", plot.light[16:24])  # of the PNG's first chunk
    return (
        f"<figure>\n<h2>{text(title)}</h2>\n<figcaption>{text(caption)}</figcaption>\n"
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(title)}"><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{text(alt)}" width="{width}" height="{height}" src="{light}"></picture></div>\n</figure>'
    )


def method(runs: Sequence[Run]) -> str:
    """How the runs were made, as far as they agree; a sentence each."""

    def of(name: str) -> str:
        return ", ".join(dict.fromkeys(f"{run[name]:,}" if isinstance(run[name], int) else run[name] for run in runs))

    seeds = len({run["seed"] for run in runs})
    sentences = [
        f"Each run is one augmented epoch over the {of('train_images')} training images of {of('dataset')} on "
        f"{of('device')}, with {seeds} seed{'s' * (seeds > 1)}, scored on {of('test_images')} {of('scored_on')} "
        "images, each looked at once."
    ]
    threads, jobs = of("threads"), max(run["jobs"] for run in runs)
    sentences.append(f"PyTorch used {threads} thread{'s' * (threads != '1')}.")
    if jobs > 1:
        sentences.append(f"Up to {jobs} runs went on at the same time: seconds are not those of a quiet machine.")
    return " ".join(sentences)


def alternative(comparison: Comparison, name: str) -> str:
    """The alternative text of a plot of a comparison: what is drawn, of which models."""
    if name == "confusion":
        run = comparison.best
        return f"Confusion matrix of {run['model']}, seed {run['seed']}, and its most confident mistakes as images"
    held = ", ".join(group.label for group in comparison.groups if group.passed) or "none"
    broken = ", ".join(group.label for group in comparison.groups if not group.passed) or "none"
    return f"{CAPTIONS[name][0]}. Models that hold every limit: {held}. Models that break one: {broken}."


def comparison_part(comparison: Comparison, plots: dict[str, Plot]) -> list[str]:
    """What the page says of the models side by side."""
    groups, notes = comparison.groups, dict.fromkeys(run["note"] for run in comparison.runs if run["note"])
    parts = [f'<p class="note">Note: {text(note)}.</p>' for note in notes]
    passed = sum(group.passed for group in groups)
    of = f"{len(groups)} model{'s' * (len(groups) != 1)}"
    limits = "every limit"
    if comparison.limits:
        parameters, accuracy = comparison.limits["parameters"], 100 * comparison.limits["accuracy"]
        limits += f": fewer than {parameters:,} parameters, at least {accuracy:g}\u00a0% accuracy, exactly one epoch"
    parts.append(f"<p><strong>{passed} of {of}</strong> kept, in every run, {limits}.</p>")
    parts.append(f"<p>{text(method(comparison.runs))}</p>")
    if comparison.table:
        parts.append(html_table(comparison.table, "Models side by side: those that pass first, then by size"))
        explained = [(header, MEANINGS[name]) for name, header in comparison.columns.items() if name in MEANINGS]
        words = "; ".join(f"<strong>{text(header)}</strong>: {text(meaning)}" for header, meaning in explained)
        parts.append(f'<p class="small">{words}.</p>' * bool(explained))
    else:
        names = ", ".join(group.label for group in groups)
        parts.append(f"<p>Models: {text(names)}. A table of all figures comes with <code>--model all</code>.</p>")
    for model, reason in comparison.failures.items():
        parts.append(f"<p><strong>{text(model)}</strong> could not be run: {text(reason)}</p>")
    parts += [picture(*CAPTIONS[name], alternative(comparison, name), plot) for name, plot in plots.items()]
    if comparison.models:
        ideas = "\n".join(
            f"<dt>{text(name)}</dt><dd>{text(about['idea'])} <span class='small'>{text(about['source'])}</span></dd>"
            for name, about in comparison.models.items()
        )
        parts.append(f"<h2>The models</h2>\n<dl>\n{ideas}\n</dl>")
    return parts


def sweep_part(sweep: Sweep, plot: Plot) -> list[str]:
    """What the page says of a sweep."""
    keys, title = " and ".join(sweep.keys), f"{sweep.model} over {', '.join(sweep.keys)}"
    alt = f"Accuracy of {sweep.model} over {keys}; the best mean is at {', '.join(sweep.table[1][: len(sweep.keys)])}"
    caption = f"Mean accuracy on the {sweep.runs[0]['scored_on']} images."
    shown = picture(f"Sweep: {title}", caption, alt, plot)
    return [shown, f"<p>{text(method(sweep.runs))}</p>", html_table(sweep.table, "Points of the grid, best first")]


def page(
    comparison: Comparison | None, plots: dict[str, Plot], sweep: Sweep | None = None, sweep_plot: Plot | None = None
) -> str:
    """The whole page, from results and their plots."""
    parts = comparison_part(comparison, plots) if comparison and comparison.runs else []
    if sweep and sweep_plot:
        parts += sweep_part(sweep, sweep_plot)
    made = [part for part in (comparison, sweep) if part and part.runs]
    for part in made:
        if part.command:
            parts.append(f'<p class="small">Made by <code>{text(part.command)}</code></p>')
    versions = dict.fromkeys(
        ", ".join(f"{k} {v}" for k, v in run["versions"].items()) for part in made for run in part.runs
    )
    parts += [f'<p class="small">With {text(line)}</p>' for line in versions]
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The efficient-MNIST challenge</title>
<link rel="icon" href="data:,">
<style>
{STYLE}</style>
</head>
<body>
<main>
<h1>The efficient-MNIST challenge</h1>
{body}
</main>
</body>
</html>
"""
