"""Draw the picture that is shown where somebody links to the page: docs/card.jpg.

Run `python -m tools.card` after a change of the model or of what the page says of itself. The face
is rendered, of examples/expressions.mp4.
"""

from typing import Any

from PIL import Image, ImageDraw, ImageFont

from bench.apps import ROOT
from fer.annotate import annotate
from fer.media.reader import read_frames
from fer.pipeline import Pipeline
from fer.web.live.sample import CLIP_PATH
from fer.web.notice import GUESS, TITLE

_TARGET = ROOT / "docs" / "card.jpg"
_SIZE = 1200, 630  # pixels; sites that show such cards crop others
_PAPER, _INK, _PALE, _ACCENT = "#0b0f19", "#f3f4f6", "#9ca3af", "#5eead4"
_PAD = 56
# The face is happy by then: examples/expressions.csv.
_FACE_S = 1.0


def draw_card() -> Image.Image:
    """Return the card: title and purpose beside a face with its box."""
    frame = next(shot.frame for shot in read_frames(CLIP_PATH) if shot.time_s >= _FACE_S)
    face = Image.fromarray(annotate(frame, Pipeline.load()(frame)))
    width, height = face.size
    face = face.crop(((width - height) // 2, 0, (width + height) // 2, height))
    card = Image.new("RGB", _SIZE, _PAPER)
    card.paste(face.resize((_SIZE[1], _SIZE[1])), (_SIZE[0] - _SIZE[1], 0))
    draw = ImageDraw.Draw(card)
    top = 110
    for text, size, color in (
        (TITLE, 64, _INK),
        ("Camera, photos and videos, in your browser", 30, _ACCENT),
        (GUESS, 26, _PALE),
    ):
        font = ImageFont.load_default(size)
        wrapped = _wrap(draw, text, font, _SIZE[0] - _SIZE[1] - 2 * _PAD)
        draw.multiline_text((_PAD, top), wrapped, fill=color, font=font, spacing=10)
        top = int(draw.multiline_textbbox((_PAD, top), wrapped, font=font, spacing=10)[3]) + 36
    return card


def _wrap(draw: ImageDraw.ImageDraw, text: str, font: Any, width: int) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines).strip()


def main() -> None:
    """Write docs/card.jpg."""
    draw_card().save(_TARGET, quality=85)
    print(f"wrote {_TARGET}, {_TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
