"""The page on which a model classifies what a visitor draws: page.html, page.js, layers.js and the model's weights."""

from __future__ import annotations

import base64
import html
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import mnist_efficient_model as challenge
from export.javascript import Generator, layer_shapes, literal
from mnist_efficient_model import MODEL_ERROR, ChallengeError

HERE = Path(__file__).resolve().parent
TEMPLATE, PAGE, LAYERS = (HERE / name for name in ("page.html", "page.js", "layers.js"))
TEST_DIGITS = 40  # on the page, drawn by data/strokes.py


def to_html(model: nn.Module, result: dict[str, Any], verified: bool = True) -> str:
    """The page of a model: one file with its weights, layers and record, and synthetic digits to try it on.

    ``verified`` is whether the model was scored again; else the page says that its accuracy is the record's.
    Raises ChallengeError (status 3) for a layer that has no JavaScript and for a model that was not trained on digits.
    """
    if result["dataset"] not in ("mnist", "strokes"):
        raise ChallengeError(
            f"--html: the page is for models of digits, this one was trained on {result['dataset']}", MODEL_ERROR
        )
    with challenge.model_errors(result["model"]):
        shapes = layer_shapes(model)
    values = {
        "parameters": f"{result['parameters']:,}",
        "facts": "\n".join(
            f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text).replace(' %', '&nbsp;%')}</dd></div>"
            for name, text in facts(result, verified).items()
        ),
        "note": html.escape(result["note"] or ""),
        "script": script(model, Generator(shapes)),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda placeholder: values[placeholder[1]], text)


def facts(result: dict[str, Any], verified: bool) -> dict[str, str]:
    """What the page tells of the model."""
    interval = challenge.wilson_interval(result["test_accuracy"], result["test_images"])
    low, high = (100 * bound for bound in interval)
    source = "" if verified else "; as recorded by its run, not measured again for this page"
    scored = "its own test set" if result["scored_on"] == "test" else f"the {result['scored_on']} set"
    return {
        "Model": result["model"],
        "Parameters": f"{result['parameters']:,}",
        "Accuracy": f"{challenge.percent(result['test_accuracy'])} of {result['test_images']:,} images of {scored} "
        f"(95 % interval: {low:.2f} to {high:.2f} %{source})",
        "Trained on": f"{result['dataset']}, {result['images_seen']:,} images, each once",
        "Seed": str(result["seed"]),
    }


def script(model: nn.Module, generator: Generator) -> str:
    """All the JavaScript of the page; of layers.js only the functions that are used."""
    lines = generator.layers(model)
    view = sum(1 for _ in itertools.takewhile(re.compile(r".*?x => (zeroPad2d|bilinear)\(").match, lines))
    layers = "".join(f"  {line}\n" for line in lines)
    weights = "".join(
        f'  {literal(key)}: tensor({list(values.shape)}, floats("{base64_of(values.numpy().astype("<f4"))}")),\n'
        for key, values in generator.weights.items()
    )
    images, labels = challenge.import_file(challenge.STROKES).generate(TEST_DIGITS, 0, "test")
    page = PAGE.read_text(encoding="utf-8").replace('"use strict";\n', "", 1)
    code = (
        f"const weights = {{\n{weights}}};\n\n"
        f"const layers = [  // name, function of x  // output shape\n{layers}];\n"
        f"const VIEW = {view};  // layers at the start that only crop, pad or resize\n\n"
        f"const MEAN = {challenge.MEAN}, STD = {challenge.STD};\n"
        f'const digits = bytes("{base64_of(images)}");  // {TEST_DIGITS} images of 28 x 28 bytes\n'
        f"const labels = {labels.tolist()};\n\n{page.rstrip()}"
    )
    return f'"use strict";\n\n{used_functions(LAYERS.read_text(encoding="utf-8"), code)}\n\n{code}'


def base64_of(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def used_functions(library: str, code: str) -> str:
    """Those functions of a JavaScript library (blocks between blank lines) that ``code`` calls, directly or not."""
    found = ((re.search(r"^function (\w+)", block, re.MULTILINE), block) for block in library.strip().split("\n\n"))
    functions = {match[1]: block for match, block in found if match}
    used: set[str] = set()
    while new := {name for name in functions if name not in used and re.search(rf"\b{name}\(", code)}:
        used |= new
        code = "\n".join(functions[name] for name in new)
    return "\n\n".join(block for name, block in functions.items() if name in used)
