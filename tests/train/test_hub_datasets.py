"""Data sets of the Hub by their names: the rows of the folder, at the revision asked for."""

import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bench.apps import free_port
from fer.errors import HubError, InputError
from tests import olah_server
from tests.conftest import ROOT, opened, shared
from tests.hub_server import TOKEN

pytest.importorskip("datasets")

import datasets

from tests.toy_data import FIT_WITHOUT_EXPORT, make_dataset
from train.data.hub import dataset_name, pin_dataset
from train.data.listing import Reading

# What is stored of every row, by split: by training's way of reading, and streamed.
READ = """
import gc, hashlib, json, sys
import datasets
from train.data.dataset import open_dataset
from train.data.hub import pin_dataset

def digest(rows):
    sha = hashlib.sha256()
    count = 0
    for row in rows.cast_column("image", datasets.Image(decode=False)):
        sha.update(row.pop("image")["bytes"])
        row.pop("source_row", None)
        sha.update(repr(sorted(row.items())).encode())
        count += 1
    return count, sha.hexdigest()

folder, name = sys.argv[1:]
splits = ("train", "validation", "test")
pinned = pin_dataset(name)
repository, commit = pinned.split("@")
streamed = datasets.load_dataset(repository, revision=commit, streaming=True)
assert isinstance(streamed, datasets.IterableDatasetDict)
print(json.dumps({
    "commit": commit,
    "folder": [digest(open_dataset(folder).rows(split)) for split in splits],
    "hub": [digest(open_dataset(pinned).rows(split)) for split in splits],
    "streamed": [digest(streamed[split]) for split in splits],
}))
# Threads of pyarrow that outlive Python abort the process: huggingface/datasets#7566.
del streamed
gc.collect()
"""
COUNT = """
import sys
from train.data.dataset import open_dataset
for name in sys.argv[1:]:
    data = open_dataset(name)
    print(data.name, len(data.rows("test")))
"""


@pytest.fixture(autouse=True)
def _quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def publish(hub, repo_id, folder):
    """The files of `folder` as a data set of the tests' Hub; returns its commit."""
    repo = f"datasets/{repo_id}"
    for path in folder.rglob("*.parquet"):
        hub.files[repo, path.relative_to(folder).as_posix()] = path.read_bytes()
    return hub.commit(repo)


def gray(rows):
    return [int(np.asarray(image).mean()) for image in rows["image"]]


@pytest.fixture
def toys(tmp_path):
    return tmp_path / "toys", make_dataset(tmp_path / "toys")


def test_rows_of_a_repository_are_those_of_the_folder(hub, toys):
    folder, source = toys
    commit = publish(hub, "someone/toys", folder)
    for name in ("someone/toys", "someone/toys@main", f"hf://datasets/someone/toys@{commit}"):
        assert pin_dataset(name) == f"someone/toys@{commit}"
        assert gray(opened(name).rows("test")) == gray(opened(source).rows("test"))
    assert dataset_name(pin_dataset("someone/toys")) == f"someone/toys@{commit}"
    streamed = datasets.load_dataset("someone/toys", split="test", streaming=True)
    assert [row["label"] for row in streamed] == opened(source).rows("test")["label"]


def test_a_pinned_data_set_stays_what_it_was(hub, toys, tmp_path):
    folder, source = toys
    first = publish(hub, "someone/moving", folder)
    hub.refs["datasets/someone/moving", "v1"] = first
    pinned = pin_dataset("someone/moving")
    make_dataset(tmp_path / "later", n=12)
    second = publish(hub, "someone/moving", tmp_path / "later")
    assert len(opened("someone/moving").rows("test")) == 12
    for name in (pinned, "someone/moving@v1", f"someone/moving@{first}"):
        assert gray(opened(name).rows("test")) == gray(opened(source).rows("test"))
    assert pin_dataset("someone/moving@v1") == pinned == f"someone/moving@{first}"
    assert pin_dataset("someone/moving") == f"someone/moving@{second}"


def test_what_the_hub_does_not_have_is_named(hub, toys):
    folder, _ = toys
    publish(hub, "someone/here", folder)
    with pytest.raises(HubError, match=r"nobody/nothing.*RepositoryNotFoundError"):
        opened("nobody/nothing").rows("train")
    with pytest.raises(HubError, match=r"someone/here@v9.*RevisionNotFoundError"):
        opened("someone/here@v9").rows("train")
    with pytest.raises(HubError, match=f"someone/here@{'0' * 40}"):
        opened(f"someone/here@{'0' * 40}").rows("train")
    hub.files["datasets/someone/words", "train.csv"] = b"a,b\n1,2\n"
    with pytest.raises(InputError, match=r"someone/words@\w+\[train\] must have columns"):
        opened("someone/words").rows("train")
    hub.files["datasets/someone/empty", "notes.bin"] = b"nothing"
    with pytest.raises(HubError, match="someone/empty"):
        opened("someone/empty").rows("train")
    with pytest.raises(InputError, match=r"\.\./nothing/here must be"):
        opened("../nothing/here").rows("train")


