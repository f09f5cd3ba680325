"""The shape of results/<recipe>.json, for what writes it and what reads it."""

import json
from pathlib import Path
from typing import Any

from fer.errors import InputError
from fer.gallery import INT8_NAME

__all__ = [
    "MODELS_FOLDER",
    "PARTS",
    "load_json",
    "load_probe",
    "missing_classes",
    "plot_names",
    "read_int8",
    "resting_file",
    "subgroup_files",
]

# In results/: a folder a recipe with what the page compares.
MODELS_FOLDER = "models"

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
    """Return the file in results/ of every picture that `report` has figures for."""
    return {
        name: f"{report['recipe']}_{name}.png" for name, key in _DRAWN_FROM.items() if report[key]
    }


def missing_classes(report: dict[str, Any]) -> list[str]:
    """Name the classes without images of each part, in a line without a full stop."""
    found: dict[str, list[str]] = {}
    for part in ("full", "twin_free"):
        classes = report[part].get("classes", {})
        names = [name for name, row in classes.items() if row.get("n_images") == 0]
        if names and names not in found.values():
            found[part] = names
    return [
        f"{', '.join(names)} without images ({PARTS[part]}): left out of macro F1 and balanced "
        "accuracy"
        for part, names in found.items()
    ]


def subgroup_files(recipe: str) -> tuple[str, str]:
    """Return the files in results/ of a probe with rendered persons: figures, and pictures."""
    return f"{recipe}_subgroups.json", f"{recipe}_subgroups.png"


def resting_file(recipe: str) -> str:
    """Return the file in results/ that says what it gains to compare with resting faces."""
    return f"{recipe}_resting.json"


def load_json(path: Path) -> dict[str, Any] | None:
    """Read the object in a file; None where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def load_probe(results: Path, report: dict[str, Any]) -> dict[str, Any] | None:
    """Read the figures with rendered persons of exactly the weights of `report`; None without."""
    probe = load_json(results / subgroup_files(report["recipe"])[0])
    return probe if probe is not None and probe["sha256"] == report["sha256"] else None


def read_int8(path: Path) -> dict[str, Any]:
    """Read what the report in a file says of the int8 file: `top1`, `sha256` and more.

    Raises:
        InputError: there is no report, or it names no such file, or several.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["formats"]
        (row,) = (row for row in rows if row["file"] == INT8_NAME)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} must name one {INT8_NAME}, as `python -m train evaluate` with TensorFlow "
            f"writes it. Received: {error!r}"
        ) from error
    return dict(row)
