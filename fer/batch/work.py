"""One picture -> its rows, and the processes in which that happens.

A decoder that crashes or hangs takes its process with it, so pictures are read in processes
of their own, a few at a time; when one dies, its pictures are read again one by one, and the
one that kills it again is the culprit.
"""

import hashlib
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Self

import cv2
from pebble import ProcessExpired, ProcessPool

from fer.batch.data import need
from fer.batch.sources import Item
from fer.errors import DetectorError, FerError
from fer.image import read_picture
from fer.pipeline import Pipeline
from fer.serialize import to_rows
from fer.text import printable

__all__ = [
    "CHUNK",
    "TIMEOUT_S",
    "Outcome",
    "PipelineMaker",
    "PipelineSpec",
    "ReaderPool",
    "analyse",
]

# Pictures that a process gets at once: enough that handing them over costs nothing, few
# enough that a crash costs little.
CHUNK = 16
# A picture of 64 megapixels takes a few seconds.
TIMEOUT_S = 60.0
_MAX_BROKEN = 3

Outcome = list[dict[str, Any]]
"""The rows of one file, at least one: faces, or the file without a face, or the error."""


@dataclass(frozen=True, slots=True)
class PipelineMaker:
    """Makes a pipeline; unlike the pipeline itself it can be sent to another process.

    Attributes:
        repo_id: as `fer.hub.load_classifier` takes it.
        revision: as `fer.hub.load_classifier` takes it.
        detector: as `fer.hub.load_detector` takes it.
        min_face_px: as `fer.hub.load_detector` takes it.
    """

    repo_id: str | None = None
    revision: str | None = None
    detector: str | None = None
    min_face_px: float | None = None

    def __call__(self) -> Pipeline:
        """Return the pipeline."""
        return Pipeline.load(
            self.repo_id, self.revision, self.detector, min_face_px=self.min_face_px
        )


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """How every process makes the pipeline that the first one made.

    Attributes:
        make: makes it.
        detector: the title of its detector.
        model: sha256 of its ModelConfig, which has that of the weights.
    """

    make: Callable[[], Pipeline]
    detector: str
    model: str

    @classmethod
    def of(cls, make: Callable[[], Pipeline]) -> tuple[Self, tuple[str, ...]]:
        """Return the spec of what `make` makes here, and its class names."""
        detector, model, class_names = _identity(make())
        return cls(make, detector, model), class_names

    def build(self) -> Pipeline:
        """Return the pipeline, with one thread for each of its parts.

        Raises:
            DetectorError: here it comes out otherwise.
        """
        # Each core has a process; more threads than that, as OpenMP in libfacedetection starts
        # them, wait for each other most of the time.
        os.environ["OMP_NUM_THREADS"] = "1"
        cv2.setNumThreads(1)
        pipeline = self.make()
        received = _identity(pipeline)[:2]
        if received != (self.detector, self.model):
            raise DetectorError(
                "every process must have the same detector and model, "
                f"{self.detector} and {self.model}. Received: {received[0]} and {received[1]}"
            )
        return pipeline


def _identity(pipeline: Pipeline) -> tuple[str, str, tuple[str, ...]]:
    config = pipeline.classifier.config
    model = hashlib.sha256(config.to_json().encode()).hexdigest()
    return pipeline.detector.title, model, config.class_names


def analyse(pipeline: Pipeline, item: Item) -> Outcome:
    """Return the rows of one picture; whatever goes wrong is a row, too."""
    try:
        picture = read_picture(_content(item.content))
        result = pipeline(picture.frame)
        rows = to_rows(result)
    except Exception as error:
        return failure(item.name, type(error).__name__, str(error))
    height, width = picture.frame.shape[:2]
    head: dict[str, Any] = {
        "file": item.name,
        "width": width,
        "height": height,
        "n_faces": len(rows),
    }
    if picture.notes:
        head["note"] = "; ".join(picture.notes)
    return [head | row for row in rows] or [head]


def _content(content: str | bytes) -> str | bytes:
    if isinstance(content, bytes) or "://" not in content:
        return content
    with need("fsspec").open(content, "rb") as file:
        return bytes(file.read())


def failure(name: str, error: str, message: str) -> Outcome:
    """Return the row of a file that could not be read."""
    return [{"file": name, "error": error, "message": printable(message)}]


_built: list[Pipeline] = []


def _analyse_all(spec: PipelineSpec, items: Sequence[Item]) -> list[Outcome]:
    """Analyse items in a process of the pool, which has one spec as long as it lives."""
    if not _built:
        _built.append(spec.build())
    return [analyse(_built[0], item) for item in items]


class ReaderPool:
    """Processes that read pictures and survive those that crash or stop one.

    Each process is a pool of its own with one task at a time, so that it is always known
    which pictures one that died was reading. A context manager.

    Args:
        spec: of the pipeline.
        n_workers: how many processes.
        timeout_s: seconds that one picture may take; some together, too, before they are
            read one by one.
    """

    def __init__(self, spec: PipelineSpec, n_workers: int, timeout_s: float) -> None:
        self._recipe = spec
        self._timeout_s = timeout_s
        self._pools = [_start_pool() for _ in range(n_workers)]
        self._n_broken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.stop()
        for pool in self._pools:
            pool.join()

    def run(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the outcome of each item; take from `items` only what can be done now.

        Raises:
            FerError: a process cannot make the pipeline, or does not start.
        """
        source = iter(items)
        again: deque[list[Item]] = deque()
        idle = list(range(len(self._pools)))
        running: dict[Future[list[Outcome]], tuple[int, list[Item]]] = {}
        while True:
            while idle and (
                piece := again.popleft() if again else list(itertools.islice(source, CHUNK))
            ):
                worker = idle.pop()
                running[self._start(worker, piece)] = (worker, piece)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                worker, piece = running.pop(future)
                idle.append(worker)
                try:
                    outcomes = future.result()
                except BrokenProcessPool as error:  # between two tasks: no picture is to blame
                    self._replace(worker, error)
                    again.append(piece)
                    continue
                except (ProcessExpired, TimeoutError) as error:
                    if len(piece) > 1:
                        again.extend([item] for item in piece)
                        continue
                    name = type(error).__name__
                    outcomes = [failure(piece[0].name, name, self._reason(error))]
                self._n_broken = 0
                yield from outcomes

    def _start(self, worker: int, piece: list[Item]) -> Future[list[Outcome]]:
        arguments = {"args": (self._recipe, piece), "timeout": self._timeout_s}
        try:
            future = self._pools[worker].schedule(_analyse_all, **arguments)
        except RuntimeError as error:  # it broke while it had nothing to do
            self._replace(worker, error)
            future = self._pools[worker].schedule(_analyse_all, **arguments)
        assert isinstance(future, Future)
        return future

    def _replace(self, worker: int, error: BaseException) -> None:
        self._n_broken += 1
        if self._n_broken > _MAX_BROKEN * len(self._pools):
            raise FerError(f"the processes that read pictures do not start: {error}") from error
        self._pools[worker].stop()
        self._pools[worker].join()
        self._pools[worker] = _start_pool()

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, ProcessExpired):
            code = int(error.exitcode)
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            return f"the process that read it died: {how}"
        return f"the process that read it was stopped after {self._timeout_s:g} s"


def _start_pool() -> ProcessPool:
    # A forked copy of a process with threads may lock up.
    return ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))
