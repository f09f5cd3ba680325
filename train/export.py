"""A trained network -> the folder that serves: model.keras, model.tflite, fer.json."""

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from fer.classify import Classifier, keras_network, litert_network, softmax
from fer.errors import ConfigError
from fer.hub import KERAS_NAME, LITERT_NAME
from fer.types import CONFIG_NAME, ModelConfig
from train.data import load_split

__all__ = ["export", "fit_temperature"]

# The largest difference of a probability between Keras and LiteRT that is let through;
# float32 kernels that add in another order differ by about 1e-5.
PARITY_TOLERANCE = 1e-3
# With calibrated probabilities, a top probability under one half is an answer that is
# wrong more often than right.
_UNCERTAIN_BELOW = 0.5


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimises the cross-entropy of logits (n, k) on labels (n,).

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    classes = np.arange(logits.shape[1])

    def loss(log_temperature: float) -> float:
        probs = softmax(logits, float(np.exp(log_temperature))).astype(np.float64)
        probs /= probs.sum(axis=1, keepdims=True)
        return float(log_loss(labels, probs, labels=classes))

    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def to_litert(network: keras.Model) -> bytes:
    """The float32 LiteRT form of `network`, for batches of any length."""
    import tensorflow as tf

    return bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())


def export(run: Path, dataset: str, out: Path) -> ModelConfig:
    """Write the serving folder of a finished run.

    Fits the temperature on the twin-free validation images, converts to LiteRT and
    checks that both forms agree.

    Args:
        run: folder that `train.fit.fit` left.
        dataset: the data set it was trained on.
        out: folder to write; made if missing.

    Raises:
        ConfigError: `run` is not finished, or LiteRT and Keras disagree by more than
            `PARITY_TOLERANCE`; nothing is written then.
    """
    config = ModelConfig.read(run)
    if not (run / KERAS_NAME).is_file():
        raise ConfigError(f"{run} must hold a finished run. Received: no {KERAS_NAME}")
    model = to_litert(keras.saving.load_model(run / KERAS_NAME, compile=False))
    validation = load_split(dataset, "validation", config)
    fresh = ~validation.twin
    images, labels = validation.images[fresh], validation.labels[fresh]
    litert = Classifier(litert_network(model), config)
    reference = Classifier(keras_network(run / KERAS_NAME), config)
    logits = litert.logits(images)
    gap = float(np.abs(softmax(logits) - softmax(reference.logits(images))).max())
    if gap > PARITY_TOLERANCE:
        raise ConfigError(
            f"LiteRT and Keras must agree to {PARITY_TOLERANCE}. Received: a gap of {gap:.2e}"
        )
    out.mkdir(parents=True, exist_ok=True)
    weights = (run / KERAS_NAME).read_bytes()
    (out / KERAS_NAME).write_bytes(weights)
    (out / LITERT_NAME).write_bytes(model)
    finished = replace(
        config,
        temperature=fit_temperature(logits, labels),
        uncertain_below=_UNCERTAIN_BELOW,
        files={
            KERAS_NAME: hashlib.sha256(weights).hexdigest(),
            LITERT_NAME: hashlib.sha256(model).hexdigest(),
        },
    )
    (out / CONFIG_NAME).write_text(finished.to_json(), encoding="utf-8")
    return finished
