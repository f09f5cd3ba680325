"""A trained network -> the folder that serves, in every format, each checked against Keras."""

import hashlib
import io
import json
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer.classify import (
    Classifier,
    Logits,
    Network,
    keras_model,
    keras_network,
    litert_network,
    softmax,
)
from fer.errors import ConfigError, InputError
from fer.gallery import INT8_NAME
from fer.hub import KERAS_NAME, LITERT_NAME, WEB_NAME, load_folder
from fer.types import CONFIG_NAME, HEADS_VERSION, Decision, Head, ModelConfig
from train.calibrate import fit_decisions, fit_temperature
from train.data.dataset import OpenDataset, default_dataset, open_dataset
from train.data.split import Split
from train.data.votes import VOTE_CLASSES
from train.recipes import TRAINING_NAME

__all__ = [
    "FORMATS",
    "SERVED_DECISION",
    "Format",
    "calibration_sample",
    "check_parity",
    "convert",
    "export",
    "format_file",
    "load_network",
    "mean_neutral",
    "write_neutral",
]

# With calibrated probabilities, a top probability under one half is an answer that is
# wrong more often than right.
_UNCERTAIN_BELOW = 0.5
# 500 crops where there are seven classes. The range of an activation is that of its
# extremes, so what a few of them miss or add moves top-1 by up to 0.3 points either way.
_CALIBRATION_IMAGES_A_CLASS = 71
# Scaling, first convolution and first block: kept in float32 by int8. On validation they made
# more than half of the difference from Keras, the second block no more than a tenth. So are gates
# of attention, which as integers made far more than that: what they are off by multiplies.
_FLOAT_LAYERS = r"/(?:scale|Conv1|expanded_conv|conv1|conv_(?:dw|pw)_1|cbam)[_/]"
# The newest that ONNX Runtime has read for years.
_ONNX_OPSET = 18
_ONNX_FLOAT = 1  # onnx.TensorProto.FLOAT
_MAX_FLOAT16 = 65504.0
# The class with whose mean logits a resting face is compared.
_NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Format:
    """A file format that the network is served in.

    Attributes:
        name: as in results/ and on the command line.
        file: its file in a serving folder.
        tolerance: how far probabilities may lie from those of Keras: the 99 % quantile
            over images of the largest difference among an image's classes. About three
            times what a trained MobileNetV2 shows, ten for float32.
        top1_loss: how many points of top-1 accuracy may be lost against Keras; None where
            the tolerance says it all.
    """

    name: str
    file: str
    tolerance: float
    top1_loss: float | None = None


FORMATS = {
    form.name: form
    for form in (
        Format("keras", KERAS_NAME, 0.0),
        Format("litert-float32", LITERT_NAME, 1e-4),
        Format("litert-float16", "model_float16.tflite", 0.02),
        Format("litert-int8", INT8_NAME, 0.15, top1_loss=0.5),
        Format("onnx", "model.onnx", 1e-4),
        Format("web", WEB_NAME, 0.02),
    )
}
_ALWAYS = ("keras", "litert-float32")
# Of networks with two heads: people who try one make every face equally often.
SERVED_DECISION = "balanced"


def calibration_sample(train: Split) -> NDArray[np.uint8]:
    """Choose training crops that set the ranges of int8 activations: as many of each class.

    Args:
        train: the training split; images with a twin in another split are not taken.

    Returns:
        (n, s, s, c) uint8, the same each time, `_CALIBRATION_IMAGES_A_CLASS` of a class or
        all that it has.
    """
    rng = np.random.default_rng(0)
    chosen = [
        rng.permutation(np.flatnonzero((train.labels == label) & ~train.twin))
        for label in range(len(train.class_names))
    ]
    few = np.concatenate([rows[:_CALIBRATION_IMAGES_A_CLASS] for rows in chosen])
    sample: NDArray[np.uint8] = train.images[few]
    return sample


