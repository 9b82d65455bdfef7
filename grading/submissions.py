"""Which submissions a class has, and which files each consists of. Reads no code, executes nothing, follows no link."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from grading.sandbox.isolation import ROOT

SOURCE_BYTES, ALL_SOURCE_BYTES = 1 << 19, 4 << 20  # of one file of code, and of all of a student's
NOTEBOOK_BYTES = 16 << 20  # of a notebook with its outputs, or an archive; four times that of all
SETTINGS_BYTES = 2000
KINDS = {".py": "code", ".ipynb": "notebook"}
KINDS |= dict.fromkeys(
    (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".csv"), "settings"
)  # of some models
KINDS |= dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"), "archive")
FILES, DEPTH = 5_000, 40  # in one submission, more are no model
SKIPPED_FOLDERS = {"__pycache__", "__MACOSX", "node_modules", "venv", "env", "site-packages"}
NOT_CODE = "is not code: a model starts untrained, and learns in its one epoch only"
CODE_ONLY = "Hand in the code only, without data, environments and results."
BOUNDS = {"code": SOURCE_BYTES, "notebook": NOTEBOOK_BYTES, "archive": NOTEBOOK_BYTES, "settings": SETTINGS_BYTES}


@dataclass
class Submission:
    """A student's files. Nothing in them has been read as code."""

    student: str
    files: list[tuple[str, Path, int]] = field(default_factory=list)  # relative name, place, bytes
    omitted: dict[str, str] = field(default_factory=dict)  # all else, with what to say to a model that wants it
    problem: tuple[str, str, str] | None = None  # status, reason and advice, if there is nothing to run
    content: str = ""  # a digest of the files

    def digest(self) -> str:
        """Changes with anything that could change the grade."""
        return hashlib.sha256(
            repr((self.student, sorted(self.omitted), self.problem, self.content)).encode()
        ).hexdigest()

    def write_bundle(self, path: Path) -> None:
        """Write all files into one, for the child that reads them. Raises OSError."""
        listed = [(name, place, place.stat().st_size) for name, place, _ in self.files]
        code = {name: why for name, why in self.omitted.items() if kind_of(name) in ("code", "notebook", "archive")}
        with open(path, "wb") as bundle:
            head = {"files": [(name, size) for name, _, size in listed], "omitted": code}
            bundle.write(json.dumps(head).encode() + b"\n")
            for _, place, size in listed:
                content = place.read_bytes()[:size]
                bundle.write(content.ljust(size, b"\0"))  # of a file that changes meanwhile


def kind_of(name: str) -> str:
    """code, notebook, archive or settings, by a file's name; an empty string for what is none of these."""
    if name.lower().endswith(".py.txt"):
        return "code"
    return KINDS.get(PurePosixPath(name.lower()).suffix, "")


def most_bytes(name: str) -> int:
    """How long a file of its kind may be; 0 where it is none that is read."""
    return BOUNDS.get(kind_of(name), 0)


def to_text(name: str) -> str:
    """A file's name as text that can be encoded, different for different bytes."""
    return os.fsencode(name).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


# --- A class ----------------------------------------------------------------------------------------------------------


def entries(folder: Path, excluded: Collection[Path] = ()) -> list[tuple[str, Path]]:
    """Each student with the file or folder handed in; not what is ``excluded``, by identity. Raises OSError."""
    skipped = identities([*excluded, Path(ROOT)])
    found = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    found = [entry for entry in found if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS]
    found = [entry for entry in found if identity(entry) not in skipped]
    return list(zip(names([entry.name for entry in found]), [Path(entry.path) for entry in found], strict=True))


def find_submissions(folder: Path, excluded: Collection[Path] = ()) -> list[Submission]:
    """One submission per entry of a folder. Raises OSError."""
    return [read_submission(path, student, excluded) for student, path in entries(folder, excluded)]


def identity(entry: os.DirEntry) -> tuple[int, int]:
    status = entry.stat(follow_symlinks=False)
    return status.st_dev, status.st_ino


def identities(paths: Collection[Path]) -> set[tuple[int, int]]:
    found = [path.stat() for path in paths if path.exists()]
    return {(status.st_dev, status.st_ino) for status in found}


