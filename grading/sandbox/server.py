"""Processes for untrusted code: a fork server with PyTorch loaded, its workers, and the children that they watch.

    grader --task--> worker (a fork of the server, no data) --fork--> child (isolated; runs one task and ends)

The server loads PyTorch once and forks a worker for each connection that the grader hands it. A worker forks a fresh
child for each task, limits its time, memory and processes, and ends everything that is left of it. Workers and server
run no line of a submission, and read what a child sends as untrusted: see watch.py.
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
from grading.sandbox.watch import MESSAGE_BYTES, ONLY_PYTORCH, Watch, end_all_below, exit_text, safe_text

READY = b"ready"
START_SECONDS = 300  # for the server to load PyTorch
POLL_SECONDS = 0.03  # between two checks of a child
PRELOADED = ("torchvision", "matplotlib.pyplot", "snntorch")  # imported by many submissions
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
ONES = "OMP_NUM_THREADS MKL_NUM_THREADS PYTHONDONTWRITEBYTECODE PYTHONUTF8 TORCHDYNAMO_DISABLE".split()
VARIABLES = dict.fromkeys(ONES, "1") | {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg"}
# glibc: keep freed memory for the next step; a child would spend a fifth of its time on page faults
VARIABLES |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


class WorkerLost(Exception):
    """A worker did not answer; that is the machine's fault, not the student's."""


class ServerFailed(Exception):
    """The server could not start, so nothing can be graded here. ServerFailed(reason)."""


# --- In the grader's process ------------------------------------------------------------------------------------------


class ForkServer:
    """A process of our own with a clean environment, and its workers. All that they write goes to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, False
        self.control, other = socket.socketpair()
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        environment = {**kept, **VARIABLES, "TMPDIR": str(folder)}
        silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        command = [sys.executable, "-c", f"from grading.sandbox.server import serve; serve({other.fileno()})"]
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, pass_fds=[other.fileno()], start_new_session=True, **silent
        )
        other.close()

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def worker(self) -> Worker:
        """A new worker, as soon as PyTorch is loaded. Raises ServerFailed, or WorkerLost where the server has ended."""
        if not self.started:
            self.control.settimeout(START_SECONDS)
            try:
                answer = self.control.recv(MESSAGE_BYTES)
            except OSError as error:
                raise ServerFailed(f"PyTorch was not loaded within {START_SECONDS} s") from error
            if answer != READY:
                raise ServerFailed(safe_text(answer.decode(errors="replace")) or "it ended while it loaded PyTorch")
            self.started = True
        ours, other = socket.socketpair()
        try:
            socket.send_fds(self.control, [b"w"], [other.fileno()])
        except OSError as error:
            raise WorkerLost(f"the fork server ended ({error.strerror})") from error
        finally:
            other.close()
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
        """The report on a task; raises WorkerLost when there is none two minutes after the task's time is over."""
        try:
            self.channel.settimeout(task["seconds"] + 120)
            self.channel.sendall(json.dumps(task).encode() + b"\n")
            with self.channel.makefile("rb") as lines:
                answer = lines.readline()
        except OSError as error:
            raise WorkerLost(str(error) or type(error).__name__) from error
        if not answer.endswith(b"\n"):
            raise WorkerLost("a worker ended")
        return json.loads(answer)

    def close(self) -> None:
        """End the worker, and with it whatever it runs."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        self.channel.close()


# --- In the server and its workers ------------------------------------------------------------------------------------


def serve(control: int) -> None:
    """Fork a worker for each connection that arrives over the socket ``control``, until its other end is closed."""
    channel = socket.socket(fileno=control)
    sys.path[:] = [ROOT, *(path for path in sys.path if path not in ("", ROOT))]
    try:
        from grading.sandbox import tasks

        tasks.warm_up()
    except Exception as error:
        channel.sendall(f"{type(error).__name__}: {error}".encode(errors="replace")[:MESSAGE_BYTES])
        return
    for name in PRELOADED:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended workers leave no zombies
    channel.sendall(READY)
    while descriptors := socket.recv_fds(channel, 1, 1)[1]:
        if os.fork() == 0:
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with contextlib.suppress(ConnectionError):
                work(socket.socket(fileno=descriptors[0]), tasks.run)
            os._exit(0)
        os.close(descriptors[0])
    with contextlib.suppress(ChildProcessError):
        os.wait()  # until the last worker has cleared its files and ended


def work(channel: socket.socket, run: Callable[..., Any]) -> None:
    """Read tasks, one JSON object per line, and answer each with one, until the grader closes the channel."""
    adopt_orphans()
    for line in channel.makefile("rb"):
        report = watch_child(json.loads(line), channel.fileno(), run)
        channel.sendall(json.dumps(report).encode() + b"\n")


def watch_child(task: dict[str, Any], grader: int, run: Callable[..., Any]) -> dict[str, Any]:
    """Run one task in a fresh child and report how it went; leaves no process and no file behind."""
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
    readers = {messages: watch.read_messages, prints: watch.read_prints, grader: None}
    ended, status = 0, 0
    try:
        while watch.answer is None and not ended:
            read_pipes(readers, POLL_SECONDS)
            ended, status = os.waitpid(pid, os.WNOHANG)
            watch.check(pid, time.perf_counter() - start)
    finally:
        end_all_below(None if ended else pid)
        del readers[grader]
        while read_pipes(readers, 0):  # what was still in the pipes, which nobody can fill any more
            pass
        os.close(messages)
        os.close(prints)
        shutil.rmtree(scratch, ignore_errors=True)
    watch.finish("crashed", f"its process ended without a result ({exit_text(status)})", ONLY_PYTORCH)
    return watch.report(time.perf_counter() - start)


def read_pipes(readers: dict[int, Callable[[bytes], None] | None], seconds: float) -> bool:
    """Wait up to ``seconds`` for the pipes, pass on what they hold, drop those that ended; whether any was ready.

    The grader's channel has no reader: no task arrives while one runs, so it can only end.
    """
    ready = select.select(list(readers), [], [], seconds)[0]
    for descriptor in ready:
        data = os.read(descriptor, 1 << 16)
        reader = readers[descriptor]
        if reader is None:
            raise ConnectionError("the grader is gone")
        if data:
            reader(data)
        else:
            del readers[descriptor]
    return bool(ready)
