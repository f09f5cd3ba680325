"""A few copies of something that only one thread may use at a time."""

import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """Lends objects that are not safe to share between threads.

    Args:
        make: makes one; called once at construction, so that a failure shows there, and
            again when all are lent.
        size: how many at most; a borrower waits when all are out. The number of cores
            when None.
    """

    def __init__(self, make: Callable[[], T], size: int | None = None) -> None:
        self._make = make
        self._idle: queue.LifoQueue[T | None] = queue.LifoQueue()
        for _ in range((size or os.cpu_count() or 1) - 1):
            self._idle.put(None)
        self._idle.put(make())

    @contextmanager
    def lend(self) -> Iterator[T]:
        """Borrow one for the length of a `with` block."""
        item = self._idle.get()
        try:
            if item is None:
                item = self._make()
            yield item
        finally:
            self._idle.put(item)
