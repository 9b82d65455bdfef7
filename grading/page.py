"""report.html: the class on one page that needs no network, for light and dark screens, phones and paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grading.grades import Grade, Settings, file_name, limits_of
from grading.markup import cell, document, name, row, table, text
from grading.points import Criterion, Scored, ranked
from grading.scatter import legend, measured, scatter, shape
from grading.shown import ends, points, words
from mnist_efficient_model import percent
from pages import SORTING, brief

STATUSES = ("passed", "failed", "invalid", "rejected", "timeout", "out_of_memory", "crashed", "machine_error")
NUMBERS = ("Score", "Points", "Parameters", "Accuracy", "Seconds", "Rank")  # columns of numbers
REASON, LEADERS = 140, 20  # characters of a reason, places on the leaderboard


def address(student: str) -> str:
    """Where a student's page is, from report.html."""
    return f"students/{file_name(student)}.html"


def link(student: str) -> str:
    return f'<a href="{address(student)}">{name(student)}</a>'


# --- What is asked, and counts ----------------------------------------------------------------------------------------


def asked(gradebook: Sequence[Scored], settings: Settings) -> str:
    """The limits, the data and the seeds, and the isolation that the kernel granted."""
    granted = sorted({each for scored in gradebook for each in scored.grade.isolation})
    limits, seeds = settings.limits, settings.seeds
    several = f"the median of {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return (
        f"<strong>Asked:</strong> fewer than {limits.parameters:,} parameters, at least {percent(limits.accuracy)} "
        f"of the test images of {text(settings.dataset)}, exactly one augmented epoch; {several}. "
        f"Isolation granted: {text(', '.join(['processes', *granted]))}."
    )


def notes(gradebook: Sequence[Scored], settings: Settings) -> str:
    """Paragraphs on what the table cannot say: not verified, other limits."""
    found = []
    if any(scored.grade.verified is False for scored in gradebook):
        found.append(
            "<strong>Not verified</strong>: could not become a graph of operators, or may have been trained before. "
            "The figures rest on the submission's own code; the reason says why. They are not on the leaderboard."
        )
    others = sum(limits_of(scored.grade, settings.limits) != settings.limits for scored in gradebook)
    if others:
        found.append(f"{others:,} of these grades were given under other limits, when those submissions were graded.")
    return "".join(f'<p class="small">{sentence}</p>\n' for sentence in found)


Filter = tuple[str, Callable[[Scored], bool]]


def filters(gradebook: Sequence[Scored]) -> list[Filter]:
    """What the page can be narrowed to: each status that occurs, what is not verified."""
    found = {scored.grade.status for scored in gradebook}
    statuses = [status for status in STATUSES if status in found] + sorted(found.difference(STATUSES))
    chosen: list[Filter] = [(words(each), lambda s, each=each: s.grade.status == each) for each in statuses]
    if any(scored.grade.verified is False for scored in gradebook):
        chosen.append(("not verified", lambda s: s.grade.verified is False))
    return chosen


def counts(gradebook: Sequence[Scored], chosen: Sequence[Filter]) -> tuple[str, str]:
    """Radio buttons with a count each, and the CSS by which they hide the other rows and points, without a script."""
    buttons = (
        f'<label><input type="radio" name="show" id="f0" checked> all <strong>{len(gradebook):,}</strong></label>\n'
    )
    style = ""
    for i, (label, holds) in enumerate(chosen, 1):
        count = sum(map(holds, gradebook))
        buttons += (
            f'<label><input type="radio" name="show" id="f{i}"> {text(label)} <strong>{count:,}</strong></label>\n'
        )
        style += f":root:has(#f{i}:checked) .one:not(.f{i}) {{ display: none; }}\n"
    return f'<fieldset class="counts"><legend>Show</legend>\n{buttons}</fieldset>\n', style


# --- The tables -------------------------------------------------------------------------------------------------------


def rubric_table(criteria: Sequence[Criterion]) -> str:
    """How points are given."""
    rows = []
    for criterion in criteria:
        cells = [
            cell(text(criterion.name), tag="th"),
            cell(text(words(criterion.measure))),
            cell(text(ends(criterion))),
            cell(points(criterion.points), criterion.points),
        ]
        rows.append(row(cells))
    total = sum(criterion.points for criterion in criteria)
    rows.append(row([cell("All", tag="th"), cell(""), cell(""), cell(points(total), total)], "total"))
    heads = ("Criterion", "Measure", "All points to none", "Points")
    return table(heads, rows, "The rubric", "plain", NUMBERS) + (
        '<p class="small">In proportion between the two. Parameters are counted with the numbers in buffers and '
        "constants. What could not be tested gets no points.</p>\n"
    )


