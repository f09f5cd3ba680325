"""Text on its way out of the program: printable in every encoding, whatever a name holds.

A file name that is no UTF-8 reaches Python with half a surrogate pair for each odd byte, which no
encoding writes; a terminal or pipe may know few letters (cp1252). Both are written as an escape.
"""

import codecs
import json
import re
import sys
from typing import Any

__all__ = ["HANDLER", "json_line", "make_printable", "printable"]

# The name of the error handler, for whatever takes one (`open`, `DataFrame.to_csv` ...).
HANDLER = "fer.escape"
_SURROGATE = re.compile("[\ud800-\udfff]")


def _escape(letter: str) -> str:
    code = ord(letter)
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


def json_line(value: Any) -> bytes:
    """Return `value` as a line of JSON in UTF-8, where names may be no UTF-8."""
    # Escaped after the quoting, as quoted text: a reader gets back what `printable` says.
    text = json.dumps(value, ensure_ascii=False) + "\n"
    return _SURROGATE.sub(lambda found: "\\" + _escape(found[0]), text).encode()


def make_printable() -> None:
    """Let standard output and standard error write any text; what they cannot show is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)
