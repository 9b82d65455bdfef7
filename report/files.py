"""The files of a results folder: comparison*.json, what experiments left, and the <model>.json of single models.

Whatever a file holds, reading it ends in the classes of results.py or in a ReportError of one line: plots never meet
a missing field.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report.results import CLASSES, Comparison, Experiment, Run, pixels

USAGE, MACHINE_ERROR = 2, 4  # exit statuses, as of the script


class ReportError(Exception):
    """A problem that its reader can solve: ReportError(message of one line, exit status)."""

    @property
    def status(self) -> int:
        return self.args[1]

    def __str__(self) -> str:
        return " ".join(str(self.args[0]).split())  # a name in the data may hold line breaks


# --- Checking ---------------------------------------------------------------------------------------------------------


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high and value != math.inf
    )


def is_count(value: Any) -> bool:
    return isinstance(value, int) and is_number(value, 0, 1e15)


def is_fraction(value: Any) -> bool:
    return is_number(value, 0, 1)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_list(item: Callable[[Any], bool], length: int | None = None) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and length in (None, len(value)) and all(map(item, value))


def is_mapping(item: Callable[[Any], bool] = lambda _: True) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(item, value.values()))


def has(**items: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(k in value and check(value[k]) for k, check in items.items())


def or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def is_mistake(value: Any) -> bool:
    try:
        return has(label=is_count, predicted=is_count, confidence=is_fraction)(value) and bool(pixels(value))
    except ValueError:
        return False


def is_table(value: Any) -> bool:
    rows = is_list(is_list(is_text))(value) and len(value) > 1 and len(value[0]) > 0
    return rows and all(len(row) == len(value[0]) for row in value)


MEASURED = or_none(lambda value: is_number(value, 0, 1e15))  # an axis has room for no more
RUN = {
    **dict.fromkeys(("model", "dataset", "scored_on", "device"), is_text),
    **dict.fromkeys(("seed", "threads", "parameters", "train_images", "test_images"), is_count),
    **dict.fromkeys(("train_seconds", "macs", "latency_ms", "peak_memory_mb"), MEASURED),
    "test_accuracy": or_none(is_fraction),
    "per_class_accuracy": or_none(is_list(or_none(is_fraction), CLASSES)),
    "passed": lambda value: isinstance(value, bool),
    "diverged_at": or_none(is_count),
    "config": is_mapping(),
    "confusion": or_none(is_list(is_list(is_count, CLASSES), CLASSES)),
    "confused": or_none(is_list(is_mistake)),
    "curve": is_list(has(images=is_count, accuracy=is_fraction)),
    "versions": is_mapping(is_text),
    "note": or_none(is_text),
}
LIMITS = has(parameters=lambda value: is_number(value, 1), accuracy=is_fraction)
COMPARISON = {
    "limits": LIMITS,
    "models": is_mapping(has(idea=is_text)),
    "failures": is_mapping(is_text),
}
EXPERIMENT = {
    **dict.fromkeys(("experiment", "question", "command"), is_text),
    "note": or_none(is_text),
    "table": is_table,
}
PLOTTED = {  # what the plots of two experiments need beside it
    "sweep": {"keys": lambda value: is_list(is_text)(value) and len(value) > 0},
    "frontier": {"limits": LIMITS},
}


def check(document: Any, rules: dict[str, Callable[[Any], bool]], what: str) -> None:
    """Raise ReportError naming the first entry that is missing or is not what it must be."""
    if not isinstance(document, dict):
        raise ReportError(f"{what} is not what a run leaves", MACHINE_ERROR)
    for name, allowed in rules.items():
        if name not in document:
            raise ReportError(f"{what} has no {name!r}: it is incomplete, or of another version", MACHINE_ERROR)
        if not allowed(document[name]):
            raise ReportError(f"{what}: {name!r} is not what a run leaves there", MACHINE_ERROR)


def checked_runs(document: dict[str, Any], what: str) -> list[Run]:
    runs = document.get("runs")
    if not isinstance(runs, list):
        raise ReportError(f"{what} has no list of runs", MACHINE_ERROR)
    for i, run in enumerate(runs, 1):
        check(run, RUN, f"{what}, run {i}")
    return runs


# --- Reading and writing ----------------------------------------------------------------------------------------------


def read_json(path: Path) -> Any:
    """A JSON document; ReportError (status 4) for a file that cannot be read or is none. Python's NaN is none."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        if not path.is_file():
            raise ReportError(f"{path} is not a regular file", MACHINE_ERROR)
        document = json.loads(path.read_bytes(), parse_constant=refuse)
        return json.loads(json.dumps(document, ensure_ascii=False).encode(errors="replace"))  # names that are no UTF-8
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror or error}", MACHINE_ERROR) from error
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is not JSON: {error}", MACHINE_ERROR) from error


