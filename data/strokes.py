"""Strokes: handwritten-looking digits that need no download, each drawn with a pen along a few control points.

    python -m data.strokes --show out.png      a contact sheet

WAYS below says in how many ways people write each digit. A writer takes one way for each digit and has a slant, a
width and a pen of their own; the hand shakes; and the ink is put on paper as MNIST's was (LeCun, Cortes and Burges,
http://yann.lecun.com/exdb/mnist): black and white at first, then scaled into 20x20 pixels, which makes the edges grey,
with the centre of mass moved to the centre of 28x28. No font and no handwritten image goes into it.

A seed means the same bytes on every machine: the chance comes from raw PCG64 output, floats are only added, subtracted,
multiplied and divided one by one, which IEEE 754 defines to the last bit, and all sums are of whole numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import os
import struct
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, 28, 28) and their labels (N,)
CLASSES = 10
SIDE, BOX = 28, 20  # pixels: of an image, and of the box that the ink fills
FINE = 4  # the pen moves on a grid this many times finer than the pixels
SIZES = {"train": 60_000, "test": 10_000}
FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip
WRITERS = {"train": 0, "test": 1}  # two streams of chance: no writer of the one is a writer of the other

# Each digit's ways: how common (a weight), and the strokes, apart at "/". A stroke is a smooth curve through points x,y
# in hundredths of the digit's height, y downwards; "!" after a point makes it a corner.
WAYS: dict[int, list[tuple[float, str]]] = {
    0: [
        (4, "50,0 20,12 4,50 18,88 45,100 75,86 90,50 78,14 50,0"),
        (2, "60,4 30,6 6,45 15,90 45,99 80,80 88,40 72,10 45,0"),
        (2, "30,10 8,45 15,88 45,100 78,85 88,45 70,8 42,2 25,12"),
        (1, "40,8 15,20 5,60 25,97 60,95 88,55 78,15 50,2 42,14 60,20"),
        (1, "25,2 8,40 12,85 45,100 80,80 85,35 70,3"),
        (1, "75,8 88,50 70,90 40,100 10,80 6,40 25,8 55,2 80,12"),
        (1, "58,0 24,8 4,40 10,80 40,100 76,84 86,44 66,10 36,10 24,24"),
        (0.6, "22,96 6,50 28,6 60,2 84,40 80,92"),
        (1.5, "70,8 35,20 5,60 20,88 60,82 105,45 110,18 80,6 45,16"),
    ],
    1: [
        (10, "50,0 50,100"),
        (3, "53,0 49,50 50,100"),
        (2, "48,0 52,50 50,100"),
        (1.5, "28,24 52,0! 52,100"),
        (1.6, "22,22 50,0! 50,100 / 14,100 50,101 86,99"),
        (0.7, "48,0 46,88 60,97"),
        (0.5, "38,14 52,0! 50,100"),
    ],
    2: [
        (3, "8,22 35,2 72,6 80,32 50,68 6,98! 50,95 96,96"),
        (3, "8,20 38,0 72,10 72,42 42,78 14,95 4,84 22,74 52,88 95,97"),
        (2, "8,10 60,3 78,24 50,62 8,99! 92,98"),
        (2, "12,22 45,0 76,18 66,55 28,92 8,92 14,76 40,82 66,98 96,86"),
        (1, "5,28 28,2 66,4 76,30 50,70 10,97! 40,90 70,99 98,88"),
        (1, "25,30 20,12 50,0 78,14 70,48 40,80 5,99! 90,94"),
        (1, "5,12 40,4 64,16 58,50 30,80 5,95! 60,92 120,88"),
        (2, "30,22 40,4 66,0 76,24 58,66 24,98 4,90 10,70 36,68 62,88 80,94"),
        (1.5, "10,16 40,0 72,4 74,30 46,66 8,96! 40,92 66,90"),
        (1, "10,30 50,16 72,34 50,76 14,92 2,78 24,62 70,68 120,72"),
    ],
    3: [
        (3, "10,12 42,0 74,13 66,38 34,48! 70,56 84,78 52,99 6,90"),
        (3, "12,14 48,0 76,18 58,44 36,48 64,54 84,76 54,100 6,88"),
        (1.5, "10,4 76,3! 38,42! 76,54 82,80 50,100 6,92"),
        (1.5, "10,15 48,0 74,18 58,44 32,52 44,42 72,58 80,82 45,100 5,86"),
        (1.5, "16,24 24,5 58,0 78,20 60,42 38,46! 68,52 86,74 62,98 24,98 8,82"),
        (1, "5,10 55,0 70,16 40,40 25,44! 60,52 66,76 40,95 0,100"),
        (1, "12,8 62,3 66,20 34,38! 58,44 58,72 40,96 10,100"),
        (1, "10,16 44,2 68,14 58,38 38,46 58,54 62,74 48,94 30,98"),
        (1, "10,8 46,0 70,14 62,34 44,42! 72,50 80,78 60,94 8,97"),
    ],
    4: [
        (3, "18,4 8,48 40,55 88,48 / 78,0 72,50 64,100"),
        (3, "22,2 5,55! 92,52 / 72,8 68,50 64,100"),
        (2, "62,0 5,64! 96,60 / 66,2 64,100"),
        (1.5, "58,100 64,0! 5,62! 96,60"),
        (2, "10,2 10,40 36,52 70,42 80,2! 74,50 66,100"),
        (1.5, "30,0 16,36 30,48 70,42 / 80,5 70,50 60,100"),
        (1, "40,0 4,50! 70,48 100,40 / 90,0 66,50 45,100"),
    ],
    5: [
        (3, "84,2 26,3! 18,44! 56,36 84,64 62,97 8,92"),
        (3, "26,5 18,44! 54,36 82,62 56,98 5,90 / 25,4 90,0"),
        (2, "84,4 44,4 22,20 32,40 68,54 78,80 44,100 6,88"),
        (1.5, "30,10 20,46! 56,40 80,64 52,100 10,84 / 32,10 104,2"),
        (1.5, "110,0 48,8! 30,42! 62,48 66,78 32,100 0,88"),
        (1, "70,0 24,6! 22,40! 52,42 74,66 50,96 12,98"),
        (1.5, "30,4 20,44! 52,34 78,58 56,96 18,94 8,74 22,64 / 30,4 88,2"),
        (1.5, "90,2 50,3 24,14 22,40! 64,42 84,66 60,98 20,98 6,78"),
        (0.5, "84,4 24,8 16,40 48,36 68,52 62,80 46,98"),
        (1, "26,8 24,46! 60,44 62,78 36,100 14,90 / 26,8 84,0"),
    ],
    6: [
        (3, "62,0 26,28 6,66 22,97 60,98 76,74 52,56 14,72"),
        (2, "56,0 28,35 12,75 34,100 62,90 58,68 34,68 18,84"),
        (2, "42,0 14,52 8,86 38,100 70,86 62,60 30,62 12,84"),
        (1.5, "82,14 62,0 28,20 8,60 20,95 56,98 78,75 58,54 24,60 12,76"),
        (1.5, "30,0 6,46 14,92 50,100 92,82 86,58 52,60 34,86"),
        (1, "60,0 34,30 20,70 32,98 54,92 56,74 40,70 26,86"),
        (0.8, "46,0 10,42 14,88 50,100 88,74 78,40 46,40 22,64 20,90"),
        (1, "20,0 4,44 16,92 56,98 80,70 64,50 40,62 36,92"),
    ],
    7: [
        (4, "5,8 82,5! 38,100"),
        (3, "5,9 82,5! 40,100 / 28,50 80,46"),
        (2, "8,24 10,6! 82,5! 44,100"),
        (2, "5,14 40,4 78,10 60,50 44,100"),
        (1.5, "4,20 24,3 56,12 84,3! 54,50 40,100"),
        (1, "10,22 18,5! 60,8 86,3! 44,100 / 30,52 78,48"),
        (1, "10,5 76,3 78,30 66,60 62,100"),
        (1.5, "10,26 22,6 56,0 76,12 66,40 46,70 38,98"),
        (1, "6,42 14,8! 50,6 74,8 70,40 58,100"),
        (1.5, "5,14 40,4 78,10 60,50 44,100 / 24,56 86,50"),
    ],
    8: [
        (3, "74,14 44,0 16,18 38,42 70,66 70,92 38,100 12,84 26,60 62,38 76,14"),
        (1.5, "46,47 20,30 24,6 48,0 74,8 74,32 46,47 / 46,47 14,66 16,93 46,100 78,92 78,64 46,47"),
        (2, "72,18 42,2 20,20 46,46 72,74 46,100 18,80 42,50 80,8"),
        (2, "85,2 46,44 14,80 36,100 66,86 54,56 24,30 34,4 62,6 82,22"),
        (1.5, "40,44 66,24 54,2 28,8 26,30 50,52 68,82 42,100 16,84 30,56 66,30"),
        (1, "60,4 24,8 22,30 60,52 80,80 46,100 8,84 26,54 66,30 60,4"),
        (2, "84,14 56,0 22,10 26,32 54,50 62,80 36,100 14,84 34,56 70,36 92,16"),
        (1.5, "88,8 60,0 32,16 48,46 52,86 30,100 18,84 50,44 92,4"),
        (1.5, "44,50 76,34 84,8 56,0 28,12 34,38 52,66 44,98 24,96 22,74 44,50"),
        (1, "78,20 50,0 14,10 14,34 50,50 58,82 40,100 26,84 44,52 74,26"),
    ],
    9: [
        (3, "74,14 42,0 10,20 26,46 64,38 76,10! 72,55 64,100"),
        (2, "74,20 44,0 10,24 32,50 70,34 76,14 74,60 52,95 14,92"),
        (2, "70,24 46,2 18,16 10,38 32,46 62,30 76,4! 66,50 56,100"),
        (1.5, "66,20 44,0 20,20 38,40 64,22! 56,100"),
        (1.5, "74,8 34,6 6,28 26,46 68,34 / 76,4 72,50 70,100"),
        (1, "76,24 52,0 24,12 26,38 56,42 76,22 70,60 44,100"),
        (1.5, "62,4 36,10 22,38 36,48 58,36 72,8! 62,54 52,100"),
        (1.5, "70,8 40,2 24,26 38,44 56,34 70,8! 60,52 52,100"),
        (1.5, "80,8 46,2 20,20 26,44 60,40 72,44 64,74 56,100"),
        (1, "78,12 36,0 4,28 14,60 50,58 78,24 78,64 74,100"),
    ],
}

# The line's width in each digit relative to the writer's pen: the more turns a digit has, the larger it is written, and
# the thinner its line is once all digits fill the same box.
LINE = (1.03, 1.1, 0.93, 0.9, 0.9, 0.86, 0.87, 0.98, 0.83, 0.83)


class Way(NamedTuple):
    """A way of writing, ready to draw: n points along the pen's path, each a blend of 4 of the k control points."""

    controls: NDArray[np.float32]  # (k, 2): x, y; the digit's height is 1, its middle 0
    stroke: NDArray[np.intp]  # (k,): the stroke of each control point
    ends: NDArray[np.intp]  # (strokes * 2, 2): each end of a stroke and the control point next to it
    taps: NDArray[np.intp]  # (n, 4)
    blend: NDArray[np.float32]  # (n, 4)


