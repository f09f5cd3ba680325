"""python -m bench.detect: faces and seconds at one look and in full, on pictures of every size.

Pictures are made from the examples, and from a group photograph (--group); others are named on the
command line. Pictures without a face are made from noise: what is found there is false. With
--turned those that are named are turned: how many of the faces found upright are found again.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from bench.apps import ROOT
from fer.detect import Detector
from fer.geometry import center_xy
from fer.hub import load_detectors
from fer.image import read_image
from fer.preprocess import resize
from fer.types import Faces

Frame = NDArray[np.uint8]

_FACE = ROOT / "examples" / "subgroups" / "monk-5_female_25_neutral.jpg"


def _pictures(group: Path | None, named: list[Path]) -> Iterator[tuple[str, int | None, Frame]]:
    """Yield title, number of faces and frame of each picture."""
    if group is not None:
        photo = read_image(group)
        yield "group of 29", 29, photo
        yield "2 x 2 mosaic of it", 116, np.tile(photo, (2, 2, 1))
        yield "12 megapixels of it", 29, resize(photo, 4000, 3000)
        yield "1920 x 1080 of it", 29, resize(photo, 1920, 1080)
    face = read_image(_FACE)
    for side, height in ((300, 8000), (120, 16000)):
        shot = np.full((height, 1080, 3), 245, np.uint8)
        tops = range(200, height - side, 1200)
        for top in tops:
            shot[top : top + side, 100 : 100 + side] = resize(face, side, side)
        yield f"screenshot 1080 x {height}", len(tops), shot
    wide = np.full((3000, 4000, 3), 90, np.uint8)
    wide[600:2600, 1000:3000] = resize(face, 2000, 2000)
    yield "12 megapixels, one face", 1, wide
    for path in named:
        yield path.name, None, read_image(path)


def _faceless(n: int) -> Iterator[Frame]:
    """Yield noise, pages of text, walls, ellipses and hills, from .5 to 9 megapixels."""
    rng = np.random.default_rng(0)
    for i in range(n):
        height, width = rng.integers(700, 3000, 2)
        frame = np.full((height, width, 3), rng.integers(256, size=3), np.uint8)
        if i % 5 == 0:
            coarse = rng.integers(0, 256, (height // 20, width // 20, 3), np.uint8)
            frame = resize(coarse, width, height)
        elif i % 5 == 1:
            for y in range(30, height, int(rng.integers(18, 60))):
                text = "".join(map(chr, rng.integers(33, 126, 200)))
                cv2.putText(frame, text, (5, y), i % 8, float(rng.uniform(0.4, 1.6)), (20, 20, 20))
        elif i % 5 == 2:
            high, wide = rng.integers(20, 160, 2)
            for y in range(0, height, high):
                for x in range(0, width, wide):
                    frame[y + 3 : y + high - 3, x + 3 : x + wide - 3] = rng.integers(256, size=3)
        elif i % 5 == 3:
            for _ in range(600):
                center = int(rng.integers(width)), int(rng.integers(height))
                axes = int(rng.integers(4, 90)), int(rng.integers(4, 90))
                color = rng.integers(256, size=3).tolist()
                cv2.ellipse(frame, center, axes, float(rng.integers(360)), 0, 360, color, -1)
        else:
            hills = rng.normal(size=(height // 40 + 2, width // 40 + 2)).astype(np.float32)
            size = int(width), int(height)
            smooth = cv2.resize(hills, size, interpolation=cv2.INTER_CUBIC)  # noqa: TID251
            slope = np.gradient(smooth)[0]
            light = np.clip(0.5 + 9 * slope[..., None] * rng.uniform(0.4, 1, 3), 0, 1)
            frame = (255 * light).astype(np.uint8)
        yield frame


def _best(call: Callable[[], Faces], times: int) -> tuple[Faces, float]:
    """Return the result of a call, and the least of its seconds."""
    least = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        faces = call()
        least = min(least, time.perf_counter() - start)
    return faces, least


def _count_turned(detector: Detector, paths: list[Path]) -> dict[str, object]:
    """Count the faces found upright, and those found again in pictures turned to the left."""
    degrees = (0, 90, 180, 270)
    counts = dict.fromkeys(degrees, 0)
    for path in paths:
        photo = read_image(path)
        scale = min(1.0, 1000 / max(photo.shape[:2]))
        photo = resize(photo, *(max(1, round(side * scale)) for side in photo.shape[1::-1]))
        upright = detector(photo).xyxy
        for quarters, turn in enumerate(degrees):
            found = center_xy(detector(np.ascontiguousarray(np.rot90(photo, quarters))).xyxy)
            for step in reversed(range(quarters)):  # turn back, a quarter at a time
                width = photo.shape[1 - step % 2]
                found = np.stack([width - found[:, 1], found[:, 0]], axis=1)
            for box in upright:
                away = np.hypot(*(found - center_xy(box[None])).T)
                counts[turn] += bool((away < max(box[2:] - box[:2]) / 2).any())
    return {"detector": detector.title} | {f"{turn} degrees": counts[turn] for turn in degrees}


def main(
    pictures: Annotated[list[Path] | None, typer.Argument(help="Pictures of your own.")] = None,
    group: Annotated[
        Path | None,
        typer.Option(
            help="The photograph of the Solvay conference of 1927, with 29 faces: in the public "
            "domain, at Wikimedia Commons. [left out]"
        ),
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="Each so many times; the least counts.")] = 5,
    faceless: Annotated[int, typer.Option(min=0, help="Pictures without a face.")] = 50,
    turned: Annotated[bool, typer.Option("--turned", help="Turn the pictures instead.")] = False,
) -> None:
    """Print faces and seconds at one look and in full, for each detector."""
    if turned:
        counted = [_count_turned(detector, pictures or []) for _, detector in load_detectors(print)]
        print(pd.DataFrame(counted).to_string(index=False))
        return
    rows = []
    for _, detector in load_detectors(print):
        quick = getattr(detector, "glance", detector)
        for title, n_faces, frame in _pictures(group, pictures or []):
            row: dict[str, object] = {"detector": detector.title, "picture": title}
            row["size"] = f"{frame.shape[1]} x {frame.shape[0]}"
            row["faces there"] = "?" if n_faces is None else n_faces
            for how, call in (("one look", quick), ("in full", detector)):
                faces, seconds = _best(partial(call, frame), times)
                row |= {how: len(faces), f"{how}, s": round(seconds, 3)}
            rows.append(row)
        counts = {"one look": 0, "in full": 0}
        for frame in _faceless(faceless):
            counts["one look"] += len(quick(frame))
            counts["in full"] += len(detector(frame))
        title = f"{faceless} pictures without a face"
        rows.append({"detector": detector.title, "picture": title, "faces there": 0} | counts)
    print(pd.DataFrame(rows).astype(object).fillna("").to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
