"""Other models below an example, in headless Chromium; and in a Space, from the Hub."""

import hashlib
import json
import os
import sys
from dataclasses import replace

import pytest

from bench.apps import run_app, serve
from fer.gallery import GALLERY_FOLDER
from fer.hub import WEIGHTS_FOLDER
from fer.types import ModelConfig
from fer.web.examples.files import list_examples
from tests.conftest import ROOT, visits

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REPO = "someone/fer"
# The same network under three names: one sees what the page sees, one calls it by other names,
# one is never sure.
TITLES = {"twin": "The twin", "turned": "All turned round", "unsure": "Never sure"}
PICTURE = "happy, 25, tone 5"

# Each row of the table that is seen: its kind, head, answer and verdict.
ROWS = """() => [...document.querySelectorAll('#compare [data-face]:not([hidden]) tbody tr')].map(
  (row) => [row.className, ...['th b', '.answer', '.verdict'].map(
    (name) => row.querySelector(name).textContent
  )]
)"""
SEEN = """() => [...document.querySelectorAll('#compare [data-face]')]
  .filter((part) => part.offsetParent).map((part) => part.dataset.face)"""
ROLES = """() => [...document.querySelectorAll('#compare tbody tr')].map((row) => row.role)"""
# Where cells lie, beside each other in a table or below each other in a card; and how many
# rows stand side by side.
CELLS = """() => {
  const [head, answer] = ['th', 'td'].map((name) => document
    .querySelector('#compare tbody ' + name).getBoundingClientRect());
  const where = answer.left >= head.right - 1 ? 'beside' :
    answer.top >= head.bottom - 1 ? 'below' : '?';
  const tops = [...document.querySelectorAll('#compare [data-face]:not([hidden]) tbody tr')].map(
    (row) => row.getBoundingClientRect().top);
  return [where, tops.filter((top) => top === tops[0]).length];
}"""


def write_gallery(folder):
    """A gallery of the bundled weights, in a file that the page does not take for them."""
    content = (WEIGHTS_FOLDER / "model.tflite").read_bytes() + b"\0"
    sha256 = hashlib.sha256(content).hexdigest()
    files = {"model_int8.tflite": sha256}
    config = ModelConfig.read(WEIGHTS_FOLDER)
    names = config.class_names
    configs = {
        "twin": config,
        "turned": replace(config, class_names=names[1:] + names[:1]),
        "unsure": replace(config, uncertain_below=1.0),
    }
    lines = []
    for recipe, title in {**TITLES, "gone": "Not there"}.items():
        line = {"recipe": recipe, "title": title, "idea": "One idea.", "n_classes": len(names)}
        lines.append({**line, "top1": 61.0, "sha256": sha256})
        if recipe in configs:
            (folder / recipe).mkdir(parents=True)
            (folder / recipe / "model_int8.tflite").write_bytes(content)
            text = replace(configs[recipe], recipe=recipe, files=files).to_json()
            (folder / recipe / "fer.json").write_text(text, encoding="utf-8")
    (folder / "models.json").write_text(json.dumps(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return write_gallery(tmp_path_factory.mktemp("gallery") / "models")


@pytest.fixture(scope="module")
def app(gallery):
    with serve("app.py", FER_DETECTOR="slim", FER_GALLERY_DIR=str(gallery)) as app:
        yield app
        assert "Traceback" not in app.log


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium()


@pytest.fixture
def visit(browser, app):
    with visits(browser, app.url, "Examples") as visit:
        yield visit


def click(page, caption):
    page.locator("#examples-gallery button", has_text=caption).first.click()
    page.wait_for_selector(f"#compare .of:has-text('{caption}') >> visible=true", timeout=60_000)


def test_a_click_shows_what_each_model_says(visit, app):
    page = visit()
    assert page.locator("#compare table").count() == 0
    click(page, PICTURE)
    own, twin, turned, unsure = page.evaluate(ROWS)
    label = own[2]
    assert page.inner_text("#example .detail h3").startswith(label)
    assert own == ["own", "The model of this page", label, "this page"]
    assert twin == ["same", "The twin", label, "= same"]
    names = ModelConfig.read(WEIGHTS_FOLDER).class_names
    other = names[(names.index(label) + 1) % len(names)]
    assert turned == ["differs", "All turned round", other, "\N{NOT EQUAL TO} differs"]
    assert unsure == ["same", "Never sure", f"uncertain: {label}?", "= same"]
    total = page.inner_text("#compare .sum >> visible=true")
    assert total == f"2 of 3 other models give the answer of this page, {label}."
    assert "Not available right now: Not there." in page.inner_text("#compare .notes")
    assert "the model of gone is not shown, because" in app.log
    # The first row has the very figures of the view above.
    above = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('#example .bars button')].map(
          (bar) => [bar.dataset.name, bar.querySelector('.percent').textContent]))"""
    )
    bars = page.locator("#compare tr.own .fer-bar").all()
    assert len(bars) == 3
    for bar in bars:
        name, percent = bar.locator("span:first-child").first, bar.locator(".percent")
        assert percent.inner_text() == above[name.inner_text()]


def test_it_follows_the_chosen_face_by_mouse_and_by_keys(visit):
    page = visit()
    click(page, "group of")
    n = page.locator("#example .cards button").count()
    assert n > 2
    assert page.evaluate(SEEN) == ["0"]
    page.locator("#example .cards button").nth(2).click()
    page.wait_for_selector(f"#compare .of:has-text('face 3 of {n}') >> visible=true")
    assert page.evaluate(SEEN) == ["2"]
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f"#compare .of:has-text('face 2 of {n}') >> visible=true")
    assert page.evaluate(SEEN) == ["1"]
    for i in range(n):
        page.locator("#example .cards button").nth(i).click()
        page.wait_for_selector(f"#compare .of:has-text('face {i + 1} of {n}') >> visible=true")
        label = page.inner_text("#compare tr.own .answer >> visible=true")
        assert page.inner_text("#example .detail h3").startswith(label)


def test_another_picture_begins_with_its_first_face(visit):
    page = visit()
    click(page, "group of")
    page.locator("#example .cards button").nth(2).click()
    click(page, PICTURE)
    assert page.evaluate(SEEN) == ["0"]
    assert page.locator("#compare .of").count() == 1


def test_it_is_of_the_picture_that_is_shown_however_fast_one_clicks(visit):
    page = visit()
    buttons = page.locator("#examples-gallery button")
    for i in range(6):
        buttons.nth(i).click(no_wait_after=True)
    captions = {
        f"{example.path.stem}_expressions.jpg": example.caption for example in list_examples()
    }
    page.wait_for_function(
        """(captions) => {
          const file = document.querySelector('#example .annotated').download;
          const seen = document.querySelector('#compare [data-face]:not([hidden]) .of');
          return seen && seen.textContent.split(' · ')[0] === 'Caption: ' + captions[file];
        }""",
        arg=captions,
    )


def test_light_dark_and_phone_fit(visit):
    """For a person to look at, in .shots/."""
    folder = ROOT / ".shots"
    folder.mkdir(exist_ok=True)
    for name, path, size, cells in (
        ("compare_light", "", (1280, 900), ["below", 3]),
        ("compare_dark", "/?__theme=dark", (1280, 900), ["below", 3]),
        ("compare_tablet", "", (680, 900), ["beside", 1]),
        ("compare_phone", "", (390, 844), ["below", 1]),
        ("compare_small_dark", "/?__theme=dark", (360, 740), ["below", 1]),
    ):
        page = visit(path, viewport=dict(zip(("width", "height"), size, strict=True)))
        click(page, PICTURE)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate(CELLS) == cells
        assert set(page.evaluate(ROLES)) == {"row"}
        assert page.get_by_role("row", name="The twin").count() == 1
        assert page.get_by_role("columnheader", name="Answer").count() == 1
        page.locator("#compare").screenshot(path=folder / f"{name}.png")


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The files of a Space, beside which there are no models."""
    files, space = map(pytest.importorskip, ("train.publish.files", "train.publish.space"))
    folder = tmp_path_factory.mktemp("space") / "app"
    files.write_folder(space.space_files(ROOT, None, None), folder)
    assert not (folder / GALLERY_FOLDER.relative_to(ROOT)).exists()
    return folder


