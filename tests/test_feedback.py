"""What is handed back to a student, the points, the student's own check, and which models are nearly the same."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import test_grading
from test_grading import HERE, LINEAR, NOT_A_GRAPH, SYNTAX_ERROR

from grading import feedback, gradebook, judge, rubric, similarity
from grading.grades import Grade, Run
from grading.margins import margins, standard_error
from grading.sandbox import isolation
from grading.submissions import Submission, find_submissions
from mnist_efficient_model import Limits

digits, on_digits = test_grading.digits, test_grading.on_digits  # fixtures
warm_server, grade_here = test_grading.warm_server, test_grading.grade_here


def a_grade(*accuracies: float, parameters: int = 24_310, limits: Limits = Limits(), **changes) -> Grade:
    """A grade of one run per accuracy, judged by the limits, on 10,000 test images."""
    runs = [Run(seed, parameters, 0, accuracy=accuracy) for seed, accuracy in enumerate(accuracies)]
    ordered = sorted(accuracies)
    middle = ordered[(len(ordered) - 1) // 2] if ordered else None
    passed = bool(accuracies) and middle >= limits.accuracy and parameters < limits.parameters
    facts = dict(
        student="eve", status="passed" if passed else "failed", reason="fine", parameters=parameters, buffers=0,
        accuracy=middle, accuracy_min=min(ordered, default=None), accuracy_max=max(ordered, default=None),
        test_images=10_000, train_seconds=3.0, verified=True, runs=runs,
    )  # fmt: skip
    return Grade(**{**facts, **changes})


def sentences(grade: Grade, limits: Limits = Limits()) -> dict[str, str]:
    return {margin.what: margin.sentence for margin in margins(grade, limits)}


def steps(grade: Grade, limits: Limits = Limits()) -> str:
    return "\n".join(feedback.next_steps(grade, limits))


class TestMargins:
    def test_say_how_far_above_or_below_each_limit_a_model_lies(self):
        assert sentences(a_grade(0.98, 0.981, 0.982)) == {
            "parameters": "24,310 parameters: 690 below 25,000",
            "accuracy": "accuracy 98.10 % (median of 3 seeds, 98.00 % to 98.20 %): 3.10 points above 95.00 %",
        }
        found = sentences(a_grade(0.9, parameters=25_000, buffers=10))
        assert (
            "10 numbers in buffers and constants, 25,010 in all: 11 too many to be under 25,000" in found["parameters"]
        )
        assert found["accuracy"] == "accuracy 90.00 % (one seed): 5.00 points below 95.00 %"

    @pytest.mark.parametrize(
        "accuracy, points, holds", [(0.9499999, "0.01 points below", False), (0.95, "0.00 points above", True)]
    )
    def test_are_never_rounded_in_the_models_favour(self, accuracy, points, holds):
        (margin,) = [m for m in margins(a_grade(accuracy), Limits()) if m.what == "accuracy"]
        assert points in margin.sentence and margin.holds is holds

    def test_call_an_accuracy_close_within_two_standard_errors_of_the_test_images(self):
        error = math.sqrt(0.95 * 0.05 / 10_000)
        for distance, close in ((1.9, True), (2.1, False), (-1.9, True), (-2.1, False)):
            margin = margins(a_grade(0.95 + distance * error), Limits())[1]
            assert margin.close is close and ("close (two standard errors are 0.44)" in margin.sentence) is close

    def test_count_the_spread_of_the_seeds_as_well(self):
        assert not margins(a_grade(0.9549, 0.955, 0.9551), Limits())[1].close
        assert margins(a_grade(0.945, 0.955, 0.965), Limits())[1].close

    def test_standard_error_is_that_of_repeated_gradings(self):
        """Of a model at the limit: test images and seeds drawn anew each time, the median of three taken."""
        chance, n, spread = np.random.default_rng(0), 10_000, 0.004
        medians, told = [], []
        for _ in range(2_000):
            shared = chance.normal(0, math.sqrt(0.95 * 0.05 / n))  # the test set, the same for all seeds
            accuracies = [float(a) for a in 0.95 + shared + chance.normal(0, spread, 3)]
            medians.append(sorted(accuracies)[1])
            told.append(standard_error(a_grade(*accuracies), 0.95) ** 2)
        assert np.std(medians) <= math.sqrt(np.mean(told)) <= 1.15 * np.std(medians)

    def test_of_a_model_that_was_not_judged_are_only_what_was_measured(self):
        assert list(sentences(a_grade(0.99, status="rejected"))) == ["parameters"]
        assert sentences(Grade("eve", "invalid", "no")) == {}
        assert "more than 16,777,216" in sentences(a_grade(parameters=1 << 24, runs=[Run(0)]))["parameters"]


class TestWhatToDoNext:
    def test_is_nothing_for_a_model_that_holds_every_limit_with_room_to_spare(self):
        assert feedback.next_steps(a_grade(0.98), Limits()) == [
            "Well done: every limit holds, with room to spare. There is nothing else to do."
        ]

    def test_is_more_margin_for_one_that_passed_by_a_hair(self):
        found = steps(a_grade(0.949, 0.951, 0.953))
        assert "1 of 3 seeds lie below it" in found and "For more margin" in found and "Check it" not in found

    def test_names_what_takes_most_of_too_many_parameters(self):
        found = steps(a_grade(0.98, parameters=31_810, largest=("fc1.weight", 25_088)))
        assert "at least 6,811 parameters" in found and "fc1.weight, which has 25,088" in found
        assert "AdaptiveAvgPool2d" in found and "learned too little" not in found
        assert "fc1" not in steps(a_grade(0.98, parameters=31_810, largest=("fc1.weight", 9_000)))

    def test_of_a_diverged_model_is_a_smaller_lr(self):
        found = a_grade(0.0, 0.0)
        found.runs[0].diverged_at = 17
        assert "at step 17 in 1 of 2 runs" in steps(found) and '"lr": 0.003' in steps(found)

    def test_tells_a_model_that_forgets_in_eval_from_one_that_never_learned(self):
        forgets, weak, guesses = a_grade(0.5), a_grade(0.9), a_grade(0.11)
        forgets.runs[0].train_accuracy, weak.runs[0].train_accuracy, guesses.runs[0].train_accuracy = 0.95, 0.85, 0.1
        assert "95.00 % in training, but not when tested" in steps(forgets)
        assert "learned too little" in steps(weak) and "eval()" not in steps(weak)
        assert "next to nothing" in steps(guesses)

    def test_offers_the_parameters_that_are_left(self):
        assert "17,149 parameters are left" in steps(a_grade(0.9, parameters=7_850))
        assert "are left" not in steps(a_grade(0.9))

    @pytest.mark.parametrize(
        "doubt, cure",
        [
            ("what it does depends on numbers in a tensor (m.py, line 3: if x.sum() > 0:)", "torch.where"),
            ("it has a backward of its own, autograd.Function Spike", "without backward hooks"),
            ("its code is 9,000 bytes long when compressed, more than 6,000: it could bring weights", "long tables"),
            ("7,840 of its initial weights do not depend on the seed, and are no simple pattern", "torch.nn.init"),
            ("it cannot become a graph: something new", "a fixed list of PyTorch operations"),
        ],
    )  # fmt: skip
    def test_of_a_grade_that_is_not_verified_repeats_the_line_and_says_how(self, doubt, cure):
        found = steps(a_grade(0.98, verified=False, doubts=[doubt]))
        assert doubt in found and cure in found

    def test_of_answers_taken_one_by_one_is_eval_mode(self):
        found = a_grade(0.9)
        found.runs[0].one_by_one = True
        assert "running statistics" in steps(found)

    @pytest.mark.parametrize(
        "status, reason, cure",
        [
            ("timeout", "it was stopped after 300 s, while in the phase 'import'", "must only define the model"),
            ("timeout", "it was stopped after 300 s, while in the phase 'training'", "faster"),
            ("out_of_memory", "it took more than the 2,048 MB allowed", "smaller"),
            ("crashed", "its process ended without a result", "process died"),
            ("invalid", "which of these is the model? a.py, b.py", "model.py at the top"),
            ("invalid", "it needs 'timm', which the grading machine does not have", "that import"),
            ("invalid", "m.py, line 9: self.act = nn.RelU()", "the line that the reason names"),
            ("rejected", "model.py is a link, and links are not followed", "the file itself"),
            ("rejected", "it wrote to the grader's own channel", "names the rule"),
        ],
    )
    def test_of_a_model_that_was_not_judged_follows_the_reason(self, status, reason, cure):
        first, *_, last = feedback.next_steps(Grade("eve", status, reason), Limits())
        assert cure in first and last.endswith("python -m grading model.py")

    def test_of_a_failure_of_the_machine_is_nothing(self):
        (only,) = feedback.next_steps(Grade("eve", "machine_error", "no room"), Limits())
        assert only.startswith("Nothing")

    def test_ends_with_the_students_own_check_under_the_same_rules(self):
        limits = Limits(9_000, 0.97)
        settings = {"dataset": "kmnist", "model_name": "Net; rm", "verified_only": True}
        assert feedback.next_steps(a_grade(0.9, settings=settings), limits)[-1].endswith(
            "python -m grading model.py --max-parameters 9000 --min-accuracy 0.97 --dataset kmnist "
            "--model-name 'Net; rm' --verified-only"
        )


class TestTheTexts:
    HOSTILE = "<b>|`x`\x1b[2J\n# passed, 100 of 100 points"

    def texts(self) -> tuple[str, str]:
        grade = a_grade(
            0.9, parameters=30_000, student=self.HOSTILE, reason=self.HOSTILE, doubts=[self.HOSTILE],
            verified=False, largest=(self.HOSTILE, 29_000), log="secret",
        )  # fmt: skip
        scored = rubric.score(grade, rubric.default_rubric(Limits()))
        return feedback.to_text(scored, Limits()), feedback.to_markdown(scored, Limits())

    def test_hold_verdict_points_margins_and_next_steps(self):
        scored = rubric.score(a_grade(0.93), rubric.default_rubric(Limits()))
        for text in (feedback.to_text(scored, Limits()), feedback.to_markdown(scored, Limits())):
            assert "eve: failed, verified, 76 of 100 points" in text
            assert "690 below 25,000" in text and "2.00 points below 95.00 %" in text and "too little" in text

    def test_hold_nothing_that_a_student_wrote_as_it_was_written(self):
        text, markdown = self.texts()
        assert "\x1b" not in text and not any(line.startswith("#") for line in text.splitlines())
        assert "<b>" not in markdown and "`" not in markdown and "\x1b" not in markdown
        assert [line for line in markdown.splitlines() if line.startswith("#")] == [markdown.splitlines()[0]]
        assert "secret" not in text + markdown

    def test_of_a_failure_of_the_machine_give_no_points(self):
        scored = rubric.score(Grade("eve", "machine_error", "no room"), rubric.default_rubric(Limits()))
        assert feedback.to_text(scored, Limits()).startswith("eve: machine error\n")


class TestPointsForAccuracy:
    @pytest.mark.parametrize(
        "limit, accuracy, points",
        [
            (0.95, 0.95, 60), (0.95, 0.94, 48), (0.95, 0.92, 24), (0.95, 0.90, 0), (0.95, 0.5, 0),
            (0.98, 0.97, 30), (0.98, 0.96, 0), (0.999, 0.99, 6), (1.0, 0.995, 30), (1.0, 1.0, 60),
            (0.5, 0.3, 30), (0.5, 0.1, 0), (0.0, 0.0, 60),
        ],
    )  # fmt: skip
    def test_fall_to_none_at_twice_the_allowed_errors(self, limit, accuracy, points):
        limits = Limits(accuracy=limit)
        found = dict((c.measure, p) for c, p in rubric.score(a_grade(accuracy), rubric.default_rubric(limits)).parts)
        assert found["accuracy"] == pytest.approx(points, abs=0.11)


MODEL = """import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block(1, 12)
        self.second = Block(12, 24)
        self.third = Block(24, 36)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(36, 10)

    def forward(self, x):
        x = F.max_pool2d(self.first(x), 2)
        x = F.max_pool2d(self.second(x), 2)
        x = self.third(x).mean((2, 3))
        return self.head(self.drop(x))
