"""Targets, balance and losses of known cases."""

import numpy as np
import pytest

from tests.conftest import numbers

pytest.importorskip("keras")
pytestmark = pytest.mark.keras

LOGITS = [[2.0, 0.0, -1.0], [0.5, 0.0, 0.0]]
TARGETS = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]


def joined(*parts):
    return np.concatenate([np.array(part, np.float32) for part in parts], axis=1)


def softmax(logits):
    shares = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_votes_enter_the_targets_as_far_as_asked():
    from train.data.split import Split
    from train.losses import soft_targets

    votes = np.array([[3, 1], [0, 0]], np.float32)
    split = Split(np.zeros((2, 4, 4, 1), np.uint8), np.array([1, 0]), None, votes, ("a", "b"), "")
    assert soft_targets(split, 0.0).tolist() == [[0, 1], [1, 0]]
    assert np.allclose(soft_targets(split, 0.5), [[0.375, 0.625], [1, 0]])
    blind = Split(split.images, split.labels, None, None, ("a", "b"), "")
    assert soft_targets(blind, 0.5).tolist() == [[0, 1], [1, 0]]


def test_rare_classes_are_repeated_as_far_as_asked():
    from train.losses import repeats

    labels = np.repeat([0, 1], [160, 10])
    assert (repeats(labels, 0.0, seed=0) == np.arange(170)).all()
    assert np.bincount(labels[repeats(labels, 1.0, seed=0)]).tolist() == [160, 160]
    half = repeats(labels, 0.5, seed=0)
    assert np.bincount(labels[half]).tolist() == [160, 40]
    assert set(half) == set(range(170))


def test_the_plain_loss_is_the_cross_entropy_of_smoothed_targets():
    from train.losses import TrainingLoss

    loss = TrainingLoss(np.ones(3, np.float32), label_smoothing=0.3)
    got = numbers(loss.call(None, joined(LOGITS, TARGETS)))
    smooth = 0.7 * np.array(TARGETS) + 0.1
    assert np.allclose(got, -(smooth * np.log(softmax(LOGITS))).sum(axis=1), atol=1e-5)


def test_rare_classes_count_more_by_their_share_of_each_target():
    from train.losses import TrainingLoss, class_weights

    weights = class_weights(np.repeat([0, 1, 2], [60, 30, 10]), 3, power=1.0)
    assert np.allclose(weights * [60, 30, 10], 100 / 3)
    assert np.allclose(class_weights(np.repeat([0, 1, 2], [60, 30, 10]), 3, power=0.0), 1)
    plain = numbers(TrainingLoss(np.ones(3, np.float32)).call(None, joined(LOGITS, TARGETS)))
    got = numbers(TrainingLoss(weights).call(None, joined(LOGITS, TARGETS)))
    assert np.allclose(got, plain * [weights[0], weights[1:].mean()], atol=1e-5)


def test_the_focal_loss_is_that_of_keras():
    import keras

    from train.losses import TrainingLoss

    loss = TrainingLoss(np.ones(3, np.float32), focal=2.0)
    theirs = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=2.0, from_logits=True, reduction=None
    )
    got = numbers(loss.call(None, joined(LOGITS, TARGETS)))
    assert np.allclose(got, numbers(theirs(np.array(TARGETS), np.array(LOGITS))), atol=1e-5)


def test_distillation_is_least_where_pupil_and_teacher_agree():
    from train.losses import TrainingLoss

    loss = TrainingLoss(np.ones(3, np.float32), distill=1.0, temperature=2.0)
    teacher = [[1.0, 3.0, 0.0], [0.5, 0.0, 0.0]]
    apart = numbers(loss.call(None, joined(LOGITS, TARGETS, teacher)))
    same = numbers(loss.call(None, joined(teacher, TARGETS, teacher)))
    assert apart[0] > same[0] + 0.5
    assert apart[1] == pytest.approx(same[1])
    soft = softmax(np.array(teacher) / 2)
    entropy = -4 * (soft * np.log(soft)).sum(axis=1)
    assert np.allclose(same, entropy, atol=1e-4)
    half = TrainingLoss(np.ones(3, np.float32), distill=0.5, temperature=2.0)
    plain = numbers(TrainingLoss(np.ones(3, np.float32)).call(None, joined(LOGITS, TARGETS)))
    mean = numbers(half.call(None, joined(LOGITS, TARGETS, teacher)))
    assert np.allclose(mean, (plain + apart) / 2, atol=1e-5)


VOTES = [[1.0, -1.0], [0.0, 3.0]]
# The second image has no usable votes.
SHARES = [[0.25, 0.75], [0.0, 0.0]]


def test_the_votes_have_a_loss_of_their_own():
    from train.losses import TrainingLoss

    labels = numbers(TrainingLoss(np.ones(3, np.float32)).call(None, joined(LOGITS, TARGETS)))
    both = TrainingLoss(np.ones(3, np.float32), n_votes=2, votes=0.5)
    got = numbers(both.call(None, joined(LOGITS, VOTES, TARGETS, SHARES)))
    entropy = -(np.array(SHARES) * np.log(softmax(VOTES))).sum(axis=1)
    assert entropy[0] > 0
    assert np.allclose(got, labels + 0.5 * entropy, atol=1e-5)


@pytest.mark.parametrize("both_heads", [False, True])
def test_teachers_may_know_the_labels_alone(both_heads):
    from train.losses import TrainingLoss

    loss = TrainingLoss(np.ones(3, np.float32), distill=1.0, n_votes=2, votes=1.0)
    teacher = [LOGITS, VOTES] if both_heads else [LOGITS]
    got = numbers(loss.call(None, joined(LOGITS, VOTES, TARGETS, SHARES, *teacher)))

    def entropy(logits):
        return -(softmax(logits) * np.log(softmax(logits))).sum(axis=1)

    voted = -(np.array(SHARES) * np.log(softmax(VOTES))).sum(axis=1)
    assert np.allclose(got, entropy(LOGITS) + (entropy(VOTES) if both_heads else voted), atol=1e-5)


def test_targets_of_both_heads_stand_side_by_side():
    from train.data.split import Split
    from train.losses import joined_targets

    shares = np.array([[0.5, 0.5], [0, 0]], np.float32)
    blank = np.zeros((2, 4, 4, 1), np.uint8)
    split = Split(blank, np.array([1, 0]), None, None, ("a", "b"), "", shares=shares)
    assert joined_targets(split, 0.0, True).tolist() == [[0, 1, 0.5, 0.5], [1, 0, 0, 0]]
    assert joined_targets(split, 0.0, False).tolist() == [[0, 1], [1, 0]]


def test_accuracy_compares_logits_with_mixed_targets():
    from train.losses import label_accuracy

    mixed = [[0.7, 0.0, 0.3], [0.4, 0.6, 0.0]]
    for n_votes, both in ((0, (LOGITS, mixed, LOGITS)), (2, (LOGITS, VOTES, mixed, SHARES))):
        answers = joined(*both)
        hits = [float(label_accuracy(3, n_votes)(None, answers[i : i + 1])) for i in range(2)]
        assert hits == [1.0, 0.0]
