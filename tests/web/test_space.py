"""The Space as its users get it: built, installed, preloaded and started as the Hub does it."""

import re
import subprocess
from urllib.parse import urlsplit

import httpx
import pytest
from huggingface_hub import hf_hub_download
from playwright.sync_api import expect

import fer
from bench.space import front_matter, make_environment, serve_space
from fer.hub import _YUNET_FILE, _YUNET_REPO, _YUNET_REVISION, WEIGHTS_FOLDER
from tests.conftest import HUB, ROOT, YUNET
from train.publish.files import write_folder
from train.publish.space import space_files

pytestmark = [pytest.mark.long, pytest.mark.browser]

MODEL = "someone/fer"
# What belongs to training, to data sets and to clusters.
HEAVY = ("tensorflow", "keras", "datasets", "ray", "torch", "jax", "matplotlib", "sklearn")


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The folder of the Space and the Python that runs it."""
    made = tmp_path_factory.mktemp("space")
    folder = made / "app"
    HUB.reset()
    fill_hub()
    write_folder(space_files(ROOT, MODEL, HUB.commit(MODEL)), folder)
    return folder, make_environment(folder, made / "environment")


def fill_hub():
    """The repositories that the README's `preload_from_hub` names."""
    for name in ("fer.json", "model.tflite", "model_web.onnx"):
        HUB.files[MODEL, name] = (WEIGHTS_FOLDER / name).read_bytes()
    yunet = YUNET.read_bytes() if YUNET.exists() else b"not here"
    HUB.files[_YUNET_REPO, _YUNET_FILE] = yunet
    HUB.snapshots[_YUNET_REPO, _YUNET_REVISION] = {_YUNET_FILE: yunet}


def preload(folder, home):
    """Download what the README asks for into the Space's cache, as the Hub's builder does."""
    for line in front_matter(folder)["preload_from_hub"]:
        repo_id, names, revision = line.split()
        for name in names.split(","):
            cache = home / ".cache" / "huggingface" / "hub"
            hf_hub_download(repo_id, name, revision=revision, cache_dir=cache, endpoint=HUB.url)


@pytest.fixture
def start(space, hub, tmp_path):
    """Starts the Space as publishing it sets it up, without a Hub that answers from then on."""
    folder, python = space

    def run(**more):
        fill_hub()
        preload(folder, tmp_path)
        hub.fault = 503
        hub.requests.clear()
        variables = {"FER_MODEL_REPO": MODEL, "FER_MODEL_REVISION": hub.commit(MODEL)}
        return serve_space(python, folder, tmp_path, HF_ENDPOINT=hub.url, **variables | more)

    return run


def test_it_installs_without_what_serving_does_not_need(space):
    folder, python = space
    code = f"""
import importlib.util, importlib.metadata as m
print([name for name in {HEAVY!r} if importlib.util.find_spec(name)])
print(m.version("gradio"), m.version("spaces"))
"""
    told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy, versions = told.splitlines()
    assert heavy == "[]"
    assert versions.split()[0] == front_matter(folder)["sdk_version"]
    subprocess.run([python, "-m", "pip", "check"], check=True)


def test_it_starts_from_what_was_preloaded_and_asks_the_hub_nothing(start, hub):
    # Python writes a line for each module that it imports.
    with start(PYTHONPROFILEIMPORTTIME="1", FER_MCP="1") as app:
        reply = httpx.get(app.url + "/health")
        assert reply.status_code == 200
        told = reply.json()
        log = app.log
    assert told["status"] == "ok"
    assert told["version"] == fer.__version__
    assert told["model"]["source"] == MODEL
    assert told["model"]["revision"] == hub.commit(MODEL)
    if YUNET.exists():
        assert told["detector"] == "YuNet"
        assert told["notes"] == []
        assert hub.requests == []
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", log, re.MULTILINE))
    assert {"fer.web.page", "gradio", "ai_edge_litert.interpreter"} <= imported
    assert {name.partition(".")[0] for name in imported} & set(HEAVY) == set()
    assert "Traceback" not in log
    assert '"event": "start"' in log


def open_space(browser, url, **context):
    """A page whose messages in the console gather in `said`, too."""
    page = browser.new_context(**context).new_page()
    page.said, page.problems, page.asked = [], [], set()
    page.on("console", lambda one: page.said.append((one.type, one.text)))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda one: page.asked.add(urlsplit(one.url).netloc))
    # It is the server that is tested.
    page.add_init_script("try { localStorage.setItem('fer-engine', 'server') } catch {}")
    page.goto(url)
    page.wait_for_selector("#live .start", timeout=60_000)
    return page


def test_a_visitor_uses_it(camera, start):
    with start() as app:
        page = open_space(camera, app.url, permissions=["camera"])
        expect(page.locator("#about")).to_contain_text(f"weights of {MODEL}")
        page.click("#live .start")
        page.wait_for_function(
            "document.querySelector('#live .stage').dataset.answers > 5", timeout=60_000
        )
        page.wait_for_selector("#live .faces .fer-bar")
        expect(page.locator("#live .faces .fer-bar")).to_have_count(7)
        assert re.search(
            r"angry|disgust|fear|happy|neutral|sad|surprise", page.inner_text("#live .faces")
        )
        page.click("#live .stop")
        page.get_by_role("tab", name="Examples").click()
        # The first one comes by itself.
        page.wait_for_selector("#example .count:has-text('1 face')", timeout=60_000)
        page.get_by_role("button", name="Group of 9").click()
        page.wait_for_selector("#example .count:has-text('9 faces')", timeout=60_000)
        calls = httpx.get(app.url + "/health").json()["calls"]
        assert calls["frame"]["answered"] > 5
        assert calls["picture"]["answered"] == 2
        assert page.problems == []
        assert page.asked - {""} == {urlsplit(app.url).netloc}  # no other computer
        assert [text for kind, text in page.said if kind == "error"] == []
        assert "Traceback" not in app.log
