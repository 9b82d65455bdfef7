"""--choose FILE.csv: which file, and which model in it, a teacher takes for a student."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mnist_efficient_model import USAGE, ChallengeError

COLUMNS = "student, path[:NAME]"
FILE_BYTES = 4 << 20


@dataclass(frozen=True)
class Choice:
    """A file of code, relative to the submission, and a class or function in it, if it holds several."""

    path: str
    name: str | None = None


def read_choices(path: Path) -> dict[str, Choice]:
    """The choices in a CSV file, by student: two columns, with or without a first line that begins ``student,path``.

    Raises ChallengeError (status 2) for a file that cannot be read, or a line that is no choice.
    """
    try:
        content = path.read_bytes()
        rows = list(csv.reader(io.StringIO(content[:FILE_BYTES].decode("utf-8-sig"), newline=""), strict=True))
    except OSError as error:
        raise ChallengeError(f"--choose: cannot read {path}: {error.strerror}", USAGE) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ChallengeError(f"--choose: {path} is no CSV file in UTF-8: {error}", USAGE) from error
    found: dict[str, Choice] = {}
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and is_header(cells)):
            continue
        if len(cells) != 2 or not all(cells):
            raise ChallengeError(f"--choose: {path}, row {number}: there must be two columns, {COLUMNS}", USAGE)
        student, text = row[0], cells[1]
        if student in found:
            raise ChallengeError(f"--choose: {path}, row {number}: {student} is there twice", USAGE)
        found[student] = to_choice(text, f"--choose: {path}, row {number}")
    return found


def is_header(cells: list[str]) -> bool:
    return len(cells) == 2 and cells[0].lower() == "student" and cells[1].lower().startswith("path")


def to_choice(text: str, where: str) -> Choice:
    """``path`` or ``path:NAME`` as a choice; raises ChallengeError."""
    found = re.fullmatch(r"(.+\.(?:py|ipynb))(?::(\w+))?", text, re.DOTALL)
    if not found:
        raise ChallengeError(f"{where}: {text!r} is no file of code: write path.py or path.py:NAME", USAGE)
    return Choice(str(PurePosixPath(found[1].replace("\\", "/"))), found[2])


def check_students(choices: Mapping[str, Choice], students: Collection[str]) -> None:
    """Raise ChallengeError (status 2) where a choice is for nobody who is there."""
    for student in choices:
        if student not in students:
            near = difflib.get_close_matches(student, students, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise ChallengeError(f"--choose: there is no submission {student}{hint}", USAGE)
