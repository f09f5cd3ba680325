"""Pictures of the figures of `train.measure.evaluate`, the same bytes from the same figures."""

import logging
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay

from fer.fonts import drawn_names, find_font, legend
from train.measure.report import plot_names
from train.measure.robustness import CORRUPTIONS

__all__ = ["write_plots"]

log = logging.getLogger(__name__)

# A README shows pictures 800 pixels wide; these hold twice as many for fine screens.
_WIDTH_IN, _DPI = 8.0, 200
# The user's own matplotlibrc must not show, and colour-blind people must see all of it.
_STYLE = ["default", "tableau-colorblind10"]
_FIRST, _SECOND, _QUIET = "C0", "C1", "C3"


def _figure(height_in: float) -> Figure:
    return Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")


def _confusion(report: dict[str, Any]) -> Figure:
    table = np.array(report["full"]["confusion_matrix"], float)
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = _figure(6.4)
    axes = figure.subplots()
    names = report["class_names"]
    ConfusionMatrixDisplay(shares, display_labels=drawn_names(names)).plot(
        ax=axes, cmap="Blues", values_format=".0f", colorbar=False
    )
    if note := legend(names):
        log.warning("%s: %s", plot_names(report)["confusion"], note)
    if file := find_font("".join(names)):
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_fontproperties(FontProperties(fname=file))
    axes.set(title="Test images of each class, by answer (%)", xlabel="answer", ylabel="label")
    return figure


def _reliability_panel(
    curve: Axes, histogram: Axes, bins: list[dict[str, float]], title: str
) -> None:
    low = np.array([row["low"] for row in bins])
    width = np.array([row["high"] for row in bins]) - low
    accuracy = [row["accuracy"] for row in bins]
    curve.plot([0, 1], [0, 1], color=_QUIET, linestyle="--", label="calibrated")
    probs = [row["mean_prob"] for row in bins]
    curve.plot(probs, accuracy, color=_FIRST, marker="o", clip_on=False, label="measured")
    curve.set(title=title, ylim=(0, 1))
    histogram.bar(low, [100 * row["share"] for row in bins], width, align="edge", edgecolor="white")
    histogram.set(xlim=(0, 1), xlabel="top probability")


def _reliability(report: dict[str, Any]) -> Figure:
    figure = _figure(5.2)
    axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
    full, bins = report["full"], report["reliability"]["full"]
    before = f"before: temperature 1, ECE {full['ece_uncalibrated']:.3f}"
    after = f"after: temperature {report['temperature']:.3f}, ECE {full['ece']:.3f}"
    _reliability_panel(axes[0, 0], axes[1, 0], bins["uncalibrated"], before)
    _reliability_panel(axes[0, 1], axes[1, 1], bins["calibrated"], after)
    axes[0, 0].set_ylabel("part of the answers that are right")
    axes[1, 0].set_ylabel("images (%)")
    axes[0, 0].legend(frameon=False)
    return figure


def _coverage(report: dict[str, Any]) -> Figure:
    figure = _figure(4.4)
    axes = figure.subplots()
    for part, title, color, marker in (
        ("full", "all test images", _FIRST, "o"),
        ("twin_free", "without twins in training", _SECOND, "s"),
    ):
        rows = report["coverage"][part]
        axes.plot(
            [row["coverage"] for row in rows],
            [row["top1"] for row in rows],
            color=color,
            marker=marker,
            label=title,
        )
    axes.set(
        title="Answers kept only where the top probability is high",
        xlabel="images that get an answer, the most certain first (%)",
        ylabel="top-1 of those (%)",
        xticks=range(10, 101, 10),
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _training(report: dict[str, Any]) -> Figure:
    record = report["training"]
    log, phases = record["log"], record["recipe"]["phases"]
    epochs = [row["epoch"] + 1 for row in log]  # Keras counts from 0
    figure = _figure(3.9)
    for axes, key, title, scale in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("loss", "top-1 (%)"), (1, 100), strict=True
    ):
        for prefix, name, color in (
            ("", "training, augmented", _FIRST),
            ("val_", "validation", _SECOND),
        ):
            values = [scale * row[prefix + key] for row in log]
            axes.plot(epochs, values, color=color, marker=".", label=name)
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3, axis="y")
        _mark_phases(axes, phases)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _mark_phases(axes: Axes, phases: list[dict[str, Any]]) -> None:
    first = 1
    for phase in phases:
        if first > 1:
            axes.axvline(first - 0.5, color=_QUIET, linewidth=0.8, linestyle=":")
        axes.text(
            first - 0.4,
            1.01,
            f"{phase['input_size']} px",
            transform=axes.get_xaxis_transform(),
            fontsize="small",
            color=_QUIET,
        )
        first += phase["epochs"]


def _robustness(report: dict[str, Any]) -> Figure:
    figure = _figure(4.8)
    chance = 100 / len(report["class_names"])
    panels = figure.subplots(2, 5, sharey=True).flat
    for axes, corruption in zip(panels, CORRUPTIONS, strict=True):
        rows = report["robustness"][corruption.name]
        clean = axes.axhline(report["full"]["top1"], color=_SECOND, linestyle="--")
        guessed = axes.axhline(chance, color=_QUIET, linestyle=":")
        # Strengths stand at equal steps: some halve, some add, and all fit.
        (line,) = axes.plot([row["top1"] for row in rows], color=_FIRST, marker="o", markersize=4)
        axes.set_xticks(range(len(rows)), [f"{row['strength']:g}" for row in rows])
        axes.tick_params(labelsize="x-small")
        axes.set_title(corruption.title, fontsize="medium")
        axes.set_xlabel(corruption.unit, fontsize="x-small")
        axes.set_ylim(0, 100)
    figure.supylabel("top-1 (%)", fontsize="medium")
    figure.legend(
        (line, clean, guessed),
        ("corrupted", "as it is", f"chance, 1 of {len(report['class_names'])}"),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return figure


_DRAW = {
    "confusion": _confusion,
    "reliability": _reliability,
    "coverage": _coverage,
    "training": _training,
    "robustness": _robustness,
}


def write_plots(report: dict[str, Any], results: Path) -> None:
    """Draw `report` into `results`; training curves only where the weights have a log.

    Args:
        report: what `train.measure.evaluate.evaluate` returns.
        results: folder for the PNG files.
    """
    for name, file in plot_names(report).items():
        with matplotlib.style.context(_STYLE):
            _DRAW[name](report).savefig(results / file, dpi=_DPI, metadata={"Software": None})
