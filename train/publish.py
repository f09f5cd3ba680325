"""Publish weights as a model repository of the Hub, and the page as a Space that runs them.

What each repository holds is a dictionary of contents by path, made without the Hub by
`model_files` and `space_files`. `publish` compares it with what is there, shows the difference,
asks, and sends it as one commit.
"""

import hashlib
import io
import logging
import re
import shutil
import subprocess
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    SpaceHardware,
    constants,
    get_token,
)
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id
from huggingface_hub.utils.sha import git_hash

from fer.errors import ConfigError, FerError, HubError, InputError
from fer.gallery import (
    HUB_FOLDER,
    INT8_NAME,
    TABLE_NAME,
    Entry,
    bundled_sha256,
    check_config,
    read_table,
)
from fer.hub import KERAS_NAME, LITERT_NAME, WEIGHTS_FOLDER, load_folder
from fer.types import CONFIG_NAME, ModelConfig
from train.card import NO_NAME, format_card, read_report, render_template
from train.recipes import TRAINING_NAME
from train.report import MODELS_FOLDER, read_int8

__all__ = ["model_files", "publish", "space_files", "write_folder"]

log = logging.getLogger(__name__)

_ROOT = Path(__file__).parents[1]
_README_NAME = "README.md"
_RESULTS = "results"
# The tables that the figures of a card come from, beside the report of its recipe.
_TABLES = ("results.csv", "contrast.csv", "framing.csv", "speed.csv")
# Source: Goodfellow et al. 2013, arXiv:1307.0414, section 2.2: the private test set.
_N_FER2013_TEST = 3589
_LICENCE = "LICENSE"
_CITATION = "CITATION.cff"
_SPACE_FILES = ("app.py", "requirements.txt", _LICENCE)
_SPACE_FOLDERS = ("fer", "examples")
# What Python and Gradio write beside the sources.
_WRITTEN = re.compile(r"(^|/)(\.|__pycache__/)|\.py[ci]$")
# The Hub writes it and reads from it how files are stored.
_KEPT = ".gitattributes"
_TIMEOUT_S = 10.0
# Source: huggingface.co/docs/hub/spaces-overview and spaces-zerogpu, 2026.
_WAYS_TO_HOST = (
    "a Gradio Space on a CPU is part of a PRO subscription, https://huggingface.co/pro. ZeroGPU is "
    "free, for up to two Spaces of an account: --hardware zero-a10g. Or let the page run at home: "
    "python app.py"
)
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"

Files = dict[str, bytes]
Kind = Literal["model", "space"]
_TITLES = {"model": "model repository", "space": "Space"}


def _tell(text: str) -> None:
    log.info("%s", text)


