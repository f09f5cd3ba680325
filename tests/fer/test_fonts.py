"""Class names of every script are drawn, or numbers with a legend."""

import numpy as np
import pytest
from PIL import features

from fer import fonts
from fer.annotate import annotate
from fer.types import Faces, FrameResult

CHINESE = ("高兴", "悲伤")
ARABIC = ("سعيد", "حزين")


@pytest.fixture(autouse=True)
def forget():
    fonts.find_font.cache_clear()
    yield
    fonts.find_font.cache_clear()


def draw(names):
    faces = Faces(
        xyxy=np.array([[20, 60, 180, 220]], np.float32),
        score=np.ones(1, np.float32),
        probs=np.array([[0.9, 0.1]], np.float32),
    )
    return annotate(np.zeros((240, 240, 3), np.uint8), FrameResult(faces, names, (240, 240), 0.5))


def test_latin_names_need_no_search(monkeypatch):
    monkeypatch.setattr(fonts, "_candidates", lambda text: pytest.fail("searched"))
    assert fonts.find_font("happysurprise") == ""
    assert fonts.legend(["happy"]) == ""


def test_without_a_font_numbers_are_drawn_and_named(monkeypatch):
    monkeypatch.setattr(fonts, "_candidates", lambda text: ["DejaVuSans.ttf", "none.ttf"])
    assert fonts.find_font("".join(CHINESE)) is None
    assert fonts.drawn_names(CHINESE) == ("1", "2")
    assert fonts.legend(CHINESE).endswith("numbers are drawn: 1 高兴, 2 悲伤")
    assert (draw(CHINESE) == draw(("1", "2"))).all()


@pytest.fixture
def dejavu():
    font_manager = pytest.importorskip("matplotlib.font_manager")
    return font_manager.findfont("DejaVu Sans")


def test_a_font_of_the_system_is_used(dejavu, monkeypatch):
    if not features.check("raqm"):
        pytest.skip("Pillow has no libraqm here")
    monkeypatch.setattr(fonts, "_candidates", lambda text: [dejavu])
    assert fonts.find_font("".join(ARABIC)) == dejavu
    assert fonts.drawn_names(ARABIC) == ARABIC
    assert (draw(ARABIC) != draw(("1", "2"))).any()


def test_without_shaping_nothing_is_drawn_from_right_to_left(dejavu, monkeypatch):
    monkeypatch.setattr(fonts, "_candidates", lambda text: [dejavu])
    monkeypatch.setattr(fonts.features, "check", lambda name: False)
    assert fonts.drawn_names(ARABIC) == ("1", "2")
