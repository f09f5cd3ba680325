"""The same picture in a data set more than once: none is trained on and measured with."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from tests.conftest import noise, opened

pytest.importorskip("datasets")

import datasets

from train.data.columns import stored_pictures
from train.data.copies import drop_held_out
from train.data.listing import list_extra

SPLITS = ("train", "validation", "test")


@pytest.fixture
def root(tmp_path):
    """Five pictures of each of two classes in each split, each like no other."""
    for number, (split, name) in enumerate((s, n) for s in SPLITS for n in ("happy", "sad")):
        (tmp_path / "faces" / split / name).mkdir(parents=True)
        for i in range(5):
            pixels = noise(8, 8, seed=10 * number + i)
            Image.fromarray(pixels).save(tmp_path / "faces" / split / name / f"{i}.bmp")
    return tmp_path / "faces"


def contents(data):
    return {
        split: {Path(row["image"]["path"]).read_bytes() for row in stored_pictures(rows)}
        for split, rows in data.splits.items()
    }


def sizes(data):
    return {split: len(rows) for split, rows in data.splits.items()}


def test_a_picture_in_two_splits_stays_in_the_one_that_is_measured(root):
    shutil.copy(root / "test/happy/0.bmp", root / "train/happy/a.bmp")
    shutil.copy(root / "test/happy/1.bmp", root / "train/sad/b.bmp")
    shutil.copy(root / "test/sad/1.bmp", root / "validation/sad/c.bmp")
    shutil.copy(root / "validation/sad/0.bmp", root / "train/sad/d.bmp")
    data = opened(root)
    assert sizes(data) == {"train": 10, "validation": 11, "test": 10}
    found = contents(data)
    assert not found["train"] & (found["validation"] | found["test"])
    said = data.describe()
    assert (
        "not used: 2 pictures of train that test has, too, 1 with another label: "
        "train/happy/a.bmp (as test/happy/0.bmp), train/sad/b.bmp (as test/happy/1.bmp)"
    ) in said
    assert (
        "used nevertheless: 1 picture of validation that test has, too: validation/sad/c.bmp (as"
    ) in said
    assert "1 picture of train that validation has, too: train/sad/d.bmp (as validation" in said


def test_a_picture_with_two_labels_is_named_and_not_trained_on(root):
    for split in ("train", "test"):
        shutil.copy(root / split / "happy" / "0.bmp", root / split / "sad" / "a.bmp")
    data = opened(root)
    assert sizes(data) == {"train": 9, "validation": 10, "test": 11}
    assert (
        "not used: 2 pictures of train with two labels: train/happy/0.bmp (as train/sad/a.bmp), "
        "train/sad/a.bmp (as train/happy/0.bmp)"
    ) in data.notes
    assert any(
        note.startswith("used nevertheless: 2 pictures of test with two labels: test/happy/0.bmp")
        for note in data.notes
    )


def test_copies_within_a_split_stay_and_are_held_out_together(root):
    for name in ("happy", "sad"):
        for i in range(5):
            for copy in "ab":
                shutil.copy(root / f"train/{name}/{i}.bmp", root / f"train/{name}/{i}{copy}.bmp")
    data = opened(root)
    assert sizes(data)["train"] == 30
    (note,) = (note for note in data.notes if note.startswith("used nevertheless"))
    assert "20 pictures of train that it has already: train/happy/0a.bmp (as train/happy/0" in note
    shutil.rmtree(root / "validation")
    data = opened(root)
    assert sizes(data)["train"] + sizes(data)["validation"] == 30
    assert sizes(data)["validation"] == 6
    found = contents(data)
    assert not found["train"] & found["validation"]
    assert data.rows("train").column_names == ["image", "label", "source_row"]


def test_what_leaves_nothing_of_a_class_to_train_on_is_refused(root):
    shutil.rmtree(root / "train/sad")
    shutil.copytree(root / "test/sad", root / "train/sad")
    with pytest.raises(InputError, match=r"none in \['sad'\]; .*5 pictures of train that test has"):
        opened(root)


def test_pictures_of_one_colour_and_empty_files_are_no_copies(root):
    for split in SPLITS:
        Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(root / split / "sad" / "flat.bmp")
    (root / "train/sad/empty.bmp").touch()
    (root / "test/sad/empty.bmp").touch()
    data = opened(root)
    assert sizes(data) == {"train": 12, "validation": 11, "test": 12}
    assert data.notes == []


def encoded(seed):
    file = io.BytesIO()
    Image.fromarray(noise(8, 8, seed=seed)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


@pytest.mark.parametrize("marked", [False, True])
def test_copies_in_tables_are_known_unless_the_table_marks_them(tmp_path, marked):
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["calm", "wild"])
    )
    for number, split in enumerate(SPLITS):
        first = 100 * number
        rows = {
            "image": [encoded(0 if i == 3 else first + i) for i in range(6)],
            "label": [0, 1] * 3,
        }
        table = datasets.Dataset.from_dict(rows, features=features)
        if marked:
            table = table.add_column("cross_split_twin", [i in (0, 3) for i in range(6)])
        table.to_parquet(str(tmp_path / f"{split}-00000-of-00001.parquet"))
    data = opened(tmp_path)
    if marked:
        assert sizes(data) == dict.fromkeys(SPLITS, 6)
    else:
        assert sizes(data) == {"train": 4, "validation": 6, "test": 6}
        assert (
            "not used: 2 pictures of train that test has, too, 1 with another label: "
            "row 0 of train (as row 3 of test), row 3 of train (as row 3 of test)"
        ) in data.notes


def test_more_pictures_are_not_those_that_are_measured(root, tmp_path):
    extra = tmp_path / "more" / "sad"
    extra.mkdir(parents=True)
    shutil.copy(root / "test/sad/0.bmp", extra / "a.bmp")
    with pytest.raises(InputError, match="not held out"):
        drop_held_out(list_extra(extra.parent, ("happy", "sad")), opened(root).splits)
    shutil.copy(root / "train/sad/0.bmp", extra / "b.bmp")
    more = drop_held_out(list_extra(extra.parent, ("happy", "sad")), opened(root).splits)
    assert more.pictures == {"train": [(extra / "b.bmp", "sad")]}
    assert more.unused == {"pictures that test has, too": [extra / "a.bmp"]}
