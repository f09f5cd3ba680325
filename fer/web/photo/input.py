"""The component that takes a picture in."""

from typing import Any

import gradio as gr

__all__ = ["PhotoInput"]


class PhotoInput(gr.Image):  # type: ignore[misc]
    """An image input that hands over the uploaded file unopened.

    `gr.Image` decodes with Pillow first, where a broken or enormous file ends in a stack
    trace; `fer.image` says what is wrong instead.
    """

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        """The path of the uploaded file, None when the input was cleared."""
        return None if payload is None else payload.path