@contextmanager
def _converter(network: keras.Model, **options: Any) -> Iterator[Any]:
    """Build TensorFlow's converter of `network` to LiteRT; `options` are its attributes."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        network.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        for name, value in options.items():
            setattr(converter, name, value)
        yield converter


def _to_litert(network: keras.Model, **options: Any) -> bytes:
    """Convert `network` to LiteRT; `options` as for `_converter`."""
    with _converter(network, **options) as converter:
        return bytes(converter.convert())


def _to_float16(network: keras.Model) -> bytes:
    """Convert to LiteRT with weights in half precision; it computes in single."""
    import tensorflow as tf

    return _to_litert(
        network,
        optimizations=[tf.lite.Optimize.DEFAULT],
        target_spec=tf.lite.TargetSpec(supported_types=[tf.float16]),
    )


def _to_int8(network: keras.Model, calibration: NDArray[np.uint8]) -> bytes:
    """Convert to integer kernels after a few float32 ones; weights scaled for each channel.

    The first layers and the gates of attention have few weights, and what 256 levels lose there
    runs through all that follow: they stay as they are.

    Source: selective quantisation, https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_debugger
    """
    import tensorflow as tf

    def samples(images: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float32]]]:
        return ([image[None].astype(np.float32)] for image in images)

    both = (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS)
    with (
        _converter(
            network,
            optimizations=[tf.lite.Optimize.DEFAULT],
            representative_dataset=partial(samples, calibration),
            target_spec=tf.lite.TargetSpec(supported_ops=both),
        ) as converter,
        warnings.catch_warnings(),
    ):
        # The debugger's own interpreter, about which there is nothing to do here.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        # The debugger knows the names that the layers have behind the conversion.
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=partial(samples, calibration[:1])
        )
        debugger.run()
        debugger.layer_statistics_dump(statistics := io.StringIO())
        statistics.seek(0)
        names = pd.read_csv(statistics)["tensor_name"]
        first = list(names[names.str.contains(_FLOAT_LAYERS)])
        debugger.options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=first)
        return bytes(debugger.get_nondebug_quantized_model())


def _to_onnx(network: keras.Model) -> bytes:
    """Return the ONNX form of `network`: input `pixels`, output `logits` or those of `HEADS`."""
    import tensorflow as tf
    import tf2onnx

    pixels = tf.TensorSpec(network.input_shape, tf.float32, name="pixels")
    function = tf.function(lambda x: network(x, training=False), input_signature=[pixels])
    model, _ = tf2onnx.convert.from_function(function, [pixels], opset=_ONNX_OPSET)
    return bytes(_with_plain_names(model).SerializeToString(deterministic=True))


def _to_web(network: keras.Model) -> bytes:
    """Return the ONNX form of `network` with weights in half precision, for browsers.

    Half the bytes to load; arithmetic stays in single precision, as each kernel of weights is cast
    once, when the model is opened. Vectors, as biases, stay as they are: they weigh nothing.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.ModelProto.FromString(_to_onnx(network))
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        # Numbers that half precision has not would become infinite.
        if values.dtype != np.float32 or values.ndim < 2 or np.abs(values).max() > _MAX_FLOAT16:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        cast = helper.make_node("Cast", [weight.name], [name], f"Cast_{name}", to=_ONNX_FLOAT)
        casts.append(cast)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString(deterministic=True))


def _with_plain_names(model: Any) -> Any:
    """Return `model` (an onnx.ModelProto) with its nodes and values numbered in their order.

    Names from TensorFlow and tf2onnx count what was converted before in the same process. Several
    outputs keep theirs, which are those of the heads.
    """
    graph = model.graph
    [source] = graph.input
    names = {"": "", source.name: "pixels"}
    results = [value.name for value in graph.output]
    names |= dict(zip(results, results if len(results) > 1 else ["logits"], strict=True))
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
        for values in (node.input, node.output):
            values[:] = [names.setdefault(value, f"value_{len(names)}") for value in values]
    weights = sorted(graph.initializer, key=lambda weight: list(names).index(weight.name))
    for weight in weights:
        weight.name = names[weight.name]
    for value in (source, *graph.output):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    ordered = [type(weight).FromString(weight.SerializeToString()) for weight in weights]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(ordered)
    graph.name, graph.doc_string = "fer", ""
    return model


