"""Finding the model in a repository of any layout: by reading its code, and by what the sandbox says of the candidates.

A model.py is the model's file. Otherwise it is the one file that defines a model; where several do, each is imported in
the sandbox, and the one model that is no part of another one is taken. Executes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from grading import source

CANDIDATES = 40  # files that are tried; a repository with more complete models is not a submission
LISTED = 8  # candidates that a reason names
ADVICE = "call its file model.py, or have it named in --choose"


class Undecided(Exception):
    """No model, or several. Undecided(status, reason)."""


def which_one(candidates: Iterable[str]) -> str:
    """What to say of several models, each as path:NAME."""
    named = list(candidates)
    more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
    return f"which of these is the model? {', '.join(named[:LISTED])}{more}: {ADVICE}"


# --- By reading -------------------------------------------------------------------------------------------------------


def is_test(name: str) -> bool:
    """Whether a file holds tests by its name: test_x.py, x_test.py, conftest.py, or anything in a folder of tests."""
    path = PurePosixPath(name)
    in_tests = {"test", "tests"} & set(path.parts[:-1])
    return bool(in_tests) or path.stem.startswith("test_") or path.stem.endswith("_test") or path.stem == "conftest"


def by_depth(names: Iterable[str]) -> list[str]:
    """Files nearest to the top first."""
    return sorted(names, key=lambda name: (name.count("/"), name))


def candidates(files: Mapping[str, bytes], omitted: Iterable[str] = ()) -> list[str]:
    """The files that may hold the model, the likeliest first; empty where there is no code.

    One model.py (at the top, in src/, or the only one), else all files that define a model and are no tests, else the
    only file of code there is, or those that make one of PyTorch's own classes at their top.
    """
    code = by_depth(name for name in (*files, *omitted) if name.endswith(".py"))
    code = [name for name in code if not is_test(name)] or code
    named = [name for name in code if PurePosixPath(name).name == "model.py"]
    for choice in ("model.py", "src/model.py"):
        if choice in named:
            return [choice]
    if len(named) == 1:
        return named
    if len(code) == 1:
        return code
    readable = {name: files[name] for name in code if name in files}
    return different(files, by_depth(source.module_files(readable) or source.instance_files(readable)))


def candidates_of_notebooks(code: Mapping[str, bytes], there_is_other_code: bool) -> list[str]:
    """The notebooks that may hold the model: those that define one; beside no other code, the only one there is."""
    defining = source.module_files(code) or source.instance_files(code)
    if not defining and len(code) == 1 and not there_is_other_code:
        return list(code)
    return different(code, by_depth(defining))


def different(files: Mapping[str, bytes], names: Iterable[str]) -> list[str]:
    """Of files with the same code only the first."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(ast.dump(source.parse(files[name])), name)
    return list(first.values())


# --- By what the sandbox says -----------------------------------------------------------------------------------------


def settle(
    files: Mapping[str, bytes], names: list[str], look: Callable[[str], dict[str, Any]]
) -> tuple[str, str | None]:
    """The file and, where it holds several models, the name of the one model in the files ``names``.

    ``look`` imports a file in the sandbox and tells status, reason, and in ``facts["models"]`` each of its models
    (path:NAME of the place where it is defined) with the classes that it consists of. Raises Undecided.
    """
    if len(names) > CANDIDATES:
        raise Undecided("invalid", which_one(names))
    found: dict[str, dict[str, set[str]]] = {}
    answers = {name: look(name) for name in names}
    for name in sorted(
        names, key=lambda name: "import_cut" in answers[name]["facts"]
    ):  # of copies, the whole ones first
        answer = answers[name]
        models = answer["facts"].get("models") if answer["status"] == "done" else None
        if isinstance(models, dict):
            found[name] = {model: set(str(used).split("\n")) for model, used in models.items()}
    models = {model: used for each in found.values() for model, used in each.items()}
    whole = [model for model in models if not any(model in used for other, used in models.items() if other != model)]
    remaining = list({definition(files, model): model for model in reversed(whole)}.values())[::-1]
    if len(remaining) > 1:
        raise Undecided("invalid", which_one(sorted(remaining)))
    if not remaining:
        worst = next((a for a in answers.values() if a["status"] != "invalid"), None)
        listed = "; ".join(f"{name}: {answer['reason']}" for name, answer in list(answers.items())[:LISTED])
        raise Undecided(worst["status"] if worst else "invalid", f"no file has a model that reads digits: {listed}")
    path, _, name = remaining[0].rpartition(":")
    telling = [file for file, of in found.items() if remaining[0] in of]
    main = path if path in telling else telling[0]
    return main, None if len(found[main]) == 1 else name


def definition(files: Mapping[str, bytes], model: str) -> str:
    """What tells a model from a copy of it in another file: its code with all of its file's that it uses."""
    path, _, name = model.rpartition(":")
    return (source.definition(files[path], name) if path in files else "") or model
