"""The shape of results/<recipe>.json, for what writes it and what reads it."""

from typing import Any

__all__ = ["PARTS", "plot_names"]

# What is measured of the test split, with a title for people.
PARTS = {
    "full": "all test images",
    "twin_free": "without twins in training",
    "full_flip": "all, flip",
    "twin_free_flip": "without twins, flip",
}
# Pictures by the key of the report that they are drawn from.
_DRAWN_FROM = {
    "confusion": "full",
    "reliability": "reliability",
    "coverage": "coverage",
    "training": "training",
    "robustness": "robustness",
}


def plot_names(report: dict[str, Any]) -> dict[str, str]:
    """The file in results/ of every picture of `report` for which it holds something."""
    return {
        name: f"{report['recipe']}_{name}.png" for name, key in _DRAWN_FROM.items() if report[key]
    }
