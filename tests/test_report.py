"""report/: plots and a page from the JSON files alone; everything that such a file may hold ends in one line."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from report import files, page, plots, style, sweep_plots
from report.__main__ import main
from report.models import COLUMNS
from report.results import Comparison, Experiment

pytestmark = pytest.mark.filterwarnings("error")
ROOT = Path(__file__).resolve().parent.parent
COMPARED = (*plots.DRAWN,)


def digit(n: int) -> str:
    """A made-up image as a run's JSON holds it."""
    image = np.zeros((28, 28), np.uint8)
    image[4 + n % 20 : 8 + n % 20, 5:23] = 255
    return zlib.compress(image.tobytes()).hex()


def a_run(model: str = "efficient", parameters: int = 8706, accuracy: float | None = 0.98, seed: int = 0, **other):
    """One run, written by hand."""
    right, wrong = (int(10 * (accuracy or 0)), 10 - int(10 * (accuracy or 0)))
    held = {"parameters": parameters < 25_000, "accuracy": (accuracy or 0) >= 0.95, "one_epoch": True}
    names = {"model": model, "dataset": "mnist", "scored_on": "test", "device": "cpu", "note": None}
    counts = {"seed": seed, "threads": 1, "parameters": parameters, "images_seen": 1000, "train_images": 1000}
    costs = {"macs": 10 * parameters, "latency_ms": 0.3, "peak_memory_mb": 412.0, "test_images": 100}
    run = {
        **names,
        **counts,
        **costs,
        "test_accuracy": accuracy,
        "per_class_accuracy": [max(0, (accuracy or 0) - c / 100) for c in range(9)] + [None],
        "train_seconds": 1.5 + parameters / 1e5 + seed,
        "limits": held,
        "passed": all(held.values()),
        "diverged_at": None if accuracy else 3,
        "config": {"lr": 0.02, "batch_size": 128, "optimizer": "adamw"},
        "confusion": [[{0: right, 3: wrong}.get((c - r) % 10, 0) for c in range(10)] for r in range(10)],
        "confused": [
            {"index": i, "label": i % 10, "predicted": (i + 3) % 10, "confidence": 0.9 - i / 100, "pixels": digit(i)}
            for i in range(12)
        ],
        "curve": [{"images": 100 * i, "loss": 2 / i, "accuracy": 1 - 1 / (i + 1)} for i in range(1, 11)],
        "versions": {"mnist_efficient_model": "2.2.0", "torch": "2.6"},
    }
    if accuracy is None:
        run.update(dict.fromkeys(("per_class_accuracy", "confusion", "confused")))
    return {**run, **other}


def a_comparison(runs: list[dict], **other) -> dict:
    names = dict.fromkeys(run["model"] for run in runs)
    about = {name: {"idea": f"The idea of {name} (LeCun, 1998)."} for name in names}
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


def swept(document: dict) -> Experiment:
    return files.read_experiment(Path("sweep.json"), document)


MODELS = [
    a_run("efficient", seed=0),
    a_run("efficient", accuracy=0.985, seed=1),
    a_run("tiny", 258, 0.955),
    a_run("mlp", 400_000, 0.97),
    a_run("never_learned", 9_000, None, curve=[]),
]


def write(folder: Path, **documents: object) -> Path:
    folder.mkdir(exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def check_picture(content: bytes) -> None:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    assert min(image.size) > 150 and image.getcolors(20) is None, "at most 20 colours"
    assert np.array(image.convert("L")).std() > 5


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A comparison and experiments, drawn by the command as a notebook's kernel would run it: (process, folder)."""
    documents = {
        "comparison": a_comparison(MODELS, failures={"snn": "snn needs snntorch: pip install snntorch"}),
        "sweep-fashion": a_sweep(["lr"], [(0.001,), (0.01,), (0.1,), (9.0,)], [0.8, 0.97, 0.9, None]),
        "latency": an_experiment("latency"),
    }
    folder = write(tmp_path_factory.mktemp("drawn") / "results", **documents)
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline", "OMP_NUM_THREADS": "1"}
    code = (
        "import sys; from report.__main__ import main; status = main(sys.argv[1:]); "
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules); sys.exit(status)"
    )
    command = [sys.executable, "-W", "error", "-c", code, folder]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True), folder


