"""Models of other recipes beside the one that serves: what each of them says of the same face.

They are not part of the package. Where they come from is the first of these that there is: the
folder that FER_GALLERY_DIR names; `results/models` of a checkout; `gallery/` in the Hub repository
that FER_MODEL_REPO names, at FER_MODEL_REVISION. Such a folder holds `models.json`, which says
what is shown and in which order, and for each recipe a folder with `fer.json` and
`model_int8.tflite`. The model that serves and the bundled one need no folder: they are at hand.
"""

import dataclasses
import hashlib
import logging
import re
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fer.classify import Classifier, litert_network
from fer.errors import ConfigError, FerError
from fer.hub import LITERT_NAME, WEIGHTS_FOLDER, fetch, load_classifier
from fer.settings import Settings
from fer.types import CONFIG_NAME, ModelConfig, is_number, parse_json

__all__ = [
    "GALLERY_FOLDER",
    "HUB_FOLDER",
    "INT8_NAME",
    "TABLE_NAME",
    "Entry",
    "Gallery",
    "Model",
    "Models",
    "bundled_sha256",
    "check_config",
    "find_gallery",
    "read_table",
]

log = logging.getLogger(__name__)

GALLERY_FOLDER = Path(__file__).parents[1] / "results" / "models"
HUB_FOLDER = "gallery"
TABLE_NAME = "models.json"
INT8_NAME = "model_int8.tflite"
# A Hub that does not answer is not asked at every click.
_RETRY_S = 300.0
# A recipe's name is that of its folder.
_RECIPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `models.json`.

    Attributes:
        recipe: its name.
        title: of a few words.
        idea: a sentence on what is tried in it.
        top1: percent of the test images that it gets right; None where it was not measured.
        n_classes: how many it tells apart, in that test as well.
        sha256: of the file that all this is about: `model.tflite` of the flagship, else
            `model_int8.tflite`. Own weights may have the same recipe, but not the same hash.

    Raises:
        ConfigError: a value is impossible.
    """

    recipe: str
    title: str
    idea: str
    top1: float | None
    n_classes: int
    sha256: str

    def __post_init__(self) -> None:
        for key in ("recipe", "title", "idea"):
            value = getattr(self, key)
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"`{key}` must be a text. Received: {value!r}")
        if not _RECIPE.fullmatch(self.recipe):
            raise ConfigError(
                f"`recipe` must be letters, digits, '.', '_' and '-'. Received: {self.recipe!r}"
            )
        if self.top1 is not None and not is_number(self.top1, 0, 100):
            raise ConfigError(f"`top1` must be 0..100 or null. Received: {self.top1!r}")
        if not (is_number(self.n_classes, 2) and isinstance(self.n_classes, int)):
            raise ConfigError(f"`n_classes` must be 2 or more. Received: {self.n_classes!r}")
        if not (isinstance(self.sha256, str) and _SHA256.fullmatch(self.sha256)):
            raise ConfigError(f"`sha256` must be 64 digits of 0-9a-f. Received: {self.sha256!r}")


def read_table(text: str | bytes) -> tuple[Entry, ...]:
    """Return the lines of `models.json`, in the order in which they are shown.

    Raises:
        ConfigError: no JSON list of such objects, or a recipe twice.
    """
    entries = []
    for row in parse_json(text, TABLE_NAME, list):
        try:
            entries.append(Entry(**row))
        except TypeError as error:
            keys = [item.name for item in dataclasses.fields(Entry)]
            raise ConfigError(f"{TABLE_NAME} must hold objects of {keys}: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"{TABLE_NAME} cannot be used: {error}") from error
    names = [entry.recipe for entry in entries]
    if len(set(names)) < len(names):
        raise ConfigError(f"{TABLE_NAME} must name each recipe once. Received: {names}")
    return tuple(entries)


@dataclass(frozen=True, slots=True)
class Model:
    """One of the models.

    Attributes:
        entry: its line in `models.json`.
        classifier: crops -> probabilities.
    """

    entry: Entry
    classifier: Classifier


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a gallery that are available.

    Attributes:
        models: in the order of `models.json`, without the flagship.
        missing: those that are unavailable.
        flagship: what `models.json` tells of the flagship; None where it does not.
    """

    models: tuple[Model, ...] = ()
    missing: tuple[Entry, ...] = ()
    flagship: Entry | None = None


