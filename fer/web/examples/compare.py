"""Compare what other models say of one face, on the Examples and the Photo tab.

The browser sends the crop of the face that is chosen, and has the answer of the page's own model
already; any copy of the server can answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from fer.gallery import Entry, Gallery, Model, Models
from fer.pipeline import Pipeline
from fer.web.icons import class_props
from fer.web.server import jobs
from fer.web.server.assets import Assets
from fer.web.server.queue import FairQueue, RateLimit
from fer.web.server.requests import (
    answer_error,
    answer_queued,
    decode_frame,
    error_data,
    find_host,
)

__all__ = ["Comparison", "compare_crop", "make_compare_face"]

_HERE = Path(__file__).parent
# Files of a checkout are read in less; those of a Hub may take longer.
_LOADING_S = 20.0
_NOT_YET = "The other models are still loading. Try again in a moment."
# Eight models take a tenth of a second of one core for a face; the other is left to the stream.
# The crop is a JPEG that `decode_frame` bounds as a live frame.
_N_AT_WORK = 1
_MAX_WAITING = 32
_PATIENCE_S = 15.0
_REFUSALS = {
    "busy": "The server is busy. Try again in a moment.",
    "stale": "Another face was chosen, or this one waited too long.",
}
_SORRY = "The other models failed."

CompareFace = Callable[[Any, str], Awaitable[dict[str, Any]]]


def compare_crop(crop: NDArray[np.uint8], models: Models) -> dict[str, Any]:
    """Return what each model says of a face, for fer/web/examples/compare.js.

    Args:
        crop: (H, W, 3) uint8 RGB, framed as `fer.crop` does.
        models: that are asked.

    Returns:
        `own`, what is told of the page's own model, None where nothing is; `others`, of each model
        the same and `probs` by class, `label` and `uncertain`; `missing`, the titles of those that
        are unavailable. What is told are `title`, `idea`, `top1` and `n_classes`.
    """
    return {
        "own": None if models.flagship is None else _tell(models.flagship),
        "others": [_ask(model, crop) for model in models.models],
        "missing": [entry.title for entry in models.missing],
    }


def _tell(entry: Entry) -> dict[str, Any]:
    return {key: getattr(entry, key) for key in ("title", "idea", "top1", "n_classes")}


def _ask(model: Model, crop: NDArray[np.uint8]) -> dict[str, Any]:
    config = model.classifier.config
    (probs,) = model.classifier([crop]).tolist()
    best = max(probs)
    return {
        **_tell(model.entry),
        "probs": dict(zip(config.class_names, probs, strict=True)),
        "label": config.class_names[probs.index(best)],
        "uncertain": best < config.uncertain_below,
    }


def make_compare_face(gallery: Gallery, max_per_minute: int | None = None) -> CompareFace:
    """Make the function that compares a face: a request and its host in, `compare_crop`'s data out.

    The request {"crop", "visitor"} is untrusted. It never raises: the answer may be `error`
    with `code`, which is "bad_request", "busy", "stale" or "internal", and `message`. The models
    are loaded at its first call, before it is queued, so that a slow Hub holds up nobody.

    Args:
        gallery: of the models.
        max_per_minute: faces of one client network; None for any number.
    """
    queue: FairQueue[dict[str, Any]] = FairQueue(
        _N_AT_WORK, _MAX_WAITING, _PATIENCE_S, rate=RateLimit(max_per_minute)
    )

    def answer(request: object, models: Models) -> dict[str, Any]:
        try:
            if not isinstance(request, dict):
                raise InputError("a request must be an object with crop")
            crop = jobs.shrink(decode_frame(request.get("crop")), jobs.CROP_PX)
            return compare_crop(crop, models)
        except Exception as error:
            return answer_error(error, "comparison", "bad_request", _SORRY)

    async def compare_face(request: Any, host: str) -> dict[str, Any]:
        attempt = gallery.begin()
        if gallery.models is None:
            await asyncio.wait([asyncio.wrap_future(attempt)], timeout=_LOADING_S)
        models = gallery.models
        if models is None:
            return error_data("busy", _NOT_YET)
        visitor = request.get("visitor") if isinstance(request, dict) else None
        return await answer_queued(
            queue, "comparison", visitor, host, lambda _: answer(request, models), _REFUSALS
        )

    return compare_face


class Comparison:
    """Build the components of a page that compare the face chosen in a view.

    Args:
        pipeline: of the page.
        gallery: of the other models.
        assets: serve the page's modules.
        engine: see `fer.web.photo.view.build_picture_view`.
        max_per_minute: see `make_compare_face`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        gallery: Gallery,
        assets: Assets,
        engine: Mapping[str, Any] | None,
        max_per_minute: int | None = None,
    ) -> None:
        config = pipeline.classifier.config
        self._assets = assets
        self._props = {
            **class_props(config.class_names),
            "uncertain_below": config.uncertain_below,
            "n_others": gallery.count(),
            "engine": engine,
        }
        self._compare_face = make_compare_face(gallery, max_per_minute)

    def build(
        self,
        elem_id: str,
        view_id: str,
        *,
        at_click: bool = False,
        expressions: Mapping[str, str] | None = None,
    ) -> gr.HTML:
        """Build one of them; must be called inside a `gr.Blocks`.

        Args:
            elem_id: its name in the page.
            view_id: that of a `build_picture_view`.
            at_click: whether the face is the visitor's own: it is sent at a click alone, and
                never by who chose this device.
            expressions: that were set, by the name of the picture without its ending.
        """

        async def compare(data: Any, request: gr.Request) -> dict[str, Any]:
            return await self._compare_face(data, find_host(request))

        return gr.HTML(
            html_template=_read("compare.html"),
            css_template=_read("compare.css"),
            js_on_load=self._assets.start_script("examples/compare.js"),
            server_functions=[compare],
            apply_default_css=False,
            elem_id=elem_id,
            view_id=view_id,
            at_click=at_click,
            expressions=dict(expressions or {}),
            **self._props,
        )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
