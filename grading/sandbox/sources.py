"""A student's file of Python or notebook as text: decoded, cell by cell, without its comments. Executes nothing."""

from __future__ import annotations

import ast
import codecs
import io
import json
import posixpath
import re
import tokenize
import warnings
from itertools import pairwise

from grading.sandbox.reasons import CELL, RESOLVE_IT, Invalid

WRITING = re.compile(r"\s*%%(?:writefile|file)(?P<more>\s+-a)?\s+(?P<name>\S+)[^\n]*")
NO_PYTHON = re.compile(r"\s*%%(?!(?:time|timeit|capture|prun)\b)")  # the rest of such cells is Python
MAGIC = re.compile(
    r"^([ \t]*)(?:(?:[\w., ]+= *)?(?:%{1,2}[A-Za-z]|!(?!=)|\?)(?:.*\\\n)*.*|[\w.]+\?{1,2}[ \t]*$)", re.MULTILINE
)
SAVE_IT = "Open it in Jupyter, save it, and hand in that file; or copy the model into a file model.py."
DOWNLOAD_IT = "Download the notebook itself: on GitHub with Raw, in Colab with File > Download > Download .ipynb."


def decode(content: bytes) -> str:
    """The text of a file: UTF-16 by its mark, UTF-8, or else Latin-1, which never fails."""
    try:
        marked = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return plain(content.decode("utf-16" if marked else "utf-8-sig"))
    except ValueError:
        return plain(content.decode("latin-1"))


def plain(text: str) -> str:
    """Text with Python's ends of lines, and without halves of characters."""
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def strip(text: str) -> str:
    """Code without comments and docstrings, every line at its place.

    What is not counted as code must not be there either, or it could carry weights.
    """
    lines, begins = text.split("\n"), True  # whether a statement begins at the token
    try:
        for token, following in pairwise(tokenize.generate_tokens(io.StringIO(text).readline)):
            (start, column), (end, _) = token.start, token.end
            if token.type == tokenize.COMMENT:
                lines[start - 1] = lines[start - 1][:column].rstrip()
            elif token.type == tokenize.STRING and begins and following.type in (tokenize.NEWLINE, tokenize.COMMENT):
                lines[start - 1 : end] = [lines[start - 1][:column] + '""', *[""] * (end - start)]
            layout = token.type in (tokenize.NL, tokenize.COMMENT)
            begins = begins if layout else token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    except (tokenize.TokenError, SyntaxError):
        return text
    return "\n".join(lines)


def parts(text: str) -> list[str]:
    """The cells of what was a notebook, each behind empty lines for those above it; other code is one part."""
    starts = [0, *(found.start() for found in CELL.finditer(text) if found.start()), len(text)]
    return ["\n" * text.count("\n", 0, start) + text[start:end] for start, end in pairwise(starts)]


def parse(text: str) -> ast.Module:
    """The syntax tree of code. Raises SyntaxError for whatever is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (RecursionError, MemoryError) as error:
        raise SyntaxError("an expression is nested too deeply") from error
    except ValueError as error:
        raise SyntaxError(str(error)) from error


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
        files[place] = files.get(place, "") + f"# %% {name}, code cell {number}\n{strip(code)}\n"
    return files


def to_python(cell: str) -> str:
    """A cell without magics, commands of the shell and questions; its other lines stay where they are."""
    try:
        parse(cell)
        return cell
    except SyntaxError:
        return "" if NO_PYTHON.match(cell) else MAGIC.sub(lambda m: f"{m[1]}pass" + "\n" * m[0].count("\n"), cell)
