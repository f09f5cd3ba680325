"""The page's own files: fixed addresses, types of JavaScript, nothing else."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fer import hub
from fer.errors import ConfigError, HubError
from fer.settings import Settings
from fer.web.server import start
from fer.web.server.assets import Assets, find_modules
from tests.conftest import YUNET, shared


@pytest.fixture
def assets(tmp_path):
    (tmp_path / "a.js").write_text("export const a = 1;")
    (tmp_path / "b.gz").write_bytes(bytes(100))
    return Assets({"live/a.js": tmp_path / "a.js", "b.gz": tmp_path / "b.gz"})


def client(assets):
    return TestClient(Starlette(routes=[assets.route]))


def test_modules_have_a_type_of_javascript_and_may_be_kept(assets):
    reply = client(assets).get(f"/{assets.base}live/a.js")
    assert reply.text == "export const a = 1;"
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in reply.headers["cache-control"]
    packed = client(assets).get(f"/{assets.base}b.gz")
    assert "content-encoding" not in packed.headers
    assert packed.content == bytes(100)


def test_what_is_in_memory_is_served_as_a_file_is():
    assets = Assets({"examples/small_0.jpg": b"picture"})
    reply = client(assets).get(f"/{assets.base}examples/small_0.jpg")
    assert (reply.content, reply.headers["content-type"]) == (b"picture", "image/jpeg")
    assert "immutable" in reply.headers["cache-control"]
    assert Assets({"examples/small_0.jpg": b"other"}).base != assets.base


@pytest.mark.parametrize("name", ["c.js", "../test_assets.py", "live", "", "live/../b.gz/x"])
def test_nothing_else_is_served(assets, name):
    assert client(assets).get(f"/{assets.base}{name}").status_code == 404


def test_the_address_changes_with_the_content(assets, tmp_path):
    (tmp_path / "a.js").write_text("export const a = 2;")
    again = Assets({"live/a.js": tmp_path / "a.js", "b.gz": tmp_path / "b.gz"})
    assert again.base != assets.base
    other = Assets({"live/c.js": tmp_path / "a.js", "b.gz": tmp_path / "b.gz"})
    assert other.base != again.base


def test_a_component_starts_a_module_that_is_served(assets):
    script = assets.start_script("live/a.js")
    assert f'import(new URL("{assets.base}live/a.js", document.baseURI))' in script
    assert f'href="{assets.base}live/a.js"' in assets.preload
    assert "b.gz" not in assets.preload
    with pytest.raises(KeyError):
        assets.start_script("live/none.js")


def test_all_javascript_of_the_page_is_there_and_no_python():
    found = find_modules()
    assert {"live/live.js", "local/fer.js", "local/ort/ort-wasm-simd-threaded.wasm.gz"} <= set(
        found
    )
    assert not [name for name in found if name.endswith(".py")]


def test_the_bundled_weights_can_run_in_the_browser(monkeypatch):
    monkeypatch.setenv("FER_YUNET_PATH", str(shared("models", YUNET.name)))
    found = hub.load_browser_files()
    assert set(found) == {"fer.json", "model_web.onnx", YUNET.name}
    assert all(path.is_file() for path in found.values())


def test_a_detector_of_another_hash_is_refused(monkeypatch, tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"other")
    monkeypatch.setenv("FER_YUNET_PATH", str(tmp_path / "other.onnx"))
    with pytest.raises(ConfigError, match="must have sha256 8f2383e4"):
        hub.load_browser_files()


def test_weights_without_a_format_for_browsers_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_YUNET_PATH", str(shared("models", YUNET.name)))
    text = (hub.WEIGHTS_FOLDER / "fer.json").read_text()
    (tmp_path / "fer.json").write_text(text)
    with pytest.raises(ConfigError, match="no such file"):
        hub.load_browser_files(str(tmp_path))
    (tmp_path / "fer.json").write_text(text.replace("model_web.onnx", "other.onnx"))
    with pytest.raises(ConfigError, match=r"must name model_web\.onnx"):
        hub.load_browser_files(str(tmp_path))


def test_the_page_starts_without_them(monkeypatch, caplog):
    def fail(*_):
        raise HubError("the Hub does not answer")

    monkeypatch.setattr(start, "load_browser_files", fail)
    yunet = hub.load_detector("yunet", yunet_path=str(shared("models", YUNET.name)))
    assert start._find_browser_files(yunet, Settings()) == {}
    assert "on this server alone, because the Hub does not answer" in caplog.text


def test_a_page_with_another_detector_answers_alone():
    assert start._find_browser_files(hub.load_detector("haar"), Settings()) == {}