class TestTheCommand:
    def test_draws_all_that_is_there_without_pyplot_whatever_backend_a_notebook_has_set(self, drawn):
        process, folder = drawn
        assert (process.returncode, process.stderr) == (0, "")
        assert process.stdout == f"drew report.html and 7 plots; open {folder / 'report.html'}\nTrue False\n"
        drawings = {f"{name}.png" for name in (*COMPARED, "sweep-fashion")}
        left = {"comparison.json", "sweep-fashion.json", "latency.json", "report.html"}
        assert {path.name for path in folder.iterdir()} == left | drawings

    def test_every_plot_is_a_picture_with_something_on_it(self, drawn):
        for path in drawn[1].glob("*.png"):
            check_picture(path.read_bytes())

    def test_ignores_a_backend_that_matplotlib_does_not_know(self, tmp_path):
        folder = write(tmp_path / "results", sweep=a_sweep(["lr"], [(1,)], [0.9]))
        environment = {**os.environ, "MPLBACKEND": "nonsense"}
        command = [sys.executable, "-m", "report", folder]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("missing", ["matplotlib", "numpy"])
    def test_says_what_to_install_and_writes_nothing_without_matplotlib(self, tmp_path, missing):
        folder = write(tmp_path / "results", comparison=a_comparison(MODELS))
        block = f"import sys; sys.modules['{missing}'] = None; "
        code = block + "from report.__main__ import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 4 and "pip install numpy matplotlib" in done.stderr
        assert len(done.stderr.splitlines()) == 1 and [path.name for path in folder.iterdir()] == ["comparison.json"]


@pytest.fixture(scope="module")
def text(drawn):
    return (drawn[1] / "report.html").read_text(encoding="utf-8")