def convert(network_path: Path, name: str, calibration: NDArray[np.uint8] | None = None) -> bytes:
    """Convert the content of a .keras file; the same bytes each time.

    Args:
        network_path: a .keras file.
        name: one of `FORMATS`.
        calibration: (n, s, s, c) uint8 model input from `calibration_sample`, for
            "litert-int8" alone.

    Raises:
        InputError: there is no such format, or int8 without `calibration`.
        ConfigError: the file is no Keras model, or Keras runs on another backend than TensorFlow.
    """
    if name not in FORMATS:
        raise InputError(f"the format must be one of {sorted(FORMATS)}. Received: {name!r}")
    if name == "keras":
        return network_path.read_bytes()
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            "a network is converted where TensorFlow is installed, with "
            f"KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}"
        )
    network = keras_model(network_path)
    if name == "litert-int8":
        if calibration is None:
            raise InputError("`calibration` must hold images for litert-int8. Received: None")
        return _to_int8(network, calibration)
    converters = {
        "litert-float32": _to_litert,
        "litert-float16": _to_float16,
        "onnx": _to_onnx,
        "web": _to_web,
    }
    return converters[name](network)


def format_file(form: Format, folder: Path, made: Path, dataset: OpenDataset | None) -> Path:
    """Return the file of `form` in the serving folder, or convert it into the folder `made`.

    Args:
        form: one of `FORMATS`.
        folder: with fer.json and model.keras.
        made: where to write.
        dataset: has the images for int8's calibration; the default one, opened when it is needed,
            if None.

    Raises:
        InputError: the data set cannot be used.
        ConfigError: see `convert`.
    """
    config = ModelConfig.read(folder)
    if form.file in config.files:
        if not (folder / form.file).is_file():
            raise ConfigError(f"{form.file} must be in {folder}, as {CONFIG_NAME} says")
        return folder / form.file
    calibration = None
    if form.name == "litert-int8":
        source = dataset or open_dataset(default_dataset())
        calibration = calibration_sample(source.split("train", config))
    path = made / form.file
    path.write_bytes(convert(folder / KERAS_NAME, form.name, calibration))
    return path


