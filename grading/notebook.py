"""The Python code of a Jupyter notebook, as text. Executes nothing."""

from __future__ import annotations

import json
import re

from grading.source import parse

NOTEBOOK_CODE = ".ipynb.py"  # what the code of NAME.ipynb is called: NAME.ipynb.py
CODE_MAGICS = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*")  # the rest of such a cell is Python
MAGIC = re.compile(r"(?P<indent>\s*)(?P<name>[\w., ]+=\s*)?(%{1,2}[A-Za-z]|!(?!=)|\?)|(?P<asked>\s*)[\w.]+\?{1,2}\s*$")


def notebook_code(content: bytes) -> bytes | None:
    """The code cells of a notebook one after another, without what only Jupyter understands; None: no notebook."""
    try:
        cells = json.loads(content)["cells"]
        texts = [to_text(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return "\n\n".join(filter(None, map(to_python, texts))).encode("utf-8", "replace")


def to_text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def to_python(cell: str) -> str:
    """A cell without magics, commands of the shell and questions, line by line; "" where the rest is no Python."""
    if parse(cell):
        return cell
    lines = cell.split("\n")
    if CODE_MAGICS.fullmatch(lines[0]):
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
    code = "\n".join(kept)
    return code if parse(code) else ""
