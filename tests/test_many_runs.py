"""Many runs of one command: table, CSV and JSON say the same, and one failure stops nothing."""

import csv
import io
import json

import numpy as np
import pytest
import torch

import mnist_efficient_model as challenge
from helpers import a_result


def no_such_model():
    """A model that cannot be built."""
    raise RuntimeError("it cannot be built")


@pytest.fixture(scope="module")
def compared(digits, tmp_path_factory):
    """`--model all --json` over two models and one that cannot be built: (status, document, stderr, folder)."""
    folder = tmp_path_factory.mktemp("results")
    models = {name: challenge.MODELS[name] for name in ("mlp", "efficient")}
    models["no_such_model"] = models["mlp"]._replace(build=no_such_model)
    words = "--model all --dataset fashion --seeds 2 --json --batch-size 32 --data-dir".split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(challenge, "MODELS", models)
        patch.setattr("sys.stdout", out := io.StringIO())
        patch.setattr("sys.stderr", err := io.StringIO())
        status = challenge.main([*words, str(digits), "--results-dir", str(folder)])
    return status, json.loads(out.getvalue()), err.getvalue(), folder


class TestAll:
    def test_one_model_that_cannot_run_does_not_stop_the_others_nor_one_that_breaks_a_limit(self, compared):
        status, document, err, _ = compared
        runs = [(run["model"], run["seed"], run["limits"]["parameters"]) for run in document["runs"]]
        assert runs == [("mlp", 0, False), ("mlp", 1, False), ("efficient", 0, True), ("efficient", 1, True)]
        assert "it cannot be built" in document["failures"]["no_such_model"] and "it cannot be built" in err
        assert status == 0

    def test_leaves_the_comparison_each_models_runs_and_passing_models(self, compared):
        _, document, _, folder = compared
        assert {path.name for path in folder.glob("*.pth")} == {"efficient-fashion.pth"}
        logs = {path.stem.removesuffix("-fashion") for path in folder.glob("*.json")}
        assert logs == {"efficient", "mlp", "comparison"}
        assert document == json.loads((folder / "comparison-fashion.json").read_text())
        assert document.keys() == {"limits", "models", "runs", "failures"}
        assert document["limits"] == {"parameters": 25_000, "accuracy": 0.95}
        assert document["models"]["no_such_model"]["idea"] == "A model that cannot be built."

    def test_csv_and_json_agree_field_by_field_and_in_order(self, compared):
        _, document, _, folder = compared
        rows = list(csv.DictReader((folder / "comparison-fashion.csv").open(encoding="utf-8")))
        assert len(rows) == 5 and rows[-1]["model"] == "no_such_model" and rows[-1]["error"]
        for row, run in zip(rows, document["runs"], strict=False):
            shared = [field for field in run if field in row]
            assert shared == list(row)[:-1] and len(shared) >= 20
            for field in shared:
                expected = json.dumps(run[field]) if isinstance(run[field], (list, dict)) else run[field]
                assert row[field] == ("" if expected is None else str(expected)), field

    def test_the_table_on_screen_is_that_of_the_runs_and_fits_80_columns(self, compared):
        _, document, err, _ = compared
        lines = err.splitlines()
        header = next(i for i, line in enumerate(lines) if line.startswith("model "))
        first, second = (line.split() for line in lines[header + 1 : header + 3])
        assert max(map(len, lines[header : header + 3])) <= 80
        assert (first[0], second[0]) == ("efficient", "mlp"), "those that pass come first"
        found = [run["test_accuracy"] for run in document["runs"] if run["model"] == "efficient"]
        mean, low = (challenge.percent(value).removesuffix(" %") for value in (np.mean(found), min(found)))
        assert first[1:4] == ["8,706", mean, low] and (first[-1], second[-1]) == ("2/2", "0/2")

    def test_ends_by_having_the_page_drawn(self, compared):
        *_, err, folder = compared
        pytest.importorskip("matplotlib")
        assert "drew report.html and " in err and (folder / "report.html").exists()

    def test_says_why_there_is_no_page_where_drawing_fails(self, tmp_path):
        (tmp_path / "comparison.json").write_text("{}")
        assert "report: error:" in challenge.draw_report(tmp_path) and (tmp_path / "comparison.json").exists()


def test_a_figure_that_was_not_measured_is_blank_everywhere(tmp_path):
    facts = {"model": "m", "seed": 0, "parameters": 5, "macs": 2000, "latency_ms": 0.5, "train_seconds": 1.0}
    result = a_result(**facts, passed=False, violations=["no accuracy"])
    assert challenge.table([result]).splitlines()[1].split() == ["m", "5", "1.0", "2", "0.50", "0/1"]
    assert challenge.summarise([result])["accuracy_mean"] is None
    challenge.save_comparison(tmp_path / "it", [result], {})
    (row,) = csv.DictReader((tmp_path / "it.csv").open())
    assert row["test_accuracy"] == row["peak_memory_mb"] == ""


def test_jobs_change_no_figure_but_times_and_memory(on_fashion, tmp_path):
    def runs(jobs: int) -> tuple[list[dict], dict]:
        folder = tmp_path / str(jobs)
        words = ("--seeds", 3, "--results-dir", folder, "--jobs", jobs, "--json", "--batch-size", 100)
        costs = {"train_seconds", "latency_ms", "peak_memory_mb", "checkpoint"}
        kept = [{key: run[key] for key in run.keys() - costs} for run in json.loads(on_fashion(*words)[1])["runs"]]
        return kept, torch.load(folder / "efficient-fashion.pth", weights_only=True)["state_dict"]

    (one, weights), (two, again) = runs(1), runs(2)
    assert len(one) == 3 and one == two and one[0] != one[1]
    assert all(torch.equal(weights[key], again[key]) for key in weights)
