"""The same work on many machines, by Ray Data."""

import json
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from fer.batch.data import need
from fer.batch.sources import Item
from fer.batch.work import CHUNK, Outcome, PipelineSpec, ReaderPool
from fer.errors import FerError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["run_on_ray"]

# Pictures that are handed to Ray at once: names of a folder are short, and those of a data
# set come with their bytes.
_WINDOW_NAMES = 50_000
_WINDOW_PICTURES = 2_000
_BLOCKS_A_READER = 16
_ANSWER_S = 10.0
_END_S = 30.0


class _Reader:
    """What Ray starts on its machines: a pool of one process, so that a crash costs one picture."""

    def __init__(self, spec: PipelineSpec, timeout_s: float) -> None:
        self._readers = ReaderPool(spec, 1, timeout_s)

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        import pyarrow as pa

        items = [
            Item(row["name"], os.fsdecode(row["place"]) if row["data"] is None else row["data"])
            for row in batch.to_pylist()
        ]
        # Text, so that a file is one row of Ray's, which it never splits.
        return pa.table({"outcome": [json.dumps(outcome) for outcome in self._readers.run(items)]})


def run_on_ray(
    items: Iterable[Item],
    spec: PipelineSpec,
    n_workers: int | None,
    timeout_s: float,
    address: str | None,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each item, as they come.

    Args:
        items: the pictures; paths must mean the same on every machine.
        spec: of the pipeline; every machine makes its own.
        n_workers: how many readers; one a core of the cluster when None.
        timeout_s: seconds that one picture may take.
        address: of the cluster; when None a local one is started, and stopped at the end. One
            to which this process is connected already is used as it is.

    Raises:
        InputError: Ray is not installed.
        FerError: no cluster answers, or it fails.
    """
    ray = need("ray")
    need("ray.data")
    if ray.is_initialized():
        texts = _read(iter(items), spec, n_workers, timeout_s)
    else:
        if address:
            _check_address(address)
        texts = _read_apart(iter(items), spec, n_workers, timeout_s, address)
    with closing(texts):
        for text in texts:
            yield json.loads(text)


def _read(
    source: Iterator[Item], spec: PipelineSpec, n_workers: int | None, timeout_s: float
) -> Generator[str, None, None]:
    """Yield the outcomes, as JSON, from the cluster to which this process is connected."""
    import ray
    import ray.data as data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        n_readers = n_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        while window := _take(source):
            # Enough blocks that no reader is idle for long while another works on the last one.
            length = max(CHUNK, len(window) // (n_readers * _BLOCKS_A_READER))
            blocks = [_block(window[i : i + length]) for i in range(0, len(window), length)]
            rows = data.from_arrow(blocks).map_batches(
                _Reader,
                fn_constructor_args=(spec, timeout_s),
                batch_size=CHUNK,
                batch_format="pyarrow",
                compute=data.ActorPoolStrategy(size=n_readers),
                num_cpus=1,
            )
            batches = rows.iter_batches(prefetch_batches=0, batch_size=None, batch_format="pyarrow")
            with closing(iter(batches)) as answers:
                for batch in answers:
                    yield from batch["outcome"].to_pylist()
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise FerError(f"Ray cannot do this: {error}") from error


def _read_apart(
    source: Iterator[Item],
    spec: PipelineSpec,
    n_workers: int | None,
    timeout_s: float,
    address: str | None,
) -> Generator[str, None, None]:
    """Yield the same from a process of its own, which connects itself.

    Ray ends any process that calls it after `ray.shutdown`, without a message; its own threads and
    finalizers do. That must not take the caller's process along.
    """
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(
        target=_drive, args=(there, spec, n_workers, timeout_s, address), daemon=True
    )
    process.start()
    there.close()
    try:
        while window := _take(source):
            here.send(window)
            while (answer := here.recv()) is not None:
                if isinstance(answer, FerError):
                    raise answer
                yield from answer
        here.send(None)
        process.join(_END_S)
    except (EOFError, OSError) as error:
        process.join(_END_S)
        raise FerError(f"Ray's main process ended with exit code {process.exitcode}") from error
    finally:
        here.close()
        process.terminate()
        process.join(_END_S)
        process.kill()


def _drive(
    there: Connection,
    spec: PipelineSpec,
    n_workers: int | None,
    timeout_s: float,
    address: str | None,
) -> None:
    """Read windows of items from the other process and send their outcomes, None after each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asked
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    local = {} if address else {"num_cpus": n_workers, "include_dashboard": False}
    try:
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local
        )
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
        there.send(FerError(f"Ray cannot do this: {error}"))
        return
    try:
        while window := there.recv():
            for text in _read(iter(window), spec, n_workers, timeout_s):
                there.send([text])
            there.send(None)
    except FerError as error:
        there.send(error)
    except (EOFError, OSError):
        pass  # the caller is gone
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Check that a cluster answers; Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # a word of Ray's, such as "auto"
    try:
        socket.create_connection((host, int(port)), _ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise FerError(f"no Ray cluster answers at {address}: {error}") from error


def _take(source: Iterator[Item]) -> list[Item]:
    window: list[Item] = []
    for item in source:
        window.append(item)
        limit = _WINDOW_PICTURES if isinstance(item.content, bytes) else _WINDOW_NAMES
        if len(window) >= limit:
            break
    return window


def _block(items: list[Item]) -> "pa.Table":
    import pyarrow as pa

    places = [None if isinstance(c, bytes) else os.fsencode(c) for _, c in items]
    return pa.table(
        {
            "name": pa.array([name for name, _ in items], pa.string()),
            "place": pa.array(places, pa.binary()),
            "data": pa.array([c if isinstance(c, bytes) else None for _, c in items], pa.binary()),
        }
    )
