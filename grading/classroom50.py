"""Classroom 50: the bundle that a teacher commits, and what it writes into a student's checkout.

The contract is that of its wiki, "Advanced Autograding", and of validate_result in its runner.py: result.json as
``to_result`` makes it, and release-body.md. The runner itself sets owner, assignment_type and the final datetime.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grading import feedback
from grading.autograder import NEEDED
from grading.bundle import RUBRIC, bundle_files
from grading.rubric import Scored
from grading.sandbox.isolation import ROOT
from mnist_efficient_model import MACHINE_ERROR, USAGE, ChallengeError, Limits, write_file

BUNDLE_BYTES = 10 << 20  # more is refused by the runner


def checkout() -> Path | None:
    """The student's checkout, under Classroom 50; else None."""
    return Path.cwd() if all(os.environ.get(name) for name in ("CLASSROOM50_BUNDLE_DIR", *NEEDED)) else None


def write_bundle(folder: Path, arguments: argparse.Namespace) -> None:
    """Write what belongs into CLASSROOM/autograders/ASSIGNMENT/ of the teacher's classroom50 repository.

    Raises ChallengeError where it must not or cannot go, OSError.
    """
    if folder.resolve() == Path(ROOT).resolve() or folder.is_file():
        raise ChallengeError(f"{folder} cannot take the bundle: name a folder of its own", USAGE)
    if arguments.late_per_day:
        raise ChallengeError("--late-per-day: Classroom 50 tells late work itself, and no dates to a bundle", USAGE)
    files, options = bundle_files(arguments)
    files["autograder.py"] = files["grading/autograder.py"]
    files["options.json"] = json.dumps(options) + "\n"
    if sum(len(text.encode()) for text in files.values()) > BUNDLE_BYTES:
        raise ChallengeError("the bundle would have more than 10 MB, which Classroom 50 refuses", USAGE)
    (folder / RUBRIC).unlink(missing_ok=True)  # of an earlier bundle
    for name, text in files.items():
        write_file(folder / name, text)


def write_result(folder: Path, scored: Scored, limits: Limits) -> None:
    """result.json and release-body.md; raises ChallengeError where the machine failed, since 0 points would be wrong.

    Without a result.json the runner tells student and teacher that grading failed, and it can be run again.
    """
    if scored.score is None:
        raise ChallengeError(f"not graded: {scored.grade.reason}", MACHINE_ERROR)
    result = json.dumps(to_result(scored, os.environ), indent=2) + "\n"
    write_file(folder / "release-body.md", feedback.to_markdown(scored, limits))
    write_file(folder / "result.json", result)  # last: it tells that all is there


def to_result(scored: Scored, variables: Mapping[str, str]) -> dict[str, Any]:
    """The fields of classroom50/result/v1, with whole points, rounded down; no test of it may be negative."""
    tests = [
        {"test-name": c.name if p >= 0 else f"{c.name} ({p:g})", "passed": p == c.points, "score": max(0, int(p)),
         "max-score": c.points}
        for c, p in scored.parts
    ]  # fmt: skip
    lost = sum(math.ceil(-p) for _, p in scored.parts if p < 0)
    return {
        "schema": "classroom50/result/v1",
        "classroom": variables["CLASSROOM"],
        "assignment": variables["ASSIGNMENT"],
        "submission": variables["SUBMISSION_TAG"],
        "commit": variables["COMMIT_URL"],
        "release": variables["RELEASE_URL"],
        "review": variables["REVIEW_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": max(0, sum(test["score"] for test in tests) - lost),
        "max-score": scored.max_score,
        "tests": tests,
    }
