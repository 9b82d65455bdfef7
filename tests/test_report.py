"""pages/ and report/: one page and its charts from the JSON files alone; what cannot be used ends in one line."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
import mnist_efficient_model as challenge
import pages
from helpers import ROOT, a_result
from pages.chart import Axis, Chart, shared, short
from report import charts, page, results
from report.__main__ import main


def digit(n: int) -> str:
    """A made-up image as a run's JSON holds it."""
    rows = [bytes(255 if 4 + n <= y < 8 + n and 5 <= x < 23 else 0 for x in range(28)) for y in range(28)]
    return zlib.compress(b"".join(rows)).hex()


def a_run(model: str = "efficient", parameters: int = 8706, accuracy: float | None = 0.98, seed: int = 0, **other):
    """One run, written by hand."""
    held = {"parameters": parameters < 25_000, "accuracy": (accuracy or 0) >= 0.95, "one_epoch": True}
    right, classes = int(10 * (accuracy or 0)), [max(0, (accuracy or 0) - c / 100) for c in range(9)]
    confusion = [[{0: right, 3: 10 - right}.get((c - r) % 10, 0) for c in range(10)] for r in range(10)]
    mistakes = [{"index": i, "label": i, "predicted": (i + 3) % 10} for i in range(10)]
    confused = [{**m, "confidence": 0.9 - i / 100, "pixels": digit(i)} for i, m in enumerate(mistakes)]
    run = {"model": model, "dataset": "mnist", "scored_on": "test", "device": "cpu", "note": None, "seed": seed}
    run |= {"threads": 1, "parameters": parameters, "images_seen": 1000, "train_images": 1000, "test_images": 100}
    run |= {"macs": 10 * parameters, "latency_ms": 0.3, "peak_memory_mb": 412.0, "test_accuracy": accuracy}
    run |= {"train_seconds": 1.5 + parameters / 1e5 + seed, "limits": held, "passed": all(held.values())}
    run |= {"violations": [f"{limit} is broken" for limit, holds in held.items() if not holds]}
    run |= {"diverged_at": None if accuracy else 3, "config": {"lr": 0.02, "batch_size": 128, "optimizer": "adamw"}}
    run |= {"curve": [{"images": 100 * i, "loss": 2 / i, "accuracy": 1 - 1 / (i + 1)} for i in range(1, 11)]}
    run |= {"per_class_accuracy": [*classes, None], "confusion": confusion, "confused": confused}
    run |= {"versions": {"mnist_efficient_model": "2.2.0", "torch": "2.6"}}
    if accuracy is None:
        run |= dict.fromkeys(("per_class_accuracy", "confusion", "confused"))
    return {**run, **other}


def a_comparison(runs: list[dict], **other) -> dict:
    about = {run["model"]: {"idea": f"The idea of {run['model']} (LeCun, 1998)."} for run in runs}
    limits = {"parameters": 25_000, "accuracy": 0.95}
    return {"limits": limits, "models": about, "runs": runs, "failures": {}, **other}


def an_experiment(kind: str, table: list[list[str]] | None = None, **other) -> dict:
    head = {"experiment": kind, "question": "Which is best?", "command": f"python -m experiments.{kind}", "note": None}
    return {**head, "table": table or [["model", "ms"], ["a", "1.5"], ["b", ""]], **other}


def a_sweep(keys: list[str], points: list[tuple], accuracies: list[float | None]) -> dict:
    runs = [
        a_run("mlp_small", 24_000, accuracy, seed, scored_on="holdout", config=dict(zip(keys, point, strict=True)))
        for point, accuracy in zip(points, accuracies, strict=True)
        for seed in (0, 1)
    ]
    rows = [[*map(str, point), f"{a}", "2"] for point, a in zip(points, accuracies, strict=True)]
    return an_experiment("sweep", [[*keys, "mean %", "runs"], *rows], keys=keys, runs=runs)


