"""report.html: one page that needs nothing beside it, for light and dark screens, desks, phones and paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from report.models import COLUMNS, anchor, articles, figures, text
from report.results import Comparison, Experiment, Run, scored_on

STYLE, SCRIPT = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))

MEANINGS = {  # of the columns of the table, by the field of a run that they show: header, what it is
    "parameters": ("params", "parameters, frozen ones too, a shared one once"),
    "test_accuracy": ("acc. %", "fraction of all test images classified correctly, rounded down, mean over the seeds"),
    "train_seconds": ("train s", "training time with augmentation, without loading and scoring, median"),
    "macs": ("kMAC", "thousands of multiply-accumulates of one inference"),
    "latency_ms": ("ms", "median time of one image on one thread, in milliseconds"),
    "peak_memory_mb": ("MB", "most memory of the training process at once, PyTorch and data included"),
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
        "The first seed of each model; in grey, for comparison, the most accurate one.",
    ),
    "per_class_accuracy": ("Accuracy per class", "Mean over the seeds, in per cent of the test images of the class."),
    "confusion": (
        "Confusion matrix and mistakes",
        "Rows are true classes, columns predictions; colour shows mistakes only. Beside it the mistakes made with the "
        "most confidence.",
    ),
    "confusions": (
        "What each model confuses",
        "Mistakes over all seeds: rows are true classes, columns predictions, each matrix has its own scale.",
    ),
}
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def is_bad(cell: str) -> bool:
    """Whether a cell of the table says that a limit is broken: NO, or 3/5 runs."""
    done, _, of = cell.partition("/")
    return cell == "NO" or (done.isdigit() and of.isdigit() and done != of)


def best_cells(comparison: Comparison) -> set[tuple[str, str]]:
    """(model, header) of the best of each column, among the models that keep every limit, or among all if none does."""
    groups = [group for group in comparison.groups if group.passed] or comparison.groups
    found = set()
    for name, (header, _) in MEANINGS.items():
        accuracy = name == "test_accuracy"
        costs = [(group.label, group.mean if accuracy else group.median(name)) for group in groups]
        values = [value for _, value in costs if value is not None]
        if len(set(values)) > 1:
            best = (max if accuracy else min)(values)
            found |= {(label, header) for label, value in costs if value == best}
    return found


def html_table(rows: Sequence[Sequence[str]], caption: str, comparison: Comparison | None = None) -> str:
    """Rows of text, header first, which names the columns; the first column names the row and, for models, leads to
    what the page tells of it."""
    best = best_cells(comparison) if comparison else set()
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in rows[0])
    lines = []
    for name, *cells in rows[1:]:
        target = anchor(comparison, name) if comparison else None
        first = f'<a href="#{target}">{text(name)}</a>' if target else text(name)
        others = ""
        for header, cell in zip(rows[0][1:], cells, strict=True):
            kind = "bad" if is_bad(cell) else "best" if (name, header) in best else ""
            others += f'<td class="{kind}">{text(cell)}</td>' if kind else f"<td>{text(cell)}</td>"
        lines.append(f'<tr><th scope="row">{first}</th>{others}</tr>')
    body = "\n".join(lines)
    return (
        f'<p class="small">{text(caption)}</p>\n'
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}"><table class="sortable">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def picture(title: str, caption: str, svg: str) -> str:
    """A plot with its caption."""
    return (
        f"<figure>\n<h2>{text(title)}</h2>\n<figcaption>{text(caption)}</figcaption>\n"
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(title)}">{svg}</div>\n</figure>'
    )


def values(runs: Sequence[Run], name: str) -> str:
    """The values of a field that occur in the runs."""
    return ", ".join(dict.fromkeys(f"{run[name]:,}" if isinstance(run[name], int) else run[name] for run in runs))


def method(runs: Sequence[Run]) -> str:
    """How the runs were made, in a sentence."""
    seeds = len({run["seed"] for run in runs})
    return (
        f"Each run is one augmented epoch over the {values(runs, 'train_images')} training images of "
        f"{values(runs, 'dataset')}, with {seeds} seed{'s' * (seeds > 1)}, scored on the "
        f"{', '.join(dict.fromkeys(map(scored_on, runs)))}, each looked at once."
    )


def label(name: str, comparison: Comparison) -> str:
    """What a plot of a comparison shows, in words."""
    if name == "confusion":
        run = comparison.best
        return f"Confusion matrix of {run['model']}, seed {run['seed']}, and its most confident mistakes as images"
    held = ", ".join(group.label for group in comparison.groups if group.passed) or "none"
    broken = ", ".join(group.label for group in comparison.groups if not group.passed) or "none"
    return f"{CAPTIONS[name][0]}. Models that keep every limit: {held}. Models that break one: {broken}."


def experiment_label(experiment: Experiment) -> str:
    """What the plot of an experiment shows, in words."""
    if experiment.kind != "sweep":
        return f"Accuracy over parameters: {', '.join(row[0] for row in experiment.table[1:])}"
    best = ", ".join(experiment.table[1][: len(experiment.keys)])
    return f"Accuracy of {experiment.runs[0]['model']} over {' and '.join(experiment.keys)}; the best mean is at {best}"


def verdict(comparison: Comparison) -> list[str]:
    """What must be known of the data, how many models keep the limits, how they were run."""
    notes = dict.fromkeys(run["note"] for run in comparison.runs if run["note"])
    parts = [f'<p class="note">Note: {text(note)}.</p>' for note in notes]
    n, limits = len(comparison.groups), "every limit"
    if comparison.limits:
        parameters, accuracy = comparison.limits["parameters"], 100 * comparison.limits["accuracy"]
        limits += f": fewer than {parameters:,} parameters, at least {accuracy:g}\u00a0% accuracy, exactly one epoch"
    passed = sum(group.passed for group in comparison.groups)
    parts.append(f"<p><strong>{passed} of {n} model{'s' * (n != 1)}</strong> kept, in every run, {limits}.</p>")
    return [*parts, f"<p>{text(method(comparison.runs))}</p>"]


def comparison_part(comparison: Comparison, plots: dict[str, str]) -> list[str]:
    """What the page says of the models side by side; ``plots`` are <svg> elements by the names of CAPTIONS."""
    parts = verdict(comparison)
    among = "those that keep every limit" if any(group.passed for group in comparison.groups) else "all"
    caption = f"Those that pass first, then by size. Underlined: the best of a column among {among}"
    rows = [["model", *COLUMNS], *([group.label, *figures(group).values()] for group in comparison.groups)]
    parts.append(html_table(rows, caption, comparison))
    words = "; ".join(f"<strong>{header}</strong>: {meaning}" for header, meaning in MEANINGS.values())
    parts.append(f'<p class="small">{words}.</p>')
    for model, reason in comparison.failures.items():
        parts.append(f"<p><strong>{text(model)}</strong> could not be run: {text(reason)}</p>")
    parts += [picture(*CAPTIONS[name], plots[name]) for name in CAPTIONS if name in plots]
    return [*parts, articles(comparison)]


def experiment_part(experiment: Experiment, svg: str | None) -> list[str]:
    """What the page says of an experiment: its question, its plot if it has one, and its table."""
    keys = f": {', '.join(experiment.keys)}" if experiment.keys else ""
    title = f"{experiment.name.capitalize()}{keys}"
    parts = [picture(title, experiment.question, svg)] if svg else [f"<h2>{text(title)}</h2>"]
    if experiment.note:
        parts.append(f'<p class="note">Note: {text(experiment.note)}.</p>')
    return [*parts, html_table(experiment.table, experiment.question)]


def made(runs: Sequence[Run], command: str = "") -> str:
    """The command, the machine and the versions behind runs or an experiment."""
    rows = {"Command": command and f"<code>{text(command)}</code>"}
    if runs:
        versions = dict.fromkeys(", ".join(f"{k} {v}" for k, v in run["versions"].items()) for run in runs)
        rows |= {"Device": text(values(runs, "device")), "Threads": f"{text(values(runs, 'threads'))} in each run"}
        rows["Versions"] = "<br>".join(map(text, versions))
    return '<dl class="made">' + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows.items() if v) + "</dl>"


def page(comparison: Comparison | None, experiments: Sequence[Experiment], plots: dict[str, str]) -> str:
    """The whole page; ``plots`` are <svg> elements by the names of CAPTIONS and of experiments."""
    parts = comparison_part(comparison, plots) if comparison and comparison.runs else []
    for experiment in experiments:
        parts += experiment_part(experiment, plots.get(experiment.name))
    parts += ["<h2>How it was made</h2>"]
    parts += [made(comparison.runs)] if comparison and comparison.runs else []
    parts += [made(experiment.runs, experiment.command) for experiment in experiments]
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
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
<script>
{SCRIPT}</script>
</body>
</html>
"""
