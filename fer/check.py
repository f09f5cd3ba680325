"""Checks of what a caller gives: what it must be, or an InputError that says so and what came."""

import errno
import math
import numbers
import os
import stat
from pathlib import Path

from fer.errors import InputError

__all__ = [
    "check_callable",
    "check_names",
    "check_number",
    "check_path",
    "check_type",
    "describe_place",
]


def check_type(name: str, value: object, *kinds: type | None) -> None:
    """Raise unless `value` is of one of these types; None stands for itself.

    Raises:
        InputError: it is of another. A bool is an int only where it is named.

    >>> check_type("votes", True, bool)
    """
    types = tuple(type(None) if kind is None else kind for kind in kinds)
    if isinstance(value, types) and (not isinstance(value, bool) or bool in types):
        return
    expected = " or ".join("None" if kind is None else kind.__name__ for kind in kinds)
    raise InputError(f"`{name}` must be {expected}. Received: {_describe(value)}")


def check_number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` as a float if it is a finite number in [low, high], numpy's among them.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer of more than 308 digits
            number = math.inf
        if math.isfinite(number) and low <= number <= high:
            return number
    bounds = [f"at least {low:g}"] * (low > -math.inf) + [f"at most {high:g}"] * (high < math.inf)
    expected = " ".join(["a finite number", " and ".join(bounds)]).strip()
    raise InputError(f"`{name}` must be {expected}. Received: {_describe(value)}")


def check_path(name: str, value: object) -> Path:
    """Return `value` as a path if it is a str or a path.

    Raises:
        InputError: it is of another type.
    """
    if isinstance(value, str | os.PathLike):
        try:
            return Path(value)
        except TypeError:  # a path of bytes
            pass
    raise InputError(f"`{name}` must be a path. Received: {_describe(value)}")


def check_names(name: str, value: object) -> tuple[str, ...]:
    """Return `value` as a tuple if it is a tuple or list of str.

    Raises:
        InputError: it is of another type, or has other items.
    """
    if isinstance(value, tuple | list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise InputError(f"`{name}` must be a tuple of names. Received: {_describe(value)}")


def check_callable(name: str, value: object, expected: str) -> None:
    """Raise unless `value` can be called; `expected` says with what, and what it gives.

    Raises:
        InputError: it cannot.
    """
    if not callable(value):
        raise InputError(f"`{name}` must be {expected}. Received: {_describe(value)}")


def describe_place(path: Path) -> str | None:
    """Return what is at a path, for people; None where it is a regular file.

    Nothing is opened: a pipe without a writer would wait for one.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else f"none at {path}"
    except ValueError:
        return "a name with a null character"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a symbolic link that leads back to itself"
        return (error.strerror or type(error).__name__).lower()
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return f"a folder, {path}"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _describe(value: object) -> str:
    """Name the type, and the value where it is short."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, numbers.Integral) and abs(int(value)) < 10**9:
        return repr(value)
    if isinstance(value, str) and len(value) <= 40:
        return repr(value)
    return kind
