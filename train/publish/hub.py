"""Publish weights as a model repository of the Hub, and the page as a Space that runs them.

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
from train.publish.plan import LOG_IN, Plan, asking, begin_plan, look
from train.publish.space import list_git, space_files

__all__ = ["Publication", "publish"]


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
            space_sdk="gradio" if plan.kind == "space" else None,
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
        repo_id: model repository, "user/name"; made where there is none.
        space_id: Space; none when None.
        dataset_id: data set of the Hub that the model was trained on, for the metadata.
        hardware: that the Space is to run on, by the Hub's name for it, as "zero-a10g"; what it
            has, or what the Hub gives a new one, when None.
        weights: see `model_files`.
        results: see `model_files`.
        card: see `model_files`.
        private: make new repositories private.
    """

    repo_id: str
    space_id: str | None = None
    dataset_id: str | None = None
    hardware: str | None = None
    weights: Path = WEIGHTS_FOLDER
    results: Path = ROOT / RESULTS
    card: Path | None = None
    private: bool = False

    def check(self) -> None:
        """Check what needs no Hub.

        Raises:
            InputError: a name or the hardware cannot be used.
        """
        _check_id("--repo", self.repo_id)
        _check_id("--space", self.space_id)
        _check_id("--dataset", self.dataset_id)
        _read_hardware(self.hardware, self.space_id)


def _plan_space(plan: Plan, wanted: Publication, model: Plan, revision: str | None) -> Plan:
    """Return the plan of a Space that runs the model repository at a commit."""
    preload = not model.private
    files = space_files(ROOT, wanted.repo_id, revision, wanted.dataset_id, wanted.weights, preload)
    if plan.files:  # else what was not in the plan could be sent
        files = plan.files | {README_NAME: files[README_NAME]}
    return replace(
        plan,
        files=files,
        variables={"FER_MODEL_REPO": wanted.repo_id, "FER_MODEL_REVISION": revision},
        hardware=_read_hardware(wanted.hardware, wanted.space_id),
    )


def _make_plans(
    api: HfApi, wanted: Publication, dry_run: bool, progress: Callable[[str], None]
) -> list[Plan]:
    """Return the plan of the model repository and, where there is to be one, of the Space."""
    model = begin_plan(api, "model", wanted.repo_id, wanted.private, dry_run)
    space = None
    if wanted.space_id is not None:
        space = begin_plan(api, "space", wanted.space_id, wanted.private, dry_run)
        space = _plan_space(space, wanted, model, None)  # fails before what takes long
    files = model_files(
        wanted.repo_id, wanted.weights, wanted.results, wanted.dataset_id, wanted.card, progress
    )
    model = replace(model, files=files)
    if space is None:
        return [model]
    commit = model.state.head if model.state and model.is_done() else None
    return [model, _plan_space(space, wanted, model, commit)]


def _show_plans(plans: list[Plan], show: Callable[[str], None]) -> None:
    """Show the plans, and what a user of the Space must know."""
    show("\n\n".join(plan.describe() for plan in plans))
    if len(plans) == 1:
        return
    if unknown := list_git(ROOT, "--others", "--exclude-standard"):
        show(f"\nNot in git, and so not in the Space: {', '.join(unknown)}")
    if plans[0].private:
        show(
            f"\n{plans[0].repo_id} is private: the Space can read it with a secret HF_TOKEN, which "
            "you set in its settings. Without it, it runs the copy that is among its files."
        )


def _send_plans(
    api: HfApi, plans: list[Plan], wanted: Publication, show: Callable[[str], None]
) -> list[Plan]:
    """Send the model, then the Space with the commit of the model; return what was sent."""
    message = f"fer-live {_version()}, {ModelConfig.read(wanted.weights).recipe}"
    model = _create(api, plans[0])
    commit = _send(api, model, message)
    show(f"{constants.ENDPOINT}/{model.repo_id} stands at {commit}")
    sent = [model]
    for plan in plans[1:]:
        try:
            space = _plan_space(_create(api, plan), wanted, model, commit)
            space_commit = _send(api, space, message)
        except HubError as error:
            raise HubError(
                f"{error}. The model repository {model.repo_id} stands at {commit}; the same "
                "command goes on with the Space"
            ) from error
        show(f"{constants.ENDPOINT}/spaces/{space.repo_id} stands at {space_commit}")
        sent.append(space)
    return sent


def publish(
    wanted: Publication,
    *,
    dry_run: bool = False,
    out: Path | None = None,
    confirm: Callable[[str], bool] = lambda question: True,
    show: Callable[[str], None] = print,
    progress: Callable[[str], None] = log_progress,
) -> None:
    """Publish weights, and the page as a Space that runs them, a commit each.

    First the model, then the Space, which names the commit of the model. Files that are the same
    are not sent again.

    Args:
        wanted: what is published where.
        dry_run: end with the plan.
        out: folder for copies of both repositories, in `model` and `space`.
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
    if not dry_run and not all(plan.is_done() for plan in plans):
        if not confirm(f"\nPublish to {constants.ENDPOINT}?"):
            show("nothing was sent")
            return
        plans = _send_plans(api, plans, wanted, show)
    if out is not None:
        for plan in plans:
            write_folder(plan.files, out / plan.kind)
            show(f"wrote {out / plan.kind}")
