"""Views: how each training image is moved, and what it is mixed with, drawn ahead of training.

They follow from a recipe and a number alone, on any machine and backend, so a teacher's answers
on them can be kept in files and a pupil sees exactly what its teachers saw.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.recipes import Recipe

__all__ = ["View", "ViewKey", "draw_view", "plan_views", "still"]

# (6,) and (5,): see `View`.
_UNMOVED = np.array([1, 0, 0, 0, 1, 0], np.float32)
_NOTHING_TAKEN = np.array([1, 0, 0, 0, 0], np.float32)


@dataclass(frozen=True, slots=True)
class ViewKey:
    """Name a view of a recipe.

    Attributes:
        strength: factor on the strengths of the recipe's augmentation.
        number: counts the views of this strength.
    """

    strength: float
    number: int

    def __str__(self) -> str:
        """Return a name for a file."""
        return f"{self.strength:g}-{self.number:03}"


@dataclass(frozen=True, slots=True)
class View:
    """One way to see all training images once.

    Attributes:
        order: (n,) int64 index of the images, in the order in which they are seen.
        moves: (n, 6) float32 affine map of each of them, xx, xy, x, yx, yy, y: from a place in
            the result to the place it comes from, x to the right and y down from the centre, in
            parts of the side.
        masks: (n, 5) float32: what share of each pixel stays the image's own, then y0, y1, x0,
            x1 of the rectangle, in parts of the side, in which none does. The rest is that of
            the image before it in the batch.
    """

    order: NDArray[np.int64]
    moves: NDArray[np.float32]
    masks: NDArray[np.float32]


def still(n_images: int) -> View:
    """Return the view of `n_images` images in which none is moved or mixed."""
    moves, masks = (np.tile(each, (n_images, 1)) for each in (_UNMOVED, _NOTHING_TAKEN))
    return View(np.arange(n_images), moves, masks)


def plan_views(recipe: Recipe) -> list[ViewKey]:
    """Return the view of each epoch of `recipe`: a new one each time, or `views` in turn."""
    counts: dict[float, Iterator[int]] = {}
    keys = []
    for phase in recipe.phases:
        count = counts.setdefault(phase.augment, itertools.count())
        for number in itertools.islice(count, phase.epochs):
            keys.append(ViewKey(phase.augment, number % (recipe.views or recipe.epochs)))
    return keys


def draw_view(recipe: Recipe, key: ViewKey, n_images: int) -> View:
    """Draw a view of `n_images` training images.

    Args:
        recipe: has the strengths of the augmentation and the seed.
        key: which view.
        n_images: the number of images.
    """
    rng = np.random.default_rng([recipe.seed, round(1000 * key.strength), key.number])
    order = rng.permutation(n_images)
    return View(
        order,
        _draw_moves(rng, recipe, key.strength, n_images),
        _draw_masks(rng, recipe, key.strength, n_images),
    )


def _draw_moves(
    rng: np.random.Generator, recipe: Recipe, strength: float, n: int
) -> NDArray[np.float32]:
    """Draw a mirror image, turn, shear, zoom and shift for each of `n` images, as one map."""

    def draw(bound: float) -> NDArray[np.float64]:
        return rng.uniform(-strength * bound, strength * bound, n)

    turn = 2 * math.pi * draw(recipe.rotation)
    scale = 1 / (1 + draw(recipe.zoom))
    slope = draw(recipe.shear)
    x, y = draw(recipe.translation), draw(recipe.translation)
    mirror = rng.choice([-1.0, 1.0], n) if recipe.flip else np.ones(n)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    moves = [mirror * cos, mirror * (sin + slope * cos), x, -sin, cos - slope * sin, y]
    return np.stack(moves, axis=1).astype(np.float32)


def _draw_masks(
    rng: np.random.Generator, recipe: Recipe, strength: float, n: int
) -> NDArray[np.float32]:
    """Draw how each of `n` images is mixed with another one, as far as the recipe says.

    Source: Zhang et al. 2018, arXiv:1710.09412 (shares blended); Yun et al. 2019,
    arXiv:1905.04899 (a rectangle).
    """
    masks = np.tile(_NOTHING_TAKEN, (n, 1))
    ways = [way for way in ("mixup", "cutmix") if getattr(recipe, way)]
    mixed = rng.random(n) < strength * recipe.mix
    chosen = rng.integers(0, max(1, len(ways)), n)
    for i, way in enumerate(ways):
        alpha = getattr(recipe, way)
        share = rng.beta(alpha, alpha, n)
        centre = rng.random((n, 2))
        rows = mixed & (chosen == i)
        if way == "mixup":
            masks[rows, 0] = share[rows]
        else:
            half = np.sqrt(1 - share)[:, None] / 2
            ends = np.stack([centre - half, centre + half], axis=2).reshape(n, 4)
            masks[rows, 1:] = ends.clip(0, 1)[rows]
    return masks