class TestThePage:
    def test_needs_nothing_beside_it(self, text):
        assert not re.findall(r'(?:src|href|srcset)="(?!data:|#)|url\((?!#)|@import', text)
        ids = re.findall(r' id="([^"]+)"', text)
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)

    def test_holds_each_plot_as_svg_with_text_and_a_label_coloured_by_the_page(self, text):
        plots = re.findall(
            r'<div class="wide"[^>]*><svg viewBox="[^"]+" role="img" aria-label="([^"]+)">(.*?)</svg>', text, re.S
        )
        assert len(plots) == 7
        for label, drawing in plots:
            ElementTree.fromstring(f'<svg xmlns:xlink="x">{drawing}</svg>')
            assert len(label) > 30 and "<text" in drawing and "var(--ink)" in drawing and "font:" not in drawing
            assert not set(style.VARIABLES) & set(re.findall(r": (#\w{6})", drawing)), "a colour that stays in the dark"

    def test_shows_each_models_idea_its_figures_curve_and_confusion(self, text):
        articles = dict(re.findall(r"<article id=[^>]+>\n<h3>([^<]+)</h3>(.*?)</article>", text, re.S))
        assert list(articles) == ["tiny", "efficient", "never_learned", "mlp"]
        for name, article in articles.items():
            assert f"The idea of {name} (LeCun, 1998)." in article and "<dt>kMAC</dt>" in article
        counts = re.findall(r'<td class="right">(\d+)', articles["efficient"])
        assert counts == ["18"] * 10, "over both seeds"
        points = re.search(r'polyline points="([^"]+)"', articles["tiny"])[1].split()
        assert len(points) == 10 and points[-1].startswith("296.0,")
        assert "polyline" not in articles["never_learned"] and "matrix" not in articles["never_learned"]

    def test_names_machine_threads_versions_and_commands(self, text):
        made = text[text.index('<dl class="made">') :]
        facts = ("python -m experiments.latency", "python -m experiments.sweep", "cpu", "1 in each run", "torch 2.6")
        assert all(fact in made for fact in facts)

    def test_names_every_model_and_why_one_could_not_run(self, text):
        words = re.sub(r'"data:[^"]+"', "", text)
        assert all(model in words for model in ("efficient", "tiny", "mlp", "never_learned", "snn needs snntorch"))
        assert "<strong>2 of 4 models</strong>" in words

    def test_shows_a_row_for_each_model_and_the_tables_of_experiments_cell_by_cell(self, text, drawn):
        tables = [
            [re.findall(r"<t[hd][^>]*>(?:<a[^>]*>)?([^<]*)<", row) for row in re.findall(r"<tr>.*?</tr>", table)]
            for table in re.findall(r'<table class="sortable">.*?</table>', text, re.DOTALL)
        ]
        assert [len(table) for table in tables] == [5, 3, 5] and tables[0][0] == ["model", *COLUMNS]
        assert tables[0][2] == ["efficient", "8,706", "98.25", "98.00", "2.1", "87", "0.30", "412", "2/2"]
        assert tables[0][3] == ["never_learned", "9,000", "", "", "1.6", "90", "0.30", "412", "0/1"]
        for table, name in zip(tables[1:], ("latency", "sweep-fashion"), strict=True):
            assert table == json.loads((drawn[1] / f"{name}.json").read_text())["table"]

    def test_marks_what_breaks_a_limit_and_the_best_of_each_column_among_the_models_that_keep_all(self):
        cells = page.html_table([["model", "size", "acc"], ["mlp", "NO", "1/2"], ["tiny", "ok", "2/2"]], "a table")
        assert re.findall(r'<td class="bad">([^<]*)', cells) == ["NO", "1/2"]
        runs = [a_run("efficient"), a_run("tiny", 258, 0.955), a_run("mlp", 400_000, 0.99), a_run("small", 100, 0.5)]
        best = {("tiny", header) for header in ("params", "train s", "kMAC")} | {("efficient", "acc. %")}
        assert page.best_cells(Comparison(runs)) == best
        assert {("small", "params"), ("mlp", "acc. %")} <= page.best_cells(Comparison(runs[2:]))

    def test_escapes_names_notes_and_reasons(self, tmp_path):
        evil = '<script>alert("&")</script>'
        runs = [a_run(evil, note=evil), a_run("$x^2_{", 300)]
        document = a_comparison(runs, failures={evil: evil})
        document["models"][evil] = {"idea": evil}
        found = an_experiment("energy", [[evil, evil], [evil, evil]], question=evil, command=evil, note=evil)
        folder = write(tmp_path / "results", comparison=document, energy=found)
        assert main([str(folder)]) == 0
        text = (folder / "report.html").read_text(encoding="utf-8")
        assert text.count("<script") == 1 and "$x^2_{" in text
        assert text.count("&lt;script&gt;alert(&quot;&amp;&quot;)") >= 15

    def test_a_name_that_the_font_lacks_is_no_reason_to_complain(self, tmp_path):
        folder = write(tmp_path / "results", comparison=a_comparison([a_run("模型"), a_run("モデル", 258)]))
        command = [sys.executable, "-m", "report", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "模型" in (folder / "report.html").read_text(encoding="utf-8")


class TestThePageInABrowser:
    def test_sorts_its_table_by_keyboard_with_blanks_last_and_scrolls_only_within_itself(self, tmp_path):
        import drawings

        table = [["model", "params"], ["a", "8,706"], ["b", ""], ["c", "258"], ["d", "400,000"]]
        folder = write(tmp_path / "results", latency=an_experiment("latency", table))
        assert main([str(folder)]) == 0
        try:
            browser = drawings.open_browser(tmp_path / "profile")
        except RuntimeError as missing:
            pytest.skip(str(missing))
        try:
            for width in (390, 1280, 1920):
                screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
                browser.get((folder / "report.html").as_uri())
                assert browser.execute_script("return document.documentElement.scrollWidth;") <= width
            orders = []
            for _ in range(2):
                button = browser.find_elements("css selector", "th button")[1]
                button.send_keys("\ue007")  # Enter
                names = "[...document.querySelectorAll('.sortable tbody th')].map(th => th.textContent).join('')"
                names = browser.execute_script(f"return {names};")
                orders.append((names, button.find_element("xpath", "..").get_attribute("aria-sort")))
            assert orders == [("cadb", "ascending"), ("dacb", "descending")]
            assert browser.get_log("browser") == []
        finally:
            browser.quit()


class TestFigures:
    """They come as figures of matplotlib, for a caller who shows or saves them."""

    def test_show_themselves_in_notebooks_and_leave_the_settings_as_they_were(self):
        import matplotlib

        before = dict(matplotlib.rcParams)
        for function in plots.DRAWN.values():
            figure = function(Comparison(MODELS))
            assert isinstance(figure, matplotlib.figure.Figure)
            check_picture(figure._repr_png_())
        assert dict(matplotlib.rcParams) == before

    def test_put_each_model_at_its_median_cost_and_mean_accuracy_and_none_that_has_no_accuracy(self):
        comparison = Comparison(MODELS, {"parameters": 25_000, "accuracy": 0.95})
        axes = plots.accuracy_over(comparison, "train_seconds").axes[0]
        points = {(round(float(x), 5), round(1 - float(y), 5)) for c in axes.containers for x, y in c[0].get_xydata()}
        assert points == {(2.08706, 0.9825), (1.50258, 0.955), (5.5, 0.97)}

    def test_the_frontier_keeps_what_no_cheaper_model_reaches(self):
        points = [(258, 0.96), (400_000, 0.97), (8706, 0.985), (8706, 0.97), (300, 0.95), (17_000, 0.985)]
        assert plots.frontier(points) == [(258, 0.96), (8706, 0.985)]

    def test_published_figures_stand_beside_mnist_only(self):
        def labels(dataset: str) -> str:
            runs = [a_run(dataset=dataset), a_run("tiny", 258, dataset=dataset)]
            axes = plots.accuracy_over(Comparison(runs), "parameters").axes[0]
            return " ".join(text.get_text() for text in axes.texts)

        assert "published" in labels("mnist") and "published" not in labels("fashion")

    @pytest.mark.parametrize("seconds, least", [((0.5, 14), 4), ((2.0, 2.1), 3), ((3.0, 3000.0), 3), ((1.5, 6.0), 4)])
    def test_training_times_can_be_read_off_their_axis(self, seconds, least):
        runs = [a_run(f"m{i}", 300, train_seconds=s) for i, s in enumerate(seconds)]
        axis = plots.accuracy_over(Comparison(runs), "train_seconds").axes[0].xaxis
        low, high = axis.get_view_interval()
        labels = [axis.get_major_formatter()(tick, 0) for tick in axis.get_majorticklocs() if low <= tick <= high]
        assert least <= len(labels) == len(set(labels)) <= 12

    def test_names_of_eighteen_models_cover_neither_one_another_nor_points_and_lines_lead_to_those_far_away(self):
        runs = [a_run(f"lightweight_{i}", 20_000 + 300 * i, 0.97 + i % 5 / 500) for i in range(18)]
        axes = plots.accuracy_over(Comparison(runs), "parameters").axes[0]
        names = [text for text in axes.texts if text.get_text().startswith(("lightweight", "published"))]
        boxes = [text.get_window_extent().extents for text in names]
        assert len(names) == 18 + len(plots.PUBLISHED)
        assert not any(style.overlap(a, b) > 1 for i, a in enumerate(boxes) for b in boxes[:i])
        points = [axes.transData.transform(text.xy) for text in names]
        inside = [(x, y) for x, y in points for b in boxes if b[0] < x < b[2] and b[1] < y < b[3]]
        leaders = sum(text.get_text() == "" for text in axes.texts)
        assert not inside and leaders == sum(text.xyann[1] != 0 for text in names) > 0

    def test_learning_curves_have_a_panel_each_with_the_most_accurate_model_in_grey(self):
        figure = plots.learning_curves(Comparison(MODELS))
        panels = [axes for axes in figure.axes if axes.lines]
        assert [axes.get_title(loc="left") for axes in panels] == ["tiny", "efficient", "mlp"]
        assert [axes.lines[0].get_color() for axes in panels] == [style.MUTED] * 3
        assert "efficient, the most accurate" in figure.get_suptitle()

    def test_mistakes_show_the_pixels_of_the_run(self):
        axes = plots.confusion(Comparison([a_run()])).axes[1]
        mosaic = axes.images[0].get_array()
        assert mosaic.count() == 12 * 28 * 28 and mosaic.sum() == 12 * 4 * 18 * 255
        assert axes.texts[0].get_text() == "0 → 3 (90%)"

    def test_the_confusion_is_that_of_efficient_or_of_the_best_that_passes(self):
        rivals = [a_run("tiny", 258, 0.955), a_run("mlp", 400_000, 0.99)]
        assert Comparison([*rivals, a_run(accuracy=0.951)]).best["model"] == "efficient"
        assert Comparison(rivals).best["model"] == "tiny"
        assert Comparison(rivals[1:]).best["model"] == "mlp" and Comparison([a_run(accuracy=None)]).best is None

    def test_what_was_not_measured_has_no_cell(self):
        cells = plots.per_class_accuracy(Comparison([a_run()])).axes[0]
        assert np.isnan(cells.images[0].get_array()[0, 9]) or cells.images[0].get_array().mask[0, 9]
        assert len(cells.texts) == 9

    def test_perfect_and_hopeless_models_are_drawn(self):
        for accuracy in (0.0, 1.0):
            runs = [a_run(accuracy=accuracy, per_class_accuracy=[accuracy] * 10), a_run("tiny", 258, accuracy)]
            assert all(style.png(figure) for f in plots.DRAWN.values() if (figure := f(Comparison(runs))))


class TestSweep:
    def test_of_one_number_is_a_curve_that_says_where_it_diverged(self):
        document = a_sweep(["lr"], [(0.1,), (0.001,), (9.0,)], [0.97, 0.8, None])
        axes = sweep_plots.sweep(swept(document)).axes[0]
        assert [(x, round(1 - y, 4)) for x, y in axes.lines[0].get_xydata()] == [(0.001, 0.8), (0.1, 0.97)]
        assert [text.get_text() for text in axes.texts] == ["80.00", "97.00", "diverged"]
        assert axes.get_xlabel() == "lr" and axes.get_xscale() == "log"
        title = "mlp_small, trained on mnist: mean of 2 seeds, on the hold-out of 100 images"
        assert axes.get_title(loc="left") == title
        assert axes.get_xlim()[0] < 0.001 and axes.get_xlim()[1] > 9

    def test_of_a_thousand_points_stays_a_picture(self):
        points = [(row, column) for row in range(4) for column in range(250)]
        document = a_sweep(["lr", "fade"], points, [0.9 + column / 5000 for _, column in points])
        figure = sweep_plots.sweep(swept(document))
        assert figure.get_size_inches().max() <= 40 and not figure.axes[0].texts

    @pytest.mark.parametrize("value", [[None], [0.95], [1.0], [0.9871, 0.9873], [0.5, None]])
    def test_of_any_values_is_drawn(self, value):
        document = a_sweep(["fade"], [(i / 2,) for i in range(len(value))], value)
        check_picture(style.png(sweep_plots.sweep(swept(document))))

    @pytest.mark.parametrize(
        "keys, points, shape, labels",
        [
            (["lr", "batch_size"], [(0.01, 32), (0.01, 64), (0.1, 32), (0.1, 64)], (2, 2), ["32", "64"]),
            (["optimizer"], [("adamw",), ("sgd",)], (2, 1), [""]),
            (["lr", "batch_size", "fade"], [(0.1, 32, 0), (0.1, 64, 1)], (1, 2), ["32, 0", "64, 1"]),
        ],
    )
    def test_of_more_or_of_words_is_a_heat_map(self, keys, points, shape, labels):
        accuracies = [0.9 + i / 100 for i in range(len(points) - 1)] + [None]
        document = a_sweep(keys, points, accuracies)
        axes = sweep_plots.sweep(swept(document)).axes[0]
        assert axes.images[0].get_array().shape == shape
        expected = [f"{100 * a:.2f}" for a in accuracies[:-1]] + ["diverged"]
        assert [text.get_text() for text in axes.texts] == expected
        assert [label.get_text() for label in axes.get_xticklabels()] == labels


class TestPartialResults:
    def test_a_single_models_file_is_drawn_without_comparisons(self, tmp_path, capsys):
        folder = write(tmp_path / "results", efficient=a_run())
        assert main([str(folder)]) == 0
        assert {path.stem for path in folder.glob("*.png")} == {"learning_curves", "per_class_accuracy", "confusion"}
        assert "drew report.html and 3 plots" in capsys.readouterr().out
        assert "efficient" in (folder / "report.html").read_text(encoding="utf-8")

    def test_models_files_are_compared_where_there_is_no_comparison_and_data_are_not_mixed_up(self, tmp_path):
        seeds = {"runs": [a_run(seed=0), a_run(seed=1)], "summary": {}}
        folder = write(tmp_path / "results", efficient=seeds, other=a_run(dataset="fashion"), tiny=a_run("tiny", 258))
        comparison, _ = files.read_folder(folder)
        labels = ["tiny (mnist, test)", "efficient (mnist, test)", "efficient (fashion, test)"]
        assert [group.label for group in comparison.groups] == labels and len(comparison.groups[1].runs) == 2
        write(folder, comparison=a_comparison([a_run("mlp")]))
        assert [group.label for group in files.read_folder(folder)[0].groups] == ["mlp"]

    def test_a_frontier_is_drawn_over_parameters_and_its_seeds_share_a_point(self, tmp_path):
        runs = [a_run(name, n, seed=seed) for name, n in (("tiny_8", 258), ("tiny_12", 430)) for seed in (0, 1)]
        limits = {"parameters": 25_000, "accuracy": 0.95}
        folder = write(tmp_path / "results", frontier=an_experiment("frontier", runs=runs, limits=limits))
        assert main([str(folder)]) == 0 and [path.name for path in folder.glob("*.png")] == ["frontier.png"]
        check_picture((folder / "frontier.png").read_bytes())

    def test_a_sweep_alone_is_drawn_alone(self, tmp_path):
        points = [(0.1, 0.5), (0.2, 0.5)]
        folder = write(tmp_path / "results", sweep=a_sweep(["lr", "fade"], points, [0.9, 0.91]), old={"version": 1})
        assert main([str(folder)]) == 0
        assert {path.name for path in folder.iterdir()} == {"old.json", "sweep.json", "sweep.png", "report.html"}

    def test_a_name_that_is_no_utf_8_is_drawn(self, tmp_path):
        folder = write(tmp_path / "results", comparison=a_comparison([a_run("m/\udcf0\udc9f.py")]))
        assert main([str(folder)]) == 0
        assert "m/??.py" in (folder / "report.html").read_text(encoding="utf-8")

    def test_runs_that_measured_nothing_give_a_page_without_broken_pictures(self, tmp_path):
        folder = write(tmp_path / "results", comparison=a_comparison([a_run(accuracy=None, curve=[])]))
        assert main([str(folder)]) == 0
        assert "<svg" not in (folder / "report.html").read_text(encoding="utf-8") and not list(folder.glob("*.png"))

    def test_plots_of_an_earlier_comparison_do_not_stay_beside_a_new_one(self, tmp_path):
        folder = write(tmp_path / "results", comparison=a_comparison(MODELS))
        (folder / "mine.png").write_bytes(b"mine")
        assert main([str(folder)]) == 0 and len(list(folder.glob("*.png"))) == 7
        write(folder, comparison=a_comparison([a_run()]))
        assert main([str(folder)]) == 0
        drawings = {"mine", "learning_curves", "per_class_accuracy", "confusion"}
        assert {path.stem for path in folder.glob("*.png")} == drawings


def without(document: dict, name: str) -> dict:
    return {key: value for key, value in document.items() if key != name}


GOOD = a_comparison([a_run()])
MISTAKE = {"index": 0, "label": 1, "predicted": 2, "confidence": 0.5}
BOMB = zlib.compress(bytes(50_000_000)).hex()
SWEEP = a_sweep(["lr"], [(1,)], [0.9])


class TestFilesThatCannotBeUsed:
    @pytest.mark.parametrize(
        "name, content, words",
        [
            ("comparison", '{"runs": [', "is not JSON"),
            ("comparison", "", "is not JSON"),
            ("comparison", "[" * 100_000, "is not JSON"),
            ("comparison", '{"runs": NaN}', "NaN is not JSON"),
            ("comparison", "[1, 2]", "is not what a run leaves"),
            ("comparison", without(GOOD, "limits"), "has no 'limits'"),
            ("comparison", without(GOOD, "runs"), "has no list of runs"),
            ("comparison", {**GOOD, "failures": {"snn": 3}}, "'failures' is not"),
            ("comparison", {**GOOD, "runs": [a_run(), without(a_run(), "curve")]}, "run 2 has no 'curve'"),
            ("comparison", {**GOOD, "runs": [a_run(test_accuracy=98.0)]}, "run 1: 'test_accuracy' is not"),
            ("comparison", {**GOOD, "runs": [{**a_run(), "parameters": "8706"}]}, "'parameters' is not"),
            ("comparison", {**GOOD, "runs": [a_run(parameters=10**40)]}, "'parameters' is not"),
            ("comparison", {**GOOD, "runs": [a_run(train_seconds=1e308)]}, "'train_seconds' is not"),
            ("comparison", {**GOOD, "runs": [a_run(confusion=[[1, 2], [3, 4]])]}, "'confusion' is not"),
            ("comparison", {**GOOD, "runs": [a_run(confused=[MISTAKE])]}, "'confused' is not"),
            ("comparison", {**GOOD, "runs": [a_run(confused=[{**MISTAKE, "pixels": "AAAA"}])]}, "'confused' is not"),
            ("comparison", {**GOOD, "runs": [a_run(confused=[{**MISTAKE, "pixels": BOMB}])]}, "'confused' is not"),
            ("comparison", {**GOOD, "runs": []}, "holds no results to draw"),
            ("efficient", {"a": 1}, "has no 'model'"),
            ("sweep", without(SWEEP, "keys"), "has no 'keys'"),
            ("sweep", without(SWEEP, "question"), "has no 'question'"),
            ("sweep", {**SWEEP, "keys": ["fade"]}, "run 1: its config has no 'fade'"),
            ("sweep", {**SWEEP, "runs": []}, "holds no run"),
            ("energy", an_experiment("energy", [["model", "J"], ["efficient"]]), "'table' is not"),
        ],
    )
    def test_end_in_one_line_and_nothing_is_written(self, tmp_path, capsys, name, content, words):
        (tmp_path / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
        assert main([str(tmp_path)]) == 4
        out, err = capsys.readouterr()
        assert out == "" and words in err and len(err.splitlines()) == 1 and err.startswith("report: error: ")
        assert [path.name for path in tmp_path.iterdir()] == [f"{name}.json"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
    def test_a_fifo_is_refused_not_waited_for(self, tmp_path, capsys):
        os.mkfifo(tmp_path / "comparison.json")
        assert main([str(tmp_path)]) == 4 and "is not a regular file" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["no_such_folder"], [__file__], [], ["a", "b"]])
    def test_a_folder_that_is_none_is_a_mistake_in_usage(self, capsys, arguments):
        assert main(arguments) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_an_empty_folder_says_what_to_do(self, tmp_path, capsys):
        assert main([str(tmp_path)]) == 4 and "--model all" in capsys.readouterr().err

    def test_all_or_nothing_is_written(self, tmp_path, capsys):
        folder = write(tmp_path / "results", comparison=a_comparison(MODELS))
        (folder / "report.html").mkdir()
        assert main([str(folder)]) == 4
        assert "not a regular file" in capsys.readouterr().err
        assert {path.name for path in folder.iterdir()} == {"comparison.json", "report.html"}


def test_what_the_script_writes_is_what_it_reads(tmp_path):
    challenge = pytest.importorskip("mnist_efficient_model")
    blank = dict.fromkeys(challenge.Result.__dataclass_fields__)
    made = [a_run(), a_run("tiny", 258, None)]
    results = [challenge.Result(**{**blank, "violations": [], **run}) for run in made]
    challenge.save_comparison(tmp_path / "comparison", results, {"snn": "no snntorch"})
    challenge.save_comparison(tmp_path / "comparison-strokes", results[1:], {})
    comparison, _ = files.read_folder(tmp_path)
    assert len(comparison.runs) == 3 and comparison.limits == {"parameters": 25_000, "accuracy": 0.95}
    assert comparison.models["tiny"]["idea"] and comparison.failures == {"snn": "no snntorch"}
    write(tmp_path / "one", tiny=challenge.document(results[1:]))
    assert files.read_folder(tmp_path / "one")[0].runs == [results[1].plain()]


def test_report_imports_the_standard_library_numpy_and_matplotlib_only():
    """Read from the source, functions included: no torch, nothing of the script or of other packages."""
    imported = set()
    for path in (ROOT / "report").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                imported.add(node.module.partition(".")[0])
    assert imported - sys.stdlib_module_names == {"numpy", "matplotlib", "report"} | {"IPython"}  # in notebooks only


def test_reading_results_needs_nothing_but_the_standard_library():
    code = "import sys, report.files; sys.exit(bool({'numpy', 'matplotlib', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
