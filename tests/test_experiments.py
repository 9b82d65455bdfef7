"""experiments/: each answers its question on small data, leaves JSON that report/ draws, and refuses bad values."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import torch

import mnist_efficient_model as challenge
from experiments import energy, frontier, robustness
from helpers import ROOT, easy_digits, in_this_process, write_small_fashion
from report import __main__ as report

NAMES = ("sweep", "frontier", "energy", "robustness", "latency")


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """A data folder with 1,000 and 200 easy digits in FashionMNIST's place."""
    folder = tmp_path_factory.mktemp("data")
    write_small_fashion(folder, (1000, 200))
    return folder


@pytest.fixture
def experiment(few, tmp_path, capsys):
    """Run an experiment in this process on the small data; returns (status, stdout, stderr)."""
    threads = torch.get_num_threads()

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        words = [*arguments, "--results-dir", tmp_path / "results"]
        words += ["--data-dir", few] if name != "latency" else []
        words += ["--dataset", "fashion"] if name in ("sweep", "frontier", "energy") else []
        main = importlib.import_module(f"experiments.{name}").main
        return in_this_process(main)(*words), *capsys.readouterr()

    yield run
    torch.set_num_threads(threads)


def found(tmp_path: Path, name: str) -> dict:
    """The JSON that an experiment left, after a check that the terminal's table is its table and report draws it."""
    document = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert report.main([str(tmp_path / "results")]) == 0
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert document["question"] in page and all(row[0] in page for row in document["table"])
    return document


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_does(name, experiment):
    status, out, _ = experiment(name, "--help")
    assert status == 0 and f"python -m experiments.{name}" in out and "?" in out


