"""The loop: by itself, on each backend, after a kill, and one whole run."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import tqdm

from fer.errors import InputError
from tests.conftest import ROOT, heeding_ctrl_c, noise, numbers, opened

pytest.importorskip("datasets")
pytest.importorskip("keras")
pytestmark = pytest.mark.keras

from tests.toy_data import FIT_WITHOUT_EXPORT, make_dataset, make_folder, toy_recipe  # noqa: E402


def test_unknown_recipes_are_named():
    from train.recipes import get_recipe

    with pytest.raises(InputError, match="mobilenetv2-96"):
        get_recipe("mobilenet-9000")


def make_material(images, n_classes):
    """Images (n, s, s, 1) of which number i is of class i modulo `n_classes`."""
    from fer.types import ModelConfig
    from train.data.split import Split
    from train.material import Material

    labels = np.arange(len(images)) % n_classes
    names = tuple(f"c{i}" for i in range(n_classes))
    split = Split(images, labels, np.zeros(len(images), bool), None, names, "")
    return Material(ModelConfig(class_names=names, input_size=32), split, split, images, "", 0)


def test_batches_follow_from_seed_and_view():
    from train.fit import stream_batches
    from train.recipes import Phase
    from train.views import plan_views

    images = np.arange(10, dtype=np.uint8)[:, None, None, None]
    material = make_material(images, 10)
    recipe = toy_recipe(phases=(Phase(32, 4),), batch_size=4, seed=1)

    def epochs(first_epoch, n, recipe=recipe):
        batches = stream_batches(material, recipe, plan_views(recipe)[first_epoch:])
        steps = [[next(batches) for _ in range(3)] for _ in range(n)]
        for inputs, wanted in itertools.chain(*steps):
            assert (wanted.argmax(axis=1) == inputs["pixels"].ravel()).all()
            assert (inputs["targets"] == wanted).all()
            assert inputs["moves"].shape == (len(wanted), 6)
            assert inputs["masks"].shape == (len(wanted), 5)
        return [
            [
                (int(p), *move)
                for inputs, _ in epoch
                for p, move in zip(inputs["pixels"].ravel(), inputs["moves"].tolist(), strict=True)
            ]
            for epoch in steps
        ]

    seen = epochs(0, 4)
    assert all(sorted(image for image, *_ in epoch) == list(range(10)) for epoch in seen)
    assert len({tuple(epoch) for epoch in seen}) == 4
    assert epochs(2, 2) == seen[2:]
    again = epochs(0, 4, replace(recipe, views=3))
    assert again[:3] == seen[:3]
    assert again[3] == seen[0]


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


@pytest.mark.parametrize(("last", "kept"), [(False, 1.0), (True, 2.0)])
def test_the_best_epoch_is_kept_or_the_last_one(tmp_path, last, kept):
    import keras

    from train.fit import _keeper

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    keeper = _keeper(tmp_path, [], last)
    keeper.set_model(model)
    for epoch, accuracy in enumerate((0.5, 0.7, 0.6)):
        model.set_weights([np.full((1, 1), epoch)])
        keeper.on_epoch_end(epoch, {"val_accuracy": accuracy})
    model.load_weights(tmp_path / "best.weights.h5")
    assert model.get_weights()[0].item() == kept


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({}, False),
        ({"keep_last": True}, True),
        ({"with_validation": True, "correct_bias": False}, True),
    ],
)
def test_a_recipe_says_which_epoch_is_kept(tmp_path, changes, last):
    from train.fit import _keepers, _parts, _Run

    run = _Run(toy_recipe(**changes), tmp_path, None, [], tqdm(disable=True))
    *_, part = _parts(run.recipe)
    (keeper,), _ = _keepers(run, part, 0)
    assert keeper.save_best_only is not last


def test_a_blend_is_between_start_and_end_but_for_the_votes():
    from train.fit import _blend
    from train.model import build_model

    start, learned = (build_model(toy_recipe(), 3, 32, n_votes=8) for _ in range(2))
    for weights, value in ((start, 1.0), (learned, 5.0)):
        weights.set_weights([np.full(weight.shape, value) for weight in weights.weights])
    _blend(learned, start, 0.25)
    found = {weight.path: numbers(weight) for weight in learned.weights}
    votes = [path for path in found if path.startswith("votes/")]
    assert len(votes) == 2
    for path, values in found.items():
        assert (values == (5.0 if path in votes else 2.0)).all(), path


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

    def begin(resume, **changes):
        with _begin(tmp_path / "run", made_of | changes, resume):
            pass

    made_of = {"recipe": {"name": "a", "phases": ((1, 2),)}, "dataset_sha256": "00"}
    with pytest.raises(InputError, match="hold a run"):
        begin(True)
    assert not (tmp_path / "run").exists()
    begin(False, dataset_sha256="02")
    begin(False)  # the first one had come to no epoch
    (tmp_path / "run" / "log.csv").write_text("epoch,val_accuracy\n0,0.5\n")
    begin(True)
    with pytest.raises(InputError, match="resume"):
        begin(False)
    with pytest.raises(InputError, match=r"the same dataset_sha256.*01"):
        begin(True, dataset_sha256="01")
    with pytest.raises(InputError, match=r"the same name.*'b'"):
        begin(True, recipe={**made_of["recipe"], "name": "b"})


def test_two_runs_at_once_do_not_share_a_folder(tmp_path):
    from filelock import FileLock

    from train.fit import fit

    (tmp_path / "run").mkdir()
    faces = make_folder(tmp_path / "faces", n=20)
    with (
        FileLock(tmp_path / "run" / "lock"),
        pytest.raises(InputError, match="another process is training"),
    ):
        fit(toy_recipe(), opened(faces), tmp_path / "run", init=None)


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
        fit(recipe, opened(make_folder(tmp_path / "faces", n=20)), tmp_path / "run", init=None)
    assert not (tmp_path / "run").exists()


def test_validation_leaves_the_batch_statistics_of_training_alone():
    import keras

    from train.fit import FreshStatistics
    from train.model import build_model

    keras.utils.set_random_seed(0)
    model = build_model(toy_recipe(), 2, 32)
    images = np.stack([noise(32, 32, seed=i)[..., :1] // 3 for i in range(12)])
    norm = model.layers[2].get_layer("bn_Conv1")
    before = np.array(keras.ops.convert_to_numpy(norm.moving_mean))
    callback = FreshStatistics(model, images)
    callback.on_test_begin()
    during = np.array(keras.ops.convert_to_numpy(norm.moving_mean))
    callback.on_test_end()
    assert np.abs(during - before).max() > 1e-2
    assert (keras.ops.convert_to_numpy(norm.moving_mean) == before).all()


# The smallest network: what is tested does not depend on it.
SMOKE = ("fit", "smoke", "--backbone", "cnn")
FIT = ("-m", "train", *SMOKE)
FIT_ALONE = ("-c", FIT_WITHOUT_EXPORT, *SMOKE)


def run(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


STEPS = """
import json, sys
import keras, numpy as np
from train.augment import build_photometry
from train.fit import _optimizer
from train.losses import TrainingLoss, label_accuracy
from train.model import build_model, build_trainer
from train.recipes import Phase, Recipe
from train.views import ViewKey, draw_view, still

