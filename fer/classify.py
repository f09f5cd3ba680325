"""Classifier: face crops -> calibrated probabilities. LiteRT serves; Keras is the reference."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer.errors import ConfigError
from fer.pool import Pool
from fer.preprocess import to_model_input
from fer.types import ModelConfig

__all__ = [
    "Classifier",
    "LiteRTNetwork",
    "Network",
    "keras_network",
    "litert_network",
    "softmax",
]

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


class _MapInterpreter:
    """A LiteRT interpreter that keeps its last feature maps; one picture at a time, slower."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # XNNPACK, the default delegate, would not give intermediate tensors away.
        self._interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]["index"]
        makers = {
            index: (op["op_name"], list(op["inputs"]))
            for op in self._interpreter._get_ops_details()
            for index in op["outputs"]
        }
        dense, self._dense = makers[self._output]
        pool, inputs = makers.get(self._dense[0], ("nothing", [-1]))
        self._features = inputs[0]
        if (dense, pool) != ("FULLY_CONNECTED", "MEAN") or len(self._dense) != 3:
            raise ConfigError(
                "a network with class maps must end in MEAN and FULLY_CONNECTED. "
                f"Received: {pool}, {dense}"
            )
        # Whatever else could stand in the graph, a mean over other axes or an activation.
        blank = np.zeros(self._input["shape"][1:], np.float32)
        gap = np.abs(self(blank).mean(axis=(0, 1)) - self._get(self._output)[0]).max()
        if not gap < 1e-3:
            raise ConfigError(
                "the class maps of a network must have its logits as their mean. "
                f"Received: a difference of {gap:.3g}"
            )

    def _get(self, index: int) -> Any:
        return self._interpreter.get_tensor(index)

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input["index"], pixels[None])
        self._interpreter.invoke()
        weights, bias = self._dense[1:]
        maps = self._get(self._features)[0] @ self._get(weights).T
        return np.asarray(maps if bias < 0 else maps + self._get(bias), np.float32)


class LiteRTNetwork:
    """A network from the bytes of a .tflite file, run by LiteRT; safe for several threads.

    Args:
        model: the bytes.
        n_threads: of one call.

    Raises:
        ConfigError: the bytes are no LiteRT model with one input and one output.
    """

    def __init__(self, model: bytes, n_threads: int = 1) -> None:
        self._model = model
        self._pool = Pool(lambda: _Interpreter(model, n_threads))

    @functools.cached_property
    def _map_pool(self) -> Pool[_MapInterpreter]:
        return Pool(lambda: _MapInterpreter(self._model))

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, k) float32; see `Network`."""
        with self._pool.lend() as interpreter:
            return interpreter(pixels)

    def class_maps(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each place of the last feature map adds to the logits, bias included.

        Args:
            pixels: one picture (s, s, c) float32 in [0, 255].

        Returns:
            (h, w, k) float32; the mean over h and w is the logits.

        Raises:
            ConfigError: the network does not end in a mean over the feature map and one
                dense layer of float32.

        Source: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization",
        arXiv:1512.04150, section 2.
        """
        with self._map_pool.lend() as interpreter:
            return interpreter(pixels)


def litert_network(model: bytes, n_threads: int = 1) -> LiteRTNetwork:
    """A network from the bytes of a .tflite file, run by LiteRT; safe for several threads.

    Raises:
        ConfigError: the bytes are no LiteRT model with one input and one output.
    """
    return LiteRTNetwork(model, n_threads)


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
