"""What is handed back to a student: verdict, points, and what to do next."""

from __future__ import annotations

import html

from grading.rubric import Scored
from mnist_efficient_model import Limits


def to_text(scored: Scored, limits: Limits) -> str:
    """Plain text: the verdict, a line of points for each criterion, and what to do next."""
    lines = [f"{scored.grade.status}: {scored.grade.reason}"]
    lines += [f"{c.name}: {'' if p is None else p} of {c.points}" for c, p in scored.parts]
    if scored.grade.status != "passed":
        lines.append("Next: change what the verdict names, check it with python -m grading model.py, hand it in again.")
    return "\n".join(" ".join(line.split()) for line in lines) + "\n"


def to_markdown(scored: Scored, limits: Limits) -> str:
    """The same as Markdown, with all that a student wrote escaped."""
    text = html.escape(to_text(scored, limits)).replace("\n", "  \n")
    return "".join(f"&#{ord(c)};" if c in r"\`*_[]|~!@" else c for c in text)
