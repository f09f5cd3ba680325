"""Command line of training: from pictures to weights, figures and the model card."""

import inspect
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

# Read by TensorFlow when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer
from tqdm.contrib.logging import logging_redirect_tqdm

from fer.errors import SOME_FAILED, FerError, InputError, exit_status
from fer.hub import KERAS_NAME, WEIGHTS_FOLDER
from fer.output import check_file, check_folder
from fer.text import lines, make_printable, set_up_log
from fer.types import parse_json
from train.memory import keep_freed_memory
from train.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from fer.types import ModelConfig
    from train.data.dataset import OpenDataset
    from train.data.listing import Reading

# The epochs that a run keeps, and the model in every format.
_RUN_BYTES = 200_000_000
_MODEL_BYTES = 50_000_000
_TABLE_BYTES = 2_000_000
EXAMPLES = Path("examples")
SUBGROUPS = EXAMPLES / "subgroups"

# Rich would take the defaults in brackets for markup.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=__doc__,
)

Dataset = Annotated[
    str | None,
    typer.Option(
        help="Data set of the Hub (USER/NAME, or USER/NAME@REVISION), folder of pictures, a folder "
        "a class, or of Parquet files, or fer2013.csv. [env: FER_DATASET]"
    ),
]
Decisions = Annotated[
    Path | None,
    typer.Option(
        help="Export whose temperature and decisions are taken, for a recipe that learns from the "
        "validation images. [fitted on them]"
    ),
]
Results = Annotated[Path, typer.Option(help="Folder of the committed figures.")]
Detector = Annotated[
    str | None, typer.Option(help="auto, yunet, slim or haar. [env: FER_DETECTOR]")
]
_MODEL_HELP = "Folder with fer.json and model.tflite."
ModelArgument = Annotated[Path, typer.Argument(help=_MODEL_HELP)]
ModelOption = Annotated[Path, typer.Option(help=_MODEL_HELP)]


ImageColumn = Annotated[
    str | None,
    typer.Option(help="Column of the pictures, or of pixels as text. [found by name or type]"),
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column of the labels. [found by name or type]")
]
ClassLevel = Annotated[
    int | None,
    typer.Option(
        help="How far below the data set, or the folder of a split, the folders of the classes "
        "are: 1, 2 ... [found by their names]"
    ),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact", help="Refuse classes and splits with other names than here, as Anger or valid."
    ),
]


def _echo(text: str, err: bool = False) -> None:
    """Write lines; of names in them what a terminal would obey is escaped."""
    typer.echo(lines(text), err=err)


