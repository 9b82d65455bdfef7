"""What a teacher opens and what a student gets back: grades/report.html and students/NAME.html.

The class is made up: 200 students with every status, names and reasons as odd as people write them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import random
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grading import gradebook, points
from grading.feedback import next_steps
from grading.grades import Grade, Run, Settings, file_name
from grading.page import to_page
from grading.scatter import SHAPES, scatter
from grading.student_page import to_student_page
from helpers import drawings
from mnist_efficient_model import Limits, percent
from pages import UNFIT

LIMITS = Limits()
SETTINGS = Settings(LIMITS, "mnist", (0, 1, 2), None, 300.0, 2048 << 20)
RUBRIC = points.default_rubric(LIMITS)
NAMES = ("Zoë Müller", "O'Brien, Siobhán", "García Márquez, Gabriel", "名前 太郎", "נועה כהן", "Nguyễn Thị Minh Khai",
    "smith-j", "Łukasz Żółć", 'Anne "Annie" Lee', "d'Arc, Jeanne", "student", "Øystein Å")  # fmt: skip
REASONS = {
    "invalid": 'model.py, line 14: self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding="sane"): ValueError: Invalid '
    "padding string 'sane', should be one of {'valid', 'same'}, while the model was built without arguments",
    "rejected": "before any training it gets 97.10 % right, where chance is 10 %: it was trained before",
    "timeout": "it took longer than 300 s to train: the grader allows 300 s for each child",
    "out_of_memory": "it wanted more than 2,048 MB of memory while training",
    "crashed": "its process died with signal 11 (segmentation fault) during the export of its graph",
    "machine_error": "the grading machine failed (no space left): grade again; this is not the student's fault",
}  # fmt: skip


def a_grade(student: str = "eve", status: str = "passed", **changes) -> Grade:
    """A grade with the figures that its status has: three seeds for those that ran."""
    facts = {"student": student, "status": status, "reason": REASONS.get(status, "fine"), "versions": {"torch": "2.9"},
        "settings": {"limits": {"parameters": 25_000, "accuracy": 0.95}, "dataset": "mnist", "seeds": [0, 1, 2],
            "seconds": 300.0, "memory": 2048 << 20, "model_name": None, "verified_only": False}}  # fmt: skip
    if status in points.SCORED:
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
        if status in points.SCORED:
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
                changes |= {
                    "verified": False,
                    "unverified_because": [(doubt, "")],
                    "reason": f"{reason} (not verified: {doubt})",
                }
        grades.append(a_grade(name, status, **changes))
    return grades


def a_book(out: Path, grades: list[Grade], criteria=RUBRIC) -> gradebook.Gradebook:
    book = gradebook.Gradebook(out, out.parent / "class", criteria, SETTINGS)
    for grade in grades:
        book.add(grade)
    book.close()
    return book


def write_class(out: Path, grades: list[Grade]) -> Path:
    a_book(out, grades)
    return out / "report.html"


def text_of(page: str) -> str:
    """What a reader sees of a page: no tags, one space for any."""
    body = re.sub(r"<(style|script|title)>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def rows_of(page: str, table: str) -> list[list[str]]:
    """The cells of the table with a label, header first."""
    found = re.search(rf'aria-label="{table}">(.*?)</table>', page, re.DOTALL)[1]
    return [[text_of(c) for c in re.findall(r"<t[dh].*?</t[dh]>", row)] for row in re.findall("<tr.*?</tr>", found)]


ATTRIBUTES = frozenset(
    "lang charset name content http-equiv rel href class id scope type checked tabindex role aria-label aria-hidden "
    "data-value viewbox d x y transform text-anchor".split()
)


class Wellformed(HTMLParser):
    """Every tag is closed in turn, no id occurs twice, every attribute is one of the pages' own."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.ids, self.links = [], [], []
        self.feed(page)
        self.close()
        assert self.open == [] and len(set(self.ids)) == len(self.ids)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attributes} <= ATTRIBUTES, (tag, attributes)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name == "href"]
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def the_class() -> list[Grade]:
    return a_class()


