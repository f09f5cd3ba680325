"""Text that leaves the program, whatever a name holds and wherever it goes."""

import ast
import io
import json
import logging
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
from fer.text import (
    HANDLER,
    LineFormatter,
    cell,
    json_line,
    make_printable,
    one_line,
    printable,
)
from tests.conftest import ROOT
from tests.web.test_web_video import write_clip

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


CONTROLS = ("\x1b[31mred.png", "new\nline.png", "rtl_\u202egnp.exe.png", "\x9b2K.png", "\x7f.png")


@pytest.mark.parametrize("text", CONTROLS)
def test_one_line_has_no_character_that_a_terminal_obeys(text):
    for shown in (one_line(text), cell(text), json_line(text).decode()[:-1]):
        assert shown.isprintable()
    assert json.loads(json_line(text)) == text
    record = logging.LogRecord("fer", logging.WARNING, "", 1, "%s: broken", (text,), None)
    assert LineFormatter("%(message)s").format(record) == f"{one_line(text)}: broken"


@pytest.mark.parametrize("text", ["=cmd|calc", "+1", "-1+1", "@SUM(A1)", "\uff1d1", "=\n1"])
def test_no_cell_of_csv_is_a_formula(text, tmp_path):
    tables = {form: tmp_path / f"rows.{form}" for form in ("csv", "parquet")}
    for path in tables.values():
        with TableWriter(path, face_schema(["a", "b"], {"file": "string"})) as table:
            table.write([{"file": text, "label": text}, {"file": "-", "label": "a=b"}])
    row, other = pd.read_csv(tables["csv"])[["file", "label"]].to_numpy().tolist()
    assert row == [f"./{one_line(text)}", f"'{one_line(text)}"]
    assert other == ["-", "a=b"]
    assert pd.read_parquet(tables["parquet"]).loc[0, "file"] == text


def test_names_with_control_characters(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (*CONTROLS, "=1.png"):
        Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(folder / name)
    (folder / "\x1b[2K.jpg").write_bytes(b"none")
    monkeypatch.chdir(folder)
    names = sorted(path.name for path in folder.iterdir())
    tables = [tmp_path / f"o.{form}" for form in ("csv", "json")]
    options = ["--csv", str(tables[0]), "--json", str(tables[1]), "--detector", "slim", "--"]
    monkeypatch.setattr(sys, "argv", ["fer", "image", *options, *names])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 3
    said = capsys.readouterr()
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert len(said.out.splitlines()) == len(names) - 1
    assert [json.loads(line)["file"] for line in tables[1].read_text("utf-8").splitlines()] == names
    assert tables[0].read_text("utf-8-sig").replace("\n", "").isprintable()
    monkeypatch.setattr(sys, "argv", ["fer", "folder", ".", str(tmp_path / "o.parquet")])
    monkeypatch.setenv("FER_DETECTOR", "slim")
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 3
    found = pyarrow.parquet.read_table(tmp_path / "o.parquet")["file"].to_pylist()
    found += pyarrow.parquet.read_table(tmp_path / "o.errors.parquet")["file"].to_pylist()
    assert sorted(found) == names


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


@pytest.mark.parametrize("room", ["fer", "train", "tools"])
def test_every_progress_bar_is_for_a_terminal_only(room):
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tqdm":
                options = {each.arg: each.value for each in node.keywords}
                assert isinstance(options.get("disable"), ast.Constant), f"{path}:{node.lineno}"
                assert options["disable"].value is None


def test_piped_output_is_data_alone_and_errors_are_lines(odd, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", n_frames=4)
    (odd.parent / "bad.png").write_bytes(b"none")
    options = ["--detector", "slim"]
    rows = {
        ("image", odd, odd.parent / "bad.png", "--csv", "-"): 1,
        ("video", clip, "--csv", "-"): 4,
    }
    for command, n_rows in rows.items():
        done = subprocess.run(
            [sys.executable, "-m", "fer", *command, *options], cwd=ROOT, capture_output=True
        )
        assert len(pd.read_csv(io.BytesIO(done.stdout))) == n_rows
        said = done.stderr.decode().splitlines()
        assert [line[:7] for line in said] == (["error: "] if command[0] == "image" else [])