def parse(strokes: str, step: float = 0.02) -> Way:
    """Read a way from WAYS; Catmull-Rom splines (1974) pass through its points, sampled about every ``step``."""
    controls, owner, ends, taps, blend = [], [], [], [], []
    for number, stroke in enumerate(strokes.split("/")):
        words, first = stroke.split(), len(controls)
        points = [[float(value) / 100 - 0.5 for value in word.rstrip("!").split(",")] for word in words]
        last = first + len(words) - 1
        ends += [(first, first + 1), (last, last - 1)]
        corners = {first, last} | {first + i for i, word in enumerate(words) if word.endswith("!")}
        controls, owner = controls + points, owner + [number] * len(points)
        for k in range(first, last):
            count = max(4, round(float(np.abs(np.subtract(controls[k + 1], controls[k])).sum()) / step))
            around = (k if k in corners else k - 1, k, k + 1, k + 1 if k + 1 in corners else k + 2)
            for t in (i / count for i in range(count + 1)):
                taps.append(around)
                twice = ((2 - t) * t - 1) * t, (3 * t - 5) * t * t + 2, ((4 - 3 * t) * t + 1) * t, (t - 1) * t * t
                blend.append([share / 2 for share in twice])
    return Way(np.array(controls, np.float32), np.array(owner), np.array(ends), np.array(taps), np.float32(blend))


