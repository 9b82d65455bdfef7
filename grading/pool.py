"""The grader's run over submissions, side by side in threads; needs no PyTorch to be imported."""

from __future__ import annotations

import concurrent.futures
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from grading.sandbox.server import ForkServer, ServerFailed, WorkerLost
from grading.sandbox.watch import safe_text
from grading.submissions import Submission

if TYPE_CHECKING:
    from grading.grades import Grade
    from grading.judge import Grader


class Pool:
    """Grades submissions side by side, in threads; ``on_step`` gets student and kind of task, or "redraw"."""

    def __init__(self, grader: Grader, server: ForkServer, on_step: Callable[[str, str], None]) -> None:
        self.grader, self.server, self.on_step = grader, server, on_step
        self.lock, self.over = threading.Lock(), False

    def grade(self, submissions: Sequence[Submission], jobs: int, on_grade: Callable[[Grade], None]) -> None:
        """Grade all, ``jobs`` at a time; ``on_grade`` gets one grade at a time. Raises ServerFailed, and its errors."""
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            futures = [pool.submit(self.grade_one, submission, on_grade) for submission in submissions]
            for future in concurrent.futures.as_completed(futures):
                future.result()
        finally:
            self.over = True
            pool.shutdown(wait=False, cancel_futures=True)
            self.server.close()
            pool.shutdown(wait=True)

    def grade_one(self, submission: Submission, on_grade: Callable[[Grade], None]) -> None:
        """Grade a submission; whatever goes wrong is its own. Raises ServerFailed."""
        from grading.grades import Grade

        def run(task: dict[str, Any]) -> dict[str, Any]:
            self.on_step(submission.student, "redraw" if "redraw" in task else task["kind"])
            return self.server.run(task)

        try:
            try:
                grade = self.grader.grade(submission, run)
            except WorkerLost:  # once more: it may have been bad luck
                grade = self.grader.grade(submission, run)
        except ServerFailed:
            raise
        except Exception as error:
            reason = f"the grading machine failed ({safe_text(error, 200) or type(error).__name__}): grade again"
            grade = Grade(submission.student, "machine_error", f"{reason}; this is not the student's fault")
        with self.lock:
            if not self.over:
                on_grade(grade)


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files of a run's children. Raises OSError."""
    if not hasattr(os, "fork"):  # Windows
        raise OSError(0, "grading needs Linux or macOS; on Windows run it in WSL or a container")
    return tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True)
