"""Augmentation as Keras layers: they run where the model runs, on any backend."""

import math
from typing import Any

import keras

from train.recipes import Recipe

__all__ = ["Mix", "RandomAffine", "RandomPhotometric", "build_geometry", "build_photometry"]


class RandomAffine(keras.layers.Layer):
    """Mirror, turn, shear, zoom and shift each image at once, with a single resampling.

    One layer after the other would interpolate several times and train on pictures that
    are softer than those served. Uncovered pixels repeat the edge, as in `fer.crop`.

    Args:
        flip: mirror every second image left to right.
        rotation: largest turn either way, in turns.
        zoom: largest change of size, as a factor 1 +- zoom.
        translation: largest shift either way, in parts of the side.
        shear: largest sideways slope either way, in parts of the side.
        seed: of the layer's own random numbers; drawn if None.
    """

    def __init__(
        self,
        flip: bool = False,
        rotation: float = 0.0,
        zoom: float = 0.0,
        translation: float = 0.0,
        shear: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flip, self.rotation = flip, rotation
        self.zoom, self.translation, self.shear = zoom, translation, shear
        self.generator = keras.random.SeedGenerator(seed)

    def _uniform(self, n: Any, bound: float) -> Any:
        return keras.random.uniform((n,), -bound, bound, seed=self.generator)

    def call(self, images: Any, training: bool = False) -> Any:
        """Alter float32 images (n, h, w, c) while `training`; else return them."""
        if not training:
            return images
        n, height, width = keras.ops.shape(images)[:3]
        turn = 2 * math.pi * self._uniform(n, self.rotation)
        scale = 1 / (1 + self._uniform(n, self.zoom))
        mirror = keras.ops.sign(self._uniform(n, 1.0)) if self.flip else keras.ops.ones((n,))
        slope = self._uniform(n, self.shear)
        # From a pixel of the result to where it comes from, about the centre.
        cos, sin = scale * keras.ops.cos(turn), scale * keras.ops.sin(turn)
        xx, xy = mirror * cos, mirror * (sin + slope * cos)
        yx, yy = -sin, cos - slope * sin
        cx, cy = (width - 1) / 2, (height - 1) / 2
        dx = cx + self._uniform(n, self.translation) * width - xx * cx - xy * cy
        dy = cy + self._uniform(n, self.translation) * height - yx * cx - yy * cy
        none = keras.ops.zeros((n,))
        transform = keras.ops.stack([xx, xy, dx, yx, yy, dy, none, none], axis=1)
        return keras.ops.image.affine_transform(images, transform, fill_mode="nearest")


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
        """The odd side whose box has a standard deviation of 0.7 source pixels."""
        side: int = images.shape[1]
        return 2 * round(1.2 * side / self.detail_size) + 1

    def _noise(self, images: Any) -> Any:
        """Normal noise of unit variance in the pixels of the source."""
        n, _, _, channels = keras.ops.shape(images)
        shape = (n, self.detail_size, self.detail_size, channels)
        source = keras.random.normal(shape, seed=self.generator)
        return keras.ops.image.resize(source, images.shape[1:3], "bilinear")

    def _altered(self, images: Any, amount: Any) -> list[Any]:
        """What each operation makes of `images`; `amount` (n, 1, 1, 1) in -1..1."""
        mean = keras.ops.mean(images, axis=(1, 2, 3), keepdims=True)
        soft = images
        for _ in range(2):  # two boxes are nearly a Gaussian, of one source pixel
            soft = keras.ops.average_pool(soft, self._box(images), strides=1, padding="same")
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


class Mix(keras.layers.Layer):
    """Mix images and their targets with the next image of the batch.

    Args:
        rate: the part of the images that are mixed.
        mixup: parameter of the Beta distribution of the shares when two images are
            blended; 0 for never blended.
        cutmix: the same when a rectangle of one is set into the other; 0 for never. Where
            both are given, either is as probable.
        seed: of the layer's own random numbers; drawn if None.

    Source: Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899.
    """

    def __init__(
        self, rate: float, mixup: float, cutmix: float, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate, self.mixup, self.cutmix = rate, mixup, cutmix
        self.generator = keras.random.SeedGenerator(seed)

    def _mask(self, shape: tuple[Any, ...], alpha: float, cut: bool) -> Any:
        """(n, h, w, 1) in 0..1: how much of each pixel stays the image's own."""
        n, height, width = shape[:3]
        share = keras.random.beta((n, 1, 1, 1), alpha, alpha, seed=self.generator)
        if not cut:
            return keras.ops.broadcast_to(share, (n, height, width, 1))
        side = keras.ops.sqrt(1 - share)
        inside = keras.ops.ones((n, height, width, 1))
        for axis, length in ((1, height), (2, width)):
            centre = keras.random.uniform((n, 1, 1, 1), seed=self.generator)
            at = (keras.ops.arange(length, dtype="float32") + 0.5) / length
            at = keras.ops.reshape(at, (1, -1, 1, 1) if axis == 1 else (1, 1, -1, 1))
            near = keras.ops.abs(at - centre) < side / 2
            inside = inside * keras.ops.cast(near, "float32")
        return 1 - inside

    def call(self, images: Any, targets: Any, training: bool = False) -> tuple[Any, Any]:
        """Mix (n, h, w, c) and (n, k) while `training`; else return them."""
        if not training or not self.rate:
            return images, targets
        shape = keras.ops.shape(images)
        n = shape[0]
        masks = [
            self._mask(shape, alpha, cut)
            for alpha, cut in ((self.mixup, False), (self.cutmix, True))
            if alpha
        ]
        first = keras.random.uniform((n, 1, 1, 1), seed=self.generator) < 0.5
        mask = keras.ops.where(first, masks[0], masks[-1])
        mixed = keras.random.uniform((n, 1, 1, 1), seed=self.generator) < self.rate
        mask = keras.ops.where(mixed, mask, 1.0)
        share = keras.ops.mean(mask, axis=(1, 2))  # (n, 1)
        return (
            mask * images + (1 - mask) * keras.ops.roll(images, 1, axis=0),
            share * targets + (1 - share) * keras.ops.roll(targets, 1, axis=0),
        )


# Half precision cannot tell neighbouring gray values.
_EXACT = {"dtype": "float32"}


def build_geometry(recipe: Recipe, strength: float = 1.0) -> keras.layers.Layer:
    """What moves the face in float32 images (n, s, s, c), while training only.

    Args:
        recipe: says how much.
        strength: factor on all of it but the mirroring.
    """
    return RandomAffine(
        recipe.flip,
        strength * recipe.rotation,
        strength * recipe.zoom,
        strength * recipe.translation,
        strength * recipe.shear,
        **_EXACT,
    )


def build_photometry(recipe: Recipe, strength: float = 1.0) -> keras.layers.Layer:
    """What makes float32 images (n, s, s, c) in [0, 255] worse, while training only.

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
