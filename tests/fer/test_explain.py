import re
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fer.classify import Classifier
from fer.errors import InputError
from fer.explain import explain, overlay
from fer.hub import load_classifier
from fer.image import read_image
from tests.conftest import FACE, ROOT, make_classifier, make_config, make_two_heads, noise, shared

RENDERED = sorted(FACE.parent.glob("monk-5_*_25_*.jpg"))


def corner_classifier():
    """Two classes by the brightness of the upper left quarter alone: "dark" and "bright"."""

    def network(pixels):
        mean = pixels[:, :8, :8].mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - mean, mean], axis=1).astype(np.float32) * 10

    return Classifier(network, make_config())


def bright_corner(side=40):
    crop = np.full((side, side, 3), 10, np.uint8)
    crop[: side // 2, : side // 2] = 240
    return crop


def test_only_the_place_that_matters_is_hot():
    heat = explain(corner_classifier(), bright_corner())
    assert heat.shape == (40, 40)
    assert heat.dtype == np.float32
    assert heat[5:15, 5:15].min() > 0.005
    assert np.abs(heat[28:, 28:]).max() == 0


def test_what_speaks_for_one_of_two_classes_speaks_against_the_other():
    classifier, crop = corner_classifier(), bright_corner()
    bright, dark = explain(classifier, crop, 1), explain(classifier, crop, 0)
    assert np.allclose(bright, -dark, atol=1e-6)
    assert np.array_equal(explain(classifier, crop), bright)


def test_the_labels_are_explained_as_they_are_served():
    classifier, crop = make_two_heads(), np.full((40, 40, 3), 120, np.uint8)
    crop[:20, :20] = 250
    heat = explain(classifier, crop, 1)
    assert heat[5:15, 5:15].min() > 0
    unbiased = explain(make_two_heads(decision="dataset"), crop, 1)
    assert np.abs(heat - unbiased).max() > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (300, 11)])
def test_a_map_has_the_size_of_its_crop(size):
    assert explain(make_classifier(), noise(*size)).shape == size


def test_what_cannot_be_explained_is_refused():
    classifier, crop = make_classifier(), noise(9, 9)
    with pytest.raises(InputError, match=r"0\.\.1"):
        explain(classifier, crop, 2)
    with pytest.raises(InputError, match="uint8"):
        explain(classifier, crop.astype(float))
    with pytest.raises(InputError, match="heat"):
        overlay(crop, np.zeros((8, 9), np.float32))


def test_an_overlay_is_gray_purple_for_and_green_against():
    crop = np.full((3, 1, 3), (200, 100, 100), np.uint8)
    green, gray, purple = overlay(crop, np.array([[-1], [0], [1]], np.float32))[:, 0].astype(int)
    assert np.ptp(gray) == 0
    assert min(purple[0], purple[2]) > purple[1] + 40
    assert green[1] > max(green[0], green[2]) + 40


def test_an_effect_of_two_points_is_drawn_faint_and_one_of_fifteen_in_full():
    crop = np.full((3, 1, 3), 150, np.uint8)
    full, some, faint = (
        overlay(crop, np.full((3, 1), value, np.float32))[0, 0].astype(int)
        for value in (0.5, 0.15, 0.02)
    )
    assert np.array_equal(some, full)
    assert np.ptp(faint) < 0.2 * np.ptp(full)


def occluded(crop, mask):
    """The crop with what `mask` (h, w) selects strongly blurred."""
    blurred = Image.fromarray(crop).filter(ImageFilter.GaussianBlur(len(crop) / 8))
    return np.where(mask[..., None], np.asarray(blurred), crop)


def drops(classifier, crops):
    """By how much the top probability of each crop falls without a fifth of its pixels.

    Columns: the hottest fifth of the map, the coldest one, and one drawn at random.
    """
    rows = []
    for crop in crops:
        prob = classifier([crop])[0]
        heat = explain(classifier, crop).ravel()
        rng = np.random.default_rng(zlib.crc32(crop.tobytes()))
        smooth = Image.fromarray(rng.random((4, 4), np.float32)).resize(crop.shape[1::-1])
        pictures = []
        for order in (-heat, heat, np.asarray(smooth).ravel()):
            mask = np.zeros(heat.size, bool)
            mask[order.argsort(kind="stable")[: heat.size // 5]] = True
            pictures.append(occluded(crop, mask.reshape(crop.shape[:2])))
        top = int(prob.argmax())
        rows.append(prob[top] - classifier(pictures)[:, top])
    return np.array(rows)


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values))


def test_rendered_faces_lose_more_without_the_hot_area_than_without_the_cold_one():
    crops = [read_image(path) for path in RENDERED]
    assert len(crops) >= 14
    hot, cold, chance = drops(load_classifier(), crops).T
    # On average 0.27, 0.02 and 0.09.
    assert (hot - cold).mean() > 0.15
    assert (hot - chance).mean() > 0.1
    assert (hot > cold).mean() > 0.7


def documented_points():
    """Return the drops in docs/accuracy.md: without the hottest fifth, any fifth, the coldest."""
    text = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    points = dict(re.findall(r"^\| (\w+) fifth \| (-?\d+) \|$", text, re.M))
    return [int(points[name]) for name in ("hottest", "any", "coldest")]


@pytest.mark.long
def test_fer2013_faces_lose_more_without_the_hot_area_than_without_the_cold_one():
    parquet = pytest.importorskip("pyarrow.parquet")
    path = shared("data", "fer2013", "data", "validation-00000-of-00001.parquet")
    pictures = parquet.read_table(path, columns=["image"])["image"].to_pylist()
    chosen = np.random.default_rng(0).permutation(len(pictures))[:120]
    crops = [read_image(pictures[i]["bytes"]) for i in chosen]
    hot, cold, chance = drops(load_classifier(), crops).T
    print(f"hot {hot.mean():.3f}, cold {cold.mean():.3f}, chance {chance.mean():.3f}")
    difference = hot - cold
    assert difference.mean() - 2 * standard_error(difference) > 0.35
    assert documented_points() == [round(100 * float(each.mean())) for each in (hot, chance, cold)]
