"""Classroom 50 runs this file in a student's checkout; it lies beside the grader's code.

The grader writes ./result.json and ./release-body.md. See "Writing an autograder.py" in Classroom 50's wiki.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE, CHECKOUT = Path(__file__).resolve().parent, Path.cwd()
NEEDED = ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL", "REVIEW_URL")
options = []  # of the teacher's command

if missing := [name for name in NEEDED if not os.environ.get(name)]:
    print(f"autograder.py: error: not set: {', '.join(missing)}: this runs under Classroom 50", file=sys.stderr)
    sys.exit(2)
for path in (CHECKOUT / "result.json", CHECKOUT / "release-body.md"):  # a student may have put some there
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
if any(importlib.util.find_spec(name) is None for name in ("numpy", "torch", "torchvision")):
    print("installing PyTorch, which takes minutes: a container that has it saves them", file=sys.stderr)
    if subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")]):
        sys.exit(4)
command = [sys.executable, "-m", "grading.check", str(CHECKOUT), *options, "--classroom50-results", str(CHECKOUT)]
status = subprocess.call(command, cwd=HERE)
sys.exit(0 if status in (0, 1, 3) else 4)  # without a result, Classroom 50 says that the grading failed
