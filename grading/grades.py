"""What is asked of every submission, and what one got: plain data, as the JSON files hold it."""

from __future__ import annotations

import functools
import hashlib
import math
import platform
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mnist_efficient_model as challenge
from grading.sandbox.isolation import ROOT
from grading.submissions import Submission
from mnist_efficient_model import Limits, percent

SCORED = ("passed", "failed")  # the statuses of models that ran; the others have no figures to give credit for
CLOSE = 0.005  # an accuracy this near the limit may end on its other side when it is graded again
EVAL_GAP = 0.1  # accuracy in training minus accuracy when tested, from which on eval mode is the cause


@dataclass(frozen=True)
class Settings:
    """What every submission is checked against."""

    limits: Limits
    dataset: str
    seeds: tuple[int, ...]
    model_name: str | None
    seconds: float  # for each child
    memory: int  # bytes, for each child, beside the libraries
    verified_only: bool = False
    options: tuple[str, ...] = field(default=(), repr=False)  # that give these settings on a command line

    def key(self, submission: Submission, data: str) -> str:
        """Changes when a regrading could give another verdict."""
        parts = [submission.digest(), repr(self), data, repr(versions()), code_digest()]
        return sha256("\0".join(parts).encode())


def versions() -> dict[str, str]:
    """Of all that a grade may depend on."""
    return {
        "mnist_efficient_model": challenge.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_name(student: str) -> str:
    """A name for a student's file: safe on every system, different for different students, also where case is lost."""
    safe = re.sub(r"[^a-z0-9_.-]+", "_", student.lower()).strip("._")[:60]
    looks_made = re.search(r"-[0-9a-f]{8}$", student)
    return safe if safe == student and not looks_made else f"{safe}-{sha256(student.encode())[:8]}"


@functools.cache
def code_digest() -> str:
    """Of the code that judges; read once for the whole class."""
    paths = [Path(challenge.__file__), *sorted(Path(ROOT, "grading").rglob("*.py"))]
    return sha256(b"\0".join(path.read_bytes() for path in paths))


@dataclass
class Run:
    """One seed's epoch and evaluation. None: not measured."""

    seed: int
    parameters: int | None = None
    buffers: int | None = None  # numbers in buffers and constants of every type, BatchNorm's statistics left out
    accuracy: float | None = None
    untrained_accuracy: float | None = None
    train_accuracy: float | None = None  # at the end of the epoch, on augmented images
    train_seconds: float | None = None
    memory_mb: int | None = None
    images_seen: int | None = None
    diverged_at: int | None = None
    one_by_one: bool = False  # answers moved with the batch, so each image was answered alone
    labels: list[int] = field(default_factory=list)  # what each class was called in this run
    curve: list[tuple[int, float]] = field(default_factory=list)  # images seen, accuracy on the latest
    confusion: list[list[int]] | None = None  # [true class][predicted class], counts
    confused: list[dict[str, Any]] | None = None  # the most confident mistakes, as the script's Result has them


@dataclass
class Grade:
    """A submission's verdict, as its JSON file holds it. None: not measured."""

    student: str
    status: str
    reason: str
    advice: str = ""  # what to do about the reason
    key: str = ""
    verified: bool | None = None  # no line of the submission's code ran where data or labels were
    unverified_because: list[tuple[str, str]] = field(default_factory=list)  # (reason, advice) each
    parameters: int | None = None  # the most of all seeds
    buffers: int | None = None
    largest: tuple[str, int] | None = None  # the tensor with the most numbers that count, and how many
    accuracy: float | None = None  # the median; of an even number of seeds the lower middle one
    accuracy_min: float | None = None
    accuracy_max: float | None = None
    accuracy_interval: tuple[float, float] | None = None  # of the median, 95 %, Wilson
    test_images: int | None = None
    train_seconds: float | None = None  # median
    runs: list[Run] = field(default_factory=list)
    isolation: list[str] = field(default_factory=list)  # what the kernel granted
    model: str = ""  # the file, and where it was chosen among several, the name: path[:NAME]
    date: str = ""  # of the grading, ISO 8601
    log: str = ""  # what the submission printed, the middle left out
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def median(self) -> Run | None:
        """The run with the median accuracy, the only one whose curve, confusion and mistakes are kept."""
        return next((run for run in self.runs if run.accuracy is not None and run.accuracy == self.accuracy), None)

    @property
    def counted(self) -> int | None:
        """What the limit of parameters counts: parameters with buffers and constants."""
        return None if self.parameters is None else self.parameters + (self.buffers or 0)

    def not_verified(self, reason: str, advice: str = "") -> None:
        """The grade rests on the submission's own code, or the model may have been trained before."""
        self.verified = False
        if (reason, advice) not in self.unverified_because:
            self.unverified_because.append((reason, advice))


def limits_of(grade: Grade, default: Limits) -> Limits:
    """The limits that a grade was given under; the default where its file has none."""
    try:
        limits = Limits(**grade.settings["limits"])
        return Limits(int(limits.parameters), float(limits.accuracy))
    except (KeyError, TypeError, ValueError):
        return default


# --- From the runs of all seeds to one verdict ------------------------------------------------------------------------


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
    median = grade.median
    for run in grade.runs:
        if run is not median:
            run.curve, run.confusion, run.confused = [], None, None
    seconds = [run.train_seconds for run in runs if run.train_seconds is not None]
    grade.train_seconds = statistics.median(seconds) if seconds else None


@dataclass(frozen=True)
class Margin:
    """How far a model lies from one limit."""

    what: str  # "parameters" or "accuracy"
    holds: bool
    close: bool  # another grading may end on the other side
    measured: str
    sentence: str  # what was measured, and the distance


def margins(grade: Grade, limits: Limits) -> list[Margin]:
    """One for the parameters as soon as they are counted, one for the accuracy when all seeds ran."""
    found, most = [], limits.parameters
    if grade.parameters is not None:
        measured, left = f"{grade.parameters:,} parameters", most - grade.counted
        if grade.buffers:
            measured += f" and {grade.buffers:,} numbers in buffers and constants, {grade.counted:,} in all"
        distance = f"{left:,} below {most:,}" if left > 0 else f"{1 - left:,} too many to be under {most:,}"
        if grade.runs and not any(run.parameters for run in grade.runs):  # too many to be read, so never counted
            measured, distance = f"more than {measured}", f"far above {most:,}"
        found.append(Margin("parameters", left > 0, False, measured, f"{measured}: {distance}"))
    if grade.status in (*SCORED, "") and grade.accuracy is not None:  # "" until it is judged
        distance, seeds = grade.accuracy - limits.accuracy, "one seed"
        points = math.floor(1e4 * distance + 1e-6) / 100  # never rounded in the model's favour
        if len(grade.runs) > 1:
            spread = f"{percent(grade.accuracy_min)} to {percent(grade.accuracy_max)}"
            seeds = f"median of {len(grade.runs)} seeds, {spread}"
        measured, close = f"accuracy {percent(grade.accuracy)} ({seeds})", abs(distance) <= CLOSE + 1e-9
        sentence = f"{measured}: {abs(points):.2f} points {'above' if distance >= 0 else 'below'} "
        sentence += percent(limits.accuracy) + ": close" * close
        found.append(Margin("accuracy", distance >= 0, close, measured, sentence))
    return found


def judge(grade: Grade, limits: Limits) -> tuple[str, str]:
    """Passed or failed, and why, of a model that ran with every seed."""
    size, accuracy = margins(grade, limits)
    broken = [margin.sentence for margin in (size, accuracy) if not margin.holds]
    if not accuracy.holds:
        broken += filter(None, [diagnosis(grade)])
    notes = ""
    if any(run.one_by_one for run in grade.runs):
        notes = " (each image answered alone: its answers change with the other images of a batch, or by chance)"
    if grade.unverified_because:
        notes += f" (not verified: {'; '.join(reason for reason, _ in grade.unverified_because)})"
    if broken:
        return "failed", "; ".join(broken) + notes
    return "passed", f"{size.measured}, {accuracy.measured}{notes}"


def diagnosis(grade: Grade) -> str:
    """What may be behind a low accuracy, or "" where the figures do not show it."""
    median = grade.median
    if median and median.diverged_at:
        return f"the loss stopped being a number at step {median.diverged_at:,}: set a smaller lr in RECIPE"
    if median and median.train_accuracy is not None and median.train_accuracy - grade.accuracy > EVAL_GAP:
        reached = f"it reached {percent(median.train_accuracy)} in training, but not when tested: "
        return reached + "mind what it does otherwise in eval(), and keep what it learns in nn.Parameter"
    return ""