def _read_dataset(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how to read the data set; `command` gets them as `reading`."""

    @wraps(command)
    def reader(
        *args: object,
        image_column: str | None,
        label_column: str | None,
        class_level: int | None,
        exact: bool,
        **options: Any,
    ) -> None:
        from train.data.listing import Reading

        reading = Reading(image_column, label_column, class_level, exact)
        command(*args, **options, reading=reading)

    kinds = {
        "image_column": (ImageColumn, None),
        "label_column": (LabelColumn, None),
        "class_level": (ClassLevel, None),
        "exact": (Exact, False),
    }
    signature = inspect.signature(command)
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, keyword, default=default, annotation=kind)
        for name, (kind, default) in kinds.items()
    ]
    own = [each for name, each in signature.parameters.items() if name != "reading"]
    reader.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *added]
    )
    reader.__annotations__ = {each.name: each.annotation for each in (*own, *added)}
    del reader.__wrapped__
    return reader


def _open(named: str | None, reading: "Reading") -> "OpenDataset":
    """Open the data set of a run, and show its splits and classes."""
    from train.data.dataset import default_dataset, open_dataset

    opened = open_dataset(named or default_dataset(), reading)
    _echo(opened.describe() + "\n")
    return opened


def _checkpoint(name: str) -> Path:
    """Find a file here, or else in the recipes' folder."""
    from train.recipes import CHECKPOINT_FOLDER

    for path in (Path(name), CHECKPOINT_FOLDER / name):
        if path.is_file():
            return path
    raise InputError(f"{name} must be a file, here or in {CHECKPOINT_FOLDER}. Received: neither is")


def _teacher(name: str) -> Path:
    """Return a folder that `teach` wrote, or a .keras file."""
    return Path(name) if Path(name).is_dir() else _checkpoint(name)


def _start(named: str) -> Path | str | None:
    if named == "random":
        return None
    if named == "imagenet":
        return os.environ.get("FER_IMAGENET_WEIGHTS", named)
    return _checkpoint(named)


def _load_renderer(name: str) -> ModuleType:
    """Import a module of tools/render, which only a checkout of this project has."""
    try:
        return import_module(f"tools.render.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("tools", "tools.render"):
            raise
        raise InputError(
            "this command must run in a checkout of the project. Received: no folder tools/render"
        ) from error


def _read_decisions(folder: Path | None) -> "ModelConfig | None":
    """Read the configuration whose decisions an export takes."""
    from fer.types import ModelConfig

    return None if folder is None else ModelConfig.read(folder)


def _choose(name: str, drop_twins: bool, extra: Path | None, backbone: str | None) -> Recipe:
    """Return a recipe with the changes that the options of `fit` ask for."""
    from train.recipes import NO_TWINS, get_recipe, with_backbone

    chosen = get_recipe(name)
    if drop_twins:
        chosen = replace(chosen, name=chosen.name + NO_TWINS, drop_twins=True)
    if extra is not None:
        chosen = replace(chosen, extra=str(extra))
    return chosen if backbone is None else with_backbone(chosen, backbone)


def _share_batches() -> None:
    """Let Keras share each batch among all devices."""
    import keras

    if keras.backend.backend() != "jax":
        raise InputError(
            f"--data-parallel needs KERAS_BACKEND=jax. Received: {keras.backend.backend()}"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel())


@app.command()
@_read_dataset
def fit(
    recipe: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    dataset: Dataset = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. [runs/RECIPE]")] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help='"imagenet" (downloaded, or FER_IMAGENET_WEIGHTS), a file of the same weights, '
            'a .keras or .npz file of an earlier run, or "random". [the recipe\'s]',
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="mobilenetv2, mobilenet, cnn or vit (the last two start at random), where the "
            "weights of the recipe's own are unavailable. [the recipe's]"
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on after the last whole epoch.")] = False,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="A .keras or .npz file to distil from, or a folder that `teach` wrote. May be "
            "repeated. [the recipe's]"
        ),
    ] = None,
    drop_twins: Annotated[
        bool,
        typer.Option(help="Leave out training images that validation or test has a copy of."),
    ] = False,
    extra: Annotated[
        Path | None,
        typer.Option(help="Folder of more training pictures, faces in a folder a class. [none]"),
    ] = None,
    data_parallel: Annotated[
        bool, typer.Option(help="Share each batch among all devices (JAX).")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Folder for the finished model. [OUT/export]")
    ] = None,
    decisions: Decisions = None,
    *,
    reading: "Reading",
) -> None:
    """Train RECIPE, select on validation, export. The test split stays shut."""
    from train.data.copies import drop_held_out
    from train.data.listing import list_extra

    chosen = _choose(recipe, drop_twins, extra, backbone)
    if chosen.with_validation and decisions is None:
        raise InputError(
            f"{recipe} learns from the validation images, so --decisions must be an export of a "
            "network that did not. Received: none"
        )
    decided = _read_decisions(decisions)
    run = out or Path("runs") / chosen.name
    for folder in (run, weights or run / "export"):
        check_folder(folder, room_bytes=_RUN_BYTES)
    source = _open(dataset, reading)
    # What is wrong with it is said before TensorFlow has said what it finds.
    class_names = source.class_names(chosen.classes)
    if extra is not None:
        more = drop_held_out(list_extra(extra, class_names), source.splits)
        _echo(f"more pictures, {extra.name}\n{more.describe()}\n")
    start = _start(init or chosen.init)
    teachers = [_teacher(name) for name in teacher or chosen.teachers]
    # For the record, without the folders of this machine.
    words = ["python -m train fit", recipe, *(["--drop-twins"] if drop_twins else [])]
    words += [f"--backbone {backbone}"] if backbone else []
    words += [f"--extra {extra.name}"] if extra else []
    words += [f"--init {Path(init).name}"] if init else []
    words += [f"--teacher {Path(name).name}" for name in teacher or ()]
    words += ["--data-parallel"] if data_parallel else []

    keep_freed_memory()
    import keras

    from train.export import export as write
    from train.fit import fit as train

    if data_parallel:
        _share_batches()
    try:
        train(chosen, source, run, start, resume, teachers, " ".join(words))
    except KeyboardInterrupt:
        _echo(f"stopped; the whole epochs are kept in {run}: --resume goes on", err=True)
        raise typer.Exit(130) from None
    if keras.backend.backend() != "tensorflow":
        _echo(f"wrote {run}; `export` makes what serves of it, with TensorFlow", err=True)
        return
    folder = weights or run / "export"
    config = write(run, source, folder, decided=decided)
    _echo(f"wrote {folder}: temperature {config.temperature}")


