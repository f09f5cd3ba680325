"""Build the pipeline that the page runs on, whatever cannot be had."""

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer.detect import Detector
from fer.errors import ConfigError, DetectorError, HubError, InputError
from fer.hub import LITERT_NAME, load_browser_files, load_classifier, load_detector
from fer.pipeline import Pipeline
from fer.web.server.logs import FIELDS

__all__ = ["About", "start_pipeline"]

log = logging.getLogger(__name__)

# Absolute, or from the folder of the page; not in an address, and not the name of a repository.
_FOLDERS = re.compile(r"""(?<![\w:/.~\\-])(?:[A-Za-z]:[\\/]|~?/|\.{1,2}/)(?:[^\s'":;,()]*[\\/])?""")


@dataclass(frozen=True, slots=True)
class About:
    """What a page runs on.

    Attributes:
        recipe: of the model.
        source: repository of the weights, or the name of their folder; None for the bundled.
        revision: of a repository, as it was asked for.
        sha256: of the weights.
        detector: the face detector's title.
        notes: what could not be had, a sentence each.
        browser_files: what the browser's engine reads, by name; empty where it is unavailable.
    """

    recipe: str
    source: str | None
    revision: str | None
    sha256: str | None
    detector: str
    notes: tuple[str, ...] = ()
    browser_files: Mapping[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for visitors."""
        at = f" at {self.revision}" if self.revision else ""
        weights = f"weights of {self.source}{at}" if self.source else "bundled weights"
        return f"Model: {weights} ({self.recipe}). Face detector: {self.detector}."

    def facts(self) -> dict[str, Any]:
        """The same for a program."""
        model = {
            "recipe": self.recipe,
            "source": self.source or "bundled",
            "revision": self.revision,
            "sha256": self.sha256,
        }
        return {"model": model, "detector": self.detector, "notes": list(self.notes)}


def start_pipeline(
    repo_id: str | None = None, revision: str | None = None, detector: str | None = None
) -> tuple[Pipeline, About]:
    """A pipeline, and what a visitor should know of it.

    What is not named here is named by FER_MODEL_REPO (a folder will do), FER_MODEL_REVISION and
    FER_DETECTOR. Where the weights cannot be used the page runs on the bundled ones, where the
    detector cannot be fetched on the next best; the log and the page say so.
    """
    notes: list[str] = []

    def note(text: str) -> None:
        log.warning(text)
        notes.append(_without_folders(text))

    repo_id = repo_id or os.environ.get("FER_MODEL_REPO") or None
    revision = revision or os.environ.get("FER_MODEL_REVISION") or None
    source = None
    classifier = None
    if repo_id is not None:
        try:
            classifier = load_classifier(repo_id, revision)
            source = repo_id
        except (HubError, ConfigError, InputError) as error:
            note(f"Using the bundled weights, because {error}")
    elif revision is not None:
        note("FER_MODEL_REVISION is ignored, because FER_MODEL_REPO is not set")
    if classifier is None:
        classifier = load_classifier()
    finder = _start_detector(detector, note)
    config = classifier.config
    is_folder = source is not None and Path(source).is_dir()
    about = About(
        recipe=config.recipe,
        source=Path(source).resolve().name if source is not None and is_folder else source,
        revision=(revision or "main") if source is not None and not is_folder else None,
        sha256=config.files.get(LITERT_NAME),
        detector=finder.title,
        notes=tuple(notes),
        browser_files=_find_browser_files(source, revision),
    )
    log.info("%s", about, extra={FIELDS: {"event": "start", **about.facts()}})
    return Pipeline(finder, classifier), about


def _find_browser_files(repo_id: str | None, revision: str | None) -> dict[str, Path]:
    """Return what the browser's engine reads; nothing, with a line in the log, if unavailable."""
    try:
        return load_browser_files(repo_id, revision)
    except (HubError, ConfigError) as error:
        log.warning("Frames are analysed on this server alone, because %s", error)
        return {}


def _without_folders(text: str) -> str:
    """A sentence in which a path of this machine is the name of its last part."""
    for variable in ("FER_MODEL_REPO", "FER_YUNET_PATH"):  # a name may have a space in it
        named = Path(os.environ.get(variable) or ".")
        if named.is_absolute():
            text = text.replace(str(named), named.name)
    return _FOLDERS.sub("", text)


def _start_detector(name: str | None, note: Callable[[str], None]) -> Detector:
    """The detector that `name` or FER_DETECTOR names, or the first that can be had."""

    def tell(text: str) -> None:
        note(text[0].upper() + text[1:])

    try:
        return load_detector(name, on_fallback=tell)
    except (HubError, DetectorError, InputError) as error:
        note(f"Using another face detector, because {error}")
        return load_detector("auto", on_fallback=tell)
