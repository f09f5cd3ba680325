"""Text on its way out of the program: printable in every encoding, whatever a name holds.

A file name that is no UTF-8 reaches Python with half a surrogate pair for each odd byte, which no
encoding writes; a terminal or pipe may know few letters (cp1252). Both are written as an escape. So
are, where people read, the characters of a name that a terminal obeys: an escape sequence deletes
what stands there, a line break makes a second line, a mark of direction turns a name around.
"""

import codecs
import json
import logging
import re
import sys
from typing import Any

__all__ = [
    "HANDLER",
    "LineFormatter",
    "cell",
    "counted",
    "json_line",
    "lines",
    "make_printable",
    "one_line",
    "printable",
    "set_up_log",
]

# The name of the error handler, for whatever takes one (`open`, `DataFrame.to_csv` ...).
HANDLER = "fer.escape"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Control characters but those that JSON always escapes, the ends of lines and paragraphs, and marks
# of the direction of writing, which make the name of a program look like that of a picture.
_MARKS = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
_IN_JSON = re.compile(f"[{_MARKS}]")
_CONTROL = re.compile(rf"[\x00-\x1f{_MARKS}\ud800-\udfff]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# Spreadsheets take a cell that begins so for a formula, which can run programs.
# Source: OWASP, "CSV Injection".
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _escape(letter: str) -> str:
    code = ord(letter)
    if code < 0xA0:
        return _SHORT.get(letter, f"\\x{code:02x}")
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_error(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


codecs.register_error(HANDLER, _escape_error)


def printable(text: str) -> str:
    r"""Return `text` that UTF-8 can hold: a byte that is none as `\xNN`.

    >>> print(printable("caf\udce9.jpg"))
    caf\xe9.jpg
    """
    return _SURROGATE.sub(lambda found: _escape(found[0]), text)


def one_line(text: str) -> str:
    r"""Return `text` as one line that a terminal shows as it is: control characters are escaped.

    >>> print(one_line("\x1b[31mred\n.jpg"))
    \x1b[31mred\n.jpg
    """
    return _CONTROL.sub(lambda found: _escape(found[0]), text)


def lines(text: str) -> str:
    """Return `text` with the control characters escaped that are not ends of its lines."""
    return "\n".join(map(one_line, text.split("\n")))


def cell(text: str, *, is_path: bool = False) -> str:
    """Return `text` for a cell of CSV: one line, and no formula to a spreadsheet.

    A relative path gets "./", which names the same file; other text an apostrophe, which
    spreadsheets take for the mark of text. A sign alone is no formula.

    >>> cell("=a.jpg", is_path=True), cell("+1"), cell("a=b"), cell("-")
    ('./=a.jpg', "'+1", 'a=b', '-')
    """
    text = one_line(text)
    if len(text) < 2 or not text.startswith(_FORMULA):
        return text
    return f"./{text}" if is_path else f"'{text}"


def counted(n: int, things: str) -> str:
    """Return a number with what it counts, in the singular where it is 1.

    Args:
        n: how many.
        things: in the plural; the first word that ends in s is the noun.

    >>> counted(2, "hidden files"), counted(1, "hidden files"), counted(1, "files that are none")
    ('2 hidden files', '1 hidden file', '1 file that is none')
    """
    if n == 1:
        things = re.sub(r"(\w)s\b", r"\1", things, count=1)
        things = things.replace("that are ", "that is ").replace(" above them", " above it")
    return f"{n} {things}"


def json_line(value: Any) -> bytes:
    """Return `value` as a line of JSON in UTF-8, where names may be no UTF-8.

    Control characters are escapes of JSON, so that a reader gets them back.
    """
    # Escaped after the quoting, as quoted text: a reader gets back what `printable` says.
    text = json.dumps(value, ensure_ascii=False) + "\n"
    text = _SURROGATE.sub(lambda found: "\\" + _escape(found[0]), text)
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def make_printable() -> None:
    """Let standard output and standard error write any text; what they cannot show is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


class LineFormatter(logging.Formatter):
    """Lines of a log whose messages are one line each, see `one_line`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record, without its traceback."""
        return one_line(super().formatMessage(record))


def set_up_log() -> None:
    """Write warnings of all modules to standard error, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
