"""A font of this system that has the letters of the class names, where there is one.

Pillow's own has Latin letters only. Arabic and Hebrew are joined and ordered by libraqm, which
Pillow's wheels bring; without it nothing is drawn in them.
"""

import functools
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator, Sequence

from PIL import ImageFont, features

__all__ = ["drawn_names", "find_font", "legend"]

# Pillow looks for them where Windows, macOS and Linux keep fonts.
_KNOWN = (
    *("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "Arial Unicode.ttf", "arial.ttf"),
    *("wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "Geeza Pro.ttc", "DejaVuSans.ttf"),
)
_MISSING = "\U0010ffff"  # no character: what a font draws instead of a letter that it lacks
# Characters that are drawn next to a name.
_BESIDE = "0123456789 :?%"


def _has(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> bool:
    if not isinstance(font, ImageFont.FreeTypeFont):
        return text.isascii()
    box = bytes(font.getmask(_MISSING))
    return all(bytes(font.getmask(letter)) != box for letter in set(text) if letter.strip())


def _candidates(text: str) -> Iterator[str]:
    yield from _KNOWN
    if (tool := shutil.which("fc-match")) is not None:
        codes = " ".join(f"{ord(letter):x}" for letter in sorted(set(text)))
        pattern = f"sans:charset={codes}"
        try:
            done = subprocess.run(
                [tool, "-f", "%{file}", pattern], capture_output=True, text=True, timeout=10
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return
        yield done.stdout


@functools.cache
def find_font(text: str) -> str | None:
    """Return the file of a font that draws `text`: empty for Pillow's own, None without one."""
    text += _BESIDE
    if any(unicodedata.bidirectional(each) in ("R", "AL") for each in text) and not features.check(
        "raqm"
    ):
        return None
    if _has(ImageFont.load_default(20), text):
        return ""
    for name in _candidates(text):
        try:
            font = ImageFont.truetype(name, 20)
        except OSError:
            continue
        if _has(font, text):
            return str(font.path)
    return None


def drawn_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return what is drawn for each of `names`: themselves, or their numbers without a font."""
    if find_font("".join(names)) is None:
        return tuple(str(number) for number in range(1, len(names) + 1))
    return tuple(names)


def legend(names: Sequence[str]) -> str:
    """Return which name each number stands for; empty where names are drawn.

    >>> legend(["happy", "sad"])
    ''
    """
    drawn = drawn_names(names)
    if drawn == tuple(names):
        return ""
    pairs = ", ".join(f"{number} {name}" for number, name in zip(drawn, names, strict=True))
    return f"no font here has the letters of all classes, so numbers are drawn: {pairs}"
