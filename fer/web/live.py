"""The Live tab: the video stays in the browser, small frames go up, JSON comes down."""

import base64
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import gradio as gr

from fer.annotate import class_color
from fer.errors import ImageError, InputError
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.serialize import to_dict

__all__ = ["build_live_tab", "decode_frame", "make_live_frame"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PREFIX = "data:image/jpeg;base64,"
# A 640 x 480 frame at the quality that the page sends is under 100 kB of text.
_MAX_CHARS = 700_000
_MAX_PIXELS = 1280 * 1280
# Two cores, two frames at work; the others wait in order of arrival. A queue of more than
# a few seconds would only bring stale answers, so beyond it the page is asked to wait.
_N_AT_WORK = 2
_MAX_WAITING = 32
_RETRY_AFTER_MS = 500


def decode_frame(data: object) -> Any:
    """The frame in a request {"image": "data:image/jpeg;base64,..."}; checked, untrusted.

    Raises:
        InputError: not of that form, too long, too large, or no JPEG.
    """
    url = data.get("image") if isinstance(data, dict) else None
    if not isinstance(url, str) or not url.startswith(_PREFIX):
        raise InputError(f"a frame must be {{'image': '{_PREFIX}...'}}")
    if len(url) > _MAX_CHARS:
        raise InputError(f"a frame must be under {_MAX_CHARS} characters. Received: {len(url)}")
    try:
        content = base64.b64decode(url[len(_PREFIX) :], validate=True)
    except ValueError as error:
        raise InputError(f"a frame must be base64: {error}") from error
    return read_image(content, max_pixels=_MAX_PIXELS, formats=("JPEG",))


def make_live_frame(pipeline: Pipeline) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    """The server function behind the page: one frame in, its faces out.

    Never raises: a frame that cannot be used is answered with {"error": {"code",
    "message"}}, where `code` is "bad_frame", "busy" (with `retry_after_ms`) or
    "internal".
    """
    limiter = anyio.CapacityLimiter(_N_AT_WORK)

    def answer(data: object) -> dict[str, Any]:
        try:
            return to_dict(pipeline(decode_frame(data)))
        except (ImageError, InputError) as error:
            log.info("live frame refused: %s", error)
            return {"error": {"code": "bad_frame", "message": str(error)}}
        except Exception:
            # One broken frame must not end a visitor's stream.
            log.exception("live frame failed")
            return {"error": {"code": "internal", "message": "this frame could not be analysed"}}

    async def live_frame(data: Any) -> dict[str, Any]:
        if limiter.statistics().tasks_waiting >= _MAX_WAITING:
            message = "many visitors at once, trying again in a moment"
            return {
                "error": {"code": "busy", "message": message, "retry_after_ms": _RETRY_AFTER_MS}
            }
        return await anyio.to_thread.run_sync(answer, data, limiter=limiter)

    return live_frame


def build_live_tab(pipeline: Pipeline) -> gr.HTML:
    """The webcam view; must be called inside a `gr.Blocks`."""
    config = pipeline.classifier.config
    return gr.HTML(
        html_template=(_HERE / "live.html").read_text(encoding="utf-8"),
        css_template=(_HERE / "live.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "live.js").read_text(encoding="utf-8"),
        server_functions=[make_live_frame(pipeline)],
        apply_default_css=False,
        elem_id="live",
        class_names=list(config.class_names),
        class_colors=[class_color(i) for i in range(len(config.class_names))],
    )
