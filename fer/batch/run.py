"""Folders and data sets of any size -> one table of faces and one of what could not be read.

Finished work is stored in parts next to the output (`fer.batch.parts`), so a run that was killed
can be resumed. Pictures are read in processes of their own
(`fer.batch.work`), so one that crashes a decoder costs only itself. Ray Data takes the same
work to many machines (`fer.batch.rays`).
"""

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer.batch.data import DataSet, HubTable, looks_like_repository
from fer.batch.parts import Counts, Parts
from fer.batch.rays import run_on_ray
from fer.batch.sources import Folder, Item, Source
from fer.batch.work import TIMEOUT_S, Outcome, PipelineMaker, PipelineSpec, ReaderPool
from fer.errors import FerError, InputError
from fer.media.files import VIDEO_SUFFIXES
from fer.output import check_file
from fer.pipeline import Pipeline
from fer.table import face_schema, form_of

__all__ = ["FolderJob", "FolderProgress", "FolderReport", "analyse_folder"]

ENGINES = ("local", "ray")
_COLUMNS = {
    "file": "string",
    "width": "int32",
    "height": "int32",
    "n_faces": "int32",
    "note": "string",
}
_ERROR_COLUMNS = {"file": "string", "error": "string", "message": "string"}
_VERSION = 2


@dataclass(frozen=True, slots=True)
class FolderProgress:
    """How far a run has come.

    Attributes:
        n_done: files finished, those of earlier runs among them.
        n_total: files in all; None if unknown.
        n_faces: faces found in this run.
        n_errors: files of this run that could not be read.
        per_s: files a second in this run.
        seconds_left: at that rate; None where `n_total` is.
    """

    n_done: int
    n_total: int | None
    n_faces: int
    n_errors: int
    per_s: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class FolderReport:
    """What came of `analyse_folder`.

    Attributes:
        output: the table of faces: a path, or a repository of the Hub.
        errors: the table of files that could not be read.
        n_files: files in the two tables, each in one of them.
        n_faces: rows with a face.
        n_without_face: files without one.
        n_errors: files that could not be read.
        n_noted: files with a note.
        passed_over: how many files were no picture, by their ending.
        n_done_before: files that an earlier run had finished.
        seconds: that this run took.
    """

    output: str
    errors: str
    n_files: int
    n_faces: int
    n_without_face: int
    n_errors: int
    n_noted: int
    passed_over: dict[str, int]
    n_done_before: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderJob:
    """What `analyse_folder` does: pictures, the pipeline that sees them, and the processes.

    Attributes:
        source: folder or data set, see `analyse_folder`.
        output: the table, see `analyse_folder`.
        split: of a data set; needed if it has several.
        make_pipeline: makes the pipeline, in every process; can be pickled.
        min_face_px: the smallest faces that it searches for, of which a resumed run must have the
            same.
        engine: "local", or "ray".
        address: of a Ray cluster; a local one is started when None.
        n_workers: processes that read pictures; one per core when None.
        timeout_s: seconds that one file may take.
        fresh: discard what an earlier run has done and replace `output`.

    Raises:
        InputError: no such engine, or fewer than one process.
    """

    source: str
    output: str
    split: str | None = None
    make_pipeline: Callable[[], Pipeline]
    min_face_px: float | None = None
    engine: str = "local"
    address: str | None = None
    n_workers: int | None = None
    timeout_s: float = TIMEOUT_S
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError(f"`engine` must be one of {ENGINES}. Received: {self.engine!r}")
        if self.n_workers is not None and self.n_workers < 1:
            raise InputError(f"`n_workers` must be at least 1. Received: {self.n_workers}")

    def run(self, on_progress: Callable[[FolderProgress], None] | None = None) -> FolderReport:
        """Do the job, or what is left of it; see `analyse_folder`."""
        start = time.perf_counter()
        target = _Target(self.output, self.source)
        pictures = _open_source(self.source, self.split)
        n_total = pictures.count()
        if n_total == 0:
            raise InputError(
                f"{self.source} must have pictures in it. Received: none{_what_else(pictures)}"
            )
        spec, class_names = PipelineSpec.of(self.make_pipeline)
        parts = self._open_parts(target, pictures.name, spec, class_names)
        with _explained(target), closing(parts):
            self._begin(parts, target)
            n_before = len(parts.done)
            todo = (item for item in pictures.items() if item.name not in parts.done)
            with closing(self._outcomes(todo, spec)) as outcomes:
                _gather(outcomes, parts, n_before, n_total, on_progress)
            counts = target.write(parts)
            parts.remove()
        return FolderReport(
            output=target.output,
            errors=target.errors,
            n_files=counts.n_files,
            n_faces=counts.n_faces,
            n_without_face=counts.n_without_face,
            n_errors=counts.n_errors,
            n_noted=counts.n_noted,
            passed_over=dict(pictures.passed_over),
            n_done_before=n_before,
            seconds=time.perf_counter() - start,
        )

    def _open_parts(
        self, target: "_Target", source: str, spec: PipelineSpec, class_names: tuple[str, ...]
    ) -> Parts:
        import pyarrow as pa

        manifest = {
            "version": _VERSION,
            "source": source,
            "model": spec.model,
            "detector": spec.detector,
            **({} if self.min_face_px is None else {"min_face_px": self.min_face_px}),
        }
        errors = {name: pa.type_for_alias(kind) for name, kind in _ERROR_COLUMNS.items()}
        return Parts(target.parts, manifest, face_schema(class_names, _COLUMNS), pa.schema(errors))

    def _begin(self, parts: Parts, target: "_Target") -> None:
        if parts.begun and not self.fresh:
            parts.resume()
        elif not self.fresh and target.exists():
            parts.remove()
            raise InputError(
                f"{target.output} exists. Name another, or begin anew (--fresh, fresh=True)"
            )
        else:
            parts.begin()

    def _outcomes(
        self, items: Iterable[Item], spec: PipelineSpec
    ) -> Generator[Outcome, None, None]:
        if self.engine == "ray":
            yield from run_on_ray(iter(items), spec, self.n_workers, self.timeout_s, self.address)
            return
        with ReaderPool(spec, self.n_workers or os.cpu_count() or 1, self.timeout_s) as readers:
            yield from readers.run(items)


