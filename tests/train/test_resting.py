"""Figures of resting faces, from answers that are known."""

import json

import numpy as np
import pytest

from fer.errors import ConfigError, InputError
from tests.conftest import FakeDetector, make_classifier, make_config, make_faces

pd = pytest.importorskip("pandas")
from PIL import Image  # noqa: E402

from train.measure import resting  # noqa: E402

NAMES = ("happy", "neutral", "sad")
CONFIG = make_config(class_names=NAMES, neutral_logits=(-2.0, 2.0, 0.0))


def row(person, expression, *probs, shot="expression"):
    answer = NAMES[int(np.argmax(probs))] if probs else None
    values = dict(zip(NAMES, probs, strict=True)) if probs else {}
    who = {"file": f"{person}{expression}{shot}", "person": person, "expression": expression}
    return who | {"shot": shot, "answer": answer} | dict.fromkeys(NAMES) | values


ROWS = [
    row("a", "neutral", 0.01, 0.19, 0.8, shot="rest"),  # rests sad
    row("a", "neutral", 0.05, 0.25, 0.7),
    row("a", "happy", 0.35, 0.05, 0.6),
    row("b", "neutral", 0.02, 0.85, 0.13, shot="rest"),
    row("b", "sad", 0.1, 0.2, 0.7),
    row("b", "happy"),  # no face
    row("c", "sad", 0.1, 0.2, 0.7),  # no resting face
]


def test_a_person_gains_by_their_resting_face():
    report = resting.summarize(pd.DataFrame(ROWS), CONFIG)
    assert (report["n_persons"], report["n_pictures"]) == (2, 3)
    assert report["by_strength"]["0"]["accuracy"] == pytest.approx(33.33)
    assert report["by_strength"]["0.75"]["accuracy"] == 100
    assert report["by_strength"]["0.75"]["by_expression"] == dict.fromkeys(NAMES, 100.0)
    assert report["gain"] == pytest.approx(66.67)
    low, high = report["gain_interval"]
    assert 0 <= low <= report["gain"] <= high


def test_without_shots_the_neutral_picture_is_the_resting_face():
    table = pd.DataFrame(ROWS).drop(columns="shot").drop(index=1)
    assert resting.summarize(table, CONFIG)["n_pictures"] == 2


def test_nobody_to_measure_is_said():
    with pytest.raises(InputError, match="Received: none"):
        resting.summarize(pd.DataFrame(ROWS[-1:]), CONFIG)


def test_the_pipeline_answers_and_the_figures_are_written(tmp_path, monkeypatch):
    rows = []
    for level, shot in ((60, "rest"), (70, "expression"), (200, "expression")):
        Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(tmp_path / f"{level}.png")
        name = "dark" if level < 128 else "bright"
        rows.append({"file": f"{level}.png", "expression": name, "shot": shot, "person": 1})
    pd.DataFrame(rows).to_csv(tmp_path / "pictures.csv", index=False)
    values = {"files": {"model.tflite": "00"}}
    made = make_classifier(**values, neutral_logits=(2.0, -2.0))
    monkeypatch.setattr(resting, "load_folder", lambda folder: made)
    monkeypatch.setattr(
        resting, "load_detector", lambda name: FakeDetector(make_faces([4, 4, 28, 28]))
    )
    report = resting.measure_resting(tmp_path / "results", tmp_path, None)
    assert report["n_pictures"] == 2
    text = (tmp_path / "results" / "toy_resting.json").read_text(encoding="utf-8")
    assert json.loads(text) == report
    made = make_classifier(**values)
    with pytest.raises(ConfigError, match="neutral_logits"):
        resting.measure_resting(tmp_path / "results", tmp_path, None)
