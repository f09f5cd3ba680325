"""The Gradio page. Nothing else in `fer` imports it."""

from fer.web.page import build_page, launch
from fer.web.start import start_pipeline

__all__ = ["build_page", "launch", "start_pipeline"]
