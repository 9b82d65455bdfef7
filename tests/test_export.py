"""What leaves PyTorch predicts as PyTorch does, in onnxruntime and in a real browser, or is not written."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

import mnist_efficient_model as challenge
from data import strokes
from export import __main__ as command_line
from export import page as page_module
from export.onnx_file import OnnxModel, check_same, to_onnx
from export.page import demo, to_html
from helpers import drawings

onnx = importlib.import_module("onnx") if importlib.util.find_spec("onnx") else None
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
def export(trained, data, tmp_path, monkeypatch, capsys):
    """Run ``python -m export`` in this process, on those strokes, where efficient.pth is; (status, stdout, stderr)."""
    monkeypatch.setattr(challenge, "load_dataset", lambda *_, **__: data)
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained[2], "efficient.pth")

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = command_line.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse ends usage errors this way
            status = stop.code
        return status, *capsys.readouterr()

    return run


def edit(change) -> None:
    """Change the content of efficient.pth by a function."""
    content = torch.load("efficient.pth", weights_only=True)
    change(content)
    torch.save(content, "efficient.pth")


def record(**fields: object):
    return lambda content: content["result"].update(fields)


def last_weights(change):
    return lambda content: change(content["state_dict"]["18.weight"])


@torch.no_grad()
def randomised(name: str) -> nn.Module:
    """An untrained model, with biases and scales at random and BatchNorm's statistics of digits: no layer is lost."""
    torch.manual_seed(0)
    model, images = challenge.build_model(name), torch.from_numpy(strokes.generate(30, 0, "train")[0])
    for parameter in model.parameters():
        if parameter.ndim in (1, 3):
            parameter.mul_(0.75 + 0.5 * torch.rand(parameter.shape)).add_(0.2 * torch.rand(parameter.shape))
    for _ in range(25):
        model(challenge.to_input(images))
    return model.eval()


@pytest.fixture(scope="module")
def exported(trained, data) -> tuple[bytes, bytes, str]:
    """The ONNX file, the int8 file, and what the command printed."""
    folder = trained[2].parent
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(challenge, "load_dataset", lambda *_, **__: data)
        assert command_line.main([str(trained[2]), "--onnx", f"{folder}/it.onnx", "--int8", "--compare"]) == 0
    return (folder / "it.onnx").read_bytes(), (folder / "efficient.int8.onnx").read_bytes(), printed.getvalue()


@needs_onnx
class TestOnnx:
    def test_predicts_as_pytorch_does_for_any_batch_size(self, exported, trained):
        assert "the same predictions on all 1,000 test images" in exported[2]
        for n in (1, 3, 64):
            images = torch.randn(n, 1, 28, 28)
            with torch.no_grad():
                torch.testing.assert_close(OnnxModel(exported[0])(images), trained[1](images), atol=1e-4, rtol=0)

    def test_says_how_to_feed_it_and_nothing_of_the_machine_it_was_made_on(self, exported):
        about = {entry.key: entry.value for entry in onnx.load_from_string(exported[0]).metadata_props}
        assert about["model"] == "efficient" and str(challenge.MEAN) in about["images"] and b".py" not in exported[0]

    def test_in_int8_is_smaller_and_hardly_less_accurate_and_the_table_shows_both(self, exported, data, trained):
        floats, small, out = exported
        accuracy = challenge.evaluate(OnnxModel(small), data.test).accuracy
        assert accuracy > trained[0].test_accuracy - 0.02 and len(small) < 0.75 * len(floats)
        rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if not line.startswith(("/", " "))}
        assert list(rows) == ["eager", "ONNX", "int8"] and {len(row) for row in rows.values()} == {5}
        assert rows["int8"][:2] == [f"{len(small):,}", challenge.percent(accuracy)[:-2]]
        assert rows["ONNX"][0] == f"{len(floats):,}" and all(float(row[2]) > 0 for row in rows.values())

    def test_that_predicts_otherwise_is_refused_and_not_written(self, exported, export, monkeypatch):
        proto = onnx.load_from_string(exported[0])
        for weights in proto.graph.initializer:
            weights.raw_data = bytes(len(weights.raw_data)) if len(weights.dims) == 4 else weights.raw_data
        monkeypatch.setattr(command_line, "to_onnx", lambda *_: proto.SerializeToString())
        status, out, err = export("efficient.pth", "--html", "new/it.html", "--onnx", "it.onnx")
        assert status == 3 and re.search(r"\d+ of 1,000 predictions change", err)
        assert out == "" and not Path("new").exists() and not Path("it.onnx").exists()

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
        assert (caught.value.status, "\n" in str(caught.value), capfd.readouterr()) == (3, False, ("", ""))

    def test_ctrl_c_in_the_exporter_is_no_failure_of_the_model(self, trained):
        class Interrupted(nn.Flatten):
            def forward(self, images):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            to_onnx(Interrupted(), trained[0].plain())


