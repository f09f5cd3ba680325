"""Build the Examples tab: a click on a picture shows its result and those of other models."""

import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from fer.errors import FerError
from fer.gallery import Gallery
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.preprocess import resize
from fer.web.examples.compare import build_comparison
from fer.web.examples.files import Example
from fer.web.photo.view import Pictures, build_picture_view
from fer.web.server.assets import Assets
from fer.web.server.requests import error_data
from fer.web.server.traffic import traffic

__all__ = ["build_examples_tab"]

log = logging.getLogger(__name__)

# Twice as wide as the widest place in the gallery.
_THUMBNAIL_PX = 384
# The gallery is longer than a screen, and on a phone the result is below it.
_LOOK = """() => {
  const view = document.querySelector("#example");
  const { top } = view.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) view.scrollIntoView();
}"""


def _thumbnail(path: Path) -> NDArray[np.uint8] | None:
    """Return a picture at the size of the gallery; None where it cannot be read."""
    try:
        frame = read_image(path)
    except FerError as error:
        log.warning("example left out: %s", error)
        return None
    height, width = frame.shape[:2]
    scale = min(1.0, _THUMBNAIL_PX / min(height, width))
    return resize(frame, max(1, round(width * scale)), max(1, round(height * scale)))


def _read_pictures(examples: Iterable[Example]) -> list[tuple[Example, NDArray[np.uint8]]]:
    """Return the readable pictures among the examples, with the thumbnail of each."""
    pictures = [example for example in examples if example.kind == "picture"]
    thumbnails = [(example, _thumbnail(example.path)) for example in pictures]
    return [(example, small) for example, small in thumbnails if small is not None]


def build_examples_tab(
    pipeline: Pipeline,
    pictures: Pictures,
    assets: Assets,
    examples: Iterable[Example],
    others: Gallery | None = None,
) -> None:
    """Build a gallery over the view of a result; must be called inside a `gr.Blocks`.

    Args:
        pipeline: of the page.
        pictures: analyses the pictures.
        assets: serve the page's modules.
        examples: of which the pictures are shown.
        others: models to compare on each picture.
    """
    shown = _read_pictures(examples)

    async def show_example(event: gr.SelectData, request: gr.Request) -> tuple[Any, int | None]:
        index = event.index
        if not (type(index) is int and 0 <= index < len(shown)):
            with traffic.call("picture") as call:
                answer = error_data("bad_image", "There is no such example.")
                call.take(answer)
            return answer, None
        return await pictures.show(request, shown[index][0].path), index

    gr.Markdown(
        "Click a picture. The people are rendered, not real; the captions say which expression "
        "was set, and age and tone on the Monk Skin Tone scale. The model, which learned from "
        "photographs, often takes the expression for another. The astronaut is Eileen Collins "
        "(NASA)." + (" Below the result, other models classify the same face." if others else "")
    )
    with gr.Row():
        with gr.Column(min_width=320):
            gallery = gr.Gallery(
                [(small, example.caption) for example, small in shown],
                show_label=False,
                format="jpeg",
                columns=4,
                height="auto",
                object_fit="cover",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="examples-gallery",
            )
        with gr.Column(min_width=320):
            view = build_picture_view(pipeline, assets, "example")
    if others is not None:
        compared, compare = build_comparison(others, pictures, assets, "example")
    chosen = gr.Number(visible=False, precision=0)
    picked = gallery.select(
        show_example,
        None,
        [view, chosen],
        api_visibility="private",
        show_progress_on=[view],
        concurrency_limit=None,
    )
    picked.then(None, None, None, js=_LOOK, api_visibility="private")
    if others is None:
        return

    async def compare_example(index: int | None, request: gr.Request) -> AsyncIterator[str]:
        if index is None or not 0 <= index < len(shown):
            return
        example = shown[index][0]
        async for text in compare(example.path, example.caption, request):
            yield text

    picked.then(
        compare_example,
        chosen,
        compared,
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=None,
        trigger_mode="always_last",  # the picture that was clicked last is the one that is shown
    )
