"""Grade a class: ``python -m grading CLASS_FOLDER`` writes grades/grades.csv, report.html and a page for each student.

This process imports nothing of a submission and runs no operator of it. See docs/grading.md.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from grading import command, pool, submissions
from grading.command import STEPS, Progress, say
from grading.sandbox.watch import safe_text

PROG = "python -m grading"
CHECK = f"{PROG}.check"


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line, and in ``people`` each student with what is handed in; exits with status 2 if it is wrong."""
    parser = command.Parser(
        prog=PROG,
        description="Grade a class: each submission's model becomes a graph of operators that the challenge's own "
        f"engine trains for one epoch and tests, without the submission's code. For one submission: {CHECK}",
        epilog="exit status: 0 graded, whatever the grades; 2 usage; 4 data or machine",
    )
    add, jobs, name = parser.add_argument, command.number(int, 1, 10_000), "MNIST challenge"
    add("folder", nargs="?", type=Path, metavar="CLASS_FOLDER", help="a file or folder for each student")
    add("--out", type=Path, default=Path("grades"), metavar="DIR", help="where the gradebook goes (default: grades/)")
    add("--jobs", type=jobs, default=1, metavar="N", help="submissions graded side by side (default: 1)")
    add("--roster", type=Path, metavar="FILE.csv", help="of Canvas, Moodle or your own: points are filled in")
    add("--assignment", default=name, metavar="NAME", help=f"its column there (default: {name})")
    add("--gradescope", type=Path, metavar="OUT.zip", help="write the autograder with these settings, grade nothing")
    add("--classroom50", type=Path, metavar="FOLDER", help="write Classroom 50's autograder, likewise")
    arguments = parser.parse_args(argv)
    folder = arguments.folder
    if arguments.gradescope or arguments.classroom50:
        return arguments
    if folder is None or not folder.is_dir():
        one = f"; for one submission say {CHECK} {folder}" if folder and folder.exists() else ""
        parser.error(f"{folder} is no folder of submissions{one}" if folder else "which class? give its folder")
    beside = [arguments.data_dir, *(Path(path) for path in (arguments.rubric, arguments.roster) if path)]
    arguments.excluded = beside
    arguments.people = submissions.entries(folder, beside)
    if not arguments.people:
        parser.error(f"{folder} holds no submissions: put a file or folder for each student there")
    return arguments


def grade_class(arguments: argparse.Namespace) -> None:
    """Grade every submission that has no valid grade yet, and write the gradebook."""
    count, folder, out = len(arguments.people), arguments.folder, arguments.out
    say(f"{folder}: {count:,} submission{'s' * (count != 1)}, {command.seeds(arguments)} each; loading PyTorch")
    if submissions.looks_like_one(folder):
        say(f"It looks like one student's folder: for one submission say {CHECK} {folder}")

    from grading import feedback, gradebook, platforms, points, rosters

    settings = command.settings_of(arguments)
    criteria = points.read_rubric(arguments.rubric, settings.limits)
    roster = rosters.Roster(arguments.roster, arguments.assignment) if arguments.roster else None
    book = gradebook.Gradebook(out, folder, criteria, settings)
    with pool.work_folder() as name:
        work = Path(name)
        grader = command.grader(arguments, settings, [folder, out], work)
        handed_in = [submissions.read_submission(path, who, arguments.excluded) for who, path in arguments.people]
        waiting = [each for each in handed_in if not book.has_valid(each.student, settings.key(each, grader.digest))]
        if len(waiting) < len(handed_in):
            say(f"{len(handed_in) - len(waiting):,} of {len(handed_in):,} were graded before and have not changed")
        progress = Progress(len(waiting))

        def on_step(student: str, kind: str) -> None:
            progress.step(f"{safe_text(student, 30)}: {STEPS.get(kind, 'reading the code')}")

        def on_grade(grade: gradebook.Grade) -> None:
            book.add(grade)
            progress.advance(f"{safe_text(grade.student, 80)}: {grade.status}: {safe_text(grade.reason)}")

        try:
            if waiting:
                pool.Pool(grader, pool.ForkServer(work), on_step).grade(waiting, arguments.jobs, on_grade)
        finally:
            book.close()
    everybody, students = book.scored(), {student for student, _ in arguments.people}
    if roster:
        comments = {scored.grade.student: feedback.to_text(scored, settings.limits) for scored in everybody}
        for note in roster.fill_in(out, everybody, comments):
            say(note)
    graded = [scored for scored in everybody if scored.grade.student in students]
    platforms.add_summary(graded, settings.limits)
    counts = sorted(Counter(scored.grade.status for scored in graded).items())
    print(f"{len(graded):,} graded: {', '.join(f'{n:,} {status}' for status, n in counts)}; see {out}")


def grade(argv: Sequence[str] | None) -> int:
    """Grade the class, or write what is handed to a platform instead; returns the exit status."""
    arguments = parse_arguments(argv)
    if not arguments.gradescope and not arguments.classroom50:
        grade_class(arguments)
        return 0

    from grading import platforms

    if path := arguments.gradescope:
        platforms.write_gradescope(path, arguments)
        print(f"wrote {path}: upload it to Gradescope, with a container of 3 GB and 2 CPUs or more")
    if folder := arguments.classroom50:
        platforms.write_classroom50(folder, arguments)
        print(f"wrote {folder}: commit it as CLASSROOM/autograders/ASSIGNMENT/ of classroom50")
    return 0


main = functools.partial(command.run, PROG, grade)

if __name__ == "__main__":
    sys.exit(main())
