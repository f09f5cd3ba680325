"""The formats that a network is shipped in, each measured against the served LiteRT file."""

import hashlib
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer.classify import Classifier, decide
from fer.gallery import INT8_NAME
from fer.hub import KERAS_NAME
from fer.types import CONFIG_NAME, ModelConfig
from train.data.dataset import OpenDataset
from train.data.split import Split
from train.measure.figures import percent, score_answers

__all__ = ["measure_formats", "write_alone"]

log = logging.getLogger(__name__)


def measure_formats(
    folder: Path,
    dataset: OpenDataset,
    config: ModelConfig,
    test: Split,
    logits: dict[str, NDArray[np.float32]],
    int8_folder: Path | None,
) -> list[dict[str, Any]]:
    """Measure every format against the LiteRT file in `folder`, given its `logits` of each head.

    What `folder` does not hold is converted from its model.keras, and left out where that
    is not there or Keras runs on another backend than TensorFlow. The int8 file is kept in
    `int8_folder`.
    """
    # They bring Keras and TensorFlow, which take seconds and which nothing else here needs.
    import keras

    from train.export import FORMATS, format_file, load_network

    probs, fresh = decide(logits["labels"], config.served), ~test.twin
    n_classes = len(config.class_names)
    served = score_answers(test.labels, probs.argmax(axis=1), n_classes)
    converts = (folder / KERAS_NAME).is_file() and keras.backend.backend() == "tensorflow"
    held = [file for file in config.files if (folder / file).is_file()]
    known = [form for form in FORMATS.values() if converts or form.file in held]
    if missing := [form.name for form in FORMATS.values() if form not in known]:
        log.warning(
            "%s are not measured: that needs TensorFlow and %s in %s",
            ", ".join(missing),
            KERAS_NAME,
            folder,
        )
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for form in tqdm(known, desc="formats", disable=None):
            path = format_file(form, folder, Path(made), dataset)
            found = Classifier(load_network(path), config).head_logits(test.images)
            answers = decide(found["labels"], config.served)
            predicted = answers.argmax(axis=1)
            scores = score_answers(test.labels, predicted, n_classes)
            gap = np.abs(answers - probs).max()
            content = path.read_bytes()
            if form.file == INT8_NAME and int8_folder is not None:
                write_alone(int8_folder, config, form.file, content)
            rows.append(
                {
                    "format": form.name,
                    "file": form.file,
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    **scores,
                    "twin_free_top1": percent((predicted == test.labels)[fresh].mean()),
                    "top1_change": round(scores["top1"] - served["top1"], 2),
                    # The order of additions, which a machine chooses, moves further digits.
                    "largest_prob_gap": float(f"{gap:.1e}"),
                    **_votes_of_format(config, test, found, logits),
                }
            )
    return rows


def _votes_of_format(
    config: ModelConfig,
    test: Split,
    logits: dict[str, NDArray[np.float32]],
    reference: dict[str, NDArray[np.float32]],
) -> dict[str, float | None]:
    """Return the figures of a format's votes; none where the network has no head for them."""
    if "votes" not in config.heads:
        return {}
    how = config.head("votes").decisions["dataset"]
    gap = np.abs(decide(logits["votes"], how) - decide(reference["votes"], how)).max()
    hits = None
    if test.winners is not None and (won := test.winners >= 0).any():
        hits = percent((logits["votes"][won].argmax(axis=1) == test.winners[won]).mean())
    return {"votes_top1": hits, "votes_largest_prob_gap": float(f"{gap:.1e}")}


def write_alone(folder: Path, config: ModelConfig, file: str, content: bytes) -> None:
    """Write one file of a network, and a fer.json that names no other."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(content)
    alone = replace(config, files={file: hashlib.sha256(content).hexdigest()})
    (folder / CONFIG_NAME).write_text(alone.to_json(), encoding="utf-8")
