"""What a child does: six tasks, each in a process of its own that is isolated first and ends with one message.

``find``        names the models that a file of the submission holds. No data, no labels in the process
``build``       the submission's code becomes a graph. No data, no labels in the process
``train``       the graph is trained by the engine for one epoch. No line of the submission's code in the process
``test``        the graph with its weights answers for unlabelled images. No line of the submission's code either
``train_code``, ``test_code``   the same with the submission's own code, where it cannot become a graph: not verified
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import struct
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge
from grading import graph
from grading.sandbox import build, importing, loading, state
from grading.sandbox.isolation import DESCRIPTORS, FILE_BYTES, ROOT, isolate

DOING = {"import": "importing it", "build": "building it", "training": "training it", "testing": "testing it"}
IMPORT_SHARE = 0.2  # of a child's seconds, for the import
OWN_PLACES = ("HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "MNIST_DATA_DIR")


class Child:
    """A child's task and its channel to the worker."""

    def __init__(self, task: dict[str, Any], token: str, scratch: str, channel: int, result: int) -> None:
        self.task, self.scratch, self.result = task, scratch, result
        self.mark, self.channel = token.encode() + b" ", channel
        self.doing = ""
        self.cut: BaseException | None = None  # the error by which the import ended early

    def send(self, message: dict[str, Any]) -> None:
        os.write(self.channel, self.mark + json.dumps(message).encode() + b"\n")

    def phase(self, name: str, **facts: Any) -> None:
        self.doing = DOING.get(name, self.doing)
        self.send({"phase": name, **facts})

    def end(self, status: str, reason: str = "", **facts: Any) -> NoReturn:
        if self.cut:
            facts["import_cut"] = loading.describe(self.cut, DOING["import"], self.scratch, self.task["omitted"])[1][
                :500
            ]
        self.send({"status": status, "reason": reason[:2000], "facts": facts})
        os._exit(0)

    def hand_back(self, content: bytes) -> None:
        """Write the result, or end where it is larger than any file may be."""
        if len(content) >= FILE_BYTES:
            self.end("too_large", f"its weights take more than {FILE_BYTES >> 20} MB")
        os.ftruncate(self.result, 0)
        done = 0
        while done < len(content):
            done += os.pwrite(self.result, content[done:], done)

    def import_main(self) -> types.ModuleType:
        """Import the submission; where its import ended early, what it defined before is there."""
        self.doing = DOING["import"]
        files = {name: text.encode("latin-1") for name, text in self.task["files"].items()}
        importing.write_submission(files, self.scratch)
        loading.seed_everything(self.task["seed"])
        seconds = self.task["seconds"] * IMPORT_SHARE
        module, self.cut = importing.import_submission(self.task["main"], self.scratch, seconds)
        return module

    def load(self) -> tuple[Callable[[], nn.Module], dict[str, Any]]:
        """Import the submission; returns the builder of its model, and its recipe over the default for files."""
        module = self.import_main()
        recipe = {**challenge.FILE_OVERRIDES, **challenge.read_recipe(vars(module).get("RECIPE", {}))}
        return loading.the_one(self.models(module), self.task["main"]), recipe

    def models(self, module: types.ModuleType) -> dict[str, Callable[[], nn.Module]]:
        """The builders of a module's models; where there is none and the import had ended early, that is why."""
        self.phase("build")
        try:
            return loading.models(module, self.task["model_name"])
        except Exception as error:
            if self.cut is None:
                raise
            self.doing = DOING["import"]
            raise self.cut from error


