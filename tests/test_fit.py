"""The loop: by itself, on each backend, after a kill, and one whole run."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fer.errors import InputError
from tests.conftest import ROOT, heeding_ctrl_c, noise, numbers

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

from tests.toy_data import make_dataset, make_folder  # noqa: E402


def test_unknown_recipes_are_named():
    from train.recipes import get_recipe

    with pytest.raises(InputError, match="mobilenetv2-96"):
        get_recipe("mobilenet-9000")


def test_batches_follow_from_seed_and_epoch():
    from train.fit import stream_batches

    images = np.arange(10, dtype=np.uint8)[:, None, None, None]
    targets = np.eye(10, dtype=np.float32)

    def epochs(first_epoch, n):
        batches = stream_batches(images, targets, 4, 1, first_epoch)
        steps = [[next(batches) for _ in range(3)] for _ in range(n)]
        for (pixels, mixed), wanted in itertools.chain(*steps):
            assert (wanted.argmax(axis=1) == pixels.ravel()).all()
            assert (mixed == wanted).all()
        return [[int(p) for (pixels, _), _ in epoch for p in pixels.ravel()] for epoch in steps]

    seen = epochs(0, 4)
    assert all(sorted(epoch) == list(range(10)) for epoch in seen)
    assert len({tuple(epoch) for epoch in seen}) == 4
    assert epochs(2, 2) == seen[2:]


def test_a_backup_is_the_newest_whole_and_logged_one(tmp_path):
    import keras

    from train.fit import Backup

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    backup = Backup(tmp_path / "backup")
    backup.set_model(model)
    assert backup.n_epochs(9) == 0
    backup.restore(0)
    kernels = []
    for epoch in range(4):
        model.set_weights([np.full((2, 1), epoch), np.zeros(1)])
        backup.on_epoch_end(epoch)
        kernels.append(model.get_weights()[0])
    assert sorted(path.name for path in backup.folder.iterdir()) == [
        "0003.weights.h5",
        "0004.weights.h5",
    ]
    assert (backup.n_epochs(4), backup.n_epochs(3), backup.n_epochs(2)) == (4, 3, 0)
    backup.restore(3)
    assert (model.get_weights()[0] == kernels[2]).all()


def test_patience_counts_the_epochs_before_a_kill():
    from train.fit import Patience

    assert not Patience(2, []).is_over
    assert not Patience(2, [0.5, 0.4]).is_over
    assert Patience(2, [0.4, 0.5, 0.5, 0.4]).is_over
    stopped = Patience(3, [0.4, 0.5, 0.5])
    stopped.on_train_begin()
    assert (stopped.wait, stopped.best) == (1, 0.5)


def test_a_run_goes_on_only_as_it_began(tmp_path):
    from train.fit import _begin

    made_of = {"recipe": {"name": "a", "phases": ((1, 2),)}, "dataset_sha256": "00"}
    with pytest.raises(InputError, match="hold a run"):
        _begin(tmp_path / "run", made_of, True)
    _begin(tmp_path / "run", made_of, False)
    _begin(tmp_path / "run", made_of, True)
    with pytest.raises(InputError, match="resume"):
        _begin(tmp_path / "run", made_of, False)
    with pytest.raises(InputError, match=r"the same dataset_sha256.*01"):
        _begin(tmp_path / "run", made_of | {"dataset_sha256": "01"}, True)
    with pytest.raises(InputError, match=r"the same name.*'b'"):
        _begin(tmp_path / "run", made_of | {"recipe": {**made_of["recipe"], "name": "b"}}, True)


def test_unusable_recipes_are_refused():
    from train.recipes import Phase, Recipe

    with pytest.raises(InputError, match="at least 32"):
        Phase(24, 1)
    with pytest.raises(InputError, match="phase"):
        Recipe(name="x", phases=())
    for change in ({"dropout": 1.5}, {"mix": 0.5, "mixup": 0, "cutmix": 0}, {"precision": "half"}):
        with pytest.raises(InputError, match=next(iter(change))):
            Recipe(name="x", phases=(Phase(32, 1),), **change)


def test_twins_that_nobody_marked_cannot_be_left_out(tmp_path):
    from dataclasses import replace

    from train.fit import fit
    from train.recipes import get_recipe

    recipe = replace(get_recipe("smoke"), drop_twins=True)
    with pytest.raises(InputError, match="cross_split_twin"):
        fit(recipe, make_folder(tmp_path / "faces", n=20), tmp_path / "run", init=None)
    assert not (tmp_path / "run").exists()


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


def run(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "train", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


STEPS = """
import json, sys
import keras, numpy as np
from train.augment import Mix, build_geometry, build_photometry
from train.fit import _optimizer
from train.losses import TrainingLoss, accuracy
from train.model import build_model, build_trainer
from train.recipes import Phase, Recipe

