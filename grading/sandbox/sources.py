"""A student's file of Python as text: decoded, parsed cell by cell. Executes nothing."""

from __future__ import annotations

import ast
import codecs
import re
import warnings
from itertools import pairwise

CELL = re.compile(r"^# %% (.+\.ipynb, code cell \d+)$", re.MULTILINE)  # the line before a cell of a notebook


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
