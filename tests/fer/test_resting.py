"""A synthetic person whose resting face leans to sad, and what may not be a baseline."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fer import Baseline, Pipeline, to_dict, to_rows
from fer.classify import Classifier
from fer.errors import ConfigError, InputError
from fer.resting import STRENGTH, compare, find_shift
from fer.table import face_schema
from fer.video import analyse_video
from tests.conftest import FakeDetector, make_config, make_faces
from tests.web.test_web_video import write_clip

NAMES = ("happy", "neutral", "sad")
AVERAGE = (-1.0, 2.0, 0.0)
# What the network answers to a face of that gray: somebody whose mouth hangs, and somebody else.
LOGITS = {
    40: (-2.5, 1.5, 2.5),  # at rest
    80: (1.6, 0.2, 2.0),  # the same person smiles
    120: (-2.5, 0.0, 5.0),  # and is sad
    200: (-1.0, 1.0, 1.2),  # the other one
}
MINE, OTHER = (5, 5, 45, 45), (55, 5, 95, 45)


def network(pixels):
    grays = np.array(list(LOGITS))
    levels = pixels.mean(axis=(1, 2, 3))
    rows = [LOGITS[grays[np.abs(grays - level).argmin()]] for level in levels]
    return np.array(rows, np.float32)


def make_pipeline(boxes=(MINE, OTHER), **changes):
    values = {"class_names": NAMES, "neutral_logits": AVERAGE, "temperature": 0.8}
    config = make_config(**(values | changes))
    return Pipeline(FakeDetector(make_faces(*boxes)), Classifier(network, config))


def frame(mine, other=200):
    picture = np.full((50, 100, 3), other, np.uint8)
    picture[:, :50] = mine
    return picture


def resting_face(pipeline, track_id=1):
    (mine, _) = pipeline(frame(40)).faces
    return Baseline.average(mine.probs, track_id)


def test_a_face_that_rests_sad_is_compared_with_itself():
    pipeline = make_pipeline()
    baseline = resting_face(pipeline)
    said = {}
    for gray in (40, 80, 120):
        plain = pipeline.track(frame(gray), None, 0.0)
        state, result = pipeline.track(frame(gray), None, 0.0, baseline=baseline)
        said[gray] = (plain[1].labels[0], result.labels[0])
        assert result.faces.probs[0].sum() == pytest.approx(1, abs=1e-5)
        # Nobody else is, and the memory of the stream stays as it was.
        assert (result.faces.probs[1] == plain[1].faces.probs[1]).all()
        assert (result.faces.raw_probs == plain[1].faces.probs).all()
        assert state == plain[0]
    assert said == {40: ("sad", "neutral"), 80: ("sad", "happy"), 120: ("sad", "sad")}


def test_the_logits_lose_a_share_of_what_sets_the_face_apart():
    pipeline = make_pipeline()
    baseline = resting_face(pipeline)
    _, result = pipeline.track(frame(80), None, 0.0, baseline=baseline)
    taken = STRENGTH * (np.array(LOGITS[40]) - AVERAGE)
    wanted = np.exp((np.array(LOGITS[80]) - taken) / 0.8)
    # All but the least probable classes: those count as no rarer than one in ten thousand.
    assert result.faces.probs[0] == pytest.approx(wanted / wanted.sum(), abs=2e-3)


def test_the_average_neutral_face_changes_nothing():
    pipeline = make_pipeline()
    neutral = np.exp(np.array(AVERAGE) / 0.8)
    baseline = Baseline(tuple(neutral / neutral.sum()))
    _, plain = pipeline.track(frame(80), None, 0.0)
    _, result = pipeline.track(frame(80), None, 0.0, baseline=baseline)
    assert result.faces.probs == pytest.approx(plain.faces.probs, abs=1e-5)


def test_it_goes_with_its_track_and_not_with_its_place():
    pipeline = make_pipeline()
    baseline = resting_face(pipeline, 2)
    state, first = pipeline.track(frame(40), None, 0.0, baseline=baseline)
    assert (first.faces.probs[0] == first.faces.raw_probs[0]).all()
    assert (first.faces.probs[1] != first.faces.raw_probs[1]).all()
    pipeline.detector = FakeDetector(make_faces(OTHER, MINE))
    _, second = pipeline.track(frame(40), state, 0.1, baseline=baseline)
    assert second.faces.track_id.tolist() == [2, 1]
    assert (second.faces.probs[0] != second.faces.raw_probs[0]).all()
    # Away for a minute, a face is another one.
    _, late = pipeline.track(frame(40), state, 60.0, baseline=baseline)
    assert late.faces.track_id.tolist() == [3, 4]
    assert (late.faces.probs == late.faces.raw_probs).all()


def test_answers_are_averaged_as_logits():
    rows = [[0.5, 0.25, 0.25], [0.125, 0.25, 0.625]]
    geometric = np.sqrt(np.prod(rows, axis=0))
    assert Baseline.average(rows).probs == pytest.approx(geometric / geometric.sum(), abs=1e-6)
    assert min(Baseline.average([[1.0, 0.0, 0.0]]).probs) > 5e-5


def test_both_forms_of_output_keep_the_raw_values():
    pipeline = make_pipeline()
    _, result = pipeline.track(frame(40), None, 0.0, baseline=resting_face(pipeline))
    (mine, other) = to_dict(result)["faces"]
    assert (mine["label"], max(mine["raw"], key=mine["raw"].get)) == ("neutral", "sad")
    assert other["raw"] == other["probs"]
    row = to_rows(result)[0]
    assert list(row) == face_schema(NAMES, raw=True).names
    assert [row[f"raw_{name}"] for name in NAMES] == list(mine["raw"].values())
    assert len(result.faces[:1].raw_probs) == 1
    assert result.faces.with_probs(result.faces.probs).raw_probs is None


def test_it_survives_json():
    baseline = Baseline((0.25, 0.5, 0.25), 7)
    assert Baseline.from_json(json.loads(json.dumps(baseline.to_json()))) == baseline


@pytest.mark.parametrize(
    "change",
    [
        {"track_id": 0},
        {"track_id": True},
        {"track_id": 1.0},
        {"track_id": 2**60},
        {"probs": None},
        {"probs": [1.0]},
        {"probs": [0.5, 0.4]},
        {"probs": [1.5, -0.5]},
        {"probs": ["0.5", "0.5"]},
        {"probs": [True, False]},
        {"probs": [float("nan"), 1.0]},
        {"probs": [10**400, 1.0]},
        {"probs": [1 / 300] * 300},
        {"more": 1},
    ],
)
def test_a_hostile_baseline_is_refused(change):
    with pytest.raises(InputError):
        Baseline.from_json({"track_id": 1, "probs": [0.5, 0.5]} | change)
    for data in (None, [], "x", {}):
        with pytest.raises(InputError, match="baseline"):
            Baseline.from_json(data)


def test_a_picture_of_a_resting_face_shows_one():
    for boxes in ((), (MINE, OTHER)):
        pipeline = make_pipeline(boxes)
        with pytest.raises(InputError, match=f"one face. Received: {len(boxes)}"):
            Baseline.of(pipeline(frame(40)))
    assert Baseline.of(make_pipeline((MINE,))(frame(40)), 3).track_id == 3


def test_a_model_that_cannot_compare_says_so_before_the_work(tmp_path):
    without, other = make_pipeline(neutral_logits=None), Baseline((0.5, 0.5))
    with pytest.raises(ConfigError, match="neutral_logits"):
        without.track(frame(40), None, 0.0, baseline=Baseline((0.2, 0.3, 0.5)))
    clip = write_clip(tmp_path / "clip.mp4", n_frames=3)
    calls = [
        lambda: make_pipeline().track(frame(40), None, 0.0, baseline=other),
        lambda: analyse_video(make_pipeline(), clip, baseline=other),
        lambda: next(make_pipeline().video(clip, baseline=other)),
        lambda: find_shift(other, make_config(class_names=NAMES)),
    ]
    for call in calls:
        with pytest.raises(InputError, match="3 probabilities"):
            call()
    with pytest.raises(InputError, match="`baseline` must be Baseline"):
        make_pipeline().track(frame(40), None, 0.0, baseline=[0.2, 0.3, 0.5])
    faces = make_pipeline()(frame(40)).faces
    with pytest.raises(InputError, match="track_id"):
        compare(faces, Baseline((0.2, 0.3, 0.5)), make_pipeline().classifier.config)


def test_fer_json_may_have_the_average_neutral_face():
    config = make_config(class_names=NAMES, neutral_logits=AVERAGE)
    assert type(config).from_json(config.to_json()) == config
    assert "neutral_logits" not in replace(config, neutral_logits=None).to_json()
    for wrong in ((1.0, 2.0), (1.0, 2.0, "3"), (1.0, 2.0, float("inf")), "abc", 3):
        with pytest.raises(ConfigError, match="neutral_logits"):
            replace(config, neutral_logits=wrong)
