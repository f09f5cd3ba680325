"""python -m bench.attack: attack a page on this machine while an honest visitor streams."""

import asyncio
import itertools
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import pandas as pd
import psutil
import typer

from bench.apps import ROOT, camera_frames, cpu
from bench.attack.files import face_jpeg
from bench.attack.page import Page, serve_page, tree_mb
from bench.attack.table import ATTACKS, Attack, Broken
from bench.visitor import Visitor, data_url

# Attacks at a time, of which so few make the page work for seconds.
_N_LIGHT, _N_HEAVY = 3, 2
_RATE = 8.0
_ALONE_S = 15.0
_MAX_P95_MS = 500.0
_MAX_GROWTH = 0.10
_END_S = 5.0
_SWEPT_S = 30.0
_VIDEO = ROOT / "examples" / "expressions.mp4"


@dataclass
class _Outcome:
    """What came of an attack."""

    n: int = 0
    longest_s: float = 0.0
    saw: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


@dataclass
class _Visit:
    """What the honest visitor saw."""

    trips_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.trips_ms, n=20)[-1] if len(self.trips_ms) > 1 else 1e9


async def _stream(page: Page, seconds: float) -> _Visit:
    """Stream as one tab does; frames that are not answered in time are errors."""
    images = itertools.cycle([data_url(frame) for frame in camera_frames()])
    seen = _Visit()
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(
        base_url=page.url, timeout=30, headers={"x-forwarded-for": "198.51.100.200"}
    ) as client:
        visitor = Visitor(client, "honest")
        while (began := time.monotonic()) < end:
            try:
                answer = await visitor.send(next(images))
            except (httpx.HTTPError, ValueError) as error:
                answer = {"error": {"code": type(error).__name__}}
            if "error" in answer:
                seen.errors[answer["error"]["code"]] += 1
            else:
                seen.trips_ms.append(1000 * (time.monotonic() - began))
            await asyncio.sleep(max(0.0, began + 1 / _RATE - time.monotonic()))
    return seen


async def _try(page: Page, attack: Attack, outcome: _Outcome) -> None:
    began = time.monotonic()
    try:
        outcome.saw[await attack.run(page)] += 1
    except Broken as error:
        outcome.broken.append(str(error))
    except (httpx.HTTPError, OSError) as error:
        outcome.broken.append(f"no answer: {type(error).__name__} {error}")
    outcome.n += 1
    outcome.longest_s = max(outcome.longest_s, time.monotonic() - began)


async def _attack(page: Page, attacks: list[Attack], seconds: float | None) -> dict[str, _Outcome]:
    """Try all attacks in turn for `seconds`; once each when None."""
    outcomes = {attack.name: _Outcome() for attack in attacks}
    end = None if seconds is None else time.monotonic() + seconds

    async def work(mine: list[Attack]) -> None:
        queue = iter(mine) if end is None else itertools.cycle(mine)
        for attack in queue:
            if end is not None and time.monotonic() > end:
                return
            await _try(page, attack, outcomes[attack.name])

    lanes = []
    for heavy, n in ((False, _N_LIGHT), (True, _N_HEAVY)):
        mine = [attack for attack in attacks if attack.heavy == heavy]
        lanes += [work(mine[i::n]) for i in range(n) if mine[i::n]]
    await asyncio.gather(*lanes)
    return outcomes


async def _warm_up(page: Page) -> None:
    """Have all parts of the page at work once, so that growth is not what they weigh."""
    async with page.visit() as visit:
        for _ in range(4):
            await visit.analyse("predict_image", "face.jpg", face_jpeg())
        await visit.analyse("predict_video", "clip.mp4", _VIDEO.read_bytes(), 1)
        await visit.ask_tool("predict_image", face_jpeg())
    await _stream(page, 3)


async def _end_at_work(page: Page) -> tuple[float, list[Path]]:
    """End the page by SIGTERM while it works on four videos; seconds, and what is left."""

    async def analyse(address: str) -> None:
        try:
            async with page.visit(address) as visit:
                await visit.analyse("predict_video", "clip.mp4", _VIDEO.read_bytes(), 30)
        except (httpx.HTTPError, OSError, ValueError):
            return

    process = page.server.process
    family = [process, *process.children(recursive=True)]
    jobs = [asyncio.ensure_future(analyse(f"203.0.113.{i}")) for i in range(4)]
    await asyncio.sleep(3)
    family += process.children(recursive=True)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 20)
    took_s = time.monotonic() - began
    for each in jobs:
        each.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    return (took_s if not alive else 1e9), page.files()


async def _after_a_kill(page: Page) -> None:
    """Kill the page while a file of a visitor lies there."""
    async with page.visit() as visit:
        await visit.upload("left.jpg", face_jpeg())
    family = [page.server.process, *page.server.process.children(recursive=True)]
    page.server.process.kill()
    await asyncio.to_thread(psutil.wait_procs, family, 20)


