"""Compare two networks image by image, to tell a small gain from chance."""

from typing import Any

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
        A row for each decision of `one`, against the same decision of `other`, or against the one
        that it serves: `decision`, `against`, `n_images`, accuracies `top1` and `other_top1` in
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
    logits = [each.head_logits(split.images[fresh])["labels"] for each in (one, other)]
    rows, theirs = [], _decisions(other)
    for name, decision in _decisions(one).items():
        against = name if name in theirs else next(iter(theirs))
        right = [
            decide(values, each).argmax(axis=1) == labels
            for values, each in zip(logits, (decision, theirs[against]), strict=True)
        ]
        only_one, only_other = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        n_different = only_one + only_other
        rows.append(
            {
                "decision": name,
                "against": against,
                "n_images": len(labels),
                "top1": 100 * float(right[0].mean()),
                "other_top1": 100 * float(right[1].mean()),
                "only_one": only_one,
                "only_other": only_other,
                "p": float(binomtest(only_one, n_different).pvalue) if n_different else 1.0,
            }
        )
    return rows


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
