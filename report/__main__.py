"""Draw report.html and its charts from the JSON files that runs left in a results folder.

    python -m report RESULTS

exit status: 0 drawn, 2 usage, 4 results that cannot be used, or a machine that cannot draw or write.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """Mistakes are reported in one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"python -m report: error: {message} (usage: python -m report RESULTS)\n")


def draw(folder: Path) -> str:
    """Write the page and the charts, each completely or not at all; returns a line on them.

    Raises ValueError for a folder without results, OSError, and ImportError without Jinja2.
    """
    from report.page import drawings, page
    from report.results import read_folder

    found = read_folder(folder)
    for line in found.warnings:
        print(f"report: warning: {line}", file=sys.stderr)
    if not found.groups and not found.experiments:
        raise ValueError(f"{folder} holds no results to draw: run the script with --model all first")
    drawn = drawings(found)
    for name in ("accuracy_vs_parameters", "accuracy_vs_time"):
        if name not in drawn:
            (folder / f"{name}.svg").unlink(missing_ok=True)  # of earlier results
    files = {f"{name}.svg": chart.svg(alone=True) for name, chart in drawn.items()}
    for name, content in {**files, "report.html": page(found, drawn)}.items():
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        try:
            temporary.write_text(content, encoding="utf-8")
            os.replace(temporary, folder / name)
        finally:
            temporary.unlink(missing_ok=True)
    return f"drew report.html and {len(drawn)} plot{'s' * (len(drawn) != 1)}; open {folder / 'report.html'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    parser = Parser(prog="report", description="Draw report.html and its charts from a results folder's JSON files.")
    parser.add_argument("results", type=Path, help="the folder that --results-dir named")
    try:
        folder = parser.parse_args(argv).results
        if not folder.is_dir():
            parser.error(f"{folder} is {'not a folder' if folder.exists() else 'not there'}")
        print(draw(folder))
        return 0
    except SystemExit as stop:  # of the parser
        return int(stop.code or 0)
    except ImportError as error:
        message = f"the page needs Jinja2 ({error}): pip install jinja2"
    except OSError as error:
        message = f"cannot read or write {error.filename or 'the report'}: {error.strerror or error}"
    except ValueError as error:
        message = str(error)
    print(f"python -m report: error: {message}", file=sys.stderr)
    return 4


if __name__ == "__main__":
    sys.exit(main())
