"""python -m bench.first_visit: how long a first visitor of the page without a server waits."""

import statistics
import tempfile
from pathlib import Path

import pandas as pd
import typer
from playwright.sync_api import Browser, sync_playwright

from bench.apps import ROOT, cpu, launch_chromium, write_camera
from bench.report import write_speed
from bench.site import Site
from fer.hub import WEIGHTS_FOLDER
from train.publish.static import static_files

_PICTURE = ROOT / "examples" / "astronaut_happy.jpg"
_N_VISITS = 5
_PATIENCE_MS = 60_000
_SETTLED_MS = 2000
# From a click to what it shows, in the page's own clock: a program sees both later.
_CLOCK = """
window.times = {};
const note = (name) => (window.times[name] ??= performance.now());
document.addEventListener("click", ({ target }) => {
  if (target.closest("#live .start")) note("start");
  if (target.closest("#photo .bars .fer-bar")) note("asked");
}, true);
document.addEventListener("fer-answer", () => note("answer"), true);
new MutationObserver(() => {
  if (window.times.asked && document.querySelector("#photo .map[data-state=shown]")) note("map");
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-state"] });
"""


def _visit(browser: Browser, site: Site) -> dict[str, float]:
    """Visit the page for the first time: start the camera, then have a photo explained."""
    site.clear()
    # Waiting for a condition compiles it in the page, which the page's policy forbids.
    context = browser.new_context(
        permissions=["camera"], viewport={"width": 1280, "height": 800}, bypass_csp=True
    )
    page = context.new_page()
    page.add_init_script(_CLOCK)
    page.goto(site.url)
    page.click("#live .start:enabled")
    page.wait_for_function("window.times.answer", timeout=_PATIENCE_MS)
    page.wait_for_timeout(_SETTLED_MS)  # the files for a next visit come meanwhile
    n_bytes = site.n_bytes
    page.click("#live .stop")
    page.get_by_role("tab", name="Photo").click()
    page.set_input_files("#photo .give input[type=file]", str(_PICTURE))
    page.wait_for_selector("#photo .map[data-state=shown]", state="attached", timeout=_PATIENCE_MS)
    page.click("#photo .bars [aria-pressed=false]")
    page.wait_for_function("window.times.map", timeout=_PATIENCE_MS)
    times = page.evaluate("window.times")
    context.close()
    return {
        "from opening the page to the first answer, s": round(times["answer"] / 1000, 2),
        "from Start to the first answer, s": round((times["answer"] - times["start"]) / 1000, 2),
        "from a click to the map, s": round((times["map"] - times["asked"]) / 1000, 2),
        "transferred, MB": round(n_bytes / 1e6, 2),
    }


def main() -> None:
    """Measure first visits of the static page on localhost, each with an empty cache.

    Writes results/first_visit.csv, and from it the figures of docs/performance.md.
    """
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        camera = Path(folder, "camera.y4m")
        write_camera(camera)
        browser = launch_chromium(playwright, camera)
        site = Site(Path(folder, "root"))
        site.publish(static_files(WEIGHTS_FOLDER))
        visits = [_visit(browser, site) for _ in range(_N_VISITS)]
        site.close()
        browser.close()
    rows = {
        name: {
            "median": statistics.median(visit[name] for visit in visits),
            "longest": max(visit[name] for visit in visits),
        }
        for name in visits[0]
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("what")
    table["visits"], table["machine"] = _N_VISITS, cpu()
    table.to_csv(ROOT / "results" / "first_visit.csv")
    write_speed()
    print(table.to_string())


if __name__ == "__main__":
    typer.run(main)
