"""Side by side: every model in a process of its own, or one model over a grid of settings.

Behind ``--model all`` and ``--sweep`` of mnist_efficient_model.py, which trains and judges; report.py draws.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import mnist_efficient_model as challenge
import report
from mnist_efficient_model import LIMIT_BROKEN, MODEL_ERROR, OK, USAGE, ChallengeError, Config, Dataset


def train_all(data: Dataset, argv: Sequence[str], arguments: argparse.Namespace, say: TextIO) -> int:
    """Every registered model, or the frontier's, each by the script in a process of its own: none hurts another."""
    models = challenge.FRONTIER if arguments.model == "frontier" else challenge.MODELS
    runs: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for i, name in enumerate(models, 1):
        same_data = ["--dataset", data.name]  # what auto chose
        command_line = [sys.executable, challenge.__file__, *argv, *same_data, "--model", name, "--json", "--quiet"]
        child = subprocess.run(command_line, capture_output=True, text=True)
        label = f"[{i}/{len(models)}] "
        if child.returncode in (OK, LIMIT_BROKEN) and child.stdout:
            document = json.loads(child.stdout)
            mine = document.get("runs", [document])
            runs += mine
            line = report.one_line(mine[0]) if len(mine) == 1 else f"{name}: {report.summary_line(mine)}"
        else:
            told = child.stderr.strip().splitlines()
            failures[name] = told[-1] if told else f"ended with status {child.returncode} and said nothing"
            line = f"{name}: {failures[name]}"
        print(label + line, file=sys.stderr if arguments.quiet else say, flush=True)
    if runs:
        columns = [
            (f.name, f.metadata["header"], f.metadata["show"])
            for f in dataclasses.fields(challenge.Result)
            if f.metadata
        ]
        report.write_comparison(
            Path(arguments.results_dir), runs, failures, columns, challenge.Limits(), data.test.images.numpy()
        )
        print("\n" + report.aligned(report.table(runs, columns)), file=say)
        print(f"\nplots and report.html are in {arguments.results_dir}", file=say)
        if data.note:
            print(f"Note: {data.note}", file=say)
    if arguments.json:
        summary = {group[0]["model"]: report.summarise(group) for group in report.grouped(runs)}
        print(json.dumps({"runs": runs, "summary": summary, "failures": failures}))
    judged = {"efficient", "lightweight"} & models.keys() or models.keys()  # ablations and baselines need not pass
    if failures.keys() & judged:
        return MODEL_ERROR
    return OK if all(done["passed"] for done in runs if done["model"] in judged) else LIMIT_BROKEN


def parse_sweep(settings: Sequence[str]) -> dict[str, list[Any]]:
    """``["lr=0.01,0.1", "optimizer=adamw,sgd"]`` -> the values of each Config field; ChallengeError 2 if it is none."""
    grid: dict[str, list[Any]] = {}
    for setting in settings:
        key, _, values = setting.partition("=")
        if key not in Config.__dataclass_fields__ or not values:
            keys = ", ".join(Config.__dataclass_fields__)
            raise ChallengeError(f"--sweep {setting}: expected KEY=V1,V2,... with KEY one of {keys}", USAGE)
        default = Config.__dataclass_fields__[key].default
        numeric = challenge.positive(int) if isinstance(default, int) else challenge.positive(float, zero=key != "lr")
        kind = str if isinstance(default, str) else numeric
        try:
            grid[key] = [kind(value) for value in values.split(",")]
        except argparse.ArgumentTypeError as error:
            raise ChallengeError(f"--sweep {setting}: {error}", USAGE) from error
        if key == "optimizer" and not set(grid[key]) <= challenge.OPTIMIZERS.keys():
            raise ChallengeError(f"--sweep {setting}: optimizers are {', '.join(challenge.OPTIMIZERS)}", USAGE)
    return grid


def sweep(data: Dataset, config: Config, grid: dict[str, list[Any]], arguments: argparse.Namespace, say: TextIO) -> int:
    """A grid of settings for one model: table, CSV and heat map, scored on the hold-out unless told otherwise."""
    runs = []
    for values in itertools.product(*grid.values()):
        changed = dict(zip(grid, values, strict=True))
        for done in challenge.train_seeds(
            arguments.model, data, dataclasses.replace(config, **changed), arguments, save=False
        ):
            runs.append({**changed, **done})
            print(f"{changed}  {report.one_line(done)}", file=say, flush=True)
    groups = report.grouped(runs, key=lambda done: tuple(done[key] for key in grid))
    groups.sort(key=lambda group: -(report.summarise(group)["accuracy_mean"] or 0))
    rows = [[*grid, "mean %", "std", "min %", "runs", "train s"]]
    for group in groups:
        s = report.summarise(group)
        accuracies = [
            "" if s[f"accuracy_{k}"] is None else f"{100 * s[f'accuracy_{k}']:.2f}" for k in ("mean", "std", "min")
        ]
        settings = [str(group[0][key]) for key in grid]
        rows.append([*settings, *accuracies, str(s["runs"]), f"{s['train_seconds_median']:.2f}"])
    print(f"\n{report.aligned(rows)}\nscored on the {data.scored_on} images", file=say)
    folder = Path(arguments.results_dir)
    report.write_csv(folder / "sweep.csv", runs, {})
    report.write_file(
        folder / "sweep.png",
        report.sweep_heat_map(report.grouped(runs, lambda r: tuple(r[k] for k in grid)), list(grid)),
    )
    if arguments.json:
        print(json.dumps({"runs": runs, "summary": [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]}))
    return OK
