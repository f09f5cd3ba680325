"""List the example files: the project's own, and those of the operator's folder."""

import csv
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fer.image import picture_suffixes
from fer.media.files import VIDEO_SUFFIXES

__all__ = ["EXAMPLES_FOLDER", "SOURCES_NAME", "Example", "list_examples", "list_folder"]

log = logging.getLogger(__name__)

EXAMPLES_FOLDER = Path(__file__).parents[3] / "examples"
SOURCES_NAME = "SOURCES.csv"
# The page waits for its gallery before it starts.
_MAX_FILES = 200


@dataclass(frozen=True, slots=True)
class Example:
    """A file to try the page with.

    Attributes:
        path: of the file.
        caption: what is seen.
        kind: "picture" or "video".
    """

    path: Path
    caption: str
    kind: str


def list_examples(own: Path | None = None) -> list[Example]:
    """List the project's examples, then those of the operator's folder `own`.

    Unusable files of that folder are left out, and the log says so.
    """
    ours = list_folder(EXAMPLES_FOLDER) if EXAMPLES_FOLDER.is_dir() else ()
    return [*ours, *(list_folder(own) if own else ())]


@cache  # so that the log says once what is wrong
def list_folder(folder: Path) -> tuple[Example, ...]:
    """List the pictures and videos in `folder`, first those in its `SOURCES.csv`.

    Captions are those of its columns file and caption, else the names of the files.
    """
    try:
        present = {path.name: path for path in sorted(folder.iterdir()) if _kind(path)}
    except OSError as error:
        log.warning("FER_EXAMPLES_DIR must be a folder that can be read. Received: %s", error)
        return ()
    captions = _read_captions(folder / SOURCES_NAME)
    names = dict.fromkeys([*(name for name in captions if name in present), *present])
    if len(names) > _MAX_FILES:
        log.warning("%s has %d examples, %d are shown", folder, len(names), _MAX_FILES)
    return tuple(
        Example(present[name], captions.get(name) or present[name].stem, _kind(present[name]))
        for name in list(names)[:_MAX_FILES]
    )


def _kind(path: Path) -> str:
    """Return the kind of example that a file name stands for; "" for other files."""
    if path.name.startswith(".") or not path.is_file():
        return ""
    suffix = path.suffix.lower()
    if suffix in picture_suffixes():
        return "picture"
    return "video" if suffix in VIDEO_SUFFIXES else ""


def _read_captions(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["file"]: row["caption"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        log.warning("%s must be a UTF-8 table with file and caption: %r", path, error)
        return {}
