"""Files that are whole or not there, whatever happens while they are written."""

import os
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from fer.errors import InputError

__all__ = ["ROOM_BYTES", "AtomicFile", "check_apart", "check_file", "check_folder"]

# What must be free where something is written, unless the caller knows better.
ROOM_BYTES = 1_000_000


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def check_file(path: Path | str, *, stream: bool = False, room_bytes: int = ROOM_BYTES) -> None:
    """Raise before the work where a file cannot be written after it. Nothing is left there.

    Args:
        path: of the file, which may exist.
        stream: it is written from front to end, so that a pipe or the null device will do.
        room_bytes: how many must be free on its disk.

    Raises:
        InputError: `path` is a folder, a device or in no folder, must not be written to, or
            its disk is full.
    """
    path = Path(path)
    try:
        kind = _kind(path)
        if kind == "a folder":
            raise InputError(f"an output must be a file. Received: {path}, which is a folder")
        if kind == "no regular file":
            # /dev/stdout and the shell's >(...) are no devices where they lead to a pipe.
            if stream and (path.is_fifo() or path == Path(os.devnull)):
                return
            raise InputError(f"an output must be a regular file. Received: {path}")
        if not path.parent.is_dir():
            raise InputError(
                f"an output must stand in a folder that exists. Received: {path}, and no folder "
                f"{path.parent}"
            )
        real = Path(os.path.realpath(path))
        if path.suffix and path.is_symlink() and real.suffix.lower() != path.suffix.lower():
            raise InputError(
                "an output that is a link must lead to a file of the same ending. "
                f"Received: {path}, which leads to {real}"
            )
        if kind and not os.access(path, os.W_OK):
            raise PermissionError(None, "Permission denied")
        _kind(_partial(real))  # a name that is too long is refused here
        _try(real.parent, room_bytes)
    except OSError as error:
        raise InputError(
            f"an output must be a file that can be written. Received: {path}: {error.strerror}"
        ) from error


def check_apart(sources: Iterable[Path | str], outputs: Sequence[Path | str]) -> None:
    """Raise where one output would overwrite another or a source, by whatever name.

    Args:
        sources: paths of files that are read.
        outputs: paths of files that will be written.

    Raises:
        InputError: two are the same file.
    """
    places = [_place(path) for path in outputs]
    if len(set(places)) < len(places) or {_place(path) for path in sources} & set(places):
        raise InputError(
            "each output must have a place of its own, and not that of a source. "
            f"Received: {', '.join(map(str, outputs))}"
        )


def _place(path: Path | str) -> object:
    """Return an id of a file that its links share; its path if it does not exist yet.

    Names that differ in case alone are one: on many disks they would be one file.
    """
    try:
        status = Path(path).stat()
    except OSError:  # not there yet
        return os.path.realpath(path).casefold()
    return status.st_dev, status.st_ino


def check_folder(path: Path | str, *, room_bytes: int = ROOM_BYTES) -> None:
    """As `check_file` for a folder, which need not exist, that files will be written in.

    Raises:
        InputError: `path` is a file or below one, must not be written to, or its disk is full.
    """
    path = Path(path)
    try:
        there = path.absolute()
        while not (kind := _kind(there)):
            there = there.parent
        if kind != "a folder":
            raise InputError(
                f"an output must be a folder, or a place for one. Received: {path}"
                + (", which is a file" if there == path.absolute() else f", below the file {there}")
            )
        _try(there, room_bytes)
    except OSError as error:
        raise InputError(
            f"an output must be a folder that can be written to. Received: {path}: {error.strerror}"
        ) from error


def _kind(path: Path) -> str:
    """Return the kind of file at `path`, links followed; empty if there is none.

    Raises:
        OSError: that cannot be said, as of a name that is too long.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "no regular file"


def _try(folder: Path, room_bytes: int) -> None:
    """Make a file in `folder` that is gone at once.

    Raises:
        OSError: there cannot be one.
        InputError: there is no room for more.
    """
    with tempfile.TemporaryFile(dir=folder, prefix=".fer-", buffering=0) as file:
        file.write(bytes(4096))
    free = shutil.disk_usage(folder).free
    if free < room_bytes:
        raise InputError(
            f"an output needs about {_size(room_bytes)} of free space in {folder}. "
            f"Received: {_size(free)}"
        )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB"


class AtomicFile(ABC):
    """A file that is written whole or not at all; a context manager.

    It is written under another name in the same folder and renamed at the end, which is atomic
    within one file system: no half-written file is ever found under its name. If the block ends
    with an error, no file is left. A link stays one: the file that it leads to is written.
    """

    _path: Path | None  # None for a file that the caller opened

    def _partial(self) -> Path:
        return _partial(self._real())

    def _real(self) -> Path:
        assert self._path is not None
        return Path(os.path.realpath(self._path))

    def _put(self) -> None:
        """Give the file its name."""
        self._partial().replace(self._real())

    @abstractmethod
    def close(self) -> None:
        """Write what is left and give the file its name."""

    @abstractmethod
    def discard(self) -> None:
        """Leave no file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self.close()
            except BaseException:
                self.discard()
                raise
        else:
            self.discard()
