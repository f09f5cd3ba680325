"""Labelled face crops from any `datasets` source, as the arrays that the model eats.

Images pass through `fer.preprocess.to_model_input`, the same function that a webcam frame
passes through.
"""

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer.batch.data import HUB_PREFIX
from fer.errors import HubError, InputError
from fer.hub import _reason
from fer.image import image_to_frame, picture_suffixes
from fer.preprocess import to_model_input
from fer.text import printable
from fer.types import ModelConfig
from train.columns import (
    CSV_CLASSES,
    LABEL_NAMES,
    PIXEL_NAMES,
    find_column,
    picture_of_text,
    read_columns,
)
from train.layouts import open_layout
from train.listing import Reading, format_counts, list_pictures, walk
from train.names import SPLITS, expression_of, split_of
from train.signatures import mark_twins, recognize

__all__ = [
    "CSV_CLASSES",
    "CSV_SPLITS",
    "FERPLUS_COUNTS",
    "SPLITS",
    "VOTE_CLASSES",
    "Opened",
    "Source",
    "Split",
    "dataset_name",
    "default_dataset",
    "describe_dataset",
    "hold_out",
    "load_class_names",
    "load_fresh_rows",
    "load_rows",
    "load_split",
    "majority_votes",
    "open_csv",
    "open_dataset",
    "pin_dataset",
    "select_classes",
    "vote_shares",
    "vote_winners",
]

