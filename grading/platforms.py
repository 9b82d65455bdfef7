"""Where a course lives: Gradescope's zip, Classroom 50's bundle, and the results that both and GitHub Actions read."""

from __future__ import annotations

import argparse
import html
import io
import json
import os
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grading import command, feedback
from grading.points import Scored, read_rubric
from grading.sandbox.isolation import ROOT
from mnist_efficient_model import MACHINE_ERROR, USAGE, ChallengeError, Limits, write_file

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = ("grading", "pages", "data")
FOR_TESTS_ONLY = ("pytest", "ruff", "nbclient", "ipykernel")  # lines of requirements.txt


# --- What is handed to a platform: the code, the packages it needs, the settings --------------------------------------


def bundle(arguments: argparse.Namespace, *templates: str) -> dict[str, bytes]:
    """Files by name, with the settings of the teacher's command in the templates.

    Raises ChallengeError for a rubric that cannot be used, OSError for files that cannot be read.
    """
    root, settings = Path(ROOT), command.settings_of(arguments)
    code = [path for package in PACKAGES for path in (root / package).rglob("*")]
    code = [path for path in code if path.suffix in (".py", ".html", ".css", ".js", ".svg")]
    code.append(root / "mnist_efficient_model.py")
    files = {str(path.relative_to(root)): path.read_bytes() for path in sorted(code)}
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    files["requirements.txt"] = "".join(line for line in lines if not line.startswith(FOR_TESTS_ONLY)).encode()
    options = list(settings.options)
    if arguments.rubric:
        read_rubric(arguments.rubric, settings.limits)
        files["rubric.toml"] = Path(arguments.rubric).read_bytes()
        options += ["--rubric", "rubric.toml"]
    for name in templates:
        text = (TEMPLATES / name).read_text(encoding="utf-8").replace("options = []", f"options = {options!r}")
        files[name] = text.replace("options=()", f"options=({shlex.join(options)})").encode()
    return files


def write_gradescope(path: Path, arguments: argparse.Namespace) -> None:
    """The zip to upload to Gradescope, with its scripts at the top; a fixed time makes it the same every time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in bundle(arguments, "setup.sh", "run_autograder", "sample_model.py").items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name in ("setup.sh", "run_autograder") else 0o644) << 16
            archive.writestr(entry, text)
    write_file(path, content.getvalue())


def write_classroom50(folder: Path, arguments: argparse.Namespace) -> None:
    """What belongs into CLASSROOM/autograders/ASSIGNMENT/ of the teacher's classroom50 repository."""
    if folder.resolve() == Path(ROOT).resolve():
        raise ChallengeError(f"{folder} cannot take the bundle: name a folder of its own", USAGE)
    for name, content in bundle(arguments, "autograder.py").items():
        write_file(folder / name, content)


# --- What a platform reads --------------------------------------------------------------------------------------------


def write_results(scored: Scored, limits: Limits, seconds: float, arguments: argparse.Namespace) -> None:
    """One submission's results for the platform that asks for them; raises ChallengeError, OSError.

    None where the machine failed, since 0 points would be wrong: both platforms then say that grading failed.
    """
    if not arguments.gradescope_results and not arguments.classroom50_results:
        return
    if scored.score is None:
        raise ChallengeError(f"not graded: {scored.grade.reason}", MACHINE_ERROR)
    if path := arguments.gradescope_results:
        write_file(path, json.dumps(to_gradescope(scored, limits, seconds), indent=2) + "\n")
    if folder := arguments.classroom50_results:
        write_file(folder / "release-body.md", feedback.to_markdown(scored, limits))
        write_file(folder / "result.json", json.dumps(to_classroom50(scored, os.environ), indent=2) + "\n")


def to_gradescope(scored: Scored, limits: Limits, seconds: float) -> dict[str, Any]:
    """https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format"""
    grade = scored.grade
    shared = {"output": f"{grade.status}: {grade.reason}", "visibility": "visible"}
    tests = [
        {"name": c.name, "score": p, "max_score": c.points, "status": "passed" if p == c.points else "failed", **shared}
        for c, p in scored.parts
    ]
    board = []
    if grade.status == "passed" and grade.verified:
        board = [
            {"name": "Accuracy", "value": grade.accuracy, "order": "desc"},
            {"name": "Parameters", "value": grade.counted, "order": "asc"},
            {"name": "Seconds", "value": round(grade.train_seconds, 2), "order": "asc"},
        ]
    text = feedback.to_text(scored, limits)
    about = {"score": scored.score, "execution_time": round(seconds, 2), "output": text, "visibility": "visible"}
    return {**about, "tests": tests, "leaderboard": board}


def to_classroom50(scored: Scored, variables: Mapping[str, str]) -> dict[str, Any]:
    """The fields of classroom50/result/v1, as validate_result of its runner.py has them: whole points, rounded down.

    The runner itself sets owner, assignment_type and the final datetime.
    """
    tests = [
        {"test-name": c.name, "passed": p == c.points, "score": int(p), "max-score": c.points} for c, p in scored.parts
    ]
    return {
        "schema": "classroom50/result/v1",
        "classroom": variables["CLASSROOM"],
        "assignment": variables["ASSIGNMENT"],
        "submission": variables["SUBMISSION_TAG"],
        "commit": variables["COMMIT_URL"],
        "release": variables["RELEASE_URL"],
        "review": variables["REVIEW_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests),
        "max-score": scored.max_score,
        "tests": tests,
    }


def add_summary(gradebook: Sequence[Scored], limits: Limits) -> None:
    """To the summary page of a GitHub Actions job, where this is one. Raises OSError."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(to_summary(scored, limits) for scored in gradebook)


def to_summary(scored: Scored, limits: Limits) -> str:
    """Markdown: the verdict, then the prints, folded; all that a student wrote is escaped."""
    if not scored.grade.log:
        return f"{feedback.to_markdown(scored, limits)}\n"
    log = html.escape(scored.grade.log).replace("\r", "").replace("\n", "&#10;")  # an empty line would end the block
    folded = f"<details><summary>What it printed</summary><pre>{log}</pre></details>"
    return f"{feedback.to_markdown(scored, limits)}\n{folded}\n\n"
