"""The Live tab in headless Chromium: what a visitor does, and what can go wrong for one."""

import csv
import itertools
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from fer.hub import load_classifier
from tests.conftest import open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


# Lets a test change or replace the server's answers, and counts what is read out.
MEDDLE = """
window.meddle = null;
window.widths = [];
const original = window.fetch;
window.fetch = async (...args) => {
  const url = String((args[0] && args[0].url) || args[0]);
  if (!url.includes("component_server") || !window.meddle) return original(...args);
  if (window.hang) await new Promise(() => {});
  const reply = await (await original(...args)).json();
  if (reply.frame) window.widths.push(reply.frame.width);
  return new Response(JSON.stringify(window.meddle(reply)), {
    status: 200, headers: { "content-type": "application/json" },
  });
};
"""

N_ANSWERS = "Number(document.querySelector('#live .stage').dataset.answers || 0)"


@pytest.fixture(scope="module")
def app(device_app):
    return device_app


def visit(browser, app, script=None, **context):
    options = {"permissions": ["camera"], "viewport": {"width": 1280, "height": 800}}
    return open_page(browser, app.url, script=script, **(options | context))


def wait_for_answers(page, n=5):
    page.wait_for_function(f"{N_ANSWERS} >= {page.evaluate(N_ANSWERS) + n}", timeout=30_000)


def save(page, what):
    """Choose an entry of the menu Save, and return the download."""
    page.click("#live .save summary")
    with page.expect_download() as waiting:
        page.click(f"#live .save .{what}")
    return waiting.value


