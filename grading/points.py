"""Points for a grade by a rubric, the gradebook's row, and the order of the leaderboard."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.grades import SCORED, Grade
from mnist_efficient_model import CLASSES, USAGE, ChallengeError, Limits, percent

MEASURES = {
    "runs": lambda grade: 1.0,
    "accuracy": lambda grade: grade.accuracy,
    "parameters": lambda grade: grade.counted,
    "train_seconds": lambda grade: grade.train_seconds,
}


@dataclass(frozen=True)
class Criterion:
    """Points for one measure: all at ``full`` or better, none at ``zero`` or worse, between them in proportion."""

    name: str
    measure: str  # a key of MEASURES
    points: int
    full: float | None = None  # None only for "runs"
    zero: float | None = None

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"measure {self.measure!r} is none of {', '.join(MEASURES)}")
        if type(self.points) is not int or self.points < 0:
            raise ValueError(f"{self.name}: points must be a whole number")
        bounds = (self.full, self.zero)
        if self.measure != "runs" and (not all(type(b) in (int, float) for b in bounds) or self.full == self.zero):
            raise ValueError(f"{self.name}: full and zero must be two different numbers")

    def earned(self, grade: Grade) -> float | None:
        """Rounded down to tenths, so that a limit just missed never gets all points. None: not scored."""
        if grade.status == "machine_error":
            return None
        if grade.status not in SCORED:
            return 0.0
        if self.measure == "runs":
            return float(self.points)
        value = MEASURES[self.measure](grade)
        if value is None:  # a model so far over the limit that no epoch was spent on it
            return 0.0
        fraction = (value - self.zero) / (self.full - self.zero)
        return int(10 * self.points * min(1.0, max(0.0, fraction)) + 1e-9) / 10


def default_rubric(limits: Limits) -> list[Criterion]:
    """10 points for running, 30 for the size, 60 for the accuracy.

    Credit falls to none at twice the allowed parameters, and at twice the allowed errors: at 90 % where 95 % are asked.
    It ends at the accuracy of guessing at the latest, and always at least a point below the limit.
    """
    most = limits.parameters
    none = round(min(max(1 / CLASSES, 2 * limits.accuracy - 1), limits.accuracy - 0.01), 6)
    return [
        Criterion("Builds, trains and answers", "runs", 10),
        Criterion(f"Fewer than {most:,} parameters", "parameters", 30, most - 1, 2 * most),
        Criterion(f"Accuracy of {percent(limits.accuracy)}", "accuracy", 60, limits.accuracy, none),
    ]


def read_rubric(path: str | None, limits: Limits) -> list[Criterion]:
    """The default rubric, or that of a TOML file, a list of ``[[criterion]]`` with the fields of Criterion.

    Raises ChallengeError (status 2).
    """
    if path is None:
        return default_rubric(limits)
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        rubric = [Criterion(**entry) for entry in document.pop("criterion")]
        if document or not rubric:
            raise ValueError(f"unknown: {', '.join(document)}" if document else "no [[criterion]]")
    except OSError as error:
        raise ChallengeError(f"cannot read {path}: {error.strerror}", USAGE) from error
    except (ValueError, TypeError, KeyError) as error:
        raise ChallengeError(f"{path} is not a rubric ({error}): see docs/grading.md, 'Points'", USAGE) from error
    return rubric


@dataclass
class Scored:
    """A grade with the points of each criterion, as all exporters show it."""

    grade: Grade
    parts: list[tuple[Criterion, float | None]]

    @property
    def score(self) -> float | None:
        given = [part for _, part in self.parts]
        return None if None in given else round(sum(given), 1)

    @property
    def max_score(self) -> int:
        return sum(criterion.points for criterion, _ in self.parts)

    def row(self) -> dict[str, Any]:
        """The fields of the gradebook, in their order."""
        grade = self.grade
        return {
            "student": grade.student,
            "score": self.score,
            "max_score": self.max_score,
            "status": grade.status,
            "verified": {True: "yes", False: "no"}.get(grade.verified),
            "parameters": grade.parameters,
            "counted": grade.counted,
            "accuracy_median": grade.accuracy,
            "accuracy_min": grade.accuracy_min,
            "accuracy_max": grade.accuracy_max,
            "train_seconds": None if grade.train_seconds is None else round(grade.train_seconds, 2),
            "reason": grade.reason,
        }


def score(grade: Grade, rubric: Iterable[Criterion]) -> Scored:
    return Scored(grade, [(criterion, criterion.earned(grade)) for criterion in rubric])


def ranked(gradebook: Iterable[Scored]) -> list[Scored]:
    """The passed and verified ones: by accuracy, then by what counts as parameters, then by seconds of training."""
    passed = [scored for scored in gradebook if scored.grade.status == "passed" and scored.grade.verified]
    return sorted(passed, key=lambda s: (-s.grade.accuracy, s.grade.counted, s.grade.train_seconds, s.grade.student))
