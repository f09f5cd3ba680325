"""README and model card: every figure is in results/, every Python block runs."""

import ast
import csv
import doctest
import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name):
    """What runs from the root of the repository, without a Hub."""
    return [block for block in all_blocks(read(name)) if block not in reuse_blocks(name)]


def all_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.S)


def reuse_blocks(name):
    """What runs anywhere once the weights are published; each goes on from those before."""
    (text,) = re.findall(
        r"The input is a face as FER-2013(.*?)^(?:#|<!--)", read(name), re.S | re.M
    )
    return all_blocks(text)


def pins(name):
    found = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[\w+\])?==([^\s;]+)", read(name), re.M)
    return {package.lower().replace("_", "-").replace(".", "-"): v for package, v in found}


def test_figures_are_those_of_the_bundled_weights():
    card = pytest.importorskip("train.publish.card")
    from fer.hub import load_classifier

    config = load_classifier().config
    report = json.loads(read(f"results/{config.recipe}.json"))
    assert report["sha256"] == config.files["model.tflite"]
    readme = read("README.md")
    assert card.fill_figures(readme, card.format_figures(report)) == readme


def test_speeds_are_those_that_were_measured():
    report = pytest.importorskip("bench.report")
    card = pytest.importorskip("train.publish.card")
    readme = read("README.md")
    speed = report.format_speed(ROOT / "results")
    assert card.fill_figures(readme, speed, report.MARK) == readme


def test_limits_of_the_stream_are_those_of_the_code():
    from fer.web import requests

    limits = f"{requests.MAX_CHARS:,} characters", f"{requests.MAX_PIXELS / 1e6:.1f}"
    for text in (read("README.md"), read("fer/web/live/__init__.py")):
        assert re.search(rf"{limits[0]}.*{limits[1]}\s+megapixels", text, re.S)
    (rows,) = re.findall(r"MAX_ROWS = (\d+)", read("fer/web/live/timeline.js"))
    assert f"the last {int(rows):,} rows" in read("fer/web/live/live.html")


