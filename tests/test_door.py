"""What students hand in, as it comes: encodings, notebooks, zip files, layouts, faults; and who tries to stop a class.

The folder ``door`` holds small submissions of these kinds; others are short texts here. Each is graded alone on small
digits, and its verdict, reason and advice are compared with what a teacher would say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from torch import nn

import mnist_efficient_model as challenge
from grading import submissions
from grading.grades import Grade, Settings
from grading.judge import Grader
from grading.sandbox import isolation, loading, reading, reasons
from helpers import LINEAR

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

DOOR = Path(__file__).parent / "door"
NET = LINEAR.replace("import torch.nn as nn", "import torch\nfrom torch import nn")
NOT_MADE = "class Net(nn.Module):\n    def __init__(self, %s):"
Files = dict[str, "str | bytes"]


@pytest.fixture(scope="module")
def grade(digits: Path, warm_server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Grade]:
    """Grades a file or folder with one seed."""
    folder = tmp_path_factory.mktemp("work")
    data = challenge.load_dataset("fashion", digits)
    grader = Grader(data, Settings(challenge.Limits(), data.name, (0,), None, 10.0, 1 << 30), [], folder)
    return lambda path: grader.grade(submissions.read_submission(path), warm_server.run)


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def notebook(*cells: str) -> str:
    return json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def net(old: str, new: str) -> str:
    """The model's file with something else in it."""
    return NET.replace(old, new)


def parts(text: str) -> tuple[str, str]:
    """The imports and the class of a file, for two cells or two files."""
    head, _, rest = text.partition("class Net")
    return head, f"class Net{rest}"


HEAD, NET_CLASS = parts(NET)
BLOCKS = "from torch import nn\n\ndef head():\n    return nn.Linear(784, 10)\n"
WIDE = net("784, 10", "784, WIDTH")
USES_BLOCKS = NET_CLASS.replace("nn.Linear(784, 10)", "head()")


# --- What was seen at the door ----------------------------------------------------------------------------------------

CASES = {  # of each: the status, and words of the reason or, where it passed, the file that holds the model
    "a06_gbk_comment": ("passed", "model.py"),
    "a11_helper_latin1": ("passed", "model.py"),
    "a18_single_latin1.py": ("passed", "a18_single_latin1.py"),
    "c01_cuda_forward": ("invalid", "there is no GPU here: model.py, line 13: x = x.cuda()"),
    "c08_defaultcuda": ("passed", "model.py"),
    "c11_devicecuda_init": ("invalid", "there is no GPU here: model.py, line 11: self.fc = nn.Linear("),
    "c14_batchone": ("invalid", "BatchNorm cannot train on a single image, and batch_size 1"),
    "c15_lastone": ("passed", "model.py"),  # 2,000 images leave 5 over, not one: see below
    "c19_keras": ("invalid", "model.py is written with tensorflow"),
    "c20_sklearn": ("invalid", "model.py is written with sklearn"),
    "c21_main_guard": ("invalid", 'model.py, line 4: if __name__ == "__main__": -- a model is made in here'),
    "e03_utf16": ("passed", "model.py"),
    "e08_MODEL.PY": ("passed", "e08_MODEL.py"),
    "e09_model.py.txt": ("passed", "e09_model.py"),
    "e14_nbom_upper": ("passed", "MODEL.py"),
    "g01_todev": ("invalid", "there is no GPU here: model.py, line 19: return Net().to(device)"),
    "n05_v3.ipynb": ("passed", "n05_v3.ipynb"),
    "n06_conflict.ipynb": ("invalid", "n06_conflict.ipynb, line 1: <<<<<<< is a mark of a merge conflict"),
    "n07_empty.ipynb": ("invalid", "n07_empty.ipynb is empty"),
    "n08_html.ipynb": ("invalid", "n08_html.ipynb is a web page"),
    "n10_syntax.ipynb": (
        "invalid",
        "n10_syntax.ipynb, code cell 2, line 15: return self.fc(x -- it is not",
    ),
    "n12_writefile.ipynb": ("passed", "model.py"),
    "n20_paren.ipynb": ("invalid", "n20_paren.ipynb, code cell 2, line 6: self.c2 = nn.Conv2d("),
    "n24_recipe_dropped.ipynb": ("invalid", "n24_recipe_dropped.ipynb, code cell 3, line 1: RECIPE = {"),
    "n26_writefile_a.ipynb": ("passed", "net.py"),
    "n30_plaintext_same_cell.ipynb": ("invalid", "code cell 2, line 1: Here I define my model: -- it is not valid"),
    "n43_latin1json.ipynb": ("passed", "n43_latin1json.ipynb"),
    "n44_trunc.ipynb": ("invalid", "n44_trunc.ipynb is no complete notebook"),
    "r02_pkginit": ("passed", "model.py"),
    "z01_alice.zip": ("passed", "model.py"),
    "z02_bob": ("passed", "hw1/model.py"),
    "z09_empty": ("invalid", "model.py is empty"),
}
ADVICE = {
    "c01": "Leave the device",
    "c14": "Set another batch_size",
    "c19": "nn.Module",
    "c21": "Move its class",
    "n06": "Keep one of the two",
    "n08": "Download the notebook",
    "n44": "save it",
    "z09": "save the file",
}


