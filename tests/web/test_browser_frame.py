"""What is around the tabs of both pages: head, notice, keys, and that nothing jumps."""

import pytest
from playwright.sync_api import expect

from tests.conftest import open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MAX_HEAD_PX = 88
# Good is under 0.1. Source: web.dev/articles/cls.
MAX_SHIFT = 0.1
WATCH = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
SELECTED = "document.querySelector('[role=tab][aria-selected=true]').innerText.trim()"


@pytest.fixture(params=["device_app", "static_page"])
def url(request):
    return request.getfixturevalue(request.param).url


@pytest.mark.long
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_head_is_low_and_nothing_jumps(browser, url, size):
    viewport = dict(zip(("width", "height"), size, strict=True))
    page = open_page(browser, url, WATCH, viewport=viewport)
    page.wait_for_selector("#live .start:enabled")
    page.wait_for_timeout(1000)
    assert page.evaluate("window.shift") < MAX_SHIFT
    box = page.locator(".fer-head").bounding_box()
    assert box["y"] + box["height"] <= MAX_HEAD_PX
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    # It is said before the camera can be started.
    expect(page.locator(".fer-head")).to_contain_text(
        "AI guess at how a face looks, not what anyone feels", use_inner_text=True
    )
    assert page.problems == []
    page.context.close()


def test_keys_change_tabs_and_the_link_opens_the_notice(browser, url):
    page = open_page(browser, url, viewport={"width": 1280, "height": 800})
    page.wait_for_selector("#live .start:enabled")
    page.keyboard.press("2")
    assert page.evaluate(SELECTED) == "Photo"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(SELECTED) == "Live"
    page.keyboard.press("End")
    assert page.evaluate(SELECTED) == "Examples"
    assert page.evaluate("document.activeElement.getAttribute('role')") == "tab"
    expect(page.locator(".fer-notice details p").first).to_be_hidden()
    page.click(".fer-head a")
    expect(page.locator(".fer-notice details p").first).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "limits"
    assert page.evaluate(SELECTED) == "Examples"  # the page was not loaded anew
    assert page.problems == []
    page.context.close()