class TestSweep:
    def test_ranks_the_grid_on_the_hold_out_best_first_and_its_picture_is_drawn(self, experiment, tmp_path):
        words = ("lr=0.000001,0.02", "optimizer=adamw,sgd", "--model", "mlp_small", "--holdout", 250)
        status, out, err = experiment("sweep", *words, "--seeds", 1, "--jobs", 2)
        assert (status, err) == (0, "") and "[4/4] lr=" in out and "| lr " in out
        document = found(tmp_path, "sweep-fashion")
        assert document["table"][0][:3] == ["lr", "optimizer", "mean %"] and len(document["table"]) == 5
        assert document["table"][1][:2] == ["0.02", "adamw"] and document["keys"] == ["lr", "optimizer"]
        scored = {(run["scored_on"], run["test_images"], run["threads"]) for run in document["runs"]}
        assert scored == {("holdout", 250, 1)}
        assert document["command"].startswith("python -m experiments.sweep lr=0.000001,0.02 optimizer=adamw,sgd --m")
        assert {path.name for path in (tmp_path / "results").iterdir()} == {"sweep-fashion.json", "report.html"}

    @pytest.mark.parametrize(
        "grid, words",
        [
            (["lr=0.01", "lr=0.02"], "lr is given twice"),
            (["label_smoothing=0,0.1,3"], "label_smoothing '3.0': it must be a number from 0 to 1"),
            (["lr=nan"], "lr 'nan'"),
            (["lr=0.1,fast"], "must be numbers"),
            (["batch_size=8.5"], "must be numbers"),
            (["colour=red"], "colour=red: expected KEY=V1,V2"),
            (["RANGES=1"], "expected KEY=V1,V2"),
            (["batch_size=8,4000", "--holdout", "500"], "batch_size 4,000: there are only 500 images"),
            (["lr=0.1", "--model", "eficient"], "did you mean efficient"),
            (["lr=0.1", "--seeds", "0"], "'0' is not a whole number from 1 on"),
        ],
    )
    def test_refuses_bad_values_in_one_line_before_anything_runs(self, experiment, tmp_path, grid, words):
        status, out, err = experiment("sweep", *grid)
        assert (status, out) == (2, "") and words in err and err.count("\n") == 1
        assert not list(tmp_path.glob("results/*"))

    @pytest.mark.skipif(os.name == "nt", reason="no signals here")
    def test_ctrl_c_keeps_what_is_finished(self, few, tmp_path):
        options = ["--dataset", "fashion", "--data-dir", few, "--results-dir", tmp_path / "results"]
        command = [sys.executable, "-m", "experiments.sweep", "lr=0.01,0.02", "--seeds", "500", "--holdout", "500"]
        process = subprocess.Popen(
            [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            if line.startswith("[2/"):
                break
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130 and err.count("\n") == 1 and "interrupted" in err
        runs = json.loads((tmp_path / "results" / "sweep-fashion.json").read_text())["runs"]
        assert 2 <= len(runs) < 100 and "| lr " in out


class TestFrontier:
    def test_trains_its_networks_with_the_recipes_of_their_records(self, experiment, monkeypatch, tmp_path):
        counts = {name: challenge.count_parameters(build()) for name, (build, _) in frontier.NETWORKS.items()}
        assert len(counts) == 9 and list(counts.values()) == sorted(counts.values())
        assert counts["tiny_8"] == 258 and counts["accurate_24_30"] == 23_086
        few = {name: frontier.NETWORKS[name] for name in ("tiny_8", "accurate_6_8")}
        monkeypatch.setattr(frontier, "NETWORKS", few)
        status, out, _ = experiment("frontier", "--seeds", 1, "--jobs", 2)
        assert status == 0 and "[2/2]" in out
        document = found(tmp_path, "frontier-fashion")
        assert [row[:2] for row in document["table"][1:]] == [[name, f"{counts[name]:,}"] for name in few]
        assert [run["config"]["optimizer"] for run in document["runs"]] == ["adamw", "muon"]
        chart = (tmp_path / "results" / "frontier-fashion.svg").read_text(encoding="utf-8")
        assert 'class="mark" transform=' in chart


class TestEnergy:
    def test_gives_nanojoules_of_inference_and_leaves_joules_blank_where_no_meter_is(self, experiment, tmp_path):
        status, _, err = experiment("energy", "mlp_small", "fast")
        assert (status, err) == (0, "")
        head, mlp, fast = found(tmp_path, "energy-fashion")["table"]
        assert head[6:] == ["nJ (estimate)", "spikes"] and mlp[0] == "mlp_small" and fast[0] == "fast"
        assert int(mlp[6]) == round(challenge.count_macs(challenge.build_model("mlp_small"), IMAGES[:1]) * 4.6e-3)
        assert mlp[7] == "" and (mlp[3] != "" or not energy.importlib.util.find_spec("codecarbon"))

    def test_joules_are_the_processors_and_called_measured_only_where_a_power_meter_is_read(self, monkeypatch):
        class Tracker:
            final_emissions_data = types.SimpleNamespace(cpu_energy=1e-6, gpu_energy=2e-6, ram_energy=5e-6)
            _hardware = [types.SimpleNamespace(_mode="intel_rapl")]  # noqa: RUF012

            def __init__(self, **_: object) -> None: ...
            def start(self) -> None: ...
            def stop(self) -> None: ...

        monkeypatch.setitem(sys.modules, "codecarbon", types.SimpleNamespace(OfflineEmissionsTracker=Tracker))
        monkeypatch.setattr(energy.importlib.util, "find_spec", lambda name: True)
        for mode, method in (("intel_rapl", "measured"), ("constant", "estimate")):
            Tracker._hardware = [types.SimpleNamespace(_mode=mode)]
            with energy.EnergyMeter() as meter:
                pass
            assert meter.joules == pytest.approx(3e-6 * 3.6e6) and meter.method == method

    def test_a_layer_fed_spikes_pays_for_those_that_arrive(self):
        pytest.importorskip("snntorch")
        torch.manual_seed(0)
        model = challenge.build_model("csnn")
        nanojoules, spikes = energy.inference_nj(model, IMAGES)
        dense = challenge.count_macs(model, IMAGES[:1]) * energy.MAC_NJ
        assert 0 < spikes < 1 and 0 < nanojoules < dense

    def test_an_unknown_model_ends_before_any_training(self, experiment):
        status, out, err = experiment("energy", "efficient", "eficient")
        assert (status, out) == (2, "") and "did you mean efficient" in err


IMAGES = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))


class TestLatency:
    def test_gives_percentiles_and_throughput_of_every_model_named(self, experiment, tmp_path):
        status, _, err = experiment("latency", "fast", "efficient", "--repeats", 20)
        assert (status, err) == (0, "")
        _, *rows = found(tmp_path, "latency")["table"]
        assert [row[:2] for row in rows] == [["fast", "7,242"], ["efficient", "8,706"]]
        for row in rows:
            median, late, throughput = (float(cell.replace(",", "")) for cell in row[2:])
            assert 0 < median <= late and throughput > 1000 / median


