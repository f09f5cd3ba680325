"""CITATION, CONTRIBUTING, CHANGELOG and the requirements files say what is so."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from tests import canary
from tests.conftest import ROOT


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def project():
    return tomllib.loads(read("pyproject.toml"))["project"]


def citation():
    return yaml.safe_load(read("CITATION.cff"))


def test_versions_agree():
    version = project()["version"]
    assert citation()["version"] == version
    changelog = read("CHANGELOG.md")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.M)
    assert released[:1] in ([], [version])
    assert released == sorted(released, key=lambda v: [*map(int, v.split("."))], reverse=True)
    assert released or "## [Unreleased]" in changelog


def test_the_citation_is_of_this_project():
    content = citation()
    assert set(content) >= {"cff-version", "message", "title", "authors"}
    assert content["cff-version"] == "1.2.0"
    assert content["type"] == "software"
    assert content["license"] == project()["license"]
    assert content["title"].startswith(project()["name"])
    assert content["authors"] == [{"name": "The fer-live authors"}]


def code_of(text):
    """What stands between backticks, with the lines of code blocks."""
    fenced = re.findall(r"```\n(.*?)```", text, re.S)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    lines = [line.partition("#")[0].strip() for block in fenced for line in block.splitlines()]
    return [item for item in (*lines, *inline) if item]


def test_contributing_names_paths_that_are_there():
    text = read("CONTRIBUTING.md")
    words = [word for item in code_of(text) for word in item.split()]
    paths = {word for word in words if re.fullmatch(r"[\w./-]*(/|\.(py|txt|toml|md|csv))", word)}
    paths |= set(re.findall(r"\]\(([^)#]+)\)", text))
    assert len(paths) > 15
    for path in paths:
        assert (ROOT / path).exists(), path


def commands():
    """Of `python -m train`."""
    pytest.importorskip("datasets")
    from train.__main__ import app

    return {each.name or each.callback.__name__ for each in app.registered_commands}


def test_contributing_names_commands_that_are_there():
    items = code_of(read("CONTRIBUTING.md"))
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.M))
    named = {item.split()[1] for item in items if item.startswith("make ")}
    assert len(named) >= 6
    assert named <= targets
    found = [re.fullmatch(r"python -m train (\w+)", item) for item in items]
    assert {each[1] for each in found if each} >= {"card", "evaluate", "fit", "framing"}
    assert {each[1] for each in found if each} <= commands()
    words = {item for item in items if re.fullmatch(r"[a-z]+", item)}
    assert {"contrast", "subgroups", "export", "publish"} <= words & commands()


def test_contributing_names_things_of_the_code():
    """Each name by itself stands in one of the files that are named, too."""
    items = code_of(read("CONTRIBUTING.md"))
    files = [item for item in items if re.fullmatch(r"[\w./-]+\.(py|toml)", item)]
    code = "\n".join(read(name) for name in files)
    names = {item for item in items if re.fullmatch(r"[A-Za-z_]+", item)} - commands()
    assert {"Recipe", "RECIPES", "Detector", "DETECTORS", "FORMATS", "load_network"} <= names
    for name in names:
        assert re.search(rf"\b{name}\b", code), name


def test_the_glossary_is_in_order_and_of_about_thirty_words():
    _, _, text = read("CONTRIBUTING.md").partition("## Glossary")
    words = [word.lower() for word in re.findall(r"^\| ([\w ]+) \| \w", text, re.M)][1:]
    assert 25 <= len(words) <= 35
    assert words == sorted(set(words))


def test_large_files_are_where_contributing_says():
    """Files of more than a megabyte, without those that no commit has yet."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    command = ["git", "ls-files", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    files = [name for name in names if name and (ROOT / name).is_file()]
    large = [name for name in files if (ROOT / name).stat().st_size > 1_000_000]
    rooms = ("fer/weights/", "fer/web/local/ort/", "train/checkpoints/", "results/models/")
    assert [name for name in large if not name.startswith(rooms)] == []
    assert max((ROOT / name).stat().st_size for name in large) < 10_000_000


def test_the_canary_takes_all_that_is_pinned_without_its_version():
    names = canary.newest(canary.REQUIREMENTS)
    assert {"gradio", "keras", "tensorflow", "opencv-python-headless", "numpy"} <= set(names)
    assert {"huggingface-hub", "datasets", "ai-edge-litert", "ray[data]"} <= set(names)
    bounded = [name for name in names if re.search(r"[=<>]=?\s*\d", name.partition(";")[0])]
    assert bounded == ["mcp<2"]  # Gradio's bound, not ours
    locked = {name: version for name, _, version, _ in canary.pins(canary.LOCK)}
    for name, _, version, _ in canary.pins(canary.REQUIREMENTS):
        assert locked[name] == version, name


def test_the_canary_refuses_what_is_no_pin(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("# why\nnumpy==2.0  # here\nray[data]==1.0 ; sys_platform == 'linux'\n")
    assert canary.newest(path) == ["numpy", "ray[data] ; sys_platform == 'linux'"]
    path.write_text("numpy>=2\n")
    with pytest.raises(ValueError, match=r"pin exactly\. Received: numpy>=2"):
        canary.newest(path)


def test_the_canary_marks_what_differs():
    lines = canary.table({"gradio": "99.0", "left-pad": "1.0", "idna": canary_version("idna")})
    assert len(lines) == 3  # the head; idna is locked, as it came, and nobody's own
    assert lines[1].split()[:3] == ["*", "gradio", "99.0"]
    assert lines[2].split() == ["*", "left-pad", "1.0", "-"]


def canary_version(name):
    return next(version for known, _, version, _ in canary.pins(canary.LOCK) if known == name)


def test_the_canary_ends_as_the_tests_end(monkeypatch, capfd):
    """In this environment: a new one takes minutes."""
    for argument, status in (("--version", 0), ("tests/no_such_test.py", 4)):
        command = ["canary", "--env", sys.prefix, "--keep", argument]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            canary.main()
        assert ended.value.code == status
    assert "gradio" in capfd.readouterr().out


@pytest.mark.parametrize("folder", ["fer", "fer/web", "train", "train/measure", "bench", "tools"])
def test_a_second_resize_is_refused_everywhere(folder):
    lines = ("import cv2", "", "print(cv2.resize, cv2.cvtColor, cv2.warpAffine)")
    assert lint(f"{folder}/other.py", *lines).count("TID251") == 3


@pytest.mark.parametrize(("folder", "n_refused"), [("fer", 2), ("bench", 2), ("train", 0)])
def test_keras_and_tensorflow_stay_in_training(folder, n_refused):
    found = lint(f"{folder}/other.py", "import keras", "import tensorflow as tf")
    assert found.count("TID251") == n_refused


def lint(name, *lines):
    """What ruff says of a file of that name."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise"]
    done = subprocess.run(
        [*command, "--stdin-filename", name, "-"],
        input="\n".join((*lines, "")),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_the_types_of_all_code_are_checked():
    mypy = tomllib.loads(read("pyproject.toml"))["tool"]["mypy"]
    assert mypy["strict"]
    assert {"app.py", "bench", "fer", "tools", "train"} <= set(mypy["files"])
