"""Rows of a table, as `datasets` gives them -> columns `image` and `label` with our names."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import datasets
import numpy as np
from PIL import Image

from fer.errors import InputError
from fer.text import counted
from train.data.listing import Reading, map_splits
from train.data.names import map_classes, renamed

__all__ = [
    "CSV_CLASSES",
    "IMAGE_NAMES",
    "LABEL_NAMES",
    "PIXEL_NAMES",
    "find_column",
    "picture_of_text",
    "read_columns",
    "stored_pictures",
]

# The challenge's own order, https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
CSV_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PIXEL_NAMES = ("pixels", "pixel")
IMAGE_NAMES = ("image", "img", "picture", "photo", "face")
LABEL_NAMES = ("label", "labels", "emotion", "expression", "class", "target", "category")
_TEXTS = ("string", "large_string")
_CONTENTS = ("binary", "large_binary")
# Of names of columns in errors.
_SHOWN, _CUT = 12, 40


def find_column(
    columns: Iterable[str],
    asked: str | None,
    names: tuple[str, ...],
    what: str,
    option: str,
    fits: Callable[[str], bool] = lambda name: True,
    strict: bool = True,
) -> str:
    """Return the requested column, or that has one of `names`, or the only one that fits.

    Args:
        columns: all there are.
        asked: by the caller; None to find one.
        names: usual ones, in the order in which they count; in any case.
        what: what errors call the table.
        option: that of the command line, for errors.
        fits: whether a column is of a type that will do.
        strict: do not take a column for being the only one that fits where none fits by name.

    Raises:
        InputError: it is not there, or cannot be told.
    """
    columns = list(columns)
    if asked is not None:
        if asked not in columns:
            raise InputError(
                f"{what} must have the column of {option} {asked}. Received: {_some(columns)}"
            )
        return asked
    for name in names:
        found = [each for each in columns if each.strip().casefold() == name and fits(each)]
        if len(found) == 1:
            return found[0]
    found = [] if strict else [each for each in columns if fits(each)]
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"{what} must have columns `image` and `label`, or {option} must name one. "
        f"Received: {_some(columns)}" + (f", of which {found} would do" if found else "")
    )


def _some(columns: list[str]) -> str:
    """Return the names of columns, cut where they are long or many."""
    cut = [name if len(name) <= _CUT else f"{name[:_CUT]} ..." for name in columns[:_SHOWN]]
    return f"{cut}" + (f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else "")


def picture_of_text(text: str, where: str) -> Image.Image:
    """Return the gray square picture whose pixels are the numbers in `text`.

    Raises:
        InputError: these are not n * n numbers 0..255; `where` says in what.
    """
    try:
        values = [float(word) for word in text.replace(",", " ").strip("[] ").split()]
        pixels = np.array(values)
        if not ((pixels >= 0) & (pixels <= 255) & (pixels == np.round(pixels))).all():
            raise ValueError("others")
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"pixels must be whole numbers 0..255 in {where}. Received: {str(text)[:40]!r}"
        ) from error
    side = math.isqrt(len(pixels))
    if side == 0 or side * side != len(pixels):
        raise InputError(
            f"pixels must be a square of numbers in {where}. Received: {len(pixels)} numbers"
        )
    return Image.fromarray(pixels.astype(np.uint8).reshape(side, side))


def _is_picture(feature: Any) -> bool:
    return isinstance(feature, datasets.Image)


def _is_content(feature: Any) -> bool:
    """Return whether a column has the content of files, as pandas and pyarrow write pictures."""
    if isinstance(feature, dict):
        return set(feature) <= {"bytes", "path"} and _is_content(feature.get("bytes"))
    return isinstance(feature, datasets.Value) and feature.dtype in _CONTENTS


def _typed(rows: datasets.Dataset) -> datasets.Dataset:
    """Return `rows` with the content of files as pictures."""
    for name, feature in rows.features.items():
        if _is_content(feature):
            rows = rows.cast_column(name, datasets.Image())
    return rows


def _is_text(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in _TEXTS


def _is_label(feature: Any) -> bool:
    return isinstance(feature, datasets.ClassLabel)


def _may_be_label(feature: Any) -> bool:
    return isinstance(feature, datasets.ClassLabel) or (
        isinstance(feature, datasets.Value)
        and (_is_text(feature) or feature.dtype.startswith(("int", "uint", "float")))
    )


def _image_column(rows: datasets.Dataset, what: str, asked: str | None) -> str:
    features = rows.features
    pictures = [name for name in features if _is_picture(features[name])]
    if asked is None and not pictures:
        texts = [name for name in features if _is_text(features[name])]
        named = [name for name in texts if name.strip().casefold() in PIXEL_NAMES]
        alike = [name for name in texts if len(rows) and _looks_like_pixels(rows[0][name])]
        if len(found := named or alike) == 1:
            return str(found[0])
    if asked is None and not pictures:
        _check_type(features, IMAGE_NAMES, what, "pictures, or pixels as text")
    name = find_column(
        features,
        asked,
        IMAGE_NAMES,
        what,
        "--image-column",
        lambda each: _is_picture(features[each]),
        strict=False,
    )
    if not (_is_picture(features[name]) or _is_text(features[name])):
        raise InputError(f"`{name}` of {what} must be pictures. Received: {features[name]}")
    return name


def _check_type(
    features: datasets.Features, names: tuple[str, ...], what: str, wanted: str
) -> None:
    """Refuse a column that is called as what is looked for, and has none of its types."""
    for name, feature in features.items():
        if name.strip().casefold() in names:
            raise InputError(f"`{name}` of {what} must be {wanted}. Received: {feature}")


def _looks_like_pixels(text: Any) -> bool:
    words = str(text).split()[:16]
    return len(words) == 16 and all(word.isdigit() for word in words)


def _label_column(rows: datasets.Dataset, what: str, asked: str | None) -> str:
    features = rows.features
    if asked is None:
        named = [name for name in features if _is_label(features[name])]
        if len(named) == 1:
            return str(named[0])
        if not any(map(_may_be_label, features.values())):
            _check_type(features, LABEL_NAMES, what, "classes or their names")
    name = find_column(
        features,
        asked,
        LABEL_NAMES,
        what,
        "--label-column",
        lambda each: _may_be_label(features[each]),
    )
    if not _may_be_label(features[name]):
        raise InputError(
            f"`{name}` of {what} must be classes or their names. Received: {features[name]}"
        )
    return name


def _decode_pixels(texts: list[str], index: list[int], what: str, name: str) -> dict[str, Any]:
    return {
        "image": [
            picture_of_text(text, f"`{name}` of row {i} of {what}")
            for text, i in zip(texts, index, strict=True)
        ]
    }


def _named_labels(rows: datasets.Dataset, what: str, label: str, pixels: bool) -> list[str]:
    """Return the name of each row's class, as the data set spells it."""
    feature, values = rows.features[label], list(rows[label])
    missing = next((i for i, value in enumerate(values) if value in (None, "", -1)), None)
    if missing is not None:
        raise InputError(
            f"every picture of {what} must have a label. Received: some without, as row {missing}"
        )
    if _is_label(feature):
        return [feature.names[value] for value in values]
    if _is_text(feature) and not all(str(value).strip().isdigit() for value in values):
        return [str(value).strip() for value in values]
    numbers = [float(value) for value in values]
    if not pixels:
        raise InputError(
            f"`{label}` of {what} must be a ClassLabel or names, which say what the numbers mean. "
            f"Received: {feature}"
        )
    wrong = next((i for i, number in enumerate(numbers) if number not in range(7)), None)
    if wrong is not None:
        raise InputError(
            f"`{label}` of {what} must be 0..6, the numbers of the challenge. "
            f"Received: {values[wrong]} in row {wrong}"
        )
    return [CSV_CLASSES[int(number)] for number in numbers]


