"""List a folder of pictures by split and class, with every file in it accounted for."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fer.errors import InputError
from fer.formats import UNREAD_SUFFIXES
from fer.image import is_picture_file
from fer.text import counted, one_line
from train.data.names import check_exact, expression_of, map_classes, renamed, split_of

__all__ = [
    "Listing",
    "Reading",
    "format_counts",
    "join_some",
    "list_extra",
    "list_photographs",
    "list_pictures",
    "map_splits",
    "no_picture",
    "walk",
]

_SHOWN = 3
# Files that cannot be read, in one message.
_NAMED = 10
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

    def shown(self, file: Path) -> str:
        """Return the path of a file in the folder, for people."""
        return one_line(file.relative_to(self.folder).as_posix())

    def accounts(self) -> list[str]:
        """Return the number of all files, and a line for each reason why some are not used."""
        n_used = sum(map(len, self.pictures.values()))
        n_left = sum(map(len, self.unused.values()))
        lines = (
            [f"files: {n_used + n_left}, of which {n_used} look like pictures"] if n_left else []
        )
        return lines + [
            f"not used: {counted(len(files), reason)}, as "
            + ", ".join(self.shown(file) for file in files[:_SHOWN])
            for reason, files in self.unused.items()
        ]

    def describe(self) -> str:
        """Return a table of splits and classes, and what is not used, for people."""
        counts = self.counts()
        names = sorted({name for found in counts.values() for name in found})
        return "\n".join([format_counts(counts, names), *self.notes, *self.accounts()])


def walk(folder: Path) -> list[Path]:
    """List all but folders under `folder`, in order; links are followed, but not into themselves.

    Links to a folder above them are listed.

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
            else:
                files.append(path)
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
        if reason := no_picture(file, folder):
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


@dataclass(frozen=True)
class _Tree:
    """Which folders are splits and which are classes.

    Attributes:
        folder: the one that is listed.
        split_level: the part of the paths below it that names splits; None where none does.
        splits: the split of each folder at that level.
        inner: the path of each folder of pictures without the part that names its split; without
            the folders that are in no split.
        level: how far down in `inner` the classes are, from 1.
        classes: what each class is called here.
    """

    folder: Path
    split_level: int | None
    splits: dict[str, str]
    inner: dict[tuple[str, ...], tuple[str, ...]]
    level: int
    classes: dict[str, str]

    def place(self, file: Path) -> tuple[str, str] | None:
        """Return split and class of a picture; None where it is beside their folders."""
        parts = file.parent.relative_to(self.folder).parts
        if len(self.inner.get(parts, ())) < self.level:
            return None
        return self.split(parts), self.classes[self.inner[parts][self.level - 1]]

    def split(self, parts: tuple[str, ...]) -> str:
        """Return the split of a folder of `inner`."""
        return "train" if self.split_level is None else self.splits[parts[self.split_level]]

    def beside(self, file: Path) -> str:
        """Say where a picture is that has no place."""
        in_split = file.parent.relative_to(self.folder).parts in self.inner
        return f"pictures next to the folders of the {'classes' if in_split else 'splits'}"

    def notes(self) -> list[str]:
        """Say how names were understood, a line each."""
        notes = renamed(self.classes, "classes") + renamed(self.splits, "splits")
        if max(map(len, self.inner.values())) > 1:
            top = "a split" if self.splits else "the top"
            notes.append(f"classes are the folders {self.level} below {top}")
        return notes


def _read_tree(folders: set[tuple[str, ...]], folder: Path, reading: Reading) -> _Tree:
    """Tell which of `folders`, by their paths below `folder`, are splits and classes."""
    split_level = _split_level(folders, folder)
    splits = _splits(folders, split_level, folder, reading.exact)
    inner = {
        parts: tuple(part for i, part in enumerate(parts) if i != split_level)
        for parts in folders
        if not splits or (len(parts) > (split_level or 0) and parts[split_level or 0] in splits)
    }
    level = _class_level(set(inner.values()), folder, reading.class_level)
    tree = _Tree(folder, split_level, splits, inner, level, {})
    names: dict[str, set[str]] = {}
    for parts, rest in inner.items():
        if len(rest) >= level:
            names.setdefault(tree.split(parts), set()).add(rest[level - 1])
    return replace(tree, classes=map_classes(names.values(), str(folder), reading.exact))


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
    usable, links, unused = _sort_files(folder)
    folders = {file.parent.relative_to(folder).parts for file in (*usable, *dict(links).values())}
    tree = _read_tree(folders, folder, reading or Reading())
    _check_links(links, tree.place, folder)
    _leave_out_links(links, unused)
    pictures: dict[str, list[tuple[Path, str]]] = {}
    for file in usable:
        if (found := tree.place(file)) is not None:
            pictures.setdefault(found[0], []).append((file, found[1]))
        else:
            unused.setdefault(tree.beside(file), []).append(file)
    return Listing(folder, pictures, unused, tree.notes() + _without_pictures(folder, folders))


def list_photographs(folder: Path) -> Listing:
    """List pictures by split and class, or by their folders where these are no classes.

    Raises:
        InputError: there are no pictures, or a folder cannot be read.
    """
    try:
        return list_pictures(folder)
    except InputError as error:
        reason = str(error)
    usable, links, unused = _sort_files(folder)
    _leave_out_links(links, unused)
    rows = [(file, one_line(file.parent.relative_to(folder).as_posix())) for file in usable]
    return Listing(folder, {"all": rows}, unused, [f"no classes for `fit`: {reason}"])


def _leave_out_links(links: list[tuple[Path, Path]], unused: dict[str, list[Path]]) -> None:
    for _, file in links:
        unused.setdefault("other links to a picture that is used", []).append(file)


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


def _without_pictures(folder: Path, full: set[tuple[str, ...]]) -> list[str]:
    """Name the innermost folders that are not among `full`, those of pictures, in a line."""
    empty = []
    for place, inner, _ in os.walk(folder):
        inner[:] = [name for name in inner if not _is_hidden(name)]
        if not inner and Path(place).relative_to(folder).parts not in full:
            empty.append(one_line(Path(place).relative_to(folder).as_posix()))
    if not empty:
        return []
    return [f"{counted(len(empty), 'folders')} without pictures: {_some(empty)}"]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def no_picture(file: Path, folder: Path) -> str | None:
    """Return why a file in `folder` is no picture to read; None where it is one."""
    if any(map(_is_hidden, file.relative_to(folder).parts)):
        return "hidden files"
    if not file.exists():
        return "links to nothing"
    if file.is_dir():
        return "links to a folder above them"
    if not file.is_file():
        return "places that are neither file nor folder"
    if file.suffix.lower() in UNREAD_SUFFIXES:
        return f"pictures {file.suffix.lower()}, of a format that is not read"
    if not is_picture_file(file):
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


def join_some(items: Sequence[str]) -> str:
    """Return the first ten of `items`, and the number of the rest."""
    more = f"; and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return "; ".join(items[:_NAMED]) + more


def _some(names: Iterable[str]) -> str:
    found = sorted(one_line(str(name)) for name in names)
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
                f"{one_line(str(first.relative_to(folder)))} and "
                f"{one_line(str(other.relative_to(folder)))}, which are the same file"
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
