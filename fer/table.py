"""Rows to CSV, Parquet and JSON lines, streamed, so that memory stays flat."""

import codecs
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fer.errors import InputError
from fer.output import AtomicFile, check_file
from fer.text import cell, json_line, printable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BOM", "FORMS", "TableWriter", "face_schema", "form_of"]

# Without it Excel takes a CSV file for one of the system's old encoding; pandas skips it.
BOM = codecs.BOM_UTF8
FORMS = ("csv", "parquet", "jsonl")
_SUFFIXES = {f".{form}": form for form in FORMS}
_BUFFERED_ROWS = 4096


def face_schema(
    class_names: Sequence[str], before: Mapping[str, str] | None = None, raw: bool = False
) -> "pa.Schema":
    """Return the columns of a table with one row a face.

    `face` (its number in the picture, from 1, best detected first), `track_id`, `label`,
    `uncertain`, `score`, the box `x0`, `y0`, `x1`, `y1` in pixels of the picture, and a
    probability `p_<class>` for each class. A picture without a face is a row in which all of
    these are null.

    Args:
        class_names: the k classes.
        before: names and Arrow types ("string", "double", "int64" ...) of the columns that
            stand before those, such as the file.
        raw: whether `raw_<class>` follow: the probabilities before a face was compared with its
            resting face.
    """
    import pyarrow as pa

    columns = dict(before or {}) | {
        "face": "int32",
        "track_id": "int64",
        "label": "string",
        "uncertain": "bool",
        "score": "float",
        **dict.fromkeys(("x0", "y0", "x1", "y1"), "float"),
        **{f"p_{name}": "float" for name in class_names},
        **{f"raw_{name}": "float" for name in class_names if raw},
    }
    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])


def form_of(path: Path) -> str:
    """Return the form that the suffix of `path` names, one of `FORMS`.

    Raises:
        InputError: it names none.

    >>> form_of(Path("faces.parquet"))
    'parquet'
    """
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise InputError(
            f"a table must end in {', '.join(_SUFFIXES)}. Received: {path.name}"
        ) from None


class TableWriter(AtomicFile):
    """Writes rows to a file; a context manager. A path gets its file when all is written.

    Text that UTF-8 cannot hold is written as `fer.text.printable` says, text in CSV as
    `fer.text.cell` says. CSV starts with a byte order mark where it goes to a path.

    Args:
        target: a path, or a binary file that stays open.
        schema: the columns; a row may lack some, which are null then.
        form: one of `FORMS`; by the suffix of the path when None.

    Raises:
        InputError: no such form, or a place where no file can be made.
    """

    def __init__(
        self, target: Path | str | IO[bytes], schema: "pa.Schema", form: str | None = None
    ) -> None:
        self._path = Path(target) if isinstance(target, str | Path) else None
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []
        self.n_rows = 0
        if form is None:
            if self._path is None:
                raise InputError(f"`form` must be one of {FORMS}. Received: None")
            form = form_of(self._path)
        if form not in FORMS:
            raise InputError(f"`form` must be one of {FORMS}. Received: {form!r}")
        self._form = form
        self._sink: IO[bytes]
        if isinstance(target, str | Path):
            check_file(target)
            try:
                self._sink = self._partial().open("wb")
                if form == "csv":
                    self._sink.write(BOM)
            except OSError as error:
                raise InputError(
                    "a table must stand where a file can be made. "
                    f"Received: {target}: {error.strerror}"
                ) from error
        else:
            self._sink = target
        self._writer: Any = None
        try:
            self._writer = _open_writer(form, self._sink, schema)
        except BaseException:
            self.discard()
            raise

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows; keys that the schema lacks are an error."""
        for row in rows:
            if unknown := set(row) - set(self._schema.names):
                raise InputError(f"a row must have known columns only. Received: {sorted(unknown)}")
            self._rows.append(
                {
                    key: self._text(key, value) if isinstance(value, str) else value
                    for key, value in row.items()
                }
            )
            self.n_rows += 1
        if len(self._rows) >= _BUFFERED_ROWS:
            self._flush()

    def _text(self, key: str, value: str) -> str:
        return cell(value, is_path=key == "file") if self._form == "csv" else printable(value)

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """See `AtomicFile`."""
        self._flush()
        self._writer.close()
        if self._path is not None:
            self._sink.close()
            self._put()

    def discard(self) -> None:
        """See `AtomicFile`."""
        with contextlib.suppress(Exception):  # whatever failed may fail again
            self._writer.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._sink.close()
            self._partial().unlink(missing_ok=True)


class _JsonLines:
    """The writer that pyarrow lacks."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink

    def write_table(self, table: Any) -> None:
        for row in table.to_pylist():
            short = {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in row.items()
            }
            self._sink.write(json_line(short))

    def close(self) -> None:
        self._sink.flush()


def _open_writer(form: str, sink: IO[bytes], schema: "pa.Schema") -> Any:
    if form == "csv":
        import pyarrow.csv

        return pyarrow.csv.CSVWriter(
            sink, schema, write_options=pyarrow.csv.WriteOptions(quoting_style="needed")
        )
    if form == "parquet":
        import pyarrow.parquet

        return pyarrow.parquet.ParquetWriter(sink, schema)
    return _JsonLines(sink)
