"""The Photo tab, and the view of a picture's result that the Examples tab shares.

A picture is analysed in one call; `show_picture` gives the browser all of it. What a visitor
then looks at, which face and how near, is known to the browser alone. For the explanation of
a face the browser sends its crop back, so any copy of the server can answer.
"""

import base64
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from numpy.typing import NDArray
from PIL import Image

from fer.annotate import annotate
from fer.crop import crop_faces
from fer.errors import InputError
from fer.explain import explain, overlay
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.preprocess import resize
from fer.serialize import to_dict, to_rows
from fer.table import TableWriter, face_schema
from fer.types import FrameResult
from fer.web.admission import Admission, RateLimit, Refused, max_per_minute
from fer.web.icons import FACE_SCRIPT, class_props
from fer.web.inputs import PhotoInput
from fer.web.requests import (
    JPEG_URL,
    answer_error,
    decode_frame,
    find_host,
    find_visitor,
    refused_data,
)
from fer.web.traffic import traffic
from fer.web.uploads import uploads

__all__ = [
    "annotate_picture",
    "answer_in_turn",
    "build_photo_tab",
    "build_picture_view",
    "make_explain_face",
    "make_line",
    "show_picture",
]

_HERE = Path(__file__).parent
# One scope in the browser, after face.js and in this order.
_SCRIPTS = ("zoom.js", "photo.js")
# Sharp at four times the size that a screen shows at once, and quickly there.
_SHOWN_LONG_SIDE_PX = 2048
# Four times the detail that the network sees; forty of them make 300 kB.
_CROP_PX = 192
_JPEG_QUALITY = 90
# Two cores, two pictures at work.
_N_PICTURES_AT_WORK = 2
_MAX_PICTURES_WAITING = 64
_PICTURE_PATIENCE_S = 60.0
_PICTURE_REFUSALS = {
    "busy": "Many pictures are looked at right now. Send this one again in a moment.",
    "stale": "This picture waited too long. Send it again.",
}
# An explanation takes a quarter of a second of one core; the other is left to the stream.
_N_AT_WORK = 1
_MAX_WAITING = 32
_PATIENCE_S = 15.0
_REFUSALS = {
    "busy": "Many people are here right now. Choose the face again in a moment.",
    "stale": "Another face was chosen meanwhile, or this one waited too long.",
}

ExplainFace = Callable[[Any, str], Awaitable[dict[str, Any]]]
_Answer = tuple[str | None, dict[str, Any]]


def _problem(error: Exception) -> dict[str, Any]:
    """What a visitor or a program is told of an error."""
    return answer_error(error, "picture", "bad_image", "This picture could not be analysed.")


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _data_url(image: NDArray[np.uint8]) -> str:
    return JPEG_URL + base64.b64encode(_jpeg(image)).decode()


def _shrink(image: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, long_side_px / max(height, width))
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))


def _cached(image: NDArray[np.uint8], name: str) -> dict[str, Any]:
    """The picture as a file of Gradio's cache, in the form in which Gradio serves it."""
    path = save_bytes_to_cache(_jpeg(image), name, get_upload_folder())
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def _csv(result: FrameResult) -> str:
    buffer = io.BytesIO()
    with TableWriter(buffer, face_schema(result.class_names), "csv") as table:
        table.write(to_rows(result))
    return buffer.getvalue().decode()


def show_picture(pipeline: Pipeline, path: str | Path) -> dict[str, Any]:
    """Analyse a picture file for the component of `build_picture_view`.

    Returns:
        `name` of the file without its ending; `shown`, the picture at a size for the
        screen, and `annotated`, at its own size with boxes, both files of Gradio's cache;
        `crops`, one data URL a face; `data` as `fer.to_dict`; `csv`, its text. Or `error`
        with `code` and `message`.
    """
    name = Path(path).stem or "picture"
    try:
        frame = read_image(path)
        result = pipeline(frame)
        crops = crop_faces(frame, result.faces, pipeline.classifier.config)
        return {
            "name": name,
            "shown": _cached(_shrink(frame, _SHOWN_LONG_SIDE_PX), f"{name}.jpg"),
            "annotated": _cached(annotate(frame, result), f"{name}_expressions.jpg"),
            "crops": [_data_url(_shrink(crop, _CROP_PX)) for crop in crops],
            "data": to_dict(result),
            "csv": _csv(result),
        }
    except Exception as error:
        return _problem(error)


def annotate_picture(pipeline: Pipeline, path: str | None) -> _Answer:
    """Analyse a picture file for a program.

    Returns:
        The path of the picture at its own size with boxes, in Gradio's cache, and
        `fer.to_dict` of the result. Or None and {"error": {"code", "message"}}.
    """
    try:
        if path is None:
            raise InputError("`image` must be a picture. Received: None")
        frame = read_image(path)
        result = pipeline(frame)
        file = _cached(annotate(frame, result), f"{Path(path).stem}_expressions.jpg")
        return file["path"], to_dict(result)
    except Exception as error:
        return None, _problem(error)


def make_line() -> Admission[_Answer]:
    """Where pictures wait for their turn."""
    return Admission(
        _N_PICTURES_AT_WORK,
        _MAX_PICTURES_WAITING,
        _PICTURE_PATIENCE_S,
        rate=RateLimit(max_per_minute()),
    )


