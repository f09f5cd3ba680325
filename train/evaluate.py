"""Measure a serving folder once on the test split: JSON, a CSV row and plots in results/."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import rel_entr
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)
from tqdm import tqdm

from fer.classify import Classifier, decide, softmax
from fer.errors import ConfigError, InputError
from fer.gallery import INT8_NAME
from fer.hub import KERAS_NAME, LITERT_NAME, load_folder
from fer.image import image_to_frame
from fer.preprocess import resize
from fer.types import CONFIG_NAME, Decision, ModelConfig
from train.calibrate import match_shares
from train.data import VOTE_CLASSES, Split, dataset_name, load_rows, load_split, select_classes
from train.plots import write_plots
from train.recipes import FAMILY, RECIPES, TRAINING_NAME
from train.report import MODELS_FOLDER, PARTS, load_json, missing_classes
from train.robustness import CORRUPTIONS, Corruption, corrupt

__all__ = [
    "brier_score",
    "coverage_curve",
    "evaluate",
    "expected_calibration_error",
    "format_measure",
    "format_report",
    "macro_f1",
    "mean_recall",
    "measure",
    "reliability_bins",
]

log = logging.getLogger(__name__)

_N_BOOTSTRAP = 2000
_N_BINS = 15


def _percent(value: float) -> float:
    return round(100 * float(value), 2)


def reliability_bins(
    probs: NDArray[np.float32], labels: NDArray[np.int64], n_bins: int = _N_BINS
) -> list[dict[str, float]]:
    """Top probability against accuracy in bins of equal width; empty ones are left out.

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
    probs: NDArray[np.float32], labels: NDArray[np.int64], n_bins: int = _N_BINS
) -> float:
    """Mean gap between top probability and accuracy over `reliability_bins`, weighted.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    return sum(
        abs(row["mean_prob"] - row["accuracy"]) * row["share"]
        for row in reliability_bins(probs, labels, n_bins)
    )


def brier_score(probs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean squared distance of probs (n, k) from the one-hot label, summed over classes.

    From 0 to 2, not halved.

    Source: Brier 1950, Monthly Weather Review 78(1), equation 2.
    """
    onehot = np.eye(probs.shape[1])[labels]
    return float(((probs - onehot) ** 2).sum(axis=1).mean())


def _nll(probs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    of_label = probs[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, 1e-9)).mean())


def coverage_curve(probs: NDArray[np.float32], labels: NDArray[np.int64]) -> list[dict[str, float]]:
    """Top-1 where only the most certain images get an answer.

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
                "top1": _percent(hit[kept].mean()),
                "threshold": round(float(top[kept[-1]]), 4),
            }
        )
    return rows


def _intervals(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, Any]:
    """95 % percentile bootstrap of `_scores` and each F1, over confusion matrices."""
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
        return [_percent(v) for v in np.percentile(values, [2.5, 97.5])]

    return {
        "top1": bounds(top1),
        "macro_f1": bounds(f1[:, shown].mean(axis=1)),
        "balanced_accuracy": bounds(balanced),
        "f1": {name: bounds(f1[:, i]) for i, name in enumerate(names)},
    }


def mean_recall(table: NDArray[np.int64]) -> float:
    """Return the balanced accuracy 0..1 of a confusion matrix (k, k), a row a label.

    Classes without images do not count.
    """
    n_images = table.sum(axis=1)
    return float((np.diag(table)[n_images > 0] / n_images[n_images > 0]).mean())


def macro_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the mean F1 0..1 of the classes that have images; the others do not count."""
    return float(
        f1_score(labels, predicted, average="macro", labels=np.unique(labels), zero_division=0)
    )


def _scores(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int
) -> dict[str, float]:
    classes = np.arange(n_classes)
    return {
        "top1": _percent(accuracy_score(labels, predicted)),
        "macro_f1": _percent(macro_f1(labels, predicted)),
        "balanced_accuracy": _percent(
            mean_recall(confusion_matrix(labels, predicted, labels=classes))
        ),
    }


