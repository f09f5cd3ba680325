"""Data sets of the Hub, at one commit."""

import re
from pathlib import Path

import datasets

from fer.batch.data import HUB_PREFIX
from fer.errors import HubError
from fer.hub import describe_error
from train.data.text_table import is_table

__all__ = [
    "SCRIPT",
    "dataset_name",
    "needs_script",
    "open_pinned",
    "parse_repository",
    "pin_dataset",
]

_REPOSITORY = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@(.+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
SCRIPT = re.compile(r"scripts are no longer supported, but found (\S+)")


def dataset_name(dataset: str) -> str:
    """Return what records call `dataset`: a Hub repository as it is, a folder by its name."""
    if Path(dataset).exists():
        return Path(dataset).name
    return dataset.removeprefix(HUB_PREFIX)


def parse_repository(dataset: str) -> tuple[str, str | None] | None:
    """Return name and revision of a data set of the Hub; None where `dataset` can be none."""
    if Path(dataset).exists() or is_table(dataset):
        return None
    found = _REPOSITORY.fullmatch(dataset.removeprefix(HUB_PREFIX))
    return None if found is None else (found[1], found[2])


def pin_dataset(dataset: str) -> str:
    """Add the commit that a data set of the Hub is at, so that all readers read the same.

    HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub.

    Args:
        dataset: see `train.data.dataset.open_dataset`.

    Returns:
        "USER/NAME@COMMIT" for a data set of the Hub; where the Hub must not be asked
        (HF_HUB_OFFLINE), the commit is that of the newest copy in the cache of `datasets`.
        Anything else as it came.

    Raises:
        HubError: the Hub has no such data set or revision, shows it to others only, or cannot
            be asked.
    """
    repository = parse_repository(dataset)
    if repository is None:
        return dataset
    name, revision = repository
    if revision is not None and _COMMIT.fullmatch(revision):
        return f"{name}@{revision}"
    from huggingface_hub import HfApi
    from huggingface_hub.constants import DEFAULT_REVISION
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        # By its name, because mirrors of the Hub do not all know what is meant by none.
        commit = HfApi().dataset_info(name, revision=revision or DEFAULT_REVISION).sha
    except OfflineModeIsEnabled as error:
        if revision is not None:
            raise HubError(
                f"without asking the Hub, the revision of {name} must be a whole commit. "
                f"Received: {revision}"
            ) from error
        commit = _cached_commit(_load(name, None))
    except Exception as error:  # of the client, and of whichever HTTP library it uses
        raise HubError(_unavailable(dataset, error)) from error
    return f"{name}@{commit}"


def _unavailable(dataset: str, error: Exception) -> str:
    reason = describe_error(error)
    return f"no such folder or file, and the data set {dataset} is unavailable: {reason}"


def _load(name: str, commit: str | None) -> datasets.DatasetDict:
    try:
        return datasets.load_dataset(name, revision=commit, keep_in_memory=False)
    except Exception as error:  # of the client, and of whichever HTTP library it uses
        where = name if commit is None else f"{name}@{commit}"
        if script := SCRIPT.search(str(error)):
            raise HubError(needs_script(where, script[1])) from error
        raise HubError(_unavailable(where, error)) from error


def needs_script(dataset: str, script: str) -> str:
    """Return the message for a data set with a loading script."""
    return (
        f"a data set must be files of pictures or Parquet. Received: {dataset}, which needs its "
        f"loading script {script}, and `datasets` no longer runs any; of FER-2013, take "
        "AutumnQiu/fer2013"
    )


def _cached_commit(splits: datasets.DatasetDict) -> str:
    """Return the commit of splits of the Hub; `datasets` names their folder after it."""
    first = next(iter(splits.values()))
    return Path(first.cache_files[0]["filename"]).parent.name


def open_pinned(dataset: str) -> datasets.DatasetDict:
    """Load "USER/NAME@COMMIT".

    Raises:
        HubError: it is unavailable.
    """
    name, _, commit = dataset.partition("@")
    splits = _load(name, commit)
    # When anything fails, `datasets` falls back on the newest copy in its cache, of any commit.
    if (found := _cached_commit(splits)) != commit:
        raise HubError(
            f"the data set {name}@{commit} is unavailable: the Hub does not give it, and the cache "
            f"has {found}"
        )
    return splits
