"""Measure a serving folder once on the test split: JSON, a CSV row and plots in results/."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import rel_entr
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from fer.classify import Classifier, decide, softmax
from fer.errors import ConfigError, InputError
from fer.hub import LITERT_NAME, load_folder
from fer.image import image_to_frame
from fer.preprocess import resize
from fer.types import Decision, ModelConfig
from train.calibrate import match_shares
from train.data.dataset import OpenDataset
from train.data.split import Split, select_classes
from train.data.votes import VOTE_CLASSES
from train.measure.figures import (
    coverage_curve,
    expected_calibration_error,
    find_intervals,
    find_reliability,
    measure_logits,
    percent,
    score_answers,
)
from train.measure.formats import measure_formats
from train.measure.plots import write_plots
from train.measure.report import MODELS_FOLDER, PARTS, load_json
from train.measure.robustness import CORRUPTIONS, Corruption, corrupt
from train.recipes import FAMILY, RECIPES, TRAINING_NAME

__all__ = ["evaluate", "measure"]


def _ferplus(test: Split, logits: NDArray[np.float32]) -> dict[str, float] | None:
    """Measure the agreement with FER+'s majority; None where no image has one."""
    if test.majority is None or not (voted := test.majority >= 0).any():
        return None
    predicted = logits.argmax(axis=1)
    scores = score_answers(test.majority[voted], predicted[voted], len(test.class_names))
    return {"n_images": int(voted.sum()), **scores}


