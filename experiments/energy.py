"""What energy does an epoch take, and what does a spiking network save? Joules of training, nanojoules of inference.

python -m experiments.energy efficient cnn_small csnn

The joules come from CodeCarbon, where it is installed (pip install codecarbon): "measured" where the processor's power
meter (RAPL) can be read, else an estimate, load times rated power. The nanojoules are an estimate: arithmetic at 45 nm,
without memory traffic. In a spiking network a layer that is fed only zeros and ones adds a weight for each incoming
spike instead of multiplying; how many arrive is measured on the test images.
"""

import argparse
import importlib.util
import logging
import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge
from experiments import common

QUESTION = "What energy does an epoch take, and what does a spiking network save?"
MAC_NJ, ACCUMULATE_NJ = 4.6e-3, 0.9e-3  # 32-bit floating point at 45 nm: Horowitz, "Computing's energy problem", 2014


@torch.no_grad()
def inference_nj(model: nn.Module, images: Tensor) -> tuple[float, float | None]:
    """Nanojoules of one inference, and the spikes that arrive at a synapse in a time step (None: nothing spikes).

    Every multiply-accumulate costs MAC_NJ, except in layers of a network with snntorch's neurons that are fed only
    zeros and ones: there each spike, as measured on ``images`` (N, 1, H, W), costs ACCUMULATE_NJ.
    """
    energy = challenge.count_macs(model, images[:1]) * MAC_NJ
    if not any(type(module).__module__.startswith("snntorch") for module in model.modules()):
        return energy, None
    synapses = spikes = 0.0

    def watch(layer: nn.Linear | nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal synapses, spikes
        if ((inputs[0] == 0) | (inputs[0] == 1)).all():
            macs = output[0].numel() * layer.weight[0].numel()  # outputs times the inputs of each
            synapses += macs
            spikes += macs * inputs[0].mean().item()

    hooks = [m.register_forward_hook(watch) for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    model.eval()(images)
    for hook in hooks:
        hook.remove()
    return energy - synapses * MAC_NJ + spikes * ACCUMULATE_NJ, spikes / synapses if synapses else None


class EnergyMeter:
    """Joules of what runs inside ``with``, the memory's left out; None where CodeCarbon is not installed."""

    joules: float | None = None
    method = ""  # "measured" or "estimate"

    def __enter__(self) -> "EnergyMeter":
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


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common.new_parser("energy", QUESTION)
    models = ["efficient", "cnn_small", "csnn"]
    parser.add_argument("models", nargs="*", default=models, metavar="MODEL", help=f"default: {' '.join(models)}")
    return parser.parse_args(argv)


def answer(arguments: argparse.Namespace) -> None:
    configs = {name: challenge.recipe(name) for name in arguments.models}  # an unknown name ends here
    data, device = common.load_dataset(arguments), challenge.pick_device("auto")
    train, test = data.train.to(device), data.test.to(device)
    rows = [["model", "accuracy %", "train s", "train J", "J is", "kMAC", "nJ (estimate)", "spikes"]]
    for name, config in configs.items():
        with challenge.model_errors(name):  # run() by hand, so that only the epoch is inside the meter
            torch.manual_seed(0)
            model = challenge.build_model(name).to(device)
            batches = challenge.epoch_batches(train, config, torch.Generator().manual_seed(0))
            with EnergyMeter() as meter:
                epoch = challenge.train_one_epoch(model, batches, config, len(train.labels))
            accuracy = None if epoch.diverged_at else challenge.evaluate(model, test).accuracy
            nanojoules, spikes = inference_nj(model, challenge.to_input(test.images[:1000]))
            macs = challenge.count_macs(model, challenge.to_input(test.images[:1]))
        training = [common.fixed(epoch.train_seconds, 1), common.fixed(meter.joules, 0), meter.method]
        inference = [common.fixed(macs / 1000, 0), common.fixed(nanojoules, 0), common.fixed(spikes, 3)]
        rows.append([name, common.percent(accuracy), *training, *inference])
        print(f"[{len(rows) - 1}/{len(configs)}] {name}", flush=True)
    common.save(arguments, rows, data)


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parse_arguments, answer, argv)


if __name__ == "__main__":
    sys.exit(main())
