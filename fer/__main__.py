"""Command line: apparent facial expressions of pictures, videos, folders and a camera.

Exit status: 0 all done, 1 it could not be done or nothing could be read, 2 an argument or option is
missing or unknown, 3 done, but some of the input could not be read, 130 interrupted.
"""

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from fer.annotate import annotate
from fer.errors import (
    SOME_FAILED,
    FerError,
    InputError,
    VideoError,
    describe_failure,
    exit_status,
)
from fer.fonts import legend
from fer.hub import DETECTORS
from fer.image import measure_image, read_picture
from fer.media.reader import probe_video
from fer.output import ROOM_BYTES, check_apart, check_file
from fer.pipeline import Pipeline
from fer.resting import Baseline
from fer.search import MIN_FACE_PX
from fer.serialize import to_dict, to_rows
from fer.table import BOM, FORMS, TableWriter, face_schema
from fer.text import counted, json_line, make_printable, one_line, set_up_log
from fer.types import FrameResult
from fer.votes import count_votes

if TYPE_CHECKING:
    from fer.batch import FolderProgress, FolderReport
    from fer.video import Progress, VideoReport

# Rich would take the defaults in brackets for markup.
app = typer.Typer(
    name="python -m fer",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=__doc__,
)

STDIO = "-"
_STDIN = "standard input"  # what messages call it
_INTERRUPTED = 130

Model = Annotated[
    str | None,
    typer.Option(help="Hub repository, or folder that training wrote. [bundled weights]"),
]
Revision = Annotated[str | None, typer.Option(help="Commit, branch or tag of the repository.")]
Detector = Annotated[
    str | None, typer.Option(help=f"auto, {', '.join(DETECTORS)}. [env: FER_DETECTOR, or auto]")
]
MinFace = Annotated[
    float | None,
    typer.Option(
        "--min-face",
        help="Smallest faces to search for, in pixels; larger is quicker, smaller finds more. "
        f"[{MIN_FACE_PX:g}; more in pictures above 9 megapixels]",
    ),
]
Decision = Annotated[
    str | None,
    typer.Option(
        help="How common the classes are taken to be: balanced (equally), or dataset (as in the "
        "training data). [the one that fer.json names]"
    ),
]
Json = Annotated[str | None, typer.Option("--json", help="File for JSON; - is standard output.")]
Csv = Annotated[
    str | None,
    typer.Option(
        "--csv", help="File for CSV, UTF-8 with a mark for Excel; - is standard output, without."
    ),
]
Parquet = Annotated[
    str | None, typer.Option("--parquet", help="File for Parquet; - is standard output.")
]


def _say(text: str) -> None:
    """Write a line to standard error."""
    typer.echo(one_line(text), err=True)


def _print(text: str) -> None:
    """Write a line to standard output, and not into a progress bar."""
    tqdm.write(one_line(text), file=sys.stdout)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends what is inside with a sentence and a status of its own."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        _say(str(stopped) or "interrupted")
        raise typer.Exit(_INTERRUPTED) from None


def _warn(text: str) -> None:
    _say(f"warning: {text}")


def _say_legend(pipeline: Pipeline) -> None:
    if said := legend(pipeline.classifier.config.class_names):
        _warn(said)


def _outputs(sources: list[str], **paths: str | None) -> dict[str, str]:
    """Return the requested outputs, by their form.

    Raises:
        InputError: one would overwrite another or a source, has the ending of another form, or
            cannot be written.
    """
    wanted = {form: path for form, path in paths.items() if path is not None}
    if list(wanted.values()).count(STDIO) > 1:
        raise InputError(f"one output may be {STDIO}. Received: {', '.join(wanted.values())}")
    check_apart(
        [name for name in sources if name != STDIO],
        [path for path in wanted.values() if path != STDIO],
    )
    for form, path in wanted.items():
        if path != STDIO and form != "annotated":
            _check_ending(form, path)
            check_file(path, stream=form == "json")
    return wanted


