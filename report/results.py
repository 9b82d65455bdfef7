"""What runs left in a results folder, as the charts and the page take it. Not measured is None."""

from __future__ import annotations

import json
import statistics
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pages import mistake

PARAMETERS, ACCURACY = 25_000, 0.95  # the challenge's limits: fewer than, at least
CLASSES = 10


def number(value: Any) -> float:
    """A finite number, from 0 on; ValueError or TypeError for anything else."""
    if isinstance(value, bool) or not 0 <= value <= 1e15:  # as far as an axis goes
        raise ValueError(f"{str(value)[:40]} is no figure of a run")
    return value


def fraction(value: Any) -> float:
    if number(value) > 1:
        raise ValueError(f"{value} is no fraction")
    return value


def optional(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


def matrix(rows: Any) -> list[list[float]]:
    found = [[number(n) for n in row] for row in rows]
    if [len(row) for row in found] != [CLASSES] * CLASSES:
        raise ValueError("a confusion matrix has 10 x 10 counts")
    return found


@dataclass(frozen=True)
class Run:
    """One training, from what the script writes of it."""

    model: str
    dataset: str
    scored_on: str
    seed: int
    device: str
    threads: int
    parameters: int
    train_images: int
    test_images: int
    accuracy: float | None
    per_class: list[float | None] | None
    train_seconds: float | None
    macs: float | None
    latency_ms: float | None
    peak_memory_mb: float | None
    passed: bool
    violations: list[str]
    diverged: bool
    config: dict[str, Any]
    confusion: list[list[float]] | None
    mistakes: list[tuple[str, str]]  # address of the image, what it was taken for and how confidently
    curve: list[tuple[float, float]]  # images seen, accuracy on them
    versions: str
    note: str | None

    @classmethod
    def read(cls, run: dict[str, Any]) -> Run:
        """Raises KeyError for a field that is missing, TypeError or ValueError for one that cannot be drawn."""
        costs = ("train_seconds", "macs", "latency_ms", "peak_memory_mb")
        return cls(
            **{name: str(run[name]) for name in ("model", "dataset", "scored_on", "device")},
            **{name: number(run[name]) for name in ("seed", "threads", "parameters", "train_images", "test_images")},
            **{name: optional(number, run[name]) for name in costs},
            accuracy=optional(fraction, run["test_accuracy"]),
            per_class=optional(lambda values: [optional(fraction, v) for v in values], run["per_class_accuracy"]),
            passed=run["passed"] is True,
            violations=[str(sentence) for sentence in run["violations"]],
            diverged=run["diverged_at"] is not None,
            config=dict(run["config"]),
            confusion=optional(matrix, run["confusion"]),
            mistakes=[mistake({**m, "confidence": fraction(m["confidence"])}) for m in (run["confused"] or [])[:12]],
            curve=[(number(point["images"]), fraction(point["accuracy"])) for point in run["curve"]],
            versions=", ".join(f"{name} {version}" for name, version in run["versions"].items()),
            note=optional(str, run["note"]),
        )


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
        return all(run.passed for run in self.runs)

    @property
    def accuracies(self) -> list[float]:
        """The test accuracies that were measured."""
        return [run.accuracy for run in self.runs if run.accuracy is not None]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.accuracies) if self.accuracies else None

    @property
    def confusion(self) -> list[list[float]] | None:
        """How often each class (row) was taken for which (column), over all runs that measured it."""
        counts = [run.confusion for run in self.runs if run.confusion]
        return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*counts, strict=True)] or None

    @property
    def per_class(self) -> list[float | None]:
        """The mean accuracy of each class; empty where no run has it."""
        columns = zip(*(run.per_class for run in self.runs if run.per_class), strict=True)
        measured = [[value for value in column if value is not None] for column in columns]
        return [statistics.fmean(column) if column else None for column in measured]

    def median(self, name: str) -> float | None:
        """The median of a figure over the runs that have it."""
        values = [value for run in self.runs if (value := getattr(run, name)) is not None]
        return statistics.median(values) if values else None


