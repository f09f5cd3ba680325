"""No element of ours has anything that axe-core objects to, on any tab, in any state."""

import pytest

from tests.conftest import open_page
from tests.web.axe import (
    LOOKS,
    judge_all,
    walk_examples,
    walk_live,
    walk_photo,
    walk_video,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.long]

# Of Gradio's own components, which no style or text of ours reaches: rule, and a part of the
# element's selector. Its field for files shows "Drop File Here" and has another name.
GRADIO = (("label-content-name-mismatch", "Click to upload or drop files"),)


def ours(found):
    """What is not Gradio's own, a line each."""
    return [
        f"{each.state}: {each.rule}: {each.target}: {each.why}"
        for each in found
        if not any(each.rule == rule and part in each.target for rule, part in GRADIO)
    ]


@pytest.fixture(params=["light", "dark"])
def look(request):
    return {**LOOKS[request.param], "permissions": ["camera"]}


def test_the_page_with_a_server(camera, device_app, look, tmp_path):
    page = open_page(camera, device_app.url, **look)
    found = judge_all(page, walk_live(page))
    found += judge_all(page, walk_photo(page, tmp_path))
    found += judge_all(page, walk_video(page, tmp_path))
    found += judge_all(page, walk_examples(page, compares=True))
    assert ours(found) == []
    assert page.problems == []


def test_the_page_without_a_server(camera, static_page, look, tmp_path):
    page = open_page(camera, static_page.url, engine=None, **look)
    found = judge_all(page, walk_live(page))
    found += judge_all(page, walk_photo(page, tmp_path))
    found += judge_all(page, walk_examples(page, compares=False))
    assert ours(found) == []
    assert page.problems == []
