"""The route by which files come in."""

import asyncio

import httpx
import pytest
from gradio.routes import file_upload_statuses
from starlette.applications import Starlette

from fer.web.server import receive as module
from fer.web.server import uploads as uploads_module
from fer.web.server.queue import RateLimit
from fer.web.server.receive import upload_route
from fer.web.server.uploads import Uploads

HOST = "203.0.113.7"
FORM = {"content-type": "multipart/form-data; boundary=b"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = Uploads(tmp_path / "page")
    monkeypatch.setattr(module, "uploads", folder)
    monkeypatch.setattr(uploads_module, "_STEP_BYTES", 1000)
    return folder


def send(parts, query="", host=HOST, headers=FORM):
    """Send a body in parts; the answer."""

    async def body():
        for part in parts:
            yield part
            await asyncio.sleep(0)

    async def story():
        app = Starlette(routes=[upload_route(RateLimit(None))])
        transport = httpx.ASGITransport(app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
            path = f"/gradio_api/upload{query}"
            return await browser.post(path, content=body(), headers=headers)

    return asyncio.run(story())


def files_in(folder):
    return [path for path in folder.folder.rglob("*") if path.is_file()]


def test_a_file_comes_in(folder):
    answer = send([HEAD, b"x" * 5000, b"y" * 5000, END])
    assert answer.status_code == 200
    (file,) = files_in(folder)
    assert answer.json() == [str(file)]
    assert file.read_bytes() == b"x" * 5000 + b"y" * 5000
    assert folder.n_bytes() == 10_000


def test_a_form_without_a_file_is_refused(folder):
    assert send([b"--b--\r\n"]).status_code == 400
    assert files_in(folder) == []
    assert folder.n_bytes() == 0


def test_a_file_for_which_room_runs_out_is_refused_and_gone(folder, monkeypatch):
    monkeypatch.setattr(uploads_module, "_LEAST_BYTES", 0)
    monkeypatch.setattr(folder, "max_bytes", 10_000)
    size = {"content-length": "4000"}  # that is not true
    answer = send([HEAD, *[b"x" * 900] * 10, END], headers=FORM | size)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")
    assert files_in(folder) == []
    assert folder.n_bytes() == 0
    assert send([HEAD, b"x" * 900, END], headers=FORM | size).status_code == 200


@pytest.mark.parametrize("parts", [[b"no form"], [HEAD, b"x", END], [HEAD + b"x"]])
def test_how_far_an_upload_is_is_not_kept_of_one_that_breaks_off(parts, folder):
    send(parts, "?upload_id=abc")
    assert file_upload_statuses.is_done("abc")
    file_upload_statuses.stop_tracking("abc")
    file_upload_statuses._signals.pop("abc", None)
