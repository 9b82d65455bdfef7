"""report.html: one page that needs nothing beside it, for light and dark screens, desks, phones and paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from report.models import anchor, articles, text
from report.results import Comparison, Group, Run, Sweep, scored_on

STYLE, SCRIPT = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))

# What a column of the table holds, by the field of a run that it shows; and whether the most or the least is best.
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
BEST = {name: max if name == "test_accuracy" else min for name in MEANINGS}
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
    "efficiency": (
        "Efficiency",
        "Medians over the seeds. The energy is an estimate from the number of operations, without memory traffic.",
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
    for name, header in comparison.columns.items():
        measured: list[tuple[float, Group]] = []
        for group in groups if name in BEST else ():
            value = group.mean if name == "test_accuracy" else group.median(name)
            measured += [] if value is None else [(value, group)]
        if len({value for value, _ in measured}) > 1:
            best = BEST[name](value for value, _ in measured)
            found |= {(group.label, header) for value, group in measured if value == best}
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
    """How the runs were made, as far as they agree; a sentence each."""
    seeds, jobs = len({run["seed"] for run in runs}), max(run["jobs"] for run in runs)
    sentences = [
        f"Each run is one augmented epoch over the {values(runs, 'train_images')} training images of "
        f"{values(runs, 'dataset')}, with {seeds} seed{'s' * (seeds > 1)}, scored on the "
        f"{', '.join(dict.fromkeys(map(scored_on, runs)))}, each looked at once."
    ]
    if jobs > 1:
        sentences.append(f"Up to {jobs} runs went on at the same time: seconds are not those of a quiet machine.")
    return " ".join(sentences)


def label(name: str, comparison: Comparison) -> str:
    """What a plot of a comparison shows, in words."""
    if name == "confusion":
        run = comparison.best
        return f"Confusion matrix of {run['model']}, seed {run['seed']}, and its most confident mistakes as images"
    held = ", ".join(group.label for group in comparison.groups if group.passed) or "none"
    broken = ", ".join(group.label for group in comparison.groups if not group.passed) or "none"
    return f"{CAPTIONS[name][0]}. Models that keep every limit: {held}. Models that break one: {broken}."


def sweep_label(sweep: Sweep) -> str:
    """What the plot of a sweep shows, in words."""
    best = ", ".join(sweep.table[1][: len(sweep.keys)])
    return f"Accuracy of {sweep.model} over {' and '.join(sweep.keys)}; the best mean is at {best}"


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
    if comparison.table:
        among = "those that keep every limit" if any(group.passed for group in comparison.groups) else "all"
        caption = f"Those that pass first, then by size. Underlined: the best of a column among {among}"
        parts.append(html_table(comparison.table, caption, comparison))
        explained = [(header, MEANINGS[name]) for name, header in comparison.columns.items() if name in MEANINGS]
        words = "; ".join(f"<strong>{text(header)}</strong>: {text(meaning)}" for header, meaning in explained)
        parts.append(f'<p class="small">{words}.</p>' * bool(explained))
    for model, reason in comparison.failures.items():
        parts.append(f"<p><strong>{text(model)}</strong> could not be run: {text(reason)}</p>")
    parts += [picture(*CAPTIONS[name], plots[name]) for name in CAPTIONS if name in plots]
    return [*parts, articles(comparison)]


def sweep_part(sweep: Sweep, svg: str) -> list[str]:
    """What the page says of a sweep."""
    title = f"Sweep: {sweep.model} over {', '.join(sweep.keys)}"
    shown = picture(title, f"Mean accuracy on the {scored_on(sweep.runs[0])}.", svg)
    return [shown, f"<p>{text(method(sweep.runs))}</p>", html_table(sweep.table, "Points of the grid, best first")]


def made(part: Comparison | Sweep) -> str:
    """The command, the machine and the versions behind a comparison or a sweep."""
    versions = dict.fromkeys(", ".join(f"{k} {v}" for k, v in run["versions"].items()) for run in part.runs)
    rows = {
        "Command": part.command and f"<code>{text(part.command)}</code>",
        "Device": text(values(part.runs, "device")),
        "Threads": text(f"{values(part.runs, 'threads')} in each run, {values(part.runs, 'jobs')} at the same time"),
        "Versions": "<br>".join(map(text, versions)),
    }
    return '<dl class="made">' + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows.items() if v) + "</dl>"


def page(comparison: Comparison | None, sweep: Sweep | None, plots: dict[str, str]) -> str:
    """The whole page, from results and their plots: <svg> elements by the names of CAPTIONS, and ``sweep``."""
    parts = comparison_part(comparison, plots) if comparison and comparison.runs else []
    if sweep:
        parts += sweep_part(sweep, plots["sweep"])
    parts += ["<h2>How it was made</h2>", *(made(part) for part in (comparison, sweep) if part and part.runs)]
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
