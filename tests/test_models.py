"""Every registered model keeps the contract of a model; what it costs is counted as an independent count says."""

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

import mnist_efficient_model as challenge
from helpers import LINEAR, easy_split

IMAGE = torch.zeros(1, 1, 28, 28)


@pytest.fixture(params=list(challenge.MODELS))
def name(request) -> str:
    return request.param


TOY = challenge.Dataset("toy", easy_split(40), easy_split(20), "test")


class TestEveryModel:
    def test_maps_each_digit_to_ten_logits_whatever_the_others_of_its_batch_are(self, name):
        model, images = challenge.build_model(name).eval(), torch.randn(5, 1, 28, 28)
        with torch.no_grad():
            logits, alone = model(images), torch.cat([model(image[None]) for image in images])
        assert logits.shape == (5, 10) and logits.dtype == torch.float32 and logits.isfinite().all()
        torch.testing.assert_close(logits, alone, atol=1e-4, rtol=1e-3)

    def test_gives_every_parameter_a_finite_gradient(self, name):
        model, batch = challenge.build_model(name), easy_split(32)
        loss = nn.functional.cross_entropy(model(challenge.to_input(batch.images)), batch.labels)
        loss.backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key

    def test_comes_back_from_a_checkpoint_as_it_was(self, name, tmp_path):
        result, model = challenge.run(name, TOY, challenge.recipe(name, batch_size=20))
        result.passed = True  # the limits are another test's matter
        challenge.save_checkpoint(tmp_path / "it.pth", model, result, challenge.Limits())
        again, saved = challenge.load_checkpoint(tmp_path / "it.pth")
        assert saved["model"] == name
        assert torch.equal(challenge.predict(model, TOY.test.images), challenge.predict(again, TOY.test.images))

    def test_says_what_the_idea_is_in_one_sentence_and_keeps_the_rule_of_augmentation(self, name):
        assert 20 < len(challenge.MODELS[name].idea) <= 118
        config = challenge.recipe(name)
        assert (config.rotation, config.translation) == (10.0, 0.1)


def test_these_are_under_the_parameter_limit():
    small = "efficient accurate tiny tiny_learned fast lightweight lightweight_no_attention lightweight_conv"
    for name in f"{small} lightweight_experts mlp_small cnn_small rnn_small csnn".split():
        assert challenge.count_parameters(challenge.build_model(name)) < 25_000, name


def test_tiny_counts_every_learned_value_and_learns_no_edge():
    result, model = challenge.run("tiny", TOY)
    assert (result.parameters, result.buffers) == (258, 8 * 5 * 5)  # the edge filters
    edges = [value for key, value in model.state_dict().items() if key.endswith("edges")]
    assert edges and all(torch.equal(value, challenge.SharedConvolution(8).edges) for value in edges)
    result, _ = challenge.run("tiny_learned", TOY)
    assert (result.parameters, result.buffers) == (298, 0), "no number that is not learned"


@pytest.mark.parametrize("name", "efficient accurate tiny".split())
def test_a_digit_that_is_moved_is_not_cut_off(name):
    """All but the outermost pixels reach the answer."""
    model, image = challenge.build_model(name).eval(), torch.randn(1, 1, 28, 28, requires_grad=True)
    model(image).square().sum().backward()
    pixels = image.grad[0, 0].abs()
    assert min(edge.max() for edge in (pixels[1], pixels[-2], pixels[:, 1], pixels[:, -2])) > 0


def test_halve_averages_two_by_two_pixels():
    images = torch.randn(3, 2, 20, 12)
    torch.testing.assert_close(challenge.Halve()(images), nn.functional.avg_pool2d(images, 2))


@pytest.mark.parametrize("change", [{"rotation": 5.0}, {"translation": 0.0}, {"fade": 0.5, "rotation": 20.0}])
def test_registering_with_another_augmentation_is_refused(change):
    with pytest.raises(ValueError, match="rotation and translation are the same for every registered model"):
        challenge.register(**change)


class TestMuon:
    @pytest.mark.parametrize("shape", [(24, 216), (216, 24), (8, 8)])
    def test_makes_all_singular_values_about_one_and_keeps_the_vectors(self, shape):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        inner = u.T @ challenge.Muon([], None, 0.0).orthogonal(matrix) @ v.T
        torch.testing.assert_close(inner, inner.diagonal().diag(), atol=1e-4, rtol=0)
        assert inner.diagonal().min() > 0.6 and inner.diagonal().max() < 1.25

    def test_steps_all_parameters_those_that_mix_channels_by_equal_lengths(self):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3, bias=False), nn.Conv2d(6, 6, 3, groups=6))
        before = [p.detach().clone() for p in model.parameters()]
        optimizer = challenge.Muon(model.parameters(), None, 0.0)
        optimizer.lr = 0.1
        (1e-3 * model(torch.randn(5, 1, 9, 9))).square().sum().backward()  # a gradient of any size
        optimizer.step()
        moved = [p.detach() - old for p, old in zip(model.parameters(), before, strict=True)]
        assert all(step.abs().max() > 0 for step in moved)
        assert torch.linalg.svdvals(moved[2].flatten(1)) == pytest.approx(0.1, rel=0.4)
        optimizer.zero_grad()
        assert all(p.grad is None for p in model.parameters())


