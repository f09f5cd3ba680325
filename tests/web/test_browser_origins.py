"""Pages of other origins beside this one, and the Hub's around it."""

import http.server
import json
import threading

import pytest
from playwright.sync_api import expect

from tests.conftest import FACE, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# What a browser says of a policy that something breaks.
BROKEN = ("Content Security Policy", "Permissions policy", "permissions policy", "CORS", "Refused")
HUB = "https://huggingface.co/spaces/someone/fer"
# Chromium asks before a public page reaches this machine; the Space would be public, too.
LOCAL = "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"

# Every way in which a page reaches another: what it could read.
READ = """async (url) => {
  const read = {};
  const ask = async (name, path, options) => {
    try {
      const reply = await fetch(url + path, options);
      read[name] = reply.type === "opaque" ? "opaque" : await reply.text();
    } catch (error) {
      read[name] = "nothing";
    }
  };
  const json = { "content-type": "application/json" };
  const body = JSON.stringify({ event_id: "abc" });
  await ask("config", "/config");
  await ask("health", "/health", { credentials: "include" });
  await ask("page", "/");
  await ask("json", "/gradio_api/reset", { method: "POST", headers: json, body });
  await ask("text", "/gradio_api/reset", { method: "POST", body });
  await ask("blind", "/gradio_api/reset", { method: "POST", mode: "no-cors", body });
  await ask("opaque", "/config", { mode: "no-cors" });
  const form = new FormData();
  form.append("files", new Blob(["x"]), "cat.jpg");
  await ask("upload", "/gradio_api/upload", { method: "POST", body: form });
  await ask("blind upload", "/gradio_api/upload", { method: "POST", mode: "no-cors", body: form });
  const load = (tag, attribute, path) =>
    new Promise((done) => {
      const one = document.createElement(tag);
      one.onload = () => done("loaded");
      one.onerror = () => done("nothing");
      one[attribute] = url + path;
      document.body.append(one);
    });
  read.script = await load("script", "src", "/static/js/iframeResizer.contentWindow.min.js");
  read.image = await load("img", "src", "/favicon.ico");
  const stream = new EventSource(url + "/gradio_api/heartbeat/abc");
  read.stream = await new Promise((done) => {
    stream.onmessage = () => done("read");
    stream.onerror = () => done("nothing");
  });
  stream.close();
  return read;
}"""


@pytest.fixture(scope="module")
def app():
    """The page as on a Space, which the Hub may show in a frame."""
    from bench.apps import serve
    from tests.conftest import HUB as hub

    hub.reset()
    hub.fault = 503
    with serve("app.py", FER_DETECTOR="slim", SPACE_ID="someone/fer") as served:
        yield served
    hub.reset()


