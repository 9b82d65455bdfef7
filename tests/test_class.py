"""A class as a teacher collects it: a repository per student, in every layout; what --choose and notebooks do.

Every folder in ``class`` is one student's. All are graded in one run on small digits; the parameters are held against
those of the class built from its bare definitions, without the grader.
"""

from __future__ import annotations

import ast
import builtins
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from conftest import write_small_fashion
from torch import nn

from grading import __main__ as room
from grading import choices, finding, gradebook, notebook, source, submissions
from grading.sandbox import importing, isolation
from grading.sandbox.placeholders import Placeholder, PlaceholderModule
from mnist_efficient_model import ChallengeError

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

ROOT = Path(__file__).parent.parent
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
SEVERAL = {  # students with several models, the candidates that are named, and the teacher's choice
    "emil": (["S6_Model1.py:Net", "S6_Model2.py:Net", "S6_Model3.py:Net"], "S6_Model3.py"),
    "pavel": (["networks.py:LinearNet", "networks.py:ConvNet"], "networks.py:ConvNet"),
    "wei": (["attempt_1.ipynb.py:Net", "attempt_2.ipynb.py:Net"], "attempt_2.ipynb"),
}
CUT = {  # students whose import ends early, and the line and the advice that the reason gives
    "chen": (
        "train.py, line 25: datasets.MNIST(",
        "it uses the network when it is imported: put that under if __name__",
    ),
    "dora": ("train_and_test.py, line 27: args = parser.parse_args()", "it ends the program; put that under"),
    "ines": ("mnist.ipynb.py, line", "it uses the network"),
    "pavel": ("networks.py, line 25: net.load_state_dict(torch.load(", "FileNotFoundError"),
    "quentin": ("mnist_cnn.py, line", "its import was stopped after 2 s: put that under if __name__"),
    "rosa": ("dataset.py, line 5: train_set = datasets.MNIST(", "it uses the network"),
    "tomás": ("Untitled.py, line 37: with open(", "FileNotFoundError"),
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
def on_digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("data")
    write_small_fashion(folder)
    return ("--dataset", "fashion", "--data-dir", folder, "--seeds", 1, "--timeout", 10)


@pytest.fixture(scope="module")
def out(on_digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the grades of the class are, as it was handed in."""
    out = tmp_path_factory.mktemp("grades")
    done = subprocess.run(
        [sys.executable, "-m", "grading", CLASS, "--out", out, *map(str, on_digits)],
        capture_output=True, text=True, timeout=300, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def grades(out: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "students").glob("*.json")]
    return {grade["student"]: grade for grade in found}


@pytest.fixture(scope="module")
def chosen(out: Path, grades, on_digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The grades after the teacher has settled those of several models."""
    table = tmp_path_factory.mktemp("choices") / "choices.csv"
    write_table(table, [("Student", "path[:NAME]"), *((name, choice) for name, (_, choice) in SEVERAL.items())])
    arguments = [CLASS, "--out", out, "--choose", table, *on_digits]
    assert room.main([str(argument) for argument in arguments]) == 0
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "students").glob("*.json")]
    return {grade["student"]: grade for grade in found}


