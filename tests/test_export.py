"""What leaves PyTorch predicts as PyTorch does, in onnxruntime and in a real browser, or is not written."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import drawings
import numpy as np
import pytest
import torch
from torch import nn

import mnist_efficient_model as challenge
import pages
from data import strokes
from export import __main__ as command_line
from export import page as page_module
from export.onnx_file import OnnxModel, check_same, to_onnx
from export.page import demo, to_html

EXTRAS = [package for package in command_line.EXTRAS if importlib.util.find_spec(package) is None]
needs_onnx = pytest.mark.skipif(bool(EXTRAS), reason=f"needs {', '.join(EXTRAS)}: {command_line.INSTALL}")
SERVED = "efficient accurate tiny tiny_learned fast lightweight_conv lightweight_experts cnn_small resnet mlp_small"
HOSTILE = (
    "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "<!--<script>",
    "&lt;b&gt;&#x3c;", "</title></style><b>", "{{ 7 * 7 }}", "`${alert(1)}`", "\\u003cb>\\", "</option></select><b>",
)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> challenge.Dataset:
    """Digits that need no download: 12,000 to train on and 1,000 to test."""
    drawn = (strokes.generate(n, 0, part) for n, part in ((12_000, "train"), (1000, "test")))
    train, test = (challenge.Split(torch.from_numpy(x), torch.from_numpy(y).long()) for x, y in drawn)
    return challenge.Dataset("strokes", train, test, "test")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> tuple[challenge.Result, nn.Module, Path]:
    """The compact network after an epoch of strokes, which reads digits, and its checkpoint."""
    path = tmp_path_factory.mktemp("results") / "efficient.pth"
    return *challenge.run("efficient", data, seed=1, checkpoint=path), path


@pytest.fixture
def checkpoint(trained, tmp_path) -> Path:
    return Path(shutil.copy(trained[2], tmp_path / "efficient.pth"))


@pytest.fixture
def edited(checkpoint):
    """Change the content of the checkpoint by a function."""

    def edit(change) -> Path:
        content = torch.load(checkpoint, weights_only=True)
        change(content)
        torch.save(content, checkpoint)
        return checkpoint

    return edit


@pytest.fixture
def export(data, monkeypatch, capsys):
    """Run ``python -m export`` in this process, on those strokes; returns (status, stdout, stderr)."""
    monkeypatch.setattr(challenge, "load_dataset", lambda *_, **__: data)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = command_line.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse ends usage errors this way
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def refuse(export, tmp_path):
    """Run it, and see that it ends in one line on stderr and leaves every file as it was; returns (status, line)."""

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() if path.is_file() else b"" for path in tmp_path.rglob("*")}

    def run(*arguments: object) -> tuple[int, str]:
        before = files()
        status, out, err = export(*arguments)
        assert (out, err.count("\n")) == ("", 1) and "export: error: " in err and files() == before
        return status, err

    return run


def randomised(name: str) -> nn.Module:
    """A model whose every weight and statistic is random, so that no term of a layer is lost in ones and zeros."""
    torch.manual_seed(0)
    model = challenge.build_model(name).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            spans = {"weight": (0.5, 1.5), "bias": (-0.5, 0.5), "running_mean": (-0.2, 0.2), "running_var": (0.5, 1.5)}
            for tensor, span in ((getattr(module, key), span) for key, span in spans.items()):
                if tensor is not None:
                    nn.init.uniform_(tensor, *span)
    return model


class TestAModelOfSomebodysOwnFile:
    @pytest.fixture
    def file(self, edited, tmp_path) -> Path:
        """A file that defines the checkpoint's model, and leaves a trace when it is executed."""
        file = tmp_path / "mine.py"
        edited(lambda content: (content.update(model=str(file)), content["result"].update(model=str(file))))
        code = "from mnist_efficient_model import efficient as build_model, mlp_small\n"
        file.write_text(f"{code}import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n")
        return file

    def test_is_loaded_when_the_user_names_the_file(self, export, checkpoint, file, tmp_path):
        status, _, err = export(checkpoint, "--html", tmp_path / "it.html", "--model-file", file)
        assert (status, err) == (0, "") and "mine.py: 8,706 parameters" in (tmp_path / "it.html").read_text()

    def test_is_never_executed_because_a_checkpoint_names_it(self, refuse, checkpoint, file, tmp_path):
        status, err = refuse(checkpoint, "--html", tmp_path / "it.html")
        assert status == 3 and "--model-file" in err

    def test_that_does_not_fit_the_checkpoint_is_refused(self, export, checkpoint, file, tmp_path):
        status, _, err = export(checkpoint, "--html", tmp_path / "it.html", "--model-file", f"{file}:mlp_small")
        assert status == 3 and "does not fit" in err and not (tmp_path / "it.html").exists()


