"""Reading what a student handed in: the files as text, and which of them may hold the model.

This runs in a child with limits and executes nothing: notebooks and zip files become Python files, by their text alone.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from grading.sandbox.reasons import RESOLVE_IT, Invalid
from grading.sandbox.sources import decode, parse, plain
from grading.sandbox.watch import CODE_ONLY
from grading.submissions import SKIPPED_FOLDERS, file_name, most_bytes

SOURCE_BYTES = 4 << 20  # of all code and settings
CLASS = re.compile(r"^[ \t]*class\s+(\w+)\s*\(([^()]*)", re.MULTILINE)
MODULES = {"nn", "LightningModule", *dir(nn)}  # what a base class of a model is called
TEST = re.compile(r"(^|/)(tests?/|test_[^/]*$|conftest\.py$)|_test\.py$")
PUT_IT = "Put the model into a file model.py at the top of what you hand in."


def read(bundle: bytes, omitted: Mapping[str, str]) -> dict[str, Any]:
    """What the read task hands back: the files as text, and the names of those that may hold the model.

    The bundle is the zip file that ``Submission.write_bundle`` made. Raises Invalid.
    """
    problems, settings, written, code = [], {}, {}, {}
    raw = unpack(bundle)
    for archive in () if any(name.endswith((".py", ".ipynb")) for name in raw) else list(raw):
        if archive.endswith(".zip"):
            try:
                inner = unpack(raw[archive])
            except Exception as error:  # of a damaged file, zipfile raises many kinds
                problems.append(Invalid(f"{archive} cannot be unpacked: {error}", "Pack it again, without a password."))
            else:
                raw |= {posixpath.join(posixpath.dirname(archive), name): content for name, content in inner.items()}
    for name in by_depth(raw):
        if name.endswith(".py"):
            code[name] = decode(raw[name])
        elif name.endswith(".ipynb"):
            try:
                written = read_notebook(name, decode(raw[name])) | written
            except Invalid as problem:
                problems.append(problem)
        elif not name.endswith(".zip"):
            settings[name] = raw[name].decode("latin-1")
    code = written | code
    files = settings | code
    if sum(map(len, files.values())) > SOURCE_BYTES:
        raise Invalid("it holds far more than a model's code", CODE_ONLY, "rejected")
    return {"files": files, "candidates": candidates(code, omitted, problems)}


def unpack(content: bytes) -> dict[str, bytes]:
    """The files in a zip file that are of a kind that is read, and not too long; raises many kinds of errors."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            name = file_name(posixpath.normpath(entry.filename))
            hidden = any(part in ("", *SKIPPED_FOLDERS) or part.startswith(".") for part in name.split("/"))
            if not hidden and most_bytes(name) and entry.file_size <= most_bytes(name):
                found.setdefault(name, archive.read(entry))
    return found


def by_depth(names: Iterable[str]) -> list[str]:
    """Files nearest to the top first."""
    return sorted(names, key=lambda name: (name.count("/"), name))


# --- Which files ------------------------------------------------------------------------------------------------------


def candidates(code: Mapping[str, str], omitted: Mapping[str, str], problems: list[Invalid]) -> list[str]:
    """The files that may hold the model. Raises Invalid where there is none.

    One model.py (at the top, in src/, or the only one), else all files that define a model and are no tests, else
    all files of code. Notebooks count where no file of code defines a model.
    """
    files = [name for name in by_depth({**code, **omitted}) if name.endswith(".py")]
    files = [name for name in files if not TEST.search(name)] or files
    named = [name for name in files if posixpath.basename(name).lower() == "model.py"]
    top = [name for name in named if name.lower() in ("model.py", "src/model.py")]
    defines = defining(code)
    found = (top or named)[:1] if top or len(named) == 1 else [name for name in files if name in defines]
    found = found or [name for name in by_depth(defines) if name.endswith(".ipynb")] or files or by_depth(code)
    for name in found or omitted:
        if name in omitted:
            raise Invalid(f"{name} {omitted[name]}", CODE_ONLY, "rejected")
    if not found:
        raise (problems or [Invalid("there is no model.py, nor any other Python file, notebook or .zip", PUT_IT)])[0]
    return found


