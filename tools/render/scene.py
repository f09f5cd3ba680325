"""Scenes with any persons before one camera, rendered by Mitsuba.

`pip install --no-deps -r requirements-render.txt` adds what this needs. Lengths are decimetres; x
is the person's left, y up, z forward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.render.expressions import VIVID_EXPRESSIONS
from tools.render.mesh import load_base, move_face, shape_face, subdivide
from tools.render.paint import Paint, eye_colors, paint_head, skin_colors, to_linear

__all__ = [
    "Actor",
    "Camera",
    "Person",
    "flatten",
    "make_head",
    "make_studio",
    "render_scene",
    "take_picture",
]

_TEETH_RGB = (0.72, 0.68, 0.60)
_TONGUE_RGB = (0.35, 0.09, 0.09)


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
        action_units: the strength of each, instead of those of the expression.
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


def flatten(values: NDArray[Any], kind: type = np.float32) -> NDArray[Any]:
    """Flatten values of vertices or triangles, as Mitsuba stores them."""
    return values.astype(kind).ravel()


def _mesh(
    xyz: NDArray[np.float64],
    triangles: NDArray[np.int64],
    material: dict[str, Any],
    **attributes: NDArray[np.float64],
) -> Any:
    """Build a smooth Mitsuba mesh with the attributes of its vertices, (n, 1) or (n, 3)."""
    import mitsuba as mi

    properties = mi.Properties()
    properties["material"] = mi.load_dict(material)
    mesh = mi.Mesh("mesh", len(xyz), len(triangles), has_vertex_normals=True, props=properties)
    for name, values in attributes.items():
        mesh.add_attribute(f"vertex_{name}", values.shape[1], flatten(values))
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = flatten(xyz)
    parameters["faces"] = flatten(triangles, np.uint32)
    parameters.update()  # computes the normals, too
    return mesh


_COLOR = {"type": "mesh_attribute", "name": "vertex_color"}


def _glossy(roughness: float) -> dict[str, Any]:
    return {"type": "principled", "base_color": _COLOR, "roughness": roughness, "specular": 0.45}


def _matt(rgb: tuple[float, float, float]) -> dict[str, Any]:
    reflectance = {"type": "rgb", "value": list(rgb)}
    return {"type": "twosided", "side": {"type": "diffuse", "reflectance": reflectance}}


def _grow_hair(
    xyz: NDArray[np.float64], triangles: NDArray[np.int64], paint: Paint
) -> NDArray[np.float64]:
    """Return the vertices with the hair as a layer on the scalp."""
    from trimesh import Trimesh

    thickness = paint.hair * (0.05 + 0.24 * paint.grain)
    normals: NDArray[np.float64] = Trimesh(xyz, triangles, process=False).vertex_normals
    return xyz + normals * thickness[:, None]


def make_head(
    xyz: NDArray[np.float64],
    body: str = "body",
    colors: NDArray[np.float64] | None = None,
    dressed: bool = False,
    place: Sequence[float] = (0, 0, 0),
) -> dict[str, Any]:
    """Build the meshes of one head with base vertices at `xyz` (n, 3), black without colours.

    It is moved to its place after the subdivision, which pulls some vertices of the teeth
    towards 0.
    """
    points, triangles = subdivide(body, xyz, 2)
    paint = paint_head(body)
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
        points, triangles = subdivide(f"helper-{side}-eye", xyz, 3)
        colors = eye_colors(points)
        meshes[f"eye-{side}"] = _mesh(points + place, triangles, _glossy(0.2), color=colors)
    for group, rgb in (
        ("helper-upper-teeth", _TEETH_RGB),
        ("helper-lower-teeth", _TEETH_RGB),
        ("helper-tongue", _TONGUE_RGB),
    ):
        points, triangles = subdivide(group, xyz, 1)
        meshes[group] = _mesh(points + place, triangles, _matt(rgb))
    return meshes


def make_studio(camera: Camera) -> dict[str, Any]:
    """Build camera, lights and wall, the same for everybody."""
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


def take_picture(scene: Any) -> Image.Image:
    """Render a scene with the noise of a fixed seed."""
    import mitsuba as mi

    return Image.fromarray(np.array(mi.util.convert_to_bitmap(mi.render(scene, seed=0)))[:, :, :3])


def render_scene(actors: Sequence[Actor], camera: Camera) -> Image.Image:
    """Render persons in the room of `render_people`; the same at every call.

    Raises:
        InputError: what requirements-render.txt names is not installed.
    """
    load_base()  # says what is missing
    import mitsuba as mi

    mi.set_variant("scalar_rgb")  # needs no LLVM and no graphics card
    scene = make_studio(camera)
    for i, actor in enumerate(actors):
        who = actor.person
        xyz = shape_face(who.sex, who.age, who.traits)
        units = actor.action_units
        units = VIVID_EXPRESSIONS[actor.expression] if units is None else units
        xyz += actor.strength * move_face(units)
        shirt = None if who.shirt is None else to_linear(who.shirt)
        colors = skin_colors(who.skin, "figure", to_linear(who.hair), shirt)
        head = make_head(xyz, "figure", colors, shirt is not None, actor.place)
        scene |= {f"{name}-{i}": mesh for name, mesh in head.items()}
    return _denoise(take_picture(mi.load_dict(scene)))


def _denoise(picture: Image.Image) -> Image.Image:
    """Remove noise, as ten times the samples in ten times the time would."""
    bgr = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
    return Image.fromarray(cv2.fastNlMeansDenoisingColored(bgr, None, 4, 6, 5, 15)[..., ::-1])
