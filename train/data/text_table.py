"""Tables in text files: whatever parts their cells and however they are encoded."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from fer.errors import InputError
from fer.image import picture_suffixes

__all__ = ["LINE", "is_picture_name", "is_table", "read_text_table"]

# The column with the line of each row: none of a file's own, those are stripped.
LINE = " line"
_SUFFIXES = (".csv", ".tsv")
_MARKS = ",;\t|"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CUT = 40


def is_table(name: str) -> bool:
    """Return whether a file is named as a table of text."""
    return name.lower().endswith(_SUFFIXES)


def is_picture_name(cell: str) -> bool:
    """Return whether a cell names a picture file, of Windows or of others."""
    return Path(cell.replace("\\", "/")).suffix.lower() in picture_suffixes()


def read_text_table(path: Path) -> pd.DataFrame:
    """Read all cells as text, without blanks around them and without blank rows.

    Args:
        path: of UTF-8 or UTF-16, with a line of column names; cells are parted by the mark among
            comma, semicolon, tab and | that this line has most of.

    Returns:
        The rows, with `LINE`; `attrs["blank"]` has the lines of blank rows.

    Raises:
        InputError: it is no such file, or has no rows.
    """
    if not path.is_file():
        there = "something else" if path.exists() else "nothing of that name"
        raise InputError(f"{path} must be a file. Received: {there}")
    try:
        table = _read(path)
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise InputError(f"{path} must be text in UTF-8 or UTF-16. Received: {reason}") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(
            f"{path} must have a line of column names, and rows. Received: an empty file"
        ) from error
    except (ValueError, OSError) as error:  # pandas's own are among them
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{path} must be a table. Received: {reason}") from error
    table.columns = [str(name).strip() for name in table.columns]
    _check_header(list(table.columns), path)
    table = table.fillna("").apply(lambda column: column.str.strip())
    table[LINE] = np.arange(len(table)) + 2
    blank = (table.drop(columns=LINE) == "").all(axis=1)
    kept = table[~blank].reset_index(drop=True)
    if kept.empty:
        raise InputError(
            f"{path} must have rows below its line of column names. Received: "
            + (f"{len(table)} blank rows" if len(table) else "none")
        )
    kept.attrs["blank"] = table[LINE][blank].tolist()
    return kept


def _read(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in _UTF16_MARKS else "utf-8-sig"
    with path.open(encoding=encoding, newline="") as text:
        header = text.readline()
    with warnings.catch_warnings():
        # Of a first row that is longer than the header.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                path,
                sep=max(_MARKS, key=header.count),
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
                skip_blank_lines=False,
                index_col=False,
                encoding=encoding,
            )
        except pd.errors.ParserWarning as error:
            raise ValueError("a row 2 with more cells than there are columns") from error


def _check_header(columns: list[str], path: Path) -> None:
    """Refuse a first line of data: names of pictures, or numbers alone."""
    first = next(
        (
            name
            for name in columns
            if is_picture_name(name) or all(word.isdigit() for word in name.split())
        ),
        None,
    )
    if first:
        cut = first if len(first) <= _CUT else f"{first[:_CUT]} ..."
        raise InputError(
            f"{path} must begin with a line of column names, as emotion,pixels or path,label. "
            f"Received: a first line with {cut!r}"
        )
