"""What went wrong with a submission, in one sentence that names file, line and code, and what its author can do."""

from __future__ import annotations

import ast
import errno
import linecache
import os
import re
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING

import mnist_efficient_model as challenge
from grading.sandbox.watch import SMALLER

if TYPE_CHECKING:
    from grading.sandbox.definitions import Definitions, Skipped

CORRECT_IT = (
    "Correct the line that the reason names. The model is an nn.Module that is made without arguments, takes "
    "(N, 1, 28, 28) and returns (N, 10)."
)
INTO_THE_CLASS = "Put it into the class, or write the value itself: only definitions and plain assignments are run."
RECIPE = f"RECIPE may hold {', '.join(challenge.RECIPE_KEYS)}, as plain values."
NO_GPU = "Leave the device to the grader: no .cuda(), no fixed device; for a new tensor, x.to(self.weight.device)."
WITHOUT_ARGUMENTS = "Give each a default, or add build_model(), a function without arguments that returns the model."
DO_WITHOUT = "Take that import out, or make it only where your plots or your training need it."


class Invalid(Exception):
    """The verdict on a submission that cannot be graded."""

    def __init__(self, reason: str, advice: str = "", status: str = "invalid") -> None:
        super().__init__(reason)
        self.reason, self.advice, self.status = reason, advice, status


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# --- Where ------------------------------------------------------------------------------------------------------------


def line_of(path: str, line: int, folder: str, found: Definitions | None = None) -> str:
    """``model.py, line 12: the code there``, with the code cell of a notebook."""
    name, code = os.path.relpath(path, folder), " ".join(linecache.getline(path, line).split())
    if not line:
        return name
    cells = found.cells.get(name, ()) if found else ()
    if origin := found and found.origins.get(name):
        name = f"{origin} ({name})"
    if cells:
        cell = max(1, sum(first <= line for first in cells))
        name, line = f"{name}, code cell {cell}", line - cells[cell - 1] + 1
    return f"{name}, line {line}: {code[:100]}" if code else f"{name}, line {line}"


def place(error: BaseException, folder: str, found: Definitions | None = None) -> str:
    """The innermost line in ``folder`` that an error came through, or ""."""
    if isinstance(error, SyntaxError) and error.filename:
        path, line = error.filename, error.lineno or 0
    else:
        frames = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in frames if frame.filename.startswith(folder + os.sep)]
        if not frames:
            return place(error.__cause__, folder, found) if error.__cause__ else ""
        path, line = frames[-1].filename, frames[-1].lineno or 0
    return line_of(path, line, folder, found) if path.startswith(folder + os.sep) else ""


def skipped_line(skipped: Skipped, found: Definitions) -> str:
    """Where a statement that was not run stands."""
    return line_of(skipped.path, skipped.node.lineno, str(found.folder), found)


# --- Why --------------------------------------------------------------------------------------------------------------


def describe(
    error: BaseException, doing: str, folder: str, omitted: Mapping[str, str], found: Definitions | None = None
) -> Invalid:
    """The verdict for an error that came out of a submission."""
    if isinstance(error, Invalid):
        return error
    where, text = place(error, folder, found), str(error)
    at = f"{where} -- " if where else ""
    if isinstance(error, MemoryError) or "can't allocate memory" in text or getattr(error, "errno", 0) == errno.ENOMEM:
        return Invalid(
            f"{at}it asked for more memory than allowed: use smaller layers or batches", SMALLER, "out_of_memory"
        )
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC):
        return Invalid(f"{at}it writes a giant file; a model has nothing to write", "Take that out.", "rejected")
    if isinstance(error, SystemExit):
        return Invalid(f"{at}it ends the program; take that out", "Take out the line that ends the program.")
    if isinstance(error, challenge.ChallengeError):
        return Invalid(text, RECIPE if text.startswith("RECIPE") else CORRECT_IT)
    if isinstance(error, SyntaxError):
        return not_python(error, where)
    if isinstance(error, FileNotFoundError):
        name = os.path.basename(os.fsdecode(error.filename or ""))
        for path, why in omitted.items():
            if os.path.basename(path) == name:
                return Invalid(f"{at}it wants {path}, which {why}", "Take that line out: no file but code is there.")
    if re.search(r"\bCUDA\b|NVIDIA|\bMPS\b|\bXPU\b", text) and isinstance(error, (RuntimeError, AssertionError)):
        return Invalid(f"there is no GPU here{': ' if where else ''}{where}", NO_GPU)
    if found and not where and (known := needs_arguments(text, found)):
        return known
    where = where or (found.main if found else "")
    at = f"{where} -- " if where else ""
    if found and (known := not_run(error, found, omitted, at)):
        return known
    return Invalid(f"{at}{one_line(error)} (while {doing})", advice_for(text))


