"""What is handed back to a student: how far the model lies from each limit, what to do next, and both as text.

One definition for the terminal, the student's page and what the platforms show. It speaks of one student's grade only.
"""

from __future__ import annotations

import html
import shlex
from typing import Any

from grading.grades import Grade, Run
from grading.margins import margins
from grading.rubric import SCORED, Scored
from grading.sandbox.watch import safe_text
from mnist_efficient_model import Limits, percent

EVAL_GAP = 0.1  # accuracy in training minus accuracy when tested, from which on eval() is to blame: see diagnosis
GUESSING = 0.2  # accuracy up to which a model has learned next to nothing; chance is 0.1


# --- What to do next --------------------------------------------------------------------------------------------------


def diagnosis(grade: Grade) -> str:
    """What may be behind a low accuracy, or "" where the figures do not tell."""
    middle = next((run for run in grade.runs if run.accuracy == grade.accuracy), Run(0))
    if middle.diverged_at:
        return f"the loss stopped being a number at step {middle.diverged_at:,}: set a smaller lr in RECIPE"
    if middle.train_accuracy is not None and middle.train_accuracy - grade.accuracy > EVAL_GAP:
        reached = f"it reached {percent(middle.train_accuracy)} in training, but not when tested: "
        return reached + "mind what it does otherwise in eval(), and keep what it learns in nn.Parameter"
    return ""


def next_steps(grade: Grade, limits: Limits) -> list[str]:
    """What to do next, the most useful first; one plain sentence or two each."""
    if grade.status == "machine_error":
        return ["Nothing: the grading machine failed, not your model. It will be graded again."]
    if grade.status in SCORED:
        steps = [*size_steps(grade, limits), *accuracy_steps(grade, limits), *alone_steps(grade)]
    else:
        steps = trouble_steps(grade)
    steps += doubt_steps(grade)
    if grade.status != "passed":
        return [*steps, f"Check it before you hand it in again: {check_command(grade, limits)}"]
    return steps or ["Well done: every limit holds, with room to spare. There is nothing else to do."]


def size_steps(grade: Grade, limits: Limits) -> list[str]:
    found = [margin for margin in margins(grade, limits) if margin.what == "parameters"]
    if not found or found[0].holds:
        return []
    steps = [f"Take out at least {found[0].measured - limits.parameters + 1:,} parameters."]
    if grade.largest and 2 * grade.largest[1] > found[0].measured:
        steps[0] += f" Most of them are in {grade.largest[0]}, which has {grade.largest[1]:,}."
    if grade.buffers and grade.buffers > grade.parameters:
        return [*steps, "Buffers and constants count too: compute tables where they are used, or do without them."]
    return [
        *steps,
        "The usual cures: average over all positions (nn.AdaptiveAvgPool2d(1)) before the last linear layer instead of "
        "flattening a whole map into a wide one; fewer channels, since half as many in two layers that follow each "
        "other make a quarter of the weights between them; narrower linear layers.",
    ]


def accuracy_steps(grade: Grade, limits: Limits) -> list[str]:
    found = [margin for margin in margins(grade, limits) if margin.what == "accuracy"]
    if not found or (found[0].holds and not found[0].close):
        return []
    if found[0].holds:
        below = sum(run.accuracy < limits.accuracy for run in grade.runs)
        seeds = f"{below} of {len(grade.runs)} seeds lie below it, and another" if below else "Another"
        return [
            f"The accuracy holds, but is close to the limit. {seeds} grading may come out on the other side. "
            f"For more margin, {improvements(grade, limits)}"
        ]
    diverged = [run.diverged_at for run in grade.runs if run.diverged_at]
    if diverged:
        return [
            f"The loss stopped being a number at step {diverged[0]:,} in {len(diverged)} of {len(grade.runs)} runs: "
            'set a smaller learning rate, as in RECIPE = {"lr": 0.003}, then a third of it, and put BatchNorm before '
            "the activations."
        ]
    if cause := diagnosis(grade):
        return [
            f"{cause[0].upper()}{cause[1:]}. BatchNorm and dropout belong into __init__ as nn.BatchNorm2d and "
            "nn.Dropout; the functions of torch.nn.functional need training=self.training."
        ]
    if grade.accuracy < GUESSING:
        return [
            "It learned next to nothing: check that layers are attributes (or in an nn.ModuleList), that nothing cuts "
            "the gradient (detach, .data, argmax), and that forward returns logits; then try another lr in RECIPE."
        ]
    near = "It is close to the limit, but" if found[0].close else "It"
    return [f"{near} learned too little in its one epoch: {improvements(grade, limits)}"]


