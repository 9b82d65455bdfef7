"""What a student gets back: next steps, and all of it as text and as Markdown."""

from __future__ import annotations

import dataclasses

import pytest
from test_points import a_grade

from grading import command
from grading.feedback import next_steps, to_markdown, to_text
from grading.grades import Grade
from grading.points import Scored, default_rubric, score
from mnist_efficient_model import Limits


def steps(grade: Grade) -> str:
    return "\n".join(next_steps(grade, Limits()))


def with_run(*accuracies: float, **facts) -> Grade:
    """A grade whose first run has these facts."""
    grade = a_grade(*accuracies)
    for name, value in facts.items():
        setattr(grade.runs[0], name, value)
    return grade


class TestWhatToDoNext:
    @pytest.mark.parametrize(
        "grade, advice, not_said",
        [
            (a_grade(0.949, 0.951, 0.953), "1 of 3 seeds lie below it, and another grading may end", "Check it"),
            (a_grade(0.949, 0.951, 0.953), "For more margin, what usually helps", "learned"),
            (a_grade(0.98, parameters=31_810), "at least 6,811 parameters", "learned too little"),
            (a_grade(0.98, parameters=31_810, largest=("fc1.weight", 25_088)), "fc1.weight, which has 25,088", "lr"),
            (a_grade(0.98, parameters=31_810, largest=("fc1.weight", 9_000)), "AdaptiveAvgPool2d", "fc1"),
            (a_grade(0.98, parameters=9_000, buffers=40_000), "Buffers and constants count", "AdaptiveAvgPool2d"),
            (with_run(0.0, 0.0, diverged_at=17), "step 17 in 1 of 2 runs", "next to nothing"),
            (with_run(0.0, 0.0, diverged_at=17), '"lr": 0.003', "next to nothing"),
            (with_run(0.5, train_accuracy=0.95), "95.00 % in training, but not when tested", "too little"),
            (with_run(0.9, train_accuracy=0.85), "It learned too little", "eval()"),
            (with_run(0.11, train_accuracy=0.1), "next to nothing", "too little"),
            (with_run(0.9, one_by_one=True), "running statistics", "Not verified"),
            (a_grade(0.946), "It is close to the limit, but learned too little", "are left"),
            (a_grade(0.9, parameters=7_850), "17,149 parameters are left", "close"),
            (a_grade(parameters=3_000_000), "Take out at least 2,975,001 parameters", "learned"),
        ],
    )
    def test_follows_from_the_figures_of_a_model_that_ran(self, grade, advice, not_said):
        assert advice in steps(grade) and not_said not in steps(grade)

    def test_of_a_pass_with_a_margin_is_fewer_parameters_and_the_leaderboard(self):
        (only,) = next_steps(a_grade(0.98, parameters=8_000, buffers=500), Limits())
        assert only.startswith("Well done") and "fewer parameters than 8,500" in only and "leaderboard" in only

    @pytest.mark.parametrize("status", ["invalid", "timeout", "out_of_memory", "crashed", "rejected"])
    def test_of_a_model_that_was_not_judged_is_the_grades_own_advice_and_a_check(self, status):
        first, last = next_steps(Grade("eve", status, "what went wrong", advice="Mend line 9."), Limits())
        assert first == "Mend line 9." and last.endswith("python -m grading.check model.py")
        assert len(next_steps(Grade("eve", status, "what went wrong"), Limits())) == 1

    def test_of_a_grade_that_is_not_verified_is_each_reason_with_its_advice(self):
        grade = a_grade(0.98, verified=False)
        grade.unverified_because = [("it is long", "Make it short."), ["it is odd", ""]]  # as read from JSON
        assert next_steps(grade, Limits()) == ["Not verified: it is long. Make it short.", "Not verified: it is odd."]

    def test_of_a_failure_of_the_machine_is_nothing(self):
        (only,) = next_steps(Grade("eve", "machine_error", "the disk is full"), Limits())
        assert only.startswith("Nothing")

    def test_ends_with_the_students_own_check_under_the_same_rules(self):
        arguments = command.Parser().parse_args(
            ["--max-parameters", "9000", "--model-name", "Net; rm", "--verified-only"]
        )
        settings = dataclasses.asdict(command.settings_of(arguments))
        assert next_steps(a_grade(0.9, settings=settings), Limits(9_000))[-1].endswith(
            "python -m grading.check model.py --max-parameters=9000 --verified-only '--model-name=Net; rm'"
        )


class TestTheTexts:
    @staticmethod
    def texts(grade: Grade) -> list[str]:
        scored: Scored = score(grade, default_rubric(Limits()))
        return [to_text(scored, Limits()), to_markdown(scored, Limits())]

    def test_hold_verdict_points_margins_and_next_steps(self):
        for text in self.texts(a_grade(0.93)):
            assert "eve: failed, verified, 76 of 100 points" in text
            assert "690 below 25,000" in text and "2.00 points below 95.00 %" in text and "too little" in text

    def test_hold_nothing_that_a_student_wrote_as_it_was_written(self):
        bad = "<b>|`x`\x1b[2J\n# passed, 100 of 100 points"
        grade = a_grade(0.9, parameters=30_000, student=bad, reason=bad, largest=(bad, 29_000), log="secret")
        grade.unverified_because = [(bad, bad)]
        invalid = Grade(bad, "invalid", bad, advice=bad)
        for text, markdown in (self.texts(grade), self.texts(invalid)):
            assert "\x1b" not in text + markdown and "secret" not in text + markdown
            assert not any(line.startswith("#") for line in text.splitlines())
            assert "<b>" not in markdown and "`" not in markdown
            assert [line for line in markdown.splitlines() if line.startswith("#")] == [markdown.splitlines()[0]]

    def test_of_a_failure_of_the_machine_give_no_points(self):
        text, _ = self.texts(Grade("eve", "machine_error", "the disk is full"))
        assert text.startswith("eve: machine error\n") and "- of 60" in text
