import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
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
from fer.types import CONFIG_NAME, ModelConfig
from tests.conftest import ROOT, one_head
from tests.hub_server import TOKEN, Fault

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
    monkeypatch.setattr("fer.hub._PAUSES_S", (0.01, 0.02))


def test_bundled_weights_are_the_files_that_the_config_names():
    classifier = load_classifier()
    assert len(classifier.config.class_names) == 7
    litert = {"model.tflite", "model_int8.tflite"}
    assert set(classifier.config.files) == {"model.keras", *litert, "model_web.onnx"}


def test_bundled_files_are_small_enough():
    assert sum(path.stat().st_size for path in WEIGHTS_FOLDER.iterdir()) < 26_000_000


def change_config(hub, **changes):
    values = one_head(hub.files[REPO, CONFIG_NAME])
    hub.files[REPO, CONFIG_NAME] = json.dumps(values | changes).encode()


def told(hub, filename):
    """The requests for a file that came, without those for its content."""
    return [line for line in hub.requests if line.startswith("HEAD") and line.endswith(filename)]


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


def test_what_the_cache_has_at_a_commit_is_used_unasked(model_repo):
    commit = model_repo.commit(REPO)
    pulled = load_classifier(REPO, commit)
    model_repo.requests.clear()
    assert load_classifier(REPO, commit).config == pulled.config
    assert model_repo.requests == []


def test_a_branch_that_moves_on_is_followed_and_a_pin_is_not(model_repo):
    first = model_repo.commit(REPO)
    model_repo.refs[REPO, "v1"] = first
    load_classifier(REPO)
    change_config(model_repo, recipe="another")
    assert load_classifier(REPO).config.recipe == "another"
    assert load_classifier(REPO, first).config == load_classifier().config
    assert load_classifier(REPO, "v1").config == load_classifier().config


def test_both_files_come_of_one_commit(model_repo, monkeypatch):
    """Somebody publishes other weights while these are being pulled."""
    read = ModelConfig.read

    def read_and_move_on(folder):
        config = read(folder)
        model_repo.files[REPO, LITERT_NAME] += b"!"
        return config

    monkeypatch.setattr("fer.hub.ModelConfig.read", read_and_move_on)
    assert load_classifier(REPO).config == load_classifier().config


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_hub_that_refuses_is_an_error_with_repository_revision_and_reason(hub, status):
    hub.fault = status
    with pytest.raises(HubError, match=rf"(?s)someone/private.*v3.*{status}"):
        load_classifier("someone/private", revision="v3")


@pytest.mark.parametrize("filename", [CONFIG_NAME, LITERT_NAME])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_bad_moment_of_the_hub_is_waited_for(model_repo, status, filename):
    fault = Fault(rf"HEAD .*{filename}", times=2, status=status)
    model_repo.faults = [fault]
    assert load_classifier(REPO).config == load_classifier().config
    assert fault.times == 0


def test_as_long_as_the_hub_asks_for(model_repo, monkeypatch):
    pauses = []
    monkeypatch.setattr("fer.hub.time.sleep", pauses.append)
    model_repo.faults = [Fault("HEAD", status=429, headers={"Retry-After": "7"})]
    load_classifier(REPO)
    assert pauses == [7]


def test_a_hub_that_nobody_reaches_is_called_by_its_address(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:1/{repo_id}/{revision}/{filename}",
    )
    with pytest.raises(HubError, match=r"someone/fer.*main.*: http://127.0.0.1:1 does not answer"):
        load_classifier(REPO)


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(model_repo, monkeypatch):
    pauses = []
    monkeypatch.setattr("fer.hub.time.sleep", pauses.append)
    headers = {"Retry-After": "3600"}
    model_repo.faults = [Fault("HEAD", times=100, status=429, headers=headers)]
    with pytest.raises(HubError, match="429"):
        load_classifier(REPO)
    assert 0 < sum(pauses) <= 20


def test_with_a_copy_in_the_cache_nobody_waits(model_repo, monkeypatch):
    load_classifier(REPO)
    model_repo.fault = 503
    monkeypatch.setattr("fer.hub.time.sleep", pytest.fail)
    assert load_classifier(REPO).config == load_classifier().config


