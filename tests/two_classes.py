"""A model of two invented classes that runs in browsers: which half of a crop is brighter.

It may have a head for votes, too, which are spread evenly.
"""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from fer.classify import Classifier
from fer.hub import WEB_NAME, WEIGHTS_FOLDER
from fer.types import Decision, Head, ModelConfig
from tests.conftest import one_head

SIDE = 96
NAMES = ("top", "bottom")
VOTES = ("top", "bottom", "other")


def _weights():
    weights = np.zeros((SIDE * SIDE, 2), np.float32)
    half = SIDE * SIDE // 2
    weights[:half, 0] = weights[half:, 1] = 4 / (half * 255)
    return weights


def _make_config(content, has_votes):
    """The bundled model's, but for its classes."""
    shipped = ModelConfig.from_json(
        json.dumps(one_head((WEIGHTS_FOLDER / "fer.json").read_text(encoding="utf-8")))
    )
    files = {WEB_NAME: hashlib.sha256(content).hexdigest()}
    own = {"class_names": NAMES, "temperature": 1.0, "recipe": "two", "neutral_logits": None}
    config = replace(shipped, **own, files=files)
    if not has_votes:
        return config
    heads = {
        name: Head(class_names=names, decisions={"dataset": Decision(bias=(0.0,) * len(names))})
        for name, names in (("labels", NAMES), ("votes", VOTES))
    }
    return replace(config, heads=heads, version=2)


def make_two_classes(folder, has_votes=False):
    """Write fer.json and the network into a folder, and return the classifier of both."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    number = onnx.TensorProto.FLOAT
    labels, n_votes = ("labels" if has_votes else "logits"), len(VOTES)
    no_votes = np.zeros((SIDE * SIDE, n_votes), np.float32)
    votes = [helper.make_node("MatMul", ["flat", "no_votes"], ["votes"])] if has_votes else []
    more = [tensor(no_votes, "no_votes")] if has_votes else []
    outputs = [helper.make_tensor_value_info(labels, number, ["n", 2])]
    if has_votes:
        outputs.append(helper.make_tensor_value_info("votes", number, ["n", n_votes]))
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["pixels", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], [labels]),
            *votes,
        ],
        "two",
        [helper.make_tensor_value_info("pixels", number, ["n", SIDE, SIDE, 1])],
        outputs,
        [tensor(np.array([-1, SIDE * SIDE]), "shape"), tensor(_weights(), "weights"), *more],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content = model.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEB_NAME).write_bytes(content)
    config = _make_config(content, has_votes)
    (folder / "fer.json").write_text(config.to_json(), encoding="utf-8")

    def network(pixels):
        rows = pixels.reshape(len(pixels), -1)
        if not has_votes:
            return rows @ _weights()
        return {"labels": rows @ _weights(), "votes": rows @ no_votes}

    return Classifier(network, config)
