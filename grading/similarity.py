"""Which students handed in (nearly) the same model, for a teacher to look at: never part of a grade.

Only syntax trees are read. What is compared is what a model consists of: the classes in its files, ``build_model``, and
what they use; not how a script loads data, trains or plots. Each definition becomes a list of tokens in which the
author's own names and texts are left out, and each run of LENGTH tokens is a shingle. Two models are as similar as
their sets of shingles are: those in both over those in either (Broder 1997, "On the resemblance and containment of
documents"). Comments, formatting, type hints, names and the order of definitions do not matter. Numbers do, since
students of one course build alike, and differ in them.
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from grading import source
from grading.submissions import Submission

LENGTH = 6  # tokens of a shingle
ALIKE = 0.8  # from here on two models are pointed out
SHOWN = 3  # others named beside a student
SHORT = 60  # a model of fewer shingles is like others by nature
TENTH, FEW, MANY = 0.1, 5, 50  # of a class: what more students share was given to them, or everybody writes it ...
OWN = 20  # ... and does not count; a model of fewer other shingles is not compared
TOKENS = 100_000  # of one submission; more are no model

DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
BUILTINS = frozenset(dir(builtins))


def similar(submissions: Sequence[Submission]) -> dict[str, list[tuple[str, float]]]:
    """Per student the others with a similar model, the most similar first, with the resemblance from ALIKE to 1.

    Students without any are left out. Time grows with the code, not with the pairs: a class of 200 takes a second.
    """
    found = [np.fromiter(shingles(submission), np.int64) for submission in submissions]
    n, owner = len(found), np.repeat(np.arange(len(found)), [len(each) for each in found])
    flat = np.concatenate([*found, np.empty(0, np.int64)])
    order = np.argsort(flat, kind="stable")  # of one shingle, the students in their order
    flat, owner = flat[order], owner[order]
    _, place, holders = np.unique(flat, return_inverse=True, return_counts=True)
    most = min(MANY, max(FEW, int(TENTH * n)))
    own = holders[place] <= most
    flat, owner = flat[own], owner[own]
    sizes = np.bincount(owner, minlength=n)
    long = (sizes >= OWN) & (np.array([len(each) for each in found]) >= SHORT)
    pairs = []
    for step in range(1, most):  # two holders of one shingle stand at most this far apart
        same = flat[:-step] == flat[step:]
        pairs.append(owner[:-step][same] * n + owner[step:][same])
    pairs, shared = np.unique(np.concatenate([*pairs, np.empty(0, np.int64)]), return_counts=True)
    one, other = np.divmod(pairs, max(1, n))
    resemblance = shared / np.maximum(1, sizes[one] + sizes[other] - shared)
    kept = (resemblance >= ALIKE) & long[one] & long[other]
    close: dict[str, list[tuple[str, float]]] = {}
    for a, b, value in zip(one[kept], other[kept], resemblance[kept], strict=True):
        for student, rival in ((a, b), (b, a)):
            close.setdefault(submissions[student].student, []).append((submissions[rival].student, float(value)))
    return {name: sorted(rivals, key=lambda r: (-r[1], r[0]))[:SHOWN] for name, rivals in sorted(close.items())}


def shingles(submission: Submission) -> set[int]:
    """The hashes of a model's shingles; a shingle that occurs again is another one."""
    files, main = submission.files, submission.main
    names = [name for name in files if name.endswith(".py")]
    if len(names) > 1:
        names = source.own_imports(files, main) if main else sorted(source.module_files(files))
    trees = [tree for tree in (source.parse(files.get(name, b"")) for name in names) if tree]
    statements = model_statements([node for tree in trees for node in tree.body])
    nodes = [node for statement in statements for node in ast.walk(statement)]
    own = own_names(nodes)
    imported = imported_names([*nodes, *(node for tree in trees for node in import_statements(tree.body))])
    counts: Counter[tuple[str, ...]] = Counter()
    left = TOKENS
    for unit in units(statements):
        found = list(itertools.islice(tokens(unit, own, imported), left))
        left -= len(found)
        counts.update(tuple(found[i : i + LENGTH]) for i in range(max(1, len(found) - LENGTH + 1)))
    return {hash((shingle, i)) for shingle, count in counts.items() for i in range(count)}


def model_statements(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Of a file's statements the classes and ``build_model``, and what these use by name; all where there are none."""
    defining: dict[str, list[ast.stmt]] = {}
    for node in statements:
        for name in names_defined(node):
            defining.setdefault(name, []).append(node)
    waiting = [node for node in statements if isinstance(node, ast.ClassDef) or source.is_builder(node)]
    reached = {id(node) for node in waiting}
    while waiting:
        for name in {each.id for each in ast.walk(waiting.pop()) if isinstance(each, ast.Name)}:
            new = [node for node in defining.pop(name, ()) if id(node) not in reached]
            reached |= {id(node) for node in new}
            waiting += new
    return [node for node in statements if id(node) in reached or not reached]


def names_defined(node: ast.stmt) -> set[str]:
    """What a statement of a file gives a value to."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    return set()


def units(statements: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """The parts whose order does not matter: functions, methods, and other statements of a class or a file."""
    for node in statements:
        if isinstance(node, ast.ClassDef):
            yield from (*node.bases, *node.decorator_list, *node.body)
        elif not isinstance(node, IMPORTS):
            yield node


def own_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the author chose: of definitions, of attributes that are set, and whatever a text holds."""
    own = set()
    for node in nodes:
        if isinstance(node, DEFINITIONS):
            own.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif source.is_string(node):
            own.add(node.value)
    return own


def import_statements(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """The imports of a file, also those that are tried."""
    for node in body:
        yield from ast.walk(node) if isinstance(node, ast.Try) else [node]


def imported_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """What a file calls the things that it imports: their own last names."""
    names = {"nn": "nn", "torch": "torch", "F": "functional"}  # where a star import brings them
    for alias in (alias for node in nodes if isinstance(node, IMPORTS) for alias in node.names):
        names[alias.asname or alias.name.partition(".")[0]] = alias.name.rpartition(".")[2]
    return names


def tokens(root: ast.AST, own: set[str], imported: dict[str, str]) -> Iterator[str]:
    """A part of a syntax tree, flat: kinds of nodes, names of a library, numbers. Nothing the author named or wrote."""
    waiting: list[ast.AST] = [root]
    while waiting:
        node = waiting.pop()
        if source.is_bare_string(node) or isinstance(node, (ast.expr_context, ast.Pass)):
            continue
        path = source.dotted(node)
        if path and path.partition(".")[0] in imported:  # nn.Conv2d, torch.nn.Conv2d, and Conv2d are one thing
            name = path.rpartition(".")[2] if "." in path else imported[path]
            yield "Name" if name in own else name
        elif isinstance(node, ast.Name):
            yield node.id if node.id in BUILTINS and node.id not in own else "Name"
        elif isinstance(node, ast.Attribute):
            yield "Attribute" if node.attr in own else node.attr
            waiting.append(node.value)
        elif isinstance(node, ast.Constant):
            yield "text" if isinstance(node.value, (str, bytes)) else f"{type(node.value).__name__} {hash(node.value)}"
        elif isinstance(node, ast.JoinedStr):
            yield "text"
        else:
            yield "Assign" if isinstance(node, ast.AnnAssign) else type(node).__name__
            hints = {id(getattr(node, name, None)) for name in ("annotation", "returns")}
            waiting += [child for child in reversed([*ast.iter_child_nodes(node)]) if id(child) not in hints]
