"""The Video tab: a file or a recording in; a video with boxes, a timeline and tables out."""

import functools
import html
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from fer.errors import FerError, VideoError
from fer.media import VIDEO_SUFFIXES, VideoInfo
from fer.video import Progress
from fer.web.examples.tab import list_examples
from fer.web.inputs import Recorder, VideoInput
from fer.web.server.jobs import TABLES, follow_video, probe
from fer.web.server.limits import (
    N_PROBES_AT_WORK,
    N_VIDEOS_AT_WORK,
    PROBE,
    VIDEO_PATIENCE_S,
    max_total_pixels,
    max_video_s,
    video_bound,
)
from fer.web.server.queue import Admission, RateLimit, Refused, max_per_minute
from fer.web.server.requests import error_data, find_host
from fer.web.server.traffic import traffic
from fer.web.server.uploads import uploads
from fer.web.server.work import JobRunner, Workers
from fer.web.video.report import clock

__all__ = ["build_video_tab"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_TICK_S = 0.5
# Minutes of work each; a household's fifth is asked to come again.
_MAX_WAITING = 16
_MAX_A_HOST = 4
_SORRY = "This video could not be analysed."
_RETRY_AFTER_S = 60.0
# A header is read in a moment.
_MAX_PROBES_WAITING = 32
_PROBE_PATIENCE_S = 30.0
_RATES = [
    ("every frame, up to 30 a second", 30),
    ("15 a second", 15),
    ("5 a second", 5),
    ("1 a second", 1),
]
_RATE = 15


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of a video.

    Attributes:
        files: paths by form.
        report: as `fer.video.VideoReport.to_dict`.
        html: of the report.
    """

    files: dict[str, str]
    report: dict[str, Any]
    html: str


class _Failure(VideoError):
    """A mistake of ours."""


class _Busy(VideoError):
    """Not let in; the upload is still there."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            "Many videos are looked at right now, or many of them are yours. "
            "Start again in a few minutes."
        )
        self.retry_after_ms = math.ceil(1000 * retry_after_s)


_News = Progress | _Result | FerError
# None where there is no news.
_Step = _News | None


def _make_line() -> Admission[_Step]:
    """Where videos wait for their turn, one after the other."""
    return Admission(
        n_at_work=N_VIDEOS_AT_WORK,
        max_waiting=_MAX_WAITING,
        patience_s=VIDEO_PATIENCE_S,
        max_a_host=_MAX_A_HOST,
        rate=RateLimit(max_per_minute()),
    )


async def _follow_in_turn(
    line: Admission[_Step], request: gr.Request | None, work: Workers, path: str, rate: float
) -> AsyncGenerator[_News, None]:
    """`_follow`, when it is its turn; or the error that it is not let in.

    A visitor's upload is gone afterwards, but for one who cancels and may start again.
    """
    with traffic.call("video") as call, uploads.claim(path) as claim:
        steps = line.steps(object(), find_host(request), lambda: _follow(work, path, rate))
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
            yield _Busy(max(refusal.retry_after_s, _RETRY_AFTER_S))


def _follow(work: Workers, path: str, rate: float) -> Generator[_Step, None, None]:
    """Twice a second how far it is, at last what came of it. Closing it stops the work."""
    result = None
    try:
        with (
            work.lend(long=True) as runner,
            uploads.results() as folder,
            closing(_steps(runner, path, str(folder), rate)) as steps,
        ):
            for step in steps:
                if isinstance(step, _Result):
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
        # A visitor gets a sentence, the log gets the trace.
        log.exception("video failed")
        yield _Failure(_SORRY)


def _steps(runner: JobRunner, path: str, folder: str, rate: float) -> Generator[_Step, None, None]:
    limits = max_video_s(), max_total_pixels()
    fields: dict[str, Any] = {}
    with closing(runner.steps(probe, path, *limits, bound=PROBE, tick_s=_TICK_S)) as steps:
        for step in steps:
            fields = step or fields
            yield None
    info = VideoInfo(**fields)
    n_pixels = None if info.n_frames is None else info.n_frames * info.width * info.height
    bound = video_bound(info.duration_s, n_pixels)
    arguments = path, folder, rate, *limits
    with closing(runner.steps(follow_video, *arguments, bound=bound, tick_s=_TICK_S)) as steps:
        for step in steps:
            if step is None:
                yield None
            elif "files" in step:
                yield _Result(**step)
            else:
                yield Progress(**step)


def _message(text: str) -> str:
    return f'<p class="fer-message">{html.escape(text)}</p>'


