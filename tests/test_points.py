"""Points by a rubric, and how far from each limit a model lies."""

from __future__ import annotations

import pytest

from grading.grades import Grade, Run, judge, margins
from grading.points import Scored, default_rubric, ranked, read_rubric, score
from mnist_efficient_model import ChallengeError, Limits


def a_grade(*accuracies: float, parameters: int = 24_310, limits: Limits = Limits(), **changes) -> Grade:
    """A grade of one run per accuracy, judged by the limits."""
    runs, ordered = [Run(seed, parameters, 0, accuracy) for seed, accuracy in enumerate(accuracies)], sorted(accuracies)
    median = ordered[(len(ordered) - 1) // 2] if ordered else None
    passed = bool(accuracies) and median >= limits.accuracy and parameters < limits.parameters
    facts = {"status": "passed" if passed else "failed", "parameters": parameters, "buffers": 0, "accuracy": median}
    spread = {"accuracy_min": min(ordered, default=None), "accuracy_max": max(ordered, default=None)}
    return Grade(**{"student": "eve", "reason": "fine", **facts, **spread, "verified": True, "runs": runs} | changes)


def scored(*accuracies: float, limits: Limits = Limits(), **changes) -> Scored:
    return score(a_grade(*accuracies, limits=limits, **changes), default_rubric(limits))


class TestTheScore:
    @pytest.mark.parametrize(
        "accuracy, parameters, points",
        [
            (0.96, 20_000, 100),
            (0.93, 20_000, 76),
            (0.9, 20_000, 40),
            (0.96, 100_000, 70),
            (0.9499999, 20_000, 99.9),
            (0.96, 25_000, 99.9),
            (None, 3_000_000, 10),
        ],
    )
    def test_is_full_where_the_limits_hold_and_falls_in_proportion(self, accuracy, parameters, points):
        found = scored(*([accuracy] if accuracy else []), parameters=parameters)
        assert (found.score, found.max_score) == (points, 100)

    @pytest.mark.parametrize(
        "limit, accuracy, points",
        [
            *[(0.95, 0.95, 60), (0.95, 0.94, 48), (0.95, 0.92, 24), (0.95, 0.90, 0), (0.95, 0.5, 0)],
            *[(0.98, 0.97, 30), (0.98, 0.96, 0), (0.999, 0.99, 6), (1.0, 0.995, 30), (1.0, 1.0, 60)],
            *[(0.5, 0.3, 30), (0.5, 0.1, 0), (0.0, 0.0, 60)],
        ],
    )
    def test_of_the_accuracy_falls_to_none_at_twice_the_allowed_errors(self, limit, accuracy, points):
        parts = {criterion.measure: part for criterion, part in scored(accuracy, limits=Limits(accuracy=limit)).parts}
        assert parts["accuracy"] == pytest.approx(points, abs=0.11)

    @pytest.mark.parametrize("status", ["invalid", "rejected", "timeout", "out_of_memory", "crashed"])
    def test_is_zero_for_what_did_not_run_and_blank_where_the_machine_failed(self, status):
        assert scored(status=status, parameters=None, buffers=None).score == 0
        assert scored(status="machine_error").score is None


class TestARubric:
    SMALL = '[[criterion]]\nname = "Small"\nmeasure = "parameters"\npoints = 8\nfull = 10_000\nzero = 30_000\n'

    def test_of_the_teacher_is_followed(self, tmp_path):
        (tmp_path / "rubric.toml").write_text(self.SMALL)
        rubric = read_rubric(str(tmp_path / "rubric.toml"), Limits())
        assert score(a_grade(0.96, parameters=20_000), rubric).score == 4

    @pytest.mark.parametrize(
        "old, new, reason",
        [
            ('"parameters"', '"beauty"', "'beauty' is none of runs"),
            ("points = 8", "points = 8.5", "whole number"),
            ("points = 8", "points = true", "whole number"),
            ("zero = 30_000", "", "two different numbers"),
            ("30_000", "10_000", "two different numbers"),
            ("10_000", '"none"', "two different numbers"),
            ("[[criterion]]", "late = 3\n[[criterion]]", "unknown: late"),
            ("points", "marks", "marks"),
            (SMALL, "criterion = []", "no \\[\\[criterion"),
            ("]]", "]", "is not a rubric"),
        ],
    )
    def test_with_a_mistake_is_refused_with_its_name(self, tmp_path, old, new, reason):
        (tmp_path / "rubric.toml").write_text(self.SMALL.replace(old, new))
        with pytest.raises(ChallengeError, match=reason) as refusal:
            read_rubric(str(tmp_path / "rubric.toml"), Limits())
        assert refusal.value.status == 2

    def test_that_is_not_there_is_a_usage_error(self):
        with pytest.raises(ChallengeError, match="cannot read"):
            read_rubric("no.toml", Limits())


def test_the_leaderboard_ranks_verified_passes_by_accuracy_then_all_that_counts_then_seconds():
    grades = [
        a_grade(0.97, student="larger", parameters=7_000, buffers=2_000, train_seconds=1.0),
        a_grade(0.97, student="slower", parameters=8_000, train_seconds=2.0),
        a_grade(0.97, student="faster", parameters=8_000, train_seconds=1.0),
        a_grade(0.98, student="best", train_seconds=9.0),
        a_grade(0.99, student="unverified", verified=False, train_seconds=1.0),
        a_grade(0.90, student="failed", train_seconds=1.0),
    ]
    order = [scored.grade.student for scored in ranked(score(grade, []) for grade in grades)]
    assert order == ["best", "faster", "slower", "larger"]
    row = score(grades[0], []).row()
    assert (row["parameters"], row["counted"]) == (7_000, 9_000)


class TestMargins:
    @staticmethod
    def sentences(grade: Grade) -> dict[str, str]:
        return {margin.what: margin.sentence for margin in margins(grade, Limits())}

    def test_say_how_far_above_or_below_each_limit_a_model_lies(self):
        assert self.sentences(a_grade(0.98, 0.981, 0.982)) == {
            "parameters": "24,310 parameters: 690 below 25,000",
            "accuracy": "accuracy 98.10 % (median of 3 seeds, 98.00 % to 98.20 %): 3.10 points above 95.00 %",
        }
        assert self.sentences(a_grade(0.9, parameters=25_000, buffers=10)) == {
            "parameters": "25,000 parameters and 10 numbers in buffers and constants, 25,010 in all: 11 too many to be "
            "under 25,000",
            "accuracy": "accuracy 90.00 % (one seed): 5.00 points below 95.00 %",
        }

    @pytest.mark.parametrize(
        "accuracy, points, holds, close",
        [
            (0.9499999, "0.01 points below 95.00 %: close", False, True),
            (0.95, "0.00 points above 95.00 %: close", True, True),
            (0.955, "0.50 points above 95.00 %: close", True, True),
            (0.9551, "0.51 points above 95.00 %", True, False),
            (0.9449, "0.51 points below 95.00 %", False, False),
        ],
    )
    def test_are_never_rounded_in_the_models_favour_and_close_within_half_a_point(self, accuracy, points, holds, close):
        margin = margins(a_grade(accuracy), Limits())[1]
        assert margin.sentence.endswith(points) and (margin.holds, margin.close) == (holds, close)

    def test_of_a_model_that_was_not_judged_are_only_what_was_measured(self):
        assert list(self.sentences(a_grade(0.99, status="rejected"))) == ["parameters"]
        assert self.sentences(Grade("eve", "invalid", "no")) == {}
        found = self.sentences(a_grade(parameters=1 << 24, runs=[Run(0)]))["parameters"]
        assert found == "more than 16,777,216 parameters: far above 25,000"


class TestTheVerdict:
    """Its reason is made of the margins, so that both say the same."""

    @pytest.mark.parametrize(
        "grade, status, reason",
        [
            (a_grade(0.98), "passed", "24,310 parameters, accuracy 98.00 % (one seed)"),
            (a_grade(0.98, buffers=690), "failed", "25,000 in all: 1 too many to be under 25,000"),
            (
                a_grade(0.9, 0.9),
                "failed",
                "accuracy 90.00 % (median of 2 seeds, 90.00 % to 90.00 %): 5.00 points below",
            ),
            (a_grade(0.9, runs=[Run(0, 1, 0, 0.9, diverged_at=7)]), "failed", "below 95.00 %; the loss stopped being"),
            (a_grade(0.98, runs=[Run(0, 1, one_by_one=True)]), "passed", "(each image answered alone: "),
            (a_grade(0.98, unverified_because=[("a", ""), ("b", "")]), "passed", "(one seed) (not verified: a; b)"),
        ],
    )
    def test_is_of_all_limits_and_says_how_far_what_is_broken_is_off(self, grade, status, reason):
        grade.status = ""
        assert judge(grade, Limits())[0] == status and reason in judge(grade, Limits())[1]
