#!/usr/bin/env python3
"""Out of PyTorch: a passing checkpoint as ONNX, as int8, and as one web page on which the network reads your drawing.

    python export.py results/efficient.pth --onnx efficient.onnx      checked against PyTorch on every test image
    python export.py results/efficient.pth --int8 --compare           quantised; eager, compiled, ONNX and int8 compared
    python export.py results/efficient.pth --html demo.html           the page; page.html is its template

The page's forward pass is plain JavaScript, one line for each layer of the model: WRITERS below is what can be written.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import html
import importlib.util
import json
import logging
import math
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import measures
import mnist_efficient_model as challenge
import report
from mnist_efficient_model import LIMIT_BROKEN, MACHINE_ERROR, MODEL_ERROR, OK, SIDE, ChallengeError, Dataset

EXTRAS = "pip install -r requirements-export.txt"
TOLERANCE = 1e-4  # how far a logit may be from PyTorch's
CALIBRATION = 1000  # training images from which int8 learns the range of every layer
TEMPLATE = Path(__file__).with_name("page.html")


# --- In and out -------------------------------------------------------------------------------------------------------


def load_passing(path: str) -> tuple[nn.Module, dict[str, Any]]:
    """A checkpoint's model and the record of its run (Result as a dictionary).

    Raises ChallengeError: as load_checkpoint does, 1 when the run broke a limit, and 3 when the record is not whole.
    """
    try:
        model, checkpoint = challenge.load_checkpoint(path)
        result = checkpoint["result"]
        missing = [f.name for f in dataclasses.fields(challenge.Result) if f.name not in result]
    except (KeyError, TypeError) as error:
        missing = [str(error)]
    if missing:
        another = f"{path} is not a checkpoint of version {challenge.__version__} (no {', '.join(missing)} in it)"
        raise ChallengeError(f"{another}: train again to make a new one", MODEL_ERROR)
    if not result["passed"]:
        broken = "; ".join(result["violations"])
        raise ChallengeError(f"{path} broke a limit, and only what passes is exported: {broken}", LIMIT_BROKEN)
    return model, result


def load_data_of(result: dict[str, Any], data_dir: str | None) -> Dataset:
    """The dataset that a run was trained and scored on."""
    return challenge.load_dataset(
        result["dataset"], data_dir, test_on=result["scored_on"].removesuffix("test").strip() or None
    )


def check_writable(path: Path) -> None:
    """Raise ChallengeError (status 4) now, not after minutes of work, when ``path`` cannot be written."""
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ChallengeError(f"cannot write {path}: {error.strerror or error}", MACHINE_ERROR) from error


def need(option: str, *packages: str) -> None:
    """Raise ChallengeError (status 4) with the line that installs them unless all ``packages`` are there."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ChallengeError(f"{option} needs {' and '.join(missing)}: {EXTRAS}", MACHINE_ERROR)


# --- ONNX and int8 ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' own chatter off the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def to_onnx(model: nn.Module, result: dict[str, Any]) -> bytes:
    """A model as an ONNX file: ``images`` (batch, 1, 28, 28) normalised float32 -> ``logits`` (batch, 10).

    The file says in its metadata how to normalise and what the model achieved. Raises ChallengeError (status 3) when
    PyTorch cannot export the model.
    """
    import onnx

    try:
        with quiet(), torch.random.fork_rng():
            model = copy.deepcopy(model).eval()
            for parent in model.modules():
                for name, child in parent.named_children():
                    if isinstance(child, challenge.ChannelsLast):  # strides mean nothing in ONNX
                        setattr(parent, name, nn.Identity())
            program = torch.onnx.export(
                model, (torch.zeros(2, 1, SIDE, SIDE),), dynamo=True, verbose=False,
                input_names=["images"], output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},),
            )  # fmt: skip
    except Exception as error:  # whatever a stranger's forward() brings about in the exporter
        reason = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
        raise ChallengeError(f"model {result['model']!r} cannot be exported to ONNX: {reason}", MODEL_ERROR) from error
    proto = program.model_proto
    graph = proto.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info, graph):
        item.ClearField("metadata_props")  # stack traces with the paths of this machine: half of the file
    about = {key: result[key] for key in ("model", "parameters", "dataset", "seed", "scored_on", "test_accuracy")}
    normalise = f"(pixels 0-255 / 255 - {challenge.MEAN}) / {challenge.STD}, white ink on black"
    onnx.helper.set_model_props(proto, {"images": normalise, **{key: str(value) for key, value in about.items()}})
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


