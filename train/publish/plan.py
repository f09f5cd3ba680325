"""What a repository of the Hub holds, and what is to be changed there."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from huggingface_hub import HfApi, SpaceHardware, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash

from fer.errors import FerError, HubError, InputError
from train.publish.files import Files

__all__ = ["LOG_IN", "Kind", "Plan", "Sdk", "State", "asking", "begin_plan", "look"]

# The Hub writes it and reads from it how files are stored.
_KEPT = ".gitattributes"
_TIMEOUT_S = 10.0
# Source: huggingface.co/docs/hub/spaces-overview and spaces-zerogpu, 2026.
_WAYS_TO_HOST = (
    "there are three ways to host the page. A static Space is free, and visitors' browsers do the "
    "work: `python -m train publish --static USER/NAME`. ZeroGPU is free for up to two Spaces of "
    "an account: the same command as now, with --hardware zero-a10g. A CPU is part of a PRO "
    "subscription, https://huggingface.co/pro: then the same command as now. Or let the page run "
    "at home: python app.py"
)
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"

Kind = Literal["model", "space"]
Sdk = Literal["gradio", "static"]
_TITLES = {"model": "model repository", "space": "Space"}


@dataclass(frozen=True)
class State:
    """What a repository holds.

    Attributes:
        head: its newest commit.
        private: whether it is.
        entries: its files by path.
        variables: of a Space; None where there is no token to read them with.
        hardware: of a Space, current or requested; None for a model repository.
    """

    head: str | None
    private: bool
    entries: dict[str, RepoFile]
    variables: dict[str, str] | None
    hardware: str | None = None


@dataclass(frozen=True)
class Plan:
    """The changes of a repository.

    Attributes:
        kind: of the repository.
        repo_id: its name.
        files: the wanted content, by path.
        variables: the wanted ones of a Space; None for a value that is not known yet.
        state: what it holds; None where it is to be created, or is unknown.
        private: whether it is, or is to be created so.
        unknown: why its state is unknown.
        hardware: the wanted one of a Space; None to leave it to the Hub.
        sdk: of a Space: a page of Gradio, or a static one; None for a model repository.
    """

    kind: Kind
    repo_id: str
    files: Files
    variables: dict[str, str | None]
    state: State | None
    private: bool
    unknown: str = ""
    hardware: SpaceHardware | None = None
    sdk: Sdk | None = None

    @property
    def where(self) -> str:
        """The repository, for people."""
        title = "static Space" if self.sdk == "static" else _TITLES[self.kind]
        return f"{title} {self.repo_id}"

    def changes(self) -> dict[str, tuple[str, int]]:
        """Return the change and the size in bytes of each path."""
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
        """Return the variables that differ from the wanted ones."""
        there = (self.state.variables if self.state else None) or {}
        return {
            key: value
            for key, value in self.variables.items()
            if value is None or there.get(key) != value
        }

    def new_hardware(self) -> SpaceHardware | None:
        """Return the hardware to request, where a Space has another."""
        has = self.state.hardware if self.state else None
        return None if self.hardware == has else self.hardware

    def is_done(self) -> bool:
        """Return whether nothing is to be changed."""
        if self.state is None or self.new_variables() or self.new_hardware():
            return False
        return all(what == "same" for what, _ in self.changes().values())

    def describe(self) -> str:
        """Format the plan as a table."""
        if self.unknown:
            state = f"not known, because {self.unknown}"
        elif self.state is None:
            state = "will be created" + (", private" if self.private else "")
        else:
            state = "nothing to change" if self.is_done() else f"stands at {self.state.head}"
        changes = self.changes()
        lines = [f"{self.where}: {state}"]
        lines += [f"  {what:6} {size:>12,}  {name}" for name, (what, size) in changes.items()]
        known = self.state is None or self.state.variables is not None
        lines += [
            f"  {'set' if known and not self.unknown else '?':6} {'variable':>12}  {key} = "
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


def status_of(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


@contextmanager
def asking(doing: str) -> Iterator[None]:
    """Turn the client's errors into HubError."""
    # They come from whichever HTTP library it uses, so all count.
    try:
        yield
    except FerError:
        raise
    except Exception as error:
        cause: BaseException = error
        # What goes wrong with a large file is reported with its name and the reason.
        while isinstance(cause, RuntimeError) and cause.__cause__ is not None:
            cause = cause.__cause__
        errors = [error] if cause is error else [error, cause]
        reason = ": ".join(
            f"{type(each).__name__}: {' '.join(str(each).split())}" for each in errors
        )
        advice = {
            401: LOG_IN,
            402: _WAYS_TO_HOST if "Space" in doing else "",
            403: LOG_IN,
            412: "it has changed meanwhile, so nothing was sent; the same command plans anew",
            429: "too many requests; wait, then give the same command",
        }.get(status_of(cause) or 0)
        raise HubError(f"cannot {doing}: {reason}{f' ({advice})' if advice else ''}") from error


def look(api: HfApi, kind: Kind, repo_id: str) -> State | None:
    """Return what a repository holds; None where there is none.

    Raises:
        HubError: the Hub does not say.
    """
    with asking(f"ask what the {_TITLES[kind]} {repo_id} holds"):
        try:
            info = api.repo_info(repo_id, repo_type=kind, timeout=_TIMEOUT_S)
        except RepositoryNotFoundError as error:
            # To who is not logged in the Hub answers 401 for what there is not, too.
            if status_of(error) == 404:
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
        return State(info.sha, bool(info.private), entries, variables, hardware)


def begin_plan(
    api: HfApi, kind: Kind, repo_id: str, private: bool, dry_run: bool, sdk: Sdk | None = None
) -> Plan:
    """Return a plan without files: the state of the repository."""
    try:
        state = look(api, kind, repo_id)
    except HubError as error:
        if not dry_run:
            raise
        return Plan(kind, repo_id, {}, {}, None, private, str(error), sdk=sdk)
    # Who asks for a private one must not find the files in public.
    if state is not None and private and not state.private:
        raise InputError(
            f"--private needs a repository that is private or new. Received: {repo_id}, which is "
            "public"
        )
    private = private if state is None else state.private
    return Plan(kind, repo_id, {}, {}, state, private, sdk=sdk)
