"""Bodies in tiny parts do not hold up the server."""

import asyncio

import pytest
from uvicorn.protocols.http import auto

from fer.web.server.http import use_bounded_http
from tests.servers import served


async def app(scope, receive, send):
    """Answers with the number of bytes that came."""
    if scope["type"] != "http":
        return
    n_bytes, more = 0, True
    while more:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d bytes" % n_bytes})


def ask(body, more=b""):
    """What a server answers to a chunked body, with more headers before it."""

    async def story():
        async with served(app) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            writer.write(head + more + b"Connection: close\r\n\r\n" + body)
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answer

    return asyncio.run(story())


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)  # put back afterwards
    use_bounded_http()


def chunks(n, size):
    return (b"%x\r\n" % size + b"a" * size + b"\r\n") * n + b"0\r\n\r\n"


def test_chunks_of_a_usual_size_come_in():
    assert b"4000000 bytes" in ask(chunks(4000, 1000))


def test_some_small_chunks_come_in():
    assert b"900 bytes" in ask(chunks(900, 1))


def test_many_small_chunks_are_refused():
    answer = ask(chunks(20_000, 1))
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(("n", "status"), [(60, b"200"), (200, b"400")])
def test_many_headers_are_refused(n, status):
    more = b"".join(b"X-%d: 1\r\n" % i for i in range(n))
    assert ask(chunks(1, 9), more).startswith(b"HTTP/1.1 " + status)
