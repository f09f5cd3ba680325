"""Labelled face crops from any `datasets` source, as the arrays that the model eats.

Images pass through `fer.preprocess.to_model_input`, the same function that a webcam frame
passes through.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from fer.image import image_to_frame
from fer.preprocess import to_model_input
from fer.types import ModelConfig

__all__ = [
    "Split",
    "dataset_name",
    "default_dataset",
    "load_class_names",
    "load_rows",
    "load_split",
]

_LOCAL_COPY = Path("../shared/data/fer2013")
# Column of each class in FER+'s votes, https://github.com/microsoft/FERPlus
_FERPLUS_COLUMNS = {
    "neutral": 0,
    "happy": 1,
    "surprise": 2,
    "sad": 3,
    "angry": 4,
    "disgust": 5,
    "fear": 6,
}


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
        sha256: digest of the stored pixels and labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    twin: NDArray[np.bool_]
    votes: NDArray[np.float32] | None
    class_names: tuple[str, ...]
    sha256: str


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
    return Path(dataset).name if Path(dataset).exists() else dataset


def load_rows(dataset: str, split: str) -> datasets.Dataset:
    """One split of `dataset` with its columns `image` and `label` checked.

    Raises:
        InputError: split or column missing, or `label` is no ClassLabel.
    """
    try:
        rows = datasets.load_dataset(dataset, split=split)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{dataset} must be a data set with a split {split!r}. Received: {error}"
        ) from error
    missing = {"image", "label"} - set(rows.column_names)
    if missing:
        raise InputError(
            f"{dataset} must have columns `image` and `label`. Received: {rows.column_names}"
        )
    if not isinstance(rows.features["label"], datasets.ClassLabel):
        raise InputError(
            f"`label` of {dataset} must be a ClassLabel. Received: {rows.features['label']}"
        )
    return rows


def load_class_names(dataset: str) -> tuple[str, ...]:
    """The class names of `dataset` in the order of its labels.

    Raises:
        InputError: no training split, or no ClassLabel column `label`.
    """
    return tuple(load_rows(dataset, "train").features["label"].names)


def load_split(dataset: str, split: str, config: ModelConfig) -> Split:
    """Decode one split into model input.

    Args:
        dataset: Hub repository or folder, as `datasets.load_dataset` takes it.
        split: "train", "validation" or "test".
        config: says the input that the model wants.

    Raises:
        InputError: split or column missing, an image that cannot be decoded, or a label
            outside the class names.
    """
    rows = load_rows(dataset, split)
    class_names = tuple(rows.features["label"].names)
    if class_names != config.class_names:
        raise InputError(
            f"{dataset} must have the classes {config.class_names}. Received: {class_names}"
        )
    labels = np.asarray(rows["label"], np.int64)
    if not ((labels >= 0) & (labels < len(class_names))).all():
        raise InputError(
            f"labels of {dataset}[{split}] must be 0..{len(class_names) - 1}. "
            f"Received: {sorted(set(labels.tolist()))}"
        )
    digest = hashlib.sha256()
    images = np.empty((len(rows), config.input_size, config.input_size, config.channels), np.uint8)
    for i in range(len(rows)):
        try:
            pixels = image_to_frame(rows[i]["image"])
        except OSError as error:
            raise InputError(
                f"{dataset}[{split}][{i}] must be a picture. Received: {error}"
            ) from error
        digest.update(pixels.tobytes())
        images[i] = to_model_input([pixels], config)[0]
    digest.update(labels.tobytes())
    if "cross_split_twin" in rows.column_names:
        twin = np.asarray(rows["cross_split_twin"], np.bool_)
    else:
        twin = np.zeros(len(rows), np.bool_)
    return Split(images, labels, twin, _votes(rows, class_names), class_names, digest.hexdigest())


def _votes(rows: datasets.Dataset, class_names: tuple[str, ...]) -> NDArray[np.float32] | None:
    """FER+ votes for our classes; those for contempt, unknown and no face are left out."""
    if "ferplus_votes" not in rows.column_names:
        return None
    counted = np.asarray(rows["ferplus_votes"], np.float32)
    votes = np.zeros((len(rows), len(class_names)), np.float32)
    for i, name in enumerate(class_names):
        if name in _FERPLUS_COLUMNS:
            votes[:, i] = counted[:, _FERPLUS_COLUMNS[name]]
    return votes
