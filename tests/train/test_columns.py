"""Tables of pictures as pandas and pyarrow write them, without the types of `datasets`."""

import io

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from tests.conftest import opened

pytest.importorskip("datasets")

import pyarrow as pa
import pyarrow.parquet as pq

LABELS = ["calm", "wild"] * 10


def content(i):
    file = io.BytesIO()
    pixels = np.random.default_rng(i).integers(0, 256, (12, 12), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


CONTENTS = [content(i) for i in range(20)]


def write(folder, pictures, labels=LABELS, name="image"):
    table = pa.table({name: pictures, "label": labels})
    pq.write_table(table, folder / "train-00000-of-00001.parquet")
    return str(folder)


@pytest.mark.parametrize(
    "pictures",
    [
        pa.array(CONTENTS, pa.binary()),
        pa.array(CONTENTS, pa.large_binary()),
        pa.array([{"bytes": each, "path": f"{i}.png"} for i, each in enumerate(CONTENTS)]),
        pa.array([{"path": None, "bytes": each} for each in CONTENTS]),
        pa.array([{"bytes": each} for each in CONTENTS]),
    ],
    ids=["binary", "large binary", "struct", "without paths", "bytes alone"],
)
@pytest.mark.parametrize("name", ["image", "face_bytes"])
def test_pictures_as_the_content_of_their_files_are_read(tmp_path, pictures, name):
    data = opened(write(tmp_path, pictures, name=name))
    assert sum(map(len, data.splits.values())) == 20
    found = {np.asarray(row["image"]).tobytes() for rows in data.splits.values() for row in rows}
    assert len(found) == 20
    assert data.class_names() == ("calm", "wild")


@pytest.mark.parametrize(
    ("pictures", "labels", "said"),
    [
        ([f"{i}.png" for i in range(20)], LABELS, r"`image` of .* pictures, or pixels as text"),
        ([[[1, 2], [3, 4]]] * 20, LABELS, r"`image` of .* pictures, or pixels.*List"),
        (CONTENTS, [[0]] * 20, r"`label` of .* must be classes or their names. Received: List"),
        (CONTENTS, [0, 1] * 10, r"`label` of .* say what the numbers mean. Received: Value"),
    ],
)
def test_a_column_of_another_type_is_named_with_its_type(tmp_path, pictures, labels, said):
    with pytest.raises(InputError, match=said):
        opened(write(tmp_path, pictures, labels))