jit = keras.backend.backend() == "jax"
plain = dict(flip=False, rotation=0, zoom=0, translation=0, brightness=0, contrast=0, erase=0)
plain |= dict(dropout=0)  # whose masks no two backends draw alike
recipe = Recipe(name="two", backbone="cnn", phases=(Phase(64, 1),), warmup_epochs=0,
                learning_rate=1e-4, **plain)
network = build_model(recipe, 3, 64, init=sys.argv[1], fused=True)
trainer = build_trainer(network, build_photometry(recipe))
trainer.compile(_optimizer(recipe, recipe.phases, 100), TrainingLoss(np.ones(3, np.float32), 0.1),
                metrics=[label_accuracy(3)], jit_compile=jit)
rng = np.random.default_rng(0)
pixels = rng.uniform(0, 255, (16, 64, 64, 1)).astype(np.float32)
targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 16)]
view = still(16)
inputs = {"pixels": pixels, "targets": targets, "moves": view.moves, "masks": view.masks}
losses = []
for _ in range(3):  # the last one tells what the second step has done
    trainer.reset_metrics()
    losses.append(float(trainer.train_on_batch(inputs, targets)[0]))
recipe = Recipe(name="x", phases=(Phase(64, 1),), photometric=2, camera=1.0, shear=.1, mix=1.0)
view = draw_view(recipe, ViewKey(1.0, 0), 16)
inputs |= {"moves": view.moves, "masks": view.masks}
lively = build_trainer(network, build_photometry(recipe))
lively.compile(loss=TrainingLoss(np.ones(3, np.float32)), optimizer="sgd", jit_compile=jit)
lively_loss = float(lively.train_on_batch(inputs, targets))
print(json.dumps({"backend": keras.backend.backend(), "losses": losses, "lively": lively_loss}))
"""


@pytest.mark.long
def test_two_steps_are_the_same_on_tensorflow_and_on_jax(tmp_path):
    import keras

    from train.model import build_model

    pytest.importorskip("jax")
    keras.utils.set_random_seed(0)
    build_model(toy_recipe(backbone="cnn"), 3, 64).save(tmp_path / "start.keras")
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


@pytest.mark.long
def test_a_run_on_jax_and_two_devices_is_one_that_tensorflow_reads(tmp_path):
    import keras

    pytest.importorskip("jax")
    source = make_dataset(tmp_path / "toy", n=32)
    out = tmp_path / "run"
    process = run(
        *FIT,
        "--dataset",
        source,
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
    exported = run(
        "-m", "train", "export", out, tmp_path / "out", "--dataset", source, "--format", "onnx"
    )
    said = exported.communicate()[1].decode()
    assert exported.returncode == 0, said
    files = {"fer.json", "model.keras", "model.onnx", "model.tflite", "training.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


@pytest.mark.long
def test_a_killed_run_that_is_resumed_ends_like_an_unbroken_one(tmp_path):
    """Kill -9 in the middle of the second epoch; the order and every draw come again."""
    source = make_dataset(tmp_path / "toy", n=240)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = (*FIT_ALONE, "--dataset", source, "--out")
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
    resumed = run(*command, broken, "--resume")
    said = resumed.communicate()[1].decode()
    assert resumed.returncode == 0, said
    ends = [json.loads((folder / "training.json").read_text())["log"] for folder in (whole, broken)]
    assert [row["epoch"] for row in ends[1]] == [0, 1]
    for mine, theirs in zip(*ends, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-3)
        assert abs(mine["val_accuracy"] - theirs["val_accuracy"]) <= 0.003
    for name in ("model.keras", "training.json"):  # as if killed after the last epoch
        (broken / name).unlink()
    ended = run(*command, broken, "--resume")
    said = ended.communicate()[1].decode()
    assert ended.returncode == 0, said
    assert json.loads((broken / "training.json").read_text())["log"] == ends[1]


def test_an_interrupt_is_heeded_between_batches_and_a_second_one_at_once():
    from train.fit import Interrupt

    with heeding_ctrl_c():
        with Interrupt() as interrupt:
            interrupt.on_train_batch_end(0)
            signal.raise_signal(signal.SIGINT)
            for heed in (interrupt.on_train_batch_end, interrupt.on_test_batch_end):
                with pytest.raises(KeyboardInterrupt):
                    heed(1)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            interrupt.is_pressed = False
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt), Interrupt():  # after the last batch
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.long
def test_an_interrupt_leaves_whole_epochs_and_says_how_to_go_on(tmp_path):
    source = make_dataset(tmp_path / "toy", n=240)
    out = tmp_path / "run"
    with heeding_ctrl_c():
        process = run(*FIT_ALONE, "--dataset", source, "--out", out)
    log = out / "log.csv"
    while process.poll() is None and not (log.is_file() and log.read_text().count("\n") == 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)[1].decode(errors="replace")
    assert process.returncode == 130, said
    assert "--resume" in said
    assert "Traceback" not in said
    assert (out / "backup" / "0001.weights.h5").is_file()


@pytest.mark.long
@pytest.mark.slow
def test_a_pupil_learns_from_teachers_of_any_size(tmp_path):
    import keras

    from fer.errors import InputError
    from train.fit import fit
    from train.model import build_model
    from train.recipes import get_recipe, with_backbone

    source = make_dataset(tmp_path / "toy")
    small = toy_recipe(backbone="cnn")
    teacher, other = tmp_path / "teacher.keras", tmp_path / "other.keras"
    build_model(small, 2, 64).save(teacher)
    build_model(small, 2, 48).save(other)
    recipe = replace(
        with_backbone(get_recipe("smoke"), "cnn"),
        mix=0.5,
        photometric=1,
        focal=1.0,
        class_weight=0.5,
        patience=1,
        drop_twins=True,
        balance=0.0,
    )
    fit(recipe, opened(source), tmp_path / "run", init=None, teachers=[teacher, other])
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert [each["file"] for each in record["teachers"]] == ["teacher.keras", "other.keras"]
    assert record["recipe"]["mix"] == 0.5
    assert record["images_seen"] == 2 * 18  # a quarter of the 24 are twins
    saved = keras.saving.load_model(tmp_path / "run" / "model.keras", compile=False)
    assert saved.output_shape == (None, 2)
    kinds = {type(layer) for layer in saved.layers[2].layers}
    assert keras.layers.BatchNormalization in kinds
    build_model(small, 3, 64).save(teacher)
    with pytest.raises(InputError, match=r"\[2\] classes"):
        fit(recipe, opened(source), tmp_path / "other", init=None, teachers=[teacher])
    with pytest.raises(InputError, match="teacher"):
        fit(recipe, opened(source), tmp_path / "none", init=None, teachers=[tmp_path / "no.keras"])


def test_another_backbone_starts_from_what_there_is():
    from train.recipes import get_recipe, with_backbone

    smoke = get_recipe("smoke")
    assert (smoke.backbone, smoke.init) == ("mobilenetv2", "imagenet")
    assert with_backbone(smoke, "mobilenet") == replace(smoke, backbone="mobilenet")
    assert with_backbone(smoke, "vit") == replace(smoke, backbone="vit", init="random")
    with pytest.raises(InputError, match=r"one of .*'vgg'"):
        with_backbone(smoke, "vgg")
    with pytest.raises(InputError, match=r"not cut.*five-class-cut.*block_13"):
        with_backbone(get_recipe("five-class-cut"), "mobilenet")
    cut = get_recipe("five-class-cut")
    assert with_backbone(cut, cut.backbone) == cut


def test_a_recipe_takes_the_images_that_it_says():
    from tests.train.test_evaluate import make_split
    from train.material import _chosen

    split = make_split([0, 0, 0, 1, 1, 1], [False, True, False, False, True, False], "ab")
    votes = np.array([[1, 0], [1, 0], [0, 9], [0, 2], [0, 0], [3, 1]], np.float32)
    assert _chosen(toy_recipe(), split).tolist() == [0, 1, 2, 3, 4, 5]
    assert _chosen(toy_recipe(clean=True), split).tolist() == [0, 1, 2, 3, 4, 5]
    voted = replace(split, votes=votes)
    assert _chosen(toy_recipe(clean=True), voted).tolist() == [0, 1, 3, 5]
    assert _chosen(toy_recipe(clean=True, drop_twins=True), voted).tolist() == [0, 3, 5]
    few = _chosen(toy_recipe(images_per_class=2), split)
    assert split.labels[few].tolist() == [0, 0, 1, 1]
    assert few.tolist() == _chosen(toy_recipe(images_per_class=2), split).tolist()
    assert len(_chosen(toy_recipe(images_per_class=9), split)) == 6


@pytest.mark.long
@pytest.mark.slow
def test_frozen_layers_first_and_a_schedule_for_each_part(tmp_path):
    """The head alone, then the upper half; broken off between them, it ends the same."""
    import keras

    from train.fit import fit
    from train.model import build_model
    from train.recipes import Phase

    source = make_dataset(tmp_path / "toy", n=80, classes=("dark", "bright", "noisy"))
    keras.utils.set_random_seed(1)
    build_model(toy_recipe(backbone="cnn"), 3, 32).save(tmp_path / "start.keras")
    recipe = toy_recipe(
        backbone="cnn",
        classes=("noisy", "dark"),
        images_per_class=20,
        phases=(
            Phase(32, 2, tuned=0.0, learning_rate=1e-3),
            Phase(32, 3, tuned=0.5, learning_rate=1e-2),
        ),
        schedule="plateau",
        correct_bias=False,
        ema_momentum=0.5,
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(recipe, opened(source), whole, tmp_path / "start.keras")
    record = json.loads((whole / "training.json").read_text())
    assert record["images_seen"] == 5 * 40
    assert set(record["class_bias"].values()) == {0.0}
    rates = [row["learning_rate"] for row in record["log"]]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[2] == pytest.approx(1e-2)
    saved = keras.saving.load_model(whole / "model.keras", compile=False)
    started = keras.saving.load_model(tmp_path / "start.keras", compile=False)
    pairs = list(zip(saved.layers[2].weights, started.layers[2].weights, strict=True))
    same = [bool((numbers(mine) == numbers(theirs)).all()) for mine, theirs in pairs]
    assert same[0]
    assert not same[-1]
    assert saved.output_shape == (None, 2)

    folder = broken / "backup"
    folder.mkdir(parents=True)
    for name in ("run.json", "best.weights.h5"):
        (broken / name).write_bytes((whole / name).read_bytes())
    lines = (whole / "log.csv").read_text().splitlines()
    # Only the last two backups are kept, so this one is of the second phase.
    (broken / "log.csv").write_text("\n".join(lines[:5]) + "\n")
    (folder / "0004.weights.h5").write_bytes((whole / "backup" / "0004.weights.h5").read_bytes())
    fit(recipe, opened(source), broken, tmp_path / "start.keras", resume=True)
    again = json.loads((broken / "training.json").read_text())["log"]
    assert len(again) == 5
    assert again[4]["loss"] == pytest.approx(record["log"][4]["loss"], abs=1e-3)
    assert again[4]["learning_rate"] == pytest.approx(rates[4])


def test_a_rate_that_falls_on_a_plateau_knows_the_epochs_before():
    import keras

    from train.fit import Plateau

    def rates(earlier, later):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        # What a backup holds: the rate before the last of the earlier epochs was judged.
        model.compile(keras.optimizers.SGD(1.0), "mse")
        plateau = Plateau(1.0, earlier)
        plateau.set_model(model)
        plateau.on_train_begin()
        found = []
        for epoch, accuracy in enumerate(later, len(earlier)):
            plateau.on_epoch_end(epoch, {"val_accuracy": accuracy})
            found.append(float(model.optimizer.learning_rate))
        return found

    accuracies = [0.5, 0.6, 0.55, 0.7, 0.7]
    whole = rates([], accuracies)
    assert whole == pytest.approx([1, 1, 0.3, 0.3, 0.09])
    for done in range(5):
        assert rates(accuracies[:done], accuracies[done:]) == pytest.approx(whole[done:])


def test_impossible_recipes_are_refused():
    from train.recipes import Phase

    with pytest.raises(InputError, match="learning_rate"):
        toy_recipe(phases=(Phase(32, 1, tuned=0.0), Phase(32, 1)))
    with pytest.raises(InputError, match="tuned"):
        Phase(32, 1, tuned=1.5)
    with pytest.raises(InputError, match="backbone"):
        toy_recipe(backbone="vgg")
    with pytest.raises(InputError, match="schedule"):
        toy_recipe(schedule="linear")
    with pytest.raises(InputError, match="images_per_class"):
        toy_recipe(images_per_class=0)
    with pytest.raises(InputError, match="learning_rate"):
        Phase(32, 1, learning_rate=0.0)
    for blend in (0.0, 1.5):
        with pytest.raises(InputError, match="blend"):
            toy_recipe(blend=blend)
    with pytest.raises(InputError, match="refit"):
        toy_recipe(refit=0.0)
    with pytest.raises(InputError, match="warmup_epochs"):
        toy_recipe(warmup_epochs=1.0)
    for choice in ({"patience": 1}, {"schedule": "plateau"}, {"correct_bias": True}):
        with pytest.raises(InputError, match="with_validation"):
            toy_recipe(with_validation=True, **{"correct_bias": False} | choice)
    stages = toy_recipe(
        phases=(Phase(32, 1, tuned=0.0), Phase(32, 2, learning_rate=1e-3), Phase(48, 1))
    ).stages
    assert [[phase.epochs for phase in stage] for stage in stages] == [[1], [2, 1]]


@pytest.mark.long
def test_a_run_from_data_to_serving_folder_and_figures(tmp_path):
    """Fit, select, recalibrate, export, evaluate on two invented classes."""
    from fer.hub import load_folder
    from fer.pipeline import Pipeline
    from tests.conftest import FakeDetector, make_faces
    from train.export import export
    from train.fit import fit
    from train.measure.evaluate import evaluate
    from train.measure.summary import format_report
    from train.recipes import get_recipe, with_backbone

    source = make_dataset(tmp_path / "toy")
    recipe = with_backbone(get_recipe("smoke"), "cnn")
    run, served = tmp_path / "run", tmp_path / "served"
    fit(recipe, opened(source), run, init=None)
    epochs = (run / "log.csv").read_text(encoding="utf-8").splitlines()
    assert len(epochs) == 1 + 2
    record = json.loads((run / "training.json").read_text(encoding="utf-8"))
    assert record["class_bias"].keys() == {"dark", "bright"}
    with pytest.raises(InputError, match="resume"):
        fit(recipe, opened(source), run, init=None)
    config = export(run, opened(source), served)
    assert config.class_names == ("dark", "bright")
    assert config.input_size == 48
    classifier = load_folder(served)
    pipeline = Pipeline(FakeDetector(make_faces([0, 0, 20, 20])), classifier)
    assert pipeline(noise(30, 30)).labels[0] in config.class_names

    results = tmp_path / "results"
    report = evaluate(served, opened(source), results)
    assert report["full"]["n_images"] == 24
    assert report["twin_free"]["n_images"] == 18
    assert sum(map(sum, report["full"]["confusion_matrix"])) == 24
    low, high = report["full"]["interval_95"]["top1"]
    assert low <= report["full"]["top1"] <= high
    assert "top-1" in format_report(report)
    assert json.loads((results / "smoke.json").read_bytes()) == report
    assert len((results / "results.csv").read_text(encoding="utf-8").splitlines()) == 2
    assert (results / "smoke_confusion.png").stat().st_size > 1000


def test_a_data_set_is_opened_once_in_a_run(tmp_path, monkeypatch):
    """Though it is shown, counted, trained on at two sizes, and exported."""
    import datasets
    from typer.testing import CliRunner

    from train import export, fit, recipes
    from train.__main__ import app
    from train.model import build_model

    load, n_opened = datasets.load_dataset, []

    def count(*arguments, **options):
        n_opened.append(arguments)
        return load(*arguments, **options)

    def write(run, dataset, out, **_):  # what so few epochs leave cannot be converted well enough
        assert len(dataset.rows("validation"))
        return SimpleNamespace(temperature=1.0)

    def train(run, part, data):  # the steps themselves open nothing
        return build_model(run.recipe, 2, part.phase.input_size)

    monkeypatch.setattr(datasets, "load_dataset", count)
    monkeypatch.setattr(fit, "_train_phase", train)
    monkeypatch.setattr(fit, "_record", lambda *_: {})
    monkeypatch.setattr(export, "export", write)
    sizes = (recipes.Phase(32, 1), recipes.Phase(48, 1))
    monkeypatch.setitem(recipes.RECIPES, "toy", lambda: toy_recipe(phases=sizes))
    source = make_dataset(tmp_path / "toy", n=14)
    arguments = ("fit", "toy", "--init", "random", "--dataset", source, "--out", tmp_path / "run")
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    assert (tmp_path / "run" / "model.keras").is_file()
    assert len(n_opened) == 1
