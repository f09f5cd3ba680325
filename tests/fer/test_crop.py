import numpy as np
import pytest

from fer.crop import crop_faces
from fer.errors import InputError
from tests.conftest import make_config, make_faces, noise


def test_a_square_box_is_cut_pixel_for_pixel():
    frame = noise(40, 60)
    (crop,) = crop_faces(frame, make_faces([10, 5, 30, 25]), make_config(crop_margin=1.0))
    assert (crop == frame[5:25, 10:30]).all()


def test_the_longer_side_times_the_margin_is_the_side():
    (crop,) = crop_faces(noise(90, 90), make_faces([30, 20, 50, 60]), make_config(crop_margin=1.5))
    assert crop.shape == (60, 60, 3)


def test_off_the_frame_the_edge_repeats():
    frame = noise(20, 20)
    (crop,) = crop_faces(frame, make_faces([-10, -10, 10, 10]), make_config(crop_margin=1.0))
    assert (crop[:10, :10] == frame[0, 0]).all()
    assert (crop[10:, 10:] == frame[:10, :10]).all()


def test_a_rolled_face_is_turned_upright():
    upright = np.zeros((100, 100, 3), np.uint8)
    upright[30:50, 35:45] = 255  # the eye on the left
    upright[30:50, 65:75] = 128
    points = np.array([[[40, 40], [70, 40], [55, 50], [45, 70], [65, 70]]], np.float32)
    box = [20, 20, 80, 80]
    config = make_config(crop_margin=1.0)
    (expected,) = crop_faces(upright, make_faces(box, landmarks=points), config)
    # A quarter turn clockwise about the centre (50, 50): (x, y) -> (100 - y, x).
    rolled = np.rot90(upright, k=-1)
    turned = np.stack([100 - points[..., 1], points[..., 0]], axis=-1)
    (crop,) = crop_faces(np.ascontiguousarray(rolled), make_faces(box, landmarks=turned), config)
    assert np.abs(crop.astype(int) - expected).max() <= 1
    (as_is,) = crop_faces(
        np.ascontiguousarray(rolled),
        make_faces(box, landmarks=turned),
        make_config(crop_margin=1.0, align=False),
    )
    assert np.abs(as_is.astype(int) - expected).max() > 100


def test_landmarks_on_one_spot_turn_nothing():
    frame = noise(40, 40)
    points = np.full((1, 5, 2), 20, np.float32)
    points[0, 3] = [20.5, 20]
    (crop,) = crop_faces(
        frame, make_faces([10, 10, 30, 30], landmarks=points), make_config(crop_margin=1.0)
    )
    assert (crop == frame[10:30, 10:30]).all()


def test_one_pixel_and_enormous_boxes_stay_in_bounds():
    frame = noise(10, 10)
    tiny, huge = crop_faces(
        frame, make_faces([3, 3, 3.2, 3.2], [-1e6, -1e6, 1e6, 1e6]), make_config(crop_margin=1.0)
    )
    assert tiny.shape == (1, 1, 3)
    assert huge.shape == (20, 20, 3)


def test_no_face_no_crop():
    assert crop_faces(noise(5, 5), make_faces(), make_config()) == []
    with pytest.raises(InputError):
        crop_faces(None, make_faces(), make_config())
