"""An app in a process of its own, Chromium, and a camera: for timings and for tests."""

import itertools
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import typer
from numpy.typing import NDArray

from fer.media.reader import read_frames

if TYPE_CHECKING:  # tests run without it
    from playwright.sync_api import Browser, Playwright

__all__ = [
    "ROOT",
    "Server",
    "camera_frames",
    "chromium_path",
    "cpu",
    "free_port",
    "launch_chromium",
    "run_app",
    "serve",
    "write_camera",
]

ROOT = Path(__file__).parents[1]
# Headless with a camera; quiet where there is no network.
_CHROMIUM = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--use-fake-ui-for-media-stream",
)
_N_FRAMES = 180  # the sway of the head ends where it began, and so does the expression


class Server:
    """A running app.

    Attributes:
        url: where it answers.
        process: to read memory and time from.
        log: what it wrote so far.
    """

    def __init__(self, url: str, process: psutil.Process, log: int) -> None:
        self.url = url
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it wrote to its standard output and error so far."""
        return os.pread(self._log, 1 << 24, 0).decode(errors="replace")

    def cpu_s(self) -> float:
        """Seconds of processor time so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory_mb(self) -> float:
        """Resident memory in megabytes."""
        return float(self.process.memory_info().rss / 1e6)


@contextmanager
def serve(*arguments: str, **environment: str) -> Iterator[Server]:
    """Run `python *arguments` from the root of the project as an app on a free port."""
    with run_app([sys.executable, *arguments], ROOT, {**os.environ, **environment}) as server:
        yield server


@contextmanager
def run_app(
    command: list[str], folder: Path, environment: dict[str, str], path: str = "/config"
) -> Iterator[Server]:
    """Run a command in a folder as an app on a free port, from when `path` answers on."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "GRADIO_SERVER_PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            server = Server(url, psutil.Process(process.pid), log.fileno())
            _wait(server, process, path, 180)
            yield server
        finally:
            if (process.poll() or 0) > 0:  # no signal ended it
                print(f"the app ended by itself:\n{server.log[-4000:]}", file=sys.stderr)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes], path: str, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(server.url + path, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the app did not start:\n{server.log}")


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def chromium_path() -> str | None:
    """Find the Chromium or Chrome of this machine; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def launch_chromium(
    playwright: "Playwright", camera: Path | None = None, options: Sequence[str] = ()
) -> "Browser":
    """Start Chromium with a clip in the place of the camera, or without a camera.

    Args:
        playwright: an open one.
        camera: of `write_camera`.
        options: more of Chromium's.

    Raises:
        typer.BadParameter: there is no Chromium.
    """
    path = chromium_path()
    if path is None:
        raise typer.BadParameter("This needs Chromium: bash tests/install_browsers.sh")
    arguments = [*_CHROMIUM, *options]
    if camera is None:
        arguments.append("--use-fake-device-for-media-stream=device-count=0")
    else:
        arguments += [
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
        ]
    return playwright.chromium.launch(
        executable_path=path, args=arguments, ignore_default_args=["--headless"]
    )


def camera_frames() -> Iterator[NDArray[np.uint8]]:
    """Return frames (480, 640, 3) of a rendered face that moves and changes its expression."""
    for shot in itertools.islice(read_frames(ROOT / "examples" / "expressions.mp4"), _N_FRAMES):
        yield shot.frame


def write_camera(
    path: Path, frames: Iterable[NDArray[np.uint8]] | None = None, fps: int = 30
) -> None:
    """Write frames as the Y4M file that Chromium takes for a camera.

    Args:
        path: of the file.
        frames: (480, 640, 3) each; those of `camera_frames` by default.
        fps: how many the camera has a second.
    """
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W640 H480 F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in camera_frames() if frames is None else frames:
            red, green, blue = np.moveaxis(frame.astype(np.float32), 2, 0)
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            file.write(b"FRAME\n" + luma.round().astype(np.uint8).tobytes())
            for channel, weight in ((blue, 0.564), (red, 0.713)):
                chroma = (128 + weight * (channel - luma)).reshape(240, 2, 320, 2).mean((1, 3))
                file.write(np.clip(chroma.round(), 0, 255).astype(np.uint8).tobytes())


def cpu() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
