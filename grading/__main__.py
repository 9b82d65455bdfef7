"""Hold a whole class's models to the limits of the efficient-MNIST challenge.

    python -m grading SUBMISSIONS              one file or folder per student -> grades/grades.csv, report.html, ...
    python -m grading SUBMISSIONS --roster R.csv      also canvas.csv and moodle.csv
    python -m grading model.py                 one submission, as its author checks it before handing in: the same code,
                                               seeds and verdict, with the distance from each limit and what to do next
    python -m grading --gradescope OUT.zip     the autograder to upload to Gradescope
    python -m grading --classroom50 FOLDER     the autograder to commit for Classroom 50

This process imports nothing of a submission and runs no operator of it. See docs/grading.md.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # "-m" looks into the current folder first, and a student's may hold a json.py
    sys.path[:] = [os.path.dirname(os.path.dirname(__file__)), *(p for p in sys.path if p not in ("", os.getcwd()))]

import signal

if __name__ == "__main__":  # before torch's import, which takes seconds: an early Ctrl-C is as clean as a late one
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

import argparse
import concurrent.futures
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import mnist_efficient_model as challenge
from grading import classroom50, feedback, gradebook, platforms, rubric, similarity
from grading.choices import read_choices
from grading.grades import Grade, Settings
from grading.judge import Grader
from grading.sandbox.forkserver import ForkServer, ServerFailed, Worker, WorkerLost
from grading.sandbox.isolation import ROOT, resource
from grading.sandbox.watch import safe_text
from grading.submissions import Submission, find_submissions
from mnist_efficient_model import MACHINE_ERROR, OK, USAGE, ChallengeError, Limits, write_file

try:
    import fcntl
except ImportError:  # Windows, where there is no fork either: see command()
    fcntl = None

PREFIX = "grading-"  # of a run's temporary folder
RANGES = {  # of the options that are numbers
    "seeds": (1, 100_000), "seed": (0, 2**62), "jobs": (1, 10_000), "max_parameters": (1, 10**12),
    "min_accuracy": (0, 1), "timeout": (0.001, 10**6), "memory": (1, 10**9), "late_per_day": (0, 100),
}  # fmt: skip


# --- The class --------------------------------------------------------------------------------------------------------


class Class:
    """Grades every submission that has no grade yet, side by side, and keeps the gradebook up to date."""

    def __init__(self, grader: Grader, submissions: Sequence[Submission], out: Path, criteria: list) -> None:
        self.grader, self.submissions, self.out, self.criteria = grader, submissions, out, criteria
        self.grades = gradebook.read_grades(out)
        if len(submissions) == 1:
            self.similar = gradebook.read_similar(out, submissions[0].student)
        else:
            self.similar = similarity.similar(submissions)
        settings, digest = grader.settings, grader.digest
        self.waiting = [
            submission for submission in submissions
            if not gradebook.still_valid(self.grades.get(submission.student), settings.key(submission, digest))
        ]  # fmt: skip
        self.lock, self.over, self.local = threading.Lock(), threading.Event(), threading.local()
        self.workers: list[Worker] = []

    def grade_all(self, jobs: int, folder: Path) -> list[Grade]:
        """Grade what waits, ``jobs`` at a time; says on stderr how it goes. Raises OSError where it cannot write."""
        total = len(self.submissions)
        if len(self.waiting) < total:
            tell(f"{total - len(self.waiting):,} of {total:,} were graded before and have not changed")
        if self.waiting:
            self.server = ForkServer(folder)
            pool = concurrent.futures.ThreadPoolExecutor(jobs)
            try:
                futures = [pool.submit(self.work, submission) for submission in list(self.waiting)]
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            finally:
                self.over.set()
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in self.workers:
                    worker.close()
                self.server.close()
                pool.shutdown(wait=True)
        self.write()
        limits = self.grader.settings.limits
        gradebook.write_missing_pages(self.out, self.grades.values(), self.criteria, limits)
        return [self.grades[submission.student] for submission in self.submissions]

    def work(self, submission: Submission) -> None:
        """Grade one submission, write its grade and the gradebook. Whatever goes wrong is this submission's own."""
        try:
            try:
                grade = self.grader.grade(submission, self.worker)
            except WorkerLost:  # once more with a new one: it may have been bad luck
                if self.over.is_set():
                    return
                self.lose_worker()
                grade = self.grader.grade(submission, self.worker)
        except ServerFailed:
            raise
        except Exception as error:
            if self.over.is_set():
                return
            self.lose_worker()
            reason = f"the grading machine failed ({safe_text(error, 200) or type(error).__name__}): grade again"
            grade = Grade(submission.student, "machine_error", f"{reason}; this is not the student's fault")
        with self.lock:
            self.grades[grade.student] = grade
            gradebook.write_grade(self.out, rubric.score(grade, self.criteria), self.grader.settings.limits)
            self.write()
            self.waiting.remove(submission)
            left, total = len(self.waiting), len(self.submissions)
            place = f"[{total - left}/{total}] {safe_text(grade.student, 80)}"
            tell(f"{place}: {grade.status}: {safe_text(grade.reason)}  ({left} remain)")

    def worker(self) -> Worker:
        """This thread's worker, from a new server where the old one ended."""
        if not hasattr(self.local, "worker"):
            with self.lock:
                if not self.server.is_alive():
                    self.server.close()
                    self.server = ForkServer(self.server.folder)
                self.local.worker = self.server.worker()
                self.workers.append(self.local.worker)
        return self.local.worker

    def lose_worker(self) -> None:
        if hasattr(self.local, "worker"):
            self.local.worker.close()
            del self.local.worker

    def write(self) -> None:
        gradebook.write_gradebook(self.out, self.grades.values(), self.criteria, self.grader.settings, self.similar)


def tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder of this run; clears those that a killed run left behind. Raises OSError.

    A folder is in use while the lock on its file ``lock`` is held, which ends with the process that holds it.
    """
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        with contextlib.suppress(OSError), open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with open(folder / "lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- The command line -------------------------------------------------------------------------------------------------


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = challenge.Parser(
        prog="python -m grading",
        description="Hold models to the limits of the efficient-MNIST challenge: each becomes a graph of operators "
        "that the challenge's own engine trains for one epoch and tests, in processes without the submission's code. "
        "Of one submission it prints the verdict, the points, how far above or below each limit it lies, and what to "
        "do next: the same code, seeds and verdict as in a class.",
        epilog="exit status: 0 grading worked, whatever the grades; 2 usage; 4 data or machine",
    )
    add, limits = parser.add_argument, Limits()
    add("submissions", nargs="?", type=Path, metavar="SUBMISSIONS", help="a folder of them, or one file or folder")
    add("--out", type=Path, default=Path("grades"), metavar="DIR", help="where the gradebook goes (default: grades/)")
    add("--seeds", type=int, default=3, metavar="K", help="runs of each, judged on the median (default: 3)")
    add("--seed", type=int, default=0, metavar="N", help="the first seed (default: 0)")
    add("--jobs", type=int, default=1, metavar="N", help="submissions graded side by side (default: 1)")
    add("--max-parameters", type=int, default=limits.parameters, metavar="N",
        help=f"fewer than this (default: {limits.parameters})")  # fmt: skip
    add("--min-accuracy", type=float, default=limits.accuracy, metavar="X", help=f"default: {limits.accuracy}")
    add("--verified-only", action="store_true", help="a model that cannot become a graph is invalid")
    add("--rubric", metavar="FILE.toml", help="how points are given (default: 10 runs, 30 parameters, 60 accuracy)")
    add("--model-name", metavar="NAME", help="the class or function to take when a file has several")
    add("--choose", type=Path, metavar="FILE.csv", help="student,path[:NAME]: the model of those who have several")
    add("--dataset", default="mnist", choices=tuple(challenge.DATASETS), help="default: mnist")
    add("--data-dir", metavar="DIR", help="where the data is or goes (default: $MNIST_DATA_DIR, else data/)")
    add("--timeout", type=float, default=300.0, metavar="S", help="seconds for each child (default: 300)")
    add("--memory", type=int, default=2048, metavar="MB", help="memory for each child (default: 2048)")
    add("--roster", type=Path, metavar="FILE.csv", help="the class: writes canvas.csv and moodle.csv, see the docs")
    add("--assignment", default="MNIST challenge", metavar="NAME", help="its name there (default: MNIST challenge)")
    add("--late-per-day", type=float, default=0.0, metavar="P", help="percent of all points that a "
        "day late costs; days are from Gradescope, or late_days in the roster (default: 0)")  # fmt: skip
    add("--gradescope", type=Path, metavar="OUT.zip", help="write the autograder with these settings, grade nothing")
    add("--classroom50", type=Path, metavar="FOLDER", help="write Classroom 50's autograder, likewise")
    add("--version", action="version", version=f"%(prog)s {challenge.__version__}")
    arguments = parser.parse_args(argv)
    for name, (low, high) in RANGES.items():
        if not low <= (value := getattr(arguments, name)) <= high:
            parser.error(f"--{name.replace('_', '-')} {value}: it must be from {low} to {high:,}")
    return arguments


def command(arguments: argparse.Namespace) -> int:
    """Do what the command line asks; returns the exit status."""
    start = time.monotonic()
    if arguments.gradescope and arguments.choose:
        raise ChallengeError("--choose settles a class here; on Gradescope a student calls the file model.py", USAGE)
    if arguments.gradescope:
        platforms.write_autograder(arguments.gradescope, arguments)
        print(f"wrote {arguments.gradescope}: upload it to Gradescope, with a container of 3 GB and 2 CPUs or more")
        return OK
    if arguments.classroom50:
        classroom50.write_bundle(arguments.classroom50, arguments)
        print(f"wrote {arguments.classroom50}: commit it as CLASSROOM/autograders/ASSIGNMENT/ of classroom50")
        return OK
    if arguments.submissions is None:
        raise ChallengeError("which submissions? give a folder, or one file (see --help)", USAGE)
    if fcntl is None or resource is None:
        raise ChallengeError("grading needs Linux or macOS; on Windows run it in WSL or a container", MACHINE_ERROR)
    limits = Limits(arguments.max_parameters, arguments.min_accuracy)
    criteria, roster = platforms.read_rules(arguments, limits)
    out, data_dir = arguments.out, Path(arguments.data_dir or challenge.default_data_dir())
    alone = platforms.is_one_submission(arguments.submissions)
    choices = read_choices(arguments.choose) if arguments.choose else {}
    apart = [out, data_dir, *filter(None, [arguments.roster, arguments.choose])]
    submissions = find_submissions(arguments.submissions, apart, alone, choices)
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    data = challenge.load_dataset(arguments.dataset, arguments.data_dir)
    settings = Settings(limits, data.name, seeds, arguments.model_name, arguments.timeout, arguments.memory << 20,
                        arguments.verified_only)  # fmt: skip
    write_file(out / ".writable", "")  # told before the grading, not after it
    (out / ".writable").unlink()
    with work_folder() as work:
        grader = Grader(data, settings, [arguments.submissions, out, data_dir, Path(ROOT, "data")], work)
        everybody = Class(grader, submissions, out, criteria)
        grades = everybody.grade_all(arguments.jobs, work)
    if roster:
        scored = [rubric.score(grade, criteria) for grade in everybody.grades.values()]
        for note in platforms.write_sheets(out, roster, scored, arguments.assignment, limits):
            tell(note)
    scored = [rubric.score(grade, criteria) for grade in grades]
    platforms.write_exports(scored, limits, time.monotonic() - start)
    where = "release-body.md" if classroom50.checkout() else out
    if len(scored) == 1:
        print(f"{feedback.to_text(scored[0], limits)}See {where}")
        return OK
    counts = {status: sum(g.status == status for g in grades) for status in sorted({g.status for g in grades})}
    listed = ", ".join(f"{n:,} {status}" for status, n in counts.items())
    print(f"{len(grades):,} graded: {listed}; see {where}")
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name is no reason to fail
    try:
        return command(parse_arguments(argv))
    except ChallengeError as error:
        message, status = str(error), error.status
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        message, status = f"cannot read or write{where}: {error.strerror or error}", MACHINE_ERROR
    except ServerFailed as error:
        message, status = f"the fork server did not start: {error}", MACHINE_ERROR
    except KeyboardInterrupt:
        tell("\ninterrupted: what was graded is kept; run again to go on")
        return 130
    tell(f"python -m grading: error: {safe_text(message)}")
    return status


if __name__ == "__main__":
    for ending in (signal.SIGINT, signal.SIGTERM):  # both raise KeyboardInterrupt: no child outlives the grader
        signal.signal(ending, signal.default_int_handler)
    sys.exit(main())
