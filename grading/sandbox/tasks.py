"""What a child does: five tasks, each in a process of its own that is isolated first and ends with one message.

``read``    the files handed in become Python files, and those that may hold the model are named. Executes nothing
``find``    where several may hold it, all are loaded, and the one model is named. No data, no labels in the process
``build``   the submission's code becomes a graph. No data, no labels in the process
``train``   the graph is trained by the engine for one epoch. No line of the submission's code in the process
``test``    the graph with its weights answers for unlabelled images. No line of the submission's code either

Without a graph, ``train`` and ``test`` run the submission's own code.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

import mnist_efficient_model as challenge
from grading import checks, graph
from grading.sandbox import build, loading, reading, reasons, state
from grading.sandbox.definitions import Definitions
from grading.sandbox.isolation import DESCRIPTORS, FILE_BYTES, ROOT, isolate

DOING = {"import": "loading it", "build": "building it", "training": "training it", "testing": "testing it"}
OWN_PLACES = ("HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "MNIST_DATA_DIR")


class Child:
    """A child's task and its channel to the worker."""

    def __init__(self, task: dict[str, Any], scratch: str, channel: int, result: int) -> None:
        self.task, self.scratch, self.channel, self.result = task, scratch, channel, result
        self.doing = ""
        self.definitions: Definitions | None = None

    def send(self, message: dict[str, Any]) -> None:
        os.write(self.channel, json.dumps(message).encode() + b"\n")

    def phase(self, name: str, **facts: Any) -> None:
        self.doing = DOING.get(name, self.doing)
        self.send({"phase": name, **facts})

    def end(self, status: str, reason: str = "", advice: str = "", **facts: Any) -> NoReturn:
        self.send({"status": status, "reason": reason[:2000], "advice": advice[:1000], "facts": facts})
        os._exit(0)

    def hand_back(self, content: bytes) -> None:
        """Write the result, or end where it is larger than any file may be."""
        if len(content) >= FILE_BYTES:
            self.end("too_large", f"its weights take more than {FILE_BYTES >> 20} MB")
        os.ftruncate(self.result, 0)
        done = 0
        while done < len(content):
            done += os.pwrite(self.result, content[done:], done)

    def write_files(self) -> None:
        """Write the submission's files to disk, and get ready to load them."""
        self.doing = DOING["import"]
        for name, text in self.task["files"].items():
            path = Path(self.scratch, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8" if path.suffix in (".py", ".ipynb") else "latin-1"))
        self.definitions = Definitions(self.scratch)
        loading.seed_everything(self.task["seed"])

    def load(self) -> tuple[Callable[[], nn.Module], dict[str, Any]]:
        """Load the submission's file; returns the builder of its model, and its recipe over the default for files."""
        self.write_files()
        module = self.definitions.load(self.task["main"])
        recipe = loading.recipe(module, self.definitions)
        self.phase("build")
        found = loading.models(module, self.definitions, self.task["model_name"])
        if len(found) > 1:
            raise loading.which_one(f"{self.task['main']}:{name}" for name in found)
        return next(iter(found.values())), recipe


def run(task: dict[str, Any], scratch: str, channel: int, printer: int, result: int) -> NoReturn:
    """Everything between the fork and the end of one child. Data is read before the process is isolated."""
    child = Child(task, scratch, channel, result)
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
        child.phase("read" if task["kind"] == "read" else "import", isolation=granted)
        TASKS[task["kind"]](child, **inputs)
        raise RuntimeError("a task that came to no end")
    except BaseException as error:
        if not child.doing:
            child.end("machine_error", f"{reasons.place(error, ROOT)} -- {reasons.one_line(error)}")
        problem = reasons.describe(error, child.doing, scratch, child.definitions)
        child.end(problem.status, problem.reason, problem.advice)


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


# --- Reading, and finding the model -----------------------------------------------------------------------------------


def read_files(child: Child, bundle: bytes) -> None:
    child.hand_back(json.dumps(reading.read(bundle, child.task["omitted"])).encode())
    child.end("done")


def find_model(child: Child) -> None:
    """Name the file of the one model, and the model where that file has several."""
    child.write_files()
    main, name = loading.choose(child.definitions, child.task["candidates"], child.task["model_name"])
    child.end("done", main=main, name=name)


# --- Graphs -----------------------------------------------------------------------------------------------------------


def build_graph(child: Child) -> None:
    """Build the model with the seed and export it; hand back the graph."""
    make, recipe = child.load()
    model = loading.build(make, child.task["seed"])
    batch, images = recipe["batch_size"], child.task["images"]
    loading.check_last_batch(model, batch, images)
    sizes = {min(batch, images), images % batch or batch, *child.task["batch_sizes"]}
    try:
        exported = build.export(model, sorted(sizes, reverse=True))
    except build.NotAGraph as error:
        where = reasons.place(error, child.scratch)
        at = f"{where} -- " if where and where not in str(error) else ""
        child.end("not_a_graph", f"{at}{error}", error.advice, recipe=recipe)
    child.hand_back(exported)
    child.end("done", recipe=recipe)


# --- Training and testing ---------------------------------------------------------------------------------------------


def load_model(child: Child, program: bytes) -> nn.Module:
    """The graph, with other initial values if asked; without one, the submission's own model in its own code."""
    if not program:
        return loading.build(child.load()[0], child.task["seed"])
    model = graph.GraphModel(graph.read(program))
    if "redraw" in child.task:
        checks.redraw(model, child.task["redraw"])
    loading.seed_everything(child.task["seed"])
    return model


def train(child: Child, images: bytes, labels: bytes, program: bytes = b"") -> None:
    """One epoch of the challenge's engine, as ``mnist_efficient_model.run`` would run it; hand back the weights."""
    model = load_model(child, program)
    pixels, classes = (torch.frombuffer(bytearray(raw), dtype=torch.uint8) for raw in (images, labels))
    split = challenge.Split(pixels.view(-1, challenge.SIDE, challenge.SIDE), classes.long())
    config, n = challenge.Config(**child.task["config"]), len(split.labels)
    batches = challenge.epoch_batches(split, config, torch.Generator().manual_seed(child.task["seed"]))
    child.phase("training")
    epoch = challenge.train_one_epoch(model, batches, config, n)
    child.phase("trained")
    child.hand_back(state.pack(model))
    facts = {name: getattr(epoch, name) for name in ("images_seen", "each_once", "diverged_at")}
    if program:
        size = min(config.batch_size, n // 2)
        drawn = challenge.to_input(split.images[np.random.default_rng().permutation(n)[: 2 * size]])
        facts["formula_numbers"] = graph.formula_numbers(model, *drawn.split(size))
    child.end("done", curve={point["images"]: point["accuracy"] for point in epoch.curve}, **facts)


def test(child: Child, weights: bytes, images: bytes, program: bytes = b"") -> None:
    """Hand back the logits, float32, of each part of the images (the first by the untrained model), and one byte.

    From the second part on, each batch meets the trained state: what an earlier one wrote is undone. The byte says
    whether the last one wrote anything.
    """
    model, logits = load_model(child, program), []
    pixels = torch.frombuffer(bytearray(images), dtype=torch.uint8).view(-1, challenge.SIDE, challenge.SIDE)
    trained = state.unpack(weights)
    child.phase("testing")
    for part, (count, batch_size) in enumerate(child.task["parts"]):
        shown, pixels = pixels[:count], pixels[count:]
        for batch in shown.split(batch_size):
            if part:
                state.load(model, trained)
            answers, due = challenge.predict(model, batch, batch_size), (len(batch), challenge.CLASSES)
            if tuple(answers.shape) != due:
                raise ValueError(f"{len(batch):,} images give {tuple(answers.shape)}, where {due} is due")
            logits.append(answers.float().contiguous().numpy().tobytes())
    child.hand_back(b"".join(logits) + bytes([state.pack(model) != weights]))
    child.end("done")


TASKS = {"read": read_files, "find": find_model, "build": build_graph, "train": train, "test": test}


def warm_up() -> None:
    """Train, export and train again on noise: PyTorch loads parts of itself at first use, which else each child would.

    The first backward pass must come before the first export: after one it would start threads, and a process with
    those refuses to run backward passes in its forks.
    """
    torch.set_num_threads(1)  # a pool of threads would not survive the fork either
    split = challenge.Split(torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (64,)))
    eager = challenge.build_model("efficient")
    for optimizer in ("sgd", "adamw"):
        model = eager if optimizer == "sgd" else graph.GraphModel(graph.read(build.export(eager, (32, 64))))
        config = challenge.Config(optimizer=optimizer, batch_size=32)
        challenge.train_one_epoch(model, challenge.epoch_batches(split, config, torch.Generator()), config, 64)
    challenge.predict(model, split.images)