@pytest.fixture
def serve_space(space, hub):
    """Runs it on a repository of the tests' Hub."""
    for name in ("fer.json", "model.tflite"):
        hub.files[REPO, name] = (WEIGHTS_FOLDER / name).read_bytes()

    def start():
        environment = {**os.environ, "FER_MODEL_REPO": REPO, "FER_DETECTOR": "slim"}
        return run_app([sys.executable, "app.py"], space, environment)

    return start


def asked(hub):
    return [request for request in hub.requests if "/gallery/" in request]


def test_a_space_gets_them_from_the_hub_at_the_first_click(serve_space, hub, gallery, browser):
    for path in gallery.rglob("*.*"):
        if path.is_file():
            name = path.relative_to(gallery).as_posix()
            hub.files[REPO, f"gallery/{name}"] = path.read_bytes()
    with serve_space() as app, visits(browser, app.url, "Examples") as visit:
        page = visit()
        assert f"weights of {REPO}" in app.log
        assert asked(hub) == []
        click(page, PICTURE)
        assert [row[1] for row in page.evaluate(ROWS)][1:] == list(TITLES.values())
        n_asked = len(asked(hub))
        assert n_asked > 0
        click(page, "group of")
        assert len(asked(hub)) == n_asked
        assert "Traceback" not in app.log


def test_without_a_gallery_on_the_hub_the_tab_is_as_it_was(serve_space, hub, browser):
    with serve_space() as app, visits(browser, app.url, "Examples") as visit:
        page = visit()
        for caption in (PICTURE, "group of"):
            page.locator("#examples-gallery button", has_text=caption).first.click()
            count = {PICTURE: "1 face", "group of": "9 faces"}[caption]
            page.wait_for_selector(f"#example .count:has-text('{count}')", timeout=60_000)
        page.wait_for_timeout(500)
        assert page.inner_text("#compare") == ""
        assert "no models of other recipes are shown, because" in app.log
        assert "Traceback" not in app.log
