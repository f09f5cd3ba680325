"""Below an example: what the models of other recipes say of the same face.

The server compares every face of the picture, so that the browser shows another one without
asking: the one that is chosen in the view of the result.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from fer.annotate import class_color, text_color
from fer.crop import crop_faces
from fer.gallery import Entry, Gallery, Models
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.types import FrameResult
from fer.web.admission import Admission
from fer.web.icons import icon_svg
from fer.web.photo import answer_in_turn
from fer.web.requests import answer_error

__all__ = ["build_comparison", "compare_picture", "make_compare"]

_HERE = Path(__file__).parent
# Eight models take as long for so many faces as the picture itself.
_MAX_FACES = 16
_N_BARS = 3
# Files of a checkout are read in less; those of a Hub may take longer.
_PATIENCE_S = 20.0
_WAIT = "The other models are on their way here ..."
_NOT_YET = "The other models are still on their way here. Click the picture again in a moment."
_SORRY = "The other models could not be asked."
# What is told of a model that serves and that no table knows.
_OWN_TITLE = "The model of this page"
_OWN_IDEA = "It gives the answers on all tabs."

# The face that is chosen in the view is known to the browser alone.
_FOLLOW = """
let view = null;
const parts = () => [...element.querySelectorAll("[data-face]")];
function follow() {
  find();
  const boxes = [...(view ? view.querySelectorAll(".box") : [])];
  const chosen = boxes.findIndex((box) => box.getAttribute("aria-pressed") === "true");
  const last = parts().length - 1;
  parts().forEach((part, i) => {
    part.hidden = i !== Math.min(Math.max(chosen, 0), last);
  });
}
// The view may come into the page after this; before a first comparison it is there.
function find() {
  if (view || !(view = document.getElementById(props.view_id))) return;
  const attributes = { subtree: true, attributes: true, attributeFilter: ["aria-pressed"] };
  new MutationObserver(follow).observe(view, attributes);
}
new MutationObserver(follow).observe(element, { subtree: true, childList: true });
follow();
"""

Compare = Callable[[Path, str, gr.Request | None], AsyncIterator[str]]
_Line = Admission[tuple[str | None, dict[str, Any]]]
# Without an entry: of a model that serves and that no table knows.
_Answer = tuple[Entry | None, FrameResult]


def _message(text: str) -> str:
    return f'<p class="fer-message" role="status">{escape(text)}</p>' if text else ""


def compare_picture(pipeline: Pipeline, models: Models, path: Path | str, caption: str) -> str:
    """Every face of a picture file as each model sees it, as HTML.

    Args:
        pipeline: finds the faces and crops them, and has the first row of each table.
        models: of the other rows.
        path: of the picture.
        caption: of the picture, which is shown.

    Returns:
        A table for each face, of which all but the first are hidden; "" without a face.

    Raises:
        ImageError: no picture that can be read.
    """
    frame = read_image(path)
    found = pipeline(frame)
    n_faces = len(found.faces)
    own = replace(found, faces=found.faces[:_MAX_FACES])
    crops = crop_faces(frame, own.faces, pipeline.classifier.config)
    if not crops:
        return ""
    rows: list[_Answer] = [(models.flagship, own)]
    rows += [(model.entry, model(own, crops)) for model in models.models]
    # A class has the colour that it has elsewhere on the page, whatever its place in a model.
    names = dict.fromkeys(name for _, result in rows for name in result.class_names)
    colors = {name: class_color(i) for i, name in enumerate(names)}
    tables = []
    for i in range(len(crops)):
        hidden = ' hidden=""' if i else ""
        number = f" · face {i + 1} of {n_faces}" if n_faces > 1 else ""
        tables.append(
            f'<div data-face="{i}"{hidden}>'
            f'<p class="of">Caption: {escape(caption)}{number}</p>'
            f"{_table(rows, i, colors)}</div>"
        )
    if n_faces > len(crops):
        text = f"Of the {n_faces} faces the first {len(crops)} are compared."
        tables.append(f'<div data-face="{len(crops)}" hidden="">{_message(text)}</div>')
    return (
        '<section class="fer-card" aria-label="The same face, other models">'
        f"<h3>The same face, other models</h3>{''.join(tables)}{_notes(models)}</section>"
    )


def _notes(models: Models) -> str:
    notes = (
        "Test: how many of the test images the file that is asked gets right, of other models an "
        "int8 file; with fewer classes that is easier. Bars: its three best guesses."
    )
    if models.missing:
        titles = ", ".join(entry.title for entry in models.missing)
        notes += f" Not available right now: {titles}."
    return f'<p class="notes">{escape(notes)}</p>'


def _table(rows: list[_Answer], face: int, colors: dict[str, str]) -> str:
    """The answers on one face: in how many models agree, and a row of each."""
    entry, own = rows[0]
    label = own.labels[face]
    same = sum(result.labels[face] == label for _, result in rows[1:])
    doubt = ", though it is uncertain" if own.uncertain[face] else ""
    body = [_row(entry, own, face, colors, "own", "this page")]
    for other, result in rows[1:]:
        if result.labels[face] == label:
            kind, verdict = "same", "= same"
        elif label in result.class_names:
            kind, verdict = "differs", "\N{NOT EQUAL TO} differs"
        else:
            kind, verdict = "differs", f"\N{NOT EQUAL TO} has no {label}"
        body.append(_row(other, result, face, colors, kind, verdict))
    # Where rows are cards they would, without the roles, be no rows of a table any more.
    return (
        f'<p class="sum" role="status"><b>{same} of {len(rows) - 1}</b> other models give the '
        f"answer of this page, <b>{escape(label)}</b>{doubt}.</p>"
        '<table role="table"><thead role="rowgroup"><tr role="row">'
        '<th scope="col" role="columnheader">Model</th>'
        '<th scope="col" role="columnheader">Answer</th></tr></thead>'
        f'<tbody role="rowgroup">{"".join(body)}</tbody></table>'
    )


def _row(
    entry: Entry | None,
    result: FrameResult,
    face: int,
    colors: dict[str, str],
    kind: str,
    verdict: str,
) -> str:
    label, uncertain = result.labels[face], result.uncertain[face]
    probs = result.faces.probs
    assert probs is not None  # classified
    best = probs[face].argsort()[::-1][:_N_BARS]
    bars = "".join(
        _bar(result.class_names[k], float(probs[face, k]), colors[result.class_names[k]])
        for k in best
    )
    color = colors[label]
    style = f"--color:{color};--ink:{text_color(color)}"
    answer = f"uncertain: {label}?" if uncertain else label
    return (
        f'<tr role="row" class="{kind}"><th scope="row" role="rowheader">{_head(entry)}</th>'
        f'<td role="cell"><p class="said"><span class="answer{" doubt" if uncertain else ""}" '
        f'style="{style}">{icon_svg(label)}{escape(answer)}</span> '
        f'<span class="verdict">{escape(verdict)}</span></p>{bars}</td></tr>'
    )


def _head(entry: Entry | None) -> str:
    title, idea = (entry.title, entry.idea) if entry else (_OWN_TITLE, _OWN_IDEA)
    test = "not measured"
    if entry and entry.top1 is not None:
        test = f"{entry.top1:.1f} % right, {entry.n_classes} classes"
    return f"<b>{escape(title)}</b><span>{escape(idea)}</span><span>Test: {test}</span>"


def _bar(name: str, p: float, color: str) -> str:
    return (
        f'<div class="fer-bar"><span>{escape(name)}</span><span class="track"><span class="fill" '
        f'style="width:{100 * p:.1f}%;background:{color}"></span></span> '
        f'<span class="percent">{100 * p:.0f} %</span></div>'
    )


def make_compare(pipeline: Pipeline, gallery: Gallery, line: _Line) -> Compare:
    """The function behind a click on an example: its path, caption and request in, HTML out.

    What comes out last stays; before it may come word that it takes a while. It never raises.
    The models are loaded at its first call, before its turn in the line, so
    that a slow Hub holds up nobody.

    Args:
        pipeline: as for `compare_picture`.
        gallery: of the models.
        line: where pictures wait for their turn.
    """

    def answer(models: Models, path: Path, caption: str) -> dict[str, Any]:
        try:
            return {"html": compare_picture(pipeline, models, path, caption)}
        except Exception as error:
            # Of a picture that cannot be read the view above speaks.
            return answer_error(error, "comparison", "bad_image", _SORRY)

    async def compare(path: Path, caption: str, request: gr.Request | None) -> AsyncIterator[str]:
        attempt = gallery.begin()
        if gallery.models is None:
            yield _message(_WAIT)
            await asyncio.wait([asyncio.wrap_future(attempt)], timeout=_PATIENCE_S)
        models = gallery.models
        if models is None:
            yield _message(_NOT_YET)
            return
        if not models.models:
            yield ""
            return
        _, data = await answer_in_turn(
            line, request, None, lambda: (None, answer(models, path, caption))
        )
        if error := data.get("error"):
            yield _message("" if error["code"] == "bad_image" else error["message"])
        else:
            yield str(data["html"])

    return compare


def build_comparison(
    pipeline: Pipeline, gallery: Gallery, line: _Line, view_id: str
) -> tuple[gr.HTML, Compare]:
    """A component for what `make_compare`'s function returns, and that function.

    Must be called inside a `gr.Blocks`.

    Args:
        pipeline: as for `make_compare`.
        gallery: as for `make_compare`.
        line: as for `make_compare`.
        view_id: name in the page of the `build_picture_view` whose chosen face is shown.
    """
    shown = gr.HTML(
        css_template=(_HERE / "compare.css").read_text(encoding="utf-8"),
        js_on_load=_FOLLOW,
        apply_default_css=False,
        elem_id="compare",
        view_id=view_id,
    )
    return shown, make_compare(pipeline, gallery, line)
