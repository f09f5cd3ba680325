"""The Photo and Examples tabs with the browser's own engine, in headless Chromium."""

import csv
import io
import json

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import expect

from fer import Pipeline, read_image
from fer.annotate import annotate, caption
from fer.explain import explain, overlay
from fer.hub import load_classifier
from fer.preprocess import resize
from fer.serialize import to_dict
from fer.table import TableWriter, face_schema
from fer.web.notice import GUESS
from tests.conftest import FACE, ROOT, YUNET, rendered_face, saved, shared, visits
from tests.web.test_browser_local import LARGEST
from tests.web.test_browser_photo import PEOPLE, SIDE, chosen, data_of, decoded, wait_for_map

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HERE = "Analysed on this device: the picture did not leave it."


@pytest.fixture(scope="module")
def pipeline():
    from fer.detect import YuNetDetector

    return Pipeline(YuNetDetector(shared("models", YUNET.name)), load_classifier())


@pytest.fixture(scope="module")
def group():
    """Four faces, two by two."""
    faces = [rendered_face(*person, SIDE) for person in PEOPLE]
    return np.vstack([np.hstack(faces[:2]), np.hstack(faces[2:])])


@pytest.fixture
def visit(browser, device_app):
    """Opens a tab whose requests gather in `sent`."""
    with visits(browser, device_app.url, "Photo", accept_downloads=True) as open_tab:

        def visit(engine="device", tab="Photo", **context):
            page = open_tab(engine=engine, tab=tab, **context)
            page.sent = []
            page.on("request", lambda request: page.sent.append(request.url))
            return page

        yield visit


def give(page, path, said=HERE):
    page.set_input_files("#photo .give input[type=file]", str(path))
    page.wait_for_selector(f"#photo .where:has-text({json.dumps(said)})", timeout=60_000)


def loaded(page):
    """Waits until the engine is there, and forgets what that fetched."""
    page.hover("#photo .choose")
    page.wait_for_selector("#photo .where:has-text('do not leave it')", timeout=60_000)
    page.sent.clear()
    return page


def save(image, path, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def assert_near(data, result):
    wanted = to_dict(result)
    assert data["frame"] == wanted["frame"]
    assert data["class_names"] == wanted["class_names"]
    assert list(data["timing_ms"]) == list(wanted["timing_ms"])
    pairs = zip(
        *(sorted(each["faces"], key=lambda face: face["box_xyxy"]) for each in (data, wanted)),
        strict=True,
    )
    for ours, theirs in pairs:
        assert list(ours) == list(theirs)
        assert ours["box_xyxy"] == pytest.approx(theirs["box_xyxy"], abs=1)
        assert ours["label"] == theirs["label"]
        assert ours["probs"] == pytest.approx(theirs["probs"], abs=LARGEST)


def test_a_picture_is_analysed_explained_and_saved_without_a_request(
    visit, group, pipeline, tmp_path
):
    page = loaded(visit())
    give(page, save(group, tmp_path / "the group.png"))
    data = data_of(page)
    result = pipeline(group)
    assert_near(data, result)
    expect(page.locator("#photo .box")).to_have_count(4)
    expect(page.locator("#photo .cards button")).to_have_count(4)
    page.click("#photo .cards button >> nth=2")
    heat = decoded(wait_for_map(page)).astype(int)
    crop = decoded(page.get_attribute("#photo .crop", "src"))
    index = data["class_names"].index(data["faces"][chosen(page)]["label"])
    wanted = overlay(crop, explain(pipeline.classifier, crop, index)).astype(int)
    assert np.abs(heat - wanted).mean() < 6
    expect(page.locator("#photo .why")).to_contain_text("area")
    found = {}
    for name in ("annotated", "json", "csv"):
        download = saved(page, name)
        found[download.suggested_filename] = path = tmp_path / name
        download.save_as(path)
    assert list(found) == [f"the group_expressions.{form}" for form in ("jpg", "json", "csv")]
    assert json.loads((tmp_path / "json").read_text(encoding="utf-8")) == data
    assert (tmp_path / "csv").read_text(encoding="utf-8-sig") == python_csv(data)
    drawn = read_image(tmp_path / "annotated").astype(int)
    same = caption(annotate(group, result), GUESS).astype(int)
    assert drawn.shape == same.shape
    is_drawn = np.abs(same - group).max(axis=2) > 40
    # Letters are of another font.
    assert (np.abs(drawn - same).max(axis=2) > 60)[is_drawn].mean() < 0.4
    assert (np.abs(drawn - same).max(axis=2) > 60)[~is_drawn].mean() < 0.02
    assert [url for url in page.sent if not url.startswith(("blob:", "data:"))] == []


def python_csv(data):
    """The table that Python writes of the same answer."""
    buffer = io.BytesIO()
    with TableWriter(buffer, face_schema(data["class_names"]), "csv") as table:
        for number, face in enumerate(data["faces"], 1):
            box = dict(zip(("x0", "y0", "x1", "y1"), face["box_xyxy"], strict=True))
            row = {key: face[key] for key in ("track_id", "label", "uncertain", "score")}
            probs = {f"p_{name}": p for name, p in face["probs"].items()}
            table.write([{"face": number, **row, **box, **probs}])
    text = buffer.getvalue().decode()
    assert len(list(csv.reader(io.StringIO(text)))) == 5
    return text


def pictures(group, folder):
    """Files whose pixels are not simply those of the picture."""
    small = Image.fromarray(resize(group, 500, 500))
    left = small.crop((0, 0, 250, 500))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield save(left.transpose(Image.Transpose.ROTATE_90), folder / "turned.jpg", exif=exif)
    clear = small.convert("RGBA")
    clear.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 500).astype(np.uint8), (500, 1))))
    yield save(clear, folder / "clear.png")
    frames = [left.quantize(64), left.rotate(180).quantize(64)]
    yield save(frames[0], folder / "moving.gif", save_all=True, append_images=frames[1:])
    yield save(small.convert("CMYK"), folder / "print.jpg", quality=95)
    yield save(small.convert("L"), folder / "gray.webp", quality=95)
    yield save(Image.fromarray(resize(group, 480, 480)), folder / "plain.bmp")


