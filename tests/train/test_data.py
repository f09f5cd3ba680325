"""Reading data sets, whole and broken ones."""

import numpy as np
import pytest

from fer.errors import InputError
from fer.preprocess import to_model_input
from tests.conftest import make_config, opened, shared

pytest.importorskip("datasets")

from tests.toy_data import fer_csv, make_dataset, make_folder


def test_training_arrays_are_what_serving_makes_of_the_same_pixels(tmp_path):

    source = make_dataset(tmp_path / "toy")
    config = make_config(input_size=96, detail_size=48)
    split = opened(source).split("validation", config)
    rows = opened(source).rows("validation")
    served = to_model_input(
        [np.asarray(row["image"].convert("RGB"), np.uint8) for row in rows], config
    )
    assert (split.images == served).all()
    assert split.labels.tolist() == rows["label"]
    assert split.twin.sum() == 6
    assert len(split.sha256) == 64


@pytest.mark.long
def test_fer2013_has_its_twins_and_its_votes_in_the_order_of_the_classes():
    from fer.hub import load_classifier
    from train.data.votes import vote_winners

    data, config = opened(shared("data", "fer2013")), load_classifier().config
    assert data.class_names() == config.class_names
    twin = np.asarray(data.rows("test")["cross_split_twin"])
    assert (len(twin), int(twin.sum())) == (3589, 587)
    split = data.split("validation", config)
    seen = split.votes.argmax(axis=1) == split.labels
    assert seen[split.labels == split.class_names.index("happy")].mean() > 0.85
    assert seen.mean() > 0.55
    winners = vote_winners(np.asarray(data.rows("validation")["ferplus_votes"], np.int64))
    assert len(winners) == 3589
    assert 0.8 < (winners >= 0).mean() < 0.95


def test_a_data_set_that_cannot_be_used_is_named(tmp_path):

    source = make_dataset(tmp_path / "toy", splits=("train",))
    with pytest.raises(InputError, match="split must be one of"):
        opened(source).rows("holiday")
    half = make_dataset(tmp_path / "half", splits=("test",))
    with pytest.raises(InputError, match="split 'train'"):
        opened(half).rows("test")
    with pytest.raises(InputError, match="classes"):
        opened(source).split("train", make_config(class_names=("a", "b")))


def test_the_challenges_csv_is_read_with_our_order_of_classes(tmp_path):

    source = fer_csv(tmp_path / "fer2013.csv", ("Training", "PublicTest", "PrivateTest"), n=1)
    rows = opened(source).rows("validation")
    names = rows.features["label"].names
    assert names == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    grays = {names[row["label"]]: np.asarray(row["image"]).max() for row in rows}
    assert grays["happy"] == 90
    assert grays["sad"] == 120
    assert grays["surprise"] == 150
    assert grays["neutral"] == 180
    (tmp_path / "bad.csv").write_text("emotion,pixels\n0,1 2 3\n")
    with pytest.raises(InputError, match="square"):
        opened(str(tmp_path / "bad.csv")).rows("train")
    (tmp_path / "bad.csv").write_text("emotion,pixels\n0,1 2 3 999\n")
    with pytest.raises(InputError, match=r"0\.\.255"):
        opened(str(tmp_path / "bad.csv")).rows("train")
    (tmp_path / "bad.csv").write_text("emotion,pixels\n9,1 2 3 4\n")
    with pytest.raises(InputError, match=r"0\.\.6"):
        opened(str(tmp_path / "bad.csv")).rows("train")
    (tmp_path / "bad.csv").write_text("label,image\n9,1 2 3 4\n")
    with pytest.raises(InputError, match="emotion"):
        opened(str(tmp_path / "bad.csv")).rows("train")


def test_splits_that_are_missing_are_held_out_of_the_training_split(tmp_path):

    source = make_folder(tmp_path / "faces")
    parts = {split: opened(source).rows(split) for split in ("train", "validation", "test")}
    assert parts["train"].features["label"].names == ["calm", "wild"]
    sizes = {split: len(rows) for split, rows in parts.items()}
    assert sum(sizes.values()) == 60
    assert min(sizes.values()) >= 7
    seen = [np.asarray(row["image"]).tobytes() for rows in parts.values() for row in rows]
    assert len(set(seen)) == 60
    for rows in parts.values():
        share = np.mean(rows["label"])
        assert 0.4 < share < 0.6
    again = opened(source).rows("validation")
    assert [np.asarray(row["image"]).tobytes() for row in again] == [
        np.asarray(row["image"]).tobytes() for row in parts["validation"]
    ]