def write_folder(files: Files, target: Path) -> None:
    """Write `files` (content by path with slashes) below `target`.

    Raises:
        InputError: something is in `target`.
    """
    _check_empty(target)
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _check_empty(target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise InputError(f"{target} must be new or empty. Received: a file or folder with files")


# Texts


def _local_links(text: str) -> list[str]:
    """List the files that a Markdown text links to, without its code blocks and sections."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    targets = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [str(PurePosixPath(target)) for target in targets if target and ":" not in target]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} must be a file that can be read. Received: {error}") from error


def _version() -> str:
    return str(tomllib.loads(_read(_ROOT / "pyproject.toml").decode())["project"]["version"])


# The model repository


def _read_card(
    config: ModelConfig, report: dict[str, Any], results: Path, card: Path | None, repo_id: str
) -> str:
    """Return the card of exactly these weights: `card`, or one written from the figures."""
    sha256 = config.files[LITERT_NAME]
    if card is not None:
        text = _read(card).decode()
        if sha256 not in text:
            raise InputError(
                f"{card} must be the card of these weights and name the sha256 of {LITERT_NAME}, "
                f"{sha256}. Received: a text without it"
            )
        return text.replace(NO_NAME, repo_id)
    of_fer2013 = set(ModelConfig.read(WEIGHTS_FOLDER).class_names)
    n_images = report["full"]["n_images"]
    if set(report["class_names"]) != of_fer2013 or n_images != _N_FER2013_TEST:
        raise InputError(
            "the card that is written from figures is about FER-2013. For other data write one "
            f"of your own that names the sha256 of {LITERT_NAME}, {sha256}, and give it with "
            f"--card. Received: {n_images} test images of {report['class_names']}"
        )
    return format_card(report, config, results, repo_id)


def _result_names(card: str, recipe: str, results: Path) -> list[str]:
    """The files of `results` that a card is made of or links to."""
    folder = f"{_RESULTS}/"
    linked = [link.removeprefix(folder) for link in _local_links(card) if link.startswith(folder)]
    # A picture is drawn from the JSON file beside it.
    drawn_from = [PurePosixPath(name).with_suffix(".json").name for name in linked]
    names = dict.fromkeys([f"{recipe}.json", *linked, *drawn_from, *_TABLES])
    return [name for name in names if (results / name).is_file()]


def _format_contents(
    weights: Path, config: ModelConfig, report: dict[str, Any], tell: Callable[[str], None]
) -> Files:
    """Every format of the weights: the file that stands there, or else a conversion."""
    from train.export import FORMATS, format_file

    measured = {row["format"]: row["sha256"] for row in report["formats"]}
    contents = {}
    with tempfile.TemporaryDirectory() as made:
        for form in FORMATS.values():
            if form.file not in config.files:
                tell(f"making {form.file} from {weights / KERAS_NAME}")
            try:
                path = format_file(form, weights, Path(made), None)
            except InputError as error:
                raise InputError(
                    f"{form.file} must stand in {weights}, as `python -m train export` writes it, "
                    "or FER_DATASET must name the data that the weights were trained on. "
                    f"Received: {error}"
                ) from error
            content = _read(path)
            received = hashlib.sha256(content).hexdigest()
            for source, expected in (
                (weights / CONFIG_NAME, config.files.get(form.file)),
                (f"{_RESULTS}/{config.recipe}.json", measured.get(form.name)),
            ):
                if expected not in (None, received):
                    raise ConfigError(
                        f"{form.file} must have sha256 {expected}, as {source} says. Received: "
                        f"{received}. What is converted with the versions of "
                        "requirements-train.txt has the same each time; `python -m train "
                        "evaluate` measures it anew"
                    )
            contents[form.file] = content
    return contents


def _keras_layout(content: bytes) -> Files:
    """What `keras.saving.load_model("hf://...")` reads: the members of a .keras file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}


def _gallery_files(results: Path, flagship: str) -> Files:
    """The models of other recipes, which the page shows; nothing without them.

    Args:
        results: folder that they are in.
        flagship: sha256 of the model.tflite that is published.

    Raises:
        ConfigError: a model is not usable, or not the one that was measured.
        InputError: a file is missing.
    """
    folder = results / MODELS_FOLDER
    if not folder.is_dir():
        return {}
    table = _read(folder / TABLE_NAME)
    files = {TABLE_NAME: table}
    at_hand = {flagship, bundled_sha256()}  # the page has them without a folder here
    for entry in read_table(table):
        if entry.sha256 in at_hand:
            continue
        contents = _gallery_model(folder / entry.recipe, entry, results)
        files |= {f"{entry.recipe}/{name}": content for name, content in contents.items()}
    return {f"{HUB_FOLDER}/{name}": content for name, content in files.items()}