@pytest.mark.long
def test_what_a_file_says_of_its_pixels_is_heeded_as_on_the_server(
    visit, group, pipeline, tmp_path
):
    page = loaded(visit())
    for path in pictures(group, tmp_path):
        page.click("#photo .clear") if page.is_visible("#photo .clear") else None
        give(page, path)
        data = data_of(page)
        assert_near(data, pipeline(read_image(path)))
        assert bool(data.get("notes")) == (path.suffix == ".gif")
        assert page.is_visible("#photo .notes") == (path.suffix == ".gif")
    assert [url for url in page.sent if not url.startswith(("blob:", "data:"))] == []


@pytest.mark.long
def test_what_the_browser_cannot_open_goes_to_the_server_only_if_it_may(visit, group, tmp_path):
    heic = tmp_path / "phone.heic"
    pillow_heif.from_pillow(Image.fromarray(group)).save(heic)
    deep = tmp_path / "deep.png"
    cv2.imwrite(str(deep), group[..., ::-1].astype(np.uint16) << 4)
    large = save(Image.new("1", (8200, 8200)), tmp_path / "large.png")
    page = loaded(visit("auto"))
    give(
        page,
        heic,
        "Analysed on the server: this browser cannot open phone.heic: it is of the kind HEIC",
    )
    expect(page.locator("#photo .box")).to_have_count(4)
    wait_for_map(page)
    # A browser shows 16 bits by the upper 8, which here are nearly black.
    page.set_input_files("#photo .give input[type=file]", str(deep))
    page.wait_for_selector("#photo .working:has-text('Analysing on the server')")
    expect(page.locator("#photo .where")).to_contain_text("phone.heic")
    page.wait_for_selector("#photo .where:has-text('the server: deep.png has 16 bits a colour')")
    expect(page.locator("#photo .working")).to_be_hidden()
    expect(page.locator("#photo .box")).to_have_count(4)
    page.select_option("#photo .engine select", "device")
    give(page, deep)
    expect(page.locator("#photo .notes")).to_contain_text("16 bits a colour")
    page.sent.clear()
    for path, said in (
        (heic, "This browser cannot open phone.heic"),
        (large, "large.png must have at most 64 megapixels. Received: 8200 x 8200"),
    ):
        page.set_input_files("#photo .give input[type=file]", str(path))
        page.wait_for_selector(f"#photo .fer-error:has-text('{said}')", timeout=30_000)
        expect(page.locator("#photo .result")).to_be_hidden()
    assert [url for url in page.sent if not url.startswith(("blob:", "data:"))] == []


@pytest.mark.long
def test_an_example_is_analysed_here_and_compared_by_the_server(visit, pipeline):
    page = visit("device", tab="Examples")
    page.locator("#examples-gallery button", has_text="group of").click()
    page.wait_for_selector("#example .where:text-is('Analysed on this device.')", timeout=60_000)
    expect(page.locator("#example .box")).to_have_count(9)
    data = json.loads(page.text_content("#example .data pre"))
    assert_near(data, pipeline(read_image(ROOT / "examples" / "group.jpg")))
    page.wait_for_selector("#compare table", timeout=60_000)
    page.locator("#example .cards button").nth(4).click()
    page.wait_for_selector("#compare .sum:has-text('Face 5 of 9')")
    expect(page.locator("#examples-gallery [aria-pressed=true]")).to_have_text(
        "Group of 9", use_inner_text=True
    )
    # One choice for all tabs: that of the Photo tab's switch.
    page.get_by_role("tab", name="Photo").click()
    page.select_option("#photo .engine select", "server")
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#live .engine select")).to_have_value("server")
    page.get_by_role("tab", name="Examples").click()
    page.locator("#examples-gallery button").nth(4).click()
    page.wait_for_selector("#example .where:has-text('Analysed on the server.')", timeout=60_000)
    page.wait_for_selector("#example .count:has-text('1 face')", timeout=60_000)


