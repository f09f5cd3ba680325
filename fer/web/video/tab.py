"""Build the Video tab: a file or recording in; annotated video, timeline and tables out."""

import html
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from fer.errors import FerError
from fer.media.reader import VideoInfo
from fer.text import counted
from fer.video import Progress
from fer.web.examples.files import EXAMPLES_FOLDER, Example
from fer.web.inputs import Recorder, VideoInput
from fer.web.server.assets import Assets
from fer.web.server.jobs import TABLES
from fer.web.server.queue import Refused
from fer.web.server.uploads import uploads
from fer.web.video.follow import DEFAULT_RATE, Busy, Preview, Result, Videos
from fer.web.video.report import clock

__all__ = ["build_video_tab"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
# Frames analysed per second.
_SPEEDS = [
    ("Detailed (30/s)", 30),
    ("Normal (15/s)", 15),
    ("Quick (5/s)", 5),
    ("Overview (1/s)", 1),
]
_SAMPLE = "Try a sample clip"
_ABOUT = (
    "Follows each face through a clip. The file is sent to this server, and deleted afterwards."
)
# What is seen: before, at work, with a result, and after a run that can be started again.
_EMPTY, _BUSY, _DONE, _AGAIN = {"form"}, {"stop"}, {"new", "outcome"}, {"form", "again"}


# Gradio's own display of progress would say "Error" where a visitor cancels.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


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
    parts = [counted(progress.n_frames, "frames")]
    value = ""
    if progress.n_frames_total:
        parts = [f"{progress.n_frames} of {counted(progress.n_frames_total, 'frames')}"]
        value = f' value="{progress.n_frames}" max="{progress.n_frames_total}"'
    parts.append(f"{progress.frames_per_s:.0f} a second")
    if progress.seconds_left is not None:
        parts.append(f"{clock(progress.seconds_left)} left")
    return (
        f'<div class="fer-progress"><progress aria-label="Frames done"{value}></progress>'
        f"<span>{', '.join(parts)}</span></div>"
    )


def _preview_html(preview: Preview) -> str:
    return f'<img src="{preview.picture}" alt="The last frame, with its boxes">'


def _done(name: str, report: dict[str, Any], rate: float) -> str:
    chosen = (
        "" if report["n_looked_at"] == report["n_frames"] else f": {rate:g} a second, as chosen"
    )
    none = "" if report["n_with_face"] else " No face was found."
    frames = counted(report["n_frames"], "frames")
    return f"{name}: {report['n_looked_at']} of {frames} analysed{chosen}.{none}"


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


@dataclass(frozen=True)
class _Parts:
    """The components of the tab that events read or change."""

    form: gr.Column
    upload: gr.Video
    recording: gr.Video
    tries: list[tuple[gr.Button, Path]]
    rate: gr.Radio
    again: gr.Button
    stop: gr.Button
    new: gr.Button
    status: gr.HTML
    preview: gr.HTML
    outcome: gr.Column
    result: gr.Video
    tables: list[gr.DownloadButton]
    report: gr.HTML

    @property
    def changed(self) -> list[Any]:
        """What `_show` changes, in its order."""
        staged = self.form, self.again, self.stop, self.new, self.outcome
        return [self.status, self.preview, *staged, self.result, self.report, *self.tables]


def _show(status: str, stage: set[str], result: Result | None = None) -> list[Any]:
    """Return the values of `_Parts.changed`: a sentence, what is seen, a result."""
    names = "form", "again", "stop", "new", "outcome"
    seen = [gr.update(visible=name in stage) for name in names]
    video, report = (None, "") if result is None else (result.files["mp4"], result.html)
    files = [None if result is None else result.files[form] for form in TABLES]
    return [status, "", *seen, video, report, *files]


def build_video_tab(videos: Videos, assets: Assets, examples: Iterable[Example]) -> None:
    """Build the tab to upload or record a video; must be called inside a `gr.Blocks`.

    Args:
        videos: analyses the videos.
        assets: serve the page's modules.
        examples: of which the videos can be tried.
    """
    tab = _lay_out(assets, [example for example in examples if example.kind == "video"])
    _connect(tab, videos)


def _lay_out(assets: Assets, examples: Iterable[Example]) -> _Parts:
    with gr.Row(elem_id="video-bar"):
        status = gr.HTML(
            js_on_load=assets.start_script("video/video.js"),
            apply_default_css=False,
            elem_id="video-status",
        )
        stop, new = (
            gr.Button(text, visible=False, scale=0, min_width=130, elem_id=f"video-{name}")
            for text, name in (("Cancel", "cancel"), ("New video", "new"))
        )
    preview = gr.HTML(apply_default_css=False, elem_id="video-preview")
    with gr.Column(elem_id="video-form") as form:
        gr.HTML(_message(_ABOUT), apply_default_css=False)
        # Of any type: Gradio would refuse others in a corner, where nobody looks.
        upload = VideoInput(label="Video", height=150, elem_id="video-input")
        again = gr.Button("Analyse it again", variant="primary", visible=False)
        rate = gr.Radio(
            _SPEEDS,
            value=DEFAULT_RATE,
            label="Speed: frames analysed per second",
            elem_id="video-speed",
        )
        tries = [(gr.Button(_try_text(example)), example.path) for example in examples]
        with gr.Accordion("Record a clip", open=False):
            recording = Recorder(
                sources=["webcam"],
                show_label=False,
                include_audio=True,  # Gradio needs the program ffmpeg to leave it out
                elem_id="video-recording",
                webcam_options=gr.WebcamOptions(mirror=False),
            )
    with gr.Column(visible=False) as outcome:
        result = gr.Video(
            label="Result", interactive=False, elem_id="video-result", buttons=["download"]
        )
        report = gr.HTML(
            css_template=(_HERE / "video.css").read_text(encoding="utf-8"),
            apply_default_css=False,
            elem_id="video-report",
        )
        with gr.Row():
            tables = [_table_button(form) for form in TABLES]
    return _Parts(
        *(form, upload, recording, tries, rate, again, stop, new),
        *(status, preview, outcome, result, tables, report),
    )


def _try_text(example: Example) -> str:
    return _SAMPLE if example.path.parent == EXAMPLES_FOLDER else f"Try: {example.caption}"


def _table_button(form: str) -> gr.DownloadButton:
    return gr.DownloadButton(form.upper(), min_width=80, elem_id=f"video-{form}")


def _connect(tab: _Parts, videos: Videos) -> None:
    """Analyse what is uploaded, recorded or tried at once, until the end or a click."""

    async def analyse(path: str | None, rate: float, request: gr.Request) -> AsyncIterator[Any]:
        if path is None:
            yield [*_show(_error("This clip is not available any more."), _EMPTY), None, None]
            return
        async for shown, is_over in _follow(videos, path, rate, request):
            # What was analysed is no longer here.
            yield [*shown, *([None, None] if is_over else [gr.skip(), gr.skip()])]

    def begin(path: str | None = None) -> list[Any]:
        return [path or gr.skip(), *_show(_message("Queued ..."), _BUSY)]

    def begin_with(path: Path) -> list[Any]:
        return [_offer(path, tab.upload.GRADIO_CACHE), *begin()[1:]]

    starts = [
        (tab.upload.upload, begin, None),
        (tab.again.click, begin, None),
        (tab.recording.stop_recording, begin, tab.recording),
        *((button.click, partial(begin_with, path), None) for button, path in tab.tries),
    ]
    running = [
        start(function, given, [tab.upload, *tab.changed], **_QUIET).then(
            analyse,
            [tab.upload, tab.rate],
            [*tab.changed, tab.upload, tab.recording],
            concurrency_limit=None,
            **_QUIET,
        )
        for start, function, given in starts
    ]
    # Gradio cancels the work while this function runs, not before it. So one more step of the work
    # may replace what the first function says; what the second one says stays.
    tab.stop.click(
        lambda: _message("Cancelling ..."), None, tab.status, cancels=running, **_QUIET
    ).then(lambda: _show(_message("Cancelled."), _AGAIN), None, tab.changed, **_QUIET)
    tab.new.click(lambda: _show("", _EMPTY), None, tab.changed, **_QUIET)
    tab.upload.clear(lambda: _show("", _EMPTY), None, tab.changed, queue=False, **_QUIET)


async def _follow(
    videos: Videos, path: str, rate: float, request: gr.Request | None
) -> AsyncIterator[tuple[list[Any], bool]]:
    """Yield what is shown of one video, and whether it is over: the upload is gone then.

    It is looked at before it is queued, so that a file that is no video is told at once.
    """
    name = Path(path).name
    still = [gr.skip()] * (len(_show("", _BUSY)) - 1)
    try:
        info = await videos.probe(request, path)
        yield [_message(f"{name}: {_describe(info)}. Queued ..."), *still], False
    except Refused:  # it is looked at when its turn comes
        pass
    except FerError as error:
        yield _show(_error(str(error)), _EMPTY), True
        return
    async with aclosing(videos.follow(request, path, rate)) as steps:
        async for step in steps:
            if isinstance(step, Progress):
                yield [_progress_html(step), *still], False
            elif isinstance(step, Preview):
                yield [gr.skip(), _preview_html(step), *still[1:]], False
            elif isinstance(step, Busy):
                yield _show(_error(str(step)), _AGAIN), False
            elif isinstance(step, FerError):
                yield _show(_error(str(step)), _EMPTY), True
            else:
                yield _show(_message(_done(name, step.report, rate)), _DONE, step), True
