"""A student's file of Python as text: decoded, parsed cell by cell, without its comments. Executes nothing."""

from __future__ import annotations

import ast
import codecs
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property


def decode(content: bytes) -> str:
    """The text of a file: by its byte order mark, its coding line, as UTF-8, or else as Latin-1, which never fails."""
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encodings = ["utf-16"]
    elif (zero := content[:100].find(0)) >= 0:
        encodings = ["utf-16-le" if zero % 2 else "utf-16-be"] if content[:100].count(0) > 20 else []
    else:
        cookie = re.match(rb"(?:[ \t\f]*(?:#[^\n]*)?\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*([-\w.]+)", content)
        encodings = [*([cookie[1].decode()] if cookie else []), "utf-8-sig"]
    for encoding in (*encodings, "latin-1"):
        try:
            text = content.decode(encoding)
            break
        except (ValueError, LookupError):
            continue
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def parse(text: str, first_line: int = 1) -> ast.Module:
    """The syntax tree of text that begins on a line of its file. Raises SyntaxError for whatever is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        error.lineno = (error.lineno or 1) + first_line - 1
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        deep = isinstance(error, (RecursionError, MemoryError))
        raise SyntaxError("an expression is nested too deeply" if deep else str(error)) from error
    return ast.increment_lineno(tree, first_line - 1) if first_line > 1 else tree


def split_cells(text: str, cells: Iterable[int]) -> list[tuple[int, str]]:
    """The first line and the text of each cell of a file; one that is no notebook is one cell."""
    lines, starts = text.split("\n"), list(cells) or [1]
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    return [(start, "\n".join(lines[start - 1 : end])) for start, end in zip(starts, ends, strict=True)]


def strip(text: str, tree: ast.Module, first_line: int) -> str:
    """Code without comments and strings that are statements, every line at its place.

    What is not counted as code must not be there either, or it could carry weights.
    """
    lines = text.split("\n")
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]].rstrip()
    except (tokenize.TokenError, SyntaxError):
        return text
    raw = [line.encode() for line in lines]  # a syntax tree counts columns in bytes
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            start, end = node.lineno - first_line, node.end_lineno - first_line
            if re.compile(rb"\s*$").match(raw[end], node.end_col_offset):
                raw[start : end + 1] = [raw[start][: node.col_offset] + b'""', *[b""] * (end - start)]
    stripped = b"\n".join(raw).decode()
    try:
        parse(stripped)
    except SyntaxError:
        return text
    return stripped


class Code:
    """A file of Python: its text, where the cells of a notebook begin, and what its syntax trees say."""

    def __init__(self, text: str, cells: Iterable[int] = ()) -> None:
        self.cells, self.nodes, kept = list(cells), [], []
        self.defines_model = False
        for first, part in split_cells(text, self.cells):
            try:
                tree = parse(part, first)
                kept.append(strip(part, tree, first))
                self.nodes += ast.walk(tree)
                self.defines_model |= any(isinstance(n, ast.FunctionDef) and n.name == "build_model" for n in tree.body)
            except SyntaxError:
                kept.append(part)
                self.defines_model |= bool(re.search(r"^class .*Module|^def build_model", part, re.MULTILINE))
        self.text = "\n".join(kept)

    @cached_property
    def words(self) -> set[str]:
        """Names, attributes and the parts of strings."""
        found = {n.id for n in self.nodes if isinstance(n, ast.Name)}
        found |= {n.attr for n in self.nodes if isinstance(n, ast.Attribute)}
        strings = (n.value for n in self.nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))
        return found.union(*(re.split(r"[/\\\s]", string) for string in strings))

    @cached_property
    def imports(self) -> set[tuple[str, int]]:
        """What it may import: dotted names, each with the number of dots before it."""
        found = set()
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found |= {(alias.name, 0) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                found |= {(module, node.level)}
                found |= {(f"{module}.{alias.name}".lstrip("."), node.level) for alias in node.names}
        return found

    def classes(self) -> Iterator[tuple[str, list[str]]]:
        """Each class with the full names of its bases, as far as the file's imports tell them."""
        known = {"nn": "torch.nn", "Module": "torch.nn.Module"}  # where a star import brings them
        for node in self.nodes:
            if isinstance(node, ast.Import):
                known |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom) and node.module:
                known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                names = [dotted(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
                heads = [name.partition(".") for name in names]
                yield node.name, [known.get(head, head) + dot + rest for head, dot, rest in heads]


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attributes, else an empty string."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
