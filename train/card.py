"""Figures from results/ into README.md and model_card.md; no figure there is typed by hand."""

import json
from pathlib import Path
from typing import Any

from fer.errors import InputError
from fer.hub import LITERT_NAME, WEIGHTS_FOLDER
from fer.types import ModelConfig

__all__ = ["DOCUMENTS", "fill_figures", "format_figures", "write_cards"]

DOCUMENTS = ("README.md", "model_card.md")
_BEGIN, _END = "<!-- figures -->", "<!-- /figures -->"
_PARTS = {
    "full": "all test images",
    "twin_free": "without twins in training",
    "full_flip": "all, flip",
    "twin_free_flip": "without twins, flip",
}


def format_figures(report: dict[str, Any]) -> str:
    """Two Markdown tables from what `train.evaluate.evaluate` wrote: overall, and by class."""
    lines = [
        "| FER-2013 test | images | top-1 (95 % interval) | macro F1 (95 % interval) | ECE |",
        "|---|---|---|---|---|",
    ]
    for part, title in _PARTS.items():
        row = report[part]
        top1, f1 = row["interval_95"]["top1"], row["interval_95"]["macro_f1"]
        lines.append(
            f"| {title} | {row['n_images']} "
            f"| {row['top1']:.2f} % ({top1[0]:.2f} to {top1[1]:.2f}) "
            f"| {row['macro_f1'] / 100:.3f} ({f1[0] / 100:.3f} to {f1[1] / 100:.3f}) "
            f"| {row['ece']:.3f} |"
        )
    lines += [
        "",
        "| class | precision | recall | F1 (95 % interval) | images "
        "| F1 without twins (95 % interval) | images |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in report["full"]["classes"].items():
        fresh = report["twin_free"]["classes"][name]
        lines.append(
            f"| {name} | {row['precision']:.1f} % | {row['recall']:.1f} % "
            f"| {_f1(row)} | {row['n_images']} | {_f1(fresh)} | {fresh['n_images']} |"
        )
    full = report["full"]
    lines += [
        "",
        f"Trained on {report['trained_on']}. "
        f"Before the temperature ({report['temperature']:.3f}) the ECE is "
        f"{full['ece_uncalibrated']:.3f}. {full['uncertain_share']:.0f} % of the test images are "
        f"marked uncertain (top probability under {report['uncertain_below']:.2f}): "
        f"{full['top1_uncertain']:.0f} % of those answers are right, "
        f"{full['top1_certain']:.0f} % of the others.",
    ]
    return "\n".join(lines)


def _f1(row: dict[str, Any]) -> str:
    low, high = row["f1_interval_95"]
    return f"{row['f1'] / 100:.3f} ({low / 100:.3f} to {high / 100:.3f})"


def fill_figures(text: str, figures: str) -> str:
    """`text` with `figures` between its two marks.

    Raises:
        InputError: the marks are missing.
    """
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"the document must have the marks {_BEGIN} and {_END}")
    return f"{head}{_BEGIN}\n{figures}\n{_END}{tail}"


def write_cards(results: Path, root: Path = Path()) -> None:
    """Fill the figures of the bundled weights' recipe into README.md and model_card.md.

    Raises:
        InputError: results/ holds none for these very weights.
    """
    config = ModelConfig.read(WEIGHTS_FOLDER)
    path = results / f"{config.recipe}.json"
    if not path.is_file():
        raise InputError(f"{path} must exist: run `python -m train evaluate` first")
    report = json.loads(path.read_text(encoding="utf-8"))
    if report["sha256"] != config.files[LITERT_NAME]:
        raise InputError(f"{path} must be about the bundled weights. Received: another sha256")
    for name in DOCUMENTS:
        document = root / name
        text = document.read_text(encoding="utf-8")
        document.write_text(fill_figures(text, format_figures(report)), encoding="utf-8")
