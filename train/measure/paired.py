"""Compare two networks image by image, to tell a small gain from chance."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fer.classify import Classifier, decide
from fer.errors import InputError
from fer.types import Decision
from train.data.split import Split

__all__ = ["compare", "format_comparison"]


def compare(one: Classifier, other: Classifier, split: Split) -> list[dict[str, Any]]:
    """Count the images on which only one of two networks is right.

    Args:
        one: a network.
        other: what it is compared with.
        split: images and labels; those with a twin in training do not count.

    Returns:
        A row for each decision of `one`, compared with the same decision of `other`, or with the
        one that it serves. If both predict votes, one more row, of the images where one class won.
        Each has `decision`, `against`, `n_images`, accuracies `top1` and `other_top1` in
        per cent, how often only one is right, `only_one` and `only_other`, and `p`, the
        probability of a difference at least as large between equally good networks.

    Raises:
        InputError: the networks have other classes.

    Source: McNemar 1947 (doi:10.1007/BF02295996), in its exact form.
    """
    names = one.config.class_names
    if other.config.class_names != names:
        raise InputError(
            f"both networks must have the classes {', '.join(names)}. "
            f"Received: {', '.join(other.config.class_names)}"
        )
    fresh = ~split.twin
    labels = split.labels[fresh]
    logits = [each.head_logits(split.images[fresh]) for each in (one, other)]
    rows, theirs = [], _decisions(other)
    for name, decision in _decisions(one).items():
        against = name if name in theirs else next(iter(theirs))
        right = [
            decide(values["labels"], each).argmax(axis=1) == labels
            for values, each in zip(logits, (decision, theirs[against]), strict=True)
        ]
        rows.append(_row(name, against, *right))
    winners = np.full(len(labels), -1) if split.winners is None else split.winners[fresh]
    clear = winners >= 0
    if clear.any() and all("votes" in values for values in logits):
        right = [values["votes"].argmax(axis=1)[clear] == winners[clear] for values in logits]
        rows.append(_row("votes", "votes", *right))
    return rows


def _row(
    name: str, against: str, right: NDArray[np.bool_], other_right: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return a row of `compare`, from the images on which each network is right."""
    only_one, only_other = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    n_different = only_one + only_other
    return {
        "decision": name,
        "against": against,
        "n_images": len(right),
        "top1": 100 * float(right.mean()),
        "other_top1": 100 * float(other_right.mean()),
        "only_one": only_one,
        "only_other": only_other,
        "p": float(binomtest(only_one, n_different).pvalue) if n_different else 1.0,
    }


def _decisions(classifier: Classifier) -> dict[str, Decision]:
    """Return the decisions of the labels' head, the one that is served first."""
    config = classifier.config
    if not config.heads:
        return {"dataset": config.served}
    return {config.decision: config.served, **config.head("labels").decisions}


def format_comparison(rows: list[dict[str, Any]]) -> str:
    """Format what `compare` found, a line for each decision."""
    return "\n".join(
        f"{row['decision']} against {row['against']}: {row['top1']:.2f} % against "
        f"{row['other_top1']:.2f} % of {row['n_images']:,} images without a twin; only the first "
        f"is right on {row['only_one']}, only the second on {row['only_other']}, p {row['p']:.3f}"
        for row in rows
    )
