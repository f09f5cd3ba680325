"""Build the Photo tab."""

from typing import Any

import gradio as gr

from fer.pipeline import Pipeline
from fer.web.inputs import PhotoInput
from fer.web.photo.view import Pictures, build_picture_view
from fer.web.server.assets import Assets

__all__ = ["build_photo_tab"]


def build_photo_tab(pipeline: Pipeline, pictures: Pictures, assets: Assets) -> None:
    """Build the tab to upload, paste or shoot a picture; must be called inside a `gr.Blocks`."""
    photo = PhotoInput(
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        label="Picture",
        show_label=False,
        buttons=[],
        height=160,
        elem_id="photo-input",
        webcam_options=gr.WebcamOptions(mirror=False),
    )
    view = build_picture_view(pipeline, assets, "photo", "photo-input")

    async def show(image: str | None, request: gr.Request) -> Any:
        if image is None:  # the visitor went from upload to camera
            return gr.skip()
        # The view shows a copy of the picture, so the input is ready for the next one.
        return await pictures.show(request, image), None

    photo.input(
        show,
        photo,
        [view, photo],
        api_visibility="private",
        show_progress_on=[view],
        concurrency_limit=None,
        trigger_mode="multiple",  # "once" would drop a picture that comes before the last answer
    )
