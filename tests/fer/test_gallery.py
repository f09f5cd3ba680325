"""Models of other recipes: where they come from, when, and what they say."""

import hashlib
import json
import logging
import threading
from dataclasses import replace

import numpy as np
import pytest

from fer import gallery as module
from fer import hub as hub_module
from fer.errors import ConfigError
from fer.gallery import Gallery, find_gallery, read_table
from fer.hub import WEIGHTS_FOLDER, load_classifier
from fer.settings import Settings
from fer.types import ModelConfig
from tests.conftest import make_config, noise

REPO = "someone/fer"
FLAGSHIP = "f1" * 32


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_module, "_PAUSES_S", ())


def toy_network(content):
    """A "file" that says what its network takes and answers."""
    side, logits = json.loads(content)

    def network(pixels):
        assert pixels.shape[1:] == (side, side, 1)
        return np.tile(np.float32(logits), (len(pixels), 1))

    return network


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(module, "litert_network", toy_network)


def make_toy(side=16, logits=(0, 1)):
    return json.dumps([side, list(logits)]).encode()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def make_model(folder, names=("sad", "happy"), side=16, logits=(0, 1), **changes):
    """A recipe's folder with a toy; its configuration may be changed."""
    folder.mkdir(parents=True, exist_ok=True)
    content = make_toy(side, logits)
    (folder / "model_int8.tflite").write_bytes(content)
    files = {"model_int8.tflite": digest(content)}
    values = {"class_names": names, "input_size": side, "recipe": folder.name, "files": files}
    (folder / "fer.json").write_text(make_config(**(values | changes)).to_json(), encoding="utf-8")
    return folder


def line(recipe, n_classes=2, top1=61.5, sha256=None):
    """Of the toy that `make_model` makes where it is told nothing."""
    return {
        "recipe": recipe,
        "title": f"The {recipe}",
        "idea": f"What {recipe} tries.",
        "top1": top1,
        "n_classes": n_classes,
        "sha256": sha256 or digest(make_toy()),
    }


