"""The command line: what it prints, what it writes, and how it refuses."""

import errno
import json
import os
import signal
from pathlib import Path

import pytest
import torch

import mnist_efficient_model as challenge
from helpers import a_result

CONTRACT = (  # what every run says in JSON, beside its limits
    "model dataset seed device threads parameters buffers images_seen train_images test_images test_accuracy "
    "accuracy_interval test_loss per_class_accuracy train_seconds macs latency_ms peak_memory_mb passed checkpoint "
    "versions"
).split()


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "results"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestAPassingRun:
    def test_exits_0_and_says_all_that_was_measured(self, on_fashion):
        status, out, err = on_fashion()
        assert (status, err) == (0, "") and "FAIL" not in out
        for words in ("fashion (NOT MNIST), 2,000 training", "cpu, seed 0", "< 25,000        8,706", "PASS"):
            assert words in out

    def test_as_json_prints_one_document_and_leaves_it_with_a_checkpoint_that_comes_back(
        self, on_fashion, digits, results
    ):
        status, out, err = on_fashion("--json")
        document = json.loads(out)
        assert status == 0 and "RESULTS" in err and str(results / "efficient-fashion.pth") in err
        assert [field for field in CONTRACT if document[field] is None] == []
        assert document["limits"] == {"parameters": True, "accuracy": True, "one_epoch": True}
        low, high = document["accuracy_interval"]
        assert low < document["test_accuracy"] <= high + 1e-9
        assert [sum(row) for row in document["confusion"]] == [50] * 10
        assert document["curve"][-1]["images"] == document["images_seen"] == 2000
        assert names(results) == ["efficient-fashion.json", "efficient-fashion.pth"]
        assert document == json.loads((results / "efficient-fashion.json").read_text())
        model, saved = challenge.load_checkpoint(results / "efficient-fashion.pth")
        test = challenge.load_dataset("fashion", digits).test
        assert challenge.evaluate(model, test).accuracy == saved["result"]["test_accuracy"]
        assert saved["model"] == "efficient" and saved["limits"] == {"parameters": 25_000, "accuracy": 0.95}
        assert saved["versions"]["torch"] == str(torch.__version__)

    def test_quietly_says_one_line(self, on_fashion):
        status, out, err = on_fashion("--quiet")
        assert (status, len(out.splitlines()), err) == (0, 1, "")

    def test_over_seeds_reports_mean_min_max_and_how_many_passed(self, on_fashion, results):
        status, out, _ = on_fashion("--seeds", 3, "--seed", 5, "--json")
        document = json.loads(out)
        runs, summary = document["runs"], document["summary"]
        accuracies = [run["test_accuracy"] for run in runs]
        assert status == 0 and [run["seed"] for run in runs] == [5, 6, 7]
        assert (summary["runs"], summary["passed"]) == (3, 3)
        assert summary["accuracy_mean"] == pytest.approx(sum(accuracies) / 3)
        assert (summary["accuracy_min"], summary["accuracy_max"]) == (min(accuracies), max(accuracies))
        assert [run["checkpoint"] is not None for run in runs] == [True, False, False]
        _, saved = challenge.load_checkpoint(results / "efficient-fashion.pth")
        assert saved["result"]["seed"] == 5, "the first seed, not the luckiest"

    def test_on_a_holdout_scores_the_training_images_and_saves_nothing(self, on_fashion, results):
        status, out, _ = on_fashion("--holdout", 400, "--json")
        document = json.loads(out)
        assert status == 0 and document["scored_on"] == "holdout" and document["checkpoint"] is None
        assert (document["train_images"], document["test_images"]) == (1600, 400)
        assert not results.exists()


class TestAFailingRun:
    def test_exits_1_says_by_how_much_and_saves_none_but_leaves_an_earlier_checkpoint_alone(self, on_fashion, results):
        assert on_fashion("--quiet")[0] == 0
        before = (results / "efficient-fashion.pth").read_bytes()
        status, out, _ = on_fashion("--lr", 1e-9)  # so small that nothing is learned
        assert status == 1 and "FAIL" in out and "points short of 95.00 %" in out and "none saved" in out
        assert (results / "efficient-fashion.pth").read_bytes() == before
        document = json.loads((results / "efficient-fashion.json").read_text())
        assert (document["passed"], document["checkpoint"]) == (False, None)

    def test_that_diverges_names_the_step(self, on_fashion):
        status, out, _ = on_fashion("--lr", 1e30, "--json")
        document = json.loads(out)
        assert status == 1 and document["test_accuracy"] is None and document["diverged_at"] >= 1
        assert f"step {document['diverged_at']} of 125" in document["violations"][0]


