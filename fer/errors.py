"""The errors that this package raises.

    FerError
    ├── InputError (also ValueError)   what the caller gave cannot be used
    │   ├── ImageError                 a file is no picture, or one too large
    │   └── VideoError                 a file is no video, or one too large or too long
    ├── ConfigError (also ValueError)  fer.json is not what this version reads
    ├── HubError (also OSError)        a requested file is unavailable
    └── DetectorError (also RuntimeError)  a face detector cannot be built

A message says what was expected and what came.
"""

__all__ = [
    "SOME_FAILED",
    "ConfigError",
    "DetectorError",
    "FerError",
    "HubError",
    "ImageError",
    "InputError",
    "VideoError",
    "describe_failure",
    "exit_status",
]

# The exit status of a command that could read only some of its inputs, or one only in part.
SOME_FAILED = 3


class FerError(Exception):
    """Base of every error raised on purpose by this package."""


class InputError(FerError, ValueError):
    """An argument has the wrong type, shape, range or value."""


class ImageError(InputError):
    """A file or byte string is no readable picture, or is too large to decode."""


class VideoError(InputError):
    """A file is no readable video, has no picture in it, or is too large or too long."""


class ConfigError(FerError, ValueError):
    """A model configuration has unknown keys or impossible values."""


class HubError(FerError, OSError):
    """A requested file is unavailable, or is not the pinned one."""


class DetectorError(FerError, RuntimeError):
    """A face detector is not available in this environment."""


def describe_failure(error: Exception, name: str) -> str:
    """Return a sentence on why `name` could not be analysed.

    Args:
        error: a `FerError`, which says so itself, or what a library raised.
        name: of the picture.
    """
    if isinstance(error, FerError):
        return str(error)
    return f"{name} cannot be analysed: {type(error).__name__}: {error}"


def exit_status(n_failed: int, n_inputs: int) -> int:
    """Return the exit status of a command that has looked at all its inputs.

    >>> exit_status(0, 3), exit_status(1, 3), exit_status(3, 3)
    (0, 3, 1)
    """
    if not n_failed:
        return 0
    return 1 if n_failed >= n_inputs else SOME_FAILED