MODELS = [a_run("efficient", seed=0), a_run("efficient", accuracy=0.985, seed=1), a_run("tiny", 258, 0.955)]
MODELS += [a_run("mlp", 400_000, 0.97), a_run("never_learned", 9_000, None, curve=[])]
HOSTILE = (
    "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "<!--",
    "&lt;b&gt;", "]]></svg><b>", "gpj.\u202eexe", "\u2066a\u2069", "\x1b[31mred\x00", "{{ 7 * 7 }}{% raw %}",
    "</title></style><b>", "lone \ud800 surrogate", "javascript:alert(1)", "<svg onload=alert(1)>", "n" * 2000,
    "名" * 2000, "&#x3c;b&#x3e;", "$x^2_{", "</text></a><b>", "`${alert(1)}`",
)  # fmt: skip


def groups(*runs: dict) -> list[results.Group]:
    return results.grouped(map(results.Run.read, runs))


def write(folder: Path, **documents: object) -> Path:
    folder.mkdir(exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


class Wellformed(HTMLParser):
    """Checks that every tag is closed, and gathers tags, attributes, and the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        assert not [name for name, _ in attributes if name.startswith("on") or name == "style"], tag
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def rows_of(text: str, label: str) -> list[list[str]]:
    """The cells of the table of that label, tags removed."""
    table = re.search(rf'aria-label="{label}"><table.*?</table>', text, re.S)[0]
    rows = re.findall(r"<tr.*?</tr>", table, re.S)
    cells = (re.findall(r"<t[hd].*?</t[hd]>", row, re.S) for row in rows)
    return [[re.sub("<[^>]+>", "", cell).strip() for cell in row] for row in cells]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A comparison, a model trained later, and experiments, drawn by the command: (process, folder)."""
    documents = {
        "comparison": a_comparison(MODELS, failures={"snn": "snn needs snntorch: pip install snntorch"}),
        "my_model": a_run("my_model.py", 5_000, 0.99),
        "sweep-fashion": a_sweep(["lr"], [(0.001,), (0.01,), (0.1,), (9.0,)], [0.8, 0.97, 0.9, None]),
        "sweep": a_sweep(["lr", "optimizer"], [(0.1, "adamw"), (0.1, "sgd"), (0.2, "adamw")], [0.9, 0.8, 0.7]),
        "latency": an_experiment("latency"),
        "frontier": an_experiment("frontier", runs=MODELS[:3]),
        "old": {"version": 1},
    }
    folder = write(tmp_path_factory.mktemp("drawn") / "results", **documents)
    command = [sys.executable, "-W", "error", "-m", "report", folder]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True), folder


@pytest.fixture(scope="module")
def text(drawn):
    return (drawn[1] / "report.html").read_text(encoding="utf-8")