def _onnx_network(model: bytes) -> Network:
    """Load a network from the bytes of a .onnx file; ONNX Runtime runs it in one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Its errors have no class in common but Exception.
    try:
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigError(f"the file must be an ONNX model. Received: {error}") from error
    [source] = session.get_inputs()
    names = [each.name for each in session.get_outputs()]

    def network(pixels: NDArray[np.float32]) -> Logits:
        found = session.run(names, {source.name: pixels})
        logits = {
            name: np.asarray(each, np.float32) for name, each in zip(names, found, strict=True)
        }
        return logits if len(names) > 1 else logits[names[0]]

    return network


def load_network(path: Path) -> Network:
    """Load the network in a file of any of `FORMATS`, by its suffix.

    Raises:
        InputError: none of them has this suffix.
        ConfigError: the file does not hold what its suffix says.
    """
    if path.suffix == ".keras":
        return keras_network(path)
    if path.suffix == ".tflite":
        return litert_network(path.read_bytes())
    if path.suffix == ".onnx":
        return _onnx_network(path.read_bytes())
    raise InputError(f"the file must be .keras, .tflite or .onnx. Received: {path.name}")


def check_parity(
    form: Format,
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> None:
    """Raise where a head of a format does not give what Keras gives.

    Args:
        form: where the limits stand.
        logits: (n, k) of the converted network.
        reference: (n, k) of Keras for the same images.
        labels: (n,) their true classes; -1 for images without one, which count for probabilities
            alone.

    Raises:
        ConfigError: probabilities or top-1 are off by more than `form` allows.
    """
    gaps = np.abs(softmax(logits) - softmax(reference)).max(axis=1)
    gap = float(np.quantile(gaps, 0.99))
    if not gap <= form.tolerance:
        raise ConfigError(
            f"{form.name} and Keras must agree to {form.tolerance} in 99 % of images. "
            f"Received: a gap of {gap:.2e}"
        )
    n_labelled = int((labels >= 0).sum())
    if form.top1_loss is None or not n_labelled:
        return
    hits = [int((rows.argmax(axis=1) == labels).sum()) for rows in (reference, logits)]
    loss = 100 * (hits[0] - hits[1]) / n_labelled
    # Of a small set two images are more than any such limit.
    allowed = max(form.top1_loss, 200 / n_labelled)
    if loss > allowed:
        raise ConfigError(
            f"{form.name} must lose at most {allowed:.2f} points of top-1. Received: {loss:.2f}"
        )


def export(
    run: Path,
    dataset: OpenDataset,
    out: Path,
    formats: Sequence[str] = (),
    decided: ModelConfig | None = None,
) -> ModelConfig:
    """Write the serving folder of a finished run.

    Fits the temperature on the twin-free validation images, takes the mean logits of the neutral
    ones, and checks on all of them that every head of every format gives what Keras gives. Of a
    network with two heads it fits the decisions, too, of which `SERVED_DECISION` is served. A
    network that has learned from those images would look too sure on them, so it takes what was
    fitted for another one.

    Args:
        run: folder that `train.fit.fit` left.
        dataset: the data set it was trained on.
        out: folder to write; made if missing.
        formats: names in `FORMATS` to write besides "keras" and "litert-float32".
        decided: the configuration of an exported network whose temperature, decisions and
            neutral logits are taken; they are fitted when None.

    Raises:
        InputError: there is no such format; `decided` is of other classes or heads, or missing
            where the network has learned from the validation images; or the network has a head for
            votes and the validation images have none.
        ConfigError: `run` is not finished, Keras runs on another backend than TensorFlow,
            or a format fails `check_parity`; nothing is written then.
    """
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise InputError(f"formats must be among {sorted(FORMATS)}. Received: {unknown}")
    chosen = [form for form in FORMATS.values() if form.name in {*_ALWAYS, *formats}]
    config = ModelConfig.read(run)
    if not (run / KERAS_NAME).is_file():
        raise ConfigError(f"{run} must hold a finished run. Received: no {KERAS_NAME}")
    if decided is None and _saw_validation(run):
        raise InputError(
            f"{run} has learned from the validation images, so its decisions must be those of "
            "another network. Received: none"
        )
    calibration = None
    if "litert-int8" in formats:
        calibration = calibration_sample(dataset.split("train", config))
    contents = {form.name: convert(run / KERAS_NAME, form.name, calibration) for form in chosen}
    validation = dataset.split("validation", config)
    validation = validation.rows(np.flatnonzero(~validation.twin))
    logits: dict[str, dict[str, NDArray[np.float32]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in chosen:
            path = Path(folder) / form.file
            path.write_bytes(contents[form.name])
            logits[form.name] = Classifier(load_network(path), config).head_logits(
                validation.images
            )
            for name, reference in logits["keras"].items():
                truth = validation.labels if name == "labels" else _votes(validation)[0]
                check_parity(form, logits[form.name][name], reference, truth)
    finished = replace(
        _fit(config, logits["litert-float32"], validation)
        if decided is None
        else _taken(config, logits["litert-float32"].keys(), decided),
        uncertain_below=_UNCERTAIN_BELOW,
        files={form.file: hashlib.sha256(contents[form.name]).hexdigest() for form in chosen},
    )
    out.mkdir(parents=True, exist_ok=True)
    for form in chosen:
        (out / form.file).write_bytes(contents[form.name])
    if (run / TRAINING_NAME).is_file():
        (out / TRAINING_NAME).write_bytes((run / TRAINING_NAME).read_bytes())
    (out / CONFIG_NAME).write_text(finished.to_json(), encoding="utf-8")
    return finished


def _votes(split: Split) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the winners (n,) of the votes of a split, and their shares (n, k)."""
    if split.winners is None or split.shares is None or not split.shares.any():
        raise InputError(
            "the validation images must have usable votes in a column `ferplus_votes`, for the "
            "votes' head. Received: none"
        )
    return split.winners, split.shares


