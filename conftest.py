"""Options of ``pytest test_constraints.py``."""

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("the efficient-MNIST challenge")
    model = os.environ.get("MNIST_MODEL", "efficient")
    group.addoption("--model", default=model, help="what test_constraints.py trains: NAME or FILE.py[:NAME]")
    group.addoption("--dataset", default="auto", help="and on which data (default: auto, in $MNIST_DATA_DIR)")
