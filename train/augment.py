"""Augmentation as Keras layers: they run where the model runs, on any backend."""

import math
from typing import Any

import keras
import numpy as np

from train.recipes import Recipe

__all__ = ["Blend", "Move", "RandomCamera", "RandomPhotometric", "apply_view", "build_photometry"]


class Move(keras.layers.Layer):
    """Move each image by its own affine map, with a single resampling.

    One map after the other would interpolate several times and train on pictures that are
    softer than those served. Uncovered pixels repeat the edge, as in `fer.crop`.
    """

    def call(self, images: Any, moves: Any) -> Any:
        """Move float32 images (n, h, w, c) by (n, 6) of `train.views.View`."""
        height, width = images.shape[1:3]
        xx, xy, x, yx, yy, y = (moves[:, i] for i in range(6))
        cx, cy = (width - 1) / 2, (height - 1) / 2
        dx = cx + x * width - xx * cx - xy * cy
        dy = cy + y * height - yx * cx - yy * cy
        none = keras.ops.zeros_like(dx)
        transform = keras.ops.stack([xx, xy, dx, yx, yy, dy, none, none], axis=1)
        return keras.ops.image.affine_transform(images, transform, fill_mode="nearest")


class Blend(keras.layers.Layer):
    """Mix each image and its target with the one before it in the batch."""

    def call(self, images: Any, targets: Any, masks: Any) -> tuple[Any, Any]:
        """Mix (n, h, w, c) and (n, k) by (n, 5) of `train.views.View`."""
        rows, columns = (
            self._inside(length, masks[:, i : i + 2])
            for length, i in ((images.shape[1], 1), (images.shape[2], 3))
        )
        taken = rows[:, :, None, None] * columns[:, None, :, None]
        own = masks[:, 0, None, None, None] * (1 - taken)  # (n, h, w, 1)
        share = keras.ops.mean(own, axis=(1, 2))  # (n, 1)
        return (
            own * images + (1 - own) * keras.ops.roll(images, 1, axis=0),
            share * targets + (1 - share) * keras.ops.roll(targets, 1, axis=0),
        )

    def _inside(self, length: int, ends: Any) -> Any:
        """Return (n, length): 1 where the middle of a pixel lies between the ends (n, 2)."""
        at = (keras.ops.arange(length, dtype="float32") + 0.5) / length
        inside = keras.ops.logical_and(at[None] > ends[:, :1], at[None] < ends[:, 1:])
        return keras.ops.cast(inside, "float32")


class RandomPhotometric(keras.layers.Layer):
    """Each image passes `n_ops` operations drawn from six: what cameras do to a picture.

    Brighter or darker, contrast, gamma, blur, sharpen, noise; each as strong as a uniform
    draw says. Blur and noise have the grain of the source: nothing finer is ever served.

    Args:
        n_ops: operations an image passes, one after the other.
        detail_size: side of the source in pixels, see `fer.types.ModelConfig`.
        strength: factor on the range of all of them; 1 is the range given in the code.
        seed: of the layer's own random numbers; drawn if None.

    Source: the scheme of RandAugment, Cubuk et al. 2020, arXiv:1909.13719, with
    operations that keep an expression readable at 48 pixels.
    """

    def __init__(
        self,
        n_ops: int,
        detail_size: int,
        strength: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_ops, self.detail_size, self.strength = n_ops, detail_size, strength
        self.generator = keras.random.SeedGenerator(seed)

    def _box(self, images: Any) -> int:
        """Return the odd side whose box has a standard deviation of 0.7 source pixels."""
        side: int = images.shape[1]
        return 2 * round(1.2 * side / self.detail_size) + 1

    def _noise(self, images: Any) -> Any:
        """Draw normal noise of unit variance in the pixels of the source."""
        n, _, _, channels = keras.ops.shape(images)
        shape = (n, self.detail_size, self.detail_size, channels)
        source = keras.random.normal(shape, seed=self.generator)
        return keras.ops.image.resize(source, images.shape[1:3], "bilinear")

    def _altered(self, images: Any, amount: Any) -> list[Any]:
        """Apply each operation to `images`; `amount` (n, 1, 1, 1) in -1..1."""
        mean = keras.ops.mean(images, axis=(1, 2, 3), keepdims=True)
        soft = images
        side = self._box(images)
        # Two boxes are nearly a Gaussian, of one source pixel; a box is a column, then a row.
        for box in ((side, 1), (1, side)) * 2:
            soft = keras.ops.average_pool(soft, box, strides=1, padding="same")
        unit = keras.ops.clip(images / 255, 1e-3, 1.0)
        return [
            images + 64 * amount,
            mean + (images - mean) * (1 + 0.5 * amount),
            255 * keras.ops.power(unit, keras.ops.exp(0.6 * amount)),
            images + (soft - images) * keras.ops.abs(amount),
            images + (images - soft) * keras.ops.abs(amount),
            images + 40 * self._noise(images) * amount,
        ]

    def call(self, images: Any, training: bool = False) -> Any:
        """Alter float32 images (n, h, w, c) in [0, 255] while `training`."""
        if not training:
            return images
        n = keras.ops.shape(images)[0]
        for _ in range(self.n_ops):
            amount = self.strength * keras.random.uniform((n, 1, 1, 1), -1, 1, seed=self.generator)
            results = keras.ops.stack(self._altered(images, amount), axis=1)
            drawn = keras.random.randint((n,), 0, results.shape[1], seed=self.generator)
            chosen = keras.ops.one_hot(drawn, results.shape[1])[:, :, None, None, None]
            images = keras.ops.clip(keras.ops.sum(results * chosen, axis=1), 0, 255)
        return images


# Sides in pixels at which a camera sees a face: far away, and near enough for all there is to see.
# Multiples of a JPEG's block.
_CAMERA_SIDES = (24, 32, 48)
_BLOCK = 8
# Of gray values, at quality 50. Source: ITU-T T.81 (JPEG), table K.1.
_JPEG_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)