class OnnxModel(nn.Module):
    """An ONNX file run by onnxruntime, with a model's face: on as many threads as PyTorch has when it is called."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content
        self.sessions: dict[int, Any] = {}

    def forward(self, images: Tensor) -> Tensor:
        threads = torch.get_num_threads()
        if threads not in self.sessions:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3  # errors
            self.sessions[threads] = onnxruntime.InferenceSession(
                self.content, options, providers=["CPUExecutionProvider"]
            )
        return torch.from_numpy(self.sessions[threads].run(["logits"], {"images": images.numpy()})[0])


def check_same(model: nn.Module, content: bytes, images: Tensor) -> float:
    """The largest difference between an ONNX file's logits and PyTorch's on images (N, 28, 28) uint8.

    Raises ChallengeError (status 3) when it is over TOLERANCE or any image changes its class.
    """
    ours, theirs = challenge.predict(model, images), challenge.predict(OnnxModel(content), images)
    difference = (ours - theirs).abs().max().item()
    moved = int((ours.argmax(1) != theirs.argmax(1)).sum())
    if moved or not difference <= TOLERANCE:
        raise ChallengeError(
            f"the ONNX file does not answer as PyTorch does: {moved:,} of {len(images):,} images change their class, "
            f"logits differ by up to {difference:.1e} (allowed: {TOLERANCE:.0e}); nothing was written",
            MODEL_ERROR,
        )
    return difference


class Batches:
    """Normalised images in batches, in the shape in which onnxruntime's calibration asks for them."""

    def __init__(self, images: Tensor) -> None:
        self.batches = iter(challenge.to_input(images).split(100))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch.numpy()}


def to_int8(content: bytes, images: Tensor) -> bytes:
    """An ONNX file with weights and activations of 8 bits; ``images`` (N, 28, 28) uint8 show the activations' ranges.

    Signed, a scale for each channel, QDQ format: what onnxruntime's guide to quantisation recommends to try first.
    """
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with quiet(), tempfile.TemporaryDirectory() as scratch:
        float_file, ready, done = (str(Path(scratch, name)) for name in ("float.onnx", "ready.onnx", "int8.onnx"))
        Path(float_file).write_bytes(content)
        quant_pre_process(float_file, ready, skip_symbolic_shape=True)
        quantize_static(ready, done, Batches(images), per_channel=True)
        return Path(done).read_bytes()


# --- Comparing --------------------------------------------------------------------------------------------------------


@dataclass
class Format:
    """A model in one form and what it costs there; None: not measured."""

    name: str
    bytes: int | None = None  # of the file
    accuracy: float | None = None
    latency_ms: float | None = None  # batch of one, one thread, median
    latency_p95_ms: float | None = None
    throughput: float | None = None  # images per second at batch 1,000, all threads
    note: str = ""


COLUMNS: list[tuple[str, str, str, Callable[[Any], str]]] = [  # field, header, title of its plot, how to show it
    ("bytes", "bytes", "bytes of the file", "{:,}".format),
    ("accuracy", "acc. %", "test accuracy, %", lambda share: report.percent(share).removesuffix(" %")),
    ("latency_ms", "ms", "ms for one image, one thread, median", "{:.3f}".format),
    ("latency_p95_ms", "ms p95", "ms for one image, one thread, 95th percentile", "{:.3f}".format),
    ("throughput", "images/s", "images per second, batch 1,000", "{:,.0f}".format),
]


