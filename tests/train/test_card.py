"""The model card: generated whole, every figure from results/, nothing made up."""

import ast
import csv
import json
import re
import subprocess
from dataclasses import asdict
from itertools import count

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

from fer.errors import InputError
from fer.hub import WEIGHTS_FOLDER, load_classifier
from fer.image import read_image
from fer.preprocess import resize, to_model_input
from fer.types import ModelConfig
from tests.conftest import HUB, ROOT, make_config

card = pytest.importorskip("train.publish.card")
from train.measure.report import PARTS, subgroup_files  # noqa: E402
from train.publish.render import fixed, render_template  # noqa: E402

NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
CORRUPTIONS = ("blur", "noise", "jpeg", "brightness", "brighter", "contrast", "low_resolution")
SHA256 = "ab" * 32


def make_part(percent, n_images):
    matrix = [[20 if i == j else 2 for j in range(7)] for i in range(7)]
    matrix[2] = [3, 0, 10, 0, 9, 6, 0]
    return {
        "n_images": n_images,
        "top1": next(percent),
        "macro_f1": next(percent),
        "interval_95": {
            "top1": [next(percent), next(percent)],
            "macro_f1": [next(percent), next(percent)],
        },
        **{
            f"{key}{suffix}": next(percent) / 100
            for key in ("ece", "nll", "brier")
            for suffix in ("", "_uncalibrated")
        },
        "uncertain_share": next(percent),
        "top1_certain": next(percent),
        "top1_uncertain": next(percent),
        "classes": {
            name: {
                "precision": next(percent),
                "recall": 8.4 if name == "fear" else next(percent),
                "f1": next(percent),
                "f1_interval_95": [next(percent), next(percent)],
                "n_images": 11 + i,
            }
            for i, name in enumerate(NAMES)
        },
        "confusion_matrix": matrix,
    }


def make_training(**changes):
    from train.recipes import get_recipe

    record = {
        "recipe": asdict(get_recipe("mobilenetv2-96")),
        "command": "python -m train fit toy",
        "init": {"file": "imagenet.weights.h5", "sha256": "cd" * 32},
        "teachers": [],
        "backend": "jax",
        "keras": "3.99.1",
        "device": "cpu:0; 2 x86_64 cores",
        "class_bias": {"angry": 0.2, "happy": -0.3},
        "images_seen": 1234567,
        "wall_time_s": 18000,
        # The best figure of all, but not of the last phase.
        "log": [{"epoch": i, "val_accuracy": 0.9 if i < 20 else 0.6 + i / 1000} for i in range(23)],
    }
    return json.loads(json.dumps(record | changes))


def make_report(**changes):
    """All that `train.measure.evaluate.evaluate` writes; every percentage is another one."""
    percent = (round(20.11 + 0.13 * i, 2) for i in count())
    report = {
        "recipe": "toy",
        "file": "model.tflite",
        "sha256": SHA256,
        "trained_on": "fer2013 with FER+ votes",
        "dataset": "fer2013",
        "twins_marked": True,
        "test_sha256": "ef" * 32,
        "class_names": list(NAMES),
        "input_size": 96,
        "detail_size": 48,
        "stretch_percentile": 1.0,
        "color_mode": "gray",
        "temperature": 1.2345,
        "uncertain_below": 0.5,
        "full": make_part(percent, 3589),
        "twin_free": make_part(percent, 3002),
        "full_flip": make_part(percent, 3589),
        "twin_free_flip": make_part(percent, 3002),
        "coverage": {
            part: [
                {"coverage": share, "top1": next(percent), "threshold": next(percent) / 100}
                for share in range(100, 0, -10)
            ]
            for part in ("full", "twin_free")
        },
        "reliability": {"full": {"calibrated": [{}], "uncalibrated": [{}]}},
        "ferplus": {"n_images": 3141, "top1": next(percent), "macro_f1": next(percent)},
        "formats": [
            {
                "format": name,
                "file": f"{name}.bin",
                "bytes": 1_000_000 + i,
                "sha256": SHA256,
                "top1": next(percent),
                "macro_f1": next(percent),
                "twin_free_top1": next(percent),
                "top1_change": -0.25 * i,
                "largest_prob_gap": next(percent) / 1000,
            }
            for i, name in enumerate(("keras", "litert-float32", "onnx"))
        ],
        "robustness": {
            name: [
                {"strength": 0.5 * level, "top1": next(percent), "ece": next(percent) / 1000}
                for level in range(1, 6)
            ]
            for name in CORRUPTIONS
        },
        "training": make_training(),
    }
    report["robustness"]["rotation"] = [
        {"strength": 3 * level, "top1": 9.0 + level, "ece": 0.3 - level / 100}
        for level in range(1, 6)
    ]
    report["robustness"]["units"] = {name: f"unit of {name}" for name in (*CORRUPTIONS, "rotation")}
    return report | changes


