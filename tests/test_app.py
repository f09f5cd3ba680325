"""app.py as a person starts it, and as a program calls it."""

import ast
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from bench.apps import free_port
from tests.conftest import FACE, ROOT


def closed_port_url():
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.slow
def test_without_a_network_it_runs_and_says_on_what(start_app, tmp_path):
    from gradio_client import Client, handle_file

    app = start_app(
        HF_ENDPOINT=closed_port_url(), HF_HOME=str(tmp_path), FER_MODEL_REPO="someone/fer"
    )
    assert "bundled weights" in app.log
    assert "someone/fer" in app.log
    assert "Traceback" not in app.log
    client = Client(app.url, verbose=False)
    page = str(client.config["components"])
    assert "Model: bundled weights" in page
    assert "Using the bundled weights, because" in page
    assert "Face detector: " in page
    assert "Face detector: YuNet" not in page
    picture, data = client.predict(handle_file(FACE), api_name="/predict_image")
    assert Path(picture).stat().st_size > 0
    (face,) = data["faces"]
    assert sum(face["probs"].values()) == pytest.approx(1, abs=1e-3)
    assert "Traceback" not in app.log


class DeviceApi(BaseHTTPRequestHandler):
    """As much of ZeroGPU's device API as a Space needs to start."""

    def do_POST(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("on_zero_gpu", [True, pytest.param(False, marks=pytest.mark.long)])
def test_on_zero_gpu_it_starts_and_tells_so(on_zero_gpu, start_app, tmp_path):
    pytest.importorskip("spaces")
    with HTTPServer(("127.0.0.1", 0), DeviceApi) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        zero = {"SPACES_ZERO_GPU": "true"} if on_zero_gpu else {}
        url = f"http://127.0.0.1:{server.server_port}"
        app = start_app(HF_HOME=str(tmp_path), SPACES_ZERO_DEVICE_API_URL=url, **zero)
        health = httpx.get(f"{app.url}/health").json()
        server.shutdown()
    assert health["status"] == "ok"
    assert server.asked == (["/startup-report"] if on_zero_gpu else [])
    assert "Traceback" not in app.log


def test_app_py_is_short_and_touches_no_pixels():
    text = (ROOT / "app.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
    }
    assert imported == {"os", "fer", "spaces"}


def test_modules_import_upwards_only():
    order = [
        *(
            "errors",
            "check",
            "settings",
            "memory",
            "worker",
            "geometry",
            "types",
            "pool",
            "preprocess",
        ),
        *("formats", "jpeg", "image", "text", "output", "fonts"),
        *("media", "table"),
        *(
            "search",
            "detect",
            "crop",
            "classify",
            "resting",
            "hub",
            "track",
            "pipeline",
            "gallery",
            "explain",
        ),
        *("annotate", "serialize", "votes", "video", "batch", "web", "__main__"),
    ]
    folders = {path.parent.name for path in (ROOT / "fer").glob("*/__init__.py")}
    files = {name: [ROOT / "fer" / f"{name}.py"] for name in order}
    files |= {name: list((ROOT / "fer" / name).rglob("*.py")) for name in folders}
    present = {path.stem for path in (ROOT / "fer").glob("*.py")} - {"__init__"}
    assert present | folders == set(order)
    for name in order:
        trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files[name]]
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fer."):
                other = node.module.split(".")[1]
                upward = order.index(other) < order.index(name)
                assert upward or other == name in folders, f"{name} imports {other}"
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != "train", name
            if isinstance(node, ast.Import):
                assert "train" not in {alias.name.split(".")[0] for alias in node.names}, name
