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
from helpers import write_small_fashion

ABSENT = "tqdm matplotlib snntorch torchvision jinja2 report pages export grading experiments data".split()
HIDE = f"""import importlib.machinery
find = importlib.machinery.PathFinder.find_spec.__func__

def find_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in {ABSENT!r} else find(cls, name, path, target)

importlib.machinery.PathFinder.find_spec = classmethod(find_spec)
"""
COMMANDS = """import contextlib, io, json, sys, mnist_efficient_model as m

def buildable(name):
    with contextlib.suppress(m.ChallengeError):
        return bool(m.build_model(name))

done = {"buildable": [name for name in m.MODELS if buildable(name)]}
m.MODELS = {name: m.MODELS[name] for name in ("efficient", "mlp_small", "csnn")}
for name, words in json.loads(sys.argv[1]).items():
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        done[name] = [m.main(words)]
    done[name] += [out.getvalue(), err.getvalue()]
model, saved = m.load_checkpoint("results/efficient-fashion.pth")
done["reloaded"] = m.evaluate(model, m.load_dataset("fashion").test).accuracy, saved["result"]["test_accuracy"]
json.dump(done, sys.stdout)
"""
FASHION = ["--dataset", "fashion", "--batch-size", "8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for the script, a model, and data of 1,000 digits in FashionMNIST's place."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(challenge.__file__, folder)
    head = "import torch.nn as nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    (folder / "net.py").write_text(head + "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n")
    write_small_fashion(folder / "data", sizes=(1000, 200))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """Run Python in a process in which the packages above are not to be found."""
    hidden = tmp_path_factory.mktemp("hidden")
    (hidden / "sitecustomize.py").write_text(HIDE)
    environment = {k: v for k, v in os.environ.items() if k != "MNIST_DATA_DIR"} | {"PYTHONPATH": str(hidden)}

    def run(*arguments: object, cwd: Path = folder) -> subprocess.CompletedProcess:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, env=environment)

    return run


@pytest.fixture(scope="module")
def done(run) -> dict[str, list]:
    """Several commands of the copy, run from its folder: name -> status, stdout and stderr."""
    commands = {
        "one": [*FASHION, "--json"],
        "seeds": [*FASHION, "--seeds", "2", "--holdout", "50", "--json"],
        "file": ["--dataset", "fashion", "--model", "net.py:Net", "--quiet"],
        "all": [*FASHION, "--model", "all", "--results-dir", "comparison"],
        "list": ["--list-models"],
        **{dataset: ["--dataset", dataset, "--data-dir", "nothing"] for dataset in ("auto", "strokes")},
    }
    process = run("-c", COMMANDS, json.dumps(commands))
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_one_model_is_trained_judged_and_saved_and_its_checkpoint_comes_back(done):
    status, out, err = done["one"]
    result = json.loads(out)
    assert status == 0 and result["passed"] and result["checkpoint"] == "results/efficient-fashion.pth", err
    assert done["reloaded"] == [result["test_accuracy"]] * 2


def test_several_seeds_and_a_holdout(done):
    runs = json.loads(done["seeds"][1])["runs"]
    assert [(run["seed"], run["test_images"], run["threads"]) for run in runs] == [(0, 50, 1), (1, 50, 1)]


def test_anybodys_file(done):
    status, out, err = done["file"]
    assert status in (0, 1) and "net.py:Net, seed 0" in out, err


def test_all_models_are_compared_and_those_that_need_a_package_say_so(done, folder):
    status, out, err = done["all"]
    assert status == 0 and "pip install snntorch" in out and "not beside this script" in out, err
    comparison = json.loads((folder / "comparison" / "comparison-fashion.json").read_text())
    assert comparison["failures"].keys() == {"csnn"}
    assert {each["model"] for each in comparison["runs"]} == {"efficient", "mlp_small"}
    with (folder / "comparison" / "comparison-fashion.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3


def test_lists_and_builds_its_models_but_for_those_that_need_a_package(done):
    status, out, err = done["list"]
    assert (status, err) == (0, "") and "efficient" in out and "csnn" in out
    assert set(done["buildable"]) == challenge.MODELS.keys() - {"snn", "csnn"}


@pytest.mark.parametrize("dataset, lines, words", [("auto", 2, "(or their .gz) into"), ("strokes", 1, "connect once")])
def test_with_neither_data_nor_a_network_says_what_to_do_in_its_last_line(done, folder, dataset, lines, words):
    status, out, err = done[dataset]
    assert (status, out, len(err.splitlines())) == (4, "", lines) and words in err.splitlines()[-1]
    assert not [path for path in folder.rglob("nothing/**/*") if path.is_file()]


def test_writes_to_the_current_folder_and_never_beside_itself(run, folder, tmp_path):
    before = sorted(folder.iterdir())
    words = [*FASHION, "--data-dir", folder / "data", "--quiet"]
    process = run(folder / "mnist_efficient_model.py", *words, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results"] and sorted(folder.iterdir()) == before
