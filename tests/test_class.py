"""A class as a teacher collects it: a repository per student, in every layout; and a few stand-ins and definitions.

Every folder in ``class`` is one student's. All are graded in one run on small digits; the parameters are held against
those of the class built from its bare definitions, without the grader.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import mnist_efficient_model as challenge
from grading import submissions
from grading.grades import Grade, Settings, file_name
from grading.judge import Grader
from grading.sandbox import isolation, reasons
from grading.sandbox.definitions import Definitions, StandIn

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

CLASS = Path(__file__).parent / "class"
MODELS = {  # of each student: the files with the definitions, and what makes the model
    "ada": (["model/mnist_model.py"], "MNISTModel()"),
    "bilal": (["src/network.py"], "Network()"),
    "chen": (["train.py"], "Net()"),
    "dora": (["train_and_test.py"], "DigitNet()"),
    "emil": (["S6_Model3.py"], "Net()"),
    "fatima": (["mnist_net/config.py", "mnist_net/parts.py", "mnist_net/nets.py"], "TinyNet()"),
    "goran": (["models/blocks.py", "models/lightnet.py"], "LightNet()"),
    "hana": (["net.py"], "SecondTry()"),
    "ines": (["mnist.ipynb"], "Net()"),
    "jana": (["lightning_mnist.py"], "LitMNIST()"),
    "kofi": (["custom_resnet.py"], "CustomResNet()"),
    "lucia": (["mnist-main/code/lib/layers.py", "mnist-main/code/nets/small.py"], "SmallCNN()"),
    "mateo": (["train.py"], "MLP()"),
    "noor": (["classifier.py"], "Classifier()"),
    "olga": (["solution/backbone.py"], "Backbone(width=8)"),
    "pavel": (["networks.py"], "ConvNet()"),
    "quentin": (["mnist_cnn.py"], "SimpleCNN()"),
    "rosa": (["main.py"], "RosaNet()"),
    "sofia": (["base.py", "better.py"], "BetterNet()"),
    "tomás": (["Untitled.py"], "Net()"),
    "uma": (["src/digits/layers.py", "src/digits/model.py"], "Model()"),
    "viktor": (["network_def.py"], "net"),
    "wei": (["attempt_2.ipynb"], "Net()"),
    "zoë, o'neil": (["mnist_test.py"], "Zoe()"),
}
SEVERAL = {  # students with several models, and the candidates that are named
    "emil": ["S6_Model1.py:Net", "S6_Model2.py:Net", "S6_Model3.py:Net"],
    "pavel": ["networks.py:LinearNet", "networks.py:ConvNet"],
    "wei": ["attempt_1.ipynb:Net", "attempt_2.ipynb:Net"],
}


def definitions(path: Path) -> Iterator[ast.stmt]:
    """The classes, plain functions, constants and instances of torch's layers that a file defines."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"]]
        text = "\n".join(cell for cell in cells if cell.startswith("class"))
    for node in ast.parse(text).body:
        made = ast.unparse(node.value) if isinstance(node, ast.Assign) else ""
        is_plain = isinstance(node, ast.FunctionDef) and not node.decorator_list and not node.args.defaults
        if isinstance(node, ast.ClassDef) or is_plain or made.startswith("nn.") or made.replace(".", "").isdigit():
            yield node


def plain_parameters(student: str) -> int:
    """The parameters of a student's model, built here from the bare definitions."""
    files, make = MODELS[student]
    known = {"torch": torch, "nn": nn, "F": nn.functional, "LitBase": nn.Module}
    for file in files:
        for node in definitions(CLASS / student / file):
            if isinstance(node, ast.ClassDef):
                lightning = [base for base in node.bases if ast.unparse(base) == "pl.LightningModule"]
                node.bases = [ast.Name("LitBase", ast.Load(), lineno=1, col_offset=0)] if lightning else node.bases
                if "Digits" in node.name or "DataModule" in node.name:
                    continue  # a data set, of a package that is not there
                node.body = [n for n in node.body if not isinstance(n, ast.FunctionDef) or n.name == "__init__"]
            exec(compile(ast.Module([node], []), file, "exec"), known)
            nn.Module.save_hyperparameters = lambda self: None
    try:
        return sum(p.numel() for p in eval(make, known).parameters())
    finally:
        del nn.Module.save_hyperparameters


@pytest.fixture(scope="module")
def grades(digits: Path, warm_server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Grade]:
    """The grades of the class, as it was handed in."""
    data = challenge.load_dataset("fashion", digits)
    settings = Settings(challenge.Limits(), data.name, (0,), None, 30.0, 2 << 30)
    grader = Grader(data, settings, [], tmp_path_factory.mktemp("work"))
    handed_in = [submissions.read_submission(path, student) for student, path in submissions.entries(CLASS)]
    found = [grader.grade(submission, warm_server.run) for submission in handed_in]
    return {grade.student: grade for grade in found}