@pytest.fixture(scope="module")
def written(the_class, tmp_path_factory) -> Path:
    """The folder of a class of 200."""
    folder = tmp_path_factory.mktemp("grades")
    write_class(folder, the_class)
    return folder


@pytest.fixture(scope="module")
def page(written) -> str:
    return (written / "report.html").read_text(encoding="utf-8")


def page_of(*grades: Grade, criteria=RUBRIC) -> str:
    return to_page([points.score(grade, criteria) for grade in grades], SETTINGS, criteria)


def student_page(grade: Grade, criteria=RUBRIC) -> str:
    return to_student_page(points.score(grade, criteria), LIMITS)


# --- The class --------------------------------------------------------------------------------------------------------


class TestThePageOfAClass:
    def test_tells_first_what_is_asked_then_counts_then_the_rest_in_order(self, page):
        text = text_of(page)
        assert "fewer than 25,000 parameters, at least 95.00 % of the test images of mnist" in text
        assert "the median of 3 seeds, 0 to 2. Isolation granted: processes, landlock, namespaces." in text
        parts = ("Asked:", "passed 1", "Accuracy over parameters", "Rubric", "Gradebook", "Leaderboard")
        places = [text.index(part) for part in parts]
        assert places == sorted(places)

    def test_counts_every_status_that_occurs_and_no_other(self, page, the_class):
        shown = dict(re.findall(r'<input type="radio"[^>]*> ([\w ]+) <strong>([\d,]+)</strong>', page))
        counted = Counter(grade.status.replace("_", " ") for grade in the_class)
        unverified = sum(grade.verified is False for grade in the_class)
        expected = {"all": 200, **counted, "not verified": unverified}
        assert {name: int(count) for name, count in shown.items()} == expected
        assert "timeout <strong>" not in page_of(a_grade()) and "not verified <strong>" not in page_of(a_grade())

    def test_needs_nothing_beside_it_and_runs_no_script_but_its_own(self, page):
        parsed = Wellformed(page)
        assert not [link for link in parsed.links if not link.startswith(("students/", "data:,"))]
        assert not re.search(r"url\(|@import|fetch\(|XMLHttp| on\w+=| style=", page)
        script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert "default-src 'none'; style-src 'sha256-" in page and f"script-src 'sha256-{allowed}';" in page
        assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
        assert "unsafe" not in page

    def test_links_every_student_to_a_page_that_is_there(self, page, written, the_class):
        links = {link for link in Wellformed(page).links if link.startswith("students/")}
        assert links == {f"students/{file_name(grade.student)}.html" for grade in the_class}
        assert all((written / link).is_file() for link in links)

    def test_has_a_row_for_each_student_with_figures_as_people_write_them(self):
        grade = a_grade(
            "Zoë, M.", accuracy=0.949999, parameters=24_000, buffers=1_024, status="failed", reason="x" * 999
        )
        heads, cells = rows_of(page_of(grade), "Gradebook")
        row = dict(zip(heads, cells, strict=True))
        assert row.pop("Reason") == "x" * 139 + "…"
        assert row == {"Student": "Zoë, M.", "Score": "99.8", "Status": "failed", "Verified": "yes",
            "Parameters": "24,000 +1,024", "Accuracy": "94.99 %", "Seconds": "4.46", "Code, bytes": "412"}  # fmt: skip
        assert not re.search(r">\d+\.\d{3,}", page_of(grade)), "a raw float"

    def test_leaves_blank_what_was_not_measured(self):
        heads, cells = rows_of(page_of(a_grade("eve", "machine_error")), "Gradebook")
        assert [head for head, content in zip(heads, cells, strict=True) if content] == ["Student", "Status", "Reason"]

    def test_shows_the_rubric(self):
        criteria = [points.Criterion("Small", "parameters", 40, 10_000, 50_000),
            points.Criterion("Quick", "train_seconds", 5, 2, 30.5)]  # fmt: skip
        assert rows_of(page_of(a_grade(), criteria=criteria[:2]), "The rubric")[1:] == [
            ["Small", "parameters", "10,000 to 50,000", "40"], ["Quick", "train seconds", "2.00 s to 30.50 s", "5"],
            ["All", "", "", "45"]]  # fmt: skip

    def test_ranks_the_first_twenty_who_passed_and_says_how_many_there_are(self, page, the_class):
        board = rows_of(page, "Leaderboard")[1:]
        best = max((g for g in the_class if g.status == "passed" and g.verified), key=lambda g: g.accuracy)
        assert len(board) == 20 and board[0][1] == best.student and board[-1][0] == "20"
        ranked = sum(grade.status == "passed" and grade.verified for grade in the_class)
        assert f"The first 20 of {ranked}" in text_of(page)

    def test_says_that_grades_were_given_under_other_limits(self):
        other = a_grade("old")
        other.settings["limits"] = {"parameters": 9_000, "accuracy": 0.9}
        assert "1 of these grades were given under other limits" in text_of(page_of(a_grade(), other))
        assert "other limits" not in page_of(a_grade())

    @pytest.mark.parametrize("grades, words", [
        ([], ("Nobody has been graded yet", "No accuracy has been measured yet", "Nobody has passed yet")),
        ([a_grade("a", "invalid"), a_grade("b", "crashed")], ("No accuracy has been measured yet", "invalid 1")),
        ([a_grade("a", "failed", accuracy=0.3)], ("Nobody has passed yet", "failed 1")),
    ])  # fmt: skip
    def test_of_a_class_without_results_says_so(self, grades, words):
        page = page_of(*grades)
        Wellformed(page)
        assert all(each in text_of(page) for each in words)


