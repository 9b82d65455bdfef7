"""Checks beside the accuracy: was the model trained before, does an answer depend on the other images of a batch?"""

from __future__ import annotations

import re
import secrets

import numpy as np
import torch

import mnist_efficient_model as challenge
from grading import graph
from grading.sandbox import state

BATCHES = (1000, 250, 1)  # in which test images are answered: first, a second time, and one by one
PROBE = 1_000  # training images for the untrained model
DIFFERENT = 1e-3  # of two answers, as a fraction of the logits' size: more than rounding
DIFFERENT_IMAGES = 0.002  # fraction: a binarised activation may flip by rounding
FEW_VALUES, FEW_NUMBERS, FIXED_NUMBERS = 16, 64, 500  # see fixed_weights
CORRELATED = 0.9


class Exam:
    """The images that a testing child answers for, in orders that only the grader knows.

    First some training images, for the untrained model; then all test images, and among them some a second time with
    noise that nobody sees; then all test images once more. Parts are filled up to whole batches with repeated images.
    """

    def __init__(self, data: challenge.Dataset) -> None:
        self.random = np.random.default_rng(secrets.randbits(128))
        self.pixels, self.labels = data.test.images.numpy(), data.test.labels.numpy()
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

    def one_by_one(self) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The test images and noisy copies for a child that answers each alone, behind one for the untrained model."""
        self.first = self.random.permutation(len(self.shown))
        images = np.concatenate([self.images[:1], self.shown[self.first]])
        return images, [(1, 1), (len(self.first), 1)]

    def untrained_accuracy(self, logits: np.ndarray) -> float:
        return float((predictions(logits) == self.probed).mean())

    def correct(self, logits: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, float]:
        """Which test images are answered correctly (the last time they were shown); the fraction of noisy copies."""
        answers = by_image(predictions(logits), self.first, len(self.labels) + len(self.twice))
        plain, noisy = np.split(answers, [len(self.labels)])
        return plain == names[self.labels], float((noisy == names[self.labels[self.twice]]).mean())

    def differ(self, first: np.ndarray, second: np.ndarray) -> bool:
        """Whether answers differ between two orders and batch sizes by more than rounding."""
        n = len(self.labels)
        one, other = by_image(first, self.first, n), by_image(second, self.second, n)
        with np.errstate(invalid="ignore"):
            far = np.abs(one - other).max(1) > DIFFERENT * (1 + np.abs(one).max(1))
        far |= np.isfinite(one).all(1) != np.isfinite(other).all(1)
        return bool(far.sum() > max(1, DIFFERENT_IMAGES * n))


def by_image(answers: np.ndarray, order: np.ndarray, n: int) -> np.ndarray:
    """The answers of the images 0 to n - 1, of a repeated one the last."""
    found = np.zeros((max(n, order.max() + 1), *answers.shape[1:]), answers.dtype)
    found[order] = answers
    return found[:n]


def predictions(logits: np.ndarray) -> np.ndarray:
    """The class with the largest output, -1 where an output is NaN or plus infinity."""
    return np.where(np.isnan(logits).any(1) | (logits == np.inf).any(1), -1, np.nan_to_num(logits).argmax(1))


def fixed_weights(program: graph.Program, other: bytes) -> int:
    """How many initial weights are (nearly) the same in a second, other build, and form no simple pattern.

    A pattern is simple when it has few values: zeros, ones, an identity. Fewer than 500 such numbers do not matter, a
    filter bank made by a formula. 0 where the second build failed.
    """
    try:
        second = {re.sub(r"[^A-Za-z0-9_.]", "_", entry.name): entry.tensor for entry in state.unpack(other)}
    except ValueError:
        return 0
    count = 0
    for name, values in initial_weights(program).items():
        same_name = second.get(name)
        if same_name is None or same_name.numel() != values.size or values.size < FEW_NUMBERS:
            continue
        if resembles(values, same_name.float().numpy().reshape(-1)) and len(np.unique(values.round(4))) > FEW_VALUES:
            count += values.size
    return count if count >= FIXED_NUMBERS else 0


def initial_weights(program: graph.Program) -> dict[str, np.ndarray]:
    """Each float32 parameter of a graph by its name, flat in the order of its dimensions."""
    found = [spec for spec in program.tensors if spec.role == "parameter" and spec.dtype is torch.float32]
    return {spec.name: graph.materialise(spec).reshape(-1).numpy() for spec in found}


def resembles(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two lists of weights are equal or strongly correlated."""
    if np.array_equal(one, other):
        return True
    if not (np.isfinite(one).all() and np.isfinite(other).all()) or not one.std() or not other.std():
        return False
    return abs(float(np.corrcoef(one, other)[0, 1])) > CORRELATED