def read_comparisons(documents: dict[Path, Any]) -> Comparison | None:
    """What ``--model all`` left, on one dataset or more; None if there is none."""
    runs: list[Run] = []
    merged: dict[str, dict[str, Any]] = {"limits": {}, "models": {}, "failures": {}}
    for path, document in documents.items():
        check(document, COMPARISON, str(path))
        runs += checked_runs(document, str(path))
        for key, value in merged.items():
            value.update(document[key])
    return Comparison(runs, **merged) if documents else None


def read_experiment(path: Path, document: Any) -> Experiment:
    """What a script of experiments/ left."""
    check(document, EXPERIMENT, str(path))
    needed = PLOTTED.get(document["experiment"], {})
    check(document, needed, str(path))
    runs = checked_runs(document, str(path)) if needed else []
    if needed and not runs:
        raise ReportError(f"{path} holds no run", MACHINE_ERROR)
    for i, run in enumerate(runs, 1):
        if missing := [k for k in document.get("keys", ()) if not isinstance(run["config"].get(k), (int, float, str))]:
            raise ReportError(f"{path}, run {i}: its config has no {missing[0]!r}", MACHINE_ERROR)
    about = {key: document[key] for key in ("question", "command", "note", "table", *needed)}
    return Experiment(path.stem, document["experiment"], runs=runs, **about)


def read_folder(folder: Path) -> tuple[Comparison | None, list[Experiment]]:
    """The comparison and the experiments in a results folder; where there is neither, the files of single models.

    Raises ReportError: 2 for a folder that is none, 4 for files that cannot be used and for a folder without any.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder} is {'not a folder' if folder.exists() else 'not there'}", USAGE)
    try:
        paths = [path for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
    except OSError as error:
        raise ReportError(f"cannot read {folder}: {error.strerror or error}", MACHINE_ERROR) from error
    documents = {path: read_json(path) for path in paths}
    compared = {path: document for path, document in documents.items() if path.stem.partition("-")[0] == "comparison"}
    found = {path: d for path, d in documents.items() if isinstance(d, dict) and "experiment" in d}
    comparison = read_comparisons(compared)
    experiments = [read_experiment(path, document) for path, document in found.items()]
    if not compared and not found:
        runs: list[Run] = []
        for path, document in documents.items():
            several = isinstance(document, dict) and "runs" in document
            runs += checked_runs(document if several else {"runs": [document]}, str(path))
        comparison = Comparison(runs) if runs else None
    if not experiments and not (comparison and comparison.runs):
        raise ReportError(f"{folder} holds no results to draw: run the script with --model all first", MACHINE_ERROR)
    return comparison, experiments


def write_files(contents: dict[Path, bytes | None]) -> None:
    """Write several files, all or none, each whole or not at all; None removes a file.

    Links are followed to their targets. Raises OSError, also for what is in the way and not a regular file.
    """
    ready: dict[Path, Path] = {}
    targets = {path: Path(os.path.realpath(path)) for path in contents}
    try:
        for path, content in contents.items():
            if targets[path].is_symlink() or (targets[path].exists() and not targets[path].is_file()):
                raise OSError(0, "there is something that is not a regular file", str(path))
            if content is not None:
                temporary = targets[path].with_name(f".{targets[path].name}.{os.getpid()}.tmp")
                ready[temporary] = targets[path]
                temporary.write_bytes(content)
        for path, content in contents.items():
            if content is None:
                targets[path].unlink(missing_ok=True)
        for temporary, target in ready.items():
            os.replace(temporary, target)
    finally:
        for temporary in ready:
            temporary.unlink(missing_ok=True)
