"""FER-2013's own file or a folder of its pictures, and FER+'s votes, into one data set."""

import shutil

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from tests.conftest import noise, opened, shared

pytest.importorskip("datasets")

import datasets
from huggingface_hub import DatasetCard

from train.data.columns import CSV_CLASSES
from train.data.fer2013 import find_copies, prepare_fer2013

USAGES = ("Training", "PublicTest", "PrivateTest")
VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def scene(seed):
    """48 x 48 gray, smooth as a face is: blobs rather than grain."""
    import cv2

    coarse = noise(9, 9, seed=seed)[..., 0]
    return cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)


def write_csv(path, images, usages):
    lines = ["emotion,pixels,Usage"]
    for i, (image, usage) in enumerate(zip(images, usages, strict=True)):
        lines.append(f"{i % 7},{' '.join(map(str, image.ravel()))},{usage}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_votes(path, usages):
    """Row i gives i % 11 votes to anger, the others to no face."""
    lines = [VOTES]
    for i, usage in enumerate(usages):
        lines.append(f"{usage},fer{i:07}.png,0,0,0,0,{i % 11},0,0,0,0,{10 - i % 11}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    """28 pictures a split; the first of test is one of training, mirrored and moved."""
    usages = [usage for usage in USAGES for _ in range(28)]
    images = [scene(i) for i in range(3 * 28)]
    images[56] = np.roll(images[5][:, ::-1], 1, axis=1)
    return write_csv(tmp_path / "fer2013.csv", images, usages), write_votes(
        tmp_path / "votes.csv", usages
    )


def test_copies_are_found_moved_mirrored_and_flattened():
    others = np.stack([scene(i) for i in range(40)])
    flat = np.full((48, 48), 90, np.uint8)
    images = np.stack(
        [
            np.roll(others[3], (2, -1), axis=(0, 1)),
            others[7][:, ::-1],
            others[9] // 2 + 40,
            scene(100),
            flat,
        ]
    )
    found, copied = find_copies(images, np.concatenate([others, flat[None]]))
    assert found.tolist() == [True, True, True, False, False]
    assert np.flatnonzero(copied).tolist() == [3, 7, 9]


def test_the_file_and_the_votes_become_a_data_set(files, tmp_path, monkeypatch):
    from fer.types import ModelConfig

    csv, votes = files
    target = tmp_path / "fer2013"
    report = prepare_fer2013(csv, target, votes)
    assert report["images"].tolist() == [28, 28, 28]
    assert report["twins"].tolist() == [1, 0, 1]
    rows = opened(str(target)).rows("test")
    assert rows["cross_split_twin"][:2] == [True, False]
    assert rows["csv_row"][0] == 56
    names = rows.features["label"].names
    config = ModelConfig(class_names=tuple(names), input_size=48, detail_size=48)
    split = opened(str(target)).split("test", config)
    assert split.twin.sum() == 1
    assert split.votes[:, names.index("angry")].tolist() == [(56 + i) % 11 for i in range(28)]
    plain = opened(str(csv)).split("test", config)
    assert (plain.images == split.images).all()
    assert (plain.labels == split.labels).all()
    assert plain.sha256 == split.sha256
    assert plain.votes is None
    with pytest.raises(InputError, match="new folder"):
        prepare_fer2013(csv, target)


def test_files_that_do_not_belong_together_are_refused(files, tmp_path):
    csv, votes = files
    lines = votes.read_text(encoding="utf-8").splitlines()
    votes.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"84.*83 rows"):
        prepare_fer2013(csv, tmp_path / "out", votes)
    swapped = [lines[0], lines[2], lines[1], *lines[3:]]
    votes.write_text("\n".join(swapped) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="named by their row"):
        prepare_fer2013(csv, tmp_path / "out", votes)
    for cell in ("many", "256", "-1", "0.5", ""):
        votes.write_text("\n".join([*lines[:-1], lines[-1] + cell]), encoding="utf-8")
        if cell == "0.5" or cell == "":
            votes.write_text("\n".join([*lines[:-1], lines[-1][:-1] + cell]), encoding="utf-8")
        with pytest.raises(InputError, match=r"0\.\.255"):
            prepare_fer2013(csv, tmp_path / "out", votes)
    votes.write_text("Usage,neutral\nTraining,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="none called anger, contempt"):
        prepare_fer2013(csv, tmp_path / "out", votes)
    with pytest.raises(InputError, match="must be a table"):
        prepare_fer2013(csv, tmp_path / "out", tmp_path / "missing.csv")
    write_csv(csv, [scene(i) for i in range(7)], ["Training"] * 7)
    with pytest.raises(InputError, match="all three splits"):
        prepare_fer2013(csv, tmp_path / "out")
    write_csv(csv, [scene(i)[:20, :20] for i in range(21)], [u for u in USAGES for _ in range(7)])
    with pytest.raises(InputError, match="48 x 48"):
        prepare_fer2013(csv, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Three images of each class in training, two in each of the others, as fer2013.csv has them.
FOLDER_USAGES = [*["Training"] * 49, *["PublicTest"] * 14, *["PrivateTest"] * 14]
SPLIT_OF = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}


def picture(i):
    """Image of row i; that of row 63, the first of test, is the one of row 5, mirrored."""
    return scene(5)[:, ::-1] if i == 63 else scene(i)


def write_folder(folder, name_of, split_of=SPLIT_OF.get, kind_of=CSV_CLASSES.__getitem__):
    """A picture a row, of class i % 7, in folder/SPLIT/CLASS/NAME."""
    for i, usage in enumerate(FOLDER_USAGES):
        path = folder / split_of(usage) / kind_of(i % 7) / name_of(i, usage)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i)).save(path)
    return folder


def write_agreeing_votes(path):
    """Nine of ten votes for the label, but for every third row, which goes to contempt."""
    columns = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"]
    lines = [VOTES]
    for i, usage in enumerate(FOLDER_USAGES):
        votes = [0] * 10
        votes[columns.index(CSV_CLASSES[i % 7]) if i % 3 else 7] = 9
        votes[9] = 1
        lines.append(f"{usage},fer{i:07}.png,{','.join(map(str, votes))}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def kaggle(usage):
    return "train" if usage == "Training" else "test"


def stored(target):
    """(split, label, pixels) of all rows."""
    return sorted(
        (split, rows.features["label"].names[row["label"]], np.asarray(row["image"]).tobytes())
        for split, rows in datasets.load_dataset(str(target)).items()
        for row in rows
    )


def expected():
    return sorted(
        (SPLIT_OF[usage], CSV_CLASSES[i % 7], picture(i).tobytes())
        for i, usage in enumerate(FOLDER_USAGES)
    )


def test_a_folder_whose_names_tell_the_split(tmp_path):
    """Both test splits in one folder, as most copies have them; the numbers mean nothing."""
    source = write_folder(
        tmp_path / "archive", lambda i, usage: f"{usage}_{99 * i + 10_000_000}.png", kaggle
    )
    (source / "train" / "angry" / "Thumbs.db").write_bytes(b"no picture")
    report = prepare_fer2013(source, tmp_path / "out")
    assert report["images"].to_dict() == {"train": 49, "validation": 14, "test": 14}
    assert report["twins"].to_dict() == {"train": 1, "validation": 0, "test": 1}
    assert stored(tmp_path / "out") == expected()
    assert "csv_row" not in opened(str(tmp_path / "out")).rows("test").column_names


@pytest.mark.parametrize("name", ["fer{:07}.png", "{}.png"])
def test_a_folder_whose_names_are_rows_takes_the_votes(name, tmp_path):
    votes = write_agreeing_votes(tmp_path / "fer2013new.csv")
    source = write_folder(tmp_path / "in" / "fer2013", lambda i, usage: name.format(i))
    prepare_fer2013(tmp_path / "in", tmp_path / "out", votes)
    csv = write_csv(tmp_path / "a.csv", [picture(i) for i in range(77)], FOLDER_USAGES)
    prepare_fer2013(csv, tmp_path / "same", votes)
    assert stored(tmp_path / "out") == stored(tmp_path / "same") == expected()
    for split in ("train", "validation", "test"):
        rows, same = (opened(str(tmp_path / name)).rows(split) for name in ("out", "same"))
        for column in ("csv_row", "ferplus_votes", "cross_split_twin", "label"):
            assert rows[column] == same[column]
    assert source.is_dir()


def test_a_folder_that_tells_nothing_gets_a_validation_split(tmp_path):
    numbers = iter(range(99))
    aliases = ("anger", "disgusted", "Fear", "happiness", "sad", "surprised", "neutral")
    source = write_folder(
        tmp_path / "in", lambda i, usage: f"im{next(numbers)}.png", kaggle, aliases.__getitem__
    )
    report = prepare_fer2013(source, tmp_path / "out")
    assert report["images"].to_dict() == {"train": 42, "validation": 7, "test": 28}
    splits = datasets.load_dataset(str(tmp_path / "out"))
    assert splits["train"].features["label"].names == sorted(CSV_CLASSES)
    assert sorted(splits["validation"]["label"]) == list(range(7))
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert "a seventh of each class" in card.text
    assert "cannot be compared" in " ".join(card.text.split())
    with pytest.raises(InputError, match=r"named by their rows.*im\d+\.png.*fer2013\.csv itself"):
        prepare_fer2013(source, tmp_path / "votes", write_agreeing_votes(tmp_path / "votes.csv"))


def test_the_card_says_what_is_in_the_folder(files, tmp_path):
    csv, votes = files
    prepare_fer2013(csv, tmp_path / "out", votes)
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    splits = {each["name"]: each["num_examples"] for each in card.data["dataset_info"]["splits"]}
    assert splits == {"train": 28, "validation": 28, "test": 28}
    assert "| test | 28 | 1 |" in card.text
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="test", streaming=True)
    assert streamed.info.splits["test"].num_examples == 28
    for column in streamed.features:
        assert f"| `{column}` |" in card.text


def test_pictures_saved_as_colour_jpeg_are_kept_as_they_are(tmp_path):
    source = write_folder(tmp_path / "in", lambda i, usage: f"{usage}_{i}.png", kaggle)
    path = source / "train" / "angry" / "Training_0.png"
    Image.open(path).convert("RGB").save(path.with_suffix(".jpg"), quality=90)
    path.unlink()
    prepare_fer2013(source, tmp_path / "out")
    rows = (
        opened(str(tmp_path / "out"))
        .rows("train")
        .cast_column("image", datasets.Image(decode=False))
    )
    kept = {row["image"]["path"]: row["image"]["bytes"] for row in rows}
    assert kept["Training_0.jpg"] == path.with_suffix(".jpg").read_bytes()


def test_folders_that_are_not_fer2013_are_refused(tmp_path):
    def check(match, change, name_of=lambda i, usage: f"{usage}_{i}.png", votes=None):
        source = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        change(write_folder(source, name_of, kaggle))
        with pytest.raises(InputError, match=match):
            prepare_fer2013(source, tmp_path / "out", votes)
        assert not (tmp_path / "out").exists()

    def move(old, new):
        return lambda folder: (folder / old).rename(folder / new)

    def save(pixels):
        return lambda folder: Image.fromarray(pixels).save(
            folder / "train" / "sad" / "Training_4.png"
        )

    check("folders train and test.*'tests'", move("test", "tests"))
    check("folders train and test.*'extra'", lambda folder: (folder / "extra").mkdir())
    check("Received: calm", move("train/sad", "train/calm"))
    check(
        r"every class.*None in: \['sad'\]", lambda folder: shutil.rmtree(folder / "train" / "sad")
    )
    check("fit the folders", move("train/sad/Training_4.png", "test/sad/Training_4.png"))
    check("fit the folders.*of split none", move("train/sad/Training_4.png", "train/sad/4.png"))
    check(
        r"Training_4\.png must be a picture",
        lambda f: (f / "train/sad/Training_4.png").write_bytes(b"-"),
    )
    check(r"48 x 48.*20 x 30 in .*Training_4\.png", save(noise(30, 20)[..., 0]))
    check(r"colours in .*Training_4\.png", save(noise(48, 48)))
    votes = write_agreeing_votes(tmp_path / "votes.csv")
    by_row = "fer{:07}.png".format
    check(
        "rows of.*fer0000777",
        move("train/sad/fer0000004.png", "train/sad/fer0000777.png"),
        lambda i, usage: by_row(i),
        votes,
    )
    check(
        r"fer0000004\.png, of split train, in test",
        move("train/sad/fer0000004.png", "test/sad/fer0000004.png"),
        lambda i, usage: by_row(i),
        votes,
    )
    # Numbered through by class, which no number alone gives away.
    order = sorted(range(49), key=lambda i: i % 7) + sorted(range(49, 77), key=lambda i: i % 7)
    place = {row: number for number, row in enumerate(order)}
    check(
        r"agrees with \d+% of the labels",
        lambda folder: None,
        lambda i, usage: f"{place[i]}.png",
        votes,
    )


@pytest.mark.long
def test_copies_in_fer2013_are_those_that_are_known():
    """Against marks made in another way; either finds a few that the other does not."""
    source = str(shared("data", "fer2013"))
    train, test = (opened(source).rows(name) for name in ("train", "test"))
    others = np.stack([np.asarray(image.convert("L")) for image in train["image"]])
    some = test.select(range(400))
    found, _ = find_copies(
        np.stack([np.asarray(image.convert("L")) for image in some["image"]]), others
    )
    marked = np.asarray(some["cross_split_twin"])
    assert (found & marked).sum() >= 0.93 * marked.sum()
    assert (found & ~marked).sum() <= 0.15 * found.sum()
