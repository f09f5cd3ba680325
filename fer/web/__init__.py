"""The Gradio page. Nothing else in `fer` imports it.

A worker process (`fer.worker`) imports its jobs, and neither Gradio nor what names its folder.
"""

from fer.worker import is_worker

if not is_worker():
    import fer.web.server.port
    import fer.web.server.uploads  # noqa: F401, which names the folder that Gradio then uses
    from fer.web.page import build_page
    from fer.web.server.logs import set_up_logging
    from fer.web.server.serve import launch
    from fer.web.server.start import start_pipeline

__all__ = ["build_page", "launch", "set_up_logging", "start_pipeline"]
