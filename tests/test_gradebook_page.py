"""What a teacher opens and what a student gets back: grades/report.html and students/NAME.html."""

from __future__ import annotations

import base64
import hashlib
import html
import random
import re
import zlib
from collections import Counter
from pathlib import Path

import pytest
from test_report import HOSTILE, Wellformed

from grading import gradebook, page, points, student_page
from grading.feedback import next_steps
from grading.grades import Grade, Run, Settings, file_name, summarise
from mnist_efficient_model import Limits, percent
from pages import UNFIT

LIMITS = Limits()
SETTINGS = Settings(LIMITS, "mnist", (0, 1, 2), None, 300.0, 2048 << 20)
RUBRIC = points.default_rubric(LIMITS)
NAMES = ("Zoë Müller", "O'Brien, Siobhán", "García Márquez, Gabriel", "名前 太郎", "נועה כהן", "Nguyễn Thị Minh Khai",
    "smith-j", "Łukasz Żółć", 'Anne "Annie" Lee', "d'Arc, Jeanne", "student", "Øystein Å")  # fmt: skip
REASONS = {
    "invalid": "model.py, line 14: self.conv1 = nn.Conv2d(1, 16, 3, padding='sane'): ValueError: should be 'same'",
    "rejected": "before any training it gets 97.10 % right, where 10 % is usual: it was trained before",
    "timeout": "it was stopped after 300 s, while in the phase 'training'",
    "out_of_memory": "it took more than the 2,048 MB allowed",
    "crashed": "its process died: killed by SIGSEGV",
    "machine_error": "the disk is full",
}
HOSTILE_HERE = (
    *HOSTILE, "{x} %s {{y}}", '"><svg/onload=alert(1)>', "<style>*{display:none}</style>", "</li></ul></main><h1>",
    '" autofocus onfocus=alert(1) x="', "</pre><b>", "data:text/html,<b>", "%3Cb%3E<iframe src=//x>", "<![CDATA[<b>",
    'one" hidden class="f1', "\u200f\u061cabc\ufeff", "{{ STYLE }}{% block body %}", "<base href=//x><a href=y>",
)  # fmt: skip


