"""The training loop: Keras `fit` over the phases of a recipe."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from fer.errors import InputError
from fer.hub import KERAS_NAME
from fer.types import CONFIG_NAME, ModelConfig
from train.augment import build_augmentation
from train.data import dataset_name, load_class_names, load_split
from train.losses import repeats, soft_targets
from train.model import build_model, recalibrate_batch_norm
from train.recipes import Recipe

__all__ = ["FreshStatistics", "fit"]

BEST_NAME = "best.weights.h5"
LOG_NAME = "log.csv"
_N_RECALIBRATION_IMAGES = 8192
_N_RECALIBRATION_IMAGES_A_VALIDATION = 2048


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


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    warmup = int(recipe.warmup_epochs * steps_per_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=recipe.epochs * steps_per_epoch - warmup,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        use_ema=True,
        ema_momentum=recipe.ema_momentum,
    )


def _compile(
    recipe: Recipe,
    config: ModelConfig,
    strength: float,
    init: Path | str | None,
    steps_per_epoch: int,
) -> keras.Model:
    """Augmentation and network in one trainable model at one input size."""
    network = build_model(
        len(config.class_names),
        config.channels,
        input_size=config.input_size,
        dropout=recipe.dropout,
        init=init,
    )
    trainer = keras.Sequential(
        [keras.Input(network.input_shape[1:]), build_augmentation(recipe, strength), network]
    )
    optimizer = _optimizer(recipe, steps_per_epoch)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    trainer.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        metrics=["accuracy"],
        # On a CPU XLA's depthwise convolutions are slower than TensorFlow's own.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return trainer


def _best_so_far(log: Path, first_epoch: int) -> float | None:
    """The best validation accuracy in `log` from `first_epoch` on; None without any."""
    if not log.is_file():
        return None
    table = pd.read_csv(log)
    earlier = table[table["epoch"] >= first_epoch]["val_accuracy"]
    return float(earlier.max()) if len(earlier) else None


def fit(
    recipe: Recipe,
    dataset: str,
    out: Path,
    init: Path | str | None = "imagenet",
    resume: bool = False,
) -> None:
    """Train `recipe` and leave `model.keras`, `fer.json` and the log in `out`.

    The weights kept are the running average after the epoch of the last phase with the
    best accuracy on those validation images that have no twin in the training split,
    with fresh batch statistics. The test split is not opened.

    Args:
        recipe: what to do.
        dataset: Hub repository or folder.
        out: folder of the run; made if missing.
        init: see `train.model.build_model`.
        resume: go on after the last whole epoch found in `out`.

    Raises:
        InputError: the data set is not usable, or `out` holds a run and `resume` is off.
    """
    backup = out / "backup"
    if backup.exists() and not resume:
        raise InputError(f"{out} must be new, or --resume given. Received: a run is in it")
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    class_names = load_class_names(dataset)
    config = ModelConfig(
        class_names=class_names,
        input_size=recipe.input_size,
        detail_size=recipe.detail_size,
        stretch_percentile=recipe.stretch_percentile,
        color_mode=recipe.color_mode,
        crop_margin=recipe.crop_margin,
        recipe=recipe.name,
        dataset=dataset_name(dataset),
    )
    first_epoch = 0
    for phase in recipe.phases:
        sized = replace(config, input_size=phase.input_size)
        train = load_split(dataset, "train", sized)
        validation = load_split(dataset, "validation", sized)
        chosen = repeats(train.labels, recipe.balance, recipe.seed)
        x, y = train.images[chosen], soft_targets(train, recipe.ferplus)[chosen]
        fresh = ~validation.twin
        shown = np.random.default_rng(recipe.seed).permutation(train.images)
        steps = -(-len(x) // recipe.batch_size)
        trainer = _compile(recipe, sized, phase.augment, init, steps_per_epoch=steps)
        # The backup written by the last epoch of one phase is what the next one starts
        # from: weights, optimizer and running average carry over, and a resumed run takes
        # the same way as an unbroken one.
        callbacks = [
            keras.callbacks.BackupAndRestore(str(backup), delete_checkpoint=False),
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            FreshStatistics(trainer.layers[-1], shown[:_N_RECALIBRATION_IMAGES_A_VALIDATION]),
            keras.callbacks.CSVLogger(str(out / LOG_NAME), append=True),
        ]
        if phase is recipe.phases[-1]:
            callbacks.append(
                keras.callbacks.ModelCheckpoint(
                    str(out / BEST_NAME),
                    monitor="val_accuracy",
                    mode="max",
                    save_best_only=True,
                    save_weights_only=True,
                    # A resumed run must not take its first epoch for the best.
                    initial_value_threshold=_best_so_far(out / LOG_NAME, first_epoch),
                )
            )
        trainer.fit(
            x,
            y,
            batch_size=recipe.batch_size,
            initial_epoch=first_epoch,
            epochs=first_epoch + phase.epochs,
            validation_data=(validation.images[fresh], soft_targets(validation, 0.0)[fresh]),
            callbacks=callbacks,
            verbose=2,
        )
        first_epoch += phase.epochs
    trainer.load_weights(out / BEST_NAME)
    network = trainer.layers[-1]
    recalibrate_batch_norm(network, shown[:_N_RECALIBRATION_IMAGES])
    network.save(out / KERAS_NAME)
    # Whoever compares figures must see which had more than the labels.
    extra = " with FER+ votes" if recipe.ferplus and train.votes is not None else ""
    finished = replace(config, dataset=config.dataset + extra, dataset_sha256=train.sha256)
    (out / CONFIG_NAME).write_text(finished.to_json(), encoding="utf-8")
