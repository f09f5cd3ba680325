"""Keep the memory that a step of a training frees for the next step."""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# Parameters of glibc's mallopt, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
# How much more than it needs the heap grows by.
_PAD_BYTES = 256 * 2**20


def keep_freed_memory() -> bool:
    """Keep what this process frees for its next use, where the C library is glibc.

    TensorFlow allocates every tensor of a step and frees it again. glibc returns large blocks to
    the system, which must then clear each page for the next step. Call it first: threads that
    have started do not change.

    Returns:
        Whether the C library is glibc and took the settings.

    Source: mallopt(3), https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD_BYTES))
    # In a list: the others count though one is refused.
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)
