"""Have the C library give freed memory back to the system, which clears it."""

import contextlib
import ctypes

__all__ = ["give_memory_back", "use_one_heap"]

# Of glibc's malloc.h.
_M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Let all threads allocate from one heap, where the C library is glibc.

    By default threads have heaps of their own, and glibc never gives back the free end of such a
    heap. Call this before the first thread starts.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Have glibc return the memory that it keeps; other C libraries do so by themselves."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
