import json

import numpy as np
import pytest
from PIL import Image

from fer import Pipeline
from fer.web.examples import EXAMPLES_FOLDER, list_examples
from fer.web.photo import analyse_file
from tests.conftest import FakeDetector, make_classifier, make_faces, noise


def make_pipeline(*boxes):
    return Pipeline(FakeDetector(make_faces(*boxes)), make_classifier())


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(noise(120, 160)).save(path)
    return path


def test_every_face_is_boxed_listed_and_in_the_json(photo):
    picture, cards, data = analyse_file(make_pipeline([5, 30, 40, 70], [90, 30, 130, 70]), photo)
    assert picture.shape == (120, 160, 3)
    assert cards.count('class="fer-card"') == 2
    assert cards.count('class="fer-bar"') == 4
    assert len(data["faces"]) == 2
    json.dumps(data)


def test_forty_faces(photo):
    boxes = [[3 * i, 20, 3 * i + 30, 60] for i in range(40)]
    _, cards, data = analyse_file(make_pipeline(*boxes), photo)
    assert cards.count('class="fer-card"') == 40
    assert len(data["faces"]) == 40


def test_no_face_and_no_picture_say_so(photo):
    picture, cards, data = analyse_file(make_pipeline(), photo)
    assert picture is not None
    assert "No face was found" in cards
    assert data["faces"] == []
    assert analyse_file(make_pipeline(), None)[0] is None


@pytest.mark.parametrize("content", [b"", b"Dear Sir or Madam", b"\xff\xd8\xff\xe0 cut off"])
def test_a_file_that_is_no_picture_is_a_message(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    picture, message, data = analyse_file(make_pipeline(), path)
    assert picture is None
    assert 'role="alert"' in message
    assert "photo.jpg" in message
    assert "Traceback" not in message
    assert data["error"]


def test_a_crash_is_a_message_without_details(photo, caplog):
    def crash(frame):
        raise RuntimeError("secret detail")

    _, message, data = analyse_file(Pipeline(crash, make_classifier()), photo)
    assert 'role="alert"' in message
    assert "secret" not in message + str(data)
    assert "picture failed" in caplog.text


def test_a_file_name_cannot_inject_html(tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    path.write_bytes(b"no picture")
    assert "<img" not in analyse_file(make_pipeline(), path)[1]


def test_a_large_picture_is_shown_smaller_but_measured_whole(tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((1000, 4096, 3), np.uint8)).save(path)
    picture, _, data = analyse_file(make_pipeline([100, 100, 300, 300]), path)
    assert picture.shape == (500, 2048, 3)
    assert data["frame"] == {"width": 4096, "height": 1000}


def test_every_example_has_a_file_a_source_and_a_licence():
    listed = {path.name for path, _ in list_examples()}
    present = {path.name for path in EXAMPLES_FOLDER.iterdir() if path.is_file()} - {"SOURCES.csv"}
    assert listed == present
    for line in (EXAMPLES_FOLDER / "SOURCES.csv").read_text(encoding="utf-8").splitlines():
        assert all(field.strip() for field in line.split(","))
