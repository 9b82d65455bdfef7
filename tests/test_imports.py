"""Imports go one way: packages import the script, the script imports none of them, and nothing goes in a circle."""

import ast
import sys
from pathlib import Path

from helpers import ROOT

SCRIPT = "mnist_efficient_model"
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
FILES = [ROOT / f"{SCRIPT}.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; a relative one by its full name."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            base = base if node.level else node.module
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): imports(path) for path in FILES}


def heads(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_script_imports_no_package():
    assert {"data", "export", "report"} <= set(PACKAGES)
    assert "torch" in heads(MODULES[SCRIPT]) and not heads(MODULES[SCRIPT]) & set(PACKAGES)


def test_neither_packages_nor_their_modules_import_one_another_in_a_circle():
    of_packages = {package: set() for package in PACKAGES}
    for module, imported in MODULES.items():
        if (package := module.partition(".")[0]) in PACKAGES:
            of_packages[package] |= heads(imported) & set(PACKAGES) - {package}
    of_modules = {module: {other for other in MODULES if other in imported} for module, imported in MODULES.items()}
    for edges in (of_packages, of_modules):
        while leaves := [module for module, needs in edges.items() if not needs & edges.keys() - {module}]:
            for module in leaves:
                del edges[module]
        assert not edges


def test_the_packages_without_torch_import_nothing_but_the_standard_library_numpy_and_jinja2():
    for module, imported in MODULES.items():
        if module.startswith(("report", "data", "pages")):
            allowed = {"jinja2", "markupsafe", "numpy", "PIL", "data", "pages", "report"}
            allowed |= {"matplotlib", "IPython"} if module == "report.notebook" else set()
            assert not heads(imported) - sys.stdlib_module_names - allowed, module
