#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = ["torch>=2.6", "torchvision>=0.21", "numpy>=1.26"]
# ///
"""The efficient-MNIST challenge: fewer than 25,000 parameters, at least 95 % accuracy, exactly one augmented epoch.

`efficient` has 8,706 parameters and classifies 98.96 % of MNIST's test images rightly (mean of 20 seeds, min 98.76, max
99.13; all pass). Its epoch takes 4.4 s (median of 7) on two cores of an Intel Xeon (Emerald Rapids), torch 2.14.1.

    python mnist_efficient_model.py                    train it, check the limits, save the checkpoint
    python mnist_efficient_model.py --seeds 20         twenty runs: mean, min, max, and how many passed
    python mnist_efficient_model.py --list-models      the other networks

This file needs torch and numpy, and torchvision only to download MNIST. Read it from the top; the challenge is whole
when you reach the rivals, and what follows is breadth: other networks, other people's files, results, the command line.

    Config -> load_dataset -> Split -> epoch_batches -> augment -> model -> train_one_epoch
           -> evaluate -> Result -> violations
"""

from __future__ import annotations

import signal

if __name__ == "__main__":  # importing torch takes seconds: until main() says more, Ctrl-C just ends the process
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import base64
import contextlib
import copy
import csv
import dataclasses
import difflib
import gzip
import hashlib
import html
import importlib.util
import inspect
import io
import itertools
import json
import logging
import math
import multiprocessing
import os
import pickle
import platform
import re
import shlex
import socket
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

try:
    import numpy as np
    import torch
except ImportError as missing:
    if __name__ != "__main__":
        raise
    print(f"mnist_efficient_model.py: error: {missing}: pip install torch torchvision numpy", file=sys.stderr)
    sys.exit(4)
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd
from torch.utils._python_dispatch import TorchDispatchMode

__version__ = "2.1.0"

CLASSES = 10
SIDE = 28  # pixels

OK, LIMIT_BROKEN, USAGE, MODEL_ERROR, MACHINE_ERROR = 0, 1, 2, 3, 4  # exit statuses


class ChallengeError(Exception):
    """A problem that its reader can solve: ChallengeError(message of one line, exit status)."""

    @property
    def status(self) -> int:
        return self.args[1]

    def __str__(self) -> str:
        return self.args[0]


# --- The limits, and how the one epoch is run -------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """What a model is held to, beside exactly one epoch."""

    parameters: int = 25_000  # strictly fewer
    accuracy: float = 0.95  # at least, as a fraction of all test images


@dataclass(frozen=True)
class Range:
    """What a number may be: from ``low`` (or above it, where ``exclusive``) to ``high``, infinity excluded."""

    low: float
    high: float = math.inf
    exclusive: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and value != math.inf and not (self.exclusive and value == self.low)

    def __str__(self) -> str:
        start = f"above {self.low:g}" if self.exclusive else f"from {self.low:g}"
        return f"{start} to {self.high:g}" if self.high < math.inf else f"{start}{'' if self.exclusive else ' on'}"


def number(value: Any, kind: type[int] | type[float], allowed: Range) -> int | float:
    """A number, or the text of one, as its type; raises ValueError that says what it must be."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        parsed = kind(value)
        if not isinstance(value, bool) and (isinstance(value, str) or parsed == value) and parsed in allowed:
            return parsed
    raise ValueError(f"{str(value)[:40]!r} is not {'a whole number' if kind is int else 'a number'} {allowed}")


def setting(default: Any, allowed: Range | tuple[str, ...]) -> Any:
    """A Config field with the values that it may take."""
    return field(default=default, metadata={"allowed": allowed})


@dataclass(frozen=True)
class Config:
    """The recipe of the epoch, chosen on a hold-out of the training set. Each field's range is checked here.

    Raises ChallengeError (status 2) naming the field and its range.
    """

    batch_size: int = setting(128, Range(1))  # images per optimizer step
    optimizer: str = setting("adamw", ("adamw", "sgd", "muon"))
    lr: float | None = setting(None, Range(0, exclusive=True))  # peak learning rate; None: the optimizer's, OPTIMIZERS
    weight_decay: float = setting(0.0, Range(0, 10))  # on all parameters; one epoch leaves no time to overfit
    warmup: float = setting(0.25, Range(0, 1))  # fraction of the epoch in which the rate climbs; it then falls to zero
    label_smoothing: float = setting(0.1, Range(0, 1))  # fraction of the target spread evenly over the classes
    rotation: float = setting(10.0, Range(0, 180))  # degrees: each image turns by its own angle within +-rotation
    translation: float = setting(0.1, Range(0, 1))  # fraction of the side: each image shifts by its own offset within
    fade: float = setting(0.8, Range(0, 1))  # last fraction of the epoch over which the augmentation shrinks to nothing

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if (value := getattr(self, name)) is not None or name != "lr":
                object.__setattr__(self, name, self.check(name, value))

    @classmethod
    def check(cls, name: str, value: Any) -> Any:
        """A value for the field ``name``, as its type; raises ChallengeError (status 2) unless it is allowed."""
        if name not in cls.__dataclass_fields__:
            raise ChallengeError(f"unknown setting {name!r}: choose from {', '.join(cls.__dataclass_fields__)}", USAGE)
        default, allowed = cls.__dataclass_fields__[name].default, cls.__dataclass_fields__[name].metadata["allowed"]
        if isinstance(allowed, tuple):
            if value not in allowed:
                raise ChallengeError(f"{name}: {value!r} is none of {', '.join(allowed)}", USAGE)
            return value
        try:
            return number(value, int if isinstance(default, int) else float, allowed)
        except ValueError as error:
            raise ChallengeError(f"{name}: {error}", USAGE) from error


# --- The network: the function's name is the model's name -------------------------------------------------------------


class ModelSpec(NamedTuple):
    build: Callable[[], nn.Module]
    overrides: dict[str, Any] = {}  # noqa: RUF012  # of Config, fitted to this model on the hold-out
    must_pass: bool = False  # the challenge claims that it holds every limit; rivals and ablations may break one

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.build) or "").split("\n")[0]


MODELS: dict[str, ModelSpec] = {}  # what --model all trains
FRONTIER: dict[str, ModelSpec] = {}  # what --model frontier trains: the two records' networks at many widths


def register(must_pass: bool = False, **overrides: Any) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Enter the decorated builder in MODELS, with the Config fields it overrides.

    A duplicate name is an error, and so is another augmentation: its rule is the same for all.
    """
    if overrides.keys() & {"rotation", "translation"}:
        raise ValueError("rotation and translation are the same for every registered model")

    def enter(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        if build.__name__ in MODELS:
            raise ValueError(f"two models are called {build.__name__!r}")
        dataclasses.replace(Config(), **overrides)  # an unknown override is an error too
        MODELS[build.__name__] = ModelSpec(build, overrides, must_pass)
        return build

    return enter


class ChannelsLast(nn.Module):
    """Stride a batch of grey images as NHWC, the layout in which CPU convolutions and pools vectorise over channels.

    With one channel both layouts look alike to PyTorch: ``.to(memory_format=torch.channels_last)`` changes nothing and
    the convolution falls back to NCHW. Naming the strides decides it for every layer that follows. Other devices keep
    their own layout: on MPS, BatchNorm's backward has been wrong for this one (pytorch/pytorch#181411).
    """

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "cpu":
            return images
        n, _, height, width = images.shape
        return images.reshape(n, height, width, 1).permute(0, 3, 1, 2)  # (N, 1, H, W), the channel fastest


def conv_block(
    inputs: int, outputs: int, padding: int = 1, pool: bool = True, activation: nn.Module | None = None
) -> list[nn.Module]:
    """3x3 convolution, 2x2 max-pooling, BatchNorm, ReLU: (N, inputs, H, W) -> (N, outputs, H/2, W/2) if padded.

    Pooling first leaves BatchNorm and ReLU a quarter of the work, and one epoch reached more with it. The convolution
    has no bias, which BatchNorm would subtract again.
    """
    return [
        nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(outputs),
        activation or nn.ReLU(inplace=True),
    ]


@register(must_pass=True, fade=0.7)
def efficient() -> nn.Module:
    """Three convolutions with BatchNorm, global average pooling and a small head: the challenge's own network.

    Global average pooling instead of a flattened map: Lin, Chen and Yan, "Network In Network", 2013. 8,706 parameters;
    the 8,762 of a description in circulation counts the 8 + 16 + 32 convolution biases that BatchNorm makes redundant.

    It draws the whole image with 24 x 24 pixels, from where every side halves without a remainder: an image takes
    281,000 multiply-accumulates, where 28 x 28 takes 511,000 to read no better.
    """
    return nn.Sequential(
        nn.Upsample(24, mode="bilinear"),  # (N, 1, 24, 24)
        ChannelsLast(),
        *conv_block(1, 8),  # (N, 8, 12, 12)
        *conv_block(8, 16),  # (N, 16, 6, 6)
        *conv_block(16, 32, padding=0),  # (N, 32, 2, 2)
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # (N, 32)
        nn.Linear(32, 64),
        nn.ReLU(inplace=True),
        nn.Linear(64, CLASSES),
    )


# --- Data: images and labels, whole, as tensors -----------------------------------------------------------------------


class Split(NamedTuple):
    """Images and their labels, whole, on one device."""

    images: Tensor  # (N, 28, 28) uint8
    labels: Tensor  # (N,) int64, 0-9

    def to(self, device: torch.device | str) -> Split:
        return Split(self.images.to(device), self.labels.to(device))


class Dataset(NamedTuple):
    name: str  # as on the command line
    train: Split
    test: Split  # what the accuracy is measured on: the test set, or the hold-out
    scored_on: str  # "test", "holdout", or "NAME test" for another dataset's test set

    @property
    def note(self) -> str | None:
        """What a reader of any figure must know of the data, if it is not plain MNIST."""
        if self.name == "strokes" and self.scored_on != "mnist test":
            return (
                "these figures are for strokes, digits drawn from pen strokes, NOT for MNIST; to get MNIST, run once "
                "with a network and --dataset mnist, or put its files where that command says"
            )
        crossed = self.scored_on not in ("test", "holdout")
        return f"trained on {self.name}, scored on the {self.scored_on} images" if crossed else None


MEAN, STD = 0.1307, 0.3081  # of MNIST's training pixels scaled to 0-1; for every dataset, so that models carry over


def to_input(pixels: Tensor) -> Tensor:
    """Normalise pixels (N, 28, 28), 0-255 of any dtype, into a model's input: (N, 1, 28, 28) float32."""
    return pixels.float().mul(1 / (255 * STD)).sub_(MEAN / STD).unsqueeze(1)


# --- Augmentation and batches: every image once, each with its own warp -----------------------------------------------


def random_affine(n: int, config: Config, generator: torch.Generator) -> Tensor:
    """Draw the warps of a whole epoch: (n, 2, 3) float32 on the CPU, row i for the i-th image delivered.

    Angles are uniform within +-rotation degrees and offsets within +-translation of the side. Both shrink linearly to
    zero over the last ``fade`` of the epoch, so that the network settles on images like those it is tested on.
    """
    left = 1 - torch.arange(n) / n  # fraction of the epoch still to come
    strength = (left / config.fade).clamp(max=1) if config.fade else torch.ones(n)
    angle, x, y = (2 * torch.rand(3, n, generator=generator) - 1) * strength
    angle = angle * math.radians(config.rotation)
    x, y = x * 2 * config.translation, y * 2 * config.translation  # the sampling grid spans -1 to 1
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, x, sin, cos, y], dim=1).view(n, 2, 3)


@cache
def affine_basis(device: torch.device) -> Tensor:
    """The sampling grids of the six unit matrices, (6, 28 * 28 * 2): any matrix's grid is a sum of them."""
    unit = torch.eye(6, device=device).view(6, 2, 3)
    return F.affine_grid(unit, [6, 1, SIDE, SIDE], align_corners=False).view(6, -1)


def augment(pixels: Tensor, affine: Tensor) -> Tensor:
    """Warp each image of a batch (N, 28, 28) by its own matrix (N, 2, 3), bilinearly, with zeros from outside.

    A matrix maps output to input coordinates, as in ``F.affine_grid(align_corners=False)``. That function would take
    three times as long as the sampling itself; one product with its grids for the unit matrices gives the same.
    """
    n = len(pixels)
    grid = (affine.view(n, 6) @ affine_basis(pixels.device)).view(n, SIDE, SIDE, 2)
    return F.grid_sample(pixels.float().unsqueeze(1), grid, align_corners=False).squeeze(1)


