"""Build the Examples tab: a click on a picture shows its result and those of other models."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from fer.errors import FerError
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.preprocess import resize
from fer.web.examples.compare import Comparison
from fer.web.examples.files import EXAMPLES_FOLDER, Example
from fer.web.photo.view import Pictures, build_picture_view
from fer.web.server.assets import Assets
from fer.web.server.jobs import encode_jpeg
from fer.web.server.requests import error_data
from fer.web.server.traffic import traffic

__all__ = [
    "ExamplePicture",
    "build_examples_tab",
    "example_files",
    "example_props",
    "read_pictures",
]

log = logging.getLogger(__name__)

# Twice as wide as the widest place in the gallery.
_THUMBNAIL_PX = 256
_HERE = Path(__file__).parent
_FOLDER = "examples"
_COMPARED = " Below: what other models say."


@dataclass(frozen=True, slots=True)
class ExamplePicture:
    """A picture of the gallery.

    Attributes:
        example: the picture.
        thumbnail: a JPEG at the size of the gallery.
        is_public: whether the file itself is served, so that a browser can analyse it. Those of
            an operator are not: they may hold more than what is seen, such as a place.
    """

    example: Example
    thumbnail: bytes
    is_public: bool


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


def read_pictures(examples: Iterable[Example]) -> list[ExamplePicture]:
    """Return the readable pictures among the examples, with the thumbnail of each."""
    pictures = [example for example in examples if example.kind == "picture"]
    thumbnails = [(example, _thumbnail(example.path)) for example in pictures]
    return [
        ExamplePicture(example, encode_jpeg(small), example.path.parent == EXAMPLES_FOLDER)
        for example, small in thumbnails
        if small is not None
    ]


def example_files(pictures: Sequence[ExamplePicture]) -> dict[str, Path | bytes]:
    """Return the files that a gallery of these needs, for `Assets`."""
    files: dict[str, Path | bytes] = {}
    for props, picture in zip(example_props(pictures), pictures, strict=True):
        files[props["thumbnail"]] = picture.thumbnail
        if props["url"] is not None:
            files[props["url"]] = picture.example.path
    return files


def example_props(pictures: Sequence[ExamplePicture]) -> list[dict[str, Any]]:
    """Return `examples` of fer/web/examples/examples.js."""
    return [
        {
            "name": each.example.path.name,
            "caption": each.example.caption,
            "detail": each.example.detail,
            "expression": each.example.expression,
            "thumbnail": f"{_FOLDER}/small_{i}.jpg",
            "url": f"{_FOLDER}/{i}{each.example.path.suffix.lower()}" if each.is_public else None,
        }
        for i, each in enumerate(pictures)
    ]


def build_examples_tab(
    pipeline: Pipeline,
    pictures: Pictures,
    assets: Assets,
    shown: Sequence[ExamplePicture],
    comparison: Comparison | None,
    engine: Mapping[str, Any] | None,
) -> None:
    """Build a gallery over the view of a result; must be called inside a `gr.Blocks`.

    Args:
        pipeline: of the page.
        pictures: analyses the pictures.
        assets: serve the page's modules, and `example_files`.
        shown: of `read_pictures`.
        comparison: with other models; None without any.
        engine: see `build_picture_view`.
    """

    async def show_example(event: gr.SelectData, request: gr.Request) -> dict[str, Any]:
        index = event.index
        if not _is_index(index, shown):
            with traffic.call("picture") as call:
                answer = error_data("bad_image", "There is no such example.")
                call.take(answer)
            return answer
        return {**await pictures.show(request, shown[index].example.path), "index": index}

    intro = _read("intro.html")
    gr.HTML(intro.replace("</p>", _COMPARED + "</p>") if comparison else intro)
    with gr.Column():  # on a phone the row stays in sight as far as this goes
        gallery = gr.HTML(
            html_template=_read("examples.html"),
            css_template=_read("examples.css"),
            js_on_load=assets.start_script("examples/examples.js"),
            apply_default_css=False,
            elem_id="examples-gallery",
            examples=example_props(shown),
            view_id="example",
            engine=engine,
        )
        view = build_picture_view(pipeline, assets, "example", engine)
    if comparison is not None:
        expressions = {each.example.path.stem: each.example.expression for each in shown}
        comparison.build("compare", "example", expressions=expressions)
    gallery.select(
        show_example,
        None,
        view,
        api_visibility="private",
        show_progress="hidden",  # the view tells of it
        concurrency_limit=None,
        trigger_mode="multiple",  # "always_last" sends the first click again, not the last
    )


def _is_index(value: object, shown: Sequence[ExamplePicture]) -> bool:
    return type(value) is int and 0 <= value < len(shown)


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
