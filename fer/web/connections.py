"""Close connections that send no complete request.

uvicorn closes a connection that is idle after an answer, but waits without limit for a first
request and for the end of its headers.
"""

import asyncio
import time
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Connections"]

_LOOK_S = 2.0
_PATIENCE_S = 10.0


class Connections:
    """The open connections of a page's server.

    Args:
        page: that is served by uvicorn.
        patience_s: how long a request may take to be asked, headers and all.
    """

    def __init__(self, page: Any, patience_s: float = _PATIENCE_S) -> None:
        self._page = page
        self._patience_s = patience_s
        self._silent_since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    async def run(self) -> None:
        """Close silent connections until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_S, self._patience_s))
            self.close_silent()

    def close_silent(self) -> None:
        """Close the connections that have been silent for too long."""
        now = time.monotonic()
        server = getattr(self._page, "server", None)  # none until the page is served
        state = getattr(server, "server_state", None)
        for connection in list(getattr(state, "connections", ())):
            if not _is_silent(connection):
                self._silent_since.pop(connection, None)
            elif now - self._silent_since.setdefault(connection, now) > self._patience_s:
                connection.transport.abort()


def _is_silent(connection: Any) -> bool:
    """Whether no request is being answered on a connection, and none has just been."""
    cycle = getattr(connection, "cycle", None)
    resting = getattr(connection, "timeout_keep_alive_task", None) is not None
    return not resting and (cycle is None or cycle.response_complete)
