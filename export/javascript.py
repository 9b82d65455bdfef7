"""A model as JavaScript: one line for each layer, which calls a function of layers.js.

WRITERS lists the layers that can be written; any other one is refused by its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge
from mnist_efficient_model import MODEL_ERROR, SIDE, ChallengeError

Shape = tuple[int, ...]


class Unsupported(Exception):
    """A layer, or an option of it, that has no JavaScript; the message says why."""


def literal(value: Any) -> str:
    """A JavaScript literal that can stand inside a <script> element."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


@torch.no_grad()
def layer_shapes(model: nn.Module) -> dict[nn.Module, tuple[Shape, Shape]]:
    """The input and output shapes of every module in the forward pass of one image, without the batch dimension."""
    shapes: dict[nn.Module, tuple[Shape, Shape]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[module] = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        model.eval()(torch.zeros(1, 1, SIDE, SIDE))
    finally:
        for handle in handles:
            handle.remove()
    return shapes


@dataclass
class Generator:
    """Generates the JavaScript of a model's layers and collects the weights that it refers to."""

    shapes: dict[nn.Module, tuple[Shape, Shape]]  # see layer_shapes
    weights: dict[str, Tensor] = field(default_factory=dict)

    def weight(self, key: str, tensor: Tensor | None) -> str:
        """The JavaScript expression for a weight, which is stored under ``key``."""
        if tensor is None:
            return "null"
        self.weights[key] = tensor.detach()
        return f"weights[{literal(key)}]"

    def layers(self, module: nn.Module, path: str = "") -> list[str]:
        """Lines ``["name", x => expression],  // output shape``: one for a layer, all for a Sequential.

        Raises ChallengeError (status 3) naming the first layer that has no JavaScript.
        """
        if type(module) is nn.Sequential:
            return [line for key, child in module._modules.items() for line in self.layers(child, f"{path}.{key}")]
        if type(module) in NO_OPERATION:
            return []
        try:
            if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
                raise Unsupported("hooks and replaced methods are not supported")
            if type(module) not in WRITERS:  # by exact type: a subclass may compute anything
                raise Unsupported("only feed-forward convolutional models made of known layers have a page")
            name, expression = WRITERS[type(module)](self, module, path.lstrip("."))
        except Unsupported as reason:
            where = f"layer {path.lstrip('.')!r} ({type(module).__name__})" if path else type(module).__name__
            raise ChallengeError(f"--html: {where} cannot be written as JavaScript: {reason}", MODEL_ERROR) from None
        shape = " x ".join(map(str, self.shapes[module][1]))
        return [f"[{literal(name)}, x => {expression}],  // {shape}"]

    def nested(self, module: nn.Module, path: str) -> str:
        """A module as a JavaScript list of its layers, for a layer that contains others."""
        return "[\n" + "".join(f"    {line}\n" for line in self.layers(module, path)) + "  ]"


def pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def require(module: nn.Module, **options: Any) -> None:
    """Raise Unsupported unless a layer's options have the values that layers.js implements."""
    for name, value in options.items():
        if getattr(module, name) != value:
            raise Unsupported(f"{name}={getattr(module, name)!r} is not supported")


# Each writer gives a layer's name on the page and its expression in x.


def write_conv(code: Generator, conv: nn.Conv2d, path: str) -> tuple[str, str]:
    require(conv, padding_mode="zeros")
    if isinstance(conv.padding, str):
        raise Unsupported(f"padding={conv.padding!r} is not supported: say it in pixels")
    geometry = literal({key: pair(getattr(conv, key)) for key in ("stride", "padding", "dilation")})
    kernel, bias = code.weight(f"{path}.weight", conv.weight), code.weight(f"{path}.bias", conv.bias)
    height, width = conv.kernel_size
    kind = "depthwise convolution" if 1 < conv.groups == conv.in_channels else "convolution"
    return f"{height}×{width} {kind}", f"conv2d(x, {kernel}, {bias}, {geometry}, {conv.groups})"


def write_pad(code: Generator, pad: nn.ZeroPad2d, path: str) -> tuple[str, str]:
    """Zero padding; negative padding crops."""
    left, right, top, bottom = pad.padding
    title = "crop" if max(pad.padding) <= 0 else "zero padding"
    return title, f"zeroPad2d(x, {literal([top, bottom, left, right])})"


def write_resize(code: Generator, resize: nn.Upsample, path: str) -> tuple[str, str]:
    # With a scale factor PyTorch places the pixel centres by that factor, not by the two sizes.
    require(resize, mode="bilinear", align_corners=None, scale_factor=None)
    size = code.shapes[resize][1][1:]
    return "resize", f"bilinear(x, {literal(size)})"


def write_pool(code: Generator, pool: nn.MaxPool2d | nn.AvgPool2d, path: str) -> tuple[str, str]:
    require(pool, ceil_mode=False)
    name = "max" if isinstance(pool, nn.MaxPool2d) else "average"
    if name == "max":
        require(pool, dilation=1, return_indices=False)
    else:
        require(pool, divisor_override=None, count_include_pad=True)
    size, stride, padding = (literal(pair(getattr(pool, key))) for key in ("kernel_size", "stride", "padding"))
    height, width = pair(pool.kernel_size)
    return f"{height}×{width} {name}-pooling", f"{name}Pool2d(x, {size}, {stride}, {padding})"


def write_global_average(code: Generator, pool: nn.AdaptiveAvgPool2d, path: str) -> tuple[str, str]:
    if pair(pool.output_size) != [1, 1]:
        raise Unsupported(f"output_size={pool.output_size!r}: only 1 is supported")
    return "global average", "globalAverage(x)"


def write_batchnorm(code: Generator, norm: nn.BatchNorm1d | nn.BatchNorm2d, path: str) -> tuple[str, str]:
    if norm.running_mean is None:
        raise Unsupported("it keeps no running statistics")
    weight = norm.weight if norm.affine else torch.ones_like(norm.running_mean)
    bias = norm.bias if norm.affine else torch.zeros_like(norm.running_mean)
    scale = weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = bias.double() - norm.running_mean.double() * scale
    return "BatchNorm", f"scaleShift(x, {code.weight(f'{path}.scale', scale)}, {code.weight(f'{path}.shift', shift)})"


def write_linear(code: Generator, linear: nn.Linear, path: str) -> tuple[str, str]:
    if len(code.shapes[linear][0]) != 1:
        raise Unsupported("its input is not flat")
    bias = code.weight(f"{path}.bias", linear.bias)
    return "linear", f"linear(x, {code.weight(f'{path}.weight', linear.weight)}, {bias})"


def write_flatten(code: Generator, flatten: nn.Flatten, path: str) -> tuple[str, str]:
    require(flatten, start_dim=1, end_dim=-1)
    return "flatten", "flatten(x)"


def write_neurons(code: Generator, neurons: challenge.Neurons, path: str) -> tuple[str, str]:
    if neurons.weight.shape != code.shapes[neurons][0]:
        raise Unsupported("its weights are fewer than its inputs")
    weight, bias = (code.weight(f"{path}.{key}", getattr(neurons, key)) for key in ("weight", "bias"))
    return "single-weight neurons", f"neurons(x, {weight}, {bias})"


def write_class_sums(code: Generator, sums: challenge.ClassSums, path: str) -> tuple[str, str]:
    require(sums, channels=1)
    return "class sums", f"classSums(x, {challenge.CLASSES})"


def write_residual(code: Generator, residual: challenge.Residual, path: str) -> tuple[str, str]:
    if getattr(next(residual.children(), None), "inplace", False):
        raise Unsupported("its first layer has inplace=True, which changes the input that is added")
    inner = nn.Sequential(*residual._modules.values())
    return "residual block", f"add(x, run({code.nested(inner, path)}, x))"


def write_attention(code: Generator, attention: challenge.SpatialAttention, path: str) -> tuple[str, str]:
    return "spatial attention", f"spatialAttention(x, {code.nested(attention.gate, f'{path}.gate')})"


def write_mixture(code: Generator, mixture: challenge.Mixture, path: str) -> tuple[str, str]:
    experts = [code.nested(expert, f"{path}.experts.{i}") for i, expert in enumerate(mixture.experts)]
    router = code.nested(mixture.router, f"{path}.router")
    return "mixture of experts", f"mixture(x, {router}, [{', '.join(experts)}])"


def write_each(
    title: str, formula: Callable[[Any], str], code: Generator, module: nn.Module, path: str
) -> tuple[str, str]:
    return title, f"each(x, v => {formula(module)})"


def gelu(module: nn.GELU) -> str:
    if module.approximate == "none":
        return "v * (1 + erf(v / Math.SQRT2)) / 2"
    return "v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))) / 2"


NO_OPERATION = (challenge.ChannelsLast, nn.Identity, nn.Dropout, nn.Dropout2d)  # in eval mode
ELEMENTWISE: dict[type[nn.Module], tuple[str, Callable[[Any], str]]] = {  # a name, and the function of v
    nn.ReLU: ("ReLU", lambda _: "Math.max(v, 0)"),
    nn.ReLU6: ("ReLU6", lambda _: "Math.min(Math.max(v, 0), 6)"),
    nn.LeakyReLU: ("leaky ReLU", lambda m: f"v > 0 ? v : {literal(m.negative_slope)} * v"),
    nn.ELU: ("ELU", lambda m: f"v > 0 ? v : {literal(m.alpha)} * (Math.exp(v) - 1)"),
    nn.GELU: ("GELU", gelu),
    nn.SiLU: ("SiLU", lambda _: "v / (1 + Math.exp(-v))"),
    nn.Hardswish: ("hard swish", lambda _: "v * Math.min(Math.max(v + 3, 0), 6) / 6"),
    nn.Sigmoid: ("sigmoid", lambda _: "1 / (1 + Math.exp(-v))"),
    nn.Tanh: ("tanh", lambda _: "Math.tanh(v)"),
}
WRITERS: dict[type[nn.Module], Callable[[Generator, Any, str], tuple[str, str]]] = {
    nn.ZeroPad2d: write_pad,
    nn.Upsample: write_resize,
    nn.Conv2d: write_conv,
    nn.MaxPool2d: write_pool,
    nn.AvgPool2d: write_pool,
    nn.AdaptiveAvgPool2d: write_global_average,
    nn.BatchNorm1d: write_batchnorm,
    nn.BatchNorm2d: write_batchnorm,
    nn.Linear: write_linear,
    nn.Flatten: write_flatten,
    challenge.Neurons: write_neurons,
    challenge.ClassSums: write_class_sums,
    challenge.Residual: write_residual,
    challenge.SpatialAttention: write_attention,
    challenge.Mixture: write_mixture,
    **{kind: partial(write_each, *how) for kind, how in ELEMENTWISE.items()},
}
