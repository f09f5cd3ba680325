"""Data sets of labelled pictures, opened once and passed on."""

import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import datasets
import numpy as np

from fer.errors import InputError
from fer.types import ModelConfig
from train.data.columns import CSV_CLASSES, read_columns
from train.data.copies import COPIES, drop_copies
from train.data.csv_file import open_csv_file
from train.data.folder import open_folder
from train.data.hub import dataset_name, open_pinned, parse_repository, pin_dataset
from train.data.layouts import open_layout
from train.data.listing import Reading, format_counts
from train.data.names import SPLITS
from train.data.signatures import mark_twins, recognize
from train.data.split import SOURCE_ROW, Split, decode_split, refuse_unread
from train.data.text_table import is_table

__all__ = ["OpenDataset", "default_dataset", "hold_out", "open_dataset"]

# A seventh of each class for test, then a seventh of what is left for validation.
_HELD_OUT = 7
# The rows of each, and what may be said to be of FER-2013.
_CHALLENGE_ROWS = {"train": 28709, "validation": 3589, "test": 3589}


@dataclass(frozen=True)
class OpenDataset:
    """A data set under our names.

    Attributes:
        name: what messages and records call it: "USER/NAME@COMMIT", or a path.
        given: its own splits, "train" and perhaps "validation" and "test", each with columns
            `image` and `label`, the same ClassLabel in all.
        notes: what was renamed and what is not used, a line each, for people.
    """

    name: str
    given: datasets.DatasetDict
    notes: list[str] = field(default_factory=list)

    @cached_property
    def splits(self) -> datasets.DatasetDict:
        """All three splits; those that were not given are held out of the training split.

        Raises:
            InputError: see `hold_out`.
        """
        return mark_twins(hold_out(self.given, self.name))

    @property
    def title(self) -> str:
        """What to call it in a record: a Hub repository as it is, a folder by its name."""
        return dataset_name(self.name)

    def rows(self, split: str) -> datasets.Dataset:
        """Return a split with columns `image` and `label` (a ClassLabel).

        Args:
            split: "train", "validation" or "test".

        Raises:
            InputError: there is no such split, or see `hold_out`.
        """
        if split not in SPLITS:
            raise InputError(f"split must be one of {SPLITS}. Received: {split!r}")
        return self.splits[split]

    def fresh_rows(self, split: str) -> datasets.Dataset:
        """Return `rows` without the images of which another split has a copy."""
        rows = self.rows(split)
        if "cross_split_twin" in rows.column_names:
            rows = rows.select(np.flatnonzero(~np.asarray(rows["cross_split_twin"], bool)))
        return rows

    def split(self, split: str, config: ModelConfig) -> Split:
        """Decode a split into model input.

        Args:
            split: "train", "validation" or "test".
            config: says the input that the model wants, and its classes: images of others are
                left out.

        Raises:
            InputError: an image cannot be decoded, a label has no name, or a class is missing.
        """
        return decode_split(
            self.rows(split), f"{self.name}[{split}]", config, self._source_of(split)
        )

    @cached_property
    def unread_in_test(self) -> str:
        """Which pictures of the test split cannot be read, for people; empty where all can."""
        try:
            refuse_unread(self.rows("test"), f"{self.name}[test]", self._source_of("test"))
        except InputError as error:
            return str(error)
        return ""

    def _source_of(self, split: str) -> str:
        """Return the given split that the rows of `split` are from."""
        return split if split in self.given else "train"

    def class_names(self, wanted: Collection[str] = ()) -> tuple[str, ...]:
        """Return the class names in the order of the labels.

        Args:
            wanted: those to keep; all where there are none.

        Raises:
            InputError: one that is wanted is missing.
        """
        names = tuple(self.rows("train").features["label"].names)
        if missing := sorted(set(wanted) - set(names)):
            raise InputError(f"{self.name} must have the classes {missing}, too. Received: {names}")
        return tuple(name for name in names if name in wanted or not wanted)

    def describe(self) -> str:
        """Return a table of splits and classes, and what is not used, for people."""
        names = self.rows("train").features["label"].names
        counts = {
            split: Counter(names[label] for label in self.rows(split)["label"]) for split in SPLITS
        }
        held = [split for split in SPLITS if split not in self.given]
        lines = [format_counts(counts, names)]
        lines += [f"{split}: a seventh of each class, held out of train" for split in held]
        return "\n".join([f"data set {self.title}", *lines, *self.notes])


def default_dataset() -> str:
    """Return the data set to use when none is named: FER_DATASET.

    Raises:
        InputError: that is not set.
    """
    if named := os.environ.get("FER_DATASET"):
        return named
    raise InputError(
        "a data set is needed: --dataset or FER_DATASET, a Hub repository, as "
        "AutumnQiu/fer2013, a folder or a .csv file. Received: none"
    )


