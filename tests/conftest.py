"""Builders and fakes. A Hub of the tests' own stands in for the real one everywhere."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.hub_server import HubServer

# The client reads these when it is imported, so they are set before anything else.
HUB = HubServer()
os.environ.update(
    HF_ENDPOINT=HUB.url,
    HF_HOME=tempfile.mkdtemp(prefix="fer-hf-"),
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    GRADIO_ANALYTICS_ENABLED="False",
    TF_CPP_MIN_LOG_LEVEL="3",
    TF_ENABLE_ONEDNN_OPTS="0",
)
for name in (
    *(
        "FER_ALLOWED_HOSTS",
        "FER_DETECTOR",
        "FER_EXAMPLES_DIR",
        "FER_GALLERY_DIR",
        "FER_MAX_VIDEO_MINUTES",
        "FER_MCP",
    ),
    *("FER_MODEL_REPO", "FER_MODEL_REVISION", "FER_YUNET_PATH"),
):
    os.environ.pop(name, None)

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from bench.apps import chromium_path, launch_chromium, serve  # noqa: E402
from fer.classify import Classifier  # noqa: E402
from fer.types import Faces, ModelConfig  # noqa: E402
from fer.web.server.uploads import open_folder  # noqa: E402

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
YUNET = SHARED / "models" / "face_detection_yunet_2023mar.onnx"
# A rendered face of the probe, 256 x 256.
FACE = ROOT / "examples" / "subgroups" / "monk-5_female_25_happy.jpg"


def rendered_face(expression="happy", sex="female", side=480):
    """A rendered face as a frame (side, side, 3)."""
    from fer.image import read_image
    from fer.preprocess import resize

    name = f"monk-5_{sex}_25_{expression}.jpg"
    return resize(read_image(FACE.with_name(name)), side, side)


def shared(*parts):
    """A file beside the project; skips the test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {Path(*parts)} of the shared folder, which is not here")
    return path


def pytest_collection_modifyitems(items):
    """Put the files that take longest first, so that no worker ends long after the others."""
    ranks = {}
    for item in items:
        kinds = [item.get_closest_marker(name) for name in ("browser", "keras")]
        rank = next((i for i, kind in enumerate(kinds) if kind), len(kinds))
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(scope="session", autouse=True)
def _remove_hub_cache():
    yield
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _page_folder():
    """The folder that a page in this process has, as `prepare` makes it."""
    open_folder()


@pytest.fixture
def hub():
    """The tests' Hub, without files or faults."""
    HUB.reset()
    yield HUB
    HUB.reset()


@pytest.fixture
def yunet_path():
    return shared("models", YUNET.name)


def opened(source, reading=None):
    """A data set, as commands open it."""
    from train.data.dataset import open_dataset

    return open_dataset(str(source), reading)


class FakeDetector:
    """Returns the same faces for every frame."""

    title = "fake"

    def __init__(self, faces):
        self.faces = faces

    def __call__(self, frame):
        return self.faces


def make_config(**changes):
    values = {
        "class_names": ("dark", "bright"),
        "input_size": 16,
        "detail_size": 8,
        "recipe": "toy",
        "uncertain_below": 0.6,
    }
    return ModelConfig(**(values | changes))


def make_classifier(**changes):
    """Two classes by mean brightness: "dark" under 128, "bright" over it."""

    def network(pixels):
        mean = pixels.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - mean, mean], axis=1).astype(np.float32) * 10

    return Classifier(network, make_config(**changes))


VOTE_NAMES = ("calm", "loud", "odd")


def make_heads(**changes):
    """What `fer.json` says of two heads; each of `changes` replaces a decision of the labels."""
    decisions = {
        "balanced": {"bias": [0.0, 2.0], "temperature": 2.0},
        "dataset": {"bias": [0.0, 0.0], "temperature": 1.0},
    }
    as_voted = {"bias": [0.0, 0.0, 0.0], "temperature": 4.0}
    return {
        "labels": {"class_names": ["dark", "bright"], "decisions": decisions | changes},
        "votes": {"class_names": list(VOTE_NAMES), "decisions": {"dataset": as_voted}},
    }


def make_two_heads(network=None, **changes):
    """`make_classifier` with a second head, whose logits are 4, 8 and 0 for any picture.

    The network counts its calls in `network.calls`.
    """

    def both(pixels):
        both.calls += 1
        labels = make_classifier().network(pixels)
        return {"votes": np.tile(np.float32([4, 8, 0]), (len(pixels), 1)), "labels": labels}

    both.calls = 0
    values = {"heads": make_heads(), "decision": "balanced", "version": 2}
    return Classifier(network or both, make_config(**(values | changes)))


