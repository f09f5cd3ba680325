"""A folder served on localhost, which counts what it sends: for timings and for tests."""

import functools
import http.server
import shutil
import threading
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from train.publish.files import Files, write_folder

__all__ = ["Site"]


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, handler: Any) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.headers: dict[str, str] = {}
        self.encodings: dict[str, str] = {}
        self.asked: list[tuple[int, str]] = []
        self.n_bytes = 0


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Python's own, which counts what it sends."""

    server: _Server

    def log_message(self, *_: Any) -> None:
        """Write nothing."""

    def send_response(self, code: int, message: str | None = None) -> None:
        """Note what was asked for."""
        super().send_response(code, message)
        self.server.asked.append((code, urlsplit(self.path).path))

    def end_headers(self) -> None:
        """Send the site's own headers, too."""
        headers = self.server.headers
        if encoding := self.server.encodings.get(PurePosixPath(self.path).suffix):
            headers = {**headers, "content-encoding": encoding}
        for name, value in headers.items():
            self.send_header(name, value)
        super().end_headers()

    def copyfile(self, source: Any, outputfile: IO[bytes]) -> None:  # type: ignore[override]
        """Send a file."""
        content = source.read()
        self.server.n_bytes += len(content)
        outputfile.write(content)


class Site:
    """A page in a folder, served below a path until `close`.

    Args:
        root: folder of all that is served.
        path: of the page in it.

    Attributes:
        url: of the page.
        folder: of its files.
        headers: sent with each file.
        encodings: of files, by the ending of their names.
    """

    def __init__(self, root: Path, path: str = "some/where") -> None:
        self.folder = root / path
        self._server = _Server(functools.partial(_Handler, directory=str(root)))
        self.headers, self.encodings = self._server.headers, self._server.encodings
        self.url = f"http://127.0.0.1:{self._server.server_port}/{path}".rstrip("/") + "/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def clear(self) -> None:
        """Count anew."""
        self._server.asked, self._server.n_bytes = [], 0

    @property
    def asked(self) -> list[tuple[int, str]]:
        """Status and path of each request."""
        return list(self._server.asked)

    @property
    def n_bytes(self) -> int:
        """Return how much of files was sent."""
        return self._server.n_bytes

    def publish(self, files: Files) -> None:
        """Replace the page, as a new commit does."""
        shutil.rmtree(self.folder, ignore_errors=True)
        write_folder(files, self.folder)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
