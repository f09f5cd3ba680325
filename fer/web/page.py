"""Build the layout of the page, with its notice."""

import gradio as gr

from fer.gallery import find_gallery
from fer.hub import LITERT_NAME
from fer.image import MAX_PIXELS
from fer.pipeline import Pipeline
from fer.settings import Settings
from fer.web.api import build_api
from fer.web.examples.compare import Comparison
from fer.web.examples.files import list_examples
from fer.web.examples.tab import (
    build_examples_tab,
    example_files,
    example_props,
    read_pictures,
)
from fer.web.live.sample import find_sample
from fer.web.live.tab import build_live_tab, make_live_frame
from fer.web.notice import TITLE, about_html, head_html, notice_html
from fer.web.photo.tab import build_photo_tab
from fer.web.photo.tries import choose_tries
from fer.web.photo.view import Pictures
from fer.web.self_test import engine_props
from fer.web.server.assets import Assets, find_modules
from fer.web.server.event_loop import in_event_loop
from fer.web.server.health import Health
from fer.web.server.jobs import PAGE_FORMATS
from fer.web.server.limits import VideoLimits
from fer.web.server.receive import MAX_FILE_BYTES
from fer.web.server.start import About
from fer.web.server.uploads import RESULT_AGE_S, SWEEP_S, open_folder, uploads
from fer.web.server.work import Workers, make_workers
from fer.web.video.follow import Videos
from fer.web.video.tab import build_video_tab

__all__ = ["build_page"]

_KEPT = """What your own device analyses stays on it; the page says each time which it is. Camera
pictures that are sent are analysed and dropped. Uploads are deleted after analysis, or after 15
minutes without one; results within an hour."""
_LIMITS = f"""At most {MAX_FILE_BYTES >> 20} MB a file; pictures of {MAX_PIXELS // 1_000_000}
megapixels ({", ".join(PAGE_FORMATS)}), videos {{length}}."""
_HANDLING = """An uploaded file is opened in a process of its own, with limits of time and memory.
What is made of it stays on the server for you to look at and to download. The log has counts and
times, and no picture, file name, address or result."""


@in_event_loop
def build_page(
    pipeline: Pipeline,
    about: About,
    settings: Settings | None = None,
    work: Workers | None = None,
) -> gr.Blocks:
    """Build the Gradio page for one pipeline.

    Args:
        pipeline: shared by all visitors.
        about: what it is made of, from `fer.web.server.start.start_pipeline`.
        settings: of the page; those of the environment when None.
        work: where visitors' files are opened; processes of its own when None, to which the
            pipeline must be able to go by pickle.
    """
    settings = Settings.from_env() if settings is None else settings
    if not uploads.is_open:
        open_folder(settings.temp_dir)
    work = make_workers(pipeline) if work is None else work
    live_frame = make_live_frame(pipeline)
    pictures = Pictures(work, settings.max_per_minute)
    videos = Videos(work, VideoLimits(settings.max_video_minutes), settings.max_per_minute)
    examples = list_examples(settings.examples_dir)
    shown = read_pictures(examples)
    model = {f"model/{name}": path for name, path in about.browser_files.items()}
    sample = find_sample(pipeline)
    samples = {} if sample is None else sample.files
    assets = Assets(find_modules() | model | samples | example_files(shown))
    engine = engine_props(pipeline.classifier, about.browser_files)
    others = find_gallery(settings, pipeline.classifier.config.files.get(LITERT_NAME, ""))
    comparison = None
    if others is not None:
        comparison = Comparison(pipeline, others, assets, engine, settings.max_per_minute)
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(int(SWEEP_S), int(RESULT_AGE_S))
    ) as page:
        build_api(live_frame, pictures, videos)
        gr.HTML(
            head_html(),
            apply_default_css=False,
            padding=False,
            js_on_load=assets.start_script("common/frame.js"),
            elem_id="head",
        )
        with gr.Tab("Live"):
            build_live_tab(pipeline, live_frame, assets, engine, sample)
        with gr.Tab("Photo"):
            tries = choose_tries(example_props(shown))
            build_photo_tab(pipeline, pictures, assets, engine, comparison, tries)
        with gr.Tab("Video"):
            build_video_tab(videos, assets, examples)
        if shown:
            with gr.Tab("Examples"):
                build_examples_tab(pipeline, pictures, assets, shown, comparison, engine)
        limits = _LIMITS.format(length=_video_length(settings.max_video_minutes))
        for text, name in (
            (notice_html(_KEPT, [limits, _HANDLING], settings.operator), "notice"),
            (about_html(str(about), about.notes), "about"),
        ):
            gr.HTML(text, apply_default_css=False, elem_id=name)
    # On a Space Gradio adds the Hub's bar, with fonts that each visitor's browser gets at Google.
    page.space_id = None
    page.assets = assets
    page.health = Health(pipeline, about, work=work)
    page.work = work
    page.settings = settings
    return page


def _video_length(minutes: float | None) -> str:
    if minutes is None:
        return "of any length"
    return f"of {minutes:g} minutes at 1920 x 1080 and 30 frames a second"
