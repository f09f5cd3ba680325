"""Draw a result on a copy of its frame."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fer.geometry import clip_xyxy
from fer.types import FrameResult, check_frame

__all__ = ["annotate", "class_color", "text_color"]

# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision. Grey
# first would be lost on gray pictures, so it comes last.
_PALETTE = ("#D55E00", "#009E73", "#CC79A7", "#F0E442", "#999999", "#56B4E9", "#E69F00", "#0072B2")


def class_color(index: int) -> str:
    """The colour "#rrggbb" of class number `index`, the same on every page and picture."""
    return _PALETTE[index % len(_PALETTE)]


def text_color(background: str) -> str:
    """Black or white, whichever is read more easily on a colour "#rrggbb".

    >>> text_color("#F0E442"), text_color("#0072B2")
    ('#000000', '#ffffff')
    """
    red, green, blue = (int(background[i : i + 2], 16) for i in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 100 else "#ffffff"


def annotate(frame: NDArray[np.uint8], result: FrameResult) -> NDArray[np.uint8]:
    """A copy of `frame` with a box, the expression and its probability on each face.

    A face whose top probability is under the model's threshold is marked with "?".

    Args:
        frame: (H, W, 3) uint8 RGB, the one that `result` is about.
        result: its faces with `probs`.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: `frame` is no frame.
    """
    picture = Image.fromarray(check_frame(frame))
    if result.faces.probs is None or not len(result.faces):
        return np.array(picture)
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    boxes = clip_xyxy(result.faces.xyxy, width, height)
    rows = zip(boxes, result.faces.probs, result.labels, result.uncertain, strict=True)
    for box, row, label, uncertain in rows:
        x0, y0, x1, y1 = (float(v) for v in box)
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        # Lines and letters grow with the face, between what can be read and what covers it.
        line = int(np.clip(round((x1 - x0) / 60), 2, 12))
        font = ImageFont.load_default(float(np.clip((x1 - x0) / 7, 11, 0.06 * max(width, 200))))
        color = class_color(int(row.argmax()))
        doubt = "?" if uncertain else ""
        text = f"{label}{doubt} {100 * float(row.max()):.0f} %"
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=color, width=line)
        _, _, text_width, text_height = draw.textbbox((0, 0), text, font=font)
        pad = max(2, line)
        left = float(np.clip(x0, 0, max(0, width - text_width - 2 * pad)))
        top = y0 - text_height - 2 * pad
        if top < 0:
            top = y0
        draw.rectangle(
            (left, top, left + text_width + 2 * pad, top + text_height + 2 * pad), fill=color
        )
        draw.text((left + pad, top + pad), text, fill=text_color(color), font=font)
    return np.array(picture)
