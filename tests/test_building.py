"""Submissions judged in this process, up to the training: what they count, what is no graph, what cannot be built.

Every attack in ``attacks/built`` opens with the verdict due to it, ``# expect VERDICT: WORDS``. It is ``graph`` and
what is counted, ``not verified`` and the reason, or that of a grade which ends before the training.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import mnist_efficient_model as challenge
from grading import submissions
from grading.case import Ended
from grading.grades import Settings
from grading.judge import Grader
from grading.sandbox import isolation, reasons, tasks, watch
from helpers import expectation

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

HERE = Path(__file__).parent
BUILT = sorted(each for each in (HERE / "attacks" / "built").iterdir() if each.suffix == ".py" or each.is_dir())
HONEST = dict(submissions.entries(HERE / "honest"))
NOT_GRAPHS = "activation_norm clips_weights cosines custom_autograd fourier spiking towers".split()


class Done(Exception):
    """A task came to its end, with a report."""


class Here(tasks.Child):
    """A child in this process."""

    def send(self, message: dict[str, Any]) -> None:
        pass

    def end(self, status: str, reason: str = "", advice: str = "", **facts: Any) -> NoReturn:
        watched = watch.Watch(self.task)
        watched.end(status, reason, advice, facts)
        raise Done(watched.report())

    def hand_back(self, content: bytes) -> None:
        Path(self.task["result"]).write_bytes(content)


@pytest.fixture
def judged(digits, tmp_path, monkeypatch) -> Iterator[Callable[[Path], tuple[str, str]]]:
    """Judges a submission up to the training."""
    modules, scratch = dict(sys.modules), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.chdir(scratch)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])

    def run(task: dict[str, Any]) -> dict[str, Any]:
        if task["kind"] == "train":
            raise Ended("graph", "")
        Path(task["result"]).touch()
        child = Here(task, str(scratch), -1, -1)
        try:
            try:
                inputs = {name: Path(path).read_bytes() for name, path in task["inputs"].items()}
                tasks.TASKS[task["kind"]](child, **inputs)
            except BaseException as error:
                if isinstance(error, Done):
                    raise
                found = reasons.describe(error, child.doing, str(scratch), child.definitions)
                child.end(found.status, found.reason, found.advice)
        except Done as done:
            return done.args[0]

    def judged(path: Path) -> tuple[str, str]:
        settings = Settings(challenge.Limits(), "fashion", (0,), None, 60, 1 << 30)
        grader = Grader(challenge.load_dataset("fashion", digits), settings, [], tmp_path)
        grade = grader.grade(submissions.read_submission(path), run)
        if grade.status != "graph":
            return grade.status, grade.reason
        if grade.unverified_because:
            return "not verified", "; ".join(reason for reason, _ in grade.unverified_because)
        return "graph", f"{grade.runs[0].parameters:,} parameters, {grade.runs[0].buffers:,} other numbers"

    yield judged
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(scratch)):
            del sys.modules[name]
    sys.modules.update(modules)


@pytest.mark.parametrize("path", BUILT, ids=[path.stem for path in BUILT])
def test_an_attack_gets_the_verdict_due_to_it(judged, path):
    status, words = expectation(path)
    found, reason = judged(path)
    assert found == status and words in reason


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_submission_becomes_a_graph_or_gets_the_line_that_is_none(judged, name):
    found, reason = judged(HONEST[name])
    if name == "a_script":
        assert found == "not verified" and "it is compiled by torch.jit" in reason
    elif name in NOT_GRAPHS:
        assert found == "not verified" and ".py, line " in reason
    else:
        assert found == "graph", reason


def test_buffers_of_submissions_are_counted_but_not_batchnorms_statistics(judged):
    assert judged(HONEST["attention"])[1].endswith(f"{2 * 49 * 32:,} other numbers"), "a saved and an unsaved table"
    assert judged(HONEST["repository"])[1] == f"{784 * 20 + 20 + 2 * 20 + 20 * 10 + 10:,} parameters, 0 other numbers"
