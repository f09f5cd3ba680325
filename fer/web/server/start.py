"""Prepare the process and build the pipeline that the page runs on."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fer.detect import Detector, YuNetDetector
from fer.errors import ConfigError, DetectorError, HubError, InputError
from fer.hub import LITERT_NAME, load_browser_files, load_classifier, load_detector
from fer.pipeline import Pipeline
from fer.settings import Settings
from fer.web.server.logs import FIELDS, set_up_logging
from fer.web.server.uploads import open_folder

__all__ = ["About", "prepare", "start_pipeline"]

log = logging.getLogger(__name__)

# Absolute, or from the folder of the page; not in an address, and not the name of a repository.
_FOLDERS = re.compile(r"""(?<![\w:/.~\\-])(?:[A-Za-z]:[\\/]|~?/|\.{1,2}/)(?:[^\s'":;,()]*[\\/])?""")


@dataclass(frozen=True, slots=True)
class About:
    """Weights and detector of a page.

    Attributes:
        recipe: of the model.
        source: repository of the weights, or the name of their folder; None for the bundled.
        revision: of a repository, as requested.
        sha256: of the weights.
        detector: the face detector's title.
        notes: what is unavailable, a sentence each.
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
        """Return one line for visitors."""
        at = f" at {self.revision}" if self.revision else ""
        weights = f"weights of {self.source}{at}" if self.source else "bundled weights"
        return f"Model: {weights} ({self.recipe}). Face detector: {self.detector}."

    def facts(self) -> dict[str, Any]:
        """Return the same for a program."""
        model = {
            "recipe": self.recipe,
            "source": self.source or "bundled",
            "revision": self.revision,
            "sha256": self.sha256,
        }
        return {"model": model, "detector": self.detector, "notes": list(self.notes)}


def prepare(settings: Settings) -> None:
    """Set up the log and the page's folder. Call it before Gradio is imported.

    Gradio reads at import where its temporary folder is.
    """
    set_up_logging(settings.log)
    for problem in settings.problems:
        log.warning("%s", problem)
    open_folder(settings.temp_dir)


def start_pipeline(settings: Settings) -> tuple[Pipeline, About]:
    """Build the pipeline of a page, and what a visitor should know of it.

    Unusable weights are replaced by the bundled ones, an unavailable detector by the next best;
    the log and the page say so.

    Args:
        settings: `model` (a repository or a folder), `revision`, `detector` and `yunet_path`.
    """
    notes: list[str] = []

    def note(text: str) -> None:
        log.warning(text)
        notes.append(_without_folders(text, settings))

    repo_id, revision = settings.model, settings.revision
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
    finder = _start_detector(settings, note)
    config = classifier.config
    is_folder = source is not None and Path(source).is_dir()
    about = About(
        recipe=config.recipe,
        source=Path(source).resolve().name if source is not None and is_folder else source,
        revision=(revision or "main") if source is not None and not is_folder else None,
        sha256=config.files.get(LITERT_NAME),
        detector=finder.title,
        notes=tuple(notes),
        browser_files=_find_browser_files(finder, replace(settings, model=source)),
    )
    log.info("%s", about, extra={FIELDS: {"event": "start", **about.facts()}})
    return Pipeline(finder, classifier), about


def _find_browser_files(detector: Detector, settings: Settings) -> dict[str, Path]:
    """Return what the browser's engine reads; nothing if it would not answer as the server does.

    It has YuNet as its only detector.
    """
    if not isinstance(detector, YuNetDetector):
        return {}
    try:
        return load_browser_files(settings.model, settings.revision, settings.yunet_path)
    except (HubError, ConfigError) as error:
        log.warning("Frames are analysed on this server alone, because %s", error)
        return {}


def _without_folders(text: str, settings: Settings) -> str:
    """Shorten each path of this machine in a sentence to its last part."""
    for path in (settings.model, settings.yunet_path):  # a name may have a space in it
        named = Path(path or ".")
        if named.is_absolute():
            text = text.replace(str(named), named.name)
    return _FOLDERS.sub("", text)


def _start_detector(settings: Settings, note: Callable[[str], None]) -> Detector:
    """Load the detector of the settings, or the first that is available."""

    def tell(text: str) -> None:
        note(text[0].upper() + text[1:])

    try:
        return load_detector(settings.detector, tell, yunet_path=settings.yunet_path)
    except (HubError, DetectorError, InputError) as error:
        note(f"Using another face detector, because {error}")
        return load_detector("auto", tell, yunet_path=settings.yunet_path)
