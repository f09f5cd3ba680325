"""Analyse visitors' videos, one after the other."""

import logging
import math
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from fer.errors import FerError, VideoError
from fer.media.reader import VideoInfo
from fer.settings import Settings
from fer.video import Progress
from fer.web.server.jobs import follow_video, probe
from fer.web.server.limits import (
    N_PROBES_AT_WORK,
    N_VIDEOS_AT_WORK,
    PROBE,
    VIDEO_PATIENCE_S,
    VideoLimits,
)
from fer.web.server.queue import FairQueue, RateLimit, Refused
from fer.web.server.requests import find_host
from fer.web.server.traffic import traffic
from fer.web.server.uploads import uploads
from fer.web.server.work import JobRunner, Workers

__all__ = ["DEFAULT_RATE", "Busy", "News", "Preview", "Result", "Videos"]

log = logging.getLogger(__name__)

# Frames analysed per second.
DEFAULT_RATE = 15
_TICK_S = 0.5
# Minutes of work each; the fifth of a client network is refused.
_MAX_WAITING = 16
_MAX_A_HOST = 4
_SORRY = "This video could not be analysed."
_RETRY_AFTER_S = 60.0
# A header is read in a moment.
_MAX_PROBES_WAITING = 32
_PROBE_PATIENCE_S = 30.0
_LIMITS = VideoLimits(Settings().max_video_minutes)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a video.

    Attributes:
        files: paths by form.
        report: as `fer.video.VideoReport.to_dict`.
        html: of the report.
    """

    files: dict[str, str]
    report: dict[str, Any]
    html: str


@dataclass(frozen=True, slots=True)
class Preview:
    """Last frame of a video that is being analysed.

    Attributes:
        picture: with its boxes, the data URL of a JPEG.
    """

    picture: str


class _Failure(VideoError):
    """Raised for an error of the page's own."""


class Busy(VideoError):
    """Raised where the queue is full; the upload is kept."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            "The queue is full, or it has many videos of yours. Start again in a few minutes."
        )
        self.retry_after_ms = math.ceil(1000 * retry_after_s)


News = Progress | Preview | Result | FerError
# None between two reports.
_Step = News | None


class Videos:
    """Queue videos, and analyse one after the other in worker processes.

    Args:
        work: where the files are opened.
        limits: of a video.
        max_per_minute: videos of one client network; None for any number.
    """

    def __init__(
        self,
        work: Workers,
        limits: VideoLimits = _LIMITS,
        max_per_minute: int | None = None,
    ) -> None:
        self._work = work
        self._limits = limits
        self._queue: FairQueue[_Step] = FairQueue(
            n_at_work=N_VIDEOS_AT_WORK,
            max_waiting=_MAX_WAITING,
            patience_s=VIDEO_PATIENCE_S,
            max_a_host=_MAX_A_HOST,
            rate=RateLimit(max_per_minute),
        )
        self._probes: FairQueue[VideoInfo] = FairQueue(
            N_PROBES_AT_WORK, _MAX_PROBES_WAITING, _PROBE_PATIENCE_S
        )

    async def probe(self, request: gr.Request | None, path: str) -> VideoInfo:
        """Read the header of a video; one that cannot be used is deleted.

        Raises:
            VideoError: why it cannot be used.
            Refused: it was not looked at; it will be when its turn comes.
        """
        return await self._probes.run(
            object(), find_host(request), lambda _: _probe(self._work, path, self._limits)
        )

    async def follow(
        self, request: gr.Request | None, path: str, rate: float
    ) -> AsyncGenerator[News, None]:
        """Analyse a video, when it is its turn; or yield why it is refused.

        A visitor's upload is gone afterwards, but for one who cancels and may start again.
        """
        with traffic.call("video") as call, uploads.claim(path) as claim:
            steps = self._queue.steps(
                object(), find_host(request), lambda: _follow(self._work, path, rate, self._limits)
            )
            try:
                async with aclosing(steps):
                    async for step in steps:
                        if isinstance(step, FerError):
                            call.outcome = "failed" if isinstance(step, _Failure) else "bad_video"
                        if step is not None:
                            yield step
            except Refused as refusal:
                call.outcome = refusal.code
                claim.keep = True
                yield Busy(max(refusal.retry_after_s, _RETRY_AFTER_S))


def _probe(work: Workers, path: str, limits: VideoLimits) -> VideoInfo:
    try:
        with work.lend() as runner:
            return VideoInfo(
                **runner.call(probe, path, limits.max_s, limits.max_pixels, bound=PROBE)
            )
    except FerError:
        log.debug("video refused before work")
        uploads.drop(path)
        raise
    except Exception as error:
        log.exception("video failed before work")
        raise _Failure(_SORRY) from error


def _follow(
    work: Workers, path: str, rate: float, limits: VideoLimits = _LIMITS
) -> Generator[_Step, None, None]:
    """Yield how far it is and the last frame, and at last the result. Closing it stops the work."""
    result = None
    try:
        with (
            work.lend(long=True) as runner,
            uploads.results() as folder,
            closing(_steps(runner, path, str(folder), rate, limits)) as steps,
        ):
            for step in steps:
                if isinstance(step, Result):
                    result = step
                else:
                    yield step
        # Past the folder's own end, so that who hangs up now does not take the files away.
        yield result
    except FerError as error:
        # Its message may hold the name of the visitor's file; refusals are counted.
        log.debug("video refused")
        yield error
    except Exception:
        # The visitor gets a sentence, the log the traceback.
        log.exception("video failed")
        yield _Failure(_SORRY)


def _steps(
    runner: JobRunner, path: str, folder: str, rate: float, limits: VideoLimits
) -> Generator[_Step, None, None]:
    most = limits.max_s, limits.max_pixels
    fields: dict[str, Any] = {}
    with closing(runner.steps(probe, path, *most, bound=PROBE, tick_s=_TICK_S)) as steps:
        for step in steps:
            fields = step or fields
            yield None
    info = VideoInfo(**fields)
    n_pixels = None if info.n_frames is None else info.n_frames * info.width * info.height
    bound = limits.bound(info.duration_s, n_pixels)
    arguments = path, folder, rate, *most
    with closing(runner.steps(follow_video, *arguments, bound=bound, tick_s=_TICK_S)) as steps:
        for step in steps:
            if step is None:
                yield None
            elif "files" in step:
                yield Result(**step)
            elif "picture" in step:
                yield Preview(**step)
            else:
                yield Progress(**step)