def a_run(seed: int, accuracy: float, parameters: int = 18_250, buffers: int = 0, **changes) -> Run:
    """A run with every figure; it took 4 for 9 in all that it misread."""
    wrong, pixels = round(982 * (1 - accuracy)), zlib.compress(bytes(28 * 28)).hex()
    confusion = [[1000 if i == j else 0 for j in range(10)] for i in range(10)]
    confusion[4] = [0, 0, 0, 0, 982 - wrong, 0, 0, 0, 0, wrong]
    confused = [
        {"index": i, "label": 4, "predicted": 9, "confidence": 0.97 - i / 100, "pixels": pixels} for i in range(12)
    ]
    curve = [[2_400 * i, round(accuracy * (1 - 1 / (i + 1)), 4)] for i in range(1, 26)]
    figures = (0.1032, accuracy - 0.05, 3.4567 + seed, 412, 60_000, None, False, [3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    run = Run(seed, parameters, buffers, accuracy, *figures, curve, confusion, confused)
    return Run(**{**vars(run), **changes})


def a_grade(student: str = "eve", status: str = "passed", accuracy: float = 0.9812, **changes) -> Grade:
    """A grade with the figures that its status has: three seeds for those that ran."""
    grade = Grade(
        student, status, REASONS.get(status, "fine"), date="2026-05-03T14:05+02:00", versions={"torch": "2.9"}
    )
    limits = {"parameters": 25_000, "accuracy": 0.95}
    grade.settings = {"limits": limits, "dataset": "mnist", "seeds": [0, 1, 2], "seconds": 300.0, "memory": 2048 << 20}
    if status in points.SCORED:
        sizes = {name: changes.pop(name) for name in ("parameters", "buffers") if name in changes}
        grade.runs = [a_run(seed, accuracy + 0.002 * (seed - 1), **sizes) for seed in range(3)]
        grade.verified, grade.isolation = True, ["namespaces", "landlock"]
        summarise(grade, 10_000)
    return Grade(**{**vars(grade), **changes})


def a_class(n: int = 120) -> list[Grade]:
    """n grades, most of them passed, with every status."""
    drawn, grades = random.Random(0), []
    statuses = ["passed"] * 12 + ["failed"] * 5 + list(REASONS)
    for i in range(n):
        status = statuses[i] if i < len(statuses) else drawn.choice(statuses)
        size, accuracy = int(10 ** drawn.uniform(2.9, 4.39)), round(1 - 10 ** drawn.uniform(-2.3, -1.32), 4)
        if status == "failed" and i % 2:
            size *= 40
        elif status == "failed":
            accuracy = round(1 - 10 ** drawn.uniform(-1.29, -0.2), 4)
        changes = {"parameters": size, "buffers": 128 * (i % 9 == 0)} if status in points.SCORED else {}
        grades.append(a_grade(f"{NAMES[i % len(NAMES)]} {i}", status, accuracy, log="epoch 1\n" * (i % 3), **changes))
        if i % 11 == 0 and status in points.SCORED:
            grades[-1].not_verified("it cannot become a graph: model.py, line 31: if x.mean() > 0")
    return grades


def a_book(out: Path, grades: list[Grade], criteria=RUBRIC) -> gradebook.Gradebook:
    book = gradebook.Gradebook(out, out.parent / "class", criteria, SETTINGS)
    for grade in grades:
        book.add(grade)
    book.close()
    return book


def class_page(*grades: Grade, criteria=RUBRIC) -> str:
    return page.class_page([points.score(grade, criteria) for grade in grades], SETTINGS, criteria)


def student(grade: Grade, criteria=RUBRIC, median=()) -> str:
    return student_page.student_page(points.score(grade, criteria), LIMITS, median)


def text_of(content: str) -> str:
    """What a reader sees: no tags, one space for any."""
    body = re.sub(r"<(style|script|title)>.*?</\1>", " ", content, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def rows_of(content: str, label: str) -> list[list[str]]:
    """The cells of the table with a label, header first."""
    found = re.search(rf'aria-label="{label}">(.*?)</table>', content, re.DOTALL)[1]
    return [[text_of(c) for c in re.findall(r"<t[dh][ >].*?</t[dh]>", row)] for row in re.findall("<tr.*?</tr>", found)]


def links_of(content: str) -> list[str]:
    return [attributes["href"] for _, attributes in Wellformed(content).found if "href" in attributes]


@pytest.fixture(scope="module")
def the_class() -> list[Grade]:
    return a_class()


@pytest.fixture(scope="module")
def written(the_class, tmp_path_factory) -> Path:
    """The folder of a class."""
    folder = tmp_path_factory.mktemp("grades")
    a_book(folder, the_class)
    return folder


@pytest.fixture(scope="module")
def report(written) -> str:
    return (written / "report.html").read_text(encoding="utf-8")


class TestThePageOfAClass:
    def test_tells_what_is_asked_when_it_was_graded_and_the_scores_in_short(self, report):
        text = text_of(report)
        asked = "Fewer than 25,000 parameters, at least 95.00 % of the test images of mnist, exactly one augmented"
        assert asked in text and "median of 3 seeds" in text and "Graded until 2026-05-03 14:05." in text
        assert "Isolation granted: processes, landlock, namespaces." in text
        grades = [a_grade("a"), a_grade("b", "failed", 0.9), a_grade("c"), a_grade("d", "machine_error")]
        assert "students 4 passed 2 mean score 80 of 100 median score 100 of 100" in text_of(class_page(*grades))

    def test_counts_every_status_that_occurs_and_no_other(self, report, the_class):
        shown = dict(re.findall(r'<input type="radio"[^>]*> ([\w ]+) <strong>([\d,]+)</strong>', report))
        counted = Counter(grade.status.replace("_", " ") for grade in the_class)
        unverified = sum(grade.verified is False for grade in the_class)
        expected = {"all": 120, **counted, "not verified": unverified}
        assert {name: int(count) for name, count in shown.items()} == expected
        assert "timeout <strong>" not in class_page(a_grade()) and "not verified" not in class_page(a_grade())

    def test_needs_nothing_beside_it_and_runs_no_script_but_its_own(self, report):
        assert not [link for link in links_of(report) if not link.startswith(("students/", "data:,"))]
        assert not re.search(r"url\(|@import|fetch\(|XMLHttp| on\w+=| style=|unsafe", report)
        script = re.search(r"<script>(.*?)</script>", report, re.DOTALL)[1]
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', report)[1])
        assert (
            policy.startswith("default-src 'none'; style-src 'sha256-") and f"script-src 'sha256-{allowed}'" in policy
        )

    def test_links_every_student_to_a_page_that_is_there(self, report, written, the_class):
        links = {link for link in links_of(report) if link.startswith("students/")}
        assert links == {f"students/{file_name(grade.student)}.html" for grade in the_class}
        assert all((written / link).is_file() for link in links)

    def test_has_a_row_for_each_student_with_figures_as_people_write_them(self):
        grade = a_grade("Zoë, M.", "failed", 0.949999, parameters=24_000, buffers=1_024, reason="x" * 999)
        odd = a_grade("odd", verified=False, unverified_because=[("it is odd", "")])
        heads, *rows = rows_of(class_page(grade, a_grade("b"), odd, a_grade("c", "machine_error")), "Gradebook")
        first, second, third, last = (dict(zip(heads, row, strict=True)) for row in rows)
        assert first.pop("Reason") == "x" * 139 + "…"
        assert first == {"Student": "Zoë, M.", "Score": "99.8", "Rank": "", "Status": "failed", "Accuracy": "94.99 %",
            "Parameters": "24,000 +1,024", "Seconds": "4.46"}  # fmt: skip
        assert (second["Rank"], second["Reason"]) == ("1", ""), "of a pass the columns say all"
        assert (third["Rank"], third["Status"], third["Reason"]) == ("", "passed, not verified", "it is odd")
        assert [head for head, content in last.items() if content] == ["Student", "Status", "Reason"]

    def test_shows_the_rubric_in_words(self):
        others = (("Small", "parameters", 40, 10_000, 50_000), ("Exact", "accuracy", 5, 0.98, 0.9))
        criteria = [RUBRIC[0], *(points.Criterion(*each) for each in others)]
        assert rows_of(class_page(a_grade(), criteria=criteria), "The rubric") == [
            ["Criterion", "All points at", "None at", "Points"], ["Builds, trains and answers", "", "", "10"],
            ["Small", "10,000 or less", "50,000 or more", "40"], ["Exact", "98.00 % or more", "90.00 % or less", "5"],
        ]  # fmt: skip

    def test_leads_with_the_best_ten_and_says_how_many_are_ranked(self, report, the_class):
        best = max((g for g in the_class if g.status == "passed" and g.verified), key=lambda g: g.accuracy)
        leaders = re.findall("<li>(.*?)</li>", report)
        assert len(leaders) == 10 and text_of(leaders[0]).startswith(f"{best.student} : {percent(best.accuracy)}, ")
        ranked = sum(grade.status == "passed" and grade.verified for grade in the_class)
        assert f"The first 10 of {ranked}" in text_of(report)

    def test_says_that_grades_were_given_under_other_limits(self):
        other = a_grade("old")
        other.settings["limits"] = {"parameters": 9_000, "accuracy": 0.9}
        assert "1 of these grades were given under other limits" in text_of(class_page(a_grade(), other))
        assert "other limits" not in class_page(a_grade())

    @pytest.mark.parametrize("grades, words", [
        ([], ("Nobody has been graded yet", "Nobody has passed yet")),
        ([a_grade("a", "invalid"), a_grade("b", "crashed")], ("Nobody has passed yet", "invalid 1", "mean score 0 of")),
        ([a_grade("a", "machine_error")], ("machine error 1",)),
        ([a_grade("a", "failed", accuracy=0.3)], ("Nobody has passed yet", "failed 1")),
    ])  # fmt: skip
    def test_of_a_class_without_results_says_so(self, grades, words):
        content = class_page(*grades)
        Wellformed(content)
        assert all(each in text_of(content) for each in words)


class TestTheCharts:
    @staticmethod
    def scatter(*grades: Grade):
        return page.scatter([points.score(grade, RUBRIC) for grade in grades], LIMITS, lambda _: "one")

    def test_each_status_has_its_own_mark_hollow_where_it_is_not_verified(self):
        late = a_grade("late")
        late.status = "rejected"
        grades = [a_grade("a"), a_grade("b", "failed"), a_grade("c", verified=False), late, a_grade("d", "invalid")]
        found = {point["href"][9:-5]: point for point in self.scatter(*grades).points}
        kinds = {name: f"{point['kind']} {point['classes']}" for name, point in found.items()}
        assert kinds == {"a": "passed one", "b": "failed one", "c": "passed one hollow", "late": "other one"}
        assert found["c"]["title"] == "c: passed, not verified, 98.12 %, 18,250 parameters"

    def test_what_is_within_the_limits_and_nothing_else_lies_in_the_shaded_corner(self):
        corner = a_grade("corner", parameters=24_000, buffers=999, accuracy=0.95)
        chart = self.scatter(corner, a_grade("big", "failed", parameters=25_500), a_grade("low", "failed", 0.9499))
        (area,) = chart.areas
        inside = {
            p["href"][9:-5]: p["x"] <= area["x"] + area["width"] and p["y"] <= area["y"] + area["height"]
            for p in chart.points
        }
        assert inside == {"corner": True, "big": False, "low": False}

    def test_the_histogram_has_every_scored_student_in_the_bar_of_the_score(self):
        grades = [*(a_grade(name) for name in "ab"), a_grade("c", "failed", 0.9), a_grade("d", "invalid")]
        chart = page.histogram([points.score(grade, RUBRIC) for grade in [*grades, a_grade("e", "machine_error")]])
        titles = ["0 to 10 points: 1 other", "40 to 50 points: 1 failed", "90 to 100 points: 2 passed"]
        assert [area["title"] for area in chart.areas] == titles
        assert chart.areas[2]["height"] == pytest.approx(2 * chart.areas[0]["height"], abs=0.2)
        assert [text for _, text in chart.y.ticks(0.05)] == ["0", "1", "2"]


class TestAStudentsPage:
    def test_has_assignment_verdict_points_limits_runs_prints_and_settings(self):
        grade = a_grade("Zoë", "failed", 0.9, buffers=750, reason="because", log="hello\r\nthere\n")
        content = student(grade)
        Wellformed(content)
        start = "The efficient-MNIST challenge Zoë Fewer than 25,000 parameters, at least 95.00 % of the test images"
        assert text_of(content).startswith(start) and "failed : 40 of 100 points because" in text_of(content)
        size = ["Fewer than 25,000 parameters", "19,000", "24,999 or less", "50,000 or more", "30", "30"]
        assert rows_of(content, "Points")[1:3] == [["Builds, trains and answers", "", "", "", "10", "10"], size]
        limits = {row[0]: row[1:] for row in rows_of(content, "Limits")[1:]}
        assert limits["Parameters"][::2] == ["fewer than 25,000", "yes"] and "6,000 below" in limits["Parameters"][1]
        assert limits["Accuracy"][::2] == ["at least 95.00 %", "no"] and "5.00 points below" in limits["Accuracy"][1]
        assert limits["One epoch"] == ["each training image once", "60,000 images seen", "yes"]
        heads, *runs = rows_of(content, "Runs")
        assert dict(zip(heads, runs[1], strict=True)) == {"Run": "seed 1", "Accuracy": "90.00 %",
            "In training": "85.00 %", "Before training": "10.32 %", "Parameters": "18,250", "Other numbers": "750",
            "Seconds": "4.46", "Memory, MB": "412", "Images seen": "60,000"}  # fmt: skip
        assert "<pre>hello\nthere\n</pre>" in content and "<script" not in content
        assert all(word in text_of(content) for word in ("0, 1, 2", "2,048 MB", "torch 2.9", "2026-05-03 14:05"))

    def test_shows_how_the_median_run_learned_and_what_it_misread(self):
        grade = a_grade("eve", accuracy=0.9)
        assert [bool(run.curve and run.confusion and run.confused) for run in grade.runs] == [False, True, False]
        content = student(grade)
        text = text_of(content)
        assert (
            "Seed 1, the run with the median accuracy" in text and "Most often, 4 was taken for 9: 98 of 982." in text
        )
        assert content.count("<img") == 12 and "4 → 9, 97 %" in text.replace("\u00a0", " ")
        assert content.count('class="dot passed"') == 25

    def test_compares_with_the_median_of_at_least_five_complete_curves(self):
        grades = [a_grade(name, accuracy=0.9 + i / 100) for i, name in enumerate("abcd")]
        broken = a_grade("e")
        broken.median.curve = broken.median.curve[:3]
        assert student_page.median_curve([*grades, broken, a_grade("f", "invalid")]) == []
        median = student_page.median_curve([*grades, a_grade("g", accuracy=0.1)])
        assert median[-1] == (60_000, pytest.approx(0.91 * 25 / 26, abs=1e-3)) and len(median) == 25
        assert "median of the class" in student(a_grade(), median=median)
        assert "median of the class" not in student(a_grade())

    def test_tells_what_to_do_next(self):
        for grade in (a_grade("eve", "failed", accuracy=0.9), a_grade()):
            steps = next_steps(grade, LIMITS)
            assert steps and all(f"<li>{html.escape(step)}</li>" in student(grade) for step in steps)

    @pytest.mark.parametrize("status", list(REASONS))
    def test_of_what_did_not_run_has_no_figures(self, status):
        text = text_of(student(a_grade("eve", status)))
        assert REASONS[status] in text.replace("\u00a0", " ") and "It did not come to a run." in text
        assert ("not graded yet" in text) == (status == "machine_error") and "How it learned" not in text
        assert all(row[2:] == ["", ""] for row in rows_of(student(a_grade("eve", status)), "Limits")[1:])

    def test_of_a_run_that_diverged_says_at_which_step(self):
        grade = a_grade("eve", "failed", accuracy=0.098)
        grade.runs[1] = a_run(1, 0.098, diverged_at=17, images_seen=1_088, curve=[], confusion=None, confused=None)
        assert "the loss stopped being a number at step 17" in rows_of(student(grade), "Runs")[2]
        assert rows_of(student(grade), "Limits")[3][2:] == ["1,088, 60,000 images seen", "no"]

    def test_shows_the_limits_that_the_grade_was_given_under(self):
        grade = a_grade()
        grade.settings["limits"] = {"parameters": 20_000, "accuracy": 0.9}
        assert rows_of(student(grade), "Limits")[1][1] == "fewer than 20,000"
        grade.settings = {"limits": "lost"}
        assert rows_of(student(grade), "Limits")[1][1] == "fewer than 25,000"

    def test_names_nobody_else(self, written, the_class):
        for grade in the_class[:20]:
            content = (written / "students" / f"{file_name(grade.student)}.html").read_text(encoding="utf-8")
            others = {other.student for other in the_class} - {grade.student}
            assert not [name for name in others if re.search(rf"{re.escape(name)}(?!\d)", text_of(content))]
            assert links_of(content) == ["data:,"]


class TestStudentsPagesOnDisk:
    def test_come_with_the_grade(self, tmp_path):
        a_book(tmp_path / "grades", []).add(a_grade())
        assert {path.name for path in (tmp_path / "grades" / "students").iterdir()} == {"eve.json", "eve.html"}
        assert a_book(tmp_path / "grades", []).grades["eve"].runs == a_grade().runs

    def test_are_written_again_where_missing_or_of_another_rubric_and_else_left_alone(self, tmp_path):
        a_book(tmp_path / "grades", [a_grade(name) for name in "abc"])
        pages = {name: tmp_path / "grades" / "students" / f"{name}.html" for name in "abc"}
        pages["a"].unlink()
        pages["b"].write_text("another")
        before = pages["c"].stat().st_mtime_ns, pages["c"].stat().st_ino
        a_book(tmp_path / "grades", [])
        assert all("of 100 points" in text_of(path.read_text(encoding="utf-8")) for path in pages.values())
        assert (pages["c"].stat().st_mtime_ns, pages["c"].stat().st_ino) == before
        a_book(tmp_path / "grades", [], [points.Criterion("Small", "parameters", 7, 10_000, 50_000)])
        assert all("of 7 points" in text_of(path.read_text(encoding="utf-8")) for path in pages.values())


ATTRIBUTES = frozenset(
    "lang charset name content http-equiv rel href class id scope type value checked tabindex role aria-label hidden "
    "src placeholder data-value data-head title alt viewbox xmlns d x y width height transform text-anchor".split()
)


class TestHostileText:
    @pytest.mark.parametrize("text", HOSTILE_HERE)
    def test_is_only_text_on_both_pages(self, text):
        name, many = text.replace("\ud800", ""), {"reason": text, "log": text, "isolation": [text]}
        grades = [
            a_grade(name, **many, unverified_because=[(text, text)], verified=False, versions={text: text}, date=text),
            a_grade(f"b{name}", "invalid", **many, advice=text),
            a_grade(f"c{name}", text, model=text),
        ]
        criteria = [points.Criterion(text, "accuracy", 9, 0.9, 0.1)]
        pages = [class_page(*grades, criteria=criteria), *(student(g, criteria) for g in grades)]
        for content in pages:
            found = Wellformed(content).found
            assert not UNFIT.search(content) and {n for _, attributes in found for n in attributes} <= ATTRIBUTES
            assert not {tag for tag, _ in found} & {"b", "iframe", "base"} and [t for t, _ in found].count("h1") == 1
            assert all(each["href"].startswith(("data:,", "students/")) for _, each in found if "href" in each)
            content.encode()
        assert pages[0].count("<script") == 1 and "<script" not in "".join(pages[1:])

    def test_is_shortened_for_the_class_and_whole_for_the_student(self):
        grade = a_grade("n" * 2000, "failed", reason="w " * 1000)
        assert "n" * 61 not in class_page(grade).replace(file_name(grade.student), "")
        assert grade.student in student(grade) and grade.reason in student(grade)

    def test_keeps_names_of_every_script(self, report):
        for name in ("Zoë Müller", "名前 太郎", "נועה כהן", "Nguyễn Thị Minh Khai", "O&#39;Brien, Siobhán"):
            assert f"<bdi>{name} " in report


def shown(browser, selector: str) -> list[str]:
    """The text of the elements that are displayed."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(e => e.getBoundingClientRect().width)"
        ".map(e => e.textContent.trim());", selector)  # fmt: skip


def set_width(browser, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


class TestInABrowser:
    @pytest.fixture
    def opened(self, browser, written):
        set_width(browser, 1280)
        browser.get((written / "report.html").as_uri())
        return browser

    @pytest.mark.parametrize("width", [390, 1280])
    def test_no_page_scrolls_sideways_and_none_complains(self, browser, written, tmp_path, width):
        odd = [a_grade(f"{text} {i}".replace("\ud800", ""), reason=text, log=text) for i, text in enumerate(HOSTILE)]
        a_book(tmp_path, odd)
        set_width(browser, width)
        pages = [written / "report.html", tmp_path / "report.html", *sorted((tmp_path / "students").glob("*.html"))]
        for path in [*pages, *sorted((written / "students").glob("*.html"))[:12]]:
            browser.get(path.as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth;") <= width, path.name
        browser.get((written / "report.html").as_uri())
        for box in browser.find_elements("css selector", ".wide"):
            assert browser.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth;", box)
        assert browser.get_log("browser") == []

    def test_columns_sort_by_mouse_and_keyboard_with_blanks_last(self, opened, the_class):
        buttons = {
            button.text.split("\u00a0")[0]: button for button in opened.find_elements("css selector", "th button")
        }
        scores = sorted(points.score(g, RUBRIC).score or 0 for g in the_class if g.status != "machine_error")
        for direction, order in (("ascending", scores), ("descending", scores[::-1])):
            buttons["Score"].click()
            found = shown(opened, ".sortable tbody td:nth-child(2)")
            assert [float(text) for text in found[: len(order)]] == order and set(found[len(order) :]) == {""}
            assert buttons["Score"].find_element("xpath", "..").get_attribute("aria-sort") == direction
        buttons["Parameters"].send_keys("\ue007")  # Enter
        found = [text.replace(",", "") for text in shown(opened, ".sortable tbody td:nth-child(5)") if text]
        sizes = [sum(map(int, text.split(" +"))) for text in found]
        assert sizes == sorted(sizes) and len(set(sizes)) > 30
        assert len(opened.find_elements("css selector", "[aria-sort]")) == 1

    def test_search_and_filters_show_only_those_rows_and_points(self, opened, the_class):
        rows, marks = ".sortable tbody tr", "a.one"
        assert len(shown(opened, rows)) == 120
        assert len(shown(opened, marks)) == sum(grade.accuracy is not None for grade in the_class)
        labels = {
            label.text.rsplit(" ", 1)[0].strip(): label for label in opened.find_elements("css selector", "label")
        }
        for name in ("failed", "out of memory", "not verified"):
            labels[name].click()
            assert len(shown(opened, rows)) == int(labels[name].text.rsplit(" ", 1)[1]) > 0, name
        labels["failed"].click()
        failed = [grade.student for grade in the_class if grade.status == "failed"]
        assert len(shown(opened, marks)) == len(failed)
        opened.find_element("css selector", ".search").send_keys("MÜLLER zoë")
        mullers = {name for name in failed if name.startswith("Zoë Müller")}
        assert mullers and set(shown(opened, f"{rows} th")) == mullers and len(shown(opened, marks)) == len(mullers)
        labels["all"].click()
        opened.find_element("css selector", ".search").clear()
        opened.find_element("css selector", ".counts :checked").send_keys("\ue014")  # the right arrow: "passed"
        assert {text.split(",")[0] for text in shown(opened, ".sortable tbody td:nth-child(4)")} == {"passed"}

    def test_a_point_leads_to_the_students_page(self, opened, written):
        title, target = opened.execute_script("""const point = document.querySelector("a.one");
            return [point.querySelector("title").textContent, point.href.baseVal];""")
        opened.get((written / target).as_uri())
        assert title.startswith(opened.find_element("css selector", "h1").text + ": ")
