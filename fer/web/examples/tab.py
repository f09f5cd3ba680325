"""The Examples tab: click a picture, see the result, and what other models make of it."""

import csv
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from fer.errors import FerError
from fer.gallery import find_gallery
from fer.hub import LITERT_NAME
from fer.image import picture_suffixes, read_image
from fer.media import VIDEO_SUFFIXES
from fer.pipeline import Pipeline
from fer.preprocess import resize
from fer.web.examples.compare import build_comparison
from fer.web.photo.tab import Pictures, build_picture_view
from fer.web.server.requests import error_data
from fer.web.server.traffic import traffic

__all__ = ["EXAMPLES_FOLDER", "Example", "build_examples_tab", "list_examples", "list_folder"]

log = logging.getLogger(__name__)

EXAMPLES_FOLDER = Path(__file__).parents[3] / "examples"
SOURCES_NAME = "SOURCES.csv"
# The page waits for its gallery before it starts.
_MAX_FILES = 200
# Twice as wide as the widest place in the gallery.
_THUMBNAIL_PX = 384
# The gallery is longer than a screen, and on a phone the result is below it.
_LOOK = """() => {
  const view = document.querySelector("#example");
  const { top } = view.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) view.scrollIntoView();
}"""


@dataclass(frozen=True, slots=True)
class Example:
    """A file to try the page with.

    Attributes:
        path: of the file.
        caption: what is seen.
        kind: "picture" or "video".
    """

    path: Path
    caption: str
    kind: str


def list_examples() -> list[Example]:
    """The project's examples, then those of the folder that FER_EXAMPLES_DIR names.

    What cannot be used of that folder is left out, and the log says so.
    """
    own = os.environ.get("FER_EXAMPLES_DIR")
    ours = list_folder(EXAMPLES_FOLDER) if EXAMPLES_FOLDER.is_dir() else ()
    return [*ours, *(list_folder(Path(own).expanduser()) if own else ())]


@cache  # so that the log says once what is wrong
def list_folder(folder: Path) -> tuple[Example, ...]:
    """The pictures and videos in `folder`, those that its `SOURCES.csv` names first.

    Captions are those of its columns file and caption, else the names of the files.
    """
    try:
        present = {path.name: path for path in sorted(folder.iterdir()) if _kind(path)}
    except OSError as error:
        log.warning("FER_EXAMPLES_DIR must be a folder that can be read. Received: %s", error)
        return ()
    captions = _read_captions(folder / SOURCES_NAME)
    names = dict.fromkeys([*(name for name in captions if name in present), *present])
    if len(names) > _MAX_FILES:
        log.warning("%s has %d examples, %d are shown", folder, len(names), _MAX_FILES)
    return tuple(
        Example(present[name], captions.get(name) or present[name].stem, _kind(present[name]))
        for name in list(names)[:_MAX_FILES]
    )


def _kind(path: Path) -> str:
    """The kind of example that a file is by its name, "" for none."""
    if path.name.startswith(".") or not path.is_file():
        return ""
    suffix = path.suffix.lower()
    if suffix in picture_suffixes():
        return "picture"
    return "video" if suffix in VIDEO_SUFFIXES else ""


def _read_captions(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["file"]: row["caption"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        log.warning("%s must be a UTF-8 table with file and caption: %r", path, error)
        return {}


def _thumbnail(path: Path) -> NDArray[np.uint8] | None:
    """A picture at the size of the gallery, None where it cannot be read."""
    try:
        frame = read_image(path)
    except FerError as error:
        log.warning("example left out: %s", error)
        return None
    height, width = frame.shape[:2]
    scale = min(1.0, _THUMBNAIL_PX / min(height, width))
    return resize(frame, max(1, round(width * scale)), max(1, round(height * scale)))


def _read_pictures() -> list[tuple[Example, NDArray[np.uint8]]]:
    """The pictures among the examples that can be read, and how the gallery shows them."""
    pictures = [example for example in list_examples() if example.kind == "picture"]
    thumbnails = [(example, _thumbnail(example.path)) for example in pictures]
    return [(example, small) for example, small in thumbnails if small is not None]


def build_examples_tab(pipeline: Pipeline, pictures: Pictures) -> None:
    """A gallery over the view of a result; must be called inside a `gr.Blocks`."""
    examples = _read_pictures()

    async def show_example(event: gr.SelectData, request: gr.Request) -> tuple[Any, int | None]:
        index = event.index
        if not (type(index) is int and 0 <= index < len(examples)):
            with traffic.call("picture") as call:
                answer = error_data("bad_image", "There is no such example.")
                call.take(answer)
            return answer, None
        return await pictures.show(request, examples[index][0].path), index

    others = find_gallery(pipeline.classifier.config.files.get(LITERT_NAME, ""))
    gr.Markdown(
        "Click a picture. The people are rendered, not real; the captions say which expression "
        "was set, and age and tone on the Monk Skin Tone scale. The model, which learned from "
        "photographs, often takes the expression for another. The astronaut is Eileen Collins "
        "(NASA)."
        + (" Below the result stands what other models make of the same face." if others else "")
    )
    with gr.Row():
        with gr.Column(min_width=320):
            gallery = gr.Gallery(
                [(small, example.caption) for example, small in examples],
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
            view = build_picture_view(pipeline, "example")
    if others is not None:
        compared, compare = build_comparison(others, pictures, "example")
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
        if index is None or not 0 <= index < len(examples):
            return
        example = examples[index][0]
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