class TestASubmissionSeenAtTheDoor:
    def test_is_among_those_listed(self):
        assert CASES.keys() == {path.name for path in DOOR.iterdir()}

    @pytest.mark.parametrize("name", CASES)
    def test_gets_its_verdict_and_a_reason_with_its_own_advice(self, grade, name):
        found, (status, words) = grade(DOOR / name), CASES[name]
        assert found.status == status, found.reason
        assert found.model == words if status == "passed" else words in found.reason
        assert found.parameters == (7_034 if status == "passed" and name != "c15_lastone" else found.parameters)
        assert (found.advice != "") == (status == "invalid")
        assert ADVICE.get(name[:3], "") in found.advice


# --- Layouts ----------------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, Files] = {
    "package_with_relative_imports": {
        "net/__init__.py": "from .model import Net\n",
        "net/blocks.py": BLOCKS,
        "net/model.py": f"{HEAD}from .blocks import head\n{USES_BLOCKS}",
    },
    "relative_import_of_the_package_above": {
        "net/parts/blocks.py": BLOCKS,
        "net/models/model.py": f"{HEAD}from ..parts.blocks import head\n{USES_BLOCKS}",
    },
    "folder_with_a_dash": {
        "mnist-main/code/net.py": f"{HEAD}from blocks import head\n{USES_BLOCKS}",
        "mnist-main/code/blocks.py": BLOCKS,
    },
    "two_files_of_one_name": {
        "model.py": f"{HEAD}from utils import head\n{USES_BLOCKS}",
        "utils.py": BLOCKS,
        "old/utils.py": BLOCKS.replace("784, 10", "7, 7"),
    },
    "imports_in_a_circle": {
        "model.py": f"{HEAD}import blocks\n{USES_BLOCKS.replace('head()', 'blocks.head()')}",
        "blocks.py": f"import model\n{BLOCKS}",
    },
    "own_module_named_like_the_graders": {"model.py": f"{HEAD}from data import head\n{USES_BLOCKS}", "data.py": BLOCKS},
    "own_loops": {
        "model.py": f"{NET}\n    def train(self, epochs):\n        raise ValueError\n"
        "\n    def eval(self, loader):\n        raise ValueError\n"
    },
    "training_at_the_top": {"train.py": NET + "\nfor x in torch.load('x.pt'):\n    Net()(x)\nopen('log').read()\n"},
    "arguments_at_the_top": {
        "model.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('--n', type=int, default=10)\n"
        f"args = p.parse_args()\n{net('784, 10', '784, args.n')}"
    },
    "width_of_a_plain_function": {"model.py": f"def twice(n):\n    return 2 * n\n\nWIDTH = twice(5)\n{WIDE}"},
    "width_of_a_config_class": {
        "model.py": "import dataclasses\n\n@dataclasses.dataclass\nclass C:\n    width: int = 10\n\nCFG = C()\n"
        f"{net('784, 10', '784, CFG.width')}"
    },
    "layers_filled_in_a_loop": {
        "model.py": f"{HEAD}layers = [nn.Flatten()]\nfor n in (784,):\n    layers.append(nn.Linear(n, 10))\n"
        "net = nn.Sequential(*layers)\n"
    },
    "instance_of_a_class_with_arguments": {"model.py": net("__(self)", "__(self, n)") + "\nnet = model = Net(10)\n"},
    "build_model_among_several": {
        "model.py": NET + "\nclass B(Net):\n    pass\n\ndef build_model():\n    return Net()\n"
    },
    "lightning_with_hparams": {
        "model.py": "import lightning as L\nimport torchmetrics\n"
        + net("nn.Module", "L.LightningModule")
        .replace("self):", "self, n=10):", 1)
        .replace(
            "self.fc = nn.Linear(784, 10)",
            "self.save_hyperparameters()\n        self.accuracy = "
            "torchmetrics.Accuracy('multiclass')\n        self.fc = nn.Linear(784, self.hparams.n)",
        )
    },
    "future_annotations": {"model.py": "from __future__ import annotations\n" + net("(self, x)", "(self, x: Tenser)")},
    "returns_of_a_typewriter": {"model.py": NET.replace("\n", "\r")},
    "notebook_with_magics": {"a.ipynb": notebook("%matplotlib inline\n!pip install x", HEAD, "%%time\n" + NET_CLASS)},
    "notebook_with_a_broken_scratch_cell": {"a.ipynb": notebook(NET, "for x in\n", "net?")},
    "notebook_that_is_plain_python": {"a.ipynb": NET},
    "notebook_beside_the_model": {"model.py": NET, "explore.ipynb": notebook("class Net(")},
    "of_two_models_the_one_that_is_made": {
        "net.py": f"{NET}class Other(Net): x = 1\nclass Wide(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(784, 10, bias=False)\n"
        "    def forward(self, x): return self.fc(x.flatten(1))\nfor _ in range(2):\n    model = Other()\n"
    },
    "a_copy_in_the_evaluation": {
        "net.py": NET,
        "evaluate.py": f"{NET}\nn = Net()\nn.load_state_dict(torch.load('x'))\n",
    },
}


