"""Record the animated picture of README: the live tab in Chromium, with a clip as its camera.

Run `make demo` after a change of the page.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from bench.apps import ROOT, chromium_path, launch_chromium, serve, write_camera

_TARGET = ROOT / "docs" / "live.webp"
_VIEW_WIDTH_PX, _VIEW_HEIGHT_PX = 1280, 800
_WIDTH_PX = 800
_N_FRAMES = 30
_FRAME_MS = 200  # the clip's head is back where it began after 6 s


def _record(url: str, camera: Path) -> list[Image.Image]:
    """Take screenshots of the live tab while it watches the clip `camera`."""
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright, camera)
        page = browser.new_context(
            permissions=["camera"], viewport={"width": _VIEW_WIDTH_PX, "height": _VIEW_HEIGHT_PX}
        ).new_page()
        page.goto(url)
        page.click("#live .start")
        page.wait_for_selector("#live .faces .fer-bar", timeout=60_000)
        page.wait_for_timeout(5000)  # fills a part of the timeline
        shots = []
        for _ in range(_N_FRAMES):
            shots.append(page.screenshot(type="png"))
            page.wait_for_timeout(_FRAME_MS)
        browser.close()
    return [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]


def main() -> None:
    """Write docs/live.webp."""
    if chromium_path() is None:
        sys.exit("Chromium is not installed: bash tests/install_browsers.sh")
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder) / "camera.y4m"
        write_camera(camera)
        with serve("app.py") as app:
            shots = _record(app.url, camera)
    size = _WIDTH_PX, round(_WIDTH_PX * _VIEW_HEIGHT_PX / _VIEW_WIDTH_PX)
    first, *others = [shot.resize(size, Image.Resampling.LANCZOS) for shot in shots]
    first.save(
        _TARGET,
        save_all=True,
        append_images=others,
        duration=_FRAME_MS,
        loop=0,
        quality=60,
        method=6,
    )
    print(f"wrote {_TARGET}, {_TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
