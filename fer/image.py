"""Picture files and bytes -> frames. A picture is measured before it is decoded."""

import contextlib
import io
import mmap
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fer.errors import ImageError

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MAX_SCANS",
    "MAX_SIDE_PX",
    "image_to_frame",
    "measure_image",
    "picture_suffixes",
    "read_image",
]

# Phones make up to 50 megapixels; 64 of them are 192 MB once decoded.
MAX_PIXELS = 64_000_000
# OpenCV warps no picture with a longer side.
MAX_SIDE_PX = 32_000
# What cameras, phones and the web use. Pillow knows more, some through outside programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")

# Each scan of a JPEG passes over the whole picture. libjpeg writes progressive files of 10 scans,
# encoders that search for the smallest file about 20; a hostile file has hundreds of thousands.
MAX_SCANS = 100

_SCAN = b"\xff\xda"
# A marker: 0xFF, repeated at will, and its code. 0xFF00 is a stuffed byte of the data of a scan;
# 0xFF01 and 0xFFD0 to 0xFFD8 have no length. Source: ITU-T T.81, B.1.1.
_MARKER = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd8])")
_END = 0xD9
_FIRST_KNOWN = 0xC0
_MULTI_SCAN_FORMATS = ("JPEG", "MPO")

_BLOCK_ROWS = 256
_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


@cache
def picture_suffixes() -> tuple[str, ...]:
    """The endings, in lower case and with their dot, by which files of `FORMATS` are known."""
    Image.init()
    kinds = Image.registered_extensions().items()
    return tuple(suffix for suffix, kind in kinds if kind in FORMATS)


def read_image(
    source: Path | str | bytes,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    max_scans: int = MAX_SCANS,
) -> NDArray[np.uint8]:
    """Read a picture as a frame.

    The first picture of an animation; turned as EXIF says; transparent parts on white;
    16-bit and floating-point pictures scaled to 8 bits; gray, palette and CMYK as RGB.

    Args:
        source: a path, or the bytes of a file.
        max_pixels: width times height allowed; checked before decoding.
        formats: Pillow's names of the file formats to accept.
        max_scans: scans allowed in a JPEG; checked before decoding.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: missing, no picture, broken or cut off, too large, or of too many scans.
    """
    with _open(source, max_pixels, formats, max_scans) as image:
        image.seek(0)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image_to_frame(image)


def measure_image(
    source: Path | str | bytes,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    max_scans: int = MAX_SCANS,
) -> tuple[int, int]:
    """Return width and height of a picture in pixels, by its header; nothing is decoded.

    Args:
        source: as for `read_image`.
        max_pixels: as for `read_image`.
        formats: as for `read_image`.
        max_scans: as for `read_image`.

    Raises:
        ImageError: as far as the header tells, as `read_image`.
    """
    with _open(source, max_pixels, formats, max_scans) as image:
        return image.size


@contextlib.contextmanager
def _open(
    source: Path | str | bytes, max_pixels: int, formats: tuple[str, ...], max_scans: int
) -> Iterator[Image.Image]:
    """Open a picture and check its limits; errors of the decoder become an `ImageError`."""
    name = "the picture" if isinstance(source, bytes) else Path(source).name
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=formats) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"{name} must have at most {max_pixels / 1e6:.3g} megapixels. "
                    f"Received: {width} x {height} ({width * height / 1e6:.3g} megapixels)"
                )
            if max(width, height) > MAX_SIDE_PX:
                raise ImageError(
                    f"{name} must have sides of at most {MAX_SIDE_PX} pixels. "
                    f"Received: {width} x {height}"
                )
            if image.format in _MULTI_SCAN_FORMATS and _has_more_scans(source, max_scans):
                raise ImageError(f"{name} must have at most {max_scans} scans. Received: more")
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} must be a picture (JPEG, PNG, WebP, GIF, BMP, TIFF ...). "
            "Received: a file that is none"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large to decode: {error}") from error
    except MemoryError:
        raise
    except IsADirectoryError as error:
        raise ImageError(f"{name} must be a file. Received: a folder, {source!s}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{name} must be a file. Received: none at {source!s}") from error
    # On damaged files Pillow's decoders raise whatever comes up: struct.error, KeyError ...
    except Exception as error:
        raise ImageError(f"{name} cannot be read, it may be cut off: {error}") from error


def _has_more_scans(source: Path | str | bytes, limit: int) -> bool:
    """Whether a JPEG has more than `limit` scans."""
    if isinstance(source, bytes):
        return _count_scans(source, limit) > limit
    with (
        Path(source).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return _count_scans(content, limit) > limit


def _count_scans(content: bytes | mmap.mmap, limit: int) -> int:
    """Return the number of scans of a JPEG, or `limit` + 1 where there are more.

    Only markers count: segments, such as a thumbnail in EXIF, are skipped by their length, and
    the data of a scan has no 0xFFDA. Damaged files are followed as libjpeg follows them; markers
    that it either stops at or steps over, depending on the place, count as too many.
    """
    # Mostly there are few such bytes anywhere, which is known at once.
    at, n_bytes = -1, 0
    while n_bytes <= limit and (at := content.find(_SCAN, at + 1)) >= 0:
        n_bytes += 1
    if n_bytes <= limit:
        return n_bytes
    at, n_scans = 0, 0
    while n_scans <= limit and (marker := _MARKER.search(content, at)):
        code, at = marker[1][0], marker.end()
        if code == _END:
            break
        n_scans += code == _SCAN[1]
        if code < _FIRST_KNOWN:
            return limit + 1
        at += max(2, int.from_bytes(content[at : at + 2], "big"))
    return n_scans


def image_to_frame(image: Image.Image) -> NDArray[np.uint8]:
    """A decoded Pillow image of any mode as a frame (H, W, 3) uint8 RGB."""
    if image.mode in _WIDE_MODES:
        return np.repeat(_to_8_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return np.array(white)
    # Pillow would copy what is RGB already.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Gray values (H, W) of more than 8 bits in 0..255, a block of rows at a time.

    Integers above 255 span 16 bits; floating-point values up to 1 span 0..1.
    """
    floating = np.issubdtype(values.dtype, np.floating)
    peak = float(np.fmax.reduce(values, axis=None))  # NaN is passed over
    top = (1.0 if peak <= 1 else 255.0) if floating else (255.0 if peak <= 255 else 65535.0)
    gray = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _BLOCK_ROWS):
        block = np.nan_to_num(values[start : start + _BLOCK_ROWS].astype(np.float32))
        gray[start : start + _BLOCK_ROWS] = np.clip(block * (255 / top), 0, 255)
    return gray
