"""Figures of known cases, pictures, and one whole measurement."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.classify import Classifier, softmax
from fer.hub import WEIGHTS_FOLDER
from fer.types import ModelConfig
from tests.conftest import make_classifier, make_config, noise, opened

datasets = pytest.importorskip("datasets")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

# The order of the votes, https://github.com/microsoft/FERPlus
FERPLUS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
FERPLUS += ("unknown", "no_face")


def make_answers(n=500, k=7, seed=0):
    """Overconfident logits and labels that agree with them about two times in three."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(0, 2, (n, k)) + 3 * np.eye(k)[labels]
    return logits.astype(np.float32), labels


def make_voted(folder, votes, classes, n=14):
    """A data set whose test images have FER+ votes, given as {class: votes} for each."""
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=list(classes)),
        ferplus_votes=datasets.List(datasets.Value("uint8"), length=10),
        cross_split_twin=datasets.Value("bool"),
    )
    (folder / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = {
            "image": [Image.fromarray(noise(48, 48, seed=i)[..., 0]) for i in range(n)],
            "label": [i % len(classes) for i in range(n)],
            "ferplus_votes": [
                [votes[i % len(votes)].get(name, 0) for name in FERPLUS] for i in range(n)
            ],
            "cross_split_twin": [i % 5 == 4 for i in range(n)],
        }
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))
    return str(folder)


def test_bins_hold_every_answer_once_and_the_error_is_made_of_them():
    from train.measure.figures import expected_calibration_error, reliability_bins

    logits, labels = make_answers()
    probs = softmax(logits)
    bins = reliability_bins(probs, labels)
    assert sum(row["share"] for row in bins) == pytest.approx(1)
    assert sum(row["share"] * row["accuracy"] for row in bins) == pytest.approx(
        (probs.argmax(axis=1) == labels).mean()
    )
    for row in bins:
        assert row["high"] - row["low"] == pytest.approx(1 / 15)
        assert row["low"] - 1e-6 <= row["mean_prob"] <= row["high"] + 1e-6
    gaps = [row["share"] * abs(row["mean_prob"] - row["accuracy"]) for row in bins]
    assert expected_calibration_error(probs, labels) == pytest.approx(sum(gaps))
    certain = reliability_bins(np.array([[1.0, 0.0]], np.float32), np.array([0]))
    assert [(row["low"], row["high"], row["share"]) for row in certain] == [(14 / 15, 1.0, 1.0)]


def test_calibration_error_of_known_cases():
    from train.measure.figures import expected_calibration_error

    probs = np.array([[0.8, 0.2]] * 10, np.float32)
    labels = np.array([0] * 8 + [1] * 2)
    assert expected_calibration_error(probs, labels) == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(probs, 1 - labels) == pytest.approx(0.6, abs=1e-6)


def test_log_loss_and_brier_score_of_known_cases():
    from train.measure.figures import measure_logits

    def measured(probs, labels):
        config = make_config(class_names=("a", "b", "c"))
        logits = np.log(np.array(probs, np.float32))
        return measure_logits(logits, np.array(labels), config.class_names, config.served, 0.5)

    even = measured([[1 / 3] * 3] * 3, [0, 1, 2])
    assert even["brier"] == even["brier_uncalibrated"] == pytest.approx(2 / 3, abs=1e-4)
    assert even["nll"] == even["nll_uncalibrated"] == pytest.approx(np.log(3), abs=1e-4)
    certain = [[0.98, 0.01, 0.01], [0.01, 0.98, 0.01]]
    assert measured(certain, [0, 1])["brier_uncalibrated"] == pytest.approx(0.0006, abs=1e-4)
    assert measured(certain, [1, 0])["brier_uncalibrated"] == pytest.approx(1.9406, abs=1e-4)
    assert measured(certain, [1, 0])["nll_uncalibrated"] == pytest.approx(-np.log(0.01), abs=1e-4)
    assert [key for key in even if key.startswith(("nll", "brier", "ece"))] == [
        *("nll", "nll_uncalibrated", "brier", "brier_uncalibrated", "ece", "ece_uncalibrated")
    ]