class Chance:
    """Random numbers that are the same with every version of NumPy: PCG64's raw output, which never changes."""

    def __init__(self, *key: int) -> None:
        self.bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, *shape: int) -> NDArray[np.float32]:
        """Uniform on 0 to 1, of a shape."""
        raw = self.bits.random_raw(int(np.prod(shape))) >> np.uint64(40)
        return (raw.astype(np.float32) * np.float32(2**-24)).reshape(shape)

    def normal(self, *shape: int) -> NDArray[np.float32]:
        """Nearly normal with mean 0 and deviation 1, within +-3.5: the sum of four 16-bit uniforms."""
        raw = self.bits.random_raw(int(np.prod(shape)))
        total = sum((raw >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int32) for shift in (0, 16, 32, 48))
        return ((total - 131_070).astype(np.float32) * np.float32(math.sqrt(3) / 65_536)).reshape(shape)


class Hands(NamedTuple):
    """What is a writer's own, each (writers,)."""

    slant: NDArray[np.float32]  # sideways per height
    breadth: NDArray[np.float32]  # of a digit, as a factor
    pen: NDArray[np.float32]  # width of the line in pixels
    wildness: NDArray[np.float32]  # factor of all deformations

    def of(self, writers: NDArray[np.intp]) -> Hands:
        return Hands(*(trait[writers] for trait in self))