def epoch_batches(split: Split, config: Config, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Deliver every image of ``split`` once, shuffled and augmented, the last partial batch included.

    Yields (indices (B,), images (B, 1, 28, 28), labels (B,)) on the split's device. All chance is drawn beforehand on
    the CPU from ``generator``, so a seed means the same epoch on every device and the device is never waited for.
    """
    device, n = split.images.device, len(split.labels)
    order = torch.randperm(n, generator=generator).to(device).split(config.batch_size)
    affine = random_affine(n, config, generator).to(device).split(config.batch_size)
    rows = split.images.flatten(1)  # to gather whole rows takes a sixteenth of the time of split.images[indices]
    warped = config.rotation or config.translation
    for indices, matrices in zip(order, affine, strict=True):
        pixels = rows.index_select(0, indices).unflatten(1, (SIDE, SIDE))
        yield indices, to_input(augment(pixels, matrices) if warped else pixels), split.labels[indices]


# --- The one epoch ----------------------------------------------------------------------------------------------------


def one_cycle(done: float, warmup: float) -> float:
    """Fraction of the peak learning rate when ``done`` of the epoch is over: a line up, then a line down to zero.

    Source: Smith and Topin, "Super-Convergence", 2018.
    """
    return done / warmup if done < warmup else max(0.0, 1 - done) / (1 - warmup)


@dataclass(frozen=True)
class Epoch:
    """What happened in one epoch, as the engine counted it."""

    seconds: float  # from before the first batch is drawn until after the last optimizer step, augmentation included
    images_seen: int  # images delivered
    each_once: bool  # every training image was delivered exactly once
    diverged_at: int | None  # the step (from 1) at which the loss stopped being a number; training ended soon after
    curve: list[dict[str, float]]  # points of images, loss and accuracy: means since the point before


def train_one_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    config: Config,
    images: int,
    on_progress: Callable[[int, float, float], None] | None = None,
) -> Epoch:
    """Train ``model`` in place on ``batches`` of (indices (B,), inputs (B, 1, 28, 28), labels (B,)).

    ``images`` is the size of the training set: the learning rate's schedule and the count of the epoch rest on it.
    ``on_progress(images, loss, accuracy)`` is called about 25 times with the means since the last call.
    """
    optimizer = OPTIMIZERS[config.optimizer](model.parameters(), config.lr, config.weight_decay)
    steps = math.ceil(images / config.batch_size)
    log = EpochLog(images, steps, on_progress)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    model.train()
    synchronize(device)
    start = time.perf_counter()
    for step, (indices, inputs, labels) in enumerate(batches):
        optimizer.lr = optimizer.peak * one_cycle((step + 0.5) / steps, config.warmup)
        logits = model(inputs)
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if not log.add(indices, loss, logits, labels):
            break
    synchronize(device)
    return log.close(time.perf_counter() - start)


class EpochLog:
    """Counts what an epoch delivers and how it goes. It keeps what a step gave, and reads it about 25 times."""

    def __init__(self, images: int, steps: int, on_progress: Callable[..., None] | None) -> None:
        self.images, self.steps, self.on_progress = images, steps, on_progress
        self.interval = math.ceil(steps / 25)  # steps from one point of the curve to the next
        self.curve: list[dict[str, float]] = []
        self.diverged_at: int | None = None
        self.delivered: list[Tensor] = []  # the indices of every step
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []  # loss, logits and labels of the steps since the last point

    def add(self, indices: Tensor, loss: Tensor, logits: Tensor, labels: Tensor) -> bool:
        """Note a step; returns False when the loss is not a number any more."""
        self.delivered.append(indices)
        self.kept.append((loss.detach(), logits.detach(), labels))
        return self.point() if len(self.kept) == self.interval or len(self.delivered) == self.steps else True

    def point(self) -> bool:
        """Add a point to the curve; returns False, and adds none, when a loss since the last one is not finite."""
        losses, logits, labels = zip(*self.kept, strict=True)
        losses, self.kept = torch.stack(losses), []
        if not losses.isfinite().all():
            self.diverged_at = len(self.delivered) - len(losses) + int((~losses.isfinite()).nonzero()[0]) + 1
            return False
        accuracy = (torch.cat(logits).argmax(1) == torch.cat(labels)).float().mean().item()
        self.curve.append({"images": self.seen(), "loss": losses.mean().item(), "accuracy": accuracy})
        if self.on_progress:
            self.on_progress(**self.curve[-1])
        return True

    def seen(self) -> int:
        return sum(map(len, self.delivered))

    def close(self, seconds: float) -> Epoch:
        times = torch.cat(self.delivered).bincount(minlength=self.images) if self.delivered else torch.zeros(1)
        return Epoch(seconds, self.seen(), bool((times == 1).all()), self.diverged_at, self.curve)


# --- Evaluation -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evaluation:
    """How a model reads a split. Without values it is that of a run which diverged: not measured."""

    accuracy: float | None = None  # fraction of all images classified rightly
    accuracy_interval: tuple[float, float] | None = None  # 95 %, Wilson
    loss: float | None = None  # mean cross-entropy in nats, without label smoothing
    per_class_accuracy: list[float | None] | None = None
    confusion: list[list[int]] | None = None  # [true class][predicted class], counts
    confused: list[dict[str, Any]] | None = None  # the most confident mistakes, see mistakes()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch_size: int = 1000) -> Tensor:
    """Logits (N, 10) of images (N, 28, 28) uint8, in eval mode, one look at each image as it is."""
    model.eval()
    return torch.cat([model(to_input(batch)) for batch in images.split(batch_size)])


def evaluate(model: nn.Module, test: Split) -> Evaluation:
    """Score a model on every image of a split."""
    logits, n = predict(model, test.images), len(test.labels)
    pairs = torch.bincount(test.labels * CLASSES + logits.argmax(1), minlength=CLASSES * CLASSES)
    confusion = pairs.view(CLASSES, CLASSES).tolist()
    accuracy = sum(confusion[c][c] for c in range(CLASSES)) / n
    per_class = [row[c] / sum(row) if sum(row) else None for c, row in enumerate(confusion)]
    loss = F.cross_entropy(logits, test.labels).item()
    return Evaluation(accuracy, wilson_interval(accuracy, n), loss, per_class, confusion, mistakes(logits, test))


def wilson_interval(fraction: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % score interval of a fraction observed in n trials (Wilson, 1927): honest near 0 and 1, unlike +-z*sigma."""
    centre = (fraction + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(fraction * (1 - fraction) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def count_parameters(model: nn.Module) -> int:
    """Elements of all parameters, frozen ones too, a shared one once."""
    return sum(p.numel() for p in model.parameters())


# --- The verdict ------------------------------------------------------------------------------------------------------


def violations(result: Result, limits: Limits) -> dict[str, str]:
    """The broken limits, each with a sentence that says by how much. Empty when the run passes."""
    broken = {}
    if result.parameters >= limits.parameters:
        over = result.parameters - limits.parameters + 1
        broken["parameters"] = f"{result.parameters:,} parameters: {over:,} too many to be under {limits.parameters:,}"
    if result.diverged_at:
        steps = math.ceil(result.train_images / result.config["batch_size"])
        where = f"step {result.diverged_at:,} of {steps:,}"
        broken["accuracy"] = f"the loss stopped being a number at {where}: try a smaller --lr"
    elif result.test_accuracy is None or not math.isfinite(result.test_accuracy):
        broken["accuracy"] = "accuracy not measured"
    elif result.test_accuracy < limits.accuracy:
        short = 100 * (limits.accuracy - result.test_accuracy)
        achieved = f"accuracy {percent(result.test_accuracy)}"
        broken["accuracy"] = f"{achieved}: {short:.2f} points short of {percent(limits.accuracy)}"
    if result.images_seen != result.train_images or not result.each_once:
        seen = f"{result.images_seen:,} images delivered of {result.train_images:,}"
        broken["one_epoch"] = f"not exactly one epoch: {seen}, {'' if result.each_once else 'not '}each exactly once"
    return broken


def judge(result: Result, limits: Limits) -> Result:
    """Enter the verdict into a result."""
    broken = violations(result, limits)
    result.limits = {limit: limit not in broken for limit in ("parameters", "accuracy", "one_epoch")}
    result.violations, result.passed = list(broken.values()), not broken
    return result


def run(
    model: str | Callable[[], nn.Module],
    data: Dataset,
    config: Config | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    limits: Limits = Limits(),
    on_progress: Callable[[int, float, float], None] | None = None,
) -> tuple[Result, nn.Module]:
    """Build, train, evaluate, measure and judge one model; the global random state is left as it was.

    ``model`` is a name, a builder or an nn.Module class. ``config`` defaults to its own recipe. Raises ChallengeError:
    2 for an unknown model, 3 when the model cannot be built or run.
    """
    device, config = pick_device(device), config or recipe(model)
    train, test = data.train.to(device), data.test.to(device)
    with usual_state(device), model_errors(model_name(model)):
        torch.manual_seed(seed)
        network = build_model(model).to(device)
        check_model(network, device)
        batches = epoch_batches(train, config, torch.Generator().manual_seed(seed))
        with EnergyMeter() as energy:
            epoch = train_one_epoch(network, batches, config, len(train.labels), on_progress)
        memory = peak_memory_mb(device)
        scores = Evaluation() if epoch.diverged_at else evaluate(network, test)
        costs = measure_costs(network, to_input(test.images[:1000]))
    result = Result(
        model=model_name(model), dataset=data.name, scored_on=data.scored_on, seed=seed, device=str(device),
        threads=torch.get_num_threads(), train_images=len(train.labels), test_images=len(test.labels),
        peak_memory_mb=memory, training_joules=energy.joules, training_joules_method=energy.method,
        config=dataclasses.asdict(config), versions=versions(), note=data.note, **costs,
        **renamed(epoch, seconds="train_seconds"), **renamed(scores, accuracy="test_accuracy", loss="test_loss"),
        accuracy_per_parameter=scores.accuracy and scores.accuracy / max(1, costs["parameters"]),
        accuracy_per_second=scores.accuracy and scores.accuracy / epoch.seconds,
    )  # fmt: skip
    return judge(result, limits), network


@contextlib.contextmanager
def usual_state(device: torch.device) -> Iterator[None]:
    """PyTorch's state as a run needs it, whatever a notebook or a model's file has set; left as it was."""
    dtype = torch.get_default_dtype()
    deterministic = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    chance = torch.random.fork_rng([device] if device.type == "cuda" else [])
    try:
        torch.set_default_dtype(torch.float32)
        with chance, deterministic, torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def recipe(model: str | Callable[[], nn.Module], **changes: Any) -> Config:
    """The Config a model is trained with: the shared one, the model's overrides, then ``changes``."""
    return dataclasses.replace(Config(), **override(find_model(model).overrides, changes))


def override(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with ``changes``; a learning rate does not outlive the optimizer that it was fitted to."""
    if "optimizer" in changes and "lr" not in changes:
        changes = {**changes, "lr": None}
    return {**settings, **changes}


# --- What a run reports: every figure, defined once -------------------------------------------------------------------


def column(header: str, show: Callable[[Any], str]) -> Any:
    """A Result field that the comparison table shows under ``header``."""
    return field(metadata={"header": header, "show": show})


def percent(fraction: float) -> str:
    """A fraction as per cent, never rounded up: 94.999 % must not read as 95."""
    return f"{math.floor(fraction * 10_000 + 1e-9) / 100:.2f} %"


@dataclass(kw_only=True)
class Result:
    """One run, in the order in which the JSON, the CSV and the table show it. None: not measured."""

    model: str = column("model", str)
    dataset: str
    scored_on: str  # "test", "holdout" or "mnist test": what every test_... field speaks of
    seed: int
    device: str
    threads: int  # that PyTorch computed with
    jobs: int = 1  # runs at the same time; with more than one, seconds and latency are not those of a quiet machine
    parameters: int = column("params", "{:,}".format)
    buffers: int
    images_seen: int
    train_images: int
    test_images: int
    test_accuracy: float | None = column("acc. %", lambda fraction: percent(fraction).removesuffix(" %"))
    accuracy_interval: tuple[float, float] | None  # 95 %, Wilson
    test_loss: float | None  # nats
    per_class_accuracy: list[float | None] | None
    train_seconds: float = column("train s", "{:.1f}".format)
    macs: int = column("kMAC", lambda macs: f"{macs / 1000:,.0f}")  # of one inference
    latency_ms: float = column("ms", "{:.2f}".format)  # batch of one, one thread, median
    latency_p95_ms: float
    throughput: float  # images per second at batch 1,000
    peak_memory_mb: float | None  # the training process, PyTorch and data included
    checkpoint_bytes: int  # of its tensors
    accuracy_per_parameter: float | None
    accuracy_per_second: float | None  # of training
    training_joules: float | None  # CPU and GPU, from CodeCarbon
    training_joules_method: str | None  # "measured" or "estimate"
    inference_nj: float = column("nJ", "{:,.0f}".format)  # arithmetic at 45 nm, an estimate
    limits: dict[str, bool] = field(default_factory=dict)  # limit -> whether it holds
    violations: list[str] = field(default_factory=list)  # a sentence for each limit that does not
    passed: bool = False
    checkpoint: str | None = None
    each_once: bool = False
    diverged_at: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    confusion: list[list[int]] | None = None
    confused: list[dict[str, Any]] | None = None
    curve: list[dict[str, float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    note: str | None = None  # what a reader of the figures must know of the data

    def plain(self) -> dict[str, Any]:
        """JSON's own types, fields in order; what is not a finite number is None."""

        def clean(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: clean(item) for key, item in value.items()}
            if isinstance(value, (list, tuple)):
                return [clean(item) for item in value]
            return None if isinstance(value, float) and not math.isfinite(value) else value

        return clean(dataclasses.asdict(self))

    def _repr_html_(self) -> str:
        """The RESULTS block as a table, for notebooks."""
        cells = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in result_rows(self.plain())]
        sentences = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self.violations)
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>{sentences}"


def renamed(piece: Epoch | Evaluation, **names: str) -> dict[str, Any]:
    """The fields of a piece of a result, some under the names that Result has for them."""
    return {names.get(key, key): value for key, value in vars(piece).items()}


def versions() -> dict[str, str]:
    return {
        "mnist_efficient_model": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def mistakes(logits: Tensor, test: Split, most: int = 20) -> list[dict[str, Any]]:
    """The most confident mistakes: image index, label, prediction, confidence, and the pixels (28 x 28 bytes, zlib)."""
    predictions, confidence = logits.argmax(1), logits.softmax(1).amax(1)
    confidence = torch.where(predictions == test.labels, -1, confidence)
    worst = [i for i in confidence.topk(min(most, len(confidence))).indices.tolist() if confidence[i] >= 0]
    return [
        {
            "index": i, "label": int(test.labels[i]), "predicted": int(predictions[i]),
            "confidence": float(confidence[i]),
            "pixels": base64.b64encode(zlib.compress(test.images[i].cpu().numpy().tobytes())).decode(),
        }
        for i in worst
    ]  # fmt: skip


# --- The optimizers: PyTorch's fused kernels, without what makes torch.optim slow to start ----------------------------


class Optimizer:
    """PyTorch's fused kernels behind the least of state. Parameters without a gradient stay as they are.

    ``torch.optim``'s own classes give the same weights bit by bit, but building one imports PyTorch's compiler: a
    second, where the epoch takes two. A subclass names its peak learning rate, which suits Config's batch size and was
    fitted on the hold-out.
    """

    peak: float

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float | None, weight_decay: float) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.peak = self.lr = self.peak if lr is None else lr
        self.weight_decay = weight_decay

    def zeros(self) -> list[Tensor]:
        return [torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters]

    def with_gradient(self, *states: list[Tensor]) -> tuple[list[Tensor], ...]:
        """The parameters that have a gradient, the gradients, and their part of each state."""
        rows = [row for row in zip(self.parameters, *states, strict=True) if row[0].grad is not None]
        parameters, *rest = map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(1 + len(states)))
        return parameters, [p.grad for p in parameters], *rest

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), betas 0.9 and 0.95."""

    peak = 0.04

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.means, self.squares = self.zeros(), self.zeros()
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        parameters, gradients, means, squares, steps = self.with_gradient(self.means, self.squares, self.steps)
        adamw(parameters, gradients, means, squares, [], steps, fused=True, lr=self.lr, beta1=0.9, beta2=0.95,
            eps=1e-8, weight_decay=self.weight_decay, amsgrad=False, maximize=False)  # fmt: skip


class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov's momentum of 0.85 (Sutskever et al., 2013)."""

    peak = 0.9

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.momenta = self.zeros()

    @torch.no_grad()
    def step(self) -> None:
        parameters, gradients, momenta = self.with_gradient(self.momenta)
        sgd(parameters, gradients, momenta, fused=True, lr=self.lr, momentum=0.85, nesterov=True, dampening=0.0,
            weight_decay=self.weight_decay, maximize=False)  # fmt: skip


