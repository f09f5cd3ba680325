"""Build the Photo tab."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from fer.pipeline import Pipeline
from fer.web.examples.compare import Comparison
from fer.web.inputs import PhotoInput
from fer.web.photo.view import Pictures, build_picture_view
from fer.web.server.assets import Assets

__all__ = ["build_photo_tab"]


def build_photo_tab(
    pipeline: Pipeline,
    pictures: Pictures,
    assets: Assets,
    engine: Mapping[str, Any] | None,
    comparison: Comparison | None = None,
    tries: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Build the tab to choose, paste or shoot a picture; must be called inside a `gr.Blocks`.

    Args:
        pipeline: explains the faces.
        pictures: analyses what the visitor's device does not.
        assets: serve the page's modules.
        engine: see `build_picture_view`.
        comparison: with other models; None without any.
        tries: see `build_picture_view`.
    """
    # Hidden: the view has the buttons, and hands it what the server shall analyse.
    photo = PhotoInput(
        sources=["upload"],
        type="filepath",
        show_label=False,
        buttons=[],
        elem_id="photo-input",
        visible="hidden",
    )
    view = build_picture_view(pipeline, assets, "photo", engine, "photo-input", tries)
    if comparison is not None:
        comparison.build("photo-compare", "photo", at_click=True)

    async def show(image: str | None, request: gr.Request) -> Any:
        if image is None:
            return gr.skip()
        # The view shows a copy of the picture, so the input is ready for the next one.
        return await pictures.show(request, image), None

    photo.input(
        show,
        photo,
        [view, photo],
        api_visibility="private",
        show_progress="hidden",  # the view tells of it, and its buttons stay in reach
        concurrency_limit=None,
        trigger_mode="multiple",  # "once" would drop a picture that comes before the last answer
    )
