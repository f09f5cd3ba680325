"""Video file -> annotated video, rows and a report: decode -> pipeline -> encode."""

import contextlib
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from fer.annotate import annotate
from fer.check import check_callable, check_number, check_path, check_type
from fer.errors import VideoError
from fer.media.clock import Sampler
from fer.media.reader import VideoFrame, VideoInfo, VideoReader
from fer.media.writer import VideoWriter
from fer.output import check_apart
from fer.pipeline import FullLooks, Pipeline
from fer.pool import prefetch
from fer.preprocess import resize
from fer.resting import Baseline
from fer.serialize import to_rows
from fer.table import TableWriter, face_schema
from fer.text import counted
from fer.track import TrackState
from fer.types import FrameResult

__all__ = [
    "MAX_BINS",
    "MAX_PERSONS",
    "MAX_RATE",
    "MIN_SEEN_S",
    "Person",
    "Progress",
    "VideoReport",
    "analyse_video",
]

# An expression lasts longer than two of these looks, and cameras give no more as a rule.
MAX_RATE = 30.0
# Persons who were in view for less are only counted.
MIN_SEEN_S = 0.5
# What a report may hold, so that memory stays flat through a crowd and through a long day.
MAX_PERSONS = 200
MAX_BINS = 600
_FIRST_BIN_S = 0.1