def _measure(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    decision: Decision,
    uncertain_below: float,
) -> dict[str, Any]:
    """The figures of raw `logits` (n, k) under `decision`."""
    probs = decide(logits, decision)
    uncalibrated = decide(logits, replace(decision, temperature=1.0))
    predicted = probs.argmax(axis=1)
    classes = np.arange(len(names))
    columns = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    sure = probs.max(axis=1) >= uncertain_below
    hit = predicted == labels
    intervals = _intervals(labels, predicted, names)

    return {
        "n_images": len(labels),
        **_scores(labels, predicted, len(names)),
        "interval_95": {key: intervals[key] for key in ("top1", "macro_f1", "balanced_accuracy")},
        "nll": round(_nll(probs, labels), 4),
        "nll_uncalibrated": round(_nll(uncalibrated, labels), 4),
        "brier": round(brier_score(probs, labels), 4),
        "brier_uncalibrated": round(brier_score(uncalibrated, labels), 4),
        "ece": round(expected_calibration_error(probs, labels), 4),
        "ece_uncalibrated": round(expected_calibration_error(uncalibrated, labels), 4),
        "uncertain_share": _percent(1 - sure.mean()),
        "top1_certain": _percent(hit[sure].mean()) if sure.any() else None,
        "top1_uncertain": _percent(hit[~sure].mean()) if (~sure).any() else None,
        "classes": {
            name: {
                "precision": _percent(columns[0][i]),
                "recall": _percent(columns[1][i]),
                "f1": _percent(columns[2][i]),
                "f1_interval_95": intervals["f1"][name],
                "n_images": int(columns[3][i]),
            }
            for i, name in enumerate(names)
        },
        "confusion_matrix": confusion_matrix(labels, predicted, labels=classes).tolist(),
    }


