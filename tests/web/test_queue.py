"""Fair turns in a crowd, and how often one may ask."""

import asyncio
import contextlib
import threading
import time
from types import SimpleNamespace

import pytest

from fer.web.server.queue import FairQueue, RateLimit, Refused


class Crowd:
    """Calls that end when told to; remembers who was served in which order."""

    def __init__(self, work_s=0, **options):
        self.work_s = work_s
        self.queue = FairQueue(**({"n_at_work": 1, "max_waiting": 9, "patience_s": 60} | options))
        self.gate = threading.Event()
        self.served = []

    def come(self, visitor, mark=None, host=None):
        def work(waited_s):
            self.gate.wait(30)
            time.sleep(self.work_s)
            self.served.append(mark or visitor)
            return mark or visitor

        return asyncio.create_task(self.queue.run(visitor, host or visitor, work))


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


def test_a_waiting_call_gives_up_by_its_own_clock():
    async def story():
        crowd = Crowd(patience_s=0.05)
        first, second = crowd.come("a"), crowd.come("b")
        told = await asyncio.wait_for(outcome(second), 10)  # while the first is still at work
        still = not first.done()
        third = crowd.come("c")
        crowd.gate.set()
        return told, still, await outcome(first), await outcome(third), crowd.served

    assert asyncio.run(story()) == ("stale", True, "a", "c", ["a", "c"])


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
        queue = FairQueue(1, 9, 60)

        def crash(waited_s):
            raise RuntimeError("no")

        for _ in range(3):
            with pytest.raises(RuntimeError):
                await queue.run("a", "a", crash)
        return await queue.run("a", "a", lambda waited_s: waited_s)

    assert asyncio.run(story()) >= 0


def clock_at(monkeypatch, now):
    monkeypatch.setattr("fer.web.server.queue.time", SimpleNamespace(monotonic=lambda: now[0]))


def test_a_host_may_ask_so_often_a_minute(monkeypatch):
    now = [1000.0]
    clock_at(monkeypatch, now)
    rate = RateLimit(6)
    assert [rate.wait_s("192.0.2.1") for _ in range(6)] == [0] * 6
    assert rate.wait_s("192.0.2.1") == pytest.approx(10)
    assert rate.wait_s("192.0.2.2") == 0
    now[0] += 9
    assert rate.wait_s("192.0.2.1") == pytest.approx(1)
    now[0] += 1
    assert rate.wait_s("192.0.2.1") == 0
    assert rate.wait_s("192.0.2.1") == pytest.approx(10)
    now[0] += 60
    assert [rate.wait_s("192.0.2.1") for _ in range(6)] == [0] * 6


def test_a_home_is_one_host_and_this_machine_is_none():
    rate = RateLimit(1)
    assert rate.wait_s("2001:db8:0:1::1") == 0
    assert rate.wait_s("2001:db8:0:1:ffff::2") > 0
    assert rate.wait_s("2001:db8:0:ff::1") > 0
    assert rate.wait_s("2001:db8:0:100::1") == 0
    assert rate.wait_s("192.0.2.1") == 0
    assert rate.wait_s("::ffff:192.0.2.1") > 0
    for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert [rate.wait_s(host) for _ in range(3)] == [0] * 3


def test_what_a_host_may_ask_in_the_next_minute_can_be_taken_from_it(monkeypatch):
    now = [1000.0]
    clock_at(monkeypatch, now)
    rate = RateLimit(6)
    rate.spend("192.0.2.1")
    assert rate.wait_s("192.0.2.1") == pytest.approx(70)
    assert rate.wait_s("192.0.2.2") == 0
    now[0] += 71
    assert rate.wait_s("192.0.2.1") == 0
    RateLimit(None).spend("192.0.2.1")
    rate.spend("127.0.0.1")
    assert rate.wait_s("127.0.0.1") == 0


def test_without_a_limit_everybody_may_ask():
    assert [RateLimit(None).wait_s("192.0.2.1") for _ in range(3)] == [0] * 3


def test_many_hosts_do_not_fill_the_memory(monkeypatch):
    now = [0.0]
    clock_at(monkeypatch, now)
    monkeypatch.setattr("fer.web.server.queue._MAX_HOSTS", 50)
    rate = RateLimit(60)
    for i in range(200):
        now[0] += 1
        assert rate.wait_s(f"198.51.100.{i}") == 0
    assert len(rate._quiet_at) <= 51


def test_who_asks_too_often_is_told_when_to_come_again():
    async def story():
        crowd = Crowd(rate=RateLimit(2))
        crowd.gate.set()
        for _ in range(2):
            await crowd.come("a", host="192.0.2.1")
        with pytest.raises(Refused) as refusal:
            await crowd.come("b", host="192.0.2.1")
        return refusal.value

    refusal = asyncio.run(story())
    assert refusal.code == "busy"
    assert 0 < refusal.retry_after_s <= 30


