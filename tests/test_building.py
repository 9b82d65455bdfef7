"""Submissions judged in this process, up to the training: what they count, what is no graph, what cannot be built.

Every attack in ``attacks/built`` opens with the verdict due to it, ``# expect VERDICT: WORDS``. It is ``graph`` and
what is counted, ``not verified`` and the reason, or that of a grade which ends before the training.
"""

from __future__ import annotations

import base64
import json
import random
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
from helpers import LINEAR, expectation

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
                found = reasons.describe(error, child.doing, str(scratch), task["omitted"], child.definitions)
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
    if name in NOT_GRAPHS:
        assert found == "not verified" and ".py, line " in reason
    else:
        assert found == ("not verified" if name == "a_script" else "graph"), reason


def test_buffers_of_submissions_are_counted_but_not_batchnorms_statistics(judged):
    assert judged(HONEST["attention"])[1].endswith(f"{2 * 49 * 32:,} other numbers"), "a saved and an unsaved table"
    assert judged(HONEST["repository"])[1] == f"{784 * 20 + 20 + 2 * 20 + 20 * 10 + 10:,} parameters, 0 other numbers"


def carriers() -> dict[str, dict[str, str]]:
    """Nine kinds of code that bring 7,000 to 10,000 random bytes along, as files by name."""
    draw = random.Random(7)
    payload = draw.randbytes(7000)
    text = base64.b85encode(payload).decode().replace("\\", "~")
    letters = base64.b32encode(payload).decode().rstrip("=").lower()
    words = [letters[i : i + 40] for i in range(0, len(letters), 40)]
    integers, bits = [draw.getrandbits(63) for _ in range(1200)], [draw.getrandbits(1) for _ in range(64_000)]
    names = "\n".join(f"w_{word} = {i}" for i, word in enumerate(words))
    spaces = "\n".join("x = (1" + "".join(" \t"[b] for b in bits[i : i + 400]) + ")" for i in range(0, 64_000, 400))

    def reads(code: str, value: str) -> str:
        bias = f"784, 10)\n        self.fc.bias.data += 0 * len(str({value}))\n"
        return LINEAR.replace("import torch.nn as nn", f"import torch.nn as nn\n{code}").replace("784, 10)\n", bias)

    more, settings = {"more.py": f"W = {text!r}\n"}, "[open(name).read() for name in glob.glob('*.json')]"
    listed = {f"words/{a}{b}{c}.txt": "" for a, b, c in zip(words[::3], words[1::3], words[2::3], strict=False)}
    return {
        "string": {"model.py": reads(f"W = {text!r}", "W")},
        "integers": {"model.py": reads(f"W = {integers}", "W")},
        "nones": {"model.py": reads(f"W = ({','.join('None' if b else '()' for b in bits)})", "W")},
        "identifiers": {"model.py": reads(names, "sorted(globals())")},
        "another file": {"model.py": reads("from more import W", "W"), **more},
        "file names": {"model.py": reads("import os", "os.listdir('words')"), **listed},
        "settings": {
            "model.py": reads("import glob", settings),
            **{f"part{i}.json": json.dumps(text[i : i + 1900]) for i in range(0, len(text), 1900)},
        },
        "spaces": {"model.py": reads(spaces, "open(__file__).read()")},
        "dynamic imports": {
            "model.py": reads("import importlib\nW = importlib.import_module('mo' + 're').W", "W"),
            **more,
        },
    }


@pytest.mark.parametrize("kind", carriers())
def test_code_that_could_bring_weights_along_is_not_verified(judged, tmp_path, kind):
    for name, text in carriers()[kind].items():
        path = tmp_path / "carrier" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found, reason = judged(tmp_path / "carrier")
    assert found == "not verified" and "its code is" in reason
