"""What a worker learns of a child: its messages, read as untrusted; its prints, time, memory and processes; its end."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

LOG_BYTES = 8_000  # of a submission's prints, the first half and the last half of this are kept
MESSAGE_BYTES = 64_000  # from a child to its worker, in all
REASON = 600  # characters of a reason, and of its advice
PROCESSES = 64  # in a child, before it counts as a fork bomb
STATUSES = "done not_a_graph too_large invalid rejected out_of_memory timeout machine_error".split()  # a child's
PHASES = ("read", "import", "build", "training", "trained", "testing")
FACTS = ("recipe", "images_seen", "each_once", "diverged_at", "train_accuracy", "main", "name")  # it may report

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


class Watch:
    """What a worker learns of one child. ``answer`` is set once, by the child's last message or by a broken limit."""

    def __init__(self, task: dict[str, Any], token: str) -> None:
        self.task, self.token = task, token
        self.received, self.message_bytes = b"", 0
        self.head, self.tail, self.printed = b"", b"", 0
        self.stamps: dict[str, float] = {}  # phase -> when it began
        self.answer: dict[str, Any] | None = None
        self.isolation: list[str] = []
        self.memory_before, self.memory = memory_of(os.getpid()), 0

    def finish(self, status: str, reason: str, advice: str) -> None:
        self.answer = self.answer or {"status": status, "reason": reason, "advice": advice, "facts": {}}

    def read_messages(self, data: bytes) -> None:
        """Messages are a line each: the token, then JSON, which is parsed only behind the right token."""
        self.received += data
        self.message_bytes += len(data)
        *lines, self.received = self.received.split(b"\n")
        for line in lines:
            if self.answer is not None:
                return
            token, _, text = line.partition(b" ")
            if not hmac.compare_digest(token, self.token.encode()):
                self.finish("rejected", FORGED, NO_CHANNEL)
                return
            try:
                self.read_message(json.loads(text))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                self.finish("rejected", FORGED, NO_CHANNEL)
        if self.message_bytes > MESSAGE_BYTES:
            self.finish("rejected", FORGED, NO_CHANNEL)

    def read_message(self, message: dict[str, Any]) -> None:
        """A phase that begins, or the answer; raises ValueError, TypeError, KeyError, AttributeError for others."""
        if "phase" in message:
            if message["phase"] in PHASES:
                self.stamps.setdefault(message["phase"], time.perf_counter())
            if "isolation" in message and len(self.stamps) == 1:
                self.isolation = [name for name in ("namespaces", "landlock") if name in message["isolation"]]
        elif (status := message["status"]) in STATUSES:
            if status == "machine_error" and self.stamps:  # only before the first phase is the machine at fault
                status = "invalid"
            reason, advice = safe_text(message["reason"]), safe_text(message.get("advice", ""))
            facts = plain_facts(message.get("facts", {}))
            self.answer = {"status": status, "reason": reason, "advice": advice, "facts": facts}
        else:
            raise ValueError(status)

    def read_prints(self, data: bytes) -> None:
        """Keep the beginning and the end of what the submission prints."""
        self.printed += len(data)
        half = LOG_BYTES // 2
        free = half - len(self.head)
        self.head += data[:free]
        self.tail = (self.tail + data[free:])[-half:]

    def check(self, pid: int, seconds: float) -> None:
        """End the watch when a limit is passed."""
        family = [pid, *descendants(pid)]
        used = sum(max(0, memory_of(process) - self.memory_before) for process in family)
        self.memory = max(self.memory, used)
        if seconds > self.task["seconds"]:
            phase = list(self.stamps)[-1] if self.stamps else "start"
            reason = f"it was stopped after {self.task['seconds']:.0f} s, while in the phase {phase!r}"
            self.finish("timeout", reason, {"read": CODE_ONLY, "import": ONLY_DEFINE}.get(phase, FASTER))
        elif used > self.task["memory"]:
            reason = f"it took more than the {self.task['memory'] >> 20:,} MB allowed"
            self.finish("out_of_memory", reason, CODE_ONLY if "read" in self.stamps else SMALLER)
        elif len(family) > PROCESSES:
            reason = f"it started more than {PROCESSES} processes, and a model needs none"
            self.finish("rejected", reason, NO_PROCESSES)

    def report(self, wall_seconds: float) -> dict[str, Any]:
        """The answer with what was measured: what the grader gets."""
        seconds = None
        if "trained" in self.stamps and "training" in self.stamps:
            seconds = self.stamps["trained"] - self.stamps["training"]
        cut = b"\n[...]\n" if self.printed > LOG_BYTES else b""
        return {
            **self.answer,
            "seconds": seconds,
            "wall_seconds": wall_seconds,
            "memory_mb": self.memory >> 20,
            "isolation": self.isolation,
            "log": (self.head + cut + self.tail).decode(errors="replace"),
        }


def plain_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The known facts that are plain values or dictionaries of them; anything nested deeper is dropped."""

    def is_plain(value: Any) -> bool:
        return value is None or isinstance(value, (bool, int, float, str))

    known = {name: facts[name] for name in FACTS if name in facts}
    return {n: v for n, v in known.items() if is_plain(v) or (isinstance(v, dict) and all(map(is_plain, v.values())))}


def exit_text(status: int) -> str:
    """How a process ended, in words. A first process in a namespace ends as 128 + the signal that killed its own."""
    code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
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
    """Bytes that one process allocated or shares, with files that exist in memory only."""
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
    """Kill a child with all it started, and every orphan that this process adopted."""
    for _ in range(500):
        for process in [*([pid] if pid else []), *descendants(os.getpid())]:
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
