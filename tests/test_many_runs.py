"""Comparisons and sweeps of the script: table, CSV and JSON tell the same, and one failure stops nothing."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
import torch
from conftest import write_small_fashion

import mnist_efficient_model as challenge


def no_such_model():
    """A model that cannot be built."""
    raise RuntimeError("it cannot be built")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """`--model all --json` over two models and one that cannot be built: (status, document, stderr, folder)."""
    folder = tmp_path_factory.mktemp("all")
    write_small_fashion(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        models = {name: challenge.MODELS[name] for name in ("mlp", "efficient")}
        broken = models["mlp"]._replace(build=no_such_model)
        patch.setattr(challenge, "MODELS", {**models, "no_such_model": broken})
        patch.setattr("sys.stdout", out := io.StringIO())
        patch.setattr("sys.stderr", err := io.StringIO())
        arguments = ["--model", "all", "--dataset", "fashion", "--seeds", "2", "--json", "--batch-size", "32"]
        folders = ["--data-dir", str(folder / "data"), "--results-dir", str(folder / "results")]
        status = challenge.main(arguments + folders)
    return status, json.loads(out.getvalue()), err.getvalue(), folder / "results"


class TestAll:
    def test_one_model_that_cannot_run_does_not_stop_the_others(self, compared):
        _, document, err, _ = compared
        assert {run["model"] for run in document["runs"]} == {"efficient", "mlp"}
        assert "it cannot be built" in document["failures"]["no_such_model"] and "it cannot be built" in err

    def test_a_rival_that_breaks_a_limit_is_a_result_not_an_error(self, compared):
        status, document, *_ = compared
        assert not any(run["limits"]["parameters"] for run in document["runs"] if run["model"] == "mlp")
        assert status == 0

    def test_saves_passing_models_only(self, compared):
        folder = compared[3]
        assert {path.stem for path in folder.glob("*.pth")} == {"efficient"}
        assert {path.stem for path in folder.glob("*.json")} == {"efficient", "mlp", "comparison"}

    def test_csv_and_json_agree_field_by_field_and_in_order(self, compared):
        _, document, _, folder = compared
        rows = list(csv.DictReader((folder / "comparison.csv").open(encoding="utf-8")))
        assert len(rows) == 5 and rows[-1]["model"] == "no_such_model" and rows[-1]["error"]
        for row, run in zip(rows, document["runs"], strict=False):
            shared = [field for field in run if field in row]
            assert shared == list(row)[:-1] and len(shared) >= 25
            for field in shared:
                expected = json.dumps(run[field]) if isinstance(run[field], (list, dict)) else run[field]
                assert row[field] == ("" if expected is None else str(expected)), field

    def test_the_table_on_screen_is_that_of_the_json_and_fits_100_columns(self, compared):
        _, document, err, _ = compared
        lines = err.splitlines()
        header = next(i for i, line in enumerate(lines) if line.startswith("model "))
        shown = lines[header : header + 3]
        assert all(len(line) <= 100 for line in shown)
        assert [re.split(r"\s{2,}", line) for line in shown] == document["table"]
        first, second = document["table"][1:]
        assert (first[0], second[0]) == ("efficient", "mlp"), "those that pass come first"
        accuracies = [100 * run["test_accuracy"] for run in document["runs"] if run["model"] == "efficient"]
        assert first[2] == f"{np.mean(accuracies):.2f} ±{np.std(accuracies, ddof=1):.2f}"
        assert first[-3:] == ["2/2", "2/2", "2/2"] and second[-3] == "0/2"

    def test_ends_by_having_the_page_drawn(self, compared):
        *_, err, folder = compared
        pytest.importorskip("matplotlib")
        assert "drew report.html and 7 plots" in err and (folder / "report.html").exists()

    def test_tells_why_there_is_no_page_and_keeps_the_data_where_drawing_fails(self, compared, tmp_path):
        folder = tmp_path / "results"
        shutil.copytree(compared[3], folder)
        (folder / "report.html").unlink()
        (folder / "comparison.json").write_text("{}")
        stream = io.StringIO()
        session = challenge.Session(None, argparse.Namespace(results_dir=str(folder), json=False), "", stream)
        challenge.draw_report(session)
        assert "report: error:" in stream.getvalue() and (folder / "comparison.csv").exists()


class TestSweep:
    def test_tries_the_grid_on_a_holdout_and_ranks_it(self, command, fashion_dir, tmp_path):
        folder = tmp_path / "results"
        common = ("--dataset", "fashion", "--data-dir", fashion_dir, "--results-dir", folder, "--model", "mlp_small")
        grid = ("--sweep", "lr=0.000001,0.02", "--sweep", "batch_size=32,64", "--holdout", 500)
        status, out, _ = command(*common, *grid, "--quiet", "--seeds", 2)
        rows = list(csv.DictReader((folder / "sweep.csv").open(encoding="utf-8")))
        assert status == 0 and len(rows) == 8 and {row["scored_on"] for row in rows} == {"holdout"}
        points = {(row["lr"], row["batch_size"]) for row in rows}
        assert points == {(lr, size) for lr in ("1e-06", "0.02") for size in ("32", "64")}
        ranking = out[out.index("lr ") :].splitlines()
        assert ranking[1].startswith("0.02") and ranking[4].startswith("1e-06") and "holdout" in ranking[5]
        assert (folder / "sweep.json").exists() and not list(folder.glob("*.pth"))

    @pytest.mark.parametrize(
        "setting, words",
        [
            ("momentum=0.9", "expected KEY=V1,V2"),
            ("lr", "expected KEY=V1,V2"),
            ("lr=fast", "lr: 'fast' is not a number"),
            ("batch_size=0", "batch_size: '0' is not a whole number"),
            ("batch_size=14.5", "batch_size: '14.5' is not a whole number"),
            ("batch_size=64,9999", "only 1,500 images"),
            ("label_smoothing=0,0.1,3", "label_smoothing: '3' is not a number from 0 to 1"),
            ("optimizer=adamw,lion", "'lion' is none of adamw, sgd"),
        ],
    )
    def test_refuses_a_value_that_is_none_before_anything_runs(self, command, fashion_dir, tmp_path, setting, words):
        common = ("--dataset", "fashion", "--data-dir", fashion_dir, "--holdout", 500, "--results-dir", tmp_path / "r")
        status, out, err = command(*common, "--sweep", setting)
        assert status == 2 and out == "" and words in err and len(err.splitlines()) == 1
        assert not (tmp_path / "r").exists()

    def test_of_all_models_at_once_is_refused(self, command):
        assert command("--model", "all", "--sweep", "lr=0.1")[0] == 2


def test_a_figure_that_was_not_measured_is_blank_everywhere():
    run = dict.fromkeys(challenge.Result.__dataclass_fields__)
    run |= {"model": "m", "seed": 0, "parameters": 5, "train_seconds": 1.0, "passed": False}
    run |= {"limits": {"parameters": True, "accuracy": False, "one_epoch": False}}
    header, row = challenge.table([run])
    assert row == ["m", "5", "", "1.0", "", "", "", "ok", "NO", "NO"] and len(header) == len(row)
    assert next(csv.DictReader(io.StringIO(challenge.to_csv([run], {}))))["test_accuracy"] == ""


COSTS = (
    "jobs train_seconds latency_ms latency_p95_ms throughput peak_memory_mb accuracy_per_second training_joules "
    "checkpoint"
).split()


class TestJobs:
    def test_change_no_figure_but_times_and_memory(self, command, fashion_dir, tmp_path):
        def runs(jobs: int) -> tuple[list[dict], dict]:
            places = ("--dataset", "fashion", "--data-dir", fashion_dir, "--results-dir", tmp_path / str(jobs))
            _, out, _ = command(*places, "--seeds", 3, "--batch-size", 32, "--jobs", jobs, "--json")
            kept = [{k: v for k, v in run.items() if k not in COSTS} for run in json.loads(out)["runs"]]
            return kept, challenge.load_checkpoint(tmp_path / str(jobs) / "efficient.pth")[0].state_dict()

        (one, weights), (two, again) = runs(1), runs(2)
        assert len(one) == 3 and one == two
        assert all(torch.equal(weights[key], again[key]) for key in weights)
