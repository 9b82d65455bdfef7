"""Which statements at the top of a student's file make values, and may run: see definitions.py."""

from __future__ import annotations

import ast
import builtins
import sys
import types
from typing import Any

from torch import nn

from grading.sandbox.standins import StandIn

# Calls in an assignment may be to the student's own classes and to these packages: they make values, not effects.
HARMLESS = (sys.stdlib_module_names | {"torch", "numpy", "einops", StandIn.__module__.partition(".")[0]}) - {
    "subprocess",
    "multiprocessing",
    "threading",
    "socket",
    "urllib",
    "http",
}
EFFECTS = {
    "input",
    "exec",
    "eval",
    "print",
    "exit",
    "quit",
    "breakpoint",
    "help",
    "__import__",
    "optim",
    "hub",
    "system",
}
FILLING = {"append", "extend", "insert", "update", "add", "setdefault", "add_module", "register_module", "add_argument"}
LOOPS = (ast.For, ast.While, ast.With, ast.AsyncFor, ast.AsyncWith)


def runs(node: ast.stmt, names: dict[str, Any], definitions: Any) -> bool:
    """Whether a statement makes values without effects elsewhere: the body of a loop has such statements only."""
    match node:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return is_harmless(node, names, definitions)
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(name), method))):
            filled = isinstance(names.get(name), (nn.Module, list, dict, set)) or method == "add_argument"
            return filled and method in FILLING and is_harmless(node, names, definitions)
        case ast.For(iter=source, body=body):
            return is_harmless(source, names, definitions) and all(runs(each, names, definitions) for each in body)
    return False


def is_harmless(node: ast.AST, names: dict[str, Any], definitions: Any) -> bool:
    """Whether all calls in it are to what makes values: see HARMLESS; own functions without loops, own classes."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        root, attributes = call.func, set()
        while isinstance(root, (ast.Attribute, ast.Call, ast.Subscript)):
            attributes |= {getattr(root, "attr", "")}
            root = root.func if isinstance(root, ast.Call) else root.value
        if attributes & EFFECTS or (isinstance(root, ast.Name) and not makes_values(root.id, names, definitions)):
            return False
    return True


def makes_values(name: str, names: dict[str, Any], definitions: Any) -> bool:
    value = names.get(name, getattr(builtins, name, None))
    if isinstance(value, types.FunctionType) and definitions.owns(value):
        node = definitions.functions.get(key := (value.__module__, value.__name__))
        if key not in definitions.harmless:
            definitions.harmless[key] = False  # while it is looked at: one that calls itself is a loop too
            loops = node is None or any(isinstance(n, LOOPS) for n in ast.walk(node))
            definitions.harmless[key] = not loops and is_harmless(node, value.__globals__, definitions)
        return definitions.harmless[key]
    if isinstance(value, types.ModuleType):
        module = value.__name__
    else:
        module = getattr(value if callable(value) else type(value), "__module__", None) or "builtins"
    own = definitions.owns(value) or definitions.owns(type(value))
    return own or (name not in EFFECTS and module.partition(".")[0] in HARMLESS and "optim" not in module)


def without_loops(node: ast.stmt) -> ast.stmt:
    """A class without its ``train`` and ``eval`` where they are the author's loops, and not the switches of modes."""
    if isinstance(node, ast.ClassDef):
        node.body = [each for each in node.body if not is_loop(each)] or [ast.copy_location(ast.Pass(), node)]
    return node


def is_loop(node: ast.stmt) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name not in ("train", "eval"):
        return False
    arguments = node.args.posonlyargs + node.args.args
    if node.name == "eval":
        return len(arguments) > 1
    return not (node.args.vararg or (len(arguments) == 2 and arguments[1].arg == "mode"))
