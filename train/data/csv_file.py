"""Tables of text: of pixels, in the layout of fer2013.csv, or of the paths of pictures."""

from pathlib import Path

import datasets
import numpy as np
import pandas as pd

from fer.errors import InputError
from fer.text import counted
from train.data.columns import (
    CSV_CLASSES,
    IMAGE_NAMES,
    LABEL_NAMES,
    PIXEL_NAMES,
    find_column,
    picture_of_text,
    read_columns,
)
from train.data.listing import Reading
from train.data.names import SPLITS, expression_of, renamed, split_of
from train.data.text_table import LINE, is_picture_name, read_text_table

__all__ = ["CSV_SPLITS", "names_pictures", "open_csv", "open_csv_file"]

# The challenge's own names and order, https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
CSV_SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
# What columns with the paths of pictures are called.
_PATH_NAMES = (
    *("file_name", "filename", "file", "path", "filepath", "file_path", "image_path", "img_path"),
    *IMAGE_NAMES,
)
_SHOWN = 3


def open_csv(path: Path) -> tuple[datasets.DatasetDict, pd.Series]:
    """Read a file in the layout of fer2013.csv.

    Names of columns and of splits may be in any case, labels may be names; rows without any cell
    are not used. What may part the cells: see `train.data.text_table.read_text_table`.

    Args:
        path: with columns emotion, pixels (numbers between blanks, square) and perhaps Usage.

    Returns:
        The splits, with columns `image`, `label` and `csv_row`, the number of the row; and
        the `Usage` of all rows, in the challenge's words.

    Raises:
        InputError: it is not such a file; the row is named by its line in the file.
    """
    return _open_pixels(read_text_table(path), path, Reading())


def _open_pixels(
    table: pd.DataFrame, path: Path, reading: Reading
) -> tuple[datasets.DatasetDict, pd.Series]:
    what = f"{path} (columns `emotion` and `pixels`, or `path` and `label`)"
    label_column = find_column(
        _names(table), reading.label_column, LABEL_NAMES, what, "--label-column"
    )
    pixel_column = find_column(
        _names(table), reading.image_column, PIXEL_NAMES, what, "--image-column"
    )
    used_as = {split: used for used, split in CSV_SPLITS.items()}
    splits_of_rows = _row_splits(table, path)
    usage = pd.Series([used_as[each] for each in splits_of_rows], table.index, dtype=object)
    labels = [
        _csv_label(text, f"row {line} of {path}", label_column)
        for text, line in zip(table[label_column], table[LINE], strict=True)
    ]
    order = sorted(CSV_CLASSES)
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=order),
        csv_row=datasets.Value("int32"),
    )
    splits = datasets.DatasetDict()
    for used, split in CSV_SPLITS.items():
        rows = np.flatnonzero(usage == used)
        if len(rows):
            columns = {
                "image": [
                    picture_of_text(
                        table[pixel_column].iloc[i],
                        f"`{pixel_column}` of row {table[LINE].iloc[i]} of {path}",
                    )
                    for i in rows
                ],
                "label": [order.index(labels[i]) for i in rows],
                "csv_row": rows.tolist(),
            }
            splits[split] = datasets.Dataset.from_dict(columns, features=features)
    return splits, usage


def open_csv_file(path: Path, reading: Reading) -> tuple[datasets.DatasetDict, list[str]]:
    """Read a table of pixels, as `open_csv` does, or of the paths of pictures.

    Returns:
        The splits; and what was renamed and what is not used, a line each.

    Raises:
        InputError: it is neither, or a picture is missing; the row is named by its line.
    """
    table = read_text_table(path)
    column = _path_column(table, path, reading)
    if column is None:
        splits, _ = _open_pixels(table, path, reading)
        notes: list[str] = []
    else:
        named = _open_paths(table, column, path, reading)
        splits, notes = read_columns(named, str(path), Reading(exact=reading.exact))
    notes = _renamed_splits(table) + notes
    if blank := table.attrs["blank"]:
        lines = ", ".join(map(str, blank[:_SHOWN]))
        notes.append(f"not used: {counted(len(blank), 'blank rows')}, as {lines}")
    return splits, notes