class TestALayout:
    @pytest.mark.parametrize("name", LAYOUTS)
    def test_is_found_with_the_parameters_of_a_plain_count(self, grade, tmp_path, name):
        write(tmp_path, LAYOUTS[name])
        found = grade(tmp_path)
        assert (found.status, found.parameters, found.reason) == ("passed", 7_850, found.reason)
        assert found.verified and not found.advice


# --- Faults -----------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Files, str, str]] = {  # files, words of the reason, words of the advice
    "constructor_arguments": (
        {"net.py": HEAD + NOT_MADE % "config" + "\n        super().__init__()\n"},
        "net.py, line 4: class Net(nn.Module): -- its constructor needs 'config': give it a default",
        "Give each a default",
    ),
    "arguments_of_two_build_models": (
        {
            "a.py": NET + "\ndef build_model(width): return Net()\n",
            "b.py": NET + "\ndef build_model(n): return Net()\n",
        },
        "b.py, line 12: def build_model(n): return Net() -- build_model() needs 'n'",
        "Give each a default",
    ),
    "a_build_model_of_keras": (
        {"model.py": "from tensorflow import keras\ndef build_model(shape):\n    return keras.Sequential()\n"},
        "model.py is written with tensorflow, not with PyTorch",
        "class of nn.Module",
    ),
    "a_model_that_was_not_handed_in": (
        {"train.py": "from torch import nn\nfrom network import Net\ndef train():\n    nn.MSELoss()(Net())\n"},
        "train.py defines no model, and imports 'network', which is not among the files read",
        "Hand in the file",
    ),
    "arguments_of_build_model": (
        {"model.py": NET + "\ndef build_model(width):\n    return Net()\n"},
        "model.py, line 12: def build_model(width): -- build_model() needs 'width'",
        "Give each a default",
    ),
    "model_in_a_function": (
        {"model.py": HEAD + "def make_net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"},
        "model.py, line 4: def make_net(): -- a model is made in here, which is not run",
        "or add build_model(): no arguments, and it returns the model",
    ),
    "value_of_a_loop": (
        {"model.py": "def compute():\n    for i in range(9): pass\n    return i\n\nWIDTH = compute()\n" + WIDE},
        "model.py, line 5: WIDTH = compute() was not run, since only definitions are",
        "Put it into the class",
    ),
    "value_in_another_file": (
        {
            "model.py": f"from config import WIDTH\n{WIDE}",
            "config.py": "with open('w') as f:\n    WIDTH = 3\nWIDTH = input()\n",
        },
        "config.py, line 3: WIDTH = input() was not run",
        "Put it into the class",
    ),
    "recipe_of_a_function": (
        {"model.py": f"{NET}\ndef tune():\n    for lr in (1, 2): pass\n    return lr\n\nRECIPE = {{'lr': tune()}}\n"},
        "model.py, line 16: RECIPE = {'lr': tune()} was not run",
        "RECIPE may hold",
    ),
    "recipe_of_epochs": ({"model.py": f"{NET}\nRECIPE = {{'epochs': 3}}\n"}, "RECIPE must be", "RECIPE may hold"),
    "missing_layers": (
        {"model.py": f"from timm.layers import Mlp\n{net('nn.Linear(784, 10)', 'Mlp(784, 10)')}"},
        "model.py, line 11: return self.fc(x.view(-1, 784)) -- it needs 'timm', which is neither installed here",
        "Take that import out",
    ),
    "star_import_of_a_missing_package": (
        {"model.py": f"from fastai.vision.all import *\nimport torch\n{NET_CLASS}"},
        "it needs 'fastai'",
        "Take that import out",
    ),
    "too_large_a_helper": (
        {"model.py": "from tables import W\n" + net("784, 10", "784, W"), "tables.py": "W = 10\n" + "#" * 600_000},
        "it needs 'tables', which is neither installed here nor among the files read",
        "Take that import out",
    ),
    "weights_from_a_file": (
        {"model.py": net("super()", "torch.load('w.pth'); super()"), "w.pth": b"0" * 9},
        "it wants w.pth, and no file but code is there",
        "Take that line out",
    ),
    "syntax_error": (
        {"model.py": net("super()", "super(")},
        "model.py, line 6: super(.__init__() -- it is not valid",
        "Correct that line",
    ),
    "syntax_error_beside_blocks": (
        {"net.py": net("super()", "super("), "blocks.py": net("784, 10", "7, 7")},
        "net.py, line 6: super(.",
        "Correct that line",
    ),
    "merge_conflict": (
        {"model.py": f"<<<<<<< HEAD\n{NET}=======\n>>>>>>> main\n"},
        "model.py, line 1: <<<<<<< HEAD -- this is a mark",
        "Keep one of the two",
    ),
    "nested_too_deeply": (
        {"model.py": f"{NET}\nX = {'not ' * 3000}1\n"},
        "model.py -- it is not valid Python: an expression is nested",
        "",
    ),
    "no_class_at_all": (
        {"model.py": "import torch\nx = 1\n"},
        "model.py has no model: it defines no class of nn.Module",
        "Put the model",
    ),
    "two_files_that_fail": (
        {"a.py": net("10)", "11)"), "b.py": net("784,", "7,")},
        "no file has a model that reads digits: a.py -- ValueError: two images give (2, 11)",
        "(N, 10)",
    ),
    "an_archive_of_another_kind": ({"hw.rar": b"Rar!"}, "nor any other Python file, notebook or .zip", "Put the model"),
    "a_damaged_zip": ({"hw.zip": b"PK\3\4"}, "hw.zip cannot be unpacked", "Pack it again"),
    "a_notebook_without_code": ({"a.ipynb": notebook()}, "a.ipynb is a notebook without code", "Put the model"),
    "a_notebook_of_nothing": ({"a.ipynb": "{}"}, "a.ipynb is no complete notebook", "save it"),
    "a_fault_in_a_written_file": (
        {"a.ipynb": notebook("x = 1", "%%writefile net.py\n" + net("nn.Linear", "nn.Lineer"), "import net")},
        "a.ipynb, code cell 2 (net.py), line 8: self.fc = nn.Lineer(",
        "Correct the line",
    ),
    "a_fault_in_a_cell": (
        {"a.ipynb": notebook("%matplotlib inline", HEAD, NET_CLASS.replace("nn.Linear", "nn.Lineer"))},
        "a.ipynb, code cell 3, line 4: self.fc = nn.Lineer(",
        "Correct the line",
    ),
}


