"""What can be known of accelerators without having one: nothing mixes devices, nothing waits within the loop."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import mnist_efficient_model as challenge
from helpers import easy_split

WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal", "aten._to_copy")


class Waits(TorchDispatchMode):
    """Counts the operators that would wait for an accelerator: those that read a value, or move a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if str(func).startswith(WAITS) and (not str(func).startswith("aten._to_copy") or "device" in kwargs):
            self.count += 1
        return func(*args, **kwargs)


@pytest.mark.parametrize("name", challenge.MODELS)
def test_every_model_trains_where_its_data_are_and_mixes_no_devices(name):
    config = challenge.recipe(name, batch_size=8)
    split, network = easy_split(20).to("meta"), challenge.build_model(name).to("meta")
    optimizer = challenge.OPTIMIZERS[config.optimizer](network.parameters(), config.lr, config.weight_decay)
    batches = list(challenge.epoch_batches(split, config, torch.Generator()))
    assert sum(len(labels) for _, _, labels in batches) == 20
    for indices, inputs, labels in batches[1:]:
        logits = network(inputs)
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert {tensor.device.type for tensor in (indices, inputs, labels, logits)} == {"meta"}
        assert logits.shape == (len(labels), 10)


def test_channels_last_is_for_the_cpu_alone():
    images = torch.zeros(2, 1, 28, 28)
    assert challenge.ChannelsLast()(images).stride()[1] == 1 and challenge.ChannelsLast()(images).stride()[3] == 1
    elsewhere = images.to("meta")
    assert challenge.ChannelsLast()(elsewhere) is elsewhere


@pytest.mark.parametrize("optimizer", challenge.OPTIMIZERS)
def test_the_device_is_waited_for_only_at_the_25_points_of_the_curve(optimizer):
    config, network = challenge.Config(batch_size=4, optimizer=optimizer), challenge.build_model("efficient")
    batches = challenge.epoch_batches(easy_split(200), config, torch.Generator())
    first = next(batches)  # what a seed draws is moved to the device at once, before the first batch
    with Waits() as waits:
        batches = [first, *batches]
    assert len(batches) == 50 and waits.count == 0
    with Waits() as waits:
        epoch = challenge.train_one_epoch(network, batches, config, 200)
    assert len(epoch.curve) == 25
    assert 0 <= waits.count - 25 * 3 <= 1, "finite, mean loss and accuracy at each point, and the count at the end"


@pytest.mark.parametrize("there", [None, "cuda", "mps"])
def test_an_accelerator_that_is_there_is_taken_and_else_the_cpu(monkeypatch, there):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(there))
    assert challenge.pick_device("auto").type == (there or "cpu") and challenge.pick_device("cpu").type == "cpu"
    with pytest.raises(challenge.ChallengeError, match="not available here"):
        challenge.pick_device("xpu")


@pytest.mark.parametrize("running, cores", [(1, 4), (2, 3), (4, 1), (9, 1)])
def test_the_cores_that_others_keep_busy_are_not_idle(monkeypatch, tmp_path, running, cores):
    monkeypatch.setattr(challenge.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(challenge.os, "cpu_count", lambda: 4)
    (tmp_path / "loadavg").write_text(f"0.10 0.20 0.30 {running}/200 4711\n")
    monkeypatch.setattr(challenge, "Path", lambda path: tmp_path / path.rpartition("/")[2])
    assert challenge.usable_cores(idle=True) == cores and challenge.usable_cores() == 4
    (tmp_path / "cpu.max").write_text("200000 100000\n")  # a container's quota
    assert challenge.usable_cores() == 2 and challenge.usable_cores(idle=True) == min(2, cores)
