"""Augmentation as Keras layers: they run where the model runs, on any backend."""

import keras

from train.recipes import Recipe

__all__ = ["build_augmentation"]


def build_augmentation(recipe: Recipe, strength: float = 1.0) -> keras.Sequential:
    """Layers that alter float32 images (n, s, s, c) in [0, 255] while training only.

    Args:
        recipe: says how much.
        strength: factor on all of it but the mirroring.
    """
    layers: list[keras.layers.Layer] = []
    if recipe.flip:
        layers.append(keras.layers.RandomFlip("horizontal"))
    if recipe.rotation:
        layers.append(keras.layers.RandomRotation(strength * recipe.rotation, fill_mode="constant"))
    if recipe.zoom or recipe.translation:
        layers += [
            keras.layers.RandomZoom(strength * recipe.zoom, fill_mode="constant"),
            keras.layers.RandomTranslation(
                strength * recipe.translation, strength * recipe.translation, fill_mode="constant"
            ),
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