class Muon(Optimizer):
    """Orthogonal steps for convolutions that mix channels; AdamW at a quarter of the rate for all other parameters.

    A step is the momentum (0.95, Nesterov) with all its singular values set to about one by five iterations of
    Newton and Schulz. Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    peak = 0.05

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float | None, weight_decay: float) -> None:
        everything = [p for p in parameters if p.requires_grad]
        mixing = [p for p in everything if p.ndim == 4 and p.shape[1] > 1]
        super().__init__(mixing, lr, weight_decay)
        self.momenta = self.zeros()
        others = [p for p in everything if not any(p is matrix for matrix in mixing)]
        self.rest = AdamW(others, self.peak / 4, weight_decay)

    @torch.no_grad()
    def step(self) -> None:
        self.rest.lr = self.lr / 4
        self.rest.step()
        parameters, gradients, momenta = self.with_gradient(self.momenta)
        for parameter, gradient, momentum in zip(parameters, gradients, momenta, strict=True):
            momentum.mul_(0.95).add_(gradient)
            matrix = gradient.add(momentum, alpha=0.95).flatten(1)  # (outputs, inputs * height * width)
            length = max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
            parameter.mul_(1 - self.lr * self.weight_decay)
            parameter.add_(orthogonal(matrix).view_as(parameter), alpha=-self.lr * length)

    def zero_grad(self) -> None:
        super().zero_grad()
        self.rest.zero_grad()


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with its singular values moved close to one: about U V' of its decomposition U S V'."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (2.0315 * gram @ gram - 4.775 * gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "sgd": SGD, "muon": Muon}


# --- The records, and the rivals side by side, each on its own --------------------------------------------------------


def depthwise(channels: int, kernel: int, padding: int = 0, filters: int = 1) -> nn.Module:
    """Spatial ``filters`` of each channel's own; as wide as the map and unpadded, they are a learned pooling.

    Average pooling weighs every place alike; this one learns, channel by channel, where a feature speaks for a digit.
    """
    return nn.Conv2d(channels, filters * channels, kernel, padding=padding, groups=channels, bias=False)


def paired_convolutions(first: int, second: int) -> nn.Module:
    """Two convolutions of ``first`` channels, two of ``second``, and a learned pooling: (N, 1, 28, 28) -> (N, 10).

    The outermost pixels are left out, and the first convolution is unpadded: so every side halves without a remainder.
    """

    return nn.Sequential(
        nn.ZeroPad2d(-1),  # (N, 1, 26, 26)
        ChannelsLast(),
        *conv_block(1, first, padding=0, activation=nn.SiLU()),  # (N, first, 12, 12)
        *conv_block(first, first, pool=False, activation=nn.SiLU()),
        *conv_block(first, second, activation=nn.SiLU()),  # (N, second, 6, 6)
        *conv_block(second, second, pool=False, activation=nn.SiLU()),
        depthwise(second, 6, filters=2),  # (N, 2 * second, 1, 1)
        nn.BatchNorm2d(2 * second),
        nn.Flatten(),
        nn.Linear(2 * second, CLASSES),
    )


@register(must_pass=True, optimizer="muon", lr=0.05, batch_size=32)
def accurate() -> nn.Module:
    """The most accurate found under the limit: two convolutions before each halving, then a learned 6x6 pooling.

    Convolutions in pairs: Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014. The pooling is a depthwise
    convolution over the whole map instead of an average: Chen et al., "MobileFaceNets", 2018 ("global depthwise").
    """
    return paired_convolutions(24, 30)


class Residual(nn.Sequential):
    """x + f(x), f being the layers in a row (He et al., "Identity Mappings in Deep Residual Networks", 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def edge_filters(count: int, size: int = 5, sigma: float = 1.2) -> Tensor:
    """First derivatives of a Gaussian of ``sigma`` pixels in ``count`` directions of a circle: (count, 1, size, size).

    Each one's absolute values sum to 1. Source: Freeman and Adelson, "The Design and Use of Steerable Filters", 1991.
    """
    line = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    angle = (torch.arange(count) * 2 * math.pi / count).view(-1, 1, 1)
    slope = (x * angle.cos() + y * angle.sin()) * torch.exp(-(x * x + y * y) / (2 * sigma * sigma))
    return (slope / slope.abs().sum((1, 2), keepdim=True)).unsqueeze(1)


class BiasNorm(nn.BatchNorm2d):
    """BatchNorm with a learned bias and no learned scale, which the convolution that follows can take on."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_parameter("weight", None)


class SharedConvolution(nn.Module):
    """Edge filters, then one depthwise-separable convolution used at every scale: (N, 1, 28, 28) -> (N, 10).

    The same 3x3 filters read the map at 14x14 pixels twice, at 7x7 once, and pool the 3x3 map to one place at the end.
    Only the biases differ from use to use. Averages halve the map: the maximum is worse at so few channels. The edge
    filters are fixed, 5x5 and a buffer, or without ``fixed_edges`` those 3x3 filters once more.
    """

    def __init__(self, channels: int, fixed_edges: bool = True) -> None:
        super().__init__()
        self.register_buffer("edges", edge_filters(channels) if fixed_edges else None)
        self.spatial, self.mix = depthwise(channels, 3, padding=1), nn.Conv2d(channels, channels, 1, bias=False)
        self.norms = nn.ModuleList(BiasNorm(channels) for _ in range(4))
        self.last_norm, self.head = nn.BatchNorm2d(channels, affine=False), nn.Linear(channels, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        stem, at_14, to_7, to_3 = self.norms
        edges = self.spatial.weight if self.edges is None else self.edges  # (C, 1, 3, 3) or (C, 1, 5, 5)
        maps = F.conv2d(images, edges, padding=edges.shape[-1] // 2)  # (N, C, 28, 28)
        maps = F.silu(F.max_pool2d(stem(maps), 2))  # (N, C, 14, 14)
        maps = F.silu(at_14(self.mix(self.spatial(maps))))
        maps = F.silu(to_7(F.avg_pool2d(self.mix(self.spatial(maps)), 2)))  # (N, C, 7, 7)
        maps = F.silu(to_3(F.avg_pool2d(self.mix(self.spatial(maps)), 2)))  # (N, C, 3, 3)
        pooled = F.conv2d(maps, self.spatial.weight, groups=self.spatial.groups)  # (N, C, 1, 1)
        return self.head(self.last_norm(pooled).flatten(1))


@register(must_pass=True, lr=0.045, batch_size=32, label_smoothing=0.0, fade=1.0)
def tiny() -> nn.Module:
    """The smallest found that always passes: fixed edge filters, then one convolution that serves at every scale.

    Depthwise-separable convolution: Howard et al., "MobileNets", 2017. One set of weights used in every layer: Lan et
    al., "ALBERT", 2019. The edge filters are a buffer of 200 numbers, fixed by a formula and never learned.
    """
    return nn.Sequential(ChannelsLast(), SharedConvolution(channels=8))


@register(must_pass=True, **MODELS["tiny"].overrides)
def tiny_learned() -> nn.Module:
    """The fewest numbers in all that always pass: `tiny` without fixed filters, its own find the edges as well."""
    return nn.Sequential(ChannelsLast(), SharedConvolution(channels=9, fixed_edges=False))


for _channels in (8, 12, 16, 24):
    FRONTIER[f"tiny_{_channels}"] = MODELS["tiny"]._replace(build=partial(SharedConvolution, _channels))
for _widths in ((6, 8), (8, 12), (12, 16), (16, 22), (24, 30)):
    _name = "accurate_{}_{}".format(*_widths)
    FRONTIER[_name] = MODELS["accurate"]._replace(build=partial(paired_convolutions, *_widths))


class Neurons(nn.Module):
    """Single-weight neurons: each scales one feature by one learned weight and adds a bias, 2 parameters a neuron.

    (..., *shape) -> (..., *shape). What makes them fire follows as a layer of its own.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(shape))

    def forward(self, features: Tensor) -> Tensor:
        return torch.addcmul(self.bias, features, self.weight)


class ClassSums(nn.Module):
    """A read-out with no parameter: each class sums up a tenth of the channels over all places -> (N, 10)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels  # which dimension they are

    def forward(self, features: Tensor) -> Tensor:
        groups = features.movedim(self.channels, 1).unflatten(1, (CLASSES, -1)).flatten(2)
        return groups.sum(-1) / math.sqrt(groups.shape[-1])


class Patches(nn.Unfold):
    """Overlapping patches as a sequence, each with its own learned place added: (N, 1, H, W) -> (N, L, pixels)."""

    def __init__(self, length: int, kernel: tuple[int, int], stride: int) -> None:
        super().__init__(kernel, stride=stride)
        self.place = nn.Parameter(0.5 * torch.randn(length, math.prod(kernel)))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).transpose(1, 2) + self.place


class SelfAttention(nn.Module):
    """Multi-head self-attention over a sequence: (N, L, C) -> (N, L, C) (Vaswani et al., 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (N, heads, L, C/heads)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class SpatialAttention(nn.Module):
    """Weight each place of a map by a gate in 0-1 computed from its channels' mean and maximum.

    Source: Woo et al., "CBAM: Convolutional Block Attention Module", 2018.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W)
        return maps * self.gate(torch.cat([maps.mean(1, True), maps.amax(1, True)], 1)).sigmoid()


class Mixture(nn.Module):
    """Experts side by side, each one's answer weighted by a softmax router: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, experts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.router, self.experts = nn.Conv2d(channels, len(experts), 1), nn.ModuleList(experts)

    def forward(self, maps: Tensor) -> Tensor:
        weights = self.router(maps).softmax(1).split(1, dim=1)  # of each expert, per place
        return sum(weight * expert(maps) for weight, expert in zip(weights, self.experts, strict=True))


@register(must_pass=True, lr=0.015, batch_size=64)
def lightweight() -> nn.Module:
    """Single-weight neurons with attention: a neuron scales one feature by one weight, so they meet in attention alone.

    The neurons are this challenge's own idea taken at its word, the attention is Vaswani et al., "Attention Is All You
    Need", 2017, over image patches as in Dosovitskiy et al., "An Image Is Worth 16x16 Words", 2020. The only weight
    matrices are attention's four projections: the pixels of a patch are the features, and classes are sums of neurons.
    Beside it, LayerNorm subtracts a patch's mean and divides by its deviation, without weights that mix.
    """
    return single_weight_transformer(attention=True)


@register(lr=0.1, batch_size=64)
def lightweight_no_attention() -> nn.Module:
    """The ablation of `lightweight`: without attention a feature knows of others by LayerNorm's statistics alone."""
    return single_weight_transformer(attention=False)


def single_weight_transformer(attention: bool) -> nn.Module:
    """The network of `lightweight`: 30 overlapping patches of 50 pixels, two layers, a read-out; or no attention."""
    width = 50  # the pixels of a patch, and in the read-out five neurons for each class
    layers: list[nn.Module] = []
    for _ in range(2):
        if attention:
            layers.append(Residual(nn.LayerNorm(width), SelfAttention(width, heads=5)))
        layers.append(Residual(nn.LayerNorm(width), Neurons(width), nn.ReLU()))
    patches = Patches(30, (10, 5), stride=4)
    return nn.Sequential(patches, *layers, nn.LayerNorm(width), Neurons(width), nn.ReLU(), Neurons(width), ClassSums(2))


@register()
def lightweight_conv() -> nn.Module:
    """Single-weight neurons behind two small convolutions, a spatial attention gate telling them where to look.

    The gate is that of Woo et al., "CBAM: Convolutional Block Attention Module", 2018. Each neuron has one channel at
    one place for its input; ten sums of them are the classes, with no dense layer.
    """
    return nn.Sequential(
        ChannelsLast(),
        *conv_block(1, 12),
        *conv_block(12, 40),  # (N, 40, 7, 7)
        SpatialAttention(),
        Neurons(40, 7, 7),
        nn.ReLU(),
        Neurons(40, 7, 7),
        ClassSums(1),
    )


@register(lr=0.02)
def lightweight_experts() -> nn.Module:
    """A softly routed mixture of single-weight experts: at each place a router weighs what four banks of neurons say.

    Source: Jacobs, Jordan, Nowlan and Hinton, "Adaptive Mixtures of Local Experts", 1991. The features are those of
    two small convolutions; each expert has neurons of its own for every channel at every place.
    """
    experts = [Neurons(40, 7, 7) for _ in range(4)]
    return nn.Sequential(
        ChannelsLast(),
        *conv_block(1, 12),
        *conv_block(12, 40),
        Mixture(40, experts),
        nn.ReLU(),
        Neurons(40, 7, 7),
        ClassSums(1),
    )


def mlp_of(*widths: int) -> nn.Module:
    """Pixels through fully connected layers of these widths, with BatchNorm and ReLU between: (N, 10)."""
    layers: list[nn.Module] = [nn.Flatten()]
    inputs, *hidden = widths
    for outputs in hidden:
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))