def write_table(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "models.json").write_text(json.dumps(lines), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """Three models, two of them in the order of the table, and the table."""
    folder = tmp_path / "models"
    write_table(
        folder,
        line("b", 3, sha256=digest(make_toy(24, (3, 0, 0)))),
        line("flagship", top1=70, sha256=FLAGSHIP),
        line("a", top1=None),
    )
    make_model(folder / "a")
    make_model(folder / "b", ("angry", "sad", "happy"), 24, (3, 0, 0))
    make_model(folder / "unlisted")
    return folder


def recipes(models):
    return [model.entry.recipe for model in models.models]


def ask(models, n=2):
    """The probabilities of `n` crops from each model."""
    crops = [noise(30, 30, seed) for seed in range(n)]
    return [model.classifier(crops) for model in models.models]


def labels(model, probs):
    names = model.classifier.config.class_names
    return [names[i] for i in probs.argmax(axis=1)]


WITHOUT_HASH = {key: value for key, value in line("a").items() if key != "sha256"}


def test_a_table_keeps_its_order_and_its_gaps():
    entries = read_table(json.dumps([line("b"), line("a", 5, None)]).encode())
    assert [entry.recipe for entry in entries] == ["b", "a"]
    assert [entry.top1 for entry in entries] == [61.5, None]
    assert entries[1].n_classes == 5
    assert {entry.sha256 for entry in entries} == {digest(make_toy())}
    assert read_table("[]") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff\xfe", "must be JSON"),
        ("{", "must be JSON"),
        ("{}", "must be a list. Received: dict"),
        ("[1]", "must hold objects of"),
        (json.dumps([line("a") | {"more": 1}]), "must hold objects of"),
        (json.dumps([{"recipe": "a"}]), "must hold objects of"),
        (json.dumps([WITHOUT_HASH]), "must hold objects of .*sha256"),
        (json.dumps([line("a"), line("a")]), "name each recipe once"),
        (json.dumps([line("../a")]), "`recipe` must be letters"),
        (json.dumps([line("..")]), "`recipe` must be letters"),
        (json.dumps([line("")]), "`recipe` must be a text"),
        (json.dumps([line("a") | {"idea": 1}]), "`idea` must be a text"),
        (json.dumps([line("a", top1=101)]), "`top1` must be 0..100 or null"),
        (json.dumps([line("a", top1=True)]), "`top1` must be 0..100 or null"),
        (json.dumps([line("a", top1=float("nan"))]), "`top1` must be 0..100 or null"),
        (json.dumps([line("a", 1)]), "`n_classes` must be 2 or more"),
        (json.dumps([line("a", 2.5)]), "`n_classes` must be 2 or more"),
        (json.dumps([line("a") | {"sha256": None}]), "`sha256` must be 64 digits"),
        (json.dumps([line("a", sha256="ab" * 31)]), "`sha256` must be 64 digits"),
        (json.dumps([line("a", sha256="AB" * 32)]), "`sha256` must be 64 digits"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(text, reason):
    with pytest.raises(ConfigError, match=reason):
        read_table(text)


def test_each_model_answers_in_its_own_classes_and_size(toys, folder):
    models = Gallery(folder, flagship=FLAGSHIP).load()
    assert recipes(models) == ["b", "a"]
    assert models.missing == ()
    assert models.flagship.top1 == 70
    assert models.models[0].classifier.config.class_names == ("angry", "sad", "happy")
    assert [probs.shape for probs in ask(models)] == [(2, 3), (2, 2)]
    found = [labels(*pair) for pair in zip(models.models, ask(models), strict=True)]
    assert found == [["angry"] * 2, ["happy"] * 2]
    assert [len(probs) for probs in ask(models, 0)] == [0, 0]


def test_a_real_model_answers_as_a_classifier_of_the_same_file(tmp_path):
    # Another file than the bundled one, which answers like it.
    content = (WEIGHTS_FOLDER / "model.tflite").read_bytes() + b"\0"
    config = ModelConfig.read(WEIGHTS_FOLDER)
    files = {"model_int8.tflite": digest(content)}
    write_table(tmp_path / "models", line("copy", 7, sha256=digest(content)))
    (tmp_path / "models" / "copy").mkdir()
    (tmp_path / "models" / "copy" / "model_int8.tflite").write_bytes(content)
    (tmp_path / "models" / "copy" / "fer.json").write_text(replace(config, files=files).to_json())
    (answer,) = ask(Gallery(tmp_path / "models").load())
    crops = [noise(30, 30, seed) for seed in range(2)]
    assert np.array_equal(answer, load_classifier()(crops))


def test_beside_other_weights_the_bundled_ones_are_there_without_a_folder(folder):
    bundled = load_classifier().config
    sha256 = bundled.files["model.tflite"]
    write_table(folder, line("whatever", len(bundled.class_names), sha256=sha256))
    models = Gallery(folder, flagship=FLAGSHIP).load()
    assert [model.classifier.config for model in models.models] == [bundled]
    assert models.flagship is None
    models = Gallery(folder, flagship=sha256).load()
    assert models.models == ()
    assert models.flagship.recipe == "whatever"


def test_a_recipe_of_the_bundled_name_is_not_the_bundled_model(toys, folder):
    recipe = ModelConfig.read(WEIGHTS_FOLDER).recipe
    write_table(folder, line(recipe))
    make_model(folder / recipe)
    (model,) = Gallery(folder).load().models
    assert model.classifier.config == ModelConfig.read(folder / recipe)


def test_the_bundled_configuration_is_read_once(toys, folder, monkeypatch):
    read = []
    original = ModelConfig.read.__func__

    def watched(cls, path):
        read.append(path)
        return original(cls, path)

    monkeypatch.setattr(ModelConfig, "read", classmethod(watched))
    module.bundled_sha256.cache_clear()
    assert recipes(Gallery(folder, flagship=FLAGSHIP).load()) == ["b", "a"]
    assert recipes(Gallery(folder, flagship=FLAGSHIP).load()) == ["b", "a"]
    assert read.count(WEIGHTS_FOLDER) == 1


def test_a_table_from_before_it_had_hashes_is_told_of_and_not_used(toys, folder, caplog):
    write_table(folder, WITHOUT_HASH)
    assert Gallery(folder).load() == module.Models()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "no models of other recipes are shown, because models.json must hold" in said
    assert "sha256" in said


def test_what_cannot_be_used_is_missing_and_the_others_are_there(toys, folder, caplog):
    names = ("a", "gone", "other", "half", "few", "unnamed", "large", "newer")
    hashes = {
        "other": "ab" * 32,
        "few": digest(make_toy(logits=(0, 1, 2))),
        "large": digest(make_toy(logits=(1, 2, 3))),
    }
    lines = [line(name, sha256=hashes.get(name)) for name in names]
    write_table(folder, *lines)
    make_model(folder / "other", files={"model_int8.tflite": "ab" * 32})
    make_model(folder / "half")
    (folder / "half" / "model_int8.tflite").unlink()
    make_model(folder / "few", ("angry", "sad", "happy"), logits=(0, 1, 2))
    make_model(folder / "unnamed", files={})
    make_model(folder / "large", logits=(1, 2, 3))
    make_model(folder / "newer", logits=(2, 2))
    models = Gallery(folder).load()
    assert recipes(models) == ["a"]
    assert [entry.recipe for entry in models.missing] == [one["recipe"] for one in lines[1:]]
    for name, reason in (
        ("gone", "fer.json must stand in"),
        ("other", "must have sha256 abab"),
        ("half", "No such file"),
        ("few", "must have 2 classes, as models.json says. Received: 3"),
        ("unnamed", "must name model_int8.tflite and its sha256. Received: []"),
        ("large", "must give 2 logits"),
        ("newer", f"with sha256 {digest(make_toy())}, as models.json says. Received: "),
    ):
        (said,) = [r.getMessage() for r in caplog.records if f"of {name} is" in r.getMessage()]
        assert reason in said, name


def counted(monkeypatch):
    """The recipes whose files are opened, as often as they are."""
    opened = []
    original = Gallery._read_model

    def read_model(self, entry):
        opened.append(entry.recipe)
        return original(self, entry)

    monkeypatch.setattr(Gallery, "_read_model", read_model)
    return opened


def test_nothing_is_loaded_before_it_is_asked_for_and_then_once(toys, folder, monkeypatch):
    opened = counted(monkeypatch)
    gallery = Gallery(folder, flagship=FLAGSHIP, retry_s=0)
    assert gallery.models is None
    assert opened == []
    first = gallery.load()
    assert gallery.load() is first is gallery.models
    assert opened == ["b", "a"]


def test_what_is_missing_is_tried_again_later_but_not_each_time(toys, folder, monkeypatch):
    opened = counted(monkeypatch)
    (folder / "b" / "fer.json").rename(folder / "b" / "away")
    gallery = Gallery(folder, flagship=FLAGSHIP)
    for _ in range(3):
        assert recipes(gallery.load()) == ["a"]
    assert opened == ["b", "a"]
    (folder / "b" / "away").rename(folder / "b" / "fer.json")
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 299)
    assert recipes(gallery.load()) == ["a"]
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 301)
    models = gallery.load()
    assert recipes(models) == ["b", "a"]
    assert models.missing == ()
    assert opened == ["b", "a", "b"]


