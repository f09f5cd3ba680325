"""Pictures of FER-2013, known by their content: their rows, votes, splits and copies.

`fer2013_signatures.npz` has a signature of each picture of the challenge, so that any copy of the
data set has FER+'s votes and marks of copies, whatever its files are called and however they were
encoded. `fer2013_signatures.md` says where the table comes from. `python -m train signatures
--check` measures how well pictures are known.
"""

import io
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer.preprocess import resize
from train.data.columns import CSV_CLASSES, stored_pictures
from train.data.names import SPLITS

__all__ = [
    "MAX_COLOUR",
    "MIN_DEVIATION",
    "SIDE_PX",
    "TABLE_PATH",
    "Matches",
    "Pictures",
    "Table",
    "dequantize",
    "find_rows",
    "is_flat",
    "load_table",
    "mark_twins",
    "match",
    "quantize",
    "recognize",
    "sign",
]

TABLE_PATH = Path(__file__).parent / "fer2013_signatures.npz"
SIDE_PX = 48
# Cosine terms of the lowest sums of frequencies: 0 + 0 up to 6 in all.
_N_SUMS = 7
_TERMS = [(y, total - y) for total in range(_N_SUMS) for y in range(total + 1)]
# Gray levels that a unit of the table stands for. The first terms are larger: none but the mean
# of a black picture is clipped.
_STEPS = np.where(np.arange(len(_TERMS)) < 4, 1.0, 0.5).astype(np.float32)
_MIDDLE = 128
# Gray levels. Measured by `signatures --check`: a picture is at 1.25 from its own row at most, at
# 2.5 after JPEG of quality 75, which two pictures are; windows of photographs are at 4.7 at least,
# other pictures of FER-2013 at 2.5.
_SAME = 2.0
# Where all others are known, a picture is that row which is left and so near.
_LEFT = 4.0
# Rows that are hardly farther than the nearest are of the same picture.
_MARGIN = 0.5
# Standard deviation in gray levels: a picture of one colour is like any other of that colour.
MIN_DEVIATION = 2.0
# Gray levels between the channels of a gray picture that was saved as a colour JPEG.
MAX_COLOUR = 8
# Pixels a side of what may be a copy: larger or smaller ones are decoded for nothing.
_SIDES_PX = range(24, 1025)
# How many pictures of each split are tried first, and the share of them that must be known.
_N_TRIED, _MIN_SHARE = 100, 0.05
# A data set that is FER-2013 but for so few pictures may have the challenge's splits, and
# pictures of one colour.
_WHOLE = 0.99
_ROWS_A_TIME = 128


class Table(NamedTuple):
    """What is known of the pictures of FER-2013, in the order of fer2013.csv.

    Attributes:
        signature: (n, k) int8, see `quantize`.
        split: (n,) uint8 index into `train.data.names.SPLITS`.
        label: (n,) uint8 index into `train.data.columns.CSV_CLASSES`.
        votes: (n, 10) uint8 counts of FER+, in the order of `train.data.votes.FERPLUS_COUNTS`.
        group: (n,) int32: pictures of the same photograph have the same number, others -1.
    """

    signature: NDArray[np.int8]
    split: NDArray[np.uint8]
    label: NDArray[np.uint8]
    votes: NDArray[np.uint8]
    group: NDArray[np.int32]

    def rows(self, index: NDArray[np.intp] | slice) -> "Table":
        """Return the table of some rows."""
        return Table(*(each[index] for each in self))  # type: ignore[arg-type]


class Pictures(NamedTuple):
    """Pictures whose rows are looked for.

    Attributes:
        terms: (n, k), see `sign`.
        splits: (n,) index into `train.data.names.SPLITS`.
        labels: (n,) index into `train.data.columns.CSV_CLASSES`, -1 for others.
    """

    terms: NDArray[np.float32]
    splits: NDArray[np.int64]
    labels: NDArray[np.int64]

    def rows(self, index: NDArray[np.intp]) -> "Pictures":
        """Return some of the pictures."""
        return Pictures(*(each[index] for each in self))  # type: ignore[arg-type]


