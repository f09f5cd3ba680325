"""Walk a page through its tabs and states, and have axe-core judge each of them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CLIP = ROOT / "examples" / "expressions.mp4"
# A desktop by day, a phone by night.
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
# All rules, and one that axe leaves out by itself: a name must contain what is seen.
_RUN = """async () => {
  const rules = { "label-content-name-mismatch": { enabled: true } };
  const { violations } = await axe.run(document, { rules, resultTypes: ["violations"] });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, html, any }) =>
    ({ rule: id, target: target.join(" "), html: html.slice(0, 160),
       why: any.map(({ message }) => message).join("; ").slice(0, 200) })));
}"""
_TIMEOUT_MS = 120_000


@dataclass(frozen=True)
class Violation:
    """What axe has against an element in one state of the page."""

    state: str
    rule: str
    target: str
    html: str
    why: str

    @property
    def tab(self) -> str:
        return self.state.partition(":")[0]


def axe_source() -> str:
    """The text of axe-core; the test is skipped where it is not installed."""
    if not AXE.is_file():
        pytest.skip("there is no axe-core: `npm ci` brings it")
    return AXE.read_text(encoding="utf-8")


def judge(page, state: str) -> list[Violation]:
    """What axe has against the page as it is; its script is loaded where it is not yet."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(axe_source() + ";0")
    page.wait_for_timeout(250)  # Gradio fades in what it shows
    return [Violation(state, **each) for each in page.evaluate(_RUN)]


def count_by_tab(found: list[Violation]) -> dict[str, dict[str, int]]:
    """Violations by tab and rule; an element counts once in a tab."""
    counts: dict[str, Counter] = {}
    for tab, rule, _ in sorted({(each.tab, each.rule, each.target) for each in found}):
        counts.setdefault(tab, Counter())[rule] += 1
    return {tab: dict(rules) for tab, rules in counts.items()}


def show_tab(page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def walk_live(page) -> Iterator[str]:
    """The Live tab before, with and after the camera."""
    page.wait_for_selector("#live .start:enabled", timeout=_TIMEOUT_MS)
    yield "Live: idle"
    page.click("#live .start")
    page.wait_for_selector("#live .faces .fer-bar", timeout=_TIMEOUT_MS)
    yield "Live: running"
    page.click("#live .stop")
    yield "Live: stopped"


def walk_photo(page, folder: Path) -> Iterator[str]:
    """The Photo tab: empty, a face, many faces, no face, a file that is no picture."""
    show_tab(page, "Photo")
    page.wait_for_selector("#photo .give:visible", timeout=_TIMEOUT_MS)
    yield "Photo: empty"
    for state, name, seen in (
        ("face", "astronaut_happy.jpg", "#photo .map[data-state=shown]"),
        ("group", "group.jpg", "#photo .cards button >> nth=8"),
    ):
        choose_photo(page, ROOT / "examples" / name)
        page.wait_for_selector(seen, timeout=_TIMEOUT_MS)
        yield f"Photo: {state}"
    Image.new("RGB", (640, 480), "gray").save(folder / "nobody.jpg")
    choose_photo(page, folder / "nobody.jpg")
    page.wait_for_selector("#photo >> text=/no face/i >> visible=true", timeout=_TIMEOUT_MS)
    yield "Photo: no face"
    choose_photo(page, write_letter(folder / "letter.jpg"))
    page.wait_for_selector("#photo .fer-error:visible", timeout=_TIMEOUT_MS)
    yield "Photo: error"


def choose_photo(page, path: Path) -> None:
    page.set_input_files("#photo .give input[type=file]", str(path))


def write_letter(path: Path) -> Path:
    path.write_text("Dear Sir or Madam", encoding="utf-8")
    return path


def walk_video(page, folder: Path) -> Iterator[str]:
    """The Video tab: empty, a file that is no video, at work, done."""
    show_tab(page, "Video")
    page.wait_for_selector("#video-input", timeout=_TIMEOUT_MS)
    yield "Video: empty"
    page.set_input_files("#video-input input[type=file]", str(write_letter(folder / "a.mp4")))
    page.wait_for_selector("#video-status .fer-error", timeout=_TIMEOUT_MS)
    yield "Video: error"
    page.get_by_role("radio", name="Overview").check()
    page.set_input_files("#video-input input[type=file]", str(CLIP))
    page.wait_for_selector("#video-status progress", timeout=_TIMEOUT_MS)
    yield "Video: running"
    page.wait_for_selector("#video-report .strip >> visible=true", timeout=_TIMEOUT_MS)
    page.wait_for_function("document.querySelector('#video-result video')?.readyState >= 2")
    yield "Video: result"


def walk_examples(page, compares: bool) -> Iterator[str]:
    """The Examples tab: before a click, and after it."""
    show_tab(page, "Examples")
    button = page.locator("#examples-gallery button").first
    button.wait_for(timeout=_TIMEOUT_MS)
    yield "Examples: empty"
    button.click()
    page.wait_for_selector("#example .map[data-state=shown]", timeout=_TIMEOUT_MS)
    if compares:
        page.wait_for_selector("#compare table", timeout=_TIMEOUT_MS)
    yield "Examples: result"


def judge_all(page, states: Iterator[str], look: Callable[[str], None] | None = None):
    """What axe has against the page in each state; `look` may take a picture of it."""
    found = []
    for state in states:
        found += judge(page, state)
        if look is not None:
            look(state)
    return found