def test_names_of_classes_are_numbered_as_in_train(tmp_path):
    import datasets
    from PIL import Image

    def write(split, names):
        picture = Image.fromarray(np.zeros((8, 8), np.uint8))
        features = datasets.Features(image=datasets.Image(), label=datasets.Value("string"))
        rows = datasets.Dataset.from_dict(
            {"image": [picture] * len(names), "label": names}, features=features
        )
        (tmp_path / "named" / "data").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(str(tmp_path / "named" / "data" / f"{split}-00000-of-00001.parquet"))

    write("train", ["b", "a", "c"] * 10)
    write("validation", ["c", "b"])
    write("test", ["a", "c", "b"])
    rows = opened(str(tmp_path / "named")).rows("validation")
    assert rows.features["label"].names == ["a", "b", "c"]
    assert rows["label"] == [2, 1]
    write("test", ["a", "z"])
    with pytest.raises(InputError, match="'z'"):
        opened(str(tmp_path / "named")).rows("test")
    write("test", ["a", None])
    with pytest.raises(InputError, match="some without"):
        opened(str(tmp_path / "named")).rows("test")


def test_kaggles_folders_get_a_validation_split(tmp_path):

    make_folder(tmp_path / "fer" / "train")
    make_folder(tmp_path / "fer" / "test", n=5)
    source = str(tmp_path / "fer")
    assert len(opened(source).rows("test")) == 10
    assert len(opened(source).rows("train")) + len(opened(source).rows("validation")) == 60
    make_folder(tmp_path / "one", n=1)
    with pytest.raises(InputError, match="hold some out"):
        opened(str(tmp_path / "one")).rows("train")


def test_a_model_of_some_classes_gets_the_images_of_these(tmp_path):

    source = make_dataset(tmp_path / "three", n=12, classes=("a", "b", "c"))
    whole = opened(source).split("test", make_config(class_names=("a", "b", "c")))
    assert opened(source).class_names(("c", "a")) == ("a", "c")
    part = opened(source).split("test", make_config(class_names=("a", "c")))
    kept = whole.labels != 1
    assert (part.images == whole.images[kept]).all()
    assert part.labels.tolist() == [0, 1] * 4
    assert (part.twin == whole.twin[kept]).all()
    assert part.sha256 == whole.sha256
    for wanted in (("c", "a"), ("a", "d")):
        with pytest.raises(InputError, match="must have the classes"):
            opened(source).split("test", make_config(class_names=wanted))
    with pytest.raises(InputError, match=r"\['d'\]"):
        opened(source).class_names(("a", "d"))


def test_votes_are_shared_among_those_that_name_an_expression():
    from train.data.votes import FERPLUS_COUNTS, VOTE_CLASSES, vote_shares

    def counts(**named):
        return [named.get(name, 0) for name in FERPLUS_COUNTS]

    shares = vote_shares(
        np.array(
            [
                counts(happiness=6, neutral=3, contempt=1),  # one vote alone is an outlier
                counts(contempt=8, unknown=2),
                counts(unknown=5, sadness=3, fear=2),
                counts(nf=5, sadness=5),
                counts(neutral=1, fear=1),
            ]
        )
    )
    assert VOTE_CLASSES == (
        "neutral",
        "happy",
        "surprise",
        "sad",
        "angry",
        "disgust",
        "fear",
        "contempt",
    )
    assert np.allclose(shares[0], [1 / 3, 2 / 3, 0, 0, 0, 0, 0, 0])
    assert shares[1].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert not shares[2:].any()