def test_edge_filters_see_a_slope_in_their_own_direction_and_nothing_in_a_flat_image():
    filters = challenge.SharedConvolution(8).edges
    rightwards = torch.arange(5.0).expand(1, 1, 5, 5)
    answers = nn.functional.conv2d(rightwards, filters).flatten()
    assert answers.argmax() == 0 and answers[0] > 0
    torch.testing.assert_close(answers[4], -answers[0])
    torch.testing.assert_close(filters.sum((1, 2, 3)), torch.zeros(8), atol=1e-6, rtol=0)


def test_attention_of_lightweight_is_over_more_than_one_token():
    lengths = []
    model = challenge.build_model("lightweight").eval()
    for module in model.modules():
        if isinstance(module, challenge.SelfAttention):
            module.register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].shape[1]))
    model(IMAGE)
    assert lengths and min(lengths) > 1


def test_single_weight_neurons_cost_two_parameters_and_never_mix_features():
    layer = challenge.Neurons(7)
    assert challenge.count_parameters(layer) == 14
    jacobian = torch.autograd.functional.jacobian(layer, torch.randn(7))
    assert torch.equal(jacobian, jacobian.diagonal().diag())


class TestCounting:
    def test_counts_frozen_parameters_and_a_shared_one_once(self):
        shared = nn.Linear(10, 10)
        shared.weight.requires_grad_(False)
        assert challenge.count_parameters(nn.Sequential(shared, shared)) == 110

    def test_counts_float_buffers_but_not_batchnorms_statistics(self):
        def build():
            model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(784, 10))
            model.register_buffer("table", torch.zeros(30))
            model.register_buffer("indices", torch.zeros(9, dtype=torch.long))
            return model

        assert challenge.run(build, TOY)[0].buffers == 30

    def test_macs_are_those_of_the_arithmetic(self):
        assert challenge.count_macs(challenge.build_model("mlp"), IMAGE) == 784 * 512 + 512 * 10
        convolutions = 24**2 * 9 * 8 + 12**2 * 9 * 8 * 16 + 4**2 * 9 * 16 * 32
        assert challenge.count_macs(challenge.build_model("efficient"), IMAGE) == convolutions + 32 * 64 + 64 * 10

    LAYERS = {  # noqa: RUF012
        "transposed": nn.ConvTranspose2d(1, 8, 3, stride=2, padding=1, output_padding=1),
        "grouped": nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3, stride=2, groups=4, dilation=2, padding=1)),
        "grouped transposed": nn.Sequential(nn.Conv2d(1, 8, 3), nn.ConvTranspose2d(8, 16, 3, groups=4)),
        "conv1d": nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 4, 5, stride=3)),
        "conv3d": nn.Sequential(nn.Unflatten(1, (1, 1)), nn.Conv3d(1, 4, (1, 3, 3))),
        "same": nn.Conv2d(1, 8, 5, padding="same"),
        "bilinear": nn.Sequential(nn.Flatten(2), nn.Linear(784, 10)),
    }

    @pytest.mark.parametrize("what", [*challenge.MODELS, *LAYERS])
    def test_macs_are_half_of_pytorchs_own_count_of_flops(self, what):
        model = self.LAYERS[what] if what in self.LAYERS else challenge.build_model(what)
        ops = torch.ops.aten
        others = {ops.addcmul: lambda *_, out_shape, **__: 2 * math.prod(out_shape)}
        others[ops._scaled_dot_product_flash_attention_for_cpu] = lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)
        with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=others) as counter:
            model.eval()(IMAGE)
        assert challenge.count_macs(model, IMAGE) == counter.get_total_flops() // 2 > 0

    def test_macs_of_an_lstm_are_those_of_its_two_matrices_at_every_step(self):
        lstm = challenge.RowReader(nn.LSTM(28, 64, batch_first=True))
        assert challenge.count_macs(lstm, IMAGE) == 28 * (28 + 64) * 4 * 64 + 64 * 10