@needs_onnx
class TestOnnx:
    @pytest.fixture(scope="class")
    def exported(self, trained, data, tmp_path_factory) -> tuple[bytes, bytes, str]:
        """The ONNX file, the int8 file, and what the command printed."""
        folder = tmp_path_factory.mktemp("exported")
        shutil.copy(trained[2], folder / "a.pth")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(challenge, "load_dataset", lambda *_, **__: data)
            printed: list[str] = []
            patch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(map(str, words))))
            assert command_line.main([f"{folder}/a.pth", "--onnx", f"{folder}/a.onnx", "--int8", "--compare"]) == 0
        return (folder / "a.onnx").read_bytes(), (folder / "a.int8.onnx").read_bytes(), "\n".join(printed)

    def test_predicts_as_pytorch_does_for_any_batch_size(self, exported, trained):
        assert "the same predictions on all 1,000 test images" in exported[2]
        for n in (1, 3, 64):
            images = torch.randn(n, 1, 28, 28)
            with torch.no_grad():
                torch.testing.assert_close(OnnxModel(exported[0])(images), trained[1](images), atol=1e-4, rtol=0)

    def test_says_how_to_feed_it_and_nothing_of_the_machine_it_was_made_on(self, exported):
        import onnx

        about = {entry.key: entry.value for entry in onnx.load_from_string(exported[0]).metadata_props}
        assert about["model"] == "efficient" and str(challenge.MEAN) in about["images"]
        assert b".py" not in exported[0]

    def test_in_int8_is_smaller_and_hardly_less_accurate_and_the_table_shows_both(self, exported, data, trained):
        floats, small, out = exported
        accuracy = challenge.evaluate(OnnxModel(small), data.test).accuracy
        assert accuracy > trained[0].test_accuracy - 0.02 and len(small) < 0.75 * len(floats)
        rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if not line.startswith(("/", " "))}
        assert list(rows) == ["eager", "ONNX", "int8"] and {len(row) for row in rows.values()} == {5}
        assert rows["int8"][:2] == [f"{len(small):,}", challenge.percent(accuracy)[:-2]]
        assert rows["ONNX"][0] == f"{len(floats):,}" and all(float(row[2]) > 0 for row in rows.values())

    def test_that_predicts_otherwise_is_refused_and_not_written(self, exported, refuse, checkpoint, monkeypatch):
        import onnx

        proto = onnx.load_from_string(exported[0])
        for weights in proto.graph.initializer:
            weights.raw_data = bytes(len(weights.raw_data)) if len(weights.dims) == 4 else weights.raw_data
        monkeypatch.setattr(command_line, "to_onnx", lambda *_: proto.SerializeToString())
        status, err = refuse(checkpoint, "--onnx", checkpoint.with_name("it.onnx"))
        assert status == 3 and re.search(r"\d+ of 1,000 predictions change", err)

    @pytest.mark.parametrize("name", ["lightweight", "csnn"])
    def test_takes_models_of_other_kinds(self, name, data, trained):
        model = challenge.build_model(name).eval()
        content = to_onnx(model, {**trained[0].plain(), "model": name})
        assert check_same(model, content, data.test.images[:50]) < 1e-4

    def test_a_model_that_cannot_be_exported_is_one_line_with_the_cause(self, trained, capfd):
        class Branching(nn.Flatten):
            def forward(self, images):
                print("noise")
                return super().forward(images) if images.sum().item() > 0 else images.sum()

        with pytest.raises(challenge.ChallengeError, match="data-dependent") as caught:
            to_onnx(Branching(), trained[0].plain())
        assert caught.value.status == 3 and "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")

    def test_ctrl_c_in_the_exporter_is_no_failure_of_the_model(self, trained):
        class Interrupted(nn.Flatten):
            def forward(self, images):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            to_onnx(Interrupted(), trained[0].plain())


