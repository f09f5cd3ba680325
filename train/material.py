"""What a recipe trains on: its choice of a data set's images."""

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from fer.types import ModelConfig
from train.data import VOTE_CLASSES, Split, dataset_name, load_class_names, load_split
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
        """Digest of the training split and of the labels of the images chosen of both splits."""
        digest = hashlib.sha256(self.sha256.encode())
        for split in (self.train, self.validation):
            digest.update(split.labels.tobytes())
        return digest.hexdigest()

    def targets(self, ferplus: float) -> NDArray[np.float32]:
        """Return the targets of all heads for `train`, see `train.losses.joined_targets`."""
        return joined_targets(self.train, ferplus, self.n_votes > 0)

    def validation_targets(self) -> NDArray[np.float32]:
        """Return the targets of all heads for `validation`, labels one-hot."""
        return joined_targets(self.validation, 0.0, self.n_votes > 0)


def config_of(recipe: Recipe, dataset: str) -> ModelConfig:
    """Return how `recipe` wants the images of `dataset`, at its last size.

    Raises:
        InputError: the data set is not usable, or lacks a class that the recipe wants.
        HubError: a data set of the Hub is unavailable.
    """
    return ModelConfig(
        class_names=load_class_names(dataset, recipe.classes),
        input_size=recipe.input_size,
        detail_size=recipe.detail_size,
        stretch_percentile=recipe.stretch_percentile,
        color_mode=recipe.color_mode,
        crop_margin=recipe.crop_margin,
        recipe=recipe.name,
        dataset=dataset_name(dataset),
    )


def _chosen(recipe: Recipe, train: Split) -> np.ndarray:
    """Index of the training images that the recipe takes, each once."""
    kept = ~train.twin if recipe.drop_twins else np.ones(len(train.labels), bool)
    if recipe.clean and train.votes is not None:
        kept &= train.votes[np.arange(len(train.labels)), train.labels] > 0
    index = np.flatnonzero(kept)
    if recipe.images_per_class is not None:
        drawn = np.random.default_rng(recipe.seed).permutation(index)
        of_class = (drawn[train.labels[drawn] == label] for label in np.unique(train.labels))
        index = np.sort(np.concatenate([rows[: recipe.images_per_class] for rows in of_class]))
    return index


def load_material(recipe: Recipe, dataset: str, config: ModelConfig) -> Material:
    """Load what `recipe` trains on and is selected by.

    Args:
        recipe: says which images, and how often.
        dataset: see `train.data.load_rows`.
        config: says the input that the model wants, and its classes.

    Raises:
        InputError: the data set is not usable, or the recipe leaves too little of it.
        HubError: a data set of the Hub is unavailable.
    """
    train, validation = (load_split(dataset, name, config) for name in ("train", "validation"))
    if recipe.drop_twins and not train.twin.any():
        raise InputError(
            f"to leave out twins, a column `cross_split_twin` of {dataset}[train] must mark "
            "them. Received: none marked"
        )
    kept = _chosen(recipe, train)
    fresh = np.flatnonzero(~validation.twin)
    counts = np.bincount(train.labels[kept], minlength=len(config.class_names))
    if not counts.all() or not len(fresh):
        raise InputError(
            f"what {recipe.name} leaves of {dataset} must have images of every class in train and "
            f"some in validation. Received: {counts.tolist()} and {len(fresh)}"
        )
    if (recipe.ferplus or recipe.clean or recipe.votes) and train.votes is None:
        log.warning("%s has no FER+ votes: the labels alone count", dataset)
    return Material(
        config,
        train.rows(kept[repeats(train.labels[kept], recipe.balance, recipe.seed)]),
        validation.rows(fresh),
        np.random.default_rng(recipe.seed).permutation(train.images[kept]),
        train.sha256,
        len(VOTE_CLASSES) if recipe.votes and train.shares is not None else 0,
    )
