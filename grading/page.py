"""report.html: the class on one page, for its teacher."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from grading.grades import Grade, Settings, file_name, limits_of
from grading.points import Criterion, Scored, ranked
from mnist_efficient_model import Limits, percent
from pages import Cell, brief, heads, number, render
from pages.chart import Axis, Chart

TITLE = "The efficient-MNIST challenge"
STATUSES = ("passed", "failed", "invalid", "rejected", "timeout", "out_of_memory", "crashed", "machine_error")
KINDS = {"passed": "passed", "failed": "failed", "other": "other"}  # CSS class of a status -> what it means
SHOWN = {"accuracy": percent, "parameters": "{:,.0f}".format, "train_seconds": "{:,.2f} s".format}  # values of measures
REASON, LEADERS, BARS, SIZE = 140, 10, 10, (480, 330)  # characters, places, of the histogram, of both charts


def kind(status: str) -> str:
    """The key of KINDS of a status."""
    return status if status in KINDS else "other"


def words(grade: Grade) -> str:
    """The status in words."""
    return grade.status.replace("_", " ") + ", not verified" * (grade.verified is False)


def points(value: float) -> str:
    """Points, with a tenth where there is one."""
    return f"{value:,.1f}".removesuffix(".0")


def asked(limits: Limits, dataset: str, seeds: Sequence[int]) -> str:
    """The assignment in a sentence."""
    judged = f", judged on the median of {len(seeds)} seeds" if len(seeds) > 1 else ""
    share = f"at least {percent(limits.accuracy)} of the test images of {dataset}"
    return f"Fewer than {limits.parameters:,} parameters, {share}, exactly one augmented epoch{judged}."


def ends(criterion: Criterion) -> tuple[str, str]:
    """Where a criterion gives all points and where none; blank where it has no such ends."""
    if criterion.measure not in SHOWN:
        return "", ""
    write, full, zero = SHOWN[criterion.measure], criterion.full, criterion.zero
    better, worse = ("or less", "or more") if full < zero else ("or more", "or less")
    return f"{write(full)} {better}", f"{write(zero)} {worse}"


def filters(gradebook: Sequence[Scored]) -> list[tuple[str, Callable[[Scored], bool]]]:
    """What the page can be narrowed to: each status that occurs, what is not verified."""
    found = {scored.grade.status for scored in gradebook}
    statuses = [status for status in STATUSES if status in found] + sorted(found.difference(STATUSES))
    chosen = [(each.replace("_", " "), lambda s, each=each: s.grade.status == each) for each in statuses]
    unverified = ("not verified", lambda s: s.grade.verified is False)
    return [*chosen, unverified] if any(map(unverified[1], gradebook)) else chosen


def scatter(gradebook: Sequence[Scored], limits: Limits, classes: Callable[[Scored], str]) -> Chart | None:
    """Accuracy over parameters; each point leads to the student's page and is hollow where it is not verified."""
    drawn = [s for s in gradebook if s.grade.accuracy is not None and s.grade.parameters is not None]
    if not drawn:
        return None
    x = Axis([limits.parameters, *(max(1, s.grade.counted) for s in drawn)], "log", "parameters")
    y = Axis([limits.accuracy, *(s.grade.accuracy for s in drawn)], "accuracy", "test accuracy")
    legend = [(each, meaning) for each, meaning in KINDS.items() if any(kind(s.grade.status) == each for s in drawn)]
    legend += [("published", "not verified")] * any(s.grade.verified is False for s in drawn)
    chart = Chart(x, y, f"Accuracy over parameters of {len(drawn):,} submissions", SIZE, [*legend, ("region", "asked")])
    chart.area(None, limits.parameters, limits.accuracy, None, "region", "within the limits")
    for scored in sorted(drawn, key=lambda s: s.grade.status == "passed"):
        grade = scored.grade
        title = f"{brief(grade.student)}: {words(grade)}, {percent(grade.accuracy)}, {grade.counted:,} parameters"
        more = f"{classes(scored)}{' hollow' * (grade.verified is False)}"
        href = f"students/{file_name(grade.student)}.html"
        chart.point(max(1, grade.counted), grade.accuracy, kind(grade.status), title, href=href, classes=more)
    return chart