def _check_ending(form: str, path: str) -> None:
    """Check that the ending of an output is that of its form; JSON may have any but a table's.

    Raises:
        InputError: it is another one.
    """
    suffix = Path(path).suffix.lower()
    if form == "json" and suffix in (".csv", ".parquet"):
        raise InputError(f"--json must name no table, but a .json file. Received: {path}")
    if form in FORMS and suffix != f".{form}":
        raise InputError(f"--{form} must name a .{form} file. Received: {path}")


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing, or standard output."""
    if path == STDIO:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = Path(path).open("wb")  # noqa: SIM115 -- what is done with it fails by other names
    except OSError as error:
        raise InputError(
            f"an output must be a file that can be written. Received: {path}: {error.strerror}"
        ) from error
    with file:
        yield file


def _describe(name: str, result: FrameResult) -> Iterator[str]:
    """Yield the lines that a person reads about one picture."""
    if not len(result.faces):
        yield f"{name}: no face"
    for row in to_rows(result):
        box = ", ".join(f"{row[key]:.0f}" for key in ("x0", "y0", "x1", "y1"))
        doubt = ", uncertain" if row["uncertain"] else ""
        share = 100 * row[f"p_{row['label']}"]
        yield f"{name}: face {row['face']}: {row['label']} {share:.0f} %{doubt} (box {box})"
        if result.faces.votes is not None:
            yield f"  of ten people: {_describe_votes(result, row['face'])}"


def _describe_votes(result: FrameResult, number: int) -> str:
    """Return how many of ten people would name each class for a face, the most first."""
    assert result.faces.votes is not None
    counts = zip(count_votes(result.faces.votes[number - 1]), result.vote_names, strict=True)
    return ", ".join(f"{n} {name}" for n, name in sorted(counts, reverse=True) if n)


def _bar(total: float | None, unit: str) -> "tqdm[Any]":
    """Return a progress bar on standard error, where that is a terminal."""
    return tqdm(total=total, unit=unit, disable=None, file=sys.stderr)


def _annotated_paths(target: str, names: list[str]) -> list[Path]:
    """Where the copies with boxes go: to `target`, or into it where that is a folder.

    Raises:
        InputError: there is no such folder for several, two would have one name, or one cannot be
            written.
    """
    from PIL import Image

    place = Path(target)
    if not place.is_dir():
        if len(names) > 1:
            raise InputError(
                f"--annotated must be a folder for several pictures. Received: none at {target}"
            )
        if Image.registered_extensions().get(place.suffix.lower()) not in Image.SAVE:
            raise InputError(
                f"--annotated must name a picture file, such as .png or .jpg. Received: {target}"
            )
        check_file(place)
        return [place]
    # The whole name, so that a copy never takes the place of a picture.
    made = [f"{'stdin' if name == STDIO else Path(name).name}.faces.png" for name in names]
    if twice := sorted({name for name in made if made.count(name) > 1}):
        raise InputError(f"pictures must have different names for --annotated. Received: {twice}")
    paths = [place / name for name in made]
    for path in paths:
        check_file(path)
    return paths


def _save(path: Path, picture: Any) -> None:
    from PIL import Image

    try:
        Image.fromarray(picture).save(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--annotated must name a picture file that can be written. Received: {path}: {error}"
        ) from error


@app.command()
def image(
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURES", help="Picture files; - is standard input.")
    ],
    as_json: Json = None,
    csv: Csv = None,
    parquet: Parquet = None,
    annotated: Annotated[
        str | None,
        typer.Option(help="File for a copy with boxes, or folder for those of several."),
    ] = None,
    model: Model = None,
    revision: Revision = None,
    detector: Detector = None,
    min_face: MinFace = None,
    decision: Decision = None,
    votes: Annotated[
        bool,
        typer.Option(
            "--votes",
            help="Also estimate what ten people would say, in the text and --json, not in tables. "
            "Needs a model with that head.",
        ),
    ] = False,
) -> None:
    """Find the faces of PICTURES.

    JSON is one line a picture, tables have one row a face.
    """
    outputs = _outputs(pictures, json=as_json, csv=csv, parquet=parquet, annotated=annotated)
    copies = _annotated_paths(outputs.pop("annotated"), pictures) if annotated else []
    files = [name for name in pictures if name != STDIO]
    check_apart(files, [*copies, *(path for path in outputs.values() if path != STDIO)])
    pipeline = Pipeline.load(
        model,
        revision,
        detector,
        votes=votes,
        decision=decision,
        min_face_px=min_face,
        on_fallback=_warn,
    )
    if copies:
        _say_legend(pipeline)
    n_failed = n_cut = 0
    with _interruptible(), ExitStack() as stack:
        results = _Results(outputs, pipeline.classifier.config.class_names, stack)
        bar = stack.enter_context(_bar(len(pictures), "picture"))
        for i, name in enumerate(pictures):
            source: str | IO[bytes] = sys.stdin.buffer if name == STDIO else name
            bar.update()
            try:
                picture = read_picture(source, name=None if name == STDIO else name)
                result = pipeline(picture.frame)
            except Exception as error:  # whatever it is, the other pictures are done
                n_failed += 1
                _say(f"error: {describe_failure(error, name)}{_hint('image', name)}")
                results.add_error(name, describe_failure(error, name))
                continue
            n_cut += not picture.whole
            for note in picture.notes:
                _warn(f"{name}: {note}")
            results.add(name, result, picture.notes)
            if copies:
                _save(copies[i], annotate(picture.frame, result))
            if not results.on_stdout:
                for line in _describe(name, result):
                    _print(line)
    status = exit_status(n_failed, len(pictures)) or (SOME_FAILED if n_cut else 0)
    raise typer.Exit(status)


def _hint(command: str, name: str) -> str:
    """Return a sentence on the command that reads what this one refused; "" if there is none."""
    path = Path(name)
    if path.is_dir():
        return ". `python -m fer folder` reads folders of pictures"
    if name == STDIO:
        return ""
    try:
        if command == "image":
            probe_video(path)
            return ". `python -m fer video` reads videos"
        measure_image(path)
        return ". `python -m fer image` reads pictures"
    except FerError:
        return ""


class _Results:
    """The JSON lines and the tables of `image`, as far as they are requested.

    Args:
        outputs: the path of each form, "json" or one of `fer.table.FORMS`.
        class_names: those of the model.
        stack: closes the files.

    Attributes:
        on_stdout: whether one of them goes to standard output, which then is for it alone.
    """

    def __init__(
        self, outputs: dict[str, str], class_names: tuple[str, ...], stack: ExitStack
    ) -> None:
        self.on_stdout = STDIO in outputs.values()
        schema = face_schema(class_names, {"file": "string"})
        self._lines: IO[bytes] | None = None
        self._tables = []
        for form, path in outputs.items():
            if form == "json":
                self._lines = stack.enter_context(_open(path))
                continue
            target = sys.stdout.buffer if path == STDIO else path
            self._tables.append(stack.enter_context(TableWriter(target, schema, form)))

    def add(self, name: str, result: FrameResult, notes: Sequence[str]) -> None:
        """Add a picture: one line of JSON, one row of a table per face."""
        if self._lines:
            more = {"notes": list(notes)} if notes else {}
            self._lines.write(json_line({"file": name} | to_dict(result) | more))
        for table in self._tables:
            table.write([{"file": name} | row for row in to_rows(result)] or [{"file": name}])

    def add_error(self, name: str, message: str) -> None:
        """Add a file that could not be read, of which tables say nothing."""
        if self._lines:
            self._lines.write(json_line({"file": name, "error": message}))


@contextmanager
def _video_file(name: str) -> Iterator[Path]:
    """Provide the video as a seekable file; standard input is stored in one meanwhile."""
    if name != STDIO:
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="fer-") as folder:
        path = Path(folder) / _STDIN
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


@app.command()
def video(
    source: Annotated[str, typer.Argument(help="Video file; - is standard input.")],
    as_json: Json = None,
    csv: Csv = None,
    parquet: Parquet = None,
    annotated: Annotated[
        str | None, typer.Option(help="MP4 file for a copy with boxes and the original sound.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Frames to look at a second. [every one, up to 30]")
    ] = None,
    resting_face: Annotated[
        str | None,
        typer.Option(
            "--resting-face",
            help="Picture of one person's face at rest, with which that person is compared.",
        ),
    ] = None,
    resting_person: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of that person, as the output counts them; 1 is the first to be seen.",
        ),
    ] = 1,
    model: Model = None,
    revision: Revision = None,
    detector: Detector = None,
    min_face: MinFace = None,
    decision: Decision = None,
) -> None:
    """Follow the faces of a video.

    JSON is the summary, tables have one row a face a frame.
    """
    from fer.video import analyse_video

    sources = [source] if resting_face is None else [source, resting_face]
    outputs = _outputs(sources, json=as_json, csv=csv, parquet=parquet, annotated=annotated)
    _check_video_copy(source, outputs.get("annotated"))
    json_path, copy = outputs.pop("json", None), outputs.pop("annotated", None)
    pipeline = Pipeline.load(
        model, revision, detector, decision=decision, min_face_px=min_face, on_fallback=_warn
    )
    baseline = None
    if resting_face is not None:
        baseline = _read_resting_face(pipeline, resting_face, resting_person)
    if copy is not None:
        _say_legend(pipeline)
    with _interruptible(), ExitStack() as stack:
        path = stack.enter_context(_video_file(source))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fer-")))
        # A table on standard output waits until the video is done.
        tables = {
            form: folder / f"rows.{form}" if name == STDIO else Path(name)
            for form, name in outputs.items()
        }
        bar = stack.enter_context(_bar(None, "frame"))

        def show(progress: "Progress") -> None:
            bar.total = progress.n_frames_total
            bar.update(progress.n_frames - bar.n)

        try:
            report = analyse_video(
                pipeline,
                path,
                rate=rate,
                output=copy,
                tables=tuple(tables.values()),
                on_progress=show,
                baseline=baseline,
            )
        except VideoError as error:
            raise VideoError(f"{error}{_hint('video', source)}") from error
        bar.close()
        for form, name in outputs.items():
            if name == STDIO:
                _copy_to_stdout(tables[form])
        if json_path:
            with _open(json_path) as file:
                file.write(json_line(report.to_dict()))
    if STDIO not in (json_path, *outputs.values()):
        for line in _describe_video(report):
            _print(line)
    for note in report.notes:
        _warn(note)
    if report.ended_early or report.n_damaged:
        raise typer.Exit(SOME_FAILED)


def _read_resting_face(pipeline: Pipeline, name: str, person: int) -> Baseline:
    """Read the picture of a person's resting face.

    Raises:
        ImageError: it is no picture.
        InputError: it shows no face, or several.
        ConfigError: the model has nothing to compare it with.
    """
    picture = read_picture(name)
    for note in picture.notes:
        _warn(f"{name}: {note}")
    result = pipeline(picture.frame)
    if len(result.faces) != 1:
        raise InputError(
            f"--resting-face must name a picture with one face. Received: {len(result.faces)} "
            f"in {name}"
        )
    baseline = Baseline.of(result, person)
    pipeline.check_baseline(baseline)
    return baseline


def _check_video_copy(source: str, copy: str | None) -> None:
    """Check the name and the free space of the copy with boxes that `video` will write.

    Raises:
        InputError: it is no .mp4, or cannot be written.
    """
    if copy is not None:
        if Path(copy).suffix.lower() != ".mp4":
            raise InputError(f"--annotated must name an .mp4 file. Received: {copy}")
        # The copy is about as large as the video.
        n_bytes = Path(source).stat().st_size if Path(source).is_file() else 0
        check_file(copy, room_bytes=max(ROOM_BYTES, n_bytes))


def _copy_to_stdout(table: Path) -> None:
    """Write a table to standard output, without the mark by which Excel knows UTF-8."""
    with table.open("rb") as rows:
        if rows.read(len(BOM)) != BOM:
            rows.seek(0)
        shutil.copyfileobj(rows, sys.stdout.buffer)


def _describe_video(report: "VideoReport") -> Iterator[str]:
    """Yield the lines that a person reads about a video."""
    faces = "" if report.n_with_face else ", no face"
    frames = counted(report.n_frames, "frames")
    yield f"{report.seconds:.1f} s, {report.n_looked_at} of {frames} looked at{faces}"
    for person in sorted(report.persons, key=lambda person: person.track_id):
        shares = sorted(person.shares.items(), key=lambda item: -item[1])
        said = [f"{name} {100 * share:.0f} %" for name, share in shares if share >= 0.005]
        yield (
            f"person {person.track_id}: in view for {person.seconds:.1f} s "
            f"({person.first_s:.1f} to {person.last_s:.1f}), uncertain "
            f"{100 * person.uncertain_share:.0f} % of the time"
            + (f", otherwise {', '.join(said)}" if said else "")
            + (", compared with the resting face" if person.track_id == report.compared_id else "")
        )
    if report.n_passing:
        yield f"passing by: {report.n_passing}"


@app.command()
def folder(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder of pictures, or a data set: hf://datasets/USER/NAME."
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT",
            help="Table to write: .parquet, .csv, .jsonl, or hf://datasets/USER/NAME.",
        ),
    ],
    engine: Annotated[
        str, typer.Option(help="local (all cores) or ray (many machines).")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster. [a cluster on this machine]")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. [one a core]")] = None,
    split: Annotated[
        str | None, typer.Option(help="Of a data set; needed where it has several.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget an earlier run instead of going on with it.")
    ] = False,
    model: Model = None,
    revision: Revision = None,
    detector: Detector = None,
    min_face: MinFace = None,
) -> None:
    """Find the faces of all pictures in SOURCE.

    On all cores; the table has one row a face. After an interruption the same command goes
    on where it stopped. What cannot be read stands in a second table beside OUTPUT.
    """
    from fer.batch import analyse_folder

    with _interruptible(), _bar(None, "picture") as bar:

        def show(progress: "FolderProgress") -> None:
            bar.total = progress.n_total
            bar.set_postfix(faces=progress.n_faces, errors=progress.n_errors, refresh=False)
            bar.update(progress.n_done - bar.n)

        report = analyse_folder(
            source,
            output,
            repo_id=model,
            revision=revision,
            detector=detector,
            min_face_px=min_face,
            engine=engine,
            address=address,
            n_workers=workers,
            split=split,
            fresh=fresh,
            on_progress=show,
        )
    for line in _describe_folder(report):
        _print(line)
    raise typer.Exit(exit_status(report.n_errors, report.n_files))


def _describe_folder(report: "FolderReport") -> Iterator[str]:
    """Yield the lines that a person reads about a folder."""
    yield (
        f"{report.output}: {counted(report.n_files, 'pictures')}, "
        f"{counted(report.n_faces, 'faces')}, "
        f"{counted(report.n_without_face, 'pictures')} without one; {report.seconds:.1f} s"
        + (f", {report.n_done_before} of them done before" if report.n_done_before else "")
    )
    if report.n_noted:
        yield f"{counted(report.n_noted, 'pictures')} with a note, in the column note"
    if report.passed_over:
        kinds = (f"{n} {kind}" for kind, n in sorted(report.passed_over.items()))
        yield f"passed over, no pictures by their ending: {', '.join(kinds)}"
    if report.n_errors:
        yield f"{report.errors}: {report.n_errors} that could not be read"


@app.command()
def camera(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [env: GRADIO_SERVER_NAME]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="[env: GRADIO_SERVER_PORT, or 7860]")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    model: Model = None,
    revision: Revision = None,
    detector: Detector = None,
) -> None:
    """Serve the page that watches a camera.

    On this machine only by default.
    """
    from fer.settings import Settings
    from fer.web.server.start import prepare, start_pipeline

    settings = Settings.from_env()
    if model is not None:  # FER_MODEL_REVISION is of FER_MODEL_REPO
        settings = replace(settings, model=model, revision=None)
    settings = replace(
        settings,
        revision=revision or settings.revision,
        detector=detector or settings.detector,
    )
    prepare(settings)  # before Gradio is imported
    from fer.web.page import build_page
    from fer.web.server.serve import launch

    options = {} if browser else {"inbrowser": False}
    page = build_page(*start_pipeline(settings), settings)
    launch(page, server_name=host, server_port=port, **options)


_PACKAGES = (
    *("ai-edge-litert", "av", "gradio", "numpy", "opencv-python-headless", "pi-heif", "pillow"),
    "pyarrow",
)


@app.command()
def info(
    as_json: Json = None,
    model: Model = None,
    revision: Revision = None,
    detector: Detector = None,
    decision: Decision = None,
) -> None:
    """Say what runs here."""
    _outputs([], json=as_json)
    pipeline = Pipeline.load(model, revision, detector, decision=decision, on_fallback=_warn)
    config = pipeline.classifier.config
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    facts = {
        "model": model or "bundled weights",
        "recipe": config.recipe,
        "class_names": list(config.class_names),
        **({"vote_names": list(config.vote_names)} if config.vote_names else {}),
        "decision": config.decision,
        "temperatures": {
            name: each.temperature for name, each in config.head("labels").decisions.items()
        },
        "uncertain_below": config.uncertain_below,
        "dataset": config.dataset,
        "files": dict(config.files),
        "detector": pipeline.detector.title,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "versions": versions,
    }
    if as_json:
        with _open(as_json) as file:
            file.write(json_line(facts))
    if as_json == STDIO:
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {item or 'missing'}" for name, item in value.items())
        _print(f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")


def main() -> None:
    """Run the command line; an expected error is one line and exit status 1."""
    make_printable()
    set_up_log()
    try:
        app(prog_name="python -m fer")
    except (FerError, OSError) as error:  # a disk that is full, a file that may not be read
        _say(f"error: {error}")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
