"""Rendered faces to learn from: any number, each another person in another light.

Photographs of disgust and anger are few and often labelled as each other. Here the face muscles
that make an expression are chosen, so the label is what is seen.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fer.errors import InputError
from tools.render.expressions import EXPRESSIONS, VIVID_EXPRESSIONS
from tools.render.paint import SKINS
from tools.render.people import SEXES
from tools.render.scene import Actor, Camera, Person, render_scene

__all__ = ["FACES_NAME", "draw_face", "render_faces"]

# What was drawn for each picture, next to the folders of the classes.
FACES_NAME = "faces.csv"
_SIDE_PX = 144
_SAMPLES = 16
_JPEG_QUALITY = 90
# Without these an expression would be read as another one. Source: Friesen and Ekman 1983, EMFACS.
_NEEDED: dict[str, tuple[int, ...]] = {
    "angry": (4, 23),
    "disgust": (9, 10),
    "fear": (1, 4, 20),
    "happy": (12,),
    "neutral": (),
    "sad": (1, 15),
    "surprise": (1, 2, 26),
}
# Units of other expressions that a resting face may show a trace of.
_TRACES = (1, 4, 6, 7, 12, 15, 17, 25)
_HAIR = {
    "monk-2": ("#241e18", "#4a3220", "#8c6a43", "#b5a58c"),
    "monk-5": ("#241e18", "#4a3220"),
    "monk-7": ("#241e18", "#33261c"),
    "monk-9": ("#1a1612", "#241e18"),
}
_GRAY_HAIR = ("#8f8f8f", "#c9c9c9")
_SHIRTS = ("#8a2f2f", "#2f4a8a", "#3d6b4a", "#d8d4cc", "#2b2b2b", "#c8a24a")


def draw_face(number: int, seed: int) -> tuple[Actor, Camera]:
    """Draw who is seen, with what expression, and how: the same for the same numbers.

    Args:
        number: of the picture; the expressions come in turn.
        seed: of all pictures.
    """
    rng = np.random.default_rng([seed, number])
    expression = sorted(EXPRESSIONS)[number % len(EXPRESSIONS)]
    age = int(rng.integers(25, 91))
    skin = str(rng.choice(list(SKINS)))
    hair = rng.choice(_GRAY_HAIR if age > 55 and rng.random() < 0.7 else _HAIR[skin])
    person = Person(
        sex=str(rng.choice(SEXES)),
        age=age,
        skin=skin,
        traits=int(rng.integers(2**31)),
        hair=str(hair),
        shirt=str(rng.choice(_SHIRTS)),
    )
    camera = Camera(
        _SIDE_PX,
        _SIDE_PX,
        fov_deg=float(rng.uniform(12, 14)),
        light=float(rng.uniform(0.5, 0.85)),
        samples=_SAMPLES,
        yaw_deg=float(np.clip(rng.normal(0, 12), -30, 30)),
        pitch_deg=float(np.clip(rng.normal(0, 7), -18, 18)),
        lamps_deg=float(rng.uniform(-70, 70)),
        lamps_away=1.8,
    )
    return Actor(person, expression, action_units=_draw_units(rng, expression)), camera


def _draw_units(rng: np.random.Generator, expression: str) -> Mapping[int, float]:
    """Draw which action units make an expression, and how strongly."""
    plain = dict.fromkeys(EXPRESSIONS[expression], 1.0)
    chosen = plain if rng.random() < 0.5 else VIVID_EXPRESSIONS[expression]
    chosen = dict.fromkeys(_NEEDED[expression], 1.0) | chosen
    units = {
        unit: float(strength * rng.uniform(0.45, 1.0))
        for unit, strength in chosen.items()
        if unit in _NEEDED[expression] or rng.random() < 0.8
    }
    trace = int(rng.choice(_TRACES))
    return {trace: float(rng.uniform(0, 0.2)), **units}


def render_faces(target: Path, number: int, seed: int = 0) -> None:
    """Render `number` faces into a folder a class, and write `faces.csv`.

    Pictures that are there already are kept, so that it goes on where it was stopped.

    Args:
        target: folder to write; made if missing.
        number: of pictures.
        seed: of all that is drawn.

    Raises:
        InputError: `number` is under 1, or what requirements-render.txt names is not installed.
    """
    if number < 1:
        raise InputError(f"`number` must be at least 1. Received: {number}")
    rows = []
    for i in tqdm(range(number), unit="face", disable=None):
        actor, camera = draw_face(i, seed)
        path = target / actor.expression / f"{seed}_{i:06}.jpg"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            render_scene([actor], camera).save(part, "JPEG", quality=_JPEG_QUALITY)
            part.replace(path)
        units = sorted((actor.action_units or {}).items())
        rows.append(
            {
                "file": path.relative_to(target).as_posix(),
                "expression": actor.expression,
                "sex": actor.person.sex,
                "age": actor.person.age,
                "skin": actor.person.skin,
                "yaw_deg": round(camera.yaw_deg, 1),
                "pitch_deg": round(camera.pitch_deg, 1),
                "lamps_deg": round(camera.lamps_deg, 1),
                "action_units": " ".join(f"{unit}:{strength:.2f}" for unit, strength in units),
            }
        )
    pd.DataFrame(rows).to_csv(target / FACES_NAME, index=False)
