"""The contract of the challenge. ``MNIST_MODEL=name pytest test_constraints.py`` holds another model to it.

The model is trained once, by the real command, in a process of its own. Everything else takes small tensors.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import mnist_efficient_model as challenge

SCRIPT = Path(challenge.__file__)
MODEL = os.environ.get("MNIST_MODEL", "efficient")
LIMITS = challenge.Limits()


@pytest.fixture(scope="session")
def data() -> challenge.Dataset:
    """MNIST, or strokes where MNIST cannot be had: what is tested on either must hold on both."""
    return challenge.load_dataset("auto")


@pytest.fixture(scope="session")
def mnist(data: challenge.Dataset) -> challenge.Dataset:
    if data.name != "mnist":
        pytest.skip("speaks of MNIST's own figures, and MNIST is neither on disk nor to be downloaded")
    return data


@dataclasses.dataclass
class Trained:
    result: dict
    results_dir: Path
    status: int

    @property
    def checkpoint(self) -> Path:
        return self.results_dir / f"{self.result['model']}.pth"


@pytest.fixture(scope="session")
def trained(data: challenge.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The one training run of this file."""
    results_dir = tmp_path_factory.mktemp("results")
    command = [sys.executable, SCRIPT, "--model", MODEL, "--dataset", data.name, "--json"]
    done = subprocess.run([*command, "--results-dir", results_dir], capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, 1), done.stderr
    return Trained(json.loads(done.stdout), results_dir, done.returncode)


def a_split(n: int = 50, seed: int = 0) -> challenge.Split:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 28, 28), generator=generator, dtype=torch.uint8)
    return challenge.Split(images, torch.randint(0, 10, (n,), generator=generator))


def a_result(**changes) -> challenge.Result:
    """A result that passes, but for the changes."""
    facts = dict.fromkeys(challenge.Result.__dataclass_fields__)
    facts |= dict(
        model="efficient", dataset="mnist", scored_on="test", seed=0, device="cpu", parameters=8706, train_seconds=1.0,
        images_seen=60_000, train_images=60_000, test_images=10_000, test_accuracy=0.98, each_once=True,
        violations=[], config=dataclasses.asdict(challenge.Config()),
    )  # fmt: skip
    return challenge.Result(**{**facts, **changes})


class TestTheTrainedModel:
    def test_has_fewer_than_25_000_parameters(self, trained):
        model = challenge.build_model(MODEL)
        assert trained.result["parameters"] == sum(p.numel() for p in model.parameters()) < 25_000

    def test_reaches_95_percent_of_the_whole_test_set(self, trained):
        assert trained.result["test_images"] == 10_000
        assert trained.result["scored_on"] == "test"
        assert trained.result["test_accuracy"] >= 0.95

    def test_saw_each_training_image_exactly_once(self, trained):
        assert trained.result["images_seen"] == trained.result["train_images"] == 60_000
        assert trained.result["each_once"]

    def test_passes_and_says_so_everywhere(self, trained):
        assert trained.status == 0
        assert trained.result["passed"] and trained.result["limits"] == dict.fromkeys(
            ("parameters", "accuracy", "one_epoch"), True
        )
        assert trained.result["checkpoint"] == str(trained.checkpoint)
        assert json.loads(trained.checkpoint.with_suffix(".json").read_text()) == trained.result

    def test_is_not_suspiciously_perfect(self, trained):
        assert trained.result["test_accuracy"] < 0.999, "no network of this size does that: what was it trained on?"

    def test_gives_its_recorded_accuracy_from_the_checkpoint_in_a_new_process(self, trained, data):
        code = (
            "import sys, mnist_efficient_model as m\n"
            "model, checkpoint = m.load_checkpoint(sys.argv[1])\n"
            "accuracy = m.evaluate(model, m.load_dataset(sys.argv[2]).test).accuracy\n"
            "print(repr(accuracy), repr(checkpoint['result']['test_accuracy']))"
        )
        command = [sys.executable, "-c", code, trained.checkpoint, data.name]
        done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parent, check=True)
        again, recorded = map(float, done.stdout.split())
        assert again == recorded == trained.result["test_accuracy"]

    def test_says_plainly_on_which_data_it_was_trained(self, trained, data):
        assert trained.result["dataset"] == data.name
        assert ("NOT for MNIST" in (trained.result["note"] or "")) == (data.name != "mnist")

    @pytest.mark.skipif(MODEL != "efficient", reason="the compact CNN's own figure")
    def test_reaches_98_2_percent_on_mnist(self, mnist, trained):
        assert trained.result["test_accuracy"] >= 0.982

    def test_leaves_no_temporary_file_behind(self, trained):
        assert {path.suffix for path in trained.results_dir.iterdir()} <= {".pth", ".json"}


