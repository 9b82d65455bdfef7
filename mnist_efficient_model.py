#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["torch>=2.6", "torchvision>=0.21", "numpy>=1.26"]
# ///
"""The efficient-MNIST challenge: fewer than 25,000 parameters, at least 95 % accuracy, exactly one augmented epoch.

`efficient` has 8,706 parameters and classifies 98.96 % of MNIST's test images correctly (mean of 20 seeds, min 98.76,
max 99.13; all pass). Its epoch takes 4.4 s (median of 7) on two cores of an Intel Xeon (Emerald Rapids), torch 2.14.1.

    python mnist_efficient_model.py                    train it, check the limits, save the checkpoint
    python mnist_efficient_model.py --seeds 20         twenty runs: mean, min, max, and how many passed
    python mnist_efficient_model.py --list-models      the other networks

    Config -> load_dataset -> Split -> epoch_batches -> augment -> model -> train_one_epoch
           -> evaluate -> Result -> violations

Up to "The rivals" this is the complete challenge; the rest is optional. torchvision only downloads MNIST.
"""

import argparse
import contextlib
import csv
import difflib
import hashlib
import importlib.util
import io
import json
import math
import multiprocessing.connection
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

__version__ = "2.3.0"

CLASSES, SIDE = 10, 28  # digits, and pixels of an image's side
OK, LIMIT_BROKEN, USAGE, MODEL_ERROR, MACHINE_ERROR = 0, 1, 2, 3, 4  # exit statuses
DATASETS = {"mnist": "MNIST", "strokes": None, "fashion": "FashionMNIST", "kmnist": "KMNIST"}  # torchvision's class


class ChallengeError(Exception):
    """An error with a one-line message for the user: ChallengeError(message, exit status)."""

    def __init__(self, message: str, status: int = USAGE) -> None:  # the default for pickle, which sets it afterwards
        super().__init__(message)
        self.status = status


# --- The limits, the recipe of the one epoch, and the command line ----------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """What every model is checked against, beside exactly one epoch."""

    parameters: int = 25_000  # strictly fewer
    accuracy: float = 0.95  # at least, as a fraction of all test images


@dataclass(frozen=True)
class Config:
    """The recipe of the epoch, chosen on a hold-out of the training set; ChallengeError (status 2) outside RANGES."""

    batch_size: int = 128  # images per optimizer step
    optimizer: str = "adamw"  # one of OPTIMIZERS
    lr: float | None = None  # peak learning rate; None: the optimizer's own
    weight_decay: float = 0.0  # on all parameters; one epoch leaves no time to overfit
    warmup: float = 0.25  # fraction of the epoch in which the rate climbs; it then falls to zero
    label_smoothing: float = 0.1  # fraction of the target spread evenly over the classes
    rotation: float = 10.0  # degrees: each image turns by its own angle within +-rotation
    translation: float = 0.1  # fraction of the side: each image shifts by its own offset within +-translation
    fade: float = 0.8  # last fraction of the epoch over which the augmentation shrinks to nothing

    OPTIMIZERS: ClassVar = ("adamw", "sgd", "muon")
    RANGES: ClassVar = {"batch_size": (1, 10**6), "lr": (1e-12, 1e38), "weight_decay": (0, 10), "rotation": (0, 180)}

    def __post_init__(self) -> None:
        if self.optimizer not in self.OPTIMIZERS:
            raise ChallengeError(f"optimizer {self.optimizer!r}: choose from {', '.join(self.OPTIMIZERS)}", USAGE)
        for name, value in vars(self).items():
            if name == "optimizer" or (name == "lr" and value is None):
                continue
            (low, high), kind = self.RANGES.get(name, (0, 1)), int if name == "batch_size" else float
            if not isinstance(value, (int, kind)) or not low <= value <= high:
                numbers = f"{'a whole number' if kind is int else 'a number'} from {low} to {high:g}"
                raise ChallengeError(f"{name} {str(value)[:40]!r}: it must be {numbers}", USAGE)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:  # argparse would print the whole usage above the one line that matters
        self.exit(USAGE, f"{self.prog}: error: {message} (see --help)\n")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; a mistake in it ends the process with one line and status 2."""
    statuses = "exit status: 0 limits hold, 1 one is broken, 2 usage, 3 the model fails, 4 data or machine"
    parser = Parser(prog="mnist_efficient_model.py", description=__doc__.partition("\n")[0], epilog=statuses)
    add = parser.add_argument
    add(
        "--model", nargs="?", const="", default="efficient", metavar="NAME", help="one of the list, FILE.py[:NAME], all"
    )
    add("--dataset", default="auto", choices=("auto", *DATASETS), help="auto: mnist if it can be had, else strokes")
    add("--test-on", choices=DATASETS, help="score on the test set of another dataset than the one trained on")
    add("--data-dir", metavar="DIR", help="where the data is or goes (default: $MNIST_DATA_DIR, else data/)")
    add("--seed", type=int, default=0, metavar="N", help="of weights, order and augmentation (default: 0)")
    add("--seeds", type=int, default=1, metavar="K", help="K runs, from --seed on")
    add("--jobs", type=int, metavar="J", help="J runs at a time (default: as many as there are usable cores)")
    add("--device", default="auto", choices=("auto", "cuda", "xpu", "mps", "cpu"), help="auto: an accelerator if any")
    add("--batch-size", type=int, metavar="N", help="images per step (default: the model's own)")
    add("--lr", type=float, metavar="X", help="peak learning rate (default: the model's or the optimizer's own)")
    add("--optimizer", choices=Config.OPTIMIZERS, help="default: the model's own")
    add("--holdout", type=int, default=0, metavar="N", help="score on the last N training images instead: for tuning")
    add("--results-dir", type=Path, default="results", metavar="DIR", help="where runs write (default: results/)")
    add("--json", action="store_true", help="print one JSON document on stdout, all else on stderr")
    add("--quiet", action="store_true", help="no progress; one line per run")
    add("--list-models", action="store_true", help="names, parameters and ideas, as --model without a name")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    arguments = parser.parse_args(argv)
    for name, low, high in (("seed", 0, 2**62), ("seeds", 1, 100_000), ("jobs", 1, 10_000), ("holdout", 0, 59_999)):
        if (value := getattr(arguments, name)) is not None and not low <= value <= high:
            parser.error(f"--{name} {value}: it must be from {low} to {high:,}")
    given = {name: getattr(arguments, name) for name in ("batch_size", "lr", "optimizer")}  # Config fields
    arguments.settings = {name: value for name, value in given.items() if value is not None}
    return arguments


if __name__ == "__main__":  # importing torch takes seconds: what needs none of it is answered before
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until main() runs, Ctrl-C just ends the process
    parse_arguments()

try:
    import numpy as np
    import torch
except ImportError as missing:
    if __name__ != "__main__":
        raise
    print(f"mnist_efficient_model.py: error: {missing}: pip install torch torchvision numpy", file=sys.stderr)
    sys.exit(MACHINE_ERROR)
nn, F, Tensor = torch.nn, torch.nn.functional, torch.Tensor
Model = str | Callable[[], nn.Module]  # a registered name, FILE.py[:NAME], or a builder
OnProgress = Callable[[int, float, float], None] | None  # called with images seen, loss and accuracy


# --- The network: the function's name is the model's name -------------------------------------------------------------


class ModelSpec(NamedTuple):
    build: Callable[[], nn.Module]
    overrides: dict[str, Any] = {}  # noqa: RUF012  # of Config, chosen for this model on the hold-out
    must_pass: bool = False  # the challenge claims that it passes on every seed; rivals and ablations may fail

    @property
    def idea(self) -> str:
        return (self.build.__doc__ or "").strip().partition("\n")[0]


MODELS: dict[str, ModelSpec] = {}  # what --model all trains


def register(must_pass: bool = False, **overrides: Any) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Enter the decorated builder in MODELS, with the Config fields it overrides; a duplicate name is an error."""
    if overrides.keys() & {"rotation", "translation"}:
        raise ValueError("rotation and translation are the same for every registered model")

    def enter(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        if build.__name__ in MODELS:
            raise ValueError(f"two models are called {build.__name__!r}")
        Config(**overrides)  # an unknown override is an error too
        MODELS[build.__name__] = ModelSpec(build, overrides, must_pass)
        return build

    return enter


class ChannelsLast(nn.Module):
    """Stride grey images as NHWC, in which CPU convolutions vectorise; with one channel memory_format does nothing."""

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "cpu":
            return images
        n, _, height, width = images.shape
        return images.reshape(n, height, width, 1).permute(0, 3, 1, 2)  # (N, 1, H, W), the channel fastest


def conv_block(
    inputs: int, outputs: int, padding: int = 1, pool: bool = True, activation: Any = None
) -> list[nn.Module]:
    """3x3 convolution, 2x2 max-pooling, BatchNorm, ReLU: (N, inputs, H, W) -> (N, outputs, H/2, W/2) if padded."""
    return [
        nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False),  # BatchNorm would subtract a bias again
        *([nn.MaxPool2d(2)] if pool else []),  # here it leaves the rest a quarter of the work
        nn.BatchNorm2d(outputs),
        activation or nn.ReLU(inplace=True),
    ]