def _gallery_model(folder: Path, entry: Entry, results: Path) -> Files:
    """Configuration and network of one of them."""
    config = ModelConfig.read(folder)
    content = _read(folder / INT8_NAME)
    sources = [(str(folder / CONFIG_NAME), check_config(config, entry))]
    report = results / f"{entry.recipe}.json"
    if report.is_file():
        sources.append((str(report), read_int8(report)["sha256"]))
    received = hashlib.sha256(content).hexdigest()
    for source, expected in sources:
        if expected != received:
            raise ConfigError(
                f"{folder / INT8_NAME} must have sha256 {expected}, as {source} says. Received: "
                f"{received}. `python -m train evaluate` writes both anew"
            )
    only = replace(config, files={INT8_NAME: received})
    return {CONFIG_NAME: only.to_json().encode(), INT8_NAME: content}


def model_files(
    repo_id: str,
    weights: Path = WEIGHTS_FOLDER,
    results: Path = _ROOT / _RESULTS,
    dataset_id: str | None = None,
    card: Path | None = None,
    tell: Callable[[str], None] = _tell,
) -> Files:
    """The content of a model repository by path.

    Args:
        repo_id: its name, which the card's examples get.
        weights: folder with fer.json, model.tflite and model.keras; formats that it lacks
            are converted from the last.
        results: folder where `train.measure.evaluate.evaluate` wrote the figures of these weights,
            and in `models` what `fer.gallery` shows beside them, where there is such.
        dataset_id: data set of the Hub that they were trained on, for the metadata.
        card: the model card, which must name the sha256 of model.tflite. Written from
            `results` when None.
        tell: told what takes long.

    Raises:
        ConfigError: the weights are not usable, or a format, or a model to show beside
            them, is not the one that was measured.
        InputError: figures or card are missing or about other weights, or the card links to
            a file that is not published.
    """
    config = load_folder(weights).config
    report = read_report(config, weights, results)
    text = _read_card(config, report, results, card, repo_id)
    shown = _result_names(text, config.recipe, results)
    contents = _format_contents(weights, config, report, tell)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    files = {
        _LICENCE: _read(_ROOT / _LICENCE),
        CONFIG_NAME: replace(config, files=hashes).to_json().encode(),
        **contents,
        **_keras_layout(contents[KERAS_NAME]),
        **{f"{_RESULTS}/{name}": _read(results / name) for name in shown},
        **_gallery_files(results, hashes[LITERT_NAME]),
    }
    for path in (_ROOT / _CITATION, weights / TRAINING_NAME):
        if path.is_file():
            files[path.name] = _read(path)
    if dead := sorted(set(_local_links(text)) - set(files)):
        raise InputError(
            f"{card or 'the card'} must link to addresses and to published files only. Received: "
            f"links to {', '.join(dead)}"
        )
    if dataset_id is not None:
        try:
            model_card = ModelCard(text)
        except ValueError as error:
            raise InputError(f"the card must have metadata in YAML. Received: {error}") from error
        model_card.data["datasets"] = [dataset_id]
        text = str(model_card)
    return dict(sorted((files | {_README_NAME: text.encode()}).items()))


# The Space


def _list_git(root: Path, *options: str) -> list[str]:
    """What git lists of the folders `_SPACE_FOLDERS`; nothing where `root` is no checkout."""
    if not shutil.which("git"):
        return []
    command = ["git", "-C", str(root), "ls-files", "-z", *options, "--", *_SPACE_FOLDERS]
    names = subprocess.run(command, capture_output=True).stdout.decode().split("\0")
    return [name for name in names if name]


def _sources(root: Path) -> list[str]:
    """The files that git has in `_SPACE_FOLDERS`; without git, all that nobody wrote."""
    listed = _list_git(root)
    if not listed:  # no git, no checkout, or one of another project
        found = (path for folder in _SPACE_FOLDERS for path in (root / folder).rglob("*"))
        listed = [path.relative_to(root).as_posix() for path in found if path.is_file()]
    return sorted(name for name in listed if not _WRITTEN.search(name))


def _locked_gradio(root: Path) -> str:
    found = re.findall(r"^gradio==(\S+)", _read(root / "requirements.lock").decode(), re.MULTILINE)
    if len(found) != 1:
        raise ConfigError(f"{root / 'requirements.lock'} must pin gradio once. Received: {found}")
    return str(found[0])


