"""Temperature and bias that are fitted after training."""

import numpy as np
import pytest

from fer.classify import softmax
from train.calibrate import fit_bias, fit_temperature, match_shares


def _draw(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 5) and labels (n,) drawn with just their probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 5)).astype(np.float32)
    probs = softmax(logits).astype(np.float64)
    return logits, np.array([rng.choice(5, p=row / row.sum()) for row in probs])


def test_temperature_is_found_again():
    logits, labels = _draw(4000)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_bias_is_found_again_whatever_the_temperature():
    logits, labels = _draw(8000)
    wrong = np.array([1.0, -0.5, 0.0, 0.3, -0.8], np.float32)
    for temperature in (0.5, 1.0, 3.0):
        added = fit_bias(temperature * (logits + wrong), labels)
        assert added.mean() == pytest.approx(0, abs=1e-6)
        assert added / temperature == pytest.approx(-wrong, abs=0.15)
    assert np.abs(fit_bias(logits, labels)).max() < 0.15


def test_a_few_images_move_the_bias_little():
    logits, labels = np.zeros((3, 2), np.float32), np.array([0, 0, 1])
    few = fit_bias(logits, labels)
    many = fit_bias(np.repeat(logits, 500, axis=0), np.repeat(labels, 500))
    assert many[0] - many[1] == pytest.approx(np.log(2), abs=0.01)
    assert 0 < few[0] - few[1] < 0.5 * np.log(2)


def test_a_class_that_was_never_seen_is_not_ruled_out():
    logits, labels = np.zeros((50, 3), np.float32), np.arange(50) % 2
    added = fit_bias(logits, labels)
    assert -3 < added[2] < -0.5


def test_answers_that_are_all_right_are_left_alone():
    labels = np.array([0] * 30 + [1] * 3)
    logits = 9 * np.eye(2, dtype=np.float32)[labels]
    assert np.abs(fit_bias(logits, labels)).max() < 0.01


def test_answers_get_the_shares_of_the_labels():
    logits, labels = _draw(4000)
    skewed = logits + np.array([1.0, -0.5, 0.0, 0.3, -0.8], np.float32)
    added = match_shares(skewed, labels)
    assert added.mean() == pytest.approx(0, abs=1e-6)
    wanted = np.bincount(labels, minlength=5)
    before, after = (
        np.abs(np.bincount(rows.argmax(axis=1), minlength=5) - wanted).sum()
        for rows in (skewed, skewed + added)
    )
    assert before > 1000
    assert after < 10


def test_a_class_that_cannot_be_told_apart_makes_no_answers_worse():
    logits, labels = _draw(4000)
    logits[:, 4] = logits[:, 3] - 0.1
    wanted = np.bincount(labels, minlength=5)
    before, after = (
        np.abs(np.bincount(rows.argmax(axis=1), minlength=5) - wanted).sum()
        for rows in (logits, logits + match_shares(logits, labels))
    )
    assert after <= before


def test_answers_that_have_the_right_shares_are_left_alone():
    labels = np.array([0] * 30 + [1] * 3)
    logits = np.eye(2, dtype=np.float32)[labels]
    assert (match_shares(logits, labels) == 0).all()
