"""What each augmentation does to images and targets."""

import numpy as np
import pytest

from tests.conftest import noise, numbers

pytest.importorskip("keras")
pytestmark = pytest.mark.keras


def test_a_random_affine_is_one_mirror_turn_zoom_and_shift():
    import keras

    from train.augment import RandomAffine

    images = np.zeros((64, 33, 33, 1), np.float32)
    images[:, 16, 26] = 255.0  # ten pixels right of the centre

    def altered(**strength):
        layer = RandomAffine(**strength, seed=1)
        assert (keras.ops.convert_to_numpy(layer(images, training=False)) == images).all()
        result = keras.ops.convert_to_numpy(layer(images, training=True))[..., 0]
        y, x = np.mgrid[:33, :33] - 16
        mass = result.sum(axis=(1, 2))
        return (result * x).sum(axis=(1, 2)) / mass, (result * y).sum(axis=(1, 2)) / mass

    x, y = altered()
    assert np.abs([x - 10, y]).max() < 1e-3
    x, y = altered(flip=True)
    assert set(np.round(x, 3).tolist()) == {-10.0, 10.0}
    x, y = altered(rotation=0.1)
    turns = np.arctan2(y, x) / (2 * np.pi)
    assert np.abs(np.hypot(x, y) - 10).max() < 0.3
    assert -0.105 < turns.min() < -0.05
    assert 0.05 < turns.max() < 0.105
    x, y = altered(zoom=0.2)
    assert 7.7 < x.min() < 9
    assert 11 < x.max() < 12.3
    assert np.abs(y).max() < 1e-3
    x, y = altered(translation=0.1)
    for moved in (x - 10, y):
        assert -3.4 < moved.min() < -2
        assert 2 < moved.max() < 3.4


def test_a_shear_moves_what_is_off_the_middle_sideways():
    from train.augment import RandomAffine

    images = np.zeros((64, 33, 33, 1), np.float32)
    images[:, 6, 16] = 255.0  # ten pixels above the centre
    result = numbers(RandomAffine(shear=0.3, seed=1)(images, training=True))[..., 0]
    y, x = np.mgrid[:33, :33] - 16
    mass = result.sum(axis=(1, 2))
    moved = (result * x).sum(axis=(1, 2)) / mass
    assert np.abs((result * y).sum(axis=(1, 2)) / mass + 10).max() < 1e-3
    assert -3.1 < moved.min() < -2
    assert 2 < moved.max() < 3.1


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_are_mixed_as_the_images_are(mixup, cutmix):
    """Image i is one flat gray value of its own, so its mean tells the shares."""
    from train.augment import Mix

    n = 32
    images = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 24, 24, 1))
    targets = np.eye(n, dtype=np.float32)
    mix = Mix(0.75, mixup, cutmix, seed=0)
    same, kept = mix(images, targets, training=False)
    assert (numbers(same) == images).all()
    assert (numbers(kept) == targets).all()
    mixed, shares = (numbers(part) for part in mix(images, targets, training=True))
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(mixed.mean(axis=(1, 2, 3)), shares @ np.arange(n), atol=1e-3)
    altered = shares.max(axis=1) < 0.999
    assert 0.45 < altered.mean() < 0.95
    levels = np.array([len(np.unique(np.round(image, 3))) for image in mixed])
    if not cutmix:
        assert (levels == 1).all()
    elif not mixup:
        assert (levels[altered] == 2).all()
    else:
        assert {1, 2} <= set(levels[altered])


def test_photometric_operations_keep_the_range_and_differ_by_image():
    from train.augment import RandomPhotometric

    images = np.stack([noise(24, 24)[..., :1]] * 32).astype(np.float32)
    layer = RandomPhotometric(2, 24, seed=0)
    assert (numbers(layer(images, training=False)) == images).all()
    altered = numbers(layer(images, training=True))
    assert altered.min() >= 0
    assert altered.max() <= 255
    assert len({image.tobytes() for image in altered}) == 32
    assert np.abs(altered - images).mean() > 3
    weak = numbers(RandomPhotometric(2, 24, strength=0.01, seed=0)(images, training=True))
    assert np.abs(weak - images).mean() < 1
