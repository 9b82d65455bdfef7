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
SMALL = 20  # a smaller class tells nothing of what everybody writes: it counts as one of this size
EVIDENCE = 25.0  # nats that two models must share
BLOCK = 4096  # shingles that are compared at a time
TOKENS = 100_000  # of one submission; more are no model

DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
BUILTINS = frozenset(dir(builtins))


def similar(submissions: Sequence[Submission]) -> dict[str, list[tuple[str, float]]]:
    """Per student the others with a similar model, the most similar first, with the resemblance from ALIKE to 1.

    A shingle weighs log(n / holders) in a class of n: nothing where all have it, as in a given template, and much where
    two share what nobody else wrote (Sparck Jones 1972, "A statistical interpretation of term specificity"). Students
    without anybody similar are left out.
    """
    found = [np.fromiter(shingles(submission), np.int64) for submission in submissions]
    n, sizes = len(found), np.array([len(each) for each in found], int)
    distinct, place = np.unique(np.concatenate([*found, np.empty(0, np.int64)]), return_inverse=True)
    holders = np.bincount(place, minlength=len(distinct))
    weights = np.log(np.maximum(max(n, SMALL) / np.maximum(holders, 1), 1))
    owner = np.repeat(np.arange(n), sizes)
    shared, total = np.zeros((n, n)), np.bincount(owner, weights[place], minlength=n)
    for start in range(0, len(distinct), BLOCK):
        inside = (place >= start) & (place < start + BLOCK)
        has = np.zeros((n, BLOCK), np.float32)
        has[owner[inside], place[inside] - start] = np.sqrt(weights[place[inside]])
        shared += has @ has.T
    resemblance = (shared / np.maximum(total[:, None] + total - shared, 1e-9)).round(5)  # rounding of float32 is less
    kept = (resemblance >= ALIKE) & (shared >= EVIDENCE) & (np.minimum.outer(sizes, sizes) >= SHORT)
    close: dict[str, list[tuple[str, float]]] = {}
    for a, b in np.argwhere(np.triu(kept, 1)):
        for student, rival in ((a, b), (b, a)):
            close.setdefault(submissions[student].student, []).append(
                (submissions[rival].student, float(resemblance[a, b]))
            )
    return {name: sorted(rivals, key=lambda r: (-r[1], r[0]))[:SHOWN] for name, rivals in sorted(close.items())}


def shingles(submission: Submission) -> set[int]:
    """The hashes of a model's shingles; a shingle that occurs again is another one."""
    files = submission.files
    names = list(dict.fromkeys(name for main in submission.candidates for name in source.own_imports(files, main)))
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
