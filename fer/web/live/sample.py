"""The sample clip of the Live tab, and what the page shows of it before the start."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer.media.reader import read_frames
from fer.serialize import to_dict
from fer.types import FrameResult
from fer.web.examples.files import EXAMPLES_FOLDER
from fer.web.server.jobs import encode_jpeg

__all__ = ["CLIP_PATH", "Sample", "find_sample"]

CLIP_PATH = EXAMPLES_FOLDER / "expressions.mp4"
# The face is happy by then: examples/expressions.csv.
_STILL_S = 1.0


@dataclass(frozen=True)
class Sample:
    """The clip, and one of its frames with its faces.

    Attributes:
        clip: the file.
        still: the frame, a JPEG.
        answer: the faces in it, of `fer.serialize.to_dict`.
    """

    clip: Path
    still: bytes
    answer: dict[str, Any]

    @property
    def files(self) -> dict[str, Path | bytes]:
        """What the page loads, by its path from the folder of all modules."""
        return {"samples/clip.mp4": self.clip, "samples/still.jpg": self.still}

    def props(self, clip: str = "samples/clip.mp4") -> dict[str, Any]:
        """Return `sample` of fer/web/live/live.js.

        Args:
            clip: address of the clip from the folder of all modules.
        """
        return {"clip": clip, "still": "samples/still.jpg", "answer": self.answer}


def find_sample(analyse: Callable[[NDArray[np.uint8]], FrameResult]) -> Sample | None:
    """Return the sample of this project; None where its examples are not installed.

    Args:
        analyse: finds the faces of a frame (H, W, 3) uint8 RGB, as a `Pipeline` does.
    """
    if not CLIP_PATH.is_file():
        return None
    frame = next(each.frame for each in read_frames(CLIP_PATH) if each.time_s >= _STILL_S)
    answer = to_dict(analyse(frame))
    # So that a page is the same each time it is built.
    del answer["timing_ms"]
    return Sample(CLIP_PATH, encode_jpeg(frame), answer)
