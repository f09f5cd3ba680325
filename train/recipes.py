"""Recipes: everything that decides what a training run yields, in one frozen place each."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fer.errors import InputError

__all__ = [
    "CHECKPOINT_FOLDER",
    "NO_TWINS",
    "RECIPES",
    "TRAINING_NAME",
    "Phase",
    "Recipe",
    "get_recipe",
]

CHECKPOINT_FOLDER = Path(__file__).parent / "checkpoints"
# The record of a run, beside its weights.
TRAINING_NAME = "training.json"
# Ends the name of a recipe whose run left out the training images with a twin elsewhere.
NO_TWINS = "-no-twins"


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs at one input size.

    Attributes:
        input_size: side of the training images in pixels.
        epochs: number of passes over the training split.
        augment: factor on the strengths of the recipe's augmentation, and on the part of
            the images that are mixed.
    """

    input_size: int
    epochs: int
    augment: float = 1.0

    def __post_init__(self) -> None:
        if self.input_size < 32:
            raise InputError(f"`input_size` must be at least 32. Received: {self.input_size}")
        if self.epochs < 1 or self.augment < 0:
            raise InputError(
                "a phase must have epochs and an augmentation of at least 0. "
                f"Received: {self.epochs} and {self.augment}"
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All choices of a training run.

    Attributes:
        name: as on the command line.
        init: "imagenet", "random", or a .keras file in train/checkpoints.
        teachers: .keras files in train/checkpoints to distil from.
        phases: trained in order, one learning-rate schedule over all of them. The last
            one's `input_size` is the model's.
        batch_size: images a step.
        learning_rate: peak of the cosine schedule.
        warmup_epochs: linear warm-up at its beginning.
        weight_decay: AdamW's, on kernels only.
        clip_norm: largest norm of all gradients together.
        patience: epochs of the last phase without a better validation accuracy after which
            the run ends; None for never.
        precision: "float32", or "mixed_bfloat16", which is faster where the processor
            computes in it.
        drop_twins: leave out training images of which validation or test has a copy.
        balance: how far rare classes are repeated, from 0 (as the data has them) to 1 (as
            often as the commonest).
        class_weight: how much more a rare class counts in the loss, from 0 (not at all) to
            1 (all classes the same together).
        ferplus: part of the FER+ votes in the targets, where the data set has them.
        label_smoothing: of the targets.
        focal: the exponent of the focal loss; 0 is the plain cross-entropy.
        distill: part of the loss that compares with the teachers, where there are any.
        distill_temperature: of both sides of that comparison.
        ema_momentum: of the running average of the weights that is evaluated and kept.
        dropout: before the last layer.
        flip, rotation, zoom, translation, shear, brightness, contrast: strength of the
            augmentation; rotation in turns, zoom, translation and shear in parts of the
            side, brightness in parts of the 0..255 range, contrast as a factor 1 +- c.
        photometric: how many of `train.augment.RandomPhotometric`'s operations each image
            passes.
        erase: the probability that a rectangle of up to 20 % of the image is erased is
            drawn from 0..erase.
        mix: the part of the images that are mixed with another one.
        mixup, cutmix: which way, by the parameter of the Beta distribution of their shares;
            0 for not this way, either one by chance where both are given.
        color_mode: model input, "gray" or "rgb".
        detail_size, stretch_percentile, crop_margin: see `fer.types.ModelConfig`; tuned on
            results/contrast.csv and results/framing.csv.
        seed: of weights, order and augmentation.
    """

    name: str
    phases: tuple[Phase, ...]
    init: str = "imagenet"
    teachers: tuple[str, ...] = ()
    batch_size: int = 32
    learning_rate: float = 7e-4
    warmup_epochs: float = 0.5
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    patience: int | None = None
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    drop_twins: bool = False
    balance: float = 0.25
    class_weight: float = 0.0
    ferplus: float = 0.0
    label_smoothing: float = 0.1
    focal: float = 0.0
    distill: float = 0.5
    distill_temperature: float = 2.0
    ema_momentum: float = 0.999
    dropout: float = 0.2
    flip: bool = True
    rotation: float = 0.05
    zoom: float = 0.2
    translation: float = 0.08
    shear: float = 0.0
    brightness: float = 0.15
    contrast: float = 0.25
    photometric: int = 0
    erase: float = 0.25
    mix: float = 0.0
    mixup: float = 0.4
    cutmix: float = 1.0
    color_mode: Literal["gray", "rgb"] = "gray"
    detail_size: int = 48
    stretch_percentile: float | None = 1.0
    crop_margin: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise InputError("a recipe must have a phase. Received: none")
        for name in ("ferplus", "label_smoothing", "distill", "dropout", "erase", "mix"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"`{name}` must be 0..1. Received: {getattr(self, name)}")
        if self.mix and not (self.mixup or self.cutmix):
            raise InputError("to `mix`, `mixup` or `cutmix` must be over 0. Received: neither")
        if self.precision not in ("float32", "mixed_bfloat16"):
            raise InputError(
                f'`precision` must be "float32" or "mixed_bfloat16". Received: {self.precision!r}'
            )

    @property
    def input_size(self) -> int:
        """Side of the finished model's input in pixels."""
        return self.phases[-1].input_size

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)


