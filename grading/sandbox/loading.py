"""Choosing and building a submission's model as ``--model FILE.py`` does, and what went wrong, in one sentence."""

from __future__ import annotations

import errno
import os
import random
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

import mnist_efficient_model as challenge
from grading.finding import which_one
from grading.sandbox.importing import OutOfTime

GUARD = 'put that under if __name__ == "__main__":'


# --- Choosing and building --------------------------------------------------------------------------------------------


def models(module: types.ModuleType, wanted: str | None) -> dict[str, Callable[[], nn.Module]]:
    """The builders of the models in a module: the one that ``--model FILE.py[:NAME]`` chooses, or all it could be.

    Raises ChallengeError, or where no class can be built, the error of the last one, which uses the others.
    """
    try:
        return dict([challenge.choose_model(module, wanted)])
    except challenge.ChallengeError:
        if not wanted:
            found, _ = challenge.complete_models(module)
            if len(found) > 1:
                return found
            own = [kind for kind in challenge.module_classes(module).values() if kind.__module__ == module.__name__]
            if own:
                challenge.trial(own[-1])
        raise


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
    """A fresh model, whole (lazy layers too), as ``mnist_efficient_model.run`` would have it; raises what it raises."""
    seed_everything(seed)
    model = make()
    if not isinstance(model, nn.Module):
        raise TypeError(f"it gives {type(model).__name__}, which is no nn.Module")
    challenge.check_output(model, torch.device("cpu"))
    return model


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
