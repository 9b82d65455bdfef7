"""How does the accuracy fall when the test images are disturbed? The disturbances of DISTURBANCES, on checkpoints.

python -m experiments.robustness results/efficient.pth results/mlp.pth

Checkpoints of one model (several seeds) share a column: the mean of their accuracies in per cent. Every model sees the
same disturbed images. None of this is used in training or to choose a model.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mnist_efficient_model as challenge
from experiments import common
from mnist_efficient_model import USAGE, ChallengeError

QUESTION = "How does the accuracy fall when the test images are disturbed?"
STRAIGHT = ((0, 1), (0, -1), (1, 0), (-1, 0))
DIAGONAL = ((1, 1), (1, -1), (-1, 1), (-1, -1))


# --- Disturbances: images (N, 28, 28) uint8 to variants of them, float 0-255, whose accuracies are averaged -----------


def moved(images: Tensor, affine: Sequence[float]) -> Tensor:
    """Each image through one matrix (6 numbers in rows) that maps output to input coordinates of -1 to 1."""
    matrix = torch.tensor(affine).view(1, 2, 3).expand(len(images), 2, 3)
    return torch.cat([challenge.augment(*part) for part in zip(images.split(1000), matrix.split(1000), strict=True)])


def shifted(images: Tensor, pixels: int, directions: Sequence[tuple[int, int]] = STRAIGHT) -> list[Tensor]:
    """By whole pixels in each direction; what leaves the image is lost."""
    step = 2 * pixels / challenge.SIDE
    return [moved(images, [1, 0, -x * step, 0, 1, -y * step]) for y, x in directions]


def rotated(images: Tensor, degrees: float) -> list[Tensor]:
    """To the left and to the right about the centre."""
    both = [math.radians(degrees), math.radians(-degrees)]
    return [moved(images, [math.cos(a), -math.sin(a), 0, math.sin(a), math.cos(a), 0]) for a in both]


def scaled(images: Tensor, factor: float) -> list[Tensor]:
    return [moved(images, [1 / factor, 0, 0, 0, 1 / factor, 0])]


def thickened(images: Tensor, thinner: bool = False) -> list[Tensor]:
    """Lines half a pixel wider, or narrower, on each side: grey dilation, or erosion, at twice the resolution."""
    large = F.interpolate(images.float().unsqueeze(1), scale_factor=2, mode="bilinear")
    sign = -1 if thinner else 1
    return [F.avg_pool2d(sign * F.max_pool2d(sign * large, 3, stride=1, padding=1), 2).squeeze(1)]


def noisy(images: Tensor, sigma: float) -> list[Tensor]:
    """Gaussian noise of ``sigma`` times the full scale on every pixel."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return [(images.float() + 255 * sigma * noise).clamp(0, 255)]


def salted(images: Tensor, fraction: float) -> list[Tensor]:
    """A fraction of all pixels turned white."""
    hit = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) < fraction
    return [images.float().masked_fill(hit, 255)]


DISTURBANCES: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "none": lambda images: [images.float()],
    **{f"shifted by {n} {'pixel' if n == 1 else 'pixels'}, straight": partial(shifted, pixels=n) for n in (1, 2, 3, 4)},
    "shifted by 4 pixels, diagonally": partial(shifted, pixels=4, directions=DIAGONAL),
    **{f"rotated by {n}°": partial(rotated, degrees=n) for n in (10, 20, 30)},
    **{f"scaled by {x}": partial(scaled, factor=x) for x in (0.7, 0.8, 0.9, 1.1, 1.2, 1.3)},
    "thicker lines (1 pixel)": thickened,
    "thinner lines (1 pixel)": partial(thickened, thinner=True),
    **{f"noise, sigma {x}": partial(noisy, sigma=x) for x in (0.1, 0.2, 0.3)},
    **{f"salt, {x:.0%} of pixels": partial(salted, fraction=x) for x in (0.02, 0.05)},
}

# --- The table --------------------------------------------------------------------------------------------------------


def accuracies(model: nn.Module, variants: Sequence[list[Tensor]], labels: Tensor) -> list[float]:
    """The accuracy under each disturbance, the mean of its variants, as fractions."""

    def accuracy(images: Tensor) -> float:
        return (challenge.predict(model, images).argmax(1) == labels).float().mean().item()

    return [statistics.mean(map(accuracy, several)) for several in variants]


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common.new_parser("robustness", QUESTION, data=False)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="what mnist_efficient_model.py saved")
    parser.add_argument("--model-file", metavar="FILE.py[:NAME]", help="where a model is not the script's: trust it")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data is (default: $MNIST_DATA_DIR, else data/)")
    return parser.parse_args(argv)


def answer(arguments: argparse.Namespace) -> None:
    loaded = [challenge.load_checkpoint(path, arguments.model_file) for path in arguments.checkpoints]
    scored = {(str(c["result"].get("dataset")), str(c["result"].get("scored_on"))) for _, c in loaded}
    if len(scored) > 1:
        raise ChallengeError("the checkpoints are of different data: give those of one dataset", USAGE)
    ((dataset, scored_on),) = scored
    test_on = scored_on.removesuffix(" test") if scored_on.endswith(" test") else ""
    data = challenge.load_dataset(dataset, arguments.data_dir or "", test_on=test_on)
    variants = [disturb(data.test.images) for disturb in DISTURBANCES.values()]
    columns: dict[str, list[list[float]]] = {}  # model -> the accuracies of each checkpoint
    for model, checkpoint in loaded:
        with challenge.model_errors(checkpoint["model"]):
            columns.setdefault(checkpoint["model"], []).append(accuracies(model, variants, data.test.labels))
    rows = [["test images", *(f"{name} (n={len(several)})" for name, several in columns.items())]]
    for i, name in enumerate(DISTURBANCES):
        means = [statistics.mean(one[i] for one in several) for several in columns.values()]
        rows.append([name, *(common.fixed(100 * mean, 1) for mean in means)])
    common.save(arguments, rows, data)


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parse_arguments, answer, argv)


if __name__ == "__main__":
    sys.exit(main())
