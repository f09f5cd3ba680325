"""A model on folders of labelled pictures: every file is accounted for."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from fer.classify import Classifier
from fer.errors import InputError
from tests.conftest import YUNET, FakeDetector, make_config, make_faces, make_heads, shared

pytest.importorskip("sklearn")
pytest.importorskip("datasets")

from typer.testing import CliRunner

from train.__main__ import app
from train.data.listing import list_pictures
from train.measure import folders

NAMES = ("angry", "happy", "sad", "neutral")


class GrayDetector:
    """A small face in the corner and a larger one of the picture's mean level; none if black."""

    title = "gray"

    def __call__(self, frame):
        if not frame.any():
            return make_faces()
        return make_faces([0, 0, 8, 8], [16, 0, 40, 24])


@pytest.fixture
def answers(monkeypatch):
    """A model of four classes by level, a quarter of 0..255 each, and a detector of its own."""

    def serve(**changes):
        def network(pixels):
            level = pixels.mean(axis=(1, 2, 3)) / 64
            return -np.abs(level[:, None] - [0.5, 1.5, 2.5, 3.5]).astype(np.float32)

        config = make_config(
            class_names=NAMES if "heads" not in changes else (),
            stretch_percentile=None,
            files={"model.tflite": "ab" * 32},
            **changes,
        )
        monkeypatch.setattr(folders, "load_folder", lambda model: Classifier(network, config))
        monkeypatch.setattr(folders, "load_detector", lambda name: GrayDetector())

    return serve


def draw(path, level, corner=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((48, 48, 3), level, np.uint8)
    pixels[:9, :9] = corner if level else 0
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pictures(tmp_path):
    """Two right and one wrong for anger, one right and one without a face for joy, and litter."""
    root = tmp_path / "mine"
    draw(root / "Anger" / "1.png", 30)
    draw(root / "Anger" / "deeper" / "2.png", 40)
    draw(root / "anger_2" / "3.png", 30)
    draw(root / "angry" / "4.png", 220)
    draw(root / "02-Happiness" / "5.png", 90)
    draw(root / "02-Happiness" / "6.png", 0)
    draw(root / "contempt" / "7.png", 90)
    draw(root / "loose.png", 90)
    (root / "Anger" / "broken.jpg").write_bytes(b"not a picture")
    (root / "Anger" / "notes.txt").write_text("by hand")
    (root / "Anger" / ".DS_Store").write_bytes(b"")
    return root


def test_every_file_is_counted_and_the_largest_face_answers(answers, pictures, tmp_path):
    answers()
    shown = []
    results = tmp_path / "results"
    report = folders.measure_folder(tmp_path, "mine", pictures, results, show=shown.append)
    assert shown == [
        "mine: happy from 02-Happiness; angry from Anger, angry; of no class: anger_2, contempt"
    ]
    assert report["mapping"] == {
        "02-Happiness": "happy",
        "Anger": "angry",
        "anger_2": None,
        "angry": "angry",
        "contempt": None,
    }
    files = dict(report["files"])
    n_files = sum(path.is_file() for path in pictures.rglob("*"))
    assert files.pop("all") == n_files == sum(files.values())
    assert files == {
        "measured": 4,
        "no_face": 1,
        "unreadable": 1,
        "not_used": 2,
        "no_class": 3,
    }
    assert report["no_face"] == ["02-Happiness/6.png"]
    assert list(report["unreadable"]) == ["Anger/broken.jpg"]
    assert report["not_used"] == {
        "Anger/.DS_Store": "hidden files",
        "Anger/notes.txt": "files .txt that are no picture",
    }
    assert report["no_class"] == ["anger_2/3.png", "contempt/7.png", "loose.png"]
    assert report["several_faces"] == 4
    (figures,) = report["decisions"].values()
    assert figures["accuracy"] == 75.0
    assert figures["balanced_accuracy"] == pytest.approx((200 / 3 + 100) / 2, abs=0.01)
    assert figures["recall"] == {"angry": 66.67, "happy": 100.0, "sad": None, "neutral": None}
    assert figures["confusion_matrix"] == [[2, 0, 0, 1], [0, 1, 0, 0], [0] * 4, [0] * 4]
    (path,) = (tmp_path / "results").rglob("*.json")
    assert path.name == "toy_mine.json"
    assert json.loads(path.read_text()) == report
    assert str(tmp_path) not in path.read_text()
    text = folders.format_folder(report)
    for figure in ("75.00", "83.33", "without pictures: sad, neutral"):
        assert figure in text
    for file in ("6.png", "broken.jpg", "notes.txt", ".DS_Store"):
        assert file in text


def test_ten_files_of_a_kind_are_shown_and_the_rest_counted(answers, tmp_path):
    answers()
    draw(tmp_path / "mine" / "sad" / "1.png", 150)
    for i in range(12):
        (tmp_path / "mine" / "sad" / f"bad {i:02}.png").write_bytes(b"no picture")
    report = folders.measure_folder(tmp_path, "mine", tmp_path / "mine", tmp_path / "results")
    text = folders.format_folder(report)
    assert len(report["unreadable"]) == 12
    assert "unreadable: sad/bad 09.png" in text
    assert "bad 10.png" not in text
    assert "unreadable: and 2 more, in folders/ of the results" in text


def test_links_are_followed_once_and_what_cannot_be_opened_is_counted(answers, tmp_path):
    answers()
    root = tmp_path / "mine"
    draw(tmp_path / "elsewhere" / "1.png", 30)
    draw(root / "sad" / "2.png", 150)
    (root / "angry").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "sad" / "again").symlink_to(root, target_is_directory=True)
    (root / "sad" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(root / "sad" / "pipe.png")
    (root / "sad" / "._1.jpg").write_bytes(b"none")
    report = folders.measure_folder(tmp_path, "mine", root, tmp_path / "results")
    assert report["files"] == {
        "all": 6,
        "measured": 2,
        "no_face": 0,
        "unreadable": 0,
        "not_used": 4,
        "no_class": 0,
    }
    assert report["not_used"] == {
        "sad/._1.jpg": "hidden files",
        "sad/again": "links to a folder above them",
        "sad/gone.png": "links to nothing",
        "sad/pipe.png": "places that are neither file nor folder",
    }
    assert (
        report["not_used"].items()
        <= {
            listing.shown(file): reason
            for listing in [list_pictures(root)]
            for reason, files in listing.unused.items()
            for file in files
        }.items()
    )
    assert "not used: 1 link to nothing, as sad/gone.png" in folders.format_folder(report)
    assert report["decisions"]["dataset"]["accuracy"] == 100.0


def test_every_decision_of_two_heads_is_measured(answers, pictures, tmp_path):
    heads = {"labels": make_heads()["labels"] | {"class_names": list(NAMES)}}
    for decision in heads["labels"]["decisions"].values():
        decision["bias"] = [0.0, 9.0, 0.0, 0.0] if decision["temperature"] > 1 else [0.0] * 4
    answers(heads=heads, decision="balanced", version=2)
    report = folders.measure_folder(tmp_path, "mine", pictures, tmp_path / "results")
    assert report["decision"] == "balanced"
    assert report["decisions"]["dataset"]["accuracy"] == 75.0
    assert report["decisions"]["balanced"]["accuracy"] == 25.0
    assert "balanced (served): accuracy 25.00 %" in folders.format_folder(report)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        *(("anger", "angry"), ("Angry", "angry"), ("disgusted", "disgust"), ("afraid", "fear")),
        *(
            ("fearful", "fear"),
            ("HAPPINESS", "happy"),
            ("sadness", "sad"),
            ("3_surprised", "surprise"),
        ),
        *(("neutral", "neutral"), ("contempt", None), ("7", None), ("unhappy", None)),
    ],
)
def test_folders_are_known_by_words_for_their_class(folder, name):
    names = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    assert folders._class_of(folder, names) == name
    assert folders._class_of("Joyful", ("calm", "joyful")) == "joyful"
    assert folders._class_of("angry", ("calm", "wild")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mine", "NAME=PATH"),
        ("=.", "NAME=PATH"),
        ("a/b=.", "NAME=PATH"),
        ("../a=.", "NAME=PATH"),
        ("mine=no/such/folder", "no/such/folder"),
    ],
)
def test_a_folder_must_have_a_name_and_a_path(text, said):
    assert folders.parse_folder("mine=.")[0] == "mine"
    with pytest.raises(InputError, match=said):
        folders.parse_folder(text)


