"""Which submissions a class has, and which files each consists of. Reads no code, executes nothing, follows no link."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grading.sandbox.isolation import ROOT
from grading.sandbox.watch import CODE_ONLY

CODE = (".py", ".ipynb", ".zip")
SETTINGS = (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".csv")  # of some models
MOST_BYTES = {".py": 1 << 19, ".ipynb": 16 << 20, ".zip": 16 << 20, **dict.fromkeys(SETTINGS, 2000)}
ALL_BYTES, FILES, DEPTH = 64 << 20, 5_000, 40  # of one submission: more is no model
SKIPPED_FOLDERS = {"__pycache__", "__MACOSX", "node_modules", "venv", "env", "site-packages"}
LINK = "is a link, and links are not followed: hand in the file itself"
SUFFIX = re.compile(r"\.(py|ipynb|zip)(\.txt)?$", re.IGNORECASE)


@dataclass
class Submission:
    """A student's files. Nothing in them has been read as code."""

    student: str
    files: dict[str, Path] = field(default_factory=dict)  # relative name -> place
    omitted: dict[str, str] = field(default_factory=dict)  # code that is not read, and why
    problem: tuple[str, str, str] | None = None  # status, reason and advice, if there is nothing to run
    content: str = ""  # a digest of the files

    def digest(self) -> str:
        """Changes with anything that could change the grade."""
        return hashlib.sha256(
            repr((self.student, sorted(self.omitted), self.problem, self.content)).encode()
        ).hexdigest()

    def write_bundle(self, path: Path) -> None:
        """Write all files into a zip file, for the child that reads them. Raises OSError."""
        with zipfile.ZipFile(path, "w") as bundle:
            for name, place in self.files.items():
                bundle.writestr(name, place.read_bytes())


def file_name(name: str) -> str:
    """A file's name with its kind at the end: model.PY and model.py.txt are model.py."""
    return SUFFIX.sub(lambda found: f".{found[1].lower()}", name)


def most_bytes(name: str) -> int:
    """How long a file of its kind may be; 0 where it is none that is read."""
    return MOST_BYTES.get(os.path.splitext(name)[1].lower(), 0)


def to_text(name: str) -> str:
    """A file's name as text that can be encoded, different for different bytes."""
    return os.fsencode(name).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


# --- A class ----------------------------------------------------------------------------------------------------------


def entries(folder: Path, excluded: Collection[Path] = ()) -> list[tuple[str, Path]]:
    """Each student with the file or folder handed in; not what is ``excluded``, by identity. Raises OSError."""
    paths = visible(folder, identities(excluded))
    return list(zip(names([path.name for path in paths]), paths, strict=True))


def identities(paths: Collection[Path]) -> set[tuple[int, int]]:
    """Those of paths, and of this project, which may lie among submissions."""
    return {(status.st_dev, status.st_ino) for status in map(os.stat, filter(os.path.exists, [*paths, ROOT]))}


def visible(folder: Path, excluded: set[tuple[int, int]]) -> list[Path]:
    """What a folder holds, without hidden files, the folders of tools and what is excluded. Raises OSError."""
    found = [each for each in os.scandir(folder) if not each.name.startswith(".") and each.name not in SKIPPED_FOLDERS]
    statuses = [each.stat(follow_symlinks=False) for each in found]
    kept = [e.path for e, status in zip(found, statuses, strict=True) if (status.st_dev, status.st_ino) not in excluded]
    return [Path(path) for path in sorted(kept, key=os.fsencode)]


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
    return SUFFIX.sub("", to_text(entry)) or to_text(entry)


# --- One submission ---------------------------------------------------------------------------------------------------


def read_submission(path: Path, student: str = "", excluded: Collection[Path] = ()) -> Submission:
    """List a submission's files; what is wrong with it becomes its ``problem``."""
    found, content, size = Submission(student or student_name(path.resolve().name)), hashlib.sha256(), 0
    try:
        for count, (place, name) in enumerate(walk(path, identities(excluded))):
            length, most = place.lstat().st_size, most_bytes(name)
            if most and length <= most and place.is_file() and not place.is_symlink():
                found.files.setdefault(name, place)
                size += length
            elif name.endswith(CODE):
                too_long = f"is {length / 1e6:,.1f} MB long, and at most {most / 1e6:.1f} MB of it are read"
                found.omitted[name] = LINK if place.is_symlink() else too_long
            if size > ALL_BYTES or count > FILES:
                found.files = {}
                found.problem = ("rejected", "the folder holds far more than a model's code", CODE_ONLY)
                break
        for name, place in found.files.items():
            content.update(f"\0{name}\0".encode() + place.read_bytes())
        found.content = content.hexdigest()
    except OSError as error:
        found.problem = ("machine_error", f"cannot read {to_text(path.name)}: {error.strerror or error}", "")
    return found


def walk(path: Path, excluded: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """A file, or the files and links below a folder, at most DEPTH folders down, with their names. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        yield path, file_name(to_text(path.name))
        return
    waiting = [(path, "", 0)]
    while waiting:
        folder, prefix, depth = waiting.pop()
        for each in visible(folder, excluded):
            name = prefix + to_text(each.name)
            if each.is_symlink() or not each.is_dir():
                yield each, file_name(name)
            elif depth < DEPTH:
                waiting.append((each, f"{name}/", depth + 1))
