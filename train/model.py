"""The network: scaling, backbone and head, from pixels in 0..255 to logits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer.classify import keras_model
from fer.errors import ConfigError, InputError
from fer.types import HEADS
from train.augment import apply_view
from train.backbones import APPLICATIONS, OWN_LAYERS, build_backbone
from train.calibrate import fit_bias
from train.compact import SUFFIX, Compact, read_compact, write_compact
from train.recipes import Recipe

__all__ = [
    "HEADS",
    "build_model",
    "build_trainer",
    "correct_bias",
    "freeze",
    "head_logits",
    "jit_compile",
    "load_model",
    "recalibrate_batch_norm",
    "save_compact",
]

# Keras leaves 0.999, with which the moving statistics lag for epochs at a few hundred
# steps each.
_BATCH_NORM_MOMENTUM = 0.99
# Characters of a message that is not ours.
_LONGEST = 300
# Outside a compiled step every layer's output stays in memory until the last one has run:
# those of 256 images of 224 pixels did not fit into 24 GB.
_N_PIXELS_AT_ONCE = 256 * 96 * 96


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


def _start_from(backbone: keras.Model, source: keras.Model) -> None:
    """Give every layer of `backbone` the weights of the layer of `source` with its name.

    A gray picture is an RGB picture with three equal channels, on which a kernel acts as
    the sum of its three slices: so a summed stem computes exactly what the RGB stem would.
    Layers that are our own may be missing in `source`; they keep what they have.
    """
    theirs = {layer.name: layer for layer in source.layers}
    for layer in backbone.layers:
        if not layer.weights or (layer.name not in theirs and OWN_LAYERS.match(layer.name)):
            continue
        values = theirs[layer.name].get_weights() if layer.name in theirs else []
        wanted = [tuple(weight.shape) for weight in layer.weights]
        if values and values[0].ndim == 4 and values[0].shape[2] == 3 and wanted[0][2] == 1:
            values[0] = values[0].sum(axis=2, keepdims=True)
        if [value.shape for value in values] != wanted:
            raise InputError(
                f"what a network starts from must be a {backbone.name} with as many channels, or "
                f"RGB. Received: for its layer {layer.name} weights of the shapes "
                f"{[value.shape for value in values]}, not {wanted}"
            )
        layer.set_weights(values)


def _imagenet(kind: str, file: Path | str | None) -> keras.Model:
    """Load Keras's ImageNet weights of a backbone without top, from `file` or downloaded."""
    if kind not in APPLICATIONS:
        raise InputError(
            f'a {kind} must start at "random" or from a .keras file, as --init says. '
            f"Received: {file or 'imagenet'}"
        )
    try:
        model = APPLICATIONS[kind](include_top=False, weights=None if file else "imagenet")
        if file:
            model.load_weights(file)
    except Exception as error:  # Keras raises a bare one where a download fails
        reason = str(error).partition("\n")[0][:_LONGEST]  # a list of all weights may follow
        raise InputError(
            f"the ImageNet weights of {kind} must come from Keras's download, or from a "
            ".weights.h5 file that FER_IMAGENET_WEIGHTS or --init names. "
            f"Received: {file or 'no file'}: {reason}"
        ) from error
    return model


