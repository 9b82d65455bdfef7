"""What a notebook shows beside the plots: report/notebook.py."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import mnist_efficient_model as challenge

pytest.importorskip("matplotlib")
from report import notebook

SCRIPT = Path(challenge.__file__)


def test_a_sheet_of_digits_puts_each_at_its_place_and_leaves_the_rest_of_the_last_row_empty():
    images = np.stack([np.full((28, 28), 10 * i) for i in range(1, 6)])
    (axes,) = notebook.digits(images, columns=3).axes
    sheet = np.asarray(axes.images[0].get_array())
    assert sheet.shape == (56, 84)
    assert [[sheet[28 * row, 28 * column] for column in range(3)] for row in range(2)] == [[10, 20, 30], [40, 50, 0]]


def test_seeds_show_each_accuracy_with_its_interval_and_the_mean():
    runs = [
        {"seed": 3, "test_accuracy": 0.98, "accuracy_interval": (0.977, 0.982)},
        {"seed": 4, "test_accuracy": 0.99, "accuracy_interval": (0.988, 0.992)},
        {"seed": 5, "test_accuracy": None, "accuracy_interval": None},  # it diverged
    ]
    (axes,) = notebook.seeds(runs).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "4"]
    assert axes.get_legend().get_texts()[0].get_text() == "mean 98.50 %"
    bars = axes.containers[0].lines[2][0].get_segments()
    assert np.allclose([[low[1], high[1]] for low, high in bars], [[97.7, 98.2], [98.8, 99.2]])


def test_seeds_need_one_that_was_measured():
    with pytest.raises(ValueError, match="no run has an accuracy"):
        notebook.seeds([{"seed": 0, "test_accuracy": None}])


def test_a_table_shows_markup_as_text_and_numbers_to_the_right():
    shown = notebook.Table(["<b>", "n"], [["a & b", 12345]])._repr_html_()
    assert "&lt;b&gt;" in shown and "a &amp; b" in shown
    assert re.search(r'<td style="text-align: right">12,345</td>', shown)


def test_a_page_is_whole_inside_its_frame():
    page = '<p title="x">5 < 6 & 7</p>'
    shown = notebook.Page(page)._repr_html_()
    frame = ElementTree.fromstring(shown.replace("></iframe>", "/>"))
    assert frame.attrib["srcdoc"] == page


def test_a_curve_grows_with_each_call_and_stays_inside_its_picture():
    pytest.importorskip("IPython", reason="IPython, which shows it, is not installed")
    curve = notebook.LiveCurve(1000)
    for images, accuracy in ((250, 0.0), (500, 0.9), (750, 0.99), (1000, 1.0)):
        curve(images, 1.0, accuracy)
        picture = ElementTree.fromstring(curve._repr_svg_())
        line = picture.find("{*}polyline").attrib["points"].split()
        assert len(line) == len(curve.points)
    places = [tuple(map(float, place.split(","))) for place in line]
    xs, ys = zip(*places, strict=True)
    assert list(xs) == sorted(set(xs)) and list(ys) == sorted(set(ys), reverse=True), "to the right and up"
    assert 0 < min(xs) < max(xs) < curve.WIDTH and 0 < min(ys) < max(ys) < curve.HEIGHT


def test_a_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match="unknown model 'eficient': did you mean efficient"):
        notebook.command(SCRIPT, "--model", "eficient")


def test_a_command_shows_what_it_does_and_returns_what_it_found(fashion_dir, tmp_path, capfd):
    options = ("--model", "mlp_small", "--dataset", "fashion", "--data-dir", fashion_dir, "--seeds", 2, "--quiet")
    document = notebook.command(SCRIPT, *options, "--results-dir", tmp_path / "results")
    assert [run["seed"] for run in document["runs"]] == [0, 1]
    out = capfd.readouterr().out
    assert out.startswith("$ python mnist_efficient_model.py --model mlp_small ")
    assert "mlp_small, seed 1:" in out and "{" not in out