def measure(name: str, model: nn.Module, size: int, data: Dataset) -> Format:
    """Score a model on every test image and time it; what cannot run here is blank, with a note that says why."""
    try:
        with quiet():
            accuracy = challenge.evaluate(model, data.test).accuracy
            times = measures.time_forward(model, challenge.to_input(data.test.images[:1000]))
            return Format(name, size, accuracy, *times)
    except Exception as error:  # torch.compile without a compiler, or on a Python or a system it does not know
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Format(name, note=f"{name} does not run here: {first[:160]}")


def format_table(formats: Sequence[Format]) -> str:
    rows = [["", *(header for _, header, _, _ in COLUMNS)]]
    for each in formats:
        values = [(getattr(each, key), show) for key, _, _, show in COLUMNS]
        rows.append([each.name, *("" if value is None else show(value) for value, show in values)])
    return "\n".join([report.aligned(rows), *(f"Note: {each.note}" for each in formats if each.note)])


def format_bars(formats: Sequence[Format], title: str) -> bytes:
    """The table as a PNG: a panel of bars for each column, accuracy as points, since its zero is of no interest."""
    fig, panels = report.figure(13, 1.1 + 0.3 * len(formats), columns=len(COLUMNS))
    names = [each.name for each in formats]
    for axes, (key, _, heading, show) in zip(panels, COLUMNS, strict=True):
        values = [getattr(each, key) for each in formats]
        shown = [math.nan if value is None else value * (100 if key == "accuracy" else 1) for value in values]
        if key == "accuracy":
            axes.plot(shown, names, "o", color=report.COLOURS[0])
            axes.margins(x=0.6, y=0.15)
            axes.grid(axis="x", alpha=0.3)
        else:
            axes.barh(names, shown, color=report.COLOURS[0])
            axes.set_xlim(0, 1.45 * np.nanmax(shown))
        for row, (value, place) in enumerate(zip(values, shown, strict=True)):
            text, place = ("not measured", 0.0) if value is None else (show(value), place)
            if value is not None or key != "accuracy":
                axes.text(place, row, f"  {text}", va="center", fontsize=7.5, color="0.5" if value is None else "black")
        axes.invert_yaxis()
        axes.set_title(heading, fontsize=7.5)
        axes.tick_params(labelsize=7.5)
        axes.locator_params(axis="x", nbins=4)
        if axes is not panels[0]:
            axes.set_yticklabels([])
    fig.suptitle(title, fontsize=9)
    return report.png(fig)


def int8_verdict(before: Format, after: Format) -> str:
    """What quantisation did, in one honest sentence."""
    ratio = after.latency_ms / before.latency_ms
    speed = f"{1 / ratio:.1f} times as fast" if ratio < 1 else f"{ratio:.1f} times as slow"
    points = 100 * (after.accuracy - before.accuracy)
    return (
        f"int8 has {after.bytes / before.bytes:.0%} of the bytes of float32, moves accuracy by {points:+.2f} points "
        f"and is {speed} for one image"
    )


# --- The page: a model as JavaScript ----------------------------------------------------------------------------------


class NotWritable(Exception):
    """A layer that cannot be written as JavaScript; the message says why."""


