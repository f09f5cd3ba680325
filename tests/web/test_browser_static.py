"""The page without a server in headless Chromium, served by Python's own below a path."""

import csv
import functools
import json
import re
import shutil
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from bench.site import Site
from fer.hub import WEIGHTS_FOLDER, load_classifier
from fer.image import read_image
from fer.types import ModelConfig
from tests.conftest import ROOT, YUNET, saved, shared
from tests.train.test_static import MAX_BYTES, base_of
from tests.two_classes import NAMES, make_two_classes
from train.publish import static
from train.publish.static import static_files

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HERE = "Runs on this device: no frame leaves it."
WINDOW = {"width": 1280, "height": 900}
# In docs/api.md.
HOST = "https://<you>-<name>.static.hf.space/"
# Tells what the policy of the page refused, also in its workers' stead.
WATCH = """
window.refused = [];
addEventListener("securitypolicyviolation", (event) => window.refused.push(event.blockedURI));
"""


@pytest.fixture(scope="module")
def files():
    return static_files(yunet_path=shared("models", YUNET.name))


@pytest.fixture
def site(tmp_path, files):
    site = Site(tmp_path)
    site.publish(files)
    yield site
    site.close()


@pytest.fixture
def visit(camera, site):
    """Opens the page; its requests gather in `hosts`, and at the end none may have had an error."""
    contexts = []

    def visit(context=None, script=WATCH, **options):
        if context is None:
            context = camera.new_context(viewport=WINDOW, permissions=["camera"], **options)
            contexts.append(context)
        page = context.new_page()
        page.problems, page.hosts = [], set()
        page.add_init_script(script)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda request: page.hosts.add(urlsplit(request.url).netloc))
        page.goto(site.url)
        page.wait_for_selector("#live .start:enabled")
        pages.append(page)
        return page

    pages = []
    yield visit
    for page in pages:
        if page.is_closed():
            continue
        assert page.problems == []
        assert page.evaluate("window.refused") == []
        assert {host for host in page.hosts if host} == {urlsplit(site.url).netloc}
    for context in contexts:
        context.close()


def n_answers(page):
    return int(page.get_attribute("#live .stage", "data-answers") or 0)


