"""What a student handed in, as bytes, and the file in it that holds the model. Executes nothing and follows no link."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from grading import finding, source
from grading.choices import Choice, check_students
from grading.notebook import NOTEBOOK_CODE, notebook_code
from grading.sandbox.isolation import ROOT
from mnist_efficient_model import USAGE, ChallengeError

SOURCE_BYTES, ALL_SOURCE_BYTES = 1 << 19, 4 << 20  # of one file of code, and of all of a student's
NOTEBOOK_BYTES = 64 << 20  # of a student's notebooks, with their outputs
SETTINGS_FILES = {".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".csv"}  # read by some models
SETTINGS_BYTES = 2000
FILES, DEPTH = 5_000, 40  # in one submission, more are no model
SKIPPED_FOLDERS = {"__pycache__", "__MACOSX", "node_modules", "venv", "env", "site-packages"}
NOT_CODE = "is not code: a model starts untrained, and learns in its one epoch only"


@dataclass
class Submission:
    """A student's code. Nothing here has been executed."""

    student: str
    candidates: list[str] = field(default_factory=list)  # the files that may hold the model, relative to the folder
    name: str | None = None  # of the model in its file, where a teacher chose it
    files: dict[str, bytes] = field(default_factory=dict)  # code and short settings, by relative name
    omitted: dict[str, str] = field(default_factory=dict)  # all else, with what to say to a model that wants it
    problem: tuple[str, str] | None = None  # status and reason, if there is nothing to run

    def digest(self) -> str:
        """Changes with anything that could change the grade."""
        found = hashlib.sha256(
            repr((self.student, self.candidates, self.name, sorted(self.omitted), self.problem)).encode()
        )
        for name in sorted(self.files):
            found.update(f"\0{name}\0{len(self.files[name])}\0".encode() + self.files[name])
        return found.hexdigest()


def to_text(name: str) -> str:
    """A file's name as text that can be encoded, different for different bytes."""
    return os.fsencode(name).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def find_submissions(
    path: Path, excluded: Collection[Path] = (), alone: bool = False, choices: Mapping[str, Choice] | None = None
) -> list[Submission]:
    """One submission per entry of the folder ``path``; a file or one student's repository is one by itself.

    ``excluded`` are folders that may lie among them (results, data), ``choices`` the teacher's, by student. Raises
    ChallengeError (status 2) when there is nothing to grade, the folder cannot be read, or a choice fits nothing.
    """
    choices = choices or {}
    if not path.exists():
        raise ChallengeError(f"{path} does not exist", USAGE)
    skipped = {folder.resolve() for folder in (*excluded, Path(ROOT))}
    if alone or path.is_file() or is_repository(path):
        student = to_text(path.resolve().name).removesuffix(".py")
        return [read_submission(path, student, skipped, choices.get(student))]
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
    students = names([entry.name for entry in entries])
    check_students(choices, students)
    return [
        read_submission(e, student, skipped, choices.get(student)) for e, student in zip(entries, students, strict=True)
    ]


def is_repository(folder: Path) -> bool:
    """Whether a folder is one student's: it has a model.py, or is a clone (holds .git) and not a folder of clones."""
    if any((folder / name).is_file() for name in ("model.py", "src/model.py")):
        return True
    return (folder / ".git").exists() and not any(folder.glob("*/.git"))


def names(entries: list[str]) -> list[str]:
    """The students' names, all different: without ``.py``, unless two would be the same (alice.py beside alice/)."""
    short = [to_text(name).removesuffix(".py") for name in entries]
    found = [text if short.count(text) == 1 else to_text(name) for name, text in zip(entries, short, strict=True)]
    return found if len(set(found)) == len(found) else [to_text(name) for name in entries]


