"""Facial expressions in real time: find faces, read their apparent expression.

>>> from fer import Pipeline, read_image
>>> pipeline = Pipeline.default()
>>> pipeline(read_image("examples/astronaut_happy.jpg")).labels
['happy']
"""

from fer.annotate import annotate
from fer.classify import Classifier
from fer.detect import Detector, HaarDetector, SlimFaceDetector, YuNetDetector
from fer.errors import (
    ConfigError,
    DetectorError,
    FerError,
    HubError,
    ImageError,
    InputError,
    VideoError,
)
from fer.hub import load_classifier, load_detector
from fer.image import read_image
from fer.pipeline import Pipeline
from fer.resting import Baseline
from fer.serialize import to_dict, to_rows
from fer.track import TrackState
from fer.types import Faces, FrameResult, ModelConfig

__all__ = [
    "Baseline",
    "Classifier",
    "ConfigError",
    "Detector",
    "DetectorError",
    "Faces",
    "FerError",
    "FrameResult",
    "HaarDetector",
    "HubError",
    "ImageError",
    "InputError",
    "ModelConfig",
    "Pipeline",
    "SlimFaceDetector",
    "TrackState",
    "VideoError",
    "YuNetDetector",
    "annotate",
    "load_classifier",
    "load_detector",
    "read_image",
    "to_dict",
    "to_rows",
]

# A Space runs this folder without installing it, so the version stands here, too.
__version__ = "0.1.0"
