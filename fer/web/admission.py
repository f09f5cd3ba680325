"""Who is served next when many visitors ask at once, and what is refused at the door."""

import logging
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

__all__ = ["Admission", "BodyLimit", "Refused"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Refused(Exception):
    """A call that was not made; `code` is "busy" or "stale"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Place:
    """A place in the line."""

    def __init__(self, host: Hashable) -> None:
        self.host = host
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
        max_waiting: places in the line; beyond it a call is refused as busy. One host gets
            at most half of them, under however many names.
        patience_s: a call that waited longer is refused as stale when its turn comes.
    """

    def __init__(self, n_at_work: int, max_waiting: int, patience_s: float) -> None:
        self._n_free = n_at_work
        self._max_waiting = max_waiting
        self._patience_s = patience_s
        self._waiting: dict[Hashable, _Place] = {}
        self._threads = anyio.CapacityLimiter(n_at_work)

    async def run(self, visitor: Hashable, host: Hashable, call: Callable[[float], T]) -> T:
        """`call(seconds that it waited)` in a thread, when it is `visitor`'s turn.

        Args:
            visitor: by which calls of one visitor are known.
            host: where the call comes from.
            call: the work.

        Raises:
            Refused: it was not called.
        """
        place = _Place(host)
        if self._n_free:
            self._n_free -= 1
        else:
            await self._wait(visitor, place)
        try:
            waited_s = time.monotonic() - place.since
            return await anyio.to_thread.run_sync(call, waited_s, limiter=self._threads)
        finally:
            self._call_next()

    async def _wait(self, visitor: Hashable, place: _Place) -> None:
        older = self._waiting.get(visitor)
        if older is None:
            same = sum(other.host == place.host for other in self._waiting.values())
            if len(self._waiting) >= self._max_waiting or 2 * same >= self._max_waiting:
                raise Refused("busy")
        self._waiting[visitor] = place  # a dict keeps the older one's place
        if older is not None:
            older.refuse("stale")
        try:
            await place.called.wait()
        except BaseException:  # the visitor hung up
            if self._waiting.get(visitor) is place:
                del self._waiting[visitor]
            elif place.refusal is None:
                self._call_next()
            raise
        if place.refusal is not None:
            raise place.refusal

    def _call_next(self) -> None:
        while self._waiting:
            place = self._waiting.pop(next(iter(self._waiting)))
            if time.monotonic() - place.since <= self._patience_s:
                place.called.set()
                return
            place.refuse("stale")
        self._n_free += 1


class _TooLarge(Exception):
    """A body over the limit."""


# What Gradio's handlers raise on a call that lacks a part or has one of another type.
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)


class BodyLimit:
    """ASGI middleware: POST bodies are bounded, and a malformed call is one line in the log.

    Gradio bounds the files of an upload, but reads a JSON body of any length into memory
    and answers some malformed calls with a stack trace.

    Args:
        app: the application behind it.
        max_bytes: of a body; Gradio's own uploads, which it bounds itself, are let through.
    """

    def __init__(self, app: Any, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        path = scope.get("path", "").rstrip("/")
        bounded = scope["type"] == "http" and scope["method"] == "POST"
        upload = scope.get("root_path", "") + "/gradio_api/upload"
        if not bounded or path in (upload, "/gradio_api/upload"):
            await self._app(scope, receive, send)
            return
        n_bytes = 0
        started = False

        async def count() -> Any:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_bytes:
                raise _TooLarge
            return message

        async def watch(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if length.isdigit() and int(length) > self._max_bytes:
                raise _TooLarge
            await self._app(scope, count, watch)
        except _TooLarge:
            if started:
                raise
            log.info("request refused: too large")
            await _refuse(send, 413, b"too_large")
        except _MALFORMED as error:
            if started or not path.endswith("/component_server"):
                raise
            log.info("request refused: malformed (%s)", type(error).__name__)
            await _refuse(send, 400, b"malformed")


async def _refuse(send: Any, status: int, code: bytes) -> None:
    body = b'{"error": {"code": "%s", "message": "this request cannot be used"}}' % code
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
