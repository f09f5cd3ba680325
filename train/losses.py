"""What a run is drawn to: targets, and how often each image is shown."""

import numpy as np

from train.data import Split

__all__ = ["repeats", "soft_targets"]


def repeats(labels: np.ndarray, balance: float, seed: int) -> np.ndarray:
    """Index of each training image, those of rare classes several times.

    Args:
        labels: (n,) class indices.
        balance: 0 leaves the data as it is, 1 repeats every class as often as the
            commonest one has images.
        seed: of which images have the one repeat more that a factor's fraction stands for.

    Source: repeat factors, Gupta et al. 2019, arXiv:1908.03195, section 5.1.
    """
    counts = np.bincount(labels)
    factors = (counts.max() / np.maximum(counts, 1)) ** balance
    wanted = factors[labels]
    extra = np.random.default_rng(seed).random(len(labels)) < wanted % 1
    return np.repeat(np.arange(len(labels)), wanted.astype(int) + extra)


def soft_targets(split: Split, ferplus: float) -> np.ndarray:
    """Targets (n, k), rows sum to 1: the label, and the FER+ votes to a part of `ferplus`.

    An image that nobody gave one of the classes keeps its label; so does every image of a
    data set without votes, which makes the recipe fit for any faces.

    Source: Barsoum et al. 2016, arXiv:1608.01041, section 3.4.
    """
    onehot = np.eye(len(split.class_names), dtype=np.float32)[split.labels]
    if not ferplus or split.votes is None:
        return onehot
    total = split.votes.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, split.votes / np.maximum(total, 1), onehot)
    return ((1 - ferplus) * onehot + ferplus * shares).astype(np.float32)
