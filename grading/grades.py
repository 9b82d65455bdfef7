"""What is asked of every submission, and what one got: plain data, as the JSON files hold it."""

from __future__ import annotations

import functools
import hashlib
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mnist_efficient_model as challenge
from grading.sandbox.isolation import ROOT
from grading.submissions import Submission
from mnist_efficient_model import Limits


@dataclass(frozen=True)
class Settings:
    """What every submission is held to."""

    limits: Limits
    dataset: str
    seeds: tuple[int, ...]
    model_name: str | None
    seconds: float  # for each child
    memory: int  # bytes, for each child, beside the libraries
    verified_only: bool = False

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


@dataclass
class Grade:
    """A submission's verdict, as its JSON file holds it. None: not measured."""

    student: str
    status: str
    reason: str
    key: str = ""
    verified: bool | None = None  # no line of the submission's code ran where data or labels were
    doubts: list[str] = field(default_factory=list)  # why it is not verified
    description_bytes: int | None = None  # of the code that the model consists of, compressed
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
    import_cut: str = ""  # where and why its import ended early; what was defined above that line was taken
    log: str = ""  # what the submission printed, the middle left out
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def doubt(self, why: str) -> None:
        """The grade is not verified."""
        self.verified = False
        if why not in self.doubts:
            self.doubts.append(why)


def limits_of(grade: Grade, default: Limits) -> Limits:
    """The limits that a grade was given under; the default where its file does not tell."""
    try:
        limits = Limits(**grade.settings["limits"])
        return Limits(int(limits.parameters), float(limits.accuracy))
    except (KeyError, TypeError, ValueError):
        return default
