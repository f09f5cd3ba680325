"""The Video tab: a file or a recording in; a video with boxes, a timeline and tables out."""

import functools
import html
import json
import logging
import math
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from fer.errors import FerError, VideoError
from fer.media import VIDEO_SUFFIXES, VideoInfo, probe_video
from fer.pipeline import Pipeline
from fer.video import Progress, VideoReport, analyse_video, check_duration
from fer.web.admission import Admission, RateLimit, Refused, max_per_minute
from fer.web.examples import list_examples
from fer.web.inputs import Recorder, VideoInput
from fer.web.requests import error_data, find_host
from fer.web.traffic import traffic
from fer.web.uploads import uploads
from fer.web.video.report import clock, report_html

__all__ = ["build_video_tab", "max_video_minutes"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_MAX_MINUTES = 10.0
_TICK_S = 0.5
# Minutes of work each; a household's fifth is asked to come again.
_MAX_WAITING = 16
_MAX_A_HOST = 4
_RETRY_AFTER_S = 60.0
_RATES = [
    ("every frame, up to 30 a second", 30),
    ("15 a second", 15),
    ("5 a second", 5),
    ("1 a second", 1),
]
_RATE = 15
_TABLES = ("csv", "parquet", "json")

_Files = dict[str, str]


def max_video_minutes() -> float | None:
    """The longest video that the page takes, from FER_MAX_VIDEO_MINUTES; None for any."""
    named = os.environ.get("FER_MAX_VIDEO_MINUTES") or str(_MAX_MINUTES)
    try:
        minutes = float(named)
    except ValueError:
        log.warning("FER_MAX_VIDEO_MINUTES must be a number. Received: %s", ascii(named))
        return _MAX_MINUTES
    return minutes if minutes > 0 else None


def _max_duration_s() -> float | None:
    minutes = max_video_minutes()
    return None if minutes is None else 60 * minutes


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


class _Job:
    """A video in work in a thread of its own, until it is done or nobody asks any more.

    Attributes:
        progress: the last that was heard; None before the first frame.
        done: set when there is an outcome.
        outcome: the report with the files, or what went wrong.
    """

    def __init__(self, pipeline: Pipeline, path: str, rate: float) -> None:
        self.progress: Progress | None = None
        self.done = threading.Event()
        self.outcome: tuple[VideoReport, _Files] | FerError = VideoError("not done")
        self._stopped = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="fer-video-")
        threading.Thread(target=self._work, args=(pipeline, path, rate), daemon=True).start()

    def _work(self, pipeline: Pipeline, path: str, rate: float) -> None:
        try:
            stem = Path(self._folder.name) / f"{Path(path).stem[:80]}_expressions"
            files = {form: f"{stem}.{form}" for form in ("mp4", *_TABLES)}
            report = analyse_video(
                pipeline,
                path,
                rate=rate,
                output=files["mp4"],
                tables=(files["csv"], files["parquet"]),
                on_progress=self._hear,
                cancelled=self._stopped.is_set,
                max_duration_s=_max_duration_s(),
            )
            Path(files["json"]).write_text(
                json.dumps(report.to_dict(), ensure_ascii=False), encoding="utf-8"
            )
            self.outcome = report, files
        except FerError as error:
            # Its message may hold the name of the visitor's file; refusals are counted.
            log.debug("video refused")
            self.outcome = error
        except Exception:
            # A visitor gets a sentence, the log gets the trace.
            log.exception("video failed")
            self.outcome = _Failure("This video could not be analysed.")
        finally:
            self.done.set()
            if self._stopped.is_set():
                self._folder.cleanup()

    def _hear(self, progress: Progress) -> None:
        self.progress = progress

    def stop(self) -> None:
        """End the work and drop the files; what was yielded has been copied by then."""
        self._stopped.set()
        if self.done.is_set():
            self._folder.cleanup()


_Step = Progress | tuple[VideoReport, _Files] | FerError


def _make_line() -> Admission[_Step]:
    """Where videos wait for their turn, one after the other."""
    return Admission(
        n_at_work=1,
        max_waiting=_MAX_WAITING,
        patience_s=math.inf,
        max_a_host=_MAX_A_HOST,
        by_host=True,
        rate=RateLimit(max_per_minute()),
    )


