"""Temperature and bias that are fitted after training."""

import numpy as np
import pytest

from fer.classify import decide, softmax
from train.calibrate import (
    balance_bias,
    fit_bias,
    fit_decisions,
    fit_temperature,
    match_shares,
)


def _draw(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 5) and labels (n,) drawn with just their probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 5)).astype(np.float32)
    probs = softmax(logits).astype(np.float64)
    return logits, np.array([rng.choice(5, p=row / row.sum()) for row in probs])


def test_temperature_is_found_again():
    logits, labels = _draw(4000)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_a_temperature_is_found_for_shares_as_well():
    logits, _ = _draw(200)
    assert fit_temperature(3 * logits, softmax(logits)) == pytest.approx(3, rel=0.01)
    onehot = np.eye(5, dtype=np.float32)[logits.argmax(axis=1)]
    assert fit_temperature(logits, onehot) == fit_temperature(logits, logits.argmax(axis=1))


def test_the_balanced_bias_takes_the_shares_out():
    labels = np.repeat([0, 1], [9000, 1000])
    for strength in (0.0, 0.75, 1.0):
        added = balance_bias(labels, 2, strength)
        assert added.mean() == pytest.approx(0, abs=1e-6)
        assert added[1] - added[0] == pytest.approx(strength * np.log(9), abs=0.01)
    assert np.isfinite(balance_bias(labels, 3)).all()


def test_decisions_are_calibrated_and_the_balanced_one_finds_the_rare_class():
    """Two classes on a line, the second one in ten; the logits are calibrated but too flat."""
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.1).astype(np.int64)
    place = rng.normal(2.0 * labels - 1.0, 1.0)
    odds = 2 * place - np.log(9)
    logits = np.stack([np.zeros_like(odds), odds + 3], axis=1).astype(np.float32) / 2
    decisions = fit_decisions(logits, labels)
    assert list(decisions) == ["balanced", "dataset"]
    recall, mean = {}, {}
    for name, decision in decisions.items():
        probs = decide(logits, decision)
        hit = probs.argmax(axis=1) == labels
        recall[name] = [hit[labels == i].mean() for i in (0, 1)]
        mean[name] = probs.mean(axis=0)
    assert mean["dataset"] == pytest.approx([0.9, 0.1], abs=0.01)
    assert decisions["dataset"].temperature == pytest.approx(0.5, rel=0.05)
    gap = np.diff(decisions["balanced"].bias) - np.diff(decisions["dataset"].bias)
    shares = np.bincount(labels)
    calibrated = gap / decisions["dataset"].temperature
    assert calibrated == pytest.approx(0.75 * np.log(shares[0] / shares[1]), abs=0.01)
    assert recall["balanced"][1] > recall["dataset"][1] + 0.1
    assert np.mean(recall["balanced"]) > np.mean(recall["dataset"]) + 0.05
    full = fit_decisions(logits, labels, strength=0.0)
    assert full["balanced"] == full["dataset"]


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
