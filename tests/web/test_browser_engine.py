"""The Live tab with the browser's own engine, in headless Chromium."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.conftest import open_page, without_problems
from tests.web.test_browser_live import wait_for_answers

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HERE = "Runs on this device: no frame leaves it."
THERE = "Frames are sent to the server."
WINDOW = {"width": 1280, "height": 800}


# The page changes back to a server that is quicker. This one never is, however busy the machine.
SLOW_SERVER = """
const original = window.fetch;
window.fetch = async (...args) => {
  if (String(args[0]).includes("component_server")) await new Promise((go) => setTimeout(go, 1000));
  return original(...args);
};
"""


@pytest.fixture
def visit(camera, device_app):
    """Opens pages whose requests gather in `sent`; the choice is of an earlier visit."""

    def visit(engine="auto"):
        page = open_page(
            camera,
            device_app.url,
            script=SLOW_SERVER,
            engine=None,
            permissions=["camera"],
            viewport=WINDOW,
        )
        pages.append(page)
        page.evaluate("engine => localStorage.setItem('fer-engine', engine)", engine)
        page.sent = []
        page.on("request", lambda request: page.sent.append(request.url))
        reload(page)
        return page

    with without_problems() as pages:
        yield visit


def reload(page):
    page.reload()
    page.wait_for_selector("#live .start:enabled", timeout=60_000)


def wait_for(page, said):
    page.wait_for_selector(f"#live .where:has-text('{said}')", timeout=60_000)


def n_frames_sent(page):
    return sum("component_server" in url for url in page.sent)


@pytest.mark.long
def test_frames_stay_on_the_device_once_its_engine_is_ready(visit, device_app):
    page = visit()
    expect(page.locator("#live .where")).to_have_text("")  # nothing is sent yet
    page.click("#live .start")
    wait_for_answers(page, 1)
    assert n_frames_sent(page)
    wait_for(page, HERE)
    wait_for_answers(page)
    before = len(page.sent)
    wait_for_answers(page, 30)
    assert len(page.sent) == before
    expect(page.locator("#live .fer-card")).to_have_count(1)
    assert {urlsplit(url).netloc for url in page.sent} == {urlsplit(device_app.url).netloc}


@pytest.mark.long
def test_a_visitor_chooses_the_server_and_is_remembered(visit):
    page = visit()
    page.click("#live .start")
    wait_for(page, HERE)
    page.select_option("#live .engine select", "server")
    wait_for(page, THERE)
    before = n_frames_sent(page)
    wait_for_answers(page)
    assert n_frames_sent(page) > before
    reload(page)
    expect(page.locator("#live .engine select")).to_have_value("server")
    page.click("#live .start")
    wait_for_answers(page, 10)
    expect(page.locator("#live .where")).to_have_text(THERE, use_inner_text=True)


@pytest.mark.long
def test_a_visitor_who_chose_the_device_sends_no_frame_at_all(visit):
    page = visit("device")
    page.click("#live .start")
    wait_for_answers(page)
    expect(page.locator("#live .where")).to_have_text(HERE, use_inner_text=True)
    assert n_frames_sent(page) == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("delete self.WebAssembly;", "no WebAssembly"),
        ("WebAssembly.validate = () => false;", "no SIMD"),
    ],
)
def test_the_server_goes_on_where_the_device_cannot(visit, script, said):
    page = visit()
    # The engine runs in a worker, whose globals the test changes in the module that it loads.
    page.route(
        "**/local/worker.js",
        lambda route: route.fulfill(
            body=script + route.fetch().text(),
            content_type="text/javascript",
        ),
    )
    page.click("#live .start")
    wait_for(page, said)
    expect(page.locator("#live .where")).to_contain_text(THERE)
    wait_for_answers(page, 10)


@pytest.mark.long
def test_a_model_that_was_cut_off_is_told_and_the_server_goes_on(visit):
    page = visit()
    page.route(
        "**/model_web.onnx",
        lambda route: route.fulfill(body=route.fetch().body()[:100_000], status=200),
    )
    page.click("#live .start")
    wait_for(page, "model_web.onnx is damaged")
    wait_for_answers(page, 10)