class TestBadInput:
    @pytest.mark.parametrize(
        "arguments, words",
        [
            ("--batch-size 0", "batch_size '0': it must be a whole number from 1"),
            ("--batch-size many", "--batch-size: invalid int value: 'many'"),
            ("--batch-size 2001", "--batch-size 2,001: there are only 2,000 images"),
            ("--lr 0", "lr '0.0': it must be a number"),
            ("--lr nan", "lr 'nan': it must be a number"),
            ("--lr fast", "--lr: invalid float value: 'fast'"),
            ("--seed -1", "--seed -1: it must be from 0"),
            (f"--seed {'9' * 30}", "it must be from 0"),
            ("--seeds 0", "--seeds 0: it must be from 1"),
            ("--jobs 0", "--jobs 0: it must be from 1"),
            ("--holdout 2000", "--holdout 2000: it must leave images to train on"),
            ("--holdout 100 --test-on mnist", "without --test-on"),
            (f"--model {'x' * 5000}.py", "no model file"),
            ("--optimizer adamant", "invalid choice: 'adamant'"),
            ("--device tpu", "invalid choice: 'tpu'"),
            ("--sweep lr=0.1", "unrecognized arguments: --sweep"),
        ],
    )
    def test_of_usage_is_one_clear_line_and_status_2(self, on_fashion, results, arguments, words):
        status, out, err = on_fashion(*arguments.split())
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert err.startswith("mnist_efficient_model.py: error:") and words in err, err
        assert not results.exists()

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_of_a_device_that_is_not_there_is_status_4(self, on_fashion):
        status, _, err = on_fashion("--device", "cuda")
        assert status == 4 and "not available here (available: " in err and len(err.splitlines()) == 1

    def test_of_a_results_folder_that_is_a_file_is_refused_before_training(self, on_fashion, results):
        results.write_text("precious")
        status, out, err = on_fashion()
        assert (status, out, len(err.splitlines())) == (4, "", 1) and "cannot write" in err
        assert results.read_text() == "precious"

    def test_of_a_full_disk_is_status_4_and_leaves_no_partial_file(self, on_fashion, results, monkeypatch):
        write = Path.write_bytes

        def disk_full(path, content):
            write(path, content[:1000])
            if len(content) >= 1000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "write_bytes", disk_full)
        status, _, err = on_fashion("--quiet")
        assert status == 4 and "No space left on device" in err and len(err.splitlines()) == 1
        assert not list(results.iterdir())


class TestCheckpoints:
    @pytest.fixture
    def checkpoint(self, tmp_path) -> Path:
        """Of a run that did not take place: that it is loaded is the matter here."""
        result = a_result(model="efficient", passed=True, versions={"torch": str(torch.__version__)})
        challenge.save_checkpoint(tmp_path / "it.pth", challenge.build_model("efficient"), result)
        return tmp_path / "it.pth"

    def refused(self, path: Path) -> challenge.ChallengeError:
        with pytest.raises(challenge.ChallengeError) as caught:
            challenge.load_checkpoint(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        return caught.value

    @pytest.mark.parametrize("content", [0, 0.1, 0.9, 0.999, b"\x80\x02.", b"PK\x03\x04" + b"\0" * 100])
    def test_cut_short_or_of_arbitrary_bytes_are_refused(self, checkpoint, content):
        whole = checkpoint.read_bytes()
        checkpoint.write_bytes(content if isinstance(content, bytes) else whole[: int(content * len(whole))])
        error = self.refused(checkpoint)
        assert error.status == 3 and ("is damaged" in str(error) or "carries code" in str(error))

    def test_that_carry_code_are_refused_and_the_code_is_not_run(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path / 'exploded'}",)

        torch.save({"format": 1, "model": Bomb()}, tmp_path / "bomb.pth")
        assert "carries code" in str(self.refused(tmp_path / "bomb.pth"))
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize("state", [{}, {"1.weight": torch.zeros(3)}, {"3.weight": "text"}])
    def test_of_another_model_are_refused(self, checkpoint, state):
        torch.save({**torch.load(checkpoint, weights_only=True), "state_dict": state}, checkpoint)
        assert "does not fit 'efficient'" in str(self.refused(checkpoint))

    def test_that_name_a_file_do_not_have_it_imported(self, checkpoint, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "evil.py").write_text("open('imported', 'w')\ndef build_model(): pass\n")
        torch.save({**torch.load(checkpoint, weights_only=True), "model": "evil.py"}, checkpoint)
        assert "--model-file" in str(self.refused(checkpoint))
        assert not (tmp_path / "imported").exists()

    @pytest.mark.parametrize("entry", ["format", "model", "state_dict", "limits", "result", "versions"])
    @pytest.mark.parametrize("value", [None, 7, ["a list"]])
    def test_with_entries_missing_or_of_another_kind_are_refused(self, checkpoint, entry, value):
        content = torch.load(checkpoint, weights_only=True)
        if value is None:
            del content[entry]
        torch.save(content if value is None else {**content, entry: value}, checkpoint)
        assert "is damaged or no checkpoint" in str(self.refused(checkpoint))

    def test_that_are_not_there_are_status_4(self, tmp_path):
        assert self.refused(tmp_path / "nothing.pth").status == 4


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("moment", ["importing", "training"])
def test_ctrl_c_ends_it_and_leaves_no_half_written_file(start, results, moment):
    environment = {"PYTHONPROFILEIMPORTTIME": "1"} if moment == "importing" else {}
    process = start("--batch-size", 1, env={**os.environ, **environment})
    if moment == "training":
        assert "Model" in process.stdout.readline(), "the header"
    else:
        assert any("numpy" in line for line in process.stderr), "the first of what takes long"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if moment == "training" else -signal.SIGINT)
    assert ("interrupted" in err) == (moment == "training") and "Traceback" not in err
    assert not results.exists() or not list(results.iterdir())