@contextmanager
def _explained(target: "_Target") -> Iterator[None]:
    """Say of an interruption and of a full disk that what is done is kept."""
    kept = "What is done is kept; the same command goes on from there"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped. {kept}") from None
    except FerError:
        raise
    except OSError as error:
        raise FerError(f"{target.output} cannot be written: {error}. {kept}") from error


def analyse_folder(
    source: Path | str,
    output: Path | str,
    *,
    repo_id: str | None = None,
    revision: str | None = None,
    detector: str | None = None,
    min_face_px: float | None = None,
    make_pipeline: Callable[[], Pipeline] | None = None,
    on_progress: Callable[[FolderProgress], None] | None = None,
    **options: Any,
) -> FolderReport:
    r"""Analyse every picture of a folder or of a data set, in all cores or on many machines.

    One table has a row a face: `file` (its path inside `source`, with "/"; bytes that are no
    UTF-8 escaped as in "\\udcff"), `width`, `height`, `n_faces`, `note` (what
    `fer.image.read_picture` notes, else null), then the columns of `fer.table.face_schema`. A
    picture without a face is one row in which those are null. The other table, `errors` between
    name and suffix (`out.errors.parquet`), has `file`, `error` and `message` for each file that
    could not be read, or that crashed or stopped the process that read it. Every file is in one
    of the two. The order of the rows is that in which files were finished.

    Both are written when all is done. Until then finished work is in the folder
    `<output>.parts`; after a crash, a kill or Ctrl-C the same call resumes.

    With the local engine, a script that calls this must do so under
    `if __name__ == "__main__":`, as everything that starts processes must.

    Args:
        source: a folder, searched with all folders inside it for the usual endings of
            pictures (`fer.image.is_picture_file`), also of those that cannot be read; what is
            hidden is left out. Or a data set:
            "hf://datasets/USER/NAME", with "@REVISION" if wanted, or "USER/NAME" where there
            is no such folder, or a folder that `datasets.load_dataset` reads, with `split`.
            A picture that a data set keeps in a table is called SPLIT/ROW.
        output: the table, .parquet, .csv or .jsonl; or "hf://datasets/USER/NAME" (the token
            is the one of the environment), which gets the split "faces" and, when a file
            could not be read, the configuration "errors". Its parts lie in
            `./USER--NAME.parts`.
        repo_id: the weights, as `fer.hub.load_classifier` takes them.
        revision: of `repo_id`.
        detector: as `fer.hub.load_detector` takes it.
        min_face_px: the smallest faces to search for, as `fer.hub.load_detector` takes it.
        make_pipeline: makes another pipeline instead of these four arguments; a function that
            can be pickled.
        on_progress: called after each file.
        options: `split`, `engine`, `address`, `n_workers`, `timeout_s` and `fresh` of `FolderJob`.
            With "ray" all machines must see a folder `source` at the same path.

    Raises:
        InputError: no such source, no picture in it, a place where no table can be written,
            `output` exists, is being written by another process, or was begun with another
            source, model or detector; or a package is missing.
        HubError: weights or data set are unavailable, or the result cannot be pushed.
        FerError: the processes do not start, or the disk is full.
        KeyboardInterrupt: Ctrl-C, with a message that says how to resume.
    """
    job = FolderJob(
        source=str(source),
        output=str(output),
        make_pipeline=make_pipeline or PipelineMaker(repo_id, revision, detector, min_face_px),
        min_face_px=min_face_px,
        **options,
    )
    return job.run(on_progress)


