"""What every autograder that is handed to a platform holds: the code, the packages it needs, the chosen settings."""

from __future__ import annotations

import argparse
from pathlib import Path

from grading.rubric import read_rubric
from grading.sandbox.isolation import ROOT
from mnist_efficient_model import Limits

RUBRIC = "rubric.toml"
OPTIONS = ("dataset", "seeds", "seed", "max_parameters", "min_accuracy", "timeout", "memory")  # always passed on
FOR_TESTS_ONLY = ("pytest", "ruff", "nbclient", "ipykernel")  # lines of requirements.txt


def bundle_files(arguments: argparse.Namespace) -> tuple[dict[str, str], list[str]]:
    """Files by their name in the bundle, and the options for ``python -m grading`` there, but for its RUBRIC.

    Raises ChallengeError for a rubric that is none, OSError for files that cannot be read.
    """
    root = Path(ROOT)
    requirements = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    files = {"requirements.txt": "\n".join(line for line in requirements if not line.startswith(FOR_TESTS_ONLY)) + "\n"}
    room = [path for path in (root / "grading").rglob("*.*") if path.suffix in (".py", ".css", ".js")]
    for file in sorted([root / "mnist_efficient_model.py", *(root / "data").glob("*.py"), *room]):
        files[str(file.relative_to(root))] = file.read_text(encoding="utf-8")
    options = [part for name in OPTIONS for part in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
    if arguments.rubric:
        read_rubric(arguments.rubric, Limits())
        files[RUBRIC] = Path(arguments.rubric).read_text(encoding="utf-8")
    if arguments.model_name:
        options += ["--model-name", arguments.model_name]
    if arguments.verified_only:
        options += ["--verified-only"]
    return files, options
