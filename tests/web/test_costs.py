"""A page that runs, and files that cost too much: what is told, what others see, what stays."""

import contextlib
import os
import signal
import struct
import threading
import time

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from bench.apps import serve
from bench.visitor import data_url
from fer import read_image
from tests.conftest import FACE
from tests.fer.test_image import many_scans
from tests.fer.test_worker import is_gone
from tests.web.test_page import call, file_data, upload
from tests.web.test_web_video import write_clip

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def served(folder, **environment):
    """An app with its temporary folder in `folder`."""
    folder.mkdir(exist_ok=True)
    before = set(folder.glob("fer-page-*"))
    with serve("app.py", GRADIO_TEMP_DIR=str(folder), FER_DETECTOR="slim", **environment) as app:
        (app.folder,) = set(folder.glob("fer-page-*")) - before
        yield app


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "temporary"
    with served(folder, FER_MAX_VIDEO_MINUTES="0.02") as made:
        yield made
        assert "Traceback" not in made.log


def workers_of(app):
    return [child.pid for child in app.process.children(recursive=True)]


def health(app):
    return httpx.get(app.url + "/health", timeout=60).json()


def until(condition):
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def peak_mb(app):
    """The most memory that the page's own process had."""
    with open(f"/proc/{app.process.pid}/status", encoding="ascii") as file:  # noqa: PTH123
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmHWM"].split()[0]) / 1000


def send(app, path_or_bytes, name):
    content = path_or_bytes if isinstance(path_or_bytes, bytes) else path_or_bytes.read_bytes()
    (path,) = upload(app, content, name).json()
    return file_data(path)


def of_many_samples(path, n=30_000_000):
    """A small mp4 whose tables claim so many frames, all in one piece."""
    content = bytearray(write_clip(path, 10).read_bytes())
    at = content.index(b"stsz") + 8  # size of each, how many
    struct.pack_into(">II", content, at, 1, n)
    at = content.index(b"stsc") + 12  # first chunk, samples in it
    struct.pack_into(">II", content, at, 1, n)
    at = content.index(b"stts") + 12  # how many, how long each
    struct.pack_into(">I", content, at, n)
    path.write_bytes(content)
    return path


@pytest.mark.long
def test_bombs_are_sentences_and_the_page_goes_on(app, tmp_path):
    """Pictures of many scans, of long comments, of large size; a video of tables."""
    before = peak_mb(app)
    url = data_url(read_image(FACE))
    webp = tmp_path / "flat.webp"
    Image.new("RGB", (8000, 8000)).save(webp, lossless=True, method=0)
    answers = {}

    def ask(name, endpoint, content, *more):
        answers[name] = call(app, endpoint, send(app, content, name), *more)[1][-1]

    asked = [
        ("scans.jpg", "predict_image", many_scans(400_000, 8)),
        ("comment.ppm", "predict_image", b"P6\n#" + b"x" * 50_000_000 + b"\n1 1\n255\n\0\0\0"),
        ("large.webp", "predict_image", webp),
        ("large2.webp", "predict_image", webp),
        ("tables.mp4", "predict_video", of_many_samples(tmp_path / "tables.mp4"), 5),
    ]
    threads = [threading.Thread(target=ask, args=arguments) for arguments in asked]
    for thread in threads:
        thread.start()
    n_frames = 0
    while any(thread.is_alive() for thread in threads):
        assert len(call(app, "live_frame", url, None, 0.0)[1][0]["faces"]) == 1
        n_frames += 1
    assert n_frames > 3
    codes = {name: data.get("error", {}).get("code") for name, data in answers.items()}
    assert codes == {
        "scans.jpg": "bad_image",
        "comment.ppm": "bad_image",
        "large.webp": None,
        "large2.webp": None,
        "tables.mp4": "bad_video",
    }
    assert "at most 100 scans" in answers["scans.jpg"]["error"]["message"]
    assert answers["large.webp"]["frame"] == {"width": 8000, "height": 8000}
    # None of it was opened in the page's own process.
    assert peak_mb(app) - before < 150
    told = health(app)
    assert told["status"] == "ok"
    assert {"idle", "at_work", "memory_mb", "ended"} == set(told["workers"])
    assert call(app, "predict_image", send(app, FACE, "cat.png"))[1][1]["faces"]


@pytest.mark.long
def test_a_video_of_too_many_pixels_is_refused_before_the_work(app, tmp_path):
    """A second of ten frames, as long as allowed, and large: 3 kB."""
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 4096, 2160, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((2160, 4096, 3), np.uint8), "rgb24")
        for _ in range(10):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    answer = call(app, "predict_video", send(app, path, "wide.mp4"), 5)[1][-1]
    assert answer["error"]["code"] == "bad_video"
    assert "at most 0.0746 gigapixels" in answer["error"]["message"]
    assert "10 frames of 4096 x 2160" in answer["error"]["message"]
    small = write_clip(tmp_path / "small.mp4", 10)
    assert call(app, "predict_video", send(app, small, "small.mp4"), 5)[1][-1]["n_frames"] == 10


def begin_video(app, clip, name):
    """Start the analysis of a video; its answer is not waited for."""
    url = f"{app.url}/gradio_api/call/predict_video"
    data = {"data": [send(app, clip, name), 30]}
    return httpx.post(url, json=data, timeout=60).json()["event_id"]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", 6000, 30)


@pytest.mark.long
def test_told_to_end_while_videos_run_it_ends_at_once_and_leaves_nothing(tmp_path, long_clip):
    with served(tmp_path / "temporary") as app:
        for i in range(4):
            begin_video(app, long_clip, f"{i}.mp4")
        until(lambda: health(app)["calls"]["video"]["at_work"] == 4)
        until(lambda: list(app.folder.glob("*/*_expressions.*")))
        pids = workers_of(app)
        assert pids
        os.kill(app.process.pid, signal.SIGTERM)
        app.process.wait(5)
        assert all(is_gone(pid) for pid in pids)
        assert list((tmp_path / "temporary").iterdir()) == []
        assert "Traceback" not in app.log


@pytest.mark.long
def test_what_a_killed_page_left_is_swept_by_the_next_and_no_more(tmp_path, long_clip):
    folder = tmp_path / "temporary"
    with served(folder) as living:
        send(living, FACE, "mine.png")
        with served(folder) as killed:
            begin_video(killed, long_clip, "secret.mp4")
            until(lambda: list(killed.folder.glob("*/*_expressions.*")))
            pids = workers_of(killed)
            os.kill(killed.process.pid, signal.SIGKILL)
            killed.process.wait(20)
            assert all(is_gone(pid) for pid in pids)
        assert [path.name for path in killed.folder.rglob("secret.mp4")] == ["secret.mp4"]
        with served(folder) as third:
            until(lambda: not killed.folder.exists())
            assert living.folder.exists()
            assert [path.name for path in living.folder.rglob("mine.png")] == ["mine.png"]
            assert len(list(folder.glob("fer-lock-*"))) == 2
            assert third.folder.exists()
    assert list(folder.iterdir()) == []
