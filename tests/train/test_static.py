"""The folder of the page without a server, as it is written."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from typer.testing import CliRunner

from fer.classify import Classifier
from fer.errors import ConfigError, InputError
from fer.hub import WEB_NAME, WEIGHTS_FOLDER
from fer.types import ModelConfig
from fer.web.live.sample import CLIP_PATH
from fer.web.server.assets import find_modules
from tests.conftest import ROOT, YUNET, heeding_ctrl_c, make_config, shared
from train.__main__ import app
from train.publish import static
from train.publish.static import static_files

# A first visit may transfer so much.
MAX_BYTES = 9_500_000


@pytest.fixture(scope="module")
def files():
    return static_files(yunet_path=shared("models", YUNET.name))


def base_of(files):
    (base,) = {match[1] for name in files if (match := re.match(r"(fer/[0-9a-f]{16}/)", name))}
    return base


def read_worker(files):
    return json.loads(re.match(r"const PAGE = (\{.*?\n\});", files["sw.js"].decode(), re.S)[1])


def test_all_that_the_page_names_is_there(files):
    text = files["index.html"].decode()
    named = re.findall(r'(?:href|src)="([^"#][^"]*)"', text)
    assert set(named) <= set(files)
    assert "model_card.md" in named
    for name in re.findall(r"results/\w[\w-]*\.png", files["model_card.md"].decode()):
        assert name in files


def test_the_examples_have_a_source_and_a_licence(files):
    rows = list(csv.DictReader(files["SOURCES.csv"].decode().splitlines()))
    shown = {name.split("/")[-1] for name in files if "/pictures/" in name}
    assert {row["file"] for row in rows} == {*shown, CLIP_PATH.name}
    assert CLIP_PATH.name in files
    assert all(row["source"] and row["licence"] for row in rows)
    props = json.loads(
        re.search(r'id="props">(.*?)</script>', files["index.html"].decode(), re.S)[1]
    )
    for example in props["examples"]:
        assert base_of(files) + example["url"] in files


def test_every_module_that_is_imported_is_there(files):
    for name, content in files.items():
        if not name.endswith(".js") or "/ort/" in name:
            continue
        for target in re.findall(r'(?:from|import\()\s*"(\.[^"]+)"', content.decode()):
            parts = name.split("/")[:-1]
            for part in target.split("/"):
                parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
            assert "/".join(parts) in files, (name, target)


def test_a_first_visit_is_small(files):
    loaded = read_worker(files)["files"]
    assert sum(len(files[name]) for name in loaded) + len(files["sw.js"]) < MAX_BYTES


def test_the_worker_knows_each_file_by_its_hash(files):
    page = read_worker(files)
    base = base_of(files)
    assert page["version"] in base
    expected = {name: content for name, content in files.items() if name.startswith(base)}
    expected["index.html"] = files["index.html"]
    assert page["files"] == {
        name: hashlib.sha256(content).hexdigest() for name, content in expected.items()
    }
    assert set(page["shell"]) <= set(page["files"])
    assert sum(len(files[name]) for name in page["shell"]) < 400_000
    assert page["version"] in files["index.html"].decode()


def test_the_policy_lets_nothing_in_from_elsewhere(files):
    text = files["index.html"].decode()
    (policy,) = re.findall(r'"Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?![^>]*(src=|type=.application/json))", text)
    assert not re.search(r"\s(style|on\w+)=", text)


def test_every_colour_of_the_tabs_has_a_value(files):
    css = files[base_of(files) + "page.css"].decode()
    used = set(re.findall(r"var\((--[\w-]+)\)", css))
    # Those are set by the scripts.
    given = {"--color", "--ink", "--at", "--stage"}
    light, dark = css.split("@media (prefers-color-scheme: dark)", 1)
    dark = dark.split("\n}\n", 1)[0]
    for part in (light, dark):
        assert used - given <= set(re.findall(r"(--[\w-]+):", part))


def test_the_front_matter_asks_for_a_static_space(files):
    _, front, text = files["README.md"].decode().split("---\n", 2)
    assert re.search(r"^sdk: static$", front, re.M)
    assert re.search(r"^app_file: index.html$", front, re.M)
    assert "models:" not in front
    for name in ModelConfig.read(WEIGHTS_FOLDER).class_names:
        assert name in text


def test_a_published_model_is_linked_instead_of_the_card():
    yunet = shared("models", YUNET.name)
    files = static_files(model_repo="someone/fer", yunet_path=yunet)
    assert 'href="https://huggingface.co/someone/fer"' in files["index.html"].decode()
    assert "model_card.md" not in files
    assert "models:\n- someone/fer\n" in files["README.md"].decode()


def test_a_space_shows_the_card_of_the_project():
    files = static_files(space_id="someone/fer-static", yunet_path=shared("models", YUNET.name))
    address = "https://huggingface.co/spaces/someone/fer-static/blob/main/model_card.md"
    assert f'href="{address}"' in files["index.html"].decode()
    assert "model_card.md" in files


def publish_out(folder, *options):
    return CliRunner().invoke(app, ["publish", "--static-out", str(folder), *options])


def test_a_folder_for_any_host_needs_no_name_and_no_hub(files, monkeypatch, tmp_path):
    monkeypatch.setenv("FER_YUNET_PATH", str(shared("models", YUNET.name)))
    monkeypatch.setattr("train.publish.hub.HfApi", None)
    folder = tmp_path / "page"
    done = publish_out(folder)
    assert (done.exit_code, done.stdout) == (0, f"wrote {folder}, for any host\n"), done.output
    written = {path for path in folder.rglob("*") if path.is_file()}
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in written} == files
    assert 'href="model_card.md"' in files["index.html"].decode()
    assert isinstance(publish_out(folder).exception, InputError)


def test_a_folder_for_any_host_goes_with_nothing_of_the_hub(tmp_path):
    done = publish_out(tmp_path / "page", "--static", "someone/fer", "--dry-run")
    assert "Received: --static, --dry-run" in str(done.exception)
    assert not (tmp_path / "page").exists()


def test_names_are_text_and_no_html(monkeypatch, tmp_path):
    names = ("</script><u>", "calm")
    values = make_config(class_names=names, recipe="<i>own</i>", files={WEB_NAME: "0" * 64})
    monkeypatch.setattr(static, "load_folder", lambda _: Classifier(zeros, values))
    monkeypatch.setattr(static, "load_browser_files", lambda *_: {})
    files = static_files(tmp_path, yunet_path=shared("models", YUNET.name))
    text = files["index.html"].decode()
    assert "<i>own" not in text
    assert "<u>" not in text
    props = json.loads(re.search(r'id="props">(.*?)</script>', text, re.S)[1])
    assert props["class_names"] == list(names)


def zeros(pixels):
    return np.zeros((len(pixels), 2), np.float32)


def test_weights_without_a_format_for_browsers_are_refused(tmp_path):
    for name in ("fer.json", "model.tflite"):
        shutil.copy(WEIGHTS_FOLDER / name, tmp_path)
    with pytest.raises(ConfigError, match=r"model_web\.onnx must be a file"):
        static_files(tmp_path, yunet_path=shared("models", YUNET.name))


def test_it_is_served_to_be_looked_at():
    command = [sys.executable, "-m", "tools.static", "--port", "0"]
    environment = {**os.environ, "FER_YUNET_PATH": str(shared("models", YUNET.name))}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with (
        heeding_ctrl_c(),
        subprocess.Popen(command, cwd=ROOT, env=environment, **options) as process,
    ):
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=30) as reply:
            assert b"<title>" in reply.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_port_that_is_none_is_told():
    command = [sys.executable, "-m", "tools.static", "--port", "99999"]
    environment = {**os.environ, "FER_YUNET_PATH": str(shared("models", YUNET.name))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--port must be a port that is free. Received: 99999" in done.stderr


def test_the_page_with_a_server_does_not_load_what_is_for_this_one():
    assert not [name for name in find_modules() if name.startswith("static/")]


def test_a_link_to_it_shows_a_card(files):
    yunet_path = shared("models", YUNET.name)
    here, there = files, static_files(yunet_path=yunet_path, space_id="someone/fer")
    assert here["card.jpg"] == (ROOT / "docs" / "card.jpg").read_bytes()
    assert b'<meta property="og:image" content="card.jpg">' in here["index.html"]
    address = "https://huggingface.co/spaces/someone/fer/resolve/main/card.jpg"
    assert f'<meta property="og:image" content="{address}">' in there["index.html"].decode()
    assert f"thumbnail: {address}" in there["README.md"].decode()
    assert "thumbnail" not in here["README.md"].decode()
    assert "run by someone on Hugging Face" in there["index.html"].decode()
