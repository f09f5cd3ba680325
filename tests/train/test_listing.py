"""Folders of pictures as training reads them: each file is used, or named as not used."""

import gc
import os
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from zlib import crc32

import pytest
from PIL import Image

from fer.errors import InputError
from tests.conftest import noise, opened

pytest.importorskip("datasets")
pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from train.crop import crop_folder
from train.data.dataset import open_dataset
from train.data.listing import Reading, list_photographs, list_pictures


def picture(name):
    """Return a picture like no other."""
    return Image.fromarray(noise(8, 8, seed=crc32(str(name).encode())))


def draw(root, *files):
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            picture(path).save(path)
        else:
            path.write_text("no picture")


def many(root, *folders, n=4, name="{}.png"):
    draw(root, *(f"{folder}/{name.format(i)}" for folder in folders for i in range(n)))


def counts(root, **reading):
    found = list_pictures(root, Reading(**reading)).counts()
    return {split: dict(each) for split, each in found.items()}


def unused(root, **reading):
    return {
        why: len(files) for why, files in list_pictures(root, Reading(**reading)).unused.items()
    }


def test_splits_are_known_in_any_case_and_by_their_other_words(tmp_path):
    for split in ("Train", "VAL", "Test"):
        many(tmp_path, f"{split}/happy", f"{split}/sad", n=2)
    both = {"happy": 2, "sad": 2}
    assert counts(tmp_path) == {"train": both, "validation": both, "test": both}
    notes = list_pictures(tmp_path).notes
    assert "splits: Test -> test, Train -> train, VAL -> validation" in notes
    with pytest.raises(InputError, match=r"--exact.*Test -> test"):
        counts(tmp_path, exact=True)
    many(tmp_path, "dev/happy", n=1)
    with pytest.raises(InputError, match=r"'VAL', 'dev'.*'validation'"):
        counts(tmp_path)


def test_names_of_files_and_of_folders_above_say_nothing(tmp_path):
    root = tmp_path / "test" / "training [2024]" / "val"
    many(root, "happy", "sad", name="train_{}.png")
    many(root, "happy", "sad", name="{} test.png")
    assert counts(root) == {"train": {"happy": 8, "sad": 8}}
    assert sum(map(len, opened(root).splits.values())) == 16


def test_classes_are_known_by_other_words_and_shown(tmp_path):
    many(
        tmp_path, "train/Anger", "train/2_happiness", "train/Surprised", "train/calm", "test/angry"
    )
    listing = list_pictures(tmp_path)
    assert set(listing.counts()["train"]) == {"angry", "happy", "surprise", "calm"}
    assert set(listing.counts()["test"]) == {"angry"}
    (note,) = (note for note in listing.notes if note.startswith("classes"))
    assert note == "classes: 2_happiness -> happy, Anger -> angry, Surprised -> surprise"
    with pytest.raises(InputError, match=r"--exact.*Anger -> angry"):
        counts(tmp_path, exact=True)
    many(tmp_path, "train/joy")
    with pytest.raises(InputError, match=r"\['2_happiness', 'joy'\].*'happy'"):
        counts(tmp_path)


def test_the_level_of_the_classes_is_known_by_names_or_asked_for(tmp_path):
    many(tmp_path / "a", *(f"{name}/S0{i}" for name in ("happy", "sad") for i in range(3)))
    assert counts(tmp_path / "a") == {"train": {"happy": 12, "sad": 12}}
    many(tmp_path / "b", *(f"S0{i}/{name}" for name in ("happy", "sad") for i in range(3)))
    assert counts(tmp_path / "b") == {"train": {"happy": 12, "sad": 12}}
    many(tmp_path / "c", "faces/calm", "faces/wild")
    assert counts(tmp_path / "c") == {"train": {"calm": 4, "wild": 4}}
    many(tmp_path / "d", *(f"{name}/S0{i}" for name in ("calm", "wild") for i in range(2)))
    with pytest.raises(InputError, match=r"--class-level 1: calm, wild; --class-level 2: S00, S01"):
        counts(tmp_path / "d")
    assert counts(tmp_path / "d", class_level=1) == {"train": {"calm": 8, "wild": 8}}
    assert counts(tmp_path / "d", class_level=2) == {"train": {"S00": 8, "S01": 8}}
    with pytest.raises(InputError, match=r"1\.\.2\. Received: 3"):
        counts(tmp_path / "d", class_level=3)
    reading = Reading(class_level=1)
    assert opened(tmp_path / "d", reading).rows("train").features["label"].names == ["calm", "wild"]


