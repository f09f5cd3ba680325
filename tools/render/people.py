"""People who differ in one thing: the pictures of the subgroup probe."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from tools.render.expressions import EXPRESSIONS
from tools.render.mesh import load_base, move_face, shape_face
from tools.render.paint import SKINS, skin_colors
from tools.render.scene import Camera, flatten, make_head, make_studio, take_picture
from train.measure.subgroups import PICTURES_NAME

__all__ = ["AGES", "SEXES", "render_people"]

SEXES = ("female", "male")
AGES = (25, 55, 80)

_SIDE_PX = 256
_SAMPLES = 36
_JPEG_QUALITY = 85


def _render(sex: str, age: int, expression: str) -> Iterator[tuple[str, Image.Image]]:
    """Yield each tone of skin with the picture of one face in it."""
    import mitsuba as mi

    camera = Camera(_SIDE_PX, _SIDE_PX, samples=_SAMPLES)
    xyz = shape_face(sex, age) + move_face(dict.fromkeys(EXPRESSIONS[expression], 1.0))
    scene = mi.load_dict(make_studio(camera) | make_head(xyz))
    parameters = mi.traverse(scene)
    for skin in SKINS:
        parameters["skin.vertex_color"] = flatten(skin_colors(skin))
        parameters.update()
        yield skin, take_picture(scene)


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
    load_base()  # says what is missing before anything is written
    import mitsuba as mi

    mi.set_variant("scalar_rgb")  # needs no LLVM and no graphics card
    target.mkdir(parents=True, exist_ok=True)
    rows = []
    for sex, age, expression in tqdm(
        list(itertools.product(SEXES, AGES, EXPRESSIONS)), unit="face", disable=None
    ):
        for skin, picture in _render(sex, age, expression):
            name = f"{skin}_{sex}_{age}_{expression}.jpg"
            picture.save(target / name, quality=_JPEG_QUALITY)
            rows.append(
                {"file": name, "expression": expression, "skin": skin, "sex": sex, "age": age}
            )
    pd.DataFrame(rows).to_csv(target / PICTURES_NAME, index=False)
