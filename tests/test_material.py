"""What a recipe trains on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from tests.conftest import noise, opened

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

from tests.toy_data import make_dataset, make_folder, toy_recipe  # noqa: E402


def load(recipe, source):
    from train.material import config_of, load_material

    return load_material(recipe, opened(source), config_of(recipe, opened(source)))


def test_extra_pictures_stand_behind_the_others(tmp_path):
    source = make_dataset(tmp_path / "toy", n=24)
    plain = load(toy_recipe(balance=0.0), source)
    extra = make_folder(tmp_path / "extra", n=3, classes=("bright", "dark"))
    more = load(toy_recipe(balance=0.0, extra=extra), source)
    assert more.train.labels[:24].tolist() == plain.train.labels.tolist()
    assert (more.train.images[:24] == plain.train.images).all()
    names = [more.config.class_names[label] for label in more.train.labels[24:]]
    assert names == ["bright"] * 3 + ["dark"] * 3
    assert not more.train.twin[24:].any()
    assert len(more.shown) == 24
    assert more.sha256 == plain.sha256
    assert more.chosen_sha256 != plain.chosen_sha256


def test_extra_pictures_may_be_called_by_words_for_the_classes(tmp_path):
    from train.data.listing import list_extra

    folder = make_folder(tmp_path / "extra", n=3, classes=("happiness", "Angry"))
    (Path(folder) / "notes.txt").write_text("no picture")
    listing = list_extra(Path(folder), ("angry", "happy", "sad"))
    assert listing.counts() == {"train": {"angry": 3, "happy": 3}}
    text = listing.describe()
    assert "happiness" in text
    assert "notes.txt" in text


def test_extra_pictures_have_no_votes(tmp_path):
    from fer.types import ModelConfig
    from train.data.split import Split
    from train.material import _with_extra

    labels, twin = np.array([0, 1]), np.zeros(2, bool)
    images, votes = np.zeros((2, 32, 32, 1), np.uint8), np.ones((2, 2), np.float32)
    shares = np.full((2, 8), 0.125, np.float32)
    split = Split(images, labels, twin, votes, ("calm", "wild"), "", labels, shares)
    config = ModelConfig(class_names=split.class_names, input_size=32)
    make_folder(tmp_path / "extra", n=2)
    more = _with_extra(split, tmp_path / "extra", config)
    assert more.labels.tolist() == [0, 1, 0, 0, 1, 1]
    assert (more.votes[2:] == 0).all()
    assert (more.shares[2:] == 0).all()
    assert more.majority.tolist() == [0, 1, -1, -1, -1, -1]
    assert more.shares[:2].tolist() == shares.tolist()


@pytest.mark.parametrize("fault", ["missing", "other class", "empty", "no picture"])
def test_what_cannot_be_learned_from_is_refused(tmp_path, fault):
    source = make_dataset(tmp_path / "toy", n=24)
    folder = tmp_path / "extra"
    if fault != "missing":
        (folder / ("grim" if fault == "other class" else "dark")).mkdir(parents=True)
    if fault == "other class":
        Image.fromarray(noise(40, 40)).save(folder / "grim" / "0.png")
    if fault == "no picture":
        (folder / "dark" / "0.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"extra|0\.png"):
        load(replace(toy_recipe(), extra=str(folder)), source)
