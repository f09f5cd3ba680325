"""Classifier: face crops -> calibrated probabilities. LiteRT serves; Keras is the reference."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer.check import check_callable, check_type
from fer.errors import ConfigError, InputError
from fer.pool import Pool
from fer.preprocess import to_model_input
from fer.types import HEADS, Decision, ModelConfig

__all__ = [
    "Classifier",
    "LiteRTNetwork",
    "Logits",
    "Network",
    "decide",
    "keras_model",
    "keras_network",
    "litert_network",
    "softmax",
]

Logits = NDArray[np.float32] | Mapping[str, NDArray[np.float32]]
"""(n, k) float32 of the labels, or of each head by the names of `fer.types.HEADS`."""
Network = Callable[[NDArray[np.float32]], Logits]
"""(n, s, s, c) float32 in [0, 255] -> logits. Scaling is inside."""

_MAX_BATCH = 32


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Rows of logits (n, k) divided by `temperature`, as probabilities (n, k) float32."""
    scaled = logits.astype(np.float64) / temperature
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True), np.float32)


def decide(logits: NDArray[np.float32], decision: Decision) -> NDArray[np.float32]:
    """Return the probabilities (n, k) float32 of a head's logits (n, k), as `decision` says."""
    return softmax(logits + np.array(decision.bias, np.float32), decision.temperature)


def _by_head(logits: Logits) -> dict[str, NDArray[np.float32]]:
    """Return the logits of each head by its name; a single output is that of the labels."""
    return dict(logits) if isinstance(logits, Mapping) else {HEADS[0]: logits}


