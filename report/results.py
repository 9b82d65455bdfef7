"""What runs left, as plots and page take it: groups of runs, a comparison, experiments. Not measured is None."""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

CLASSES, SIDE = 10, 28
Run = dict[str, Any]  # one training, as --json prints it


def scored_on(run: Run) -> str:
    """The images that a run's accuracy is of."""
    images = f"{run['test_images']:,}"
    return f"hold-out of {images} images" if run["scored_on"] == "holdout" else f"{images} {run['scored_on']} images"


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed."""

    label: str
    runs: Sequence[Run]

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def passed(self) -> bool:
        return all(run["passed"] for run in self.runs)

    @property
    def accuracies(self) -> list[float]:
        """The test accuracies that were measured, as fractions."""
        return [run["test_accuracy"] for run in self.runs if run["test_accuracy"] is not None]

    @property
    def mean(self) -> float | None:
        """The mean test accuracy; None when no run measured it."""
        return statistics.fmean(self.accuracies) if self.accuracies else None

    @property
    def confusion(self) -> list[list[int]] | None:
        """How often each class (row) was taken for which (column), over all runs that measured it."""
        counts = [run["confusion"] for run in self.runs if run["confusion"]]
        return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*counts, strict=True)] or None

    def median(self, name: str) -> float | None:
        """The median of a figure over the runs that have it."""
        values = [run[name] for run in self.runs if run[name] is not None]
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """Models side by side. From comparison.json, or, with less to say, from the files of single models."""

    runs: Sequence[Run]
    limits: dict[str, float] | None = None  # parameters, accuracy
    models: dict[str, dict[str, str]] = field(default_factory=dict)  # name -> idea
    failures: dict[str, str] = field(default_factory=dict)  # name -> why it could not run

    @property
    def groups(self) -> list[Group]:
        """Runs by model; those that pass first, then by fewest parameters. Other data make another group."""
        kinds: dict[tuple[str, str, str], list[Run]] = {}
        for run in self.runs:
            kinds.setdefault((run["model"], run["dataset"], run["scored_on"]), []).append(run)
        mixed = len({kind[1:] for kind in kinds}) > 1
        groups = [
            Group(f"{model} ({data}, {on})" if mixed else model, runs) for (model, data, on), runs in kinds.items()
        ]
        return sorted(groups, key=lambda group: (not group.passed, group.first["parameters"]))

    @property
    def best(self) -> Run | None:
        """The run whose mistakes are shown: efficient's, else the most accurate of those that pass, else of all."""
        measured = [run for run in self.runs if run["confusion"] and run["test_accuracy"] is not None]
        ours = [run for run in measured if run["model"] == "efficient"]
        order = lambda run: (run["passed"], run["test_accuracy"])  # noqa: E731
        return ours[0] if ours else max(measured, key=order, default=None)


@dataclass(frozen=True)
class Experiment:
    """What a script of experiments/ found."""

    name: str  # of its file
    kind: str  # sweep, frontier, energy, ...
    question: str
    command: str
    note: str | None
    table: Sequence[Sequence[str]]  # header and rows, as the terminal showed them
    keys: Sequence[str] = ()  # the settings that a sweep varied
    runs: Sequence[Run] = ()
    limits: dict[str, float] | None = None

    @property
    def points(self) -> dict[tuple[Any, ...], Group]:
        """Values of the settings, in the order of ``keys`` -> the runs with them, in the order of the grid."""
        kinds: dict[tuple[Any, ...], list[Run]] = {}
        for run in self.runs:
            kinds.setdefault(tuple(run["config"][key] for key in self.keys), []).append(run)
        return {values: Group(", ".join(map(str, values)), runs) for values, runs in kinds.items()}


def pixels(mistake: dict[str, Any]) -> bytes:
    """The 28 x 28 bytes of a mistake's image, from zlib in hex digits. Raises ValueError for anything else."""
    try:
        content = zlib.decompressobj().decompress(bytes.fromhex(mistake["pixels"]), SIDE * SIDE + 1)
    except (zlib.error, ValueError, TypeError, KeyError) as error:
        raise ValueError("not a picture") from error
    if len(content) != SIDE * SIDE:
        raise ValueError("not a picture")
    return content
