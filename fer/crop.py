"""Frame and Faces to face crops framed as FER-2013 frames a face: the only crop.

fer/web/local/crop.js does the same in a browser; the tests in tests/web hold the two equal.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from fer.geometry import center_xy, crop_side_px, roll_degrees
from fer.types import Faces, ModelConfig, check_frame

__all__ = ["crop_faces"]


def crop_faces(
    frame: NDArray[np.uint8], faces: Faces, config: ModelConfig
) -> list[NDArray[np.uint8]]:
    """Cut one square, upright crop for each face, at the frame's own resolution.

    The crop has the box's centre; its side is `crop_margin` times the box's longer side;
    with `align` it is rolled so that the mouth is below the eyes. Pixels outside of the frame
    repeat its edge. Crops keep their size: `to_model_input` resizes them, from all the detail
    that the camera saw.

    Args:
        frame: (H, W, 3) uint8 RGB.
        faces: n faces in its pixels.
        config: the model's framing.

    Returns:
        n arrays (s, s, 3) uint8 RGB, s >= 1 and different for each face.

    Raises:
        InputError: `frame` is no frame.

    Source: margin tuned: results/framing.csv.
    """
    image = check_frame(frame)
    centers = center_xy(faces.xyxy)
    sides = crop_side_px(faces.xyxy, config.crop_margin)
    rolls = roll_degrees(faces.landmarks if config.align else None, faces.xyxy)
    limit = 2 * min(2048, max(image.shape[:2]))  # a wild box must not claim memory
    crops = []
    for center, side, roll in zip(centers, sides, rolls, strict=True):
        side_px = int(np.clip(round(float(side)), 1, limit))
        matrix = cv2.getRotationMatrix2D(center.tolist(), float(roll), 1.0)
        matrix[:, 2] += side_px / 2 - center
        # warpAffine has pixel centres at integers: the first pixel is 0. Boxes have pixel edges
        # there: the first pixel reaches from 0 to 1, with its centre at 0.5. Without the half
        # pixel, on both sides of the rotation, crops are shifted against the boxes.
        matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
        crop = cv2.warpAffine(
            image,
            matrix,
            (side_px, side_px),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        crops.append(np.asarray(crop, np.uint8))
    return crops