def grouped(runs: Iterable[Run]) -> list[Group]:
    """Runs by model, data and settings; those that pass first, then by fewest parameters.

    A name says no more than it must: data and settings are part of it where they differ.
    """
    kinds: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        settings = json.dumps(run.config, sort_keys=True)
        kinds.setdefault((run.model, run.dataset, run.scored_on, settings), []).append(run)
    mixed = len({kind[1:3] for kind in kinds}) > 1
    groups = []
    for (model, dataset, scored_on, _), found in kinds.items():
        others = [other[0].config for kind, other in kinds.items() if kind[:3] == (model, dataset, scored_on)]
        words = [f"{dataset}, {scored_on}"] if mixed else []
        words += [f"{k}={v}" for k, v in found[0].config.items() if any(other.get(k) != v for other in others)]
        label = f"{model} ({', '.join(words)})" if words else model
        groups.append(Group(label, sorted(found, key=lambda run: run.seed)))
    return sorted(groups, key=lambda group: (not group.passed, group.first.parameters))


@dataclass(frozen=True)
class Experiment:
    """What a script of experiments/ found."""

    name: str  # of its file
    kind: str  # sweep, frontier, energy, ...
    question: str
    command: str
    note: str | None
    table: list[list[str]]  # header and rows, as the terminal showed them
    keys: list[str]  # the settings that a sweep varied
    runs: list[Run]

    @classmethod
    def read(cls, name: str, document: dict[str, Any]) -> Experiment:
        """Raises KeyError, TypeError or ValueError, as Run.read does."""
        runs, keys = [Run.read(run) for run in document.get("runs", [])], document.get("keys", [])
        table = [[str(cell) for cell in row] for row in document["table"]]
        if (
            len({len(row) for row in table}) != 1
            or not table[0]
            or any(key not in r.config for key in keys for r in runs)
        ):
            raise ValueError("its table or its settings are not complete")
        words = (str(document[key]) for key in ("experiment", "question", "command"))
        return cls(name, *words, optional(str, document["note"]), table, keys, runs)

    @property
    def points(self) -> list[tuple[tuple[Any, ...], Group]]:
        """Values of the settings, in the order of ``keys``, and the runs with them, in the order of the grid."""
        kinds: dict[tuple[Any, ...], list[Run]] = {}
        for run in self.runs:
            kinds.setdefault(tuple(run.config[key] for key in self.keys), []).append(run)
        return [(values, Group(", ".join(map(str, values)), runs)) for values, runs in kinds.items()]


@dataclass
class Folder:
    """All that a results folder holds."""

    groups: list[Group] = field(default_factory=list)
    experiments: list[Experiment] = field(default_factory=list)
    ideas: dict[str, str] = field(default_factory=dict)  # model -> idea
    failures: dict[str, str] = field(default_factory=dict)  # model -> why it could not run
    warnings: list[str] = field(default_factory=list)  # a line for each file that cannot be used


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def read_folder(folder: Path) -> Folder:
    """Every run and experiment of a folder, whatever wrote them; of a run that is there twice, the newer. OSError."""
    found, runs = Folder(), {}
    paths = [path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith(".")]
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        try:
            if not path.is_file():
                raise ValueError("not a regular file")
            document = json.loads(path.read_bytes(), parse_constant=refuse)
            if "experiment" in document:
                found.experiments.append(Experiment.read(path.stem, document))
                continue
            of_file = [Run.read(run) for run in document.get("runs", [document])]
            ideas = {str(name): str(about["idea"]) for name, about in document.get("models", {}).items()}
            failures = {str(name): str(reason) for name, reason in document.get("failures", {}).items()}
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            RecursionError,
            OSError,
            zlib.error,
        ) as e:
            reason = (
                f"has no {e}: it is of another version, or damaged" if isinstance(e, KeyError) else f"is damaged: {e}"
            )
            found.warnings.append(" ".join(f"{path.name} is left out: it {reason}".split()))
            continue
        for run in of_file:
            runs[run.model, run.dataset, run.scored_on, run.seed, json.dumps(run.config, sort_keys=True)] = run
        found.ideas |= ideas
        found.failures |= failures
    found.groups = grouped(runs.values())
    found.experiments.sort(key=lambda experiment: experiment.name)
    return found


def frontier(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those (cost, accuracy) that no other reaches at less or equal cost, by rising cost (Pareto)."""
    best: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best
