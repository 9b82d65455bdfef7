#!/usr/bin/env python3
"""Hold a whole class's models to the limits of the efficient-MNIST challenge, each behind walls of its own.

    python grade.py SUBMISSIONS                one file or folder per student -> grades/grades.csv, report.html, ...
    python grade.py path/model.py              one submission
    python grade.py --gradescope OUT.zip       the autograder to upload to Gradescope

This process imports nothing of a submission. It holds the labels, the clock and the verdict; sandbox.py runs the code.

    find_submissions -> grade: per seed a training child, then a fresh evaluation child -> judge -> score -> exporters
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":  # before torch's import, which takes seconds: an early Ctrl-C is as clean as a late one
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

import argparse
import concurrent.futures
import contextlib
import csv
import dataclasses
import functools
import hashlib
import html
import io
import json
import os
import re
import secrets
import select
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mnist_efficient_model as challenge
import sandbox
from mnist_efficient_model import MACHINE_ERROR, OK, USAGE, ChallengeError, Limits, argument, percent, write_file

HERE = Path(__file__).resolve().parent
AUTOGRADER = Path("/autograder")  # Gradescope's folder
PROBE = 1_000  # images for each of the two checks beside the accuracy
CHANCE = 0.4  # an untrained model that does better than this on them was trained before
NOISE_DROP = 0.15  # a model that loses more than this to noise nobody sees has memorised the images
SOURCE_BYTES = 1 << 20  # of one file of code
SETTINGS_FILES, SETTINGS_BYTES = {".json", ".yaml", ".yml", ".toml", ".ini", ".cfg"}, 2000  # read by some models
SKIPPED_FOLDERS = {"__pycache__", "__MACOSX", "node_modules", "venv", "env", "site-packages"}
SCORED = ("passed", "failed")  # the statuses of models that ran; the others have no figures to give credit for


# --- Submissions: what a student handed in, as bytes ------------------------------------------------------------------


@dataclass
class Submission:
    """A student's code. Nothing here has been executed."""

    student: str
    main: str = ""  # the model's file, relative to the folder
    files: dict[str, bytes] = field(default_factory=dict)  # all code, by relative name
    omitted: dict[str, str] = field(default_factory=dict)  # all else, with what to say to a model that wants it
    problem: tuple[str, str] | None = None  # status and reason, if there is nothing to run

    def digest(self) -> str:
        found = hashlib.sha256(repr((self.student, self.main, sorted(self.omitted), self.problem)).encode())
        for name in sorted(self.files):
            found.update(f"\0{name}\0{len(self.files[name])}\0".encode(errors="surrogateescape") + self.files[name])
        return found.hexdigest()


def find_submissions(path: Path) -> list[Submission]:
    """One submission per file or folder in ``path``; a file, or a folder with a model.py, is one by itself.

    Raises ChallengeError (status 2) when there is nothing to grade.
    """
    if not path.exists():
        raise ChallengeError(f"{path} does not exist", USAGE)
    alone = path.is_file() or path == AUTOGRADER / "submission"
    if alone or any((path / name).is_file() for name in ("model.py", "src/model.py")):
        return [read_submission(path, path.resolve().name.removesuffix(".py"))]
    entries = sorted(
        entry for entry in path.iterdir() if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS
    )
    entries = [entry for entry in entries if entry.is_dir() or entry.is_symlink() or entry.suffix in (".py", ".ipynb")]
    if not entries:
        raise ChallengeError(f"{path} holds no submissions: put one file or folder per student there", USAGE)
    return [read_submission(entry, entry.name.removesuffix(".py")) for entry in entries]


def read_submission(path: Path, student: str) -> Submission:
    """Read a submission's code, following no link; what is wrong with it becomes its ``problem``."""
    student = student.encode(errors="surrogateescape").decode(errors="replace")
    found = Submission(student)
    try:
        if path.is_symlink():
            found.problem = ("rejected", f"{path.name} is a link, and links are not followed: hand in the file itself")
        elif path.is_file():
            add_file(found, path, path.name)
        else:
            read_folder(found, path)
    except OSError as error:
        found.problem = ("machine_error", f"cannot read {path.name}: {error.strerror or error}")
    if not found.problem:
        found.main, found.problem = choose_main(found)
    return found


def read_folder(found: Submission, root: Path) -> None:
    for folder, folders, names in os.walk(root):
        inside = Path(folder).relative_to(root)
        for name in sorted(folders + names):
            if (link := Path(folder, name)).is_symlink():
                outwards = not link.resolve().is_relative_to(root.resolve())
                if outwards and (link.is_dir() or link.suffix == ".py") and not name.startswith("."):
                    found.problem = (
                        "rejected",
                        f"{inside / name} is a link out of the folder: hand in the file itself",
                    )
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                add_file(found, path, str(inside / name))
        if len(found.files) + len(found.omitted) > 5_000 or sum(map(len, found.files.values())) > 8 * SOURCE_BYTES:
            found.problem = ("rejected", "the folder holds far more than a model's code: hand in the code only")
            return


