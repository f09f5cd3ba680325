import asyncio
import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from fer import Pipeline
from fer.image import read_image
from fer.web.photo import view as photo_package
from fer.web.photo.view import Pictures, make_explain_face
from fer.web.server.assets import find_modules
from fer.web.server.uploads import Uploads
from fer.web.server.work import InProcess
from tests.conftest import FakeDetector, make_classifier, make_faces, noise
from tests.web.test_live import encoded

BROKEN = [b"", b"Dear Sir or Madam", b"\xff\xd8\xff\xe0 cut off"]


def make_pipeline(*boxes):
    return Pipeline(FakeDetector(make_faces(*boxes)), make_classifier())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A folder of the page's for this test alone."""
    monkeypatch.setattr(photo_package, "uploads", Uploads(tmp_path / "cache"))
    return tmp_path / "cache"


def show_picture(pipeline, path):
    return asyncio.run(Pictures(InProcess(pipeline)).show(None, path))


def annotate_picture(pipeline, path):
    """Path and data of the answer to a program, as `fer.web.api` gives them."""
    answer = asyncio.run(Pictures(InProcess(pipeline)).annotate(None, path))
    return answer.get("annotated"), answer.get("data", answer)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(noise(120, 160)).save(path)
    return path


def test_every_face_is_in_the_picture_the_json_and_the_csv(photo, cache):
    shown = show_picture(make_pipeline([5, 30, 40, 70], [90, 30, 130, 70]), photo)
    assert shown["name"] == "photo"
    plain, annotated = (read_image(shown[key]["path"]) for key in ("shown", "annotated"))
    assert plain.shape == annotated.shape == (120, 160, 3)
    changed = np.abs(plain.astype(int) - annotated).max(axis=2) > 60
    assert changed[30:70, 5:8].mean() > 0.5
    assert changed[90:105].mean() < 0.05
    assert changed[106:, :80].mean() > 0.5  # a line says what the picture is
    assert {path.name for path in cache.rglob("*.*")} == {"photo.jpg", "photo_expressions.jpg"}
    assert len(shown["data"]["faces"]) == 2
    rows = list(csv.DictReader(io.StringIO(shown["csv"])))
    for row, face in zip(rows, shown["data"]["faces"], strict=True):
        assert row["label"] == face["label"]
        box = [float(row[key]) for key in ("x0", "y0", "x1", "y1")]
        assert box == face["box_xyxy"]
        probs = {name: float(row[f"p_{name}"]) for name in ("dark", "bright")}
        assert probs == pytest.approx(face["probs"], abs=1e-6)
    json.dumps(shown)


@pytest.mark.parametrize("suffix", [".heic", ".jp2", ".mpo", ".avif"])
def test_what_phones_and_scanners_write_is_shown(suffix, tmp_path):
    path = tmp_path / f"photo{suffix}"
    image = Image.fromarray(noise(120, 160))
    if suffix == ".heic":
        pillow_heif.from_pillow(image).save(path)
    else:
        image.save(path)
    shown = show_picture(make_pipeline([5, 30, 40, 70]), path)
    assert (shown["data"]["frame"]["width"], len(shown["data"]["faces"])) == (160, 1)
    assert "notes" not in shown["data"]


