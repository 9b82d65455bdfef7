"""How the pages write what a rubric and a grade hold."""

from __future__ import annotations

from grading.rubric import Criterion
from mnist_efficient_model import percent

SHOWN = {  # a value of each measure that has one
    "accuracy": percent,
    "parameters": "{:,.0f}".format,
    "train_seconds": "{:,.2f} s".format,
}


def words(name: str) -> str:
    """A status or a measure in words."""
    return name.replace("_", " ")


def points(value: float) -> str:
    """Points, with a tenth where there is one."""
    return f"{value:,.1f}".removesuffix(".0")


def bound(criterion: Criterion, full: bool) -> str:
    """Where a criterion gives all points, or none, as "24,999 or less"; blank where it has no such bound."""
    value = criterion.full if full else criterion.zero
    if value is None or criterion.measure not in SHOWN:
        return ""
    upwards = (criterion.full > criterion.zero) == full
    return f"{SHOWN[criterion.measure](value)} or {'more' if upwards else 'less'}"
