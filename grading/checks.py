"""Checks beside the accuracy: was the model trained before, does an answer depend on the other images of a batch?"""

from __future__ import annotations

import secrets

import numpy as np
import torch
from torch import Tensor

import mnist_efficient_model as challenge
from grading.graph import GraphModel

BATCHES = (1000, 250, 1)  # in which test images are answered: first, a second time, and one by one
PROBE = 1_000  # training images for the untrained model
DIFFERENT = 1e-3  # of two answers, as a fraction of the standard deviation of the image's logits: more than rounding
DIFFERENT_IMAGES = 0.002  # fraction: a binarised activation may flip by rounding
TABLE = 1 << 20  # up to which range whole numbers are drawn without repetition


class Exam:
    """The images that a testing child answers for, in orders that only the grader knows.

    First some training images, for the untrained model; then all test images, and among them some a second time with
    noise that nobody sees; then all test images once more. Parts are filled up to whole batches with repeated images.
    """

    def __init__(self, data: challenge.Dataset) -> None:
        self.random = np.random.default_rng(secrets.randbits(128))
        self.test, self.pixels, self.labels = data.test, data.test.images.numpy(), data.test.labels.numpy()
        n, trained = len(self.labels), len(data.train.labels)
        probe = self.random.choice(trained, PROBE, replace=trained < PROBE)
        self.probed = data.train.labels.numpy()[probe]
        self.twice = self.random.permutation(n)[:PROBE]
        self.first = self.order(n + len(self.twice), n, BATCHES[0])  # from n on: the noisy copies of self.twice
        self.second = self.order(n, n, BATCHES[1])
        self.shown = np.concatenate([self.pixels, self.with_noise(self.pixels[self.twice])])
        self.images = np.concatenate(
            [data.train.images.numpy()[probe], self.shown[self.first], self.pixels[self.second]]
        )
        self.parts = [(PROBE, BATCHES[0]), (len(self.first), BATCHES[0]), (len(self.second), BATCHES[1])]

    def order(self, count: int, n: int, batch: int) -> np.ndarray:
        """A random order of ``count`` images, with some of the first ``n`` repeated to fill the last batch."""
        return self.random.permutation(np.concatenate([np.arange(count), self.random.integers(0, n, -count % batch)]))

    def with_noise(self, pixels: np.ndarray) -> np.ndarray:
        """Copies whose ink is up to three grey levels lighter or darker."""
        changed = np.clip(pixels.astype(np.int16) + self.random.integers(-3, 4, pixels.shape), 1, 255)
        return np.where(pixels > 0, changed, 0).astype(np.uint8)

    def again(self, batch: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The test images and noisy copies in a new order and batch size, behind a batch for the untrained model."""
        self.first = self.order(len(self.shown), len(self.labels), batch)
        return np.concatenate([self.images[:batch], self.shown[self.first]]), [(batch, batch), (len(self.first), batch)]

    def untrained_accuracy(self, logits: np.ndarray) -> float:
        return float((predictions(logits) == self.probed).mean())

    def correct(self, logits: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, float]:
        """Which test images are answered correctly (the last time they were shown); the fraction of noisy copies."""
        answers = by_image(predictions(logits), self.first, len(self.labels) + len(self.twice))
        plain, noisy = np.split(answers, [len(self.labels)])
        return plain == names[self.labels], float((noisy == names[self.labels[self.twice]]).mean())

    def evaluation(self, logits: np.ndarray, names: np.ndarray) -> challenge.Evaluation:
        """The script's metrics of the answers, with the classes called 0 to 9 again."""
        return challenge.score(torch.from_numpy(by_image(logits, self.first, len(self.labels))[:, names]), self.test)

    def differ(self, first: np.ndarray, second: np.ndarray) -> bool:
        """Whether answers differ between two orders and batch sizes by more than rounding, or other classes win."""
        n = len(self.labels)
        one, other = by_image(first, self.first, n), by_image(second, self.second, n)
        with np.errstate(invalid="ignore"):
            far = np.abs(one - other).max(1) > DIFFERENT * one.std(1)
        far |= (np.isfinite(one).all(1) != np.isfinite(other).all(1)) | (predictions(one) != predictions(other))
        return bool(far.sum() > max(1, DIFFERENT_IMAGES * n))


def by_image(answers: np.ndarray, order: np.ndarray, n: int) -> np.ndarray:
    """The answers of the images 0 to n - 1, of a repeated one the last."""
    found = np.zeros((max(n, order.max() + 1), *answers.shape[1:]), answers.dtype)
    found[order] = answers
    return found[:n]


def predictions(logits: np.ndarray) -> np.ndarray:
    """The class with the largest output, -1 where an output is NaN or plus infinity."""
    return np.where(np.isnan(logits).any(1) | (logits == np.inf).any(1), -1, np.nan_to_num(logits).argmax(1))


@torch.no_grad()
def redraw(model: GraphModel, seed: int) -> None:
    """Draw the initial values of every tensor anew, trained or not; BatchNorm's statistics start afresh anyway."""
    generator = torch.Generator().manual_seed(seed)
    for spec, tensor in zip(model.program.tensors, model.tensors(), strict=True):
        if tensor.numel() > 1 and spec.role != "statistics":
            tensor.copy_(drawn_like(tensor.reshape(-1), generator).view(tensor.shape))


def drawn_like(values: Tensor, generator: torch.Generator) -> Tensor:
    """Other values (n,) of the same kind: all that they share is a mean and a standard deviation.

    Numbers are drawn from the normal distribution that has them; bools, and where infinities stand, are permuted. Whole
    numbers are drawn evenly from the least to the greatest, each once if possible, so that an index stays an index.
    A permutation alone would not do: a graph can sort values that say where they belong.
    """
    values = values[torch.randperm(len(values), generator=generator)]
    if values.is_floating_point():
        finite = values.isfinite()
        known = values[finite].double()
        noise = torch.randn(len(known), generator=generator, dtype=torch.float64)
        values[finite] = (known.mean() + known.std(correction=0) * noise).to(values.dtype)
    elif values.dtype is not torch.bool:
        low, high = int(values.min()), int(values.max())
        if len(values) <= high - low + 1 <= TABLE:
            return (low + torch.randperm(high - low + 1, generator=generator)[: len(values)]).to(values.dtype)
        values.random_(low, high + 1, generator=generator)
    return values
