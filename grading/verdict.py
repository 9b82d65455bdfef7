"""From the runs of all seeds to one verdict, in a sentence that says by how much a limit is missed."""

from __future__ import annotations

import statistics

import mnist_efficient_model as challenge
from grading import feedback
from grading.grades import Grade
from mnist_efficient_model import Limits, percent

ALONE = "its answers change with the other images of a batch, or by chance"


def summarise(grade: Grade, test_images: int) -> None:
    """The figures of all seeds."""
    counted = [run for run in grade.runs if run.parameters is not None]
    if counted:
        grade.parameters, grade.buffers = max(r.parameters for r in counted), max(r.buffers for r in counted)
    runs = [run for run in grade.runs if run.accuracy is not None]
    if not runs:
        return
    grade.test_images = test_images
    accuracies = [run.accuracy for run in runs]
    grade.accuracy = statistics.median_low(accuracies)
    grade.accuracy_min, grade.accuracy_max = min(accuracies), max(accuracies)
    grade.accuracy_interval = challenge.wilson_interval(grade.accuracy, test_images)
    seconds = [run.train_seconds for run in runs if run.train_seconds is not None]
    grade.train_seconds = statistics.median(seconds) if seconds else None


def judge(grade: Grade, limits: Limits) -> tuple[str, str]:
    """Passed or failed, and why, of a model that ran with every seed."""
    doubts = "; ".join(grade.doubts)
    broken = []
    total = grade.parameters + grade.buffers
    what = f"{grade.parameters:,} parameters"
    if grade.buffers:
        what += f" and {grade.buffers:,} numbers in buffers and constants, {total:,} in all"
    if total >= limits.parameters:
        broken.append(f"{what}: {total - limits.parameters + 1:,} too many to be under {limits.parameters:,}")
    if not grade.accuracy >= limits.accuracy:
        short = 100 * (limits.accuracy - grade.accuracy)
        cause = f"; {found}" if (found := feedback.diagnosis(grade)) else ""
        seeds = f"median of {len(grade.runs)} seeds" if len(grade.runs) > 1 else "one seed"
        found = f"accuracy {percent(grade.accuracy)} ({seeds})"
        broken.append(f"{found}: {short:.2f} points short of {percent(limits.accuracy)}{cause}")
    notes = f" (each image answered alone: {ALONE})" if any(run.one_by_one for run in grade.runs) else ""
    notes += f" (not verified: {doubts})" if doubts else ""
    if broken:
        return "failed", "; ".join(broken) + notes
    return "passed", f"{what}, accuracy {percent(grade.accuracy)}{notes}"
