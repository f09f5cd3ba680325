import numpy as np
import pytest

from fer.errors import InputError
from fer.preprocess import resize, to_model_input
from tests.conftest import make_config, noise


def test_input_has_the_shape_and_range_that_the_model_wants():
    batch = to_model_input([noise(48, 48), noise(7, 200)], make_config(input_size=96))
    assert batch.shape == (2, 96, 96, 1)
    assert batch.dtype == np.uint8


def test_no_crop_gives_an_empty_batch():
    assert to_model_input([], make_config()).shape == (0, 16, 16, 1)


def test_gray_keeps_gray_values_exactly():
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    crop = np.repeat(gray[..., None], 3, axis=2)
    config = make_config(input_size=16, detail_size=8)
    assert (to_model_input([crop], config)[0, ..., 0] == resize(gray, 16, 16)).all()


def test_channel_order_matters():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    config = make_config()
    assert to_model_input([red], config)[0, 0, 0, 0] == 76
    assert to_model_input([red[..., ::-1]], config)[0, 0, 0, 0] == 29


def test_detail_finer_than_the_training_images_is_removed():
    board = np.indices((96, 96)).sum(axis=0) % 2 * 255
    crop = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    batch = to_model_input([crop], make_config(input_size=96, detail_size=48))
    assert np.ptp(batch) <= 1


def test_a_flat_crop_gets_the_contrast_of_a_full_one():
    config = make_config(input_size=48, detail_size=48, stretch_percentile=1.0)
    full = noise(48, 48)
    flat = np.rint(100 + 0.4 * (full - full.mean())).astype(np.uint8)
    stretched, again = to_model_input([full, flat], config).astype(int)
    assert np.abs(stretched - again).max() <= 6
    assert (stretched.min(), stretched.max()) == (0, 255)
    one_colour = np.full((48, 48, 3), 90, np.uint8)
    one_colour[:24] += 1
    assert np.ptp(to_model_input([one_colour], config)) <= 255 / 16 + 1
    bright = to_model_input([np.full((48, 48, 3), 255, np.uint8)], config)
    assert np.ptp(bright) == 0


def test_the_stretch_lets_its_percentile_run_out_of_range():
    gray = np.arange(2500, dtype=np.float64).reshape(50, 50) / 2500 * 100 + 50
    crop = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
    config = make_config(input_size=50, detail_size=50, stretch_percentile=10.0)
    batch = to_model_input([crop], config)
    assert 0.07 < (batch == 0).mean() < 0.12
    assert 0.07 < (batch == 255).mean() < 0.12


def test_shrinking_averages():
    image = np.array([[0, 100], [100, 200]], np.uint8)
    assert resize(image, 1, 1).tolist() == [[100]]


@pytest.mark.parametrize("crop", [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_crop_is_refused(crop):
    with pytest.raises(InputError):
        to_model_input([crop], make_config())
