"""Fair turns in a crowd, and bodies that are refused at the door."""

import asyncio
import logging
import threading
import time

import httpx
import pytest

from fer.web.admission import Admission, BodyLimit, Refused


class Crowd:
    """Calls that end when told to; remembers who was served in which order."""

    def __init__(self, work_s=0, **options):
        self.work_s = work_s
        self.admission = Admission(
            **({"n_at_work": 1, "max_waiting": 9, "patience_s": 60} | options)
        )
        self.gate = threading.Event()
        self.served = []

    def come(self, visitor, mark=None, host=None):
        def work(waited_s):
            self.gate.wait(30)
            time.sleep(self.work_s)
            self.served.append(mark or visitor)
            return mark or visitor

        return asyncio.create_task(self.admission.run(visitor, host or visitor, work))


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def outcome(task):
    try:
        return await task
    except Refused as refusal:
        return refusal.code


def test_visitors_are_served_in_the_order_of_their_coming():
    async def story():
        crowd = Crowd()
        tasks = []
        for name in "abcd":
            tasks.append(crowd.come(name))
            await settle()
        crowd.gate.set()
        await asyncio.gather(*tasks)
        return crowd.served

    assert asyncio.run(story()) == list("abcd")


def test_a_newer_frame_takes_the_place_of_the_older_one_and_not_a_second_one():
    async def story():
        crowd = Crowd()
        tasks = {}
        for visitor, mark in [("x", "x"), ("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")]:
            tasks[mark] = crowd.come(visitor, mark)
            await settle()
        crowd.gate.set()
        return crowd.served, {mark: await outcome(task) for mark, task in tasks.items()}

    served, outcomes = asyncio.run(story())
    assert served == ["x", "a3", "b1"]
    assert outcomes == {"x": "x", "a1": "stale", "b1": "b1", "a2": "stale", "a3": "a3"}


def test_a_greedy_visitor_gets_no_more_turns_than_the_others():
    async def story():
        crowd = Crowd(work_s=0.005, n_at_work=2)
        crowd.gate.set()
        end = asyncio.get_running_loop().time() + 1.0

        async def visit(name, n_lines):
            async def line():
                while asyncio.get_running_loop().time() < end:
                    await outcome(crowd.come(name))
                    await asyncio.sleep(0.001)

            await asyncio.gather(*(line() for _ in range(n_lines)))

        await asyncio.gather(visit("greedy", 20), *(visit(name, 1) for name in "abcd"))
        return {name: crowd.served.count(name) for name in ("greedy", *"abcd")}

    counts = asyncio.run(story())
    others = min(counts[name] for name in "abcd")
    assert others > 10
    assert counts["greedy"] <= 2.2 * others, counts  # one at work, one in line


def test_beyond_the_line_a_visitor_is_told_to_wait():
    async def story():
        crowd = Crowd(max_waiting=2)
        tasks = [crowd.come(name) for name in "abcde"]
        await settle()
        crowd.gate.set()
        return [await outcome(task) for task in tasks]

    assert asyncio.run(story()) == ["a", "b", "c", "busy", "busy"]


def test_one_host_cannot_fill_the_line_under_many_names():
    async def story():
        crowd = Crowd(max_waiting=8)
        tasks = [crowd.come(f"enemy-{i}", host="one") for i in range(20)]
        tasks += [crowd.come(f"guest-{i}") for i in range(4)]
        await settle()
        crowd.gate.set()
        return [await outcome(task) for task in tasks]

    results = asyncio.run(story())
    assert results[5:20] == ["busy"] * 15
    assert results[20:] == [f"guest-{i}" for i in range(4)]


def test_what_waited_too_long_is_not_worked_on():
    async def story():
        crowd = Crowd(patience_s=0.05)
        tasks = [crowd.come(name) for name in "ab"]
        await asyncio.sleep(0.2)
        crowd.gate.set()
        results = [await outcome(task) for task in tasks]
        return results, await outcome(crowd.come("c"))

    assert asyncio.run(story()) == (["a", "stale"], "c")


def test_who_hangs_up_while_waiting_leaves_the_line():
    async def story():
        crowd = Crowd()
        tasks = [crowd.come(name) for name in "abc"]
        await settle()
        tasks[1].cancel()
        await settle()
        crowd.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await crowd.come("d")
        return crowd.served

    assert asyncio.run(story()) == list("acd")


def test_a_crash_gives_the_turn_on():
    async def story():
        admission = Admission(1, 9, 60)

        def crash(waited_s):
            raise RuntimeError("no")

        for _ in range(3):
            with pytest.raises(RuntimeError):
                await admission.run("a", "a", crash)
        return await admission.run("a", "a", lambda waited_s: waited_s)

    assert asyncio.run(story()) >= 0


async def echo(scope, receive, send):
    """Reads the body; fails as some of Gradio's handlers do."""
    n_bytes = 0
    while True:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    if n_bytes == 3:
        raise KeyError("component_id")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(n_bytes).encode()})


def said(caplog):
    return [line.getMessage() for line in caplog.records if line.name.startswith("fer.")]


def post(path, content, limit=100):
    async def story():
        transport = httpx.ASGITransport(BodyLimit(echo, max_bytes=limit))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post(path, content=content)

    return asyncio.run(story())


async def in_parts(n_bytes):
    for _ in range(n_bytes):
        yield b"x"


@pytest.mark.parametrize("make", [lambda n: b"x" * n, in_parts])
def test_bodies_are_bounded_with_and_without_a_declared_length(make, caplog):
    caplog.set_level(logging.INFO)
    path = "/gradio_api/component_server"
    assert post(path, make(100)).text == "100"
    assert not said(caplog)
    reply = post(path, make(101))
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "too_large"
    assert said(caplog) == ["request refused: too large"]


def test_uploads_are_left_to_gradio_and_nothing_else_of_that_name():
    assert post("/gradio_api/upload", b"x" * 500).text == "500"
    assert post("/gradio_api/call/upload", b"x" * 500).status_code == 413


def test_a_malformed_call_is_one_line_but_other_crashes_are_seen(caplog):
    caplog.set_level(logging.INFO)
    assert post("/gradio_api/component_server/", b"xxx").status_code == 400
    assert said(caplog) == ["request refused: malformed (KeyError)"]
    with pytest.raises(KeyError):
        post("/gradio_api/queue/join", b"xxx")
