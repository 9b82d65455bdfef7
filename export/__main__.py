"""Take passing checkpoints out of PyTorch: as ONNX, as int8, and as one web page that classifies what you draw.

python -m export results/efficient.pth --onnx efficient.onnx              checked against PyTorch on every test image
python -m export results/efficient.pth --int8 --compare                   quantised; eager, ONNX and int8 compared
python -m export results/efficient.pth results/tiny.pth --html demo.html  the page, which needs nothing but a browser
"""

from __future__ import annotations

import signal

if __name__ == "__main__":  # importing torch takes seconds: until main() says more, Ctrl-C just ends the process
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

import mnist_efficient_model as challenge
import pages
from export.checkpoint import load_passing, scoring_data, verify
from export.onnx_file import HEADER, OnnxModel, check_same, measured, to_int8, to_onnx
from export.page import HERE, demo
from mnist_efficient_model import MACHINE_ERROR, OK, USAGE, ChallengeError

INSTALL = "pip install -r export/requirements.txt"
EXTRAS = ("onnx", "onnxscript", "onnxruntime")  # that all but --html need beside the script's packages
ENDINGS = {"html": ".html", "onnx": ".onnx", "int8": ".onnx"}  # of the option's output
Outputs = dict[Path, tuple[bytes, str]]  # each file's content, and what it is


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = challenge.Parser(
        prog="python -m export",
        description="Take passing checkpoints out of PyTorch.",
        epilog=f"--onnx, --int8 and --compare need more packages: {INSTALL}. exit status: 0 done, 1 a checkpoint broke "
        "a limit, 2 usage, 3 the model cannot be exported, 4 data or machine",
    )
    add = parser.add_argument
    add("checkpoints", nargs="+", metavar="CHECKPOINT", help="saved by mnist_efficient_model.py; several for --html")
    add("--html", type=Path, metavar="FILE", help="write a page that classifies what you draw")
    add("--onnx", type=Path, metavar="FILE", help="write ONNX, checked against PyTorch on every test image")
    add("--int8", type=Path, nargs="?", const=True, metavar="FILE", help="quantise (default: CHECKPOINT.int8.onnx)")
    add("--compare", action="store_true", help="eager PyTorch, ONNX and int8 side by side")
    add("--model-file", metavar="FILE.py[:NAME]", help="for a model which is not the script's; executed, so trust it")
    add("--data-dir", metavar="DIR", help="where the data is (default: $MNIST_DATA_DIR, else data/)")
    arguments = parser.parse_args(argv)
    if arguments.model_file and not challenge.split_file(arguments.model_file):
        parser.error(f"--model-file {arguments.model_file}: it takes FILE.py or FILE.py:NAME")
    if arguments.int8 is True:
        arguments.int8 = Path(arguments.checkpoints[0]).with_suffix(".int8.onnx")
    arguments.outputs = {option: path for option in ENDINGS if (path := getattr(arguments, option))}
    arguments.as_onnx = bool(arguments.onnx or arguments.int8 or arguments.compare)
    if not arguments.html and not arguments.as_onnx:
        parser.error("nothing to do: give --onnx, --int8, --compare or --html")
    if arguments.as_onnx and len(arguments.checkpoints) > 1:
        parser.error("several checkpoints: only --html takes them")
    return arguments


def check_outputs(outputs: dict[str, Path]) -> None:
    """Refuse files (option -> path) now, not after minutes of work: ChallengeError, 2 for a name that an output cannot
    have, since it may be something that is read, and 4 for one that cannot be written."""
    for option, path in outputs.items():
        target = Path(os.path.realpath(path))
        if target.suffix != ENDINGS[option] or target.parent in (HERE, pages.HERE):
            what = "the output, which replaces no checkpoint, model or data,"
            raise ChallengeError(f"--{option} {path}: {what} must end in {ENDINGS[option]}", USAGE)
        folder = next(parent for parent in target.parents if parent.exists())
        try:
            if target.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise ChallengeError(f"cannot write {path}: {error.strerror or error}", MACHINE_ERROR) from error
    if len({os.path.realpath(path) for path in outputs.values()}) < len(outputs):
        raise ChallengeError(f"{' and '.join(f'--{option}' for option in outputs)} name the same file", USAGE)


def export_onnx(
    model: nn.Module, record: dict[str, Any], data: challenge.Dataset, arguments: argparse.Namespace
) -> tuple[Outputs, list[str]]:
    """--onnx, --int8 and --compare: what to write, and lines for the terminal."""
    content = to_onnx(model, record)
    difference = check_same(model, content, data.test.images)
    outputs, lines = {}, []
    if arguments.onnx:
        same = f"the same predictions on all {len(data.test.labels):,} test images, logits within {difference:.0e}"
        outputs[arguments.onnx] = content, f"ONNX, {same}"
    if arguments.int8 or arguments.compare:
        int8 = to_int8(content, data.train.images, record["model"])
        formats = [("ONNX", OnnxModel(content), len(content)), ("int8", OnnxModel(int8), len(int8))]
        if arguments.compare:
            formats.insert(0, ("eager", model, Path(arguments.checkpoints[0]).stat().st_size))
        lines = [HEADER, *(measured(*each, data) for each in formats)]
        if arguments.int8:
            outputs[arguments.int8] = int8, "ONNX of 8 bits"
    return outputs, lines


def command(arguments: argparse.Namespace) -> int:
    """Do what the command line asks; returns the exit status. Nothing is written before all is computed."""
    check_outputs(arguments.outputs)
    missing = [package for package in EXTRAS if importlib.util.find_spec(package) is None]
    if arguments.as_onnx and missing:
        raise ChallengeError(f"ONNX and int8 need {' and '.join(missing)}: {INSTALL}", MACHINE_ERROR)
    outputs, lines, models = {}, [], []
    for path in arguments.checkpoints:
        model, record = load_passing(path, arguments.model_file)
        data = scoring_data(record, arguments.data_dir, needed=arguments.as_onnx)
        verify(path, model, record, data)
        models.append((model, record, data is not None))
        if arguments.as_onnx:
            outputs, lines = export_onnx(model, record, data, arguments)
        if data is None:
            reason = f"{record['dataset']} is not on disk: the accuracy is the record's, not measured again"
            lines.append(f"Note: {path}: {reason}")
    if arguments.html:
        outputs[arguments.html] = demo(models).encode(), "a page to open in any browser"
    for path, (content, what) in outputs.items():
        challenge.write_file(path, content)
        print(f"{path}: {what}, {len(content):,} bytes")
    for line in lines:
        print(line)
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name is no reason to fail
    try:
        status = command(parse_arguments(argv))
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except ChallengeError as error:
        message, status = str(error), error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read stdout has gone, and Python flushes it at exit
        message, status = "nobody reads the output any more; the files are written", MACHINE_ERROR
    except OSError as error:
        message, status = f"cannot write {error.filename or 'the results'}: {error.strerror or error}", MACHINE_ERROR
    except KeyboardInterrupt:
        message, status = "interrupted: no file was left half-written", 128 + signal.SIGINT
    print(f"python -m export: error: {message}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
