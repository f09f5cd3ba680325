"""python -m bench.soak: several visitors at once for a while; rates, round trips, memory."""

import asyncio
import itertools
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Annotated

import httpx
import numpy as np
import pandas as pd
import typer
from scipy.stats import theilslopes

from bench.apps import ROOT, Server, camera_frames, cpu, serve
from bench.report import write_speed
from bench.visitor import Visitor, data_url

# The allocator's heaps reach their size within the first minutes.
_WARM_UP_S = 300
_SAMPLE_S = 5
_MAX_MB_A_MINUTE = 1.0


@dataclass
class _Account:
    """What one visitor saw: how long the answers took, and what was refused."""

    trips_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


async def _visit(server: Server, name: str, rate: float, images: list[str], end: float) -> _Account:
    account = _Account()
    frames = itertools.cycle(images)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        visitor = Visitor(client, name)
        while time.monotonic() < end:
            sent = time.monotonic()
            try:
                answer = await visitor.send(next(frames))
            except httpx.HTTPError as error:
                answer = {"error": {"code": repr(error)}}
            if "error" in answer:
                account.errors.append(answer["error"]["code"])
            else:
                account.trips_ms.append(1000 * (time.monotonic() - sent))
            await asyncio.sleep(max(0.0, sent + 1 / rate - time.monotonic()))
    return account


async def _watch_memory(server: Server, end: float) -> list[float]:
    samples = []
    while time.monotonic() < end:
        samples.append(server.memory_mb())
        await asyncio.sleep(_SAMPLE_S)
    return samples


async def _soak(
    server: Server, n_visitors: int, rate: float, seconds: float
) -> tuple[list[_Account], list[float]]:
    images = [data_url(frame) for frame in camera_frames()]
    end = time.monotonic() + seconds
    visits = []
    for i in range(n_visitors):  # not all at the same frame of the clip
        turned = images[15 * i :] + images[: 15 * i]
        visits.append(_visit(server, f"visitor-{i}", rate, turned, end))
    memory, accounts = await asyncio.gather(_watch_memory(server, end), asyncio.gather(*visits))
    return accounts, memory


def _growth(memory: list[float]) -> tuple[float, float, float, list[float]]:
    """Fit a line to the memory of each minute; megabytes a minute.

    Args:
        memory: in megabytes, every `_SAMPLE_S` seconds.

    Returns:
        The Theil-Sen slope, the ends of its 95 % interval, and each minute's median: within a
        minute, samples depend on each other and the interval would be too narrow.
    """
    per_minute = int(60 / _SAMPLE_S)
    medians = [
        statistics.median(memory[i : i + per_minute]) for i in range(0, len(memory), per_minute)
    ]
    line = theilslopes(medians, np.arange(len(medians)), alpha=0.95)
    return float(line.slope), float(line.low_slope), float(line.high_slope), medians


def main(
    minutes: Annotated[
        float, typer.Option(min=3, help="How long, after a warm-up of five minutes.")
    ] = 30,
    visitors: Annotated[int, typer.Option(min=1)] = 8,
    rate: Annotated[float, typer.Option(help="Frames/s that each visitor asks for.")] = 8,
) -> None:
    """Measure visitors without browsers, each sending its next frame when the answer is back.

    Writes results/soak.csv, and from it the figures of docs/performance.md and README. Ends with
    status 1 where somebody was not served fairly, waited long, met an error, or memory grew.
    """
    with serve("app.py") as server:
        asyncio.run(_soak(server, visitors, rate, _WARM_UP_S))
        accounts, memory = asyncio.run(_soak(server, visitors, rate, 60 * minutes))
    rates = [len(account.trips_ms) / (60 * minutes) for account in accounts]
    trips = sorted(trip for account in accounts for trip in account.trips_ms)
    p95 = trips[int(0.95 * len(trips))]
    errors = [error for account in accounts for error in account.errors]
    slope, low, high, medians = _growth(memory)
    rows = {
        "visitors": visitors,
        "minutes": minutes,
        "frames/s asked for by each": rate,
        "answers/s, all": round(sum(rates), 1),
        "answers/s, mean of a visitor": round(statistics.mean(rates), 2),
        "answers/s, slowest visitor": round(min(rates), 2),
        "round trip, median ms": round(statistics.median(trips), 1),
        "round trip, p95 ms": round(p95, 1),
        "round trip, longest ms": round(trips[-1], 1),
        "errors": len(errors),
        "memory, median of the first minute, MB": round(medians[0], 1),
        "memory, median of the last minute, MB": round(medians[-1], 1),
        "memory, growth, MB a minute": round(slope, 3),
        "memory, growth, 95 % interval": f"{low:.3f} to {high:.3f}",
    }
    table = pd.Series(rows | {"machine": cpu(), "cores": os.cpu_count()}, dtype=object)
    table.rename_axis("what").to_csv(ROOT / "results" / "soak.csv", header=["value"])
    write_speed()
    print(table.to_string())
    checks = {
        "nobody got less than half the mean": min(rates) >= statistics.mean(rates) / 2,
        "p95 under 500 ms": p95 < 500,
        "no error": not errors,
        f"memory grows by less than {_MAX_MB_A_MINUTE:g} MB a minute": high < _MAX_MB_A_MINUTE,
    }
    for name, passed in checks.items():
        print("ok  " if passed else "FAIL", name)
    sys.exit(not all(checks.values()))


if __name__ == "__main__":
    typer.run(main)
