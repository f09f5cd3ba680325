"""Formats: the same bytes each time, the same answers as Keras, or none at all."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from fer.errors import ConfigError, InputError
from fer.hub import load_folder
from fer.types import ModelConfig
from tests.conftest import make_config, numbers, opened

pytest.importorskip("datasets")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.keras

from tests.toy_data import make_dataset, save_two_heads  # noqa: E402


@pytest.fixture(scope="module")
def network_path(tmp_path_factory):
    """A small network with the kinds of layers that MobileNetV2 has, 16 px, three classes."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((16, 16, 1), name="pixels"),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=4.0)),
        ]
    )
    path = tmp_path_factory.mktemp("network") / "model.keras"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def two_headed(tmp_path_factory):
    """A smaller one with a second head for the votes."""
    path = tmp_path_factory.mktemp("network") / "model.keras"
    save_two_heads(path, n_classes=3)
    return path


def images(n, side=16):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 1), np.uint8)


@pytest.mark.parametrize("name", ["litert-float32", "litert-float16", "litert-int8", "onnx", "web"])
def test_a_format_answers_as_keras_does_from_the_same_bytes_each_time(network_path, tmp_path, name):
    import keras

    from train.export import FORMATS, check_parity, convert, load_network

    content = convert(network_path, name, images(64))
    assert convert(network_path, name, images(64)) == content
    path = tmp_path / FORMATS[name].file
    path.write_bytes(content)
    network = load_network(path)
    pixels = images(40).astype(np.float32)
    expected = numbers(keras.saving.load_model(network_path, compile=False)(pixels))
    assert len(set(expected.argmax(axis=1))) > 1
    answers = network(pixels)
    # Noise lies near the border of two classes, so top-1 says nothing here.
    check_parity(replace(FORMATS[name], top1_loss=None), answers, expected, np.zeros(40, int))
    for n in (1, 3, 40):
        assert np.allclose(network(pixels[:n]), answers[:n], atol=1e-4)
    if name in ("onnx", "web"):
        import onnxruntime

        session = onnxruntime.InferenceSession(content)
        assert [value.name for value in session.get_inputs()] == ["pixels"]
        assert [value.name for value in session.get_outputs()] == ["logits"]


@pytest.mark.parametrize("name", ["litert-float32", "litert-float16", "litert-int8", "onnx", "web"])
def test_each_head_of_a_format_answers_as_that_of_keras(two_headed, tmp_path, name):
    import keras

    from train.export import FORMATS, check_parity, convert, load_network

    path = tmp_path / FORMATS[name].file
    path.write_bytes(convert(two_headed, name, images(64)))
    pixels = images(40).astype(np.float32)
    reference = keras.saving.load_model(two_headed, compile=False)(pixels)
    network = load_network(path)
    found = network(pixels)
    assert list(found) == ["labels", "votes"]
    for head, answers in found.items():
        expected = numbers(reference[head])
        assert answers.shape == expected.shape
        assert np.ptp(expected, axis=0).max() > 0.1
        check_parity(FORMATS[name], answers, expected, np.full(40, -1))
        assert np.allclose(network(pixels[:3])[head], answers[:3], atol=1e-4)
    assert load_network(two_headed)(pixels)["votes"] == pytest.approx(numbers(reference["votes"]))
    if name in ("onnx", "web"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path.read_bytes())
        assert [value.name for value in session.get_outputs()] == ["labels", "votes"]
        (alone,) = session.run(["votes"], {"pixels": pixels})
        assert np.allclose(alone, found["votes"])


def test_web_halves_the_kernels_and_keeps_what_half_precision_cannot_hold(tmp_path):
    import keras
    import onnx

    from train.export import convert, load_network

    for scale, kinds in ((1.0, {"FLOAT16"}), (1e5, {"FLOAT"})):
        start = keras.initializers.Constant(scale)
        layers = [keras.Input((4, 4, 1)), keras.layers.Flatten()]
        keras.Sequential([*layers, keras.layers.Dense(3, kernel_initializer=start)]).save(
            tmp_path / "model.keras"
        )
        path = tmp_path / "model_web.onnx"
        path.write_bytes(convert(tmp_path / "model.keras", "web"))
        weights = onnx.load(path).graph.initializer
        name = onnx.TensorProto.DataType.Name
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        found = {name(w.data_type) for w in weights if len(w.dims) == 2 and w.data_type in floats}
        assert found == kinds
        ones = np.ones((2, 4, 4, 1), np.float32)
        assert load_network(path)(ones) == pytest.approx(np.full((2, 3), 16 * scale))