def with_heads(report, decision="balanced"):
    """The report of a network with two heads, as `evaluate` writes it; every figure another one."""
    from train.data.votes import VOTE_CLASSES

    percent = (round(51.03 + 0.17 * i, 2) for i in count())
    decisions = {}
    for i, name in enumerate(("balanced", "dataset")):
        parts = {}
        for part in ("full", "twin_free", "full_flip", "twin_free_flip"):
            parts[part] = make_part(percent, report[part]["n_images"])
            parts[part]["balanced_accuracy"] = next(percent)
        bias = {each: round(0.11 * j - 0.3 + i, 4) for j, each in enumerate(NAMES)}
        decisions[name] = {"bias": bias, "temperature": 0.777 + i, **parts}
    votes = {
        part: {
            "majority": {
                "n_images": 3111 + i,
                "top1": next(percent),
                "balanced_accuracy": next(percent),
                "interval_95": {"top1": [next(percent), next(percent)]},
                "recall": {name: next(percent) for name in VOTE_CLASSES} | {"contempt": None},
            },
            "shares": {
                "n_images": 3222 + i,
                "total_variation": next(percent) / 1000,
                "kl": next(percent) / 100,
            },
        }
        for i, part in enumerate(("full", "twin_free"))
    }
    votes |= {"class_names": list(VOTE_CLASSES), "temperature": 1.1}
    formats = [
        row | {"votes_top1": next(percent), "votes_largest_prob_gap": 0.0123}
        for row in report["formats"]
    ]
    served = {part: decisions[decision][part] for part in PARTS}
    return (
        report
        | served
        | {
            "decision": decision,
            "decisions": decisions,
            "votes": votes,
            "formats": formats,
        }
    )


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def make_subgroups():
    return {
        "recipe": "toy",
        "sha256": SHA256,
        "n_pictures": 431,
        "n_found": 397,
        "detector": "YuNet",
        "accuracy": 41.7,
        "consistency": 83.1,
        "by_attribute": {"skin": {"pairs": 151, "changed": 12.3, "mean_prob_change": 0.0571}},
        "by_expression": {"happy": {"accuracy": 77.3, "consistency": 91.9}},
        "by_group": {"skin": {"dark": {"accuracy": 39.9, "n": 61}}},
    }


@pytest.fixture
def results(tmp_path):
    """A folder with every file that may stand beside a report."""
    rows = [
        {
            "recipe": name,
            "trained_on": trained_on,
            "full_top1": 61.17,
            "twin_free_top1": 59.03,
            "full_macro_f1": 57.31,
            "twin_free_macro_f1": 55.71,
            "full_ece": 0.0419,
            "sha256": sha256,
        }
        for name, trained_on, sha256 in (("toy", "fer2013", SHA256), ("rival", None, "ef" * 32))
    ]
    write_csv(tmp_path / "results.csv", rows)
    write_csv(
        tmp_path / "contrast.csv",
        [
            {"percentile": percentile, "contrast": factor, "top1": top1, "macro_f1": 50.0}
            for percentile, factor, top1 in (
                (None, 1.0, 66.61),
                (None, 0.3, 55.59),
                (1.0, 1.0, 66.43),
                (1.0, 0.3, 65.47),
                (2.0, 1.0, 11.11),
            )
        ],
    )
    write_csv(
        tmp_path / "framing.csv",
        [
            {"detector": "yunet", "found": 0.9053, "margin": margin, "top1": top1}
            for margin, top1 in ((0.9, 65.91), (1.0, 65.37), (1.1, 64.01))
        ],
    )
    write_csv(
        tmp_path / "speed.csv",
        [{"format": "onnx", "bytes": 1, "ms_per_face": 3.21, "machine": "a toaster"}],
    )
    (tmp_path / subgroup_files("toy")[0]).write_text(json.dumps(make_subgroups()), encoding="utf-8")
    return tmp_path


def make_text(report, results, **changes):
    return card.format_card(report, make_config(stretch_percentile=1.0, **changes), results)


def section(text, title):
    """From the heading `title` to the next heading of any level."""
    return re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.S | re.M)[1]


def rows(text):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


def test_the_committed_card_is_the_generated_one():
    config = ModelConfig.read(WEIGHTS_FOLDER)
    report = json.loads((ROOT / "results" / f"{config.recipe}.json").read_text(encoding="utf-8"))
    text = card.format_card(report, config, ROOT / "results")
    assert (ROOT / "model_card.md").read_text(encoding="utf-8") == text