def come_in_turn(names, **options):
    """Let the calls "a1", "b1" ... of the hosts a, b ... come; return who was served, and all."""

    async def story():
        crowd = Crowd(**options)
        tasks = []
        for name in names:
            tasks.append(crowd.come(name, host=f"host-{name[0]}"))
            await settle()
        crowd.gate.set()
        outcomes = [await outcome(task) for task in tasks]
        return crowd.served, outcomes

    return asyncio.run(story())


def test_hosts_are_served_in_turn_where_one_asks_much():
    served, outcomes = come_in_turn(["a1", "a2", "a3", "a4", "a5", "b1", "c1", "b2"], max_a_host=3)
    assert outcomes == ["a1", "a2", "a3", "a4", "busy", "b1", "c1", "b2"]
    assert served == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_two_hosts_that_ask_much_do_not_keep_a_third_waiting():
    served, _ = come_in_turn(["a1", "a2", "b1", "a3", "b2", "a4", "b3", "c1", "c2"])
    assert served.index("c1") == 2
    assert served.index("c2") <= 5


def test_a_host_that_fills_the_line_makes_room_for_others():
    names = ["a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1", "b3", "c2"]
    served, outcomes = come_in_turn(names, max_waiting=4, max_a_host=4)
    assert [name for name, told in zip(names, outcomes, strict=True) if told == "busy"] == [
        *("a3", "a4", "a5", "b3", "c2")
    ]
    assert served == ["a1", "b1", "c1", "a2", "b2"]


def test_one_host_leaves_a_place_at_work_to_others():
    async def story():
        crowd = Crowd(n_at_work=2, max_a_host_at_work=1)
        tasks = []
        for name in ("a1", "a2", "b1", "a3", "c1"):
            tasks.append(crowd.come(name, host=f"host-{name[0]}"))
            await settle()
        begun = crowd.queue._at_work.copy()
        crowd.gate.set()
        await asyncio.gather(*tasks)
        alone = [crowd.come(name, host="127.0.0.1") for name in ("d1", "d2", "d3")]
        await asyncio.gather(*alone)
        return begun, crowd.served, crowd.queue._at_work, crowd.queue._n_free

    begun, served, left, n_free = asyncio.run(story())
    assert begun == {"host-a": 1, "host-b": 1}
    assert set(served[:2]) == {"a1", "b1"}
    assert served.index("c1") < served.index("a3")
    assert len(served) == 8
    assert not left
    assert n_free == 2


def test_the_turns_of_many_hosts_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("fer.web.server.queue._MAX_HOSTS", 5)

    async def story():
        queue = FairQueue(1, 9, 60)
        for i in range(20):
            await queue.run(i, f"198.51.100.{i}", lambda waited_s: None)
        return len(queue._last_turn)

    assert asyncio.run(story()) == 5


class Counting:
    """Steps 0, 1, 2 ... of work, each in a thread; knows whether it was closed."""

    def __init__(self, n_steps):
        self.n_steps = n_steps
        self.closed = False
        self.go = threading.Event()
        self.at_step = threading.Event()

    def __call__(self):
        try:
            for i in range(self.n_steps):
                if i == 1:
                    self.at_step.set()
                    self.go.wait(30)
                yield i
        finally:
            self.closed = True


def test_the_steps_of_a_work_come_in_its_turn():
    async def story():
        queue = FairQueue(1, 9, 60)
        work, later = Counting(3), Counting(2)
        work.go.set()
        later.go.set()

        async def collect(name, call):
            return [step async for step in queue.steps(name, name, call)]

        both = await asyncio.gather(collect("a", work), collect("b", later))
        return both, work.closed, later.closed

    assert asyncio.run(story()) == ([[0, 1, 2], [0, 1]], True, True)


def test_who_cancels_between_or_in_a_step_ends_the_work_and_gives_the_turn_on():
    async def story():
        queue = FairQueue(1, 9, 60)
        between = Counting(5)
        async with contextlib.aclosing(queue.steps("a", "a", between)) as steps:
            assert await anext(steps) == 0
        inside = Counting(5)
        steps = queue.steps("a", "a", inside)
        assert await anext(steps) == 0
        task = asyncio.create_task(anext(steps))
        while not inside.at_step.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.1)
        assert not inside.closed  # the thread is at its step
        inside.go.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return between.closed, inside.closed, await queue.run("b", "b", lambda _: "next")

    assert asyncio.run(story()) == (True, True, "next")
