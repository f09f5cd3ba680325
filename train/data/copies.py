"""Pictures that are in a data set more than once, known by the content of their files."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import pyarrow as pa

from fer.errors import InputError
from fer.image import image_to_frame
from fer.text import counted, one_line
from train.data.listing import Listing
from train.data.names import SPLITS

__all__ = ["COPIES", "drop_copies", "drop_held_out"]

# A column of train while splits are yet to be held out of it: pictures of one content have the
# same number, others -1.
COPIES = "content_group"


_SHOWN = 3
# Rows that are looked at together.
_BATCH = 1000
# A picture stays in the last of them that has it: what is measured on stays whole.
_RANK = {split: rank for rank, split in enumerate(SPLITS)}


@dataclass(frozen=True)
class _Row:
    """One picture of a data set: its split, the index there, its class and what to call it."""

    split: str
    index: int
    label: int
    name: str


@dataclass(frozen=True)
class _Copy:
    """A picture that another one equals, which it is, why that matters and if it is used."""

    row: _Row
    of: _Row
    reason: str
    is_used: bool


def _stored(rows: datasets.Dataset) -> Iterator[tuple[pa.Buffer | None, str | None]]:
    """Return content or path of each picture, without a copy of what `datasets` holds."""
    for table in rows.select_columns(["image"]).with_format("arrow").iter(_BATCH):
        for picture in table["image"]:
            yield picture["bytes"].as_buffer(), picture["path"].as_py()


def _size(content: pa.Buffer | None, path: str | None) -> int:
    """Return how many bytes a picture has; 0 of one that is not there."""
    if content is not None:
        return int(content.size)
    try:
        return Path(path).stat().st_size if path else 0
    except OSError:
        return 0  # the reader of the picture reports it


def _digest(content: pa.Buffer | None, path: str | None) -> bytes | None:
    try:
        found = content if content is not None else Path(path or "").read_bytes()
    except OSError:
        return None
    return hashlib.blake2b(found, digest_size=16).digest()


def _numbers(rows: datasets.Dataset) -> list[int]:
    """Return the rows of FER-2013 where they are known, so that its own copies are none here."""
    if {"csv_row", "duplicate_group"} <= set(rows.column_names):
        return list(rows["csv_row"])
    return [-1] * len(rows)


def _groups(splits: datasets.DatasetDict, folder: Path) -> list[list[_Row]]:
    """Return the pictures that are there more than once, each with its copies.

    Files are read where another has as many bytes. Pictures of one colour are no copies.
    """
    sizes = {split: [_size(*each) for each in _stored(rows)] for split, rows in splits.items()}
    common = Counter(size for each in sizes.values() for size in each)
    found: dict[tuple[bytes, int], list[tuple[str, int, str | None]]] = {}
    for split, rows in splits.items():
        numbers = _numbers(rows)
        for i, (content, path) in enumerate(_stored(rows)):
            size = sizes[split][i]
            if size and common[size] > 1 and (digest := _digest(content, path)):
                where = None if content is not None else path
                found.setdefault((digest, numbers[i]), []).append((split, i, where))
    groups = [rows for rows in found.values() if len(rows) > 1]
    labels = {split: list(rows["label"]) for split, rows in splits.items()} if groups else {}
    return [
        [_Row(split, i, labels[split][i], _name(path, split, i, folder)) for split, i, path in rows]
        for rows in groups
        if not _is_plain(splits[rows[0][0]], rows[0][1])
    ]


def _name(path: str | None, split: str, index: int, folder: Path) -> str:
    """Return what to call a picture: its path in `folder`, or its row."""
    if path and Path(path).is_relative_to(folder.absolute()):
        return one_line(Path(path).relative_to(folder.absolute()).as_posix())
    return f"row {index} of {split}"


def _is_plain(rows: datasets.Dataset, index: int) -> bool:
    """Return whether a picture has one colour alone, or is none: it is like any other such."""
    try:
        frame = image_to_frame(rows[index]["image"])
    except Exception:  # decoders raise what they like; the reader of the picture reports it
        return True
    return bool((frame == frame[:1, :1]).all())


def drop_copies(
    splits: datasets.DatasetDict, folder: Path
) -> tuple[datasets.DatasetDict, list[str]]:
    """Leave out pictures of train of which another split has an exact copy, or with two labels.

    Nobody can tell which of two labels is right. Others stay in the split that has them more than
    once, with the column `COPIES` where a split is yet to be held out of train. What validation
    and test share stays in both, and is said. Copies within FER-2013 stay where the challenge has
    them, and are marked (`mark_twins`); so do those of data sets with marks of their own, and of
    photographs with several faces.

    Args:
        splits: with columns `image` and `label`.
        folder: of the pictures, for their names in notes.

    Returns:
        The splits; and what is not used, or is there more than once, a line each, for people.

    Raises:
        InputError: nothing of a class of train is left.
    """
    if _marks_copies(splits):
        return splits, []
    groups = _groups(splits, folder)
    if set(splits) < set(SPLITS):
        splits = _numbered(splits, groups)
    copies = [copy for rows in groups for copy in _judge(rows)]
    dropped: dict[str, set[int]] = {split: set() for split in splits}
    for copy in copies:
        if not copy.is_used:
            dropped[copy.row.split].add(copy.row.index)
    result = datasets.DatasetDict(
        {split: _without(rows, dropped[split]) for split, rows in splits.items()}
    )
    notes = _notes(copies)
    _check_classes(splits["train"], result["train"], notes)
    return result, notes


def _marks_copies(splits: datasets.DatasetDict) -> bool:
    """Return whether a data set says itself what is a copy, or its pictures are parts of files."""
    columns = {name for rows in splits.values() for name in rows.column_names}
    whole = all(type(rows.features["image"]) is datasets.Image for rows in splits.values())
    grouped = "duplicate_group" in columns and "csv_row" not in columns
    return "cross_split_twin" in columns or grouped or not whole


def _numbered(splits: datasets.DatasetDict, groups: list[list[_Row]]) -> datasets.DatasetDict:
    """Return splits with `COPIES` in train, where it has copies."""
    numbers = [-1] * len(splits["train"])
    for number, rows in enumerate(groups):
        for row in rows:
            if row.split == "train":
                numbers[row.index] = number
    if max(numbers, default=-1) < 0:
        return splits
    return datasets.DatasetDict({**splits, "train": splits["train"].add_column(COPIES, numbers)})


def _judge(rows: list[_Row]) -> Iterator[_Copy]:
    """Say what becomes of equal pictures; nothing of the one that stays."""
    rows = sorted(rows, key=lambda row: (-_RANK[row.split], row.index))
    first = rows[0]
    here = [row for row in rows if row.split == first.split]
    for row in rows[len(here) :]:
        reason = f"of {row.split} that {first.split} has, too"
        yield _Copy(row, first, reason, row.split != "train")
    in_train = first.split == "train"
    other = next((row for row in here if row.label != first.label), None)
    if other is None:
        for row in here[1:]:
            yield _Copy(row, first, f"of {first.split} that it has already", True)
    else:
        for row in here:
            of = other if row.label == first.label else first
            yield _Copy(row, of, f"of {first.split} with two labels", not in_train)


def _notes(copies: list[_Copy]) -> list[str]:
    """Return a line for each reason, those of pictures that are not used first, for people."""
    kinds: dict[tuple[bool, str], list[_Copy]] = {}
    for copy in copies:
        kinds.setdefault((copy.is_used, copy.reason), []).append(copy)
    return [
        f"{'used nevertheless' if is_used else 'not used'}: {_listed(reason, kind)}"
        for (is_used, reason), kind in sorted(kinds.items(), key=lambda each: each[0][0])
    ]


def _listed(reason: str, copies: list[_Copy]) -> str:
    """Return number and reason of copies, with the names of the first and of what they equal."""
    named = ", ".join(f"{copy.row.name} (as {copy.of.name})" for copy in copies[:_SHOWN])
    strange = sum(copy.row.label != copy.of.label for copy in copies)
    labels = f", {strange} with another label" if 0 < strange < len(copies) else ""
    return f"{counted(len(copies), 'pictures')} {reason}{labels}: {named}"


def _without(rows: datasets.Dataset, dropped: set[int]) -> datasets.Dataset:
    if not dropped:
        return rows
    return rows.select([i for i in range(len(rows)) if i not in dropped])


def _check_classes(before: datasets.Dataset, after: datasets.Dataset, notes: list[str]) -> None:
    names = before.features["label"].names
    gone = {names[i] for i in set(before["label"]) - set(after["label"])}
    if gone:
        raise InputError(
            "every class of train must have pictures that no other split or class has. Received: "
            f"none in {sorted(gone)}; {'; '.join(notes)}"
        )


def drop_held_out(more: Listing, splits: datasets.DatasetDict) -> Listing:
    """Leave pictures out of `more` of which validation or test of `splits` has an exact copy.

    Raises:
        InputError: none is left.
    """
    paths = [path for rows in more.pictures.values() for path, _ in rows]
    sizes = {_size(None, str(path)) for path in paths} - {0}
    of_split = {
        _digest(*each): split
        for split, rows in splits.items()
        if split != "train"
        for each in _stored(rows)
        if _size(*each) in sizes
    }
    pictures: dict[str, list[tuple[Path, str]]] = {}
    unused = {reason: list(files) for reason, files in more.unused.items()}
    for name, rows in more.pictures.items():
        pictures[name] = []
        for path, label in rows:
            split = of_split.get(_digest(None, str(path)))
            if split is None:
                pictures[name].append((path, label))
            else:
                unused.setdefault(f"pictures that {split} has, too", []).append(path)
    if not any(pictures.values()):
        raise InputError(
            f"{more.folder} must have pictures that are not held out of training. Received: none"
        )
    return replace(more, pictures=pictures, unused=unused)
