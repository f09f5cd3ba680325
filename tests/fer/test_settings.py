"""What the variables of the environment set, and that nothing else reads them."""

import ast
import dataclasses
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fer import InputError
from fer.settings import Settings
from tests.conftest import ROOT

DEFAULTS = Settings()


def test_an_empty_environment_gives_the_defaults():
    assert Settings.from_env({}) == DEFAULTS
    names = ("FER_MODEL_REPO", "FER_LOG", "FER_MAX_PER_MINUTE", "SPACE_ID", "GRADIO_TEMP_DIR")
    assert Settings.from_env(dict.fromkeys(names, "")) == DEFAULTS


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("FER_MODEL_REPO", "someone/fer", "model", "someone/fer"),
        ("FER_MODEL_REVISION", "v1", "revision", "v1"),
        ("FER_DETECTOR", "slim", "detector", "slim"),
        ("FER_YUNET_PATH", "/a/yunet.onnx", "yunet_path", "/a/yunet.onnx"),
        ("FER_GALLERY_DIR", "~/models", "gallery_dir", Path("~/models").expanduser()),
        ("FER_EXAMPLES_DIR", "/own", "examples_dir", Path("/own")),
        ("GRADIO_TEMP_DIR", "/tmp/x", "temp_dir", Path("/tmp/x")),
        ("FER_MAX_VIDEO_MINUTES", "3.5", "max_video_minutes", 3.5),
        ("FER_MAX_VIDEO_MINUTES", "0", "max_video_minutes", None),
        ("FER_MAX_PER_MINUTE", "30", "max_per_minute", 30),
        ("FER_MAX_PER_MINUTE", "0", "max_per_minute", None),
        ("FER_MAX_TEMP_GB", "0.5", "max_temp_bytes", 500_000_000),
        ("GRADIO_SERVER_PORT", "8080", "port", 8080),
        ("FER_LOG", "json", "log", "json"),
        ("FER_OPERATOR", "Ann, ann@example.org", "operator", "Ann, ann@example.org"),
        ("FER_MCP", "1", "mcp", True),
        ("FER_MCP", "yes", "mcp", False),
        ("FER_ALLOWED_HOSTS", " A.b, ,.c.d", "allowed_hosts", ("a.b", ".c.d")),
        ("FORWARDED_ALLOW_IPS", "192.0.2.1", "proxies", "192.0.2.1"),
    ],
)  # fmt: skip
def test_a_variable_sets_one_field(variable, text, field, value):
    settings = Settings.from_env({variable: text})
    assert settings == dataclasses.replace(DEFAULTS, **{field: value})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *(("FER_MAX_VIDEO_MINUTES", text) for text in ("x", "nan")),
        *(("FER_MAX_PER_MINUTE", text) for text in ("-1", "2.5", "\u00b2")),
        *(("FER_MAX_TEMP_GB", text) for text in ("x", "0", "-1", "inf", "nan", "1e-20")),
        ("FER_LOG", "xml\n"),
    ],
)
def test_an_invalid_value_is_ignored_and_named(variable, text):
    settings = Settings.from_env({variable: text})
    (problem,) = settings.problems
    assert problem.startswith(f"{variable} must be ")
    assert problem.endswith(f"Received: {text!a}")
    assert dataclasses.replace(settings, problems=()) == DEFAULTS


@pytest.mark.parametrize("text", ["", "0", "65536", "80a", "\u0661"])
def test_an_invalid_port_ends_the_start(text):
    with pytest.raises(InputError, match=r"GRADIO_SERVER_PORT must be .* Received: "):
        Settings.from_env({"GRADIO_SERVER_PORT": text})


def test_a_space_logs_json_and_trusts_its_proxies_and_names():
    settings = Settings.from_env({"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space"})
    assert (settings.on_space, settings.log) == (True, "json")
    assert settings.allowed_hosts == ("a-b.hf.space", ".hf.space")
    assert "10.0.0.0/8" in settings.proxies
    owner = "a on Hugging Face, https://huggingface.co/spaces/a/b/discussions"
    assert settings.operator == owner
    assert Settings.from_env({"SPACE_ID": "a/b", "FER_OPERATOR": "Ann"}).operator == "Ann"


def test_nothing_else_of_the_package_reads_a_variable():
    """`os.environ` as a whole may go to a child, and a variable may be set for a library."""
    found = set()
    for path in (ROOT / "fer").rglob("*.py"):
        if path.name == "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            name = ast.unparse(called) if called else ""
            if name in ("os.environ.get", "os.getenv", "environ.get", "getenv"):
                found.add((path.name, ast.unparse(node.args[0])))
    # Put back after a library has been loaded.
    assert found == {("detect.py", "'OMP_NUM_THREADS'")}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ("env/model", "v1", None)),
        (("--model", "other/model"), ("other/model", None, None)),
        (("--model", "other/model", "--revision", "v2"), ("other/model", "v2", None)),
        (("--revision", "v2", "--detector", "slim"), ("env/model", "v2", "slim")),
    ],
)
def test_the_page_compares_the_models_of_the_weights_that_camera_names(
    options, expected, monkeypatch
):
    from fer.__main__ import app
    from fer.web import page
    from fer.web.server import serve, start

    monkeypatch.setenv("FER_MODEL_REPO", "env/model")
    monkeypatch.setenv("FER_MODEL_REVISION", "v1")
    seen = []
    monkeypatch.setattr(start, "prepare", lambda settings: None)
    monkeypatch.setattr(start, "start_pipeline", lambda settings: (None, None))
    monkeypatch.setattr(page, "build_page", lambda *args: seen.append(args[-1]))
    monkeypatch.setattr(serve, "launch", lambda *args, **options: None)
    done = CliRunner().invoke(app, ["camera", *options])
    assert done.exit_code == 0, done.output
    (settings,) = seen
    assert (settings.model, settings.revision, settings.detector) == expected


def test_the_package_of_the_page_imports_nothing():
    """A worker process imports it with its jobs, which need no Gradio."""
    tree = ast.parse((ROOT / "fer" / "web" / "__init__.py").read_text("utf-8"))
    assert [type(node) for node in tree.body] == [ast.Expr]
    assert "fer.settings" in sys.modules
