"""What the packets of a video say: how many frames, how long, whether the file was cut."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer.errors import VideoError
from fer.media.clock import MAX_BACK_S, MAX_GAP_S
from fer.media.files import open_video
from fer.media.tails import ends_midway

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

__all__ = ["Packets", "measure_packets"]

# Those that read by a table of places in the file, of which two may be the same.
_BY_TABLE = ("mov", "avi", "mxf")
# FFmpeg guesses the length of these, by their size or their last packets.
_WITHOUT_LENGTH = ("mpegts", "mpeg", "mpegvideo", "mjpeg", "h264", "hevc")
# A file ended early when it lacks more than this of the length it claims.
_MISSING_S = 1.0
_MISSING_SHARE = 0.02


@dataclass(slots=True)
class Packets:
    """What the packets of a file say about its pictures.

    Attributes:
        n: how many are shown.
        length_s: from the first picture to the end of the last; None without times.
        missing: whether the file ends before the length that its header claims, or within a packet.
    """

    n: int = 0
    length_s: float | None = None
    missing: bool = False


class _Span:
    """Seconds from the first to the last of packets whose clock may jump."""

    def __init__(self) -> None:
        self._before_s = 0.0
        self._first_s: float | None = None
        self._last_s = self.end_s = 0.0

    def add(self, order_s: float, start_s: float, length_s: float) -> None:
        """Count a packet.

        Args:
            order_s: its time of decoding.
            start_s: when it is shown.
            length_s: how long.
        """
        if self._first_s is None:
            self._first_s, self.end_s = start_s, start_s + length_s
        elif not -MAX_BACK_S <= order_s - self._last_s <= MAX_GAP_S:
            self._before_s += self.end_s - self._first_s
            self._first_s, self.end_s = start_s, start_s + length_s
        self._first_s = min(self._first_s, start_s)
        self.end_s = max(self.end_s, start_s + length_s)
        self._last_s = order_s

    @property
    def length_s(self) -> float:
        """The length so far."""
        return self._before_s + self.end_s - (self._first_s or 0.0)


def measure_packets(path: Path, index: int, most: float) -> Packets:
    """Read all packets of a file without decoding them.

    Headers often tell another length: that of the sound, of what an edit list leaves out, or one
    that is wrong.

    Args:
        path: of the file.
        index: of the stream of pictures.
        most: pictures to count; counting stops beyond.

    Raises:
        VideoError: the tables of the file point at more bytes than it has.
    """
    file_bytes = path.stat().st_size
    found, pictures = Packets(), _Span()
    n_bytes: Counter[int] = Counter()
    last_order_s = end_s = longest_s = 0.0
    with open_video(path) as container:
        form = _form_of(container)
        by_table = form in _BY_TABLE
        for packet in whole_packets(container):
            number = packet.stream_index
            n_bytes[number] += packet.size
            if by_table and n_bytes[number] > file_bytes:
                raise VideoError(
                    f"{path.name} must have bytes of its own for each picture. Received: tables "
                    f"that point at more than the {file_bytes} bytes of the file"
                )
            time = packet.dts if packet.pts is None else packet.pts
            order = packet.pts if packet.dts is None else packet.dts
            base = packet.time_base
            if time is not None and order is not None and base:
                length_s = float((packet.duration or 0) * base)
                end_s = max(end_s, float(time * base) + length_s)
            if number != index or packet.is_discard:
                continue
            found.n += 1
            if time is not None and order is not None and base:
                longest_s = max(longest_s, length_s)
                last_order_s = float(order * base)
                pictures.add(last_order_s, float(time * base), length_s)
            if found.n > most:
                return found
        if pictures.length_s > 0:
            # A last picture without a length is shown as long as the others.
            found.length_s = pictures.length_s
            if not longest_s and found.n > 1:
                found.length_s *= found.n / (found.n - 1)
        found.missing = ends_midway(path, form) or _is_cut(
            container, index, pictures.end_s, last_order_s, end_s
        )
    return found


def whole_packets(container: "InputContainer") -> Iterator["Packet[Any]"]:
    """All packets; an error is a hole in the file, a second one in a row is its end."""
    import av

    packets, broken = container.demux(), False
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            if broken:
                return
            packets, broken = container.demux(), True
            continue
        broken = False
        if packet is None:
            return
        if packet.size:
            yield packet


def _is_cut(
    container: "InputContainer", index: int, picture_end_s: float, order_s: float, end_s: float
) -> bool:
    """Whether a file has less than its header claims.

    Args:
        container: of the file, read to its end.
        index: of the stream of pictures.
        picture_end_s: when its last picture ends.
        order_s: when its last picture is decoded.
        end_s: when the last packet of any stream ends.
    """
    stream = container.streams[index]
    form = _form_of(container)
    if form == "mov" and stream.frames:
        # Its table, after edits, is exact; lengths in its header are not.
        last = len(stream.index_entries) - 1
        base = stream.time_base or 0
        claimed_s = float(stream.index_entries[last].timestamp * base) if last >= 0 else 0.0
        return order_s + _missing_s(claimed_s) < claimed_s
    if form in _WITHOUT_LENGTH:
        return False
    with contextlib.suppress(ValueError):  # Matroska: "00:01:02.345000000"
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        claimed_s = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        return picture_end_s + _missing_s(claimed_s) < claimed_s
    claimed_s = (container.duration or 0) / 1e6
    return end_s + _missing_s(claimed_s) < claimed_s


def _form_of(container: "InputContainer") -> str:
    return container.format.name.split(",")[0]


def _missing_s(claimed_s: float) -> float:
    return max(_MISSING_S, _MISSING_SHARE * claimed_s)
