"""Documents: every figure is in results/, every block runs, every link leads somewhere."""

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
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder, pattern in (
        (ROOT, "*.md"),
        (ROOT / "docs", "*.md"),
        (ROOT / "train", "**/*.md"),
    )
    for path in folder.glob(pattern)
    if path.parent.name != "templates"
)


def python_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.S)


def reuse_blocks():
    """Blocks of the card that run anywhere with published weights; each continues the last."""
    pattern = r"The input is a square crop of a face as FER-2013(.*?)^## "
    (text,) = re.findall(pattern, read("model_card.md"), re.S | re.M)
    return python_blocks(text)


# Blocks that run in the root of the repository, without a Hub.
LOCAL_BLOCKS = [
    (name, block)
    for name in DOCUMENTS
    for block in python_blocks(read(name))
    if block not in reuse_blocks()
]


def code_blocks(name):
    """Lines of the blocks that are not Python, without comments."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", read(name), re.S | re.M):
        for line in block.splitlines() if language in ("", "sh") else ():
            if command := line.split("  #")[0].strip():
                yield command


def pins(name):
    found = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[\w+\])?==([^\s;]+)", read(name), re.M)
    return {package.lower().replace("_", "-").replace(".", "-"): v for package, v in found}


def test_figures_are_those_of_the_bundled_weights():
    card = pytest.importorskip("train.publish.card")
    from fer.hub import load_classifier

    config = load_classifier().config
    report = json.loads(read(f"results/{config.recipe}.json"))
    assert report["sha256"] == config.files["model.tflite"]
    for name, figures in (
        ("README.md", card.format_summary(report)),
        ("docs/accuracy.md", card.format_figures(report)),
    ):
        assert card.fill_figures(read(name), figures) == read(name)


def test_speeds_are_those_that_were_measured():
    report = pytest.importorskip("bench.report")
    card = pytest.importorskip("train.publish.card")
    for name, format_figures in (
        ("README.md", report.format_summary),
        ("docs/performance.md", report.format_speed),
    ):
        figures = format_figures(ROOT / "results")
        assert card.fill_figures(read(name), figures, report.MARK) == read(name)


def test_counts_of_leaked_images_are_those_of_the_report():
    full, fresh = (bundled_report()[part]["n_images"] for part in ("full", "twin_free"))
    for count in (full, fresh, full - fresh):
        assert f"{count:,} " in read("docs/accuracy.md")


def test_the_readme_fits_on_a_few_screens():
    assert len(read("README.md").splitlines()) <= 170


def test_limits_of_the_stream_are_those_of_the_code():
    from fer.web.server import requests

    limits = f"{requests.MAX_CHARS:,} characters", f"{requests.MAX_PIXELS / 1e6:.1f}"
    for text in (read("docs/api.md"), read("fer/web/api.py")):
        assert re.search(rf"{limits[0]}.*{limits[1]}\s+megapixels", text, re.S)
    (rows,) = re.findall(r"MAX_ROWS = (\d+)", read("fer/web/live/record.js"))
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


def test_the_documents_have_blocks_to_run():
    counts = Counter(name for name, _ in LOCAL_BLOCKS)
    assert counts["README.md"] == 1
    assert counts["docs/usage.md"] >= 4
    assert counts["docs/api.md"] == 3
    assert counts["model_card.md"] == 1


def run_block(name, block, app):
    if "gradio_client" in block:
        block = block.replace("http://127.0.0.1:7860", app.url)
    exec(compile(block, name, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "block"), LOCAL_BLOCKS)
def test_python_blocks_run(name, block, monkeypatch, hub, slim_app, capsys):
    monkeypatch.chdir(ROOT)
    hub.fault = 503
    run_block(name, block, slim_app)
    assert capsys.readouterr().out


@pytest.mark.slow
def test_python_blocks_of_the_readme_of_a_space_run(monkeypatch, hub, slim_app, capsys):
    space = pytest.importorskip("train.publish.space")
    text = space.space_files(ROOT, "someone/fer", None)["README.md"].decode()
    monkeypatch.chdir(ROOT)
    hub.fault = 503
    blocks = python_blocks(text)
    assert len(blocks) == 2
    for block in blocks:
        run_block("space", block, slim_app)
    assert capsys.readouterr().out


MODULES = ["fer", *(info.name for info in pkgutil.walk_packages([str(ROOT / "fer")], "fer."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name, monkeypatch, hub):
    monkeypatch.chdir(ROOT)
    hub.fault = 503
    source = importlib.util.find_spec(name).origin
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert attempted == len(re.findall(r"^\s*>>> ", Path(source).read_text("utf-8"), re.M))


def commands_of(module):
    app = pytest.importorskip(module).app
    names = (each.name or each.callback.__name__ for each in app.registered_commands)
    return {name.replace("_", "-") for name in names}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_in_blocks_are_there(name):
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.M))
    for line in code_blocks(name):
        if found := re.search(r"\bmake ([\w-]+)", line):
            assert found[1] in targets, line
        for module in ("fer", "train"):
            if found := re.search(rf"python -m {module} ([\w-]+)", line):
                assert found[1] in commands_of(f"{module}.__main__"), line
        for path in re.findall(r"(?:^| )((?:requirements|tests/|fer/)[\w./-]+\.(?:txt|py))", line):
            assert (ROOT / path).is_file(), line


COMMAND_LINES = [
    line
    for name in DOCUMENTS
    for block in re.findall(r"```sh\n(.*?)```", read(name), re.S)
    for line in dict.fromkeys(line.split("  #")[0].strip() for line in block.splitlines())
]


@pytest.mark.long
def test_command_lines_run(tmp_path):
    """In a copy of examples/, except the one that serves a page until it is stopped."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FER_DETECTOR": "slim"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    lines = [line for line in dict.fromkeys(COMMAND_LINES) if "fer camera" not in line]
    assert len(lines) >= 6
    for line in lines:
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (line, done.stderr)
    made = {path.name for path in tmp_path.iterdir()} - {"examples"}
    assert {"faces.csv", "faces.parquet", "boxes.mp4"} <= made