def write_table(path: Path, rows: list[tuple[str, ...]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


class TestAClassAsItIsCollected:
    def test_is_complete(self, grades):
        assert len(MODELS) >= 20
        assert grades.keys() == MODELS.keys() == {path.name for path in CLASS.iterdir()}

    @pytest.mark.parametrize("student", MODELS.keys() - SEVERAL.keys())
    def test_is_judged_with_the_parameters_of_a_plain_run(self, grades, student):
        grade = grades[student]
        assert grade["status"] in ("passed", "failed"), grade["reason"]
        assert grade["parameters"] == plain_parameters(student)
        assert grade["accuracy"] is not None and grade["verified"], grade["doubts"]

    @pytest.mark.parametrize("student", SEVERAL)
    def test_has_those_with_several_models_named(self, grades, student):
        grade = grades[student]
        assert grade["status"] == "invalid" and "--choose" in grade["reason"]
        assert ", ".join(SEVERAL[student][0]) in grade["reason"]

    @pytest.mark.parametrize("student", SEVERAL)
    def test_is_settled_by_the_teachers_choice(self, chosen, student):
        assert chosen[student]["status"] in ("passed", "failed"), chosen[student]["reason"]
        assert chosen[student]["parameters"] == plain_parameters(student)

    def test_is_graded_again_only_where_a_choice_was_made(self, out, grades, chosen):
        assert {name for name in grades if grades[name]["key"] != chosen[name]["key"]} == SEVERAL.keys()

    @pytest.mark.parametrize("student", CUT)
    def test_hears_where_an_import_ended_early(self, grades, student):
        where, advice = CUT[student]
        assert grades[student]["import_cut"].startswith(where) and advice in grades[student]["import_cut"]
        assert grades[student]["import_cut"] in grades[student]["reason"]

    def test_hears_nothing_of_imports_that_did_not(self, grades):
        assert {name for name, grade in grades.items() if grade["import_cut"]} == CUT.keys()

    def test_has_its_models_where_they_are_defined(self, grades):
        files = {name: grade["model"] for name, grade in grades.items() if grade["model"]}
        assert files["goran"] == "models/lightnet.py" and files["sofia"] == "better.py" and files["hana"] == "net.py"
        assert files["fatima"] == "mnist_net/nets.py" and files["mateo"] == "train.py"


class TestChoices:
    def test_take_names_with_commas_quotes_and_accents(self, tmp_path):
        students = ["O'Neil, Zoë", 'the "best"', "名前"]
        table = write_table(tmp_path / "c.csv", [(student, "src/net.py:Net") for student in students])
        assert choices.read_choices(table) == dict.fromkeys(students, choices.Choice("src/net.py", "Net"))

    @pytest.mark.parametrize("first", ["", "\ufeffStudent,Path\n", "student,path[:NAME]\r\n"])
    def test_may_begin_with_a_line_of_headings(self, tmp_path, first):
        (tmp_path / "c.csv").write_text(f"{first}alice,a b.py\n\n", encoding="utf-8")
        assert choices.read_choices(tmp_path / "c.csv") == {"alice": choices.Choice("a b.py")}

    @pytest.mark.parametrize(
        "content, words",
        [
            (b"alice\n", "row 1: there must be two columns"),
            (b"student,path\nalice,a.py,Net\n", "row 2: there must be two columns"),
            (b"alice,a.txt\n", "no file of code"),
            (b"alice,a.py:No such\n", "no file of code"),
            (b"alice,a.py\nalice,b.py\n", "twice"),
            (b'alice,"a.py\n', "no CSV"),
            (b"\xff\xfe\x00", "no CSV"),
            (b"bob,a.py\n", "there is no submission bob"),
            (b"alic,a.py\n", "did you mean alice?"),
            (b"alice,b.py\n", "alice has no file of code b.py"),
            (None, "cannot read"),
        ],
    )
    def test_that_fit_nothing_are_one_line_and_status_2(self, tmp_path, capsys, content, words):
        (tmp_path / "class" / "alice").mkdir(parents=True)
        (tmp_path / "class" / "alice" / "a.py").write_text("")
        if content is not None:
            (tmp_path / "c.csv").write_bytes(content)
        assert room.main([str(tmp_path / "class"), "--choose", str(tmp_path / "c.csv")]) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1

    def test_of_a_whole_class_do_where_one_student_is_graded(self, tmp_path):
        (tmp_path / "alice").mkdir()
        (tmp_path / "alice" / "model.py").write_text("")
        (tmp_path / "alice" / "other.py").write_text("")
        table = {"alice": choices.Choice("other.py"), "bob": choices.Choice("a.py")}
        (alice,) = submissions.find_submissions(tmp_path / "alice", choices=table)
        assert alice.candidates == ["other.py"]

    def test_change_what_a_grade_stands_for(self, tmp_path):
        (tmp_path / "alice").mkdir()
        (tmp_path / "alice" / "a.py").write_text("")
        found = [submissions.read_submission(tmp_path / "alice", "alice", (), choice).digest()
                 for choice in (None, choices.Choice("a.py"), choices.Choice("a.py", "Net"))]  # fmt: skip
        assert found[0] == found[1] != found[2]


NET = b"from torch import nn\nclass Net(nn.Module):\n    pass\n"


class TestTheCandidates:
    """The files that may hold the model, by reading."""

    @pytest.mark.parametrize(
        "names, due",
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
    def test_are_the_likeliest_first(self, names, due):
        assert finding.candidates({name: NET + f"x = {i}".encode() for i, name in enumerate(names)}) == due

    def test_are_only_those_that_define_a_model(self):
        files = {"net.py": NET, "train.py": b"from net import Net\nnet = Net()\n", "setup.py": b"", "broken.py": b"("}
        assert finding.candidates(files) == ["net.py"]

    def test_with_the_same_code_are_one(self):
        assert finding.candidates({"old/net.py": NET + b"# older\n", "net.py": NET}) == ["net.py"]


class TestOneStudentsFolder:
    def test_is_a_clone_that_is_no_folder_of_clones(self, tmp_path):
        (tmp_path / "alice" / ".git").mkdir(parents=True)
        (tmp_path / "alice" / "net.py").write_bytes(NET)
        (tmp_path / "alice" / "train.py").write_bytes(b"from net import Net\n")
        (alice,) = submissions.find_submissions(tmp_path / "alice")
        assert (alice.student, alice.candidates) == ("alice", ["net.py"])
        (tmp_path / ".git").mkdir()
        assert [each.student for each in submissions.find_submissions(tmp_path)] == ["alice"]
        (tmp_path / "bob.py").write_bytes(NET)
        assert [each.student for each in submissions.find_submissions(tmp_path)] == ["alice", "bob"]

    def test_does_not_hold_the_results_that_lie_in_it(self, tmp_path):
        (tmp_path / "alice" / "grades").mkdir(parents=True)
        (tmp_path / "alice" / "model.py").write_bytes(NET)
        before = submissions.find_submissions(tmp_path / "alice", [tmp_path / "alice" / "grades"])
        (tmp_path / "alice" / "grades" / "result.json").write_text("{}")
        after = submissions.find_submissions(tmp_path / "alice", [tmp_path / "alice" / "grades"])
        assert before[0].digest() == after[0].digest()


def code_of(*cells: str) -> str:
    document = {"cells": [{"cell_type": "code", "source": cell.splitlines(True), "outputs": []} for cell in cells]}
    return notebook.notebook_code(json.dumps(document).encode()).decode()


class TestANotebook:
    @pytest.mark.parametrize(
        "cell, code",
        [
            ("%matplotlib inline\nx = 1", "pass\nx = 1"),
            ("if True:\n    !pip install \\\n  torch\nx = 1", "if True:\n    pass\n\nx = 1"),
            ("files = !ls\nx = 1", "files = []\nx = 1"),
            ("%%time\nx = 1", "\nx = 1"),
            ("%%bash\nls -la", ""),
            ("model?\nx = 1", "pass\nx = 1"),
            ('x = ("%d"\n  %y)\n', 'x = ("%d"\n  %y)\n'),
            ("this is no Python", ""),
        ],
    )
    def test_loses_what_only_jupyter_understands(self, cell, code):
        assert code_of(cell) == code

    def test_is_read_without_its_outputs_and_texts(self):
        cells = [
            {"cell_type": "markdown", "source": "# Text"},
            {"cell_type": "code", "source": "x = 1", "outputs": ["y"]},
        ]
        assert notebook.notebook_code(json.dumps({"cells": cells}).encode()) == b"x = 1"

    @pytest.mark.parametrize(
        "content", [b"", b"{}", b"[]", b'{"cells": 3}', b'{"cells": [3]}', b"[" * 100_000, b"\xff"]
    )
    def test_that_is_none_harms_nobody(self, content):
        assert notebook.notebook_code(content) is None

    def test_with_large_outputs_is_read(self, tmp_path):
        cell = {"cell_type": "code", "source": NET.decode(), "outputs": ["x" * 6_000_000]}
        (tmp_path / "alice.ipynb").write_text(json.dumps({"cells": [cell]}))
        (alice,) = submissions.find_submissions(tmp_path / "alice.ipynb")
        assert alice.candidates == ["alice.ipynb.py"] and alice.files == {"alice.ipynb.py": NET.rstrip(b"\n") + b"\n"}

    def test_beside_code_that_defines_a_model_does_not_count(self, tmp_path):
        (tmp_path / "net.py").write_bytes(NET)
        (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": NET.decode()}]}))
        found = submissions.read_submission(tmp_path, "alice")
        assert found.candidates == ["net.py"] and list(found.files) == ["net.py"]


def answer(models: dict[str, list[str]] | None, reason: str = "", status: str = "done") -> dict:
    facts = {"models": {name: "\n".join(used) for name, used in models.items()}} if models is not None else {}
    return {"status": status if models is not None or status != "done" else "invalid", "reason": reason, "facts": facts}


class TestSettling:
    """What is made of the models that the sandbox names in each candidate."""

    FILES: ClassVar = {"a.py": NET, "b.py": NET.replace(b"Net", b"Other"), "c.py": NET.replace(b"pass", b"x = 1")}

    def settle(self, answers: dict[str, dict]) -> tuple[str, str | None]:
        return finding.settle(self.FILES, list(answers), answers.__getitem__)

    def test_takes_the_one_that_is_no_part_of_another(self):
        answers = {
            "a.py": answer({"a.py:Net": ["a.py:Net"]}),
            "b.py": answer({"b.py:Other": ["b.py:Other", "a.py:Net"]}),
        }
        assert self.settle(answers) == ("b.py", None)

    def test_takes_the_file_that_defines_what_others_import(self):
        answers = {"b.py": answer({"a.py:Net": []}), "a.py": answer({"a.py:Net": []})}
        assert self.settle(answers) == ("a.py", None)

    def test_takes_the_file_that_imports_where_the_defining_one_cannot_be(self):
        answers = {"b.py": answer({"a.py:Net": []}), "a.py": answer(None, "no")}
        assert self.settle(answers) == ("b.py", None)

    def test_names_several(self):
        answers = {"a.py": answer({"a.py:Net": []}), "c.py": answer({"c.py:Net": []})}
        with pytest.raises(finding.Undecided, match=r"a\.py:Net, c\.py:Net"):
            self.settle(answers)

    def test_says_why_there_is_none_in_each_and_keeps_a_worse_status(self):
        with pytest.raises(finding.Undecided, match=r"a\.py: no; c\.py: slow") as raised:
            self.settle({"a.py": answer(None, "no"), "c.py": answer(None, "slow", "timeout")})
        assert raised.value.args[0] == "timeout"

    def test_takes_what_a_child_says_for_hostile(self):
        with pytest.raises(finding.Undecided):
            self.settle({"a.py": {"status": "done", "reason": "", "facts": {"models": "x"}}})
        assert self.settle({"a.py": answer({"../etc/passwd:x": []})}) == ("a.py", None)


class TestAPlaceholder:
    """Of a package that is not there, while a file is imported."""

    @pytest.fixture
    def load(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple]]:
        monkeypatch.setattr(sys, "path", sys.path[:])
        monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
        for name in ("get_ipython", "display"):
            monkeypatch.setattr(builtins, name, None, raising=False)

        def load(text: str, **others: str):
            for name, content in {"main": text, **others}.items():
                (tmp_path / f"{name}.py").write_text(content)
            return importing.import_submission("main.py", os.path.realpath(tmp_path), 10)

        yield load
        importing.forget(lambda name, module: isinstance(module, PlaceholderModule) or name in ("main", "half"))

    @pytest.mark.parametrize(
        "line",
        [
            "import no_such as n; n.a.b(1)(2)[3]['x'] = 4",
            "from no_such.deep.er import thing; x = thing + 1 - 2 * thing / 3 // 4 % 5 ** thing",
            "from no_such import a; x = 1 + a; x += a; y = -a; z = a < 3 or 3 >= a or a == 3 or not a",
            "from no_such import a; x = int(a), float(a), len(a), f'{a:.2f}', str(a), list(a), range(a), 3 in a",
            "from no_such import a\nwith a.no_grad() as b, a: b.step()",
            "from no_such import a\n@a\n@a.b(3)\n@a(x=3)\ndef f(x=a.c(), *, y: a.T | None = a[0]): return 7\nf()",
            "from no_such import a\nclass A(a.Dataset, x=3):\n    def __init__(self): super().__init__(1)\nA()",
            "from no_such import a, b\nfrom torch import nn\nclass A(a.M, b.M, nn.Module): pass\nnn.ReLU(A().train())",
            "from no_such import a\nclass A(a.Generic[int]): pass",
            "from no_such import a\nassert not isinstance(3, a.T)",
            "from no_such import *\nlearner = vision_learner(lr=1e-3)\nnn.Linear(2, 2)\nassert len([1]) == 1",
            "import torch.utils.no_such\nfrom google.colab import no_such\nno_such.mount('/content')",
            "get_ipython().run_line_magic('x', ''); display(3)\nfrom IPython.display import Image; Image('x.png')",
            "from IPython import get_ipython\nimport matplotlib.pyplot as plt\nplt.plot([1]); plt.show()",
            "from no_such import a\nfor x, y in a.loader: pass\nassert next(iter(a), None) is None",
        ],
    )
    def test_does_nothing(self, load, line):
        module, cut = load(line + "\nREACHED = True\n")
        assert cut is None and module.REACHED

    def test_raises_when_it_is_called_later(self, load):
        module, _ = load("from no_such.layers import Conv\ndef build_model(): return Conv(3)\n")
        with pytest.raises(ModuleNotFoundError, match=r"no_such\.layers\.Conv"):
            module.build_model()
        assert isinstance(module.Conv, Placeholder)

    def test_stands_for_what_an_own_module_lacks_that_failed(self, load):
        module, cut = load("from half import above, below\nREACHED = True\n", half="above = 1\n1 / 0\nbelow = 2\n")
        assert module.above == 1 and isinstance(module.below, Placeholder) and module.REACHED
        assert isinstance(cut, ZeroDivisionError)

    def test_does_not_hide_the_definitions_above_a_line_that_fails(self, load):
        module, cut = load("above = 1\nraise SystemExit(3)\nbelow = 2\n")
        assert vars(module)["above"] == 1 and "below" not in vars(module) and isinstance(cut, SystemExit)

    def test_is_no_cure_for_time_that_is_over(self, load, monkeypatch):
        monkeypatch.setattr(importing, "time_limit", lambda _: genuine(0.2))
        module, cut = load("above = 1\nwhile True:\n    try: pass\n    except Exception: pass\n")
        assert module.above == 1 and isinstance(cut, importing.OutOfTime)


genuine = importing.time_limit


class TestACopy:
    def test_is_told_from_another_model_by_all_that_it_uses(self):
        text = "import x\nWIDTH = 3\nclass A: pass\nclass Net(A):\n    n = WIDTH\nclass Other: pass\n"
        same = source.definition(text.replace("Other", "Another").encode(), "Net")
        assert source.definition(text.encode(), "Net") == same != ""
        assert source.definition(text.replace("3", "4").encode(), "Net") != same
        assert source.definition(text.encode(), "nobody") == source.definition(b"(", "Net") == ""


def test_students_files_have_names_that_every_system_can_hold():
    names = [name for _, folders, files in os.walk(CLASS) for name in (*folders, *files)]
    assert not [name for name in names if set(name) & set('<>:"|?*\\')]


def test_a_choice_for_gradescope_is_refused(capsys):
    assert room.main(["--gradescope", "a.zip", "--choose", "c.csv"]) == 2
    assert "--choose" in capsys.readouterr().err


def test_a_file_name_keeps_two_students_of_the_class_apart():
    assert len({gradebook.file_name(name) for name in MODELS}) == len(MODELS)


def test_an_unreadable_choice_is_an_error_of_use(tmp_path):
    with pytest.raises(ChallengeError) as raised:
        choices.read_choices(tmp_path)
    assert raised.value.status == 2
