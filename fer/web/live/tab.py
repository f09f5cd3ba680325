"""Build the Live tab: video stays in the browser, small frames go up, JSON comes down.

A frame is answered for the page and for programs (`fer.web.api`) alike. Nothing is kept, so that
any copy of the server can answer: the state of the tracker goes out with each answer and comes back
with the next frame.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from fer.errors import InputError
from fer.pipeline import Pipeline
from fer.resting import Baseline
from fer.serialize import to_dict
from fer.track import TrackState
from fer.web.icons import class_props
from fer.web.live.sample import Sample
from fer.web.server.assets import Assets
from fer.web.server.queue import FairQueue
from fer.web.server.requests import (
    answer_error,
    answer_queued,
    decode_frame,
    find_host,
)

__all__ = ["LiveFrame", "build_live_tab", "make_live_frame"]

_HERE = Path(__file__).parent
# Two cores, two frames at a time; the others are queued. Answers older than a few seconds would be
# stale, so a longer queue refuses.
_N_AT_WORK = 2
_MAX_WAITING = 32
_PATIENCE_S = 3.0

_REFUSALS = {
    "busy": "The server is busy. Trying again in a moment.",
    "stale": "A newer frame replaced this one, or it waited too long.",
}

LiveFrame = Callable[[Any, object, str], Awaitable[dict[str, Any]]]


def _read_time(value: object) -> float:
    if value is None:
        return time.time()
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12:
        return float(value)
    raise InputError("`time_s` must be a number of seconds under 1e12, not milliseconds")


def _find_pipeline(votes: object, plain: Pipeline, voting: Pipeline | None) -> Pipeline:
    """Return the pipeline that answers a frame with votes, or without."""
    if votes is None or votes is False:
        return plain
    if votes is not True:
        raise InputError("`votes` must be true or false")
    if voting is None:
        raise InputError("`votes` must be false: this model does not predict them")
    return voting


def _read_baseline(value: object) -> Baseline | None:
    return None if value is None else Baseline.from_json(value)


def make_live_frame(pipeline: Pipeline) -> LiveFrame:
    """Make the function behind the stream: a frame and the state before it in, its faces out.

    Its arguments are a request {"image", "state", "time_s", "votes", "baseline"}, the name of the
    visitor whose it is, and the host that it came from. `votes` asks for those, where the model
    predicts them; `baseline` is a `Baseline` as JSON, or missing, and a bad one counts as a bad
    state, to which its track belongs. It never raises: a frame that cannot be used is answered with
    {"error": {"code", "message"}}, where `code` is "bad_frame", "bad_state", "busy" (with
    `retry_after_ms`), "stale" or "internal".
    """
    voting = None
    if pipeline.classifier.config.vote_names:
        voting = Pipeline(pipeline.detector, pipeline.classifier, votes=True)
    queue: FairQueue[dict[str, Any]] = FairQueue(_N_AT_WORK, _MAX_WAITING, _PATIENCE_S)

    def answer(request: object, waited_s: float) -> dict[str, Any]:
        code = "bad_frame"
        try:
            if not isinstance(request, dict):
                raise InputError("a request must be an object with image, state and time_s")
            frame = decode_frame(request.get("image"))
            time_s = _read_time(request.get("time_s"))
            chosen = _find_pipeline(request.get("votes"), pipeline, voting)
            code = "bad_state"
            before = TrackState.from_json(request.get("state"))
            baseline = _read_baseline(request.get("baseline"))
            state, result = chosen.track(frame, before, time_s, baseline=baseline)
        except Exception as error:
            # One broken frame must not end a visitor's stream.
            sorry = "This frame could not be analysed."
            return answer_error(error, "live frame", code, sorry)
        timing = {"wait": round(1000 * waited_s, 2)}
        data = to_dict(result)
        return {**data, "timing_ms": timing | data["timing_ms"], "state": state.to_json()}

    async def live_frame(request: Any, visitor: object, host: str) -> dict[str, Any]:
        return await answer_queued(
            queue, "frame", visitor, host, lambda waited: answer(request, waited), _REFUSALS
        )

    return live_frame


def build_live_tab(
    pipeline: Pipeline,
    answer: LiveFrame,
    assets: Assets,
    engine: Mapping[str, Any] | None,
    sample: Sample | None = None,
) -> gr.HTML:
    """Build the webcam view; must be called inside a `gr.Blocks`.

    Args:
        pipeline: whose classes are shown.
        answer: of `make_live_frame`.
        assets: serve the page's modules, and the browser's engine.
        engine: of `fer.web.self_test.engine_props`; None where the server alone answers.
        sample: what a visitor without a camera can watch, whose files `assets` serve.
    """
    names = pipeline.classifier.config.class_names

    async def live_frame(data: Any, request: gr.Request) -> dict[str, Any]:
        visitor = data.get("visitor") if isinstance(data, dict) else None
        return await answer(data, visitor, find_host(request))

    return gr.HTML(
        html_template=_read("live.html"),
        css_template=_read("live.css"),
        js_on_load=assets.start_script("live/live.js"),
        server_functions=[live_frame],
        apply_default_css=False,
        elem_id="live",
        engine=engine,
        has_votes=bool(pipeline.classifier.config.vote_names),
        has_neutral=pipeline.classifier.config.neutral_logits is not None,
        sample=None if sample is None else sample.props(),
        **class_props(names),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
