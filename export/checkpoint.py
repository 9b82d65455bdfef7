"""A checkpoint that passed, and the data that it was trained and scored on."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

import mnist_efficient_model as challenge
from mnist_efficient_model import LIMIT_BROKEN, MODEL_ERROR, ChallengeError, Dataset


def load_passing(path: str, model_file: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """A checkpoint's model and the record of its run (Result as a dictionary).

    Raises ChallengeError: as load_checkpoint does, 1 when the run broke a limit, and 3 when the record is not whole.
    """
    model, checkpoint = challenge.load_checkpoint(path, model_file)
    result = checkpoint["result"]
    if missing := [f.name for f in dataclasses.fields(challenge.Result) if f.name not in result]:
        another = f"{path} is not a checkpoint of version {challenge.__version__} (no {', '.join(missing)} in it)"
        raise ChallengeError(f"{another}: train again to make a new one", MODEL_ERROR)
    if not result["passed"]:
        broken = "; ".join(result["violations"])
        raise ChallengeError(f"{path} broke a limit, and only what passes is exported: {broken}", LIMIT_BROKEN)
    return model, result


def load_data_of(result: dict[str, Any], data_dir: str | None) -> Dataset:
    """The dataset that a run was trained and scored on."""
    return challenge.load_dataset(
        result["dataset"], data_dir, test_on=result["scored_on"].removesuffix("test").strip() or None
    )
