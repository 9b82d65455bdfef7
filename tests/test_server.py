"""The fork server: what a worker makes of a child's messages and of its end, and the weights that come back."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from grading.sandbox import isolation, state
from grading.sandbox.server import ForkServer, ServerFailed
from grading.sandbox.watch import Watch

ROOT = Path(__file__).resolve().parent.parent


class TestAMessageOfAChild:
    """A worker reads it as untrusted."""

    @staticmethod
    def answer(line: bytes) -> dict:
        watch = Watch({"seconds": 1, "memory": 1}, "token")
        watch.read_messages(line + b"\n")
        return watch.answer

    def test_counts_behind_the_right_token_only(self):
        content = {"status": "done", "reason": "", "advice": "", "facts": {"images_seen": 7}}
        message = json.dumps(content).encode()
        assert self.answer(b"token " + message) == content
        for forged in (b"other ", b"token", b"", b"tokem "):
            assert self.answer(forged + message)["status"] == "rejected"

    @pytest.mark.parametrize("status", ["passed", "failed", "crashed", "", None, [], {}])
    def test_never_gives_a_verdict(self, status):
        message = json.dumps({"status": status, "reason": "", "facts": {}}).encode()
        assert self.answer(b"token " + message)["status"] == "rejected"

    @pytest.mark.parametrize(
        "text",
        [
            b"{",
            b"[" * 60_000,
            b"7",
            b'{"status": "done"}',
            b"x" * 70_000,
            b'{"status": "done", "reason": "", "facts": 7}',
        ],
    )
    def test_that_is_malformed_ends_the_child(self, text):
        assert self.answer(b"token " + text)["status"] == "rejected"

    def test_is_cut_and_cleaned(self):
        text = "a\n# b\x1b[2J" + "c" * 5000
        message = {"status": "invalid", "reason": text, "advice": text, "facts": {"x": 1, "recipe": [1]}}
        answer = self.answer(b"token " + json.dumps(message).encode())
        assert answer["reason"].startswith("a # b [2Jccc") and len(answer["reason"]) == len(answer["advice"]) == 600
        assert answer["facts"] == {}

    @pytest.mark.parametrize("phases, status", [((), "machine_error"), (("import",), "invalid")])
    def test_blames_the_machine_only_before_the_first_phase(self, phases, status):
        watch = Watch({"seconds": 1, "memory": 1}, "token")
        for phase in phases:
            watch.read_messages(b'token {"phase": "%s"}\n' % phase.encode())
        watch.read_messages(b'token {"status": "machine_error", "reason": "the disk is full"}\n')
        assert watch.answer["status"] == status


CHILD = """
import json, os, signal, subprocess, sys, time
from grading.sandbox import server
def run(task, token, scratch, channel, printer, result):
    def send(**message):
        os.write(channel, token.encode() + b" " + json.dumps(message).encode() + b"\\n")
    os.setsid()
    send(phase=task["phase"])
    %s
server.adopt_orphans()
task = {"seconds": 2, "memory": 200 << 20, "result": sys.argv[1], "phase": sys.argv[2]}
report = server.watch_child(task, os.pipe()[0], run)
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
        with pytest.raises(ServerFailed, match="ended while it loaded PyTorch"):
            server.worker()
        server.close()


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
        state.load(other, state.pack(model))
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
        state.load(other, state.pack(model))
        assert torch.equal(other.table, model.table)
        (entry,) = state.unpack(state.pack(model))
        assert (entry.name, entry.kind, entry.numbers) == ("table", "buffer", numbers)

    @pytest.mark.parametrize("other, reason", [(nn.Linear(3, 4), "not the one"), (nn.Sequential(), "it lacks")])
    def test_of_another_model_are_refused(self, other, reason):
        with pytest.raises(ValueError, match=f"(?s)rebuilt in a new process.*{reason}"):
            state.load(other, state.pack(nn.Linear(3, 2)))

    def test_of_a_buffer_whose_shape_follows_the_batch_are_left_alone(self):
        model, other = nn.Module(), nn.Module()
        model.register_buffer("potential", torch.ones(64))
        other.register_buffer("potential", torch.zeros(10))
        state.load(other, state.pack(model))
        assert not other.potential.any()
