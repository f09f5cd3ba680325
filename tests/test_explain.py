import re
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fer.classify import Classifier
from fer.errors import ConfigError, InputError
from fer.explain import explain, overlay
from fer.hub import load_classifier
from fer.image import read_image
from tests.conftest import ROOT, make_classifier, make_config, make_two_heads, noise, shared

RENDERED = sorted((ROOT / "examples").glob("[fm]_*.png"))


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
    assert explain(load_classifier(), noise(*size), method="cam").shape == size


def test_what_cannot_be_explained_is_refused():
    classifier, crop = make_classifier(), noise(9, 9)
    with pytest.raises(InputError, match=r"0\.\.1"):
        explain(classifier, crop, 2)
    with pytest.raises(InputError, match="method"):
        explain(classifier, crop, method="tea leaves")
    with pytest.raises(InputError, match="uint8"):
        explain(classifier, crop.astype(float))
    with pytest.raises(ConfigError, match="LiteRT"):
        explain(classifier, crop, method="cam")
    with pytest.raises(InputError, match="heat"):
        overlay(crop, np.zeros((8, 9), np.float32))


def test_an_overlay_is_gray_orange_for_and_blue_against():
    crop = np.full((3, 1, 3), (200, 100, 100), np.uint8)
    blue, gray, orange = overlay(crop, np.array([[-1], [0], [1]], np.float32))[:, 0].astype(int)
    assert np.ptp(gray) == 0
    assert orange[0] > orange[1] > orange[2]
    assert blue[2] > blue[1] > blue[0]
    faint = overlay(crop, np.full((3, 1), 0.002, np.float32))[0, 0].astype(int)
    assert np.ptp(faint) < 0.2 * np.ptp(orange)


def occluded(crop, mask):
    """The crop with what `mask` (h, w) selects strongly blurred."""
    blurred = Image.fromarray(crop).filter(ImageFilter.GaussianBlur(len(crop) / 8))
    return np.where(mask[..., None], np.asarray(blurred), crop)


def drops(classifier, crops, method):
    """By how much the top probability of each crop falls without a fifth of its pixels.

    Columns: the hottest fifth of the map, the coldest one, and one drawn at random.
    """
    rows = []
    for crop in crops:
        prob = classifier([crop])[0]
        heat = explain(classifier, crop, method=method).ravel()
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
    hot, cold, chance = drops(load_classifier(), crops, "occlusion").T
    # On average 0.27, 0.02 and 0.09.
    assert (hot - cold).mean() > 0.15
    assert (hot - chance).mean() > 0.1
    assert (hot > cold).mean() > 0.7


def documented_points(method):
    """Return the drops in docs/accuracy.md: of the hottest fifth, and of any where it has one."""
    text = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    rows = {
        row[0]: row[1:] for row in re.findall(r"^\| (\w+) fifth \| (\d*) \| ?(\d*) \|$", text, re.M)
    }
    column = {"occlusion": 0, "cam": 1}[method]
    return [int(rows[name][column]) for name in ("hottest", "any") if rows[name][column]]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "least"), [("occlusion", 0.35), ("cam", 0.0)])
def test_fer2013_faces_lose_more_without_the_hot_area_than_without_the_cold_one(method, least):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = shared("data", "fer2013", "data", "validation-00000-of-00001.parquet")
    pictures = parquet.read_table(path, columns=["image"])["image"].to_pylist()
    chosen = np.random.default_rng(0).permutation(len(pictures))[:120]
    crops = [read_image(pictures[i]["bytes"]) for i in chosen]
    hot, cold, chance = drops(load_classifier(), crops, method).T
    print(f"{method}: hot {hot.mean():.3f}, cold {cold.mean():.3f}, chance {chance.mean():.3f}")
    difference = hot - cold
    assert difference.mean() - 2 * standard_error(difference) > least
    measured = [round(100 * float(values.mean())) for values in (hot, chance)]
    said = documented_points(method)
    assert said == measured[: len(said)]
    assert method == "cam" or cold.mean() <= 0
