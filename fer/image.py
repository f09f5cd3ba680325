"""Picture files and bytes -> frames. A picture is measured before it is decoded."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fer.errors import ImageError

__all__ = ["MAX_PIXELS", "read_image"]

# Phones make up to 50 megapixels; 64 of them are 192 MB once decoded.
MAX_PIXELS = 64_000_000

_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def read_image(
    source: Path | str | bytes,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] | None = None,
) -> NDArray[np.uint8]:
    """Read any picture that Pillow knows as a frame.

    The first picture of an animation; turned as EXIF says; transparent parts on white;
    16-bit and floating-point pictures scaled to 8 bits; gray, palette and CMYK as RGB.

    Args:
        source: a path, or the bytes of a file.
        max_pixels: width times height allowed; checked before decoding.
        formats: Pillow names of the file formats to accept; all when None.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: missing, no picture, broken or cut off, or too large.
    """
    name = "the picture" if isinstance(source, bytes) else Path(source).name
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=formats) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"{name} must have at most {max_pixels / 1e6:.0f} megapixels. "
                    f"Received: {width} x {height} ({width * height / 1e6:.0f} megapixels)"
                )
            image.seek(0)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} must be a picture (JPEG, PNG, WebP, GIF, BMP, TIFF ...). "
            "Received: a file that is none"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large to decode: {error}") from error
    # Pillow's decoders raise all of these on damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError) as error:
        raise ImageError(f"{name} cannot be read, it may be cut off: {error}") from error


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in _WIDE_MODES:
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        top = 255.0 if image.mode == "F" or values.max(initial=0) <= 255 else 65535.0
        if image.mode == "F" and values.max(initial=0) <= 1:
            top = 1.0
        gray = np.clip(values * (255 / top), 0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))
