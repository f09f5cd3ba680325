"""Splits as the arrays that the model eats.

Images pass through `fer.preprocess.to_model_input`, the same function that a webcam frame passes
through.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from fer.errors import ImageError, InputError
from fer.image import image_to_frame, read_image
from fer.preprocess import to_model_input
from fer.text import one_line
from fer.types import ModelConfig
from train.data.columns import stored_pictures
from train.data.listing import join_some
from train.data.votes import class_votes, count_votes, majority_votes, vote_shares, vote_winners

__all__ = ["SOURCE_ROW", "Split", "decode_split", "refuse_unread", "select_classes"]

# A column: the number of a row in the split that the data set came with, from 0.
SOURCE_ROW = "source_row"


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
        shares: (n, 8) float32 share of the votes for each of `VOTE_CLASSES`, see
            `vote_shares`. None where there are no votes.
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

    def _columns(self) -> dict[str, NDArray[Any]]:
        names = ("images", "labels", "twin", "votes", "majority", "shares", "winners")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def rows(self, index: NDArray[np.int64]) -> "Split":
        """Return the images that `index` (m,) names; `sha256` stays the whole split's."""
        picked: dict[str, Any] = {key: column[index] for key, column in self._columns().items()}
        return replace(self, **picked)

    def join(self, more: "Split") -> "Split":
        """Append the images of `more`, which has the same columns; `sha256` is of both."""
        both: dict[str, Any] = {
            key: np.concatenate([column, getattr(more, key)])
            for key, column in self._columns().items()
        }
        digest = hashlib.sha256(f"{self.sha256} {more.sha256}".encode())
        return replace(self, **both, sha256=digest.hexdigest())


def select_classes(
    rows: datasets.Dataset, class_names: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows of some classes.

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


def decode_split(rows: datasets.Dataset, what: str, config: ModelConfig, source: str) -> Split:
    """Decode rows into model input.

    Args:
        rows: of a split.
        what: what errors call it.
        config: says the input that the model wants, and its classes: images of others are
            left out.
        source: the split that the data set came with, in which `SOURCE_ROW` counts.

    Raises:
        InputError: an image cannot be decoded, a label has no name, or a class is missing.
    """
    try:
        index, labels = select_classes(rows, config.class_names)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    images, digest = _decode(rows, what, source, index, config)
    if len(index) < len(rows):
        rows = rows.select(index)
    twin = np.zeros(len(index), np.bool_)
    if "cross_split_twin" in rows.column_names:
        twin = np.asarray(rows["cross_split_twin"], np.bool_)
    split = Split(images, labels, twin, None, config.class_names, digest)
    if "ferplus_votes" not in rows.column_names:
        return split
    return replace(
        split,
        votes=class_votes(rows, config.class_names),
        majority=majority_votes(rows, config.class_names),
        shares=vote_shares(count_votes(rows)),
        winners=vote_winners(count_votes(rows)),
    )


def _decode(
    rows: datasets.Dataset, what: str, source: str, index: NDArray[np.int64], config: ModelConfig
) -> tuple[NDArray[np.uint8], str]:
    """Return the model input of the rows `index`, and the digest of all pixels and labels."""
    digest = hashlib.sha256()
    places = dict(zip(index.tolist(), range(len(index)), strict=True))
    side = config.input_size
    images = np.empty((len(index), side, side, config.channels), np.uint8)
    for i, pixels in _frames(rows, what, source):
        digest.update(pixels.tobytes())
        if i in places:
            images[places[i]] = to_model_input([pixels], config)[0]
    digest.update(np.asarray(rows["label"], np.int64).tobytes())
    return images, digest.hexdigest()


def refuse_unread(rows: datasets.Dataset, what: str, source: str) -> None:
    """Decode all pictures of a split, and keep none.

    Args:
        rows: of a split.
        what: what errors call it.
        source: see `decode_split`.

    Raises:
        InputError: some cannot be decoded.
    """
    for _ in _frames(rows, what, source):
        pass


def _frames(
    rows: datasets.Dataset, what: str, source: str
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield index and frame of each picture; after the last, refuse those that cannot be read."""
    unread: dict[int, str] = {}
    for i in range(len(rows)):
        try:
            pixels = image_to_frame(rows[i]["image"])
        except Exception as error:  # decoders raise what they like
            unread[i] = str(error)
            continue
        yield i, pixels
    if unread:
        raise InputError(_refusal(rows, what, source, unread))


def _refusal(rows: datasets.Dataset, what: str, source: str, unread: dict[int, str]) -> str:
    """Name the pictures that cannot be read, by their files, or by their rows in `source`."""
    wrong = rows.select(unread)
    stored = stored_pictures(wrong)["image"]
    numbers = wrong[SOURCE_ROW] if SOURCE_ROW in rows.column_names else list(unread)
    named = []
    for picture, number, said in zip(stored, numbers, unread.values(), strict=True):
        content, path = (picture or {}).get("bytes"), (picture or {}).get("path")
        row = f"row {number} of {source}" + (f", {path}" if path else "")
        where = path if path and content is None else row
        named.append(one_line(f"{where}: {_what_came(path if content is None else content, said)}"))
    return (
        f"{what} must have pictures that can be read. Received: {len(unread)} of {len(rows)} that "
        f"cannot: {join_some(named)}"
    )


def _what_came(stored: bytes | str | None, said: str) -> str:
    """Return what came instead of a picture, in the words of `fer.image`; else `said`."""
    if stored is None:
        return "no picture"
    try:
        read_image(stored)
    except ImageError as error:
        return str(error).partition("Received: ")[2] or str(error)
    return said