def looks_like_one(folder: Path) -> bool:
    """Whether a folder looks like one student's: it has a model.py, or is a clone and not a folder of clones."""
    if any((folder / name).is_file() for name in ("model.py", "src/model.py")):
        return True
    return (folder / ".git").exists() and not any(folder.glob("*/.git"))


def names(entries: list[str]) -> list[str]:
    """The students' names, all different: without suffix, unless two would be the same (alice.py beside alice/)."""
    short = [student_name(name) for name in entries]
    found = [text if short.count(text) == 1 else to_text(name) for name, text in zip(entries, short, strict=True)]
    return found if len(set(found)) == len(found) else [to_text(name) for name in entries]


def student_name(entry: str) -> str:
    """A student's name by that of the file or folder."""
    name = to_text(entry)
    suffix = next((end for end in (".py", ".ipynb", ".zip", ".py.txt") if name.lower().endswith(end)), "")
    return name[: len(name) - len(suffix)] or name


# --- One submission ---------------------------------------------------------------------------------------------------


def read_submission(path: Path, student: str = "", excluded: Collection[Path] = ()) -> Submission:
    """List a submission's files; what is wrong with it becomes its ``problem``."""
    found, name = Submission(student or student_name(path.resolve().name)), to_text(path.name)
    try:
        if path.is_symlink():
            link = f"{name} is a link, and links are not followed"
            found.problem = ("rejected", link, "Hand in the file itself instead of a link.")
        elif path.is_dir():
            list_folder(found, path, identities([*excluded, Path(ROOT)]))
        elif path.is_file() and kind_of(name) in ("code", "notebook", "archive"):
            add_file(found, path, name)
        else:
            neither = f"{name} is neither a folder nor a file of Python, a notebook or a .zip"
            found.problem = ("invalid", neither, "Hand in model.py.")
        sizes = sum(size for _, _, size in found.files), sum(s for n, _, s in found.files if kind_of(n) == "code")
        if (
            sizes[0] > 4 * NOTEBOOK_BYTES
            or sizes[1] > ALL_SOURCE_BYTES
            or len(found.files) + len(found.omitted) > FILES
        ):
            found.problem = ("rejected", "the folder holds far more than a model's code", CODE_ONLY)
        if found.problem:
            found.files = []
        content = hashlib.sha256()
        for file, place, size in found.files:
            content.update(f"\0{file}\0{size}\0".encode() + place.read_bytes())
        found.content = content.hexdigest()
    except OSError as error:
        found.problem = ("machine_error", f"cannot read {name}: {error.strerror or error}", "")
    return found


def list_folder(found: Submission, root: Path, skipped: Collection[tuple[int, int]]) -> None:
    """List all that a folder holds, without hidden files and the folders of tools; raises OSError."""
    for path, name in walk(root, skipped):
        if path.is_symlink():
            outwards = not Path(os.path.realpath(path)).is_relative_to(root.resolve())
            if outwards and (path.is_dir() or kind_of(name) == "code"):
                found.problem = ("rejected", f"{name} is a link out of the folder", "Hand in the file itself.")
                return
        elif path.is_file():
            add_file(found, path, name)
        if len(found.files) + len(found.omitted) > FILES:
            return


def walk(root: Path, skipped: Collection[tuple[int, int]] = ()) -> Iterator[tuple[Path, str]]:
    """Files and links below a folder with their relative names, at most DEPTH folders down. Raises OSError.

    What is ``skipped`` is left out, since results or this project may lie in a student's repository.
    """
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
            if entry.name.startswith(".") or identity(entry) in skipped:
                continue
            name = prefix + to_text(entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), name
            elif entry.name not in SKIPPED_FOLDERS and name.count("/") < DEPTH:
                waiting.append((Path(entry.path), f"{name}/"))


def add_file(found: Submission, path: Path, name: str) -> None:
    """List one file where it is of a kind that is read, and not too long."""
    size, kind, most = path.stat().st_size, kind_of(name), most_bytes(name)
    if size <= most:
        found.files.append((name, path, size))
    elif kind in ("code", "notebook", "archive"):
        what = {"code": "a file of code", "notebook": "a notebook", "archive": "an archive"}[kind]
        found.omitted[name] = f"is {size / 1e6:,.1f} MB long, where {what} may have {most / 1e6:.1f} MB"
    else:
        found.omitted[name] = NOT_CODE
