"""The network: MobileNetV2 with scaling inside, from pixels in 0..255 to logits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from train.calibrate import fit_bias

__all__ = [
    "build_model",
    "build_trainer",
    "correct_bias",
    "load_teacher",
    "recalibrate_batch_norm",
]

# Keras leaves 0.999, with which the moving statistics lag for epochs at a few hundred
# steps each.
_BATCH_NORM_MOMENTUM = 0.99


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation in TensorFlow's one kernel while training.

    Keras puts it together from a dozen operations, each of which walks through memory. The
    outputs are the same; the moving variance is the unbiased one. On other backends, which
    fuse by themselves, this is Keras's own layer.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise (n, h, w, c) over all but the last axis."""
        if not training or not self.trainable or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        output, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return output


def _fuse(layer: keras.layers.Layer) -> keras.layers.Layer:
    kind = type(layer)
    if kind is keras.layers.BatchNormalization:
        kind = FusedBatchNormalization
    return kind.from_config(layer.get_config())


def _backbone(
    input_size: int | None, channels: int, source: keras.Model | None, fused: bool
) -> keras.Model:
    """MobileNetV2 1.0 without top, with the weights of `source`; for gray a stem is summed.

    A gray picture is an RGB picture with three equal channels, on which a kernel acts as
    the sum of its three slices: so the summed stem computes exactly what the RGB stem
    would.
    """
    shape = (input_size, input_size, channels)
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=shape, pooling="avg"
    )
    if fused:
        backbone = keras.models.clone_model(backbone, clone_function=_fuse)
    if source is None:
        return backbone
    theirs = [np.asarray(weight) for weight in source.weights]
    if channels == 1 and theirs[0].shape[2] == 3:
        theirs[0] = theirs[0].sum(axis=2, keepdims=True)
    if [value.shape for value in theirs] != [tuple(mine.shape) for mine in backbone.weights]:
        raise InputError(
            f"a network must start from a MobileNetV2 1.0 with {channels} channels or RGB. "
            f"Received: {len(theirs)} weights, the first one of shape {theirs[0].shape}"
        )
    for mine, value in zip(backbone.weights, theirs, strict=True):
        mine.assign(value)
    return backbone


def _imagenet(file: Path | str | None) -> keras.Model:
    """Keras's ImageNet MobileNetV2 1.0 without top, from `file` or downloaded."""
    try:
        model = keras.applications.MobileNetV2(
            include_top=False, weights=None if file else "imagenet"
        )
        if file:
            model.load_weights(file)
    except Exception as error:  # Keras raises a bare one where a download fails
        raise InputError(
            "the ImageNet weights must come from Keras's download, or from a .weights.h5 file "
            f"that FER_IMAGENET_WEIGHTS or --init names. Received: {file or 'no file'}: {error}"
        ) from error
    return model


