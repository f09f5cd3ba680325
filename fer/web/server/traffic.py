"""Count the calls of the page and their times, without anything about a visitor."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KINDS", "Call", "Traffic", "traffic"]

# A "request" is refused before its kind is known.
KINDS = ("frame", "picture", "explanation", "comparison", "video", "upload", "request")
# Of the newest calls between two summaries; ten minutes of seven frames a second.
_MAX_TIMES = 4096


@dataclass(slots=True)
class Call:
    """A call that is being answered.

    Attributes:
        outcome: "answered", "failed" (a mistake of ours), "cancelled", or the code with which
            it is refused.
    """

    outcome: str = "answered"

    def take(self, answer: dict[str, Any]) -> None:
        """Set the outcome from the answer of an endpoint."""
        code = answer.get("error", {}).get("code", "answered")
        self.outcome = "failed" if code == "internal" else code


@dataclass(slots=True)
class _Kind:
    n_at_work: int = 0
    total: Counter[str] = field(default_factory=Counter)
    recent: Counter[str] = field(default_factory=Counter)
    times_s: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_TIMES))


class Traffic:
    """Count calls by kind and outcome; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds = {name: _Kind() for name in KINDS}
        self._since = self._start = time.monotonic()

    @contextmanager
    def call(self, kind: str) -> Iterator[Call]:
        """Count what happens inside as a call of `kind`, one of `KINDS`."""
        entry = self._kinds[kind]
        call = Call()
        start = time.monotonic()
        with self._lock:
            entry.n_at_work += 1
        try:
            yield call
        except Exception:
            call.outcome = "failed"
            raise
        except BaseException:  # the visitor hung up
            call.outcome = "cancelled"
            raise
        finally:
            with self._lock:
                entry.n_at_work -= 1
                entry.total[call.outcome] += 1
                entry.recent[call.outcome] += 1
                if call.outcome == "answered":
                    entry.times_s.append(time.monotonic() - start)

    @property
    def uptime_s(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._start

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return counts since the start by kind and outcome, with those `at_work`."""
        with self._lock:
            return {
                name: {"at_work": kind.n_at_work, **_by_outcome(kind.total)}
                for name, kind in self._kinds.items()
            }

    def summary(self) -> dict[str, Any]:
        """Return and reset the counts since the last summary: `seconds`, then kinds with calls.

        Their times are in milliseconds, from a call's arrival to its answer.
        """
        now = time.monotonic()
        with self._lock:
            kinds = {
                name: (kind.recent, sorted(kind.times_s))
                for name, kind in self._kinds.items()
                if kind.recent
            }
            for kind in self._kinds.values():
                kind.recent = Counter()
                kind.times_s = deque(maxlen=_MAX_TIMES)
            seconds, self._since = now - self._since, now
        return {"seconds": round(seconds, 1)} | {
            name: {**_by_outcome(outcomes), **_times(times_s)}
            for name, (outcomes, times_s) in kinds.items()
        }


def _by_outcome(outcomes: Counter[str]) -> dict[str, Any]:
    others = dict(outcomes)
    named = {name: others.pop(name, 0) for name in ("answered", "failed", "cancelled")}
    return named | {"refused": others}


def _times(times_s: list[float]) -> dict[str, float]:
    if not times_s:
        return {}
    last = len(times_s) - 1
    shares = {"median_ms": 0.5, "p95_ms": 0.95}
    return {name: round(1000 * times_s[round(share * last)], 1) for name, share in shares.items()}


# One process serves one page, so there is one to count in.
traffic = Traffic()