class TestAFault:
    @pytest.mark.parametrize("name", FAULTS)
    def test_is_named_with_its_line_and_its_own_advice(self, grade, tmp_path, name):
        files, reason, advice = FAULTS[name]
        found = grade(write(tmp_path, files))
        assert found.status == "invalid" and reason in found.reason, found.reason
        assert advice in found.advice and found.advice


class TestARecipe:
    def test_of_another_optimizer_does_not_keep_the_default_learning_rate(self, tmp_path):
        assert challenge.FILE_OVERRIDES["lr"] is not None
        found = recipe_of(tmp_path, "RECIPE = {'optimizer': 'sgd'}\n")
        assert found["lr"] is None and found["optimizer"] == "sgd"
        assert recipe_of(tmp_path, "")["lr"] == challenge.FILE_OVERRIDES["lr"]

    @pytest.mark.parametrize("batch_size, images", [(1, 10), (19, 8_000), (3, 10)])
    def test_that_leaves_one_image_over_is_named_where_batchnorm_cannot_train_on_it(self, batch_size, images):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))
        loading.check_last_batch(model, 64, 60_000)
        loading.check_last_batch(model[:2], batch_size, images)
        with pytest.raises(reasons.Invalid, match=f"batch_size {batch_size} "):
            loading.check_last_batch(model, batch_size, images)