def names_pictures(path: Path) -> bool:
    """Return whether a table has columns of paths of pictures and of labels."""
    try:
        table = read_text_table(path)
    except InputError:
        return False
    labels = any(name.casefold() in LABEL_NAMES for name in _names(table))
    return labels and any(is_picture_name(table[name].iloc[0]) for name in _names(table))


def _path_column(table: pd.DataFrame, path: Path, reading: Reading) -> str | None:
    """Return the column that names pictures; None where none does."""
    paths = [name for name in _names(table) if is_picture_name(table[name].iloc[0])]
    if not paths or reading.image_column not in (None, *paths):
        return None
    return find_column(
        paths, reading.image_column, _PATH_NAMES, str(path), "--image-column", strict=False
    )


def _names(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name != LINE]


def _open_paths(
    table: pd.DataFrame, column: str, path: Path, reading: Reading
) -> datasets.DatasetDict:
    """Return splits of the pictures that `column` names, relative to the table, and labels."""
    label = find_column(
        _names(table), reading.label_column, LABEL_NAMES, str(path), "--label-column"
    )
    for text, line in zip(table[label], table[LINE], strict=True):
        if not text or text.replace(".", "").isdigit():
            raise InputError(
                f"`{label}` must be the name of a class in row {line} of {path}. Received: {text!r}"
            )
    files = [_picture(path.parent.absolute(), text) for text in table[column]]
    if missing := [i for i, file in enumerate(files) if not file.is_file()]:
        raise InputError(
            f"`{column}` of {path} must name pictures, by their paths from its folder. Received: "
            f"{len(missing)} of {len(files)} that are no files, as {table[column][missing[0]]!r} "
            f"in row {table[LINE][missing[0]]}"
        )
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("string"))
    splits = _row_splits(table, path)
    index = {split: [i for i, each in enumerate(splits) if each == split] for split in SPLITS}
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {"image": [str(files[i]) for i in rows], "label": [table[label][i] for i in rows]},
                features=features,
            )
            for split, rows in index.items()
            if rows
        }
    )


def _picture(folder: Path, text: str) -> Path:
    """Return the file that a cell names, by a path of Windows where it is none as it stands."""
    file = folder / text
    return file if file.is_file() else folder / text.replace("\\", "/")


def _split_column(table: pd.DataFrame) -> str | None:
    """Return the column that names splits; None where none does."""
    return next((name for name in _names(table) if name.casefold() in ("usage", "split")), None)


def _renamed_splits(table: pd.DataFrame) -> list[str]:
    """Return a line on the splits that are called otherwise here, for people."""
    column = _split_column(table)
    if column is None:
        return []
    return renamed({text: split_of(text) or "" for text in table[column].unique()}, "splits")


def _row_splits(table: pd.DataFrame, path: Path) -> list[str]:
    """Return the split of each row: that of the column `Usage` or `split`, or train."""
    named = _split_column(table)
    if named is None:
        return ["train"] * len(table)
    splits = []
    for text, line in zip(table[named], table[LINE], strict=True):
        if (split := split_of(text)) is None:
            raise InputError(
                f"`{named}` must be one of {list(CSV_SPLITS)} in row {line} of {path}. "
                f"Received: {text!r}"
            )
        splits.append(split)
    return splits


def _csv_label(text: str, where: str, column: str) -> str:
    """Return the class of a cell, a number of the challenge or a name."""
    try:
        number = float(text)
        name = CSV_CLASSES[int(number)] if number in range(len(CSV_CLASSES)) else None
    except ValueError:
        name = expression_of(text)
    if name not in CSV_CLASSES:
        raise InputError(
            f"`{column}` must be 0..{len(CSV_CLASSES) - 1} or one of {list(CSV_CLASSES)} in "
            f"{where}. Received: {text!r}"
        )
    return name
