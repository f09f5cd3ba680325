"""Where a detector looks in a frame: one quick look, or in full at several scales.

One look sees the frame at 640 pixels and loses faces under 20 pixels of those. A search looks at
larger scales, too, in tiles, for the faces that the look before is too small for.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fer.errors import InputError
from fer.geometry import center_xy, crop_side_px
from fer.pool import prefetch
from fer.preprocess import resize
from fer.types import Faces, check_frame, is_number

__all__ = ["MIN_FACE_PX", "check_min_face", "is_small", "look_once", "search"]

Look = Callable[[NDArray[np.uint8]], Faces]
"""Finds the faces of one picture (H, W, 3) uint8 RGB, in its pixels."""

# The smallest faces to search for by default: half the detail that the models see.
MIN_FACE_PX = 24.0
# Larger pictures are first shrunk to this many pixels, so that a search costs at most 25 times
# a look at 640 x 480; the smallest face that is found then grows with the picture.
_MAX_PIXELS = 4_000_000
_LEAST_MIN_FACE_PX = 8.0

# At 640 the faces in the back row are found; where 640 finds nothing, in the dark or when
# a face fills the picture, 320 often does.
_LONG_SIDE_PX = 640
_SECOND_LONG_SIDE_PX = 320
# Of a picture of 48 pixels no more is found at 320 than at 192.
_MAX_ENLARGED = 4.0
# Where the coarsest map of YuNet, of one value per 32 pixels, has one row or column, OpenCV reads
# memory that nobody wrote.
# Source: measured with OpenCV 4.14: ten sides from 32 to 1280 pixels, six calls each.
_MIN_SIDE_PX = 64
_SLIVER_PX = 8  # a sliver that holds no face of this size only has false ones
# What shows less of a face is none.
# Source: measured: of 1027 faces that the detectors found in photographs cut through a face, the
# least had .39 of the box inside.
_LEAST_INSIDE = 0.25

# Faces of this size in the picture that a detector sees are found, of smaller ones fewer and fewer.
# Source: chosen between what was measured by `python -m bench.detect --group`: at 19 pixels all 29
# are found, at 11 to 14 (the mosaic at one look) 3 of 116.
_SURE_PX = 16.0
_SMALL_PX = 24.0
# A scale that is closer to the first one than this shows nothing new.
_MIN_RATIO = 1.2
# Larger scales look for what is small there: the scale before has found the rest. What only one of
# two neighbouring scales finds, as a hand, must be as certain as nearly all faces are.
# Source: measured before there was this rule, on the mosaic of that command: 95 % of
# the boxes at .87 or more, the false ones (four with YuNet, five with libfacedetection) under .73.
_MAX_FINE_PX = 96.0
_ALONE_SCORE = 0.8
# Sides of tiles, and by how much they overlap: a face is whole in the tile that has its centre.
_TILE_PX = 1280
_OVERLAP_PX = 128
_TOLERANCE_PX = 4.0
# Two boxes are of one face if their intersection over union is above _SAME_FACE, which is also the
# detectors' own threshold; or, at two scales, if _PART_OF_FACE of the smaller one is inside of a
# more certain one: a nose is no face.
_SAME_FACE = 0.3
_PART_OF_FACE = 0.7


def check_min_face(value: object) -> float | None:
    """Return `value` if it is a size of faces in pixels, or None.

    Raises:
        InputError: anything else.
    """
    if value is None or is_number(value, _LEAST_MIN_FACE_PX, 1e9):
        return value  # type: ignore[return-value]
    raise InputError(
        f"the smallest face must be a number of pixels from {_LEAST_MIN_FACE_PX:g}. "
        f"Received: {value!r}"
    )


def look_once(frame: object, detect: Look) -> Faces:
    """Run `detect` at 640 and, when that finds nothing, at 320; boxes in frame pixels.

    Raises:
        InputError: `frame` is no frame.
    """
    image = check_frame(frame)
    faces = _look(image, detect, _LONG_SIDE_PX, enlarge=False)
    return faces if len(faces) else _look_smaller(image, detect)


def search(
    frame: object,
    detect: Look,
    min_face_px: float | None = None,
    n_threads: int = 1,
    sideways: bool = False,
) -> Faces:
    """Run `detect` at 640 and at larger scales, and when all find nothing at 320.

    Args:
        frame: (H, W, 3) uint8 RGB.
        detect: see `Look`.
        min_face_px: the longer side of the smallest faces that are searched for, in frame pixels,
            at any cost. When None `MIN_FACE_PX`, or more in a frame of more than 9 megapixels: the
            largest scale has at most four.
        n_threads: tiles that are looked at together.
        sideways: whether a frame where nothing is found is looked at turned to both sides, too.

    Returns:
        Each face once, best first; boxes in frame pixels.

    Raises:
        InputError: `frame` is no frame.
    """
    image = check_frame(frame)
    looks = [_look(image, detect, _LONG_SIDE_PX, enlarge=False)]
    source = image
    scales = _fine_scales(image.shape[1], image.shape[0], min_face_px)
    for scale in scales:
        size = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
        source = resize(source, *size)  # of the scale before, which has all that is needed
        faces = _look_at_tiles(source, detect, n_threads)
        small = crop_side_px(faces.xyxy, 1.0) <= _MAX_FINE_PX
        looks.append(_scaled(faces[small], scale))
    if scales:
        first = _LONG_SIDE_PX / max(image.shape[:2])
        coarser = scales[1] if len(scales) > 1 else first
        looks = _confirmed(looks, _SURE_PX / coarser, _SMALL_PX / first)
    faces = _merge(looks)
    if not len(faces):
        faces = _look_smaller(image, detect)
    return faces if len(faces) or not sideways else _look_sideways(image, detect)


def is_small(faces: Faces, width: int, height: int) -> bool:
    """Whether one of `faces` is so small in a frame of this size that one look may lose it."""
    sides = crop_side_px(faces.xyxy, 1.0) * _LONG_SIDE_PX / max(width, height)
    return max(width, height) > _LONG_SIDE_PX and bool((sides < _SMALL_PX).any())


def _fine_scales(width: int, height: int, min_face_px: float | None) -> list[float]:
    """Return the scales beyond the first look, the largest first, each half the one before.

    >>> _fine_scales(640, 480, None), _fine_scales(4000, 3000, None)[0].__round__(2)
    ([], 0.58)
    """
    first = _LONG_SIDE_PX / max(width, height)
    scale = min(1.0, _SURE_PX / (min_face_px or MIN_FACE_PX))
    if min_face_px is None:
        scale = min(scale, math.sqrt(_MAX_PIXELS / (width * height)))
    scales = []
    while scale > _MIN_RATIO * first and scale * min(width, height) >= _SLIVER_PX:
        scales.append(scale)
        scale /= 2
    return scales


def _fit(
    frame: NDArray[np.uint8], long_side: int, enlarge: bool
) -> tuple[NDArray[np.uint8], float]:
    """Scale to a long side of at most `long_side` pixels; `enlarge` scales small frames up to it.

    Enlarging stops at `_MAX_ENLARGED`. Returns the image and its scale.
    """
    height, width = frame.shape[:2]
    scale = min(long_side / max(height, width), _MAX_ENLARGED if enlarge else 1.0)
    small = resize(frame, max(1, round(width * scale)), max(1, round(height * scale)))
    return small, scale


def _find(image: NDArray[np.uint8], detect: Look) -> Faces:
    """Run `detect` on a picture of any shape; keep the boxes that lie in it, for the most part.

    Slivers are padded on the right and below to a side that every detector can take.
    """
    pad_y, pad_x = (max(0, _MIN_SIDE_PX - side) for side in image.shape[:2])
    padded = np.pad(image, ((0, pad_y), (0, pad_x), (0, 0))) if pad_x or pad_y else image
    faces = detect(padded)
    box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
    inside, _ = _shared(box, faces.xyxy)
    areas = np.prod(faces.xyxy[:, 2:] - faces.xyxy[:, :2], axis=1)
    return faces[inside >= np.float32(_LEAST_INSIDE) * areas]


def _scaled(faces: Faces, scale: float) -> Faces:
    points = None if faces.landmarks is None else faces.landmarks / scale
    return Faces(xyxy=faces.xyxy / scale, score=faces.score, landmarks=points)


def _look(image: NDArray[np.uint8], detect: Look, long_side: int, enlarge: bool) -> Faces:
    small, scale = _fit(image, long_side, enlarge)
    if scale * min(image.shape[:2]) < _SLIVER_PX:
        return Faces.empty()
    return _scaled(_find(small, detect), scale)


def _look_smaller(image: NDArray[np.uint8], detect: Look) -> Faces:
    small, _ = _fit(image, _SECOND_LONG_SIDE_PX, True)
    tried, _ = _fit(image, _LONG_SIDE_PX, False)
    if small.shape == tried.shape:
        return Faces.empty()
    return _look(image, detect, _SECOND_LONG_SIDE_PX, enlarge=True)


def _look_sideways(image: NDArray[np.uint8], detect: Look) -> Faces:
    """Look at a picture turned to the left and to the right, as a phone's without its EXIF is."""
    small, scale = _fit(image, _LONG_SIDE_PX, False)
    if scale * min(image.shape[:2]) < _SLIVER_PX:
        return Faces.empty()
    looks = []
    for quarters in (1, 3):
        faces = _find(np.ascontiguousarray(np.rot90(small, quarters)), detect)
        looks.append(_turned_back(faces[faces.score >= _ALONE_SCORE], quarters, small.shape[:2]))
    return _scaled(_merge(looks), scale)


