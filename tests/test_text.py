"""Text that leaves the program, whatever a name holds and wherever it goes."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from PIL import Image

from fer import __main__ as cli
from fer.table import TableWriter, face_schema
from fer.text import HANDLER, json_line, make_printable, printable
from tests.conftest import ROOT
from tests.test_web_video import write_clip

ODD = "caf\udce9.png"
SHOWN = r"caf\xe9.png"


@pytest.fixture
def odd(tmp_path):
    """A picture whose name is no UTF-8."""
    inside = io.BytesIO()
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(inside, "PNG")
    path = tmp_path / "in" / ODD
    path.parent.mkdir()
    try:
        path.write_bytes(inside.getvalue())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    return path


@pytest.mark.parametrize(
    ("text", "shown"),
    [(ODD, SHOWN), ("\ud800", r"\ud800"), ("喜 😀 é", "喜 😀 é"), ("", "")],
)
def test_any_text_is_utf_8_and_the_same_in_json(text, shown):
    assert printable(text) == shown
    assert printable(text).encode("utf-8") is not None
    assert json.loads(json_line({text: [text]})) == {shown: [shown]}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_the_streams_take_any_text(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    make_printable()
    print(f"{ODD} 喜 😀 é")
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    assert shown.startswith(SHOWN)
    assert ("喜" in shown) == (encoding == "utf-8")
    assert (r"\u559c \U0001f600" in shown) == (encoding != "utf-8")
    assert "a".encode("ascii", HANDLER) == b"a"


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_a_table_takes_any_name(form, tmp_path):
    path = tmp_path / f"rows.{form}"
    with TableWriter(path, face_schema(["喜"], {"file": "string"})) as table:
        table.write([{"file": ODD, "label": "喜"}])
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}.get(form)
    rows = read(path) if read else pd.read_json(path, lines=True)
    assert rows[["file", "label"]].to_numpy().tolist() == [[SHOWN, "喜"]]
    assert list(rows.columns[:2]) == ["file", "face"]
    # Excel takes a file without the mark for one of the system's old encoding.
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == (form == "csv")


def test_a_table_that_is_piped_has_no_mark():
    sink = io.BytesIO()
    with TableWriter(sink, face_schema(["a", "b"]), "csv") as table:
        table.write([{"face": 1}])
    assert sink.getvalue().startswith(b'"face"')


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_pictures_with_odd_names_are_all_done(odd, encoding, tmp_path):
    chinese = odd.with_name("喜.png")
    chinese.write_bytes(odd.read_bytes())
    outputs = {form: tmp_path / f"out.{form}" for form in ("json", "csv", "parquet")}
    options = [text for form, path in outputs.items() for text in (f"--{form}", path)]
    command = [sys.executable, "-m", "fer", "image", odd, chinese, odd.with_name("\udcff.jpg")]
    done = subprocess.run(
        [*command, *options, "--detector", "slim"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert done.returncode == 3, done.stderr
    out, error = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert f"{SHOWN}: no face" in out
    assert ("喜.png: no face" if encoding == "utf-8" else r"\u559c.png: no face") in out
    assert r"\xff.jpg" in error
    assert "Traceback" not in error
    assert "XNNPACK" not in error
    lines = [json.loads(line) for line in outputs["json"].read_text("utf-8").splitlines()]
    assert [Path(line["file"]).name for line in lines] == [SHOWN, "喜.png", r"\xff.jpg"]
    for rows in (
        pd.read_csv(outputs["csv"]),
        pyarrow.parquet.read_table(outputs["parquet"]).to_pandas(),
    ):
        assert [Path(file).name for file in rows["file"]] == [SHOWN, "喜.png"]


def test_a_folder_with_odd_names(odd, tmp_path, monkeypatch, capsys):
    out = tmp_path / "\udcfe.csv"
    monkeypatch.setattr(sys, "argv", ["fer", "folder", str(odd.parent), str(out)])
    monkeypatch.setenv("FER_DETECTOR", "slim")
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert pd.read_csv(out)["file"].tolist() == [SHOWN]


def test_a_video_with_an_odd_name(odd, tmp_path, monkeypatch, capsys):
    clip = write_clip(tmp_path / "clip.mp4", n_frames=4).rename(odd.with_name("\udcfd.mp4"))
    outputs = [tmp_path / f"\udcfe.{form}" for form in ("mp4", "json", "parquet")]
    options = [
        text
        for name, path in zip(("annotated", "json", "parquet"), outputs, strict=True)
        for text in (f"--{name}", str(path))
    ]
    monkeypatch.setattr(sys, "argv", ["fer", "video", str(clip), *options, "--detector", "slim"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0, capsys.readouterr().err
    assert all(path.stat().st_size for path in outputs)
    assert json.loads(outputs[1].read_bytes())["n_frames"] == 4