@register(must_pass=True, fade=0.7)
def efficient() -> nn.Module:
    """Three convolutions with BatchNorm, global average pooling and a small head: the challenge's own network.

    Global average pooling: Lin, Chen and Yan, "Network In Network", 2013. It draws the image with 24 x 24 pixels, from
    where every side halves without a remainder: half the arithmetic of 28 x 28, which reads no better.
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


# --- Data: images and labels as tensors -------------------------------------------------------------------------------


class Split(NamedTuple):
    """All images of a training or test set and their labels, on one device."""

    images: Tensor  # (N, 28, 28) uint8
    labels: Tensor  # (N,) int64, 0-9

    def to(self, device: torch.device | str) -> "Split":
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
            cure = "run once with a network and --dataset mnist, or put its files where that command says"
            return f"these figures are for strokes, digits that a program draws, NOT for MNIST; to get MNIST, {cure}"
        here = self.scored_on in ("test", "holdout")
        return None if here else f"trained on {self.name}, scored on the {self.scored_on} images"


MEAN, STD = 0.1307, 0.3081  # of MNIST's training pixels scaled to 0-1; for every dataset, so that models carry over


def to_input(pixels: Tensor) -> Tensor:
    """Normalise pixels (N, 28, 28), 0-255 of any dtype, into a model's input: (N, 1, 28, 28) float32."""
    return pixels.float().mul(1 / (255 * STD)).sub_(MEAN / STD).unsqueeze(1)


def random_affine(n: int, config: Config, generator: torch.Generator) -> Tensor:
    """Draw an epoch's warps: (n, 2, 3) float32 on the CPU, uniform, shrinking to zero over the last ``fade`` of it."""
    left = 1 - torch.arange(n) / n  # fraction of the epoch still to come
    strength = (left / config.fade).clamp(max=1) if config.fade else torch.ones(n)
    angle, x, y = (2 * torch.rand(3, n, generator=generator) - 1) * strength
    angle = angle * math.radians(config.rotation)
    x, y = x * 2 * config.translation, y * 2 * config.translation  # the sampling grid spans -1 to 1
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, x, sin, cos, y], dim=1).view(n, 2, 3)


# The sampling grids of the six unit matrices, (6, 28 * 28 * 2): any matrix's grid is a sum of them.
UNIT_GRIDS = F.affine_grid(torch.eye(6).view(6, 2, 3), [6, 1, SIDE, SIDE], align_corners=False).view(6, -1)


def augment(pixels: Tensor, affine: Tensor) -> Tensor:
    """Warp each image of a batch (N, 28, 28) by its own matrix (N, 2, 3), bilinearly, with zeros from outside.

    A matrix maps output to input coordinates, as in ``F.affine_grid``, which would take three times as long as the
    sampling itself; one product with its grids for the unit matrices gives the same.
    """
    n = len(pixels)
    grid = (affine.view(n, 6) @ UNIT_GRIDS.to(pixels.device)).view(n, SIDE, SIDE, 2)
    return F.grid_sample(pixels.float().unsqueeze(1), grid, align_corners=False).squeeze(1)


def epoch_batches(split: Split, config: Config, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Deliver every image of ``split`` once, shuffled and augmented, the last partial batch included.

    Yields (indices (B,), images (B, 1, 28, 28), labels (B,)) on its device. All randomness is drawn beforehand on the
    CPU, so that a seed means the same epoch everywhere.
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


@dataclass(frozen=True)
class Epoch:
    """What happened in one epoch, as it was counted."""

    train_seconds: float  # from before the first batch is drawn until after the last step, augmentation included
    images_seen: int  # images delivered
    each_once: bool  # every training image was delivered exactly once
    diverged_at: int | None  # the step (from 1) at which the loss stopped being a number; training ended soon after
    curve: list[dict[str, float]]  # points of images, loss and accuracy: means since the point before


def train_one_epoch(
    model: nn.Module, batches: Iterable[Sequence[Tensor]], config: Config, images: int, on_progress: OnProgress = None
) -> Epoch:
    """Train ``model`` in place on ``batches`` of (indices (B,), inputs (B, 1, 28, 28), labels (B,)).

    ``images`` is the size of the training set. ``on_progress`` is called 25 times with the means since the last call.
    """
    optimizer = OPTIMIZERS[config.optimizer](model.parameters(), config.lr, config.weight_decay)
    steps = math.ceil(images / config.batch_size)
    log_interval = math.ceil(steps / 25)
    delivered, recent, curve, diverged_at = [], [], [], None
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    model.train()
    synchronize = getattr(torch, device.type, torch.cpu).synchronize  # waits until the device has finished its work
    synchronize()
    start = time.perf_counter()
    for step, (indices, inputs, labels) in enumerate(batches, 1):
        done, warmup = (step - 0.5) / steps, config.warmup  # a line up, then one down: Smith, "Super-Convergence", 2018
        optimizer.lr = optimizer.peak * (done / warmup if done < warmup else max(0.0, 1 - done) / (1 - warmup))
        logits = model(inputs)
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        delivered.append(indices)
        recent.append((loss.detach(), logits.detach(), labels))
        if step % log_interval == 0 or step == steps:  # only here the device is waited for
            losses, outputs, targets = (list(column) for column in zip(*recent, strict=True))
            recent, losses = [], torch.stack(losses)
            if not losses.isfinite().all():
                diverged_at = step - len(losses) + int((~losses.isfinite()).nonzero()[0]) + 1
                break
            accuracy = (torch.cat(outputs).argmax(1) == torch.cat(targets)).float().mean().item()
            curve.append({"images": sum(map(len, delivered)), "loss": losses.mean().item(), "accuracy": accuracy})
            if on_progress:
                on_progress(**curve[-1])
    synchronize()
    seconds, seen = time.perf_counter() - start, sum(map(len, delivered))
    times = torch.cat(delivered).bincount(minlength=images) if delivered else torch.zeros(1)
    return Epoch(seconds, seen, bool((times == 1).all()), diverged_at, curve)


@dataclass(frozen=True)
class Evaluation:
    """Metrics on a split; all None if the run diverged."""

    accuracy: float | None = None  # fraction of all images classified correctly
    accuracy_interval: tuple[float, float] | None = None  # 95 %, Wilson
    loss: float | None = None  # mean cross-entropy in nats, without label smoothing
    per_class_accuracy: list[float | None] | None = None
    confusion: list[list[int]] | None = None  # [true class][predicted class], counts
    confused: list[dict[str, Any]] | None = None  # the 20 most confident mistakes


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch_size: int = 1000) -> Tensor:
    """Logits (N, 10) of images (N, 28, 28) uint8, in eval mode, one look at each image as it is."""
    model.eval()
    return torch.cat([model(to_input(batch)) for batch in images.split(batch_size)])


def evaluate(model: nn.Module, test: Split) -> Evaluation:
    """Score a model on every image of a split."""
    return score(predict(model, test.images), test)


def score(logits: Tensor, test: Split) -> Evaluation:
    """Score the logits (N, 10) of the images of a split."""
    labels, n, predictions = test.labels, len(test.labels), logits.argmax(1)
    confusion = torch.bincount(CLASSES * labels + predictions, minlength=CLASSES**2).view(CLASSES, CLASSES).tolist()
    accuracy = sum(confusion[c][c] for c in range(CLASSES)) / n
    per_class = [row[c] / sum(row) if sum(row) else None for c, row in enumerate(confusion)]
    confused, confidence = [], logits.softmax(1).amax(1)
    for i in torch.where(predictions == labels, -1, confidence).topk(min(20, n)).indices.tolist():
        if predictions[i] != labels[i]:
            pixels = zlib.compress(test.images[i].cpu().numpy().tobytes()).hex()  # 28 x 28 bytes
            mistake = {"index": i, "label": int(labels[i]), "predicted": int(predictions[i])}
            confused.append({**mistake, "confidence": float(confidence[i]), "pixels": pixels})
    loss = F.cross_entropy(logits, labels).item()
    return Evaluation(accuracy, wilson_interval(accuracy, n), loss, per_class, confusion, confused)


