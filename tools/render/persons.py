"""Persons of their own, each at rest and with every expression: what a resting face changes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from tools.render.expressions import VIVID_EXPRESSIONS
from tools.render.mesh import load_base
from tools.render.paint import SKINS
from tools.render.people import AGES, SEXES
from tools.render.scene import Actor, Camera, Person, render_scene
from train.measure.resting import REST, SHOT
from train.measure.subgroups import PICTURES_NAME

__all__ = ["render_persons"]

N_PERSONS = 36
_FIRST = 500  # the number of the first, apart from those of the examples
_REST_CAMERA = Camera(192, 192, fov_deg=18, height_dm=-0.3, light=0.8, samples=16)
# The resting face is taken at another time than the others, so not from quite the same place.
_CAMERA = replace(_REST_CAMERA, yaw_deg=8, pitch_deg=5, lamps_deg=20, lamps_away=1.7)
_JPEG_QUALITY = 90
_BLACK, _GRAY = "#241e18", "#8a8680"


def _persons(n_persons: int) -> Iterator[tuple[int, Person]]:
    """Yield persons with their numbers: tones, ages and sexes in turn, every shape once."""
    skins = tuple(SKINS)
    for i in range(n_persons):
        sex, skin = SEXES[i % 2], skins[i // 2 % len(skins)]
        age = AGES[i // (2 * len(skins)) % len(AGES)]
        hair = _GRAY if age == max(AGES) else _BLACK
        yield _FIRST + i, Person(sex, age, skin, _FIRST + i, hair)


def render_persons(target: Path, n_persons: int = N_PERSONS) -> None:
    """Render persons at rest, and with every expression from a little to the side.

    Args:
        target: folder for the JPEG files and `pictures.csv` with the columns file, expression,
            shot ("rest", or "expression"), person, skin, sex and age (years).
        n_persons: how many.

    Raises:
        InputError: what requirements-render.txt names is not installed.
    """
    load_base()  # says what is missing before anything is written
    target.mkdir(parents=True, exist_ok=True)
    shots = [(REST, "neutral", _REST_CAMERA)]
    shots += [("expression", name, _CAMERA) for name in VIVID_EXPRESSIONS]
    rows = []
    for number, who in tqdm(list(_persons(n_persons)), unit="person", disable=None):
        for shot, expression, camera in shots:
            name = f"{number}_{shot}_{expression}.jpg"
            picture = render_scene([Actor(who, expression)], camera)
            picture.save(target / name, quality=_JPEG_QUALITY)
            row = {"file": name, "expression": expression, SHOT: shot, "person": number}
            rows.append(row | {"skin": who.skin, "sex": who.sex, "age": who.age})
    pd.DataFrame(rows).to_csv(target / PICTURES_NAME, index=False)
