"""What docs/clusters.md says, done on a real Slurm on this machine: its own lines, on fewer seeds and small data."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT, copy_project, only_in_ci, write_small_fashion
from helpers.slurm import missing

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())} (slurm-wlm and munge)"),
    only_in_ci,
]

DOCUMENT = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:`(\w+\.sbatch)`[^`]*(?:`[^`\n]+`[^`]*)*)?\n```bash\n(.*?)```", DOCUMENT, flags=re.S)
FILES = {name: block for name, block in BLOCKS if name}  # what is to be saved under a name
LINES = [block for name, block in BLOCKS if not name]  # what is to be typed, in the order of the page
SMALLER = {  # each must be in the page
    'load_dataset("mnist")': 'load_dataset("fashion")',
    "*/efficient.json": "*/efficient-fashion.json",
    "$seed/efficient.json": "$seed/efficient-fashion.json",
    "--array=0-999": "--array=0-1",
    "{0..999}": "{0..1}",
    " --quiet": " --quiet --dataset fashion --batch-size 32",
    "--array=1-1000": "--array=1-2",
    "/1000 |": "/2 |",
    "python -m grading": "python -m grading --dataset fashion --seeds 1 --min-accuracy 0.5",
}
WAIT = 'while [ -n "$(squeue --noheader)" ]; do sleep 0.2; done\n'


def smaller(block: str) -> str:
    for ours, small in SMALLER.items():
        block = block.replace(ours, small)
    return block


@pytest.fixture
def folder(tmp_path):
    """A copy of the project with small data, and the page's files saved in it as they stand, but smaller."""
    copy_project(tmp_path, "mnist_efficient_model.py", "report", "pages", "grading")
    write_small_fashion(tmp_path / "small")
    for name, block in FILES.items():
        (tmp_path / name).write_text(smaller(block))
    (tmp_path / "bin").mkdir()  # `python` is the one that runs the tests
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    return tmp_path


def run_on_slurm(folder: Path, script: str) -> str:
    """Run a shell script beside a Slurm; returns what it printed. Every command in it must succeed."""
    environment = {**os.environ, "MNIST_DATA_DIR": str(folder / "small")}
    environment["OMP_NUM_THREADS"] = "2"  # which the page's own lines must overrule
    environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
    command = [sys.executable, ROOT / "tests" / "helpers" / "slurm.py", "bash", "-euo", "pipefail", "-c", script]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
    try:
        printed, _ = process.communicate(timeout=300)
    finally:
        process.terminate()
        process.wait()
    assert process.returncode == 0, printed
    return printed


def results(folder: Path, *seeds: int) -> list[dict]:
    return [json.loads((folder / "results" / str(seed) / "efficient-fashion.json").read_text()) for seed in seeds]


def test_the_page_is_read_as_it_is_written():
    assert list(FILES) == ["seeds.sbatch", "gather.sbatch", "class.sbatch", "gradebook.sbatch"] and len(LINES) == 5
    assert all(ours in DOCUMENT for ours in SMALLER)


def test_a_thousand_seeds_end_in_the_figures_of_seeds_and_only_what_failed_is_run_again(folder):
    prepare, submit, again, more, _ = map(smaller, LINES)
    (folder / "results").mkdir()
    (folder / "results" / "1").write_text("in the way of the second seed")
    keep = "cp logs/gather.out {0}.out; cp results/0/efficient-fashion.json {0}.json\n"
    first = f"{prepare}{submit}{WAIT}{keep.format('first')}rm results/1\n"
    run_on_slurm(folder, f"{first}{again}{WAIT}{keep.format('second')}{more}{WAIT}")

    assert "1 of 1 runs passed" in (folder / "first.out").read_text()
    (log,) = (text for path in folder.glob("logs/*-1.out") if "error" in (text := path.read_text()))
    assert "cannot write" in log and "/results/1: " in log and len(log.splitlines()) == 1
    assert "2 of 2 runs passed; accuracy mean" in (folder / "second.out").read_text()
    assert (folder / "first.json").read_text() == (folder / "second.json").read_text(), "the first seed ran twice"
    assert (folder / "results" / "report.html").exists()
    assert [run["seed"] for run in results(folder, 1000, 1001)] == [1000, 1001]

    command = [sys.executable, "mnist_efficient_model.py", *"--dataset fashion --batch-size 32 --seeds 2".split()]
    environment = {**os.environ, "MNIST_DATA_DIR": str(folder / "small")}
    subprocess.run([*command, "--results-dir", "together", "--quiet"], cwd=folder, env=environment, check=True)
    together = json.loads((folder / "together" / "efficient-fashion.json").read_text())
    gathered = json.loads((folder / "results" / "efficient.json").read_text())
    assert gathered["runs"] == results(folder, 0, 1) and list(gathered["summary"]) == list(together["summary"])
    for ours, theirs in zip(gathered["runs"], together["runs"], strict=True):
        for name in ("seed", "threads", "test_accuracy", "test_loss", "per_class_accuracy", "confusion", "images_seen"):
            assert ours[name] == theirs[name], name


def test_a_class_is_graded_in_parts_and_gathered_without_grading_anyone_again(folder):
    code = "from torch import nn\n\ndef build_model():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, {}))\n"
    for student, classes in {"ann.py": 10, "bob/code/net.py": 10, "mary ann.py": 9}.items():
        (folder / "SUBMISSIONS" / student).parent.mkdir(parents=True, exist_ok=True)
        (folder / "SUBMISSIONS" / student).write_text(code.format(classes))
    run_on_slurm(folder, f"mkdir logs\n{smaller(LINES[-1])}{WAIT}")

    gathering = (folder / "logs" / "gradebook.out").read_text()
    assert "3 of 3 were graded before" in gathering, gathering
    parts = [sorted(path.name for path in (folder / "parts" / part / "students").glob("*.json")) for part in "12"]
    assert sorted(map(len, parts)) == [1, 2], "every student is one task's"
    grades = [json.loads(path.read_text()) for path in (folder / "grades" / "students").glob("*.json")]
    found = {grade["student"]: grade["status"] for grade in grades}
    assert set(found) == {"ann", "bob", "mary ann"} and found["ann"] == found["bob"] == "passed" != found["mary ann"]
    assert len((folder / "grades" / "grades.csv").read_text().splitlines()) == 4


def test_arrays_as_large_as_the_page_has_them_are_taken(folder):
    for name, block in FILES.items():
        (folder / name).write_text(block)
    submitted = "".join(f"sbatch --hold {name}; " for name in FILES)
    printed = run_on_slurm(folder, f"{submitted} squeue --array --noheader --format=%j | sort | uniq -c")
    queued = {name: int(count) for count, name in re.findall(r"^ *(\d+) (\S+\.sbatch)$", printed, flags=re.M)}
    assert queued == {"seeds.sbatch": 1000, "gather.sbatch": 1, "class.sbatch": 1000, "gradebook.sbatch": 1}