def wilson_interval(fraction: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % score interval of a fraction observed in n trials (Wilson, 1927): valid near 0 and 1, unlike +-z*sigma."""
    centre = (fraction + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(fraction * (1 - fraction) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def count_parameters(model: nn.Module) -> int:
    """Elements of all parameters, frozen ones too, a shared one once."""
    return sum(p.numel() for p in model.parameters())


# --- The verdict ------------------------------------------------------------------------------------------------------


def violations(result: "Result", limits: Limits) -> dict[str, str]:
    """The broken limits, each with a sentence that says by how much. Empty when the run passes."""
    broken = {}
    if result.parameters >= limits.parameters:
        over = f"{result.parameters - limits.parameters + 1:,} too many to be under {limits.parameters:,}"
        broken["parameters"] = f"{result.parameters:,} parameters: {over}"
    if result.diverged_at:
        at = f"step {result.diverged_at:,} of {math.ceil(result.train_images / result.config['batch_size']):,}"
        broken["accuracy"] = f"the loss stopped being a number at {at}: try a smaller --lr"
    elif result.test_accuracy is None or not math.isfinite(result.test_accuracy):
        broken["accuracy"] = "accuracy not measured"
    elif result.test_accuracy < limits.accuracy:
        short = f"{100 * (limits.accuracy - result.test_accuracy):.2f} points short of {percent(limits.accuracy)}"
        broken["accuracy"] = f"accuracy {percent(result.test_accuracy)}: {short}"
    if result.images_seen != result.train_images or not result.each_once:
        seen = f"{result.images_seen:,} images delivered of {result.train_images:,}"
        broken["one_epoch"] = f"not exactly one epoch: {seen}, {'' if result.each_once else 'not '}each exactly once"
    return broken


def percent(fraction: float) -> str:
    """A fraction as per cent, never rounded up: 94.999 % must not read as 95."""
    return f"{math.floor(fraction * 10_000 + 1e-9) / 100:.2f} %"


def run(
    model: Model,
    data: Dataset,
    config: Config | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    limits: Limits = Limits(),
    on_progress: OnProgress = None,
    checkpoint: Path | None = None,
) -> "tuple[Result, nn.Module]":
    """Build, train, evaluate, measure and judge one model, and save it to ``checkpoint`` if it passes.

    The global random state is left as it was. Raises ChallengeError (2: unknown model, 3: it fails) and OSError.
    """
    device, config, name = pick_device(device), config or recipe(model), getattr(model, "__name__", str(model))
    train, test = data.train.to(device), data.test.to(device)
    random = torch.random.fork_rng([device] if device.type == "cuda" else [])
    deterministic = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with model_errors(model), random, deterministic, torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        network = build_model(model).to(device)
        check_model(network, device)
        batches = epoch_batches(train, config, torch.Generator().manual_seed(seed))
        epoch = train_one_epoch(network, batches, config, len(train.labels), on_progress)
        memory = peak_memory_mb(device)
        scores = Evaluation() if epoch.diverged_at else evaluate(network, test)
        image = to_input(test.images[:1])
        latency = 1000 * float(np.median(forward_seconds(network, image, 100)))
        costs = {"macs": count_macs(network, image), "latency_ms": latency, "peak_memory_mb": memory}
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    statistics = {id(buffer) for norm in norms for buffer in norm.buffers(recurse=False)}
    buffers = [b for b in network.buffers() if b.is_floating_point() and id(b) not in statistics]
    facts = {"model": name, "dataset": data.name, "scored_on": data.scored_on, "seed": seed, "device": str(device)}
    facts |= {"threads": torch.get_num_threads(), "train_images": len(train.labels), "test_images": len(test.labels)}
    facts |= {"parameters": count_parameters(network), "buffers": sum(b.numel() for b in buffers), "note": data.note}
    facts |= {f"test_{key}" if key in ("accuracy", "loss") else key: value for key, value in vars(scores).items()}
    versions = {"mnist_efficient_model": __version__, "python": sys.version.split()[0], "platform": sys.platform}
    versions |= {"torch": str(torch.__version__), "numpy": np.__version__}
    result = Result(config=asdict(config), versions=versions, **facts, **costs, **vars(epoch))
    broken = violations(result, limits)
    result.limits = {limit: limit not in broken for limit in ("parameters", "accuracy", "one_epoch")}
    result.violations, result.passed = list(broken.values()), not broken
    if checkpoint and result.passed:
        save_checkpoint(checkpoint, network, result, limits)
    return result, network


def recipe(model: Model, **changes: Any) -> Config:
    """The Config a model is trained with: the shared one, the model's overrides, then ``changes``."""
    return Config(**override(find_model(model).overrides, changes))


def override(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with ``changes``; a learning rate does not outlive the optimizer that it was chosen for."""
    return {**settings, **({"lr": None} if "optimizer" in changes else {}), **changes}


@dataclass(kw_only=True, repr=False)
class Result:
    """One run, in the order in which the JSON, the CSV and the table show it. None: not measured."""

    model: str
    dataset: str
    scored_on: str  # "test", "holdout" or "mnist test": what every test_... field is measured on
    seed: int
    device: str
    threads: int  # that PyTorch computed with
    parameters: int
    buffers: int  # floating-point numbers that are not trained, BatchNorm's statistics aside
    images_seen: int
    train_images: int
    test_images: int
    test_accuracy: float | None
    accuracy_interval: tuple[float, float] | None  # 95 %, Wilson
    test_loss: float | None  # nats
    per_class_accuracy: list[float | None] | None
    train_seconds: float
    macs: int  # multiply-accumulates of one inference
    latency_ms: float  # batch of one, one thread, median
    peak_memory_mb: float | None  # the training process, PyTorch and data included
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
        return json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)

    def __repr__(self) -> str:
        """The RESULTS block: what is required, what was achieved, and whether it holds."""
        accuracy, held = "not measured", {limit: "PASS" if holds else "FAIL" for limit, holds in self.limits.items()}
        if self.test_accuracy is not None:
            low, high = (100 * bound for bound in self.accuracy_interval)
            accuracy = f"{percent(self.test_accuracy)} ({low:.2f}-{high:.2f})"
        once = f"{self.images_seen:,}, {'' if self.each_once else 'not '}each once"
        scored = {"test": "Test accuracy", "holdout": "Hold-out accuracy"}.get(self.scored_on, self.scored_on)
        rows = [
            ("RESULTS", "required", "achieved", ""),
            ("Parameters", f"< {Limits.parameters:,}", f"{self.parameters:,}", "parameters"),
            (scored, f">= {percent(Limits.accuracy)}", accuracy, "accuracy"),
            ("One epoch", f"{self.train_images:,} images", once, "one_epoch"),
            ("Training time", "", f"{self.train_seconds:.2f} s, threads: {self.threads}", ""),
            ("Checkpoint", "", self.checkpoint or "none saved", ""),
        ]
        lines = [f"{name:<18}{needed:<16}{got:<26}{held.get(limit, '')}".rstrip() for name, needed, got, limit in rows]
        return "\n".join([*lines, *(f"  {sentence}" for sentence in self.violations)])

    def one_line(self) -> str:
        accuracy = "no accuracy" if self.test_accuracy is None else percent(self.test_accuracy)
        verdict = "; ".join(["PASS" if self.passed else "FAIL", *self.violations])
        return f"{self.model}, seed {self.seed}: {accuracy} in {self.train_seconds:.2f} s  {verdict}"


# --- The optimizers ---------------------------------------------------------------------------------------------------


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), betas 0.9 and 0.95.

    ``torch.optim`` gives the same weights bit by bit, but imports PyTorch's compiler: a second, where an epoch takes 3.
    """

    peak = 0.04  # learning rate, chosen on the hold-out for Config's batch size

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float | None, weight_decay: float) -> None:
        trained = [p for p in parameters if p.requires_grad]
        means, squares = ([torch.zeros_like(p, memory_format=torch.preserve_format) for p in trained] for _ in "ab")
        self.rows = list(zip(trained, means, squares, (torch.zeros((), device=p.device) for p in trained), strict=True))
        self.lr = self.peak = self.peak if lr is None else lr
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self) -> None:
        if rows := [(p, p.grad, *state) for p, *state in self.rows if p.grad is not None]:
            self.update(self.lr, *map(list, zip(*rows, strict=True)))

    def update(self, lr: float, *columns: list[Tensor]) -> None:
        """Change parameters in place, given them, their gradients, means, squares and numbers of steps."""
        torch._foreach_add_(columns[-1], 1)
        settings = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "amsgrad": False, "maximize": False}
        torch._fused_adamw_(*columns[:4], [], columns[4], lr=lr, weight_decay=self.weight_decay, **settings)

    def zero_grad(self) -> None:
        for parameter, *_ in self.rows:
            parameter.grad = None


