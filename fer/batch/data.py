"""Data sets of the Hub as source and as output, through `datasets`."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fer.batch.sources import Item
from fer.errors import HubError, InputError
from fer.text import printable

__all__ = ["HUB_PREFIX", "DataSet", "HubTable", "looks_like_repository", "need"]

HUB_PREFIX = "hf://datasets/"
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_FACES = "faces"
_ERRORS = "errors"


def need(package: str) -> Any:
    """Import a package of the extra `batch`.

    Raises:
        InputError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"this needs the package {package.partition('.')[0]}: "
            "pip install -r requirements-batch.txt, or the extra `batch` of the package"
        ) from error


def looks_like_repository(name: str) -> bool:
    """Whether `name` can be one of the Hub: "hf://datasets/..." or "USER/NAME"."""
    return name.startswith(HUB_PREFIX) or _NAME.fullmatch(name) is not None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class DataSet:
    """The pictures of one split, streamed.

    Args:
        where: "hf://datasets/USER/NAME", with "@REVISION" if wanted, "USER/NAME", or a folder
            that `datasets.load_dataset` reads.
        split: its name; None where there is only one.

    Raises:
        InputError: no such split, no column of pictures, or `datasets` is not installed.
        HubError: the data set is unavailable.
    """

    def __init__(self, where: str, split: str | None) -> None:
        datasets = need("datasets")
        self._root = Path(where).resolve() if Path(where).is_dir() else None
        try:
            if self._root is not None:
                where = str(self._root)
                splits = datasets.load_dataset(where, streaming=True)
            else:
                from huggingface_hub import HfApi
                from huggingface_hub.constants import DEFAULT_REVISION

                name, _, revision = where.removeprefix(HUB_PREFIX).partition("@")
                # The same rows for a run that is resumed tomorrow. The revision has its name, as
                # mirrors of the Hub do not all know what is meant by none.
                commit = HfApi().dataset_info(name, revision=revision or DEFAULT_REVISION).sha
                where = f"{HUB_PREFIX}{name}@{commit}"
                splits = datasets.load_dataset(name, revision=commit, streaming=True)
        except Exception as error:  # whatever the client's HTTP library raises
            raise HubError(f"the data set {where} is unavailable: {_line(error)}") from error
        if split is None and len(splits) == 1:
            (split,) = splits
        if split not in splits:
            raise InputError(f"`split` must be one of {list(splits)}. Received: {split!r}")
        rows = splits[split]
        if rows.features is None:
            rows = rows._resolve_features()
        features = rows.features
        pictures = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
        if not pictures:
            raise InputError(f"{where} must have a column of pictures. Received: {list(features)}")
        self.passed_over: Counter[str] = Counter()
        self._column, self._split = pictures[0], split
        # Not decoded, so that a broken picture is one row of the table of errors.
        self._rows = rows.decode(False).select_columns([self._column])
        self._n_rows = (rows.info.splits or {}).get(split)
        self.name = printable(f"{where} {split}")

    def count(self) -> int | None:
        """How many pictures, where the data set says so."""
        return self._n_rows.num_examples if self._n_rows else None

    def items(self) -> Iterator[Item]:
        """Yield the pictures in the order of the data set."""
        rows = iter(self._rows)
        for number in range(2**63):
            try:
                picture = next(rows)[self._column] or {"bytes": b"", "path": None}
            except StopIteration:
                return
            except Exception as error:
                raise HubError(f"{self.name} cannot be read after row {number}: {error}") from error
            if picture["bytes"] is not None:
                yield Item(f"{self._split}/{number}", picture["bytes"])
            else:
                yield Item(self._path_inside(picture["path"], number), picture["path"])

    def _path_inside(self, path: str, number: int) -> str:
        if self._root is not None and Path(path).is_relative_to(self._root):
            return printable(Path(path).relative_to(self._root).as_posix())
        inside = re.fullmatch(rf"{HUB_PREFIX}[\w.-]+/[\w.-]+@\w+/(.+)", path)
        return printable(inside[1]) if inside else f"{self._split}/{number}"


class HubTable:
    """A data set of the Hub that takes the two tables.

    Args:
        url: "hf://datasets/USER/NAME".

    Raises:
        InputError: it is not of that form, or `datasets` is not installed.
    """

    def __init__(self, url: str) -> None:
        self.repo_id = url.removeprefix(HUB_PREFIX)
        if not _NAME.fullmatch(self.repo_id):
            raise InputError(f"the output must be {HUB_PREFIX}USER/NAME. Received: {url}")
        need("datasets")

    def exists(self) -> bool:
        """Whether it has faces already.

        Raises:
            HubError: the Hub does not say.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            files = HfApi().list_repo_files(self.repo_id, repo_type="dataset")
        except RepositoryNotFoundError:
            return False
        except Exception as error:
            raise HubError(f"cannot ask for {self.repo_id}: {_line(error)}") from error
        return any(name.startswith(f"data/{_FACES}-") for name in files)

    def push(self, faces: Path, errors: Path | None) -> None:
        """Upload the two Parquet files; `errors` is None where there are none.

        Raises:
            HubError: the Hub does not take them.
        """
        datasets = need("datasets")
        tables = [(faces, "default", _FACES)]
        if errors is not None:
            tables.append((errors, _ERRORS, _ERRORS))
        try:
            for path, config, split in tables:
                table = datasets.Dataset.from_parquet(
                    str(path), cache_dir=str(path.parent / "cache")
                )
                table.push_to_hub(self.repo_id, config, split=split)
        except Exception as error:
            raise HubError(
                f"{self.repo_id} cannot be pushed: {_line(error)}. What is done is kept; the same "
                "command tries again"
            ) from error
