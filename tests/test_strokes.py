"""Strokes: digits drawn with a pen, the same everywhere, placed as MNIST's are, and cached whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import mnist_efficient_model as challenge
from data import strokes
from helpers import ROOT

DIGEST = "32d86d66bae7b0712a53e9e6ec85ad80f83f96dfc71e0efe75ea9dff1d2762f5"
IDX_FILES = [file for files in challenge.IDX_FILES.values() for file in files]


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return strokes.generate(1000, 7, "train")


@pytest.fixture
def small(monkeypatch) -> None:
    """Data sets small enough to draw in a moment."""
    monkeypatch.setattr(strokes, "SIZES", {"train": 100, "test": 20})


def digest(drawn: tuple[np.ndarray, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in drawn)).hexdigest()


class TestDigits:
    def test_are_bytes_of_mnists_shape_equally_many_of_each_and_shuffled(self, drawn):
        images, labels = drawn
        assert (images.shape, images.dtype) == ((1000, 28, 28), np.uint8)
        assert (labels.shape, labels.dtype) == ((1000,), np.uint8)
        assert np.bincount(labels).tolist() == [100] * 10
        assert len(set(labels[:50].tolist())) > 5, "not sorted by class"

    def test_can_be_few(self):
        for n in (1, 9, 10, 11):
            images, labels = strokes.generate(n, 0, "test")
            assert len(images) == len(labels) == n and len(set(labels.tolist())) == min(n, 10)

    def test_are_the_same_bytes_for_a_seed_on_every_machine_with_any_number_of_threads(self, monkeypatch):
        assert digest(strokes.generate(500, 1, "train")) == DIGEST
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
        assert digest(strokes.generate(500, 1, "train")) == DIGEST
        assert digest(strokes.generate(500, 2, "train")) != DIGEST

    def test_have_ink_from_faint_to_black(self, drawn):
        images, _ = drawn
        assert (images.reshape(len(images), -1).max(1) >= 128).all(), "a blank or faint image"
        shares = (images > 0).mean((1, 2))
        assert shares.min() > 0.02 and shares.max() < 0.5
        assert len(np.unique(images)) > 10, "edges are grey"

    def test_fill_a_box_of_20_pixels_whose_centre_of_mass_is_the_centre_and_no_two_are_alike(self, drawn):
        images = drawn[0].astype(float)
        extents = np.stack([np.array([np.ptp(np.flatnonzero(i.any(axis))) + 1 for i in images]) for axis in (0, 1)])
        assert extents.max() == 20 and (extents.max(0) >= 19).all()
        for axis in (1, 2):
            centre = (images.sum(axis) * np.arange(28)).sum(1) / images.sum((1, 2))
            assert np.abs(centre - 14).max() <= 1  # where MNIST's lies, in pixels from the first one's middle
        assert len(np.unique(images.reshape(1000, -1), axis=0)) == 1000


class TestWriters:
    def test_of_the_two_sets_have_their_own_habits(self):
        slants = [strokes.draw_hands(100, strokes.Chance(0, stream)).slant for stream in strokes.WRITERS.values()]
        assert not np.intersect1d(*slants).size
        train, test = (strokes.generate(500, 0, writers)[0] for writers in ("train", "test"))
        assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}

    def test_have_several_ways_for_every_digit(self):
        assert set(strokes.WAYS) == set(range(10))
        assert all(len({way for _, way in ways}) == len(ways) >= 5 for ways in strokes.WAYS.values())


class TestCache:
    def test_gives_back_what_was_drawn_as_idx_files_that_the_script_reads(self, tmp_path, small, monkeypatch):
        first = strokes.load(tmp_path)
        monkeypatch.setattr(strokes, "generate", lambda *_: pytest.fail("drawn again"))
        for drawn, cached, files in zip(first, strokes.load(tmp_path), challenge.IDX_FILES.values(), strict=True):
            for one, same, file in zip(drawn, cached, files, strict=True):
                assert np.array_equal(one, same) and np.array_equal(one, challenge.read_idx(tmp_path / file))
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*IDX_FILES, strokes.STAMP])

    def test_of_another_version_is_drawn_anew(self, tmp_path, small, monkeypatch):
        strokes.load(tmp_path)
        monkeypatch.setattr(strokes, "version", lambda: "a later one")
        monkeypatch.setattr(strokes, "generate", lambda n, *_: (np.ones((n, 28, 28), "u1"), np.zeros(n, "u1")))
        (images, _), _ = strokes.load(tmp_path)
        assert images.all() and strokes.read_cache(tmp_path)[0][0].all()

    @pytest.mark.parametrize("file", [*IDX_FILES, strokes.STAMP])
    @pytest.mark.parametrize("harm", ["gone", "cut short"])
    def test_with_a_file_missing_or_cut_short_is_drawn_anew(self, tmp_path, small, file, harm):
        whole = strokes.load(tmp_path)
        path = tmp_path / file
        path.unlink() if harm == "gone" else path.write_bytes(path.read_bytes()[:-5])
        assert strokes.read_cache(tmp_path) is None
        assert digest(strokes.load(tmp_path)[0]) == digest(whole[0])
        assert strokes.read_cache(tmp_path) is not None

    def test_is_not_believed_when_the_writer_was_killed(self, tmp_path, small, monkeypatch):
        replace, left = os.replace, iter(range(2))
        with monkeypatch.context() as patch, pytest.raises(StopIteration):
            patch.setattr(os, "replace", lambda *paths: (next(left), replace(*paths)))
            strokes.load(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2 and strokes.read_cache(tmp_path) is None
        strokes.load(tmp_path)
        assert strokes.read_cache(tmp_path) is not None

    def test_may_be_made_by_two_runs_at_once(self, tmp_path):
        program = (
            "import sys; from pathlib import Path; from data import strokes\n"
            "strokes.SIZES = {'train': 100, 'test': 20}\n"
            "for _ in range(8): strokes.write_cache(Path(sys.argv[1]), {s: strokes.generate(n, 0, s) for s, n in "
            "strokes.SIZES.items()}); assert strokes.read_cache(Path(sys.argv[1]))"
        )
        arguments = [sys.executable, "-c", program, str(tmp_path)]
        runs = [subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
        assert [(run.communicate()[1], run.returncode) for run in runs] == [(b"", 0)] * 2
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*IDX_FILES, strokes.STAMP])

    def test_in_a_forbidden_place_is_done_without(self, tmp_path, small):
        (tmp_path / "file").write_text("not a folder")
        (images, labels), (test_images, _) = strokes.load(tmp_path / "file" / "strokes")
        assert len(images) == len(labels) == 100 and len(test_images) == 20


def test_no_file_but_the_source_is_read(tmp_path):
    program = (
        "import sys; from pathlib import Path; from data import strokes\n"
        "strokes.SIZES = {'train': 200, 'test': 50}\n"
        "strokes.generate(10, 0, 'train')  # what Python imports late is imported now\n"
        "sys.addaudithook(lambda event, about: event == 'open' and print(about[0]))\n"
        "strokes.load(Path(sys.argv[1]))"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path)]
    opened = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.split("\n")
    assert {path for path in opened if path and not path.startswith(str(tmp_path))} == {strokes.__file__}
    assert any(path.startswith(str(tmp_path)) for path in opened), "the hook sees what is opened"


def test_the_command_draws_a_contact_sheet(tmp_path):
    image = pytest.importorskip("PIL.Image")
    strokes.main(["--show", str(tmp_path / "out.png")])
    sheet = np.asarray(image.open(tmp_path / "out.png").convert("L"))
    rows = np.array_split(sheet, 10)
    assert sheet.shape[1] > sheet.shape[0] and all(row.min() == 0 and row.max() == 255 for row in rows)