class SGD(AdamW):
    """Stochastic gradient descent with Nesterov's momentum of 0.85 (Sutskever et al., 2013)."""

    peak = 0.9

    def update(self, lr: float, *columns: list[Tensor]) -> None:
        settings = {"momentum": 0.85, "dampening": 0.0, "nesterov": True, "maximize": False, "is_first_step": False}
        torch._fused_sgd_(*columns[:3], lr=lr, weight_decay=self.weight_decay, **settings)


class Muon(AdamW):
    """Orthogonal steps for convolutions that mix channels, AdamW at a quarter of the rate for the rest (Jordan, 2024).

    A step is the momentum with all its singular values set to about one, by five iterations of Newton and Schulz.
    """

    peak = 0.05

    def update(self, lr: float, *columns: list[Tensor]) -> None:
        rest = []
        for row in zip(*columns, strict=True):
            parameter, gradient, momentum, *_ = row
            if parameter.ndim != 4 or parameter.shape[1] == 1:
                rest.append(row)
                continue
            momentum.mul_(0.95).add_(gradient)
            matrix = gradient.add(momentum, alpha=0.95).flatten(1)  # (outputs, inputs * height * width)
            length = max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
            parameter.mul_(1 - lr * self.weight_decay)
            parameter.add_(self.orthogonal(matrix).view_as(parameter), alpha=-lr * length)
        if rest:
            super().update(lr / 4, *map(list, zip(*rest, strict=True)))

    def orthogonal(self, matrix: Tensor) -> Tensor:
        """The matrix with its singular values moved close to one: about U V' of its decomposition U S V'."""
        wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
        wide = wide / (wide.norm() + 1e-7)
        for _ in range(5):
            gram = wide @ wide.T
            wide = 3.4445 * wide + (2.0315 * gram @ gram - 4.775 * gram) @ wide
        return wide.T if matrix.shape[0] > matrix.shape[1] else wide


OPTIMIZERS: dict[str, type[AdamW]] = {"adamw": AdamW, "sgd": SGD, "muon": Muon}


# --- The rivals: networks side by side, each on its own ---------------------------------------------------------------


def paired_convolutions(first: int, second: int) -> nn.Module:
    """Two convolutions of ``first`` channels, two of ``second``, and a learned pooling: (N, 1, 28, 28) -> (N, 10)."""
    stage_26 = [*conv_block(1, first, 0, activation=nn.SiLU()), *conv_block(first, first, 1, False, nn.SiLU())]
    stage_12 = [*conv_block(first, second, activation=nn.SiLU()), *conv_block(second, second, 1, False, nn.SiLU())]
    pooling = nn.Conv2d(second, 2 * second, 6, groups=second, bias=False)  # of the map, 6 x 6, to one place
    head = [nn.BatchNorm2d(2 * second), nn.Flatten(), nn.Linear(2 * second, CLASSES)]
    return nn.Sequential(nn.ZeroPad2d(-1), ChannelsLast(), *stage_26, *stage_12, pooling, *head)


@register(must_pass=True, optimizer="muon", lr=0.05, batch_size=32)
def accurate() -> nn.Module:
    """The most accurate found: convolutions in pairs (VGG, 2014), then a learned 6x6 pooling (MobileFaceNets, 2018)."""
    return paired_convolutions(24, 30)


class Residual(nn.Sequential):
    """x + f(x), f being the layers in a row (He et al., "Identity Mappings in Deep Residual Networks", 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class SharedConvolution(nn.Module):
    """Edge filters, then one separable convolution for 14x14, 7x7 and 3x3 pixels: (N, 1, 28, 28) -> (N, 10)."""

    def __init__(self, channels: int, fixed_edges: bool = True) -> None:
        super().__init__()
        self.register_buffer("edges", self.edge_filters(channels) if fixed_edges else None)
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(4))
        for norm in self.norms:
            norm.register_parameter("weight", None)  # a scale, which the convolution that follows can take on
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

    def edge_filters(self, count: int, size: int = 5, sigma: float = 1.2) -> Tensor:
        """Derivatives of a Gaussian in ``count`` directions (Freeman and Adelson, 1991): (count, 1, size, size)."""
        line = torch.arange(size) - (size - 1) / 2
        y, x = torch.meshgrid(line, line, indexing="ij")
        angle = (torch.arange(count) * 2 * math.pi / count).view(-1, 1, 1)
        slope = (x * angle.cos() + y * angle.sin()) * torch.exp(-(x * x + y * y) / (2 * sigma * sigma))
        return (slope / slope.abs().sum((1, 2), keepdim=True)).unsqueeze(1)


@register(must_pass=True, lr=0.045, batch_size=32, label_smoothing=0.0, fade=1.0)
def tiny() -> nn.Module:
    """The smallest found: fixed edge filters, one separable convolution (MobileNets) at every scale (ALBERT, 2019)."""
    return nn.Sequential(ChannelsLast(), SharedConvolution(channels=8))


@register(must_pass=True, **MODELS["tiny"].overrides)
def tiny_learned() -> nn.Module:
    """The fewest numbers in all that always pass: `tiny` without fixed filters, its own find the edges as well."""
    return nn.Sequential(ChannelsLast(), SharedConvolution(channels=9, fixed_edges=False))


class Neurons(nn.Module):
    """Single-weight neurons: each scales one feature by one weight and adds a bias: (..., *shape) -> (..., *shape)."""

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
    """Weight each place of a map by a gate in 0-1 computed from its channels' mean and maximum (CBAM, see below)."""

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
def lightweight(attention: bool = True) -> nn.Module:
    """Single-weight neurons that meet in self-attention alone (Vaswani et al., 2017), over patches of the image."""
    width = 50  # the pixels of a patch, and in the read-out five neurons for each class
    layers: list[nn.Module] = []
    for _ in range(2):
        if attention:
            layers.append(Residual(nn.LayerNorm(width), SelfAttention(width, heads=5)))
        layers.append(Residual(nn.LayerNorm(width), Neurons(width), nn.ReLU()))
    patches = Patches(30, (10, 5), stride=4)
    return nn.Sequential(patches, *layers, nn.LayerNorm(width), Neurons(width), nn.ReLU(), Neurons(width), ClassSums(2))


@register(lr=0.1, batch_size=64)
def lightweight_no_attention() -> nn.Module:
    """The ablation of `lightweight`: without attention a feature knows of others by LayerNorm's statistics alone."""
    return lightweight(attention=False)


@register()
def lightweight_conv() -> nn.Module:
    """Single-weight neurons behind two convolutions and a gate that says where to look (Woo et al., CBAM, 2018)."""
    features = [ChannelsLast(), *conv_block(1, 12), *conv_block(12, 40)]  # (N, 40, 7, 7)
    return nn.Sequential(*features, SpatialAttention(), Neurons(40, 7, 7), nn.ReLU(), Neurons(40, 7, 7), ClassSums(1))


@register(lr=0.02)
def lightweight_experts() -> nn.Module:
    """A softly routed mixture of four banks of single-weight neurons (Jacobs et al., 1991)."""
    experts = [Neurons(40, 7, 7) for _ in range(4)]
    features = [ChannelsLast(), *conv_block(1, 12), *conv_block(12, 40)]  # (N, 40, 7, 7)
    return nn.Sequential(*features, Mixture(40, experts), nn.ReLU(), Neurons(40, 7, 7), ClassSums(1))


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
    """The quickest epoch found that always passes: the middle 20 x 20 pixels halved, and one hidden layer."""
    return nn.Sequential(nn.ZeroPad2d(-4), Halve(), mlp_of(100, 64))


@register()
def mlp_large() -> nn.Module:
    """Two hidden layers, 784-512-256-10 (Rumelhart, Hinton and Williams, 1986; BatchNorm: Ioffe and Szegedy, 2015)."""
    return mlp_of(SIDE * SIDE, 512, 256)