def test_a_private_data_set_wants_a_token_that_may_read_it(hub, toys, monkeypatch):
    folder, source = toys
    publish(hub, "someone/private", folder)
    hub.private.add("datasets/someone/private")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(HubError, match=r"someone/private.*401.*HF_TOKEN"):
        opened("someone/private").rows("test")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match=r"someone/private.*Invalid credentials.*HF_TOKEN"):
        opened("someone/private").rows("test")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert gray(opened("someone/private").rows("test")) == gray(opened(source).rows("test"))


def test_without_the_hub_the_copy_at_that_commit_serves_and_no_other(hub, toys):
    folder, source = toys
    commit = publish(hub, "someone/cached", folder)
    assert len(opened("someone/cached").rows("test")) == 24
    hub.fault = 500
    with pytest.raises(HubError, match=r"someone/cached.*500"):
        opened("someone/cached").rows("test")
    hub.reset()  # the data set is gone
    with pytest.raises(HubError, match=r"someone/cached.*RepositoryNotFoundError"):
        opened("someone/cached").rows("test")
    pinned = f"someone/cached@{commit}"
    assert gray(opened(pinned).rows("test")) == gray(opened(source).rows("test"))
    # `datasets` would give the copy at hand for it.
    with pytest.raises(HubError, match=f"{'1' * 40}.*the cache has {commit}"):
        opened(f"someone/cached@{'1' * 40}").rows("test")


def test_the_card_names_data_set_and_commit_apart():
    from train.publish.card import _card_data

    figures = {"top1": 50.0, "macro_f1": 0.5, "ece": 0.1}
    report = {"recipe": "toy", "full": figures, "twin_free": figures}
    for name, type_, revision in (
        ("someone/fer2013@0123abc", "someone/fer2013", "0123abc"),
        ("fer2013", "fer2013", None),
    ):
        results = _card_data(report | {"dataset": name}).eval_results
        assert {each.dataset_type for each in results} == {type_}
        assert {each.dataset_revision for each in results} == {revision}


