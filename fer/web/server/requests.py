"""Read untrusted requests, and write the answers to those that fail."""

import base64
import logging
import math
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from fer.errors import FerError, InputError
from fer.image import read_picture
from fer.jpeg import drop_metadata
from fer.web.server.calls import NAME
from fer.web.server.jobs import JPEG_URL
from fer.web.server.queue import FairQueue, Refused
from fer.web.server.traffic import traffic

__all__ = [
    "MAX_CHARS",
    "MAX_PIXELS",
    "answer_error",
    "answer_queued",
    "decode_frame",
    "error_data",
    "find_host",
    "refused_data",
]

log = logging.getLogger(__name__)

# A 640 x 480 frame at the quality that the page sends is under 100 kB of text.
MAX_CHARS = 700_000
MAX_PIXELS = 1280 * 1280
# A frame is decoded in the page's own process, so its limit is lower than that of files.
_MAX_SCANS = 20


def decode_frame(url: object) -> NDArray[np.uint8]:
    """Decode the frame (H, W, 3) uint8 RGB in a data URL "data:image/jpeg;base64,..."; untrusted.

    Raises:
        InputError: not of that form, too long, too large, or no JPEG.
    """
    if not isinstance(url, str) or not url.startswith(JPEG_URL):
        raise InputError(f"`image` must be a text that starts with {JPEG_URL}")
    if len(url) > MAX_CHARS:
        raise InputError(f"`image` must be under {MAX_CHARS} characters. Received: {len(url)}")
    try:
        content = base64.b64decode(url[len(JPEG_URL) :], validate=True)
    except ValueError as error:
        raise InputError(f"`image` must be base64: {error}") from error
    picture = read_picture(
        drop_metadata(content), MAX_PIXELS, ("JPEG",), max_scans=_MAX_SCANS, strict=True
    )
    return picture.frame


def find_host(request: gr.Request | None) -> str:
    """Return the address of the client, which a trusted proxy may name."""
    client = None if request is None else request.client
    return "" if client is None else str(client.host)


def _find_visitor(name: object, host: str) -> tuple[str, str | None]:
    """Return the key by which the calls of one visitor are queued.

    All calls without a name from one address are one visitor.

    Args:
        name: chosen by the visitor's browser; untrusted.
        host: where the call comes from.
    """
    known = isinstance(name, str) and NAME.fullmatch(name) is not None
    return host, str(name) if known else None


def error_data(code: str, message: str, **more: Any) -> dict[str, Any]:
    """Return the error that every endpoint answers, with more fields next to code and message."""
    return {"error": {"code": code, "message": message, **more}}


def refused_data(refusal: Refused, sentences: dict[str, str]) -> dict[str, Any]:
    """Return the answer to a refused call, with the message for its code from `sentences`."""
    more = {}
    if refusal.code == "busy":
        more["retry_after_ms"] = math.ceil(1000 * refusal.retry_after_s)
    return error_data(refusal.code, sentences[refusal.code], **more)


async def answer_queued(
    queue: FairQueue[dict[str, Any]],
    kind: str,
    visitor: object,
    host: str,
    call: Callable[[float], dict[str, Any]],
    sentences: dict[str, str],
) -> dict[str, Any]:
    """Run `call(seconds waited)` in the queue and count it; return its answer or the refusal.

    Args:
        queue: in which it waits.
        kind: of the call, one of `fer.web.server.traffic.KINDS`.
        visitor: as sent with the call.
        host: where the call comes from.
        call: makes the answer and never raises.
        sentences: for `refused_data`.
    """
    with traffic.call(kind) as count:
        try:
            data = await queue.run(_find_visitor(visitor, host), host, call)
        except Refused as refusal:
            data = refused_data(refusal, sentences)
        count.take(data)
    return data


def answer_error(error: Exception, what: str, code: str, sorry: str) -> dict[str, Any]:
    """Log an error and return the answer to the call that raised it.

    Args:
        error: what was raised: a `FerError` says what is wrong with what was sent, any other
            is a mistake of ours.
        what: the log calls it, such as "picture".
        code: of a `FerError`; any other is "internal".
        sorry: a sentence for any other, which tells no details.
    """
    if isinstance(error, FerError):
        # Its message may hold what the visitor sent; refusals are counted.
        log.debug("%s refused: %s", what, code)
        return error_data(code, str(error)[:500])
    log.error("%s failed", what, exc_info=error)
    return error_data("internal", sorry)
