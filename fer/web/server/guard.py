"""Check every request before Gradio sees it: route, host, origin, size and speed.

Gradio serves many routes that this page does not need; some read, write or fetch files. The table
of routes here lists those that the page, `gradio_client`, "Use via API", assistants and /health
need. All others answer 404. `fer.web.server.calls` checks the JSON of each call.
"""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from gradio.blocks import Blocks
from starlette.exceptions import HTTPException

from fer.web.server.assets import ASSETS_PATTERN
from fer.web.server.calls import MAX_CHARS, NAME, BadCall, Calls, read
from fer.web.server.origins import Hosts, security_headers
from fer.web.server.queue import RateLimit, Refused, client_network, refusal
from fer.web.server.shares import Shares
from fer.web.server.traffic import traffic
from fer.web.server.uploads import uploads

__all__ = ["Guard", "Pace"]

log = logging.getLogger(__name__)

_API = "/gradio_api"
_FILE = f"{_API}/file="
_MAX_QUERY = 2048
_MAX_PATH = 2048
# Seconds to wait for a body, and the least rate of its bytes, by which the wait is extended.
_GRACE_S = 10.0
_BYTES_PER_S = 32_000
# Answers that are still being sent. A tab has two, a program one.
_MAX_STREAMS_A_HOST = 64
# Calls that wait or are at work, of those that Gradio works on at a time. Live frames of the page
# are none of them.
_MAX_JOBS_A_HOST = 10
# Calls being received of one client network, each of at most a megabyte; another waits.
_MAX_BODIES_A_HOST = 16
# Files being received of one client network; another waits.
_MAX_COMING_A_HOST = 3
_COMING_PATIENCE_S = 10.0
# Who hangs up in the middle has asked so often, for room that was made in vain.
_HANG_UP_COST = 10
# The page takes 20 ms of this process each time, its description for programs 3; a file takes 1,
# of which a page has sixty. Measured on a core of an AMD EPYC (2.6 GHz).
_PAGES_PER_MINUTE = 240
_MAX_PAGES_A_HOST = 2
_PAGE_PATIENCE_S = 10.0
_FILES_PER_MINUTE = 6000
# Gradio believes them who they are, and makes addresses of them.
_STRIPPED = frozenset({b"origin", b"x-forwarded-host", b"x-gradio-server"})
# A part of a file, of one piece.
_RANGE = re.compile(rb"bytes=[0-9]{1,15}-[0-9]{0,15}")
# Gradio answers a range with the headers of the request, which proxies may have added to.
_FILE_HEADERS = frozenset(
    {
        *(b"content-type", b"content-length", b"content-range", b"content-disposition"),
        *(b"accept-ranges", b"etag", b"last-modified", b"content-encoding", b"vary"),
    }
)


class _TooSlow(Exception):
    """Raised when a body takes too long to arrive."""


class _Gone(Exception):
    """Raised when the client has disconnected."""


class Pace:
    """Time limit of a body: a grace period, and its bytes at the lowest allowed rate.

    Args:
        grace_s: seconds.
        bytes_per_s: the least rate.
    """

    def __init__(self, grace_s: float = _GRACE_S, bytes_per_s: float = _BYTES_PER_S) -> None:
        self._end = time.monotonic() + grace_s
        self._per_byte = 1 / bytes_per_s

    async def receive(self, receive: Any) -> Any:
        """Return the next ASGI message.

        Raises:
            _TooSlow: it did not come in time.
        """
        try:
            async with asyncio.timeout(self._end - time.monotonic()):
                message = await receive()
        except TimeoutError as error:
            raise _TooSlow from error
        self._end += self._per_byte * len(message.get("body", b""))
        return message


@dataclass(frozen=True, slots=True)
class _Route:
    """A route that is served.

    Attributes:
        methods: of HTTP.
        pattern: of its path, whole.
        kind: "get"; "page", which takes longer to make; "stream", whose answer comes over a
            while; "file"; "upload"; "call", whose body is JSON; or "job", a call that Gradio's
            queue or an assistant's session works on.
        check: of a call: from `Calls`, its body and the groups of `pattern`.
        names: parameters of the query that must be names.
        needed: those of `names` that must be there.
    """

    methods: tuple[str, ...]
    pattern: re.Pattern[str]
    kind: str = "get"
    check: Callable[..., None] | None = None
    names: frozenset[str] = frozenset({"session_hash", "upload_id", "event_id"})
    needed: frozenset[str] = frozenset()


