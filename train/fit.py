"""The training loop: Keras `fit` over the phases of a recipe."""

import contextlib
import itertools
import json
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from fer.errors import InputError
from fer.hub import KERAS_NAME
from fer.types import CONFIG_NAME, HEADS, ModelConfig
from train.augment import build_photometry
from train.data.dataset import OpenDataset
from train.losses import TrainingLoss, class_weights, label_accuracy
from train.material import Material, config_of, load_material
from train.model import (
    build_model,
    build_trainer,
    correct_bias,
    freeze,
    jit_compile,
    recalibrate_batch_norm,
)
from train.recipes import PLATEAU_FACTOR, TRAINING_NAME, Phase, Recipe
from train.refit import refit_votes
from train.teach import TeacherLogits, batches, named_file, read_record, teach
from train.views import View, ViewKey, draw_view, plan_views, still

__all__ = ["Backup", "FreshStatistics", "Interrupt", "fit", "stream_batches"]

_RUN_NAME = "run.json"
_BACKUP_NAME = "backup"
_BEST_NAME = "best.weights.h5"
_LOG_NAME = "log.csv"
_LOCK_NAME = "lock"
_TAUGHT_NAME = "taught"
_N_RECALIBRATION_IMAGES = 8192
_N_RECALIBRATION_IMAGES_A_VALIDATION = 2048