def test_start_see_a_label_stop_and_download(camera, app, tmp_path):
    names = load_classifier().config.class_names
    page = visit(camera, app, accept_downloads=True)
    page.focus("#live .start")
    page.keyboard.press("Enter")
    wait_for_answers(page, 60)
    label = page.locator("#live .fer-card-head span").inner_text()
    assert re.fullmatch(rf"(unsure: )?({'|'.join(names)})\??\s+face 1", label)
    expect(page.locator("#live .spoken")).not_to_be_empty()
    expect(page.locator("#live .speed")).to_contain_text(re.compile(r"\d+ results/s, \d+ ms delay"))
    expect(page.locator("#live .fer-card-head b")).to_have_text(re.compile(r"^\d+ %$"))
    expect(page.locator("#live .fer-bar.best")).to_have_count(1)
    has_votes = bool(load_classifier().config.vote_names)
    expect(page.locator("#live .ask-votes")).to_be_visible(visible=has_votes)
    expect(page.locator(":focus")).to_have_class("stop")
    page.keyboard.press("Enter")
    expect(page.locator("#live .stage")).to_have_attribute("data-state", "off")
    expect(page.locator(":focus")).to_have_class("start")
    n_answers = page.evaluate(N_ANSWERS)
    cells = page.locator("#live .summary tbody td").all_inner_texts()
    assert cells[0] == "1"
    assert float(cells[1].removesuffix(" s")) > 1
    assert sum(int(share) for share in re.findall(r"(\d+) %", cells[2])) in range(98, 103)
    table = save(page, "csv")
    name = table.suggested_filename
    assert re.fullmatch(r"expressions_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.csv", name)
    table.save_as(tmp_path / "expressions.csv")
    with (tmp_path / "expressions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n_answers
    times = [float(row["time_s"]) for row in rows]
    assert times == sorted(times)
    assert 1 < times[-1] < 60
    for row in rows:
        probs = {name: float(row[f"p_{name}"]) for name in names}
        assert sum(probs.values()) == pytest.approx(1, abs=2e-3)
        assert probs[row["label"]] == max(probs.values())
        assert row["uncertain"] == ("true" if max(probs.values()) < 0.5 else "false")
        assert row["track_id"] == "1"
        assert 0 < float(row["x0"]) < float(row["x1"]) < 640
        assert 0 < float(row["y0"]) < float(row["y1"]) < 480
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", row["time_utc"])
    save(page, "png").save_as(tmp_path / "timeline.png")
    picture = Image.open(tmp_path / "timeline.png").convert("RGB")
    assert picture.width == 1920
    assert len(picture.getcolors(1 << 24)) > 7
    # The last frame stays, with what was seen, and can be saved.
    assert page.evaluate("document.querySelector('#live video').srcObject") is None
    expect(page.locator("#live .message")).to_contain_text(re.compile(r"\d+\.\d s: \w+ \d+ %"))
    expect(page.locator("#live .start")).to_have_text("Start again", use_inner_text=True)
    save(page, "picture").save_as(tmp_path / "last.png")
    last = Image.open(tmp_path / "last.png").convert("RGB")
    assert last.width / last.height == pytest.approx(640 / 480, rel=0.01)
    assert len(last.getcolors(1 << 24)) > 1000
    assert page.problems == []


def test_a_problem_of_the_camera_has_a_message_of_its_own(camera, app):
    """The others are in tests/javascript."""
    name, said = "NotReadableError", "in use by another program"
    fail = f"""
    navigator.mediaDevices.getUserMedia = () =>
      Promise.reject(new DOMException("because", "{name}"));
    """
    page = visit(camera, app, fail)
    page.click("#live .start")
    page.wait_for_selector(f"#live .message:has-text('{said}')")
    expect(page.locator("#live .start")).to_be_enabled()
    expect(page.locator(":focus")).to_have_class("start")


@pytest.mark.long
def test_on_an_insecure_page_it_says_how_to_open_it(chromium, start_app):
    host = "insecure.test"
    app = start_app(FER_DETECTOR="slim", GRADIO_SERVER_NAME="0.0.0.0", FER_ALLOWED_HOSTS=host)
    browser = chromium(options=[f"--host-resolver-rules=MAP {host} 127.0.0.1"])
    page = open_page(browser, app.url.replace("127.0.0.1", host))
    page.click("#live .start")
    page.wait_for_selector("#live .message:has-text('https')")
    expect(page.locator("#live .message")).to_contain_text("localhost")


@pytest.mark.long
def test_under_load_frames_get_smaller(camera, app):
    page = visit(camera, app, MEDDLE)
    page.evaluate(
        """() => {
          window.meddle = (reply) => {
            reply.timing_ms.wait = window.load;
            return reply;
          };
        }"""
    )
    page.evaluate("window.load = 0")
    page.click("#live .start")
    wait_for_answers(page, 10)
    assert page.evaluate("window.widths.slice(-1)[0]") == 320
    page.evaluate("window.load = 500")
    page.wait_for_function("window.widths.slice(-1)[0] === 192")
    expect(page.locator("#live .speed")).to_contain_text("slowed down, 192 px")


@pytest.mark.long
def test_an_overloaded_server_is_told_kindly_and_the_stream_goes_on(camera, app):
    page = visit(camera, app, MEDDLE)
    page.click("#live .start")
    wait_for_answers(page)
    page.evaluate(
        """() => {
          const error = { code: "busy", retry_after_ms: 300, message: "Many people are here." };
          window.meddle = () => ({ error });
        }"""
    )
    page.wait_for_selector("#live .hint:has-text('Many people')")
    expect(page.locator("#live .stage")).to_have_attribute("data-state", "on")
    assert page.evaluate("!document.querySelector('#live video').paused")
    page.evaluate("window.meddle = null")
    wait_for_answers(page)
    expect(page.locator("#live .hint")).to_be_hidden()


@pytest.mark.long
def test_a_lost_network_is_told_and_survived(camera, app):
    page = visit(camera, app)
    page.click("#live .start")
    wait_for_answers(page)
    page.context.set_offline(True)
    page.wait_for_selector("#live .hint:has-text('No answer from the server')", timeout=30_000)
    page.context.set_offline(False)
    wait_for_answers(page)
    expect(page.locator("#live .hint")).to_be_hidden()


# The part of a canvas, from its left, up to which something coloured is painted; 0: nothing.
RIGHTMOST = """(selector) => {
  const canvas = document.querySelector(selector);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let right = 0;
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200 && Math.max(data[i], data[i + 1], data[i + 2]) -
        Math.min(data[i], data[i + 1], data[i + 2]) > 60)
      right = Math.max(right, (i / 4) % canvas.width);
  return right / canvas.width;
}"""


IS_PAINTED = """() => {
  const canvas = document.querySelector("#live .stage canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value) => value > 0);
}"""


@pytest.mark.long
def test_an_answer_that_does_not_come_leaves_no_box_behind(camera, app):
    page = visit(camera, app, MEDDLE)
    page.evaluate("() => { window.meddle = (reply) => reply; }")
    page.click("#live .start")
    wait_for_answers(page)
    assert page.evaluate(IS_PAINTED)
    page.evaluate("() => { window.hang = true; }")
    page.wait_for_function(f"!({IS_PAINTED})()", timeout=5000)
    page.wait_for_selector("#live .hint:has-text('No answer from the server')")


@pytest.mark.long
def test_the_plot_runs_on_when_nobody_is_in_view(camera, app):
    page = visit(camera, app, MEDDLE)
    page.click("#live .start")
    wait_for_answers(page, 40)
    page.wait_for_timeout(500)
    assert page.evaluate(RIGHTMOST, "#live .plot") > 0.97
    page.evaluate("() => { window.meddle = (reply) => ({ ...reply, faces: [] }); }")
    page.wait_for_selector("#live .none:has-text('No face in view')")
    page.wait_for_timeout(4000)
    assert 0.5 < page.evaluate(RIGHTMOST, "#live .plot") < 0.95


@pytest.mark.long
def test_it_pauses_while_another_tab_is_shown(camera, app):
    page = visit(camera, app)
    page.click("#live .start")
    wait_for_answers(page)
    page.get_by_role("tab", name="Photo").click()
    page.wait_for_timeout(500)
    paused = page.evaluate(N_ANSWERS)
    page.wait_for_timeout(1000)
    assert page.evaluate(N_ANSWERS) == paused
    page.get_by_role("tab", name="Live").click()
    wait_for_answers(page)


@pytest.mark.long
def test_the_camera_goes_off_when_nobody_looks(camera, app):
    page = visit(camera, app)
    page.click("#live .start")
    wait_for_answers(page)
    page.evaluate("window.track = document.querySelector('#live video').srcObject.getTracks()[0]")
    page.get_by_role("tab", name="Photo").click()
    page.wait_for_function("window.track.readyState === 'ended'", timeout=10_000)
    assert page.evaluate("document.querySelector('#live video').srcObject") is None
    page.get_by_role("tab", name="Live").click()
    page.wait_for_selector("#live .hint:has-text('camera was off')")
    wait_for_answers(page)
    expect(page.locator("#live .fer-card-head small")).to_have_text("face 1", use_inner_text=True)


@pytest.mark.long
def test_without_a_camera_the_sample_clip_can_be_watched(chromium, app):
    page = visit(chromium(), app)
    page.click("#live .start")
    page.wait_for_selector("#live .message:has-text('No camera was found')")
    page.get_by_role("button", name="Use a photo").click()
    expect(page.locator("#live")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent.trim()") == "Photo"
    page.get_by_role("tab", name="Live").click()
    page.click("#live .sample")
    wait_for_answers(page, 10)
    expect(page.locator("#live video")).to_have_attribute("aria-label", "Sample clip")
    page.click("#live .stop")
    assert page.evaluate(
        "document.querySelector('#live video').currentSrc === '' ||"
        " !document.querySelector('#live video').src"
    )
    expect(page.locator("#live .start")).to_have_text("Start camera", use_inner_text=True)
    expect(page.locator("#live .to >> nth=0")).to_be_hidden()
    page.click("#live .start")  # what is wrong is still told
    page.wait_for_selector("#live .message:has-text('No camera was found')")
    assert page.problems == []


@pytest.mark.long
def test_keys_start_shoot_and_stop_and_a_snapshot_opens_in_photo(camera, app):
    page = visit(camera, app, accept_downloads=True)
    page.keyboard.press(" ")
    wait_for_answers(page)
    page.keyboard.press("s")
    page.wait_for_selector("#live .shot img:visible")
    with page.expect_download() as waiting:
        page.click("#live .shot .keep")
    assert waiting.value.suggested_filename.endswith(".png")
    page.keyboard.press("?")
    expect(page.locator("dialog.fer-keys")).to_contain_text("full screen")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement !== null")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement === null")
    page.keyboard.press(" ")
    expect(page.locator("#live .stage")).to_have_attribute("data-state", "off")
    page.click("#live .shot .look")
    page.wait_for_selector("#photo .detail:visible", timeout=30_000)
    # The next start has room for its own.
    page.get_by_role("tab", name="Live").click()
    page.click("#live .start")
    wait_for_answers(page)
    expect(page.locator("#live .shot")).to_be_hidden()
    # On a phone, what Save opens stays within the window.
    page.set_viewport_size({"width": 360, "height": 800})
    page.click("#live .save summary")
    box = page.locator("#live .save .items").bounding_box()
    assert 0 <= box["x"] < box["x"] + box["width"] <= 360


@pytest.mark.long
def test_keys_can_be_switched_off(camera, app):
    page = visit(camera, app)
    page.click("#live .keys")
    page.uncheck("dialog.fer-keys input")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    page.wait_for_timeout(500)
    expect(page.locator("#live .stage")).to_have_attribute("data-state", "off")


@pytest.mark.long
def test_each_expression_that_is_held_is_ticked(camera, app, tmp_path):
    page = visit(camera, app, MEDDLE, accept_downloads=True)
    page.evaluate(
        """() => {
          window.label = "happy";
          window.meddle = (reply) => {
            for (const face of reply.faces) {
              const probs = Object.fromEntries(Object.keys(face.probs).map((name) => [name, 0.05]));
              probs[window.label] = 0.7;
              Object.assign(face, { label: window.label, uncertain: false, probs });
            }
            return reply;
          };
        }"""
    )
    page.get_by_role("button", name="Try all seven").click()
    page.click("#live .start")
    page.wait_for_selector("#live .trial li.done:has-text('happy')", timeout=10_000)
    page.evaluate("window.label = 'sad'")
    page.wait_for_selector("#live .trial li.done:has-text('sad')", timeout=10_000)
    expect(page.locator("#live .trial .count")).to_have_text("2 of 7", use_inner_text=True)
    expect(page.locator("#live .trial li")).to_have_count(7)
    page.click("#live .stop")
    expect(page.locator("#live .trial .count")).to_have_text("2 of 7", use_inner_text=True)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save card").click()
    waiting.value.save_as(tmp_path / "card.png")
    with Image.open(tmp_path / "card.png") as card:
        assert card.width > 1000
    # A visitor does not go on with what somebody else played.
    page.click("#live .sample")
    page.wait_for_selector("#live .trial .count:text-is('0 of 7')")


@pytest.mark.long
def test_a_face_is_compared_with_its_resting_face_until_that_is_undone(camera, app, tmp_path):
    page = visit(camera, app, accept_downloads=True)
    button = page.locator("#live .resting button")
    expect(button).to_be_disabled()
    page.click("#live .start")
    wait_for_answers(page)
    expect(button).to_have_text("My resting face", use_inner_text=True)
    button.click()
    expect(button).to_have_text("Cancel", use_inner_text=True)
    expect(page.locator("#live .hint")).to_contain_text("Relax your face")
    page.wait_for_selector("#live .resting[data-state=on]", timeout=15_000)
    page.wait_for_selector("#live .fer-bar .track[style]", timeout=10_000)
    assert button.evaluate("button => button === document.activeElement")
    button.click()
    expect(page.locator("#live .resting")).to_have_attribute("data-state", "off")
    wait_for_answers(page, 3)
    expect(page.locator("#live .fer-bar .track[style]")).to_have_count(0)
    page.click("#live .stop")
    expect(button).to_be_disabled()
    save(page, "csv").save_as(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    compared = [row for row in rows if row["p_happy"] != row["raw_happy"]]
    assert 0 < len(compared) < len(rows)
    assert page.problems == []


@pytest.mark.long
def test_the_order_of_two_faces_is_not_read_out(camera, app):
    page = visit(camera, app, MEDDLE)
    page.evaluate(
        """() => {
          window.spoken = [];
          new MutationObserver(() =>
            window.spoken.push(document.querySelector("#live .spoken").textContent)
          ).observe(document.querySelector("#live .spoken"), { childList: true });
          let n = 0;
          window.meddle = (reply) => {
            const [face] = reply.faces;
            const sure = { ...face, uncertain: false };
            const two = [
              { ...sure, track_id: 1, label: "happy" },
              { ...sure, track_id: 2, label: "sad", box_xyxy: face.box_xyxy.map((v) => v / 2) },
            ];
            n += 1;
            return { ...reply, faces: n % 50 < 25 ? two : two.reverse() };
          };
        }"""
    )
    page.click("#live .start")
    wait_for_answers(page, 60)
    (spoken,) = page.evaluate("window.spoken")
    assert re.fullmatch(r"face 1 happy \d+ %, face 2 sad \d+ %", spoken)
    expect(page.locator("#live .fer-card-head small")).to_have_text(["face 1", "face 2"])


@pytest.mark.long
def test_labels_are_read_out_at_most_every_three_seconds(camera, app):
    page = visit(camera, app, MEDDLE)
    page.evaluate(
        """() => {
          window.spoken = [];
          new MutationObserver(() => window.spoken.push(performance.now())).observe(
            document.querySelector("#live .spoken"), { childList: true });
          window.meddle = (reply) => {
            for (const face of reply.faces)
              face.label = Object.keys(face.probs)[Math.floor(7 * Math.random())];
            return reply;
          };
        }"""
    )
    page.click("#live .start")
    page.wait_for_function("window.spoken.length >= 2", timeout=30_000)
    spoken = page.evaluate("window.spoken")
    assert all(after - before > 2950 for before, after in itertools.pairwise(spoken))


# The leftmost painted pixel of each drawn frame, until the box has jumped twice.
EDGES = """async () => {
  const canvas = document.querySelector("#live .stage canvas");
  const pen = canvas.getContext("2d");
  const edges = [];
  const jumps = window.jumps;
  const end = performance.now() + 30000;
  while (window.jumps < jumps + 2 && performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const row = Math.round(0.45 * canvas.height);
    const data = pen.getImageData(0, row, canvas.width, 1).data;
    for (let x = 0; x < canvas.width; x += 1)
      if (data[4 * x + 3] > 0) { edges.push(x); break; }
  }
  return edges;
}"""


@pytest.mark.long
@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_boxes_glide_but_not_for_whom_motion_disturbs(camera, app, motion):
    page = visit(camera, app, MEDDLE, reduced_motion=motion)
    page.evaluate(
        """() => {
          let n = 0;
          window.meddle = (reply) => {
            n += 1;
            window.jumps = Math.floor(n / 8);
            const x = window.jumps % 2 ? 40 : 140;
            for (const face of reply.faces) face.box_xyxy = [x, 60, x + 100, 180];
            return reply;
          };
        }"""
    )
    page.click("#live .start")
    wait_for_answers(page, 10)
    edges = set(page.evaluate(EDGES))
    assert len(edges) >= 2
    assert (len(edges) > 6) == (motion == "no-preference"), edges


@pytest.mark.long
def test_a_back_camera_is_not_mirrored_and_can_be_chosen(camera, app):
    phone = """
    MediaStreamTrack.prototype.getSettings = () => ({ facingMode: window.facing || "user" });
    navigator.mediaDevices.enumerateDevices = async () => [
      { kind: "videoinput", deviceId: "a", label: "camera 0, facing front" },
      { kind: "videoinput", deviceId: "b", label: "camera 1, facing back" },
    ];
    """
    page = visit(camera, app, phone, viewport={"width": 390, "height": 844})
    page.click("#live .start")
    wait_for_answers(page)
    assert "mirrored" in page.get_attribute("#live .stage", "class")
    options = page.locator("#live .camera select option").all_inner_texts()
    assert options[:2] == ["Front camera", "Back camera"]
    assert len(options) == 4
    page.evaluate("window.facing = 'environment'")
    page.focus("#live .camera select")
    page.select_option("#live .camera select", label="Back camera")
    page.wait_for_function("!document.querySelector('#live .stage').classList.contains('mirrored')")
    wait_for_answers(page)
    expect(page.locator("#live .camera select option:checked")).to_have_text(
        "Back camera", use_inner_text=True
    )
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    # The record goes on, under the same ids.
    page.click("#live .stop")
    rows = list(csv.DictReader(save(page, "csv").path().read_text("utf-8").splitlines()))
    assert len(rows) == page.evaluate(N_ANSWERS)
    assert float(rows[0]["time_s"]) < 1
    # While it is off, a choice is only a choice.
    page.select_option("#live .camera select", label="Front camera")
    page.wait_for_timeout(300)
    expect(page.locator("#live .stage")).to_have_attribute("data-state", "off")


@pytest.mark.long
def test_full_screen_keeps_the_controls(camera, app):
    page = visit(camera, app)
    page.click("#live .start")
    wait_for_answers(page)
    page.click("#live .wide")
    page.wait_for_function("document.fullscreenElement !== null")
    expect(page.locator("#live .wide")).to_have_text("Leave full screen", use_inner_text=True)
    page.click("#live .stop")
    page.click("#live .wide")
    page.wait_for_function("document.fullscreenElement === null")
    # Where a browser has none, as on iPhones, the view fills the window.
    page.evaluate("Element.prototype.requestFullscreen = undefined")
    page.click("#live .wide")
    box = page.locator("#live .view").bounding_box()
    assert (box["width"], box["height"]) == (1280, 800)
    page.keyboard.press("Escape")
    assert page.locator("#live .view").bounding_box()["width"] < 1280
