"""Look at the segments of a JPEG before a decoder does; damaged files are followed as by libjpeg.

Source: ITU-T T.81, annex B.
"""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["close_jpeg", "drop_metadata", "has_more_scans"]

_Content = bytes | mmap.mmap

# A marker: 0xFF, repeated at will, and its code. 0xFF00 is a stuffed byte of the data of a scan;
# 0xFF01 and 0xFFD0 to 0xFFD8 have no length.
_MARKER = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd8])")
_FIRST_KNOWN = 0xC0
_END, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
# Of an application, as Exif.
_MAX_KEPT_BYTES = 4096


def _segments(content: _Content) -> Iterator[tuple[int, int, int]]:
    """Yield code, begin and end of each segment; the data of a scan follows its segment."""
    end = 0
    while marker := _MARKER.search(content, end):
        length = int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        end = marker.end() + max(2, length)
        yield marker[1][0], marker.start(), end


def has_more_scans(source: Path | bytes, limit: int) -> bool:
    """Return whether a JPEG, in a file or in bytes, has more than `limit` scans."""
    if isinstance(source, bytes):
        return _count_scans(source, limit) > limit
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return _count_scans(content, limit) > limit


def _count_scans(content: _Content, limit: int) -> int:
    """Return the number of scans, or `limit` + 1 where there are more.

    Only markers count: segments, such as a thumbnail in EXIF, are skipped by their length, and
    the data of a scan has no 0xFFDA. Markers that libjpeg either stops at or steps over, depending
    on the place, count as too many.
    """
    # Mostly there are few such bytes anywhere, which is known at once.
    at, n_bytes = -1, 0
    while n_bytes <= limit and (at := content.find(bytes([0xFF, _SCAN]), at + 1)) >= 0:
        n_bytes += 1
    if n_bytes <= limit:
        return n_bytes
    n_scans = 0
    for code, _, _ in _segments(content):
        if code == _END or n_scans > limit:
            break
        if code < _FIRST_KNOWN:
            return limit + 1
        n_scans += code == _SCAN
    return n_scans


def close_jpeg(content: bytes) -> bytes:
    """Return a JPEG with the mark of the end where it breaks off; a decoder gives what is there."""
    for _, begin, end in _segments(content):
        if end > len(content):  # not even this segment is whole
            content = content[:begin]
            break
    return content + bytes([0xFF, _END])


def drop_metadata(content: bytes) -> bytes:
    """Return a JPEG without comments, and with no more than one short segment of each application.

    Pillow reads those segments, and a few kilobytes of tags that all point at the same bytes may
    make gigabytes of them. A short one may say how a phone was held.
    """
    kept: list[bytes] = [content[:2]]
    seen: set[int] = set()
    for code, begin, end in _segments(content):
        if code in (_SCAN, _END):
            return b"".join(kept) + content[begin:]
        if code in _APPLICATIONS:
            keeps = end - begin <= _MAX_KEPT_BYTES and code not in seen
        else:
            keeps = code != _COMMENT
        if keeps:
            kept.append(content[begin:end])
        seen.add(code)
    return content
