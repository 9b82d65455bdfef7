"""HTML of what students wrote: escaped text, tables, whole pages that load nothing and run only their own script."""

from __future__ import annotations

import html
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from pages import TABLES, brief, fit, source

STYLE = TABLES + (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def text(value: Any) -> str:
    """A value as HTML text, which may stand in a quoted attribute too; U+FFFD for what is not fit to show."""
    return html.escape(fit(str(value)))


def name(student: str, most: int = 60) -> str:
    """A student's name: <bdi> keeps a name that is written from right to left from moving what stands beside it."""
    return f"<bdi>{text(brief(student, most))}</bdi>"


def cell(content: str, value: float | None = None, kind: str = "", tag: str = "td") -> str:
    """A cell of a table, from HTML; ``value``, where there is one, is what the column sorts by."""
    kinds = " ".join(filter(None, [kind, "number" if value is not None else ""]))
    attributes = ' scope="row"' * (tag == "th") + f' class="{kinds}"' * bool(kinds)
    attributes += f' data-value="{value!r}"' if value is not None else ""
    return f"<{tag}{attributes}>{content}</{tag}>"


def row(cells: Iterable[str], kinds: str = "") -> str:
    """A row of cells; ``kinds`` are its CSS classes."""
    return f'<tr class="{kinds}">{"".join(cells)}</tr>\n' if kinds else f"<tr>{''.join(cells)}</tr>\n"


def table(heads: Sequence[str], rows: Iterable[str], label: str, kind: str, numbers: Container[str] = ()) -> str:
    """Rows under headers, those in ``numbers`` to the right. On a narrow screen the table scrolls, not the page."""
    kinds = {each: ' class="number"' if each in numbers else "" for each in heads}
    head = "".join(f'<th scope="col"{kinds[each]}>{text(each)}</th>' for each in heads)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(label)}"><table class="{kind}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody></table></div>\n"
    )


def document(title: str, body: str, kind: str, style: str = "", script: str = "") -> str:
    """A whole page, from HTML; ``kind`` is the CSS class of its body, ``style`` is added to that of all pages."""
    style = f"\n{STYLE}{style}"
    allowed, element = (f" script-src {source(script)};", f"<script>{script}</script>\n") if script else ("", "")
    policy = f"default-src 'none'; style-src {source(style)};{allowed} img-src data:"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{text(brief(title, 100))}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body class="{kind}">
<main>
{body}</main>
{element}</body>
</html>
"""
