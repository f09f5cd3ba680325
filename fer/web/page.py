"""The page: what it is, its tabs, and how it is served."""

import asyncio
import functools
import html
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio.to_thread
import gradio as gr

from fer.errors import InputError
from fer.image import MAX_PIXELS
from fer.pipeline import Pipeline
from fer.web.examples.tab import build_examples_tab, list_examples
from fer.web.live.tab import build_live_tab
from fer.web.photo.tab import Pictures, build_photo_tab
from fer.web.server.connections import Connections, raise_file_limit
from fer.web.server.forget import Forgetful, forget_sessions, forget_the_last_call
from fer.web.server.guard import Door
from fer.web.server.health import Health, memory_mb
from fer.web.server.http import use_bounded_http
from fer.web.server.jobs import PAGE_FORMATS
from fer.web.server.limits import max_video_minutes
from fer.web.server.logs import FIELDS, only_the_log
from fer.web.server.mcp import keep_no_pictures
from fer.web.server.queue import RateLimit, max_per_minute
from fer.web.server.receive import MAX_FILE_BYTES, MAX_UPLOAD_BYTES, upload_route
from fer.web.server.start import About
from fer.web.server.traffic import traffic
from fer.web.server.uploads import RESULT_AGE_S, SWEEP_S, sweep_abandoned, uploads
from fer.web.server.work import Workers, make_workers
from fer.web.video.tab import build_video_tab

__all__ = ["MAX_CALL_BYTES", "build_page", "launch"]

log = logging.getLogger(__name__)

_CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_TITLE = "Facial expressions, live"
_FONTS = ("system-ui", "Segoe UI", "Roboto", "sans-serif")
# Gradio's jobs at a time, most of which wait for their turn: more than one household may have, by
# far, so that its calls keep nobody out of the lines of the tabs.
_MAX_JOBS = 160
MAX_CALL_BYTES = 1_000_000  # of a call without files; a live frame is under 100 kB
_SUMMARY_S = 600.0
# A Space is reached through the Hub's proxies alone, which lie in private networks and say whom
# they ask for; without this all visitors would be one. Source: RFC 1918, RFC 4193; uvicorn reads
# the last address that is not in them.
_PROXIES = "127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"

_HEAD = """
<div class="fer-head">
<h1>{title}</h1>
<p>Every face gets one of {n} expressions with calibrated probabilities: {names}.</p>
{status}
</div>
"""

