"""What stands for anything of a package that is not installed."""

from __future__ import annotations

import inspect
import types
from typing import Any

from torch import Tensor, nn


class StandInModule(nn.Module):
    """A base class of a package that is not installed, such as LightningModule."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __init_subclass__(cls, **_: Any) -> None:
        super().__init_subclass__()

    def save_hyperparameters(self, *_: Any, **__: Any) -> None:
        """Lightning's: the arguments of the caller's ``__init__`` become ``self.hparams``."""
        given = inspect.currentframe().f_back.f_locals
        self.hparams = types.SimpleNamespace(**{k: v for k, v in given.items() if k not in ("self", "__class__")})


class StandIn:
    """A name of a package that is not installed: attributes, items and calls of it are stand-ins too.

    A call with tensors raises ModuleNotFoundError, since a model would need the real one.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> StandIn:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(f"{self.__name__}.{name}")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if any(isinstance(value, Tensor) for value in (*arguments, *named.values())):
            raise ModuleNotFoundError(f"No module named {self.__name__!r}", name=self.__name__)
        is_decorator = len(arguments) == 1 and not named and isinstance(arguments[0], (type, types.FunctionType))
        return arguments[0] if is_decorator else StandIn(self.__name__)

    def __getitem__(self, _: Any) -> StandIn:
        return self

    def __or__(self, _: Any) -> StandIn:  # in annotations
        return self

    __ror__ = __or__

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        real = any(isinstance(base, type) and issubclass(base, nn.Module) for base in bases)
        first = next(base for base in bases if isinstance(base, StandIn)) is self
        return () if real or not first else (StandInModule,)

    def __instancecheck__(self, _: Any) -> bool:
        return False
