import numpy as np
import pytest

from fer import Pipeline
from fer.errors import InputError
from fer.geometry import crop_side_px, roll_degrees
from fer.image import read_image
from fer.pipeline import FullLooks
from fer.preprocess import resize
from fer.search import check_min_face, is_small, look_once, search
from fer.types import Faces, FrameResult
from tests.conftest import ROOT, make_classifier, make_faces, noise, rendered_face, shared
from tests.fer.test_detect import build

FACE_PX = 40


def squares(height, width, *corners, side=FACE_PX):
    """A gray picture with white squares at (x, y)."""
    frame = np.full((height, width, 3), 60, np.uint8)
    for x, y in corners:
        frame[y : y + side, x : x + side] = 255
    return frame


class SquareFinder:
    """Finds white squares from 16 pixels on, as detectors find faces; keeps the shapes it saw."""

    def __init__(self):
        self.shapes = []

    def __call__(self, image):
        import cv2

        self.shapes.append(image.shape[:2])
        white = (image[..., 0] > 157).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(white)
        boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:] if max(w, h) >= 16]
        return make_faces(*boxes)


def corners_of(faces):
    return sorted(tuple(np.rint(box[:2]).astype(int).tolist()) for box in faces.xyxy)


def near(found, wanted):
    away = np.abs(np.subtract.outer(np.array(found), np.array(wanted))[:, [0, 1], :, [0, 1]])
    same = away.max(axis=0) <= 4
    return len(found) == len(wanted) and (same.sum(0) == 1).all() and (same.sum(1) == 1).all()


@pytest.mark.parametrize("shape", [(2400, 3200), (9000, 1000), (700, 6000), (1300, 1300)])
def test_every_small_face_is_found_once_wherever_it_lies(shape):
    height, width = shape
    rng = np.random.default_rng(3)
    cells = [(x, y) for x in range(0, width - 60, 120) for y in range(0, height - 60, 120)]
    picked = sorted(cells[i] for i in rng.permutation(len(cells))[:60])
    corners = sorted((x + int(rng.integers(20)), y + int(rng.integers(20))) for x, y in picked)
    found = corners_of(search(squares(height, width, *corners), SquareFinder()))
    assert near(found, corners)


def test_a_face_on_the_border_of_tiles_comes_once():
    for x in range(930, 1080, 13):  # where tiles of 1,088 pixels overlap
        corners = [(x, 500), (x + 7, 890)]
        found = corners_of(search(squares(1700, 2048, *corners, side=60), SquareFinder(), 16))
        assert near(found, corners), x


def test_large_and_small_faces_come_together():
    frame = squares(3000, 4000, (100, 100), side=1500)
    frame[2000:2050, 3000:3050] = 255
    assert near(corners_of(search(frame, SquareFinder())), [(100, 100), (3000, 2000)])


def test_one_look_loses_what_a_search_finds():
    frame = squares(2400, 3200, (900, 900))
    assert len(look_once(frame, SquareFinder())) == 0
    assert len(search(frame, SquareFinder())) == 1


@pytest.mark.parametrize("shape", [(480, 640), (1080, 1920), (8000, 8000), (30000, 1080)])
def test_a_search_costs_at_most_so_many_pixels(shape):
    finder = SquareFinder()
    search(np.full((*shape, 3), 60, np.uint8), finder)
    seen = sum(height * width for height, width in finder.shapes)
    assert seen < 25 * 640 * 480
    assert max(map(max, finder.shapes)) <= 1280
    if max(shape) <= 640:
        assert seen <= 640 * 480 + 320 * 240
    more = SquareFinder()
    search(np.full((*shape, 3), 60, np.uint8), more, sideways=True)
    assert sum(height * width for height, width in more.shapes) <= seen + 2 * 640 * 640


@pytest.mark.parametrize("shape", [(1, 1), (8, 640), (40, 1000), (30, 20000), (20000, 33)])
def test_no_detector_sees_a_side_under_64_pixels(shape):
    finder = SquareFinder()
    search(np.full((*shape, 3), 60, np.uint8), finder)
    look_once(np.full((*shape, 3), 60, np.uint8), finder)
    assert all(min(seen) >= 64 for seen in finder.shapes)


