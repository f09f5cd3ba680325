"""Video files <-> frames and their clock. A video is measured before it is decoded."""

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError, VideoError
from fer.image import name_excess
from fer.output import WholeFile
from fer.preprocess import resize
from fer.types import check_frame

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

__all__ = [
    "MAX_PIXELS",
    "VIDEO_SUFFIXES",
    "Sampler",
    "VideoFrame",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "check_total",
    "probe_video",
    "read_frames",
]

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
# Those that read by a table of places in the file, of which two may be the same.
_BY_TABLE = ("mov", "avi", "mxf")
# FFmpeg guesses the length of these, by their size or their last packets.
_WITHOUT_LENGTH = ("mpegts", "mpeg", "mpegvideo", "mjpeg", "h264", "hevc")
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
_MAX_THREADS = 4
# So many broken packets before the first frame, and no frame will come.
_MAX_BROKEN = 300

# Times that step back or forward by more are a cut in the clock, not a long picture.
_MAX_BACK_S = 1.0
_MAX_GAP_S = 3600.0
# A frame may come so early: cameras waver, and the clocks of many files have only milliseconds.
_EARLY_S = 0.008
_EARLY_SHARE = 0.25
_DEFAULT_FPS = 25.0
_MAX_FPS = 1000.0
# A file ended early when it lacks more than this of the length it claims.
_MISSING_S = 1.0
_MISSING_SHARE = 0.02

_TIME_BASE = Fraction(1, 90_000)
# The next slower one takes half as long again for files a third smaller.
_PRESET = "superfast"
_QUALITY = "23"
# At most, 9 Mbit/s at 1920 x 1080: noise would take twenty times as much.
_BITS_PER_PIXEL = 0.15
_SMALL_BITS_PER_S = 2_000_000
_KEY_EVERY = 60  # frames: a browser seeks to these
_BT709 = 1
_COPIED_SOUND = ("aac", "mp3")
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Sound before the first picture is left out, but for what a decoder needs to start with.
_SOUND_LEAD_S = 0.05
# Matroska rounds the times of sound to milliseconds; heard as they are, they crackle.
_JITTER_S = 0.005


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file is, told by its packets and its first frame.

    Attributes:
        name: of the file.
        width: of a frame in pixels, turned upright and with square pixels.
        height: the same.
        duration_s: from the start of the file, as players show it, to the end of the last
            picture, in seconds; None where nothing in the file tells.
        fps: mean frames a second; None where nothing in the file tells.
        n_frames: packets of the pictures; None where nothing in the file tells.
        codec: of the video, such as "h264".
        audio_codec: of the sound, such as "aac"; None where there is none.
        start_s: when the first picture is shown, in seconds: over 0 where the sound starts before.
    """

    name: str
    width: int
    height: int
    duration_s: float | None
    fps: float | None
    n_frames: int | None
    codec: str
    audio_codec: str | None
    start_s: float = 0.0

    @property
    def has_audio(self) -> bool:
        """Whether there is sound."""
        return self.audio_codec is not None


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One picture of a video.

    Attributes:
        time_s: when it is shown, in seconds since the start of the file as players show it.
        index: its number in the file, from 0.
        frame: (H, W, 3) uint8 RGB, upright. A video may change its size midway: a phone that was
            turned while it recorded.
    """

    time_s: float
    index: int
    frame: NDArray[np.uint8]


class Sampler:
    """Picks frames by their time, at most `rate` a second and as many where there are enough.

    Time counts from the first frame on: times rounded to milliseconds, of a file whose pictures
    start later, would fall to either side of the edges of 1 / rate.

    Args:
        rate: frames a second; None picks all.

    Attributes:
        rate: the same.

    Raises:
        InputError: `rate` is not positive.

    >>> picks = Sampler(2.0)
    >>> [time_s for time_s in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0) if picks(time_s)]
    [0.0, 0.6, 1.0]
    """

    def __init__(self, rate: float | None) -> None:
        if rate is not None and not 0 < rate < float("inf"):
            raise InputError(f"`rate` must be positive frames a second. Received: {rate}")
        self.rate = rate
        self._first_s: float | None = None
        self._last = -1

    def __call__(self, time_s: float) -> bool:
        """Whether the frame of this time is picked; times grow."""
        if self.rate is None:
            return True
        early_s = min(_EARLY_S, _EARLY_SHARE / self.rate)
        if self._first_s is None:
            self._first_s = time_s
        place = int((time_s - self._first_s + early_s) * self.rate)
        if place == self._last:
            return False
        self._last = place
        return True