async def answer_in_turn(
    line: Admission[_Answer],
    request: gr.Request | None,
    path: str | None,
    call: Callable[[], _Answer],
) -> _Answer:
    """What `call()` answers when it is its turn, or None and why it was not called.

    Args:
        line: where it waits.
        request: where it comes from.
        path: of the picture; where a visitor sent it, it is gone afterwards.
        call: gives a file and the answer's data.
    """
    with traffic.call("picture") as count, uploads.claim(path):
        try:
            answer = await line.run(object(), find_host(request), lambda _: call())
        except Refused as refusal:
            answer = None, refused_data(refusal, _PICTURE_REFUSALS)
        count.take(answer[1])
    return answer


def _read_class(value: object, n_classes: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < n_classes:
        return value
    raise InputError(f"`class_index` must be 0..{n_classes - 1}")


def make_explain_face(pipeline: Pipeline) -> ExplainFace:
    """The function behind a click on a face: its crop in, its explanation map out.

    Its arguments are a request {"crop", "class_index", "visitor"}, untrusted, and the host
    that it came from. It never raises: the answer is `map`, a data URL, and by how much
    covering a part of the face `lowers` and `raises` the probability of the class at most.
    Or `error` with `code`, which is "bad_request", "busy", "stale" or "internal", and
    `message`.
    """
    admission: Admission[dict[str, Any]] = Admission(_N_AT_WORK, _MAX_WAITING, _PATIENCE_S)
    classifier = pipeline.classifier

    def answer(request: object) -> dict[str, Any]:
        try:
            if not isinstance(request, dict):
                raise InputError("a request must be an object with crop and class_index")
            index = _read_class(request.get("class_index"), len(classifier.config.class_names))
            crop = _shrink(decode_frame(request.get("crop")), _CROP_PX)
            heat = explain(classifier, crop, index)
        except Exception as error:
            sorry = "This face could not be explained."
            return answer_error(error, "explanation", "bad_request", sorry)
        return {
            "map": _data_url(overlay(crop, heat)),
            "lowers": max(0.0, float(heat.max())),
            "raises": max(0.0, -float(heat.min())),
        }

    async def explain_face(request: Any, host: str) -> dict[str, Any]:
        visitor = request.get("visitor") if isinstance(request, dict) else None
        with traffic.call("explanation") as call:
            try:
                data = await admission.run(
                    find_visitor(visitor, host), host, lambda _: answer(request)
                )
            except Refused as refusal:
                data = refused_data(refusal, _REFUSALS)
            call.take(data)
        return data

    return explain_face


def build_picture_view(pipeline: Pipeline, elem_id: str, input_id: str = "") -> gr.HTML:
    """A component whose value is what `show_picture` returns; inside a `gr.Blocks`.

    Args:
        pipeline: explains the faces.
        elem_id: the component's name in the page.
        input_id: that of a `PhotoInput` which takes the pictures that a visitor pastes while
            the component is in view, or drops on it.
    """
    names = pipeline.classifier.config.class_names
    answer = make_explain_face(pipeline)

    async def explain_face(data: Any, request: gr.Request) -> dict[str, Any]:
        return await answer(data, find_host(request))

    return gr.HTML(
        html_template=_read("photo.html"),
        css_template=_read("photo.css"),
        js_on_load="\n".join([FACE_SCRIPT, *(_read(name) for name in _SCRIPTS)]),
        server_functions=[explain_face],
        apply_default_css=False,
        elem_id=elem_id,
        **class_props(names),
        input_id=input_id,
    )


def _build_endpoint(pipeline: Pipeline, line: Admission[_Answer]) -> None:
    async def predict_image(image: str | None, request: gr.Request | None = None) -> _Answer:
        """Find every face of a picture and the probabilities of its apparent expression.

        Each face has `box_xyxy` in pixels of the picture, `score`, `landmarks`, `label`,
        `uncertain` and `probs`. The code of an error is "bad_image", "busy" (wait
        `retry_after_ms`), "stale" or "internal".

        Args:
            image: a picture file of at most 64 megapixels; of an animation the first picture.
            request: filled in by Gradio.

        Returns:
            annotated: a JPEG with a box and a label on each face; null after an error.
            data: `frame`, `class_names`, `faces`, `timing_ms`; or `error` {`code`, `message`}.
        """
        # Gradio shows one line of each to programs, so each is one line.
        return await answer_in_turn(line, request, image, lambda: annotate_picture(pipeline, image))

    image = PhotoInput(type="filepath", label="image", visible=False)
    annotated = gr.Image(type="filepath", label="annotated", visible=False)
    data = gr.JSON(label="data", visible=False)
    gr.Button(visible=False).click(
        predict_image, image, [annotated, data], api_name="predict_image", concurrency_limit=None
    )


def build_photo_tab(pipeline: Pipeline) -> None:
    """Upload, paste or shoot a picture; must be called inside a `gr.Blocks`."""
    line = make_line()
    _build_endpoint(pipeline, line)
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
    view = build_picture_view(pipeline, "photo", "photo-input")

    async def show(image: str | None, request: gr.Request) -> Any:
        if image is None:  # the visitor went from upload to camera
            return gr.skip()
        _, data = await answer_in_turn(
            line, request, image, lambda: (None, show_picture(pipeline, image))
        )
        # The view shows a copy of the picture, so the input is ready for the next one.
        return data, None

    photo.input(
        show,
        photo,
        [view, photo],
        api_visibility="private",
        show_progress_on=[view],
        concurrency_limit=None,
        trigger_mode="multiple",  # "once" would drop a picture that comes before the last answer
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