@pytest.mark.long
def test_a_face_is_compared_at_a_click_and_not_where_this_device_is_the_choice(visit):
    page = visit("device")
    give(page, FACE)
    part = page.locator("#photo-compare summary")
    assert part.is_hidden()
    page.sent.clear()
    page.select_option("#photo .engine select", "auto")
    part.wait_for()
    assert not [url for url in page.sent if "component_server" in url]
    part.click()
    page.wait_for_selector("#photo-compare tr.own", timeout=60_000)
    page.select_option("#photo .engine select", "device")
    part.wait_for(state="hidden")
    expect(page.locator("#photo-compare [open]")).to_have_count(0)


def held_back(page):
    """Lets the recogniser's model wait until what this returns is called."""
    held = []
    page.route("**/model_web.onnx", lambda route: held.append(route))

    def release():
        while held:
            held.pop().continue_()

    return release


@pytest.mark.long
def test_a_waiting_picture_stays_here_once_that_is_the_choice(visit, group, tmp_path):
    page = visit("auto")
    release = held_back(page)
    path = save(group, tmp_path / "group.png")
    page.set_input_files("#photo .give input[type=file]", str(path))
    page.wait_for_selector("#photo .working:has-text('Loading')")
    page.select_option("#photo .engine select", "device")
    page.wait_for_timeout(6000)  # longer than the page waits for a recogniser
    expect(page.locator("#photo .working")).to_be_visible()
    release()
    page.wait_for_selector(f"#photo .where:has-text('{HERE}')", timeout=60_000)
    assert [url for url in page.sent if "upload" in url] == []


@pytest.mark.long
def test_a_face_of_the_server_is_explained_here_once_that_is_the_choice(
    visit, group, pipeline, tmp_path
):
    page = visit("server")
    give(page, save(group, tmp_path / "group.png"), "Analysed on the server.")
    wait_for_map(page)
    page.select_option("#photo .engine select", "device")
    page.sent.clear()
    page.click("#photo .cards button >> nth=2")
    heat = decoded(wait_for_map(page)).astype(int)
    data = data_of(page)
    crop = decoded(page.get_attribute("#photo .crop", "src"))
    index = data["class_names"].index(data["faces"][chosen(page)]["label"])
    wanted = overlay(crop, explain(pipeline.classifier, crop, index)).astype(int)
    assert np.abs(heat - wanted).mean() < 6
    assert [url for url in page.sent if "component_server" in url] == []


# Presses a button of the Photo tab once the server works: its answer may be quicker than a click.
PRESS_AT_ONCE = """button => {
  window.pressed = window.held = false;
  if (window.presser) window.presser.disconnect();
  window.presser = new MutationObserver(() => {
    window.held ||= !document.querySelector("#photo-input input[type=file]");
    const working = document.querySelector("#photo .working").textContent;
    if (window.pressed || !working.includes("on the server")) return;
    window.pressed = true;
    document.querySelector(`#photo .${button}`).click();
  });
  window.presser.observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


@pytest.mark.long
def test_a_picture_that_was_removed_stays_away_and_files_without_one_are_not_sent(
    visit, group, tmp_path
):
    page = visit("server")
    path = save(group, tmp_path / "group.png")
    give(page, path, "Analysed on the server.")
    for button, is_shown in (("stop", True), ("clear", False)):
        page.evaluate(PRESS_AT_ONCE, button)
        page.set_input_files("#photo .give input[type=file]", str(path))
        page.wait_for_function("window.pressed", timeout=30_000)
        # Gradio's input holds the picture until the answer is there.
        page.wait_for_function("window.held", timeout=30_000)
        page.wait_for_selector("#photo-input input[type=file]", state="attached", timeout=30_000)
        page.wait_for_timeout(300)
        expect(page.locator("#photo .working")).to_be_hidden()
        assert page.is_visible("#photo .result") == is_shown
    page.sent.clear()
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "notes.txt").write_text("Dear Sir or Madam")
    for name, said in (
        ("drawing.svg", "picture we can open"),
        ("notes.txt", "picture we can open"),
    ):
        page.set_input_files("#photo .give input[type=file]", str(tmp_path / name))
        page.wait_for_selector(f"#photo .fer-error:has-text('{said}')")
        expect(page.locator("#photo .result")).to_be_hidden()
    assert [url for url in page.sent if "upload" in url] == []


@pytest.mark.long
def test_zoom_by_keyboard_keeps_the_face(visit, group, tmp_path):
    page = loaded(visit())
    give(page, save(group, tmp_path / "group.png"))
    page.focus("#photo .box[aria-pressed=true]")
    page.keyboard.press("ArrowLeft")
    for _ in range(3):
        page.keyboard.press("+")
    inner = page.locator("#photo .box[aria-pressed=true]").bounding_box()
    outer = page.locator("#photo .stage").bounding_box()
    for start, side in (("x", "width"), ("y", "height")):
        middle = inner[start] + inner[side] / 2
        assert outer[start] < middle < outer[start] + outer[side]
