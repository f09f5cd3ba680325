"""Photographs to face crops, through the pipeline's own detector and crop."""

import os
from collections.abc import Callable
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
from fer.image import read_picture
from fer.text import cell, one_line
from fer.types import ModelConfig
from train.data.listing import Listing, join_some

__all__ = ["REPORT_NAME", "count_unusable", "crop_folder", "describe_report"]

REPORT_NAME = "crop_report.csv"
# A face with less than half of FER-2013's 48 pixels has nothing left to learn from.
_MIN_FACE_PX = 24
_UNUSABLE = "cannot be read"
_NOT_USED = "not used"
# What became of a file: columns of the report without its name.
_Row = dict[str, object]


@cache
def _detector(name: str | None) -> Detector:
    cv2.setNumThreads(1)  # the pictures are what is spread over the cores
    return load_detector(name)


def _crop_one(path: Path, source: Path, target: Path, detector: str | None, margin: float) -> _Row:
    """Write the largest face of one picture; say what became of it."""
    row: _Row = {"crop": "", "faces": 0}
    try:
        picture = read_picture(path)
    except ImageError as error:
        return {**row, "outcome": one_line(f"{_UNUSABLE}: {error}")}
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
        "crop": one_line(out.relative_to(target).as_posix()),
        "outcome": ("kept" if len(faces) == 1 else "kept the largest face") + notes,
    }


def count_unusable(report: pd.DataFrame) -> tuple[int, int]:
    """Return how many pictures cannot be read, and how many were to be cropped."""
    n_unused = int(report["outcome"].str.startswith(_NOT_USED).sum())
    return int(report["outcome"].str.startswith(_UNUSABLE).sum()), len(report) - n_unused


def describe_report(report: pd.DataFrame) -> str:
    """Return how many files had each outcome, and name those that cannot be read, for people."""
    outcomes = report["outcome"].where(~report["outcome"].str.startswith(_UNUSABLE), _UNUSABLE)
    lines = [f"{count:6}  {outcome}" for outcome, count in outcomes.value_counts().items()]
    unusable = report[outcomes == _UNUSABLE]
    named = [
        f"{file}: {outcome.removeprefix(_UNUSABLE + ': ')}"
        for file, outcome in zip(unusable["file"], unusable["outcome"], strict=True)
    ]
    total = f"{len(report):6}  {'file' if len(report) == 1 else 'files'}"
    return "\n".join([total, *lines, *([join_some(named)] if named else [])])


def _crop_all(paths: list[Path], crop: Callable[[Path], _Row], jobs: int) -> list[_Row]:
    """Crop pictures in as many processes; one job is done here."""
    bar = partial(tqdm, total=len(paths), unit=" pictures", disable=None)
    if jobs == 1:
        return list(bar(map(crop, paths)))
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        return list(bar(pool.map(crop, paths, chunksize=8)))


def crop_folder(
    listing: Listing,
    target: Path,
    detector: str | None = None,
    margin: float = 1.0,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Cut the largest face out of every picture of `listing`, folders kept.

    Args:
        listing: photographs, see `train.data.listing.list_photographs`.
        target: new or empty folder for the crops, PNG at the picture's own resolution,
            and for `crop_report.csv`, which names every file and what became of it.
        detector: see `fer.hub.load_detector`.
        margin: side of the crop divided by the longer side of the detector's box.
        jobs: processes; one a core if None.

    Returns:
        The report: columns file, crop, faces, outcome. A row for each file of `listing`.

    Raises:
        InputError: something is in `target`, or it lies among the photographs.
        HubError: the requested detector cannot be fetched.
        DetectorError: it cannot be built.
    """
    source = listing.folder
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target} must be new or empty. Received: a folder with files")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{target} must not lie in {source}: its crops would be cropped again")
    load_detector(detector)  # fails here, once, rather than in every process
    crop = partial(_crop_one, source=source, target=target, detector=detector, margin=margin)
    target.mkdir(parents=True, exist_ok=True)
    pictures = [path for rows in listing.pictures.values() for path, _ in rows]
    rows = dict(zip(pictures, _crop_all(pictures, crop, jobs or os.cpu_count() or 1), strict=True))
    for reason, files in listing.unused.items():
        rows |= {
            path: {"crop": "", "faces": 0, "outcome": f"{_NOT_USED}: {reason}"} for path in files
        }
    report = pd.DataFrame({"file": listing.shown(path), **rows[path]} for path in sorted(rows))
    cells = report.assign(
        file=[cell(file, is_path=True) for file in report["file"]],
        crop=[cell(file, is_path=True) for file in report["crop"]],
        outcome=report["outcome"].map(cell),
    )
    cells.to_csv(target / REPORT_NAME, index=False, encoding="utf-8-sig")
    return report
