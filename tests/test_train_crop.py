"""Photographs -> a folder of face crops."""

import pytest
from PIL import Image

from fer.errors import DetectorError, InputError
from tests.conftest import ROOT, noise

pytest.importorskip("datasets")


def test_photographs_become_crops_with_a_report(tmp_path, yunet_path, monkeypatch):
    from fer.image import read_image
    from train.crop import REPORT_NAME, crop_folder

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
    report = crop_folder(source, tmp_path / "crops", "yunet", jobs=2).set_index("file")
    assert report.loc["happy/a.jpg", "outcome"].startswith("kept")
    assert report.loc["happy/a.png", "outcome"] == "no face found"
    assert "kept; the file breaks off" in report.loc["happy/shorter.jpg", "outcome"]
    assert "Received: JPEG XL" in report.loc["happy/new.jxl", "outcome"]
    assert "not a usable picture" in report.loc["happy/cut.jpg", "outcome"]
    crop = read_image(tmp_path / "crops" / report.loc["happy/a.jpg", "crop"])
    assert crop.shape[0] == crop.shape[1] > 60
    assert r"happy/caf\xe9.jpg" in (tmp_path / "crops" / REPORT_NAME).read_text("utf-8-sig")
    with pytest.raises(InputError, match="new or empty"):
        crop_folder(source, tmp_path / "crops")
    monkeypatch.setenv("FER_YUNET_PATH", str(tmp_path / "missing.onnx"))
    with pytest.raises(DetectorError):
        crop_folder(source, tmp_path / "none", "yunet")
    with pytest.raises(InputError, match="must not lie in"):
        crop_folder(source, source / "crops")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="hold pictures"):
        crop_folder(empty, tmp_path / "more")