class TestTheScatter:
    def points(self, *grades: Grade) -> dict[str, tuple[str, str, float, float]]:
        """By name: the classes of its mark, its title, its place."""
        drawn = scatter([points.score(grade, RUBRIC) for grade in grades], LIMITS, lambda name: name, lambda _: "one")
        mark = r'href="(.*?)".*?<title>(.*?)</title><g transform="translate\((\S+) (\S+)\)"><path class="mark (.*?)"'
        found = re.findall(mark, drawn)
        return {link: (kinds, title.replace("\u00a0", " "), float(x), float(y)) for link, title, x, y, kinds in found}

    def test_draws_each_status_in_its_own_shape_and_hollow_what_is_not_verified(self):
        late = a_grade("late", "passed")
        late.status = "rejected"
        found = self.points(
            a_grade("a"), a_grade("b", "failed"), a_grade("c", verified=False), late, a_grade("d", "invalid")
        )
        assert {name: kinds for name, (kinds, *_) in found.items()} == {
            "a": "passed", "b": "failed", "c": "passed hollow", "late": "other"}  # fmt: skip
        assert found["c"][1] == "c: passed, 98.12 %, 18,250 parameters, not verified"
        assert len({*SHAPES.values()}) == 3

    def test_shades_exactly_what_is_within_the_limits(self):
        corner = a_grade("corner", parameters=24_000, buffers=999, accuracy=0.95)
        grades = [corner, a_grade("big", "failed", parameters=25_500), a_grade("low", "failed", accuracy=0.9499)]
        drawn = scatter([points.score(g, RUBRIC) for g in grades], LIMITS, str, str)
        left, top, right, bottom = map(float, re.search(r'"area" d="M(\S+) (\S+?)H(\S+?)V(\S+?)H', drawn).groups())
        inside = {
            name: left <= x <= right and top <= y <= bottom for name, (_, _, x, y) in self.points(*grades).items()
        }
        assert inside == {"corner": True, "big": False, "low": False}

    def test_has_parameters_on_a_logarithmic_axis_from_left_to_right_and_accuracy_upwards(self):
        sizes = {"a": 100, "b": 1_000, "c": 10_000}
        found = self.points(*(a_grade(name, parameters=n) for name, n in sizes.items()), a_grade("d", accuracy=0.99))
        assert (
            found["b"][2] - found["a"][2] == pytest.approx(found["c"][2] - found["b"][2], abs=0.11)
            and found["b"][2] > 100
        )
        assert found["d"][3] < found["a"][3] == found["c"][3]

    @pytest.mark.parametrize("accuracies", [(1.0,), (0.0,), (0.0, 1.0), (0.95, 0.95)])
    def test_stays_within_its_frame(self, accuracies):
        grades = [a_grade(str(i), parameters=10**6 * i, accuracy=a) for i, a in enumerate(accuracies)]
        assert all(84 <= x <= 628 and 12 <= y <= 328 for _, _, x, y in self.points(*grades).values())