@pytest.mark.parametrize("right, n, low, high", [(9500, 10_000, 0.94555, 0.95410), (0, 10, 0.0, 0.27753)])
def test_wilsons_interval_agrees_with_published_values(right, n, low, high):
    assert challenge.wilson_interval(right / n, n) == pytest.approx((low, high), abs=2e-5)


class TestAnybodysFile:
    def build(self, tmp_path, text: str, suffix: str = "") -> nn.Module:
        (tmp_path / "model.py").write_text(text)
        return challenge.build_model(f"{tmp_path / 'model.py'}{suffix}")

    def test_gives_the_class_that_reads_digits_or_what_its_build_model_builds(self, tmp_path):
        block = "class Block(nn.Module):\n    def forward(self, x):\n        return x\n"
        assert type(self.build(tmp_path, LINEAR + block)).__name__ == "Net"
        (tmp_path / "beside").mkdir()
        (tmp_path / "beside" / "my_blocks.py").write_text("WIDTH = 784\n")
        text = "from my_blocks import WIDTH\ndef build_model():\n    return nn.Sequential(nn.Flatten(), "
        model = self.build(tmp_path / "beside", f"{LINEAR}{text}nn.Linear(WIDTH, 10))\n")
        assert isinstance(model, nn.Sequential)

    def test_with_two_models_lists_those_that_fit(self, tmp_path):
        part = "class Part(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
        two = LINEAR + part + LINEAR.replace("Net", "Other")
        with pytest.raises(challenge.ChallengeError, match=r"name one, as in model.py:NAME; it has Net, Other$"):
            self.build(tmp_path, two)
        assert type(self.build(tmp_path, two, ":Other")).__name__ == "Other"

    def test_is_executed_once_trained_judged_and_saved_under_its_own_name(self, command, places, tmp_path):
        log = f"open({str(tmp_path / 'log')!r}, 'a').write('x')\n"
        for student in ("ada", "bob"):
            (tmp_path / student).mkdir()
            (tmp_path / student / "model.py").write_text(LINEAR + log)
            assert command("--model", tmp_path / student / "model.py", "--quiet", *places)[0] == 0
        assert (tmp_path / "log").read_text() == "xx"
        first, _ = sorted((tmp_path / "results").glob("*model-fashion.pth"))
        model, saved = challenge.load_checkpoint(first, model_file=str(tmp_path / "ada" / "model.py"))
        assert saved["result"]["passed"] and type(model).__name__ == "Net"

    def test_is_trained_by_its_own_recipe(self, tmp_path):
        model = tmp_path / "model.py"
        model.write_text(LINEAR + "RECIPE = {'lr': 0.003, 'batch_size': 50}\n")
        config = challenge.recipe(str(model))
        assert (config.lr, config.batch_size, config.optimizer) == (0.003, 50, "adamw")
        assert challenge.recipe(str(model), batch_size=7).batch_size == 7, "the command line wins"
        other = tmp_path / "other.py"
        other.write_text(LINEAR + "RECIPE = {'optimizer': 'sgd'}\n")
        assert challenge.recipe(str(other)).lr is None, "a rate does not outlive its optimizer"
        assert challenge.recipe("accurate").lr and challenge.recipe("accurate", optimizer="sgd").lr is None

    @pytest.mark.parametrize(
        "value, words",
        [
            ("3", "must be a dictionary"),
            ("{'epochs': 5}", "'batch_size', 'lr'.*'epochs'"),
            ("{'lr': -1}", "RECIPE: lr '-1': it must be a number from 1e-12"),
            ("{7: 8}", "must be a dictionary"),
        ],
    )
    def test_with_a_recipe_that_may_not_be_is_refused_naming_the_setting(self, tmp_path, value, words):
        (tmp_path / "model.py").write_text(LINEAR + f"RECIPE = {value}\n")
        with pytest.raises(challenge.ChallengeError, match=words) as caught:
            challenge.recipe(str(tmp_path / "model.py"))
        assert caught.value.status == 3


class TestFromPython:
    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(784, 10))

    def test_a_class_or_a_builder_runs_as_a_name_does(self):
        for model, name in ((self.Net, "Net"), (lambda: self.Net(), "<lambda>"), ("mlp_small", "mlp_small")):
            result, network = challenge.run(model, TOY)
            assert result.model == name and result.images_seen == 40 and isinstance(network, nn.Module)

    def test_cudnn_stays_switched_on_and_deterministic(self):
        seen = []

        class Looks(self.Net):
            def forward(self, x):
                cudnn = torch.backends.cudnn
                seen.append((cudnn.enabled, cudnn.deterministic, cudnn.benchmark))
                return super().forward(x)

        challenge.run(Looks, TOY)
        assert set(seen) == {(True, True, False)}
