"""What a recipe trains on."""

import io
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from tests.conftest import noise, opened

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

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
    from train.data.listing import list_extra
    from train.data.split import Split
    from train.material import _read_extra

    labels, twin = np.array([0, 1]), np.zeros(2, bool)
    images, votes = np.zeros((2, 32, 32, 1), np.uint8), np.ones((2, 2), np.float32)
    shares = np.full((2, 8), 0.125, np.float32)
    split = Split(images, labels, twin, votes, ("calm", "wild"), "", labels, shares)
    config = ModelConfig(class_names=split.class_names, input_size=32)
    make_folder(tmp_path / "extra", n=2)
    extra = list_extra(tmp_path / "extra", split.class_names)
    more = split.join(_read_extra(split, extra, config))
    assert more.labels.tolist() == [0, 1, 0, 0, 1, 1]
    assert (more.votes[2:] == 0).all()
    assert (more.shares[2:] == 0).all()
    assert more.majority.tolist() == [0, 1, -1, -1, -1, -1]
    assert more.shares[:2].tolist() == shares.tolist()


def test_validation_images_without_a_twin_are_learned_from_where_the_recipe_says(tmp_path):
    source = make_dataset(tmp_path / "toy", n=24)
    plain = load(toy_recipe(balance=0.0), source)
    last = load(toy_recipe(balance=0.0, with_validation=True, correct_bias=False), source)
    assert len(plain.validation.labels) == 18  # a quarter of the 24 have a copy elsewhere
    assert len(last.train.labels) == len(last.shown) == 24 + 18
    assert (last.train.images[24:] == plain.validation.images).all()
    assert last.train.labels[24:].tolist() == plain.validation.labels.tolist()
    assert last.sha256 != plain.sha256


def test_all_pictures_that_cannot_be_read_are_counted_and_ten_are_named(tmp_path):
    for split in ("train", "validation", "test"):
        make_folder(tmp_path / "data" / split, n=20)
    for i in range(12):
        (tmp_path / "data" / "train" / "calm" / f"bad {i:02}.png").write_bytes(b"no picture %d" % i)
    (tmp_path / "data" / "validation" / "wild" / "lone.png").touch()
    with pytest.raises(InputError) as caught:
        load(toy_recipe(), str(tmp_path / "data"))
    said = str(caught.value)
    assert "[train] must have pictures that can be read. Received: 12 of " in said
    assert all(f"bad {i:02}.png" in said for i in range(10))
    assert "bad 10.png" not in said
    assert "; and 2 more; " in said
    assert "[validation] must have pictures" in said
    assert "lone.png" in said


def test_more_pictures_that_cannot_be_read_are_named_together(tmp_path):
    source = make_dataset(tmp_path / "toy", n=24)
    (tmp_path / "extra" / "dark").mkdir(parents=True)
    for i in range(3):
        (tmp_path / "extra" / "dark" / f"{i}.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"Received: 3 that cannot: .*0\.png.*1\.png.*2\.png"):
        load(replace(toy_recipe(), extra=str(tmp_path / "extra")), source)


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


@pytest.mark.parametrize("kind", ["folder", "table of paths"])
def test_pictures_of_test_that_cannot_be_read_are_refused_before_the_first_step(tmp_path, kind):
    root = tmp_path / "data"
    for split in ("train", "validation", "test"):
        make_folder(root / split, n=8)
    (root / "test" / "calm" / "bad.png").write_bytes(b"no picture")
    source = root
    if kind == "table of paths":
        source = tmp_path / "all.csv"
        files = [file.relative_to(tmp_path) for file in sorted(root.rglob("*.png"))]
        rows = [f"{file},{file.parts[2]},{file.parts[1]}" for file in files]
        source.write_text("\n".join(["path,label,Split", *rows]))
    with pytest.raises(
        InputError, match=r"\[test\] must .* 1 of 17 that cannot: \S*bad\.png: text$"
    ):
        load(toy_recipe(), str(source))


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("splits", [("train",), ("train", "validation", "test")])
def test_rows_without_a_picture_are_named_as_the_data_set_counts_them(tmp_path, splits):
    for split in splits:
        seeds = [crc32(f"{split} {i}".encode()) for i in range(60)]
        rows = [{"bytes": encoded(noise(8, 8, seed=seed))} for seed in seeds]
        rows[0] = rows[2] = rows[4]  # copies, of which some are not used
        rows[7], rows[9], rows[11] = None, {"bytes": b"junk"}, {"bytes": b""}
        table = pa.table({"image": pa.array(rows), "label": ["calm", "wild"] * 30})
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    with pytest.raises(InputError) as caught:
        load(toy_recipe(), str(tmp_path))
    for split in splits:
        assert f"row 7 of {split}: no picture" in str(caught.value)
        assert f"row 9 of {split}: text" in str(caught.value)
        assert f"row 11 of {split}: an empty file" in str(caught.value)
    assert "cannot identify" not in str(caught.value)