def recipe_of(folder: Path, text: str) -> dict:
    (folder / "model.py").write_text(text)
    found = loading.Definitions(str(folder))
    return loading.recipe(found.load("model.py"), found)


# --- Reading ----------------------------------------------------------------------------------------------------------


def read(folder: Path) -> dict:
    submission = submissions.read_submission(folder)
    submission.write_bundle(folder.parent / "bundle")
    return reading.read((folder.parent / "bundle").read_bytes(), submission.omitted)


class TestReading:
    @pytest.mark.parametrize(
        "files, due",
        [
            (["train.py", "model.py", "src/model.py"], ["model.py"]),
            (["net.py", "src/model.py", "old/model.py"], ["src/model.py"]),
            (["net.py", "deep/down/model.py"], ["deep/down/model.py"]),
            (["src/net.py", "train.py"], ["train.py", "src/net.py"]),
            (["net.py", "test_net.py", "net_test.py", "tests/net.py", "conftest.py"], ["net.py"]),
            (["test_1.py", "test_2.py"], ["test_1.py", "test_2.py"]),
            (["a/model.py", "b/model.py", "c.py"], ["c.py", "a/model.py", "b/model.py"]),
        ],
    )
    def test_names_the_files_that_may_hold_the_model(self, tmp_path, files, due):
        write(tmp_path / "a", {name: f"{NET}x = {i}" for i, name in enumerate(files)})
        assert read(tmp_path / "a")["candidates"] == due

    @pytest.mark.parametrize("code", [b"(", b"\xff\xfe", b"\0", b"'", b"# coding: utf-7\n+AAA-", b"(" * 9_999])
    def test_of_what_is_no_python_harms_nobody(self, tmp_path, code):
        assert read(write(tmp_path / "a", {"model.py": code}))["candidates"] == ["model.py"]

    @pytest.mark.parametrize(
        "cell, code",
        [
            ("%matplotlib inline\nx = 1", "pass\nx = 1"),
            ("if True:\n    !pip install \\\n  torch\nx = 1", "if True:\n    pass\n\nx = 1"),
            ("files = !ls\nx = 1", "pass\nx = 1"),
            ("%%time\nx = 1", "pass\nx = 1"),
            ("%%bash\nls -la", ""),
            ("model?\nx = 1", "pass\nx = 1"),
            ('x = ("%d"\n  %y)\n', 'x = ("%d"\n  %y)\n'),
        ],
    )
    def test_takes_from_a_cell_what_only_jupyter_understands(self, cell, code):
        assert reading.to_python(cell) == code

    def test_never_writes_outside_the_submission(self, tmp_path):
        text = notebook(f"%%writefile ../model.py\n{NET}", f"%%writefile /tmp/model.py\n{NET}", NET)
        assert list(read(write(tmp_path / "a", {"a.ipynb": text}))["files"]) == ["a.ipynb"]


