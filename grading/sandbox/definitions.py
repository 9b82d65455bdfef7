"""Loading the definitions of a student's code: its imports, classes, functions and plain assignments, nothing else.

Training loops, ``with`` blocks, calls for their effect and what stands under ``if __name__ == "__main__"`` do not run.
A statement that fails is skipped: a training script is a module like any other, and no data is needed to load it.
A package that is not installed is replaced by stand-ins. Every file is part of one package, so that relative imports
work, and its own imports are looked for in every folder of the submission, since a script may change ``sys.path``.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.abc
import importlib.util
import inspect
import os
import re
import sys
import types
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from grading.sandbox.isolation import ROOT
from grading.sandbox.sources import parse, parts

PACKAGE = "submission"
LOOPS = (ast.For, ast.While, ast.With)
FILLING = {"append", "extend", "insert", "update", "add", "setdefault", "add_module", "register_module", "add_argument"}
EFFECTS = {"input", "print", "exit", "quit", "optim", "hub", "system"}  # and the names of whatever has some, see Loader
VALUES = sys.stdlib_module_names | {"torch", "numpy", "einops"}  # packages whose functions make values ...
VALUES -= {"subprocess", "multiprocessing", "threading", "socket", "urllib", "http"}  # ... and others


class Skipped(NamedTuple):
    """A statement at the top of a file that was not run, or failed."""

    path: str
    node: ast.stmt
    names: set[str]  # that it would have bound
    error: BaseException | None  # None: it is no definition


class Definitions(importlib.abc.MetaPathFinder):
    """Loads the files in a folder; what was skipped stays here."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.folders = [folder, *sorted(str(path) for path in self.folder.rglob("*") if path.is_dir())]
        self.main = ""  # the file that is being loaded
        self.modules: dict[str, types.ModuleType] = {}  # by path: a file is one module under all its names
        self.skipped: list[Skipped] = []
        self.defined: dict[tuple[str, str], ast.stmt] = {}  # functions and classes by path and name
        self.effects = set(EFFECTS)
        own = {path.stem for path in self.folder.rglob("*")}
        for name, module in list(sys.modules.items()):
            file = str(getattr(module, "__file__", None) or "")
            if file.startswith(folder + os.sep) or (name.partition(".")[0] in own and file.startswith(ROOT + os.sep)):
                del sys.modules[name]  # of an earlier load, or this project's own of the same name
        root = sys.modules[PACKAGE] = types.ModuleType(PACKAGE)
        root.__path__ = [folder]
        importlib.invalidate_caches()
        sys.meta_path[:] = [self, *(finder for finder in sys.meta_path if not isinstance(finder, Definitions))]

    def load(self, name: str) -> types.ModuleType:
        """The module of a file, named relative to the folder. Raises SyntaxError where it is no Python."""
        self.main, file = name, self.folder / name
        self.folders.sort(key=lambda folder: folder != str(file.parent))  # stable: the file's own folder first
        full = ".".join([PACKAGE, *Path(name).with_suffix("").parts])
        spec = importlib.util.spec_from_file_location(full, file, loader=Loader(full, str(file), self))
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def find_spec(self, name: str, path: Iterable[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Where one of the student's modules or packages is; None for any other."""
        if path is None and name in sys.stdlib_module_names:
            return None
        places = self.folders if path is None else [each for each in path if Path(each).is_relative_to(self.folder)]
        spec = PathFinder.find_spec(name, places) if places else None
        if spec and spec.origin:
            spec.loader = Loader(name, spec.origin, self)
        return spec

    def skip(self, path: str, node: ast.stmt, error: BaseException | None) -> None:
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        aliases = [alias for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)]
        names |= {getattr(node, "name", None), *(alias.asname or alias.name for alias in aliases)}
        self.skipped.append(Skipped(path, node, names - {None}, error))


class Loader(SourceFileLoader):
    """Runs the definitions of one file.

    A statement that calls something is run if none of the names in the call stands for what has effects: functions with
    loops in them, and what is imported from packages that are not only there to make values.
    """

    def __init__(self, name: str, path: str, definitions: Definitions) -> None:
        super().__init__(name, path)
        self.definitions, self.flags = definitions, 0

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        return self.definitions.modules.get(self.path)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the definitions of the file, one after another. Raises SyntaxError, but not for a cell of a notebook."""
        if self.path in self.definitions.modules:
            return
        self.definitions.modules[self.path] = module
        for text in parts(Path(self.path).read_text(encoding="utf-8")):
            try:
                body = parse(text).body
            except SyntaxError as error:
                error.filename = self.path
                if not self.path.endswith(".ipynb"):
                    raise
                names = set(re.findall(r"^(?:class |def )?(\w+)", text, re.MULTILINE))
                self.definitions.skipped.append(Skipped(self.path, ast.Pass(lineno=error.lineno or 1), names, error))
            else:
                self.run(body, vars(module))

    def run(self, body: list[ast.stmt], names: dict[str, Any]) -> None:
        """Run those statements that are definitions, and note those that are none, or fail."""
        definitions = self.definitions
        for node in body:
            try:
                match node:
                    case ast.Import() | ast.ImportFrom():
                        self.run_import(node, names)
                    case ast.FunctionDef() | ast.ClassDef():
                        definitions.defined[self.path, node.name] = node
                        if isinstance(node, ast.ClassDef):
                            node.body = [each for each in node.body if not is_loop(each)] or [ast.Pass()]
                        elif any(isinstance(n, LOOPS) for n in ast.walk(node)) or self.has_effects(node):
                            definitions.effects.add(node.name)
                        self.execute(node, names)
                    case ast.If() if "__name__" not in ast.unparse(node.test) and not self.has_effects(node.test):
                        chosen = eval(compile(ast.Expression(node.test), self.path, "eval"), names)
                        self.run(node.body if chosen else node.orelse, names)
                    case ast.Try():
                        before = len(definitions.skipped)
                        self.run(node.body, names)
                        failed = any(skipped.error for skipped in definitions.skipped[before:])
                        handlers = [each for handler in node.handlers for each in handler.body]
                        self.run([*(handlers if failed else node.orelse), *node.finalbody], names)
                    case ast.Expr(ast.Constant()) | ast.Pass():
                        pass
                    case _ if makes_values(node) and not self.has_effects(node):
                        self.execute(node, names)
                    case _:
                        definitions.skip(self.path, node, None)
            except (Exception, SystemExit) as error:
                definitions.skip(self.path, node, error)

    def has_effects(self, node: ast.AST) -> bool:
        """Whether it calls what has effects."""
        called = [n for call in ast.walk(node) if isinstance(call, ast.Call) for n in ast.walk(call.func)]
        return any({getattr(n, "id", ""), getattr(n, "attr", "")} & self.definitions.effects for n in called)

    def execute(self, node: ast.stmt, names: dict[str, Any]) -> None:
        module = ast.fix_missing_locations(ast.Module([node], []))
        code = compile(module, self.path, "exec", self.flags, dont_inherit=True)
        self.flags |= code.co_flags & __future__.annotations.compiler_flag
        exec(code, names)

    def run_import(self, node: ast.Import | ast.ImportFrom, names: dict[str, Any]) -> None:
        """Run an import; what is not installed here becomes stand-ins."""
        before, source = set(names), getattr(node, "module", None)
        packages = {(source or alias.name).partition(".")[0] for alias in node.names}
        own = getattr(node, "level", 0) or any(map(self.definitions.find_spec, packages))
        try:
            self.execute(node, names)
        except Exception as error:
            if own:
                raise
            self.definitions.skip(self.path, node, error)
            for alias in node.names:
                full = f"{source}.{alias.name}" if source else alias.name
                bound = alias.asname or (alias.name if source else full.partition(".")[0])
                names.setdefault(bound, StandIn(full) if source else sys.modules.get(bound, StandIn(full)))
        else:
            if not own and (packages - VALUES or "optim" in f"{source}"):
                self.definitions.effects |= names.keys() - before


def makes_values(node: ast.stmt) -> bool:
    """Whether a statement assigns or fills something, or is a loop of such statements."""
    match node:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return True
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(), method))):
            return method in FILLING
        case ast.For():
            return all(map(makes_values, node.body))
    return False


def is_loop(node: ast.stmt) -> bool:
    """Whether a method is its author's loop of training or testing, and not PyTorch's switch of that name."""
    return getattr(node, "name", "") in ("train", "eval") and "super()" not in ast.unparse(node)


# --- What stands for a package that is not installed ------------------------------------------------------------------


class StandIn:
    """A name of such a package: its attributes, items and results are stand-ins too.

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

    __or__ = __ror__ = __getitem__  # in annotations

    def __instancecheck__(self, _: Any) -> bool:
        return False

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        is_model = any(isinstance(base, type) and issubclass(base, nn.Module) for base in bases)
        first = next(base for base in bases if isinstance(base, StandIn)) is self
        return () if is_model or not first else (StandInModule,)


class StandInModule(nn.Module):
    """A base class of such a package, as LightningModule."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def save_hyperparameters(self, *_: Any, **__: Any) -> None:
        """Lightning's: the arguments of the caller's ``__init__`` become ``self.hparams``."""
        given = inspect.currentframe().f_back.f_locals
        self.hparams = types.SimpleNamespace(**{k: v for k, v in given.items() if k not in ("self", "__class__")})
