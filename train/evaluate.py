"""Measure a serving folder once on the test split: JSON, a CSV row and a plot in results/."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from fer.classify import softmax
from fer.hub import LITERT_NAME, load_folder
from train.data import dataset_name, load_split

__all__ = ["evaluate", "expected_calibration_error"]

_N_BOOTSTRAP = 2000
_PARTS = ("full", "twin_free", "full_flip", "twin_free_flip")


def expected_calibration_error(
    probs: NDArray[np.float32], labels: NDArray[np.int64], n_bins: int = 15
) -> float:
    """Mean gap between top probability and accuracy over equal-width bins, weighted.

    Args:
        probs: (n, k) rows that sum to 1.
        labels: (n,) class indices.
        n_bins: of [0, 1].

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    top, hit = probs.max(axis=1), probs.argmax(axis=1) == labels
    bins = np.minimum((top * n_bins).astype(int), n_bins - 1)
    gaps = [
        abs(top[bins == b].mean() - hit[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def _intervals(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, Any]:
    """95 % percentile bootstrap of top-1, macro F1 and each F1, over confusion matrices."""
    rng = np.random.default_rng(0)
    k = len(names)
    cells = labels * k + predicted
    top1, f1 = np.empty(_N_BOOTSTRAP), np.empty((_N_BOOTSTRAP, k))
    for i in range(_N_BOOTSTRAP):
        table = np.bincount(rng.choice(cells, len(cells)), minlength=k * k).reshape(k, k)
        hits = np.diag(table)
        top1[i] = hits.sum() / len(cells)
        f1[i] = 2 * hits / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)

    def bounds(values: NDArray[np.float64]) -> list[float]:
        return [round(100 * float(v), 2) for v in np.percentile(values, [2.5, 97.5])]

    return {
        "top1": bounds(top1),
        "macro_f1": bounds(f1.mean(axis=1)),
        "f1": {name: bounds(f1[:, i]) for i, name in enumerate(names)},
    }


def _measure(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    temperature: float,
    uncertain_below: float,
) -> dict[str, Any]:
    probs = softmax(logits, temperature)
    predicted = probs.argmax(axis=1)
    classes = np.arange(len(names))
    columns = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    sure = probs.max(axis=1) >= uncertain_below
    hit = predicted == labels
    of_label = probs[np.arange(len(labels)), labels]
    intervals = _intervals(labels, predicted, names)

    def percent(value: float) -> float:
        return round(100 * float(value), 2)

    return {
        "n_images": len(labels),
        "top1": percent(accuracy_score(labels, predicted)),
        "macro_f1": percent(f1_score(labels, predicted, average="macro", labels=classes)),
        "interval_95": {key: intervals[key] for key in ("top1", "macro_f1")},
        "nll": round(float(-np.log(np.maximum(of_label, 1e-9)).mean()), 4),
        "ece": round(expected_calibration_error(probs, labels), 4),
        "ece_uncalibrated": round(expected_calibration_error(softmax(logits), labels), 4),
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


def _plot_confusion(matrix: list[list[int]], names: tuple[str, ...], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from sklearn.metrics import ConfusionMatrixDisplay

    table = np.array(matrix, float)
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    ConfusionMatrixDisplay(shares, display_labels=names).plot(
        ax=axes, cmap="Blues", values_format=".0f", xticks_rotation=35, colorbar=False
    )
    axes.set(title="Test images of each class, by answer (%)", xlabel="answer", ylabel="label")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def evaluate(folder: Path, dataset: str, results: Path) -> dict[str, Any]:
    """Measure the LiteRT file in `folder` on the test split and write the figures.

    `full` is what the literature reports; `twin_free` leaves out the test images of which
    a copy stands in the training split. `flip` averages the logits of an image and its
    mirror image; everything else is a single pass.

    Args:
        folder: with fer.json and model.tflite.
        dataset: Hub repository or folder with the same classes.
        results: folder to write `<recipe>.json`, `<recipe>_confusion.png` and the row of
            `results.csv` in.

    Returns:
        The content of the JSON file; percentages are 0..100.
    """
    classifier = load_folder(folder)
    config = classifier.config
    test = load_split(dataset, "test", config)
    logits = classifier.logits(test.images)
    mirrored = classifier.logits(test.images[:, :, ::-1])
    fresh = ~test.twin
    report: dict[str, Any] = {
        "recipe": config.recipe,
        "file": LITERT_NAME,
        "sha256": config.files[LITERT_NAME],
        "trained_on": config.dataset,
        "dataset": dataset_name(dataset),
        "test_sha256": test.sha256,
        "class_names": list(config.class_names),
        "input_size": config.input_size,
        "detail_size": config.detail_size,
        "stretch_percentile": config.stretch_percentile,
        "color_mode": config.color_mode,
        "temperature": config.temperature,
        "uncertain_below": config.uncertain_below,
    }
    flipped = (logits + mirrored) / 2
    for part in _PARTS:
        keep = fresh if part.startswith("twin_free") else np.ones_like(fresh)
        report[part] = _measure(
            (flipped if part.endswith("flip") else logits)[keep],
            test.labels[keep],
            config.class_names,
            config.temperature,
            config.uncertain_below,
        )
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{config.recipe}.json").write_text(
        json.dumps(report, indent=2) + "\n", encoding="utf-8"
    )
    _plot_confusion(
        report["full"]["confusion_matrix"],
        config.class_names,
        results / f"{config.recipe}_confusion.png",
    )
    _write_row(report, results / "results.csv")
    return report


def _write_row(report: dict[str, Any], path: Path) -> None:
    row: dict[str, Any] = {
        key: report[key]
        for key in (
            "recipe",
            "trained_on",
            "dataset",
            "input_size",
            "detail_size",
            "stretch_percentile",
            "color_mode",
            "temperature",
        )
    }
    for part in _PARTS:
        row |= {f"{part}_{key}": report[part][key] for key in ("top1", "macro_f1", "ece")}
    row["sha256"] = report["sha256"]
    table = pd.DataFrame([row])
    if path.is_file():
        earlier = pd.read_csv(path)
        table = pd.concat([earlier[earlier["recipe"] != report["recipe"]], table])
    table.sort_values("recipe").to_csv(path, index=False)


def format_report(report: dict[str, Any]) -> str:
    """The figures of `evaluate` as text for a terminal."""
    lines = [f"{report['recipe']} ({report['file']}) on {report['dataset']} test", ""]
    for part in _PARTS:
        figures = report[part]
        low, high = figures["interval_95"]["top1"]
        low_f1, high_f1 = figures["interval_95"]["macro_f1"]
        lines.append(
            f"{part:15} n={figures['n_images']:5}  top-1 {figures['top1']:.2f} % "
            f"[{low:.2f}, {high:.2f}]  macro F1 {figures['macro_f1'] / 100:.4f} "
            f"[{low_f1 / 100:.4f}, {high_f1 / 100:.4f}]  ECE {figures['ece']:.4f} "
            f"(before temperature {figures['ece_uncalibrated']:.4f})"
        )
    for part in ("full", "twin_free"):
        lines += ["", f"{part:12}{'precision':>10}{'recall':>8}{'F1':>8}  95 % of F1     images"]
        for name, row in report[part]["classes"].items():
            low, high = row["f1_interval_95"]
            lines.append(
                f"{name:12}{row['precision']:10.2f}{row['recall']:8.2f}{row['f1']:8.2f}"
                f"  [{low:.2f}, {high:.2f}]{row['n_images']:7}"
            )
    return "\n".join(lines)
