"""Pictures of FER-2013 known by their content."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from fer.preprocess import resize
from tests.conftest import opened, shared

pytest.importorskip("datasets")

import datasets

from train.data import signatures
from train.data.columns import CSV_CLASSES
from train.data.signatures import (
    Pictures,
    Table,
    find_rows,
    is_flat,
    match,
    quantize,
    recognize,
    sign,
)

N_VOTES = 10


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """(n, 48, 48) uint8 of smooth pictures, each another one."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6), np.uint8)
    return np.stack([resize(each, 48, 48) for each in coarse])


def jpeg(image: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def table_of(images: np.ndarray, split, label, group=None) -> Table:
    n = len(images)
    votes = np.zeros((n, N_VOTES), np.uint8)
    votes[np.arange(n), np.arange(n) % 8] = 10
    group = np.full(n, -1) if group is None else group
    return Table(
        quantize(sign(images)),
        np.array(split, np.uint8),
        np.array(label, np.uint8),
        votes,
        np.array(group, np.int32),
    )


def data_set(**splits) -> datasets.DatasetDict:
    """Splits of (pictures as bytes, classes as numbers of the challenge)."""
    order = sorted(CSV_CLASSES)
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=order))
    return datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict(
                {
                    "image": [{"bytes": each, "path": None} for each in files],
                    "label": [order.index(CSV_CLASSES[label]) for label in labels],
                },
                features=features,
            )
            for name, (files, labels) in splits.items()
        }
    )


@pytest.fixture
def challenge(monkeypatch):
    """60 pictures: rows 0..39 of train, 40..49 of validation, 50..59 of test."""
    images = pictures(60)
    images[55] = images[5]  # the same photograph in train and in test
    split = [0] * 40 + [1] * 10 + [2] * 10
    label = [i % 7 for i in range(60)]
    group = [0 if i in (5, 55) else -1 for i in range(60)]
    table = table_of(images, split, label, group)
    monkeypatch.setattr(signatures, "load_table", lambda: table)
    return images, table


def files(images, quality=75):
    return [jpeg(image, quality) for image in images]


def labels(*rows):
    return [i % 7 for each in rows for i in each]


