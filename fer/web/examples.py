"""The Examples tab: click a picture, see the result."""

import csv
from pathlib import Path

import gradio as gr

from fer.pipeline import Pipeline
from fer.web.photo import Outputs, ResultView, analyse_file

__all__ = ["EXAMPLES_FOLDER", "build_examples_tab", "list_examples"]

EXAMPLES_FOLDER = Path(__file__).parents[2] / "examples"


def list_examples(folder: Path = EXAMPLES_FOLDER) -> list[tuple[Path, str]]:
    """The pictures that `SOURCES.csv` in `folder` names, with their captions; none without it."""
    if not (folder / "SOURCES.csv").is_file():
        return []
    with (folder / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        return [(folder / row["file"], row["caption"]) for row in csv.DictReader(file)]


def build_examples_tab(pipeline: Pipeline) -> None:
    """A gallery over the view of a result; must be called inside a `gr.Blocks`."""
    examples = list_examples()

    def show_example(event: gr.SelectData) -> Outputs:
        return analyse_file(pipeline, examples[event.index][0])

    gr.Markdown(
        "Click a picture. The people are rendered, not real; the expression was set on the "
        "model's face units, and the caption says which. The astronaut is Eileen Collins (NASA)."
    )
    with gr.Row():
        with gr.Column(min_width=320):
            gallery = gr.Gallery(
                [(str(path), caption) for path, caption in examples],
                show_label=False,
                columns=4,
                height="auto",
                object_fit="cover",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="examples-gallery",
            )
        with gr.Column(min_width=320):
            view = ResultView.build()
    gallery.select(
        show_example,
        None,
        view.components,
        api_visibility="private",
        show_progress_on=[view.picture],
        concurrency_limit=2,
    )