@register(lr=0.01)
def cnn() -> nn.Module:
    """Two convolutions of 32 and 64 channels and a linear head, after LeCun et al., "Gradient-Based Learning", 1998."""
    features = [*conv_block(1, 32), *conv_block(32, 64)]  # (N, 64, 7, 7)
    return nn.Sequential(ChannelsLast(), *features, nn.Flatten(), nn.Linear(64 * 7 * 7, CLASSES))


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
    features = [*conv_block(1, 32), *conv_block(32, 64), *conv_block(64, 128)]  # (N, 128, 3, 3)
    head = [nn.Flatten(), nn.Linear(128 * 3 * 3, 256), nn.ReLU(inplace=True), nn.Linear(256, CLASSES)]
    return nn.Sequential(ChannelsLast(), *features, *head)


@register()
def resnet() -> nn.Module:
    """A small residual net with BatchNorm and global average pooling (He et al., "Deep Residual Learning", 2015)."""

    def residual_block(channels: int) -> nn.Module:  # two 3x3 convolutions, BatchNorm and ReLU before each
        convolutions = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
        return Residual(*(each for c in convolutions for each in (nn.BatchNorm2d(channels), nn.ReLU(), c)))

    stage_14 = [*conv_block(1, 16), residual_block(16)]  # (N, 16, 14, 14)
    stage_7 = [*conv_block(16, 28), residual_block(28), nn.BatchNorm2d(28), nn.ReLU(inplace=True)]  # (N, 28, 7, 7)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(28, CLASSES)]
    return nn.Sequential(ChannelsLast(), *stage_14, *stage_7, *head)


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
    """The rows as 28 time steps of a plain recurrent net (Elman, 1990) with 128 ReLU states (Le et al., 2015)."""
    return RowReader(nn.RNN(SIDE, 128, nonlinearity="relu", batch_first=True))


@register(lr=0.02)
def rnn_small() -> nn.Module:
    """Gates instead of breadth: a gated recurrent unit with 64 states reads the rows (Cho et al., 2014)."""
    return RowReader(nn.GRU(SIDE, 64, batch_first=True))


class Spiking(nn.Module):
    """Leaky integrate-and-fire neurons that see a constant current for some time steps: -> (N, 10) logits."""

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
                spikes, _ = neurons(signal)  # 0 or 1, the derivative an arctangent's (Fang et al., 2021)
                signal = synapse(spikes)
            outputs.append(signal)
        for neurons in self.neurons:
            neurons.mem = images.new_zeros(0)  # snnTorch would carry the membranes over into the next batch
        return torch.stack(outputs).mean(0)


@register(lr=0.003)
def snn() -> nn.Module:
    """784-512-10 of leaky integrate-and-fire neurons over eight time steps (snnTorch: Eshraghian et al., 2023)."""
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 512))
    return Spiking(hidden, nn.Linear(512, CLASSES), steps=8, beta=0.9)


@register()
def csnn() -> nn.Module:
    """The convolutional spiking hybrid: convolutions carry currents, leaky neurons (snnTorch) pass on only spikes."""
    first, second = conv_block(1, 12)[:-1], conv_block(12, 32)[:-1]  # the neurons replace the ReLU
    head = nn.Sequential(nn.Flatten(), nn.Linear(32 * 7 * 7, CLASSES))
    return Spiking(nn.Sequential(ChannelsLast(), *first), nn.Sequential(*second), head, steps=3, beta=0.5)


# --- What a model costs: multiply-accumulates, time, memory -----------------------------------------------------------

MACS: dict[str, Callable[..., int]] = {  # operator -> its multiply-accumulates, from its result and its arguments
    **dict.fromkeys(("mm", "bmm"), lambda result, a, b: result.numel() * a.shape[-1]),
    **dict.fromkeys(("addmm", "baddbmm"), lambda result, bias, a, b: result.numel() * a.shape[-1]),
    "convolution": lambda result, x, weight, bias, stride, padding, dilation, transposed, *_: (
        (x if transposed else result).numel() * weight[0].numel()
    ),
    "_scaled_dot_product_flash_attention_for_cpu": lambda result, q, k, v, *_: (
        q[..., 0].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])
    ),
    "mkldnn_rnn_layer": lambda result, x, w, u, *_: x[..., 0].numel() * (w.numel() + u.numel()),  # an LSTM on the CPU
    "addcmul": lambda result, *_: result.numel(),  # single-weight neurons
}


@torch.no_grad()
def count_macs(model: nn.Module, image: Tensor) -> int:
    """Multiply-accumulates of one image's (1, 1, H, W) forward pass, as flop_counter counts, but without its import."""

    class MacCounter(torch.utils._python_dispatch.TorchDispatchMode):
        macs = 0

        _should_skip_dynamo = classmethod(lambda cls: False)  # else PyTorch imports its compiler first

        def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
            result = func(*args, **(kwargs or {}))
            self.macs += MACS.get(func.overloadpacket.__name__, lambda *_: 0)(result, *args)
            return result

    model.eval()
    with MacCounter() as counter:
        model(image)
    return counter.macs


@torch.no_grad()
def forward_seconds(model: nn.Module, images: Tensor, repeats: int, threads: int = 1) -> list[float]:
    """Seconds of each of ``repeats`` forward passes of images (N, 1, H, W) in eval mode, after a warm-up."""
    model.eval()
    taken, before = [], torch.get_num_threads()
    torch.set_num_threads(threads)
    for _ in range(10 + repeats):
        start = time.perf_counter()
        model(images)
        getattr(torch, images.device.type, torch.cpu).synchronize()
        taken.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return taken[10:]


