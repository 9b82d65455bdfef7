"""What can be told of a student's code by reading it: which files may hold the model, what it needs, how long it is.

Everything here works on syntax trees and executes nothing. Python's parser is the only thing that meets the code.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)  # what a parser may raise
DYNAMIC = {"__import__", "import_module", "run_path", "run_module", "spec_from_file_location", "SourceFileLoader"}
LISTING = {"listdir", "walk", "glob", "iglob", "rglob", "iterdir", "scandir", "iter_modules"}  # read file names


# --- One file ---------------------------------------------------------------------------------------------------------


def parse(source: bytes | str) -> ast.Module | None:
    """The syntax tree, or None where Python cannot make one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes and the like, on the teacher's terminal
            return ast.parse(source)
    except UNREADABLE:
        return None


def strip(source: bytes) -> bytes | None:
    """The code without comments and strings that are statements, in UTF-8, every line at its place; None: no Python.

    What is not counted as code must not be there either, or it could carry weights.
    """
    tree = parse(source)
    if tree is None:
        return None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = source.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        lines = text.split("\n")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]].rstrip()
    except (UNREADABLE, LookupError):
        return source
    raw = [line.encode() for line in lines]  # a syntax tree counts columns in bytes
    for node in filter(is_bare_string, ast.walk(tree)):
        first, last = node.lineno - 1, node.end_lineno - 1
        if not raw[last][node.end_col_offset :].strip():
            raw[first : last + 1] = [raw[first][: node.col_offset] + b'""', *[b""] * (last - first)]
    stripped = b"\n".join(raw)
    return stripped if parse(stripped) else source


def is_bare_string(node: ast.AST) -> bool:
    """Whether a node is a statement that is only a string: a docstring, or a comment in quotes."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attributes, else an empty string."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


# --- Where the model may be -------------------------------------------------------------------------------------------


def module_files(files: Mapping[str, bytes]) -> set[str]:
    """The Python files that define an nn.Module class or ``build_model``.

    A class counts when one of its bases is of torch.nn, is a LightningModule, or is such a class anywhere in ``files``.
    """
    trees = {name: parse(files[name]) for name in files if name.endswith(".py")}
    trees = {name: tree for name, tree in trees.items() if tree}
    bases = {name: dict(class_bases(tree)) for name, tree in trees.items()}
    known, before = set(), -1
    while len(known) > before:
        before = len(known)
        for classes in bases.values():
            known |= {each for each, of in classes.items() if any(is_module(base, known) for base in of)}
    builds = {name for name, tree in trees.items() if any(is_builder(node) for node in tree.body)}
    return builds | {
        name for name, classes in bases.items() if any(is_module(base, known) for of in classes.values() for base in of)
    }


def instance_files(files: Mapping[str, bytes]) -> set[str]:
    """The Python files that make an instance of one of torch.nn's classes at their top, as in net = nn.Sequential()."""
    found = set()
    for name in files:
        tree = parse(files[name]) if name.endswith(".py") else None
        known = aliases(tree) if tree else {}
        calls = [node.value for node in tree.body if isinstance(node, ast.Assign)] if tree else []
        heads = [dotted(call.func).partition(".") for call in calls if isinstance(call, ast.Call)]
        if any((known.get(head, head) + dot + rest).startswith("torch.nn.") for head, dot, rest in heads):
            found.add(name)
    return found


