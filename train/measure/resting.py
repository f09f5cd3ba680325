"""What it gains to compare rendered persons with their resting faces."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer.errors import InputError
from fer.hub import LITERT_NAME, WEIGHTS_FOLDER, load_detector, load_folder
from fer.pipeline import Pipeline
from fer.resting import STRENGTH, Baseline, find_shift
from fer.types import ModelConfig
from train.measure.report import resting_file
from train.measure.subgroups import answer_pictures, read_pictures

__all__ = ["REST", "SHOT", "measure_resting", "summarize"]

# The column that says which pictures of a person are for the resting face, and its value there.
# Without it the neutral picture is.
SHOT, REST = "shot", "rest"

_STRENGTHS = (0.0, 0.5, STRENGTH, 1.0)
_N_SAMPLES = 2000
_LEAST = 1e-12
_NOT_WHO = ("file", "expression", SHOT)


def _split_rest(answers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split pictures into those of resting faces, and all others."""
    column, value = (SHOT, REST) if SHOT in answers else ("expression", "neutral")
    is_rest = answers[column] == value
    return answers[is_rest], answers[~is_rest]


def _compare_all(
    answers: pd.DataFrame, config: ModelConfig
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Pair the pictures of persons with their resting faces.

    Args:
        answers: one row a picture, as `answer_pictures` gives it; columns besides file, expression
            and shot say who it is.
        config: of the model.

    Returns:
        The rows whose person has a resting face, with `person` (a number), and what is taken from
        the logits of each, (n, k), at full strength.
    """
    names = list(config.class_names)
    who = [name for name in answers.columns if name not in (*_NOT_WHO, "answer", *names)]
    found = answers[answers["answer"].notna()]
    found = found.assign(person=found.groupby(who, sort=False).ngroup())
    rest, others = _split_rest(found)
    shifts = {
        person: find_shift(Baseline.average(rows[names].to_numpy(float)), config) / STRENGTH
        for person, rows in rest.groupby("person")
    }
    others = others[others["person"].isin(shifts)]
    if others.empty:
        raise InputError("a person must have a resting face and other pictures. Received: none")
    return others, np.stack([shifts[person] for person in others["person"]])


def _gain_interval(gains: NDArray[np.float64], persons: NDArray[np.int64]) -> list[float]:
    """Return the 95 % interval of the mean gain in points, by a bootstrap of the persons."""
    rng = np.random.default_rng(0)
    sums = np.bincount(persons, gains)
    counts = np.bincount(persons)
    kept = counts > 0
    sums, counts = sums[kept], counts[kept]
    drawn = rng.integers(0, len(sums), (_N_SAMPLES, len(sums)))
    means = 100 * sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return [round(float(value), 2) for value in np.quantile(means, (0.025, 0.975))]


def _percent(hits: NDArray[np.bool_]) -> float:
    return round(100 * float(hits.mean()), 2)


def summarize(answers: pd.DataFrame, config: ModelConfig) -> dict[str, Any]:
    """Return the figures: with each strength of the comparison, and what `STRENGTH` gains.

    Args:
        answers: see `_compare_all`.
        config: of the model.

    Returns:
        n_persons and n_pictures, of those that are measured: with a face, of a person with a
        resting face, and not that itself; by_strength {strength: accuracy, and by_expression, in
        percent}; gain in points, and gain_interval over the persons (95 %).

    Raises:
        InputError: nobody has a resting face and another picture, or see `find_shift`.
        ConfigError: see `find_shift`.
    """
    others, shifts = _compare_all(answers, config)
    names = np.array(config.class_names)
    logs = np.log(np.maximum(others[list(names)].to_numpy(float), _LEAST))
    truth = others["expression"].to_numpy()
    hits = {s: names[(logs - s * shifts).argmax(axis=1)] == truth for s in _STRENGTHS}
    gains = hits[STRENGTH].astype(float) - hits[0.0]
    persons = others["person"].to_numpy()
    return {
        "n_persons": len(set(persons)),
        "n_pictures": len(others),
        "by_strength": {
            f"{s:g}": {
                "accuracy": _percent(each),
                "by_expression": {
                    str(name): _percent(each[truth == name]) for name in sorted(set(truth))
                },
            }
            for s, each in hits.items()
        },
        "gain": round(100 * float(gains.mean()), 2),
        "gain_interval": _gain_interval(gains, persons),
    }


def measure_resting(
    results: Path, pictures: Path, detector: str | None, model: Path = WEIGHTS_FOLDER
) -> dict[str, Any]:
    """Measure a model on persons with a picture of their resting face.

    Args:
        results: folder to write `<recipe>_resting.json` in.
        pictures: folder with pictures.csv and what it names: columns file, expression, and who it
            is; with a column shot the rows of "rest" are the resting faces, else the neutral ones.
        detector: see `fer.hub.load_detector`.
        model: folder with fer.json and model.tflite.

    Returns:
        The content of the file: recipe, sha256, detector and what `summarize` returns.

    Raises:
        InputError: there is no pictures.csv, or see `summarize`.
        HubError: the requested detector cannot be fetched.
        DetectorError: it cannot be built.
        ConfigError: `model` is not usable, or does not know the average neutral face.
    """
    pipeline = Pipeline(load_detector(detector), load_folder(model))
    config = pipeline.classifier.config
    pipeline.check_baseline(Baseline((1 / len(config.class_names),) * len(config.class_names)))
    table = read_pictures(pictures, config)
    report: dict[str, Any] = {
        "recipe": config.recipe,
        "sha256": config.files[LITERT_NAME],
        "detector": pipeline.detector.title,
        **summarize(answer_pictures(pipeline, pictures, table), config),
    }
    results.mkdir(parents=True, exist_ok=True)
    path = results / resting_file(config.recipe)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report
