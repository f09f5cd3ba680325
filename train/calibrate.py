"""What is fitted on validation after training, so that probabilities mean what they say."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

__all__ = ["fit_bias", "fit_temperature", "match_shares"]

# Of the logarithm of a temperature: ten times too flat, ten times too steep.
_LOG_BOUNDS = (np.log(0.1), np.log(10))
# Standard deviation, in nats, of the normal prior of each class's bias. Source: a choice;
# some thirty images of a class weigh as much as the prior does.
_PRIOR_DEVIATION = 0.5
# Of `match_shares`: rounds, the first step, and images that every class has in thought.
_N_ROUNDS, _FIRST_STEP, _N_THOUGHT = 400, 0.3, 0.5


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimises the cross-entropy of logits (n, k) on labels (n,).

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    inputs, rows = logits.astype(np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        log_probs = log_softmax(inputs / np.exp(log_temperature), axis=1)
        return -float(log_probs[rows, labels].mean())

    found = minimize_scalar(loss, bounds=_LOG_BOUNDS, method="bounded")
    return round(float(np.exp(found.x)), 4)


def fit_bias(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """What to add to the logit of each class so that its mean probability is its share.

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
    bias = found[1:] / np.exp(found[0])
    return (bias - bias.mean()).astype(np.float32)


def match_shares(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """What to add to the logit of each class so that it is answered as often as it is right.

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