def _space_readme(
    root: Path,
    config: ModelConfig,
    model_repo: str | None,
    revision: str | None,
    dataset_id: str | None,
    preload: bool,
) -> str:
    """Fill in space_template.md. For the arguments see `space_files`."""
    return render_template(
        "space_template.md",
        gradio=_locked_gradio(root),
        class_names=config.class_names,
        model_files=(CONFIG_NAME, LITERT_NAME),
        model_repo=model_repo,
        home=f"{constants.ENDPOINT}/{model_repo}",
        revision=revision,
        dataset_id=dataset_id,
        preload=preload,
    )


def space_files(
    root: Path,
    model_repo: str | None,
    revision: str | None,
    dataset_id: str | None = None,
    weights: Path | None = None,
    preload: bool = True,
) -> Files:
    """The content of a Space by path: the page and no more.

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

    Raises:
        InputError: a file is missing.
        ConfigError: requirements.lock does not pin Gradio, or the weights are not usable.
    """
    from fer.web.examples import SOURCES_NAME, list_folder

    ours = weights or root / "fer" / "weights"
    config = load_folder(ours).config
    shown = {example.path.name for example in list_folder(root / "examples")} | {SOURCES_NAME}
    files = {
        name: _read(root / name)
        for name in (*_SPACE_FILES, *_sources(root))
        if not name.startswith(("fer/weights/", "examples/"))
        or name.removeprefix("examples/") in shown
    }
    files |= {f"fer/weights/{name}": _read(ours / name) for name in (CONFIG_NAME, LITERT_NAME)}
    readme = _space_readme(root, config, model_repo, revision, dataset_id, preload)
    files[_README_NAME] = readme.encode()
    return dict(sorted(files.items()))


# The Hub


@dataclass(frozen=True)
class _State:
    """What a repository holds.

    Attributes:
        head: its newest commit.
        private: whether it is.
        entries: its files by path.
        variables: of a Space; None where only who has a token may ask.
        hardware: of a Space, that it has or has been asked for; None where it was not looked at.
    """

    head: str | None
    private: bool
    entries: dict[str, RepoFile]
    variables: dict[str, str] | None
    hardware: str | None = None


