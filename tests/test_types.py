import json

import numpy as np
import pytest

from fer.errors import ConfigError, InputError
from fer.types import Faces, ModelConfig, check_frame
from tests.conftest import make_config, make_faces, noise


@pytest.mark.parametrize(
    ("frame", "received"),
    [
        (None, "NoneType"),
        ("photo.jpg", "str"),
        (np.zeros((4, 4), np.uint8), "shape=(4, 4)"),
        (np.zeros((4, 4, 4), np.uint8), "shape=(4, 4, 4)"),
        (np.zeros((0, 4, 3), np.uint8), "shape=(0, 4, 3)"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.full((4, 4, 3), np.nan), "float64"),
    ],
)
def test_what_is_no_frame_is_refused_by_name(frame, received):
    with pytest.raises(InputError) as caught:
        check_frame(frame)
    assert received in str(caught.value)
    assert "uint8 RGB" in str(caught.value)


def test_a_frame_passes_uncopied():
    frame = noise(1, 1)
    assert check_frame(frame) is frame


def test_no_face_is_a_value():
    faces = Faces.empty()
    assert len(faces) == 0
    assert faces.with_probs(np.zeros((0, 7), np.float32)).probs.shape == (0, 7)
    assert list(faces) == []


def test_faces_select_all_columns_together():
    points = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    faces = make_faces([0, 0, 5, 5], [1, 1, 9, 9], landmarks=points)
    faces = faces.with_probs(np.array([[1, 0], [0.25, 0.75]], np.float32))
    second = faces[faces.xyxy[:, 0] > 0]
    assert second.xyxy.tolist() == [[1, 1, 9, 9]]
    assert second.landmarks.tolist() == [points[1].tolist()]
    assert second.probs.tolist() == [[0.25, 0.75]]


def test_faces_cannot_be_changed():
    faces = make_faces([0, 0, 5, 5])
    with pytest.raises(ValueError, match="read-only"):
        faces.xyxy[0, 0] = 3


@pytest.mark.parametrize(
    "change",
    [
        {"xyxy": np.zeros((1, 3))},
        {"xyxy": np.array([[5, 0, 5, 9]])},
        {"xyxy": np.array([[0, 0, np.nan, 9]])},
        {"score": np.array([1.5])},
        {"score": np.array([0.5, 0.5])},
        {"landmarks": np.zeros((1, 4, 2))},
        {"probs": np.array([[0.5, 0.2]])},
        {"probs": np.array([[1.5, -0.5]])},
        {"track_id": np.array([1, 2])},
    ],
)
def test_impossible_faces_are_refused(change):
    sound = {"xyxy": np.array([[0, 0, 5, 5]]), "score": np.array([0.5])}
    Faces(**sound)
    with pytest.raises(InputError):
        Faces(**(sound | change))


def test_config_survives_json():
    config = make_config(temperature=1.25, files={"model.tflite": "ab"})
    again = ModelConfig.from_json(config.to_json())
    assert again == config
    assert again.class_names == ("dark", "bright")


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"class_names": ["one"]},
        {"class_names": ["one", "one"]},
        {"input_size": 0},
        {"color_mode": "bgr"},
        {"temperature": 0},
        {"version": 2},
        {"files": None},
        {"input_size": 96.5},
        {"align": "no"},
    ],
)
def test_a_config_that_cannot_be_used_is_refused(change):
    values = json.loads(make_config().to_json()) | change
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_json(json.dumps(values))
    assert next(iter(change)) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json"])
def test_a_config_must_be_an_object_with_class_names(text):
    with pytest.raises(ConfigError):
        ModelConfig.from_json(text)