@dataclass
class Writer:
    """Writes a model's layers as JavaScript, keeping the weights that they mention."""

    shapes: dict[nn.Module, tuple[tuple[int, ...], tuple[int, ...]]]  # what goes in and comes out, without the batch
    weights: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, key: str, tensor: Tensor | None) -> str:
        """JavaScript that means this tensor."""
        if tensor is None:
            return "null"
        self.weights[key] = tensor.detach()
        return f"weights[{json.dumps(key)}]"

    def layers(self, module: nn.Module, path: str) -> list[str]:
        """A module as JavaScript lines ``["what it is", x => what it makes of x],  // shape``; a Sequential's in a row.

        Raises ChallengeError (status 3) naming the first layer that has no JavaScript.
        """
        if type(module) is nn.Sequential:
            return [line for key, child in module._modules.items() for line in self.layers(child, f"{path}.{key}")]
        if isinstance(module, NO_OPERATION):
            return []
        try:
            if type(module) not in WRITERS:  # by exact type: a subclass may do anything
                raise NotWritable("only feed-forward convolutional models made of known layers have a page")
            title, code = WRITERS[type(module)](self, module, path.lstrip("."))
        except NotWritable as reason:
            where = f"layer {path.lstrip('.')!r} ({type(module).__name__})" if path else type(module).__name__
            raise ChallengeError(f"--html: {where} cannot be written as JavaScript: {reason}", MODEL_ERROR) from None
        shape = " x ".join(map(str, self.shapes[module][1]))
        return [f"[{json.dumps(title, ensure_ascii=False)}, x => {code}],  // {shape}"]

    def nested(self, module: nn.Module, path: str) -> str:
        """A module as a JavaScript list of its layers, for a layer that contains others."""
        return "[\n" + "".join(f"    {line}\n" for line in self.layers(module, path)) + "  ]"


def pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def plain_only(module: nn.Module, **expected: Any) -> None:
    """Raise NotWritable unless these attributes of a layer have the values that the JavaScript stands for."""
    for name, value in expected.items():
        if getattr(module, name) != value:
            raise NotWritable(f"{name}={getattr(module, name)!r} is not supported")


def write_conv(writer: Writer, conv: nn.Conv2d, path: str) -> tuple[str, str]:
    plain_only(conv, padding_mode="zeros")
    if isinstance(conv.padding, str):
        raise NotWritable(f"padding={conv.padding!r} is not supported: say it in pixels")
    geometry = json.dumps({key: pair(getattr(conv, key)) for key in ("stride", "padding", "dilation")})
    kernel, bias = writer.keep(f"{path}.weight", conv.weight), writer.keep(f"{path}.bias", conv.bias)
    height, width = conv.kernel_size
    kind = "depthwise convolution" if 1 < conv.groups == conv.in_channels else "convolution"
    return f"{height}×{width} {kind}", f"conv2d(x, {kernel}, {bias}, {geometry}, {conv.groups})"


def write_pad(writer: Writer, pad: nn.ZeroPad2d, path: str) -> tuple[str, str]:
    left, right, top, bottom = pad.padding
    title = "crop" if max(pad.padding) <= 0 else "zeros around"
    return title, f"zeroPad2d(x, {json.dumps([top, bottom, left, right])})"


def write_resize(writer: Writer, resize: nn.Upsample, path: str) -> tuple[str, str]:
    plain_only(resize, mode="bilinear", align_corners=None, scale_factor=None)  # a factor moves the centres
    size = writer.shapes[resize][1][1:]
    return "resize", f"bilinear(x, {json.dumps(size)})"


def write_pool(writer: Writer, pool: nn.MaxPool2d | nn.AvgPool2d, path: str) -> tuple[str, str]:
    plain_only(pool, ceil_mode=False)
    name = "max" if isinstance(pool, nn.MaxPool2d) else "average"
    if name == "max":
        plain_only(pool, dilation=1, return_indices=False)
    else:
        plain_only(pool, divisor_override=None, count_include_pad=True)
    size, stride, padding = (json.dumps(pair(getattr(pool, key))) for key in ("kernel_size", "stride", "padding"))
    height, width = pair(pool.kernel_size)
    return f"{height}×{width} {name}-pooling", f"{name}Pool2d(x, {size}, {stride}, {padding})"


def write_global_average(writer: Writer, pool: nn.AdaptiveAvgPool2d, path: str) -> tuple[str, str]:
    if pair(pool.output_size) != [1, 1]:
        raise NotWritable(f"output_size={pool.output_size!r}: only 1 is supported")
    return "global average", "globalAverage(x)"