@app.command()
def faces(
    target: Annotated[Path, typer.Argument(help="Folder to write.")],
    number: Annotated[int, typer.Option(help="How many.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
) -> None:
    """Render faces to learn from, a folder a class (needs requirements-render.txt).

    The same command goes on where it was stopped. `crop TARGET FACES` frames them as photographs.
    """
    rendering = _load_renderer("faces")
    check_folder(target)
    rendering.render_faces(target, number, seed)


@app.command(name="teach")
@_read_dataset
def teach_command(
    recipe: Annotated[str, typer.Argument(help="The pupil's recipe.")],
    teacher: Annotated[list[str], typer.Argument(help=".keras or .npz files of teachers.")],
    dataset: Dataset = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a folder a teacher. [runs/RECIPE-teachers]")
    ] = None,
    extra: Annotated[Path | None, typer.Option(help="As for `fit`. [none]")] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Print the accuracies only; takes minutes.")
    ] = False,
    *,
    reading: "Reading",
) -> None:
    """Write what each TEACHER says of all views of RECIPE, for `fit --teacher OUT/NAME`.

    Prints the accuracy of each, and of all together, on the validation images without a twin.
    The same command goes on where it was stopped.
    """
    keep_freed_memory()
    from train.recipes import get_recipe
    from train.teach import teach_all

    target = out or Path("runs") / f"{recipe}-teachers"
    check_folder(target)
    files = [_checkpoint(name) for name in teacher]
    pupil = replace(get_recipe(recipe), extra="" if extra is None else str(extra))
    for name, accuracy in teach_all(
        pupil, files, _open(dataset, reading), target, not validation
    ).items():
        _echo(f"{100 * accuracy:6.2f} %  {name}")


@app.command()
def compact(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    target: Annotated[Path, typer.Argument(help="The .npz file to write.")],
) -> None:
    """Write the network of RUN with kernels of 8 bits, for `--init` and as a teacher."""
    from train.compact import SUFFIX
    from train.model import load_model, save_compact
    from train.recipes import TRAINING_NAME

    if target.suffix != SUFFIX:
        raise InputError(f"the file must end in {SUFFIX}. Received: {target.name}")
    check_file(target, room_bytes=_MODEL_BYTES)
    network = load_model(run / KERAS_NAME, "the run")
    record = parse_json((run / TRAINING_NAME).read_bytes(), TRAINING_NAME, dict)
    save_compact(network, Recipe.from_json(record["recipe"]), target)


@app.command()
@_read_dataset
def face_weights(
    source: Annotated[
        Path,
        typer.Argument(help="face_recognition_model.bin of npm's @vladmandic/face-api 1.7.15."),
    ],
    target: Annotated[Path, typer.Argument(help="The .keras file to write.")],
    dataset: Dataset = None,
    *,
    reading: "Reading",
) -> None:
    """Convert dlib's face network into what `fit teacher-face --init TARGET` starts from."""
    from train.face_weights import write_face_weights

    check_file(target, room_bytes=_MODEL_BYTES)
    write_face_weights(source, target, _open(dataset, reading))


@app.command()
@_read_dataset
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    dataset: Dataset = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="litert-float16, litert-int8, onnx or web, besides keras and litert-float32. "
            "May be repeated. [all]",
        ),
    ] = None,
    decisions: Decisions = None,
    *,
    reading: "Reading",
) -> None:
    """Write RUN in every format, each checked against Keras on validation images."""
    from train.export import FORMATS
    from train.export import export as write

    check_folder(out, room_bytes=_MODEL_BYTES)
    decided = _read_decisions(decisions)
    config = write(run, _open(dataset, reading), out, formats or tuple(FORMATS), decided)
    for file in config.files:
        _echo(f"{(out / file).stat().st_size:10}  {out / file}")


