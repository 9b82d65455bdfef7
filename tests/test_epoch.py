"""The epoch is what its seed and its recipe say: warps of the images, order, weights, and an end if it diverges."""

import torch
import torch.nn.functional as F

import mnist_efficient_model as challenge
from helpers import easy_split

IMAGES = easy_split(16).images
DATA = challenge.Dataset("toy", easy_split(200), easy_split(20), "test")


def affine(n: int, seed: int = 0, **settings) -> torch.Tensor:
    return challenge.random_affine(n, challenge.Config(**settings), torch.Generator().manual_seed(seed))


def close(warped: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(warped, expected, atol=0.01, rtol=0)  # of 255


class TestAugmentation:
    def test_of_zero_strength_is_the_identity(self):
        close(challenge.augment(IMAGES, affine(16, rotation=0, translation=0)), IMAGES.float())

    def test_agrees_with_pytorchs_own_affine_grid(self):
        grid = F.affine_grid(affine(16), [16, 1, 28, 28], align_corners=False)
        expected = F.grid_sample(IMAGES.float().unsqueeze(1), grid, align_corners=False).squeeze(1)
        close(challenge.augment(IMAGES, affine(16)), expected)

    def test_shifts_by_whole_pixels_exactly_and_brings_in_black(self):
        right = torch.tensor([[[1.0, 0, -2 * 3 / 28], [0, 1, 0]]]).expand(16, 2, 3)  # sample 3 pixels to the left
        shifted = challenge.augment(IMAGES, right)
        close(shifted[:, :, 3:], IMAGES[:, :, :-3].float())
        assert shifted[:, :, :3].abs().max() < 0.01

    def test_stays_within_its_bounds_uses_them_and_fades(self):
        n, warps = 20_000, affine(20_000, fade=0)
        degrees, shifts = torch.rad2deg(torch.atan2(warps[:, 1, 0], warps[:, 0, 0])), warps[:, :, 2] / 2
        assert 9.9 < degrees.abs().max() <= 10.001 and abs(degrees.mean()) < 0.2
        assert 0.099 < shifts.abs().max() <= 0.1001 and shifts.mean(0).abs().max() < 0.002
        faded = affine(n, fade=0.5)
        assert len(warps[:1000].unique(dim=0)) == 1000, "each image has its own"
        assert torch.equal(faded[: n // 2], warps[: n // 2]) and faded[-100:, :, 2].abs().max() < 0.002


class TestTheSeed:
    def test_settles_order_and_warps(self):
        def epoch(seed):
            batches = challenge.epoch_batches(easy_split(50), challenge.Config(), torch.Generator().manual_seed(seed))
            return next(batches)

        assert all(map(torch.equal, epoch(1), epoch(1)))
        assert not torch.equal(epoch(1)[0], epoch(2)[0])

    def test_settles_the_weights_and_leaves_the_global_random_state_alone(self):
        before, config = torch.random.get_rng_state(), challenge.Config(batch_size=32)
        first, again, other = (challenge.run("efficient", DATA, config, seed)[1].state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not all(torch.equal(first[key], other[key]) for key in first)
        assert torch.equal(before, torch.random.get_rng_state())
