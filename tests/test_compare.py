"""What other models make of an example: the table, and the call behind it."""

import asyncio
import re
import threading
from concurrent.futures import Future
from xml.etree import ElementTree

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from fer import Pipeline
from fer import gallery as gallery_module
from fer.annotate import class_color
from fer.classify import Classifier
from fer.gallery import Entry, Gallery, Model, Models, find_gallery
from fer.hub import WEIGHTS_FOLDER
from fer.settings import Settings
from fer.types import ModelConfig
from fer.web.examples import compare as module
from fer.web.examples.compare import make_compare
from fer.web.examples.files import list_examples
from fer.web.examples.tab import build_examples_tab
from fer.web.photo.view import Pictures
from fer.web.server.assets import Assets, find_modules
from fer.web.server.jobs import compare_picture
from fer.web.server.work import InProcess
from tests.conftest import FakeDetector, make_classifier, make_config, make_faces, noise
from tests.test_gallery import WITHOUT_HASH, line, make_model, write_table

HOSTILE = "<script>alert(1)</script>\"'&"


def make_pipeline(n=1, **changes):
    """Faces that are bright, classes "dark" and "bright"."""
    boxes = [[3 * i, 20, 3 * i + 30, 60] for i in range(n)]
    return Pipeline(FakeDetector(make_faces(*boxes)), make_classifier(**changes))


def make_other(recipe, names, logits, title=None, idea="Tries it.", top1=50.0):
    """A model that always answers the same."""

    def network(pixels):
        return np.tile(np.float32(logits), (len(pixels), 1))

    entry = Entry(recipe, title or f"The {recipe}", idea, top1, len(names), "0" * 64)
    return Model(entry, Classifier(network, make_config(class_names=names)))


def pictures(pipeline=None):
    """Where pictures wait, and are worked on in this process."""
    return Pictures(InProcess(pipeline or make_pipeline()))


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((120, 200, 3), 230, np.uint8)).save(path)
    return path


def parsed(text):
    """The tree of what is shown; fails where the HTML is not whole."""
    return ElementTree.fromstring(re.sub(r"<(br|img)\b[^>]*[^/]>", "", text))


def words(node):
    return " ".join("".join(node.itertext()).split())


def rows_of(part):
    """Class, head, answer, verdict and bars of each row of a face's table."""
    rows = []
    for row in part.find("table").find("tbody"):
        cell = row.find("td")
        said = cell.find("p")
        bars = [(one[0].text, one.find("span[@class='percent']").text) for one in cell[1:]]
        rows.append((row.get("class"), words(row.find("th")), words(said), bars))
    return rows


def test_a_row_for_each_model_with_what_it_says(photo):
    models = Models(
        (
            make_other("turned", ("bright", "dark"), (3, 0), top1=None),
            make_other("wrong", ("dark", "bright"), (0.1, 0), top1=44.26),
            make_other("lacks", ("dark", "gray", "odd"), (0, 0, 4)),
        )
    )
    tree = parsed(compare_picture(make_pipeline(), models, photo, "bright, set"))
    (part,) = tree.findall("div")
    assert words(part.find("p[@class='of']")) == "Caption: bright, set"
    total = words(part.find("p[@class='sum']"))
    assert total == "1 of 3 other models give the answer of this page, bright."
    own, turned, wrong, lacks = rows_of(part)
    assert own[0] == "own"
    assert own[2] == "bright this page"
    assert [name for name, _ in own[3]] == ["bright", "dark"]
    assert (turned[0], turned[2]) == ("same", "bright = same")
    assert turned[3] == [("bright", "95 %"), ("dark", "5 %")]
    assert turned[1] == "The turnedTries it.Test: not measured"
    assert (wrong[0], wrong[2]) == ("differs", "uncertain: dark? ≠ differs")
    assert wrong[1].endswith("Test: 44.3 % right, 2 classes")
    assert (lacks[0], lacks[2]) == ("differs", "odd ≠ has no bright")
    assert lacks[3][0] == ("odd", "96 %")
    assert len(lacks[3]) == 3


