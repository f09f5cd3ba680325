"""Jobs on a visitor's file, run in a worker process (`fer.worker`).

Every file that a stranger sends is opened here and nowhere else. Nothing here imports Gradio, so
a worker is small and starts quickly. Jobs return JSON.
"""

import base64
import io
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer.annotate import annotate, caption
from fer.crop import crop_faces
from fer.image import FORMATS, Picture, measure_image, read_picture
from fer.media.reader import check_total, probe_video
from fer.pipeline import Pipeline
from fer.preprocess import resize
from fer.serialize import to_dict, to_rows
from fer.table import TableWriter, face_schema
from fer.text import json_line
from fer.types import FrameResult
from fer.video import Progress, analyse_video, check_duration
from fer.web.notice import GUESS
from fer.web.video.report import report_html

__all__ = [
    "CROP_PX",
    "JPEG_URL",
    "PAGE_FORMATS",
    "TABLES",
    "annotate_picture",
    "data_url",
    "encode_jpeg",
    "follow_video",
    "measure_picture",
    "probe",
    "show_picture",
    "shrink",
    "warm_up",
]

JPEG_URL = "data:image/jpeg;base64,"
# What browsers show or cameras make. PPM, which the command line reads, too, no browser shows, and
# Pillow reads its comments and its text forms one character at a time.
PAGE_FORMATS = tuple(form for form in FORMATS if form != "PPM")
# Sharp at four times the size that a screen shows at once, and quickly there.
_SHOWN_LONG_SIDE_PX = 2048
# Four times the detail that the network sees; forty of them make 300 kB.
CROP_PX = 192
_JPEG_QUALITY = 90
TABLES = ("csv", "parquet", "json")
_TELL_S = 0.25
# While a video is analysed, its last frame is shown this often, and this large.
_SHOW_S = 1.0
_PREVIEW_PX = 640
_GRAY = np.full((96, 96, 3), 128, np.uint8)


def warm_up(pipeline: Pipeline) -> None:
    """Load everything that a first picture needs."""
    Image.init()
    pipeline.classifier([_GRAY])
    _csv(pipeline(_GRAY))


def measure_picture(_: Pipeline, path: str) -> tuple[int, int]:
    """Return width and height of a picture by its header; raises as `fer.image.read_picture`."""
    return measure_image(path, formats=PAGE_FORMATS)


def show_picture(pipeline: Pipeline, path: str, folder: str) -> dict[str, Any]:
    """Analyse a picture file for the view of the Photo and Examples tabs.

    Args:
        pipeline: finds the faces.
        path: of the picture.
        folder: where the two files go.

    Returns:
        `name` of the file without its ending; `shown`, the path of the picture at a size for the
        screen, and `annotated`, at its own size with boxes; `crops`, one data URL a face; `data`
        as `fer.to_dict`, with `notes` on the picture where there are some; `csv`, its text.

    Raises:
        ImageError: see `fer.image.read_picture`.
    """
    name = _stem(path)
    picture = read_picture(path, formats=PAGE_FORMATS)
    frame = picture.frame
    result = pipeline(frame)
    crops = crop_faces(frame, result.faces, pipeline.classifier.config)
    return {
        "name": name,
        "shown": _write(shrink(frame, _SHOWN_LONG_SIDE_PX), folder, f"{name}.jpg"),
        "annotated": _write(_draw(frame, result), folder, f"{name}_expressions.jpg"),
        "crops": [data_url(shrink(crop, CROP_PX)) for crop in crops],
        "data": _with_notes(to_dict(result), picture),
        "csv": _csv(result),
    }


def annotate_picture(pipeline: Pipeline, path: str, folder: str) -> tuple[str, dict[str, Any]]:
    """Analyse a picture file for a program.

    Args:
        pipeline: finds the faces.
        path: of the picture.
        folder: where the annotated picture goes.

    Returns:
        The path of the picture at its own size with boxes, and `fer.to_dict` of the result, with
        `notes` on the picture where there are some.

    Raises:
        ImageError: see `fer.image.read_picture`.
    """
    picture = read_picture(path, formats=PAGE_FORMATS)
    result = pipeline(picture.frame)
    name = f"{_stem(path)}_expressions.jpg"
    annotated = _write(_draw(picture.frame, result), folder, name)
    return annotated, _with_notes(to_dict(result), picture)


