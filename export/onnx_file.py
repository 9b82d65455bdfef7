"""A model as an ONNX file, in float32 and in int8, and run by onnxruntime."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge
from mnist_efficient_model import MODEL_ERROR, SIDE, ChallengeError

TOLERANCE = 1e-4  # largest difference allowed between a logit of the ONNX file and PyTorch's
CALIBRATION = 1000  # training images that show int8 the range of every activation


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard what the exporters, and a model that they run, log, warn and print."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    discard = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(discard), contextlib.redirect_stderr(discard):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def export_errors(name: str, target: str) -> Iterator[None]:
    """Turn whatever an exporter raises into one line with exit status 3; a full disk stays an OSError."""
    try:
        with quiet():
            yield
    except (ChallengeError, OSError):
        raise
    except (Exception, SystemExit) as error:  # what the forward of somebody's model brings about in the exporter
        causes = list(chain(error))
        if stop := next((cause for cause in causes if isinstance(cause, KeyboardInterrupt)), None):
            raise stop from None  # Ctrl-C, which torch.export takes for a failure of the model
        reason = f"{type(causes[-1]).__name__}: {first_line(causes[-1])}"
        raise ChallengeError(f"model {name!r} cannot be exported to {target}: {reason}", MODEL_ERROR) from error


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it was raised from, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def to_onnx(model: nn.Module, result: dict[str, Any]) -> bytes:
    """A model as an ONNX file: ``images`` (batch, 1, 28, 28) normalised float32 -> ``logits`` (batch, 10).

    The file's metadata say how to normalise and what the model achieved. Raises ChallengeError (status 3) when PyTorch
    cannot export the model.
    """
    import onnx

    with export_errors(result["model"], "ONNX"):
        with torch.random.fork_rng():
            program = torch.onnx.export(
                without_channels_last(model),
                (torch.zeros(2, 1, SIDE, SIDE),),
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
        proto = program.model_proto
        graph = proto.graph
        for item in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info, graph):
            item.ClearField("metadata_props")  # stack traces with the paths of this machine: half of the file
        about = {key: result[key] for key in ("model", "parameters", "dataset", "seed", "scored_on", "test_accuracy")}
        normalise = f"(pixels 0-255 / 255 - {challenge.MEAN}) / {challenge.STD}, white ink on black"
        onnx.helper.set_model_props(proto, {"images": normalise, **{key: str(value) for key, value in about.items()}})
        onnx.checker.check_model(proto, full_check=True)
        return proto.SerializeToString()


def without_channels_last(model: nn.Module) -> nn.Module:
    """A copy in eval mode without the layers that change memory strides, which mean nothing in ONNX."""
    model = copy.deepcopy(model).eval()
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, challenge.ChannelsLast):
                setattr(parent, name, nn.Identity())
    return model


class OnnxModel(nn.Module):
    """An ONNX file run by onnxruntime, as an nn.Module: on as many threads as PyTorch has when it is called."""

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

    Raises ChallengeError (status 3) when it is over TOLERANCE or any prediction changes.
    """
    with export_errors("it", "ONNX"):
        ours, theirs = challenge.predict(model, images), challenge.predict(OnnxModel(content), images)
    difference = (ours - theirs).abs().max().item()
    changed = int((ours.argmax(1) != theirs.argmax(1)).sum())
    if changed or not difference <= TOLERANCE:
        raise ChallengeError(
            f"the ONNX file does not predict what PyTorch does: {changed:,} of {len(images):,} predictions change, "
            f"logits differ by up to {difference:.1e} (allowed: {TOLERANCE:.0e}); nothing was written",
            MODEL_ERROR,
        )
    return difference


class CalibrationReader:
    """Normalised images in batches, through the interface that onnxruntime's calibration asks for."""

    def __init__(self, images: Tensor) -> None:
        self.batches = iter(challenge.to_input(images).split(100))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch.numpy()}


def to_int8(content: bytes, images: Tensor, name: str) -> bytes:
    """An ONNX file with weights and activations of 8 bits, calibrated on training images (N, 28, 28) uint8.

    Signed, a scale for each channel, QDQ format: what onnxruntime's guide to quantisation recommends to try first.
    Raises ChallengeError (status 3) when onnxruntime cannot quantise the model ``name``.
    """
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    every = len(images) // CALIBRATION or 1
    calibration = CalibrationReader(images[::every][:CALIBRATION])
    with export_errors(name, "int8"), tempfile.TemporaryDirectory() as scratch:
        float_file, ready, done = (str(Path(scratch, file)) for file in ("float.onnx", "ready.onnx", "int8.onnx"))
        Path(float_file).write_bytes(content)
        quant_pre_process(float_file, ready, skip_symbolic_shape=True)
        quantize_static(ready, done, calibration, per_channel=True)
        return Path(done).read_bytes()
