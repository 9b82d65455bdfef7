"""What a course hands out: written by its command, checked as its README and workflow say, and graded."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mnist_efficient_model as challenge
from grading import handout
from grading.sandbox import isolation
from helpers import LINEAR, ROOT, in_this_process

OPTIONS = ("--dataset", "fashion", "--seeds", 1, "--max-parameters", 9000, "--min-accuracy", 0.9)
MODELS = {
    "passes": (LINEAR, ()),
    "breaks two limits": (
        LINEAR.replace("nn.Linear(784, 10)", "nn.Sequential(nn.Linear(784, 12), nn.Linear(12, 10))")
        + "\nRECIPE = {'lr': 1e-9}\n",
        ("9,550 parameters: 551 too many to be under 9,000", "short of 90.00 %"),
    ),
}
write = in_this_process(handout.main)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course") / "handout"
    folder.mkdir()
    assert write(folder, *OPTIONS, "--title", "Week 3: $mall") == 0
    return folder


@pytest.fixture(params=MODELS)
def filled_in(request: pytest.FixtureRequest, folder: Path) -> tuple[tuple[str, ...], Path]:
    """What a student makes of it, and what is to be said of that."""
    code, reasons = MODELS[request.param]
    (folder / "model.py").write_text(code)
    return reasons, folder


def steps(workflow: Path) -> list[str]:
    """The commands of a workflow's steps: ``run: COMMAND``, or the indented lines below ``run: |``."""
    text = re.sub(r" +#.*", "", workflow.read_text(encoding="utf-8"))
    found = re.findall(r"^( +)(?:- )?run: (\|\n(?:\1 +.*\n)+|.+\n)", text, flags=re.M)
    return [re.sub(r"^ +", "", command.removeprefix("|\n"), flags=re.M) for _, command in found]


def test_its_readme_states_the_figures_of_the_course_and_commands_that_are_taken(folder):
    readme = (folder / "README.md").read_text(encoding="utf-8")
    title = "# Week 3: $mall\n"
    assert readme.startswith(title) and not re.search(r"\$[a-z{]", readme.removeprefix(title))
    figures = "fewer than 9,000 parameters|at least 90 % accuracy|`fashion`|1 seed,|60 points: Accuracy"
    assert all(figure in readme for figure in figures.split("|"))
    lines = re.findall(r"^python mnist_efficient_model.py (.*?)  +#", readme, flags=re.M)
    parsed = [challenge.parse_arguments(shlex.split(line)) for line in lines]
    assert [(each.model, each.dataset, each.holdout) for each in parsed] == [
        ("model.py", "fashion", 0),
        ("model.py", "fashion", 10_000),
    ]


def test_the_steps_of_its_workflow_are_red_where_a_limit_is_broken_and_say_so_on_the_summary_page(
    filled_in, digits, tmp_path
):
    reasons, folder = filled_in
    (tmp_path / "pip").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    (tmp_path / "pip").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "MNIST_DATA_DIR": str(digits)}
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    statuses = []
    for command in steps(folder / ".github" / "workflows" / "check.yml"):
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
        done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
        statuses.append(done.returncode)
    assert statuses == [0, 0, 1 if reasons else 0], done.stdout + done.stderr
    assert (tmp_path / "called").read_text() == "install -r requirements.txt\n"
    summary = (tmp_path / "summary.md").read_text()
    assert all(words in summary for words in ("RESULTS", "< 9,000", ">= 90.00 %", *reasons))
    assert ("failed" in summary) == bool(reasons)
    assert summary.startswith("~~~\n") and summary.endswith("\n~~~\n") and "Traceback" not in summary


@pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")
def test_it_is_graded_as_it_was_checked(filled_in, digits, check_here, capsys):
    reasons, folder = filled_in
    assert check_here(folder, *OPTIONS, "--data-dir", digits) == (1 if reasons else 0)
    shown = capsys.readouterr().out
    assert all(reason.replace("short of", "below") in shown for reason in reasons)
    assert f"handout: {'failed' if reasons else 'passed'}, verified" in shown


def test_a_model_that_cannot_be_built_is_one_line(folder, digits):
    (folder / "model.py").write_text("def build_model():\n    return 1 / 0\n")
    command = [sys.executable, "-m", "pytest", "-k", "limit"]
    environment = {**os.environ, "MNIST_DATA_DIR": str(digits)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "could not be built or run: ZeroDivisionError" in done.stdout
    assert not re.search(r"Traceback|test_model\.py:\d", done.stdout)


@pytest.mark.parametrize("idea", [False, True])
def test_its_start_falls_just_short_on_mnist_and_its_first_idea_mends_that(idea, tmp_path):
    try:
        data = challenge.load_dataset("mnist")
    except challenge.ChallengeError as error:
        pytest.skip(str(error))
    text = (ROOT / "handout" / "model.py").read_text(encoding="utf-8")
    if idea:
        text = text.replace("self.shrink = nn.AvgPool2d(4)", "self.shrink = nn.AvgPool2d(2)")
        text = text.replace("nn.Linear(49, 40)", "nn.Linear(196, 40)")
    (tmp_path / "model.py").write_text(text)
    result, _ = challenge.run(str(tmp_path / "model.py"), data)
    low, high = (0.958, 0.975) if idea else (0.935, 0.946)
    assert low < result.test_accuracy < high and result.passed == idea


def test_with_the_limits_of_the_challenge_its_script_is_the_challenges_own(tmp_path):
    assert write(tmp_path / "course") == 0
    assert (tmp_path / "course" / "mnist_efficient_model.py").read_bytes() == Path(challenge.__file__).read_bytes()


class TestRefusals:
    def test_a_folder_that_holds_something_is_left_as_it_is(self, tmp_path, capsys):
        (tmp_path / "mine.txt").write_text("kept")
        for path in (tmp_path, tmp_path / "mine.txt"):
            assert write(path) == 2
            error = capsys.readouterr().err
            assert "name a new one" in error and len(error.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_nothing_is_left_where_a_rubric_or_the_files_cannot_be_read(self, tmp_path, capsys, monkeypatch):
        assert write(tmp_path / "course", "--rubric", tmp_path / "none.toml") == 2
        monkeypatch.setattr(handout, "ROOT", tmp_path / "elsewhere")
        assert write(tmp_path / "course") == 4
        assert len(capsys.readouterr().err.splitlines()) == 2 and not list(tmp_path.iterdir())