def run(task: dict[str, Any], token: str, scratch: str, channel: int, printer: int, result: int) -> NoReturn:
    """Everything between the fork and the end of one child. Data is read before the process is isolated."""
    child = Child(task, token, scratch, channel, result)
    try:
        os.setsid()
        redirect(printer, keep=(channel, result))
        inputs = {name: Path(path).read_bytes() for name, path in task["inputs"].items()}
        granted = isolate(scratch, task["hidden"], task["memory"], task["seconds"])
        os.chdir(scratch)
        os.environ.update(dict.fromkeys(OWN_PLACES, scratch))
        tempfile.tempdir = None
        sys.argv = [task["main"]]
        child.doing = "running it"
        child.phase("import", isolation=granted)
        TASKS[task["kind"]](child, **inputs)
        raise RuntimeError("a task that came to no end")
    except BaseException as error:
        if not child.doing:
            child.end("machine_error", f"{loading.place(error, ROOT)} -- {loading.one_line(error)}")
        child.end(*loading.describe(error, child.doing, scratch, task["omitted"]))


def redirect(printer: int, keep: tuple[int, int]) -> None:
    """Read nothing, print into the pipe ``printer``, and hold no other descriptor than those to ``keep``."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (printer, 1), (printer, 2)):
        os.dup2(source, target)
    for descriptor in range(3, DESCRIPTORS):
        if descriptor not in keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = open(number, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


# --- Finding the model ------------------------------------------------------------------------------------------------


def find_models(child: Child) -> None:
    """Name the models in one of the files that may hold it, each as path:NAME, with the classes that it consists of."""
    module, main, found = child.import_main(), child.task["main"], {}
    for name, make in child.models(module).items():
        used = loading.used_classes(loading.trial(make), child.scratch)
        where = loading.class_path(make, child.scratch) if isinstance(make, type) else f"{main}:{name}"
        found[where] = "\n".join(sorted(used))
    child.end("done", models=found)


# --- Graphs -----------------------------------------------------------------------------------------------------------


def build_graph(child: Child) -> None:
    """Build the model with the seed and export it; hand back the graph and the weights of a second, other build."""
    make, recipe = child.load()
    model = loading.build(make, child.task["seed"])
    batch, images = recipe["batch_size"], child.task["images"]
    sizes = {min(batch, images), images % batch or batch, *child.task["batch_sizes"]}
    try:
        exported = build.export(model, sorted(sizes, reverse=True))
    except build.NotAGraph as error:
        where = loading.place(error, child.scratch)
        at = f"{where} -- " if where and where not in str(error) else ""
        child.end("not_a_graph", f"{at}{error}", recipe=recipe)
    child.hand_back(struct.pack("<Q", len(exported)) + exported + second_build(child, make))
    child.end("done", recipe=recipe)


def second_build(child: Child, make: Callable[[], nn.Module]) -> bytes:
    """The weights of another build, which share with the first what does not come by chance; b"" where it fails."""
    if not child.task["second_build"]:
        return b""
    with contextlib.suppress(Exception), fixed_seeds_ignored():
        if getattr(make, "func", None) is copy.deepcopy:  # an instance, which is built at import
            make, _ = child.load()
        return state.pack(loading.build(make, 0))
    return b""


@contextlib.contextmanager
def fixed_seeds_ignored() -> Iterator[None]:
    """Let no seed be set: what a model then draws differs from build to build, whatever seed its author fixed."""
    loading.seed_everything(random.getrandbits(31))
    places = [(torch, "manual_seed"), (torch.random, "manual_seed"), (np.random, "seed"), (random, "seed")]
    genuine = [(owner, name, getattr(owner, name)) for owner, name in places]
    kept = loading.seed_everything
    loading.seed_everything = lambda seed: None
    try:
        for owner, name in places:
            setattr(owner, name, lambda *_, **__: None)
        yield
    finally:
        loading.seed_everything = kept
        for owner, name, function in genuine:
            setattr(owner, name, function)


def train_graph(child: Child, program: bytes, images: bytes, labels: bytes) -> None:
    """Train the graph for one epoch; hand back its weights."""
    model = graph.GraphModel(graph.read(program))
    loading.seed_everything(child.task["seed"])
    train(child, model, images, labels, graph.pack_state)


def test_graph(child: Child, program: bytes, weights: bytes, images: bytes) -> None:
    """Answer for the images, before and after the graph gets its weights."""
    model = graph.GraphModel(graph.read(program))
    loading.seed_everything(child.task["seed"])
    answer(child, model, images, lambda: graph.load_state(model, weights))


# --- A submission's own code ------------------------------------------------------------------------------------------


def train_code(child: Child, images: bytes, labels: bytes) -> None:
    """Train the submission's own model, in its own code; hand back its weights."""
    make, _ = child.load()
    train(child, loading.build(make, child.task["seed"]), images, labels, state.pack)