@dataclass(frozen=True)
class _Plan:
    """What is to become of a repository.

    Attributes:
        kind: of the repository.
        repo_id: its name.
        files: what it is to hold, by path.
        variables: what a Space's are to be; None for what is not known yet.
        state: what it holds; None where it is to be created, or could not be asked.
        private: whether it is, or is to be created so.
        unknown: why it could not be asked.
        hardware: that a Space is to have; None for what it has, or what the Hub gives a new one.
    """

    kind: Kind
    repo_id: str
    files: Files
    variables: dict[str, str | None]
    state: _State | None
    private: bool
    unknown: str = ""
    hardware: SpaceHardware | None = None

    @property
    def where(self) -> str:
        """The repository, for people."""
        return f"{_TITLES[self.kind]} {self.repo_id}"

    def changes(self) -> dict[str, tuple[str, int]]:
        """For each path what becomes of it, and its size in bytes."""
        there = self.state.entries if self.state else {}
        found = {}
        for name, content in self.files.items():
            if self.unknown:
                what = "?"
            elif name not in there:
                what = "add"
            else:
                what = "same" if _is_same(there[name], content) else "change"
            found[name] = (what, len(content))
        for name in sorted(set(there) - set(self.files) - {_KEPT}):
            found[name] = ("delete", there[name].size)
        return found

    def new_variables(self) -> dict[str, str | None]:
        """Those that are not as they are to be."""
        there = (self.state.variables if self.state else None) or {}
        return {
            key: value
            for key, value in self.variables.items()
            if value is None or there.get(key) != value
        }

    def new_hardware(self) -> SpaceHardware | None:
        """The hardware to ask for, where a Space has another."""
        has = self.state.hardware if self.state else None
        return None if self.hardware == has else self.hardware

    def is_done(self) -> bool:
        """Whether the repository is as it is to be."""
        if self.state is None or self.new_variables() or self.new_hardware():
            return False
        return all(what == "same" for what, _ in self.changes().values())

    def describe(self) -> str:
        """The plan as a table."""
        if self.unknown:
            state = f"not known, because {self.unknown}"
        elif self.state is None:
            state = "will be created" + (", private" if self.private else "")
        else:
            state = "nothing to change" if self.is_done() else f"stands at {self.state.head}"
        changes = self.changes()
        lines = [f"{self.where}: {state}"]
        lines += [f"  {what:6} {size:>12,}  {name}" for name, (what, size) in changes.items()]
        asked = self.state is None or self.state.variables is not None
        lines += [
            f"  {'set' if asked and not self.unknown else '?':6} {'variable':>12}  {key} = "
            f"{value or 'the commit of the model'}"
            for key, value in self.new_variables().items()
        ]
        if hardware := self.new_hardware():
            lines.append(f"  {'ask':6} {'hardware':>12}  {hardware.value}")
        counts = [
            f"{sum(one == what for one, _ in changes.values())} {word}"
            for what, word in (
                *(("add", "to add"), ("change", "to change"), ("delete", "to delete")),
                *(("same", "the same"), ("?", "not compared")),
            )
            if any(one == what for one, _ in changes.values())
        ]
        sent = sum(size for what, size in changes.values() if what in ("add", "change", "?"))
        total = sum(map(len, self.files.values()))
        lines.append(
            f"  {len(self.files)} files, {total:,} bytes: {', '.join(counts)}; "
            f"{sent:,} bytes to send"
        )
        return "\n".join(lines)


def _is_same(entry: RepoFile, content: bytes) -> bool:
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == hashlib.sha256(content).hexdigest())
    return bool(entry.blob_id == git_hash(content))


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


@contextmanager
def _asking(doing: str) -> Iterator[None]:
    """Turn the client's errors into HubError."""
    # They come from whichever HTTP library it uses, so all count.
    try:
        yield
    except FerError:
        raise
    except Exception as error:
        cause: BaseException = error
        # What goes wrong with a large file is told with its name, and the reason behind it.
        while isinstance(cause, RuntimeError) and cause.__cause__ is not None:
            cause = cause.__cause__
        told = [error] if cause is error else [error, cause]
        reason = ": ".join(f"{type(each).__name__}: {' '.join(str(each).split())}" for each in told)
        advice = {
            401: _LOG_IN,
            402: _WAYS_TO_HOST if "Space" in doing else "",
            403: _LOG_IN,
            412: "it has changed meanwhile, so nothing was sent; the same command plans anew",
            429: "too many requests; wait, then give the same command",
        }.get(_status(cause) or 0)
        raise HubError(f"cannot {doing}: {reason}{f' ({advice})' if advice else ''}") from error


def _look(api: HfApi, kind: Kind, repo_id: str) -> _State | None:
    """What a repository holds; None where there is none.

    Raises:
        HubError: it cannot be asked.
    """
    with _asking(f"ask what the {_TITLES[kind]} {repo_id} holds"):
        try:
            info = api.repo_info(repo_id, repo_type=kind, timeout=_TIMEOUT_S)
        except RepositoryNotFoundError as error:
            # To who is not logged in the Hub answers 401 for what there is not, too.
            if _status(error) == 404:
                return None
            raise
        found = api.list_repo_tree(repo_id, recursive=True, revision=info.sha, repo_type=kind)
        entries = {entry.path: entry for entry in found if isinstance(entry, RepoFile)}
        variables = hardware = None
        if kind == "space":
            runtime = api.get_space_runtime(repo_id)
            hardware = runtime.requested_hardware or runtime.hardware
            if get_token() is not None:
                known = api.get_space_variables(repo_id)
                variables = {key: variable.value for key, variable in known.items()}
        return _State(info.sha, bool(info.private), entries, variables, hardware)


