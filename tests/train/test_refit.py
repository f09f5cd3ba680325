"""Tests of the head that is fitted again at the end of a run."""

import numpy as np
import pytest

pytest.importorskip("datasets")
pytest.importorskip("keras")

from tests.toy_data import toy_recipe

N_CLASSES = 3


@pytest.fixture
def examples(rng):
    """Return features (60, 4) whose classes a last layer can tell apart, and targets (60, 3)."""
    targets = np.eye(N_CLASSES, dtype=np.float32)[np.arange(60) % N_CLASSES]
    noise = rng.normal(0, 0.3, (60, 4)).astype(np.float32)
    return np.pad(targets, ((0, 0), (0, 1))) + noise, targets


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def fit(examples, pull, start=None):
    from train.refit import fit_layer

    kernel = np.zeros((4, N_CLASSES), np.float32) if start is None else start
    return fit_layer(*examples, kernel, np.zeros(N_CLASSES, np.float32), pull)


def test_a_layer_learns_what_its_features_tell(examples):
    features, targets = examples
    kernel, bias = fit(examples, 1e-3)
    assert kernel.dtype == bias.dtype == np.float32
    assert ((features @ kernel + bias).argmax(1) == targets.argmax(1)).mean() > 0.95


def test_the_slope_at_the_end_is_nearly_zero(examples):
    features, targets = examples
    start = np.full((4, N_CLASSES), 0.1, np.float32)
    kernel, bias = fit(examples, 0.05, start)
    powers = np.exp(features @ kernel + bias)
    missed = (powers / powers.sum(axis=1, keepdims=True) - targets) / len(targets)
    assert np.abs(features.T @ missed + 0.05 * (kernel - start)).max() < 1e-3
    assert np.abs(missed.sum(axis=0)).max() < 1e-3


def test_a_strong_pull_leaves_the_kernel_where_it_was(examples, rng):
    start = rng.normal(size=(4, N_CLASSES)).astype(np.float32)
    weak, strong = fit(examples, 1e-3, start)[0], fit(examples, 1e4, start)[0]
    assert np.abs(strong - start).max() < 1e-3 < np.abs(weak - start).max()


def test_a_row_without_shares_does_not_count(examples):
    features, targets = examples
    more = np.concatenate([features, np.full((5, 4), 9, np.float32)])
    none = np.concatenate([targets, np.zeros((5, N_CLASSES), np.float32)])
    for one, other in zip(fit((more, none), 0.01), fit(examples, 0.01), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_targets_without_a_share_are_refused(examples):
    with pytest.raises(ValueError, match="at least one row"):
        fit((examples[0], np.zeros_like(examples[1])), 0.01)


def test_only_the_votes_head_is_fitted_again(rng):
    from train.model import build_model, recalibrate_batch_norm
    from train.refit import refit_votes

    model = build_model(toy_recipe(), N_CLASSES, 32, n_votes=2)
    images = rng.integers(0, 255, (12, 32, 32, 1), np.uint8)
    recalibrate_batch_norm(model, images)  # random weights alone tell no image from another
    before = model.get_weights()
    shares = np.eye(2, dtype=np.float32)[np.arange(12) % 2]
    refit_votes(model, images, shares, 1e-6, flip=True)
    after = zip(model.weights, before, model.get_weights(), strict=True)
    assert {weight.path.split("/")[0] for weight, old, new in after if (old != new).any()} == {
        "votes"
    }
    found = model.predict(images.astype(np.float32), verbose=0)["votes"]
    assert (found.argmax(1) == shares.argmax(1)).mean() > 0.9