@pytest.mark.parametrize(
    ("counts", "winner"),
    [
        ({"happiness": 6, "neutral": 4}, "happy"),
        ({"happiness": 5, "neutral": 5}, None),
        ({"happiness": 5, "neutral": 3, "sadness": 2}, None),  # five of ten are not more than half
        ({"happiness": 5, "neutral": 2, "sadness": 1, "fear": 1, "anger": 1}, "happy"),
        ({"neutral": 2, **dict.fromkeys(("sadness", "fear", "anger"), 1)}, "neutral"),
        ({"contempt": 6, "sadness": 4}, "contempt"),
        ({"unknown": 6, "sadness": 4}, None),
        ({"nf": 10}, None),
        ({"happiness": 4, "unknown": 4, "nf": 2}, None),  # they count among what is left
        ({"happiness": 5, "unknown": 4}, "happy"),
        (dict.fromkeys(("happiness", "sadness", "fear"), 1), None),
        ({}, None),
    ],
)
def test_the_winner_of_the_votes_has_more_than_half_of_them(counts, winner):
    from train.data.votes import FERPLUS_COUNTS, VOTE_CLASSES, vote_winners

    row = np.array([[counts.get(name, 0) for name in FERPLUS_COUNTS]])
    assert vote_winners(row).tolist() == [-1 if winner is None else VOTE_CLASSES.index(winner)]


def csv_text(mark=",", label="{}", names="emotion,pixels,Usage", usage="{}"):
    pixels = " ".join(["7"] * 16)
    rows = [
        mark.join((label.format(i % 7), pixels, usage.format(split)))
        for split in ("Training", "PublicTest", "PrivateTest")
        for i in range(14)
    ]
    return "\n".join([names.replace(",", mark), *rows]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        csv_text(),
        csv_text(label="{}.0"),
        csv_text(mark=";"),
        csv_text(mark="\t"),
        csv_text(names="Emotion, Pixels, USAGE", usage=" {}"),
        "\ufeff" + csv_text(),
        csv_text().replace("\n", "\r\n"),
        csv_text().replace("PublicTest", "valid").replace("PrivateTest", "TEST"),
        csv_text(names="label,pixels,split"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "A.CSV"])
def test_tables_as_people_write_them_are_read(tmp_path, text, name):

    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    rows = {split: opened(str(tmp_path / name)).rows(split) for split in ("train", "test")}
    assert {split: len(each) for split, each in rows.items()} == {"train": 14, "test": 14}
    assert rows["train"]["csv_row"] == list(range(14))
    names = rows["train"].features["label"].names
    assert [names[i] for i in rows["train"]["label"][:4]] == ["angry", "disgust", "fear", "happy"]


def test_labels_may_be_names_and_blank_rows_are_counted(tmp_path):
    from train.data.dataset import open_dataset

    lines = csv_text().replace("\n0,", "\nAnger,").replace("\n3,", "\nhappiness,").splitlines()
    lines[3:3] = [",,", ""]
    path = tmp_path / "blank.csv"
    path.write_text("\n".join(lines) + "\n")
    data = open_dataset(str(path))
    assert data.notes == [
        "splits: Training -> train, PublicTest -> validation, PrivateTest -> test",
        "not used: 2 blank rows, as 4, 5",
    ]
    assert sum(map(len, data.given.values())) == 42
    assert set(data.given["train"].features["label"].names) >= {"angry", "happy"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\n2,", "\n2.5,", r"`emotion` must be 0\.\.6.*row 4 of .*'2\.5'"),
        ("\n2,", "\ncalm,", r"`emotion`.*row 4 of .*'calm'"),
        ("\n2,", "\n,", r"`emotion`.*row 4 of .*''"),
        ("\n2,7 7", "\n2,7 x", r"whole numbers 0\.\.255 in `pixels` of row 4 of"),
        ("\n2,7 7", "\n2,7", r"square.*row 4 of .*15 numbers"),
        ("Training\n3", "holiday\n3", r"`Usage` must be one of.*row 4 of .*'holiday'"),
        ("emotion", "feeling", r"--label-column.*'feeling'"),
        ("pixels", "dots", r"--image-column.*'dots'"),
    ],
)
def test_what_is_wrong_in_a_table_is_said_with_its_row(tmp_path, old, new, said):
    from train.data.listing import Reading

    path = tmp_path / "bad.csv"
    path.write_text(csv_text().replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        opened(str(path)).rows("train")
    if new in ("feeling", "dots"):
        reading = Reading(**{"label_column" if new == "feeling" else "image_column": new})
        assert len(opened(str(path), reading).rows("train")) == 14