def _open_source(source: str, split: str | None) -> Source:
    folder = Path(source)
    if split is not None or (not folder.exists() and looks_like_repository(source)):
        return DataSet(source, split)
    return Folder(folder)


def _what_else(pictures: Source) -> str:
    """Return what a source without pictures has instead, and what reads that."""
    if not isinstance(pictures, Folder):
        return " (of a data set, name the `split`)"
    kinds = pictures.passed_over
    if not kinds:
        return ", and no other files"
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    said = f"; passed over, no pictures by their ending: {counts}"
    if kinds.keys() & set(VIDEO_SUFFIXES):
        said += ". `python -m fer video` reads videos, one at a time"
    return said


class _Target:
    """Where the tables go: two files, or a repository of the Hub."""

    def __init__(self, output: str, source: Path | str) -> None:
        self.output = output
        self._hub = HubTable(output) if output.startswith("hf://") else None
        if self._hub is not None:
            self.errors = f"{output} (errors)"
            self.parts = Path(self._hub.repo_id.replace("/", "--") + ".parts").absolute()
            return
        self._faces = Path(output)
        form_of(self._faces)
        self._errors = self._faces.with_suffix(".errors" + self._faces.suffix)
        self.errors = str(self._errors)
        self.parts = self._faces.with_name(self._faces.name + ".parts")
        check_file(self._faces)
        check_file(self._errors)
        if Path(source).is_dir() and self._faces.resolve().is_relative_to(Path(source).resolve()):
            raise InputError(f"the output must stand outside of {source}. Received: {output}")

    def exists(self) -> bool:
        return self._faces.exists() if self._hub is None else self._hub.exists()

    def write(self, parts: Parts) -> Counts:
        if self._hub is None:
            return parts.merge(self._faces, self._errors)
        folder = self.parts / "tables"
        folder.mkdir(exist_ok=True)
        faces, errors = folder / "faces.parquet", folder / "errors.parquet"
        counts = parts.merge(faces, errors)
        self._hub.push(faces, errors if counts.n_errors else None)
        return counts


def _gather(
    outcomes: Iterable[Outcome],
    parts: Parts,
    n_before: int,
    n_total: int | None,
    on_progress: Callable[[FolderProgress], None] | None,
) -> None:
    """Add outcomes to `parts` as they come; store those that came if something fails."""
    start = time.perf_counter()
    n_new = n_faces = n_errors = 0
    try:
        for outcome in outcomes:
            parts.add(outcome)
            n_new += 1
            n_faces += outcome[0].get("n_faces", 0)
            n_errors += "error" in outcome[0]
            if on_progress is not None:
                per_s = n_new / (time.perf_counter() - start)
                n_done = n_before + n_new
                left = None if n_total is None else max(0, n_total - n_done) / per_s
                on_progress(FolderProgress(n_done, n_total, n_faces, n_errors, per_s, left))
    finally:
        parts.flush()