def stored_pictures(rows: datasets.Dataset) -> datasets.Dataset:
    """Return the column `image` alone, as `bytes` and `path`."""
    return rows.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))


def read_columns(
    source: datasets.DatasetDict, what: str, reading: Reading
) -> tuple[datasets.DatasetDict, list[str]]:
    """Bring a data set's splits, columns and classes under our names.

    Args:
        source: as `datasets` loads it, with pictures or with pixels as text.
        what: what errors call it.
        reading: what the caller knows of it.

    Returns:
        Splits with columns `image` and `label`, a ClassLabel that is the same in all, and
        the other columns; and what was changed, a line each, for people. Classes that are all
        expressions stand in the order of the alphabet, others in the data set's own order.

    Raises:
        InputError: no training split, or a column or a label that cannot be understood.
    """
    splits = map_splits(source, what, reading.exact)
    if "train" not in splits.values():
        raise InputError(f"{what} must have a split 'train'. Received: {sorted(source)}")
    notes = renamed(splits, "splits")
    if others := sorted(set(source) - set(splits)):
        notes.append(
            "not used: "
            + ", ".join(
                f"{counted(len(source[each]), 'rows')} of the split {each}" for each in others
            )
        )
    found = {split: _typed(source[name]) for name, split in splits.items()}
    order = list(dict.fromkeys(("train", *found)))
    image = _image_column(found["train"], f"{what}[train]", reading.image_column)
    label = _label_column(found["train"], f"{what}[train]", reading.label_column)
    notes += renamed({image: "image", label: "label"}, "columns")
    for split in order:
        if missing := {image, label} - set(found[split].column_names):
            raise InputError(
                f"{what}[{split}] must have the columns of train. Received: none called "
                f"{sorted(missing)}"
            )
    pixels = not _is_picture(found["train"].features[image])
    names = {
        split: _named_labels(found[split], f"{what}[{split}]", label, pixels) for split in order
    }
    feature = found["train"].features[label]
    own = list(feature.names) if _is_label(feature) else sorted(set(names["train"]))
    spelled = [set(names["train"]) | set(own), *(set(names[split]) for split in order[1:])]
    mapping = map_classes(spelled, what, reading.exact)
    notes += renamed(mapping, "classes")
    classes = list(dict.fromkeys(mapping[name] for name in own))
    if set(classes) <= {*CSV_CLASSES, "contempt"}:
        classes.sort()
    result = datasets.DatasetDict()
    for split in order:
        where = f"{what}[{split}]"
        rows = _with_pictures(found[split], where, image, label)
        found_names = [mapping[name] for name in names[split]]
        result[split] = _with_labels(rows, where, label, found_names, classes)
    return result, notes


