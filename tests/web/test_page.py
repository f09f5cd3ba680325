"""A page that runs: what stays of its visitors on disk and in the log, and how much they may."""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gradio import networking
from playwright.sync_api import expect

from bench.apps import free_port
from bench.visitor import data_url
from fer import Pipeline, read_image
from fer.settings import Settings
from fer.web import page as module
from fer.web.server import serve as server
from fer.web.server import uploads
from fer.web.server.event_loop import in_event_loop
from fer.web.server.start import About
from fer.web.server.work import InProcess
from tests.conftest import (
    FACE,
    ROOT,
    FakeDetector,
    make_classifier,
    make_faces,
    open_page,
    saved,
)
from tests.web.test_web_video import write_clip

# What Gradio and LiteRT say of themselves.
GREETINGS = ("* Running on local URL", "* To create a public link", "INFO: Created TensorFlow Lite")


@pytest.fixture
def serve(start_app, hub, tmp_path):
    """Starts the app with its temporary folder in `tmp_path`."""
    hub.fault = 503
    folder = tmp_path / "temporary"
    folder.mkdir()

    def start(**environment):
        app = start_app(GRADIO_TEMP_DIR=str(folder), **environment)
        (app.folder,) = folder.glob("fer-page-*")
        return app

    return start


def sent(app):
    """What lies on disk of what was sent, after a moment."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = [path for path in (app.folder / "uploads").rglob("*") if path.is_file()]
        if not found:
            break
        time.sleep(0.05)
    return found


def upload(app, content, name="cat.jpg", **headers):
    url = app.url + "/gradio_api/upload"
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    return httpx.post(url, files=[("files", (name, content))], headers=names, timeout=60)


def call(app, api_name, *data, host="203.0.113.77"):
    """The answer of an endpoint, as a program on another machine gets it."""
    headers = {"x-forwarded-for": host}
    url = f"{app.url}/gradio_api/call/{api_name}"
    event = httpx.post(url, json={"data": list(data)}, headers=headers, timeout=60).json()
    if "error" in event:
        return "refused", event["error"]
    event = event["event_id"]
    reply = httpx.get(f"{url}/{event}", headers=headers, timeout=120).text
    kind, _, content = reply.strip().rpartition("\n\n")[2].partition("\n")
    return kind.removeprefix("event: "), json.loads(content.removeprefix("data: "))


def file_data(path):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def lines_of(app):
    return [line for line in app.log.splitlines() if line and not line.startswith(GREETINGS)]


def numbers_in(data):
    """The probabilities in an answer, as it writes them."""
    if isinstance(data, dict):
        return {n for value in data.values() for n in numbers_in(value)}
    if isinstance(data, list):
        return {n for value in data for n in numbers_in(value)}
    # A time of the log has three digits after its point.
    text = repr(data)
    return {text} if isinstance(data, float) and 0 < data < 1 and len(text) > 5 else set()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", pytest.param("text", marks=pytest.mark.long)])
def test_nothing_of_a_visitor_is_in_the_log_or_stays_on_disk(form, serve, tmp_path):
    app = serve(FER_LOG=form, FER_DETECTOR="slim")
    host, mark = "203.0.113.77", "Quagga-7731"
    url = data_url(read_image(FACE))
    answers = []
    kind, (live,) = call(app, "live_frame", url, None, 0.0)
    assert (kind, len(live["faces"])) == ("complete", 1)
    assert call(app, "live_frame", url[:-300], None, 0.0)[1][0]["error"]["code"] == "bad_frame"
    answers.append(live)

    def send(content, ending):
        reply = upload(app, content, mark + ending, x_forwarded_for=host)
        assert reply.status_code == 200
        (path,) = reply.json()
        assert Path(path).is_relative_to(app.folder)
        assert Path(path).name == mark + ending
        return path

    picture = send(FACE.read_bytes(), ".png")
    _, (annotated, data) = call(app, "predict_image", file_data(picture))
    assert len(data["faces"]) == 1
    assert Path(annotated["path"]).stat().st_size > 0
    assert sent(app) == []
    answers.append(data)
    # What cannot be used goes as well, and what is gone cannot be asked about.
    letter = send(b"Dear Sir or Madam", ".png")
    _, (_, data) = call(app, "predict_image", file_data(letter))
    assert data["error"]["code"] == "bad_image"
    assert sent(app) == []
    kind, error = call(app, "predict_image", file_data(picture))
    assert (kind, error["code"]) == ("refused", "no_such_file")

    clip = write_clip(tmp_path / "clip.mp4", 30)
    video = send(clip.read_bytes(), ".mp4")
    _, (made, table, _, report) = call(app, "predict_video", file_data(video), 10)
    assert report["n_frames"] == 30
    assert Path((made.get("video") or made)["path"]).stat().st_size > 0
    assert mark in Path(table["path"]).read_text() or mark in table["orig_name"]
    assert sent(app) == []
    answers.append(report)
    _, (*_, data) = call(app, "predict_video", file_data(send(b"Dear Madam", ".mp4")), 10)
    assert data["error"]["code"] == "bad_video"
    assert sent(app) == []

    # A page that was open when the server began anew; somebody who tries other places.
    others = app.folder.parent / f"{mark}.png", ROOT / "README.md", "https://example.org/x.png"
    for path in others:
        assert call(app, "predict_image", file_data(path)) == (kind, error)

    health = httpx.get(app.url + "/health").json()
    calls = health["calls"]
    assert calls["frame"]["answered"] == 1
    assert calls["frame"]["refused"] == {"bad_frame": 1}
    assert calls["picture"]["answered"] == 1
    assert calls["picture"]["refused"] == {"bad_image": 1}
    assert calls["request"]["refused"] == {"no_such_file": 4}
    assert calls["video"]["answered"] == 1
    assert calls["video"]["refused"] == {"bad_video": 1}
    assert calls["upload"]["answered"] == 4
    assert sum(kind["failed"] for kind in calls.values()) == 0

    lines = lines_of(app)
    if form == "json":
        found = [json.loads(line) for line in lines]
        assert found[0]["event"] == "start"
        assert found[1:] == []
    else:
        assert lines == [lines[0]]
        assert lines[0].startswith("INFO fer.web.server.start: Model: ")
    digits = numbers_in(answers)
    assert len(digits) > 10
    told = "\n".join(lines)
    for secret in (mark, host, url[100:140], "README.md", *digits):
        assert secret not in told, secret
    assert mark not in json.dumps(health)
    assert host not in json.dumps(health)


@pytest.mark.long
@pytest.mark.browser
def test_what_the_tabs_were_given_is_gone_with_the_answer(chromium, serve, tmp_path):
    app = serve()
    page = open_page(chromium(), app.url, viewport={"width": 1280, "height": 900})
    page.get_by_role("tab", name="Photo").click()
    page.set_input_files("#photo .give input[type=file]", str(FACE))
    page.wait_for_selector("#photo .count:has-text('1 face')", timeout=60_000)
    assert sent(app) == []
    # The view has all it needs: the picture, the face, its map, the files.
    page.wait_for_selector("#photo .map[data-state=shown]", timeout=60_000)
    assert page.evaluate("document.querySelector('#photo .sheet img').naturalWidth") > 100
    assert Path(saved(page, "annotated").path()).stat().st_size > 1000

    page.get_by_role("tab", name="Video").click()
    clip = write_clip(tmp_path / "clip.mp4", 30)
    page.set_input_files("#video-input input[type=file]", str(clip))
    page.wait_for_selector("#video-report .strip", timeout=60_000)
    assert sent(app) == []
    page.wait_for_function("document.querySelector('#video-result video')?.readyState >= 2")
    expect(page.locator("#video-status")).to_contain_text(
        "clip.mp4: 30 of 30 frames analysed", use_inner_text=True
    )
    page.get_by_role("button", name="New video").click()
    page.wait_for_selector("#video-input >> visible=true")
    assert page.inner_text("#video-status").strip() == ""
    page.set_input_files("#video-input input[type=file]", str(clip))
    page.wait_for_selector("#video-status:has-text('frames analysed')")
    assert sent(app) == []
    assert page.problems == []
    assert "Traceback" not in app.log


@pytest.mark.slow
@pytest.mark.long
def test_who_sends_without_end_is_asked_to_wait_and_others_are_served(serve):
    app = serve(FER_MAX_PER_MINUTE="5", FER_DETECTOR="slim")
    greedy, other = {"x_forwarded_for": "203.0.113.7"}, {"x_forwarded_for": "203.0.113.8"}
    content = FACE.read_bytes()
    replies = [upload(app, content, **greedy) for _ in range(6)]
    assert [reply.status_code for reply in replies] == [200] * 5 + [429]
    assert 0 < int(replies[5].headers["retry-after"]) <= 12
    assert replies[5].json()["error"]["code"] == "busy"
    assert replies[5].json()["error"]["retry_after_ms"] <= 12_000
    assert upload(app, content, **other).status_code == 200
    assert [upload(app, content).status_code for _ in range(7)] == [200] * 7  # on this machine
    # Pictures are counted apart from uploads, which another machine may have made.
    mine = [file_data(upload(app, content).json()[0]) for _ in range(7)]
    answers = [call(app, "predict_image", each, host="203.0.113.9")[1][1] for each in mine[:6]]
    assert all("faces" in answer for answer in answers[:5])
    assert answers[5]["error"]["code"] == "busy"
    assert 0 < answers[5]["error"]["retry_after_ms"] <= 12_000
    assert "faces" in call(app, "predict_image", mine[6], host="203.0.113.8")[1][1]


@pytest.mark.long
@pytest.mark.slow
def test_uploads_that_are_too_much_or_break_off_leave_nothing(serve):
    app = serve(FER_MAX_TEMP_GB="0.02")  # of which a host gets 10 MB
    before = sorted(app.folder.rglob("*"))
    reply = upload(app, b"x" * 11_000_000)
    assert reply.status_code == 429
    assert reply.json()["error"]["code"] == "busy"
    assert upload(app, b"x" * 210_000_000).status_code == 413
    url = app.url + "/gradio_api/upload"
    assert httpx.post(url, json={}).status_code == 400
    assert httpx.post(url, data={"files": "x"}, files={"other": b"y"}).status_code == 400
    kind = "multipart/form-data; boundary=" + "b" * 500  # longer than RFC 2046 has it
    sent_so = httpx.post(url, content=b"--b\r\n", headers={"content-type": kind})
    assert sent_so.status_code == 400
    # More than one file, or a field that is none; with the name of an upload, too.
    two = [("files", ("a.jpg", b"x")), ("files", ("b.jpg", b"y"))]
    assert httpx.post(url, files=two).status_code == 400
    field = {"files": (None, b"x" * 1_000_000)}
    assert httpx.post(url + "?upload_id=abc", files=field).status_code == 400
    # Who hangs up in the middle.
    port = int(app.url.rpartition(":")[2])
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 3000000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
                b'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
                + b"x"
                * 1_000_000
            )
            time.sleep(0.2)
    assert sent(app) == []
    end = time.monotonic() + 5
    while time.monotonic() < end and list((app.folder / "uploads").glob("*")):
        time.sleep(0.05)
    after = sorted(path for path in app.folder.rglob("*") if path != app.folder / "uploads")
    assert after == before
    assert "Traceback" not in app.log
    assert httpx.get(app.url + "/health").json()["calls"]["upload"]["refused"] == {
        "full": 1,
        "bad_upload": 8,
    }


@pytest.mark.long
@pytest.mark.slow
def test_told_to_end_it_leaves_nothing_behind(serve, tmp_path):
    app = serve()
    assert upload(app, b"x" * 1000).status_code == 200
    assert [path.name for path in app.folder.rglob("cat.jpg")] == ["cat.jpg"]
    os.kill(app.process.pid, signal.SIGTERM)
    app.process.wait(120)
    assert not app.folder.exists()
    assert "Traceback" not in app.log


def n_wakings(process):
    """How often its threads have begun to wait so far."""
    files = Path(f"/proc/{process.pid}/task").glob("*/status")
    return sum(
        int(line.split()[1])
        for file in files
        for line in file.read_text("ascii").splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it looks at threads as Linux shows them")
def test_a_page_that_nobody_visits_sleeps(slim_app):
    before, begun = n_wakings(slim_app.process), time.monotonic()
    time.sleep(3)
    a_second = (n_wakings(slim_app.process) - before) / (time.monotonic() - begun)
    assert 10 < a_second < 250


def open_loops():
    """Event loops that nobody runs and nobody closed."""
    gc.collect()
    loops = [one for one in gc.get_objects() if isinstance(one, asyncio.BaseEventLoop)]
    return [loop for loop in loops if not loop.is_running() and not loop.is_closed()]


def in_thread(function):
    """What it returns in a thread of its own: a browser's tests leave a loop running in ours."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_a_page_of_a_slow_machine_is_served_and_no_event_loop_is_left_open(monkeypatch):
    # What Gradio finds if its page needs more than three seconds.
    monkeypatch.setattr(networking, "url_ok", lambda _: False)
    before = open_loops()
    pipeline = Pipeline(FakeDetector(make_faces()), make_classifier())
    about = About("toy", None, None, None, "fake")
    page = in_thread(lambda: module.build_page(pipeline, about, Settings(), InProcess(pipeline)))
    try:
        in_thread(
            lambda: server.launch(
                page, prevent_thread_lock=True, quiet=True, server_port=free_port()
            )
        )
        assert httpx.get(page.local_url + "health").status_code == 200
        assert [loop for loop in open_loops() if loop not in before] == []
    finally:
        page.close()


