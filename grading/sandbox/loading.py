"""Choosing and building a submission's model."""

from __future__ import annotations

import ast
import contextlib
import copy
import os
import random
import re
import types
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mnist_efficient_model as challenge
from grading.sandbox import reasons
from grading.sandbox.definitions import Definitions
from grading.sandbox.reasons import RECIPE, Invalid
from grading.sandbox.sources import parse, parts

Builder = Callable[[], nn.Module]
LISTED = 8  # candidates that a reason names
ONE_MODEL = "Put the model into a file model.py, as its one complete nn.Module, or add a function build_model() there."
TO_THE_TOP = "Move its class to the top of the file, or add build_model(): no arguments, and it returns the model."
MAKES_A_MODEL = re.compile(r"def forward\(|\bnn\.(?!\w*Loss\b)[A-Z]")
HAND_IT_IN = "Hand in the file that defines the model, too."
OTHERS = re.compile(r"^\s*(?:import|from)\s+(tensorflow|keras|sklearn|jax|flax|paddle|mxnet|xgboost)\b", re.MULTILINE)


# --- Choosing ---------------------------------------------------------------------------------------------------------


def choose(found: Definitions, files: list[str], wanted: str | None) -> tuple[str, str | None]:
    """The file and, where it holds several, the name of the one model in ``files``. Raises Invalid.

    A model that is a part or a base of another file's gives way to it, as do copies; a file with a RECIPE comes first.
    """
    builders: dict[tuple[str, str], Builder] = {}
    order, failures = {}, []
    for file in files:
        try:
            module = found.load(file)
            for name, make in models(module, found, wanted).items():
                builders[file, name] = make
                imported = getattr(make, "__module__", module.__name__) != module.__name__
                order[file, name] = ("RECIPE" not in vars(module), imported)
        except Exception as error:
            failures.append(reasons.describe(error, "loading it", str(found.folder), found))
    left = remaining({key: builders[key] for key in sorted(builders, key=order.get)})
    if len(left) > 1:
        raise which_one(sorted(f"{file}:{name}" for file, name in left))
    if not left:
        listed = "; ".join(failure.reason for failure in failures[:LISTED])
        advice = " ".join(dict.fromkeys(failure.advice for failure in failures))
        raise Invalid(f"no file has a model that reads digits: {listed}", advice, failures[0].status)
    ((main, name),) = left
    return main, None if sum(file == main for file, _ in builders) == 1 else name


def which_one(candidates: Iterable[str]) -> Invalid:
    """The verdict on several models, each as path:NAME."""
    named = list(candidates)
    more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
    return Invalid(
        f"which of these is the model? {', '.join(named[:LISTED])}{more}: keep only that one, in model.py", ONE_MODEL
    )


def models(module: types.ModuleType, found: Definitions, wanted: str | None) -> dict[str, Builder]:
    """The builders of the models in a module: the one ``wanted``, else ``build_model``, else its complete classes.

    A class is complete if it is made without arguments, maps (2, 1, 28, 28) to (2, 10), and is no part and no base of
    another such class. Where the module has none, classes of the student's other files count, then instances.
    Raises Invalid where there is none, and the error of a build_model, or of the last class, which uses the others.
    """
    name, main = wanted or "build_model", os.path.relpath(module.__file__, found.folder)
    instances = {name: partial(copy.deepcopy, v) for name, v in vars(module).items() if isinstance(v, nn.Module)}
    if callable(value := instances.get(name, vars(module).get(name))):
        try:
            trial(value)
        except Exception:
            refuse_other_frameworks(module, main)
            raise
        return {name: value}
    if wanted:
        raise Invalid(f"{main} has no class or function {name!r}", ONE_MODEL)
    kinds = {v.__name__: v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module)}
    own = {name: kind for name, kind in kinds.items() if kind.__module__ == module.__name__}
    others = {other.__name__ for other in found.modules.values() if other is not module}
    imported = {name: kind for name, kind in kinds.items() if kind.__module__ in others}
    for builders in (own, imported, instances):
        if complete := remaining(builders):
            made = called(found) if len(complete) > 1 else ()  # of several, the one that is made somewhere
            return {name: make for name, make in complete.items() if name in made} or complete
    refuse_other_frameworks(module, main)
    if incomplete := list((own or instances or imported).values()):
        trial(incomplete[-1])
    raise no_model(module, found)


def remaining(builders: Mapping[Any, Builder]) -> dict[Any, Builder]:
    """Those that give a model which is no part and no base of another one's class; of equal models the first."""
    built: dict[Any, nn.Module] = {}
    for key, make in builders.items():
        with contextlib.suppress(Exception):  # a building block of the real model: it wants arguments or another input
            model = trial(make)
            built.setdefault((type(model).__name__, answers(model, key)), (key, model))
    used = set()
    for _, model in built.values():
        used |= {kind for part in model.modules() for kind in type(part).__mro__} - {type(model)}
    used = {kind for kind in used if not kind.__module__.startswith("torch.")}
    return {key: builders[key] for key, model in built.values() if type(model) not in used}


