"""Comparisons and sweeps: table, CSV and JSON tell the same, and the pictures are pictures."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

import mnist_efficient_model as challenge
import report


@pytest.fixture(scope="module")
def three_models(tmp_path_factory):
    """`--model all --json` over two small models and one that does not exist, on a small FashionMNIST."""
    from conftest import write_small_fashion

    folder = tmp_path_factory.mktemp("all")
    write_small_fashion(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        models = {key: challenge.MODELS[key] for key in ("efficient", "mlp")}
        patch.setattr(challenge, "MODELS", {**models, "no_such_model": challenge.MODELS["mlp"]})
        patch.setattr("sys.stdout", out := io.StringIO())
        patch.setattr("sys.stderr", err := io.StringIO())
        status = challenge.main(
            f"--model all --dataset fashion --data-dir {folder / 'data'} --results-dir {folder / 'results'} --seeds 2 "
            "--json --batch-size 32".split()
        )
    return status, json.loads(out.getvalue()), err.getvalue(), folder / "results"


class TestAll:
    def test_one_model_that_cannot_run_does_not_stop_the_others(self, three_models):
        _, document, err, _ = three_models
        assert {run["model"] for run in document["runs"]} == {"efficient", "mlp"}
        assert "unknown model 'no_such_model'" in document["failures"]["no_such_model"]
        assert "unknown model 'no_such_model'" in err

    def test_a_rival_that_breaks_a_limit_is_a_result_not_an_error(self, three_models):
        status, document, _, _ = three_models
        mlp = [run for run in document["runs"] if run["model"] == "mlp"]
        assert not any(run["limits"]["parameters"] for run in mlp) and status == 0

    def test_saves_passing_models_only(self, three_models):
        *_, folder = three_models
        assert {path.stem for path in folder.glob("*.pth")} == {"efficient"}
        assert {path.stem for path in folder.glob("*.json")} == {"efficient", "mlp"}

    def test_csv_and_json_agree_field_by_field_and_in_order(self, three_models):
        _, document, _, folder = three_models
        rows = list(csv.DictReader((folder / "comparison.csv").open()))
        assert len(rows) == 5 and rows[-1]["model"] == "no_such_model" and rows[-1]["error"]
        for row, run in zip(rows, document["runs"], strict=False):
            shared = [field for field in run if field in row]
            assert shared == list(row)[:-1] and len(shared) >= 25
            for field in shared:
                expected = json.dumps(run[field]) if isinstance(run[field], (list, dict)) else run[field]
                assert row[field] == ("" if expected is None else str(expected)), field

    def test_the_table_shows_the_same_figures_at_100_columns(self, three_models):
        _, document, err, _ = three_models
        lines = err.splitlines()
        header = next(i for i, line in enumerate(lines) if line.startswith("model "))
        assert all(len(line) <= 100 for line in lines[header : header + 3])
        first, second = (re.split(r"\s{2,}", line) for line in lines[header + 1 : header + 3])
        assert (first[0], second[0]) == ("efficient", "mlp"), "those that pass come first"
        accuracies = [100 * run["test_accuracy"] for run in document["runs"] if run["model"] == "efficient"]
        assert first[1] == "8,706" and first[2] == f"{np.mean(accuracies):.2f} ±{np.std(accuracies, ddof=1):.2f}"
        assert first[-3:] == ["2/2", "2/2", "2/2"] and second[-3] == "0/2"

    def test_every_plot_is_a_picture_with_something_on_it(self, three_models):
        *_, folder = three_models
        plots = {path.stem for path in folder.glob("*.png")}
        against = {"accuracy_vs_parameters", "accuracy_vs_time"}
        assert plots == against | {"learning_curves", "per_class_accuracy", "confusion", "efficiency"}
        for path in folder.glob("*.png"):
            pixels = np.array(Image.open(path).convert("L"))
            assert min(pixels.shape) > 150 and pixels.std() > 5, path

    def test_the_page_needs_nothing_beside_it(self, three_models):
        *_, folder = three_models
        text = (folder / "report.html").read_text()
        assert text.count("data:image/png;base64,") == 6
        assert not re.findall(r'(?:src|href)="(?!data:)', text)
        assert "no_such_model" in text and "8,706" in text

    def test_all_fails_when_efficient_does(self, command, fashion_dir, tmp_path, monkeypatch):
        monkeypatch.setattr(challenge, "MODELS", {"efficient": challenge.MODELS["efficient"]})
        common = ("--dataset", "fashion", "--data-dir", fashion_dir, "--results-dir", tmp_path / "results")
        status, out, _ = command("--model", "all", *common, "--lr", 1e-9)
        assert status == 1 and "points short" in out

    def test_the_frontier_is_a_family_of_its_own_that_all_must_pass(self, command, fashion_dir, tmp_path, monkeypatch):
        few = {name: challenge.FRONTIER[name] for name in ("tiny_8",)}
        monkeypatch.setattr(challenge, "FRONTIER", few)
        common = ("--dataset", "fashion", "--data-dir", fashion_dir, "--results-dir", tmp_path / "results")
        status, *_ = command("--model", "frontier", *common)
        rows = list(csv.DictReader((tmp_path / "results" / "comparison.csv").open()))
        assert [row["model"] for row in rows] == list(few) and {row["dataset"] for row in rows} == {"fashion"}
        assert status == (0 if all(row["passed"] == "True" for row in rows) else 1)
        assert np.array(Image.open(tmp_path / "results" / "accuracy_vs_parameters.png")).std() > 5


def test_the_frontier_reaches_from_the_smallest_record_to_the_most_accurate():
    sizes = {name: challenge.count_parameters(challenge.build_model(name)) for name in challenge.FRONTIER}
    assert list(sizes.values()) == sorted(sizes.values()) and len(sizes) >= 8
    assert sizes["tiny_8"] == challenge.count_parameters(challenge.build_model("tiny"))
    assert sizes["accurate_24_32"] == challenge.count_parameters(challenge.build_model("accurate"))


class TestSweep:
    def test_tries_the_grid_on_a_holdout_and_ranks_it(self, command, fashion_dir, tmp_path):
        common = ("--dataset", "fashion", "--data-dir", fashion_dir, "--results-dir", tmp_path / "results")
        grid = ("--sweep", "lr=0.000001,0.02", "--sweep", "batch_size=32,64", "--holdout", 500)
        status, out, _ = command(*common, *grid, "--quiet", "--seeds", 2)
        rows = list(csv.DictReader((tmp_path / "results" / "sweep.csv").open()))
        assert status == 0 and len(rows) == 8 and {row["scored_on"] for row in rows} == {"holdout"}
        assert {(row["lr"], row["batch_size"]) for row in rows} == {
            (a, b) for a in ("1e-06", "0.02") for b in ("32", "64")
        }
        ranking = out[out.index("lr ") :].splitlines()
        assert ranking[1].startswith("0.02") and ranking[4].startswith("1e-06") and "holdout" in ranking[-1]
        assert np.array(Image.open(tmp_path / "results" / "sweep.png")).std() > 5
        assert not list((tmp_path / "results").glob("*.pth"))

    @pytest.mark.parametrize(
        "setting, words",
        [
            ("momentum=0.9", "expected KEY=V1,V2"),
            ("lr", "expected KEY=V1,V2"),
            ("lr=fast", "'fast' is not a number"),
            ("batch_size=0", "'0' is not a whole number"),
            ("batch_size=14.5", "'14.5' is not a whole number"),
            ("batch_size=64,9999", "only 1,500 images"),
            ("optimizer=adamw,lion", "optimizers are adamw"),
        ],
    )
    def test_refuses_what_is_no_setting(self, command, fashion_dir, setting, words):
        common = ("--dataset", "fashion", "--data-dir", fashion_dir, "--holdout", 500)
        status, out, err = command(*common, "--sweep", setting)
        assert status == 2 and out == "" and words in err and len(err.splitlines()) == 1

    def test_of_all_models_at_once_is_refused(self, command):
        assert command("--model", "all", "--sweep", "lr=0.1")[0] == 2


def test_a_figure_that_was_not_measured_is_blank_everywhere(tmp_path):
    run = dict.fromkeys(challenge.Result.__dataclass_fields__)
    run |= {"model": "m", "seed": 0, "parameters": 5, "train_seconds": 1.0, "passed": False}
    run |= {"limits": {"parameters": True, "accuracy": False, "one_epoch": False}}
    columns = [("model", "model", str), ("test_accuracy", "acc. %", report.percent), ("macs", "kMAC", str)]
    assert report.table([run], columns)[1][:3] == ["m", "", ""]
    report.write_csv(tmp_path / "one.csv", [run], {})
    assert next(csv.DictReader((tmp_path / "one.csv").open()))["test_accuracy"] == ""
