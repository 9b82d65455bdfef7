"""The trusted side of one submission: its seeds and the verdict. Runs no line and no operator of it.

    build (its code) -> graph.read, count -> train (the graph) -> weights -> test (the graph) -> logits -> verdict

Where the code cannot become a graph, ``train_code`` and ``test_code`` run it instead, and the grade is not verified.
Labels are permuted anew for each seed; the order of the test images is known here only.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
import struct
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mnist_efficient_model as challenge
from grading import checks, finding, graph, source, verdict
from grading.checks import BATCHES, Exam
from grading.grades import Grade, Run, Settings, sha256, versions
from grading.sandbox import state
from grading.sandbox.forkserver import Worker
from grading.sandbox.isolation import FILE_BYTES
from grading.sandbox.watch import safe_text
from grading.submissions import Submission
from mnist_efficient_model import percent

CHANCE = 0.4  # an untrained model that does better than this was trained before
NOISE_DROP = 0.15  # a model that loses more than this to noise nobody sees has memorised the images
DESCRIPTION_BYTES = 6_000  # real student models: 78 to 700 bytes, whole training scripts up to 2,400
FAR_OVER = 40  # times the limit of parameters: no epoch is spent on such a model


class Ended(Exception):
    """The verdict came before the end: a status and a reason."""


@dataclass
class Case:
    """One submission while it is graded."""

    grade: Grade
    worker: Callable[[], Worker]
    folder: Path  # for its files
    task: dict[str, Any]  # what all its tasks share


class Grader:
    """Data, labels and verdicts. Threads share it; each brings its own worker."""

    def __init__(self, data: challenge.Dataset, settings: Settings, hidden: Sequence[Path], work: Path) -> None:
        self.data, self.settings, self.work = data, settings, work
        self.hidden = [str(path.resolve()) for path in (work, *hidden)]
        self.digest = sha256(b"".join(t.numpy().tobytes() for split in (data.train, data.test) for t in split))
        self.images = work / "images"
        self.images.write_bytes(data.train.images.numpy().tobytes())

    def grade(self, submission: Submission, worker: Callable[[], Worker]) -> Grade:
        """Build, train, test a submission with every seed, and judge it. Raises WorkerLost."""
        grade = Grade(submission.student, "", "", self.settings.key(submission, self.digest))
        grade.settings, grade.versions = dataclasses.asdict(self.settings), versions()
        if submission.problem:
            grade.status, grade.reason = submission.problem[0], safe_text(submission.problem[1])
            return grade
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            try:
                case = self.open(submission, grade, worker, Path(folder))
                for seed in self.settings.seeds:
                    self.run(case, seed)
            except Ended as ended:
                grade.status, grade.reason = ended.args[0], safe_text(ended.args[1])
        verdict.summarise(grade, len(self.data.test.labels))
        if grade.accuracy is None and grade.verified:
            grade.verified = None  # there is nothing to verify
        if not grade.status:
            grade.status, grade.reason = verdict.judge(grade, self.settings.limits)
        if grade.import_cut and not grade.reason.startswith(grade.import_cut[:200]):  # else it is the reason
            grade.reason = safe_text(f"{grade.reason}; its import ended early: {grade.import_cut}")
        return grade

    def open(self, submission: Submission, grade: Grade, worker: Callable[[], Worker], folder: Path) -> Case:
        """Find the model's file and read its code: what is laid out, and how long it is. Raises Ended, WorkerLost."""
        main, name = self.find(submission, worker, folder)
        grade.model = f"{main}:{name}" if name else main
        files = source.needed(submission.files, main)
        grade.verified, grade.description_bytes = True, source.description_length(files)
        if grade.description_bytes > DESCRIPTION_BYTES:
            bound = f"{DESCRIPTION_BYTES:,}: it could bring weights from home"
            grade.doubt(f"its code is {grade.description_bytes:,} bytes long when compressed, more than {bound}")
        return Case(grade, worker, folder, self.code(submission, main, name, files))

    def find(self, submission: Submission, worker: Callable[[], Worker], folder: Path) -> tuple[str, str | None]:
        """The model's file, and its name where the file has several models; raises Ended, WorkerLost."""
        main, name = submission.candidates[0], submission.name or self.settings.model_name
        if len(submission.candidates) == 1:
            return main, name

        def look(main: str) -> dict[str, Any]:
            task = self.code(submission, main, name, source.needed(submission.files, main))
            result = str(folder / "find.result")
            return worker().run(
                {**task, "kind": "find", "result": result, "seed": self.settings.seeds[0], "inputs": {}}
            )

        try:
            main, found = finding.settle(submission.files, submission.candidates, look)
        except finding.Undecided as undecided:
            raise Ended(*undecided.args) from undecided
        return main, name or found

    def code(self, submission: Submission, main: str, name: str | None, files: dict[str, bytes]) -> dict[str, Any]:
        """What every task that runs a submission's code gets: the model's file and name, and the files laid out."""
        unnamed = {each: "the model's code does not name" for each in submission.files.keys() - files.keys()}
        return {
            "main": main, "model_name": name, "omitted": {**submission.omitted, **unnamed}, "hidden": self.hidden,
            "files": {each: content.decode("latin-1") for each, content in files.items()},
            "seconds": self.settings.seconds, "memory": self.settings.memory,
        }  # fmt: skip

    def child(self, case: Case, kind: str, **task: Any) -> tuple[bytes, dict[str, Any]]:
        """Run one child; returns its bytes and the worker's answer. Raises Ended for a verdict, WorkerLost."""
        result = case.folder / f"{kind}.result"
        code = case.task if kind in ("build", "train_code", "test_code") else {**case.task, "files": {}, "omitted": {}}
        answer = case.worker().run({**code, "kind": kind, "result": str(result), **task})
        grade = case.grade
        grade.isolation = answer["isolation"] or grade.isolation
        grade.log = answer["log"] or grade.log
        grade.import_cut = safe_text(answer["facts"].get("import_cut") or grade.import_cut, 300)
        if answer["status"] == "too_large":
            grade.parameters, grade.buffers = FILE_BYTES // 4, 0
            raise Ended("failed", f"more than {grade.parameters:,} parameters: far over the limit")
        if answer["status"] not in ("done", "not_a_graph"):
            raise Ended(answer["status"], answer["reason"])
        return result.read_bytes(), answer

    def run(self, case: Case, seed: int) -> None:
        """One seed: build, train for one epoch, test."""
        run = Run(seed)
        case.grade.runs.append(run)
        program, config = self.build(case, run)
        if self.settings.verified_only and not case.grade.verified:
            raise Ended("invalid", f"not verified, and only verified grades count: {'; '.join(case.grade.doubts)}")
        n, names = len(self.data.train.labels), secret_permutation()
        run.labels = names.tolist()
        labels = self.put(case, "labels", names[self.data.train.labels.numpy()].astype(np.uint8).tobytes())
        kind, inputs = ("train", {"program": program}) if program else ("train_code", {})
        weights, trained = self.child(case, kind, seed=seed, config=dataclasses.asdict(config),
                                      inputs={**inputs, "images": str(self.images), "labels": labels})  # fmt: skip
        self.note(run, trained)
        if not program:
            self.count(case, run, weights)
        if not run.diverged_at and (run.images_seen != n or trained["facts"].get("each_once") is not True):
            raise Ended("rejected", f"its epoch delivered {run.images_seen} images, where each of {n:,} is due once")
        self.test(case, run, program, self.put(case, "weights", weights), names)

    def put(self, case: Case, name: str, content: bytes) -> str:
        """Write an input of a task; returns its path."""
        path = case.folder / name
        path.write_bytes(content)
        return str(path)

    def build(self, case: Case, run: Run) -> tuple[str | None, challenge.Config]:
        """Export the model with the seed of a run; returns the path of its graph, or None if it is none."""
        first = run.seed == self.settings.seeds[0]
        raw, answer = self.child(case, "build", seed=run.seed, second_build=first, batch_sizes=BATCHES,
                                 images=len(self.data.train.labels), inputs={})  # fmt: skip
        config = self.read_config(answer["facts"].get("recipe"))
        if answer["status"] == "not_a_graph":
            case.grade.doubt(f"it cannot become a graph: {answer['reason']}")
            return None, config
        length = struct.unpack("<Q", raw[:8].ljust(8, b"\0"))[0]
        exported, other = raw[8 : 8 + length], raw[8 + length :]
        try:
            program = graph.read(exported)
        except graph.Refused as refusal:
            case.grade.doubt(f"it cannot become a graph: {safe_text(refusal, 300)}")
            return None, config
        count = program.count()
        run.parameters, run.buffers = count.parameters, count.buffers
        case.grade.largest = largest((t.name, t.numel) for t in program.tensors if t.role != "statistics")
        self.check_size(run)
        if first and (fixed := checks.brought_along(program, other)):
            case.grade.doubt(f"{fixed:,} of its initial weights do not depend on the seed, and are no simple pattern")
        return self.put(case, "program", exported), config

    def read_config(self, recipe: Any) -> challenge.Config:
        """The recipe that a child reports, checked like any; raises Ended."""
        try:
            config = challenge.Config(**challenge.read_recipe(recipe))
        except challenge.ChallengeError as error:
            raise Ended("invalid", str(error)) from error
        if config.batch_size > len(self.data.train.labels):
            raise Ended("invalid", f"RECIPE: batch_size {config.batch_size:,}: there are fewer images")
        return config

    def check_size(self, run: Run) -> None:
        """Spend no epoch on a model far over the limit, nor on one that has nothing to train; raises Ended."""
        total, most = run.parameters + run.buffers, self.settings.limits.parameters
        if not run.parameters:
            raise Ended("invalid", "the model has no parameters to train")
        if total > FAR_OVER * most:
            raise Ended("failed", f"{total:,} parameters and other numbers: far over the limit of {most:,}")

    def note(self, run: Run, trained: dict[str, Any]) -> None:
        """What a worker and its child tell of an epoch; only finite numbers are taken."""
        facts = trained["facts"]
        run.train_seconds, run.memory_mb = trained["seconds"], trained["memory_mb"]
        run.train_accuracy = number(facts.get("train_accuracy"))
        run.images_seen, run.diverged_at = whole(facts.get("images_seen")), whole(facts.get("diverged_at"))

    def count(self, case: Case, run: Run, weights: bytes) -> None:
        """Count the weights that came out of a submission's own code."""
        try:
            found = state.unpack(weights)
        except ValueError as error:
            raise Ended("rejected", f"the weights that came out of its training are {error}") from error
        run.parameters = sum(e.numbers for e in found if e.kind == "parameter")
        run.buffers = sum(e.numbers for e in found if e.kind == "buffer")
        case.grade.largest = largest((e.name, e.numbers) for e in found if e.kind != "statistics")
        self.check_size(run)

    def test(self, case: Case, run: Run, program: str | None, weights: str, names: np.ndarray) -> None:
        """Have all test images answered twice, and once more one by one where the answers differ; raises Ended."""
        exam = Exam(self.data)
        logits = self.answers(case, program, weights, exam.images, exam.parts)
        untrained = exam.untrained_accuracy(logits[0])
        run.untrained_accuracy = untrained
        if untrained > CHANCE:
            found = f"before any training it gets {percent(untrained)} right, where chance is 10 %"
            raise Ended("rejected", f"{found}: it was trained before")
        if exam.moved(logits[1], logits[2]):
            run.one_by_one = True
            logits = self.answers(case, program, weights, *exam.one_by_one())
        right, noisy = exam.right(logits[1], names)
        run.accuracy = float(right.mean())
        without = float(right[exam.twice].mean())
        if without - noisy > NOISE_DROP:
            shares = f"{percent(without)} of test images right, but {percent(noisy)} of the same"
            raise Ended("rejected", f"it gets {shares} with noise that nobody sees: it has memorised images")

    def answers(
        self, case: Case, program: str | None, weights: str, images: np.ndarray, parts: list[tuple[int, int]]
    ) -> list[np.ndarray]:
        """The logits of each part of the images, float32 (n, 10); raises Ended."""
        kind, inputs = ("test", {"program": program}) if program else ("test_code", {})
        inputs |= {"weights": weights, "images": self.put(case, "exam", images.tobytes())}
        raw, _ = self.child(case, kind, seed=secrets.randbelow(1 << 31), parts=parts, inputs=inputs)
        if len(raw) != len(images) * challenge.CLASSES * 4:
            raise Ended("rejected", f"{len(raw):,} bytes of answers came back for {len(images):,} images")
        logits = np.frombuffer(raw, np.float32).reshape(-1, challenge.CLASSES)
        return np.split(logits, np.cumsum([count for count, _ in parts])[:-1])


def secret_permutation() -> np.ndarray:
    """What each class is called in one run: an honest model cannot tell, one that brings answers from home is wrong."""
    return np.random.default_rng(secrets.randbits(128)).permutation(challenge.CLASSES)


def largest(tensors: Iterable[tuple[str, int]]) -> tuple[str, int] | None:
    """The name and the numbers of the largest tensor."""
    name, numbers = max(tensors, key=lambda tensor: tensor[1], default=("", 0))
    return (safe_text(name, 80), numbers) if numbers else None


def number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 40 else None
