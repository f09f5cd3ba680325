"""Limit how much one client network may hold at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fer.web.server.queue import Refused, client_network

__all__ = ["Shares"]


class Shares:
    """Let each client network hold up to `n` of something; further requests wait in order.

    Programs on the same machine may have any number. For one event loop.

    Args:
        n: that a client network may have at a time.
        patience_s: how long one more waits before it is refused.
    """

    def __init__(self, n: int, patience_s: float = 0.0) -> None:
        self._n = n
        self._patience_s = patience_s
        self._shares: dict[str, asyncio.Semaphore] = {}
        self._n_here: Counter[str] = Counter()

    @asynccontextmanager
    async def one(self, host: str) -> AsyncIterator[None]:
        """Hold one while inside.

        Raises:
            Refused: "busy", the client network has all that it may have.
        """
        network = client_network(host)
        if network is None:
            yield
            return
        share = self._shares.setdefault(network, asyncio.Semaphore(self._n))
        self._n_here[network] += 1
        try:
            try:
                async with asyncio.timeout(self._patience_s):
                    await share.acquire()
            except TimeoutError as error:
                raise Refused("busy") from error
            try:
                yield
            finally:
                share.release()
        finally:
            self._n_here[network] -= 1
            if not self._n_here[network]:
                del self._n_here[network], self._shares[network]
