"""What both commands share: options, settings, progress, exit statuses.

Importing this needs no PyTorch, which takes seconds to load: a command says first what it is about to do.
"""

from __future__ import annotations

import argparse
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

MACHINE_ERROR = 4  # exit status
PASSING_SECONDS = 10  # between two lines on what is being done, where these do not replace each other
STEPS = {"build": "building", "train": "training", "test": "testing", "redraw": "training from other initial values"}


# --- Options and settings ---------------------------------------------------------------------------------------------


def number(kind: type, low: float, high: float) -> Callable[[str], float]:
    """The type of an option that is a number of a range."""

    def convert(text: str) -> float:
        if not low <= (value := kind(text)) <= high:
            raise argparse.ArgumentTypeError(f"{text}: it must be from {low} to {high:,}")
        return value

    convert.__name__ = kind.__name__  # for argparse's message on what is no number
    return convert


class Parser(argparse.ArgumentParser):
    """The options that both commands have, and one line instead of a page where one of them is wrong."""

    def __init__(self, **texts: str) -> None:
        super().__init__(**texts)
        add, data = self.add_argument, os.environ.get("MNIST_DATA_DIR") or f"{ROOT}/data"
        many, big, seeds, name = number(int, 1, 10**12), number(float, 0.001, 10**6), number(int, 0, 2**62), "NAME"
        fraction, few = number(float, 0, 1), number(int, 1, 100_000)
        add("--seeds", type=few, default=3, metavar="K", help="runs of each, judged on the median (default: 3)")
        add("--seed", type=seeds, default=0, metavar="N", help="the first seed (default: 0)")
        add("--max-parameters", type=many, metavar="N", help="fewer than this (default: the challenge's)")
        add("--min-accuracy", type=fraction, metavar="X", help="at least this (default: the challenge's)")
        add("--verified-only", action="store_true", help="a model that cannot become a graph is invalid")
        add("--rubric", metavar="FILE.toml", help="how points are given (default: 10 runs, 30 parameters, 60 accuracy)")
        add("--model-name", metavar=name, help="the class or function to take where a file has several")
        add("--dataset", default="mnist", metavar=name, help="one of the script's (default: mnist)")
        add("--data-dir", type=Path, default=data, metavar="DIR", help="default: $MNIST_DATA_DIR, else data/")
        add("--timeout", type=big, default=300.0, metavar="S", help="seconds for each child (default: 300)")
        add("--memory", type=few, default=2048, metavar="MB", help="memory for each child (default: 2048)")

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: error: {safe_text(message)} (see --help)\n")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What every submission is checked against; raises ChallengeError (status 2) for a dataset that is unknown."""
    from grading.grades import Limits, Settings
    from mnist_efficient_model import DATASETS, USAGE, ChallengeError

    if arguments.dataset not in DATASETS:
        raise ChallengeError(f"--dataset {arguments.dataset}: choose from {', '.join(DATASETS)}", USAGE)
    given = {"parameters": arguments.max_parameters, "accuracy": arguments.min_accuracy}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    seconds, memory, only = arguments.timeout, arguments.memory << 20, arguments.verified_only
    name, words = arguments.model_name, options(arguments)
    return Settings(limits, arguments.dataset, seeds, name, seconds, memory, only, words)


def options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options that give another command the same settings: those that are not the default, without files."""
    usual, found = vars(Parser().parse_args([])), []
    for name, default in usual.items():
        if name not in ("rubric", "data_dir") and (value := getattr(arguments, name)) != default:
            found.append(f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}"))
    return tuple(found)


def seeds(arguments: argparse.Namespace) -> str:
    return f"{arguments.seeds:,} seed{'s' * (arguments.seeds > 1)}"


def grader(arguments: argparse.Namespace, settings: Settings, hidden: Sequence[Path], work: Path) -> Grader:
    """The grader with its data, from which every child is kept away as from what is ``hidden``."""
    from grading.judge import Grader, challenge

    data = challenge.load_dataset(arguments.dataset, arguments.data_dir)
    return Grader(data, settings, [*hidden, arguments.data_dir, Path(ROOT, "data")], work)


def run(prog: str, command: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
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


# --- Progress ---------------------------------------------------------------------------------------------------------


def say(line: str, passing: bool = False) -> None:
    """A line on stderr; on a terminal, the next one replaces it where it is ``passing``."""
    end = "\n"
    if sys.stderr.isatty():
        if passing:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            line, end = line[: columns - 1], ""
        line = f"\r\x1b[K{line}"
    sys.stderr.write(line + end)
    sys.stderr.flush()


class Progress:
    """How many of ``total`` are done, what is being done, and the time left."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start, self.said = total, 0, time.monotonic(), float("-inf")

    def step(self, text: str) -> None:
        """What is being done: at once on a terminal, else now and then."""
        now = time.monotonic()
        if not self.done:
            self.start = now  # the time that PyTorch takes to load says nothing of the rest
        if sys.stderr.isatty() or now - self.said > PASSING_SECONDS:
            self.said = now
            say(self.line(text), passing=True)

    def advance(self, text: str) -> None:
        """One more is done."""
        self.done += 1
        say(self.line(text))

    def line(self, text: str) -> str:
        """With the time left, by that taken so far."""
        left = ""
        if 0 < self.done < self.total:
            seconds = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            unit, name = (3600, "h") if seconds > 5400 else (60, "min") if seconds > 90 else (1, "s")
            left = f" (about {max(1, round(seconds / unit)):,} {name} left)"
        return f"[{self.done:,}/{self.total:,}] {text}{left}"