def defining(code: Mapping[str, str]) -> set[str]:
    """The files that define ``build_model``, or a class on torch.nn's or a LightningModule, by way of others or not."""
    derived = defaultdict(list)
    for name, text in code.items():
        for kind, bases in CLASS.findall(text):
            for base in re.findall(r"\w+", bases):
                derived[base].append((name, kind))
    found, waiting = {name for name, text in code.items() if re.search(r"^def build_model\b", text, re.M)}, [*MODULES]
    while waiting:
        for name, kind in derived.pop(waiting.pop(), ()):
            found.add(name)
            waiting.append(kind)
    return found


# --- Notebooks --------------------------------------------------------------------------------------------------------

WRITING = re.compile(r"\s*%%(?:writefile|file)(?P<more>\s+-a)?\s+(?P<name>\S+)[^\n]*")
NO_PYTHON = re.compile(r"\s*%%(?!(?:time|timeit|capture|prun)\b)")  # the rest of such cells is Python
MAGIC = re.compile(
    r"^([ \t]*)(?:(?:[\w., ]+= *)?(?:%{1,2}[A-Za-z]|!(?!=)|\?)(?:.*\\\n)*.*|[\w.]+\?{1,2}[ \t]*$)", re.MULTILINE
)
SAVE_IT = "Open it in Jupyter, save it, and hand in that file; or copy the model into a file model.py."
DOWNLOAD_IT = "Download the notebook itself: on GitHub with Raw, in Colab with File > Download > Download .ipynb."


def read_notebook(name: str, text: str) -> dict[str, str]:
    """A notebook's code and that of the Python files that its cells write, each cell behind a line that names it.

    Takes all formats of notebooks, and plain Python in a file of that name. Raises Invalid.
    """
    try:
        document = json.loads(text)
        sheets = document.get("worksheets", [document])
        cells = [cell for sheet in sheets for cell in sheet["cells"] if cell["cell_type"] == "code"]
        cells = ["".join(cell["source"] if "source" in cell else cell["input"]) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if mark := re.search(r"^(<{7}|>{7})", text, re.MULTILINE):
            line = f"line {text.count(chr(10), 0, mark.start()) + 1}: {mark[1]}"
            raise Invalid(f"{name}, {line} is a mark of a merge conflict that was not resolved", RESOLVE_IT) from error
        if text.lstrip().startswith("<"):
            raise Invalid(f"{name} is a web page and no notebook", DOWNLOAD_IT) from error
        if not re.search(r"^(import|from|class) ", text, re.MULTILINE):
            raise Invalid(f"{name} is {'no complete notebook' if text.strip() else 'empty'}", SAVE_IT) from error
        cells = [text]
    if not any(map(str.strip, cells)):
        raise Invalid(f"{name} is a notebook without code", "Put the model into one of its code cells.")
    files = {name: ""}
    for number, cell in enumerate(map(plain, cells), 1):
        place = name
        if writing := WRITING.match(cell):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(name), writing["name"]))
            if not place.endswith(".py") or place.startswith(("/", "..")):
                continue
            if not writing["more"]:
                files[place] = ""
        code = cell[writing.end() :] if writing else to_python(cell)
        files[place] = files.get(place, "") + f"# %% {name}, code cell {number}\n{code}\n"
    return files


def to_python(cell: str) -> str:
    """A cell without magics, commands of the shell and questions; its other lines stay where they are."""
    try:
        parse(cell)
        return cell
    except SyntaxError:
        return "" if NO_PYTHON.match(cell) else MAGIC.sub(lambda m: f"{m[1]}pass" + "\n" * m[0].count("\n"), cell)
