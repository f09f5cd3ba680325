"""The Photo tab in headless Chromium: what a visitor does with a picture."""

import base64
import csv
import io
import json

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import expect

from fer.hub import load_classifier
from fer.image import read_image
from tests.conftest import FACE, ROOT, open_page, rendered_face, saved, visits

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# What is above the tab's content in the window.
HEAD_PX = 160
PEOPLE = [(name, sex) for sex in ("female", "male") for name in ("happy", "surprise")]
SIDE = 480

# Counts what is asked for, and lets a test change or hold back the answers.
MEDDLE = """
window.asked = [];
window.meddle = null;
const original = window.fetch;
window.fetch = async (...args) => {
  const url = String((args[0] && args[0].url) || args[0]);
  if (!url.includes("component_server")) return original(...args);
  window.asked.push(JSON.parse(args[1].body).data.class_index);
  const response = await original(...args);
  if (!window.meddle) return response;
  return new Response(JSON.stringify(window.meddle), {
    status: 200, headers: { "content-type": "application/json" },
  });
};
"""

# The picture's edge and side in the stage, px, and where a face is that lies at (x, y) of it.
SHEET = """() => {
  const outer = document.querySelector('#photo .stage').getBoundingClientRect();
  const inner = document.querySelector('#photo .sheet').getBoundingClientRect();
  return {
    left: inner.left - outer.left, top: inner.top - outer.top,
    zoom: inner.width / outer.width, width: outer.width, height: outer.height,
  };
}"""


@pytest.fixture(scope="module")
def app(slim_app):
    return slim_app


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """Four faces, two by two, of 480 px each."""
    faces = [rendered_face(*person, SIDE) for person in PEOPLE]
    path = tmp_path_factory.mktemp("pictures") / "group.png"
    Image.fromarray(np.vstack([np.hstack(faces[:2]), np.hstack(faces[2:])])).save(path)
    return path


@pytest.fixture
def visit(browser, app):
    with visits(browser, app.url, "Photo", script=MEDDLE, accept_downloads=True) as visit:
        yield visit


def give(page, path, n_faces):
    page.set_input_files("#photo .give input[type=file]", str(path))
    words = {0: "No face found", 1: "1 face"}
    page.wait_for_selector(f"#photo .count:has-text('{words.get(n_faces, f'{n_faces} faces')}')")


def wait_for_map(page):
    page.wait_for_selector("#photo .map[data-state=shown]", timeout=20_000)
    return page.get_attribute("#photo .map img", "src")


def pressed(page, row):
    return page.eval_on_selector_all(
        f"#photo .{row} button", "all => all.map((one) => one.getAttribute('aria-pressed'))"
    ).index("true")


def decoded(url):
    return read_image(base64.b64decode(url.split(",")[1]))


def chosen(page, view="#photo"):
    """The index in the JSON of the face that is selected."""
    return int(page.get_attribute(f"{view} .boxes [aria-pressed=true]", "data-face"))


def data_of(page):
    return json.loads(page.text_content("#photo .data pre"))