HTML, ONNX = ["--html", "it.html"], ["--onnx", "it.onnx"]
REFUSED = {  # what is done to the checkpoint, the options, the status and words of the line
    "a field is missing": (lambda content: content["result"].pop("seed"), HTML, 3, "not a checkpoint of version"),
    "a field is unknown": (record(colour="red"), HTML, 3, "not a checkpoint of version"),
    "no record": (lambda content: content.pop("result"), HTML, 3, "no checkpoint"),
    "weights are missing": (lambda content: content["state_dict"].popitem(), HTML, 3, "does not fit"),
    "it broke a limit": (record(test_accuracy=0.9), HTML, 1, "5.00 points short"),
    "it was not scored": (record(test_accuracy=None), HTML, 1, "accuracy not measured"),
    "it is too large": (lambda content: content["limits"].update(parameters=5000), HTML, 1, "too many"),
    "an accuracy never reached": (record(test_accuracy=0.9999), HTML, 3, "recorded are 99.99 %"),
    "other data": (record(test_images=999), HTML, 3, "does not give its recorded scores"),
    "not of digits": (record(dataset="fashion"), HTML, 3, "for models of digits, this one was trained on fashion"),
    "NaN": (last_weights(lambda w: w.fill_(float("nan"))), HTML, 3, "not finite"),
    "NaN without its data": (lambda c: (record(dataset="mnist")(c), last_weights(lambda w: w.fill_(float("nan")))(c)),
                             [*HTML, "--data-dir", "."], 3, "not finite"),
    "zeros": (last_weights(torch.Tensor.zero_), HTML, 3, "does not give its recorded scores"),
    "a tenth more": (last_weights(lambda w: w.mul_(1.1)), ONNX, 3, "does not give its recorded scores"),
    "its own file": (lambda content: content.update(model="mine.py"), HTML, 3, "if you trust that file"),
    "another model's file": (None, [*HTML, "--model-file", "other.py"], 3, "does not fit"),
    "no checkpoint": (None, ["no.pth", *HTML], 4, "cannot read no.pth"),
    "no option": (None, [], 2, "nothing to do: give --onnx, --int8, --compare or --html"),
    "no model file": (None, [*HTML, "--model-file", "mine"], 2, "FILE.py"),
    "two outputs in one": (None, [*ONNX, "--int8", "./it.onnx"], 2, "the same file"),
    "two in one ONNX": (None, ["efficient.pth", *ONNX], 2, "several checkpoints: only --html takes them"),
    "onto itself": (None, ["--html", "efficient.pth"], 2, "--html efficient.pth: the output"),
    "onto itself through a link": (None, ["--html", "link.html"], 2, "must end in .html"),
    "onto the model's file": (None, ["--onnx", "mine.py"], 2, "must end in .onnx"),
    "onto the data": (None, ["--int8", "MNIST/raw/train-images-idx3-ubyte"], 2, "must end in .onnx"),
    "onto its template": (None, ["--html", page_module.HERE / "page.html"], 2, "must end in .html"),
    "onto a folder": (None, ["--html", "folder.html"], 4, "cannot write folder.html: it is a folder"),
    "into a file": (None, ["--onnx", "efficient.pth/it.onnx"], 4, "cannot write efficient.pth/it.onnx"),
}  # fmt: skip


