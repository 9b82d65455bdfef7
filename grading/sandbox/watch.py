"""One task in a child: what it sends is read as untrusted, its limits are watched, and all that it started ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grading.sandbox.isolation import adopt_orphans

LOG_BYTES = 8_000  # of a submission's prints, the first half and the last half of this are kept
MESSAGE_BYTES = 64_000  # from a child, in all
REASON = 600  # characters of a reason, and of its advice
CUT = b"\n[...]\n"  # stands for the middle
PROCESSES = 64  # in a child, before it counts as a fork bomb
POLL_SECONDS = 0.03  # between two checks of a child
STATUSES = "done not_a_graph too_large invalid rejected out_of_memory timeout machine_error".split()  # a child's
PHASES = ("read", "import", "build", "training", "trained", "testing")

FORGED = "it wrote to the grader's own channel, and a model has nothing to write there"
NO_CHANNEL = "Take out what writes to open files that it did not open. If it happened by mistake, ask your teacher."
NO_PROCESSES = "Take out what starts processes: subprocess, multiprocessing, DataLoader with workers."
CODE_ONLY = "Hand in the code only: no data, no results, notebooks without their outputs."
ONLY_DEFINE = "Loading the file must only define the model: take long computations out of its top level and classes."
FASTER = "Make it faster: fewer channels, earlier pooling, no Python loops over images or pixels in forward."
SMALLER = "Make it smaller: fewer channels at full resolution, earlier pooling, a smaller batch."
ONLY_PYTORCH = "Its process died: leave out what is not PyTorch (threads, ctypes, exits, compiled code)."


def safe_text(text: Any, most: int = REASON) -> str:
    """Text on one line without control characters, cut: fit for a terminal, a table, a log."""
    kept = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * most])
    kept = " ".join(kept.split())
    return kept if len(kept) <= most else kept[: most - 4] + " ..."


def run_in_child(task: dict[str, Any], grader: int, run: Callable[..., Any]) -> dict[str, Any]:
    """Run one task in a fresh child and report how it went; leaves no process and no file behind.

    No more is read from the descriptor ``grader`` than its end: then nobody waits for the report, and the child ends.
    """
    adopt_orphans()
    scratch = os.path.realpath(tempfile.mkdtemp(prefix="scratch-"))
    (messages, channel), (prints, printer) = os.pipe(), os.pipe()
    result = os.open(task["result"], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    watch = Watch(task)
    child = os.fork()
    if child == 0:
        try:
            run(task, scratch, channel, printer, result)
        finally:
            os._exit(70)
    for descriptor in (channel, printer, result):
        os.close(descriptor)
    readers = {messages: watch.read_messages, prints: watch.read_prints, grader: watch.read_grader}
    ended, status = 0, 0
    try:
        while not watch.answer and not ended:
            read_ready(readers, POLL_SECONDS)
            ended, status = os.waitpid(child, os.WNOHANG)
            watch.check_limits()
    finally:
        end_all(None if ended else child)
        del readers[grader]
        while read_ready(readers, 0):  # what was still in the pipes, which nobody can fill any more
            pass
        shutil.rmtree(scratch, ignore_errors=True)
    watch.end("crashed", f"its process ended without a result ({exit_text(status)})", ONLY_PYTORCH)
    return watch.report()


def read_ready(readers: dict[int, Callable[[bytes], None]], seconds: float) -> bool:
    """Wait up to ``seconds`` for descriptors, pass on what they hold, drop those that ended; whether any was ready."""
    ready = select.select(list(readers), [], [], seconds)[0]
    for descriptor in ready:
        data = os.read(descriptor, 1 << 16)
        readers[descriptor](data)
        if not data:
            del readers[descriptor]
    return bool(ready)


class Watch:
    """What a worker learns of its child. ``answer`` is set once: by the child's last message, or by a broken limit."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task, self.start = task, time.perf_counter()
        self.answer: dict[str, Any] | None = None
        self.unread, self.message_bytes, self.log = b"", 0, b""
        self.stamps: dict[str, float] = {}  # phase -> when it began
        self.isolation: list[str] = []
        self.memory_before, self.memory = memory_of(os.getpid()), 0

    def end(self, status: str, reason: Any, advice: Any, facts: dict[str, Any] | None = None) -> None:
        answer = {"status": status, "reason": safe_text(reason), "advice": safe_text(advice), "facts": facts or {}}
        self.answer = self.answer or answer

    def read_grader(self, data: bytes) -> None:
        """The descriptor can only end, since no task comes while one runs."""
        raise ConnectionError("the grader is gone")

    def read_prints(self, data: bytes) -> None:
        """Keep the beginning and the end of what the submission prints."""
        self.log += data
        if len(self.log) > LOG_BYTES:
            self.log = self.log[: LOG_BYTES // 2] + CUT + self.log[len(CUT) - LOG_BYTES // 2 :]

    def read_messages(self, data: bytes) -> None:
        """Messages are JSON, a line each."""
        self.message_bytes += len(data)
        *lines, self.unread = (self.unread + data).split(b"\n")
        try:
            for line in lines:
                self.read_message(json.loads(line))
            if self.message_bytes > MESSAGE_BYTES:
                raise ValueError(f"more than {MESSAGE_BYTES} bytes")
        except Exception:  # whatever is wrong with it
            self.end("rejected", FORGED, NO_CHANNEL)

    def read_message(self, message: dict[str, Any]) -> None:
        """A phase that begins, or the answer; any exception says that it is neither."""
        if "phase" in message:
            if not self.stamps:
                self.isolation = [name for name in ("namespaces", "landlock") if name in message.get("isolation", ())]
            self.stamps.setdefault(PHASES[PHASES.index(message["phase"])], time.perf_counter())
            return
        status = STATUSES[STATUSES.index(message["status"])]
        if status == "machine_error" and self.stamps:  # only before the first phase is the machine at fault
            status = "invalid"
        facts = {name: value for name, value in message.get("facts", {}).items() if is_plain(value)}
        self.end(status, message["reason"], message.get("advice", ""), facts)

    def check_limits(self) -> None:
        """End the watch when a limit is passed."""
        family, phase = descendants(os.getpid()), list(self.stamps)[-1] if self.stamps else "start"
        used = sum(max(0, memory_of(process) - self.memory_before) for process in family)
        self.memory = max(self.memory, used)
        if time.perf_counter() - self.start > self.task["seconds"]:
            reason = f"it was stopped after {self.task['seconds']:.0f} s, while in the phase {phase!r}"
            self.end("timeout", reason, {"read": CODE_ONLY, "import": ONLY_DEFINE}.get(phase, FASTER))
        elif used > self.task["memory"]:
            reason = f"it took more than the {self.task['memory'] >> 20:,} MB allowed"
            self.end("out_of_memory", reason, CODE_ONLY if phase == "read" else SMALLER)
        elif len(family) > PROCESSES:
            reason = f"it started more than {PROCESSES} processes, and a model needs none"
            self.end("rejected", reason, NO_PROCESSES)

    def report(self) -> dict[str, Any]:
        """The answer with what was measured: what the grader gets."""
        seconds = None
        if "trained" in self.stamps and "training" in self.stamps:
            seconds = self.stamps["trained"] - self.stamps["training"]
        log, measured = self.log.decode(errors="replace"), {"seconds": seconds, "memory_mb": self.memory >> 20}
        return {**self.answer, **measured, "isolation": self.isolation, "log": log}


def is_plain(value: Any) -> bool:
    """Whether a fact is a plain value or a dictionary of them."""
    values = value.values() if isinstance(value, dict) else [value]
    return all(value is None or isinstance(value, (bool, int, float, str)) for value in values)


def exit_text(status: int) -> str:
    """How a process ended, in words. A first process in a namespace ends as 128 + the signal that killed its own."""
    code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(code - 128).name}"
    return f"exit status {code}"


def descendants(pid: int) -> list[int]:
    """All processes below one, nearest first; empty where the system has no /proc."""
    found = [pid]
    for parent in found:  # which grows
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found[1:]


def memory_of(pid: int) -> int:
    """Bytes that one process allocated or shares, with files that exist in memory only."""
    used, files = 0, {}
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        used = sum(int(kilobytes) << 10 for kilobytes in re.findall(r"^Rss(?:Anon|Shmem):\s*(\d+)", status, re.M))
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(descriptor.path).startswith("/memfd:"):
                    file = os.stat(descriptor.path)
                    files[file.st_ino] = file.st_blocks * 512
    return used + sum(files.values())


def end_all(child: int | None) -> None:
    """Kill a child that has not ended, with its session, and every process below this one, which adopts orphans."""
    for kill in (os.kill, os.killpg) if child else ():
        with contextlib.suppress(OSError):
            kill(child, signal.SIGKILL)
    for _ in range(500):
        for process in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)
