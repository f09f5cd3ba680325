"""Publish weights as a model repository of the Hub, and the page as a Space that runs them.

There are two kinds of Space: one whose server runs them, and a static one, which has visitors'
browsers run them.

`publish` compares what each repository is to hold with what is there, shows the difference, asks,
and sends it as one commit.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    SpaceHardware,
    constants,
    get_token,
)
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from fer.errors import HubError, InputError
from fer.hub import WEIGHTS_FOLDER
from fer.types import ModelConfig
from train.publish.files import README_NAME, RESULTS, ROOT, check_empty, read_file, write_folder
from train.publish.model import log_progress, model_files
from train.publish.plan import LOG_IN, Kind, Plan, Sdk, asking, begin_plan, look
from train.publish.space import list_git, space_files
from train.publish.static import static_files

__all__ = ["Publication", "publish", "write_page"]


def _version() -> str:
    return str(tomllib.loads(read_file(ROOT / "pyproject.toml").decode())["project"]["version"])


def _check_id(option: str, value: str | None) -> None:
    """Raise InputError where `value` is no "user/name"."""
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
    """Return the hardware of a name, or raise InputError."""
    if name is None:
        return None
    if space_id is None:
        raise InputError(f"`--hardware` needs --space. Received: {name!r} alone")
    try:
        return SpaceHardware(name)
    except ValueError:
        known = ", ".join(each.value for each in SpaceHardware)
        raise InputError(f"`--hardware` must be one of {known}. Received: {name!r}") from None


def _create(api: HfApi, plan: Plan) -> Plan:
    """Create the repository of a plan where there is none, and return the plan of what it holds.

    Raises:
        HubError: it cannot be made.
    """
    if plan.state is not None:
        return plan
    with asking(f"create the {plan.where}"):
        api.create_repo(
            plan.repo_id,
            repo_type=plan.kind,
            # None: as the organization has it, else public.
            private=plan.private or None,
            space_sdk=plan.sdk,
            space_hardware=plan.hardware,
        )
    state = look(api, plan.kind, plan.repo_id)
    if state is None:
        raise HubError(f"cannot create the {plan.where}: the Hub made it, but does not know it")
    return replace(plan, state=state, private=state.private)


def _send(api: HfApi, plan: Plan, message: str) -> str | None:
    """Change an existing repository as its plan says, in one commit.

    Returns:
        Its newest commit.

    Raises:
        HubError: nothing was changed, or, where the message says so, only the variables
            of a Space were not.
    """
    commit = plan.state.head if plan.state else None
    changes = {name: what for name, (what, _) in plan.changes().items() if what != "same"}
    if changes:
        # Not `upload_folder`: it sends all files, may split them over several commits, and what a
        # user agreed to is this plan.
        with asking(f"send the files of the {plan.where}, which stood at {commit}"):
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
        with asking(f"ask for {hardware.value} for the {plan.where}"):
            api.request_space_hardware(plan.repo_id, hardware)
    for key, value in plan.new_variables().items():
        with asking(f"set {key} of the {plan.where}, whose files stand at {commit}"):
            api.add_space_variable(plan.repo_id, key, str(value))
    return commit


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What is published where.

    Attributes:
        repo_id: model repository, "user/name"; made where there is none, as the others are. None
            publishes a static Space alone.
        space_id: Space with a server, which runs the model repository; none when None.
        static_id: Space without a server; none when None.
        dataset_id: data set of the Hub that the model was trained on, for the metadata.
        hardware: that the Space is to run on, by the Hub's name for it, as "zero-a10g"; what it
            has, or what the Hub gives a new one, when None.
        weights: see `model_files`.
        results: see `model_files`.
        card: see `model_files`.
        private: make new repositories private.
    """

    repo_id: str | None = None
    space_id: str | None = None
    static_id: str | None = None
    dataset_id: str | None = None
    hardware: str | None = None
    weights: Path = WEIGHTS_FOLDER
    results: Path = ROOT / RESULTS
    card: Path | None = None
    private: bool = False

    def check(self) -> None:
        """Check what needs no Hub.

        Raises:
            InputError: a name or the hardware cannot be used, or one is missing.
        """
        _check_id("--repo", self.repo_id)
        _check_id("--space", self.space_id)
        _check_id("--static", self.static_id)
        _check_id("--dataset", self.dataset_id)
        _read_hardware(self.hardware, self.space_id)
        if self.repo_id is None and self.static_id is None:
            raise InputError("`--repo`, `--static` or `--static-out` must be given. Received: none")
        for option, value in (("--space", self.space_id), ("--card", self.card)):
            if self.repo_id is None and value is not None:
                raise InputError(f"`{option}` needs --repo. Received: {str(value)!r} alone")
        if self.static_id is not None and self.static_id == self.space_id:
            raise InputError(
                f"`--static` must be another Space than --space. Received: {self.static_id!r}"
            )


def write_page(
    wanted: Publication, target: Path, *, dry_run: bool = False, out: Path | None = None
) -> None:
    """Write the page without a server into a folder, for any host; the Hub is not asked.

    Args:
        wanted: `weights`, and no more.
        target: new or empty folder.
        dry_run: refused, as `out` is: both are about repositories of the Hub.
        out: see `dry_run`.

    Raises:
        InputError: another value of `wanted` is given, or something is in `target`.
        ConfigError: the weights cannot be used.
        HubError: YuNet is unavailable.
    """
    given = {
        "--repo": wanted.repo_id,
        "--space": wanted.space_id,
        "--static": wanted.static_id,
        "--dataset": wanted.dataset_id,
        "--hardware": wanted.hardware,
        "--card": wanted.card,
        "--private": wanted.private,
        "--dry-run": dry_run,
        "--out": out,
    }
    if others := [option for option, value in given.items() if value]:
        raise InputError(f"`--static-out` goes with --weights alone. Received: {', '.join(others)}")
    check_empty(target)
    write_folder(static_files(wanted.weights), target)


