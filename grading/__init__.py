"""Checks other people's models against the limits of the efficient-MNIST challenge: ``python -m grading CLASS_FOLDER``.

submissions -> sandbox builds the model -> graph of operators -> the engine trains and tests it -> judge -> points
            -> gradebook, platforms
"""

import os
import sys

if sys.argv[0] == "-m":  # "python -m grading" looks into the current folder first, and a student's may hold a json.py
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [here, *(place for place in sys.path if place not in ("", os.getcwd(), here))]