def test_a_box_must_lie_in_the_picture_for_a_quarter():
    boxes = make_faces((-20, 10, 20, 50), (-32, 60, 8, 100), (700, 10, 740, 50), (90, -19, 130, 6))
    for look in (look_once, search):
        found = look(np.zeros((640, 640, 3), np.uint8), lambda image: boxes)
        assert found.xyxy.tolist() == [[-20, 10, 20, 50]]


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_frame_without_a_face_is_looked_at_sideways(quarters):
    upright = np.full((1000, 700, 3), 60, np.uint8)
    upright[100:140, 200:240] = 255  # white on top of gray is a face that stands
    upright[140:180, 200:240] = 150

    def find(image):
        white = np.argwhere(image[..., 0] > 220)
        gray = np.argwhere(abs(image[..., 0].astype(int) - 150) < 5)
        if not len(white) or gray[:, 0].mean() < white[:, 0].mean() + 20:
            return Faces.empty()
        (y0, x0), (y1, x1) = white.min(axis=0), white.max(axis=0) + 1
        points = [[[x0, y0], [x1, y0], [x0, y0], [x0, y1], [x1, y1]]]
        return Faces(np.array([[x0, y0, x1, y1]]), [0.9], np.array(points))

    frame = np.ascontiguousarray(np.rot90(upright, quarters))
    assert len(search(frame, find)) == 0
    faces = search(frame, find, sideways=True)
    box = [100, 460, 140, 500] if quarters == 1 else [860, 200, 900, 240]
    assert np.abs(faces.xyxy[0] - box).max() <= 3
    roll = roll_degrees(faces.landmarks, faces.xyxy)[0]
    assert abs(abs(roll) - 90) < 1


def test_tiles_in_threads_give_the_same_faces():
    corners = [(x, y) for x in range(50, 3000, 400) for y in range(50, 2200, 500)]
    frame = squares(2400, 3200, *corners)
    one, four = (search(frame, SquareFinder(), n_threads=n) for n in (1, 4))
    assert one.xyxy.tolist() == four.xyxy.tolist()
    assert len(one) == len(corners)


def test_the_smallest_face_trades_time_for_faces():
    frame = squares(2400, 3200, (900, 900), side=18)
    counts, looks = [], []
    for size in (200, None, 16):
        finder = SquareFinder()
        counts.append(len(search(frame, finder, size)))
        looks.append(sum(h * w for h, w in finder.shapes))
    assert counts == [0, 0, 1]
    assert looks == sorted(looks)


@pytest.mark.parametrize("bad", [0, 7, -24, float("nan"), True, "24"])
def test_a_smallest_face_that_is_no_size_is_refused(bad):
    with pytest.raises(InputError, match="smallest face"):
        check_min_face(bad)


def scripted(**faces):
    """A detector with one answer for each width of the picture that it sees."""
    return lambda image: faces.get(f"w{image.shape[1]}", Faces.empty())


def one(x, y, side, score):
    return Faces(xyxy=[[x, y, x + side, y + side]], score=[score])


def test_an_uncertain_box_needs_two_scales():
    frame = np.zeros((1000, 2000, 3), np.uint8)  # seen at 640, 667 and 1333 pixels
    hand = {"w1334": one(300, 300, 40, 0.65)}
    assert len(search(frame, scripted(**hand))) <= 1
    frame = np.zeros((960, 1280, 3), np.uint8)  # at 640 and 853
    alone = {"w853": one(300, 300, 40, 0.65)}
    assert len(search(frame, scripted(**alone))) == 0
    certain = {"w853": one(300, 300, 40, 0.85)}
    assert len(search(frame, scripted(**certain))) == 1
    both = {"w640": one(225, 225, 30, 0.65), **alone}
    assert len(search(frame, scripted(**both))) == 1


