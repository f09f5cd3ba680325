"""Write the report of a video as HTML: a timeline of expressions for each person."""

import html
import itertools
from collections.abc import Iterator

import numpy as np

from fer.annotate import class_color
from fer.video import Person, VideoReport
from fer.web.icons import icon_svg

__all__ = ["clock", "report_html"]

_MAX_STRIPS = 12
_WIDTH, _HEIGHT = 1000, 40
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_MAX_TICKS = 8


def clock(seconds: float) -> str:
    """Format seconds as a clock does.

    >>> clock(65.4), clock(3725)
    ('1:05', '1:02:05')
    """
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def report_html(report: VideoReport) -> str:
    """Return HTML for everybody in view for longer than a moment, with notes on the file."""
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in report.notes)
    if not report.persons:
        # Where there was none at all, the notes say so.
        brief = "<p>No face was in view long enough.</p>"
        return f'<div class="fer-message">{brief if report.n_with_face else ""}{notes}</div>'
    end = max(report.seconds, report.persons[0].last_s, report.bin_s)
    legend = "".join(
        f'<span><i style="background:{class_color(i)}"></i>{html.escape(name)}</span>'
        for i, name in enumerate(report.class_names)
    )
    shown = sorted(report.persons[:_MAX_STRIPS], key=lambda person: person.track_id)
    strips = "".join(_strip(report, person, end) for person in shown)
    left = len(report.persons) - len(shown) + report.n_passing
    more = f"<p>{left} more were in view for a shorter time; the tables have them.</p>"
    return (
        f'<div class="fer-report" data-end="{end:.3f}">'
        f'<div class="legend">{legend}<span>pale = unsure</span></div>'
        f"{strips}{_axis(end)}{more if left else ''}{notes}</div>"
    )


def _strip(report: VideoReport, person: Person, end: float) -> str:
    shares = sorted(person.shares.items(), key=lambda item: -item[1])
    said = [
        f"<span>{icon_svg(name)}{html.escape(name)} {100 * share:.0f} %</span>"
        for name, share in shares
        if share >= 0.005
    ]
    return (
        f"<section><h2>Person {person.track_id}</h2> "
        f'<div class="shares"><span>in view for {person.seconds:.1f} s</span>'
        f"<span>Unsure {100 * person.uncertain_share:.0f} % of the time. When sure:</span>"
        f"{''.join(said)}</div>"
        f'<div class="strip" role="slider" tabindex="0" aria-valuemin="0" aria-valuenow="0" '
        f'aria-valuemax="{end:.1f}" '
        f'aria-label="Timeline of person {person.track_id}: a place to jump to in the video">'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(_bars(report, person, end))}</svg></div></section>"
    )


def _bars(report: VideoReport, person: Person, end: float) -> Iterator[str]:
    """Yield a bar for each stretch of one expression; its height is the probability."""
    best = person.probs.argmax(axis=1)
    top = person.probs.max(axis=1)
    doubt = top < report.uncertain_below
    half = report.bin_s / 2
    gaps = np.diff(person.times_s) > 1.5 * report.bin_s
    changes = gaps | (np.diff(best) != 0) | (np.diff(doubt) != 0)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(best)]
    for first, after in itertools.pairwise(edges):
        start, stop = person.times_s[first] - half, person.times_s[after - 1] + half
        x0, x1 = (_WIDTH * min(max(value / end, 0), 1) for value in (start, stop))
        share = float(np.average(top[first:after], weights=person.weights_s[first:after]))
        height = _HEIGHT * share
        name = report.class_names[best[first]]
        title = f"{clock(max(start, 0))} to {clock(stop)}: {name}, {100 * share:.0f} %"
        title += ", unsure" if doubt[first] else ""
        kind = ' class="doubt"' if doubt[first] else ""
        yield (
            f'<rect{kind} x="{x0:.1f}" y="{_HEIGHT - height:.1f}" width="{max(x1 - x0, 1):.1f}" '
            f'height="{height:.1f}" fill="{class_color(int(best[first]))}">'
            f"<title>{html.escape(title)}</title></rect>"
        )


def _axis(end: float) -> str:
    step = next((tick for tick in _TICKS_S if end / tick <= _MAX_TICKS), _TICKS_S[-1])
    marks = "".join(
        f'<span style="left:{100 * at / end:.2f}%">{clock(at)}</span>'
        for at in range(0, int(end) + 1, step)
        if at <= 0.97 * end
    )
    return f'<div class="axis" aria-hidden="true">{marks}</div>'
