"""What a run is drawn to: targets, how much each image counts, the loss."""

from typing import Any

import keras
import numpy as np

from train.data.split import Split

__all__ = [
    "TrainingLoss",
    "class_weights",
    "joined_targets",
    "label_accuracy",
    "repeats",
    "soft_targets",
]


def repeats(labels: np.ndarray, balance: float, seed: int) -> np.ndarray:
    """Return the index of each training image, those of rare classes several times.

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
    """Return targets (n, k), rows sum to 1: the label, and FER+ votes to a part of `ferplus`.

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


def joined_targets(split: Split, ferplus: float, with_votes: bool) -> np.ndarray:
    """Return the targets of all heads side by side: (n, k), or (n, k + 8) with votes.

    The votes' part of an image without usable votes is 0, so that it adds nothing to a loss.
    """
    targets = soft_targets(split, ferplus)
    return np.concatenate([targets, split.shares], axis=1) if with_votes else targets


def class_weights(labels: np.ndarray, n_classes: int, power: float) -> np.ndarray:
    """Return the weight of each class (k,): rarer ones more, images 1 on average.

    Args:
        labels: (n,) class indices, each class at least once.
        n_classes: k.
        power: 0 for the same, 1 for all classes the same together.
    """
    counts = np.bincount(labels, minlength=n_classes)
    weights = (counts.max() / counts) ** power
    return np.asarray(weights * counts.sum() / (weights * counts).sum(), np.float32)


class TrainingLoss(keras.losses.Loss):
    """Cross-entropy, focal or not, and the distance from teachers, for one head or two.

    Images are mixed inside the model, so the targets come out of it. With k classes of labels,
    v of votes and m = k + v, `y_pred` is (n, 2m) logits and targets, or (n, 2m + t) with the
    teachers' logits behind them, as `train.model.build_trainer` puts them together. t is m, or k
    where the teachers know labels alone.

    Args:
        weights: (k,) of the classes of the labels.
        label_smoothing: this part of each label's target is spread over all classes.
        focal: exponent with which a label that is already right counts less.
        distill: part of the teachers, where there are any.
        temperature: of both sides of that comparison.
        n_votes: v; 0 without a votes' head.
        votes: weight of the votes' loss.

    Source: Lin et al. 2017, arXiv:1708.02002 (focal); Hinton et al. 2015,
    arXiv:1503.02531 (distillation).
    """

    def __init__(
        self,
        weights: np.ndarray,
        label_smoothing: float = 0.0,
        focal: float = 0.0,
        distill: float = 0.0,
        temperature: float = 1.0,
        n_votes: int = 0,
        votes: float = 0.0,
    ) -> None:
        super().__init__(name="loss")
        self.weights, self.label_smoothing = weights, label_smoothing
        self.focal, self.distill, self.temperature = focal, distill, temperature
        self.n_votes, self.votes = n_votes, votes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss (n,) of each image; `y_true` is not read."""
        k = len(self.weights)
        m = k + self.n_votes
        logits, targets, teacher = y_pred[:, :m], y_pred[:, m : 2 * m], y_pred[:, 2 * m :]
        loss = self._with_teacher(
            self._label_loss(logits[:, :k], targets[:, :k]), logits[:, :k], teacher[:, :k]
        )
        if self.n_votes:
            log_probs = keras.ops.log_softmax(logits[:, k:])
            votes = -keras.ops.sum(targets[:, k:] * log_probs, axis=1)
            loss = loss + self.votes * self._with_teacher(votes, logits[:, k:], teacher[:, k:])
        return loss

    def _label_loss(self, logits: Any, targets: Any) -> Any:
        smooth = (1 - self.label_smoothing) * targets + self.label_smoothing / len(self.weights)
        log_probs = keras.ops.log_softmax(logits)
        focus = (1 - keras.ops.exp(log_probs)) ** self.focal if self.focal else 1.0
        loss = -keras.ops.sum(smooth * focus * log_probs, axis=1)
        return loss * keras.ops.sum(targets * self.weights, axis=1)

    def _with_teacher(self, loss: Any, logits: Any, teacher: Any) -> Any:
        """Blend `loss` with the distance from the teachers' logits, which may have no columns."""
        if not teacher.shape[1]:
            return loss
        wanted = keras.ops.softmax(teacher / self.temperature)
        got = keras.ops.log_softmax(logits / self.temperature)
        # The square keeps the gradients of both parts of one size.
        apart = -keras.ops.sum(wanted * got, axis=1) * self.temperature**2
        return (1 - self.distill) * loss + self.distill * apart


def label_accuracy(n_classes: int, n_votes: int = 0) -> keras.metrics.Metric:
    """Return the metric "accuracy" of the labels' head, for the `y_pred` of `TrainingLoss`.

    It says of each image (n,) whether its greatest logit is its target's greatest, as mixed.
    """
    begin = n_classes + n_votes

    def accuracy(y_true: Any, y_pred: Any) -> Any:
        logits, targets = y_pred[:, :n_classes], y_pred[:, begin : begin + n_classes]
        same = keras.ops.argmax(logits, axis=1) == keras.ops.argmax(targets, axis=1)
        return keras.ops.cast(same, "float32")

    return keras.metrics.MeanMetricWrapper(accuracy, "accuracy")
