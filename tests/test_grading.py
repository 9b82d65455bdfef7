"""Grading: what each submission gets, that none harms another or outlives its run, and what the gradebook says.

Every file in ``attacks`` opens with the verdict due to it, ``# expect STATUS: WORDS OF THE REASON``. All are graded in
one run, side by side with some honest ones, on small digits that a linear layer learns at once. What shows when a model
is built is tested in test_building.py.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
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
from helpers import LINEAR, easy_digits, easy_split, expectation

pytestmark = pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")

HERE = Path(__file__).parent
ROOT = HERE.parent
ATTACKS = sorted((HERE / "attacks").glob("*.py"))
HONEST = "a_script fourier repository small_logits spiking".split()
EMPTY = LINEAR.replace("self.fc = nn.Linear(784, 10)", "pass").replace("self.fc(x.view(-1, 784))", "x[:, 0, 0, :10]")
FOUND = ("invalid", "no parameter to train")  # the verdict on it, where it is found


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


def write_odd_submissions(folder: Path) -> dict[str, tuple[str, str]]:
    """Submissions that no repository should hold as files; returns the verdict due to each."""

    def put(name: str, content: str | bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    (folder / "nothing").mkdir(parents=True)
    put("notebook/model.ipynb", "{}")
    put("python_2.py", LINEAR + 'print "hello"\n')
    put("tabs_and_spaces.py", LINEAR.replace("        self.fc", "\tself.fc"))
    put("null_bytes.py", b"import torch\0\n")
    put("which.of.many/a.py", LINEAR)
    put("which.of.many/b.py", LINEAR.replace("10)", "10, bias=False)"))
    put("the.same.twice/a.py", EMPTY)
    put("the.same.twice/old/b.py", EMPTY)
    put("one.that.defines/train.py", "import torch\nraise SystemExit\n")
    put("one.that.defines/network.py", EMPTY)
    put("windows.py", b"\xef\xbb\xbf" + EMPTY.replace("    ", "\t").replace("\n", "\r\n").encode())
    put("memorised.py", lookup_of_test_images())
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "model.py").symlink_to(HERE / "conftest.py")
    (folder / "linked.py").symlink_to("/etc/passwd")
    (folder / "loop").mkdir()
    (folder / "loop" / "again").symlink_to(".")
    (folder / "loop" / "itself").symlink_to("itself")
    put("loop/model.py", EMPTY)
    with open(folder / "giant.py", "wb") as file:
        file.truncate(100_000_000)
    (folder / "sparse").mkdir()
    for i in range(4000):
        with open(folder / "sparse" / f"part{i}.py", "wb") as file:
            file.truncate(400_000)
    nested = folder / "nested"
    nested.mkdir()
    put("nested/model.py", EMPTY)
    inner = os.open(nested, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("in", dir_fd=inner)
        deeper = os.open("in", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)
    put("handed_in.zip", b"PK")
    put("notes.txt", "see model.py")
    same = "SHOUTED.PY twice.py twice/model.py Case.py case.py byte\udcff.py byte\udcfe.py".split()
    for name in [*same, "new\nline.py", f"case-{hashlib.sha256(b'Case').hexdigest()[:8]}.py"]:
        put(name, EMPTY)
    names = "SHOUTED twice twice.py Case case byte\\xff byte\\xfe loop nested".split()
    names += ["the.same.twice", "one.that.defines", "windows", "new\nline"]
    return {
        **dict.fromkeys([*names, f"case-{hashlib.sha256(b'Case').hexdigest()[:8]}"], FOUND),
        "nothing": ("invalid", "no model.py"),
        "notebook": ("invalid", "notebook"),
        "python_2": ("invalid", "python_2.py, line 10: print"),
        "tabs_and_spaces": ("invalid", "tabs_and_spaces.py, line"),
        "null_bytes": ("invalid", "null bytes"),
        "which.of.many": ("invalid", "a.py:Net, b.py:Net"),
        "memorised": ("rejected", "memorised"),
        "elsewhere": ("rejected", "link"),
        "linked": ("rejected", "link"),
        "giant": ("rejected", "100.0 MB"),
        "sparse": ("rejected", "far more"),
        "handed_in": ("invalid", "handed_in.zip cannot be unpacked"),
        "notes.txt": ("invalid", "nor any other Python file"),
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


@pytest.fixture(scope="module")
def graded(on_digits, trained_at_home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:
    """The one big run of this file: every attack, and some honest submissions."""
    root = tmp_path_factory.mktemp("class")
    folder, out, scratch = root / "submissions", root / "grades", root / "scratch"
    scratch.mkdir()
    due = write_odd_submissions(folder)
    for path in [*ATTACKS, *(HERE / "honest" / f"{name}.py" for name in HONEST if name != "repository")]:
        shutil.copy(path, folder)
    shutil.copytree(HERE / "honest" / "repository", folder / "repository")
    (folder / "alice.py").write_text(LINEAR)
    (folder / "trained_at_home.py").write_text(trained_at_home_source(trained_at_home))
    command = (sys.executable, "-m", "grading", folder, "--out", out, *on_digits, "--memory", 800, "--jobs", 2)
    environment = {**os.environ, "TMPDIR": str(scratch), "GITHUB_STEP_SUMMARY": str(root / "summary.md")}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, cwd=ROOT, env=environment)
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

    @pytest.mark.parametrize("path", ATTACKS, ids=[path.stem for path in ATTACKS])
    def test_gives_each_attack_the_verdict_due_to_it(self, graded, path):
        status, words = expectation(path)
        found = graded.grade(path.stem)
        assert found["status"] == status and words in found["reason"], (found["status"], found["reason"])

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
        assert {name for name in HONEST if not graded.grade(name)["verified"]} == {"a_script", "fourier", "spiking"}
        assert graded.grade("exits_hard")["verified"] is None, "nothing of it was tested"
        ((reason, _),) = graded.grade("fourier")["unverified_because"]
        assert reason.startswith("it cannot become a graph") and "fourier.py, line 20" in reason

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

    def test_cannot_pose_as_headings_in_the_summary(self, graded):
        assert "# passed: 100 of 100" in graded.grade("poses_as_a_heading")["log"]
        lines = (graded.out.parent / "summary.md").read_text().splitlines()
        headings = [line for line in lines if line.startswith("#")]
        assert len(headings) == len(read_csv(graded.out / "grades.csv"))
        assert all(line.startswith("### ") for line in headings)


class TestASubmission:
    def test_that_never_ends_is_stopped_and_its_prints_are_cut(self, grade_here, on_digits, tmp_path):
        grade_here(HERE / "attacks" / "endless", "--out", tmp_path, *on_digits, "--timeout", 2)
        for name in ("loops_for_ever", "prints_for_ever"):
            found = json.loads((tmp_path / "students" / f"{name}.json").read_text())
            assert found["status"] == "timeout" and "it was stopped after 2 s" in found["reason"]
            assert len(found["log"]) < 10_000

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
    @pytest.mark.parametrize("name", ["clips_weights", "base_and_derived:Deeper", "repository"])
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
        (run,) = found["runs"]
        assert run["curve"] == [[point["images"], point["accuracy"]] for point in result.curve]
        assert run["confusion"] == result.confusion and run["confused"] == result.confused[:12]

    def test_is_taken_under_other_names_of_the_classes_for_each_seed(self, grade_here, on_digits, tmp_path):
        (tmp_path / "class").mkdir()
        (tmp_path / "class" / "alice.py").write_text(LINEAR)
        grade_here(tmp_path / "class", "--out", tmp_path / "grades", *on_digits, "--seeds", 2)
        runs = json.loads((tmp_path / "grades" / "students" / "alice.json").read_text())["runs"]
        assert [sorted(run["labels"]) for run in runs] == [list(range(10))] * 2
        assert runs[0]["labels"] != runs[1]["labels"] and min(run["accuracy"] for run in runs) > 0.95
        (median,) = [run for run in runs if run["confusion"]]
        assert sum(median["confusion"][c][c] for c in range(10)) == 500 * median["accuracy"]

    @pytest.mark.parametrize("odd", [None, 7, {"x": 0.5}, {"64": "a"}, {"64": 1.5}, {"-1": 0.5}, {"64": float("nan")}])
    def test_in_training_is_read_as_untrusted(self, odd):
        assert judge.curve(odd) == [] and judge.curve({"64": 0.5, "128": 1}) == [(64, 0.5), (128, 1.0)]


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
            (lambda home: (home - 8) * 50.0, lambda known: known / 100, True),
            (lambda home: home[..., None] >> torch.arange(4) & 1 > 0, from_bits, False),
            (sort_me, from_sorted, False),
        ],
        ids=["buffer", "hardly trained", "bits", "sorted integers"],
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