# --- A student --------------------------------------------------------------------------------------------------------


class TestAStudentsPage:
    def test_has_verdict_points_limits_runs_prints_and_settings(self):
        page = student_page(
            a_grade("Zoë", "failed", accuracy=0.9, buffers=750, reason="because", log="hello\r\nthere\n")
        )
        Wellformed(page)
        assert "failed 40 of 100 points because" in text_of(page)
        assert rows_of(page, "Points")[1] == ["Builds, trains and answers", "", "", "10", "10"]
        assert rows_of(page, "Points")[2][:4] == ["Fewer than 25,000 parameters", "19,000", "24,999 to 50,000", "30"]
        limits = {row[0]: row[1:] for row in rows_of(page, "Limits")[1:]}
        assert limits["Parameters"][::2] == ["fewer than 25,000", "yes"] and "6,000 below" in limits["Parameters"][1]
        assert limits["Accuracy"][::2] == ["at least 95.00 %", "no"] and "5.00 points below" in limits["Accuracy"][1]
        assert limits["One epoch"] == ["each training image once", "60,000 images seen", "yes"]
        heads, *runs = rows_of(page, "Runs")
        assert dict(zip(heads, runs[1], strict=True)) == {"Seed": "1", "Accuracy": "90.00 %", "In training": "85.00 %",
            "Before training": "10.32 %", "Parameters": "18,250", "Other numbers": "750", "Seconds": "4.46",
            "Memory, MB": "412", "Images seen": "60,000", "Classes called": "3 1 4 0 5 9 2 6 8 7"}  # fmt: skip
        assert "<pre>hello\nthere\n</pre>" in page
        assert all(word in text_of(page) for word in ("mnist", "0, 1, 2", "2,048 MB", "torch 2.9"))

    def test_tells_what_to_do_next(self):
        grade = a_grade("eve", "failed", accuracy=0.9)
        steps = next_steps(grade, LIMITS)
        assert steps and all(f"<li>{html.escape(step)}</li>" in student_page(grade) for step in steps)

    @pytest.mark.parametrize("status", list(REASONS))
    def test_of_what_did_not_run_has_no_figures(self, status):
        page = student_page(a_grade("eve", status))
        Wellformed(page)
        text = text_of(page)
        assert REASONS[status] in text.replace("\u00a0", " ") and "It did not come to a run." in text
        assert ("not graded yet" in text) == (status == "machine_error")
        assert all(row[2:] == ["", ""] for row in rows_of(page, "Limits")[1:])

    def test_of_a_run_that_diverged_says_at_which_step(self):
        grade = a_grade("eve", "failed", accuracy=0.098)
        grade.runs[1].diverged_at, grade.runs[1].images_seen = 17, 1_088
        page = student_page(grade)
        assert "the loss stopped being a number at step 17" in rows_of(page, "Runs")[2]
        assert rows_of(page, "Limits")[3][2:] == ["1,088, 60,000 images seen", "no"]

    def test_shows_the_limits_that_the_grade_was_given_under(self):
        grade = a_grade()
        grade.settings["limits"] = {"parameters": 20_000, "accuracy": 0.9}
        assert rows_of(student_page(grade), "Limits")[1][1] == "fewer than 20,000"
        grade.settings = {"limits": "lost"}
        assert rows_of(student_page(grade), "Limits")[1][1] == "fewer than 25,000"

    def test_tells_nothing_of_anybody_else(self, written, the_class):
        for grade in the_class[:20]:
            page = (written / "students" / f"{file_name(grade.student)}.html").read_text(encoding="utf-8")
            others = {other.student for other in the_class} - {grade.student}
            text = text_of(page)
            assert not [name for name in others if re.search(rf"{re.escape(name)}(?!\d)", text)]
            assert not re.search("similar|rank|leaderboard", text, re.IGNORECASE) and Wellformed(page).links == [
                "data:,"
            ]


