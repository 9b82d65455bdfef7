"""Classroom 50 runs this file in a student's checkout; it lies beside the grader's code.

The grader writes ./result.json and ./release-body.md. See "Writing an autograder.py" in Classroom 50's wiki.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEEDED = ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL", "REVIEW_URL")


def main() -> int:
    """Grade the current folder; 0 graded, 2 not under Classroom 50, 4 the machine failed, and there is no result."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        return fail(f"not set: {', '.join(missing)}: this runs under Classroom 50", 2)
    checkout = Path.cwd()
    for path in (checkout / "result.json", checkout / "release-body.md"):  # a student may have put some there
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if any(importlib.util.find_spec(name) is None for name in ("numpy", "torch", "torchvision")):
        print("installing PyTorch ...", file=sys.stderr)
        if subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")]):
            return fail("pip cannot install requirements.txt: see above, or give the runner a container that has it", 4)
    command = [sys.executable, "-m", "grading.check", str(checkout), "@options.txt"]
    status = subprocess.call([*command, "--classroom50-results", str(checkout)], cwd=HERE)
    return 0 if 0 <= status < 4 and status != 2 else 4


def fail(message: str, status: int) -> int:
    print(f"autograder.py: error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