def test_code(child: Child, weights: bytes, images: bytes) -> None:
    """Answer for the images with the submission's own code, in a process that never saw a label."""
    make, _ = child.load()
    model = loading.build(make, child.task["seed"])
    answer(child, model, images, lambda: state.load(model, weights))


# --- What both have in common -----------------------------------------------------------------------------------------


def to_images(raw: bytes) -> Tensor:
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(-1, challenge.SIDE, challenge.SIDE)


def train(child: Child, model: nn.Module, images: bytes, labels: bytes, pack: Callable[[nn.Module], bytes]) -> None:
    """One epoch of the challenge's engine, as ``mnist_efficient_model.run`` would run it."""
    split = challenge.Split(to_images(images), torch.frombuffer(bytearray(labels), dtype=torch.uint8).long())
    config, n = challenge.Config(**child.task["config"]), len(split.labels)
    batches = challenge.epoch_batches(split, config, torch.Generator().manual_seed(child.task["seed"]))
    child.phase("training")
    epoch = challenge.train_one_epoch(model, batches, config, n)
    child.phase("trained")
    child.hand_back(pack(model))
    last = epoch.curve[-1]["accuracy"] if epoch.curve else None
    child.end("done", images_seen=epoch.images_seen, each_once=epoch.each_once, diverged_at=epoch.diverged_at,
              train_accuracy=last)  # fmt: skip


def answer(child: Child, model: nn.Module, images: bytes, load: Callable[[], None]) -> None:
    """Hand back the logits, float32, of each part of the images, ``load`` giving the weights before the second."""
    pixels, logits = to_images(images), []
    child.phase("testing")
    for i, (count, batch_size) in enumerate(child.task["parts"]):
        if i == 1:
            load()
        part, pixels = pixels[:count], pixels[count:]
        answers = challenge.predict(model, part, batch_size)
        if tuple(answers.shape) != (count, challenge.CLASSES):
            raise ValueError(f"{count:,} images give {tuple(answers.shape)}, where {(count, challenge.CLASSES)} is due")
        logits.append(answers.float().contiguous().numpy().tobytes())
    child.hand_back(b"".join(logits))
    child.end("done")


TASKS: dict[str, Callable[..., None]] = {
    "find": find_models,
    "build": build_graph,
    "train": train_graph,
    "test": test_graph,
    "train_code": train_code,
    "test_code": test_code,
}


def warm_up() -> None:
    """Train, export and train again on noise: PyTorch loads parts of itself at first use, which else each child would.

    The first backward pass must come before the first export: after one it would start threads, and a process with
    those refuses to run backward passes in its forks.
    """
    torch.set_num_threads(1)  # a pool of threads would not survive the fork either
    split = challenge.Split(torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (64,)))
    eager = challenge.build_model("efficient")
    warm_epoch(eager, split, "sgd")
    model = graph.GraphModel(graph.read(build.export(eager, (32, 64))))
    warm_epoch(model, split, "adamw")
    challenge.predict(model, split.images)


def warm_epoch(model: nn.Module, split: challenge.Split, optimizer: str) -> None:
    config = challenge.Config(optimizer=optimizer, batch_size=32)
    challenge.train_one_epoch(model, challenge.epoch_batches(split, config, torch.Generator()), config, 64)
