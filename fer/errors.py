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
    "ConfigError",
    "DetectorError",
    "FerError",
    "HubError",
    "ImageError",
    "InputError",
    "VideoError",
]


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