def wait_until(holds, timeout_s=20.0):
    """Wait here: the page's policy forbids what Playwright would evaluate in it."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def wait_for_answers(page, n=5):
    goal = n_answers(page) + n
    wait_until(lambda: n_answers(page) >= goal)


def wait_until_kept(page, n):
    """Wait until the worker has kept so many files of the page."""
    count = """async () => {
      let n = 0;
      for (const name of await caches.keys())
        for (const { url } of await (await caches.open(name)).keys()) n += url.includes("sha256/");
      return n;
    }"""
    wait_until(lambda: page.evaluate(count) == n)


def n_kept(files):
    """How many different files the worker keeps."""
    base = base_of(files)
    return len({content for name, content in files.items() if name.startswith(base)}) + 1


def start_camera(page):
    page.click("#live .start")
    wait_for_answers(page, 1)
    expect(page.locator("#live .where")).to_have_text(HERE, use_inner_text=True)


def show_tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_a_first_visit(visit, site, files, tmp_path):
    # This Chromium allows the camera to every page; most visitors are asked.
    asks = "navigator.permissions.query = async () => ({ state: 'prompt' });"
    page = visit(script=WATCH + asks, accept_downloads=True)
    page.wait_for_timeout(500)
    assert site.n_bytes < 500_000  # nothing heavy until it is wanted
    # It is seen, too: Playwright would wait for what is not, a visitor would leave.
    style = "getComputedStyle(document.querySelector('#live .start'))"
    assert page.evaluate(f"{style}.visibility") == "visible"
    page.hover("#live .start")
    page.wait_for_selector("#live .where:has-text('Loading the recogniser')")
    start_camera(page)
    wait_for_answers(page, 10)
    wait_until_kept(page, n_kept(files))
    assert site.n_bytes < MAX_BYTES
    assert {code for code, _ in site.asked} <= {200, 304}
    paths = [path for code, path in site.asked if code == 200]
    for name in ("model_web.onnx", "ort-wasm-simd-threaded.wasm.gz"):
        assert sum(path.endswith(name) for path in paths) == 1
    before = len(site.asked)
    wait_for_answers(page, 20)
    assert len(site.asked) == before
    page.click("#live .stop")
    page.click("#live .save summary")
    with page.expect_download() as waiting:
        page.click("#live .csv")
    waiting.value.save_as(tmp_path / "faces.csv")
    with (tmp_path / "faces.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n_answers(page)
    names = load_classifier().config.class_names
    assert {row["label"] for row in rows} <= set(names)


@pytest.mark.long
def test_the_sample_clip_is_fetched_when_it_is_watched(visit, site):
    page = visit()
    page.wait_for_timeout(300)
    assert not [path for _, path in site.asked if path.endswith(".mp4")]
    page.click("#live .sample")
    wait_for_answers(page)
    assert [path for _, path in site.asked if path.endswith(".mp4")]
    expect(page.locator("#live .fer-card")).to_be_visible()


@pytest.mark.long
def test_the_second_visit_needs_no_network(visit, site, files):
    page = visit()
    start_camera(page)
    wait_until_kept(page, n_kept(files))
    page.close()
    site.close()
    again = visit(page.context)
    start_camera(again)
    show_tab(again, "Examples")
    names = re.findall(r"pictures/(\w[\w-]*)\.jpg", " ".join(files))
    expect(again.locator("#examples-gallery .strip button")).to_have_count(len(names))
    again.get_by_role("button", name="group of 9").click()
    # The first example comes by itself, and may be shown before.
    again.wait_for_selector("#example .count:text-is('9 faces')", timeout=20_000)
    expect(again.locator("#example .where")).to_contain_text(
        "Analysed on this device", use_inner_text=True
    )


def change(weights, folder):
    """Weights whose answers are others, in a folder of their own."""
    folder.mkdir()
    for name in ("fer.json", "model.tflite", "model_web.onnx"):
        (folder / name).write_bytes((weights / name).read_bytes())
    config = json.loads((folder / "fer.json").read_text())
    config["recipe"] = "newer"
    (folder / "fer.json").write_text(json.dumps(config))
    return folder


@pytest.mark.long
def test_a_new_version_is_whole_before_it_is_shown(visit, site, files, tmp_path):
    page = visit()
    start_camera(page)
    wait_until_kept(page, n_kept(files))
    newer = static_files(change(WEIGHTS_FOLDER, tmp_path / "newer"), yunet_path=YUNET)
    assert base_of(newer) != base_of(files)
    site.publish({name: data for name, data in newer.items() if not name.endswith("fer.json")})
    page.reload()  # finds the new version, of which a file is missing
    wait_until(lambda: (404, f"/some/where/{base_of(newer)}model/fer.json") in site.asked)
    site.publish(newer)
    page.reload()
    page.wait_for_selector(".newer:visible")
    expect(page.locator(".fer-status")).to_contain_text(ModelConfig.read(WEIGHTS_FOLDER).recipe)
    # The old page has all its files, which the site has no more.
    old = f"{base_of(files)}model/model_web.onnx"
    assert not (site.folder / old).exists()
    assert page.evaluate("async (path) => (await fetch(path)).status", old) == 200
    site.clear()
    page.click(".newer button")
    page.wait_for_selector(".fer-status:has-text('newer')")
    start_camera(page)
    wait_until_kept(page, n_kept(newer))
    # What did not change was not fetched again.
    assert not [path for _, path in site.asked if path.endswith(("model_web.onnx", ".gz"))]


OUT_OF_MEMORY = b"""
WebAssembly.instantiate = async () => { throw new RangeError("could not allocate memory"); };
"""
NO_SIMD = b"WebAssembly.validate = () => false;"
LONG = functools.partial(pytest.param, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("file", "spoil", "said"),
    [
        ("model/model_web.onnx", lambda data: data[:100_000], "model_web.onnx is damaged"),
        LONG("local/worker.js", lambda data: b"delete self.WebAssembly;" + data, "no WebAssembly"),
        LONG("local/worker.js", lambda data: NO_SIMD + data, "no SIMD"),
        LONG("model/fer.json", lambda data: b'{"version": 9}', "is of version 9"),
        LONG("model/face_detection_yunet_2023mar.onnx", lambda data: b"", "is damaged"),
        LONG("local/ort/ort-wasm-simd-threaded.wasm.gz", lambda data: data[:9000], "is cut off"),
        LONG("local/worker.js", lambda data: OUT_OF_MEMORY + data, "not enough free memory"),
    ],
)
def test_what_hinders_is_told_in_one_sentence(visit, site, files, file, spoil, said):
    name = base_of(files) + file
    site.publish({**files, name: spoil(files[name])})
    page = visit()
    page.click("#live .start")
    page.wait_for_selector(f"#live .where:has-text('{said}')")
    page.wait_for_selector("#live .hint:has-text('does not run')")
    page.wait_for_selector("#live .faces:has-text('does not run')")
    assert not re.search(r"[0-9a-f]{16}|Received|JSON", page.inner_text("#live"))
    assert page.inner_text("#live").count(said) == 1
    page.click("#live .stop")
    expect(page.locator("#live .save")).to_be_hidden()


@pytest.mark.long
def test_a_file_that_was_missing_is_asked_for_again_at_the_next_start(visit, site, files):
    name = base_of(files) + "model/fer.json"
    (site.folder / name).unlink()
    page = visit()
    page.click("#live .start")
    page.wait_for_selector("#live .where:has-text('HTTP 404')")
    page.click("#live .stop")
    show_tab(page, "Photo")
    page.set_input_files("#photo .give input[type=file]", PHOTO)
    page.wait_for_selector("#photo .fer-error:has-text('HTTP 404')")
    site.publish(files)
    show_tab(page, "Live")
    start_camera(page)


PHOTO = str(ROOT / "examples" / "astronaut_happy.jpg")


@pytest.mark.long
def test_a_photo_stays_on_the_device(visit, site, tmp_path):
    page = visit(accept_downloads=True)
    page.focus("[role=tab]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#live")).to_be_hidden()
    page.set_input_files("#photo .give input[type=file]", PHOTO)
    page.wait_for_selector("#photo .detail:visible", timeout=20_000)
    expect(page.locator("#photo .where")).to_contain_text(
        "Analysed on this device", use_inner_text=True
    )
    expect(page.locator("#photo .detail h2")).to_contain_text("happy")
    page.wait_for_selector("#photo .map[data-state=shown]", timeout=20_000)
    before = len(site.asked)
    for button, ending in (("csv", ".csv"), ("json", ".json"), ("annotated", ".jpg")):
        download = saved(page, button)
        assert download.suggested_filename == f"astronaut_happy_expressions{ending}"
        download.save_as(tmp_path / f"faces{ending}")
    with (tmp_path / "faces.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["happy"]
    assert read_image(tmp_path / "faces.jpg").shape == read_image(PHOTO).shape
    assert len(site.asked) == before


@pytest.mark.long
def test_a_host_that_has_the_browser_unpack_files_is_no_hindrance(visit, site):
    site.encodings[".gz"] = "gzip"
    start_camera(visit())


@pytest.mark.long
def test_two_classes_of_ones_own(visit, site, tmp_path, monkeypatch):
    classifier = make_two_classes(tmp_path / "two")
    monkeypatch.setattr(static, "load_folder", lambda _: classifier)
    site.publish(static_files(tmp_path / "two", yunet_path=shared("models", YUNET.name)))
    page = visit()
    show_tab(page, "Photo")
    page.set_input_files("#photo .give input[type=file]", PHOTO)
    page.wait_for_selector("#photo .detail:visible", timeout=20_000)
    expect(page.locator("#photo .bars [data-name]")).to_have_count(2)
    expect(page.locator("#photo .detail h2")).to_contain_text(re.compile("|".join(NAMES)))


@pytest.mark.long
def test_a_model_with_votes_shows_ten_of_them(visit, site, tmp_path, monkeypatch):
    classifier = make_two_classes(tmp_path / "two", has_votes=True)
    monkeypatch.setattr(static, "load_folder", lambda _: classifier)
    site.publish(static_files(tmp_path / "two", yunet_path=shared("models", YUNET.name)))
    page = visit()
    start_camera(page)
    expect(page.locator("#live .votes")).to_have_count(0)
    page.check("#live .ask-votes")
    page.wait_for_selector("#live .votes:has-text('4 top, 3 bottom, 3 other')")
    expect(page.locator("#live .votes i")).to_have_count(10)
    page.uncheck("#live .ask-votes")
    page.wait_for_selector("#live .votes", state="detached")


@pytest.mark.long
def test_the_lines_for_other_pages_run_as_written(chromium, site, tmp_path):
    """On a page of another origin, to which the host gives its files."""
    (html,) = re.findall(r"```html\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.S)
    assert html.count(HOST) == 1
    site.headers["access-control-allow-origin"] = "*"
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(PHOTO, folder / "face.jpg")
    text = '<link rel="icon" href="data:,">' + html.replace(HOST, site.url)
    (folder / "index.html").write_text(text, encoding="utf-8")
    other = Site(folder, "")
    page = chromium().new_context().new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(other.url)
    wait_until(lambda: page.evaluate("true") and said)
    other.close()
    assert re.match(r"happy false .*happy: 0\.\d+", said[0]), said


@pytest.mark.long
def test_it_is_readable_in_the_dark_and_on_a_phone(visit):
    dark = visit(color_scheme="dark")
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(11, 15, 25)"
    phone = visit()
    phone.set_viewport_size({"width": 390, "height": 844})
    for name in ("Live", "Photo", "Examples"):
        show_tab(phone, name)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
