"""Compare other models on the picture of an example, below its result.

The server compares every face of the picture, so that the browser shows another one without
asking: the one that is chosen in the view of the result.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import gradio as gr

from fer.gallery import Gallery
from fer.web.examples.side_by_side import message_html
from fer.web.photo.view import Pictures
from fer.web.server.assets import Assets

__all__ = ["build_comparison", "make_compare"]

_HERE = Path(__file__).parent
# Files of a checkout are read in less; those of a Hub may take longer.
_PATIENCE_S = 20.0
_WAIT = "Loading the other models ..."
_NOT_YET = "The other models are still loading. Click the picture again in a moment."
_SORRY = "The other models failed."

Compare = Callable[[Path, str, gr.Request | None], AsyncIterator[str]]


def make_compare(gallery: Gallery, pictures: Pictures) -> Compare:
    """Make the function behind a click on an example: path, caption and request in, HTML out.

    The last HTML stays; a message that it takes a while may come before. It never raises.
    The models are loaded at its first call, before it is queued, so
    that a slow Hub holds up nobody.

    Args:
        gallery: of the models.
        pictures: the queue of pictures.
    """

    async def compare(path: Path, caption: str, request: gr.Request | None) -> AsyncIterator[str]:
        attempt = gallery.begin()
        if gallery.models is None:
            yield message_html(_WAIT)
            await asyncio.wait([asyncio.wrap_future(attempt)], timeout=_PATIENCE_S)
        models = gallery.models
        if models is None:
            yield message_html(_NOT_YET)
            return
        if not models.models:
            yield ""
            return
        data = await pictures.compare(request, path, models, caption)
        if error := data.get("error"):
            # Of a picture that cannot be read the view above speaks.
            told = {"bad_image": "", "internal": _SORRY}
            yield message_html(told.get(error["code"], error["message"]))
        else:
            yield str(data["html"])

    return compare


def build_comparison(
    gallery: Gallery, pictures: Pictures, assets: Assets, view_id: str
) -> tuple[gr.HTML, Compare]:
    """Build the component that shows a comparison; return it with `make_compare`'s function.

    Must be called inside a `gr.Blocks`.

    Args:
        gallery: as for `make_compare`.
        pictures: as for `make_compare`.
        assets: serve the page's modules.
        view_id: name in the page of the `build_picture_view` whose chosen face is shown.
    """
    shown = gr.HTML(
        css_template=(_HERE / "compare.css").read_text(encoding="utf-8"),
        js_on_load=assets.start_script("examples/compare.js"),
        apply_default_css=False,
        elem_id="compare",
        view_id=view_id,
    )
    return shown, make_compare(gallery, pictures)
