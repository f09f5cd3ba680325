"""Queue calls fairly between client networks, and limit their rate."""

import asyncio
import ipaddress
import itertools
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
from starlette.responses import JSONResponse

__all__ = [
    "FairQueue",
    "RateLimit",
    "Refused",
    "client_network",
    "refusal",
]

T = TypeVar("T")

_RETRY_AFTER_S = 1.0
_MAX_HOSTS = 10_000
# Bits of the IPv6 prefix of a home (RFC 6177); a device has many addresses in it.
_IPV6_HOME_BITS = 56


class Refused(Exception):
    """Raised for a call that is refused.

    Attributes:
        code: "busy" or "stale".
        retry_after_s: seconds until a new try makes sense.
    """

    def __init__(self, code: str, retry_after_s: float = _RETRY_AFTER_S) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_s = retry_after_s


def client_network(host: str) -> str | None:
    """Return what counts as one client: an IPv4 address or an IPv6 /56; None for this machine."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6:
        if address.ipv4_mapped is not None:
            return client_network(str(address.ipv4_mapped))
        if not address.is_loopback:
            return str(ipaddress.ip_network((address, _IPV6_HOME_BITS), strict=False))
    return None if address.is_loopback else str(address)


class RateLimit:
    """Limit the calls of each client network per minute, in a burst or spread out.

    Programs on the same machine are not limited. For one event loop. Source: the generic cell
    rate algorithm, ITU-T I.371, which keeps one number per network.

    Args:
        per_minute: calls of one network; None for any number.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._per_minute = per_minute
        self._quiet_at: dict[str, float] = {}  # when the last call counted is a minute old

    def wait_s(self, host: str) -> float:
        """Count a call: return 0 if it is allowed, else the seconds until one is."""
        network = client_network(host)
        if self._per_minute is None or network is None:
            return 0.0
        now = time.monotonic()
        quiet_at = max(now, self._quiet_at.get(network, now)) + 60 / self._per_minute
        if quiet_at - now > 60:
            return quiet_at - now - 60
        self._quiet_at[network] = quiet_at
        if len(self._quiet_at) > _MAX_HOSTS:
            self._quiet_at = {name: at for name, at in self._quiet_at.items() if at > now}
        return 0.0

    def spend(self, host: str) -> None:
        """Use up what a host may call in the next minute."""
        network = client_network(host)
        if self._per_minute is not None and network is not None:
            self._quiet_at[network] = time.monotonic() + 60 + 60


class _Position:
    """A call that waits."""

    def __init__(self, network: str | None) -> None:
        self.network = network
        self.since = time.monotonic()
        self.called = anyio.Event()
        self.refusal: Refused | None = None

    def refuse(self, code: str) -> None:
        self.refusal = Refused(code)
        self.called.set()