"""
OWN_NAMES = ("Block", "Net", "width", "out", "conv", "norm", "first", "second", "third", "drop", "head", "x")


def renamed(code: str) -> str:
    """The same code with every name that its author chose replaced."""
    words = {name: f"My{i}" for i, name in enumerate(OWN_NAMES)}
    pieces = re.split(r"(\w+)", code)
    return "".join(words.get(piece, piece) for piece in pieces)


def disguised(code: str) -> str:
    """Other names and imports, the classes in the other order, comments, docstrings, type hints, a training script."""
    head, block, net = renamed(code).split("\n\n\n")
    head = "from torch import nn as layers, Tensor\nimport torch.nn.functional as fun\n"
    body = f"{net}\n\n{block}\n".replace("nn.", "layers.").replace("F.", "fun.")
    body = body.replace("(self):", "(self) -> None:\n        'My own work.'  # really").replace(
        ", My11)", ", My11: Tensor)"
    )
    return f"{head}\nEPOCHS = 7\n\n\ndef train():\n    for i in range(EPOCHS):\n        print(i)\n\n\n{body}\ntrain()\n"


def handed_in(**codes: str) -> list[Submission]:
    return [Submission(name, ["model.py"], files={"model.py": code.encode()}) for name, code in codes.items()]


class TestSimilarModels:
    @pytest.mark.parametrize(
        "copy", [MODEL, renamed(MODEL), disguised(MODEL), MODEL.replace("\n\n", "\n").replace("    ", "\t")]
    )
    def test_are_found_under_other_names_in_another_order_and_layout(self, copy):
        compile(copy, "copy.py", "exec")
        found = similarity.similar(handed_in(alice=MODEL, bob=copy, carol=LINEAR))
        assert {student: [name for name, _ in rivals] for student, rivals in found.items()} == {
            "alice": ["bob"], "bob": ["alice"],
        }  # fmt: skip
        assert found["alice"][0][1] >= 0.95 and found["alice"][0][1] == found["bob"][0][1]

    def test_are_found_where_the_model_lies_in_several_files(self):
        head, block, net = MODEL.split("\n\n\n")
        files = {"src/blocks.py": f"{head}\n\n{block}\n", "model.py": f"{head}\nfrom src.blocks import Block\n\n{net}"}
        bob = Submission("bob", ["model.py"], files={name: code.encode() for name, code in files.items()})
        assert similarity.similar([*handed_in(alice=MODEL), bob])["alice"] == [("bob", 1.0)]

    def test_are_not_models_of_other_sizes_and_shapes(self):
        other = MODEL.replace("12", "8").replace("24", "16").replace("36", "20").replace("0.1", "0.05")
        other = other.replace("self.third(x).mean((2, 3))", "F.adaptive_avg_pool2d(self.third(x), 1).flatten(1)")
        assert similarity.similar(handed_in(alice=MODEL, bob=other)) == {}

    def test_are_none_among_independent_models(self):
        assert similarity.similar(find_submissions(HERE / "honest")) == {}

    def test_are_not_short_ones(self):
        assert similarity.similar(handed_in(alice=LINEAR, bob=LINEAR)) == {}

    def test_are_not_what_a_large_part_of_a_class_shares(self):
        given = {f"s{i}": MODEL for i in range(8)}
        others = {f"t{i}": MODEL.replace("12", str(100 + i)).replace("36", str(200 + i)) for i in range(12)}
        assert similarity.similar(handed_in(**given, **others)) == {}
        assert len(similarity.similar(handed_in(**dict(itertools.islice(given.items(), 3)), **others))) == 3

    def test_name_three_others_at_most_the_most_similar_first(self):
        near = MODEL.replace("0.1", "0.2")
        found = similarity.similar(handed_in(a=MODEL, b=near, c=MODEL, d=MODEL, e=near))["a"]
        assert [name for name, _ in found] == ["c", "d", "b"] and found[0][1] == 1 > found[2][1]

    @pytest.mark.parametrize("code", ["x = " + "-" * 5000 + "1", "x = 0x" + "f" * 100_000, "(" * 1000, "", "\0"])
    def test_are_looked_for_in_hostile_code_too(self, code):
        hostile = f"{MODEL}\n{code}\n"
        assert set(similarity.similar(handed_in(eve=hostile, alice=MODEL, bob=renamed(MODEL)))) >= {"alice", "bob"}

    def test_are_found_in_a_class_of_200(self):
        codes = {f"s{i}": MODEL.replace("12", str(100 + i // 2)).replace("36", str(300 + i // 2)) for i in range(200)}
        found = similarity.similar(handed_in(**codes))
        assert {name: rivals[0] for name, rivals in found.items()} == {f"s{i}": (f"s{i ^ 1}", 1.0) for i in range(200)}


def grades_agree(folder: Path, run: Callable[..., int], options: tuple, out: Path, capsys) -> None:
    """Grade each submission of ``folder`` alone and all as a class: status, points and figures must be the same."""
    assert run(folder, "--out", out / "class", *options) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1, "a class is counted"
    rows = {row["student"]: row for row in csv.DictReader((out / "class" / "grades.csv").open(encoding="utf-8"))}
    for submission in find_submissions(folder):
        name = submission.student
        (path,) = [path for path in folder.iterdir() if path.name in (name, f"{name}.py")]
        assert run(path, "--out", out / name, *options) == 0, "also for a model that fails"
        shown = capsys.readouterr().out
        (alone,) = csv.DictReader((out / name / "grades.csv").open(encoding="utf-8"))
        differing = {"train_seconds", "similar_to"}
        assert {k: v for k, v in alone.items() if k not in differing} == {
            k: v for k, v in rows[name].items() if k not in differing
        }
        assert shown.startswith(f"{name}: {alone['status'].replace('_', ' ')}") and "\nNext\n" in shown
        assert f"{float(alone['score']):g} of {alone['max_score']} points" in shown


@pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")
class TestTheStudentsOwnCheck:
    def test_agrees_with_the_class(self, grade_here, on_digits, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(judge, "secret_permutation", lambda: np.arange(10))  # else accuracies differ a little
        folder = tmp_path / "submissions"
        folder.mkdir()
        for name in ("groupnorm_depthwise", "dropout_softmax"):
            (folder / f"{name}.py").write_bytes((HERE / "honest" / f"{name}.py").read_bytes())
        (folder / "repo" / "src").mkdir(parents=True)
        (folder / "repo" / "src" / "model.py").write_text(NOT_A_GRAPH)
        (folder / "wide.py").write_text(LINEAR.replace("784, 10)", "784, 10)\n        self.big = nn.Linear(784, 50)"))
        (folder / "typo.py").write_text(SYNTAX_ERROR)
        grades_agree(folder, grade_here, on_digits, tmp_path / "out", capsys)

    def test_names_the_layer_with_most_parameters(self, grade_here, on_digits, tmp_path, capsys):
        (tmp_path / "wide.py").write_text(LINEAR.replace("784, 10)", "784, 10)\n        self.big = nn.Linear(784, 50)"))
        grade_here(tmp_path / "wide.py", "--out", tmp_path / "grades", *on_digits)
        shown = capsys.readouterr().out
        assert "broken  47,100 parameters: 22,101 too many" in shown and "big.weight, which has 39,200" in shown


@pytest.mark.skipif(isolation.resource is None, reason="grading needs fork")
class TestSimilarModelsInAClass:
    """Bodies that cannot be imported are graded at once."""

    @staticmethod
    def graded_class(folder: Path, grade_here: Callable[..., int], options: tuple) -> None:
        for name, code in (("alice", MODEL), ("bob", renamed(MODEL)), ("carol", LINEAR)):
            (folder / f"{name}.py").write_text(f"{code}\n\nraise SystemExit\n")
        assert grade_here(folder, "--out", folder / "grades", *options) == 0

    @staticmethod
    def similar_to(folder: Path) -> dict[str, str]:
        rows = list(csv.DictReader((folder / "grades" / "grades.csv").open(encoding="utf-8")))
        assert list(rows[0])[-2:] == ["reason", "similar_to"]
        return {row["student"]: row["similar_to"] for row in rows}

    def test_stand_beside_the_grade_and_in_nothing_handed_back(self, grade_here, on_digits, tmp_path):
        self.graded_class(tmp_path, grade_here, on_digits)
        assert self.similar_to(tmp_path) == {"alice": "bob 1.00", "bob": "alice 1.00", "carol": ""}
        grade = gradebook.read_grades(tmp_path / "grades")["alice"]
        scored = rubric.score(grade, rubric.default_rubric(Limits()))
        handed_back = feedback.to_text(scored, Limits()) + feedback.to_markdown(scored, Limits())
        handed_back += (tmp_path / "grades" / "students" / "alice.json").read_text()
        assert "bob" not in handed_back and "similar" not in handed_back

    def test_are_kept_when_one_student_is_graded_again_but_for_that_one(self, grade_here, on_digits, tmp_path):
        self.graded_class(tmp_path, grade_here, on_digits)
        grade_here(tmp_path / "carol.py", "--out", tmp_path / "grades", *on_digits)
        assert self.similar_to(tmp_path) == {"alice": "bob 1.00", "bob": "alice 1.00", "carol": ""}
        grade_here(tmp_path / "bob.py", "--out", tmp_path / "grades", *on_digits)
        assert self.similar_to(tmp_path) == {"alice": "", "bob": "", "carol": ""}
        assert json.loads((tmp_path / "grades" / "similar.json").read_text()) == {}
