"""Run a stranger's model.py behind walls: the keeper and its children. Started by grade.py, never imported by a model.

    grade.py (labels, clock, verdict)  --job-->  keeper (torch loaded, no data)  --fork-->  child (the stranger's code)

The keeper loads torch once, forks a fresh child for every job, watches its time, memory and processes, and ends all
that is left of it. A child is either a training child (training images and labels, our engine, one epoch; hands back
the weights) or an evaluation child (a new process; gets the weights and unlabelled images; hands back predictions).

Which wall is real: the processes, the missing labels, the limits, and on Linux the namespaces and Landlock, where the
kernel grants them; none of them can be undone from inside. The guards within the child's own interpreter (audit hook,
integrity of torch, weights that only the optimizer may change) stop the casual cheat and give the reason for it; a
determined one could get round them, and would gain nothing that the training child does not have in its hands anyway.
"""

from __future__ import annotations

import ast
import builtins
import collections
import contextlib
import ctypes
import errno
import gc
import importlib
import inspect
import io
import json
import linecache
import math
import os
import random
import secrets
import select
import shutil
import signal
import struct
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge

try:
    import resource  # Unix only; so are fork and with it the whole keeper
except ImportError:
    resource = None

HERE = str(Path(__file__).resolve().parent)
SOURCE_NUMBERS = 1_500  # literals a submission's code may hold, four characters of text counting as one number
LOG_BYTES = 8_000  # of what a submission prints, the first half and the last half of this are kept
MESSAGE_BYTES = 200_000  # from child to keeper, in all
FILE_BYTES = 16 << 20  # largest file a child may write
PROCESSES = 64  # in a child, before it counts as a fork bomb
DATA_DTYPES = {str(d).removeprefix("torch."): d for d in (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.int64,
    torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)}  # fmt: skip


# --- The walls that the operating system gives ------------------------------------------------------------------------

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_PRIVATE_RECURSIVE = (1 << 18) | (1 << 14)
SYS_MOUNT_SETATTR, SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 442, 444, 445, 446
READ_RIGHTS, ALL_RIGHTS = 0b1101, (1 << 13) - 1  # Landlock's: execute, read file, read folder; and all of ABI 1
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def ask(call: str, *arguments: Any) -> int:
    """Call a function of libc; raises OSError when it fails."""
    result = getattr(LIBC, call)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return result


def become_mapped(user: int, group: int) -> None:
    """Give this user namespace's only user and group the outer ones' rights to files, and no other right."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def enter_namespaces(scratch: str, hidden: list[str]) -> bool:
    """Leave network, processes and writable files behind, in a new first process; False where the kernel refuses.

    The calling process becomes the guardian: it waits for that first process, ends as it ends, and dies with it.
    """
    user, group = os.getuid(), os.getgid()
    try:
        ask("unshare", NEWUSER | NEWNS | NEWIPC | NEWPID | NEWNET)
        become_mapped(user, group)
    except OSError:
        return False
    inner = os.fork()
    if inner:
        for descriptor in range(3, 256):  # else the guardian would hold the pipes open
            with contextlib.suppress(OSError):
                os.close(descriptor)
        _, status = os.waitpid(inner, 0)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    ask("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    ask("mount", b"none", b"/", None, MS_PRIVATE_RECURSIVE, None)
    with contextlib.suppress(OSError):  # Linux 5.12; Landlock keeps the same from being written
        ask("syscall", SYS_MOUNT_SETATTR, -1, b"/", 0x8000, struct.pack("4Q", 1, 0, 0, 0), 32)
    with contextlib.suppress(OSError):  # a container may forbid it; there the outer processes stay visible
        ask("mount", b"proc", b"/proc", b"proc", 0, None)
    for path in hidden:
        ask("mount", b"none", os.fsencode(path), b"tmpfs", 1, b"size=4k")
    ask("mount", b"none", os.fsencode(scratch), b"tmpfs", 0, b"size=64m")
    ask("unshare", NEWUSER)  # the mounts belong to the outer namespace: from this one they cannot be undone
    become_mapped(user, group)
    return True


def landlock(readable: list[str], writable: list[str]) -> bool:
    """Leave only these folders readable and these writable, for ever; False where the kernel has no Landlock.

    Source: https://docs.kernel.org/userspace-api/landlock.html
    """
    try:
        rights = struct.pack("Q", ALL_RIGHTS)
        ruleset = ask("syscall", SYS_LANDLOCK_CREATE, rights, len(rights), 0)
    except OSError:
        return False
    for paths, allowed in ((readable, READ_RIGHTS), (writable, ALL_RIGHTS)):
        for path in filter(os.path.exists, paths):
            folder = os.path.isdir(path)
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", allowed if folder else allowed & 0b111, parent)
            ask("syscall", SYS_LANDLOCK_ADD, ruleset, 1, rule, 0)
            os.close(parent)
    ask("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    ask("syscall", SYS_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)
    return True


def library_folders() -> list[str]:
    """Where Python, its packages and the system's libraries are: all that a model may read beside its own folder."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *sys.path}
    system = {"/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev", "/System", "/Library"}
    return sorted({os.path.realpath(p) for p in paths if p and os.path.realpath(p) != HERE} | system)


def set_limits(memory: int, seconds: float) -> None:
    """Limit this process and its heirs: memory in bytes beyond what the keeper holds, CPU seconds, files, processes."""
    held = 0
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    data = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    cpu = math.ceil(seconds) + 5  # the wall clock ends a child first; this one ends what escapes the keeper
    for kind, limit in (
        (data, held + memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (limit, limit))


# --- The keeper -------------------------------------------------------------------------------------------------------


def descendants(pid: int) -> list[int]:
    """All processes below one, nearest first; empty where the system has no /proc."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def own_memory(pid: int) -> int:
    """Bytes of memory that one process holds for itself: what it allocated or shares, not the libraries' files."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return sum(int(fields[key].split()[0]) for key in ("RssAnon", "RssShmem") if key in fields) * 1024
    except (OSError, ValueError):
        return 0


def end_all_below(pid: int | None = None) -> None:
    """Kill a child with all it started, and whatever else was left to the keeper by processes that ended."""
    for _ in range(200):
        left = descendants(os.getpid()) or [pid for pid in (pid,) if pid]
        for process in left:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        if pid:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.01)
            continue
        return


