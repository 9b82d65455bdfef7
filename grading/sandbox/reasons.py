"""What went wrong with a submission, in one sentence that names file, line and code, and what its author can do."""

from __future__ import annotations

import ast
import errno
import linecache
import os
import re
import traceback
from typing import TYPE_CHECKING

import mnist_efficient_model as challenge
from grading.sandbox.sources import CELL
from grading.sandbox.watch import SMALLER

if TYPE_CHECKING:
    from grading.sandbox.definitions import Definitions, Skipped

CORRECT_IT = (
    "Correct the line that the reason names. The model is an nn.Module that is made without arguments, takes "
    "(N, 1, 28, 28) and returns (N, 10): ten logits for each image."
)
INTO_THE_CLASS = "Put it into the class, or write the value itself: only definitions and plain assignments are run."
RECIPE = f"RECIPE may hold {', '.join(challenge.RECIPE_KEYS)}, as plain values."
NO_GPU = "Leave the device to the grader: no .cuda(), no fixed device; for a new tensor, x.to(self.weight.device)."
WITHOUT_ARGUMENTS = "Give each a default, or add build_model(), a function without arguments that returns the model."
DO_WITHOUT = "Take that import out, or make it only where your plots or your training need it."
RESOLVE_IT = "Keep one of the two versions and delete the lines with the marks."


class Invalid(Exception):
    """The verdict on a submission that cannot be graded."""

    def __init__(self, reason: str, advice: str = "", status: str = "invalid") -> None:
        super().__init__(reason)
        self.reason, self.advice, self.status = reason, advice, status


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# --- Where ------------------------------------------------------------------------------------------------------------


def line_of(path: str, line: int, folder: str) -> str:
    """``model.py, line 12: the code there``, with the code cell of a notebook."""
    name, lines = os.path.relpath(path, folder), linecache.getlines(path)[:line]
    if not line:
        return name
    code = " ".join(lines[-1].split())[:100] if len(lines) == line else ""
    for above in range(1, len(lines)):
        if cell := CELL.match(lines[-1 - above]):
            name, line = cell[1] + (f" ({name})" if name.endswith(".py") else ""), above
            break
    return f"{name}, line {line}: {code}" if code else f"{name}, line {line}"


def place(error: BaseException, folder: str) -> str:
    """The innermost line in ``folder`` that an error came through, or ""."""
    lines = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    lines += [(error.filename or "", error.lineno or 0)] if isinstance(error, SyntaxError) else []
    lines = [(path, line) for path, line in lines if path.startswith(folder + os.sep)]
    if lines:
        return line_of(*lines[-1], folder)
    return place(error.__cause__, folder) if error.__cause__ else ""


def skipped_line(skipped: Skipped, found: Definitions) -> str:
    """Where a statement that was not run stands."""
    return line_of(skipped.path, skipped.node.lineno, str(found.folder))


# --- Why --------------------------------------------------------------------------------------------------------------


def describe(error: BaseException, doing: str, folder: str, found: Definitions | None = None) -> Invalid:
    """The verdict for an error that came out of a submission."""
    if isinstance(error, Invalid):
        return error
    where, text = place(error, folder), str(error)
    at, code = f"{where} -- " if where else "", getattr(error, "errno", 0)
    if isinstance(error, MemoryError) or code == errno.ENOMEM or "can't allocate memory" in text:
        asked = f"{at}it asked for more memory than allowed: use smaller layers or batches"
        return Invalid(asked, SMALLER, "out_of_memory")
    if code in (errno.EFBIG, errno.ENOSPC):
        return Invalid(f"{at}it writes a giant file; a model has nothing to write", "Take that out.", "rejected")
    if isinstance(error, SystemExit):
        return Invalid(f"{at}it ends the program", "Take out the line that ends the program.")
    if isinstance(error, challenge.ChallengeError):
        return Invalid(text, RECIPE if text.startswith("RECIPE") else CORRECT_IT)
    if isinstance(error, SyntaxError):
        if re.search(r": (<{7}|>{7}|={7})", where):
            return Invalid(f"{where} -- this is a mark of a merge conflict that was not resolved", RESOLVE_IT)
        return Invalid(
            f"{at}it is not valid Python: {' '.join(str(error.msg).split())}",
            "Correct that line: Python cannot read it.",
        )
    if isinstance(error, FileNotFoundError) and error.filename:
        wanted = f"it wants {os.path.basename(os.fsdecode(error.filename))}, and no file but code is there"
        return Invalid(f"{at}{wanted}: a model starts untrained", "Take that line out.")
    if re.search(r"\bCUDA\b|NVIDIA|\bMPS\b|\bXPU\b", text) and isinstance(error, (RuntimeError, AssertionError)):
        return Invalid(f"there is no GPU here{': ' if where else ''}{where}", NO_GPU)
    if found:
        if not where and (known := needs_arguments(text, found)):
            return known
        at = at or (f"{found.main} -- " if found.main else "")
        if known := not_run(error, found, at):
            return known
    return Invalid(f"{at}{one_line(error)} (while {doing})", CORRECT_IT)


def needs_arguments(text: str, found: Definitions) -> Invalid | None:
    """The verdict for a class or build_model that cannot be called without arguments."""
    if missing := re.fullmatch(r"(\w+)(?:\.__init__)?\(\) missing \d+ required .*arguments?: (.*)", text):
        main = str(found.folder / found.main)  # first: other files may have one of the same name
        for (path, name), node in sorted(found.defined.items(), key=lambda entry: entry[0][0] != main):
            if name == missing[1]:
                what = "its constructor" if isinstance(node, ast.ClassDef) else f"{name}()"
                reason = f"{line_of(path, node.lineno, str(found.folder))} -- {what} needs {missing[2]}"
                return Invalid(f"{reason}: give it a default, or add build_model()", WITHOUT_ARGUMENTS)
    return None


def not_run(error: BaseException, found: Definitions, at: str) -> Invalid | None:
    """The verdict for a name that is missing since its package is not there, or since its line was not run."""
    names = (
        set(re.findall(r"'(\w+)'", str(error))) if isinstance(error, (NameError, AttributeError, ImportError)) else ()
    )
    imports = [skipped.error for skipped in found.skipped if isinstance(skipped.error, ModuleNotFoundError)]
    if not isinstance(error, ModuleNotFoundError):
        for skipped in sorted(reversed(found.skipped), key=lambda skipped: isinstance(skipped.error, ImportError)):
            if skipped.names.isdisjoint(names) or skipped.error is error:
                continue
            line = skipped_line(skipped, found)
            if skipped.error is None:
                return Invalid(f"{line} was not run, since only definitions are, and {at}needs it", INTO_THE_CLASS)
            if isinstance(skipped.error, (SyntaxError, ModuleNotFoundError)):
                return describe(skipped.error, "", str(found.folder), found)
            return Invalid(f"{line} failed, and the model needs it -- {one_line(skipped.error)}", INTO_THE_CLASS)
        everything = isinstance(error, NameError) and any("*" in skipped.names for skipped in found.skipped)
        error = imports[0] if imports and (everything or "StandIn" in str(error)) else error
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    return Invalid(f"{at}it needs {package!r}, which is neither installed here nor among the files read", DO_WITHOUT)
