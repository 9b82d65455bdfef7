"""The notebook runs from its first cell to its last, and is committed as such a run left it.

Its outputs are renewed by `jupyter execute --inplace challenge.ipynb`.
"""

from __future__ import annotations

import os
import re

import pytest

import mnist_efficient_model as challenge
from helpers import ROOT, copy_project, only_in_ci

nbformat = pytest.importorskip("nbformat", reason="nbformat, which reads notebooks, is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient, which executes notebooks, is not installed")
pytest.importorskip("ipykernel", reason="ipykernel, in which notebooks run, is not installed")

NOTEBOOK = ROOT / "challenge.ipynb"
FEWER = {"SEEDS": 2, "RIVALS": ["mlp_small", "mlp"], "WIDTHS": ["accurate_6_8"], "RATES": "0.04"}  # a third of its time


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook, kind: str) -> list[str]:
    """Everything of a MIME type that its cells show; "stream": what they print."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    if kind == "stream":
        return [output.text for output in outputs if output.output_type == "stream"]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


@pytest.mark.parametrize("name", ["strokes", pytest.param("mnist", marks=only_in_ci)])
def test_runs_from_the_first_cell_to_the_last(notebook, name, tmp_path, monkeypatch):
    """On 2,000 strokes; with CI set on all of MNIST, and of strokes, too."""
    folder, out, sizes, parameters = tmp_path / "copy", tmp_path / "out", (60_000, 10_000), code_cells(notebook)[0]
    on_disk = challenge.default_data_dir().resolve()
    copy_project(folder, "mnist_efficient_model.py", *"CITATION.cff data experiments export pages report".split())
    out.mkdir()
    monkeypatch.setenv("MNIST_DATA_DIR", str(tmp_path / "data"))
    if name == "strokes":
        text, sizes = (folder / "data" / "strokes.py").read_text(encoding="utf-8"), (2000, 500)
        (folder / "data" / "strokes.py").write_text(text.replace("60_000", "2_000").replace("10_000", "500"))
    elif challenge.on_disk("mnist", on_disk):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "MNIST").symlink_to(on_disk / "MNIST", target_is_directory=True)
    else:
        pytest.skip("MNIST is not on disk")
    values = {"FOLDER": folder, "RESULTS": out / "results", "DATASET": name, **FEWER}
    assert "parameters" in parameters.metadata.tags and all(f"\n{key} = " in parameters.source for key in values)
    parameters.source += "\nfrom pathlib import *\n" + "\n".join(f"{key} = {value!r}" for key, value in values.items())
    for cell in code_cells(notebook):
        cell.update(outputs=[], execution_count=None)
    resources = {"metadata": {"path": out}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    text, tables = "".join(shown(notebook, "stream")), shown(notebook, "text/html")
    assert "{}: {:,} training and {:,} test images".format(name, *sizes) in text
    assert ("NOT for MNIST" in text) == (name == "strokes")
    verdicts = [">FAIL</b>" in table for table in tables if "RESULTS" in table]
    assert verdicts == [name == "strokes"] * 3, "the network, one's own, and the one taught on strokes"
    assert any("8,706" in table and "Conv2d" in table for table in tables)
    assert sum("<iframe" in table for table in tables) == 4
    assert len(shown(notebook, "image/png")) == 2 and len(shown(notebook, "image/svg+xml")) == 5
    assert {path.name for path in (out / "results").iterdir()} == {"seeds", "sweep"}
    assert os.listdir(out) == ["results"], "nothing lands elsewhere"


def test_says_where_to_find_the_script_if_it_is_not_there(notebook, tmp_path):
    first, second, *_ = code_cells(notebook)
    names = {}
    exec(first.source, names)
    with pytest.raises(FileNotFoundError, match=r"set FOLDER, in the cell above, to the folder"):
        exec(second.source, {**names, "FOLDER": tmp_path})


def test_is_committed_with_the_outputs_of_one_run_on_mnist_and_its_cells_are_short(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)) and 20 <= len(cells) <= 30
    assert max(len(cell.source.splitlines()) for cell in cells) <= 18
    assert "mnist: 60,000 training" in "".join(shown(notebook, "stream"))
    assert len(shown(notebook, "image/png")) == 2 and len(shown(notebook, "image/svg+xml")) == 5
    assert not re.search(r"[ ;\"'](/(home|root|tmp|work|Users)/|[A-Z]:\\\\)", NOTEBOOK.read_text(encoding="utf-8"))
    assert NOTEBOOK.stat().st_size < 1_500_000
