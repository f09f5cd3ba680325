"""Files of the page itself: its JavaScript modules and what the browser's engine reads.

Their addresses hold a hash of all of them, so browsers may keep them for ever, and a page never
runs modules of another version.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

__all__ = [
    "ASSETS_PATTERN",
    "RUNTIME_PATH",
    "Assets",
    "content_version",
    "find_modules",
    "find_static_modules",
    "preload_links",
]

_WEB = Path(__file__).parents[1]
# The largest of what the browser's engine loads.
RUNTIME_PATH = _WEB / "local" / "ort" / "ort-wasm-simd-threaded.wasm.gz"
# Browsers run a module only if it has a type of JavaScript; what the system knows may differ.
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    # Not `Content-Encoding`: the engine checks and unpacks it itself.
    ".gz": "application/gzip",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".mp4": "video/mp4",
}
_HEADERS = {"cache-control": "public, max-age=31536000, immutable"}
_N_HEX = 16
# For the `js_on_load` of a `gr.HTML`, which Gradio runs as the body of a function. Addresses start
# from the page's own, so they hold below a proxy's path, too.
_START = """
import(new URL("{address}", document.baseURI))
  .then((module) => {{
    module.start({{ element, props, server, watch, trigger }});
    element.dataset.started = "";
  }})
  .catch((error) => {{
    console.error(error);
    const text = document.createElement("p");
    text.className = "fer-error";
    text.setAttribute("role", "alert");
    text.textContent = "This part of the page could not be loaded. Reload the page.";
    element.prepend(text);
  }});
"""
ASSETS_PATTERN = rf"/fer/[0-9a-f]{{{_N_HEX}}}/(?:[a-z_]+/)*\w[\w.-]*"


def find_modules() -> dict[str, Path]:
    """Return the JavaScript of the page and of its local engine, by path below fer/web."""
    found = find_static_modules()
    return {name: path for name, path in found.items() if not name.startswith("static/")}


def find_static_modules() -> dict[str, Path]:
    """Return the same, and that of the page without a server."""
    return {
        path.relative_to(_WEB).as_posix(): path
        for path in sorted(_WEB.rglob("*"))
        if path.suffix in (".js", ".mjs", ".gz")
    }


def preload_links(base: str, names: Iterable[str]) -> str:
    """Return HTML that has browsers fetch the modules of all tabs, but not the engine, at once.

    Else a tab's modules would be fetched when it is first shown, one level of imports after the
    other.
    """
    wanted = [name for name in names if name.endswith(".js") and not name.startswith("local/")]
    return "\n".join(f'<link rel="modulepreload" href="{base}{name}">' for name in wanted)


def content_version(files: Mapping[str, bytes]) -> str:
    """Return a name for the content of files, by path: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:_N_HEX]


class Assets:
    """Serve a fixed set of files, read at the start.

    Args:
        files: paths or contents, by the path under which each is served.
    """

    def __init__(self, files: Mapping[str, Path | bytes]) -> None:
        self._files = dict(files)
        self._version = content_version(
            {
                name: file if isinstance(file, bytes) else file.read_bytes()
                for name, file in files.items()
            }
        )

    @property
    def base(self) -> str:
        """Where the files lie, from the page's own address: "fer/0123456789abcdef/"."""
        return f"fer/{self._version}/"

    @property
    def preload(self) -> str:
        """See `preload_links`."""
        return preload_links(self.base, self._files)

    def start_script(self, name: str) -> str:
        """Return the `js_on_load` of a `gr.HTML` that calls `start` of a module.

        Args:
            name: of the module, as in `files`.

        Raises:
            KeyError: there is no such file.
        """
        if name not in self._files:
            raise KeyError(name)
        return _START.format(address=self.base + name)

    @property
    def route(self) -> Route:
        """The route of all files, for GET and HEAD; others are 404."""
        return Route(f"/fer/{self._version}/{{name:path}}", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        file = self._files.get(name)
        kind = _TYPES.get(Path(name).suffix)
        if isinstance(file, bytes):
            return Response(file, media_type=kind, headers=_HEADERS)
        if file is None or not file.is_file():
            return Response("Not found", 404)
        return FileResponse(file, media_type=kind, headers=_HEADERS)
