"""python -m export.robustness: each disturbance does what its name says, and the table is what the checkpoints give."""

from __future__ import annotations

import pytest
import torch
from conftest import easy_digits

import mnist_efficient_model as challenge
from export import robustness


def digits(n: int = 40) -> torch.Tensor:
    """Images with a dark border of six pixels, so that nothing is lost where they move."""
    images = torch.from_numpy(easy_digits(n, 0)[0])
    framed = torch.zeros_like(images)
    framed[:, 6:22, 6:22] = images[:, 6:22, 6:22]
    return framed


def ink(images: torch.Tensor) -> float:
    return images.double().sum().item()


class TestDisturbances:
    @pytest.mark.parametrize("pixels", (1, 4))
    def test_a_shift_moves_whole_pixels_in_four_directions(self, pixels):
        moves = [(0, pixels), (0, -pixels), (pixels, 0), (-pixels, 0)]
        for found, by in zip(robustness.shifted(digits(), pixels), moves, strict=True):
            torch.testing.assert_close(found, digits().float().roll(by, (1, 2)), atol=0.05, rtol=0)

    def test_a_quarter_turn_to_the_left_and_right_is_that_of_rot90(self):
        left, right = robustness.rotated(digits(), 90)
        expected = [digits().float().rot90(k, (1, 2)) for k in (1, -1)]
        found = sorted((left, right), key=lambda x: (x - expected[0]).abs().sum().item())
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=0.05, rtol=0)

    def test_a_scale_changes_the_area_of_the_ink_by_its_square(self):
        block = torch.zeros(1, 28, 28, dtype=torch.uint8)
        block[:, 4:24, 4:24] = 255
        for factor in (0.7, 1.1):
            assert ink(robustness.scaled(block, factor)[0]) / ink(block) == pytest.approx(factor**2, rel=0.04)

    def test_lines_get_a_pixel_thicker_and_thinner(self):
        line = torch.zeros(1, 28, 28, dtype=torch.uint8)
        line[:, :, 12:16] = 255
        middle = line.new_zeros(()).float() + 255
        assert ink(robustness.thickened(line)[0][:, 14]) == pytest.approx(5 * middle.item(), rel=0.1)
        assert ink(robustness.thickened(line, thinner=True)[0][:, 14]) == pytest.approx(3 * middle.item(), rel=0.1)

    def test_noise_has_its_size_and_is_the_same_for_every_model(self):
        grey = torch.full((50, 28, 28), 128, dtype=torch.uint8)
        (once,), (again,) = robustness.noisy(grey, 0.1), robustness.noisy(grey, 0.1)
        assert torch.equal(once, again)
        assert (once - 128).std().item() == pytest.approx(25.5, rel=0.02)
        assert (robustness.salted(grey, 0.05)[0] == 255).float().mean().item() == pytest.approx(0.05, abs=0.005)

    @pytest.mark.parametrize("name", robustness.DISTURBANCES)
    def test_every_one_gives_images_of_the_same_shape_and_range(self, name):
        for variant in robustness.DISTURBANCES[name](digits()):
            assert variant.shape == (40, 28, 28) and variant.min() >= 0 and variant.max() <= 255.01


class TestCommand:
    @pytest.fixture
    def data(self, monkeypatch) -> challenge.Dataset:
        def split(n: int, seed: int) -> challenge.Split:
            images, labels = easy_digits(n, seed)
            return challenge.Split(torch.from_numpy(images), torch.from_numpy(labels).long())

        data = challenge.Dataset("strokes", split(2000, 0), split(200, 1), "test")
        monkeypatch.setattr(challenge, "load_dataset", lambda *_, **__: data)
        return data

    def test_the_seeds_of_a_model_share_a_column_which_is_their_mean(self, data, tmp_path, capsys):
        undisturbed = []
        for name, seed in (("mlp_small", 0), ("mlp_small", 1), ("efficient", 0)):
            result, model = challenge.run(name, data, challenge.recipe(name, batch_size=50), seed=seed)
            challenge.save_checkpoint(tmp_path / f"{name}{seed}.pth", model, result, challenge.Limits())
            undisturbed.append(100 * result.test_accuracy)
        assert (
            robustness.main([str(path) for path in sorted(tmp_path.glob("mlp*"))] + [f"{tmp_path}/efficient0.pth"]) == 0
        )
        head, _, first, *lines = capsys.readouterr().out.splitlines()
        assert head == "| test images | mlp_small (n=2) | efficient (n=1) |"
        assert first == f"| none | {(undisturbed[0] + undisturbed[1]) / 2:.1f} | {undisturbed[2]:.1f} |"
        assert len(lines) == len(robustness.DISTURBANCES) - 1

    def test_a_file_that_is_no_checkpoint_is_told_in_one_line(self, tmp_path, capsys):
        (tmp_path / "it.pth").write_bytes(b"no")
        assert robustness.main([str(tmp_path / "it.pth")]) in (3, 4)
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1 and "it.pth" in said.err
