"""Networks in small files: what recipes start from or learn from, an eighth of the size of Keras's.

Large kernels are kept as 8-bit integers with a scale for each output channel, all else in float32.
The network itself is not in the file but follows from its recipe.
"""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from train.recipes import Recipe

__all__ = ["SUFFIX", "read_compact", "write_compact"]

SUFFIX = ".npz"
_ABOUT = "about"
_LEVELS = 127
# Inputs of an output channel that are kept as they are: first and depthwise convolutions, in which
# rounding does most harm.
_FEW = 49


def write_compact(model: keras.Model, recipe: Recipe, path: Path) -> None:
    """Write a network of `train.model.build_model` for `recipe`; it loses a little.

    Args:
        model: with the weights.
        recipe: that it was built for.
        path: a .npz file.
    """
    from train.model import head_logits

    arrays: dict[str, NDArray[Any]] = {}
    for i, weight in enumerate(model.weights):
        values = keras.ops.convert_to_numpy(weight)
        # A depthwise kernel is (h, w, c, 1).
        if values.ndim < 2 or values[..., 0].size <= _FEW or values.shape[-1] == 1:
            arrays[f"{i}"] = values
            continue
        scale = np.abs(values).max(axis=(*range(values.ndim - 1),), keepdims=True) / _LEVELS
        arrays[f"{i}_scale"] = np.maximum(scale, np.float32(1e-12))
        arrays[f"{i}"] = np.rint(values / arrays[f"{i}_scale"]).astype(np.int8)
    about = {
        "recipe": asdict(recipe),
        "input_size": model.input_shape[1],
        "heads": [logits.shape[1] for logits in head_logits(model.output)],
    }
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, **{_ABOUT: text}, **arrays)


def read_compact(path: Path, what: str) -> keras.Model:
    """Build the network in a file of `write_compact`, with its weights.

    Raises:
        InputError: the file is none, or of another version; the message calls it `what`.
    """
    from train.model import build_model

    try:
        with np.load(path) as content:
            arrays = dict(content)
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        n_classes, n_votes = (*about["heads"], 0)[:2]
        model = build_model(
            Recipe.from_json(about["recipe"]), n_classes, about["input_size"], n_votes=n_votes
        )
        weights = []
        for i in range(len(model.weights)):
            values = arrays[f"{i}"]
            scale = arrays.get(f"{i}_scale")
            weights.append(values if scale is None else values * scale)
        model.set_weights(weights)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{what} must be a file that `compact` wrote. Received: {path}: {error}"
        ) from error
    return model