def _backbone_of(model: keras.Model) -> keras.Model:
    """Return the backbone inside a model of `build_model`.

    Raises:
        InputError: there is none.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            return layer
    raise InputError(f"the model must be one that `fit` wrote. Received: {model.name!r}")


def build_model(
    recipe: Recipe,
    n_classes: int,
    input_size: int | None = None,
    init: Path | str | None = None,
    fused: bool = False,
    n_votes: int = 0,
) -> keras.Model:
    """Build the classifier.

    Args:
        recipe: says backbone, channels and head.
        n_classes: number of logits.
        input_size: side in pixels; None for any multiple of 32.
        init: "imagenet" (Keras downloads the weights), a .weights.h5 file of the same
            weights, a .keras or .npz file of an earlier model of ours (with its head as far as
            the layers are the same), or None for random ones.
        fused: batch normalisation that trains faster; for training only, a model to be
            saved has Keras's own layers alone.
        n_votes: number of logits of a second head; 0 for none.

    Returns:
        A model from float32 (n, s, s, c) in [0, 255] to logits (n, n_classes); with two heads
        to a dictionary of them by the names of `HEADS`.

    Raises:
        InputError: `init` is unavailable, or is another network.

    Source: scaling to [-1, 1] as in `keras.applications.mobilenet_v2.preprocess_input`.
    """
    earlier = None
    if init is not None and str(init).endswith((".keras", SUFFIX)):
        earlier = load_model(init, "--init")
    backbone = build_backbone(recipe, input_size)
    if fused:
        backbone = keras.models.clone_model(backbone, clone_function=_fuse)
    if earlier is not None:
        _start_from(backbone, _backbone_of(earlier))
    elif init is not None:
        _start_from(backbone, _imagenet(recipe.backbone, None if init == "imagenet" else init))
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)
    x = _head(backbone(x), recipe)
    logits = keras.layers.Dense(n_classes, name="logits", dtype="float32")(x)
    outputs = logits
    if n_votes:
        votes = keras.layers.Dense(n_votes, name="votes", dtype="float32")(x)
        outputs = dict(zip(HEADS, (logits, votes), strict=True))
    model = keras.Model(pixels, outputs, name=f"fer_{recipe.backbone}")
    for norm in _norms(model):
        norm.momentum = _BATCH_NORM_MOMENTUM
    if earlier is not None:
        _continue_head(model, earlier)
    return model


def head_logits(outputs: Any) -> list[Any]:
    """Return what a network answers as a list of the logits (n, k) of each head, labels first."""
    return [outputs[name] for name in HEADS] if isinstance(outputs, dict) else [outputs]


def _continue_head(model: keras.Model, earlier: keras.Model) -> None:
    """Give the layers behind the backbone their earlier weights, up to the first that differs."""
    theirs = {layer.name: layer.get_weights() for layer in earlier.layers}
    for layer in model.layers:
        if isinstance(layer, keras.Model) or not layer.weights:
            continue
        values = theirs.get(layer.name, [])
        if [value.shape for value in values] != [tuple(weight.shape) for weight in layer.weights]:
            return
        layer.set_weights(values)


def _head(x: Any, recipe: Recipe) -> Any:
    """Apply the recipe's convolutions, pooling and dense layers: features (n, f)."""
    for i, filters in enumerate(recipe.conv):
        name = f"conv_{i + 1}"
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    for i, units in enumerate(recipe.dense):
        x = keras.layers.Dropout(recipe.dropout, name=f"dropout_{i + 1}")(x)
        x = keras.layers.Dense(units, "relu", name=f"dense_{i + 1}")(x)
    return keras.layers.Dropout(recipe.dropout, name="dropout")(x)


