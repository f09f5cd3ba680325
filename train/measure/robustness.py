"""Face crops made worse in ten ways and five strengths, the same way each time.

Corruptions act on the crop, before `fer.preprocess.to_model_input`: contrast that the
pipeline stretches back is stretched back here as well.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fer.errors import InputError
from fer.preprocess import resize
from fer.types import check_frame

__all__ = ["CORRUPTIONS", "Corruption", "corrupt"]

# Blur is given in pixels of a crop with this side, that of FER-2013.
_SIDE_PX = 48

_Apply = Callable[[NDArray[np.uint8], float, np.random.Generator], NDArray[np.uint8]]


@dataclass(frozen=True)
class Corruption:
    """One way in which a face crop gets worse.

    Attributes:
        name: the key in results/<recipe>.json.
        title: for readers.
        unit: of the strengths.
        strengths: five, from weak to strong; those of `scale` from small faces to large.
        apply: (frame, strength, random numbers) -> frame.
    """

    name: str
    title: str
    unit: str
    strengths: tuple[float, ...]
    apply: _Apply


def _to_uint8(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    clipped: NDArray[np.floating] = np.clip(np.rint(values), 0, 255)
    return clipped.astype(np.uint8)


def _blur(frame: NDArray[np.uint8], sigma: float, _: np.random.Generator) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    sigmas = (sigma * height / _SIDE_PX, sigma * width / _SIDE_PX, 0)
    return _to_uint8(ndimage.gaussian_filter(frame.astype(np.float32), sigmas, mode="nearest"))


def _noise(frame: NDArray[np.uint8], sd: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    # The same in all channels: it is to be as strong in gray as it says.
    return _to_uint8(frame + rng.normal(0, sd, (*frame.shape[:2], 1)))


def _jpeg(frame: NDArray[np.uint8], quality: float, _: np.random.Generator) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file))


def _expose(frame: NDArray[np.uint8], factor: float, _: np.random.Generator) -> NDArray[np.uint8]:
    return _to_uint8(frame.astype(np.float32) * factor)


def _flatten(frame: NDArray[np.uint8], factor: float, _: np.random.Generator) -> NDArray[np.uint8]:
    mean = frame.mean()
    return _to_uint8(mean + factor * (frame - mean))


def _shrink(frame: NDArray[np.uint8], side: float, _: np.random.Generator) -> NDArray[np.uint8]:
    return resize(frame, int(side), int(side))


def _rotate(
    frame: NDArray[np.uint8], degrees: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    turn = degrees * rng.choice([-1, 1])
    turned: NDArray[np.uint8] = ndimage.rotate(frame, turn, reshape=False, order=1, mode="nearest")
    return turned


def _shift(frame: NDArray[np.uint8], part: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    direction = rng.uniform(0, 2 * np.pi)
    height, width = frame.shape[:2]
    way = (part * height * np.sin(direction), part * width * np.cos(direction), 0)
    shifted: NDArray[np.uint8] = ndimage.shift(frame, way, order=1, mode="nearest")
    return shifted


def _scale(frame: NDArray[np.uint8], factor: float, _: np.random.Generator) -> NDArray[np.uint8]:
    steps = np.array([1 / factor, 1 / factor, 1])
    offset = (np.array(frame.shape) - 1) / 2 * (1 - steps)
    scaled: NDArray[np.uint8] = ndimage.affine_transform(
        frame, steps, offset, order=1, mode="nearest"
    )
    return scaled


# Source: Hendrycks & Dietterich 2019, arXiv:1903.12261, and their code at
# github.com/hendrycks/robustness. Noise: the weakest of CIFAR-10-C, then the first four of
# ImageNet-C. Contrast: CIFAR-10-C. Blur, given for pictures of 32 and 224 pixels, goes on
# to where a face of 48 pixels can hardly be read, and so does JPEG. Exposure is a factor, as
# a camera's is, instead of an added value. The last four, which they do not have, are what
# detectors and distance do to a crop.
CORRUPTIONS = (
    Corruption("blur", "blur", "sigma, pixels of 48", (0.5, 1, 1.5, 2, 3), _blur),
    Corruption("noise", "noise", "sd, gray levels of 255", (10, 20, 31, 46, 66), _noise),
    Corruption("jpeg", "JPEG", "quality of 100", (60, 40, 20, 10, 5), _jpeg),
    Corruption("brightness", "darker", "factor", (0.7, 0.5, 0.3, 0.2, 0.1), _expose),
    Corruption("brighter", "brighter", "factor, cut at 255", (1.3, 1.6, 2, 2.5, 3), _expose),
    Corruption("contrast", "less contrast", "factor", (0.75, 0.5, 0.4, 0.3, 0.15), _flatten),
    Corruption("low_resolution", "low resolution", "side, pixels", (32, 24, 16, 12, 8), _shrink),
    Corruption("rotation", "rotation", "degrees, either way", (5, 10, 20, 30, 45), _rotate),
    Corruption("shift", "shift", "part of the side", (0.05, 0.1, 0.15, 0.2, 0.3), _shift),
    Corruption("scale", "scale", "factor on the face", (0.7, 0.85, 1.15, 1.3, 1.4), _scale),
)
_BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}


def corrupt(frame: NDArray[np.uint8], name: str, strength: float, seed: int) -> NDArray[np.uint8]:
    """Make one face crop worse; pixels from outside it repeat its edge.

    Args:
        frame: (h, w, 3) uint8 RGB.
        name: of one of `CORRUPTIONS`.
        strength: in its unit.
        seed: of the noise, the side that is turned to and the way that is shifted; the
            same at every strength.

    Returns:
        uint8 RGB; (h, w, 3), but (strength, strength, 3) for "low_resolution".

    Raises:
        InputError: `frame` is no frame, or there is no such corruption.
    """
    if name not in _BY_NAME:
        raise InputError(f"corruption must be one of {list(_BY_NAME)}. Received: {name!r}")
    return _BY_NAME[name].apply(check_frame(frame), strength, np.random.default_rng(seed))
