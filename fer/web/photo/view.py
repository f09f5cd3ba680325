"""Build the view of a picture's result, which the Photo and Examples tabs share.

A picture that the visitor's device does not analyse itself is analysed in one call;
`Pictures.show` gives the browser all of it. What a visitor then looks at, which face and how near,
is known to the browser alone. For the explanation of a face the browser sends its crop back, so any
copy of the server can answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fer.errors import InputError
from fer.explain import explain, overlay
from fer.pipeline import Pipeline
from fer.web.icons import class_props
from fer.web.photo.endings import page_endings
from fer.web.server import jobs
from fer.web.server.assets import Assets
from fer.web.server.limits import (
    LARGE_PIXELS,
    MEASURE,
    N_LARGE_AT_WORK,
    N_PICTURES_AT_WORK,
    picture_bound,
)
from fer.web.server.queue import FairQueue, RateLimit, Refused
from fer.web.server.requests import (
    answer_error,
    answer_queued,
    decode_frame,
    find_host,
    refused_data,
)
from fer.web.server.traffic import traffic
from fer.web.server.uploads import uploads
from fer.web.server.work import Workers

__all__ = [
    "Pictures",
    "build_picture_view",
    "make_explain_face",
]

_HERE = Path(__file__).parent
_MAX_PICTURES_WAITING = 64
_MAX_LARGE_WAITING = 16
_PICTURE_PATIENCE_S = 60.0
_PICTURE_REFUSALS = {
    "busy": "The server is busy. Upload this picture again in a moment.",
    "stale": "This picture waited too long. Upload it again.",
}
# An explanation takes a quarter of a second of one core; the other is left to the stream. It stays
# in this process: its crop is a JPEG that `decode_frame` bounds as a live frame, and whatever is in
# it, the network looks at 12 x 12 copies of its own small input.
_N_AT_WORK = 1
_MAX_WAITING = 32
_PATIENCE_S = 15.0
_REFUSALS = {
    "busy": "The server is busy. Choose the face again in a moment.",
    "stale": "Another face was chosen, or this one waited too long.",
}

ExplainFace = Callable[[Any, str], Awaitable[dict[str, Any]]]
# Does a job of `fer.web.server.jobs` on the picture whose turn it is.
_Do = Callable[..., Any]


def _problem(error: Exception) -> dict[str, Any]:
    """Return the answer for an error."""
    return answer_error(error, "picture", "bad_image", "This picture could not be analysed.")


def _served(path: str) -> dict[str, Any]:
    """Return a file of the page's folder in the form that Gradio serves."""
    return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}


class Pictures:
    """Queue picture files, and analyse them in worker processes.

    A few small ones are analysed at a time, and one large one; client networks are served in turn.

    Args:
        work: where the files are opened.
        max_per_minute: pictures of one client network; None for any number.
    """

    def __init__(self, work: Workers, max_per_minute: int | None = None) -> None:
        self._work = work
        self._queue: FairQueue[Any] = FairQueue(
            N_PICTURES_AT_WORK,
            _MAX_PICTURES_WAITING,
            _PICTURE_PATIENCE_S,
            rate=RateLimit(max_per_minute),
            max_a_host_at_work=N_PICTURES_AT_WORK - 1,
        )
        self._large: FairQueue[Any] = FairQueue(
            N_LARGE_AT_WORK, _MAX_LARGE_WAITING, _PICTURE_PATIENCE_S
        )

    async def show(self, request: gr.Request | None, path: str | Path) -> dict[str, Any]:
        """Analyse a picture file for the component of `build_picture_view`.

        Returns:
            What `fer.web.server.jobs.show_picture` does, `shown` and `annotated` as Gradio serves
            files. Or `error` with `code` and `message`.
        """
        return await self._answer(request, path, self._show)

    async def annotate(self, request: gr.Request | None, path: str | None) -> dict[str, Any]:
        """Analyse a picture file for a program.

        Returns:
            `annotated`, the path of a copy with boxes, and `data` as
            `fer.web.server.jobs.annotate_picture` returns them. Or `error` with `code` and
            `message`.
        """
        return await self._answer(request, path, self._annotate)

    def _show(self, do: _Do) -> dict[str, Any]:
        with uploads.results() as folder:
            data: dict[str, Any] = do(jobs.show_picture, str(folder))
        return data | {key: _served(data[key]) for key in ("shown", "annotated")}

    def _annotate(self, do: _Do) -> dict[str, Any]:
        with uploads.results() as folder:
            annotated, data = do(jobs.annotate_picture, str(folder))
        return {"annotated": annotated, "data": data}

    async def _answer(
        self,
        request: gr.Request | None,
        path: str | Path | None,
        make: Callable[[_Do], dict[str, Any]],
    ) -> dict[str, Any]:
        """Return the result of `make` when it is the picture's turn, or `error`.

        Args:
            request: where it comes from.
            path: of the picture; where a visitor sent it, it is gone afterwards.
            make: gets a function which does a job on the picture.
        """
        host = find_host(request)
        with traffic.call("picture") as count, uploads.claim(path):
            try:
                if path is None:
                    raise InputError("`image` must be a picture. Received: None")
                picture = str(path)
                answer: dict[str, Any] | None = await self._queue.run(
                    object(), host, lambda _: self._do(picture, make, False)
                )
                if answer is None:
                    answer = await self._large.run(
                        object(), host, lambda _: self._do(picture, make, True)
                    )
                assert answer is not None
            except Refused as refusal:
                answer = refused_data(refusal, _PICTURE_REFUSALS)
            except Exception as error:
                answer = _problem(error)
            count.take(answer)
        return answer

    def _do(
        self, path: str, make: Callable[[_Do], dict[str, Any]], large: bool
    ) -> dict[str, Any] | None:
        """Return the result of `make`; None for a large picture if `large` is not set."""
        with self._work.lend() as runner:
            width, height = runner.call(jobs.measure_picture, path, bound=MEASURE)
            if width * height > LARGE_PIXELS and not large:
                return None
            bound = picture_bound(width * height)

            def do(job: Callable[..., Any], *args: Any) -> Any:
                return runner.call(job, path, *args, bound=bound)

            return make(do)