class _Clock:
    """Times of a file, which may be missing, stand still or jump -> seconds that only grow.

    Args:
        zero_s: the time of the file that becomes 0; the first one when None.
    """

    def __init__(self, zero_s: float | None = None) -> None:
        self.zero_s = zero_s
        self.time_s: float | None = None

    def __call__(self, raw_s: float | None, step_s: float) -> float:
        """The time of the next frame; `step_s` is how far it is from the last by rights."""
        if self.zero_s is None:
            self.zero_s = raw_s or 0.0
        time_s = None if raw_s is None else raw_s - self.zero_s
        last = self.time_s
        if last is None:
            time_s = 0.0 if time_s is None else time_s
        elif time_s is None:
            time_s = last + step_s
        elif not -_MAX_BACK_S <= time_s - last <= _MAX_GAP_S:
            self.zero_s += time_s - last - step_s
            time_s = last + step_s
        elif time_s <= last:
            time_s = last + step_s / 2
        self.time_s = time_s
        return time_s


class VideoReader:
    """Decodes one video file; a context manager.

    Its first frame is decoded at once, so that an unusable file shows here.

    Args:
        path: the file.
        max_total_pixels: pixels of all frames together allowed, by what the file claims and, as
            they are decoded, by what it has; any number when None.

    Attributes:
        info: what the file is.
        path: of the file.
        zero_s: the time on the file's own clock, in seconds, that players show as 0: where the
            pictures or the sound start.
        n_frames: frames decoded so far.
        n_damaged: packets and frames that could not be decoded so far and were left out.
        end_s: when the last frame so far ends, in seconds since the start.
        ended_early: whether the file broke off; known when all frames have been read.

    Raises:
        VideoError: see `probe_video`.
    """

    def __init__(self, path: Path | str, max_total_pixels: float | None = None) -> None:
        self.path = Path(path)
        self._max_total_pixels = max_total_pixels
        self._n_pixels = 0
        self.n_frames = 0
        self.n_damaged = 0
        self.end_s = 0.0
        self.ended_early = False
        self._container = _open(self.path)
        try:
            self._stream = self._find_stream()
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                raise VideoError(
                    f"{self.path.name} must have at least one picture that can be read. "
                    "Received: none"
                )
            self._first = first
            # Before any turn, and wide pixels made square.
            self._size = _square_size(first, self._stream)
            _check_size(self.path.name, *self._size)
            self.zero_s = _find_zero(self._container, first.time)
            self._clock = _Clock(self.zero_s)
            self._start_s = self._clock(first.time, 0.0)
            self._packets = self._measure(max_total_pixels)
            self.info = self._describe()
            check_total(self.info, max_total_pixels)
        except BaseException:
            self.close()
            raise

    def _find_stream(self) -> "VideoStream":
        from av.stream import Disposition

        name = self.path.name
        streams = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not streams:
            kinds = "sound" if self._container.streams.audio else "nothing to see"
            raise VideoError(f"{name} must have pictures in it. Received: {kinds} only")
        # Without a decoder there is no context, whatever its annotation says.
        streams = [stream for stream in streams if stream.codec_context is not None]
        if not streams:
            raise VideoError(
                f"{name} must be of a codec that can be decoded. Received: an unknown one"
            )
        stream = max(streams, key=lambda stream: stream.width * stream.height)
        _check_size(name, stream.width, stream.height)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        return stream

    def _measure(self, max_total_pixels: float | None) -> "_Packets":
        width, height = self._size
        most = float("inf") if max_total_pixels is None else max_total_pixels / (width * height)
        return _measure_packets(self.path, self._stream.index, most)

    def _describe(self) -> VideoInfo:
        stream, packets = self._stream, self._packets
        rate = stream.average_rate or stream.base_rate
        fps = float(rate) if rate and 0 < rate <= _MAX_FPS else None
        length_s = packets.length_s
        if length_s and packets.n / length_s <= _MAX_FPS:
            fps = packets.n / length_s
        elif not length_s and fps:
            length_s = packets.n / fps
        turned = round(self._first.rotation / 90) % 2
        width, height = self._size[:: -1 if turned else 1]
        sound = _find_sound(self._container)
        return VideoInfo(
            name=self.path.name,
            width=width,
            height=height,
            duration_s=self._start_s + length_s if length_s else None,
            fps=fps,
            n_frames=packets.n or None,
            codec=stream.codec_context.codec.canonical_name,
            audio_codec=None if sound is None else sound.codec_context.codec.canonical_name,
            start_s=self._start_s,
        )

    def _decode(self) -> Iterator["av.VideoFrame"]:
        import av

        packets = self._container.demux(self._stream)
        broken = False
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                # Once is a hole in the file, twice in a row is its end.
                self.n_damaged += 1
                if broken:
                    self.ended_early = True
                    packet = None
                else:
                    broken = True
                    packets = self._container.demux(self._stream)
                    continue
            else:
                broken = False
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.FFmpegError:
                self.n_damaged += packet is not None
                frames = []
            for frame in frames:
                if frame.is_corrupt:
                    self.n_damaged += 1
                    continue
                self.n_frames += 1
                self._n_pixels += frame.width * frame.height
                if self._max_total_pixels is not None and self._n_pixels > self._max_total_pixels:
                    raise _too_many_pixels(
                        self.path.name,
                        self._max_total_pixels,
                        f"more after {self.n_frames} frames",
                    )
                yield frame
            if packet is None or packet.size == 0 or self._is_hopeless():
                return

    def _is_hopeless(self) -> bool:
        return not self.n_frames and self.n_damaged > _MAX_BROKEN

    def frames(self, rate: float | None = None) -> Iterator[VideoFrame]:
        """Every frame, or at most `rate` a second; to be called once.

        Raises:
            InputError: `rate` is not positive.
        """
        picks = Sampler(rate)
        step_s = 1 / (self.info.fps or _DEFAULT_FPS)
        frame: av.VideoFrame | None = self._first
        del self._first
        time_s, index = self._start_s, 0
        while frame is not None:
            if picks(time_s):
                yield VideoFrame(time_s, index, self._to_rgb(frame))
            index = self.n_frames
            self.end_s = time_s + (float(frame.duration * (frame.time_base or 0)) or step_s)
            frame = next(self._frames, None)
            if frame is not None:
                time_s = self._clock(frame.time, step_s)
        self.ended_early |= self._packets.missing

    def _to_rgb(self, frame: "av.VideoFrame") -> NDArray[np.uint8]:
        """(H, W, 3), upright and with square pixels."""
        size = _square_size(frame, self._stream)
        if size != self._size:
            _check_size(self.path.name, *size)
        see_through = any(part.is_alpha for part in frame.format.components)
        pixels: Any = frame.to_ndarray(format="rgba" if see_through else "rgb24")
        if see_through:
            pixels = _on_white(pixels)
        pixels = resize(pixels, *size)
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def probe_video(path: Path | str) -> VideoInfo:
    """What a video file is; its first frame is decoded, so that an unusable one shows here.

    Raises:
        VideoError: missing, no video (a song with a cover is none), without a frame, cut off
            before its index, with too many pixels, or with tables that point at the same bytes
            again and again.
    """
    with VideoReader(path) as reader:
        return reader.info