def test_a_class_has_one_colour_whatever_its_place_in_a_model(photo):
    models = Models(
        (
            make_other("turned", ("bright", "dark"), (3, 0)),
            make_other("more", ("odd", "dark"), (3, 0)),
        )
    )
    tree = parsed(compare_picture(make_pipeline(), models, photo, ""))
    colors = {}
    for bar in tree.iter("div"):
        if bar.get("class") == "fer-bar":
            fill = bar.find("span[@class='track']").find("span")
            found = re.search(r"background:(#\w+)", fill.get("style"))[1]
            colors.setdefault(bar[0].text, set()).add(found)
    assert colors == {name: {class_color(i)} for i, name in enumerate(("dark", "bright", "odd"))}
    for answer in tree.iter("span"):
        if "answer" in (answer.get("class") or ""):
            assert f"--color:{class_color(1 if words(answer) == 'bright' else 2)};" in answer.get(
                "style"
            )


def test_an_uncertain_page_says_so(photo):
    models = Models((make_other("a", ("dark", "bright"), (3, 0)),))
    tree = parsed(compare_picture(make_pipeline(uncertain_below=1.0), models, photo, ""))
    assert words(tree.find("div/p[@class='sum']")).endswith(", bright, though it is uncertain.")
    own = tree.find("div/table/tbody/tr")
    assert own.find("td/p/span").get("class") == "answer doubt"
    assert words(own.find("td/p/span")) == "uncertain: bright?"


def test_the_page_s_own_row_has_what_the_table_tells_of_it(photo):
    other = make_other("a", ("dark", "bright"), (3, 0))
    told = Entry("toy", "The flagship", "All of it.", 70.44, 2, "0" * 64)
    for models, head in (
        (Models((other,), (), told), "The flagshipAll of it.Test: 70.4 % right, 2 classes"),
        (
            Models((other,)),
            "The model of this pageIt gives the answers on all tabs.Test: not measured",
        ),
    ):
        tree = parsed(compare_picture(make_pipeline(), models, photo, ""))
        assert rows_of(tree.find("div"))[0][1] == head


def test_one_crop_of_each_face_goes_through_all_models(photo):
    seen = []

    class Watched(Model):
        def __call__(self, result, crops):
            seen.append([id(crop) for crop in crops])
            return super().__call__(result, crops)

    models = [make_other(name, ("dark", "bright"), (3, 0)) for name in "ab"]
    watched = Models(tuple(Watched(one.entry, one.classifier) for one in models))
    compare_picture(make_pipeline(3), watched, photo, "")
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3


@pytest.mark.parametrize("n", [0, 1, 3, 40])
def test_a_table_for_each_face_of_which_one_is_seen(photo, n):
    models = Models((make_other("a", ("dark", "bright"), (3, 0)),))
    text = compare_picture(make_pipeline(n), models, photo, "many")
    if n == 0:
        assert text == ""
        return
    parts = parsed(text).findall("div")
    assert [part.get("data-face") for part in parts] == [str(i) for i in range(min(n, 17))]
    assert [part.get("hidden") for part in parts] == [None] + [""] * (len(parts) - 1)
    if n > 1:
        assert words(parts[1].find("p")) == f"Caption: many · face 2 of {n}"
    if n == 40:
        assert words(parts[-1]) == "Of the 40 faces the first 16 are compared."
    assert len(text) < 100_000


def test_it_is_a_table_for_whoever_cannot_see_it(photo):
    """Also where its rows are cards, which takes the meaning of the elements away."""
    models = Models((make_other("a", ("dark", "bright"), (3, 0)),))
    tree = parsed(compare_picture(make_pipeline(), models, photo, ""))
    assert tree.get("aria-label")
    roles = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}
    for tag, role in roles.items():
        assert {node.get("role") for node in tree.iter(tag)} == {role}
    for head in tree.iter("th"):
        expected = {"col": "columnheader", "row": "rowheader"}[head.get("scope")]
        assert head.get("role") == expected
    assert {svg.get("aria-hidden") for svg in tree.iter("svg")} <= {"true"}


