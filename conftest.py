"""Options of ``pytest test_constraints.py``."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several workers share the cores; what they start inherits it
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("the efficient-MNIST challenge")
    model = os.environ.get("MNIST_MODEL", "efficient")
    group.addoption("--model", default=model, help="what test_constraints.py trains: NAME or FILE.py[:NAME]")
    group.addoption("--dataset", default="auto", help="and on which data (default: auto, in $MNIST_DATA_DIR)")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """A single file runs on one core anyway: in this process then, which starts sooner and prints plainly."""
    return 0 if len(config.args) == 1 and ".py" in config.args[0] else None


LONGEST = "door commands building class platforms graph grading slurm robustness handout terminal notebook".split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that none of them keeps one core busy when the others have ended."""
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
