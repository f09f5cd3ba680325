"""Two invented classes, from a folder of pictures to the page."""

import os
import subprocess
import sys

import pytest

from fer.errors import InputError
from fer.hub import load_classifier
from fer.pipeline import Pipeline
from tests.conftest import ROOT, FakeDetector, make_faces, noise, open_page

pytest.importorskip("keras")
pytest.importorskip("datasets")

from tests.toy_data import make_folder

pytestmark = [pytest.mark.keras, pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """What one command makes of a folder of 30 pictures a class."""
    folder = tmp_path_factory.mktemp("own")
    make_folder(folder / "faces", n=30, classes=("calm", "wild"))
    command = ["fit", "smoke", "--backbone", "cnn", "--dataset", folder / "faces"]
    done = subprocess.run(
        [sys.executable, "-m", "train", *map(str, command), "--out", str(folder / "run")],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run" / "export"


def test_the_pipeline_loads_it(served):
    classifier = load_classifier(str(served))
    result = Pipeline(FakeDetector(make_faces([0, 0, 40, 40])), classifier)(noise(40, 40))
    assert result.class_names == ("calm", "wild")
    assert result.faces.probs.sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="revision"):
        load_classifier(str(served), "main")


def test_the_page_shows_its_classes(served, start_app, chromium, hub):
    hub.fault = 503
    app = start_app(FER_MODEL_REPO=str(served))
    page = open_page(chromium(), app.url)
    page.get_by_role("tab", name="Photo").click()
    picture = str(ROOT / "examples" / "astronaut_happy.jpg")
    page.set_input_files("#photo .give input[type=file]", picture)
    page.wait_for_selector(".fer-card:visible", timeout=60_000)
    assert page.locator(".fer-card:visible .fer-bar").count() == 2
    text = page.locator(".fer-card:visible").inner_text()
    assert "calm" in text.lower()
    assert "wild" in text.lower()
    folder = ROOT / ".shots"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / "own_faces.png", full_page=True)
    assert page.problems == []
