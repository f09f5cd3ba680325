"""What one client network may hold at a time."""

import asyncio

import pytest

from fer.web.server.queue import Refused
from fer.web.server.shares import Shares

HERE, THERE = "203.0.113.7", "203.0.113.8"


def hold(shares, hosts, go_after_s=0.05, cancel=()):
    """Visits that hold one each until all go; "held", "refused" or "cancelled" of each."""

    async def visit(host, go):
        try:
            async with shares.one(host):
                await go.wait()
        except Refused as refusal:
            return refusal.code
        except asyncio.CancelledError:
            return "cancelled"
        return "held"

    async def story():
        go = asyncio.Event()
        tasks = [asyncio.create_task(visit(host, go)) for host in hosts]
        await asyncio.sleep(go_after_s / 2)
        for i in cancel:
            tasks[i].cancel()
        await asyncio.sleep(go_after_s / 2)
        go.set()
        return [await task for task in tasks]

    return asyncio.run(story())


def test_a_household_holds_so_many_and_others_too():
    shares = Shares(2)
    visits = [HERE, HERE, HERE, f"::ffff:{HERE}", THERE, "2001:db8::1", "2001:db8::2"]
    told = hold(shares, [*visits, "2001:db8::3", "2001:db8:1::1"])
    assert told == [*("held", "held", "busy", "busy"), *["held"] * 3, "busy", "held"]
    assert hold(shares, [HERE] * 2) == ["held"] * 2


def test_this_machine_holds_any_number():
    assert hold(Shares(1), ["127.0.0.1"] * 9 + ["::1"] * 9) == ["held"] * 18


def test_one_more_waits_for_its_turn():
    shares = Shares(1, patience_s=30)
    assert hold(shares, [HERE] * 4) == ["held"] * 4


def test_who_waits_too_long_is_refused():
    shares = Shares(1, patience_s=0.05)
    assert hold(shares, [HERE] * 3, go_after_s=0.5) == ["held", "busy", "busy"]


def test_who_goes_gives_back_what_was_held():
    shares = Shares(1, patience_s=30)
    told = hold(shares, [HERE] * 4, go_after_s=0.2, cancel=[0, 1])
    assert told == ["cancelled", "cancelled", "held", "held"]


def test_nothing_stays_of_a_household_that_left():
    shares = Shares(1)
    hold(shares, [HERE, HERE, THERE])
    assert not shares._shares
    assert not shares._n_here


def test_an_error_inside_goes_through():
    shares = Shares(1)

    async def fail():
        async with shares.one(HERE):
            raise TimeoutError("ours")

    with pytest.raises(TimeoutError, match="ours"):
        asyncio.run(fail())
    assert hold(shares, [HERE]) == ["held"]
