"""Data, figures and one whole run of seconds."""

import json

import numpy as np
import pytest
from PIL import Image

from fer.classify import softmax
from fer.errors import ConfigError, DetectorError, InputError
from fer.preprocess import to_model_input
from fer.types import ModelConfig
from tests.conftest import ROOT, SHARED, make_config, noise, shared

datasets = pytest.importorskip("datasets")
pytest.importorskip("sklearn")


def make_dataset(folder, n=24, classes=("dark", "bright"), splits=("train", "validation", "test")):
    """A Parquet repository of 48-pixel gray images: the second class is brighter."""
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=list(classes)),
        cross_split_twin=datasets.Value("bool"),
    )
    (folder / "data").mkdir(parents=True)
    for number, split in enumerate(splits):
        rows = {"image": [], "label": [], "cross_split_twin": []}
        for i in range(n):
            label = i % len(classes)
            pixels = noise(48, 48, seed=1000 * number + i)[..., 0] // 2 + 127 * (label > 0)
            rows["image"].append(Image.fromarray(pixels.astype(np.uint8)))
            rows["label"].append(label)
            rows["cross_split_twin"].append(i % 4 == 3)
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))
    return str(folder)


def test_training_arrays_are_what_serving_makes_of_the_same_pixels(tmp_path):
    from train.data import load_rows, load_split

    source = make_dataset(tmp_path / "toy")
    config = make_config(input_size=96, detail_size=48)
    split = load_split(source, "validation", config)
    rows = load_rows(source, "validation")
    served = to_model_input(
        [np.asarray(row["image"].convert("RGB"), np.uint8) for row in rows], config
    )
    assert (split.images == served).all()
    assert split.labels.tolist() == rows["label"]
    assert split.twin.sum() == 6
    assert len(split.sha256) == 64


def test_the_real_test_split_has_the_known_twins():
    from train.data import load_class_names, load_rows

    source = str(shared("data", "fer2013"))
    twin = np.asarray(load_rows(source, "test")["cross_split_twin"])
    assert (len(twin), int(twin.sum())) == (3589, 587)
    from fer.hub import load_classifier

    assert load_class_names(source) == load_classifier().config.class_names


def test_a_data_set_that_cannot_be_used_is_named(tmp_path):
    from train.data import load_rows, load_split

    source = make_dataset(tmp_path / "toy", splits=("train",))
    with pytest.raises(InputError, match="split must be one of"):
        load_rows(source, "holiday")
    half = make_dataset(tmp_path / "half", splits=("test",))
    with pytest.raises(InputError, match="split 'train'"):
        load_rows(half, "test")
    with pytest.raises(InputError, match="classes"):
        load_split(source, "train", make_config(class_names=("a", "b")))


@pytest.mark.slow
def test_temperature_is_found_again():
    from train.export import fit_temperature

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    probs = softmax(logits).astype(np.float64)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in probs])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_calibration_error_of_known_cases():
    from train.evaluate import expected_calibration_error

    probs = np.array([[0.8, 0.2]] * 10, np.float32)
    labels = np.array([0] * 8 + [1] * 2)
    assert expected_calibration_error(probs, labels) == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(probs, 1 - labels) == pytest.approx(0.6, abs=1e-6)


def test_unknown_recipes_are_named():
    from train.recipes import get_recipe

    with pytest.raises(InputError, match="mobilenetv2-96"):
        get_recipe("mobilenet-9000")


