"""Pages in one file each: a template, with the stylesheet and the script that all pages share, and charts as SVG.

    pages.render(Path("report/report.html"), title="Results", runs=runs)

Jinja2 escapes every value. A page loads nothing, and runs no script but its own: its policy names both by
hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import re
import struct
import zlib
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent
COLOURS, TABLES, STYLE, SORTING, SCRIPT = (
    (HERE / name).read_text(encoding="utf-8") for name in ("chart.css", "tables.css", "page.css", "sort.js", "page.js")
)
STYLE, SCRIPT = f"{COLOURS}{TABLES}{STYLE}", f"{SORTING}{SCRIPT}"
# Control characters but for tab and line feed, those that change the direction of what follows, lone surrogates.
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
NEGATIVE = bytes(range(255, -1, -1))
PER_CENT = re.compile(r"(?<=\d) %")


class Cell(NamedTuple):
    """A cell of a table; one with a ``value`` is a number, by which its column sorts."""

    text: Any
    value: float | None = None
    kind: str = ""  # CSS classes
    href: str = ""


def number(value: float | None, write: Callable[[float], str] = "{:,}".format) -> Cell:
    """The cell of a number; blank where there is none."""
    return Cell("") if value is None else Cell(write(value), value)


def heads(names: Iterable[Any], numbers: Container[Any]) -> list[Cell]:
    """Headers, those above numbers to the right."""
    return [Cell(name, kind="number" * (name in numbers)) for name in names]


def percent(value: float | None) -> str:
    """A fraction in per cent, never rounded up; blank where it was not measured."""
    return "" if value is None else f"{math.floor(10_000 * value + 1e-9) / 100:.2f}"


def fit(value: Any) -> Any:
    """Text with U+FFFD for each character that is not fit to show, and " %" kept with its number; markup as it is."""
    return PER_CENT.sub("\u00a0%", UNFIT.sub("\ufffd", value)) if type(value) is str else value


def brief(text: str, most: int = 60) -> str:
    """Text of at most ``most`` characters, cut between words where it can be, with an ellipsis."""
    if len(text) <= most:
        return text
    kept = text[: most - 1]
    return f"{kept[: kept.rfind(' ')] if ' ' in kept[most // 2 :] else kept}…"


def source(content: str) -> str:
    """What a Content-Security-Policy calls an inline style or script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def png(pixels: bytes, side: int = 28) -> str:
    """The address (data:) of an image of side x side bytes, 0 for paper and 255 for ink; ValueError if it is none."""
    if len(pixels) != side * side:
        raise ValueError(f"{len(pixels)} bytes, where an image has {side * side}")
    rows = b"".join(b"\0" + pixels[i : i + side].translate(NEGATIVE) for i in range(0, side * side, side))
    header = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def mistake(entry: dict[str, Any]) -> tuple[str, str]:
    """One of a run's ``confused``: the address of its image, and what was taken for what, how confidently."""
    pixels = zlib.decompressobj().decompress(bytes.fromhex(entry["pixels"]), 10_000)
    return png(pixels), f"{entry['label']} → {entry['predicted']}, {100 * entry['confidence']:.0f} %"


@functools.cache
def environment(folder: Path) -> jinja2.Environment:
    """What finds the templates of a folder and those here, and escapes every value that it fills in."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"STYLE": Markup(STYLE), "style_source": source(STYLE)}
    found.globals |= {"SCRIPT": Markup(SCRIPT), "script_source": source(SCRIPT)}
    found.filters["brief"] = brief
    return found


def render(template: Path, **values: Any) -> str:
    """A template filled in. It may extend base.html and import from macros.html; a page without rows to sort or to
    search says ``{% block script %}{% endblock %}``, and has none. Raises jinja2.UndefinedError for a missing value."""
    return environment(template.parent).get_template(template.name).render(values)
