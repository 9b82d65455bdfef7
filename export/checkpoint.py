"""A checkpoint to export: its run is judged, and its model scored again, before anything is written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mnist_efficient_model as challenge
from mnist_efficient_model import LIMIT_BROKEN, MODEL_ERROR, ChallengeError, Dataset, Limits, Result

# How far a new score may be from the recorded one. Both are equal on one machine; other threads or kernels only move
# rounding, which shifts the logits of `efficient` by up to 2e-5, where the best two of every test image are at least
# 0.012 apart. But a run on a GPU is scored in TF32, and even bfloat16 changes only 2 of 10,000 predictions. The loss is
# the finer test: it depends on every weight, also where the accuracy happens to stay.
ACCURACY_TOLERANCE = 3 / 10_000
LOSS_TOLERANCE = 0.01  # relative


def load_passing(path: str, model_file: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """A checkpoint's model and the record of its run, the fields of a Result.

    Raises ChallengeError: as load_checkpoint does, 3 for a record of another version, and 1 for a broken limit.
    """
    model, checkpoint = challenge.load_checkpoint(path, model_file)
    record = checkpoint["result"] | {"parameters": challenge.count_parameters(model)}
    try:
        broken = challenge.violations(Result(**record), Limits(**checkpoint["limits"]))
    except TypeError as error:  # missing or unknown fields
        reason = f"{path} is not a checkpoint of version {challenge.__version__}"
        raise ChallengeError(f"{reason}: train again to make a new one", MODEL_ERROR) from error
    if broken:
        reason = f"{path} broke a limit, and only what passes is exported"
        raise ChallengeError(f"{reason}: {'; '.join(broken.values())}", LIMIT_BROKEN)
    return model, record


def scoring_data(record: dict[str, Any], data_dir: str | None, needed: bool) -> Dataset | None:
    """The data of a run; None where they are not on disk and not ``needed``. Raises ChallengeError as load_dataset."""
    name, scored_on = record["dataset"], record["scored_on"]
    test_on = scored_on.removesuffix(" test") if scored_on.endswith(" test") else ""
    folder = Path(data_dir or challenge.default_data_dir())
    drawn_or_there = (challenge.DATASETS.get(n) is None or challenge.on_disk(n, folder) for n in (name, test_on))
    if not needed and not all(drawn_or_there):
        return None
    return challenge.load_dataset(name, folder, record["test_images"] if scored_on == "holdout" else 0, test_on)


def verify(path: str, model: nn.Module, record: dict[str, Any], data: Dataset | None) -> None:
    """Score a model again: raises ChallengeError (status 3) unless it gives its recorded accuracy and loss.

    Without its data only a model whose logits are not finite is found.
    """
    images = data.test.images if data else torch.zeros(1, challenge.SIDE, challenge.SIDE, dtype=torch.uint8)
    with challenge.model_errors(record["model"]):
        challenge.check_model(model)
        logits = challenge.predict(model, images)
    if not logits.isfinite().all():
        raise ChallengeError(f"{path}: its logits are not finite numbers; nothing was written", MODEL_ERROR)
    if not data:
        return
    n, found = len(data.test.labels), challenge.score(logits, data.test)
    near = abs(found.accuracy - record["test_accuracy"]) <= math.ceil(ACCURACY_TOLERANCE * n) / n + 1e-9
    near = near and math.isclose(found.loss, record["test_loss"], rel_tol=LOSS_TOLERANCE)
    if n != record["test_images"] or not near:
        measured = f"accuracy {challenge.percent(found.accuracy)}, loss {found.loss:.4f} on {n:,} test images"
        recorded = f"{challenge.percent(record['test_accuracy'])}, {record['test_loss']:.4f}, {record['test_images']:,}"
        reason = f"{path} does not give its recorded scores: {measured}; recorded are {recorded}"
        raise ChallengeError(f"{reason}; nothing was written", MODEL_ERROR)
