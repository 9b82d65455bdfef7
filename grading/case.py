"""One submission while it is graded: its children, its files, and the one of them that holds the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grading.grades import Grade, Settings
from grading.sandbox.isolation import FILE_BYTES
from grading.sandbox.watch import CODE_ONLY, safe_text
from grading.submissions import Submission

RunTask = Callable[[dict[str, Any]], dict[str, Any]]  # task -> report: see grading/sandbox/server.py
READ_SECONDS = 60  # for a student's files to be read
WITH_CODE = ("find", "build")  # the tasks that always run the code of a submission
SEARCHES = {"read": "while its files were read", "find": "while its model was looked for in several files"}
NAME_IT = "Put the model into a file model.py at the top of what you hand in: then only that file is looked at."
ASK = "The reason names the rule that it broke: take that out. If it happened by mistake, ask your teacher."


class Ended(Exception):
    """The verdict came before the end: a status, a reason and advice."""

    def __init__(self, status: str, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.advice = status, safe_text(reason), safe_text(advice)


class Case:
    """One submission while it is graded. ``task`` is what all its tasks share."""

    def __init__(self, grade: Grade, settings: Settings, hidden: Sequence[str], run: RunTask, folder: Path) -> None:
        self.grade, self.settings, self.run, self.folder = grade, settings, run, folder
        self.task: dict[str, Any] = {"hidden": hidden, "seconds": settings.seconds, "memory": settings.memory}
        self.task |= {"main": "", "model_name": settings.model_name, "files": {}}

    def put(self, name: str, content: bytes) -> str:
        """Write an input of a task; returns its path."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def child(self, kind: str, **task: Any) -> tuple[bytes, dict[str, Any]]:
        """Run one child; returns its bytes and the worker's report. Raises Ended for a verdict, WorkerLost."""
        result, grade = self.folder / f"{kind}.result", self.grade
        shared = self.task if kind in WITH_CODE else {**self.task, "files": {}}
        report = self.run({**shared, "kind": kind, "result": str(result), **task})
        grade.isolation, grade.log = report["isolation"] or grade.isolation, report["log"] or grade.log
        status, reason, advice = report["status"], report["reason"], report["advice"]
        if status in ("done", "not_a_graph"):
            return result.read_bytes(), report
        if status == "too_large" and kind not in SEARCHES:
            grade.parameters, grade.buffers = FILE_BYTES // 4, 0
            raise Ended("failed", f"more than {grade.parameters:,} parameters: far over the limit")
        if status == "too_large":
            raise Ended("rejected", "its files are too large to be read", CODE_ONLY)
        if kind in SEARCHES and status not in ("invalid", "rejected"):
            reason, advice = f"{SEARCHES[kind]}: {reason}", NAME_IT if kind == "find" else CODE_ONLY
        raise Ended(status, reason, advice)

    def open(self, submission: Submission) -> None:
        """Read the files and find the one that holds the model. Raises Ended, WorkerLost."""
        bundle, settings = self.folder / "bundle", self.settings
        submission.write_bundle(bundle)
        inputs, seconds = {"bundle": str(bundle)}, min(settings.seconds, READ_SECONDS)
        raw, _ = self.child("read", seed=0, seconds=seconds, omitted=submission.omitted, inputs=inputs)
        found = json.loads(raw)
        main, name, candidates = found["candidates"][0], settings.model_name, found["candidates"]
        self.task["files"] = found["files"]
        if len(candidates) > 1:
            _, report = self.child("find", seed=settings.seeds[0], candidates=candidates, inputs={})
            main, chosen = report["facts"].get("main"), report["facts"].get("name")
            if main not in candidates:
                raise Ended("rejected", "it names a file as the model's that is none of its files", ASK)
            name = name or (safe_text(chosen, 80) if isinstance(chosen, str) else None)
        self.grade.model, self.grade.verified = f"{main}:{name}" if name else main, True
        self.task |= {"main": main, "model_name": name}
