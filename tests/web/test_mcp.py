"""What an assistant sends, and when it goes."""

import asyncio
import base64
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mcp")

from gradio import mcp

from fer.web.server import mcp as module
from fer.web.server.mcp import keep_no_pictures
from fer.web.server.uploads import Uploads

PICTURE = b"\xff\xd8 a picture"
URL = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = Uploads(tmp_path / "page")
    monkeypatch.setattr(module, "uploads", folder)
    return folder


def make_server(execute):
    def convert(value, positions):
        return mcp.GradioMCPServer.convert_strings_to_filedata(None, value, positions)

    server = SimpleNamespace(
        convert_strings_to_filedata=convert,
        _execute_tool_without_progress=execute,
        _execute_tool_with_progress=execute,
    )
    keep_no_pictures(server)
    return server


async def call(server, progress):
    """As Gradio answers a call of a tool."""
    arguments = server.convert_strings_to_filedata({"image": URL}, [["image"]])
    if progress:
        return await server._execute_tool_with_progress(arguments, "token")
    return await server._execute_tool_without_progress(arguments)


@pytest.mark.parametrize("progress", [False, True])
def test_a_picture_is_gone_with_the_answer(progress, folder):
    usual = mcp.DEFAULT_TEMP_DIR
    seen = []

    async def execute(arguments, *_):
        path = Path(arguments["image"]["path"])
        await asyncio.sleep(0)
        seen.append(path)
        assert path.read_bytes() == PICTURE
        assert folder.holds(str(path))
        return "answer"

    async def story():
        server = make_server(execute)
        return await asyncio.gather(*(call(server, progress) for _ in range(3)))

    assert asyncio.run(story()) == ["answer"] * 3
    assert len(set(seen)) == 3  # equal pictures of several have nothing in common
    assert not any(path.exists() for path in seen)
    assert list((folder.folder / "uploads").iterdir()) == []
    assert usual == mcp.DEFAULT_TEMP_DIR


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_it_is_gone_after_an_error(error, folder):
    async def execute(*_):
        raise error

    with pytest.raises(error):
        asyncio.run(call(make_server(execute), False))
    assert list((folder.folder / "uploads").iterdir()) == []
