"""python -m fer, as a shell calls it."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from bench.apps import free_port
from fer import __main__ as cli
from fer import load_classifier, read_image
from fer.hub import WEIGHTS_FOLDER
from fer.types import Faces
from tests.conftest import (
    FACE,
    ROOT,
    heeding_ctrl_c,
    make_classifier,
    make_faces,
    make_two_heads,
    noise,
    one_head,
)
from tests.web.test_web_video import write_clip

ASTRONAUT = str(ROOT / "examples" / "astronaut_happy.jpg")
SLIM = ("--detector", "slim")


def call(*arguments, stdin=b""):
    """The exit status, standard output and standard error of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "fer", *arguments], cwd=ROOT, input=stdin, capture_output=True
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture
def run(monkeypatch, capsysbinary):
    """The same in this process: seconds faster."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer", *map(str, arguments)])
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        captured = capsysbinary.readouterr()
        return status, captured.out.decode(), captured.err.decode()

    return run


@pytest.fixture
def nobody(tmp_path):
    path = tmp_path / "nobody.png"
    Image.fromarray(np.full((90, 120, 3), 200, np.uint8)).save(path)
    return path


def test_a_picture_in_words(run, nobody):
    status, out, _ = run("image", ASTRONAUT, nobody, *SLIM)
    assert status == 0
    first, second = out.splitlines()
    assert first.startswith(f"{ASTRONAUT}: face 1: happy ")
    assert second == f"{nobody}: no face"


def test_what_ten_people_would_say_and_another_decision(run, monkeypatch):
    seen = []

    def load(model, revision, decision):
        seen.append(decision)
        return make_two_heads()

    monkeypatch.setattr("fer.pipeline.load_classifier", load)
    status, out, _ = run("image", ASTRONAUT, "--votes", "--decision", "dataset", *SLIM)
    assert status == 0
    # Shares .2447, .6652 and .09 of three classes.
    assert out.splitlines()[1] == "  of ten people: 7 loud, 2 calm, 1 odd"
    assert seen == ["dataset"]


def test_weights_without_votes_or_that_decision_are_told(run, tmp_path):
    values = one_head((WEIGHTS_FOLDER / "fer.json").read_text())
    (tmp_path / "fer.json").write_text(json.dumps(values))
    shutil.copy(WEIGHTS_FOLDER / "model.tflite", tmp_path)
    for option, said in ((["--votes"], "votes"), (["--decision", "balanced"], "balanced")):
        status, out, error = run("image", ASTRONAUT, "--model", tmp_path, *option, *SLIM)
        assert (status, out) == (1, "")
        assert error.count("\n") == 1
        assert said in error


def test_a_picture_in_every_form(run, nobody, tmp_path):
    paths = {form: tmp_path / f"faces.{form}" for form in ("json", "csv", "parquet")}
    options = [item for form, path in paths.items() for item in (f"--{form}", path)]
    status, out, _ = run("image", ASTRONAUT, nobody, *options, *SLIM)
    assert status == 0
    assert "happy" in out
    lines = [json.loads(line) for line in paths["json"].read_text().splitlines()]
    assert [line["file"] for line in lines] == [ASTRONAUT, str(nobody)]
    assert lines[0]["faces"][0]["label"] == "happy"
    assert lines[1]["faces"] == []
    table = pyarrow.parquet.read_table(paths["parquet"]).to_pylist()
    rows = list(csv.DictReader(io.StringIO(paths["csv"].read_text("utf-8-sig"))))
    assert (
        [row["file"] for row in rows]
        == [row["file"] for row in table]
        == [
            ASTRONAUT,
            str(nobody),
        ]
    )
    assert table[0]["label"] == rows[0]["label"] == "happy"
    assert table[1]["face"] is None


def test_a_picture_that_breaks_off_is_read_with_a_warning(run, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(Path(ASTRONAUT).read_bytes()[:-40])
    status, out, error = run("image", cut, "--json", "-", *SLIM)
    assert status == 3
    assert "cut.jpg: the file breaks off" in error
    row = json.loads(out)
    assert row["notes"] == ["the file breaks off; what is there was read"]
    assert row["faces"]


def test_copies_with_boxes(run, nobody, tmp_path):
    assert run("image", ASTRONAUT, "--annotated", tmp_path / "one.jpg", *SLIM)[0] == 0
    assert read_image(tmp_path / "one.jpg").shape == read_image(ASTRONAUT).shape
    (tmp_path / "out").mkdir()
    assert run("image", ASTRONAUT, nobody, "--annotated", tmp_path / "out", *SLIM)[0] == 0
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"astronaut_happy.jpg.faces.png", "nobody.png.faces.png"}
    boxed = read_image(tmp_path / "out" / "astronaut_happy.jpg.faces.png")
    assert (boxed != read_image(ASTRONAUT)).any()
    status, _, error = run("image", ASTRONAUT, nobody, "--annotated", tmp_path / "no", *SLIM)
    assert status == 1
    assert "must be a folder" in error
    status, _, error = run("image", ASTRONAUT, ASTRONAUT, "--annotated", tmp_path / "out", *SLIM)
    assert status == 1
    assert "different names" in error


@pytest.mark.parametrize("option", ["--csv", "--json", "--parquet", "--annotated"])
def test_no_output_takes_the_place_of_a_source(run, nobody, option):
    before = nobody.read_bytes()
    status, _, error = run("image", nobody, option, nobody, *SLIM)
    assert status == 1
    assert "not that of a source" in error
    assert nobody.read_bytes() == before


def test_some_bad_pictures_and_only_bad_ones(run, nobody, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    bad = tmp_path / "letter.jpg"
    status, out, error = run("image", bad, nobody, "--json", "-", *SLIM)
    assert status == 3
    assert "letter.jpg must be a picture" in error
    first, second = map(json.loads, out.splitlines())
    assert "must be a picture" in first["error"]
    assert second["faces"] == []
    assert run("image", bad, *SLIM)[0] == 1


def test_errors_tell_two_files_of_one_name_apart(run, nobody, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one" / "x.jpg").write_text("Dear Sir or Madam")
    (tmp_path / "two" / "x.jpg").touch()
    names = ["one/x.jpg", "./two/x.jpg", "three/x.jpg"]
    status, out, error = run("image", *names, nobody, "--json", "-", *SLIM)
    assert status == 3
    assert [line.split(" must")[0] for line in error.splitlines()] == [f"error: {n}" for n in names]
    said = [json.loads(line).get("error", "") for line in out.splitlines()]
    assert [text.split(" must")[0] for text in said] == [*names, ""]


@pytest.mark.parametrize(
    ("option", "name"),
    [("--csv", "x.parquet"), ("--csv", "x.txt"), ("--parquet", "x.csv"), ("--json", "x.csv")],
)
@pytest.mark.parametrize("command", ["image", "video"])
def test_an_output_of_another_ending_is_refused(run, nobody, tmp_path, command, option, name):
    status, _, error = run(command, nobody, option, tmp_path / name, *SLIM)
    assert status == 1
    assert f"{option} must name" in error
    assert not (tmp_path / name).exists()


def test_a_folder_of_videos_only_names_the_command_that_reads_them(run, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.MP4", "c.txt"):
        (tmp_path / "in" / name).write_bytes(b"1")
    status, _, error = run("folder", tmp_path / "in", tmp_path / "out.csv", *SLIM)
    assert status == 1
    assert "2 .mp4, 1 .txt" in error
    assert "`python -m fer video`" in error


def test_a_model_folder_without_weights_says_what_was_expected(run, nobody, tmp_path):
    status, _, error = run("image", nobody, "--model", tmp_path, *SLIM)
    assert status == 1
    assert f"fer.json must stand in {tmp_path}" in error
    assert "Errno" not in error


def test_what_goes_wrong_with_one_picture_ends_no_run(run, monkeypatch, tmp_path):
    from fer.pipeline import Pipeline

    class Odd:
        title = "odd"

        def __call__(self, frame):
            if frame.shape[0] == 7:
                raise RuntimeError("a mistake")
            return make_faces([1, 1, 8, 8]) if frame.shape[0] == 9 else Faces(np.ones((1, 4)), [1])

    monkeypatch.setattr(Pipeline, "load", lambda *_, **__: Pipeline(Odd(), make_classifier()))
    names = [str(tmp_path / f"{height}.png") for height in (7, 8, 9)]
    for height, name in zip((7, 8, 9), names, strict=True):
        Image.fromarray(noise(height, 9)).save(name)
    status, out, err = run("image", *names, "--json", "-")
    assert status == 3
    crashed, no_box, fine = map(json.loads, out.splitlines())
    assert crashed["error"].endswith("7.png cannot be analysed: RuntimeError: a mistake")
    assert "`xyxy` must have" in no_box["error"]
    assert len(fine["faces"]) == 1
    assert [line[:6] for line in err.splitlines()] == ["error:"] * 2


def test_pipes():
    data = (ROOT / "examples" / "astronaut_happy.jpg").read_bytes()
    status, out, error = call("image", "-", "--csv", "-", *SLIM, stdin=data)
    assert status == 0, error
    (row,) = csv.DictReader(io.StringIO(out.decode()))
    assert (row["file"], row["label"]) == ("-", "happy")
    status, out, error = call("image", "-", "--parquet", "-", *SLIM, stdin=data)
    assert status == 0, error
    assert pyarrow.parquet.read_table(io.BytesIO(out)).num_rows == 1
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_video_through_pipes_and_files(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    made = tmp_path / "made.mp4"
    status, out, error = call("video", str(clip), "--annotated", str(made), *SLIM)
    assert status == 0, error
    assert b"person 1" in out
    with av.open(str(made)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 40
    data = clip.read_bytes()
    status, out, error = call("video", "-", "--csv", "-", "--rate", "5", *SLIM, stdin=data)
    assert status == 0, error
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert [float(row["time_s"]) for row in rows] == pytest.approx(np.arange(20) / 5, abs=0.02)
    status, out, error = call("video", "-", "--json", "-", *SLIM, stdin=data)
    assert status == 0, error
    report = json.loads(out)
    assert report["n_looked_at"] == 40
    assert len(report["persons"]) == 1
    status, out, error = call("video", "-", stdin=b"Dear Sir or Madam")
    assert status == 1
    assert error.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in error


def test_a_video_is_compared_with_a_resting_face(run, nobody, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 6)
    face = tmp_path / "face.png"
    Image.fromarray(read_image(ASTRONAUT)).save(face)
    rows = tmp_path / "rows.csv"
    status, out, error = run("video", clip, "--resting-face", face, "--csv", rows, *SLIM)
    assert status == 0, error
    assert "compared with the resting face" in out
    table = list(csv.DictReader(io.StringIO(rows.read_text(encoding="utf-8-sig"))))
    assert any(row["p_happy"] != row["raw_happy"] for row in table)
    status, out, error = run(
        "video", clip, "--resting-face", face, "--resting-person", 9, "--json", "-", *SLIM
    )
    assert status == 0
    assert json.loads(out)["compared_id"] == 9
    assert "no person 9" in error
    for wrong, said in ((nobody, "Received: 0 in"), (clip, "picture")):
        status, _, error = run("video", clip, "--resting-face", wrong, *SLIM)
        assert status == 1
        assert said in error
    status, _, error = run("video", clip, "--resting-face", face, "--annotated", face, *SLIM)
    assert status == 1


def test_a_table_must_have_the_name_of_its_form(run, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    status, _, error = run("video", clip, "--csv", tmp_path / "rows.txt", *SLIM)
    assert status == 1
    assert ".csv" in error


@pytest.mark.slow
def test_a_folder(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    image = Image.open(ASTRONAUT)
    for i in range(6):
        image.rotate(2 * i).save(tmp_path / "in" / "deep" / f"{i}.png")
    arguments = "folder", str(tmp_path / "in"), str(tmp_path / "out.parquet"), *SLIM
    status, out, error = call(*arguments)
    assert status == 0, error
    assert b"6 pictures" in out
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert sorted({row["file"] for row in table}) == [f"deep/{i}.png" for i in range(6)]
    (tmp_path / "in" / "letter.jpg").write_text("Dear Sir or Madam")
    status, out, error = call(*arguments)
    assert status == 1  # it is finished, and --fresh was not said
    assert "exists" in error
    status, out, error = call(*arguments, "--fresh")
    assert status == 3, error
    assert b"out.errors.parquet" in out


@pytest.mark.long
@pytest.mark.slow
def test_after_ctrl_c_the_same_command_goes_on(tmp_path):
    (tmp_path / "in").mkdir()
    content = FACE.read_bytes()
    for i in range(400):
        (tmp_path / "in" / f"{i:03}.jpg").write_bytes(content)
    arguments = "folder", str(tmp_path / "in"), str(tmp_path / "out.csv"), *SLIM
    with heeding_ctrl_c():
        process = subprocess.Popen(
            [sys.executable, "-m", "fer", *arguments], cwd=ROOT, stderr=subprocess.PIPE
        )
    parts = tmp_path / "out.csv.parts"
    while process.poll() is None and not list(parts.glob("0*.parquet")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "goes on from there" in said
    assert not (tmp_path / "out.csv").exists()
    status, _, error = call(*arguments)
    assert status == 0, error
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text("utf-8-sig"))))
    assert sorted(row["file"] for row in rows) == [f"{i:03}.jpg" for i in range(400)]


def test_what_runs_here(run, tmp_path):
    status, out, _ = run("info", *SLIM)
    assert status == 0
    config = load_classifier().config
    assert f"recipe: {config.recipe}" in out
    assert "angry, disgust" in out
    assert f"decision: {config.decision}" in out
    status, out, _ = run("info", "--json", "-", *SLIM)
    facts = json.loads(out)
    assert facts["files"] == dict(config.files)
    decisions = config.head("labels").decisions
    assert facts["temperatures"] == {name: each.temperature for name, each in decisions.items()}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "Usage"),
        (("picture",), 2, "No such command"),
        (("image",), 2, "Missing argument"),
        (("image", "missing.jpg", *SLIM), 1, "must be a file"),
        (("image", ASTRONAUT, "--detector", "nothing"), 1, "the detector must be"),
        (("video", "missing.mp4", *SLIM), 1, "missing.mp4"),
        (("folder", "nowhere", "out.parquet", *SLIM), 1, "nowhere"),
        (("info", "--revision", "main", *SLIM), 1, "needs a repository"),
    ],
)
def test_mistakes_are_said_in_a_line(run, arguments, status, said, hub):
    ended, out, error = run(*arguments)
    assert ended == status
    assert said in out + error
    assert "Traceback" not in error


def test_a_hub_that_does_not_answer_is_a_warning(run, hub, nobody):
    hub.fault = 503
    status, _, error = run("image", nobody)
    assert status == 0
    assert error.startswith("warning: using ")


@pytest.mark.slow
def test_the_camera_page_is_served(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "fer", "camera", "--port", str(port), "--no-browser", *SLIM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        for line in process.stdout:
            if b"Running on local URL" in line:
                break
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/config") as answer:
            assert b"live_frame" in answer.read()
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_a_hard_link_to_the_source_is_no_output(run, nobody):
    link = nobody.with_name("link.png")
    link.hardlink_to(nobody)
    before = nobody.read_bytes()
    status, _, error = run("image", nobody, "--annotated", link, *SLIM)
    assert status == 1
    assert "not that of a source" in error
    assert nobody.read_bytes() == before


def test_a_copy_with_boxes_takes_no_place_of_a_source(run, nobody):
    (nobody.parent / "nobody.png.faces.png").symlink_to(nobody)
    before = nobody.read_bytes()
    status, _, error = run("image", nobody, "--annotated", nobody.parent, *SLIM)
    assert status == 1
    assert "not that of a source" in error
    assert nobody.read_bytes() == before


def make_kinds(folder):
    """A path of each kind that is no file, and what it is called."""
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nothing")
    return {
        folder / "sub": "a folder",
        folder / "pipe.mp4": "a named pipe",
        folder / "loop.mp4": "a symbolic link that leads back to itself",
        folder / "gone.mp4": "a link to nothing",
        folder / "none.mp4": "none at",
        Path("/dev/null"): "a device",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_is_no_file_is_named_before_it_is_opened(run, tmp_path):
    for path, kind in make_kinds(tmp_path).items():
        status, out, error = run("video", path, *SLIM)
        assert (status, out) == (1, "")
        assert error.startswith(f"error: {path.name} must be a file. Received: {kind}")
        assert error.count("\n") == 1
        assert ("`python -m fer folder` reads" in error) == (kind == "a folder")


def test_a_file_of_another_kind_names_the_command_that_reads_it(run, nobody, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", n_frames=2)
    heic = tmp_path / "a.heic"
    heic.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    empty = tmp_path / "empty.mp4"
    empty.touch()
    said = {
        ("image", clip): "Received: a video (MP4, MOV). `python -m fer video` reads videos",
        ("video", nobody): "Received: a PNG picture. `python -m fer image` reads pictures",
        ("video", heic): "Received: a picture, as HEIC or AVIF",
        ("video", empty): "Received: an empty file",
        ("image", tmp_path): "`python -m fer folder` reads folders of pictures",
        ("folder", clip, tmp_path / "o.csv"): "a file, which `image` or `video` reads",
        ("folder", tmp_path / "x", tmp_path / "o.csv"): f"none at {tmp_path / 'x'}",
    }
    for arguments, ending in said.items():
        status, out, error = run(*arguments, *SLIM)
        assert (status, out) == (1, "")
        assert error.endswith(f"{ending}\n")


def test_empty_standard_input(run, monkeypatch):
    for command, kind in (("image", "picture"), ("video", "video")):
        nothing = io.BytesIO()
        nothing.name = "<stdin>"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(nothing))
        status, out, error = run(command, "-", *SLIM)
        assert (status, out) == (1, "")
        assert error.startswith(f"error: standard input must be a {kind}")
        assert error.endswith("Received: an empty file\n")


def test_the_exit_status_of_a_folder_says_how_much_failed(run, nobody, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    nobody.rename(folder / "a.png")
    target = tmp_path / "o.parquet"
    statuses = [run("folder", folder, target, *SLIM)[0]]
    (folder / "b.png").write_bytes(b"none")
    statuses.append(run("folder", folder, target, "--fresh", *SLIM)[0])
    (folder / "a.png").unlink()
    statuses.append(run("folder", folder, target, "--fresh", *SLIM)[0])
    assert statuses == [0, 3, 1]
