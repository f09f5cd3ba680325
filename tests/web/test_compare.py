"""What other models make of a face: the answer, and the parts of the page that show it."""

import asyncio
import threading
from concurrent.futures import Future

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from fer import gallery as gallery_module
from fer.classify import Classifier
from fer.gallery import Entry, Gallery, Model, Models, find_gallery
from fer.settings import Settings
from fer.web.examples import compare as module
from fer.web.examples.compare import Comparison, compare_crop, make_compare_face
from fer.web.examples.files import list_examples
from fer.web.examples.tab import build_examples_tab, read_pictures
from fer.web.photo.tab import build_photo_tab
from fer.web.photo.view import Pictures
from fer.web.server.assets import Assets, find_modules
from fer.web.server.jobs import data_url
from fer.web.server.work import InProcess
from tests.conftest import FakeDetector, make_classifier, make_config, make_faces, noise
from tests.fer.test_gallery import WITHOUT_HASH, line, make_model, write_table

CROP = np.full((60, 60, 3), 230, np.uint8)


def make_pipeline():
    from fer import Pipeline

    return Pipeline(FakeDetector(make_faces([3, 20, 33, 60])), make_classifier())


def make_other(recipe, names, logits, top1=50.0, **changes):
    """A model that always answers the same."""

    def network(pixels):
        return np.tile(np.float32(logits), (len(pixels), 1))

    entry = Entry(recipe, f"The {recipe}", "Tries it.", top1, len(names), "0" * 64)
    return Model(entry, Classifier(network, make_config(class_names=names, **changes)))


def test_each_model_says_what_it_sees_and_what_it_is():
    told = Entry("toy", "Main model", "All of it.", 70.44, 2, "0" * 64)
    gone = Entry("gone", "The gone", "Tries it.", None, 2, "0" * 64)
    others = (
        make_other("turned", ("bright", "dark"), (3, 0), top1=None),
        make_other("lacks", ("dark", "gray", "odd"), (0, 0, 4)),
        make_other("doubts", ("dark", "bright"), (0.1, 0), uncertain_below=0.6),
    )
    answer = compare_crop(CROP, Models(others, (gone,), told))
    assert answer["own"] == {
        **{"title": "Main model", "idea": "All of it."},
        **{"top1": 70.44, "n_classes": 2},
    }
    assert answer["missing"] == ["The gone"]
    turned, lacks, _ = answer["others"]
    assert (turned["title"], turned["top1"], turned["label"]) == ("The turned", None, "bright")
    assert turned["probs"] == pytest.approx({"bright": 0.9526, "dark": 0.0474}, abs=1e-3)
    assert (lacks["label"], list(lacks["probs"])) == ("odd", ["dark", "gray", "odd"])
    assert [row["uncertain"] for row in answer["others"]] == [False, False, True]
    assert compare_crop(CROP, Models()) == {"own": None, "others": [], "missing": []}


# The call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    from tests.fer.test_gallery import toy_network

    monkeypatch.setattr(gallery_module, "litert_network", toy_network)
    folder = tmp_path / "models"
    write_table(folder, line("a"), line("gone"))
    make_model(folder / "a", ("dark", "bright"))
    return folder


REQUEST = {"crop": data_url(CROP), "visitor": "me"}


def called(compare, request=REQUEST, n=1, host="here"):
    """What `n` visitors get who ask at the same time."""

    async def call():
        return await asyncio.gather(*(compare(request, host) for _ in range(n)))

    return asyncio.run(call())


def test_a_face_loads_the_models_and_is_compared(folder):
    gallery = Gallery(folder)
    assert gallery.count() == 2
    assert gallery.models is None
    (answer,) = called(make_compare_face(gallery))
    assert [row["title"] for row in answer["others"]] == ["The a"]
    assert answer["missing"] == ["The gone"]


@pytest.mark.parametrize(
    "request_",
    [None, [], {}, {"crop": None}, {"crop": "data:image/jpeg;base64,"}, {"crop": "x" * 800_000}],
)
def test_what_is_no_face_is_refused(folder, request_):
    (answer,) = called(make_compare_face(Gallery(folder)), request_)
    assert answer["error"]["code"] == "bad_request"