@pytest.mark.long
@pytest.mark.slow
def test_int8_keeps_stem_first_block_and_gates_in_float32(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    from tests.toy_data import toy_recipe
    from train.export import convert
    from train.model import build_model

    build_model(toy_recipe(cbam=True), 2, 32).save(tmp_path / "model.keras")
    content = convert(tmp_path / "model.keras", "litert-int8", images(8, side=32))
    kernels = {
        (tuple(map(int, each["shape"])), each["dtype"])
        for each in Interpreter(model_content=content).get_tensor_details()
        if len(each["shape"]) == 4
    }
    places = {dtype for shape, dtype in kernels if shape == (1, 7, 7, 2)}
    assert places == {np.float32}
    assert ((32, 3, 3, 1), np.float32) in kernels
    assert ((16, 1, 1, 32), np.float32) in kernels
    assert ((96, 1, 1, 16), np.int8) in kernels
    assert ((1280, 1, 1, 320), np.int8) in kernels


def test_the_keras_format_is_the_file_itself(network_path):
    from train.export import convert

    assert convert(network_path, "keras") == network_path.read_bytes()


def test_what_cannot_be_converted_is_said(network_path, monkeypatch):
    import keras

    from train.export import convert

    with pytest.raises(InputError, match=r"litert-int8.*'coreml'"):
        convert(network_path, "coreml")
    with pytest.raises(InputError, match="calibration"):
        convert(network_path, "litert-int8")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match=r"TensorFlow.*jax"):
        convert(network_path, "onnx")


def test_a_file_that_is_not_what_its_suffix_says_is_refused(tmp_path):
    from train.export import load_network

    for suffix in (".tflite", ".onnx", ".keras"):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(ConfigError):
            load_network(path)
    with pytest.raises(InputError, match=r"\.onnx.*model\.pb"):
        load_network(tmp_path / "model.pb")


def test_answers_that_are_off_are_refused():
    from train.export import FORMATS, Format, check_parity

    rng = np.random.default_rng(0)
    reference = rng.normal(0, 2, (400, 3)).astype(np.float32)
    labels = reference.argmax(axis=1)
    check_parity(FORMATS["onnx"], reference + 1e-5, reference, labels)
    with pytest.raises(ConfigError, match="onnx and Keras must agree"):
        check_parity(FORMATS["onnx"], reference[::-1], reference, labels)
    with pytest.raises(ConfigError, match="must agree"):
        check_parity(FORMATS["onnx"], np.full_like(reference, np.nan), reference, labels)
    lenient = Format("int8", "model.tflite", tolerance=1.0, top1_loss=0.5)
    wrong = reference.copy()
    wrong[:2] = -wrong[:2]  # two of 400 are 0.5 points
    check_parity(lenient, wrong, reference, labels)
    wrong[:4] = -reference[:4]
    with pytest.raises(ConfigError, match=r"at most 0\.50 points.*1\.00"):
        check_parity(lenient, wrong, reference, labels)
    check_parity(lenient, wrong, reference, np.where(np.arange(400) < 4, -1, labels))
    check_parity(lenient, wrong, reference, np.full(400, -1))


def test_calibration_takes_as_many_of_each_class_and_no_twin():
    from train.data.split import Split
    from train.export import calibration_sample

    labels = np.repeat([0, 1, 2], [300, 90, 20])
    twin = np.arange(410) % 2 == 0
    pixels = np.arange(410, dtype=np.uint16).view(np.uint8).reshape(410, 1, 2, 1)
    split = Split(pixels, labels, twin, None, ("a", "b", "c"), "")
    sample = calibration_sample(split)
    rows = sample.reshape(-1, 2).copy().view(np.uint16).ravel()
    assert np.bincount(labels[rows]).tolist() == [71, 45, 10]
    assert not twin[rows].any()
    assert len(set(rows)) == len(rows)
    assert (calibration_sample(split) == sample).all()


