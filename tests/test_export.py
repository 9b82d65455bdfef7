"""What leaves PyTorch predicts as PyTorch does, in onnxruntime and in a real browser, or is not written."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mnist_efficient_model as challenge
from data import strokes
from export import __main__ as command_line
from export.checkpoint import load_passing
from export.formats import COLUMNS, Format, draw_panel, format_bars
from export.onnx_file import OnnxModel, check_same, to_onnx
from export.page import HERE, to_html
from helpers import drawings

EXTRAS = [package for package in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(package) is None]
needs_onnx = pytest.mark.skipif(bool(EXTRAS), reason=f"needs {', '.join(EXTRAS)}: {command_line.INSTALL}")
PAGE_MODELS = "efficient lightweight_conv lightweight_experts cnn cnn_small cnn_large resnet mlp_small".split()
REFUSED = {"lightweight": "0' (Patches)", "rnn": "RowReader", "csnn": "Spiking"}


def strokes_split(n: int, writers: str) -> challenge.Split:
    images, labels = strokes.generate(n, 0, writers)
    return challenge.Split(torch.from_numpy(images), torch.from_numpy(labels).long())


@pytest.fixture(scope="module")
def data() -> challenge.Dataset:
    return challenge.Dataset("strokes", strokes_split(12_000, "train"), strokes_split(1000, "test"), "test")


@pytest.fixture(scope="module")
def trained(data) -> tuple[challenge.Result, nn.Module]:
    """The compact network after an epoch of strokes: it reads digits."""
    result, model = challenge.run("efficient", data, seed=1)
    assert result.passed, result.violations
    return result, model


@pytest.fixture(scope="module")
def checkpoint(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("results") / "efficient.pth"
    challenge.save_checkpoint(path, trained[1], trained[0], challenge.Limits())
    return path


@pytest.fixture
def export_command(data, monkeypatch, capsys):
    """Run ``python -m export`` in this process, on a small set of strokes; returns (status, stdout, stderr)."""
    monkeypatch.setattr(challenge, "load_dataset", lambda *_, **__: data)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = command_line.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse ends usage errors this way
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def edited(checkpoint, tmp_path):
    """A copy of the checkpoint with its content changed by a function."""

    def edit(change) -> Path:
        content = torch.load(checkpoint, weights_only=True)
        change(content)
        torch.save(content, tmp_path / "edited.pth")
        return tmp_path / "edited.pth"

    return edit


def randomised(name: str) -> nn.Module:
    """A model whose every weight and statistic is random, so that no term of a layer is lost in ones and zeros."""
    generator = torch.Generator().manual_seed(0)
    model = challenge.build_model(name).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return model


def table(out: str) -> dict[str, list[str]]:
    """The rows of the printed table: a format's name and its figures."""
    lines = [line.split() for line in out.splitlines() if line.startswith(("eager", "torch.compile", "ONNX", "int8"))]
    return {name: figures for name, *figures in lines if figures[:1] != ["has"]}


class TestAModelOfSomebodysOwnFile:
    @pytest.fixture
    def own(self, edited, tmp_path) -> tuple[Path, Path]:
        """A checkpoint of the compact network as a file's model, and that file, which leaves a trace when executed."""
        file = tmp_path / "mine.py"
        file.write_text(
            "import pathlib\nfrom mnist_efficient_model import efficient as build_model\n"
            "pathlib.Path(__file__).with_name('executed').touch()\n"
        )

        def rename(content: dict) -> None:
            content["model"] = content["result"]["model"] = str(file)

        return edited(rename), file

    def test_is_loaded_when_the_user_names_the_file(self, export_command, own, tmp_path):
        checkpoint, file = own
        status, _, err = export_command(checkpoint, "--html", tmp_path / "it.html", "--model-file", file)
        assert (status, err) == (0, "") and "mine.py</dd>" in (tmp_path / "it.html").read_text()

    def test_is_never_executed_because_a_checkpoint_names_it(self, export_command, own, tmp_path):
        status, _, err = export_command(own[0], "--html", tmp_path / "it.html")
        assert status == 3 and "--model-file" in err and err.count("\n") == 1
        assert not (tmp_path / "executed").exists() and not (tmp_path / "it.html").exists()

    def test_that_does_not_fit_the_checkpoint_is_refused(self, export_command, own, tmp_path):
        (tmp_path / "other.py").write_text("from mnist_efficient_model import mlp_small as build_model\n")
        status, _, err = export_command(own[0], "--html", tmp_path / "it.html", "--model-file", tmp_path / "other.py")
        assert status == 3 and "does not fit" in err