def _norms(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Yield the batch normalisations of a model and of the models in it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def freeze(model: keras.Model, tuned: float) -> None:
    """Let no more than the upper part of the backbone learn; the head always does.

    A frozen batch normalisation keeps its statistics, too.

    Args:
        model: from `build_model`.
        tuned: part of the backbone's layers, 0..1, counted from its output.
    """
    layers = _backbone_of(model).layers
    first = round(len(layers) * (1 - tuned))
    for i, layer in enumerate(layers):
        layer.trainable = i >= first


def load_model(path: Path | str, what: str) -> keras.Model:
    """Load a .keras file, or a small one of `train.compact`.

    Raises:
        InputError: it is neither; the message calls it `what`.
    """
    if Path(path).suffix == SUFFIX:
        return _build_compact(Path(path), what)
    try:
        return keras_model(path)
    except ConfigError as error:
        raise InputError(f"{what} must be a .keras file. Received: {path}: {error}") from error


def _build_compact(path: Path, what: str) -> keras.Model:
    """Build the network of a small file, with its weights."""
    content = read_compact(path, what)
    n_classes, n_votes = (*content.heads, 0)[:2]
    model = build_model(content.recipe, n_classes, content.input_size, n_votes=n_votes)
    try:
        model.set_weights(content.weights)
    except ValueError as error:
        raise InputError(
            f"{what} must have the weights of its recipe. Received: {path}: {error}"
        ) from error
    return model


def save_compact(model: keras.Model, recipe: Recipe, path: Path) -> None:
    """Write a network of `build_model` for `recipe` into a small .npz file; it loses a little."""
    heads = tuple(logits.shape[1] for logits in head_logits(model.output))
    weights = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    write_compact(Compact(recipe, model.input_shape[1], heads, weights), path)


def build_trainer(
    network: keras.Model, photometry: keras.layers.Layer, n_taught: int = 0
) -> keras.Model:
    """Build everything a training step computes, in one model.

    Augmentation runs where the network runs, on any backend. Images are moved and mixed as a
    `train.views.View` says, then made worse by photometry: teachers have judged them before
    that, because they know what is in them and need not read noise.

    Args:
        network: from `build_model`.
        photometry: from `train.augment.build_photometry`.
        n_taught: number of the teachers' logits of an image, 0 without teachers.

    Returns:
        A model from pixels (n, s, s, c), targets (n, m), moves (n, 6), masks (n, 5) and, with
        teachers, their logits (n, t), by these names, to what `train.losses.TrainingLoss`
        takes: logits of all heads, mixed targets and the teachers' logits, side by side.
    """
    n_logits = sum(logits.shape[1] for logits in head_logits(network.output))
    pixels = keras.Input(network.input_shape[1:], name="pixels")
    targets = keras.Input((n_logits,), name="targets")
    moves, masks = keras.Input((6,), name="moves"), keras.Input((5,), name="masks")
    inputs = {"pixels": pixels, "targets": targets, "moves": moves, "masks": masks}
    images, mixed = apply_view(pixels, targets, moves, masks)
    parts = [*head_logits(network(photometry(images))), mixed]
    if n_taught:
        inputs["taught"] = keras.Input((n_taught,), name="taught")
        parts.append(inputs["taught"])
    joined = keras.layers.Concatenate(name="joined", dtype="float32")(parts)
    return keras.Model(inputs, joined, name="trainer")


def jit_compile() -> bool | str:
    """Return what Keras's `compile` is given: on a CPU XLA's depthwise convolutions are slower."""
    return False if keras.backend.backend() == "tensorflow" else "auto"


def _n_at_once(images: NDArray[np.uint8]) -> int:
    n_pixels: int = images[0, ..., 0].size
    return max(1, min(256, _N_PIXELS_AT_ONCE // n_pixels))


def recalibrate_batch_norm(
    model: keras.Model, images: NDArray[np.uint8], batch_size: int | None = None
) -> None:
    """Replace the moving statistics by the plain average over batches of `images`.

    Averaged weights have never been run in training, so the statistics that were
    gathered belong to other weights than theirs. Frozen layers keep what they have.

    Args:
        model: from `build_model`.
        images: (n, s, s, c) uint8 training images, as they will be served.
        batch_size: images a batch, by default as many as memory is kept for; an incomplete
            last batch is left out unless it is the only one.

    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.
    """
    norms = [norm for norm in _norms(model) if norm.trainable]
    if not norms:
        return
    batch_size = min(batch_size or _n_at_once(images), len(images))
    for i in range(len(images) // batch_size):
        for norm in norms:
            norm.momentum = i / (i + 1)
        batch = images[i * batch_size : (i + 1) * batch_size].astype(np.float32)
        model(batch, training=True)
    for norm in norms:
        norm.momentum = _BATCH_NORM_MOMENTUM


def correct_bias(
    model: keras.Model,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    batch_size: int | None = None,
) -> NDArray[np.float32]:
    """Add to the bias of the labels' head what `train.calibrate.fit_bias` finds.

    Args:
        model: from `build_model`.
        images: (n, s, s, c) uint8 validation images.
        labels: (n,) class indices.
        batch_size: images a batch, by default as many as memory is kept for.

    Returns:
        (k,) what was added to each logit.
    """
    batch_size = batch_size or _n_at_once(images)
    logits = [
        keras.ops.convert_to_numpy(
            head_logits(model(images[i : i + batch_size].astype(np.float32)))[0]
        )
        for i in range(0, len(images), batch_size)
    ]
    added = fit_bias(np.concatenate(logits), labels)
    last = model.get_layer("logits")
    last.bias.assign(keras.ops.convert_to_numpy(last.bias) + added)
    return added