class TestThePage:
    def test_and_charts_are_drawn_and_a_file_of_another_version_is_one_line(self, drawn):
        process, folder = drawn
        assert process.returncode == 0 and len(process.stderr.splitlines()) == 1
        assert process.stderr.startswith("report: warning: old.json is left out: it has no ")
        assert process.stdout == f"drew report.html and 4 plots; open {folder / 'report.html'}\n"
        names = {
            "accuracy_vs_parameters.svg",
            "accuracy_vs_time.svg",
            "frontier.svg",
            "sweep-fashion.svg",
            "report.html",
        }
        assert {path.name for path in folder.iterdir() if path.suffix != ".json"} == names | {"report.html"}
        for path in folder.glob("*.svg"):
            ElementTree.parse(path)
        assert "Passed: tiny, efficient; broke" in (folder / "frontier.svg").read_text(encoding="utf-8")

    def test_needs_nothing_beside_it_and_its_policy_names_style_and_script_by_their_hashes(self, text):
        Wellformed(text)
        assert not re.findall(r'(?:src|href|srcset)="(?!data:|#)|url\((?!#)|@import', text)
        assert set(re.findall(r'href="#([^"]+)', text)) <= set(re.findall(r' id="([^"]+)"', text))
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1].replace("&#39;", "'")
        for tag in ("style", "script"):
            (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy

    def test_has_a_row_for_every_run_whatever_wrote_it(self, text):
        heads, *rows = rows_of(text, "Results")
        assert [row[0] for row in rows] == ["tiny", "my_model.py", "efficient", "never_learned", "mlp"]
        efficient = dict(zip(heads, rows[2], strict=True))
        assert efficient["parameters"] == "8,706" and efficient["passed"] == "2/2"
        assert [efficient[f"{name} %"] for name in ("mean", "min", "max")] == ["98.25", "98.00", "98.50"]
        assert dict(zip(heads, rows[3], strict=True))["mean %"] == ""
        assert "<strong>3 of 5 models</strong>" in text and "fewer than 25,000 parameters" in text

    def test_has_contents_date_versions_commands_ideas_and_reasons(self, text):
        targets = re.findall(r'<a href="#([^"]+)">', text[: text.index("</nav>")])
        assert {"results", "accuracy_vs_parameters", "models", "experiment-3", "made"} <= set(targets)
        assert re.search(r"\d\d? \w+ 20\d\d, \d\d:\d\d", text)
        facts = ("python -m experiments.latency", "cpu, threads: 1", "torch 2.6", "The idea of tiny (LeCun, 1998).")
        facts += ("snn needs snntorch", "accuracy is broken", "old.json is left out")
        assert all(fact in text for fact in facts)

    def test_shows_the_mistakes_of_efficients_first_seed_with_their_pixels(self, text):
        assert "Of efficient, seed 0" in text and "0 → 3, 90\u00a0%" in text
        Image = pytest.importorskip("PIL.Image")
        address = re.search(r'<img src="data:image/png;base64,([^"]+)"', text)[1]
        image = Image.open(io.BytesIO(base64.b64decode(address)))
        assert image.size == (28, 28)
        assert image.tobytes() == bytes(255 - b for b in zlib.decompress(bytes.fromhex(digit(0))))

    def test_shades_accuracies_by_their_error_up_to_99_8_per_cent(self):
        kinds = [cell.kind for cell in page.shaded([0.3, 0.5, 0.9, 0.96, 0.99, 0.997, 0.998, 1.0, None])]
        shades = [int(kind.removeprefix("shade-")) for kind in kinds]
        assert shades == [*sorted(shades[:-1]), 0] and shades[:2] == [0, 0] and shades[6:8] == [9, 9]
        assert len(set(shades)) >= 6

    def test_shows_a_sweep_of_two_settings_as_a_grid_and_figures_as_numbers(self, text):
        cells = [["lr \\ optimizer", "adamw", "sgd"], ["0.1", "90.00", "80.00"], ["0.2", "70.00", ""]]
        assert rows_of(text, "mean accuracy, %") == cells
        assert re.search(r'data-value="1.5">1.5</td>', text)

    def test_marks_the_best_of_each_column_among_those_that_pass(self):
        runs = a_run("small", 300, 0.96), a_run("big", 20_000, 0.98), a_run("mlp", 10**6, 0.99)
        rows = page.results_table(groups(*runs))
        best = {row[0].text: [i for i, cell in enumerate(row) if cell.kind == "best"] for row in rows}
        assert best["mlp"] == [] and 1 in best["small"] and 2 in best["big"]

    @pytest.mark.parametrize("evil", HOSTILE)
    def test_keeps_whatever_a_name_a_note_or_a_reason_holds_as_text(self, tmp_path, evil):
        runs = [a_run(evil, note=evil, violations=[evil], device=evil, versions={evil: evil}), a_run("b", 300)]
        document = {**a_comparison(runs, failures={evil: evil}), "models": {evil: {"idea": evil}}}
        found = an_experiment("energy", [[evil, evil], [evil, evil]], question=evil, command=evil, note=evil)
        folder = write(tmp_path / "results", comparison=document, energy=found)
        assert main([str(folder)]) == 0
        text = (folder / "report.html").read_text(encoding="utf-8")
        tags = Wellformed(text).found
        assert text.count("<script") == 1 and "<b>" not in text and not pages.UNFIT.search(text)
        assert {attributes["src"][:5] for tag, attributes in tags if tag == "img"} == {"data:"}
        assert all(attributes["href"][0] in "#d" for _, attributes in tags if "href" in attributes)
        for path in folder.glob("*.svg"):
            names = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
            assert names <= {"svg", "style", "g", "a", "path", "rect", "text", "title"}


class TestInABrowser:
    ROWS = "[...document.querySelectorAll('#results ~ .wide tbody tr.one:not([hidden])')]"
    NAMES = f"{ROWS}.map(row => row.cells[0].textContent)"

    @pytest.fixture
    def shown(self, tmp_path, browser):
        runs = [a_run(f"model_{i}", 10 ** (i % 7), None if i == 5 else 0.9 + i / 200) for i in range(12)]
        folder = write(tmp_path / "results", comparison=a_comparison([*runs, a_run("w" * 100), a_run("<b>&", 12)]))
        assert main([str(folder)]) == 0
        browser.get((folder / "report.html").as_uri())
        return browser

    def test_no_page_scrolls_sideways_and_none_complains(self, shown, drawn):
        for address in (shown.current_url, (drawn[1] / "report.html").as_uri()):
            for width in (390, 1280, 1920):
                screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
                shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
                shown.get(address)
                assert shown.execute_script("return document.documentElement.scrollWidth;") <= width
        assert shown.get_log("browser") == []

    def test_columns_sort_by_keyboard_and_mouse_with_blanks_last(self, shown):
        button = shown.find_elements("css selector", "#results ~ .wide th button")[2]
        for direction, press in (("ascending", lambda: button.send_keys("\ue007")), ("descending", button.click)):
            press()
            texts = shown.execute_script(f"return {self.NAMES.replace('cells[0]', 'cells[2]')};")
            means = [float(text) for text in texts[:-1]]
            assert texts[-1] == "" and means == sorted(means, reverse=direction == "descending")
            assert button.find_element("xpath", "..").get_attribute("aria-sort") == direction

    def test_search_narrows_the_table_down_to_rows_with_every_word(self, shown):
        box = shown.find_element("css selector", ".search")
        box.send_keys("MODEL_1 9")
        assert set(shown.execute_script(f"return {self.NAMES};")) == {"model_1", "model_10", "model_11"}
        box.clear()
        box.send_keys("<b>")
        assert shown.execute_script(f"return {self.NAMES};") == ["<b>&"]

    def test_follows_light_and_dark(self, shown):
        script = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color];"
        for mode in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": mode}
            shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            paper, ink = (sum(map(int, re.findall(r"\d+", colour))) for colour in shown.execute_script(script))
            assert (paper < ink) == (mode == "dark") and abs(paper - ink) > 450