def test_a_folder_without_classes_or_faces_is_refused(answers, tmp_path, monkeypatch):
    answers()
    draw(tmp_path / "mine" / "7" / "1.png", 90)
    with pytest.raises(InputError, match=r"a folder a class.*'7'"):
        folders.measure_folder(tmp_path, "mine", tmp_path / "mine", tmp_path / "results")
    draw(tmp_path / "mine" / "sad" / "1.png", 90)
    monkeypatch.setattr(folders, "load_detector", lambda name: FakeDetector(make_faces()))
    with pytest.raises(InputError, match="1 picture, none with a face"):
        folders.measure_folder(tmp_path, "mine", tmp_path / "mine", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_the_command_needs_no_data_set(tmp_path, monkeypatch):
    """On the public-domain photographs, where most answers of the shipped weights are right."""
    monkeypatch.setenv("FER_DATASET", str(tmp_path / "missing"))
    names = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    with shared("photos", "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["licence"].startswith("public domain")]
    sources = [shared("photos", row["file"]) for row in rows]
    sources += sorted(shared("examples", "photos").glob("darwin_*.jpg"))
    for source in sources:
        name = next((name for name in names if name in source.stem.split("_")), None)
        if name is not None:
            (tmp_path / "old" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / "old" / name)
    monkeypatch.setenv("FER_YUNET_PATH", str(shared("models", YUNET.name)))
    folder = f"old={tmp_path / 'old'}"
    done = CliRunner().invoke(
        app, ["evaluate", "--results", str(tmp_path / "results"), "--folder", folder]
    )
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "results" / "folders").iterdir()
    report = json.loads(path.read_text())
    assert report["detector"] == "YuNet"
    assert report["files"]["measured"] >= 0.9 * report["files"]["all"] >= 9
    assert len(report["decisions"]) == 2
    for figures in report["decisions"].values():
        assert figures["accuracy"] > 50
        assert f"accuracy {figures['accuracy']:.2f} %" in done.output
    twice = CliRunner().invoke(app, ["evaluate", "--folder", folder, "--folder", folder])
    assert isinstance(twice.exception, InputError)