def _create(api: HfApi, plan: _Plan) -> _Plan:
    """`plan` of a repository that is there: made now where there was none.

    Raises:
        HubError: it cannot be made.
    """
    if plan.state is not None:
        return plan
    with _asking(f"create the {plan.where}"):
        api.create_repo(
            plan.repo_id,
            repo_type=plan.kind,
            # None: as the organization has it, else public.
            private=plan.private or None,
            space_sdk="gradio" if plan.kind == "space" else None,
            space_hardware=plan.hardware,
        )
    state = _look(api, plan.kind, plan.repo_id)
    if state is None:
        raise HubError(f"cannot create the {plan.where}: the Hub made it, but does not know it")
    return replace(plan, state=state, private=state.private)


def _send(api: HfApi, plan: _Plan, message: str) -> str | None:
    """Make a repository that is there what `plan` says.

    Returns:
        The commit that it stands at.

    Raises:
        HubError: it is as it was, or, where the message says so, a Space without its
            variables.
    """
    commit = plan.state.head if plan.state else None
    changes = {name: what for name, (what, _) in plan.changes().items() if what != "same"}
    if changes:
        with _asking(f"send the files of the {plan.where}, which stood at {commit}"):
            commit = api.create_commit(
                plan.repo_id,
                [
                    CommitOperationDelete(name)
                    if what == "delete"
                    else CommitOperationAdd(name, plan.files[name])
                    for name, what in changes.items()
                ],
                commit_message=message,
                repo_type=plan.kind,
                parent_commit=commit,
            ).oid
    if (hardware := plan.new_hardware()) and plan.state is not None:
        with _asking(f"ask for {hardware.value} for the {plan.where}"):
            api.request_space_hardware(plan.repo_id, hardware)
    for key, value in plan.new_variables().items():
        with _asking(f"set {key} of the {plan.where}, whose files stand at {commit}"):
            api.add_space_variable(plan.repo_id, key, str(value))
    return commit


def _check_id(option: str, value: str | None) -> None:
    if value is None:
        return
    try:
        validate_repo_id(value)
        if "/" in value:
            return
    except HFValidationError:
        pass
    raise InputError(f"`{option}` must be user/name, as the Hub has it. Received: {value!r}")


def _read_hardware(name: str | None, space_id: str | None) -> SpaceHardware | None:
    if name is None:
        return None
    if space_id is None:
        raise InputError(f"`--hardware` needs --space. Received: {name!r} alone")
    try:
        return SpaceHardware(name)
    except ValueError:
        known = ", ".join(each.value for each in SpaceHardware)
        raise InputError(f"`--hardware` must be one of {known}. Received: {name!r}") from None


def _begin(api: HfApi, kind: Kind, repo_id: str, private: bool, dry_run: bool) -> _Plan:
    """A plan without files: what there is now."""
    try:
        state = _look(api, kind, repo_id)
    except HubError as error:
        if not dry_run:
            raise
        return _Plan(kind, repo_id, {}, {}, None, private, str(error))
    # Who asks for a private one must not find the files in public.
    if state is not None and private and not state.private:
        raise InputError(
            f"--private needs a repository that is private or new. Received: {repo_id}, which is "
            "public"
        )
    return _Plan(kind, repo_id, {}, {}, state, private if state is None else state.private)


