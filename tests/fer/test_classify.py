import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fer.classify import Classifier, keras_model, keras_network, litert_network, softmax
from fer.errors import ConfigError, InputError
from fer.hub import KERAS_NAME, LITERT_NAME, WEIGHTS_FOLDER, load_classifier
from fer.preprocess import to_model_input
from fer.types import ModelConfig
from tests.conftest import ROOT, make_classifier, make_config, make_two_heads, noise, rendered_face


def bundled_crops(n):
    face = rendered_face(sex="male")
    return [np.roll(face, 13 * i, axis=1)[: 480 - 7 * i] for i in range(n)]


def test_probabilities_follow_class_names():
    probs = make_classifier()([np.full((9, 9, 3), value, np.uint8) for value in (0, 255)])
    assert probs.dtype == np.float32
    assert probs.argmax(axis=1).tolist() == [0, 1]
    assert np.allclose(probs.sum(axis=1), 1)


def test_no_crop_gives_no_row():
    assert make_classifier()([]).shape == (0, 2)


def test_temperature_softens_but_keeps_the_order():
    crops = [np.full((9, 9, 3), 200, np.uint8)]
    sharp, soft = make_classifier()(crops), make_classifier(temperature=4.0)(crops)
    assert sharp.argmax() == soft.argmax()
    assert 0.5 < soft.max() < sharp.max()


GRAY = [np.full((9, 9, 3), 128, np.uint8)]


@pytest.mark.parametrize(
    ("decision", "bias", "temperature"), [("balanced", 2, 2), ("dataset", 0, 1)]
)
def test_the_labels_are_answered_by_the_served_decision(decision, bias, temperature):
    classifier = make_two_heads(decision=decision)
    (raw,) = make_classifier().logits(to_model_input(GRAY, classifier.config))
    biased = raw + np.float32([0, bias])
    expected = softmax(biased[None], temperature)
    assert classifier(GRAY) == pytest.approx(expected)
    batch = to_model_input(GRAY, classifier.config)
    assert classifier.probs(batch) == pytest.approx(expected)
    assert classifier.logits(batch)[0] == pytest.approx(biased)
    assert classifier.head_logits(batch)["labels"][0] == pytest.approx(raw)


def test_the_votes_come_from_the_same_call_of_the_network():
    classifier = make_two_heads()
    before = classifier.network.calls
    probs, votes = classifier.with_votes(GRAY * 3)
    assert classifier.network.calls == before + 1
    assert probs == pytest.approx(classifier(GRAY * 3))
    assert votes.shape == (3, 3)
    assert votes.dtype == np.float32
    assert votes[0] == pytest.approx(softmax(np.float32([[1, 2, 0]]))[0])
    none = classifier.with_votes([])
    assert [part.shape for part in none] == [(0, 2), (0, 3)]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"labels": 2}, r"3 logits.*votes.*None"),
        ({"votes": 3}, r"2 logits.*labels.*None"),
        ({"labels": 2, "votes": 8}, r"3 logits.*\(1, 8\)"),
        ({"labels": 7, "votes": 3}, r"2 logits.*\(1, 7\)"),
    ],
)
def test_a_network_without_the_heads_of_its_config_is_refused(outputs, said):
    def network(pixels):
        return {name: np.zeros((len(pixels), k), np.float32) for name, k in outputs.items()}

    with pytest.raises(ConfigError, match=said):
        make_two_heads(network)


def test_a_network_with_two_outputs_serves_with_a_config_of_one_head():
    network = make_two_heads().network
    classifier = Classifier(network, make_config())
    assert classifier(GRAY) == pytest.approx(make_classifier()(GRAY))
    assert set(classifier.head_logits(to_model_input(GRAY, classifier.config))) == {
        "labels",
        "votes",
    }
    with pytest.raises(ConfigError, match="votes"):
        classifier.with_votes(GRAY)


def test_softmax_does_not_overflow():
    assert softmax(np.array([[1000.0, -1000.0]], np.float32)).tolist() == [[1, 0]]


def test_a_network_that_does_not_fit_the_config_is_refused():
    with pytest.raises(ConfigError, match="2 logits"):
        Classifier(lambda pixels: np.zeros((len(pixels), 3), np.float32), make_config())
    model = (WEIGHTS_FOLDER / LITERT_NAME).read_bytes()
    config = ModelConfig.read(WEIGHTS_FOLDER)
    with pytest.raises(ConfigError):
        Classifier(litert_network(model), make_config(class_names=config.class_names))


def test_a_file_that_is_no_model_is_refused():
    with pytest.raises(ConfigError, match="LiteRT"):
        litert_network(b"not a model at all")


def test_a_bad_crop_is_refused():
    with pytest.raises(InputError):
        make_classifier()([np.zeros((3, 3))])


def test_the_bundled_classifier_answers_alike_in_any_batch_and_thread():
    classifier = load_classifier()
    crops = bundled_crops(40)
    alone = np.concatenate([classifier([crop]) for crop in crops])
    assert np.allclose(classifier(crops), alone, atol=1e-5)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda crop: classifier([crop])[0], crops))
    assert np.allclose(together, alone, atol=1e-5)
    assert np.ptp(alone, axis=0).max() > 0.05  # the crops do differ


def test_colour_order_changes_the_answer():
    classifier = load_classifier()
    face = rendered_face()
    swapped = np.ascontiguousarray(face[..., ::-1])
    assert np.abs(classifier([face]) - classifier([swapped])).max() > 1e-3


@pytest.mark.slow
def test_neither_import_nor_prediction_loads_tensorflow_or_keras():
    code = (
        "import sys, numpy, fer, fer.web\n"
        "fer.load_classifier()([numpy.zeros((48, 48, 3), numpy.uint8)])\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'datasets', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.keras
def test_litert_agrees_with_keras():
    litert = load_classifier()
    reference = Classifier(keras_network(WEIGHTS_FOLDER / KERAS_NAME), litert.config)
    crops = [*bundled_crops(8), noise(48, 48), noise(300, 200)]
    # float32 sums in another order; measured gap about 1e-5
    assert np.abs(litert(crops) - reference(crops)).max() < 1e-3


def hostile_keras(folder):
    """Files that are no Keras model, each in another way; by the type of Keras's own error."""
    with zipfile.ZipFile(WEIGHTS_FOLDER / KERAS_NAME) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = parts["model.weights.h5"]
    damaged = {
        "config.json": (None, b"[]", b"7", b"null", b"[" * 100_000 + b"]" * 100_000, b"{"),
        "model.weights.h5": (b"x", None, weights[:20_000] + bytes(2000) + weights[22_000:]),
    }
    (folder / "text.keras").write_text("Dear Sir or Madam")
    yield folder / "text.keras"
    yield folder / "none.keras"
    for name, contents in damaged.items():
        for i, content in enumerate(contents):
            path = folder / f"{name}-{i}.keras"
            with zipfile.ZipFile(path, "w") as archive:
                for part, data in (parts | {name: content}).items():
                    if data is not None:
                        archive.writestr(part, data)
            yield path


@pytest.mark.keras
def test_a_hostile_keras_file_is_an_error_of_ours(tmp_path):
    from train.model import load_model

    for path in hostile_keras(tmp_path):
        with pytest.raises(ConfigError, match="must be a Keras model"):
            keras_model(path)
        with pytest.raises(InputError, match=r"a teacher must be a \.keras file"):
            load_model(path, "a teacher")
