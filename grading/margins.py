"""How far above or below each limit a model lies, over its seeds."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from grading.grades import Grade
from grading.rubric import SCORED
from mnist_efficient_model import Limits, percent


@dataclass(frozen=True)
class Margin:
    """How far a model lies from one limit."""

    what: str  # "parameters" or "accuracy"
    measured: float  # parameters with the numbers in buffers; the median accuracy of the seeds, a fraction
    limit: float
    holds: bool
    close: bool  # another grading could come out otherwise
    sentence: str


def margins(grade: Grade, limits: Limits) -> list[Margin]:
    """One margin per limit that was measured: parameters as soon as they are counted, accuracy when all seeds ran."""
    found = []
    if grade.parameters is not None:
        found.append(parameter_margin(grade, limits))
    if grade.status in SCORED and grade.accuracy is not None:
        found.append(accuracy_margin(grade, limits))
    return found


def parameter_margin(grade: Grade, limits: Limits) -> Margin:
    total = grade.parameters + (grade.buffers or 0)
    if not any(run.parameters for run in grade.runs) and grade.runs:  # too many to be read, so never counted
        words = f"more than {grade.parameters:,} parameters: far above {limits.parameters:,}"
        return Margin("parameters", total, limits.parameters, False, False, words)
    words = f"{grade.parameters:,} parameters"
    if grade.buffers:
        words += f" and {grade.buffers:,} numbers in buffers and constants, {total:,} in all"
    below = limits.parameters - total
    if below > 0:
        words += f": {below:,} below {limits.parameters:,}"
    else:
        words += f": {1 - below:,} too many to be under {limits.parameters:,}"
    return Margin("parameters", total, limits.parameters, below > 0, False, words)


def accuracy_margin(grade: Grade, limits: Limits) -> Margin:
    distance = grade.accuracy - limits.accuracy
    error = standard_error(grade, limits.accuracy)
    holds, close = distance >= 0, error is not None and abs(distance) <= 2 * error
    seeds = len(grade.runs)
    spread = f"median of {seeds} seeds, {percent(grade.accuracy_min)} to {percent(grade.accuracy_max)}"
    points = math.floor(1e4 * distance + 1e-6) / 100  # never rounded in the model's favour
    words = f"accuracy {percent(grade.accuracy)} ({spread if seeds > 1 else 'one seed'}): {abs(points):.2f} points "
    words += f"{'above' if holds else 'below'} {percent(limits.accuracy)}"
    if close:
        words += f": close (two standard errors are {200 * error:.2f})"
    return Margin("accuracy", grade.accuracy, limits.accuracy, holds, close, words)


def standard_error(grade: Grade, limit: float) -> float | None:
    """The standard error of the median accuracy, as a fraction; None where the number of test images is not known.

    Two things could come out otherwise another time, and their variances add up (Bouthillier et al. 2021, "Accounting
    for variance in machine learning benchmarks", arXiv:2103.03098).

    - Which images the test set happens to hold: p(1-p)/n for n images, binomial. All seeds answer for the same images,
      so more seeds do not make it smaller. p is the limit, as in the test that Wilson's interval comes from (1927): the
      question is whether a model at the limit could look like this one.
    - The training, through the seed and the secret names of the classes: s^2/k, with the sample variance s^2 of the k
      seeds' accuracies, times pi/2 for a median instead of a mean (Laplace 1818, for many normal numbers; 1.35 for 3).

    s^2 holds some of the first part already, so the error is rather a little too large than too small. One seed says
    nothing of the second part, which is then left out.
    """
    if not grade.test_images:
        return None
    variance = limit * (1 - limit) / grade.test_images
    accuracies = [run.accuracy for run in grade.runs if run.accuracy is not None]
    if len(accuracies) > 1:
        variance += math.pi / 2 * statistics.variance(accuracies) / len(accuracies)
    return math.sqrt(variance)