def test_the_most_certain_images_are_answered_first():
    from train.measure.figures import coverage_curve

    top = np.linspace(0.99, 0.6, 20)
    probs = np.stack([top, 1 - top], axis=1).astype(np.float32)[::-1]
    labels = np.array([1] * 5 + [0] * 15)  # the five least certain are wrong
    rows = coverage_curve(probs, labels)
    assert [row["coverage"] for row in rows] == list(range(100, 0, -10))
    assert rows[0] == {"coverage": 100, "top1": 75.0, "threshold": 0.6}
    assert rows[2]["top1"] == pytest.approx(100 * 15 / 16, abs=0.01)
    assert all(row["top1"] == 100 for row in rows[3:])
    thresholds = [row["threshold"] for row in rows]
    assert thresholds == sorted(thresholds)
    assert len(coverage_curve(probs[:1], labels[:1])) == 10


def test_the_majority_of_the_votes_is_one_class_of_ours_or_none(tmp_path):

    votes = [
        {"happy": 9, "neutral": 1},
        {"sad": 6, "contempt": 4},
        {"contempt": 6, "sad": 4},
        {"no_face": 10},
        {"sad": 5, "happy": 5},
        {"fear": 4, "happy": 3, "sad": 3},  # the data set has no fear
        {},
    ]
    source = make_voted(tmp_path / "voted", votes, ("happy", "sad"))
    split = opened(source).split("test", make_config(class_names=("happy", "sad")))
    assert split.majority[:7].tolist() == [0, 1, -1, -1, -1, -1, -1]


def make_report(recipe="toy"):
    """Invented figures under all keys that a picture is drawn from."""
    from train.measure.figures import coverage_curve, expected_calibration_error, reliability_bins
    from train.measure.robustness import CORRUPTIONS

    logits, labels = make_answers()
    probs, raw = softmax(logits, 1.5), softmax(logits)
    table = np.zeros((7, 7), int)
    np.add.at(table, (labels, probs.argmax(axis=1)), 1)
    return {
        "recipe": recipe,
        "class_names": ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"],
        "temperature": 1.5,
        "full": {
            "top1": 69.0,
            "confusion_matrix": table.tolist(),
            "ece": expected_calibration_error(probs, labels),
            "ece_uncalibrated": expected_calibration_error(raw, labels),
        },
        "coverage": {
            "full": coverage_curve(probs, labels),
            "twin_free": coverage_curve(probs[:300], labels[:300]),
        },
        "reliability": {
            "full": {
                "calibrated": reliability_bins(probs, labels),
                "uncalibrated": reliability_bins(raw, labels),
            }
        },
        "robustness": {
            each.name: [
                {"strength": strength, "top1": 69 - 2 * i * i, "ece": 0.1}
                for i, strength in enumerate(each.strengths)
            ]
            for each in CORRUPTIONS
        },
        "training": {
            "recipe": {
                "phases": [{"input_size": 64, "epochs": 3}, {"input_size": 96, "epochs": 4}]
            },
            "log": [
                {
                    "epoch": i,
                    "loss": 2 / (i + 1),
                    "accuracy": 0.1 * i,
                    "val_loss": 1.9 / (i + 1),
                    "val_accuracy": 0.11 * i,
                }
                for i in range(7)
            ],
        },
    }


def test_pictures_are_the_same_from_the_same_figures(tmp_path):
    from train.measure.plots import write_plots

    report = make_report()
    written = {}
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        write_plots(report, folder)
        written[folder.name] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written["one"] == written["two"]
    assert sorted(written["one"]) == [
        f"toy_{name}.png"
        for name in ("confusion", "coverage", "reliability", "robustness", "training")
    ]
    for name in written["one"]:
        with Image.open(tmp_path / "one" / name) as image:
            assert image.width == 1600
            assert not image.info.keys() & {"Software", "Creation Time"}