@pytest.fixture(scope="module")
def stranger():
    """A page of another origin on this machine."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>stranger</title><body>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_pages_of_other_origins_read_nothing_and_change_nothing(chromium, app, stranger):
    page = chromium().new_context().new_page()
    page.goto(stranger)
    read = page.evaluate(READ, app.url)
    opaque = {"blind", "blind upload", "opaque"}  # asked, and nothing is told of the answer
    assert {name for name, what in read.items() if what == "opaque"} <= opaque
    assert {what for name, what in read.items() if name not in opaque} == {"nothing"}
    calls = page.request.get(app.url + "/health").json()["calls"]
    assert calls["upload"]["answered"] == 0
    assert calls["request"]["refused"]["other_origin"] >= 3
    # The same from the page itself.
    page.goto(app.url)
    read = page.evaluate(READ, app.url)
    assert "nothing" not in read.values()
    assert json.loads(read["config"])["title"]
    assert json.loads(read["json"]) == {"success": True}
    assert read["stream"] == "read"
    page.context.close()


def test_a_page_of_another_origin_cannot_frame_this_one(chromium, app, stranger):
    page = chromium().new_context().new_page()
    said = []
    page.on("console", lambda one: said.append(one.text))
    page.goto(stranger)
    page.evaluate(
        """(url) => new Promise((done) => {
          const frame = document.createElement("iframe");
          frame.onload = done;
          frame.src = url;
          document.body.append(frame);
        })""",
        app.url,
    )
    page.wait_for_timeout(500)
    assert any("frame-ancestors" in text for text in said), said
    assert page.frames[1].locator("#live").count() == 0
    page.context.close()


@pytest.mark.long
def test_it_works_in_the_hub_s_frame_with_the_camera(chromium, app, camera_file):
    browser = chromium(camera_file, [LOCAL])
    context = browser.new_context(permissions=["camera", "microphone"])
    page = context.new_page()
    said = []
    page.on("console", lambda one: said.append(one.text))
    sandbox = (
        "allow-downloads allow-forms allow-modals allow-pointer-lock allow-popups "
        "allow-popups-to-escape-sandbox allow-same-origin allow-scripts "
        "allow-storage-access-by-user-activation"
    )
    around = (
        f'<!doctype html><title>Hub</title><iframe src="{app.url}" width=1200 height=900 '
        f'allow="camera; microphone; clipboard-read; clipboard-write" sandbox="{sandbox}">'
    )
    page.route(HUB, lambda route: route.fulfill(body=around, content_type="text/html"))
    page.goto(HUB)
    frame = page.frame_locator("iframe")
    frame.locator("#live .start").click(timeout=60_000)
    frame.locator("#live .stage:not([data-answers='0'])[data-answers]").wait_for(timeout=60_000)
    frame.locator("#live .fer-bar").first.wait_for(timeout=60_000)
    frame.locator("#live .stop").click()
    frame.get_by_role("tab", name="Examples").click()
    frame.locator("#examples-gallery button").nth(4).click()
    frame.locator("#example .count:has-text('1 face')").wait_for(timeout=60_000)
    assert [text for text in said if any(word in text for word in BROKEN)] == []
    assert "Traceback" not in app.log
    context.close()


@pytest.mark.long
def test_no_part_of_the_page_breaks_its_policy(chromium, app, camera_file):
    page = open_page(
        chromium(camera_file),
        app.url,
        script="addEventListener('securitypolicyviolation', (event) => console.error("
        "'Content Security Policy', event.violatedDirective, event.blockedURI))",
        permissions=["camera", "microphone"],
        viewport={"width": 1280, "height": 900},
    )
    said = []
    page.on("console", lambda one: said.append(one.text))
    page.click("#live .start")
    page.wait_for_function("document.querySelector('#live .stage').dataset.answers > 3")
    page.click("#live .stop")
    page.get_by_role("tab", name="Photo").click()
    page.set_input_files("#photo .give input[type=file]", str(FACE))
    page.wait_for_selector("#photo .map[data-state=shown]", timeout=60_000)
    page.get_by_role("tab", name="Video").click()
    page.get_by_role("button", name="Try a sample clip").click()
    page.wait_for_function(
        "document.querySelector('#video-result video')?.readyState >= 2", timeout=180_000
    )
    page.get_by_role("button", name="New video").click()
    page.get_by_role("button", name="Record a clip").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#video-recording video')?.videoWidth > 0")
    page.get_by_role("tab", name="Examples").click()
    page.locator("#examples-gallery button").nth(4).click()
    page.wait_for_selector("#example .count:has-text('1 face')", timeout=60_000)
    page.get_by_role("button", name="Use via API").click()
    page.wait_for_selector("text=API documentation")
    # The listener is at work.
    page.evaluate("fetch('https://example.org/').catch(() => 0)")
    page.wait_for_timeout(300)
    broken = [text for text in said if any(word in text for word in BROKEN)]
    assert broken
    assert all("https://example.org" in text for text in broken), broken
    assert page.problems == []
    page.context.close()


@pytest.mark.long
def test_its_modules_load_below_a_path(chromium, start_app):
    app = start_app(FER_DETECTOR="slim", GRADIO_ROOT_PATH="/some/where")
    page = open_page(chromium(options=[LOCAL]), f"{app.url}/some/where/")
    page.wait_for_selector("#live .start:enabled")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    modules = [url for url in loaded if url.endswith(".js") and "/fer/" in url]
    assert len(modules) >= 15
    assert any(url.endswith("/photo/photo.js") for url in modules)  # before its tab is shown
    assert all(url.startswith(f"{app.url}/some/where/fer/") for url in modules)
    assert page.problems == []
    page.context.close()


@pytest.mark.long
def test_a_module_that_does_not_load_is_told(chromium, app):
    page = chromium(options=[LOCAL]).new_context().new_page()
    page.route("**/live/pace.js", lambda route: route.abort())
    page.goto(app.url)
    page.wait_for_selector("#live .fer-error:has-text('could not be loaded')")
    expect(page.locator("#live .start")).to_be_disabled()
    page.context.close()
