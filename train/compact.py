"""Weights in small files: what recipes start from or learn from, about a quarter of Keras's size.

Large kernels are stored as 8-bit integers with a scale for each output channel, the rest as
float32. The file does not hold the network, which follows from its recipe: `train.model.load_model`
builds it.
"""

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from train.recipes import Recipe

__all__ = ["SUFFIX", "Compact", "read_compact", "write_compact"]

SUFFIX = ".npz"
_ABOUT = "about"
_LEVELS = 127
# Inputs of an output channel that are kept as they are: first and depthwise convolutions, in which
# rounding does most harm.
_FEW = 49


@dataclass(frozen=True)
class Compact:
    """What a small file holds.

    Attributes:
        recipe: that the network was built for.
        input_size: its side in pixels.
        heads: the number of classes of each head, labels first.
        weights: all arrays of the network, in the order of `keras.Model.weights`.
    """

    recipe: Recipe
    input_size: int
    heads: tuple[int, ...]
    weights: list[NDArray[Any]]


def write_compact(content: Compact, path: Path) -> None:
    """Write a small .npz file; the weights lose some precision."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, values in enumerate(content.weights):
        # A depthwise kernel is (h, w, c, 1).
        if values.ndim < 2 or values[..., 0].size <= _FEW or values.shape[-1] == 1:
            arrays[f"{i}"] = values
            continue
        scale = np.abs(values).max(axis=(*range(values.ndim - 1),), keepdims=True) / _LEVELS
        arrays[f"{i}_scale"] = np.maximum(scale, np.float32(1e-12))
        arrays[f"{i}"] = np.rint(values / arrays[f"{i}_scale"]).astype(np.int8)
    about = {
        "recipe": asdict(content.recipe),
        "input_size": content.input_size,
        "heads": content.heads,
    }
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    contents: dict[str, Any] = {_ABOUT: text, **arrays}
    with path.open("wb") as file:
        np.savez_compressed(file, **contents)


def read_compact(path: Path, what: str) -> Compact:
    """Read a file of `write_compact`.

    Raises:
        InputError: it is none, or of another version; the message calls it `what`.
    """
    try:
        with np.load(path) as content:
            arrays = dict(content)
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        weights = []
        for i in range(sum(not name.endswith("_scale") for name in arrays)):
            scale = arrays.get(f"{i}_scale")
            weights.append(arrays[f"{i}"] if scale is None else arrays[f"{i}"] * scale)
        return Compact(
            Recipe.from_json(about["recipe"]), about["input_size"], tuple(about["heads"]), weights
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{what} must be a file that `compact` wrote. Received: {path}: {error}"
        ) from error