_GET = ("GET", "HEAD")
_NAME = NAME.pattern


def _get(pattern: str, **more: Any) -> _Route:
    return _Route(_GET, re.compile(pattern), **more)


def _call(pattern: str, check: Callable[..., None], kind: str = "call") -> _Route:
    return _Route(("POST",), re.compile(_API + pattern), kind, check)


def _job(pattern: str, check: Callable[..., None]) -> _Route:
    return _call(pattern, check, "job")


_ROUTES = (
    # The page, a program's first request, and the page's health.
    _get(rf"/|/config|{_API}/(?:info|openapi\.json)", kind="page"),
    _get(r"/health|/theme\.css|/manifest\.json|/favicon\.ico|/robots\.txt"),
    _get(r"/(?:assets|static)/(?!.*\.\.)[\w./@+~-]+"),
    _get(ASSETS_PATTERN),
    _get(_API + r"/(?:startup-events|theme\.css|app_id)"),
    _get(_API + r"/file=.+", kind="file"),
    # What a visitor sends, and how far it is.
    _Route(("POST",), re.compile(_API + "/upload"), "upload"),
    _get(_API + "/upload_progress", kind="stream", needed=frozenset({"upload_id"})),
    # What the page calls.
    _call("/component_server", lambda calls, call: calls.check_server_function(call)),
    _job("/queue/join", lambda calls, call: calls.check_event(call, queued=True)),
    _job(f"/run/{_NAME}", lambda calls, call: calls.check_event(call, queued=False)),
    _call("/cancel", lambda calls, call: calls.check_cancel(call)),
    _call("/reset", lambda calls, call: calls.check_reset(call)),
    _get(_API + "/queue/data", kind="stream", needed=frozenset({"session_hash"})),
    _get(_API + f"/heartbeat/{_NAME}", kind="stream"),
    # What programs call by name.
    _job(f"/call/({_NAME})", lambda calls, call, name: calls.check_endpoint(name, call)),
    _job(f"/call/v2/({_NAME})", lambda calls, call, name: calls.check_named(name, call)),
    _get(_API + f"/call/(?:v2/)?{_NAME}/{_NAME}", kind="stream"),
)
_ASSISTANTS = (
    _get(_API + "/mcp/schema", kind="page"),
    _Route(("GET", "HEAD", "DELETE"), re.compile(_API + "/mcp"), "stream"),
    _job("/mcp", lambda calls, call: calls.check_message(call)),
)


@cache
def _routes(method: str, assistants: bool) -> tuple[_Route, ...]:
    routes = (*_ROUTES, *(_ASSISTANTS if assistants else ()))
    return tuple(route for route in routes if method in route.methods)