def one_head(text):
    """Return the values of a `fer.json` as version 1 has them: one head, without a bias."""
    values = json.loads(text)
    labels = values.pop("heads")["labels"]
    temperature = labels["decisions"][values.pop("decision")]["temperature"]
    names = labels["class_names"]
    return values | {"class_names": names, "temperature": temperature, "version": 1}


def with_classes(config, names):
    """Return a configuration of two heads with other names of the labels."""
    labels = replace(config.heads["labels"], class_names=names)
    return replace(config, class_names=(), heads={**config.heads, "labels": labels})


def make_faces(*boxes, landmarks=None):
    return Faces(
        xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        score=np.full(len(boxes), 0.9, np.float32),
        landmarks=landmarks,
    )


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def start_app():
    """Start `python app.py` with environment variables; stopped after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **environment: stack.enter_context(serve("app.py", **environment))


@pytest.fixture(scope="session")
def _running():
    with contextlib.ExitStack() as stack:
        yield functools.cache(
            lambda **environment: stack.enter_context(serve("app.py", **environment))
        )


@pytest.fixture(scope="module")
def shared_app(_running):
    """As `start_app`, but the app goes on for all tests that want the same one."""
    seen = {}

    def start(**environment):
        app = _running(**environment)
        seen.setdefault(app, len(app.log))
        return app

    yield start
    for app, before in seen.items():
        assert "Traceback" not in app.log[before:]


@pytest.fixture(scope="module")
def slim_app(shared_app):
    """An app with the detector that comes with this project."""
    return shared_app(FER_DETECTOR="slim")


@contextlib.contextmanager
def heeding_ctrl_c():
    """What is started in here ends at Ctrl-C, even where a shell's background job starts it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def numbers(tensor):
    """A tensor of any backend as a NumPy array."""
    import keras

    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="session")
def node():
    path = shutil.which("node")
    if path is None:
        pytest.skip("there is no node: `bash tests/install_browsers.sh` brings Debian's")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < 18:
        pytest.skip(f"node is {version.stdout.strip()}, its test runner needs 18")
    return path


@pytest.fixture(scope="module")
def chromium():
    """Starts browsers, with a clip in the place of the camera or without a camera."""
    if chromium_path() is None:
        pytest.skip("needs Chromium, which is not installed here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:

        def start(clip=None, options=()):
            browsers.append(launch_chromium(playwright, clip, options))
            return browsers[-1]

        browsers = []
        yield start
        for browser in browsers:
            browser.close()


_opened = []


@pytest.fixture(autouse=True)
def _close_pages():
    """Close the pages that a test has opened: their cameras would slow down the next tests."""
    yield
    while _opened:
        _opened.pop().close()


def open_page(browser, url, script=None, engine="server", **context):
    """A page that has started, until the test ends; its JavaScript errors gather in `problems`.

    The server analyses its frames unless `engine` is another choice of the visitor.
    """
    page = browser.new_context(**context).new_page()
    _opened.append(page.context)
    page.add_init_script(
        f"try {{ localStorage.setItem('fer-engine', '{engine}') }} catch {{}}" if engine else ""
    )
    if script is not None:
        page.add_init_script(script)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#live .start:enabled", timeout=60_000)
    return page


@contextlib.contextmanager
def without_problems():
    """A list for pages of `open_page`; at the end none may have had an error."""
    pages = []
    yield pages
    for page in pages:
        assert page.problems == []


@contextlib.contextmanager
def visits(browser, url, tab, **usual):
    """A function that opens a page at one of its tabs; at the end none may have had an error."""

    def visit(path="", tab=tab, **context):
        options = {"viewport": {"width": 1280, "height": 900}, **usual, **context}
        page = open_page(browser, url + path, **options)
        page.get_by_role("tab", name=tab).click()
        view = {"Photo": "#photo", "Examples": "#example"}[tab]
        page.wait_for_selector(f":is({view}, {view} *)[data-started]")
        pages.append(page)
        return page

    with without_problems() as pages:
        yield visit


def saved(page, name):
    """The download of an entry of the Photo tab's menu Save, by its class."""
    page.click("#photo .save summary")
    with page.expect_download() as waiting:
        page.click(f"#photo .{name}")
    return waiting.value


@pytest.fixture(scope="session")
def unserved_page():
    """The page around a fake pipeline, built and not served."""
    from concurrent.futures import ThreadPoolExecutor

    from fer import Pipeline
    from fer.settings import Settings
    from fer.web.page import build_page
    from fer.web.server.start import About

    pipeline = Pipeline(FakeDetector(make_faces()), make_classifier())
    about = About("toy", None, None, None, "fake")
    with ThreadPoolExecutor(1) as pool:  # a browser's tests leave a loop running in this thread
        return pool.submit(build_page, pipeline, about, Settings()).result()
