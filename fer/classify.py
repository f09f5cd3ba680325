"""Classifier: face crops -> calibrated probabilities. LiteRT serves; Keras is the reference."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer.errors import ConfigError
from fer.pool import Pool
from fer.preprocess import to_model_input
from fer.types import ModelConfig

__all__ = ["Classifier", "Network", "keras_network", "litert_network", "softmax"]

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(n, s, s, c) float32 in [0, 255] -> logits (n, k) float32. Scaling is inside."""

_MAX_BATCH = 32


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Rows of logits (n, k) divided by `temperature`, as probabilities (n, k) float32."""
    scaled = logits.astype(np.float64) / temperature
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True), np.float32)


class Classifier:
    """Calls a network on face crops, all in one batch.

    Args:
        network: see `Network`; `litert_network` or `keras_network` builds one.
        config: how its input is made and its output read.

    Raises:
        ConfigError: the network's input or output does not fit `config`.
    """

    def __init__(self, network: Network, config: ModelConfig) -> None:
        self.network = network
        self.config = config
        blank = np.zeros((1, config.input_size, config.input_size, config.channels), np.float32)
        try:
            shape = network(blank).shape
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"the network must take {blank.shape}. Received: {error}") from error
        if shape != (1, len(config.class_names)):
            raise ConfigError(
                f"the network must give {len(config.class_names)} logits, one for each of "
                f"class_names. Received: shape {shape}"
            )

    def __call__(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities of the classes for each crop.

        Args:
            crops: n RGB crops (h, w, 3) uint8 of any size, framed as `fer.crop` does.

        Returns:
            (n, k) float32, rows sum to 1, columns as `config.class_names`.

        Raises:
            InputError: a crop is not uint8 (h, w, 3).
        """
        return softmax(self.logits(to_model_input(crops, self.config)), self.config.temperature)

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (n, k) of preprocessed input (n, s, s, c) in 0..255."""
        parts = [np.zeros((0, len(self.config.class_names)), np.float32)]
        for start in range(0, len(batch), _MAX_BATCH):
            parts.append(self.network(batch[start : start + _MAX_BATCH].astype(np.float32)))
        return np.concatenate(parts)


class _Interpreter:
    """A LiteRT interpreter that takes batches of any length; for one thread at a time."""

    def __init__(self, model: bytes, n_threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_content=model, num_threads=n_threads)
            inputs = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"the file must be a LiteRT model. Received: {error}") from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise ConfigError(
                "the LiteRT model must have one input and one output. "
                f"Received: {len(inputs)} and {len(outputs)}"
            )
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._n_rows = 0

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._n_rows != len(pixels):
            self._n_rows = 0  # until both calls succeeded
            self._interpreter.resize_tensor_input(self._input, pixels.shape, strict=True)
            self._interpreter.allocate_tensors()
            self._n_rows = len(pixels)
        self._interpreter.set_tensor(self._input, pixels)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output), np.float32)


def litert_network(model: bytes, n_threads: int = 1) -> Network:
    """A network from the bytes of a .tflite file, run by LiteRT; safe for several threads.

    Raises:
        ConfigError: the bytes are no LiteRT model with one input and one output.
    """
    pool = Pool(lambda: _Interpreter(model, n_threads))

    def network(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with pool.lend() as interpreter:
            return interpreter(pixels)

    return network


def keras_network(path: Path | str) -> Network:
    """A network from a .keras file. Needs Keras and a backend; the slow reference.

    Raises:
        ConfigError: the file is no Keras model.
    """
    import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError) as error:
        raise ConfigError(f"the file must be a Keras model. Received: {error}") from error

    def network(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(keras.ops.convert_to_numpy(model(pixels, training=False)), np.float32)

    return network
