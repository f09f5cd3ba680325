"""Tables of text as training reads them: pixels, or the paths of pictures and their labels."""

import os

import pytest
from PIL import Image

from fer.errors import InputError
from tests.conftest import noise, opened

pytest.importorskip("datasets")

from train.data.listing import Reading
from train.data.text_table import read_text_table

CLASSES = ("happy", "sad")
ROWS = "emotion,pixels\n" + "".join(f"{i % 7},{' '.join([str(i)] * 16)}\n" for i in range(28))


@pytest.fixture
def pictures(tmp_path):
    """Paths below `tmp_path` of 14 pictures of each class, and their classes."""
    found = []
    for number, name in enumerate(CLASSES):
        (tmp_path / "imgs" / name).mkdir(parents=True)
        for i in range(14):
            file = f"imgs/{name}/{i} a.png"
            Image.fromarray(noise(8, 8, seed=100 * number + i)).save(tmp_path / file)
            found.append((file, name))
    return found


def write(path, header, rows, mark=",", **options):
    lines = [mark.join(header), *(mark.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", **options)
    return str(path)


@pytest.mark.parametrize(
    ("header", "mark", "encoding"),
    [
        (("path", "label"), ",", "utf-8"),
        (("file_name", "label"), "\t", "utf-8-sig"),
        (("Image", "Emotion"), ";", "utf-16"),
        (("anything", "class"), "|", "utf-8"),
    ],
)
def test_a_table_of_paths_is_read(tmp_path, pictures, header, mark, encoding):
    path = write(tmp_path / "labels.csv", header, pictures, mark, encoding=encoding)
    data = opened(path)
    assert sum(map(len, data.splits.values())) == 28
    assert data.class_names() == CLASSES
    row = data.rows("test")[0]
    assert row["image"].size == (8, 8)


def test_paths_may_be_of_windows_or_absolute_and_splits_may_be_named(tmp_path, pictures):
    words = ("Training", "valid", "TEST")
    rows = [
        (str(tmp_path / file) if i % 2 else file.replace("/", "\\"), name.title(), words[i % 3])
        for i, (file, name) in enumerate(pictures)
    ]
    data = opened(write(tmp_path / "labels.tsv", ("path", "label", "split"), rows, "\t"))
    assert {split: len(each) for split, each in data.given.items()} == {
        "train": 10,
        "validation": 9,
        "test": 9,
    }
    assert "classes: Happy -> happy, Sad -> sad" in data.notes


def test_the_column_of_paths_may_be_asked_for(tmp_path, pictures):
    rows = [(file, "nothing.png", name) for file, name in pictures]
    path = write(tmp_path / "a.csv", ("mine", "others", "label"), rows)
    with pytest.raises(InputError, match=r"--image-column.*\['mine', 'others'\]"):
        opened(path)
    assert len(opened(path, Reading(image_column="mine")).rows("train"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [*rows, ("imgs/none.png", "sad")], r"1 of 29 that.*'imgs/none\.png' in row"),
        (lambda rows: [*rows, ("imgs", "sad")], r"1 of 29 that.*'imgs' in row 30"),
        (lambda rows: [*rows, (rows[0][0], "")], r"`label` must be.*row 30 of.*''"),
        (lambda rows: [(rows[0][0], "3"), *rows], r"name of a class in row 2 of.*'3'"),
        (lambda rows: [*rows, (rows[0][0], "sad", "x")], r"Expected 2 fields in line 30, saw 3"),
    ],
)
def test_what_is_wrong_in_a_table_of_paths_is_said_with_its_row(tmp_path, pictures, change, said):
    path = write(tmp_path / "labels.csv", ("path", "label"), change(pictures))
    with pytest.raises(InputError, match=said):
        opened(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"emotion,pixels\n", "rows below its line of column names. Received: none"),
        (b"emotion,pixels\n,\n\n", "Received: 2 blank rows"),
        (ROWS.split("\n", 1)[1].encode(), "begin with a line of column names"),
        (b"imgs/a.png,happy\nimgs/b.png,sad\n", r"line of column names.*'imgs/a\.png'"),
        (("emotion,pixels\n0," + "7 " * 2304).encode()[:60] + b"\xfc\n", "UTF-8 or UTF-16"),
        (ROWS.replace(",", ":").encode(), r"--label-column must name one. Received: \['emotion:p"),
        (b"emotion,pixels\n0,1,2\n", "a row 2 with more cells"),
        (b'emotion,"pixels\n0,1\n', "EOF inside string"),
    ],
)
def test_what_is_no_table_is_said_in_a_sentence(tmp_path, content, said):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        opened(str(path))
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=r"pipe\.csv must be a file. Received: something else"):
        read_text_table(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="nothing of that name"):
        read_text_table(tmp_path / "none.csv")


def test_a_folder_with_nothing_to_read_is_named_and_a_pipe_is_not_opened(tmp_path, pictures):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty must hold labelled.*Received: no files"):
        opened(str(tmp_path / "empty"))
    for name in ("pipe.png", "metadata.csv", "data.parquet", "table.csv"):
        os.mkfifo(tmp_path / "imgs" / name)
    (tmp_path / "imgs" / "loop.png").symlink_to("loop.png")
    (tmp_path / "imgs" / "sad" / "up").symlink_to("..", target_is_directory=True)
    data = opened(str(tmp_path / "imgs"))
    assert sum(map(len, data.splits.values())) == 28
    assert any(
        note.startswith("not used: 4 places that are neither file nor folder")
        for note in data.notes
    )
    assert "not used: 1 link to nothing, as loop.png" in data.notes
    assert "not used: 1 link to a folder above it, as sad/up" in data.notes


def test_a_folder_without_classes_says_how_its_table_is_read(tmp_path, pictures):
    (tmp_path / "flat").mkdir()
    for i, (file, _) in enumerate(pictures):
        (tmp_path / file).rename(tmp_path / "flat" / f"{i}.png")
    rows = [(f"{i}.png", name) for i, (_, name) in enumerate(pictures)]
    path = write(tmp_path / "flat" / "labels.csv", ("id", "label"), rows)
    with pytest.raises(InputError, match=r"a folder a class.*--dataset .*labels\.csv"):
        opened(str(tmp_path / "flat"))
    assert len(opened(path).rows("train"))
    write(tmp_path / "flat" / "labels.csv", ("file", "outcome"), rows)
    with pytest.raises(InputError) as caught:
        opened(str(tmp_path / "flat"))
    assert "--dataset" not in str(caught.value)


def test_other_words_for_splits_are_shown(tmp_path, pictures):
    words = ("train", "Val", "TEST")
    rows = [(*row, words[i % 3]) for i, row in enumerate(pictures)]
    path = write(tmp_path / "all.csv", ("path", "label", "Split"), rows)
    assert "splits: Val -> validation, TEST -> test" in opened(path).notes
