"""Networks from scaled pixels to features: what a recipe puts between scaling and head.

All are made of Keras's own layers, so that a saved model loads without this project.
"""

import re
from difflib import get_close_matches
from typing import Any

import keras

from fer.errors import InputError
from train.recipes import Recipe

__all__ = ["APPLICATIONS", "OWN_LAYERS", "build_backbone"]

# Those that Keras has, with ImageNet weights. Source: Sandler et al. 2018, arXiv:1801.04381;
# Howard et al. 2017, arXiv:1704.04861.
APPLICATIONS = {
    "mobilenetv2": keras.applications.MobileNetV2,
    "mobilenet": keras.applications.MobileNet,
}
# How the layers that no ImageNet weights have are called.
OWN_LAYERS = re.compile(r"cbam_|own_")

# The last block of each stage of MobileNetV2: behind its last normalisation, before the sum.
_ATTENDED = re.compile(r"(block_(?:2|5|9|12|15|16))_project_BN")
_CBAM_REDUCTION, _CBAM_KERNEL = 16, 7
_CNN_FILTERS = (32, 64, 128, 256)
# Channels and blocks of each stage; the first block of all stages but the first halves the side.
_FACE_STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
_RESNET_STAGES = ((32, 1), (64, 2), (128, 2), (256, 2))
_VIT_WIDTH, _VIT_DEPTH, _VIT_HEADS, _VIT_DROPOUT = 128, 5, 4, 0.1


def build_backbone(recipe: Recipe, input_size: int | None) -> keras.Model:
    """Build the backbone that `recipe` names, with random weights.

    Args:
        recipe: says which one, where it is cut, and whether it attends.
        input_size: side in pixels; None for any that the network takes ("vit" and "face" must
            know).

    Returns:
        A model from float32 (n, s, s, c) in [-1, 1] to feature maps (n, h, w, f).

    Raises:
        InputError: there is no layer to cut at.
    """
    shape = (input_size, input_size, 1 if recipe.color_mode == "gray" else 3)
    if recipe.backbone in APPLICATIONS:
        backbone = APPLICATIONS[recipe.backbone](include_top=False, weights=None, input_shape=shape)
    else:
        backbone = _BUILDERS[recipe.backbone](shape)
    if recipe.cut is not None:
        names = [layer.name for layer in backbone.layers]
        if recipe.cut not in names:
            close = ", ".join(get_close_matches(recipe.cut, names, cutoff=0.0))
            raise InputError(f"`cut` must be a layer, as {close}. Received: {recipe.cut!r}")
        last = backbone.get_layer(recipe.cut).output
        backbone = keras.Model(backbone.input, last, name=backbone.name)
    if recipe.cbam:
        backbone = keras.models.clone_model(backbone, call_function=_attending)
    return backbone


