"""Frames -> a video file for browsers, with the sound of the original."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer.check import check_path
from fer.errors import InputError
from fer.media.clock import DEFAULT_FPS
from fer.media.files import MAX_THREADS
from fer.media.reader import VideoReader
from fer.media.sound import Sound
from fer.output import AtomicFile, check_apart
from fer.preprocess import resize
from fer.types import check_frame

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

__all__ = ["VideoWriter"]

_TIME_BASE = Fraction(1, 90_000)
# The next slower one takes half as long again for files a third smaller.
_PRESET = "superfast"
_QUALITY = "23"
# At most, 9 Mbit/s at 1920 x 1080: noise would take twenty times as much.
_BITS_PER_PIXEL = 0.15
_SMALL_BITS_PER_S = 2_000_000
_KEY_EVERY = 60  # frames: a browser seeks to these
_BT709 = 1


def _letterbox(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) in the middle of black, (height, width, 3)."""
    y, x = height - pixels.shape[0], width - pixels.shape[1]
    if not x and not y:
        return pixels
    return np.pad(pixels, ((y // 2, y - y // 2), (x // 2, x - x // 2), (0, 0)))


class VideoWriter(AtomicFile):
    """Writes an H.264 mp4 that browsers play, with the sound of another video.

    A context manager; the path gets its file when all is written.

    Args:
        path: of the mp4.
        width: of the frames in pixels; the video's is made even by repeating the edge.
        height: the same.
        sound_of: the video whose sound is kept, also where it outlasts the pictures; its clock is
            the one of the frames.
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

        self._path = check_path("output", path)
        if self._path.suffix.lower() != ".mp4":
            raise InputError(f"an annotated video must end in .mp4. Received: {self._path.name}")
        if sound_of is not None:
            check_apart([sound_of.path], [self._path])
        scale = min(1.0, max_side / max(width, height))
        self.size = max(1, round(width * scale)), max(1, round(height * scale))
        self._last_s: float | None = None
        self._step_s = 1 / DEFAULT_FPS
        self._held: Packet[VideoStream] | None = None
        self._sound: Sound | None = None
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
                self._sound = Sound(sound_of, self._container)
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
        context.thread_count = min(MAX_THREADS, os.cpu_count() or 1)
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
        # Scaling down may lose a pixel to rounding, which needs no black bar.
        near = abs(x - self.size[0]) <= 1 and abs(y - self.size[1]) <= 1
        return self.size if near else (x, y)

    def _mux(self, packets: "list[Packet[VideoStream]]") -> None:
        """Add all packets but the last, whose duration is only known at the end."""
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
        """See `AtomicFile`."""
        with self._writing():
            self._mux(self._stream.encode(None))
            if self._held is not None:
                self._held.duration = round(self._step_s / _TIME_BASE)
                self._container.mux(self._held)
            if self._sound is not None:
                self._sound.finish()
            self._container.close()
            self._put()

    def discard(self) -> None:
        """See `AtomicFile`."""
        import av

        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()
        if self._sound is not None:
            self._sound.close()
        self._partial().unlink(missing_ok=True)
