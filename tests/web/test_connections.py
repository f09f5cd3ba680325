"""Connections on which nobody asks anything, or reads nothing, or that are too many."""

import asyncio
import contextlib
import socket
from types import SimpleNamespace

import httpx
import pytest

from fer.web.server.connections import Connections, raise_file_limit
from tests.servers import served


async def app(scope, receive, send):
    """Answers when the body is there; /slow after a second, /long with eight megabytes."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(128 if scope["path"] == "/long" else 0):
        await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
    await send({"type": "http.response.body", "body": b"answer"})


async def closed(reader, limit_s):
    """Whether a connection is closed within so many seconds."""
    try:
        return await asyncio.wait_for(reader.read(), limit_s) is not None
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@contextlib.asynccontextmanager
async def watched(**limits):
    """Serve `app` with its connections watched; gives the port."""
    async with served(app) as (server, port):
        watching = asyncio.create_task(Connections(SimpleNamespace(server=server), **limits).run())
        try:
            yield port
        finally:
            watching.cancel()


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_who_does_not_say_what_is_wanted_is_not_waited_for(begin):
    async def story():
        async with watched(patience_s=0.3) as port:
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
            writer.close()
            slowly.close()
            return was_closed, answer, texts

    was_closed, answer, texts = asyncio.run(story())
    assert was_closed
    assert b"answer" in answer  # who is being answered is left alone
    assert texts == ["answer"] * 3


def test_an_answer_that_nobody_reads_is_not_kept():
    async def story():
        async with watched(unread_s=2) as port:
            idle = await ask_long(port)
            slow = await ask_long(port)
            read = 0
            with contextlib.suppress(ConnectionError):
                while part := await slow[0].read(1 << 20):
                    read += len(part)
                    await asyncio.sleep(0.005)
            await asyncio.sleep(4)
            rest = 0
            with contextlib.suppress(ConnectionError):
                while part := await idle[0].read(1 << 20):
                    rest += len(part)
            idle[1].close()
            slow[1].close()
            return read, rest

    read, rest = asyncio.run(story())
    assert read > 128 << 16  # who reads slowly gets all
    assert rest < 128 << 16


async def ask_long(port):
    """Ask for a long answer, over a connection that takes little in advance."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 14)
    writer.write(b"GET /long HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return reader, writer


class Transport:
    def __init__(self):
        self.aborted = False

    def abort(self):
        self.aborted = True

    def get_write_buffer_size(self):
        return 0


class Connected:
    """A connection that is being answered."""

    def __init__(self, host):
        self.client = (host, 1)
        self.transport = Transport()
        self.cycle = SimpleNamespace(response_complete=False)


def test_one_household_has_only_so_many_connections():
    crowd = [Connected(f"2001:db8::{i + 1:x}") for i in range(9)]
    others = [Connected(host) for host in ("192.0.2.7", "127.0.0.1") for _ in range(9)]
    others += [Connected(f"198.51.100.{i}") for i in range(9)]
    state = SimpleNamespace(connections={*crowd[:4], *others})
    page = SimpleNamespace(server=SimpleNamespace(server_state=state))
    connections = Connections(page, max_a_host=4, proxies="192.0.2.0/24")
    connections.close_some()
    assert not any(one.transport.aborted for one in (*crowd, *others))
    state.connections |= set(crowd)
    connections.close_some()
    assert [one.transport.aborted for one in crowd] == [False] * 4 + [True] * 5
    assert not any(one.transport.aborted for one in others)


def test_the_page_may_open_as_many_files_as_the_system_lets_it():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        raise_file_limit(512)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (512, before[1])
        raise_file_limit(128)  # never fewer
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (512, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_page_that_is_not_served_yet_has_no_connections():
    Connections(SimpleNamespace()).close_some()
    Connections(SimpleNamespace(server=None)).close_some()