def improvements(grade: Grade, limits: Limits) -> str:
    """What usually makes a small model more accurate within its one epoch."""
    spare = limits.parameters - grade.parameters - (grade.buffers or 0)
    words = "what usually helps is BatchNorm after each convolution, no dropout (one epoch cannot overfit), logits "
    words += "without softmax, and another lr or a smaller batch_size in RECIPE"
    if spare > limits.parameters // 10:
        words += f"; {spare - 1:,} parameters are left, best used in convolutions"
    return words + "."


def alone_steps(grade: Grade) -> list[str]:
    if not any(run.one_by_one for run in grade.runs):
        return []
    return [
        "Its answers to an image depend on the other images of a batch, or on chance, so each was answered alone. In "
        "eval mode BatchNorm must use its running statistics (not track_running_stats=False) and dropout must be off "
        "(nn.Dropout, or F.dropout with training=self.training)."
    ]


MAIN = 'if __name__ == "__main__":'
DOUBT_CURES = (  # words of a doubt, and what removes it
    ("bytes long when compressed", "Keep only the model in its file: take long tables, strings and data out."),
    ("do not depend on the seed", "Start from random weights (torch.nn.init), not from fixed numbers."),
    ("backward", "Build it of PyTorch's own operations, whose gradients PyTorch knows, without backward hooks."),
    ("numbers in a tensor", "Replace if, while, float() and .item() on values of tensors by torch.where or clamp."),
    ("torch.jit", "Hand in the nn.Module itself, without torch.jit."),
    ("", "Make forward a fixed list of PyTorch operations on its input: nothing kept between calls, no random Python."),
)


def doubt_steps(grade: Grade) -> list[str]:
    cures = [next(cure for words, cure in DOUBT_CURES if words in doubt) for doubt in grade.doubts]
    return [f"Not verified: {doubt}. {cure}" for doubt, cure in zip(grade.doubts, cures, strict=True)]


ONLY_DEFINE = "Importing the file must only define the model: move training, downloads and prints under " + MAIN
TROUBLE_CURES = {  # status: (words of the reason, what to do); the first whose words are there
    "invalid": (
        ("not verified, and only verified", ""),  # doubt_steps says it
        ("which of these is the model", "Put the model into a file model.py at the top of what you hand in."),
        ("there is no model.py", "Put the model into a file model.py at the top of what you hand in."),
        ("notebook", "Copy the cell with the model's class into a file model.py, with its imports."),
        ("the grading machine does not have", "Take that import out, or make it only where your plots need it."),
        (MAIN, ONLY_DEFINE),
        ("RECIPE", "RECIPE may hold batch_size, lr, optimizer, weight_decay and label_smoothing, as plain values."),
        ("images give", "forward takes (N, 1, 28, 28) and must return (N, 10): ten logits for each image."),
        ("", "Correct the line that the reason names. The model is an nn.Module that is made without arguments, takes "
         "(N, 1, 28, 28) and returns (N, 10)."),
    ),
    "timeout": (
        ("'import'", ONLY_DEFINE),
        ("", "Make it faster: fewer channels, earlier pooling, no Python loops over images or pixels in forward."),
    ),
    "out_of_memory": (("", "Make it smaller: fewer channels at full resolution, earlier pooling, a smaller batch."),),
    "crashed": (("", "Its process died: leave out what is not PyTorch (threads, ctypes, exits, compiled code)."),),
    "rejected": (
        ("is a link", "Hand in the file itself instead of a link."),
        ("trained before", "A model must start untrained: take loaded weights and fixed tables out."),
        ("memorised", "The model must read digits, not recognise stored images: take what it stores out."),
        ("hand in the code only", "Hand in the code only, without data, environments and results."),
        ("", "The reason names the rule that it broke: take that out. If it happened by mistake, ask your teacher."),
    ),
}  # fmt: skip