async def _follow_in_turn(
    line: Admission[_Step], request: gr.Request | None, pipeline: Pipeline, path: str, rate: float
) -> AsyncGenerator[_Step, None]:
    """`_follow`, when it is its turn; or the error that it is not let in.

    A visitor's upload is gone afterwards, but for one who cancels and may start again.
    """
    with traffic.call("video") as call, uploads.claim(path) as claim:
        steps = line.steps(object(), find_host(request), lambda: _follow(pipeline, path, rate))
        try:
            async with aclosing(steps):
                async for step in steps:
                    if isinstance(step, FerError):
                        call.outcome = "failed" if isinstance(step, _Failure) else "bad_video"
                    yield step
        except Refused as refusal:
            call.outcome = refusal.code
            claim.keep = True
            yield _Busy(max(refusal.retry_after_s, _RETRY_AFTER_S))


def _follow(pipeline: Pipeline, path: str, rate: float) -> Generator[_Step, None, None]:
    """Twice a second how far it is, at last what came of it. Closing it stops the work."""
    job = _Job(pipeline, path, rate)
    try:
        while not job.done.wait(_TICK_S):
            if job.progress is not None:
                yield job.progress
        yield job.outcome
    finally:
        job.stop()


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


def _done(report: VideoReport) -> str:
    return f"{report.n_looked_at} of {report.n_frames} frames were looked at."


def _check(path: str | None) -> tuple[Any, Any]:
    """What an upload is, or why it cannot be used, before anybody waits for it."""
    if path is None:  # what was said of the last one stays
        return gr.skip(), gr.update(interactive=False)
    try:
        info = probe_video(path)
        check_duration(info.name, info.duration_s, _max_duration_s())
    except FerError as error:
        log.debug("video refused before work")
        uploads.drop(path)
        return _error(str(error)), gr.update(interactive=False)
    return _message(_describe(info)), gr.update(interactive=True)


def _offer(path: Path, folder: str) -> str:
    """A copy of an example in Gradio's folder, out of which alone it hands files out."""
    copy = str(save_file_to_cache(path, folder))
    uploads.offer(copy)
    return copy


def _build_endpoint(pipeline: Pipeline, line: Admission[_Step]) -> None:
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
        async with aclosing(_follow_in_turn(line, request, pipeline, video, rate)) as steps:
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
                    report, files = step
                    yield files["mp4"], files["csv"], files["parquet"], report.to_dict()

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


def build_video_tab(pipeline: Pipeline) -> None:
    """Upload or record a video; must be called inside a `gr.Blocks`."""
    # Gradio's own display of progress would say "Error" where a visitor cancels.
    off, on = gr.update(interactive=False), gr.update(interactive=True)
    # Start and stop button, upload, recording. What was analysed is no longer here.
    busy, idle = (off, on), (on, off)
    over = off, off, None, None
    again = *idle, gr.skip(), gr.skip()
    empty = [gr.update(value=None, interactive=False)] * len(_TABLES)
    line = _make_line()

    async def analyse(path: str | None, rate: float, request: gr.Request) -> AsyncIterator[Any]:
        if path is None:
            yield _error("Choose a video first."), None, "", *empty, *over
            return
        yield _message("Waiting for its turn ..."), None, "", *empty, *(gr.skip(),) * 4
        async with aclosing(_follow_in_turn(line, request, pipeline, path, rate)) as steps:
            async for step in steps:
                if isinstance(step, Progress):
                    yield _progress_html(step), *(gr.skip(),) * 9
                elif isinstance(step, FerError):
                    after = again if isinstance(step, _Busy) else over
                    yield _error(str(step)), None, "", *empty, *after
                else:
                    report, files = step
                    tables = [gr.update(value=files[form], interactive=True) for form in _TABLES]
                    shown = _message(_done(report)), files["mp4"], report_html(report)
                    yield *shown, *tables, *over

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
                    for form in _TABLES
                ]
    report = gr.HTML(
        css_template=(_HERE / "video.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "video.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="video-report",
    )
    upload.change(
        _check,
        upload,
        [status, start],
        api_visibility="private",
        show_progress="hidden",
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
    _build_endpoint(pipeline, line)