def test_the_networks_that_are_published_beside_it_are_named_where_there_are_any(tmp_path):
    assert "`gallery/`" not in make_text(make_report(), tmp_path)
    (tmp_path / "models").mkdir()
    assert "`gallery/`" in make_text(make_report(), tmp_path)


def test_links_of_the_committed_card_lead_somewhere():
    text = (ROOT / "model_card.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def test_written_again_the_documents_are_the_same_bytes(tmp_path):
    (tmp_path / "docs").mkdir()
    names = "README.md", "model_card.md", "docs/accuracy.md", "docs/trials.md"
    for name in names:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    card.write_cards(ROOT / "results", tmp_path)
    for name in names:
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_a_report_about_other_weights_is_refused(tmp_path):
    config = ModelConfig.read(WEIGHTS_FOLDER)
    path = tmp_path / f"{config.recipe}.json"
    right = make_report(recipe=config.recipe, sha256=config.files["model.tflite"])
    earlier = {key: value for key, value in right.items() if key != "robustness"}
    for report, said in (
        (None, "no such file"),
        (make_report(recipe=config.recipe), f"figures of weights with sha256 {SHA256}"),
        (earlier, r"an earlier version, without \['robustness'\]"),
    ):
        if report is not None:
            path.write_text(json.dumps(report), encoding="utf-8")
        with pytest.raises(InputError, match=rf"train evaluate.* first. Received: .*{said}"):
            card.write_cards(tmp_path, tmp_path)


def test_front_matter_is_what_the_hub_reads(results):
    report = make_report()
    text = make_text(report, results)
    read = ModelCard(text)
    assert str(read) == text
    data = read.data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["library_name"] == "keras"
    assert data["pipeline_tag"] == "image-classification"
    assert data["metrics"] == ["accuracy", "f1", "ece"]
    # No repository of the Hub is named, for none is ours or certain.
    assert "datasets" not in data
    assert "base_model" not in data
    found = {
        (each.dataset_config, each.metric_type): each.metric_value
        for each in read.data.eval_results
    }
    assert found == {
        (part, kind): round(value, 4)
        for part in ("full", "twin_free")
        for kind, value in (
            ("accuracy", report[part]["top1"] / 100),
            ("f1", report[part]["macro_f1"] / 100),
            ("ece", report[part]["ece"]),
        )
    }
    assert {each.dataset_type for each in read.data.eval_results} == {"fer2013"}
    assert {each.dataset_split for each in read.data.eval_results} == {"test"}
    assert len(data["model-index"][0]["results"]) == 2


def test_overall_and_class_figures(results):
    report = make_report()
    text = make_text(report, results)
    for part in ("full", "twin_free", "full_flip", "twin_free_flip"):
        low, high = report[part]["interval_95"]["top1"]
        assert f"{fixed(report[part]['top1'], 2)} % ({fixed(low, 2)} to {fixed(high, 2)})" in text
        assert f"{fixed(report[part]['macro_f1'] / 100, 3)} (" in section(text, "Evaluation")
    table = {row[0]: row for row in rows(section(text, "By class"))}
    for name in NAMES:
        row = report["full"]["classes"][name]
        assert table[name][1:3] == [
            f"{fixed(row['precision'], 1)} %",
            f"{fixed(row['recall'], 1)} %",
        ]
        assert table[name][3].startswith(f"{fixed(row['f1'] / 100, 3)} (")
        fresh = report["twin_free"]["classes"][name]
        assert table[name][5].startswith(f"{fixed(fresh['f1'] / 100, 3)} (")
    assert "results/toy_confusion.png" in section(text, "By class")


def test_calibration(results):
    report = make_report()
    text = section(make_text(report, results), "Calibration")
    table = {row[0].lower(): row[1:] for row in rows(text)}
    for key in ("ece", "nll", "brier"):
        assert table[key] == [
            fixed(report[part][name], 4)
            for part in ("full", "twin_free")
            for name in (f"{key}_uncalibrated", key)
        ]
    assert "1.235" in text
    assert "results/toy_reliability.png" in text
    assert "not measured" not in text


def test_coverage(results):
    report = make_report()
    text = section(make_text(report, results), "Coverage")
    assert f"{fixed(report['full']['top1_certain'], 1)} %" in text
    table = rows(text)[1:]
    full, fresh = report["coverage"]["full"], report["coverage"]["twin_free"]
    assert table == [
        [
            f"{full[i]['coverage']} %",
            f"{fixed(full[i]['top1'], 2)} %",
            fixed(full[i]["threshold"], 3),
            f"{fixed(fresh[i]['top1'], 2)} %",
            fixed(fresh[i]["threshold"], 3),
        ]
        for i in range(10)
    ]


def test_agreement_with_ferplus(results):
    report = make_report()
    text = section(make_text(report, results), "Agreement with FER+")
    assert "3,141" in text
    assert f"{fixed(report['ferplus']['top1'], 2)} %" in text
    assert fixed(report["ferplus"]["macro_f1"] / 100, 3) in text
    without = section(make_text(make_report(ferplus=None), results), "Agreement with FER+")
    assert without.strip() == "Not measured, because the data has no FER+ votes."


def test_formats(results):
    report = make_report()
    text = section(make_text(report, results), "Formats")
    table = {row[0]: row[1:] for row in rows(text)}
    for row in report["formats"]:
        assert table[row["format"]] == [
            f"`{row['file']}`",
            f"{row['bytes']:,}",
            f"{fixed(row['top1'], 2)} %",
            fixed(row["macro_f1"] / 100, 3),
            f"{fixed(row['twin_free_top1'], 2)} %",
            f"{row['top1_change'] + 0:+.2f}",
            fixed(row["largest_prob_gap"], 4),
            "3.21" if row["format"] == "onnx" else "-",
        ]
    assert "a toaster" in text
    (results / "speed.csv").unlink()
    assert "`make bench` writes it" in section(make_text(report, results), "Formats")


def test_robustness(results):
    report = make_report()
    text = make_text(report, results)
    table = {row[0]: row[1:] for row in rows(section(text, "Robustness"))}
    for name in (*CORRUPTIONS, "rotation"):
        levels = report["robustness"][name]
        title = {"jpeg": "JPEG", "brightness": "darker", "contrast": "less contrast"}.get(
            name, name
        )
        assert table[f"{title.replace('_', ' ')} (unit of {name})"] == [
            *(f"{fixed(level['top1'], 1)} % ({level['strength']})" for level in levels),
            fixed(max(level["ece"] for level in levels), 3),
        ]
    assert "rotation costs most: 10.0 % at strength 3 (unit of rotation)" in section(text, "Limits")


def test_contrast_and_framing(results):
    text = section(make_text(make_report(), results), "Contrast and framing")
    assert rows(text)[1:3] == [["100 %", "66.61 %", "66.43 %"], ["30 %", "55.59 %", "65.47 %"]]
    assert rows(text)[-1] == ["yunet", "90.5 %", "65.37 %", "0.9", "65.91 %"]
    other = section(make_text(make_report(), results, crop_margin=1.4), "Contrast and framing")
    assert "Framing: not measured, because" in other


def test_other_runs(results):
    text = section(make_text(make_report(), results), "Compared with other runs")
    figures = ["61.17 %", "59.03 %", "0.573", "0.557", "0.042"]
    assert rows(text)[1:] == [
        ["toy (this card)", "fer2013", *figures],
        ["rival", "not recorded", *figures],
    ]


@pytest.mark.parametrize(
    "choices",
    [{"backbone": "vit"}, {"cut": "block_6_expand"}, {"dense": [64]}, {"phases": [{"tuned": 0.4}]}],
)
def test_the_card_from_figures_is_about_a_whole_mobilenetv2(results, choices):
    training = make_training()
    training["recipe"] |= choices
    with pytest.raises(InputError, match=r"whole MobileNetV2.*--card"):
        make_text(make_report(training=training), results)
    assert make_text(make_report(training=None), results)


def test_a_report_without_corrupted_images_makes_no_card(results):
    with pytest.raises(InputError, match="--no-robustness"):
        make_text(make_report(robustness=None), results)


def test_rendered_persons(results):
    report = make_report()
    text = section(make_text(report, results), "Rendered persons")
    assert re.search(r"detector \(YuNet\) .* 397 of 431 pictures\. 41\.7 %", text)
    assert "83.1 %" in text
    assert ["skin", "151", "12.3 %", "0.057"] in rows(text)
    assert ["skin", "dark", "61", "39.9 %"] in rows(text)
    assert ["happy", "77.3 %", "91.9 %"] in rows(text)
    probe = make_subgroups() | {"sha256": "01" * 32}
    (results / subgroup_files("toy")[0]).write_text(json.dumps(probe), encoding="utf-8")
    other = make_text(report, results)
    assert section(other, "Rendered persons").strip().startswith("Not measured, because")
    assert "**Rendered persons**" in section(other, "Not measured, because")


def write_run(results, name, images, hits, **changes):
    """40 test images, 10 of which are twins; `hits` of all and of the rest."""
    report = {
        "recipe": name,
        "test_sha256": make_report()["test_sha256"],
        "twins_marked": True,
        "training": make_training(images_seen=23 * images),
    } | changes
    for part, right, n in zip(("full", "twin_free"), hits, (40, 30), strict=True):
        report[part] = {"confusion_matrix": [[right, n - right], [0, 0]]}
    (results / f"{name}.json").write_text(json.dumps(report), encoding="utf-8")


def test_the_leak(results):
    title = "Effect of the leak"
    assert "Not measured" in section(make_text(make_report(), results), title)
    for name in ("one", "two"):
        write_run(results, name, 70, (28, 19))
        write_run(results, f"{name}-no-twins", 60, (25, 18))
    text = section(make_text(make_report(), results), title)
    assert [row for row in rows(text) if "two" in row[0]] == [
        ["two", "70", "70.00 %", "63.33 %", "90.00 %"],
        ["two-no-twins", "60", "62.50 %", "60.00 %", "70.00 %"],
    ]
    assert "top-1, the 10 twins" in text
    gaps = [row for row in rows(text) if "difference" in row[0]]
    assert len(gaps) == 2
    # sqrt((.7 * .3 + .625 * .375) / 40) is a standard error of 10.54 points.
    assert gaps[0][2:] == [
        "7.50 (-13.16 to 28.16)",
        "3.33 (-21.26 to 27.92)",
        "20.00 (-13.95 to 53.95)",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"training": None},
        {"training": make_training(init="imagenet")},
        {"test_sha256": "another"},
        {"twins_marked": False},
    ],
)
def test_runs_that_differ_in_more_than_twins_say_nothing_of_the_leak(results, changes):
    write_run(results, "toy", 70, (28, 19), **changes)
    write_run(results, "toy-no-twins", 60, (25, 18))
    assert "Not measured" in section(make_text(make_report(), results), "Effect of the leak")


