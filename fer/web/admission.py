"""Who is served next when many visitors ask at once, and what is refused at the door."""

import asyncio
import ipaddress
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
from starlette.responses import JSONResponse

from fer.web.traffic import traffic

__all__ = [
    "UPLOAD_PATH",
    "Admission",
    "BodyLimit",
    "RateLimit",
    "Refused",
    "household",
    "max_per_minute",
    "refusal",
]

log = logging.getLogger(__name__)

T = TypeVar("T")

_RETRY_AFTER_S = 1.0
_MAX_PER_MINUTE = 120
_MAX_HOSTS = 10_000
# A home has a network of so many bits and a device many addresses in it (RFC 4862).
_IPV6_HOME_BITS = 64


class Refused(Exception):
    """A call that was not made.

    Attributes:
        code: "busy" or "stale".
        retry_after_s: when to try again, in seconds.
    """

    def __init__(self, code: str, retry_after_s: float = _RETRY_AFTER_S) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_s = retry_after_s


def max_per_minute() -> int | None:
    """How often one host may ask a minute, from FER_MAX_PER_MINUTE; None for any."""
    named = os.environ.get("FER_MAX_PER_MINUTE") or str(_MAX_PER_MINUTE)
    if not named.isdecimal():
        log.warning("FER_MAX_PER_MINUTE must be a whole number. Received: %s", ascii(named))
        return _MAX_PER_MINUTE
    return int(named) or None


def household(host: str) -> str | None:
    """What counts as one host: an IPv4 address, a home's IPv6 network; None for this machine."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6:
        if address.ipv4_mapped is not None:
            return household(str(address.ipv4_mapped))
        if not address.is_loopback:
            return str(ipaddress.ip_network((address, _IPV6_HOME_BITS), strict=False))
    return None if address.is_loopback else str(address)


class RateLimit:
    """Lets each host ask so often a minute, all at once or one after the other.

    Programs on the same machine may ask as often as they like. For one event loop.
    Source: the generic cell rate algorithm, ITU-T I.371, which keeps one number a host.

    Args:
        per_minute: calls; None for any number.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._per_minute = per_minute
        self._quiet_at: dict[str, float] = {}  # when all that a host asked is a minute old

    def wait_s(self, host: str) -> float:
        """Ask: 0 when the call is let in, else seconds until one would be."""
        home = household(host)
        if self._per_minute is None or home is None:
            return 0.0
        now = time.monotonic()
        quiet_at = max(now, self._quiet_at.get(home, now)) + 60 / self._per_minute
        if quiet_at - now > 60:
            return quiet_at - now - 60
        self._quiet_at[home] = quiet_at
        if len(self._quiet_at) > _MAX_HOSTS:
            self._quiet_at = {name: at for name, at in self._quiet_at.items() if at > now}
        return 0.0


class _Place:
    """A place in the line."""

    def __init__(self, home: str | None) -> None:
        self.home = home
        self.since = time.monotonic()
        self.called = anyio.Event()
        self.refusal: Refused | None = None

    def refuse(self, code: str) -> None:
        self.refusal = Refused(code)
        self.called.set()


