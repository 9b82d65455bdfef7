"""A model as a graph: what can become one, that it computes the same, what it is charged for, and hostile bytes."""

from __future__ import annotations

import functools
import json
import math
import random
import re
import secrets
import time
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mnist_efficient_model as challenge
from grading import graph, operators, wire
from grading.graph import Count, GraphModel, Refused
from grading.sandbox.build import NotAGraph, export


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def to_graph(model: nn.Module, *sizes: int) -> GraphModel:
    return GraphModel(graph.read(export(model, sizes or (32, 8))))


def count(model: nn.Module, *sizes: int) -> Count:
    return graph.read(export(model, sizes or (32, 8))).count()


def formula_numbers(model: nn.Module) -> int:
    """As after a training, which moves all weights, for two batches of noise."""
    copied = to_graph(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    return graph.formula_numbers(copied, torch.randn(32, 1, 28, 28), torch.randn(32, 1, 28, 28))


def network(forward: Callable[[Any, Tensor], Tensor], **members: Any) -> nn.Module:
    """A model with a linear layer ``fc``, these members, and this forward."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(784, 10)
            for name, member in members.items():
                if isinstance(member, Tensor) and not isinstance(member, nn.Parameter):
                    self.register_buffer(name, member)
                else:
                    setattr(self, name, member)

    code = forward.__code__.replace(co_name="forward")  # by that name PyTorch knows which lines are a model's
    Net.forward = FunctionType(code, forward.__globals__, "forward", forward.__defaults__, forward.__closure__)
    return Net()


def digits(n: int, seed: int = 0) -> challenge.Split:
    generator = torch.Generator().manual_seed(seed)
    return challenge.Split(
        torch.randint(0, 256, (n, 28, 28), generator=generator, dtype=torch.uint8),
        torch.randint(0, 10, (n,), generator=generator),
    )


# --- The graph is the model -------------------------------------------------------------------------------------------

BIT_EQUAL = ["efficient", "lightweight_experts", "resnet", "rnn_small"]


@pytest.mark.parametrize("name", BIT_EQUAL)
def test_a_registered_model_trains_to_the_same_weights_as_its_graph(name):
    model, split, config = challenge.build_model(name), digits(200), challenge.recipe(name, batch_size=48)
    copied = to_graph(model, 48, 8)
    for each in (model, copied):
        batches = challenge.epoch_batches(split, config, torch.Generator().manual_seed(3))
        challenge.train_one_epoch(each, batches, config, len(split.labels))
    mine = {key: tensor for key, tensor in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    theirs = {spec.name: tensor for spec, tensor in zip(copied.program.tensors, copied.tensors(), strict=True)}
    assert [key for key, tensor in mine.items() if not torch.equal(tensor, theirs[key])] == []
    logits = [challenge.predict(each, split.images, 64) for each in (model, copied)]
    assert torch.equal(*logits)


def test_every_registered_model_that_does_not_spike_becomes_a_graph_of_its_own_size():
    others = [name for name in challenge.MODELS if name not in BIT_EQUAL and "snn" not in name]
    for name in others:
        model = challenge.build_model(name)
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        running = {id(b) for m in norms for b in m.buffers(recurse=False)}
        buffers = sum(b.numel() for b in model.buffers() if b.is_floating_point() and id(b) not in running)
        assert count(model) == Count(challenge.count_parameters(model), buffers), name


def test_dropout_draws_the_same_numbers_as_the_code():
    model = network(lambda self, x: self.fc(self.drop(x).flatten(1)), drop=nn.Dropout2d(0.5))
    copied, images = to_graph(model), torch.randn(8, 1, 28, 28)
    outputs = []
    for each in (model, copied):
        torch.manual_seed(5)
        outputs.append(each.train()(images))
    assert torch.equal(*outputs)


def test_a_layout_of_channels_last_is_kept():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )
    model = model.to(memory_format=torch.channels_last)
    strides = [p.stride() for p in model.parameters()]
    assert [p.stride() for p in to_graph(model).parameters()] == strides


def test_frozen_and_tied_parameters_stay_so():
    def forward(self, x):
        return self.head(self.again(self.fc(x.flatten(1))))

    tied = nn.Linear(10, 10)
    tied.bias.requires_grad_(False)
    model = network(forward, again=tied, head=nn.Linear(10, 10))
    model.head.weight = tied.weight
    copied = to_graph(model)
    assert copied.program.count() == Count(7850 + 110 + 10, 0)
    assert [p.requires_grad for p in copied.parameters()] == [p.requires_grad for p in model.parameters()]


# --- What can become a graph, though the tracer would not take it as it is --------------------------------------------


def writes_to_a_buffer(self, x):
    if self.training:
        with torch.no_grad():
            self.mean.mul_(0.9).add_(x.mean((0, 1)), alpha=0.1)
    return self.fc((x - self.mean).flatten(1))


ODD = {
    "uses the length": lambda self, x: self.fc(x.reshape(len(x), -1)),
    "divides by an item": lambda self, x: self.fc(x.flatten(1) / x.abs().max().item()),
    "divides by the batch": lambda self, x: self.fc(x.flatten(1)) / (x.shape[0] // 2 + 1),
    "branches on training": lambda self, x: self.fc(x.flatten(1)) * (2 if self.training else 1),
    "checkpoints": lambda self, x: torch.utils.checkpoint.checkpoint(self.fc, x.flatten(1), use_reentrant=False),
    "uses an infinity": lambda self, x: self.fc(x.flatten(1).masked_fill(x.flatten(1) > 2, -math.inf).exp()),
    "writes to a buffer": writes_to_a_buffer,
}


@pytest.mark.parametrize("forward", ODD.values(), ids=ODD)
def test_an_odd_model_trains_like_its_code(forward):
    model, split = network(forward, mean=torch.zeros(28, 28)), digits(40)
    copied, config = to_graph(model, 16, 8, 1), challenge.Config(batch_size=16)
    for each in (model, copied):
        batches = challenge.epoch_batches(split, config, torch.Generator().manual_seed(3))
        challenge.train_one_epoch(each, batches, config, 40)
    for n in (16, 8, 1):
        logits = [challenge.predict(each, split.images[:n]) for each in (model, copied)]
        assert torch.equal(*logits), n


def test_exporting_leaves_the_model_as_it_was():
    model = network(lambda self, x: self.fc(self.norm(x).flatten(1)), norm=nn.BatchNorm2d(1))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    export(model, (8, 1))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_memory_that_was_used_before_is_not_shown():
    header, numbers = parts(small())
    for g in header[GRAPH]:
        g[NODES].append(["aten.empty.memory_format", [[1000]], [], None])
        g[OUTPUT] = len(g[INPUTS]) + len(g[NODES])
    copied = GraphModel(graph.read(joined(header, numbers))).eval()
    for _ in range(5):
        torch.full((1000,), 7.0)  # freed at once, so that the next tensor of this size gets its memory
        assert not copied(torch.zeros(8, 1, 28, 28)).any()


def test_a_model_whose_train_takes_other_arguments_becomes_a_graph():
    model = network(lambda self, x: self.fc(self.drop(x).flatten(1)), drop=nn.Dropout(0.5))
    type(model).train = lambda self, epochs, optimizer: None
    copied, images = to_graph(model), torch.randn(8, 1, 28, 28)
    assert torch.equal(copied.eval()(images), copied.eval()(images))
    assert not torch.equal(copied.train()(images), copied.train()(images))


def test_a_hook_that_only_looks_is_left_out():
    model = network(lambda self, x: self.fc(x.flatten(1)))
    model.fc.register_full_backward_hook(lambda module, inputs, outputs: None)
    assert count(model) == Count(7850, 0)


# --- What cannot, and what its author reads ---------------------------------------------------------------------------


def averages_its_weights(self, x):
    with torch.no_grad():
        self.mean.mul_(0.9).add_(self.fc.weight, alpha=0.1)
    return F.linear(x.flatten(1), self.mean) + self.fc(x.flatten(1))


def reads_labels_through_gradients(self, x):
    labels = self.seen[: x.shape[0]].argmax(1)  # of the last batch: a gradient is least where the label is
    with torch.no_grad():
        self.seen.zero_()
    return self.fc(x.flatten(1)) + self.seen[: x.shape[0]] + 0 * labels.sum()


def counts_its_calls(self, x):
    self.calls = getattr(self, "calls", 0) + 1
    return self.fc(x.flatten(1)) * self.calls


def in_mixed_precision(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.fc(x.flatten(1)).float()


NO_GRAPH = {
    lambda self, x: self.fc(x.flatten(1)) * (2 if x.mean().item() > 0 else 1): "depends on numbers in a tensor",
    lambda self, x: self.fc(torch.from_numpy(abs(x.detach().numpy())).flatten(1)): ".numpy() is not supported",
    counts_its_calls: "something in Python changes between calls",
    in_mixed_precision: "autocast",
    averages_its_weights: "it copies parameters to a buffer, as a moving average",
    reads_labels_through_gradients: "it writes to a parameter, as clipping",
    lambda self, x: torch.stack([self.fc(each.flatten()) for each in x]): "depends on the number of images",
    lambda self, x: self.fc(x.flatten(1)) + (1 if len(x) == 1 else 0): "a single image is another case in it",
    lambda self, x: self.fc(torch.as_strided(x, (x.shape[0], 784), (784, 1))): "aten.as_strided.default is none",
}


@pytest.mark.parametrize(("forward", "reason"), NO_GRAPH.items())
def test_what_cannot_become_a_graph_says_why_in_one_line_and_where(forward, reason):
    with pytest.raises(NotAGraph) as caught:
        export(network(forward, mean=torch.zeros(10, 784), seen=nn.Parameter(torch.zeros(16, 10))), (16, 8, 1))
    found, first = str(caught.value), forward.__code__.co_firstlineno
    assert reason in found and "\n" not in found and len(found) < 400
    if reason not in ("autocast", "depends on the number of images") and "code: " not in found:
        assert any(f"(test_graph.py, line {n}" in found for n in range(first, first + 6)), found


SOURCES = {
    "Python's random": lambda: random.random,
    "numpy's random": lambda: np.random.rand,
    "a random.Random": lambda: random.Random().random,
    "a default_rng": lambda: np.random.default_rng().random,
    "a RandomState": lambda: np.random.RandomState().rand,
    "a new random.Random": lambda: lambda: random.Random().random(),
    "a new default_rng": lambda: lambda: np.random.default_rng().random(),
    "secrets": lambda: lambda: secrets.randbelow(10) / 10,
}


@pytest.mark.parametrize("kept", SOURCES.values(), ids=SOURCES)
def test_a_layer_that_python_may_drop_is_noticed_also_where_it_never_does(kept):
    draw = kept()
    with pytest.raises(NotAGraph, match="random numbers by Python's random or numpy"):
        export(network(lambda self, x: self.fc(x.flatten(1)) * (draw() < 1)), (16,))


def test_hooks_that_change_gradients_make_no_graph():
    for hooked in (
        lambda fc: fc.register_full_backward_hook(lambda module, inputs, outputs: (2 * inputs[0],)),
        lambda fc: fc.weight.register_hook(lambda gradient: gradient * 2),
    ):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.Linear(20, 10))
        hooked(model[2])
        with pytest.raises(NotAGraph, match="hook changes them"):
            export(model, (16,))


# --- What it is charged for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "numbers"),
    [
        (torch.zeros(100), 100), (torch.zeros(1).expand(100), 100), (torch.zeros(100, dtype=torch.float64), 200),
        (torch.zeros(100, dtype=torch.int64), 200), (torch.zeros(100, dtype=torch.int8), 100),
        (torch.zeros(100, dtype=torch.bool), 100), (torch.zeros(100, dtype=torch.float16), 100),
    ],
)  # fmt: skip
def test_buffers_of_every_type_are_charged_64_bits_as_two(extra, numbers):
    assert count(network(lambda self, x: self.fc(x.flatten(1) + self.extra[0]), extra=extra)) == Count(7850, numbers)


def test_only_batchnorms_own_statistics_are_free_and_they_start_afresh():
    def forward(self, x):
        return self.fc(self.norm(x.flatten(1)))

    model = network(forward, norm=nn.BatchNorm1d(784))
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_()
    copied = to_graph(model)
    assert copied.program.count() == Count(7850 + 2 * 784, 0)
    free = {spec.name: t for spec, t in zip(copied.program.tensors, copied.tensors(), strict=True)}
    assert not free["norm.running_mean"].any() and (free["norm.running_var"] == 1).all()


def stores_batches(self, x):
    """A memory of what goes through it: where the code reads it, what it normalises only looks like images."""
    return self.fc(x.flatten(1)) + normed(self, x if self.training else 0 * x, training=self.training)


def normed(self, x, **named):
    return self.fc(F.batch_norm(x.flatten(1), self.norm.running_mean, self.norm.running_var, **named))


@pytest.mark.parametrize(
    ("forward", "numbers"),
    [
        (lambda self, x: self.fc(self.norm(x.flatten(1))) + self.norm.running_mean.sum(), 784),
        (lambda self, x: normed(self, x), 1568),
        (lambda self, x: normed(self, x, training=not self.training), 1568),
        (lambda self, x: self.fc(x.flatten(1)) + normed(self, x.new_zeros(2, 784)).mean(), 1568),
        (stores_batches, 0),
    ],
    ids=["read", "never updated", "updated in testing only", "normalise nothing of the images", "store batches"],
)
def test_statistics_that_could_carry_numbers_are_charged(forward, numbers):
    assert count(network(forward, norm=nn.BatchNorm1d(784, affine=False))) == Count(7850, numbers)


@pytest.mark.parametrize("forward", [stores_batches, lambda self, x: self.fc(self.norm(x.flatten(1)))])
def test_statistics_are_free_up_to_the_number_of_trained_parameters(forward):
    model = network(forward, norm=nn.BatchNorm1d(784, affine=False))
    model.fc.weight.requires_grad_(False)
    assert count(model) == Count(7850, 1568 - 10)


def with_literals(numbers: int, same: bool) -> bytes:
    header, tensors = parts(small())
    for g in header[GRAPH]:
        for _ in range(numbers):
            literal = 0.5 if same else random.gauss(0, 1)
            g[NODES].append(["aten.mul.Tensor", [{"value": len(g[INPUTS]) + len(g[NODES])}, literal], [], None])
        g[OUTPUT] = len(g[INPUTS]) + len(g[NODES])
    return joined(header, tensors)


def test_numbers_hidden_in_literals_are_charged_and_many_are_refused():
    plain = graph.read(with_literals(0, same=True)).count()
    assert graph.read(with_literals(300, same=True)).count() == plain
    assert graph.read(with_literals(100, same=False)).count().buffers > plain.buffers + 500
    with pytest.raises(Refused, match="bytes, where 2,000 are the most"):
        graph.read(with_literals(500, same=False))


ONES = {  # a row of 784 ones that a formula can start from
    "constants": lambda self, x: torch.ones(784),
    "zeros_like": lambda self, x: torch.zeros_like(x[0].flatten()) + 1,
    "x * 0": lambda self, x: x[0].flatten() * 0 + 1,
    "x - x": lambda self, x: (x - x)[0].flatten().exp(),
    "x == x": lambda self, x: (x == x)[0].flatten().float(),
    "detached images": lambda self, x: x[0].flatten().detach() * 0 + 1,
    "detached weights": lambda self, x: self.fc.weight[0].detach() * 0 + 1,
    "weights": lambda self, x: self.fc.weight[0] * 0 + 1,
    "a buffer": lambda self, x: self.one.expand(784),
}


@pytest.mark.parametrize("ones", ONES.values(), ids=ONES)
def test_weights_from_a_formula_are_counted_whatever_they_were_computed_from(ones):
    def sines(self, x):
        places = ones(self, x).cumsum(0)
        return self.fc(x.flatten(1)) + x.flatten(1) @ torch.outer(places, places[:10]).mul(12.9898).sin()

    stored = torch.ones(1)
    assert formula_numbers(network(sines, one=stored)) in (7840 - graph.GRIDS, 7840 - graph.GRIDS - len(stored))


def hashed(self, x):
    places = torch.arange(7840).mul(2654435761).remainder(784).view(784, 10)
    return x.flatten(1) @ self.fc.weight[0][places]


def written_over(self, x):
    weights = sines().view(784, 10)
    weights[0, 0] = x.mean()
    return self.fc(x.flatten(1)) + x.flatten(1) @ weights


def beside_no_numbers(self, x):
    pairs = torch.stack([sines().abs(), -sines().abs()], 1).sqrt()  # a number, and none
    return self.fc(x.flatten(1)) + (x.flatten(1) @ pairs.view(784, 20))[:, ::2]


def starts_from_zeros(self, x):
    state = x.new_zeros(x.shape[0], 784)
    for row in x.squeeze(1).unbind(1)[:3]:
        state = (state + row.repeat(1, 28)).tanh()
    return self.fc(state)


def sines():
    return torch.arange(7840.0).mul(12.9898).sin()


@pytest.mark.parametrize(
    ("forward", "numbers"),
    [
        (lambda self, x: self.fc(x.flatten(1)) + x.flatten(1) @ (sines().view(784, 10) + x.mean()), 7840),
        (written_over, 7841),
        (beside_no_numbers, 15_680),
        (lambda self, x: self.fc(x.flatten(1)[:, sines().mul(392).add(392).long()].view(-1, 10, 784).amax(1)), 7840),
        (lambda self, x: self.fc(x.flatten(1) + torch.linspace(0, 1, 784).sin()), 784),
        (lambda self, x: self.fc(x.flatten(1)) + (x.flatten(1) @ self.basis.view(784, 4)).sum(1, keepdim=True), 0),
        (hashed, 0),
        (starts_from_zeros, 0),
    ],
    ids="beside_images written_over beside_no_numbers places a_grid fixed_filters shared_weights a_first_state".split(),
)
def test_a_formula_is_neither_a_first_state_nor_what_is_counted_already_and_grids_are_free(forward, numbers):
    assert formula_numbers(network(forward, basis=torch.randn(3136))) == max(0, numbers - graph.GRIDS)


def test_a_node_that_names_many_tensors_is_read_in_linear_time():
    header, tensors = parts(small())
    node = ["aten.cat.default", [[{"value": 0}] * 20_000], [], None]
    for g in header[GRAPH]:
        g[NODES] += [node] * 5
    start = time.process_time()
    graph.read(joined(header, tensors)).count()
    assert time.process_time() - start < 10


# --- Every operator of the list ---------------------------------------------------------------------------------------

# Of x (N, 1, 28, 28), s (N, 28, 28), v (N, 784), i (N, 5) whole numbers 0-9, b (N, 28, 28) bools, and the parameters
# m (6, 6) and p (28,); N is 6. w(*shape) is a constant, layer(...) a layer with its own parameters.
EXPRESSIONS = """
F.conv1d(s, w(8, 28, 3)); F.conv2d(x, w(4, 1, 3, 3), padding="same"); F.conv_transpose2d(x, w(1, 2, 3, 3))
F.linear(v, w(5, 784)); F.embedding(i, w(10, 4)); F.scaled_dot_product_attention(s, s, s); x * x.numel()
nn.LSTM(28, 4, batch_first=True)(s)[0]; nn.GRU(28, 4, batch_first=True)(s)[0]
nn.RNN(28, 4, batch_first=True)(s)[0]; nn.RNN(28, 4, nonlinearity="relu", batch_first=True)(s)[0]
nn.MultiheadAttention(28, 4)(s, s, s)[0]

F.max_pool1d(s, 2); F.max_pool2d(x, 2); F.avg_pool2d(x, 2); F.adaptive_avg_pool1d(s, 2)
F.adaptive_avg_pool2d(x, 2); F.adaptive_max_pool2d(x, 2)
nn.BatchNorm2d(1)(x); nn.InstanceNorm2d(1)(x); nn.LayerNorm(28)(s); nn.GroupNorm(4, 28)(s); nn.RMSNorm(28)(s)
torch._weight_norm(m, m[:, :1], 0); F.interpolate(x, 5); F.interpolate(x, 5, mode="bilinear")
F.grid_sample(x, F.affine_grid(w(1, 2, 3).expand(len(x), 2, 3), (x.shape[0], 1, 9, 9)))
F.pixel_unshuffle(x, 2); F.channel_shuffle(x.reshape(-1, 4, 14, 14), 2); F.unfold(x, 3); F.pad(x, (1, 1))
torch.cdist(s, s + 1)

x.relu(); F.relu6(x); F.leaky_relu(x); F.prelu(x, w(1)); F.elu(x); F.selu(x); F.gelu(x); F.silu(x); F.mish(x)
x.sigmoid(); F.hardsigmoid(x); F.hardtanh(x); F.hardswish(x); F.softplus(x); F.glu(s); x.softmax(-1)
x.log_softmax(-1); x.logsumexp(-1); x.tanh(); F.dropout(x); F.dropout2d(x); F.alpha_dropout(x)
torch.bernoulli(x.sigmoid()); torch.rand(5) + p[:5]; torch.randn(5) + p[:5]; torch.rand_like(x); torch.randn_like(x)
torch.empty_like(x).normal_(); torch.empty_like(x).uniform_()

x + x; x - x; 1 - x; x * x; x / 3; x // 3; x % 2; x ** 2; x.square(); (x * x).sqrt(); (x * x + 1).rsqrt()
(x * x + 1).reciprocal(); -x; x.abs(); x.sign(); x.exp(); (x * x + 1).log(); x.sin(); x.cos(); x.erf(); x.floor()
x.round(); x.clamp(-1, 1); x.clamp_min(0); x.clamp_max(0); torch.minimum(x, p); torch.maximum(x, p)
torch.addcmul(x, x, x); (x * 1).mul_(2).sub_(1).div_(2).relu_(); torch.mm(m, m); torch.bmm(s, s); v @ v.T; m.mv(m[0])
torch.outer(p, p); torch.addmm(m, m, m); torch.einsum("nij,njk->nik", s, s)

x == 0; x != 0; x < 0; x <= 0; x > 0; x >= 0; torch.logical_and(x, b[:, None]); torch.logical_not(b)
~i; torch.where(b, s, 0); x.sum(-1); x.mean(); (x * 0 + 1).prod(); x.var(); x.std(-1); x.amax(-1); x.amin(-1)
x.max(-1)[0]; x.min(-1)[0]; x.argmax(1); x.argmin(-1); x.cumsum(-1); v.topk(3)[0]; v.sort()[0]
torch.linalg.vector_norm(v)

v.view(-1, 28, 28); x.reshape(-1); x.view_as(s[:, None]); x.flatten(1); v.unflatten(1, (28, 28)); x.squeeze(1)
x.unsqueeze(0); x.permute(0, 2, 3, 1); s.transpose(1, 2); m.t(); m.T; s.mT; x.movedim(1, 3)
x.expand(-1, 3, 28, 28); p.expand_as(x); x.repeat(1, 2, 1, 1); v.repeat_interleave(2, 1); torch.cat([x, x])
torch.stack([x, x]); x.split(14, -1)[0]; torch.split_with_sizes(x, [14, 14], -1)[0]; x.chunk(2, -1)[0]
s.transpose(0, 1).unbind()[0]; x[:, 0]; x.narrow(-1, 0, 5); x[..., ::2]; x.flip(-1); x.roll(1, -1)
torch.meshgrid(p, p, indexing="ij")[0]; v.unfold(1, 4, 4); s.diagonal(dim1=1, dim2=2); s.tril(); s.triu()

x.contiguous(); x.clone(); x.detach(); torch.ops.aten.alias(x); torch.tensor([0.5]) * x; v[:, i[0]]
v.index_select(1, i[0]); v.gather(1, i); v.scatter(1, i, 0.5); v.index_put((i[:, 0] % 2,), p[0])
s.masked_fill(b, 0); F.one_hot(i, 10); torch.zeros(3) + p[:3]; torch.ones(3) + p[:3]; torch.full((3,), 2.0) + p[:3]
torch.empty(3).fill_(1) + p[:3]; torch.eye(28) @ p; torch.arange(28) * p; torch.linspace(0, 1, 28) * p
torch.zeros_like(x); torch.ones_like(x); torch.full_like(x, 2); torch.empty_like(x).zero_(); x.new_zeros(3)
x.new_ones(3); x.new_full((3,), 1.0); x.new_empty(3).fill_(2); torch.scalar_tensor(2.0) * p; (x * 1).copy_(p)
x.to(torch.float64); x.half().float(); x.type_as(i); torch.ops.aten._to_copy(x); x / x.detach().max().item()
torch.zeros(x.shape[0] * 2 + 1)
"""


class Calculator(nn.Module):
    """Computes some expressions of its images; each becomes one column of the result."""

    def __init__(self, expressions: list[str]) -> None:
        super().__init__()
        self.codes = [compile(each, each, "eval") for each in expressions]
        self.m, self.p = nn.Parameter(torch.randn(6, 6) + 4 * torch.eye(6)), nn.Parameter(torch.rand(28) + 0.1)
        self.layers = nn.ModuleDict()

    def layer(self, name: str, *arguments: Any, **named: Any) -> nn.Module:
        key = f"{name} {arguments} {named}".replace(".", ",")
        if key not in self.layers:
            self.layers[key] = getattr(nn, name)(*arguments, **named).train(self.training)
        return self.layers[key]

    def forward(self, x: Tensor) -> Tensor:
        s, v = x.squeeze(1), x.flatten(1)
        made = SimpleNamespace(**{name: lambda *a, _n=name, **k: self.layer(_n, *a, **k) for name in dir(nn)})
        values = {"x": x, "s": s, "v": v, "i": (v[:, :5].abs() * 3).long() % 10, "b": s > 0, "m": self.m, "p": self.p}
        values.update(torch=torch, F=F, nn=made, w=lambda *shape: torch.full(shape, 0.1))
        columns = []
        for code in self.codes:
            value = eval(code, values)
            columns.append(value.double().mean())
        columns += [torch.zeros((), dtype=torch.float64)] * (6 - len(columns))  # as many as there are images
        return torch.stack(columns).float().expand(x.shape[0], -1)


@pytest.mark.parametrize("group", EXPRESSIONS.strip().split("\n\n"), ids=range(7))
def test_operators_in_a_graph_compute_what_they_do_in_code(group):
    model = Calculator(re.split(r"; |\n", group))
    copied = to_graph(model, 6)
    images = torch.randn(6, 1, 28, 28)
    for mode in (True, False):
        outputs = []
        for each in (model, copied):
            torch.manual_seed(2)
            outputs.append(each.train(mode)(images.clone())[0])
        wrong = [code.co_filename for code, a, b in zip(model.codes, *outputs) if a != b and not a.isnan()]  # noqa: B905  # and padding
        assert not wrong


def test_arithmetic_on_sizes_is_bounded():
    for function, numbers in operators.NUMBERS.items():
        assert operators.find(f"math.{function.__name__}").call(*[7, 2][:numbers]) is not None
    with pytest.raises(OverflowError):
        operators.find("math.mul").call(2**62, 2)


@pytest.mark.parametrize(
    "name",
    """aten.as_strided.default aten.set_.source_Tensor aten.resize_.default aten.from_file.default aten.data.default
    aten.requires_grad_.default aten.bernoulli.generator aten.add.out aten.rand.generator
    aten.quantize_per_tensor.default aten.to_sparse.default aten.conv2d.nothing aten.conv2d.__class__ prims.add.default
    os.system math.pow aten._standard_gamma.default aten.multinomial.default
    torchvision.nms.default aten.conv2d""".split(),
)
def test_other_operators_are_not_on_the_list(name):
    found = operators.find(name)
    assert found is None or any(p.kind == "nothing" and p.name == "generator" for p in found.parameters)


# --- Hostile bytes ----------------------------------------------------------------------------------------------------


@functools.cache
def small() -> bytes:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784, affine=False), nn.Linear(784, 1), nn.Linear(1, 10))
    return export(model, (8,))


def parts(raw: bytes) -> tuple[Any, bytes]:
    end = 16 + int.from_bytes(raw[8:16], "little")
    return json.loads(raw[16:end]), raw[end:]


def joined(header: Any, numbers: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    return wire.MAGIC + len(text).to_bytes(8, "little") + text + numbers


def test_bytes_that_are_no_graph_are_refused():
    raw = small()
    header, numbers = parts(raw)
    deep = b"[" * 100_000
    for bad in (b"", b"x", raw[:-1], raw + b"\0", raw[:40], joined(deep, b""), joined(b"\xff\xfe", b""),
                joined(b"[NaN,[]]", b""), joined(b"[[],[]]", b""), joined(b'[[],[{"a":1}]]', b""),
                joined(header, numbers[:-4]), joined(b"9" * 5000, b""), joined([*header, 1], numbers),
                wire.MAGIC + b"\xff" * 8 + raw[16:]):  # fmt: skip
        with pytest.raises(Refused):
            graph.read(bad)
    assert graph.read(joined(header, numbers)).graphs == graph.read(raw).graphs


TENSOR, GRAPH = 0, 1  # places in a header
INPUTS, NODES, OUTPUT = 1, 2, 3  # and in a graph


def change(header: Any, path: tuple[Any, ...], value: Any) -> Any:
    header = json.loads(json.dumps(header))
    inner = header
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return header


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((TENSOR, 0, 0), "optimizer"), ((TENSOR, 0, 1), "a b"), ((TENSOR, 0, 1), ""), ((TENSOR, 0, 1), "\ud800"),
        ((TENSOR, 0, 1), "2.bias"), ((TENSOR, 0, 2), 1), ((TENSOR, 4, 2), True), ((TENSOR, 0, 3), True),
        ((GRAPH, 0, 0), "eval"), ((GRAPH, 0, 0), "?"), ((GRAPH, 0, INPUTS), [0, 0]), ((GRAPH, 0, INPUTS), [99]),
        ((GRAPH, 0, OUTPUT), -1), ((GRAPH, 0, OUTPUT), 10**6),
        ((GRAPH, 0, NODES, 0, 0), "aten.as_strided.default"), ((GRAPH, 0, NODES, 0, 0), "x" * 1000),
        ((GRAPH, 0, NODES, 0, 1), []), ((GRAPH, 0, NODES, 0, 1), [{"value": 10**6}]),
        ((GRAPH, 0, NODES, 0, 1), [{"value": -1}]), ((GRAPH, 0, NODES, 0, 1), [{"value": 0}] * 9),
        ((GRAPH, 0, NODES, 0, 1), ["images"]), ((GRAPH, 0, NODES, 0, 2), [["dtype", 1]]),
        ((GRAPH, 0, NODES, 0, 2), [["self", {"value": 0}]]), ((GRAPH, 0, NODES, 0, 3), 1),
        ((GRAPH, 0, NODES, 0, 1), [{"value": 0}, 2**63]), ((GRAPH, 0, NODES, 0, 1, 0), {"value": 7}),
        ((GRAPH, 0, NODES, 0, 1), [{"value": 0}, {"device": "cuda"}]),
        ((GRAPH, 0, NODES, 0, 1), [{"value": 0}, [[[1]]]]),
        ((GRAPH, 0, NODES, 0, 1), [{"value": 0}, {"dtype": "float32", "device": "cpu"}]),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(path, value):
    header, numbers = parts(small())
    with pytest.raises(Refused):
        graph.read(joined(change(header, path, value), numbers))


ODD_VALUES = [
    None, True, -1, 0, 2**31, 2**63, 10**30, 1e308, "", "aten.add.Tensor", "\ud800", [], [[]], {}, {"value": 3},
    {"value": -2}, {"float": "nan"}, {"dtype": "bool"}, [0] * 300, "x" * 300,
]  # fmt: skip


def mutated(raw: bytes, header: Any, numbers: bytes, draw: random.Random) -> bytes:
    """One of: flipped bits, a cut, a field of the header changed, doubled or left out."""
    kind = draw.randrange(5)
    if kind == 0:
        changed = bytearray(raw)
        for _ in range(draw.randint(1, 8)):
            changed[draw.randrange(len(raw) - len(numbers))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if kind == 1:
        return raw[: draw.randrange(len(raw))]
    header = json.loads(json.dumps(header))
    place: Any = header
    while True:
        index = draw.randrange(len(place))
        if not (isinstance(place[index], list) and place[index]) or draw.random() < 0.1:
            break
        place = place[index]
    if kind == 2:
        place[index] = draw.choice(ODD_VALUES)
    elif kind == 3:
        place.insert(index, place[draw.randrange(len(place))])
    else:
        place[index : index + draw.randint(1, 3)] = []
    return joined(header, numbers)


MUTATED = 1_000


def test_mutated_graphs_neither_crash_nor_hang_the_reader():
    raw = small()
    (header, numbers), draw = parts(raw), random.Random(14)
    accepted, slowest = 0, 0.0
    for _ in range(MUTATED):
        changed = mutated(raw, header, numbers, draw)
        start = time.perf_counter()
        try:
            program = graph.read(changed)
            program.count()
            accepted += 1
        except Refused as error:
            assert 0 < len(str(error)) < 400 and "\n" not in str(error)
        slowest = max(slowest, time.perf_counter() - start)
    assert 0 < accepted < MUTATED / 2  # a changed literal is another model, and a valid one
    assert slowest < 2


def test_a_large_hostile_header_is_refused_in_seconds():
    header, numbers = parts(small())
    node = ["aten.add_.Tensor", [{"value": 1}, 1], [], None]
    start = time.perf_counter()
    for bad in ([header[0], [["train", [], [node] * 60_000, 0]]], [[[]] * 1_000_000, []],
                [header[0], [[mode, [0], [node] * 45_000, 0] for mode in wire.MODES]]):  # fmt: skip
        with pytest.raises(Refused):
            graph.read(joined(bad, numbers))
    assert time.perf_counter() - start < 20