def trouble_steps(grade: Grade) -> list[str]:
    """For a model that was not judged. The reason holds the line of code where there is one."""
    cures = TROUBLE_CURES.get(grade.status, (("", "Read the reason."),))
    cure = next(cure for words, cure in cures if words in grade.reason)
    return [cure] if cure else []


def check_command(grade: Grade, limits: Limits) -> str:
    """The student's own check, under the rules of this grade."""
    words, settings, default = ["python", "-m", "grading", "model.py"], grade.settings, Limits()
    if limits.parameters != default.parameters:
        words += ["--max-parameters", str(limits.parameters)]
    if limits.accuracy != default.accuracy:
        words += ["--min-accuracy", str(limits.accuracy)]
    if settings.get("dataset", "mnist") != "mnist":
        words += ["--dataset", str(settings["dataset"])]
    if settings.get("model_name"):
        words += ["--model-name", str(settings["model_name"])]
    if settings.get("verified_only"):
        words += ["--verified-only"]
    return shlex.join(words)


# --- As text ----------------------------------------------------------------------------------------------------------


def verdict_line(scored: Scored) -> str:
    """``passed, 100 of 100 points``; without points where there are none."""
    verified = {True: "verified", False: "not verified"}.get(scored.grade.verified)
    parts = [scored.grade.status.replace("_", " "), *([verified] if verified else [])]
    if scored.score is not None:
        parts.append(f"{scored.score:g} of {scored.max_score} points")
    return ", ".join(parts)


def to_text(scored: Scored, limits: Limits) -> str:
    """All of it for a terminal or a plain comment, without control characters; ends with a line break."""
    grade = scored.grade
    lines = [f"{safe_text(grade.student, 80)}: {verdict_line(scored)}", f"  {safe_text(grade.reason)}", "Points"]
    lines += [f"  {points_line(part, c.points):>12}  {safe_text(c.name, 100)}" for c, part in scored.parts]
    if found := margins(grade, limits):
        lines += ["Limits", *(f"  {'holds ' if m.holds else 'broken'}  {m.sentence}" for m in found)]
    lines += ["Next", *(f"  - {safe_text(step, 1000)}" for step in next_steps(grade, limits))]
    return "\n".join(lines) + "\n"


def to_markdown(scored: Scored, limits: Limits) -> str:
    """All of it in Markdown, with everything that a student or teacher wrote escaped; ends with a line break."""
    grade = scored.grade
    lines = [
        f"### {plain(safe_text(grade.student, 80))}: {verdict_line(scored)}",
        "",
        plain(safe_text(grade.reason)),
        "",
    ]
    lines += ["| criterion | points | of |", "|---|---:|---:|"]
    lines += [
        f"| {plain(safe_text(c.name, 100))} | {'' if part is None else f'{part:g}'} | {c.points} |"
        for c, part in scored.parts
    ]
    if found := margins(grade, limits):
        lines += ["", "**Limits**", "", *(f"- {'holds' if m.holds else 'broken'}: {plain(m.sentence)}" for m in found)]
    lines += ["", "**Next**", "", *(f"- {plain(safe_text(step, 1000))}" for step in next_steps(grade, limits))]
    return "\n".join(lines) + "\n"


def points_line(part: float | None, most: int) -> str:
    return f"{'-' if part is None else f'{part:g}'} of {most}"


def plain(value: Any) -> str:
    """Text on one line that Markdown shows as it is."""
    text = html.escape(" ".join(str(value).split()))
    return "".join(f"&#{ord(c)};" if c in r"\`*_{}[]|~!@" else c for c in text)