def test_while_it_is_tried_again_the_others_stay(toys, folder, monkeypatch):
    (folder / "b" / "fer.json").rename(folder / "b" / "away")
    gallery = Gallery(folder, flagship=FLAGSHIP, retry_s=0)
    gallery.load()
    go = threading.Event()
    original = Gallery._read_model

    def wait(self, entry):
        assert go.wait(30)
        return original(self, entry)

    monkeypatch.setattr(Gallery, "_read_model", wait)
    attempt = gallery.begin()
    assert gallery.begin() is attempt
    assert recipes(gallery.models) == ["a"]
    assert not attempt.done()
    go.set()
    assert [entry.recipe for entry in attempt.result().missing] == ["b"]


def test_a_table_that_is_not_there_yet_is_tried_again(toys, folder, caplog):
    (folder / "models.json").rename(folder / "away")
    gallery = Gallery(folder, retry_s=0)
    assert gallery.load() == module.Models()
    assert "no models of other recipes are shown, because" in caplog.text
    (folder / "away").rename(folder / "models.json")
    assert recipes(gallery.load()) == ["b", "a"]


def test_a_mistake_of_ours_is_logged_and_ends_the_attempt(folder, monkeypatch, caplog):
    def crash(content):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(module, "litert_network", crash)
    gallery = Gallery(folder)
    assert gallery.load() == module.Models() == gallery.models
    assert "a mistake" in caplog.text


