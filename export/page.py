"""The page on which models classify what a visitor draws: page.html, layers.js, page.js and the models' weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import nn

import mnist_efficient_model as challenge
import pages
from data.strokes import generate
from export.javascript import base64_of, layers
from mnist_efficient_model import MODEL_ERROR, ChallengeError

HERE = Path(__file__).resolve().parent
CITATION = HERE.parent / "CITATION.cff"
Record = dict[str, Any]  # of a run: the fields of a Result


def to_html(model: nn.Module, record: Record) -> str:
    """The page of one model that was scored a moment ago."""
    return demo([(model, record, True)])


def demo(models: Sequence[tuple[nn.Module, Record, bool]]) -> str:
    """The page of models, each with its record, and whether it was scored again; else the page says that it was not.

    Raises ChallengeError (status 3) for a layer that has no JavaScript and for a model that was not trained on digits.
    """
    images, labels = generate(40, 0, "test")  # to try a model on
    entries = []
    for model, record, verified in models:
        if record["dataset"] not in ("mnist", "strokes"):
            reason = f"the page is for models of digits, this one was trained on {record['dataset']}"
            raise ChallengeError(f"--html: {reason}", MODEL_ERROR)
        with challenge.model_errors(record["model"]):
            written = layers(model.eval(), torch.zeros(1, 1, challenge.SIDE, challenge.SIDE))
            logits = challenge.predict(model, torch.from_numpy(images[:1]))[0].tolist()  # which the page computes again
        parameters, accuracy = f"{record['parameters']:,}", challenge.percent(record["test_accuracy"])
        title = f"{record['model']}: {parameters} parameters, {accuracy}"
        about = {"title": title, "parameters": parameters, "facts": facts(record, verified)}
        entries.append({"layers": written, "logits": logits, **about})
    content = {"models": entries, "digits": base64_of(images), "labels": labels.tolist()}
    content |= {"mean": challenge.MEAN, "std": challenge.STD}
    style = pages.STYLE + (HERE / "page.css").read_text(encoding="utf-8")
    script = "".join((HERE / name).read_text(encoding="utf-8") for name in ("layers.js", "page.js"))
    project = re.search(r"^(?:repository-code|url): *(\S+)", CITATION.read_text(encoding="utf-8"), re.MULTILINE)
    return pages.render(
        HERE / "page.html",
        title=f"Draw a digit: {', '.join(record['model'] for _, record, _ in models)}",
        entries=entries,
        content=content,
        project=project and project[1],
        STYLE=Markup(style),
        style_source=pages.source(style),
        SCRIPT=Markup(script),
        script_source=pages.source(script),
    )


def facts(record: Record, verified: bool) -> list[tuple[str, str]]:
    """What the page says of a model: names and texts."""
    low, high = (100 * x for x in challenge.wilson_interval(record["test_accuracy"], record["test_images"]))
    scored = "its own test set" if record["scored_on"] == "test" else f"the {record['scored_on']} set"
    source = "" if verified else "; as recorded by its run, not measured again for this page"
    accuracy = f"{challenge.percent(record['test_accuracy'])} of {record['test_images']:,} images of {scored}"
    found = {
        "Model": record["model"],
        "Parameters": f"{record['parameters']:,}",
        "Accuracy": f"{accuracy} (95 % interval: {low:.2f} to {high:.2f} %{source})",
        "Trained on": f"{record['dataset']}, {record['images_seen']:,} images, each once",
        "Seed": str(record["seed"]),
        "Note": record["note"],
    }
    return [(name, pages.fit(text)) for name, text in found.items() if text]
