"""What each augmentation does to images and targets."""

import numpy as np
import pytest

from tests.conftest import noise, numbers

pytest.importorskip("keras")
pytestmark = pytest.mark.keras


def test_an_image_moves_as_its_view_says():
    """A dot right of the centre is found where mirror, turn, zoom and shift put it."""
    from train.augment import Move
    from train.recipes import Phase, Recipe
    from train.views import ViewKey, draw_view

    images = np.zeros((64, 33, 33, 1), np.float32)
    images[:, 16, 26] = 255.0  # ten pixels right of the centre
    still = dict.fromkeys(("rotation", "zoom", "translation", "shear"), 0.0) | {"flip": False}

    def moved(dot=images, **strength):
        recipe = Recipe(name="x", phases=(Phase(32, 1),), seed=1, **{**still, **strength})
        result = numbers(Move()(dot, draw_view(recipe, ViewKey(1.0, 0), 64).moves))[..., 0]
        y, x = np.mgrid[:33, :33] - 16
        mass = result.sum(axis=(1, 2))
        return (result * x).sum(axis=(1, 2)) / mass, (result * y).sum(axis=(1, 2)) / mass

    x, y = moved()
    assert np.abs([x - 10, y]).max() < 1e-3
    x, y = moved(flip=True)
    assert set(np.round(x, 3).tolist()) == {-10.0, 10.0}
    x, y = moved(rotation=0.1)
    turns = np.arctan2(y, x) / (2 * np.pi)
    assert np.abs(np.hypot(x, y) - 10).max() < 0.3
    assert -0.105 < turns.min() < -0.05
    assert 0.05 < turns.max() < 0.105
    x, y = moved(zoom=0.2)
    assert 7.7 < x.min() < 9
    assert 11 < x.max() < 12.3
    assert np.abs(y).max() < 1e-3
    x, y = moved(translation=0.1)
    for shift in (x - 10, y):
        assert -3.4 < shift.min() < -2
        assert 2 < shift.max() < 3.4
    above = np.zeros((64, 33, 33, 1), np.float32)
    above[:, 6, 16] = 255.0  # ten pixels above the centre
    x, y = moved(above, shear=0.3)
    assert np.abs(y + 10).max() < 1e-3
    assert -3.1 < x.min() < -2
    assert 2 < x.max() < 3.1


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_are_mixed_as_the_images_are(mixup, cutmix):
    """Image i is one flat gray value of its own, so its mean tells the shares."""
    from train.augment import Blend
    from train.recipes import Phase, Recipe
    from train.views import ViewKey, draw_view

    n = 32
    images = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 24, 24, 1))
    recipe = Recipe(name="x", phases=(Phase(32, 1),), mix=0.75, mixup=mixup, cutmix=cutmix)
    masks = draw_view(recipe, ViewKey(1.0, 0), n).masks
    mixed, shares = (numbers(part) for part in Blend()(images, np.eye(n, dtype=np.float32), masks))
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


def test_a_camera_keeps_the_range_and_spares_the_rest():
    from train.augment import RandomCamera

    images = np.stack([noise(96, 96)[..., :1]] * 64).astype(np.float32)
    layer = RandomCamera(0.5, seed=0)
    assert (numbers(layer(images, training=False)) == images).all()
    altered = numbers(layer(images, training=True))
    assert altered.min() >= 0
    assert altered.max() <= 255
    same = (altered == images).all(axis=(1, 2, 3))
    assert 0.25 < same.mean() < 0.75
    assert len({image.tobytes() for image in altered[~same]}) == (~same).sum()
    assert np.abs(altered[~same] - images[~same]).mean() > 5


def test_the_best_camera_leaves_a_plain_face_as_it_is():
    """Without strength there is no light, motion, noise or loss; what is left is the size."""
    from train.augment import RandomCamera

    ramp = np.linspace(40, 200, 96, dtype=np.float32)
    images = np.broadcast_to(ramp[None, :, None, None], (16, 96, 96, 1))
    seen = numbers(RandomCamera(1.0, strength=0.0, seed=0)(images, training=True))
    assert np.abs(seen - images)[:, 6:-6].max() < 2


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