_NOTICE = f"""
<div class="fer-notice">
<p><b>You are using an AI system that estimates apparent expressions.</b> It sees how a face
looks in one picture. It cannot tell what someone feels, thinks or means, it is often wrong,
and it is not equally good for everyone. Probabilities are calibrated on the data set of the
model's training, not on your camera; when the best one is low the page says <i>uncertain</i>.</p>
<p><b>Nothing is kept.</b> Camera frames are analysed in memory and dropped. A picture or video
that you upload (at most {MAX_FILE_BYTES >> 20} MB; pictures of {MAX_PIXELS // 1_000_000}
megapixels: {{formats}}; videos {{minutes}}) is opened in a process of its own, with limits of
time and memory, and deleted from the computer that runs this page as soon as it has been
analysed, or after 15 minutes if it never is. What is made of it stays there for you to look at
and to download, and is deleted within an hour. This program logs counts and times, and no
picture, file name, address or result.</p>
<p><b>Do not use it to judge people.</b> Inferring emotions at work or in education is
forbidden in the EU (AI Act, Art. 5(1)(f)); people who are exposed to such a system must be
told (Art. 50(3)).</p>
</div>
"""


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _in_event_loop(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Call the function where an event loop runs, and close that loop.

    Where none runs, Gradio opens one for each of its locks and forgets it. Collected open, it
    may print a traceback. Source: github.com/gradio-app/gradio/issues/12699.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        async def run() -> _R:
            return function(*args, **kwargs)

        running = None
        with suppress(RuntimeError):
            running = asyncio.get_running_loop()
        if running is not None:  # in a notebook
            return function(*args, **kwargs)
        with closing(asyncio.new_event_loop()) as loop:
            return loop.run_until_complete(run())

    return call


@_in_event_loop
def build_page(pipeline: Pipeline, about: About, work: Workers | None = None) -> gr.Blocks:
    """The whole page around one pipeline.

    Args:
        pipeline: shared by all visitors.
        about: what it is made of, from `fer.web.start_pipeline`.
        work: where visitors' files are opened; processes of its own when None, to which the
            pipeline must be able to go by pickle.
    """
    work = make_workers(pipeline) if work is None else work
    pictures = Pictures(work)
    names = pipeline.classifier.config.class_names
    lines = [f'<p class="fer-status">{html.escape(str(about))}</p>']
    if about.notes:
        reasons = "".join(f"<p>{html.escape(text)}</p>" for text in about.notes)
        instead = ". ".join(text.partition(", because ")[0] for text in about.notes)
        summary = f"<summary>{html.escape(instead)}. Why?</summary>"
        lines.append(f'<details class="fer-note">{summary}{reasons}</details>')
    head = _HEAD.format(
        title=_TITLE,
        n=len(names),
        names=html.escape(", ".join(names)),
        status="\n".join(lines),
    )
    with gr.Blocks(
        title=_TITLE, analytics_enabled=False, delete_cache=(int(SWEEP_S), int(RESULT_AGE_S))
    ) as page:
        gr.HTML(head, elem_id="head")
        with gr.Tab("Live"):
            build_live_tab(pipeline)
        with gr.Tab("Photo"):
            build_photo_tab(pipeline, pictures)
        with gr.Tab("Video"):
            build_video_tab(work)
        if any(example.kind == "picture" for example in list_examples()):
            with gr.Tab("Examples"):
                build_examples_tab(pipeline, pictures)
        limit = max_video_minutes()
        minutes = "of any length"
        if limit is not None:
            minutes = f"of {limit:g} minutes, at 1920 x 1080 and 30 frames a second"
        formats = ", ".join(PAGE_FORMATS)
        gr.HTML(_NOTICE.format(minutes=minutes, formats=formats), elem_id="notice")
    # On a Space Gradio adds the Hub's bar, with fonts that each visitor's browser gets at Google.
    page.space_id = None
    page.health = Health(pipeline, about, work=work)
    page.work = work
    return page


def _offers_mcp() -> bool:
    """Whether FER_MCP asks for a Model Context Protocol server and there is one to have."""
    if os.environ.get("FER_MCP") != "1":
        return False
    if importlib.util.find_spec("mcp") is None:
        log.warning('FER_MCP is ignored, because it needs a package: pip install "mcp<2"')
        return False
    return True


@_in_event_loop
def launch(page: gr.Blocks, **options: Any) -> Any:
    """Serve a page of `build_page` until it is told to end, by Ctrl-C or by SIGTERM.

    Args:
        page: of `build_page`.
        options: for `gradio.Blocks.launch`.

    Raises:
        InputError: the port that was asked for is taken.
    """
    page.queue(max_size=64)
    use_bounded_http()
    if options.get("server_port") is None and (named := os.environ.get("GRADIO_SERVER_PORT")):
        options["server_port"] = int(named)  # Gradio would go on to the next one that is free
    if os.environ.get("SPACE_ID"):
        os.environ.setdefault("FORWARDED_ALLOW_IPS", _PROXIES)
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        # What has to go at the end goes where Python ends, which it does not at this signal.
        signal.signal(signal.SIGTERM, functools.partial(_end, page))
    try:
        return _launch(page, **options)
    except OSError as error:
        raise InputError(f"the page must have a port that is free. Received: {error}") from error


def _end(page: gr.Blocks, *_: Any) -> None:
    """End at once: no job is waited for, and no visitor who is connected."""
    page.work.close()
    sys.exit()


def _launch(page: gr.Blocks, **options: Any) -> Any:
    uploading = RateLimit(max_per_minute())
    app_kwargs = {
        # They come before Gradio's own.
        "routes": [page.health.route, upload_route(uploading)],
        "lifespan": functools.partial(_while_served, page, uploading),
    }
    return page.launch(
        theme=gr.themes.Soft(
            primary_hue="teal", font=_FONTS, font_mono=("ui-monospace", "monospace")
        ),
        css=_CSS,
        max_file_size=MAX_FILE_BYTES,
        app_kwargs=app_kwargs,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=_offers_mcp(),
        max_threads=_MAX_JOBS,
        footer_links=["api"],
        # Where a person started it, not where a Space or a test did.
        **{"inbrowser": sys.stdout.isatty(), **options},
    )


@asynccontextmanager
async def _while_served(page: gr.Blocks, uploading: RateLimit, app: Any) -> AsyncIterator[None]:
    """The lifespan of the server: old files are deleted, and the log hears what happened."""
    uploads.keep_own()
    raise_file_limit()
    # Gradio puts its own middleware around what it is given; this stands around all of it.
    app.middleware_stack = Door(
        app.middleware_stack,
        page,
        max_bytes=MAX_CALL_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        uploading=uploading,
        refusing=RateLimit(max_per_minute()),
        on_space=bool(os.environ.get("SPACE_ID")),
    )
    if page.mcp_server_obj is not None:
        keep_no_pictures(page.mcp_server_obj)
    # In the background: the page answers before they are there.
    page.work.start()
    forget_sessions(app, page)
    forget_the_last_call(page._queue)
    jobs = _look_after(), Forgetful(page).run(), Connections(page).run()
    tasks = [asyncio.create_task(one) for one in jobs]
    with only_the_log():
        try:
            yield
        finally:
            page.work.close()
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _look_after() -> None:
    said_at = time.monotonic()
    with suppress(OSError):
        await anyio.to_thread.run_sync(sweep_abandoned, uploads.folder.parent)
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await anyio.to_thread.run_sync(uploads.sweep)
            if time.monotonic() - said_at >= _SUMMARY_S:
                said_at = time.monotonic()
                await anyio.to_thread.run_sync(_say_what_happened)
        except Exception:
            log.exception("looking after the page failed")


def _say_what_happened() -> None:
    """One line on what was asked since the last, none where nothing was."""
    summary = traffic.summary()
    if set(summary) == {"seconds"}:
        return
    more = {"memory_mb": memory_mb(), "folder_mb": round(uploads.n_bytes() / 1e6, 1)}
    log.info("summary", extra={FIELDS: {"event": "summary", **summary, **more}})