def test_weights_without_a_log_have_no_training_curves(tmp_path):
    from train.measure.plots import write_plots

    write_plots(make_report() | {"training": None}, tmp_path)
    assert len(list(tmp_path.glob("toy_*.png"))) == 4
    assert not (tmp_path / "toy_training.png").exists()


def make_split(labels, twin, names):
    from train.data.split import Split

    images = np.zeros((len(labels), 16, 16, 1), np.uint8)
    return Split(images, np.array(labels), np.array(twin), None, tuple(names), "00")


def test_asked_for_some_classes_a_model_may_not_give_the_others():
    from train.measure.evaluate import _on_classes

    names = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    split = make_split([0, 2, 3, 5, 6], [False, False, True, False, False], names)
    logits = np.zeros((5, 7), np.float32)
    logits[0, [0, 2]] = 1, 2  # fear would have been the answer
    logits[1, 2] = 1  # not shown
    logits[2, 5] = 1  # wrong, and a twin
    logits[3, 5] = logits[4, 6] = 1
    (row,) = _on_classes(split, logits)
    assert row["class_names"] == ["angry", "happy", "neutral", "sad", "surprise"]
    assert (row["n_images"], row["top1"], row["twin_free_top1"]) == (4, 75.0, 100.0)
    assert _on_classes(make_split([0, 1], [False, False], ["dark", "bright"]), logits[:2, :2]) == []


def test_shares_of_labels_probabilities_and_answers():
    from train.measure.evaluate import _shares

    split = make_split([0, 0, 1, 1], [False] * 4, ["dark", "bright"])
    classifier = make_classifier()
    logits = np.array([[0, 1], [2, 0], [0, 1], [0, 3]], np.float32)
    found = _shares(classifier, split, logits, np.array([0.75, -0.75], np.float32))
    assert found["labels"] == {"dark": 50.0, "bright": 50.0}
    assert found["answers"] == {"dark": 25.0, "bright": 75.0}
    mean = softmax(logits, classifier.config.temperature).mean(axis=0)
    assert found["probs"]["dark"] == pytest.approx(100 * mean[0], abs=0.01)
    assert found["matched"]["bias"] == {"dark": 0.75, "bright": -0.75}
    assert found["matched"]["top1"] == 75.0
    assert found["matched"]["answers"] == {"dark": 75.0, "bright": 25.0}
    # The toy network answers by brightness.
    bright = replace(split, images=np.full((4, 16, 16, 1), 250, np.uint8))
    assert (classifier.logits(bright.images).argmax(axis=1) == 1).all()
    assert _shares(classifier, bright, logits, np.zeros(2))["scaled_twice"]["answers"] == {
        "dark": 100.0,
        "bright": 0.0,
    }


def two_headed(names, decision="balanced"):
    """A classifier whose network answers labels and votes by mean brightness alone."""
    from train.data.votes import VOTE_CLASSES

    decisions = {
        "balanced": {"bias": [0.0, 4.0], "temperature": 1.0},
        "dataset": {"bias": [0.0, 0.0], "temperature": 2.0},
    }
    as_voted = {"bias": [0.0] * 8, "temperature": 2.0}
    heads = {
        "labels": {"class_names": list(names), "decisions": decisions},
        "votes": {"class_names": list(VOTE_CLASSES), "decisions": {"dataset": as_voted}},
    }

    def network(pixels):
        level = pixels.mean(axis=(1, 2, 3)) / 25.5  # 0..10
        votes = np.zeros((len(pixels), 8), np.float32)
        votes[:, :2] = np.stack([level, 10 - level], axis=1)
        return {"labels": np.stack([level, 5 + 0 * level], axis=1), "votes": votes}

    config = make_config(class_names=(), heads=heads, decision=decision, version=2)
    return Classifier(network, config)


def bright_split(levels, labels, twin, winners, shares, names):
    """Images of even brightness; votes are of the first two of `VOTE_CLASSES`."""
    split = make_split(labels, twin, names)
    pixels = np.array(levels, np.uint8)[:, None, None, None]
    shares = np.pad(np.array(shares, np.float32), ((0, 0), (0, 6)))
    images = np.broadcast_to(pixels, (len(levels), 16, 16, 1))
    return replace(split, images=images, winners=np.array(winners), shares=shares)


