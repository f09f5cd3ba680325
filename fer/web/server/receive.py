"""Receive uploads, instead of Gradio's own route.

Gradio's keeps what it was sent when the sender hangs up, gives equal files of two visitors one
place, and takes any number of them.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio.to_thread
from gradio import route_utils
from gradio.route_utils import GradioMultiPartParser, upload_fn
from gradio.routes import file_upload_statuses
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fer.web.server.queue import RateLimit, client_network, refusal
from fer.web.server.traffic import Call, traffic
from fer.web.server.uploads import Full, Room, uploads

__all__ = ["MAX_FILE_BYTES", "MAX_UPLOAD_BYTES", "upload_route"]

_PATH = "/gradio_api/upload"
MAX_FILE_BYTES = 200 << 20
# A form has one file; next to it are its name and type.
MAX_UPLOAD_BYTES = MAX_FILE_BYTES + (64 << 10)
# FFmpeg takes "%03d" for a row of files; the others mean something in paths or in a shell.
_ODD = "%*?[]{}|<>\"'`$;&\\"
# Until some of the files have been analysed.
_FULL_FOR_S = 60.0


class _OneFile(GradioMultiPartParser):  # type: ignore[misc]
    """Parse a form with one file and nothing else.

    Gradio allows a thousand files, each of which is open meanwhile, and keeps other fields in
    memory, whatever their size.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "max_files": 1, "max_fields": 0})

    async def parse(self) -> Any:
        """Close the file, too, where the sender hangs up or room runs out."""
        try:
            return await super().parse()
        except BaseException:
            for file in self._files_to_close_on_error:
                file.close()
            raise


# Where `upload_fn` finds it.
route_utils.GradioMultiPartParser = _OneFile


def upload_route(rate: RateLimit) -> Route:
    """Return a route that takes files as Gradio's clients send them, and answers with their paths.

    Args:
        rate: how often one host may send.
    """

    async def upload(request: Request) -> Response:
        host = "" if request.client is None else request.client.host
        with traffic.call("upload") as call:
            if wait_s := rate.wait_s(host):
                call.outcome = "busy"
                return refusal(429, "busy", wait_s)
            return await _receive(request, host, call)

    return Route(_PATH, upload, methods=["POST"])


def _into(room: Room, request: Request) -> Request:
    """Wrap a request so that disk space is reserved before each part of its body is written."""

    async def receive() -> Any:
        message = await request.receive()
        n_bytes = len(message.get("body", b""))
        if room.has(n_bytes):
            room.take(n_bytes)
        else:
            await anyio.to_thread.run_sync(room.take, n_bytes)
        return message

    return Request(request.scope, receive)


def _rename(file: Path) -> str:
    """Give an upload a name that every part of the page takes, and return its path."""
    name = "".join(c if c.isprintable() and c not in _ODD else "_" for c in file.name)
    return str(file.rename(file.with_name(name)))


async def _receive(request: Request, host: str, call: Call) -> Response:
    length = request.headers.get("content-length", "")
    n_bytes = min(int(length), MAX_UPLOAD_BYTES) if length.isdecimal() else MAX_UPLOAD_BYTES
    upload_id = request.query_params.get("upload_id")
    call.outcome = "bad_upload"
    try:
        with ExitStack() as stack:
            place = uploads.room(client_network(host) or host, n_bytes)
            room = await anyio.to_thread.run_sync(stack.enter_context, place)
            # For the bar that the page shows, which asks by this id how far it is.
            progress = file_upload_statuses if upload_id else None
            paths, *_ = await upload_fn(
                _into(room, request), str(room.path), MAX_FILE_BYTES, upload_id, True, progress
            )
            if not paths:
                raise ValueError("a form without a file")
            paths = [_rename(Path(path)) for path in paths]
    except Full:
        call.outcome = "full"
        return refusal(429, "busy", _FULL_FOR_S)
    except MultiPartException as error:
        return refusal(413 if "maximum allowed size" in error.message else 400, call.outcome)
    except (ClientDisconnect, HTTPException, TypeError, ValueError):  # of any parser of forms
        return refusal(400, call.outcome)
    finally:
        if upload_id:  # Gradio forgets to say so of one that breaks off
            file_upload_statuses.set_done(upload_id)
    call.outcome = "answered"
    return JSONResponse(paths)
