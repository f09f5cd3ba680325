"""The endpoints of a running page, as programs call them."""

import asyncio
import base64
import csv
import time
from pathlib import Path

import av
import httpx
import pyarrow.parquet
import pytest

from tests.conftest import ROOT
from tests.web.test_web_video import write_clip

pytestmark = pytest.mark.slow

ASTRONAUT = ROOT / "examples" / "astronaut_happy.jpg"
ENDPOINTS = {"/predict_image", "/predict_video", "/live_frame"}


@pytest.fixture(scope="module")
def client(shared_app):
    from gradio_client import Client

    app = shared_app(FER_DETECTOR="slim", FER_MAX_VIDEO_MINUTES="0.2")
    return Client(app.url, verbose=False)


def test_every_endpoint_is_documented(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == ENDPOINTS
    for name, endpoint in endpoints.items():
        assert len(endpoint["description"]) >= 40, name
        for parameter in endpoint["parameters"]:
            assert parameter["parameter_name"].isidentifier()
            assert not parameter["parameter_name"].startswith("param_")
    returned = [item["label"] for item in endpoints["/predict_video"]["returns"]]
    assert returned == ["annotated", "csv", "parquet", "report"]


def test_a_picture(client, tmp_path):
    from gradio_client import handle_file

    picture, data = client.predict(handle_file(ASTRONAUT), api_name="/predict_image")
    assert Path(picture).stat().st_size > 10_000
    (face,) = data["faces"]
    assert face["label"] == "happy"
    assert sum(face["probs"].values()) == pytest.approx(1, abs=1e-3)
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    picture, data = client.predict(handle_file(tmp_path / "letter.jpg"), api_name="/predict_image")
    assert picture is None
    assert data["error"]["code"] == "bad_image"
    assert "must be a picture" in data["error"]["message"]


def test_a_video_with_progress(client, tmp_path):
    from gradio_client import handle_file

    clip = write_clip(tmp_path / "clip.mp4", 600, 60)
    job = client.submit(handle_file(clip), 30, api_name="/predict_video")
    seen = set()
    while not job.done():
        for step in job.status().progress_data or ():
            seen.add((step.index, step.length, step.unit))
        time.sleep(0.05)
    video, rows, table, report = job.result()
    assert seen
    assert {(length, unit) for _, length, unit in seen} == {(600, "frames")}
    assert report["n_frames"] == 600
    assert report["n_looked_at"] == 300
    (person,) = report["persons"]
    assert person["seconds"] == pytest.approx(10, abs=0.2)
    with Path(rows).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 300
    assert pyarrow.parquet.read_table(table).num_rows == 300
    # The component of Gradio hands a video over with its subtitles.
    with av.open(video["video"] if isinstance(video, dict) else video) as container:
        assert sum(1 for _ in container.decode(video=0)) == 600


def test_a_video_that_cannot_be_used(client, tmp_path):
    from gradio_client import handle_file

    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam")
    long = write_clip(tmp_path / "long.mp4", 130)
    for path, said in ((tmp_path / "letter.mp4", "must be"), (long, "at most 12 s")):
        *files, data = client.predict(handle_file(path), 5, api_name="/predict_video")
        assert files == [None, None, None]
        assert data["error"]["code"] == "bad_video"
        assert said in data["error"]["message"]


@pytest.mark.long
def test_an_assistant_can_use_it(start_app, hub, tmp_path):
    mcp = pytest.importorskip("mcp")
    from mcp.client.streamable_http import streamable_http_client

    hub.fault = 503
    app = start_app(FER_MCP="1", GRADIO_TEMP_DIR=str(tmp_path))

    async def ask():
        async with (
            streamable_http_client(app.url + "/gradio_api/mcp/") as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            # A file beside the assistant; an address would have to be a public one.
            url = "data:image/jpeg;base64," + base64.b64encode(ASTRONAUT.read_bytes()).decode()
            return tools, await session.call_tool("predict_image", {"image": url})

    tools, answer = asyncio.run(ask())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert ASTRONAUT.stat().st_size not in [path.stat().st_size for path in files]
    # The client that Gradio runs for an assistant would send any file of this machine.
    file = {"path": str(ASTRONAUT), "meta": {"_type": "gradio.FileData"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    message["params"] = {"name": "live_frame", "arguments": {"image": "x", "state": file}}
    accept = {"accept": "application/json, text/event-stream"}
    reply = httpx.post(app.url + "/gradio_api/mcp/", json=message, headers=accept)
    assert reply.json()["error"]["code"] == "no_such_file"
    assert {"/" + name for name in tools} == ENDPOINTS
    assert "picture" in tools["predict_image"].description
    assert not answer.isError
    assert any("'label': 'happy'" in getattr(item, "text", "") for item in answer.content)


def test_without_the_package_the_page_starts_and_says_so(monkeypatch, caplog):
    from fer.settings import Settings
    from fer.web.server import serve

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not serve._offers_mcp(Settings(mcp=True))
    assert "pip install" in caplog.text