class Matches(NamedTuple):
    """Pairs of pictures and rows that may be the same, in no order.

    Attributes:
        picture: (m,) int64 index of the picture.
        row: (m,) int64 row of the table.
        distance: (m,) float32 between their signatures, in gray levels.
    """

    picture: NDArray[np.int64]
    row: NDArray[np.int64]
    distance: NDArray[np.float32]


@lru_cache(maxsize=1)
def load_table() -> Table:
    """Return the table that comes with the project."""
    with np.load(TABLE_PATH) as stored:
        return Table(**{name: stored[name] for name in Table._fields})


def sign(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the lowest cosine terms of pictures, as amplitudes in gray levels.

    Encoding and scaling change fine detail most and these terms least; other photographs, and
    shifted, mirrored or brighter copies, differ in them.

    Args:
        images: (n, 48, 48) uint8 gray.

    Returns:
        (n, 28), of which the first is the mean less 128.
    """
    angles = np.pi / SIDE_PX * np.outer(np.arange(_N_SUMS), np.arange(SIDE_PX) + 0.5)
    waves = np.cos(angles) * np.sqrt(2 / SIDE_PX)
    waves[0] /= np.sqrt(2)
    down, across = (list(each) for each in zip(*_TERMS, strict=True))
    signed = [
        (waves @ part @ waves.T)[:, down, across] / SIDE_PX
        for part in np.array_split(images, 1 + len(images) // 4096)
    ]
    terms = np.concatenate(signed).astype(np.float32)
    terms[:, 0] -= _MIDDLE
    return terms


def quantize(terms: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return what `sign` gives in the units of the table."""
    return np.asarray(np.clip(np.rint(terms / _STEPS), -127, 127), np.int8)


def dequantize(signature: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return signatures of the table in the gray levels of `sign`."""
    return np.asarray(signature * _STEPS, np.float32)


def is_flat(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return whether each picture has too little contrast to be known by, (n,)."""
    return np.asarray(images.std(axis=(1, 2)) < MIN_DEVIATION)


def match(terms: NDArray[np.float32], table: Table, radius: float = _SAME) -> Matches:
    """Find all pairs of pictures and rows whose signatures are near each other.

    Args:
        terms: (n, k), see `sign`.
        table: of rows.
        radius: how near, in gray levels.
    """
    rows = dequantize(table.signature)
    order, queries = np.argsort(rows[:, 0]), np.argsort(terms[:, 0])
    rows = rows[order]
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    # Pairs whose means differ by more than the radius need not be looked at.
    for start in range(0, len(queries), _ROWS_A_TIME):
        part = queries[start : start + _ROWS_A_TIME]
        query = terms[part]
        first = np.searchsorted(rows[:, 0], query[0, 0] - radius)
        last = np.searchsorted(rows[:, 0], query[-1, 0] + radius, side="right")
        near = rows[first:last]
        squares = (query**2).sum(axis=1)[:, None] + (near**2).sum(axis=1) - 2 * query @ near.T
        # Products of large numbers are off by a little; equal rows must have equal distances.
        i, j = np.nonzero(squares <= radius**2 + 0.5)
        distance = np.linalg.norm(query[i] - near[j], axis=1)
        close = distance <= radius
        found.append((part[i][close], order[first + j[close]], distance[close]))
    return Matches(*(np.concatenate(each) for each in zip(*found, strict=True)))


def find_rows(
    pictures: Pictures, table: Table, radius: float = _SAME
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the row of each picture; each row is of one picture, as long as there are enough.

    Where rows are of the same picture, those of the same split and label count first, then
    those of the same split, then those of the same label, each in the order of the rows.

    Args:
        pictures: whose rows are looked for.
        table: of rows.
        radius: how near a row must be, in gray levels.

    Returns:
        (n,) rows, -1 of pictures that are not in the table; and (n,) whether there are more
        pictures of it than rows, so that a row is named again.
    """
    terms = pictures.terms
    picture, row, distance = match(terms, table, radius)
    nearest = np.full(len(terms), np.inf, np.float32)
    np.minimum.at(nearest, picture, distance)
    kept = distance <= nearest[picture] + _MARGIN
    picture, row, distance = picture[kept], row[kept], distance[kept]
    split_differs = table.split[row] != pictures.splits[picture]
    label_differs = table.label[row] != pictures.labels[picture]
    rank = 2 * split_differs + label_differs
    found, used = np.full(len(terms), -1, np.int64), np.zeros(len(table.split), np.bool_)
    again = np.zeros(len(terms), np.bool_)
    order = np.lexsort((row, distance, picture, rank))
    for each, candidate in zip(picture[order], row[order], strict=True):
        if found[each] < 0 and not used[candidate]:
            found[each] = candidate
            used[candidate] = True
    for each, candidate in zip(picture[order], row[order], strict=True):
        if found[each] < 0:
            found[each] = candidate
            again[each] = True
    return found, again


def _gray(stored: dict[str, Any]) -> NDArray[np.uint8] | None:
    """Read a stored picture, (48, 48); None of one that cannot be of FER-2013, or be read.

    The reader of the picture reports what is wrong with it.
    """
    try:
        source = stored["path"] if stored["bytes"] is None else io.BytesIO(stored["bytes"])
        with Image.open(source) as picture:
            width, height = picture.size
            if width != height or width not in _SIDES_PX:
                return None
            frame = np.asarray(picture if picture.mode == "L" else picture.convert("RGB"))
    except Exception:  # decoders raise what they like
        return None
    if frame.ndim == 3:
        if np.ptp(frame, axis=2).max() > MAX_COLOUR:
            return None
        frame = frame[..., 1]
    return resize(np.ascontiguousarray(frame), SIDE_PX, SIDE_PX)


def _read(rows: datasets.Dataset) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Read the pictures that may be of FER-2013: index (m,) and gray pixels (m, 48, 48)."""
    index, images = [], []
    for i, row in enumerate(stored_pictures(rows)):
        if (image := _gray(row["image"])) is not None:
            index.append(i)
            images.append(image)
    return np.array(index, np.int64), np.array(images, np.uint8).reshape(-1, SIDE_PX, SIDE_PX)


def _may_be_copy(splits: datasets.DatasetDict, table: Table) -> bool:
    """Return whether some pictures of each split are of FER-2013, without decoding photographs."""
    n_tried = n_known = 0
    for rows in splits.values():
        if type(rows.features["image"]) is not datasets.Image:
            return False  # crops of photographs
        step = max(1, len(rows) // _N_TRIED)
        tried = rows.select(range(0, len(rows), step))
        _, images = _read(tried)
        known = match(sign(images[~is_flat(images)]), table).picture
        n_tried += len(tried)
        n_known += len(np.unique(known))
    return n_known > 0 and n_known >= _MIN_SHARE * n_tried


def recognize(splits: datasets.DatasetDict) -> tuple[datasets.DatasetDict, list[str]]:
    """Add what is known of pictures of FER-2013 to a data set that has some.

    Args:
        splits: with columns `image` and `label`, a ClassLabel with names of this project.

    Returns:
        The splits with the columns `csv_row`, `ferplus_votes` and `duplicate_group`, as far as
        they lack them (-1, no votes and -1 of other pictures); and what was found, a line each,
        for people. Where the data set is FER-2013 and has no validation split, its pictures are
        in the challenge's splits. Other data sets come back as they are, with no line.
    """
    table = load_table()
    if not _may_be_copy(splits, table):
        return splits, []
    found, n_again = _rows_of_splits(splits, table)
    n_known = sum(int((rows >= 0).sum()) for rows in found.values())
    n_images = sum(map(len, found.values()))
    notes = [f"FER-2013: {n_known:,} of {n_images:,} pictures are known by their content"]
    if n_known >= _WHOLE * n_images and (moved := _challenge_splits(found, table)):
        taken = " and ".join(name for name in moved if name not in splits)
        source = "test" if "test" in splits else "train"
        notes.append(f"splits: the challenge's; {taken} taken out of {source}")
        splits = datasets.DatasetDict(
            {name: splits[here].select(index) for name, (here, index) in moved.items()}
        )
        found = {name: found[here][index] for name, (here, index) in moved.items()}
    notes += _misplaced(found, table)
    if n_others := _other_labels(splits, found, table):
        notes.append(f"labels that are not the challenge's: {n_others:,}")
    if n_again:
        notes.append(f"here more often than in the challenge: {_pictures(n_again)}")
    if added := [name for name in _COLUMNS if name not in splits["train"].column_names]:
        notes.append(f"known of them: {', '.join(f'{_COLUMNS[name]} ({name})' for name in added)}")
    return _with_columns(splits, found, table), notes


_COLUMNS = {
    "csv_row": "rows of fer2013.csv",
    "ferplus_votes": "votes of FER+",
    "duplicate_group": "marks of copies",
}


def _rows_of_splits(
    splits: datasets.DatasetDict, table: Table
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Find the rows of each split's pictures, -1 of others, and how many repeat a row."""
    terms, flat, where, numbers, labels = [], [], [], [], []
    for name, rows in splits.items():
        index, images = _read(rows)
        terms.append(sign(images))
        flat.append(is_flat(images))
        where += [(name, int(i)) for i in index]
        numbers += [SPLITS.index(name)] * len(index)
        labels.append(_challenge_labels(rows)[index])
    pictures = Pictures(np.concatenate(terms), np.array(numbers, np.int64), np.concatenate(labels))
    is_plain = np.concatenate(flat)
    found, again = find_rows(pictures, table)
    n_others = sum(map(len, splits.values())) - is_plain.sum()
    if (found[~is_plain] >= 0).sum() >= _WHOLE * n_others:
        left = np.flatnonzero((found < 0) | again)
        free = np.setdiff1d(np.arange(len(table.split)), found)
        rest, _ = find_rows(pictures.rows(left), table.rows(free), _LEFT)
        # One row each: what comes again here is none of them.
        _, first = np.unique(rest, return_index=True)
        first = first[rest[first] >= 0]
        found[left[first]] = free[rest[first]]
        again[left[first]] = False
    else:
        # A picture without contrast is known only by its place among the others.
        found[is_plain] = -1
        again[is_plain] = False
    result = {name: np.full(len(rows), -1, np.int64) for name, rows in splits.items()}
    for (name, i), row in zip(where, found, strict=True):
        result[name][i] = row
    return result, int(again.sum())


def _challenge_labels(rows: datasets.Dataset) -> NDArray[np.int64]:
    """Return the index into `CSV_CLASSES` of each label, -1 of others."""
    names = rows.features["label"].names
    index = [CSV_CLASSES.index(name) if name in CSV_CLASSES else -1 for name in names]
    return np.array([*index, -1], np.int64)[np.asarray(rows["label"], np.int64)]


def _challenge_splits(
    found: dict[str, NDArray[np.int64]], table: Table
) -> dict[str, tuple[str, NDArray[np.int64]]]:
    """Find the pictures of each split of the challenge, where a missing split is in another.

    Returns:
        For each split the one that it is in here and the index there; nothing where no split
        is missing, or those that are here are not the challenge's.
    """
    challenge = {
        name: np.where(rows >= 0, table.split[rows], -1).astype(np.int64)
        for name, rows in found.items()
    }
    train, validation, test = range(len(SPLITS))
    if set(found) == {"train"}:
        parts = [("train", each) for each in (train, validation, test)]
    elif set(found) == {"train", "test"}:
        strange = (challenge["train"] > train).sum() + (challenge["test"] == train).sum()
        if strange > (1 - _WHOLE) * sum(map(len, found.values())):
            return {}
        parts = [("train", train), ("test", validation), ("test", test)]
    else:
        return {}
    result = {}
    for here, each in parts:
        stays = SPLITS[each] == here
        others = {number for place, number in parts if place == here} - {each}
        mine = challenge[here]
        index = np.flatnonzero(~np.isin(mine, list(others)) if stays else mine == each)
        result[SPLITS[each]] = (here, index)
    return result if all(len(index) for _, index in result.values()) else {}


def _pictures(count: int) -> str:
    return f"{count:,} picture" + "s" * (count != 1)


def _misplaced(found: dict[str, NDArray[np.int64]], table: Table) -> list[str]:
    """Say which splits have pictures of other splits of the challenge."""
    lines = []
    for name, rows in found.items():
        counts = np.bincount(table.split[rows[rows >= 0]], minlength=len(SPLITS))
        strange = {
            other: int(count)
            for other, count in zip(SPLITS, counts, strict=True)
            if count and other != name
        }
        if strange:
            counted = " and ".join(
                f"{_pictures(count)} of the challenge's {other} split"
                for other, count in strange.items()
            )
            lines.append(f"{name} has {counted}: figures cannot be compared with those of others")
    return lines


def _other_labels(
    splits: datasets.DatasetDict, found: dict[str, NDArray[np.int64]], table: Table
) -> int:
    return sum(
        int((_challenge_labels(splits[name]) != table.label[rows])[rows >= 0].sum())
        for name, rows in found.items()
    )


def _with_columns(
    splits: datasets.DatasetDict, found: dict[str, NDArray[np.int64]], table: Table
) -> datasets.DatasetDict:
    features = {
        "csv_row": datasets.Value("int32"),
        "ferplus_votes": datasets.List(datasets.Value("uint8"), length=table.votes.shape[1]),
        "duplicate_group": datasets.Value("int32"),
    }
    # A picture that is here more often than in the challenge has copies here.
    everywhere = np.concatenate(list(found.values()))
    often = np.bincount(everywhere[everywhere >= 0], minlength=len(table.group)) > 1
    own = table.group.max() + 1 + np.arange(len(table.group))
    group = np.where(often & (table.group < 0), own, table.group)
    result = datasets.DatasetDict()
    for name, rows in splits.items():
        row = found[name]
        known = row >= 0
        columns = {
            "csv_row": row,
            "ferplus_votes": np.where(known[:, None], table.votes[row], 0),
            "duplicate_group": np.where(known, group[row], -1),
        }
        for column, values in columns.items():
            if column not in rows.column_names:
                rows = rows.add_column(column, values.tolist(), feature=features[column])
        result[name] = rows
    return result


def mark_twins(splits: datasets.DatasetDict) -> datasets.DatasetDict:
    """Add `cross_split_twin` to splits that have groups of copies and no such marks.

    A picture of train has one where validation or test has a copy, another where train has.

    Args:
        splits: "train", "validation" and "test".
    """
    names = {name for rows in splits.values() for name in rows.column_names}
    if "cross_split_twin" in names or any(
        "duplicate_group" not in rows.column_names for rows in splits.values()
    ):
        return splits
    groups = {name: np.asarray(rows["duplicate_group"]) for name, rows in splits.items()}
    held = np.concatenate([groups[name] for name in splits if name != "train"])
    result = datasets.DatasetDict()
    for name, rows in splits.items():
        others = held if name == "train" else groups["train"]
        marks = (groups[name] >= 0) & np.isin(groups[name], others)
        result[name] = rows.add_column("cross_split_twin", marks.tolist())
    return result
