"""A model as data for layers.js: its layers in a row, each with its kind, its title, its options and its weights."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge
from mnist_efficient_model import MODEL_ERROR, ChallengeError
from pages import brief

Layer = dict[str, Any]
Writer = Callable[[Any, Tensor], Layer]  # of a module, and of an example of its input, (1, ...)


@torch.no_grad()
def layers(module: nn.Module, x: Tensor) -> list[Layer]:
    """The layers through which an example x (1, ...) passes in a module in eval mode.

    Raises ChallengeError (status 3) with the first one that has no JavaScript, or an option that has none.
    """
    kind = type(module)  # exactly, since a subclass may compute anything
    if kind in REWRITTEN:
        return layers(REWRITTEN[kind](module, x), x)
    if kind is not nn.Sequential:
        require(module, kind in WRITERS or kind in NO_OPERATION, "the page takes known layers in a row")
        return [WRITERS[kind](module, x)] if kind in WRITERS else []
    found = []
    for child in module:
        found += layers(child, x)
        x = child(x)
    return found


def require(module: nn.Module, holds: bool, reason: str) -> None:
    """Raise ChallengeError unless layers.js computes what a module does."""
    if not holds:
        name = brief(" ".join(repr(module).split()), 100)
        raise ChallengeError(f"--html: {name} cannot be written as JavaScript: {reason}", MODEL_ERROR)


def require_options(module: nn.Module, **options: Any) -> None:
    for name, value in options.items():
        require(module, getattr(module, name) == value, f"{name} must be {value!r}")


def base64_of(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def tensor(values: Tensor | None) -> Any:
    """A tensor in JSON: its shape, and its values as little-endian float32 in base64."""
    if values is None:
        return None
    return {"shape": list(values.shape), "base64": base64_of(values.detach().cpu().numpy().astype("<f4"))}


def pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def convolution(conv: nn.Conv2d, x: Tensor) -> Layer:
    require_options(conv, padding_mode="zeros", dilation=(1, 1))
    require(conv, not isinstance(conv.padding, str), "padding must be a number of pixels")
    depthwise = "depthwise " if 1 < conv.groups == conv.in_channels else ""
    title = f"{conv.kernel_size[0]}×{conv.kernel_size[1]} {depthwise}convolution"
    options = {"stride": conv.stride, "padding": conv.padding, "groups": conv.groups}
    return {"kind": "convolution", "title": title, "kernel": tensor(conv.weight), "bias": tensor(conv.bias), **options}


def pad(module: nn.ZeroPad2d, x: Tensor) -> Layer:
    title = "crop" if max(module.padding) <= 0 else "zero padding"  # negative padding crops
    return {"kind": "pad", "title": title, "sides": module.padding}


def resize(module: nn.Upsample, x: Tensor) -> Layer:
    # With a scale factor PyTorch places the pixel centres by that factor, not by the two sizes.
    require_options(module, mode="bilinear", align_corners=None, scale_factor=None)
    return {"kind": "resize", "title": "resize", "size": pair(module.size)}


def pool(module: nn.MaxPool2d | nn.AvgPool2d, x: Tensor) -> Layer:
    require_options(module, padding=0, ceil_mode=False)
    kind, size = "max" if type(module) is nn.MaxPool2d else "average", pair(module.kernel_size)
    require_options(module, **({"dilation": 1} if kind == "max" else {"divisor_override": None}))
    title = f"global {kind}" if size == list(x.shape[2:]) else f"{size[0]}×{size[1]} {kind} pooling"
    return {"kind": f"{kind}Pool", "title": title, "size": size, "stride": pair(module.stride)}


def batch_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Layer:
    """One factor and one shift for each channel."""
    require(norm, norm.running_mean is not None, "it keeps no running statistics")
    factor = (1 if norm.weight is None else norm.weight.double()) / (norm.running_var.double() + norm.eps).sqrt()
    shift = (0 if norm.bias is None else norm.bias.double()) - norm.running_mean.double() * factor
    return {"kind": "scale", "title": "BatchNorm", "factor": tensor(factor), "shift": tensor(shift)}


def linear(module: nn.Linear, x: Tensor) -> Layer:
    require(module, x.ndim == 2, "its input must be flat")
    return {"kind": "linear", "title": "linear", "weight": tensor(module.weight), "bias": tensor(module.bias)}


def neurons(module: challenge.Neurons, x: Tensor) -> Layer:
    require(module, module.weight.shape == x.shape[1:], "each input must have a weight of its own")
    weight, bias = tensor(module.weight), tensor(module.bias)
    return {"kind": "neurons", "title": "single-weight neurons", "weight": weight, "bias": bias}


def mixture(module: challenge.Mixture, x: Tensor) -> Layer:
    experts = [layers(expert, x) for expert in module.experts]
    return {"kind": "mixture", "title": "mixture of experts", "router": layers(module.router, x), "experts": experts}


WRITERS: dict[type[nn.Module], Writer] = {
    nn.Conv2d: convolution,
    nn.ZeroPad2d: pad,
    nn.Upsample: resize,
    nn.MaxPool2d: pool,
    nn.AvgPool2d: pool,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.Linear: linear,
    nn.Flatten: lambda module, x: (
        require_options(module, start_dim=1, end_dim=-1) or {"kind": "flatten", "title": "flatten"}
    ),
    nn.ReLU: lambda _, x: {"kind": "relu", "title": "ReLU"},
    nn.SiLU: lambda _, x: {"kind": "silu", "title": "SiLU"},
    challenge.Neurons: neurons,
    challenge.ClassSums: lambda module, x: (
        require_options(module, channels=1) or {"kind": "classSums", "title": "class sums"}
    ),
    challenge.Residual: lambda module, x: {
        "kind": "residual", "title": "residual block", "layers": layers(nn.Sequential(*module), x)
    },
    challenge.SpatialAttention: lambda module, x: {
        "kind": "attention", "title": "spatial attention", "gate": layers(module.gate, x[:, :2])
    },
    challenge.Mixture: mixture,
}  # fmt: skip
NO_OPERATION = (challenge.ChannelsLast, nn.Identity, nn.Dropout, nn.Dropout2d)  # in eval mode


def shared_convolution(module: challenge.SharedConvolution, x: Tensor) -> nn.Module:
    """Its layers in a row, where the shared ones stand several times."""

    def filters(kernel: Tensor, padding: int, groups: int) -> nn.Conv2d:
        conv = nn.Conv2d(groups * kernel.shape[1], len(kernel), kernel.shape[2:], padding=padding, groups=groups)
        conv.weight, conv.bias = nn.Parameter(kernel), None
        return conv

    stem, at_14, to_7, to_3 = module.norms
    edges = module.spatial.weight if module.edges is None else module.edges
    separable = [module.spatial, module.mix]
    stage_28 = [filters(edges, edges.shape[-1] // 2, 1), stem, nn.MaxPool2d(2), nn.SiLU()]
    stage_14 = [*separable, at_14, nn.SiLU(), *separable, nn.AvgPool2d(2), to_7, nn.SiLU()]
    stage_7 = [*separable, nn.AvgPool2d(2), to_3, nn.SiLU(), filters(module.spatial.weight, 0, module.spatial.groups)]
    return nn.Sequential(*stage_28, *stage_14, *stage_7, module.last_norm, nn.Flatten(), module.head)


REWRITTEN: dict[type[nn.Module], Callable[[Any, Tensor], nn.Module]] = {  # as modules that compute the same
    nn.AdaptiveAvgPool2d: lambda module, x: require_options(module, output_size=1) or nn.AvgPool2d(tuple(x.shape[2:])),
    challenge.Halve: lambda module, x: nn.AvgPool2d(2),
    challenge.SharedConvolution: shared_convolution,
}