def test_nothing_that_is_told_becomes_html(photo):
    names = (HOSTILE, "bright")
    models = Models(
        (make_other("a", names, (3, 0), title=HOSTILE, idea=HOSTILE),),
        (Entry("b", HOSTILE, HOSTILE, None, 2, "0" * 64),),
        Entry("toy", HOSTILE, HOSTILE, None, 2, "0" * 64),
    )
    text = compare_picture(make_pipeline(), models, photo, HOSTILE)
    assert "<script" not in text
    tree = parsed(text)
    assert words(tree).count(HOSTILE) == 8
    assert f"Not available right now: {HOSTILE}." in words(tree)


# The call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    from tests.test_gallery import toy_network

    monkeypatch.setattr(gallery_module, "litert_network", toy_network)
    folder = tmp_path / "models"
    write_table(folder, line("a"), line("gone"))
    make_model(folder / "a", ("dark", "bright"))
    return folder


def called(compare, path, n=1):
    """What `n` visitors see in the end who ask at the same time."""

    async def call():
        one = (all_of(compare(path, "a caption", None)) for _ in range(n))
        return [texts[-1] for texts in await asyncio.gather(*one)]

    return asyncio.run(call())


async def all_of(texts):
    return [text async for text in texts]


def test_a_click_loads_the_models_and_compares(folder, photo):
    gallery = Gallery(folder)
    compare = make_compare(gallery, pictures())
    assert gallery.models is None
    first, second = called(compare, photo, 2)
    assert first == second
    assert asyncio.run(all_of(compare(photo, "a caption", None))) == [first]
    assert "1 of 1" in words(parsed(first))
    assert "Not available right now: The gone." in words(parsed(first))


def test_own_weights_of_a_recipe_that_is_told_of_have_a_row_of_their_own(folder, photo):
    """They show no figures of the bundled model, which stands below like any other."""
    bundled = ModelConfig.read(WEIGHTS_FOLDER)
    told = line(bundled.recipe, 7, 70.4, bundled.files["model.tflite"])
    write_table(folder, line("a"), told | {"title": "Taught by two models"})
    for sha256, heads in (
        ("0" * 64, ["The model of this page", "The a", "Taught by two models"]),
        (bundled.files["model.tflite"], ["Taught by two models", "The a"]),
    ):
        pipeline = make_pipeline(recipe=bundled.recipe, files={"model.tflite": sha256})
        gallery = Gallery(folder, flagship=sha256)
        (answer,) = called(make_compare(gallery, pictures(pipeline)), photo)
        rows = list(parsed(answer).find("div/table/tbody"))
        assert [row.find("th/b").text for row in rows] == heads
        assert [row.get("class") == "own" for row in rows] == [True] + [False] * (len(rows) - 1)
        figures = {row.find("th/b").text: row.findall("th/span")[-1].text for row in rows}
        assert len(figures) == len(rows)
        assert figures["Taught by two models"] == "Test: 70.4 % right, 7 classes"
        assert figures.get("The model of this page") in (None, "Test: not measured")


@pytest.mark.parametrize("broken", ["table", "old table", "models"])
def test_without_models_nothing_is_shown(folder, photo, broken):
    if broken == "table":
        (folder / "models.json").unlink()
    elif broken == "old table":
        write_table(folder, WITHOUT_HASH)
    else:
        write_table(folder, line("gone"))
    assert called(make_compare(Gallery(folder), pictures()), photo) == [""]


