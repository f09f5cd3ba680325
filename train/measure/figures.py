"""Figures of a classifier's answers: accuracy, calibration, coverage, intervals."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from fer.classify import decide, softmax
from fer.types import Decision

__all__ = [
    "coverage_curve",
    "expected_calibration_error",
    "find_intervals",
    "find_reliability",
    "macro_f1",
    "mean_recall",
    "measure_logits",
    "percent",
    "reliability_bins",
    "score_answers",
]

_N_BOOTSTRAP = 2000
_N_BINS = 15


def percent(value: float) -> float:
    """Return a share 0..1 as a percentage with two decimals."""
    return round(100 * float(value), 2)


def reliability_bins(
    probs: NDArray[np.floating], labels: NDArray[np.int64], n_bins: int = _N_BINS
) -> list[dict[str, float]]:
    """Compare top probability and accuracy in bins of equal width; empty ones are left out.

    Args:
        probs: (n, k) rows that sum to 1.
        labels: (n,) class indices.
        n_bins: of [0, 1].

    Returns:
        For each bin its ends `low` and `high`, the `mean_prob` and `accuracy` of the
        answers in it, and their `share` of all; all 0..1.
    """
    top, hit = probs.max(axis=1).astype(np.float64), probs.argmax(axis=1) == labels
    bins = np.minimum((top * n_bins).astype(int), n_bins - 1)
    return [
        {
            "low": float(b / n_bins),
            "high": float((b + 1) / n_bins),
            "mean_prob": float(top[bins == b].mean()),
            "accuracy": float(hit[bins == b].mean()),
            "share": float((bins == b).mean()),
        }
        for b in np.unique(bins)
    ]


def expected_calibration_error(
    probs: NDArray[np.floating], labels: NDArray[np.int64], n_bins: int = _N_BINS
) -> float:
    """Return the weighted mean gap of top probability and accuracy over `reliability_bins`.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    return sum(
        abs(row["mean_prob"] - row["accuracy"]) * row["share"]
        for row in reliability_bins(probs, labels, n_bins)
    )


def coverage_curve(probs: NDArray[np.float32], labels: NDArray[np.int64]) -> list[dict[str, float]]:
    """Measure top-1 where only the most certain images get an answer.

    Args:
        probs: (n, k) rows that sum to 1.
        labels: (n,) class indices.

    Returns:
        For each `coverage` (100, 90 ... 10 percent of the images) the `top1` in percent
        of those with the highest top probabilities, and the lowest of these, `threshold`.

    Source: Geifman & El-Yaniv 2017, arXiv:1705.08500, section 2.
    """
    top, hit = probs.max(axis=1), probs.argmax(axis=1) == labels
    order = np.argsort(-top, kind="stable")
    rows = []
    for coverage in range(100, 0, -10):
        kept = order[: max(1, round(len(order) * coverage / 100))]
        rows.append(
            {
                "coverage": coverage,
                "top1": percent(hit[kept].mean()),
                "threshold": round(float(top[kept[-1]]), 4),
            }
        )
    return rows


def find_intervals(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, Any]:
    """Bootstrap 95 % intervals (percentiles) of `score_answers` and of the F1 of each class."""
    rng = np.random.default_rng(0)
    k = len(names)
    cells = labels * k + predicted
    top1, f1 = np.empty(_N_BOOTSTRAP), np.empty((_N_BOOTSTRAP, k))
    balanced = np.empty(_N_BOOTSTRAP)
    for i in range(_N_BOOTSTRAP):
        table = np.bincount(rng.choice(cells, len(cells)), minlength=k * k).reshape(k, k)
        hits = np.diag(table)
        top1[i] = hits.sum() / len(cells)
        f1[i] = 2 * hits / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)
        balanced[i] = mean_recall(table)

    shown = np.unique(labels)

    def bounds(values: NDArray[np.float64]) -> list[float]:
        return [percent(v) for v in np.percentile(values, [2.5, 97.5])]

    return {
        "top1": bounds(top1),
        "macro_f1": bounds(f1[:, shown].mean(axis=1)),
        "balanced_accuracy": bounds(balanced),
        "f1": {name: bounds(f1[:, i]) for i, name in enumerate(names)},
    }


