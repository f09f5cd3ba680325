"""Tables in the layout of fer2013.csv: pixels as text."""

from pathlib import Path

import datasets
import numpy as np
import pandas as pd

from fer.errors import InputError
from train.data.columns import (
    CSV_CLASSES,
    LABEL_NAMES,
    PIXEL_NAMES,
    find_column,
    picture_of_text,
)
from train.data.listing import Reading
from train.data.names import expression_of, split_of

__all__ = ["CSV_SPLITS", "is_csv", "open_csv", "open_csv_file"]

# The challenge's own names and order, https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
CSV_SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
# No column of a file: those are stripped.
_LINE = " line"


def is_csv(dataset: str) -> bool:
    """Return whether a data set is named as a table."""
    return dataset.lower().endswith(".csv")


def open_csv(path: Path, reading: Reading | None = None) -> tuple[datasets.DatasetDict, pd.Series]:
    """Read a file in the layout of fer2013.csv.

    Names of columns and of splits may be in any case, cells may be parted by commas, semicolons
    or tabs, labels may be names; rows without any cell are not used.

    Args:
        path: with columns emotion, pixels (numbers between blanks, square) and perhaps Usage.
        reading: what the caller knows of it.

    Returns:
        The splits, with columns `image`, `label` and `csv_row`, the number of the row; and
        the `Usage` of all rows, in the challenge's words.

    Raises:
        InputError: it is not such a file; the row is named by its line in the file.
    """
    table = _read_csv(path)
    label_column, pixel_column, usage = _csv_columns(table, path, reading or Reading())
    used_as = {split: used for used, split in CSV_SPLITS.items()}
    usage = pd.Series([used_as[each] for each in usage], table.index, dtype=object)
    labels = [
        _csv_label(text, f"row {line} of {path}", label_column)
        for text, line in zip(table[label_column], table[_LINE], strict=True)
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
                        f"`{pixel_column}` of row {table[_LINE].iloc[i]} of {path}",
                    )
                    for i in rows
                ],
                "label": [order.index(labels[i]) for i in rows],
                "csv_row": rows.tolist(),
            }
            splits[split] = datasets.Dataset.from_dict(columns, features=features)
    return splits, usage


def open_csv_file(path: Path, reading: Reading) -> tuple[datasets.DatasetDict, list[str]]:
    """Return the splits of `open_csv`, and what is not used, a line each."""
    splits, _ = open_csv(path, reading)
    blank = _read_csv(path).attrs["blank"]
    lines = ", ".join(map(str, blank[:3]))
    return splits, [f"not used: {len(blank)} blank rows, as {lines}"] if blank else []


def _read_csv(path: Path) -> pd.DataFrame:
    """Read all cells as text, and `_LINE`, the line of each row; without blank rows."""
    if not path.is_file():
        raise InputError(f"{path} must be a file. Received: nothing of that name")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
        mark = max(",;\t", key=header.count)
        table = pd.read_csv(
            path,
            sep=mark,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            skip_blank_lines=False,
            index_col=False,
            encoding="utf-8-sig",
        )
    except (ValueError, OSError) as error:  # pandas's own are among them
        raise InputError(f"{path} must be a table. Received: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    table = table.apply(lambda column: column.str.strip())
    table[_LINE] = np.arange(len(table)) + 2
    cells = table.drop(columns=_LINE)
    blank = (cells == "").all(axis=1) if len(cells.columns) else pd.Series(dtype=bool)
    kept = table[~blank].reset_index(drop=True)
    kept.attrs["blank"] = table[_LINE][blank].tolist()
    return kept


def _csv_columns(table: pd.DataFrame, path: Path, reading: Reading) -> tuple[str, str, list[str]]:
    """Find the columns of labels and pixels, and the split of each row."""
    columns = [name for name in table.columns if name != _LINE]
    what = f"{path} (columns `emotion` and `pixels`)"
    label = find_column(columns, reading.label_column, LABEL_NAMES, what, "--label-column")
    pixels = find_column(columns, reading.image_column, PIXEL_NAMES, what, "--image-column")
    named = [name for name in columns if name.casefold() in ("usage", "split")]
    if not named:
        return label, pixels, ["train"] * len(table)
    usage = [split_of(text) for text in table[named[0]]]
    for split, text, line in zip(usage, table[named[0]], table[_LINE], strict=True):
        if split is None:
            raise InputError(
                f"`{named[0]}` must be one of {list(CSV_SPLITS)} in row {line} of {path}. "
                f"Received: {text!r}"
            )
    return label, pixels, [str(split) for split in usage]


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
