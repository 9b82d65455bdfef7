"""Importing a submission: its own files, packages that are missing, and what is left where the import ends early.

What an import defined before it failed or its time was over counts: such a module stays, and the error is handed on.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import types
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grading.notebook import NOTEBOOK_CODE
from grading.sandbox.isolation import ROOT
from grading.sandbox.placeholders import Placeholder, Placeholders

OWN_NAMES = ("mnist_efficient_model", "grading", "data", "export", "report")  # of this project, at the top
MISSING_PACKAGES = 20  # missing packages that are replaced before the import is given up
WAITING = 2.5  # times the seconds of computing that an import may take, on the clock
GRACE = 1.0  # seconds after which whatever still runs is interrupted again


class OutOfTime(BaseException):
    """The import took longer than an import may; no ``except Exception`` of the submission holds it."""


def write_submission(files: Mapping[str, bytes], folder: str) -> None:
    """Lay out a submission's code."""
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def import_submission(main: str, folder: str, seconds: float) -> tuple[types.ModuleType, BaseException | None]:
    """Import the file ``main`` of ``folder``; the folders from its own up to ``folder`` are first on the path.

    Returns the module and, where it or one of its own imports ended early, the first error: what was defined before is
    there. An import may compute for so many ``seconds``. Raises what it raises where not even a module is left.
    """
    path = Path(folder, main)
    others = [place for place in sys.path if place and os.path.realpath(place) != ROOT]
    upwards = [place for place in path.parents if place.is_relative_to(folder)]
    sys.path[:] = [*map(str, upwards), *others]
    own = {name.removesuffix(".py") for place in upwards for name in os.listdir(place)}
    for name in own.intersection(OWN_NAMES):
        forget(lambda loaded, _, top=name: loaded == top or loaded.startswith(f"{top}."))
    Placeholder.importing = True
    own_files, placeholders = OwnFiles(folder), Placeholders()
    sys.meta_path.insert(sys.meta_path.index(importlib.machinery.PathFinder), own_files)
    sys.meta_path.insert(0, placeholders)
    importlib.invalidate_caches()
    try:
        with time_limit(seconds):
            module = import_replacing(path, folder, own, own_files, placeholders)
    except BaseException as error:
        module = sys.modules.get(main_name(path))
        if module is None:
            raise
        own_files.cuts.insert(0, error)
    finally:
        stop_timers()  # once more: one may have gone off while they were stopped
        Placeholder.importing = False
    return module, own_files.cuts[0] if own_files.cuts else None


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after so many seconds of computing, or more of waiting.

    A busy machine cuts nothing off that way. It is raised every second from then on: a bare ``except`` may catch it.
    """

    def stop(*_: Any) -> None:
        raise OutOfTime(f"its import was stopped after {seconds:.0f} s")

    signal.signal(signal.SIGPROF, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, GRACE)
    signal.setitimer(signal.ITIMER_REAL, seconds * WAITING, GRACE)
    try:
        yield
    finally:
        stop_timers()


def stop_timers() -> None:
    for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
        signal.setitimer(timer, 0)


def import_replacing(
    path: Path, folder: str, own: set[str], own_files: OwnFiles, placeholders: Placeholders
) -> types.ModuleType:
    """Import a file, and again with placeholders for each package that turns out to be missing."""
    for _ in range(MISSING_PACKAGES):
        own_files.cuts.clear()
        try:
            return import_main(path, folder, own_files)
        except ModuleNotFoundError as error:
            top = (error.name or "").split(".")[0]
            missing = error.name if installed(top) else top  # google.colab, where google is there
            elsewhere = folder_of(top, folder)
            if elsewhere and elsewhere not in sys.path:
                sys.path.append(elsewhere)
            elif not top or missing in placeholders.missing or top in own or missing in sys.modules:
                raise
            else:
                placeholders.add(missing)
            forget(lambda _, module: str(getattr(module, "__file__", None) or "").startswith(folder + os.sep))
    raise ImportError(f"more than {MISSING_PACKAGES} packages are missing")


def folder_of(module: str, folder: str) -> str | None:
    """Where in a submission a module lies that a file expects on its path, which the file's author set otherwise."""
    found = sorted(Path(folder).rglob(f"{module}.py")) if module.isidentifier() else []
    return str(found[0].parent) if found else None


def main_name(path: Path) -> str:
    """The name under which ``--model FILE.py`` imports a file."""
    return f"{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"


def empty_module(path: Path) -> types.ModuleType:
    """The module of a file, among the loaded ones before its code is executed: what it defines until it fails stays."""
    spec = importlib.util.spec_from_file_location(main_name(path), path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    return module


def import_main(path: Path, folder: str, own_files: OwnFiles) -> types.ModuleType:
    """As ``--model FILE.py`` imports it, or under its full name where it is part of a package; a notebook by cells."""
    if path.name.endswith(NOTEBOOK_CODE):
        return import_notebook(path, own_files)
    parts, parent, dots = [path.stem], path.parent, relative_dots(path)
    while ((parent / "__init__.py").exists() or len(parts) <= dots) and str(parent) != folder:
        parts.insert(0, parent.name)
        parent = parent.parent
    if len(parts) == 1 or not all(part.isidentifier() for part in parts) or parts[0] in sys.modules:
        module = empty_module(path)
        with contextlib.chdir("."):  # back here, whatever its code does
            module.__spec__.loader.exec_module(module)
        return module
    sys.path.insert(0, str(parent))
    return importlib.import_module(".".join(parts))


def relative_dots(path: Path) -> int:
    """The most dots of a relative import in a file."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        tree = ast.parse(path.read_bytes())
        return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)
    return 0


def import_notebook(path: Path, own_files: OwnFiles) -> types.ModuleType:
    """Execute a notebook's code; a statement that fails does not keep the cells below from being run, as in Jupyter."""
    module = empty_module(path)
    for node in ast.parse(path.read_bytes()).body:
        try:
            exec(compile(ast.Module([node], []), str(path), "exec", dont_inherit=True), vars(module))
        except (ModuleNotFoundError, OutOfTime):
            raise
        except BaseException as error:
            own_files.cuts.append(error)
    return module


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


# --- A submission's own modules ---------------------------------------------------------------------------------------


class OwnFiles(importlib.abc.MetaPathFinder):
    """Finds a submission's own modules where Python would, and notes whose import ended early."""

    def __init__(self, folder: str) -> None:
        self.folder, self.cuts = folder, []

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        places = [place for place in path or sys.path if Path(place).is_relative_to(self.folder)]
        spec = importlib.machinery.PathFinder.find_spec(fullname, places, target) if places else None
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = OwnLoader(fullname, spec.loader.path)
            spec.loader.cuts = self.cuts
            return spec
        return None


class OwnLoader(importlib.machinery.SourceFileLoader):
    """Keeps what a module defined before its import failed; placeholders stand for all else that is asked of it."""

    cuts: list[BaseException]

    def exec_module(self, module: types.ModuleType) -> None:
        try:
            super().exec_module(module)
        except ModuleNotFoundError:  # a placeholder will take its place
            raise
        except BaseException as error:
            self.cuts.append(error)
            module.__getattr__ = lambda name: stand_in(module, name)


def stand_in(module: types.ModuleType, name: str) -> Any:
    """What a module that ended early lacks: a module inside it, or a placeholder."""
    if name.startswith("__"):
        raise AttributeError(name)
    if hasattr(module, "__path__"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(f"{module.__name__}.{name}")
    return Placeholder(f"{module.__name__}.{name}")
