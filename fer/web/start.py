"""Build the pipeline that the page runs on, whatever cannot be had."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from fer.detect import Detector
from fer.errors import ConfigError, DetectorError, HubError, InputError
from fer.hub import load_classifier, load_detector
from fer.pipeline import Pipeline

__all__ = ["start_pipeline"]

log = logging.getLogger(__name__)


def start_pipeline(
    repo_id: str | None = None, revision: str | None = None, detector: str | None = None
) -> tuple[Pipeline, list[str]]:
    """A pipeline, and one line for each thing about it that a visitor should know.

    What is not named here is named by FER_MODEL_REPO (a folder will do), FER_MODEL_REVISION and
    FER_DETECTOR. Where the weights cannot be used the page runs on the bundled ones, where the
    detector cannot be fetched on the next best; the log and the page say so.
    """
    notes: list[str] = []

    def note(text: str) -> None:
        log.warning(text)
        notes.append(text)

    repo_id = repo_id or os.environ.get("FER_MODEL_REPO") or None
    revision = revision or os.environ.get("FER_MODEL_REVISION") or None
    source = "bundled weights"
    classifier = None
    if repo_id is not None:
        try:
            classifier = load_classifier(repo_id, revision)
            at = "" if Path(repo_id).is_dir() else f" at {revision or 'main'}"
            source = f"weights of {repo_id}{at}"
        except (HubError, ConfigError, InputError) as error:
            note(f"Using the bundled weights, because {error}")
    elif revision is not None:
        note("FER_MODEL_REVISION is ignored, because FER_MODEL_REPO is not set")
    if classifier is None:
        classifier = load_classifier()
    finder = _start_detector(detector, note)
    recipe = classifier.config.recipe
    status = f"Model: {source} ({recipe}). Face detector: {finder.title}."
    log.info(status)
    return Pipeline(finder, classifier), [status, *notes]


def _start_detector(name: str | None, note: Callable[[str], None]) -> Detector:
    """The detector that `name` or FER_DETECTOR names, or the first that can be had."""

    def tell(text: str) -> None:
        note(text[0].upper() + text[1:])

    try:
        return load_detector(name, on_fallback=tell)
    except (HubError, DetectorError, InputError) as error:
        note(f"Using another face detector, because {error}")
        return load_detector("auto", on_fallback=tell)
