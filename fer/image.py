"""Picture files, bytes and objects -> frames. A picture is measured before it is decoded.

HEIF is read by pi-heif: libheif and libde265 (LGPL), 4 MB, which knows the tiles and turns that
phones write. The decoder in PyAV gives the first tile alone, and pillow-heif adds 23 MB of an
encoder under the GPL. JPEG XL is named and not read: its module for Pillow decodes a picture before
its size is known, and is under the GPL.
"""

import contextlib
import io
import logging
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pi_heif
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile, jpeg_factory
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from fer.check import check_names, check_number, check_type, describe_place
from fer.errors import ImageError, InputError
from fer.formats import RAW, is_picture, name_format
from fer.jpeg import close_jpeg, has_more_scans
from fer.types import check_frame

__all__ = [
    "FORMATS",
    "MAX_FILE_PIXELS",
    "MAX_PIXELS",
    "MAX_SCANS",
    "MAX_SIDE_PX",
    "Picture",
    "PictureSource",
    "image_to_frame",
    "is_picture_file",
    "measure_image",
    "name_excess",
    "picture_suffixes",
    "read_image",
    "read_picture",
]

log = logging.getLogger(__name__)

# Most phones make up to 50 megapixels; 64 of them are 192 MB once decoded.
MAX_PIXELS = 64_000_000
# Others make 108 or 200. JPEG and JPEG 2000 can be decoded at a half, a quarter or an eighth.
MAX_FILE_PIXELS = 256_000_000
# OpenCV warps no picture with a longer side.
MAX_SIDE_PX = 32_000
# What cameras, phones and the web use. Pillow knows more, some through outside programs.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "MPO"),
    "PPM",
)
# OpenJPEG takes half a second of one core a megapixel.
_MAX_JPEG_2000_PIXELS = 12_000_000

# Each scan of a JPEG passes over the whole picture. libjpeg writes progressive files of 10 scans,
# encoders that search for the smallest file about 20; a hostile file has hundreds of thousands.
MAX_SCANS = 100