def test_the_table_of_results_repeats_the_reports():
    with (ROOT / "results" / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        report = json.loads(read(f"results/{row['recipe']}.json"))
        assert float(row["full_top1"]) == report["full"]["top1"]
        assert float(row["twin_free_top1"]) == report["twin_free"]["top1"]
        assert row["sha256"] == report["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "model_card.md"])
def test_python_blocks_run(name, monkeypatch, hub, start_app, capsys):
    monkeypatch.chdir(ROOT)
    hub.fault = 503
    assert blocks(name)
    for block in blocks(name):
        if "gradio_client" in block:
            block = block.replace("http://127.0.0.1:7860", start_app().url)
        exec(compile(block, name, "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.slow
def test_python_blocks_of_the_readme_of_a_space_run(monkeypatch, hub, start_app, capsys):
    space = pytest.importorskip("train.publish.space")
    text = space.space_files(ROOT, "someone/fer", None)["README.md"].decode()
    monkeypatch.chdir(ROOT)
    hub.fault = 503
    blocks = all_blocks(text)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block.replace("http://127.0.0.1:7860", start_app().url), "space", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.parametrize("name", ["README.md", "model_card.md"])
def test_published_weights_run_as_written(name, published, monkeypatch, tmp_path, capsys):
    """LiteRT, ONNX Runtime, Keras (newest and pinned), and the package, from a Hub."""
    from fer import load_classifier, read_image

    photo = read_image(ROOT / "examples" / "astronaut_happy.jpg")
    crop = photo[63:176, 167:280]
    (expected,) = load_classifier()([crop])
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo).save("photo.jpg", quality=95)
    Image.fromarray(crop).save("face.jpg", quality=95)
    first, *others = reuse_blocks(name)
    assert len(others) == 4
    known = {}
    exec(first.replace("<you>", "someone"), known)
    capsys.readouterr()
    for block, tool in zip(others, ("litert", "onnxruntime", "keras", "fer"), strict=True):
        assert tool in block
        exec(block, known)
        said = ast.literal_eval(capsys.readouterr().out)
        if tool == "fer":
            assert said == ["happy"]
        else:
            assert list(said) == list(load_classifier().config.class_names)
            assert np.abs(np.array(list(said.values())) - expected).max() < 0.02


MODULES = ["fer", *(info.name for info in pkgutil.walk_packages([str(ROOT / "fer")], "fer."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name, monkeypatch, hub):
    monkeypatch.chdir(ROOT)
    hub.fault = 503
    source = importlib.util.find_spec(name).origin
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert attempted == len(re.findall(r"^\s*>>> ", Path(source).read_text("utf-8"), re.M))


@pytest.mark.slow
def test_command_lines_of_the_readme_run(tmp_path):
    """In a copy of examples/; but for the one that serves a page until it is stopped."""
    (text,) = re.findall(r"```sh\n(python -m fer .*?)```", read("README.md"), re.S)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FER_DETECTOR": "slim"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    lines = [line.split("  #")[0].strip() for line in text.splitlines()]
    assert len(lines) >= 6
    for line in lines:
        if "fer camera" not in line:
            done = subprocess.run(
                line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, (line, done.stderr)
    made = {path.name for path in tmp_path.iterdir()} - {"examples"}
    assert {"faces.csv", "faces.parquet", "boxes.mp4"} <= made


def bundled_report():
    from fer.hub import load_classifier

    return json.loads(read(f"results/{load_classifier().config.recipe}.json"))


def test_the_bundled_weights_are_right_more_often_than_the_usual_package():
    """PyPI fer 25.10.3 on the same test images: 65.87 %, on the twin-free ones 63.39 %."""
    assert bundled_report()["full"]["top1"] > 65.87
    assert bundled_report()["twin_free"]["top1"] > 63.39


def test_the_bundled_weights_have_the_better_macro_f1():
    """PyPI fer 25.10.3 on the same test images: .642; what we set out for: .65."""
    assert bundled_report()["full"]["macro_f1"] >= 65


def test_the_probabilities_of_the_bundled_weights_are_honest():
    assert bundled_report()["full"]["ece"] <= 0.03


def test_every_format_is_small_and_as_good_as_the_one_that_ships():
    formats = {row["format"]: row for row in bundled_report()["formats"]}
    litert = {"litert-float32", "litert-float16", "litert-int8"}
    assert set(formats) == {"keras", *litert, "onnx", "web"}
    assert max(row["bytes"] for row in formats.values()) < 12_000_000
    assert formats["litert-int8"]["bytes"] < 3_500_000
    assert formats["litert-int8"]["top1_change"] >= -0.5
    assert formats["web"]["bytes"] < 5_000_000
    assert formats["web"]["top1_change"] >= -0.1
    assert formats["web"]["largest_prob_gap"] <= 0.03
    for name in ("keras", "onnx"):
        assert abs(formats[name]["top1_change"]) <= 0.06  # two images


REQUIREMENTS = [
    *("requirements.txt", "requirements-batch.txt", "requirements-train.txt"),
    "requirements-dev.txt",
]


def test_the_lock_holds_every_pin():
    locked = pins("requirements.lock")
    for name in REQUIREMENTS:
        for package, version in pins(name).items():
            assert locked[package] == version, package
    assert "tensorflow" not in pins("requirements.txt")
    assert "://" not in read("requirements.lock")


def test_pinned_versions_lie_in_the_ranges_of_the_package():
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads(read("pyproject.toml"))["project"]
    locked = pins("requirements.lock")
    extras = project["optional-dependencies"].values()
    for text in (*project["dependencies"], *(text for extra in extras for text in extra)):
        wanted = Requirement(text)
        version = locked[wanted.name.lower().replace("_", "-").replace(".", "-")]
        assert wanted.specifier.contains(version), text


def test_every_python_module_is_named_in_the_readme():
    for path in (ROOT / "fer").glob("*.py"):
        if path.stem not in ("__init__",):
            assert f"  {path.name} " in read("README.md"), path.name


def test_every_checkpoint_is_explained():
    folder = ROOT / "train" / "checkpoints"
    text = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.glob("*.keras"):
        assert f"| `{path.name}` |" in text
