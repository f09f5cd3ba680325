"""Draw a result on a copy of its frame."""

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from fer.check import check_type
from fer.fonts import drawn_names, find_font
from fer.geometry import clip_xyxy
from fer.types import FrameResult, check_frame

__all__ = ["annotate", "caption", "class_color", "text_color"]

# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision. Grey
# first would be lost on gray pictures, so it comes last.
_PALETTE = ("#D55E00", "#009E73", "#CC79A7", "#F0E442", "#999999", "#56B4E9", "#E69F00", "#0072B2")


# Of the black behind a line, which lets the picture through.
_CAPTION_OPACITY = 0.65

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def class_color(index: int) -> str:
    """Return the colour "#rrggbb" of class number `index`, the same on every page and picture."""
    return _PALETTE[index % len(_PALETTE)]


def text_color(background: str) -> str:
    """Black or white, whichever is read more easily on a colour "#rrggbb".

    >>> text_color("#F0E442"), text_color("#0072B2")
    ('#000000', '#ffffff')
    """
    red, green, blue = (int(background[i : i + 2], 16) for i in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 100 else "#ffffff"


def annotate(frame: NDArray[np.uint8], result: FrameResult) -> NDArray[np.uint8]:
    """Draw a box, the expression and its probability on each face of a copy of `frame`.

    A face whose top probability is under the model's threshold is marked with "?", one that is
    followed by its `track_id`.

    Where no font has the letters of the classes, `fer.fonts.legend` says what numbers stand for.

    Args:
        frame: (H, W, 3) uint8 RGB, the one that `result` is about.
        result: its faces with `probs`.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: `frame` is no frame, or `result` no result.
    """
    check_type("result", result, FrameResult)
    drawn = check_frame(frame).copy()
    if result.faces.probs is None:
        return drawn
    height, width = drawn.shape[:2]
    boxes = np.rint(clip_xyxy(result.faces.xyxy, width, height)).astype(int).tolist()
    names = drawn_names(result.class_names)
    font_file = find_font("".join(result.class_names)) or ""
    rows = zip(boxes, result.faces.probs, result.uncertain, strict=True)
    for i, ((x0, y0, x1, y1), row, uncertain) in enumerate(rows):
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        # Lines and letters grow with the face, between what can be read and what covers it.
        line = int(np.clip(round((x1 - x0) / 60), 2, 12))
        font_px = round(float(np.clip((x1 - x0) / 7, 11, 0.06 * max(width, 200))))
        color = class_color(int(row.argmax()))
        box = drawn[y0:y1, x0:x1]
        for edge in (box[:line], box[-line:], box[:, :line], box[:, -line:]):
            edge[:] = ImageColor.getrgb(color)
        doubt = "?" if uncertain else ""
        ids = result.faces.track_id
        number = "" if ids is None else f"{ids[i]}: "
        text = f"{number}{names[int(row.argmax())]}{doubt} {100 * float(row.max()):.0f} %"
        plate = _plate(text, _font(font_px, font_file), line, color)
        left = max(0, min(x0, width - plate.shape[1]))
        top = y0 if y0 < plate.shape[0] else y0 - plate.shape[0]
        space = drawn[top : top + plate.shape[0], left : left + plate.shape[1]]
        space[:] = plate[: space.shape[0], : space.shape[1]]
    return drawn


def caption(frame: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Write a line in the lower left corner of a copy of `frame`, as common/guess.js does.

    Args:
        frame: (H, W, 3) uint8 RGB.
        text: one line; what does not fit into the frame is cut off.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: `frame` is no frame.
    """
    drawn = check_frame(frame).copy()
    height, width = drawn.shape[:2]
    letters = _letters(text, round(min(max(height / 30, 12), width / 28)))[:height, :width]
    space = drawn[height - letters.shape[0] :, : letters.shape[1]]
    space[:] = np.maximum(space * (1 - _CAPTION_OPACITY), letters[..., None])
    return drawn


@functools.lru_cache(maxsize=4)
def _letters(text: str, font_px: int) -> NDArray[np.uint8]:
    """(h, w) with `text` in white on black."""
    font = _font(max(1, font_px), find_font(text) or "")
    return _plate(text, font, max(1, font_px // 2), "#000000")[..., 0]


def _plate(text: str, font: _Font, pad_px: int, color: str) -> NDArray[np.uint8]:
    """(h, w, 3) with `text` on `color`."""
    _, _, width, height = font.getbbox(text)
    plate = Image.new("RGB", (int(width) + 2 * pad_px + 1, int(height) + 2 * pad_px + 1), color)
    ImageDraw.Draw(plate).text((pad_px, pad_px), text, fill=text_color(color), font=font)
    return np.array(plate)


@functools.lru_cache(maxsize=32)
def _font(font_px: int, file: str) -> _Font:
    return ImageFont.truetype(file, font_px) if file else ImageFont.load_default(font_px)
