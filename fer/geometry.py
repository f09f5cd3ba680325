"""Box and landmark maths: pure functions on numpy arrays."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["center_xy", "clip_xyxy", "crop_side_px", "roll_degrees", "xywh_to_xyxy"]

# Eyes and mouth closer together than this part of the box say little about the roll.
_MIN_AXIS = 0.1


def xywh_to_xyxy(xywh: NDArray[np.floating]) -> NDArray[np.float32]:
    """Convert boxes (n, 4) of corner and size to boxes (n, 4) of two corners.

    >>> xywh_to_xyxy(np.array([[10, 20, 30, 40]])).tolist()
    [[10.0, 20.0, 40.0, 60.0]]
    """
    boxes = np.asarray(xywh, np.float32).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def clip_xyxy(xyxy: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Clip boxes (n, 4) to a frame of `width` x `height` pixels.

    >>> clip_xyxy(np.array([[-5, 2, 50, 90]], np.float32), 40, 30).tolist()
    [[0.0, 2.0, 40.0, 30.0]]
    """
    return np.clip(xyxy, 0, np.array([width, height, width, height], np.float32))


def center_xy(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the centres (n, 2) of boxes (n, 4).

    >>> center_xy(np.array([[0, 0, 10, 20]], np.float32)).tolist()
    [[5.0, 10.0]]
    """
    return np.asarray((xyxy[:, :2] + xyxy[:, 2:]) / 2, np.float32)


def crop_side_px(xyxy: NDArray[np.float32], margin: float) -> NDArray[np.float32]:
    """Return the side (n,) of the square crop: `margin` times the longer side of each box (n, 4).

    >>> crop_side_px(np.array([[0, 0, 10, 20]], np.float32), 1.5).tolist()
    [30.0]
    """
    return np.asarray((xyxy[:, 2:] - xyxy[:, :2]).max(axis=1) * margin, np.float32)


def roll_degrees(
    landmarks: NDArray[np.float32] | None, xyxy: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the roll (n,) of each face in degrees, clockwise as seen in the picture.

    This is the angle of the line from the middle of the eyes to the middle of the mouth corners;
    0 without landmarks, or where the two middles nearly coincide.

    Args:
        landmarks: (n, 5, 2) pixels: two eyes, nose, two mouth corners; or None.
        xyxy: (n, 4) boxes of the same faces.

    >>> points = np.array([[[20, 0], [30, 10], [0, 0], [10, 10], [20, 20]]], np.float32)
    >>> roll_degrees(points, np.array([[0, 0, 30, 30]], np.float32)).round(3).tolist()
    [45.0]
    """
    if landmarks is None:
        return np.zeros(len(xyxy), np.float32)
    axis = landmarks[:, 3:].mean(axis=1) - landmarks[:, :2].mean(axis=1)  # (n, 2)
    angle = np.degrees(np.arctan2(-axis[:, 0], axis[:, 1]))
    seen = np.hypot(axis[:, 0], axis[:, 1]) >= _MIN_AXIS * crop_side_px(xyxy, 1.0)
    return np.where(seen, angle, 0).astype(np.float32)
