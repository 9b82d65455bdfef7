"""Loading the definitions of a student's code: its imports, classes, functions and plain assignments, nothing else.

Training loops, ``with`` blocks, calls for their effect and what stands under ``if __name__ == "__main__"`` do not run.
A statement that fails is skipped: a training script is a module like any other, and no data is needed to load it.
A package that is not installed is replaced by stand-ins. Every file is part of one package, so that relative imports
work, and its own imports are looked for in every folder of the submission, since a script may change ``sys.path``.
"""

from __future__ import annotations
import __future__

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grading.sandbox.isolation import ROOT
from grading.sandbox.sources import parse, split_cells
from grading.sandbox.standins import StandIn
from grading.sandbox.statements import is_harmless, runs, without_loops

PACKAGE = "submission"
BINDING = re.compile(r"^(?:class|def|async def) +(\w+)|^(\w+) *(?::[^=\n]+)?=[^=]", re.MULTILINE)


class Skipped(NamedTuple):
    """A statement at the top of a file that was not run, or failed."""

    path: str
    node: ast.stmt
    names: set[str]  # that it would have bound
    error: BaseException | None  # None: it is no definition


class Definitions(importlib.abc.MetaPathFinder):
    """Loads the files in a folder; what was skipped and which packages are missing stays here."""

    def __init__(self, folder: str, cells: Mapping[str, Sequence[int]] = {}, origins: Mapping[str, str] = {}) -> None:
        self.folder, self.cells, self.origins = Path(folder), cells, origins
        self.folders = [self.folder, *sorted(path for path in self.folder.rglob("*") if path.is_dir())]
        self.main = ""  # the file that is being loaded
        self.skipped: list[Skipped] = []
        self.missing: dict[str, str] = {}  # packages, and where they are imported
        self.modules: dict[str, types.ModuleType] = {}  # by path: a file is one module under all its names
        self.functions: dict[tuple[str, str], ast.stmt] = {}  # by module and name
        self.harmless: dict[tuple[str, str], bool] = {}  # whether such a function may run in an assignment
        self.imported: set[str] = set()  # packages
        own = {path.stem for path in self.folder.rglob("*")}
        for name, module in list(sys.modules.items()):
            file = str(getattr(module, "__file__", None) or "")
            if file.startswith(folder + os.sep) or (name.partition(".")[0] in own and file.startswith(ROOT + os.sep)):
                del sys.modules[name]  # of an earlier load, or this project's own of the same name
        root = sys.modules[PACKAGE] = types.ModuleType(PACKAGE)
        root.__path__ = [folder]
        sys.meta_path[:] = [self, *(finder for finder in sys.meta_path if not isinstance(finder, Definitions))]

    def load(self, name: str) -> types.ModuleType:
        """The module of a file, named relative to the folder. Raises SyntaxError where it is no Python."""
        self.main, file = name, self.folder / name
        self.folders.sort(key=lambda folder: folder != file.parent)  # it is stable: the file's own folder first
        full = ".".join([PACKAGE, *file.relative_to(self.folder).with_suffix("").parts])
        spec = importlib.util.spec_from_file_location(full, file, loader=Loader(full, str(file), self))
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        last = name.rpartition(".")[2]
        if path is None and last in sys.stdlib_module_names:
            return None
        for place in self.folders if path is None else map(Path, path):
            if place.is_relative_to(self.folder):
                for file in (place / last / "__init__.py", place / f"{last}.py"):
                    if file.is_file():
                        inside = [str(file.parent)] if file.name == "__init__.py" else None
                        loader = Loader(name, str(file), self)
                        return importlib.util.spec_from_file_location(
                            name, file, loader=loader, submodule_search_locations=inside
                        )
                if (place / last).is_dir():
                    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
                    spec.submodule_search_locations = [str(place / last)]
                    return spec
        return None

    def owns(self, value: Any) -> bool:
        """Whether a class or function is the student's."""
        return getattr(value, "__module__", None) in {module.__name__ for module in self.modules.values()}

    def skip(self, path: str, node: ast.stmt, error: BaseException | None) -> None:
        targets = [getattr(node, "target", None), *getattr(node, "targets", ())]
        names = {n.id for target in filter(None, targets) for n in ast.walk(target) if isinstance(n, ast.Name)}
        aliases = [alias for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)]
        names |= {getattr(node, "name", None), *(alias.asname or alias.name for alias in aliases)}
        self.skipped.append(Skipped(path, node, names - {None}, error))


