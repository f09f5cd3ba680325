"""A running page under attack, in short; `make attack` does it in full."""

import json
import os
import subprocess
import sys

import httpx
import pytest

from tests.conftest import ROOT

pytest.importorskip("psutil")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="it looks into the memory of a process")
def test_a_page_under_attack_gives_nothing_away():
    done = subprocess.run(
        [sys.executable, "-m", "bench.attack", "--seconds", "0", "--quiet", "1", "--light"],
        cwd=ROOT,
        env={**os.environ, "_TYPER_STANDARD_TRACEBACK": "1"},  # short: its end names the place
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"


def careless(request):
    """Answer as a page does that opens what it is told to, and that trusts everybody."""
    allowed = {"access-control-allow-origin": request.headers.get("origin", "*")}
    if request.url.path.endswith("/call/predict_image") and request.method == "POST":
        return httpx.Response(200, json={"event_id": "x"})
    if "/call/predict_image/" in request.url.path:
        return httpx.Response(200, text=json.dumps({"faces": []}))
    return httpx.Response(200, json={}, headers=allowed)


@pytest.mark.parametrize(
    "name",
    [
        "files of the machine, in calls",
        "files of the machine, by address",
        "names of sessions and events",
        "odd JSON",
        "other hosts",
        "other origins",
        "functions that are not there",
    ],
)
def test_an_attack_on_a_careless_page_gets_through(name, tmp_path, monkeypatch):
    """Each check can fail."""
    import asyncio

    from bench.attack.page import Page, Visit
    from bench.attack.table import ATTACKS, Broken

    class CarelessPage(Page):
        url = "http://page.test"

        def visit(self, address="198.51.100.1"):
            visit = Visit(self.url, address)
            visit.client = httpx.AsyncClient(
                base_url=self.url, transport=httpx.MockTransport(careless)
            )
            return visit

    for folder in ("temporary", "outside"):
        (tmp_path / folder).mkdir()
    (attack,) = (each for each in ATTACKS if each.name == name)
    page = CarelessPage(None, tmp_path / "temporary", tmp_path / "outside")
    with pytest.raises(Broken):
        asyncio.run(attack.run(page))