def check_total(info: VideoInfo, max_total_pixels: float | None) -> None:
    """Refuse a video that claims too many pixels in all its frames together.

    Raises:
        VideoError: it claims more than `max_total_pixels`.
    """
    if max_total_pixels is None or info.n_frames is None:
        return
    total = info.width * info.height * info.n_frames
    if total > max_total_pixels:
        raise _too_many_pixels(
            info.name,
            max_total_pixels,
            f"{info.n_frames} frames of {info.width} x {info.height}, {total / 1e9:.3g} gigapixels",
        )


def _too_many_pixels(name: str, limit: float, received: str) -> VideoError:
    return VideoError(
        f"{name} must have at most {limit / 1e9:.3g} gigapixels in all its frames together: a "
        f"shorter video, or a smaller one. Received: {received}"
    )


def read_frames(path: Path | str, rate: float | None = None) -> Iterator[VideoFrame]:
    """The frames of a video file, one after the other; memory stays flat.

    Upright, with square pixels, each of its own size, transparent parts on white. What is
    damaged is left out; a file that breaks off gives what it has. `VideoReader` tells of both.

    Args:
        path: the file.
        rate: at most so many frames a second of video; every frame when None.

    Raises:
        VideoError: see `probe_video`.
        InputError: `rate` is not positive.
    """
    with VideoReader(path) as reader:
        yield from reader.frames(rate)