class FairQueue(Generic[T]):
    """Run a few calls at a time; the others wait, and client networks are served in turn.

    Next is the network that was served longest ago, and of its calls the first in the queue. Each
    visitor has one position: a newer call of the same visitor replaces the older one, which is
    refused as stale. When the queue is full, a network with fewer positions takes one from the
    network with most. So nobody gets more than a share, and no work is spent on a picture that
    its visitor has replaced. For one event loop.

    Args:
        n_at_work: calls at a time, each in a thread.
        max_waiting: positions in the queue; beyond it a call is refused as busy.
        patience_s: a call that has waited so long is refused as stale, then and there.
        max_a_host: of those positions, under however many names; half of them when None. Programs
            on the same machine may have all.
        rate: how often a host may ask, of which nothing is refused when None.
        max_a_host_at_work: calls of one host at work at a time; any number when None. Programs on
            the same machine may have all.
    """

    def __init__(
        self,
        n_at_work: int,
        max_waiting: int,
        patience_s: float,
        max_a_host: int | None = None,
        rate: RateLimit | None = None,
        max_a_host_at_work: int | None = None,
    ) -> None:
        self._n_free = n_at_work
        self._max_a_host_at_work = max_a_host_at_work or n_at_work
        self._at_work: Counter[str | None] = Counter()
        self._max_waiting = max_waiting
        self._patience_s = patience_s
        self._max_a_host = (max_waiting + 1) // 2 if max_a_host is None else max_a_host
        self._rate = rate
        self._turns = itertools.count(1)
        self._last_turn: dict[str | None, int] = {}  # by host, the longest ago first
        self._waiting: dict[Hashable, _Position] = {}
        self._threads = anyio.CapacityLimiter(n_at_work)

    async def run(self, visitor: Hashable, host: str, call: Callable[[float], T]) -> T:
        """Run `call(seconds waited)` in a thread when it is `visitor`'s turn.

        Args:
            visitor: by which calls of one visitor are known.
            host: where the call comes from.
            call: the work.

        Raises:
            Refused: it was not called.
        """
        async with self._turn(visitor, host) as waited_s:
            return await anyio.to_thread.run_sync(call, waited_s, limiter=self._threads)

    async def steps(
        self, visitor: Hashable, host: str, call: Callable[[], Generator[T, None, None]]
    ) -> AsyncGenerator[T, None]:
        """Yield the steps of the generator `call()`, each made in a thread, when it is its turn.

        The turn lasts until the last step. Closing this, or cancelling who waits for a step,
        closes the generator.

        Raises:
            Refused: it was not called.
        """
        async with self._turn(visitor, host):
            steps = call()
            try:
                while (
                    step := await anyio.to_thread.run_sync(next, steps, _END, limiter=self._threads)
                ) is not _END:
                    yield step
            finally:
                await _close(steps)

    @asynccontextmanager
    async def _turn(self, visitor: Hashable, host: str) -> AsyncIterator[float]:
        """Hold a slot for a call of `visitor`; the target is the seconds it waited."""
        if self._rate is not None and (wait_s := self._rate.wait_s(host)):
            raise Refused("busy", wait_s)
        position = _Position(client_network(host))
        if self._n_free and self._may_work(position.network):
            self._begin(position.network)
        else:
            await self._wait(visitor, position)
        try:
            yield time.monotonic() - position.since
        finally:
            self._end(position.network)

    async def _wait(self, visitor: Hashable, position: _Position) -> None:
        older = self._waiting.get(visitor)
        if older is None:
            self._make_room(position.network)
        self._waiting[visitor] = position  # a dict keeps the older one's position
        if older is not None:
            older.refuse("stale")
        try:
            with anyio.move_on_after(self._patience_s):
                await position.called.wait()
        except BaseException:  # the visitor hung up
            if self._waiting.get(visitor) is position:
                del self._waiting[visitor]
            elif position.refusal is None:
                self._end(position.network)
            raise
        if self._waiting.get(visitor) is position:  # its time is over, and nobody has called it
            del self._waiting[visitor]
            position.refuse("stale")
        if position.refusal is not None:
            raise position.refusal

    def _make_room(self, network: str | None) -> None:
        """Make sure that a call of `network` can join the queue.

        Raises:
            Refused: it has all the positions that it may have.
        """
        positions = Counter(position.network for position in self._waiting.values())
        if network is not None and positions[network] >= self._max_a_host:
            raise Refused("busy")
        if len(self._waiting) < self._max_waiting:
            return
        most = max(positions, key=positions.__getitem__, default=network)
        if positions[most] <= positions[network] + 1:
            raise Refused("busy")
        newest = [name for name, position in self._waiting.items() if position.network == most][-1]
        self._waiting.pop(newest).refuse("busy")

    def _may_work(self, network: str | None) -> bool:
        return network is None or self._at_work[network] < self._max_a_host_at_work

    def _begin(self, network: str | None) -> None:
        """Give a slot to a call of `network`."""
        self._n_free -= 1
        self._at_work[network] += 1
        self._last_turn.pop(network, None)
        self._last_turn[network] = next(self._turns)
        if len(self._last_turn) > _MAX_HOSTS:
            del self._last_turn[next(iter(self._last_turn))]

    def _end(self, network: str | None) -> None:
        """Free the slot of a call of `network`, and give it to the next call."""
        self._n_free += 1
        self._at_work[network] -= 1
        if not self._at_work[network]:
            del self._at_work[network]
        ready = [
            name for name, position in self._waiting.items() if self._may_work(position.network)
        ]
        if ready:
            name = min(ready, key=lambda each: self._last_turn.get(self._waiting[each].network, 0))
            position = self._waiting.pop(name)
            self._begin(position.network)
            position.called.set()


_END: Any = object()


async def _close(steps: Generator[Any, None, None]) -> None:
    """Close a generator, which may be at a step in a thread that was left behind."""
    while True:
        try:
            steps.close()
        except ValueError:  # it is executing
            await asyncio.sleep(0.05)
        else:
            return


_REFUSALS = {
    "busy": "The server is busy. Try again in a moment.",
    "no_such_file": "No such file. Upload it again: files are deleted once they have been "
    "analysed, or after 15 minutes.",
    "not_offered": "This function is disabled on this page.",
    "other_host": "This page is not served under this name. FER_ALLOWED_HOSTS names others.",
    "other_origin": "Requests from other origins are refused.",
    "too_slow": "The request took too long to arrive.",
}


def refusal(status: int, code: str, retry_after_s: float | None = None) -> JSONResponse:
    """Return the response {"error": {"code", "message"}, "detail"} to a refused request."""
    message = _REFUSALS.get(code, "The request is invalid.")
    error: dict[str, Any] = {"code": code, "message": message}
    headers = {"connection": "close"}
    if retry_after_s is not None:
        error["retry_after_ms"] = math.ceil(1000 * retry_after_s)
        headers["retry-after"] = str(math.ceil(retry_after_s))
    # Gradio's own page shows `detail`.
    return JSONResponse({"error": error, "detail": message}, status, headers)
