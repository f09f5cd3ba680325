"""Define how expressions look on every tab: icon, colours, words (common/classes.js)."""

from collections.abc import Sequence
from typing import Any

from fer.annotate import class_color, text_color

__all__ = ["class_props", "icon_svg"]

_FACE = "M12 2a10 10 0 1 0 0 20a10 10 0 1 0 0-20z"
_EYES = "M8.5 10.2v.2M15.5 10.2v.2"
# Drawn for this project on a grid of 24 x 24, as strokes: brows, eyes, mouth.
_FEATURES = {
    "angry": f"{_EYES}M6 6.8l4 2M18 6.8l-4 2M8 17q4-2.6 8 0",
    "disgust": "M7 9.2l3 1.4M17 9.2l-3 1.4M10.5 13h3M7.5 17q2.2-3 4.5-1t4.5-1.4",
    "fear": f"{_EYES}M6.2 7.8l3.4-1.6M17.8 7.8l-3.4-1.6M7.5 16.6l1.5-1.4 1.5 1.4 1.5-1.4 1.5 1.4"
    " 1.5-1.4 1.5 1.4",
    "happy": f"{_EYES}M7.2 13.6q4.8 6 9.6 0z",
    "neutral": f"{_EYES}M8 15.8h8",
    "sad": f"{_EYES}M6.4 8.2l3-1.4M17.6 8.2l-3-1.4M7.8 17.4q4.2-4.6 8.4 0",
    "surprise": f"{_EYES}M6.6 6.8q1.8-1.6 3.6 0M13.8 6.8q1.8-1.6 3.6 0"
    "M12 13.4a2.1 2.6 0 1 0 0 5.2a2.1 2.6 0 1 0 0-5.2z",
}


def _class_icon(name: str) -> str:
    """Return the icon of a class as SVG path data, 24 x 24, to be stroked; "" without one."""
    features = _FEATURES.get(name)
    return "" if features is None else _FACE + features


def icon_svg(name: str) -> str:
    """Return the icon as an SVG element, which page.css strokes; "" without one."""
    path = _class_icon(name)
    if not path:
        return ""
    return f'<svg class="fer-icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{path}"/></svg>'


def class_props(names: Sequence[str]) -> dict[str, Any]:
    """Return the props of a `gr.HTML` that common/classes.js reads, in the order of `names`."""
    colors = [class_color(i) for i in range(len(names))]
    return {
        "class_names": list(names),
        "class_colors": colors,
        "class_inks": [text_color(color) for color in colors],
        "class_icons": [_class_icon(name) for name in names],
    }