def _open(path: Path) -> "InputContainer":
    import av

    name = path.name
    if not path.is_file():
        received = f"a folder, {path}" if path.is_dir() else f"none at {path}"
        raise VideoError(f"{name} must be a file. Received: {received}")
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
    except PermissionError as error:
        raise VideoError(f"{name} must be a file that may be read. Received: {path}") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        with path.open("rb") as file:
            head = file.read(16)
        what = "a file that is none, or is damaged" if head else "an empty file"
        if head[4:8] == b"ftyp":
            what = "a file that was cut off before its index"
        what = next((kind for magic, kind in _NOT_READ if head.startswith(magic)), what)
        raise VideoError(f"{name} must be a video ({_READ}). Received: {what}") from error


def _find_sound(container: "InputContainer") -> "AudioStream | None":
    return next((stream for stream in container.streams.audio if stream.codec_context), None)


def _check_size(name: str, width: int, height: int) -> None:
    if excess := name_excess(width, height, MAX_PIXELS, " a picture"):
        raise VideoError(f"{name} {excess}")


def _square_size(frame: "av.VideoFrame", stream: "VideoStream") -> tuple[int, int]:
    """Width and height that show a frame undistorted."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1
    if not Fraction(1, 4) <= aspect <= 4:
        aspect = 1
    return max(1, round(frame.width * aspect)), frame.height


def _find_zero(container: "InputContainer", first_s: float | None) -> float:
    """The time on a file's clock that players show as 0.

    Args:
        container: the file.
        first_s: the time of its first picture.
    """
    first_s = first_s or 0.0
    if container.start_time is None:
        return first_s
    start_s = container.start_time / 1e6
    # Before 0 there is what a decoder of sound needs to start with.
    zero_s = min(max(start_s, 0.0), first_s)
    return zero_s if first_s - zero_s <= _MAX_GAP_S else first_s


@dataclass(slots=True)
class _Packets:
    """What the packets of a file say about its pictures.

    Attributes:
        n: how many are shown.
        length_s: from the first picture to the end of the last; None without times.
        missing: whether the file ends before the length that its header claims.
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
        elif not -_MAX_BACK_S <= order_s - self._last_s <= _MAX_GAP_S:
            self._before_s += self.end_s - self._first_s
            self._first_s, self.end_s = start_s, start_s + length_s
        self._first_s = min(self._first_s, start_s)
        self.end_s = max(self.end_s, start_s + length_s)
        self._last_s = order_s

    @property
    def length_s(self) -> float:
        """The length so far."""
        return self._before_s + self.end_s - (self._first_s or 0.0)


def _measure_packets(path: Path, index: int, most: float) -> _Packets:
    """Read all packets of a file without decoding them.

    Headers often tell another length: that of the sound, of what an edit list leaves out, or one
    that is wrong.

    Args:
        path: of the file.
        index: of the stream of pictures.
        most: nobody wants to know of more pictures than this.

    Raises:
        VideoError: the tables of the file point at more bytes than it has.
    """
    file_bytes = path.stat().st_size
    found, pictures = _Packets(), _Span()
    n_bytes: Counter[int] = Counter()
    last_order_s = end_s = longest_s = 0.0
    with _open(path) as container:
        by_table = container.format.name.split(",")[0] in _BY_TABLE
        for packet in _whole_packets(container):
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
        found.missing = _is_cut(container, index, pictures.end_s, last_order_s, end_s)
    return found


def _whole_packets(container: "InputContainer") -> Iterator["Packet[Any]"]:
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
    form = container.format.name.split(",")[0]
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


def _missing_s(claimed_s: float) -> float:
    return max(_MISSING_S, _MISSING_SHARE * claimed_s)


