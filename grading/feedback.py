"""What a student gets back: how far the model lies from each limit, what to do next, and both as text.

One definition for the terminal, the student's page and the platforms. It holds nothing of any other student's grade.
"""

from __future__ import annotations

import html
import shlex

from grading.grades import SCORED, Grade, diagnosis, margins
from grading.points import Scored
from grading.sandbox.watch import safe_text
from mnist_efficient_model import Limits

GUESSING = 0.2  # accuracy up to which a model has learned next to nothing; guessing gives 0.1
FEWER_PARAMETERS = (
    "What usually helps: average over all positions (nn.AdaptiveAvgPool2d(1)) before the last linear layer instead of "
    "flattening all of a map into a wide one; fewer channels, since half as many in two layers that follow each other "
    "make a quarter of the weights between them; narrower linear layers."
)
MODES = (
    "BatchNorm and dropout belong into __init__ as nn.BatchNorm2d and nn.Dropout; the functions of "
    "torch.nn.functional need training=self.training."
)
LEARNED_NOTHING = (
    "It learned next to nothing: check that layers are attributes (or in an nn.ModuleList), that nothing cuts the "
    "gradient (detach, .data, argmax), and that forward returns logits; then try another lr in RECIPE."
)
ANSWERED_ALONE = (
    "Its answers to an image depend on the other images of a batch, or are random, so each was answered alone. In eval "
    "mode BatchNorm must use its running statistics (not track_running_stats=False) and dropout must be off "
    "(nn.Dropout, or F.dropout with training=self.training)."
)
WELL_DONE = (
    "Well done: every limit holds, and none is close. Now try it with fewer parameters than {:,}, or climb the "
    "leaderboard: it ranks by accuracy, then by fewest parameters. How small a model can be is shown by: "
    "python mnist_efficient_model.py --list-models"
)


def next_steps(grade: Grade, limits: Limits) -> list[str]:
    """What to do next, the most useful first; one plain sentence or two each."""
    if grade.status == "machine_error":
        return ["Nothing: the grading machine failed, not your model. It will be graded again."]
    if grade.status in SCORED:
        steps = [*size_steps(grade, limits), *accuracy_steps(grade, limits)]
        if any(run.one_by_one for run in grade.runs):
            steps.append(ANSWERED_ALONE)
    else:
        steps = [grade.advice] if grade.advice else []
    steps += [f"Not verified: {reason}. {advice}".strip() for reason, advice in grade.unverified_because]
    if grade.status != "passed":
        check = shlex.join(["python", "-m", "grading.check", "model.py", *grade.settings.get("options", ())])
        return [*steps, f"Check it before you hand it in again: {check}"]
    return steps or [WELL_DONE.format(grade.counted)]


def size_steps(grade: Grade, limits: Limits) -> list[str]:
    """How to come below the limit of parameters."""
    if grade.counted is None or grade.counted < limits.parameters:
        return []
    first = f"Take out at least {grade.counted - limits.parameters + 1:,} parameters."
    if grade.largest and 2 * grade.largest[1] > grade.counted:
        first += f" Most of them are in {grade.largest[0]}, which has {grade.largest[1]:,}."
    if grade.buffers and grade.buffers > grade.parameters:
        return [first, "Buffers and constants count too: compute tables where they are used, or do without them."]
    return [first, FEWER_PARAMETERS]


def accuracy_steps(grade: Grade, limits: Limits) -> list[str]:
    """How to come above the limit of accuracy, or further above it."""
    margin = next((margin for margin in margins(grade, limits) if margin.what == "accuracy"), None)
    if margin is None or (margin.holds and not margin.close):
        return []
    spare = limits.parameters - grade.counted - 1
    helps = "what usually helps is BatchNorm after each convolution, no dropout (one epoch cannot overfit), logits "
    helps += "without softmax, and another lr or a smaller batch_size in RECIPE"
    if spare >= limits.parameters // 10:
        helps += f"; {spare:,} parameters are left, best used in convolutions"
    runs, diverged = len(grade.runs), [run.diverged_at for run in grade.runs if run.diverged_at]
    if margin.holds:
        below = sum(run.accuracy < limits.accuracy for run in grade.runs)
        seeds = f"{below} of {runs} seeds lie below it, and another" if below else "Another"
        return [
            f"The accuracy holds, but is close to the limit. {seeds} grading may end on the other side. For more "
            f"margin, {helps}."
        ]
    if diverged:
        return [
            f"The loss stopped being a number at step {diverged[0]:,} in {len(diverged)} of {runs} runs: set a smaller "
            'learning rate, as in RECIPE = {"lr": 0.003}, then a third of it, and put BatchNorm before activations.'
        ]
    if cause := diagnosis(grade):
        return [f"{cause[0].upper()}{cause[1:]}. {MODES}"]
    if grade.accuracy < GUESSING:
        return [LEARNED_NOTHING]
    near = "It is close to the limit, but" if margin.close else "It"
    return [f"{near} learned too little in its one epoch: {helps}."]


# --- As text ----------------------------------------------------------------------------------------------------------


def sections(scored: Scored, limits: Limits) -> dict[str, list[str]]:
    """The lines under each heading, with what a student or teacher wrote on one line and without control characters."""
    grade = scored.grade
    given = [(criterion, "-" if part is None else f"{part:g}") for criterion, part in scored.parts]
    found = {
        "Points": [f"{part} of {criterion.points}: {criterion.name}" for criterion, part in given],
        "Limits": [f"{'holds' if m.holds else 'broken'}: {m.sentence}" for m in margins(grade, limits)],
        "Next": next_steps(grade, limits),
    }
    return {title: [safe_text(line, 1000) for line in lines] for title, lines in found.items() if lines}


def verdict(scored: Scored) -> str:
    """``eve: passed, verified, 100 of 100 points``; without points where there are none."""
    verified = {True: "verified", False: "not verified"}.get(scored.grade.verified)
    points = None if scored.score is None else f"{scored.score:g} of {scored.max_score} points"
    parts = filter(None, [scored.grade.status.replace("_", " "), verified, points])
    return f"{safe_text(scored.grade.student, 80)}: {', '.join(parts)}"


def to_text(scored: Scored, limits: Limits) -> str:
    """All of it for a terminal or a plain comment; ends with a line break."""
    lines = [verdict(scored), f"  {safe_text(scored.grade.reason)}"]
    for title, below in sections(scored, limits).items():
        lines += [title, *(f"  - {line}" for line in below)]
    return "\n".join(lines) + "\n"


def to_markdown(scored: Scored, limits: Limits) -> str:
    """All of it in Markdown, what a student or teacher wrote escaped; ends with a line break."""
    lines = [f"### {plain(verdict(scored))}", "", plain(safe_text(scored.grade.reason))]
    for title, below in sections(scored, limits).items():
        lines += ["", f"**{title}**", "", *(f"- {plain(line)}" for line in below)]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"&#{ord(c)};" if c in r"\`*_{}[]|~!@" else c for c in html.escape(text))