def hold_out(source: datasets.DatasetDict, dataset: str) -> datasets.DatasetDict:
    """Add a test and a validation split, from the training split, where they are missing.

    Args:
        source: splits with a ClassLabel column `label`; "train" is among them.
        dataset: what errors call it.

    Raises:
        InputError: a class without a picture, or too few pictures to hold some out.
    """
    source = datasets.DatasetDict(source)
    labels = np.asarray(source["train"]["label"], np.int64)
    names = source["train"].features["label"].names
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    if not counts.all():
        empty = [name for name, count in zip(names, counts, strict=False) if not count]
        raise InputError(f"every class of {dataset}[train] must have pictures. None in: {empty}")
    for missing in ("test", "validation"):
        if missing not in source:
            try:
                source["train"], source[missing] = _hold_out(source["train"])
            except ValueError as error:
                found = dict(zip(names, counts.tolist(), strict=False))
                raise InputError(
                    f"{dataset} must have a split {missing!r}, or enough pictures of each "
                    f"class to hold some out. Received: {found}"
                ) from error
    if COPIES in source["train"].column_names:
        source = datasets.DatasetDict(
            {
                split: rows.remove_columns(COPIES) if COPIES in rows.column_names else rows
                for split, rows in source.items()
            }
        )
    return source


def _hold_out(rows: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Split a part off rows, the same of each class; copies stay together.

    Raises:
        ValueError: there are too few of a class.
    """
    split = partial(
        datasets.Dataset.train_test_split,
        test_size=1 / _HELD_OUT,
        stratify_by_column="label",
        seed=0,
    )
    if COPIES not in rows.column_names:
        parts = split(rows)
        return parts["train"], parts["test"]
    groups = np.asarray(rows[COPIES])
    # Pictures without copies are groups of their own.
    groups = np.where(groups < 0, groups.max() + 1 + np.arange(len(groups)), groups)
    _, first = np.unique(groups, return_index=True)
    first = np.sort(first)
    alone = datasets.Dataset.from_dict(
        {"label": np.asarray(rows["label"])[first], "group": groups[first]},
        features=datasets.Features(label=rows.features["label"], group=datasets.Value("int64")),
    )
    held = np.isin(groups, split(alone)["test"]["group"])
    return rows.select(np.flatnonzero(~held)), rows.select(np.flatnonzero(held))


def open_dataset(dataset: str, reading: Reading | None = None) -> OpenDataset:
    """Open a data set of any kind; every reader of images comes through here, once in a run.

    Pictures of FER-2013 are known by their content, see `train.data.signatures.recognize`; exact
    copies of others are not used in two splits, see `train.data.copies.drop_copies`.

    Args:
        dataset: a data set of the Hub, "USER/NAME" or "USER/NAME@REVISION" (commit, branch or
            tag; see `pin_dataset`), with "hf://datasets/" before it or not; a folder with
            pictures in a folder a class, with or without folders of splits (see
            `train.data.listing.list_pictures`), with metadata files or with Parquet files;
            AffectNet or RAF-DB as they are handed out, see `train.data.layouts.open_layout`; or a
            CSV file with `pixels` in the layout of fer2013.csv.
        reading: what the caller knows of how to read it.

    Raises:
        InputError: it cannot be read, or not in one way alone.
        HubError: a data set of the Hub is unavailable.
    """
    name = pin_dataset(dataset)
    splits, notes = _open(name, reading or Reading())
    if "train" not in splits:
        raise InputError(f"{name} must have a split 'train'. Received: {sorted(splits)}")
    splits = datasets.DatasetDict({split: _numbered(rows) for split, rows in splits.items()})
    splits, found = recognize(splits)
    splits, copies = drop_copies(splits, Path(name))
    return OpenDataset(name, splits, notes + found + copies + _comparable(name, splits))


def _open(name: str, reading: Reading) -> tuple[datasets.DatasetDict, list[str]]:
    """Open a data set, without a look at what its pictures are."""
    path = Path(name)
    if parse_repository(name) is not None:
        return read_columns(open_pinned(name), name, reading)
    if is_table(name):
        return open_csv_file(path, reading)
    if (layout := open_layout(path)) is not None:
        return read_columns(layout, name, reading)
    if path.is_dir():
        return open_folder(path, reading)
    raise InputError(
        f"{name} must be a Hub repository, a folder or a .csv file with labelled pictures. "
        "Received: nothing of that name, or another file"
    )


def _numbered(rows: datasets.Dataset) -> datasets.Dataset:
    """Return `rows` with the number of each, which stays when others are left out."""
    if SOURCE_ROW in rows.column_names:
        rows = rows.remove_columns(SOURCE_ROW)
    return rows.add_column(SOURCE_ROW, np.arange(len(rows)))


def _comparable(dataset: str, splits: datasets.DatasetDict) -> list[str]:
    """Say that a copy of FER-2013 has other splits than the challenge; nothing otherwise."""
    rows = {split: len(splits[split]) for split in SPLITS if split in splits}
    known = set(splits["train"].features["label"].names) == set(CSV_CLASSES)
    called = re.search(r"fer[-_ ]?2013", dataset_name(dataset), re.IGNORECASE)
    total = sum(_CHALLENGE_ROWS.values())
    if not known or rows == _CHALLENGE_ROWS or not (called or sum(rows.values()) == total):
        return []
    found, wanted = (
        " / ".join(f"{count:,}" for count in each.values()) for each in (rows, _CHALLENGE_ROWS)
    )
    return [
        f"its splits ({found}) are not the challenge's ({wanted}): figures cannot be compared "
        "with those of others"
    ]
