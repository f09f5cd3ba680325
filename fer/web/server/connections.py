"""Close connections that send no complete request, that read no answer, or are too many.

uvicorn closes a connection that is idle after an answer, but waits without limit for a first
request, for the end of its headers, and for an answer to be read.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fer.web.server.queue import client_network

__all__ = ["Connections", "raise_file_limit"]

_LOOK_S = 0.5
_PATIENCE_S = 10.0
# The system takes some megabytes in advance, and says nothing while a slow line reads them.
_UNREAD_S = 60.0
# A browser has six to a page.
_MAX_A_HOST = 256
# Of files and connections; Linux's usual hard limit is higher.
_MAX_OPEN = 65_536


def raise_file_limit(most: int = _MAX_OPEN) -> None:
    """Let this process open as many files and connections as the system lets it, up to `most`."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS may have another limit yet
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Connections:
    """Watch the open connections of a page's server.

    Args:
        page: that is served by uvicorn.
        patience_s: how long a request may take to be asked, headers and all.
        unread_s: how long an answer may stand still, because nobody reads it.
        max_a_host: connections of one client network; the newest beyond it are closed. This machine
            and the proxies may have any number.
        proxies: whose X-Forwarded-For is trusted, as `Settings.proxies`.
    """

    def __init__(
        self,
        page: Any,
        patience_s: float = _PATIENCE_S,
        unread_s: float = _UNREAD_S,
        max_a_host: int = _MAX_A_HOST,
        proxies: str = "127.0.0.1",
    ) -> None:
        self._page = page
        self._patience_s = patience_s
        self._unread_s = unread_s
        self._max_a_host = max_a_host
        self._proxies = ProxyHeadersMiddleware(page, proxies).trusted_hosts
        self._opened_at: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._silent_since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        # Bytes that wait to be read, and since when they have not become fewer.
        self._unread: WeakKeyDictionary[Any, tuple[int, float]] = WeakKeyDictionary()

    async def run(self) -> None:
        """Close what may not stay open until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_S, self._patience_s, self._unread_s))
            self.close_some()

    def close_some(self) -> None:
        """Close the connections that are silent, unread or too many."""
        now = time.monotonic()
        server = getattr(self._page, "server", None)  # none until the page is served
        state = getattr(server, "server_state", None)
        connections = list(getattr(state, "connections", ()))
        for connection in connections:
            silent = self._silent_s(connection, now) > self._patience_s
            if silent or self._unread_for_s(connection, now) > self._unread_s:
                connection.transport.abort()
        for connection in self._too_many(connections, now):
            connection.transport.abort()

    def _silent_s(self, connection: Any, now: float) -> float:
        if not _is_silent(connection):
            self._silent_since.pop(connection, None)
            return 0.0
        return now - self._silent_since.setdefault(connection, now)

    def _unread_for_s(self, connection: Any, now: float) -> float:
        n_bytes = connection.transport.get_write_buffer_size()
        before, since = self._unread.get(connection, (0, now))
        if n_bytes == 0 or n_bytes < before:
            since = now
        self._unread[connection] = n_bytes, since
        return now - since

    def _too_many(self, connections: list[Any], now: float) -> Iterator[Any]:
        """Yield the newest connections of hosts that have too many."""
        by_network: defaultdict[str, list[Any]] = defaultdict(list)
        for connection in connections:
            self._opened_at.setdefault(connection, now)
            host = connection.client[0] if connection.client else ""
            network = client_network(host)
            if network is not None and host not in self._proxies:
                by_network[network].append(connection)
        for theirs in by_network.values():
            if len(theirs) > self._max_a_host:
                yield from sorted(theirs, key=self._opened_at.__getitem__)[self._max_a_host :]


def _is_silent(connection: Any) -> bool:
    """Return whether no request is being answered on a connection, and none has just been."""
    cycle = getattr(connection, "cycle", None)
    resting = getattr(connection, "timeout_keep_alive_task", None) is not None
    return not resting and (cycle is None or cycle.response_complete)