def measure(classifier: Classifier, split: Split) -> dict[str, Any]:
    """Measure every head of a network, and every decision, on the images of a split.

    Returns:
        For each of `train.measure.report.PARTS` the figures of the served decision. With `heads`
        in the configuration also `decision`; `decisions`, for each its `bias`, `temperature` and
        parts; and `votes`, None where the images have none: see `_measure_votes`.

    Raises:
        ConfigError: the votes' head has other classes than FER+.
    """
    config = classifier.config
    raw = classifier.head_logits(split.images)
    mirrored = classifier.head_logits(split.images[:, :, ::-1])
    flipped = (raw["labels"] + mirrored["labels"]) / np.float32(2)
    fresh = ~split.twin

    def parts(decision: Decision) -> dict[str, Any]:
        found = {}
        for part in PARTS:
            keep = fresh if part.startswith("twin_free") else np.ones_like(fresh)
            found[part] = measure_logits(
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
    """Measure the votes' head against FER+; None where the images have no votes.

    `majority` is FER+'s protocol of that name (`train.data.votes.vote_winners`), `shares` the mean
    distance between the real shares of the votes q (`train.data.votes.vote_shares`) and the
    predicted ones p: `total_variation` half the sum of |p - q|, `kl` the sum of q log(q / p), in
    nats.
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
                **score_answers(winners, answers, n_classes),
                "interval_95": {
                    "top1": find_intervals(winners, answers, VOTE_CLASSES)["top1"],
                },
                "recall": {
                    name: percent(hits / count) if count else None
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


def _load_crops(dataset: OpenDataset, config: ModelConfig) -> list[NDArray[np.uint8]]:
    """Load the test pictures with as many pixels as the model sees, so that all fit in memory."""
    rows = dataset.rows("test")
    index, _ = select_classes(rows, config.class_names)
    side = config.detail_size
    return [resize(image_to_frame(row["image"]), side, side) for row in rows.select(index)]


def _validate(
    classifier: Classifier, dataset: OpenDataset
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Return the scores on the validation split, and `match_shares`'s bias (k,) for it."""
    split = dataset.split("validation", classifier.config)
    logits, fresh = classifier.logits(split.images), ~split.twin
    hit = logits.argmax(axis=1) == split.labels
    scores = {
        "n_images": len(split.labels),
        **score_answers(split.labels, logits.argmax(axis=1), len(split.class_names)),
        "twin_free_top1": percent(hit[fresh].mean()),
    }
    return scores, match_shares(logits[fresh], split.labels[fresh])


def _shares(
    classifier: Classifier, test: Split, logits: NDArray[np.float32], added: NDArray[np.float32]
) -> dict[str, Any]:
    """Count how often each class is the label, probable, and answered; and what changes that.

    `matched` adds the bias (k,) that validation asks for; `scaled_twice` shows the network
    pixels in 0..1, as programs do that scale for a network which scales by itself.
    """
    names = test.class_names

    def shares(predicted: NDArray[np.int64]) -> dict[str, float]:
        return {name: percent((predicted == i).mean()) for i, name in enumerate(names)}

    def answered(logits: NDArray[np.float32]) -> dict[str, Any]:
        predicted = logits.argmax(axis=1)
        return {**score_answers(test.labels, predicted, len(names)), "answers": shares(predicted)}

    mean_probs = softmax(logits, classifier.config.temperature).mean(axis=0)
    # One image at a time is little memory, whatever the size.
    dark = [classifier.logits(image[None].astype(np.float32) / 255) for image in test.images]
    return {
        "labels": shares(test.labels),
        "probs": {name: percent(p) for name, p in zip(names, mean_probs, strict=True)},
        "answers": shares(logits.argmax(axis=1)),
        "matched": {
            "bias": {name: round(float(b), 4) for name, b in zip(names, added, strict=True)},
            **answered(logits + added),
        },
        "scaled_twice": answered(np.concatenate(dark)),
    }


def _on_classes(test: Split, logits: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Score the answers among the classes of recipes that tell fewer apart, on their images."""
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
                **score_answers(labels, predicted, len(names)),
                "twin_free_top1": percent((predicted == labels)[fresh].mean()),
            }
        )
    return rows


def _robustness(
    classifier: Classifier, crops: Sequence[NDArray[np.uint8]], labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Measure top-1 and calibration at every strength of every corruption."""

    def measure(level: tuple[Corruption, float]) -> dict[str, float]:
        corruption, strength = level
        probs = classifier(
            [corrupt(crop, corruption.name, strength, seed=i) for i, crop in enumerate(crops)]
        )
        return {
            "strength": strength,
            "top1": percent((probs.argmax(axis=1) == labels).mean()),
            "ece": round(expected_calibration_error(probs, labels), 4),
        }

    levels = [(each, strength) for each in CORRUPTIONS for strength in each.strengths]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(
            tqdm(pool.map(measure, levels), total=len(levels), desc="robustness", disable=None)
        )
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


def _coverage(test: Split, probs: NDArray[np.float32]) -> dict[str, list[dict[str, float]]]:
    """Return `coverage_curve` of all test images, and of those without twins."""
    fresh = ~test.twin
    return {
        "full": coverage_curve(probs, test.labels),
        "twin_free": coverage_curve(probs[fresh], test.labels[fresh]),
    }


def _describe(config: ModelConfig, dataset: OpenDataset, test: Split) -> dict[str, Any]:
    """Return what is measured, on what."""
    return {
        "recipe": config.recipe,
        "file": LITERT_NAME,
        "sha256": config.files[LITERT_NAME],
        "trained_on": config.dataset,
        "dataset": dataset.title,
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


def evaluate(
    folder: Path, dataset: OpenDataset, results: Path, robustness: bool = True
) -> dict[str, Any]:
    """Measure the LiteRT file in `folder` on the test split and write the figures.

    `full` is what the literature reports; `twin_free` leaves out the test images with a copy in
    the training split. `flip` averages the logits of an image and its mirror image; everything
    else is a single pass. Uncalibrated figures have temperature 1. Figures are of the served
    decision; `decisions` has those of all and `votes` those of the second head, where there is
    one. `formats` compares the files that the network is shipped in or can be converted to,
    `robustness` the answers on ever worse crops. `validation` is the split that the epoch was
    chosen on, `shares` says how often each class is answered, and `on_classes` keeps to the
    classes of recipes that tell fewer apart.

    Args:
        folder: with fer.json and model.tflite; model.keras, from which other formats are
            converted, and training.json where there are any.
        dataset: with the same classes.
        results: folder to write `<recipe>.json`, the plots of `train.measure.plots` and the row of
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
    test = dataset.split("test", config)
    path = results / f"{config.recipe}.json"
    _check_same(path, test.sha256)
    report = _describe(config, dataset, test) | measure(classifier, test)
    logits = classifier.logits(test.images)
    validation, added = _validate(classifier, dataset)
    raw = classifier.head_logits(test.images)
    # The page compares those of the family.
    shown = results / MODELS_FOLDER / config.recipe if config.recipe in FAMILY else None
    report |= {
        "coverage": _coverage(test, softmax(logits, config.temperature)),
        "reliability": {"full": find_reliability(logits, test.labels, config.temperature)},
        "ferplus": _ferplus(test, logits),
        "validation": validation,
        "shares": _shares(classifier, test, logits, added),
        "on_classes": _on_classes(test, logits),
        "formats": measure_formats(folder, dataset, config, test, raw, shown),
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
    """Write the row of a report into results.csv; it replaces an earlier one of the recipe."""
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
