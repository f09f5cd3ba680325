"""The public endpoints: /live_frame, /predict_image and /predict_video.

Their names, arguments and returns are what programs and assistants see (/gradio_api/info, MCP).
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import gradio as gr

from fer.errors import FerError
from fer.video import Progress
from fer.web.inputs import PhotoInput, VideoInput
from fer.web.live.tab import LiveFrame
from fer.web.photo.view import Pictures
from fer.web.server.requests import error_data, find_host
from fer.web.video.follow import DEFAULT_RATE, Busy, Preview, Videos

__all__ = ["build_api"]


def build_api(live_frame: LiveFrame, pictures: Pictures, videos: Videos) -> None:
    """Add the three endpoints, whose components nobody sees; must be called in a `gr.Blocks`."""
    with gr.Column(visible=False):
        _build_live_frame(live_frame)
        _build_predict_image(pictures)
        _build_predict_video(videos)


def _build_live_frame(answer: LiveFrame) -> None:
    async def live_frame(
        image: str,
        state: dict[str, Any] | None = None,
        time_s: float | None = None,
        request: gr.Request | None = None,
    ) -> dict[str, Any]:
        """Find the faces of one frame of a stream.

        A frame has at most 700,000 characters and 1.6 megapixels. With the `state` of the
        answer before, faces keep their `track_id` and probabilities are smoothed over time.

        Args:
            image: a JPEG as "data:image/jpeg;base64,...".
            state: the `state` of the answer before; null for the first frame.
            time_s: when the frame was taken, in seconds of your own clock; null for now.
            request: filled in by Gradio.

        Returns:
            `frame`, `class_names`, `faces` (each with `track_id`, `box_xyxy` in pixels of the
            frame, `score`, `landmarks`, `label`, `uncertain`, `probs`), `timing_ms` and
            `state`. Or `error` with `code` and `message`; after "busy" wait `retry_after_ms`.
        """
        visitor = None if request is None else request.session_hash
        frame = {"image": image, "state": state, "time_s": time_s}
        return await answer(frame, visitor, find_host(request))

    gr.api(live_frame, api_name="live_frame", concurrency_limit=None)


def _build_predict_image(pictures: Pictures) -> None:
    async def predict_image(
        image: str | None, request: gr.Request | None = None
    ) -> tuple[str | None, dict[str, Any]]:
        """Find every face of a picture and the probabilities of its apparent expression.

        Each face has `box_xyxy` in pixels of the picture, `score`, `landmarks`, `label`,
        `uncertain` and `probs`. `notes` says where a file breaks off, holds several pictures, was
        decoded smaller, or has values of another range. The code of an error is "bad_image",
        "busy" (wait `retry_after_ms`), "stale" or "internal".

        Args:
            image: a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC or JPEG 2000 file of at most 64
                megapixels; JPEG and JPEG 2000 of 256, which are decoded smaller.
            request: filled in by Gradio.

        Returns:
            annotated: a JPEG with a box and a label on each face; null after an error.
            data: `frame`, `class_names`, `faces`, `timing_ms`; or `error` {`code`, `message`}.
        """
        # Gradio shows one line of each to programs, so each is one line.
        answer = await pictures.annotate(request, image)
        return (None, answer) if "error" in answer else (answer["annotated"], answer["data"])

    image = PhotoInput(type="filepath", label="image")
    outputs = [gr.Image(type="filepath", label="annotated"), gr.JSON(label="data")]
    gr.Button().click(
        predict_image, image, outputs, api_name="predict_image", concurrency_limit=None
    )


def _build_predict_video(videos: Videos) -> None:
    async def predict_video(
        video: str | None,
        rate: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        request: gr.Request | None = None,
    ) -> AsyncIterator[Any]:
        """Follow the faces of a video: a copy with boxes, tables, and a report of each person.

        The report has `persons`, each with `track_id`, `seconds` in view, `shares` of the
        certain time by class, `uncertain_share` and `timeline`; and counts of the frames. The
        code of an error is "bad_video" or "busy" (wait `retry_after_ms`).

        Args:
            video: a video file (mp4, webm, mov, avi, gif ...), not longer than the page allows.
            rate: frames analysed per second, at most 30.
            progress: filled in by Gradio.
            request: filled in by Gradio.

        Returns:
            annotated: an mp4 with boxes and the original sound; null after an error.
            csv: the rows, one per face and analysed frame.
            parquet: the same rows.
            report: of the whole video; or `error` {`code`, `message`}.
        """
        # Gradio shows one line of each to programs, so each is one line.
        nothing = None, None, None
        if video is None:
            yield *nothing, error_data("bad_video", "`video` must be a file. Received: None")
            return
        async with aclosing(videos.follow(request, video, rate)) as steps:
            async for step in steps:
                if isinstance(step, Progress):
                    progress((step.n_frames, step.n_frames_total), unit="frames")
                    yield (gr.skip(),) * 4
                elif isinstance(step, Preview):
                    continue
                elif isinstance(step, Busy):
                    more = {"retry_after_ms": step.retry_after_ms}
                    yield *nothing, error_data("busy", str(step), **more)
                elif isinstance(step, FerError):
                    yield *nothing, error_data("bad_video", str(step))
                else:
                    files = step.files
                    yield files["mp4"], files["csv"], files["parquet"], step.report

    video = VideoInput(label="Video")
    rate = gr.Number(DEFAULT_RATE, label="Frames analysed per second", minimum=0.1, maximum=30)
    outputs = [
        gr.Video(label="annotated"),
        gr.File(label="csv"),
        gr.File(label="parquet"),
        gr.JSON(label="report"),
    ]
    gr.Button().click(
        predict_video,
        [video, rate],
        outputs,
        api_name="predict_video",
        concurrency_limit=None,
    )
