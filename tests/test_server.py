"""The fork server: what a worker makes of a child's messages and of its end, and the weights that come back."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from grading.sandbox import isolation, state
from grading.sandbox.server import ForkServer, ServerFailed, WorkerLost
from grading.sandbox.watch import LOG_BYTES, Watch

ROOT = Path(__file__).resolve().parent.parent


class TestAMessageOfAChild:
    """A worker reads it as untrusted."""

    @staticmethod
    def answer(*lines: bytes) -> dict:
        watch = Watch({"seconds": 1, "memory": 1})
        watch.read_messages(b"".join(line + b"\n" for line in lines))
        return watch.answer

    def test_counts_once(self):
        content = {"status": "done", "reason": "", "advice": "", "facts": {"images_seen": 7}}
        assert self.answer(json.dumps(content).encode(), b'{"status": "invalid", "reason": ""}') == content

    @pytest.mark.parametrize("status", ["passed", "failed", "crashed", "", None, [], {}])
    def test_never_gives_a_verdict(self, status):
        assert self.answer(json.dumps({"status": status, "reason": ""}).encode())["status"] == "rejected"

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"hello",
            b"{",
            b"[" * 60_000,
            b"7",
            b'{"status": "done"}',
            b'{"phase": "passed"}',
            b"x" * 70_000,
            b'{"phase": "build"}\n' * 4_000,
            b'{"status": "done", "reason": "", "facts": 7}',
        ],
    )
    def test_that_is_malformed_or_too_long_ends_the_child(self, text):
        assert self.answer(text)["status"] == "rejected"

    def test_is_cut_and_cleaned(self):
        text = "a\n# b\x1b[2J" + "c" * 5000
        facts = {"train_accuracy": 1, "main": [1], "recipe": {"lr": {}}, "name": {"lr": 1}}
        message = {"status": "invalid", "reason": text, "advice": text, "facts": facts}
        answer = self.answer(json.dumps(message).encode())
        assert answer["reason"].startswith("a # b [2Jccc") and len(answer["reason"]) == len(answer["advice"]) == 600
        assert answer["facts"] == {"train_accuracy": 1, "name": {"lr": 1}}

    def test_tells_what_the_kernel_granted_only_at_the_first_phase(self):
        watch = Watch({"seconds": 1, "memory": 1})
        watch.read_messages(b'{"phase": "import", "isolation": ["landlock", "trust me"]}\n')
        watch.read_messages(b'{"phase": "import", "isolation": ["namespaces"]}\n')
        assert watch.isolation == ["landlock"] and watch.answer is None

    @pytest.mark.parametrize("phases, status", [((), "machine_error"), ((b'{"phase": "import"}',), "invalid")])
    def test_blames_the_machine_only_before_the_first_phase(self, phases, status):
        message = b'{"status": "machine_error", "reason": "the disk is full"}'
        assert self.answer(*phases, message)["status"] == status


def test_of_what_is_printed_the_beginning_and_the_end_are_kept():
    watch, printed = Watch({"seconds": 1, "memory": 1}), b""
    for i in range(5000):
        watch.read_prints(b"%d " % i)
        printed += b"%d " % i
        assert watch.log == printed if len(printed) <= LOG_BYTES else len(watch.log) == LOG_BYTES
    start, end = watch.log.split(b"\n[...]\n")
    assert printed.startswith(start) and printed.endswith(end) and len(start) == LOG_BYTES // 2


CHILD = """
import json, os, signal, subprocess, sys, time
from grading.sandbox import watch
def run(task, scratch, channel, printer, result):
    def send(**message):
        os.write(channel, json.dumps(message).encode() + b"\\n")
    os.setsid()
    send(phase=task["phase"])
    %s