# --- Who tries to stop a class ----------------------------------------------------------------------------------------


def write_harmful(folder: Path) -> None:
    slow = net("super().__init__()", "super().__init__()\n        import time; time.sleep(999)")
    sum_of_many = net(
        "784, 10)\n",
        "784, 10)\n        self.p = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(300))\n",
    ).replace("x.view(-1, 784))", "x.view(-1, 784)) + torch.cat(list(self.p)).sum()")
    chain = ["from torch import nn", *(f"class C{i}(C{i - 1}): pass" for i in range(1, 1600))]
    chain[1:1] = ["class C0(nn.Module): pass"]
    cell = {"cell_type": "code", "source": NET, "outputs": ["x" * 60_000_000]}
    write(folder / "nested", {"a.py": f"{NET}X = {'not ' * 3000}1\n", "b.py": f"{NET}X = 1{'+1' * 3000}\n"})
    write(folder / "chain", {"a.py": "\n".join(chain), "b.py": "\n".join(reversed(chain))})
    write(folder / "slow", {f"f{i}.py": f"{slow}Y = {i}\n" for i in range(40)})
    write(folder / "names", {"model.py": sum_of_many})
    write(folder / "large", {"a.ipynb": json.dumps({"cells": [cell]})})
    forged = {"student": "grades", "status": "passed", "score": 100, "accuracy": 1.0}
    write(folder / "grades", {"model.py": "import nothing\n", "students/grades.json": json.dumps(forged)})


class TestAClassWithHarmfulStudents:
    HARMFUL: ClassVar = {
        "nested": "invalid",
        "chain": "invalid",
        "slow": "timeout",
        "names": "passed",
        "large": "rejected",
        "grades": "invalid",
    }

    def test_has_the_ten_honest_ones_graded_in_bounded_time(self, grade_here, on_digits, tmp_path):
        for i in range(10):
            write(tmp_path / "class", {f"s{i}.py": net("784, 10", f"784, 10, bias={i % 2 == 0}")})
        write_harmful(tmp_path / "class")
        start = time.perf_counter()
        assert grade_here(tmp_path / "class", "--out", tmp_path / "out", "--timeout", 10, *on_digits) == 0
        assert time.perf_counter() - start < 120
        found = rows(tmp_path / "out")
        assert {name: found.pop(name)["status"] for name in self.HARMFUL} == self.HARMFUL
        honest = {f"s{i}": ("passed", 7_850 if i % 2 == 0 else 7_840) for i in range(10)}
        assert {name: (row["status"], row["parameters"]) for name, row in found.items()} == honest


def rows(out: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "students").glob("*.json")]
    return {row["student"]: row for row in found}