def publish(
    repo_id: str,
    space_id: str | None = None,
    dataset_id: str | None = None,
    *,
    hardware: str | None = None,
    weights: Path = WEIGHTS_FOLDER,
    results: Path = _ROOT / _RESULTS,
    card: Path | None = None,
    private: bool = False,
    dry_run: bool = False,
    out: Path | None = None,
    confirm: Callable[[str], bool] = lambda question: True,
    show: Callable[[str], None] = print,
    tell: Callable[[str], None] = _tell,
) -> None:
    """Publish weights, and the page as a Space that runs them, a commit each.

    First the model, then the Space, which names the commit of the model. What is there
    already and the same is not sent again.

    Args:
        repo_id: model repository, "user/name"; made where there is none.
        space_id: Space; none when None.
        dataset_id: data set of the Hub that the model was trained on, for the metadata.
        hardware: that the Space is to run on, by the Hub's name for it, as "zero-a10g"; what it
            has, or what the Hub gives a new one, when None.
        weights: see `model_files`.
        results: see `model_files`.
        card: see `model_files`.
        private: make new repositories private.
        dry_run: end with the plan.
        out: folder for copies of both repositories, in `model` and `space`.
        confirm: asked before anything is sent.
        show: given the plan and what came of it.
        tell: told what takes long.

    Raises:
        InputError: a name, folder, figure or card cannot be used.
        ConfigError: the weights cannot be used.
        HubError: the Hub says no; the message says what stands.
    """
    for option, value in (("--repo", repo_id), ("--space", space_id), ("--dataset", dataset_id)):
        _check_id(option, value)
    wanted = _read_hardware(hardware, space_id)
    if out is not None:
        _check_empty(out)
    with _asking("read the token"):
        if not dry_run and get_token() is None:
            raise HubError(f"cannot publish without a token: {_LOG_IN}")
    api = HfApi()
    model_plan = _begin(api, "model", repo_id, private, dry_run)
    space_plan = None if space_id is None else _begin(api, "space", space_id, private, dry_run)

    def fill_space(plan: _Plan, revision: str | None) -> _Plan:
        preload = not model_plan.private
        files = space_files(_ROOT, repo_id, revision, dataset_id, weights, preload)
        if plan.files:  # else what was not in the plan could be sent
            files = plan.files | {_README_NAME: files[_README_NAME]}
        variables = {"FER_MODEL_REPO": repo_id, "FER_MODEL_REVISION": revision}
        return replace(plan, files=files, variables=variables)

    if space_plan is not None:
        space_plan = replace(space_plan, hardware=wanted)
        space_plan = fill_space(space_plan, None)  # fails before what takes long
    files = model_files(repo_id, weights, results, dataset_id, card, tell)
    model_plan = replace(model_plan, files=files)
    commit = model_plan.state.head if model_plan.state and model_plan.is_done() else None
    plans = [model_plan]
    if space_plan is not None:
        space_plan = fill_space(space_plan, commit)
        plans.append(space_plan)
    show("\n\n".join(plan.describe() for plan in plans))
    if space_plan is not None and (unknown := _list_git(_ROOT, "--others", "--exclude-standard")):
        show(f"\nNot in git, and so not in the Space: {', '.join(unknown)}")
    if space_plan is not None and model_plan.private:
        show(
            f"\n{repo_id} is private: the Space can read it with a secret HF_TOKEN, which you set "
            "in its settings. Without it, it runs the copy that is among its files."
        )
    if not dry_run and not all(plan.is_done() for plan in plans):
        if not confirm(f"\nPublish to {constants.ENDPOINT}?"):
            show("nothing was sent")
            return
        message = f"fer-live {_version()}, {ModelConfig.read(weights).recipe}"
        model_plan = _create(api, model_plan)
        commit = _send(api, model_plan, message)
        show(f"{constants.ENDPOINT}/{repo_id} stands at {commit}")
        if space_plan is not None:
            try:
                space_plan = fill_space(_create(api, space_plan), commit)
                space_commit = _send(api, space_plan, message)
            except HubError as error:
                raise HubError(
                    f"{error}. The model repository {repo_id} stands at {commit}; the same command "
                    "goes on with the Space"
                ) from error
            show(f"{constants.ENDPOINT}/spaces/{space_id} stands at {space_commit}")
    if out is not None:
        for plan in (model_plan, space_plan):
            if plan is not None:
                write_folder(plan.files, out / plan.kind)
                show(f"wrote {out / plan.kind}")
