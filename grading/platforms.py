"""Where a course lives: Gradescope's zip and results, Classroom 50's result, GitHub Actions' job summary."""

from __future__ import annotations

import argparse
import html
import io
import json
import os
import shlex
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grading.feedback import plain
from grading.gradebook import cell
from grading.rubric import Scored, read_rubric
from grading.sandbox.isolation import ROOT
from mnist_efficient_model import MACHINE_ERROR, ChallengeError, Limits, write_file

AUTOGRADER = Path("/autograder")  # Gradescope's folder


def write_exports(out: Path, gradebook: Sequence[Scored], seconds: float) -> None:
    """What Classroom 50, Gradescope and GitHub Actions read, where they ask for it."""
    if len(gradebook) == 1:
        write_file(out / "result.json", json.dumps(to_classroom(gradebook[0]), indent=2) + "\n")
        if AUTOGRADER.is_dir():
            document = json.dumps(to_gradescope(gradebook[0], seconds), indent=2)
            write_file(AUTOGRADER / "results" / "results.json", document + "\n")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(to_summary(gradebook))
        except OSError as error:
            raise ChallengeError(f"cannot write {summary}: {error.strerror}", MACHINE_ERROR) from error


def to_gradescope(scored: Scored, seconds: float) -> dict[str, Any]:
    """https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format"""
    grade = scored.grade
    output = f"{grade.status}: {cell(grade.reason)}"
    tests = [
        {"name": c.name, "score": p or 0.0, "max_score": c.points, "status": "passed" if p == c.points else "failed",
         "output": output, "visibility": "visible"}
        for c, p in scored.parts
    ]  # fmt: skip
    board = []
    if grade.status == "passed" and grade.verified:
        board = [
            {"name": "Accuracy", "value": grade.accuracy, "order": "desc"},
            {"name": "Parameters", "value": grade.parameters, "order": "asc"},
            {"name": "Seconds", "value": round(grade.train_seconds, 2), "order": "asc"},
        ]
    total = scored.score if scored.score is not None else 0.0
    return {"score": total, "execution_time": round(seconds, 2), "output": output, "visibility": "visible",
            "tests": tests, "leaderboard": board}  # fmt: skip


def to_classroom(scored: Scored) -> dict[str, Any]:
    """Classroom 50's result.json, with whole points, rounded down."""
    tests = [
        {"test-name": c.name, "passed": p == c.points, "score": int(p or 0), "max-score": c.points}
        for c, p in scored.parts
    ]
    score = sum(test["score"] for test in tests)
    return {"schema": "classroom50/result/v1", "score": score, "max-score": scored.max_score, "tests": tests}


def to_summary(gradebook: Sequence[Scored]) -> str:
    """Markdown for a GitHub Actions job: verdicts first, prints folded, all that a student wrote escaped."""
    lines = []
    for scored in gradebook:
        grade = scored.grade
        verified = {True: "verified", False: "not verified"}.get(grade.verified, "")
        lines += [f"### {plain(grade.student)}: {grade.status}", "", plain(grade.reason), ""]
        lines += [f"| criterion | points | of | {verified} |", "|---|---:|---:|---|"]
        lines += [f"| {plain(c.name)} | {'' if p is None else p} | {c.points} | |" for c, p in scored.parts]
        if grade.log:
            log = html.escape(grade.log).replace("\r", "").replace("\n", "&#10;")  # an empty line would end the block
            lines += ["", f"<details><summary>What it printed</summary><pre>{log}</pre></details>"]
        lines.append("")
    return "\n".join(lines)


# --- Gradescope's autograder ------------------------------------------------------------------------------------------

SETUP = """#!/usr/bin/env bash
# Run once by Gradescope when the image is built: Python's packages and the data.
set -euo pipefail
cd /autograder/source
apt-get update && apt-get install -y python3-pip
python3 -m pip install --break-system-packages -r requirements.txt || python3 -m pip install -r requirements.txt
python3 -c 'import mnist_efficient_model as m; m.load_dataset({dataset!r})'
"""
RUN_AUTOGRADER = """#!/usr/bin/env bash
# Run by Gradescope for every submission; writes /autograder/results/results.json.
cd /autograder/source
exec python3 -m grading /autograder/submission --out /tmp/grades {options}
"""


def write_autograder(path: Path, arguments: argparse.Namespace) -> None:
    """The zip to upload to Gradescope, with the scripts at its root; a fixed time makes it the same every time."""
    root = Path(ROOT)
    names = ("dataset", "seeds", "max_parameters", "min_accuracy", "timeout", "memory")
    options = [part for name in names for part in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
    requirements = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    kept = [line for line in requirements if not line.startswith(("pytest", "ruff"))]
    files = {"setup.sh": SETUP.format(dataset=arguments.dataset), "requirements.txt": "\n".join(kept) + "\n"}
    room = [path for path in (root / "grading").rglob("*.*") if path.suffix in (".py", ".css", ".js")]
    code = [root / "mnist_efficient_model.py", *(root / "data").glob("*.py"), *room]
    for file in sorted(code):
        files[str(file.relative_to(root))] = file.read_text(encoding="utf-8")
    if arguments.rubric:
        read_rubric(arguments.rubric, Limits())
        files["rubric.toml"] = Path(arguments.rubric).read_text(encoding="utf-8")
        options += ["--rubric", "rubric.toml"]
    if arguments.model_name:
        options += ["--model-name", arguments.model_name]
    if arguments.verified_only:
        options += ["--verified-only"]
    files["run_autograder"] = RUN_AUTOGRADER.format(options=shlex.join(options))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name in ("setup.sh", "run_autograder") else 0o644) << 16
            archive.writestr(entry, text)
    write_file(path, content.getvalue())
