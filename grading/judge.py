"""The trusted side of one submission: its seeds and the verdict. Runs no line and no operator of it.

    read -> find -> build (its code) -> graph.read, count -> train (the graph) -> weights -> test -> logits -> verdict

Where the code cannot become a graph, it is run itself, and the grade is not verified. Labels are permuted anew for each
seed; the order of the test images is known here only. After the last seed, the graph is trained once more from other
initial values, drawn here: a grade that depends on the model's own is not verified.
"""

from __future__ import annotations

import dataclasses
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

import mnist_efficient_model as challenge
from grading import graph
from grading.case import ASK, Case, Ended, RunTask
from grading.checks import BATCHES, Exam
from grading.grades import Grade, Run, Settings, judge, sha256, summarise, versions
from grading.sandbox import state
from grading.sandbox.reasons import RECIPE
from grading.sandbox.watch import safe_text
from grading.submissions import Submission
from mnist_efficient_model import percent

UNTRAINED_ACCURACY = 0.4  # an untrained model that does better than this was trained before
START_DROP = 0.02  # what accuracy may lose from other initial values, in the best of up to DRAWS epochs
DRAWS = 3
NOISE_DROP = 0.15  # a model that loses more than this to noise nobody sees has memorised the images
MISTAKES = 12  # that a student is shown, the most confident
FAR_OVER = 40  # times the limit of parameters: no epoch is spent on such a model
UNTRAINED = "A model must start untrained: take loaded weights and fixed tables out."
NO_MEMORISING = "The model must read digits, not recognise stored images: take what it stores out."
RANDOM_START = "Start from random weights (torch.nn.init). For a fixed basis that you chose, ask your teacher to look."
NO_WRITING = "Change buffers only in training: if self.training."
AS_A_GRAPH = (
    "Make forward a fixed list of PyTorch operations on its input: nothing kept between calls, no random Python."
)