class Admission(Generic[T]):
    """Lets a few calls work at a time, the others wait in the order of their visitors.

    Each visitor has one place in the line: a newer call of the same visitor takes over the
    place of the older one, which is refused as stale. So nobody gets more than a share,
    and no work is spent on a picture that its visitor has replaced. For one event loop.

    Args:
        n_at_work: calls at a time, each in a thread.
        max_waiting: places in the line; beyond it a call is refused as busy.
        patience_s: a call that has waited so long is refused as stale, then and there.
        max_a_host: of those places, under however many names; half of them when None. Programs
            on the same machine may have all.
        by_host: hosts are served in turn, so that one which asks much holds up nobody else.
        rate: how often a host may ask, of which nothing is refused when None.
    """

    def __init__(
        self,
        n_at_work: int,
        max_waiting: int,
        patience_s: float,
        max_a_host: int | None = None,
        by_host: bool = False,
        rate: RateLimit | None = None,
    ) -> None:
        self._n_free = n_at_work
        self._max_waiting = max_waiting
        self._patience_s = patience_s
        self._max_a_host = (max_waiting + 1) // 2 if max_a_host is None else max_a_host
        self._by_host = by_host
        self._rate = rate
        self._last: str | None = None
        self._waiting: dict[Hashable, _Place] = {}
        self._threads = anyio.CapacityLimiter(n_at_work)

    async def run(self, visitor: Hashable, host: str, call: Callable[[float], T]) -> T:
        """`call(seconds that it waited)` in a thread, when it is `visitor`'s turn.

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
        """The steps of the generator `call()`, each made in a thread, when it is its turn.

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
        """A turn of `visitor`; as the target, the seconds that it waited."""
        if self._rate is not None and (wait_s := self._rate.wait_s(host)):
            raise Refused("busy", wait_s)
        place = _Place(household(host))
        if self._n_free:
            self._n_free -= 1
        else:
            await self._wait(visitor, place)
        self._last = place.home
        try:
            yield time.monotonic() - place.since
        finally:
            self._call_next()

    async def _wait(self, visitor: Hashable, place: _Place) -> None:
        older = self._waiting.get(visitor)
        if older is None:
            same = sum(other.home == place.home for other in self._waiting.values())
            too_many = place.home is not None and same >= self._max_a_host
            if len(self._waiting) >= self._max_waiting or too_many:
                raise Refused("busy")
        self._waiting[visitor] = place  # a dict keeps the older one's place
        if older is not None:
            older.refuse("stale")
        try:
            with anyio.move_on_after(self._patience_s):
                await place.called.wait()
        except BaseException:  # the visitor hung up
            if self._waiting.get(visitor) is place:
                del self._waiting[visitor]
            elif place.refusal is None:
                self._call_next()
            raise
        if self._waiting.get(visitor) is place:  # its time is over, and nobody has called it
            del self._waiting[visitor]
            place.refuse("stale")
        if place.refusal is not None:
            raise place.refusal

    def _next(self) -> Hashable:
        """Whose turn it is of those who wait."""
        first = next(iter(self._waiting))
        if not self._by_host:
            return first
        others = (name for name, one in self._waiting.items() if one.home != self._last)
        return next(others, first)

    def _call_next(self) -> None:
        if self._waiting:
            self._waiting.pop(self._next()).called.set()
        else:
            self._n_free += 1


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


class _TooLarge(Exception):
    """A body over the limit."""


# What Gradio's handlers raise on a call that lacks a part or has one of another type.
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
UPLOAD_PATH = "/gradio_api/upload"
# What Gradio offers beside, which nothing here needs: it fetches files of other addresses for
# whoever asks, writes a visitor's answers to disk, and runs ffmpeg on what it is sent.
_NOT_OFFERED = tuple(
    f"/gradio_api/{name}" for name in ("file=http", "deep_link", "process_recording")
)


def _is_upload(scope: Any) -> bool:
    """Whether an ASGI request sends files to Gradio's folder."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    path = scope.get("path", "").rstrip("/")
    return path in (scope.get("root_path", "") + UPLOAD_PATH, UPLOAD_PATH)


class BodyLimit:
    """ASGI middleware: POST bodies are bounded, and malformed calls are counted, not traced.

    Gradio bounds each file of an upload, but not how many come at once; it reads a JSON body
    of any length into memory, keeps files that come with other calls where those break off, and
    answers some malformed calls with a stack trace.

    Args:
        app: the application behind it.
        max_bytes: of a body.
        max_upload_bytes: of a body with files.
    """

    def __init__(self, app: Any, max_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        path = scope.get("path", "").rstrip("/")
        if scope["type"] == "http" and any(name in path for name in _NOT_OFFERED):
            await _refuse(403, "not_offered", scope, receive, send)
            return
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        max_bytes = self._max_bytes
        if _is_upload(scope):
            max_bytes = self._max_upload_bytes
        elif headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
            await _refuse(400, "malformed", scope, receive, send)
            return
        n_bytes = 0
        started = False

        async def count() -> Any:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > max_bytes:
                raise _TooLarge
            return message

        async def watch(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > max_bytes:
                raise _TooLarge
            await self._app(scope, count, watch)
        except _TooLarge:
            if started:
                raise
            await _refuse(413, "too_large", scope, receive, send)
        except _MALFORMED:
            if started or not path.endswith("/component_server"):
                raise
            await _refuse(400, "malformed", scope, receive, send)


async def _refuse(status: int, code: str, scope: Any, receive: Any, send: Any) -> None:
    with traffic.call("request") as call:
        call.outcome = code
        log.debug("request refused: %s", code)
        await refusal(status, code)(scope, receive, send)


_REFUSALS = {
    "busy": "Much is asked for right now. Try again in a moment.",
    "not_offered": "This page does not offer that. Send files themselves, not their address.",
}


def refusal(status: int, code: str, retry_after_s: float | None = None) -> JSONResponse:
    """The response {"error": {"code", "message"}} to a request that is not read to its end."""
    error: dict[str, Any] = {
        "code": code,
        "message": _REFUSALS.get(code, "This request cannot be used."),
    }
    headers = {"connection": "close"}
    if retry_after_s is not None:
        error["retry_after_ms"] = math.ceil(1000 * retry_after_s)
        headers["retry-after"] = str(math.ceil(retry_after_s))
    return JSONResponse({"error": error}, status, headers)