def histogram(gradebook: Sequence[Scored]) -> Chart | None:
    """How many have how many points; bars are divided by status."""
    found = [scored for scored in gradebook if scored.score is not None and scored.max_score]
    if not found:
        return None
    bars: list[list[str]] = [[] for _ in range(BARS)]
    for scored in found:
        bars[min(BARS - 1, int(BARS * scored.score / scored.max_score))].append(kind(scored.grade.status))
    most, width = max(map(len, bars)), found[0].max_score / BARS
    legend = [(each, meaning) for each, meaning in KINDS.items() if any(each in bar for bar in bars)]
    x, y = Axis([0, found[0].max_score], "linear", "points", 0), Axis([0, 1.05 * most], "count", "students", 0)
    chart = Chart(x, y, f"Histogram of the points of {len(found):,} students", SIZE, legend)
    for i, bar in enumerate(bars):
        below, left, right = 0, i * width, (i + 1) * width
        for each, meaning in KINDS.items():
            if count := bar.count(each):
                title = f"{left:g} to {right:g} points: {count:,} {meaning}"
                chart.area(left + 0.04 * width, right - 0.04 * width, below, below + count, each, title)
                below += count
    return chart


def row(scored: Scored, rank: int | None) -> list[Cell]:
    """A student's row of the gradebook; blank where nothing was measured, the reason where all is well."""
    grade = scored.grade
    unverified = "; ".join(reason for reason, _ in grade.unverified_because)
    reason = unverified if grade.status == "passed" else grade.reason
    others = f" +{grade.buffers:,}" if grade.buffers else ""
    return [
        Cell(brief(grade.student), href=f"students/{file_name(grade.student)}.html"),
        number(scored.score, points),
        number(rank),
        Cell(words(grade), kind=kind(grade.status)),
        number(grade.counted, lambda _: f"{grade.parameters:,}{others}"),
        number(grade.accuracy, percent),
        number(grade.train_seconds, "{:,.2f}".format),
        Cell(brief(reason, REASON), kind="prose"),
    ]


def class_page(gradebook: Sequence[Scored], settings: Settings, criteria: Sequence[Criterion]) -> str:
    """The whole page, of grades in the order in which it shows them."""
    chosen = [(f"f{i}", *each) for i, each in enumerate(filters(gradebook))]

    def classes(scored: Scored) -> str:
        return " ".join(["one", *(name for name, _, holds in chosen if holds(scored))])

    best = ranked(gradebook)
    ranks = {scored.grade.student: rank for rank, scored in enumerate(best, 1)}
    scores = [scored.score for scored in gradebook if scored.score is not None]
    most = sum(criterion.points for criterion in criteria)
    names = ("Student", "Score", "Rank", "Status", "Parameters", "Accuracy", "Seconds", "Reason")
    return render(
        Path(__file__).parent / "class.html",
        title=f"Grades: {TITLE}",
        asked=asked(settings.limits, settings.dataset, settings.seeds),
        date=max((scored.grade.date for scored in gradebook), default="")[:16].replace("T", " "),
        isolation=["processes", *sorted({each for scored in gradebook for each in scored.grade.isolation})],
        facts={
            "students": f"{len(gradebook):,}",
            "passed": f"{sum(scored.grade.status == 'passed' for scored in gradebook):,}",
            "mean score": f"{points(statistics.fmean(scores))} of {most}" if scores else "",
            "median score": f"{points(statistics.median(scores))} of {most}" if scores else "",
        },
        scatter=scatter(gradebook, settings.limits, classes),
        histogram=histogram(gradebook),
        unmeasured=sum(scored.grade.accuracy is None for scored in gradebook),
        unverified=any(scored.grade.verified is False for scored in gradebook),
        others=sum(limits_of(scored.grade, settings.limits) != settings.limits for scored in gradebook),
        choices=[
            ("one", "all", len(gradebook)),
            *((name, label, sum(map(holds, gradebook))) for name, label, holds in chosen),
        ],
        heads=heads(names, names[1:3] + names[4:7]),
        rows=[row(scored, ranks.get(scored.grade.student)) for scored in gradebook],
        kinds=[classes(scored) for scored in gradebook],
        leaders=[row(scored, rank) for rank, scored in enumerate(best[:LEADERS], 1)],
        ranked=len(best),
        rubric_heads=heads(("Criterion", "All points at", "None at", "Points"), ("Points",)),
        rubric=[[each.name, *ends(each), number(each.points)] for each in criteria],
    )
