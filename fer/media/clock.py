"""The clock of a video: times that only grow, and which frames to look at."""

from typing import TYPE_CHECKING

from fer.check import check_number
from fer.errors import InputError

if TYPE_CHECKING:
    from av.container import InputContainer

__all__ = ["DEFAULT_FPS", "MAX_BACK_S", "MAX_GAP_S", "Clock", "Sampler", "find_zero"]

# Times that step back or forward by more are a cut in the clock, not a long picture.
MAX_BACK_S = 1.0
MAX_GAP_S = 3600.0
# A frame may come so early: cameras waver, and the clocks of many files have only milliseconds.
_EARLY_S = 0.008
_EARLY_SHARE = 0.25

# Of a video that does not tell.
DEFAULT_FPS = 25.0


class Sampler:
    """Picks frames by their time, at most `rate` a second and as many where there are enough.

    Time counts from the first frame on: times rounded to milliseconds, of a file whose pictures
    start later, would fall to either side of the edges of 1 / rate.

    Args:
        rate: frames a second; None picks all.

    Attributes:
        rate: the same.

    Raises:
        InputError: `rate` is not positive.

    >>> picks = Sampler(2.0)
    >>> [time_s for time_s in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0) if picks(time_s)]
    [0.0, 0.6, 1.0]
    """

    def __init__(self, rate: float | None) -> None:
        if rate is not None and check_number("rate", rate) <= 0:
            raise InputError(f"`rate` must be positive frames a second. Received: {rate}")
        self.rate = rate
        self._first_s: float | None = None
        self._last = -1

    def __call__(self, time_s: float) -> bool:
        """Whether the frame of this time is picked; times grow."""
        if self.rate is None:
            return True
        early_s = min(_EARLY_S, _EARLY_SHARE / self.rate)
        if self._first_s is None:
            self._first_s = time_s
        place = int((time_s - self._first_s + early_s) * self.rate)
        if place == self._last:
            return False
        self._last = place
        return True


class Clock:
    """Times of a file, which may be missing, stand still or jump -> seconds that only grow.

    Args:
        zero_s: the time of the file that becomes 0; the first one when None.
    """

    def __init__(self, zero_s: float | None = None) -> None:
        self.zero_s = zero_s
        self.time_s: float | None = None

    def __call__(self, raw_s: float | None, step_s: float) -> float:
        """Return the time of the next frame; `step_s` is its expected distance from the last."""
        if self.zero_s is None:
            self.zero_s = raw_s or 0.0
        time_s = None if raw_s is None else raw_s - self.zero_s
        last = self.time_s
        if last is None:
            time_s = 0.0 if time_s is None else time_s
        elif time_s is None:
            time_s = last + step_s
        elif not -MAX_BACK_S <= time_s - last <= MAX_GAP_S:
            self.zero_s += time_s - last - step_s
            time_s = last + step_s
        elif time_s <= last:
            time_s = last + step_s / 2
        self.time_s = time_s
        return time_s


def find_zero(container: "InputContainer", first_s: float | None) -> float:
    """Return the time on a file's clock that players show as 0.

    Args:
        container: the file.
        first_s: the time of its first picture.
    """
    first_s = first_s or 0.0
    if container.start_time is None:
        return first_s
    start_s = container.start_time / 1e6
    # Before 0 there is what a decoder of sound needs to start with.
    zero_s = min(max(start_s, 0.0), first_s)
    return zero_s if first_s - zero_s <= MAX_GAP_S else first_s
