"""Imports go one way: packages import the script, the script imports none of them, and nothing goes in a circle."""

import ast
from pathlib import Path

import mnist_efficient_model as challenge

ROOT = Path(challenge.__file__).parent
SCRIPT = "mnist_efficient_model"
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


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


def modules() -> dict[str, set[str]]:
    """Each module of the script and the packages -> what it imports."""
    files = [ROOT / f"{SCRIPT}.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): imports(path) for path in files}


def test_the_packages_are_those_of_the_design():
    assert {"data", "export", "report"} <= set(PACKAGES)


def test_the_script_imports_no_package():
    heads = {name.partition(".")[0] for name in imports(ROOT / f"{SCRIPT}.py")}
    assert "torch" in heads and not heads & set(PACKAGES)


def test_packages_import_one_another_in_no_circle():
    edges = {package: set() for package in PACKAGES}
    for module, imported in modules().items():
        package = module.partition(".")[0]
        if package in edges:
            edges[package] |= {name.partition(".")[0] for name in imported} & edges.keys() - {package}
    while leaves := [package for package, needs in edges.items() if not needs & edges.keys()]:
        for package in leaves:
            del edges[package]
    assert not edges


def test_modules_within_a_package_import_one_another_in_no_circle():
    found = modules()
    edges = {module: {other for other in found if other in imported} for module, imported in found.items()}
    while leaves := [module for module, needs in edges.items() if not needs & edges.keys() - {module}]:
        for module in leaves:
            del edges[module]
    assert not edges


def test_report_and_data_need_neither_torch_nor_the_script():
    for module, imported in modules().items():
        if module.startswith(("report", "data")):
            assert not {name.partition(".")[0] for name in imported} & {"torch", "torchvision", SCRIPT}, module


def test_nothing_aliases_a_module():
    for path in [ROOT / f"{SCRIPT}.py", *(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Subscript) and ast.unparse(target.value) == "sys.modules":
                        assert not isinstance(target.slice, ast.Constant), f"{path.name}: {ast.unparse(node)}"
