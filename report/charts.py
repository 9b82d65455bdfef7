"""The charts of results: each function gives a pages.chart.Chart, or None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence

from pages import percent
from pages.chart import Axis, Chart, curve_chart, short
from report.results import ACCURACY, PARAMETERS, Experiment, Group, frontier

# Published for one epoch of MNIST: parameters, accuracy, name, where. The first has more parameters than the challenge
# allows; the others are of public repositories of this challenge, one run each, as their authors report it.
PUBLISHED = [
    (215_194, 0.9904, "published, 215k", "github.com/tuomaso/train_mnist_fast: 99.04 %, 215,194 parameters"),
    (18_694, 0.9890, "published, 18.7k", "one run, self-reported: 98.90 %, 18,694 parameters"),
    (18_310, 0.9853, "published, 18.3k", "one run, self-reported: 98.53 %, 18,310 parameters"),
]
LABELS = {"parameters": "parameters", "train_seconds": "training seconds"}


def kind(group: Group) -> str:
    return "passed" if group.passed else "failed"


def title(group: Group) -> str:
    """A point's tooltip."""
    low, high, n = percent(min(group.accuracies)), percent(max(group.accuracies)), len(group.runs)
    over = f" ({low} to {high}, {n} seeds)" if n > 1 else " (one seed)"
    seconds = group.median("train_seconds")
    costs = f"{group.first.parameters:,} parameters" + ("" if seconds is None else f", {seconds:,.2f} s")
    return f"{group.label}: {percent(group.mean)} %{over}, {costs}"


def accuracy_over(groups: Sequence[Group], cost: str) -> Chart | None:
    """Accuracy over "parameters" or "train_seconds": means, ranges over seeds, what the limits allow, the frontier."""
    points = [(x, group) for group in groups if group.accuracies and (x := group.median(cost))]
    if not points:
        return None
    by_size = cost == "parameters"
    on_mnist = all((group.first.dataset, group.first.scored_on) == ("mnist", "test") for group in groups)
    published = PUBLISHED if by_size and on_mnist else []
    xs = [x for x, _ in points] + [row[0] for row in published] + [PARAMETERS] * by_size
    ys = [a for _, group in points for a in group.accuracies] + [row[1] for row in published] + [ACCURACY]
    numbers = sorted({len(group.accuracies) for _, group in points})
    seeds = "one seed each" if numbers == [1] else f"mean and range of {'-'.join(map(str, numbers))} seeds"
    legend = [("passed", f"passes ({seeds})"), ("failed", "a limit is broken"), ("region", "within the limits")]
    legend += [("frontier", "best at its cost")] + [("published", "published")] * bool(published)
    passed = [group.label for _, group in points if group.passed]
    broken = [group.label for _, group in points if not group.passed]
    words = f"Test accuracy over {LABELS[cost]}. Passed: {', '.join(passed) or 'none'}; broke a limit: "
    x, y = Axis(xs, "log", LABELS[cost]), Axis(ys, "accuracy", "test accuracy")
    chart = Chart(x, y, f"{words}{', '.join(broken) or 'none'}.", legend=legend)
    chart.area(None, PARAMETERS if by_size else None, ACCURACY, None, "region", "within the limits")
    chart.line(frontier((x, group.mean) for x, group in points), "frontier", "best at its cost", steps=True)
    for size, accuracy, name, about in published:
        chart.point(size, accuracy, "published", about, name)
    for x, group in points:
        bounds = (min(group.accuracies), max(group.accuracies)) if len(group.runs) > 1 else ()
        chart.point(x, group.mean, kind(group), title(group), group.label, bounds=bounds)
    return chart


def learning_curve(group: Group, best: Group | None = None, span: tuple[float, float] = (0.5, 0.99)) -> Chart | None:
    """Accuracy on the training images as they are seen first, of the first seed; in grey that of the best group."""
    curve = group.first.curve
    if not curve:
        return None
    end = f"{group.label}: {percent(curve[-1][1])} % of the training images at the end"
    other = (best.first.curve, f"for comparison: {best.label}") if best not in (None, group) else ()
    return curve_chart(curve, kind(group), end, *other, span=span)


def sweep(experiment: Experiment) -> Chart | None:
    """Mean accuracy over one numeric setting, with the range over seeds; None for other grids."""
    points = [(values[0], group) for values, group in experiment.points if len(values) == 1]
    scored = sorted((x, group.mean, group) for x, group in points if isinstance(x, (int, float)) and group.accuracies)
    if len(scored) < 2 or len(scored) < sum(bool(group.accuracies) for _, group in points):
        return None
    xs, key = [x for x, *_ in scored], experiment.keys[0]
    scale = "log" if xs[0] > 0 and xs[-1] >= 10 * xs[0] else "linear"
    y = Axis([a for *_, group in scored for a in group.accuracies], "accuracy", "accuracy")
    first = scored[0][2].first
    chart = Chart(
        Axis(xs, scale, key), y, f"Accuracy of {first.model} over {key}; scored on the {first.scored_on} images"
    )
    chart.line([(x, mean) for x, mean, _ in scored], "mean")
    for x, mean, group in scored:
        bounds = (min(group.accuracies), max(group.accuracies)) if len(group.runs) > 1 else ()
        chart.point(
            x, mean, "other", f"{key} {short(x)}: {percent(mean)} %, n={len(group.runs)}", percent(mean), bounds=bounds
        )
    return chart