def read_submission(
    path: Path, student: str, skipped: Collection[Path] = (), choice: Choice | None = None
) -> Submission:
    """Read a submission's code; what is wrong with it becomes its ``problem``. Raises ChallengeError (take_choice)."""
    found, notebooks = Submission(student), {}
    name = to_text(path.name)
    try:
        if path.is_symlink():
            found.problem = ("rejected", f"{name} is a link, and links are not followed: hand in the file itself")
        elif path.is_dir():
            notebooks = read_folder(found, path, skipped)
        elif path.is_file() and path.suffix in (".py", ".ipynb"):
            add_file(found, path, name)
            notebooks = {name: path} if path.suffix == ".ipynb" else {}
        else:
            found.problem = ("invalid", f"{name} is neither a folder nor a .py file: hand in model.py")
        if choice and not found.problem:
            take_choice(found, choice, notebooks)
        elif not found.problem:
            find_model(found, notebooks)
    except OSError as error:
        found.problem = ("machine_error", f"cannot read {name}: {error.strerror or error}")
    return found


def read_folder(found: Submission, root: Path, skipped: Collection[Path]) -> dict[str, Path]:
    """Read all that a folder holds, hidden files and the folders of tools left out; raises OSError.

    Returns the notebooks in it, by their relative names.
    """
    size, notebooks = 0, {}
    for path, name in walk(root, skipped):
        if path.is_symlink():
            outwards = not Path(os.path.realpath(path)).is_relative_to(root.resolve())
            if outwards and (path.is_dir() or path.suffix == ".py"):
                found.problem = ("rejected", f"{name} is a link out of the folder: hand in the file itself")
                break
        elif path.is_file():
            size += add_file(found, path, name)
            if path.suffix == ".ipynb":
                notebooks[name] = path
        if len(found.files) + len(found.omitted) > FILES or size > ALL_SOURCE_BYTES:
            found.problem = ("rejected", "the folder holds far more than a model's code: hand in the code only")
            break
    return notebooks


def walk(root: Path, skipped: Collection[Path] = ()) -> Iterator[tuple[Path, str]]:
    """Files and links below a folder with their relative names, at most DEPTH folders down. Raises OSError.

    The folders ``skipped``, resolved, are left out, since results or this project may lie in a student's repository.
    """
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
            if entry.name.startswith("."):
                continue
            name = prefix + to_text(entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), name
            elif entry.name in SKIPPED_FOLDERS or name.count("/") >= DEPTH:
                continue
            elif Path(entry.path).resolve() not in skipped:
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


def find_model(found: Submission, notebooks: Mapping[str, Path]) -> None:
    """Fill in the files that may hold the model, or the problem that there is none. Raises OSError.

    Where no file of code defines a model, a notebook's code may.
    """
    found.candidates = finding.candidates(found.files, found.omitted)
    if notebooks and not any(is_model(found, name) for name in found.candidates):
        code = read_notebooks(notebooks)
        found.candidates = finding.candidates_of_notebooks(code, bool(found.candidates)) or found.candidates
        found.files |= {name: code[name] for name in found.candidates if name in code}
    if not found.candidates:
        empty = "there is no model.py, nor any other Python file" + (" with a model" if found.files else "")
        found.problem = ("invalid", "it is a notebook without code: put the model there" if notebooks else empty)
    elif (first := found.candidates[0]) in found.omitted:
        found.problem = ("rejected", f"{first} {found.omitted[first]}")


def is_model(found: Submission, name: str) -> bool:
    return PurePosixPath(name).name == "model.py" or name in source.module_files(found.files)


def read_notebooks(notebooks: Mapping[str, Path]) -> dict[str, bytes]:
    """The code of notebooks, as NAME.ipynb.py, of a few megabytes in all; those that are no notebooks left out."""
    found, size = {}, 0
    for name, path in notebooks.items():
        size += path.stat().st_size
        code = notebook_code(path.read_bytes()) if size <= NOTEBOOK_BYTES else None
        if code and len(code) <= SOURCE_BYTES:
            found[name.removesuffix(".ipynb") + NOTEBOOK_CODE] = code
    return found


def take_choice(found: Submission, choice: Choice, notebooks: Mapping[str, Path]) -> None:
    """Take the file that the teacher chose. Raises ChallengeError (status 2) where there is no such file, OSError."""
    name = choice.path
    if name in notebooks:
        found.files |= read_notebooks({name: notebooks[name]})
        name = name.removesuffix(".ipynb") + NOTEBOOK_CODE
    if name not in found.files:
        raise ChallengeError(f"--choose: {found.student} has no file of code {choice.path}", USAGE)
    found.candidates, found.name = [name], choice.name