def size(grade: Grade) -> str:
    """The parameters, with what else counts; sorts by their sum."""
    if grade.parameters is None:
        return cell("")
    return cell(f"{grade.parameters:,}" + (f" +{grade.buffers:,}" if grade.buffers else ""), grade.counted)


def gradebook_row(scored: Scored, kinds: str) -> str:
    """One student's cells; blank where nothing was measured."""
    grade = scored.grade
    status = f'<span class="{shape(grade.status)}">{text(words(grade.status))}</span>'
    seconds = grade.train_seconds
    cells = [
        cell(link(grade.student), tag="th"),
        cell("" if scored.score is None else points(scored.score), scored.score),
        cell(status),
        cell({True: "yes", False: "no"}.get(grade.verified, "")),
        size(grade),
        cell("" if grade.accuracy is None else percent(grade.accuracy), grade.accuracy),
        cell("" if seconds is None else f"{seconds:,.2f}", seconds),
        cell(text(brief(grade.reason, REASON)), kind="reason"),
    ]
    return row(cells, kinds)


def gradebook_table(gradebook: Sequence[Scored], kinds: Callable[[Scored], str]) -> str:
    """A row for each student; a script makes its columns sort."""
    if not gradebook:
        return "<p>Nobody has been graded yet.</p>\n"
    heads = ("Student", "Score", "Status", "Verified", "Parameters", "Accuracy", "Seconds", "Reason")
    return table(heads, [gradebook_row(s, kinds(s)) for s in gradebook], "Gradebook", "sortable", NUMBERS)


def leaderboard(gradebook: Sequence[Scored]) -> str:
    """The best of those who passed."""
    best = ranked(gradebook)
    if not best:
        return "<p>Nobody has passed yet, with a verified grade.</p>\n"
    rows = []
    for rank, scored in enumerate(best[:LEADERS], 1):
        grade = scored.grade
        cells = [
            cell(f"{rank:,}", rank),
            cell(link(grade.student), tag="th"),
            cell(percent(grade.accuracy), grade.accuracy),
            size(grade),
            cell(f"{grade.train_seconds:,.2f}", grade.train_seconds),
        ]
        rows.append(row(cells))
    found = f"The first {LEADERS} of {len(best):,}; leaderboard.csv has all. " if len(best) > LEADERS else ""
    rule = "By accuracy, then fewest parameters and other numbers, then shortest training; verified grades only."
    heads = ("Rank", "Student", "Accuracy", "Parameters", "Seconds")
    return f'<p class="small">{found}{rule}</p>\n' + table(heads, rows, "Leaderboard", "plain", NUMBERS)


# --- The page ---------------------------------------------------------------------------------------------------------


def picture(gradebook: Sequence[Scored], settings: Settings, kinds: Callable[[Scored], str]) -> str:
    """The scatter with its caption."""
    drawing = scatter(gradebook, settings.limits, address, kinds)
    if not drawing:
        return "<p>No accuracy has been measured yet.</p>\n"
    absent = len(gradebook) - len(measured(gradebook))
    without = f" {absent:,} without a measured accuracy are not shown." if absent else ""
    return (
        f"<figure>\n{drawing}<figcaption>{legend(gradebook)} The shaded corner is within the limits. Each point leads "
        f"to the student's page.{without}</figcaption>\n</figure>\n"
    )


def to_page(gradebook: Sequence[Scored], settings: Settings, criteria: Sequence[Criterion]) -> str:
    """The whole page, of grades in the order in which it shows them."""
    chosen = filters(gradebook)

    def kinds(scored: Scored) -> str:
        return " ".join(["one", *(f"f{i}" for i, (_, holds) in enumerate(chosen, 1) if holds(scored))])

    buttons, style = counts(gradebook, chosen)
    body = (
        f"<h1>Grades</h1>\n<p>{asked(gradebook, settings)}</p>\n{buttons}"
        f'<div class="overview">\n<section><h2>Accuracy over parameters</h2>\n{picture(gradebook, settings, kinds)}'
        f"</section>\n<section><h2>Rubric</h2>\n{rubric_table(criteria)}</section>\n</div>\n"
        f"<h2>Gradebook</h2>\n{notes(gradebook, settings)}{gradebook_table(gradebook, kinds)}"
        f"<h2>Leaderboard</h2>\n{leaderboard(gradebook)}"
    )
    return document("Grades", body, "class", style, SORTING)