def add_file(found: Submission, path: Path, name: str) -> None:
    size = path.stat().st_size
    if path.suffix in SETTINGS_FILES and size <= SETTINGS_BYTES:
        found.files[name] = path.read_bytes()
    elif path.suffix != ".py":
        found.omitted[name] = "is not code: a model starts untrained, and learns in its one epoch only"
    elif size > SOURCE_BYTES:
        found.omitted[name] = f"is {size / 1e6:,.1f} MB long, where a file of code may have 1 MB"
    else:
        found.files[name] = path.read_bytes()


def choose_main(found: Submission) -> tuple[str, tuple[str, str] | None]:
    """The file that holds the model, or the problem that there is none."""
    code = [name for name in (*found.files, *found.omitted) if name.endswith(".py")]
    named = sorted((name for name in code if Path(name).name == "model.py"), key=lambda name: (name.count("/"), name))
    for choice in ("model.py", "src/model.py"):
        if choice in named:
            return choice, None
    if len(named) == 1 or (not named and len(code) == 1):
        return (named or code)[0], None
    if not code and any(name.endswith(".ipynb") for name in found.omitted):
        return "", ("invalid", "it is a notebook: put the model into a file model.py")
    if not code:
        return "", ("invalid", "there is no model.py, nor any other Python file")
    return "", ("invalid", f"which of these is the model? {', '.join(code[:5])}: call it model.py, at the top")


# --- Keepers: a process for each worker, which runs strangers' code and knows no label --------------------------------


class KeeperLost(Exception):
    """The keeper did not answer; that is the machine's fault, not the student's."""


