"""Draw plots and report.html from the JSON files that runs left in a results folder.

    python -m report RESULTS

exit status: 0 drawn, 2 usage, 4 results that cannot be used, or a machine that cannot draw or write.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from report.files import MACHINE_ERROR, USAGE, ReportError, read_folder, write_files
from report.results import Comparison, Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Parser(argparse.ArgumentParser):
    """Mistakes are told in one line."""

    def error(self, message: str) -> NoReturn:
        raise ReportError(f"{message} (usage: python -m report RESULTS)", USAGE)


def draw(folder: Path, comparison: Comparison | None, experiments: Sequence[Experiment]) -> dict[Path, bytes | None]:
    """Every file to write: plots, the page, and None for plots of an earlier comparison that this one has none of."""
    try:
        from report import page, plots, style, sweep_plots
    except ImportError as error:
        raise ReportError(
            f"plots need numpy and matplotlib ({error}): pip install numpy matplotlib", MACHINE_ERROR
        ) from error
    files: dict[Path, bytes | None] = {}
    svgs: dict[str, str] = {}

    def add(name: str, figure: Figure | None, label: str) -> None:
        files[folder / f"{name}.png"] = figure and style.png(figure)
        if figure:
            svgs[name] = style.svg(figure, name, page.text(label))

    if comparison and comparison.runs:
        for name, function in plots.DRAWN.items():
            figure = function(comparison)
            add(name, figure, page.label(name, comparison) if figure else "")
    for each in experiments:
        if each.kind == "sweep":
            add(each.name, sweep_plots.sweep(each), page.experiment_label(each))
        elif each.kind == "frontier":
            runs = Comparison(each.runs, each.limits)
            add(each.name, plots.accuracy_over(runs, "parameters"), page.experiment_label(each))
    files[folder / "report.html"] = page.page(comparison, experiments, svgs).encode(errors="backslashreplace")
    return files


def command(argv: Sequence[str]) -> None:
    """Do what the command line asks. Raises ReportError, and OSError where files cannot be written."""
    parser = Parser(prog="report", description="Draw plots and report.html from the JSON files of a results folder.")
    parser.add_argument("results", type=Path, help="the folder that --results-dir named")
    folder = parser.parse_args(argv).results
    files = draw(folder, *read_folder(folder))
    write_files(files)
    plots = sum(content is not None for content in files.values()) - 1
    print(f"drew report.html and {plots} plot{'s' * (plots != 1)}; open {folder / 'report.html'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    os.environ["MPLBACKEND"] = "agg"  # a notebook's own, or a name that matplotlib does not know, must do no harm
    warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in letters that the font lacks is drawn as boxes
    try:
        command(sys.argv[1:] if argv is None else argv)
        return 0
    except ReportError as error:
        message, status = str(error), error.status
    except OSError as error:
        message, status = f"cannot write {error.filename or 'the report'}: {error.strerror or error}", MACHINE_ERROR
    print(f"report: error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