def test_the_prose_says_what_the_recipe_does(results):
    from train.recipes import get_recipe

    plain = asdict(get_recipe("mobilenetv2-96")) | {
        "balance": 0.0,
        "label_smoothing": 0.0,
        "mix": 0.0,
        "photometric": 0,
    }
    rich = plain | {"balance": 0.5, "label_smoothing": 0.1, "mix": 0.3, "photometric": 1}
    for recipe, init, teachers, said in (
        (plain, None, [], set()),
        (rich, "imagenet", ["one.keras"], {"mixed", "degraded", "rare", "smoothing", "teachers"}),
        (plain | {"mix": 0.3}, "imagenet", [], {"mixed"}),
        (plain, "imagenet", ["one.keras"], {"teachers"}),
    ):
        training = make_training(recipe=recipe, init=init, teachers=teachers)
        text = section(make_text(make_report(training=training), results), "Training")
        prose = text[: text.index("| run |")]
        words = {"mixed", "degraded", "rare", "smoothing", "teachers"}
        assert {word for word in words if word in prose} == said
        assert ("ImageNet" in prose) == (init is not None)
        assert ("random weights" in prose) == (init is None)


def test_training(results):
    text = section(make_text(make_report(), results), "Training")
    table = {row[0]: row[1] for row in rows(text)}
    assert table["command"] == "`python -m train fit toy`"
    assert table["starts from"] == f"`imagenet.weights.h5` (sha256 `{'cd' * 32}`)"
    assert "teachers" not in table
    assert table["backend"] == "jax, Keras 3.99.1"
    assert table["device"] == "cpu:0; 2 x86_64 cores"
    assert table["images seen"] == "1,234,567"
    assert table["wall time of the epochs"] == "5.00 h"
    assert table["epochs"] == "23"
    assert table["validation top-1 of the kept epoch, before the bias"] == "62.20 %"
    assert table["phases"] == (
        "9 epochs at 64 px, then 11 epochs at 96 px, then 3 epochs at 96 px with 0.5 of the "
        "augmentation"
    )
    assert table["bias added to each class"] == "angry +0.20, happy -0.30"
    assert table["learning_rate"] == "0.001"
    assert table["flip"] == "yes"
    assert table["patience"] == "none"
    assert "results/toy_training.png" in text
    assert "**assumed** 65 W throughout, 5.00 h are 0.33 kWh" in text


