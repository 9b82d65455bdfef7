"""Points from a verdict: a list of criteria, each of one measure, and what late work costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.grades import Grade
from mnist_efficient_model import CLASSES, USAGE, ChallengeError, Limits, percent

SCORED = ("passed", "failed")  # the statuses of models that ran; the others have no figures to give credit for


@dataclass(frozen=True)
class Criterion:
    """Points for one measure: all at ``full`` or better, none at ``zero`` or worse, between them in proportion."""

    name: str
    measure: str  # a key of MEASURES
    points: int
    full: float | None = None
    zero: float | None = None


MEASURES = {
    "runs": lambda grade: 1.0,
    "accuracy": lambda grade: grade.accuracy,
    "parameters": lambda grade: grade.parameters + grade.buffers,
    "train_seconds": lambda grade: grade.train_seconds,
}


def default_rubric(limits: Limits) -> list[Criterion]:
    """10 points for running, 30 for the size, 60 for the accuracy.

    Credit falls to none at twice the allowed parameters, and at twice the allowed errors: at 90 % where 95 % are asked.
    It ends at guessing at the latest, and always at least a point below the limit.
    """
    most = limits.parameters
    none = round(min(max(1 / CLASSES, 2 * limits.accuracy - 1), limits.accuracy - 0.01), 6)
    return [
        Criterion("Builds, trains and answers", "runs", 10, 1, 0),
        Criterion(f"Fewer than {most:,} parameters", "parameters", 30, most - 1, 2 * most),
        Criterion(f"Accuracy of {percent(limits.accuracy)}", "accuracy", 60, limits.accuracy, none),
    ]


def read_rubric(path: str | None, limits: Limits) -> list[Criterion]:
    """The default rubric, or that of a TOML file; raises ChallengeError (status 2) saying what is wrong with it.

    The file is a list of ``[[criterion]]`` with name, measure, points, and full and zero (both but for "runs").
    """
    if path is None:
        return default_rubric(limits)
    import tomllib

    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        rubric = [Criterion(**entry) for entry in document.pop("criterion")]
        if document or not rubric:
            raise ValueError(f"unknown: {', '.join(document)}" if document else "no [[criterion]]")
        for criterion in rubric:
            check_criterion(criterion)
    except OSError as error:
        raise ChallengeError(f"cannot read {path}: {error.strerror}", USAGE) from error
    except (ValueError, TypeError, KeyError) as error:
        raise ChallengeError(f"{path} is not a rubric ({error}): see docs/grading.md, 'Points'", USAGE) from error
    return rubric


def check_criterion(criterion: Criterion) -> None:
    """Raise ValueError for a criterion that cannot be scored."""
    if criterion.measure not in MEASURES:
        raise ValueError(f"measure {criterion.measure!r} is none of {', '.join(MEASURES)}")
    if not isinstance(criterion.points, int) or criterion.points < 0:
        raise ValueError(f"{criterion.name}: points must be a whole number")
    bounds = (criterion.full, criterion.zero)
    if criterion.measure != "runs" and (None in bounds or criterion.full == criterion.zero):
        raise ValueError(f"{criterion.name}: needs full and zero, and not the same")


class Rubric(list[Criterion]):
    """Criteria, with what a day late costs, in percent of all points, and how many days late a student is."""

    def __init__(
        self, criteria: Iterable[Criterion], late_per_day: float = 0.0, days_late: Callable[[str], int] = lambda _: 0
    ) -> None:
        super().__init__(criteria)
        self.late_per_day, self.days_late = late_per_day, days_late


def score(grade: Grade, rubric: list[Criterion]) -> Scored:
    """The points of each criterion; late work loses some on a line of its own, and never more than it has."""
    scored = Scored(grade, [(criterion, points(criterion, grade)) for criterion in rubric])
    if isinstance(rubric, Rubric) and scored.score and (days := rubric.days_late(grade.student)):
        lost = math.ceil(round(scored.max_score * rubric.late_per_day * days / 10, 6)) / 10
        late = Criterion(f"Late by {days} day{'' if days == 1 else 's'}", "late", 0)
        scored.parts.append((late, -min(lost, scored.score)))
    return scored


def points(criterion: Criterion, grade: Grade) -> float | None:
    """The points of one criterion, rounded down to tenths so that a limit just missed is never full; None: unscored."""
    if grade.status == "machine_error":
        return None
    if grade.status not in SCORED:
        return 0.0
    if criterion.measure == "runs":
        return float(criterion.points)
    value = MEASURES[criterion.measure](grade)
    if value is None:  # a model so far over the limit that no epoch was spent on it
        return 0.0
    fraction = (value - criterion.zero) / (criterion.full - criterion.zero)
    return int(10 * criterion.points * min(1.0, max(0.0, fraction)) + 1e-9) / 10


@dataclass
class Scored:
    """A grade with its points, as all exporters show it."""

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
            "accuracy_median": grade.accuracy,
            "accuracy_min": grade.accuracy_min,
            "accuracy_max": grade.accuracy_max,
            "train_seconds": None if grade.train_seconds is None else round(grade.train_seconds, 2),
            "description_bytes": grade.description_bytes,
            "reason": grade.reason,
        }


def ranked(gradebook: Iterable[Scored]) -> list[Scored]:
    """The passed and verified ones: by accuracy, then fewest parameters, then shortest training."""
    passed = [scored for scored in gradebook if scored.grade.status == "passed" and scored.grade.verified]
    return sorted(passed, key=lambda s: (-s.grade.accuracy, s.grade.parameters, s.grade.train_seconds, s.grade.student))