task = {"seconds": 2, "memory": 200 << 20, "result": sys.argv[1], "phase": sys.argv[2]}
report = watch.run_in_child(task, os.pipe()[0], run)
print(json.dumps([report, os.listdir(sys.argv[3])]))
"""


@pytest.mark.skipif(isolation.LIBC is None, reason="needs Linux")
class TestAChild:
    @pytest.mark.parametrize(
        "phase, code, status, reason, advice",
        [
            ("build", "os._exit(3)", "crashed", "without a result (exit status 3)", "not PyTorch"),
            ("build", "os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "killed by SIGSEGV", "not PyTorch"),
            ("build", "time.sleep(60)", "timeout", "after 2 s, while in the phase 'build'", "Make it faster"),
            ("import", "time.sleep(60)", "timeout", "in the phase 'import'", "only define the model"),
            ("read", "time.sleep(60)", "timeout", "in the phase 'read'", "the code only"),
            ("build", "a = b'x' * (400 << 20); time.sleep(60)", "out_of_memory", "the 200 MB", "Make it smaller"),
            ("read", "a = b'x' * (400 << 20); time.sleep(60)", "out_of_memory", "the 200 MB", "the code only"),
            ("build", "[os.fork() for _ in range(7)]; time.sleep(60)", "rejected", "64 processes", "subprocess"),
            ("build", "os.write(channel, b'hello\\n'); time.sleep(60)", "rejected", "own channel", "open files"),
            ("build", "send(status='done', reason='', facts={}); time.sleep(60)", "done", "", ""),
        ],
    )
    def test_ends_within_its_limits_and_leaves_nothing_behind(self, tmp_path, phase, code, status, reason, advice):
        linger = "subprocess.Popen(['sleep', '4322']); open(f'{scratch}/left', 'w').close()"
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        command = [sys.executable, "-c", CHILD % f"{linger}; {code}", tmp_path / "result", phase, scratch]
        environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=30)
        report, left = json.loads(done.stdout)
        assert report["status"] == status and reason in report["reason"] and advice in report["advice"]
        assert left == [] and b"sleep\x004322" not in subprocess.run(["ps", "-eo", "args"], capture_output=True).stdout

    def test_of_a_server_that_cannot_start_is_nobodys_fault(self, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.executable", "/bin/false")
        server = ForkServer(tmp_path)
        for _ in range(2):
            with pytest.raises(ServerFailed, match="ended while it loaded PyTorch"):
                server.run({"seconds": 1})
        server.close()
        with pytest.raises(WorkerLost, match="closed"):
            server.run({"seconds": 1})

    def test_whose_worker_ends_is_lost_and_the_next_is_not(self, tmp_path, warm_server):
        task = {"kind": "read", "seconds": 9, "memory": 1 << 30, "hidden": [], "inputs": {}, "main": "", "omitted": {}}
        with pytest.raises(WorkerLost, match="a worker ended"):
            warm_server.run({**task, "result": str(tmp_path / "no" / "such" / "folder")})
        report = warm_server.run({**task, "result": str(tmp_path / "result")})
        assert report["status"] == "invalid" and "missing 1 required" in report["reason"]


@pytest.mark.skipif(isolation.LIBC is None, reason="needs Linux")
def test_namespaces_alone_hide_the_folder_in_which_a_child_works(tmp_path):
    for name in ("hidden", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text("labels")
    probe = [sys.executable, ROOT / "tests" / "helpers" / "probe_isolation.py", os.getuid(), "landlock"]
    command = [*probe, tmp_path / "hidden", tmp_path / "other", 9]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    if found["granted"] != ["namespaces"]:
        pytest.skip("this kernel grants no namespaces")
    assert not found["read the data and the results"] and not found["write outside its own folder"]
    assert found["read other files of the user"], "which takes Landlock"


def packed(header: object, content: bytes = b"1234") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def one(shape: list, end: int = 4, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


class TestTheWeights:
    """What comes back from a child that trained a submission's own code is checked before anything is made of it."""

    @pytest.mark.parametrize(
        "raw",
        [
            *[b"", b"[]", b"{", b"\xff" * 100, base64.b64encode(hashlib.sha512(b"x").digest())],
            *[
                packed(header)
                for header in (b"[" * 100_000, [], 7, {"w": 7}, {"__metadata__": {"w": 1}}, {"w": one([1])})
            ],
            *[packed({"parameter:w": one([1], dtype=dtype)}) for dtype in ("object", "F4", "F64")],
            *[packed({"parameter:w": one(shape)}) for shape in ([2], [-1], [1e3], [True], [2**63, 2**63], "1")],
            packed({"parameter:w": one([0, 2**63], 0)}, b""),
            packed({"parameter:w": one([1], -4)}),
            packed({"parameter:w": one([1])}, b"12345"),
            packed({"code:w": one([1])}),
            packed(b" " * (5 << 20) + json.dumps({"parameter:w": one([1])}).encode()),
        ],
    )
    def test_that_are_malformed_are_refused(self, raw):
        with pytest.raises(ValueError, match="not a packed state"):
            state.unpack(raw)

    def test_are_the_same_in_the_next_process(self):
        model, other = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(2))
        kinds = {entry.name: entry.kind for entry in state.unpack(state.pack(model))}
        assert list(kinds.values()).count("parameter") == 4 and kinds["1.num_batches_tracked"] == "statistics"
        state.load(other, state.unpack(state.pack(model)))
        for name, value in other.state_dict().items():
            assert torch.equal(value, model.state_dict()[name])

    @pytest.mark.parametrize(
        "dtype, numbers",
        [
            (torch.float16, 6),
            (torch.float32, 6),
            (torch.float64, 12),
            (torch.complex64, 12),
            (torch.complex128, 24),
            (torch.int64, 12),
            (torch.bool, 6),
        ],
    )
    def test_of_every_type_are_counted_in_numbers_of_32_bits(self, dtype, numbers):
        model, other = nn.Module(), nn.Module()
        for module, value in ((model, torch.ones(3, 2).t()), (other, torch.zeros(2, 3))):
            module.register_buffer("table", value.to(dtype))
        state.load(other, state.unpack(state.pack(model)))
        assert torch.equal(other.table, model.table)
        (entry,) = state.unpack(state.pack(model))
        assert (entry.name, entry.kind, entry.numbers) == ("table", "buffer", numbers)

    @pytest.mark.parametrize("other, names", [(nn.Linear(3, 4), "weight|bias"), (nn.Sequential(), "weight|bias")])
    def test_of_another_model_are_refused(self, other, names):
        with pytest.raises(ValueError, match=f"rebuilt in a new process, its parameter ({names}) is not"):
            state.load(other, state.unpack(state.pack(nn.Linear(3, 2))))

    def test_of_a_buffer_whose_shape_follows_the_batch_are_left_alone(self):
        model, other = nn.Module(), nn.Module()
        model.register_buffer("potential", torch.ones(64))
        other.register_buffer("potential", torch.zeros(10))
        state.load(other, state.unpack(state.pack(model)))
        assert not other.potential.any()
