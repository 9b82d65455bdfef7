"""What a notebook shows beside the charts: report/notebook.py."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from helpers import a_result

pytest.importorskip("jinja2")
pytest.importorskip("IPython", reason="IPython, in which notebooks run, is not installed")
pytest.importorskip("matplotlib")
from matplotlib import pyplot as plt

from report import notebook


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_a_sheet_of_digits_puts_each_at_its_place_and_leaves_the_rest_of_the_last_row_empty():
    notebook.digits(np.stack([np.full((28, 28), 10 * i) for i in range(1, 6)]), columns=3)
    sheet = np.asarray(plt.gca().images[0].get_array())
    assert sheet.shape == (56, 84)
    assert [[sheet[28 * row, 28 * column] for column in range(3)] for row in range(2)] == [[10, 20, 30], [40, 50, 0]]


def test_seeds_show_each_accuracy_with_its_interval_but_for_a_run_that_diverged():
    runs = [
        {"seed": 3, "test_accuracy": 0.98, "accuracy_interval": (0.977, 0.982)},
        {"seed": 4, "test_accuracy": 0.99, "accuracy_interval": (0.988, 0.992)},
        {"seed": 5, "test_accuracy": None, "accuracy_interval": None},
    ]
    chart = notebook.seeds(runs)
    assert [point["title"] for point in chart.points] == ["seed 3: 98.00 %", "seed 4: 99.00 %"]
    assert all(point["ends"][0] > point["y"] > point["ends"][1] for point in chart.points)
    ElementTree.fromstring(chart._repr_svg_())
    with pytest.raises(ValueError):
        notebook.seeds(runs[2:])


def test_a_table_shows_markup_as_text():
    shown = notebook.table(["<b>", "n"], [["a & b", 12345]]).data
    assert "&lt;b&gt;" in shown and "a &amp; b" in shown and "12,345" in shown


def test_a_page_is_complete_inside_its_frame():
    content = '<p title="x">5 < 6 & 7</p>'
    shown = ElementTree.fromstring(notebook.frame(content).data.replace("></iframe>", "/>"))
    assert shown.find("iframe").attrib["srcdoc"] == content


def test_a_verdict_has_its_words_in_colour_and_a_name_as_text():
    facts = {"model": "m", "scored_on": "<i>", "limits": {"parameters": True, "accuracy": False}, "violations": []}
    numbers = dict.fromkeys(("parameters", "images_seen", "train_images", "train_seconds", "threads"), 1)
    shown = notebook.verdict(a_result(**facts, **numbers)).data
    assert shown.count(">PASS</b>") == shown.count(">FAIL</b>") == 1 and "&lt;i&gt;" in shown and "<i>" not in shown
