"""Where pictures come from: a folder, listed as it is walked, in the same order each time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from fer.errors import InputError
from fer.image import picture_suffixes
from fer.text import printable

__all__ = ["Folder", "Item", "Source"]


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
        name: what a later run must name to go on.
    """

    name: str

    def count(self) -> int | None:
        """How many pictures; None where that is not known beforehand."""
        ...

    def items(self) -> Iterator[Item]:
        """The pictures, one after the other."""
        ...


class Folder:
    """The picture files of a folder and of all folders in it, but for hidden ones.

    Args:
        root: the folder.

    Raises:
        InputError: it is none.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            found = "a file" if root.exists() else "nothing of that name"
            raise InputError(f"the source must be a folder. Received: {root}, {found}")
        self.root = root.resolve()
        self.name = printable(str(self.root))

    def count(self) -> int:
        """How many pictures; walks the folder."""
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[Item]:
        """The pictures in the order of their names, folder by folder."""
        cut = len(str(self.root).rstrip(os.sep)) + 1
        for path in self._walk(str(self.root), frozenset()):
            yield Item(printable(path[cut:].replace(os.sep, "/")), path)

    def _walk(self, folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        try:
            place = Path(folder).stat()
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield folder  # reading it as a picture says in the table of errors what is wrong
            return
        here = (place.st_dev, place.st_ino)
        if here in above:
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if Path(entry.path).is_dir():
                yield from self._walk(entry.path, above | {here})
            elif entry.name.lower().endswith(picture_suffixes()):
                yield entry.path
