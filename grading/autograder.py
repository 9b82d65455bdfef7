"""Classroom 50 runs a copy of this file, which lies beside the grader's code, in a student's checkout.

The grader writes ./result.json and ./release-body.md. See "Writing an autograder.py" in Classroom 50's wiki.
Only the standard library is imported before the packages are there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEEDED = ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL", "REVIEW_URL")
WRITTEN = ("result.json", "release-body.md")


def main() -> None:
    """Grade the current folder, and exit: 0 graded, 2 not under Classroom 50, 4 the machine failed."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        end(f"not set: {', '.join(missing)}: this runs under Classroom 50", 2)
    for path in map(Path, WRITTEN):  # a student may have brought some
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if any(importlib.util.find_spec(name) is None for name in ("numpy", "torch", "torchvision")):
        install()
    os.environ["CLASSROOM50_BUNDLE_DIR"] = str(HERE)  # tells the grader what to write
    options = json.loads((HERE / "options.json").read_text(encoding="utf-8"))
    rubric = ["--rubric", str(HERE / "rubric.toml")] if (HERE / "rubric.toml").exists() else []
    with tempfile.TemporaryDirectory() as out:
        sys.argv = ["grading", os.getcwd(), "--out", out, *options, *rubric]
        sys.path.insert(0, str(HERE))
        runpy.run_module("grading", run_name="__main__", alter_sys=True)


def install() -> None:
    """Install the packages into the running Python, and start again, for it to find them."""
    if sys.argv[1:] == ["installed"]:
        end("PyTorch was installed, but this Python does not find it", 4)
    print("installing PyTorch ...", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")]
    if subprocess.run(pip, stdin=subprocess.DEVNULL).returncode:
        end("pip cannot install what requirements.txt lists: see above, or give the runner a container with PyTorch", 4)
    os.execv(sys.executable, [sys.executable, __file__, "installed"])


def end(message: str, status: int) -> None:
    print(f"autograder.py: error: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
