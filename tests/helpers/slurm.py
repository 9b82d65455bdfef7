"""Run a command with a Slurm of its own on this machine: `python tests/helpers/slurm.py bash`.

munged, slurmctld and slurmd are started by hand from a configuration in a temporary folder: own key, own socket, free
ports, no cgroups, no accounting. Nothing of the machine's own Slurm is read or changed. When the command ends, or this
process is interrupted or terminated, every process that was started below it is ended and the folder removed. It needs
Debian's packages slurm-wlm and munge, Linux, and no privileges; all jobs run as the user who started it.

exit status: the command's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"  # where daemons lie, for users too
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_SECONDS = 60  # for the daemons, on a busy machine
CONFIGURATION = """
ClusterName=scratch
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs of Slurm and munge that are not installed."""
    return [name for name in PROGRAMS if not shutil.which(name, path=PATH)]


@contextlib.contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """A running Slurm; yields the environment for its commands."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with contextlib.ExitStack() as stack:  # both held at the same time, so that they differ
        ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10 >> 20
    names = {"folder": folder, "host": socket.gethostname().partition(".")[0], "user": os.getuid(), "memory": memory}
    names |= {"cores": os.cpu_count(), "controller_port": ports[0], "node_port": ports[1]}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**names))
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans below become our children: see end_children
    try:
        start(folder, environment)
        yield environment
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)  # a second Ctrl-C must not leave half of it
        end_children()
        shutil.rmtree(folder)


def start(folder: Path, environment: dict[str, str]) -> None:
    """Start the three daemons and wait until the node takes jobs."""
    files = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
    munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files]
    steps = {
        "munged": (munged, lambda: (folder / "munge.socket").exists()),
        "slurmctld": (["slurmctld", "-D"], lambda: answer("squeue", "--noheader") is not None),
        "slurmd": (["slurmd", "-D"], lambda: answer("sinfo", "--noheader", "--format=%T") == "idle"),
    }

    def answer(*command: str) -> str | None:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    for name, (command, ready) in steps.items():
        log, end = folder / f"{name}.out", time.monotonic() + START_SECONDS
        with log.open("wb") as output:
            daemon = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                      start_new_session=True, preexec_fn=end_with_parent)  # fmt: skip
        while not ready():
            if daemon.poll() is not None or time.monotonic() > end:
                said = " / ".join(log.read_text(errors="replace").splitlines()[-3:])
                sys.exit(f"slurm.py: error: {name} did not start: {said}")
            time.sleep(0.1)


def end_with_parent() -> None:
    """In a daemon: end when this process is killed and cannot end it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end_children() -> None:
    """Kill all processes below this one, those too whose own parents ended before: jobs and what they started."""
    while True:
        for task in Path("/proc/self/task").iterdir():
            for pid in (task / "children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def main(command: Sequence[str]) -> int:
    """Run ``command`` beside a Slurm; returns its exit status."""
    for ending in ENDINGS:
        signal.signal(ending, signal.default_int_handler)
    try:
        with slurm() as environment:
            return subprocess.run(command, env=environment).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["bash"]))
