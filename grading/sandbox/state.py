"""The weights of a model from one process to the next, as safetensors: reading them runs nothing that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

HEADER_BYTES = 4 << 20


class Entry(NamedTuple):
    name: str
    kind: str  # parameter, buffer, or statistics: the running ones of BatchNorm
    tensor: Tensor  # shares the model's memory; a complex one is shown as its real parts

    @property
    def numbers(self) -> int:
        """Numbers of 64 bits count as two."""
        return self.tensor.numel() * max(1, self.tensor.element_size() // 4)


def entries(model: nn.Module) -> list[Entry]:
    """Each parameter and buffer of a model once, as the model itself lists them."""
    norms = [module for module in model.modules() if isinstance(module, _NormBase)]
    running = {id(t) for norm in norms for t in (norm.running_mean, norm.running_var, norm.num_batches_tracked)}
    found = [(name, "parameter", tensor) for name, tensor in model.named_parameters()]
    found += [(name, "statistics" if id(t) in running else "buffer", t) for name, t in model.named_buffers()]
    return [Entry(n, kind, torch.view_as_real(t.detach()) if t.is_complex() else t.detach()) for n, kind, t in found]


def pack(model: nn.Module) -> bytes:
    """What ``unpack`` reads."""
    return write_tensors({f"{e.kind}:{e.name}": e.tensor.clone().contiguous() for e in entries(model)})


def unpack(raw: bytes) -> list[Entry]:
    """Read what ``pack`` wrote; raises ValueError for anything else."""
    try:
        if int.from_bytes(raw[:8], "little") > HEADER_BYTES:
            raise ValueError("its header is too long")
        found = [Entry(*key.split(":", 1)[::-1], tensor) for key, tensor in read_tensors(raw).items()]
        if unknown := {entry.kind for entry in found} - {"parameter", "buffer", "statistics"}:
            raise ValueError(f"no such kind of tensor: {unknown}")
        return found
    except Exception as error:  # of whatever kind: the bytes are a stranger's
        raise ValueError(f"not a packed state: {error}") from error


def load(model: nn.Module, saved: Sequence[Entry]) -> None:
    """Set a rebuilt model's numbers to those of ``unpack``; raises ValueError where its parameters are others.

    A buffer of another shape is left as it is: the state of a spiking neuron depends on the batch.
    """
    trained, rebuilt = (
        {(e.name, e.tensor.shape, e.tensor.dtype): e for e in found} for found in (saved, entries(model))
    )
    for key in trained.keys() & rebuilt.keys():
        rebuilt[key].tensor.copy_(trained[key].tensor)
    for key in trained.keys() ^ rebuilt.keys():
        if (entry := trained.get(key) or rebuilt[key]).kind == "parameter":
            raise ValueError(f"rebuilt in a new process, its parameter {entry.name} is not the one that was trained")
