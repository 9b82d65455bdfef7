"""What the experiments share: their options, their errors, runs in processes, and the JSON that report/ draws."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import mnist_efficient_model as challenge
from mnist_efficient_model import MACHINE_ERROR, OK, ChallengeError, Dataset, Result, Task


def count(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def new_parser(name: str, question: str, runs: bool = False, data: bool = True) -> argparse.ArgumentParser:
    """The parser of an experiment with the options that several have; ``runs``: with --seeds and --jobs."""
    parser = challenge.Parser(prog=f"python -m experiments.{name}", description=question)
    parser.set_defaults(experiment=name, question=question)
    if runs:
        parser.add_argument("--seeds", type=count, default=2, metavar="K", help="seeds 0 to K - 1 (default: 2)")
        parser.add_argument("--jobs", type=count, metavar="J", help="J runs at a time (default: one per usable core)")
    if data:
        parser.add_argument("--dataset", default="auto", choices=("auto", *challenge.DATASETS), help="default: auto")
        parser.add_argument(
            "--data-dir", metavar="DIR", help="where the data is (default: $MNIST_DATA_DIR, else data/)"
        )
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help="default: results/")
    return parser


def make_runs(
    tasks: Sequence[Task],
    data: Dataset,
    jobs: int | None,
    save: Callable[[list[Result]], None],
    keys: Sequence[str] = (),
) -> None:
    """Make runs in processes, a line for each as it ends; then ``save`` all, or after Ctrl-C what is finished."""
    done: dict[Task, Result] = {}
    device = challenge.pick_device("auto")
    jobs = jobs or (challenge.usable_cores() if device.type == "cpu" else 1)
    print(f"{data.name}, {device}: {len(tasks)} runs, {min(jobs, len(tasks))} at a time, one thread each", flush=True)
    try:
        for task, outcome in challenge.run_tasks(tasks, data, device, jobs):
            if not isinstance(outcome, Result):
                raise outcome
            done[task] = outcome
            settings = "".join(f"{key}={getattr(task.config, key)} " for key in keys)
            print(f"[{len(done)}/{len(tasks)}] {settings}{outcome.one_line()}", flush=True)
    finally:
        if done:
            save([done[task] for task in tasks if task in done])


def save(arguments: argparse.Namespace, table: list[list[str]], data: Dataset | None = None, **more: Any) -> None:
    """Print a table (rows of text, the header first) and write it, with ``more`` that plots need, as JSON."""
    name = challenge.results_name(arguments.experiment, data) if data else arguments.experiment
    head = {key: getattr(arguments, key) for key in ("experiment", "question", "command")}
    document = {**head, "note": data and data.note, "table": table, **more}
    path = arguments.results_dir / f"{name}.json"
    challenge.write_file(path, json.dumps(document, indent=1) + "\n")
    note = f"\nNote: {document['note']}" if document["note"] else ""
    print(f"\n{markdown(table)}{note}\n\n{path} is written; python -m report {path.parent} draws it")


def markdown(table: list[list[str]]) -> str:
    """A table as Markdown, in columns that are as wide as they must be, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rule = [f"{'-' * (width - 1)}{':' if i else '-'}" for i, width in enumerate(widths)]
    lines = []
    for name, *cells in [table[0], rule, *table[1:]]:
        others = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append(f"| {' | '.join([name.ljust(widths[0]), *others])} |")
    return "\n".join(lines)


def fixed(value: float | None, digits: int = 2) -> str:
    """A number as a cell; blank where it was not measured."""
    return "" if value is None else f"{value:,.{digits}f}"


def percent(fraction: float | None) -> str:
    return "" if fraction is None else challenge.percent(fraction).removesuffix(" %")


def main(parse: Callable[..., argparse.Namespace], answer: Callable[[argparse.Namespace], None], argv: Any) -> int:
    """Parse, answer, and turn an error into one line; returns the exit status, as the script's."""
    arguments = parse(argv)
    words = sys.argv[1:] if argv is None else argv
    arguments.command = shlex.join(["python", "-m", f"experiments.{arguments.experiment}", *words])
    try:
        probe = arguments.results_dir / ".writable"
        challenge.write_file(probe, "")  # fails now, not after the work
        probe.unlink()
        answer(arguments)
        return OK
    except ChallengeError as error:
        message, status = str(error), error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes it at exit
        message, status = "standard output was closed", MACHINE_ERROR
    except OSError as error:
        message, status = f"cannot write {error.filename or 'the results'}: {error.strerror or error}", MACHINE_ERROR
    except KeyboardInterrupt as error:
        message, status = "interrupted: what was finished is in the results folder", 128 + (error.args or [2])[0]
    print(f"experiments.{arguments.experiment}: error: {message}", file=sys.stderr, flush=True)
    return status


def load_dataset(arguments: argparse.Namespace, holdout: int = 0) -> Dataset:
    """The data that the options name, with one thread: a process whose threads run cannot be forked safely."""
    torch.set_num_threads(1)
    return challenge.load_dataset(arguments.dataset, arguments.data_dir, holdout)
