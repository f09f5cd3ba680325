"""python -m bench.video: a 1280 x 720 video of one face with sound, analysed in several ways."""

import math
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd

from bench.apps import ROOT, cpu
from bench.report import write_speed
from fer import Pipeline, read_image
from fer.preprocess import resize
from fer.video import analyse_video

_FACES = [
    f"monk-5_{sex}_25_{name}.jpg"
    for sex in ("female", "male")
    for name in ("neutral", "happy", "surprise")
]
_FOLDER = ROOT / "examples" / "subgroups"
_WIDTH, _HEIGHT, _FACE_PX = 1280, 720, 400
_FPS, _SECONDS = 30, 20
_SOUND_RATE = 44_100
_RATES = (None, 15.0, 5.0)


def write_clip(path: Path) -> None:
    """Write a clip of one rendered face at a time on a moving ground, and a tone."""
    faces = [resize(read_image(_FOLDER / name), _FACE_PX, _FACE_PX) for name in _FACES]
    rows, columns = np.mgrid[:_HEIGHT, : 2 * _WIDTH]
    waves = 120 + 40 * np.sin(rows / 30) + 40 * np.sin(columns * 2 * math.pi / 160)
    ground = waves.astype(np.uint8)[..., None].repeat(3, axis=2)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=_FPS, options={"preset": "fast"})
        video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=_SOUND_RATE, layout="stereo")
        n_frames = _FPS * _SECONDS
        for i in range(n_frames):
            part = i / n_frames
            frame = ground[:, i % _WIDTH :][:, :_WIDTH].copy()
            x = round(440 + 400 * math.sin(6 * math.pi * part))
            y = round(160 + 140 * math.cos(10 * math.pi * part))
            frame[y : y + _FACE_PX, x : x + _FACE_PX] = faces[int(part * len(faces))]
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(video.encode(None))
        tone = np.sin(np.arange(_SECONDS * _SOUND_RATE) * 440 * 2 * np.pi / _SOUND_RATE)
        samples = np.repeat(tone.astype(np.float32)[None] / 4, 2, axis=0)
        heard = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
        heard.sample_rate, heard.pts, heard.time_base = _SOUND_RATE, 0, Fraction(1, _SOUND_RATE)
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))


def main() -> None:
    """Measure, print, and write results/video.csv and docs/performance.md."""
    pipeline = Pipeline.load()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip)
        for output in (Path(folder) / "annotated.mp4", None):
            for rate in _RATES:
                start, spent = time.perf_counter(), time.process_time()
                report = analyse_video(pipeline, clip, rate=rate, output=output)
                elapsed, spent = time.perf_counter() - start, time.process_time() - spent
                rows.append(
                    {
                        "annotated video": "no" if output is None else "yes",
                        "frames/s looked at": round(report.n_looked_at / report.seconds, 1),
                        "frames/s of work": round(report.n_frames / elapsed, 1),
                        "times real time": round(report.seconds / elapsed, 2),
                        "CPU s/s of video": round(spent / report.seconds, 3),
                        "persons": len(report.persons) + report.n_passing,
                        "detector": pipeline.detector.title,
                        "machine": cpu(),
                    }
                )
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "results" / "video.csv", index=False)
    write_speed()
    print(f"{_WIDTH} x {_HEIGHT}, {_FPS} frames/s, {_SECONDS} s, one face, sound")
    print(table.drop(columns="machine").to_string(index=False))


if __name__ == "__main__":
    main()