class Classifier:
    """Calls a network on face crops, all in one batch.

    Args:
        network: see `Network`; `litert_network` or `keras_network` builds one.
        config: how its input is made and its output read.

    Raises:
        ConfigError: the network's input or output does not fit `config`.
    """

    def __init__(self, network: Network, config: ModelConfig) -> None:
        check_callable("network", network, "a function, pixels -> logits")
        check_type("config", config, ModelConfig)
        self.network = network
        self.config = config
        blank = np.zeros((1, config.input_size, config.input_size, config.channels), np.float32)
        try:
            found = {name: logits.shape for name, logits in _by_head(network(blank)).items()}
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"the network must take {blank.shape}. Received: {error}") from error
        heads = {name: config.head(name) for name in config.heads or HEADS[:1]}
        for name, head in heads.items():
            if found.get(name) != (1, len(head.class_names)):
                raise ConfigError(
                    f"the network must give {len(head.class_names)} logits, one for each of "
                    f"class_names of {name}. Received: shape {found.get(name)}"
                )
        self._sizes = {name: shape[1] for name, shape in found.items()}
        self._served = config.served
        self._bias = np.array(self._served.bias, np.float32)

    def __call__(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities of the classes for each crop.

        Args:
            crops: n RGB crops (h, w, 3) uint8 of any size, framed as `fer.crop` does.

        Returns:
            (n, k) float32, rows sum to 1, columns as `config.class_names`.

        Raises:
            InputError: a crop is not uint8 (h, w, 3).
        """
        return self.probs(to_model_input(crops, self.config))

    def with_votes(
        self, crops: Sequence[NDArray[np.uint8]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what a call returns, and how ten people would vote, from one run of the network.

        Args:
            crops: n RGB crops (h, w, 3) uint8 of any size, framed as `fer.crop` does.

        Returns:
            (n, k) float32, as for a call, and (n, v) float32 shares of the votes, rows sum to 1,
            columns as `config.vote_names`.

        Raises:
            InputError: a crop is not uint8 (h, w, 3).
            ConfigError: the network has no head for votes.
        """
        votes = self.config.head("votes").decisions["dataset"]
        logits = self.head_logits(to_model_input(crops, self.config))
        return decide(logits["labels"], self._served), decide(logits["votes"], votes)

    def probs(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (n, k) of preprocessed input (n, s, s, c) in 0..255."""
        return softmax(self.logits(batch), self._served.temperature)

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the labels' logits (n, k) of preprocessed input (n, s, s, c) in 0..255.

        The bias of the served decision is added; `config.temperature` makes probabilities of them.
        """
        return self.head_logits(batch)["labels"] + self._bias

    def head_logits(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return the logits (n, k) of every head of the network, as it gives them.

        Args:
            batch: preprocessed input (n, s, s, c) in 0..255.

        Returns:
            By the names of `fer.types.HEADS`, whether `config` knows the head or not.

        Raises:
            InputError: `batch` has another type or shape.
        """
        channels = self.config.channels
        known = isinstance(batch, np.ndarray) and batch.dtype.kind in "uif"
        if not known or batch.ndim != 4 or batch.shape[3] != channels:
            received = batch.shape if isinstance(batch, np.ndarray) else type(batch).__name__
            raise InputError(
                f"`batch` must be an array of numbers (n, s, s, {channels}). Received: {received}"
            )
        parts = [{name: np.zeros((0, size), np.float32) for name, size in self._sizes.items()}]
        for start in range(0, len(batch), _MAX_BATCH):
            pixels = batch[start : start + _MAX_BATCH].astype(np.float32)
            parts.append(_by_head(self.network(pixels)))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._sizes}


def _output_indices(interpreter: Any) -> dict[str, int]:
    """Return the tensor of each head in a LiteRT interpreter, by its name.

    A model with one output is one with labels alone, whatever that output is called. The order of
    several says nothing, so they must have names.

    Raises:
        ConfigError: the model has other outputs.
    """
    outputs = interpreter.get_output_details()
    if len(outputs) == 1:
        return {HEADS[0]: outputs[0]["index"]}
    runner = interpreter.get_signature_runner()
    found = {name: each["index"] for name, each in runner.get_output_details().items()}
    del runner  # while it lives, the interpreter cannot be resized
    if set(found) != set(HEADS):
        raise ConfigError(
            f"the LiteRT model must have one output or {HEADS}. Received: {sorted(found)}"
        )
    return {name: found[name] for name in HEADS}


_NOTICE = b"INFO: Created TensorFlow Lite XNNPACK delegate"
_before_notice = threading.Lock()  # held for good by the first who comes


@contextmanager
def _without_notice() -> Iterator[None]:
    """Keep from standard error what LiteRT tells of its delegate, once a process.

    It has no setting for that. What else is written meanwhile is passed on.
    """
    if not _before_notice.acquire(blocking=False):
        yield
        return
    with ExitStack() as stack:
        try:
            kept = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            real = os.dup(2)
        except OSError:  # no standard error, or no place for a file: rather the notice
            yield
            return
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            kept.seek(0)
            for line in kept.read().splitlines(keepends=True):
                if not line.startswith(_NOTICE):
                    os.write(2, line)


class _Interpreter:
    """A LiteRT interpreter that takes batches of any length; for one thread at a time."""

    def __init__(self, model: bytes, n_threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_content=model, num_threads=n_threads)
            inputs = self._interpreter.get_input_details()
            self._outputs = _output_indices(self._interpreter)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"the file must be a LiteRT model. Received: {error}") from error
        if len(inputs) != 1:
            raise ConfigError(f"the LiteRT model must have one input. Received: {len(inputs)}")
        self._input = inputs[0]["index"]
        self._n_rows = 0

    def __call__(self, pixels: NDArray[np.float32]) -> Logits:
        if self._n_rows != len(pixels):
            self._n_rows = 0  # until both calls succeeded
            self._interpreter.resize_tensor_input(self._input, pixels.shape, strict=True)
            with _without_notice():
                self._interpreter.allocate_tensors()
            self._n_rows = len(pixels)
        self._interpreter.set_tensor(self._input, pixels)
        self._interpreter.invoke()
        logits = {
            name: np.asarray(self._interpreter.get_tensor(index), np.float32)
            for name, index in self._outputs.items()
        }
        return logits if len(logits) > 1 else logits[HEADS[0]]


class LiteRTNetwork:
    """A network from the bytes of a .tflite file, run by LiteRT; safe for several threads.

    Args:
        model: the bytes.
        n_threads: of one call.

    Raises:
        ConfigError: the bytes are no LiteRT model with one input, and one output or `HEADS`.
    """

    def __init__(self, model: bytes, n_threads: int = 1) -> None:
        self._model = model
        self._n_threads = n_threads
        self._pool = Pool(lambda: _Interpreter(model, n_threads))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the bytes of the file: interpreters cannot be."""
        return type(self), (self._model, self._n_threads)

    def __call__(self, pixels: NDArray[np.float32]) -> Logits:
        """Return the logits; see `Network`."""
        with self._pool.lend() as interpreter:
            return interpreter(pixels)


def litert_network(model: bytes, n_threads: int = 1) -> LiteRTNetwork:
    """Return a network from the bytes of a .tflite file, run by LiteRT; thread-safe.

    Raises:
        ConfigError: the bytes are no LiteRT model with one input, and one output or `HEADS`.
    """
    return LiteRTNetwork(model, n_threads)


def keras_model(path: Path | str) -> Any:
    """Return the `keras.Model` in a .keras file. Needs Keras and a backend.

    Raises:
        ConfigError: there is none, or Keras cannot read it; of a damaged or hostile file it
            raises errors of any type.
    """
    import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise ConfigError(f"the file must be a Keras model. Received: {error}") from error
    if not isinstance(model, keras.Model):
        received = type(model).__name__
        raise ConfigError(f"the file must be a Keras model. Received: {received}")
    return model


def keras_network(path: Path | str) -> Network:
    """Return a network from a .keras file. Needs Keras and a backend; the slow reference.

    Raises:
        ConfigError: the file is no Keras model.
    """
    import keras

    model = keras_model(path)

    def read(tensor: Any) -> NDArray[np.float32]:
        return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)

    def network(pixels: NDArray[np.float32]) -> Logits:
        found = model(pixels, training=False)
        if isinstance(found, Mapping):
            return {name: read(tensor) for name, tensor in found.items()}
        return read(found)

    return network
