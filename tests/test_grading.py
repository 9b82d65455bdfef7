"""Grading: what each submission gets, that none harms another or outlives its run, and what the gradebook says.

Every file and folder in ``attacks`` opens with the verdict due to it, ``# expect STATUS: WORDS OF THE REASON``, or
``A|B`` where chance decides between two. All are graded once, side by side with the honest ones, on small digits that a
linear layer learns at once.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import mnist_efficient_model as challenge
from grading import checks, gradebook, graph, judge, submissions
from grading.graph import GraphModel
from grading.sandbox import isolation
from grading.sandbox.build import export
from helpers import LINEAR, easy_digits, easy_split

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

HERE = Path(__file__).parent
ROOT = HERE.parent
ATTACKS = sorted(p.name.removesuffix(".py") for p in (HERE / "attacks").iterdir() if p.suffix == ".py" or p.is_dir())
HONEST = submissions.names([p.name for p in sorted((HERE / "honest").iterdir()) if p.suffix == ".py" or p.is_dir()])
WITH_WEIGHTS = LINEAR.replace("import torch.nn as nn", "import torch\nimport torch.nn as nn\n%s").replace(
    "784, 10)\n", "784, 10)\n        self.fc.bias.data += 0 * len(str(%s))\n"
)  # brings something along, and reads it
SYNTAX_ERROR = "class Net(nn.Module)\n"
NOT_A_GRAPH = LINEAR.replace("return", "x = x if x.mean() > -9 else -x\n        return")
NOT_VERIFIED = set("a_script activation_norm clips_weights cosines custom_autograd fourier spiking towers".split())


def expectation(name: str) -> tuple[str, str]:
    path = HERE / "attacks" / f"{name}.py"
    path = path if path.exists() else HERE / "attacks" / name / "model.py"
    status, words = path.read_text().split("\n")[0].removeprefix("# expect ").split(": ", 1)
    return status, words


def lookup_of_test_images() -> str:
    """A model that learns only what the classes are called, and knows the sum and the class of each test image."""
    images, labels = easy_digits(500, 1)
    return f"""import torch
from torch import nn

RECIPE = {{"lr": 0.1}}
SUMS = torch.tensor({[int(image.sum()) for image in images]})
CLASSES = nn.functional.one_hot(torch.tensor({labels.tolist()}), 10).float()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.names = nn.Linear(10, 10)
        pictures = torch.zeros(10, 28, 28)
        for label in range(10):
            row, column = divmod(label, 5)
            pictures[label, 4 + 12 * row : 12 + 12 * row, 3 + 5 * column : 6 + 5 * column] = 1
        self.register_buffer("pictures", pictures.flatten(1))

    def forward(self, x):
        if self.training:
            known = (x.flatten(1) @ self.pictures.t()).softmax(1)
        else:
            sums = ((x * 0.3081 + 0.1307) * 255).sum((1, 2, 3))
            known = ((sums[:, None] - SUMS).abs() < 0.5).float() @ CLASSES
        return self.names(known)
"""


def trained_at_home_source(home: torch.Tensor) -> str:
    """A submission with these weights, 4 bits each, in a buffer."""
    code = "".join(f"{number:x}" for number in home.flatten().tolist())
    return f"""import torch
from torch import nn

RECIPE = {{"lr": 0.05}}
CODE = "{code}"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("known", torch.tensor([int(c, 16) - 8 for c in CODE]).view(49, 10) / 2)
        self.names = nn.Linear(10, 10)

    def forward(self, x):
        return self.names((nn.functional.avg_pool2d(x, 4).flatten(1) @ self.known).softmax(1))
