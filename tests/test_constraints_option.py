"""``pytest test_constraints.py --model FILE.py[:NAME]``: what is seen of a file that passes, fails or is broken."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mnist_efficient_model as challenge

CONTRACT = f"{Path(challenge.__file__).with_name('test_constraints.py')}::TestTheTrainedModel"
FILE = """from torch import nn
RECIPE = {{"lr": {lr}}}
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, {hidden}), nn.Linear({hidden}, {outputs}))
    def train(self, mode=True):
        if mode:
            print("an epoch", file=open("log", "a"))
        return super().train(mode)
class Other(Net):
    pass
"""
GOOD = {"lr": 0.01, "hidden": 16, "outputs": 10}


@pytest.fixture
def verify(fashion_dir, tmp_path):
    """Run the contract on my_model.py, with these figures in it; returns (status, counts of outcomes, stdout)."""

    def verify(option: tuple[str, ...], variable: str = "efficient", **figures) -> tuple[int, dict[str, int], str]:
        (tmp_path / "my_model.py").write_text(FILE.format(**{**GOOD, **figures}))
        command = [sys.executable, "-m", "pytest", CONTRACT, "-p", "no:cacheprovider", "--dataset", "fashion", *option]
        environment = {**os.environ, "MNIST_DATA_DIR": str(fashion_dir), "MNIST_MODEL": variable, "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
        counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout)}
        return done.returncode, counts, done.stdout

    return verify


def epochs(tmp_path: Path) -> int:
    return (tmp_path / "log").read_text().count("an epoch")


@pytest.mark.parametrize("option, variable", [(("--model", "my_model.py:Net"), "mlp"), ((), "my_model.py:Other")])
def test_a_file_that_passes_is_trained_once_wherever_it_is_named(verify, tmp_path, option, variable):
    status, counts, out = verify(option, variable)
    assert (status, counts) == (0, {"passed": 6, "skipped": 1}), out
    assert epochs(tmp_path) == 1


@pytest.mark.parametrize(
    "figures, sentence",
    [
        ({"lr": 1e-9}, r"accuracy \d+\.\d\d %: \d\d\.\d\d points short of 95\.00 %"),
        ({"hidden": 32}, r"25,450 parameters: 451 too many to be under 25,000"),
    ],
)
def test_a_limit_that_breaks_is_one_failure_whose_message_is_its_sentence(verify, tmp_path, figures, sentence):
    status, counts, out = verify(("--model", "my_model.py:Net"), **figures)
    assert (status, counts) == (1, {"passed": 4, "failed": 1, "skipped": 2}), out
    assert re.search(rf"^_+ .* _+\n{sentence}\n=", out, flags=re.M), "the sentence and no traceback"
    assert re.search(rf"^FAILED .* - Failed: {sentence}$", out, flags=re.M)
    assert epochs(tmp_path) == 1


@pytest.mark.parametrize(
    "name, figures, words",
    [
        ("my_model.py:Net", {"outputs": 12}, "two images give (2, 12), where the shape must be (2, 10)"),
        ("my_model.py", {}, "leaves open which model is meant: name one"),
        ("eficient", {}, "did you mean efficient?"),
    ],
)
def test_a_model_that_cannot_be_built_is_the_scripts_own_line(verify, name, figures, words):
    status, counts, out = verify(("--model", name), **figures)
    assert status == 1 and counts.keys() == {"errors"} and "Traceback" not in out
    lines = [line for line in out.splitlines() if line.startswith("mnist_efficient_model.py: error:")]
    assert len(lines) == counts["errors"] and all(words in line for line in lines), out
    assert len(out.splitlines()) <= 3 * counts["errors"] + 8, "a heading, the line and a line of summary for each test"
