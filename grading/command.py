"""What both commands share: options, settings, progress, exit statuses.

Importing this needs no PyTorch, which takes seconds to load: a command says first what it is about to do.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading.sandbox.isolation import ROOT
from grading.sandbox.server import ServerFailed
from grading.sandbox.watch import safe_text

if TYPE_CHECKING:
    from grading.grades import Settings
    from grading.judge import Grader

OK, USAGE, MACHINE_ERROR = 0, 2, 4  # exit statuses, those of the script
DATASETS = ("mnist", "strokes", "fashion", "kmnist")


# --- The command line -------------------------------------------------------------------------------------------------


def between(kind: type, low: float, high: float) -> Callable[[str], float]:
    """The type of an option that is a number of a range."""

    def convert(text: str) -> float:
        if not low <= (value := kind(text)) <= high:
            raise argparse.ArgumentTypeError(f"{text}: it must be from {low} to {high:,}")
        return value

    convert.__name__ = kind.__name__
    return convert


class Parser(argparse.ArgumentParser):
    """The options that both commands have, and one line instead of a page where one of them is wrong."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, fromfile_prefix_chars="@")
        add = self.add_argument
        add(
            "--seeds",
            type=between(int, 1, 100_000),
            default=3,
            metavar="K",
            help="runs of each, judged on the median (default: 3)",
        )
        add("--seed", type=between(int, 0, 2**62), default=0, metavar="N", help="the first seed (default: 0)")
        add(
            "--max-parameters",
            type=between(int, 1, 10**12),
            metavar="N",
            help="fewer than this (default: the challenge's 25000)",
        )
        add(
            "--min-accuracy",
            type=between(float, 0, 1),
            metavar="X",
            help="at least this (default: the challenge's 0.95)",
        )
        add("--verified-only", action="store_true", help="a model that cannot become a graph is invalid")
        add("--rubric", metavar="FILE.toml", help="how points are given (default: 10 runs, 30 parameters, 60 accuracy)")
        add("--model-name", metavar="NAME", help="the class or function to take where a file has several")
        add("--dataset", default="mnist", choices=DATASETS, help="default: mnist")
        add("--data-dir", metavar="DIR", help="where the data is or goes (default: $MNIST_DATA_DIR, else data/)")
        add(
            "--timeout",
            type=between(float, 0.001, 10**6),
            default=300.0,
            metavar="S",
            help="seconds for each child (default: 300)",
        )
        add(
            "--memory",
            type=between(int, 1, 10**9),
            default=2048,
            metavar="MB",
            help="memory for each child (default: 2048)",
        )

    def error(self, message: str) -> Any:
        self.exit(USAGE, f"{self.prog}: error: {safe_text(message)} (see --help)\n")


def run(prog: str, command: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None) -> int:
    """A command's exit status, and one line on stderr instead of a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no child outlives this process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name is no reason to fail
    try:
        return command(argv)
    except KeyboardInterrupt:
        say("interrupted: what was graded is kept; run again to go on")
        return 130
    except ServerFailed as error:
        message, status = f"the fork server did not start: {error}", MACHINE_ERROR
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        message, status = f"cannot read or write{where}: {error.strerror or error}", MACHINE_ERROR
    except ImportError as error:
        message, status = f"{error}: pip install -r requirements.txt", MACHINE_ERROR
    except Exception as error:
        from mnist_efficient_model import ChallengeError

        if not isinstance(error, ChallengeError):  # Python's own status would be 1, a broken limit
            traceback.print_exc()
            return MACHINE_ERROR
        message, status = str(error), error.status
    say(f"{prog}: error: {safe_text(message)}")
    return status


def seeds(arguments: argparse.Namespace) -> str:
    return f"{arguments.seeds:,} seed{'s' * (arguments.seeds > 1)}"


def data_dir(arguments: argparse.Namespace) -> Path:
    return Path(arguments.data_dir or os.environ.get("MNIST_DATA_DIR") or Path(ROOT, "data"))


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What every submission is checked against."""
    from grading.grades import Limits, Settings

    given = {"parameters": arguments.max_parameters, "accuracy": arguments.min_accuracy}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    seconds, memory, only = arguments.timeout, arguments.memory << 20, arguments.verified_only
    return Settings(limits, arguments.dataset, seeds, arguments.model_name, seconds, memory, only)


def grader(arguments: argparse.Namespace, settings: Settings, hidden: Sequence[Path], work: Path) -> Grader:
    """The grader with its data, from which every child is kept away as from what is ``hidden``."""
    from grading.judge import Grader, challenge

    data = challenge.load_dataset(arguments.dataset, arguments.data_dir)
    return Grader(data, settings, [*hidden, data_dir(arguments), Path(ROOT, "data")], work)


# --- Progress ---------------------------------------------------------------------------------------------------------


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Progress:
    """How far a command is, with time left: a bar where that is a terminal and tqdm is there, else lines."""

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.done, self.start, self.bar = total, 0, time.monotonic(), None
        if sys.stderr.isatty() and importlib.util.find_spec("tqdm"):
            from tqdm import tqdm

            form = "{desc} |{bar}| {n_fmt}/{total_fmt} {unit} {elapsed}<{remaining}"
            self.bar = tqdm(total=total, unit=unit, desc="starting", bar_format=form, dynamic_ncols=True, leave=False)

    def now(self, text: str) -> bool:
        """Show beside the bar what is being done; False where there is no bar."""
        if not self.done:
            self.start = time.monotonic()  # the time that PyTorch took to load says nothing of the rest
        if self.bar is not None:
            self.bar.set_description_str(safe_text(text, 60))
            self.bar.n = self.done
        return self.bar is not None

    def advance(self, text: str = "") -> None:
        """One more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
            if text:
                self.bar.write(text, file=sys.stderr)
        elif text:
            remain = f"{self.total - self.done:,} remain"
            say(f"[{self.done:,}/{self.total:,}] {text}  ({', '.join(filter(None, [remain, self.left()]))})")

    def left(self) -> str:
        """The time left, by that taken so far; an empty string where nothing is known yet."""
        if not self.done or self.done >= self.total:
            return ""
        seconds = (time.monotonic() - self.start) / self.done * (self.total - self.done)
        unit, name = (3600, "h") if seconds > 5400 else (60, "min") if seconds > 90 else (1, "s")
        return f"about {max(1, round(seconds / unit)):,} {name} left"

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
