"""The files of a Space: the page and no more."""

import re
import shutil
import subprocess
from pathlib import Path

from huggingface_hub import constants

from fer.errors import ConfigError
from fer.hub import LITERT_NAME, WEB_NAME, load_folder
from fer.types import CONFIG_NAME, ModelConfig
from train.publish.files import (
    LICENCE,
    README_NAME,
    SOCIAL_NAME,
    Files,
    read_file,
    read_social,
    social_url,
)
from train.publish.render import render_template

__all__ = ["list_git", "space_files"]

_SPACE_FILES = ("app.py", "requirements.txt", LICENCE)
_SPACE_FOLDERS = ("fer", "examples")
# What Python and Gradio write among the sources.
_WRITTEN = re.compile(r"(^|/)(\.|__pycache__/)|\.py[ci]$")


def list_git(root: Path, *options: str) -> list[str]:
    """List git's files of `_SPACE_FOLDERS`; none where `root` is no checkout."""
    if not shutil.which("git"):
        return []
    command = ["git", "-C", str(root), "ls-files", "-z", *options, "--", *_SPACE_FOLDERS]
    names = subprocess.run(command, capture_output=True).stdout.decode().split("\0")
    return [name for name in names if name]


def _sources(root: Path) -> list[str]:
    """List git's files of `_SPACE_FOLDERS`; without git, all but those that programs write."""
    listed = list_git(root)
    if not listed:  # no git, no checkout, or one of another project
        found = (path for folder in _SPACE_FOLDERS for path in (root / folder).rglob("*"))
        listed = [path.relative_to(root).as_posix() for path in found if path.is_file()]
    return sorted(name for name in listed if not _WRITTEN.search(name))


def _locked_gradio(root: Path) -> str:
    """Read the version of Gradio from requirements.lock."""
    lock = read_file(root / "requirements.lock").decode()
    found = re.findall(r"^gradio==(\S+)", lock, re.MULTILINE)
    if len(found) != 1:
        raise ConfigError(f"{root / 'requirements.lock'} must pin gradio once. Received: {found}")
    return str(found[0])


def _read_by_page(config: ModelConfig) -> tuple[str, ...]:
    """Return the files of the weights that the page reads: for the server, and for browsers."""
    return (CONFIG_NAME, LITERT_NAME, *([WEB_NAME] if WEB_NAME in config.files else []))


def _space_readme(
    root: Path,
    config: ModelConfig,
    model_repo: str | None,
    revision: str | None,
    dataset_id: str | None,
    preload: bool,
    space_id: str | None,
) -> str:
    """Fill in templates/space.md. For the arguments see `space_files`."""
    return render_template(
        "space.md",
        gradio=_locked_gradio(root),
        class_names=config.class_names,
        model_files=_read_by_page(config),
        model_repo=model_repo,
        home=f"{constants.ENDPOINT}/{model_repo}",
        revision=revision,
        dataset_id=dataset_id,
        preload=preload,
        thumbnail=None if space_id is None else social_url(space_id),
    )


def space_files(
    root: Path,
    model_repo: str | None,
    revision: str | None,
    dataset_id: str | None = None,
    weights: Path | None = None,
    preload: bool = True,
    space_id: str | None = None,
) -> Files:
    """Return the content of a Space by path: the page and no more.

    Args:
        root: folder of this project.
        model_repo: model repository that the Space runs; None for the bundled weights
            alone.
        revision: its commit; its newest when None.
        dataset_id: data set of the Hub that the model was trained on, for the metadata.
        weights: folder with the fer.json and model.tflite that the Space falls back on;
            those of `root` when None.
        preload: whether the Hub downloads the model while it builds the Space, which it
            can where the model is public.
        space_id: Space of the Hub that gets the files, with the picture that is shown where
            somebody links to it; None for another host.

    Raises:
        InputError: a file is missing.
        ConfigError: requirements.lock does not pin Gradio, or the weights are not usable.
    """
    from fer.web.examples.files import LICENCE_FILES, SOURCES_NAME, list_folder

    ours = weights or root / "fer" / "weights"
    config = load_folder(ours).config
    examples = root / "examples"
    shown = {example.path.name for example in list_folder(examples)} | {SOURCES_NAME}
    shown |= {path.name for path in examples.glob(LICENCE_FILES)}
    files = {
        name: read_file(root / name)
        for name in (*_SPACE_FILES, *_sources(root))
        if not name.startswith(("fer/weights/", "examples/"))
        or name.removeprefix("examples/") in shown
    }
    # What the browser's engine reads comes from the model repository, where there is one.
    bundled = _read_by_page(config) if model_repo is None else (CONFIG_NAME, LITERT_NAME)
    files |= {f"fer/weights/{name}": read_file(ours / name) for name in bundled}
    if space_id is not None:
        files[SOCIAL_NAME] = read_social()
    readme = _space_readme(root, config, model_repo, revision, dataset_id, preload, space_id)
    files[README_NAME] = readme.encode()
    return dict(sorted(files.items()))
