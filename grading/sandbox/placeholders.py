"""Packages that a submission imports and the grading machine does not have: stand-ins that do nothing until called."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import types
from collections.abc import Iterator
from typing import Any

from torch import nn


class Placeholder:
    """Stands for whatever a missing package would hold: does nothing at import, and raises when called later."""

    importing = True  # of all placeholders

    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self.__name__}.{name}")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not Placeholder.importing:
            package = self.__name__.split(".")[0]
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        decorates = len(arguments) == 1 and not named and isinstance(arguments[0], (type, types.FunctionType))
        return arguments[0] if decorates else self

    def __mro_entries__(self, bases: tuple) -> tuple[type, ...]:
        """A class derived from a missing LightningModule is an nn.Module; from anything else, a plain class."""
        return (LightningModule,) if self.__name__.endswith("LightningModule") else (object,)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> Placeholder:
        return self

    def __exit__(self, *_: Any) -> None:
        return None


class LightningModule(nn.Module):
    """What a model needs of Lightning to be built and run, where Lightning is missing."""

    def save_hyperparameters(self, *_: Any, **__: Any) -> None:
        return None

    log = log_dict = save_hyperparameters


class PlaceholderModule(types.ModuleType):
    """A module of a missing package."""

    __version__ = "999"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self.__name__}.{name}")

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # import tqdm; tqdm(...)
        return Placeholder(self.__name__)(*arguments, **named)


class Placeholders(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the packages that are missing, by name."""

    def __init__(self) -> None:
        self.missing: set[str] = set()

    def add(self, name: str) -> None:
        self.missing.add(name)
        if name == "tensorboard":
            self.missing.add("torch.utils.tensorboard")  # which only wraps it

    def find_spec(self, fullname: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self.missing):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return PlaceholderModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None
