"""Photographs -> a folder of face crops."""

import os

import pandas as pd
import pytest
from PIL import Image

from fer.errors import DetectorError, InputError
from tests.conftest import ROOT, noise

pytest.importorskip("datasets")


def test_photographs_become_crops_with_a_report(tmp_path, yunet_path, monkeypatch):
    from fer.image import read_image
    from train.crop import REPORT_NAME, crop_folder
    from train.data.listing import list_photographs

    monkeypatch.setenv("FER_YUNET_PATH", str(yunet_path))
    source = tmp_path / "photos"
    (source / "happy").mkdir(parents=True)
    astronaut = (ROOT / "examples" / "astronaut_happy.jpg").read_bytes()
    (source / "happy" / "a.jpg").write_bytes(astronaut)
    (source / "happy" / "cut.jpg").write_bytes(astronaut[:300])
    (source / "happy" / "shorter.jpg").write_bytes(astronaut[:-40])
    (source / "happy" / "new.jxl").write_bytes(b"\xff\x0a\xfa")
    Image.fromarray(noise(80, 80)).save(source / "happy" / "a.png")
    (source / "happy" / "caf\udce9.jpg").write_bytes(astronaut[:300])  # no UTF-8
    (source / "happy" / "nameless").write_bytes(astronaut[:300])  # a picture by its beginning
    (source / "happy" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(source / "happy" / "pipe.png")
    listing = list_photographs(source)
    report = crop_folder(listing, tmp_path / "crops", "yunet", jobs=2).set_index("file")
    assert report.loc["happy/a.jpg", "outcome"].startswith("kept")
    assert report.loc["happy/a.png", "outcome"] == "no face found"
    assert "kept; the file breaks off" in report.loc["happy/shorter.jpg", "outcome"]
    assert report.loc["happy/new.jxl", "outcome"].startswith("not used: pictures .jxl, of a format")
    assert "cannot be read" in report.loc["happy/nameless", "outcome"]
    assert report.loc["happy/gone.png", "outcome"] == "not used: links to nothing"
    assert (
        report.loc["happy/pipe.png", "outcome"]
        == "not used: places that are neither file nor folder"
    )
    assert "cannot be read" in report.loc["happy/cut.jpg", "outcome"]
    crop = read_image(tmp_path / "crops" / report.loc["happy/a.jpg", "crop"])
    assert crop.shape[0] == crop.shape[1] > 60
    assert r"happy/caf\xe9.jpg" in (tmp_path / "crops" / REPORT_NAME).read_text("utf-8-sig")
    with pytest.raises(InputError, match="new or empty"):
        crop_folder(listing, tmp_path / "crops")
    monkeypatch.setenv("FER_YUNET_PATH", str(tmp_path / "missing.onnx"))
    with pytest.raises(DetectorError):
        crop_folder(listing, tmp_path / "none", "yunet")
    with pytest.raises(InputError, match="must not lie in"):
        crop_folder(listing, source / "crops")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="hold pictures"):
        list_photographs(empty)


def test_outcomes_are_counted_and_ten_files_that_cannot_be_read_are_named():
    from train.crop import describe_report

    rows = [(f"{i:02}.png", f"cannot be read: {i} broke") for i in range(12)]
    rows += [("a.png", "kept"), ("b.png", "kept"), ("c.txt", "not used: files .txt")]
    said = describe_report(pd.DataFrame(rows, columns=["file", "outcome"])).splitlines()
    assert said[:4] == [
        "    15  files",
        "    12  cannot be read",
        "     2  kept",
        "     1  not used: files .txt",
    ]
    assert said[4].startswith("00.png: 0 broke; 01.png: 1 broke; ")
    assert said[4].endswith("09.png: 9 broke; and 2 more")


@pytest.mark.parametrize(("names", "status"), [("a", 0), ("ab", 3), ("b", 1)])
def test_the_exit_status_says_how_many_pictures_cannot_be_read(
    names, status, tmp_path, monkeypatch, capsys
):
    from train.__main__ import main

    source = tmp_path / "photos"
    (source / "=\x1b[31mhappy").mkdir(parents=True)
    if "a" in names:
        Image.fromarray(noise(80, 80)).save(source / "=\x1b[31mhappy" / "a.png")
    if "b" in names:
        (source / "=\x1b[31mhappy" / "b.png").write_bytes(b"none")
    target = tmp_path / "crops"
    options = [str(source), str(target), "--detector", "haar", "--jobs", "1"]
    monkeypatch.setattr("sys.argv", ["train", "crop", *options])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == status, said
    assert (said.out + said.err).replace("\n", "").isprintable()
    report = pd.read_csv(target / "crop_report.csv")
    assert report["file"].tolist() == [f"./=\\x1b[31mhappy/{name}.png" for name in names]


@pytest.mark.parametrize(("unreadable", "status"), [({}, 0), ({"a.png": "it is empty"}, 3)])
def test_the_exit_status_of_a_measured_folder(unreadable, status, tmp_path, monkeypatch, capsys):
    from train import __main__ as train
    from train.measure import folders

    monkeypatch.setattr(folders, "measure_folder", lambda *given: {"unreadable": unreadable})
    monkeypatch.setattr(folders, "format_folder", lambda report: "accuracy")
    options = ["--folder", f"mine={tmp_path}", "--results", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["train", "evaluate", *options])
    with pytest.raises(SystemExit) as end:
        train.main()
    assert end.value.code == status, capsys.readouterr()
