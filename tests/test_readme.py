"""README and docs promise nothing that the code doesn't keep: every command, link and snippet in them is tried."""

import importlib
import re
import shlex
import shutil
import subprocess

import pytest
import torch

import mnist_efficient_model as challenge
from experiments import frontier
from helpers import ROOT
from report import __main__ as report

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
README = TEXTS["README.md"]
SCRIPT = "python mnist_efficient_model.py"
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.S | re.M)


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, block) for each fenced block in a language."""
    return [(page, block) for page, text in TEXTS.items() for kind, block in FENCE.findall(text) if kind == language]


def command_lines() -> list[tuple[str, str]]:
    """(page, command) for each command of ours in a fenced block or a code span; ``... --`` stands for the script."""
    found = []
    for page, text in TEXTS.items():
        lines = [line for kind, block in FENCE.findall(text) for line in block.splitlines() if kind in ("", "bash")]
        for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)):
            lines.append(span.replace("...", SCRIPT, 1) if span.startswith("... --") else span)
        for line in lines:
            line = re.sub(r"\$\([^)]*\)|\$\{[^}]*\}|\$\w+", "1", line)  # what a shell puts in
            if start := re.search(rf"{SCRIPT}|python -m (?:{'|'.join(PACKAGES)})\b", line):
                found.append((page, re.split(r" #|[;|']|&&", line[start.start() :])[0].strip()))
    return found


COMMANDS = command_lines()
SOURCES = [ROOT / "mnist_efficient_model.py", ROOT / "conftest.py"]
SOURCES += [path for package in PACKAGES for path in (ROOT / package).glob("*.py")]


def test_there_is_something_to_check():
    pages = {page for page, _ in COMMANDS}
    assert {"README.md", "docs/export.md", "docs/recipe.md", "docs/rivals.md", "docs/strokes.md"} <= pages
    assert len(COMMANDS) > 25 and len(blocks("python")) >= 2 and len(blocks("bash")) >= 4
    assert len(README.splitlines()) <= 160, "one sitting"


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value)
def test_every_command_is_one_that_its_parser_takes(page, line, tmp_path, monkeypatch):
    line = line.replace(SCRIPT, "python -m mnist_efficient_model").replace("[:NAME]", "").replace("KEY=VALUE", "lr=0.1")
    _, _, name, *options = shlex.split(line)
    module = importlib.import_module(f"{name}.__main__" if name in PACKAGES else name)
    if name.startswith("grading"):  # which look at what they are given
        monkeypatch.chdir(tmp_path)
        for folder in ("CLASS_FOLDER/alice", "SUBMISSIONS/alice", "PATH", "GRADES", "1/alice"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "model.py").touch()
        options = [option.removeprefix("../") for option in options]
    if not hasattr(module, "parse_arguments"):
        assert len(options) <= 1 if module is report else not options or options[0] == "--show"
    elif options:  # else the text may only name it
        module.parse_arguments(options)


def test_every_option_in_the_text_is_known():
    known = set()
    for path in SOURCES:
        known |= set(re.findall(r'"(--[a-z][a-z0-9-]+)"', path.read_text(encoding="utf-8")))
    of_pip_pytest_docker = "--upgrade --junitxml --rm --network --pids-limit --memory".split()
    of_slurm = "--array --wrap --parsable --dependency --constraint --cpus-per-task --mem --time --output".split()
    for page, text in TEXTS.items():
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text))
        unknown = named - known - {*of_pip_pytest_docker, *of_slurm}
        assert not unknown, f"{page}: {unknown}"


def test_every_setting_that_it_changes_is_a_field_of_config():
    assigned = {name for text in TEXTS.values() for name in re.findall(r"`([a-z_]+)=[\d.]+`", text)}
    assert {"lr", "batch_size", "label_smoothing", "fade"} <= assigned <= set(challenge.Config.__dataclass_fields__)


def test_every_model_that_it_names_in_a_table_is_registered():
    for page in ("README.md", "docs/rivals.md", "docs/strokes.md"):
        named = re.findall(r"^\| `(\w+)`.*\d{2}\.\d{2}", TEXTS[page], flags=re.M)
        assert named and set(named) <= {*challenge.MODELS, *frontier.NETWORKS}, page
    rows = re.findall(r"^\| `(\w+)` \|.* (?:hold|broken) \|$", TEXTS["docs/rivals.md"], flags=re.M)
    assert set(rows) == set(challenge.MODELS), "the table of all models has every one"


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere_and_every_page_is_linked_from_the_readme(page):
    assert page == "README.md" or f"({page})" in README
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", TEXTS[page]):
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
            assert anchor in {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_every_shell_block_parses():
    for page, block in blocks("bash"):
        done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, ""), page


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_every_python_snippet_runs(page, block, digits, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_DATA_DIR", str(digits))
    if "load_checkpoint" in block:
        assert command("--dataset", "fashion", "--quiet", "--batch-size", 32)[0] == 0
    names: dict = {}
    small = block.replace('load_dataset("mnist")', 'load_dataset("fashion")')
    exec(small.replace("efficient.pth", "efficient-fashion.pth"), names)
    if "RECIPE" in names:
        assert challenge.read_recipe(names["RECIPE"])
    if "build_model" in names:
        (tmp_path / "my_model.py").write_text(block)
        assert challenge.build_model("my_model.py")(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
