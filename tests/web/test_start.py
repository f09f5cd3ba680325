"""On what the page starts, whatever it is given, and what it tells of this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fer.hub import WEIGHTS_FOLDER
from fer.settings import Settings
from fer.web.server.start import start_pipeline
from tests.conftest import ROOT

FILES = ("fer.json", "model.tflite")


def copy_weights(folder):
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes((WEIGHTS_FOLDER / name).read_bytes())
    return folder


@pytest.mark.parametrize("name", ["export", "my weights"])
def test_a_folder_of_weights_is_told_by_its_name(name, tmp_path):
    folder = copy_weights(tmp_path / "secret place" / name)
    _, about = start_pipeline(Settings(str(folder), detector="slim"))
    assert about.source == name
    assert about.revision is None
    assert f"weights of {name} (" in str(about)
    assert "secret" not in json.dumps(about.facts()) + str(about)


@pytest.mark.parametrize(
    "config",
    ["[" * 100_000 + "]" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "[]", "{", ""],
    ids=range(5),
)
def test_without_a_usable_configuration_it_runs_on_the_bundled_weights(config, tmp_path, caplog):
    folder = copy_weights(tmp_path / "secret place" / "export")
    (folder / "fer.json").write_text(config)
    _, about = start_pipeline(Settings(str(folder), detector="slim"))
    assert about.source is None
    (note,) = about.notes
    assert note.startswith("Using the bundled weights, because ")
    assert "fer.json" in note
    assert str(Path("secret place")) not in note
    assert "Using the bundled weights" in caplog.text


def test_where_files_lie_is_told_to_the_log_alone(tmp_path, caplog):
    folder = tmp_path / "secret" / "none"
    folder.mkdir(parents=True)
    settings = Settings(str(folder), detector="yunet", yunet_path=str(folder / "yunet.onnx"))
    _, about = start_pipeline(settings)
    assert len(about.notes) >= 2
    for note in about.notes:
        assert "secret" not in note
    assert str(folder) in caplog.text


@pytest.mark.parametrize(
    ("command", "port"),
    [(["app.py"], "http"), (["app.py"], "taken"), (["-m", "fer", "camera"], "99999")],
)
def test_a_port_that_cannot_be_had_is_one_line(command, port):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | {"GRADIO_SERVER_PORT": number, "FER_DETECTOR": "slim"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert number in last
