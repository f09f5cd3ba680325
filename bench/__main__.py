"""python -m bench: cold start, a 640 x 480 frame stage by stage, and each format."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from bench.apps import ROOT, cpu
from fer import (
    FerError,
    Pipeline,
    annotate,
    load_classifier,
    read_image,
    to_dict,
)
from fer.crop import crop_faces
from fer.hub import WEIGHTS_FOLDER, load_detectors
from fer.preprocess import resize, to_model_input
from train.export import FORMATS, format_file, load_network

_N_RUNS = 60
_FACE = ROOT / "examples" / "subgroups" / "monk-5_female_25_neutral.jpg"

_COLD = """
import time
start = time.perf_counter()
import fer
imported = time.perf_counter()
classifier = fer.load_classifier()
detector = fer.load_detector("auto", on_fallback=lambda reason: None)
face = fer.read_image("examples/subgroups/monk-5_female_25_happy.jpg")
fer.Pipeline(detector, classifier)(face)
done = time.perf_counter()
import sys
print(imported - start, done - start, "tensorflow" in sys.modules)
"""


def _median_ms(call: Callable[[], object]) -> float:
    for _ in range(5):
        call()
    spent = []
    for _ in range(_N_RUNS):
        start = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - start))
    return statistics.median(spent)


def _cold_start() -> None:
    rows = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _COLD], cwd=ROOT, capture_output=True, text=True, check=True
        )
        imported, predicted, heavy = done.stdout.split()
        rows.append((float(imported), float(predicted), heavy))
    import_s, first_s, heavy = min(rows, key=lambda row: row[1])
    print(f"cold start, best of 3: import fer {import_s:.2f} s, import and first prediction")
    print(f"{first_s:.2f} s, TensorFlow loaded: {heavy}\n")


def _stages() -> None:
    face = resize(read_image(_FACE), 480, 480)
    frame = np.pad(face, ((0, 0), (80, 80), (0, 0)), mode="edge")
    classifier = load_classifier()
    rows = []
    for name, detector in load_detectors(print):
        pipeline = Pipeline(detector, classifier)
        results = [pipeline(frame) for _ in range(_N_RUNS)]
        row: dict[str, float | str] = {"detector": name, "faces": len(results[-1].faces)}
        for stage in results[-1].timing_ms:
            row[f"{stage}_ms"] = round(
                statistics.median(result.timing_ms[stage] for result in results), 2
            )
        result = results[-1]
        crops = crop_faces(frame, result.faces, classifier.config)
        for stage, call in {
            "preprocess (in classify)": lambda: to_model_input(crops, classifier.config),  # noqa: B023
            "annotate": lambda: annotate(frame, result),  # noqa: B023
            "serialize": lambda: to_dict(result),  # noqa: B023
        }.items():
            row[f"{stage}_ms"] = round(_median_ms(call), 2)
        row["frame_ms"] = round(_median_ms(lambda: pipeline(frame)), 2)  # noqa: B023
        rows.append(row)
    table = pd.DataFrame(rows)
    table["ratio"] = (table["frame_ms"] / table["frame_ms"].min()).round(2)
    print(f"one {frame.shape[1]} x {frame.shape[0]} frame, median of {_N_RUNS}, in ms")
    print(table.set_index("detector").T.to_string(), "\n")


def _batches() -> None:
    classifier = load_classifier()
    crop = resize(read_image(_FACE), 360, 360)
    rows = []
    for n_faces in (1, 2, 8, 32):
        spent = _median_ms(lambda: classifier([crop] * n_faces))  # noqa: B023
        rows.append(
            {"faces": n_faces, "ms": round(spent, 2), "ms_a_face": round(spent / n_faces, 2)}
        )
    table = pd.DataFrame(rows)
    table["ratio"] = table["ms_a_face"] / table["ms_a_face"].iloc[0]
    print("preprocess and classify, LiteRT, one thread")
    print(table.round(2).to_string(index=False), "\n")


def _formats() -> None:
    """Write results/speed.csv, too, from which the model card takes its times."""
    config = load_classifier().config
    pixels = np.zeros((1, config.input_size, config.input_size, config.channels), np.float32)
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for form in FORMATS.values():
            try:
                path = format_file(form, WEIGHTS_FOLDER, Path(made), None)
            except FerError as error:
                print(f"left out: {form.name}: {error}")
                continue
            network = load_network(path)
            row = {"format": form.name, "bytes": path.stat().st_size}
            row["ms_per_face"] = round(_median_ms(lambda: network(pixels)), 2)  # noqa: B023
            rows.append(row | {"machine": cpu()})
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "results" / "speed.csv", index=False)
    served = table.set_index("format")["ms_per_face"]["litert-float32"]
    print(f"one face, the network alone; one thread, but for Keras; median of {_N_RUNS}")
    print(table.assign(ratio=(table["ms_per_face"] / served).round(2)).to_string(index=False))


if __name__ == "__main__":
    _cold_start()
    _stages()
    _batches()
    _formats()