def digits(n: int = 40) -> torch.Tensor:
    """Images with a dark border of six pixels, so that nothing is lost where they move."""
    images = torch.from_numpy(easy_digits(n, 0)[0])
    framed = torch.zeros_like(images)
    framed[:, 6:22, 6:22] = images[:, 6:22, 6:22]
    return framed


def ink(images: torch.Tensor) -> float:
    return images.double().sum().item()


class TestDisturbances:
    def test_a_shift_moves_whole_pixels_and_a_quarter_turn_is_that_of_rot90(self):
        near, images = {"atol": 0.05, "rtol": 0}, digits().float()
        for pixels in (1, 4):
            for found, by in zip(robustness.shifted(digits(), pixels), ((0, 1), (0, -1), (1, 0), (-1, 0)), strict=True):
                torch.testing.assert_close(found, images.roll((pixels * by[0], pixels * by[1]), (1, 2)), **near)
        turned = sorted(
            robustness.rotated(digits(), 90), key=lambda x: (x - images.rot90(1, (1, 2))).abs().sum().item()
        )
        for found, quarters in zip(turned, (1, -1), strict=True):
            torch.testing.assert_close(found, images.rot90(quarters, (1, 2)), **near)

    def test_a_scale_changes_the_ink_by_its_square_and_a_line_gets_a_pixel_thicker_or_thinner(self):
        block, line = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
        block[:, 4:24, 4:24] = line[:, :, 12:16] = 255
        for factor in (0.7, 1.1):
            assert ink(robustness.scaled(block, factor)[0]) / ink(block) == pytest.approx(factor**2, rel=0.04)
        for thinner, width in ((False, 5), (True, 3)):
            assert ink(robustness.thickened(line, thinner=thinner)[0][:, 14]) == pytest.approx(255 * width, rel=0.1)

    def test_noise_has_its_size_and_is_the_same_for_every_model(self):
        grey = torch.full((50, 28, 28), 128, dtype=torch.uint8)
        (once,), (again,) = robustness.noisy(grey, 0.1), robustness.noisy(grey, 0.1)
        assert torch.equal(once, again)
        assert (once - 128).std().item() == pytest.approx(25.5, rel=0.02)
        assert (robustness.salted(grey, 0.05)[0] == 255).float().mean().item() == pytest.approx(0.05, abs=0.005)

    def test_every_one_gives_images_of_the_same_shape_and_range(self):
        for name, disturb in robustness.DISTURBANCES.items():
            for variant in disturb(digits()):
                assert variant.shape == (40, 28, 28) and variant.min() >= 0 and variant.max() <= 255.01, name


class TestRobustness:
    def test_the_seeds_of_a_model_share_a_column_which_is_their_mean(self, experiment, few, tmp_path):
        data = challenge.load_dataset("fashion", few)
        paths, accuracies = [], []
        for name, seed in (("mlp_small", 0), ("mlp_small", 1), ("efficient", 0)):
            paths.append(tmp_path / f"{name}{seed}.pth")
            result, _ = challenge.run(name, data, challenge.recipe(name, batch_size=25), seed, checkpoint=paths[-1])
            accuracies.append(100 * result.test_accuracy)
        status, out, err = experiment("robustness", *paths)
        assert (status, err) == (0, "") and "| test images" in out
        head, first, *rows = found(tmp_path, "robustness-fashion")["table"]
        assert head == ["test images", "mlp_small (n=2)", "efficient (n=1)"]
        assert first == ["none", f"{(accuracies[0] + accuracies[1]) / 2:.1f}", f"{accuracies[2]:.1f}"]
        assert len(rows) == len(robustness.DISTURBANCES) - 1

    def test_a_file_that_is_no_checkpoint_ends_in_one_line(self, experiment, tmp_path):
        (tmp_path / "it.pth").write_bytes(b"no")
        status, out, err = experiment("robustness", tmp_path / "it.pth")
        assert status in (3, 4) and out == "" and err.count("\n") == 1 and "it.pth" in err
