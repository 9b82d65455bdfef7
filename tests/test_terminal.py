"""What a person at a terminal sees: figures before the bar, one bar for a command, answers without a wait, no colour
that is not wanted; and the same on systems that lack what Linux has."""

import contextlib
import itertools
import json
import os
import re
import struct
import subprocess
import sys
import time

import pytest

import mnist_efficient_model as challenge

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
pytest.importorskip("tqdm", reason="draws the bar")

CLOCK = r"\d\d:\d\d<(\?|\d\d:\d\d)"
FOUR = """import sys, mnist_efficient_model as m
names = "lightweight_no_attention lightweight_experts lightweight_conv tiny_learned"
m.MODELS = {name: m.MODELS[name] for name in names.split()}
sys.exit(m.main(sys.argv[1:]))"""


@pytest.fixture
def terminal(places):
    """Run the script, or other code, at a terminal of 80 columns; returns (status, all that it wrote)."""

    def terminal(*arguments: object, code: str = "", resize: int = 0, **environment: str) -> tuple[int, str]:
        def set_columns(columns: int) -> None:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        master, slave = pty.openpty()
        set_columns(80)
        environment = {"PYTHONPATH": str(challenge.HERE), **environment}
        environment |= {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
        program = ["-c", code] if code else [challenge.__file__]
        command = [sys.executable, *program, *places, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        written, ended = b"", False
        with contextlib.suppress(OSError):  # EIO: the other end is closed, once no process has it open
            while not ended:
                ended = process.poll() is not None
                os.set_blocking(master, False)
                with contextlib.suppress(BlockingIOError):
                    while content := os.read(master, 1 << 16):
                        written += content
                if resize and b"loss" in written:
                    set_columns(resize)
                time.sleep(0.01)
        os.close(master)
        os.close(slave)
        return process.wait(), written.decode()

    return terminal


def frames(written: str) -> list[str]:
    """The states of the bar, in order."""
    pieces = re.findall(r"\r([^\r\n]+)(?=\r(?!\n))", written)  # what a carriage return begins and another ends
    return [frame.rstrip() for frame in pieces if not frame.isspace()]


class TestTheBar:
    def test_of_a_run_shows_loss_and_accuracy_first_at_any_width(self, terminal):
        status, written = terminal("--batch-size", 4, "--lr", 0.01, resize=62)
        first, *later = frames(written)
        assert status == 0 and first.startswith("starting, 0/2000 images")
        for frame in later:
            assert re.fullmatch(rf"loss \d\.\d{{3}}, accuracy \d+\.\d%, \d+/2000 images \|.*\| {CLOCK}", frame), frame
        widths = [len(frame) for frame in later]
        assert len(widths) >= 20 and widths[0] == 79 and widths[-1] == 61, "it follows the window"

    @pytest.mark.parametrize(
        "arguments, code, runs",
        [
            (("--seeds", 4, "--jobs", 2, "--batch-size", 16), "", 4),
            (("--model", "all", "--jobs", 4, "--batch-size", 64), FOUR, 4),
        ],
    )
    def test_of_several_runs_is_one_and_counts_those_that_are_done(self, terminal, arguments, code, runs):
        status, written = terminal(*arguments, code=code)
        assert status == 0 and written.startswith("Model ")
        assert re.search(r"^Device   cpu, 4 runs, \d at a time, one thread each\r$", written, flags=re.M)
        counts = []
        for frame in frames(written):
            found = re.search(rf"(\d)/{runs} runs\b.* {CLOCK}$", frame)
            assert found and len(frame) < 80, f"the count or the clock is cut off: {frame}"
            counts.append(int(found[1]))
        assert counts == sorted(counts) and set(range(runs)) <= set(counts) | {0}
        assert len(re.findall(r"\r\[\d/4\] \w+, seed \d: ", written)) == runs, "each line stands where the bar was"
        assert "\033[32mPASS\033[0m" in written

    def test_is_not_drawn_where_it_must_be_quiet(self, terminal):
        status, written = terminal("--seeds", 2, "--quiet", "--batch-size", 16, NO_COLOR="1")
        lines = written.split("\r\n")
        assert status == 0 and "\r" not in "".join(lines) and "\033" not in written
        assert [line[:5] for line in lines] == ["[1/2]", "[2/2]", "2 of ", ""]

    def test_is_not_drawn_off_a_terminal(self, on_fashion):
        assert on_fashion()[2] == ""


def test_a_result_prints_as_the_block_of_the_run(on_fashion, tmp_path):
    _, out, _ = on_fashion()
    header, block = out.split("\n\n")
    assert header.startswith("Model    efficient\nData     fashion (NOT MNIST), 2,000 training and 500 test images\n")
    result = challenge.Result(**json.loads((tmp_path / "results" / "efficient-fashion.json").read_text()))
    assert str(result) == repr(result) == block.rstrip("\n")
    assert block.startswith("RESULTS") and all(len(line) <= 80 for line in block.splitlines()[:-2])


class TestAnswersAtOnce:
    """Without any package, -S: what needs seconds to import is not imported."""

    @pytest.mark.parametrize(
        "arguments, status, words",
        [
            (["--help"], 0, "exit status: 0 limits hold"),
            (["--version"], 0, f"mnist_efficient_model.py {challenge.__version__}"),
            (["--seeds", "none"], 2, "invalid int value: 'none'"),
            ([], 4, "pip install torch"),
        ],
    )
    def test_need_neither_torch_nor_numpy(self, arguments, status, words):
        done = subprocess.run([sys.executable, "-S", challenge.__file__, *arguments], capture_output=True, text=True)
        assert done.returncode == status and words in " ".join((done.stdout + done.stderr).split())

    def test_help_fits_80_columns(self, command, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        status, out, _ = command("--help")
        assert status == 0 and max(map(len, out.splitlines())) <= 80


class TestTheListOfModels:
    @pytest.mark.parametrize("option", ["--list-models", "--model"])
    @pytest.mark.parametrize("columns", [60, 80, 160])
    def test_has_a_header_and_fits_the_terminal(self, command, monkeypatch, option, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        status, out, err = command(option)
        header, *lines = out.splitlines()
        assert (status, err, header.split()) == (0, "", ["model", "parameters", "idea"])
        assert max(map(len, lines)) <= columns
        rows = [line.split() for line in lines if line[0] != " "]
        assert [row[0] for row in rows] == list(challenge.MODELS) and rows[0][:2] == ["efficient", "8,706"]
        for name in ("efficient", "csnn"):
            assert challenge.MODELS[name].idea in " ".join(out.split()), "wrapped, not cut"

    @pytest.mark.parametrize(
        "typed, meant",
        [("eficient", "efficient?"), ("resnt", "resnet?"), ("mlp_larg", "mlp_large?"), ("zzz", "a name of --list")],
    )
    def test_near_names_and_only_near_ones_are_suggested(self, command, typed, meant):
        status, _, err = command("--model", typed)
        assert status == 2 and f"unknown model {typed!r}: did you mean {meant}" in err


LACK = """import os, signal, sys
for module, name in ((signal, "SIGKILL"), (os, "sched_getaffinity"), (os, "fork")):
    vars(module).pop(name, None)
sys.modules["resource"] = None
sys.platform = "elsewhere"
"""


@pytest.mark.parametrize("seeds", [1, 2])
def test_works_where_signals_affinity_resource_and_fork_are_missing(start, tmp_path, seeds):
    (tmp_path / "lack").mkdir()
    (tmp_path / "lack" / "sitecustomize.py").write_text(LACK)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "lack")}
    process = start("--batch-size", 16, "--seeds", seeds, "--json", env=environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    document = json.loads(out)
    runs = document.get("runs", [document])
    assert [run["passed"] for run in runs] == [True] * seeds and runs[0]["peak_memory_mb"] is None
    assert "Traceback" not in err


def test_what_is_written_grows_with_the_runs_not_with_their_square(on_fashion, tmp_path, monkeypatch):
    """Bytes of JSON written for 16 runs, against those that stay: each run anew would be 8.5 times as many."""
    replace, written = os.replace, []

    def count(source, target):
        if str(target).endswith(".json"):
            written.append(os.path.getsize(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", count)
    assert on_fashion("--seeds", 16, "--batch-size", 100, "--quiet")[0] in (0, 1)
    (log,) = (tmp_path / "results").glob("*.json")
    assert len(json.loads(log.read_text())["runs"]) == 16
    assert sum(written) <= 4 * log.stat().st_size
    assert all(earlier <= later for earlier, later in itertools.pairwise(written))
