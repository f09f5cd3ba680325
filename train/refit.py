"""Fits the votes' head again, once the layers below it are finished."""

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

__all__ = ["fit_layer", "refit_votes"]

# Most steps of L-BFGS, which stops earlier when the loss no longer falls. Source: a choice; the
# flagship needs about 180.
_N_STEPS = 200


def fit_layer(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    kernel: NDArray[np.float32],
    bias: NDArray[np.float32],
    pull: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit a last layer by its cross-entropy, not far from what it was.

    Args:
        features: (n, d) its input.
        targets: (n, k) shares of the classes; a row of zeros does not count.
        kernel: (d, k) to start from.
        bias: (k,) to start from.
        pull: half of it, times the squared distance of the kernel from where it started, is
            added to the loss.

    Returns:
        Kernel and bias.

    Raises:
        ValueError: no row counts.
    """
    weights = targets.sum(axis=1, keepdims=True)
    total = float(weights.sum())
    if not total:
        raise ValueError("at least one row of `targets` must be a share of a class. Received: none")

    def split(values: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        single = values.astype(np.float32)
        return single[: kernel.size].reshape(kernel.shape), single[kernel.size :]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved, added = split(values)
        log_probs = log_softmax(features @ moved + added, axis=1)
        missed = (np.exp(log_probs) * weights - targets) / total
        away = moved - kernel
        slope = features.T @ missed + pull * away
        entropy = -float((targets * log_probs).sum()) / total
        gradient = np.concatenate([slope.ravel(), missed.sum(axis=0)]).astype(np.float64)
        return entropy + pull / 2 * float((away**2).sum()), gradient

    start = np.concatenate([kernel.ravel(), bias]).astype(np.float64)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _N_STEPS})
    return split(found.x)


def refit_votes(
    model: keras.Model,
    images: NDArray[np.uint8],
    shares: NDArray[np.float32],
    pull: float,
    flip: bool,
) -> None:
    """Fit the last layer of the votes' head again, on images as they are served.

    It had learned on augmented images, and `blend` has since changed the layers below.

    Args:
        model: from `train.model.build_model`, with a votes' head.
        images: (n, s, s, c) uint8 training images.
        shares: (n, 8) of the votes, zeros where an image has no usable ones.
        pull: see `fit_layer`.
        flip: use the mirrored images, too.

    Source: Kang et al. 2020, arXiv:1910.09217, section 4.2 (a classifier trained anew).
    """
    layer = model.get_layer("votes")
    below = keras.Model(model.inputs, layer.input)
    shown = [images, images[:, :, ::-1]] if flip else [images]
    features = np.concatenate([below.predict(each, batch_size=64, verbose=0) for each in shown])
    targets = np.tile(shares, (len(shown), 1))
    kernel, bias = layer.get_weights()
    layer.set_weights(fit_layer(features, targets, kernel, bias, pull))
