"""The table of signatures of FER-2013: written from the data, and measured on copies of it."""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fer.errors import InputError
from fer.image import image_to_frame, picture_suffixes, read_image
from fer.preprocess import resize
from train.data.columns import CSV_CLASSES
from train.data.dataset import OpenDataset
from train.data.names import SPLITS
from train.data.signatures import (
    SIDE_PX,
    TABLE_PATH,
    Pictures,
    Table,
    dequantize,
    find_rows,
    is_flat,
    load_table,
    match,
    quantize,
    sign,
)
from train.data.votes import FERPLUS_COUNTS

__all__ = ["measure_signatures", "write_signatures"]

NOTICE_PATH = TABLE_PATH.with_suffix(".md")
_NEEDED = ("csv_row", "ferplus_votes", "duplicate_group")
# Sides of copies that were scaled and are brought back.
_SMALLER_PX, _LARGER_PX = 40, 224
_N_OTHERS = 10_000
# Sides of windows of other pictures, as shares of the shorter side.
_WINDOW = (0.15, 1.0)

_NOTICE = """# fer2013_signatures.npz

sha256 `{sha256}`

Data about each of the {n:,} pictures of FER-2013, in the order of fer2013.csv, by which copies of
the data set are recognised. `python -m train signatures` writes it, with `--check` it measures it.

| array | content |
|---|---|
| `signature` | 28 numbers of 8 bits: the lowest cosine terms of the picture, a coarse blur |
| `split` | 0, 1, 2: {splits} |
| `label` | {classes} |
| `votes` | votes of FER+: {votes} |
| `group` | pictures of the same photograph have the same number, others -1 |

Splits and labels are those of the challenge of 2013 (Goodfellow et al., "Challenges in
Representation Learning", https://arxiv.org/abs/1307.0414), whose pictures are not in this file. The
groups were found by correlation and may be incomplete. The votes are those of FER+ (Barsoum et al.
2016, https://arxiv.org/abs/1608.01041, https://github.com/microsoft/FERPlus), under this licence:

> FER+
>
> Copyright (c) Microsoft Corporation
>
> All rights reserved.
>
> MIT License
>
> Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
> associated documentation files (the ""Software""), to deal in the Software without restriction,
> including without limitation the rights to use, copy, modify, merge, publish, distribute,
> sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
> furnished to do so, subject to the following conditions:
> The above copyright notice and this permission notice shall be included in all copies or
> substantial portions of the Software.
>
> THE SOFTWARE IS PROVIDED *AS IS*, WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
> NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
> NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
> DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
> OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def _read_gray(dataset: OpenDataset) -> tuple[NDArray[np.uint8], pd.DataFrame]:
    """Read all pictures of FER-2013 in the order of fer2013.csv, and their other columns."""
    images, columns = [], []
    for number, split in enumerate(SPLITS):
        rows = dataset.rows(split)
        if missing := [name for name in _NEEDED if name not in rows.column_names]:
            raise InputError(
                f"{dataset.name} must have the columns {list(_NEEDED)}. Missing: {missing}"
            )
        names = rows.features["label"].names
        if unknown := sorted(set(names) - set(CSV_CLASSES)):
            raise InputError(
                f"{dataset.name} must have the classes of FER-2013. Received: {unknown}"
            )
        part = {name: list(rows[name]) for name in _NEEDED}
        part["label"] = [CSV_CLASSES.index(names[label]) for label in rows["label"]]
        columns.append(pd.DataFrame(part).assign(split=number))
        for image in tqdm(rows["image"], desc=split, unit=" images", disable=None, mininterval=2):
            pixels = image_to_frame(image)[..., 1]
            images.append(resize(np.ascontiguousarray(pixels), SIDE_PX, SIDE_PX))
    table = pd.concat(columns, ignore_index=True)
    order = np.argsort(table["csv_row"].to_numpy(), kind="stable")
    return np.stack(images)[order], table.iloc[order].reset_index(drop=True)


def write_signatures(dataset: OpenDataset, target: Path = TABLE_PATH) -> int:
    """Write the table of signatures of `dataset`, and the notice next to it.

    Args:
        dataset: FER-2013 with the columns `csv_row`, `ferplus_votes` and `duplicate_group`.
        target: the .npz file.

    Returns:
        How many pictures there are.

    Raises:
        InputError: a column is missing, or rows are not those of fer2013.csv.
    """
    images, rows = _read_gray(dataset)
    if rows["csv_row"].tolist() != list(range(len(rows))):
        raise InputError(f"`csv_row` of {dataset.name} must be 0..{len(rows) - 1}, each once")
    table = Table(
        quantize(sign(images)),
        rows["split"].to_numpy(np.uint8),
        rows["label"].to_numpy(np.uint8),
        np.array(rows["ferplus_votes"].tolist(), np.uint8),
        rows["duplicate_group"].to_numpy(np.int32),
    )
    # By columns, in which numbers are alike.
    arrays = {name: np.asfortranarray(each) for name, each in table._asdict().items()}
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]
    notice = _NOTICE.format(
        sha256=hashlib.sha256(target.read_bytes()).hexdigest(),
        n=len(rows),
        splits=", ".join(SPLITS),
        classes=", ".join(CSV_CLASSES),
        votes=", ".join(FERPLUS_COUNTS),
    )
    target.with_suffix(".md").write_text(notice, encoding="utf-8")
    return len(rows)


def _encoded(image: NDArray[np.uint8], kind: str, **options: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return np.asarray(Image.open(file))


def _scaled(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    scaled = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    return resize(np.asarray(scaled), SIDE_PX, SIDE_PX)


_COPIES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "PNG": lambda image: _encoded(image, "PNG"),
    "JPEG, quality 95": lambda image: _encoded(image, "JPEG", quality=95),
    "JPEG, quality 75": lambda image: _encoded(image, "JPEG", quality=75),
    "JPEG, quality 75 of quality 95": lambda image: _encoded(
        _encoded(image, "JPEG", quality=95), "JPEG", quality=75
    ),
    f"scaled to {_LARGER_PX} px": lambda image: _scaled(image, _LARGER_PX),
    f"scaled to {_SMALLER_PX} px": lambda image: _scaled(image, _SMALLER_PX),
}


def _windows(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield `_N_OTHERS` square gray windows of the pictures below `folder`, the same each time.

    None is of one colour.
    """
    suffixes = picture_suffixes()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    pictures = [read_image(path.read_bytes())[..., 1] for path in files]
    pictures = [each for each in pictures if min(each.shape) >= SIDE_PX and each.std() > 0]
    if not pictures:
        raise InputError(f"{folder} must have pictures of {SIDE_PX} pixels at least")
    rng = np.random.default_rng(0)
    n_given = 0
    while n_given < _N_OTHERS:
        picture = pictures[rng.integers(len(pictures))]
        shorter = min(picture.shape)
        side = max(SIDE_PX, int(shorter * rng.uniform(*_WINDOW)))
        y, x = (int(rng.integers(0, length - side + 1)) for length in picture.shape)
        window = resize(np.ascontiguousarray(picture[y : y + side, x : x + side]), SIDE_PX, SIDE_PX)
        if not is_flat(window[None])[0]:
            n_given += 1
            yield window