def peak_memory_mb(device: torch.device) -> float | None:
    """Most memory held at once so far: CUDA's own counter, else this process's resident set; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with contextlib.suppress(ImportError):  # Windows
        import resource

        kilo = 1 if sys.platform == "darwin" else 1024  # getrusage reports bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / 1e6
    return None


# --- Data on disk: IDX files, downloaded or drawn where they are missing ----------------------------------------------

IDX_FILES = {  # of images and labels, with MNIST's MD5 when unpacked; torchvision checks the .gz that it downloads
    "train": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    },
    "test": {
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
}
HERE = Path(__file__).resolve().parent
STROKES = HERE / "data" / "strokes.py"  # in a checkout; a lone copy of this file does without


def default_data_dir() -> Path:
    """``$MNIST_DATA_DIR``, else ``data/`` of a checkout, else ``data/`` in the current folder."""
    return Path(os.environ.get("MNIST_DATA_DIR") or (HERE / "data" if STROKES.exists() else "data"))


def read_idx(path: Path, md5: str | bool = False) -> Tensor:
    """An IDX file of unsigned bytes, plain or .gz, as uint8 of its shape; ChallengeError (4) if it is not intact."""
    path = path if path.exists() else path.with_name(f"{path.name}.gz")
    try:
        raw = path.read_bytes()
        raw = zlib.decompress(raw, 31) if path.suffix == ".gz" else raw  # 31: with the header of gzip
        start = 4 + 4 * raw[3]  # raw[3]: the number of dimensions
        shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4)]
        intact = raw[:3] == b"\0\0\x08" and len(raw) == start + math.prod(shape) > start  # 8: unsigned bytes
        problem = "is no IDX file of bytes, or truncated" if not intact else ""
        if intact and md5 and hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5:
            problem = "is corrupted (its MD5 checksum is not MNIST's)"
    except OSError as error:
        raise ChallengeError(f"cannot read {path}: {error.strerror or error}", MACHINE_ERROR) from error
    except (zlib.error, IndexError):
        problem = "is truncated, or no gzip file" if path.suffix == ".gz" else "is truncated"
    if problem:
        cure = "delete it and run again to download it anew, or put a good copy in its place"
        raise ChallengeError(f"{path} {problem}: {cure}", MACHINE_ERROR)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=start).reshape(shape)


def read_split(name: str, part: str, data_dir: Path) -> Split:
    """The "train" or "test" images of a dataset, fetched or drawn first where they are missing; ChallengeError (4)."""
    if name == "strokes":
        if not STROKES.exists():
            cure = "connect once to download MNIST, name its folder by --data-dir, or get data/strokes.py as well"
            raise ChallengeError(f"there is neither MNIST nor {STROKES}, which draws digits: {cure}", MACHINE_ERROR)
        images, labels = import_file(STROKES).load(data_dir / "strokes")[part == "test"]
        return Split(torch.from_numpy(images), torch.from_numpy(labels).long())
    on_disk(name, data_dir) or download(name, data_dir)
    folder = data_dir / DATASETS[name] / "raw"
    images, labels = (read_idx(folder / file, name == "mnist" and md5) for file, md5 in IDX_FILES[part].items())
    if images.shape[1:] != (SIDE, SIDE) or labels.shape != images.shape[:1] or labels.max() >= CLASSES:
        found = f"{tuple(images.shape)} and {tuple(labels.shape)}, labels up to {int(labels.max())}"
        raise ChallengeError(f"{folder}: expected (N, 28, 28) images and (N,) labels, found {found}", MACHINE_ERROR)
    return Split(images, labels.long())


def on_disk(name: str, data_dir: Path) -> bool:
    files = [data_dir / DATASETS[name] / "raw" / file for part in IDX_FILES.values() for file in part]
    return all(file.exists() or file.with_name(f"{file.name}.gz").exists() for file in files)


def download(name: str, data_dir: Path) -> None:
    """Fetch a dataset with torchvision (its mirrors, its checksums) and move it into place only when it is complete."""
    folder, files = data_dir / DATASETS[name] / "raw", [*IDX_FILES["train"], *IDX_FILES["test"]]
    print(f"{DATASETS[name]} is not in {data_dir}: downloading it", file=sys.stderr, flush=True)
    scratch, timeout = data_dir / f".download-{os.getpid()}", socket.getdefaulttimeout()
    socket.setdefaulttimeout(5)  # torchvision sets none
    try:
        scratch.mkdir(parents=True)
        from torchvision import datasets  # not at the top: with the data on disk it would only cost seconds

        getattr(datasets, DATASETS[name])(scratch, download=True)
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            os.replace(scratch / DATASETS[name] / "raw" / file, folder / file)
    except Exception as error:  # urllib, http.client, zlib and torchvision each raise their own
        reason = f"could not be downloaded ({(str(error).strip() or type(error).__name__).splitlines()[-1]})"
        if isinstance(error, ImportError) or "torchvision::" in str(error):
            reason = "needs a torchvision that fits the installed torch: pip install --upgrade torch torchvision"
        what = f"{DATASETS[name]} is not on disk and {reason}; put {', '.join(files)} (or their .gz) into {folder}"
        raise ChallengeError(what, MACHINE_ERROR) from error
    finally:
        socket.setdefaulttimeout(timeout)
        shutil.rmtree(scratch, ignore_errors=True)


def load_dataset(name: str = "auto", data_dir: str | Path = "", holdout: int = 0, test_on: str = "") -> Dataset:
    """Load a dataset by name from ``data_dir`` (torchvision's layout; see default_data_dir), fetched where missing.

    ``auto`` is MNIST, or strokes where that is not to be had; ``holdout`` training images replace the test set;
    ``test_on`` is another dataset to score on. Raises ChallengeError: 2 for wrong arguments, 4 for missing or bad data.
    """
    data_dir = Path(data_dir or default_data_dir())
    if name not in ("auto", *DATASETS) or (test_on or "mnist") not in DATASETS:
        raise ChallengeError(f"unknown dataset {name!r} or {test_on!r}: choose from {', '.join(DATASETS)}", USAGE)
    if name == "auto":
        name = "mnist"
        try:
            on_disk(name, data_dir) or download(name, data_dir)
        except ChallengeError as error:
            if not STROKES.exists():
                raise
            name = "strokes"
            print(f"{error}. NOT MNIST: taking strokes, digits that a program draws", file=sys.stderr, flush=True)
    train = read_split(name, "train", data_dir)
    if holdout:
        cut = len(train.labels) - holdout
        if type(holdout) is not int or not 0 < cut < len(train.labels) or test_on:
            raise ChallengeError(f"--holdout {holdout}: it must leave images to train on, without --test-on", USAGE)
        return Dataset(name, Split(*(t[:cut] for t in train)), Split(*(t[cut:] for t in train)), "holdout")
    test_on = test_on or name
    return Dataset(name, train, read_split(test_on, "test", data_dir), "test" if test_on == name else f"{test_on} test")


# --- Models by name, by file, and from checkpoints --------------------------------------------------------------------

# Somebody's own model may lack the BatchNorm that allows a high rate: the best on the hold-out for tests/honest.
FILE_OVERRIDES = {"lr": 0.012, "batch_size": 64}
RECIPE_KEYS = ("batch_size", "lr", "optimizer", "weight_decay", "label_smoothing")  # what a file's RECIPE may set


@contextlib.contextmanager
def model_errors(model: Model) -> Iterator[None]:
    """Turn whatever a model raises while it is built or run, exits included, into one line with exit status 3."""
    try:
        yield
    except (ChallengeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        name, reason = getattr(model, "__name__", model), " ".join(f"{type(error).__name__}: {error}".split())[:500]
        raise ChallengeError(f"model {name!r} could not be built or run: {reason}", MODEL_ERROR) from error


def import_file(path: Path) -> Any:
    """Execute a Python file as a module, once per process; two files of one name are two modules."""
    name = f"{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"
    if name not in sys.modules:
        sys.path.insert(0, str(path.parent))  # for the modules beside it, as if Python had been given the file
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@torch.no_grad()
def check_model(model: nn.Module, device: torch.device = torch.device("cpu")) -> None:
    """Raise ValueError for what cannot be trained, saved or scored; the random state is left as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        output = model.eval()(torch.rand(2, 1, SIDE, SIDE, device=device))
    if (shape := tuple(getattr(output, "shape", [type(output).__name__]))) != (2, CLASSES):
        raise ValueError(f"two images give {shape}, where the shape must be (2, {CLASSES})")
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("it has no parameter to train")
    if others := [key for key, value in model.state_dict().items() if not isinstance(value, Tensor)]:
        raise ValueError(f"its state_dict holds {others[0]!r}, which is no tensor and cannot be saved")


def read_recipe(value: Any) -> dict[str, Any]:
    """A file's RECIPE as Config fields; raises ChallengeError (status 3) for what may not be set, or not so."""
    if not isinstance(value, dict) or any(key not in RECIPE_KEYS for key in value):
        raise ChallengeError(f"RECIPE must be a dictionary of {RECIPE_KEYS}, not {str(value)[:60]}", MODEL_ERROR)
    try:
        Config(**value)
    except ChallengeError as error:
        raise ChallengeError(f"RECIPE: {error}", MODEL_ERROR) from error
    return value


def split_file(model: str) -> tuple[Path, str] | None:
    """``path/file.py[:NAME]`` as the path and NAME or ""; None for what is not of this form."""
    stem, dot_py, rest = model.rpartition(".py")
    return (Path(stem + dot_py), rest[1:]) if stem and rest[:1] in ("", ":") else None


def find_model(model: Model) -> ModelSpec:
    """The spec of a registered model, of a builder, or of FILE.py[:NAME], which is executed; ChallengeError (2, 3)."""
    if not isinstance(model, str):
        return ModelSpec(model, FILE_OVERRIDES)
    if model in MODELS:
        return MODELS[model]
    if not (named := split_file(model)):
        near = " or ".join(difflib.get_close_matches(model, MODELS)) or "a name of --list-models"
        raise ChallengeError(f"unknown model {model!r}: did you mean {near}?", USAGE)
    if not os.path.isfile(named[0]):
        raise ChallengeError(f"no model file {named[0]}", USAGE)
    with model_errors(model):
        module = import_file(named[0].resolve())
        build = choose_builder(module, *named)
        return ModelSpec(build, override(FILE_OVERRIDES, read_recipe(getattr(module, "RECIPE", {}))))


def choose_builder(module: Any, path: Path, wanted: str) -> Callable[[], nn.Module]:
    """NAME, else ``build_model``, else the only nn.Module class of the file that maps (2, 1, 28, 28) to (2, 10)."""
    if callable(build := vars(module).get(wanted or "build_model")) and not isinstance(build, nn.Module):
        return build
    kinds = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module)]
    kinds, fitting = [kind for kind in kinds if kind.__module__ == module.__name__], []
    for kind in kinds:
        with contextlib.suppress(Exception), torch.random.fork_rng():
            check_model(kind())
            fitting.append(kind)
    if wanted or len(fitting or kinds) != 1:
        problem = f"has no class or function {wanted!r}" if wanted else "leaves open which model is meant"
        names = ", ".join(kind.__name__ for kind in fitting or kinds) or "no nn.Module class"
        raise ChallengeError(f"{path} {problem}: name one, as in {path.name}:NAME; it has {names}", MODEL_ERROR)
    return (fitting or kinds)[0]


