"""Build the Video tab: a file or recording in; annotated video, timeline and tables out."""

import functools
import html
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from fer.errors import FerError
from fer.media.files import VIDEO_SUFFIXES
from fer.media.reader import VideoInfo
from fer.video import Progress
from fer.web.examples.files import Example
from fer.web.inputs import Recorder, VideoInput
from fer.web.server.assets import Assets
from fer.web.server.jobs import TABLES
from fer.web.server.queue import Refused
from fer.web.server.uploads import uploads
from fer.web.video.follow import DEFAULT_RATE, Busy, Videos
from fer.web.video.report import clock

__all__ = ["build_video_tab"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_RATES = [
    ("every frame, up to 30 per second", 30),
    ("15 per second", 15),
    ("5 per second", 5),
    ("1 per second", 1),
]


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
    return f"{report['n_looked_at']} of {report['n_frames']} frames were analysed.{none}"


async def _check(videos: Videos, path: str | None, request: gr.Request | None) -> tuple[Any, Any]:
    """Describe an upload, or say why it is unusable, before it is queued."""
    off, on = gr.update(interactive=False), gr.update(interactive=True)
    if path is None:  # what was said of the last one stays
        return gr.skip(), off
    try:
        info = await videos.probe(request, path)
    except Refused:  # it is looked at when its turn comes
        return _message(""), on
    except FerError as error:
        return _error(str(error)), off
    return _message(_describe(info)), on


def _offer(path: Path, folder: str) -> str | None:
    """Return a copy of an example in Gradio's folder, the only one it serves files from.

    None where the example is gone since the start.
    """
    try:
        copy = str(save_file_to_cache(path, folder))
    except OSError as error:
        log.warning("an example cannot be read: %s", error)
        return None
    uploads.offer(copy)
    return copy


def build_video_tab(videos: Videos, assets: Assets, examples: Iterable[Example]) -> None:
    """Build the tab to upload or record a video; must be called inside a `gr.Blocks`.

    Args:
        videos: analyses the videos.
        assets: serve the page's modules.
        examples: of which the videos can be tried.
    """
    # Gradio's own display of progress would say "Error" where a visitor cancels.
    off, on = gr.update(interactive=False), gr.update(interactive=True)
    # Start and stop button, upload, recording. What was analysed is no longer here.
    busy, idle = (off, on), (on, off)
    over = off, off, None, None
    again = *idle, gr.skip(), gr.skip()
    empty = [gr.update(value=None, interactive=False)] * len(TABLES)

    async def analyse(path: str | None, rate: float, request: gr.Request) -> AsyncIterator[Any]:
        if path is None:
            yield _error("Choose a video first."), None, "", *empty, *over
            return
        yield _message("Queued ..."), None, "", *empty, *(gr.skip(),) * 4
        async with aclosing(videos.follow(request, path, rate)) as steps:
            async for step in steps:
                if isinstance(step, Progress):
                    yield _progress_html(step), *(gr.skip(),) * 9
                elif isinstance(step, FerError):
                    after = again if isinstance(step, Busy) else over
                    yield _error(str(step)), None, "", *empty, *after
                else:
                    files = step.files
                    tables = [gr.update(value=files[form], interactive=True) for form in TABLES]
                    shown = _message(_done(step.report)), files["mp4"], step.html
                    yield *shown, *tables, *over

    async def check(path: str | None, request: gr.Request) -> tuple[Any, Any]:
        return await _check(videos, path, request)

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
                for example in examples
                if example.kind == "video"
            ]
            rate = gr.Dropdown(
                _RATES, value=DEFAULT_RATE, label="Frames to analyse", info="Fewer are faster."
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
        js_on_load=assets.start_script("video/video.js"),
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
        lambda: (_message("Queued ..."), *busy),
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
