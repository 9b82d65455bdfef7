"""``pytest test_constraints.py --model FILE.py[:NAME]``: what is seen of a file that passes, fails or is broken."""

import re

import pytest

from helpers import ROOT

FILE = """from torch import nn
RECIPE = {{"lr": {lr}}}
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, {hidden}), nn.Linear({hidden}, 10))
    def train(self, mode=True):
        if mode:
            print("an epoch", file=open("log", "a"))
        return super().train(mode)
class Other(Net):
    pass
"""


@pytest.fixture
def verify(digits, tmp_path, monkeypatch, capfd):
    """Run the contract on my_model.py, with these figures in it; returns (status, counts of outcomes, stdout)."""

    def verify(*option: str, variable: str = "mlp", lr: float = 0.01, hidden: int = 16) -> tuple[int, dict, str]:
        monkeypatch.chdir(tmp_path)
        for name, value in {"MNIST_DATA_DIR": str(digits), "MNIST_MODEL": variable, "COLUMNS": "200"}.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "my_model.py").write_text(FILE.format(lr=lr, hidden=hidden))
        contract = f"{ROOT / 'test_constraints.py'}::TestTheTrainedModel"
        status = pytest.main([contract, "-p", "no:cacheprovider", "--dataset", "fashion", *option])
        out, _ = capfd.readouterr()
        counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|errors?)", out)}
        return status, counts, out

    yield verify
    log = tmp_path / "log"
    assert not log.exists() or log.read_text() == "an epoch\n", "it is trained once"


def test_a_file_that_passes_may_be_named_in_the_environment(verify):
    status, counts, out = verify(variable="my_model.py:Other")
    assert (status, counts) == (0, {"passed": 6, "skipped": 1}), out


def test_each_limit_that_breaks_is_a_failure_whose_message_is_its_sentence(verify):
    status, counts, out = verify("--model", "my_model.py:Net", lr=1e-9, hidden=32)
    assert (status, counts) == (1, {"passed": 3, "failed": 2, "skipped": 2}), out
    for sentence in (
        r"accuracy \d+\.\d\d %: \d\d\.\d\d points short of 95\.00 %",
        r"25,450 parameters: 451 too many to be under 25,000",
    ):
        assert re.search(rf"^_+ .* _+\n{sentence}\n[=_]", out, flags=re.M), "the sentence and no traceback"
        assert re.search(rf"^FAILED .* - Failed: {sentence}$", out, flags=re.M)


def test_a_model_that_cannot_be_built_is_the_scripts_own_line(verify):
    status, counts, out = verify("--model", "my_model.py")
    assert status == 1 and counts.keys() == {"errors"} and "Traceback" not in out
    lines = [line for line in out.splitlines() if line.startswith("mnist_efficient_model.py: error:")]
    assert len(lines) == counts["errors"] and all("leaves open which model is meant" in line for line in lines), out
    assert len(out.splitlines()) <= 3 * counts["errors"] + 8, "a heading, the line and a line of summary for each test"