class TestTheEfficientModel:
    def test_has_8_706_parameters(self):
        assert challenge.count_parameters(challenge.build_model("efficient")) == 8_706

    def test_has_no_bias_that_batchnorm_would_subtract(self):
        convolutions = [m for m in challenge.build_model("efficient").modules() if isinstance(m, torch.nn.Conv2d)]
        assert len(convolutions) == 3 and all(layer.bias is None for layer in convolutions)


class TestLimits:
    @pytest.mark.parametrize(
        "parameters, holds", [(24_999, True), (25_000, False), (25_001, False), (1, True), (0, True)]
    )
    def test_parameters_must_be_fewer_than_the_limit(self, parameters, holds):
        broken = challenge.violations(a_result(parameters=parameters), LIMITS)
        assert ("parameters" not in broken) == holds

    @pytest.mark.parametrize(
        "accuracy, holds",
        [(0.9499, False), (0.94999999, False), (0.95, True), (0.9501, True), (float("nan"), False), (None, False)],
    )
    def test_accuracy_must_reach_the_limit(self, accuracy, holds):
        broken = challenge.violations(a_result(test_accuracy=accuracy), LIMITS)
        assert ("accuracy" not in broken) == holds

    @pytest.mark.parametrize(
        "seen, each_once, holds",
        [
            (60_000, True, True),
            (59_999, False, False),
            (60_001, False, False),
            (60_000, False, False),
            (0, False, False),
        ],
    )
    def test_the_epoch_must_be_exactly_one(self, seen, each_once, holds):
        broken = challenge.violations(a_result(images_seen=seen, each_once=each_once), LIMITS)
        assert ("one_epoch" not in broken) == holds

    def test_a_broken_limit_says_by_how_much(self):
        broken = challenge.violations(a_result(parameters=25_100, test_accuracy=0.9321), LIMITS)
        assert "101 too many" in broken["parameters"]
        assert "93.21 %" in broken["accuracy"] and "1.79 points short" in broken["accuracy"]

    def test_an_accuracy_just_short_is_never_shown_as_reached(self):
        assert challenge.percent(0.94999) == "94.99 %"
        assert challenge.percent(0.95) == "95.00 %"

    def test_a_model_that_broke_a_limit_is_not_saved(self, tmp_path):
        model, result = challenge.build_model("efficient"), a_result(passed=False, violations=["too bad"])
        with pytest.raises(ValueError, match="too bad"):
            challenge.save_checkpoint(tmp_path / "bad.pth", model, result, LIMITS)
        assert not list(tmp_path.iterdir())


class TestTheEpoch:
    @pytest.mark.parametrize("n, batch_size", [(50, 8), (48, 8), (7, 7), (5, 4), (1, 1)])
    def test_delivers_each_index_once_with_its_own_label(self, n, batch_size):
        split = a_split(n)
        config = challenge.Config(batch_size=batch_size, rotation=0, translation=0)
        batches = list(challenge.epoch_batches(split, config, torch.Generator().manual_seed(0)))
        indices = torch.cat([batch[0] for batch in batches])
        assert indices.sort().values.tolist() == list(range(n))
        assert torch.equal(torch.cat([batch[2] for batch in batches]), split.labels[indices])
        assert torch.equal(torch.cat([batch[1] for batch in batches]), challenge.to_input(split.images[indices]))
        assert max(len(batch[0]) for batch in batches) <= batch_size

    def test_order_and_warps_follow_the_seed(self):
        def epoch(seed):
            return list(challenge.epoch_batches(a_split(), challenge.Config(), torch.Generator().manual_seed(seed)))

        for (_, images, _), (_, again, _) in zip(epoch(1), epoch(1), strict=True):
            assert torch.equal(images, again)
        assert not torch.equal(epoch(1)[0][0], epoch(2)[0][0])

    @pytest.mark.parametrize("fault", ["twice", "missing", "repeated"])
    def test_anything_but_one_epoch_is_counted_and_breaks_the_limit(self, fault):
        model, config = challenge.build_model("efficient"), challenge.Config(batch_size=10)
        batches = list(challenge.epoch_batches(a_split(50), config, torch.Generator()))
        if fault == "repeated":
            batches[-1] = batches[0]
        faulty = {"twice": batches * 2, "missing": batches[:-1]}.get(fault, batches)
        epoch = challenge.train_one_epoch(model, faulty, config, 50)
        result = a_result(images_seen=epoch.images_seen, each_once=epoch.each_once, train_images=50)
        assert "one_epoch" in challenge.violations(result, LIMITS)
        assert epoch.images_seen == sum(len(labels) for _, _, labels in faulty)

    def test_a_loss_that_is_not_a_number_ends_it_and_names_the_step(self):
        data = challenge.Dataset("toy", a_split(200), a_split(20), "test")
        result, _ = challenge.run("efficient", data, challenge.Config(batch_size=10, lr=1e30))
        assert result.diverged_at and result.test_accuracy is None and not result.passed
        assert f"step {result.diverged_at}" in result.violations[0]

    def test_the_same_seed_gives_the_same_weights_and_another_seed_others(self):
        data = challenge.Dataset("toy", a_split(200), a_split(20), "test")
        first, again, other = (
            challenge.run("efficient", data, challenge.Config(batch_size=32), seed)[1].state_dict()
            for seed in (3, 3, 4)
        )
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not all(torch.equal(first[key], other[key]) for key in first)

    def test_leaves_the_global_random_state_alone(self):
        before = torch.random.get_rng_state()
        data = challenge.Dataset("toy", a_split(20), a_split(20), "test")
        challenge.run("efficient", data, challenge.Config(batch_size=10))
        assert torch.equal(before, torch.random.get_rng_state())