def test_energy_of_an_unknown_device_is_not_estimated(results):
    training = make_training(device="abacus", init=None, teachers=["one.keras", "two.keras"])
    text = section(make_text(make_report(training=training), results), "Training")
    assert "kWh" not in text
    assert "not estimated" in text
    assert ["starts from", "random weights"] in rows(text)
    assert ["teachers", "one.keras, two.keras"] in rows(text)


def test_limits_name_the_class_that_is_found_worst(results):
    text = section(make_text(make_report(), results), "Limits")
    assert "worst: only 8.4 % of it." in text
    assert "mostly called neutral (32 %), sad (21 %) or angry (11 %)." in text
    assert "figures for angry come from 11 test images" in text


def test_ferplus_labels_are_mentioned_where_there_were_any(results):
    assert "**Extra labels.**" in make_text(make_report(), results)
    assert "**Extra labels.**" not in make_text(make_report(trained_on="fer2013"), results)


def test_what_was_not_measured_is_said(tmp_path):
    text = make_text(make_report(training=None, ferplus=None), tmp_path)
    assert "not measured, because these weights have no record" in section(text, "Training")
    for title in (
        "Contrast and framing",
        "Formats",
        "Compared with other runs",
        "Rendered persons",
    ):
        assert "ot measured, because `results/" in section(text, title)
    assert "Not measured, because the data" in section(text, "Agreement with FER+")
    assert "results/toy_training.png" not in text