@register()
def mlp() -> nn.Module:
    """One hidden layer, 784-512-10: the classic multilayer perceptron (Rumelhart, Hinton and Williams, 1986)."""
    return mlp_of(SIDE * SIDE, 512)


@register()
def mlp_small() -> nn.Module:
    """The best perceptron found under the limit: it sees the image halved to 14 x 14 and affords two hidden layers."""
    return nn.Sequential(nn.AvgPool2d(2), mlp_of(196, 96, 48))


class Halve(nn.Module):
    """Average 2 x 2 pixels: (N, C, H, W) -> (N, C, H / 2, W / 2), of one channel in a fifth of AvgPool2d's time."""

    def forward(self, x: Tensor) -> Tensor:
        even, odd = x[..., ::2, :], x[..., 1::2, :]
        return (even[..., ::2] + even[..., 1::2] + odd[..., ::2] + odd[..., 1::2]) / 4


@register(must_pass=True, lr=0.1, batch_size=512)
def fast() -> nn.Module:
    """The quickest epoch found that always passes: the middle 20 x 20 pixels halved, and one hidden layer.

    What is left of its time is mostly that of the batches: gathering, warping and normalising the images.
    """
    return nn.Sequential(nn.ZeroPad2d(-4), Halve(), mlp_of(100, 64))


@register()
def mlp_large() -> nn.Module:
    """Two hidden layers, 784-512-256-10 (Rumelhart, Hinton and Williams, 1986; BatchNorm: Ioffe and Szegedy, 2015)."""
    return mlp_of(SIDE * SIDE, 512, 256)


@register(lr=0.01)
def cnn() -> nn.Module:
    """Two convolutions of 32 and 64 channels and a linear head, after LeCun et al., "Gradient-Based Learning", 1998."""
    return nn.Sequential(
        ChannelsLast(), *conv_block(1, 32), *conv_block(32, 64), nn.Flatten(), nn.Linear(64 * 7 * 7, CLASSES)
    )


@register(lr=0.01)
def cnn_small() -> nn.Module:
    """LeNet's plain way, no BatchNorm, under the limit: three small convolutions and a linear head (LeCun, 1998)."""
    layers: list[nn.Module] = [ChannelsLast()]
    for inputs, outputs in ((1, 12), (12, 24), (24, 48)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 3 * 3, CLASSES))


@register(lr=0.01)
def cnn_large() -> nn.Module:
    """Three convolutions of 32, 64 and 128 channels and a head of 256, as in Simonyan and Zisserman's VGG, 2014."""
    return nn.Sequential(
        ChannelsLast(),
        *conv_block(1, 32),
        *conv_block(32, 64),
        *conv_block(64, 128),  # (N, 128, 3, 3)
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, 256),
        nn.ReLU(inplace=True),
        nn.Linear(256, CLASSES),
    )


def residual_block(channels: int) -> nn.Module:
    """Two 3x3 convolutions beside a shortcut, BatchNorm and ReLU before each: (N, C, H, W) -> (N, C, H, W)."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False)]
    return Residual(*layers)


@register()
def resnet() -> nn.Module:
    """A small residual net with BatchNorm and global average pooling (He et al., "Deep Residual Learning", 2015)."""
    return nn.Sequential(
        ChannelsLast(),
        *conv_block(1, 16),
        residual_block(16),  # (N, 16, 14, 14)
        *conv_block(16, 28),
        residual_block(28),  # (N, 28, 7, 7)
        nn.BatchNorm2d(28),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(28, CLASSES),
    )


class RowReader(nn.Module):
    """Read the image's 28 rows as 28 time steps and classify by the mean of the states: (N, 1, 28, 28) -> (N, 10)."""

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, nn.Linear(recurrent.hidden_size, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.recurrent(images.squeeze(1))  # (N, 28, hidden)
        return self.head(states.mean(1))


@register(lr=0.01, batch_size=64)
def rnn() -> nn.Module:
    """The rows as 28 time steps of a plain recurrent net with 128 states (Elman, "Finding Structure in Time", 1990).

    With ReLU, as in Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
    2015: on the hold-out it reached 1.8 points more than tanh.
    """
    return RowReader(nn.RNN(SIDE, 128, nonlinearity="relu", batch_first=True))


@register(lr=0.02)
def rnn_small() -> nn.Module:
    """Gates instead of breadth: a gated recurrent unit with 64 states reads the rows (Cho et al., 2014)."""
    return RowReader(nn.GRU(SIDE, 64, batch_first=True))


class Spiking(nn.Module):
    """Leaky integrate-and-fire neurons that see a constant current for some time steps: -> (N, 10) logits.

    ``synapses[0]`` turns the image into that current, so it runs once. At each step every later layer passes on the
    spikes (0 or 1) of the neurons before it; the last one feeds ten neurons that only integrate, and whose mean input
    is the logits. The derivative of a spike is that of an arctangent (Fang et al., 2021), snnTorch's default.
    """

    def __init__(self, *synapses: nn.Module, steps: int, beta: float) -> None:
        super().__init__()
        if not importlib.util.find_spec("snntorch"):
            raise ChallengeError("the spiking models need snntorch: pip install snntorch", MODEL_ERROR)
        from snntorch import Leaky  # here, so that the other models do without it

        self.steps, self.synapses = steps, nn.ModuleList(synapses)
        self.neurons = nn.ModuleList(Leaky(beta, learn_beta=True) for _ in synapses[1:])

    def forward(self, images: Tensor) -> Tensor:
        encode, *later = self.synapses
        current, outputs = encode(images), []
        for _ in range(self.steps):
            signal = current
            for neurons, synapse in zip(self.neurons, later, strict=True):
                spikes, _ = neurons(signal)
                signal = synapse(spikes)
            outputs.append(signal)
        for neurons in self.neurons:
            neurons.mem = images.new_zeros(0)  # snnTorch would carry the membranes over into the next batch
        return torch.stack(outputs).mean(0)


@register(lr=0.003)
def snn() -> nn.Module:
    """784-512-10 of leaky integrate-and-fire neurons over eight time steps, trained by a surrogate gradient.

    Source: Eshraghian et al., "Training Spiking Neural Networks Using Lessons From Deep Learning", 2023 (snnTorch).
    """
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 512))
    return Spiking(hidden, nn.Linear(512, CLASSES), steps=8, beta=0.9)


@register()
def csnn() -> nn.Module:
    """The convolutional spiking hybrid: convolutions and BatchNorm carry currents, leaky neurons pass on only spikes.

    Source: Eshraghian et al., "Training Spiking Neural Networks Using Lessons From Deep Learning", 2023 (snnTorch).
    """

    def currents(inputs: int, outputs: int) -> list[nn.Module]:
        return conv_block(inputs, outputs)[:-1]  # the neurons stand in for the ReLU

    return Spiking(
        nn.Sequential(ChannelsLast(), *currents(1, 12)),
        nn.Sequential(*currents(12, 32)),
        nn.Sequential(nn.Flatten(), nn.Linear(32 * 7 * 7, CLASSES)),
        steps=3,
        beta=0.5,
    )


# --- What a model costs: multiply-accumulates, time, memory, energy ---------------------------------------------------


def measure_costs(model: nn.Module, images: Tensor) -> dict[str, Any]:
    """The fields of Result that tell what a model costs, measured on images (N, 1, 28, 28)."""
    latency, latency_p95, throughput = time_forward(model, images)
    return {
        "parameters": count_parameters(model), "buffers": count_buffers(model), "macs": count_macs(model, images[:1]),
        "latency_ms": latency, "latency_p95_ms": latency_p95, "throughput": throughput,
        "checkpoint_bytes": sum(t.numel() * t.element_size() for t in model.state_dict().values()),
        "inference_nj": inference_energy_nj(model, images),
    }  # fmt: skip


def count_buffers(model: nn.Module) -> int:
    """Elements of all floating-point buffers except BatchNorm's running statistics."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    running = {id(b) for m in norms for b in m.buffers(recurse=False)}
    return sum(b.numel() for b in model.buffers() if b.is_floating_point() and id(b) not in running)


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given, so that a clock read next tells the truth."""
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).synchronize()


@torch.no_grad()
def count_macs(model: nn.Module, image: Tensor) -> int:
    """Multiply-accumulates of the forward pass of one image (1, 1, H, W): those of MACS, and no other operator's.

    ``torch.utils.flop_counter`` counts the same, but using it imports PyTorch's compiler, which takes a second.
    """
    model.eval()
    with MacCounter() as counter:
        model(image)
    return counter.macs


MACS: dict[str, Callable[..., int]] = {  # operator -> its multiply-accumulates, from its result and its arguments
    "mm": lambda result, a, b: result.numel() * a.shape[-1],
    "bmm": lambda result, a, b: result.numel() * a.shape[-1],
    "addmm": lambda result, bias, a, b: result.numel() * a.shape[-1],
    "baddbmm": lambda result, bias, a, b: result.numel() * a.shape[-1],
    "convolution": lambda result, x, weight, bias, stride, padding, dilation, transposed, *_: (
        (x if transposed else result).numel() * weight[0].numel()
    ),
    "_scaled_dot_product_flash_attention_for_cpu": lambda result, q, k, v, *_: (
        q[..., 0].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])
    ),
    "mkldnn_rnn_layer": lambda result, x, w, u, *_: x[..., 0].numel() * (w.numel() + u.numel()),  # an LSTM on the CPU
    "addcmul": lambda result, *_: result.numel(),  # single-weight neurons
}


class MacCounter(TorchDispatchMode):
    """Adds up the multiply-accumulates of the operators that run inside it."""

    macs = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch imports its compiler before the first operator

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if count := MACS.get(func.overloadpacket.__name__):
            self.macs += count(result, *args)
        return result


@torch.no_grad()
def time_forward(model: nn.Module, images: Tensor) -> tuple[float, float, float]:
    """Time a model in eval mode on images (N, 1, H, W), after a warm-up.

    Returns the median and the 95th percentile of milliseconds for one image on one thread, and the images per second
    for the whole batch on all threads.
    """

    def seconds(batch: Tensor, repeats: int) -> list[float]:
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            model(batch)
            synchronize(batch.device)
            taken.append(time.perf_counter() - start)
        return taken

    model.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds(images[:1], 10)  # warm-up
        single = seconds(images[:1], 100)
    finally:
        torch.set_num_threads(threads)
    (first,) = seconds(images, 1)  # warm-up
    batch = statistics.median(seconds(images, max(3, min(20, int(0.1 / first)))))
    return 1000 * statistics.median(single), 1000 * float(np.percentile(single, 95)), len(images) / batch


