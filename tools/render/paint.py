"""Colours of a head, drawn on the base mesh."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from tools.render.mesh import load_base, subdivide

__all__ = ["SKINS", "Paint", "eye_colors", "paint_head", "skin_colors", "to_linear"]

# Source: Monk Skin Tone scale, skintone.google, sRGB.
SKINS = {"monk-2": "#f3e7db", "monk-5": "#d7bd96", "monk-7": "#825c43", "monk-9": "#3a312a"}

_Rgb = Sequence[float] | NDArray[np.float64]

HAIR_RGB = (0.018, 0.012, 0.009)
_IRIS_RGB = (0.102, 0.042, 0.016)
_WHITE_RGB = (0.78, 0.76, 0.74)
_CAVITY_RGB = (0.16, 0.03, 0.03)


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """Masks of the colours of a head, each (n,) in [0, 1] but for the grain around 0."""

    brow: NDArray[np.float64]
    lips: NDArray[np.float64]
    hair: NDArray[np.float64]
    shirt: NDArray[np.float64]
    cavity: NDArray[np.float64]
    blush: NDArray[np.float64]
    grain: NDArray[np.float64]
    strands: NDArray[np.float64]


def _step(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return 0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _waves(xyz: NDArray[np.float64], frequency: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return smooth noise (n,) of unit variance, always the same."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(24, 3)) * frequency
    waves = np.sin(xyz @ directions.T + rng.uniform(0, 2 * np.pi, 24))
    total: NDArray[np.float64] = waves.sum(axis=1) / np.sqrt(12)
    return total


@cache
def paint_head(body: str) -> Paint:
    """Draw brows, lips and hair on the base mesh, where all persons share them."""
    base = load_base()
    xyz, _ = subdivide(body, base.xyz, 2)
    cavity = subdivide(body, np.repeat(base.cavity[:, None], 3, axis=1), 2)[0][:, 0]
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
    return Paint(
        brow=0.92 * brow,
        lips=lips,
        hair=_step(y - hairline, -0.04, 0.10),
        shirt=1 - _step(y - collar, -0.04, 0.04),
        cavity=cavity,
        blush=front * (cheek + 0.7 * nose),
        grain=0.05 * _waves(xyz, (9, 9, 9)),
        strands=np.maximum(1 + 0.5 * _waves(xyz, (60, 15, 15)), 0.4),
    )


def to_linear(color: str) -> NDArray[np.float64]:
    """Return the reflectance (3,) in [0, 1] of an sRGB "#rrggbb". Source: IEC 61966-2-1."""
    values = np.array(ImageColor.getrgb(color)) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def skin_colors(
    skin: str,
    body: str = "body",
    hair_rgb: _Rgb = HAIR_RGB,
    shirt_rgb: _Rgb | None = None,
) -> NDArray[np.float64]:
    """Return colours (n, 3) of the head; all but hair, brows and mouth depend on the tone."""
    paint, tone = paint_head(body), to_linear(SKINS[skin])
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


def eye_colors(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return white, iris and pupil (n, 3) by the angle from straight ahead.

    Source: an iris of 12 mm and a pupil of 4 mm on an eyeball of 24 mm.
    """
    ray = xyz - (xyz.min(axis=0) + xyz.max(axis=0)) / 2
    degrees = np.degrees(np.arccos(np.clip(ray[:, 2] / np.linalg.norm(ray, axis=1), -1, 1)))
    colors = np.array(_WHITE_RGB) * _step(degrees, 26, 29)[:, None]
    iris = _step(degrees, 9, 11) * (1 - _step(degrees, 25, 28))
    return np.clip(colors + np.multiply.outer(iris, _IRIS_RGB) + 0.004, 0, 1)
