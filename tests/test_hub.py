import json
import shutil

import pytest

from fer import Pipeline
from fer.errors import ConfigError, DetectorError, HubError, InputError
from fer.hub import (
    _YUNET_FILE,
    _YUNET_REPO,
    _YUNET_REVISION,
    LITERT_NAME,
    WEIGHTS_FOLDER,
    fetch,
    load_classifier,
    load_detector,
    load_folder,
)
from fer.types import CONFIG_NAME

REPO = "someone/fer"


@pytest.fixture
def model_repo(hub):
    """The bundled weights, published under a name of their own for each test."""
    for name in (CONFIG_NAME, LITERT_NAME):
        hub.files[REPO, name] = (WEIGHTS_FOLDER / name).read_bytes()
    return hub


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_bundled_weights_are_the_files_that_the_config_names():
    classifier = load_classifier()
    assert len(classifier.config.class_names) == 7
    assert set(classifier.config.files) == {"model.keras", "model.tflite", "model_int8.tflite"}


def test_bundled_files_are_small_enough():
    assert sum(path.stat().st_size for path in WEIGHTS_FOLDER.iterdir()) < 22_000_000


def test_pull_from_a_hub(model_repo):
    pulled = load_classifier(REPO)
    assert pulled.config == load_classifier().config
    model_repo.fault = 500  # from here on only the cache can answer
    assert load_classifier(REPO).config == pulled.config


def test_pipeline_from_a_hub(model_repo, monkeypatch):
    monkeypatch.setenv("FER_DETECTOR", "slim")
    try:
        pipeline = Pipeline.from_hub(REPO, revision="main")
    except DetectorError as error:
        pytest.skip(str(error))
    assert pipeline.classifier.config == load_classifier().config


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_hub_that_refuses_is_an_error_with_repository_and_revision(hub, status):
    hub.fault = status
    with pytest.raises(HubError) as caught:
        load_classifier("someone/private", revision="v3")
    assert "someone/private" in str(caught.value)
    assert "v3" in str(caught.value)


def test_unknown_repository_and_missing_file(model_repo):
    with pytest.raises(HubError, match="nobody/nothing"):
        load_classifier("nobody/nothing")
    with pytest.raises(HubError, match=r"other\.bin"):
        fetch(REPO, "other.bin", None)
    with pytest.raises(HubError, match="not a name"):
        fetch("not a name at all", "x", None)


def test_a_changed_weight_file_is_refused(model_repo):
    model_repo.files[REPO, LITERT_NAME] += b"!"
    with pytest.raises(ConfigError, match="sha256"):
        load_classifier(REPO)


def test_a_config_without_the_hash_is_refused(model_repo):
    values = json.loads(model_repo.files[REPO, CONFIG_NAME])
    model_repo.files[REPO, CONFIG_NAME] = json.dumps(values | {"files": {}}).encode()
    with pytest.raises(ConfigError, match="sha256"):
        load_classifier(REPO)


def test_a_wrong_label_count_is_refused(model_repo):
    values = json.loads(model_repo.files[REPO, CONFIG_NAME])
    values["class_names"] = values["class_names"][:-1]
    model_repo.files[REPO, CONFIG_NAME] = json.dumps(values).encode()
    with pytest.raises(ConfigError, match="logits"):
        load_classifier(REPO)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=CONFIG_NAME):
        load_folder(tmp_path)
    shutil.copy(WEIGHTS_FOLDER / CONFIG_NAME, tmp_path)
    with pytest.raises(ConfigError, match=LITERT_NAME):
        load_folder(tmp_path)


def test_a_revision_needs_a_repository():
    with pytest.raises(InputError):
        load_classifier(None, "main")


def test_yunet_comes_from_the_hub_and_is_checked(hub, yunet_path):
    hub.files[_YUNET_REPO, _YUNET_FILE] = yunet_path.read_bytes()
    hub.refs[_YUNET_REPO, _YUNET_REVISION] = hub.commit(_YUNET_REPO)
    assert load_detector().title == "YuNet"
    assert load_detector("yunet").title == "YuNet"


def test_a_changed_yunet_is_not_used(hub):
    hub.files[_YUNET_REPO, _YUNET_FILE] = b"something else"
    hub.refs[_YUNET_REPO, _YUNET_REVISION] = hub.commit(_YUNET_REPO)
    with pytest.raises(HubError, match="sha256"):
        load_detector("yunet")
    reasons = []
    assert load_detector(on_fallback=reasons.append).title != "YuNet"
    assert any("sha256" in reason for reason in reasons)


def test_yunet_from_a_path(hub, yunet_path, monkeypatch):
    hub.fault = 500
    monkeypatch.setenv("FER_YUNET_PATH", str(yunet_path))
    assert load_detector().title == "YuNet"


def test_without_a_hub_the_next_best_detector_and_the_reason(hub):
    hub.fault = 503
    reasons = []
    detector = load_detector(on_fallback=reasons.append)
    assert detector.title != "YuNet"
    assert any("yunet" in reason and "503" in reason for reason in reasons)


def test_detectors_by_name(hub, monkeypatch):
    with pytest.raises(InputError, match="mtcnn"):
        load_detector("mtcnn")
    hub.fault = 503
    with pytest.raises(HubError):
        load_detector("yunet")
    monkeypatch.setenv("FER_DETECTOR", "yunet")
    with pytest.raises(HubError):
        load_detector()
