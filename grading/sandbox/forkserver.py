"""Processes for strangers' code: a fork server with PyTorch loaded, its workers, and the children that they watch.

    grader --task--> worker (a fork of the server, no data) --fork--> child (isolated; runs one task and ends)

The server loads PyTorch once and forks a worker for each connection that the grader hands it. A worker forks a fresh
child for each task, watches its time, memory and processes, and ends all that is left of it. What a child says is
bounded, and read only behind a secret token. Workers and server run no line of a submission.
"""

from __future__ import annotations

import contextlib
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
from grading.sandbox.watch import MESSAGE_BYTES, Watch, end_all_below, how_it_ended, safe_text

START_SECONDS = 300  # for the server to load PyTorch
POLL = 0.03  # seconds between two looks at a child


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
