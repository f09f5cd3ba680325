"""python -m bench.folder: FER-2013 test images as files, by `analyse_folder` and by PyPI's `fer`.

PyPI's package has its own environment, made once, because it is called `fer`, too, and wants
other versions of nearly everything.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from PIL import Image

from bench.apps import ROOT, cpu
from bench.report import write_speed
from fer import FerError
from fer.batch import FolderProgress, analyse_folder
from fer.batch.data import DataSet
from fer.batch.work import CHUNK
from fer.image import read_image
from fer.preprocess import resize
from train.data.dataset import default_dataset

# moviepy 1 and setuptools 80 are the last that it can be imported with.
_PACKAGES = ("fer==25.10.3", "moviepy==1.0.3", "setuptools<81")
# As it comes, it looks for faces of 50 pixels or more only, which no 48-pixel image has; with
# 20 it finds some; MTCNN is the detector that its README names for accuracy.
_SETTINGS = {
    "as it comes": {},
    "min_face_size=20": {"min_face_size": 20},
    "mtcnn=True": {"mtcnn": True},
}
_DETECTORS = ("yunet", "slim")
_THEIRS = """
import json, sys, time
from pathlib import Path
import cv2
from fer.fer import FER
detector = FER(**json.loads(sys.argv[2]))
files = sorted(Path(sys.argv[1]).iterdir())
for file in files[:16]:
    detector.detect_emotions(cv2.imread(str(file)))
start, n_faces, n_found = time.perf_counter(), 0, 0
for file in files:
    faces = detector.detect_emotions(cv2.imread(str(file)))
    n_faces += len(faces)
    n_found += bool(faces)
print(json.dumps([time.perf_counter() - start, n_faces, n_found]))
"""


def _write_images(folder: Path, n_images: int, side: int) -> None:
    pictures = DataSet(default_dataset(), "test").items()
    for number, item in zip(range(n_images), pictures, strict=False):
        frame = read_image(item.content)
        Image.fromarray(resize(frame, side, side)).save(folder / f"{number:04}.png")


def _environment(folder: Path) -> Path:
    """Return the Python of PyPI's package, installed on first use."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *_PACKAGES], check=True)
    return python


def _run_theirs(python: Path, folder: Path, setting: str) -> dict[str, float | str]:
    options = json.dumps(_SETTINGS[setting])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [python, "-c", _THEIRS, folder, options],
            cwd=elsewhere,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    seconds, n_faces, n_found = json.loads(done.stdout.splitlines()[-1])
    n_images = len(list(folder.iterdir()))
    return {
        "what": f"fer 25.10.3, {setting}",
        "images_per_s": n_images / seconds,
        "faces": n_faces,
        "images_with_face": n_found,
    }


def _run_ours(folder: Path, detector: str) -> dict[str, float | str]:
    marks: list[tuple[float, int]] = []

    def note(progress: FolderProgress) -> None:
        marks.append((time.perf_counter(), progress.n_done))

    with tempfile.TemporaryDirectory() as out:
        report = analyse_folder(
            folder, Path(out) / "faces.csv", detector=detector, on_progress=note
        )
    # From when every process has its model, and has done its first pictures, to the end.
    (start, n_first), (end, n_last) = (
        marks[min(len(marks) - 2, CHUNK * (os.cpu_count() or 1))],
        marks[-1],
    )
    return {
        "what": f"folder, {detector}",
        "images_per_s": (n_last - n_first) / (end - start),
        "faces": report.n_faces,
        "images_with_face": report.n_files - report.n_without_face - report.n_errors,
    }


def main(
    n_images: int = 1000,
    side: Annotated[int, typer.Option(help="enlarge the 48-pixel images to this side")] = 48,
    environment: Annotated[
        Path, typer.Option(envvar="FER_BENCH_ENV", help="where PyPI's package is installed")
    ] = ROOT / ".venv-fer",
) -> None:
    """Measure, print, and write results/folder.csv and docs/performance.md."""
    python = _environment(environment)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        _write_images(folder, n_images, side)
        rows = [_run_theirs(python, folder, setting) for setting in _SETTINGS]
        for detector in _DETECTORS:
            try:
                rows.append(_run_ours(folder, detector))
            except FerError as error:
                print(f"left out: {error}", file=sys.stderr)
    table = pd.DataFrame(rows).round({"images_per_s": 1})
    for setting in _SETTINGS:
        theirs = table.set_index("what")["images_per_s"][f"fer 25.10.3, {setting}"]
        table[f"times {setting}"] = (table["images_per_s"] / theirs).round(2)
    table = table.assign(images=n_images, side_px=side, machine=cpu())
    table.to_csv(ROOT / "results" / "folder.csv", index=False)
    write_speed()
    print(f"{n_images} FER-2013 test images, {side} pixels wide, as PNG files; {cpu()}")
    print(table.drop(columns=["images", "side_px", "machine"]).to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