def build_model(model: Model) -> nn.Module:
    """A fresh model: (N, 1, 28, 28) normalised float32 -> (N, 10) logits. Raises ChallengeError as find_model does."""
    with model_errors(model):
        if not isinstance(network := find_model(model).build(), nn.Module):
            raise TypeError(f"it gives {type(network).__name__}, which is no nn.Module")
        return network


def pick_device(device: str | torch.device) -> torch.device:
    """The device of that name, or for ``auto`` an accelerator if there is one; ChallengeError (4) if it is missing."""
    available = [torch.accelerator.current_accelerator().type] if torch.accelerator.is_available() else []
    available.append("cpu")
    if str(device).partition(":")[0] not in ("auto", *available):
        raise ChallengeError(f"device {device}: not available here (available: {', '.join(available)})", MACHINE_ERROR)
    return torch.device(available[0] if device == "auto" else device)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file that appears complete or not at all, through a link too. Raises OSError."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_checkpoint(path: Path, model: nn.Module, result: Result, limits: Limits = Limits()) -> None:
    """Write a model with its record, as plain tensors and types; ValueError for one that broke a limit, OSError."""
    if not result.passed:
        raise ValueError(f"only passing models are saved: {'; '.join(result.violations)}")
    result.checkpoint = str(path)
    content = io.BytesIO()  # into memory: on a full disk torch's own writer aborts without an OSError
    state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    record = {"limits": asdict(limits), "result": result.plain(), "versions": result.versions}
    torch.save({"format": 1, "model": result.model, "state_dict": state, **record}, content)
    write_file(path, content.getvalue())


def load_checkpoint(path: str | Path, model_file: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a saved model in eval mode on the CPU; returns it with the checkpoint's dictionary.

    Nothing in it is executed: an unregistered model needs a ``model_file`` (FILE.py[:NAME]) that the caller trusts.
    Raises ChallengeError: 4 when it cannot be read, 3 when it is no sound checkpoint.
    """
    again = "train again to make a new one"
    try:
        checkpoint = torch.load(io.BytesIO(Path(path).read_bytes()), map_location="cpu", weights_only=True)
        parts = {"format": int, "model": str, "state_dict": dict, "limits": dict, "result": dict, "versions": dict}
        if checkpoint["format"] != 1 or any(type(checkpoint[key]) is not kind for key, kind in parts.items()):
            raise TypeError("not as save_checkpoint writes it")
    except OSError as error:
        raise ChallengeError(f"cannot read {path}: {error.strerror or error}", MACHINE_ERROR) from error
    except Exception as error:  # zip, pickle and tensor errors of many types
        what = "carries code, which is never run" if "global" in str(error).lower() else "is damaged or no checkpoint"
        raise ChallengeError(f"{path} {what}: {again}", MODEL_ERROR) from error
    name = model_file or checkpoint["model"]
    if not model_file and name not in MODELS:
        cure = "name the Python file that defines it, if you trust that file (model_file, or --model-file)"
        raise ChallengeError(f"{path} holds {name!r}, no model of this script: {cure}", MODEL_ERROR)
    model = build_model(name)
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except Exception as error:  # missing, unexpected or misshapen entries, or entries that are no tensors
        raise ChallengeError(f"{path} does not fit {name!r} of version {__version__}: {again}", MODEL_ERROR) from error
    return model.eval(), checkpoint


# --- Many runs: each in a process of its own --------------------------------------------------------------------------


class Task(NamedTuple):
    model: Model
    config: Config
    seed: int
    checkpoint: Path | None = None  # where the model goes if it passes


def worker(sender: Any, task: Task, data: Dataset, device: torch.device) -> None:
    """The process of one run: one thread, so that no figure depends on how many runs there are at a time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the parent's handler
    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            result, _ = run(task.model, data, task.config, task.seed, device, checkpoint=task.checkpoint)
        sender.send(result)
    except (ChallengeError, OSError) as error:
        sender.send(error)


def run_tasks(
    tasks: Sequence[Task], data: Dataset, device: torch.device, jobs: int = 1, bar: Any = None
) -> Iterator[tuple[Task, Result | ChallengeError | OSError]]:
    """Make each run in a process of its own, ``jobs`` at a time; yields them as they end, failures among them.

    Forking saves the import of torch. Signals are noted until a step ends: Python drops those that come within a fork.
    """
    context = multiprocessing.get_context("fork" if device.type == "cpu" and sys.platform == "linux" else "spawn")
    waiting, running, signals = list(tasks), {}, []
    handlers = {s: signal.signal(s, lambda number, _: signals.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        while (waiting or running) and not signals:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=worker, args=(sender, task, data, device), daemon=True)
                running[receiver] = process, task
                process.start()
                sender.close()
            if bar is not None:
                bar.n = len(tasks) - len(waiting) - len(running)
                names = ", ".join(dict.fromkeys(str(task.model) for _, task in running.values()))
                bar.set_description_str(f"{bar.n}/{len(tasks)} runs: {names}"[:52])
            for receiver in multiprocessing.connection.wait(list(running), timeout=0.2):
                process, task = running.pop(receiver)
                try:
                    outcome = receiver.recv()
                except (EOFError, OSError):
                    outcome = None
                process.join()
                died = f"{task.model}, seed {task.seed}: its process ended with exit code {process.exitcode}"
                yield task, outcome or ChallengeError(died, MODEL_ERROR)
        if signals:
            raise KeyboardInterrupt(signals[0])
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def usable_cores(idle: bool = False) -> int:
    """Cores this process may use, by affinity and cgroup quota; with ``idle`` those not busy now, which Linux says."""
    cores, busy = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, [1]
    with contextlib.suppress(OSError):
        for _ in range(1000 * idle):  # how many threads run: one too many takes 8 times as long, since OpenMP's spin;
            busy.append(int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]))  # nor do these reads sleep
    cores = max(1, min(cores, (os.cpu_count() or 1) + 1 - round(np.median(busy))))
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))  # ValueError where the quota is "max": none
    return cores


def summarise(results: Sequence[Result]) -> dict[str, Any]:
    """Mean, standard deviation, min and max over runs; a figure that no run measured is None."""
    accuracies = [result.test_accuracy for result in results if result.test_accuracy is not None]
    passed, seconds = sum(result.passed for result in results), [result.train_seconds for result in results]
    mean = float(np.mean(accuracies)) if accuracies else None
    std = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    low, high = min(accuracies, default=None), max(accuracies, default=None)
    found = {"accuracy_mean": mean, "accuracy_std": std, "accuracy_min": low, "accuracy_max": high}
    return {"runs": len(results), "passed": passed, **found, "train_seconds_median": float(np.median(seconds))}


def table(results: Sequence[Result]) -> str:
    """A line per model, those that pass first: mean and lowest accuracy, medians of what it costs, runs that passed."""
    lines = ["model                      params acc. %  min % train s   kMAC    ms   MB passed"]
    groups = [[r for r in results if r.model == model] for model in dict.fromkeys(r.model for r in results)]
    for group in sorted(groups, key=lambda group: (not all(r.passed for r in group), group[0].parameters)):
        s, first, memory = summarise(group), group[0], [r.peak_memory_mb for r in group if r.peak_memory_mb]
        mean, low = (percent(s[f"accuracy_{k}"])[:-2] if s["accuracy_mean"] else "" for k in ("mean", "min"))
        latency, megabytes = np.median([r.latency_ms for r in group]), f"{np.median(memory):.0f}" if memory else ""
        costs = f"{s['train_seconds_median']:>8.1f}{first.macs / 1000:>7,.0f}{latency:>6.2f}{megabytes:>5}"
        passed = f"{s['passed']}/{s['runs']}"
        lines.append(f"{first.model:<24}{first.parameters:>9,}{mean:>7}{low:>7}{costs}{passed:>7}")
    return "\n".join(lines)


def save_comparison(path: Path, results: list[Result], failures: dict[str, str]) -> dict[str, Any]:
    """Write what --model all found as PATH.json and, a row per run but for the long fields, PATH.csv."""
    comparison = {
        "limits": asdict(Limits()),
        "models": {name: {"idea": spec.idea} for name, spec in MODELS.items()},
        "runs": [result.plain() for result in results],
        "failures": failures,
    }
    write_file(path.with_suffix(".json"), json.dumps(comparison, indent=1) + "\n")
    text, long = io.StringIO(), {"confusion", "confused", "curve", "config", "versions"}
    names = [*(name for name in Result.__dataclass_fields__ if name not in long), "error"]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for run in comparison["runs"]:
        writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in run.items()})
    writer.writerows({"model": model, "error": error} for model, error in failures.items())
    write_file(path.with_suffix(".csv"), text.getvalue())
    return comparison