def test_both_decisions_and_the_votes_are_measured():
    from train.measure.evaluate import measure
    from train.measure.summary import format_measure

    # Levels 10, 8, 6, 2 against 5: the balanced decision adds 4 to the second class.
    split = bright_split(
        levels=[255, 204, 153, 51],
        labels=[0, 0, 1, 1],
        twin=[False, False, False, True],
        winners=[0, 1, -1, 1],
        shares=[[1, 0], [0.5, 0.5], [0, 0], [0, 1]],
        names=("dark", "bright"),
    )
    report = measure(two_headed(("dark", "bright")), split)
    assert report["decision"] == "balanced"
    figures = {name: each["full"] for name, each in report["decisions"].items()}
    assert figures["balanced"] == report["full"]
    assert [figures[name]["top1"] for name in ("balanced", "dataset")] == [75.0, 75.0]
    assert figures["balanced"]["classes"]["bright"]["recall"] == 100.0
    assert figures["dataset"]["classes"]["bright"]["recall"] == 50.0
    assert report["decisions"]["balanced"]["twin_free"]["balanced_accuracy"] == 75.0
    assert report["decisions"]["dataset"]["twin_free"]["balanced_accuracy"] == 50.0
    assert report["decisions"]["balanced"]["bias"] == {"dark": 0.0, "bright": 4.0}
    assert figures["balanced"]["ece"] == figures["balanced"]["ece_uncalibrated"]
    assert figures["dataset"]["ece"] != figures["dataset"]["ece_uncalibrated"]
    votes = report["votes"]
    assert votes["full"]["majority"]["n_images"] == 3
    assert votes["full"]["majority"]["top1"] == pytest.approx(66.67)
    assert votes["twin_free"]["majority"]["top1"] == 50.0
    assert votes["full"]["majority"]["recall"]["neutral"] == 100.0
    assert votes["full"]["majority"]["recall"]["contempt"] is None
    assert votes["full"]["shares"]["n_images"] == 3
    raw = np.zeros((3, 8))
    raw[:, :2] = [[10, 0], [8, 2], [2, 8]]
    probs = softmax(raw, 2.0).astype(np.float64)
    real = split.shares[[0, 1, 3]]
    apart = np.abs(probs - real).sum(axis=1).mean() / 2
    assert votes["full"]["shares"]["total_variation"] == pytest.approx(apart, abs=1e-4)
    kl = np.where(real > 0, real * np.log(np.maximum(real, 1e-9) / probs), 0).sum(axis=1).mean()
    assert votes["full"]["shares"]["kl"] == pytest.approx(kl, abs=1e-4)
    text = format_measure(report)
    assert "balanced *" in text
    assert "66.67" in text
    assert max(map(len, text.splitlines())) <= 120
    other = measure(two_headed(("dark", "bright"), decision="dataset"), split)
    assert other["decisions"] == report["decisions"]
    assert other["full"] == figures["dataset"]
    assert measure(two_headed(("dark", "bright")), replace(split, winners=None))["votes"] is None


def test_one_head_has_no_other_decision():
    from train.measure.evaluate import measure
    from train.measure.summary import format_measure

    split = replace(
        make_split([0, 1], [False, False], ("dark", "bright")),
        images=np.stack([np.zeros((16, 16, 1), np.uint8), np.full((16, 16, 1), 255, np.uint8)]),
    )
    report = measure(make_classifier(), split)
    assert list(report) == ["full", "twin_free", "full_flip", "twin_free_flip"]
    assert report["full"]["top1"] == report["full"]["balanced_accuracy"] == 100.0
    assert "dataset *" in format_measure(report)


@pytest.mark.parametrize(
    ("table", "expected"),
    [([[8, 2], [1, 1]], 0.65), ([[4, 0], [0, 0]], 1.0), ([[0, 4], [0, 4]], 0.5)],
)
def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_have_images(table, expected):
    from train.measure.figures import mean_recall

    assert mean_recall(np.array(table)) == pytest.approx(expected)