@pytest.mark.parametrize("broken", ["table", "old table", "models"])
def test_without_models_there_are_no_rows(folder, broken):
    if broken == "table":
        (folder / "models.json").unlink()
    elif broken == "old table":
        write_table(folder, WITHOUT_HASH)
    else:
        write_table(folder, line("gone"))
    gallery = Gallery(folder)
    assert gallery.count() == (1 if broken == "models" else None)
    (answer,) = called(make_compare_face(gallery))
    assert answer["others"] == []


def test_a_slow_hub_is_not_waited_for_and_takes_no_turn(folder, monkeypatch):
    gallery = Gallery(folder)
    go = threading.Event()
    original = Gallery._read_all

    def wait(self):
        assert go.wait(30)
        return original(self)

    monkeypatch.setattr(Gallery, "_read_all", wait)
    monkeypatch.setattr(module, "_LOADING_S", 0.05)
    compare = make_compare_face(gallery)
    answers = called(compare, n=3)
    assert [answer["error"]["code"] for answer in answers] == ["busy"] * 3
    go.set()
    gallery.load()
    (answer,) = called(compare)
    assert len(answer["others"]) == 1


def test_an_attempt_never_raises_to_who_waits(folder, monkeypatch):
    """Even one that ends between two looks."""
    done: Future[Models] = Future()
    done.set_result(Models())
    monkeypatch.setattr(Gallery, "begin", lambda self: done)
    assert called(make_compare_face(Gallery(folder)))[0]["error"]["code"] == "busy"


def test_who_asks_too_much_is_told_so(folder):
    compare = make_compare_face(Gallery(folder), max_per_minute=1)
    first, second = called(compare, REQUEST | {"visitor": None}, 2, "192.0.2.7")
    assert "others" in first
    assert second["error"]["code"] == "busy"
    assert second["error"]["retry_after_ms"] > 0


def test_a_crash_is_a_message_without_details(folder, monkeypatch, caplog):
    def crash(crop, models):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(module, "compare_crop", crash)
    (answer,) = called(make_compare_face(Gallery(folder)))
    assert answer["error"]["code"] == "internal"
    assert "secret" not in str(answer)
    assert "secret detail" in caplog.text


# The tabs


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Two pictures in the place of the examples."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(noise(90, 160)).save(folder / name)
    table = "file,caption,expression\na.png,Set to: dark,dark\n"
    (folder / "SOURCES.csv").write_text(table, encoding="utf-8")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("fer.web.examples.files.EXAMPLES_FOLDER", folder)
    return folder


def components(page):
    return {block.elem_id: block for block in page.blocks.values() if block.elem_id}


def build(**settings):
    async def blocks():  # where no loop runs, Gradio opens some and leaves them open
        pipeline = make_pipeline()
        pictures = Pictures(InProcess(pipeline))
        with gr.Blocks(analytics_enabled=False) as page:
            others = find_gallery(Settings(**settings))
            assets = Assets(find_modules())
            comparison = Comparison(pipeline, others, assets, None) if others else None
            build_photo_tab(pipeline, pictures, assets, None, comparison)
            shown = read_pictures(list_examples())
            build_examples_tab(pipeline, pictures, assets, shown, comparison, None)
        return page

    return asyncio.run(blocks())


def test_without_other_models_the_tabs_have_no_such_part(folder, own, monkeypatch):
    monkeypatch.setattr(gallery_module, "GALLERY_FOLDER", folder / "nowhere")
    page = build()
    assert not {"compare", "photo-compare"} & set(components(page))
    assert "other models" not in str(page.config["components"])


def test_with_other_models_they_have_and_load_nothing_yet(folder, own, monkeypatch):
    def begin(self):
        raise AssertionError("nobody has asked")

    monkeypatch.setattr(Gallery, "begin", begin)
    page = build(gallery_dir=folder)
    parts = components(page)
    examples, photo = parts["compare"].props, parts["photo-compare"].props
    assert (examples["at_click"], photo["at_click"]) == (False, True)
    assert (examples["view_id"], photo["view_id"]) == ("example", "photo")
    assert examples["expressions"] == {"a": "dark", "b": ""}
    assert examples["n_others"] == photo["n_others"] == 2
    assert {fn.api_visibility for fn in page.fns.values()} == {"private"}
