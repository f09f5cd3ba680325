"""The sound of one video, copied or encoded into another."""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fer.media.clock import Clock
from fer.media.files import find_sound, open_video
from fer.media.reader import MAX_BROKEN, VideoReader

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

__all__ = ["Sound"]

_COPIED_SOUND = ("aac", "mp3")
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Sound before the first picture is left out, but for what a decoder needs to start with.
_SOUND_LEAD_S = 0.05
# Matroska rounds the times of sound to milliseconds; heard as they are, they crackle.
_JITTER_S = 0.005


class Sound:
    """The sound of one video on its way into another, to its own end.

    Packets that mp4 players know are copied, others become AAC. What cannot be read ends the
    sound, never the video.

    Attributes:
        outcome: see `VideoWriter.sound`.
    """

    def __init__(self, source: VideoReader, target: "OutputContainer") -> None:
        self.outcome = "none"
        self._target = target
        self._clock = Clock(source.zero_s)
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
        self._container = open_video(source.path)
        stream = find_sound(self._container)
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
            time_s, packet = self._next
            try:
                self._target.mux(packet)
                self._next = next(self._packets, None)
            except (av.FFmpegError, ValueError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or error
                self.outcome = f"after {time_s:.1f} s it cannot be read ({reason})"
                self._next = None

    def finish(self) -> None:
        """Add what is left: players show the last picture meanwhile."""
        self.write(math.inf)
        if self._encoder is not None:
            self._target.mux(self._encoder.encode(None))
        self.close()

    def close(self) -> None:
        """Close the source."""
        self._next = None
        if self._container is not None:
            self._container.close()


def _why_unheard(path: Path) -> str | None:
    """Why the sound of a file cannot be used; None where it can."""
    import av

    problem = "it is empty"
    with open_video(path) as container:
        stream = find_sound(container)
        assert stream is not None
        for packet in itertools.islice(container.demux(stream), MAX_BROKEN):
            try:
                if packet.decode():
                    return None
            except av.FFmpegError as error:
                problem = f"it cannot be read ({error.strerror})"
    return problem
