"""The README promises nothing that the code doesn't keep."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import mnist_efficient_model as challenge

ROOT = Path(challenge.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.S)


def test_every_option_it_names_is_one_of_the_script_or_its_companions(command):
    known = set(re.findall(r"--[a-z][a-z0-9-]+", command("--help")[1]))
    for script in ("grading/__main__.py", "export/__main__.py"):
        known |= set(re.findall(r'"(--[a-z][a-z0-9-]+)"', (ROOT / script).read_text(encoding="utf-8")))
    others = {"--upgrade", "--junitxml", "--show", "--rm", "--network", "--pids-limit", "--array", "--wrap"}  # not ours
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README))
    assert named and named <= known | others, named - known - others


def test_every_file_it_shows_or_links_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_its_own_model_example_reads_digits(tmp_path):
    (example,) = (block for block in PYTHON if "build_model():" in block)
    (tmp_path / "my_model.py").write_text(example)
    assert challenge.build_model(str(tmp_path / "my_model.py"))(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_its_notebook_example_runs(fashion_dir, monkeypatch, tmp_path, command):
    (example,) = (block for block in PYTHON if "load_checkpoint" in block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_DATA_DIR", str(fashion_dir))
    assert command("--dataset", "fashion", "--quiet", "--batch-size", 32)[0] == 0
    exec(example.replace('load_dataset("mnist")', 'load_dataset("fashion")'), {})


@pytest.mark.parametrize("field", ["lr", "batch_size", "label_smoothing", "fade"])
def test_what_it_sweeps_are_fields_of_config(field):
    assert field in README and field in challenge.Config.__dataclass_fields__