def _on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) -> (H, W, 3)."""
    opacity = pixels[..., 3:].astype(np.uint16)
    if opacity.min() == 255:
        return pixels[..., :3]
    mixed = pixels[..., :3] * opacity + 255 * (255 - opacity)
    return (mixed // 255).astype(np.uint8)


def _letterbox(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) in the middle of black, (height, width, 3)."""
    y, x = height - pixels.shape[0], width - pixels.shape[1]
    if not x and not y:
        return pixels
    return np.pad(pixels, ((y // 2, y - y // 2), (x // 2, x - x // 2), (0, 0)))


class VideoWriter(WholeFile):
    """Writes an H.264 mp4 that browsers play, with the sound of another video.

    A context manager; the path gets its file when all is written.

    Args:
        path: of the mp4.
        width: of the frames in pixels; the video's is made even by repeating the edge.
        height: the same.
        sound_of: the video whose sound is kept; its clock is the one of the frames.
        max_side: frames with a longer side are scaled down to it.

    Attributes:
        size: width and height in pixels that frames are scaled to.
        sound: what became of the sound: "copied", "encoded", "none" when there is none, or why
            it was left out.

    Raises:
        InputError: not .mp4, or a place where no file can be made.
    """

    _path: Path

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        *,
        sound_of: VideoReader | None = None,
        max_side: int = 1920,
    ) -> None:
        import av

        self._path = Path(path)
        if self._path.suffix.lower() != ".mp4":
            raise InputError(f"an annotated video must end in .mp4. Received: {self._path.name}")
        if sound_of is not None and self._path.absolute() == sound_of.path.absolute():
            raise InputError(
                f"an annotated video must not replace its source. Received: {self._path}"
            )
        scale = min(1.0, max_side / max(width, height))
        self.size = max(1, round(width * scale)), max(1, round(height * scale))
        self._last_s: float | None = None
        self._step_s = 1 / _DEFAULT_FPS
        self._held: Packet[VideoStream] | None = None
        self._sound: _Sound | None = None
        try:
            self._partial().open("wb").close()
        except OSError as error:
            raise InputError(
                f"a video must stand where a file can be made. Received: {self._path}: {error}"
            ) from error
        self._container = av.open(
            str(self._partial().absolute()),
            mode="w",
            format="mp4",
            options={"movflags": "faststart"},
        )
        try:
            self._stream = self._add_stream()
            if sound_of is not None:
                self._sound = _Sound(sound_of, self._container)
        except BaseException:
            self.discard()
            raise

    @property
    def sound(self) -> str:
        """See the class."""
        return "none" if self._sound is None else self._sound.outcome

    def _add_stream(self) -> "VideoStream":
        # Without B-frames the order of decoding is that of the times, however they vary.
        width, height = self.size
        most = max(_SMALL_BITS_PER_S, int(_BITS_PER_PIXEL * 30 * width * height))
        options = {"preset": _PRESET, "crf": _QUALITY, "g": str(_KEY_EVERY), "bf": "0"}
        options |= {"maxrate": str(most), "bufsize": str(2 * most)}
        stream = self._container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = _TIME_BASE
        context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # that of television, which every player knows
        return stream

    def write(self, frame: NDArray[np.uint8], time_s: float) -> None:
        """Add a frame that is shown from `time_s` on; times grow.

        Args:
            frame: (H, W, 3) uint8 RGB; one of another shape gets black bars.
            time_s: in seconds since the start of the video.

        Raises:
            InputError: `frame` is no frame, or the file cannot be written.
        """
        import av

        height, width = check_frame(frame).shape[:2]
        pixels = _letterbox(resize(frame, *self.fit(width, height)), *self.size)
        odd_x, odd_y = (side % 2 for side in self.size)
        if odd_x or odd_y:
            pixels = np.pad(pixels, ((0, odd_y), (0, odd_x), (0, 0)), mode="edge")
        shared = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), "rgb24")
        picture = shared.reformat(format="yuv420p", dst_colorspace="ITU709")
        picture.pts = round(time_s / _TIME_BASE)
        picture.time_base = _TIME_BASE
        if self._last_s is not None:
            self._step_s = time_s - self._last_s
        self._last_s = time_s
        with self._writing():
            if self._sound is not None:
                self._sound.write(time_s)
            self._mux(self._stream.encode(picture))

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """Width and height at which a frame of another shape fits into `size`, in pixels."""
        scale = min(self.size[0] / width, self.size[1] / height)
        x, y = max(1, round(width * scale)), max(1, round(height * scale))
        # A pixel is lost to rounding where the video is scaled down; nobody wants a bar for it.
        near = abs(x - self.size[0]) <= 1 and abs(y - self.size[1]) <= 1
        return self.size if near else (x, y)

    def _mux(self, packets: "list[Packet[VideoStream]]") -> None:
        """Add packets but for the last, which the file cannot tell the length of by itself."""
        for packet in packets:
            if self._held is not None:
                self._container.mux(self._held)
            self._held = packet

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        import av

        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{self._path} must be writable. Received: {error}") from error

    def close(self) -> None:
        """See `WholeFile`."""
        with self._writing():
            self._mux(self._stream.encode(None))
            if self._held is not None:
                self._held.duration = round(self._step_s / _TIME_BASE)
                self._container.mux(self._held)
            if self._sound is not None:
                self._sound.finish((self._last_s or 0.0) + self._step_s)
            self._container.close()
            self._put()

    def discard(self) -> None:
        """See `WholeFile`."""
        import av

        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()
        if self._sound is not None:
            self._sound.close()
        self._partial().unlink(missing_ok=True)


