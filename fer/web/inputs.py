"""Components for uploads, which pass the file on unopened.

Gradio's own open it: a broken or enormous picture ends in a stack trace there, each video leaves
an empty file behind. `fer.image` and `fer.media` say what is wrong instead.
"""

from typing import Any

import gradio as gr
from gradio.blocks import Block

__all__ = ["PhotoInput", "Recorder", "VideoInput"]


class _Sent(Block):  # type: ignore[misc]
    """Mixin that accepts uploads only, no URLs.

    Gradio would load a file of any size into memory for a client that names its URL. The
    component is the first base of its class, which Gradio takes its name from.
    """

    is_template = True

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Return the path of a file in Gradio's folder."""
        if str(url_or_file_path).lower().startswith(("http://", "https://")):
            raise gr.Error(
                "Upload by URL is disabled. Upload the file instead.", print_exception=False
            )
        path: str | None = await super().async_move_resource_to_block_cache(url_or_file_path)
        return path


def _path_of(_: Any, payload: Any) -> str | None:
    """Return the path of the uploaded file; None when the input was cleared."""
    return None if payload is None else payload.path


class PhotoInput(gr.Image, _Sent):  # type: ignore[misc]
    """Component for a picture."""

    preprocess = _path_of


class VideoInput(gr.File, _Sent):  # type: ignore[misc]
    """Component for a video."""

    preprocess = _path_of


class Recorder(gr.Video, _Sent):  # type: ignore[misc]
    """Component to record a video with the camera."""

    preprocess = _path_of
