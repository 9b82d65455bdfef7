"""What several tests share: small data that a network learns at once, and ways to run a command."""

import functools
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import mnist_efficient_model as challenge

ROOT = Path(challenge.__file__).parent
only_in_ci = pytest.mark.skipif(not os.environ.get("CI"), reason="takes long: only where CI is set, as in .ci/run")
LINEAR = """import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.view(-1, 784))
"""


def write_idx(path: Path, array: np.ndarray) -> None:
    """An independent writer of the IDX format: magic 0, 0, 8 (bytes), dimensions, big-endian sizes, data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@functools.cache
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


def expectation(attack: Path) -> tuple[str, str]:
    """The verdict due to an attack, and words of its reason, as its first line has them."""
    text = (attack if attack.is_file() else attack / "model.py").read_text()
    status, words = text.split("\n")[0].removeprefix("# expect ").split(": ", 1)
    return status, words


def copy_project(folder: Path, *names: str) -> None:
    """Copy files and packages of the project into a new folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)


def a_result(**facts) -> challenge.Result:
    """A result of which nothing but these facts is known."""
    return challenge.Result(**dict.fromkeys(challenge.Result.__dataclass_fields__) | facts)


def in_this_process(main: Callable[..., int]) -> Callable[..., int]:
    def run(*arguments: object) -> int:
        try:
            return main([str(argument) for argument in arguments])
        except SystemExit as stop:  # of --help, --version and usage errors
            return stop.code or 0

    return run