def _error(text: str) -> str:
    return f'<p class="fer-error" role="alert">{html.escape(text)}</p>'


def _describe(info: VideoInfo) -> str:
    parts = [f"{info.width} x {info.height}"]
    parts.append("length unknown" if info.duration_s is None else clock(info.duration_s))
    if info.fps is not None:
        parts.append(f"{info.fps:.3g} frames a second")
    parts.append("with sound" if info.has_audio else "no sound")
    return ", ".join(parts)


def _progress_html(progress: Progress) -> str:
    parts = [f"{progress.n_frames} frames"]
    value = ""
    if progress.n_frames_total:
        parts = [f"{progress.n_frames} of {progress.n_frames_total} frames"]
        value = f' value="{progress.n_frames}" max="{progress.n_frames_total}"'
    parts.append(f"{progress.frames_per_s:.0f} a second")
    if progress.seconds_left is not None:
        parts.append(f"{clock(progress.seconds_left)} left")
    return (
        f'<div class="fer-progress"><progress aria-label="Frames done"{value}></progress>'
        f"<span>{', '.join(parts)}</span></div>"
    )


def _done(report: dict[str, Any]) -> str:
    none = "" if report["n_with_face"] else " No face was found."
    return f"{report['n_looked_at']} of {report['n_frames']} frames were looked at.{none}"


def _check(work: Workers, path: str) -> tuple[Any, Any]:
    """What an upload is, or why it cannot be used, before anybody waits for it."""
    try:
        with work.lend() as runner:
            info = VideoInfo(
                **runner.call(probe, path, max_video_s(), max_total_pixels(), bound=PROBE)
            )
    except FerError as error:
        log.debug("video refused before work")
        uploads.drop(path)
        return _error(str(error)), gr.update(interactive=False)
    except Exception:
        log.exception("video failed before work")
        return _error(_SORRY), gr.update(interactive=False)
    return _message(_describe(info)), gr.update(interactive=True)


def _offer(path: Path, folder: str) -> str | None:
    """A copy of an example in Gradio's folder, out of which alone it hands files out.

    None where the example is gone since the start.
    """
    try:
        copy = str(save_file_to_cache(path, folder))
    except OSError as error:
        log.warning("an example cannot be read: %s", error)
        return None
    uploads.offer(copy)
    return copy


def _build_endpoint(work: Workers, line: Admission[_Step]) -> None:
    """`/predict_video`, whose components nobody sees."""

    async def predict_video(
        video: str | None,
        rate: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        request: gr.Request | None = None,
    ) -> AsyncIterator[Any]:
        """Follow the faces of a video: a copy with boxes, tables, and a report of each person.

        The report has `persons`, each with `track_id`, `seconds` in view, `shares` of the
        certain time by class, `uncertain_share` and `timeline`; and counts of the frames. The
        code of an error is "bad_video" or "busy" (wait `retry_after_ms`).

        Args:
            video: a video file (mp4, webm, mov, avi, gif ...), not longer than the page allows.
            rate: how many frames a second are looked at, at most 30.
            progress: filled in by Gradio.
            request: filled in by Gradio.

        Returns:
            annotated: an mp4 with boxes and the original sound; null after an error.
            csv: the rows, one a face in each frame that was looked at.
            parquet: the same rows.
            report: of the whole video; or `error` {`code`, `message`}.
        """
        # Gradio shows one line of each to programs, so each is one line.
        nothing = None, None, None
        if video is None:
            yield *nothing, error_data("bad_video", "`video` must be a file. Received: None")
            return
        async with aclosing(_follow_in_turn(line, request, work, video, rate)) as steps:
            async for step in steps:
                if isinstance(step, Progress):
                    progress((step.n_frames, step.n_frames_total), unit="frames")
                    yield (gr.skip(),) * 4
                elif isinstance(step, _Busy):
                    more = {"retry_after_ms": step.retry_after_ms}
                    yield *nothing, error_data("busy", str(step), **more)
                elif isinstance(step, FerError):
                    yield *nothing, error_data("bad_video", str(step))
                else:
                    files = step.files
                    yield files["mp4"], files["csv"], files["parquet"], step.report

    with gr.Column(visible=False):
        video = VideoInput(label="Video")
        rate = gr.Number(_RATE, label="Frames looked at a second", minimum=0.1, maximum=30)
        outputs = [
            gr.Video(label="annotated"),
            gr.File(label="csv"),
            gr.File(label="parquet"),
            gr.JSON(label="report"),
        ]
        gr.Button().click(
            predict_video,
            [video, rate],
            outputs,
            api_name="predict_video",
            concurrency_limit=None,
        )


