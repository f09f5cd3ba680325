"""What a recipe trains on: its choice of a data set's images."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer.errors import ImageError, InputError
from fer.image import read_image
from fer.preprocess import to_model_input
from fer.text import one_line
from fer.types import ModelConfig
from train.data.copies import drop_held_out
from train.data.dataset import OpenDataset
from train.data.listing import Listing, join_some, list_extra
from train.data.split import Split
from train.data.votes import VOTE_CLASSES
from train.losses import joined_targets, repeats
from train.recipes import Recipe

__all__ = ["Material", "config_of", "load_material"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """The images of a phase, at its size.

    Attributes:
        config: with the phase's `input_size`.
        train: what the recipe wants of the training split, rare classes several times.
        validation: the images without a twin in the training split.
        shown: (n, s, s, c) the images of `train`, each once, in random order, as it will be served.
        sha256: of the whole training split.
        n_votes: classes of the votes' head, 0 without one.
    """

    config: ModelConfig
    train: Split
    validation: Split
    shown: NDArray[np.uint8]
    sha256: str
    n_votes: int

    @property
    def chosen_sha256(self) -> str:
        """Digest of all that is trained on and of the labels that selection looks at."""
        digest = hashlib.sha256(self.train.sha256.encode())
        for split in (self.train, self.validation):
            digest.update(split.labels.tobytes())
        return digest.hexdigest()

    def targets(self, ferplus: float) -> NDArray[np.float32]:
        """Return the targets of all heads for `train`, see `train.losses.joined_targets`."""
        return joined_targets(self.train, ferplus, self.n_votes > 0)

    def validation_targets(self) -> NDArray[np.float32]:
        """Return the targets of all heads for `validation`, labels one-hot."""
        return joined_targets(self.validation, 0.0, self.n_votes > 0)


def config_of(recipe: Recipe, dataset: OpenDataset) -> ModelConfig:
    """Return how `recipe` wants the images of `dataset`, at its last size.

    Raises:
        InputError: the data set is not usable, or lacks a class that the recipe wants.
        HubError: a data set of the Hub is unavailable.
    """
    return ModelConfig(
        class_names=dataset.class_names(recipe.classes),
        input_size=recipe.input_size,
        detail_size=recipe.detail_size,
        stretch_percentile=recipe.stretch_percentile,
        color_mode=recipe.color_mode,
        crop_margin=recipe.crop_margin,
        recipe=recipe.name,
        dataset=dataset.title,
    )


def _chosen(recipe: Recipe, train: Split) -> np.ndarray:
    """Return the index of the training images that the recipe takes, each once."""
    kept = ~train.twin if recipe.drop_twins else np.ones(len(train.labels), bool)
    if recipe.clean and train.votes is not None:
        kept &= train.votes[np.arange(len(train.labels)), train.labels] > 0
    index = np.flatnonzero(kept)
    if recipe.images_per_class is not None:
        drawn = np.random.default_rng(recipe.seed).permutation(index)
        of_class = (drawn[train.labels[drawn] == label] for label in np.unique(train.labels))
        index = np.sort(np.concatenate([rows[: recipe.images_per_class] for rows in of_class]))
    return index


def _read_extra(train: Split, more: Listing, config: ModelConfig) -> Split:
    """Read the pictures of `more`, which have no votes, as a split with the columns of `train`.

    Raises:
        InputError: one of the files is not a picture.
    """
    images, labels, digest = [], [], hashlib.sha256()
    unread = []
    for path, name in more.pictures["train"]:
        try:
            pixels = read_image(path)
        except ImageError as error:
            unread.append(one_line(str(error)))
            continue
        digest.update(pixels.tobytes())
        images.append(to_model_input([pixels], config)[0])
        labels.append(config.class_names.index(name))
    if unread:
        raise InputError(
            f"{more.folder} must have pictures that can be read. Received: {len(unread)} that "
            f"cannot: {join_some(unread)}"
        )
    n = len(images)

    def column(like: NDArray[Any] | None, value: float) -> NDArray[Any] | None:
        return None if like is None else np.full((n, *like.shape[1:]), value, like.dtype)

    return replace(
        train,
        images=np.stack(images),
        labels=np.array(labels, train.labels.dtype),
        twin=np.zeros(n, np.bool_),
        votes=column(train.votes, 0),
        majority=column(train.majority, -1),
        shares=column(train.shares, 0),
        winners=column(train.winners, -1),
        sha256=digest.hexdigest(),
    )


def _decode(dataset: OpenDataset, config: ModelConfig) -> list[Split]:
    """Return the training and the validation split; what is wrong is said of all three."""
    splits, wrong = [], []
    for name in ("train", "validation"):
        try:
            splits.append(dataset.split(name, config))
        except InputError as error:
            wrong.append(str(error))
    if dataset.unread_in_test:
        wrong.append(dataset.unread_in_test)
    if wrong:
        raise InputError("; ".join(wrong))
    return splits


def load_material(recipe: Recipe, dataset: OpenDataset, config: ModelConfig) -> Material:
    """Load what `recipe` trains on and is selected by.

    Args:
        recipe: says which images, and how often.
        dataset: the images.
        config: says the input that the model wants, and its classes.

    Raises:
        InputError: the data set is not usable, or the recipe leaves too little of it.
        HubError: a data set of the Hub is unavailable.
    """
    train, validation = _decode(dataset, config)
    if recipe.drop_twins and not train.twin.any():
        raise InputError(
            f"to leave out twins, a column `cross_split_twin` of {dataset.name}[train] must mark "
            "them. Received: none marked"
        )
    fresh = np.flatnonzero(~validation.twin)
    if recipe.with_validation:
        train = train.join(validation.rows(fresh))
    kept = _chosen(recipe, train)
    counts = np.bincount(train.labels[kept], minlength=len(config.class_names))
    if not counts.all() or not len(fresh):
        raise InputError(
            f"what {recipe.name} leaves of {dataset.name} must have images of every class in train "
            f"and some in validation. Received: {counts.tolist()} and {len(fresh)}"
        )
    if (recipe.ferplus or recipe.clean or recipe.votes) and train.votes is None:
        log.warning("%s has no FER+ votes: the labels alone count", dataset.name)
    shown = train.rows(kept[repeats(train.labels[kept], recipe.balance, recipe.seed)])
    if recipe.extra:
        more = list_extra(Path(recipe.extra), config.class_names)
        shown = shown.join(_read_extra(shown, drop_held_out(more, dataset.splits), config))
    return Material(
        config,
        shown,
        validation.rows(fresh),
        np.random.default_rng(recipe.seed).permutation(train.images[kept]),
        train.sha256,
        len(VOTE_CLASSES) if recipe.votes and train.shares is not None else 0,
    )
