"""What is fitted on validation after training, so that probabilities mean what they say."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from fer.types import Decision

__all__ = [
    "BALANCE_STRENGTH",
    "balance_bias",
    "fit_bias",
    "fit_decisions",
    "fit_temperature",
    "match_shares",
]

# How much of the classes' shares the balanced decision takes out: 0 none, 1 all. Source: tuned for
# balanced accuracy on the twin-free validation images, fitted on one half, measured on the other.
BALANCE_STRENGTH = 0.75

# Of the logarithm of a temperature: ten times too flat, ten times too steep.
_LOG_BOUNDS = (np.log(0.1), np.log(10))
# Standard deviation, in nats, of the normal prior of each class's bias. Source: a choice;
# some thirty images of a class weigh as much as the prior does.
_PRIOR_DEVIATION = 0.5
# Of `match_shares`: rounds, the first step, and images that every class has in thought.
_N_ROUNDS, _FIRST_STEP, _N_THOUGHT = 400, 0.3, 0.5


def fit_temperature(
    logits: NDArray[np.float32], targets: NDArray[np.int64] | NDArray[np.float32]
) -> float:
    """Return the temperature that minimises the cross-entropy of logits (n, k).

    Args:
        logits: (n, k) of images that were not trained on.
        targets: (n,) class indices, or (n, k) shares of the classes whose rows sum to 1.

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    inputs, rows = logits.astype(np.float64), np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        log_probs = log_softmax(inputs / np.exp(log_temperature), axis=1)
        if targets.ndim == 1:
            return -float(log_probs[rows, targets].mean())
        return -float((targets * log_probs).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=_LOG_BOUNDS, method="bounded")
    return round(float(np.exp(found.x)), 4)


def fit_bias(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Fit the bias of each class so that its mean probability is its share.

    Soft targets and repeated images teach other shares of the classes than the labels have.

    Args:
        logits: (n, k) of images that were not trained on.
        labels: (n,) class indices.

    Returns:
        (k,) with mean 0: the most probable bias under a normal prior about 0, found
        together with a temperature, which is not applied.

    Source: vector scaling, Guo et al. 2017, arXiv:1706.04599, section 4.2, with one scale
    for all classes; the prior is ours, for small sets.
    """
    k = logits.shape[1]
    inputs, targets = logits.astype(np.float64), np.eye(k)[labels]

    def loss(params: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = np.exp(params[0]), params[1:]
        log_probs = log_softmax(scale * inputs + bias, axis=1)
        slope = np.exp(log_probs) - targets  # of the cross-entropy, by the scaled logits
        value = -(targets * log_probs).sum() + (bias**2).sum() / (2 * _PRIOR_DEVIATION**2)
        by_scale = scale * (slope * inputs).sum()
        by_bias = slope.sum(axis=0) + bias / _PRIOR_DEVIATION**2
        return float(value), np.concatenate([[by_scale], by_bias])

    bounds = [_LOG_BOUNDS] + [(None, None)] * k
    found = minimize(loss, np.zeros(k + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return _centred(found[1:] / np.exp(found[0]))


def _centred(bias: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a bias (k,) with mean 0, which changes no probability."""
    mean: float = bias.mean()
    return (bias - mean).astype(np.float32)


def balance_bias(
    labels: NDArray[np.int64], n_classes: int, strength: float = BALANCE_STRENGTH
) -> NDArray[np.float32]:
    """Return what to add to each class's logit for answers fair to rare classes, (k,) with mean 0.

    Minus `strength` times the logarithm of the class's share. At 1, logits that are calibrated for
    the shares of `labels` become those for classes that are equally common, which maximise the
    balanced accuracy.

    Args:
        labels: (n,) class indices.
        n_classes: k.
        strength: how much of the shares is taken out, 0..1.

    Source: logit adjustment, Menon et al. 2021, arXiv:2007.07314, equation 9.
    """
    shares = np.bincount(labels, minlength=n_classes) + _N_THOUGHT
    return _centred(-strength * np.log(shares / shares.sum()))


def fit_decisions(
    logits: NDArray[np.float32], labels: NDArray[np.int64], strength: float = BALANCE_STRENGTH
) -> dict[str, Decision]:
    """Fit the bias, and then the temperature, of every decision of the labels' head.

    "dataset" has the bias of `fit_bias`. "balanced" adds the one of `balance_bias`, times the
    temperature of "dataset", because it is for logits that are calibrated. Both temperatures are
    fitted on the shares that the labels have.

    Args:
        logits: (n, k) of images that were not trained on.
        labels: (n,) class indices.
        strength: see `balance_bias`.
    """
    as_labelled = _decision(logits, labels, fit_bias(logits, labels))
    fair = as_labelled.temperature * balance_bias(labels, logits.shape[1], strength)
    return {
        "balanced": _decision(logits, labels, np.array(as_labelled.bias, np.float32) + fair),
        "dataset": as_labelled,
    }


def _decision(
    logits: NDArray[np.float32], labels: NDArray[np.int64], bias: NDArray[np.float32]
) -> Decision:
    """Fit the temperature that goes with `bias`."""
    rounded = tuple(round(float(value), 4) for value in bias)
    temperature = fit_temperature(logits + np.array(rounded, np.float32), labels)
    return Decision(bias=rounded, temperature=temperature)


def match_shares(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Find the bias of each class so that it is answered as often as it is the label.

    Unlike `fit_bias` it looks at the most probable class alone. An image on which nobody is
    sure goes to whichever class leads by a little, so answers can be skewed where
    probabilities are not.

    Args:
        logits: (n, k) of images that were not trained on.
        labels: (n,) class indices.

    Returns:
        (k,) with mean 0: of the biases tried, the one with the smallest total variation
        distance between the shares of answers and labels. The logit of a class that is answered
        too often goes down, by ever smaller steps.
    """
    k = logits.shape[1]
    wanted = np.bincount(labels, minlength=k) + _N_THOUGHT
    bias, best, least = np.zeros(k), np.zeros(k), np.inf
    for i in range(_N_ROUNDS):
        answered = np.bincount((logits + bias).argmax(axis=1), minlength=k) + _N_THOUGHT
        apart = float(np.abs(answered - wanted).sum())
        if apart < least:
            best, least = bias.copy(), apart
        bias += _FIRST_STEP / (1 + i / 50) * np.log(wanted / answered)
    return np.asarray(best - best.mean(), np.float32)