def _saw_validation(run: Path) -> bool:
    """Return whether a finished run has learned from validation images."""
    path = run / TRAINING_NAME
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(record.get("recipe", {}).get("with_validation"))


def _taken(config: ModelConfig, heads: Collection[str], decided: ModelConfig) -> ModelConfig:
    """Return `config` with temperature, decisions and neutral logits of `decided`."""
    theirs = decided.heads.keys() or {"labels"}
    if decided.class_names != config.class_names or set(theirs) != set(heads):
        raise InputError(
            f"the decisions must be for the classes {config.class_names} and the heads "
            f"{sorted(heads)}. Received: {decided.class_names} and {sorted(theirs)}"
        )
    return replace(
        config,
        temperature=decided.temperature,
        heads=decided.heads,
        decision=decided.decision,
        version=decided.version,
        neutral_logits=decided.neutral_logits,
    )


def _fit(
    config: ModelConfig, logits: Mapping[str, NDArray[np.float32]], validation: Split
) -> ModelConfig:
    """Return `config` with what is fitted on `validation`, of which `logits` are."""
    neutral = mean_neutral(logits["labels"], validation.labels, config.class_names)
    config = replace(config, neutral_logits=neutral)
    if "votes" not in logits:
        temperature = fit_temperature(logits["labels"], validation.labels)
        return replace(config, temperature=temperature)
    _, shares = _votes(validation)
    voted = shares.sum(axis=1) > 0
    temperature = fit_temperature(logits["votes"][voted], shares[voted])
    as_voted = Decision(bias=(0.0,) * len(VOTE_CLASSES), temperature=temperature)
    heads = {
        "labels": Head(
            class_names=config.class_names,
            decisions=fit_decisions(logits["labels"], validation.labels),
        ),
        "votes": Head(class_names=VOTE_CLASSES, decisions={"dataset": as_voted}),
    }
    return replace(config, heads=heads, decision=SERVED_DECISION, version=HEADS_VERSION)


def mean_neutral(
    logits: NDArray[np.float32], labels: NDArray[np.int64], class_names: Sequence[str]
) -> tuple[float, ...] | None:
    """Return the mean logits (k,) of the neutral faces, as `ModelConfig.neutral_logits` has them.

    Args:
        logits: (n, k) of the labels' head, as the network gives them, of images that were not
            trained on.
        labels: (n,) class indices.
        class_names: the k classes.

    Returns:
        Four decimals, with mean 0, which changes no probability; None where no class is neutral,
        or no image.
    """
    if _NEUTRAL not in class_names:
        return None
    rows = logits[labels == class_names.index(_NEUTRAL)].astype(np.float64)
    if not len(rows):
        return None
    mean = rows.mean(axis=0)
    return tuple(round(float(value), 4) for value in mean - mean.mean())


def write_neutral(folder: Path, dataset: OpenDataset) -> ModelConfig:
    """Measure the average neutral face of exported weights, and write it into their fer.json.

    Args:
        folder: with fer.json and model.tflite.
        dataset: its twin-free validation images are used, which the network must not have
            learned from.

    Raises:
        InputError: no class or no image is neutral, or the network has learned from them.
        ConfigError: the weights cannot be used.
    """
    config = ModelConfig.read(folder)
    if _saw_validation(folder):
        raise InputError(
            f"{folder} has learned from the validation images, so its neutral logits must be those "
            "of another network, which `export --decisions` takes. Received: none"
        )
    validation = dataset.split("validation", config)
    validation = validation.rows(np.flatnonzero(~validation.twin))
    logits = load_folder(folder).head_logits(validation.images)["labels"]
    neutral = mean_neutral(logits, validation.labels, config.class_names)
    if neutral is None:
        raise InputError(
            f"the classes must have {_NEUTRAL!r}, with validation images. "
            f"Received: {config.class_names}"
        )
    finished = replace(config, neutral_logits=neutral)
    (folder / CONFIG_NAME).write_text(finished.to_json(), encoding="utf-8")
    return finished