@app.command()
@_read_dataset
def neutral(
    model: ModelArgument = WEIGHTS_FOLDER,
    dataset: Dataset = None,
    *,
    reading: "Reading",
) -> None:
    """Measure how MODEL answers the average neutral face, and write it into its fer.json.

    A resting face is compared with it. `export` measures it, too; this is for older weights.
    """
    from train.export import write_neutral

    config = write_neutral(model, _open(dataset, reading))
    assert config.neutral_logits is not None
    for name, value in zip(config.class_names, config.neutral_logits, strict=True):
        _echo(f"{name:10} {value:8.4f}")


@app.command()
def resting(
    pictures: Annotated[Path, typer.Argument(help="Folder that `persons` wrote, or `render`.")],
    results: Results = Path("results"),
    detector: Detector = None,
    model: ModelOption = WEIGHTS_FOLDER,
) -> None:
    """Measure what it gains to compare rendered persons with their resting faces."""
    from train.measure.resting import measure_resting

    check_folder(results)
    report = measure_resting(results, pictures, detector, model)
    _echo(f"{report['n_persons']} persons, {report['n_pictures']} other pictures of them")
    for strength, row in report["by_strength"].items():
        _echo(f"strength {strength}: accuracy {row['accuracy']} %")
    low, high = report["gain_interval"]
    _echo(f"gain {report['gain']} points (95 % interval {low} to {high})")


@app.command()
def crop(
    source: Annotated[Path, typer.Argument(help="Folder of photographs, a folder a class.")],
    target: Annotated[Path, typer.Argument(help="New folder for the face crops.")],
    detector: Detector = None,
    margin: Annotated[float, typer.Option(help="Crop side / longer side of the box.")] = 1.0,
    jobs: Annotated[int | None, typer.Option(help="Processes. [one a core]")] = None,
) -> None:
    """Cut the largest face out of every photograph in SOURCE, for `fit --dataset TARGET`."""
    from train.crop import REPORT_NAME, count_unusable, crop_folder, describe_report
    from train.data.listing import list_photographs

    listing = list_photographs(source)
    _echo(listing.describe() + "\n")
    check_folder(target)
    report = crop_folder(listing, target, detector, margin, jobs)
    _echo(describe_report(report))
    _echo(f"wrote {target / REPORT_NAME}")
    raise typer.Exit(exit_status(*count_unusable(report)))


@app.command()
def fer2013(
    source: Annotated[
        Path,
        typer.Argument(
            help="fer2013.csv of the challenge, or a folder of its pictures: train, test and "
            "perhaps validation, a folder a class in each."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    votes: Annotated[
        Path | None,
        typer.Option(
            help="fer2013new.csv, the votes of FER+; pictures of a folder must be named by their "
            "rows of fer2013.csv. [none]"
        ),
    ] = None,
) -> None:
    """Put FER-2013, FER+'s votes and marks of copies in training into one data set."""
    from train.data.dataset import open_dataset
    from train.data.fer2013 import prepare_fer2013

    check_folder(target, room_bytes=_MODEL_BYTES)
    _echo(open_dataset(str(source)).describe() + "\n")
    _echo(prepare_fer2013(source, target, votes).to_string())


@app.command()
@_read_dataset
def signatures(
    dataset: Dataset = None,
    out: Annotated[Path | None, typer.Option(help="File to write. [the one that is read]")] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Measure instead, with any copy of FER-2013, how many pictures are known and how "
            "many others are taken for them.",
        ),
    ] = False,
    others: Annotated[Path, typer.Option(help="For --check: folder of other pictures.")] = EXAMPLES,
    *,
    reading: "Reading",
) -> None:
    """Write the signatures by which pictures of FER-2013 are known, or --check them.

    To write, the data set needs the columns `csv_row`, `ferplus_votes` and `duplicate_group`.
    """
    from train.data.signature_table import measure_signatures, write_signatures
    from train.data.signatures import TABLE_PATH

    if check:
        _echo(measure_signatures(_open(dataset, reading), others).to_string())
        return
    target = out or TABLE_PATH
    check_file(target, room_bytes=_TABLE_BYTES)
    n_images = write_signatures(_open(dataset, reading), target)
    _echo(f"wrote {target}: {n_images:,} pictures, {target.stat().st_size:,} bytes")