def peak_memory_mb(device: torch.device) -> float | None:
    """Most memory held at once so far: CUDA's own counter, else this process's resident set; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource  # Unix only
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage speaks of bytes on macOS and of kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


MAC_NJ, ACCUMULATE_NJ = 4.6e-3, 0.9e-3  # 32-bit floating point at 45 nm: Horowitz, "Computing's energy problem", 2014


@torch.no_grad()
def inference_energy_nj(model: nn.Module, images: Tensor) -> float:
    """Arithmetic energy of one inference in nanojoules at 45 nm: an estimate, without memory traffic.

    In a spiking network (one with snntorch's neurons) a layer that is fed only zeros and ones adds a weight for each
    incoming spike instead of multiplying: its MACs, times the fraction of ones measured on ``images`` (N, 1, H, W),
    count as accumulates. A layer fed anything else, as the first one is, counts as MACs.
    """
    model.eval()
    dense = count_macs(model, images[:1]) * MAC_NJ
    if not any(type(module).__module__.startswith("snntorch") for module in model.modules()):
        return dense
    saved = 0.0

    def watch(layer: nn.Linear | nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal saved
        if ((inputs[0] == 0) | (inputs[0] == 1)).all():
            macs = output[0].numel() * layer.weight[0].numel()  # outputs times the fan-in of each
            saved += macs * (MAC_NJ - ACCUMULATE_NJ * inputs[0].mean().item())

    handles = [m.register_forward_hook(watch) for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    model(images)
    for handle in handles:
        handle.remove()
    return dense - saved


class EnergyMeter:
    """Joules of what runs inside ``with``, from CodeCarbon where it is installed; ``joules`` stays None elsewhere.

    ``method`` is "measured" where the processor's power meter (RAPL) can be read, else "estimate": load times rated
    power. That of the memory, always an estimate, is left out.
    """

    joules: float | None = None
    method: str | None = None

    def __enter__(self) -> EnergyMeter:
        self.tracker = None
        if importlib.util.find_spec("codecarbon"):
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").disabled = True
            quiet = {"save_to_file": False, "log_level": "critical", "allow_multiple_runs": True}
            self.tracker = OfflineEmissionsTracker(country_iso_code="USA", measure_power_secs=1, **quiet)
            self.tracker.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.tracker:
            self.tracker.stop()
            energy = self.tracker.final_emissions_data
            self.joules = (energy.cpu_energy + energy.gpu_energy) * 3.6e6  # from kWh
            meters = [str(getattr(hardware, "_mode", "")) for hardware in self.tracker._hardware]
            self.method = "measured" if any("rapl" in meter for meter in meters) else "estimate"


# --- Data on disk: IDX files, read with every check, downloaded or drawn where they are missing -----------------------

IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MNIST_MD5 = {  # of the unpacked files; torchvision checks the .gz files that it downloads
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
# name on the command line -> torchvision's class; strokes are drawn by data/strokes.py
DATASETS = {"mnist": "MNIST", "strokes": None, "fashion": "FashionMNIST", "kmnist": "KMNIST"}
MNIST_SERVER = "https://ossci-datasets.s3.amazonaws.com"  # torchvision's first mirror
HERE = Path(__file__).resolve().parent
STROKES = HERE / "data" / "strokes.py"  # in a checkout; a lone copy of this file does without


def default_data_dir() -> Path:
    """``$MNIST_DATA_DIR``, else ``data/`` of a checkout, else ``data/`` in the current folder."""
    return Path(os.environ.get("MNIST_DATA_DIR") or (HERE / "data" if STROKES.exists() else "data"))


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file. Raises OSError; a FIFO or a device is one too, where reading might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "it is not a regular file", str(path))
    return path.read_bytes()


def read_idx(path: Path, md5: str | None = None) -> Tensor:
    """Read an IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist), plain or .gz: uint8 of the header's shape.

    Raises ChallengeError (status 4) naming the file and the cure when its header, length or ``md5`` is not right.
    """
    cure = "delete it and run again to download it anew, or put a good copy in its place"
    packed = path.with_name(path.name + ".gz")
    try:
        raw = read_regular(path) if path.exists() or not packed.exists() else gzip.decompress(read_regular(packed))
    except (OSError, EOFError, zlib.error) as error:
        raise ChallengeError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}", MACHINE_ERROR
        ) from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != 8:  # 8: unsigned byte
        raise ChallengeError(f"{path} is not an IDX file of bytes: {cure}", MACHINE_ERROR)
    start = 4 + 4 * raw[3]  # raw[3]: the number of dimensions
    shape = np.frombuffer(raw, ">u4", raw[3], 4).tolist() if len(raw) >= start else [0]
    if not math.prod(shape):
        raise ChallengeError(f"{path} holds nothing: {cure}", MACHINE_ERROR)
    if len(raw) != start + math.prod(shape):
        raise ChallengeError(f"{path} is truncated or has the wrong length ({len(raw):,} bytes): {cure}", MACHINE_ERROR)
    if md5 and hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5:
        raise ChallengeError(f"{path} is corrupted (its MD5 sum is not MNIST's): {cure}", MACHINE_ERROR)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=start).reshape(shape)


def read_split(name: str, part: str, data_dir: Path) -> Split:
    """Read the "train" or "test" images of a dataset on disk; ChallengeError (status 4) where they don't fit."""
    folder, sums = data_dir / DATASETS[name] / "raw", MNIST_MD5 if name == "mnist" else {}
    images, labels = (read_idx(folder / file, sums.get(file)) for file in IDX_FILES[part])
    if images.shape[1:] != (SIDE, SIDE) or labels.shape != images.shape[:1] or not len(labels):
        found = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise ChallengeError(f"{folder}: expected (N, 28, 28) images and (N,) labels, found {found}", MACHINE_ERROR)
    if labels.max() >= CLASSES:
        raise ChallengeError(f"{folder / IDX_FILES[part][1]}: label {int(labels.max())} is outside 0-9", MACHINE_ERROR)
    return Split(images, labels.long())


def on_disk(name: str, data_dir: Path, parts: Iterable[str] = ("train", "test")) -> bool:
    folder = data_dir / DATASETS[name] / "raw"
    files = [file for part in parts for file in IDX_FILES[part]]
    return all((folder / file).exists() or (folder / f"{file}.gz").exists() for file in files)


def download(name: str, data_dir: Path) -> None:
    """Fetch a dataset with torchvision (its mirrors, its checksums) and move it into place only when it is whole."""
    folder, files = data_dir / DATASETS[name] / "raw", [*IDX_FILES["train"], *IDX_FILES["test"]]
    timeout, _ = socket.getdefaulttimeout(), socket.setdefaulttimeout(5)  # torchvision sets none
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".download-") as scratch:
            from torchvision import datasets  # not at the top: with the data on disk it would only cost seconds

            getattr(datasets, DATASETS[name])(scratch, download=True)
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                os.replace(Path(scratch, DATASETS[name], "raw", file), folder / file)
    except Exception as error:  # urllib, http.client, zlib and torchvision each raise their own
        last_line = (str(error).strip() or type(error).__name__).splitlines()[-1]  # torchvision tells of every mirror
        reason = f"could not be downloaded ({last_line})"
        if isinstance(error, OSError) and error.filename:
            reason = f"cannot be downloaded into {data_dir} ({error.strerror})"
        if isinstance(error, ImportError) or "torchvision::" in str(error):
            reason = "needs a torchvision that fits the installed torch: pip install --upgrade torch torchvision"
        by_hand = f"put {', '.join(files)} (or their .gz) into {folder}"
        raise ChallengeError(f"{DATASETS[name]} is not on disk and {reason}; {by_hand}", MACHINE_ERROR) from error
    finally:
        socket.setdefaulttimeout(timeout)


def reachable(url: str, seconds: float = 4) -> bool:
    """Whether a server answers in time, through the proxy that the environment names, if it does."""
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            with contextlib.suppress(urllib.error.HTTPError):  # "not found" is an answer too
                urllib.request.build_opener().open(url, timeout=seconds).close()
            answered.set()

    threading.Thread(target=ask, daemon=True).start()  # looking up a name has no time limit of its own
    return answered.wait(seconds)


def choose_dataset(data_dir: Path, parts: Iterable[str] = ("train", "test")) -> str:
    """What ``auto`` means: MNIST if these parts of it are on disk or can be downloaded now, else strokes."""
    if not on_disk("mnist", data_dir, parts):
        try:
            if not reachable(MNIST_SERVER):
                return "strokes"
            download("mnist", data_dir)
        except ChallengeError:
            return "strokes"
    return "mnist"


def read_dataset(name: str, data_dir: Path, *parts: str) -> list[Split]:
    """The ``parts`` ("train", "test") of a dataset, fetched or drawn first where they are missing."""
    if name == "strokes":
        if not STROKES.exists():
            cure = (
                "connect once to download MNIST, name its folder by --data-dir, or get data/strokes.py of this project"
            )
            raise ChallengeError(
                f"there is neither MNIST nor {STROKES}, which draws digits instead: {cure}", MACHINE_ERROR
            )
        drawn = dict(zip(("train", "test"), import_file(STROKES).load(data_dir / "strokes"), strict=True))
        return [Split(torch.from_numpy(drawn[p][0]), torch.from_numpy(drawn[p][1]).long()) for p in parts]
    if not on_disk(name, data_dir, parts):
        download(name, data_dir)
    return [read_split(name, part, data_dir) for part in parts]


def load_dataset(
    name: str = "auto", data_dir: str | Path | None = None, holdout: int = 0, test_on: str | None = None
) -> Dataset:
    """Load a dataset by name, downloading it where it is missing.

    ``auto`` is MNIST, or strokes where MNIST is neither on disk nor to be had. ``data_dir`` (see default_data_dir) has
    torchvision's layout (``MNIST/raw/...``). With ``holdout=N`` the last N training images stand in for the test set,
    which is then not read at all: that is how hyper-parameters are chosen. ``test_on`` names another dataset whose test
    set to score on.

    Raises ChallengeError with status 2 for an unknown name or an impossible hold-out and 4 for missing or bad data.
    """
    data_dir = Path(data_dir or default_data_dir())
    for wanted, known in ((name, ("auto", *DATASETS)), (test_on or "mnist", tuple(DATASETS))):
        if wanted not in known:
            raise ChallengeError(f"unknown dataset {wanted!r}: choose from {', '.join(known)}", USAGE)
    if name == "auto":
        only_training = holdout or test_on not in (None, "mnist")
        name = choose_dataset(data_dir, ("train",) if only_training else ("train", "test"))
    if holdout:
        (train,) = read_dataset(name, data_dir, "train")
        cut = len(train.labels) - holdout
        if not isinstance(holdout, int) or not 0 < cut < len(train.labels) or test_on:
            reason = "goes without --test-on" if test_on else f"must leave some of the {len(train.labels):,} images"
            raise ChallengeError(f"--holdout {holdout}: {reason}", USAGE)
        return Dataset(name, Split(*(t[:cut] for t in train)), Split(*(t[cut:] for t in train)), "holdout")
    if test_on and test_on != name:
        train, test = *read_dataset(name, data_dir, "train"), *read_dataset(test_on, data_dir, "test")
        return Dataset(name, train, test, f"{test_on} test")
    return Dataset(name, *read_dataset(name, data_dir, "train", "test"), "test")


# --- Models by name, and anybody's file -------------------------------------------------------------------------------

# A stranger's model may lack the BatchNorm that stands a high rate. Of rates 0.002 to 0.016 and batches of 32 to 128
# the best on the hold-out for those in tests/honest: attention 93.3 %, LSTM 96.5, GroupNorm 94.4, MLP 96.0.
FILE_OVERRIDES = {"lr": 0.012, "batch_size": 64}
RECIPE_KEYS = ("batch_size", "lr", "optimizer", "weight_decay", "label_smoothing")  # what a file's RECIPE may set