class Keeper:
    """A sandbox.py process of our own, with a clean environment. One job at a time."""

    PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")

    def __init__(self) -> None:
        environment = {key: os.environ[key] for key in self.PASSED_ON if key in os.environ}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"), "1")
        environment |= {"TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0",
                        "MPLBACKEND": "agg"}  # fmt: skip
        # glibc: keep freed memory for the next step; a child would spend a fifth of its time on page faults
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
        self.folder = tempfile.mkdtemp(prefix="keeper-")  # for all that it and its children write
        environment["TMPDIR"] = self.folder
        self.process = subprocess.Popen(
            [sys.executable, HERE / "sandbox.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=environment, cwd=self.folder, start_new_session=True,
        )  # fmt: skip

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Have a job done; raises KeeperLost when no answer comes a minute after its time is over."""
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()
            end, answer = time.monotonic() + job["seconds"] + 60, b""
            while not answer.endswith(b"\n"):
                if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                    raise KeeperLost("no answer")
                part = os.read(self.process.stdout.fileno(), 1 << 16)
                if not part:
                    raise KeeperLost(f"exit status {self.process.wait()}")
                answer += part
            return json.loads(answer)
        except OSError as error:
            raise KeeperLost(str(error)) from error

    def close(self) -> None:
        """End the keeper, and with it whatever it runs."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# --- Grading one submission -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What every submission is held to."""

    limits: Limits
    dataset: str
    seeds: tuple[int, ...]
    model_name: str | None
    seconds: float  # for a training child, and for an evaluation child
    memory: int  # bytes, for a child, beside the libraries

    def key(self, submission: Submission, data: str) -> str:
        """Changes when a regrading could give another verdict."""
        parts = [submission.digest(), repr(self), data, repr(challenge.versions()), code_digest()]
        return sha256("\0".join(parts).encode())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@functools.cache
def code_digest() -> str:
    """Of the code that judges; read once for the whole class."""
    return sha256(b"\0".join(Path(m.__file__).read_bytes() for m in (challenge, sandbox, sys.modules[__name__])))


@dataclass
class Run:
    """One seed's epoch and evaluation. None: not measured."""

    seed: int
    parameters: int | None = None
    buffers: int | None = None  # float buffers that are not BatchNorm's statistics, and numbers kept elsewhere
    accuracy: float | None = None
    untrained_accuracy: float | None = None
    train_accuracy: float | None = None  # at the end of the epoch, on augmented images
    train_seconds: float | None = None
    memory_mb: int | None = None
    images_seen: int | None = None
    diverged_at: int | None = None


@dataclass
class Grade:
    """A submission's verdict, as its JSON file holds it. None: not measured."""

    student: str
    status: str
    reason: str
    key: str = ""
    parameters: int | None = None  # the most of all seeds
    buffers: int | None = None
    accuracy: float | None = None  # the median; of an even number of seeds the lower middle one
    accuracy_min: float | None = None
    accuracy_max: float | None = None
    accuracy_interval: tuple[float, float] | None = None  # of the median, 95 %, Wilson
    train_seconds: float | None = None  # median
    runs: list[Run] = field(default_factory=list)
    walls: list[str] = field(default_factory=list)
    log: str = ""  # what the submission printed, the middle left out
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


class Ended(Exception):
    """The verdict came before the end: a child's status and reason."""


class Grader:
    """The trusted side of grading: data, labels and verdicts. Workers share it; each brings its own keeper."""

    def __init__(self, data: challenge.Dataset, settings: Settings, hidden: Sequence[Path], work: Path) -> None:
        self.data, self.settings, self.work = data, settings, work
        python = (sys.prefix, sys.base_prefix, str(HERE))
        hide = [work.resolve(), *(path.resolve() for path in hidden)]
        self.hidden = [str(p) for p in hide if not any(Path(q).is_relative_to(p) for q in python)]
        self.digest = sha256(b"".join(t.numpy().tobytes() for split in (data.train, data.test) for t in split))
        np.save(work / "images.npy", data.train.images.numpy())
        np.save(work / "labels.npy", data.train.labels.to(torch.uint8).numpy())

    def grade(self, submission: Submission, keeper: Callable[[], Keeper]) -> Grade:
        """Train and evaluate a submission with every seed, and judge it. Raises KeeperLost."""
        grade = Grade(submission.student, "", "", self.settings.key(submission, self.digest))
        grade.settings, grade.versions = dataclasses.asdict(self.settings), challenge.versions()
        if submission.problem:
            grade.status, grade.reason = submission.problem
            return grade
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            try:
                for seed in self.settings.seeds:
                    self.run(submission, seed, keeper(), Path(folder), grade)
            except Ended as ended:
                grade.status, grade.reason = ended.args
        self.summarise(grade)
        if not grade.status:
            grade.status, grade.reason = self.judge(grade)
        return grade

    def child(self, keeper: Keeper, submission: Submission, errand: str, grade: Grade, **job: Any) -> dict[str, Any]:
        """Run one child; raises Ended with its status and reason unless it did its errand."""
        settings = self.settings
        answer = keeper.run({
            "errand": errand, "main": submission.main, "omitted": submission.omitted, "hidden": self.hidden,
            "files": {name: source.decode("latin-1") for name, source in submission.files.items()},
            "model_name": settings.model_name, "recipe": challenge.FILE_OVERRIDES, "limit": settings.limits.parameters,
            "seconds": settings.seconds, "memory": settings.memory, **job,
        })  # fmt: skip
        grade.walls = answer["walls"] or grade.walls
        grade.log = answer["log"] or grade.log
        if answer["status"] != "done":
            grade.parameters = answer.get("parameters")
            raise Ended(answer["status"], answer["reason"])
        return answer

    def run(self, submission: Submission, seed: int, keeper: Keeper, folder: Path, grade: Grade) -> None:
        """One seed: an epoch in a training child, then predictions from a fresh evaluation child."""
        run = Run(seed)
        state, answers = folder / f"{seed}.state", folder / f"{seed}.answers"
        paths = {"images": str(self.work / "images.npy"), "labels": str(self.work / "labels.npy")}
        trained = self.child(keeper, submission, "train", grade, seed=seed, result=str(state), **paths)
        grade.runs.append(run)
        run.train_seconds, run.memory_mb = trained["seconds"], trained["memory_mb"]
        run.train_accuracy = trained["train_accuracy"]
        run.images_seen, run.diverged_at = trained["images_seen"], trained["diverged_at"]
        n = len(self.data.train.labels)
        if not run.diverged_at and (run.images_seen != n or not trained["each_once"]):
            raise Ended("rejected", f"its epoch delivered {run.images_seen:,} images, where each of {n:,} is due once")
        run.parameters, run.buffers = self.count(state)

        images, order, truth = self.examination(folder / "images.npy")
        probe = len(images) - len(order)
        job = {"images": str(folder / "images.npy"), "state": str(state), "result": str(answers), "probe": probe}
        tested = self.child(keeper, submission, "evaluate", grade, seed=secrets.randbelow(1 << 31), **job)
        run.buffers += tested["constants"]
        numbers, outside = run.parameters + run.buffers, tested["outside_all"]
        most = self.settings.limits.parameters
        if outside and numbers < most <= numbers + outside:
            where, size = tested["outside"][0]
            reason = (
                f"it keeps {outside:,} numbers outside its parameters and buffers ({size:,} in {where}), which makes "
            )
            raise Ended("rejected", reason + f"{numbers + outside:,} in all: fewer than {most:,} are allowed")
        run.buffers += outside
        raw = answers.read_bytes()
        if len(raw) != len(images):
            raise Ended("rejected", f"{len(raw):,} predictions came back for {len(images):,} images")
        self.mark(run, np.frombuffer(raw, np.uint8), probe, order, truth)

    def count(self, state: Path) -> tuple[int, int]:
        """Parameters, and float buffers beside BatchNorm's statistics, from the weights themselves."""
        try:
            entries = sandbox.unpack(state.read_bytes())
        except ValueError as error:
            raise Ended("rejected", f"the weights that came out of its training are {error}") from error
        sizes = dict.fromkeys(("parameter", "buffer", "statistics", "integers"), 0)
        for _, kind, tensor in entries:
            counted = kind if kind != "buffer" or tensor.is_floating_point() or tensor.is_complex() else "integers"
            sizes[counted] += sandbox.numbers(tensor)
        free = sizes["statistics"] + sizes["integers"]
        if free > max(self.settings.limits.parameters, 1_000):
            raise Ended("rejected", f"its buffers hold {free:,} integers and running statistics: fewer than "
                        f"{self.settings.limits.parameters:,} are free")  # fmt: skip
        return sizes["parameter"], sizes["buffer"]

    def examination(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Write the images that an evaluation child answers for, in an order that only this process knows.

        First a part of the training images, for the untrained model; then all test images, and among them some a
        second time with noise that nobody sees. Returns (all images, for each of the latter the test image it shows,
        labels of the former).
        """
        chance = np.random.default_rng(secrets.randbits(128))
        train, test = self.data.train, self.data.test
        n = len(test.labels)
        probe = chance.permutation(len(train.labels))[:PROBE]
        again = chance.permutation(n)[:PROBE]
        pixels = test.images.numpy()[again].astype(np.int16)
        noisy = np.where(pixels > 0, np.clip(pixels + chance.integers(-3, 4, pixels.shape), 1, 255), 0)
        order = chance.permutation(n + len(again))
        shown = np.concatenate([test.images.numpy(), noisy.astype(np.uint8)])[order]
        images = np.concatenate([train.images.numpy()[probe], shown])
        np.save(path, images)
        return images, np.where(order < n, order, -1 - again[np.maximum(order - n, 0)]), train.labels.numpy()[probe]

    def mark(self, run: Run, answers: np.ndarray, probe: int, order: np.ndarray, truth: np.ndarray) -> None:
        """Compare a child's answers with the labels; raises Ended where they are too good to be honest."""
        untrained, trained = answers[:probe], answers[probe:]
        labels = self.data.test.labels.numpy()
        right = np.zeros(len(labels), bool)
        plain = order >= 0
        right[order[plain]] = trained[plain] == labels[order[plain]]
        run.accuracy = float(right.mean())
        run.untrained_accuracy = float((untrained == truth).mean())
        twice = -1 - order[~plain]
        with_noise, without = float((trained[~plain] == labels[twice]).mean()), float(right[twice].mean())
        if run.untrained_accuracy > CHANCE:
            share = percent(run.untrained_accuracy)
            raise Ended(
                "rejected", f"before any training it gets {share} right, where chance is 10 %: it was trained before"
            )
        if without - with_noise > NOISE_DROP:
            shares = f"{percent(without)} of test images right, but {percent(with_noise)} of the same"
            raise Ended("rejected", f"it gets {shares} with noise that nobody sees: it has memorised images")

    def summarise(self, grade: Grade) -> None:
        runs = [run for run in grade.runs if run.accuracy is not None]
        if not runs:
            return
        accuracies = [run.accuracy for run in runs]
        grade.accuracy = statistics.median_low(accuracies)
        grade.accuracy_min, grade.accuracy_max = min(accuracies), max(accuracies)
        grade.accuracy_interval = challenge.wilson_interval(grade.accuracy, len(self.data.test.labels))
        grade.train_seconds = statistics.median(run.train_seconds for run in runs)
        grade.parameters, grade.buffers = max(run.parameters for run in runs), max(run.buffers for run in runs)

    def judge(self, grade: Grade) -> tuple[str, str]:
        """Passed or failed, and why, of a model that ran with every seed."""
        limits, broken = self.settings.limits, []
        total = grade.parameters + grade.buffers
        what = f"{grade.parameters:,} parameters"
        if grade.buffers:
            what += f" and {grade.buffers:,} numbers in buffers or kept elsewhere, {total:,} in all"
        if total >= limits.parameters:
            broken.append(f"{what}: {total - limits.parameters + 1:,} too many to be under {limits.parameters:,}")
        if not grade.accuracy >= limits.accuracy:
            short = 100 * (limits.accuracy - grade.accuracy)
            reason = (
                f"accuracy {percent(grade.accuracy)} (median of {len(grade.runs)} seeds): {short:.2f} points short of "
            )
            broken.append(reason + percent(limits.accuracy) + self.advice(grade))
        if broken:
            return "failed", "; ".join(broken)
        return "passed", f"{what}, accuracy {percent(grade.accuracy)}"

    def advice(self, grade: Grade) -> str:
        """What may be behind a low accuracy."""
        middle = next(run for run in grade.runs if run.accuracy == grade.accuracy)
        if middle.diverged_at:
            return f"; the loss stopped being a number at step {middle.diverged_at:,}: set a smaller lr in RECIPE"
        if middle.train_accuracy - grade.accuracy > 0.3:
            reached = (
                f"; it reached {percent(middle.train_accuracy)} in training, but not when rebuilt from what was saved: "
            )
            return reached + "keep what is learned in nn.Parameter and layers in nn.ModuleList, and mind eval()"
        return ""


# --- The score: a rubric over the verdict -----------------------------------------------------------------------------


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
    most = limits.parameters
    return [
        Criterion("Builds, trains and answers", "runs", 10, 1, 0),
        Criterion(f"Fewer than {most:,} parameters", "parameters", 30, most - 1, 2 * most),
        Criterion(f"Accuracy of {percent(limits.accuracy)}", "accuracy", 60, limits.accuracy, limits.accuracy / 2),
    ]


def read_rubric(path: str | None, limits: Limits) -> list[Criterion]:
    """The default rubric, or that of a TOML file; raises ChallengeError (status 2) saying what is wrong with it.

    The file is a list of ``[[criterion]]`` with name, measure, points, and full and zero (both but for "runs").
    """
    if path is None:
        return default_rubric(limits)
    try:
        import tomllib  # Python 3.11
    except ImportError:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise ChallengeError("--rubric needs Python 3.11 or later, or: pip install tomli", USAGE) from error
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
        raise ChallengeError(f"{path} is not a rubric ({error}): see README, 'Rubric'", USAGE) from error
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


def points(criterion: Criterion, grade: Grade) -> float | None:
    """The points of one criterion, rounded down to tenths so that a limit just missed is never full; None: unscored."""
    if grade.status == "machine_error":
        return None
    if grade.status not in SCORED:
        return 0.0
    if criterion.measure == "runs":
        return float(criterion.points)
    share = (MEASURES[criterion.measure](grade) - criterion.zero) / (criterion.full - criterion.zero)
    return int(10 * criterion.points * min(1.0, max(0.0, share)) + 1e-9) / 10


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
            "parameters": grade.parameters,
            "accuracy_median": grade.accuracy,
            "accuracy_min": grade.accuracy_min,
            "accuracy_max": grade.accuracy_max,
            "train_seconds": None if grade.train_seconds is None else round(grade.train_seconds, 2),
            "reason": grade.reason,
        }


RANKED = ("student", "accuracy_median", "parameters", "train_seconds")  # what the leaderboard shows of a row


def leaderboard(gradebook: Iterable[Scored]) -> list[dict[str, Any]]:
    """Rows of the passed ones: by accuracy, then fewest parameters, then shortest training."""
    passed = [scored for scored in gradebook if scored.grade.status == "passed"]
    passed.sort(key=lambda s: (-s.grade.accuracy, s.grade.parameters, s.grade.train_seconds, s.grade.student))
    rows = [scored.row() for scored in passed]
    return [{"rank": rank, **{name: row[name] for name in RANKED}} for rank, row in enumerate(rows, 1)]


# --- Exporters --------------------------------------------------------------------------------------------------------


def cell(value: Any) -> Any:
    """A value for a spreadsheet: text like a formula gets a quote before it (OWASP, CSV injection)."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@", "|", "%") else text


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 1rem;
       color-scheme: light dark }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: left; vertical-align: top }
td:last-child:not(.number) { min-width: 22rem }
.number { text-align: right; white-space: nowrap } .passed { color: #1a7f37 } .rejected { color: #cf222e }
pre { overflow: auto; background: #8882; padding: .6rem; white-space: pre-wrap }
"""


def shown(field_name: str, value: Any) -> str:
    if value is None:
        return ""
    if field_name.startswith("accuracy"):
        return percent(value)
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def to_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as an HTML table, everything escaped."""
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in rows[0])
    body = ""
    for row in rows:
        cells = ""
        for name, value in row.items():
            kind = "number" if isinstance(value, (int, float)) else ("" if name != "status" else value)
            cells += f'<td class="{html.escape(str(kind))}">{html.escape(shown(name, value))}</td>'
        body += f"<tr>{cells}</tr>\n"
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def to_details(scored: Scored) -> str:
    """One submission's points, runs and prints, folded."""
    grade = scored.grade
    credit = [{"criterion": c.name, "points": p, "of": c.points} for c, p in scored.parts]
    parts = [f"<p>{html.escape(grade.reason)}</p>", to_table(credit)]
    if grade.runs:
        parts.append(to_table([dataclasses.asdict(run) for run in grade.runs]))
    if grade.log:
        parts.append(f"<p>It printed:</p><pre>{html.escape(grade.log)}</pre>")
    title = html.escape(f"{grade.student}: {grade.status}")
    return f"<details><summary>{title}</summary>{''.join(parts)}</details>"


def to_page(gradebook: Sequence[Scored], settings: Settings) -> str:
    limits = settings.limits
    walls = sorted({wall for scored in gradebook for wall in scored.grade.walls})
    held = (
        f"Fewer than {limits.parameters:,} parameters, at least {percent(limits.accuracy)} of the test images of "
        f"{settings.dataset}, one augmented epoch; the median of {len(settings.seeds)} seeds. "
        f"Walls: {', '.join(walls) or 'processes only'}."
    )
    best = leaderboard(gradebook)
    board = to_table(best) if best else "<p>Nobody has passed yet.</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Grades</title><style>{STYLE}</style>'
        f"<h1>Grades</h1><p>{html.escape(held)}</p><h2>Gradebook</h2>{to_table([s.row() for s in gradebook])}"
        f"<h2>Leaderboard</h2>{board}<h2>Submissions</h2>{''.join(map(to_details, gradebook))}</html>\n"
    )