_JPEG_FORMATS = ("JPEG", "MPO")
_JPEG_2000_STARTS = (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a")
_TIFF_STARTS = (b"II*\x00", b"MM\x00*")
_HEAD_BYTES = 512
# Pipes that the shell has opened for this process, as in `image <(curl ...)`.
_HELD_PIPES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
# What the decoders say of a file that breaks off.
_CUT = ("truncated", "end of file", "eof", "insufficient", "data outside of file", "but only got")
# What a cut file of these has is what its decoder has filled in so far.
_FILLED_IN_ORDER = ("PNG", "BMP", "PPM", "TIFF")

_ORIENTATION = 0x0112
# Tags of a TIFF: what an image is of the file's (1: a smaller copy), and the version of DNG.
_SUBFILE_TYPE, _DNG_VERSION, _BITS_PER_SAMPLE, _WIDTH, _LENGTH = 254, 50706, 258, 256, 257
# The kind of a TIFF's values, 1 where the tag is missing.
_SAMPLE_FORMAT, _UNSIGNED = 339, 1

_BLOCK_ROWS = 256
_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
# How many bits, and what they cannot hold. Whole numbers of more are scaled by their range.
_DEPTHS = tuple((bits, float(2**bits)) for bits in (8, 10, 12, 14, 16))
# Where all but a few values have so many bits fewer than the highest, that is a hot pixel.
_HOT_BITS = 4
# Values above this many times white are no HDR light, but in units of 8 bits.
_MAX_LIGHT = 16.0
_WHITE_PERCENTILE = 99.9
_N_SAMPLED = 1_000_000

PictureSource = (
    Path | str | bytes | bytearray | memoryview | IO[bytes] | Image.Image | NDArray[np.uint8]
)
"""What `read_image` reads: a file, its bytes, an open file, or a picture that is decoded."""

pi_heif.register_heif_opener()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was read.

    Attributes:
        frame: (H, W, 3) uint8 RGB.
        notes: what a person should know of it, a sentence each.
        whole: False where the file breaks off.
    """

    frame: NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    whole: bool = True


@cache
def picture_suffixes() -> tuple[str, ...]:
    """Return the suffixes of files of `FORMATS`, in lower case and with their dot."""
    Image.init()
    kinds = Image.registered_extensions().items()
    return tuple(suffix for suffix, kind in kinds if kind in FORMATS)


def is_picture_file(path: Path | str) -> bool:
    """Whether a file is a picture by its name, or by its beginning where that has no ending.

    Also one of a format that is not read, such as JPEG XL: reading it says so.
    """
    return is_picture(path, picture_suffixes())


def read_image(
    source: PictureSource,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    max_scans: int = MAX_SCANS,
) -> NDArray[np.uint8]:
    """Read a picture as a frame; what `read_picture` notes is logged as a warning.

    Args:
        source: a path, the bytes of a file, a file that is open for reading bytes, a Pillow image,
            or a frame (H, W, 3) uint8 RGB, which is given back.
        max_pixels: see `read_picture`.
        formats: see `read_picture`.
        max_scans: see `read_picture`.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: see `read_picture`.
        InputError: `source` is of another type, or an array that is no frame.
    """
    picture = read_picture(source, max_pixels, formats, max_scans)
    for note in picture.notes:
        log.warning("%s: %s", _name_of(source), note)
    return picture.frame


def read_picture(
    source: PictureSource,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    max_scans: int = MAX_SCANS,
    strict: bool = False,
    name: str | None = None,
) -> Picture:
    """Read a picture, and say what is not as it seems.

    Of several pictures the first; turned as EXIF or HEIF say; transparent parts on white; values of
    more than 8 bits scaled to 8 bits by the range that they use; gray, palette and CMYK as RGB. Of
    a file that breaks off what is there, where its decoder gives that. JPEG and JPEG 2000 of up to
    `MAX_FILE_PIXELS` are decoded smaller where they have too many pixels.

    Args:
        source: see `read_image`.
        max_pixels: width times height allowed; checked before decoding.
        formats: Pillow's names of the file formats to accept.
        max_scans: scans allowed in a JPEG; checked before decoding.
        strict: refuse what breaks off or is too large.
        name: what errors call the picture; the file's name without its folder when None.

    Raises:
        ImageError: missing, no picture, broken, too large, or of too many scans.
        InputError: an argument is of another type, or an array that is no frame.
    """
    check_number("max_pixels", max_pixels, 1)
    check_names("formats", formats)
    check_number("max_scans", max_scans, 1)
    check_type("name", name, str, None)
    if isinstance(source, np.ndarray):
        return Picture(check_frame(source))
    name = name or _name_of(source)
    if isinstance(source, Image.Image):
        with _explained(name):
            source.load()
            return Picture(*_upright(source))
    source = _file_or_bytes(source, name)
    try:
        with _open(source, name, max_pixels, formats, max_scans, strict) as image:
            return _decode(image, max_pixels, strict, name, source)
    except _CutJpegError:
        content = close_jpeg(_read_bytes(source))
        with _open(content, name, max_pixels, formats, max_scans, strict) as image:
            return _note_cut(_decode(image, max_pixels, True, name, content), name)


def measure_image(
    source: Path | str | bytes,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    max_scans: int = MAX_SCANS,
) -> tuple[int, int]:
    """Return width and height of a picture in its file, by its header; nothing is decoded.

    Args:
        source: a path, or the bytes of a file.
        max_pixels: as for `read_picture`.
        formats: as for `read_picture`.
        max_scans: as for `read_picture`.

    Raises:
        ImageError: as far as the header tells, as `read_picture`.
    """
    name = _name_of(source)
    with _open(_file_or_bytes(source, name), name, max_pixels, formats, max_scans, False) as image:
        return image.size


class _CutJpegError(Exception):
    """A JPEG breaks off."""


def _name_of(source: object) -> str:
    named = source if isinstance(source, str | Path) else getattr(source, "name", None)
    if named == "<stdin>":
        return "standard input"
    if isinstance(named, str | Path):
        return Path(named).name or str(named)
    return "the picture"


def _file_or_bytes(source: object, name: str) -> Path | bytes:
    """Return the path of a file that is not empty, or bytes.

    Raises:
        InputError: `source` is of another type.
        ImageError: there is nothing in it, or it cannot be opened.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        place = describe_place(path)
        if place and not str(path).startswith(_HELD_PIPES):
            raise ImageError(f"{name} must be a file. Received: {place}")
        with _explained(name):
            # A pipe cannot be sought in.
            found: Path | bytes = path.read_bytes() if place else path
            empty = not (found if isinstance(found, bytes) else path.stat().st_size)
    elif isinstance(source, bytes | bytearray | memoryview):
        found = bytes(source)
        empty = not found
    elif callable(read := getattr(source, "read", None)):
        try:
            content = read()
        except (OSError, ValueError) as error:  # ValueError: it is closed, or holds no text
            raise ImageError(f"{name} must be an open file. Received: {error}") from error
        if not isinstance(content, bytes | bytearray):
            raise InputError(
                f"{name} must be open for reading bytes, as with open(path, 'rb'). "
                f"Received: a file that gives {type(content).__name__}"
            )
        found, empty = bytes(content), not content
    else:
        raise InputError(
            "a picture must be a path, bytes, an open binary file, a Pillow image or an array "
            f"(H, W, 3) uint8 RGB. Received: {type(source).__name__}"
        )
    if empty:
        raise ImageError(f"{name} must be a picture. Received: an empty file")
    return found


def _read_bytes(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _read_head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEAD_BYTES]
    with source.open("rb") as file:
        return file.read(_HEAD_BYTES)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Errors of files and decoders become an `ImageError`."""
    try:
        yield
    except (ImageError, _CutJpegError, MemoryError):
        raise
    except PermissionError as error:
        raise ImageError(
            f"{name} must be a file that you may read. Received: permission denied"
        ) from error
    # On damaged files Pillow's decoders raise whatever comes up: struct.error, KeyError ...
    except Exception as error:
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        if any(word in said.lower() for word in _CUT):
            raise ImageError(
                f"{name} must be a whole picture. Received: a file that breaks off ({said})"
            ) from error
        raise ImageError(
            f"{name} must be a picture that can be decoded. Received: a damaged one ({said})"
        ) from error


@contextlib.contextmanager
def _open(
    source: Path | bytes,
    name: str,
    max_pixels: int,
    formats: tuple[str, ...],
    max_scans: int,
    strict: bool,
) -> Iterator[Image.Image]:
    """Open a picture and check its limits; errors of the decoder become an `ImageError`."""
    with _explained(name):
        head = _read_head(source)
        try:
            opened = _open_any(source, head, formats)
        except (UnidentifiedImageError, SyntaxError) as error:
            raise ImageError(
                f"{name} must be a picture (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, "
                f"JPEG 2000). Received: {name_format(head)}"
            ) from error
        with opened as image:
            _check_size(image, name, max_pixels, strict)
            if image.format in _JPEG_FORMATS and has_more_scans(source, max_scans):
                raise ImageError(f"{name} must have at most {max_scans} scans. Received: more")
            _check_raw(image, name)
            yield image


def _open_any(source: Path | bytes, head: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Open a picture; those that can be decoded smaller without Pillow's limit of pixels.

    Raises:
        UnidentifiedImageError: it is none that is read.
    """
    if name_format(head).startswith(RAW):
        raise UnidentifiedImageError
    file: Any = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    if head.startswith(b"\xff\xd8\xff") and "JPEG" in formats:
        return jpeg_factory(file, None if isinstance(source, bytes) else str(source))
    if head.startswith(_JPEG_2000_STARTS) and "JPEG2000" in formats:
        return Jpeg2KImageFile(file)
    Image.init()
    # Not `Image.open`, which has a limit of pixels, and words for it, of its own. Those of MPO
    # begin as a JPEG and have no entry.
    for form in formats:
        factory, accepts = Image.OPEN.get(form, (None, None))
        if factory and (accepts is None or accepts(head[:16]) is True):
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(_rewound(file), "")
    if head.startswith(_TIFF_STARTS) and "TIFF" in formats:
        return _DeepTiff(_rewound(file))
    raise UnidentifiedImageError


def _rewound(file: Any) -> Any:
    if not isinstance(file, str):
        file.seek(0)
    return file


class _DeepTiff(ImageFile.ImageFile):
    """The header of a TIFF in colour of 32 or 64 bits a value, which Pillow does not know.

    OpenCV decodes it: see `_decode_wide`.
    """

    format = "TIFF"

    def _open(self) -> None:
        assert self.fp
        self.tag_v2 = ImageFileDirectory_v2(self.fp.read(8))
        self.fp.seek(self.tag_v2.next)
        self.tag_v2.load(self.fp)
        bits = self.tag_v2[_BITS_PER_SAMPLE]
        if bits not in [(depth,) * n for depth in (32, 64) for n in (3, 4)]:
            raise SyntaxError(f"a TIFF of {bits} bits")
        self._size = int(self.tag_v2[_WIDTH]), int(self.tag_v2[_LENGTH])
        self._mode = "RGB" if len(bits) == 3 else "RGBA"


def _check_size(image: Image.Image, name: str, max_pixels: int, strict: bool) -> None:
    width, height = image.size
    shrinks = not strict and image.format in (*_JPEG_FORMATS, "JPEG2000")
    limit = max(max_pixels, MAX_FILE_PIXELS) if shrinks else max_pixels
    if excess := name_excess(width, height, limit):
        raise ImageError(f"{name} {excess}")


def name_excess(width: int, height: int, max_pixels: int, each: str = "") -> str | None:
    """Return what a size must be, and what came; None where it is not too large.

    Args:
        width: in pixels.
        height: in pixels.
        max_pixels: width times height allowed; a side may have `MAX_SIDE_PX`.
        each: what has the size, where that is not what the sentence is about.
    """
    if width * height > max_pixels:
        return (
            f"must have at most {max_pixels / 1e6:.3g} megapixels{each}. "
            f"Received: {width} x {height} ({width * height / 1e6:.3g} megapixels)"
        )
    if max(width, height) > MAX_SIDE_PX:
        return f"must have sides of at most {MAX_SIDE_PX} pixels. Received: {width} x {height}"
    return None


def _check_raw(image: Image.Image, name: str) -> None:
    """Refuse raw data of cameras in a TIFF, of which only a thumbnail would be read."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if _DNG_VERSION in tags or tags.get(_SUBFILE_TYPE, 0) == 1:
        raise ImageError(
            f"{name} must be a picture. Received: {RAW}, of which only a small copy can be read; "
            "export it as JPEG"
        )


def _decode(
    image: Image.Image, max_pixels: int, strict: bool, name: str, source: Path | bytes
) -> Picture:
    """Return the frame of a picture that is open.

    Args:
        image: open, and maybe not decoded yet.
        max_pixels: width times height of the frame.
        strict: whether what breaks off is refused.
        name: of the picture.
        source: its file.

    Raises:
        _CutJpegError: a JPEG breaks off.
    """
    notes = [*_note_several(image), *_shrink(image, max_pixels)]
    if _is_wide_colour(image):
        image, wide_notes = _decode_wide(image, source)
        return Picture(_upright(image)[0], (*notes, *wide_notes))
    whole = _load(image, strict)
    frame, wide_notes = _upright(image)
    picture = Picture(frame, (*notes, *wide_notes))
    return picture if whole else _note_cut(picture, name)


def _note_several(image: Image.Image) -> Iterator[str]:
    """Say that there are more pictures in the file than the one that is read.

    The others in an MPO are previews, the second eye or light for bright screens.
    """
    if not getattr(image, "is_animated", False) or image.format == "MPO":
        return
    if image.format == "TIFF":
        yield "the first of several pages was read"
    elif image.format == "HEIF":
        yield "the main picture of several was read"
    else:
        more = "; `python -m fer video` reads all" if image.format in ("GIF", "PNG") else ""
        yield f"the first picture of an animation was read{more}"


def _shrink(image: Image.Image, max_pixels: int) -> Iterator[str]:
    """Have a picture that is too large decoded smaller, and say so."""
    width, height = image.size
    wanted = max_pixels
    if isinstance(image, Jpeg2KImageFile):
        wanted = min(max_pixels, _MAX_JPEG_2000_PIXELS)
    if width * height <= wanted:
        return
    if isinstance(image, JpegImageFile):
        for part in (2, 4, 8):
            if width * height <= wanted * part * part:
                break
        image.draft(None, (width // part, height // part))
        made = image.size
    elif isinstance(image, Jpeg2KImageFile):
        power = 1
        while width * height > wanted << (2 * power):
            power += 1
        image.reduce = power
        made = ((width + (1 << power - 1)) >> power, (height + (1 << power - 1)) >> power)
    else:
        return
    yield (
        f"it has {width} x {height} pixels and was read at {made[0]} x {made[1]}; "
        "boxes are in those"
    )


def _load(image: Image.Image, strict: bool) -> bool:
    """Decode; return whether the file is whole.

    Raises:
        _CutJpegError: it is a JPEG that is not.
    """
    try:
        image.load()
    except OSError as error:
        if strict or "truncated" not in str(error).lower():
            raise
        if image.format in _JPEG_FORMATS:
            raise _CutJpegError from error
        if image.format not in _FILLED_IN_ORDER or not isinstance(image, ImageFile.ImageFile):
            raise
        image.tile = []  # what is decoded stays
        image.load()
        return False
    return True


def _note_cut(picture: Picture, name: str) -> Picture:
    """Say that the file breaks off.

    Raises:
        ImageError: nothing is there of it.
    """
    if picture.frame.min() == picture.frame.max():
        raise ImageError(
            f"{name} must be a whole picture. Received: a file that breaks off at once"
        )
    note = "the file breaks off; what is there was read"
    return Picture(picture.frame, (*picture.notes, note), whole=False)


def _upright(image: Image.Image) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return the frame of a decoded image as EXIF turns it, and what was made of its values."""
    turned = ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image
    return _to_frame(turned, _is_unsigned(image))


def image_to_frame(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a decoded Pillow image of any mode to a frame (H, W, 3) uint8 RGB."""
    return _to_frame(image)[0]


def _is_unsigned(image: Image.Image) -> bool:
    """Whether a TIFF's integers of 32 bits have no sign; Pillow and OpenCV read them as signed."""
    tags = getattr(image, "tag_v2", {})
    formats, bits = (np.ravel(tags.get(tag, 1)) for tag in (_SAMPLE_FORMAT, _BITS_PER_SAMPLE))
    return bool((formats == _UNSIGNED).all() and (bits == 32).all())


def _to_frame(
    image: Image.Image, unsigned: bool = False
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    if image.mode in _WIDE_MODES:
        # Pillow's JPEG 2000 spans 16 bits, whatever the file has.
        full = isinstance(image, Jpeg2KImageFile)
        values = np.asarray(image)
        values = values.view(np.uint32) if unsigned and image.mode == "I" else values
        gray, notes = _to_8_bits(values, 16 if full else None)
        return np.repeat(gray[..., None], 3, axis=2), notes
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return np.array(white), ()
    # Pillow would copy what is RGB already.
    return np.array(image if image.mode == "RGB" else image.convert("RGB")), ()


def _is_wide_colour(image: Image.Image) -> bool:
    """Whether Pillow would keep only the upper 8 bits of a picture that is not gray."""
    if image.mode not in ("RGB", "RGBA", "LA", "RGBX"):
        return False
    if image.format == "TIFF":
        bits = np.ravel(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8))
        return bool(bits.max(initial=8) > 8)
    tiles: list[Any] = getattr(image, "tile", [])
    return image.format == "PNG" and "16" in str([tile.args for tile in tiles])


def _decode_wide(image: Image.Image, source: Path | bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """Decode a PNG or TIFF in colour of more than 8 bits: the image of 8 bits, and notes."""
    content = np.frombuffer(_read_bytes(source), np.uint8)
    values = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3 or values.shape[2] not in (3, 4):
        raise OSError("its values of more than 8 bits are of another kind")
    if values.dtype == np.int32 and _is_unsigned(image):
        values = values.view(np.uint32)
    colour, notes = _to_8_bits(values[..., 2::-1])
    made = Image.fromarray(colour)
    if values.shape[2] == 4 and "A" in image.mode:
        n_bits = 8 * values.itemsize if values.dtype.kind == "u" else None
        made.putalpha(Image.fromarray(_to_8_bits(values[..., 3], n_bits)[0]))
    if image.format == "PNG":  # OpenCV turns a TIFF by itself
        made.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return made, notes


def _to_8_bits(
    values: NDArray[Any], n_bits: int | None = None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Values (H, W) or (H, W, C) of more than 8 bits in 0..255, and what was made of them.

    Args:
        values: integers or floating-point numbers.
        n_bits: that they span; by what is there if None.
    """
    low, high, notes = (0.0, float(2**n_bits - 1), ()) if n_bits else _find_range(values)
    notes += _note_no_numbers(values)
    made = np.empty(values.shape, np.uint8)
    scale = 255 / (high - low)
    for start in range(0, len(values), _BLOCK_ROWS):
        block = values[start : start + _BLOCK_ROWS].astype(np.float32)
        block = np.nan_to_num(block, nan=low, posinf=high, neginf=low)
        made[start : start + _BLOCK_ROWS] = np.clip((block - low) * scale, 0, 255)
    return made, notes


def _find_range(values: NDArray[Any]) -> tuple[float, float, tuple[str, ...]]:
    """Which values are black and white, and what there is to say about that.

    A few that are far off, as of a sensor's hot pixels, do not count.
    """
    low, white, integral = _measure(values)
    peak = max(white, _find_peak(values))
    if low >= 0 and integral and (white > 1 or values.dtype.kind != "f") and white < _DEPTHS[-1][1]:
        wanted, most = (_depth_of(value) for value in (white, peak))
        if most - wanted < _HOT_BITS:
            note = f"its values go up to {peak:.0f} and were read as of {most} bits"
            return 0.0, float(2**most - 1), () if most == 16 else (note,)
        note = f"its values, but for a few of up to {peak:.0f}, were read as of {wanted} bits"
        return 0.0, float(2**wanted - 1), (note,)
    if low >= 0 and white <= 1:
        note = f"its values from 1 to {peak:.4g} are shown white"
        return 0.0, 1.0, (note,) if peak > 1 else ()
    if low >= 0 and white > _MAX_LIGHT and peak <= 255:
        return 0.0, 255.0, (f"its values go up to {peak:.4g} and were read as of 0 to 255",)
    black = min(0.0, low)
    if white <= black:
        white = peak if peak > black else black + 1
    return black, white, (f"its values from {black:.4g} to {white:.4g} are shown black to white",)


def _note_no_numbers(values: NDArray[Any]) -> tuple[str, ...]:
    """Say how many values are NaN, which are shown black.

    Raises:
        OSError: all are.
    """
    if values.dtype.kind != "f":
        return ()
    share = np.mean([np.isnan(row).mean() for row in values])
    if share == 1:
        raise OSError("none of its values is a number")
    return (f"{share:.2%} of its values are no numbers and are shown black",) if share else ()


def _depth_of(value: float) -> int:
    return next((bits for bits, beyond in _DEPTHS if value < beyond), 64)


def _measure(values: NDArray[Any]) -> tuple[float, float, bool]:
    """Return the lowest and highest value but for a few, and whether all are whole numbers."""
    step = max(1, math.isqrt(values.size // _N_SAMPLED))
    sample = values[::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0, True
    low = float(np.percentile(sample, 100 - _WHITE_PERCENTILE, method="lower"))
    white = float(np.percentile(sample, _WHITE_PERCENTILE, method="higher"))
    return low, white, bool((sample == np.rint(sample)).all())


def _find_peak(values: NDArray[Any]) -> float:
    blocks = (values[start : start + _BLOCK_ROWS] for start in range(0, len(values), _BLOCK_ROWS))
    return max(float(block[np.isfinite(block)].max(initial=0)) for block in blocks)
