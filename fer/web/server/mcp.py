"""Keep no picture longer than its answer that an assistant sends (Model Context Protocol).

Gradio writes a picture in a text to its folder, under a name that equal pictures share, has a
client of its own upload it to the page, and leaves it there.
"""

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gradio import mcp

from fer.web.server.uploads import uploads

__all__ = ["keep_no_pictures"]

# More than the body of a call may have.
_MAX_BYTES = 1_000_000
# All assistants count as one host; the guard bounds how many of one client network are at work.
_HOST = "assistants"
# Of the call that is being answered.
_copy: ContextVar[Path | None] = ContextVar("_copy", default=None)


def keep_no_pictures(server: Any) -> None:
    """Let a server of Gradio's write pictures among the uploads, and delete them with the answer.

    Args:
        server: a `gradio.mcp.GradioMCPServer`.
    """
    convert = server.convert_strings_to_filedata

    def convert_here(*args: Any) -> Any:
        with uploads.room(_HOST, _MAX_BYTES) as room:
            _copy.set(room.path)
            usual = mcp.DEFAULT_TEMP_DIR
            mcp.DEFAULT_TEMP_DIR = str(room.path)  # nothing else runs before it is put back
            try:
                return convert(*args)
            finally:
                mcp.DEFAULT_TEMP_DIR = usual

    server.convert_strings_to_filedata = convert_here
    for name in ("_execute_tool_without_progress", "_execute_tool_with_progress"):
        setattr(server, name, _then_drop(getattr(server, name)))


def _then_drop(execute: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any) -> Any:
        try:
            return await execute(*args)
        finally:
            if (path := _copy.get()) is not None:
                uploads.drop(path)

    return run
