"""What a student handed in, as bytes, and the file in it that holds the model. Executes nothing and follows no link."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grading import source
from mnist_efficient_model import USAGE, ChallengeError

SOURCE_BYTES, ALL_SOURCE_BYTES = 1 << 19, 4 << 20  # of one file of code, and of all of a student's
SETTINGS_FILES = {".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".csv"}  # read by some models
SETTINGS_BYTES = 2000
FILES, DEPTH = 5_000, 40  # in one submission, more are no model
SKIPPED_FOLDERS = {"__pycache__", "__MACOSX", "node_modules", "venv", "env", "site-packages"}
NOT_CODE = "is not code: a model starts untrained, and learns in its one epoch only"


@dataclass
class Submission:
    """A student's code. Nothing here has been executed."""

    student: str
    main: str = ""  # the model's file, relative to the folder
    files: dict[str, bytes] = field(default_factory=dict)  # code and short settings, by relative name
    omitted: dict[str, str] = field(default_factory=dict)  # all else, with what to say to a model that wants it
    problem: tuple[str, str] | None = None  # status and reason, if there is nothing to run

    def digest(self) -> str:
        """Changes with anything that could change the grade."""
        found = hashlib.sha256(repr((self.student, self.main, sorted(self.omitted), self.problem)).encode())
        for name in sorted(self.files):
            found.update(f"\0{name}\0{len(self.files[name])}\0".encode() + self.files[name])
        return found.hexdigest()


def to_text(name: str) -> str:
    """A file's name as text that can be encoded, different for different bytes."""
    return os.fsencode(name).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def find_submissions(path: Path, excluded: Collection[Path] = (), alone: bool = False) -> list[Submission]:
    """One submission per entry of the folder ``path``; a file, or a folder with a model.py, is one by itself.

    ``excluded`` are folders that may lie among them (results, data). Raises ChallengeError (status 2) when there is
    nothing to grade, or the folder cannot be read.
    """
    if not path.exists():
        raise ChallengeError(f"{path} does not exist", USAGE)
    if alone or path.is_file() or any((path / name).is_file() for name in ("model.py", "src/model.py")):
        return [read_submission(path, to_text(path.resolve().name).removesuffix(".py"))]
    skipped = {folder.resolve() for folder in excluded}
    if path.resolve() in skipped:
        raise ChallengeError(
            f"{path} is where results or data go: put the submissions into a folder of their own", USAGE
        )
    try:
        entries = sorted(path.iterdir(), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise ChallengeError(f"cannot read {path}: {error.strerror}", USAGE) from error
    entries = [e for e in entries if not e.name.startswith(".") and e.name not in SKIPPED_FOLDERS]
    entries = [entry for entry in entries if entry.is_symlink() or entry.resolve() not in skipped]
    if not entries:
        raise ChallengeError(f"{path} holds no submissions: put one file or folder per student there", USAGE)
    return [read_submission(e, student) for e, student in zip(entries, names([e.name for e in entries]), strict=True)]


def names(entries: list[str]) -> list[str]:
    """The students' names, all different: without ``.py``, unless two would be the same (alice.py beside alice/)."""
    short = [to_text(name).removesuffix(".py") for name in entries]
    found = [text if short.count(text) == 1 else to_text(name) for name, text in zip(entries, short, strict=True)]
    return found if len(set(found)) == len(found) else [to_text(name) for name in entries]


def read_submission(path: Path, student: str) -> Submission:
    """Read a submission's code; what is wrong with it becomes its ``problem``."""
    found = Submission(student)
    name = to_text(path.name)
    try:
        if path.is_symlink():
            found.problem = ("rejected", f"{name} is a link, and links are not followed: hand in the file itself")
        elif path.is_dir():
            read_folder(found, path)
        elif path.is_file() and path.suffix in (".py", ".ipynb"):
            add_file(found, path, name)
        else:
            found.problem = ("invalid", f"{name} is neither a folder nor a .py file: hand in model.py")
    except OSError as error:
        found.problem = ("machine_error", f"cannot read {name}: {error.strerror or error}")
    if not found.problem:
        found.main, found.problem = choose_main(found)
    return found


def read_folder(found: Submission, root: Path) -> None:
    """Read all that a folder holds, hidden files and the folders of tools left out; raises OSError."""
    size = 0
    for path, name in walk(root):
        if path.is_symlink():
            outwards = not Path(os.path.realpath(path)).is_relative_to(root.resolve())
            if outwards and (path.is_dir() or path.suffix == ".py"):
                found.problem = ("rejected", f"{name} is a link out of the folder: hand in the file itself")
                return
        elif path.is_file():
            size += add_file(found, path, name)
        if len(found.files) + len(found.omitted) > FILES or size > ALL_SOURCE_BYTES:
            found.problem = ("rejected", "the folder holds far more than a model's code: hand in the code only")
            return


def walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Files and links below a folder with their relative names, at most DEPTH folders down. Raises OSError."""
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
            if entry.name.startswith("."):
                continue
            name = prefix + to_text(entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), name
            elif entry.name not in SKIPPED_FOLDERS and name.count("/") < DEPTH:
                waiting.append((Path(entry.path), f"{name}/"))


def add_file(found: Submission, path: Path, name: str) -> int:
    """Read one file where it is code or short settings; returns the bytes read."""
    size = path.stat().st_size
    if path.suffix != ".py" and (path.suffix not in SETTINGS_FILES or size > SETTINGS_BYTES):
        found.omitted[name] = NOT_CODE
    elif size > SOURCE_BYTES:
        found.omitted[name] = f"is {size / 1e6:,.1f} MB long, where a file of code may have 0.5 MB"
    else:
        found.files[name] = path.read_bytes()
        return size
    return 0


def choose_main(found: Submission) -> tuple[str, tuple[str, str] | None]:
    """The file that holds the model, or the problem that there is none.

    A model.py at the top or in src/; else the only one; else the only file; else the only one that defines a module.
    """
    code = [name for name in (*found.files, *found.omitted) if name.endswith(".py")]
    named = sorted((name for name in code if Path(name).name == "model.py"), key=lambda name: (name.count("/"), name))
    for choice in ("model.py", "src/model.py"):
        if choice in named:
            return with_problem(found, choice)
    defining = sorted(source.module_files(found.files)) if len(code) > 1 and not named else []
    for choices in (named, code, defining):
        if len(choices) == 1:
            return with_problem(found, choices[0])
    if not code and any(name.endswith(".ipynb") for name in found.omitted):
        return "", ("invalid", "it is a notebook: put the model into a file model.py")
    if not code:
        return "", ("invalid", "there is no model.py, nor any other Python file")
    listed = ", ".join((named or defining or code)[:5])
    return "", ("invalid", f"which of these is the model? {listed}: call it model.py, at the top")


def with_problem(found: Submission, main: str) -> tuple[str, tuple[str, str] | None]:
    return main, ("rejected", f"{main} {found.omitted[main]}") if main in found.omitted else None