# Faster than screens refresh: slow motion of 240 frames a second is thinned out in the output.
_MAX_OUTPUT_RATE = 60.0
# What waits between two stages.
_WAITING_BYTES = 64_000_000
_MAX_WAITING = 8
# Frames that are analysed at a time, where there are as many cores.
_MAX_LOOKS = 4
# A video that runs this much longer than its header says is stopped.
_OVER_S = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a video is.

    Attributes:
        n_frames: frames of the file that are done.
        n_frames_total: an estimate of all of them; None where the file does not say.
        time_s: seconds of the video that are done.
        duration_s: of the video in seconds; None where the file does not say.
        elapsed_s: seconds of work so far.
        frames_per_s: frames done a second of work.
        seconds_left: an estimate of the work that is left; None where it is not known.
    """

    n_frames: int
    n_frames_total: int | None
    time_s: float
    duration_s: float | None
    elapsed_s: float
    frames_per_s: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """What was seen of one face that was followed.

    Attributes:
        track_id: as in the rows and on the annotated video.
        first_s: when it was first seen, in seconds of the video.
        last_s: when it was last seen.
        seconds: how long it was in view in all.
        shares: of each class the share of the certain time, in the order of the classes; they
            sum to 1, or are all 0 where nothing was certain.
        uncertain_share: of the time in view.
        times_s: (b,) float64, the middle of each bin of the timeline in which it was in view.
        weights_s: (b,) float64, how long it was in view in each of them.
        probs: (b, k) float32, its mean probabilities in each of them; rows sum to 1.
    """

    track_id: int
    first_s: float
    last_s: float
    seconds: float
    shares: Mapping[str, float]
    uncertain_share: float
    times_s: NDArray[np.float64]
    weights_s: NDArray[np.float64]
    probs: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class VideoReport:
    """What was found in a video.

    Attributes:
        info: the file.
        class_names: the k names of the columns of each person's `probs`.
        uncertain_below: a face whose top probability is lower counts as uncertain.
        n_frames: frames that were decoded.
        n_looked_at: frames that were analysed.
        n_with_face: those of them in which a face was found.
        n_damaged: packets and frames that could not be decoded, or build on a key frame that could
            not, and were left out.
        ended_early: whether the file broke off before its end.
        cancelled: whether the caller stopped it; no files are left then.
        seconds: of the video that were looked at.
        persons: who was in view longest first; those seen too briefly to tell are not among
            them, nor, in a crowd, more than `MAX_PERSONS`.
        n_passing: how many those are.
        passing_s: how long they were in view in all, in seconds.
        bin_s: width of the bins of the timelines in seconds.
        sound: what became of the sound in the output: "copied", "encoded", "none" (there was
            none, or no output), or why it was dropped.
        compared_id: the track that was compared with a resting face; None where none was given.
    """

    info: VideoInfo
    class_names: tuple[str, ...]
    uncertain_below: float
    n_frames: int
    n_looked_at: int
    n_with_face: int
    n_damaged: int
    ended_early: bool
    cancelled: bool
    seconds: float
    persons: tuple[Person, ...]
    n_passing: int
    passing_s: float
    bin_s: float
    sound: str
    compared_id: int | None = None

    @property
    def notes(self) -> list[str]:
        """What a person should know about the file, a sentence each."""
        notes = []
        if self.n_looked_at and not self.n_with_face:
            notes.append(
                f"No face was found in the {counted(self.n_looked_at, 'frames')} looked at."
            )
        if self.ended_early:
            notes.append(f"The file breaks off: it ends after {self.seconds:.1f} s.")
        if self.n_damaged:
            was = "was" if self.n_damaged == 1 else "were"
            notes.append(f"{counted(self.n_damaged, 'damaged frames')} {was} left out.")
        if self.sound not in ("copied", "encoded", "none"):
            notes.append(f"The sound was left out: {self.sound}.")
        seen = {person.track_id for person in self.persons}
        if self.compared_id is not None and self.compared_id not in seen:
            notes.append(
                f"Nobody was compared with the resting face: there is no person {self.compared_id}."
            )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data, timelines included.

        Returns:
            `file` (see `VideoInfo`, and `has_audio`); the counts, times and `notes` under their
            names here;
            `compared_id` where a resting face was given;
            `persons`, each with `track_id`, `first_s`, `last_s`, `seconds`, `shares` {class:
            share}, `uncertain_share` and `timeline` {`time_s` [...], `label` [...], `uncertain`
            [...], `probs` {class: [...]}}.
        """
        return {
            "file": _rounded(asdict(self.info)) | {"has_audio": self.info.has_audio},
            "class_names": list(self.class_names),
            "n_frames": self.n_frames,
            "n_looked_at": self.n_looked_at,
            "n_with_face": self.n_with_face,
            "n_damaged": self.n_damaged,
            "ended_early": self.ended_early,
            "cancelled": self.cancelled,
            "seconds": round(self.seconds, 3),
            "sound": self.sound,
            "notes": self.notes,
            **({} if self.compared_id is None else {"compared_id": self.compared_id}),
            "persons": [self._person_to_dict(person) for person in self.persons],
            "n_passing": self.n_passing,
            "passing_s": round(self.passing_s, 3),
            "bin_s": self.bin_s,
        }

    def _person_to_dict(self, person: Person) -> dict[str, Any]:
        best = person.probs.argmax(axis=1)
        return {
            "track_id": person.track_id,
            "first_s": round(person.first_s, 3),
            "last_s": round(person.last_s, 3),
            "seconds": round(person.seconds, 3),
            "shares": {name: round(share, 4) for name, share in person.shares.items()},
            "uncertain_share": round(person.uncertain_share, 4),
            "timeline": {
                "time_s": person.times_s.round(3).tolist(),
                "label": [self.class_names[i] for i in best],
                "uncertain": (person.probs.max(axis=1) < self.uncertain_below).tolist(),
                "probs": {
                    name: person.probs[:, i].astype(np.float64).round(4).tolist()
                    for i, name in enumerate(self.class_names)
                },
            },
        }

    def timeline(self, track_id: int | None = None) -> list[dict[str, Any]]:
        """Rows for a plot: one a person, bin and class.

        Args:
            track_id: only this person; all when None.

        Returns:
            Rows with `time_s` (middle of the bin), `person` (its id), `expression` and `prob`,
            in the order of time for each person.
        """
        return [
            {
                "time_s": round(float(time_s), 3),
                "person": person.track_id,
                "expression": name,
                "prob": round(float(prob), 4),
            }
            for person in self.persons
            if track_id in (None, person.track_id)
            for time_s, row in zip(person.times_s, person.probs, strict=True)
            for name, prob in zip(self.class_names, row, strict=True)
        ]


