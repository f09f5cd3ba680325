"""The drawing that the browser's engine must give known logits for, before it answers visitors."""

import numpy as np
from numpy.typing import NDArray

from fer.classify import Classifier
from fer.preprocess import to_model_input

__all__ = ["draw_test", "drawing_logits"]


def draw_test(side: int) -> NDArray[np.uint8]:
    """Draw slopes and squares (side, side, 3) uint8 RGB, as fer/web/local/self_test.js does."""
    y, x, channel = np.ogrid[:side, :side, :3]
    square = ((x >> 4) + (y >> 4)) % 2
    drawing: NDArray[np.int64] = (x + y + 60 * square + 10 * channel) % 256
    return drawing.astype(np.uint8)


def drawing_logits(classifier: Classifier) -> list[float]:
    """Return the logits (k) of the labels for the drawing, rounded to four decimals."""
    config = classifier.config
    batch = to_model_input([draw_test(config.input_size)], config)
    return [round(float(value), 4) for value in classifier.logits(batch)[0]]