class Loader(importlib.machinery.SourceFileLoader):
    """Runs the definitions of one file."""

    def __init__(self, name: str, path: str, definitions: Definitions) -> None:
        super().__init__(name, path)
        self.definitions = definitions

    def create_module(self, spec: Any) -> types.ModuleType | None:
        return self.definitions.modules.get(self.path)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the definitions of the file, one after another. Raises SyntaxError, but not for a cell of a notebook."""
        if self.path in self.definitions.modules:
            return
        self.definitions.modules[self.path], self.flags = module, 0
        cells = self.definitions.cells.get(os.path.relpath(self.path, self.definitions.folder), ())
        for first, text in split_cells(Path(self.path).read_text(encoding="utf-8"), cells):
            try:
                body = parse(text, first).body
            except SyntaxError as error:
                error.filename = self.path
                if not cells:
                    raise
                names = {a or b for a, b in BINDING.findall(text)}
                self.definitions.skipped.append(
                    Skipped(self.path, ast.Pass(lineno=error.lineno or first), names, error)
                )
                body = []
            for node in body:
                self.run(node, vars(module))

    def run(self, node: ast.stmt, names: dict[str, Any]) -> None:
        """Run a statement if it is a definition, and note it if it is none, or fails."""
        definitions = self.definitions
        try:
            match node:
                case ast.Import() | ast.ImportFrom():
                    self.run_import(node, names)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    definitions.functions[names["__name__"], node.name] = node
                    self.execute(without_loops(node), names)
                case ast.If() if "__name__" not in ast.unparse(node.test) and is_harmless(
                    node.test, names, definitions
                ):
                    test = compile(ast.Expression(node.test), self.path, "eval", self.flags, dont_inherit=True)
                    for each in node.body if eval(test, names) else node.orelse:
                        self.run(each, names)
                case ast.Try():
                    before = len(definitions.skipped)
                    for each in node.body:
                        self.run(each, names)
                    failed = any(skipped.error for skipped in definitions.skipped[before:])
                    handlers = [each for handler in node.handlers for each in handler.body]
                    for each in [*(handlers if failed else node.orelse), *node.finalbody]:
                        self.run(each, names)
                case ast.Expr(ast.Constant()) | ast.Pass():
                    pass
                case _ if runs(node, names, definitions):
                    self.execute(node, names)
                case _:
                    definitions.skip(self.path, node, None)
        except (Exception, SystemExit) as error:
            definitions.skip(self.path, node, error)

    def execute(self, node: ast.stmt, names: dict[str, Any]) -> None:
        exec(compile(ast.Module([node], []), self.path, "exec", self.flags, dont_inherit=True), names)

    def run_import(self, node: ast.Import | ast.ImportFrom, names: dict[str, Any]) -> None:
        """Run an import; what is not installed here becomes stand-ins."""
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            self.flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
            return
        source = isinstance(node, ast.ImportFrom)
        tops = {(node.module or "" if source else alias.name).partition(".")[0] for alias in node.names}
        own = source and node.level > 0
        self.definitions.imported |= set() if own else tops
        try:
            self.execute(node, names)
        except Exception as error:
            if own or any(self.definitions.find_spec(top) for top in tops):
                raise
            self.definitions.skip(self.path, node, error)
            for alias in node.names:
                full = f"{node.module}.{alias.name}" if source else alias.name
                name = alias.asname or (alias.name if source else full.partition(".")[0])
                self.definitions.missing.setdefault(full.partition(".")[0], f"{self.path}:{node.lineno}")
                if name != "*" and name not in names:
                    names[name] = sys.modules.get(name) if not source and name in sys.modules else StandIn(full)