def _attending(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Call `layer`, with attention after the last blocks of MobileNetV2's stages."""
    maps = layer(*args, **kwargs)
    found = _ATTENDED.fullmatch(layer.name)
    return maps if found is None else _cbam(maps, f"cbam_{found[1]}")


def _cbam(maps: Any, name: str) -> Any:
    """Apply channel attention, then spatial attention, to maps (n, h, w, f).

    Each gate is twice a sigmoid whose last layer starts at zero, so at first it is 1
    everywhere and training starts from the network as it was without.

    Source: Woo et al. 2018, arXiv:1807.06521, section 3; the gates' range is ours.
    """
    n_channels = maps.shape[-1]
    squeeze = keras.layers.Dense(
        max(8, n_channels // _CBAM_REDUCTION), "relu", name=f"{name}_squeeze"
    )
    excite = keras.layers.Dense(n_channels, kernel_initializer="zeros", name=f"{name}_excite")
    pooled = (
        keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(maps),
        keras.layers.GlobalMaxPooling2D(keepdims=True, name=f"{name}_max")(maps),
    )
    both = keras.layers.Add(name=f"{name}_both")([excite(squeeze(each)) for each in pooled])
    maps = keras.layers.Multiply(name=f"{name}_channels")([maps, _gate(both, f"{name}_channel")])
    # A convolution of 1 x 1 could take the mean over channels, none their maximum.
    flat = keras.layers.Concatenate(name=f"{name}_flat")(
        [
            keras.ops.mean(maps, axis=-1, keepdims=True),
            keras.ops.max(maps, axis=-1, keepdims=True),
        ]
    )
    where = keras.layers.Conv2D(
        1, _CBAM_KERNEL, padding="same", kernel_initializer="zeros", name=f"{name}_where"
    )(flat)
    return keras.layers.Multiply(name=f"{name}_places")([maps, _gate(where, f"{name}_place")])


def _gate(logits: Any, name: str) -> Any:
    opened = keras.layers.Activation("sigmoid", name=f"{name}_sigmoid")(logits)
    return keras.layers.Rescaling(2.0, name=f"{name}_gate")(opened)


def _cnn(shape: tuple[int | None, int | None, int]) -> keras.Model:
    """Build two convolutions a block, half the side and twice the filters from block to block.

    Source: the plan of Simonyan, Zisserman 2015, arXiv:1409.1556, with batch normalisation.
    """
    pixels = x = keras.Input(shape)
    for i, filters in enumerate(_CNN_FILTERS):
        for j in (1, 2):
            # The first one has the name that `train.export` keeps in float32.
            name = "Conv1" if (i, j) == (0, 1) else f"own_{i + 1}_{j}"
            x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
            x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if i + 1 < len(_CNN_FILTERS):
            x = keras.layers.MaxPooling2D(name=f"own_{i + 1}_pool")(x)
    return keras.Model(pixels, x, name="cnn")


def _vit(shape: tuple[int | None, int | None, int]) -> keras.Model:
    """Build three convolutions to tokens of 8 x 8 pixels, then transformer blocks.

    Where a token stands enters through the convolutions and through a depthwise one before
    each block, so there is no table of positions.

    Source: Hassani et al. 2021, arXiv:2104.05704 (convolutional tokens); Chu et al. 2021,
    arXiv:2102.10882 (positions from a depthwise convolution); Dosovitskiy et al. 2020,
    arXiv:2010.11929 (the blocks, normalised first).
    """
    pixels = x = keras.Input(shape)
    for i, filters in enumerate((48, 96, _VIT_WIDTH)):
        name = "Conv1" if i == 0 else f"own_token_{i}"
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        if filters != _VIT_WIDTH:
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
    for i in range(_VIT_DEPTH):
        x = _vit_block(x, f"own_block_{i + 1}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="own_norm")(x)
    return keras.Model(pixels, x, name="vit")


def _vit_block(maps: Any, name: str) -> Any:
    """Add position, attention among all places, and two dense layers at each; (n, h, w, f)."""
    height, width, n_features = maps.shape[1:]
    if height is None:
        raise InputError("a vit must know its `input_size`. Received: None")
    place = keras.layers.DepthwiseConv2D(3, padding="same", name=f"{name}_place")(maps)
    maps = keras.layers.Add(name=f"{name}_placed")([maps, place])
    x = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_1")(maps)
    x = keras.layers.Reshape((height * width, n_features), name=f"{name}_tokens")(x)
    x = keras.layers.MultiHeadAttention(
        _VIT_HEADS, n_features // _VIT_HEADS, dropout=_VIT_DROPOUT, name=f"{name}_attention"
    )(x, x)
    x = keras.layers.Reshape((height, width, n_features), name=f"{name}_maps")(x)
    maps = keras.layers.Add(name=f"{name}_attended")([maps, x])
    x = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_2")(maps)
    # Not GELU, which ONNX has no operation for.
    x = keras.layers.Dense(2 * n_features, "silu", name=f"{name}_wide")(x)
    x = keras.layers.Dropout(_VIT_DROPOUT, name=f"{name}_dropout")(x)
    x = keras.layers.Dense(n_features, name=f"{name}_narrow")(x)
    return keras.layers.Add(name=f"{name}_out")([maps, x])


def _face(shape: tuple[int | None, int | None, int]) -> keras.Model:
    """Build dlib's network for recognising faces, up to its pooling, with batch normalisation.

    `train.face_weights` says where its weights come from.

    Source: anet_type in dlib's examples/dnn_face_recognition_ex.cpp, public domain, by Davis King.
    """
    if shape[0] is None:
        raise InputError("a face network must have an `input_size`. Received: None")
    pixels = keras.Input(shape)
    x = _convolved(pixels, 32, "Conv1", size=7, strides=2, padding="valid")
    x = keras.layers.MaxPooling2D(3, strides=2, name="own_pool")(x)
    for i, (filters, n_blocks) in enumerate(_FACE_STAGES):
        for j in range(n_blocks):
            x = _face_block(x, filters, i > 0 and j == 0, f"face_{i + 1}_{j + 1}")
    return keras.Model(pixels, x, name="face")


def _convolved(
    x: Any,
    filters: int,
    name: str,
    size: int = 3,
    strides: int = 1,
    relu: bool = True,
    padding: str = "same",
) -> Any:
    """Convolve, then normalise."""
    x = keras.layers.Conv2D(filters, size, strides, padding, use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _face_block(maps: Any, filters: int, halves: bool, name: str) -> Any:
    """Add two convolutions to maps (n, h, w, c), or to their means over 2 x 2 places."""
    strides, padding = (2, "valid") if halves else (1, "same")
    x = _convolved(maps, filters, f"{name}_1", strides=strides, padding=padding)
    x = _convolved(x, filters, f"{name}_2", relu=False)
    if halves:
        maps = keras.layers.AveragePooling2D(2, name=f"{name}_mean")(maps)
        rows, columns = (maps.shape[axis] - x.shape[axis] for axis in (1, 2))
        if rows or columns:  # dlib adds what lacks a place to nothing
            x = keras.layers.ZeroPadding2D(((0, rows), (0, columns)), name=f"{name}_edge")(x)
        if filters != maps.shape[3]:
            nothing = keras.layers.Rescaling(0.0, name=f"{name}_nothing")(maps)
            maps = keras.layers.Concatenate(name=f"{name}_wide")([maps, nothing])
    x = keras.layers.Add(name=f"{name}_sum")([maps, x])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def _resnet(shape: tuple[int | None, int | None, int]) -> keras.Model:
    """Build residual blocks, at full resolution first, for faces of 48 pixels.

    Source: He et al. 2016, arXiv:1512.03385, with a stem of 3 x 3 as for CIFAR-10, section 4.2;
    a 1 x 1 convolution where the channels change.
    """
    pixels = keras.Input(shape)
    x = _convolved(pixels, _RESNET_STAGES[0][0], "Conv1")
    for i, (filters, n_blocks) in enumerate(_RESNET_STAGES):
        for j in range(n_blocks):
            strides, name = 2 if i > 0 and j == 0 else 1, f"own_{i + 1}_{j + 1}"
            maps = x
            if filters != maps.shape[3]:
                maps = _convolved(maps, filters, f"{name}_short", 1, strides, relu=False)
            x = _convolved(x, filters, f"{name}_1", strides=strides)
            x = _convolved(x, filters, f"{name}_2", relu=False)
            x = keras.layers.Add(name=f"{name}_sum")([maps, x])
            x = keras.layers.ReLU(name=f"{name}_out")(x)
    return keras.Model(pixels, x, name="resnet")


_BUILDERS = {"cnn": _cnn, "vit": _vit, "face": _face, "resnet": _resnet}
