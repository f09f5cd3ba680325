"""Hostile files, made from nothing; none is larger than it must be."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

__all__ = ["PICTURES", "VIDEOS", "face_jpeg", "hidden_scans", "many_scans"]

_ROOT = Path(__file__).parents[2]
_BOMB_SIDE_PX = 8000  # 64 megapixels, the most that the page takes


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def face_jpeg() -> bytes:
    """Return a photograph with one face."""
    return (_ROOT / "examples" / "astronaut_happy.jpg").read_bytes()


def many_scans(n_more: int, side_px: int = 48) -> bytes:
    """Return a progressive JPEG whose last scan is repeated `n_more` times."""
    pixels = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    content = _encoded(Image.fromarray(pixels), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * (n_more + 1) + content[-2:]


def hidden_scans(n_more: int, side_px: int = 48) -> bytes:
    """Return such a JPEG whose last scans stand behind a comment of a length that cannot be."""
    content = many_scans(n_more, side_px)
    first = content.index(b"\xff\xda")
    return content[:first] + b"\xff\xfe\x00\x00" + content[first:]


def overlapping_tags(n_tags: int) -> bytes:
    """Return a JPEG with an Exif segment whose tags all are the same 60,000 bytes."""
    n_bytes = 60_000
    tags = b"".join(struct.pack(">HHII", 0x9000 + i, 7, n_bytes, 8) for i in range(n_tags))
    ifd = struct.pack(">H", n_tags) + tags + bytes(4)
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + ifd
    return _jpeg_with(b"\xe1", exif.ljust(n_bytes, b"\0"), 1)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _png(width: int, height: int, rows: bytes, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = _chunk(b"IHDR", head), extra, _chunk(b"IDAT", rows), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _png_bomb() -> bytes:
    rows = zlib.compress(bytes((_BOMB_SIDE_PX + 1) * _BOMB_SIDE_PX), 9)
    return _png(_BOMB_SIDE_PX, _BOMB_SIDE_PX, rows)


def _png_claim() -> bytes:
    """Return a picture that claims more pixels than any memory has."""
    return _png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0" * 100))


def _png_text_bomb() -> bytes:
    text = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    return _png(8, 8, zlib.compress(bytes(9 * 8)), _chunk(b"zTXt", text))


def _bomb(kind: str, **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        return _encoded(Image.new("RGB", (_BOMB_SIDE_PX, _BOMB_SIDE_PX), 128), kind, **options)

    return make


def _gif_claim() -> bytes:
    """Return one pixel on a screen of 65,535 by 65,535, many times."""
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    return b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff" + 2000 * frame + b";"


def _jpeg_with(marker: bytes, content: bytes, times: int) -> bytes:
    picture = _encoded(Image.new("RGB", (64, 64), 90), "JPEG")
    part = b"\xff" + marker + struct.pack(">H", len(content) + 2) + content
    return picture[:2] + times * part + picture[2:]


# By the name under which they are sent.
PICTURES: Mapping[str, Callable[[], bytes]] = {
    "comment.ppm": lambda: b"P6\n#" + b"x" * 50_000_000 + b"\n8 8\n255\n" + bytes(192),
    "ascii.ppm": lambda: b"P3\n2000 2000\n255\n" + b"7 " * 12_000_000,
    "plain.pgm": lambda: b"P2\n3000 3000\n255\n" + b"7 " * 9_000_000,
    "scans.jpg": lambda: many_scans(400_000, 8),
    "hidden_scans.jpg": lambda: hidden_scans(100_000, 8),
    "tags.jpg": lambda: overlapping_tags(4000),
    "few_scans.jpg": lambda: many_scans(60, 2000),
    "bomb.webp": _bomb("WEBP", lossless=True, method=0),
    "bomb.tif": _bomb("TIFF", compression="tiff_adobe_deflate"),
    "bomb.jpg": _bomb("JPEG", quality=1),
    "bomb.png": _png_bomb,
    "claim.png": _png_claim,
    "text.png": _png_text_bomb,
    "claim.gif": _gif_claim,
    "exif.jpg": lambda: _jpeg_with(b"\xe1", b"Exif\0\0II*\0" + b"\xff" * 60_000, 40),
    "icc.jpg": lambda: _jpeg_with(b"\xe2", b"ICC_PROFILE\0\x01\xff" + bytes(60_000), 255),
    "cut.jpg": lambda: face_jpeg()[: len(face_jpeg()) // 2],
    "empty.jpg": lambda: b"",
    "page.jpg": lambda: b"<!doctype html><script>alert(1)</script>",
    "drawing.svg": lambda: (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    ),
    "program.eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n",
}


def _video(width: int, height: int, n_frames: int, rate: int = 10) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), "rgb24")
        for i in range(n_frames):
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _claims_samples() -> bytes:
    """Return a short video whose tables claim thirty million samples of one byte."""
    content = bytearray(_video(64, 64, 20))
    n_claimed = 30_000_000
    sizes, times = content.index(b"stsz") + 8, content.index(b"stts") + 12
    struct.pack_into(">II", content, sizes, 1, n_claimed)
    struct.pack_into(">I", content, times, n_claimed)
    return bytes(content)


VIDEOS: Mapping[str, Callable[[], bytes]] = {
    "large.mp4": lambda: _video(8000, 2000, 60, 5),
    "samples.mp4": _claims_samples,
    "cut.mp4": lambda: _video(320, 240, 60)[:9000],
    "list.m3u8": lambda: b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "list.mp4": lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "empty.mp4": lambda: b"",
    "picture.mp4": face_jpeg,
}
