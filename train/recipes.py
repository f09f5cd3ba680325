"""Recipes: everything that decides what a training run yields, in one frozen place each."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from fer.errors import InputError

__all__ = [
    "CHECKPOINT_FOLDER",
    "FAMILY",
    "NO_TWINS",
    "PLATEAU_FACTOR",
    "RECIPES",
    "TRAINING_NAME",
    "Phase",
    "Recipe",
    "get_recipe",
]

CHECKPOINT_FOLDER = Path(__file__).parent / "checkpoints"
# The record of a run, next to its weights.
TRAINING_NAME = "training.json"
PLATEAU_FACTOR = 0.3
# Those that ImageNet has no weights of.
_FROM_NOTHING = ("cnn", "vit", "resnet", "face")
BACKBONES = ("mobilenetv2", "mobilenet", *_FROM_NOTHING)
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
        tuned: part of the backbone's layers that learn, counted from its output; 0 trains
            the head alone.
        learning_rate: begins a schedule of its own, with this peak, which later phases
            without one share; None goes on with the one before. The first phase has the
            recipe's where it names none.
    """

    input_size: int
    epochs: int
    augment: float = 1.0
    tuned: float = 1.0
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.input_size < 32:
            raise InputError(f"`input_size` must be at least 32. Received: {self.input_size}")
        if self.epochs < 1 or self.augment < 0:
            raise InputError(
                "a phase must have epochs and an augmentation of at least 0. "
                f"Received: {self.epochs} and {self.augment}"
            )
        if not 0 <= self.tuned <= 1:
            raise InputError(f"`tuned` must be 0..1. Received: {self.tuned}")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise InputError(f"`learning_rate` must be over 0. Received: {self.learning_rate}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All choices of a training run.

    Attributes:
        name: as on the command line.
        backbone: "mobilenetv2", "mobilenet" (the first version), "cnn", "vit", "resnet" or
            "face"; see `train.backbones`.
        cut: layer of the backbone after which it ends; None for all of it.
        cbam: attention over channels and places behind each stage of MobileNetV2.
        conv: filters of the head's own 3 x 3 convolutions, before pooling.
        dense: units of the head's own dense layers, behind it.
        init: "imagenet", "random", or a .keras file in train/checkpoints.
        teachers: .keras files in train/checkpoints to distil from.
        views: number of different views of the training images, for each strength of the
            augmentation; epochs beyond that see them again. None for a new one each epoch.
        phases: trained in order; those without a `learning_rate` share the schedule of the
            one before. The last one's `input_size` is the model's.
        batch_size: images a step.
        learning_rate: peak of the first schedule, where its phase names none.
        schedule: "cosine", down to zero; or "plateau", which multiplies the rate by
            `PLATEAU_FACTOR` after each epoch without a better validation accuracy.
        warmup_epochs: linear warm-up at the beginning of a cosine.
        weight_decay: AdamW's, on kernels only.
        clip_norm: largest norm of all gradients together.
        patience: epochs of the last phase without a better validation accuracy after which
            the run ends; None for never.
        precision: "float32", or "mixed_bfloat16", which is faster where the processor
            computes in it.
        classes: those to tell apart; images of others are left out, of validation and test,
            too. All where there are none.
        images_per_class: the most training images of each class, drawn at random;
            None for all.
        extra: folder of more training pictures, cropped faces in a folder a class, which are
            shown as often as the others; "" for none.
        clean: leave out training images whose label none of FER+'s ten voters gave, where
            the data set has their votes.
        drop_twins: leave out training images of which validation or test has a copy.
        with_validation: train on the validation images without a twin, too. Nothing is selected
            then: the last epoch's weights are kept, and `export` takes the decisions of a run that
            was.
        keep_last: keep the weights after the last epoch instead of those of the best one by the
            accuracy of the labels, which says nothing of votes or of worse pictures.
        blend: share of the trained weights in those that are kept, over 0 to 1; the rest are the
            weights that the run starts from. The head of the votes stays as trained (Wortsman et
            al. 2022, arXiv:2109.01903).
        refit: how strongly the votes' head is held back when it is fitted again at the end
            (`pull` of `train.refit.refit_votes`); None for no such fit.
        balance: how far rare classes are repeated, from 0 (as the data has them) to 1 (as
            often as the commonest).
        class_weight: how much more a rare class counts in the loss, from 0 (not at all) to
            1 (all classes the same together).
        ferplus: part of the FER+ votes in the labels' targets, where the data set has them.
        votes: weight of the loss of a second head, which learns the FER+ votes, where the
            data set has them; 0 for no such head.
        label_smoothing: of the targets.
        focal: the exponent of the focal loss; 0 is the plain cross-entropy.
        distill: part of the loss that compares with the teachers, where there are any.
        distill_temperature: of both sides of that comparison.
        ema_momentum: of the running average of the weights that is evaluated and kept.
        dropout: before each dense layer.
        correct_bias: end with the bias of each class that validation asks for, in the last layer.
            Networks with a votes' head keep it in fer.json instead.
        flip, rotation, zoom, translation, shear, brightness, contrast: strength of the
            augmentation; rotation in turns, zoom, translation and shear in parts of the
            side, brightness in parts of the 0..255 range, contrast as a factor 1 +- c.
        photometric: how many of `train.augment.RandomPhotometric`'s operations each image
            passes.
        camera: the share of the images that `train.augment.RandomCamera` photographs again.
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
    backbone: str = "mobilenetv2"
    cut: str | None = None
    cbam: bool = False
    conv: tuple[int, ...] = ()
    dense: tuple[int, ...] = ()
    init: str = "imagenet"
    teachers: tuple[str, ...] = ()
    views: int | None = None
    batch_size: int = 32
    learning_rate: float = 7e-4
    schedule: Literal["cosine", "plateau"] = "cosine"
    warmup_epochs: float = 0.5
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    patience: int | None = None
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    classes: tuple[str, ...] = ()
    images_per_class: int | None = None
    extra: str = ""
    clean: bool = False
    drop_twins: bool = False
    with_validation: bool = False
    keep_last: bool = False
    blend: float = 1.0
    refit: float | None = None
    balance: float = 0.25
    class_weight: float = 0.0
    ferplus: float = 0.0
    votes: float = 0.0
    label_smoothing: float = 0.1
    focal: float = 0.0
    distill: float = 0.5
    distill_temperature: float = 2.0
    ema_momentum: float = 0.999
    dropout: float = 0.2
    correct_bias: bool = True
    flip: bool = True
    rotation: float = 0.05
    zoom: float = 0.2
    translation: float = 0.08
    shear: float = 0.0
    brightness: float = 0.15
    contrast: float = 0.25
    photometric: int = 0
    camera: float = 0.0
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
        for name in ("camera", "ferplus", "label_smoothing", "distill", "dropout", "erase", "mix"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"`{name}` must be 0..1. Received: {getattr(self, name)}")
        if not 0 < self.blend <= 1:
            raise InputError(f"`blend` must be over 0, 1 at most. Received: {self.blend}")
        if self.refit is not None and self.refit <= 0:
            raise InputError(f"`refit` must be over 0, or None. Received: {self.refit}")
        if self.mix and not (self.mixup or self.cutmix):
            raise InputError("to `mix`, `mixup` or `cutmix` must be over 0. Received: neither")
        if self.backbone not in BACKBONES:
            raise InputError(f"`backbone` must be one of {BACKBONES}. Received: {self.backbone!r}")
        if self.schedule not in ("cosine", "plateau"):
            raise InputError(
                f'`schedule` must be "cosine" or "plateau". Received: {self.schedule!r}'
            )
        if self.backbone != "mobilenetv2" and self.cbam:
            raise InputError(f"`cbam` must go with mobilenetv2. Received: {self.backbone}")
        if self.precision not in ("float32", "mixed_bfloat16"):
            raise InputError(
                f'`precision` must be "float32" or "mixed_bfloat16". Received: {self.precision!r}'
            )
        for name in ("images_per_class", "views"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"`{name}` must be at least 1. Received: {value}")
        if self.with_validation and (
            self.patience is not None or self.schedule == "plateau" or self.correct_bias
        ):
            raise InputError(
                "a recipe `with_validation` must have a cosine, no `patience` and no "
                f"`correct_bias`, which look at it. Received: {self.name}"
            )
        if self.warmup_epochs >= min(sum(p.epochs for p in stage) for stage in self.stages):
            raise InputError(
                "`warmup_epochs` must be fewer than the epochs of each schedule. "
                f"Received: {self.warmup_epochs}"
            )
        for before, after in pairwise(self.phases):
            if before.tuned != after.tuned and after.learning_rate is None:
                raise InputError(
                    "a phase that tunes other layers must have a `learning_rate`. "
                    f"Received: {after}"
                )

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Read a recipe from a record of `dataclasses.asdict` that went through JSON.

        Raises:
            TypeError: it is of another version.
            InputError: it is impossible.
        """
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()
        }
        return cls(**{**values, "phases": tuple(Phase(**each) for each in values["phases"])})

    @property
    def input_size(self) -> int:
        """Side of the finished model's input in pixels."""
        return self.phases[-1].input_size

    @property
    def stages(self) -> list[tuple[Phase, ...]]:
        """The phases, together those that share a schedule."""
        stages: list[list[Phase]] = []
        for phase in self.phases:
            if not stages or phase.learning_rate is not None:
                stages.append([])
            stages[-1].append(phase)
        return [tuple(stage) for stage in stages]

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
    """`mobilenetv2-96-distilled` taught once more, by itself and another.

    `mobilenetv2-96-two-heads` starts from it.

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


# The family (`FAMILY`): each reproduces a public system, or an idea that its author meant to try.
# Reported figures are in `train.publish.family`, reproduced ones in docs/family.md.

# Plain labels; images mirrored, turned and moved, with unchanged light; no correction of the bias.
_PLAIN = Recipe(
    name="plain",
    phases=(Phase(64, 9),),
    batch_size=64,
    balance=0.0,
    label_smoothing=0.0,
    ema_momentum=0.998,
    correct_bias=False,
    brightness=0.0,
    contrast=0.0,
    erase=0.0,
)
# Few weights learn, for a short time.
_FROZEN = replace(_PLAIN, weight_decay=0.0, ema_momentum=0.9)


def frozen_then_top() -> Recipe:
    """Use frozen ImageNet features, then train the top layers at a tiny rate.

    A Haar cascade crops faces from photographs (`python -m train crop PHOTOS FACES --detector
    haar`, then `--dataset FACES`; FER-2013 is already cropped), which are enlarged to the 224
    pixels that the network was made for. The last layer, after Dropout(0.5), learns while all
    others are frozen; then the top fifth of the layers learns, too, at a rate of 1e-5.

    What it taught us: features that separate dogs from cars hardly separate fear from surprise,
    and a rate too small to harm them is too small to teach them. 224 pixels cost five times as
    much as 96 and show nothing that 48 did not. Unfrozen layers are normalised by 32 images at a
    time in training and by thousands in validation, which is where the two curves diverge.

    Command: python -m train fit frozen-then-top
    """
    return replace(
        _FROZEN,
        name="frozen-then-top",
        phases=(
            Phase(224, 2, tuned=0.0, learning_rate=1e-3),
            Phase(224, 1, tuned=0.2, learning_rate=1e-5),
        ),
        batch_size=32,
        dropout=0.5,
        rotation=0.03,
        zoom=0.1,
        translation=0.0,
    )


def five_class_cut() -> Recipe:
    """Cut a MobileNetV2 early, add two convolutions, and train five classes.

    Training images whose label none of FER+'s ten voters gave are left out, and so are all images
    of disgust and fear. The network ends at block 13 of 16, followed by two new convolutions.
    These learn first; then the top 40 % of the remaining network learns with them at a reduced
    rate, with rotation, zoom, shift, shear and mirroring, class weights and early stopping.

    What it taught us: five classes are the easier task. Networks that learned seven gain as much
    when they choose among five, because fear, the most frequent wrong answer, is excluded. The
    cut saves nothing: the two convolutions have more weights than the layers they replace.

    Command: python -m train fit five-class-cut
    """
    return replace(
        _PLAIN,
        name="five-class-cut",
        phases=(
            Phase(96, 1, tuned=0.0, learning_rate=1e-3),
            Phase(96, 10, tuned=0.4, learning_rate=7e-4),
        ),
        cut="block_13_expand_relu",
        conv=(256, 256),
        classes=("neutral", "happy", "sad", "angry", "surprise"),
        clean=True,
        patience=3,
        class_weight=0.5,
        label_smoothing=0.1,
        zoom=0.15,
        translation=0.1,
        shear=0.1,
        correct_bias=True,
    )


def full_two_dense() -> Recipe:
    """Train every layer, with two dense layers after the pooling.

    All of MobileNetV2 is unfrozen from the first step, followed by global average pooling, two
    dense layers with dropout and a last one. Plain labels, no class weights, no repeats. Accuracy,
    confusion matrix, figures of each class and curves come from `python -m train evaluate`.

    What it taught us: if all layers learn, a few short epochs on small images are enough. But the
    rarest class, disgust, is never answered: in a loss that counts all images equally, 436 of
    28,709 are not worth a mistake elsewhere. Top-1 hardly shows it, macro F1 does.

    Command: python -m train fit full-two-dense
    """
    return replace(_PLAIN, name="full-two-dense", dense=(256, 128), learning_rate=1e-3)


def mobilenet_frozen() -> Recipe:
    """Train a dense head on a frozen MobileNet v1 with fewer than a thousand pictures.

    The original used a folder of under 1,000 posed faces in the style of CK+, four fifths of them
    for training; here 112 images of each class of FER-2013 replace them. Only a dense layer with
    dropout learns, with rotation up to 40 degrees and shift, shear and zoom up to a fifth. New
    pictures go through a Haar cascade: `python -m fer image PHOTO --detector haar --model
    runs/mobilenet-frozen/export`, or the page, which shows each crop with its answer.

    What it taught us: so few pictures, with features made for objects, are not enough for faces
    that are not posed; no augmentation replaces missing pictures. If Keras cannot download
    MobileNet's weights, use `--backbone mobilenetv2`.

    Command: python -m train fit mobilenet-frozen
    """
    return replace(
        _FROZEN,
        name="mobilenet-frozen",
        phases=(Phase(128, 20, tuned=0.0),),
        backbone="mobilenet",
        dense=(256,),
        images_per_class=112,
        batch_size=16,
        learning_rate=2e-3,
        dropout=0.3,
        rotation=40 / 360,
        translation=0.2,
        shear=0.2,
    )


def upsampled() -> Recipe:
    """Repeat rare classes, augmented differently each time, until all are equally frequent.

    Disgust has one image for every sixteen of happy, so its images are repeated sixteen times,
    each time mirrored, rotated, moved and lit differently. A focal loss reduces the weight of
    images that are already right. The rate falls on a plateau, the best epoch is kept, and the
    run stops early. Class weights are on, too, but are 1 if all classes are equally frequent.

    What it taught us: a network learns how common a class is from how often it is shown. Shown
    all classes equally often, it finds more of the rare ones and answers them far too often:
    disgust, not "sad". See "Stuck on sad?" for the cure of both.

    Command: python -m train fit upsampled
    """
    return Recipe(
        name="upsampled",
        phases=(Phase(64, 5),),
        batch_size=64,
        learning_rate=5e-4,
        schedule="plateau",
        patience=2,
        ema_momentum=0.998,
        balance=1.0,
        class_weight=1.0,
        focal=2.0,
        label_smoothing=0.0,
        erase=0.0,
        correct_bias=False,
    )


def cnn_scratch() -> Recipe:
    """Train a plain network for 48 pixels from scratch.

    Four blocks of two convolutions, pooling and one dense layer, without pre-trained weights.
    Class weights at half strength and a focal loss support the rare classes; images are mirrored,
    rotated, moved and lit differently.

    What it taught us: 28,709 faces are enough to learn from scratch. With half as many weights it
    equals networks that started from ImageNet and were trained as briefly: knowing objects helps
    little with faces of 48 pixels.

    Command: python -m train fit cnn-scratch
    """
    return Recipe(
        name="cnn-scratch",
        phases=(Phase(48, 10), Phase(48, 2, augment=0.5)),
        backbone="cnn",
        init="random",
        batch_size=64,
        learning_rate=1e-3,
        ema_momentum=0.998,
        balance=0.0,
        class_weight=0.5,
        focal=2.0,
        dropout=0.3,
        erase=0.0,
        correct_bias=False,
    )


def cbam() -> Recipe:
    """Add attention over channels and positions after each stage of `mobilenetv2-64`.

    Two small gates after each of six stages weight the features and the regions of the face, from
    the mean and the maximum over the others. They start at 1, so that training begins with the
    unchanged ImageNet network. All else is `mobilenetv2-64`, so the difference between the two
    rows is the effect of attention.

    What it taught us: on small faces, in so few epochs, attention has no effect beyond chance.

    Command: python -m train fit cbam

    Source: Woo et al. 2018, arXiv:1807.06521.
    """
    return replace(mobilenet_v2_64(), name="cbam", cbam=True)


def vit_tiny() -> Recipe:
    """Train a vision transformer with under a million weights, taught by a convolutional network.

    Three convolutions make 36 tokens of 8 x 8 pixels; five blocks of attention follow. A
    transformer has no built-in knowledge of pictures, and there are too few faces here to learn
    it, so `mobilenetv2-96-distilled` is its teacher on every augmented image.

    What it taught us: with a teacher a small transformer learns faces from scratch, but a plain
    network of the same size learns them faster: on 28,709 images, knowing that neighbouring
    pixels belong together is worth more than attention to all of them.

    Command: python -m train fit vit-tiny

    Source: Touvron et al. 2020, arXiv:2012.12877 (a transformer taught by a network of
    convolutions).
    """
    return Recipe(
        name="vit-tiny",
        phases=(Phase(48, 7), Phase(48, 2, augment=0.5)),
        backbone="vit",
        init="random",
        teachers=("mobilenetv2-96-distilled.keras",),
        batch_size=64,
        learning_rate=1e-3,
        warmup_epochs=1.0,
        ema_momentum=0.998,
        ferplus=0.35,
        distill=0.7,
        dropout=0.1,
    )


# Teachers: networks of other kinds, to learn from together. No mixing of FER+ votes into the target
# of the labels, a second head for the votes instead.
_TEACHER = Recipe(
    name="teacher",
    phases=(Phase(64, 1),),
    batch_size=64,
    balance=0.0,
    votes=0.5,
    ema_momentum=0.999,
    rotation=0.06,
    shear=0.1,
    photometric=1,
    mix=0.4,
)


def teacher_face() -> Recipe:
    """A network that was made to tell faces apart, taught their expressions.

    dlib's face ResNet has seen three million faces, so it starts with what ImageNet does not
    teach. `python -m train face-weights` makes the file that it starts from.

    Command: python -m train fit teacher-face --init face.keras
    """
    return replace(
        _TEACHER,
        name="teacher-face",
        precision="mixed_bfloat16",
        backbone="face",
        init="face.keras",
        phases=(Phase(112, 26), Phase(112, 4, augment=0.5)),
        learning_rate=7e-4,
        warmup_epochs=1.0,
        seed=2,
    )


def teacher_mobilenetv2_128() -> Recipe:
    """MobileNetV2 at 128 px, with another seed than those at 96 px.

    Command: python -m train fit teacher-mobilenetv2-128
    """
    return replace(
        _TEACHER,
        name="teacher-mobilenetv2-128",
        phases=(Phase(64, 14), Phase(96, 8), Phase(128, 8), Phase(128, 3, augment=0.5)),
        learning_rate=1e-3,
        seed=1,
    )


def teacher_resnet() -> Recipe:
    """A residual network that looks at the 48 pixels there are, from nothing.

    Command: python -m train fit teacher-resnet
    """
    return replace(
        _TEACHER,
        name="teacher-resnet",
        precision="mixed_bfloat16",
        backbone="resnet",
        init="random",
        phases=(Phase(48, 36), Phase(48, 4, augment=0.5)),
        learning_rate=2e-3,
        warmup_epochs=1.0,
        dropout=0.4,
        seed=3,
    )


def mobilenet_v2_96_taught() -> Recipe:
    """MobileNetV2 from ImageNet, taught long and patiently by networks of three other kinds.

    Pupil and teachers see the same views, mixed as they are; then the pupil's is photographed
    again, by a worse camera in a worse place. The teachers answer 32 views once (`python -m train
    teach`), so that a step costs no teacher.

    Command: python -m train fit mobilenetv2-96-taught --teacher TEACHERS/teacher-face --teacher
    TEACHERS/teacher-resnet --teacher TEACHERS/teacher-mobilenetv2-128

    Source: Beyer et al. 2021, arXiv:2106.05237 (the same view for both, long schedules).
    """
    return Recipe(
        name="mobilenetv2-96-taught",
        phases=(Phase(64, 60), Phase(96, 60)),
        views=32,
        batch_size=64,
        learning_rate=1e-3,
        warmup_epochs=1.0,
        ema_momentum=0.9995,
        balance=0.0,
        votes=0.5,
        distill=0.8,
        rotation=0.06,
        shear=0.1,
        photometric=1,
        camera=0.3,
        mix=0.5,
    )


def mobilenet_v2_96_two_heads() -> Recipe:
    """The flagship: `mobilenetv2-96-born-again` taught once more, with a head for the votes.

    A second head learns the votes, so the labels' head no longer does. Nothing balances the classes
    in training: the decisions that `export` fits do. The last epoch is kept: after the first one
    the labels gain no more, but the votes do until the end. What is kept lies halfway between the
    start and the end: there the labels have lost less, and the votes hardly anything. Then the
    head of the votes is fitted again, on pictures that nothing has made worse. Hardware, time and
    figures: results/mobilenetv2-96-two-heads.json.

    Command: python -m train fit mobilenetv2-96-two-heads
    """
    return replace(
        mobilenet_v2_96_taught(),
        name="mobilenetv2-96-two-heads",
        init="mobilenetv2-96-born-again.npz",
        teachers=(
            "mobilenetv2-96-born-again.npz",
            "mobilenetv2-96-first-release.keras",
            "teacher-resnet-epoch-33.npz",
        ),
        views=4,
        phases=(Phase(96, 8),),
        learning_rate=4e-4,
        warmup_epochs=0.5,
        ema_momentum=0.999,
        keep_last=True,
        blend=0.5,
        refit=1e-3,
        distill=0.6,
    )


def mobilenet_v2_96_further() -> Recipe:
    """Two more epochs of a network with two heads, without teachers: do more pictures help?

    Needs --init: without, it would start from ImageNet.

    Command: python -m train fit mobilenetv2-96-further --init fer/weights/model.keras [--extra
    FACES]
    """
    return replace(
        mobilenet_v2_96_taught(),
        name="mobilenetv2-96-further",
        views=None,
        phases=(Phase(96, 2),),
        learning_rate=2e-4,
        warmup_epochs=0.5,
        ema_momentum=0.999,
        keep_last=True,
    )


def mobilenet_v2_96_last() -> Recipe:
    """`mobilenetv2-96-taught` once more, on the validation images, too.

    All that is chosen was chosen on the run before, whose export has the decisions.

    Command: python -m train fit mobilenetv2-96-last --decisions runs/mobilenetv2-96-taught/export,
    with the teachers of mobilenetv2-96-taught, which must `teach` for this recipe.
    """
    return replace(
        mobilenet_v2_96_taught(),
        name="mobilenetv2-96-last",
        with_validation=True,
        correct_bias=False,
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
    "mobilenetv2-96-two-heads": mobilenet_v2_96_two_heads,
    "frozen-then-top": frozen_then_top,
    "five-class-cut": five_class_cut,
    "full-two-dense": full_two_dense,
    "mobilenet-frozen": mobilenet_frozen,
    "upsampled": upsampled,
    "cnn-scratch": cnn_scratch,
    "cbam": cbam,
    "vit-tiny": vit_tiny,
    "teacher-face": teacher_face,
    "teacher-mobilenetv2-128": teacher_mobilenetv2_128,
    "teacher-resnet": teacher_resnet,
    "mobilenetv2-96-taught": mobilenet_v2_96_taught,
    "mobilenetv2-96-further": mobilenet_v2_96_further,
    "mobilenetv2-96-last": mobilenet_v2_96_last,
    "smoke": smoke,
}


# Five public systems, a plain network, and two ideas that were still to be tried.
FAMILY = (
    "frozen-then-top",
    "five-class-cut",
    "full-two-dense",
    "mobilenet-frozen",
    "upsampled",
    "cnn-scratch",
    "cbam",
    "vit-tiny",
)


def with_backbone(recipe: Recipe, backbone: str) -> Recipe:
    """Return `recipe` on another backbone, at random where ImageNet has no weights of it.

    Raises:
        InputError: there is no such backbone, or the recipe names layers of its own.
    """
    if recipe.cut is not None and backbone != recipe.backbone:
        raise InputError(
            "another backbone must be for a recipe that is not cut. Received: "
            f"{recipe.name}, which ends at {recipe.cut} of {recipe.backbone}"
        )
    init = "random" if backbone in _FROM_NOTHING else recipe.init
    return replace(recipe, backbone=backbone, init=init)


def get_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise InputError(f"recipe must be one of {sorted(RECIPES)}. Received: {name!r}")
    return RECIPES[name]()
