"""Processes for strangers' code: a fork server with PyTorch loaded, its workers, and the children that they watch.

    grader --task--> worker (a fork of the server, no data) --fork--> child (isolated; runs one task and ends)

The server loads PyTorch once and forks a worker for each connection that the grader hands it. A worker forks a fresh
child for each task, watches its time, memory and processes, and ends all that is left of it. What a child says is
bounded, and read only behind a secret token. Workers and server run no line of a submission.
"""

from __future__ import annotations

import contextlib
import hmac
import importlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grading.sandbox.isolation import ROOT, adopt_orphans

LOG_BYTES = 8_000  # of what a submission prints, the first half and the last half of this are kept
MESSAGE_BYTES = 64_000  # from a child to its worker, in all
REASON = 600  # characters of a reason
PROCESSES = 64  # in a child, before it counts as a fork bomb
START_SECONDS = 300  # for the server to load PyTorch
POLL = 0.03  # seconds between two looks at a child
STATUSES = ("done", "not_a_graph", "too_large", "invalid", "rejected", "out_of_memory", "machine_error")  # of a child
PHASES = ("import", "build", "training", "trained", "testing")
DISTURBED = "it wrote to the grader's own channel, and a model has nothing to write there"


def safe_text(text: Any, most: int = REASON) -> str:
    """Text on one line without control characters, cut: fit for a terminal, a table, a log."""
    kept = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * most])
    kept = " ".join(kept.split())
    return kept if len(kept) <= most else kept[: most - 4] + " ..."


# --- The grader's side ------------------------------------------------------------------------------------------------


READY = b"ready"


class WorkerLost(Exception):
    """A worker did not answer; that is the machine's fault, not the student's."""


class ServerFailed(Exception):
    """The server could not start: no submission can be graded here. ServerFailed(why)."""


class ForkServer:
    """A process of our own with a clean environment, and its workers. ``folder`` takes all that they write."""

    PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")

    def __init__(self, folder: Path) -> None:
        environment = {key: os.environ[key] for key in self.PASSED_ON if key in os.environ}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"), "1")
        environment |= {"TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0",
                        "MPLBACKEND": "agg", "PYTHONUTF8": "1", "TMPDIR": str(folder)}  # fmt: skip
        # glibc: keep freed memory for the next step; a child would spend a fifth of its time on page faults
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
        self.folder = folder
        self.control, theirs = socket.socketpair()
        code = f"from grading.sandbox.forkserver import serve; serve({theirs.fileno()})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=environment, cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self.started = False

    def wait(self) -> None:
        """Wait until PyTorch is loaded. Raises ServerFailed."""
        if not self.started:
            self.control.settimeout(START_SECONDS)
            with contextlib.suppress(OSError):
                told = self.control.recv(MESSAGE_BYTES)
                if told != READY:
                    raise ServerFailed(safe_text(told.decode(errors="replace")) or "it ended while it loaded PyTorch")
                self.started = True
                return
            raise ServerFailed(f"PyTorch was not loaded within {START_SECONDS} s")

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def worker(self) -> Worker:
        """A new worker. Raises WorkerLost where the server has ended, ServerFailed where it never started."""
        self.wait()
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self.control, [b"w"], [theirs.fileno()])
        except OSError as error:
            raise WorkerLost(f"the fork server ended ({error.strerror})") from error
        finally:
            theirs.close()
        return Worker(ours)

    def close(self) -> None:
        """End the server; workers end with their connections."""
        self.control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Worker:
    """A connection to a worker. One task at a time."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """Have a task done; raises WorkerLost when no answer comes two minutes after its time is over."""
        try:
            self.channel.settimeout(task["seconds"] + 120)
            self.channel.sendall(json.dumps(task).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = self.channel.recv(1 << 16)
                if not part:
                    raise WorkerLost("a worker ended")
                answer += part
            return json.loads(answer)
        except OSError as error:
            raise WorkerLost(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Let the worker end, and with it whatever it runs."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        self.channel.close()


# --- The server and its workers ---------------------------------------------------------------------------------------


def serve(control: int) -> None:
    """Fork a worker for each connection that comes over the socket ``control``, until its other end is closed."""
    channel = socket.socket(fileno=control)
    sys.path[:] = [ROOT, *(place for place in sys.path if place not in ("", ROOT))]
    try:
        from grading.sandbox import tasks

        tasks.warm_up()
    except Exception as error:
        channel.sendall(f"{type(error).__name__}: {error}".encode(errors="replace")[:MESSAGE_BYTES])
        return
    for name in ("torchvision", "matplotlib.pyplot", "snntorch"):  # many a submission imports them; each takes seconds
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended workers vanish by themselves
    channel.sendall(READY)
    while True:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not descriptors:
            with contextlib.suppress(ChildProcessError):
                os.wait()  # until the last worker has ended, and tidied up
            return
        if os.fork() == 0:
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with contextlib.suppress(ConnectionError):
                work(socket.socket(fileno=descriptors[0]), tasks.run)
            os._exit(0)
        os.close(descriptors[0])


def work(channel: socket.socket, run: Callable) -> None:
    """Take tasks, one JSON object on a line, and answer each with one, until the grader closes the channel."""
    adopt_orphans()
    received = b""
    while data := channel.recv(1 << 16):
        received += data
        if received.endswith(b"\n"):
            answer = watch_child(json.loads(received), channel.fileno(), run)
            channel.sendall(json.dumps(answer).encode() + b"\n")
            received = b""


def watch_child(task: dict[str, Any], grader: int, run: Callable) -> dict[str, Any]:
    """Run one task in a fresh child and tell how it went; leaves no process and no file behind."""
    watch = Watch(task, secrets.token_hex(16))
    scratch = os.path.realpath(tempfile.mkdtemp(prefix="scratch-"))
    (messages, channel), (prints, printer) = os.pipe(), os.pipe()
    result = os.open(task["result"], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            run(task, watch.token, scratch, channel, printer, result)
        finally:
            os._exit(70)
    for descriptor in (channel, printer, result):
        os.close(descriptor)
    takers = {messages: watch.take_message, prints: watch.take_print, grader: None}
    ended, code = 0, 0
    try:
        while watch.answer is None and not ended:
            drain(takers, POLL)
            ended, code = os.waitpid(pid, os.WNOHANG)
            watch.check(pid, time.perf_counter() - start)
    finally:
        end_all_below(None if ended else pid)
        del takers[grader]
        while drain(takers, 0):  # what was still in the pipes, which nobody can fill any more
            pass
        os.close(messages)
        os.close(prints)
        shutil.rmtree(scratch, ignore_errors=True)
    code = 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)
    watch.finish("crashed", f"its process ended without a result ({how_it_ended(code)})")
    return watch.report(time.perf_counter() - start)


def drain(takers: dict[int, Callable[[bytes], None] | None], patience: float) -> bool:
    """Wait up to ``patience`` seconds for the pipes, hand on what came, forget those that ended; was there any?

    The taker of the grader's channel is None: no task comes while one runs, so it can only end.
    """
    ready = select.select(list(takers), [], [], patience)[0]
    for descriptor in ready:
        data = os.read(descriptor, 1 << 16)
        taker = takers[descriptor]
        if taker is None:
            raise ConnectionError("the grader is gone")
        if data:
            taker(data)
        else:
            del takers[descriptor]
    return bool(ready)


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
            self.answer = {"status": status, "reason": safe_text(message["reason"]), "facts": message.get("facts", {})}
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
