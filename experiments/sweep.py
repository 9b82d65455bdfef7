"""Which recipe suits a model? A grid of settings, scored on a hold-out of the training set.

python -m experiments.sweep --model efficient lr=0.01,0.04 optimizer=adamw,sgd --seeds 2
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from experiments import common
from mnist_efficient_model import USAGE, ChallengeError, Config, Result, Task, recipe, summarise

QUESTION = "Which recipe suits a model?"
KINDS = {"optimizer": str, "batch_size": int}  # of the settings that are not a float


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common.new_parser("sweep", QUESTION, runs=True)
    parser.add_argument(
        "grid", nargs="+", metavar="KEY=V1,V2,...", help=f"of {', '.join(f.name for f in fields(Config))}"
    )
    parser.add_argument("--model", default="efficient", help="NAME or FILE.py[:NAME] (default: efficient)")
    parser.add_argument("--holdout", type=common.count, default=10_000, metavar="N", help="default: the last 10,000")
    arguments = parser.parse_intermixed_args(argv)
    try:
        arguments.grid = parse_grid(arguments.grid)
    except ChallengeError as error:
        parser.error(str(error))
    return arguments


def parse_grid(words: Sequence[str]) -> dict[str, list[Any]]:
    """``["lr=0.01,0.1", "optimizer=adamw,sgd"]`` as the values of each Config field; ChallengeError (status 2)."""
    grid: dict[str, list[Any]] = {}
    names = [field.name for field in fields(Config)]
    for word in words:
        key, _, values = word.partition("=")
        if key not in names or not values:
            raise ChallengeError(f"{word}: expected KEY=V1,V2,... with KEY one of {', '.join(names)}", USAGE)
        if key in grid:
            raise ChallengeError(f"{word}: {key} is given twice; put all its values into one", USAGE)
        try:
            grid[key] = list(dict.fromkeys(map(KINDS.get(key, float), values.split(","))))
        except ValueError:
            raise ChallengeError(f"{word}: the values of {key} must be numbers", USAGE) from None
        for value in grid[key]:
            Config(**{key: value})
    return grid


def ranking(results: Sequence[Result], keys: Sequence[str]) -> list[list[str]]:
    """Header and a row per point of the grid, best mean accuracy first."""
    points: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        points.setdefault(tuple(result.config[key] for key in keys), []).append(result)
    found = [(values, summarise(runs)) for values, runs in points.items()]
    rows = [[*keys, "mean %", "std", "min %", "runs", "train s"]]
    for values, s in sorted(found, key=lambda point: -(point[1]["accuracy_mean"] or 0)):
        std = None if s["accuracy_std"] is None else 100 * s["accuracy_std"]
        accuracies = [common.percent(s["accuracy_mean"]), common.fixed(std), common.percent(s["accuracy_min"])]
        rows.append([*map(str, values), *accuracies, str(s["runs"]), common.fixed(s["train_seconds_median"])])
    return rows


def answer(arguments: argparse.Namespace) -> None:
    grid = arguments.grid
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    configs = [recipe(arguments.model, **point) for point in points]
    data = common.load_dataset(arguments, arguments.holdout)
    if (largest := max(config.batch_size for config in configs)) > len(data.train.labels):
        raise ChallengeError(f"batch_size {largest:,}: there are only {len(data.train.labels):,} images", USAGE)
    tasks = [Task(arguments.model, config, seed) for config in configs for seed in range(arguments.seeds)]

    def save(results: list[Result]) -> None:
        common.save(arguments, ranking(results, list(grid)), data, keys=list(grid), runs=[r.plain() for r in results])

    common.make_runs(tasks, data, arguments.jobs, save, list(grid))


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parse_arguments, answer, argv)


if __name__ == "__main__":
    sys.exit(main())
