import contextlib
import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from fer.errors import InputError
from fer.pipeline import Pipeline
from fer.serialize import to_rows
from fer.table import FORMS, TableWriter, face_schema
from tests.conftest import FakeDetector, make_classifier, make_faces

SCHEMA = face_schema(("dark", "bright"), {"file": "string"})


def make_rows():
    detector = FakeDetector(make_faces([1, 2, 30, 40], [40, 10, 70, 40]))
    result = Pipeline(detector, make_classifier())(np.zeros((60, 80, 3), np.uint8))
    rows = [{"file": 'a "quoted", name.png'} | row for row in to_rows(result)]
    return [*rows, {"file": "nobody.png"}]


def read_back(content, form):
    if form == "csv":
        return list(csv.DictReader(io.StringIO(content.decode())))
    if form == "parquet":
        return pa.parquet.read_table(io.BytesIO(content)).to_pylist()
    return [json.loads(line) for line in content.decode().splitlines()]


@pytest.mark.parametrize("form", FORMS)
def test_rows_come_back(form, tmp_path):
    path, stream = tmp_path / f"faces.{form}", io.BytesIO()
    for target in (path, stream):
        with TableWriter(target, SCHEMA, form) as table:
            table.write(make_rows())
    assert path.read_bytes() == stream.getvalue()
    rows = read_back(path.read_bytes(), form)
    assert [row["file"] for row in rows] == [row["file"] for row in make_rows()]
    assert list(rows[0]) == SCHEMA.names
    assert float(rows[0]["x1"]) == 30
    assert float(rows[1]["p_dark"]) == pytest.approx(make_rows()[1]["p_dark"], abs=1e-6)
    assert all(value in (None, "") for key, value in rows[2].items() if key != "file")


@pytest.mark.parametrize("form", FORMS)
def test_many_rows_are_written_as_they_come(form):
    stream = io.BytesIO()
    with TableWriter(stream, SCHEMA, form) as table:
        for i in range(5000):
            table.write([{"file": f"{i}.png", "face": 1}])
            if i == 4500:
                assert len(stream.getvalue()) > 10_000
    assert table.n_rows == 5000
    assert [row["file"] for row in read_back(stream.getvalue(), form)][::4999] == [
        "0.png",
        "4999.png",
    ]


def test_what_fails_leaves_no_file(tmp_path):
    (tmp_path / "faces.csv").write_text("older")
    table = TableWriter(tmp_path / "faces.csv", SCHEMA)
    with pytest.raises(InputError, match="known columns"), table:
        table.write([*make_rows(), {"colour": 3}])
    assert [path.name for path in tmp_path.iterdir()] == ["faces.csv"]
    assert (tmp_path / "faces.csv").read_text() == "older"


@contextlib.contextmanager
def full_disk(n_bytes):
    """No file of this process grows beyond so many bytes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_rows", [3, 20_000])
@pytest.mark.parametrize("form", FORMS)
def test_what_a_full_disk_cuts_off_leaves_no_file(form, n_rows, tmp_path):
    path = tmp_path / f"faces.{form}"
    path.write_text("older")
    rows = [{"file": f"{i}.png"} for i in range(n_rows)]
    error = pytest.raises(OSError, match="File too large")
    with full_disk(40), error, TableWriter(path, SCHEMA) as table:
        table.write(rows)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "older"


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.csv.*Received: faces.xlsx"):
        TableWriter(tmp_path / "faces.xlsx", SCHEMA)
    with pytest.raises(InputError, match=r"Received: .*nowhere"):
        TableWriter(tmp_path / "nowhere" / "faces.csv", SCHEMA)
    with pytest.raises(InputError, match="`form`"):
        TableWriter(io.BytesIO(), SCHEMA)
