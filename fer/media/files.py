"""Which files are videos, and how one is opened."""

import os
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fer.check import describe_place
from fer.errors import VideoError
from fer.formats import is_still, name_format
from fer.image import name_excess

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

__all__ = ["MAX_PIXELS", "MAX_THREADS", "VIDEO_SUFFIXES", "check_size", "find_sound", "open_video"]

# 4K of every shape, and the 5.3K of action cameras; a frame is 50 MB once decoded.
MAX_PIXELS = 4096 * 4096
# The endings, in lower case, by which the page knows videos; by name a file may have any.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".webm", ".mkv", ".avi", ".divx", ".gif"),
    *(".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".mod", ".tod"),
    *(".3gp", ".3g2", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".ogg", ".mxf", ".dv"),
    *(".mjpeg", ".mjpg", ".h264", ".264", ".hevc", ".h265", ".265", ".ivf"),
)
# What cameras, phones, recorders and browsers write, and sound files, which are told apart by
# name. FFmpeg knows many more, among them playlists that open other files and addresses.
_DEMUXERS = (
    *("mov", "matroska", "avi", "gif", "flv", "asf", "ogg", "ivf"),
    *("mpegts", "mpeg", "mpegvideo", "mjpeg", "h264", "hevc", "mxf", "dv"),
    *("mp3", "wav", "flac", "aac"),
)
_OPTIONS = {
    "format_whitelist": ",".join(_DEMUXERS),
    "protocol_whitelist": "file",
    # A header is believed a little further, so that the refusal can name the size.
    "max_pixels": str(4 * MAX_PIXELS),
}
_READ = "mp4, mov, mkv, webm, avi, gif, mpg, vob, ts, mts, 3gp, wmv, flv, ogv, mxf, dv"
# What is known by its first bytes, and not read.
_NOT_READ = (
    (b".RMF", "a RealMedia file"),
    (b"FWS", "a Flash animation (swf)"),
    (b"CWS", "a Flash animation (swf)"),
    (b"ZWS", "a Flash animation (swf)"),
    (b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "a Windows recording (wtv)"),
    (b"nut/multimedia", "a NUT file"),
    (b"YUV4MPEG2", "raw pictures (y4m)"),
    (b"#EXTM3U", "a playlist, which names other files"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"PK\x03\x04", "a zip archive"),
    (b"%PDF", "a PDF document"),
)

# More decode no faster on small machines, and each holds frames in memory.
MAX_THREADS = 4


def open_video(path: Path) -> "InputContainer":
    """Open a video file, and nothing that it names.

    Raises:
        VideoError: it is no video of these formats, or may not be read.
    """
    import av

    name = path.name
    if place := describe_place(path):
        raise VideoError(f"{name} must be a file. Received: {place}")
    try:
        still = is_still(_head(path))
    except OSError as error:
        raise VideoError(
            f"{name} must be a file that may be read. Received: {path}: {error.strerror}"
        ) from error
    if still:
        raise VideoError(f"{name} must be a video ({_READ}). Received: a picture, as HEIC or AVIF")
    try:
        # Absolute, so that no name is taken for the address of something else.
        return av.open(
            str(path.absolute()),
            mode="r",
            # Bare JPEGs in a row look like one photo but for their name.
            format="mjpeg" if path.suffix.lower() in (".mjpeg", ".mjpg") else None,
            options=dict(_OPTIONS),
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{name} must be a video ({_READ}). Received: {_name(path)}") from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _name(path: Path) -> str:
    """Name a file that cannot be opened as a video, for people."""
    head = _head(path)
    if head[4:8] == b"ftyp":
        with path.open("rb") as file:
            return _what_lacks(file)
    known = next((kind for magic, kind in _NOT_READ if head.startswith(magic)), name_format(head))
    if known.startswith("a video"):
        return f"{known} without pictures, or damaged"
    return "a file that is none, or is damaged" if known == "a file that is none" else known


def _what_lacks(file: IO[bytes]) -> str:
    """Say why an mp4 or mov cannot be opened, by its boxes."""
    size = file.seek(0, os.SEEK_END)
    place = 0
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        elif length == 0:  # to the end of the file
            length = size - place
        if kind == b"moov":
            return "an MP4 or MOV file whose index is damaged"
        if length < 8:
            return "an MP4 or MOV file that is damaged"
        place += length
    if place > size:
        return "an MP4 or MOV file that was cut off before its index"
    return "an MP4 or MOV file without an index"


def find_sound(container: "InputContainer") -> "AudioStream | None":
    """Return the first sound that can be decoded, None if there is none."""
    return next((stream for stream in container.streams.audio if stream.codec_context), None)


def check_size(name: str, width: int, height: int) -> None:
    """Check the size of a video's frames.

    Raises:
        VideoError: they have more than `MAX_PIXELS`.
    """
    if excess := name_excess(width, height, MAX_PIXELS, " a picture"):
        raise VideoError(f"{name} {excess}")
