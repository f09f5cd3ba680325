"""List a folder of pictures by split and class, with every file in it accounted for."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fer.errors import InputError
from fer.formats import UNREAD_SUFFIXES
from fer.image import picture_suffixes
from fer.text import printable
from train.data.names import check_exact, expression_of, map_classes, renamed, split_of

__all__ = ["Listing", "Reading", "format_counts", "list_extra", "list_pictures", "walk"]

_SHOWN = 3
# A folder around all, then a group or a subject, then classes: none was seen with more.
_MAX_LEVELS = 6


@dataclass(frozen=True)
class Reading:
    """How to read a data set that can be read in more ways than one.

    Attributes:
        image_column: the column of the pictures; found by its name or type if None.
        label_column: the column of the labels; found by its name or type if None.
        class_level: how far below the folder of a split the folders of the classes are, from 1;
            found by their names if None.
        exact: refuse classes and splits that are spelled otherwise than here.
    """

    image_column: str | None = None
    label_column: str | None = None
    class_level: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class Listing:
    """What is in a folder; each file is in `pictures` or in `unused`, once.

    Attributes:
        folder: the folder.
        pictures: (path, class) of each picture that is used, by split.
        unused: the other files, by why they are not used.
        notes: how names were understood, for people.
    """

    folder: Path
    pictures: dict[str, list[tuple[Path, str]]]
    unused: dict[str, list[Path]]
    notes: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, Counter[str]]:
        """Return how many pictures of each class each split has."""
        return {split: Counter(name for _, name in rows) for split, rows in self.pictures.items()}

    def accounts(self) -> list[str]:
        """Return a line for each reason for which files are not used, with their number."""
        return [
            f"not used: {len(files)} {reason}, as "
            + ", ".join(printable(str(file.relative_to(self.folder))) for file in files[:_SHOWN])
            for reason, files in self.unused.items()
        ]

    def describe(self) -> str:
        """Return a table of splits and classes, and what is not used, for people."""
        counts = self.counts()
        names = sorted({name for found in counts.values() for name in found})
        return "\n".join([format_counts(counts, names), *self.notes, *self.accounts()])


def walk(folder: Path) -> list[Path]:
    """List all but folders under `folder`, in order; links are followed, but not into themselves.

    Raises:
        InputError: a folder cannot be read.
    """
    files = []

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error

    above: dict[str, tuple[str, ...]] = {str(folder): (os.path.realpath(folder),)}
    for place, inner, names in os.walk(folder, followlinks=True, onerror=refuse):
        chain = above.pop(place)
        kept = []
        for each in inner:
            path = Path(place, each)
            # A folder below another has another real path, unless it is a link upwards.
            real = os.path.realpath(path) if path.is_symlink() else f"{chain[-1]}{os.sep}{each}"
            if real not in chain:
                above[str(path)] = (*chain, real)
                kept.append(each)
        inner[:] = kept
        files += [Path(place, each) for each in names]
    return sorted(files)


def _sort_files(
    folder: Path,
) -> tuple[list[Path], list[tuple[Path, Path]], dict[str, list[Path]]]:
    """Return the pictures, their other links with the first, and all other files by reason.

    Raises:
        InputError: there are no pictures.
    """
    unused: dict[str, list[Path]] = {}
    usable: list[Path] = []
    owners: dict[tuple[int, int], Path] = {}
    links: list[tuple[Path, Path]] = []
    for file in walk(folder):
        if reason := _no_picture(file, folder):
            unused.setdefault(reason, []).append(file)
            continue
        status = file.stat()
        if (first := owners.setdefault((status.st_dev, status.st_ino), file)) is file:
            usable.append(file)
        else:
            links.append((first, file))
    if not usable:
        raise InputError(f"{folder} must hold pictures in a folder a class. Received: none")
    return usable, links, unused


def list_pictures(folder: Path, reading: Reading | None = None) -> Listing:
    """List pictures in a folder a class, with or without a folder a split.

    Splits and classes are known by the names of folders alone, never by those of files or of
    the folders above `folder`. Splits may stand above the classes or below them.

    Args:
        folder: the folder.
        reading: what the caller knows of it.

    Raises:
        InputError: there are no pictures in folders of classes, it cannot be told which folders
            are the classes, two folders are the same split, or two splits share a file.
    """
    reading = reading or Reading()
    usable, links, unused = _sort_files(folder)
    folders = {file.parent.relative_to(folder).parts for file in (*usable, *dict(links).values())}
    split_level = _split_level(folders, folder)
    splits = _splits(folders, split_level, folder, reading.exact)
    inner = {
        parts: tuple(part for i, part in enumerate(parts) if i != split_level)
        for parts in folders
        if not splits or (len(parts) > (split_level or 0) and parts[split_level or 0] in splits)
    }
    level = _class_level(set(inner.values()), folder, reading.class_level)
    names: dict[str, set[str]] = {}
    for parts, rest in inner.items():
        if len(rest) >= level:
            split = "train" if split_level is None else splits[parts[split_level]]
            names.setdefault(split, set()).add(rest[level - 1])
    mapping = map_classes(names.values(), str(folder), reading.exact)

    def place(file: Path) -> tuple[str, str] | None:
        """Return split and class of a picture, or None."""
        parts = file.parent.relative_to(folder).parts
        if len(inner.get(parts, ())) < level:
            return None
        split = "train" if split_level is None else splits[parts[split_level]]
        return split, mapping[inner[parts][level - 1]]

    _check_links(links, place, folder)
    for _, file in links:
        unused.setdefault("other links to a picture that is used", []).append(file)
    pictures: dict[str, list[tuple[Path, str]]] = {}
    for file in usable:
        if (found := place(file)) is not None:
            pictures.setdefault(found[0], []).append((file, found[1]))
        else:
            beside = "next to the folders of " + (
                "the classes" if file.parent.relative_to(folder).parts in inner else "the splits"
            )
            unused.setdefault(beside, []).append(file)
    notes = renamed(mapping, "classes") + renamed(splits, "splits")
    if max(map(len, inner.values())) > 1:
        notes.append(f"classes are the folders {level} below {'a split' if splits else 'the top'}")
    return Listing(folder, pictures, unused, notes)


def list_extra(folder: Path, class_names: Collection[str]) -> Listing:
    """List more training pictures, in folders called as classes or by words for them.

    Raises:
        InputError: there are none, or they are of other classes or of other splits.
    """
    listing = list_pictures(folder)
    if set(listing.pictures) != {"train"}:
        raise InputError(
            f"{folder} must have pictures for training alone. Received: {sorted(listing.pictures)}"
        )
    found = {name for _, name in listing.pictures["train"]}
    if found - set(class_names):
        raise InputError(
            f"{folder} must have a folder for each class, named among {tuple(class_names)}. "
            f"Received: {sorted(found)}"
        )
    return listing


def _no_picture(file: Path, folder: Path) -> str | None:
    """Return why a file is not a usable picture; None where it is one."""
    if any(part.startswith(".") or part == "__MACOSX" for part in file.relative_to(folder).parts):
        return "hidden files"
    if not file.exists():
        return "links to nothing"
    if not file.is_file():
        return "neither files nor folders"
    if file.suffix.lower() in UNREAD_SUFFIXES:
        return f"pictures {file.suffix.lower()}, of a format that is not read"
    if file.suffix.lower() not in picture_suffixes():
        return f"files {file.suffix.lower() or 'without an ending'} that are no picture"
    return None


def _split_level(folders: set[tuple[str, ...]], folder: Path) -> int | None:
    """Find the part of the paths that names splits; None where none does."""
    found = []
    for level in range(_MAX_LEVELS):
        names = {parts[level] for parts in folders if len(parts) > level}
        words = {name for name in names if split_of(name)}
        deeper = any(len(parts) > level + 1 and parts[level] in words for parts in folders)
        above = len({parts[:level] for parts in folders if len(parts) > level}) > 1
        if not words:
            continue
        if words == names and (deeper or above):
            found.append(level)
        elif deeper and level == 0 and any(split_of(name) == "train" for name in words):
            found.append(level)  # what is next to the splits is named, and not used
        elif words == names and len(names) > 1:
            raise InputError(
                f"{folder} must have a folder a class in each of {sorted(names)}. Received: "
                "pictures, and no metadata.csv"
            )
        elif deeper or (above and level):
            raise InputError(
                f"folders next to each other in {folder} must all be splits, or none. Received: "
                f"{_some(words)} next to {_some(names - words)}"
            )
    if len(found) > 1:
        raise InputError(
            f"folders of splits in {folder} must not lie in each other. Received: folders called "
            f"for splits at the levels {[level + 1 for level in found]}"
        )
    return found[0] if found else None


def _splits(
    folders: set[tuple[str, ...]], level: int | None, folder: Path, exact: bool
) -> dict[str, str]:
    """Map each folder at `level` that is a split to it."""
    if level is None:
        return {}
    names = sorted({parts[level] for parts in folders if len(parts) > level})
    return map_splits(names, str(folder), exact)


def map_splits(names: Iterable[str], what: str, exact: bool = False) -> dict[str, str]:
    """Return the split that each of `names` stands for, without those that are none.

    Raises:
        InputError: two stand for the same, or `exact` and one is spelled otherwise here.
    """
    splits = {name: split for name in names if (split := split_of(name))}
    twice = [split for split, count in Counter(splits.values()).items() if count > 1]
    if twice:
        both = [name for name, split in splits.items() if split == twice[0]]
        raise InputError(
            f"{what} must have each split once. Received: {both}, which all mean {twice[0]!r}"
        )
    if exact:
        check_exact(splits, f"splits of {what}")
    return splits


def _class_level(folders: set[tuple[str, ...]], folder: Path, asked: int | None) -> int:
    """Find how many folders down the classes are, from 1."""
    depth = max(map(len, folders))
    if not depth:
        raise InputError(
            f"{folder} must have a folder a class, or a metadata.csv with file_name and label. "
            "Received: pictures without either"
        )
    if asked is not None:
        if not 1 <= asked <= depth:
            raise InputError(f"--class-level of {folder} must be 1..{depth}. Received: {asked}")
        return asked
    names = {
        level: {parts[level - 1] for parts in folders if len(parts) >= level}
        for level in range(1, depth + 1)
    }
    known = [level for level, found in names.items() if any(map(expression_of, found))]
    several = [level for level, found in names.items() if len(found) > 1]
    if len(known) == 1:
        return known[0]
    if not known and len(several) == 1:
        return several[0]
    if depth == 1:
        return 1
    options = "; ".join(f"--class-level {level}: {_some(names[level])}" for level in names)
    raise InputError(
        f"it must be said which folders in {folder} are the classes. Received: {options}"
    )


def _some(names: Iterable[str]) -> str:
    found = sorted(printable(str(name)) for name in names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _check_links(
    links: list[tuple[Path, Path]],
    place: Callable[[Path], tuple[str, str] | None],
    folder: Path,
) -> None:
    """Refuse one file in two splits or two classes, by links."""
    for first, other in links:
        places = place(first), place(other)
        if None not in places and places[0] != places[1]:
            kind = "split" if places[0][0] != places[1][0] else "class"  # type: ignore[index]
            raise InputError(
                f"each picture of {folder} must be in one {kind}. Received: "
                f"{printable(str(first.relative_to(folder)))} and "
                f"{printable(str(other.relative_to(folder)))}, which are the same file"
            )


def format_counts(counts: dict[str, Counter[str]], class_names: Iterable[str]) -> str:
    """Return a table of splits and classes for a terminal."""
    names = list(class_names)
    widths = [max(7, len(name) + 2) for name in names]
    lines = [
        f"{'split':12}{'all':>9}"
        + "".join(f"{name:>{n}}" for name, n in zip(names, widths, strict=True))
    ]
    for split, found in counts.items():
        cells = "".join(f"{found[name]:>{n}}" for name, n in zip(names, widths, strict=True))
        lines.append(f"{split:12}{sum(found.values()):>9}{cells}")
    return "\n".join(lines)
