"""Files of the page itself: its JavaScript modules and what the browser's engine reads.

Their addresses hold a hash of all of them, so browsers may keep them for ever, and a page never
runs modules of another version.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

__all__ = ["ASSETS_PATTERN", "Assets", "find_modules"]

_WEB = Path(__file__).parents[1]
# Browsers run a module only if it has a type of JavaScript; what the system knows may differ.
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    # Not `Content-Encoding`: the engine checks and unpacks it itself.
    ".gz": "application/gzip",
}
_HEADERS = {"cache-control": "public, max-age=31536000, immutable"}
_N_HEX = 16
ASSETS_PATTERN = rf"/fer/[0-9a-f]{{{_N_HEX}}}/(?:[a-z_]+/)*\w[\w.-]*"


def find_modules() -> dict[str, Path]:
    """Return the JavaScript of the page and of its local engine, by path below fer/web."""
    return {
        path.relative_to(_WEB).as_posix(): path
        for path in sorted(_WEB.rglob("*"))
        if path.suffix in (".js", ".mjs", ".gz")
    }


class Assets:
    """Serve a fixed set of files, read at the start.

    Args:
        files: by the path under which each is served.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        digest = hashlib.sha256()
        for name, path in sorted(files.items()):
            digest.update(f"{name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        self._files = dict(files)
        self._version = digest.hexdigest()[:_N_HEX]

    @property
    def base(self) -> str:
        """Where the files lie, from the page's own address: "fer/0123456789abcdef/"."""
        return f"fer/{self._version}/"

    @property
    def route(self) -> Route:
        """The route of all files, for GET and HEAD; others are 404."""
        return Route(f"/fer/{self._version}/{{name:path}}", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        path = self._files.get(request.path_params["name"])
        if path is None or not path.is_file():
            return Response("Not found", 404)
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)
