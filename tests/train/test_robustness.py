"""Corruptions do what their units say, the same way each time."""

import io

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from fer.preprocess import to_model_input
from tests.conftest import make_config, noise

pytest.importorskip("scipy")

from train.measure.robustness import CORRUPTIONS, corrupt


def smooth(side=48, low=40, high=200):
    """A gray picture with soft forms: noise of 6 x 6 pixels, enlarged."""
    small = Image.fromarray(noise(6, 6, seed=3)[..., 0]).resize((side, side), 3)
    gray = np.interp(np.array(small), (0, 255), (low, high)).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def dot(side, x, y):
    frame = np.zeros((side, side, 3), np.uint8)
    frame[y, x] = 255
    return frame


def mean_xy(frame):
    """Where the light of a gray frame is, from its centre, in pixels to the right and down."""
    mass = frame[..., 0].astype(float)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]] - (np.array(frame.shape[0]) - 1) / 2
    return np.array([(mass * x).sum(), (mass * y).sum()]) / mass.sum()


def levels():
    return [(each.name, strength) for each in CORRUPTIONS for strength in each.strengths]


def test_ten_corruptions_have_five_strengths_each():
    assert [each.name for each in CORRUPTIONS] == [
        "blur",
        "noise",
        "jpeg",
        "brightness",
        "brighter",
        "contrast",
        "low_resolution",
        "rotation",
        "shift",
        "scale",
    ]
    assert all(len(set(each.strengths)) == 5 for each in CORRUPTIONS)


@pytest.mark.parametrize(("name", "strength"), levels())
def test_every_level_gives_a_frame_and_leaves_the_given_one_alone(name, strength):
    frame = noise(48, 48)
    before = frame.copy()
    first = corrupt(frame, name, strength, seed=5)
    assert first.dtype == np.uint8
    assert first.shape == ((strength,) * 2 + (3,) if name == "low_resolution" else frame.shape)
    assert (first == corrupt(frame, name, strength, seed=5)).all()
    assert (frame == before).all()
    assert first.shape != frame.shape or (first != frame).any()


@pytest.mark.parametrize("name", [each.name for each in CORRUPTIONS if each.name != "scale"])
def test_stronger_is_further_from_the_picture(name):
    frame = smooth()
    # What is measured is what the network is shown, without the stretch.
    config = make_config(input_size=48, detail_size=48)
    strengths = next(each.strengths for each in CORRUPTIONS if each.name == name)
    shown = to_model_input([frame, *(corrupt(frame, name, s, seed=1) for s in strengths)], config)
    gaps = np.abs(shown[1:].astype(float) - shown[0]).mean(axis=(1, 2, 3))
    assert (np.diff(gaps) > 0).all()


@pytest.mark.parametrize("name", ["noise", "rotation", "shift"])
def test_chance_follows_from_the_seed(name):
    frame = smooth()
    strength = next(each.strengths[2] for each in CORRUPTIONS if each.name == name)
    results = {corrupt(frame, name, strength, seed).tobytes() for seed in range(12)}
    assert len(results) == (2 if name == "rotation" else 12)


def test_forms_move_as_far_as_the_unit_says():
    frame = dot(49, 34, 24)
    assert mean_xy(frame) == pytest.approx([10, 0])
    turned = mean_xy(corrupt(frame, "rotation", 30, seed=0))
    assert np.hypot(*turned) == pytest.approx(10, abs=0.2)
    assert abs(np.degrees(np.arctan2(turned[1], turned[0]))) == pytest.approx(30, abs=1)
    moved = mean_xy(corrupt(dot(49, 24, 24), "shift", 0.2, seed=0))
    assert np.hypot(*moved) == pytest.approx(0.2 * 49, abs=0.1)
    wide = np.repeat(frame, 3, axis=0)[:49]
    wide[:, 33:36] = 255
    assert mean_xy(corrupt(wide, "scale", 1.4, seed=0))[0] == pytest.approx(14, abs=0.3)


@pytest.mark.parametrize(
    ("name", "strength"),
    [level for level in levels() if level[0] in ("blur", "rotation", "shift", "scale")],
)
def test_what_lies_outside_repeats_the_edge(name, strength):
    plain = np.full((48, 48, 3), 90, np.uint8)
    assert (corrupt(plain, name, strength, seed=2) == 90).all()


def test_gray_levels_change_as_the_unit_says_and_end_at_black_and_white():
    plain = np.full((200, 200, 3), 128, np.uint8)
    assert corrupt(plain, "noise", 20, seed=0).std() == pytest.approx(20, rel=0.03)
    frame = smooth(low=40, high=200)
    assert (corrupt(frame, "brightness", 0.5, seed=0) == np.rint(frame * 0.5)).all()
    assert (corrupt(frame, "brighter", 2, seed=0) == np.minimum(frame * 2.0, 255)).all()
    flat = corrupt(frame, "contrast", 0.5, seed=0)
    assert flat.std() == pytest.approx(frame.std() / 2, rel=0.02)
    assert flat.mean() == pytest.approx(frame.mean(), abs=0.5)


def test_blur_is_measured_in_parts_of_the_side():
    def spread(side):
        blurred = corrupt(dot(side, side // 2, side // 2), "blur", 2, seed=0)[..., 0]
        return np.sqrt(blurred.sum() / (2 * np.pi * blurred.max()))

    assert spread(48) == pytest.approx(2, rel=0.25)
    assert spread(96) == pytest.approx(2 * spread(48), rel=0.25)


def test_jpeg_has_the_quality_asked_for():
    frame = noise(48, 48)
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=10)
    assert (corrupt(frame, "jpeg", 10, seed=0) == np.array(Image.open(file))).all()


def test_the_pipeline_takes_back_darkness_but_not_what_was_cut_off():
    frame = smooth(low=40, high=200)
    config = make_config(input_size=48, detail_size=48, stretch_percentile=1.0)
    dark, burnt = corrupt(frame, "brightness", 0.5, seed=0), corrupt(frame, "brighter", 3, seed=0)
    clean, from_dark, from_burnt = to_model_input([frame, dark, burnt], config).astype(float)
    assert np.abs(from_dark - clean).mean() < 2
    assert np.abs(from_burnt - clean).mean() > 20


def test_what_cannot_be_corrupted_is_named():
    with pytest.raises(InputError, match=r"corruption must be one of.*'fog'"):
        corrupt(noise(8, 8), "fog", 1, seed=0)
    with pytest.raises(InputError, match="uint8"):
        corrupt(np.zeros((8, 8)), "blur", 1, seed=0)
