"""How the pages write what a rubric and a grade hold."""

from __future__ import annotations

from grading.points import Criterion
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


def ends(criterion: Criterion) -> str:
    """Where a criterion gives all points and where none, as "24,999 to 50,000"; blank where it has no such ends."""
    if criterion.full is None or criterion.zero is None or criterion.measure not in SHOWN:
        return ""
    write = SHOWN[criterion.measure]
    return f"{write(criterion.full)} to {write(criterion.zero)}"