class Guard:
    """ASGI middleware around all of Gradio's.

    Args:
        app: Gradio's, with its own middleware.
        page: that it serves.
        max_bytes: of the JSON of a call.
        max_upload_bytes: of a body with files.
        uploading: how often a host may send; one that sends too slowly waits for a minute.
        refusing: how often a host may ask for what is refused, in more words than "later".
        hosts: of the page; this machine and the share link alone when None.
        on_space: whether the Hub shows the page in a frame.
    """

    def __init__(
        self,
        app: Any,
        page: Blocks,
        *,
        max_bytes: int,
        max_upload_bytes: int,
        uploading: RateLimit,
        refusing: RateLimit,
        hosts: Hosts | None = None,
        on_space: bool = False,
    ) -> None:
        self._app = app
        self._page = page
        self._calls = Calls(page, uploads.holds)
        self._assistants = page.mcp_server_obj is not None
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes
        self._uploading = uploading
        self._refusing = refusing
        self._hosts = hosts or Hosts((), lambda: page.share_url)
        self._headers = security_headers(on_space)
        self._streams = Shares(_MAX_STREAMS_A_HOST)
        self._reading = Shares(_MAX_BODIES_A_HOST, _COMING_PATIENCE_S)
        self._coming = Shares(_MAX_COMING_A_HOST, _COMING_PATIENCE_S)
        self._pages = Shares(_MAX_PAGES_A_HOST, _PAGE_PATIENCE_S)
        self._page_rate = RateLimit(_PAGES_PER_MINUTE)
        self._file_rate = RateLimit(_FILES_PER_MINUTE)
        self._n_passing: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # Gradio has no use for websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def answer(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*self._without_cors(message), *self._headers]
            await send(message)

        try:
            await self._serve(scope, receive, answer)
        except BadCall as error:
            await self._refuse(error.status, error.code, scope, receive, answer)
        except Refused as error:
            wait_s = error.retry_after_s
            await self._refuse(429, error.code, scope, receive, answer, wait_s)
        except _TooSlow:
            if started:
                raise
            await self._refuse(408, "too_slow", scope, receive, answer)
        except _Gone:
            return
        except RuntimeError as error:
            # Gradio finds out in the middle of a stream that its session is not there.
            if not (started and isinstance(error.__cause__, HTTPException)):
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    @staticmethod
    def _without_cors(message: Any) -> Iterator[tuple[bytes, bytes]]:
        for name, value in message.get("headers", ()):
            if not name.lower().startswith(b"access-control-"):
                yield name, value

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(reversed(scope["headers"]))  # the first of several, as Starlette has it
        self._check_host(scope, headers)
        route, found = self._find(scope)
        _check_query(scope["query_string"], route)
        scope = {**scope, "headers": self._kept(scope)}
        host = _host_of(scope)
        if route.check is not None:
            content = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if content != b"application/json":
                raise BadCall
            async with self._reading.one(host):
                body = await self._read(receive, headers)
            route.check(self._calls, read(body), *found.groups())
            with self._count_job(host) if route.kind == "job" else nullcontext():
                await self._app(scope, _replay(body, receive), send)
        elif route.kind == "upload":
            _check_length(headers, self._max_upload_bytes)
            async with self._coming.one(host):
                await self._take(scope, receive, send)
        elif route.kind == "stream":
            async with self._streams.one(host):
                await self._app(scope, receive, send)
        elif route.kind == "page":
            _ask(self._page_rate, host)
            async with self._pages.one(host):
                await self._app(scope, receive, send)
        else:
            _ask(self._file_rate, host)
            scope["headers"] = [
                (name, value)
                for name, value in scope["headers"]
                if name != b"range" or _RANGE.fullmatch(value)
            ]
            if route.kind == "file":
                if not uploads.shows(found[0].removeprefix(_FILE)):
                    raise BadCall(404, "no_such_file")
                send = _only(_FILE_HEADERS, send)
            await self._app(scope, receive, send)

    def _check_host(self, scope: Any, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        server = scope.get("server")
        if not self._hosts.know(host, server[0] if server else None):
            _say_once()
            raise BadCall(421, "other_host")
        origin = headers.get(b"origin")
        if origin is None or self._hosts.let_ask(origin.decode("latin-1"), host):
            return
        if scope["method"] not in _GET:
            raise BadCall(403, "other_origin")

    def _kept(self, scope: Any) -> list[tuple[bytes, bytes]]:
        """Return the headers to pass on; `Origin` has been checked."""
        server = scope.get("server")
        reached = server[0] if server else None
        return [
            (name, value)
            for name, value in scope["headers"]
            if name not in _STRIPPED
            or (name != b"origin" and self._hosts.know(_authority(value), reached))
        ]

    def _find(self, scope: Any) -> tuple[_Route, re.Match[str]]:
        path = scope["path"]
        root = scope.get("root_path", "")
        if root and path.startswith(root + "/"):
            path = path[len(root) :]
        if not path.startswith(_FILE):
            path = path.rstrip("/") or "/"
        if len(path) <= _MAX_PATH and path.isprintable():
            for route in _routes(scope["method"], self._assistants):
                if (found := route.pattern.fullmatch(path)) is not None:
                    return route, found
        raise BadCall(404, "not_offered")

    async def _read(self, receive: Any, headers: dict[bytes, bytes]) -> bytes:
        """Return the whole body of a call."""
        _check_length(headers, self._max_bytes)
        pace = Pace()
        parts: list[bytes] = []
        n_bytes = 0
        more = True
        while more:
            message = await pace.receive(receive)
            if message["type"] == "http.disconnect":
                raise _Gone
            parts.append(message.get("body", b""))
            n_bytes += len(parts[-1])
            if n_bytes > self._max_bytes:
                raise BadCall(413, "too_large")
            more = message.get("more_body", False)
        return b"".join(parts)

    async def _take(self, scope: Any, receive: Any, send: Any) -> None:
        """Let files come in, as long as they come fast enough and are not too many."""
        host = _host_of(scope)
        pace = Pace()
        n_bytes = 0
        problem: Exception | None = None
        whole = False

        async def bounded() -> Any:
            nonlocal n_bytes, problem, whole
            if problem is None:
                try:
                    message = await pace.receive(receive)
                except _TooSlow as error:
                    problem = error
                else:
                    if message["type"] == "http.disconnect":
                        for _ in range(0 if whole else _HANG_UP_COST):
                            self._uploading.wait_s(host)
                        return message
                    whole = not message.get("more_body", False)
                    n_bytes += len(message.get("body", b""))
                    if n_bytes <= self._max_upload_bytes:
                        return message
                    problem = BadCall(413, "too_large")
            return {"type": "http.disconnect"}

        async def answer(message: Any) -> None:
            if problem is None:
                await send(message)

        await self._app(scope, bounded, answer)
        if problem is not None:
            if isinstance(problem, _TooSlow):
                self._uploading.spend(host)
            raise problem

    @contextmanager
    def _count_job(self, host: str) -> Iterator[None]:
        """Count a call while it is passed on, beside those that wait or are at work."""
        network = client_network(host)
        if network is None:
            yield
            return
        if self._n_passing[network] + self._n_queued(network) >= _MAX_JOBS_A_HOST:
            raise Refused("busy")
        self._n_passing[network] += 1
        try:
            yield
        finally:
            self._n_passing[network] -= 1
            if not self._n_passing[network]:
                del self._n_passing[network]

    def _n_queued(self, network: str) -> int:
        """Count the calls of a client network that Gradio's queue has."""
        requests = [event.request for event in self._page._queue.event_ids_to_events.values()]
        hosts = [request.client.host for request in requests if request and request.client]
        return sum(client_network(host) == network for host in hosts)

    async def _refuse(
        self,
        status: int,
        code: str,
        scope: Any,
        receive: Any,
        send: Any,
        wait_s: float = 0.0,
    ) -> None:
        with traffic.call("request") as call:
            call.outcome = code
            log.debug("request refused: %s", code)
            # A client that is told to retry later did nothing wrong.
            if code != "busy" and (wait_s := self._refusing.wait_s(_host_of(scope))):
                status, code = 429, "busy"
            await refusal(status, code, wait_s or None)(scope, receive, send)


def _ask(rate: RateLimit, host: str) -> None:
    if wait_s := rate.wait_s(host):
        raise Refused("busy", wait_s)


def _only(names: frozenset[bytes], send: Any) -> Any:
    """Return an ASGI `send` that lets no other headers of an answer through."""

    async def passing(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            kept = [(name, value) for name, value in headers if name.lower() in names]
            message = {**message, "headers": kept}
        await send(message)

    return passing


@cache
def _say_once() -> None:
    log.warning(
        "a request was refused, because it named another host than this page is served under; "
        "FER_ALLOWED_HOSTS must name the hosts of a proxy"
    )


def _host_of(scope: Any) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _authority(value: bytes) -> str:
    """Return host and port in a header of a proxy, which may be an address and may be several."""
    return value.decode("latin-1").partition(",")[0].strip().rpartition("//")[2].rstrip("/")


def _check_length(headers: dict[bytes, bytes], max_bytes: int) -> None:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18:
        raise BadCall
    if int(length) > max_bytes:
        raise BadCall(413, "too_large")


def _check_query(query: bytes, route: _Route) -> None:
    if not query and not route.needed:
        return
    if len(query) > _MAX_QUERY:
        raise BadCall
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for name, value in given:
        if len(value) > MAX_CHARS or not (name.isprintable() and value.isprintable()):
            raise BadCall
        if name in route.names and NAME.fullmatch(value) is None:
            raise BadCall
    if not route.needed <= {name for name, _ in given}:
        raise BadCall


def _replay(body: bytes, receive: Any) -> Any:
    """Return an ASGI `receive` that first gives a body which was already read."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
