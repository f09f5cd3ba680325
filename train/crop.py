"""Photographs to face crops, through the pipeline's own detector and crop."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from fer.crop import crop_faces
from fer.detect import Detector
from fer.errors import ImageError, InputError
from fer.geometry import crop_side_px
from fer.hub import load_detector
from fer.image import is_picture_file, picture_suffixes, read_picture
from fer.text import printable
from fer.types import ModelConfig
from train.data.listing import list_pictures

__all__ = ["REPORT_NAME", "crop_folder", "describe_photographs"]

REPORT_NAME = "crop_report.csv"
# A face with less than half of FER-2013's 48 pixels has nothing left to learn from.
_MIN_FACE_PX = 24


def describe_photographs(folder: Path) -> str:
    """Return a table of the splits and classes of `folder`, and what is not used, for people.

    Photographs without classes are counted by their folders: any will do for crops.

    Raises:
        InputError: a folder cannot be read.
    """
    try:
        listing = list_pictures(folder)
    except InputError:
        found = Counter(
            printable(str(path.parent.relative_to(folder))) for path in _pictures(folder)
        )
        others = Counter(
            printable(path.suffix.lower()) or "without an ending"
            for path in folder.rglob("*")
            if path.is_file() and not is_picture_file(path)
        )
        return "\n".join(
            [
                *(f"{count:6}  photographs in {name}" for name, count in found.items()),
                *(f"{count:6}  files {kind} that are no picture" for kind, count in others.items()),
            ]
        )
    return listing.describe()


def _pictures(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and is_picture_file(path):
            yield path


@cache
def _detector(name: str | None) -> Detector:
    cv2.setNumThreads(1)  # the pictures are what is spread over the cores
    return load_detector(name)


def _shown(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder).as_posix())


def _crop_one(
    path: Path, source: Path, target: Path, detector: str | None, margin: float
) -> dict[str, object]:
    """Write the largest face of one picture; say what became of it."""
    row: dict[str, object] = {"file": _shown(path, source), "crop": "", "faces": 0}
    try:
        picture = read_picture(path)
    except ImageError as error:
        return {**row, "outcome": printable(f"not a usable picture: {error}")}
    frame, notes = picture.frame, "".join(f"; {note}" for note in picture.notes)
    faces = _detector(detector)(frame)
    row["faces"] = len(faces)
    if not len(faces):
        return {**row, "outcome": f"no face found{notes}"}
    largest = int(np.argmax(crop_side_px(faces.xyxy, 1.0)))
    only = faces[np.arange(len(faces)) == largest]
    if crop_side_px(only.xyxy, 1.0)[0] < _MIN_FACE_PX:
        return {**row, "outcome": f"face smaller than {_MIN_FACE_PX} pixels"}
    # Only framing matters here; the class names are the folders'.
    config = ModelConfig(class_names=("a", "b"), crop_margin=margin)
    (crop,) = crop_faces(frame, only, config)
    # The suffix stays in the name: a.jpg and a.png may lie side by side.
    out = target / path.relative_to(source).parent / f"{path.name.replace('.', '_')}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(crop).save(out)
    return {
        **row,
        "crop": _shown(out, target),
        "outcome": ("kept" if len(faces) == 1 else "kept the largest face") + notes,
    }


def crop_folder(
    source: Path,
    target: Path,
    detector: str | None = None,
    margin: float = 1.0,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Cut the largest face out of every picture under `source`, folders kept.

    Args:
        source: folder, usually with a folder a class, maybe under a folder a split.
        target: new or empty folder for the crops, PNG at the picture's own resolution,
            and for `crop_report.csv`, which names every picture and what became of it.
        detector: see `fer.hub.load_detector`.
        margin: side of the crop divided by the longer side of the detector's box.
        jobs: processes; one a core if None.

    Returns:
        The report: columns file, crop, faces, outcome.

    Raises:
        InputError: no folder, no picture in it, or something is in `target`.
        HubError: the requested detector cannot be fetched.
        DetectorError: it cannot be built.
    """
    if not source.is_dir():
        raise InputError(f"{source} must be a folder. Received: {source}")
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target} must be new or empty. Received: a folder with files")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{target} must not lie in {source}: its crops would be cropped again")
    pictures = list(_pictures(source))
    if not pictures:
        endings = ", ".join(sorted(picture_suffixes()))
        raise InputError(f"{source} must hold pictures ({endings}). Received: none")
    load_detector(detector)  # fails here, once, rather than in every process
    work = partial(_crop_one, source=source, target=target, detector=detector, margin=margin)
    target.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs or os.cpu_count(), get_context("spawn")) as pool:
        rows = list(
            tqdm(pool.map(work, pictures, chunksize=8), total=len(pictures), unit="picture")
        )
    report = pd.DataFrame(rows)
    report.to_csv(target / REPORT_NAME, index=False, encoding="utf-8-sig")
    return report
