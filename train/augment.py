"""Augmentation as Keras layers: they run where the model runs, on any backend."""

import math
from typing import Any

import keras

from train.recipes import Recipe

__all__ = ["RandomAffine", "build_augmentation"]


class RandomAffine(keras.layers.Layer):
    """Mirror, turn, zoom and shift each image at once, with a single resampling.

    One layer after the other would interpolate three times and train on pictures that are
    softer than those served. Uncovered pixels repeat the edge, as in `fer.crop`.

    Args:
        flip: mirror every second image left to right.
        rotation: largest turn either way, in turns.
        zoom: largest change of size, as a factor 1 +- zoom.
        translation: largest shift either way, in parts of the side.
        seed: of the layer's own random numbers; drawn if None.
    """

    def __init__(
        self,
        flip: bool = False,
        rotation: float = 0.0,
        zoom: float = 0.0,
        translation: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flip, self.rotation = flip, rotation
        self.zoom, self.translation = zoom, translation
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
        # From a pixel of the result to where it comes from, about the centre.
        xx, xy = scale * mirror * keras.ops.cos(turn), scale * mirror * keras.ops.sin(turn)
        yx, yy = -scale * keras.ops.sin(turn), scale * keras.ops.cos(turn)
        cx, cy = (width - 1) / 2, (height - 1) / 2
        dx = cx + self._uniform(n, self.translation) * width - xx * cx - xy * cy
        dy = cy + self._uniform(n, self.translation) * height - yx * cx - yy * cy
        none = keras.ops.zeros((n,))
        transform = keras.ops.stack([xx, xy, dx, yx, yy, dy, none, none], axis=1)
        return keras.ops.image.affine_transform(images, transform, fill_mode="nearest")


def build_augmentation(recipe: Recipe, strength: float = 1.0) -> keras.Sequential:
    """Layers that alter float32 images (n, s, s, c) in [0, 255] while training only.

    Args:
        recipe: says how much.
        strength: factor on all of it but the mirroring.
    """
    layers: list[keras.layers.Layer] = [
        RandomAffine(
            recipe.flip,
            strength * recipe.rotation,
            strength * recipe.zoom,
            strength * recipe.translation,
        )
    ]
    if recipe.brightness or recipe.contrast:
        layers += [
            keras.layers.RandomBrightness(strength * recipe.brightness, value_range=(0, 255)),
            keras.layers.RandomContrast(strength * recipe.contrast, value_range=(0, 255)),
        ]
    if recipe.erase:
        layers.append(
            keras.layers.RandomErasing(
                strength * recipe.erase, scale=(0.02, 0.2), fill_value=128.0, value_range=(0, 255)
            )
        )
    return keras.Sequential(layers, name="augment")