def test_visitors_and_programs_hear_that_a_file_breaks_off(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(noise(120, 160)).save(path)
    path.write_bytes(path.read_bytes()[:-4000])
    expected = ["the file breaks off; what is there was read"]
    assert show_picture(make_pipeline([5, 30, 40, 70]), path)["data"]["notes"] == expected
    _, data = annotate_picture(make_pipeline([5, 30, 40, 70]), path)
    assert data["notes"] == expected


def test_crops_are_the_faces_and_small_enough_to_send_back(tmp_path):
    frame = np.zeros((600, 900, 3), np.uint8)
    frame[100:500, 400:800] = 255
    Image.fromarray(frame).save(tmp_path / "large.png")
    boxes = [400, 100, 800, 500], [0, 100, 40, 140]
    shown = show_picture(make_pipeline(*boxes), tmp_path / "large.png")
    pictures = [read_image(base64.b64decode(url.split(",")[1])) for url in shown["crops"]]
    assert [picture.shape for picture in pictures] == [(192, 192, 3), (40, 40, 3)]
    assert pictures[0].min() > 250
    assert pictures[1].max() < 5


@pytest.mark.parametrize("n", [0, 40])
def test_no_face_and_forty_faces(photo, n):
    boxes = [[3 * i, 20, 3 * i + 30, 60] for i in range(n)]
    shown = show_picture(make_pipeline(*boxes), photo)
    assert len(shown["data"]["faces"]) == len(shown["crops"]) == n
    assert len(shown["csv"].splitlines()) == n + 1
    assert len(json.dumps(shown)) < 1_000_000


def test_a_large_picture_is_shown_smaller_but_measured_and_kept_whole(tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((1000, 4096, 3), np.uint8)).save(path)
    shown = show_picture(make_pipeline([100, 100, 300, 300]), path)
    assert read_image(shown["shown"]["path"]).shape == (500, 2048, 3)
    assert read_image(shown["annotated"]["path"]).shape == (1000, 4096, 3)
    assert shown["data"]["frame"] == {"width": 4096, "height": 1000}


@pytest.mark.parametrize("content", BROKEN)
def test_a_file_that_is_no_picture_is_a_message_for_people_and_programs(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    shown = show_picture(make_pipeline(), path)
    assert list(shown) == ["error"]
    assert shown["error"]["code"] == "bad_image"
    assert "photo.jpg" in shown["error"]["message"]
    assert annotate_picture(make_pipeline(), str(path)) == (None, shown)


def test_a_crash_is_a_message_without_details(photo, caplog):
    def crash(frame):
        raise RuntimeError("secret detail")

    pipeline = Pipeline(crash, make_classifier())
    shown = show_picture(pipeline, photo)
    assert shown["error"]["code"] == "internal"
    assert "secret" not in str(shown)
    assert annotate_picture(pipeline, str(photo)) == (None, shown)
    assert "secret detail" in caplog.text


def test_a_program_gets_the_annotated_file_and_the_data(photo):
    path, data = annotate_picture(make_pipeline([5, 30, 40, 70]), str(photo))
    assert Path(path).name == "photo_expressions.jpg"
    assert read_image(path).shape == (120, 160, 3)
    assert len(data["faces"]) == 1
    picture, data = annotate_picture(make_pipeline(), None)
    assert picture is None
    assert data["error"]["code"] == "bad_image"


def explained(request, pipeline=None):
    return asyncio.run(make_explain_face(pipeline or make_pipeline())(request, "here"))


def crop_of(image):
    return encoded(image)["image"]


def test_an_explanation_is_a_map_and_what_covering_does():
    bright = np.full((60, 60, 3), 150, np.uint8)
    bright[20:40, 20:40] = 255
    answer = explained({"crop": crop_of(bright), "class_index": 1})
    picture = read_image(base64.b64decode(answer["map"].split(",")[1]))
    assert picture.shape == (60, 60, 3)
    red, green, blue = picture[30, 30].astype(int)
    assert min(red, blue) > green + 3  # purple where it is bright
    assert 0.01 < answer["lowers"] < 1
    assert answer["raises"] < answer["lowers"]


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        {},
        {"crop": crop_of(noise(9, 9))},
        {"crop": crop_of(noise(9, 9)), "class_index": 2},
        {"crop": crop_of(noise(9, 9)), "class_index": -1},
        {"crop": crop_of(noise(9, 9)), "class_index": True},
        {"crop": crop_of(noise(9, 9)), "class_index": "1"},
        {"crop": "/etc/passwd", "class_index": 1},
        {"crop": "data:image/jpeg;base64,AAAA", "class_index": 1},
        {"crop": crop_of(np.zeros((1400, 1400, 3), np.uint8)), "class_index": 1},
    ],
)
def test_what_cannot_be_explained_is_answered_with_the_reason(request_):
    assert explained(request_)["error"]["code"] == "bad_request"


def test_a_crash_of_an_explanation_is_a_message_without_details(caplog):
    pipeline = make_pipeline()

    def crash(pixels):
        raise RuntimeError("secret detail")

    pipeline.classifier.network = crash
    answer = explained({"crop": crop_of(noise(9, 9)), "class_index": 1}, pipeline)
    assert answer["error"]["code"] == "internal"
    assert "secret" not in str(answer)
    assert "secret detail" in caplog.text


def test_one_visitor_cannot_fill_the_line_of_explanations():
    explain_face = make_explain_face(make_pipeline())
    crop = crop_of(noise(60, 60))

    async def rush():
        request = {"crop": crop, "class_index": 1, "visitor": "me"}
        return await asyncio.gather(*(explain_face(request, "here") for _ in range(20)))

    answers = asyncio.run(rush())
    codes = [answer["error"]["code"] for answer in answers if "error" in answer]
    assert codes == ["stale"] * 18
    assert "map" in answers[0]
    assert "map" in answers[-1]


def test_nothing_of_a_picture_reaches_the_page_as_html():
    """The view's template takes no value; the modules set text and attributes only."""
    folder = Path(photo_package.__file__).parent
    assert "{" not in (folder / "photo.html").read_text(encoding="utf-8")
    modules = find_modules()
    assert {"photo/photo.js", "common/dom.js"} <= set(modules)
    for name, path in modules.items():
        if path.suffix == ".js":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(inner|outer|Adjacent)HTML|document\.write", text), name
