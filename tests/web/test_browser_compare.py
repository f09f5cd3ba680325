"""Other models below an example, in headless Chromium; and in a Space, from the Hub."""

import hashlib
import json
import os
import sys
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from bench.apps import run_app, serve
from fer.gallery import GALLERY_FOLDER
from fer.hub import WEIGHTS_FOLDER
from fer.types import ModelConfig
from tests.conftest import FACE, ROOT, visits, with_classes

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REPO = "someone/fer"
# The same network under three names: one sees what the page sees, one calls it by other names,
# one is never sure.
TITLES = {"twin": "The twin", "turned": "All turned round", "unsure": "Never sure"}
PICTURE = "Set to: happy"

# Of each row of a model: what the sort of it is, its title, answer and verdict.
ROWS = """() => [...document.querySelectorAll('#compare tbody tr:is(.own, .same, .differs)')].map(
  (row) => [row.className, ...['.model', '.answer', '.verdict'].map(
    (name) => row.querySelector(name)?.textContent ?? ''
  )]
)"""
# Keeps what is sent of faces.
MEDDLE = """
window.asked = [];
const original = window.fetch;
window.fetch = async (...args) => {
  if (String((args[0] && args[0].url) || args[0]).includes("component_server")) {
    const { fn_name, data } = JSON.parse(args[1].body);
    if (fn_name === "compare") window.asked.push(data.crop);
  }
  return original(...args);
};
"""