class TestStudentsPagesOnDisk:
    def test_come_with_the_grade(self, tmp_path):
        a_book(tmp_path / "grades", []).add(a_grade())
        assert {path.name for path in (tmp_path / "grades" / "students").iterdir()} == {"eve.json", "eve.html"}
        assert a_book(tmp_path / "grades", []).grades["eve"].runs == a_grade().runs

    def test_are_written_again_where_missing_or_of_another_rubric_and_else_left_alone(self, tmp_path):
        grades = [a_grade(name) for name in "abc"]
        write_class(tmp_path / "grades", grades)
        pages = {name: tmp_path / "grades" / "students" / f"{name}.html" for name in "abc"}
        pages["a"].unlink()
        pages["b"].write_text("another")
        before = pages["c"].stat().st_mtime_ns, pages["c"].stat().st_ino
        a_book(tmp_path / "grades", [])
        assert all("of 100 points" in text_of(path.read_text(encoding="utf-8")) for path in pages.values())
        assert (pages["c"].stat().st_mtime_ns, pages["c"].stat().st_ino) == before
        a_book(tmp_path / "grades", [], [points.Criterion("Small", "parameters", 7, 10_000, 50_000)])
        assert all("of 7 points" in text_of(path.read_text(encoding="utf-8")) for path in pages.values())


# --- What students may write ------------------------------------------------------------------------------------------


HOSTILE = (
    "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "<!--",
    "&lt;b&gt;", "]]></svg><b>",
    "gpj.\u202eexe", "\u2066a\u2069", "\x1b[31mred\x00", "lone \ud800 surrogate", "{x} %s {{y}}",
    "</title></style><b>", "n" * 2000, "名" * 2000,
)  # fmt: skip


class TestHostileText:
    @pytest.mark.parametrize("text", HOSTILE)
    def test_is_only_text_on_both_pages(self, text):
        name, many = text.replace("\ud800", ""), {"reason": text, "log": text, "isolation": [text]}
        grades = [
            a_grade(name, **many, unverified_because=[(text, text)], verified=False, versions={text: text}),
            a_grade(f"b{name}", "invalid", **many),
            a_grade(f"c{name}", text),
        ]
        criteria = [points.Criterion(text, "accuracy", 9, 0.9, 0.1)]
        pages = [page_of(*grades, criteria=criteria), *(student_page(g, criteria) for g in grades)]
        for page in pages:
            Wellformed(page)  # knows every tag's attributes, and sees a tag that is not closed
            assert not UNFIT.search(page) and "<b>" not in page and "<img" not in page
            page.encode()
        assert len(re.findall("<script", pages[0])) == 1 and "<script" not in "".join(pages[1:])

    def test_is_shortened_for_the_class_and_whole_for_the_student(self):
        name, reason = "n" * 2000, "w " * 1000
        page = page_of(a_grade(name, reason=reason))
        assert len(page) < 25_000 and "n" * 61 not in page.replace(file_name(name), "")
        whole = student_page(a_grade(name, reason=reason))
        assert name in whole and reason in whole

    def test_keeps_names_of_every_script(self, page):
        for name in ("Zoë Müller", "名前 太郎", "נועה כהן", "Nguyễn Thị Minh Khai", "O&#x27;Brien, Siobhán"):
            assert f"<bdi>{name} " in page


# --- In Chromium ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    try:
        driver = drawings.open_browser(tmp_path_factory.mktemp("chromium"))
    except RuntimeError as missing:
        pytest.skip(str(missing))
    yield driver
    driver.quit()


