"""A checkpoint to export: its record is checked, and its model is scored again before anything is written."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mnist_efficient_model as challenge
from mnist_efficient_model import LIMIT_BROKEN, MODEL_ERROR, ChallengeError, Dataset, Limits, Result

# How far a new score may be from the recorded one. Both are equal on one machine; other threads or kernels only move
# rounding, which shifts the logits of `efficient` by up to 2e-5, where the best two of every test image are at least
# 0.012 apart. But a run on a GPU is scored in TF32, and even bfloat16 changes only 2 of 10,000 predictions. The loss is
# the finer test: it depends on every weight, also where the accuracy happens to stay.
ACCURACY_TOLERANCE = 3 / 10_000
LOSS_TOLERANCE = 0.01  # relative


def load_passing(path: str, model_file: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """A checkpoint's model and the record of its run (Result as a dictionary, all of it of the right types).

    Raises ChallengeError: as load_checkpoint does, 1 when the run broke a limit, and 3 when the record is not whole or
    contradicts itself or the model.
    """
    model, checkpoint = challenge.load_checkpoint(path, model_file)
    result, limits = checkpoint["result"], checkpoint["limits"]
    wrong = [*wrong_fields(Result, result), *(f"limits.{name}" for name in wrong_fields(Limits, limits))]
    if wrong:
        another = f"{path} is not a checkpoint of version {challenge.__version__}"
        reason = f"missing or wrong in its record: {', '.join(wrong)}"
        raise ChallengeError(f"{another} ({reason}): train again to make a new one", MODEL_ERROR)
    if not result["passed"]:
        broken = "; ".join(result["violations"])
        raise ChallengeError(f"{path} broke a limit, and only what passes is exported: {broken}", LIMIT_BROKEN)
    contradictions = {
        "model": result["model"] != checkpoint["model"],
        "parameters": result["parameters"] != challenge.count_parameters(model),
        "test_images": result["test_images"] < 1,
        "test_accuracy": result["test_accuracy"] is None or not 0 <= result["test_accuracy"] <= 1,
        "test_loss": result["test_loss"] is None,
        "diverged_at": result["diverged_at"] is not None,
    }
    if wrong := [name for name, found in contradictions.items() if found]:
        raise ChallengeError(f"{path}: its record cannot be that of its model ({', '.join(wrong)})", MODEL_ERROR)
    known = {f.name: result[f.name] for f in dataclasses.fields(Result)}
    limits = Limits(**{f.name: limits[f.name] for f in dataclasses.fields(Limits)})
    if broken := challenge.violations(Result(**known), limits):
        raise ChallengeError(f"{path} breaks its limits: {'; '.join(broken.values())}", LIMIT_BROKEN)
    return model, {key: printable(value) for key, value in known.items()}


def wrong_fields(kind: type, record: dict[str, Any]) -> list[str]:
    """The names of a dataclass's fields that a dictionary lacks or holds in another type."""
    hints = typing.get_type_hints(kind)
    return [name for name, hint in hints.items() if name not in record or not fits(record[name], hint)]


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of an annotated type, where JSON's list stands for a tuple and numbers are finite."""
    kind, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if hint is Any:
        return True
    if kind is types.UnionType:
        return any(fits(value, option) for option in inner)
    if kind is dict:
        return type(value) is dict and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if kind is list:
        return type(value) is list and all(fits(item, inner[0]) for item in value)
    if kind is tuple:
        return type(value) is list and len(value) == len(inner) and all(map(fits, value, inner))
    if kind is float and type(value) is float:
        return math.isfinite(value)
    if kind in (int, float) and type(value) is int:
        return abs(value) < 2**63
    return type(value) is kind


def printable(value: Any) -> Any:
    """Text that every encoder takes: a file's name may hold bytes that are no UTF-8."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def scoring_data(result: dict[str, Any], data_dir: str | None, download: bool) -> Dataset | None:
    """The dataset that a run was trained and scored on; None where it is not on disk and ``download`` is false.

    Raises ChallengeError: as load_dataset does, and 3 for a dataset that the script does not have.
    """
    name, scored_on = result["dataset"], result["scored_on"]
    test_on = None if scored_on in ("test", "holdout") else scored_on.removesuffix(" test")
    names = {name, test_on or name}
    if unknown := sorted(names - set(challenge.DATASETS)):
        raise ChallengeError(
            f"its record names the dataset {unknown[0]!r}, which the script does not have", MODEL_ERROR
        )
    folder = Path(data_dir or challenge.default_data_dir())
    if not download and any(each != "strokes" and not challenge.on_disk(each, folder) for each in names):
        return None
    holdout = result["test_images"] if scored_on == "holdout" else 0
    return challenge.load_dataset(name, folder, holdout, test_on)


def verify(path: str, model: nn.Module, result: dict[str, Any], data: Dataset | None) -> None:
    """Score a model again and raise ChallengeError (status 3) unless it gives its recorded accuracy and loss.

    Without its data only weights and logits that are not finite are found.
    """
    state = model.state_dict()
    if bad := [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise ChallengeError(f"{path}: {', '.join(bad)} holds NaN or infinity; nothing was written", MODEL_ERROR)
    images = data.test.images if data else torch.zeros(1, challenge.SIDE, challenge.SIDE, dtype=torch.uint8)
    with challenge.model_errors(result["model"]):
        challenge.check_model(model)
        logits = challenge.predict(model, images)
    if not logits.isfinite().all():
        raise ChallengeError(f"{path}: its logits are not all finite; nothing was written", MODEL_ERROR)
    if data:
        compare_scores(path, result, logits, data.test.labels)


def compare_scores(path: str, result: dict[str, Any], logits: Tensor, labels: Tensor) -> None:
    """Raise ChallengeError (status 3) unless logits (N, 10) score on labels (N,) as it is recorded."""
    if len(labels) != result["test_images"]:
        counts = f"it was scored on {result['test_images']:,} test images, here are {len(labels):,}"
        raise ChallengeError(f"{path}: {counts}; nothing was written", MODEL_ERROR)
    accuracy = int((logits.argmax(1) == labels).sum()) / len(labels)
    loss = F.cross_entropy(logits, labels).item()
    allowed = math.ceil(ACCURACY_TOLERANCE * len(labels)) / len(labels) + 1e-9
    close = math.isclose(loss, result["test_loss"], rel_tol=LOSS_TOLERANCE, abs_tol=1e-4)
    if abs(accuracy - result["test_accuracy"]) > allowed or not close:
        measured = f"accuracy {challenge.percent(accuracy)}, loss {loss:.4f}"
        recorded = f"{challenge.percent(result['test_accuracy'])} and {result['test_loss']:.4f}"
        raise ChallengeError(
            f"{path} does not give its recorded scores: {measured} on the {len(labels):,} test images, recorded are "
            f"{recorded}; nothing was written",
            MODEL_ERROR,
        )
