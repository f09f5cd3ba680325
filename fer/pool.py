"""Threads: a pool of objects that only one may use at a time, and results made in advance."""

import itertools
import os
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

__all__ = ["Pool", "prefetch"]

T = TypeVar("T")
R = TypeVar("R")


class Pool(Generic[T]):
    """Lends objects that are not safe to share between threads.

    A LiteRT interpreter, for one, writes its results into buffers of its own, so two threads
    that shared one would read each other's; and the interpreters of two threads run in parallel.

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


def prefetch(
    function: Callable[[T], R], items: Iterable[T], n_threads: int, n_waiting: int
) -> Generator[R, None, None]:
    """Yield `map(function, items)` from threads, in order; items are taken in the caller's thread.

    Closing the generator, as an error does, drops the calls that have not begun and waits for
    the others. Python closes a generator only when nothing refers to it any more, so close it
    with `contextlib.closing` where its threads must not outlive a block.

    Args:
        function: called in the threads; the first error that it raises is raised.
        items: may be endless.
        n_threads: calls at a time.
        n_waiting: results made, or in work, beyond the one that is used.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(n_threads, "fer-prefetch")
    try:
        waiting = deque(pool.submit(function, item) for item in itertools.islice(source, n_waiting))
        while waiting:
            oldest = waiting.popleft()
            waiting.extend(pool.submit(function, item) for item in itertools.islice(source, 1))
            yield oldest.result()
    finally:
        pool.shutdown(cancel_futures=True)