def to_gradescope(scored: Scored, seconds: float) -> dict[str, Any]:
    """https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format"""
    grade = scored.grade
    tests = [
        {"name": c.name, "score": p or 0.0, "max_score": c.points, "status": "passed" if p == c.points else "failed",
         "output": f"{grade.status}: {grade.reason}", "visibility": "visible"}
        for c, p in scored.parts
    ]  # fmt: skip
    board = [] if grade.status != "passed" else [
        {"name": "Accuracy", "value": grade.accuracy, "order": "desc"},
        {"name": "Parameters", "value": grade.parameters, "order": "asc"},
        {"name": "Seconds", "value": round(grade.train_seconds, 2), "order": "asc"},
    ]  # fmt: skip
    total = scored.score if scored.score is not None else 0.0
    return {"score": total, "execution_time": round(seconds, 2), "output": f"{grade.status}: {grade.reason}",
            "visibility": "visible", "tests": tests, "leaderboard": board}  # fmt: skip


def to_classroom(scored: Scored) -> dict[str, Any]:
    """Classroom 50's result.json, with whole points, rounded down."""
    tests = [
        {"test-name": c.name, "passed": p == c.points, "score": int(p or 0), "max-score": c.points}
        for c, p in scored.parts
    ]
    score = sum(test["score"] for test in tests)
    return {"schema": "classroom50/result/v1", "score": score, "max-score": scored.max_score, "tests": tests}


