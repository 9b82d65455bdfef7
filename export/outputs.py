"""The files that an export writes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mnist_efficient_model as challenge
from mnist_efficient_model import MACHINE_ERROR, ChallengeError


def check_writable(path: Path) -> None:
    """Raise ChallengeError (status 4) now, not after minutes of work, when ``path`` cannot be written."""
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ChallengeError(f"cannot write {path}: {error.strerror or error}", MACHINE_ERROR) from error


def write(outputs: dict[Path, tuple[bytes, str]]) -> None:
    """Write files, all or none, each with a word on what it is, and say so; ChallengeError (status 4) if one fails."""
    try:
        challenge.write_files({path: content for path, (content, _) in outputs.items()})
    except OSError as error:
        name = error.filename or " and ".join(map(str, outputs))
        raise ChallengeError(f"cannot write {name}: {error.strerror or error}", MACHINE_ERROR) from error
    for path, (content, what) in outputs.items():
        print(f"{path}: {what}, {len(content):,} bytes")
