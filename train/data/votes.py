"""Votes of FER+: their columns, shares and winners."""

import datasets
import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError

__all__ = [
    "FERPLUS_COUNTS",
    "VOTE_CLASSES",
    "class_votes",
    "count_votes",
    "majority_votes",
    "vote_shares",
    "vote_winners",
]

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


def count_votes(rows: datasets.Dataset) -> NDArray[np.int64]:
    """Return FER+'s ten counts of each image, (n, 10).

    Raises:
        InputError: an image has more or fewer.
    """
    counts = rows["ferplus_votes"]
    if not all(row is not None and len(row) == len(FERPLUS_COUNTS) for row in counts):
        raise InputError(
            f"`ferplus_votes` must be {len(FERPLUS_COUNTS)} counts an image. "
            "Received: fewer or more for some"
        )
    return np.asarray(counts, np.int64)


def class_votes(rows: datasets.Dataset, class_names: tuple[str, ...]) -> NDArray[np.float32] | None:
    """Return FER+ votes (n, k) for our classes, without those for contempt, unknown and no face."""
    if "ferplus_votes" not in rows.column_names:
        return None
    counted = count_votes(rows).astype(np.float32)
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
    """Return the index of the class that won FER+'s vote for each image.

    Returns:
        (n,); -1 where none of `class_names` won, or not alone. None without votes.
    """
    if "ferplus_votes" not in rows.column_names:
        return None
    counted = count_votes(rows)
    index = np.full(counted.shape[1], -1)
    for i, name in enumerate(class_names):
        if name in _FERPLUS_COLUMNS:
            index[_FERPLUS_COLUMNS[name]] = i
    alone = (counted == counted.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.where(alone, index[counted.argmax(axis=1)], -1)