def test_a_picture_is_known_after_it_was_encoded_anew_and_others_are_not():
    images = pictures(300)
    table = table_of(images, [0] * 300, [0] * 300)
    for quality in (75, 95):
        copies = np.stack(
            [np.asarray(Image.open(io.BytesIO(each))) for each in files(images, quality)]
        )
        found, again = find_rows(
            Pictures(sign(copies), np.zeros(300, int), np.zeros(300, int)), table
        )
        assert found.tolist() == list(range(300))
        assert not again.any()
    assert len(match(sign(pictures(300, seed=1)), table).row) == 0
    for other in (images[:, :, ::-1], np.roll(images, 2, axis=2), images // 2):
        assert len(match(sign(np.ascontiguousarray(other)), table).row) == 0


def test_rows_of_one_picture_go_to_the_split_and_label_that_they_are_of():
    image = pictures(1)
    table = table_of(np.repeat(image, 5, axis=0), [0, 0, 0, 1, 2], [3, 4, 3, 3, 3])
    terms = sign(np.repeat(image, 6, axis=0))
    #              test, train/4, validation, train/3 twice, train/3 once too often
    found, again = find_rows(
        Pictures(terms, np.array([2, 0, 1, 0, 0, 0]), np.array([3, 4, 3, 3, 3, 3])), table
    )
    assert found[:5].tolist() == [4, 1, 3, 0, 2]
    assert found[5] in (0, 2)
    assert again.tolist() == [False] * 5 + [True]


def test_a_copy_gets_rows_votes_and_groups(challenge):
    images, table = challenge
    order = np.random.default_rng(1).permutation(40)
    splits, notes = recognize(
        data_set(
            train=(files(images[order]), labels(order)),
            validation=(files(images[40:50]), labels(range(40, 50))),
            test=(files(images[50:]), labels(range(50, 60))),
        )
    )
    assert splits["train"]["csv_row"][:] == order.tolist()
    assert splits["test"]["csv_row"][:] == list(range(50, 60))
    assert splits["test"]["ferplus_votes"][:] == table.votes[50:].tolist()
    assert splits["test"]["duplicate_group"][5] == 0
    assert notes[0] == "FER-2013: 60 of 60 pictures are known by their content"
    assert len(notes) == 2
    assert notes[1].startswith("known of them: rows of fer2013.csv (csv_row), votes of FER+")
    marked = signatures.mark_twins(splits)
    assert np.flatnonzero(marked["test"]["cross_split_twin"]).tolist() == [5]
    assert np.flatnonzero(marked["train"]["cross_split_twin"]).tolist() == [order.tolist().index(5)]
    assert not any(marked["validation"]["cross_split_twin"])
    assert signatures.mark_twins(marked) is marked


def test_pictures_in_other_splits_and_with_other_labels_are_counted(challenge):
    images, _ = challenge
    train = [*range(37), 50, 51, 40]
    _, notes = recognize(
        data_set(
            train=(files(images[train]), labels(train)),
            validation=(files(images[41:50]), [6] * 9),
            test=(files(images[[52, 53, 54, 37, 52]]), labels([52, 53, 54, 37, 52])),
        )
    )
    assert (
        "train has 1 picture of the challenge's validation split and 2 pictures of the "
        "challenge's test split: figures cannot be compared with those of others"
    ) in notes
    assert any(
        note.startswith("test has 1 picture of the challenge's train split") for note in notes
    )
    wrong = sum(i % 7 != 6 for i in range(41, 50))
    assert f"labels that are not the challenge's: {wrong}" in notes
    assert "here more often than in the challenge: 1 picture" in notes


@pytest.mark.parametrize("layout", ["train and test", "train alone"])
def test_a_copy_without_validation_gets_the_challenges_splits(challenge, layout):
    images, _ = challenge
    mixed = np.random.default_rng(2).permutation(np.arange(40, 60))
    if layout == "train alone":
        everything = [*range(40), *mixed]
        given = data_set(train=(files(images[everything]), labels(everything)))
    else:
        given = data_set(
            train=(files(images[:40]), labels(range(40))),
            test=(files(images[mixed]), labels(mixed)),
        )
    splits, notes = recognize(given)
    assert {name: sorted(rows["csv_row"]) for name, rows in splits.items()} == {
        "train": list(range(40)),
        "validation": list(range(40, 50)),
        "test": list(range(50, 60)),
    }
    assert any(note.startswith("splits: the challenge's; validation") for note in notes)


def test_a_training_split_alone_stays_whole(challenge):
    images, _ = challenge
    splits, notes = recognize(data_set(train=(files(images[:40]), labels(range(40)))))
    assert list(splits) == ["train"]
    assert not any(note.startswith("splits") for note in notes)


def test_other_data_sets_are_left_alone(challenge):
    images, _ = challenge
    foreign = pictures(60, seed=9)
    given = data_set(train=(files(foreign), labels(range(60))))
    assert recognize(given) == (given, [])
    wide = [jpeg(np.hstack([image, image]), 95) for image in images]
    colours = [jpeg(np.stack([image, image // 2, image], axis=2), 95) for image in images]
    broken = [b"no picture"] * 60
    for each in (wide, colours, broken):
        given = data_set(train=(each, labels(range(60))))
        assert recognize(given) == (given, [])


def test_pictures_beside_those_of_the_challenge_have_no_row(challenge):
    images, _ = challenge
    both = np.concatenate([images[:40], pictures(20, seed=9)])
    splits, notes = recognize(data_set(train=(files(both), labels(range(60)))))
    assert splits["train"]["csv_row"][:] == [*range(40), *[-1] * 20]
    assert splits["train"]["ferplus_votes"][40] == [0] * N_VOTES
    assert splits["train"]["duplicate_group"][40] == -1
    assert notes[0] == "FER-2013: 40 of 60 pictures are known by their content"


def test_what_is_here_more_often_than_in_the_challenge_is_marked(challenge):
    images, table = challenge
    row = int(np.flatnonzero(table.group[:40] < 0)[0])
    again = data_set(
        train=(files(images[:40]), labels(range(40))),
        test=(files(images[[row, 50]]), labels([row, 50])),
        validation=(files(images[40:50]), labels(range(40, 50))),
    )
    marked = signatures.mark_twins(recognize(again)[0])
    assert marked["test"]["cross_split_twin"][0]
    assert marked["train"]["cross_split_twin"][row]
    assert not any(marked["validation"]["cross_split_twin"])


def test_own_columns_are_kept(challenge):
    images, _ = challenge
    given = data_set(train=(files(images[:40]), labels(range(40))))
    given["train"] = given["train"].add_column("ferplus_votes", [[1] * N_VOTES] * 40)
    splits, notes = recognize(given)
    assert splits["train"]["ferplus_votes"][3] == [1] * N_VOTES
    assert notes[-1].endswith("rows of fer2013.csv (csv_row), marks of copies (duplicate_group)")
    assert "ferplus_votes" not in notes[-1]


def test_pictures_of_one_colour_are_known_beside_the_others_alone(monkeypatch):
    images = pictures(30)
    images[[3, 20]] = 0
    assert is_flat(images).sum() == 2
    table = table_of(images, [0] * 30, [0] * 30)
    monkeypatch.setattr(signatures, "load_table", lambda: table)
    splits, _ = recognize(data_set(train=(files(images), [0] * 30)))
    assert splits["train"]["csv_row"][:] == list(range(30))
    black = np.zeros((40, 48, 48), np.uint8)
    mixed = np.concatenate([images[:10], pictures(20, seed=5), black])
    splits, _ = recognize(data_set(train=(files(mixed), [0] * 70)))
    assert splits["train"]["csv_row"][:10] == [0, 1, 2, -1, *range(4, 10)]
    assert set(splits["train"]["csv_row"][10:]) == {-1}


def test_the_last_pictures_of_a_whole_data_set_are_known_by_the_rows_that_are_left(monkeypatch):
    images = pictures(200)
    changed = images.copy()
    changed[7] = np.clip(images[7].astype(int) + 3, 0, 255)
    table = table_of(images, [0] * 200, [0] * 200)
    monkeypatch.setattr(signatures, "load_table", lambda: table)
    splits, _ = recognize(data_set(train=(files(changed, 95), [0] * 200)))
    assert splits["train"]["csv_row"][7] == 7
    others = np.concatenate([changed, pictures(50, seed=4)])
    splits, _ = recognize(data_set(train=(files(others, 95), [0] * 250)))
    assert splits["train"]["csv_row"][7] == -1


def test_a_data_set_is_opened_with_what_is_known_of_it(challenge, tmp_path):

    images, table = challenge
    for row in range(60):
        folder = tmp_path / "fer" / ("train" if row < 40 else "test") / CSV_CLASSES[row % 7]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{(row * 37) % 61:03}.jpg").write_bytes(jpeg(images[row], 75))
    source = str(tmp_path / "fer")
    test = opened(source).rows("test")
    assert sorted(test["csv_row"]) == list(range(50, 60))
    for row, votes in zip(test["csv_row"], test["ferplus_votes"], strict=True):
        assert votes == table.votes[row].tolist()
    assert sum(test["cross_split_twin"]) == 1
    assert len(opened(source).fresh_rows("test")) == 9
    assert "FER-2013: 60 of 60 pictures are known by their content" in opened(source).describe()


def test_the_table_comes_with_its_notice_and_is_small():
    notice = signatures.TABLE_PATH.with_suffix(".md").read_text("utf-8")
    content = signatures.TABLE_PATH.read_bytes()
    assert hashlib.sha256(content).hexdigest() in notice
    assert "Copyright (c) Microsoft Corporation" in notice
    assert len(content) < 1_000_000
    table = signatures.load_table()
    assert np.bincount(table.split).tolist() == [28709, 3589, 3589]
    assert {len(each) for each in table} == {35887}
    assert table.votes.sum(axis=1).max() == 10


def test_a_table_is_written_from_a_data_set_and_measured(challenge, tmp_path, monkeypatch):
    from train.data import signature_table

    images, table = challenge
    splits, _ = recognize(
        data_set(
            train=(files(images[:40], 95), labels(range(40))),
            validation=(files(images[40:50], 95), labels(range(40, 50))),
            test=(files(images[50:], 95), labels(range(50, 60))),
        )
    )
    folder = tmp_path / "data"
    folder.mkdir()
    for name, rows in splits.items():
        rows.to_parquet(str(folder / f"{name}-00000-of-00001.parquet"))
    target = tmp_path / "table.npz"
    assert signature_table.write_signatures(opened(str(folder)), target) == 60
    with np.load(target) as written:
        for name in ("split", "label", "votes", "group"):
            assert (written[name] == getattr(table, name)).all()
        assert np.abs(written["signature"].astype(int) - table.signature).max() <= 1
    assert hashlib.sha256(target.read_bytes()).hexdigest() in target.with_suffix(".md").read_text()

    monkeypatch.setattr(signature_table, "load_table", lambda: table)
    monkeypatch.setattr(signature_table, "_N_OTHERS", 50)
    others = tmp_path / "others"
    others.mkdir()
    Image.fromarray(pictures(1, seed=8)[0]).resize((200, 200)).save(others / "a.png")
    report = signature_table.measure_signatures(opened(str(folder)), others)
    copies = report.iloc[:6]
    assert (copies["pictures"] == 60).all()
    assert (copies["known"] == 60).all()
    assert (copies["row"] == 60).all()
    assert report["known"].iloc[6:].tolist() == [0, 0]
    assert report["pictures"].iloc[6] == 50
    with pytest.raises(InputError, match="pictures of 48 pixels"):
        signature_table.measure_signatures(opened(str(folder)), folder)


def test_no_path_of_one_machine_stands_for_the_data_set(monkeypatch):
    from train.data.dataset import default_dataset

    monkeypatch.delenv("FER_DATASET", raising=False)
    with pytest.raises(InputError, match=r"AutumnQiu/fer2013.*Received: none"):
        default_dataset()


def test_real_pictures_are_known_from_jpeg_in_class_folders():
    rows = datasets.load_dataset(str(shared("data", "fer2013")), split="test").select(range(600))
    table = signatures.load_table()
    images = np.stack([np.asarray(image.convert("L")) for image in rows["image"]])
    plain = ~is_flat(images)
    copies = np.stack([np.asarray(Image.open(io.BytesIO(jpeg(image, 75)))) for image in images])
    names = rows.features["label"].names
    found, _ = find_rows(
        Pictures(
            sign(copies[plain]),
            np.full(plain.sum(), 2),
            np.array([CSV_CLASSES.index(names[label]) for label in rows["label"]])[plain],
        ),
        table,
    )
    own = np.array(rows["csv_row"])[plain]
    assert (found == own).mean() > 0.99
    assert (table.votes[found] == np.array(rows["ferplus_votes"])[plain]).all(axis=1).mean() > 0.99
    other = np.stack([np.roll(np.rot90(image), 24, axis=0) for image in images[plain]])
    assert len(match(sign(other), table).row) == 0