class Grader:
    """Data, labels and verdicts. Threads share it."""

    def __init__(self, data: challenge.Dataset, settings: Settings, hidden: Sequence[Path], work: Path) -> None:
        self.data, self.settings, self.work = data, settings, work
        self.hidden = [str(path.resolve()) for path in (work, *hidden)]
        self.digest = sha256(b"".join(t.numpy().tobytes() for split in (data.train, data.test) for t in split))
        self.images = work / "images"
        self.images.write_bytes(data.train.images.numpy().tobytes())

    def grade(self, submission: Submission, run: RunTask) -> Grade:
        """Build, train, test a submission with every seed, and judge it. Raises WorkerLost."""
        grade = Grade(submission.student, "", "", key=self.settings.key(submission, self.digest))
        grade.settings, grade.versions = dataclasses.asdict(self.settings), versions()
        grade.date = datetime.now().astimezone().isoformat(timespec="minutes")
        if submission.problem:
            grade.status, grade.reason, grade.advice = map(safe_text, submission.problem)
            return grade
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            try:
                case = Case(grade, self.settings, self.hidden, run, Path(folder))
                case.open(submission)
                for seed in self.settings.seeds:
                    self.run(case, seed)
            except Ended as ended:
                grade.status, grade.reason, grade.advice = ended.status, ended.reason, ended.advice
        summarise(grade, len(self.data.test.labels))
        if grade.accuracy is None and grade.verified:
            grade.verified = None  # there is nothing to verify
        if not grade.status:
            grade.status, grade.reason = judge(grade, self.settings.limits)
        return grade

    def run(self, case: Case, seed: int) -> None:
        """One seed: build, train for one epoch, test."""
        run = Run(seed)
        case.grade.runs.append(run)
        program, config = self.build(case, run)
        self.insist(case)
        run.labels = secret_permutation().tolist()
        weights, trained = self.train(case, run, program, config)
        facts = trained["facts"]
        run.train_seconds, run.memory_mb = trained["seconds"], trained["memory_mb"]
        run.curve = curve(facts.get("curve"))
        run.train_accuracy = run.curve[-1][1] if run.curve else None
        run.images_seen, run.diverged_at = integer(facts.get("images_seen")), integer(facts.get("diverged_at"))
        if program:
            run.buffers += integer(facts.get("formula_numbers")) or 0
        else:
            self.count(case, run, weights)
        n = len(self.data.train.labels)
        if not run.diverged_at and (run.images_seen != n or facts.get("each_once") is not True):
            raise Ended(
                "rejected", f"its epoch delivered {run.images_seen} images, where each of {n:,} is due once", ASK
            )
        self.test(case, run, program, case.put("weights", weights))
        holds = run.accuracy is not None and run.accuracy >= self.settings.limits.accuracy
        if seed == self.settings.seeds[-1] and case.grade.verified and holds:  # what learned little varies by itself
            self.start_anew(case, run, program, config)
        self.insist(case)

    def insist(self, case: Case) -> None:
        """End here where only verified grades count and this one is not; raises Ended."""
        if self.settings.verified_only and not case.grade.verified:
            reasons, advice = zip(*case.grade.unverified_because, strict=True)
            raise Ended("invalid", f"not verified, and only verified grades count: {'; '.join(reasons)}", advice[0])

    def train(
        self, case: Case, run: Run, program: str | None, config: challenge.Config, **changes: int
    ) -> tuple[bytes, dict[str, Any]]:
        """One epoch under the run's names of the classes; returns the weights and what the worker reports."""
        labels = np.array(run.labels, np.uint8)[self.data.train.labels.numpy()]
        inputs = {"images": str(self.images), "labels": case.put("labels", labels.tobytes())}
        task = {"seed": run.seed, "config": dataclasses.asdict(config), **changes}
        return case.child("train", **task, **with_model(case, program, inputs))

    def build(self, case: Case, run: Run) -> tuple[str | None, challenge.Config]:
        """Export the model with the seed of a run; returns the path of its graph, or None if it is none."""
        exported, answer = case.child(
            "build", seed=run.seed, batch_sizes=BATCHES, images=len(self.data.train.labels), inputs={}
        )
        config = self.read_config(answer["facts"].get("recipe"))
        if answer["status"] == "not_a_graph":
            case.grade.not_verified(f"it cannot become a graph: {answer['reason']}", answer["advice"] or AS_A_GRAPH)
            return None, config
        try:
            program = graph.read(exported)
        except graph.Refused as refusal:
            case.grade.not_verified(f"it cannot become a graph: {safe_text(refusal, 300)}", AS_A_GRAPH)
            return None, config
        count = program.count()
        run.parameters, run.buffers = count.parameters, count.buffers
        case.grade.largest = largest((t.name, t.numel) for t in program.tensors if t.role != "statistics")
        self.check_size(run)
        return case.put("program", exported), config

    def read_config(self, recipe: Any) -> challenge.Config:
        """The recipe that a child reports, checked like any; raises Ended."""
        try:
            config = challenge.Config(**challenge.read_recipe(recipe))
        except challenge.ChallengeError as error:
            raise Ended("invalid", str(error), RECIPE) from error
        if config.batch_size > len(self.data.train.labels):
            raise Ended("invalid", f"RECIPE: batch_size {config.batch_size:,}: there are fewer images", RECIPE)
        return config

    def check_size(self, run: Run) -> None:
        """Spend no epoch on a model far over the limit, nor on one that has nothing to train; raises Ended."""
        total, most = run.parameters + run.buffers, self.settings.limits.parameters
        if not run.parameters:
            raise Ended("invalid", "the model has no parameters to train", "Give it layers: nn.Conv2d, nn.Linear.")
        if total > FAR_OVER * most:
            raise Ended("failed", f"{total:,} parameters and other numbers: far over the limit of {most:,}")

    def count(self, case: Case, run: Run, weights: bytes) -> None:
        """Count the weights that came out of a submission's own code."""
        try:
            found = state.unpack(weights)
        except ValueError as error:
            raise Ended("rejected", f"the weights that came out of its training are {error}", ASK) from error
        run.parameters = sum(e.numbers for e in found if e.kind == "parameter")
        run.buffers = sum(e.numbers for e in found if e.kind == "buffer")
        case.grade.largest = largest((e.name, e.numbers) for e in found if e.kind != "statistics")
        self.check_size(run)

    def test(self, case: Case, run: Run, program: str | None, weights: str) -> None:
        """Have all test images answered twice, and once more one by one where the answers differ; raises Ended."""
        exam, names = Exam(self.data), np.array(run.labels)
        logits = self.answers(case, run, program, weights, exam.images, exam.parts)
        run.untrained_accuracy = exam.untrained_accuracy(logits[0])
        if run.untrained_accuracy > UNTRAINED_ACCURACY:
            found = f"before any training it gets {percent(run.untrained_accuracy)} right, where 10 % is usual"
            raise Ended("rejected", f"{found}: it was trained before", UNTRAINED)
        if exam.differ(logits[1], logits[2]):
            run.one_by_one = True
            logits = self.answers(case, run, program, weights, *exam.again(1))
        right, noisy = exam.correct(logits[1], names)
        run.accuracy = float(right.mean())
        without = float(right[exam.twice].mean())
        if without - noisy > NOISE_DROP:
            shares = f"{percent(without)} of test images right, but {percent(noisy)} of the same"
            raise Ended(
                "rejected", f"it gets {shares} with noise that nobody sees: it has memorised images", NO_MEMORISING
            )
        if np.isfinite(logits[1]).all():
            found = exam.evaluation(logits[1], names)
            run.confusion, run.confused = found.confusion, found.confused[:MISTAKES]

    def start_anew(self, case: Case, run: Run, program: str, config: challenge.Config) -> None:
        """Train and test the graph from other initial values: what was brought in its own is lost in all draws."""
        exam, batch, best = Exam(self.data), 1 if run.one_by_one else BATCHES[0], 0.0
        for _ in range(DRAWS):
            try:
                weights, _ = self.train(case, run, program, config, redraw=secrets.randbits(63))
                logits = self.answers(case, run, program, case.put("weights", weights), *exam.again(batch))
            except Ended as ended:
                case.grade.not_verified(f"it does not run from other initial values: {ended.reason}", RANDOM_START)
                return
            best = max(best, float(exam.correct(logits[1], np.array(run.labels))[0].mean()))
            if run.accuracy - best <= START_DROP:
                return
        found = f"accuracy {percent(run.accuracy)}, but {percent(best)} from others drawn like them"
        case.grade.not_verified(f"it depends on the values that it starts from: {found}", RANDOM_START)

    def answers(
        self, case: Case, run: Run, program: str | None, weights: str, images: np.ndarray, parts: list[tuple[int, int]]
    ) -> list[np.ndarray]:
        """The logits of each part of the images, float32 (n, 10); raises Ended."""
        inputs = {"weights": weights, "images": case.put("exam", images.tobytes())}
        raw, _ = case.child("test", seed=run.seed, parts=parts, **with_model(case, program, inputs))
        if len(raw) != len(images) * challenge.CLASSES * 4 + 1:
            raise Ended("rejected", f"{len(raw):,} bytes of answers came back for {len(images):,} images", ASK)
        if program and raw[-1]:
            case.grade.not_verified("in eval() it writes to its own parameters or buffers", NO_WRITING)
        logits = np.frombuffer(raw[:-1], np.float32).reshape(-1, challenge.CLASSES)
        return np.split(logits, np.cumsum([count for count, _ in parts])[:-1])


def with_model(case: Case, program: str | None, inputs: dict[str, str]) -> dict[str, Any]:
    """A task's inputs with the graph; the submission's own files where there is none."""
    if program:
        return {"inputs": {**inputs, "program": program}}
    return {"inputs": inputs, "files": case.task["files"]}


def secret_permutation() -> np.ndarray:
    """What each class is called in one run: an honest model cannot tell, one that brings answers from home is wrong."""
    return np.random.default_rng(secrets.randbits(128)).permutation(challenge.CLASSES)


def largest(tensors: Iterable[tuple[str, int]]) -> tuple[str, int] | None:
    """The name and the numbers of the largest tensor."""
    name, numbers = max(tensors, key=lambda tensor: tensor[1], default=("", 0))
    return (safe_text(name, 80), numbers) if numbers else None


def curve(points: Any) -> list[tuple[int, float]]:
    """A learning curve as a child reports it, {images seen: accuracy}; empty where it is none."""
    try:
        found = [(int(images), float(accuracy)) for images, accuracy in points.items()]
    except (AttributeError, TypeError, ValueError):
        return []
    return found if all(0 < images < 1 << 40 and 0 <= accuracy <= 1 for images, accuracy in found) else []


def integer(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 40 else None