def _read_class(value: object, n_classes: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < n_classes:
        return value
    raise InputError(f"`class_index` must be 0..{n_classes - 1}")


def make_explain_face(pipeline: Pipeline) -> ExplainFace:
    """Make the function behind a click on a face: its crop in, its occlusion map out.

    Its arguments are a request {"crop", "class_index", "visitor"}, untrusted, and the host
    that it came from. It never raises: the answer is `map`, a data URL (occlusion map), and how
    much masking a region `lowers` and `raises` the probability of the class at most.
    Or `error` with `code`, which is "bad_request", "busy", "stale" or "internal", and
    `message`.
    """
    queue: FairQueue[dict[str, Any]] = FairQueue(_N_AT_WORK, _MAX_WAITING, _PATIENCE_S)
    classifier = pipeline.classifier

    def answer(request: object) -> dict[str, Any]:
        try:
            if not isinstance(request, dict):
                raise InputError("a request must be an object with crop and class_index")
            index = _read_class(request.get("class_index"), len(classifier.config.class_names))
            crop = jobs.shrink(decode_frame(request.get("crop")), jobs.CROP_PX)
            heat = explain(classifier, crop, index)
        except Exception as error:
            sorry = "This face could not be explained."
            return answer_error(error, "explanation", "bad_request", sorry)
        return {
            "map": jobs.data_url(overlay(crop, heat)),
            "lowers": max(0.0, float(heat.max())),
            "raises": max(0.0, -float(heat.min())),
        }

    async def explain_face(request: Any, host: str) -> dict[str, Any]:
        visitor = request.get("visitor") if isinstance(request, dict) else None
        return await answer_queued(
            queue, "explanation", visitor, host, lambda _: answer(request), _REFUSALS
        )

    return explain_face


def build_picture_view(
    pipeline: Pipeline,
    assets: Assets,
    elem_id: str,
    engine: Mapping[str, Any] | None,
    input_id: str = "",
    tries: Sequence[Mapping[str, Any]] = (),
) -> gr.HTML:
    """Build a component whose value is the result of `Pictures.show`; inside a `gr.Blocks`.

    Pictures that the visitor's device analyses itself, it shows as well.

    Args:
        pipeline: explains the faces.
        assets: serve the page's modules.
        elem_id: the component's name in the page.
        engine: of `fer.web.self_test.engine_props`; None where the server alone answers.
        input_id: that of a `fer.web.inputs.PhotoInput` which takes a visitor's pictures to the
            server; "" where the visitor gives none.
        tries: of `fer.web.photo.tries.choose_tries`, offered where the visitor gives pictures.
    """
    names = pipeline.classifier.config.class_names
    answer = make_explain_face(pipeline)

    async def explain_face(data: Any, request: gr.Request) -> dict[str, Any]:
        return await answer(data, find_host(request))

    return gr.HTML(
        html_template=_read("photo.html"),
        css_template=_read("photo.css"),
        js_on_load=assets.start_script("photo/photo.js"),
        server_functions=[explain_face],
        apply_default_css=False,
        elem_id=elem_id,
        **class_props(names),
        view_id=elem_id,
        takes_pictures=bool(input_id),
        input_id=input_id,
        engine=engine,
        endings=page_endings(),
        tries=list(tries),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