def test_a_part_of_a_face_is_none_but_overlapping_faces_are_two():
    frame = np.zeros((960, 1280, 3), np.uint8)
    nose = {"w640": one(100, 100, 200, 0.9), "w853": one(230, 240, 60, 0.85)}
    assert len(search(frame, scripted(**nose))) == 1
    pair = Faces(xyxy=[[100, 100, 200, 200], [150, 120, 250, 220]], score=[0.9, 0.85])
    assert len(search(frame, scripted(w640=pair))) == 2


@pytest.mark.parametrize("name", ["yunet", "slim"])
def test_all_116_faces_of_a_mosaic(name):
    photo = read_image(shared("examples", "photos", "group_solvay1927_PD.jpg"))
    mosaic = np.tile(photo, (2, 2, 1))
    detector = build(name)
    assert len(detector(mosaic)) == 116
    assert len(detector.glance(mosaic)) < 29


@pytest.mark.parametrize("name", ["yunet", "slim"])
def test_small_faces_of_a_tall_screenshot(name):
    face = rendered_face("neutral", side=160)
    frame = np.full((8000, 1080, 3), 245, np.uint8)
    for y in range(300, 8000, 1100):
        frame[y : y + 160, 100:260] = face
    faces = build(name)(frame)
    assert len(faces) == 7
    assert (crop_side_px(faces.xyxy, 1.0) < 160).all()


@pytest.mark.parametrize("name", ["yunet", "slim"])
def test_pictures_without_a_face_stay_so(name):
    detector = build(name)
    for seed in range(3):
        rough = resize(noise(60, 90, seed), 1800, 1200)
        assert len(detector(rough)) == 0
        assert len(detector(noise(900, 1300, seed))) == 0


def result_of(faces, size):
    return FrameResult(faces=faces, class_names=("a",), frame_size=size)


def test_a_video_is_searched_twice_a_second_and_longer_where_faces_are_small():
    small, large = make_faces([0, 0, 30, 30]), make_faces([0, 0, 300, 300])
    assert is_small(small, 1280, 720)
    assert not is_small(large, 1280, 720)
    assert not is_small(make_faces([0, 0, 12, 12]), 640, 480)
    looks = FullLooks()
    full = []
    for i in range(40):
        time_s = i / 10
        full.append(looks(time_s))
        looks.see(result_of(small if 10 <= i < 15 else large, (1280, 720)), time_s)
    assert [i for i in range(11) if full[i]] == [0, 5, 10]
    assert all(full[10:25])
    assert sum(full[25:]) == 3


class Counting:
    """Counts looks of both kinds and finds nothing."""

    title = "counting"

    def __init__(self):
        self.kinds = []

    def __call__(self, frame):
        self.kinds.append("full")
        return Faces.empty()

    def glance(self, frame):
        self.kinds.append("glance")
        return Faces.empty()


def test_a_stream_without_a_face_is_searched_every_tenth_frame():
    detector, state = Counting(), None
    pipeline = Pipeline(detector, make_classifier())
    for i in range(30):
        state, _ = pipeline.track(noise(24, 32), state, i / 10)
        state = type(state).from_json(state.to_json())
    assert [i for i, kind in enumerate(detector.kinds) if kind == "full"] == [9, 19, 29]
    assert pipeline(noise(24, 32)).labels == []
    assert detector.kinds[-1] == "full"
    pipeline.glance(noise(24, 32))
    assert detector.kinds[-1] == "glance"


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_is_not_upright_is_cropped_so_and_uncertain_on_its_head(turns, yunet_path):
    pipeline = Pipeline(build("yunet"), make_classifier(uncertain_below=0.0))
    upright = read_image(ROOT / "examples" / "astronaut_happy.jpg")
    result = pipeline(np.ascontiguousarray(np.rot90(upright, turns)))
    from fer.geometry import roll_degrees

    roll = abs(float(roll_degrees(result.faces.landmarks, result.faces.xyxy)[0]))
    assert abs(roll - (180 if turns == 2 else 90)) < 25
    assert pipeline(upright).uncertain == [False]
    if turns == 2:
        assert result.uncertain[0]