def run_python(*arguments, **environment):
    """Another process, because the client reads its environment when it is imported."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.long
@pytest.mark.slow
def test_offline_the_cache_serves_and_its_commit_is_recorded(hub, toys, tmp_path):
    folder, source = toys
    commit = publish(hub, "someone/offline", folder)
    home = str(tmp_path / "hf")
    code, _, said = run_python("-c", READ, source, "someone/offline", HF_HOME=home)
    assert code == 0, said
    hub.reset()
    names = ("someone/offline", f"someone/offline@{commit}")
    code, out, said = run_python("-c", COUNT, *names, HF_HOME=home, HF_HUB_OFFLINE="1")
    assert code == 0, said
    assert out.splitlines() == [f"someone/offline@{commit} 24"] * 2
    assert hub.requests == []
    for name, reason in {
        "someone/offline@v1": "must be a whole commit. Received: v1",
        "someone/never": "someone/never",
        f"someone/offline@{'1' * 40}": f"the cache has {commit}",
    }.items():
        code, _, said = run_python("-c", COUNT, name, HF_HOME=home, HF_HUB_OFFLINE="1")
        assert code == 1
        assert reason in said.splitlines()[-1]


@pytest.fixture(scope="module")
def olah(request, tmp_path_factory):
    """Starts a mirror that serves git repositories as data sets of the Hub."""
    if shutil.which("git") is None:
        pytest.skip("needs git, which is not installed here")
    folder = tmp_path_factory.mktemp("olah")
    cache = getattr(request.config, "cache", None)
    environment = folder / "environment" if cache is None else cache.mkdir("olah")
    try:
        python = olah_server.install(environment)
    except olah_server.CannotInstall as error:
        pytest.skip(f"needs the package olah, which cannot be installed: {error}")
    (folder / "repositories").mkdir()
    with olah_server.serve(python, folder, free_port()) as url:
        yield folder / "repositories" / "datasets", url


def check_reading(olah, source, name, tmp_path, tag=None):
    """Publish the folder `source` on the mirror, read it in three ways; returns the counts."""
    repositories, url = olah
    repository = olah_server.Git(repositories / name)
    shutil.copytree(source, repositories / name, dirs_exist_ok=True, copy_function=shutil.copyfile)
    commit = repository.commit(tag)
    home = str(tmp_path / "hf")
    code, out, said = run_python("-c", READ, source, name, HF_ENDPOINT=url, HF_HOME=home)
    assert code == 0, said
    seen = json.loads(out)
    assert seen["commit"] == commit
    assert seen["hub"] == seen["folder"]
    assert seen["streamed"] == seen["folder"]
    return [count for count, _ in seen["folder"]], repository


@pytest.mark.long
@pytest.mark.slow
def test_a_mirror_of_the_hub_gives_the_same_rows_streamed_or_not(olah, toys, tmp_path):
    folder, _ = toys
    counts, repository = check_reading(olah, folder, "someone/toys", tmp_path, tag="v1")
    assert counts == [24, 24, 24]
    shutil.rmtree(repository.folder / "data")
    make_dataset(tmp_path / "later", n=12)
    shutil.copytree(tmp_path / "later", repository.folder, dirs_exist_ok=True)
    second = repository.commit()
    names = ("someone/toys", "someone/toys@main", "someone/toys@v1")
    home = str(tmp_path / "hf")
    code, out, said = run_python("-c", COUNT, *names, HF_ENDPOINT=olah[1], HF_HOME=home)
    assert code == 0, said
    pinned = [line.split() for line in out.splitlines()]
    assert pinned[0] == pinned[1] == [f"someone/toys@{second}", "12"]
    assert pinned[2][1] == "24"
    for name, n_rows in (("someone/toys", 12), ("someone/toys@v1", 24)):
        table = tmp_path / f"{n_rows}.csv"
        source = ("hf://datasets/" + name, table, "--split", "test", "--detector", "slim")
        code, _, said = run_python(
            "-m", "fer", "folder", *source, HF_ENDPOINT=olah[1], HF_HOME=home
        )
        assert code == 0, said
        assert len(table.read_text(encoding="utf-8").splitlines()) == 1 + n_rows
    code, _, said = run_python("-c", COUNT, "nobody/nothing", HF_ENDPOINT=olah[1], HF_HOME=home)
    assert code == 1
    assert "the data set nobody/nothing is unavailable" in said.splitlines()[-1]


@pytest.mark.long
def test_a_mirror_of_the_hub_gives_fer2013(olah, tmp_path):
    counts, _ = check_reading(olah, shared("data", "fer2013"), "someone/fer2013", tmp_path)
    assert counts == [28709, 3589, 3589]


@pytest.mark.long
@pytest.mark.keras
def test_training_and_evaluation_by_name_record_the_commit(olah, toys, tmp_path):
    pytest.importorskip("keras")
    folder, source = toys
    repositories, url = olah
    repository = olah_server.Git(repositories / "someone" / "trained")
    shutil.copytree(folder, repository.folder, dirs_exist_ok=True)
    commit = repository.commit("v1")
    environment = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "CUDA_VISIBLE_DEVICES": ""}
    run, results = tmp_path / "run", tmp_path / "results"
    data = ("--dataset", "someone/trained@v1")
    code, _, said = run_python(
        *("-m", "train", "fit", "smoke", "--backbone", "cnn", *data, "--out", run), **environment
    )
    assert code == 0, said
    config = json.loads((run / "export" / "fer.json").read_text(encoding="utf-8"))
    assert config["dataset"] == f"someone/trained@{commit}"
    split = opened(source).split("train", _config(config))
    assert config["dataset_sha256"] == split.sha256
    code, _, said = run_python(
        *("-m", "train", "evaluate", run / "export", *data, "--no-robustness"),
        *("--results", results),
        **environment,
    )
    assert code == 0, said
    report = json.loads((results / "smoke.json").read_text(encoding="utf-8"))
    assert report["dataset"] == f"someone/trained@{commit}"
    assert report["full"]["n_images"] == 24
    training = report["training"]
    assert training["recipe"]["backbone"] == "cnn"
    assert training["command"] == "python -m train fit smoke --backbone cnn"
    assert training["init"] is None


def _config(content):
    from fer.types import ModelConfig

    return ModelConfig(class_names=tuple(content["class_names"]), input_size=48, detail_size=48)


# As the repository that most public code loads: splits in README, names in the challenge's order.
_NAMED = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
_README = """---
configs:
- config_name: default
  data_files:
{files}
---
"""


def publish_table(hub, repo_id, splits):
    """Splits as Parquet files that README names; `splits` has their rows and features."""
    repo = f"datasets/{repo_id}"
    files = ""
    for split, (columns, features) in splits.items():
        stream = io.BytesIO()
        datasets.Dataset.from_dict(columns, features=features).to_parquet(stream)
        hub.files[repo, f"data/part-{split}.parquet"] = stream.getvalue()
        files += f"  - split: {split}\n    path: data/part-{split}.parquet\n"
    hub.files[repo, "README.md"] = _README.format(files=files.rstrip()).encode()
    return hub.commit(repo)


def publish_named(hub, repo_id, n=7, names=_NAMED, image="image", label="label"):
    """Pictures and a named label, splits train, valid and test."""
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=names)})
    columns = {
        image: [Image.fromarray(np.full((48, 48), 30 * (i % 7), np.uint8)) for i in range(n * 7)],
        label: [i % 7 for i in range(n * 7)],
    }
    parts = dict.fromkeys(("train", "valid", "test"), (columns, features))
    return publish_table(hub, repo_id, parts)


def publish_pixels(hub, repo_id, sizes=(42, 14, 21), label="emotion"):
    """Pixels as text, labels by number, beside other columns; splits of their own."""
    value = datasets.Value
    features = datasets.Features(
        {label: value("int64"), "pixels": value("string"), "usage": value("string")}
    )
    features["mean"] = value("float32")
    splits = {}
    for split, n in zip(("train", "validation", "test"), sizes, strict=True):
        columns = {
            label: [i % 7 for i in range(n)],
            "pixels": [" ".join([str(30 * (i % 7))] * 48 * 48) for i in range(n)],
            "usage": ["Training"] * n,
            "mean": [0.5] * n,
        }
        splits[split] = (columns, features)
    return publish_table(hub, repo_id, splits)


def shades(rows):
    """The name of each shade's class: class i of the challenge has gray value 30 i."""
    names = rows.features["label"].names
    return {int(np.asarray(row["image"]).mean()): names[row["label"]] for row in rows}


