"""How often the answer changes when only the person changes, on rendered faces."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from fer.errors import InputError
from fer.hub import LITERT_NAME, WEIGHTS_FOLDER, load_detector, load_folder
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.preprocess import resize
from fer.types import ModelConfig
from train.measure.report import subgroup_files

__all__ = [
    "ATTRIBUTES",
    "PICTURES_NAME",
    "answer_pictures",
    "measure_subgroups",
    "read_pictures",
    "summarize",
]

ATTRIBUTES = ("skin", "sex", "age")
# The table of the pictures, as `tools.render.people` writes it.
PICTURES_NAME = "pictures.csv"

_THUMB_PX, _GAP_PX, _TEXT_PX, _MARGIN_PX = 64, 2, 13, 62
# The part of a picture that shows the face: left, upper, right, lower.
_FACE = (0.18, 0.10, 0.82, 0.74)
_COLORS = 192
# Blue and orange of matplotlib's tableau-colorblind10.
_RIGHT_RGB, _WRONG_RGB, _INK_RGB = (0, 107, 164), (200, 82, 0), (89, 89, 89)


def _percent(hits: pd.Series) -> float | None:
    return round(100 * float(hits.mean()), 2) if len(hits) else None


def _pairs(found: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Pair the pictures of each expression: differing attributes, same answer, change."""
    rows = found.reset_index(drop=True).reset_index(names="row")
    both = rows.merge(rows, on="expression", suffixes=("_a", "_b"))
    both = both[both["row_a"] < both["row_b"]]
    first = both[[f"{name}_a" for name in class_names]].to_numpy(float)
    second = both[[f"{name}_b" for name in class_names]].to_numpy(float)
    return pd.DataFrame(
        {
            "expression": both["expression"],
            **{name: both[f"{name}_a"] != both[f"{name}_b"] for name in ATTRIBUTES},
            "same": both["answer_a"] == both["answer_b"],
            "prob_change": np.abs(first - second).sum(axis=1) / 2,
        }
    )