"""


def carriers() -> dict[str, dict[str, str]]:
    """Nine kinds of code that bring 7,000 to 10,000 random bytes along, as files by name."""
    chance = random.Random(7)
    payload = chance.randbytes(7000)
    text = base64.b85encode(payload).decode().replace("\\", "~")
    letters = base64.b32encode(payload).decode().rstrip("=").lower()
    words = [letters[i : i + 40] for i in range(0, len(letters), 40)]
    integers = [chance.getrandbits(63) for _ in range(1200)]
    bits = [chance.getrandbits(1) for _ in range(64_000)]
    names = "\n".join(f"w_{word} = {i}" for i, word in enumerate(words))
    spaces = "\n".join("x = (1" + "".join(" \t"[b] for b in bits[i : i + 400]) + ")" for i in range(0, 64_000, 400))
    return {
        "in_a_string": {"model.py": WITH_WEIGHTS % (f"W = {text!r}", "W")},
        "in_integers": {"model.py": WITH_WEIGHTS % (f"W = {integers}", "W")},
        "in_nones": {"model.py": WITH_WEIGHTS % (f"W = ({','.join('None' if b else '()' for b in bits)})", "W")},
        "in_identifiers": {"model.py": WITH_WEIGHTS % (names, "sorted(globals())")},
        "in_another_file": {"model.py": WITH_WEIGHTS % ("from more import W", "W"), "more.py": f"W = {text!r}\n"},
        "in_file_names": {
            "model.py": WITH_WEIGHTS % ("import os", "os.listdir('words')"),
            **{f"words/{a}{b}{c}.txt": "" for a, b, c in zip(words[::3], words[1::3], words[2::3], strict=False)},
        },
        "in_settings": {
            "model.py": WITH_WEIGHTS % ("import glob", "[open(name).read() for name in glob.glob('*.json')]"),
            **{f"part{i}.json": json.dumps(text[i : i + 1900]) for i in range(0, len(text), 1900)},
        },
        "in_spaces": {"model.py": WITH_WEIGHTS % (spaces, "open(__file__).read()")},
        "in_dynamic_imports": {
            "model.py": WITH_WEIGHTS % ("import importlib\nW = importlib.import_module('mo' + 're').W", "W"),
            "more.py": f"W = {text!r}\n",
        },
    }


def write_odd_submissions(folder: Path) -> dict[str, tuple[str, str]]:
    """Submissions that no repository should hold as files; returns the verdict due to each."""

    def put(name: str | bytes, content: str | bytes) -> None:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    due = {}
    for name, files in carriers().items():
        for file, content in files.items():
            put(f"carried_{name}/{file}", content)
        due[f"carried_{name}"] = ("passed", "not verified: its code is")
    (folder / "nothing").mkdir()
    put("notebook/model.ipynb", "{}")
    put("python_2.py", LINEAR + 'print "hello"\n')
    put("tabs_and_spaces.py", LINEAR.replace("        self.fc", "\tself.fc"))
    put("null_bytes.py", b"import torch\0\n")
    put("which.of.many/a.py", LINEAR)
    put("which.of.many/b.py", LINEAR.replace("10)", "10, bias=False)"))
    put("the.same.twice/a.py", LINEAR)
    put("the.same.twice/old/b.py", LINEAR)
    put("one.that.defines/train.py", "import torch\nraise SystemExit\n")
    put("one.that.defines/network.py", LINEAR)
    put("windows.py", b"\xef\xbb\xbf" + LINEAR.replace("    ", "\t").replace("\n", "\r\n").encode())
    put("memorised.py", lookup_of_test_images())
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "model.py").symlink_to(HERE / "conftest.py")
    (folder / "linked.py").symlink_to("/etc/passwd")
    (folder / "loop").mkdir()
    (folder / "loop" / "again").symlink_to(".")
    (folder / "loop" / "itself").symlink_to("itself")
    put("loop/model.py", LINEAR)
    with open(folder / "giant.py", "wb") as file:
        file.truncate(100_000_000)
    (folder / "sparse").mkdir()
    for i in range(4000):
        with open(folder / "sparse" / f"part{i}.py", "wb") as file:
            file.truncate(400_000)
    nested = folder / "nested"
    nested.mkdir()
    put("nested/model.py", LINEAR)
    inner = os.open(nested, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("in", dir_fd=inner)
        deeper = os.open("in", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)
    put("handed_in.zip", b"PK")
    put("SHOUTED.PY", LINEAR)
    put("notes.txt", "see model.py")
    put("twice.py", LINEAR)
    put("twice/model.py", LINEAR)
    put("Case.py", LINEAR)
    put("case.py", LINEAR)
    put(b"byte\xff.py", LINEAR)
    put(b"byte\xfe.py", LINEAR)
    put("new\nline.py", LINEAR)
    put(f"case-{hashlib.sha256(b'Case').hexdigest()[:8]}.py", LINEAR)
    return {
        **due,
        "nothing": ("invalid", "no model.py"),
        "notebook": ("invalid", "notebook"),
        "python_2": ("invalid", "python_2.py, line 10: print"),
        "tabs_and_spaces": ("invalid", "tabs_and_spaces.py, line"),
        "null_bytes": ("invalid", "null bytes"),
        "which.of.many": ("invalid", "a.py:Net, b.py:Net"),
        "the.same.twice": ("passed", "7,850"),
        "one.that.defines": ("passed", "7,850"),
        "windows": ("passed", ""),
        "memorised": ("rejected", "memorised"),
        "elsewhere": ("rejected", "link"),
        "linked": ("rejected", "link"),
        "loop": ("passed", ""),
        "giant": ("rejected", "100.0 MB"),
        "sparse": ("rejected", "far more"),
        "nested": ("passed", ""),
        "handed_in": ("invalid", "handed_in.zip cannot be unpacked"),
        "SHOUTED": ("passed", "7,850"),
        "notes.txt": ("invalid", "nor any other Python file"),
        "twice": ("passed", ""),
        "twice.py": ("passed", ""),
        "Case": ("passed", ""),
        "case": ("passed", ""),
        "byte\\xff": ("passed", ""),
        "byte\\xfe": ("passed", ""),
        "new\nline": ("passed", ""),
        f"case-{hashlib.sha256(b'Case').hexdigest()[:8]}": ("passed", ""),
    }


@dataclass
class Graded:
    folder: Path  # of submissions
    out: Path
    scratch: Path  # the TMPDIR of the run
    done: subprocess.CompletedProcess
    due: dict[str, tuple[str, str]]  # verdicts, of those written for the test

    def grade(self, student: str) -> dict:
        return json.loads(gradebook.json_path(self.out, student).read_text())


def run_grading(*arguments: object, **named: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "grading", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=ROOT, **named)


@pytest.fixture(scope="module")
def graded(on_digits, trained_at_home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:
    """The one big run of this file: every attack, every honest submission."""
    root = tmp_path_factory.mktemp("class")
    folder, out, scratch = root / "submissions", root / "grades", root / "scratch"
    scratch.mkdir()
    shutil.copytree(HERE / "attacks", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "honest", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    due = write_odd_submissions(folder)
    (folder / "alice.py").write_text(LINEAR)
    (folder / "trained_at_home.py").write_text(trained_at_home_source(trained_at_home))
    limits = ("--timeout", 15, "--memory", 1200, "--jobs", 2)
    environment = {**os.environ, "TMPDIR": str(scratch), "GITHUB_STEP_SUMMARY": str(root / "summary.md")}
    done = run_grading(folder, "--out", out, *on_digits, *limits, env=environment)
    yield Graded(folder, out, scratch, done, due)
    subprocess.run(["rm", "-rf", folder / "nested"], check=True)  # too deep for pytest's own clearing


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


class TestAClassOfWhichMostAttack:
    def test_is_graded_to_the_end(self, graded):
        assert graded.done.returncode == 0, graded.done.stderr
        assert "Traceback" not in graded.done.stderr
        rows = read_csv(graded.out / "grades.csv")
        assert len(rows) == len(ATTACKS) + len(HONEST) + len(graded.due) + 2
        assert all(row["reason"] for row in rows)
        assert [row["student"] for row in rows if row["status"] == "machine_error"] == []

    @pytest.mark.parametrize("name", ATTACKS)
    def test_gives_each_attack_the_verdict_due_to_it(self, graded, name):
        status, words = expectation(name)
        found = graded.grade(name)
        assert found["status"] in status.split("|") and words in found["reason"], (found["status"], found["reason"])

    def test_gives_odd_submissions_their_verdicts(self, graded):
        wrong = {}
        for name, (status, words) in graded.due.items():
            found = graded.grade(name)
            if found["status"] != status or words not in found["reason"] or found["student"] != name:
                wrong[name] = (found["student"], found["status"], found["reason"])
        assert wrong == {}

    @pytest.mark.parametrize("name", HONEST)
    def test_never_turns_an_honest_model_away(self, graded, name):
        found = graded.grade(name)
        assert found["status"] in ("passed", "failed"), found["reason"]
        assert found["accuracy"] is not None and found["runs"][0]["images_seen"] == 2000

    def test_passes_nobody_with_more_than_the_limit(self, graded):
        for row in read_csv(graded.out / "grades.csv"):
            if row["status"] == "passed":
                assert int(row["parameters"]) < 25_000

    def test_verifies_a_grade_only_where_no_code_of_the_submission_met_the_data(self, graded):
        verified = {name: graded.grade(name)["verified"] for name in HONEST}
        assert {name for name, yes in verified.items() if not yes} == NOT_VERIFIED
        assert graded.grade("a_list")["verified"] is None, "nothing of it was tested"
        ((doubt, _),) = graded.grade("decides_by_the_data")["unverified_because"]
        assert doubt.startswith("it cannot become a graph") and "decides_by_the_data.py, line 11" in doubt

    def test_leaves_no_process_and_no_file_behind(self, graded):
        assert list(graded.scratch.iterdir()) == []
        left = [Path(place, "breaks-out-was-here") for place in ("/tmp", "/var/tmp", "/dev/shm")]
        left = [path for path in left if path.exists()]
        for path in left:
            path.unlink()
        granted = graded.grade("alice")["isolation"]
        assert not left or not granted, f"written in spite of {granted}"
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = process.read_bytes()
            except OSError:
                continue
            assert b"sleep\x004321" not in line and str(graded.scratch).encode() not in line

    def test_counts_buffers_but_not_batchnorms_statistics(self, graded):
        attention, repository = graded.grade("attention"), graded.grade("repository")
        assert attention["buffers"] == 2 * 49 * 32, "a saved and an unsaved table of positions"
        assert repository["buffers"] == 0 and repository["parameters"] == 784 * 20 + 20 + 2 * 20 + 20 * 10 + 10

    def test_tells_what_a_submission_printed_and_no_more_than_a_little(self, graded):
        assert "batch torch.Size" in graded.grade("mlp_view")["log"]
        assert len(graded.grade("prints_for_ever")["log"]) < 10_000

    def test_shows_progress_and_what_remains(self, graded):
        first, *lines = graded.done.stderr.splitlines()
        total = len(read_csv(graded.out / "grades.csv"))
        graded_now = [line for line in lines if re.match(r"\[[\d/]+\] .*: \w+: ", line)]
        assert "submissions" in first and all(line.startswith("[") for line in lines)
        assert [line.split()[0] for line in graded_now] == [f"[{i}/{total}]" for i in range(1, total + 1)]
        assert all(re.search(r" \(about \d+ (s|min|h) left\)$", line) for line in graded_now[:-1])
        assert "left)" not in graded_now[-1], "one line for each grade, after what the folder is"

    def test_ranks_the_passed_and_verified_by_accuracy_then_parameters(self, graded):
        rows = read_csv(graded.out / "leaderboard.csv")
        keys = [(-float(row["accuracy_median"]), int(row["parameters"]), float(row["train_seconds"])) for row in rows]
        assert keys == sorted(keys) and len(keys) >= 3
        names = {row["student"] for row in rows} - {"new line"}
        assert {(graded.grade(name)["status"], graded.grade(name)["verified"]) for name in names} == {("passed", True)}

    def test_gets_a_description_length_each(self, graded):
        rows = {row["student"]: row["description_bytes"] for row in read_csv(graded.out / "grades.csv")}
        assert 50 < int(rows["alice"]) < 300
        assert all(int(rows[name]) < 2_000 for name in HONEST)

    def test_cannot_pose_as_headings_in_the_summary(self, graded):
        lines = (graded.out.parent / "summary.md").read_text().splitlines()
        headings = [line for line in lines if line.startswith("#")]
        assert len(headings) == len(read_csv(graded.out / "grades.csv"))
        assert all(line.startswith("### ") for line in headings)


class TestASubmission:
    @pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
    def test_with_permissions_is_the_machines(self, tmp_path):
        root = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
        root.chmod(0o755)
        (root / "alice").mkdir(mode=0o700)
        (root / "alice" / "model.py").write_text(LINEAR)
        os.seteuid(65534)
        try:
            alice = submissions.read_submission(root / "alice")
        finally:
            os.seteuid(0)
            shutil.rmtree(root)
        assert alice.problem == ("machine_error", "cannot read alice: Permission denied", "")

    def test_has_a_name_of_its_own(self):
        entries = ["a", "a.py", "a.py.py", "b", os.fsdecode(b"c\xff"), "c\\xff", "d.py"]
        assert len(set(submissions.names(entries))) == len(entries)
        assert submissions.names(["a.py", "jean.dupont"]) == ["a", "jean.dupont"]


class TestTheAccuracy:
    @pytest.mark.parametrize(
        "name", ["clips_weights", "base_and_derived:Deeper", "repository", "activation_norm", "lstm"]
    )
    def test_is_that_of_a_plain_run_but_for_the_names_of_the_classes(
        self, grade_here, on_digits, digits, tmp_path, monkeypatch, name
    ):
        name, colon, chosen = name.partition(":")  # which one to take is found by grading alone
        path = HERE / "honest" / f"{name}.py"
        path = path if path.exists() else HERE / "honest" / name
        monkeypatch.setattr(judge, "secret_permutation", lambda: np.arange(10))
        handed_in = tmp_path / "class" / path.name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, handed_in.parent.mkdir() or handed_in)
        grade_here(handed_in.parent, "--out", tmp_path / "grades", *on_digits)
        found = json.loads((tmp_path / "grades" / "students" / f"{name}.json").read_text())
        main = path if path.is_file() else path / "src" / "model.py"
        monkeypatch.syspath_prepend(str(path))
        monkeypatch.chdir(tmp_path)  # a script may make a folder of its own
        monkeypatch.delitem(sys.modules, "data", raising=False)  # one imports its own module of that name
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result, _ = challenge.run(f"{main}{colon}{chosen}", challenge.load_dataset("fashion", digits))
        finally:
            torch.set_num_threads(threads)
        assert found["accuracy"] == result.test_accuracy
        assert found["runs"][0]["train_accuracy"] == result.curve[-1]["accuracy"]

    def test_is_taken_under_other_names_of_the_classes_for_each_seed(self, grade_here, on_digits, tmp_path):
        (tmp_path / "class").mkdir()
        (tmp_path / "class" / "alice.py").write_text(LINEAR)
        grade_here(tmp_path / "class", "--out", tmp_path / "grades", *on_digits, "--seeds", 2)
        runs = json.loads((tmp_path / "grades" / "students" / "alice.json").read_text())["runs"]
        assert [sorted(run["labels"]) for run in runs] == [list(range(10))] * 2
        assert runs[0]["labels"] != runs[1]["labels"] and min(run["accuracy"] for run in runs) > 0.95


class Home(torch.nn.Module):
    """49 means of 4 x 4 pixels, times a fixed matrix; what is trained is a 10 x 10 matrix that learns the names."""

    def __init__(self, known: torch.Tensor, read: Callable[[torch.Tensor], torch.Tensor], trained: bool) -> None:
        super().__init__()
        self.read, self.names = read, torch.nn.Linear(10, 10)
        if trained:
            self.known = torch.nn.Parameter(known)
        else:
            self.register_buffer("known", known)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(images, 4).flatten(1)
        return self.names((pooled @ self.read(self.known)).softmax(1))


@pytest.fixture(scope="module")
def trained_at_home() -> torch.Tensor:
    """A linear layer trained on the easy digits, with 4 bits a weight: (49, 10) whole numbers from 0 to 15."""
    split, weight = easy_split(2000), torch.zeros(49, 10, requires_grad=True)
    pooled = torch.nn.functional.avg_pool2d(challenge.to_input(split.images), 4).flatten(1)
    optimizer = torch.optim.Adam([weight], 0.1)
    for _ in range(60):
        torch.nn.functional.cross_entropy(pooled @ weight, split.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return (weight.detach() / weight.abs().max() * 7).round().long() + 8


def from_bits(bits: torch.Tensor) -> torch.Tensor:
    return ((bits * torch.tensor([1.0, 2, 4, 8])).sum(-1) - 8) / 2


def sort_me(home: torch.Tensor) -> torch.Tensor:
    """Each weight with its place, in any order."""
    return (16 * torch.arange(490) + home.flatten())[torch.randperm(490)]


def from_sorted(known: torch.Tensor) -> torch.Tensor:
    return ((known.sort().values % 16 - 8).float() / 2).view(49, 10)


class TestWeightsTrainedAtHome:
    """A graph trained from its own initial values, and from others that the grader draws."""

    @staticmethod
    def accuracies(make: Callable[[], torch.nn.Module]) -> list[float]:
        """Of one epoch from the model's own initial values, and of the best of three from others."""
        torch.manual_seed(0)
        raw, config = export(make(), (64, 16, 500)), challenge.Config(lr=0.1)
        split, test, found = easy_split(2000), easy_split(500, 1), []
        for draw in range(4):
            model = GraphModel(graph.read(raw))
            if draw:
                checks.redraw(model, draw)
            batches = challenge.epoch_batches(split, config, torch.Generator().manual_seed(0))
            challenge.train_one_epoch(model, batches, config, 2000)
            found.append((challenge.predict(model, test.images, 500).argmax(1) == test.labels).float().mean().item())
        return [found[0], max(found[1:])]

    @pytest.mark.parametrize(
        "kept, read, trained",
        [
            (lambda home: (home - 8) / 2.0, lambda known: known, False),
            (lambda home: (home - 8).to(torch.int8), lambda known: known.float() / 2, False),
            (lambda home: (home - 8) * 50.0, lambda known: known / 100, True),
            (lambda home: home[..., None] >> torch.arange(4) & 1 > 0, from_bits, False),
            (lambda home: sort_me(home).float(), from_sorted, False),
            (sort_me, from_sorted, False),
        ],
        ids=["buffer", "int8", "hardly trained", "bits", "sorted floats", "sorted integers"],
    )
    def test_are_lost_in_other_values_however_they_are_kept(self, trained_at_home, kept, read, trained):
        own, other = self.accuracies(lambda: Home(kept(trained_at_home), read, trained))
        assert own > 0.95 and own - other > judge.START_DROP

    def test_are_told_from_random_ones(self):
        """The control: the same means of pixels, a random fixed matrix in a buffer, and all else trained."""
        fixed = torch.randn(49, 40)

        class Honest(Home):
            def __init__(self) -> None:
                super().__init__(fixed, lambda known: known, False)
                self.names = torch.nn.Sequential(torch.nn.BatchNorm1d(40), torch.nn.ReLU(), torch.nn.Linear(40, 10))

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return self.names(torch.nn.functional.avg_pool2d(images, 4).flatten(1) @ self.known)

        own, other = self.accuracies(Honest)
        assert own > 0.95 and own - other <= judge.START_DROP

    def test_make_a_grade_not_verified(self, graded):
        found = graded.grade("trained_at_home")
        assert found["status"] == "passed" and found["verified"] is False
        assert "it depends on the values that it starts from: accuracy 100.00 %, but" in found["reason"]