def _nearest(terms: NDArray[np.float32], table: Table) -> float:
    """Return the least distance of any picture from any row; at most the radius searched."""
    radius = 10.0
    return float(min([radius, *match(terms, table, radius).distance]))


def measure_signatures(dataset: OpenDataset, others: Path) -> pd.DataFrame:
    """Measure how many copies of FER-2013 are known, and how many other pictures are taken for it.

    Copies are looked for in their splits and with their labels. Pictures of one half of FER-2013
    are looked for in a table of the other half, without those that have a copy there.

    Args:
        dataset: any copy of FER-2013.
        others: folder of other pictures, of which windows are taken.

    Returns:
        For each kind of copy the number of `pictures`, how many are `known`, how many of these
        by their own `row` or that of an equal picture in the same split with the same label, and
        the `distance` from it, the largest; for other pictures the least distance from any row.
        Pictures of one colour do not count: they are known among others only.

    Raises:
        InputError: `dataset` is no copy of FER-2013, or there are no pictures in `others`.
    """
    table = load_table()
    images, rows = _read_gray(dataset)
    plain = is_flat(images)
    kept = (rows["csv_row"] >= 0).to_numpy() & ~plain
    # The order of most copies is not that of fer2013.csv.
    order = np.random.default_rng(0).permutation(np.flatnonzero(kept))
    images, rows = images[order], rows.iloc[order]
    own = rows["csv_row"].to_numpy(np.int64)
    splits, labels = (rows[name].to_numpy(np.int64) for name in ("split", "label"))
    alike = np.column_stack([table.signature, table.split, table.label])
    _, kinds = np.unique(alike, axis=0, return_inverse=True)
    report = []
    for kind, change in _COPIES.items():
        terms = sign(np.stack([change(image) for image in images]))
        found, _ = find_rows(Pictures(terms, splits, labels), table)
        distance = np.linalg.norm(terms - dequantize(table.signature[own]), axis=1).max()
        report.append(
            (
                kind,
                len(found),
                (found >= 0).sum(),
                ((found >= 0) & (kinds[found] == kinds[own])).sum(),
                distance,
            )
        )
    windows = np.stack(list(_windows(others)))
    even = own % 2 == 0
    groups = table.group[own]
    alone = even & ~((groups >= 0) & np.isin(groups, table.group[1::2]))
    half = table.rows(slice(1, None, 2))
    for kind, terms, against in (
        (f"windows of {others.name}", sign(windows), table),
        ("FER-2013 in its other half", sign(images[alone]), half),
    ):
        known = len(np.unique(match(terms, against).picture))
        report.append((kind, len(terms), known, 0, _nearest(terms, against)))
    columns = ["kind", "pictures", "known", "row", "distance"]
    return pd.DataFrame(report, columns=columns).set_index("kind").round(2)