def nothing_uncertain():
    report = make_report()
    for part in ("full", "twin_free"):
        report[part]["top1_uncertain"] = None
    return report


@pytest.mark.parametrize(
    "report",
    [
        make_report(),
        make_report(stretch_percentile=None, color_mode="rgb"),
        make_report(training=None, ferplus=None),
        nothing_uncertain(),
        with_heads(make_report()),
        with_heads(make_report(training=None)) | {"votes": None},
    ],
    ids=["complete", "rgb", "null", "nothing uncertain", "two heads", "no votes"],
)
def test_nothing_unreadable_is_printed(results, report):
    for text in (
        make_text(report, results),
        card.format_figures(report),
        card.format_summary(report),
    ):
        text = re.sub(r"```.*?```|votes=True", "code", text, flags=re.S)
        assert not re.search(r"\b(None|nan|NaN|null|inf|True|False|Undefined)\b", text)
        assert not re.search(r"\{\{|\{%|%\}|\}\}", text)
        assert "\n\n\n" not in text


def test_figures_link_the_plots_that_there_are():
    figures = card.format_figures(make_report())
    for name in ("confusion", "reliability", "coverage", "robustness", "training"):
        assert f"[{name}](../results/toy_{name}.png)" in figures
    assert "toy_training" not in card.format_figures(make_report(training=None))


@pytest.mark.parametrize("color_mode", ["gray", "rgb"])
@pytest.mark.parametrize("stretch_percentile", [1.0, None])
@pytest.mark.parametrize("side", [48, 113])
def test_input_made_by_hand_is_that_of_the_package(
    side, color_mode, stretch_percentile, hub, tmp_path, monkeypatch
):
    changes = {"color_mode": color_mode, "stretch_percentile": stretch_percentile}
    config = make_config(input_size=96, detail_size=48, **changes)
    hub.files["someone/fer-mobilenetv2", "fer.json"] = config.to_json().encode()
    report = make_report(input_size=96, detail_size=48, **changes)
    text = render_template("reuse.md", report=report, repo_id=card.NO_NAME)
    block = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    monkeypatch.chdir(tmp_path)
    crop = read_image(ROOT / "examples" / "astronaut_happy.jpg")[63:176, 167:280]
    Image.fromarray(resize(crop, side, side)).save("face.jpg", quality=95)
    names: dict = {}
    exec(block.replace("<you>", "someone"), names)
    expected = to_model_input([read_image("face.jpg")], config).astype(np.float32)
    assert names["pixels"].shape == expected.shape
    assert names["pixels"].dtype == np.float32
    gap = np.abs(names["pixels"] - expected)
    # Pillow shrinks by whole pixels; the rest is rounding, which the stretch enlarges.
    assert gap.mean() < (0.7 if side == 48 else 2)
    assert side > 48 or gap.max() <= 3


# What a visitor gets by `npm install onnxruntime-web`: here the copy of this project.
ONNXRUNTIME_WEB = """
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as ort from "ORT/ort.wasm.bundle.min.mjs";
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = gunzipSync(readFileSync("ORT/ort-wasm-simd-threaded.wasm.gz"));
export * from "ORT/ort.wasm.bundle.min.mjs";
const log = console.log;
console.log = (value) => log(JSON.stringify(value));
"""


