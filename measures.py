"""What a model costs: multiply-accumulates, time, memory and energy. Knows nothing of the challenge but its images."""

from __future__ import annotations

import importlib.util
import logging
import math
import statistics
import sys

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that a clock read next tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@torch.no_grad()
def count_macs(model: nn.Module, image: Tensor) -> int:
    """Multiply-accumulates of the forward pass of one image (1, 1, H, W): PyTorch's count of FLOPs, halved.

    PyTorch counts matrix products, convolutions and attention; the elementwise products of single-weight neurons
    (``addcmul``) are added here, one each, and normalisation and activations are left out as it is usual.
    """
    model.eval()
    elementwise = {torch.ops.aten.addcmul: lambda *_, out_shape, **__: 2 * math.prod(out_shape)}
    with FlopCounterMode(display=False, custom_mapping=elementwise) as counter:
        model(image)
    return counter.get_total_flops() // 2


@torch.no_grad()
def time_forward(model: nn.Module, images: Tensor) -> tuple[float, float, float]:
    """Time a model in eval mode on images (N, 1, H, W), after a warm-up.

    Returns the median and the 95th percentile of milliseconds for one image on one thread, and the images per second
    for the whole batch on all threads.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # CUDA's compiler is none of our business
    from torch.utils.benchmark import Timer

    model.eval()
    one = Timer("model(x)", globals={"model": model, "x": images[:1]}, num_threads=1)
    one.timeit(10)  # warm-up
    times = [one.timeit(1).median * 1000 for _ in range(100)]
    all_ = Timer("model(x)", globals={"model": model, "x": images}, num_threads=torch.get_num_threads())
    seconds = all_.blocked_autorange(min_run_time=0.2).median
    return statistics.median(times), float(np.percentile(times, 95)), len(images) / seconds


def peak_memory_mb(device: torch.device) -> float | None:
    """Most memory held at once so far: CUDA's own counter, else this process's resident set; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource  # Unix only
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage speaks of bytes on macOS and of kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


MAC_NJ, ACCUMULATE_NJ = 4.6e-3, 0.9e-3  # 32-bit floating point at 45 nm: Horowitz, "Computing's energy problem", 2014


@torch.no_grad()
def inference_energy_nj(model: nn.Module, images: Tensor) -> float:
    """Arithmetic energy of one inference in nanojoules at 45 nm: an estimate, without memory traffic.

    In a spiking network (one with snntorch's neurons) a layer that is fed only zeros and ones adds a weight for each
    incoming spike instead of multiplying: its MACs, times the share of ones measured on ``images`` (N, 1, H, W), count
    as accumulates. A layer fed anything else, as the first one is, counts as MACs.
    """
    model.eval()
    dense = count_macs(model, images[:1]) * MAC_NJ
    if not any(type(module).__module__.startswith("snntorch") for module in model.modules()):
        return dense
    saved = 0.0

    def watch(layer: nn.Linear | nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal saved
        if ((inputs[0] == 0) | (inputs[0] == 1)).all():
            macs = output[0].numel() * layer.weight[0].numel()  # outputs times the fan-in of each
            saved += macs * (MAC_NJ - ACCUMULATE_NJ * inputs[0].mean().item())

    handles = [m.register_forward_hook(watch) for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    model(images)
    for handle in handles:
        handle.remove()
    return dense - saved


class EnergyMeter:
    """Joules of what runs inside ``with``, from CodeCarbon where it is installed; ``joules`` stays None elsewhere.

    ``method`` is "measured" where the processor's power meter (RAPL) can be read, else "estimate": load times rated
    power. The memory's share, always an estimate, is left out.
    """

    joules: float | None = None
    method: str | None = None

    def __enter__(self) -> EnergyMeter:
        self.tracker = None
        if importlib.util.find_spec("codecarbon"):
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").disabled = True
            quiet = {"save_to_file": False, "log_level": "critical", "allow_multiple_runs": True}
            self.tracker = OfflineEmissionsTracker(country_iso_code="USA", measure_power_secs=1, **quiet)
            self.tracker.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.tracker:
            self.tracker.stop()
            energy = self.tracker.final_emissions_data
            self.joules = (energy.cpu_energy + energy.gpu_energy) * 3.6e6  # from kWh
            meters = [str(getattr(hardware, "_mode", "")) for hardware in self.tracker._hardware]
            self.method = "measured" if any("rapl" in meter for meter in meters) else "estimate"
