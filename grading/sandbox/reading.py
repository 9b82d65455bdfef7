"""Reading what a student handed in: which files may hold the model, what each of these needs, and how long that is.

This runs in a child with limits and executes nothing: notebooks and zip files become Python files, and Python's parser
is the only thing that meets the code. Every step takes time in proportion to the size of the files.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from grading.sandbox.notebooks import read_notebook
from grading.sandbox.reasons import Invalid
from grading.sandbox.sources import Code, decode
from grading.submissions import ALL_SOURCE_BYTES, FILES, SKIPPED_FOLDERS, SOURCE_BYTES, kind_of, most_bytes

CANDIDATES = 40  # files that may hold the model; a repository with more of them is not a submission
COMPUTED = set(
    "__import__ import_module run_path run_module spec_from_file_location SourceFileLoader eval exec".split()
)
LISTING = {"listdir", "walk", "glob", "iglob", "rglob", "iterdir", "scandir", "iter_modules"}  # read file names
CLEAR = "Clear its outputs before you save it: in Jupyter with Edit > Clear Outputs of All Cells."
CODE_ONLY = "Hand in the code only."
PUT_IT = "Put the model into a file model.py at the top of what you hand in."


def read(bundle: bytes) -> dict[str, Any]:
    """What the read task hands back: the files as text, the candidates, and for each what it needs and how long it is.

    The bundle is a line of JSON, {"files": [[name, bytes]], "omitted": {name: why}}, then all contents. Raises Invalid.
    """
    head, _, content = bundle.partition(b"\n")
    listing, raw, start = json.loads(head), {}, 0
    for name, size in listing["files"]:
        raw[name] = content[start : start + size]
        start += size
    problems = []
    if not any(kind_of(name) in ("code", "notebook") for name in raw):
        raw |= unpack(raw, problems)
    reader = Reader(raw, problems)
    candidates = reader.candidates(listing["omitted"])
    needs = {name: reader.needed(name) for name in candidates}
    used = {name for names in needs.values() for name in names}
    files = {name: reader.text(name) for name in used}
    if sum(map(len, files.values())) > ALL_SOURCE_BYTES:
        raise Invalid("it holds far more than a model's code", CODE_ONLY, "rejected")
    return {
        "files": files,
        "candidates": candidates,
        "needs": needs,
        "description": {name: reader.length(needs[name]) for name in candidates},
        "cells": {name: code.cells for name, code in reader.code.items() if code.cells and name in used},
        "origins": {name: origin for name, origin in reader.origins.items() if name in used},
        "unneeded": sorted((reader.code.keys() | reader.settings.keys()) - used),
    }


def unpack(raw: Mapping[str, bytes], problems: list[Invalid]) -> dict[str, bytes]:
    """The files of code and settings in zip files, each within its bounds; what is wrong goes to ``problems``."""
    found, size = {}, 0
    for name in (name for name in raw if kind_of(name) == "archive"):
        if not name.lower().endswith(".zip"):
            problems.append(
                Invalid(f"{name} is an archive of a kind that is not read", "Hand in a .zip, or the files.")
            )
            continue
        try:
            with zipfile.ZipFile(io.BytesIO(raw[name])) as archive:
                entries = archive.infolist()
                for entry in entries[:FILES]:
                    path = PurePosixPath(entry.filename.replace("\\", "/"))
                    hidden = any(part in SKIPPED_FOLDERS or part.startswith(".") for part in path.parts)
                    bound = most_bytes(path.name)
                    if entry.is_dir() or hidden or path.is_absolute() or not bound or entry.file_size > bound:
                        continue
                    with archive.open(entry) as file:
                        found[str(PurePosixPath(name).parent / path)] = file.read(bound)
                    size += entry.file_size
                    if size > 8 * ALL_SOURCE_BYTES or len(entries) > FILES:
                        raise Invalid(f"{name} holds far more than a model's code", CODE_ONLY, "rejected")
        except Invalid:
            raise
        except Exception as error:  # of a damaged file, zipfile raises many kinds
            problems.append(Invalid(f"{name} cannot be unpacked: {error}", "Pack it again, without a password."))
    return found


class Reader:
    """The files of one submission as Python and settings."""

    def __init__(self, raw: Mapping[str, bytes], problems: list[Invalid]) -> None:
        self.code: dict[str, Code] = {}
        self.settings: dict[str, bytes] = {}
        self.origins: dict[str, str] = {}  # of files that a notebook's cell writes
        self.problems = problems
        written: dict[str, str] = {}
        for name in by_depth(raw):
            kind = kind_of(name)
            if kind == "code":
                self.code.setdefault(python_name(name), Code(decode(raw[name])))
            elif kind == "notebook":
                written |= self.add_notebook(name, raw[name])
            elif kind == "settings":
                self.settings[name] = raw[name]
        self.code = {**{name: Code(text) for name, text in written.items()}, **self.code}

    def add_notebook(self, name: str, content: bytes) -> dict[str, str]:
        """Take a notebook's code; returns the Python files that it writes."""
        try:
            notebook = read_notebook(name, decode(content))
        except Invalid as problem:
            self.problems.append(problem)
            return {}
        if len(notebook.text) > SOURCE_BYTES:
            self.problems.append(Invalid(f"{name} holds more than 0.5 MB of code", CODE_ONLY, "rejected"))
            return {}
        self.code[name] = Code(notebook.text, notebook.cells)
        found = {}
        for path, (text, cell) in notebook.written.items():
            place = PurePosixPath(name).parent / path
            if place.suffix == ".py" and ".." not in place.parts and not place.is_absolute():
                found[str(place)] = text
                self.origins.setdefault(str(place), f"{name}, code cell {cell}")
        return found

    def text(self, name: str) -> str:
        return self.code[name].text if name in self.code else self.settings[name].decode("latin-1")

    def candidates(self, omitted: Mapping[str, str]) -> list[str]:
        """The files that may hold the model. Raises Invalid where there is none.

        One model.py (at the top, in src/, or the only one), else all files that define a model and are no tests, else
        all files of code. Notebooks count where no file of code defines a model. Of equal files only the first counts.
        """
        code = [name for name in by_depth([*self.code, *omitted]) if kind_of(name) == "code"]
        code = [name for name in code if not is_test(name)] or code
        named = [name for name in code if PurePosixPath(name).name.lower() == "model.py"]
        defining = self.defining()
        top = [name for name in named if name.lower() in ("model.py", "src/model.py")]
        if top or len(named) == 1:
            found = (top or named)[:1]
        else:
            found = [name for name in code if name in defining]
            found = found or [name for name in by_depth(self.code) if name.endswith(".ipynb") and name in defining]
            found = found or code or by_depth(self.code)
        for name in found:
            if name in omitted:
                raise Invalid(f"{name} {omitted[name]}", CODE_ONLY, "rejected")
        if not found and omitted:
            name, why = next(iter(omitted.items()))
            raise Invalid(f"{name} {why}", CLEAR if name.lower().endswith(".ipynb") else CODE_ONLY, "rejected")
        if not found:
            raise (self.problems or [Invalid("there is no model.py, nor any other Python file", PUT_IT)])[0]
        found = list({self.code[name].text: name for name in reversed(found)}.values())[::-1]
        if len(found) > CANDIDATES:
            raise Invalid(f"{len(found)} files may hold the model: {', '.join(found[:8])} ...", PUT_IT)
        return found

    def defining(self) -> set[str]:
        """The files that define an nn.Module class or ``build_model``.

        A class counts when a base is of torch.nn or a LightningModule, or is called as such a class in any file.
        """
        waiting, derived = [], defaultdict(list)
        for name, code in self.code.items():
            for kind, bases in code.classes():
                for base in bases:
                    last = base.rpartition(".")[2]
                    if base.startswith("torch.nn.") or last == "LightningModule":
                        waiting.append((name, kind))
                    derived[last].append((name, kind))
        found = {name for name, code in self.code.items() if code.defines_model}
        while waiting:
            name, kind = waiting.pop()
            found.add(name)
            waiting += derived.pop(kind, ())
        return found

    def needed(self, main: str) -> list[str]:
        """``main``, the files that it imports, directly or not, and the settings that their code speaks of.

        A name is looked for in every folder, since a file may change ``sys.path``. All files of code where names are
        computed, and all settings where folders are listed.
        """
        modules = defaultdict(list)
        for name in self.code:
            parts = name.removesuffix(".py").removesuffix("/__init__").split("/")
            for i in range(len(parts)):
                modules[".".join(parts[i:])].append(name)
        found, seen, waiting, words = {main}, set(), [main], set()
        while waiting:
            name = waiting.pop()
            words |= self.code[name].words
            new = set(self.code) if COMPUTED & self.code[name].words else set()
            for module, dots in self.code[name].imports:
                if dots:
                    new |= self.relative(name, module, dots)
                elif module not in seen:
                    steps = module.split(".")
                    for end in range(1, len(steps) + 1):
                        if (start := ".".join(steps[:end])) not in seen:
                            seen.add(start)
                            new |= set(modules[start])
            waiting += sorted(new - found)
            found |= new
        spoken = {name for name in self.settings if LISTING & words or PurePosixPath(name).name in words}
        return [main, *sorted((found | spoken) - {main})]

    def relative(self, name: str, module: str, dots: int) -> set[str]:
        """The files that a relative import stands for, and the packages around them."""
        folder = PurePosixPath(name)
        for _ in range(dots):
            folder = folder.parent
        steps = module.split(".") if module else []
        places = [folder.joinpath(*steps[:end]) for end in range(len(steps) + 1)]
        return {file for place in places for file in (f"{place}.py", str(place / "__init__.py")) if file in self.code}

    def length(self, names: Iterable[str]) -> int:
        """Bytes of names and contents, compressed: an upper bound on what a model can have brought with it."""
        parts = [part for name in sorted(names) for part in (name, self.text(name))]
        return len(zlib.compress("\0".join(parts).encode("utf-8", "replace"), 9))


def python_name(name: str) -> str:
    """model.PY and model.py.txt are model.py."""
    return re.sub(r"\.py(\.txt)?$", ".py", name, flags=re.IGNORECASE)


def is_test(name: str) -> bool:
    """Whether a file holds tests by its name: test_x.py, x_test.py, conftest.py, or anything in a folder of tests."""
    path = PurePosixPath(name)
    in_tests = {"test", "tests"} & set(path.parts[:-1])
    return bool(in_tests) or path.stem.startswith("test_") or path.stem.endswith("_test") or path.stem == "conftest"


def by_depth(names: Iterable[str]) -> list[str]:
    """Files nearest to the top first."""
    return sorted(names, key=lambda name: (name.count("/"), name))