# A seventh of each class for test, then a seventh of what is left for validation.
_HELD_OUT = 7
# The challenge's own names and order, https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
CSV_SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
# Columns of FER+'s votes, https://github.com/microsoft/FERPlus
FERPLUS_COUNTS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "nf",
)
# What the first of them are called here.
_FERPLUS_COLUMNS = {
    name: column
    for column, name in enumerate(
        ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
    )
}
# The classes of the votes' head, in FER+'s order: all but unknown and not-a-face.
VOTE_CLASSES = (*_FERPLUS_COLUMNS, "contempt")
# The rows of each, and what may be said to be of FER-2013.
_CHALLENGE_ROWS = {"train": 28709, "validation": 3589, "test": 3589}
_REPOSITORY = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@(.+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# No column of a file: those are stripped.
_LINE = " line"
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SCRIPT = re.compile(r"scripts are no longer supported, but found (\S+)")


@dataclass(frozen=True)
class Split:
    """One split, decoded.

    Attributes:
        images: (n, s, s, c) uint8 model input.
        labels: (n,) int64 index into `class_names`.
        twin: (n,) bool: a copy of the same photograph stands in another split. All False
            where the data set has no `cross_split_twin` column.
        votes: (n, k) float32 FER+ votes for each class; None where the data set has no
            `ferplus_votes` column.
        class_names: from the data set's own ClassLabel, in its order.
        sha256: digest of the stored pixels and labels, of images that are left out, too.
        majority: (n,) int64 index of the class with most of all FER+ votes; -1 where that
            is contempt, unknown, no face or a class that the data set lacks, or where two
            have as many. None where there are no votes.
        shares: (n, 8) float32 share of the votes for each of `VOTE_CLASSES`, as
            `vote_shares` computes it. None where there are no votes.
        winners: (n,) int64 index into `VOTE_CLASSES` of the class with most votes, or -1, as
            `vote_winners` computes it. None where there are no votes.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    twin: NDArray[np.bool_]
    votes: NDArray[np.float32] | None
    class_names: tuple[str, ...]
    sha256: str
    majority: NDArray[np.int64] | None = None
    shares: NDArray[np.float32] | None = None
    winners: NDArray[np.int64] | None = None

    def rows(self, index: NDArray[np.int64]) -> "Split":
        """The images that `index` (m,) names, in its order; `sha256` stays the whole split's."""
        columns = ("images", "labels", "twin", "votes", "majority", "shares", "winners")
        picked = {key: getattr(self, key) for key in columns if getattr(self, key) is not None}
        return replace(self, **{key: column[index] for key, column in picked.items()})


class Source(str):
    """The name of a data set, with how to read it; everything else takes it for its name.

    Attributes:
        reading: what the caller knows of it.
    """

    reading: Reading

    def __new__(cls, name: str, reading: Reading) -> "Source":
        """Join a name and how to read what it names."""
        source = super().__new__(cls, name)
        source.reading = reading
        return source

    def __getnewargs__(self) -> tuple[str, Reading]:  # type: ignore[override]
        """Return what a copy in another process is made of."""
        return str(self), self.reading


def default_dataset() -> str:
    """The data set to use when none is named: FER_DATASET.

    Raises:
        InputError: that is not set.
    """
    if named := os.environ.get("FER_DATASET"):
        return named
    raise InputError(
        "a data set is needed: --dataset or FER_DATASET, a Hub repository, as "
        "AutumnQiu/fer2013, a folder or a .csv file. Received: none"
    )


def dataset_name(dataset: str) -> str:
    """What to call `dataset` in a record: a Hub repository as it is, a folder by its name."""
    if Path(dataset).exists():
        return Path(dataset).name
    return dataset.removeprefix(HUB_PREFIX)


def _repository(dataset: str) -> tuple[str, str | None] | None:
    """Name and revision of a data set of the Hub; None where `dataset` can be none."""
    if Path(dataset).exists() or _is_csv(dataset):
        return None
    found = _REPOSITORY.fullmatch(dataset.removeprefix(HUB_PREFIX))
    return None if found is None else (found[1], found[2])


def pin_dataset(dataset: str) -> str:
    """`dataset` with the commit that it stands at, so that all who read it read the same.

    HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub.

    Args:
        dataset: see `load_rows`.

    Returns:
        "USER/NAME@COMMIT" for a data set of the Hub; where the Hub must not be asked
        (HF_HUB_OFFLINE), the commit is that of the newest copy in the cache of `datasets`.
        Anything else as it came.

    Raises:
        HubError: the Hub has no such data set or revision, shows it to others only, or cannot
            be asked.
    """
    if isinstance(dataset, Source):
        return Source(pin_dataset(str(dataset)), dataset.reading)
    repository = _repository(dataset)
    if repository is None:
        return dataset
    name, revision = repository
    if revision is not None and _COMMIT.fullmatch(revision):
        return f"{name}@{revision}"
    from huggingface_hub import HfApi
    from huggingface_hub.constants import DEFAULT_REVISION
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        # By its name, because mirrors of the Hub do not all know what is meant by none.
        commit = HfApi().dataset_info(name, revision=revision or DEFAULT_REVISION).sha
    except OfflineModeIsEnabled as error:
        if revision is not None:
            raise HubError(
                f"without asking the Hub, the revision of {name} must be a whole commit. "
                f"Received: {revision}"
            ) from error
        commit = _cached_commit(_load(name, None))
    except Exception as error:  # of the client, and of whichever HTTP library it uses
        raise HubError(_unavailable(dataset, error)) from error
    return f"{name}@{commit}"


def _unavailable(dataset: str, error: Exception) -> str:
    return f"no such folder or file, and cannot have the data set {dataset}: {_reason(error)}"


def _load(name: str, commit: str | None) -> datasets.DatasetDict:
    try:
        return datasets.load_dataset(name, revision=commit, keep_in_memory=False)
    except Exception as error:  # of the client, and of whichever HTTP library it uses
        where = name if commit is None else f"{name}@{commit}"
        if script := _SCRIPT.search(str(error)):
            raise HubError(_needs_script(where, script[1])) from error
        raise HubError(_unavailable(where, error)) from error


def _needs_script(dataset: str, script: str) -> str:
    return (
        f"a data set must be files of pictures or Parquet. Received: {dataset}, which needs its "
        f"loading script {script}, and `datasets` no longer runs any; of FER-2013, take "
        "AutumnQiu/fer2013"
    )


def _cached_commit(splits: datasets.DatasetDict) -> str:
    """The commit that splits of the Hub are of; `datasets` calls their folder by it."""
    first = next(iter(splits.values()))
    return Path(first.cache_files[0]["filename"]).parent.name


def _open_pinned(dataset: str) -> datasets.DatasetDict:
    name, _, commit = pin_dataset(dataset).partition("@")
    splits = _load(name, commit)
    # Whatever goes wrong, `datasets` falls back on the newest copy in its cache, of any commit.
    if (found := _cached_commit(splits)) != commit:
        raise HubError(
            f"cannot have the data set {name}@{commit}: the Hub does not give it, and the cache "
            f"has {found}"
        )
    return splits


def load_rows(dataset: str, split: str) -> datasets.Dataset:
    """One split of `dataset`, with columns `image` and `label` (a ClassLabel).

    Args:
        dataset: a data set of the Hub, "USER/NAME" or "USER/NAME@REVISION" (commit, branch or
            tag; see `pin_dataset`), with "hf://datasets/" before it or not; a folder with
            pictures in a folder a class, with or without folders of splits (see
            `train.listing.list_pictures`), with metadata files or with Parquet files; AffectNet or
            RAF-DB as they are handed out, see `train.layouts.open_layout`; or a CSV file with
            `pixels` in the layout of fer2013.csv. A `Source` says how to read it, too.
        split: "train", "validation" or "test". A test or validation split that `dataset`
            lacks is held out of its training split: every `_HELD_OUT`-th part of each
            class, the same each time.

    Raises:
        InputError: no training split, a column missing, a class without a picture, or
            too few pictures to hold some out.
        HubError: a data set of the Hub cannot be had.
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {SPLITS}. Received: {split!r}")
    return mark_twins(hold_out(open_dataset(dataset).splits, dataset))[split]


def hold_out(source: datasets.DatasetDict, dataset: str) -> datasets.DatasetDict:
    """`source`, with a test and a validation split from its training split where it has none.

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
                parts = source["train"].train_test_split(
                    test_size=1 / _HELD_OUT, stratify_by_column="label", seed=0
                )
            except ValueError as error:
                found = dict(zip(names, counts.tolist(), strict=False))
                raise InputError(
                    f"{dataset} must have a split {missing!r}, or enough pictures of each "
                    f"class to hold some out. Received: {found}"
                ) from error
            source["train"], source[missing] = parts["train"], parts["test"]
    return source


@dataclass(frozen=True)
class Opened:
    """A data set as it is given, under our names.

    Attributes:
        splits: "train" and perhaps "validation" and "test", each with columns `image` and
            `label`, the same ClassLabel in all.
        notes: what was renamed and what is not used, a line each, for people.
    """

    splits: datasets.DatasetDict
    notes: list[str]


def open_dataset(dataset: str) -> Opened:
    """Open a data set of any kind; every reader of images comes through here.

    Pictures of FER-2013 are known by their content, see `train.signatures.recognize`.

    Args:
        dataset: see `load_rows`.

    Raises:
        InputError: it cannot be read, or not in one way alone.
        HubError: a data set of the Hub cannot be had.
    """
    opened = _open(dataset)
    if "train" not in opened.splits:
        raise InputError(f"{dataset} must have a split 'train'. Received: {sorted(opened.splits)}")
    splits, found = recognize(opened.splits)
    return Opened(splits, opened.notes + found + _comparable(dataset, splits))


def _open(dataset: str) -> Opened:
    """Open a data set; what its pictures are is not looked at."""
    reading = dataset.reading if isinstance(dataset, Source) else Reading()
    path = Path(dataset)
    if _repository(dataset) is not None:
        return Opened(*read_columns(_open_pinned(dataset), dataset, reading))
    if _is_csv(dataset):
        opened = _open_csv(path, reading)
    elif (layout := open_layout(path)) is not None:
        opened = Opened(*read_columns(layout, dataset, reading))
    elif path.is_dir():
        opened = _open_folder(path, reading)
    else:
        raise InputError(
            f"{dataset} must be a Hub repository, a folder or a .csv file with labelled pictures. "
            "Received: nothing of that name, or another file"
        )
    return opened


def _comparable(dataset: str, splits: datasets.DatasetDict) -> list[str]:
    """What must be said of a copy of FER-2013 with other splits than the challenge's."""
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


def describe_dataset(dataset: str) -> str:
    """Return a table of the splits and classes of `dataset`, and what is not used, for people.

    Raises:
        InputError: see `load_rows`.
        HubError: a data set of the Hub cannot be had.
    """
    opened = open_dataset(dataset)
    splits = hold_out(opened.splits, dataset)
    names = splits["train"].features["label"].names
    counts = {split: Counter(names[label] for label in splits[split]["label"]) for split in SPLITS}
    held = [split for split in SPLITS if split not in opened.splits]
    lines = [format_counts(counts, names)]
    lines += [f"{split}: a seventh of each class, held out of train" for split in held]
    return "\n".join([f"data set {dataset_name(dataset)}", *lines, *opened.notes])


def _is_csv(dataset: str) -> bool:
    return dataset.lower().endswith(".csv")


def _open_folder(folder: Path, reading: Reading) -> Opened:
    """Pictures in folders, or what `datasets` reads in a folder."""
    folder = folder.absolute()
    files = [each for each in walk(folder) if not _is_hidden(each, folder)]
    tables = [each for each in files if each.suffix.lower() == ".csv"]
    metadata = [each for each in files if each.name.lower() in _METADATA]
    pictures = [each for each in files if each.suffix.lower() in picture_suffixes()]
    stored = any(
        each.suffix.lower() in (".parquet", ".arrow") and each not in metadata for each in files
    )
    if pictures and not metadata and not stored:
        return _open_pictures(folder, reading)
    if not pictures and not stored and len(tables) == 1:
        return _open_csv(tables[0], reading)
    left: list[str] = []
    try:
        if metadata and not stored:
            named = [glob.escape(str(each)) for each in (*metadata, *pictures)]
            rows = datasets.load_dataset("imagefolder", data_files=named, split="train")
        else:
            source = datasets.load_dataset(str(folder))
            if pictures:
                left = [f"not used: {len(pictures)} pictures beside the files of tables"]
    except Exception as error:  # `datasets` raises what its readers do
        if script := _SCRIPT.search(str(error)):
            raise InputError(_needs_script(str(folder), script[1])) from error
        raise InputError(
            f"{folder} must be a folder of labelled pictures. Received: {_reason(error)}"
        ) from error
    if metadata and not stored:
        columns = {name.casefold() for name in rows.features}
        if reading.label_column is None and not columns & set(LABEL_NAMES):
            return _open_pictures(folder, reading)  # it says other things of the pictures
        source, left = _split_by_folder(rows, folder, pictures)
    splits, notes = read_columns(source, str(folder), reading)
    return Opened(splits, notes + left)


def _split_by_folder(
    rows: datasets.Dataset, folder: Path, pictures: list[Path]
) -> tuple[datasets.DatasetDict, list[str]]:
    """Rows of pictures by the split that the folders above each name; what no row names."""
    stored = rows.cast_column("image", datasets.Image(decode=False))["image"]
    paths = [Path(each["path"]) for each in stored]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise InputError(
            f"metadata of {folder} must list each picture once. Received: {len(twice)} twice, as "
            f"{printable(str(twice[0].relative_to(folder)))}"
        )
    index: dict[str, list[int]] = {}
    for i, path in enumerate(paths):
        index.setdefault(_split_above(path, folder) or "train", []).append(i)
    source = datasets.DatasetDict({split: rows.select(each) for split, each in index.items()})
    lone = sorted(set(pictures) - set(paths))
    if not lone:
        return source, []
    first = printable(str(lone[0].relative_to(folder)))
    return source, [f"not used: {len(lone)} pictures that no metadata lists, as {first}"]


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _split_above(file: Path, folder: Path) -> str | None:
    """The split that the folders above `file` name; None where none does."""
    parts = file.parent.relative_to(folder).parts
    return next((split for part in parts if (split := split_of(part))), None)


def _open_pictures(folder: Path, reading: Reading) -> Opened:
    listing = list_pictures(folder, reading)
    classes = sorted({name for rows in listing.pictures.values() for _, name in rows})
    if len(classes) < 2:
        raise InputError(
            f"{folder} must have pictures in a folder a class, two of them at least. "
            f"Received: {classes}"
        )
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=classes))
    splits = datasets.DatasetDict()
    for split in SPLITS:
        if rows := listing.pictures.get(split):
            splits[split] = datasets.Dataset.from_dict(
                {
                    "image": [_stored(path) for path, _ in rows],
                    "label": [classes.index(name) for _, name in rows],
                },
                features=features,
            )
    if "train" in splits:
        there = {name for _, name in listing.pictures["train"]}
        if missing := sorted(set(classes) - there):
            raise InputError(
                f"every class of {folder}[train] must have pictures. None in: {missing}"
            )
    return Opened(splits, listing.notes + listing.accounts())


