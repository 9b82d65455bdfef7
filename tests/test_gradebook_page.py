"""What a teacher opens and what a student gets back: grades/report.html and students/NAME.html.

The class is made up: 200 students with every status, names and reasons as odd as people write them.
"""

from __future__ import annotations

import random
from pathlib import Path

from grading import gradebook, rubric
from grading.grades import Grade, Run, Settings
from mnist_efficient_model import Limits, percent

LIMITS = Limits()
SETTINGS = Settings(LIMITS, "mnist", (0, 1, 2), None, 300.0, 2048 << 20)
RUBRIC = rubric.default_rubric(LIMITS)
NAMES = ("Zoë Müller", "O'Brien, Siobhán", "García Márquez, Gabriel", "名前 太郎", "נועה כהן", "Nguyễn Thị Minh Khai",
    "smith-j", "Łukasz Żółć", 'Anne "Annie" Lee', "d'Arc, Jeanne", "student", "Øystein Å")  # fmt: skip
REASONS = {
    "invalid": 'model.py, line 14: self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding="sane"): ValueError: Invalid '
    "padding string 'sane', should be one of {'valid', 'same'}, while the model was built without arguments, as it must be",
    "rejected": "before any training it gets 97.10 % right, where chance is 10 %: it was trained before",
    "timeout": "it took longer than 300 s to train: the grader allows 300 s for each child",
    "out_of_memory": "it wanted more than 2,048 MB of memory while training",
    "crashed": "its process died with signal 11 (segmentation fault) during the export of its graph",
    "machine_error": "the grading machine failed (no space left on device): grade again; this is not the student's fault",
}  # fmt: skip


def a_grade(student: str = "eve", status: str = "passed", **changes) -> Grade:
    """A grade with the figures that its status has: three seeds for those that ran."""
    facts = {"student": student, "status": status, "reason": REASONS.get(status, "fine"), "versions": {"torch": "2.9"},
        "settings": {"limits": {"parameters": 25_000, "accuracy": 0.95}, "dataset": "mnist", "seeds": [0, 1, 2],
            "seconds": 300.0, "memory": 2048 << 20, "model_name": None, "verified_only": False}}  # fmt: skip
    if status in rubric.SCORED:
        accuracy = changes.pop("accuracy", 0.9812)
        parameters, buffers = changes.pop("parameters", 18_250), changes.pop("buffers", 0)
        runs = [
            Run(seed, parameters, buffers, accuracy + 0.002 * (seed - 1), 0.1032, accuracy - 0.05, 3.4567 + seed, 412,
                60_000, labels=[3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
            for seed in range(3)
        ]  # fmt: skip
        facts |= {"parameters": parameters, "buffers": buffers, "accuracy": accuracy, "train_seconds": 4.4567,
            "accuracy_min": accuracy - 0.002, "accuracy_max": accuracy + 0.002, "verified": True, "runs": runs,
            "accuracy_interval": (accuracy - 0.003, accuracy + 0.003), "description_bytes": 412,
            "isolation": ["namespaces", "landlock"]}  # fmt: skip
    return Grade(**{**facts, **changes})


def a_class(n: int = 200) -> list[Grade]:
    """n grades, most of them passed; every status occurs where n is large enough."""
    chance = random.Random(0)
    statuses = ["passed"] * 12 + ["failed"] * 5 + list(REASONS)
    grades = []
    for i in range(n):
        status = statuses[i] if i < len(statuses) else chance.choice(statuses)
        name, changes = f"{NAMES[i % len(NAMES)]} {i}", {}
        if status in rubric.SCORED:
            size = int(10 ** chance.uniform(2.9, 4.39))
            accuracy = round(1 - 10 ** chance.uniform(-2.3, -1.32), 4)
            reason = f"{size:,} parameters, accuracy {percent(accuracy)}"
            if status == "failed" and chance.random() < 0.5:
                size = int(10 ** chance.uniform(4.4, 6))
                reason = f"{size:,} parameters: {size - 24_999:,} too many to be under 25,000"
            elif status == "failed":
                accuracy = round(1 - 10 ** chance.uniform(-1.29, -0.2), 4)
                reason = f"accuracy {percent(accuracy)} (median of 3 seeds): short of 95.00 %"
            changes = {"parameters": size, "accuracy": accuracy, "buffers": 128 * (i % 9 == 0)}
            changes |= {"reason": reason, "log": "epoch 1 done\n" * (i % 3)}
            if i % 11 == 0:
                doubt = "it cannot become a graph: model.py, line 31: if x.mean() > 0: control flow on data"
                changes |= {"verified": False, "doubts": [doubt], "reason": f"{reason} (not verified: {doubt})"}
        grades.append(a_grade(name, status, **changes))
    return grades


def some_similar(grades: list[Grade]) -> dict[str, list[tuple[str, float]]]:
    names = [grade.student for grade in grades]
    return {names[0]: [(names[5], 1.0)], names[5]: [(names[0], 1.0)], names[2]: [(n, 0.9) for n in names[6:12]]}


def write_class(out: Path, grades: list[Grade], similar=None) -> Path:
    gradebook.write_gradebook(out, grades, RUBRIC, SETTINGS, similar)
    gradebook.write_missing_pages(out, grades, RUBRIC, LIMITS)
    return out / "report.html"
