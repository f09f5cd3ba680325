"""The page as attackers and honest visitors reach it: over HTTP, from addresses of their own."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.apps import Server, serve
from fer.web.server.serve import MAX_CALL_BYTES

__all__ = ["HUNG_UP", "TIMEOUT_S", "Page", "Visit", "serve_page", "tree_mb"]

# No status of HTTP's: the page refused a body before its end and closed the connection. A page that
# crashed would do so, too, but then the log and all later attacks show it.
HUNG_UP = 499
# The longest that any answer may take; the page's own bounds are shorter.
TIMEOUT_S = 240.0


class Visit:
    """Ask the page from one address.

    Args:
        url: of the page.
        address: that the page takes the visitor to come from.
    """

    def __init__(self, url: str, address: str) -> None:
        self.client = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_S, headers={"x-forwarded-for": address}
        )
        self._waiting: set[str] = set()

    async def __aenter__(self) -> "Visit":
        return self

    async def __aexit__(self, *_: object) -> None:
        # An upload that nobody asked an answer for stays for a quarter of an hour, as promised.
        for path in list(self._waiting):
            await self.call("predict_image", [self._file(path)])
        await self.client.aclose()

    async def upload(self, name: str, content: bytes) -> str | None:
        """Return the path that the page gives an upload; None where it is refused."""
        answer = await self.send_files([("files", (name, content, "application/octet-stream"))])
        if answer.status_code != 200:
            return None
        (path,) = answer.json()
        self._waiting.add(path)
        return str(path)

    async def send_files(
        self,
        files: list[Any] | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send files as a form, or any content; return `HUNG_UP` if the page hangs up."""
        try:
            return await self.client.post(
                "/gradio_api/upload", files=files, content=content, headers=headers
            )
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            return httpx.Response(HUNG_UP, request=httpx.Request("POST", "/gradio_api/upload"))

    async def call(self, endpoint: str, data: list[Any]) -> tuple[int, str]:
        """Call an endpoint by name; return the status and all that it answers."""
        route = f"/gradio_api/call/{endpoint}"
        begun = await self.client.post(route, json={"data": data})
        if begun.status_code != 200:
            return begun.status_code, begun.text
        event = begun.json()["event_id"]
        answer = await self.client.get(f"{route}/{event}")
        return answer.status_code, answer.text

    async def analyse(self, endpoint: str, name: str, content: bytes, *more: Any) -> str:
        """Upload a file and have it analysed; return what is answered."""
        path = await self.upload(name, content)
        if path is None:
            return "refused"
        return (await self.call(endpoint, [self._file(path), *more]))[1]

    async def ask_tool(self, name: str, picture: bytes) -> httpx.Response:
        """Have a picture analysed as an assistant does, by the Model Context Protocol."""
        image = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": name, "arguments": {"image": image}},
        }
        return await self.post(
            "/gradio_api/mcp/",
            json.dumps(message).encode(),
            accept="application/json, text/event-stream",
        )

    def _file(self, path: str) -> dict[str, Any]:
        self._waiting.discard(path)
        return {"path": path, "orig_name": "file", "meta": {"_type": "gradio.FileData"}}

    async def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        """Post JSON as it is; return `HUNG_UP` if the page hangs up on a long one."""
        try:
            return await self.client.post(
                path, content=body, headers={"content-type": "application/json", **headers}
            )
        except (httpx.ReadError, httpx.WriteError):
            if len(body) <= MAX_CALL_BYTES:
                raise
            return httpx.Response(HUNG_UP, request=httpx.Request("POST", path))


class Page:
    """A running page.

    Attributes:
        server: its process and log.
        temporary: the only folder in which it may leave files.
        outside: a folder of this machine that is none of its own.
    """

    def __init__(self, server: Server, temporary: Path, outside: Path) -> None:
        self.server = server
        self.temporary = temporary
        self.outside = outside

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.server.url

    def visit(self, address: str = "198.51.100.1") -> Visit:
        """Return a visit from an address of the ranges that documentation uses (RFC 5737)."""
        return Visit(self.url, address)

    def uploads(self) -> list[Path]:
        """Return the files that visitors sent and that are still there."""
        return [path for path in self.temporary.rglob("uploads/*/*") if path.exists()]

    def files(self) -> list[Path]:
        """Return all files in its temporary folder."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]

    def problems(self) -> list[str]:
        """Return the lines of its log that tell of a mistake."""
        found = []
        for line in self.server.log.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"level": "ERROR" if "Traceback" in line else "INFO"}
            if entry.get("level") in ("ERROR", "CRITICAL"):
                found.append(line)
        return found


def tree_mb(process: psutil.Process) -> float:
    """Return the resident memory of a process and all below it, in megabytes."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


@contextmanager
def serve_page(folder: Path) -> Iterator[Page]:
    """Serve the page with a temporary folder below `folder`.

    It believes this machine's proxy, so that each visitor may have an address of its own.
    """
    temporary, outside = folder / "temporary", folder / "outside"
    for each in (temporary, outside):
        each.mkdir(exist_ok=True)
    with serve(
        "app.py",
        TMPDIR=str(temporary),
        GRADIO_TEMP_DIR=str(temporary),
        FER_LOG="json",
        FER_MAX_PER_MINUTE="0",
        FER_MCP="1",
        FORWARDED_ALLOW_IPS="127.0.0.1",
    ) as server:
        yield Page(server, temporary, outside)