def is_builder(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "build_model"


def is_module(base: str, known: set[str]) -> bool:
    return base.startswith("torch.nn.") or base.split(".")[-1] in known | {"LightningModule"}


def aliases(tree: ast.Module) -> dict[str, str]:
    """What a file's names are called in full, as far as its imports tell."""
    found = {"nn": "torch.nn", "Module": "torch.nn.Module"}  # where a star import brings them
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def class_bases(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Each class with the full names of its bases, as far as the file's imports tell them."""
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names = [dotted(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
            heads = [name.partition(".") for name in names]
            yield node.name, [known.get(head, head) + dot + rest for head, dot, rest in heads]


def definition(content: bytes, name: str) -> str:
    """The syntax trees of what binds a name at a file's top, and of what that uses of the same file."""
    tree = parse(content)
    bound: dict[str, list[ast.stmt]] = {}
    for node in tree.body if tree else ():
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        for target in targets:
            label = getattr(target, "id", None) or getattr(target, "name", None)
            if label:
                bound.setdefault(label, []).append(node)
    found, waiting = {}, [name]
    while waiting:
        label = waiting.pop()
        if label in bound and label not in found:
            found[label] = "".join(map(ast.dump, bound[label]))
            waiting += sorted({n.id for node in bound[label] for n in ast.walk(node) if isinstance(n, ast.Name)})
    return "\0".join(found[label] for label in sorted(found)) if name in found else ""


# --- What a file imports of its own repository ------------------------------------------------------------------------


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What a file may import: dotted names, each with the dots before it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module, node.level
            yield from ((f"{module}.{alias.name}".lstrip("."), node.level) for alias in node.names)


def own_imports(files: Mapping[str, bytes], main: str) -> list[str]:
    """``main`` and the Python files that it imports, directly or not; all of them where it imports by computed names.

    A name is looked for in every folder, since a file may change ``sys.path``.
    """
    code = [name for name in files if name.endswith(".py")]
    modules: dict[str, list[str]] = {}
    for name in code:
        parts = name.removesuffix(".py").removesuffix("/__init__").split("/")
        for start in range(len(parts)):
            modules.setdefault(".".join(parts[start:]), []).append(name)
    found, waiting = {main}, [main]
    while waiting:
        name = waiting.pop()
        tree = parse(files.get(name, b""))
        if tree is None:
            continue
        if DYNAMIC & names_used(tree):
            return [main, *(other for other in code if other != main)]
        new = {file for module, dots in imports(tree) for file in imported(module, dots, name, modules, files)} - found
        found |= new
        waiting += sorted(new)
    return [main, *sorted(found - {main})]


def imported(
    module: str, dots: int, file: str, modules: Mapping[str, Sequence[str]], files: Mapping[str, bytes]
) -> Iterator[str]:
    """The files that stand for a dotted name and for the packages around it."""
    steps = module.split(".") if module else []
    if dots:
        folder = PurePosixPath(file)
        for _ in range(dots):
            folder = folder.parent
        for end in range(len(steps) + 1):
            place = folder.joinpath(*steps[:end])
            yield from (name for name in (f"{place}.py", str(place / "__init__.py")) if name in files)
    else:
        for end in range(1, len(steps) + 1):
            yield from modules.get(".".join(steps[:end]), ())


def names_used(tree: ast.Module) -> set[str]:
    """Names and attributes; ``eval`` and ``exec`` as names count as imports by computed names."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    computed = {"__import__"} if used & {"eval", "exec"} else set()
    return used | computed | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


# --- What is laid out, and how long it is -----------------------------------------------------------------------------


def needed(files: Mapping[str, bytes], main: str) -> dict[str, bytes]:
    """The files that a model consists of, as they are laid out for it: nothing else is there when it runs.

    That is ``main`` and its own imports without comments and docstrings, and the other files that this code speaks of;
    all of them where it lists folders.
    """
    found, spoken = {}, set()
    for name in own_imports(files, main):
        content = files.get(name, b"")
        found[name] = strip(content) or content
        if tree := parse(content):
            spoken |= names_used(tree) | {node.value for node in ast.walk(tree) if is_string(node)}
    words = "\0".join(spoken)
    for name in files:
        if not name.endswith(".py") and (LISTING & spoken or PurePosixPath(name).name in words):
            found[name] = files[name]
    return found


def description_length(laid_out: Mapping[str, bytes]) -> int:
    """Bytes of names and contents, compressed: an upper bound on what a model can have brought from home."""
    parts = [part for name in sorted(laid_out) for part in (name.encode(errors="replace"), laid_out[name])]
    return len(zlib.compress(b"\0".join(parts), 9))


def is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