def _with_labels(
    rows: datasets.Dataset, what: str, label: str, names: list[str], classes: list[str]
) -> datasets.Dataset:
    """Return `rows` with `names` as the column `label`, and no other column of labels.

    Raises:
        InputError: a name is not among `classes`.
    """
    if unknown := sorted(set(names) - set(classes)):
        raise InputError(
            f"labels of {what} must be among {classes}, as in train. Received: {unknown}"
        )
    made = datasets.ClassLabel(names=classes)
    if label == "label" and rows.features["label"] == made:
        return rows
    numbers = [classes.index(name) for name in names]
    dropped = [each for each in {label, "label"} if each in rows.column_names]
    return rows.remove_columns(dropped).add_column("label", numbers, feature=made)


def _with_pictures(rows: datasets.Dataset, what: str, image: str, label: str) -> datasets.Dataset:
    """Return `rows` with pictures in the column `image`, and no other column of pictures."""
    if image != "image" and "image" in rows.column_names and label != "image":
        rows = rows.remove_columns("image")
    if _is_picture(rows.features[image]):
        return rows if image == "image" else rows.rename_column(image, "image")
    features = {name: each for name, each in rows.features.items() if name != image}
    return rows.map(
        partial(_decode_pixels, what=what, name=image),
        with_indices=True,
        batched=True,
        input_columns=[image],
        remove_columns=[image],
        features=datasets.Features(**features, image=datasets.Image()),
        desc="pixels",
    )
