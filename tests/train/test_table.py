"""The table of the family, and what it says of "sad"."""

import json

import pytest

from fer.errors import InputError
from fer.hub import WEIGHTS_FOLDER
from tests.conftest import ROOT

pytest.importorskip("jinja2")
pytest.importorskip("pandas")
pytest.importorskip("huggingface_hub")

from train.publish import family as table
from train.recipes import FAMILY, RECIPES

NAMES = ["angry", "disgust", "sad"]


def make_report(matrix=((8, 0, 2), (1, 8, 1), (4, 0, 16)), **changes):
    """A report on 40 images: ten angry, ten disgust, twenty sad."""
    total = sum(map(sum, matrix))
    hits = sum(row[i] for i, row in enumerate(matrix))
    part = {"top1": 100 * hits / total, "confusion_matrix": [list(row) for row in matrix]}
    part["n_images"] = total
    part["classes"] = {
        name: {
            "precision": 100 * matrix[i][i] / sum(row[i] for row in matrix),
            "recall": 100 * matrix[i][i] / sum(matrix[i]),
        }
        for i, name in enumerate(NAMES)
    }
    return {
        "recipe": "toy",
        "sha256": "ab" * 32,
        "class_names": NAMES,
        "full": part,
        "twin_free": part | {"top1": 77.7},
        "coverage": {},
        "reliability": {"full": {}},
        "robustness": {},
        "validation": {"n_images": 40, "top1": 63.0, "twin_free_top1": 61.0},
        "shares": {
            "labels": {"angry": 25.0, "disgust": 25.0, "sad": 50.0},
            "probs": {"angry": 27.0, "disgust": 24.0, "sad": 49.0},
            "answers": {"angry": 32.5, "disgust": 20.0, "sad": 47.5},
            "matched": {
                "top1": 81.0,
                "macro_f1": 80.0,
                "answers": {"angry": 25.0, "disgust": 24.0, "sad": 51.0},
            },
            "scaled_twice": {"top1": 50.0, "answers": {"angry": 1.0, "disgust": 0.0, "sad": 99.0}},
        },
        "formats": [{"file": "model_int8.tflite", "top1": 79.5, "sha256": "cd" * 32}],
        "on_classes": [
            {
                "class_names": ["disgust", "sad"],
                "n_images": 30,
                "top1": 91.0,
                "twin_free_top1": 90.0,
            }
        ],
        "training": {
            "recipe": {
                "phases": [{"input_size": 64}, {"input_size": 96}],
                "images_per_class": None,
                "backbone": "mobilenetv2",
                "classes": [],
            },
            "command": "python -m train fit toy",
            "wall_time_s": 600,
            "device": "cpu:0",
            "images_seen": 1234,
            "log": [{}, {}, {}],
        },
        **changes,
    }


@pytest.fixture
def results(tmp_path):
    first, second = FAMILY[:2]
    (tmp_path / f"{first}.json").write_text(json.dumps(make_report(recipe=first)))
    five = make_report(recipe=second, class_names=["disgust", "sad"])
    (tmp_path / f"{second}.json").write_text(json.dumps(five))
    return tmp_path


def test_every_recipe_of_the_family_is_one_system_and_says_what_it_is():
    assert tuple(table.SYSTEMS) == FAMILY
    assert set(FAMILY) <= set(RECIPES)
    for name in FAMILY:
        assert RECIPES[name]().name == name
        text = RECIPES[name].__doc__
        assert f"python -m train fit {name}" in text
        assert len([line for line in text.splitlines() if line.strip()]) <= 16, name
        assert table.SYSTEMS[name].idea.endswith(".")
    titles = [system.title for system in (*table.SYSTEMS.values(), table.FLAGSHIP)]
    assert len(set(titles)) == len(titles)
    assert "The model of this page" not in titles  # the page calls whatever it runs so


def test_a_row_is_the_run_beside_what_was_reported(results):
    rows = table.collect_rows(results, make_report())
    first, second, third = rows[:3]
    assert first["minutes"] == pytest.approx(10.0)
    assert first["reached"] is True  # validation 63.0, reported 40
    assert second["reached"] is False  # validation 63.0, reported 72.6
    assert first["flagship"]["top1"] == 80.0
    assert second["flagship"] == make_report()["on_classes"][0]
    assert first["setting"] == "3 epochs at 64 and 96 px"
    assert third["report"] is None
    assert "What it taught us" in third["lesson"]
    assert "What it taught us" not in third["idea"] + third["lesson"][5:]
    lines = table.format_table(rows).splitlines()
    assert len(lines) == 2 + len(FAMILY)
    assert f"| [{FAMILY[0]}](#{FAMILY[0]}) | val. 40 % | 63.0 % (61.0 %) " in lines[2]
    assert "| **80.0 %** (77.7 %) | 80.0 % (77.7 %) | 10 | 3 epochs at" in lines[2]
    assert "| 91.0 % (90.0 %) |" in lines[3]
    assert "not run yet" in lines[4]
    assert len({line.count("|") for line in lines}) == 1


def test_a_run_says_what_it_had_less_of(results):
    report = make_report(recipe=FAMILY[0])
    report["training"]["recipe"] |= {"images_per_class": 112, "backbone": "cnn"}
    (results / f"{FAMILY[0]}.json").write_text(json.dumps(report))
    row = table.collect_rows(results, make_report())[0]
    assert row["setting"] == "3 epochs at 64 and 96 px, 112 images per class, cnn instead"


