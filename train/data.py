"""Labelled face crops from any `datasets` source, as the arrays that the model eats.

Images pass through `fer.preprocess.to_model_input`, the same function that a webcam frame
passes through.
"""

import hashlib
import math
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from fer.batch.data import HUB_PREFIX
from fer.errors import HubError, InputError
from fer.hub import _reason
from fer.image import image_to_frame
from fer.preprocess import to_model_input
from fer.types import ModelConfig
from train.layouts import open_layout

__all__ = [
    "CSV_CLASSES",
    "CSV_SPLITS",
    "FERPLUS_COUNTS",
    "SPLITS",
    "VOTE_CLASSES",
    "Split",
    "dataset_name",
    "default_dataset",
    "hold_out",
    "load_class_names",
    "load_fresh_rows",
    "load_rows",
    "load_split",
    "majority_votes",
    "open_csv",
    "pin_dataset",
    "select_classes",
    "vote_shares",
    "vote_winners",
]

SPLITS = ("train", "validation", "test")
_LOCAL_COPY = Path("../shared/data/fer2013")
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
CSV_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_REPOSITORY = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@(.+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


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


def default_dataset() -> str:
    """The data set to use when none is named: FER_DATASET, else the copy beside the project.

    Raises:
        InputError: neither exists.
    """
    if named := os.environ.get("FER_DATASET"):
        return named
    if _LOCAL_COPY.is_dir():
        return str(_LOCAL_COPY)
    raise InputError(
        "a data set is needed: --dataset or FER_DATASET, a Hub repository or a folder that "
        f"`datasets.load_dataset` reads. Received: none, and there is no {_LOCAL_COPY}"
    )


def dataset_name(dataset: str) -> str:
    """What to call `dataset` in a record: a Hub repository as it is, a folder by its name."""
    if Path(dataset).exists():
        return Path(dataset).name
    return dataset.removeprefix(HUB_PREFIX)


def _repository(dataset: str) -> tuple[str, str | None] | None:
    """Name and revision of a data set of the Hub; None where `dataset` can be none."""
    if Path(dataset).exists() or dataset.endswith(".csv"):
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
        raise HubError(_unavailable(where, error)) from error


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
            tag; see `pin_dataset`), with "hf://datasets/" before it or not; a folder that
            `datasets.load_dataset` reads (Parquet files, or pictures in a folder a class,
            with or without a folder a split above them); AffectNet or RAF-DB as they are
            handed out, see `train.layouts.open_layout`; or a CSV file with `pixels` in the
            layout of fer2013.csv.
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
    source = open_csv(Path(dataset))[0] if dataset.endswith(".csv") else _open(dataset)
    if "train" not in source:
        raise InputError(f"{dataset} must have a split 'train'. Received: {sorted(source)}")
    train = _checked(source["train"], f"{dataset}[train]")
    if train.features["label"] == datasets.Value("string"):
        train = train.class_encode_column("label")
    source = datasets.DatasetDict(
        {
            name: _labelled(rows, train.features["label"], f"{dataset}[{name}]")
            for name, rows in source.items()
        }
    )
    return hold_out(source, dataset)[split]


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


def _open(dataset: str) -> datasets.DatasetDict:
    if _repository(dataset) is not None:
        return _open_pinned(dataset)
    if (layout := open_layout(Path(dataset))) is not None:
        return layout
    try:
        return datasets.load_dataset(dataset)
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise InputError(
            f"{dataset} must be a Hub repository, a folder or a .csv file with labelled "
            f"pictures. Received: {error}"
        ) from error


def open_csv(path: Path) -> tuple[datasets.DatasetDict, pd.Series]:
    """A file in the layout of fer2013.csv.

    Args:
        path: with columns emotion, pixels (numbers between blanks, square) and Usage.

    Returns:
        The splits, with columns `image`, `label` and `csv_row`, the number of the row; and
        the `Usage` of all rows.

    Raises:
        InputError: it is not such a file.
    """
    if not path.is_file():
        raise InputError(f"{path} must be a file. Received: nothing of that name")
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except ValueError as error:  # pandas's own are among them
        raise InputError(f"{path} must be a table. Received: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    missing = {"emotion", "pixels"} - set(table.columns)
    if missing:
        raise InputError(
            f"{path} must have columns `emotion` and `pixels`. Received: {list(table.columns)}"
        )
    usage = table["Usage"] if "Usage" in table.columns else pd.Series("Training", table.index)
    unknown = set(usage) - set(CSV_SPLITS)
    if unknown:
        raise InputError(f"`Usage` must be one of {list(CSV_SPLITS)}. Received: {unknown}")
    names = list(CSV_CLASSES)
    if not table["emotion"].isin(range(len(names))).all():
        raise InputError(
            f"`emotion` must be 0..{len(names) - 1}. Received: {sorted(set(table['emotion']))}"
        )
    order = sorted(names)
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=order),
        csv_row=datasets.Value("int32"),
    )
    splits = {}
    for used, split in CSV_SPLITS.items():
        rows = table[usage == used]
        if len(rows):
            splits[split] = datasets.Dataset.from_dict(
                {
                    "image": [_csv_picture(text, path) for text in rows["pixels"]],
                    "label": [order.index(names[i]) for i in rows["emotion"]],
                    "csv_row": list(rows.index),
                },
                features=features,
            )
    return datasets.DatasetDict(splits), usage


def _csv_picture(text: str, path: Path) -> Image.Image:
    try:
        pixels = np.array(text.split(), np.uint8)
    except (ValueError, OverflowError, AttributeError) as error:
        raise InputError(f"`pixels` of {path} must be numbers 0..255. Received: {error}") from error
    side = math.isqrt(len(pixels))
    if side == 0 or side * side != len(pixels):
        raise InputError(f"`pixels` of {path} must be a square. Received: {len(pixels)} numbers")
    return Image.fromarray(pixels.reshape(side, side))


def _checked(rows: datasets.Dataset, what: str) -> datasets.Dataset:
    """`rows`, which have pictures and labels."""
    missing = {"image", "label"} - set(rows.column_names)
    if missing:
        raise InputError(
            f"{what} must have columns `image` and `label`, or pictures in a folder a class, two "
            f"of them at least. Received: {rows.column_names}"
        )
    if not isinstance(rows.features["image"], datasets.Image):
        raise InputError(f"`image` of {what} must be pictures. Received: {rows.features['image']}")
    label = rows.features["label"]
    if not isinstance(label, datasets.ClassLabel) and label != datasets.Value("string"):
        raise InputError(f"`label` of {what} must be a ClassLabel or names. Received: {label}")
    if None in rows.unique("label"):
        raise InputError(f"every picture of {what} must have a label. Received: some without")
    return rows


def _labelled(rows: datasets.Dataset, label: datasets.ClassLabel, what: str) -> datasets.Dataset:
    """`rows` with the classes of the training split, in its order."""
    if _checked(rows, what).features["label"] != datasets.Value("string"):
        return rows
    if unknown := sorted(set(rows.unique("label")) - set(label.names)):
        raise InputError(
            f"labels of {what} must be among {label.names}, as in train. Received: {unknown}"
        )
    return rows.cast_column("label", label)


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