def to_summary(gradebook: Sequence[Scored]) -> str:
    """Markdown for a GitHub Actions job: verdicts first, prints folded."""

    def text(value: Any) -> str:
        return html.escape(" ".join(str(value).split())).replace("|", "\\|").replace("`", "'")

    lines = []
    for scored in gradebook:
        grade = scored.grade
        lines += [f"### {text(grade.student)}: {grade.status}", "", text(grade.reason), ""]
        lines += ["| criterion | points | of |", "|---|---:|---:|"]
        lines += [f"| {text(c.name)} | {'' if p is None else p} | {c.points} |" for c, p in scored.parts]
        if grade.log:
            lines += ["", f"<details><summary>What it printed</summary><pre>{html.escape(grade.log)}</pre></details>"]
        lines.append("")
    return "\n".join(lines)


def file_name(student: str) -> str:
    """A name for a student's files: safe on every system, and different for different students."""
    safe = re.sub(r"[^\w.-]+", "_", student, flags=re.ASCII).strip("._")[:60]
    return safe if safe == student else f"{safe}-{sha256(student.encode())[:8]}"


def write_gradebook(out: Path, gradebook: Sequence[Scored], settings: Settings) -> None:
    """All that a teacher opens. The JSON files are written one by one, as grades come in."""
    write_file(out / "grades.csv", to_csv([scored.row() for scored in gradebook]))
    write_file(out / "report.html", to_page(gradebook, settings))
    best = leaderboard(gradebook)
    write_file(out / "leaderboard.csv", to_csv(best) if best else ",".join(("rank", *RANKED)) + "\n")