def stream_batches(
    material: Material,
    recipe: Recipe,
    keys: Sequence[ViewKey],
    taught: TeacherLogits | None = None,
    n_devices: int = 1,
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Yield training batches without end: the views `keys`, one an epoch, then again.

    All follows from the recipe and the keys, so a run that is resumed sees what an unbroken one
    sees, however far Keras reads ahead.

    Args:
        material: the images.
        recipe: has targets, seed and batch size; the last batch of an epoch may be smaller.
        keys: of the epochs' views.
        taught: logits of teachers on these views.
        n_devices: that share each batch in equal parts; the images of an epoch that are
            left over are those at the end of its order.

    Yields:
        The inputs of `train.model.build_trainer`, and the targets.
    """
    targets = material.targets(recipe.ferplus)
    n_images = len(targets) // n_devices * n_devices
    for key in itertools.cycle(keys):
        view = draw_view(recipe, key, len(targets))
        logits = None if taught is None else taught.of(key)
        for rows in batches(n_images, recipe.batch_size):
            chosen = view.order[rows]
            inputs = _inputs(material.train.images[chosen], targets[chosen], view, rows)
            if logits is not None:
                inputs["taught"] = logits[rows]
            yield inputs, targets[chosen]


def _inputs(
    images: np.ndarray, targets: np.ndarray, view: View, rows: slice
) -> dict[str, np.ndarray]:
    return {
        "pixels": images.astype(np.float32),
        "targets": targets,
        "moves": view.moves[rows],
        "masks": view.masks[rows],
    }


class Backup(keras.callbacks.Callback):
    """Keep weights, optimizer and running average after each epoch.

    Unlike `keras.callbacks.BackupAndRestore` it is whole after a kill at any moment: a file
    appears under its name, which says the epoch, when it is complete, and the one before
    stays until then.

    Args:
        folder: of the files; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def _files(self) -> dict[int, Path]:
        """Return the files by the number of epochs that have gone into them."""
        return {
            int(path.name.split(".")[0]): path for path in self.folder.glob("[0-9]*.weights.h5")
        }

    def n_epochs(self, n_logged: int) -> int:
        """Return how many epochs can be restored, of the first `n_logged`."""
        return max((n for n in self._files() if n <= n_logged), default=0)

    def restore(self, n_epochs: int) -> None:
        """Load what `n_epochs` have left into the model; nothing for none.

        An optimizer gets its state where the model is compiled.
        """
        if n_epochs:
            self.model.load_weights(self._files()[n_epochs])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write one file, and remove all but the last two."""
        self.folder.mkdir(exist_ok=True)
        part = self.folder / "part.weights.h5"
        self.model.save_weights(part)
        part.replace(self.folder / f"{epoch + 1:04}.weights.h5")
        for _, old in sorted(self._files().items())[:-2]:
            old.unlink()


class EpochSeeds(keras.callbacks.Callback):
    """Start each epoch with the random states that belong to it.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set these states."""
        rng = np.random.default_rng([self.seed, epoch, 1])
        kept = {id(weight) for weight in self.model.weights}
        for variable in self.model.non_trainable_variables:
            if id(variable) not in kept:  # the states of layers that draw at random
                variable.assign(rng.integers(0, 2**31, variable.shape).astype(variable.dtype))


class FreshStatistics(keras.callbacks.Callback):
    """Validate with fresh batch statistics, train on with the old ones.

    Stands after `SwapEMAWeights`, whose averaged weights it measures for.

    Args:
        network: from `train.model.build_model`, inside the model being trained.
        images: (n, s, s, c) uint8 training images.
    """

    def __init__(self, network: keras.Model, images: np.ndarray) -> None:
        super().__init__()
        self.network, self.images = network, images
        self._kept: list[np.ndarray] = []

    def on_test_begin(self, logs: Any = None) -> None:
        """Gather the statistics of the weights that are about to be validated."""
        self._kept = [
            np.array(keras.ops.convert_to_numpy(value))
            for value in self.network.non_trainable_variables
        ]
        recalibrate_batch_norm(self.network, self.images)

    def on_test_end(self, logs: Any = None) -> None:
        """Give the statistics of the weights in training back."""
        for variable, value in zip(self.network.non_trainable_variables, self._kept, strict=True):
            variable.assign(value)


class Progress(keras.callbacks.Callback):
    """Show one bar over all epochs: images a second, loss, accuracy and the time left.

    Also puts `seconds` and `learning_rate` into the logs of an epoch, so it stands before
    the logger.

    Args:
        bar: counts images.
        n_images: of an epoch.
        batch_size: images a step.
    """

    def __init__(self, bar: tqdm, n_images: int, batch_size: int) -> None:
        super().__init__()
        self.bar, self.n_images, self.batch_size = bar, n_images, batch_size
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Count what an earlier part of the run has seen."""
        self._began = time.perf_counter()
        n_seen = epoch * self.n_images
        if self.bar.n < n_seen:
            self.bar.initial = self.bar.n = n_seen
        self.bar.set_description(f"epoch {epoch + 1}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar."""
        self.bar.update(min(self.batch_size, self.n_images - batch * self.batch_size))
        if batch % 20 == 0:
            self.bar.set_postfix(_figures(logs), refresh=False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Leave a line behind."""
        logs["seconds"] = round(time.perf_counter() - self._began, 1)
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        figures = "  ".join(f"{key} {value}" for key, value in _figures(logs).items())
        self.bar.write(f"epoch {epoch + 1:3}  {figures}", file=sys.stderr)


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C ends training after the batch at work, a second one at once; a context manager.

    Python drops what it raises inside a finaliser or a weak reference's callback, and TensorFlow
    has many. Where Ctrl-C is not Python's own, or in another thread, nothing changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_pressed = False

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.is_pressed:
            signal.default_int_handler(number, frame)
        self.is_pressed = True

    def _stop_if_pressed(self) -> None:
        if self.is_pressed:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop here if Ctrl-C was pressed."""
        self._stop_if_pressed()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop here if Ctrl-C was pressed."""
        self._stop_if_pressed()

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if kind is None:
            self._stop_if_pressed()


def _figures(logs: dict[str, Any]) -> dict[str, str]:
    return {key: f"{float(value):.4g}" for key, value in logs.items()}


def _peak(recipe: Recipe, stage: Sequence[Phase]) -> float:
    """Return the highest learning rate of phases that share a schedule."""
    own = stage[0].learning_rate
    return recipe.learning_rate if own is None else own


def _optimizer(
    recipe: Recipe, stage: Sequence[Phase], steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    peak = _peak(recipe, stage)
    schedule: float | keras.optimizers.schedules.LearningRateSchedule = peak
    if recipe.schedule == "cosine":
        warmup = int(recipe.warmup_epochs * steps_per_epoch)
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            decay_steps=sum(phase.epochs for phase in stage) * steps_per_epoch - warmup,
            warmup_target=peak,
            warmup_steps=warmup,
        )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        use_ema=True,
        ema_momentum=recipe.ema_momentum,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _build(
    recipe: Recipe,
    phase: Phase,
    material: Material,
    init: Path | str | None,
    n_taught: int,
) -> tuple[keras.Model, keras.Model]:
    """Build the network at the phase's size, and the trainer around it."""
    n_classes = len(material.config.class_names)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        network = build_model(recipe, n_classes, phase.input_size, init, True, material.n_votes)
    finally:
        keras.config.set_dtype_policy("float32")
    freeze(network, phase.tuned)
    return network, build_trainer(network, build_photometry(recipe, phase.augment), n_taught)


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """`ReduceLROnPlateau` on the validation accuracy that continues after an interruption.

    Args:
        peak: the rate that the schedule begins with.
        earlier: the accuracies under this schedule so far.
    """

    def __init__(self, peak: float, earlier: list[float]) -> None:
        super().__init__("val_accuracy", PLATEAU_FACTOR, patience=1, mode="max", min_delta=0.0)
        self._peak, self._earlier = peak, earlier

    def on_train_begin(self, logs: Any = None) -> None:
        """Go on where those epochs have led; a backup knows nothing of the last of them."""
        super().on_train_begin(logs)
        self.model.optimizer.learning_rate = self._peak
        for epoch, value in enumerate(self._earlier):
            self.on_epoch_end(epoch, {"val_accuracy": value})


class Patience(keras.callbacks.EarlyStopping):
    """`EarlyStopping` on the validation accuracy that continues after an interruption.

    Args:
        patience: epochs without a better one.
        earlier: the accuracies of this phase so far.
    """

    def __init__(self, patience: int, earlier: list[float]) -> None:
        best = max(earlier, default=None)
        super().__init__("val_accuracy", patience=patience, mode="max", baseline=best)
        self._waited = 0 if best is None else len(earlier) - 1 - earlier.index(best)

    @property
    def is_over(self) -> bool:
        """Whether it had ended a run that was killed later."""
        return bool(self._waited >= self.patience)

    def on_train_begin(self, logs: Any = None) -> None:
        """Go on counting."""
        super().on_train_begin(logs)
        self.wait, self.best = self._waited, self.baseline


def _keeper(out: Path, earlier: list[float], last: bool) -> keras.callbacks.Callback:
    """Keep the weights of the best epoch, or of the last one."""
    return keras.callbacks.ModelCheckpoint(
        str(out / _BEST_NAME),
        monitor="val_accuracy",
        mode="max",
        save_best_only=not last,
        save_weights_only=True,
        # A resumed run must not take its first epoch for the best.
        initial_value_threshold=max(earlier, default=None),
    )


def _read_log(out: Path) -> pd.DataFrame:
    """Read the log of the epochs so far; empty without a file."""
    path = out / _LOG_NAME
    return pd.read_csv(path) if path.is_file() else pd.DataFrame({"epoch": [], "val_accuracy": []})


def _accuracies(out: Path, first_epoch: int, done: int) -> list[float]:
    """Return the validation accuracies of epochs `first_epoch` to `done`; drop later ones."""
    logged = _read_log(out)[:done]
    if done:
        logged.to_csv(out / _LOG_NAME, index=False)
    return list(logged[logged["epoch"] >= first_epoch]["val_accuracy"])


def _n_devices(recipe: Recipe) -> int:
    """Return among how many devices `keras.distribution` shares a batch.

    Raises:
        InputError: they cannot share the batches of `recipe` equally.
    """
    shared = keras.distribution.distribution()
    n_devices = 1 if shared is None else int(shared.device_mesh.devices.size)
    if recipe.batch_size % n_devices:
        raise InputError(
            f"the batch size must be a multiple of {n_devices} devices. "
            f"Received: {recipe.batch_size}"
        )
    return n_devices


@dataclass(frozen=True)
class _Run:
    """What all phases of a run have in common.

    Attributes:
        recipe: what to do.
        out: folder of the run.
        init: see `train.model.build_model`.
        teachers: folders with the logits of teachers, see `train.teach`.
        bar: counts images.
    """

    recipe: Recipe
    out: Path
    init: Path | str | None
    teachers: Sequence[Path]
    bar: tqdm


@dataclass(frozen=True)
class _Part:
    """A phase and its place in the run.

    Attributes:
        phase: the phase.
        first: its first epoch.
        stage: the phases that share its schedule.
        begun: the first epoch of the stage.
    """

    phase: Phase
    first: int
    stage: Sequence[Phase]
    begun: int

    @property
    def end(self) -> int:
        """The epoch after its last one."""
        return self.first + self.phase.epochs


def _parts(recipe: Recipe) -> Iterator[_Part]:
    """Yield the phases in their order."""
    first = 0
    for stage in recipe.stages:
        begun = first
        for phase in stage:
            yield _Part(phase, first, stage, begun)
            first += phase.epochs


def _open_teachers(run: _Run, part: _Part, data: Material) -> TeacherLogits | None:
    """Return the teachers' logits on the images of a phase; None without teachers."""
    if not run.teachers:
        return None
    taught = TeacherLogits.open(run.teachers, run.recipe, data)
    if not part.first:
        accuracy = 100 * taught.accuracy(data)
        run.bar.write(f"teachers together: {accuracy:.2f} % of validation", file=sys.stderr)
    return taught


def _validation(
    data: Material, taught: TeacherLogits | None, n_devices: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return inputs and targets for validation, as many as all devices share equally."""
    n_images = len(data.validation.labels) // n_devices * n_devices
    wanted = data.validation_targets()[:n_images]
    shown = _inputs(data.validation.images[:n_images], wanted, still(n_images), slice(None))
    if taught is not None:
        shown["taught"] = taught.of(None)[:n_images]
    return shown, wanted


def _compile(
    trainer: keras.Model, recipe: Recipe, part: _Part, steps_per_epoch: int, data: Material
) -> None:
    """Give a trainer its optimizer, loss and metric."""
    n_classes, n_votes = len(data.config.class_names), data.n_votes
    trainer.compile(
        _optimizer(recipe, part.stage, steps_per_epoch),
        TrainingLoss(
            class_weights(data.train.labels, n_classes, recipe.class_weight),
            recipe.label_smoothing,
            recipe.focal,
            recipe.distill,
            recipe.distill_temperature,
            n_votes,
            recipe.votes,
        ),
        metrics=[label_accuracy(n_classes, n_votes)],
        jit_compile=jit_compile(),
    )
    # TensorFlow traces the first step twice where that step makes a variable.
    trainer.optimizer.build(trainer.trainable_variables)


def _keepers(run: _Run, part: _Part, done: int) -> tuple[list[keras.callbacks.Callback], int]:
    """Return the callbacks that watch the validation accuracy, and the epoch to end before.

    Args:
        run: of the phase.
        part: the phase.
        done: how many epochs of the run are done.
    """
    recipe, end = run.recipe, part.end
    earlier = _accuracies(run.out, part.first, done)
    keepers: list[keras.callbacks.Callback] = []
    if recipe.schedule == "plateau":
        keepers.append(Plateau(_peak(recipe, part.stage), _accuracies(run.out, part.begun, done)))
    if end == recipe.epochs:
        last = recipe.keep_last or recipe.with_validation
        keepers.append(_keeper(run.out, earlier, last))
        if recipe.patience is not None:
            patience = Patience(recipe.patience, earlier)
            keepers.append(patience)
            end = done if patience.is_over else end
    return keepers, end


def _train_phase(run: _Run, part: _Part, data: Material) -> keras.Model | None:
    """Train the epochs of a phase, or those that are left of them.

    Returns:
        The network, after the last phase with the weights that `recipe` keeps;
        None where there was nothing left to do before it.
    """
    recipe, out = run.recipe, run.out
    is_last = part.end == recipe.epochs
    backup = Backup(out / _BACKUP_NAME)
    done = backup.n_epochs(len(_read_log(out)))
    if done >= part.end and not is_last:
        return None
    n_devices = _n_devices(recipe)
    n_images = len(data.train.labels) // n_devices * n_devices
    steps_per_epoch = -(-n_images // recipe.batch_size)
    taught = _open_teachers(run, part, data)
    n_taught = 0 if taught is None else taught.n_logits
    network, trainer = _build(recipe, part.phase, data, run.init, n_taught)
    # What the last epoch of one phase leaves is what the next one starts from, so a
    # resumed run takes the same way as an unbroken one.
    backup.set_model(trainer)
    if done == part.begun:  # an optimizer of its own: the weights alone go on
        backup.restore(done)
    _compile(trainer, recipe, part, steps_per_epoch, data)
    if done > part.begun:
        backup.restore(done)
    keepers, end = _keepers(run, part, done)
    first = max(part.first, done)
    if first < end:  # not killed after its last epoch
        with Interrupt() as interrupt:
            trainer.fit(
                stream_batches(data, recipe, plan_views(recipe)[first:], taught, n_devices),
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the stream is in random order
                initial_epoch=first,
                epochs=end,
                validation_data=_validation(data, taught, n_devices),
                validation_batch_size=recipe.batch_size,
                callbacks=[
                    interrupt,
                    backup,
                    EpochSeeds(recipe.seed),
                    keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
                    FreshStatistics(network, data.shown[:_N_RECALIBRATION_IMAGES_A_VALIDATION]),
                    Progress(run.bar, n_images, recipe.batch_size),
                    # A line in the log is an epoch of which all else is kept.
                    *keepers,
                    keras.callbacks.CSVLogger(str(out / _LOG_NAME), append=True),
                ],
                verbose=0,
            )
    if is_last:
        trainer.load_weights(out / _BEST_NAME)
    return network


@contextlib.contextmanager
def _begin(out: Path, made_of: dict[str, Any], resume: bool) -> Iterator[None]:
    """Note what a run is made of, or check that one that is resumed is made of the same.

    Nobody else can train into the folder meanwhile.

    Raises:
        InputError: it is not, there is nothing to resume, or a run stands in the way.
    """
    if resume and not (out / _RUN_NAME).is_file():
        raise InputError(f"{out} must hold a run to resume. Received: no {_RUN_NAME} in it")
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(out / _LOCK_NAME, blocking=False))
        except Timeout:
            raise InputError(f"another process is training in {out}") from None
        _note(out, json.loads(json.dumps(made_of)), resume)
        yield


def _note(out: Path, made_of: dict[str, Any], resume: bool) -> None:
    path = out / _RUN_NAME
    if not (out / _LOG_NAME).is_file():  # what failed before its first epoch ended left nothing
        path.write_text(json.dumps(made_of, indent=2) + "\n", encoding="utf-8")
        return
    if not resume:
        raise InputError(f"{out} must be new, or --resume given. Received: a run is in it")
    noted = json.loads(path.read_text(encoding="utf-8"))
    now, then = ({**each, **each["recipe"], "recipe": None} for each in (made_of, noted))
    if changed := sorted(key for key in now if now[key] != then.get(key)):
        raise InputError(
            f"{out} must be resumed with the same {' and '.join(changed)}. "
            f"Received: {[now[key] for key in changed]}, begun with "
            f"{[then.get(key) for key in changed]}"
        )


def fit(
    recipe: Recipe,
    dataset: OpenDataset,
    out: Path,
    init: Path | str | None = "imagenet",
    resume: bool = False,
    teachers: Sequence[Path] = (),
    command: str = "train.fit.fit",
) -> None:
    """Train `recipe` and leave `model.keras`, `fer.json`, `training.json` and the log in `out`.

    The weights kept are the running average after the epoch of the last phase with the
    best accuracy on those validation images that have no twin in the training split,
    with fresh batch statistics and, where the recipe says so, with the bias that those
    images ask for. A recipe with `keep_last`, or `with_validation`, which learns from those images,
    too, keeps the weights after the last epoch. With `blend` only part of what was learned is kept;
    with `refit` the head of the votes is fitted once more. The test split is not opened.

    Args:
        recipe: what to do.
        dataset: what to learn from.
        out: folder of the run; made if missing.
        init: see `train.model.build_model`.
        resume: go on after the last whole epoch found in `out`.
        teachers: .keras files to distil from, as `recipe.distill` says, or folders that
            `train.teach.teach` wrote. What the files say is kept in `out`.
        command: how the run was started, for its record.

    Raises:
        InputError: the data set, `init` or a teacher is not usable; `out` holds a run and
            `resume` is off; it holds none, or another one, and `resume` is on; or another
            process trains there.
    """
    keras.utils.set_random_seed(recipe.seed)
    config = config_of(recipe, dataset)
    network, data = None, None
    made_of: dict[str, Any] = {}
    with (
        tqdm(
            unit=" images",
            disable=None,
            delay=1e-9,
            smoothing=0.05,
            mininterval=1,
            dynamic_ncols=True,
        ) as bar,
        contextlib.ExitStack() as held,
    ):
        run = _Run(recipe, out, init, [], bar)
        for part in _parts(recipe):
            if data is None or data.config.input_size != part.phase.input_size:
                sized = replace(config, input_size=part.phase.input_size)
                data = load_material(recipe, dataset, sized)
            if not part.first:
                made_of = _describe(recipe, data, init, teachers)
                held.enter_context(_begin(out, made_of, resume))
                run = replace(run, teachers=_ask_teachers(recipe, teachers, dataset, out, config))
            bar.total = recipe.epochs * len(data.train.labels)
            network = _train_phase(run, part, data)
    assert data is not None  # a recipe has a phase at least
    added = _save(recipe, config, network, data, out, init)
    record = _record(made_of, command, len(data.train.labels), _read_log(out))
    record["class_bias"] = added
    (out / TRAINING_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _describe(
    recipe: Recipe, data: Material, init: Path | str | None, teachers: Sequence[Path]
) -> dict[str, Any]:
    """Return what a run is made of, for its record."""
    return {
        "recipe": asdict(recipe),
        "dataset_sha256": data.sha256,
        "starts_from": _named(init),
        "taught_by": [_teacher(path) for path in teachers],
    }


def _blend(learned: keras.Model, start: keras.Model, share: float) -> None:
    """Move the weights of `learned` back to those of `start`, all but those of the votes' head.

    Args:
        learned: the network after the run.
        start: the same network, as the run began.
        share: of `learned` in what comes out.
    """
    for mine, theirs in zip(learned.weights, start.weights, strict=True):
        if f"{HEADS[1]}/" not in mine.path:
            mine.assign(share * mine + (1 - share) * theirs)


def _save(
    recipe: Recipe,
    config: ModelConfig,
    network: keras.Model,
    data: Material,
    out: Path,
    init: Path | str | None,
) -> dict[str, float]:
    """Write the finished network and its configuration; return the bias added to each class."""
    make = partial(
        build_model, recipe, len(config.class_names), config.input_size, n_votes=data.n_votes
    )
    served = make()
    served.set_weights(network.get_weights())
    if recipe.blend < 1:
        _blend(served, make(init=init), recipe.blend)
    freeze(served, recipe.phases[-1].tuned)
    recalibrate_batch_norm(served, data.shown[:_N_RECALIBRATION_IMAGES])
    freeze(served, 1.0)
    if recipe.refit is not None and data.train.shares is not None and data.n_votes:
        refit_votes(served, data.train.images, data.train.shares, recipe.refit, recipe.flip)
    added = np.zeros(len(config.class_names), np.float32)
    if recipe.correct_bias and not data.n_votes:  # else `export` fits one for each decision
        added = correct_bias(served, data.validation.images, data.validation.labels)
    served.save(out / KERAS_NAME)
    # Comparisons of figures must show which had more than the labels.
    voted = (recipe.ferplus or recipe.votes) and data.train.votes is not None
    extra = " with FER+ votes" if voted else ""
    finished = replace(config, dataset=config.dataset + extra, dataset_sha256=data.sha256)
    (out / CONFIG_NAME).write_text(finished.to_json(), encoding="utf-8")
    return {
        name: round(float(value), 4) for name, value in zip(config.class_names, added, strict=True)
    }


def _ask_teachers(
    recipe: Recipe, teachers: Sequence[Path], dataset: OpenDataset, out: Path, config: ModelConfig
) -> list[Path]:
    """Return the folders of the teachers' logits; those of network files are computed now."""
    folders = []
    for i, path in enumerate(teachers):
        folder = path if path.is_dir() else out / _TAUGHT_NAME / f"{i + 1}-{path.stem}"
        if folder is not path:
            teach(recipe, path, dataset, folder, config)
        folders.append(folder)
    return folders


def _teacher(path: Path) -> Any:
    """Return the record of a teacher; `path` is its file, or a folder of its logits."""
    return read_record(path)["teacher"] if path.is_dir() else _named(path)


def _named(path: Path | str | None) -> dict[str, str] | str | None:
    """Return a file by its name and sha256, anything else as it is."""
    if path is None or not Path(path).is_file():
        return path if path is None else str(path)
    return named_file(Path(path))


def _devices() -> list[str]:
    if keras.backend.backend() != "jax":
        return sorted(keras.distribution.list_devices())
    import jax

    return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]


def _record(
    made_of: dict[str, Any], command: str, n_images: int, epochs: pd.DataFrame
) -> dict[str, Any]:
    """Return what was done on what, so that it can be repeated."""
    return {
        "recipe": made_of["recipe"],
        "init": made_of["starts_from"],
        "teachers": made_of["taught_by"],
        "command": command,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "device": f"{', '.join(_devices())}; {os.cpu_count()} {platform.machine()} cores",
        "images_seen": n_images * len(epochs),
        "wall_time_s": round(float(epochs["seconds"].sum())),
        "log": epochs.to_dict("records"),
    }
