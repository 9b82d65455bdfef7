"""A model as an ONNX file, in float32 and in int8, run by onnxruntime, and what each costs beside PyTorch."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge
from mnist_efficient_model import MODEL_ERROR, SIDE, ChallengeError, Dataset

TOLERANCE = 1e-4  # largest difference allowed between a logit of the ONNX file and PyTorch's
CALIBRATION = 1000  # training images that show int8 the range of every activation


@contextlib.contextmanager
def export_errors(name: str, target: str) -> Iterator[None]:
    """Discard what exporters print, and turn what they raise into one line with status 3; a full disk stays OSError."""
    discard, disabled = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(discard), contextlib.redirect_stderr(discard):
            warnings.simplefilter("ignore")
            yield
    except (ChallengeError, OSError):
        raise
    except (Exception, SystemExit) as error:  # what the forward of somebody's model brings about in the exporter
        cause: BaseException = error
        while before := cause.__cause__ or cause.__context__:
            cause = before
            if isinstance(cause, KeyboardInterrupt):  # Ctrl-C, which torch.export takes for a failure of the model
                raise cause from None
        reason = f"{type(cause).__name__}: {(str(cause).strip() or 'no message').splitlines()[0][:160]}"
        raise ChallengeError(f"model {name!r} cannot be exported to {target}: {reason}", MODEL_ERROR) from error
    finally:
        logging.disable(disabled)


def to_onnx(model: nn.Module, record: dict[str, Any]) -> bytes:
    """A model as an ONNX file: ``images`` (batch, 1, 28, 28) normalised float32 -> ``logits`` (batch, 10).

    The file's metadata say how to normalise and what the model achieved. Raises ChallengeError (status 3) when PyTorch
    cannot export the model.
    """
    import onnx

    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, challenge.ChannelsLast):
            module.forward = lambda images: images  # memory strides mean nothing in ONNX
    with export_errors(record["model"], "ONNX"):
        with torch.random.fork_rng():
            program = torch.onnx.export(
                model,
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
        about = {key: record[key] for key in ("model", "parameters", "dataset", "seed", "scored_on", "test_accuracy")}
        about["images"] = f"(pixels 0-255 / 255 - {challenge.MEAN}) / {challenge.STD}, white ink on black"
        fit = {key: str(value).encode(errors="replace").decode() for key, value in about.items()}
        onnx.helper.set_model_props(proto, fit)
        onnx.checker.check_model(proto, full_check=True)
        return proto.SerializeToString()


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
        found = f"{changed:,} of {len(images):,} predictions change, logits differ by up to {difference:.1e}"
        raise ChallengeError(f"ONNX does not predict what PyTorch does: {found}; nothing was written", MODEL_ERROR)
    return difference


def to_int8(content: bytes, images: Tensor, name: str) -> bytes:
    """An ONNX file with weights and activations of 8 bits, calibrated on training images (N, 28, 28) uint8.

    Signed, a scale for each channel, QDQ format: what onnxruntime's guide to quantisation recommends to try first.
    Raises ChallengeError (status 3) when onnxruntime cannot quantise the model ``name``.
    """
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    sample = images[:: len(images) // CALIBRATION or 1][:CALIBRATION]
    batches = ({"images": batch.numpy()} for batch in challenge.to_input(sample).split(100))
    calibration = types.SimpleNamespace(get_next=lambda: next(batches, None))  # onnxruntime's interface
    with export_errors(name, "int8"), tempfile.TemporaryDirectory() as scratch:
        float_file, ready, done = (str(Path(scratch, file)) for file in ("float.onnx", "ready.onnx", "int8.onnx"))
        Path(float_file).write_bytes(content)
        quant_pre_process(float_file, ready, skip_symbolic_shape=True)
        quantize_static(ready, done, calibration, per_channel=True)
        return Path(done).read_bytes()


HEADER = f"{'':<6}{'bytes':>9}{'acc. %':>9}{'ms':>8}{'ms p95':>8}{'images/s':>10}"


def measured(name: str, model: nn.Module, size: int, data: Dataset) -> str:
    """A row below HEADER: bytes of the file, accuracy on every test image, milliseconds of one image on one thread
    (median and 95th percentile), images per second at batch 1,000 on all threads."""
    with export_errors(name, "a comparison"):
        accuracy = challenge.percent(challenge.evaluate(model, data.test).accuracy).removesuffix(" %")
        images = challenge.to_input(data.test.images[:1000])
        median, p95 = np.percentile(challenge.forward_seconds(model, images[:1], 100), (50, 95))
        batch = np.median(challenge.forward_seconds(model, images, 5, torch.get_num_threads()))
    return f"{name:<6}{size:>9,}{accuracy:>9}{1000 * median:>8.3f}{1000 * p95:>8.3f}{len(images) / batch:>10,.0f}"
