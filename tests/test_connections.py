"""Connections on which nobody asks anything."""

import asyncio
import socket
from types import SimpleNamespace

import httpx
import pytest
import uvicorn

from bench.apps import free_port
from fer.web.connections import Connections


async def app(scope, receive, send):
    """Answers when the body is there; /slow after a second."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answer"})


async def closed(reader, limit_s):
    """Whether a connection is closed within so many seconds."""
    try:
        return await asyncio.wait_for(reader.read(), limit_s) is not None
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_who_does_not_say_what_is_wanted_is_not_waited_for(begin):
    async def story():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port := free_port()))
            server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            page = SimpleNamespace(server=server)
            watching = asyncio.create_task(Connections(page, patience_s=0.3).run())
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begin)
            slow, slowly = await asyncio.open_connection("127.0.0.1", port)
            slowly.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            was_closed = await closed(reader, 5)
            answer = await slow.read()
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                texts = []
                for _ in range(3):
                    texts.append((await client.get("/")).text)
                    await asyncio.sleep(0.5)
            watching.cancel()
            writer.close()
            slowly.close()
            server.should_exit = True
            await serving
            return was_closed, answer, texts

    was_closed, answer, texts = asyncio.run(story())
    assert was_closed
    assert b"answer" in answer  # who is being answered is left alone
    assert texts == ["answer"] * 3


def test_a_page_that_is_not_served_yet_has_no_connections():
    Connections(SimpleNamespace()).close_silent()
    Connections(SimpleNamespace(server=None)).close_silent()