class TestAClassAsItIsCollected:
    def test_is_complete(self, grades):
        assert len(MODELS) >= 20
        assert grades.keys() == MODELS.keys() == {path.name for path in CLASS.iterdir()}

    @pytest.mark.parametrize("student", [name for name in MODELS if name not in SEVERAL])
    def test_is_judged_with_the_parameters_of_a_plain_run(self, grades, student):
        grade = grades[student]
        assert grade.status in ("passed", "failed"), grade.reason
        assert grade.parameters == plain_parameters(student)
        assert grade.accuracy is not None and grade.verified, grade.unverified_because

    @pytest.mark.parametrize("student", SEVERAL)
    def test_has_those_with_several_models_named(self, grades, student):
        grade = grades[student]
        assert grade.status == "invalid" and ", ".join(SEVERAL[student]) in grade.reason
        assert "model.py" in grade.reason and "build_model" in grade.advice

    def test_has_its_models_where_they_are_defined(self, grades):
        files = {name: grade.model for name, grade in grades.items() if grade.model}
        assert files["goran"] == "models/lightnet.py" and files["sofia"] == "better.py" and files["hana"] == "net.py"
        assert files["fatima"] == "mnist_net/nets.py" and files["olga"] == "solution/factory.py"


class TestDefinitions:
    """What is loaded of a file, and what stands for a package that is not there."""

    @pytest.fixture
    def load(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple]]:
        monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
        before = set(sys.modules)

        def load(text: str, **others: str):
            for name, content in {"main": text, **others}.items():
                (tmp_path / f"{name}.py").write_text(content)
            found = Definitions(os.path.realpath(tmp_path))
            return found.load("main.py"), found

        yield load
        for name in set(sys.modules) - before:
            del sys.modules[name]

    @pytest.mark.parametrize(
        "line",
        [
            "import no_such as n\nx = n.a.b(1)(2)[3]['x']",
            "from no_such.deep.er import thing\nx: int | thing = 3",
            "from no_such import a\n@a\n@a.b(3)\n@a(x=3)\ndef f(x=a.c(), *, y: a.T | None = a[0]): return 7\nx = f()",
            "from no_such import a\nclass A(a.Dataset):\n    pass",
            "from no_such import a, b\nfrom torch import nn\nclass A(a.M, b.M, nn.Module): pass\nx = A().train()",
            "from no_such import a, b\nfrom torch import nn\nclass A(nn.Module, a.M, b.M): pass\nx = A()",
            "from no_such import a\nx = not isinstance(3, a.T)",
            "import torch\nimport torch.no_such\nx = torch.nn.ReLU()",
            "from google.colab import no_such\nno_such.mount('/content')\nx = 1",
            "if __name__ == '__main__':\n    raise ValueError\nx = 1",
            "for i in range(3):\n    print(i)\nwith open('x') as f:\n    pass\nwhile True:\n    pass\nx = 1",
            "import torch\nx = 1\nx = torch.load('x.pt')\n1 / 0\nraise SystemExit",
            "from half import above\nx = above",
        ],
    )
    def test_are_loaded_whatever_stands_between_them(self, load, line):
        module, _ = load(f"{line}\ndef last(): pass\n", half="above = 1\n1 / 0\nbelow = 2\nlater = below / 0\n")
        assert callable(module.last) and (hasattr(module, "x") or hasattr(module, "A"))

    def test_note_what_failed_or_was_not_run(self, load):
        _, found = load("a = 1 / 0\nb = input()\nimport no_such\n")
        assert [sorted(skipped.names) for skipped in found.skipped] == [["a"], ["b"], ["no_such"]]
        assert [type(skipped.error) for skipped in found.skipped] == [
            ZeroDivisionError,
            type(None),
            ModuleNotFoundError,
        ]
        assert reasons.skipped_line(found.skipped[1], found) == "main.py, line 2: b = input()"

    def test_of_one_file_are_the_same_by_all_its_names(self, load):
        module, _ = load("import other\nfrom .other import A\n", other="class A: pass\n")
        assert module.A is module.other.A

    def test_that_need_a_missing_package_raise_when_it_is_called_with_tensors(self, load):
        module, _ = load("from no_such.layers import Conv\ndef build_model(): return Conv(3)\n")
        assert isinstance(module.build_model(), StandIn)
        with pytest.raises(ModuleNotFoundError, match=r"no_such"):
            module.build_model()(torch.zeros(1))


def test_students_files_have_names_that_every_system_can_hold():
    names = [name for _, folders, files in os.walk(CLASS) for name in (*folders, *files)]
    assert not [name for name in names if set(name) & set('<>:"|?*\\')]


def test_a_file_name_keeps_two_students_of_the_class_apart():
    assert len({file_name(name) for name in MODELS}) == len(MODELS)
