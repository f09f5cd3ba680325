"""The network: MobileNetV2 with scaling inside, from pixels in 0..255 to logits."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["build_model", "recalibrate_batch_norm"]

# Keras leaves 0.999, with which the moving statistics lag for epochs at a few hundred
# steps each.
_BATCH_NORM_MOMENTUM = 0.99


def _backbone(input_size: int | None, channels: int, init: Path | str | None) -> keras.Model:
    """MobileNetV2 1.0 without top; an RGB stem is summed over its channels for gray.

    A gray picture is an RGB picture with three equal channels, on which a kernel acts as
    the sum of its three slices: so the summed stem computes exactly what the RGB stem
    would.
    """
    shape = (input_size, input_size, channels)
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=shape, pooling="avg"
    )
    if init is None:
        return backbone
    if str(init).endswith(".keras"):
        source = _backbone_of(keras.saving.load_model(init, compile=False))
    else:
        source = keras.applications.MobileNetV2(
            include_top=False, weights="imagenet" if init == "imagenet" else None
        )
        if init != "imagenet":
            source.load_weights(init)
    for mine, theirs in zip(backbone.weights, source.weights, strict=True):
        value = np.asarray(theirs)
        if value.shape != tuple(mine.shape):
            value = value.sum(axis=2, keepdims=True)
        mine.assign(value)
    return backbone


def _backbone_of(model: keras.Model) -> keras.Model:
    """The MobileNetV2 inside a model of `build_model`."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def build_model(
    n_classes: int,
    channels: int,
    input_size: int | None = None,
    dropout: float = 0.0,
    init: Path | str | None = None,
) -> keras.Model:
    """Build the classifier.

    Args:
        n_classes: number of logits.
        channels: 1 or 3.
        input_size: side in pixels; None for any multiple of 32.
        dropout: rate before the last layer.
        init: "imagenet" (Keras downloads the weights), a .weights.h5 file of the same
            weights, a .keras file of an earlier model of ours (with its last layer where
            the number of classes is the same), or None for random ones.

    Returns:
        A model from float32 (n, s, s, channels) in [0, 255] to logits (n, n_classes).

    Source: Sandler et al. 2018, arXiv:1801.04381; scaling to [-1, 1] as in
    `keras.applications.mobilenet_v2.preprocess_input`.
    """
    backbone = _backbone(input_size, channels, init)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
    pixels = keras.Input((input_size, input_size, channels), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)
    x = backbone(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(n_classes, name="logits")(x)
    model = keras.Model(pixels, logits, name="fer_mobilenetv2")
    if str(init).endswith(".keras"):
        earlier = keras.saving.load_model(init, compile=False).layers[-1].get_weights()
        if earlier[0].shape[1] == n_classes:
            model.layers[-1].set_weights(earlier)
    return model


def recalibrate_batch_norm(
    model: keras.Model, images: NDArray[np.uint8], batch_size: int = 256
) -> None:
    """Replace the moving statistics by the plain average over batches of `images`.

    Averaged weights have never been run in training, so the statistics that were
    gathered belong to other weights than theirs.

    Args:
        model: from `build_model`.
        images: (n, s, s, c) uint8 training images, as they will be served.
        batch_size: images a batch; an incomplete last batch is left out unless it is the
            only one.

    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.
    """
    norms = [
        layer
        for layer in _backbone_of(model).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    batch_size = min(batch_size, len(images))
    for i in range(len(images) // batch_size):
        for norm in norms:
            norm.momentum = i / (i + 1)
        batch = images[i * batch_size : (i + 1) * batch_size].astype(np.float32)
        model(batch, training=True)
    for norm in norms:
        norm.momentum = _BATCH_NORM_MOMENTUM
