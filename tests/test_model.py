"""The network: where its weights come from, and its batch statistics."""

import numpy as np
import pytest

from tests.conftest import noise, numbers, shared

pytest.importorskip("keras")
pytestmark = pytest.mark.keras


def test_training_can_start_from_the_bundled_weights():
    import keras

    from fer.hub import KERAS_NAME, WEIGHTS_FOLDER
    from train.model import build_model

    path = WEIGHTS_FOLDER / KERAS_NAME
    bundled = keras.saving.load_model(path, compile=False).layers[2]
    started = build_model(3, 1, 64, init=path)
    assert started.output_shape == (None, 3)
    for mine, theirs in zip(started.layers[2].weights, bundled.weights, strict=True):
        assert (keras.ops.convert_to_numpy(mine) == keras.ops.convert_to_numpy(theirs)).all()
    whole = keras.saving.load_model(path, compile=False)
    pixels = noise(96, 96)[None, ..., :1].astype(np.float32)
    same = build_model(7, 1, 96, init=path)(pixels)
    assert np.abs(np.asarray(same) - np.asarray(whole(pixels))).max() < 1e-4


def test_gray_imagenet_stem_computes_what_the_rgb_stem_does():
    import keras

    from train.model import build_model

    path = shared("weights", "mobilenet_v2_1.0_224_imagenet_no_top.weights.h5")
    gray = build_model(7, 1, 96, init=path).layers[2]
    colour = build_model(7, 3, 96, init=path).layers[2]
    image = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 1)).astype(np.float32)
    from_gray = keras.ops.convert_to_numpy(gray(image))
    from_colour = keras.ops.convert_to_numpy(colour(np.repeat(image, 3, axis=3)))
    assert np.ptp(from_gray) > 1
    assert np.abs(from_gray - from_colour).max() < 1e-3


def test_the_fused_normalisation_is_that_of_keras():
    import keras

    from train.model import build_model

    keras.utils.set_random_seed(0)
    plain = build_model(3, 1, 32)
    fused = build_model(3, 1, 32, fused=True)
    fused.set_weights(plain.get_weights())
    images = np.stack([noise(32, 32, seed=i)[..., :1] for i in range(64)]).astype(np.float32)
    for training in (False, True):
        gap = numbers(plain(images, training=training)) - numbers(fused(images, training=training))
        assert np.abs(gap).max() < 1e-3
    for mine, theirs in zip(fused.get_weights(), plain.get_weights(), strict=True):
        assert np.abs(mine - theirs).max() < 0.02 * max(1, np.abs(theirs).max())


def test_recalibrated_statistics_are_those_of_the_images():
    import keras

    from train.model import build_model, recalibrate_batch_norm

    keras.utils.set_random_seed(0)
    model = build_model(2, 1, 32)
    images = np.stack([noise(32, 32, seed=i)[..., :1] // 3 for i in range(12)])
    recalibrate_batch_norm(model, images)
    backbone = model.layers[2]
    norm = backbone.get_layer("bn_Conv1")
    first = backbone.get_layer("Conv1")(images.astype(np.float32) / 127.5 - 1)
    mean = np.asarray(first).mean(axis=(0, 1, 2))
    assert np.abs(np.asarray(norm.moving_mean) - mean).max() < 1e-3
    assert np.abs(mean).max() > 1e-2
