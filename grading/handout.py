"""Write what a course hands out: ``python -m grading.handout FOLDER`` copies handout/ and the script, with its limits.

Takes the options of ``python -m grading``, so that students read, check and are graded by the same figures.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template

from grading import command
from grading.sandbox.isolation import ROOT

PROG = "python -m grading.handout"
README, CHECK, SCRIPT = "README.md", "test_model.py", "mnist_efficient_model.py"


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; exits with status 2 if it is wrong."""
    parser = command.Parser(
        prog=PROG,
        description="Write the folder that students start from: task, model, check, workflow, and the script with the "
        "course's limits. Give it the options that the class will be graded with.",
        epilog="exit status: 0 written; 2 usage; 4 cannot be written",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new or empty folder")
    parser.add_argument("--title", default="The efficient-MNIST challenge", metavar="TEXT", help="of the course's task")
    arguments = parser.parse_args(argv)
    if arguments.folder.exists() and not (arguments.folder.is_dir() and not any(arguments.folder.iterdir())):
        parser.error(f"{arguments.folder} is there and not an empty folder: name a new one")
    return arguments


def filled(path: Path, replacements: dict[str, str]) -> str:
    """A file's text with each of the replacements made; ValueError where one would not be made exactly once."""
    text = path.read_text(encoding="utf-8")
    for old, new in replacements.items():
        if text.count(old) != 1:
            raise ValueError(f"{path} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    return text


def write(argv: Sequence[str] | None) -> int:
    """Make the folder beside its place and move it there, so that it appears complete or not at all."""
    arguments = parse_arguments(argv)
    from grading.points import read_rubric

    settings = command.settings_of(arguments)
    limits, criteria = settings.limits, read_rubric(arguments.rubric, settings.limits)
    words = {
        "title": arguments.title,
        "parameters": f"{limits.parameters:,}",
        "accuracy": f"{100 * limits.accuracy:g} %",
        "dataset": settings.dataset,
        "seeds": command.seeds(arguments),
        "points": "\n".join(f"- {criterion.points} points: {criterion.name}" for criterion in criteria),
        "seconds": f"{settings.seconds:g}",
        "memory": f"{arguments.memory:,}",
        "verified": " A model that cannot become such a graph is not accepted." if settings.verified_only else "",
    }
    model = json.dumps(f"model.py:{settings.model_name}" if settings.model_name else "model.py")
    seeds = f"range({settings.seeds[0]}, {settings.seeds[-1] + 1})"
    course = {'"model.py", "mnist", range(0, 3)': f'{model}, "{settings.dataset}", {seeds}'}
    rules = {
        "parameters: int = 25_000": f"parameters: int = {limits.parameters:_}",
        "accuracy: float = 0.95": f"accuracy: float = {limits.accuracy!r}",
    }
    folder = arguments.folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch, "new")
        shutil.copytree(Path(ROOT, "handout"), new, ignore=shutil.ignore_patterns("__pycache__"))
        readme = Template((new / README).read_text(encoding="utf-8")).substitute(words)
        (new / README).write_text(readme, encoding="utf-8")
        (new / CHECK).write_text(filled(new / CHECK, course), encoding="utf-8")
        (new / SCRIPT).write_text(filled(Path(ROOT, SCRIPT), rules), encoding="utf-8")
        new.replace(folder)
    print(f"wrote {arguments.folder}; grade what comes back by python -m grading CLASS_FOLDER with the same options")
    return 0


main = functools.partial(command.run, PROG, write)

if __name__ == "__main__":
    sys.exit(main())