def write_exports(out: Path, gradebook: Sequence[Scored], seconds: float) -> None:
    """What Classroom 50, Gradescope and GitHub Actions read, where they ask for it."""
    if len(gradebook) == 1:
        write_file(out / "result.json", json.dumps(to_classroom(gradebook[0]), indent=2) + "\n")
        if AUTOGRADER.is_dir():
            document = json.dumps(to_gradescope(gradebook[0], seconds), indent=2)
            write_file(AUTOGRADER / "results" / "results.json", document + "\n")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(to_summary(gradebook))
        except OSError as error:
            raise ChallengeError(f"cannot write {summary}: {error.strerror}", MACHINE_ERROR) from error


SETUP = """#!/usr/bin/env bash
# Run once by Gradescope when the image is built: Python's packages and the data.
set -euo pipefail
cd /autograder/source
apt-get update && apt-get install -y python3-pip
python3 -m pip install --break-system-packages -r requirements.txt || python3 -m pip install -r requirements.txt
python3 -c 'import mnist_efficient_model as m; m.load_dataset({dataset!r})'
"""
RUN_AUTOGRADER = """#!/usr/bin/env bash
# Run by Gradescope for every submission; writes /autograder/results/results.json.
cd /autograder/source
exec python3 grade.py /autograder/submission --out /tmp/grades {options}
"""