def _backbone_of(model: keras.Model) -> keras.Model:
    """The MobileNetV2 inside a model of `build_model`.

    Raises:
        InputError: there is none.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            return layer
    raise InputError(f"the model must be one that `fit` wrote. Received: {model.name!r}")


def build_model(
    n_classes: int,
    channels: int,
    input_size: int | None = None,
    dropout: float = 0.0,
    init: Path | str | None = None,
    fused: bool = False,
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
        fused: batch normalisation that trains faster; for training only, a model to be
            saved has Keras's own layers alone.

    Returns:
        A model from float32 (n, s, s, channels) in [0, 255] to logits (n, n_classes).

    Raises:
        InputError: `init` cannot be had, or is another network.

    Source: Sandler et al. 2018, arXiv:1801.04381; scaling to [-1, 1] as in
    `keras.applications.mobilenet_v2.preprocess_input`.
    """
    earlier = _load_keras(init, "--init") if str(init).endswith(".keras") else None
    if earlier is not None:
        source = _backbone_of(earlier)
    else:
        source = None if init is None else _imagenet(None if init == "imagenet" else init)
    backbone = _backbone(input_size, channels, source, fused)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
    pixels = keras.Input((input_size, input_size, channels), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)
    x = backbone(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(n_classes, name="logits", dtype="float32")(x)
    model = keras.Model(pixels, logits, name="fer_mobilenetv2")
    if earlier is not None and earlier.output_shape[1] == n_classes:
        model.layers[-1].set_weights(earlier.layers[-1].get_weights())
    return model


class _Teacher(keras.layers.Layer):
    """A trained model that answers as it serves, inside a model in training, too.

    Its weights are nobody's: not trained, not averaged, not kept in a backup.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__(trainable=False)
        side = model.input_shape[1]

        # A closure, because Keras would find an attribute and take its weights for ours.
        def answer(images: Any) -> Any:
            if side not in (None, images.shape[1]):
                images = keras.ops.image.resize(images, (side, side))
            return model(images, training=False)

        self._answer = answer

    def call(self, images: Any) -> Any:
        """Logits (n, k) of float32 images (n, s, s, c) in [0, 255]."""
        return self._answer(images)


def load_teacher(path: Path, channels: int, n_classes: int) -> keras.layers.Layer:
    """A trained model that can teach: from pixels (n, s, s, channels) to logits (n, n_classes).

    Args:
        path: a .keras file from float32 (n, t, t, c) in [0, 255] to logits, of any
            architecture; where its side t differs from s, images are resized for it.
        channels: of the pupil's input.
        n_classes: of the pupil.

    Raises:
        InputError: no such file, or it wants other channels or has other classes.
    """
    teacher = _load_keras(path, "a teacher")
    wanted, given = (channels, n_classes), (teacher.input_shape[3], teacher.output_shape[1])
    if wanted != given:
        raise InputError(
            f"the teacher {path} must have {wanted[0]} channels and {wanted[1]} classes. "
            f"Received: {given[0]} and {given[1]}"
        )
    return _Teacher(teacher)


def _load_keras(path: Path | str, what: str) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{what} must be a .keras file. Received: {path}: {error}") from error


def build_trainer(
    network: keras.Model,
    geometry: keras.layers.Layer,
    mix: keras.layers.Layer,
    photometry: keras.layers.Layer,
    teachers: Sequence[keras.layers.Layer] = (),
) -> keras.Model:
    """Everything a training step computes, in one model.

    Augmentation, mixing and teachers run where the network runs, on any backend. The
    teachers see the pupil's images before photometry has made them worse: they know what
    stands in them, and need not read noise.

    Args:
        network: from `build_model`.
        geometry: from `train.augment.build_geometry`.
        mix: a `train.augment.Mix`.
        photometry: from `train.augment.build_photometry`.
        teachers: from `load_teacher`; the mean of their logits teaches.

    Returns:
        A model from [pixels (n, s, s, c), targets (n, k)] to what
        `train.losses.TrainingLoss` takes: logits, mixed targets and, with teachers, their
        logits, side by side.
    """
    pixels = keras.Input(network.input_shape[1:], name="pixels")
    targets = keras.Input(network.output_shape[1:], name="targets")
    images, mixed = mix(geometry(pixels), targets)
    parts = [network(photometry(images)), mixed]
    if teachers:
        logits = [teacher(images) for teacher in teachers]
        parts.append(keras.ops.mean(keras.ops.stack(logits), axis=0))
    joined = keras.layers.Concatenate(name="joined", dtype="float32")(parts)
    return keras.Model([pixels, targets], joined, name="trainer")


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


def correct_bias(
    model: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int64], batch_size: int = 256
) -> NDArray[np.float32]:
    """Add to the bias of the last layer what `train.calibrate.fit_bias` finds.

    Args:
        model: from `build_model`.
        images: (n, s, s, c) uint8 validation images.
        labels: (n,) class indices.
        batch_size: images a batch.

    Returns:
        (k,) what was added to each logit.
    """
    logits = [
        keras.ops.convert_to_numpy(model(images[i : i + batch_size].astype(np.float32)))
        for i in range(0, len(images), batch_size)
    ]
    added = fit_bias(np.concatenate(logits), labels)
    last = model.layers[-1]
    last.bias.assign(keras.ops.convert_to_numpy(last.bias) + added)
    return added