class Gallery:
    """Models that are loaded at their first use; safe for several threads.

    Unavailable models are tried again, but not before `retry_s`. Errors go to the log: a
    gallery is an extra.

    Args:
        source: the folder with `models.json`, or the name "user/name" of a Hub repository
            which holds that folder as `gallery`.
        revision: commit, branch or tag of a repository. All files come of one commit.
        flagship: sha256 of the `model.tflite` that serves, which is not loaded another time.
        retry_s: seconds.
    """

    def __init__(
        self,
        source: Path | str,
        revision: str | None = None,
        flagship: str = "",
        retry_s: float = _RETRY_S,
    ) -> None:
        self._source = source
        self._revision = revision
        self._flagship = flagship
        self._retry_s = retry_s
        self._lock = threading.Lock()
        self._loading: Future[Models] | None = None
        self._retry_at: float | None = None  # None where nothing is missing
        # Of the one thread that loads.
        self._entries: tuple[Entry, ...] | None = None
        self._known: dict[str, Classifier] = {}
        self._models: Models | None = None

    @property
    def models(self) -> Models | None:
        """Return the models available so far; None before the first attempt has ended."""
        return self._models

    def count(self) -> int | None:
        """Return how many models are listed beside the flagship; None where only a Hub knows."""
        if not isinstance(self._source, Path):
            return None
        try:
            return sum(entry.sha256 != self._flagship for entry in self._read_table())
        except (FerError, OSError):  # the log says why when they are loaded
            return None

    def begin(self) -> "Future[Models]":
        """Load in a thread of its own what is not there yet.

        Returns:
            The attempt: a new one, the one that goes on, or the last where it is too early
            for another. It never raises.
        """
        with self._lock:
            last = self._loading
            is_due = self._retry_at is not None and time.monotonic() >= self._retry_at
            if last is not None and (not last.done() or not is_due):
                return last
            self._retry_at = None
            loading: Future[Models] = Future()
            self._loading = loading
        # A thread that a program which ends does not wait for.
        threading.Thread(target=self._load, args=(loading,), daemon=True).start()
        return loading

    def load(self) -> Models:
        """As `begin`, and wait for it."""
        return self.begin().result()

    def _load(self, loading: "Future[Models]") -> None:
        try:
            models = self._read_all()
        except Exception:  # a mistake of ours; those who wait must learn that it ended
            log.exception("the models of other recipes could not be loaded")
            models = self._models or Models()
            self._retry_at = time.monotonic() + self._retry_s
        self._models = models
        loading.set_result(models)

    def _read_all(self) -> Models:
        if self._entries is None:
            try:
                self._entries = self._read_table()
            except (FerError, OSError) as error:
                log.warning("no models of other recipes are shown, because %s", error)
                self._retry_at = time.monotonic() + self._retry_s
                return Models()
        missing = []
        for entry in self._entries:
            if entry.sha256 == self._flagship or entry.recipe in self._known:
                continue
            try:
                self._known[entry.recipe] = self._read_model(entry)
            except (FerError, OSError) as error:
                log.warning("the model of %s is not shown, because %s", entry.recipe, error)
                missing.append(entry)
        if missing:
            self._retry_at = time.monotonic() + self._retry_s
        return Models(
            tuple(
                Model(entry, self._known[entry.recipe])
                for entry in self._entries
                if entry.recipe in self._known
            ),
            tuple(missing),
            next((entry for entry in self._entries if entry.sha256 == self._flagship), None),
        )

    def _path(self, name: str, sha256: str | None = None) -> Path:
        if isinstance(self._source, Path):
            return self._source / name
        return fetch(self._source, f"{HUB_FOLDER}/{name}", self._revision, sha256)

    def _read_table(self) -> tuple[Entry, ...]:
        path = self._path(TABLE_NAME)
        entries = read_table(path.read_bytes())
        if not isinstance(self._source, Path):
            # A branch may move on: all of one commit, whose folder in the cache is called by it.
            self._revision = path.parents[1].name
        return entries

    def _read_model(self, entry: Entry) -> Classifier:
        if entry.sha256 == bundled_sha256():
            return load_classifier()  # where a page runs on other weights than the bundled ones
        config = ModelConfig.read(self._path(f"{entry.recipe}/{CONFIG_NAME}").parent)
        sha256 = check_config(config, entry)
        content = self._path(f"{entry.recipe}/{INT8_NAME}", sha256).read_bytes()
        received = hashlib.sha256(content).hexdigest()
        if received != sha256:
            raise ConfigError(f"{INT8_NAME} must have sha256 {sha256}. Received: {received}")
        return Classifier(litert_network(content), config)


@cache
def bundled_sha256() -> str:
    """Return the sha256 of the `model.tflite` that is part of the package.

    Raises:
        ConfigError: its configuration is not usable.
    """
    return ModelConfig.read(WEIGHTS_FOLDER).files.get(LITERT_NAME, "")


def check_config(config: ModelConfig, entry: Entry) -> str:
    """Return the sha256 that the file of `entry`'s model must have.

    Raises:
        ConfigError: `config` does not name it, or is not about the model that `entry` tells of.
    """
    sha256 = config.sha256_of(INT8_NAME)
    if len(config.class_names) != entry.n_classes:
        raise ConfigError(
            f"{CONFIG_NAME} must have {entry.n_classes} classes, as {TABLE_NAME} says. "
            f"Received: {len(config.class_names)}"
        )
    if sha256 != entry.sha256:
        raise ConfigError(
            f"{CONFIG_NAME} must name {INT8_NAME} with sha256 {entry.sha256}, as {TABLE_NAME} "
            f"says. Received: {sha256}"
        )
    return entry.sha256


def find_gallery(settings: Settings, flagship: str = "") -> Gallery | None:
    """Find the models that a page may compare, without a request to the Hub; None without any.

    Args:
        settings: `gallery_dir`, else `model` and `revision` where that is a repository.
        flagship: sha256 of the `model.tflite` that serves.
    """
    if settings.gallery_dir is not None:
        return Gallery(settings.gallery_dir, flagship=flagship)
    if (GALLERY_FOLDER / TABLE_NAME).is_file():
        return Gallery(GALLERY_FOLDER, flagship=flagship)
    if settings.model is not None and not Path(settings.model).is_dir():
        return Gallery(settings.model, settings.revision, flagship)
    log.debug("no models of other recipes are shown, because there is no %s", GALLERY_FOLDER)
    return None