def _stored(path: Path) -> dict[str, object]:
    """A picture as `datasets` stores it: by its path, where Arrow can hold that."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return {"bytes": path.read_bytes(), "path": None}
    return {"bytes": None, "path": str(path.absolute())}


def open_csv(path: Path, reading: Reading | None = None) -> tuple[datasets.DatasetDict, pd.Series]:
    """A file in the layout of fer2013.csv.

    Names of columns and of splits may be in any case, cells may be parted by commas, semicolons
    or tabs, labels may be names; rows without any cell are not used.

    Args:
        path: with columns emotion, pixels (numbers between blanks, square) and perhaps Usage.
        reading: what the caller knows of it.

    Returns:
        The splits, with columns `image`, `label` and `csv_row`, the number of the row; and
        the `Usage` of all rows, in the challenge's words.

    Raises:
        InputError: it is not such a file; the row is named by its line in the file.
    """
    table = _read_csv(path)
    label_column, pixel_column, usage = _csv_columns(table, path, reading or Reading())
    used_as = {split: used for used, split in CSV_SPLITS.items()}
    usage = pd.Series([used_as[each] for each in usage], table.index, dtype=object)
    labels = [
        _csv_label(text, f"row {line} of {path}", label_column)
        for text, line in zip(table[label_column], table[_LINE], strict=True)
    ]
    order = sorted(CSV_CLASSES)
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=order),
        csv_row=datasets.Value("int32"),
    )
    splits = datasets.DatasetDict()
    for used, split in CSV_SPLITS.items():
        rows = np.flatnonzero(usage == used)
        if len(rows):
            columns = {
                "image": [
                    picture_of_text(
                        table[pixel_column].iloc[i],
                        f"`{pixel_column}` of row {table[_LINE].iloc[i]} of {path}",
                    )
                    for i in rows
                ],
                "label": [order.index(labels[i]) for i in rows],
                "csv_row": rows.tolist(),
            }
            splits[split] = datasets.Dataset.from_dict(columns, features=features)
    return splits, usage


def _open_csv(path: Path, reading: Reading) -> Opened:
    splits, _ = open_csv(path, reading)
    blank = _read_csv(path).attrs["blank"]
    lines = ", ".join(map(str, blank[:3]))
    return Opened(splits, [f"not used: {len(blank)} blank rows, as {lines}"] if blank else [])


def _read_csv(path: Path) -> pd.DataFrame:
    """All cells as text, and `_LINE`, where each row stands in the file; without blank rows."""
    if not path.is_file():
        raise InputError(f"{path} must be a file. Received: nothing of that name")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
        mark = max(",;\t", key=header.count)
        table = pd.read_csv(
            path,
            sep=mark,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            skip_blank_lines=False,
            index_col=False,
            encoding="utf-8-sig",
        )
    except (ValueError, OSError) as error:  # pandas's own are among them
        raise InputError(f"{path} must be a table. Received: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    table = table.apply(lambda column: column.str.strip())
    table[_LINE] = np.arange(len(table)) + 2
    cells = table.drop(columns=_LINE)
    blank = (cells == "").all(axis=1) if len(cells.columns) else pd.Series(dtype=bool)
    kept = table[~blank].reset_index(drop=True)
    kept.attrs["blank"] = table[_LINE][blank].tolist()
    return kept


def _csv_columns(table: pd.DataFrame, path: Path, reading: Reading) -> tuple[str, str, list[str]]:
    """Names of the columns of labels and pixels, and the split of each row."""
    columns = [name for name in table.columns if name != _LINE]
    what = f"{path} (columns `emotion` and `pixels`)"
    label = find_column(columns, reading.label_column, LABEL_NAMES, what, "--label-column")
    pixels = find_column(columns, reading.image_column, PIXEL_NAMES, what, "--image-column")
    named = [name for name in columns if name.casefold() in ("usage", "split")]
    if not named:
        return label, pixels, ["train"] * len(table)
    usage = [split_of(text) for text in table[named[0]]]
    for split, text, line in zip(usage, table[named[0]], table[_LINE], strict=True):
        if split is None:
            raise InputError(
                f"`{named[0]}` must be one of {list(CSV_SPLITS)} in row {line} of {path}. "
                f"Received: {text!r}"
            )
    return label, pixels, [str(split) for split in usage]


def _csv_label(text: str, where: str, column: str) -> str:
    """The class of a cell, a number of the challenge or a name."""
    try:
        number = float(text)
        name = CSV_CLASSES[int(number)] if number in range(len(CSV_CLASSES)) else None
    except ValueError:
        name = expression_of(text)
    if name not in CSV_CLASSES:
        raise InputError(
            f"`{column}` must be 0..{len(CSV_CLASSES) - 1} or one of {list(CSV_CLASSES)} in "
            f"{where}. Received: {text!r}"
        )
    return name


def load_fresh_rows(dataset: str, split: str) -> datasets.Dataset:
    """`load_rows` without the images of which another split has a copy."""
    rows = load_rows(dataset, split)
    if "cross_split_twin" in rows.column_names:
        rows = rows.select(np.flatnonzero(~np.asarray(rows["cross_split_twin"], bool)))
    return rows


def load_class_names(dataset: str, wanted: Collection[str] = ()) -> tuple[str, ...]:
    """The class names of `dataset` in the order of its labels.

    Args:
        dataset: see `load_rows`.
        wanted: those to keep; all where there are none.

    Raises:
        InputError: no training split, no ClassLabel column `label`, or one that is wanted is
            not among its names.
    """
    names = tuple(load_rows(dataset, "train").features["label"].names)
    if missing := sorted(set(wanted) - set(names)):
        raise InputError(f"{dataset} must have the classes {missing}, too. Received: {names}")
    return tuple(name for name in names if name in wanted or not wanted)


def select_classes(
    rows: datasets.Dataset, class_names: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of `rows` show one of `class_names`, and which one.

    Args:
        rows: with a ClassLabel column `label`.
        class_names: all classes of `rows` or some, in the order of its labels.

    Returns:
        (n,) the numbers of the rows, and (n,) int64 index into `class_names`.

    Raises:
        InputError: `rows` lacks a class, has them in another order, or a label has no name.
    """
    names = rows.features["label"].names
    if tuple(name for name in names if name in class_names) != class_names:
        raise InputError(
            f"the data set must have the classes {class_names}. Received: {tuple(names)}"
        )
    labels = np.asarray(rows["label"], np.int64)
    if not ((labels >= 0) & (labels < len(names))).all():
        raise InputError(
            f"labels must be 0..{len(names) - 1}. Received: {sorted(set(labels.tolist()))}"
        )
    kept = np.array([name in class_names for name in names])
    index = np.flatnonzero(kept[labels])
    return index, (np.cumsum(kept) - 1)[labels[index]]