def _check_ends(folder: Path) -> dict[str, bool]:
    """Check how a page ends, and what the next one finds."""
    checks = {}
    with serve_page(folder) as page:
        asyncio.run(_after_a_kill(page))
        left = page.files()
    checks["an upload lies there after a kill"] = bool(left)
    with serve_page(folder) as page:
        end = time.monotonic() + _SWEPT_S
        while any(path.exists() for path in left) and time.monotonic() < end:
            time.sleep(0.1)
        swept = not any(path.exists() for path in left)
        checks["the next start deletes what a kill left"] = swept
        took_s, files = asyncio.run(_end_at_work(page))
    checks[f"SIGTERM at work ends all within {_END_S:g} s"] = took_s <= _END_S
    checks["SIGTERM at work leaves no file"] = not files
    return checks


def _chosen(only: list[str] | None, light: bool) -> list[Attack]:
    chosen = [
        attack
        for attack in ATTACKS
        if (not only or any(word in attack.name for word in only)) and not (light and attack.heavy)
    ]
    if not chosen:
        raise typer.BadParameter(f"there must be an attack of that name. Received: {only}")
    return chosen


def main(
    seconds: Annotated[float, typer.Option(help="Of attack; 0 for each attack once.")] = 300,
    quiet: Annotated[float, typer.Option(help="Seconds of peace before memory is read.")] = 120,
    only: Annotated[
        list[str] | None, typer.Option(help="Attacks whose name has this; may be repeated.")
    ] = None,
    light: Annotated[
        bool,
        typer.Option(help="No attack that takes seconds; time and memory are not judged."),
    ] = False,
    results: Annotated[Path | None, typer.Option(help="Folder for attack.csv. [none]")] = None,
) -> None:
    """Attack a page of its own, localhost only, while an honest visitor streams.

    Ends with status 1 where an attack saw what it must not, or the visitor, the memory, the disk
    or the log of the page suffered.
    """
    attacks = _chosen(only, light)
    folder = Path(tempfile.mkdtemp(prefix="fer-attack-"))
    try:
        with serve_page(folder) as page:
            asyncio.run(_warm_up(page))
            alone = asyncio.run(_stream(page, 2.0 if light else _ALONE_S))
            memory = tree_mb(page.server.process)
            streaming, outcomes, peak = asyncio.run(_fight(page, attacks, seconds))
            time.sleep(quiet)
            after = tree_mb(page.server.process)
            uploads, problems = page.uploads(), page.problems()
        left = page.files()
        ends = _check_ends(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        {
            "attack": name,
            "tried": outcome.n,
            "longest s": round(outcome.longest_s, 1),
            "saw": "; ".join(f"{n} x {what}" for what, n in outcome.saw.most_common(3)),
            "broken": "; ".join(sorted(set(outcome.broken))[:2]),
        }
        for name, outcome in outcomes.items()
    ]
    for row in rows:
        print("FAIL" if row["broken"] else "ok  ", *row.values(), sep="  ")
    figures = {
        "seconds of attack": seconds,
        "attacks": sum(outcome.n for outcome in outcomes.values()),
        "visitor alone, p95 ms": round(alone.p95_ms, 1),
        "visitor during the attack, p95 ms": round(streaming.p95_ms, 1),
        "visitor's frames during the attack": len(streaming.trips_ms),
        "visitor's errors": sum(streaming.errors.values()),
        "memory before, MB": round(memory, 1),
        "memory at most, MB": round(peak, 1),
        "memory after, MB": round(after, 1),
        "processor": cpu(),
        "cores": os.cpu_count(),
    }
    print(pd.Series(figures, dtype=object).to_string())
    checks = {
        "no attack saw what it must not": not any(row["broken"] for row in rows),
        "visitor met no error": not streaming.errors,
        "no file of a visitor is left": not uploads,
        "nothing is left of a page that ended": not left,
        "no mistake in the log": not problems,
        **ends,
    }
    if not light:
        checks |= {
            f"visitor's p95 under {_MAX_P95_MS:g} ms": streaming.p95_ms < _MAX_P95_MS,
            "memory is back within 10 %": after <= (1 + _MAX_GROWTH) * memory,
        }
    for name, passed in checks.items():
        print("ok  " if passed else "FAIL", name)
    for what in (*uploads[:5], *problems[:5], *left[:5], *streaming.errors.items()):
        print(what)
    if results is not None:
        table = pd.Series(figures | checks, dtype=object).rename_axis("what")
        table.to_csv(results / "attack.csv", header=["value"])
    sys.exit(not all(checks.values()))


async def _fight(
    page: Page, attacks: list[Attack], seconds: float
) -> tuple[_Visit, dict[str, _Outcome], float]:
    """Attack while the visitor streams; what both saw, and the most memory."""
    fight = asyncio.ensure_future(_attack(page, attacks, seconds or None))
    peak = 0.0
    visit = _Visit()
    while not fight.done():
        part = await _stream(page, 2.0)
        visit.trips_ms += part.trips_ms
        visit.errors += part.errors
        peak = max(peak, tree_mb(page.server.process))
    return visit, await fight, peak


if __name__ == "__main__":
    typer.run(main)