def test_figures_that_are_missing_are_asked_for(results):
    path = results / f"{FAMILY[0]}.json"
    whole = make_report(recipe=FAMILY[0])
    for key in ("training", "validation", "shares"):
        path.write_text(json.dumps(whole | {key: None}))
        with pytest.raises(InputError, match=rf"evaluate.*Received: no \['{key}'\]"):
            table.collect_rows(results, make_report())
    path.write_text(json.dumps(whole | {"class_names": ["angry", "sad"]}))
    with pytest.raises(InputError, match=r"classes \['angry', 'sad'\].*evaluate"):
        table.collect_rows(results, make_report())
    path.write_text(json.dumps(whole | {"formats": []}))
    rows = table.collect_rows(results, make_report())
    with pytest.raises(InputError, match=r"model_int8\.tflite.*TensorFlow"):
        table._entries(results, rows, make_report())


def test_the_page_is_told_of_the_file_that_it_asks(results):
    rows = table.collect_rows(results, make_report())
    first, _, flagship = table._entries(results, rows, make_report())
    assert (first.recipe, first.top1, first.sha256) == (FAMILY[0], 79.5, "cd" * 32)
    assert (flagship.title, flagship.top1) == (table.FLAGSHIP.title, 80.0)
    assert flagship.sha256 == "ab" * 32


def test_sad_is_counted_where_it_is_answered_and_where_it_is_true():
    found = table.sad_bias(make_report(), None)
    assert found["excess"] == pytest.approx(-2.5)
    assert found["distance"] == pytest.approx((7.5 + 5 + 2.5) / 2)
    assert found["false_positives"] == pytest.approx(100 * 3 / 20)
    assert (found["precision"], found["recall"]) == (pytest.approx(100 * 16 / 19), 80.0)
    assert found["matched"] == {"top1": 81.0, "macro_f1": 80.0, "excess": 1.0, "distance": 1.0}
    assert found["stuck"] == {"answer": "sad", "share": 99.0, "top1": 50.0}
    assert found["probe"] is None
    probe = {
        "by_expression": {"disgust": {}, "sad": {}},
        "answers": {"angry": 20.0, "disgust": 20.0, "sad": 60.0},
    }
    probed = table.sad_bias(make_report(), probe)["probe"]
    assert probed == {"answered": 60.0, "shown": 50.0, "distance": pytest.approx(20.0)}


def test_what_is_known_of_sad_is_told(results):
    """Of two runs and the flagship, with and without rendered persons."""
    flagship = make_report(recipe="own")
    for name in ("upsampled", "full-two-dense"):
        (results / f"{name}.json").write_text(json.dumps(make_report(recipe=name)))
    probe = {
        "sha256": "ab" * 32,
        "by_expression": {"disgust": {}, "sad": {}},
        "answers": {"angry": 20.0, "disgust": 20.0, "sad": 60.0},
    }
    (results / "own_subgroups.json").write_text(json.dumps(probe))
    (results / "upsampled_subgroups.json").write_text(json.dumps(probe | {"sha256": "00" * 32}))
    text = table.format_family(results, flagship)
    assert "| `own` | 80.0 % | 84.2 % | 80.0 % | 15.0 % | -2.5 points | 7.5 |" in text
    assert "| `own` | sad 99 % | 81.0 % | +1.0 points | 1.0 | 60.0 % (50.0 %) | 20.0 |" in text
    assert "| `upsampled` | sad 99 % | 81.0 % | +1.0 points | 1.0 | - | - |" in text
    (results / "upsampled.json").unlink()
    assert "Not measured yet." in table.format_family(results, flagship)


def test_the_committed_table_is_the_generated_one(tmp_path):
    (tmp_path / "docs").mkdir()
    copied = tmp_path / "results"
    copied.mkdir()
    for path in (ROOT / "results").glob("*.json"):
        (copied / path.name).write_bytes(path.read_bytes())
    table.write_table(copied, tmp_path)
    for name in ("docs/family.md", "results/models/models.json"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes(), name


@pytest.mark.parametrize("name", FAMILY)
def test_a_row_has_its_run_its_pictures_and_its_network(name):
    from fer.gallery import GALLERY_FOLDER, INT8_NAME, TABLE_NAME, check_config, read_table
    from fer.types import ModelConfig

    report = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    entries = {
        entry.recipe: entry for entry in read_table((GALLERY_FOLDER / TABLE_NAME).read_bytes())
    }
    for kind in ("training", "confusion"):
        assert (ROOT / "results" / f"{name}_{kind}.png").is_file()
    assert report["training"]["wall_time_s"] <= 40 * 60
    config = ModelConfig.read(GALLERY_FOLDER / name)
    sha256 = check_config(config, entries[name])
    measured = {row["file"]: row for row in report["formats"]}
    assert measured[INT8_NAME]["sha256"] == sha256
    assert abs(measured[INT8_NAME]["top1_change"]) < 1
    own = ModelConfig.read(WEIGHTS_FOLDER)
    flagship = json.loads((ROOT / "results" / f"{own.recipe}.json").read_text(encoding="utf-8"))
    rows = {row["recipe"]: row for row in table.collect_rows(ROOT / "results", flagship)}
    assert rows[name]["reached"] is not False
