"""The Video tab: a file or a recording in; a video with boxes, a timeline and tables out."""

import logging
import os

import gradio as gr

from fer.pipeline import Pipeline

__all__ = ["build_video_tab", "max_video_minutes"]

log = logging.getLogger(__name__)

_MAX_MINUTES = 10.0


def max_video_minutes() -> float | None:
    """The longest video that the page takes, from FER_MAX_VIDEO_MINUTES; None for any."""
    named = os.environ.get("FER_MAX_VIDEO_MINUTES") or str(_MAX_MINUTES)
    try:
        minutes = float(named)
    except ValueError:
        log.warning("FER_MAX_VIDEO_MINUTES must be a number. Received: %s", ascii(named))
        return _MAX_MINUTES
    return minutes if minutes > 0 else None


def build_video_tab(pipeline: Pipeline) -> None:
    """Upload or record a video; must be called inside a `gr.Blocks`."""
    gr.HTML("")
