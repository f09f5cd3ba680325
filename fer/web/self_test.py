"""What the page knows of the browser's engine: its size, and the logits that it must give.

Before it answers visitors it classifies a drawing, as a test of itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer.classify import Classifier
from fer.preprocess import to_model_input
from fer.web.server.assets import RUNTIME_PATH

__all__ = ["draw_test", "drawing_logits", "engine_props"]


def engine_props(
    classifier: Classifier, browser_files: Mapping[str, Path]
) -> dict[str, Any] | None:
    """Return `settings` of `sharedDevice` in fer/web/common/device.js; None without files.

    Args:
        classifier: of the page, whose answers the engine must give.
        browser_files: what the engine reads, besides its runtime.
    """
    if not browser_files:
        return None
    files = [RUNTIME_PATH, *browser_files.values()]
    return {
        "logits": drawing_logits(classifier),
        "bytes": sum(path.stat().st_size for path in files),
    }


def draw_test(side: int) -> NDArray[np.uint8]:
    """Draw slopes and squares (side, side, 3) uint8 RGB, as fer/web/local/self_test.js does."""
    y, x, channel = np.ogrid[:side, :side, :3]
    square = ((x >> 4) + (y >> 4)) % 2
    drawing: NDArray[np.int64] = (x + y + 60 * square + 10 * channel) % 256
    return drawing.astype(np.uint8)


def drawing_logits(classifier: Classifier) -> list[float]:
    """Return the labels' logits (k) for the drawing, without a bias, to four decimals."""
    config = classifier.config
    batch = to_model_input([draw_test(config.input_size)], config)
    return [round(float(value), 4) for value in classifier.head_logits(batch)["labels"][0]]
