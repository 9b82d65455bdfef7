"""What a person at a terminal sees: figures before the bar, one bar for a command, answers without a wait, no colour
that is not wanted; and the same on systems that lack what Linux has."""

import contextlib
import dataclasses
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
from helpers import easy_split

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
pytest.importorskip("tqdm", reason="draws the bar")

CLOCK = r"\d\d:\d\d<(\?|\d\d:\d\d)"
COMMANDS = """import json, os, sys, mnist_efficient_model as m
m.MODELS = {name: m.MODELS[name] for name in ("efficient", "lightweight_conv")}
for words in json.loads(sys.argv[1]):
    os.environ.update({"NO_COLOR": "1"} if "--quiet" in words else {})
    print("status", m.main(words))
"""


@pytest.fixture(scope="module")
def written(digits, tmp_path_factory) -> list[str]:
    """What three commands write to a terminal of 80 columns, which shrinks to 62 while the first trains."""
    master, slave = pty.openpty()
    set_columns = lambda n: fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, n, 0, 0))  # noqa: E731
    set_columns(80)
    common = ["--dataset", "fashion", "--data-dir", str(digits), "--results-dir", str(tmp_path_factory.mktemp("out"))]
    commands = [
        [*common, "--batch-size", "4", "--lr", "0.01"],
        [*common, "--batch-size", "16", "--model", "all", "--seeds", "2", "--jobs", "2"],
        [*common, "--batch-size", "16", "--seeds", "2", "--quiet"],
    ]
    unset = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    streams, command = dict.fromkeys(("stdin", "stdout", "stderr"), slave), [sys.executable, "-c", COMMANDS]
    environment = {**unset, "PYTHONPATH": str(challenge.HERE)}
    process = subprocess.Popen([*command, json.dumps(commands)], env=environment, **streams)
    os.set_blocking(master, False)
    content, ended = b"", False
    while not ended:
        ended = process.poll() is not None
        with contextlib.suppress(BlockingIOError):
            while more := os.read(master, 1 << 16):
                content += more
        if b"loss" in content:
            set_columns(62)
        time.sleep(0.01)
    os.close(master)
    os.close(slave)
    *sections, rest = re.split(r"status 0\r\n", content.decode())
    assert len(sections) == 3 and not rest, content.decode()
    return sections


def frames(written: str) -> list[str]:
    """The states of the bar, in order."""
    pieces = re.findall(r"\r([^\r\n]+)(?=\r(?!\n))", written)  # what a carriage return begins and another ends
    return [frame.rstrip() for frame in pieces if not frame.isspace()]


class TestTheBar:
    def test_of_a_run_shows_loss_and_accuracy_first_at_any_width(self, written):
        first, *later = frames(written[0])
        assert first.startswith("starting, 0/2000 images")
        for frame in later:
            assert re.fullmatch(rf"loss \d\.\d{{3}}, accuracy \d+\.\d%, \d+/2000 images \|.*\| {CLOCK}", frame), frame
        widths = [len(frame) for frame in later]
        assert len(widths) >= 20 and widths[0] == 79 and widths[-1] == 61, "it follows the window"

    def test_of_several_runs_is_one_and_counts_those_that_are_done(self, written):
        assert written[1].startswith("Model ")
        assert re.search(r"^Device   cpu, 4 runs, 2 at a time, one thread each\r$", written[1], flags=re.M)
        counts = []
        for frame in frames(written[1]):
            found = re.search(rf"(\d)/4 runs\b.* {CLOCK}$", frame)
            assert found and len(frame) < 62, f"the count or the clock is cut off: {frame}"
            counts.append(int(found[1]))
        assert counts == sorted(counts) and set(range(4)) <= set(counts) | {0}
        assert len(re.findall(r"\r\[\d/4\] \w+, seed \d: ", written[1])) == 4, "each line stands where the bar was"
        assert "\033[32mPASS\033[0m" in written[1]

    def test_is_not_drawn_where_it_must_be_quiet(self, written):
        lines = written[2].split("\r\n")
        assert "\r" not in "".join(lines) and "\033" not in written[2]
        assert [line[:5] for line in lines] == ["[1/2]", "[2/2]", "2 of ", ""]


def test_a_result_prints_as_the_block_of_the_run_and_no_bar_is_drawn_off_a_terminal(on_fashion, tmp_path):
    _, out, err = on_fashion()
    header, block = out.split("\n\n")
    assert err == ""
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
    def test_need_neither_torch_nor_numpy_and_fit_80_columns(self, arguments, status, words):
        command = [sys.executable, "-S", challenge.__file__, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"})
        assert done.returncode == status and words in " ".join((done.stdout + done.stderr).split())
        assert all(len(line) <= 80 for line in done.stdout.splitlines())


class TestTheListOfModels:
    @pytest.mark.parametrize("option, columns", [("--list-models", 60), ("--model", 80), ("--model", 160)])
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


def test_works_where_signals_affinity_resource_and_fork_are_missing(start, tmp_path):
    (tmp_path / "lack").mkdir()
    (tmp_path / "lack" / "sitecustomize.py").write_text(LACK)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "lack")}
    process = start("--batch-size", 16, "--seeds", 2, "--json", env=environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err, err
    assert [(run["passed"], run["peak_memory_mb"]) for run in json.loads(out)["runs"]] == [(True, None)] * 2


def test_what_is_written_grows_with_the_runs_not_with_their_square(on_fashion, tmp_path, monkeypatch):
    """Bytes of JSON written for 16 runs, against those that stay: each run anew would be 8.5 times as many."""
    made, model = challenge.run("efficient", challenge.Dataset("fashion", easy_split(200), easy_split(100), "test"))
    monkeypatch.setattr(challenge, "run", lambda *run, **_: (dataclasses.replace(made, seed=run[3]), model))
    replace, written = os.replace, []

    def count(source, target):
        written.append(os.path.getsize(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", count)
    assert on_fashion("--seeds", 16, "--quiet", "--lr", 0.001)[0] in (0, 1)
    log = tmp_path / "results" / "efficient-fashion.json"
    assert len(json.loads(log.read_text())["runs"]) == 16
    assert sum(written) <= 4 * log.stat().st_size
    assert all(earlier <= later for earlier, later in itertools.pairwise(written[1:])), "after the trial"
