"""How accurate can a network of a given size be? The networks of the two records at nine widths.

python -m experiments.frontier --seeds 5
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from torch import nn

from experiments import common
from mnist_efficient_model import (
    ChannelsLast,
    Limits,
    Result,
    SharedConvolution,
    Task,
    paired_convolutions,
    recipe,
    summarise,
)

QUESTION = "How accurate can a network of a given size be?"


def shared_convolution(channels: int) -> nn.Module:
    """`tiny` with another number of channels; it has 8."""
    return nn.Sequential(ChannelsLast(), SharedConvolution(channels))


def named(name: str, build: Callable[..., nn.Module], *widths: int) -> Callable[[], nn.Module]:
    """A builder whose name says how many channels its model has; a partial, so that processes can receive it."""
    builder = partial(build, *widths)
    builder.__name__ = "_".join(map(str, (name, *widths)))
    return builder


PAIRS = ((6, 8), (8, 12), (12, 16), (16, 22), (24, 30))  # channels of the first and of the second two convolutions
NETWORKS = {  # name -> builder, and the record whose recipe it is trained with
    builder.__name__: (builder, record)
    for record, builder in [
        *(("tiny", named("tiny", shared_convolution, channels)) for channels in (8, 12, 16, 24)),
        *(("accurate", named("accurate", paired_convolutions, *pair)) for pair in PAIRS),
    ]
}


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return common.new_parser("frontier", QUESTION, runs=True).parse_args(argv)


def table(results: Sequence[Result]) -> list[list[str]]:
    """Header and a row per network."""
    rows = [["model", "params", "mean %", "min %", "max %", "train s", "passed"]]
    for name in dict.fromkeys(result.model for result in results):
        runs = [result for result in results if result.model == name]
        s = summarise(runs)
        accuracies = [common.percent(s[f"accuracy_{key}"]) for key in ("mean", "min", "max")]
        seconds = common.fixed(s["train_seconds_median"], 1)
        rows.append([name, f"{runs[0].parameters:,}", *accuracies, seconds, f"{s['passed']}/{s['runs']}"])
    return rows


def answer(arguments: argparse.Namespace) -> None:
    data = common.load_dataset(arguments)
    networks, seeds = NETWORKS.values(), range(arguments.seeds)
    tasks = [Task(builder, recipe(record), seed) for builder, record in networks for seed in seeds]

    def save(results: list[Result]) -> None:
        runs = [result.plain() for result in results]
        common.save(arguments, table(results), data, limits=asdict(Limits()), runs=runs)

    common.make_runs(tasks, data, arguments.jobs, save)


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parse_arguments, answer, argv)


if __name__ == "__main__":
    sys.exit(main())