def test_what_is_kept_for_the_page_names_itself_alone(tmp_path):
    from fer.gallery import Entry, check_config
    from train.measure.formats import write_alone

    config = make_config(recipe="x", files={"model.tflite": "00"})
    write_alone(tmp_path / "x", config, "model_int8.tflite", b"network")
    sha256 = hashlib.sha256(b"network").hexdigest()
    entry = Entry("x", "X", "An idea.", 70.0, len(config.class_names), sha256)
    kept = ModelConfig.read(tmp_path / "x")
    assert list(kept.files) == ["model_int8.tflite"]
    assert check_config(kept, entry) == hashlib.sha256(b"network").hexdigest()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The bundled weights on a few pictures of noise, measured: the report, and its folder."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("onnxruntime")
    from train.measure.evaluate import evaluate

    folder = tmp_path_factory.mktemp("evaluate")
    weights = shutil.copytree(WEIGHTS_FOLDER, folder / "weights")
    training = make_report()["training"]
    (weights / "training.json").write_text(json.dumps(training), encoding="utf-8")
    classes = ModelConfig.read(weights).class_names
    source = make_voted(folder / "voted", [{"happy": 9}, {"unknown": 9}, {"sad": 6}], classes)
    return evaluate(weights, opened(source), folder / "results"), folder / "results"


@pytest.mark.long
@pytest.mark.keras
@pytest.mark.slow
def test_a_measurement_holds_what_the_card_is_made_of(measured):
    from train.export import FORMATS
    from train.measure.robustness import CORRUPTIONS
    from train.measure.summary import format_report

    report, files = measured
    recipe = report["recipe"]
    plots = ("confusion", "coverage", "reliability", "robustness", "training")
    expected = {"results.csv", f"{recipe}.json", *(f"{recipe}_{name}.png" for name in plots)}
    assert {path.name for path in files.iterdir()} == expected
    assert json.loads((files / f"{recipe}.json").read_bytes()) == report
    for part in ("full", "twin_free", "full_flip", "twin_free_flip"):
        for key in ("ece", "nll", "brier"):
            assert report[part][key] != report[part][f"{key}_uncalibrated"] >= 0
    assert [len(rows) for rows in report["coverage"].values()] == [10, 10]
    assert report["coverage"]["twin_free"][0]["top1"] == report["twin_free"]["top1"]
    for rows in report["reliability"]["full"].values():
        assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-3)
    assert report["ferplus"]["n_images"] == 9
    assert report["validation"]["n_images"] == report["full"]["n_images"]
    for part in ("labels", "probs", "answers"):
        assert sum(report["shares"][part].values()) == pytest.approx(100, abs=0.1)
    assert [len(row["class_names"]) for row in report["on_classes"]] == [5]
    formats = {row["format"]: row for row in report["formats"]}
    assert formats.keys() == FORMATS.keys()
    assert formats["litert-float32"]["sha256"] == report["sha256"]
    assert formats["litert-float32"]["largest_prob_gap"] == 0
    assert formats["litert-float32"]["top1"] == report["full"]["top1"]
    assert formats["litert-float32"]["twin_free_top1"] == report["twin_free"]["top1"]
    assert 0 < formats["keras"]["largest_prob_gap"] < 1e-3
    assert formats["litert-int8"]["bytes"] < formats["litert-float32"]["bytes"] / 3
    robustness = report["robustness"]
    assert list(robustness) == [*(each.name for each in CORRUPTIONS), "units"]
    for corruption in CORRUPTIONS:
        strengths = [row["strength"] for row in robustness[corruption.name]]
        assert strengths == list(corruption.strengths)
        assert robustness["units"][corruption.name] == corruption.unit
    assert report["training"] == make_report()["training"]
    text = format_report(report)
    assert "litert-int8" in text
    assert "FER+ majority" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.keras
