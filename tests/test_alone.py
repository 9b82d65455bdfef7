"""A copy of the script alone in an empty folder, with no package but torch and numpy, does all that it promises."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mnist_efficient_model as challenge
from conftest import write_small_fashion

ABSENT = "tqdm matplotlib snntorch torchvision jinja2 report pages export grading experiments data".split()
HIDE = f"""import importlib.machinery
find = importlib.machinery.PathFinder.find_spec.__func__

def find_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in {ABSENT!r} else find(cls, name, path, target)

importlib.machinery.PathFinder.find_spec = classmethod(find_spec)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for the script, and data of 1,000 digits in FashionMNIST's place."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(challenge.__file__, folder)
    write_small_fashion(folder / "data", sizes=(1000, 200))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """Run the copy from its folder as a new process in which the packages above are not to be found."""
    hidden = tmp_path_factory.mktemp("hidden")
    (hidden / "sitecustomize.py").write_text(HIDE)
    environment = {k: v for k, v in os.environ.items() if k != "MNIST_DATA_DIR"} | {"PYTHONPATH": str(hidden)}
    script = folder / "mnist_efficient_model.py"

    def run(*arguments: object, cwd: Path = folder, program: tuple = (script,)) -> subprocess.CompletedProcess:
        command = [sys.executable, *map(str, (*program, *arguments))]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, env=environment)

    return run


FASHION = ("--dataset", "fashion", "--batch-size", 8)


def test_one_model_is_trained_judged_and_saved_and_its_checkpoint_comes_back(run, folder):
    done = run(*FASHION, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["passed"] and result["checkpoint"] == "results/efficient-fashion.pth"
    code = (
        "import mnist_efficient_model as m; model, saved = m.load_checkpoint('results/efficient-fashion.pth')\n"
        "print(m.evaluate(model, m.load_dataset('fashion').test).accuracy == saved['result']['test_accuracy'])"
    )
    again = run(program=("-c", code))
    assert again.stdout == "True\n", again.stderr


def test_several_seeds_and_a_holdout(run):
    done = run(*FASHION, "--seeds", 2, "--holdout", 50, "--json")
    document = json.loads(done.stdout)
    assert [each["seed"] for each in document["runs"]] == [0, 1]
    assert all(each["test_images"] == 50 and each["threads"] == 1 for each in document["runs"])


def test_anybodys_file(run, folder):
    head = "import torch.nn as nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    (folder / "net.py").write_text(head + "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n")
    done = run("--dataset", "fashion", "--model", "net.py:Net", "--quiet")
    assert "net.py:Net, seed 0" in done.stdout and done.returncode in (0, 1), done.stderr


def test_all_models_are_compared_and_those_that_need_a_package_say_so(run, folder):
    done = run("--dataset", "fashion", "--model", "all", "--results-dir", "comparison")
    assert done.returncode in (0, 1), done.stderr
    assert "pip install snntorch" in done.stdout and "not beside this script" in done.stdout
    comparison = json.loads((folder / "comparison" / "comparison-fashion.json").read_text())
    assert comparison["failures"].keys() == {"snn", "csnn"}
    assert {each["model"] for each in comparison["runs"]} == challenge.MODELS.keys() - {"snn", "csnn"}
    with (folder / "comparison" / "comparison-fashion.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(challenge.MODELS)


def test_lists_its_models_without_the_packages_that_some_of_them_need(run):
    done = run("--list-models")
    assert done.returncode == 0 and "efficient" in done.stdout and done.stderr == ""


def test_writes_to_the_current_folder_and_never_beside_itself(run, folder, tmp_path):
    before = sorted(folder.iterdir())
    data = folder / "data"
    done = run(*FASHION, "--data-dir", data, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results"] and sorted(folder.iterdir()) == before
    assert challenge.STROKES.exists() and not (folder / "data" / "strokes.py").exists()


@pytest.mark.parametrize("dataset", ["auto", "strokes"])
def test_with_neither_data_nor_a_network_says_what_to_do_in_its_last_line(run, tmp_path, dataset):
    done = run("--dataset", dataset, cwd=tmp_path)
    *before, last = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(before)) == (4, "", dataset == "auto")
    assert ("pip install" in last and "(or their .gz) into" in last) if dataset == "auto" else "connect once" in last
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