def analyse_video(
    pipeline: Pipeline,
    path: Path | str,
    *,
    rate: float | None = None,
    output: Path | str | None = None,
    tables: Sequence[Path | str] = (),
    on_progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
    max_duration_s: float | None = None,
    max_total_pixels: float | None = None,
    baseline: Baseline | None = None,
    draw: Callable[[NDArray[np.uint8], FrameResult], NDArray[np.uint8]] = annotate,
) -> VideoReport:
    """Analyse a video file; memory stays flat however long it is.

    Frames are decoded, analysed and encoded in threads of their own, several at a time, by a
    pipeline that must be safe to call from them; `on_progress` and `cancelled` are called from
    the caller's, once a frame. Nothing is left under the names of `output` and `tables` unless
    all went well.

    Args:
        pipeline: what looks at the frames.
        path: the video.
        rate: how many frames a second of video are looked at; at most `MAX_RATE`, which None
            means, too. Boxes stay until the next look.
        output: where the annotated video with the original sound goes, an mp4.
        tables: where the rows go: .csv, .parquet or .jsonl. One row a face in each frame that
            was looked at: `time_s` in seconds of the video as
            players show them, with three decimals, `frame` as its number in the file
            from 0, and the columns of `fer.table.face_schema`, null where no face was found.
        on_progress: called after every frame.
        cancelled: called after every frame; True ends the work and leaves no files.
        max_duration_s: a longer video is refused before work starts.
        max_total_pixels: of all frames together; a video that claims more is refused before work
            starts, one that has more when they are reached.
        baseline: a resting face, with which its track is compared; the tables have
            `raw_<class>`, too.
        draw: makes a frame of `output` (H, W, 3) uint8 RGB of one from the file and its result;
            called in a thread, for one frame after the other.

    Returns:
        The report; of what was seen so far where it was cancelled.

    Raises:
        VideoError: no readable video, too large, too long, or too many pixels in all.
        InputError: `rate` is not positive, a name that nothing can be written to, or `baseline`
            is none or of another model.
        ConfigError: `baseline`, and the model has no `neutral_logits`.
    """
    _check_arguments(pipeline, tables, on_progress, cancelled)
    check_callable("draw", draw, "a function of a frame and its result")
    pipeline.check_baseline(baseline)
    outputs = [*tables, *([] if output is None else [output])]
    check_apart([check_path("path", path)], [check_path("output", name) for name in outputs])
    for key, limit in (("max_duration_s", max_duration_s), ("max_total_pixels", max_total_pixels)):
        if limit is not None:
            check_number(key, limit)
    look = Sampler(MAX_RATE if rate is None else min(check_number("rate", rate), MAX_RATE))
    run = _Run(pipeline, on_progress, cancelled, max_duration_s, baseline)
    video: VideoWriter | None = None
    with contextlib.suppress(_Cancelled), contextlib.ExitStack() as stack:
        stack.enter_context(_one_opencv_thread())
        reader = stack.enter_context(VideoReader(path, max_total_pixels))
        info = reader.info
        check_duration(info.name, info.duration_s, max_duration_s)
        before = {"time_s": "double", "frame": "int64"}
        schema = face_schema(run.class_names, before, raw=baseline is not None)
        writers = [stack.enter_context(TableWriter(table, schema)) for table in tables]
        n_waiting = int(np.clip(_WAITING_BYTES // (3 * info.width * info.height), 1, _MAX_WAITING))
        drawing: _Drawing | None = None
        if output is not None:
            writer = VideoWriter(output, info.width, info.height, sound_of=reader)
            video = stack.enter_context(writer)
            drawing = stack.enter_context(_Drawing(video, n_waiting, draw))
        frames = reader.frames(look.rate if video is None else _MAX_OUTPUT_RATE)
        looks = _look_at(frames, pipeline, look, n_waiting)
        run.follow(stack.enter_context(contextlib.closing(looks)), info, writers, drawing)
    return run.report(reader, "none" if video is None else video.sound)


def _check_arguments(pipeline: object, tables: object, *calls: object) -> None:
    """Check the types of what `analyse_video` is given.

    Raises:
        InputError: one is of another.
    """
    check_type("pipeline", pipeline, Pipeline)
    check_type("tables", tables, tuple, list)
    for table in cast("Sequence[object]", tables):
        check_path("tables", table)
    for call in calls:
        if call is not None:
            check_callable("on_progress and cancelled", call, "functions")


class _Run:
    """One run of `analyse_video`: what it has found so far, and how far it is."""

    def __init__(
        self,
        pipeline: Pipeline,
        on_progress: Callable[[Progress], object] | None,
        cancelled: Callable[[], bool] | None,
        max_duration_s: float | None,
        baseline: Baseline | None,
    ) -> None:
        config = pipeline.classifier.config
        self.class_names = config.class_names
        self._uncertain_below = config.uncertain_below
        self._pipeline = pipeline
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._max_duration_s = max_duration_s
        self._baseline = baseline
        self._start = time.perf_counter()
        self._crowd = _Crowd(config.class_names, config.uncertain_below)
        self._state: TrackState | None = None
        self._n_frames = self._n_looked_at = self._n_with_face = 0
        self._time_s = 0.0
        self._stopped = False

    def follow(
        self,
        looks: Iterable[tuple[VideoFrame, FrameResult | None]],
        info: VideoInfo,
        tables: Sequence[TableWriter],
        drawing: "_Drawing | None",
    ) -> None:
        """Track the faces through all frames; fill the tables and the annotated video.

        Raises:
            _Cancelled: the caller wants no more, so that the open files are discarded.
            VideoError: the video runs on after its maximum duration.
        """
        for frame, found in looks:
            self._time_s, self._n_frames = frame.time_s, frame.index + 1
            check_duration(info.name, frame.time_s - _OVER_S, self._max_duration_s)
            if found is not None:
                result = self._add(frame, found, tables)
            if drawing is not None:
                # The first frame is always analysed; frames between two looks show the last one.
                drawing.add(frame, result)
            self._tell(info, self._n_frames, frame.time_s)
            if self._cancelled is not None and self._cancelled():
                self._stopped = True
                raise _Cancelled

    def _add(
        self, frame: VideoFrame, found: FrameResult, tables: Sequence[TableWriter]
    ) -> FrameResult:
        # Frames are analysed in parallel and tracked here, one by one in their order.
        self._state, result = self._pipeline.follow(
            found, self._state, frame.time_s, baseline=self._baseline
        )
        self._n_looked_at += 1
        self._n_with_face += bool(len(result.faces))
        self._crowd.add(result, frame.time_s, self._state)
        before = {"time_s": round(frame.time_s, 3), "frame": frame.index}
        rows = [before | row for row in to_rows(result)] or [before]
        for table in tables:
            table.write(rows)
        return result

    def _tell(self, info: VideoInfo, n_frames: int, time_s: float) -> None:
        if self._on_progress is not None:
            elapsed_s = time.perf_counter() - self._start
            self._on_progress(_progress(info, n_frames, time_s, elapsed_s))

    def report(self, reader: VideoReader, sound: str) -> VideoReport:
        """Return the report; of what was seen so far if the caller cancelled."""
        seconds, n_frames = reader.end_s, reader.n_frames
        if self._stopped:
            seconds, n_frames = self._time_s, self._n_frames
        else:
            whole = replace(reader.info, n_frames=n_frames, duration_s=seconds)
            self._tell(whole, n_frames, seconds)
        persons, n_passing, passing_s = self._crowd.finish(seconds)
        return VideoReport(
            info=reader.info,
            class_names=self.class_names,
            uncertain_below=self._uncertain_below,
            n_frames=n_frames,
            n_looked_at=self._n_looked_at,
            n_with_face=self._n_with_face,
            n_damaged=reader.n_damaged,
            ended_early=reader.ended_early,
            cancelled=self._stopped,
            seconds=seconds,
            persons=persons,
            n_passing=n_passing,
            passing_s=passing_s,
            bin_s=self._crowd.bin_s,
            sound=sound,
            compared_id=None if self._baseline is None else self._baseline.track_id,
        )


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the same, numbers with three decimals."""
    return {
        key: round(value, 3) if isinstance(value, float) else value for key, value in fields.items()
    }


class _Cancelled(Exception):
    """The caller wants no more."""


def check_duration(name: str, duration_s: float | None, max_duration_s: float | None) -> None:
    """Refuse what is too long; None is no length that is known, or no limit.

    Raises:
        VideoError: `duration_s` is over `max_duration_s`.
    """
    if duration_s is not None and max_duration_s is not None and duration_s > max_duration_s:
        raise VideoError(
            f"{name} must last at most {_clock(max_duration_s)}. Received: {_clock(duration_s)}"
        )


def _progress(info: VideoInfo, n_frames: int, time_s: float, elapsed_s: float) -> Progress:
    """`Progress` whose time left follows from the share of the video that is done."""
    done = time_s / info.duration_s if info.duration_s else 0.0
    return Progress(
        n_frames=n_frames,
        n_frames_total=None if info.n_frames is None else max(info.n_frames, n_frames),
        time_s=time_s,
        duration_s=None if info.duration_s is None else max(info.duration_s, time_s),
        elapsed_s=elapsed_s,
        frames_per_s=n_frames / max(elapsed_s, 1e-6),
        seconds_left=max(0.0, elapsed_s / done - elapsed_s) if done else None,
    )


def _clock(seconds: float) -> str:
    """Describe a length in words.

    >>> _clock(7384.2), _clock(90), _clock(600)
    ('2 h 3 min 4 s', '1 min 30 s', '10 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if n]
    return " ".join(parts) or "0 s"


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV to one thread: several frames are in work, and more threads only compete."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _look_at(
    frames: Iterator[VideoFrame], pipeline: Pipeline, look: Sampler, n_waiting: int
) -> Generator[tuple[VideoFrame, FrameResult | None], None, None]:
    """`frames` with what was found in those that `look` picks.

    They are made in a thread, at most `n_waiting` ahead, and several are analysed at a time.
    """

    def analyse(item: tuple[VideoFrame, str]) -> tuple[VideoFrame, FrameResult | None]:
        frame, how = item
        if how == "":
            return frame, None
        return frame, pipeline(frame.frame) if how == "full" else pipeline.glance(frame.frame)

    def pick(time_s: float) -> str:
        if not look(time_s):
            return ""
        return "full" if full(time_s) else "glance"

    full = FullLooks()
    n_threads = min(_MAX_LOOKS, os.cpu_count() or 1)
    calls = prefetch(lambda _: next(frames, None), itertools.repeat(None), 1, n_waiting)
    with contextlib.closing(calls):
        decoded = iter(calls.__next__, None)
        picks = ((frame, pick(frame.time_s)) for frame in decoded)
        for frame, found in prefetch(analyse, picks, n_threads, n_threads):
            if found is not None:
                full.see(found, frame.time_s)
            yield frame, found


class _Drawing:
    """Draws results and encodes the frames in a thread; at most `n_waiting` wait for it."""

    def __init__(
        self,
        video: VideoWriter,
        n_waiting: int,
        draw: Callable[[NDArray[np.uint8], FrameResult], NDArray[np.uint8]],
    ) -> None:
        self._video = video
        self._draw = draw
        self._n_waiting = n_waiting
        self._waiting: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1, "fer-encode")

    def add(self, frame: VideoFrame, result: FrameResult) -> None:
        """Append `frame`; what failed for an earlier one is raised here."""
        if len(self._waiting) == self._n_waiting:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, frame, result))

    def _write(self, frame: VideoFrame, result: FrameResult) -> None:
        height, width = frame.frame.shape[:2]
        # Scaled first, so that letters stay sharp and readable.
        size = self._video.fit(width, height)
        small = resize(frame.frame, *size)
        if result.frame_size != (width, height):  # of a look before the video changed its shape
            result = replace(result, faces=result.faces[:0], frame_size=size)
        elif size != (width, height):
            scale = np.float32(size[0] / width)
            faces = replace(result.faces, xyxy=result.faces.xyxy * scale)
            result = replace(result, faces=faces, frame_size=size)
        self._video.write(self._draw(small, result), frame.time_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for done in self._waiting:
                done.result()


class _Seen:
    """What is added up of one face that is followed.

    `sums` has for each bin of the timeline the probabilities (k,) times the seconds in view,
    and last those seconds.
    """

    __slots__ = ("certain_s", "first_s", "last_s", "seconds", "sums", "uncertain_s")

    def __init__(self, time_s: float, n_classes: int) -> None:
        self.first_s = self.last_s = time_s
        self.seconds = self.uncertain_s = 0.0
        self.certain_s = np.zeros(n_classes)
        self.sums: dict[int, NDArray[np.float64]] = {}


class _Crowd:
    """Adds up who was seen, and how; memory is bounded."""

    def __init__(self, class_names: tuple[str, ...], uncertain_below: float) -> None:
        self.bin_s = _FIRST_BIN_S
        self._class_names = class_names
        self._uncertain_below = uncertain_below
        self._seen: dict[int, _Seen] = {}
        self._pending: tuple[FrameResult, float] | None = None
        self._n_passing = 0
        self._passing_s = 0.0

    def add(self, result: FrameResult, time_s: float, state: TrackState) -> None:
        """Count the result before until now; this one waits for the next."""
        self._settle(time_s)
        self._pending = result, time_s
        followed = {track.track_id for track in state.tracks}
        while len(self._seen) > MAX_PERSONS + len(followed):
            gone = self._seen.keys() - followed
            self._pass(min(gone, key=lambda track_id: self._seen[track_id].seconds))

    def _pass(self, track_id: int) -> None:
        self._n_passing += 1
        self._passing_s += self._seen.pop(track_id).seconds

    def _settle(self, end_s: float) -> None:
        if self._pending is None:
            return
        result, time_s = self._pending
        self._pending = None
        while end_s > self.bin_s * MAX_BINS:
            self._merge_bins()
        faces, span_s = result.faces, end_s - time_s
        assert faces.track_id is not None
        assert faces.probs is not None
        rows = zip(faces.track_id.tolist(), faces.probs, result.uncertain, strict=True)
        for track_id, row, uncertain in rows:
            seen = self._seen.setdefault(track_id, _Seen(time_s, len(row)))
            seen.last_s = time_s
            seen.seconds += span_s
            if uncertain:
                seen.uncertain_s += span_s
            else:
                seen.certain_s[row.argmax()] += span_s
            weighted = np.append(row, 1.0).astype(np.float64)
            for number in range(int(time_s / self.bin_s), int(end_s / self.bin_s) + 1):
                begin, end = number * self.bin_s, (number + 1) * self.bin_s
                inside_s = min(end, end_s) - max(begin, time_s)
                if inside_s > 0:
                    total = seen.sums.get(number, 0.0)
                    seen.sums[number] = total + weighted * inside_s

    def _merge_bins(self) -> None:
        self.bin_s *= 2
        for seen in self._seen.values():
            merged: dict[int, NDArray[np.float64]] = {}
            for number, total in seen.sums.items():
                merged[number // 2] = merged.get(number // 2, 0.0) + total
            seen.sums = merged

    def finish(self, end_s: float) -> tuple[tuple[Person, ...], int, float]:
        """Those seen long enough, longest first; how many others, and how long in all."""
        self._settle(end_s)
        order = sorted(self._seen, key=lambda track_id: -self._seen[track_id].seconds)
        for place, track_id in enumerate(order):
            if place >= MAX_PERSONS or self._seen[track_id].seconds < MIN_SEEN_S:
                self._pass(track_id)
        persons = tuple(self._person(track_id) for track_id in order if track_id in self._seen)
        return persons, self._n_passing, self._passing_s

    def _person(self, track_id: int) -> Person:
        seen = self._seen[track_id]
        certain_s = float(seen.certain_s.sum())
        shares = seen.certain_s / (certain_s or 1.0)
        numbers = sorted(seen.sums)
        sums = np.stack([seen.sums[number] for number in numbers])  # (b, k + 1)
        return Person(
            track_id=track_id,
            first_s=seen.first_s,
            last_s=seen.last_s,
            seconds=seen.seconds,
            shares=dict(zip(self._class_names, shares.tolist(), strict=True)),
            uncertain_share=seen.uncertain_s / seen.seconds,
            times_s=(np.array(numbers) + 0.5) * self.bin_s,
            weights_s=sums[:, -1],
            probs=(sums[:, :-1] / sums[:, -1:]).astype(np.float32),
        )
