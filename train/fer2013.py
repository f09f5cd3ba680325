"""The challenge's own file and FER+'s votes -> one data set with everything we train on."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fer.errors import InputError
from fer.preprocess import resize
from train.data import FERPLUS_COUNTS, SPLITS, open_csv

__all__ = ["find_copies", "prepare_fer2013"]

_SIDE_PX = 48
# Two pictures are looked at closely where thumbnails of this side correlate by so much.
# Tuned: 0.9 loses one copy in fifty.
_THUMBNAIL_PX, _ALIKE = 12, 0.8
# So far may a copy be shifted either way, and so well must it correlate then. Tuned: 0.92
# finds more of the copies that are known of FER-2013 and more pairs that are none, 0.95
# fewer of both; shifts of 4 and 6 pixels find no more.
_SHIFT_PX, _SAME = 2, 0.93
# Gray levels: a picture with hardly any contrast correlates with whatever noise there is.
_MIN_DEVIATION = 2.0
_ROWS_A_TIME = 512


def _thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, t) of mean 0 and length 1, so that a product of two is their correlation."""
    small = [resize(image, _THUMBNAIL_PX, _THUMBNAIL_PX) for image in images]
    rows = np.stack(small).reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _alike(
    images: NDArray[np.uint8], thumbnails: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each of `images` its index and those of the `thumbnails` that are like it."""
    queries = _thumbnails(images)
    for start in range(0, len(queries), _ROWS_A_TIME):
        close = queries[start : start + _ROWS_A_TIME] @ thumbnails.T >= _ALIKE
        for i, row in enumerate(close, start):
            yield i, np.flatnonzero(row)


def find_copies(
    images: NDArray[np.uint8], others: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pictures show the same photograph as one of the other set.

    Copies may be shifted by two pixels, mirrored, brighter, darker or flatter.

    Args:
        images: (n, s, s) uint8 gray.
        others: (m, s, s) uint8 gray.

    Returns:
        (n,) and (m,) bool: whether each has a copy among the others.
    """
    found, copied = np.zeros(len(images), np.bool_), np.zeros(len(others), np.bool_)
    usable = others.std(axis=(1, 2)) >= _MIN_DEVIATION
    thumbnails = _thumbnails(others)
    inner = slice(_SHIFT_PX, images.shape[1] - _SHIFT_PX)
    with tqdm(total=2 * len(images), unit="img", desc="copies") as bar:
        for views in (images, images[:, :, ::-1]):
            for i, candidates in _alike(views, thumbnails):
                bar.update()
                part = np.ascontiguousarray(views[i][inner, inner])
                if part.std() < _MIN_DEVIATION:
                    continue
                for j in candidates[usable[candidates]]:
                    fit = cv2.matchTemplate(others[j], part, cv2.TM_CCOEFF_NORMED).max()
                    if fit >= _SAME:
                        found[i] = copied[j] = True
    return found, copied


def _read_votes(path: Path, usage: pd.Series) -> NDArray[np.uint8]:
    """fer2013new.csv of FER+: (n, 10) votes of the rows of fer2013.csv, in its order."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be a table. Received: {error}") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    missing = sorted({"usage", "image name", *FERPLUS_COUNTS} - set(table.columns))
    if missing:
        raise InputError(
            f"{path} must have the columns of FER+. Received: none called {', '.join(missing)}"
        )
    if list(table["usage"]) != list(usage):
        raise InputError(
            f"{path} must have the rows of the other file in its order ({len(usage)}, by "
            f"`Usage`). Received: {len(table)} rows, or other splits"
        )
    # FER+ names no picture that it threw out; the others bear the number of their row.
    numbers = table["image name"].astype("string").str.extract(r"(\d+)", expand=False)
    named = numbers.notna()
    if (numbers[named].astype(int) != table.index[named]).any():
        raise InputError(f"pictures of {path} must be named by their row. Received: other numbers")
    counts = table[list(FERPLUS_COUNTS)].apply(pd.to_numeric, errors="coerce")
    if not counts.isin(range(256)).all(axis=None):
        raise InputError(f"votes in {path} must be whole numbers 0..255. Received: other cells")
    return counts.to_numpy(np.uint8)


def _pixels(pictures: Sequence[Image.Image], csv: Path) -> NDArray[np.uint8]:
    sizes = {picture.size for picture in pictures}
    if sizes != {(_SIDE_PX, _SIDE_PX)}:
        raise InputError(
            f"pictures of {csv} must be {_SIDE_PX} x {_SIDE_PX} pixels. Received: {sorted(sizes)}"
        )
    return np.stack([np.asarray(picture) for picture in pictures])


def prepare_fer2013(csv: Path, target: Path, votes: Path | None = None) -> pd.DataFrame:
    """Write a data set with labels, FER+ votes and marks of what has a twin in training.

    Args:
        csv: fer2013.csv of the challenge.
        target: new folder for Parquet files, which `datasets.load_dataset` reads.
        votes: fer2013new.csv of FER+, https://github.com/microsoft/FERPlus; None for no
            column `ferplus_votes`.

    Returns:
        For each split the number of `images`, and of `twins`: images of the training split
        with a copy in another one, images of the others with a copy in training.

    Raises:
        InputError: a file is not what it should be, or `target` is there.
    """
    if target.exists():
        raise InputError(f"{target} must be a new folder. Received: something of that name")
    source, usage = open_csv(csv)
    if missing := sorted(set(SPLITS) - set(source)):
        raise InputError(f"{csv} must have all three splits. Received: none of {missing}")
    counts = None if votes is None else _read_votes(votes, usage)
    images = {name: _pixels(source[name]["image"], csv) for name in SPLITS}
    twin = {name: np.zeros(len(images[name]), np.bool_) for name in SPLITS}
    for name in ("validation", "test"):
        twin[name], copied = find_copies(images[name], images["train"])
        twin["train"] |= copied
    # A folder that is there is whole.
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as part:
        folder = Path(part) / target.name
        (folder / "data").mkdir(parents=True)
        for name in SPLITS:
            rows = source[name].add_column("cross_split_twin", twin[name].tolist())
            if counts is not None:
                rows = rows.add_column("ferplus_votes", counts[rows["csv_row"]].tolist())
            rows.to_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"))
        folder.rename(target)
    return pd.DataFrame(
        {
            "images": {name: len(twin[name]) for name in SPLITS},
            "twins": {name: int(twin[name].sum()) for name in SPLITS},
        }
    )
