"""What is finished, on disk: parts that appear whole or not at all, merged at the end."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fer.batch.work import Outcome
from fer.errors import InputError
from fer.table import TableWriter

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Counts", "Parts"]

# A kill costs at most the work of this many files or seconds.
_PART_FILES = 512
_PART_S = 3.0
_MANIFEST = "manifest.json"
_LOCK = "lock"


@dataclass(slots=True)
class Counts:
    """What the two tables have: `n_files` is the sum of those with and without faces and errors."""

    n_files: int = 0
    n_faces: int = 0
    n_without_face: int = 0
    n_errors: int = 0
    n_noted: int = 0


class Parts:
    """Outcomes on their way to the two tables, in a folder of their own.

    A part is one Parquet file with the rows of whole files, faces and errors together: it is
    written under another name, brought to the disk and then renamed, so each file is in one
    part or in none, whatever happens when. A lock that dies with its process keeps others out.

    Args:
        folder: where; made if need be.
        manifest: what the parts are made from and with.
        faces: the columns of the table of faces.
        errors: the columns of the table of errors; both have `file`.

    Raises:
        InputError: another process has it.
    """

    def __init__(
        self, folder: Path, manifest: Mapping[str, Any], faces: "pa.Schema", errors: "pa.Schema"
    ) -> None:
        import pyarrow as pa

        self._folder = folder
        self._manifest = dict(manifest)
        self._faces, self._errors = faces, errors
        self._schema = pa.unify_schemas([faces, errors])
        self._rows: Outcome = []
        self._n_files = 0
        self._last = time.monotonic()
        self.done: set[str] = set()
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} must be a place to write to. Received: {error}") from error
        self._lock = FileLock(folder / _LOCK, blocking=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise InputError(f"another process is writing to {folder}") from None

    @property
    def begun(self) -> bool:
        """Whether an earlier run left parts that can be resumed."""
        return (self._folder / _MANIFEST).exists()

    def begin(self) -> None:
        """Start from nothing."""
        self._clear()
        text = json.dumps(self._manifest, indent=2)
        self._put(_MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))
        self._next = 0

    def resume(self) -> None:
        """Resume: `done` names the files that need no work.

        Raises:
            InputError: they were begun with something else.
        """
        import pyarrow.parquet as pq

        found = json.loads((self._folder / _MANIFEST).read_text(encoding="utf-8"))
        other = sorted(k for k in found | self._manifest if found.get(k) != self._manifest.get(k))
        if other:
            began = {key: found.get(key) for key in other}
            now = {key: self._manifest.get(key) for key in other}
            raise InputError(
                f"{self._folder} was begun with other settings, {began}. Received: {now}. "
                "Go on with those, or begin anew (fresh)"
            )
        parts = self._parts()
        for part in parts:
            with part.open("rb") as file:
                self.done.update(pq.read_table(file, columns=["file"])["file"].to_pylist())
        self._next = int(parts[-1].stem) + 1 if parts else 0

    def add(self, outcome: Outcome) -> None:
        """Keep the rows of one file; now and then they become a part."""
        self._rows += outcome
        self._n_files += 1
        if self._n_files >= _PART_FILES or time.monotonic() - self._last >= _PART_S:
            self.flush()

    def flush(self) -> None:
        """Write the outcomes in memory as a part."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=self._schema)

            def write(path: Path) -> None:
                with path.open("wb") as file:  # Arrow opens no name that is not UTF-8
                    pq.write_table(table, file)

            self._put(f"{self._next:08}.parquet", write)
            self._next += 1
        self._rows, self._n_files, self._last = [], 0, time.monotonic()

    def merge(self, faces: Path, errors: Path) -> Counts:
        """Write both tables, part by part; each gets its name when it is whole."""
        counts = Counts()
        with (
            TableWriter(faces, self._faces) as face_rows,
            TableWriter(errors, self._errors) as error_rows,
        ):
            for rows in self._outcomes():
                for row in rows:
                    failed = row["error"] is not None
                    first = row["face"] in (None, 1)
                    counts.n_files += first
                    counts.n_errors += failed
                    counts.n_noted += first and row["note"] is not None
                    counts.n_without_face += not failed and row["face"] is None
                    counts.n_faces += row["face"] is not None
                    schema, writer = (
                        (self._errors, error_rows) if failed else (self._faces, face_rows)
                    )
                    writer.write([{name: row[name] for name in schema.names}])
        for path in (faces, errors):
            _sync(path)
        _sync(faces.parent)
        return counts

    def _outcomes(self) -> Iterator[Outcome]:
        import pyarrow.parquet as pq

        for part in self._parts():
            with part.open("rb") as file:
                rows = pq.read_table(file).to_pylist()
            yield rows

    def remove(self) -> None:
        """Remove the folder, the manifest first: without one a folder cannot be resumed."""
        self._clear()
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def _clear(self) -> None:
        (self._folder / _MANIFEST).unlink(missing_ok=True)
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.parquet"))

    def _put(self, name: str, write: Any) -> None:
        partial = self._folder / f".{name}.partial"
        write(partial)
        _sync(partial)
        partial.replace(self._folder / name)
        _sync(self._folder)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