@pytest.fixture
def finished(network_path, tmp_path):
    """A finished run for three classes, and its data set."""
    classes = ("dark", "bright", "mixed")
    source = make_dataset(tmp_path / "toy", classes=classes)
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.keras").write_bytes(network_path.read_bytes())
    (run / "training.json").write_text("{}")
    config = make_config(class_names=classes, color_mode="gray")
    (run / "fer.json").write_text(config.to_json(), encoding="utf-8")
    return run, source


def test_an_export_holds_every_format_asked_for_with_its_hash(finished, tmp_path, monkeypatch):
    from train.export import FORMATS, export

    # Of two dozen images each is four points.
    monkeypatch.setitem(FORMATS, "litert-int8", replace(FORMATS["litert-int8"], top1_loss=None))
    run, source = finished
    config = export(
        run, opened(source), tmp_path / "out", ["onnx", "litert-int8", "litert-float16"]
    )
    assert set(config.files) == {
        "model.keras",
        "model.tflite",
        "model_float16.tflite",
        "model_int8.tflite",
        "model.onnx",
    }
    for file, sha256 in config.files.items():
        content = (tmp_path / "out" / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
    assert (tmp_path / "out" / "training.json").read_text() == "{}"
    assert ModelConfig.read(tmp_path / "out") == config
    assert load_folder(tmp_path / "out").config.class_names == ("dark", "bright", "mixed")


def test_an_export_of_two_heads_names_them_with_their_decisions(two_headed, tmp_path, monkeypatch):
    from fer.classify import decide
    from fer.pipeline import Pipeline
    from tests.conftest import FakeDetector, make_faces, noise
    from tests.train.test_evaluate import make_voted
    from train.data.votes import VOTE_CLASSES
    from train.export import FORMATS, export

    monkeypatch.setitem(FORMATS, "litert-int8", replace(FORMATS["litert-int8"], top1_loss=None))
    classes = ("angry", "happy", "sad")
    votes = [{"happy": 7, "sad": 3}, {"contempt": 10}, {"unknown": 10}, {"sad": 6, "angry": 4}]
    source = make_voted(tmp_path / "voted", votes, classes, n=40)
    (tmp_path / "model.keras").write_bytes(two_headed.read_bytes())
    config = make_config(class_names=classes)
    (tmp_path / "fer.json").write_text(config.to_json(), encoding="utf-8")
    finished = export(tmp_path, opened(source), tmp_path / "out", ["litert-int8", "onnx", "web"])
    assert ModelConfig.read(tmp_path / "out") == finished
    assert (finished.version, finished.decision) == (2, "balanced")
    assert finished.class_names == classes
    assert finished.vote_names == VOTE_CLASSES
    assert set(finished.head("labels").decisions) == {"balanced", "dataset"}
    served = load_folder(tmp_path / "out")
    split = opened(source).split("validation", config)
    split = split.rows(np.flatnonzero(~split.twin))
    raw = served.head_logits(split.images)
    assert served.probs(split.images) == pytest.approx(decide(raw["labels"], finished.served))
    # The real shares are likelier than at other temperatures.
    usable = split.shares.sum(axis=1) > 0
    fitted = finished.head("votes").decisions["dataset"]

    def loss(temperature):
        probs = decide(raw["votes"][usable], replace(fitted, temperature=temperature))
        return -(split.shares[usable] * np.log(probs)).sum()

    assert 0.1 < fitted.temperature < 10
    assert loss(fitted.temperature) <= min(loss(fitted.temperature * f) for f in (0.8, 1.25))
    faces = FakeDetector(make_faces([0, 0, 40, 40]))
    result = Pipeline(faces, served, votes=True)(noise(40, 40))
    assert result.faces.votes.shape == (1, 8)
    assert result.vote_names == VOTE_CLASSES
    plain = make_dataset(tmp_path / "plain", classes=classes)
    with pytest.raises(InputError, match="ferplus_votes"):
        export(tmp_path, opened(plain), tmp_path / "other")


def test_what_learned_from_validation_takes_the_decisions_of_another(finished, tmp_path):
    from train.export import export

    run, source = finished
    fitted = export(run, opened(source), tmp_path / "fitted")
    (run / "training.json").write_text('{"recipe": {"with_validation": true}}')
    with pytest.raises(InputError, match="decisions must be those of another"):
        export(run, opened(source), tmp_path / "out")
    with pytest.raises(InputError, match="the classes"):
        export(run, opened(source), tmp_path / "out", decided=make_config())
    assert not (tmp_path / "out").exists()
    other = replace(fitted, temperature=1.75)
    assert export(run, opened(source), tmp_path / "out", decided=other).temperature == 1.75
    assert ModelConfig.read(tmp_path / "out").temperature == 1.75


def test_the_average_neutral_face_is_measured(finished, tmp_path):
    from train.export import export, mean_neutral, write_neutral

    run, _ = finished
    classes = ("neutral", "bright", "mixed")
    config = make_config(class_names=classes, color_mode="gray")
    (run / "fer.json").write_text(config.to_json(), encoding="utf-8")
    data = opened(make_dataset(tmp_path / "faces", classes=classes))
    config = export(run, data, tmp_path / "out")
    split = data.split("validation", config)
    images = split.images[(split.labels == 0) & ~split.twin]
    raw = load_folder(tmp_path / "out").head_logits(images)["labels"].mean(axis=0)
    assert config.neutral_logits == pytest.approx(raw - raw.mean(), abs=1e-4)
    text = (tmp_path / "out" / "fer.json").read_text()
    (tmp_path / "out" / "fer.json").write_text(replace(config, neutral_logits=None).to_json())
    assert write_neutral(tmp_path / "out", data) == config
    assert (tmp_path / "out" / "fer.json").read_text() == text
    (tmp_path / "out" / "training.json").write_text('{"recipe": {"with_validation": true}}')
    with pytest.raises(InputError, match="has learned from"):
        write_neutral(tmp_path / "out", data)
    assert export(run, data, tmp_path / "next", decided=config).neutral_logits == (
        config.neutral_logits
    )
    assert mean_neutral(np.ones((2, 2), np.float32), np.zeros(2, int), ("calm", "wild")) is None
    assert mean_neutral(np.ones((2, 2), np.float32), np.zeros(2, int), ("a", "neutral")) is None


def test_nothing_is_written_where_a_format_is_off(finished, tmp_path, monkeypatch):
    import train.export

    run, source = finished
    other = train.export.convert

    def wrong(path, name, calibration=None):
        return other(path, "litert-int8" if name == "litert-float32" else name, images(8))

    monkeypatch.setattr(train.export, "convert", wrong)
    with pytest.raises(ConfigError, match="litert-float32 and Keras"):
        train.export.export(run, opened(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="'coreml'"):
        train.export.export(run, opened(source), tmp_path / "out", ["coreml"])


def test_an_unfinished_run_is_not_exported(tmp_path):
    from train.export import export

    (tmp_path / "fer.json").write_text(make_config().to_json(), encoding="utf-8")
    with pytest.raises(ConfigError, match="finished"):
        export(tmp_path, None, tmp_path / "out")
    assert ModelConfig.read(tmp_path).recipe == "toy"


@pytest.mark.long
def test_a_run_on_votes_ends_in_a_folder_with_two_heads(tmp_path):
    import json

    from tests.toy_data import toy_recipe
    from tests.train.test_evaluate import make_voted
    from train.data.votes import VOTE_CLASSES
    from train.export import export
    from train.fit import fit

    votes = [{"happy": 9}, {"sad": 6, "neutral": 4}, {"unknown": 9}]
    source = make_voted(tmp_path / "voted", votes, ("happy", "sad"), n=20)
    recipe = toy_recipe(backbone="cnn", votes=0.5, correct_bias=True)
    fit(recipe, opened(source), tmp_path / "run", init=None)
    record = json.loads((tmp_path / "run" / "training.json").read_text(encoding="utf-8"))
    assert set(record["class_bias"].values()) == {0.0}
    config = export(tmp_path / "run", opened(source), tmp_path / "out")
    assert config.vote_names == VOTE_CLASSES
    assert config.dataset.endswith("with FER+ votes")
    answers = load_folder(tmp_path / "out").head_logits(images(3, side=32))
    assert {name: logits.shape for name, logits in answers.items()} == {
        "labels": (3, 2),
        "votes": (3, 8),
    }
