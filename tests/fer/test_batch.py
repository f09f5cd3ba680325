import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from PIL import Image

from fer import FerError, InputError, read_image, to_rows
from fer.batch import analyse_folder
from fer.batch.data import need
from fer.batch.parts import Parts
from fer.batch.sources import Folder
from fer.errors import DetectorError, HubError
from fer.table import face_schema
from fer.text import printable
from tests import batch_pipelines
from tests.batch_pipelines import EXITS, HANGS, KILLS, NO_FACE, RAISES, TWO_FACES, marked
from tests.conftest import ROOT, heeding_ctrl_c, noise
from tests.toy_data import make_dataset

pytestmark = pytest.mark.slow

QUICK = {"make_pipeline": marked, "n_workers": 1}


def picture(path, mark=255, side=24, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = noise(side, side, seed)
    pixels[0, 0] = mark
    Image.fromarray(pixels).save(path)
    return path


def bomb():
    """A PNG that says it has 50,000 x 50,000 pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def break_files(paths):
    """Damage files in five ways, one after the other."""
    for number, path in enumerate(paths):
        whole = path.read_bytes()
        damaged = (b"", whole[:20], b"no picture", bomb(), whole[:8] + b"\0" * 99)
        path.write_bytes(damaged[number % 5])


def rows(path):
    """The rows of a table, sorted."""
    table = pq.read_table(path).to_pylist()
    return sorted(table, key=lambda row: (row["file"], row.get("face") or 0))


def files(path):
    return [row["file"] for row in rows(path)]


def errors(path):
    return {row["file"]: row for row in rows(path.with_suffix(".errors.parquet"))}


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "pictures"
    picture(source / "b.png", seed=1)
    picture(source / "a" / "deep" / "c.PNG", TWO_FACES, seed=2)
    picture(source / "a" / "none.tiff", NO_FACE, side=48)
    picture(source / ".hidden.png")
    picture(source / ".hidden" / "d.png")
    (source / "notes.txt").write_text("no picture")
    (source / "broken.jpg").write_text("no picture")
    return source


def test_no_picture_is_passed_over_without_a_word(folder, tmp_path):
    (folder / "phone.JXL").write_bytes(b"\xff\x0a\xfa")
    (folder / "camera.cr2").write_bytes(b"II*\x00\x10\x00\x00\x00CR\x02\x00")
    (folder / "saved").write_bytes((folder / "b.png").read_bytes())
    (folder / "LICENSE").write_text("no picture")
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "loop").symlink_to("loop")
    content = (folder / "b.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) - 200])
    report = analyse_folder(folder, tmp_path / "out.parquet", **QUICK)
    kinds = {".txt": 1, "hidden": 2, "without an ending": 1, "not a regular file": 2}
    assert report.passed_over == kinds
    assert "a named pipe" in errors(tmp_path / "out.parquet")["pipe.jpg"]["message"]
    assert "leads back to itself" in errors(tmp_path / "out.parquet")["loop.jpg"]["message"]
    assert "JPEG XL" in errors(tmp_path / "out.parquet")["phone.JXL"]["message"]
    assert "raw data (CR2)" in errors(tmp_path / "out.parquet")["camera.cr2"]["message"]
    notes = {row["file"]: row["note"] for row in rows(tmp_path / "out.parquet")}
    assert "breaks off" in notes["cut.png"]
    assert notes["saved"] is notes["b.png"] is None
    assert report.n_noted == 1


def test_every_file_of_a_folder_is_in_one_of_the_two_tables(folder, tmp_path):
    (folder / "a" / "loop").symlink_to(folder)
    seen = []
    report = analyse_folder(folder, tmp_path / "out.parquet", on_progress=seen.append, **QUICK)
    assert report.output == str(tmp_path / "out.parquet")
    assert report.errors == str(tmp_path / "out.errors.parquet")
    assert (report.n_files, report.n_faces, report.n_without_face) == (4, 3, 1)
    assert (report.n_errors, report.n_done_before) == (1, 0)
    assert files(tmp_path / "out.parquet") == [
        "a/deep/c.PNG",
        "a/deep/c.PNG",
        "a/none.tiff",
        "b.png",
    ]
    assert list(errors(tmp_path / "out.parquet")) == ["broken.jpg"]
    assert errors(tmp_path / "out.parquet")["broken.jpg"]["error"] == "ImageError"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "out.errors.parquet",
        "out.parquet",
        "pictures",
    ]
    assert [step.n_done for step in seen] == [1, 2, 3, 4]
    assert {step.n_total for step in seen} == {4}
    assert seen[-1].n_faces == 3
    assert seen[-1].n_errors == 1
    assert seen[-1].seconds_left == 0
    assert seen[-1].per_s > 0


def test_rows_are_those_of_the_pipeline(folder, tmp_path):
    analyse_folder(folder, tmp_path / "out.parquet", **QUICK)
    one, two, none, _ = rows(tmp_path / "out.parquet")
    expected = to_rows(marked()(read_image(folder / "a" / "deep" / "c.PNG")))
    head = {"file": "a/deep/c.PNG", "width": 24, "height": 24, "n_faces": 2}
    schema = pq.read_schema(tmp_path / "out.parquet")
    columns = {"file": "string", **dict.fromkeys(("width", "height", "n_faces"), "int32")}
    columns["note"] = "string"
    assert schema.equals(face_schema(marked().classifier.config.class_names, columns))
    assert [one, two] == pa.Table.from_pylist([head | r for r in expected], schema).to_pylist()
    assert {key for key, value in none.items() if value is not None} == {
        *("file", "width", "height", "n_faces")
    }
    assert (none["width"], none["n_faces"]) == (48, 0)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_other_forms(folder, tmp_path, suffix):
    report = analyse_folder(folder, tmp_path / f"out{suffix}", **QUICK)
    assert report.errors == str(tmp_path / f"out.errors{suffix}")
    lines = Path(report.output).read_text().splitlines()
    assert len(lines) == 4 + (suffix == ".csv")
    wrong = Path(report.errors).read_text().splitlines()
    assert len(wrong) == 1 + (suffix == ".csv")
    if suffix == ".jsonl":
        assert {json.loads(line)["file"] for line in lines} == {
            *("a/deep/c.PNG", "a/none.tiff", "b.png")
        }


def test_file_names_of_every_kind(tmp_path):
    source = tmp_path / "pictures"
    names = ["new\nline.png", 'comma, "quoted".png', "caf\udce9.png", "日本.png", "\\xe9.png"]
    for name in names:
        try:
            picture(source / "plain.png").rename(source / name)
        except (OSError, UnicodeEncodeError) as error:
            pytest.skip(f"this file system refuses such names: {error}")
    (source / "bad\udcff.png").write_text("no picture")
    analyse_folder(source, tmp_path / "out.parquet", **QUICK)
    assert set(files(tmp_path / "out.parquet")) == {*map(printable, names)}
    assert list(errors(tmp_path / "out.parquet")) == ["bad\\xff.png"]


def test_a_link_to_nothing_is_an_error_and_a_link_to_a_picture_is_none(tmp_path):
    kept = picture(tmp_path / "kept.png")
    source = tmp_path / "pictures"
    source.mkdir()
    (source / "good.png").symlink_to(kept)
    (source / "gone.png").symlink_to(tmp_path / "nothing.png")
    (source / "self.png").symlink_to(source / "self.png")
    analyse_folder(source, tmp_path / "out.parquet", **QUICK)
    assert files(tmp_path / "out.parquet") == ["good.png"]
    assert list(errors(tmp_path / "out.parquet")) == ["gone.png", "self.png"]


def test_files_that_take_their_process_with_them(tmp_path):
    source = tmp_path / "pictures"
    for number in range(40):
        picture(source / f"{number:02}.png", seed=number)
    for name, mark in (("07", KILLS), ("08", KILLS), ("21", EXITS), ("33", RAISES)):
        picture(source / f"{name}.png", mark)
    report = analyse_folder(source, tmp_path / "out.parquet", make_pipeline=marked, n_workers=2)
    assert report.n_files == 40
    assert files(tmp_path / "out.parquet") == [
        f"{n:02}.png" for n in range(40) if n not in (7, 8, 21, 33)
    ]
    wrong = errors(tmp_path / "out.parquet")
    assert {name: (row["error"], row["message"]) for name, row in wrong.items()} == {
        "07.png": ("ProcessExpired", "the process that read it died: signal 9"),
        "08.png": ("ProcessExpired", "the process that read it died: signal 9"),
        "21.png": ("ProcessExpired", "the process that read it died: exit code 3"),
        "33.png": ("RuntimeError", "a decoder gave up"),
    }


def test_a_file_that_hangs_is_stopped(tmp_path):
    source = tmp_path / "pictures"
    for number in range(3):
        picture(source / f"{number}.png", seed=number)
    picture(source / "1.png", HANGS)
    analyse_folder(source, tmp_path / "out.parquet", timeout_s=2, **QUICK)
    assert files(tmp_path / "out.parquet") == ["0.png", "2.png"]
    (wrong,) = errors(tmp_path / "out.parquet").values()
    assert (wrong["file"], wrong["error"]) == ("1.png", "TimeoutError")
    assert wrong["message"] == "the process that read it was stopped after 2 s"


@pytest.mark.parametrize(
    ("source", "output", "options", "message"),
    [
        ("nothing", "out.parquet", {}, "none at nothing"),
        ("pictures/b.png", "out.parquet", {}, "a file"),
        ("empty", "out.parquet", {}, "must have pictures"),
        ("pictures", "out.xlsx", {}, "must end in"),
        ("pictures", "missing/out.parquet", {}, "a folder that exists"),
        ("pictures", "pictures/out.parquet", {}, "outside of"),
        ("pictures", "taken.csv", {}, "a folder"),
        ("pictures", "out.csv", {"engine": "spark"}, "engine"),
        ("pictures", "out.csv", {"n_workers": 0}, "n_workers"),
        ("pictures", "out.csv", {"detector": "mtcnn"}, "detector"),
        ("pictures", "hf://models/me/out", {}, "hf://datasets/USER/NAME"),
    ],
)
def test_what_cannot_work_is_refused_before_work(
    folder, tmp_path, monkeypatch, source, output, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.csv").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        analyse_folder(source, output, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_stopped_and_gone_on_with(tmp_path):
    source, output = tmp_path / "pictures", tmp_path / "out.parquet"
    for number in range(60):
        picture(source / f"{number:02}.png", seed=number)
    break_files([source / "05.png", source / "50.png"])

    def stop(progress):
        if progress.n_done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        analyse_folder(source, output, on_progress=stop, **QUICK)
    assert not output.exists()
    seen = []
    report = analyse_folder(source, output, on_progress=seen.append, **QUICK)
    assert report.n_done_before == 30
    assert (seen[0].n_done, seen[-1].n_done, seen[-1].n_total) == (31, 60, 60)
    assert (report.n_files, report.n_errors) == (60, 2)
    analyse_folder(source, tmp_path / "whole.parquet", **QUICK)
    assert rows(output) == rows(tmp_path / "whole.parquet")
    assert errors(output) == errors(tmp_path / "whole.parquet")


def test_a_run_is_gone_on_with_as_it_was_begun_or_begun_anew(folder, tmp_path):
    output = tmp_path / "out.parquet"

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse_folder(folder, output, on_progress=stop, **QUICK)
    other = {"make_pipeline": batch_pipelines.renamed, "n_workers": 1}
    with pytest.raises(InputError, match=r"begun with other settings.*marked.*renamed"):
        analyse_folder(folder, output, **other)
    with pytest.raises(InputError, match=r"begun with other settings.*source"):
        analyse_folder(folder / "a", output, **QUICK)
    report = analyse_folder(folder, output, fresh=True, **other)
    assert (report.n_files, report.n_done_before) == (4, 0)


def test_what_is_finished_is_replaced_only_when_asked_for(folder, tmp_path):
    output = tmp_path / "out.parquet"
    analyse_folder(folder, output, **QUICK)
    before = output.stat().st_mtime_ns
    with pytest.raises(InputError, match="exists"):
        analyse_folder(folder, output, **QUICK)
    assert output.stat().st_mtime_ns == before
    assert not (tmp_path / "out.parquet.parts").exists()
    (folder / "b.png").unlink()
    assert analyse_folder(folder, output, fresh=True, **QUICK).n_files == 3


def test_two_at_once_are_refused(folder, tmp_path):
    parts = tmp_path / "out.parquet.parts"
    parts.mkdir()
    with FileLock(parts / "lock"), pytest.raises(InputError, match="another process"):
        analyse_folder(folder, tmp_path / "out.parquet", **QUICK)


def test_killed_after_the_tables_were_written(folder, tmp_path, monkeypatch):
    output = tmp_path / "out.parquet"

    def die(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            analyse_folder(folder, output, **QUICK)
    first = rows(output)
    (tmp_path / "out.errors.parquet").unlink()
    report = analyse_folder(folder, output, **QUICK)
    assert report.n_done_before == report.n_files == 4
    assert rows(output) == first
    assert list(errors(output)) == ["broken.jpg"]


def test_a_full_disk_is_an_error_that_one_can_go_on_after(folder, tmp_path, monkeypatch):
    def fail(self, faces, errors):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "merge", fail)
        with pytest.raises(FerError, match=r"No space left.*goes on"):
            analyse_folder(folder, tmp_path / "out.parquet", **QUICK)
    assert analyse_folder(folder, tmp_path / "out.parquet", **QUICK).n_done_before == 4


def test_every_process_must_have_the_detector_of_the_first(folder, tmp_path):
    with pytest.raises(DetectorError, match=r"marked.*another"):
        analyse_folder(
            folder, tmp_path / "out.csv", make_pipeline=batch_pipelines.elsewhere, n_workers=1
        )


def test_processes_that_do_not_start_are_no_fault_of_the_files(folder, tmp_path):
    make = batch_pipelines.DiesOnArrival()
    with pytest.raises(FerError, match="do not start"):
        analyse_folder(folder, tmp_path / "out.csv", make_pipeline=make, n_workers=1)
    assert analyse_folder(folder, tmp_path / "out.csv", **QUICK).n_files == 4


def test_the_list_of_files_is_the_same_each_time(folder):
    source = Folder(folder)
    names = [item.name for item in source.items()]
    assert names == ["a/deep/c.PNG", "a/none.tiff", "b.png", "broken.jpg"]
    assert source.count() == 4


def test_a_package_that_is_missing_is_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"datasets: pip install -r requirements-batch\.txt"):
        need("datasets")
    with pytest.raises(InputError, match="pip install"):
        analyse_folder("someone/toys", tmp_path / "out.csv", split="test", **QUICK)


def test_what_batches_add_is_locked():
    pinned = re.findall(
        r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", (ROOT / "requirements-batch.txt").read_text(), re.M
    )
    assert [name for name, _ in pinned] == ["datasets", "ray"]
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    for name, version in pinned:
        assert any(re.match(rf"{name}=={re.escape(version)}( |$)", line) for line in lock), name


def test_import_loads_neither_ray_nor_datasets():
    code = (
        "import fer.batch, sys; print({'ray', 'datasets', 'pyarrow', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def stop_in_the_middle(source, output, n_parts, how=signal.SIGKILL):
    """Run the driver until it has so many parts, then kill it; its processes must end, too."""
    with heeding_ctrl_c():
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.batch_pipelines", str(source), str(output)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    parts = output.with_name(output.name + ".parts")
    end = time.monotonic() + 120
    while len(list(parts.glob("*.parquet"))) < n_parts and time.monotonic() < end:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, how)
    _, said = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert not output.exists()
    return said.decode()


@pytest.mark.long
def test_killed_in_the_middle_of_many_files(tmp_path):
    source, output = tmp_path / "pictures", tmp_path / "out.parquet"
    marks = np.random.default_rng(0).choice([255, NO_FACE, TWO_FACES], 1200, p=[0.8, 0.1, 0.1])
    paths = [
        picture(source / f"{n % 7}" / f"{n:04}.png", mark, side=48, seed=n)
        for n, mark in enumerate(marks)
    ]
    break_files(paths[50::100])
    stop_in_the_middle(source, output, 1)
    stop_in_the_middle(source, output, 3)
    report = analyse_folder(source, output, make_pipeline=batch_pipelines.slow, n_workers=2)
    assert 0 < report.n_done_before < 1200
    assert (report.n_files, report.n_errors) == (1200, 12)
    names = {path.relative_to(source).as_posix() for path in paths}
    wrong = errors(output)
    assert set(wrong) == {path.relative_to(source).as_posix() for path in paths[50::100]}
    firsts = [row["file"] for row in rows(output) if row["face"] in (None, 1)]
    assert sorted([*firsts, *wrong]) == sorted(names)
    whole = tmp_path / "whole.parquet"
    analyse_folder(source, whole, make_pipeline=batch_pipelines.slow, n_workers=2)
    assert rows(output) == rows(whole)
    assert wrong == errors(whole)


@pytest.mark.long
def test_ctrl_c_leaves_what_is_done(tmp_path):
    source, output = tmp_path / "pictures", tmp_path / "out.parquet"
    for number in range(1200):
        picture(source / f"{number:04}.png", seed=number)
    said = stop_in_the_middle(source, output, 1, signal.SIGINT)
    assert "the same command goes on from there" in said
    report = analyse_folder(source, output, make_pipeline=batch_pipelines.slow, n_workers=2)
    assert 0 < report.n_done_before < 1200
    assert report.n_files == 1200


@pytest.fixture
def data_set(tmp_path):
    """Three splits of 24 pictures, two of them broken in `test`."""
    datasets = pytest.importorskip("datasets")
    folder = Path(make_dataset(tmp_path / "toys"))
    path = next(folder.glob("data/test*"))
    table = datasets.Dataset.from_parquet(str(path)).cast_column(
        "image", datasets.Image(decode=False)
    )
    broken = table.map(
        lambda row, i: {"image": {"bytes": b"broken", "path": None}} if i in (3, 5) else row,
        with_indices=True,
    )
    broken.cast_column("image", datasets.Image()).to_parquet(str(path))
    return folder


def publish(hub, repo_id, folder):
    for path in folder.rglob("*.*"):
        if path.is_file():
            hub.files[f"datasets/{repo_id}", path.relative_to(folder).as_posix()] = (
                path.read_bytes()
            )


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """`datasets` keeps what it knows of a repository; each test has its own, here too quiet."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_a_folder_of_parquet_files_is_read_as_a_data_set(data_set, own_cache, tmp_path):
    output = tmp_path / "out.parquet"
    with pytest.raises(InputError, match="must have pictures"):
        analyse_folder(data_set, output, **QUICK)
    with pytest.raises(InputError, match=r"`split` must be one of .*'train'.*Received: 'tset'"):
        analyse_folder(data_set, output, split="tset", **QUICK)
    report = analyse_folder(data_set, output, split="test", **QUICK)
    assert (report.n_files, report.n_errors) == (24, 2)
    assert sorted(errors(output)) == ["test/3", "test/5"]
    assert set(files(output)) == {f"test/{n}" for n in range(24) if n not in (3, 5)}


def test_a_data_set_of_the_hub(hub, data_set, own_cache, tmp_path):
    publish(hub, "someone/toys", data_set)
    output = tmp_path / "out.parquet"
    report = analyse_folder("someone/toys", output, split="test", **QUICK)
    assert (report.n_files, report.n_errors) == (24, 2)
    analyse_folder(data_set, tmp_path / "local.parquet", split="test", **QUICK)
    assert rows(output) == rows(tmp_path / "local.parquet")
    hub.fault = 503
    with pytest.raises(HubError, match="someone/toys"):
        analyse_folder("hf://datasets/someone/toys", tmp_path / "b.csv", split="test", **QUICK)


def test_picture_files_of_the_hub_are_called_by_their_paths(hub, own_cache, tmp_path):
    folder = tmp_path / "pictures"
    for number in range(4):
        picture(folder / "train" / f"{number}.png", seed=number)
    break_files([folder / "train" / "0.png"])
    publish(hub, "someone/files", folder)
    output = tmp_path / "out.parquet"
    analyse_folder("hf://datasets/someone/files", output, **QUICK)
    assert files(output) == ["train/1.png", "train/2.png", "train/3.png"]
    assert list(errors(output)) == ["train/0.png"]


def test_an_unknown_data_set_and_one_without_pictures(hub, own_cache, tmp_path):
    with pytest.raises(HubError, match="nobody/nothing"):
        analyse_folder("nobody/nothing", tmp_path / "out.csv", **QUICK)
    hub.files["datasets/someone/words", "train.csv"] = b"a,b\n1,2\n"
    with pytest.raises(InputError, match="column of pictures"):
        analyse_folder("someone/words", tmp_path / "out.csv", **QUICK)


# huggingface_hub 2.4 hands its HTTP library a file in the old way.
uploads = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@uploads
def test_results_are_pushed_to_the_hub(hub, folder, own_cache, tmp_path, monkeypatch):
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    report = analyse_folder(folder, "hf://datasets/me/out", **QUICK)
    assert report.output == "hf://datasets/me/out"
    assert set(hub.tokens) == {"Bearer hf_secret"}
    analyse_folder(folder, tmp_path / "local.parquet", **QUICK)
    faces = datasets.load_dataset("me/out", split="faces").to_list()
    assert sorted(faces, key=lambda row: (row["file"], row["face"] or 0)) == rows(
        tmp_path / "local.parquet"
    )
    (wrong,) = datasets.load_dataset("me/out", "errors", split="errors").to_list()
    assert wrong == errors(tmp_path / "local.parquet")["broken.jpg"]
    assert not (tmp_path / "me--out.parts").exists()
    with pytest.raises(InputError, match="exists"):
        analyse_folder(folder, "hf://datasets/me/out", **QUICK)
    assert analyse_folder(folder, "hf://datasets/me/out", fresh=True, **QUICK).n_files == 4


@uploads
def test_a_push_that_fails_is_tried_again(hub, folder, own_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def fail(progress):
        hub.fault = 500 if progress.n_done == 4 else None

    with pytest.raises(HubError, match=r"me/out.*tries again"):
        analyse_folder(folder, "hf://datasets/me/out", on_progress=fail, **QUICK)
    hub.fault = None
    report = analyse_folder(folder, "hf://datasets/me/out", **QUICK)
    assert report.n_done_before == report.n_files == 4
    assert any(name.startswith("data/faces") for _, name in hub.files)
