"""The fixtures that several tests share."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mnist_efficient_model as challenge
from grading import __main__ as grading_command
from grading import check, pool
from grading.sandbox.server import ForkServer
from helpers import drawings, in_this_process, write_small_fashion

collect_ignore = ["class", "door"]  # what students hand in, some with tests of their own

# PyTorch refuses to train in a forked process if torch.export came before this process's first backward pass.
torch.ones(1, requires_grad=True).backward()


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 2,000 and 500 easy digits in FashionMNIST's place."""
    folder = tmp_path_factory.mktemp("data")
    write_small_fashion(folder)
    return folder


@pytest.fixture
def fashion_dir(tmp_path: Path) -> Path:
    """The same in the test's own folder, to be changed there."""
    write_small_fashion(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def on_digits(digits: Path) -> tuple[object, ...]:
    return ("--dataset", "fashion", "--data-dir", digits, "--seeds", 1)


@pytest.fixture(scope="session")
def warm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """A fork server that has loaded PyTorch."""
    server = ForkServer(tmp_path_factory.mktemp("server"))
    yield server
    ForkServer.close(server)


@pytest.fixture
def grade_here(warm_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``python -m grading`` in this process, with the warm server; returns the exit status."""
    monkeypatch.setattr(pool, "ForkServer", lambda folder: warm_server)
    monkeypatch.setattr(warm_server, "close", lambda: None)
    return in_this_process(grading_command.main)


@pytest.fixture
def check_here(grade_here: Callable[..., int]) -> Callable[..., int]:
    """``python -m grading.check``, likewise."""
    return in_this_process(check.main)


@pytest.fixture(name="command")
def run_command(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run the script's command line in this process; returns (status, stdout, stderr)."""
    threads = torch.get_num_threads()
    yield lambda *arguments: (in_this_process(challenge.main)(*arguments), *capsys.readouterr())
    torch.set_num_threads(threads)


@pytest.fixture
def places(digits: Path, tmp_path: Path) -> list[str]:
    """The arguments that lead a command to the small FashionMNIST, and its results to tmp_path/results."""
    return ["--dataset", "fashion", "--data-dir", str(digits), "--results-dir", str(tmp_path / "results")]


@pytest.fixture
def on_fashion(command, places) -> Callable[..., tuple[int, str, str]]:
    """Run the command line there, in this process; returns (status, stdout, stderr)."""
    return lambda *arguments: command(*places, "--batch-size", 16, *arguments)


@pytest.fixture
def start(places: list[str]) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start the script there as a process of its own, which ends with the test."""
    started = []

    def start(*more: object, **named) -> subprocess.Popen:
        command = [sys.executable, "-u", challenge.__file__, *places, *map(str, more)]
        named = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **named}
        started.append(subprocess.Popen(command, **named))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium."""
    try:
        driver = drawings.open_browser(tmp_path_factory.mktemp("chromium"))
    except RuntimeError as missing:
        pytest.skip(str(missing))
    yield driver
    driver.quit()
