"""The log of the page: lines for a person, or JSON for a machine, and nothing of a visitor."""

import json
import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from fer.text import LineFormatter

__all__ = ["FIELDS", "JsonFormatter", "only_the_log", "set_up_logging"]

# The name of the argument `extra` of a call of the log that holds what stands in the line.
FIELDS = "fields"
_TEXT = "%(levelname)s %(name)s: %(message)s"
_FRAME = re.compile(r'\s+File "(?P<file>.+)", line (?P<line>\d+), in (?P<name>.+)')
_N_FRAMES = 8
_SELDOM_S = 60.0
# Gradio calls the task of an event by session, function and event.
_GRADIO_TASK = "<gradio-sep>"
_TASK_NAME = re.compile(r"name='[^']*'")
# Between the traces of an error and of its cause.
_BETWEEN = ("The above exception was the", "During handling of the above exception")

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def _where(file: str, line: int | str | None, name: str) -> str:
    """Return a place in the code, without the folders of this machine."""
    parts = file.replace("\\", "/").split("/")
    return f"{'/'.join(parts[-2:])}:{line} {name}"


def _describe(exc_info: _ExcInfo) -> dict[str, Any] | None:
    """Return types and places of an error and its causes; messages may name a visitor's file."""
    _, error, trace = exc_info
    if error is None:
        return None
    frames = traceback.extract_tb(trace)[-_N_FRAMES:]
    about: dict[str, Any] = {
        "type": type(error).__name__,
        "where": [_where(frame.filename, frame.lineno, frame.name) for frame in frames],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        about["cause"] = type(cause).__name__
    return about


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (UTC), `level`, `logger`, `message`, then what it holds.

    Of an error stand its `type` and `where` it came from, not its message.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, FIELDS, {})
        if record.exc_info and (error := _describe(record.exc_info)):
            line["error"] = error
        return json.dumps(line, default=str)


class _TextFormatter(LineFormatter):
    """Lines for a person at this machine; errors with their trace.

    What a line holds stands in it where its message is no more than the name of an event.
    """

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        fields = getattr(record, FIELDS, {})
        if fields.get("event") != record.getMessage():
            return text
        rest = {key: value for key, value in fields.items() if key != "event"}
        return f"{text} {json.dumps(rest, default=str)}"


class _Stray:
    """Stands in for `sys.stderr`: what does not come through the log becomes lines of it.

    Gradio prints the traces of errors, whose messages may name a visitor's file, so of a trace
    the type of the error and its last place are kept, of other text its length.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = ""
        self._place: str | None = None
        self._in_trace = False
        self._log = logging.getLogger("stderr")

    def write(self, text: str) -> int:
        """Log the whole lines in a text."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        if line.startswith("Traceback (most recent call last)"):
            self._in_trace, self._place = True, None
        elif self._in_trace and line[:1].isspace():
            if found := _FRAME.match(line):
                self._place = _where(found["file"], found["line"], found["name"])
        elif self._in_trace:
            self._in_trace = False
            name = line.partition(":")[0].rpartition(".")[2]
            error = {"type": name if name.isidentifier() else "?", "where": [self._place]}
            self._log.error("an error was printed", extra={FIELDS: {"error": error}})
        elif line.strip() and not line.startswith(_BETWEEN):
            about = {"n_characters": len(line)}
            self._log.warning("text was printed", extra={FIELDS: about})

    def flush(self) -> None:
        """Do nothing: only an incomplete line is buffered."""

    def isatty(self) -> bool:
        """Return False."""
        return False

    def fileno(self) -> int:
        """Return that of the stream behind it, for what writes past Python."""
        return self._stream.fileno()


def _without_sessions(record: logging.LogRecord) -> bool:
    """Take the names of tasks out of a record of asyncio's, which Gradio names by visitors."""
    if _GRADIO_TASK in (text := record.getMessage()):
        record.msg, record.args = _TASK_NAME.sub("name=?", text), ()
    return True


class _Seldom:
    """Let each warning through once a minute, so that bad requests cannot fill the log."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record."""
        if record.levelno != logging.WARNING:
            return True
        now = time.monotonic()
        if now - self._said_at.get(str(record.msg), -math.inf) < _SELDOM_S:
            return False
        self._said_at[str(record.msg)] = now
        return True


def _is_of_mcp(record: logging.LogRecord) -> bool:
    return "mcp" in Path(record.pathname).parts


def set_up_logging(form: str = "text") -> None:
    """Send the log to standard error.

    Args:
        form: "json" for one JSON object per line, "text" for lines for a person.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else _TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").addFilter(_without_sessions)
    logging.getLogger("uvicorn.error").addFilter(_Seldom())
    # They quote what an assistant sends; the SDK warns through the root logger, too.
    logging.getLogger("mcp").setLevel(logging.ERROR)
    handler.addFilter(lambda record: not (record.name == "root" and _is_of_mcp(record)))
    # The clients of Gradio and of the Hub name each address that they ask.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def only_the_log() -> Iterator[None]:
    """Send what others write to standard error through the log while visitors are served.

    Where it is JSON; errors before the first visitor may say all that they have to say.
    """
    handlers = logging.getLogger().handlers
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in handlers):
        yield
        return
    logging.captureWarnings(True)
    # The server has handlers of its own.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    before = sys.stderr
    sys.stderr = _Stray(before)
    try:
        yield
    finally:
        sys.stderr = before
        logging.captureWarnings(False)