def _reliability(
    logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> dict[str, list[dict[str, float]]]:
    return {
        name: [
            {key: round(value, 4) for key, value in row.items()}
            for row in reliability_bins(softmax(logits, divisor), labels)
        ]
        for name, divisor in (("calibrated", temperature), ("uncalibrated", 1.0))
    }


def _ferplus(test: Split, logits: NDArray[np.float32]) -> dict[str, float] | None:
    """Agreement with FER+'s majority; None where no image has one."""
    if test.majority is None or not (voted := test.majority >= 0).any():
        return None
    predicted = logits.argmax(axis=1)
    scores = _scores(test.majority[voted], predicted[voted], len(test.class_names))
    return {"n_images": int(voted.sum()), **scores}


def measure(classifier: Classifier, split: Split) -> dict[str, Any]:
    """Measure every head of a network, and every decision, on the images of a split.

    Returns:
        For each of `train.report.PARTS` the figures of the served decision. With `heads` in the
        configuration also `decision`; `decisions`, for each its `bias`, `temperature` and parts;
        and `votes`, None where the images have none: see `_measure_votes`.

    Raises:
        ConfigError: the votes' head has other classes than FER+.
    """
    config = classifier.config
    raw = classifier.head_logits(split.images)
    mirrored = classifier.head_logits(split.images[:, :, ::-1])
    flipped = (raw["labels"] + mirrored["labels"]) / 2
    fresh = ~split.twin

    def parts(decision: Decision) -> dict[str, Any]:
        found = {}
        for part in PARTS:
            keep = fresh if part.startswith("twin_free") else np.ones_like(fresh)
            found[part] = _measure(
                (flipped if part.endswith("flip") else raw["labels"])[keep],
                split.labels[keep],
                config.class_names,
                decision,
                config.uncertain_below,
            )
        return found

    if not config.heads:
        return parts(config.served)
    decisions = {
        name: {
            "bias": dict(zip(config.class_names, decision.bias, strict=True)),
            "temperature": decision.temperature,
            **parts(decision),
        }
        for name, decision in config.head("labels").decisions.items()
    }
    served = {part: decisions[config.decision][part] for part in PARTS}
    votes = {}
    if "votes" in config.heads:
        if config.vote_names != VOTE_CLASSES:
            raise ConfigError(
                f"the votes' head must have the classes {VOTE_CLASSES}. "
                f"Received: {config.vote_names}"
            )
        how = config.head("votes").decisions["dataset"]
        votes = {"votes": _measure_votes(split, raw["votes"], how)}
    return {**served, "decision": config.decision, "decisions": decisions, **votes}


def _measure_votes(
    split: Split, logits: NDArray[np.float32], decision: Decision
) -> dict[str, Any] | None:
    """How well the votes' head answers FER+; None where the images have no votes.

    `majority` is FER+'s protocol of that name (`train.data.vote_winners`), `shares` the mean
    distance between the real shares of the votes q (`train.data.vote_shares`) and the predicted
    ones p: `total_variation` half the sum of |p - q|, `kl` the sum of q log(q / p), in nats.
    """
    if split.winners is None or split.shares is None:
        return None
    probs = decide(logits, decision).astype(np.float64)
    n_classes = len(VOTE_CLASSES)
    report: dict[str, Any] = {
        "class_names": list(VOTE_CLASSES),
        "temperature": decision.temperature,
    }
    for part in ("full", "twin_free"):
        keep = ~split.twin if part == "twin_free" else np.ones_like(split.twin)
        won = keep & (split.winners >= 0)
        voted = keep & (split.shares.sum(axis=1) > 0)
        if not won.any() or not voted.any():
            return None
        winners, answers = split.winners[won], probs[won].argmax(axis=1)
        table = confusion_matrix(winners, answers, labels=np.arange(n_classes))
        n_images = table.sum(axis=1)
        real, predicted = split.shares[voted].astype(np.float64), probs[voted]
        report[part] = {
            "majority": {
                "n_images": int(won.sum()),
                **_scores(winners, answers, n_classes),
                "interval_95": {
                    "top1": _intervals(winners, answers, VOTE_CLASSES)["top1"],
                },
                "recall": {
                    name: _percent(hits / count) if count else None
                    for name, hits, count in zip(
                        VOTE_CLASSES, np.diag(table), n_images, strict=True
                    )
                },
                "confusion_matrix": table.tolist(),
            },
            "shares": {
                "n_images": int(voted.sum()),
                "total_variation": round(float(np.abs(predicted - real).sum(axis=1).mean() / 2), 4),
                "kl": round(float(rel_entr(real, predicted).sum(axis=1).mean()), 4),
            },
        }
    return report


def _formats(
    folder: Path,
    dataset: str,
    config: ModelConfig,
    test: Split,
    logits: dict[str, NDArray[np.float32]],
    int8_folder: Path | None,
) -> list[dict[str, Any]]:
    """Every format against the LiteRT file in `folder`, whose `logits` of each head are given.

    What `folder` does not hold is converted from its model.keras, and left out where that
    is not there or Keras runs on another backend than TensorFlow. The int8 file is kept in
    `int8_folder`.
    """
    # They bring Keras and TensorFlow, which take seconds and which nothing else here needs.
    import keras

    from train.export import FORMATS, format_file, load_network

    probs, fresh = decide(logits["labels"], config.served), ~test.twin
    n_classes = len(config.class_names)
    served = _scores(test.labels, probs.argmax(axis=1), n_classes)
    converts = (folder / KERAS_NAME).is_file() and keras.backend.backend() == "tensorflow"
    held = [file for file in config.files if (folder / file).is_file()]
    known = [form for form in FORMATS.values() if converts or form.file in held]
    if missing := [form.name for form in FORMATS.values() if form not in known]:
        log.warning(
            "%s are not measured: that needs TensorFlow and %s in %s",
            ", ".join(missing),
            KERAS_NAME,
            folder,
        )
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for form in tqdm(known, desc="formats"):
            path = format_file(form, folder, Path(made), dataset)
            found = Classifier(load_network(path), config).head_logits(test.images)
            answers = decide(found["labels"], config.served)
            predicted = answers.argmax(axis=1)
            scores = _scores(test.labels, predicted, n_classes)
            gap = np.abs(answers - probs).max()
            content = path.read_bytes()
            if form.file == INT8_NAME and int8_folder is not None:
                _keep(int8_folder, config, form.file, content)
            rows.append(
                {
                    "format": form.name,
                    "file": form.file,
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    **scores,
                    "twin_free_top1": _percent((predicted == test.labels)[fresh].mean()),
                    "top1_change": round(scores["top1"] - served["top1"], 2),
                    # The order of additions, which a machine chooses, moves further digits.
                    "largest_prob_gap": float(f"{gap:.1e}"),
                    **_votes_of_format(config, test, found, logits),
                }
            )
    return rows


def _votes_of_format(
    config: ModelConfig,
    test: Split,
    logits: dict[str, NDArray[np.float32]],
    reference: dict[str, NDArray[np.float32]],
) -> dict[str, float | None]:
    """What a format adds to its figures where the network has a head for votes."""
    if "votes" not in config.heads:
        return {}
    how = config.head("votes").decisions["dataset"]
    gap = np.abs(decide(logits["votes"], how) - decide(reference["votes"], how)).max()
    won = np.zeros(0, bool) if test.winners is None else test.winners >= 0
    hits = None
    if won.any():
        hits = _percent((logits["votes"][won].argmax(axis=1) == test.winners[won]).mean())
    return {"votes_top1": hits, "votes_largest_prob_gap": float(f"{gap:.1e}")}


def _load_crops(dataset: str, config: ModelConfig) -> list[NDArray[np.uint8]]:
    """The test pictures with as many pixels as the model sees, so that all fit in memory."""
    rows = load_rows(dataset, "test")
    index, _ = select_classes(rows, config.class_names)
    side = config.detail_size
    return [resize(image_to_frame(row["image"]), side, side) for row in rows.select(index)]


def _keep(folder: Path, config: ModelConfig, file: str, content: bytes) -> None:
    """Write one file of a network, and a fer.json that names no other."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(content)
    alone = replace(config, files={file: hashlib.sha256(content).hexdigest()})
    (folder / CONFIG_NAME).write_text(alone.to_json(), encoding="utf-8")


def _validate(classifier: Classifier, dataset: str) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """The scores on the validation split, and `match_shares`'s bias (k,) for it."""
    split = load_split(dataset, "validation", classifier.config)
    logits, fresh = classifier.logits(split.images), ~split.twin
    hit = logits.argmax(axis=1) == split.labels
    scores = {
        "n_images": len(split.labels),
        **_scores(split.labels, logits.argmax(axis=1), len(split.class_names)),
        "twin_free_top1": _percent(hit[fresh].mean()),
    }
    return scores, match_shares(logits[fresh], split.labels[fresh])


def _shares(
    classifier: Classifier, test: Split, logits: NDArray[np.float32], added: NDArray[np.float32]
) -> dict[str, Any]:
    """How often each class is the label, probable, and answered; and what changes that.

    `matched` adds the bias (k,) that validation asks for; `scaled_twice` shows the network
    pixels in 0..1, as programs do that scale for a network which scales by itself.
    """
    names = test.class_names

    def shares(predicted: NDArray[np.int64]) -> dict[str, float]:
        return {name: _percent((predicted == i).mean()) for i, name in enumerate(names)}

    def answered(logits: NDArray[np.float32]) -> dict[str, Any]:
        predicted = logits.argmax(axis=1)
        return {**_scores(test.labels, predicted, len(names)), "answers": shares(predicted)}

    mean_probs = softmax(logits, classifier.config.temperature).mean(axis=0)
    # One image at a time is little memory, whatever the size.
    dark = [classifier.logits(image[None].astype(np.float32) / 255) for image in test.images]
    return {
        "labels": shares(test.labels),
        "probs": {name: _percent(p) for name, p in zip(names, mean_probs, strict=True)},
        "answers": shares(logits.argmax(axis=1)),
        "matched": {
            "bias": {name: round(float(b), 4) for name, b in zip(names, added, strict=True)},
            **answered(logits + added),
        },
        "scaled_twice": answered(np.concatenate(dark)),
    }


def _on_classes(test: Split, logits: NDArray[np.float32]) -> list[dict[str, Any]]:
    """The scores where only the classes of a recipe with fewer of them are shown and asked for."""
    rows = []
    for wanted in sorted({get().classes for get in RECIPES.values()} - {()}):
        names = [name for name in test.class_names if name in wanted]
        if len(names) != len(wanted) or len(names) == len(test.class_names):
            continue
        columns = [test.class_names.index(name) for name in names]
        shown = np.isin(test.labels, columns)
        labels = np.searchsorted(columns, test.labels[shown])
        predicted = logits[shown][:, columns].argmax(axis=1)
        fresh = ~test.twin[shown]
        rows.append(
            {
                "class_names": names,
                "n_images": int(shown.sum()),
                **_scores(labels, predicted, len(names)),
                "twin_free_top1": _percent((predicted == labels)[fresh].mean()),
            }
        )
    return rows


def _robustness(
    classifier: Classifier, crops: Sequence[NDArray[np.uint8]], labels: NDArray[np.int64]
) -> dict[str, Any]:
    def measure(level: tuple[Corruption, float]) -> dict[str, float]:
        corruption, strength = level
        probs = classifier(
            [corrupt(crop, corruption.name, strength, seed=i) for i, crop in enumerate(crops)]
        )
        return {
            "strength": strength,
            "top1": _percent((probs.argmax(axis=1) == labels).mean()),
            "ece": round(expected_calibration_error(probs, labels), 4),
        }

    levels = [(each, strength) for each in CORRUPTIONS for strength in each.strengths]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(tqdm(pool.map(measure, levels), total=len(levels), desc="robustness"))
    report: dict[str, Any] = {corruption.name: [] for corruption in CORRUPTIONS}
    for (corruption, _), row in zip(levels, rows, strict=True):
        report[corruption.name].append(row)
    return report | {"units": {corruption.name: corruption.unit for corruption in CORRUPTIONS}}


def _check_same(path: Path, test_sha256: str) -> None:
    """Raise before figures on one test split replace those on another."""
    earlier = load_json(path)
    if earlier is not None and earlier["test_sha256"] != test_sha256:
        raise InputError(
            f"{path} holds figures on another test split, so --results must name another "
            f"folder. Received: a test split with sha256 {test_sha256}"
        )


def evaluate(folder: Path, dataset: str, results: Path, robustness: bool = True) -> dict[str, Any]:
    """Measure the LiteRT file in `folder` on the test split and write the figures.

    `full` is what the literature reports; `twin_free` leaves out the test images of which
    a copy stands in the training split. `flip` averages the logits of an image and its
    mirror image; everything else is a single pass. What is called uncalibrated has
    temperature 1. Figures are of the served decision; `decisions` has those of all and `votes`
    those of the second head, where there is one. `formats` compares the files that the network is
    shipped in or can be converted to, `robustness` what comes of ever worse crops. `validation` is
    the split that the epoch was chosen on, `shares` says how often each class is answered, and
    `on_classes` keeps to the classes of recipes that tell fewer apart.

    Args:
        folder: with fer.json and model.tflite; model.keras, from which other formats are
            converted, and training.json where there are any.
        dataset: Hub repository or folder with the same classes.
        results: folder to write `<recipe>.json`, the plots of `train.plots` and the row of
            `results.csv` in, and for recipes of `train.recipes.FAMILY` the int8 file.
        robustness: corrupt the test images as well, which takes most of the time.

    Returns:
        The content of the JSON file; percentages are 0..100.

    Raises:
        InputError: the data set cannot be used, or `results` holds figures of this recipe
            on another test split.
        ConfigError: `folder` is not usable.
    """
    classifier = load_folder(folder)
    config = classifier.config
    test = load_split(dataset, "test", config)
    path = results / f"{config.recipe}.json"
    _check_same(path, test.sha256)
    raw = classifier.head_logits(test.images)
    logits, fresh = classifier.logits(test.images), ~test.twin
    report: dict[str, Any] = {
        "recipe": config.recipe,
        "file": LITERT_NAME,
        "sha256": config.files[LITERT_NAME],
        "trained_on": config.dataset,
        "dataset": dataset_name(dataset),
        "test_sha256": test.sha256,
        "twins_marked": bool(test.twin.any()),
        "class_names": list(config.class_names),
        "input_size": config.input_size,
        "detail_size": config.detail_size,
        "stretch_percentile": config.stretch_percentile,
        "color_mode": config.color_mode,
        "temperature": config.temperature,
        "uncertain_below": config.uncertain_below,
    }
    report |= measure(classifier, test)
    probs = softmax(logits, config.temperature)
    validation, added = _validate(classifier, dataset)
    # The page compares those of the family.
    shown = results / MODELS_FOLDER / config.recipe if config.recipe in FAMILY else None
    report |= {
        "coverage": {
            "full": coverage_curve(probs, test.labels),
            "twin_free": coverage_curve(probs[fresh], test.labels[fresh]),
        },
        "reliability": {"full": _reliability(logits, test.labels, config.temperature)},
        "ferplus": _ferplus(test, logits),
        "validation": validation,
        "shares": _shares(classifier, test, logits, added),
        "on_classes": _on_classes(test, logits),
        "formats": _formats(folder, dataset, config, test, raw, shown),
        "robustness": None,
        "training": load_json(folder / TRAINING_NAME),
    }
    if robustness:
        report["robustness"] = _robustness(classifier, _load_crops(dataset, config), test.labels)
    results.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    write_plots(report, results)
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
    for part in PARTS:
        row |= {f"{part}_{key}": report[part][key] for key in ("top1", "macro_f1", "ece")}
    row |= {f"full_{key}": report["full"][key] for key in ("nll", "brier")}
    row["ferplus_top1"] = report["ferplus"] and report["ferplus"]["top1"]
    top1 = {each["format"]: each["top1"] for each in report["formats"]}
    row["litert_int8_top1"] = top1.get("litert-int8")
    if "decisions" in report:
        row["decision"] = report["decision"]
        for name, figures in report["decisions"].items():
            for part in ("full", "twin_free"):
                for key in ("top1", "balanced_accuracy"):
                    row[f"{name}_{part}_{key}"] = figures[part][key]
    if report.get("votes"):
        row["votes_top1"] = report["votes"]["full"]["majority"]["top1"]
    row["sha256"] = report["sha256"]
    table = pd.DataFrame([row])
    if path.is_file():
        earlier = pd.read_csv(path)
        table = pd.concat([table, earlier[earlier["recipe"] != report["recipe"]]])
    table.sort_values("recipe").to_csv(path, index=False)


def format_report(report: dict[str, Any]) -> str:
    """The figures of `evaluate` as text for a terminal."""
    lines = [f"{report['recipe']} ({report['file']}) on {report['dataset']} test", ""]
    if not report["twins_marked"]:
        lines += ["The data marks no twins, so twin_free is not known to be free of them.", ""]
    lines += [*_part_lines(report), "", *_decision_lines(report)]
    lines += [
        "",
        f"{'temperature':15}{'ECE: 1':>10}{'fitted':>8}{'NLL: 1':>10}{'fitted':>8}"
        f"{'Brier: 1':>10}{'fitted':>8}",
    ]
    for part in PARTS:
        figures = report[part]
        lines.append(
            f"{part:15}"
            + "".join(
                f"{figures[f'{key}_uncalibrated']:10.4f}{figures[key]:8.4f}"
                for key in ("ece", "nll", "brier")
            )
        )
    for part in ("full", "twin_free"):
        lines += ["", f"{part:12}{'precision':>10}{'recall':>8}{'F1':>8}  95 % of F1     images"]
        for name, row in report[part]["classes"].items():
            low, high = row["f1_interval_95"]
            lines.append(
                f"{name:12}{row['precision']:10.2f}{row['recall']:8.2f}{row['f1']:8.2f}"
                f"  [{low:.2f}, {high:.2f}]{row['n_images']:7}"
            )
    lines += [
        "",
        f"{'coverage':15}" + _columns(row["coverage"] for row in report["coverage"]["full"]),
    ]
    for part, rows in report["coverage"].items():
        lines.append(f"{part:15}" + _columns(row["top1"] for row in rows))
    if report["ferplus"]:
        lines += [
            "",
            "FER+ majority   n={n_images:5}  top-1 {top1:.2f} %".format(**report["ferplus"]),
        ]
    lines += _vote_lines(report)
    lines += [
        "",
        f"{'format':15}{'bytes':>10}{'top-1':>8}{'change':>8}  largest gap of a probability",
    ]
    for row in report["formats"]:
        lines.append(
            f"{row['format']:15}{row['bytes']:10}{row['top1']:8.2f}{row['top1_change']:+8.2f}"
            f"  {row['largest_prob_gap']:.1e}"
        )
    if report["robustness"] is None:
        return "\n".join(lines)
    lines += ["", "top-1 by strength of corruption"]
    for corruption in CORRUPTIONS:
        rows = report["robustness"][corruption.name]
        lines.append(
            f"{corruption.title:15}"
            + "".join(f"{row['top1']:8.2f} ({row['strength']:g})" for row in rows)
            + f"  {corruption.unit}"
        )
    return "\n".join(lines)


def _columns(values: Iterable[float]) -> str:
    return "".join(f"{value:8.2f}" for value in values)


def format_measure(report: dict[str, Any]) -> str:
    """Return the figures of `measure` as text for a terminal."""
    lines = [*_part_lines(report), "", *_decision_lines(report), *_vote_lines(report)]
    return "\n".join(lines)


def _part_lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for part in PARTS:
        figures = report[part]
        low, high = figures["interval_95"]["top1"]
        low_f1, high_f1 = figures["interval_95"]["macro_f1"]
        lines.append(
            f"{part:15} n={figures['n_images']:5}  top-1 {figures['top1']:.2f} % "
            f"[{low:.2f}, {high:.2f}]  macro F1 {figures['macro_f1'] / 100:.4f} "
            f"[{low_f1 / 100:.4f}, {high_f1 / 100:.4f}]"
        )
    return lines


def _decision_lines(report: dict[str, Any]) -> list[str]:
    """Every decision of the labels' head; "dataset" alone where a network has one head."""
    lines = [
        f"{'decision':15}{'part':12}{'top-1':>8}{'balanced':>10}{'macro F1':>10}{'ECE':>8}"
        "  lowest recall"
    ]
    decisions = report.get("decisions", {"dataset": report})
    for name, figures in decisions.items():
        served = name == report.get("decision", "dataset")
        for part in ("full", "twin_free"):
            row = figures[part]
            recall = {
                each: found["recall"]
                for each, found in row["classes"].items()
                if found.get("n_images") != 0
            }
            lowest = min(recall, key=lambda each: recall[each])
            lines.append(
                f"{name + (' *' if served else ''):15}{part:12}{row['top1']:8.2f}"
                f"{row['balanced_accuracy']:10.2f}{row['macro_f1']:10.2f}{row['ece']:8.4f}"
                f"  {lowest} {recall[lowest]:.2f}"
            )
    return [*lines, "* is served", *map("{}.".format, missing_classes(report))]


def _vote_lines(report: dict[str, Any]) -> list[str]:
    if not report.get("votes"):
        return []
    lines = ["", f"{'votes':15}{'images':>8}{'top-1':>8}{'balanced':>10}{'distance':>10}{'KL':>8}"]
    for part in ("full", "twin_free"):
        majority, shares = (report["votes"][part][key] for key in ("majority", "shares"))
        lines.append(
            f"{part:15}{majority['n_images']:8}{majority['top1']:8.2f}"
            f"{majority['balanced_accuracy']:10.2f}{shares['total_variation']:10.4f}"
            f"{shares['kl']:8.4f}"
        )
    return lines