def load_split(dataset: str, split: str, config: ModelConfig) -> Split:
    """Decode one split into model input.

    Args:
        dataset: see `load_rows`.
        split: "train", "validation" or "test".
        config: says the input that the model wants, and its classes: images of others are
            left out.

    Raises:
        InputError: split or column missing, an image that cannot be decoded, a label
            outside the class names, or a class that `dataset` lacks.
        HubError: a data set of the Hub cannot be had.
    """
    rows = load_rows(dataset, split)
    try:
        index, labels = select_classes(rows, config.class_names)
    except InputError as error:
        raise InputError(f"{dataset}[{split}]: {error}") from error
    digest = hashlib.sha256()
    n_images = len(index)
    places = dict(zip(index.tolist(), range(n_images), strict=True))
    images = np.empty((n_images, config.input_size, config.input_size, config.channels), np.uint8)
    for i in range(len(rows)):
        try:
            pixels = image_to_frame(rows[i]["image"])
        except Exception as error:  # decoders raise what they like
            raise InputError(
                f"{dataset}[{split}][{i}] must be a picture. Received: {error}"
            ) from error
        digest.update(pixels.tobytes())
        if i in places:
            images[places[i]] = to_model_input([pixels], config)[0]
    digest.update(np.asarray(rows["label"], np.int64).tobytes())
    if n_images < len(rows):
        rows = rows.select(index)
    if "cross_split_twin" in rows.column_names:
        twin = np.asarray(rows["cross_split_twin"], np.bool_)
    else:
        twin = np.zeros(n_images, np.bool_)
    return Split(
        images,
        labels,
        twin,
        _votes(rows, config.class_names),
        config.class_names,
        digest.hexdigest(),
        majority_votes(rows, config.class_names),
        *(
            (vote_shares(_counted(rows)), vote_winners(_counted(rows)))
            if "ferplus_votes" in rows.column_names
            else (None, None)
        ),
    )