class TestOnnx:
    @needs_onnx
    def test_predicts_as_pytorch_does_for_any_batch_size(self, export_command, checkpoint, trained, tmp_path):
        import onnxruntime

        status, out, err = export_command(checkpoint, "--onnx", tmp_path / "it.onnx")
        assert (status, err) == (0, "") and "the same predictions on all 1,000 test images" in out
        session = onnxruntime.InferenceSession(tmp_path / "it.onnx", providers=["CPUExecutionProvider"])
        for n in (1, 3, 64):
            images = torch.randn(n, 1, 28, 28)
            theirs = session.run(["logits"], {"images": images.numpy()})[0]
            with torch.no_grad():
                assert np.abs(trained[1].eval()(images).numpy() - theirs).max() < 1e-4

    @needs_onnx
    def test_says_how_to_feed_it_and_nothing_of_the_machine_it_was_made_on(self, trained):
        import onnx

        proto = onnx.load_from_string(to_onnx(trained[1], trained[0].plain()))
        about = {entry.key: entry.value for entry in proto.metadata_props}
        assert about["model"] == "efficient" and str(challenge.MEAN) in about["images"]
        assert b".py" not in proto.SerializeToString()

    @needs_onnx
    def test_that_predicts_otherwise_is_refused_and_not_written(
        self, export_command, checkpoint, tmp_path, monkeypatch
    ):
        another = to_onnx(randomised("efficient"), load_passing(checkpoint)[1])
        monkeypatch.setattr(command_line, "to_onnx", lambda *_: another)
        status, _, err = export_command(checkpoint, "--onnx", tmp_path / "it.onnx")
        assert status == 3 and re.search(r"\d+ of 1,000 predictions change", err)
        assert list(tmp_path.iterdir()) == []

    @needs_onnx
    @pytest.mark.parametrize("name", ["lightweight", "csnn"])
    def test_takes_models_of_other_kinds(self, name, data, trained):
        model = challenge.build_model(name).eval()
        content = to_onnx(model, {**trained[0].plain(), "model": name})
        assert check_same(model, content, data.test.images[:50]) < 1e-4

    @needs_onnx
    def test_a_model_that_cannot_be_exported_is_one_line_with_the_cause(self, trained, capfd):
        class Branching(nn.Flatten):
            def forward(self, images):
                print("noise")
                return super().forward(images) if images.sum().item() > 0 else images.sum()

        with pytest.raises(challenge.ChallengeError, match="data-dependent") as caught:
            to_onnx(Branching(), trained[0].plain())
        assert caught.value.status == 3 and "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")

    @needs_onnx
    def test_ctrl_c_in_the_exporter_is_no_failure_of_the_model(self, trained):
        class Interrupted(nn.Flatten):
            def forward(self, images):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            to_onnx(Interrupted(), trained[0].plain())

    def test_without_its_packages_names_the_line_that_installs_them(self, export_command, checkpoint, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
        status, _, err = export_command(checkpoint, "--int8")
        assert status == 4 and err.count("\n") == 1 and "pip install -r export/requirements.txt" in err


class TestInt8AndTheComparison:
    @needs_onnx
    def test_is_smaller_hardly_less_accurate_and_reported_before_and_after(self, export_command, checkpoint, data):
        status, out, _ = export_command(checkpoint, "--int8")
        assert status == 0
        small = checkpoint.with_suffix(".int8.onnx").read_bytes()
        accuracy = challenge.evaluate(OnnxModel(small), data.test).accuracy
        assert accuracy > challenge.evaluate(load_passing(checkpoint)[0], data.test).accuracy - 0.02
        rows = table(out)
        assert int(rows["ONNX"][0].replace(",", "")) * 0.75 > len(small)
        assert rows["int8"][0] == f"{len(small):,}" and float(rows["int8"][1]) == pytest.approx(
            100 * accuracy, abs=0.01
        )
        assert len(rows["ONNX"]) == 5 and re.search(r"times as (fast|slow) for one image", out)

    @needs_onnx
    def test_what_does_not_run_here_is_blank_with_a_note_and_drawn(self, export_command, checkpoint, monkeypatch):
        def no_compiler(model: nn.Module, **_: object) -> nn.Module:
            class Broken(nn.Module):
                def forward(self, images):
                    raise RuntimeError("no working C++ compiler\nand much more")

            return Broken()

        monkeypatch.setattr(torch, "compile", no_compiler)
        status, out, _ = export_command(checkpoint, "--compare")
        rows = table(out)
        assert status == 0 and rows["torch.compile"] == []
        assert "Note: torch.compile does not run here: no working C++ compiler\n" in out
        assert [len(rows[name]) for name in ("eager", "ONNX", "int8")] == [5, 5, 5]
        assert checkpoint.with_suffix(".formats.png").read_bytes().startswith(b"\x89PNG")

    def test_its_picture_is_drawn_whatever_backend_and_settings_pyplot_has(self, monkeypatch):
        matplotlib = pytest.importorskip("matplotlib")

        monkeypatch.setenv("MPLBACKEND", "module://no_such_backend")
        before = dict(matplotlib.rcParams)
        formats = [Format("eager", 1000, 0.97, 1.0, 2.0, 3000.0), Format("torch.compile", note="no compiler")]
        assert format_bars(formats, "title").startswith(b"\x89PNG")
        assert dict(matplotlib.rcParams) == before

    def test_accuracies_close_together_have_plain_numbers_on_their_axis(self):
        figure = pytest.importorskip("matplotlib.figure").Figure()
        formats = [Format("ONNX", accuracy=0.9898), Format("int8", accuracy=0.9899)]
        draw_panel(figure.subplots(), formats, *COLUMNS[1])
        figure.draw_without_rendering()
        assert figure.axes[0].xaxis.get_offset_text().get_text() == ""


class TestBadInput:
    def refusal(self, export_command, *arguments) -> tuple[int, str]:
        status, out, err = export_command(*arguments)
        assert out == "" and "export: error: " in err and err.count("\n") == 1
        return status, err

    def test_nothing_to_do_is_a_usage_error(self, export_command, checkpoint):
        status, err = self.refusal(export_command, checkpoint)
        assert status == 2 and "--onnx" in err

    @pytest.mark.parametrize("size", [0, 100, 20_000])
    def test_a_truncated_checkpoint(self, export_command, checkpoint, tmp_path, size):
        (tmp_path / "short.pth").write_bytes(checkpoint.read_bytes()[:size])
        status, err = self.refusal(export_command, tmp_path / "short.pth", "--html", tmp_path / "it.html")
        assert status in (3, 4) and "short.pth" in err and not (tmp_path / "it.html").exists()

    def test_a_checkpoint_that_is_not_there(self, export_command, tmp_path):
        status, err = self.refusal(export_command, tmp_path / "no.pth", "--html", tmp_path / "it.html")
        assert status == 4 and "no.pth" in err

    def test_a_run_that_broke_a_limit(self, export_command, edited, tmp_path):
        failed = {"passed": False, "violations": ["accuracy 90.00 %: 5.00 points short"]}
        path = edited(lambda content: content["result"].update(failed))
        status, err = self.refusal(export_command, path, "--html", tmp_path / "it.html")
        assert status == 1 and "5.00 points short" in err

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: content["result"].pop("seed"),
            lambda content: content.pop("result"),
            lambda content: content.pop("model"),
            lambda content: content["state_dict"].popitem(),
        ],
    )
    def test_a_checkpoint_of_another_version(self, export_command, edited, tmp_path, change):
        path = edited(change)
        status, err = self.refusal(export_command, path, "--html", tmp_path / "it.html")
        assert status == 3 and "edited.pth" in err

    @pytest.mark.parametrize("option", ["--html", "--onnx"])
    def test_a_target_that_cannot_be_written(self, export_command, checkpoint, tmp_path, option):
        (tmp_path / "file").write_text("")
        for target in (tmp_path, tmp_path / "file" / "it"):
            status, err = self.refusal(export_command, checkpoint, option, target)
            assert status == 4 and f"cannot write {target}" in err

    def test_a_model_that_was_not_trained_on_digits_has_no_page(self, trained):
        result, model = trained
        with pytest.raises(
            challenge.ChallengeError, match="the page is for models of digits, this one was trained on fashion"
        ) as caught:
            to_html(model, {**result.plain(), "dataset": "fashion"})
        assert caught.value.status == 3

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_model_with_unknown_layers_has_no_page(self, name, trained):
        with pytest.raises(challenge.ChallengeError, match="cannot be written as JavaScript") as caught:
            to_html(challenge.build_model(name), {**trained[0].plain(), "model": name})
        assert caught.value.status == 3 and REFUSED[name] in str(caught.value)

    @pytest.mark.parametrize(
        "layer, words",
        [
            (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding_mode='reflect'"),
            (nn.Conv2d(1, 1, 3, padding="same"), "padding='same'"),
            (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode=True"),
            (nn.Upsample(scale_factor=0.65, mode="bilinear"), "scale_factor=0.65"),
            (nn.AdaptiveAvgPool2d(2), "output_size=2"),
            (nn.Linear(28, 10), "not flat"),
            (type("Odd", (nn.ReLU,), {})(), "known layers"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
    )
    def test_an_option_without_javascript_is_named_with_its_layer(self, trained, layer, words):
        model = nn.Sequential(nn.Sequential(nn.Identity(), layer))
        with pytest.raises(challenge.ChallengeError, match=re.escape(words)) as caught:
            to_html(model, trained[0].plain())
        assert f"layer '0.1' ({type(layer).__name__})" in str(caught.value)


class TestOutputs:
    @pytest.fixture
    def own(self, checkpoint, tmp_path) -> Path:
        return Path(shutil.copy(checkpoint, tmp_path / "a.pth"))

    @pytest.mark.parametrize("option", ["--html", "--onnx", "--int8", "--compare"])
    def test_never_replace_the_checkpoint(self, export_command, own, option):
        before = own.read_bytes()
        status, out, err = export_command(own, option, own)
        assert (status, out) == (2, "") and "would replace" in err and err.count("\n") == 1
        assert own.read_bytes() == before

    @pytest.mark.parametrize("way", ["another spelling", "a link", "a hard link", "a link to its folder"])
    def test_never_replace_the_checkpoint_by_another_name(self, export_command, own, tmp_path, way):
        target = tmp_path / "it.html"
        if way == "another spelling":
            (tmp_path / "folder").mkdir()
            target = tmp_path / "folder" / ".." / own.name
        elif way == "a link":
            target.symlink_to(own)
        elif way == "a hard link":
            target.hardlink_to(own)
        else:
            (tmp_path / "folder").symlink_to(tmp_path)
            target = tmp_path / "folder" / own.name
        before = own.read_bytes()
        status, _, err = export_command(own, "--html", target)
        assert status == 2 and "would replace" in err and own.read_bytes() == before

    def test_never_replace_the_models_file_or_the_data(self, export_command, own, tmp_path):
        images = tmp_path / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte"
        images.parent.mkdir(parents=True)
        images.write_text("")
        (tmp_path / "mine.py").write_text("")
        options = ["--model-file", f"{tmp_path / 'mine.py'}:Model", "--data-dir", tmp_path / "data"]
        for target in (images, tmp_path / "mine.py"):
            status, _, err = export_command(own, "--html", target, *options)
            assert status == 2 and f"would replace {target}" in err

    def test_never_replace_this_projects_own_files(self):
        from export.outputs import check_outputs, files_read

        for target in (HERE / "page.html", Path(challenge.__file__), challenge.STROKES):
            with pytest.raises(challenge.ChallengeError, match="would replace"):
                check_outputs({"html": target}, files_read("a.pth", None, None))

    def test_never_replace_another_checkpoint_named_by_mistake(self, export_command, own, tmp_path):
        other = Path(shutil.copy(own, tmp_path / "b.pth"))
        status, _, err = export_command(own, "--compare", other)
        assert status == 2 and "never an output" in err and other.read_bytes() == own.read_bytes()

    def test_that_are_the_same_file_are_a_usage_error(self, export_command, own, tmp_path):
        (tmp_path / "folder").symlink_to(tmp_path)
        status, _, err = export_command(own, "--html", tmp_path / "it", "--onnx", tmp_path / "folder" / "it")
        assert status == 2 and "the same file" in err and not (tmp_path / "it").exists()

    def test_go_through_a_link_to_its_target(self, export_command, own, tmp_path):
        (tmp_path / "there").mkdir()
        (tmp_path / "link.html").symlink_to(tmp_path / "there" / "it.html")
        assert export_command(own, "--html", tmp_path / "link.html")[0] == 0
        assert (tmp_path / "link.html").is_symlink() and (tmp_path / "there" / "it.html").stat().st_size > 10_000

    @pytest.mark.parametrize("kind", ["device", "FIFO", "folder", "circular link"])
    def test_are_regular_files_or_nothing(self, export_command, own, tmp_path, kind):
        target = tmp_path / "it.html"
        if kind == "device":
            try:
                os.mknod(target, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # as /dev/null, which a failure would destroy
            except PermissionError:
                pytest.skip("only root may make a device")
        elif kind == "FIFO":
            os.mkfifo(target)
        elif kind == "folder":
            target.mkdir()
        else:
            target.symlink_to(target)
        before = target.lstat()
        status, out, err = export_command(own, "--html", target)
        assert (status, out) == (4, "") and f"cannot write {target}" in err and err.count("\n") == 1
        assert target.lstat()[:3] == before[:3], "it is still the same file, of the same kind"

    @needs_onnx
    def test_are_all_written_or_none(self, export_command, own, tmp_path, monkeypatch):
        def no_space(*_: object) -> bytes:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(command_line, "to_int8", no_space)
        status, out, err = export_command(own, "--html", tmp_path / "it.html", "--onnx", tmp_path / "it.onnx", "--int8")
        assert (status, out) == (4, "") and "No space left" in err and list(tmp_path.iterdir()) == [own]

    def test_leave_no_new_folder_behind_when_the_export_is_refused(self, export_command, edited, tmp_path):
        path = edited(lambda content: content["result"].update(passed=False))
        assert export_command(path, "--html", tmp_path / "new" / "it.html")[0] == 1
        assert list(tmp_path.iterdir()) == [path]


class TestNothingIsTakenOnTrust:
    """The model is scored again before anything is written, and its record must be whole and its own."""

    def refused(self, export_command, path, *options) -> str:
        target = path.with_name("it")
        status, out, err = export_command(path, options[0] if options else "--html", target, *options[1:])
        assert (status, out) == (3, "") and err.startswith("export: error: ") and err.count("\n") == 1
        assert not target.exists()
        return err

    @pytest.mark.parametrize("option", ["--html", pytest.param("--onnx", marks=needs_onnx)])
    @pytest.mark.parametrize(
        "damage, words",
        [
            (lambda tensor: tensor.fill_(float("nan")), "NaN"),
            (lambda tensor: tensor.fill_(float("inf")), "NaN or infinity"),
            (lambda tensor: tensor.zero_(), "does not give its recorded scores"),
            (
                lambda tensor: tensor.view(torch.int32).bitwise_xor_(1 << 29),
                "does not give its recorded scores|not all finite|NaN",
            ),
            (lambda tensor: tensor.mul_(1.1), "does not give its recorded scores"),
        ],
        ids=["NaN", "infinity", "zeros", "flipped bits", "a tenth more"],
    )
    def test_weights_that_are_not_those_of_the_run(self, export_command, edited, option, damage, words):
        def change(content: dict) -> None:
            damage(next(v for k, v in reversed(content["state_dict"].items()) if k.endswith("weight")))

        assert re.search(words, self.refused(export_command, edited(change), option))

    def test_an_accuracy_that_was_never_reached(self, export_command, edited):
        path = edited(lambda content: content["result"].update(test_accuracy=0.9999))
        assert "recorded are 99.99 %" in self.refused(export_command, path)

    def test_but_a_few_predictions_may_differ_between_machines(self, export_command, edited, trained, tmp_path):
        one_image = trained[0].test_accuracy - 0.001
        path = edited(lambda content: content["result"].update(test_accuracy=one_image))
        assert export_command(path, "--html", tmp_path / "it.html")[0] == 0

    def test_without_its_data_a_page_says_that_its_accuracy_is_the_records(self, export_command, edited, tmp_path):
        path = edited(lambda content: content["result"].update(dataset="mnist"))
        status, out, _ = export_command(path, "--html", tmp_path / "it.html", "--data-dir", tmp_path)
        assert status == 0 and "the accuracy is the record's, not measured again" in out
        assert "as recorded by its run, not measured again for this page" in (tmp_path / "it.html").read_text()

    def test_with_its_data_a_page_says_no_such_thing(self, export_command, checkpoint, tmp_path):
        status, out, _ = export_command(checkpoint, "--html", tmp_path / "it.html")
        assert status == 0 and "measured again" not in out + (tmp_path / "it.html").read_text()

    def test_without_its_data_weights_that_are_not_finite(self, export_command, edited, tmp_path):
        def change(content: dict) -> None:
            content["result"]["dataset"] = "mnist"
            next(iter(content["state_dict"].values())).fill_(float("nan"))

        assert "NaN" in self.refused(export_command, edited(change), "--html", "--data-dir", tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: content.update(model=7),
            lambda content: content.update(model=["efficient"]),
            lambda content: content.update(result=[content["result"]]),
            lambda content: content.update(state_dict=list(content["state_dict"])),
            lambda content: content.update(limits=None),
            lambda content: content["limits"].update(accuracy="95 %"),
            lambda content: content["result"].update(parameters="8,706"),
            lambda content: content["result"].update(parameters=10**5000),
            lambda content: content["result"].update(parameters=8_707),
            lambda content: content["result"].update(test_accuracy=None),
            lambda content: content["result"].update(test_accuracy=float("nan")),
            lambda content: content["result"].update(test_images=0),
            lambda content: content["result"].update(limits=[True, True, True]),
            lambda content: content["result"].update(violations="none"),
            lambda content: content["result"].update(dataset="nobody's"),
            lambda content: content["result"].update(scored_on="nothing"),
            lambda content: content["result"].update(model="tiny"),
            lambda content: content["result"].update(seed=torch.zeros(3)),
        ],
    )
    def test_a_record_of_wrong_types_or_of_another_model(self, export_command, edited, change):
        self.refused(export_command, edited(change))

    def test_a_run_that_passed_only_by_its_own_word(self, export_command, edited, tmp_path):
        path = edited(lambda content: content["limits"].update(parameters=5000))
        status, _, err = export_command(path, "--html", tmp_path / "it.html")
        assert status == 1 and "too many" in err

    def test_layers_with_hooks_and_subclasses_of_dropout_have_no_page(self, trained):
        hooked = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        hooked[1].register_forward_hook(lambda module, inputs, output: -output)
        subclass = type("Doubling", (nn.Dropout,), {"forward": lambda self, x: 2 * x})
        for model, words in (
            (hooked, "hooks"),
            (nn.Sequential(nn.Flatten(), subclass(), nn.Linear(784, 10)), "Doubling"),
        ):
            with pytest.raises(challenge.ChallengeError, match=words):
                to_html(model, trained[0].plain())


class TestThePagesText:
    @pytest.mark.skipif(not shutil.which("node"), reason="needs node")
    @pytest.mark.parametrize("name", ["layers.js", "page.js"])
    def test_is_made_of_files_that_are_javascript_by_themselves(self, name):
        subprocess.run(["node", "--check", HERE / name], check=True)

    def test_is_one_small_file_that_asks_the_network_for_nothing(self, export_command, checkpoint, tmp_path):
        status, _, _ = export_command(checkpoint, "--html", tmp_path / "demo.html")
        text = (tmp_path / "demo.html").read_text()
        assert status == 0 and len(text.encode()) < 150_000
        assert not re.search(r"""(src|href)=(?!["']?data:)|url\(|@import|fetch\(|XMLHttp|{{""", text)

    def test_tells_what_the_network_is_and_holds_only_the_layers_it_has(self, trained):
        text = to_html(trained[1], trained[0].plain())
        accuracy = challenge.percent(trained[0].test_accuracy).replace(" ", "&nbsp;")
        for fact in ("8,706", accuracy, "strokes", "<dt>Seed</dt><dd>1</dd>"):
            assert fact in text
        assert "function conv2d" in text and "function mixture" not in text and "function erf" not in text
        assert '["3×3 convolution", x => conv2d(x, weights["2.weight"], null,' in text


# --- In Chromium ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    try:
        driver = drawings.open_browser(tmp_path_factory.mktemp("chromium"))
    except RuntimeError as missing:
        pytest.skip(str(missing))
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser, tmp_path):
    """Open the page of a model in the browser; afterwards the console must have stayed empty."""

    def open_(model: nn.Module, result: dict):
        path = tmp_path / "page.html"
        path.write_text(to_html(model, result))
        browser.get(path.as_uri())
        return browser

    yield open_
    assert browser.get_log("browser") == []


@pytest.fixture
def page(open_page, trained):
    """The trained network's page, freshly opened."""
    return open_page(trained[1], trained[0].plain())


def page_logits(browser, images: torch.Tensor) -> torch.Tensor:
    """The page's own forward pass on images (N, 28, 28) uint8."""
    script = "return arguments[0].map(pixels => Array.from(forward(pixels)));"
    return torch.tensor(browser.execute_script(script, images.flatten(1).tolist()))


def picture(browser, canvas: str) -> np.ndarray:
    """The grey values that a canvas of the page shows, read back from it, (rows, columns)."""
    script = """
        const canvas = find(arguments[0]), copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return [canvas.height, Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data)];"""
    rows, values = browser.execute_script(script, canvas)
    return np.array(values).reshape(rows, -1, 4)[..., 0]


def prediction(browser) -> str:
    drawings.settle(browser)
    return drawings.prediction(browser)


def network_input(browser) -> np.ndarray:
    """What the page makes of the drawing for the network, (28, 28)."""
    return np.array(browser.execute_script("return Array.from(toPixels(strokes));")).reshape(28, 28)


def shape(digit: str, style: str, placement: drawings.Placement = drawings.Placement(0.7)) -> drawings.Shape:
    return drawings.place(drawings.SHAPES[digit][style], placement)


@pytest.fixture
def screen(browser):
    """Give the page a screen: width and height in CSS pixels, and a colour scheme."""

    def emulate(width: int, height: int, scheme: str) -> None:
        feature = [{"name": "prefers-color-scheme", "value": scheme}]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        drawings.settle(browser)

    yield emulate
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


class TestThePageInABrowser:
    @pytest.mark.parametrize("name", PAGE_MODELS)
    def test_computes_pytorchs_logits(self, open_page, data, trained, name):
        model = trained[1] if name == "efficient" else randomised(name)
        n = 200 if name == "efficient" else 10
        browser = open_page(model, {**trained[0].plain(), "model": name})
        ours = page_logits(browser, data.test.images[:n])
        torch.testing.assert_close(ours, challenge.predict(model, data.test.images[:n]), atol=1e-4, rtol=0)

    def test_computes_strides_groups_and_every_activation_as_pytorch_does(self, open_page, data, trained):
        activations = [
            nn.GELU(),
            nn.GELU("tanh"),
            nn.SiLU(),
            nn.ELU(0.5),
            nn.LeakyReLU(0.1),
            nn.Hardswish(),
            nn.ReLU6(),
        ]
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 6, (3, 5), stride=(2, 1), padding=(0, 2)),
            activations[0],
            nn.AvgPool2d(3, stride=2, padding=1),
            nn.Conv2d(6, 12, 3, groups=3, dilation=2, padding=1),
            activations[1],
            nn.MaxPool2d((2, 3), stride=(1, 2), padding=(1, 1)),
            *activations[2:],
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Sequential(nn.LazyLinear(20), nn.Tanh(), nn.Linear(20, 10, bias=False), nn.Sigmoid()),
        ).eval()
        model(torch.zeros(1, 1, 28, 28))  # gives the lazy layer its shape
        browser = open_page(model, trained[0].plain())
        theirs = challenge.predict(model, data.test.images[:20])
        assert theirs.std(0).min() > 1e-3, "the outputs tell the images apart"
        torch.testing.assert_close(page_logits(browser, data.test.images[:20]), theirs, atol=1e-4, rtol=0)

    def test_classifies_thirty_shapes_drawn_with_the_mouse_small_and_in_a_corner(self, page):
        mistakes = drawings.wrong(page, [drawings.Placement(0.15, 0.8, 0.8)])
        assert len(mistakes) <= 3, mistakes

    def test_keeps_the_loops_of_a_small_drawing_open(self, page):
        zero = [drawings.arc(0.5, 0.5, 0.022, 0.06, -90, 270)]
        drawings.draw(page, zero)
        pixels = network_input(page).astype(int)
        middle = pixels[10:18, 14]
        assert middle.min() < 60 and pixels[14].max() > 200, "the line is there, and the hole in it"

    @pytest.mark.parametrize("size, x, y", [(0.6, 0.5, 0.5), (0.25, 0.25, 0.3), (0.25, 0.75, 0.7)])
    def test_scales_and_centres_the_drawing_as_mnist_was(self, page, size, x, y):
        drawings.draw(page, shape("7", "plain", drawings.Placement(size, x, y)))
        assert prediction(page) == "7"
        pixels = network_input(page)
        rows, columns = np.nonzero(pixels)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
        centre = np.array([(pixels.sum(1 - axis) * np.arange(28)).sum() for axis in (0, 1)]) / pixels.sum()
        assert np.abs(centre - 14).max() <= 0.6
        assert len(np.unique(pixels)) > 10, "its edges are grey"

    def test_shows_what_the_network_sees_after_its_own_resize(self, page, trained):
        drawings.draw(page, shape("3", "round"))
        drawn = torch.from_numpy(network_input(page))[None]
        first = [module for module in trained[1] if isinstance(module, (nn.ZeroPad2d, nn.Upsample))]
        expected = nn.Sequential(*first)(challenge.to_input(drawn))[0, 0]
        shown = torch.from_numpy(picture(page, "seen"))
        torch.testing.assert_close(shown.float(), 255 * (expected * challenge.STD + challenge.MEAN), atol=1, rtol=0)
        size = " × ".join(map(str, shown.shape))
        sentence = page.execute_script("return find('view').textContent;").replace("\u202f", " ")
        assert sentence.startswith("What the network sees") and sentence.endswith(f"{size}.")

    def test_shows_the_whole_input_of_a_network_that_neither_crops_nor_resizes(self, open_page, trained):
        torch.manual_seed(0)
        page = open_page(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), trained[0].plain())
        drawings.draw(page, shape("3", "round"))
        assert np.array_equal(picture(page, "seen"), network_input(page))

    def test_shows_test_digits_one_after_the_other_and_says_what_they_are(self, page):
        images, labels = strokes.generate(40, 0, "test")
        for number, (image, label) in enumerate(zip(images[:3], labels, strict=False)):
            page.execute_script("find('next').click();")
            drawings.settle(page)
            shown = page.execute_script("return [shown, Array.from(testDigit(shown))];")
            assert shown == [number, image.flatten().tolist()] and picture(page, "seen").any()
            verdict = page.execute_script("return find('verdict').textContent;")
            assert "Correct." in verdict or f"The label is {label}" in verdict

    def test_works_by_keyboard_alone(self, page):
        from selenium.webdriver import ActionChains, Keys

        page.execute_script("pad.focus();")
        keys = [Keys.SPACE, *[Keys.ARROW_DOWN] * 14, Keys.SPACE]
        ActionChains(page).send_keys(*keys).perform()
        assert prediction(page) == "1"
        ActionChains(page).send_keys("c").perform()
        assert prediction(page) == ""
        ActionChains(page).send_keys("n").perform()
        assert prediction(page) != ""

    def test_tells_a_screen_reader_the_prediction(self, page):
        from selenium.webdriver.support.ui import WebDriverWait

        drawings.draw(page, shape("1", "stick"))
        told = "return find('spoken').textContent;"
        WebDriverWait(page, 5).until(lambda browser: "Prediction: 1" in browser.execute_script(told))
        roles = page.execute_script("return [spoken.ariaLive, pad.getAttribute('role'), find('bars').ariaLabel];")
        assert roles == ["polite", "application", "Probabilities"]

    def test_shows_ten_probabilities_and_the_maps_of_every_layer(self, page):
        drawings.draw(page, shape("3", "round"))
        probabilities = page.execute_script(
            "return bars.map(bar => parseFloat(bar.querySelector('span').textContent));"
        )
        assert len(probabilities) == 10 and sum(probabilities) == pytest.approx(100, abs=0.5)
        captions = page.execute_script("return [...document.querySelectorAll('figcaption')].map(c => c.textContent);")
        assert captions[:2] == ["resize 1 × 24 × 24", "3×3 convolution 8 × 24 × 24"]
        assert captions[-1] == "linear 10" and len(captions) == 17
        inked = (
            "return figures.every(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 99))"
        )
        assert page.execute_script(inked)

    @pytest.mark.parametrize("width, scheme", [(1280, "light"), (1280, "dark"), (1920, "dark"), (390, "light")])
    def test_fits_any_screen_and_is_legible_in_light_and_dark(self, page, screen, width, scheme):
        screen(width, 800, scheme)
        widest = "return Math.max(...[...document.querySelectorAll('*')].map(e => e.getBoundingClientRect().right))"
        assert page.execute_script(widest) <= width
        script = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor];"
        levels = [re.findall(r"\d+", colour)[:3] for colour in page.execute_script(script)]
        text, ground = (np.mean([int(level) for level in colour]) for colour in levels)
        assert abs(text - ground) > 150 and (text > ground) == (scheme == "dark")

    def test_on_the_smallest_phone_the_answer_is_in_view_below_the_pad_and_its_per_cent_on_one_line(self, page, screen):
        screen(320, 454, "light")
        drawings.draw(page, shape("3", "round"))
        script = "return [find('pad'), find('answer')].map(e => e.getBoundingClientRect()).map(r => [r.top, r.bottom]);"
        pad, answer = page.execute_script(script)
        assert 0 <= pad[0] < pad[1] < answer[0] < answer[1] <= 454
        assert re.search(r"confidence \d+(\.\d)?\u00a0%", page.execute_script("return find('verdict').textContent;"))
        assert page.execute_script("return document.documentElement.scrollWidth;") == 320
