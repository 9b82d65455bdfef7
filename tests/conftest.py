"""What the tests share: small IDX files of digits that a network learns at once, and the script run on them."""

import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import drawings
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mnist_efficient_model as challenge
from grading import __main__ as grading_command
from grading import check, pool
from grading.sandbox.server import ForkServer

LINEAR = """import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.view(-1, 784))
"""
collect_ignore = ["class", "door"]  # what students hand in, some with tests of their own


def expectation(attack: Path) -> tuple[str, str]:
    """The verdict due to an attack, and words of its reason, as its first line has them."""
    text = (attack if attack.is_file() else attack / "model.py").read_text()
    status, words = text.split("\n")[0].removeprefix("# expect ").split(": ", 1)
    return status, words


def write_idx(path: Path, array: np.ndarray) -> None:
    """An independent writer of the IDX format: magic 0, 0, 8 (bytes), dimensions, big-endian sizes, data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def easy_digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n images whose class is the place of a bright bar, with noise: (n, 28, 28) and (n,) uint8."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    images = random.integers(0, 60, (n, 28, 28))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(label, 5)
        image[4 + 12 * row : 12 + 12 * row, 3 + 5 * column : 6 + 5 * column] = 250
    return images.astype(np.uint8), labels.astype(np.uint8)


def easy_split(n: int, seed: int = 0) -> challenge.Split:
    images, labels = easy_digits(n, seed)
    return challenge.Split(torch.from_numpy(images), torch.from_numpy(labels).long())


def write_small_fashion(data_dir: Path, sizes: tuple[int, int] = (2000, 500)) -> None:
    """A small FashionMNIST (training and test images), whose sums are not pinned as MNIST's are."""
    for seed, (split, n) in enumerate(zip(("train", "t10k"), sizes, strict=True)):
        images, labels = easy_digits(n, seed)
        write_idx(data_dir / "FashionMNIST" / "raw" / f"{split}-images-idx3-ubyte", images)
        write_idx(data_dir / "FashionMNIST" / "raw" / f"{split}-labels-idx1-ubyte", labels)


@pytest.fixture
def fashion_dir(tmp_path: Path) -> Path:
    write_small_fashion(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 2,000 and 500 easy digits in FashionMNIST's place."""
    folder = tmp_path_factory.mktemp("data")
    write_small_fashion(folder)
    return folder


@pytest.fixture(scope="session")
def on_digits(digits: Path) -> tuple[object, ...]:
    return ("--dataset", "fashion", "--data-dir", digits, "--seeds", 1)


@pytest.fixture(scope="session")
def warm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """A fork server that has loaded PyTorch."""
    server = ForkServer(tmp_path_factory.mktemp("server"))
    yield server
    ForkServer.close(server)


def in_this_process(main: Callable[..., int]) -> Callable[..., int]:
    def run(*arguments: object) -> int:
        try:
            return main([str(argument) for argument in arguments])
        except SystemExit as stop:  # of a usage error
            return stop.code

    return run


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
def run_command(capsys: pytest.CaptureFixture[str]):
    """Run the script's command line in this process; returns (status, stdout, stderr)."""
    threads = torch.get_num_threads()

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = challenge.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse ends --help, --version and usage errors this way
            status = stop.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    yield run
    torch.set_num_threads(threads)


@pytest.fixture
def places(fashion_dir: Path, tmp_path: Path) -> list[str]:
    """The arguments that lead a command to the small FashionMNIST, and its results to tmp_path/results."""
    return ["--dataset", "fashion", "--data-dir", str(fashion_dir), "--results-dir", str(tmp_path / "results")]


@pytest.fixture
def on_fashion(command, places):
    """Run the command line there, in this process; returns (status, stdout, stderr)."""
    return lambda *arguments: command(*places, "--batch-size", 16, *arguments)


@pytest.fixture
def start(places: list[str]):
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
