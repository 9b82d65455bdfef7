"""Where a course lives: Gradescope's zip and results, GitHub Actions' job summary; what else is written where."""

from __future__ import annotations

import argparse
import html
import io
import json
import math
import os
import shlex
import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from grading import classroom50, feedback
from grading.bundle import RUBRIC, bundle_files
from grading.feedback import plain
from grading.gradebook import cell
from grading.rosters import Roster, read_roster
from grading.rubric import Rubric, Scored, read_rubric
from grading.sheets import fill_in
from mnist_efficient_model import MACHINE_ERROR, USAGE, ChallengeError, Limits, write_file

AUTOGRADER = Path("/autograder")  # Gradescope's folder


def read_rules(arguments: argparse.Namespace, limits: Limits) -> tuple[Rubric, Roster | None]:
    """The rubric, with what late work costs, and the roster; raises ChallengeError."""
    rubric = Rubric(read_rubric(arguments.rubric, limits), arguments.late_per_day)
    roster = read_roster(arguments.roster) if arguments.roster else None
    if arguments.late_per_day and AUTOGRADER.is_dir():
        days = days_late()
        rubric.days_late = lambda _: days
    elif arguments.late_per_day:
        if not roster or not roster.has("late_days"):
            raise ChallengeError("--late-per-day needs a --roster with a column late_days", USAGE)
        rubric.days_late = roster.days_late
    return rubric, roster


def write_sheets(out: Path, roster: Roster, gradebook: Sequence[Scored], assignment: str, limits: Limits) -> list[str]:
    """Write canvas.csv and moodle.csv; returns lines on who is in only one of roster and gradebook."""
    sheets = fill_in(roster, gradebook, assignment, lambda scored: feedback.to_text(scored, limits))
    for name, text in sheets.files.items():
        write_file(out / name, text)
    return sheets.notes


def write_exports(gradebook: Sequence[Scored], limits: Limits, seconds: float) -> None:
    """What Classroom 50, Gradescope and GitHub Actions read, where they ask for it. Raises ChallengeError, OSError."""
    if len(gradebook) == 1 and (checkout := classroom50.checkout()):
        classroom50.write_result(checkout, gradebook[0], limits)
        return  # its runner shows release-body.md on the summary page
    if len(gradebook) == 1 and AUTOGRADER.is_dir():
        document = json.dumps(to_gradescope(gradebook[0], limits, seconds), indent=2)
        write_file(AUTOGRADER / "results" / "results.json", document + "\n")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(to_summary(gradebook))
        except OSError as error:
            raise ChallengeError(f"cannot write {summary}: {error.strerror}", MACHINE_ERROR) from error


def is_one_submission(path: Path) -> bool:
    """Whether a platform says that this folder, whatever it holds, is what one student handed in."""
    checkout = classroom50.checkout()
    return path == AUTOGRADER / "submission" or bool(checkout and path.resolve() == checkout.resolve())


def days_late() -> int:
    """How many days after the due date Gradescope got this submission, each counted that has begun.

    The due date is the student's own; of a group, the latest. 0 where there is none. Raises ChallengeError.
    https://gradescope-autograders.readthedocs.io/en/latest/submission_metadata/
    """
    path = AUTOGRADER / "submission_metadata.json"
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        of_all = metadata["assignment"]["due_date"]
        due = [user.get("assignment", {}).get("due_date") or of_all for user in metadata["users"]] or [of_all]
        if None in due:
            return 0
        created, latest = to_time(metadata["created_at"]), max(map(to_time, due))
    except OSError as error:
        raise ChallengeError(f"--late-per-day cannot read {path}: {error.strerror}", MACHINE_ERROR) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChallengeError(f"--late-per-day: {path} has no dates as Gradescope writes them", MACHINE_ERROR) from error
    return max(0, math.ceil((created - latest) / timedelta(days=1)))


def to_time(text: str) -> datetime:
    """A moment in ISO 8601, with its distance from UTC; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def to_gradescope(scored: Scored, limits: Limits, seconds: float) -> dict[str, Any]:
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
    return {"score": total, "execution_time": round(seconds, 2), "output": feedback.to_text(scored, limits),
            "visibility": "visible", "tests": tests, "leaderboard": board}  # fmt: skip


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
    files, options = bundle_files(arguments)
    options += ["--rubric", RUBRIC] if RUBRIC in files else []
    options += ["--late-per-day", str(arguments.late_per_day)] if arguments.late_per_day else []
    files["setup.sh"] = SETUP.format(dataset=arguments.dataset)
    files["run_autograder"] = RUN_AUTOGRADER.format(options=shlex.join(options))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name in ("setup.sh", "run_autograder") else 0o644) << 16
            archive.writestr(entry, text)
    write_file(path, content.getvalue())