def write_batchnorm(writer: Writer, norm: nn.BatchNorm1d | nn.BatchNorm2d, path: str) -> tuple[str, str]:
    if norm.running_mean is None:
        raise NotWritable("it keeps no running statistics")
    weight = norm.weight if norm.affine else torch.ones_like(norm.running_mean)
    bias = norm.bias if norm.affine else torch.zeros_like(norm.running_mean)
    scale = weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = bias.double() - norm.running_mean.double() * scale
    return "BatchNorm", f"scaleShift(x, {writer.keep(f'{path}.scale', scale)}, {writer.keep(f'{path}.shift', shift)})"


def write_linear(writer: Writer, linear: nn.Linear, path: str) -> tuple[str, str]:
    if len(writer.shapes[linear][0]) != 1:
        raise NotWritable("its input is not flat")
    bias = writer.keep(f"{path}.bias", linear.bias)
    return "linear", f"linear(x, {writer.keep(f'{path}.weight', linear.weight)}, {bias})"


def write_flatten(writer: Writer, flatten: nn.Flatten, path: str) -> tuple[str, str]:
    plain_only(flatten, start_dim=1, end_dim=-1)
    return "flatten", "flatten(x)"


def write_neurons(writer: Writer, neurons: challenge.Neurons, path: str) -> tuple[str, str]:
    if neurons.weight.shape != writer.shapes[neurons][0]:
        raise NotWritable("its weights are fewer than its inputs")
    weight, bias = (writer.keep(f"{path}.{key}", getattr(neurons, key)) for key in ("weight", "bias"))
    return "single-weight neurons", f"neurons(x, {weight}, {bias})"


def write_class_sums(writer: Writer, sums: challenge.ClassSums, path: str) -> tuple[str, str]:
    plain_only(sums, channels=1)
    return "class sums", f"classSums(x, {challenge.CLASSES})"


def write_residual(writer: Writer, residual: challenge.Residual, path: str) -> tuple[str, str]:
    inner = nn.Sequential(*residual._modules.values())
    return "residual block", f"add(x, run({writer.nested(inner, path)}, x))"


def write_attention(writer: Writer, attention: challenge.SpatialAttention, path: str) -> tuple[str, str]:
    return "spatial attention", f"spatialAttention(x, {writer.nested(attention.gate, f'{path}.gate')})"


def write_mixture(writer: Writer, mixture: challenge.Mixture, path: str) -> tuple[str, str]:
    experts = [writer.nested(expert, f"{path}.experts.{i}") for i, expert in enumerate(mixture.experts)]
    router = writer.nested(mixture.router, f"{path}.router")
    return "mixture of experts", f"mixture(x, {router}, [{', '.join(experts)}])"


def write_each(title: str, code: Callable[[Any], str], writer: Writer, module: nn.Module, path: str) -> tuple[str, str]:
    return title, f"each(x, v => {code(module)})"


def gelu(module: nn.GELU) -> str:
    if module.approximate == "none":
        return "v * (1 + erf(v / Math.SQRT2)) / 2"
    return "v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))) / 2"


NO_OPERATION = (challenge.ChannelsLast, nn.Identity, nn.Dropout, nn.Dropout2d)  # when a trained model reads an image
ELEMENTWISE: dict[type[nn.Module], tuple[str, Callable[[Any], str]]] = {  # what each makes of a value v
    nn.ReLU: ("ReLU", lambda _: "Math.max(v, 0)"),
    nn.ReLU6: ("ReLU6", lambda _: "Math.min(Math.max(v, 0), 6)"),
    nn.LeakyReLU: ("leaky ReLU", lambda m: f"v > 0 ? v : {m.negative_slope} * v"),
    nn.ELU: ("ELU", lambda m: f"v > 0 ? v : {m.alpha} * (Math.exp(v) - 1)"),
    nn.GELU: ("GELU", gelu),
    nn.SiLU: ("SiLU", lambda _: "v / (1 + Math.exp(-v))"),
    nn.Hardswish: ("hard swish", lambda _: "v * Math.min(Math.max(v + 3, 0), 6) / 6"),
    nn.Sigmoid: ("sigmoid", lambda _: "1 / (1 + Math.exp(-v))"),
    nn.Tanh: ("tanh", lambda _: "Math.tanh(v)"),
}
WRITERS: dict[type[nn.Module], Callable[[Writer, Any, str], tuple[str, str]]] = {
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


@torch.no_grad()
def shapes_of(model: nn.Module) -> dict[nn.Module, tuple[tuple[int, ...], tuple[int, ...]]]:
    """The shapes that go into and come out of every module that one image passes, without the batch dimension."""
    shapes: dict[nn.Module, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[module] = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])

    handles = [module.register_forward_hook(note) for module in model.modules()]
    model.eval()(torch.zeros(1, 1, SIDE, SIDE))
    for handle in handles:
        handle.remove()
    return shapes