def called(found: Definitions) -> set[str]:
    """The names that any of the student's code calls."""
    names = set()
    for path in (path for kind in ("*.py", "*.ipynb") for path in found.folder.rglob(kind) if path.is_file()):
        for text in parts(path.read_text(encoding="utf-8")):
            with contextlib.suppress(SyntaxError):
                calls = [node.func for node in ast.walk(parse(text)) if isinstance(node, ast.Call)]
                names |= {getattr(each, "id", getattr(each, "attr", "")) for each in calls}
    return names


def answers(model: nn.Module, otherwise: Any) -> Any:
    """What a model makes of noise, as bytes; ``otherwise`` where it cannot tell."""
    images = torch.rand(2, 1, challenge.SIDE, challenge.SIDE, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng([]), torch.no_grad(), contextlib.suppress(Exception):
        torch.manual_seed(0)
        subjects = copy.deepcopy(model).train(), copy.deepcopy(model).eval()
        return tuple(subject(images).numpy().tobytes() for subject in subjects)
    return otherwise


def no_model(module: types.ModuleType, found: Definitions) -> Invalid:
    """Why a file that defines no model does not."""
    path, folder = module.__file__, str(found.folder)
    main = os.path.relpath(path, folder)
    text = Path(path).read_text(encoding="utf-8")
    if not text.strip():
        return Invalid(f"{main} is empty", "Put the model into it, and save the file before you hand it in.")
    skipped = [each for each in found.skipped if each.path == path]
    for each in skipped:
        if isinstance(each.error, SyntaxError) or (each.error and isinstance(each.node, ast.ClassDef)):
            return reasons.describe(each.error, "loading it", folder, found)
    functions = [node for (file, _), node in found.defined.items() if file == path and hasattr(node, "args")]
    for node in [*(each.node for each in skipped if not each.error), *functions]:
        if MAKES_A_MODEL.search(ast.unparse(node)):
            where = reasons.line_of(path, node.lineno, folder)
            return Invalid(f"{where} -- a model is made in here, which is not run: only definitions are", TO_THE_TOP)
    missing = {each.error.name for each in skipped if isinstance(each.error, ModuleNotFoundError)}
    if missing and "torch" in text:
        names = " and ".join(map(repr, sorted(missing)))
        return Invalid(f"{main} defines no model, and imports {names}, which is not among the files read", HAND_IT_IN)
    return Invalid(f"{main} has no model: it defines no class of nn.Module, and no build_model()", ONE_MODEL)


def refuse_other_frameworks(module: types.ModuleType, main: str) -> None:
    """Raise Invalid for a file that is written with one of them, and without PyTorch."""
    text = Path(module.__file__).read_text(encoding="utf-8")
    if "torch" not in text and (other := OTHERS.search(text)):
        raise Invalid(f"{main} is written with {other[1]}, not with PyTorch", "Write it as a class of nn.Module.")


# --- Building ---------------------------------------------------------------------------------------------------------


def trial(make: Builder) -> nn.Module:
    """Build a model, always with the same random numbers, without touching the random state; raises as ``build``."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build(make)


def build(make: Builder, seed: int | None = None) -> nn.Module:
    """A fresh model, complete (lazy layers too); raises what it raises, and where it is none (see check_model).

    It is checked in a copy, since a forward may set things by the first batch that it gets, but for a model with lazy
    parameters, which gets their shapes by this.
    """
    if seed is not None:
        seed_everything(seed)
    model = make()
    subject = model
    if isinstance(model, nn.Module) and not any(nn.parameter.is_lazy(p) for p in model.parameters()):
        with contextlib.suppress(Exception):  # some hold what cannot be copied
            subject = copy.deepcopy(model)
    challenge.check_model(subject)
    return model


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def recipe(module: types.ModuleType, found: Definitions) -> dict[str, Any]:
    """The recipe of a file over the default for files. Raises Invalid where its line was not run, or ChallengeError."""
    for skipped in found.skipped:
        if "RECIPE" in skipped.names and skipped.path == module.__file__ and "RECIPE" not in vars(module):
            if skipped.error:
                raise reasons.describe(skipped.error, "loading it", str(found.folder), found)
            raise Invalid(f"{reasons.skipped_line(skipped, found)} was not run, since only definitions are", RECIPE)
    own = challenge.read_recipe(vars(module).get("RECIPE", {}))
    return challenge.override(challenge.FILE_OVERRIDES, own)


def check_last_batch(model: nn.Module, batch_size: int, images: int) -> None:
    """Raise Invalid where an epoch has a batch of one image, and the model's BatchNorm cannot train on one."""
    if 1 not in (batch_size, images % batch_size):
        return
    try:
        with torch.random.fork_rng([]), torch.no_grad():
            copy.deepcopy(model).train()(torch.rand(1, 1, challenge.SIDE, challenge.SIDE))
    except Exception as error:
        if "more than 1 value per channel" in str(error):  # of others, the training will say so
            reason = f"BatchNorm cannot train on a single image, and batch_size {batch_size:,} leaves one for a batch"
            raise Invalid(reason, "Set another batch_size in RECIPE: the default is 64.") from error
