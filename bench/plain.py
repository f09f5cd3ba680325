"""The way most pages do it: pictures up, annotated pictures down, `gr.Image(streaming=True)`.

The same pipeline as the page; FER_PLAIN_FORMAT and FER_PLAIN_EVERY (seconds) are Gradio's own
settings. Each answer adds a byte to the file FER_PLAIN_COUNT.
"""

import os

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from fer import annotate
from fer.settings import Settings
from fer.web.server.start import start_pipeline

pipeline, _ = start_pipeline(Settings.from_env())


def answer(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the faces on a frame."""
    picture = annotate(frame, pipeline(frame))
    with open(os.environ["FER_PLAIN_COUNT"], "ab") as file:  # noqa: PTH123
        file.write(b".")
    return picture


with gr.Blocks(analytics_enabled=False) as page:
    camera = gr.Image(sources=["webcam"], streaming=True, elem_id="camera")
    result = gr.Image(format=os.environ["FER_PLAIN_FORMAT"], elem_id="result")
    camera.stream(
        answer, camera, result, stream_every=float(os.environ["FER_PLAIN_EVERY"]), time_limit=600
    )

page.launch(ssr_mode=False)