def base64_of(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def used_functions(library: str, code: str) -> str:
    """Those functions of a JavaScript library (parted by blank lines) that ``code`` calls, directly or not."""
    functions = {
        re.search(r"^function (\w+)", block, re.MULTILINE)[1]: block for block in library.strip().split("\n\n")
    }
    used: set[str] = set()
    while found := {name for name in functions if name not in used and re.search(rf"\b{name}\(", code)}:
        used |= found
        code = "\n".join(functions[name] for name in found)
    return "\n\n".join(block for name, block in functions.items() if name in used)


def to_html(model: nn.Module, result: dict[str, Any]) -> str:
    """The page: one file with the model's weights, layers and facts, and forty digits drawn by strokes to try it on.

    Raises ChallengeError (status 3) for a layer that has no JavaScript and for a model that was not trained on digits.
    """
    from data import strokes

    if result["dataset"] not in ("mnist", "strokes"):
        raise ChallengeError(f"--html: the page reads drawn digits, this model {result['dataset']}", MODEL_ERROR)
    with challenge.model_errors(result["model"]):
        shapes = shapes_of(model)
    writer = Writer(shapes)
    layers = "\n".join(f"  {line}" for line in writer.layers(model, ""))
    weights = "\n".join(
        f'  {json.dumps(key)}: tensor({list(values.shape)}, floats("{base64_of(values.numpy().astype("<f4"))}")),'
        for key, values in writer.weights.items()
    )
    images, labels = strokes.generate(40, 0, "test")
    low, high = (100 * bound for bound in result["accuracy_interval"])
    scored = "its own test set" if result["scored_on"] == "test" else f"the {result['scored_on']} set"
    facts = {
        "Model": result["model"],
        "Parameters": f"{result['parameters']:,}",
        "Accuracy": f"{report.percent(result['test_accuracy'])} of {result['test_images']:,} images of {scored} "
        f"(95 % interval: {low:.2f} to {high:.2f} %)",
        "Trained on": f"{result['dataset']}, {result['images_seen']:,} images, each once",
        "Seed": str(result["seed"]),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    library = re.search(r"// <library>\n(.*?)// </library>\n", text, re.DOTALL)
    values = {
        "parameters": f"{result['parameters']:,}",
        "facts": "\n".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts.items()),
        "note": html.escape(result["note"] or ""),
        "mean": str(challenge.MEAN),
        "std": str(challenge.STD),
        "layers": layers,
        "weights": weights,
        "digits": base64_of(images),
        "labels": json.dumps(labels.tolist()),
    }
    text = text.replace(library[0], used_functions(library[1], layers) + "\n")
    return re.sub(r"\{\{(\w+)\}\}", lambda hole: values[hole[1]], text)


# --- The command line -------------------------------------------------------------------------------------------------


def parse_arguments(argv: Sequence[str]) -> Any:
    parser = challenge.Parser(
        prog="export.py",
        description="Take a passing checkpoint out of PyTorch.",
        epilog=f"--onnx, --int8 and --compare need more packages: {EXTRAS}. "
        "exit status: 0 done, 1 the checkpoint broke a limit, 2 usage, 3 the model cannot be exported, "
        "4 data or machine",
    )
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="what mnist_efficient_model.py saved, as results/efficient.pth")
    add("--onnx", type=Path, metavar="FILE", help="write ONNX, checked against PyTorch on every test image")
    add("--int8", type=Path, nargs="?", const=True, metavar="FILE",
        help="quantise to 8 bits and compare with float32 (default: CHECKPOINT's name with .int8.onnx)")  # fmt: skip
    add("--compare", type=Path, nargs="?", const=True, metavar="FILE",
        help="eager, compiled, ONNX and int8, also drawn (default: CHECKPOINT's name with .formats.png)")  # fmt: skip
    add("--html", type=Path, metavar="FILE", help="write a page that reads what you draw")
    add("--data-dir", metavar="DIR", help="where the data is (default: $MNIST_DATA_DIR, else data/)")
    arguments = parser.parse_args(argv)
    for option, ending in (("int8", ".int8.onnx"), ("compare", ".formats.png")):
        if getattr(arguments, option) is True:
            setattr(arguments, option, Path(arguments.checkpoint).with_suffix(ending))
    if not any((arguments.onnx, arguments.int8, arguments.compare, arguments.html)):
        parser.error("nothing to do: give --onnx, --int8, --compare or --html")
    return arguments


