"""The network: where its weights come from, and its batch statistics."""

import numpy as np
import pytest

from fer.errors import InputError
from tests.conftest import noise, numbers, shared

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

from tests.toy_data import toy_recipe  # noqa: E402


def test_training_can_start_from_the_bundled_weights():
    import keras

    from fer.hub import KERAS_NAME, WEIGHTS_FOLDER
    from train.model import build_model, head_logits

    path = WEIGHTS_FOLDER / KERAS_NAME
    bundled = keras.saving.load_model(path, compile=False).layers[2]
    started = build_model(toy_recipe(), 3, 64, init=path)
    assert started.output_shape == (None, 3)
    for mine, theirs in zip(started.layers[2].weights, bundled.weights, strict=True):
        assert (keras.ops.convert_to_numpy(mine) == keras.ops.convert_to_numpy(theirs)).all()
    whole = keras.saving.load_model(path, compile=False)
    pixels = noise(96, 96)[None, ..., :1].astype(np.float32)
    same = build_model(toy_recipe(), 7, 96, init=path)(pixels)
    labels = head_logits(whole(pixels))[0]
    assert np.abs(np.asarray(same) - np.asarray(labels)).max() < 1e-4


def test_gray_imagenet_stem_computes_what_the_rgb_stem_does():
    import keras

    from train.model import build_model

    path = shared("weights", "mobilenet_v2_1.0_224_imagenet_no_top.weights.h5")
    gray = build_model(toy_recipe(), 7, 96, init=path).layers[2]
    colour = build_model(toy_recipe(color_mode="rgb"), 7, 96, init=path).layers[2]
    image = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 1)).astype(np.float32)
    from_gray = keras.ops.convert_to_numpy(gray(image))
    from_colour = keras.ops.convert_to_numpy(colour(np.repeat(image, 3, axis=3)))
    assert np.ptp(from_gray) > 1
    assert np.abs(from_gray - from_colour).max() < 1e-3


def test_the_fused_normalisation_is_that_of_keras():
    import keras

    from train.model import build_model

    keras.utils.set_random_seed(0)
    plain = build_model(toy_recipe(), 3, 32)
    fused = build_model(toy_recipe(), 3, 32, fused=True)
    fused.set_weights(plain.get_weights())
    images = np.stack([noise(32, 32, seed=i)[..., :1] for i in range(64)]).astype(np.float32)
    for training in (False, True):
        gap = numbers(plain(images, training=training)) - numbers(fused(images, training=training))
        assert np.abs(gap).max() < 1e-3
    for mine, theirs in zip(fused.get_weights(), plain.get_weights(), strict=True):
        assert np.abs(mine - theirs).max() < 0.02 * max(1, np.abs(theirs).max())


def test_what_a_network_cannot_start_from_is_said(tmp_path):
    import keras

    from train.model import build_model

    other = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Flatten()])
    other.save(tmp_path / "other.keras")
    (tmp_path / "broken.weights.h5").write_bytes(b"nothing")
    for name in ("missing.keras", "other.keras", "broken.weights.h5"):
        with pytest.raises(
            InputError, match=name.partition(".")[0] if "other" not in name else "fit"
        ):
            build_model(toy_recipe(), 3, 32, init=tmp_path / name)
    build_model(toy_recipe(), 3, 32).save(tmp_path / "gray.keras")
    with pytest.raises(InputError, match="as many channels"):
        build_model(toy_recipe(color_mode="rgb"), 3, 32, init=tmp_path / "gray.keras")


def test_recalibrated_statistics_are_those_of_the_images():
    import keras

    from train.model import build_model, recalibrate_batch_norm

    keras.utils.set_random_seed(0)
    model = build_model(toy_recipe(), 2, 32)
    images = np.stack([noise(32, 32, seed=i)[..., :1] // 3 for i in range(12)])
    recalibrate_batch_norm(model, images)
    backbone = model.layers[2]
    norm = backbone.get_layer("bn_Conv1")
    first = backbone.get_layer("Conv1")(images.astype(np.float32) / 127.5 - 1)
    mean = np.asarray(first).mean(axis=(0, 1, 2))
    assert np.abs(np.asarray(norm.moving_mean) - mean).max() < 1e-3
    assert np.abs(mean).max() > 1e-2


def test_large_images_are_taken_few_at_a_time():
    """All that a network computes of a batch stays in memory."""
    import keras

    from train.model import correct_bias, recalibrate_batch_norm

    seen = []

    class Spy(keras.layers.Layer):
        def call(self, images):
            seen.append(images.shape)
            return images

    layers = Spy(), keras.layers.BatchNormalization(), keras.layers.GlobalAveragePooling2D()
    model = keras.Sequential(
        [keras.Input((224, 224, 1)), *layers, keras.layers.Dense(2, name="logits")]
    )
    seen.clear()
    images = np.stack([noise(224, 224, seed=i)[..., :1] for i in range(100)])
    recalibrate_batch_norm(model, images)
    assert len(seen) == 100 // 47
    correct_bias(model, images, np.arange(100) % 2)
    assert max(n * height * width for n, height, width, _ in seen) <= 256 * 96 * 96
    assert sum(n for n, *_ in seen) == 94 + 100


def test_the_bias_that_validation_asks_for_is_in_the_logits():
    import keras

    from train.model import build_model, correct_bias

    keras.utils.set_random_seed(0)
    model = build_model(toy_recipe(), 2, 32)
    images = np.stack([noise(32, 32, seed=i)[..., :1] for i in range(40)])
    before = np.asarray(model(images.astype(np.float32)))
    labels = np.arange(40) % 4 // 3  # one in four is of the second class
    added = correct_bias(model, images, labels, batch_size=16)
    assert added[0] > 0.2
    after = np.asarray(model(images.astype(np.float32)))
    assert after == pytest.approx(before + added, abs=1e-5)