def _counted(rows: datasets.Dataset) -> NDArray[np.int64]:
    """FER+'s ten counts of each image, (n, 10)."""
    counts = rows["ferplus_votes"]
    if not all(row is not None and len(row) == len(FERPLUS_COUNTS) for row in counts):
        raise InputError(
            f"`ferplus_votes` must be {len(FERPLUS_COUNTS)} counts an image. "
            "Received: fewer or more for some"
        )
    return np.asarray(counts, np.int64)


def _votes(rows: datasets.Dataset, class_names: tuple[str, ...]) -> NDArray[np.float32] | None:
    """FER+ votes for our classes; those for contempt, unknown and no face are left out."""
    if "ferplus_votes" not in rows.column_names:
        return None
    counted = _counted(rows).astype(np.float32)
    votes = np.zeros((len(rows), len(class_names)), np.float32)
    for i, name in enumerate(class_names):
        if name in _FERPLUS_COLUMNS:
            votes[:, i] = counted[:, _FERPLUS_COLUMNS[name]]
    return votes


def vote_shares(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how the votes of each image are shared among `VOTE_CLASSES`.

    Single votes are dropped as outliers, then those for unknown and not-a-face.

    Args:
        counts: (n, 10) FER+ counts, in the order of `FERPLUS_COUNTS`.

    Returns:
        (n, 8); rows sum to 1, or are 0 where unknown or not-a-face has most votes, alone or
        not, or no vote is left: such an image has no usable votes.

    Source: Barsoum et al. 2016, arXiv:1608.01041, section 3 and the code that goes with it.
    """
    kept = np.where(counts > 1, counts, 0).astype(np.float32)
    votes, others = kept[:, : len(VOTE_CLASSES)], kept[:, len(VOTE_CLASSES) :]
    total = votes.sum(axis=1, keepdims=True)
    usable = (total > 0) & (votes.max(axis=1) > others.max(axis=1))[:, None]
    return np.where(usable, votes / np.maximum(total, 1), 0).astype(np.float32)


def vote_winners(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class of `VOTE_CLASSES` with the majority of the votes of each image.

    Single votes are dropped as outliers. The winner has more than half of what is left, unknown
    and not-a-face counted in.

    Args:
        counts: (n, 10) FER+ counts, in the order of `FERPLUS_COUNTS`.

    Returns:
        (n,) int64; -1 where there is no such class, or it is unknown or not-a-face.

    Source: Barsoum et al. 2016, arXiv:1608.01041, and `_process_data` with mode "majority" of the
    code that goes with it, https://github.com/microsoft/FERPlus, src/ferplus.py.
    """
    kept = np.where(counts > 1, counts, 0)
    winner = kept.argmax(axis=1)
    has_majority = 2 * kept.max(axis=1) > kept.sum(axis=1)
    return np.where(has_majority & (winner < len(VOTE_CLASSES)), winner, -1)


def majority_votes(
    rows: datasets.Dataset, class_names: tuple[str, ...]
) -> NDArray[np.int64] | None:
    """Index of the class that won FER+'s vote for each image.

    Returns:
        (n,); -1 where none of `class_names` won, or not alone. None without votes.
    """
    if "ferplus_votes" not in rows.column_names:
        return None
    counted = _counted(rows)
    index = np.full(counted.shape[1], -1)
    for i, name in enumerate(class_names):
        if name in _FERPLUS_COLUMNS:
            index[_FERPLUS_COLUMNS[name]] = i
    alone = (counted == counted.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.where(alone, index[counted.argmax(axis=1)], -1)