def by_rows(faces):
    """The faces of `group` as they are numbered."""
    return sorted(faces, key=lambda face: [face["box_xyxy"][i] // SIDE for i in (1, 0)])


def test_click_a_face_see_its_probabilities_and_its_map(visit, group):
    names = load_classifier().config.class_names
    page = visit()
    give(page, group, 4)
    faces = by_rows(data_of(page)["faces"])
    expect(page.locator("#photo .box")).to_have_count(4)
    expect(page.locator("#photo .cards button")).to_have_count(4)
    stage = page.locator("#photo .stage").bounding_box()
    for i, face in enumerate(faces):
        x0, y0, x1, y1 = (value / (2 * SIDE) for value in face["box_xyxy"])
        x = stage["x"] + stage["width"] * (x0 + x1) / 2
        y = stage["y"] + stage["height"] * (y0 + y1) / 2
        page.mouse.click(x, y)
        assert pressed(page, "boxes") == pressed(page, "cards") == i
        expect(page.locator("#photo .detail h2")).to_contain_text(
            f"face {i + 1} of 4", use_inner_text=True
        )
        shown = f"{i + 1} {face['label']}"
        for row in ("boxes", "cards"):
            button = page.locator(f"#photo .{row} [aria-pressed=true]")
            assert " ".join(button.inner_text().split()).startswith(shown)
            assert button.get_attribute("aria-label").startswith(f"Face {shown}")
        bars = page.locator("#photo .bars .percent").all_inner_texts()
        assert bars == [f"{round(100 * face['probs'][name] + 1e-9)} %" for name in names]
        chosen = page.get_attribute("#photo .bars button[aria-pressed=true]", "data-name")
        assert chosen == face["label"]
    heat = decoded(wait_for_map(page)).astype(int)
    crop = decoded(page.get_attribute("#photo .crop", "src"))
    assert heat.shape == crop.shape
    assert np.ptp(heat, axis=2).max() > 40
    assert np.ptp(heat[0, 0]) < 30
    expect(page.locator("#photo .why")).to_contain_text("area")


@pytest.mark.long
def test_another_expression_has_another_map_and_is_asked_for_once(visit, group):
    names = load_classifier().config.class_names
    page = visit()
    give(page, group, 4)
    first = wait_for_map(page)
    label = by_rows(data_of(page)["faces"])[0]["label"]
    other = next(name for name in names if name != label)
    page.click(f"#photo .bars button[data-name={other}]")
    page.wait_for_function(
        f"document.querySelector('#photo .legend').innerText.includes('{other}')"
    )
    assert wait_for_map(page) != first
    page.click(f"#photo .bars button[data-name={label}]")
    assert wait_for_map(page) == first
    assert page.evaluate("window.asked") == [names.index(label), names.index(other)]


@pytest.mark.long
def test_keys_go_from_face_to_face_and_ask_for_the_last_one_only(visit, group):
    page = visit()
    give(page, group, 4)
    wait_for_map(page)
    asked = page.evaluate("window.asked.length")
    for row in ("boxes", "cards"):
        page.focus(f"#photo .{row} button[aria-pressed=true]")
        for key, expected in (
            ("End", 3),
            ("ArrowRight", 0),
            ("ArrowLeft", 3),
            ("ArrowUp", 2),
            ("ArrowDown", 3),
            ("Home", 0),
            ("ArrowRight", 1),
        ):
            page.keyboard.press(key)
            assert pressed(page, row) == expected
            focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
            assert focused.startswith(f"Face {expected + 1} ")
        wait_for_map(page)
    assert page.evaluate("window.asked.length") <= asked + 4
    # One Tab stop a row: from the boxes to the tools of the zoom.
    page.focus("#photo .boxes button[aria-pressed=true]")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_class("nearer")
    page.focus("#photo .cards button[aria-pressed=true]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert pressed(page, "boxes") == 2


@pytest.mark.long
def test_zoom_by_buttons_wheel_keys_double_click_and_drag(visit, group):
    page = visit()
    give(page, group, 4)
    wait_for_map(page)
    page.locator("#photo .stage").scroll_into_view_if_needed()
    stage = page.locator("#photo .stage").bounding_box()
    zoom = lambda: page.evaluate(SHEET)["zoom"]  # noqa: E731
    expect(page.locator("#photo .farther")).to_be_disabled()
    page.click("#photo .nearer")
    page.click("#photo .nearer")
    assert zoom() == pytest.approx(2.25, rel=0.01)
    page.click("#photo .farther")
    assert zoom() == pytest.approx(1.5, rel=0.01)
    page.click("#photo .whole")
    assert page.evaluate(SHEET) | {"left": 0, "top": 0, "zoom": 1} == page.evaluate(SHEET)
    # The place under the pointer stays there.
    x, y = 0.3 * stage["width"], 0.6 * stage["height"]
    page.mouse.move(stage["x"] + x, stage["y"] + y)
    for _ in range(4):
        page.mouse.wheel(0, -150)
    page.wait_for_function("Number(document.querySelector('#photo .stage').dataset.zoom) > 3")
    now = page.evaluate(SHEET)
    assert (x - now["left"]) / now["zoom"] == pytest.approx(x, abs=2)
    assert (y - now["top"]) / now["zoom"] == pytest.approx(y, abs=2)
    # A drag moves the picture and chooses nobody.
    before = pressed(page, "boxes")
    page.mouse.down()
    page.mouse.move(stage["x"] + x + 40, stage["y"] + y - 30, steps=5)
    page.mouse.up()
    moved = page.evaluate(SHEET)
    assert moved["left"] == pytest.approx(now["left"] + 40, abs=2)
    assert moved["top"] == pytest.approx(now["top"] - 30, abs=2)
    assert pressed(page, "boxes") == before
    # Not further than the picture's edge.
    page.mouse.down()
    page.mouse.move(stage["x"] + x + 4000, stage["y"] + y + 4000, steps=5)
    page.mouse.up()
    assert page.evaluate(SHEET)["left"] == page.evaluate(SHEET)["top"] == 0
    page.mouse.dblclick(stage["x"] + 5, stage["y"] + 5)
    assert zoom() == 1
    page.mouse.dblclick(stage["x"] + 5, stage["y"] + 5)
    assert zoom() == pytest.approx(3, rel=0.01)
    # A face out of sight comes into view with the keys.
    page.focus("#photo .boxes button[aria-pressed=true]")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        box = page.locator("#photo .boxes button[aria-pressed=true]").bounding_box()
        assert box["x"] < stage["x"] + stage["width"]
        assert box["x"] + box["width"] > stage["x"]
    page.keyboard.press("0")
    assert zoom() == 1
    page.keyboard.press("+")
    page.keyboard.press("-")
    page.keyboard.press("+")
    assert zoom() == pytest.approx(1.5, rel=0.01)
    # The page scrolls where there is nothing to zoom out of.
    page.keyboard.press("0")
    page.mouse.move(stage["x"] + x, stage["y"] + y)
    page.mouse.wheel(0, 200)
    page.wait_for_function("window.scrollY > 50")
    assert zoom() == 1


@pytest.mark.long
def test_two_fingers_zoom(visit, group):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    give(page, group, 4)
    wait_for_map(page)
    page.locator("#photo .stage").scroll_into_view_if_needed()
    stage = page.locator("#photo .stage").bounding_box()
    session = page.context.new_cdp_session(page)
    middle = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)

    def touch(kind, *spans):
        points = [{"x": middle[0] + span, "y": middle[1], "id": i} for i, span in enumerate(spans)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -30, 30)
    for span in range(35, 95, 5):
        touch("touchMove", -span, span)
    touch("touchEnd")
    page.wait_for_function("Number(document.querySelector('#photo .stage').dataset.zoom) > 2")
    now = page.evaluate(SHEET)
    assert now["zoom"] == pytest.approx(3, rel=0.1)
    assert now["left"] == pytest.approx(-now["width"], rel=0.15)


def test_downloads_are_the_whole_picture_the_json_and_the_csv(visit, group, tmp_path):
    page = visit()
    give(page, group, 4)
    found = {}
    for name in ("annotated", "json", "csv"):
        download = saved(page, name)
        found[name] = tmp_path / download.suggested_filename
        download.save_as(found[name])
    assert [path.name for path in found.values()] == [
        "group_expressions.jpg",
        "group_expressions.json",
        "group_expressions.csv",
    ]
    picture = read_image(found["annotated"])
    assert picture.shape == (2 * SIDE, 2 * SIDE, 3)
    assert np.abs(picture.astype(int) - read_image(group)).max() > 100
    data = json.loads(found["json"].read_text(encoding="utf-8"))
    assert data == data_of(page)
    with found["csv"].open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for i, (row, face) in enumerate(zip(rows, data["faces"], strict=True)):
        assert row["face"] == str(i + 1)
        assert row["label"] == face["label"]
        assert row["uncertain"] == str(face["uncertain"]).lower()
        assert [float(row[key]) for key in ("x0", "y0", "x1", "y1")] == face["box_xyxy"]
        for name, p in face["probs"].items():
            assert float(row[f"p_{name}"]) == pytest.approx(p, abs=1e-6)


COPY = """async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const blob = new Blob([bytes], { type: 'image/png' });
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
}"""


@pytest.mark.long
def test_paste_with_the_keys_and_with_the_button(visit, group):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    face = io.BytesIO()
    Image.open(FACE).save(face, "PNG")
    page.evaluate(COPY, base64.b64encode(face.getvalue()).decode())
    page.keyboard.press("Control+V")
    page.wait_for_selector("#photo .count:has-text('1 face')", timeout=20_000)
    page.evaluate(COPY, base64.b64encode(group.read_bytes()).decode())
    page.keyboard.press("Control+V")
    page.wait_for_selector("#photo .count:has-text('4 faces')", timeout=20_000)
    page.evaluate(COPY, base64.b64encode(face.getvalue()).decode())
    page.click("#photo .paste")
    page.wait_for_selector("#photo .count:has-text('1 face')", timeout=20_000)
    # On another tab a paste is not meant for this one.
    page.evaluate(COPY, base64.b64encode(group.read_bytes()).decode())
    page.get_by_role("tab", name="Live").click()
    page.keyboard.press("Control+V")
    page.wait_for_timeout(1500)
    assert page.text_content("#photo .count").startswith("1 face")


@pytest.mark.long
def test_chips_show_some_of_the_faces_only(visit, group):
    page = visit()
    give(page, group, 4)
    faces = by_rows(data_of(page)["faces"])
    labels = [face["label"] for face in faces]
    for label in sorted(set(labels)):
        chip = page.locator("#photo .chip", has_text=f"{labels.count(label)} {label}")
        chip.click()
        expect(chip).to_have_attribute("aria-pressed", "true")
        for row in ("boxes", "cards"):
            shown = page.locator(f"#photo .{row} button >> visible=true")
            assert [
                label in name for name in shown.evaluate_all("a => a.map((b) => b.ariaLabel)")
            ] == [True] * labels.count(label)
        expect(page.locator("#photo .detail h2")).to_contain_text(label)
        # The keys go round the faces that are shown.
        page.focus("#photo .cards [aria-pressed=true]")
        for _ in range(labels.count(label)):
            page.keyboard.press("ArrowRight")
            assert faces[pressed(page, "cards")]["label"] == label
    chip.click()
    expect(page.locator("#photo .chip[aria-pressed=true]")).to_have_count(0)
    expect(page.locator("#photo .box >> visible=true")).to_have_count(4)


@pytest.mark.long
def test_an_empty_tab_offers_pictures_to_try_and_room_for_the_result_after_one_click(visit):
    page = visit(viewport={"width": 1280, "height": 800})
    tries = page.locator("#photo .tries button")
    expect(tries).to_have_count(3)
    for name in ("choose", "shoot"):
        assert page.locator(f"#photo .{name}").bounding_box()["height"] >= 44
    tries.nth(1).click()
    wait_for_map(page)
    expect(page.locator("#photo .tries")).to_be_hidden()
    # The button that had the focus is gone; what it led to can be done again.
    expect(page.locator(":focus")).to_have_class("choose")
    tab = page.locator("#photo").bounding_box()["y"]
    for part in ("stage", "bars"):
        box = page.locator(f"#photo .{part}").bounding_box()
        assert box["y"] + box["height"] <= tab + 800 - HEAD_PX
    page.click("#photo .clear")
    expect(page.locator("#photo .tries")).to_be_visible()
    expect(page.locator(":focus")).to_have_class("choose")


@pytest.mark.long
def test_the_slider_goes_from_the_map_to_the_face(visit, group):
    page = visit()
    give(page, group, 4)
    wait_for_map(page)
    opacity = "getComputedStyle(document.querySelector('#photo .map')).opacity"
    assert page.evaluate(opacity) == "1"
    page.focus("#photo .mix input")
    page.keyboard.press("Home")
    assert page.evaluate(opacity) == "0"
    # It stays there for the next face.
    page.click("#photo .cards button >> nth=2")
    wait_for_map(page)
    assert page.evaluate(opacity) == "0"


@pytest.mark.long
def test_the_menu_closes_after_a_choice_and_by_escape(visit, group):
    page = visit()
    give(page, group, 4)
    saved(page, "csv")
    expect(page.locator("#photo .csv")).to_be_hidden()
    page.keyboard.press("Enter")  # the focus is on the menu's button
    expect(page.locator("#photo .csv")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#photo .csv")).to_be_hidden()


@pytest.mark.long
def test_a_dropped_picture_takes_the_place_of_the_one_that_is_shown(visit, group):
    page = visit()
    give(page, FACE, 1)
    drag = """([text, kind]) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], 'group.png', { type: 'image/png' }));
      const options = { dataTransfer, bubbles: true, cancelable: true };
      document.querySelector('#photo .stage').dispatchEvent(new DragEvent(kind, options));
    }"""
    text = base64.b64encode(group.read_bytes()).decode()
    page.evaluate(drag, [text, "dragover"])
    expect(page.locator("#photo .drop")).to_be_visible()
    page.evaluate(drag, [text, "drop"])
    expect(page.locator("#photo .drop")).to_be_hidden()
    page.wait_for_selector("#photo .count:has-text('4 faces')", timeout=20_000)


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".mpo", ".jp2", ".heic"])
@pytest.mark.parametrize("how", ["chosen", "dropped"])
def test_pictures_whose_type_the_browser_does_not_know_are_taken(
    visit, group, tmp_path, suffix, how
):
    path = tmp_path / f"photo{suffix}"
    image = Image.open(group).convert("RGB")
    if suffix == ".heic":
        pillow_heif.from_pillow(image).save(path)
    else:
        image.save(path)
    page = visit()
    if how == "chosen":
        give(page, path, 4)
        return
    page.evaluate(
        """([data, name]) => {
          const file = new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name);
          const carried = new DataTransfer();
          carried.items.add(file);
          const target = document.querySelector("#photo .choose");
          const options = { dataTransfer: carried, bubbles: true, cancelable: true };
          target.dispatchEvent(new DragEvent("drop", options));
        }""",
        [base64.b64encode(path.read_bytes()).decode(), path.name],
    )
    page.wait_for_selector("#photo .count:has-text('4 faces')", timeout=20_000)


@pytest.mark.long
def test_no_face_a_broken_file_and_a_refused_explanation_say_so_until_the_next_picture(
    visit, group, tmp_path
):
    page = visit()
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    page.set_input_files("#photo .give input[type=file]", str(tmp_path / "letter.jpg"))
    page.wait_for_selector("#photo .fer-error:has-text('picture we can open')")
    expect(page.locator("#photo .result")).to_be_hidden()
    Image.fromarray(np.full((300, 400, 3), 128, np.uint8)).save(tmp_path / "wall.png")
    give(page, tmp_path / "wall.png", 0)
    expect(page.locator("#photo .fer-error")).to_be_hidden()
    for part in ("detail", "cards", "save", "tools", "data"):
        expect(page.locator(f"#photo .{part}")).to_be_hidden()
    said, stage = (page.locator(f"#photo .{part}").bounding_box() for part in ("count", "stage"))
    assert said["y"] + said["height"] <= stage["y"]
    page.evaluate("window.meddle = { error: { code: 'busy', message: 'Many people are here.' } }")
    give(page, group, 4)
    page.wait_for_selector("#photo .why:has-text('Many people are here.')")
    page.evaluate("window.meddle = null")
    page.click("#photo .bars button[aria-pressed=true]")
    wait_for_map(page)
    page.click("#photo .clear")
    expect(page.locator("#photo .result")).to_be_hidden()
    expect(page.locator("#photo .message")).to_be_visible()
    give(page, group, 4)
    expect(page.locator("#photo .result")).to_be_visible()


# A camera that takes its time until the first frame.
SLOW_CAMERA = """
const { play } = HTMLMediaElement.prototype;
HTMLMediaElement.prototype.play = async function (...args) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  return play.apply(this, args);
};
"""


@pytest.mark.long
def test_a_shot_of_the_camera_is_analysed(camera, app):
    page = open_page(camera, app.url, permissions=["camera"], script=SLOW_CAMERA)
    page.get_by_role("tab", name="Photo").click()
    page.click("#photo .shoot")
    page.wait_for_selector("#photo .shutter")
    expect(page.locator("#photo .shutter")).to_be_disabled()
    page.click("#photo .shutter")  # waits until it can be clicked
    page.wait_for_selector("#photo .count:has-text('1 face')", timeout=20_000)
    assert page.problems == []


@pytest.mark.long
def test_light_dark_and_phone_fit(visit, group):
    """For a person to look at, in .shots/."""
    folder = ROOT / ".shots"
    folder.mkdir(exist_ok=True)
    for name, path, size in (
        ("photo_light", "", (1280, 800)),
        ("photo_dark", "/?__theme=dark", (1280, 800)),
        ("photo_phone", "", (390, 844)),
    ):
        page = visit(path, viewport={"width": size[0], "height": size[1]})
        give(page, group, 4)
        wait_for_map(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        page.screenshot(path=folder / f"{name}.png", full_page=True)
