"""What a stranger's process can still do, as JSON: run by test_grading.py, which compares it with docs/grading.md.

    python probe_isolation.py USER_ID REFUSED HIDDEN_FOLDER OTHER_FOLDER PORT

USER_ID of the process; REFUSED by the kernel: "", "namespaces" or "namespaces,landlock"; the folders hold a file
``secret`` each; PORT of this machine listens.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

user, refused, hidden, other, port = sys.argv[1:]
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from grading.sandbox import isolation  # noqa: E402


def works(what: Callable[[], object]) -> bool:
    with contextlib.suppress(OSError, MemoryError):
        what()
        return True
    return False


def attempts(scratch: str, victim: int) -> dict[str, bool]:
    """What a child may try, and whether it works. The names are those of the table in docs/grading.md."""
    return {
        "reach the network": works(lambda: socket.create_connection(("127.0.0.1", int(port)), 1)),
        "signal other processes of the user": works(lambda: os.kill(victim, 0)),
        "read the data and the results": works(lambda: Path(hidden, "secret").read_text()),
        "read other files of the user": works(lambda: Path(other, "secret").read_text()),
        "write outside its own folder": works(lambda: Path(other, "written").write_text(""))
        or works(lambda: empty(Path(other, "secret"))),
        "take more memory than allowed": works(lambda: bytearray(300 << 20)),
        "write a file of more than 64 MB": works(lambda: write_large(Path(scratch, "large"))),
        "raise its own limits": works(lambda: raise_limits()),
    }


def empty(path: Path) -> None:
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 2):
        raise OSError("nothing forbids it")
    os.truncate(path, 0)


def write_large(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with path.open("wb", buffering=0) as file:
        file.truncate(isolation.FILE_BYTES + 1)


def raise_limits() -> None:
    import resource

    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return
    raise OSError


os.setgroups([]) if os.getuid() == 0 and int(user) else None
os.setresgid(int(user), int(user), int(user))
os.setresuid(int(user), int(user), int(user))
isolation.LIBC.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: /proc/self belongs to the new user
victim = subprocess.Popen(["sleep", "30"])
scratch = os.path.realpath(tempfile.mkdtemp(prefix="probe-", dir=hidden))  # as in the grader
for name in filter(None, refused.split(",")):
    setattr(isolation, {"namespaces": "enter_namespaces", "landlock": "landlock"}[name], lambda *_: False)
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    granted = isolation.isolate(scratch, [hidden], 200 << 20, 10)
    os.write(write, json.dumps({"granted": granted, **attempts(scratch, victim.pid)}).encode())
    os._exit(0)
os.close(write)
print(os.read(read, 1 << 16).decode())
os.waitpid(pid, 0)
victim.kill()
