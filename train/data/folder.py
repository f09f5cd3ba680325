"""Folders of pictures, with or without metadata, and of tables."""

import contextlib
import glob
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets

from fer.errors import InputError
from fer.hub import describe_error
from fer.image import picture_suffixes
from fer.text import counted, one_line
from train.data.columns import LABEL_NAMES, read_columns
from train.data.csv_file import names_pictures, open_csv_file
from train.data.hub import SCRIPT, needs_script
from train.data.listing import Reading, list_pictures, walk
from train.data.names import SPLITS, split_of
from train.data.text_table import is_table

__all__ = ["open_folder", "without_bars"]

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Show none of the progress bars of `datasets`, for what takes a second; a decorator, too."""
    shown = not datasets.are_progress_bars_disabled()
    if shown:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


@without_bars()
def open_folder(folder: Path, reading: Reading) -> tuple[datasets.DatasetDict, list[str]]:
    """Read pictures in folders, or what `datasets` reads in a folder.

    Returns:
        The splits; and what was renamed and what is not used, a line each.

    Raises:
        InputError: it cannot be read, or not in one way alone.
    """
    folder = folder.absolute()
    files = [each for each in walk(folder) if not _is_hidden(each, folder) and each.is_file()]
    if not files:
        raise InputError(f"{folder} must hold labelled pictures or tables. Received: no files")
    tables = [each for each in files if is_table(each.name)]
    metadata = [each for each in files if each.name.lower() in _METADATA]
    pictures = [each for each in files if each.suffix.lower() in picture_suffixes()]
    stored = any(
        each.suffix.lower() in (".parquet", ".arrow") and each not in metadata for each in files
    )
    if pictures and not metadata and not stored:
        return _open_classes(folder, reading, tables)
    if not pictures and not stored and len(tables) == 1:
        return open_csv_file(tables[0], reading)
    if not metadata or stored:
        splits, notes = read_columns(_load(folder, str(folder)), str(folder), reading)
        lone = f"not used: {counted(len(pictures), 'pictures')} next to the files of tables"
        return splits, notes + [lone] * bool(pictures)
    named = [glob.escape(str(each)) for each in (*metadata, *pictures)]
    rows = _load(folder, "imagefolder", data_files=named)["train"]
    columns = {name.casefold() for name in rows.features}
    if reading.label_column is None and not columns & set(LABEL_NAMES):
        return _open_pictures(folder, reading)  # it says other things of the pictures
    source, left = _split_by_folder(rows, folder, pictures)
    splits, notes = read_columns(source, str(folder), reading)
    return splits, notes + left


def _open_classes(
    folder: Path, reading: Reading, tables: list[Path]
) -> tuple[datasets.DatasetDict, list[str]]:
    """Read pictures in a folder a class; where there are none, say which table names pictures."""
    try:
        return _open_pictures(folder, reading)
    except InputError as error:
        if table := next(filter(names_pictures, tables), None):
            raise InputError(
                f"{error}; {table.name} names pictures and is read by --dataset {table}"
            ) from error
        raise


def _load(folder: Path, source: str, **options: Any) -> datasets.DatasetDict:
    """Load what `datasets` reads in `folder`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return datasets.load_dataset(source, **options)
    except Exception as error:  # `datasets` raises what its readers do
        if script := SCRIPT.search(str(error)):
            raise InputError(needs_script(str(folder), script[1])) from error
        raise InputError(
            f"{folder} must be a folder of labelled pictures. Received: {describe_error(error)}"
        ) from error


def _split_by_folder(
    rows: datasets.Dataset, folder: Path, pictures: list[Path]
) -> tuple[datasets.DatasetDict, list[str]]:
    """Split rows by the folders above each picture; return also what no row names."""
    stored = rows.cast_column("image", datasets.Image(decode=False))["image"]
    paths = [Path(each["path"]) for each in stored]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise InputError(
            f"metadata of {folder} must list each picture once. Received: {len(twice)} twice, as "
            f"{one_line(str(twice[0].relative_to(folder)))}"
        )
    index: dict[str, list[int]] = {}
    for i, path in enumerate(paths):
        index.setdefault(_split_above(path, folder) or "train", []).append(i)
    source = datasets.DatasetDict({split: rows.select(each) for split, each in index.items()})
    lone = sorted(set(pictures) - set(paths))
    if not lone:
        return source, []
    first = one_line(str(lone[0].relative_to(folder)))
    return source, [
        f"not used: {counted(len(lone), 'pictures')} that no metadata lists, as {first}"
    ]


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _split_above(file: Path, folder: Path) -> str | None:
    """Return the split that the folders above `file` name; None where none does."""
    parts = file.parent.relative_to(folder).parts
    return next((split for part in parts if (split := split_of(part))), None)


def _open_pictures(folder: Path, reading: Reading) -> tuple[datasets.DatasetDict, list[str]]:
    listing = list_pictures(folder, reading)
    classes = sorted({name for rows in listing.pictures.values() for _, name in rows})
    if len(classes) < 2:
        raise InputError(
            f"{folder} must have pictures in a folder a class, two of them at least. "
            f"Received: {classes}"
        )
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=classes))
    splits = datasets.DatasetDict()
    for split in SPLITS:
        if rows := listing.pictures.get(split):
            splits[split] = datasets.Dataset.from_dict(
                {
                    "image": [_stored(path) for path, _ in rows],
                    "label": [classes.index(name) for _, name in rows],
                },
                features=features,
            )
    if "train" in splits:
        there = {name for _, name in listing.pictures["train"]}
        if missing := sorted(set(classes) - there):
            raise InputError(
                f"every class of {folder}[train] must have pictures. None in: {missing}"
            )
    return splits, listing.notes + listing.accounts()


def _stored(path: Path) -> dict[str, object]:
    """Return a picture as `datasets` stores it: by its path, where Arrow can hold that."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return {"bytes": path.read_bytes(), "path": None}
    return {"bytes": None, "path": str(path.absolute())}
