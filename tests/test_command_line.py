"""The command line: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import mnist_efficient_model as challenge

SCRIPT = Path(challenge.__file__)
CONTRACT = (  # what every run tells in JSON, beside its limits
    "model dataset seed device parameters buffers images_seen train_images test_images test_accuracy accuracy_interval "
    "test_loss per_class_accuracy train_seconds macs latency_ms throughput peak_memory_mb passed checkpoint versions"
).split()


@pytest.fixture
def on_fashion(command, fashion_dir, tmp_path):
    """Run on the small FashionMNIST, writing to tmp_path/results."""
    common = ("--dataset", "fashion", "--data-dir", fashion_dir, "--results-dir", tmp_path / "results")
    return lambda *arguments: command(*common, "--batch-size", 16, *arguments)


@pytest.fixture
def too_little(on_fashion):
    """The same with a learning rate so small that nothing is learned: the accuracy limit breaks."""
    return lambda *arguments: on_fashion("--lr", 1e-9, *arguments)


class TestAPassingRun:
    def test_exits_0_and_writes_checkpoint_and_log(self, on_fashion, tmp_path):
        status, out, err = on_fashion()
        assert status == 0
        for words in ("8,706 parameters: under 25,000", "fashion, 2,000 training", "cpu", "seed 0", "RESULTS", "PASS"):
            assert words in out
        assert "FAIL" not in out and str(tmp_path / "results" / "efficient.pth") in out
        assert sorted(p.name for p in (tmp_path / "results").iterdir()) == ["efficient.json", "efficient.pth"]
        assert "2,000 of 2,000 images" in err and len(err.splitlines()) <= 4, "sparse plain lines off a terminal"

    def test_as_json_prints_one_document_and_nothing_else(self, on_fashion, tmp_path):
        status, out, _ = on_fashion("--json")
        document = json.loads(out)
        assert status == 0 and document == json.loads((tmp_path / "results" / "efficient.json").read_text())
        for field in CONTRACT:
            assert document[field] is not None, field
        assert document["limits"] == {"parameters": True, "accuracy": True, "one_epoch": True}
        low, high = document["accuracy_interval"]
        assert low < document["test_accuracy"] <= high + 1e-9
        assert [sum(row) for row in document["confusion"]] == [50] * 10
        assert document["curve"][-1]["images"] == document["images_seen"] == 2000

    def test_quietly_says_one_line(self, on_fashion):
        status, out, err = on_fashion("--quiet")
        assert status == 0 and len(out.splitlines()) == 1 and err == ""

    def test_over_seeds_reports_mean_min_max_and_how_many_passed(self, on_fashion, tmp_path):
        status, out, _ = on_fashion("--seeds", 3, "--seed", 5, "--json")
        document = json.loads(out)
        accuracies = [run["test_accuracy"] for run in document["runs"]]
        summary = document["summary"]
        assert status == 0 and [run["seed"] for run in document["runs"]] == [5, 6, 7]
        assert (summary["runs"], summary["passed"]) == (3, 3)
        assert summary["accuracy_mean"] == pytest.approx(sum(accuracies) / 3)
        assert (summary["accuracy_min"], summary["accuracy_max"]) == (min(accuracies), max(accuracies))
        assert [run["checkpoint"] is not None for run in document["runs"]] == [True, False, False]
        _, saved = challenge.load_checkpoint(tmp_path / "results" / "efficient.pth")
        assert saved["result"]["seed"] == 5, "the first seed, not the luckiest"

    def test_on_a_holdout_scores_the_training_images_and_saves_nothing(self, on_fashion, tmp_path):
        status, out, _ = on_fashion("--holdout", 400, "--json")
        document = json.loads(out)
        assert status == 0 and document["scored_on"] == "holdout" and document["checkpoint"] is None
        assert (document["train_images"], document["test_images"]) == (1600, 400)
        assert not (tmp_path / "results").exists()


class TestAFailingRun:
    def test_exits_1_says_by_how_much_and_sets_an_earlier_checkpoint_aside(self, too_little, on_fashion, tmp_path):
        assert on_fashion("--quiet")[0] == 0
        before = (tmp_path / "results" / "efficient.pth").read_bytes()
        status, out, _ = too_little()
        assert status == 1 and "FAIL" in out and "points short of 95.00 %" in out and "none saved" in out
        assert not (tmp_path / "results" / "efficient.pth").exists(), "it would stand beside a JSON of another run"
        assert (tmp_path / "results" / "efficient.earlier.pth").read_bytes() == before

    def test_writes_no_checkpoint(self, too_little, tmp_path):
        status, out, _ = too_little("--json")
        assert status == 1 and json.loads(out)["checkpoint"] is None and not json.loads(out)["passed"]
        assert [p.name for p in (tmp_path / "results").iterdir()] == ["efficient.json"]

    def test_that_diverges_names_the_step(self, on_fashion):
        status, out, _ = on_fashion("--lr", 1e30, "--json")
        document = json.loads(out)
        assert status == 1 and document["test_accuracy"] is None and document["diverged_at"] >= 1
        assert f"step {document['diverged_at']} of 125" in document["violations"][0]


class TestBadInput:
    @pytest.mark.parametrize(
        "arguments, words",
        [
            (["--model", "eficient"], ["unknown model 'eficient'", "did you mean efficient"]),
            (["--model", "zzz"], ["unknown model 'zzz'", "--list-models"]),
            (["--batch-size", "0"], ["'0' is not a whole number from 1 on"]),
            (["--batch-size", "-3"], ["'-3' is not a whole number from 1 on"]),
            (["--batch-size", "many"], ["'many' is not a whole number from 1 on"]),
            (["--batch-size", "2001"], ["--batch-size 2,001", "only 2,000 images"]),
            (["--lr", "0"], ["'0' is not a number above 0"]),
            (["--lr", "nan"], ["'nan' is not a number"]),
            (["--lr", "inf"], ["'inf' is not a number"]),
            (["--lr", "fast"], ["'fast' is not a number"]),
            (["--seed", "-1"], ["'-1' is not a whole number from 0"]),
            (["--seed", "1.5"], ["'1.5' is not a whole number"]),
            (["--seeds", "0"], ["'0' is not a whole number from 1 to 10000"]),
            (["--seeds", "1000000000"], ["is not a whole number from 1 to 10000"]),
            (["--sweep", "lr=0.01", "--sweep", "lr=0.02"], ["lr is given twice"]),
            (["--model", "x" * 5000 + ".py"], ["no model file"]),
            (["--holdout", "2000"], ["--holdout 2000"]),
            (["--sweep", "label_smoothing=2"], ["label_smoothing: '2' is not a number from 0 to 1"]),
            (["--sweep", "label_smoothing=0,0.1,3"], ["'3' is not a number from 0 to 1"]),
            (["--sweep", "warmup=2"], ["warmup: '2'", "from 0 to 1"]),
            (["--sweep", "fade=5"], ["fade: '5'", "from 0 to 1"]),
            (["--sweep", "translation=50"], ["translation: '50'", "from 0 to 1"]),
            (["--sweep", "batch_size=8.5"], ["not a whole number"]),
            (["--sweep", "batch_size=8,4000", "--holdout", "500"], ["--batch-size 4,000", "only 1,500"]),
            (["--sweep", "colour=red"], ["--sweep colour=red", "KEY=V1,V2"]),
            (["--sweep", "lr="], ["KEY=V1,V2"]),
            (["--sweep", "lr=0.1", "--model", "all"], ["--sweep takes one model"]),
            (["--seed", "9" * 30], ["is not a whole number"]),
            (["--optimizer", "adamant"], ["'adamant' is none of adamw, sgd"]),
            (["--dataset", "cifar"], ["invalid choice: 'cifar'", "mnist"]),
            (["--device", "tpu"], ["invalid choice: 'tpu'"]),
            (["--unheard-of"], ["unrecognized arguments: --unheard-of"]),
            (["stray"], ["unrecognized arguments: stray"]),
        ],
    )
    def test_of_usage_is_one_clear_line_and_status_2(self, on_fashion, tmp_path, arguments, words):
        status, out, err = on_fashion(*arguments)
        assert (
            status == 2
            and out == ""
            and len(err.splitlines()) == 1
            and err.startswith("mnist_efficient_model.py: error:")
        )
        assert all(word in err for word in words), err
        assert not (tmp_path / "results").exists()

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_of_a_device_that_is_not_there_is_status_4(self, on_fashion):
        status, _, err = on_fashion("--device", "cuda")
        assert status == 4 and "not available here (available: " in err and len(err.splitlines()) == 1

    def test_of_a_results_folder_that_is_a_file_is_told_before_training(self, on_fashion, tmp_path):
        (tmp_path / "results").write_text("precious")
        status, _, err = on_fashion()
        assert status == 4 and "cannot write" in err and "images" not in err and len(err.splitlines()) == 1
        assert (tmp_path / "results").read_text() == "precious"

    def test_of_a_full_disk_is_status_4_and_leaves_no_partial_file(self, on_fashion, tmp_path, monkeypatch):
        write = Path.write_bytes

        def disk_full(path, content):
            if len(content) < 1000:
                return write(path, content)
            write(path, content[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "write_bytes", disk_full)
        status, _, err = on_fashion("--quiet")
        assert status == 4 and "No space left on device" in err and len(err.splitlines()) == 1
        assert not list((tmp_path / "results").iterdir())

    def test_of_a_model_that_cannot_be_built_or_run_is_status_3(self, on_fashion, monkeypatch):
        for broken in (lambda: torch.nn.Linear(3, 10), lambda: 1 / 0):
            monkeypatch.setitem(challenge.MODELS, "broken", challenge.ModelSpec(broken, {}))
            status, _, err = on_fashion("--model", "broken", "--quiet")
            assert status == 3 and "'broken' could not be built or run" in err and len(err.splitlines()) == 1

    def test_of_a_duplicate_model_name_is_an_error(self):
        with pytest.raises(ValueError, match="two models are called 'efficient'"):
            challenge.register()(challenge.MODELS["efficient"].build)

    def test_of_an_unknown_override_is_an_error(self):
        with pytest.raises(TypeError, match="learning_rate"):
            challenge.register(learning_rate=1)(lambda: None)


class TestCheckpoints:
    @pytest.fixture
    def checkpoint(self, on_fashion, tmp_path) -> Path:
        assert on_fashion("--quiet")[0] == 0
        return tmp_path / "results" / "efficient.pth"

    def refused(self, path: Path) -> challenge.ChallengeError:
        with pytest.raises(challenge.ChallengeError) as caught:
            challenge.load_checkpoint(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        return caught.value

    def test_come_back_as_they_were_saved(self, checkpoint, fashion_dir):
        model, saved = challenge.load_checkpoint(checkpoint)
        test = challenge.load_dataset("fashion", fashion_dir).test
        assert challenge.evaluate(model, test).accuracy == saved["result"]["test_accuracy"]
        assert saved["model"] == "efficient" and saved["limits"] == {"parameters": 25_000, "accuracy": 0.95}
        assert saved["versions"]["torch"] == str(torch.__version__)

    @pytest.mark.parametrize("keep", [0.0, 0.1, 0.9, 0.999])
    def test_truncated_are_refused(self, checkpoint, keep):
        content = checkpoint.read_bytes()
        checkpoint.write_bytes(content[: int(keep * len(content))])
        assert "is damaged" in str(self.refused(checkpoint))

    def test_that_carry_code_are_refused_and_the_code_is_not_run(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path / 'exploded'}",)

        torch.save({"format": 1, "model": Bomb()}, tmp_path / "bomb.pth")
        assert "carries code" in str(self.refused(tmp_path / "bomb.pth"))
        assert not (tmp_path / "exploded").exists()

    def test_of_something_else_are_refused(self, tmp_path):
        torch.save({"state_dict": {}}, tmp_path / "other.pth")
        assert "not a checkpoint of this script" in str(self.refused(tmp_path / "other.pth"))

    @pytest.mark.parametrize("change", [{"state_dict": {}}, {"state_dict": {"1.weight": torch.zeros(3)}}])
    def test_of_another_model_are_refused(self, checkpoint, change):
        torch.save({**torch.load(checkpoint, weights_only=True), **change}, checkpoint)
        assert "does not fit the model 'efficient'" in str(self.refused(checkpoint))

    def test_that_name_a_file_do_not_have_it_imported(self, checkpoint, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "evil.py").write_text("open('imported', 'w')\ndef build_model(): pass\n")
        torch.save({**torch.load(checkpoint, weights_only=True), "model": "evil.py"}, checkpoint)
        assert "--model-file" in str(self.refused(checkpoint))
        assert not (tmp_path / "imported").exists()

    @pytest.mark.parametrize("entry", ["model", "state_dict", "limits", "result", "versions"])
    @pytest.mark.parametrize("value", [None, 7, ["a list"]])
    def test_with_entries_missing_or_of_another_kind_are_refused(self, checkpoint, entry, value):
        content = torch.load(checkpoint, weights_only=True)
        if value is None:
            del content[entry]
        torch.save(content if value is None else {**content, entry: value}, checkpoint)
        assert f"{entry} is missing or wrong" in str(self.refused(checkpoint))

    def test_that_are_not_there_are_status_4(self, tmp_path):
        assert self.refused(tmp_path / "nothing.pth").status == 4


class TestInformation:
    def test_help_fits_80_columns_and_names_the_exit_statuses(self, command, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        status, out, _ = command("--help")
        assert status == 0 and max(map(len, out.splitlines())) <= 80 and "exit status" in out

    def test_version(self, command):
        assert command("--version")[1].split() == ["mnist_efficient_model.py", challenge.__version__]

    def test_list_models_names_each_with_its_parameters(self, command):
        status, out, _ = command("--list-models")
        assert status == 0
        listed = {line.split()[0]: line.split()[1] for line in out.splitlines()}
        assert listed.keys() == challenge.MODELS.keys() and listed["efficient"] == "8,706"

    def test_colours_only_a_terminal_and_never_with_no_color(self, monkeypatch):
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.delenv("NO_COLOR", raising=False)
        assert challenge.mark(True) == challenge.mark(True, io.StringIO()) == "PASS"
        assert "\033[32m" in challenge.mark(True, Terminal()) and "\033[31m" in challenge.mark(False, Terminal())
        monkeypatch.setenv("NO_COLOR", "1")
        assert challenge.mark(False, Terminal()) == "FAIL"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("moment", ["importing", "training"])
def test_ctrl_c_ends_it_with_130_and_leaves_no_half_written_file(moment, fashion_dir, tmp_path):
    common = ["--dataset", "fashion", "--data-dir", fashion_dir, "--results-dir", tmp_path / "results"]
    command = [sys.executable, "-u", SCRIPT, *common, "--batch-size", "1", "--seeds", "1000", "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if moment == "training":
        assert "efficient" in process.stderr.readline(), "the first progress line"
    else:
        time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    if moment == "training":
        assert process.returncode == 130 and "interrupted" in err
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in err
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())