class Watch:
    """What the keeper learns of one child: its messages, its prints, its memory, its end."""

    def __init__(self, job: dict[str, Any], token: str) -> None:
        self.job, self.token = job, token
        self.received, self.head, self.tail, self.printed = b"", b"", b"", 0
        self.stamps: dict[str, float] = {}
        self.answer: dict[str, Any] | None = None
        self.memory = 0
        self.walls: list[str] = []

    def listen(self, data: bytes) -> None:
        """Take in messages, one JSON object on a line behind the secret token; what is not one is a forgery."""
        self.received += data
        *lines, self.received = self.received.split(b"\n")
        for line in lines:
            try:
                mark, message = line.decode().split(" ", 1)
                message = json.loads(message)
                assert mark == self.token
            except (ValueError, AssertionError):
                self.finish("rejected", "it wrote to the grader's own channel; a model may not touch the grader")
                continue
            if "phase" in message:
                self.stamps.setdefault(message["phase"], time.perf_counter())
                self.walls = message.get("walls", self.walls)
            elif self.answer is None:
                self.answer = message
        if len(self.received) > MESSAGE_BYTES:
            self.finish("rejected", "it flooded the grader's own channel; a model may not touch the grader")

    def finish(self, status: str, reason: str) -> None:
        self.answer = self.answer or {"status": status, "reason": reason}

    def hear(self, data: bytes) -> None:
        """Keep the beginning and the end of what the submission prints."""
        self.printed += len(data)
        half = LOG_BYTES // 2
        room = half - len(self.head)
        self.head += data[:room]
        self.tail = (self.tail + data[room:])[-half:]

    def log(self) -> str:
        cut = b"\n[...]\n" if self.printed > LOG_BYTES else b""
        return (self.head + cut + self.tail).decode(errors="replace")

    def look(self, pid: int, seconds: float) -> None:
        """End the watch when a limit is passed."""
        family = [pid, *descendants(pid)]
        used = sum(map(own_memory, family))
        self.memory = max(self.memory, used)
        if seconds > self.job["seconds"]:
            phase = list(self.stamps)[-1] if self.stamps else "start"
            self.finish("timeout", f"it was stopped after {self.job['seconds']:.0f} s, while in the phase {phase!r}")
        elif used > self.job["memory"] + self.job["held"]:
            limit = self.job["memory"] >> 20
            self.finish("out_of_memory", f"it took more than the {limit:,} MB allowed: use smaller layers or batches")
        elif len(family) > PROCESSES:
            self.finish("rejected", f"it started {len(family):,} processes; a model may start none")


def keep(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a fresh child and tell how it went; leaves no process and no file behind."""
    job["held"] = own_memory(os.getpid())
    watch = Watch(job, secrets.token_hex(16))
    scratch = os.path.realpath(tempfile.mkdtemp(prefix="grade-"))
    (hear_messages, tell), (hear_prints, prints) = os.pipe(), os.pipe()
    result = os.open(job["result"], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            child(job, watch.token, scratch, tell, prints, result)
        except BaseException as error:  # of a submission's own errors none gets here
            Line(tell, watch.token).end("machine_error", f"{place(error, HERE)} -- {oneline(error)}")
        finally:
            os._exit(70)
    for descriptor in (tell, prints, result):
        os.close(descriptor)
    takers = {hear_messages: watch.listen, hear_prints: watch.hear, 0: None}
    ended, code = 0, 0
    try:
        while watch.answer is None and not ended:
            drain(takers, 0.05)
            ended, code = os.waitpid(pid, os.WNOHANG)
            watch.look(pid, time.perf_counter() - start)
    finally:
        end_all_below(None if ended else pid)
        del takers[0]
        while drain(takers, 0):  # what was still in the pipes, which nobody can fill any more
            pass
        os.close(hear_messages)
        os.close(hear_prints)
        shutil.rmtree(scratch, ignore_errors=True)
    code = 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)
    watch.finish("crashed", f"its process ended without a result ({how_it_ended(code)})")
    seconds = None
    if "trained" in watch.stamps and "training" in watch.stamps:
        seconds = watch.stamps["trained"] - watch.stamps["training"]
    return {
        **watch.answer,
        "seconds": seconds,
        "wall_seconds": time.perf_counter() - start,
        "memory_mb": max(0, watch.memory - job["held"]) >> 20,
        "walls": watch.walls,
        "log": watch.log(),
    }


def drain(takers: dict[int, Callable[[bytes], None] | None], patience: float) -> bool:
    """Wait up to ``patience`` seconds for the pipes, hand on what came, forget those that ended; was there any?

    The taker of standard input is None: no job comes while one runs, so it can only end, and then the grader is gone.
    """
    ready = select.select(list(takers), [], [], patience)[0]
    for descriptor in ready:
        data = os.read(descriptor, 1 << 16)
        taker = takers[descriptor]
        if data and taker:
            taker(data)
        elif taker is None:
            raise SystemExit(1)
        else:
            del takers[descriptor]
    return bool(ready)


def how_it_ended(code: int) -> str:
    """An exit status in words."""
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(code - 128).name}"
    return f"exit status {code}"


def warm_up() -> None:
    """Train on noise: PyTorch loads and patches parts of itself at first use, which else would be each child's."""
    split = challenge.Split(torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (64,)))
    for name in challenge.OPTIMIZERS:
        model = challenge.build_model("efficient")
        config = challenge.Config(optimizer=name, batch_size=32)
        batches = challenge.epoch_batches(split, config, torch.Generator().manual_seed(0))
        challenge.train_one_epoch(model, batches, config, len(split.labels))
        challenge.evaluate(model, split)


