"""Pages and browsers that several modules look at."""

import pytest
from playwright.sync_api import expect

from tests.conftest import YUNET, shared

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
