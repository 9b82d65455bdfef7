"""What a worker learns of a child: its messages, read as hostile; its prints, time, memory and processes; its end."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

LOG_BYTES = 8_000  # of what a submission prints, the first half and the last half of this are kept
MESSAGE_BYTES = 64_000  # from a child to its worker, in all
REASON = 600  # characters of a reason
PROCESSES = 64  # in a child, before it counts as a fork bomb
STATUSES = "done not_a_graph too_large invalid rejected out_of_memory timeout machine_error".split()  # of a child
PHASES = ("import", "build", "training", "trained", "testing")
FACTS = ("recipe", "images_seen", "each_once", "diverged_at", "train_accuracy", "import_cut", "models")  # it may tell
DISTURBED = "it wrote to the grader's own channel, and a model has nothing to write there"


def safe_text(text: Any, most: int = REASON) -> str:
    """Text on one line without control characters, cut: fit for a terminal, a table, a log."""
    kept = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * most])
    kept = " ".join(kept.split())
    return kept if len(kept) <= most else kept[: most - 4] + " ..."


class Watch:
    """What a worker learns of one child: its messages, its prints, its memory, its end."""

    def __init__(self, task: dict[str, Any], token: str) -> None:
        self.task, self.token = task, token
        self.received, self.head, self.tail, self.printed, self.total = b"", b"", b"", 0, 0
        self.stamps: dict[str, float] = {}
        self.answer: dict[str, Any] | None = None
        self.isolation: list[str] = []
        self.held, self.memory = memory_of(os.getpid()), 0

    def take_message(self, data: bytes) -> None:
        """Take in messages: a line each, the token, then JSON, which is parsed only behind the right token."""
        self.received += data
        self.total += len(data)
        *lines, self.received = self.received.split(b"\n")
        for line in lines:
            mark, _, text = line.partition(b" ")
            if self.answer is not None:
                return
            if not hmac.compare_digest(mark, self.token.encode()):
                self.finish("rejected", DISTURBED)
                return
            try:
                self.take(json.loads(text))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                self.finish("rejected", DISTURBED)
        if self.total > MESSAGE_BYTES:
            self.finish("rejected", DISTURBED)

    def take(self, message: dict[str, Any]) -> None:
        if "phase" in message:
            if message["phase"] in PHASES:
                self.stamps.setdefault(message["phase"], time.perf_counter())
            if "isolation" in message and len(self.stamps) == 1:
                self.isolation = [name for name in ("namespaces", "landlock") if name in message["isolation"]]
        elif message["status"] in STATUSES:
            early = not self.stamps  # before any line of a submission ran, only the machine can be at fault
            status = "invalid" if message["status"] == "machine_error" and not early else message["status"]
            facts = plain_facts(message.get("facts", {}))
            self.answer = {"status": status, "reason": safe_text(message["reason"]), "facts": facts}
        else:
            raise ValueError(message["status"])

    def finish(self, status: str, reason: str) -> None:
        self.answer = self.answer or {"status": status, "reason": reason, "facts": {}}

    def take_print(self, data: bytes) -> None:
        """Keep the beginning and the end of what the submission prints."""
        self.printed += len(data)
        half = LOG_BYTES // 2
        room = half - len(self.head)
        self.head += data[:room]
        self.tail = (self.tail + data[room:])[-half:]

    def check(self, pid: int, seconds: float) -> None:
        """End the watch when a limit is passed."""
        family = [pid, *descendants(pid)]
        used = sum(max(0, memory_of(process) - self.held) for process in family)
        self.memory = max(self.memory, used)
        if seconds > self.task["seconds"]:
            phase = list(self.stamps)[-1] if self.stamps else "start"
            self.finish("timeout", f"it was stopped after {self.task['seconds']:.0f} s, while in the phase {phase!r}")
        elif used > self.task["memory"]:
            limit = self.task["memory"] >> 20
            self.finish("out_of_memory", f"it took more than the {limit:,} MB allowed: use smaller layers or batches")
        elif len(family) > PROCESSES:
            self.finish("rejected", f"it started more than {PROCESSES} processes, and a model needs none")

    def report(self, wall_seconds: float) -> dict[str, Any]:
        seconds = None
        if "trained" in self.stamps and "training" in self.stamps:
            seconds = self.stamps["trained"] - self.stamps["training"]
        cut = b"\n[...]\n" if self.printed > LOG_BYTES else b""
        log = (self.head + cut + self.tail).decode(errors="replace")
        return {**self.answer, "seconds": seconds, "wall_seconds": wall_seconds, "memory_mb": self.memory >> 20,
                "isolation": self.isolation, "log": log}  # fmt: skip


def plain_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that are known, and plain or a dictionary of plain values: nothing nested deeper goes any further."""

    def is_plain(value: Any) -> bool:
        return value is None or isinstance(value, (bool, int, float, str))

    told = {name: facts[name] for name in FACTS if name in facts}
    return {n: v for n, v in told.items() if is_plain(v) or (isinstance(v, dict) and all(map(is_plain, v.values())))}


def how_it_ended(code: int) -> str:
    """An exit status in words."""
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(code - 128).name}"
    return f"exit status {code}"


# --- Processes and their memory ---------------------------------------------------------------------------------------


def descendants(pid: int) -> list[int]:
    """All processes below one, nearest first; empty where the system has no /proc."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop(0)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{thread}/children").read_text().split()
                found += map(int, children)
                waiting += map(int, children)
    return found


def memory_of(pid: int) -> int:
    """Bytes that one process holds for itself: what it allocated or shares, and files that exist in memory only."""
    used = 0
    with contextlib.suppress(OSError, ValueError):
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        used = sum(int(fields[key].split()[0]) for key in ("RssAnon", "RssShmem") if key in fields) * 1024
    files: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(descriptor.path).startswith("/memfd:"):
                    status = os.stat(descriptor.path)
                    files[status.st_ino] = status.st_blocks * 512
    return used + sum(files.values())


def end_all_below(pid: int | None) -> None:
    """Kill a child with all it started, and whatever else was left to this process by processes that ended."""
    for _ in range(500):
        left = [*([pid] if pid else []), *descendants(os.getpid())]
        for process in left:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        if pid:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)
