"""python -m tests.fuzz image|video N: broken files through the public entry points.

Ends with a stack trace where anything but a typed error comes up, and dies where a decoder
does. Prints a line of JSON: how many were read, which errors the others gave, and the memory in
megabytes after a tenth and after all of them.
"""

import collections
import gc
import io
import json
import random
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import psutil
from PIL import Image

from fer import FerError, Pipeline, annotate, load_classifier, load_detector, read_image, to_rows
from fer.video import analyse_video
from tests.conftest import FACE, rendered_face

_SIDE_PX = 160


def picture_seeds():
    """The bytes of one small picture in each format and mode."""
    face = Image.open(FACE).convert("RGB")
    face = face.resize((_SIDE_PX, _SIDE_PX))
    for form, mode, options in (
        ("JPEG", "RGB", {}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("JPEG", "L", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {"transparency": 3}),
        ("PNG", "I;16", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("GIF", "P", {"save_all": True, "append_images": [face.rotate(20).convert("P")]}),
        ("BMP", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "F", {}),
        ("AVIF", "RGB", {}),
        ("PPM", "RGB", {}),
    ):
        gray = face.convert("L")
        image = Image.fromarray(np.asarray(gray, np.uint16) * 256) if mode == "I;16" else None
        buffer = io.BytesIO()
        (image or face.convert(mode)).save(buffer, form, **options)
        yield buffer.getvalue()


def video_seeds():
    """The bytes of one short video in each container."""
    face = rendered_face("surprise", "male", 120)
    for suffix, codec, sound in (
        ("mp4", "libx264", "aac"),
        ("webm", "libvpx", "libopus"),
        ("mkv", "mpeg4", "flac"),
        ("avi", "mjpeg", "pcm_s16le"),
        ("mov", "libx264", None),
        ("gif", "gif", None),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"clip.{suffix}"
            with av.open(str(path), "w") as container:
                video = container.add_stream(codec, rate=10)
                video.width, video.height = face.shape[1], face.shape[0]
                video.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
                audio = container.add_stream(sound, rate=48000) if sound else None
                for i in range(8):
                    frame = av.VideoFrame.from_ndarray(np.roll(face, 3 * i, axis=1), "rgb24")
                    container.mux(video.encode(frame))
                container.mux(video.encode())
                if audio is not None:
                    size = audio.codec_context.frame_size or 960
                    kind = audio.codec_context.format.name
                    for i in range(38400 // size):
                        shape = (1, size * 2) if not kind.endswith("p") else (2, size)
                        dtype = np.float32 if kind.startswith("flt") else np.int16
                        frame = av.AudioFrame.from_ndarray(np.zeros(shape, dtype), kind, "stereo")
                        frame.sample_rate, frame.pts = 48000, i * size
                        container.mux(audio.encode(frame))
                    container.mux(audio.encode())
            yield path.read_bytes()


def mutate(seed, others, rng):
    """A broken copy of `seed`."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 3))):
        kind = rng.choice(("flip", "head", "cut", "drop", "repeat", "noise", "splice", "ends"))
        at = rng.randrange(len(data) or 1)
        length = rng.choice((1, 4, 64, len(data) // 4))
        if kind == "flip":
            for _ in range(rng.choice((1, 10, 200))):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == "head":
            for i in range(min(64, len(data))):
                if rng.random() < 0.1:
                    data[i] = rng.choice((0, 1, 127, 128, 255))
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * rng.choice((1, 3))
        elif kind == "noise":
            data[at : at + length] = rng.randbytes(length)
        elif kind == "splice":
            data[at:] = rng.choice(others)[at:]
        else:
            data = bytearray(rng.choice((b"", bytes(data[:4]), data + rng.randbytes(999))))
    return bytes(data)


def analyse_picture(pipeline, data):
    """As the photo page, the command line and a batch do."""
    frame = read_image(data)
    result = pipeline(frame)
    to_rows(result)
    annotate(frame, result)


def analyse_clip(pipeline, data, folder):
    """As the video page and the command line do; nothing half-made may stay."""
    source = folder / "clip"
    source.write_bytes(data)
    made = folder / "made.mp4", folder / "made.csv", folder / "made.parquet"
    try:
        analyse_video(pipeline, source, output=made[0], tables=made[1:])
    finally:
        present = [path.exists() for path in made]
        assert all(present) or not any(present), present
        for path in folder.iterdir():
            assert path in (source, *made), path
            path.unlink()


def main(kind, n_files):
    rng = random.Random(0)
    seeds = list(picture_seeds() if kind == "image" else video_seeds())
    pipeline = Pipeline(load_detector("slim"), load_classifier())
    process = psutil.Process()
    outcomes = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        for i in range(n_files):
            data = mutate(seeds[i % len(seeds)], seeds, rng)
            if i < len(seeds):
                data = seeds[i]  # unbroken ones show that the entry points work
            try:
                if kind == "image":
                    analyse_picture(pipeline, data)
                else:
                    analyse_clip(pipeline, data, Path(name))
                outcomes["read"] += 1
            except FerError as error:
                outcomes[type(error).__name__] += 1
                if i < len(seeds):
                    raise RuntimeError("an unbroken file was refused") from error
            except Exception:
                Path(tempfile.gettempdir(), f"fuzz-{kind}-{i}").write_bytes(data)
                raise
            if i == n_files // 10:
                gc.collect()
                early = process.memory_info().rss / 1e6
    gc.collect()
    late = process.memory_info().rss / 1e6
    print(json.dumps({"outcomes": outcomes, "early_mb": round(early), "late_mb": round(late)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
