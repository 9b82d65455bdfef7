"""Choosing and building a submission's model, and what went wrong, in one sentence."""

from __future__ import annotations

import contextlib
import copy
import errno
import inspect
import os
import random
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mnist_efficient_model as challenge
from grading.finding import which_one
from grading.sandbox.importing import OutOfTime

GUARD = 'put that under if __name__ == "__main__":'


# --- Choosing and building --------------------------------------------------------------------------------------------


def models(module: types.ModuleType, wanted: str | None) -> dict[str, Callable[[], nn.Module]]:
    """The builders of the models in a module: the one ``wanted``, else ``build_model``, else all ``complete_models``.

    A class's own training loop called ``train`` gives way to the method by which PyTorch switches modes.
    Raises ChallengeError, or where no class can be built, the error of the last one, which uses the others.
    """
    file, classes = Path(getattr(module, "__file__", None) or module.__name__).name, module_classes(module)
    for kind in classes.values():
        if "train" in vars(kind) and not is_torchs(kind) and not switches_modes(kind.train):
            del kind.train
    if wanted or callable(vars(module).get("build_model")):
        name = wanted or "build_model"
        found = vars(module).get(name)
        if isinstance(found, nn.Module):
            return {name: partial(copy.deepcopy, found)}
        if not callable(found):
            raise challenge.ChallengeError(f"{file} has no class or function {name!r}", challenge.MODEL_ERROR)
        return {name: found}
    found, reasons = complete_models(module)
    if not found:
        if own := [kind for kind in classes.values() if kind.__module__ == module.__name__]:
            trial(own[-1])
        why = f" ({'; '.join(list(dict.fromkeys(reasons))[:3])})" if reasons else ""
        text = f"{file} has no model that reads digits{why}: name one, as in {file}:NAME"
        raise challenge.ChallengeError(text, challenge.MODEL_ERROR)
    return found


def complete_models(module: types.ModuleType) -> tuple[dict[str, Callable[[], nn.Module]], list[str]]:
    """The builders of a module's models that are no part of another one, by name, and why other classes are none.

    A model is an nn.Module class of the module that needs no arguments and maps (2, 1, 28, 28) to (2, 10). A class that
    is part of another one, or the base of another one, gives way to it. Where the module has no such class, those that
    it imports count, and then instances.
    """
    classes = module_classes(module)
    own = {name: v for name, v in classes.items() if v.__module__ == module.__name__}
    others = {name: v for name, v in classes.items() if not is_torchs(v)}
    instances = {name: partial(copy.deepcopy, v) for name, v in vars(module).items() if isinstance(v, nn.Module)}
    reasons: list[str] = []
    for builders in (own, others, instances):
        models = {}
        for name, make in builders.items():
            try:
                models[name] = trial(make)
            except Exception as error:  # a building block of the real model: it wants arguments or another input
                reasons.append(f"{name}: {one_line(error)[:500]}")
        if remaining := {name: builders[name] for name in models if not serves_another(name, models)}:
            return remaining, reasons
    return {}, reasons


def module_classes(module: types.ModuleType) -> dict[str, type[nn.Module]]:
    return {v.__name__: v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module)}


def is_torchs(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "torchvision")


def switches_modes(train: Any) -> bool:
    """Whether a method ``train`` can be called as nn.Module's: ``train(mode=True)``."""
    try:
        parameters = list(inspect.signature(train).parameters.values())[1:]
    except (TypeError, ValueError):
        return False
    first = parameters[0] if parameters else None
    return first is not None and (first.name == "mode" or first.kind is first.VAR_POSITIONAL)


def serves_another(name: str, models: dict[str, nn.Module]) -> bool:
    """Whether a model's class is the base of another one's, or is used inside another one."""
    kind = type(models[name])
    return any(
        type(other) is not kind and (isinstance(other, kind) or any(type(part) is kind for part in other.modules()))
        for other in models.values()
    )


def the_one(found: dict[str, Callable[[], nn.Module]], main: str) -> Callable[[], nn.Module]:
    """The builder of the one model of the file ``main``; raises ChallengeError where there are several."""
    if len(found) > 1:
        raise challenge.ChallengeError(which_one([f"{main}:{name}" for name in found]), challenge.MODEL_ERROR)
    return next(iter(found.values()))


def used_classes(model: nn.Module, folder: str) -> set[str]:
    """The submission's own classes that a model consists of, bases included, each as path:NAME."""
    kinds = {kind for part in model.modules() for kind in type(part).__mro__}
    return {name for kind in kinds if (name := class_path(kind, folder))}