class TestCharts:
    def test_numbers_on_axes_are_short_and_do_not_overlap(self):
        assert [short(v) for v in (0.5, 258, 1000, 25_000, 1.5e6)] == ["0.5", "258", "1k", "25k", "1.5M"]
        spans = [("log", 258, 400_000), ("log", 2.0, 2.1), ("log", 0.5, 14), ("log", 7, 7), ("linear", 0, 60_000)]
        spans += [("linear", 0, 0), ("accuracy", 0.5, 0.99), ("accuracy", 0.985, 0.989), ("accuracy", 0, 1)]
        for scale, low, high in spans:
            ticks = Axis([low, high], scale).ticks(0.07)
            places, texts = [place for place, _ in ticks], [text for _, text in ticks]
            assert 2 <= len(ticks) == len(set(texts)) <= 14, (scale, low, high, texts)
            assert all(0 <= place <= 1 for place in places)
            assert all(b - a >= 0.0699 for a, b in itertools.pairwise(places))

    def test_show_means_ranges_tooltips_and_the_region_also_of_a_single_run(self):
        chart = charts.accuracy_over(groups(*MODELS), "parameters")
        points = {point["name"]: point for point in chart.points if point["kind"] != "published"}
        kinds = {name: point["kind"] for name, point in points.items()}
        assert kinds == {"tiny": "passed", "efficient": "passed", "mlp": "failed"}
        assert points["efficient"]["title"] == "efficient: 98.25 % (98.00 to 98.50, 2 seeds), 8,706 parameters, 2.09 s"
        assert len(points["efficient"]["ends"]) == 2 and not points["tiny"]["ends"]
        assert (points["efficient"]["x"], points["efficient"]["y"]) == chart.at(8706, 0.9825)
        single = charts.accuracy_over(groups(a_run()), "parameters")
        (region,) = single.areas
        corner = region["x"] + region["width"], region["y"] + region["height"]
        assert corner == pytest.approx(single.at(25_000, 0.95))
        assert "<title>efficient: 98.00\u00a0% (one seed)" in single.svg() and "within the limits" in single.svg()

    def test_published_figures_stand_beside_mnist_only_and_can_be_told_apart(self):
        def published(dataset):
            chart = charts.accuracy_over(groups(a_run(dataset=dataset)), "parameters")
            return [(point["name"], point["title"]) for point in chart.points if point["kind"] == "published"]

        assert len({name for name, _ in published("mnist")}) == len({title for _, title in published("mnist")}) == 3
        assert published("fashion") == []

    def test_names_of_eighteen_models_cover_neither_one_another_nor_points(self):
        runs = [a_run(f"lightweight_{i}", 20_000 + 300 * i, 0.97 + i % 5 / 500) for i in range(18)]
        chart = charts.accuracy_over(groups(*runs), "parameters")
        boxes = [(t["x"], t["y"] - 11, t["x"] + 6.6 * len(t["text"]), t["y"] + 3) for t in chart.place_names()]
        assert len(boxes) == 21 and not any(shared(a, b) > 1 for i, a in enumerate(boxes) for b in boxes[:i])
        points = [(p["x"], p["y"]) for p in chart.points]
        assert not [1 for x, y in points for b in boxes if b[0] < x < b[2] and b[1] < y < b[3]]

    def test_the_frontier_keeps_what_no_cheaper_model_reaches(self):
        points = [(258, 0.96), (400_000, 0.97), (8706, 0.985), (8706, 0.97), (300, 0.95), (17_000, 0.985)]
        assert results.frontier(points) == [(258, 0.96), (8706, 0.985)]

    def test_a_learning_curve_has_every_point_and_the_best_model_for_comparison(self):
        best, tiny = groups(a_run(), a_run("tiny", 258, 0.955))[::-1]
        chart = charts.learning_curve(tiny, best)
        assert len(chart.points) == 10 and [line["kind"] for line in chart.lines] == ["mean", "passed"]
        assert charts.learning_curve(groups(a_run(curve=[]))[0]) is None

    def test_a_sweep_of_one_number_is_a_curve_with_ranges(self):
        document = a_sweep(["lr"], [(0.1,), (0.001,), (9.0,)], [0.97, 0.8, None])
        chart = charts.sweep(results.Experiment.read("sweep", document))
        assert [point["name"] for point in chart.points] == ["80.00", "97.00"] and chart.x.scale == "log"
        words = a_sweep(["optimizer"], [("adamw",), ("sgd",)], [0.9, 0.8])
        assert charts.sweep(results.Experiment.read("sweep", words)) is None

    @pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
    def test_perfect_and_hopeless_models_are_drawn_within_the_frame(self, accuracy):
        chart = charts.accuracy_over(groups(a_run(accuracy=accuracy), a_run("b", 0, accuracy)), "train_seconds")
        assert all(chart.left <= p["x"] <= chart.right and chart.top <= p["y"] <= chart.bottom for p in chart.points)

    def test_a_bar_of_a_histogram_reaches_from_the_axis_to_its_value(self):
        chart = Chart(Axis([0, 100]), Axis([0, 10], margin=0), "Scores")
        chart.area(10, 20, None, 4, "passed", "10 to 20: 4 students")
        (bar,) = chart.areas
        assert bar["y"] == chart.at(0, 4)[1] and bar["y"] + bar["height"] == pytest.approx(chart.bottom)


