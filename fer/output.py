"""Files that are whole or not there, whatever happens while they are written."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

__all__ = ["WholeFile"]


class WholeFile(ABC):
    """A file that is being written; a context manager.

    It grows beside its place and is moved there when all is written: nothing half-made is ever
    left under its name. Where the block ends with an error, no file is left.
    """

    _path: Path | None  # None for a file that the caller opened

    def _partial(self) -> Path:
        assert self._path is not None
        return self._path.with_name(f".{self._path.name}.partial")

    def _put(self) -> None:
        """Give the file its name."""
        assert self._path is not None
        self._partial().replace(self._path)

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
