"""What cannot be written is said before the work, in one line."""

import errno
import os
import sys
from pathlib import Path

import pytest

from fer import __main__ as cli
from fer.errors import InputError
from fer.output import check_apart, check_file, check_folder
from fer.table import TableWriter, face_schema
from tests.conftest import ROOT

ASTRONAUT = str(ROOT / "examples" / "astronaut_happy.jpg")
CLIP = str(ROOT / "examples" / "expressions.mp4")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Places where nothing can be written, and what is said of each."""
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("mine")
    locked = tmp_path / "locked"
    locked.mkdir()
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path).startswith(str(locked)):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)  # the superuser may write anywhere
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder.csv", "is a folder"),
        ("none/a.csv", "folder that exists"),
        ("file/a.csv", "folder that exists"),
        ("locked/a.csv", "Permission denied"),
        (f"{'a' * 250}.csv", "File name too long"),
        ("/dev/full", "regular file"),
        ("/dev/null", "regular file"),
    ],
)
def test_a_file_that_cannot_be_written(places, name, said):
    before = sorted(places.rglob("*"))
    with pytest.raises(InputError, match=said):
        check_file(places / name)
    assert sorted(places.rglob("*")) == before


def test_a_file_that_can(places, tmp_path):
    check_file(places / "new.csv")
    check_file(places / "file")
    check_file(Path(os.devnull), stream=True)
    assert (places / "file").read_text() == "mine"
    assert not (places / "new.csv").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file", "is a file"),
        ("file/a/b", "below the file"),
        ("locked/a/b", "Permission denied"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_folder_that_cannot_be_written(places, name, said):
    with pytest.raises(InputError, match=said):
        check_folder(places / name)


def test_a_folder_that_can(places):
    for name in ("new/a/b", "locked/..", "."):
        check_folder(places / name)
    assert not (places / "new").exists()


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    check_file(tmp_path / "a", room_bytes=1)
    for check in (check_file, check_folder):
        with pytest.raises(InputError, match=r"about 1000000000000\.0 MB of free space"):
            check(tmp_path / "a", room_bytes=10**18)


def stop(*arguments, **options):
    raise AssertionError("the work began")


def assert_refused(main, arguments, monkeypatch, capsys):
    """Hold that a command line ends with one line about its last argument, an output."""
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: an output must ")
    assert arguments[-1] in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("image", ASTRONAUT, "--json"),
        ("image", ASTRONAUT, "--csv"),
        ("image", ASTRONAUT, "--parquet"),
        ("image", ASTRONAUT, "--annotated"),
        ("video", CLIP, "--json"),
        ("video", CLIP, "--csv"),
        ("video", CLIP, "--parquet"),
        ("video", CLIP, "--annotated"),
        ("folder", str(ROOT / "examples")),
        ("info", "--json"),
    ],
    ids=lambda arguments: " ".join(arguments[::2]),
)
@pytest.mark.parametrize("where", ["missing", "folder"])
def test_every_output_is_tried_before_the_work(arguments, where, tmp_path, monkeypatch, capsys):
    ending = {"--annotated": ".mp4" if "video" in arguments else ".png", "--json": ".json"}
    ending |= {"--parquet": ".parquet"}
    target = tmp_path / f"taken{ending.get(arguments[-1], '.csv')}"
    if where == "folder":
        if arguments[0] == "image" and arguments[-1] == "--annotated":
            pytest.skip("a folder is what it takes")
        target.mkdir()
    else:
        target = tmp_path / "missing" / target.name
    monkeypatch.setattr(cli.Pipeline, "load", stop)
    monkeypatch.setattr("fer.batch.run.PipelineSpec.of", stop)
    assert_refused(cli.main, [*arguments, str(target)], monkeypatch, capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "mobilenetv2-96", "--out"),
        ("fit", "mobilenetv2-96", "--weights"),
        ("faces",),
        ("compact", "run"),
        ("face-weights", "source"),
        ("export", "run"),
        ("crop", str(ROOT / "examples")),
        ("fer2013", "source"),
        ("evaluate", "--results"),
        ("evaluate", "--folder", "a=b", "--results"),
        ("framing", "--results"),
        ("contrast", "--results"),
        ("render",),
        ("examples",),
        ("subgroups", "--results"),
        ("table", "--results"),
        ("publish", "--repo", "a/b", "--out"),
    ],
    ids=" ".join,
)
def test_every_output_of_training_is_tried_before_the_work(
    arguments, tmp_path, monkeypatch, capsys
):
    train = pytest.importorskip("train.__main__")
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(train, "_open", stop)
    target = tmp_path / "file" / "out.npz"
    assert_refused(train.main, [*arguments, str(target)], monkeypatch, capsys)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("link", ["symlink", "hard link", "case", "dots"])
def test_no_output_is_a_source_or_another_by_any_name(link, tmp_path):
    source, other = tmp_path / "a.png", tmp_path / "b.csv"
    source.write_bytes(b"x")
    if link == "symlink":
        other.symlink_to(source)
    elif link == "hard link":
        other.hardlink_to(source)
    elif link == "case":
        source, other = tmp_path / "new.csv", tmp_path / "NEW.csv"
    else:
        other = tmp_path / "." / "x" / ".." / "a.png"
        (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="a place of its own"):
        check_apart([source], [other])
    with pytest.raises(InputError, match="a place of its own"):
        check_apart([], [other, source])
    check_apart([source], [tmp_path / "c.csv", tmp_path / "d.csv"])


def test_an_output_that_is_a_link_stays_one(tmp_path):
    real, link = tmp_path / "in" / "rows.csv", tmp_path / "rows.csv"
    real.parent.mkdir()
    for _ in range(2):  # the file is not there, and is
        link.unlink(missing_ok=True)
        link.symlink_to(real)
        check_file(link)
        with TableWriter(link, face_schema(["a", "b"])) as table:
            table.write([{"face": 1}])
        assert link.is_symlink()
        assert b"face" in real.read_bytes()
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "rows.csv", "rows.csv"]


def test_an_output_is_no_link_to_something_else(tmp_path):
    picture, link = tmp_path / "a.png", tmp_path / "rows.csv"
    picture.write_bytes(b"x")
    link.symlink_to(picture)
    with pytest.raises(InputError, match=r"same ending\. Received: .*rows\.csv, .*a\.png"):
        check_file(link)
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="can be written"):
        check_file(loop)