def draw_report(folder: Path) -> str:
    """Have report/, where it is beside this script, draw plots and a page from the JSON in ``folder``; a line on it."""
    if not (HERE / "report" / "__main__.py").exists():
        return "plots and a page are drawn by report/ of this project, which is not beside this script"
    program = [sys.executable, "-m", "report", folder.resolve()]
    done = subprocess.run(program, cwd=HERE, capture_output=True, text=True, errors="replace")
    return (done.stdout if done.returncode == 0 else done.stderr).strip() or "the plots could not be drawn"


def results_name(model: str, data: Dataset) -> str:
    """The name of a model's files in the results folder; data other than MNIST are part of it."""
    words = [model.replace(".py", ""), data.name, data.scored_on.removesuffix("test").strip()]
    name = "-".join(word for word in words if word not in ("", "mnist", "holdout"))
    return "".join(c if c.isalnum() or c in "_-" else "-" for c in name).strip("-")


def list_models() -> str:
    """Each model's name, parameters (blank where a package is missing) and idea, wrapped to the terminal's width."""
    lines = [f"{'model':<25}{'parameters':>10}  idea"]
    for name, spec in MODELS.items():
        parameters = ""
        with contextlib.suppress(ChallengeError):
            parameters = f"{count_parameters(build_model(name)):,}"
        width, head = max(60, shutil.get_terminal_size().columns), f"{name:<25}{parameters:>10}  "
        lines.append(textwrap.fill(head + spec.idea, width, subsequent_indent=37 * " "))
    return "\n".join(lines)


# --- The command ------------------------------------------------------------------------------------------------------


def train_models(
    tasks: Sequence[Task], data: Dataset, device: torch.device, jobs: int, arguments: argparse.Namespace, say: Any
) -> tuple[dict[str, list[Result]], dict[str, str]]:
    """Make the runs, and show and save each as it ends; returns each model's results and why others have none."""
    several, bar, found, failures = len(tasks) > 1, None, {task.model: [] for task in tasks}, {}
    if not arguments.quiet and sys.stderr.isatty() and importlib.util.find_spec("tqdm"):
        from tqdm import tqdm

        form, total = "{desc} |{bar}| {elapsed}<{remaining}", len(tasks) if several else len(data.train.labels)
        start = f"starting, 0/{total} {'runs' if several else 'images'}"
        bar = tqdm(total=total, desc=start, bar_format=form, dynamic_ncols=True, leave=False)

    def on_progress(images: int, loss: float, accuracy: float) -> None:
        if bar is not None:
            bar.n = images
            bar.set_description_str(f"loss {loss:.3f}, accuracy {accuracy:.1%}, {images}/{bar.total} images")

    def save(model: str) -> None:
        if data.scored_on != "holdout" and found[model]:
            path = arguments.results_dir / f"{results_name(model, data)}.json"
            write_file(path, json.dumps(document(found[model]), indent=1) + "\n")

    try:
        outcomes = run_tasks(tasks, data, device, jobs, bar)
        if not several:
            model, config, seed, checkpoint = tasks[0]
            result, _ = run(model, data, config, seed, device, on_progress=on_progress, checkpoint=checkpoint)
            outcomes = [(tasks[0], result)]
        for done, (task, outcome) in enumerate(outcomes, 1):
            if isinstance(outcome, Result):
                found[task.model].append(outcome)
                if len(found[task.model]).bit_count() == 1:  # at 1, 2, 4, 8, ... runs: all the writing stays linear
                    save(task.model)
                line = outcome.one_line() if several or arguments.quiet else repr(outcome)
            elif arguments.model == "all" and isinstance(outcome, ChallengeError):
                failures[task.model] = line = str(outcome)
            else:
                raise outcome
            if bar is not None:
                bar.clear()  # it comes back with its next step
            say(f"[{done}/{len(tasks)}] {line}" if several else line)
    finally:
        for model in found:
            save(model)
        if bar is not None:
            bar.close()
    return found, failures


def document(results: Sequence[Result]) -> dict[str, Any]:
    """The runs of one model as --json prints them, by seed."""
    runs = [result.plain() for result in sorted(results, key=lambda result: result.seed)]
    return runs[0] if len(runs) == 1 else {"runs": runs, "summary": summarise(results)}


def command(arguments: argparse.Namespace, stdout: Any) -> int:
    """Do what the command line asks; returns the exit status. What is wrong is said before any waiting."""
    if arguments.list_models or not arguments.model:
        print(list_models(), file=stdout)
        return OK
    every, folder, stream = arguments.model == "all", arguments.results_dir, sys.stderr if arguments.json else stdout

    def say(text: str) -> None:
        if stream.isatty() and not os.environ.get("NO_COLOR"):  # https://no-color.org
            text = text.replace("PASS", "\033[32mPASS\033[0m").replace("FAIL", "\033[31mFAIL\033[0m")
        print(text, file=stream, flush=True)

    configs = {model: recipe(model, **arguments.settings) for model in (MODELS if every else [arguments.model])}
    device, several = pick_device(arguments.device), len(configs) * arguments.seeds > 1
    torch.set_num_threads(1 if several else min(torch.get_num_threads(), usable_cores(idle=True)))  # before any fork
    data = load_dataset(arguments.dataset, arguments.data_dir, arguments.holdout, arguments.test_on)
    if (largest := max(config.batch_size for config in configs.values())) > len(data.train.labels):
        raise ChallengeError(f"--batch-size {largest:,}: there are only {len(data.train.labels):,} images", USAGE)
    tasks = []
    for model, config in reversed(configs.items()):  # the slowest stand at the end of MODELS, and must start first
        checkpoint = None if data.scored_on == "holdout" else folder / f"{results_name(model, data)}.pth"
        for seed in range(arguments.seed, arguments.seed + arguments.seeds):
            tasks.append(Task(model, config, seed, checkpoint if seed == arguments.seed else None))  # not the luckiest
    if every or tasks[0].checkpoint:
        write_file(folder / ".writable", "")  # fails now, not after the training
        (folder / ".writable").unlink()
    jobs = min(arguments.jobs or (usable_cores() if device.type == "cpu" else 1), len(tasks))
    if not arguments.quiet:
        sizes = f"{len(data.train.labels):,} training and {len(data.test.labels):,} {data.scored_on} images"
        name = data.name if data.name == "mnist" else f"{data.name} (NOT MNIST)"
        runs = f"{len(tasks)} runs, {jobs} at a time, one thread each" if several else f"seed {arguments.seed}"
        say(f"Model    {arguments.model}\nData     {name}, {sizes}\nDevice   {device}, {runs}\n")
    found, failures = train_models(tasks, data, device, jobs, arguments, say)
    results = [result for model in configs for result in sorted(found[model], key=lambda result: result.seed)]
    if every:
        record = save_comparison(folder / results_name("comparison", data), results, failures)
        say(f"\n{table(results)}\n\n{draw_report(folder)}")
    else:
        record, s = document(results), summarise(results)
        if several and s["accuracy_mean"] is not None:
            figures = ", ".join(f"{key} {100 * s[f'accuracy_{key}']:.2f} %" for key in ("mean", "min", "max"))
            say(f"{s['passed']} of {s['runs']} runs passed; accuracy {figures}")
    if data.note:
        say(f"Note: {data.note}")
    if arguments.json:
        print(json.dumps(record), file=stdout)
    judged = [model for model in configs if not every or MODELS[model].must_pass]
    if failures.keys() & judged:
        return MODEL_ERROR
    return OK if all(result.passed for model in judged for result in found[model]) else LIMIT_BROKEN


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name is no reason to fail
    try:
        arguments, stdout = parse_arguments(argv), sys.stdout or io.StringIO()  # None: closed by the caller
        with contextlib.redirect_stdout(sys.stderr):  # what a model's file prints
            return command(arguments, stdout)
    except ChallengeError as error:
        message, status = str(error), error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read stdout has gone, and Python flushes it at exit
        message, status = "standard output was closed; what was finished is in the results folder", MACHINE_ERROR
    except OSError as error:
        message, status = f"cannot write {error.filename or 'the results'}: {error.strerror or error}", MACHINE_ERROR
    except KeyboardInterrupt as error:
        message, status = "interrupted: what was finished is in the results folder", 128 + (error.args or [2])[0]
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)  # names may hold anything
    print(f"mnist_efficient_model.py: error: {shown}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