def summarize(answers: pd.DataFrame, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of the probe.

    Args:
        answers: one row a picture; columns expression (what was rendered), skin, sex, age,
            answer (a class name; missing where no face was found), and for each class name
            a column with its probability.
        class_names: the model's.

    Returns:
        n_pictures; n_found, the pictures with a face, which alone enter the rest; accuracy,
        the percentage of answers that are the rendered expression; consistency, the
        percentage of pairs of one expression on two persons with the same answer; answers,
        the percentage of them that each class is;
        by_attribute, the pairs whose persons differ in that attribute alone: how many, the
        percentage whose answers differ, and how much probability moves between classes on
        average (half the sum of absolute differences, 0..1); by_expression; by_group.
        None where there is nothing to count.
    """
    found = answers[answers["answer"].notna()].copy()
    found["hit"] = found["answer"] == found["expression"]
    pairs = _pairs(found, class_names)
    alone = pairs[pairs[list(ATTRIBUTES)].sum(axis=1) == 1]
    report: dict[str, Any] = {
        "n_pictures": len(answers),
        "n_found": len(found),
        "accuracy": _percent(found["hit"]),
        "consistency": _percent(pairs["same"]),
        "answers": {name: _percent(found["answer"] == name) for name in class_names},
        "by_attribute": {},
        "by_expression": {},
        "by_group": {},
    }
    for name in ATTRIBUTES:
        changed = alone[alone[name]]
        report["by_attribute"][name] = {
            "pairs": len(changed),
            "changed": _percent(~changed["same"]),
            "mean_prob_change": round(float(changed["prob_change"].mean()), 4)
            if len(changed)
            else None,
        }
        report["by_group"][name] = {
            str(value): {
                "accuracy": _percent(found.loc[found[name] == value, "hit"]),
                "n": int((found[name] == value).sum()),
            }
            for value in answers[name].unique()
        }
    for expression in sorted(answers["expression"].unique()):
        report["by_expression"][expression] = {
            "accuracy": _percent(found.loc[found["expression"] == expression, "hit"]),
            "consistency": _percent(pairs.loc[pairs["expression"] == expression, "same"]),
        }
    return report


def read_pictures(pictures: Path, config: ModelConfig) -> pd.DataFrame:
    """Read the table of a folder of rendered pictures.

    Raises:
        InputError: there is no pictures.csv, or the weights know other expressions.
    """
    path = pictures / PICTURES_NAME
    if not path.is_file():
        raise InputError(f"{PICTURES_NAME} must be in {pictures}. Received: no such file")
    table = pd.read_csv(path)
    if unknown := sorted(set(table["expression"]) - set(config.class_names)):
        raise InputError(
            f"the weights must know the rendered expressions {unknown}. "
            f"Received: {config.class_names}"
        )
    return table


def answer_pictures(pipeline: Pipeline, pictures: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Add the answers to `table`; of several faces the detector's best counts."""
    rows: list[dict[str, Any]] = []
    for file in tqdm(table["file"], unit=" pictures", disable=None):
        result = pipeline(read_image(pictures / file))
        if not result.labels or result.faces.probs is None:
            rows.append({"answer": None})
            continue
        probs = dict(zip(result.class_names, result.faces.probs[0].tolist(), strict=True))
        rows.append({"answer": result.labels[0], **probs})
    columns = ["answer", *pipeline.classifier.config.class_names]
    return table.join(pd.DataFrame(rows, columns=columns, index=table.index))


def _draw_sheet(answers: pd.DataFrame, pictures: Path) -> Image.Image:
    """Draw every picture with its answer: a block a sex, a row an expression, blue if right."""
    columns = list(itertools.product(answers["skin"].unique(), answers["age"].unique()))
    lines = list(itertools.product(answers["sex"].unique(), sorted(answers["expression"].unique())))
    step_x, step_y = _THUMB_PX + _GAP_PX, _THUMB_PX + _TEXT_PX + _GAP_PX
    size = (_MARGIN_PX + len(columns) * step_x, 2 * _TEXT_PX + len(lines) * step_y)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, (skin, age) in enumerate(columns):
        draw.text((_MARGIN_PX + i * step_x, 0), f"{skin}\n{age} years", _INK_RGB, font, spacing=1)
    at = answers.set_index(["skin", "age", "sex", "expression"])
    for j, (sex, expression) in enumerate(lines):
        y = 2 * _TEXT_PX + 2 + j * step_y
        draw.text((2, y), f"{sex}\n{expression}", _INK_RGB, font, spacing=1)
        for i, (skin, age) in enumerate(columns):
            if (skin, age, sex, expression) not in at.index:
                continue
            row = at.loc[(skin, age, sex, expression)]
            frame = read_image(pictures / row["file"])
            left, upper, right, lower = (
                round(part * side) for part, side in zip(_FACE, 2 * frame.shape[1::-1], strict=True)
            )
            thumb = resize(frame[upper:lower, left:right], _THUMB_PX, _THUMB_PX)
            x = _MARGIN_PX + i * step_x
            sheet.paste(Image.fromarray(thumb), (x, y))
            answer = "no face" if pd.isna(row["answer"]) else row["answer"]
            color = _RIGHT_RGB if answer == expression else _WRONG_RGB
            draw.text((x, y + _THUMB_PX), answer, color, font)
    return sheet.quantize(_COLORS, dither=Image.Dither.NONE)


def measure_subgroups(
    results: Path, pictures: Path, detector: str | None, model: Path = WEIGHTS_FOLDER
) -> dict[str, Any]:
    """Measure a model on the pictures of `tools.render.people.render_people`.

    Args:
        results: folder to write `<recipe>_subgroups.json` and `<recipe>_subgroups.png` in.
        pictures: folder with pictures.csv and what it names.
        detector: see `fer.hub.load_detector`.
        model: folder with fer.json and model.tflite.

    Returns:
        The content of the JSON file: recipe, sha256, detector and what `summarize` returns.

    Raises:
        InputError: there is no pictures.csv, or the weights know other expressions.
        HubError: the requested detector cannot be fetched.
        DetectorError: it cannot be built.
        ConfigError: `model` is not usable.
    """
    pipeline = Pipeline(load_detector(detector), load_folder(model))
    config = pipeline.classifier.config
    table = read_pictures(pictures, config)
    answers = answer_pictures(pipeline, pictures, table)
    report: dict[str, Any] = {
        "recipe": config.recipe,
        "sha256": config.files[LITERT_NAME],
        "detector": pipeline.detector.title,
        **summarize(answers, config.class_names),
    }
    results.mkdir(parents=True, exist_ok=True)
    files = subgroup_files(config.recipe)
    (results / files[0]).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _draw_sheet(answers, pictures).save(results / files[1], optimize=True)
    return report
