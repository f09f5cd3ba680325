"""A video file -> frames with their times. It is measured before it is decoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fer.check import check_path
from fer.errors import VideoError
from fer.media.clock import DEFAULT_FPS, Clock, Sampler, find_zero
from fer.media.files import MAX_PIXELS, check_size, find_sound, open_video
from fer.media.packets import Packets, measure_packets
from fer.preprocess import resize

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

__all__ = [
    "DEFAULT_FPS",
    "MAX_BROKEN",
    "VideoFrame",
    "VideoInfo",
    "VideoReader",
    "check_total",
    "probe_video",
    "read_frames",
]

# After this many broken packets without a frame, none will come.
MAX_BROKEN = 300
_MAX_FPS = 1000.0


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Properties of a video file, from its packets and its first frame.

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


class VideoReader:
    """Decodes one video file; a context manager.

    Its first frame is decoded at once, so that an unusable file shows here. The same bytes give the
    same frames in every run, damaged or not.

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
        n_damaged: packets and frames that could not be decoded so far and were left out; with a
            key frame all frames up to the next one, which build on it.
        end_s: when the last frame so far ends, in seconds since the start.
        ended_early: whether the file broke off; known when all frames have been read.

    Raises:
        VideoError: see `probe_video`.
    """

    def __init__(self, path: Path | str, max_total_pixels: float | None = None) -> None:
        self.path = check_path("path", path)
        self._max_total_pixels = max_total_pixels
        self._n_pixels = 0
        self._key_is_lost = False
        self._n_without_key = 0
        self.n_frames = 0
        self.n_damaged = 0
        self.end_s = 0.0
        self.ended_early = False
        self._container = open_video(self.path)
        try:
            self._stream = self._find_stream()
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                why = ", as its key frame is damaged" if self._key_is_lost else ""
                raise VideoError(
                    f"{self.path.name} must have at least one picture that can be read. "
                    f"Received: none{why}"
                )
            self._first = first
            # Before any turn, and wide pixels made square.
            self._size = _square_size(first, self._stream)
            check_size(self.path.name, *self._size)
            self.zero_s = find_zero(self._container, first.time)
            self._clock = Clock(self.zero_s)
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
            received = "sound only" if self._container.streams.audio else "neither video nor sound"
            raise VideoError(f"{name} must have pictures in it. Received: {received}")
        # Without a decoder there is no context, whatever its annotation says.
        streams = [stream for stream in streams if stream.codec_context is not None]
        if not streams:
            raise VideoError(
                f"{name} must be of a codec that can be decoded. Received: an unknown one"
            )
        stream = max(streams, key=lambda stream: stream.width * stream.height)
        check_size(name, stream.width, stream.height)
        # Several threads guess at what is damaged from pictures that others are still making, so
        # that each run would give another guess. Analysis keeps the other cores busy.
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        return stream

    def _measure(self, max_total_pixels: float | None) -> "Packets":
        width, height = self._size
        most = float("inf") if max_total_pixels is None else max_total_pixels / (width * height)
        return measure_packets(self.path, self._stream.index, most)

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
        sound = find_sound(self._container)
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
                self._key_is_lost |= packet is not None and packet.is_keyframe
                frames = []
            for frame in frames:
                self._n_pixels += frame.width * frame.height
                if self._max_total_pixels is not None and self._n_pixels > self._max_total_pixels:
                    raise _too_many_pixels(
                        self.path.name,
                        self._max_total_pixels,
                        f"more after {self.n_frames} frames",
                    )
                if not self._is_sound(frame):
                    self.n_damaged += 1
                    continue
                self.n_frames += 1
                yield frame
            if packet is None or packet.size == 0 or self._is_hopeless():
                return

    def _is_sound(self, frame: "av.VideoFrame") -> bool:
        """Whether a frame is whole, and so is the key frame that it builds on."""
        from av.video.frame import PictureType

        if frame.key_frame:
            # One that is no I frame begins a gradual refresh, and is not whole by itself.
            self._key_is_lost = frame.is_corrupt and frame.pict_type == PictureType.I
        self._n_without_key += self._key_is_lost
        return not (frame.is_corrupt or self._key_is_lost)

    def _is_hopeless(self) -> bool:
        return not self.n_frames and self.n_damaged - self._n_without_key > MAX_BROKEN

    def frames(self, rate: float | None = None) -> Iterator[VideoFrame]:
        """Every frame, or at most `rate` a second; to be called once.

        Raises:
            InputError: `rate` is not positive.
        """
        picks = Sampler(rate)
        step_s = 1 / (self.info.fps or DEFAULT_FPS)
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
            check_size(self.path.name, *size)
        see_through = any(part.is_alpha for part in frame.format.components)
        pixels: Any = frame.to_ndarray(format="rgba" if see_through else "rgb24")
        if see_through:
            pixels = _on_white(pixels)
        pixels = resize(pixels, *size)
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def probe_video(path: Path | str) -> VideoInfo:
    """Describe a video file; its first frame is decoded, so that unusable files fail here.

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
    """Yield the frames of a video file; memory stays flat.

    Upright, with square pixels, each of its own size, transparent parts on white. What is
    damaged is left out; a file that breaks off gives what it has. `VideoReader` tells of both.

    Args:
        path: the file.
        rate: at most this many frames per second of video; every frame when None.

    Raises:
        VideoError: see `probe_video`.
        InputError: `rate` is not positive.
    """
    with VideoReader(path) as reader:
        yield from reader.frames(rate)


def _square_size(frame: "av.VideoFrame", stream: "VideoStream") -> tuple[int, int]:
    """Width and height that show a frame undistorted."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1
    if not Fraction(1, 4) <= aspect <= 4:
        aspect = 1
    return max(1, round(frame.width * aspect)), frame.height


def _on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) -> (H, W, 3)."""
    opacity = pixels[..., 3:].astype(np.uint16)
    if opacity.min() == 255:
        return pixels[..., :3]
    mixed = pixels[..., :3] * opacity + 255 * (255 - opacity)
    return (mixed // 255).astype(np.uint8)
