"""The Space: one pipeline, one page. `python app.py` opens it on http://127.0.0.1:7860."""

import logging
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from fer.web import build_page, launch, start_pipeline

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)

demo = build_page(*start_pipeline())

if __name__ == "__main__":
    launch(demo)