def test_without_its_packages_onnx_names_the_line_that_installs_them(refuse, checkpoint, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    status, err = refuse(checkpoint, "--int8")
    assert status == 4 and "pip install -r export/requirements.txt" in err


class TestACheckpointIsRefused:
    @pytest.mark.parametrize(
        "change, status, words",
        [
            (lambda content: content["result"].pop("seed"), 3, "not a checkpoint of version"),
            (lambda content: content["result"].update(colour="red"), 3, "not a checkpoint of version"),
            (lambda content: content.pop("result"), 3, "no checkpoint"),
            (lambda content: content["state_dict"].popitem(), 3, "does not fit"),
            (lambda content: content["result"].update(test_accuracy=0.9), 1, "5.00 points short"),
            (lambda content: content["result"].update(test_accuracy=None), 1, "accuracy not measured"),
            (lambda content: content["limits"].update(parameters=5000), 1, "too many"),
            (lambda content: content["result"].update(test_accuracy=0.9999), 3, "recorded are 99.99 %"),
            (lambda content: content["result"].update(test_images=999), 3, "does not give its recorded scores"),
        ],
    )
    def test_whose_record_is_of_another_version_or_breaks_a_limit_or_is_not_true(
        self, refuse, edited, change, status, words
    ):
        path = edited(change)
        found, err = refuse(path, "--html", path.with_name("it.html"))
        assert found == status and words in err and "efficient.pth" in err

    @pytest.mark.parametrize("option", ["--html", pytest.param("--onnx", marks=needs_onnx)])
    @pytest.mark.parametrize(
        "damage, words",
        [
            (lambda tensor: tensor.fill_(float("nan")), "not finite"),
            (lambda tensor: tensor.fill_(float("inf")), "not finite"),
            (lambda tensor: tensor.zero_(), "does not give its recorded scores"),
            (lambda tensor: tensor.mul_(1.1), "does not give its recorded scores"),
        ],
        ids=["NaN", "infinity", "zeros", "a tenth more"],
    )
    def test_whose_weights_are_not_those_of_its_run(self, refuse, edited, option, damage, words):
        path = edited(lambda content: damage(content["state_dict"]["18.weight"]))
        status, err = refuse(path, option, path.with_name(f"it.{option[2:]}"))
        assert status == 3 and words in err

    @pytest.mark.parametrize("size", [None, 0, 100, 20_000])
    def test_that_is_truncated_or_missing(self, refuse, checkpoint, size):
        checkpoint.unlink() if size is None else checkpoint.write_bytes(checkpoint.read_bytes()[:size])
        status, err = refuse(checkpoint, "--html", checkpoint.with_name("it.html"))
        assert status == (4 if size is None else 3) and "efficient.pth" in err

    def test_but_a_few_predictions_may_differ_between_machines(self, export, edited, trained):
        path = edited(lambda content: content["result"].update(test_accuracy=trained[0].test_accuracy - 0.001))
        assert export(path, "--html", path.with_name("it.html"))[0] == 0

    def test_without_its_data_only_when_its_logits_are_not_finite(self, export, edited, tmp_path):
        path = edited(lambda content: content["result"].update(dataset="mnist"))
        status, out, _ = export(path, "--html", tmp_path / "it.html", "--data-dir", tmp_path)
        assert status == 0 and "the accuracy is the record's, not measured again" in out
        assert "as recorded by its run, not measured again for this page" in (tmp_path / "it.html").read_text()
        edited(lambda content: content["state_dict"]["18.weight"].fill_(float("nan")))
        assert export(path, "--html", tmp_path / "it.html", "--data-dir", tmp_path)[0] == 3


class TestOutputs:
    @pytest.mark.parametrize("option", ["html", "onnx", "int8"])
    @pytest.mark.parametrize("target", ["efficient.pth", "mine.py", "MNIST/raw/train-images-idx3-ubyte", "link"])
    def test_never_replace_what_may_be_read(self, refuse, checkpoint, tmp_path, option, target):
        (tmp_path / f"link.{command_line.ENDINGS[option][1:]}").symlink_to(checkpoint)
        target = f"link{command_line.ENDINGS[option]}" if target == "link" else target
        status, err = refuse(checkpoint, f"--{option}", tmp_path / target)
        assert status == 2 and f"must end in {command_line.ENDINGS[option]}" in err

    @pytest.mark.parametrize("folder", [page_module.HERE, pages.HERE])
    def test_never_replace_a_template(self, refuse, checkpoint, folder):
        assert refuse(checkpoint, "--html", folder / "page.html")[0] == 2

    @pytest.mark.parametrize(
        "arguments, words",
        [
            ([], "nothing to do: give --onnx, --int8, --compare or --html"),
            (["--onnx", "it.onnx", "--int8", "./it.onnx"], "the same file"),
            (["another.pth", "--onnx", "it.onnx"], "several checkpoints: only --html takes them"),
            (["--html", "it.html", "--model-file", "mine"], "FILE.py"),
        ],
    )
    def test_that_make_no_sense_are_usage_errors(self, refuse, checkpoint, arguments, words):
        status, err = refuse(checkpoint, *arguments)
        assert status == 2 and words in err

    @pytest.mark.parametrize("option", ["--html", "--onnx"])
    def test_that_cannot_be_written_are_refused_before_any_work(self, refuse, tmp_path, option):
        (tmp_path / "file").write_text("")
        (tmp_path / f"folder.{option[2:]}").mkdir()
        for target in (tmp_path / f"folder.{option[2:]}", tmp_path / "file" / f"it.{option[2:]}"):
            status, err = refuse("nothing.pth", option, target)
            assert status == 4 and f"cannot write {target}" in err

    def test_go_through_a_link_to_its_target(self, export, checkpoint, tmp_path):
        (tmp_path / "there").mkdir()
        (tmp_path / "link.html").symlink_to(tmp_path / "there" / "it.html")
        assert export(checkpoint, "--html", tmp_path / "link.html")[0] == 0
        assert (tmp_path / "link.html").is_symlink() and (tmp_path / "there" / "it.html").stat().st_size > 10_000

    @needs_onnx
    def test_are_all_written_or_none(self, refuse, checkpoint, tmp_path, monkeypatch):
        def no_space(*_: object) -> bytes:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(command_line, "to_onnx", no_space)
        status, err = refuse(checkpoint, "--html", tmp_path / "new" / "it.html", "--onnx", tmp_path / "it.onnx")
        assert status == 4 and "No space left" in err


class TestAModelHasNoPage:
    def test_that_was_not_trained_on_digits(self, trained):
        with pytest.raises(challenge.ChallengeError, match="for models of digits, this one was trained on fashion"):
            to_html(trained[1], {**trained[0].plain(), "dataset": "fashion"})

    @pytest.mark.parametrize(
        "model, words",
        [
            *((name, kind) for name, kind in (("lightweight", "Patches("), ("rnn", "RowReader("))),
            (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding_mode must be 'zeros'"),
            (nn.Conv2d(1, 1, 3, padding="same"), "padding must be a number of pixels"),
            (nn.Conv2d(1, 1, 3, dilation=2), "dilation must be (1, 1)"),
            (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode must be False"),
            (nn.Upsample(scale_factor=0.65, mode="bilinear"), "scale_factor must be None"),
            (nn.AdaptiveAvgPool2d(2), "output_size must be 1"),
            (nn.Linear(28, 10), "its input must be flat"),
            (nn.GELU(), "GELU(approximate='none') cannot be written as JavaScript: the page takes known layers"),
            (type("Doubling", (nn.Dropout,), {"forward": lambda self, x: 2 * x})(), "Doubling(p=0.5"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
    )
    def test_with_a_layer_or_an_option_without_javascript_which_is_named(self, trained, model, words):
        model = challenge.build_model(model) if isinstance(model, str) else nn.Sequential(nn.Sequential(model))
        with pytest.raises(challenge.ChallengeError, match=re.escape(words)) as caught:
            to_html(model, trained[0].plain())
        assert caught.value.status == 3 and "\n" not in str(caught.value)


class TestThePagesText:
    def test_is_one_small_file_that_asks_the_network_for_nothing(self, export, checkpoint, tmp_path):
        status, out, _ = export(checkpoint, "--html", tmp_path / "demo.html")
        text = (tmp_path / "demo.html").read_text()
        assert status == 0 and "measured again" not in out + text and len(text.encode()) < 150_000
        assert not re.search(r"""(src|href)=(?!["']?data:)|url\(|@import|fetch\(|XMLHttp|{{""", text)
        assert "default-src 'none'" in text and "unsafe" not in text

    def test_says_what_the_network_is(self, trained):
        text = to_html(trained[1], trained[0].plain())
        for fact in ("8,706", challenge.percent(trained[0].test_accuracy)[:-2], '"Seed", "1"', "NOT for MNIST"):
            assert fact in text

    def test_links_to_the_project_where_the_project_has_an_address(self, trained, tmp_path, monkeypatch):
        (tmp_path / "CITATION.cff").write_text("title: it\nrepository-code: https://example.org/it\n")
        monkeypatch.setattr(page_module, "CITATION", tmp_path / "CITATION.cff")
        assert '<a href="https://example.org/it">' in to_html(trained[1], trained[0].plain())


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
    """Open the page of models in the browser; afterwards the console must have stayed empty."""

    def open_(*models: tuple[nn.Module, dict, bool]):
        (tmp_path / "page.html").write_text(demo(models))
        browser.get((tmp_path / "page.html").as_uri())
        drawings.settle(browser)
        return browser

    yield open_
    assert browser.get_log("browser") == []


@pytest.fixture
def page(open_page, trained):
    """The trained network's page, freshly opened."""
    return open_page((trained[1], trained[0].plain(), True))


def text_of(browser, name: str) -> str:
    return browser.execute_script("return find(arguments[0]).textContent;", name)


def prediction(browser) -> str:
    drawings.settle(browser)
    return drawings.prediction(browser)


def network_input(browser) -> np.ndarray:
    """What the page makes of the drawing for the network, (28, 28)."""
    return np.array(browser.execute_script("return Array.from(toPixels(strokes));")).reshape(28, 28)


def put(browser, shape: drawings.Shape) -> str:
    """Put strokes on the pad without a mouse, which is quicker; returns the prediction."""
    script = "[strokes, own, shown] = [arguments[0], true, null]; update(); return find('digit').textContent;"
    return browser.execute_script(script, shape)


def shape(digit: str, style: str, placement: drawings.Placement = drawings.Placement(0.7)) -> drawings.Shape:
    return drawings.place(drawings.SHAPES[digit][style], placement)


class TestThePageInABrowser:
    def test_computes_pytorchs_logits_for_every_model_that_has_a_page(self, open_page, data, trained):
        record, images = trained[0].plain(), data.test.images[:10]
        models = {name: randomised(name) for name in SERVED.split()} | {"trained": trained[1]}
        browser = open_page(*((model, {**record, "model": name}, True) for name, model in models.items()))
        script = "choose(arguments[0]); return arguments[1].map(pixels => Array.from(forward(pixels)));"
        for i, (name, model) in enumerate(models.items()):
            theirs = torch.tensor(browser.execute_script(script, i, images.flatten(1).tolist()))
            expected = challenge.predict(model, images)
            assert (theirs - expected).abs().max() < 1e-4 < expected.std(0).min(), name
            assert "its logits of a test digit are PyTorch's" in text_of(browser, "facts")

    def test_computes_strides_groups_and_windows_that_are_no_squares(self, open_page, data, trained):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 6, (3, 5), stride=(2, 1), padding=(0, 2)), nn.ReLU(), nn.AvgPool2d(3, stride=2)]
        layers += [nn.Conv2d(6, 12, 3, groups=3, padding=1), nn.MaxPool2d((2, 3), (1, 2)), nn.Dropout(), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(360, 10, bias=False)).eval()
        browser = open_page((model, trained[0].plain(), True))
        script = "return arguments[0].map(pixels => Array.from(forward(pixels)));"
        theirs = torch.tensor(browser.execute_script(script, data.test.images[:10].flatten(1).tolist()))
        torch.testing.assert_close(theirs, challenge.predict(model, data.test.images[:10]), atol=1e-4, rtol=0)

    def test_says_so_when_it_computes_other_logits_than_pytorch(self, open_page, trained):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        model[1].register_forward_hook(lambda module, inputs, output: output + 1)
        assert "are NOT PyTorch's, within 1e+0" in text_of(open_page((model, trained[0].plain(), True)), "facts")

    def test_opens_with_a_three_already_read_which_the_first_stroke_replaces(self, page):
        assert prediction(page) == "3" and "Prediction: 3" in text_of(page, "verdict")
        drawings.draw(page, shape("1", "stick"))
        assert prediction(page) == "1" and page.execute_script("return strokes.length;") == 1

    def test_of_several_models_reads_the_drawing_by_the_one_chosen(self, open_page, trained):
        record = trained[0].plain()
        tiny = (randomised("tiny"), {**record, "model": "tiny", "parameters": 258}, True)
        page = open_page((trained[1], record, True), tiny)
        drawings.draw(page, shape("7", "plain"))
        first = page.execute_script("return Array.from(forward(toPixels(strokes)));")
        page.find_element("css selector", "#model option:last-child").click()
        drawings.settle(page)
        assert (text_of(page, "parameters"), page.title) == ("258", "Draw a digit: efficient, tiny")
        assert page.execute_script("return Array.from(forward(toPixels(strokes)));") != first
        assert page.execute_script("return figures.length;") == 21 and "258" in text_of(page, "facts")

    def test_shows_hostile_text_as_text(self, open_page, trained):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        evil = ({**trained[0].plain(), "model": text, "note": text} for text in HOSTILE)
        page = open_page(*((model, record, True) for record in evil))
        for i, text in enumerate(HOSTILE):
            script = "choose(arguments[0]); return [find('model').options[arguments[0]].text, find('facts').innerText];"
            option, facts = page.execute_script(script, i)
            assert option.startswith(f"{text}: 8,706") and facts.count(text) == 2
        assert (
            page.execute_script("return document.querySelectorAll('img, b b, #facts :not(dt, dd), i script').length;")
            == 0
        )

    def test_classifies_thirty_shapes_small_and_in_a_corner(self, page):
        place = drawings.Placement(0.15, 0.8, 0.8)
        read = [(digit, put(page, shape(digit, s, place))) for digit, styles in drawings.SHAPES.items() for s in styles]
        assert sum(digit != seen for digit, seen in read) <= 3, read

    def test_keeps_the_loops_of_a_small_drawing_open(self, page):
        put(page, [drawings.arc(0.5, 0.5, 0.022, 0.06, -90, 270)])
        pixels = network_input(page)
        assert pixels[10:18, 14].min() < 60 and pixels[14].max() > 200, "the line is there, and the hole in it"

    @pytest.mark.parametrize("size, x, y", [(0.6, 0.5, 0.5), (0.25, 0.25, 0.3), (0.25, 0.75, 0.7)])
    def test_scales_and_centres_the_drawing_as_mnist_was(self, page, size, x, y):
        assert put(page, shape("7", "plain", drawings.Placement(size, x, y))) == "7"
        pixels = network_input(page)
        assert max(np.ptp(places) for places in np.nonzero(pixels)) + 1 in (19, 20, 21)
        centre = np.array([(pixels.sum(1 - axis) * np.arange(28)).sum() for axis in (0, 1)]) / pixels.sum()
        assert np.abs(centre - 14).max() <= 0.6 and len(np.unique(pixels)) > 10, "its edges are grey"

    @pytest.mark.parametrize(
        "name, first, words", [("efficient", 1, "resize"), ("fast", 2, "crop and 2×2 average pooling"), ("mlp", 0, "")]
    )
    def test_shows_what_the_network_sees_after_its_own_crop_or_resize(self, open_page, trained, name, first, words):
        model = randomised(name)
        page = open_page((model, trained[0].plain(), True))
        drawn = torch.from_numpy(network_input(page))[None]
        expected = model[:first](challenge.to_input(drawn))[0, 0]
        values = page.execute_script("""const {width, height} = find("seen");
            return Array.from(find("seen").getContext("2d").getImageData(0, 0, width, height).data);""")
        shown = torch.tensor(values).view(*expected.shape, 4)[..., 0].float()
        torch.testing.assert_close(shown, 255 * (expected * challenge.STD + challenge.MEAN), atol=1, rtol=0)
        sentence, side = text_of(page, "view").replace("\u202f", " "), len(shown)
        assert sentence.endswith(f"then after its own {words}, {side} × {side}." if words else "28 × 28 pixels.")

    def test_shows_test_digits_one_after_the_other_and_says_what_they_are(self, page):
        images, labels = strokes.generate(40, 0, "test")
        for number, (image, label) in enumerate(zip(images[:3], labels, strict=False)):
            page.execute_script("find('next').click();")
            drawings.settle(page)
            shown = page.execute_script("return [shown, Array.from(testDigit(shown))];")
            assert shown == [number, image.flatten().tolist()]
            verdict = text_of(page, "verdict")
            assert "Correct." in verdict or f"The label is {label}" in verdict

    def test_works_by_keyboard_alone(self, page):
        from selenium.webdriver import ActionChains, Keys

        page.execute_script("pad.focus();")
        ActionChains(page).send_keys(Keys.SPACE, *[Keys.ARROW_DOWN] * 14, Keys.SPACE).perform()
        assert prediction(page) == "1"
        for key, empty in (("c", True), ("n", False)):
            ActionChains(page).send_keys(key).perform()
            assert (prediction(page) == "") == empty

    def test_works_by_finger(self, page):
        frame = page.execute_script(
            "const {left, top, width} = pad.getBoundingClientRect(); return [left, top, width];"
        )
        places = [(frame[0] + frame[2] * x, frame[1] + frame[2] * y) for x, y in shape("1", "stick")[0]]
        for kind, points in (("touchStart", places[:1]), ("touchMove", places[1:]), ("touchEnd", [])):
            touch = {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
            page.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
        assert prediction(page) == "1" and page.execute_script("return strokes.length;") == 1

    def test_tells_a_screen_reader_the_prediction(self, page):
        from selenium.webdriver.support.ui import WebDriverWait

        put(page, shape("1", "stick"))
        WebDriverWait(page, 5).until(lambda browser: "Prediction: 1" in text_of(browser, "spoken"))
        roles = page.execute_script("return [spoken.ariaLive, pad.getAttribute('role'), find('bars').ariaLabel];")
        assert roles == ["polite", "application", "Probabilities"]

    def test_shows_ten_probabilities_and_the_maps_of_every_layer(self, page):
        probabilities = page.execute_script("return bars.map(bar => parseFloat(bar.lastChild.textContent));")
        assert len(probabilities) == 10 and sum(probabilities) == pytest.approx(100, abs=0.5)
        captions = page.execute_script("return [...document.querySelectorAll('figcaption')].map(c => c.textContent);")
        assert captions[:2] == ["resize 1 × 24 × 24", "3×3 convolution 8 × 24 × 24"]
        assert captions[-1] == "linear 10" and len(captions) == 17
        pixels = "c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        assert page.execute_script(f"return figures.every(c => {pixels}.some(value => value > 99));")


class TestItsLayout:
    @pytest.fixture
    def screen(self, page):
        """Give the page a screen: width and height in CSS pixels, and a colour scheme."""

        def emulate(width: int, height: int, scheme: str = "light") -> None:
            feature = [{"name": "prefers-color-scheme", "value": scheme}]
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
            page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            drawings.settle(page)

        yield emulate
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_fits_any_screen_and_is_legible_in_light_and_dark(self, page, screen, scheme):
        for width in (320, 390, 1280, 1920):
            screen(width, 800, scheme)
            widest = "return Math.max(...[...document.querySelectorAll('*')].map(e => e.getBoundingClientRect().right))"
            assert page.execute_script(widest) <= width
        script = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor];"
        text, ground = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in page.execute_script(script))
        assert abs(text - ground) > 450 and (text > ground) == (scheme == "dark")

    def test_on_the_smallest_phone_has_the_answer_in_view_below_the_pad(self, page, screen):
        screen(320, 454)
        script = "return [find('pad'), find('answer')].map(e => e.getBoundingClientRect()).map(r => [r.top, r.bottom]);"
        pad, answer = page.execute_script(script)
        assert 0 <= pad[0] < pad[1] < answer[0] < answer[1] <= 454
        assert re.search(r"confidence \d+(\.\d)?\u00a0%", text_of(page, "verdict"))
