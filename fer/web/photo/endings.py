"""Say how names of pictures end."""

from fer.image import picture_suffixes

__all__ = ["page_endings"]

# PPM: see `fer.web.server.jobs.PAGE_FORMATS`.
_UNTAKEN = (".pbm", ".pgm", ".ppm", ".pnm", ".pfm")


def page_endings() -> list[str]:
    """Return the endings of names of pictures that the page takes, with their dots."""
    return [ending for ending in picture_suffixes() if ending not in _UNTAKEN]
