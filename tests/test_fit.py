"""Losses, augmentation, the loop: each by itself, on each backend, and after a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT, noise
from tests.test_train import make_dataset

pytest.importorskip("keras")
pytestmark = pytest.mark.keras


def numbers(tensor):
    import keras

    return keras.ops.convert_to_numpy(tensor)


def joined(*parts):
    return np.concatenate([np.array(part, np.float32) for part in parts], axis=1)


def softmax(logits):
    shares = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


LOGITS = [[2.0, 0.0, -1.0], [0.5, 0.0, 0.0]]
TARGETS = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]


def test_the_plain_loss_is_the_cross_entropy_of_smoothed_targets():
    from train.losses import TrainingLoss

    loss = TrainingLoss(np.ones(3, np.float32), label_smoothing=0.3)
    got = numbers(loss.call(None, joined(LOGITS, TARGETS)))
    smooth = 0.7 * np.array(TARGETS) + 0.1
    assert np.allclose(got, -(smooth * np.log(softmax(LOGITS))).sum(axis=1), atol=1e-5)


def test_rare_classes_count_more_by_their_share_of_each_target():
    from train.losses import TrainingLoss, class_weights

    weights = class_weights(np.repeat([0, 1, 2], [60, 30, 10]), 3, power=1.0)
    assert np.allclose(weights * [60, 30, 10], 100 / 3)
    assert np.allclose(class_weights(np.repeat([0, 1, 2], [60, 30, 10]), 3, power=0.0), 1)
    plain = numbers(TrainingLoss(np.ones(3, np.float32)).call(None, joined(LOGITS, TARGETS)))
    got = numbers(TrainingLoss(weights).call(None, joined(LOGITS, TARGETS)))
    assert np.allclose(got, plain * [weights[0], weights[1:].mean()], atol=1e-5)


def test_the_focal_loss_is_that_of_keras():
    import keras

    from train.losses import TrainingLoss

    loss = TrainingLoss(np.ones(3, np.float32), focal=2.0)
    theirs = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=2.0, from_logits=True, reduction=None
    )
    got = numbers(loss.call(None, joined(LOGITS, TARGETS)))
    assert np.allclose(got, numbers(theirs(np.array(TARGETS), np.array(LOGITS))), atol=1e-5)


def test_distillation_is_least_where_pupil_and_teacher_agree():
    from train.losses import TrainingLoss

    loss = TrainingLoss(np.ones(3, np.float32), distill=1.0, temperature=2.0)
    teacher = [[1.0, 3.0, 0.0], [0.5, 0.0, 0.0]]
    apart = numbers(loss.call(None, joined(LOGITS, TARGETS, teacher)))
    same = numbers(loss.call(None, joined(teacher, TARGETS, teacher)))
    assert apart[0] > same[0] + 0.5
    assert apart[1] == pytest.approx(same[1])
    soft = softmax(np.array(teacher) / 2)
    entropy = -4 * (soft * np.log(soft)).sum(axis=1)
    assert np.allclose(same, entropy, atol=1e-4)
    half = TrainingLoss(np.ones(3, np.float32), distill=0.5, temperature=2.0)
    plain = numbers(TrainingLoss(np.ones(3, np.float32)).call(None, joined(LOGITS, TARGETS)))
    mean = numbers(half.call(None, joined(LOGITS, TARGETS, teacher)))
    assert np.allclose(mean, (plain + apart) / 2, atol=1e-5)


def test_accuracy_looks_at_the_logits_alone():
    from train.losses import accuracy

    hits = numbers(accuracy(np.eye(3, dtype=np.float32)[[0, 2]], joined(LOGITS, TARGETS)))
    assert hits.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_are_mixed_as_the_images_are(mixup, cutmix):
    """Image i is one flat gray value of its own, so its mean tells the shares."""
    from train.augment import Mix

    n = 32
    images = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 24, 24, 1))
    targets = np.eye(n, dtype=np.float32)
    mix = Mix(0.75, mixup, cutmix, seed=0)
    same, kept = mix(images, targets, training=False)
    assert (numbers(same) == images).all()
    assert (numbers(kept) == targets).all()
    mixed, shares = (numbers(part) for part in mix(images, targets, training=True))
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(mixed.mean(axis=(1, 2, 3)), shares @ np.arange(n), atol=1e-3)
    altered = shares.max(axis=1) < 0.999
    assert 0.45 < altered.mean() < 0.95
    levels = np.array([len(np.unique(np.round(image, 3))) for image in mixed])
    if not cutmix:
        assert (levels == 1).all()
    elif not mixup:
        assert (levels[altered] == 2).all()
    else:
        assert {1, 2} <= set(levels[altered])


def test_photometric_operations_keep_the_range_and_differ_by_image():
    from train.augment import RandomPhotometric

    images = np.stack([noise(24, 24)[..., :1]] * 32).astype(np.float32)
    layer = RandomPhotometric(2, seed=0)
    assert (numbers(layer(images, training=False)) == images).all()
    altered = numbers(layer(images, training=True))
    assert altered.min() >= 0
    assert altered.max() <= 255
    assert len({image.tobytes() for image in altered}) == 32
    assert np.abs(altered - images).mean() > 3
    weak = numbers(RandomPhotometric(2, strength=0.01, seed=0)(images, training=True))
    assert np.abs(weak - images).mean() < 1


def test_a_shear_moves_what_is_off_the_middle_sideways():
    from train.augment import RandomAffine

    images = np.zeros((64, 33, 33, 1), np.float32)
    images[:, 6, 16] = 255.0  # ten pixels above the centre
    result = numbers(RandomAffine(shear=0.3, seed=1)(images, training=True))[..., 0]
    y, x = np.mgrid[:33, :33] - 16
    mass = result.sum(axis=(1, 2))
    moved = (result * x).sum(axis=(1, 2)) / mass
    assert np.abs((result * y).sum(axis=(1, 2)) / mass + 10).max() < 1e-3
    assert -3.1 < moved.min() < -2
    assert 2 < moved.max() < 3.1


def test_the_fused_normalisation_is_that_of_keras():
    import keras

    from train.model import build_model

    keras.utils.set_random_seed(0)
    plain = build_model(3, 1, 32)
    fused = build_model(3, 1, 32, fused=True)
    fused.set_weights(plain.get_weights())
    images = np.stack([noise(32, 32, seed=i)[..., :1] for i in range(64)]).astype(np.float32)
    for training in (False, True):
        gap = numbers(plain(images, training=training)) - numbers(fused(images, training=training))
        assert np.abs(gap).max() < 1e-3
    for mine, theirs in zip(fused.get_weights(), plain.get_weights(), strict=True):
        assert np.abs(mine - theirs).max() < 0.02 * max(1, np.abs(theirs).max())


def test_batches_follow_from_seed_and_epoch():
    from train.fit import Batches

    images = np.arange(10, dtype=np.uint8)[:, None, None, None]
    targets = np.eye(10, dtype=np.float32)

    def seen(batches):
        return [int(pixel) for step in range(len(batches)) for pixel in batches[step][0][0].ravel()]

    first, second = Batches(images, targets, 4, seed=1), Batches(images, targets, 4, seed=1)
    assert len(first) == 3
    second.start(3)
    assert sorted(seen(first)) == sorted(seen(second)) == list(range(10))
    assert seen(first) != seen(second)
    first.start(3)
    assert seen(first) == seen(second)
    (pixels, mixed), wanted = first[0]
    assert (wanted.argmax(axis=1) == pixels.ravel()).all()
    assert (mixed == wanted).all()


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

still = dict(flip=False, rotation=0, zoom=0, translation=0, brightness=0, contrast=0, erase=0)
recipe = Recipe(name="two", phases=(Phase(32, 1),), warmup_epochs=0, dropout=0, **still)
network = build_model(3, 1, 32, init=sys.argv[1], fused=True)
trainer = build_trainer(network, build_geometry(recipe), Mix(0, 0, 0), build_photometry(recipe))
trainer.compile(_optimizer(recipe, 100), TrainingLoss(np.ones(3, np.float32), 0.1),
                metrics=[accuracy], jit_compile=keras.backend.backend() == "jax")
rng = np.random.default_rng(0)
losses = []
for _ in range(2):
    pixels = rng.uniform(0, 255, (8, 32, 32, 1)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 8)]
    losses.append(float(trainer.train_on_batch([pixels, targets], targets)[0]))
logits = network.predict(pixels, verbose=0)
recipe = Recipe(name="x", phases=(Phase(32, 1),), photometric=2, shear=.1)
lively = build_trainer(network, build_geometry(recipe), Mix(1, .4, 1), build_photometry(recipe))
lively.compile(loss=TrainingLoss(np.ones(3, np.float32)), optimizer="sgd",
               jit_compile=keras.backend.backend() == "jax")
lively_loss = float(lively.train_on_batch([pixels, targets], targets))
print(json.dumps({"backend": keras.backend.backend(), "losses": losses,
                  "logits": logits.tolist(), "lively": lively_loss}))
"""


