"""olah, a mirror of the Hub by other people, which serves git repositories without a network.

It wants other versions of packages than we do, so it has an environment of its own; run as a
script this file is the server in there.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = "0.5.4"
_CONFIG = """
[basic]
repos-path = {cache!r}
mirrors-path = [{repositories!r}]
[accessibility]
offline = true
"""


class CannotInstall(Exception):
    """There is no olah, and pip cannot get it."""


def install(folder):
    """The Python of an environment in `folder` that has olah; made where it is not there yet.

    Raises:
        CannotInstall: with what pip said.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / f"olah-{VERSION}"
    if done.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    # Our versions of what it shares with us, but for psutil, of which it wants an older one.
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(line for line in lock if not line.startswith("psutil")))
    pip = [python, "-m", "pip", "install", "--quiet", "--retries", "1", "-c", constraints]
    result = subprocess.run([*pip, f"olah=={VERSION}"], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise CannotInstall(" ".join(reason[-1:]) or result.stderr[-300:])
    done.touch()
    return python


@contextlib.contextmanager
def serve(python, folder, port):
    """The repositories in `folder`/repositories ("datasets/USER/NAME") at the URL that it gives."""
    url = f"http://127.0.0.1:{port}"
    config = folder / "olah.toml"
    paths = {key: str(folder / key) for key in ("cache", "repositories")}
    config.write_text(_CONFIG.format(**paths), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"OLAH_CONFIG": str(config), "OLAH_LOG_PATH": str(folder / "logs")}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [python, __file__, str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(url, process, folder / "server.log")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait(url, process, log):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url + "/api/datasets/nobody/nothing", timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"olah did not start:\n{log.read_text(encoding='utf-8')}")


class Git:
    """A repository of files with a history."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self._run("init", "--quiet", "--initial-branch", "main")

    def _run(self, *arguments):
        command = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org"]
        done = subprocess.run(
            [*command, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, tag=None):
        """All files in the folder, as they are; returns the name of the commit."""
        self._run("add", "--all")
        self._run("commit", "--quiet", "--message", "files")
        if tag is not None:
            self._run("tag", tag)
        return self._run("rev-parse", "HEAD")


class Parts:
    """Sends the part of a file that is asked for.

    olah sends all of a file of a git repository whatever is asked for. HTTP allows that; the
    client takes what comes for the part, so that streaming reads the head of a file as its tail.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        asked = None
        if scope["type"] == "http" and scope["method"] == "GET":
            header = dict(scope["headers"]).get(b"range", b"").decode()
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", header)
        if asked is None:
            await self.app(scope, receive, send)
            return
        start, body = None, bytearray()

        async def hold(message):
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))

        await self.app(scope, receive, hold)
        if start["status"] == 200:
            first, last = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
            kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
            span = f"bytes {first}-{last}/{len(body)}".encode()
            body = body[first : last + 1]
            added = [(b"content-range", span), (b"content-length", str(len(body)).encode())]
            start |= {"status": 206, "headers": kept + added}
        await send(start)
        await send({"type": "http.response.body", "body": bytes(body)})


if __name__ == "__main__":
    import uvicorn
    from olah.server import app

    uvicorn.run(Parts(app), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
