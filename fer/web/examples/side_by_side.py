"""Write the answers of several models for the same face as HTML."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import numpy as np
from numpy.typing import NDArray

from fer.annotate import class_color, text_color
from fer.gallery import Entry, Models
from fer.types import FrameResult
from fer.web.icons import icon_svg

__all__ = ["compare_faces", "message_html"]

_N_BARS = 3
# Shown for a model that serves and is in no table.
_OWN_TITLE = "The model of this page"
_OWN_IDEA = "It gives the answers on all tabs."

# Without an entry: of a model that serves and that no table knows.
_Answer = tuple[Entry | None, FrameResult]


def message_html(text: str) -> str:
    """Return a message to the visitor as HTML, "" for none."""
    return f'<p class="fer-message" role="status">{escape(text)}</p>' if text else ""


def compare_faces(
    found: FrameResult, crops: Sequence[NDArray[np.uint8]], models: Models, caption: str
) -> str:
    """Return HTML of the first faces of a picture as each model sees them.

    Args:
        found: what the page's own model says of all faces.
        crops: of the first faces, which are compared.
        models: of the other rows.
        caption: of the picture, which is shown.

    Returns:
        A table for each face, of which all but the first are hidden; "" without a face.
    """
    if not crops:
        return ""
    n_faces = len(found.faces)
    own = replace(found, faces=found.faces[: len(crops)])
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
        tables.append(f'<div data-face="{len(crops)}" hidden="">{message_html(text)}</div>')
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
    """Return the answers on one face: how many models agree, and a row for each."""
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