@pytest.mark.parametrize("around", [asyncio.run, None])
def test_what_builds_locks_has_an_event_loop(around):
    @in_event_loop
    def seen(loops):
        loops.append(asyncio.get_running_loop())
        return "made"

    async def outer():
        return seen(loops)

    loops = []
    assert in_thread(lambda: around(outer()) if around else seen(loops)) == "made"
    assert [loop.is_closed() for loop in loops] == [True]


class Launched(Exception):
    """The page would be served now."""


@pytest.mark.parametrize(("space", "trusted"), [("someone/fer", True), ("", False)])
def test_the_proxies_of_a_space_are_trusted_to_say_who_asks(space, trusted, monkeypatch):
    from uvicorn.middleware.proxy_headers import _TrustedHosts

    def launch(**options):
        raise Launched

    # So that what is set here is taken back.
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    made = SimpleNamespace(
        queue=lambda **_: None,
        launch=launch,
        health=SimpleNamespace(route=None),
        assets=SimpleNamespace(route=None, preload=""),
        work=None,
        settings=Settings.from_env({"SPACE_ID": space}),
    )
    with pytest.raises(Launched):
        server.launch(made)
    named = os.environ.get("FORWARDED_ALLOW_IPS")
    assert (named is not None) == trusted
    if trusted:
        hosts = _TrustedHosts(named)
        assert "10.16.3.80" in hosts
        assert "203.0.113.7" not in hosts
        # What a visitor writes into the header stands before what the proxy saw.
        chain = "198.51.100.1, 203.0.113.7, 10.16.3.80"
        assert hosts.get_trusted_client_address(chain)[0] == "203.0.113.7"


def test_a_summary_is_a_line_and_silence_is_none(caplog, monkeypatch):
    monkeypatch.setattr(server, "traffic", server.traffic.__class__())
    caplog.set_level("INFO")
    server._log_summary()
    assert caplog.records == []
    with server.traffic.call("frame"):
        pass
    server._log_summary()
    (record,) = caplog.records
    assert record.fields["event"] == "summary"
    assert record.fields["frame"]["answered"] == 1
    assert {"median_ms", "p95_ms"} <= set(record.fields["frame"])
    assert record.fields["memory_mb"] > 10


def test_the_page_says_how_long_files_stay():
    # The sentences of the notice and the ages in fer/web/server/uploads.py.
    said = " ".join(module._KEPT.split())
    assert "or after 15 minutes without one; results within an hour" in said
    assert uploads._UPLOAD_AGE_S <= 15 * 60
    assert uploads.RESULT_AGE_S + uploads.SWEEP_S <= 3600


@pytest.mark.parametrize(("minutes", "said"), [(None, "of any length"), (2.5, "of 2.5 minutes")])
def test_the_page_says_how_long_a_video_may_be(minutes, said):
    assert said in module._LIMITS.format(length=module._video_length(minutes))