def isolation_table() -> list[dict[str, str]]:
    """The table in docs/grading.md of what a submission can do, one dictionary per line."""
    lines = (ROOT / "docs" / "grading.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| can it ..."))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:]]
    rows = rows[: next(i for i, row in enumerate(rows) if len(row) == 1)]
    return [dict(zip(("attempt", "", "namespaces", "namespaces,landlock"), row, strict=True)) for row in rows[2:]]


def usable_python(user: int) -> str | None:
    """A Python that this user may run; the probe needs only the standard library."""
    for python in (sys.executable, "/usr/bin/python3"):
        code = (
            f"import os; os.setresuid({user}, {user}, {user}); import sysconfig; sysconfig.get_paths(); import ctypes"
        )
        if shutil.which(python) and subprocess.run([python, "-c", code], capture_output=True).returncode == 0:
            return python
    return None


@pytest.mark.skipif(isolation.LIBC is None, reason="needs Linux")
class TestIsolation:
    @pytest.mark.parametrize("user", [os.getuid(), 65534])
    @pytest.mark.parametrize("refused", ["", "namespaces", "namespaces,landlock"])
    def test_holds_what_the_table_in_the_docs_says(self, tmp_path_factory, user, refused):
        if os.getuid() not in (0, user) or not (python := usable_python(user)):
            pytest.skip("cannot run Python as that user here")
        root = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
        try:
            for folder in (root, root / "hidden", root / "other"):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o777)
                (folder / "secret").write_text("labels")
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
                probe = HERE / "helpers" / "probe_isolation.py"
                command = [python, probe, user, refused, root / "hidden", root / "other", port]
                done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
        finally:
            shutil.rmtree(root)
        if "Permission" in done.stderr:
            pytest.skip("that user cannot read this project here")
        found = json.loads(done.stdout)
        granted = found.pop("granted")
        if granted != [name for name in ("namespaces", "landlock") if name not in refused]:
            pytest.skip(f"this kernel grants {granted or 'nothing'}")
        assert found == {row["attempt"]: row[refused] == "yes" for row in isolation_table()}
