"""How long does a prediction take? Percentiles for one image on one thread, and images per second in batches of 1,000.

python -m experiments.latency efficient tiny
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch

import mnist_efficient_model as challenge
from experiments import common

QUESTION = "How long does a prediction take?"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common.new_parser("latency", QUESTION, data=False)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="NAME or FILE.py[:NAME] (default: all)")
    parser.add_argument("--repeats", type=common.count, default=200, metavar="N", help="of one image (default: 200)")
    return parser.parse_args(argv)


def row(name: str, images: torch.Tensor, repeats: int, threads: int) -> list[str]:
    """A model's name, parameters, milliseconds of one image (median, 95th percentile) and images per second."""
    with challenge.model_errors(name):
        model = challenge.build_model(name)  # its weights do not matter to the time
        median, late = 1000 * np.percentile(challenge.forward_seconds(model, images[:1], repeats), (50, 95))
        batch = float(np.median(challenge.forward_seconds(model, images, 5, threads)))
    return [
        name,
        f"{challenge.count_parameters(model):,}",
        common.fixed(median, 3),
        common.fixed(late, 3),
        common.fixed(len(images) / batch, 0),
    ]


def answer(arguments: argparse.Namespace) -> None:
    for name in arguments.models:
        challenge.find_model(name)  # an unknown name ends here
    pixels = torch.randint(256, (1000, challenge.SIDE, challenge.SIDE), generator=torch.Generator().manual_seed(0))
    threads = min(torch.get_num_threads(), challenge.usable_cores(idle=True))
    rows = [["model", "params", "p50 ms", "p95 ms", f"images/s, threads: {threads}"]]
    for name in arguments.models or challenge.MODELS:
        try:
            rows.append(row(name, challenge.to_input(pixels), arguments.repeats, threads))
        except challenge.ChallengeError as error:
            if arguments.models:
                raise
            print(f"left out: {error}", file=sys.stderr)  # of all the models one may need a package
    common.save(arguments, rows)


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parse_arguments, answer, argv)


if __name__ == "__main__":
    sys.exit(main())