def write_gallery(folder):
    """A gallery of the bundled weights, in a file that the page does not take for them."""
    content = (WEIGHTS_FOLDER / "model.tflite").read_bytes() + b"\0"
    sha256 = hashlib.sha256(content).hexdigest()
    files = {"model_int8.tflite": sha256}
    config = ModelConfig.read(WEIGHTS_FOLDER)
    names = config.class_names
    configs = {
        "twin": config,
        "turned": with_classes(config, names[1:] + names[:1]),
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
    with visits(browser, app.url, "Examples", script=MEDDLE) as visit:
        yield visit


def click(page, caption):
    """Choose an example, and wait until its face is compared."""
    page.locator("#examples-gallery button", has_text=caption).first.click()
    page.wait_for_selector(f"#examples-gallery .verdict:has-text('{caption}')", timeout=60_000)
    page.wait_for_selector("#compare table", timeout=60_000)


@pytest.mark.long
def test_a_click_shows_what_each_model_says(visit, app):
    page = visit()
    page.get_by_role("button", name="Show all 12").click()
    click(page, PICTURE)
    own, *others = page.evaluate(ROWS)
    label = "happy"
    expect(page.locator("#example .detail h2")).to_contain_text(label)
    assert own == ["own", "The model of this page", label, "\N{CHECK MARK} correct"]
    assert [row[:3] for row in others] == [
        *(
            ["same", title, answer]
            for title, answer in (("The twin", label), ("Never sure", "happy?"))
        ),
        ["differs", "All turned round", "neutral"],
    ]
    assert others[-1][3] == "\N{BALLOT X} missed"
    expect(page.locator("#compare .sum")).to_contain_text("2 of 3")
    expect(page.locator("#compare .sum")).to_contain_text("3 of all 4")
    expect(page.locator("#compare .notes")).to_contain_text("Not there")
    assert "the model of gone is not shown, because" in app.log
    # The first row has the very figure of the view above.
    above = page.inner_text("#example .bars [data-name=happy] .percent")
    expect(page.locator("#compare tr.own .percent")).to_have_text(above, use_inner_text=True)
    # What was set stands first; a click on a model tells of it.
    assert page.inner_text("#compare tbody tr:first-child").split() == ["Set", "to", label]
    twin = page.get_by_role("button", name="The twin")
    expect(page.locator("#compare .more:visible")).to_have_count(0)
    twin.click()
    expect(twin).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#compare .more:visible")).to_contain_text("61.0 %")
    expect(page.locator("#compare .more:visible .fer-bar")).to_have_count(3)


@pytest.mark.long
def test_the_first_example_is_shown_at_once(visit):
    page = visit()
    page.wait_for_selector("#example .detail:visible", timeout=60_000)
    page.wait_for_selector("#compare table", timeout=60_000)
    expect(page.locator("#examples-gallery [aria-pressed=true]")).to_have_count(1)
    expect(page.locator("#examples-gallery .strip button:visible")).to_have_count(8)
    expect(page.locator("#examples-gallery .verdict b")).to_have_count(0)


@pytest.mark.long
def test_a_miss_is_said(browser, gallery, tmp_path):
    config = ModelConfig.read(WEIGHTS_FOLDER)
    names = config.class_names
    turned = with_classes(config, names[1:] + names[:1])
    (tmp_path / "fer.json").write_text(turned.to_json(), encoding="utf-8")
    for name in turned.files:
        (tmp_path / name).write_bytes((WEIGHTS_FOLDER / name).read_bytes())
    settings = {"FER_GALLERY_DIR": str(gallery), "FER_MODEL_REPO": str(tmp_path)}
    with (
        serve("app.py", FER_DETECTOR="slim", **settings) as app,
        visits(browser, app.url, "Examples", script=MEDDLE) as visit,
    ):
        page = visit()
        click(page, "Set to: disgust")
        said = page.inner_text("#example .detail h2").split("\n")[0]
        assert not said.startswith("disgust")
        expect(page.locator("#examples-gallery .verdict")).to_contain_text(said)
        expect(page.locator("#examples-gallery .verdict b")).to_contain_text(
            "missed", use_inner_text=True
        )


@pytest.mark.long
def test_it_follows_the_chosen_face_by_mouse_and_by_keys(visit):
    page = visit()
    click(page, "Group of 9")
    cards = page.locator("#example .cards button")
    expect(cards).to_have_count(9)
    expect(page.locator("#compare tr.set")).to_have_count(0)
    cards.nth(2).click()
    page.wait_for_selector("#compare .sum:has-text('Face 3 of 9')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#compare .sum:has-text('Face 2 of 9')")
    said = page.inner_text("#example .detail h2")
    assert said.startswith(page.inner_text("#compare tr.own .answer").rstrip("?"))
    click(page, "Set to: sad")
    page.wait_for_selector("#compare tr.set")
    expect(page.locator("#compare .sum")).not_to_contain_text("Face", use_inner_text=True)


@pytest.mark.long
def test_ones_own_face_is_sent_at_a_click_alone(visit):
    page = visit(tab="Photo")
    page.set_input_files("#photo .give input[type=file]", str(FACE))
    page.wait_for_selector("#photo .detail:visible", timeout=60_000)
    part = page.locator("#photo-compare summary")
    part.wait_for(timeout=20_000)
    expect(part).to_contain_text("Sends this face")
    expect(page.locator("#photo-compare tr")).to_have_count(0)
    assert page.evaluate("asked.length") == 0
    part.click()
    page.wait_for_selector("#photo-compare table", timeout=60_000)
    assert page.evaluate("asked") == [page.get_attribute("#photo .crop", "src")]
    expect(page.locator("#photo-compare tr.set")).to_have_count(0)
    # Another picture is not sent.
    page.set_input_files("#photo .give input[type=file]", str(ROOT / "examples" / "group.jpg"))
    page.wait_for_selector("#photo .cards button:visible", timeout=60_000)
    page.locator("#photo .cards button").nth(1).click()
    expect(page.locator("#photo-compare [open]")).to_have_count(0)
    assert page.evaluate("asked.length") == 1


@pytest.mark.long
def test_light_dark_and_phone_fit(visit):
    """For a person to look at, in .shots/."""
    folder = ROOT / ".shots"
    folder.mkdir(exist_ok=True)
    for name, path, size in (
        ("compare_light", "", (1280, 900)),
        ("compare_small_dark", "/?__theme=dark", (360, 740)),
    ):
        page = visit(path, viewport=dict(zip(("width", "height"), size, strict=True)))
        click(page, "Set to: angry")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        expect(page.get_by_role("row", name="The twin")).to_have_count(1)
        expect(page.get_by_role("columnheader", name="Says")).to_have_count(1)
        assert page.locator("#compare").bounding_box()["height"] < 900
        page.locator("#compare").screenshot(path=folder / f"{name}.png")


@pytest.mark.long
def test_on_a_phone_the_row_is_swiped_and_stays_in_sight(visit):
    page = visit(viewport={"width": 390, "height": 844})
    click(page, "Set to: angry")
    strip = page.locator("#examples-gallery .strip")
    expect(strip.locator("button:visible")).to_have_count(12)
    assert strip.evaluate("(one) => one.scrollWidth > one.clientWidth")
    page.locator("#compare").evaluate(
        "(one) => scrollTo(0, scrollY - 300 + one.getBoundingClientRect().top)"
    )
    assert page.evaluate("scrollY") > 500
    assert -1 <= strip.bounding_box()["y"] < 60


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


@pytest.mark.long
def test_a_space_gets_them_from_the_hub_at_the_first_click(serve_space, hub, gallery, browser):
    for path in gallery.rglob("*.*"):
        if path.is_file():
            name = path.relative_to(gallery).as_posix()
            hub.files[REPO, f"gallery/{name}"] = path.read_bytes()
    with serve_space() as app, visits(browser, app.url, "Examples") as visit:
        page = visit()
        assert f"weights of {REPO}" in app.log
        click(page, "Grace Hopper")
        assert {row[1] for row in page.evaluate(ROWS)[1:]} == set(TITLES.values())
        n_asked = len(asked(hub))
        assert n_asked > 0
        click(page, "Group of 9")
        assert len(asked(hub)) == n_asked
        assert "Traceback" not in app.log


@pytest.mark.long
def test_without_a_gallery_on_the_hub_the_tab_is_as_it_was(serve_space, hub, browser):
    with serve_space() as app, visits(browser, app.url, "Examples") as visit:
        page = visit()
        for caption, count in (("Grace Hopper", "1 face"), ("Group of 9", "9 faces")):
            page.locator("#examples-gallery button", has_text=caption).first.click()
            page.wait_for_selector(f"#example .count:has-text('{count}')", timeout=60_000)
        page.wait_for_timeout(500)
        expect(page.locator("#compare .compare")).to_be_hidden()
        assert "no models of other recipes are shown, because" in app.log
        assert "Traceback" not in app.log