def advice_for(text: str) -> str:
    if "images give" in text:
        return "forward takes (N, 1, 28, 28) and must return (N, 10): ten logits for each image."
    return CORRECT_IT


def not_python(error: SyntaxError, where: str) -> Invalid:
    code = (error.text or where).strip()
    if code.startswith(("<<<<<<<", ">>>>>>>", "=======")) or where.endswith(("<<<<<<< HEAD", "=======")):
        reason = f"{where} -- this is a mark of a merge conflict that was not resolved"
        return Invalid(reason, "Keep one of the two versions and delete the lines with the marks.")
    reason = f"{where} -- it is not valid Python: {' '.join(str(error.msg).split())} ({type(error).__name__})"
    return Invalid(reason, "Correct that line: Python cannot read it.")


def not_run(error: BaseException, found: Definitions, omitted: Mapping[str, str], at: str) -> Invalid | None:
    """The verdict for a name that is missing since its package is not there, or since its line was not run."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return Invalid(at + missing_module(error.name.partition(".")[0], omitted), DO_WITHOUT)
    if "StandIn" in str(error) and found.missing:
        return Invalid(at + missing_module(next(iter(found.missing)), omitted), DO_WITHOUT)
    if not isinstance(error, (NameError, AttributeError, ImportError)):
        return None
    names = set(re.findall(r"'(\w+)'", str(error)))
    for skipped in found.skipped:
        if names & skipped.names and skipped.error is not error:
            if isinstance(skipped.error, SyntaxError):
                return describe(skipped.error, "", str(found.folder), omitted, found)
            line = skipped_line(skipped, found)
            if skipped.error is None:
                return Invalid(f"{line} was not run, since only definitions are, and {at}needs it", INTO_THE_CLASS)
            if isinstance(skipped.node, (ast.Import, ast.ImportFrom)) and found.missing:
                return describe(skipped.error, "", str(found.folder), omitted, found)
            return Invalid(f"{line} failed, and the model needs it -- {one_line(skipped.error)}", INTO_THE_CLASS)
    if found.missing and isinstance(error, NameError) and any("*" in skipped.names for skipped in found.skipped):
        return Invalid(at + missing_module(next(iter(found.missing)), omitted), DO_WITHOUT)
    return None


def needs_arguments(text: str, found: Definitions) -> Invalid | None:
    """The verdict for a class or build_model that cannot be called without arguments."""
    missing = re.fullmatch(r"(\w+)(?:\.__init__)?\(\) missing \d+ required .*arguments?: (.*)", text)
    for path, module in found.modules.items():
        if missing and (node := found.functions.get((module.__name__, missing[1]))):
            what = "its constructor" if isinstance(node, ast.ClassDef) else f"{missing[1]}()"
            reason = f"{line_of(path, node.lineno, str(found.folder), found)} -- {what} needs {missing[2]}"
            return Invalid(f"{reason}: give it a default, or add build_model()", WITHOUT_ARGUMENTS)
    return None


def missing_module(name: str, omitted: Mapping[str, str]) -> str:
    for path, why in omitted.items():
        if path.endswith(".py") and os.path.basename(path) == f"{name}.py":
            return f"it imports {path}, which {why}"
    return f"it needs {name!r}, which the grading machine does not have: do without it"
