"""The system's limits on a child: Linux namespaces, Landlock, resource limits. None can be undone from inside.

Sources: https://man7.org/linux/man-pages/man7/namespaces.7.html, https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import struct
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    import resource  # Unix only; so is fork, and with it grading
except ImportError:
    resource = None

ROOT = str(Path(__file__).resolve().parent.parent.parent)  # of this project
FILE_BYTES = 64 << 20  # the largest file that a child may write
DESCRIPTORS = 256  # that a child may hold

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_PRIVATE_RECURSIVE, AT_RECURSIVE, READ_ONLY = (1 << 18) | (1 << 14), 0x8000, 1
SYS_MOUNT_SETATTR, SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 442, 444, 445, 446
READ_RIGHTS, FILE_RIGHTS = 0b1101, 0b111 | 1 << 14  # execute, read file, read folder; execute, write, read, truncate
ALL_RIGHTS = (1 << 15) - 1, (1 << 13) - 1  # of ABI 3 (Linux 6.2; before it, other files can be emptied) and ABI 1
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
CAPABILITY_VERSION_3 = 0x20080522
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def libc(function: str, *arguments: Any) -> int:
    """Call a function of the C library; raises OSError when it fails."""
    result = getattr(LIBC, function)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")
    return result


def adopt_orphans() -> None:
    """Become the parent of processes that a child leaves behind, so that they can be ended (Linux)."""
    if LIBC:
        libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def isolate(scratch: str, hidden: Sequence[str], memory: int, seconds: float) -> list[str]:
    """Confine the calling process to ``scratch``, with no way back; returns what the kernel granted.

    ``hidden`` folders vanish, ``memory`` bytes and ``seconds`` of CPU time are what it may use from here on. Where
    namespaces are granted, ``scratch`` becomes an empty file system of 64 MB in memory.
    """
    set_limits(memory, seconds)
    if not LIBC:
        return []
    granted = ["namespaces"] if enter_namespaces(scratch, hidden) else []
    if landlock(library_folders(), [scratch, os.devnull]):
        granted.append("landlock")
    libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # what root may do beyond the owner of its files, such as raising the limits again
    libc("capset", struct.pack("Ii", CAPABILITY_VERSION_3, 0), bytes(24))
    return granted


def set_limits(memory: int, seconds: float) -> None:
    """Limit this process and its children: memory in bytes beyond those in use, CPU seconds, files, descriptors."""
    held = 0
    if LIBC:
        held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    data = resource.RLIMIT_DATA if LIBC else resource.RLIMIT_AS
    cpu = math.ceil(seconds) + 5  # the fork server's clock ends a child first; this one ends what escapes it
    for kind, limit in (
        (data, held + memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (limit, limit))


# --- Namespaces -------------------------------------------------------------------------------------------------------


def enter_namespaces(scratch: str, hidden: Sequence[str]) -> bool:
    """Leave network, processes and writable files behind, in a new first process; False where the kernel refuses.

    The calling process stays outside: it waits for that first process, ends as it ends, and dies with it.
    """
    user, group = os.getuid(), os.getgid()
    try:
        libc("unshare", NEWUSER | NEWNS | NEWIPC | NEWPID | NEWNET)
        map_identity(user, group)
    except OSError:
        return False
    inner = os.fork()
    if inner:
        os.closerange(3, DESCRIPTORS)  # else it would hold the channel open
        _, status = os.waitpid(inner, 0)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    libc("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc("mount", b"none", b"/", None, MS_PRIVATE_RECURSIVE, None)
    needed = [ROOT, *map(os.path.realpath, (sys.prefix, sys.base_prefix))]
    for path in sorted(map(os.path.realpath, hidden)):  # one inside another has vanished with it
        if os.path.isdir(path) and not any(is_within(each, path) for each in needed):
            libc("mount", b"none", os.fsencode(path), b"tmpfs", 0, b"size=4k")
    os.makedirs(scratch, exist_ok=True)  # it may have vanished too
    for path, depth, *change in ((b"/", AT_RECURSIVE, READ_ONLY, 0), (b"/proc", 0, 0, READ_ONLY)):
        attributes = struct.pack("4Q", *change, 0, 0)
        with contextlib.suppress(OSError):  # Linux 5.12; Landlock keeps the same from being written
            libc("syscall", SYS_MOUNT_SETATTR, -1, path, depth, attributes, len(attributes))
    with contextlib.suppress(OSError):  # a container may forbid it; there the outer processes stay visible
        libc("mount", b"proc", b"/proc", b"proc", 0, None)
    libc("mount", b"none", os.fsencode(scratch), b"tmpfs", 0, b"size=64m")
    libc("unshare", NEWUSER)  # the mounts belong to the outer namespace: from this one they cannot be undone
    map_identity(user, group)
    return True


def map_identity(user: int, group: int) -> None:
    """Give this user namespace's only user and group the outer ones' rights to files, and no other right."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def is_within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


# --- Landlock ---------------------------------------------------------------------------------------------------------


def landlock(readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Leave only these folders readable and these writable; False where the kernel has no Landlock."""
    for rights in ALL_RIGHTS:
        with contextlib.suppress(OSError):
            ruleset = libc("syscall", SYS_LANDLOCK_CREATE, struct.pack("Q", rights), 8, 0)
            break
    else:
        return False
    for paths, allowed in ((readable, READ_RIGHTS), (writable, rights)):
        for path in filter(os.path.exists, paths):
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", allowed if os.path.isdir(path) else allowed & FILE_RIGHTS, parent)
            libc("syscall", SYS_LANDLOCK_ADD, ruleset, 1, rule, 0)
            os.close(parent)
    libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # else only root may
    libc("syscall", SYS_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)
    return True


def library_folders() -> list[str]:
    """Where Python, its packages and the system's libraries are: all that a model may read beside its own folder."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *sys.path}
    system = {"/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev", "/System", "/Library"}
    folders = {os.path.realpath(path) for path in paths if path}
    return sorted({path for path in folders if not is_within(ROOT, path)} | system)
