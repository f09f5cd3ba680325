"""The page: what it is, its tabs, and how it is served."""

import html
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from fer.errors import InputError
from fer.image import MAX_PIXELS
from fer.pipeline import Pipeline
from fer.web.admission import BodyLimit
from fer.web.examples import build_examples_tab, list_examples
from fer.web.live import build_live_tab
from fer.web.photo import build_photo_tab
from fer.web.video import build_video_tab, max_video_minutes

__all__ = ["build_page", "launch"]

log = logging.getLogger(__name__)

_CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_TITLE = "Facial expressions, live"
_FONTS = ("system-ui", "Segoe UI", "Roboto", "sans-serif")
_MAX_FILE_SIZE = "200mb"
_MAX_BODY_BYTES = 1_000_000  # of a call without files; a live frame is under 100 kB
_MAX_SESSIONS = 500
_CACHE_AGE_S = 3600

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
<p><b>Nothing is stored.</b> Camera frames are analysed in memory and dropped. A picture or video
that you upload (at most {_MAX_FILE_SIZE.upper()}; pictures {MAX_PIXELS // 1_000_000} megapixels,
videos {{minutes}}) and what is made of it pass through a temporary folder of the computer that
runs this page and are deleted from it within two hours.</p>
<p><b>Do not use it to judge people.</b> Inferring emotions at work or in education is
forbidden in the EU (AI Act, Art. 5(1)(f)); people who are exposed to such a system must be
told (Art. 50(3)).</p>
</div>
"""


def build_page(pipeline: Pipeline, status: list[str]) -> gr.Blocks:
    """The whole page around one pipeline.

    Args:
        pipeline: shared by all visitors.
        status: lines of `fer.web.start_pipeline`; the first is what runs, the others say
            what could not be had.
    """
    names = pipeline.classifier.config.class_names
    lines = [f'<p class="fer-status">{html.escape(status[0])}</p>']
    if status[1:]:
        reasons = "".join(f"<p>{html.escape(text)}</p>" for text in status[1:])
        summary = "Some parts could not be had; the page works without them."
        lines.append(f'<details class="fer-note"><summary>{summary}</summary>{reasons}</details>')
    head = _HEAD.format(
        title=_TITLE,
        n=len(names),
        names=html.escape(", ".join(names)),
        status="\n".join(lines),
    )
    with gr.Blocks(
        title=_TITLE, analytics_enabled=False, delete_cache=(_CACHE_AGE_S, _CACHE_AGE_S)
    ) as page:
        gr.HTML(head, elem_id="head")
        with gr.Tab("Live"):
            build_live_tab(pipeline)
        with gr.Tab("Photo"):
            build_photo_tab(pipeline)
        with gr.Tab("Video"):
            build_video_tab(pipeline)
        if any(example.kind == "picture" for example in list_examples()):
            with gr.Tab("Examples"):
                build_examples_tab(pipeline)
        limit = max_video_minutes()
        minutes = "of any length" if limit is None else f"{limit:g} minutes"
        gr.HTML(_NOTICE.format(minutes=minutes), elem_id="notice")
    return page


def _offers_mcp() -> bool:
    """Whether FER_MCP asks for a Model Context Protocol server and there is one to have."""
    if os.environ.get("FER_MCP") != "1":
        return False
    if importlib.util.find_spec("mcp") is None:
        log.warning('FER_MCP is ignored, because it needs a package: pip install "mcp<2"')
        return False
    return True


def launch(page: gr.Blocks, **options: Any) -> Any:
    """Serve `page`; `options` go to `gradio.Blocks.launch`.

    Raises:
        InputError: the port that was asked for is taken.
    """
    page.queue(max_size=64)
    try:
        return _launch(page, **options)
    except OSError as error:
        raise InputError(f"the page must have a port that is free. Received: {error}") from error


def _launch(page: gr.Blocks, **options: Any) -> Any:
    return page.launch(
        theme=gr.themes.Soft(
            primary_hue="teal", font=_FONTS, font_mono=("ui-monospace", "monospace")
        ),
        css=_CSS,
        max_file_size=_MAX_FILE_SIZE,
        app_kwargs={"middleware": [Middleware(BodyLimit, max_bytes=_MAX_BODY_BYTES)]},
        run_history=False,
        # Nothing of a visitor lives in a session; names that nobody comes back to are let go.
        state_session_capacity=_MAX_SESSIONS,
        ssr_mode=False,
        mcp_server=_offers_mcp(),
        footer_links=["api"],
        # Where a person started it, not where a Space or a test did.
        **{"inbrowser": sys.stdout.isatty(), **options},
    )