def build_video_tab(work: Workers) -> None:
    """Upload or record a video; must be called inside a `gr.Blocks`."""
    # Gradio's own display of progress would say "Error" where a visitor cancels.
    off, on = gr.update(interactive=False), gr.update(interactive=True)
    # Start and stop button, upload, recording. What was analysed is no longer here.
    busy, idle = (off, on), (on, off)
    over = off, off, None, None
    again = *idle, gr.skip(), gr.skip()
    empty = [gr.update(value=None, interactive=False)] * len(TABLES)
    line = _make_line()

    async def analyse(path: str | None, rate: float, request: gr.Request) -> AsyncIterator[Any]:
        if path is None:
            yield _error("Choose a video first."), None, "", *empty, *over
            return
        yield _message("Waiting for its turn ..."), None, "", *empty, *(gr.skip(),) * 4
        async with aclosing(_follow_in_turn(line, request, work, path, rate)) as steps:
            async for step in steps:
                if isinstance(step, Progress):
                    yield _progress_html(step), *(gr.skip(),) * 9
                elif isinstance(step, FerError):
                    after = again if isinstance(step, _Busy) else over
                    yield _error(str(step)), None, "", *empty, *after
                else:
                    files = step.files
                    tables = [gr.update(value=files[form], interactive=True) for form in TABLES]
                    shown = _message(_done(step.report)), files["mp4"], step.html
                    yield *shown, *tables, *over

    probes: Admission[tuple[Any, Any]] = Admission(
        N_PROBES_AT_WORK, _MAX_PROBES_WAITING, _PROBE_PATIENCE_S
    )

    async def check(path: str | None, request: gr.Request) -> tuple[Any, Any]:
        if path is None:  # what was said of the last one stays
            return gr.skip(), gr.update(interactive=False)
        try:
            return await probes.run(object(), find_host(request), lambda _: _check(work, path))
        except Refused:  # it is looked at when its turn comes
            return _message(""), gr.update(interactive=True)

    def cancel() -> tuple[Any, ...]:
        return _message("Cancelled."), *idle

    with gr.Row():
        with gr.Column(min_width=320):
            upload = VideoInput(
                label="Video", file_types=list(VIDEO_SUFFIXES), height=150, elem_id="video-input"
            )
            with gr.Accordion("Record one with the camera", open=False):
                recording = Recorder(
                    sources=["webcam"],
                    show_label=False,
                    include_audio=True,  # Gradio needs the program ffmpeg to leave it out
                    elem_id="video-recording",
                    webcam_options=gr.WebcamOptions(mirror=False),
                )
            tries = [
                (gr.Button(f"Try: {example.caption}", size="sm"), example.path)
                for example in list_examples()
                if example.kind == "video"
            ]
            rate = gr.Dropdown(
                _RATES, value=_RATE, label="Frames to look at", info="Fewer are faster."
            )
            with gr.Row():
                start = gr.Button("Analyse", variant="primary", interactive=False, min_width=120)
                stop = gr.Button("Cancel", variant="stop", interactive=False, min_width=120)
            status = gr.HTML(elem_id="video-status")
        with gr.Column(min_width=320):
            result = gr.Video(
                label="Result", interactive=False, elem_id="video-result", buttons=["download"]
            )
            with gr.Row():
                buttons = [
                    gr.DownloadButton(
                        form.upper(),
                        interactive=False,
                        size="sm",
                        min_width=80,
                        elem_id=f"video-{form}",
                    )
                    for form in TABLES
                ]
    report = gr.HTML(
        css_template=(_HERE / "video.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "video.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="video-report",
    )
    upload.change(
        check,
        upload,
        [status, start],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=None,
    )
    upload.clear(
        lambda: "", None, status, api_visibility="private", show_progress="hidden", queue=False
    )
    recording.stop_recording(
        lambda path: path, recording, upload, api_visibility="private", show_progress="hidden"
    )
    for button, path in tries:
        button.click(
            functools.partial(_offer, path, upload.GRADIO_CACHE),
            None,
            upload,
            api_visibility="private",
            show_progress="hidden",
        )
    running = start.click(
        lambda: (_message("Waiting for its turn ..."), *busy),
        None,
        [status, start, stop],
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    ).then(
        analyse,
        [upload, rate],
        [status, result, report, *buttons, start, stop, upload, recording],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=None,
    )
    stop.click(
        cancel,
        None,
        [status, start, stop],
        cancels=[running],
        api_visibility="private",
        show_progress="hidden",
    )
    _build_endpoint(work, line)