@pytest.mark.keras
@pytest.mark.slow
def test_a_run_from_data_to_serving_folder_and_figures(tmp_path, monkeypatch):
    """Fit, select, recalibrate, export, evaluate on two invented classes."""
    from fer.hub import load_folder
    from fer.pipeline import Pipeline
    from tests.conftest import FakeDetector, make_faces
    from train.evaluate import evaluate, format_report
    from train.export import export
    from train.fit import fit
    from train.recipes import get_recipe

    source = make_dataset(tmp_path / "toy")
    run, served = tmp_path / "run", tmp_path / "served"
    fit(get_recipe("smoke"), source, run, init=None)
    epochs = (run / "log.csv").read_text(encoding="utf-8").splitlines()
    assert len(epochs) == 1 + 2
    with pytest.raises(InputError, match="resume"):
        fit(get_recipe("smoke"), source, run, init=None)
    config = export(run, source, served)
    assert config.class_names == ("dark", "bright")
    assert config.input_size == 48
    classifier = load_folder(served)
    pipeline = Pipeline(FakeDetector(make_faces([0, 0, 20, 20])), classifier)
    assert pipeline(noise(30, 30)).labels[0] in config.class_names

    results = tmp_path / "results"
    report = evaluate(served, source, results)
    assert report["full"]["n_images"] == 24
    assert report["twin_free"]["n_images"] == 18
    assert sum(map(sum, report["full"]["confusion_matrix"])) == 24
    low, high = report["full"]["interval_95"]["top1"]
    assert low <= report["full"]["top1"] <= high
    assert "top-1" in format_report(report)
    written = (results / "smoke.json").read_bytes()
    evaluate(served, source, results)
    assert (results / "smoke.json").read_bytes() == written
    assert json.loads(written) == report
    assert len((results / "results.csv").read_text(encoding="utf-8").splitlines()) == 2
    assert (results / "smoke_confusion.png").stat().st_size > 1000