def test_where_it_comes_from(folder, tmp_path, monkeypatch, hub):
    nowhere = tmp_path / "nowhere"
    monkeypatch.setattr(module, "GALLERY_FOLDER", nowhere)
    assert find_gallery(Settings()) is None
    assert find_gallery(Settings(model=str(tmp_path))) is None  # a run's folder
    settings = Settings(model=REPO, revision="v1")
    found = find_gallery(settings, FLAGSHIP)
    assert (found._source, found._revision, found._flagship) == (REPO, "v1", FLAGSHIP)
    nowhere.mkdir()  # a checkout without models
    assert find_gallery(settings)._source == REPO
    monkeypatch.setattr(module, "GALLERY_FOLDER", folder)
    assert (find_gallery(settings)._source, find_gallery(settings)._revision) == (folder, None)
    settings = Settings(model=REPO, gallery_dir=tmp_path / "own")
    assert find_gallery(settings)._source == tmp_path / "own"
    assert hub.requests == []


def publish(hub, folder):
    for path in folder.rglob("*"):
        if path.is_file():
            hub.files[REPO, f"gallery/{path.relative_to(folder).as_posix()}"] = path.read_bytes()


def test_from_the_hub_all_is_of_one_commit(toys, folder, hub, monkeypatch):
    publish(hub, folder)
    commit = hub.commit(REPO)
    original = module.fetch

    def fetch(repo_id, filename, revision, sha256=None):
        path = original(repo_id, filename, revision, sha256)
        if filename.endswith("models.json"):  # somebody publishes meanwhile
            make_model(folder / "a", logits=(9, 0))
            publish(hub, folder)
            assert hub.commit(REPO) != commit
        return path

    monkeypatch.setattr(module, "fetch", fetch)
    models = Gallery(REPO, "main", FLAGSHIP).load()
    assert recipes(models) == ["b", "a"]
    assert labels(models.models[1], ask(models)[1]) == ["happy"] * 2
    asked = [request for request in hub.requests if "/gallery/" in request]
    others = {request.split()[1] for request in asked if commit not in request}
    assert others == {f"/{REPO}/resolve/main/gallery/models.json"}
    assert not [request for request in asked if "unlisted" in request or "flagship" in request]


def test_a_file_of_the_hub_must_be_the_one_that_its_configuration_names(toys, folder, hub, caplog):
    publish(hub, folder)
    hub.files[REPO, "gallery/a/model_int8.tflite"] = b"[16, [5, 0]]"
    models = Gallery(REPO, None, FLAGSHIP).load()
    assert recipes(models) == ["b"]
    assert [entry.recipe for entry in models.missing] == ["a"]
    assert "model of a is not shown, because" in caplog.text


@pytest.mark.parametrize("fault", [404, 503])
def test_without_an_answer_of_the_hub_there_is_nothing_and_later_there_is(
    toys, folder, hub, caplog, fault
):
    caplog.set_level(logging.WARNING)
    publish(hub, folder)
    hub.fault = fault
    gallery = Gallery(REPO, None, FLAGSHIP, retry_s=0)
    assert gallery.load() == module.Models()
    assert f"models.json of {REPO} at revision main" in caplog.text
    hub.fault = None
    assert recipes(gallery.load()) == ["b", "a"]


def test_a_repository_without_a_gallery_is_asked_once(hub):
    hub.files[REPO, "fer.json"] = b"{}"
    gallery = Gallery(REPO)
    for _ in range(3):
        assert gallery.load() == module.Models()
    assert len([request for request in hub.requests if "gallery" in request]) <= 2