@pytest.mark.slow
def test_a_folder_with_the_served_file_alone_is_measured(tmp_path, caplog):
    from train.measure.evaluate import evaluate
    from train.measure.summary import format_report

    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("fer.json", "model.tflite"):
        shutil.copy(WEIGHTS_FOLDER / name, weights)
    classes = ModelConfig.read(weights).class_names
    source = make_voted(tmp_path / "voted", [{"happy": 9}], classes)
    report = evaluate(weights, opened(source), tmp_path / "results", robustness=False)
    assert report["robustness"] is None
    assert not list((tmp_path / "results").glob("*_robustness.png"))
    assert "corruption" not in format_report(report)
    assert [row["format"] for row in report["formats"]] == ["litert-float32"]
    assert "keras, litert-float16, litert-int8, onnx, web are not measured" in caplog.text
    assert report["training"] is None


@pytest.mark.keras
def test_a_network_of_two_heads_is_measured_whole_and_the_same_again(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("onnxruntime")
    from tests.toy_data import save_two_heads
    from train.export import export
    from train.measure.evaluate import evaluate
    from train.measure.summary import format_report

    names = ("dark", "bright")
    votes = [{"happy": 9}, {"unknown": 9}, {"sad": 6, "happy": 4}]
    source = make_voted(tmp_path / "voted", votes, names)
    (tmp_path / "run").mkdir()
    save_two_heads(tmp_path / "run" / "model.keras", n_classes=2)
    (tmp_path / "run" / "fer.json").write_text(make_config().to_json(), encoding="utf-8")
    export(tmp_path / "run", opened(source), tmp_path / "served", ["onnx"])
    report = evaluate(tmp_path / "served", opened(source), tmp_path / "results")
    evaluate(tmp_path / "served", opened(source), tmp_path / "again")
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("results", "again")
    ]
    assert files[0] == files[1]
    assert report["decision"] == "balanced"
    assert set(report["decisions"]) == {"balanced", "dataset"}
    assert report["decisions"]["balanced"]["full"] == report["full"]
    assert report["temperature"] == report["decisions"]["balanced"]["temperature"]
    assert report["votes"]["full"]["majority"]["n_images"] == 9
    for row in report["formats"]:
        assert row["votes_top1"] >= 0
        assert row["votes_largest_prob_gap"] < 0.2
    assert json.loads((tmp_path / "results" / "toy.json").read_text()) == report
    (row,) = pd.read_csv(tmp_path / "results" / "results.csv").to_dict("records")
    assert row["decision"] == "balanced"
    assert row["dataset_full_top1"] == report["decisions"]["dataset"]["full"]["top1"]
    assert row["votes_top1"] == report["votes"]["full"]["majority"]["top1"]
    assert max(map(len, format_report(report).splitlines())) <= 120


def test_the_table_has_a_dash_for_a_class_without_images():
    from train.measure.summary import _class_row

    row = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "f1_interval_95": [0.0, 0.0], "n_images": 0}
    assert _class_row(row).split() == ["-", "-", "-", "no", "images"]
    assert _class_row(row | {"n_images": 3}).split() == ["0.00"] * 3 + ["[0.00,", "0.00]", "3"]


def test_a_class_without_images_does_not_count():
    from train.measure.figures import macro_f1, measure_logits
    from train.measure.report import missing_classes
    from train.measure.summary import decision_lines

    logits, labels = make_answers(k=3)
    labels[labels == 2] = 1  # some answers are still "c"
    decision = make_config(class_names=("a", "b", "c")).served
    found = measure_logits(logits, labels, ("a", "b", "c"), decision, 0.5)
    present = [found["classes"][name]["f1"] for name in "ab"]
    assert found["classes"]["c"]["n_images"] == 0
    assert found["macro_f1"] == pytest.approx(np.mean(present), abs=0.01)
    low, high = found["interval_95"]["macro_f1"]
    assert low < found["macro_f1"] < high
    assert macro_f1(np.array([0, 0]), np.array([0, 0])) == 1
    report = {"full": found, "twin_free": found}
    (said,) = missing_classes(report)
    assert said.startswith("c without images (all test images): left out of macro F1")
    text = "\n".join(decision_lines(report))
    assert said in text
    assert "  c 0.00" not in text
