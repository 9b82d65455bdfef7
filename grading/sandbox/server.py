"""Processes for untrusted code: a fork server with PyTorch loaded, and for each task a worker that watches a child.

    grader --task--> server (holds no data) --fork--> worker --fork--> child (isolated; runs the task and ends)
    grader <-------------------------report---------- worker <--messages, prints-- child

Server and workers run no line of a submission, and read what a child sends as untrusted: see watch.py.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from grading.sandbox.isolation import ROOT
from grading.sandbox.watch import MESSAGE_BYTES, run_in_child, safe_text

READY = b"ready"
START_SECONDS = 300  # for the server to load PyTorch
LATE_SECONDS = 120  # after a task's time is over, until its worker counts as lost
PRELOADED = ("torchvision", "matplotlib.pyplot", "snntorch")  # imported by many submissions: 0.6 s for each child
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
ONES = "OMP_NUM_THREADS MKL_NUM_THREADS PYTHONDONTWRITEBYTECODE PYTHONUTF8 TORCHDYNAMO_DISABLE".split()
VARIABLES = dict.fromkeys(ONES, "1") | {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg"}
# glibc: keep freed memory for the next step; a child would spend a fifth of its time on page faults
VARIABLES |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


class WorkerLost(Exception):
    """There is no report on a task; that is the machine's fault, not the student's."""


class ServerFailed(Exception):
    """The server could not start, so nothing can be graded here. ServerFailed(reason)."""


class ForkServer:
    """A process of our own with a clean environment, which threads share. All that it writes goes to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock, self.closed = folder, threading.Lock(), False
        self.running: set[socket.socket] = set()  # one for each task
        self.start()

    def start(self) -> None:
        """Begin to load PyTorch, in a new process."""
        self.ready = False
        self.control, other = socket.socketpair()
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"from grading.sandbox.server import serve; serve({other.fileno()})"],
                env={**kept, **VARIABLES, "TMPDIR": str(self.folder)},
                cwd=ROOT,
                pass_fds=[other.fileno()],
                start_new_session=True,
                **silent,
            )

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """The report on a task, by a new worker. Raises ServerFailed, or WorkerLost where there is no report."""
        channel, other = socket.socketpair()
        self.running.add(channel)
        try:
            with self.lock, other:
                self.wait_until_ready()
                socket.send_fds(self.control, [b"w"], [other.fileno()])
            channel.settimeout(task["seconds"] + LATE_SECONDS)
            channel.sendall(json.dumps(task).encode() + b"\n")
            with channel.makefile("rb") as lines:
                if not (answer := lines.readline()).endswith(b"\n"):
                    raise WorkerLost("a worker ended")
            return json.loads(answer)
        except OSError as error:
            raise WorkerLost(str(error) or type(error).__name__) from error
        finally:
            self.running.discard(channel)
            channel.close()

    def wait_until_ready(self) -> None:
        """Until PyTorch is loaded, in a new process where the last one ended. Raises ServerFailed, WorkerLost."""
        if self.closed:
            raise WorkerLost("the fork server is closed")
        if self.ready and self.process.poll() is not None:
            self.control.close()
            self.start()
        if self.ready:
            return
        self.control.settimeout(START_SECONDS)
        try:
            answer = self.control.recv(MESSAGE_BYTES)
        except OSError as error:
            raise ServerFailed(f"PyTorch was not loaded within {START_SECONDS} s") from error
        if answer != READY:
            raise ServerFailed(safe_text(answer.decode(errors="replace")) or "it ended while it loaded PyTorch")
        self.ready = True

    def close(self) -> None:
        """End the server; a worker ends with its connection, and with it whatever it runs."""
        self.closed = True
        for channel in [self.control, *self.running]:
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
        self.control.close()
        if not self.ready:  # and so has no workers
            self.process.kill()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


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
            try:
                channel.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                grader = socket.socket(fileno=descriptors[0])
                task = json.loads(grader.makefile("rb").readline())
                grader.sendall(json.dumps(run_in_child(task, grader.fileno(), tasks.run)).encode() + b"\n")
            finally:
                os._exit(0)
        os.close(descriptors[0])
    with contextlib.suppress(ChildProcessError):
        os.wait()  # until the last worker has cleared its files and ended
    os._exit(0)  # at once: Python would spend a second on freeing what it loaded
