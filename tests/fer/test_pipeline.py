import itertools
import json
import os

import numpy as np
import pytest
from PIL import Image

import fer
from fer import Pipeline, annotate, to_dict, to_rows
from fer.annotate import caption, class_color, text_color
from fer.errors import ConfigError, ImageError, InputError
from fer.image import read_image
from tests.conftest import (
    FACE,
    FakeDetector,
    make_classifier,
    make_faces,
    make_two_heads,
    noise,
    shared,
)


def make_frame():
    frame = np.zeros((60, 80, 3), np.uint8)
    frame[10:40, 40:70] = 255
    return frame


def make_pipeline(*boxes, **changes):
    return Pipeline(FakeDetector(make_faces(*boxes)), make_classifier(crop_margin=1.0, **changes))


def test_every_face_gets_its_own_probabilities():
    result = make_pipeline([0, 10, 30, 40], [40, 10, 70, 40])(make_frame())
    assert result.labels == ["dark", "bright"]
    assert result.faces.probs.shape == (2, 2)
    assert result.class_names == ("dark", "bright")
    assert result.frame_size == (80, 60)
    assert list(result.timing_ms) == ["detect", "crop", "classify"]
    assert min(result.timing_ms.values()) >= 0


def test_votes_are_given_when_requested():
    faces, frame = FakeDetector(make_faces([0, 10, 30, 40], [40, 10, 70, 40])), make_frame()
    plain, asked = (
        Pipeline(faces, make_two_heads(), votes=votes)(frame) for votes in (False, True)
    )
    assert plain.faces.votes is None
    assert plain.vote_names == ()
    assert "votes" not in json.dumps(to_dict(plain))
    assert asked.faces.votes.shape == (2, 3)
    assert asked.vote_names == ("calm", "loud", "odd")
    assert asked.labels == plain.labels
    assert (asked.faces.probs == plain.faces.probs).all()
    data = to_dict(asked)
    assert data["vote_names"] == ["calm", "loud", "odd"]
    assert data["faces"][0]["votes"] == {"calm": 0.2447, "loud": 0.6652, "odd": 0.09}
    assert to_rows(asked) == to_rows(plain)
    assert (annotate(frame, asked) == annotate(frame, plain)).all()
    _, tracked = Pipeline(faces, make_two_heads(), votes=True).track(frame, None, 0.0)
    assert (tracked.faces.votes == asked.faces.votes).all()
    with pytest.raises(ConfigError, match="votes"):
        Pipeline(faces, make_classifier(), votes=True)


def test_no_face_is_a_result():
    result = make_pipeline()(make_frame())
    assert len(result.faces) == 0
    assert result.labels == []
    assert to_dict(result)["faces"] == []
    assert (annotate(make_frame(), result) == make_frame()).all()


def test_boxes_off_the_frame_are_analysed():
    result = make_pipeline([-20, -20, 5, 5], [75, 55, 200, 300])(make_frame())
    assert len(result.labels) == 2
    annotate(make_frame(), result)


@pytest.mark.parametrize("frame", [None, "x", np.full((9, 9, 3), np.nan), noise(4, 4)[..., :1]])
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(InputError):
        make_pipeline()(frame)


def test_a_result_is_json():
    result = make_pipeline([40, 10, 70, 40])(make_frame())
    data = json.loads(json.dumps(to_dict(result), allow_nan=False))
    (face,) = data["faces"]
    assert face["box_xyxy"] == [40, 10, 70, 40]
    assert face["label"] == "bright"
    assert list(face["probs"]) == ["dark", "bright"]
    assert face["uncertain"] is False
    assert face["landmarks"] is None
    assert data["frame"] == {"width": 80, "height": 60}


def test_under_the_threshold_a_face_is_uncertain():
    frame = np.full((20, 20, 3), 128, np.uint8)
    (face,) = to_dict(make_pipeline([0, 0, 20, 20])(frame))["faces"]
    assert max(face["probs"].values()) < 0.6
    assert face["uncertain"] is True


def test_annotation_draws_on_a_copy_in_the_colour_of_the_class():
    frame = make_frame()
    kept = frame.copy()
    result = make_pipeline([40, 30, 70, 58])(frame)
    drawn = annotate(frame, result)
    assert (frame == kept).all()
    color = tuple(
        int(class_color(result.class_names.index(result.labels[0]))[i : i + 2], 16)
        for i in (1, 3, 5)
    )
    assert tuple(drawn[50, 40]) == color


@pytest.mark.parametrize("size", [(1280, 720), (64, 48), (40, 3)])
def test_a_caption_stands_in_the_lower_left_corner_and_leaves_the_rest(size):
    width, height = size
    frame = np.full((height, width, 3), 200, np.uint8)
    drawn = caption(frame, "a guess")
    assert (frame == 200).all()
    rows, columns = np.nonzero((drawn != 200).any(axis=2))
    assert (rows.max(), columns.min()) == (height - 1, 0)
    assert columns.max() < width / 2
    assert len(rows) < max(0.05 * drawn[..., 0].size, 40)
    inside = drawn[rows.min() :, : columns.max() + 1]
    assert inside.min() == 70
    if height > 100:  # smaller letters are grey
        assert inside.max() > 220


def test_colours_of_seven_classes_differ():
    assert len({class_color(i) for i in range(7)}) == 7


