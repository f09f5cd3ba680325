"""Where in a face the answer comes from: a map of the crop, and a picture of that map.

One part of the face after the other is covered, and how much the probability falls is noted. This
asks the very network that serves, of any kind.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer.check import check_type
from fer.classify import Classifier
from fer.errors import InputError
from fer.preprocess import to_model_input
from fer.types import check_frame

__all__ = ["explain", "overlay"]

# Covered is a square of a quarter of the input's side, about an eye or half a mouth, at each
# of 12 x 12 places.
_COVER = 0.25
_N_PLACES = 12
# Purple and green of PRGn, ColorBrewer 2.0 (Brewer 2003): told apart with any colour vision, and
# no class's of fer.annotate.
_FOR = np.array((118, 42, 131), np.float32)
_AGAINST = np.array((27, 120, 55), np.float32)
_OPACITY = 0.75
# A map that nowhere reaches this is drawn fainter: 15 points of probability are much, 2 next to
# nothing.
_FULL_COLOR = 0.15


def explain(
    classifier: Classifier, crop: NDArray[np.uint8], class_index: int | None = None
) -> NDArray[np.float32]:
    """Return which parts of a face raise or lower the probability of a class.

    Args:
        classifier: whose answer is explained.
        crop: (h, w, 3) uint8 RGB, framed as `fer.crop` does.
        class_index: of `class_names`; the most probable class when None.

    Returns:
        (h, w) float32: by how much the probability falls when a square around the place is
        covered with gray.

    Raises:
        InputError: `classifier` is none, `crop` is not uint8 (h, w, 3), or there is no such class.

    Source: Zeiler, Fergus 2014, arXiv:1311.2901, section 4.2.
    """
    check_type("classifier", classifier, Classifier)
    check_type("class_index", class_index, int, np.integer, None)
    n_classes = len(classifier.config.class_names)
    if class_index is not None and not 0 <= class_index < n_classes:
        raise InputError(f"`class_index` must be 0..{n_classes - 1}. Received: {class_index}")
    height, width = check_frame(crop).shape[:2]
    pixels = to_model_input([crop], classifier.config)[0]
    probs = classifier.probs(pixels[None])[0]
    index = int(probs.argmax()) if class_index is None else class_index
    grid = _occlusion(classifier, pixels, index, float(probs[index]))
    return np.asarray(_spread(grid.shape[0], height) @ grid @ _spread(grid.shape[1], width).T)


def _occlusion(
    classifier: Classifier, pixels: NDArray[np.uint8], index: int, prob: float
) -> NDArray[np.float32]:
    side = len(pixels)
    covered = np.repeat(pixels[None], _N_PLACES**2, axis=0)
    centers = (np.arange(_N_PLACES) + 0.5) * side / _N_PLACES
    edges = np.rint([centers - _COVER * side / 2, centers + _COVER * side / 2]).astype(int)
    starts, stops = edges.clip(0, side)
    for i, batch in enumerate(covered):
        row, column = divmod(i, _N_PLACES)
        batch[starts[row] : stops[row], starts[column] : stops[column]] = round(pixels.mean())
    probs = classifier.probs(covered)[:, index]
    return (prob - probs).reshape(_N_PLACES, _N_PLACES)


def _spread(n_cells: int, n_pixels: int) -> NDArray[np.float32]:
    """(n_pixels, n_cells) weights of linear interpolation between the centres of cells."""
    centers = (np.arange(n_cells) + 0.5) / n_cells
    places = (np.arange(n_pixels) + 0.5) / n_pixels
    columns = [np.interp(places, centers, unit) for unit in np.eye(n_cells)]
    return np.stack(columns, axis=1).astype(np.float32)


def overlay(crop: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw a map on the gray crop: purple for the class, green against it.

    Args:
        crop: (h, w, 3) uint8 RGB.
        heat: (h, w) of `explain`.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        InputError: `crop` is not uint8 (h, w, 3), or the map has another size.
    """
    if heat.shape != check_frame(crop).shape[:2]:
        raise InputError(f"`heat` must have shape {crop.shape[:2]}. Received: {heat.shape}")
    gray = np.asarray(Image.fromarray(crop).convert("L"), np.float32)[..., None]
    strength = np.abs(heat) / max(float(np.abs(heat).max()), _FULL_COLOR)
    color = np.where((heat > 0)[..., None], _FOR, _AGAINST)
    alpha = _OPACITY * strength[..., None]
    return np.asarray(np.rint(gray + alpha * (color - gray)), np.uint8)