class RandomCamera(keras.layers.Layer):
    """Photograph each image again, in a worse place with a worse camera.

    Light falls from one side and is dim, the hand moves, the face is few pixels wide, the sensor
    is noisy where it is dark, the picture is stored as JPEG; each as strong as a uniform draw
    says, in the order in which it happens.

    Args:
        rate: share of the images that this happens to.
        strength: factor on all of it but the size of the face.
        seed: of the layer's own random numbers; drawn if None.
    """

    def __init__(
        self, rate: float, strength: float = 1.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate, self.strength = rate, strength
        self.generator = keras.random.SeedGenerator(seed)

    def _draw(self, images: Any, low: float, high: float) -> Any:
        """Draw a number for each image, (n, 1, 1, 1)."""
        shape = (keras.ops.shape(images)[0], 1, 1, 1)
        return keras.random.uniform(shape, low, high, seed=self.generator)

    def _light(self, images: Any) -> Any:
        """Fall off across the face, by up to six tenths, and dim it by up to four."""
        height, width = images.shape[1:3]
        angle = self._draw(images, 0.0, 2 * math.pi)
        x = (keras.ops.arange(width, dtype="float32") / (width - 1) - 0.5)[None, None, :, None]
        y = (keras.ops.arange(height, dtype="float32") / (height - 1) - 0.5)[None, :, None, None]
        fall = self.strength * self._draw(images, 0.0, 0.6)
        dim = 1 - self.strength * self._draw(images, 0.0, 0.4)
        return images * dim * (1 + fall * (x * keras.ops.cos(angle) + y * keras.ops.sin(angle)))

    def _motion(self, images: Any) -> Any:
        """Smear along one of four directions, by up to a sixteenth of the face."""
        side = images.shape[1]
        reach = max(1, side // 32)
        kept = 1 - self.strength * self._draw(images, 0.0, 1.0)
        padded = keras.ops.pad(
            images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "symmetric"
        )
        smeared = []
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            shifted = [
                padded[:, reach + i * dy :, reach + i * dx :][:, :side, :side]
                for i in range(-reach, reach + 1)
            ]
            smeared.append(keras.ops.mean(keras.ops.stack(shifted), axis=0))
        drawn = self._choose(images, len(smeared))
        return kept * images + (1 - kept) * sum(
            keras.ops.where(drawn == i, each, 0.0) for i, each in enumerate(smeared)
        )

    def _choose(self, images: Any, n: int) -> Any:
        """Draw one of `n` for each image, (n, 1, 1, 1)."""
        shape = (keras.ops.shape(images)[0], 1, 1, 1)
        return keras.random.randint(shape, 0, n, seed=self.generator)

    def _noise(self, images: Any) -> Any:
        """Add noise whose variance grows with the light, and a part that does not."""
        noise = keras.random.normal(keras.ops.shape(images), seed=self.generator)
        level = keras.ops.sqrt(keras.ops.clip(images, 0.0, 255.0) / 255 + 0.1)
        return images + 16 * self.strength * self._draw(images, 0.0, 1.0) ** 2 * level * noise

    def _store(self, images: Any) -> Any:
        """Round the coefficients of each block as JPEG does, at qualities from 25 to 95.

        Source: ITU-T T.81, annex A.3.3; the quality's meaning is libjpeg's.
        """
        side, channels = images.shape[1], images.shape[3]
        n_blocks = side // _BLOCK
        at = np.arange(_BLOCK)
        dct = np.cos(np.pi * np.outer(at, 2 * at + 1) / (2 * _BLOCK)) * (2 / _BLOCK) ** 0.5
        dct[0] /= 2**0.5
        dct = keras.ops.convert_to_tensor(dct, "float32")
        quality = 100 - self.strength * self._draw(images, 5.0, 75.0)
        scale = keras.ops.where(quality < 50, 50 / quality, 2 - quality / 50)
        table = np.reshape(np.array(_JPEG_TABLE, np.float32), (_BLOCK, _BLOCK))
        steps = keras.ops.maximum(scale[..., None, None] * table[None, None, :, None, :, None], 1.0)
        blocks = keras.ops.reshape(images, (-1, n_blocks, _BLOCK, n_blocks, _BLOCK, channels))
        blocks = keras.ops.einsum("ui,vj,naibjc->naubvc", dct, dct, blocks - 128)
        blocks = keras.ops.round(blocks / steps) * steps
        blocks = keras.ops.einsum("ui,vj,naubvc->naibjc", dct, dct, blocks) + 128
        return keras.ops.reshape(blocks, keras.ops.shape(images))

    def call(self, images: Any, training: bool = False) -> Any:
        """Alter float32 images (n, s, s, c) in [0, 255] while `training`."""
        if not training or not self.rate:
            return images
        lit = self._motion(self._light(images))
        drawn = self._choose(images, len(_CAMERA_SIDES))
        seen = keras.ops.zeros_like(images)
        for i, side in enumerate(_CAMERA_SIDES):
            small = keras.ops.image.resize(lit, (side, side), "bilinear", antialias=True)
            small = keras.ops.clip(self._store(keras.ops.clip(self._noise(small), 0, 255)), 0, 255)
            large = keras.ops.image.resize(small, images.shape[1:3], "bilinear")
            seen = keras.ops.where(drawn == i, large, seen)
        return keras.ops.where(self._draw(images, 0.0, 1.0) < self.rate, seen, images)


# Half precision cannot tell neighbouring gray values.
_EXACT: dict[str, Any] = {"dtype": "float32"}


def apply_view(images: Any, targets: Any, moves: Any, masks: Any) -> tuple[Any, Any]:
    """Move and mix symbolic images (n, s, s, c) and targets (n, m) as a view says.

    This is what teacher and pupil see alike; `moves` and `masks` are those of
    `train.views.View`.
    """
    moved = Move(name="move", **_EXACT)(images, moves)
    blended, mixed = Blend(name="blend", **_EXACT)(moved, targets, masks)
    return blended, mixed


def build_photometry(recipe: Recipe, strength: float = 1.0) -> keras.layers.Layer:
    """Build what makes float32 images (n, s, s, c) in [0, 255] worse, while training only.

    Args:
        recipe: says how much.
        strength: factor on all of it.
    """
    layers: list[keras.layers.Layer] = []
    if recipe.brightness or recipe.contrast:
        layers += [
            keras.layers.RandomBrightness(
                strength * recipe.brightness, value_range=(0, 255), **_EXACT
            ),
            keras.layers.RandomContrast(strength * recipe.contrast, value_range=(0, 255), **_EXACT),
        ]
    if recipe.camera:
        layers.append(RandomCamera(recipe.camera, strength, **_EXACT))
    if recipe.photometric:
        layers.append(RandomPhotometric(recipe.photometric, recipe.detail_size, strength, **_EXACT))
    if recipe.erase:
        layers.append(
            keras.layers.RandomErasing(
                strength * recipe.erase,
                scale=(0.02, 0.2),
                fill_value=128.0,
                value_range=(0, 255),
                **_EXACT,
            )
        )
    return keras.Sequential(layers or [keras.layers.Identity()], name="photometry")
