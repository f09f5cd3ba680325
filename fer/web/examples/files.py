"""List the example files: the project's own, and those of the operator's folder."""

import csv
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fer.image import picture_suffixes
from fer.media.files import VIDEO_SUFFIXES

__all__ = [
    "EXAMPLES_FOLDER",
    "LICENCE_FILES",
    "SOURCES_NAME",
    "Example",
    "list_examples",
    "list_folder",
]

log = logging.getLogger(__name__)

EXAMPLES_FOLDER = Path(__file__).parents[3] / "examples"
SOURCES_NAME = "SOURCES.csv"
# Of pictures whose licence must go with them.
LICENCE_FILES = "*_LICENSE.txt"
# The page waits for its gallery before it starts.
_MAX_FILES = 200


@dataclass(frozen=True, slots=True)
class Example:
    """A file to try the page with.

    Attributes:
        path: of the file.
        caption: what is seen.
        kind: "picture" or "video".
        detail: more of what is seen, "" for nothing.
        expression: that was set when it was made; "" of a real person, whose is not known.
    """

    path: Path
    caption: str
    kind: str
    detail: str = ""
    expression: str = ""


def list_examples(own: Path | None = None) -> list[Example]:
    """List the project's examples, then those of the operator's folder `own`.

    Unusable files of that folder are left out, and the log says so.
    """
    ours = list_folder(EXAMPLES_FOLDER) if EXAMPLES_FOLDER.is_dir() else ()
    return [*ours, *(list_folder(own) if own else ())]


@cache  # so that the log says once what is wrong
def list_folder(folder: Path) -> tuple[Example, ...]:
    """List the pictures and videos in `folder`, first those in its `SOURCES.csv`.

    Its columns are file, caption and, where there are some, detail and expression. Without a
    caption the name of the file is shown.
    """
    try:
        present = {path.name: path for path in sorted(folder.iterdir()) if _kind(path)}
    except OSError as error:
        log.warning("FER_EXAMPLES_DIR must be a folder that can be read. Received: %s", error)
        return ()
    rows = _read_rows(folder / SOURCES_NAME)
    names = dict.fromkeys([*(name for name in rows if name in present), *present])
    if len(names) > _MAX_FILES:
        log.warning("%s has %d examples, %d are shown", folder, len(names), _MAX_FILES)
    return tuple(
        _make_example(present[name], rows.get(name, {})) for name in list(names)[:_MAX_FILES]
    )


def _make_example(path: Path, row: Mapping[str, str]) -> Example:
    about = {key: row.get(key) or "" for key in ("detail", "expression")}
    return Example(path, row.get("caption") or path.stem, _kind(path), **about)


def _kind(path: Path) -> str:
    """Return the kind of example that a file name stands for; "" for other files."""
    if path.name.startswith(".") or not path.is_file():
        return ""
    suffix = path.suffix.lower()
    if suffix in picture_suffixes():
        return "picture"
    return "video" if suffix in VIDEO_SUFFIXES else ""


def _read_rows(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = {row["file"]: row for row in csv.DictReader(file)}
            return {name: rows[name] for name in rows if rows[name]["caption"] is not None}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        log.warning("%s must be a UTF-8 table with file and caption: %r", path, error)
        return {}
