"""Write what every page says at its head and foot, with a server or without one."""

import html
import re
from collections.abc import Sequence

__all__ = ["GUESS", "TITLE", "about_html", "head_html", "notice_html"]

TITLE = "Facial expression recogniser"
# Also on what a visitor saves: GUESS of common/guess.js.
GUESS = "AI guess at how a face looks, not what anyone feels"

# The link leads to the notice at the foot, which fer/web/common/frame.js opens.
_HEAD = """
<div class="fer-head">
<h1>{title}</h1>
<p>AI guess at how a face <em>looks</em>, not what anyone feels. <span>Often wrong.</span>
Not for judging people. <a href="#limits">Privacy and limits</a></p>
</div>
"""
_NOTICE = """
<section class="fer-notice" aria-labelledby="limits">
<h2 id="limits" tabindex="-1">Privacy and limits</h2>
<p><b>This is an AI guess about how a face looks.</b> It can't tell what anyone feels, is often
wrong, and works better for some people than others.</p>
<p><b>Privacy.</b> {kept}</p>
<p><b>Don't judge people with it.</b> In the EU it is banned at work and in education; tell people
before you use it on them.</p>
<details>
<summary>More about privacy and limits</summary>
{more}
<p>Probabilities are calibrated on the pictures that the model was tested with, not on your camera.
Where the best one is low, the page says that it is unsure.</p>
<p>The EU's AI Act forbids inferring emotions at work and in education, except for medical or
safety reasons (Art. 5(1)(f)). People who are exposed to such a system must be told (Art.
50(3)).</p>
</details>
</section>
"""


def head_html() -> str:
    """Return the head of a page: what it is, and what it is not."""
    return _HEAD.format(title=TITLE)


def notice_html(kept: str, more: Sequence[str], operator: str | None = None) -> str:
    """Return the notice of a page.

    Args:
        kept: what happens to pictures, in two sentences, as HTML.
        more: the same at length, and its limits: paragraphs as HTML, folded.
        operator: who runs the page and how to reach them, as text; None on one's own computer.
    """
    # Source: GDPR, Art. 13(1)(a).
    run_by = [] if operator is None else [f"This page is run by {_link(operator)}."]
    told = "\n".join(f"<p>{text}</p>" for text in [*run_by, *more])
    return _NOTICE.format(kept=kept, more=told)


def _link(text: str) -> str:
    """Return text as HTML, with its first web or mail address as a link."""
    parts = re.split(r"(https?://[^\s,]+|[\w.+-]+@[\w-]+\.[\w.-]*\w)", text, maxsplit=1)
    before, address, after = parts if len(parts) == 3 else (text, "", "")
    if not address:
        return html.escape(before)
    target = address if "://" in address else f"mailto:{address}"
    link = f'<a href="{html.escape(target)}">{html.escape(address)}</a>'
    return html.escape(before) + link + html.escape(after)


def about_html(about: str, notes: Sequence[str] = ()) -> str:
    """Return what a page runs.

    Args:
        about: the model and the face detector, in one line.
        notes: what is unavailable, a sentence each: "Using ..., because ...".
    """
    lines = [f'<p class="fer-status">{html.escape(about)}</p>']
    if notes:
        reasons = "".join(f"<p>{html.escape(text)}</p>" for text in notes)
        instead = ". ".join(text.partition(", because ")[0] for text in notes)
        summary = f"<summary>{html.escape(instead)}. Why?</summary>"
        lines.append(f'<details class="fer-note">{summary}{reasons}</details>')
    return "\n".join(lines)