@pytest.mark.parametrize("layout", ["named", "pixels"])
def test_copies_of_fer2013_on_the_hub_are_read_in_their_own_layouts(hub, layout):
    publish_layout = {"named": publish_named, "pixels": publish_pixels}[layout]
    commit = publish_layout(hub, "someone/fer2013")
    for split in ("train", "validation", "test"):
        rows = opened("someone/fer2013").rows(split)
        assert rows.features["label"].names == sorted(_NAMED)
        assert shades(rows) == {30 * i: name for i, name in enumerate(_NAMED)}
    said = opened(f"someone/fer2013@{commit}").describe()
    assert "are not the challenge's (28,709 / 3,589 / 3,589)" in said
    assert ("splits: valid -> validation" in said) == (layout == "named")
    renamed = "columns: pixels -> image, emotion -> label" in said
    assert renamed == (layout == "pixels")


def test_columns_and_classes_under_other_names_are_found_or_asked_for(hub):
    names = ["Anger", "Disgusted", "FEAR", "happiness", "Sad", "Surprised", "neutral"]
    publish_named(hub, "someone/other", names=names, image="face_crop", label="what")
    rows = opened("someone/other").rows("validation")
    assert shades(rows) == {30 * i: name for i, name in enumerate(_NAMED)}
    with pytest.raises(InputError, match=r"--exact.*valid -> validation"):
        opened("someone/other", Reading(exact=True)).rows("train")
    publish_pixels(hub, "someone/mood", label="mood")
    with pytest.raises(InputError, match=r"someone/mood@\w+\[train\].*--label-column"):
        opened("someone/mood").rows("train")
    mood = opened("someone/mood", Reading(label_column="mood"))
    assert shades(mood.rows("test")) == {30 * i: n for i, n in enumerate(_NAMED)}
    with pytest.raises(InputError, match=r"--image-column dots"):
        opened("someone/mood", Reading(image_column="dots")).rows("train")


def test_a_data_set_with_a_loading_script_is_named_in_a_sentence(hub, tmp_path):
    hub.files["datasets/someone/old", "old.py"] = b"import datasets\n"
    hub.commit("datasets/someone/old")
    with pytest.raises(HubError, match=r"loading script old\.py.*no longer runs"):
        opened("someone/old").rows("train")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.py").write_text("import datasets\n")
    with pytest.raises(InputError, match=r"loading script old\.py"):
        opened(str(tmp_path / "old")).rows("train")


@pytest.mark.long
@pytest.mark.keras
def test_fit_takes_another_layout_by_its_name(hub, tmp_path):
    pytest.importorskip("keras")
    commit = publish_pixels(hub, "someone/fit")
    environment = {"HF_HOME": str(tmp_path / "hf"), "CUDA_VISIBLE_DEVICES": ""}
    run = tmp_path / "run"
    code, out, said = run_python(
        *("-c", FIT_WITHOUT_EXPORT, "fit", "smoke", "--backbone", "cnn", "--out", run),
        *("--dataset", "someone/fit"),
        **environment,
    )
    assert code == 0, said
    assert out.startswith(f"data set someone/fit@{commit}\nsplit ")
    config = json.loads((run / "fer.json").read_text(encoding="utf-8"))
    assert config["dataset"] == f"someone/fit@{commit}"
    assert config["class_names"] == sorted(_NAMED)