def write_autograder(path: Path, arguments: argparse.Namespace) -> None:
    """The zip to upload to Gradescope, with the scripts at its root; a fixed time makes it the same every time."""
    options = f"--dataset {arguments.dataset} --seeds {arguments.seeds} --max-parameters {arguments.max_parameters} "
    options += f"--min-accuracy {arguments.min_accuracy} --timeout {arguments.timeout} --memory {arguments.memory}"
    files = {
        "setup.sh": SETUP.format(dataset=arguments.dataset),
        "requirements.txt": "".join(
            f"{line}\n"
            for line in (HERE / "requirements.txt").read_text().splitlines()
            if not line.startswith(("pytest", "ruff"))
        ),
    }
    modules = ("grade", "sandbox", "mnist_efficient_model", "data/__init__", "data/strokes")
    for name in (f"{module}.py" for module in modules):
        files[name] = (HERE / name).read_text(encoding="utf-8")
    if arguments.rubric:
        read_rubric(arguments.rubric, Limits())
        files["rubric.toml"] = Path(arguments.rubric).read_text(encoding="utf-8")
        options += " --rubric rubric.toml"
    if arguments.model_name:
        options += f" --model-name {arguments.model_name}"
    files["run_autograder"] = RUN_AUTOGRADER.format(options=options)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name in ("setup.sh", "run_autograder") else 0o644) << 16
            archive.writestr(entry, text)
    write_file(path, content.getvalue())


# --- The class --------------------------------------------------------------------------------------------------------