@app.command()
@_read_dataset
def evaluate(
    model: ModelArgument = WEIGHTS_FOLDER,
    dataset: Dataset = None,
    results: Results = Path("results"),
    robustness: Annotated[
        bool, typer.Option(help="Corrupt the images as well, which takes most of the time.")
    ] = True,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="Folder of labelled pictures, a folder a class (angry or anger, fear or afraid "
            "...), to measure MODEL on, from the detector on. May be repeated. Without --dataset "
            "nothing else is measured.",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="For --folder: auto, yunet, slim or haar. [env: FER_DETECTOR]"),
    ] = None,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation",
            help="Measure the validation split instead and write nothing; the test split stays "
            "shut.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="With --validation: compare MODEL image by image with the one in this folder.",
        ),
    ] = None,
    *,
    reading: "Reading",
) -> None:
    """Measure MODEL on the test split, full and twin-free, and write results/."""
    from train.measure.evaluate import evaluate as measure_test
    from train.measure.evaluate import measure
    from train.measure.folders import format_folder, measure_folder, parse_folder
    from train.measure.paired import compare, format_comparison
    from train.measure.summary import format_measure, format_report

    if not validation:
        check_folder(results)
        if against is not None:
            raise InputError(f"--against must come with --validation. Received: {against} alone")
    named = [parse_folder(text) for text in folder or ()]
    if len({name for name, _ in named}) < len(named):
        raise InputError(f"each --folder must have a name of its own. Received: {folder}")
    if validation:
        from fer.hub import load_folder

        classifier = load_folder(model)
        other = None if against is None else load_folder(against)
        split = _open(dataset, reading).split("validation", classifier.config)
        compared = None if other is None else format_comparison(compare(classifier, other, split))
        _echo(format_measure(measure(classifier, split)))
        if compared is not None:
            _echo(compared)
    elif dataset is not None or not named:
        _echo(format_report(measure_test(model, _open(dataset, reading), results, robustness)))
    n_unreadable = 0
    for name, path in named:
        report = measure_folder(model, name, path, results, detector, _echo)
        _echo(format_folder(report))
        n_unreadable += len(report["unreadable"])
    if n_unreadable:
        raise typer.Exit(SOME_FAILED)


@app.command()
@_read_dataset
def framing(
    dataset: Dataset = None,
    results: Results = Path("results"),
    images: Annotated[int, typer.Option(help="How many validation images to paste.")] = 1500,
    *,
    reading: "Reading",
) -> None:
    """Measure how each detector frames FER-2013 faces, and top-1 against crop margin."""
    from train.measure.framing import measure_framing

    check_folder(results)
    _echo(measure_framing(_open(dataset, reading), results, images).to_string(index=False))


@app.command()
@_read_dataset
def contrast(
    dataset: Dataset = None,
    results: Results = Path("results"),
    *,
    reading: "Reading",
) -> None:
    """Measure top-1 against how far the contrast of a crop is stretched."""
    from train.measure.contrast import measure_contrast

    check_folder(results)
    _echo(measure_contrast(_open(dataset, reading), results).to_string(index=False))


@app.command()
def render(
    target: Annotated[Path, typer.Argument(help="Folder to write.")] = SUBGROUPS,
) -> None:
    """Render the people of the subgroup probe (needs requirements-render.txt)."""
    rendering = _load_renderer("people")
    check_folder(target)
    rendering.render_people(target)


@app.command()
def examples(
    target: Annotated[Path, typer.Argument(help="Folder to write.")] = EXAMPLES,
) -> None:
    """Render the page's example persons, group and clip (needs requirements-render.txt)."""
    rendering = _load_renderer("examples")
    check_folder(target)
    rendering.render_examples(target)


@app.command()
def persons(
    target: Annotated[Path, typer.Argument(help="Folder to write.")],
) -> None:
    """Render persons at rest and expressive (needs requirements-render.txt)."""
    rendering = _load_renderer("persons")
    check_folder(target)
    rendering.render_persons(target)