class TestAugmentation:
    def test_of_zero_strength_is_the_identity(self):
        split = a_split(20)
        still = challenge.Config(rotation=0, translation=0)
        affine = challenge.random_affine(20, still, torch.Generator().manual_seed(0))
        warped = challenge.augment(split.images, affine)
        torch.testing.assert_close(warped, split.images.float(), atol=0.01, rtol=0)  # of 255

    def test_of_a_batch_equals_that_of_each_image_alone(self):
        images = a_split(16).images
        affine = challenge.random_affine(16, challenge.Config(), torch.Generator().manual_seed(0))
        alone = [challenge.augment(images[i : i + 1], affine[i : i + 1]) for i in range(16)]
        torch.testing.assert_close(challenge.augment(images, affine), torch.cat(alone), atol=0.01, rtol=0)

    def test_agrees_with_pytorchs_own_affine_grid(self):
        images = a_split(16).images
        affine = challenge.random_affine(16, challenge.Config(), torch.Generator().manual_seed(0))
        grid = F.affine_grid(affine, [16, 1, 28, 28], align_corners=False)
        expected = F.grid_sample(images.float().unsqueeze(1), grid, align_corners=False).squeeze(1)
        torch.testing.assert_close(challenge.augment(images, affine), expected, atol=0.01, rtol=0)

    def test_shifts_by_whole_pixels_exactly_and_brings_in_black(self):
        images = a_split(4).images
        right = torch.tensor([[[1.0, 0, -2 * 3 / 28], [0, 1, 0]]]).expand(4, 2, 3)  # sample 3 pixels to the left
        shifted = challenge.augment(images, right)
        torch.testing.assert_close(shifted[:, :, 3:], images[:, :, :-3].float(), atol=0.01, rtol=0)
        assert shifted[:, :, :3].abs().max() < 0.01

    def test_stays_within_its_bounds_uses_them_and_fades(self):
        n = 20_000
        affine = challenge.random_affine(n, challenge.Config(fade=0), torch.Generator().manual_seed(0))
        degrees = torch.rad2deg(torch.atan2(affine[:, 1, 0], affine[:, 0, 0]))
        shifts = affine[:, :, 2] / 2
        assert 9.9 < degrees.abs().max() <= 10.001 and abs(degrees.mean()) < 0.2
        assert 0.099 < shifts.abs().max() <= 0.1001 and shifts.mean(0).abs().max() < 0.002
        faded = challenge.random_affine(n, challenge.Config(fade=0.5), torch.Generator().manual_seed(0))
        assert torch.equal(faded[: n // 2], affine[: n // 2])
        assert faded[-100:, :, 2].abs().max() < 0.002

    def test_gives_each_image_its_own_warp(self):
        affine = challenge.random_affine(1000, challenge.Config(fade=0), torch.Generator().manual_seed(0))
        assert len(affine.unique(dim=0)) == 1000


def test_importing_the_script_runs_nothing():
    code = (
        "import random, numpy, torch, sys\n"
        "before = torch.random.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tobytes()\n"
        "threads = torch.get_num_threads()\n"
        "import mnist_efficient_model\n"
        "after = torch.random.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tobytes()\n"
        "assert torch.equal(before[0], after[0]) and before[1:] == after[1:] and threads == torch.get_num_threads()\n"
        "assert 'matplotlib' not in sys.modules and 'torchvision' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