def mean_recall(table: NDArray[np.int64]) -> float:
    """Return the balanced accuracy 0..1 of a confusion matrix (k, k) with one row per true label.

    Classes without images do not count.
    """
    n_images = table.sum(axis=1)
    return float((np.diag(table)[n_images > 0] / n_images[n_images > 0]).mean())


def macro_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the mean F1 0..1 of the classes that have images; the others do not count."""
    return float(
        f1_score(labels, predicted, average="macro", labels=np.unique(labels), zero_division=0)
    )


def score_answers(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int
) -> dict[str, float]:
    """Return top-1, macro F1 and balanced accuracy in percent."""
    classes = np.arange(n_classes)
    return {
        "top1": percent(accuracy_score(labels, predicted)),
        "macro_f1": percent(macro_f1(labels, predicted)),
        "balanced_accuracy": percent(
            mean_recall(confusion_matrix(labels, predicted, labels=classes))
        ),
    }


def _calibration(
    calibrated: NDArray[np.float32], uncalibrated: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, float]:
    """Return the log loss (nats), the Brier score from 0 to 2 and the calibration error of both.

    Source of the Brier score over all classes, not halved: Brier 1950, Monthly Weather Review
    78(1), equation 2.
    """
    classes = np.arange(calibrated.shape[1])
    measures: dict[str, Callable[[NDArray[np.floating]], float]] = {
        "nll": lambda probs: log_loss(labels, probs, labels=classes),
        "brier": lambda probs: brier_score_loss(labels, probs, labels=classes, scale_by_half=False),
        "ece": lambda probs: expected_calibration_error(probs, labels),
    }
    # scikit-learn asks for rows that sum to 1 more exactly than those of float32 do.
    rows = {"": calibrated.astype(np.float64), "_uncalibrated": uncalibrated.astype(np.float64)}
    rows = {suffix: probs / probs.sum(axis=1, keepdims=True) for suffix, probs in rows.items()}
    return {
        f"{name}{suffix}": round(float(measure(probs)), 4)
        for name, measure in measures.items()
        for suffix, probs in rows.items()
    }


def measure_logits(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    decision: Decision,
    uncertain_below: float,
) -> dict[str, Any]:
    """Return the figures of raw `logits` (n, k) under `decision`."""
    probs = decide(logits, decision)
    uncalibrated = decide(logits, replace(decision, temperature=1.0))
    predicted = probs.argmax(axis=1)
    classes = np.arange(len(names))
    columns = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    sure = probs.max(axis=1) >= uncertain_below
    hit = predicted == labels
    intervals = find_intervals(labels, predicted, names)

    return {
        "n_images": len(labels),
        **score_answers(labels, predicted, len(names)),
        "interval_95": {key: intervals[key] for key in ("top1", "macro_f1", "balanced_accuracy")},
        **_calibration(probs, uncalibrated, labels),
        "uncertain_share": percent(1 - sure.mean()),
        "top1_certain": percent(hit[sure].mean()) if sure.any() else None,
        "top1_uncertain": percent(hit[~sure].mean()) if (~sure).any() else None,
        "classes": {
            name: {
                "precision": percent(columns[0][i]),
                "recall": percent(columns[1][i]),
                "f1": percent(columns[2][i]),
                "f1_interval_95": intervals["f1"][name],
                "n_images": int(columns[3][i]),
            }
            for i, name in enumerate(names)
        },
        "confusion_matrix": confusion_matrix(labels, predicted, labels=classes).tolist(),
    }


def find_reliability(
    logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> dict[str, list[dict[str, float]]]:
    """Return `reliability_bins` of logits (n, k) with the fitted temperature, and with 1."""
    return {
        name: [
            {key: round(value, 4) for key, value in row.items()}
            for row in reliability_bins(softmax(logits, divisor), labels)
        ]
        for name, divisor in (("calibrated", temperature), ("uncalibrated", 1.0))
    }