@pytest.mark.slow
def test_two_steps_are_the_same_on_tensorflow_and_on_jax(tmp_path):
    import keras

    from train.model import build_model

    pytest.importorskip("jax")
    keras.utils.set_random_seed(0)
    build_model(3, 1, 32).save(tmp_path / "start.keras")
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
    assert np.allclose(mine["losses"], theirs["losses"], rtol=1e-3)
    assert mine["losses"][0] != mine["losses"][1]
    assert np.allclose(mine["logits"], theirs["logits"], atol=2e-2)


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
    assert (out / "export" / "model.tflite").is_file()


@pytest.mark.slow
def test_a_killed_run_that_is_resumed_ends_like_an_unbroken_one(tmp_path):
    """Kill -9 in the middle of the second epoch; the order and every draw come again."""
    source = make_dataset(tmp_path / "toy", n=240)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = ("fit", "smoke", "--dataset", source, "--init", "random", "--out")
    assert run(*command, whole).wait() == 0
    process = run(*command, broken)
    log = broken / "log.csv"
    while process.poll() is None and not (log.is_file() and log.read_text().count("\n") == 2):
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    time.sleep(1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert log.read_text().count("\n") == 2
    refused = run(*command, broken)
    assert refused.wait() == 1
    assert b"--resume" in refused.stderr.read()
    resumed = run(*command, broken, "--resume")
    assert resumed.wait() == 0, resumed.stderr.read().decode()
    ends = [json.loads((folder / "training.json").read_text())["log"] for folder in (whole, broken)]
    assert [row["epoch"] for row in ends[1]] == [0, 1]
    for mine, theirs in zip(*ends, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-3)
        assert abs(mine["val_accuracy"] - theirs["val_accuracy"]) <= 0.003


@pytest.mark.slow
def test_an_interrupt_leaves_whole_epochs_and_says_how_to_go_on(tmp_path):
    source = make_dataset(tmp_path / "toy", n=240)
    out = tmp_path / "run"
    process = run("fit", "smoke", "--dataset", source, "--init", "random", "--out", out)
    log = out / "log.csv"
    while process.poll() is None and not (log.is_file() and log.read_text().count("\n") == 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].decode()
    assert process.returncode == 130, said
    assert "--resume" in said
    assert "Traceback" not in said
    assert (out / "backup" / "latest.weights.h5").is_file()


@pytest.mark.slow
def test_a_pupil_learns_from_a_teacher_of_another_size(tmp_path):
    from dataclasses import replace

    import keras

    from fer.errors import InputError
    from train.fit import fit
    from train.model import build_model
    from train.recipes import get_recipe

    source = make_dataset(tmp_path / "toy")
    teacher = tmp_path / "teacher.keras"
    build_model(2, 1, 64).save(teacher)
    recipe = replace(
        get_recipe("smoke"),
        mix=0.5,
        photometric=1,
        focal=1.0,
        class_weight=0.5,
        patience=1,
        drop_twins=True,
    )
    fit(recipe, source, tmp_path / "run", init=None, teachers=[teacher])
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert record["teachers"][0]["file"] == "teacher.keras"
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