@contextlib.contextmanager
def model_errors(name: str) -> Iterator[None]:
    """Turn whatever a model raises while it is built or run, exits included, into one line with exit status 3."""
    process = os.getpid()
    try:
        yield
    except (ChallengeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        reason = (
            f"it ended the program ({one_sentence(error)})" if isinstance(error, SystemExit) else one_sentence(error)
        )
        raise ChallengeError(f"model {name!r} could not be built or run: {reason}", MODEL_ERROR) from error
    finally:
        if os.getpid() != process:  # it forked, and both would go on
            hard_exit(MODEL_ERROR)


def one_sentence(error: BaseException) -> str:
    """An exception in one line of at most 500 characters; its own text may be anything, or fail itself."""
    try:
        return " ".join(f"{type(error).__name__}: {error}".split())[:500]
    except Exception:
        return type(error).__name__


@contextlib.contextmanager
def import_path(folder: Path) -> Iterator[None]:
    """Let a model's file import the modules beside it; it leaves neither another path nor another current folder."""
    path, here = sys.path[:], os.getcwd()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        os.chdir(here)


@cache
def import_file(path: Path) -> types.ModuleType:
    """Execute a Python file as a module, once per process; two files of one name are two modules."""
    name = f"{path.stem}_{file_digest(path)}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with import_path(path.parent):
        spec.loader.exec_module(module)
    return module


def file_digest(path: Path) -> str:
    """Eight characters that tell a path from others with the same file name."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]


def trial(build: Callable[[], Any]) -> nn.Module:
    """Build a model without touching the random state; raises unless it maps (2, 1, 28, 28) to (2, 10)."""
    with torch.no_grad(), torch.random.fork_rng():
        model = build()
        if not isinstance(model, nn.Module):
            raise TypeError(f"it gives {type(model).__name__}, which is no nn.Module")
        check_output(model, torch.device("cpu"))
        return model


@torch.no_grad()
def check_output(model: nn.Module, device: torch.device) -> None:
    """Raise ValueError unless a model maps two images to ten outputs each. Leaves it and the random state unchanged.

    Only a model with lazy parameters is run itself, which gives them their shapes; of any other a copy is, since a
    forward may set things by the first batch that it gets.
    """
    subject = model
    if not any(nn.parameter.is_lazy(p) for p in model.parameters()):
        with contextlib.suppress(Exception):  # some hold what cannot be copied
            subject = copy.deepcopy(model)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        output = subject.eval()(torch.rand(2, 1, SIDE, SIDE, device=device))
    if not isinstance(output, Tensor) or output.shape != (2, CLASSES):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"two images give {shape}, where the shape must be (2, {CLASSES})")


def check_model(model: nn.Module, device: torch.device) -> None:
    """Raise ValueError for what cannot be trained, saved or scored; see check_output."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("it has no parameter to train")
    if others := [key for key, value in model.state_dict().items() if not isinstance(value, Tensor)]:
        raise ValueError(f"its state_dict holds {others[0]!r}, which is no tensor and cannot be saved")
    check_output(model, device)


def choose_model(module: types.ModuleType, wanted: str | None = None) -> tuple[str, Callable[[], nn.Module]]:
    """The model in a module: the one ``wanted`` by name, else ``build_model``, else the one of ``complete_models``.

    A class's own training loop called ``train`` gives way to the method by which PyTorch switches modes.
    Raises ChallengeError (status 3) unless exactly one remains.
    """
    file = Path(getattr(module, "__file__", None) or module.__name__).name
    for kind in module_classes(module).values():
        if "train" in vars(kind) and not is_torchs(kind) and not switches_modes(kind.train):
            del kind.train
    if wanted or callable(vars(module).get("build_model")):
        found = vars(module).get(wanted or "build_model")
        if isinstance(found, nn.Module):
            return wanted, partial(copy.deepcopy, found)
        if not callable(found):
            raise ChallengeError(f"{file} has no class or function {wanted!r}", MODEL_ERROR)
        return wanted or "build_model", found
    models, reasons = complete_models(module)
    if len(models) > 1:
        raise ChallengeError(f"{file} has {', '.join(models)}: name one, as in {file}:NAME", MODEL_ERROR)
    for name, build in models.items():
        return name, build
    why = f" ({'; '.join(list(dict.fromkeys(reasons))[:3])})" if reasons else ""
    raise ChallengeError(f"{file} has no model that reads digits{why}: name one, as in {file}:NAME", MODEL_ERROR)


def complete_models(module: types.ModuleType) -> tuple[dict[str, Callable[[], nn.Module]], list[str]]:
    """The builders of a module's models that are no part of another one, by name, and why other classes are none.

    A model is an nn.Module class of the module that needs no arguments and maps (2, 1, 28, 28) to (2, 10). A class that
    is part of another one, or the base of another one, gives way to it. Where the module has no such class, those that
    it imports count, and then instances.
    """
    classes = module_classes(module)
    own = {name: v for name, v in classes.items() if v.__module__ == module.__name__}
    others = {name: v for name, v in classes.items() if not is_torchs(v)}
    instances = {name: partial(copy.deepcopy, v) for name, v in vars(module).items() if isinstance(v, nn.Module)}
    reasons: list[str] = []
    for builders in (own, others, instances):
        models = {}
        for name, build in builders.items():
            try:
                models[name] = trial(build)
            except Exception as error:  # a building block of the real model: it wants arguments or another input
                reasons.append(f"{name}: {one_sentence(error)}")
        if remaining := {name: builders[name] for name in models if not serves_another(name, models)}:
            return remaining, reasons
    return {}, reasons


def module_classes(module: types.ModuleType) -> dict[str, type[nn.Module]]:
    return {v.__name__: v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module)}


def is_torchs(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "torchvision")


def switches_modes(train: Any) -> bool:
    """Whether a method ``train`` can be called as nn.Module's: ``train(mode=True)``."""
    try:
        parameters = list(inspect.signature(train).parameters.values())[1:]
    except (TypeError, ValueError):
        return False
    first = parameters[0] if parameters else None
    return first is not None and (first.name == "mode" or first.kind is first.VAR_POSITIONAL)


def serves_another(name: str, models: dict[str, nn.Module]) -> bool:
    """Whether a model's class is the base of another one's, or is used inside another one."""
    kind = type(models[name])
    return any(
        type(other) is not kind and (isinstance(other, kind) or any(type(part) is kind for part in other.modules()))
        for other in models.values()
    )


def read_recipe(value: Any) -> dict[str, Any]:
    """A file's RECIPE as Config fields; raises ChallengeError (status 3) for what may not be set, or not so."""
    keys = ", ".join(RECIPE_KEYS)
    if not isinstance(value, dict):
        raise ChallengeError(f"RECIPE must be a dictionary with some of {keys}", MODEL_ERROR)
    if unknown := [repr(key) for key in value if key not in RECIPE_KEYS]:
        raise ChallengeError(f"RECIPE: {', '.join(unknown)} cannot be set, only {keys}", MODEL_ERROR)
    try:
        return {key: Config.check(key, item) for key, item in value.items()}
    except ChallengeError as error:
        raise ChallengeError(f"RECIPE: {error}", MODEL_ERROR) from error


def find_model(model: str | Callable[[], nn.Module]) -> ModelSpec:
    """The spec of a registered model, of ``path/file.py[:NAME]`` (see choose_model), or of a builder as it is.

    A file is trusted: it is executed. Its RECIPE, if it has one, goes into the overrides. Raises ChallengeError: 2 for
    an unknown name, 3 when the file cannot be imported or has no such model.
    """
    if not isinstance(model, str):
        return ModelSpec(model, FILE_OVERRIDES)
    for known in (MODELS, FRONTIER):
        if model in known:
            return known[model]
    if not (named := split_file(model)):
        near = difflib.get_close_matches(model, MODELS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "see --list-models"
        raise ChallengeError(f"unknown model {model!r}: {hint}", USAGE)
    path, wanted = named
    try:
        file = path.resolve() if path.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        file = None
    if not file:
        raise ChallengeError(f"no model file {path}", USAGE)
    with model_errors(model):
        module = import_file(file)
        with import_path(file.parent):
            _, build = choose_model(module, wanted)
        return ModelSpec(build, override(FILE_OVERRIDES, read_recipe(getattr(module, "RECIPE", {}))))


def split_file(model: str) -> tuple[Path, str | None] | None:
    """``path/file.py[:NAME]`` as the path and NAME; None for what is not of this form."""
    found = re.fullmatch(r"(.+\.py)(?::([^:/]*))?", model, re.DOTALL)
    return (Path(found[1]), found[2] or None) if found else None


def model_name(model: str | Callable[[], nn.Module]) -> str:
    return model if isinstance(model, str) else getattr(model, "__name__", type(model).__name__)


def build_model(model: str | Callable[[], nn.Module]) -> nn.Module:
    """Build a fresh model, by name or by its builder: (N, 1, 28, 28) normalised float32 -> (N, 10) logits.

    Raises ChallengeError: 2 for an unknown name, with the nearest ones, and 3 when building it fails.
    """
    spec, name = find_model(model), model_name(model)
    named = split_file(name)  # a builder may import what lies beside its file
    with model_errors(name), import_path(named[0].resolve().parent) if named else contextlib.nullcontext():
        network = spec.build()
        if not isinstance(network, nn.Module):
            raise TypeError(f"it gives {type(network).__name__}, which is no nn.Module")
        return network


# --- Files and checkpoints --------------------------------------------------------------------------------------------


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file that appears whole or not at all; see write_files."""
    write_files({path: content})


def write_files(contents: dict[Path, bytes | str | None]) -> None:
    """Write several files, all or none, each whole or not at all; None removes a file.

    All go to temporary names first and are renamed then. A link is followed to its target. Raises OSError, also for
    anything in the way that is not a regular file.
    """
    ready: dict[Path, Path] = {}
    targets = {path: Path(os.path.realpath(path)) for path in contents}
    try:
        for path, content in contents.items():
            target = targets[path]
            if target.is_symlink() or (target.exists() and not target.is_file()):  # a link still: it leads to itself
                raise OSError(0, "there is something that is not a regular file", str(path))
            if content is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
                ready[temporary] = target
                temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        for path, content in contents.items():
            if content is None:
                targets[path].unlink(missing_ok=True)
        for temporary, target in ready.items():
            os.replace(temporary, target)
    finally:
        for temporary in ready:
            temporary.unlink(missing_ok=True)


def pack_checkpoint(model: nn.Module, result: Result, limits: Limits) -> bytes:
    """A model that passed, with all that is needed to rebuild and re-judge it, as plain tensors and types."""
    if not result.passed:
        raise ValueError(f"only passing models are saved: {'; '.join(result.violations)}")
    content = io.BytesIO()  # into memory: on a full disk torch's own writer aborts without an OSError
    state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    record = {"limits": dataclasses.asdict(limits), "result": result.plain(), "versions": result.versions}
    torch.save({"format": 1, "model": result.model, "state_dict": state, **record}, content)
    return content.getvalue()


def save_checkpoint(path: Path, model: nn.Module, result: Result, limits: Limits) -> None:
    """Write a checkpoint; ValueError for a model that broke a limit."""
    write_file(path, pack_checkpoint(model, result, limits))


def load_checkpoint(path: str | Path, model_file: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a saved model in eval mode on the CPU; returns it with the checkpoint's dictionary.

    Nothing that the file holds or names is executed: a model that is not registered is built only from a
    ``model_file`` (``path/file.py[:NAME]``) that the caller trusts. Raises ChallengeError: 4 when the file cannot be
    read, 3 when it is damaged, carries code, is no checkpoint of this script, or does not fit the model it names.
    """
    try:
        checkpoint = torch.load(io.BytesIO(read_regular(Path(path))), map_location="cpu", weights_only=True)
    except OSError as error:
        raise ChallengeError(f"cannot read {path}: {error.strerror or error}", MACHINE_ERROR) from error
    except Exception as error:  # zip, pickle and tensor errors of many types
        unsafe = isinstance(error, pickle.UnpicklingError) and "global" in str(error).lower()
        what = "carries code, which is never run" if unsafe else "is damaged or no checkpoint"
        raise ChallengeError(f"{path} {what}: train again to make a new one", MODEL_ERROR) from error
    parts = {"model": str, "state_dict": dict, "limits": dict, "result": dict, "versions": dict}
    if not isinstance(checkpoint, dict) or repr(checkpoint.get("format")) != "1":
        raise ChallengeError(f"{path} is not a checkpoint of this script (format 1)", MODEL_ERROR)
    if missing := [key for key, kind in parts.items() if not isinstance(checkpoint.get(key), kind)]:
        raise ChallengeError(f"{path} is not a whole checkpoint: {', '.join(missing)} is missing or wrong", MODEL_ERROR)
    name = checkpoint["model"]
    if not model_file and name not in MODELS and name not in FRONTIER:
        cure = "name the Python file that defines it, if you trust that file (model_file, or --model-file)"
        raise ChallengeError(f"{path} holds the model {name!r}, which is not one of this script: {cure}", MODEL_ERROR)
    model = build_model(model_file or name)
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except Exception as error:  # missing, unexpected or misshapen entries, or entries that are no tensors
        reason = f"{path} does not fit the model {model_file or name!r} of version {__version__}"
        raise ChallengeError(f"{reason}: train again to make a new one", MODEL_ERROR) from error
    return model.eval(), checkpoint


# --- How results are shown: lines and tables on a terminal, CSV -------------------------------------------------------

Run = dict[str, Any]  # a Result as --json prints it


def mark(held: bool, stream: TextIO | None = None) -> str:
    """PASS or FAIL, coloured where ``stream`` is a terminal, unless NO_COLOR is set (https://no-color.org)."""
    word = "PASS" if held else "FAIL"
    coloured = stream is not None and stream.isatty() and not os.environ.get("NO_COLOR")
    return f"\033[{32 if held else 31}m{word}\033[0m" if coloured else word


def result_rows(run: Run, limits: Limits = Limits(), stream: TextIO | None = None) -> list[tuple[str, str, str, str]]:
    """What is required, what was achieved, and whether it holds."""
    accuracy = "not measured"
    if run["test_accuracy"] is not None:
        low, high = (100 * bound for bound in run["accuracy_interval"])
        accuracy = f"{percent(run['test_accuracy'])} ({low:.2f}-{high:.2f})"
    held = {limit: mark(holds, stream) for limit, holds in run["limits"].items()}
    once = "each once" if run["each_once"] else "not each once"
    scored = {"test": "Test accuracy", "holdout": "Hold-out accuracy"}.get(run["scored_on"], run["scored_on"])
    threads = f"{run['threads']} thread{'s' * (run['threads'] > 1)}"
    return [
        ("RESULTS", "required", "achieved", ""),
        ("Parameters", f"< {limits.parameters:,}", f"{run['parameters']:,}", held["parameters"]),
        (scored, f">= {percent(limits.accuracy)}", accuracy, held["accuracy"]),
        ("One epoch", f"{run['train_images']:,} images", f"{run['images_seen']:,}, {once}", held["one_epoch"]),
        ("Training time", "", f"{run['train_seconds']:.2f} s, {threads}", ""),
        ("Checkpoint", "", run["checkpoint"] or "none saved", ""),
    ]


def results_block(run: Run, stream: TextIO) -> str:
    """The RESULTS block of one run."""
    rows = result_rows(run, stream=stream)
    lines = [f"{name:<18}{required:<16}{achieved:<26}{verdict}".rstrip() for name, required, achieved, verdict in rows]
    return "\n".join(lines + [f"  {sentence}" for sentence in run["violations"]])


def one_line(run: Run, stream: TextIO | None = None) -> str:
    accuracy = "no accuracy" if run["test_accuracy"] is None else percent(run["test_accuracy"])
    verdict = "; ".join([mark(run["passed"], stream), *run["violations"]])
    return f"{run['model']}, seed {run['seed']}: {accuracy} in {run['train_seconds']:.2f} s  {verdict}"


def summarise(runs: Sequence[Run]) -> dict[str, Any]:
    """Mean, standard deviation, min and max over runs; a figure that no run measured is None."""
    accuracies = [run["test_accuracy"] for run in runs if run["test_accuracy"] is not None]
    return {
        "runs": len(runs),
        "passed": sum(run["passed"] for run in runs),
        "accuracy_mean": statistics.fmean(accuracies) if accuracies else None,
        "accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "accuracy_min": min(accuracies, default=None),
        "accuracy_max": max(accuracies, default=None),
        "train_seconds_median": statistics.median(run["train_seconds"] for run in runs),
    }


def summary_line(runs: Sequence[Run]) -> str:
    s = summarise(runs)
    if s["accuracy_mean"] is None:
        return f"{s['runs']} runs, none measured; 0 passed"
    figures = ", ".join(f"{key} {100 * s['accuracy_' + key]:.2f} %" for key in ("mean", "min", "max"))
    return f"{s['passed']} of {s['runs']} runs passed; accuracy {figures}; median {s['train_seconds_median']:.2f} s"


@contextlib.contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int, float, float], None]]:
    """Yield a callback (images, loss, accuracy): one live line on a terminal, else a line each quarter; on stderr."""
    if sys.stderr.isatty() and importlib.util.find_spec("tqdm"):
        from tqdm import tqdm

        with tqdm(total=total, desc=label, unit=" images", leave=False, ncols=80) as bar:

            def update(images: int, loss: float, accuracy: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.1%}", refresh=False)
                bar.update(images - bar.n)

            yield update
        return
    quarters = [0.25, 0.5, 0.75, 1.0]

    def write_line(images: int, loss: float, accuracy: float) -> None:
        reached = [quarter for quarter in quarters if images >= quarter * total]
        if reached:
            tell(f"{label}: {images:,} of {total:,} images, loss {loss:.3f}, accuracy {accuracy:.1%}")
            del quarters[: len(reached)]

    yield write_line


