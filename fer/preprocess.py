"""Face crops to model input: the only place where a crop is resized or its colours are converted.

Training arrays, a webcam frame and a photograph all pass through `to_model_input`.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from fer.types import ModelConfig, check_frame

__all__ = ["resize", "to_model_input"]

# Gray levels between the two ends of a crop: a flatter one is stretched no further than this.
_MIN_SPREAD = 16.0


def resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale `image` (H, W) or (H, W, c) uint8 to (height, width).

    Shrinking averages areas, so that no detail aliases; enlarging is bilinear.
    """
    if image.shape[:2] == (height, width):
        return image
    shrinks = width <= image.shape[1] and height <= image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def _stretch(image: NDArray[np.uint8], percentile: float) -> NDArray[np.uint8]:
    """Spread gray values so that `percentile` of the pixels at each end run into 0 and 255."""
    low, high = np.percentile(image, (percentile, 100 - percentile))
    # A picture of one colour stays nearly so, instead of becoming noise.
    spread = max(float(high - low), _MIN_SPREAD)
    levels = (np.arange(256) - (low + high - spread) / 2) * (255 / spread)
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8)[image], np.uint8)


def to_model_input(crops: Sequence[NDArray[np.uint8]], config: ModelConfig) -> NDArray[np.uint8]:
    """Turn face crops into one batch of model input.

    Each crop becomes gray if the model wants it so, is brought to `detail_size` and then
    to `input_size`. A 48-pixel FER-2013 image is thus only enlarged, and a 300-pixel
    webcam face arrives with the same 48 pixels of detail. With `stretch_percentile` its
    contrast is spread as well: webcams show flatter pictures than FER-2013.

    Args:
        crops: n RGB crops (h, w, 3) uint8 of any size.
        config: the model's.

    Returns:
        (n, s, s, c) uint8 with s = `config.input_size`; the model scales inside.

    Raises:
        InputError: `crops` is no sequence, or a crop is not uint8 (h, w, 3).

    Source: percentile tuned: results/contrast.csv.
    """
    several = isinstance(crops, np.ndarray) and crops.ndim > 0
    if not (several or isinstance(crops, Sequence)) or isinstance(crops, str | bytes):
        raise InputError(
            "`crops` must be a sequence of uint8 RGB arrays (h, w, 3). "
            f"Received: {type(crops).__name__}"
        )
    side, detail = config.input_size, config.detail_size
    batch = np.empty((len(crops), side, side, config.channels), np.uint8)
    for i, crop in enumerate(crops):
        image = check_frame(crop)
        if config.color_mode == "gray":
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        image = resize(image, detail, detail)
        if config.stretch_percentile is not None:
            image = _stretch(image, config.stretch_percentile)
        batch[i] = resize(image, side, side).reshape(side, side, config.channels)
    return batch