def _plan_space(plan: Plan, wanted: Publication, model: Plan, revision: str | None) -> Plan:
    """Return the plan of a Space that runs the model repository at a commit."""
    preload = not model.private
    files = space_files(
        *(ROOT, model.repo_id, revision, wanted.dataset_id, wanted.weights, preload),
        space_id=wanted.space_id,
    )
    if plan.files:  # else what was not in the plan could be sent
        files = plan.files | {README_NAME: files[README_NAME]}
    return replace(
        plan,
        files=files,
        variables={"FER_MODEL_REPO": model.repo_id, "FER_MODEL_REVISION": revision},
        hardware=_read_hardware(wanted.hardware, wanted.space_id),
    )


@dataclass(frozen=True)
class _Plans:
    """The plan of each repository that there is to be."""

    model: Plan | None
    space: Plan | None
    static: Plan | None

    @property
    def all(self) -> list[Plan]:
        return [plan for plan in (self.model, self.space, self.static) if plan is not None]


def _make_plans(
    api: HfApi, wanted: Publication, dry_run: bool, progress: Callable[[str], None]
) -> _Plans:
    """Return the plans; what is quick, and may fail, comes before what takes long."""

    def begin(kind: Kind, repo_id: str | None, sdk: Sdk | None = None) -> Plan | None:
        if repo_id is None:
            return None
        return begin_plan(api, kind, repo_id, wanted.private, dry_run, sdk)

    model = begin("model", wanted.repo_id)
    space = begin("space", wanted.space_id, "gradio")
    static = begin("space", wanted.static_id, "static")
    if static is not None:
        files = static_files(wanted.weights, wanted.repo_id, wanted.dataset_id, wanted.static_id)
        static = replace(static, files=files)
    if model is None:
        return _Plans(None, None, static)
    if space is not None:
        space = _plan_space(space, wanted, model, None)
    files = model_files(
        model.repo_id, wanted.weights, wanted.results, wanted.dataset_id, wanted.card, progress
    )
    model = replace(model, files=files)
    if space is not None:
        commit = model.state.head if model.state and model.is_done() else None
        space = _plan_space(space, wanted, model, commit)
    return _Plans(model, space, static)


def _show_plans(plans: _Plans, show: Callable[[str], None]) -> None:
    """Show the plans, and what a user of the Space must know."""
    show("\n\n".join(plan.describe() for plan in plans.all))
    if plans.space is None:
        return
    if unknown := list_git(ROOT, "--others", "--exclude-standard"):
        show(f"\nNot in git, and so not in the Space: {', '.join(unknown)}")
    if plans.model is not None and plans.model.private:
        show(
            f"\n{plans.model.repo_id} is private: the Space can read it with a secret HF_TOKEN, "
            "which you set in its settings. Without it, it runs the copy that is among its files."
        )


def _send_plans(
    api: HfApi, plans: _Plans, wanted: Publication, show: Callable[[str], None]
) -> _Plans:
    """Send the model, then each Space, that with a server with the commit of the model."""
    message = f"fer-live {_version()}, {ModelConfig.read(wanted.weights).recipe}"

    def send(plan: Plan) -> str | None:
        commit = _send(api, plan, message)
        folder = "spaces/" if plan.kind == "space" else ""
        show(f"{constants.ENDPOINT}/{folder}{plan.repo_id} stands at {commit}")
        return commit

    model, space, static = plans.model, plans.space, plans.static
    commit = None
    if model is not None:
        model = _create(api, model)
        commit = send(model)
    try:
        # First the one that is free for everyone.
        if static is not None:
            static = _create(api, static)
            send(static)
        if space is not None and model is not None:
            space = _plan_space(_create(api, space), wanted, model, commit)
            send(space)
    except HubError as error:
        if model is None:
            raise
        raise HubError(
            f"{error}. The model repository {model.repo_id} stands at {commit}; the same command "
            "goes on with the Space"
        ) from error
    return _Plans(model, space, static)


def publish(
    wanted: Publication,
    *,
    dry_run: bool = False,
    out: Path | None = None,
    confirm: Callable[[str], bool] = lambda question: True,
    show: Callable[[str], None] = print,
    progress: Callable[[str], None] = log_progress,
) -> None:
    """Publish weights, and the page as Spaces that run them, a commit each.

    First the model, then the Spaces; that with a server names the commit of the model. Files that
    are the same are not sent again.

    Args:
        wanted: what is published where.
        dry_run: end with the plan.
        out: folder for copies of the repositories, in `model`, `space` and `static`.
        confirm: asked before anything is sent.
        show: given the plan and what came of it.
        progress: called with a message before what takes long.

    Raises:
        InputError: a name, folder, figure or card cannot be used.
        ConfigError: the weights cannot be used.
        HubError: the Hub refuses; the message says what was published.
    """
    wanted.check()
    if out is not None:
        check_empty(out)
    with asking("read the token"):
        if not dry_run and get_token() is None:
            raise HubError(f"cannot publish without a token: {LOG_IN}")
    api = HfApi()
    plans = _make_plans(api, wanted, dry_run, progress)
    _show_plans(plans, show)
    if not dry_run and not all(plan.is_done() for plan in plans.all):
        if not confirm(f"\nPublish to {constants.ENDPOINT}?"):
            show("nothing was sent")
            return
        plans = _send_plans(api, plans, wanted, show)
    if out is not None:
        for plan in plans.all:
            folder = out / ("static" if plan.sdk == "static" else plan.kind)
            write_folder(plan.files, folder)
            show(f"wrote {folder}")
