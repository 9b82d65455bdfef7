"""The weights of a model that is no graph, as bytes: a line of JSON, then the numbers. Nothing in them is ever run."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.int64,
    torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)}  # fmt: skip
KINDS = ("parameter", "buffer", "statistics")
DIMENSIONS, ENTRIES, HEADER_BYTES = 16, 20_000, 4 << 20  # of one tensor; of one model; of the line of JSON


class Entry(NamedTuple):
    name: str
    kind: str  # of KINDS; statistics are the running ones of BatchNorm
    tensor: Tensor

    @property
    def numbers(self) -> int:
        """64-bit numbers count as two, complex ones as two of their parts."""
        return self.tensor.numel() * max(1, self.tensor.element_size() // 4)


def entries(model: nn.Module) -> list[Entry]:
    """Each parameter and buffer of a model once, by the model's own account."""
    norms = {f"{name}.".lstrip(".") for name, module in model.named_modules() if isinstance(module, _NormBase)}
    running = {norm + name for norm in norms for name in ("running_mean", "running_var", "num_batches_tracked")}
    found = [Entry(name, "parameter", tensor) for name, tensor in model.named_parameters()]
    for name, tensor in model.named_buffers():
        found.append(Entry(name, "statistics" if name in running else "buffer", tensor))
    return found


def pack(model: nn.Module) -> bytes:
    """What ``unpack`` reads."""
    found = entries(model)
    header = [[e.name, e.kind, str(e.tensor.dtype).removeprefix("torch."), list(e.tensor.shape)] for e in found]
    blobs = [e.tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for e in found]
    return json.dumps(header).encode() + b"\n" + b"".join(blobs)


def unpack(raw: bytes) -> list[Entry]:
    """Read what ``pack`` wrote; raises ValueError for anything else."""
    line, separator, blob = raw.partition(b"\n")
    if not separator or len(line) > HEADER_BYTES:
        raise ValueError("not a packed state: no header")
    found, start = [], 0
    try:
        rows = json.loads(line)
        if len(rows) > ENTRIES:
            raise ValueError(f"{len(rows):,} tensors")
        for name, kind, dtype, shape in rows:
            size = checked_size(name, kind, shape, len(raw)) * DTYPES[dtype].itemsize
            part = bytearray(blob[start : start + size])
            if len(part) != size:
                raise ValueError("cut short")
            flat = torch.frombuffer(part, dtype=DTYPES[dtype]) if size else torch.empty(0, dtype=DTYPES[dtype])
            found.append(Entry(name, kind, flat.reshape(shape)))
            start += size
        if start != len(blob):
            raise ValueError("bytes to spare")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"not a packed state: {error}") from error
    return found


def checked_size(name: object, kind: object, shape: object, most: int) -> int:
    """The numbers in a tensor of this shape, at most ``most``; raises ValueError for what cannot be one."""
    if not isinstance(name, str) or kind not in KINDS or not isinstance(shape, list) or len(shape) > DIMENSIONS:
        raise ValueError("no such tensor")
    if not all(type(side) is int and 0 <= side <= most for side in shape):
        raise ValueError("no such shape")
    size = math.prod(shape)
    if size > most:
        raise ValueError("larger than the file")
    return size


def load(model: nn.Module, raw: bytes) -> None:
    """Give a rebuilt model the numbers of ``raw``; raises ValueError where its parameters are others.

    A buffer that has another shape is left alone: what a spiking neuron remembers depends on the batch.
    """
    trained = {entry.name: entry for entry in unpack(raw)}
    with torch.no_grad():
        for entry in entries(model):
            other = trained.pop(entry.name, None)
            if other and other.tensor.shape == entry.tensor.shape and other.tensor.dtype == entry.tensor.dtype:
                entry.tensor.copy_(other.tensor)
            elif entry.kind == "parameter":
                raise ValueError(
                    f"rebuilt in a new process, its parameter {entry.name} is another one than was trained"
                )
    if lost := [name for name, entry in trained.items() if entry.kind == "parameter"]:
        raise ValueError(f"rebuilt in a new process, it lacks the parameter {lost[0]} that was trained")