def keeper() -> None:
    """Take jobs, one JSON object on a line of standard input, and answer each on standard output."""
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    warm_up()
    for name in ("torchvision", "matplotlib.pyplot", "snntorch"):  # many a submission imports them; each takes seconds
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if LIBC:
        ask("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a child leaves behind becomes ours, and is ended
    answers = os.dup(1)
    os.dup2(2, 1)
    received = b""
    while data := os.read(0, 1 << 16):
        received += data
        if b"\n" not in received:
            continue
        line, _, received = received.partition(b"\n")
        answer = keep(json.loads(line))
        os.write(answers, json.dumps(answer).encode() + b"\n")


# --- In the child: messages and blame ---------------------------------------------------------------------------------


class Line:
    """The child's line to the keeper. ``end`` says the verdict and ends the process, which no ``except`` can stop."""

    def __init__(self, descriptor: int, token: str) -> None:
        def send(message: dict[str, Any], write=os.write, dumps=json.dumps, mark=token.encode()) -> None:
            write(descriptor, mark + b" " + dumps(message).encode() + b"\n")

        def end(status: str, reason: str, *, leave=os._exit, **facts: Any) -> NoReturn:
            send({"status": status, "reason": reason[:2000], **facts})
            leave(0)

        self.send, self.end = send, end


def oneline(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place(error: BaseException, scratch: str) -> str:
    """``model.py, line 12: the code there`` of the innermost line of the submission that an error came through."""
    if isinstance(error, SyntaxError) and error.filename:
        path, line, code = error.filename, error.lineno or 0, (error.text or "").strip()
        return f"{os.path.relpath(path, scratch)}, line {line}: {code[:100]}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(scratch + "/")]
    if not frames:
        return ""
    return f"{os.path.relpath(frames[-1].filename, scratch)}, line {frames[-1].lineno}: {(frames[-1].line or '')[:100]}"


def blame(error: BaseException, doing: str, scratch: str, omitted: dict[str, str]) -> tuple[str, str]:
    """The status and the sentence for an error that came out of a submission."""
    where = place(error, scratch)
    at = f"{where} -- " if where else ""
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text or getattr(error, "errno", 0) == errno.ENOMEM:
        return "out_of_memory", f"{at}it asked for more memory than allowed: use smaller layers or batches"
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC):
        return "rejected", f"{at}it writes a giant file; a model has nothing to write"
    if isinstance(error, SystemExit):
        cure = 'put that under if __name__ == "__main__":' if doing == DOING["import"] else "take that out"
        return "invalid", f"{at}it ends the program; {cure}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        for name, why in omitted.items():
            if Path(name).stem == error.name.split(".")[-1] and name.endswith(".py"):
                return "rejected", f"{at}it imports {name}, which {why}"
        if error.name in ("mnist_efficient_model", "sandbox", "grade"):
            return "invalid", f"{at}it imports {error.name!r}, which is the grader's; copy what you need into your file"
        return "invalid", f"{at}it imports {package!r}, which the grading machine does not have: do without it"
    return "invalid", f"{at}{oneline(error)} (while {doing})"


# --- In the child: the guard ------------------------------------------------------------------------------------------

FORBIDDEN = {  # audit event -> what a submission does when it raises it, directly or through a library
    **dict.fromkeys(
        ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"),
        "it uses the network",
    ),
    **dict.fromkeys(("os.kill", "os.killpg"), "it sends signals to processes"),
}
# What a submission may not do itself. A library that it imports gets an error instead, as on a system without the
# program that it looks for: matplotlib asks fontconfig for fonts.
FORBIDDEN_ITSELF = dict.fromkeys(
    ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"),
    "it starts another process",
)
FORBIDDEN_DIRECTLY = {  # the same, but a library may do it
    **dict.fromkeys(("ctypes.dlopen", "ctypes.dlsym", "ctypes.cdata"), "it reaches below Python with ctypes"),
    **dict.fromkeys(("gc.get_objects", "gc.get_referrers"), "it searches the grader's memory"),
}
READS = {"open", "os.listdir", "os.scandir"}
WRITES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod", "os.truncate"}
DOING = {"import": "importing it", "building": "building it", "training": "training it", "evaluation": "testing it"}
AT_IMPORT = ("it uses the network", "it trains")  # honest scripts do this when imported; they are told where to put it
BOOKKEEPING = set(
    "parameters named_parameters buffers named_buffers modules named_modules children named_children state_dict "
    "load_state_dict _save_to_state_dict _load_from_state_dict _named_members register_parameter register_buffer "
    "zero_grad requires_grad_ _apply __call__ _call_impl _wrapped_call_impl __getattribute__ __setattr__ __class__ "
    "__dict__ _parameters _buffers _modules".split()
)
HOOKS = ("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")
UNSEALED = {"__warningregistry__", "__annotations__", "__doc__", "__abstractmethods__", "_abc_impl", "__slotnames__",
            "__annotations_cache__", "__annotate_func__", "__annotate__", "__conditional_annotations__"}  # fmt: skip


class Guard:
    """Stops the casual cheat inside the child's own interpreter, and names what was done where."""

    def __init__(self, line: Line, scratch: str, omitted: dict[str, str]) -> None:
        self.line, self.scratch, self.omitted = line, scratch, omitted
        self.phase = "import"
        self.stdlib = (sysconfig.get_path("stdlib") + "/", "<frozen")
        self.packages = tuple(sysconfig.get_path(name) + "/" for name in ("purelib", "platlib"))
        self.readable = tuple(f"{path}/" for path in [*library_folders(), scratch])
        self.known = set(all_subclasses(nn.Module)) | {nn.Module}
        self.guard_training()
        sys.addaudithook(self.hear)

    # -- whose doing it is

    def mine_code(self, code: types.CodeType) -> bool:
        return code.co_filename.startswith(self.scratch)

    def mine(self, frame: types.FrameType) -> bool:
        return self.mine_code(frame.f_code)

    def mine_class(self, cls: type) -> bool:
        """Whether a class was defined by the submission's modules."""
        module = sys.modules.get(cls.__module__)
        return str(getattr(module, "__file__", "")).startswith(self.scratch)

    def culprit(self) -> types.FrameType | None:
        """The innermost frame of the submission on the stack, if it is there at all."""
        frame = this_frame()
        while frame and not self.mine(frame):
            frame = frame.f_back
        return frame

    def direct(self) -> types.FrameType | None:
        """The submission's frame, if between it and the event there is only Python's own library."""
        frame = this_frame().f_back.f_back  # of the hook's caller
        while frame and not self.mine(frame):
            name = frame.f_code.co_filename
            if not name.startswith(self.stdlib) or name.startswith(self.packages):
                return None
            frame = frame.f_back
        return frame

    def reject(self, what: str, evidence: str, frame: types.FrameType | None) -> NoReturn:
        at = ""
        if frame:
            path, number = frame.f_code.co_filename, frame.f_lineno
            code = linecache.getline(path, number).strip()[:100]
            at = f"{os.path.relpath(path, self.scratch)}, line {number}: {code} -- "
        proof = f" ({evidence[:200]})" if evidence else ""
        if self.phase == "import" and what in AT_IMPORT:
            cure = 'when it is imported: put that under if __name__ == "__main__":'
            self.line.end("invalid", f"{at}{what}{proof} {cure}")
        self.line.end("rejected", f"{at}{what}{proof}")

    # -- the audit hook: https://docs.python.org/3/library/audit_events.html

    def hear(self, event: str, arguments: tuple) -> None:
        if event in READS or event in WRITES:
            self.check_path(event, arguments)
        elif event in FORBIDDEN:
            if frame := self.culprit():
                self.reject(FORBIDDEN[event], event, frame)
        elif event in FORBIDDEN_ITSELF:
            if frame := self.direct():
                self.reject(FORBIDDEN_ITSELF[event], event, frame)
            if self.culprit():
                raise PermissionError(errno.EPERM, "a submission starts no process")
        elif event in FORBIDDEN_DIRECTLY:
            if frame := self.direct():
                self.reject(FORBIDDEN_DIRECTLY[event], event, frame)
        elif event == "sys._getframe":
            frame = this_frame().f_back
            if frame.f_code.co_filename.endswith("inspect.py"):
                frame = frame.f_back
            if frame and self.mine(frame):
                self.reject("it looks into the frames of its callers, where the labels are", event, frame)

    def check_path(self, event: str, arguments: tuple) -> None:
        frame = self.culprit()
        path = arguments[0] if arguments else None
        if not frame or not isinstance(path, (str, bytes, os.PathLike)):
            return
        given = os.fsdecode(path)
        path = os.path.realpath(given)
        flags = arguments[2] if event == "open" and len(arguments) > 2 else 0
        writes = event in WRITES or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        inside = path == self.scratch or path.startswith(self.scratch + "/")
        if path.startswith(HERE + "/") and path.endswith(".py") and not writes:
            return  # PyTorch notes who calls it, and asks linecache for the lines; they are no secret
        name = os.path.relpath(path, self.scratch)
        if inside and name in self.omitted and not writes:
            self.reject(f"it reads {name!r}, which {self.omitted[name]}", event, frame)
        process = path.split("/")[2] if path.startswith("/proc/") else ""
        others = process.isdigit() and int(process) != os.getpid()
        if writes and not inside and path != os.devnull:
            self.reject("it writes outside its own folder", given, frame)
        if others or not (path + "/").startswith(self.readable):
            self.reject("it reads outside its own folder", given, frame)

    # -- training is the harness's

    def guard_training(self) -> None:
        genuine = torch.autograd.backward

        def backward(*arguments: Any, **named: Any) -> Any:
            if frame := self.culprit():
                self.reject("it trains", "calls backward()", frame)
            return genuine(*arguments, **named)

        def start(thread: threading.Thread, begin: Callable = threading.Thread.start) -> None:
            if frame := self.direct():
                self.reject("it starts a thread", thread.name, frame)
            begin(thread)

        torch.autograd.backward = backward
        threading.Thread.start = start
        self.changed = seal()

    def check_model(self, model: nn.Module) -> None:
        """Reject a model whose bookkeeping is not nn.Module's own: then nothing that it says about itself counts."""
        for prefix, module in members(model):
            for cls in type.mro(type(module)):
                if cls in self.known or not issubclass(cls, nn.Module):
                    continue
                if broken := BOOKKEEPING & set(vars(cls)):
                    self.line.end(
                        "rejected",
                        f"class {cls.__name__} redefines nn.Module's {sorted(broken)[0]!r}, by which a model is "
                        "counted and saved: take that out",
                    )
            for group in HOOKS:
                for hook in own(module).get(group, {}).values():
                    code = getattr(getattr(hook, "hook", hook), "__code__", None)
                    if code and self.mine_code(code):
                        self.line.end(
                            "rejected", f"{type(module).__name__} hooks into saving and loading: take that out"
                        )
            replaced = (BOOKKEEPING - {"_parameters", "_buffers", "_modules", "__dict__"}) & set(own(module))
            if replaced:
                where = f"{prefix.rstrip('.') or 'the model'}"
                self.line.end("rejected", f"{where} replaces nn.Module's {sorted(replaced)[0]!r}: take that out")

    def check_seal(self) -> None:
        if name := self.changed():
            self.line.end("rejected", f"it replaces {name}, which belongs to Python, PyTorch or the grader")


def this_frame() -> types.FrameType:
    """The caller's frame, without the audit event that sys._getframe would raise within its own hook."""
    try:
        raise StopIteration
    except StopIteration as error:
        return error.__traceback__.tb_frame.f_back


def all_subclasses(cls: type) -> Iterator[type]:
    for child in type.__subclasses__(cls):
        yield child
        yield from all_subclasses(child)


def seal() -> Callable[[], str | None]:
    """Note what the libraries consist of; the function returned names the first thing that was replaced since."""
    python = [builtins, os, time, json, random, math, io, gc, threading, traceback, inspect]
    libraries = [np, torch, torch.nn, torch.nn.functional, torch.nn.init, torch.autograd, torch.random,
                 torch.autograd.graph, torch.serialization, challenge, sys.modules[__name__]]  # fmt: skip
    classes = {cls for module in libraries for cls in vars(module).values() if isinstance(cls, type)}
    # Of torch.optim the engine uses functions alone, and one of Optimizer; to create one of its classes changes it.
    kernels = [sys.modules[f"torch.optim.{name}"] for name in ("adam", "adamw", "sgd")]
    classes.add(torch.optim.Optimizer)
    noted = [(owner, dict(vars(owner)), set()) for owner in python + libraries + kernels]
    noted += [(cls, dict(vars(cls)), {name for base in cls.__mro__[1:] for name in vars(base)}) for cls in classes]

    descriptors = (property, classmethod, staticmethod)

    def changed(missing: object = object(), vars: Callable = vars) -> str | None:
        for owner, before, inherited in noted:
            now = vars(owner)
            names = [name for name, value in before.items() if now.get(name, missing) is not value]
            names = [name for name in names if callable(before[name]) or isinstance(before[name], descriptors)]
            names += [name for name in now if name in inherited and name not in before]
            for name in names:
                if name not in UNSEALED:
                    home = f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
                    return f"{home}.{name}"
        return None

    return changed


# --- In the child: what a model consists of ---------------------------------------------------------------------------


def own(module: nn.Module) -> dict[str, Any]:
    """A module's attributes as they are, whatever its class makes of looking them up."""
    return object.__getattribute__(module, "__dict__")


def members(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each module in a model once, with the prefix of its names, by nn.Module's own records."""
    seen, stack = set(), [("", model)]
    while stack:
        prefix, module = stack.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield prefix, module
        children = [(f"{prefix}{name}.", child) for name, child in own(module)["_modules"].items() if child is not None]
        stack.extend(reversed(children))


def tensors(model: nn.Module) -> list[tuple[str, str, Tensor]]:
    """(name, kind, plain tensor) of each parameter and buffer once.

    The kinds: parameter; statistics, the running ones of BatchNorm; buffer; and constant, a buffer that a state_dict
    does not carry.
    """
    found, seen = [], set()
    for prefix, module in members(model):
        held = own(module)
        statistics = isinstance(module, nn.modules.batchnorm._NormBase)
        for group in ("_parameters", "_buffers"):
            for name, tensor in held[group].items():
                if tensor is None or id(tensor) in seen:
                    continue
                seen.add(id(tensor))
                kind = "parameter" if group == "_parameters" else "buffer"
                if kind == "buffer" and name in held["_non_persistent_buffers_set"]:
                    kind = "constant"
                if kind == "buffer" and statistics and name in ("running_mean", "running_var", "num_batches_tracked"):
                    kind = "statistics"
                with torch._C.DisableTorchFunctionSubclass():
                    found.append((prefix + name, kind, Tensor.as_subclass(Tensor.detach(tensor), Tensor)))
    return found


def numbers(tensor: Tensor) -> int:
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def outside(model: nn.Module, guard: Guard) -> list[tuple[str, int, bool, Any]]:
    """(where, how many numbers, trainable, the thing) of what a model keeps beside its parameters and buffers.

    Follows attributes, containers, and the functions of the submission's own classes: their defaults, closures and the
    globals that they name.
    """
    known = {
        id(t) for _, module in members(model) for g in ("_parameters", "_buffers") for t in own(module)[g].values()
    }
    registered = {id(module) for _, module in members(model)}
    storages = {tensor.untyped_storage().data_ptr() for _, _, tensor in tensors(model)}
    skip = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
    found: list[tuple[str, int, bool, Any]] = []
    seen: set[int] = set()
    queue: collections.deque[tuple[str, Any]] = collections.deque()
    for prefix, module in members(model):
        name = type(module).__name__
        queue.extend((f"{prefix}{key}", value) for key, value in own(module).items() if key not in skip)
        queue.extend((name, cls) for cls in type.mro(type(module)) if cls not in guard.known)
    while queue and len(seen) < 200_000:
        where, thing = queue.popleft()
        if id(thing) in seen or id(thing) in known:
            continue
        seen.add(id(thing))
        kind = type(thing)
        if issubclass(kind, Tensor):
            with torch._C.DisableTorchFunctionSubclass():
                if Tensor.untyped_storage(thing).data_ptr() not in storages:
                    found.append((where, numbers(thing), bool(thing.requires_grad and thing.is_leaf), thing))
        elif issubclass(kind, np.ndarray):
            found.append((where, thing.size, False, thing))
        elif issubclass(kind, (bytes, bytearray, str)):
            found.append((where, len(thing) // 4 if len(thing) > 400 else 0, False, thing))
        elif issubclass(kind, (dict, list, tuple, set, frozenset, collections.deque)):
            items = list(dict.items(thing) if issubclass(kind, dict) else enumerate(kind.__iter__(thing)))
            plain = sum(type(item) in (int, float, complex) for _, item in items)
            found.append((where, plain if plain > 16 else 0, False, thing))  # fewer are a layer's sizes
            queue.extend(
                (f"{where}[{key!r:.40}]", item) for key, item in items if type(item) not in (int, float, complex)
            )
        elif issubclass(kind, types.FunctionType):
            if guard.mine_code(thing.__code__):
                queue.extend(
                    (f"{where}, a closure", cell.cell_contents) for cell in thing.__closure__ or () if filled(cell)
                )
                queue.extend((f"{where}, a default", value) for value in (thing.__defaults__, thing.__kwdefaults__))
                queue.extend(
                    (f"{name}, a global", thing.__globals__[name])
                    for name in global_names(thing.__code__)
                    if name in thing.__globals__
                )
        elif issubclass(kind, (classmethod, staticmethod)):
            queue.append((where, thing.__func__))
        elif issubclass(kind, types.MethodType):
            queue.extend(((where, thing.__func__), (where, thing.__self__)))
        elif issubclass(kind, property):
            queue.append((where, thing.fget))
        elif issubclass(kind, type):
            if thing not in guard.known and guard.mine_class(thing):
                queue.extend((f"{where}.{key}", value) for key, value in vars(thing).items())
        elif issubclass(kind, types.ModuleType):
            if str(getattr(thing, "__file__", "")).startswith(guard.scratch):
                queue.extend(
                    (f"{thing.__name__}.{key}", value)
                    for key, value in vars(thing).items()
                    if issubclass(type(value), (Tensor, np.ndarray, list, dict, tuple, types.FunctionType))
                    and key != "__builtins__"
                )
        elif id(thing) not in registered and (issubclass(kind, nn.Module) or guard.mine_class(kind)):
            with contextlib.suppress(AttributeError):
                queue.extend((f"{where}.{key}", value) for key, value in own(thing).items())
    return [entry for entry in found if entry[1]]


def still_kept(before: list[tuple[str, int, bool, Any]], after: list[tuple[str, int, bool, Any]]) -> list:
    """(where, how many numbers) of what was there before a look at some images and still is: not a look's own results.

    An attention map remembered for a plot is another tensor after every look, and a list of losses grows with each.
    """
    sizes = {id(thing): size for _, size, _, thing in after}
    common = [(where, min(size, sizes.get(id(thing), 0))) for where, size, _, thing in before]
    return [entry for entry in common if entry[1]]


def filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def global_names(code: types.CodeType) -> set[str]:
    """The names that a function's code, and the code within it, may look up as globals."""
    inner = [global_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def source_numbers(source: bytes) -> int:
    """How many numbers a source file carries as literals; four characters of text count as one, docstrings hardly."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return 0  # it cannot be imported either
    except (RecursionError, MemoryError):
        return len(source) // 4
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
        if isinstance(node.body[0], ast.Expr)
    }
    count, prose = 0, 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant):
            continue
        value = node.value
        if isinstance(value, (str, bytes)):
            size = len(value.encode(errors="replace") if isinstance(value, str) else value)
            if id(node) in documented:
                prose += size
            else:
                count += size // 4
        elif isinstance(value, int):
            count += 1 + value.bit_length() // 64
        elif isinstance(value, (float, complex)):
            count += 1
    return count + max(0, prose - 4000) // 4


# --- In the child: which model, and with what recipe ------------------------------------------------------------------


def too_many_numbers(files: dict[str, bytes], main: str) -> dict[str, str]:
    """The files that carry data rather than code, with what to say when the model wants one of them."""
    counts = {name: source_numbers(text) if name.endswith(".py") else len(text) // 4 for name, text in files.items()}
    room, data = SOURCE_NUMBERS, {}
    for name in sorted(files, key=lambda name: (name != main, counts[name], name)):
        if counts[name] > room:
            why = f"carries {counts[name]:,} numbers as text: a model starts untrained and learns in its one epoch"
            data[name] = why
        else:
            room -= counts[name]
    return data


def import_model(main: str, scratch: str) -> types.ModuleType:
    """Import the submission's file under its own name, its folder and the submission's first on the path."""
    path = Path(scratch, main)
    parts = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists() and str(folder) != scratch:
        parts.insert(0, folder.name)
        folder = folder.parent
    sys.path[:] = [
        *dict.fromkeys((str(path.parent), scratch)),
        *(p for p in sys.path if os.path.realpath(p or ".") != HERE),
    ]
    for name in (*parts, "mnist_efficient_model", "sandbox"):
        sys.modules.pop(name, None)
    for name in {Path(p).relative_to(scratch).parts[0].removesuffix(".py") for p in map(str, Path(scratch).iterdir())}:
        sys.modules.pop(name, None) if name not in sys.stdlib_module_names and name not in ("torch", "numpy") else None
    importlib.invalidate_caches()
    return importlib.import_module(".".join(parts))


def trial(model: nn.Module) -> str | None:
    """What is wrong with a model's output for two images, or None; builds what it builds lazily."""
    model.eval()
    with torch.no_grad():
        output = model(torch.randn(2, 1, challenge.SIDE, challenge.SIDE))
    if type(output) is not Tensor:
        return f"it returns a {type(output).__name__}, where a plain tensor of shape (N, 10) is wanted"
    if tuple(output.shape) != (2, challenge.CLASSES) or not output.is_floating_point():
        return (
            f"for two images it returns {tuple(output.shape)} {output.dtype}, where floats of shape (2, 10) are wanted"
        )
    if output.isnan().any() or (output == math.inf).any():
        return "its outputs are not finite numbers, before any training"
    return None


def resolve(module: types.ModuleType, wanted: str | None, seed: int, post: Line, blame_: Callable) -> nn.Module:
    """Build the model that challenge.choose_model finds: ``wanted``, or build_model(), or the class that reads digits.

    Ends the process with status invalid where there is none, or more than one, or it cannot be built.
    """

    def build(name: str, maker: Callable[[], Any]) -> tuple[nn.Module | None, str]:
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            model = maker()
            if not isinstance(model, nn.Module):
                return None, f"{name}() returns a {type(model).__name__}, where an nn.Module is wanted"
            return (None, wrong) if (wrong := trial(model)) else (model, "")
        except BaseException as error:
            status, reason = blame_(error, f"building and trying {name}")
            if status != "invalid":
                post.end(status, reason)
            return None, reason

    try:
        chosen = challenge.choose_model(module, wanted)
    except challenge.ChallengeError as error:
        classes = own_classes(module)
        if wanted:
            post.end("invalid", f"{error}; its models are: {', '.join(classes) or 'none'}")
        reasons = [build(*item)[1] for item in classes.items()]
        if reasons and all(reasons):
            post.end("invalid", reasons[-1])  # the last class is the one that uses the others
        what = str(error).partition(": name one")[0]  # naming one is for the command line
        post.end("invalid", f"{what}: add a function build_model() that returns the one to grade")
    model, reason = build(*chosen)
    return model if model is not None else post.end("invalid", reason)


def own_classes(module: types.ModuleType) -> dict[str, type]:
    """The classes of nn.Module in a submission's module that come from its own folder."""
    local = local_names(module)
    return {
        name: thing
        for name, thing in vars(module).items()
        if isinstance(thing, type) and issubclass(thing, nn.Module) and thing.__module__.split(".")[0] in local
    }


def local_names(module: types.ModuleType) -> set[str]:
    """The top-level names of the modules that came from the submission's own folder."""
    folder = os.getcwd()
    return {
        name.split(".")[0]
        for name, m in list(sys.modules.items())
        if str(getattr(m, "__file__", "")).startswith(folder)
    }


def recipe(module: types.ModuleType, default: dict[str, Any]) -> challenge.Config:
    """The submission's RECIPE over the grader's; raises ChallengeError with a sentence."""
    chosen = challenge.read_recipe(vars(module).get("RECIPE", {}))
    return challenge.Config(**challenge.override(default, chosen))


# --- In the child: the two errands ------------------------------------------------------------------------------------


def pack(entries: list[tuple[str, str, Tensor]]) -> bytes:
    """Plain tensors as a line of JSON, [name, kind, dtype, shape] each, and their bytes: nothing that is ever run."""
    header = [[name, kind, str(t.dtype).removeprefix("torch."), list(t.shape)] for name, kind, t in entries]
    blobs = [t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for _, _, t in entries]
    return json.dumps(header).encode() + b"\n" + b"".join(blobs)


def unpack(raw: bytes) -> list[tuple[str, str, Tensor]]:
    """Read what ``pack`` wrote; raises ValueError for anything else."""
    line, separator, blob = raw.partition(b"\n")
    entries, start = [], 0
    try:
        for name, kind, dtype, shape in json.loads(line):
            kind_of = DATA_DTYPES[dtype]
            if not isinstance(name, str) or kind not in ("parameter", "buffer", "statistics", "constant"):
                raise ValueError(name)
            if not all(isinstance(side, int) and 0 <= side <= len(raw) for side in shape):
                raise ValueError(shape)
            size = math.prod(shape) * kind_of.itemsize
            part = bytearray(blob[start : start + size])
            if len(part) != size:
                raise ValueError("cut short")
            flat = torch.frombuffer(part, dtype=kind_of) if size else torch.empty(0, dtype=kind_of)
            entries.append((name, kind, flat.reshape(shape)))
            start += size
        if start != len(blob) or not separator:
            raise ValueError("bytes to spare")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"not a packed state: {error}") from error
    return entries


def saved(entries: list[tuple[str, str, Tensor]], *kinds: str) -> list[tuple[str, str, Tensor]]:
    """Those of ``kinds``, or all that a state_dict carries."""
    return [entry for entry in entries if (entry[1] in kinds if kinds else entry[1] != "constant")]


def same(one: list[tuple[str, str, Tensor]], other: list[tuple[str, str, Tensor]]) -> bool:
    """Whether two lists of entries have equal names, kinds, types and shapes."""
    first, second = ([(name, kind, t.dtype, t.shape) for name, kind, t in entries] for entries in (one, other))
    return first == second


class Steps:
    """Sees to it that parameters change in the steps of the engine's optimizer and at no other time."""

    def __init__(self, model: nn.Module, guard: Guard, optimizer: str) -> None:
        self.guard, self.count = guard, 0
        self.parameters = [(name, t) for name, kind, t in tensors(model) if kind == "parameter"]
        self.note()
        steps, genuine = self, challenge.OPTIMIZERS[optimizer]

        class Watched(genuine):
            def step(self) -> None:
                steps.check()
                super().step()
                steps.count += 1
                steps.note()

        challenge.OPTIMIZERS[optimizer] = Watched  # in this process, which trains one model

    def note(self) -> None:
        self.values = [t.clone() for _, t in self.parameters]

    def check(self) -> None:
        for (name, tensor), value in zip(self.parameters, self.values, strict=True):
            if not torch.equal(tensor, value) and not tensor.isnan().any():
                self.guard.reject(
                    "its parameters change between the optimizer's steps; only the one epoch may train them", name, None
                )


def train(job: dict[str, Any], build: Callable[[int], tuple], guard: Guard, line: Line, data: tuple, file: int) -> None:
    """One epoch under the challenge's own engine; writes the packed state and reports what the engine counted."""
    module, model = build(job["seed"])
    try:
        config = recipe(module, job["recipe"])
    except challenge.ChallengeError as error:
        line.end("invalid", str(error))
    before = tensors(model)
    if not any(kind == "parameter" for _, kind, _ in before):
        line.end("invalid", "the model has no parameters to train")
    for name, kind, tensor in before:
        if kind == "parameter" and not tensor.is_floating_point():
            line.end(
                "invalid",
                f"its parameter {name} is {tensor.dtype}: the engine trains real numbers, so keep two of them",
            )
    count = sum(numbers(t) for _, kind, t in before if kind in ("parameter", "buffer", "constant"))
    if count * 4 > FILE_BYTES // 2:
        line.end("failed", f"{count:,} parameters: far over the limit of {job['limit']:,}", parameters=count)
    split = challenge.Split(*data)
    steps = Steps(model, guard, config.optimizer)
    batches = challenge.epoch_batches(split, config, torch.Generator().manual_seed(job["seed"]))
    guard.phase = "training"
    line.send({"phase": "training"})
    epoch = challenge.train_one_epoch(model, batches, config, len(split.labels))
    line.send({"phase": "trained"})
    guard.check_seal()
    guard.check_model(model)
    steps.check()
    after = tensors(model)
    if not same(saved(before, "parameter"), saved(after, "parameter")):
        line.end("rejected", "its parameters are not the same ones after the epoch as before it")
    if not same(saved(before), saved(after)):
        cure = "so that its weights could not be loaded again: register those with persistent=False"
        line.end("invalid", f"it adds buffers or changes their shape while it trains, {cure}")
    if steps.count != math.ceil(len(split.labels) / config.batch_size) and not epoch.diverged_at:
        line.end("rejected", f"{steps.count:,} optimizer steps were counted in an epoch of fewer")
    for where, size, trainable, _ in outside(model, guard):
        if trainable:
            line.end("rejected", f"it trains {size:,} numbers outside its parameters, in {where}; use nn.Parameter")
    raw = pack(saved(after))
    os.write(file, raw)
    last = epoch.curve[-1]["accuracy"] if epoch.curve else None
    facts = {"images_seen": epoch.images_seen, "each_once": epoch.each_once, "diverged_at": epoch.diverged_at}
    line.end("done", "", **facts, train_accuracy=last, batch_size=config.batch_size, bytes=len(raw))


def evaluate(
    job: dict[str, Any], build: Callable[[int], tuple], guard: Guard, line: Line, data: tuple, file: int
) -> None:
    """Predictions of the rebuilt model: of the first ``probe`` images before it gets its weights, of the rest after."""
    images, entries = data
    _, model = build(job["seed"])
    kept = outside(model, guard)  # with the things, so that none of them can make room for a new one in its place
    fresh = tensors(model)
    if not same(saved(fresh), entries):
        line.end("rejected", "rebuilt in a new process, it does not have the parameters and buffers that were trained")
    guard.phase = "evaluation"
    line.send({"phase": "evaluation"})
    untrained = answers(model, images[: job["probe"]])
    kept = still_kept(kept, outside(model, guard))
    with torch.no_grad():
        weights = {name: value for name, _, value in entries}
        for name, _, tensor in fresh:
            if name in weights and not torch.equal(tensor, weights[name]):
                tensor.copy_(weights[name])
    trained = answers(model, images[job["probe"] :])
    guard.check_seal()
    for name, kind, tensor in tensors(model):
        if kind == "parameter" and not torch.equal(tensor, weights[name]) and not tensor.isnan().any():
            line.end("rejected", f"it changes its parameter {name} while it is tested")
    os.write(file, untrained + trained)
    places = {t.data_ptr() for _, kind, t in tensors(model) if kind == "constant"}  # a state, as of a spiking neuron,
    constants = [t for _, kind, t in fresh if kind == "constant" and t.data_ptr() in places]  # is another one by now
    kept.sort(key=lambda entry: -entry[1])
    held = sum(numbers(t) for t in constants if t.dtype.is_floating_point or t.is_complex())
    line.end("done", "", constants=held, outside=kept[:5], outside_all=sum(size for _, size in kept))


def answers(model: nn.Module, images: Tensor) -> bytes:
    """One byte per image: the class with the largest output, 255 where that is not a number."""
    logits = challenge.predict(model, images)
    with torch._C.DisableTorchFunctionSubclass():
        if tuple(logits.shape) != (len(images), challenge.CLASSES):
            shape = (len(images), challenge.CLASSES)
            raise ValueError(f"forward() returned {tuple(logits.shape)} in all, where {shape} is wanted")
        chosen = logits.argmax(1)
        chosen[logits.isnan().any(1) | (logits == math.inf).any(1)] = 255
        return chosen.to(torch.uint8).numpy().tobytes()


def child(job: dict[str, Any], token: str, scratch: str, tell: int, prints: int, file: int) -> None:
    """Everything between the fork and the verdict of one job. Ends the process; data is read before the walls rise."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (prints, 1), (prints, 2)):
        os.dup2(source, target)
    for descriptor in range(3, 256):
        if descriptor not in (tell, file):
            with contextlib.suppress(OSError):
                os.close(descriptor)
    images = torch.from_numpy(np.load(job["images"]))
    if job["errand"] == "train":
        data = images, torch.from_numpy(np.load(job["labels"])).long()
    else:
        data = images, unpack(Path(job["state"]).read_bytes())
    files = {name: text.encode("latin-1") for name, text in job["files"].items()}
    line = Line(tell, token)
    sys.stdout.reconfigure(line_buffering=True)  # os._exit flushes nothing

    set_limits(job["memory"], job["seconds"])
    omitted = job["omitted"] | too_many_numbers(files, job["main"])
    walls = []
    if sys.platform == "linux":
        if enter_namespaces(scratch, [path for path in job["hidden"] if not scratch.startswith(path + "/")]):
            walls.append("namespaces")
        write_submission(files, scratch, omitted)
        if landlock(library_folders(), [scratch, os.devnull]):
            walls.append("landlock")
    else:
        write_submission(files, scratch, omitted)
    line.send({"phase": "import", "walls": walls})
    os.chdir(scratch)
    own_places = ("HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "MNIST_DATA_DIR")
    os.environ.update(dict.fromkeys(own_places, scratch))
    tempfile.tempdir = None
    sys.argv = [job["main"]]
    if job["main"] in omitted:
        line.end("rejected", f"{job['main']} {omitted[job['main']]}")
    guard = Guard(line, scratch, omitted)
    sys.modules["__main__"] = types.ModuleType("__main__")

    def accuse(error: BaseException, doing: str) -> tuple[str, str]:
        return blame(error, doing, scratch, omitted)

    def build(seed: int) -> tuple[types.ModuleType, nn.Module]:
        module = import_model(job["main"], scratch)
        guard.check_seal()
        guard.phase = "building"
        line.send({"phase": "building"})
        model = resolve(module, job["model_name"], seed, line, accuse)
        guard.check_seal()
        guard.check_model(model)
        return module, model

    torch.manual_seed(job["seed"])
    errand = {"train": train, "evaluate": evaluate}[job["errand"]]
    try:
        errand(job, build, guard, line, data, file)
    except BaseException as error:
        line.end(*accuse(error, DOING[guard.phase]))


def write_submission(files: dict[str, bytes], scratch: str, omitted: dict[str, str]) -> None:
    """Lay out the submission's own code in its folder, without what is data in the guise of code."""
    for name, source in files.items():
        if name not in omitted:
            path = Path(scratch, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source)


if __name__ == "__main__":
    keeper()
