"""Keep the worker processes in which a page opens visitors' files, and lend them to jobs."""

import contextlib
import logging
import pickle
import queue
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fer.errors import FerError
from fer.pipeline import Pipeline
from fer.web.server.jobs import warm_up
from fer.web.server.limits import IDLE_MB, N_WORKERS, START
from fer.worker import AVAILABLE, Bound, OutOfBounds, Worker, WorkerError

__all__ = ["Closed", "InProcess", "JobRunner", "WorkerPool", "Workers", "make_workers"]

log = logging.getLogger(__name__)


class JobRunner(Protocol):
    """Do jobs of `fer.web.server.jobs`, one at a time; see `fer.worker.Worker`."""

    def call(self, job: Callable[..., Any], *args: Any, bound: Bound) -> Any:
        """See `fer.worker.Worker.call`."""

    def steps(
        self, job: Callable[..., Any], *args: Any, bound: Bound, tick_s: float
    ) -> Generator[Any, None, None]:
        """See `fer.worker.Worker.steps`."""


class Workers(Protocol):
    """Run the jobs of a page."""

    def start(self) -> None:
        """Get ready, without waiting for it."""

    def close(self) -> None:
        """End all jobs, now."""

    def lend(self, long: bool = False) -> AbstractContextManager[JobRunner]:
        """Lend a runner for one job.

        Args:
            long: the job takes minutes, so a replacement is started for other jobs.
        """

    def facts(self) -> dict[str, Any]:
        """Return the facts that /health shows."""


def make_workers(pipeline: Pipeline) -> Workers:
    """Return processes where the system has what they need, else this one, with a warning."""
    if AVAILABLE:
        return WorkerPool(pipeline)
    log.warning("visitors' files are opened in this process: the system offers no other way")
    return InProcess(pipeline)