def test_splits_may_stand_below_the_classes_but_not_in_each_other(tmp_path):
    many(tmp_path / "a", "happy/train", "happy/test", "sad/train", "sad/test")
    assert counts(tmp_path / "a") == {
        "train": {"happy": 4, "sad": 4},
        "test": {"happy": 4, "sad": 4},
    }
    many(tmp_path / "b", "train/happy/test", "train/sad/test", "test/happy/test")
    with pytest.raises(InputError, match=r"levels \[1, 3\]"):
        counts(tmp_path / "b")
    many(tmp_path / "c", "happy/S01", "happy/test", "sad/S01")
    with pytest.raises(InputError, match=r"all be splits, or none.*test next to S01"):
        counts(tmp_path / "c")
    many(tmp_path / "d", "train", "test")
    with pytest.raises(InputError, match=r"a folder a class in each.*metadata\.csv"):
        counts(tmp_path / "d")
    many(tmp_path / "e", "train", "car", "dog")  # a class
    assert counts(tmp_path / "e") == {"train": {"train": 4, "car": 4, "dog": 4}}


def test_what_is_not_used_is_counted(tmp_path):
    many(tmp_path, "train/happy", "train/sad", "test/happy", "test/sad", "more/happy")
    draw(tmp_path, "cover.png", "train/1.png", "train/happy/1.txt", "train/happy/.hid.png")
    draw(tmp_path, "__MACOSX/train/happy/._1.png", "README")
    (tmp_path / "train" / "sad" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert unused(tmp_path) == {
        "hidden files": 2,
        "files without an ending that are no picture": 1,
        "files .txt that are no picture": 1,
        "links to nothing": 1,
        "pictures next to the folders of the splits": 5,
        "pictures next to the folders of the classes": 1,
    }
    said = opened(str(tmp_path)).describe()
    assert "not used: 1 file .txt that is no picture, as train/happy/1.txt" in said
    assert "test                8      4      4" in said
    assert "validation: a seventh of each class, held out of train" in said


def test_a_file_in_two_splits_is_refused(tmp_path):
    many(tmp_path / "a", "train/happy", "train/sad")
    (tmp_path / "a" / "test").symlink_to(tmp_path / "a" / "train", target_is_directory=True)
    with pytest.raises(InputError, match=r"one split.*same file"):
        counts(tmp_path / "a")
    many(tmp_path / "b", "happy", "sad")
    os.link(tmp_path / "b" / "happy" / "0.png", tmp_path / "b" / "sad" / "9.png")
    with pytest.raises(InputError, match="one class"):
        counts(tmp_path / "b")
    (tmp_path / "b" / "sad" / "9.png").unlink()
    (tmp_path / "b" / "sad" / "up").symlink_to(tmp_path / "b", target_is_directory=True)
    assert counts(tmp_path / "b") == {"train": {"happy": 4, "sad": 4}}


def test_names_that_are_not_utf8_are_read(tmp_path):
    many(tmp_path, "happy", "sad")
    try:
        picture("").save(os.fsdecode(os.fsencode(tmp_path / "sad") + b"/\xe9t\xe9.png"), "PNG")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    rows = open_dataset(str(tmp_path)).given["train"]
    assert len([row["image"].size for row in rows]) == 9


# `datasets` leaves the file open.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("place", ["in splits", "above"])
def test_metadata_files_with_labels_as_text_are_read_by_folder(tmp_path, place):
    above = ["file_name,label"]
    for split, n in (("Train", 14), ("test", 3)):
        names = [f"{name}_{i} train.png" for name in ("Happiness", "sad") for i in range(n)]
        draw(tmp_path / split, *names, "left over.png")
        rows = [f"{name},{name.split('_')[0]}" for name in names]
        above += [f"{split}/{row}" for row in rows]
        if place == "in splits":
            table = "\n".join([above[0], *rows]) + "\n"
            (tmp_path / split / "metadata.csv").write_text(table)
    if place == "above":
        (tmp_path / "metadata.csv").write_text("\n".join(above) + "\n")
    data = open_dataset(str(tmp_path))
    assert {split: len(rows) for split, rows in data.given.items()} == {"train": 28, "test": 6}
    names = data.given["test"].features["label"].names
    assert Counter(names[i] for i in data.given["test"]["label"]) == {"happy": 3, "sad": 3}
    assert "classes: Happiness -> happy" in data.notes
    lone = "not used: 2 pictures that no metadata lists, as Train/left over.png"
    assert lone in data.notes
    gc.collect()


_WORDS = {"train": ("train", "TRAIN", "Training"), "validation": ("val", "Valid", "dev")}
_WORDS["test"] = ("test", "Test")
_CLASSES = {"angry": ("Anger", "angry"), "happy": ("happy", "Happiness"), "wild": ("wild",)}
_FILES = (
    "{}.png",
    "train_{}.png",
    "test {}.png",
    "[{}].png",
    "{}.txt",
    ".{}.png",
    "{} gone.png",
    "{}",
)


@st.composite
def trees(draw):
    """Files of a tree, and the pictures that each split and class should have of it."""
    splits = draw(st.lists(st.sampled_from(sorted(_WORDS)), unique=True, max_size=3))
    above = draw(st.sampled_from(((), ("pictures",))))
    subjects = draw(st.sampled_from((("",), ("S01", "S02"))))
    files, wanted = [], {}
    for split in splits or [None]:
        word = () if split is None else (draw(st.sampled_from(_WORDS[split])),)
        for name, spellings in _CLASSES.items():
            folder = (*above, *word, draw(st.sampled_from(spellings)))
            for subject in subjects:
                for i in range(draw(st.integers(1, 3))):
                    file = draw(st.sampled_from(_FILES)).format(i)
                    files.append(Path(*folder, subject, f"{i}{file}" if file[0] != "." else file))
                    if file.endswith(".png") and file[0] != "." and "gone" not in file:
                        key = split or "train", name
                        wanted[key] = wanted.get(key, 0) + 1
        if draw(st.booleans()):
            files.append(Path(*above, *word, "cover.png"))
    return files, wanted


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(trees())
def test_the_listing_is_what_is_on_disk(tree):
    files, wanted = tree
    make = partial(tempfile.TemporaryDirectory, prefix="train test ")
    with make() as folder, make() as crops:
        root = Path(folder)
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            if file.name.endswith("gone.png"):
                (root / file).symlink_to(root / "nowhere.png")
            else:
                (root / file).touch()
        on_disk = sorted(path for path in root.rglob("*") if path.is_file() or path.is_symlink())
        try:
            photographs = list_photographs(root)
        except InputError:
            assert not wanted
            return
        report = crop_folder(photographs, Path(crops), jobs=1)
        assert sorted(report["file"]) == [path.relative_to(root).as_posix() for path in on_disk]
        try:
            listing = list_pictures(root)
        except InputError:
            # A question, never a guess: nothing to use, or a tree of one class or folder alone.
            assert len({name for _, name in wanted}) < len(_CLASSES)
            return
        outcomes = dict(zip(report["file"], report["outcome"], strict=True))
        used = [path for rows in listing.pictures.values() for path, _ in rows]
        left = [path for paths in listing.unused.values() for path in paths]
        assert sorted([*used, *left]) == on_disk
        assert {listing.shown(path) for path in left} == {
            file for file, outcome in outcomes.items() if outcome.startswith("not used: ")
        }
        counts = {
            (split, name): count
            for split, names in listing.counts().items()
            for name, count in names.items()
        }
        assert counts == wanted


def test_crop_shows_what_is_there_before_it_starts(tmp_path):
    many(tmp_path / "a", "Train/Happiness", "Train/sad", "test/sad")
    draw(tmp_path / "a", "Train/sad/notes.txt")
    said = list_photographs(tmp_path / "a").describe()
    assert "train               8      4      4" in said
    assert "classes: Happiness -> happy" in said
    assert "files: 13, of which 12 look like pictures" in said
    assert "not used: 1 file .txt that is no picture, as Train/sad/notes.txt" in said
    many(tmp_path / "b", "holiday/x", "work/x", "work/y")
    listing = list_photographs(tmp_path / "b")
    assert listing.counts() == {"all": {"holiday/x": 4, "work/x": 4, "work/y": 4}}
    assert "--class-level 1: holiday, work" in listing.describe()
    with pytest.raises(InputError, match="nowhere"):
        list_photographs(tmp_path / "nowhere")


def test_folders_without_pictures_are_named(tmp_path):
    many(tmp_path, "train/happy", "train/sad", "test/happy", "test/sad")
    (tmp_path / "train" / "fear").mkdir()
    (tmp_path / ".git" / "empty").mkdir(parents=True)
    assert "\n1 folder without pictures: train/fear" in list_pictures(tmp_path).describe()
    draw(tmp_path, "test/fear/.DS_Store")
    said = list_pictures(tmp_path).describe()
    assert "2 folders without pictures: test/fear, train/fear" in said
    assert "not used: 1 hidden file, as test/fear/.DS_Store" in said
