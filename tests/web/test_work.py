"""The processes of a page: who gets one, what a bound that is hit costs, and what is told of it."""

import asyncio
import contextlib
import io
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image

from fer import Pipeline
from fer.errors import ImageError, VideoError
from fer.web.photo import view as photo
from fer.web.photo.view import Pictures
from fer.web.server import jobs, limits
from fer.web.server.uploads import Uploads
from fer.web.server.work import Closed, InProcess, WorkerPool, make_workers
from fer.web.video import follow as videos
from fer.web.video import tab as video_tab
from fer.worker import AVAILABLE, Bound, OutOfBounds, WorkerError
from tests import batch_pipelines, worker_jobs
from tests.conftest import FakeDetector, make_classifier, make_faces
from tests.fer.test_image import many_scans
from tests.fer.test_worker import WIDE, is_gone
from tests.web.test_web_video import write_clip

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this system has no such processes")


def until(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


@contextlib.contextmanager
def crew_of(pipeline, **options):
    crew = WorkerPool(pipeline, **options)
    try:
        yield crew
    finally:
        crew.close()


@pytest.fixture(scope="module")
def crew():
    with crew_of(batch_pipelines.marked()) as made:
        made.start()
        yield made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a page for this test alone."""
    made = Uploads(tmp_path / "page")
    monkeypatch.setattr(photo, "uploads", made)
    monkeypatch.setattr(videos, "uploads", made)
    return tmp_path / "page"


def pixel(value, size=(40, 30)):
    """A picture whose first pixel says what happens to who looks at it."""
    pixels = np.full((*size, 3), 200, np.uint8)
    pixels[0, 0] = value
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_page_opens_files_in_processes_unless_told_otherwise():
    assert isinstance(make_workers(batch_pipelines.marked()), WorkerPool)


def test_processes_are_ready_before_they_are_needed(crew):
    until(lambda: crew.facts()["idle"] == limits.N_WORKERS)
    facts = crew.facts()
    assert facts["at_work"] == 0
    assert facts["memory_mb"] > 10
    with crew.lend() as one, crew.lend() as two, crew.lend() as three:
        assert crew.facts()["at_work"] == 3
        pids = {hand.pid for hand in (one, two, three)}
        assert [hand.call(worker_jobs.work, 0, bound=WIDE) for hand in (one, two, three)]
    assert len(pids) == 3
    until(lambda: crew.facts()["idle"] == limits.N_WORKERS)  # the third is not kept
    assert sum(not is_gone_now(pid) for pid in pids) == limits.N_WORKERS


def is_gone_now(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_for_one_who_stays_long_another_gets_ready(crew):
    with crew.lend(long=True):
        until(lambda: crew.facts()["idle"] == limits.N_WORKERS)
    until(lambda: crew.facts()["idle"] == limits.N_WORKERS)


def test_one_that_starts_for_nobody_any_more_is_not_kept(crew):
    until(lambda: crew.facts()["idle"] == limits.N_WORKERS)
    with crew.lend(long=True):
        assert crew._n_starting
    until(lambda: not crew._n_starting)
    assert crew.facts()["idle"] == limits.N_WORKERS


def test_a_bound_that_is_hit_costs_one_process_and_others_go_on(crew):
    """Also where a decoder lets no other thread of its process run."""
    before = crew.facts()["ended"].get("time", 0)
    told = []

    def hold():
        try:
            with crew.lend() as hand:
                hand.call(worker_jobs.hold_the_lock, bound=Bound(2, 60, 300))
        except OutOfBounds as error:
            told.append(error.what)

    thread = threading.Thread(target=hold)
    thread.start()
    until(lambda: crew.facts()["at_work"] == 1)
    n_ticks = n_answers = 0
    while thread.is_alive():
        with crew.lend() as hand:
            n_answers += hand.call(worker_jobs.work, 0.01, bound=WIDE) == "done"
        n_ticks += 1
    assert told == ["time"]
    assert n_answers == n_ticks > 3
    assert crew.facts()["ended"]["time"] == before + 1
    until(lambda: crew.facts()["idle"] == limits.N_WORKERS)


def test_a_process_that_died_or_grew_while_idle_is_replaced(crew, monkeypatch):
    until(lambda: crew.facts()["idle"] == limits.N_WORKERS)
    with crew.lend() as idle:
        pid = idle.pid
    psutil.Process(pid).kill()
    until(lambda: not idle.alive)
    with crew.lend() as hand:
        assert hand.pid != pid
        assert hand.call(worker_jobs.work, 0, bound=WIDE) == "done"
        hand.call(worker_jobs.grow, 100, bound=WIDE)
        monkeypatch.setattr("fer.web.server.work.IDLE_MB", hand.memory_mb() - 50)
    assert is_gone(hand.pid)


def test_a_pipeline_that_cannot_go_there_is_said(caplog):
    with (
        crew_of(Pipeline(FakeDetector(make_faces()), make_classifier())) as made,
        pytest.raises(WorkerError, match="does not start"),
        made.lend(),
    ):
        pass
    assert "a worker process does not start" in caplog.text


def test_when_the_page_ends_so_do_all_jobs():
    with crew_of(batch_pipelines.marked()) as made:
        errors = []

        def wait(job):
            try:
                with made.lend() as hand:
                    pids.append(hand.pid)
                    hand.call(job, bound=WIDE)
            except Exception as error:
                errors.append(type(error))

        pids = []
        jobs_ = [worker_jobs.sleep, worker_jobs.hold_the_lock, worker_jobs.burn]
        threads = [threading.Thread(target=wait, args=[job]) for job in jobs_]
        for thread in threads:
            thread.start()
        until(lambda: len(pids) == 3)
        made.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert errors == [Closed] * 3
        assert all(is_gone(pid) for pid in pids)
        with pytest.raises(Closed, match="restarting"), made.lend():
            pass


# Pictures


def shown(work, path):
    return asyncio.run(Pictures(work).show(None, path))


def test_a_picture_is_looked_at_in_another_process(crew, folder, tmp_path):
    (tmp_path / "cat.png").write_bytes(pixel(200))
    answer = shown(crew, tmp_path / "cat.png")
    assert answer["name"] == "cat"
    assert len(answer["data"]["faces"]) == len(answer["crops"]) == 1
    assert jobs.measure_picture(None, answer["annotated"]["path"]) == (30, 40)
    (made,) = folder.iterdir()
    assert sorted(path.name for path in made.iterdir()) == ["cat.jpg", "cat_expressions.jpg"]
    answer = asyncio.run(Pictures(crew).annotate(None, str(tmp_path / "cat.png")))
    assert answer["annotated"].endswith("cat_expressions.jpg")
    assert len(answer["data"]["faces"]) == 1


def comment_of_50_mb():
    return b"P6\n#" + b"x" * 50_000_000 + b"\n1 1\n255\n\0\0\0"


HOSTILE = {
    "kills.png": (pixel(batch_pipelines.KILLS), "memory"),
    "leaves.png": (pixel(batch_pipelines.EXITS), "cannot be read"),
    "hangs.png": (pixel(batch_pipelines.HANGS), "too long"),
    "comment.ppm": (comment_of_50_mb(), "must be a picture"),
    "digits.ppm": (b"P3 3000 3000 255 " + b"1 " * 27_000_000, "must be a picture"),
    "scans.jpg": (many_scans(400_000, 8), "at most 100 scans"),
    "letter.png": (b"Dear Sir or Madam", "must be a picture"),
    "empty.png": (b"", "must be a picture"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_hostile_picture_does_is_a_sentence(crew, folder, tmp_path, monkeypatch, name):
    content, said = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(limits, "PICTURE", Bound(cpu_s=5, wall_s=1, memory_mb=300))
    answer = shown(crew, tmp_path / name)
    assert answer["error"]["code"] == "bad_image"
    assert said in answer["error"]["message"]
    assert str(tmp_path) not in answer["error"]["message"]
    assert list(folder.glob("*")) == []
    (tmp_path / "cat.png").write_bytes(pixel(200))
    assert len(shown(crew, tmp_path / "cat.png")["data"]["faces"]) == 1


def test_a_mistake_of_ours_is_in_the_log_with_its_trace(crew, folder, tmp_path, caplog):
    (tmp_path / "cat.png").write_bytes(pixel(batch_pipelines.RAISES))
    assert shown(crew, tmp_path / "cat.png")["error"]["code"] == "internal"
    assert "a decoder gave up" in caplog.text
    assert "batch_pipelines.py" in caplog.text


class Watched(InProcess):
    """Counts the large and the small pictures that are worked on at once."""

    def __init__(self):
        super().__init__(batch_pipelines.marked())
        self.at_work = {True: 0, False: 0}
        self.most = {True: 0, False: 0}
        self.lock = threading.Lock()

    def call(self, job, path, *args, bound):
        if job is jobs.measure_picture:
            return (5000, 5000) if "large" in path else (100, 100)
        large = bound == limits.LARGE_PICTURE
        assert large == ("large" in path)
        with self.lock:
            self.at_work[large] += 1
            self.most[large] = max(self.most[large], self.at_work[large])
        time.sleep(0.05)
        with self.lock:
            self.at_work[large] -= 1
        return path, {"faces": []}


def rush(pictures, n_hosts):
    """What six large pictures and six small ones are answered that come from so many hosts."""

    async def all_at_once():
        names = [f"{kind}-{i}" for i in range(6) for kind in ("large", "small")]
        hosts = [SimpleNamespace(host=f"192.0.2.{i % n_hosts}") for i in range(len(names))]
        calls = (
            pictures.annotate(SimpleNamespace(client=host, session_hash=name), name)
            for host, name in zip(hosts, names, strict=True)
        )
        return [answer["data"] for answer in await asyncio.gather(*calls)]

    return asyncio.run(all_at_once())


def test_large_pictures_are_worked_on_one_at_a_time(folder):
    work = Watched()
    assert rush(Pictures(work), 12) == [{"faces": []}] * 12
    assert work.most == {True: 1, False: limits.N_PICTURES_AT_WORK}


def test_one_host_leaves_others_a_place_for_their_pictures(folder):
    work = Watched()
    assert rush(Pictures(work), 1) == [{"faces": []}] * 12
    assert work.most[False] == limits.N_PICTURES_AT_WORK - 1


@pytest.mark.long
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP"])
def test_the_largest_pictures_fit_into_their_bound(crew, folder, tmp_path, kind, mode):
    """A picture that the page says it takes is not ended by the limits of its process."""
    if mode == "RGBA" and kind in ("JPEG", "GIF", "BMP"):
        pytest.skip("this format has no transparency of that kind")
    options = {"WEBP": {"lossless": True, "method": 0}, "AVIF": {"speed": 10}, "PNG": {}}
    path = tmp_path / "large.picture"
    Image.new(mode, (8000, 8000), "teal").save(path, kind, **options.get(kind, {}))
    answer = shown(crew, path)
    assert answer.get("error") is None
    assert answer["data"]["frame"] == {"width": 8000, "height": 8000}


# Videos


def followed(work, path, rate=30):
    return [step for step in videos._follow(work, str(path), rate) if step is not None]


def test_a_video_is_followed_in_another_process(crew, folder, tmp_path):
    *_, result = followed(crew, write_clip(tmp_path / "a.mp4"))
    assert result.report["n_looked_at"] == 40
    assert "Person 1" in result.html


def test_who_leaves_a_video_ends_its_process_and_leaves_no_file(
    crew, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(videos, "_TICK_S", 0.05)
    with crew_of(batch_pipelines.slow()) as slow:
        follow = videos._follow(slow, str(write_clip(tmp_path / "a.mp4", 2000)), 30)
        while next(follow) is None:
            pass
        (pid,) = {worker.pid for worker in slow._all} - {worker.pid for worker in slow._idle}
        assert list(folder.glob("*/*"))
        follow.close()
        assert is_gone(pid)
    assert list(folder.iterdir()) == []


def test_too_many_pixels_are_said_before_the_work(crew, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "_USUAL_PIXELS_PER_S", 900)
    path = write_clip(tmp_path / "a.mp4")  # 40 frames of 120 x 120

    async def see():
        async for shown, is_over in video_tab._follow(videos.Videos(crew), str(path), 30, None):
            return shown[0], is_over

    text, is_over = asyncio.run(see())
    assert is_over
    assert "a.mp4 must have at most 0.00054 gigapixels" in text
    assert "40 frames of 120 x 120, 0.000576 gigapixels" in text
    (error,) = followed(crew, path)
    assert isinstance(error, VideoError)
    assert "40 frames of 120 x 120" in str(error)


def test_time_is_over_for_a_video_too(crew, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        videos.VideoLimits, "bound", lambda *_: Bound(cpu_s=60, wall_s=0.5, memory_mb=2000)
    )
    with crew_of(batch_pipelines.slow()) as slow:
        *_, error = followed(slow, write_clip(tmp_path / "a.mp4", 2000))
        assert isinstance(error, OutOfBounds)
        assert "a.mp4 takes too long" in str(error)
        assert slow.facts()["ended"] == {"time": 1}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("minutes", "duration_s", "n_pixels", "cpu_s"),
    [
        (10, 10, 10 * 1920 * 1080 * 30, 60 + 100),
        (10, 10, 0, 60 + 100),
        (10, 1, 20 * 1920 * 1080 * 30, 60 + 200),
        (10, None, None, 1700),
        (10, 1e9, 1e15, 1700),
        (1, None, None, 60 + 600),
        (None, 10, 10, 1e6),
    ],
)
def test_the_bound_of_a_video_is_of_what_it_claims(minutes, duration_s, n_pixels, cpu_s):
    bound = limits.VideoLimits(minutes).bound(duration_s, n_pixels)
    assert bound.cpu_s == bound.wall_s == pytest.approx(cpu_s)
    assert bound.wall_s < limits.VIDEO_PATIENCE_S or minutes is None
    assert bound.file_mb < 10_000


def test_every_bound_is_a_number_that_ends_something():
    table = [value for value in vars(limits).values() if isinstance(value, Bound)]
    assert len(table) == 5
    for bound in table:
        assert 0 < bound.cpu_s <= bound.wall_s <= 120
        assert 100 < bound.memory_mb <= 4000
    assert limits.picture_bound(limits.LARGE_PIXELS) == limits.PICTURE
    assert limits.picture_bound(limits.LARGE_PIXELS + 1) == limits.LARGE_PICTURE
    with pytest.raises(ImageError):
        jobs.measure_picture(None, __file__)