def saved(path: Path, key: str) -> Grade | None:
    """The grade in a JSON file, if it was given to the same code under the same settings."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] != key or content["status"] == "machine_error":
            return None
        return Grade(**{**content, "runs": [Run(**run) for run in content["runs"]]})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def grade_all(grader: Grader, submissions: Sequence[Submission], out: Path, jobs: int) -> list[Grade]:
    """Grade every submission that has no grade yet, ``jobs`` at a time; says on stderr how it goes."""
    grades: dict[int, Grade] = {}
    for i, submission in enumerate(submissions):
        found = saved(json_path(out, submission), grader.settings.key(submission, grader.digest))
        if found:
            grades[i] = found
    if grades:
        sys.stderr.write(f"{len(grades):,} of {len(submissions):,} were graded before and have not changed\n")
    local, keepers, lock, over = threading.local(), [], threading.Lock(), threading.Event()

    def keeper() -> Keeper:
        if not hasattr(local, "keeper"):
            local.keeper = Keeper()
            keepers.append(local.keeper)
        return local.keeper

    def lose_keeper() -> None:
        if hasattr(local, "keeper"):
            local.keeper.close()
            del local.keeper

    def work(i: int) -> None:
        submission = submissions[i]
        try:
            try:
                grade = grader.grade(submission, keeper)
            except KeeperLost:  # once more with a new one: it may have been bad luck
                if over.is_set():
                    return
                lose_keeper()
                grade = grader.grade(submission, keeper)
        except (KeeperLost, OSError) as error:
            lose_keeper()
            reason = f"the grading machine failed ({error}): grade again; this is not the student's fault"
            grade = Grade(submission.student, "machine_error", reason)
        write_file(json_path(out, submission), json.dumps(dataclasses.asdict(grade), indent=2) + "\n")
        with lock:
            grades[i] = grade
            line = f"[{len(grades)}/{len(submissions)}] {cell(grade.student)}: {grade.status}: {cell(grade.reason)}"
            sys.stderr.write(f"{line}  ({len(submissions) - len(grades)} remain)\n")
            sys.stderr.flush()

    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        waiting = [pool.submit(work, i) for i in range(len(submissions)) if i not in grades]
        for future in concurrent.futures.as_completed(waiting):
            future.result()
    finally:
        over.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for one in keepers:
            one.close()
        pool.shutdown(wait=True)
    return [grades[i] for i in range(len(submissions))]


def json_path(out: Path, submission: Submission) -> Path:
    return out / "students" / f"{file_name(submission.student)}.json"


# --- The command line -------------------------------------------------------------------------------------------------


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = challenge.Parser(
        prog="grade.py",
        description="Hold models to the limits of the efficient-MNIST challenge: each is trained for one epoch by the "
        "challenge's own engine and tested in a fresh process, behind walls.",
        epilog="exit status: 0 grading worked, whatever the grades; 2 usage; 4 data or machine",
    )
    add = parser.add_argument
    limits = Limits()
    add("submissions", nargs="?", type=Path, metavar="SUBMISSIONS", help="a folder of them, or one file or folder")
    add("--out", type=Path, default=Path("grades"), metavar="DIR", help="where the gradebook goes (default: grades/)")
    add(
        "--seeds",
        type=argument(int, 1),
        default=3,
        metavar="K",
        help="runs per submission, judged on the median (default: 3)",
    )
    add("--seed", type=argument(int, 0), default=0, metavar="N", help="the first seed (default: 0)")
    add("--jobs", type=argument(int, 1), default=1, metavar="N", help="submissions graded side by side (default: 1)")
    add("--max-parameters", type=argument(int, 1), default=limits.parameters, metavar="N",
        help=f"fewer than this (default: {limits.parameters})")  # fmt: skip
    add("--min-accuracy", type=share, default=limits.accuracy, metavar="X", help=f"default: {limits.accuracy}")
    add("--rubric", metavar="FILE.toml", help="how points are given (default: 10 runs, 30 parameters, 60 accuracy)")
    add("--model-name", metavar="NAME", help="the class or function to take when a file has several")
    add("--dataset", default="mnist", choices=tuple(challenge.DATASETS), help="default: mnist")
    add("--data-dir", metavar="DIR", help="where the data is or goes (default: $MNIST_DATA_DIR, else data/)")
    add(
        "--timeout",
        type=argument(float, 0.001),
        default=300.0,
        metavar="S",
        help="seconds for each epoch (default: 300)",
    )
    add("--memory", type=argument(int, 1), default=2048, metavar="MB", help="memory for each child (default: 2048)")
    add("--gradescope", type=Path, metavar="OUT.zip", help="write the autograder with these settings, grade nothing")
    add("--version", action="version", version=f"%(prog)s {challenge.__version__}")
    return parser.parse_args(argv)


def share(text: str) -> float:
    """An argparse type: a share from 0 to 1."""
    value = argument(float, 0)(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def command(arguments: argparse.Namespace) -> int:
    """Do what the command line asks; returns the exit status."""
    start = time.monotonic()
    if arguments.gradescope:
        write_autograder(arguments.gradescope, arguments)
        print(
            f"wrote {arguments.gradescope}: upload it to Gradescope, and choose a container of 3 GB and 2 CPUs or more"
        )
        return OK
    if arguments.submissions is None:
        raise ChallengeError("which submissions? give a folder, or one file (see --help)", USAGE)
    if sandbox.resource is None:
        raise ChallengeError("grading needs Linux or macOS; on Windows run it in WSL or a container", MACHINE_ERROR)
    limits = Limits(arguments.max_parameters, arguments.min_accuracy)
    rubric = read_rubric(arguments.rubric, limits)
    submissions = find_submissions(arguments.submissions)
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    memory = arguments.memory << 20
    data = challenge.load_dataset(arguments.dataset, arguments.data_dir)
    settings = Settings(limits, data.name, seeds, arguments.model_name, arguments.timeout, memory)
    write_file(arguments.out / ".writable", "")  # told before the grading, not after it
    (arguments.out / ".writable").unlink()
    work = Path(tempfile.mkdtemp(prefix="grading-"))
    try:
        places = [arguments.submissions, arguments.out, HERE / "data"]
        places += [Path(place) for place in (arguments.data_dir, os.environ.get("MNIST_DATA_DIR")) if place]
        grader = Grader(data, settings, [place for place in places if place.is_dir()], work)
        grades = grade_all(grader, submissions, arguments.out, arguments.jobs)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    gradebook = [Scored(grade, [(criterion, points(criterion, grade)) for criterion in rubric]) for grade in grades]
    write_gradebook(arguments.out, gradebook, settings)
    write_exports(arguments.out, gradebook, time.monotonic() - start)
    counts = {status: sum(g.status == status for g in grades) for status in sorted({g.status for g in grades})}
    print(
        f"{len(grades):,} graded: {', '.join(f'{n:,} {status}' for status, n in counts.items())}; see {arguments.out}"
    )
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    try:
        return command(parse_arguments(argv))
    except ChallengeError as error:
        print(f"grade.py: error: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        what = f"cannot write {error.filename or 'the grades'}: {error.strerror or error}"
        print(f"grade.py: error: {what}", file=sys.stderr)
        return MACHINE_ERROR
    except KeyboardInterrupt:
        print("\ninterrupted: what was graded is kept; run again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    for ending in (signal.SIGINT, signal.SIGTERM):  # both raise KeyboardInterrupt: no child outlives the grader
        signal.signal(ending, signal.default_int_handler)
    sys.exit(main())