def without_code(text):
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.S | re.M)


def anchors(path):
    """Names of the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(path.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(read(name))):
        if ":" in link:
            continue
        target, _, section = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), link
        assert not section or section in anchors(path), link


def test_the_picture_of_the_readme_moves_and_is_small():
    assert "](docs/live.webp)" in read("README.md")
    path = ROOT / "docs" / "live.webp"
    with Image.open(path) as picture:
        assert picture.n_frames >= 20
        assert picture.width >= 800
    assert path.stat().st_size < 600_000


def test_every_document_is_in_the_list_of_the_readme():
    linked = set(re.findall(r"\]\(([^)\s#]+\.md)\)", read("README.md")))
    assert {name for name in DOCUMENTS if name.startswith("docs/")} <= linked
    assert {"train/README.md", "model_card.md", "SECURITY.md", "CONTRIBUTING.md"} <= linked


def test_the_variables_of_the_page_are_all_documented():
    code = "".join(path.read_text("utf-8") for path in (ROOT / "fer").rglob("*.py"))
    read_by_the_page = set(re.findall(r"\bFER_[A-Z_]+\b", code))
    documented = set(re.findall(r"`(FER_[A-Z_]+)`", read("docs/deploy.md")))
    assert len(documented) >= 12
    assert documented == read_by_the_page


def test_the_codes_of_errors_are_all_documented():
    """Of endpoints and of requests that are refused before them."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / "fer" / "web").rglob("*.py"))
    table = re.findall(r"^\| (?:\d+ \| )?(`\w+`(?:, `\w+`)*) \|", read("docs/api.md"), re.M)
    documented = set(re.findall(r"`(\w+)`", " ".join(table)))
    assert len(documented) == 14
    for name in documented:
        assert f'"{name}"' in code, name
    assert set(re.findall(r'BadCall\(\d+, "(\w+)"\)', code)) <= documented


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


def test_every_python_module_is_in_the_list_of_design():
    for path in (ROOT / "fer").glob("*.py"):
        if path.stem not in ("__init__",):
            assert f"  {path.name} " in read("docs/design.md"), path.name


def test_every_checkpoint_is_explained():
    folder = ROOT / "train" / "checkpoints"
    text = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.glob("*.keras"):
        assert f"| `{path.name}` |" in text