def mobilenet_v2_64() -> Recipe:
    """The quick one: as `mobilenetv2-96`, but on small images only.

    For trying an idea: with `--drop-twins` it shows what images that stand in training and
    test are worth. Hardware, time and figures: results/mobilenetv2-64.json and
    results/mobilenetv2-64-no-twins.json.

    Command: python -m train fit mobilenetv2-64 [--drop-twins]
    """
    return Recipe(
        name="mobilenetv2-64",
        phases=(Phase(64, 10), Phase(64, 3, augment=0.5)),
        batch_size=64,
        learning_rate=1e-3,
        ema_momentum=0.998,
        ferplus=0.35,
    )


def mobilenet_v2_96() -> Recipe:
    """MobileNetV2 1.0, ImageNet init, all layers tuned, small images first.

    Epochs at 64 px find most of the accuracy at half the price of one at 96 px; the last
    three with half the augmentation settle it under the low end of the cosine. A third of
    the target are FER+ votes, which tell moderate surprise from fear where the labels do
    not. Hardware, time and figures: results/mobilenetv2-96.json.

    Command: python -m train fit mobilenetv2-96
    """
    return Recipe(
        name="mobilenetv2-96",
        phases=(Phase(64, 9), Phase(96, 11), Phase(96, 3, augment=0.5)),
        batch_size=64,
        learning_rate=1e-3,
        ema_momentum=0.998,
        ferplus=0.35,
    )


def mobilenet_v2_96_distilled() -> Recipe:
    """`mobilenetv2-96` trained on, on what two teachers see.

    The teachers are the network it starts from and one that was trained apart from it:
    together they know more than either, and what they say of an image is less noisy than
    its label. Images are mixed and made worse, by noise and blur above all, which the
    first recipe never saw; the teachers judge them before that.

    Hardware, time and figures: results/mobilenetv2-96-distilled.json.

    Command: python -m train fit mobilenetv2-96-distilled
    """
    return Recipe(
        name="mobilenetv2-96-distilled",
        init="mobilenetv2-96.keras",
        teachers=("mobilenetv2-96.keras", "mobilenetv2-96-first-release.keras"),
        phases=(Phase(96, 12), Phase(96, 3, augment=0.5)),
        batch_size=64,
        learning_rate=6e-4,
        ema_momentum=0.998,
        ferplus=0.35,
        distill=0.6,
        rotation=0.06,
        shear=0.1,
        photometric=1,
        mix=0.5,
    )


def mobilenet_v2_96_born_again() -> Recipe:
    """The flagship: `mobilenetv2-96-distilled` taught once more, by itself and another.

    Its two teachers are better calibrated together than those before. Rare classes are no
    longer repeated: what they gained was paid for by the common ones. Hardware, time and
    figures: results/mobilenetv2-96-born-again.json.

    Command: python -m train fit mobilenetv2-96-born-again

    Source: Furlanello et al. 2018, arXiv:1805.04770.
    """
    return replace(
        mobilenet_v2_96_distilled(),
        name="mobilenetv2-96-born-again",
        init="mobilenetv2-96-distilled.keras",
        teachers=("mobilenetv2-96-distilled.keras", "mobilenetv2-96-first-release.keras"),
        phases=(Phase(96, 11), Phase(96, 3, augment=0.5)),
        balance=0.0,
        distill=0.7,
    )


def smoke() -> Recipe:
    """A run of seconds that shows whether data, loop and export fit together.

    Command: python -m train fit smoke
    """
    return Recipe(name="smoke", phases=(Phase(32, 1), Phase(48, 1)), batch_size=16)


RECIPES = {
    "mobilenetv2-64": mobilenet_v2_64,
    "mobilenetv2-96": mobilenet_v2_96,
    "mobilenetv2-96-distilled": mobilenet_v2_96_distilled,
    "mobilenetv2-96-born-again": mobilenet_v2_96_born_again,
    "smoke": smoke,
}


def get_recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise InputError(f"recipe must be one of {sorted(RECIPES)}. Received: {name!r}")
    return RECIPES[name]()
