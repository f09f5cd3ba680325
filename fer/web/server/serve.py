"""Serve a page until it is told to end."""

import asyncio
import functools
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
import gradio as gr

from fer.errors import InputError
from fer.settings import Settings
from fer.web.server.connections import Connections, raise_file_limit
from fer.web.server.event_loop import in_event_loop
from fer.web.server.forget import Forgetful, forget_sessions, forget_the_last_call
from fer.web.server.guard import Guard
from fer.web.server.health import memory_mb
from fer.web.server.http import use_bounded_http
from fer.web.server.logs import FIELDS, only_the_log
from fer.web.server.mcp import keep_no_pictures
from fer.web.server.origins import Hosts
from fer.web.server.queue import RateLimit
from fer.web.server.receive import MAX_FILE_BYTES, MAX_UPLOAD_BYTES, upload_route
from fer.web.server.traffic import traffic
from fer.web.server.uploads import SWEEP_S, sweep_abandoned, uploads
from fer.web.theme import make_theme

__all__ = ["MAX_CALL_BYTES", "launch"]

log = logging.getLogger(__name__)

_WEB = Path(__file__).parents[1]
_CSS = "".join((_WEB / name).read_text(encoding="utf-8") for name in ("page.css", "gradio.css"))
# Gradio's jobs at a time, most of which wait: far more than one client network may have, so that
# its calls keep nobody out of the queues of the tabs.
_MAX_JOBS = 160
MAX_CALL_BYTES = 1_000_000  # of a call without files; a live frame is under 100 kB
_SUMMARY_S = 600.0
# Seconds between two looks at Gradio's queue, for new jobs and for progress of those at work. Its
# own 0.001 and 0.01 cost a server that nobody visits several per cent of a core.
_JOBS_S = 0.01
_PROGRESS_S = 0.05


def _offers_mcp(settings: Settings) -> bool:
    """Whether the Model Context Protocol is wanted and its package is installed."""
    if not settings.mcp:
        return False
    if importlib.util.find_spec("mcp") is None:
        log.warning('FER_MCP is ignored, because it needs a package: pip install "mcp<2"')
        return False
    return True


@in_event_loop
def launch(page: gr.Blocks, **options: Any) -> Any:
    """Serve a page of `build_page` until it is told to end, by Ctrl-C or by SIGTERM.

    Args:
        page: of `build_page`.
        options: for `gradio.Blocks.launch`.

    Raises:
        InputError: the requested port is taken.
    """
    page.queue(max_size=64)
    use_bounded_http()
    settings: Settings = page.settings
    if options.get("server_port") is None and settings.port is not None:
        options["server_port"] = settings.port  # Gradio would go on to the next one that is free
    if settings.on_space:  # uvicorn reads the variable
        os.environ.setdefault("FORWARDED_ALLOW_IPS", settings.proxies)
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
    """End at once, without waiting for jobs or connections."""
    page.work.close()
    sys.exit()


def _launch(page: gr.Blocks, **options: Any) -> Any:
    uploading = RateLimit(page.settings.max_per_minute)
    app_kwargs = {
        # They come before Gradio's own.
        "routes": [page.health.route, page.assets.route, upload_route(uploading)],
        "lifespan": functools.partial(_while_served, page, uploading),
    }
    return page.launch(
        theme=make_theme(),
        css=_CSS,
        head=page.assets.preload,
        max_file_size=MAX_FILE_BYTES,
        app_kwargs=app_kwargs,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=_offers_mcp(page.settings),
        max_threads=_MAX_JOBS,
        footer_links=["api"],
        # Otherwise Gradio asks its own page for an answer, and ends the program if a busy machine
        # needs more than three seconds for it.
        _frontend=False,
        # Where a person started it, not where a Space or a test did.
        **{"inbrowser": sys.stdout.isatty(), **options},
    )


@asynccontextmanager
async def _while_served(page: gr.Blocks, uploading: RateLimit, app: Any) -> AsyncIterator[None]:
    """Run the background tasks of the server: delete old files, log a summary."""
    settings: Settings = page.settings
    uploads.max_bytes = settings.max_temp_bytes
    uploads.protect_current()
    raise_file_limit()
    # Gradio puts its own middleware around what it is given; this stands around all of it.
    app.middleware_stack = Guard(
        app.middleware_stack,
        page,
        max_bytes=MAX_CALL_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        uploading=uploading,
        refusing=RateLimit(settings.max_per_minute),
        hosts=Hosts(settings.allowed_hosts, lambda: page.share_url),
        on_space=settings.on_space,
    )
    if page.mcp_server_obj is not None:
        keep_no_pictures(page.mcp_server_obj)
    # In the background: the page answers before they are there.
    page.work.start()
    forget_sessions(app, page)
    forget_the_last_call(page._queue)
    page._queue.sleep_when_free = _JOBS_S
    page._queue.progress_update_sleep_when_free = _PROGRESS_S
    jobs = _maintain(), Forgetful(page).run(), Connections(page, proxies=settings.proxies).run()
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


async def _maintain() -> None:
    said_at = time.monotonic()
    with suppress(OSError):
        await anyio.to_thread.run_sync(sweep_abandoned, uploads.folder.parent)
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await anyio.to_thread.run_sync(uploads.sweep)
            if time.monotonic() - said_at >= _SUMMARY_S:
                said_at = time.monotonic()
                await anyio.to_thread.run_sync(_log_summary)
        except Exception:
            log.exception("looking after the page failed")


def _log_summary() -> None:
    """Log the calls since the last summary; nothing where there were none."""
    summary = traffic.summary()
    if set(summary) == {"seconds"}:
        return
    more = {"memory_mb": memory_mb(), "folder_mb": round(uploads.n_bytes() / 1e6, 1)}
    log.info("summary", extra={FIELDS: {"event": "summary", **summary, **more}})