def test_a_slow_hub_is_not_waited_for_and_takes_no_turn(folder, photo, monkeypatch):
    gallery = Gallery(folder)
    go = threading.Event()
    original = Gallery._read_all

    def wait(self):
        assert go.wait(30)
        return original(self)

    monkeypatch.setattr(Gallery, "_read_all", wait)
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)

    class Nobody:
        async def compare(self, *_):
            raise AssertionError("it is not its turn")

    answers = called(make_compare(gallery, Nobody()), photo, 3)
    assert ["still loading" in answer for answer in answers] == [True] * 3
    assert "table" not in answers[0]
    monkeypatch.setattr(module, "_PATIENCE_S", 30)

    async def watch():
        texts = []
        async for text in make_compare(gallery, pictures())(photo, "", None):
            texts.append(text)
            go.set()
        return texts

    waiting, table = asyncio.run(watch())
    assert words(parsed(waiting)) == "Loading the other models ..."
    assert "1 of 1" in table
    (answer,) = called(make_compare(gallery, pictures()), photo)
    assert "1 of 1" in answer


def test_who_asks_too_much_is_told_so(folder, photo, monkeypatch):
    monkeypatch.setattr("fer.web.photo.view.find_host", lambda request: "192.0.2.7")
    limited = Pictures(InProcess(make_pipeline()), max_per_minute=1)
    compare = make_compare(Gallery(folder), limited)
    first, second = called(compare, photo, 2)
    assert "table" in first
    assert "in a moment" in words(parsed(second))
    assert "table" not in second


def test_a_picture_that_cannot_be_read_is_told_of_above(folder, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"Dear Sir or Madam")
    compare = make_compare(Gallery(folder), pictures())
    assert called(compare, tmp_path / "photo.jpg") == [""]


def test_a_crash_is_a_message_without_details(folder, photo, caplog):
    def crash(frame):
        raise RuntimeError("secret detail")

    pipeline = Pipeline(crash, make_classifier())
    (answer,) = called(make_compare(Gallery(folder), pictures(pipeline)), photo)
    assert words(parsed(answer)) == "The other models failed."
    assert "secret detail" in caplog.text


# The tab


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Two pictures in the place of the examples."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(noise(90, 160)).save(folder / name)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("fer.web.examples.files.EXAMPLES_FOLDER", folder)
    return folder


def components(page):
    return {block.elem_id: block for block in page.blocks.values() if block.elem_id}


def build(**settings):
    async def blocks():  # where no loop runs, Gradio opens some and leaves them open
        with gr.Blocks(analytics_enabled=False) as page:
            others = find_gallery(Settings(**settings))
            assets = Assets(find_modules())
            build_examples_tab(make_pipeline(), pictures(), assets, list_examples(), others)
        return page

    return asyncio.run(blocks())


def test_without_other_models_the_tab_has_no_such_part(folder, own, monkeypatch):
    monkeypatch.setattr(gallery_module, "GALLERY_FOLDER", folder / "nowhere")
    page = build()
    assert "compare" not in components(page)
    assert "other models" not in str(page.config["components"])


def test_with_other_models_it_has_and_loads_nothing_yet(folder, own, monkeypatch):
    def begin(self):
        raise AssertionError("nobody has asked")

    monkeypatch.setattr(Gallery, "begin", begin)
    page = build(gallery_dir=folder)
    assert components(page)["compare"].value is None
    assert "other models" in str(page.config["components"])
    assert {fn.api_visibility for fn in page.fns.values()} == {"private"}


@pytest.mark.parametrize("index", [None, -1, 2, 10**9])
def test_a_number_that_no_picture_has_is_nothing(folder, own, index):
    page = build(gallery_dir=folder)
    (compare,) = (fn.fn for fn in page.fns.values() if fn.name == "compare_example")
    assert asyncio.run(all_of(compare(index, None))) == []
    assert "Caption: b" in asyncio.run(all_of(compare(1, None)))[-1]


def test_an_attempt_never_raises_to_who_waits(folder, photo, monkeypatch):
    """Even one that ends between two looks."""
    gallery = Gallery(folder)
    done: Future[Models] = Future()
    done.set_result(Models())
    monkeypatch.setattr(Gallery, "begin", lambda self: done)
    assert "still loading" in called(make_compare(gallery, pictures()), photo)[0]