def draw_hands(n: int, chance: Chance) -> Hands:
    """The hands of n writers. The spreads were chosen by eye and by how well MNIST's training images were then read."""
    return Hands(
        slant=0.1 + 0.25 * chance.normal(n),
        breadth=1 + 0.2 * chance.normal(n),
        pen=1 + 2 * chance.uniform(n) + 2 * chance.uniform(n) * chance.uniform(n),
        wildness=0.5 + 0.7 * chance.uniform(n),
    )


def pen_path(way: Way, hands: Hands, chance: Chance) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the pen goes as m writers each write once in a way: x and y, (points, m) each, in no particular scale.

    Each control point, each stroke as a whole and each stroke's ends go astray; the sheet bends smoothly under it all.
    """
    k, m = len(way.stroke), len(hands.pen)
    strokes = way.stroke[-1] + 1
    wild = hands.wildness
    controls = way.controls[:, :, None] + 0.048 * wild * chance.normal(k, 2, m)  # (k, 2, m)
    controls += (0.045 * wild * chance.normal(strokes, 2, m))[way.stroke]
    end, inner = way.ends.T
    along = controls[end] - controls[inner]
    length = np.sqrt(along[:, :1] * along[:, :1] + along[:, 1:] * along[:, 1:])
    controls[end] += along * (0.25 * wild * chance.normal(len(end), 1, m) / (1 + 3 * length))  # too far, or too short
    x, y = (sum(controls[way.taps[:, i], axis] * way.blend[:, i, None] for i in range(4)) for axis in (0, 1))
    bend = 0.12 * wild * chance.normal(8, m)
    x, y = (
        x + bend[0] * y * y + bend[1] * x * y + bend[2] * x * x + bend[3] * y * y * y,
        y + bend[4] * y * y + bend[5] * x * y + bend[6] * x * x + 0.5 * bend[7] * x,
    )
    x = x * (hands.breadth + 0.08 * chance.normal(m)).clip(0.4, 1.8)
    return x - (hands.slant + 0.08 * chance.normal(m)) * y, y


def ink(x: NDArray[np.float32], y: NDArray[np.float32], hands: Hands) -> NDArray[np.uint8]:
    """Put m paths (points, m) on paper: black ink on a fine grid, scaled to the box; (m, 20, 20), 0 to 255."""
    m, fine = len(hands.pen), BOX * FINE
    grow = ((hands.pen * FINE - 1) / 2 + 0.5).astype(np.int32)  # how often a line of one fine pixel is thickened
    order = np.argsort(-grow, kind="stable")  # thick lines first
    x, y, grow = x[:, order], y[:, order], grow[order]
    left, top = x.min(0), y.min(0)
    width, height = x.max(0) - left, y.max(0) - top
    room = (fine - 1 - 2 * grow).astype(np.float32)
    scale = room / np.maximum(width, height)
    column = ((x - left) * scale + (room - width * scale) / 2 + 0.5).astype(np.int32) + grow
    row = ((y - top) * scale + (room - height * scale) / 2 + 0.5).astype(np.int32) + grow
    paper = np.zeros((m, fine, fine), np.uint8)
    paper.reshape(-1)[(np.arange(m) * fine + row) * fine + column] = 1
    for times in range(1, int(grow[0]) + 1):
        wet = paper[: np.searchsorted(-grow, -times, side="right")]
        sides = wet.copy()  # a diamond and a square by turns make an octagon, nearly a round nib
        sides[:, :, 1:] |= wet[:, :, :-1]
        sides[:, :, :-1] |= wet[:, :, 1:]
        source = sides.copy() if times % 2 else wet.copy()
        sides[:, 1:] |= source[:, :-1]
        sides[:, :-1] |= source[:, 1:]
        wet[:] = sides
    grey = paper.reshape(m, BOX, FINE, BOX, FINE).sum((2, 4), dtype=np.int32)
    pixels = np.empty_like(grey)
    pixels[order] = grey * 255 // FINE**2
    return pixels.astype(np.uint8)


def place(boxes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move each box (m, 20, 20) by whole pixels so that its centre of mass lies at (14, 14) of (m, 28, 28)."""
    m, margin = len(boxes), SIDE - BOX
    mass = boxes.sum((1, 2), dtype=np.int64)
    corner = []
    for axis in (1, 2):
        moment = (boxes.sum(axis, dtype=np.int64) * np.arange(BOX)).sum(1)  # axis 1 summed away: of the columns
        corner.append(np.clip((2 * 14 * mass - 2 * moment + mass) // (2 * mass), 0, margin))
    left, top = corner
    images = np.zeros((m, SIDE, SIDE), np.uint8)
    grid = np.arange(BOX)
    images[np.arange(m)[:, None, None], (top[:, None] + grid)[:, :, None], (left[:, None] + grid)[:, None]] = boxes
    return images


def generate(n: int, seed: int, writers: str) -> Arrays:
    """Draw n digits, shuffled: images (n, 28, 28) and labels (n,), the same bytes for a seed on every machine.

    ``writers`` is "train" or "test": whose digits. Each writer writes every digit once, only the last one may write
    fewer, so that n / 10 hands are seen and the classes are equally common.
    """
    chance = Chance(seed, WRITERS[writers])
    order = np.argsort(chance.bits.random_raw(n), kind="stable")
    writer, digit = order // CLASSES, order % CLASSES
    hands = draw_hands(-(-n // CLASSES), chance)
    habit = chance.uniform(CLASSES, len(hands.pen))  # for each digit, which way
    images = np.empty((n, SIDE, SIDE), np.uint8)

    def write(task: tuple[int, int, str, NDArray[np.intp]]) -> None:
        number, way, strokes, places = task
        own = Chance(seed, WRITERS[writers], number, way)
        theirs = hands.of(writer[places])
        theirs = theirs._replace(pen=theirs.pen * np.float32(LINE[number]))
        images[places] = place(ink(*pen_path(parse(strokes), theirs, own), theirs))

    tasks = []
    for number, ways in WAYS.items():
        upto = np.cumsum([weight for weight, _ in ways])
        chosen = np.searchsorted(upto[:-1] / upto[-1], habit[number][writer], side="right")
        for way, (_, strokes) in enumerate(ways):
            tasks.append((number, way, strokes, np.flatnonzero((digit == number) & (chosen == way))))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, (task for task in tasks if len(task[3]))))
    return images, digit.astype(np.uint8)


# --- On disk: IDX files (http://yann.lecun.com/exdb/mnist), whole and of this version, or drawn anew -------

STAMP = "version"  # the file that says which version drew the others; written last, when they are all in place


def version() -> str:
    """What a cache is checked against: a digest of this source, so that no change of the digits can be forgotten."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def read_cache(folder: Path) -> tuple[Arrays, Arrays] | None:
    """The training and the test set from ``folder``, or None unless both are there, whole and of this version."""
    try:
        if (folder / STAMP).read_text() != version():
            return None
        raw = {s: [np.fromfile(folder / name, np.uint8) for name in names] for s, names in FILES.items()}
    except (OSError, UnicodeDecodeError):
        return None
    for split, n in SIZES.items():
        if [len(array) for array in raw[split]] != [16 + n * SIDE * SIDE, 8 + n]:
            return None
    train, test = ((raw[s][0][16:].reshape(n, SIDE, SIDE), raw[s][1][8:]) for s, n in SIZES.items())
    return train, test


def write_cache(folder: Path, drawn: dict[str, Arrays]) -> None:
    """Write IDX files into ``folder``, each under another name first: two runs at once write the same bytes twice.

    Raises OSError where the disk or the folder won't have them; then, as after a kill, there is no stamp.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".drawing-") as scratch:
        names = []
        for split, arrays in drawn.items():
            for name, array in zip(FILES[split], arrays, strict=True):
                header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)  # 8: unsigned byte
                Path(scratch, name).write_bytes(header + array.tobytes())
                names.append(name)
        Path(scratch, STAMP).write_text(version())
        for name in [*names, STAMP]:
            os.replace(Path(scratch, name), folder / name)


def load(folder: Path) -> tuple[Arrays, Arrays]:
    """The training and the test set: from the cache in ``folder``, else drawn in a few seconds and cached there.

    Where ``folder`` cannot be written, the digits are drawn each time and nothing is said or raised.
    """
    cached = read_cache(folder)
    if cached:
        return cached
    drawn = {split: generate(n, 0, split) for split, n in SIZES.items()}
    with contextlib.suppress(OSError):
        write_cache(folder, drawn)
    return drawn["train"], drawn["test"]


def contact_sheet(path: Path, columns: int = 30, scale: int = 2) -> None:
    """Save a picture with one row for each digit, dark on white."""
    from PIL import Image  # torchvision brings Pillow; only this picture needs it

    images, labels = generate(columns * CLASSES, 0, "train")
    sheet = np.concatenate([np.concatenate(list(images[labels == digit]), 1) for digit in range(CLASSES)])
    picture = Image.fromarray(255 - sheet)
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC).save(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m data.strokes", description="Digits drawn from pen strokes.")
    parser.add_argument("--show", type=Path, metavar="FILE", required=True, help="save a contact sheet as an image")
    contact_sheet(parser.parse_args(argv).show)


if __name__ == "__main__":
    main()
