"""Bound what it costs to parse a request, which the server does before anybody can refuse it."""

from typing import Any

import h11
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["use_bounded_http"]

# Browsers send twenty headers, proxies add ten; each costs all who handle the request.
_MAX_HEADERS = 100
# What nginx and Apache take of one line, by default; here of all that has not ended yet.
_MAX_HEAD_BYTES = 8 << 10
# A body comes in parts of a kilobyte and more; each part takes 20 us, whatever its size. Chunks of
# a byte, a megabyte a second, would take all the time there is.
_FREE_PARTS = 1000
_BYTES_A_PART = 128


class _Connection(h11.Connection):
    """Connection that ends where a head or a body has too many parts."""

    def __init__(self, our_role: Any, max_incomplete_event_size: int) -> None:
        super().__init__(our_role, max_incomplete_event_size)
        self._n_parts = 0
        self._n_bytes = 0

    def next_event(self) -> Any:
        """See `h11.Connection`."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._n_parts = self._n_bytes = 0
            if len(event.headers) > _MAX_HEADERS:
                raise h11.RemoteProtocolError("too many headers")
        elif isinstance(event, h11.Data):
            self._n_parts += 1
            self._n_bytes += len(event.data)
            if self._n_parts > _FREE_PARTS + self._n_bytes / _BYTES_A_PART:
                raise h11.RemoteProtocolError("a body in too many parts")
        return event


class _Protocol(H11Protocol):
    """uvicorn's protocol, on such a connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _Connection(h11.SERVER, _MAX_HEAD_BYTES)


def use_bounded_http() -> None:
    """Have uvicorn serve with this protocol wherever it may choose, as Gradio lets it."""
    auto.AutoHTTPProtocol = _Protocol
