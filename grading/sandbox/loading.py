"""Choosing and building a submission's model."""

from __future__ import annotations

import ast
import contextlib
import copy
import os
import random
import types
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

import mnist_efficient_model as challenge
from grading.sandbox import reasons
from grading.sandbox.definitions import Definitions
from grading.sandbox.reasons import INTO_THE_CLASS, RECIPE, Invalid

Builder = Callable[[], nn.Module]
LISTED = 8  # candidates that a reason names
ONE_MODEL = "Put the model into a file model.py, as its one complete nn.Module, or add a function build_model() there."
OTHERS = {
    "tensorflow": "Keras (TensorFlow)",
    "keras": "Keras",
    "sklearn": "scikit-learn",
    "jax": "JAX",
    "flax": "JAX",
    "paddle": "Paddle",
    "mxnet": "MXNet",
    "xgboost": "XGBoost",
}


# --- Choosing ---------------------------------------------------------------------------------------------------------


def which_one(candidates: Iterable[str]) -> Invalid:
    """The verdict on several models, each as path:NAME."""
    named = list(candidates)
    more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
    return Invalid(f"which of these is the model? {', '.join(named[:LISTED])}{more}: call its file model.py", ONE_MODEL)


def models(module: types.ModuleType, found: Definitions, wanted: str | None) -> dict[str, Builder]:
    """The builders of the models in a module: the one ``wanted``, else ``build_model``, else its complete classes.

    A class is complete if it is made without arguments, maps (2, 1, 28, 28) to (2, 10), and is no part and no base of
    another such class. Where the module has none, classes of the student's other files count, then instances.
    Raises Invalid where there is none, or the error of the last class, which uses the others.
    """
    name = wanted or "build_model"
    value = vars(module).get(name)
    if isinstance(value, nn.Module):
        return {name: partial(copy.deepcopy, value)}
    if callable(value):
        return {name: value}
    main = os.path.relpath(module.__file__, found.folder)
    if wanted:
        raise Invalid(f"{main} has no class or function {name!r}", ONE_MODEL)
    kinds = {v.__name__: v for v in vars(module).values() if is_own_class(v, found)}
    own = {name: kind for name, kind in kinds.items() if kind.__module__ == module.__name__}
    instances = {name: partial(copy.deepcopy, v) for name, v in vars(module).items() if isinstance(v, nn.Module)}
    for builders in (own, {name: kind for name, kind in kinds.items() if name not in own}, instances):
        if complete := remaining(builders):
            return complete
    if candidate := list(own.values() or instances.values() or kinds.values()):
        trial(candidate[-1])
    raise no_model(main, found)


def is_own_class(value: object, found: Definitions) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module) and found.owns(value)


def remaining(builders: dict[str, Builder]) -> dict[str, Builder]:
    """Those that give a model which is no part and no base of another one's class; one model under two names is one."""
    built: dict[str, nn.Module] = {}
    for name, make in builders.items():
        with contextlib.suppress(Exception):  # a building block of the real model: it wants arguments or another input
            built[name] = trial(make)
    used = {kind for model in built.values() for kind in used_classes(model)}
    return {name: builders[name] for name in distinct(built) if type(built[name]) not in used}


def used_classes(model: nn.Module) -> set[type]:
    """The classes that a model consists of beside its own and PyTorch's, bases included."""
    kinds = {kind for part in model.modules() for kind in type(part).__mro__} - {type(model)}
    return {kind for kind in kinds if not kind.__module__.startswith("torch.")}


def distinct(built: Mapping[Any, nn.Module]) -> list[Any]:
    """The keys of models, without those that answer as an earlier one does: copies of it in another file."""
    first: dict[Any, Any] = {}
    images = torch.rand(2, 1, challenge.SIDE, challenge.SIDE, generator=torch.Generator().manual_seed(0))
    for key, model in built.items():
        answers: Any = key
        with torch.random.fork_rng([]), torch.no_grad(), contextlib.suppress(Exception):
            torch.manual_seed(0)
            subjects = copy.deepcopy(model).train(), copy.deepcopy(model).eval()
            answers = tuple(subject(images).numpy().tobytes() for subject in subjects)
        first.setdefault((type(model).__name__, answers), key)
    return list(first.values())


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
                raise reasons.describe(skipped.error, "loading it", str(found.folder), {}, found)
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
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            over = f"leaves 1 of {images:,} images for the last batch" if batch_size > 1 else "gives it one at a time"
            reason = f"BatchNorm cannot train on a single image, and batch_size {batch_size:,} {over}"
            raise Invalid(reason, "Set another batch_size in RECIPE: the default is 64.") from error
    except Exception:  # the training will say so
        return


