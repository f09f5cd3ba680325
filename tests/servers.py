"""A small ASGI app, served for a test."""

import asyncio
import contextlib
import socket

import uvicorn

from bench.apps import free_port


@contextlib.asynccontextmanager
async def served(app):
    """Serve `app` on a port of its own; gives the uvicorn server and the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port := free_port()))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield server, port
        finally:
            server.should_exit = True
            await serving
