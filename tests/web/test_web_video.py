import asyncio
import base64
import json
import threading
import time
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pyarrow.parquet
import pytest

from fer import Pipeline
from fer.errors import VideoError
from fer.image import read_image
from fer.media.reader import VideoInfo
from fer.video import Person, Progress, VideoReport
from fer.web.server.limits import VideoLimits
from fer.web.server.uploads import Uploads
from fer.web.server.work import InProcess
from fer.web.video import follow as module
from fer.web.video import tab
from fer.web.video.report import clock, report_html
from tests.conftest import FakeDetector, make_classifier, make_faces, rendered_face


def write_clip(path, n_frames=40, rate=10):
    face = rendered_face(side=120)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = face.shape[:2]
        stream.pix_fmt = "yuv420p"
        for i in range(n_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(face, i % 8, axis=1), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class SlowDetector(FakeDetector):
    """One face, and not before the test says so."""

    def __init__(self):
        super().__init__(make_faces([20, 20, 90, 90]))
        self.go = threading.Event()
        self.n_calls = 0

    def __call__(self, frame):
        self.n_calls += 1
        if self.n_calls > 3:
            self.go.wait(20)
        return super().__call__(frame)


def make_report(*persons, **changes):
    info = VideoInfo(
        name="clip.mp4",
        width=64,
        height=48,
        duration_s=10.0,
        fps=10.0,
        n_frames=100,
        codec="h264",
        audio_codec=None,
    )
    values = {
        "info": info,
        "class_names": ("dark", "bright"),
        "uncertain_below": 0.6,
        "n_frames": 100,
        "n_looked_at": 100,
        "n_with_face": 100,
        "n_damaged": 0,
        "ended_early": False,
        "cancelled": False,
        "seconds": 10.0,
        "persons": persons,
        "n_passing": 0,
        "passing_s": 0.0,
        "bin_s": 1.0,
        "sound": "none",
    }
    return VideoReport(**(values | changes))


def make_person(number, times, probs):
    probs = np.array([[p, 1 - p] for p in probs], np.float32)
    return Person(
        track_id=number,
        first_s=times[0] - 0.5,
        last_s=times[-1] + 0.5,
        seconds=float(len(times)),
        shares={"dark": 0.25, "bright": 0.75},
        uncertain_share=0.125,
        times_s=np.array(times),
        weights_s=np.ones(len(times)),
        probs=probs,
    )


def test_a_clock():
    assert [clock(s) for s in (0, 59.9, 60, 3599, 36061)] == [
        *("0:00", "0:59", "1:00", "59:59", "10:01:01")
    ]


def test_a_strip_has_a_bar_for_each_stretch():
    times = [0.5, 1.5, 2.5, 6.5, 7.5]
    person = make_person(3, times, [0.9, 0.9, 0.55, 0.1, 0.1])
    text = report_html(make_report(person))
    bars = text.split("<rect")[1:]
    assert len(bars) == 3
    assert ["doubt" in bar for bar in bars] == [False, True, False]
    # Two seconds of ten, as high as they were probable; after the gap the other class.
    assert 'x="0.0" y="4.0" width="200.0" height="36.0"' in bars[0]
    assert 'x="600.0"' in bars[2]
    assert "0:06 to 0:08: bright, 90 %" in bars[2]
    assert "Person 3" in text
    assert "bright 75 %" in text
    assert "Unsure 12 % of the time" in text


def test_a_crowd_is_cut_and_nobody_is_a_sentence():
    crowd = [make_person(i, [0.5], [0.9]) for i in range(1, 31)]
    text = report_html(make_report(*crowd, n_passing=4))
    assert text.count('class="strip"') == 12
    assert "22 more were in view" in text
    assert "long enough" in report_html(make_report(n_passing=1))
    nobody = report_html(make_report(n_with_face=0))
    assert nobody.count("<p>") == 1
    assert "No face was found in the 100 frames looked at." in nobody


def test_names_of_classes_cannot_inject_html():
    person = make_person(1, [0.5], [0.9])
    text = report_html(make_report(person, class_names=("<b>x", "y")))
    assert "<b>" not in text


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of a page for this test alone."""
    monkeypatch.setattr(module, "uploads", Uploads(tmp_path / "page"))
    return tmp_path / "page"


def news_of(follow):
    return [step for step in follow if step is not None]


def test_a_video_becomes_four_files(tmp_path, folder):
    pipeline = Pipeline(FakeDetector(make_faces([20, 20, 90, 90])), make_classifier())
    clip = str(write_clip(tmp_path / "a.mp4"))
    *steps, result = news_of(module._follow(InProcess(pipeline), clip, 30))
    pictures = [step.picture for step in steps if isinstance(step, module.Preview)]
    assert pictures
    shown = read_image(base64.b64decode(pictures[0].removeprefix("data:image/jpeg;base64,")))
    assert shown.shape == (120, 120, 3)
    assert any(isinstance(step, Progress) for step in steps)
    assert result.report["n_looked_at"] == 40
    assert "Person 1" in result.html
    # Gradio serves them from where they lie.
    files = result.files
    assert set(files) == {"mp4", "csv", "parquet", "json"}
    assert all(Path(path).is_relative_to(folder) for path in files.values())
    assert pyarrow.parquet.read_table(files["parquet"]).num_rows == 40
    assert len(Path(files["csv"]).read_text().splitlines()) == 41
    assert json.loads(Path(files["json"]).read_text()) == json.loads(json.dumps(result.report))
    with av.open(files["mp4"]) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_who_leaves_stops_the_work(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(module, "_TICK_S", 0.05)
    detector = SlowDetector()
    before = threading.active_count()
    work = InProcess(Pipeline(detector, make_classifier()))
    follow = module._follow(work, str(write_clip(tmp_path / "a.mp4", 400)), 30)
    while not isinstance(next(follow), Progress):
        pass
    follow.close()
    assert list(folder.iterdir()) == []
    detector.go.set()
    end = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.02)
    assert threading.active_count() == before
    assert detector.n_calls < 50


def test_a_video_that_is_not_let_in_stays_for_another_try(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MAX_A_HOST", 0)
    monkeypatch.setattr(module, "_TICK_S", 0.05)
    detector = SlowDetector()
    work = InProcess(Pipeline(detector, make_classifier()))
    request = SimpleNamespace(client=SimpleNamespace(host="203.0.113.5"))

    def send(name):
        with module.uploads.room("203.0.113.5", 1_000_000) as room:
            return write_clip(room.path / name, 30)

    async def story():
        videos = module.Videos(work)
        first, second = send("first.mp4"), send("second.mp4")

        async def follow(path):
            return [step async for step in videos.follow(request, str(path), 10)]

        at_work = asyncio.create_task(follow(first))
        while detector.n_calls < 4:
            await asyncio.sleep(0.01)
        (refused,) = await follow(second)
        assert refused.retry_after_ms >= 60_000
        assert "Start again in a few minutes" in str(refused)
        assert second.exists()
        detector.go.set()
        *_, result = await at_work
        assert result.report["n_frames"] == 30
        assert not first.exists()
        assert (await follow(second))[-1].report["n_frames"] == 30
        assert not second.exists()

    asyncio.run(story())


def test_a_mistake_is_a_sentence_without_details(tmp_path, caplog):
    def crash(frame):
        raise RuntimeError("secret detail")

    pipeline = Pipeline(crash, make_classifier())
    *_, error = module._follow(InProcess(pipeline), str(write_clip(tmp_path / "a.mp4")), 30)
    assert isinstance(error, VideoError)
    assert "secret" not in str(error)
    assert "video failed" in caplog.text


def test_an_upload_is_described_or_refused_before_it_is_queued(tmp_path):
    work = InProcess(Pipeline(FakeDetector(make_faces()), make_classifier()))

    def first(name, minutes=10):
        videos = module.Videos(work, VideoLimits(minutes))

        async def follow():
            async with aclosing(tab._follow(videos, str(tmp_path / name), 15, None)) as steps:
                return await anext(steps)

        (status, _, form, *_), is_over = asyncio.run(follow())
        return status, form, is_over

    write_clip(tmp_path / "a.mp4")
    text, _, is_over = first("a.mp4")
    assert "a.mp4: 120 x 120, 0:04, 10 frames a second, no sound" in text
    assert not is_over
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam")
    for refused in (first("letter.mp4"), first("a.mp4", 0.05)):
        text, form, is_over = refused
        assert 'role="alert"' in text
        assert form["visible"] is True
        assert is_over
    assert "at most 3 s. Received: 4 s" in text
    *_, error = module._follow(work, str(tmp_path / "a.mp4"), 30, VideoLimits(0.05))
    assert isinstance(error, VideoError)


def test_what_is_shown_of_a_run():
    names = ["status", "preview", "form", "again", "stop", "new", "outcome", "video", "report"]

    def seen(shown):
        shown = dict(zip(names, shown, strict=False))
        assert shown["video"] is None
        assert shown["preview"] == shown["report"] == ""
        return [name for name in names[2:7] if shown[name]["visible"] is True]

    assert seen(tab._show("", tab._EMPTY)) == ["form"]
    assert seen(tab._show("", tab._BUSY)) == ["stop"]
    assert seen(tab._show("", tab._AGAIN)) == ["form", "again"]
    files = {"mp4": "a.mp4", "csv": "a.csv", "parquet": "a.parquet", "json": "a.json"}
    shown = tab._show("", tab._DONE, module.Result(files, {}, "<p>"))
    assert shown[-5:] == ["a.mp4", "<p>", "a.csv", "a.parquet", "a.json"]