def _turned_back(faces: Faces, quarters: int, shape: Sequence[int]) -> Faces:
    """Faces of a picture that `np.rot90` has turned by 1 or 3 quarters, in the one before."""
    height, width = shape

    def move(points: NDArray[np.float32]) -> NDArray[np.float32]:
        x, y = points[..., 0], points[..., 1]
        back = (width - y, x) if quarters == 1 else (y, height - x)
        return np.stack(back, axis=-1)

    corners = move(faces.xyxy.reshape(-1, 2, 2))
    xyxy = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Faces(xyxy, faces.score, None if faces.landmarks is None else move(faces.landmarks))


_Part = tuple[int, int, float, float]


def _parts(length: int) -> Iterator[_Part]:
    """Cut a length into equal tiles: begin and end of each, and of the centres that it answers for.

    >>> list(_parts(100)), [part[:2] for part in _parts(2000)]
    ([(0, 100, -inf, inf)], [(0, 1064), (936, 2000)])
    """
    n = max(1, math.ceil((length - _OVERLAP_PX) / (_TILE_PX - _OVERLAP_PX)))
    size = math.ceil((length + (n - 1) * _OVERLAP_PX) / n)
    begins = [round(i * (length - size) / max(1, n - 1)) for i in range(n)]
    for i, begin in enumerate(begins):
        low = -math.inf if i == 0 else (begin + begins[i - 1] + size) / 2 - _TOLERANCE_PX
        high = math.inf if i == n - 1 else (begins[i + 1] + begin + size) / 2 + _TOLERANCE_PX
        yield begin, begin + size, low, high


