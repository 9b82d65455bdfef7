"""Check one submission: ``python -m grading.check PATH``, as its author does before handing in, or a teacher.

The code, seeds and verdict are those of a class. This process imports nothing of the submission.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from grading import command, pool, submissions
from grading.command import STEPS, Progress, say

PROG = "python -m grading.check"
STATUSES = {"passed": 0, "failed": 1, "machine_error": 4}  # exit status by verdict; 3 for all others


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; exits with status 2 if it is wrong."""
    parser = command.Parser(
        prog=PROG,
        description="Check one submission: the verdict, the points, how far above or below each limit it lies, and "
        "what to do next. Code, seeds and verdict are those of a class: python -m grading CLASS_FOLDER",
        epilog="exit status: 0 passed; 1 failed; 3 invalid, rejected, out of time or memory; 2 usage; 4 machine",
    )
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="a file, or a folder with all that one student hands in")
    add("--update", type=Path, metavar="GRADES", help="also write its row into this gradebook of a class")
    add("--gradescope-results", type=Path, help=argparse.SUPPRESS)  # for the autograders
    add("--classroom50-results", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if not arguments.path.exists():
        parser.error(f"{arguments.path} does not exist")
    if arguments.update and not arguments.update.is_dir():
        parser.error(f"--update {arguments.update}: there is no such folder of grades")
    return arguments


def looks_like_several(folder: Path) -> bool:
    """Whether a folder looks like a class: several of its folders look like one student's, and itself does not."""
    if not folder.is_dir() or submissions.looks_like_one(folder):
        return False
    return sum(submissions.looks_like_one(each) for each in folder.iterdir() if each.is_dir()) > 2


def student_of(path: Path, excluded: Sequence[Path]) -> str:
    """The student's name in the class in whose folder the submission lies; an empty string where it is hidden there."""
    found = (who for who, each in submissions.entries(path.resolve().parent, excluded) if each.samefile(path))
    return next(found, "")


def check(argv: Sequence[str] | None) -> int:
    """Grade the submission, print the verdict and write it where it is asked for; returns the exit status."""
    start, arguments = monotonic(), parse_arguments(argv)
    path, update, excluded = arguments.path, arguments.update, [arguments.data_dir]
    say(f"{path}: one submission, {command.seeds(arguments)}; loading PyTorch")
    if looks_like_several(path):
        say(f"It looks like a folder of many students: for a class say python -m grading {path}")
    with pool.work_folder() as name:
        work = Path(name)
        server = pool.ForkServer(work)  # loads PyTorch while this process does
        from grading import feedback, gradebook, platforms, points

        settings = command.settings_of(arguments)
        criteria = points.read_rubric(arguments.rubric, settings.limits)
        book = gradebook.Gradebook(update, path.resolve().parent, criteria, settings) if update else None
        grader = command.grader(arguments, settings, [path, *([update] if update else [])], work)
        submission = submissions.read_submission(path, student_of(path, excluded) if update else "", excluded)
        progress, found, kinds = Progress(arguments.seeds), [], []

        def on_step(_: str, kind: str) -> None:
            kinds.append(kind)
            progress.done = max(0, kinds.count("build") - 1)  # each seed begins with it
            progress.step(f"seed {progress.done + 1}: {STEPS[kind]}" if kind in STEPS else "reading the code")

        pool.Pool(grader, server, on_step).grade([submission], 1, found.append)
    say(f"graded in {monotonic() - start:.0f} s")
    scored = points.score(found[0], criteria)
    if book:
        book.add(found[0])
        book.close()
    print(feedback.to_text(scored, settings.limits), end="")
    platforms.write_results(scored, settings.limits, monotonic() - start, arguments)
    platforms.add_summary([scored], settings.limits)
    return STATUSES.get(scored.grade.status, 3)


main = functools.partial(command.run, PROG, check)

if __name__ == "__main__":
    sys.exit(main())
