"""python -m bench.live: the page in headless Chromium and the plain Gradio way."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import psutil
import typer
from playwright.sync_api import Page, sync_playwright

from bench.apps import (
    ROOT,
    Server,
    cpu,
    launch_chromium,
    serve,
    write_camera,
)
from bench.report import write_speed

_WARM_UP_S = 5

# Keeps the time of each answer of the page, and counts the frames of a video.
_WATCH = """
window.trips = [];
const original = window.fetch;
window.fetch = async (...args) => {
  const url = String((args[0] && args[0].url) || args[0]);
  if (!url.includes("component_server")) return original(...args);
  const start = performance.now();
  const response = await original(...args);
  const text = await response.text();
  window.trips.push(performance.now() - start);
  return new Response(text, response);
};
window.videoFrames = () => {
  const videos = [...document.querySelectorAll("video")];
  return Math.max(0, ...videos.map((one) => one.getVideoPlaybackQuality().totalVideoFrames));
};
"""
_ON_DEVICE = "#live .where:has-text('Runs on this device: no frame')"
_WATCH_DEVICE = """() => {
  const stage = document.querySelector("#live .stage");
  stage.addEventListener("fer-answer", (event) => window.trips.push(event.detail.ms));
}"""
_COUNT_PICTURES = """() => {
  window.pictures = 0;
  const root = document.querySelector("#result");
  const seen = (image) => image.addEventListener("load", () => (window.pictures += 1));
  const known = new Set();
  const look = () => root.querySelectorAll("img").forEach((image) => {
    if (!known.has(image)) { known.add(image); seen(image); }
  });
  new MutationObserver(look).observe(root, { childList: true, subtree: true });
  look();
}"""


@contextmanager
def _page(url: str, camera: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright, camera)
        page = browser.new_context(
            permissions=["camera"], viewport={"width": 1280, "height": 800}
        ).new_page()
        page.add_init_script(_WATCH)
        page.goto(url)
        yield page
        browser.close()


def _measure(
    server: Server, page: Page, seconds: float, count: Callable[[], tuple[float, float]]
) -> dict[str, Any]:
    """Measure rates between two readings; `count` gives answers and shown answers so far."""
    page.wait_for_timeout(1000 * _WARM_UP_S)
    page.evaluate("window.trips.length = 0")

    def read() -> np.ndarray:
        frames = page.evaluate("window.videoFrames()")
        spent = server.cpu_s(), _browser_cpu_s()
        return np.array([time.perf_counter(), *spent, frames, *count()])

    before = read()
    page.wait_for_timeout(1000 * seconds)
    passed, cpu_s, browser_s, frames, answers, shown = read() - before
    trips = page.evaluate("window.trips")
    return {
        "video/s": frames / passed,
        "answers/s": answers / passed,
        "shown/s": shown / passed,
        "median ms": np.median(trips) if trips else np.nan,
        "p95 ms": np.percentile(trips, 95) if trips else np.nan,
        "CPU ms/answer": 1000 * cpu_s / max(1, answers),
        "browser's CPU ms/answer": 1000 * browser_s / max(1, answers),
    }


def _browser_cpu_s() -> float:
    """Return the processor time of all processes of the browser so far, camera and drawing too."""
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "chrom" in process.name():
                times = process.cpu_times()
                spent += times.user + times.system
    return spent


def _ours(camera: Path, seconds: float, engine: str) -> dict[str, Any]:
    """Measure the page with one of the engines that a visitor may choose."""
    with serve("app.py") as server, _page(server.url, camera) as page:
        page.evaluate("engine => localStorage.setItem('fer-engine', engine)", engine)
        page.reload()
        page.click("#live .start:enabled", timeout=60_000)
        if engine == "device":
            page.wait_for_selector(_ON_DEVICE, timeout=60_000)
            page.evaluate(_WATCH_DEVICE)

        def count() -> tuple[float, float]:
            # Boxes are drawn as answers come, so each is shown.
            answers = page.evaluate(
                "Number(document.querySelector('#live .stage').dataset.answers)"
            )
            return answers, answers

        measured = _measure(server, page, seconds, count)
        _, _, detector = page.inner_text(".fer-status").strip(".").partition("Face detector: ")
        return measured | {"detector": detector}


def _plain(camera: Path, seconds: float, form: str, every_s: float) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile() as counter:
        settings = {
            "FER_PLAIN_COUNT": counter.name,
            "FER_PLAIN_FORMAT": form,
            "FER_PLAIN_EVERY": str(every_s),
        }
        with serve("-m", "bench.plain", **settings) as server, _page(server.url, camera) as page:
            page.click("[title='grant webcam access'] button", timeout=60_000)
            page.wait_for_timeout(2000)
            page.click("#camera button[aria-label='capture photo']")
            page.evaluate(_COUNT_PICTURES)

            def count() -> tuple[float, float]:
                return Path(counter.name).stat().st_size, page.evaluate("window.pictures")

            return _measure(server, page, seconds, count)


def main(
    seconds: Annotated[float, typer.Option(help="Measured for each row.")] = 20,
    camera: Annotated[
        Path | None, typer.Option(help="Y4M or MJPEG instead of the rendered face.")
    ] = None,
) -> None:
    """Measure one visitor: the page by its two engines, and the plain Gradio way.

    Writes results/live.csv, and from it the figures of docs/performance.md and README.
    """
    with tempfile.TemporaryDirectory() as folder:
        if camera is None:
            camera = Path(folder) / "camera.y4m"
            write_camera(camera)
        rows = {
            "gr.Image streaming, as it comes": _plain(camera, seconds, "webp", 0.5),
            "gr.Image streaming, unthrottled": _plain(camera, seconds, "webp", 0.01),
            "the same with JPEG": _plain(camera, seconds, "jpeg", 0.01),
            "the page, on the visitor's device": _ours(camera, seconds, "device"),
            "the page": _ours(camera, seconds, "server"),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    for rate in ("answers/s", "shown/s"):
        table[f"page's {rate}, ratio"] = table[rate].iloc[-1] / table[rate]
    table.insert(0, "machine", cpu())
    table.round(2).rename_axis("way").to_csv(ROOT / "results" / "live.csv")
    write_speed()
    print(f"one visitor, camera 640 x 480, {seconds:g} s each; ms: from sending a frame to its")
    print("answer, in the browser; ratio: the page's rate divided by that of the row")
    print(table.drop(columns=["machine", "detector"]).round(1).T.to_string(na_rep="-"))


if __name__ == "__main__":
    typer.run(main)
