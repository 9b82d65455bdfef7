"""The files that an export writes: regular files, none of which it also reads."""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

import mnist_efficient_model as challenge
from mnist_efficient_model import MACHINE_ERROR, USAGE, ChallengeError

HERE = Path(__file__).resolve().parent


def files_read(checkpoint: str, model_file: str | None, data_dir: str | None) -> Iterable[Path]:
    """Every file that an export may read: the checkpoint, the model's file, the data and this project's own code."""
    data = Path(data_dir or challenge.default_data_dir())
    yield Path(checkpoint)
    if model_file:
        yield challenge.split_file(model_file)[0]
    yield from (Path(challenge.__file__), challenge.STROKES, *HERE.iterdir(), *(data / "strokes").glob("*"))
    for folder in filter(None, challenge.DATASETS.values()):
        yield from (data / folder / "raw").glob("*")


def check_outputs(outputs: dict[str, Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs (option -> file) now, not after minutes of work.

    Raises ChallengeError: 2 for an output that is an input, another output or a checkpoint, and 4 for one that cannot
    be written.
    """
    inputs = list(inputs)
    for option, path in outputs.items():
        for read in inputs:
            if same_file(path, read):
                raise ChallengeError(f"--{option} {path} would replace {read}, which is read", USAGE)
        if os.path.realpath(path).endswith(".pth"):  # `--compare a.pth b.pth` names an output by mistake
            raise ChallengeError(f"--{option} {path}: a file that ends in .pth is a checkpoint, never an output", USAGE)
    for (option, path), (other, other_path) in itertools.combinations(outputs.items(), 2):
        if same_file(path, other_path):
            raise ChallengeError(f"--{option} and --{other} would write the same file, {path}", USAGE)
    for path in outputs.values():
        check_writable(path)


def same_file(a: Path, b: Path) -> bool:
    """Whether two paths lead to one file, by another spelling, a link or a hard link too; it need not exist yet."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return os.path.realpath(a) == os.path.realpath(b)


def check_writable(path: Path) -> None:
    """Raise ChallengeError (status 4) unless ``path``, or what it links to, is or can become a regular file."""
    target = Path(os.path.realpath(path))
    try:
        try:
            mode = target.stat().st_mode
            if not stat.S_ISREG(mode):
                raise OSError(0, "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
        except FileNotFoundError:
            pass
        folder = next(parent for parent in target.parents if parent.exists())
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ChallengeError(f"cannot write {path}: {error.strerror or error}", MACHINE_ERROR) from error


def write(outputs: dict[Path, tuple[bytes, str]]) -> None:
    """Write files, each with a word on what it is, and say so. Raises OSError."""
    for path, (content, what) in outputs.items():
        challenge.write_file(path, content)
        print(f"{path}: {what}, {len(content):,} bytes")