def _look_at_tiles(image: NDArray[np.uint8], detect: Look, n_threads: int) -> Faces:
    """Find the faces of a picture in tiles; on borders some are cut or found twice."""
    tiles = list(itertools.product(_parts(image.shape[0]), _parts(image.shape[1])))

    def look(tile: tuple[_Part, _Part]) -> Faces:
        (top, bottom, y_low, y_high), (left, right, x_low, x_high) = tile
        faces = _find(image[top:bottom, left:right], detect)
        offset = np.array([left, top], np.float32)
        points = None if faces.landmarks is None else faces.landmarks + offset
        faces = Faces(faces.xyxy + np.tile(offset, 2), faces.score, points)
        x, y = center_xy(faces.xyxy).T
        return faces[(x > x_low) & (x < x_high) & (y > y_low) & (y < y_high)]

    if n_threads == 1 or len(tiles) == 1:
        return _joined([look(tile) for tile in tiles])
    return _joined(list(prefetch(look, tiles, n_threads, len(tiles))))


def _joined(found: Sequence[Faces]) -> Faces:
    found = [faces for faces in found if len(faces)]
    if not found:
        return Faces.empty()
    points = [faces.landmarks for faces in found]
    return Faces(
        xyxy=np.concatenate([faces.xyxy for faces in found]),
        score=np.concatenate([faces.score for faces in found]),
        landmarks=None if points[0] is None else np.concatenate(points),  # type: ignore[arg-type]
    )


def _confirmed(looks: Sequence[Faces], fine_px: float, large_px: float) -> list[Faces]:
    """Drop the uncertain boxes that one scale alone has, but for those that it alone can see.

    Args:
        looks: the first look, and those at the larger scales from the largest on.
        fine_px: what is smaller than this, in frame pixels, only the largest scale can see.
        large_px: what is not smaller than this, the first look is trusted with.
    """
    kept = []
    for i, faces in enumerate(looks):
        stays = faces.score >= _ALONE_SCORE
        sides = crop_side_px(faces.xyxy, 1.0)
        if i == 0:
            stays |= sides >= large_px
        if i == 1:
            stays |= sides < fine_px
        others = _joined([*looks[:i], *looks[i + 1 :]]).xyxy
        for j in np.flatnonzero(~stays):
            shared, union = _shared(faces.xyxy[j], others)
            stays[j] = (shared > _SAME_FACE * union).any()
        kept.append(faces[stays])
    return kept


def _shared(
    box: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Areas of the intersections (n,) and of the unions (n,) of a box (4,) with others (n, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1)
    return shared, areas - shared


def _merge(looks: Sequence[Faces]) -> Faces:
    """Each face of several looks at one frame once, best first."""
    faces = _joined(looks)
    look = np.repeat(np.arange(len(looks)), [len(each) for each in looks])
    area = np.prod(faces.xyxy[:, 2:] - faces.xyxy[:, :2], axis=1)  # (n,)
    kept: list[int] = []
    for i in np.argsort(-faces.score, kind="stable"):
        shared, union = _shared(faces.xyxy[i], faces.xyxy[kept])
        same = shared > _SAME_FACE * union
        part = (shared > _PART_OF_FACE * area[i]) & (look[kept] != look[i])
        if not (same | part).any():
            kept.append(int(i))
    return faces[np.array(kept, np.intp)]