COLUMNS = {f.name: f.metadata for f in dataclasses.fields(Result) if f.metadata}  # of the table on screen
LIMIT_HEADERS = {"parameters": "size", "accuracy": "acc", "one_epoch": "epoch"}
LONG_FIELDS = ("confusion", "confused", "curve", "config", "versions")  # of a run, left out of the CSV


def grouped(runs: Sequence[Run], key: Callable[[Run], Any] = lambda run: run["model"]) -> list[list[Run]]:
    """Runs of a kind together; those that pass first, then by fewest parameters."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return sorted(groups.values(), key=lambda group: (not all(r["passed"] for r in group), group[0]["parameters"]))


def middle(group: Sequence[Run], key: str) -> Any:
    """The figure that stands for a group: the mean of accuracies, the median of other numbers, else the first."""
    values = [run[key] for run in group if run[key] is not None]
    if not values or not isinstance(values[0], (int, float)):
        return values[0] if values else None
    return statistics.fmean(values) if key == "test_accuracy" else type(values[0])(statistics.median(values))


def table(runs: Sequence[Run]) -> list[list[str]]:
    """Header and a row per model, sorted, as text; with several seeds mean +- standard deviation, min and passes."""
    several = len({run["seed"] for run in runs}) > 1
    headers = [metadata["header"] for metadata in COLUMNS.values()]
    rows = [headers + ["min %"] * several + list(LIMIT_HEADERS.values())]
    for group in grouped(runs):
        s, row = summarise(group), []
        for key, metadata in COLUMNS.items():
            value = middle(group, key)
            row.append("" if value is None else metadata["show"](value))
            if several and key == "test_accuracy" and value is not None:
                row[-1] = f"{100 * value:.2f} ±{100 * (s['accuracy_std'] or 0):.2f}"
        if several:
            row.append("" if s["accuracy_min"] is None else percent(s["accuracy_min"]).removesuffix(" %"))
        for limit in LIMIT_HEADERS:
            holds = sum(run["limits"][limit] for run in group)
            row.append(f"{holds}/{len(group)}" if several else "ok" if holds else "NO")
        rows.append(row)
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text: the first column to the left, the others to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def to_csv(runs: Sequence[Run], failures: dict[str, str]) -> str:
    """One row per run, fields as in the JSON but for the long ones; a model that could not run has only its error."""
    fields = [name for name in runs[0] if name not in LONG_FIELDS] if runs else ["model"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*fields, "error"], lineterminator="\n")
    writer.writeheader()
    for run in runs:
        writer.writerow({k: json.dumps(run[k]) if isinstance(run[k], (list, dict)) else run[k] for k in fields})
    writer.writerows({"model": model, "error": error} for model, error in failures.items())
    return text.getvalue()


# --- Many runs: seeds, grids and families of models, each run in a process of its own ---------------------------------


class Task(NamedTuple):
    """One run to be made."""

    model: str
    config: Config
    seed: int
    checkpoint: Path | None = None  # where the model goes if it passes


Outcome = tuple[Run, bytes | None]  # a run, and the checkpoint to write


def train_task(task: Task, data: Dataset, device: torch.device, show: bool, jobs: int = 1) -> Outcome:
    """Train and judge what a task asks for."""
    with progress(len(data.train.labels), f"{task.model}, seed {task.seed}") as on_progress:
        result, model = run(task.model, data, task.config, task.seed, device, on_progress=on_progress if show else None)
    result.jobs = jobs
    if not (task.checkpoint and result.passed):
        return result.plain(), None
    result.checkpoint = str(task.checkpoint)
    return result.plain(), pack_checkpoint(model, result, Limits())


def worker(channel: Any, work: Callable[[Task], Outcome], task: Task) -> None:
    """The process of one run: one thread, so that no figure depends on how many runs there are at a time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        with contained():
            outcome = work(task)
    except ChallengeError as error:
        outcome = error
    except Exception as error:
        outcome = ChallengeError(f"{task.model}: {one_sentence(error)}", MACHINE_ERROR)
    channel.send(outcome)
    channel.close()
    hard_exit(OK)  # threads and exit functions of a model's code have no say


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block is left: what comes within a fork, Python reports and drops."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Wait for the parent process to end, however it does; then nobody takes this one's result any more."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)


def run_tasks(
    tasks: Sequence[Task], work: Callable[[Task], Outcome], jobs: int, fork: bool
) -> Iterator[tuple[Task, Outcome | ChallengeError]]:
    """Do each task in a process of its own, ``jobs`` at a time; yields outcomes as they come, failures among them.

    ``fork`` saves each process the import of torch: for Linux, and not with an accelerator, whose driver would break.
    """
    context = multiprocessing.get_context("fork" if fork and sys.platform == "linux" else "spawn")
    waiting, running = list(tasks), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=worker, args=(sender, work, task), daemon=True)
                with signals_held() if hasattr(signal, "pthread_sigmask") else contextlib.nullcontext():
                    process.start()
                    running[receiver] = process, task
                sender.close()
            for receiver in multiprocessing.connection.wait(list(running)):
                process, task = running[receiver]
                try:
                    outcome = receiver.recv()
                except (EOFError, OSError):
                    process.join()
                    how = f"it was killed by signal {-process.exitcode}" if process.exitcode < 0 else "it just ended"
                    outcome = ChallengeError(f"{task.model}, seed {task.seed}: no result, {how}", MODEL_ERROR)
                process.join()
                del running[receiver]
                yield task, outcome
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


def allowed_cores() -> int:
    """Cores on which this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the CPU quota of its cgroup, as containers have it."""
    cores = allowed_cores()
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))  # ValueError where the quota is "max": none
    return cores


class Load:
    """How busy other processes keep the cores that this one may use, from its making on. Linux only; 0 elsewhere."""

    def __init__(self) -> None:
        self.start = self.read()

    def read(self) -> tuple[float, float, float]:
        """Seconds: of the clock, of all processes on our cores, of this process."""
        busy = 0.0
        with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
            ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
            for line in Path("/proc/stat").read_text().splitlines():
                name, *ticks = line.split()
                if name in ours:
                    user, nice, system, _, _, irq, softirq = map(int, ticks[:7])
                    busy += (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), busy, time.process_time()

    def others(self) -> float:
        """The mean number of our cores that other processes kept busy."""
        clock, busy, mine = (now - then for now, then in zip(self.read(), self.start, strict=True))
        return max(0.0, busy - mine) / clock


def choose_threads(others: float) -> int:
    """Threads for one run: the cores that are free, and no more than PyTorch would take by itself, but at least one.

    OpenMP's threads wait for each other by spinning, so that one thread too many costs far more than one too few: with
    another run on the same two cores, two threads took eight times as long as one.
    """
    return max(1, min(torch.get_num_threads(), usable_cores(), round(allowed_cores() - others)))


@dataclass
class Session:
    """What a command works with, from the data to the stream that it reports on."""

    data: Dataset
    arguments: argparse.Namespace
    command: str  # as it was typed
    stdout: TextIO

    @property
    def stream(self) -> TextIO:
        return sys.stderr if self.arguments.json else self.stdout

    @property
    def folder(self) -> Path:
        return Path(self.arguments.results_dir)

    @property
    def seeds(self) -> range:
        return range(self.arguments.seed, self.arguments.seed + self.arguments.seeds)

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def outcomes(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome | ChallengeError]]:
        """Make the runs: a single one in this process, several in processes of their own."""
        device = pick_device(self.arguments.device)
        jobs = min(self.arguments.jobs or (usable_cores() if device.type == "cpu" else 1), len(tasks))
        show = jobs == 1 and not self.arguments.quiet
        work = partial(train_task, data=self.data, device=device, show=show, jobs=jobs)
        if len(tasks) == 1:
            yield tasks[0], work(tasks[0])
        else:
            yield from run_tasks(tasks, work, jobs, fork=device.type == "cpu")

    def finish(self, document: dict[str, Any]) -> None:
        if self.data.note:
            self.say(f"Note: {self.data.note}")
        if self.arguments.json:
            print(json.dumps(document), file=self.stdout)


class Results:
    """The runs of one model in one command, and the files that they leave unless the data is a hold-out.

    <name>.json grows run by run, <name>.pth is the first seed's, and both change together. A checkpoint of an earlier
    command does not stay beside the runs of this one: it is set aside as <name>.earlier.pth.
    """

    def __init__(self, session: Session, model: str) -> None:
        name = results_name(model)
        self.json, self.checkpoint = session.folder / f"{name}.json", session.folder / f"{name}.pth"
        self.seeds, self.save = session.seeds, session.data.scored_on != "holdout"
        self.runs: list[Run] = []
        self.saved = False

    def tasks(self, model: str, config: Config) -> list[Task]:
        """A task for each seed; the first one's model is saved if it passes, not the luckiest."""
        saved = {self.seeds[0]: self.checkpoint} if self.save else {}
        return [Task(model, config, seed, saved.get(seed)) for seed in self.seeds]

    def add(self, run: Run, checkpoint: bytes | None) -> None:
        """Enter a run, and write the files anew."""
        self.runs = sorted([*self.runs, run], key=lambda each: each["seed"])
        if not self.save:
            return
        self.saved = self.saved or checkpoint is not None
        if not self.saved and self.checkpoint.exists():
            os.replace(self.checkpoint, self.checkpoint.with_suffix(".earlier.pth"))
        written = {self.checkpoint: checkpoint} if checkpoint else {}
        write_files({**written, self.json: json.dumps(self.document(), indent=1) + "\n"})

    def document(self) -> dict[str, Any]:
        return self.runs[0] if len(self.seeds) == 1 else {"runs": self.runs, "summary": summarise(self.runs)}


def results_name(model: str) -> str:
    """The name of a model's results; of a file it tells the folder too, by a digest."""
    if model in MODELS or model in FRONTIER:
        return model
    path, wanted = split_file(model)
    return "-".join([path.stem, *filter(None, [wanted]), file_digest(path)])


def train_one(session: Session, config: Config) -> int:
    """The main job: one model, one seed or several."""
    name, arguments, data = session.arguments.model, session.arguments, session.data
    if not arguments.quiet:
        parameters = count_parameters(build_model(name))
        under = "under" if parameters < Limits.parameters else "NOT under"
        sizes = f"{len(data.train.labels):,} training and {len(data.test.labels):,} {data.scored_on} images"
        session.say(f"Model    {name}, {parameters:,} parameters: {under} {Limits.parameters:,}")
        session.say(f"Data     {data.name}, {sizes}")
        session.say(f"Device   {pick_device(arguments.device)}, seed {arguments.seed}\n")
    results = Results(session, name)
    for _, outcome in session.outcomes(results.tasks(name, config)):
        if isinstance(outcome, ChallengeError):
            raise outcome
        results.add(*outcome)
        single = arguments.seeds == 1 and not arguments.quiet
        session.say(results_block(outcome[0], session.stream) if single else one_line(outcome[0], session.stream))
    if arguments.seeds > 1:
        session.say(summary_line(results.runs))
    session.finish(results.document())
    return OK if all(done["passed"] for done in results.runs) else LIMIT_BROKEN