jit = keras.backend.backend() == "jax"
still = dict(flip=False, rotation=0, zoom=0, translation=0, brightness=0, contrast=0, erase=0)
recipe = Recipe(name="two", phases=(Phase(64, 1),), warmup_epochs=0, learning_rate=1e-4, **still)
network = build_model(3, 1, 64, init=sys.argv[1], fused=True)
trainer = build_trainer(network, build_geometry(recipe), Mix(0, 0, 0), build_photometry(recipe))
trainer.compile(_optimizer(recipe, 100), TrainingLoss(np.ones(3, np.float32), 0.1),
                metrics=[accuracy], jit_compile=jit)
rng = np.random.default_rng(0)
pixels = rng.uniform(0, 255, (16, 64, 64, 1)).astype(np.float32)
targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 16)]
losses = []
for _ in range(3):  # the last one tells what the second step has done
    trainer.reset_metrics()
    losses.append(float(trainer.train_on_batch([pixels, targets], targets)[0]))
recipe = Recipe(name="x", phases=(Phase(64, 1),), photometric=2, shear=.1)
lively = build_trainer(network, build_geometry(recipe), Mix(1, .4, 1), build_photometry(recipe))
lively.compile(loss=TrainingLoss(np.ones(3, np.float32)), optimizer="sgd", jit_compile=jit)
lively_loss = float(lively.train_on_batch([pixels, targets], targets))
print(json.dumps({"backend": keras.backend.backend(), "losses": losses, "lively": lively_loss}))
"""


@pytest.mark.slow
def test_two_steps_are_the_same_on_tensorflow_and_on_jax(tmp_path):
    import keras

    from train.model import build_model

    pytest.importorskip("jax")
    keras.utils.set_random_seed(0)
    build_model(3, 1, 64).save(tmp_path / "start.keras")
    answers = {}
    for backend in ("tensorflow", "jax"):
        done = subprocess.run(
            [sys.executable, "-c", STEPS, str(tmp_path / "start.keras")],
            cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers[backend] = json.loads(done.stdout.splitlines()[-1])
        assert answers[backend]["backend"] == backend
        assert 0 < answers[backend]["lively"] < 20
    mine, theirs = answers["tensorflow"], answers["jax"]
    first, _, last = mine["losses"]
    assert last < 0.98 * first
    assert np.allclose(mine["losses"], theirs["losses"], atol=0.02 * (first - last))


@pytest.mark.slow
def test_a_run_on_jax_and_two_devices_is_one_that_tensorflow_reads(tmp_path):
    import keras

    pytest.importorskip("jax")
    source = make_dataset(tmp_path / "toy", n=32)
    out = tmp_path / "run"
    process = run(
        "fit",
        "smoke",
        "--dataset",
        source,
        "--init",
        "random",
        "--out",
        out,
        "--data-parallel",
        KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
    said = process.communicate()[1].decode()
    record = json.loads((out / "training.json").read_text())
    assert record["backend"] == "jax"
    assert "cpu:1" in record["device"]
    assert len(record["log"]) == 2
    model = keras.saving.load_model(out / "model.keras", compile=False)
    logits = numbers(model(noise(48, 48)[None, ..., :1].astype(np.float32)))
    assert np.isfinite(logits).all()
    assert process.returncode == 0, said
    assert "with TensorFlow" in said
    exported = run("export", out, tmp_path / "out", "--dataset", source, "--format", "onnx")
    said = exported.communicate()[1].decode()
    assert exported.returncode == 0, said
    files = {"fer.json", "model.keras", "model.onnx", "model.tflite", "training.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


@pytest.mark.slow
def test_a_killed_run_that_is_resumed_ends_like_an_unbroken_one(tmp_path):
    """Kill -9 in the middle of the second epoch; the order and every draw come again."""
    source = make_dataset(tmp_path / "toy", n=240)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = ("fit", "smoke", "--dataset", source, "--init", "random", "--out")
    unbroken = run(*command, whole)
    said = unbroken.communicate()[1].decode()
    assert unbroken.returncode == 0, said
    process = run(*command, broken)
    log = broken / "log.csv"
    while process.poll() is None and not (log.is_file() and log.read_text().count("\n") == 2):
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    time.sleep(1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert log.read_text().count("\n") == 2
    refused = run(*command, broken)
    assert b"--resume" in refused.communicate()[1]
    assert refused.returncode == 1
    resumed = run(*command, broken, "--resume")
    said = resumed.communicate()[1].decode()
    assert resumed.returncode == 0, said
    ends = [json.loads((folder / "training.json").read_text())["log"] for folder in (whole, broken)]
    assert [row["epoch"] for row in ends[1]] == [0, 1]
    for mine, theirs in zip(*ends, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-3)
        assert abs(mine["val_accuracy"] - theirs["val_accuracy"]) <= 0.003


@pytest.mark.slow
def test_an_interrupt_leaves_whole_epochs_and_says_how_to_go_on(tmp_path):
    source = make_dataset(tmp_path / "toy", n=240)
    out = tmp_path / "run"
    with heeding_ctrl_c():
        process = run("fit", "smoke", "--dataset", source, "--init", "random", "--out", out)
    log = out / "log.csv"
    while process.poll() is None and not (log.is_file() and log.read_text().count("\n") == 2):
        time.sleep(0.05)
    os.set_blocking(process.stderr.fileno(), False)
    said, pressed_at = "", -60.0
    while process.poll() is None:
        # Python drops what falls into a weak reference's callback; what was heard takes its time.
        if "--resume" not in said and time.monotonic() - pressed_at > 15:
            process.send_signal(signal.SIGINT)
            pressed_at = time.monotonic()
        said += (process.stderr.read() or b"").decode(errors="replace")
        time.sleep(0.05)
    said += (process.communicate()[1] or b"").decode(errors="replace")
    assert process.returncode == 130, said
    assert "--resume" in said
    assert "Traceback" not in said
    assert (out / "backup" / "0001.weights.h5").is_file()


@pytest.mark.slow
def test_a_pupil_learns_from_teachers_of_any_size(tmp_path):
    from dataclasses import replace

    import keras

    from fer.errors import InputError
    from train.fit import fit
    from train.model import build_model
    from train.recipes import get_recipe

    source = make_dataset(tmp_path / "toy")
    teacher, other = tmp_path / "teacher.keras", tmp_path / "other.keras"
    build_model(2, 1, 64).save(teacher)
    build_model(2, 1, 48).save(other)
    recipe = replace(
        get_recipe("smoke"),
        mix=0.5,
        photometric=1,
        focal=1.0,
        class_weight=0.5,
        patience=1,
        drop_twins=True,
        balance=0.0,
    )
    fit(recipe, source, tmp_path / "run", init=None, teachers=[teacher, other])
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert [each["file"] for each in record["teachers"]] == ["teacher.keras", "other.keras"]
    assert record["recipe"]["mix"] == 0.5
    assert record["images_seen"] == 2 * 18  # a quarter of the 24 are twins
    saved = keras.saving.load_model(tmp_path / "run" / "model.keras", compile=False)
    assert saved.output_shape == (None, 2)
    kinds = {type(layer) for layer in saved.layers[2].layers}
    assert keras.layers.BatchNormalization in kinds
    build_model(3, 1, 64).save(teacher)
    with pytest.raises(InputError, match="2 classes"):
        fit(recipe, source, tmp_path / "other", init=None, teachers=[teacher])
    with pytest.raises(InputError, match="teacher"):
        fit(recipe, source, tmp_path / "none", init=None, teachers=[tmp_path / "no.keras"])


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
    record = json.loads((run / "training.json").read_text(encoding="utf-8"))
    assert record["class_bias"].keys() == {"dark", "bright"}
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