MISTAKE = {"index": 0, "label": 1, "predicted": 2, "confidence": 0.5}


class TestWhatIsRead:
    def test_a_run_that_is_there_twice_counts_once_and_the_newer_one_counts(self, tmp_path):
        folder = write(tmp_path / "results", comparison=a_comparison([a_run(), a_run("tiny", 258)]))
        os.utime(folder / "comparison.json", (1, 1))
        write(folder, efficient={"runs": [a_run(accuracy=0.97), a_run(seed=1)], "summary": {}})
        found = results.read_folder(folder)
        groups = [(group.label, group.accuracies) for group in found.groups]
        assert groups == [("tiny", [0.98]), ("efficient", [0.97, 0.98])]
        assert found.ideas["tiny"].startswith("The idea")

    def test_other_data_and_other_settings_make_other_groups(self):
        runs = [a_run(), a_run(dataset="fashion"), a_run(config={"lr": 0.5}), a_run(seed=1)]
        labels = {group.label: len(group.runs) for group in groups(*runs)}
        assert len(labels) == 3 and sum(labels.values()) == 4
        assert "efficient (fashion, test)" in labels and any("lr=0.5" in label for label in labels)

    def test_what_the_script_writes_is_what_it_reads_and_limits_are_the_scripts(self, tmp_path):
        assert vars(challenge.Limits()) == {"parameters": results.PARAMETERS, "accuracy": results.ACCURACY}
        made = [a_result(**run) for run in (a_run(), a_run("tiny", 258, None))]
        challenge.save_comparison(tmp_path / "comparison", made, {"snn": "no snntorch"})
        (tmp_path / "tiny.json").write_text(json.dumps(challenge.document(made[1:])))
        found = results.read_folder(tmp_path)
        assert [group.label for group in found.groups] == ["efficient", "tiny"] and not found.warnings
        assert found.ideas["tiny"] and found.failures == {"snn": "no snntorch"}

    @pytest.mark.parametrize(
        "content",
        [
            '{"runs": [', "", "[" * 100_000, '{"runs": NaN}', "[1, 2]", "null", '{"runs": 3}', '{"runs": [3]}',
            {"runs": [{k: v for k, v in a_run().items() if k != "curve"}]},
            *(
                {"runs": [{**a_run(), name: value}]}
                for name, value in [
                    ("test_accuracy", 98.0), ("parameters", "8706"), ("parameters", 10**40), ("train_seconds", 1e308),
                    ("train_seconds", -1), ("confusion", [[1, 2], [3, 4]]), ("confused", [MISTAKE]), ("curve", [1]),
                    ("confused", [{**MISTAKE, "pixels": "AAAA"}]), ("config", 3), ("versions", "x"),
                    ("confused", [{**MISTAKE, "pixels": zlib.compress(bytes(50_000_000)).hex()}]),
                ]
            ),
            an_experiment("energy", [["model", "J"], ["efficient"]]),
            {**a_sweep(["lr"], [(1,)], [0.9]), "keys": ["fade"]},
            {k: v for k, v in an_experiment("energy").items() if k != "question"},
        ],
    )  # fmt: skip
    def test_a_file_that_cannot_be_used_is_one_line_and_the_others_are_drawn(self, tmp_path, capsys, content):
        (tmp_path / "odd.json").write_text(content if isinstance(content, str) else json.dumps(content))
        assert main([str(tmp_path)]) == 4
        err = capsys.readouterr().err.splitlines()
        assert err[0].startswith("report: warning: odd.json is left out: it ")
        assert len(err) == 2 and "--model all" in err[1]
        assert [path.name for path in tmp_path.iterdir()] == ["odd.json"]
        write(tmp_path, efficient=a_run())
        assert main([str(tmp_path)]) == 0 and len(capsys.readouterr().err.splitlines()) == 1
        assert "odd.json is left out" in (tmp_path / "report.html").read_text(encoding="utf-8")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
    def test_a_fifo_is_left_out_not_waited_for(self, tmp_path, capsys):
        os.mkfifo(tmp_path / "comparison.json")
        assert main([str(tmp_path)]) == 4 and "not a regular file" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["no_such_folder"], [__file__], [], ["a", "b"]])
    def test_a_folder_that_is_none_is_a_mistake_in_usage(self, capsys, arguments):
        assert main(arguments) == 2 and len(capsys.readouterr().err.splitlines()) == 1

    def test_a_page_that_cannot_be_written_is_one_line(self, tmp_path, capsys):
        folder = write(tmp_path / "results", efficient=a_run())
        (folder / "report.html").mkdir()
        assert main([str(folder)]) == 4 and len(capsys.readouterr().err.splitlines()) == 1
        assert not list(folder.glob(".*"))

    def test_without_jinja2_it_says_what_to_install(self, tmp_path):
        folder = write(tmp_path / "results", efficient=a_run())
        code = "import runpy, sys; sys.modules['jinja2'] = None; runpy.run_module('report', run_name='__main__')"
        done = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 4 and "pip install jinja2" in done.stderr and len(done.stderr.splitlines()) == 1

    def test_plots_of_earlier_results_do_not_stay_beside_new_ones(self, tmp_path):
        folder = write(tmp_path / "results", efficient=a_run())
        assert main([str(folder)]) == 0 and (folder / "accuracy_vs_parameters.svg").exists()
        write(folder, efficient=a_run(accuracy=None))
        assert main([str(folder)]) == 0 and not list(folder.glob("*.svg"))
