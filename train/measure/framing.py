"""How a detector frames a face, against how FER-2013 does: the margin is found here.

FER-2013 images are pasted on a larger canvas, as if a camera had seen them, and found
again by each detector.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fer.classify import Classifier
from fer.crop import crop_faces
from fer.detect import Detector
from fer.geometry import center_xy, crop_side_px, roll_degrees
from fer.hub import load_classifier, load_detectors
from fer.image import image_to_frame
from fer.preprocess import resize
from train.data.dataset import OpenDataset

__all__ = ["measure_framing"]

_FACE_PX = 144
_CANVAS_PX = 320
_TURN_DEGREES = 30
MARGINS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5)


def _scenes(dataset: OpenDataset, n_images: int) -> Iterable[tuple[NDArray[np.uint8], int]]:
    """Yield twin-free validation images, enlarged, their edges repeated to fill a canvas."""
    rows = dataset.fresh_rows("validation")
    rows = rows.shuffle(seed=0).select(range(min(n_images, len(rows))))
    pad = (_CANVAS_PX - _FACE_PX) // 2
    for row in rows:
        face = resize(image_to_frame(row["image"]), _FACE_PX, _FACE_PX)
        yield np.pad(face, ((pad, pad), (pad, pad), (0, 0)), mode="edge"), row["label"]


def _turn(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a picture clockwise."""
    turned = Image.fromarray(frame).rotate(-_TURN_DEGREES, Image.Resampling.BICUBIC)
    return np.array(turned)


def _rolls(xyxy: NDArray[np.float32], landmarks: NDArray[np.float32]) -> tuple[float, float]:
    """Return the roll of one face by `roll_degrees`, and by the line through its eyes."""
    (left, right) = landmarks[0, :2]
    line = right - left
    return float(roll_degrees(landmarks, xyxy)[0]), float(np.degrees(np.arctan2(line[1], line[0])))


def _try_detector(
    name: str,
    detector: Detector,
    classifier: Classifier,
    scenes: Iterable[tuple[NDArray[np.uint8], int]],
) -> list[dict[str, float | str]]:
    """Measure the boxes of one detector, and top-1 by margin: a row a margin."""
    ratios, offsets, rolls, labels, roll_errors = [], [], [], [], []
    crops: dict[float, list[NDArray[np.uint8]]] = {margin: [] for margin in MARGINS}
    n_seen = 0
    for frame, label in tqdm(scenes, desc=name, disable=None):
        n_seen += 1
        face = detector(frame)[:1]
        if not len(face):
            continue
        labels.append(label)
        ratios.append(_FACE_PX / crop_side_px(face.xyxy, 1.0)[0])
        offsets.append((_CANVAS_PX / 2 - center_xy(face.xyxy)[0]) / _FACE_PX)
        rolls.append(roll_degrees(face.landmarks, face.xyxy)[0])
        if face.landmarks is not None:
            turned = detector(_turn(frame))[:1]
            if len(turned) and turned.landmarks is not None:
                before = _rolls(face.xyxy, face.landmarks)
                after = _rolls(turned.xyxy, turned.landmarks)
                roll_errors.append(np.subtract(after, before) - _TURN_DEGREES)
        for margin in MARGINS:
            framed = replace(classifier.config, crop_margin=margin)
            crops[margin] += crop_faces(frame, face, framed)
    found: dict[str, float | str] = {
        "detector": name,
        "n_images": n_seen,
        "found": round(len(labels) / n_seen, 4),
        "image_to_box_median": round(float(np.median(ratios)), 3),
        "image_to_box_p10": round(float(np.percentile(ratios, 10)), 3),
        "image_to_box_p90": round(float(np.percentile(ratios, 90)), 3),
        "offset_x_median": round(float(np.median(offsets, axis=0)[0]), 3),
        "offset_y_median": round(float(np.median(offsets, axis=0)[1]), 3),
        "roll_p05": round(float(np.percentile(rolls, 5)), 1),
        "roll_p95": round(float(np.percentile(rolls, 95)), 1),
    }
    for i, column in enumerate(("roll_error", "eye_line_error")):
        errors = np.array(roll_errors).reshape(-1, 2)[:, i]
        found[column] = (
            round(float(np.sqrt((errors**2).mean())), 1) if len(errors) else float("nan")
        )
    rows: list[dict[str, float | str]] = []
    for margin in MARGINS:
        hits = classifier(crops[margin]).argmax(axis=1) == np.array(labels)
        rows.append({**found, "margin": margin, "top1": round(100 * float(hits.mean()), 2)})
    return rows


def measure_framing(dataset: OpenDataset, results: Path, n_images: int = 1500) -> pd.DataFrame:
    """Write `framing.csv`: for each detector its boxes on FER-2013 and top-1 by margin.

    `image_to_box` is the side of the FER-2013 image divided by the longer side of the
    detector's box: the margin that would give the image back. `offset` is the way from
    the box's centre to the image's, in sides of the image. `roll_error` is the root mean
    square difference in degrees between the roll found and the roll made when the scene
    is turned by 30 degrees, `eye_line_error` the same for the line through the eyes alone.
    Detectors that are unavailable are left out.

    Args:
        dataset: its validation split is used.
        results: folder of the table.
        n_images: how many images to paste.
    """
    classifier = load_classifier()
    rows: list[dict[str, float | str]] = []
    for name, detector in load_detectors(print):
        rows += _try_detector(name, detector, classifier, _scenes(dataset, n_images))
    table = pd.DataFrame(rows)
    results.mkdir(parents=True, exist_ok=True)
    table.to_csv(results / "framing.csv", index=False)
    return table
