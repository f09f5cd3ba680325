"""Build the layout of the page, with its notice."""

import html

import gradio as gr

from fer.gallery import find_gallery
from fer.hub import LITERT_NAME
from fer.image import MAX_PIXELS
from fer.pipeline import Pipeline
from fer.settings import Settings
from fer.web.api import build_api
from fer.web.examples.files import list_examples
from fer.web.examples.tab import build_examples_tab
from fer.web.live.tab import build_live_tab, make_live_frame
from fer.web.photo.tab import build_photo_tab
from fer.web.photo.view import Pictures
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

_TITLE = "Facial expressions, live"

_HEAD = """
<div class="fer-head">
<h1>{title}</h1>
<p>Every face gets one of {n} expressions with calibrated probabilities: {names}.</p>
{status}
</div>
"""

_NOTICE = f"""
<div class="fer-notice">
<p><b>You are using an AI system that estimates apparent expressions.</b> It sees how a face
looks in one picture. It cannot tell what someone feels, thinks or means, it is often wrong,
and it is not equally good for everyone. Probabilities are calibrated on the data set of the
model's training, not on your camera; when the best one is low the page says <i>uncertain</i>.</p>
<p><b>Nothing is kept.</b> Camera frames are analysed in memory and dropped. A picture or video
that you upload (at most {MAX_FILE_BYTES >> 20} MB; pictures of {MAX_PIXELS // 1_000_000}
megapixels: {{formats}}; videos {{minutes}}) is opened in a process of its own, with limits of
time and memory, and deleted from the computer that runs this page as soon as it has been
analysed, or after 15 minutes if it never is. What is made of it stays there for you to look at
and to download, and is deleted within an hour. This program logs counts and times, and no
picture, file name, address or result.</p>
<p><b>Do not use it to judge people.</b> Inferring emotions at work or in education is
forbidden in the EU (AI Act, Art. 5(1)(f)); people who are exposed to such a system must be
told (Art. 50(3)).</p>
</div>
"""


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
    others = find_gallery(settings, pipeline.classifier.config.files.get(LITERT_NAME, ""))
    assets = Assets(find_modules() | {f"model/{k}": p for k, p in about.browser_files.items()})
    names = pipeline.classifier.config.class_names
    lines = [f'<p class="fer-status">{html.escape(str(about))}</p>']
    if about.notes:
        reasons = "".join(f"<p>{html.escape(text)}</p>" for text in about.notes)
        instead = ". ".join(text.partition(", because ")[0] for text in about.notes)
        summary = f"<summary>{html.escape(instead)}. Why?</summary>"
        lines.append(f'<details class="fer-note">{summary}{reasons}</details>')
    head = _HEAD.format(
        title=_TITLE,
        n=len(names),
        names=html.escape(", ".join(names)),
        status="\n".join(lines),
    )
    with gr.Blocks(
        title=_TITLE, analytics_enabled=False, delete_cache=(int(SWEEP_S), int(RESULT_AGE_S))
    ) as page:
        build_api(live_frame, pictures, videos)
        gr.HTML(head, elem_id="head")
        with gr.Tab("Live"):
            build_live_tab(pipeline, live_frame, assets, about.browser_files)
        with gr.Tab("Photo"):
            build_photo_tab(pipeline, pictures, assets)
        with gr.Tab("Video"):
            build_video_tab(videos, assets, examples)
        if any(example.kind == "picture" for example in examples):
            with gr.Tab("Examples"):
                build_examples_tab(pipeline, pictures, assets, examples, others)
        limit = settings.max_video_minutes
        minutes = "of any length"
        if limit is not None:
            minutes = f"of {limit:g} minutes, at 1920 x 1080 and 30 frames a second"
        formats = ", ".join(PAGE_FORMATS)
        gr.HTML(_NOTICE.format(minutes=minutes, formats=formats), elem_id="notice")
    # On a Space Gradio adds the Hub's bar, with fonts that each visitor's browser gets at Google.
    page.space_id = None
    page.assets = assets
    page.health = Health(pipeline, about, work=work)
    page.work = work
    page.settings = settings
    return page