def probe(
    _: Pipeline,
    path: str,
    max_duration_s: float | None,
    max_total_pixels: float | None,
    tell: Callable[[Any], object] | None = None,
) -> dict[str, Any]:
    """Return the fields of a video's `fer.media.reader.VideoInfo`; its first frame is decoded.

    `tell` is not called; every job that may report its steps gets it.

    Raises:
        VideoError: see `fer.media.reader.probe_video`; or longer, or more, than the page takes.
    """
    info = probe_video(path)
    check_duration(info.name, info.duration_s, max_duration_s)
    check_total(info, max_total_pixels)
    return asdict(info)


def follow_video(
    pipeline: Pipeline,
    path: str,
    folder: str,
    rate: float,
    max_duration_s: float | None,
    max_total_pixels: float | None,
    tell: Callable[[dict[str, Any]], object],
) -> dict[str, Any]:
    """Analyse a video file; see `fer.video.analyse_video`.

    Args:
        pipeline: looks at the frames.
        path: of the video.
        folder: where the files go.
        rate: frames a second that are looked at.
        max_duration_s: see `fer.video.analyse_video`.
        max_total_pixels: see `fer.video.analyse_video`.
        tell: hears the fields of a `fer.video.Progress` a few times a second, and {"picture": a
            data URL of the last frame with its boxes} once a second.

    Returns:
        `files`, paths by form: mp4 and `TABLES`; `report` as `fer.video.VideoReport.to_dict`;
        `html` of the report.

    Raises:
        VideoError: see `fer.video.analyse_video`.
    """
    told_at = shown_at = 0.0
    last: NDArray[np.uint8] | None = None

    def draw(frame: NDArray[np.uint8], result: FrameResult) -> NDArray[np.uint8]:
        nonlocal last
        last = _draw(frame, result)
        return last

    def hear(progress: Progress) -> None:
        nonlocal told_at, shown_at
        if (now := time.monotonic()) - told_at >= _TELL_S:
            told_at = now
            tell(asdict(progress))
        if last is not None and now - shown_at >= _SHOW_S:
            shown_at = now
            tell({"picture": data_url(shrink(last, _PREVIEW_PX))})

    stem = f"{folder}/{_stem(path)[:80]}_expressions"
    files = {form: f"{stem}.{form}" for form in ("mp4", *TABLES)}
    report = analyse_video(
        pipeline,
        path,
        rate=rate,
        output=files["mp4"],
        tables=(files["csv"], files["parquet"]),
        draw=draw,
        on_progress=hear,
        max_duration_s=max_duration_s,
        max_total_pixels=max_total_pixels,
    )
    data = report.to_dict()
    Path(files["json"]).write_bytes(json_line(data))
    return {"files": files, "report": data, "html": report_html(report)}


def data_url(image: NDArray[np.uint8]) -> str:
    """Return a picture (H, W, 3) uint8 RGB as the data URL of a JPEG."""
    return JPEG_URL + base64.b64encode(encode_jpeg(image)).decode()


def shrink(image: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) with sides of at most `long_side_px` pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, long_side_px / max(height, width))
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))


def _draw(frame: NDArray[np.uint8], result: FrameResult) -> NDArray[np.uint8]:
    """Draw the boxes, and a line that says what the picture is, on a copy for the visitor."""
    return caption(annotate(frame, result), GUESS)


def _with_notes(data: dict[str, Any], picture: Picture) -> dict[str, Any]:
    return data | ({"notes": list(picture.notes)} if picture.notes else {})


def _stem(path: str) -> str:
    return Path(path).stem or "picture"


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return a picture (H, W, 3) uint8 RGB as the content of a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _write(image: NDArray[np.uint8], folder: str, name: str) -> str:
    path = Path(folder, name)
    path.write_bytes(encode_jpeg(image))
    return str(path)


def _csv(result: FrameResult) -> str:
    buffer = io.BytesIO()
    with TableWriter(buffer, face_schema(result.class_names), "csv") as table:
        table.write(to_rows(result))
    return buffer.getvalue().decode()