class TestAnExportIsRefused:
    @pytest.mark.parametrize("case", REFUSED)
    def test_in_one_line_and_every_file_stays_as_it_was_when(self, export, case):
        def files() -> dict[Path, bytes]:
            return {path: path.read_bytes() if path.is_file() else b"" for path in Path().glob("*.*")}

        change, options, status, words = REFUSED[case]
        Path("mine.py").write_text("open('executed.txt', 'w')")
        Path("other.py").write_text("from mnist_efficient_model import mlp_small as build_model")
        Path("link.html").symlink_to("efficient.pth")
        Path("folder.html").mkdir()
        edit(change or (lambda content: None))
        before = files()
        found, out, err = export("efficient.pth", *options)
        assert (found, out, err.count("\n")) == (status, "", 1) and "export: error: " in err
        assert words in err and files() == before

    @pytest.mark.parametrize("size", [0, 100, 20_000])
    def test_when_its_checkpoint_is_truncated(self, export, size):
        Path("efficient.pth").write_bytes(Path("efficient.pth").read_bytes()[:size])
        status, out, err = export("efficient.pth", *HTML)
        assert (status, out, err.count("\n")) == (3, "", 1) and "efficient.pth" in err

    def test_without_the_packages_it_needs_with_the_line_that_installs_them(self, export, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
        status, _, err = export("efficient.pth", "--int8")
        assert status == 4 and "pip install -r export/requirements.txt" in err

    def test_on_a_full_disk(self, export, monkeypatch):
        monkeypatch.setattr(challenge, "write_file", Mock(side_effect=OSError(28, "No space left on device")))
        line = "python -m export: error: cannot write the results: No space left on device\n"
        assert export("efficient.pth", *HTML) == (4, "", line)

    def test_but_not_when_a_few_predictions_differ_as_they_do_between_machines(self, export, trained):
        edit(record(test_accuracy=trained[0].test_accuracy - 0.001))
        assert export("efficient.pth", *HTML)[0] == 0


NO_PAGE = {  # words of the line, and the model
    "Patches(": "lightweight",
    "RowReader(": "rnn",
    "padding_mode must be 'zeros'": nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
    "padding must be a number of pixels": nn.Conv2d(1, 1, 3, padding="same"),
    "dilation must be (1, 1)": nn.Conv2d(1, 1, 3, dilation=2),
    "ceil_mode must be False": nn.MaxPool2d(2, ceil_mode=True),
    "scale_factor must be None": nn.Upsample(scale_factor=0.65, mode="bilinear"),
    "output_size must be 1": nn.AdaptiveAvgPool2d(2),
    "its input must be flat": nn.Linear(28, 10),
    "GELU(approximate='none') cannot be written as JavaScript: the page takes known layers in a row": nn.GELU(),
    "Doubling(p=0.5": type("Doubling", (nn.Dropout,), {"forward": lambda self, x: 2 * x})(),
}


class TestThePage:
    def test_is_made_of_a_model_of_a_file_that_the_user_names(self, export):
        Path("mine.py").write_text("from mnist_efficient_model import efficient as build_model")
        edit(lambda content: (content.update(model="mine.py"), content["result"].update(model="mine.py")))
        assert export("efficient.pth", *HTML, "--model-file", "mine.py")[0] == 0
        assert "mine.py: 8,706 parameters" in Path("it.html").read_text()

    @pytest.mark.parametrize("words", NO_PAGE)
    def test_is_refused_to_a_layer_or_an_option_without_javascript_which_is_named(self, trained, words):
        model = NO_PAGE[words]
        model = challenge.build_model(model) if isinstance(model, str) else nn.Sequential(nn.Sequential(model))
        with pytest.raises(challenge.ChallengeError, match=re.escape(words)) as caught:
            to_html(model, trained[0].plain())
        assert caught.value.status == 3 and "\n" not in str(caught.value)

    def test_is_one_small_file_that_asks_the_network_for_nothing(self, export):
        Path("there").mkdir()
        Path("link.html").symlink_to("there/it.html")
        status, out, _ = export("efficient.pth", "--html", "link.html")
        text = Path("there/it.html").read_text()
        assert status == 0 and "measured again" not in out + text and 50_000 < len(text.encode()) < 150_000
        assert not re.search(r"""(src|href)=(?!["']?data:)|url\(|@import|fetch\(|XMLHttp|{{""", text)
        assert "default-src 'none'" in text and "unsafe" not in text

    def test_says_what_the_network_is_and_where_its_data_is_missing_that_it_was_not_scored_again(self, export, trained):
        edit(record(dataset="mnist"))
        status, out, _ = export("efficient.pth", *HTML, "--data-dir", ".")
        text, reached = Path("it.html").read_text(), challenge.percent(trained[0].test_accuracy)[:-2]
        assert status == 0 and "the accuracy is the record's, not measured again" in out
        for fact in ("8,706", reached, '"Seed", "1"', "NOT for MNIST", "not measured again for this page"):
            assert fact in text

    def test_links_to_the_project_where_the_project_has_an_address(self, trained, tmp_path, monkeypatch):
        (tmp_path / "CITATION.cff").write_text("title: it\nrepository-code: https://example.org/it\n")
        monkeypatch.setattr(page_module, "CITATION", tmp_path / "CITATION.cff")
        assert '<a href="https://example.org/it">' in to_html(trained[1], trained[0].plain())


# --- In Chromium ------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_page(browser, trained, tmp_path):
    """Open the page of models, each by its name, which is also its note; afterwards the console is still empty."""

    def open_(models: dict[str, nn.Module]):
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        record = trained[0].plain()
        text = demo([(model, {**record, "model": name, "note": name}, True) for name, model in models.items()])
        (tmp_path / "page.html").write_text(text)
        browser.get((tmp_path / "page.html").as_uri())
        drawings.settle(browser)
        return browser

    yield open_
    assert browser.get_log("browser") == []


@pytest.fixture
def page(open_page, trained):
    """The trained network's page, freshly opened."""
    return open_page({"efficient": trained[1]})


def text_of(browser, name: str) -> str:
    return browser.execute_script("return find(arguments[0]).textContent;", name)


def logits(browser, images: torch.Tensor) -> torch.Tensor:
    script = "return arguments[0].map(pixels => Array.from(activations(pixels).at(-1)[1].data));"
    return torch.tensor(browser.execute_script(script, images.flatten(1).tolist()))


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


VIEWS = {"efficient": "resize", "fast": "crop and 2×2 average pooling", "mlp": ""}


class TestThePageInABrowser:
    def test_computes_pytorchs_logits_for_every_model_that_has_a_page(self, open_page, data, trained):
        models = {name: randomised(name) for name in SERVED.split()} | {"trained": trained[1]}
        browser, images = open_page(models), data.test.images[:10]
        for i, (name, model) in enumerate(models.items()):
            browser.execute_script("choose(arguments[0]);", i)
            expected = challenge.predict(model, images)
            assert (logits(browser, images) - expected).abs().max() < 1e-4 < expected.std(0).min() / 10, name
            assert "its logits of a test digit are PyTorch's" in text_of(browser, "facts")

    def test_computes_strides_groups_and_windows_that_are_no_squares(self, open_page, data):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 6, (3, 5), stride=(2, 1), padding=(0, 2)), nn.ReLU(), nn.AvgPool2d(3, stride=2)]
        layers += [nn.Conv2d(6, 12, 3, groups=3, padding=1), nn.MaxPool2d((2, 3), (1, 2)), nn.Dropout(), nn.Flatten()]
        model, images = nn.Sequential(*layers, nn.Linear(360, 10, bias=False)).eval(), data.test.images[:10]
        expected = challenge.predict(model, images)
        torch.testing.assert_close(logits(open_page({"odd": model}), images), expected, atol=1e-4, rtol=0)

    def test_says_so_when_it_computes_other_logits_than_pytorch(self, open_page):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        model[1].register_forward_hook(lambda module, inputs, output: output + 1)
        assert "are NOT PyTorch's, within 1e+0" in text_of(open_page({"hooked": model}), "facts")

    def test_opens_with_a_three_already_read_which_the_first_stroke_replaces(self, page):
        assert prediction(page) == "3" and "Prediction: 3" in text_of(page, "verdict")
        drawings.draw(page, shape("1", "stick"))
        assert prediction(page) == "1" and page.execute_script("return strokes.length;") == 1

    def test_of_several_models_reads_the_drawing_by_the_one_chosen(self, open_page, trained):
        page = open_page({"efficient": trained[1], "tiny": randomised("tiny")})
        drawings.draw(page, shape("7", "plain"))
        first = text_of(page, "bars")
        page.find_element("css selector", "#model option:last-child").click()
        drawings.settle(page)
        assert text_of(page, "bars") != first and page.execute_script("return figures.length;") == 21
        assert text_of(page, "facts").startswith("Modeltiny") and page.title == "Draw a digit: efficient, tiny"

    def test_shows_hostile_text_as_text(self, open_page):
        page = open_page(dict.fromkeys(HOSTILE, nn.Sequential(nn.Flatten(), nn.Linear(784, 10))))
        for i, text in enumerate(HOSTILE):
            script = "choose(arguments[0]); return [find('model').options[arguments[0]].text, find('facts').innerText];"
            option, facts = page.execute_script(script, i)
            assert option.startswith(f"{text}: 8,706") and facts.count(text) == 2
        assert page.find_elements("css selector", "img, option *, dd *, body > script ~ *") == []

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

    @pytest.mark.parametrize("name, words", VIEWS.items())
    def test_shows_what_the_network_sees_after_its_own_crop_or_resize(self, open_page, name, words):
        model = randomised(name)
        page = open_page({name: model})
        drawn = torch.from_numpy(network_input(page))[None]
        expected = model[: len(words.split(" and ")) if words else 0](challenge.to_input(drawn))[0, 0]
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
        frame = page.find_element("id", "pad").rect
        places = [(frame["x"] + frame["width"] * x, frame["y"] + frame["width"] * y) for x, y in shape("1", "stick")[0]]
        for kind, points in (("touchStart", places[:1]), ("touchMove", places[1:]), ("touchEnd", [])):
            touch = {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
            page.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
        assert prediction(page) == "1" and page.execute_script("return strokes.length;") == 1

    def test_tells_a_screen_reader_the_prediction(self, page):
        put(page, shape("1", "stick"))
        page.execute_async_script("setTimeout(arguments[0], 600);")
        roles = "[spoken.ariaLive, pad.getAttribute('role'), find('bars').ariaLabel]"
        assert page.execute_script(f"return {roles};") == ["polite", "application", "Probabilities"]
        assert "Prediction: 1" in text_of(page, "spoken")

    def test_shows_ten_probabilities_and_the_maps_of_every_layer(self, page):
        probabilities = page.execute_script("return bars.map(bar => parseFloat(bar.lastChild.textContent));")
        assert len(probabilities) == 10 and sum(probabilities) == pytest.approx(100, abs=0.5)
        captions = page.execute_script("return [...document.querySelectorAll('figcaption')].map(c => c.textContent);")
        assert captions[:2] == ["resize 1 × 24 × 24", "3×3 convolution 8 × 24 × 24"]
        assert captions[-1] == "linear 10" and len(captions) == 17
        pixels = "c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        assert page.execute_script(f"return figures.every(c => {pixels}.some(value => value > 99));")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_fits_any_screen_is_legible_and_on_a_small_phone_has_the_answer_in_view_below_the_pad(self, page, scheme):
        look = """const rows = name => [find(name).getBoundingClientRect()].flatMap(r => [r.top, r.bottom]);
            const {color, backgroundColor} = getComputedStyle(document.body);
            const widest = Math.max(...[...document.querySelectorAll('*')].map(e => e.getBoundingClientRect().right));
            return [widest, color, backgroundColor, [...rows('pad'), ...rows('answer')]];"""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for width, height in ((1920, 1080), (1280, 800), (390, 844), (320, 454)):
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            drawings.settle(page)
            widest, *colours, rows = page.execute_script(look)
            ink, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
            assert widest <= width and abs(ink - paper) > 450 and (ink > paper) == (scheme == "dark")
        assert [0, *rows, 454] == sorted([0, *rows, 454])