def test_a_private_repository_needs_a_token(model_repo, monkeypatch):
    model_repo.private.add(REPO)
    with pytest.raises(HubError, match=r"401.*A private repository needs a token"):
        load_classifier(REPO)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="401"):
        load_classifier(REPO)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert load_classifier(REPO).config == load_classifier().config


def test_a_connection_that_breaks_is_taken_up_again(model_repo):
    model_repo.faults = [Fault("GET /cdn/", times=2, cut_after=3_000_000)]
    assert load_classifier(REPO).config == load_classifier().config
    assert sum(line.startswith("GET /cdn/") for line in model_repo.requests) == 3


def test_a_slow_link_is_slow_and_no_more(model_repo):
    model_repo.faults = [Fault("GET /cdn/", chunk=1_000_000, pause_s=0.2)]
    assert load_classifier(REPO).config == load_classifier().config


@pytest.mark.parametrize("filename", [CONFIG_NAME, LITERT_NAME])
def test_what_was_damaged_on_the_way_is_fetched_again(model_repo, filename, caplog):
    damaged = bytearray(model_repo.files[REPO, filename])
    damaged[len(damaged) // 2] ^= 1
    path = "GET /cdn/" if filename == LITERT_NAME else f"GET .*{filename}"
    fault = Fault(path, content=bytes(damaged))
    model_repo.faults = [fault]
    assert load_classifier(REPO).config == load_classifier().config
    assert "damaged" in caplog.text
    fault.times = 1
    load_path_of_cache(filename).write_bytes(bytes(damaged))
    with pytest.raises(HubError, match=f"(?s){filename}.*{REPO}.*must have"):
        load_classifier(REPO)
    assert load_classifier(REPO).config == load_classifier().config


def load_path_of_cache(filename):
    """The file that stands in the cache for one of the repository's."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(REPO, filename, local_files_only=True)).resolve()


def test_a_damaged_copy_without_a_hub_is_an_error(model_repo):
    load_classifier(REPO)
    path = load_path_of_cache(LITERT_NAME)
    path.write_bytes(path.read_bytes()[:-1])
    model_repo.fault = 503
    with pytest.raises(HubError, match=LITERT_NAME):
        load_classifier(REPO)


PULL = """
import sys
from fer.hub import load_classifier
print(load_classifier(sys.argv[1]).config.recipe)
"""


def pull(hub, home, **environment):
    """Another process that pulls the repository, begun."""
    known = os.environ | {"HF_HOME": str(home), "HF_ENDPOINT": hub.url} | environment
    return subprocess.Popen(
        [sys.executable, "-c", PULL, REPO],
        cwd=ROOT,
        env=known,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_download_that_was_killed_is_never_used(model_repo, tmp_path):
    home = tmp_path / "home"
    fault = Fault("GET /cdn/", chunk=100_000, pause_s=0.5)
    model_repo.faults = [fault]
    with pull(model_repo, home) as process:
        deadline = time.monotonic() + 60
        while not list(home.rglob("*.incomplete")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        process.kill()
    assert fault.times == 0
    assert not list(home.rglob(LITERT_NAME))
    with pull(model_repo, home) as process:
        out, err = process.communicate(timeout=60)
    assert out.split() == [load_classifier().config.recipe], err


@pytest.mark.slow
def test_the_clients_own_settings_are_heeded(model_repo, tmp_path):
    """HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE."""
    model_repo.private.add(REPO)
    home = tmp_path / "home"
    with pull(model_repo, home, HF_HUB_OFFLINE="1") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert REPO in err.splitlines()[-1]
    assert model_repo.requests == []
    with pull(model_repo, home, HF_TOKEN=TOKEN) as process:
        out, err = process.communicate(timeout=60)
    assert out.split() == [load_classifier().config.recipe], err
    assert list(home.rglob(LITERT_NAME))
    model_repo.requests.clear()
    with pull(model_repo, home, HF_HUB_OFFLINE="1") as process:
        out, err = process.communicate(timeout=60)
    assert out.split() == [load_classifier().config.recipe], err
    assert "WARNING" not in err
    assert model_repo.requests == []


def test_unknown_repository_file_revision_and_impossible_names(model_repo):
    with pytest.raises(HubError, match=r"nobody/nothing.*no folder nobody/nothing, either"):
        load_classifier("nobody/nothing")
    with pytest.raises(HubError, match=r"other\.bin"):
        fetch(REPO, "other.bin", None)
    with pytest.raises(HubError, match=r"revision v9.*RevisionNotFound"):
        load_classifier(REPO, "v9")
    with pytest.raises(HubError, match="not a name"):
        fetch("not a name at all", "x", None)
    for name in ("./runs/mistyped", "runs/of/mine/mistyped", "https://huggingface.co/mistyped"):
        with pytest.raises(InputError, match=rf"a folder with fer.json, or .* Received: '{name}'"):
            Pipeline.from_hub(name)
    assert not any("mistyped" in line for line in model_repo.requests)


def test_the_decision_of_published_weights_can_be_chosen(model_repo):
    classifier = load_classifier()
    names = list(classifier.config.class_names)
    decisions = {
        "balanced": {"bias": [0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0], "temperature": 0.8},
        "dataset": {"bias": [0.0] * 7, "temperature": 0.9},
    }
    values = one_head(model_repo.files[REPO, CONFIG_NAME])
    model_repo.files[REPO, CONFIG_NAME] = json.dumps(values).encode()
    with pytest.raises(ConfigError, match=r"\['dataset'\].*'balanced'"):
        load_classifier(REPO, decision="balanced")
    del values["class_names"], values["temperature"]
    heads = {"labels": {"class_names": names, "decisions": decisions}}
    values |= {"heads": heads, "decision": "balanced", "version": 2}
    model_repo.files[REPO, CONFIG_NAME] = json.dumps(values).encode()
    assert load_classifier(REPO).config.temperature == 0.8
    chosen = load_classifier(REPO, decision="dataset")
    assert (chosen.config.decision, chosen.config.temperature) == ("dataset", 0.9)
    crop = [np.full((48, 48, 3), 90, np.uint8)]
    assert load_classifier(REPO)(crop)[0, 1] > chosen(crop)[0, 1]
    with pytest.raises(ConfigError, match=r"\['balanced', 'dataset'\].*'fair'"):
        load_classifier(REPO, decision="fair")


def test_a_changed_weight_file_is_refused(model_repo):
    model_repo.files[REPO, LITERT_NAME] += b"!"
    with pytest.raises(HubError, match="sha256"):
        load_classifier(REPO)


def test_a_config_without_the_hash_is_refused(model_repo):
    change_config(model_repo, files={})
    with pytest.raises(ConfigError, match="sha256"):
        load_classifier(REPO)
    assert not told(model_repo, LITERT_NAME)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "class_names": ["angry", "disgust", "fear", "happy", "neutral", "sad"],
                "neutral_logits": None,
            },
            "6 logits",
        ),
        ({"input_size": 64}, r"must take \(1, 64, 64, 1\)"),
        ({"color_mode": "rgb"}, r"must take \(1, 96, 96, 3\)"),
        ({"version": 2}, "`version` must be 1 without `heads`. Received: 2"),
        ({"colour_mode": "gray"}, "colour_mode"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(model_repo, changes, said):
    change_config(model_repo, **changes)
    with pytest.raises(ConfigError, match=said):
        load_classifier(REPO)


def test_a_config_that_is_no_config_is_refused(model_repo):
    model_repo.files[REPO, CONFIG_NAME] = b"<html>Sign in</html>"
    with pytest.raises(ConfigError, match="JSON"):
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


def test_a_file_in_a_folder_is_kept_by_its_commit_and_mended_like_any_other(hub):
    nested = "gallery/a/fer.json"
    hub.files[REPO, nested] = b"whole"
    commit = hub.commit(REPO)
    hub.faults = [Fault(f"GET .*{nested}", content=b"spoil")]
    path = fetch(REPO, nested, "main")
    assert path.read_bytes() == b"whole"
    assert path.parents[2].name == commit
    hub.requests.clear()
    assert fetch(REPO, nested, commit) == path
    assert hub.requests == []
