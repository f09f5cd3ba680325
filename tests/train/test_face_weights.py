"""The conversion of dlib's face network, on a file of its layout with random weights."""

import hashlib
import json

import numpy as np
import pytest

from fer.errors import InputError
from tests.conftest import noise, numbers

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

NAME = "face_recognition_model"


def write_weights(folder, monkeypatch):
    """Write random weights as face-api has them, every second kernel with 8 bits."""
    from train import face_weights

    rng = np.random.default_rng(0)
    entries, parts = [], []
    channels = 3
    for i, theirs in enumerate(face_weights._sources().values()):
        size = 7 if i == 0 else 3
        filters = int(theirs[4:].partition("_")[0].partition("/")[0])
        kernel = rng.normal(0, 1 / (size * channels**0.5), (size, size, channels, filters))
        arrays = {
            "conv/filters": kernel,
            "conv/bias": rng.normal(0, 0.1, filters),
            "scale/weights": rng.uniform(0.5, 1, filters),
            "scale/biases": rng.normal(0, 0.1, filters),
        }
        channels = filters
        for name, values in arrays.items():
            entry = {"name": f"{theirs}/{name}", "shape": list(values.shape), "dtype": "float32"}
            if i % 2 and name == "conv/filters":
                low, step = float(values.min()), float(np.ptp(values) / 255)
                entry["quantization"] = {"dtype": "uint8", "scale": step, "min": low}
                values = np.rint((values - low) / step).astype(np.uint8)
            parts.append(np.asarray(values, None if "quantization" in entry else np.float32))
            entries.append(entry)
    content = b"".join(part.tobytes() for part in parts)
    (folder / f"{NAME}.bin").write_bytes(content)
    manifest = json.dumps([{"weights": entries}])
    (folder / f"{NAME}-weights_manifest.json").write_text(manifest)
    monkeypatch.setattr(face_weights, "SHA256", hashlib.sha256(content).hexdigest())
    return folder / f"{NAME}.bin"


def test_the_first_layer_sees_gray_as_theirs_sees_it_in_three_channels(tmp_path, monkeypatch):
    import keras

    from train.face_weights import convert_face_weights, read_face_weights
    from train.model import build_model
    from train.recipes import teacher_face

    path = write_weights(tmp_path, monkeypatch)
    arrays = read_face_weights(path)
    gray = np.stack([noise(112, 112, seed=i)[..., :1] for i in range(3)])
    start = convert_face_weights(path, gray, teacher_face())
    backbone = start.layers[1]
    first = keras.Model(backbone.input, backbone.get_layer("Conv1_bn").output)
    got = numbers(first(gray / np.float32(127.5) - 1))

    mean = np.array([122.782, 117.001, 104.298], np.float32)
    theirs = (np.repeat(gray, 3, axis=3) - mean) / 255
    kernel = arrays["conv32_down/conv/filters"]
    expected = numbers(keras.ops.conv(theirs, kernel, strides=2, padding="valid"))
    expected = expected + arrays["conv32_down/conv/bias"]
    expected = expected * arrays["conv32_down/scale/weights"] + arrays["conv32_down/scale/biases"]
    assert np.ptp(expected) > 1
    assert np.abs(got - expected).max() < 1e-3
    # The statistics are those of the images, so that training starts from the same function.
    last = backbone.get_layer("face_5_1_2_bn")
    inside = numbers(keras.Model(backbone.input, last.input)(gray / np.float32(127.5) - 1))
    assert np.abs(numbers(last.moving_mean) - inside.mean(axis=(0, 1, 2))).max() < 1e-3

    start.save(tmp_path / "face.keras")
    network = build_model(teacher_face(), 7, 112, init=tmp_path / "face.keras", n_votes=8)
    assert (numbers(network.layers[2].weights[0]) == numbers(backbone.weights[0])).all()


def test_another_file_is_refused(tmp_path, monkeypatch):
    from train.face_weights import read_face_weights

    path = write_weights(tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="sha256"):
        read_face_weights(path)
    with pytest.raises(InputError, match="manifest"):
        read_face_weights(tmp_path / "no" / f"{NAME}.bin")
