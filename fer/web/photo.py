"""The Photo tab, and the view of a result that the Examples tab shares."""

import base64
import html
import io
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer.annotate import annotate, class_color
from fer.crop import crop_faces
from fer.errors import FerError
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.preprocess import resize
from fer.serialize import to_dict
from fer.types import FrameResult
from fer.web.icons import icon_svg

__all__ = ["PhotoInput", "ResultView", "analyse_file", "build_photo_tab"]

log = logging.getLogger(__name__)

_SHOWN_LONG_SIDE_PX = 2048
_THUMBNAIL_PX = 96
_WAITING = '<p class="fer-message">The result appears here.</p>'

Outputs = tuple[NDArray[np.uint8] | None, str, dict[str, Any] | None]


class PhotoInput(gr.Image):  # type: ignore[misc]
    """An image input that hands over the uploaded file unopened.

    `gr.Image` decodes with Pillow first, where a broken or enormous file ends in a stack
    trace; `fer.image` says what is wrong instead.
    """

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        """The path of the uploaded file, None when the input was cleared."""
        return None if payload is None else payload.path


@dataclass(frozen=True)
class ResultView:
    """The components that show one result."""

    picture: gr.Image
    faces: gr.HTML
    data: gr.JSON

    @classmethod
    def build(cls) -> "ResultView":
        """Create them; must be called inside a `gr.Blocks`."""
        picture = gr.Image(
            label="Faces found",
            show_label=False,
            format="jpeg",
            interactive=False,
            buttons=["download", "fullscreen"],
        )
        faces = gr.HTML(_WAITING)
        with gr.Accordion("JSON", open=False):
            data = gr.JSON(show_label=False)
        return cls(picture, faces, data)

    @property
    def components(self) -> list[Any]:
        """In the order of the outputs of `analyse_file`."""
        return [self.picture, self.faces, self.data]


def _data_url(image: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _bars(names: tuple[str, ...], probs: NDArray[np.float32]) -> str:
    rows = []
    for i, (name, p) in enumerate(zip(names, probs, strict=True)):
        rows.append(
            f'<div class="fer-bar"><span>{html.escape(name)}</span>'
            f'<span class="track"><span class="fill" style="width:{100 * p:.1f}%;'
            f'background:{class_color(i)}"></span></span>'
            f'<span class="percent">{100 * p:.0f} %</span></div>'
        )
    return "".join(rows)


def _cards(result: FrameResult, crops: list[NDArray[np.uint8]]) -> str:
    if not len(result.faces) or result.faces.probs is None:
        return (
            '<p class="fer-message">No face was found. Faces work best when they are large, lit, '
            "and turned towards the camera.</p>"
        )
    cards = []
    rows = zip(result.faces.probs, result.labels, result.uncertain, crops, strict=True)
    for i, (probs, label, uncertain, crop) in enumerate(rows, 1):
        small = resize(crop, _THUMBNAIL_PX, _THUMBNAIL_PX)
        title = f"uncertain: {label}?" if uncertain else label
        cards.append(
            f'<div class="fer-card"><div class="fer-card-head">'
            f'<img src="{_data_url(small)}" alt="Face {i}">'
            f"{icon_svg(label)}<span>{html.escape(title)}"
            f"<small>face {i} of {len(crops)}</small></span></div>"
            f"{_bars(result.class_names, probs)}</div>"
        )
    return f'<div class="fer-cards">{"".join(cards)}</div>'


def analyse_file(pipeline: Pipeline, path: str | Path | None) -> Outputs:
    """Analyse a picture file for the page: picture, face cards, JSON.

    A file that cannot be used gives a message in the place of the cards.
    """
    if path is None:
        return None, _WAITING, None
    try:
        frame = read_image(path)
        result = pipeline(frame)
        crops = crop_faces(frame, result.faces, pipeline.classifier.config)
        return annotate(*_shrink(frame, result)), _cards(result, crops), to_dict(result)
    except FerError as error:
        log.info("picture refused: %s", error)
        message = str(error)
    except Exception:
        # A visitor gets a sentence, the log gets the trace.
        log.exception("picture failed")
        message = "This picture could not be analysed."
    text = f'<p class="fer-error" role="alert">{html.escape(message)}</p>'
    return None, text, {"error": message}


def _shrink(frame: NDArray[np.uint8], result: FrameResult) -> tuple[NDArray[np.uint8], FrameResult]:
    """Frame and boxes at a size for the screen, so that what is drawn can be read there."""
    height, width = frame.shape[:2]
    scale = _SHOWN_LONG_SIDE_PX / max(height, width)
    if scale >= 1:
        return frame, result
    size = max(1, round(width * scale)), max(1, round(height * scale))
    faces = replace(result.faces, xyxy=result.faces.xyxy * scale, landmarks=None)
    return resize(frame, *size), replace(result, faces=faces, frame_size=size)


def build_photo_tab(pipeline: Pipeline) -> None:
    """Upload, paste or shoot a picture; must be called inside a `gr.Blocks`."""

    def predict_image(image: str | None) -> Outputs:
        """Find every face of a picture and the probabilities of its apparent expression."""
        return analyse_file(pipeline, image)

    with gr.Row():
        with gr.Column(min_width=320):
            photo = PhotoInput(
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                label="Picture",
                elem_id="photo-input",
                webcam_options=gr.WebcamOptions(mirror=False),
            )
        with gr.Column(min_width=320):
            view = ResultView.build()
    photo.input(
        predict_image,
        photo,
        view.components,
        api_name="predict_image",
        show_progress_on=[view.picture],
        concurrency_limit=2,
    )