class InProcess:
    """Run jobs in this process, without limits: for tests, and where there are no processes.

    Args:
        pipeline: what the jobs get.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def start(self) -> None:
        """See `Workers`."""

    def close(self) -> None:
        """See `Workers`; jobs go on to their end."""

    @contextlib.contextmanager
    def lend(self, long: bool = False) -> Iterator[JobRunner]:
        """See `Workers`."""
        yield self

    def facts(self) -> dict[str, Any]:
        """See `Workers`."""
        return {}

    def call(self, job: Callable[..., Any], *args: Any, bound: Bound) -> Any:
        """See `JobRunner`."""
        return job(self._pipeline, *args)

    def steps(
        self, job: Callable[..., Any], *args: Any, bound: Bound, tick_s: float
    ) -> Generator[Any, None, None]:
        """See `JobRunner`; closing this ends the job when it tells something the next time."""
        told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        stopped = threading.Event()

        def tell(step: Any) -> None:
            if stopped.is_set():
                raise _Stopped
            told.put(("step", step))

        def work() -> None:
            try:
                told.put(("done", job(self._pipeline, *args, tell=tell)))
            except BaseException as error:
                told.put(("error", error))

        threading.Thread(target=work, daemon=True).start()
        kind = "step"
        try:
            while kind == "step":
                try:
                    kind, value = told.get(timeout=tick_s)
                except queue.Empty:
                    yield None
                    continue
                if kind == "error":
                    raise value
                yield value
        finally:
            stopped.set()


class _Stopped(Exception):
    """Raised when the job was cancelled."""


_CLOSED = "The server is restarting. Try again in a minute."


class Closed(FerError):
    """Raised when the page is shutting down."""


class WorkerPool:
    """Keep processes that hold a pipeline each; some are started before they are needed.

    A process that a job ended, or that has grown, is replaced while others go on. For any number
    of threads.

    Args:
        pipeline: what the jobs get; is pickled at the first use.
        n_ready: how many are ready when all are idle.
    """

    def __init__(self, pipeline: Pipeline, n_ready: int = N_WORKERS) -> None:
        self._pipeline = pipeline
        self._n_ready = n_ready
        self._payload: bytes | None = None
        self._change = threading.Condition()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._failures: list[WorkerError] = []
        self._n_starting = self._n_lent = self._n_long = self._n_waiting = 0
        self._ended: Counter[str] = Counter()
        self._closed = False

    def start(self) -> None:
        """See `Workers`."""
        with self._change:
            self._closed = False
            self._start_missing()

    def close(self) -> None:
        """See `Workers`; may be called by the handler of a signal."""
        with self._change:
            self._closed = True
            for worker in self._all:
                worker.kill()  # who waits for one that is at work hears of it, and ends it
            for worker in self._idle:
                worker.end()
            self._all.difference_update(self._idle)
            self._idle.clear()
            self._change.notify_all()

    @contextlib.contextmanager
    def lend(self, long: bool = False) -> Iterator[Worker]:
        """See `Workers`.

        Raises:
            WorkerError: no process can be started.
            Closed: the page ends.
        """
        worker = self._take(long)
        try:
            yield worker
        except OutOfBounds as error:
            if self._closed:
                raise Closed(_CLOSED) from error
            self._ended[error.what] += 1
            log.info("a worker process was ended: %s", error.what)
            raise
        finally:
            self._give_back(worker, long)

    def facts(self) -> dict[str, Any]:
        """See `Workers`."""
        with self._change:
            workers = list(self._all)
            facts = {"idle": len(self._idle), "at_work": self._n_lent}
        return facts | {
            "memory_mb": round(sum(worker.memory_mb() for worker in workers), 1),
            "ended": dict(self._ended),
        }

    def _take(self, long: bool) -> Worker:
        with self._change:
            self._n_long += long
            self._n_lent += 1
            self._n_waiting += 1
            try:
                while True:
                    if self._closed:
                        raise Closed(_CLOSED)
                    while self._idle:
                        worker = self._idle.pop()
                        if self._is_well(worker):
                            self._start_missing(taken=1)
                            return worker
                        self._end(worker)
                    if self._failures:
                        raise self._failures.pop()
                    self._start_missing()
                    self._change.wait()
            except BaseException:
                self._n_long -= long
                self._n_lent -= 1
                raise
            finally:
                self._n_waiting -= 1

    def _give_back(self, worker: Worker, long: bool) -> None:
        with self._change:
            self._n_long -= long
            self._n_lent -= 1
            if self._closed or self._has_enough() or not self._is_well(worker):
                self._end(worker)
                self._start_missing()
            else:
                self._idle.append(worker)
            self._change.notify()

    def _has_enough(self) -> bool:
        return len(self._idle) >= self._n_ready and not self._n_waiting

    def _is_well(self, worker: Worker) -> bool:
        return worker.alive and worker.memory_mb() <= IDLE_MB

    def _end(self, worker: Worker) -> None:
        self._all.discard(worker)
        worker.end()

    def _start_missing(self, taken: int = 0) -> None:
        """Start processes in threads: as many as are always there, and one for each who waits.

        Args:
            taken: how many of those who wait do not any more.
        """
        n_waiting = self._n_waiting - taken
        n_coming = len(self._idle) + self._n_starting
        n_soon_back = self._n_lent - n_waiting - self._n_long
        n_missing = max(self._n_ready - n_coming - n_soon_back, n_waiting - n_coming)
        for _ in range(0 if self._closed else n_missing):
            self._n_starting += 1
            threading.Thread(target=self._add, daemon=True, name="fer-worker-start").start()

    def _add(self) -> None:
        worker: Worker | None = None
        failure: WorkerError | None = None
        try:
            if self._payload is None:
                self._payload = pickle.dumps(self._pipeline)
            worker = Worker(self._payload)
            worker.call(warm_up, bound=START)
        except Exception as error:
            log.exception("a worker process does not start")
            failure = WorkerError(f"a worker process does not start: {error!r}")
        with self._change:
            self._n_starting -= 1
            if failure is None and worker is not None:
                self._failures.clear()
                if not (self._closed or self._has_enough()):
                    self._idle.append(worker)
                    self._all.add(worker)
                    worker = None
            elif failure is not None and self._n_waiting:
                self._failures.append(failure)
            self._change.notify_all()
        if worker is not None:
            worker.end()