@app.command()
def subgroups(
    results: Results = Path("results"),
    pictures: Annotated[Path, typer.Argument(help="Folder that `render` wrote.")] = SUBGROUPS,
    detector: Detector = None,
    model: ModelOption = WEIGHTS_FOLDER,
) -> None:
    """Measure how often the answer changes when only the person does."""
    from train.measure.subgroups import measure_subgroups

    check_folder(results)
    report = measure_subgroups(results, pictures, detector, model)
    found, pictured = report["n_found"], report["n_pictures"]
    _echo(f"faces found {found} of {pictured}, accuracy {report['accuracy']} %")
    _echo(f"same answer for two people {report['consistency']} % of the time")
    for name, row in report["by_attribute"].items():
        _echo(f"answer changed with {name} alone {row['changed']} % of {row['pairs']} pairs")


@app.command()
def card(results: Results = Path("results")) -> None:
    """Write model_card.md and the figures of README.md and of docs/ from results/."""
    from train.publish.card import write_cards

    for file in ("model_card.md", "README.md", "docs/accuracy.md", "docs/trials.md"):
        check_file(file)
    write_cards(results)


@app.command()
def table(results: Results = Path("results")) -> None:
    """Write docs/family.md, and the list of models for the page, from RESULTS."""
    from train.publish.family import write_table

    check_folder(results)
    check_file("docs/family.md")
    write_table(results)


@app.command()
def publish(
    repo: Annotated[
        str | None,
        typer.Option(help="Model repository of the Hub, user/name. [none, with --static]"),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Space whose server runs the model, user/name. [none]")
    ] = None,
    static: Annotated[
        str | None,
        typer.Option(
            help="Space without a server, which has visitors' browsers run the model and is free, "
            "user/name. [none]"
        ),
    ] = None,
    static_out: Annotated[
        Path | None,
        typer.Option(
            help="New folder for the page of --static, for any other host: nothing is asked of "
            "the Hub or sent. Goes with --weights alone. [none]"
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set of the Hub that the model was trained on, user/name. [none]"),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            help="That the Space runs on, by the Hub's name: zero-a10g is free for two Spaces of "
            "an account. [what it has; for a new one cpu-basic]"
        ),
    ] = None,
    weights: Annotated[
        Path, typer.Option(help="Folder with fer.json, model.tflite and model.keras.")
    ] = WEIGHTS_FOLDER,
    results: Results = Path("results"),
    card: Annotated[
        Path | None,
        typer.Option(
            help="Model card, which must name the sha256 of model.tflite. [model_card.md, or one "
            "from the figures where that is about other weights]"
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make new ones private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="End with the plan.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="New folder for copies of what is published.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Publish weights in every format with their card, and the page as Spaces, a commit each."""
    from train.publish.hub import Publication, write_page
    from train.publish.hub import publish as send

    for folder in (out, static_out):
        if folder is not None:
            check_folder(folder, room_bytes=_MODEL_BYTES)

    def ask(question: str) -> bool:
        try:
            return yes or typer.confirm(question)
        except typer.Abort:
            raise InputError("somebody must answer, or --yes be given; nothing was sent") from None

    wanted = Publication(
        repo_id=repo,
        space_id=space,
        static_id=static,
        dataset_id=dataset,
        hardware=hardware,
        weights=weights,
        results=results,
        card=card,
        private=private,
    )
    if static_out is not None:
        write_page(wanted, static_out, dry_run=dry_run, out=out)
        _echo(f"wrote {static_out}, for any host")
        return
    send(
        wanted,
        dry_run=dry_run,
        out=out,
        confirm=ask,
        show=_echo,
        progress=lambda text: _echo(text, err=True),
    )


def main() -> None:
    """Run the command line; an expected error is a message and exit status 1.

    The exit statuses are those of `python -m fer`.
    """
    make_printable()
    if not sys.stderr.isatty():  # read when `datasets` is imported
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    set_up_log()
    logging.getLogger("datasets").setLevel(logging.ERROR)
    try:
        with logging_redirect_tqdm():  # a warning never stands in the middle of a bar
            app()
    except (FerError, OSError) as error:  # a disk that is full, a file that may not be read
        _echo(f"error: {error}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