def luminance(color):
    """Of the WCAG 2.2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("index", range(8))
def test_labels_can_be_read_on_every_colour(index):
    back = luminance(class_color(index))
    ink = luminance(text_color(class_color(index)))
    assert (max(back, ink) + 0.05) / (min(back, ink) + 0.05) >= 4.5


def test_public_names_are_exactly_these():
    assert fer.__all__ == [
        *(
            "Baseline",
            "Classifier",
            "ConfigError",
            "Detector",
            "DetectorError",
            "Faces",
            "FerError",
        ),
        *("FrameResult", "HaarDetector", "HubError", "ImageError", "InputError", "ModelConfig"),
        *("Pipeline", "SlimFaceDetector", "TrackState", "VideoError", "YuNetDetector", "annotate"),
        *("load_classifier", "load_detector", "read_image", "to_dict", "to_rows"),
    ]
    assert all(hasattr(fer, name) for name in fer.__all__)


def test_default_pipeline_on_a_rendered_face(monkeypatch, hub):
    monkeypatch.setenv("FER_DETECTOR", "slim")
    try:
        pipeline = Pipeline.default()
    except fer.DetectorError as error:
        pytest.skip(str(error))
    result = pipeline(read_image(FACE))
    assert len(result.faces) == 1
    assert result.labels[0] in pipeline.classifier.config.class_names


def rotated(frame, degrees):
    from PIL import Image

    turned = Image.fromarray(frame).rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    return np.array(turned)


def test_a_tilted_head_keeps_its_expression(yunet_path):
    """Of ten pictures that are right upright, at least nine stay right at 30 degrees."""
    pipeline = Pipeline(fer.YuNetDetector(yunet_path), fer.load_classifier())
    pictures = sorted(shared("examples", "photos").glob("*.jpg"))
    pictures += sorted(FACE.parent.glob("monk-5_*_25_*.jpg"))
    names = pipeline.classifier.config.class_names
    kept = total = 0
    for path in pictures:
        expected = next((name for name in names if name in path.stem), None)
        if expected is None:
            continue
        frame = read_image(path)
        if pipeline(frame).labels != [expected]:
            continue
        for degrees in (-30, 30):
            total += 1
            kept += pipeline(rotated(frame, degrees)).labels == [expected]
    assert total >= 20
    assert kept >= 0.9 * total, f"{kept} of {total}"


def test_a_batch_keeps_its_order_and_its_bad_files(tmp_path):
    bright = np.full((60, 80, 3), 250, np.uint8)
    dark = np.zeros((60, 80, 3), np.uint8)
    Image.fromarray(bright).save(tmp_path / "bright.png")
    (tmp_path / "letter.png").write_text("Dear Sir or Madam")
    sources = [
        tmp_path / "bright.png",
        dark,
        tmp_path / "letter.png",
        str(tmp_path / "missing.png"),
        (tmp_path / "bright.png").read_bytes(),
        dark[..., 0],
    ]
    results = list(make_pipeline([10, 10, 40, 40]).batch(sources))
    assert [getattr(result, "labels", type(result)) for result in results] == [
        ["bright"],
        ["dark"],
        ImageError,
        ImageError,
        ["bright"],
        InputError,
    ]


def test_a_batch_takes_files_bytes_pictures_and_frames(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(noise(60, 60)).save(path)
    pipeline = make_pipeline([10, 10, 40, 40])
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, Image.open(path), noise(60, 60), 7]
        *results, wrong = pipeline.batch(sources)
    assert [len(result.faces) for result in results] == [1] * 6
    assert isinstance(wrong, InputError)
    assert "Received: int" in str(wrong)
    for one in (path, str(path), path.read_bytes(), noise(60, 60), 7):
        with pytest.raises(InputError, match="list of pictures"):
            list(pipeline.batch(one))


def test_an_endless_batch_is_read_a_little_ahead():
    taken = itertools.count()
    results = make_pipeline().batch(noise(9, 9, next(taken)) for _ in itertools.count())
    for _ in range(5):
        assert len(next(results).faces) == 0
    results.close()
    assert next(taken) <= 5 + 2 * os.cpu_count()


def test_what_a_library_raises_on_one_picture_ends_no_batch():
    def crash(frame):
        if frame.shape[0] == 9:
            raise RuntimeError("a mistake")
        return make_faces([1, 1, 8, 8])

    pipeline = Pipeline(crash, make_classifier())
    bad, good = pipeline.batch([noise(9, 9), noise(30, 30)])
    assert isinstance(bad, ImageError)
    assert "RuntimeError: a mistake" in str(bad)
    assert isinstance(bad.__cause__, RuntimeError)
    assert len(good.faces) == 1


def test_rows_say_what_the_json_says():
    result = make_pipeline([0, 10, 30, 40], [40, 10, 70, 40])(make_frame())
    rows, faces = to_rows(result), to_dict(result)["faces"]
    assert [row["face"] for row in rows] == [1, 2]
    for row, face in zip(rows, faces, strict=True):
        assert [row[key] for key in ("x0", "y0", "x1", "y1")] == face["box_xyxy"]
        assert {name: row[f"p_{name}"] for name in ("dark", "bright")} == face["probs"]
        assert all(row[key] == face[key] for key in ("track_id", "label", "uncertain", "score"))
