"""AffectNet and RAF-DB, tiny and generated, in the folders that their owners hand out."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.crop import crop_faces
from fer.errors import InputError
from fer.types import Faces, ModelConfig
from tests.conftest import make_config, noise, opened

pytest.importorskip("datasets")

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
# As the data sets number them, written out once more: the numbers are what is tested.
AFFECTNET = {0: "neutral", 1: "happy", 2: "sad", 3: "surprise", 4: "fear", 5: "disgust", 6: "angry"}
RAF = {1: "surprise", 2: "fear", 3: "disgust", 4: "happy", 5: "sad", 6: "angry", 7: "neutral"}
PER_CLASS = {"train": 14, "test": 2}
COLUMNS = [
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
]


def shade(name):
    """The gray value of a class, so that a picture says which one it shows."""
    return 30 + 30 * CLASSES.index(name)


def save_picture(path, name, size=48):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), shade(name)).save(path)


def labels(split, numbers):
    """Number and name of each picture of `split`, shuffled."""
    listed = [pair for pair in numbers.items() for _ in range(PER_CLASS[split])]
    order = np.random.default_rng(0).permutation(len(listed))
    return [listed[i] for i in order]


def landmarks(x, y, size, roll=0.0):
    """The 68 points of a face in a box at x, y, rolled by `roll` degrees about its middle."""
    points = np.random.default_rng(0).uniform(0.1, 0.9, (68, 2))
    points[36:42] = points[36:42] * 0.1 + (0.25, 0.3)
    points[42:48] = (1, 0) + points[36:42] * (-1, 1)
    points[48], points[54] = (0.35, 0.75), (0.65, 0.75)
    angle = np.radians(roll)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return ((points - 0.5) @ turn + 0.5) * size + (x, y)


def as_text(points):
    return ";".join(f"{value:.4f}" for value in points.ravel())


def make_photographs(root, tables="Manually_Annotated_file_lists"):
    """AffectNet of 2017: each photograph is black around its face."""
    for split, name in (("train", "training.csv"), ("test", "validation.csv")):
        rows = []
        for i, (number, expression) in enumerate(labels(split, AFFECTNET)):
            file = f"{i % 3}/{split}{i:04d}.jpg"
            path = root / "Manually_Annotated_Images" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            photo = np.zeros((80, 100), np.uint8)
            photo[16:64, 32:80] = shade(expression)
            Image.fromarray(photo).save(path)
            rows.append([file, 40, 24, 32, 32, as_text(landmarks(40, 24, 32)), number, 0.1, 0.2])
        table = root / tables / name
        table.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows, columns=COLUMNS).to_csv(table, index=False)


def make_affectnet_crops(root):
    """AffectNet of 2021, with labels as text, as numbers, and in an array of one."""
    kinds = (str, int, lambda number: [number])
    for split, folder in (("train", "train_set"), ("test", "val_set")):
        (root / folder / "annotations").mkdir(parents=True)
        for i, (number, expression) in enumerate(labels(split, AFFECTNET)):
            save_picture(root / folder / "images" / f"{i}.jpg", expression)
            annotation = root / folder / "annotations" / f"{i}_exp.npy"
            np.save(annotation, np.array(kinds[i % 3](number)))
            np.save(annotation.with_name(f"{i}_val.npy"), np.array("0.1"))
            np.save(annotation.with_name(f"{i}_lnd.npy"), np.zeros(136))


def make_raf(root):
    lines = []
    for split, digits in (("train", 5), ("test", 4)):
        for i, (number, expression) in enumerate(labels(split, RAF), start=1):
            name = f"{split}_{i:0{digits}d}"
            save_picture(root / "basic/Image/aligned" / f"{name}_aligned.jpg", expression)
            lines.append(f"{name}.jpg {number}\n")
    (root / "basic" / "EmoLabel").mkdir()
    (root / "basic" / "EmoLabel" / "list_patition_label.txt").write_text("".join(lines))


def make_raf_kaggle(root):
    for split in ("train", "test"):
        rows = []
        for i, (number, expression) in enumerate(labels(split, RAF), start=1):
            name = f"{split}_{i:05d}_aligned.jpg"
            save_picture(root / "DATASET" / split / str(number) / name, expression)
            rows.append((name, number))
        table = pd.DataFrame(rows, columns=["image", "label"])
        table.to_csv(root / f"{split}_labels.csv", index=False)
    (root / "DATASET" / "train" / ".DS_Store").write_bytes(b"")


MAKERS = {
    "affectnet-2017": make_photographs,
    "affectnet-2021": make_affectnet_crops,
    "raf-db": make_raf,
    "raf-db-kaggle": make_raf_kaggle,
}


@pytest.fixture(params=MAKERS)
def folder(request, tmp_path):
    """A folder in each of the layouts."""
    root = tmp_path / request.param
    MAKERS[request.param](root)
    return root


def test_each_layout_is_read_with_its_own_numbers_and_splits(folder):

    sizes = {}
    for split in ("train", "validation", "test"):
        rows = opened(str(folder)).rows(split)
        assert tuple(rows.features["label"].names) == CLASSES
        # As many of each class, as in the whole; and each picture has its own label.
        assert len(set(np.bincount(rows["label"]).tolist())) == 1
        for row in rows:
            gray = np.asarray(row["image"].convert("L"))
            assert np.abs(gray.astype(int) - shade(CLASSES[row["label"]])).max() <= 8
        sizes[split] = len(rows)
        decoded = opened(str(folder)).split(split, make_config(class_names=CLASSES))
        assert decoded.images.shape == (len(rows), 16, 16, 1)
        assert decoded.labels.tolist() == list(rows["label"])
    # The owner's test set stays whole; validation comes out of train.
    assert sizes == {"train": 84, "validation": 14, "test": 14}


def test_validation_shares_no_picture_with_train(folder):

    paths = {}
    for split in ("train", "validation", "test"):
        stored = opened(str(folder)).rows(split).with_format("arrow")[:]["image"].combine_chunks()
        paths[split] = set(stored.field("path").to_pylist())
    assert sum(map(len, paths.values())) == len(set.union(*paths.values())) == 112


def test_a_layout_is_found_from_each_folder_that_may_be_named(tmp_path):
    from train.data.layouts import open_layout

    make_raf(tmp_path / "raf")
    assert len(open_layout(tmp_path / "raf" / "basic")["test"]) == 14
    make_raf_kaggle(tmp_path / "kaggle")
    assert len(open_layout(tmp_path / "kaggle" / "DATASET")["test"]) == 14
    make_photographs(tmp_path / "beside", tables=".")
    assert len(open_layout(tmp_path / "beside")["test"]) == 14
    make_photographs(tmp_path / "deep" / "Manually_Annotated")
    (tmp_path / "deep" / "Manually_Annotated" / "Manually_Annotated_file_lists").rename(
        tmp_path / "deep" / "Manually_Annotated_file_lists"
    )
    assert len(open_layout(tmp_path / "deep")["test"]) == 14


def test_other_folders_stay_what_they_are(tmp_path):
    from train.data.layouts import open_layout

    for number in range(1, 8):
        for i in range(8):
            save_picture(tmp_path / "own" / "train" / str(number) / f"{i}.png", CLASSES[0])
    assert open_layout(tmp_path / "own") is None
    assert opened(str(tmp_path / "own")).rows("train").features["label"].names == list("1234567")
    assert open_layout(tmp_path / "nowhere") is None


def test_the_crop_of_an_annotated_box_is_the_one_crop(tmp_path):
    """Face by face what `fer.crop` makes of the box and the five points; turned upright, too."""
    from train.data.layouts import open_layout

    make_photographs(tmp_path)
    table = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    rows = pd.read_csv(table).head(3).astype({"facial_landmarks": object})
    boxes = ((40, 24, 32, 40), (30, 20, 31, 27), (80, 60, 40, 40))  # the last one leaves it
    rolls = (0.0, 25.0, None)
    expected = []
    for i, (box, roll) in enumerate(zip(boxes, rolls, strict=True)):
        photo = noise(80, 100, seed=i)
        name = f"0/noise{i}.png"
        Image.fromarray(photo).save(tmp_path / "Manually_Annotated_Images" / name)
        points = None if roll is None else landmarks(box[0], box[1], box[2], roll)
        rows.loc[i, COLUMNS[:5]] = [name, *box]
        rows.loc[i, "facial_landmarks"] = None if points is None else as_text(points)
        five = None
        if points is not None:
            eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
            five = np.array([[*eyes, points[30], points[48], points[54]]], np.float32)
        x, y, width, height = box
        faces = Faces(
            xyxy=np.array([[x, y, x + width, y + height]], np.float32),
            score=np.ones(1, np.float32),
            landmarks=five,
        )
        expected += crop_faces(photo, faces, ModelConfig(class_names=CLASSES))
        upright = crop_faces(
            photo, Faces(faces.xyxy, faces.score), ModelConfig(class_names=CLASSES)
        )[0]
        assert (roll == 25.0) == (np.abs(upright - expected[-1].astype(int)).mean() > 10)
    rows.to_csv(table, index=False)

    train = open_layout(tmp_path)["train"]
    assert [row["image"].size for row in train] == [(40, 40), (31, 31), (40, 40)]
    for row, crop in zip(train, expected, strict=True):
        # The table has four digits of a pixel.
        assert np.abs(np.asarray(row["image"], int) - crop).max() <= 2
    assert (np.asarray(train[0]["image"]) == np.asarray(train["image"][0])).all()
    assert (np.asarray(train[2]["image"]) == expected[2]).all()


def test_other_classes_and_faces_without_a_box_are_left_out_and_counted(tmp_path, caplog):
    from train.data.layouts import open_layout

    make_photographs(tmp_path)
    table = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    rows = pd.read_csv(table)
    rows.loc[[0, 1], "expression"] = 7
    rows.loc[2, "expression"] = 10
    rows.loc[2, ["face_x", "face_y", "face_width", "face_height"]] = np.nan
    rows.loc[3, "face_width"] = -1
    rows.loc[4, "subDirectory_filePath"] = "9/never-downloaded.jpg"
    rows.loc[4, "expression"] = 9
    rows.to_csv(table, index=False, na_rep="NULL")
    assert len(open_layout(tmp_path)["train"]) == 93
    said = caplog.text
    assert "5 of 98 pictures" in said
    for reason in ("contempt 2", "no face 1", "uncertain 1", "no box of the face 1"):
        assert reason in said
    assert "validation.csv" not in said


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("expression", 11, "must be among"),
        ("expression", np.nan, "must be among"),
        ("face_x", "left", r"numbers of pixels.*left"),
        ("facial_landmarks", "1;2", "68 points"),
        ("facial_landmarks", ";".join(["nan"] * 136), "68 points"),
        ("subDirectory_filePath", "7/x.jpg", "1 of 98 are missing, as .'7/x.jpg'"),
        ("subDirectory_filePath", None, "without a name"),
        ("face_width", "drop", "without .'face_width'"),
    ],
)
def test_a_broken_table_of_photographs_is_named(tmp_path, column, value, message):

    make_photographs(tmp_path)
    path = tmp_path / "Manually_Annotated_file_lists" / "training.csv"
    table = pd.read_csv(path).astype(object)
    if value == "drop":
        table = table.drop(columns=column)
    else:
        table.loc[3, column] = value
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=message) as caught:
        opened(str(tmp_path)).rows("train")
    assert "training.csv" in str(caught.value)
    assert "Received" in str(caught.value)


def test_photographs_without_tables_are_no_classes(tmp_path):

    make_photographs(tmp_path)
    table = tmp_path / "Manually_Annotated_file_lists" / "validation.csv"
    table.write_bytes(b"")
    with pytest.raises(InputError, match=r"validation.csv must be a table"):
        opened(str(tmp_path)).rows("train")
    table.unlink()
    with pytest.raises(InputError, match=r"must have AffectNet's validation.csv"):
        opened(str(tmp_path)).rows("train")


def test_broken_annotations_are_named(tmp_path):
    from train.data.layouts import open_layout

    make_affectnet_crops(tmp_path)
    annotation = tmp_path / "train_set" / "annotations" / "5_exp.npy"
    stored = annotation.read_bytes()
    np.save(annotation, np.array("23"))
    with pytest.raises(InputError, match=r"must be among.*'5.jpg': '23'"):
        open_layout(tmp_path)
    annotation.write_bytes(b"no array")
    with pytest.raises(InputError, match=r"5_exp.npy must be a NumPy array"):
        open_layout(tmp_path)
    annotation.unlink()
    with pytest.raises(InputError, match=r"label of every picture.*no 5_exp.npy"):
        open_layout(tmp_path)
    annotation.write_bytes(stored)
    (tmp_path / "train_set" / "images" / "5.jpg").unlink()
    with pytest.raises(InputError, match=r"picture of every label.*5_exp.npy"):
        open_layout(tmp_path)
    (tmp_path / "val_set" / "annotations").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="folders `images` and `annotations`"):
        open_layout(tmp_path)


def test_a_broken_list_of_raf_is_named(tmp_path):
    from train.data.layouts import open_layout

    make_raf(tmp_path)
    table = tmp_path / "basic" / "EmoLabel" / "list_patition_label.txt"
    listed = table.read_text()
    table.write_text(listed + "train_00009.jpg 8\n")
    with pytest.raises(InputError, match=r"must be among.*'8'"):
        open_layout(tmp_path)
    table.write_text("train_00001.jpg\n" + listed)
    with pytest.raises(InputError, match="line 1 of"):
        open_layout(tmp_path)
    table.write_text(listed + "train_99999.jpg 5\n")
    with pytest.raises(InputError, match=r"1 of 99 are missing.*train_99999_aligned.jpg"):
        open_layout(tmp_path)
    (tmp_path / "basic" / "Image").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="99 of 99 are missing"):
        open_layout(tmp_path)
    table.unlink()
    with pytest.raises(InputError, match=r"must have RAF-DB's list_patition_label.txt"):
        open_layout(tmp_path)


def test_kaggles_tables_and_folders_must_agree(tmp_path):
    from train.data.layouts import open_layout

    make_raf_kaggle(tmp_path)
    table = tmp_path / "test_labels.csv"
    rows = pd.read_csv(table)
    wrong = rows.copy()
    wrong.loc[0, "label"] = wrong.loc[0, "label"] % 7 + 1
    wrong.to_csv(table, index=False)
    with pytest.raises(InputError, match="2 in one of the two alone"):
        open_layout(tmp_path)
    table.unlink()  # the folders say it all
    assert len(open_layout(tmp_path)["test"]) == 14
    (tmp_path / "DATASET" / "test" / "7").rename(tmp_path / "DATASET" / "test" / "8")
    with pytest.raises(InputError, match=r"must be among.*'8'"):
        open_layout(tmp_path / "DATASET")


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):

    make_photographs(tmp_path)
    for path in (tmp_path / "Manually_Annotated_Images" / "0").glob("test*"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"\[test\] .*test0000\.jpg: a file that breaks off"):
        opened(str(tmp_path)).split("test", make_config(class_names=CLASSES))