def shown(browser, selector: str) -> list[str]:
    """The text of the elements that are displayed."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(e => e.getBoundingClientRect().width)"
        ".map(e => e.textContent.trim());", selector)  # fmt: skip


class TestInABrowser:
    @pytest.fixture
    def hostile(self, tmp_path) -> Path:
        grades = [a_grade(f"{text} {i}".replace("\ud800", ""), reason=text, log=text) for i, text in enumerate(HOSTILE)]
        write_class(tmp_path, grades)
        return tmp_path

    @pytest.mark.parametrize("width", [390, 1280, 1920])
    def test_no_page_scrolls_sideways(self, browser, written, hostile, width):
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        pages = [written / "report.html", hostile / "report.html", *sorted((hostile / "students").glob("*.html"))]
        for path in [*pages, *sorted((written / "students").glob("*.html"))[:20]]:
            browser.get(path.as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth;") <= width, path.name
        assert browser.get_log("browser") == []

    def test_the_gradebook_fits_a_laptops_screen_without_scrolling(self, browser, written):
        screen = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get((written / "report.html").as_uri())
        for box in browser.find_elements("css selector", ".wide"):
            assert browser.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth;", box)

    @pytest.mark.parametrize("mode, least", [("light", 200), ("dark", 0)])
    def test_follows_light_and_dark(self, browser, written, mode, least):
        feature = {"name": "prefers-color-scheme", "value": mode}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for path in (written / "report.html", next((written / "students").glob("*.html"))):
            browser.get(path.as_uri())
            paper, ink = browser.execute_script(
                "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color];")  # fmt: skip
            light, dark = sorted((sum(map(int, re.findall(r"\d+", c))) / 3 for c in (paper, ink)), reverse=True)
            assert light - dark > 150 and least <= sum(map(int, re.findall(r"\d+", paper))) / 3 <= least + 60
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def test_columns_sort_by_mouse_and_keyboard_with_blanks_last(self, browser, written, the_class):
        browser.get((written / "report.html").as_uri())
        buttons = {
            button.text.split("\u00a0")[0]: button for button in browser.find_elements("css selector", "th button")
        }
        scores = sorted(
            points.score(grade, RUBRIC).score or 0 for grade in the_class if grade.status != "machine_error"
        )
        for direction, order in (("ascending", scores), ("descending", scores[::-1])):
            buttons["Score"].click()
            found = shown(browser, ".sortable tbody td:nth-child(2)")
            assert [float(text) for text in found[: len(order)]] == order and set(found[len(order) :]) == {""}
            header = buttons["Score"].find_element("xpath", "..")
            assert header.get_attribute("aria-sort") == direction
        buttons["Parameters"].send_keys("\ue007")  # Enter
        found = [text.replace(",", "") for text in shown(browser, ".sortable tbody td:nth-child(5)") if text]
        sizes = [sum(map(int, text.split(" +"))) for text in found]
        assert sizes == sorted(sizes) and len(set(sizes)) > 50
        assert len(browser.find_elements("css selector", "[aria-sort]")) == 1

    def test_counts_show_only_those_rows_and_points(self, browser, written, the_class):
        browser.get((written / "report.html").as_uri())
        points = len(shown(browser, ".scatter a"))
        assert len(shown(browser, ".sortable tbody tr")) == 200 and points == sum(
            g.accuracy is not None for g in the_class
        )
        labels = {
            label.text.rsplit(" ", 1)[0].strip(): label
            for label in browser.find_elements("css selector", ".counts label")
        }
        for name in ("failed", "out of memory", "not verified"):
            labels[name].click()
            rows = shown(browser, ".sortable tbody tr")
            assert len(rows) == int(labels[name].text.rsplit(" ", 1)[1]) > 0, name
        labels["failed"].click()
        failed = [grade for grade in the_class if grade.status == "failed"]
        assert len(shown(browser, ".scatter a")) == len(failed)
        browser.find_element("css selector", ".counts :checked").send_keys("\ue012")  # the left arrow: "passed"
        assert set(shown(browser, ".sortable tbody td:nth-child(3)")) == {"passed"}
        labels["all"].click()
        assert len(shown(browser, ".sortable tbody tr")) == 200

    def test_a_point_leads_to_the_students_page(self, browser, written):
        browser.get((written / "report.html").as_uri())
        title, target = browser.execute_script("""const point = document.querySelector(".scatter a");
            return [point.querySelector("title").textContent, point.href.baseVal];""")
        browser.get((written / target).as_uri())
        assert title.startswith(browser.find_element("css selector", "h1").text + ": ")
