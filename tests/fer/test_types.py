import json
from dataclasses import replace

import numpy as np
import pytest

from fer.errors import ConfigError, InputError
from fer.types import Faces, ModelConfig, check_frame
from tests.conftest import ROOT, VOTE_NAMES, make_config, make_faces, make_heads, noise


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
    votes = np.array([[1, 0, 0], [0, 0.5, 0.5]], np.float32)
    faces = faces.with_probs(np.array([[1, 0], [0.25, 0.75]], np.float32), votes)
    second = faces[faces.xyxy[:, 0] > 0]
    assert second.xyxy.tolist() == [[1, 1, 9, 9]]
    assert second.landmarks.tolist() == [points[1].tolist()]
    assert second.probs.tolist() == [[0.25, 0.75]]
    assert second.votes.tolist() == [[0, 0.5, 0.5]]
    assert second.with_probs(second.probs).votes is None


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
        {"votes": np.array([[0.5, 0.2]])},
        {"votes": np.array([[1.0, 0.0], [1.0, 0.0]])},
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


def two_heads(**changes):
    """The values of a `fer.json` of version 2."""
    values = json.loads(make_config().to_json())
    del values["class_names"], values["temperature"]
    return values | {"heads": make_heads(), "decision": "balanced", "version": 2} | changes


def committed(*folders):
    """Parametrise a test over the `fer.json` of these folders."""
    paths = [path for folder in folders for path in sorted(ROOT.glob(f"{folder}/fer.json"))]
    return pytest.mark.parametrize("path", [path.relative_to(ROOT).as_posix() for path in paths])


@committed("fer/weights", "results/models/*")
def test_a_file_is_written_as_it_was_read(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert ModelConfig.from_json(text).to_json() == text


@committed("results/models/*")
def test_a_file_of_one_head_has_one_decision_without_a_bias(path):
    config = ModelConfig.from_json((ROOT / path).read_text(encoding="utf-8"))
    assert (config.decision, config.vote_names, set(config.served.bias)) == ("dataset", (), {0.0})
    assert config.served.temperature == config.temperature
    with pytest.raises(ConfigError, match=r"head 'votes'.*\['labels'\]"):
        config.head("votes")


def test_a_config_of_two_heads_serves_the_named_decision():
    config = ModelConfig.from_json(json.dumps(two_heads()))
    assert json.loads(config.to_json()) == two_heads()
    assert ModelConfig.from_json(config.to_json()) == config
    assert (config.class_names, config.vote_names) == (("dark", "bright"), VOTE_NAMES)
    assert (config.temperature, config.served.bias) == (2.0, (0.0, 2.0))
    other = replace(config, decision="dataset")
    assert (other.temperature, other.served.bias) == (1.0, (0.0, 0.0))
    assert replace(other, decision="balanced") == config
    with pytest.raises(ConfigError, match=r"`temperature`.*1\.5"):
        replace(config, temperature=1.5)
    with pytest.raises(ConfigError, match=r"`class_names`.*'left'"):
        replace(config, class_names=("left", "right"))


SOUND = {"bias": [0.0, 1.0], "temperature": 1.0}
LABELS = {"class_names": ["dark", "bright"], "decisions": {"dataset": SOUND}}


def _labels(**changes):
    return {"heads": {"labels": LABELS | changes}, "decision": "dataset"}


def _decision(**changes):
    return _labels(decisions={"dataset": SOUND | changes})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 1}, "`version` must be 2"),
        ({"class_names": ["dark", "bright"]}, "unknown keys"),
        ({"temperature": 1.0}, "unknown keys"),
        ({"decision": "fair"}, "'fair'"),
        ({"decision": None}, "`decision` must be str"),
        ({"heads": []}, "`heads` must be Mapping"),
        ({"heads": {}}, "`version` must be 1"),
        ({"heads": {"votes": LABELS}}, "the first at least"),
        ({"heads": {"labels": LABELS, "smell": LABELS}}, "smell"),
        ({"heads": {"labels": None}}, r"`heads\.labels` must be an object.*None"),
        ({"heads": {"labels": {}}}, r"class_names.*Received: \[\]"),
        ({"heads": make_heads() | {"votes": make_heads()["labels"]}}, "alone.*balanced"),
        (_labels(class_names="ab"), "`class_names` must be a list.*'ab'"),
        (_labels(class_names=["dark", "dark"]), "different names"),
        (_labels(class_names=[["dark"], "bright"]), "different names"),
        (_labels(class_names=["dark", "dim", "bright"]), "bias` must have 3 numbers.*2"),
        (_labels(decisions={}), "`decisions` must be among"),
        (_labels(decisions=[SOUND]), "`decisions` must be among"),
        (_labels(decisions={"fair": SOUND}), "fair"),
        (_labels(decisions={"dataset": {}}), r"decisions\.dataset` must be an object"),
        (_labels(decisions={"dataset": SOUND | {"more": 1}}), "more"),
        (_decision(bias=None), "`bias` must be a list.*None"),
        (_decision(bias=[0.0, "1"]), "`bias` must be numbers"),
        (_decision(bias=[0.0, True]), "`bias` must be numbers"),
        (_decision(bias=[0.0, float("nan")]), "`bias` must be numbers"),
        (_decision(bias=[0, 10**400]), "`bias` must be numbers"),
        (_decision(temperature=0), "`temperature` must be 0.05..20"),
        (_decision(temperature=None), "`temperature` must be 0.05..20.*None"),
        (_decision(temperature=float("inf")), "`temperature` must be 0.05..20"),
    ],
)
def test_heads_that_cannot_be_used_are_refused(change, said):
    ModelConfig.from_json(json.dumps(two_heads(**_labels())))
    with pytest.raises(ConfigError, match=said):
        ModelConfig.from_json(json.dumps(two_heads(**change)))