@pytest.mark.parametrize("is_two_heads", [False, True])
def test_the_snippet_for_browsers_runs_as_written(node, hub, tmp_path, is_two_heads):
    repo = "someone/fer-mobilenetv2"
    config = load_classifier().config
    names, temperature = list(config.class_names), 1.3
    values = {"class_names": names, "temperature": temperature}
    report = make_report(input_size=config.input_size, detail_size=config.detail_size)
    bias = np.zeros(len(names))
    if is_two_heads:
        bias = np.linspace(-1, 1, len(names))
        decision = {"bias": bias.tolist(), "temperature": temperature}
        labels = {"class_names": names, "decisions": {"balanced": decision}}
        values = {"heads": {"labels": labels}, "decision": "balanced"}
        report = with_heads(report)
    hub.files[repo, "fer.json"] = json.dumps(values).encode()
    hub.files[repo, "model_web.onnx"] = (WEIGHTS_FOLDER / "model_web.onnx").read_bytes()
    text = render_template("reuse.md", report=report, repo_id=card.NO_NAME)
    (code,) = re.findall(r"```js\n(.*?)```", text, re.S)
    pixels = to_model_input([read_image(ROOT / "examples" / "astronaut_happy.jpg")], config)
    numbers = json.dumps(pixels.ravel().round(3).tolist())
    code, n = re.subn(r"(const pixels = )[^;]*;", rf"\g<1>Float32Array.from({numbers});", code)
    assert n == 1
    if is_two_heads:
        assert "outputs.labels" in code
    code = code.replace("<you>", "someone").replace("https://huggingface.co", HUB.url)
    package = tmp_path / "node_modules" / "onnxruntime-web"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    ours = str(ROOT / "fer" / "web" / "local" / "ort")
    (package / "index.js").write_text(ONNXRUNTIME_WEB.replace("ORT", ours))
    (tmp_path / "snippet.mjs").write_text(code)
    done = subprocess.run(
        [node, tmp_path / "snippet.mjs"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    (logits,) = load_classifier().head_logits(pixels)["labels"]
    powers = np.exp((logits + bias) / temperature)
    assert list(said) == names
    assert list(said.values()) == pytest.approx(powers / powers.sum(), abs=0.01)


def test_the_table_of_runs_compares_by_the_decision_that_all_have(tmp_path):
    report = with_heads(make_report(recipe="mobilenetv2-96-two-heads"))
    (tmp_path / "mobilenetv2-96-two-heads.json").write_text(json.dumps(report))
    *_, row = card.format_steps(tmp_path).splitlines()
    balanced, dataset = (report["decisions"][name] for name in ("balanced", "dataset"))
    for part in ("full", "twin_free"):
        assert f" {fixed(dataset[part]['top1'], 2)} %" in row
        assert f" {fixed(balanced[part]['top1'], 2)} %" not in row


def test_limits_name_what_the_votes_head_misses(results):
    report = with_heads(make_report())
    recall = report["votes"]["full"]["majority"]["recall"]
    recall |= dict.fromkeys(recall, 90.0) | {"disgust": 39.2, "fear": 12.4, "contempt": None}
    text = section(make_text(report, results), "Limits")
    assert "It finds 12 % of fear, 39 % of disgust." in text
    assert "head of the votes" not in section(make_text(make_report(), results), "Limits")


def test_a_half_is_rounded_up():
    found = [fixed(68.25, 1), fixed(0.0255, 3), fixed(-0.04, 1), fixed(7, 2), fixed(None, 1)]
    assert found == ["68.3", "0.026", "-0.0", "7.00", "-"]


def test_worse_pictures_are_compared_with_the_network_before():
    report, before = make_report(recipe="new"), make_report(recipe="old")
    before["robustness"]["rotation"] = [{"strength": 12, "top1": 1.5}]
    before["robustness"]["noise"] = [{"strength": 99, "top1": 2.5}]
    text = card.format_worse(report, before)
    assert "| `old` | `new` |" in text
    assert "| rotation | 12 (unit of rotation) | 1.5 % | 13.0 % |" in text
    assert "noise" not in text  # measured at other strengths
    assert len(text.splitlines()) == 2 + len(CORRUPTIONS)


def test_one_head_has_no_word_of_decisions_or_votes(results):
    text = make_text(make_report(), results) + card.format_figures(make_report())
    for word in ("decision", "balanced", "votes head", "two heads", "Menon"):
        assert word not in text


@pytest.mark.parametrize("decision", ["balanced", "dataset"])
def test_both_decisions_and_the_votes_are_in_the_card(results, decision):
    report = with_heads(make_report(), decision)
    text = make_text(report, results)
    assert "contempt" in text
    assert "files.\n\nOn the 3002" in text
    assert f"`{decision}`\nis served" in text
    table = rows(section(text, "Decisions"))
    titles = {"full": "all test images", "twin_free": "without twins in training"}
    assert table[1:5] == [
        [
            f"{name} (served)" if name == decision else name,
            title,
            f"{fixed(figures[part]['top1'], 2)} %",
            f"{fixed(figures[part]['balanced_accuracy'], 2)} %",
            fixed(figures[part]["macro_f1"] / 100, 3),
            fixed(figures[part]["ece"], 3),
            fixed(figures["temperature"], 3),
        ]
        for name, figures in report["decisions"].items()
        for part, title in titles.items()
    ]
    for row, name in zip(table[6:], NAMES, strict=True):
        expected = [name]
        for figures in report["decisions"].values():
            found = figures["full"]["classes"][name]
            expected += [f"{fixed(found['recall'], 1)} %", f"{fixed(found['precision'], 1)} %"]
            expected.append(f"{figures['bias'][name]:+.2f}")
        assert row == expected
    votes = section(text, "Agreement with FER+")
    for part in titles:
        majority, shares = (report["votes"][part][key] for key in ("majority", "shares"))
        low, high = majority["interval_95"]["top1"]
        for figure in (
            f"{majority['n_images']}",
            f"{fixed(majority['top1'], 2)} % ({fixed(low, 2)} to {fixed(high, 2)})",
            f"{fixed(majority['balanced_accuracy'], 2)} %",
            f"{shares['n_images']}",
            fixed(shares["total_variation"], 3),
            fixed(shares["kl"], 3),
        ):
            assert f"| {figure} |" in votes
    assert "| contempt | - |" in votes
    formats = section(text, "Formats")
    for row in report["formats"]:
        assert f"| {row['format']} | {fixed(row['votes_top1'], 2)} % | 0.0123 |" in formats
    assert "Menon et al. 2021" in section(text, "Licence and sources")
    assert "bias added" in text
    unbiased = make_training(class_bias=dict.fromkeys(NAMES, 0.0))
    assert "bias added" not in make_text(report | {"training": unbiased}, results)
    unvoted = make_text(report | {"votes": None}, results)
    assert "majority protocol" not in unvoted
    figures = card.format_figures(report)
    for name, found in report["decisions"].items():
        assert f"{fixed(found['full']['balanced_accuracy'], 2)} %" in figures, name
    assert f"{fixed(report['votes']['full']['majority']['top1'], 2)} %" in figures


@pytest.mark.keras
def test_published_files_of_two_heads_run_as_written(hub, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    from fer.classify import Classifier
    from tests.conftest import make_heads
    from tests.toy_data import save_two_heads
    from train.data.votes import VOTE_CLASSES
    from train.export import convert, load_network

    path = tmp_path / "model.keras"
    save_two_heads(path, n_classes=2)
    heads = make_heads()
    heads["votes"] = {
        "class_names": list(VOTE_CLASSES),
        "decisions": {"dataset": {"bias": [0.0] * 8, "temperature": 2.0}},
    }
    changes = {"input_size": 16, "detail_size": 48, "stretch_percentile": 1.0}
    config = make_config(class_names=(), heads=heads, decision="balanced", version=2, **changes)
    repo = "someone/fer-mobilenetv2"
    hub.files[repo, "fer.json"] = config.to_json().encode()
    for name, file in (("litert-float32", "model.tflite"), ("onnx", "model.onnx")):
        hub.files[repo, file] = convert(path, name)
    report = with_heads(make_report(**changes))
    text = render_template("reuse.md", report=report, repo_id=card.NO_NAME)
    first, litert, onnx, keras, _ = re.findall(r"```python\n(.*?)```", text, re.S)
    assert '(network(pixels)["labels"])[0]' in keras
    monkeypatch.chdir(tmp_path)
    crop = read_image(ROOT / "examples" / "astronaut_happy.jpg")[63:176, 167:280]
    Image.fromarray(resize(crop, 48, 48)).save("face.png")
    known: dict = {}
    exec(first.replace("<you>", "someone").replace("face.jpg", "face.png"), known)
    crops = [read_image("face.png")]
    probs, votes = Classifier(load_network(path), config).with_votes(crops)
    for block in (litert, onnx):
        capsys.readouterr()
        exec(block, known)
        said = ast.literal_eval(capsys.readouterr().out)
        assert list(said) == ["dark", "bright"]
        assert list(said.values()) == pytest.approx(probs[0], abs=0.02)
    outputs = known["network"].run(["votes"], {"pixels": known["pixels"]})
    known["show"](outputs[0][0], "votes", "dataset")
    said = ast.literal_eval(capsys.readouterr().out)
    assert list(said) == list(VOTE_CLASSES)
    assert list(said.values()) == pytest.approx(votes[0], abs=0.02)


def test_a_class_without_test_pictures_says_so():
    report = make_report()
    name = report["class_names"][0]
    empty = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "f1_interval_95": [0, 0], "n_images": 0}
    for part in ("full", "twin_free"):
        report[part]["classes"][name] = empty
    table = card._class_table(report).splitlines()
    assert f"| {name} | - | - | - | no pictures | - | no pictures |" in table
    assert card._lowest_recall(report)["name"] != name
