"""Take a passing checkpoint out of PyTorch: as ONNX, as int8, and as one web page that classifies what you draw.

python -m export results/efficient.pth --onnx efficient.onnx      checked against PyTorch on every test image
python -m export results/efficient.pth --int8 --compare           quantised; eager, compiled, ONNX and int8 compared
python -m export results/efficient.pth --html demo.html           the page, which needs nothing but a browser
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mnist_efficient_model as challenge
from export.checkpoint import load_passing, scoring_data, verify
from export.formats import format_bars, format_table, int8_summary, measure
from export.onnx_file import OnnxModel, check_same, to_int8, to_onnx
from export.outputs import check_outputs, files_read, write
from export.page import to_html
from mnist_efficient_model import MACHINE_ERROR, OK, ChallengeError

INSTALL = "pip install -r export/requirements.txt"
PACKAGES = {  # that an option needs beside those of the script
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "int8": ("onnx", "onnxscript", "onnxruntime"),
    "compare": ("onnx", "onnxscript", "onnxruntime", "matplotlib"),
    "html": (),
}
ENDINGS = {"int8": ".int8.onnx", "compare": ".formats.png"}  # of the outputs that need no name

Outputs = dict[Path, tuple[bytes, str]]  # each file's content, and what it is


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = challenge.Parser(
        prog="python -m export",
        description="Take a passing checkpoint out of PyTorch.",
        epilog=f"--onnx, --int8 and --compare need more packages: {INSTALL}. "
        "exit status: 0 done, 1 the checkpoint broke a limit, 2 usage, 3 the model cannot be exported, "
        "4 data or machine",
    )
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="what mnist_efficient_model.py saved, as results/efficient.pth")
    add("--onnx", type=Path, metavar="FILE", help="write ONNX, checked against PyTorch on every test image")
    optional = {"type": Path, "nargs": "?", "const": True, "metavar": "FILE"}
    add("--int8", **optional, help="quantise to 8 bits and compare with float32 (default: CHECKPOINT.int8.onnx)")
    add("--compare", **optional, help="eager, compiled, ONNX and int8, also drawn (default: CHECKPOINT.formats.png)")
    add("--html", type=Path, metavar="FILE", help="write a page that classifies what you draw")
    add("--model-file", metavar="FILE.py[:NAME]", help="for a model which is not the script's; executed, so trust it")
    add("--data-dir", metavar="DIR", help="where the data is (default: $MNIST_DATA_DIR, else data/)")
    arguments = parser.parse_args(argv)
    if arguments.model_file and not challenge.split_file(arguments.model_file):
        parser.error(f"--model-file {arguments.model_file}: it takes FILE.py or FILE.py:NAME")
    checkpoint = Path(arguments.checkpoint)
    for option, ending in ENDINGS.items():
        if getattr(arguments, option) is True:
            setattr(arguments, option, checkpoint.parent / (checkpoint.stem + ending))
    if not outputs_of(arguments):
        parser.error("nothing to do: give --onnx, --int8, --compare or --html")
    return arguments


def outputs_of(arguments: argparse.Namespace) -> dict[str, Path]:
    """The options given, each with the file that it writes."""
    return {option: path for option in PACKAGES if (path := getattr(arguments, option))}


def check_packages(option: str) -> None:
    """Raise ChallengeError (status 4) with the line that installs them unless the packages of an option are there."""
    missing = [package for package in PACKAGES[option] if importlib.util.find_spec(package) is None]
    if missing:
        raise ChallengeError(f"--{option} needs {' and '.join(missing)}: {INSTALL}", MACHINE_ERROR)


def export_onnx(
    model: nn.Module, result: dict[str, Any], data: challenge.Dataset, arguments: argparse.Namespace
) -> tuple[Outputs, list[str]]:
    """--onnx, --int8 and --compare, which share the ONNX file: what to write, and lines for the terminal."""
    outputs: Outputs = {}
    content = to_onnx(model, result)
    difference = check_same(model, content, data.test.images)
    if arguments.onnx:
        same = f"the same predictions on all {len(data.test.labels):,} test images, logits within {difference:.0e}"
        outputs[arguments.onnx] = content, f"ONNX, {same}"
    if not (arguments.int8 or arguments.compare):
        return outputs, []
    int8 = to_int8(content, data.train.images, result["model"])
    formats = [
        measure("ONNX", OnnxModel(content), len(content), data),
        measure("int8", OnnxModel(int8), len(int8), data),
    ]
    lines = []
    if arguments.int8:
        outputs[arguments.int8] = int8, "ONNX of 8 bits"
        lines.append(int8_summary(*formats))
    if arguments.compare:
        size = Path(arguments.checkpoint).stat().st_size
        eager = measure("eager", model, size, data)
        compiled = measure("torch.compile", torch.compile(model, dynamic=False), size, data)
        formats = [eager, compiled, *formats]
        title = f"{result['model']}, {result['parameters']:,} parameters, seed {result['seed']}, on {result['dataset']}"
        outputs[arguments.compare] = format_bars(formats, title), "the table, drawn"
    return outputs, [format_table(formats), *lines]


def command(argv: Sequence[str]) -> int:
    """Do what the command line asks; returns the exit status. Nothing is written before all is computed."""
    arguments = parse_arguments(argv)
    given = outputs_of(arguments)
    check_outputs(given, files_read(arguments.checkpoint, arguments.model_file, arguments.data_dir))
    for option in given:
        check_packages(option)
    model, result = load_passing(arguments.checkpoint, arguments.model_file)
    needs_data = set(given) != {"html"}
    data = scoring_data(result, arguments.data_dir, download=needs_data)
    verify(arguments.checkpoint, model, result, data)
    outputs: Outputs = {}
    lines: list[str] = []
    if arguments.html:
        page = to_html(model, result, verified=data is not None).encode()
        outputs[arguments.html] = page, "a page to open in any browser"
    if needs_data:
        more, lines = export_onnx(model, result, data, arguments)
        outputs |= more
    if data is None:
        lines.append(f"Note: {result['dataset']} is not on disk: the accuracy is the record's, not measured again")
    write(outputs)
    for line in lines:
        print(line)
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name is no reason to fail
    try:
        status = command(sys.argv[1:] if argv is None else argv)
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
    print(f"export: error: {message}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
