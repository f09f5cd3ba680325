"""Ten votes, from the predicted shares of what people would say."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_votes"]

# Each picture of FER+ was labelled by ten people. Source: Barsoum et al. 2016, arXiv:1608.01041.
_N_VOTES = 10


def count_votes(shares: NDArray[np.float32]) -> list[int]:
    """Return how many of ten people would vote for each class, by the largest remainders.

    Args:
        shares: (v,) of the votes, sum 1.

    >>> count_votes(np.float32([0.55, 0.24, 0.21]))
    [6, 2, 2]
    """
    exact = _N_VOTES * np.asarray(shares, np.float64)
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")  # the largest remainder first
    counts[order[: _N_VOTES - int(counts.sum())]] += 1
    return [int(n) for n in counts]
