"""The Space: one pipeline, one page. `python app.py` opens it on http://127.0.0.1:7860."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if os.environ.get("SPACES_ZERO_GPU"):  # a Space on ZeroGPU
    import spaces  # before all that it changes

    @spaces.GPU  # type: ignore[untyped-decorator]
    def _on_gpu() -> None:
        """Do nothing. The page needs no GPU, but ZeroGPU starts no Space without a function."""


from fer.errors import InputError
from fer.memory import use_one_heap

use_one_heap()
try:
    from fer.settings import Settings
    from fer.web.server.start import prepare, start_pipeline

    settings = Settings.from_env()
    prepare(settings)  # before Gradio is imported
    from fer.web.page import build_page
    from fer.web.server.serve import launch

    demo = build_page(*start_pipeline(settings), settings)
    if __name__ == "__main__":
        launch(demo)
except InputError as error:  # a port that is taken, or none
    raise SystemExit(f"error: {error}") from None
