"""Importing a submission, building its model as ``--model FILE.py`` does, and what went wrong, in one sentence."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import inspect
import os
import random
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mnist_efficient_model as challenge
from grading.sandbox.isolation import ROOT
from grading.sandbox.placeholders import Placeholder, Placeholders

OWN_NAMES = ("mnist_efficient_model", "grading", "data", "export", "report")  # of this project, at the top
MISSING_PACKAGES = 20  # missing packages that are replaced before the import is given up


# --- Importing --------------------------------------------------------------------------------------------------------


def write_submission(files: Mapping[str, bytes], folder: str) -> None:
    """Lay out a submission's code."""
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def import_submission(main: str, folder: str) -> types.ModuleType:
    """Import the file ``main`` of ``folder``; both its own folder and ``folder`` are first on the path.

    A package that is not installed is replaced by placeholders, and the import begins anew.
    """
    path = Path(folder, main)
    others = [place for place in sys.path if place and os.path.realpath(place) != ROOT]
    sys.path[:] = [*dict.fromkeys((str(path.parent), folder)), *others]
    own = {name.removesuffix(".py") for name in os.listdir(folder) + os.listdir(path.parent)}
    for name in own.intersection(OWN_NAMES):
        forget(lambda loaded, _, top=name: loaded == top or loaded.startswith(f"{top}."))
    challenge.import_file.cache_clear()
    Placeholder.importing = True
    placeholders = Placeholders()
    sys.meta_path.insert(0, placeholders)
    importlib.invalidate_caches()
    for _ in range(MISSING_PACKAGES):
        try:
            module = import_main(path, folder)
            Placeholder.importing = False
            return module
        except ModuleNotFoundError as error:
            name = (error.name or "").split(".")[0]
            if not name or name in placeholders.missing or name in own or name in sys.modules or installed(name):
                raise
            placeholders.add(name)
            forget(lambda _, module: str(getattr(module, "__file__", None) or "").startswith(folder + os.sep))
    raise ImportError(f"more than {MISSING_PACKAGES} packages are missing")


def import_main(path: Path, folder: str) -> types.ModuleType:
    """As ``--model FILE.py`` imports it, or under its full name where it is part of a package."""
    parts, parent = [path.stem], path.parent
    while (parent / "__init__.py").exists() and str(parent) != folder:
        parts.insert(0, parent.name)
        parent = parent.parent
    if len(parts) == 1 or not all(part.isidentifier() for part in parts) or parts[0] in sys.modules:
        return challenge.import_file(path)
    sys.path.insert(0, str(parent))
    return importlib.import_module(".".join(parts))


def forget(which: Callable[[str, types.ModuleType], bool]) -> None:
    """Take modules out of Python's list of loaded ones."""
    for name, module in list(sys.modules.items()):
        if which(name, module):
            del sys.modules[name]


def installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


# --- Choosing and building --------------------------------------------------------------------------------------------


def choose(module: types.ModuleType, wanted: str | None) -> Callable[[], nn.Module]:
    """The builder of the model in a module, as ``--model FILE.py[:NAME]`` chooses it.

    Raises ChallengeError, or where no class can be built, the error of the last one, which uses the others.
    """
    classes = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module)]
    own = [kind for kind in classes if kind.__module__ == module.__name__]
    for kind in own:
        if "train" in vars(kind) and not switches_modes(kind.train):
            del kind.train  # a training loop of its own under the name by which PyTorch switches modes
    try:
        return challenge.choose_model(module, wanted)[1]
    except challenge.ChallengeError:
        if own and not wanted:
            challenge.trial(own[-1])
        raise


def switches_modes(train: Any) -> bool:
    """Whether a method ``train`` can be called as nn.Module's: ``train(mode=True)``."""
    try:
        parameters = list(inspect.signature(train).parameters.values())[1:]
    except (TypeError, ValueError):
        return False
    first = parameters[0] if parameters else None
    return first is not None and (first.name == "mode" or first.kind is first.VAR_POSITIONAL)


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


def place(error: BaseException, folder: str) -> str:
    """``model.py, line 12: the code there`` of the innermost line in ``folder`` that an error came through, or ""."""
    if isinstance(error, SyntaxError) and error.filename:
        path, line, code = error.filename, error.lineno or 0, (error.text or "").strip()
    else:
        frames = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in frames if frame.filename.startswith(folder + os.sep)]
        if not frames:
            return place(error.__cause__, folder) if error.__cause__ else ""
        path, line, code = frames[-1].filename, frames[-1].lineno, frames[-1].line or ""
    return f"{os.path.relpath(path, folder)}, line {line}: {code[:100]}"


def describe(error: BaseException, doing: str, folder: str, omitted: Mapping[str, str]) -> tuple[str, str]:
    """The status and the sentence for an error that came out of a submission."""
    where, text = place(error, folder), str(error)
    at = f"{where} -- " if where else ""
    if isinstance(error, MemoryError) or "can't allocate memory" in text or getattr(error, "errno", 0) == errno.ENOMEM:
        return "out_of_memory", f"{at}it asked for more memory than allowed: use smaller layers or batches"
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC):
        return "rejected", f"{at}it writes a giant file; a model has nothing to write"
    if isinstance(error, SystemExit):
        cure = 'put that under if __name__ == "__main__":' if doing == "importing it" else "take that out"
        return "invalid", f"{at}it ends the program; {cure}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return "invalid", at + missing_module(error.name, omitted)
    if isinstance(error, FileNotFoundError):
        name = os.path.basename(os.fsdecode(error.filename or ""))
        for path, why in omitted.items():
            if os.path.basename(path) == name:
                return "invalid", f"{at}it wants {path}, which {why}"
    if isinstance(error, OSError) and doing == "importing it" and uses_network(error):
        return "invalid", f'{at}it uses the network when it is imported: put that under if __name__ == "__main__":'
    if isinstance(error, challenge.ChallengeError):
        return "invalid", text
    return "invalid", f"{at}{one_line(error)} (while {doing})"


def missing_module(name: str, omitted: Mapping[str, str]) -> str:
    for path, why in omitted.items():
        if path.endswith(".py") and Path(path).stem == name.split(".")[-1]:
            return f"it imports {path}, which {why}"
    return f"it needs {name.split('.')[0]!r}, which the grading machine does not have: do without it"


def uses_network(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, came from a name server or a connection that was refused."""
    codes = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ENETDOWN)
    while error:
        if type(error).__name__ in ("gaierror", "URLError") or getattr(error, "errno", None) in codes:
            return True
        error = error.__cause__ or error.__context__
    return False
