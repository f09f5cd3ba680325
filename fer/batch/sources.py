"""Where pictures come from: a folder, listed as it is walked, in the same order each time."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from fer.check import describe_place
from fer.errors import InputError
from fer.image import is_picture_file
from fer.text import printable

__all__ = ["Folder", "Item", "Source"]


_PICTURE = "picture"
_IRREGULAR = "not a regular file"  # a pipe, a socket, a device, or a link to nothing


class Item(NamedTuple):
    """One picture to read.

    Attributes:
        name: what the tables call it.
        content: the bytes of the file, or where it lies: a path or a URL of fsspec.
    """

    name: str
    content: str | bytes


class Source(Protocol):
    """Pictures, the same ones in the same order each time.

    Attributes:
        name: identifies the source; a resumed run must have the same.
        passed_over: how many files were no picture, by their ending; known after `count`.
    """

    name: str
    passed_over: Counter[str]

    def count(self) -> int | None:
        """How many pictures; None where that is not known beforehand."""
        ...

    def items(self) -> Iterator[Item]:
        """Yield the pictures, one after the other."""
        ...


class Folder:
    """The picture files of a folder and of all folders in it, but for hidden ones.

    Files whose endings are those of pictures that cannot be read, as of JPEG XL, are among them:
    reading says of each what it is. So are pictures whose names have no ending.

    Args:
        root: the folder.

    Raises:
        InputError: it is none.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            found = describe_place(root) or "a file, which `image` or `video` reads"
            raise InputError(f"the source must be a folder. Received: {root}, {found}")
        self.root = root.resolve()
        self.name = printable(str(self.root))
        self.passed_over: Counter[str] = Counter()

    def count(self) -> int:
        """How many pictures; walks the folder."""
        kinds = Counter(kind for _, kind in self._walk(str(self.root), frozenset()))
        n_pictures = kinds.pop(_PICTURE, 0)
        self.passed_over = kinds
        return n_pictures

    def items(self) -> Iterator[Item]:
        """Yield the pictures in the order of their names, folder by folder."""
        cut = len(str(self.root).rstrip(os.sep)) + 1
        for path, kind in self._walk(str(self.root), frozenset()):
            if kind == _PICTURE:
                yield Item(printable(path[cut:].replace(os.sep, "/")), path)

    def _walk(self, folder: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, str]]:
        """Every file, and whether it is a picture or what else."""
        try:
            place = Path(folder).stat()
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield (
                folder,
                _PICTURE,
            )  # reading it as a picture says in the table of errors what is wrong
            return
        here = (place.st_dev, place.st_ino)
        if here in above:
            return
        for entry in entries:
            if entry.name.startswith("."):
                yield entry.path, "hidden"
            elif Path(entry.path).is_dir():
                yield from self._walk(entry.path, above | {here})
            elif is_picture_file(entry.path):
                yield entry.path, _PICTURE
            else:
                suffix = printable(Path(entry.name).suffix.lower()) or "without an ending"
                yield entry.path, suffix if Path(entry.path).is_file() else _IRREGULAR