# --- Several files ----------------------------------------------------------------------------------------------------


def choose(found: Definitions, names: list[str], wanted: str | None) -> tuple[str, str | None]:
    """The file and, where it holds several, the name of the one model in the files ``names``. Raises Invalid.

    A model that is a part or a base of another file's gives way to it, as do copies; a file with a RECIPE comes first.
    """
    builders: dict[tuple[str, str], Builder] = {}
    failures: dict[str, Invalid] = {}
    loaded = {}
    for name in names:
        try:
            loaded[name] = found.load(name)
        except Exception as error:
            failures[name] = reasons.describe(error, "loading it", str(found.folder), {}, found)
    for name in sorted(loaded, key=lambda name: "RECIPE" not in vars(loaded[name])):
        found.main = name
        try:
            for model, make in models(loaded[name], found, wanted).items():
                builders[name, model] = make
        except Exception as error:
            failures[name] = reasons.describe(error, "building it", str(found.folder), {}, found)
    places: dict[Builder, tuple[str, str]] = {}  # a class that several files import is one, where it is defined
    for key, make in builders.items():
        if make not in places or (isinstance(make, type) and make.__module__ == loaded[key[0]].__name__):
            places[make] = key
    left = remaining({key: make for make, key in places.items()})
    if len(left) > 1:
        raise which_one(sorted(f"{name}:{model}" for name, model in left))
    if not left:
        listed = "; ".join(failure.reason for failure in list(failures.values())[:LISTED])
        first = next(iter(failures.values()))
        raise Invalid(f"no file has a model that reads digits: {listed}", first.advice, first.status)
    ((main, model),) = left
    return main, None if sum(name == main for name, _ in builders) == 1 else model


# --- No model ---------------------------------------------------------------------------------------------------------


def no_model(main: str, found: Definitions) -> Invalid:
    """Why a file that defines no model does not."""
    file, folder = str(found.folder / main), str(found.folder)
    text = (found.folder / main).read_text(encoding="utf-8")
    if not text.strip():
        return Invalid(f"{main} is empty", "Put the model into it, and save the file before you hand it in.")
    failed = [skipped for skipped in found.skipped if skipped.path == file]
    for skipped in failed:
        if isinstance(skipped.error, SyntaxError) or (skipped.error and isinstance(skipped.node, ast.ClassDef)):
            return reasons.describe(skipped.error, "loading it", folder, {}, found)
    if other := next((OTHERS[name] for name in sorted(found.imported) if name in OTHERS), ""):
        reason = f"{main} is written with {other}, and has no PyTorch model: this challenge takes an nn.Module"
        return Invalid(reason, "Write the model as a class of torch.nn.Module.")
    for skipped in failed:
        if isinstance(skipped.node, ast.If) and makes_a_model(skipped.node):
            where = reasons.skipped_line(skipped, found)
            reason = f'{where} -- its model is made under if __name__ == "__main__", which is not run'
            return Invalid(reason, "Move the model's class out of it, to the top level, or add build_model().")
    for (module, name), node in found.functions.items():
        if isinstance(node, ast.FunctionDef) and found.modules.get(file).__name__ == module and makes_a_model(node):
            where = reasons.line_of(file, node.lineno, folder, found)
            reason = f"{where} -- its model is made in the function {name}(), and only build_model() is called"
            return Invalid(reason, f"Rename {name}() to build_model(): no arguments, and it returns the model.")
    for skipped in failed:
        if skipped.error is None and makes_a_model(skipped.node):
            where = reasons.skipped_line(skipped, found)
            return Invalid(f"{where} was not run, since only definitions are", INTO_THE_CLASS)
    return Invalid(f"{main} has no model: it defines no class of nn.Module, and no build_model()", ONE_MODEL)


def makes_a_model(node: ast.AST) -> bool:
    """Whether code has a class with a forward, or makes one of torch.nn's layers."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.ClassDef) and any(getattr(each, "name", "") == "forward" for each in inner.body):
            return True
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "nn":
            return True
    return False
