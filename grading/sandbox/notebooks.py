"""The Python code of a Jupyter notebook, and the files that its cells write. Executes nothing."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from grading.sandbox.reasons import Invalid
from grading.sandbox.sources import parse

PYTHON_MAGICS = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*")  # the rest of such a cell is Python
WRITING = re.compile(r"\s*%%(?:writefile|file)(?P<more>\s+-a)?\s+(?P<name>\S+)\s*")
MAGIC = re.compile(r"(?P<indent>\s*)(?P<name>[\w., ]+=\s*)?(%{1,2}[A-Za-z]|!(?!=)|\?)|(?P<asked>\s*)[\w.]+\?{1,2}\s*$")
SAVE_IT = "Open it in Jupyter, save it, and hand in that file; or copy the model into a file model.py."


class Notebook(NamedTuple):
    text: str  # of all code cells
    cells: list[int]  # the first line of each in the text
    written: dict[str, tuple[str, int]]  # the files that cells write, and the number of the cell


def read_notebook(name: str, text: str) -> Notebook:
    """The code of the notebook, in any of its formats; plain Python in a file of that name too. Raises Invalid."""
    try:
        document = json.loads(text)
        sheets = [document] if "cells" in document else document["worksheets"]
        cells = [cell for sheet in sheets for cell in sheet["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"] if "source" in cell else cell["input"]) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if not is_python(text):
            raise not_a_notebook(name, text, error) from error
        sources = [text]
    if not any(map(str.strip, sources)):
        raise Invalid(f"{name} is a notebook without code", "Put the model into one of its code cells.")
    lines, firsts, written = 0, [], {}
    for i, source in enumerate(sources, 1):
        source = source.replace("\r\n", "\n").encode("utf-8", "replace").decode()
        if found := WRITING.fullmatch(source.partition("\n")[0]):
            before = written.get(found["name"], ("", i)) if found["more"] else ("", i)
            written[found["name"]] = (before[0] + "\n" + source.partition("\n")[2], before[1])
        sources[i - 1] = to_python(source)
        firsts.append(lines + 1)
        lines += sources[i - 1].count("\n") + 1
    return Notebook("\n".join(sources), firsts, written)


def is_python(text: str) -> bool:
    try:
        return bool(parse(text).body) and text.lstrip()[:1] not in ("{", "[", '"')
    except SyntaxError:
        return False


def not_a_notebook(name: str, text: str, error: Exception) -> Invalid:
    """What is in a file of that name instead."""
    start = text.lstrip()[:1]
    if not start:
        return Invalid(f"{name} is empty", "Save the notebook in Jupyter, and hand in that file.")
    if marks := re.search(r"^(<{7}|>{7}|={7})", text, re.MULTILINE):
        line = text.count("\n", 0, marks.start()) + 1
        advice = (
            "Keep one of the two versions and delete the lines with the marks, or save the notebook again in Jupyter."
        )
        return Invalid(f"{name}, line {line}: {marks[1]} is a mark of a merge conflict that was not resolved", advice)
    if start == "<":
        advice = "Download the notebook itself: on GitHub with Raw, in Colab with File > Download > Download .ipynb."
        return Invalid(f"{name} is a web page and no notebook", advice)
    if isinstance(error, json.JSONDecodeError) and start == "{":
        broken = (
            "the file was cut off" if error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg else error.msg
        )
        return Invalid(f"{name}, line {error.lineno}: it is no complete notebook: {broken}", SAVE_IT)
    return Invalid(f"{name} is no notebook: it holds no cells", SAVE_IT)


def to_python(cell: str) -> str:
    """A cell without magics, commands of the shell and questions, line by line."""
    try:
        parse(cell)
        return cell
    except SyntaxError:
        lines = cell.split("\n")
    if PYTHON_MAGICS.fullmatch(lines[0]):
        lines[0] = ""
    elif lines[0].lstrip().startswith("%%"):
        return ""
    kept, continued = [], False
    for line in lines:
        found = MAGIC.match(line)
        if continued:
            kept.append("")
        elif found:
            kept.append(f"{found['indent'] or found['asked'] or ''}{found['name'] + '[]' if found['name'] else 'pass'}")
        else:
            kept.append(line)
        continued = bool(continued or found) and line.endswith("\\")
    return "\n".join(kept)