def train_all(session: Session) -> int:
    """Every registered model, or the frontier's: one that cannot run does not stop the others."""
    models = FRONTIER if session.arguments.model == "frontier" else MODELS
    changes = given_settings(session.arguments)
    results, failures = {name: Results(session, name) for name in models}, {}
    tasks = [task for name in longest_first(models) for task in results[name].tasks(name, recipe(name, **changes))]
    for i, (task, outcome) in enumerate(session.outcomes(tasks), 1):
        if isinstance(outcome, ChallengeError):
            failures[task.model] = str(outcome)
            line = f"{task.model}: {outcome}"
        else:
            results[task.model].add(*outcome)
            line = one_line(outcome[0], session.stream)
        session.say(f"[{i}/{len(tasks)}] {line}")
    runs = [run for each in results.values() for run in each.runs]
    document = comparison(session, models, runs, failures)
    write_files({session.folder / "comparison.json": json.dumps(document, indent=1) + "\n",
                 session.folder / "comparison.csv": to_csv(runs, failures)})  # fmt: skip
    if runs:
        session.say("\n" + aligned(table(runs)) + "\n")
        draw_report(session)
    session.finish(document)
    judged = {name for name, spec in models.items() if spec.must_pass}
    if failures.keys() & judged:
        return MODEL_ERROR
    return OK if all(done["passed"] for done in runs if done["model"] in judged) else LIMIT_BROKEN


def longest_first(models: dict[str, ModelSpec]) -> list[str]:
    """Names by falling arithmetic, so that no long run is left to the end; those that cannot be built come last."""

    def macs(name: str) -> int:
        try:
            return count_macs(build_model(name), torch.zeros(1, 1, SIDE, SIDE))
        except Exception:  # told when it is its turn
            return 0

    return sorted(models, key=macs, reverse=True)


def comparison(
    session: Session, models: dict[str, ModelSpec], runs: list[Run], failures: dict[str, str]
) -> dict[str, Any]:
    """What --model all found, as the room report/ reads it."""
    ideas = {name: (inspect.getdoc(spec.build) or "").partition("\n") for name, spec in models.items()}
    return {
        "command": session.command,
        "limits": dataclasses.asdict(Limits()),
        "columns": {name: metadata["header"] for name, metadata in COLUMNS.items()},
        "table": table(runs),
        "models": {name: {"idea": idea, "source": rest.strip()} for name, (idea, _, rest) in ideas.items()},
        "runs": runs,
        "summary": {group[0]["model"]: summarise(group) for group in grouped(runs)},
        "failures": failures,
    }


def draw_report(session: Session) -> None:
    """Have the room report/ draw plots and a page from the JSON files, where it is beside this script."""
    if not (HERE / "report" / "__main__.py").exists():
        session.say("plots and a page are drawn by report/ of this project, which is not beside this script")
        return
    command = [sys.executable, "-m", "report", session.folder.resolve()]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, errors="replace")
    session.say((done.stdout if done.returncode == 0 else done.stderr).strip() or "the plots could not be drawn")


def parse_grid(settings: Sequence[str]) -> dict[str, list[Any]]:
    """``["lr=0.01,0.1", "optimizer=adamw,sgd"]`` -> the values of each Config field; ChallengeError 2 if it is none."""
    grid: dict[str, list[Any]] = {}
    for each in settings:
        key, _, values = each.partition("=")
        if key not in Config.__dataclass_fields__ or not values:
            keys = ", ".join(Config.__dataclass_fields__)
            raise ChallengeError(f"--sweep {each}: expected KEY=V1,V2,... with KEY one of {keys}", USAGE)
        if key in grid:
            raise ChallengeError(f"--sweep {each}: {key} is given twice; put all its values into one", USAGE)
        grid[key] = list(dict.fromkeys(Config.check(key, value) for value in values.split(",")))
    return grid


def sweep(session: Session, config: Config, grid: dict[str, list[Any]]) -> int:
    """A grid of settings for one model: table, CSV and heat map, scored on the hold-out unless told otherwise."""
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    configs = [dataclasses.replace(config, **override({}, point)) for point in points]
    tasks = [Task(session.arguments.model, each, s) for each in configs for s in session.seeds]
    runs: dict[Task, Run] = {}
    for task, outcome in session.outcomes(tasks):
        if isinstance(outcome, ChallengeError):
            raise outcome
        changed = {key: getattr(task.config, key) for key in grid}
        runs[task] = {**changed, **outcome[0]}
        session.say(f"{', '.join(f'{k}={v}' for k, v in changed.items())}  {one_line(outcome[0], session.stream)}")
    ordered = [runs[task] for task in tasks]
    rows = ranking(ordered, list(grid))
    session.say(f"\n{aligned(rows)}\nscored on the {session.data.scored_on} images\n")
    document = {
        "command": session.command, "limits": dataclasses.asdict(Limits()), "model": session.arguments.model,
        "keys": list(grid), "runs": ordered, "summary": [dict(zip(rows[0], row, strict=True)) for row in rows[1:]],
    }  # fmt: skip
    write_files({session.folder / "sweep.json": json.dumps(document, indent=1) + "\n",
                 session.folder / "sweep.csv": to_csv(ordered, {})})  # fmt: skip
    draw_report(session)
    session.finish(document)
    return OK


def ranking(runs: Sequence[Run], keys: Sequence[str]) -> list[list[str]]:
    """Header and a row per point of a grid, best mean accuracy first."""
    groups = grouped(runs, key=lambda done: tuple(done[key] for key in keys))
    groups.sort(key=lambda group: -(summarise(group)["accuracy_mean"] or 0))
    rows = [[*keys, "mean %", "std", "min %", "runs", "train s"]]
    for group in groups:
        s = summarise(group)
        accuracies = [s[f"accuracy_{key}"] for key in ("mean", "std", "min")]
        shown = ["" if value is None else f"{100 * value:.2f}" for value in accuracies]
        rows.append([*(str(group[0][k]) for k in keys), *shown, str(s["runs"]), f"{s['train_seconds_median']:.2f}"])
    return rows


# --- The command line -------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:  # argparse would print the whole usage above the one line that matters
        raise ChallengeError(f"{message} (see --help)", USAGE)


def argument(kind: type[int] | type[float], low: float, high: float = math.inf) -> Callable[[str], int | float]:
    """An argparse type: a number from ``low`` to ``high``."""

    def parse(text: str) -> int | float:
        try:
            return number(text, kind, Range(low, high))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def config_field(name: str) -> Callable[[str], Any]:
    """An argparse type: a value of a Config field, in its range."""

    def parse(text: str) -> Any:
        try:
            return Config.check(name, text)
        except ChallengeError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(f"{name}: ")) from None

    return parse


SETTINGS = {  # the Config fields that are options of their own
    "batch_size": ("N", "images per step (default: the model's own)"),
    "lr": ("X", "peak learning rate (default: the optimizer's own)"),
    "optimizer": ("NAME", f"{' or '.join(OPTIMIZERS)} (default: the model's own)"),
}


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The Config fields that the command line sets."""
    return {key: getattr(arguments, key) for key in SETTINGS if getattr(arguments, key) is not None}


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mnist_efficient_model.py",
        description="Train a network of fewer than 25,000 parameters for exactly one augmented epoch of MNIST, hold it "
        "to 95 % test accuracy, and save it if it passes.",
        epilog="exit status: 0 limits hold, 1 a limit is broken, 2 usage, 3 the model could not be built or run, "
        "4 data or machine",
    )
    add = parser.add_argument
    add("--model", default="efficient", metavar="NAME",
        help="a name from --list-models, anybody's FILE.py[:NAME], all, or frontier (default: efficient)")  # fmt: skip
    add("--dataset", default="auto", choices=("auto", *DATASETS),
        help="auto: mnist if on disk or downloadable, else strokes, which need none (default: auto)")  # fmt: skip
    add("--test-on", choices=tuple(DATASETS), help="score on the test set of another dataset than the one trained on")
    add("--data-dir", metavar="DIR", help="where the data is or goes (default: $MNIST_DATA_DIR, else data/)")
    add(
        "--seed", type=argument(int, 0, 2**63 - 1), default=0, metavar="N", help="of weights, order, warps (default: 0)"
    )
    add("--seeds", type=argument(int, 1, 10_000), default=1, metavar="K", help="K runs, from --seed on")
    add(
        "--jobs",
        type=argument(int, 1),
        metavar="J",
        help="several runs: J at a time (default: one for each usable core)",
    )
    add("--device", default="auto", choices=("auto", *DEVICES), help="default: an accelerator if there is one")
    for name, (metavar, text) in SETTINGS.items():
        add(f"--{name.replace('_', '-')}", type=config_field(name), metavar=metavar, help=text)
    add("--holdout", type=argument(int, 0), metavar="N",
        help="train on all but the last N training images, score on those, save nothing: for tuning")  # fmt: skip
    add("--sweep", action="append", default=[], metavar="KEY=V1,V2,...",
        help="repeatable: try a grid of settings, on a hold-out of 10,000 unless --holdout says otherwise")  # fmt: skip
    add("--results-dir", default="results", metavar="DIR", help="where runs write (default: results/)")
    add("--json", action="store_true", help="print one JSON document on stdout, all else on stderr")
    add("--quiet", action="store_true", help="no progress; one line per run")
    add("--list-models", action="store_true", help="names, parameters and ideas, then exit")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return parser.parse_args(argv)


DEVICES = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps, "cpu": None}  # the preferred ones first


def pick_device(device: str | torch.device) -> torch.device:
    """The device of that name, or for ``auto`` the first of DEVICES; ChallengeError (status 4) if it is not there."""
    available = [kind for kind, module in DEVICES.items() if module is None or module.is_available()]
    if device == "auto":
        return torch.device(available[0])
    if str(device).partition(":")[0] not in available:
        raise ChallengeError(f"device {device}: not available here (available: {', '.join(available)})", MACHINE_ERROR)
    return torch.device(device)


def list_models() -> str:
    """Each model's name, parameters (blank where a package that it needs is missing) and idea."""
    lines = []
    for name, spec in MODELS.items():
        parameters = ""
        with contextlib.suppress(ChallengeError):
            parameters = f"{count_parameters(build_model(name)):,}"
        lines.append(f"{name:<26}{parameters:>9}  {spec.summary}")
    return "\n".join(lines)


def check_results_dir(folder: Path) -> None:
    """Raise OSError now, not after the training, where results cannot be written."""
    if folder.exists() and not folder.is_dir():
        raise OSError(0, "it is a file, and results need a folder: choose another --results-dir", str(folder))
    write_file(folder / ".writable", "")
    (folder / ".writable").unlink(missing_ok=True)


def command(arguments: argparse.Namespace, typed: str, stdout: TextIO) -> int:
    """Do what the command line asks; returns the exit status. What is wrong is told before any waiting."""
    load = Load()
    if arguments.list_models:
        print(list_models(), file=stdout)
        return OK
    every = arguments.model in ("all", "frontier")
    if every and arguments.sweep:
        raise ChallengeError(f"--sweep takes one model, not {arguments.model}", USAGE)
    config = recipe("efficient" if every else arguments.model, **given_settings(arguments))
    grid = parse_grid(arguments.sweep)
    pick_device(arguments.device)
    several = every or grid or arguments.seeds > 1
    if several:
        torch.set_num_threads(1)  # before the data is read: a process with running threads cannot be forked safely
    holdout = arguments.holdout if arguments.holdout is not None else 10_000 if grid else 0
    data = load_dataset(arguments.dataset, arguments.data_dir, holdout, arguments.test_on)
    largest, images = max(config.batch_size, *grid.get("batch_size", [0])), len(data.train.labels)
    if largest > images:
        raise ChallengeError(f"--batch-size {largest:,}: there are only {images:,} images", USAGE)
    if not holdout or every or grid:
        check_results_dir(Path(arguments.results_dir))
    if not several:
        torch.set_num_threads(choose_threads(load.others()))
    session = Session(data, arguments, typed, stdout)
    if every:
        return train_all(session)
    return sweep(session, config, grid) if grid else train_one(session, config)


def tell(message: str) -> None:
    """A line on stderr."""
    print(message, file=sys.stderr, flush=True)


hard_exit = os._exit  # as it is before any model's code runs


class Borrowed:
    """A stream for a model's own prints, which it cannot close."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def close(self) -> None:
        raise ValueError("it closed a standard stream")


@contextlib.contextmanager
def contained() -> Iterator[TextIO]:
    """While a command runs, a model's code prints to stderr, closes no standard stream and cannot end the program.

    Yields the real standard output, so that it holds nothing but results.
    """

    def leave(status: int = 0) -> None:  # os._exit(0) would look like a model that passed
        raise SystemExit(status)

    before = sys.stdout, sys.stderr, os._exit
    sys.stdout = sys.stderr = Borrowed(sys.stderr)
    os._exit = leave
    try:
        yield before[0]
    finally:
        sys.stdout, sys.stderr, os._exit = before


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C."""


def terminate(*_: object) -> None:
    raise Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before Python started
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name is no reason to fail
    try:
        argv = sys.argv[1:] if argv is None else argv
        arguments = parse_arguments(argv)
        with contained() as stdout:
            return command(arguments, shlex.join(["python", "mnist_efficient_model.py", *argv]), stdout)
    except ChallengeError as error:
        message, status = str(error), error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read stdout has gone, and Python flushes it at exit
        message, status = "standard output was closed; what was finished is in the results folder", MACHINE_ERROR
    except OSError as error:
        message, status = f"cannot write {error.filename or 'the results'}: {error.strerror or error}", MACHINE_ERROR
    except KeyboardInterrupt as error:
        tell("\ninterrupted: nothing was left half-written")
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)  # names may hold anything
    tell(f"mnist_efficient_model.py: error: {shown}")
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminate)
    exit_status = main()
    for standard_stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            standard_stream.flush()
    hard_exit(exit_status)  # threads and exit functions of a model's code have no say