def class_path(kind: type, folder: str) -> str:
    """path:NAME of a class that a file in ``folder`` defines, else an empty string."""
    file = str(getattr(sys.modules.get(kind.__module__), "__file__", None) or "")
    return f"{os.path.relpath(file, folder)}:{kind.__qualname__}" if file.startswith(folder + os.sep) else ""


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def build(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A fresh model, whole (lazy layers too); raises what it raises, and unless it maps (2, 1, 28, 28) to (2, 10)."""
    seed_everything(seed)
    model = make()
    if not isinstance(model, nn.Module):
        raise TypeError(f"it gives {type(model).__name__}, which is no nn.Module")
    check_output(model)
    return model


def trial(make: Callable[[], nn.Module]) -> nn.Module:
    """Build a model without touching the random state; raises as ``build`` does."""
    with torch.no_grad(), torch.random.fork_rng():
        model = make()
        if not isinstance(model, nn.Module):
            raise TypeError(f"it gives {type(model).__name__}, which is no nn.Module")
        check_output(model)
        return model


@torch.no_grad()
def check_output(model: nn.Module) -> None:
    """Raise ValueError unless a model maps two images to ten outputs each. Leaves it and the random state unchanged.

    Only a model with lazy parameters is run itself, which gives them their shapes; of any other a copy is, since a
    forward may set things by the first batch that it gets.
    """
    subject = model
    if not any(nn.parameter.is_lazy(p) for p in model.parameters()):
        with contextlib.suppress(Exception):  # some hold what cannot be copied
            subject = copy.deepcopy(model)
    with torch.random.fork_rng([]):
        output = subject.eval()(torch.rand(2, 1, challenge.SIDE, challenge.SIDE))
    if not isinstance(output, Tensor) or output.shape != (2, challenge.CLASSES):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"two images give {shape}, where the shape must be (2, {challenge.CLASSES})")


# --- What went wrong --------------------------------------------------------------------------------------------------


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place(error: BaseException, folder: str, outermost: bool = False) -> str:
    """``model.py, line 12: the code there`` of the line in ``folder`` that an error came through, or "".

    The innermost line, or the ``outermost`` one: what a file does at its top.
    """
    if isinstance(error, SyntaxError) and error.filename:
        path, line, code = error.filename, error.lineno or 0, (error.text or "").strip()
    else:
        frames = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in frames if frame.filename.startswith(folder + os.sep)]
        if outermost:
            frames = [frame for frame in frames if frame.name == "<module>"] or frames
        if not frames:
            return place(error.__cause__, folder, outermost) if error.__cause__ else ""
        path, line, code = frames[-1].filename, frames[-1].lineno, frames[-1].line or ""
    return f"{os.path.relpath(path, folder)}, line {line}: {code[:100]}"


def describe(error: BaseException, doing: str, folder: str, omitted: Mapping[str, str]) -> tuple[str, str]:
    """The status and the sentence for an error that came out of a submission."""
    where, text, importing = place(error, folder), str(error), doing == "importing it"
    at, guarded = (f"{found} -- " if found else "" for found in (where, place(error, folder, outermost=True)))
    if isinstance(error, MemoryError) or "can't allocate memory" in text or getattr(error, "errno", 0) == errno.ENOMEM:
        return "out_of_memory", f"{at}it asked for more memory than allowed: use smaller layers or batches"
    if isinstance(error, OutOfTime):
        return "timeout", f"{guarded}{text}: {GUARD}"
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC):
        return "rejected", f"{at}it writes a giant file; a model has nothing to write"
    if isinstance(error, SystemExit):
        return (
            "invalid",
            f"{guarded}it ends the program; {GUARD}" if importing else f"{at}it ends the program; take that out",
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        return "invalid", at + missing_module(error.name, omitted)
    if isinstance(error, FileNotFoundError):
        name = os.path.basename(os.fsdecode(error.filename or ""))
        for path, why in omitted.items():
            if os.path.basename(path) == name:
                return "invalid", f"{at}it wants {path}, which {why}"
    if importing and uses_network(error):
        return "invalid", f"{guarded}it uses the network when it is imported: {GUARD}"
    if isinstance(error, challenge.ChallengeError):
        return "invalid", text
    return "invalid", f"{at}{one_line(error)} (while {doing})"


def missing_module(name: str, omitted: Mapping[str, str]) -> str:
    for path, why in omitted.items():
        if path.endswith(".py") and Path(path).stem == name.split(".")[-1]:
            return f"it imports {path}, which {why}"
    return f"it needs {name!r}, which the grading machine does not have: do without it"


def uses_network(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, came from a name server or a connection that was refused."""
    codes = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ENETDOWN)
    while error:
        if type(error).__name__ in ("gaierror", "URLError") or getattr(error, "errno", None) in codes:
            return True
        if "urlopen error" in str(error):  # torchvision's own error tells it in words
            return True
        error = error.__cause__ or error.__context__
    return False
