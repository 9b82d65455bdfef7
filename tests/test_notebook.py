"""The notebook runs from its first cell to its last, and is committed as such a run left it.

Its outputs are renewed by `jupyter execute --inplace challenge.ipynb`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import mnist_efficient_model as challenge

nbformat = pytest.importorskip("nbformat", reason="nbformat, which reads notebooks, is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient, which executes notebooks, is not installed")
pytest.importorskip("ipykernel", reason="ipykernel, in which notebooks run, is not installed")

ROOT = Path(challenge.__file__).parent
NOTEBOOK = ROOT / "challenge.ipynb"
FEWER = {"SEEDS": 2, "RIVALS": ["mlp_small", "mlp"], "WIDTHS": ["accurate_6_8"], "RATES": "0.04"}  # a third of its time


def executed(folder: Path, **parameters: object):
    """The notebook after a run from ``folder``, with these values for names of its cell of parameters."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (at,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    assert all(f"\n{name} = " in notebook.cells[at].source for name in parameters), "each is one of its parameters"
    values = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell("from pathlib import PosixPath, WindowsPath\n" + values))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    resources = {"metadata": {"path": folder}}
    return nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()


def shown(notebook, kind: str) -> list[str]:
    """Everything of a MIME type that its cells show; "stream": what they print."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    if kind == "stream":
        return [output.text for output in outputs if output.output_type == "stream"]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


@pytest.fixture
def data_folder(tmp_path_factory, request) -> Path:
    """A folder with MNIST, where it is on disk, and with strokes, which are drawn once and kept in pytest's cache."""
    folder, on_disk = tmp_path_factory.mktemp("data"), challenge.default_data_dir().resolve()
    (folder / "strokes").symlink_to(request.config.cache.mkdir("strokes"), target_is_directory=True)
    if challenge.on_disk("mnist", on_disk):
        (folder / "MNIST").symlink_to(on_disk / "MNIST", target_is_directory=True)
    return folder


@pytest.mark.parametrize("name", ["strokes", "mnist"])
def test_runs_from_the_first_cell_to_the_last(name, data_folder, tmp_path, monkeypatch):
    if name == "mnist" and not challenge.on_disk("mnist", data_folder):
        pytest.skip("MNIST is not on disk")
    monkeypatch.setenv("MNIST_DATA_DIR", str(data_folder))
    notebook = executed(tmp_path, FOLDER=ROOT, RESULTS=tmp_path / "results", DATASET=name, **FEWER)
    text, tables = "".join(shown(notebook, "stream")), shown(notebook, "text/html")
    assert f"{name}: 60,000 training and 10,000 test images" in text
    assert ("NOT for MNIST" in text) == (name == "strokes")
    verdicts = [table for table in tables if "RESULTS" in table and ">PASS</b>" in table]
    assert len(verdicts) == 3, "the network, one's own, and the one taught on strokes"
    assert any("8,706" in table and "Conv2d" in table for table in tables)
    assert sum("<iframe" in table for table in tables) == 4
    assert len(shown(notebook, "image/png")) == 2 and len(shown(notebook, "image/svg+xml")) == 5
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"seeds", "sweep"}
    assert os.listdir(tmp_path) == ["results"], "nothing lands elsewhere"


def test_says_where_to_find_the_script_if_it_is_not_there(tmp_path):
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=r"set FOLDER, in the cell above, to the folder"):
        executed(tmp_path, FOLDER=tmp_path)


def test_is_committed_with_the_outputs_of_one_run_on_mnist():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "mnist: 60,000 training" in "".join(shown(notebook, "stream"))
    assert len(shown(notebook, "image/png")) == 2 and len(shown(notebook, "image/svg+xml")) == 5
    assert not re.search(r"[ ;\"'](/(home|root|tmp|work|Users)/|[A-Z]:\\\\)", NOTEBOOK.read_text(encoding="utf-8"))
    assert NOTEBOOK.stat().st_size < 1_500_000


def test_its_cells_are_short():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    lines = [len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code"]
    assert max(lines) <= 18 and 20 <= len(lines) <= 30