class _Sound:
    """The sound of one video on its way into another, up to the time of the pictures there.

    Packets that mp4 players know are copied, others become AAC. What cannot be read ends the
    sound, never the video.

    Attributes:
        outcome: see `VideoWriter.sound`.
    """

    def __init__(self, source: VideoReader, target: "OutputContainer") -> None:
        self.outcome = "none"
        self._target = target
        self._clock = _Clock(source.zero_s)
        self._packets: Iterator[tuple[float, Packet[AudioStream]]] = iter(())
        self._next: tuple[float, Packet[AudioStream]] | None = None
        self._encoder: AudioStream | None = None
        self._container: InputContainer | None = None
        if not source.info.has_audio:
            return
        problem = _why_unheard(source.path)
        if problem is not None:
            self.outcome = problem
            return
        self._container = _open(source.path)
        stream = _find_sound(self._container)
        assert stream is not None
        self._rate = stream.codec_context.sample_rate
        self._due_s = -1.0
        if stream.codec_context.codec.canonical_name in _COPIED_SOUND:
            self.outcome = "copied"
            self._packets = self._copy(stream, target.add_stream_from_template(stream))
        else:
            self.outcome = "encoded"
            self._encoder = target.add_stream(
                "aac",
                rate=self._rate if self._rate in _AAC_RATES else _AAC_RATES[-1],
                layout="mono" if stream.codec_context.channels == 1 else "stereo",
            )
            self._packets = self._encode(stream, self._encoder)
        self._next = next(self._packets, None)

    def _copy(
        self, stream: "AudioStream", out: "AudioStream"
    ) -> Iterator[tuple[float, "Packet[AudioStream]"]]:
        for packet in self._demux(stream):
            time_s = self._time_s(packet, stream.codec_context.frame_size)
            if time_s < -_SOUND_LEAD_S:
                continue
            packet.stream = out
            packet.pts = packet.dts = round(time_s / packet.time_base)
            yield time_s, packet

    def _encode(
        self, stream: "AudioStream", out: "AudioStream"
    ) -> Iterator[tuple[float, "Packet[AudioStream]"]]:
        import av

        for packet in self._demux(stream):
            try:
                frames = stream.codec_context.decode(packet)
            except av.FFmpegError:
                continue
            for frame in frames:
                time_s = self._time_s(frame, frame.samples)
                if time_s < -_SOUND_LEAD_S:
                    continue
                frame.time_base = Fraction(1, self._rate)
                frame.pts = round(time_s * self._rate)
                for encoded in out.encode(frame):
                    yield time_s, encoded

    def _demux(self, stream: "AudioStream") -> Iterator["Packet[AudioStream]"]:
        assert self._container is not None
        for packet in self._container.demux(stream):
            if packet.size:
                yield packet

    def _time_s(self, part: "Packet[AudioStream] | av.AudioFrame", n_samples: int) -> float:
        """When a part begins; straight after the one before where that is what was meant."""
        raw = part.dts if part.pts is None else part.pts
        base = part.time_base
        raw_s = None if raw is None or base is None else float(raw * base)
        length_s = n_samples / self._rate
        time_s = self._clock(raw_s, length_s)
        if abs(time_s - self._due_s) < _JITTER_S:
            time_s = self._due_s
        self._due_s = time_s + length_s
        return time_s

    def write(self, until_s: float) -> None:
        """Add the sound up to this time."""
        import av

        while self._next is not None and self._next[0] < until_s:
            try:
                self._target.mux(self._next[1])
                self._next = next(self._packets, None)
            except (av.FFmpegError, ValueError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or error
                self.outcome = f"after {until_s:.1f} s it cannot be read ({reason})"
                self._next = None

    def finish(self, end_s: float) -> None:
        """Add what is left before `end_s`, and no more."""
        self.write(end_s)
        if self._encoder is not None:
            self._target.mux(self._encoder.encode(None))
        self.close()

    def close(self) -> None:
        """Let go of the source."""
        self._next = None
        if self._container is not None:
            self._container.close()


def _why_unheard(path: Path) -> str | None:
    """Why the sound of a file cannot be used; None where it can."""
    import av

    problem = "it is empty"
    with _open(path) as container:
        stream = _find_sound(container)
        assert stream is not None
        for packet in itertools.islice(container.demux(stream), _MAX_BROKEN):
            try:
                if packet.decode():
                    return None
            except av.FFmpegError as error:
                problem = f"it cannot be read ({error.strerror})"
    return problem