@pytest.mark.keras
def test_recalibrated_statistics_are_those_of_the_images():
    import keras

    from train.model import build_model, recalibrate_batch_norm

    keras.utils.set_random_seed(0)
    model = build_model(2, 1, 32)
    images = np.stack([noise(32, 32, seed=i)[..., :1] // 3 for i in range(12)])
    recalibrate_batch_norm(model, images)
    backbone = model.layers[2]
    norm = backbone.get_layer("bn_Conv1")
    first = backbone.get_layer("Conv1")(images.astype(np.float32) / 127.5 - 1)
    mean = np.asarray(first).mean(axis=(0, 1, 2))
    assert np.abs(np.asarray(norm.moving_mean) - mean).max() < 1e-3
    assert np.abs(mean).max() > 1e-2


@pytest.mark.keras
def test_validation_leaves_the_batch_statistics_of_training_alone():
    import keras

    from train.fit import FreshStatistics
    from train.model import build_model

    keras.utils.set_random_seed(0)
    model = build_model(2, 1, 32)
    images = np.stack([noise(32, 32, seed=i)[..., :1] // 3 for i in range(12)])
    norm = model.layers[2].get_layer("bn_Conv1")
    before = np.array(keras.ops.convert_to_numpy(norm.moving_mean))
    callback = FreshStatistics(model, images)
    callback.on_test_begin()
    during = np.array(keras.ops.convert_to_numpy(norm.moving_mean))
    callback.on_test_end()
    assert np.abs(during - before).max() > 1e-2
    assert (keras.ops.convert_to_numpy(norm.moving_mean) == before).all()


@pytest.mark.keras
def test_votes_enter_the_targets_as_far_as_asked():
    from train.data import Split
    from train.losses import soft_targets

    votes = np.array([[3, 1], [0, 0]], np.float32)
    split = Split(np.zeros((2, 4, 4, 1), np.uint8), np.array([1, 0]), None, votes, ("a", "b"), "")
    assert soft_targets(split, 0.0).tolist() == [[0, 1], [1, 0]]
    assert np.allclose(soft_targets(split, 0.5), [[0.375, 0.625], [1, 0]])
    blind = Split(split.images, split.labels, None, None, ("a", "b"), "")
    assert soft_targets(blind, 0.5).tolist() == [[0, 1], [1, 0]]


def test_the_votes_stand_in_the_order_of_the_classes():
    from fer.hub import load_classifier
    from train.data import load_split

    split = load_split(str(shared("data", "fer2013")), "validation", load_classifier().config)
    happy = split.class_names.index("happy")
    seen = split.votes.argmax(axis=1) == split.labels
    assert seen[split.labels == happy].mean() > 0.85
    assert seen.mean() > 0.55


def test_rare_classes_are_repeated_as_far_as_asked():
    from train.losses import repeats

    labels = np.repeat([0, 1], [160, 10])
    assert (repeats(labels, 0.0, seed=0) == np.arange(170)).all()
    assert np.bincount(labels[repeats(labels, 1.0, seed=0)]).tolist() == [160, 160]
    half = repeats(labels, 0.5, seed=0)
    assert np.bincount(labels[half]).tolist() == [160, 40]
    assert set(half) == set(range(170))


@pytest.mark.keras
def test_a_random_affine_is_one_mirror_turn_zoom_and_shift():
    import keras

    from train.augment import RandomAffine

    images = np.zeros((64, 33, 33, 1), np.float32)
    images[:, 16, 26] = 255.0  # ten pixels right of the centre

    def altered(**strength):
        layer = RandomAffine(**strength, seed=1)
        assert (keras.ops.convert_to_numpy(layer(images, training=False)) == images).all()
        result = keras.ops.convert_to_numpy(layer(images, training=True))[..., 0]
        y, x = np.mgrid[:33, :33] - 16
        mass = result.sum(axis=(1, 2))
        return (result * x).sum(axis=(1, 2)) / mass, (result * y).sum(axis=(1, 2)) / mass

    x, y = altered()
    assert np.abs([x - 10, y]).max() < 1e-3
    x, y = altered(flip=True)
    assert set(np.round(x, 3).tolist()) == {-10.0, 10.0}
    x, y = altered(rotation=0.1)
    turns = np.arctan2(y, x) / (2 * np.pi)
    assert np.abs(np.hypot(x, y) - 10).max() < 0.3
    assert -0.105 < turns.min() < -0.05
    assert 0.05 < turns.max() < 0.105
    x, y = altered(zoom=0.2)
    assert 7.7 < x.min() < 9
    assert 11 < x.max() < 12.3
    assert np.abs(y).max() < 1e-3
    x, y = altered(translation=0.1)
    for moved in (x - 10, y):
        assert -3.4 < moved.min() < -2
        assert 2 < moved.max() < 3.4


@pytest.mark.keras
def test_training_can_start_from_the_bundled_weights():
    import keras

    from fer.hub import KERAS_NAME, WEIGHTS_FOLDER
    from train.model import build_model

    path = WEIGHTS_FOLDER / KERAS_NAME
    bundled = keras.saving.load_model(path, compile=False).layers[2]
    started = build_model(3, 1, 64, init=path)
    assert started.output_shape == (None, 3)
    for mine, theirs in zip(started.layers[2].weights, bundled.weights, strict=True):
        assert (keras.ops.convert_to_numpy(mine) == keras.ops.convert_to_numpy(theirs)).all()
    whole = keras.saving.load_model(path, compile=False)
    pixels = noise(96, 96)[None, ..., :1].astype(np.float32)
    same = build_model(7, 1, 96, init=path)(pixels)
    assert np.abs(np.asarray(same) - np.asarray(whole(pixels))).max() < 1e-4


@pytest.mark.keras
def test_gray_imagenet_stem_computes_what_the_rgb_stem_does():
    import keras

    from train.model import build_model

    path = SHARED / "weights" / "mobilenet_v2_1.0_224_imagenet_no_top.weights.h5"
    if not path.is_file():
        pytest.skip("needs the ImageNet weights of the shared folder, which are not here")
    gray = build_model(7, 1, 96, init=path).layers[2]
    colour = build_model(7, 3, 96, init=path).layers[2]
    image = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 1)).astype(np.float32)
    from_gray = keras.ops.convert_to_numpy(gray(image))
    from_colour = keras.ops.convert_to_numpy(colour(np.repeat(image, 3, axis=3)))
    assert np.ptp(from_gray) > 1
    assert np.abs(from_gray - from_colour).max() < 1e-3


@pytest.mark.keras
def test_an_unfinished_run_is_not_exported(tmp_path):
    from train.export import export

    (tmp_path / "fer.json").write_text(make_config().to_json(), encoding="utf-8")
    with pytest.raises(ConfigError, match="finished"):
        export(tmp_path, "unused", tmp_path / "out")
    assert ModelConfig.read(tmp_path).recipe == "toy"


def fer_csv(path, usages, n=12):
    """fer2013.csv in small: emotion i has gray value 30 i."""
    rows = ["emotion, Usage, pixels"]
    for usage in usages:
        for i in range(7 * n):
            rows.append(f"{i % 7},{usage}," + " ".join([str(30 * (i % 7))] * 48 * 48))
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_the_challenges_csv_is_read_with_our_order_of_classes(tmp_path):
    from train.data import load_rows

    source = fer_csv(tmp_path / "fer2013.csv", ("Training", "PublicTest", "PrivateTest"), n=1)
    rows = load_rows(source, "validation")
    names = rows.features["label"].names
    assert names == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    grays = {names[row["label"]]: np.asarray(row["image"]).max() for row in rows}
    assert grays["happy"] == 90
    assert grays["sad"] == 120
    assert grays["surprise"] == 150
    assert grays["neutral"] == 180
    (tmp_path / "bad.csv").write_text("emotion,pixels\n0,1 2 3\n")
    with pytest.raises(InputError, match="square"):
        load_rows(str(tmp_path / "bad.csv"), "train")
    (tmp_path / "bad.csv").write_text("emotion,pixels\n0,1 2 3 999\n")
    with pytest.raises(InputError, match=r"0\.\.255"):
        load_rows(str(tmp_path / "bad.csv"), "train")
    (tmp_path / "bad.csv").write_text("emotion,pixels\n9,1 2 3 4\n")
    with pytest.raises(InputError, match=r"0\.\.6"):
        load_rows(str(tmp_path / "bad.csv"), "train")
    (tmp_path / "bad.csv").write_text("label,image\n9,1 2 3 4\n")
    with pytest.raises(InputError, match="emotion"):
        load_rows(str(tmp_path / "bad.csv"), "train")


def make_folder(folder, n=30, classes=("calm", "wild")):
    """Pictures in a folder a class, without splits."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = noise(60, 60, seed=100 * number + i) // 2 + 127 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return str(folder)


def test_splits_that_are_missing_are_held_out_of_the_training_split(tmp_path):
    from train.data import load_rows

    source = make_folder(tmp_path / "faces")
    parts = {split: load_rows(source, split) for split in ("train", "validation", "test")}
    assert parts["train"].features["label"].names == ["calm", "wild"]
    sizes = {split: len(rows) for split, rows in parts.items()}
    assert sum(sizes.values()) == 60
    assert min(sizes.values()) >= 7
    seen = [np.asarray(row["image"]).tobytes() for rows in parts.values() for row in rows]
    assert len(set(seen)) == 60
    for rows in parts.values():
        share = np.mean(rows["label"])
        assert 0.4 < share < 0.6
    again = load_rows(source, "validation")
    assert [np.asarray(row["image"]).tobytes() for row in again] == [
        np.asarray(row["image"]).tobytes() for row in parts["validation"]
    ]


def test_kaggles_folders_get_a_validation_split(tmp_path):
    from train.data import load_rows

    make_folder(tmp_path / "fer" / "train")
    make_folder(tmp_path / "fer" / "test", n=5)
    source = str(tmp_path / "fer")
    assert len(load_rows(source, "test")) == 10
    assert len(load_rows(source, "train")) + len(load_rows(source, "validation")) == 60
    make_folder(tmp_path / "one", n=1)
    with pytest.raises(InputError, match="hold some out"):
        load_rows(str(tmp_path / "one"), "train")


def test_photographs_become_crops_with_a_report(tmp_path, yunet_path, monkeypatch):
    from fer.image import read_image
    from train.crop import REPORT_NAME, crop_folder

    monkeypatch.setenv("FER_YUNET_PATH", str(yunet_path))
    source = tmp_path / "photos"
    (source / "happy").mkdir(parents=True)
    astronaut = (ROOT / "examples" / "astronaut_happy.jpg").read_bytes()
    (source / "happy" / "a.jpg").write_bytes(astronaut)
    (source / "happy" / "cut.jpg").write_bytes(astronaut[:2000])
    Image.fromarray(noise(80, 80)).save(source / "happy" / "a.png")
    report = crop_folder(source, tmp_path / "crops", "yunet", jobs=2).set_index("file")
    assert report.loc["happy/a.jpg", "outcome"].startswith("kept")
    assert report.loc["happy/a.png", "outcome"] == "no face found"
    assert "not a usable picture" in report.loc["happy/cut.jpg", "outcome"]
    crop = read_image(tmp_path / "crops" / report.loc["happy/a.jpg", "crop"])
    assert crop.shape[0] == crop.shape[1] > 60
    assert (tmp_path / "crops" / REPORT_NAME).is_file()
    with pytest.raises(InputError, match="new or empty"):
        crop_folder(source, tmp_path / "crops")
    monkeypatch.setenv("FER_YUNET_PATH", str(tmp_path / "missing.onnx"))
    with pytest.raises(DetectorError):
        crop_folder(source, tmp_path / "none", "yunet")
    with pytest.raises(InputError, match="must not lie in"):
        crop_folder(source, source / "crops")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="hold pictures"):
        crop_folder(empty, tmp_path / "more")