def write(path: Path, content: bytes | str, what: str) -> None:
    """Write a file whole or not at all, and say so; ChallengeError (status 4) when it cannot be written."""
    try:
        report.write_file(path, content)
    except OSError as error:
        raise ChallengeError(f"cannot write {path}: {error.strerror or error}", MACHINE_ERROR) from error
    print(f"{path}: {what}, {path.stat().st_size:,} bytes")


def export_onnx(model: nn.Module, result: dict[str, Any], arguments: Any) -> None:
    """--onnx, --int8 and --compare: each a step further on the same ONNX file."""
    data = load_data_of(result, arguments.data_dir)
    content = to_onnx(model, result)
    difference = check_same(model, content, data.test.images)
    if arguments.onnx:
        same = f"the same class on all {len(data.test.labels):,} test images, logits within {difference:.0e}"
        write(arguments.onnx, content, f"ONNX, {same}")
    if not (arguments.int8 or arguments.compare):
        return
    every = len(data.train.labels) // CALIBRATION or 1
    small = to_int8(content, data.train.images[::every][:CALIBRATION])
    formats = [
        measure("ONNX", OnnxModel(content), len(content), data),
        measure("int8", OnnxModel(small), len(small), data),
    ]
    if arguments.compare:
        size = Path(arguments.checkpoint).stat().st_size
        eager = measure("eager", model, size, data)
        compiled = measure("torch.compile", torch.compile(model, dynamic=False), size, data)
        formats = [eager, compiled, *formats]
    print(format_table(formats))
    if arguments.int8:
        write(arguments.int8, small, "ONNX of 8 bits")
        print(int8_verdict(*formats[-2:]))
    if arguments.compare:
        title = f"{result['model']}, {result['parameters']:,} parameters, seed {result['seed']}, on {result['dataset']}"
        write(arguments.compare, format_bars(formats, title), "the table, drawn")


def command(argv: Sequence[str]) -> int:
    """Do what the command line asks; returns the exit status."""
    arguments = parse_arguments(argv)
    for path in filter(None, (arguments.onnx, arguments.int8, arguments.compare, arguments.html)):
        check_writable(path)
    option = next((o for o in ("onnx", "int8", "compare") if getattr(arguments, o)), None)
    if option:
        need(f"--{option}", "onnx", "onnxscript", "onnxruntime")
    model, result = load_passing(arguments.checkpoint)
    if arguments.html:
        write(arguments.html, to_html(model, result), "a page to open in any browser")
    if option:
        export_onnx(model, result, arguments)
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of raising."""
    try:
        return command(sys.argv[1:] if argv is None else argv)
    except ChallengeError as error:
        message, status = str(error), error.status
    except OSError as error:  # a disk that fills up, a reader of the table that went away
        message, status = f"cannot write {error.filename or 'the results'}: {error.strerror or error}", MACHINE_ERROR
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was left half-written", file=sys.stderr)
        return 130
    print(f"export.py: error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
